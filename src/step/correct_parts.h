/* What the files of the correct step share: choices, fits, scores, the readout. Private to src/step/correct*.c. */
#ifndef CORRECT_PARTS_H
#define CORRECT_PARTS_H

#include "monge/checkpoint.h"
#include "monge/correct.h"
#include "monge/correct_losses.h"
#include "monge/correct_model.h"
#include "monge/exact_sum.h"
#include "monge/log.h"
#include "monge/phi_train.h"
#include "monge/recorder.h"
#include "monge/reference.h"
#include "monge/slide_window.h"
#include "monge/thinning.h"

/* What step D chooses. */
struct correct_choices {
    int rank;            /* R */
    double alpha;        /* prior strength of the sources */
    double rho;          /* receiving-side Gamma factor; INFINITY: off */
    double gene_weights; /* A; 0: one pi for all genes */
    int sweeps;          /* of step B */
    double omega;        /* weight of the reference in the prior mean */
    double trend;        /* width of the trend of a gene, pitches; 0: off */
    bool lengths;        /* genes have diffusion lengths of their own */
};

/* What every fit of one section shares. */
struct correct_setting {
    const struct correct_options *options;
    const struct slide *slide;
    const struct grid *grid;
    bool single;            /* fields of a batch in float */
    struct correction *run; /* whose progress is saved at safe points */
};

/* The lengths a gene may have, as factors on the width of the local spread, and the kernels with them (correct_length.c). */
enum { LENGTHS = 5, LENGTH_SHARED = 2 };
extern const double length_factors[LENGTHS];
struct length_kernels {
    const struct kernel *at[LENGTHS]; /* [LENGTH_SHARED]: the shared kernel, borrowed */
    struct kernel own[LENGTHS];
};
/* Collective over shared->sites->comm. The mixtures like `shared`, which must be one (of a fit), with other widths of Gaussian and tail; radius:
 * of the shared one, the wider reach farther. */
status length_kernels_new(struct length_kernels *kernels, const struct kernel *shared, double radius,
                          const struct option_reals *dictionary);
void length_kernels_free(struct length_kernels *kernels);

/* Steps B and C on one set of counts: everything the batch loop needs. */
struct correct_fit {
    const struct kernel *kernel;       /* over the grid's sites */
    const struct gene_counts *columns; /* the counts to explain */
    const double *e;                   /* own sites: receiving factors */
    struct lowrank model;
    bool own_weights; /* genes differ in pi */
    struct map_options map;
    double trend;                      /* width, pitches; 0: off */
    const struct reference *reference; /* NULL, or mixed into the prior mean with weight omega; made for `columns` */
    double omega;
    const struct length_kernels *lengths; /* NULL: all genes have the kernel's; used by step C */
    const uint8_t *length;                /* own genes: which of them */
    struct correction *run;               /* of the setting */
};

/* Collective over the grid. Runs step B; step C runs batch by batch when the fit is scored or read out. role: what it is for, the same
 * in every run: a fit of this role, rank, gene weights and sweeps that was under way when the run was stopped goes on from there. */
status correct_fit_new(struct correct_fit *fit, const char *role, const struct correct_setting *setting,
                       const struct correct_choices *choices, const struct kernel *kernel, const struct gene_counts *columns,
                       const double *e);
void correct_fit_free(struct correct_fit *fit);
/* The same without its model, which is for the caller to fit with these options. Local. */
struct lowrank_options correct_fit_begin(struct correct_fit *fit, const struct correct_setting *setting,
                                         const struct correct_choices *choices, const struct kernel *kernel,
                                         const struct gene_counts *columns, const double *e);

/* The per-site sums of a prediction f of held counts x: everything a Poisson or a composition score needs. Own sites. */
struct site_sums {
    struct exact *forward; /* sum_g f */
    struct exact *loglik;  /* sum_g x log f */
};

/* Collective over the grid. Solves every own batch of fit and adds to sums. SCORE_MODEL: f as the model predicts the other half (with
 * rho: f (x1 + rho) / (f + rho)). SCORE_SOURCES: f = K b with full exposure everywhere, for spots that were left out. */
enum score_kind { SCORE_MODEL, SCORE_SOURCES };
status correct_score_sites_f64(const struct correct_fit *fit, const struct gene_counts *held, enum score_kind kind, struct site_sums *sums);
status correct_score_sites_f32(const struct correct_fit *fit, const struct gene_counts *held, enum score_kind kind, struct site_sums *sums);

/* Collective over the grid. Runs the batches and completes the sums over all genes; freed by the caller unless it fails. */
status site_sums_fill(struct site_sums *sums, const struct correct_setting *setting, const struct correct_fit *fit,
                      const struct gene_counts *held, enum score_kind kind);
void site_sums_free(struct site_sums *sums);

/* Squares of 6 pitches, row by row from the slide's corner. */
struct block_map {
    int64_t n_across, n;
    double x0, y0;
};
struct block_map block_map_of(const struct slide *slide);
void block_of(const struct block_map *map, const struct slide *slide, int64_t site, int64_t *across, int64_t *down);

/* Held-out negative log-likelihood (f - x log f) per molecule, with its sums over blocks of 6 pitches. */
struct score {
    double nll;       /* per held-out molecule */
    double molecules; /* held out, all sites and genes */
    int64_t n_blocks;
    double *block; /* n_blocks: NLL summed over a block's sites */
};
void score_free(struct score *score);
/* a - b per molecule and its standard error over blocks: sqrt(n) sd of the paired differences. */
void score_difference(const struct score *a, const struct score *b, double *difference, double *se);

/* Collective over the grid. Step C of every own batch with a wanted gene (own genes), under each of the kernels; then `take` for its wanted
 * genes, on all spot groups: nll [LENGTHS][map->n], the negative log-likelihood of its held molecules, by blocks. */
typedef void (*length_taker)(void *context, int64_t gene, const double *nll);
status correct_score_lengths_f64(const struct correct_fit *fit, const struct length_kernels *kernels, const struct gene_counts *held,
                                 const struct block_map *map, const bool *wanted, length_taker take, void *context);
status correct_score_lengths_f32(const struct correct_fit *fit, const struct length_kernels *kernels, const struct gene_counts *held,
                                 const struct block_map *map, const bool *wanted, length_taker take, void *context);

/* A candidate on one draw of thinning (correct_trial.c). */
struct trial {
    const struct correct_setting *setting;
    const char *role; /* of its fit */
    struct correct_choices choices;
    const struct kernel *kernel;
    const struct thinned *halves; /* fitted on halves->fit, scored on halves->held */
    const double *e;
    const struct reference *reference; /* for halves->fit, or NULL */
    struct correct_fit fit;
    bool fitted;
};
/* Collective over the grid. The score at the present choices; alpha, rho, omega and trend may change between calls. It is an entry of the run's
 * journal, and the trial is fitted when it is needed first. */
status trial_score(struct trial *trial, struct score *score);
/* Collective over the grid. Fits it, unless it is. */
status trial_fit(struct trial *trial);
void trial_free(struct trial *trial);

/* One candidate of step D, as recorded. */
enum { CANDIDATES_MAX = 40 };
struct candidate {
    char name[48];
    double nll, difference, se; /* difference to the model it was compared with */
};
struct selection {
    struct correct_choices choices;
    struct score score; /* of the chosen model */
    int n;
    struct candidate candidates[CANDIDATES_MAX];
    int64_t length_genes;                                    /* genes whose length was looked for */
    double free_field, free_field_difference, free_field_se; /* NLL of the no-diffusion field; it minus chosen */
    double no_lateral, no_lateral_difference, no_lateral_se; /* nested model without lateral spread; it minus chosen */
};
/* Collective over the grid. halves: thinned counts; e: receiving factors estimated on X1; reference: for the halves' genes, or NULL.
 * Options that the user gave are kept. chosen: its trial, for trial_free in any case. */
status selection_choose(struct selection *selection, const struct correct_setting *setting, const struct kernel *kernel,
                        const struct thinned *halves, const double *e, const struct reference *reference, struct trial *chosen);
/* Local. Adds a candidate; against: what it is compared with, or NULL. */
void selection_record(struct selection *selection, const char *name, const struct score *score, const struct score *against);
/* a is better than b by more than max(se_factor standard errors, margin) */
bool score_better(const struct score *a, const struct score *b, double se_factor, double margin);
/* Collective. The two comparators of the chosen model: free field and nested model (with the reference, if the chosen model has one); total:
 * X1 summed over genes, own sites. */
status selection_compare(struct selection *selection, const struct correct_setting *setting, const struct kernel *kernel,
                         const struct thinned *halves, const double *e, const struct reference *reference, const double *total);
void selection_free(struct selection *selection);

/* Collective. The last choice: diffusion lengths of the genes (correct_length.c). Cross-checked on the trial's genes; where they win, or the
 * user wants them, every gene's length is found, on all genes of `at` (the calibration window, or the slide) with molecules enough to tell:
 * then selection->choices.lengths, and run->length is set. */
status correct_choose_lengths(struct correction *run, struct correction *at, struct trial *chosen);
/* Local. Which of the lengths each own gene of run->columns has; the caller frees. */
status correct_own_lengths(const struct correction *run, uint8_t **length);
void correct_record_lengths(struct recorder *r, const struct correction *run);

/* The spatially held-out background: composition of left-out background spots, deviance per cell over two checkerboard folds. */
struct background_check {
    double gene_means; /* composition of the other background spots */
    double shared_kernel;
    double gene_weights; /* NaN if one pi serves all genes */
};
status background_check_run(struct background_check *check, const struct correct_setting *setting, const struct correct_choices *choices,
                            const struct kernel *kernel, const struct gene_counts *columns, const double *e);

/* Sparse columns that grow gene by gene: sites (local, ascending) and values, laid out as in gene_counts. */
struct sparse_columns {
    int64_t n;      /* genes so far */
    int64_t *start; /* n + 1 */
    int32_t *site;  /* start[n] */
    float *value;   /* start[n] */
    int64_t capacity;
};
status sparse_columns_new(struct sparse_columns *columns, int64_t n_genes);
void sparse_columns_free(struct sparse_columns *columns);
status sparse_columns_reserve(struct sparse_columns *columns, int64_t entries); /* room for that many entries */
/* Appends genes [first, end) of another. */
status sparse_columns_copy(struct sparse_columns *columns, const struct sparse_columns *from, int64_t first, int64_t end);
/* Appends the first `used` of GENE_LANES lanes of a field [n_sites][GENE_LANES]: entries that are not zero. */
status sparse_columns_append_f64(struct sparse_columns *columns, int64_t n_sites, int used, const double *field);
status sparse_columns_append_f32(struct sparse_columns *columns, int64_t n_sites, int used, const float *field);

/* The readout of the own genes of one gene_counts. */
struct readout {
    struct sparse_columns counts; /* integers */
    struct sparse_columns mean;   /* expected counts; empty unless asked for */
    bool keep_mean;
    double *moved;            /* own genes: share of molecules moved beyond rescaling the tissue counts to the total */
    double *fit_loss_before;  /* own genes: KL(a || f / sum f), f the counts of the tissue, spread once more */
    double *fit_loss;         /* own genes: the same with f what the estimated sources give */
    double *moran_before;     /* own genes, in tissue */
    double *moran_after;      /* own genes, expected counts, in tissue */
    struct exact *site_total; /* own sites: expected counts summed over own genes */
    int64_t genes_done;       /* own genes so far, whole batches */

    /* What a checkpoint held; put in its place batch by batch. */
    bool *stored;                                     /* own genes; NULL: none */
    struct sparse_columns stored_counts, stored_mean; /* own genes; empty unless stored */
};
status readout_new(struct readout *readout, const struct gene_counts *columns, bool keep_mean);
void readout_free(struct readout *readout);
/* Puts a batch of own genes [first, end) that a checkpoint held in its place. */
bool readout_stored(const struct readout *readout, int64_t first);
status readout_take(struct readout *readout, int64_t first, int64_t end);

/* Collective over the grid. Solves every own batch and reads it out: expected counts rescaled to the gene's total, their rounding
 * by largest remainders, figures per gene. */
status correct_readout_f64(const struct correct_fit *fit, const struct slide *slide, struct readout *readout);
status correct_readout_f32(const struct correct_fit *fit, const struct slide *slide, struct readout *readout);

/* Collective over the grid. Genes with too few molecules to model: tissue counts rescaled to the gene's total and rounded. */
status pass_through(const struct gene_counts *columns, const struct slide *slide, struct readout *readout);

/* Whether fields are single precision, and what those of a batch of genes take on all sites. */
bool correct_in_single(const struct correct_options *options, double sites, double genes);
double correct_field_bytes(const struct correct_options *options, double sites, double genes);
#define CORRECT_BYTES_PER_RANK 3e9 /* fields of a batch beyond which sites are split as well */

/* --grid GxS, collective over comm: MONGE_USAGE if it is of another form, or for another number of ranks. */
status correct_given_grid(struct grid *grid, MPI_Comm comm, const char *text);
/* For --dry-run: prints grid, memory and time. Collective. */
status correct_plan(const struct section *section, const void *options);
struct step_cost correct_cost(const struct section_size *size, int n_ranks, const void *options);

/* How far a run has come: what is known. */
enum correct_stage { STAGE_START, STAGE_RECEIVING, STAGE_CHOSEN };

enum { RUNNING_NAME = 96 };

/* The part of a large slide on which kernel fit and choices are made (correct_window.c). */
struct calibration_window {
    bool used; /* false: the whole slide */
    struct square_range range;
    double margin;                        /* pitches along the sides that were cut */
    double tissue, background, molecules; /* in it: spots, counts */
    double slide_tissue, slide_background, slide_molecules;
    char where[96]; /* in the input's coordinates */
};

/* The state of one run. */
struct correction {
    struct correction *whole; /* of a calibration window: the run that it serves; otherwise NULL */
    struct section *section;
    const struct correct_options *options;
    struct grid grid;
    struct correct_setting setting;
    struct gene_counts columns; /* genes that are corrected */
    struct gene_counts rest;    /* genes that are passed through */
    double *total;              /* own sites of section->sites: counts over all genes */
    double *grid_total;         /* own sites of the grid */
    struct kernel_fit fit;
    struct kernel kernel; /* on the grid */
    struct capture capture;
    double *e; /* own sites of the grid */
    struct selection selection;
    struct background_check background;
    struct readout readout, rest_readout;
    double beta_factor; /* strength x beta-scale in use */
    bool cautious;
    double cv_before, cv_after; /* of tissue spot totals; 0 until the readout */
    struct section cells;       /* the reference, read without positions */
    struct reference reference; /* for `columns`; n_cells 0: none */
    struct lowrank model;       /* of the full data: pi for varm */
    bool own_weights;
    double *length; /* section's genes: factor on the width of the spread; NAN: gene not corrected. NULL: none of their own */

    enum correct_stage stage;
    struct journal journal; /* of the long computations on the way to the next stage */
    struct running_fit {
        char name[RUNNING_NAME];
        struct lowrank model; /* shares u, v and pi with the fit's; u NULL: none */
        const struct gene_counts *columns;
        int sweeps_done;
    } running;                   /* the fit that was begun last, if it is still there; `field` is none of them */
    struct phi_trained learned;  /* --kernel mlp */
    const struct lowrank *field; /* of the full data, once it can be saved: model, or that of the fit under way */
    int sweeps_done;             /* in field */
    struct progress sweeping;    /* of the fit under way; total 0: not told, it is one of many */

    double least_total;   /* counts of a gene that is corrected */
    int64_t sample_genes; /* genes for the choices */
    struct calibration_window window;
    struct calibration *calibration; /* until the choices are made; NULL: on the whole slide */
};
void correction_free(struct correction *c);
/* Collective. Totals, grid, columns of a section whose options, least_total and sample_genes are set. */
status correct_prepare(struct correction *c);
/* Local. MONGE_USAGE for an option that another one leaves without effect. */
status correct_check_options(const struct correct_options *options);
/* Collective over from->comm. Values at own sites -> at all sites, all [from->n]. */
status gather_field(const struct partition *from, const double *own, double *all);

/* ---- how strong, and whether the data support it (correct_judge.c); local ---- */

/* MONGE_USAGE if --beta-scale is more than the kernel's beta allows. */
status correct_check_beta(const struct correction *c);
/* Scales beta of the kernel: three quarters if cautious, times --beta-scale. */
void correct_set_strength(struct correction *c, bool cautious);
/* Says what the held-out checks of the selection say, warns, and turns cautious where they ask for it. */
void correct_judge(struct correction *c);
/* The correction was too strong by the spread of its spot totals. Warns; true if the strength was changed, so that it must be done again. */
bool correct_overdone(struct correction *c);

/* ---- the calibration window (correct_window.c) ---- */

/* Sites wanted; 0: the whole slide. wanted: OPTION_UNSET or the user's. */
int64_t correct_window_size(int64_t wanted, double n_sites);
/* Genes for the choices on a window of n_sites. */
int64_t correct_window_genes(int64_t wanted, int64_t n_sites);
/* Collective. total: own sites of the section. wanted: sites; 0: no window. The same on any number of ranks. */
status correct_window_choose(struct calibration_window *window, const struct section *section, const double *total, int64_t wanted);
/* Molecules per destination factor, the window's over the slide's; 1 without a window. */
double correct_window_density(const struct calibration_window *window, double permeability);
/* The kernel of a place where the level of evenly spread molecules is `ratio` times as high per molecule, all else being alike. */
struct kernel_parameters correct_carried(const struct kernel_parameters *from, double ratio);
void correct_window_log(const struct calibration_window *window);
void correct_window_record(struct recorder *r, const struct calibration_window *window);

/* The window as a section of its own, prepared for fits. */
struct calibration {
    struct section section; /* names and source borrowed from the whole one */
    int64_t *origin;        /* site of the window -> site of the slide */
    struct correction run;
};
/* Collective. */
status calibration_new(struct calibration **calibration, struct correction *whole);
void calibration_free(struct calibration *calibration);
/* Collective. Takes the receiving factors of the whole run over. */
status calibration_receive(struct calibration *calibration);

/* ---- step B on all molecules (correct_field.c); collective over the grid ---- */

/* c->sample_genes genes, evenly spaced in depth, or all: for the choices, and to begin the field of all genes with. */
status correct_sample(const struct correction *c, struct gene_counts *sample);
int64_t correct_even_batches(double genes); /* that many at most, in pairs of batches: an even number of ranks has equal shares */
int64_t correct_sample_size(int64_t wanted, double n_sites); /* wanted: OPTION_UNSET or the user's */
/* With SAMPLED_FROM times as many genes as the sample or more: first on the sample, then SAMPLED_SWEEPS sweeps over all. */
enum { SAMPLED_FROM = 3, SAMPLED_SWEEPS = 18 };
/* From where it was stopped if it was; the model is for the caller to free. */
status correct_fit_all(struct correction *c, struct correct_fit *fit);

/* ---- safe points and resuming (correct_state.c); all collective over the grid ---- */

/* Saves what is known if it is time to, or stops (io/checkpoint.h). NULL: no. */
status correct_safe_point(struct correction *c);
/* The stage's results are known. */
status correct_stage_done(struct correction *c, enum correct_stage stage);
/* The field of all molecules has a model with so many sweeps done: from now on it is saved. */
void correct_field_begins(struct correction *c, const struct lowrank *field, int sweeps_done);
/* Any other fit that is about to run, under its name, and one that is about to be freed. Local. */
void correct_fit_runs(struct correct_fit *fit, const char *name, int sweeps_done);
void correct_fit_ends(const struct correct_fit *fit);
/* After a sweep of any fit (lowrank_options.after_sweep); context: the correction, or NULL. */
status correct_sweep_done(void *context, int sweeps_done);
/* After each round of a loop over own batches, correct_rounds in all: gene groups have different numbers. */
status correct_round_done(const struct correct_fit *fit, status mine);
int64_t correct_rounds(const struct gene_counts *columns);

/* What a checkpoint holds of this run. */
bool correct_holds(const struct correction *c, enum correct_stage stage);
status correct_get_kernel(struct correction *c);    /* fit, learned */
status correct_get_receiving(struct correction *c); /* capture, e */
status correct_get_choices(struct correction *c);
/* The stored field is that of a second attempt: the spread of spot totals after the first is known again. */
bool correct_was_overdone(struct correction *c);
/* The field with its sweeps done; 0 and no field if none is stored for this strength. */
status correct_get_field(struct correction *c, const struct lowrank_options *options, struct lowrank *field, int *sweeps_done);
/* The fit of this name, if it was the last one when the run was stopped: its model, and options->sweeps_done. */
status correct_get_fit(struct correct_fit *fit, const char *name, struct lowrank_options *options);
/* Genes that were corrected, into readout (made by readout_new). */
status correct_get_readout(struct correction *c);

/* Values at the own sites of one partition of the slide -> the own sites of another. Collective over from->comm. */
status redistribute(const struct partition *from, const double *own, const struct partition *to, double *to_own);

/* Collective. The losses of X and of layers/corrected (L_fit is left to the readout). */
status correct_measure_losses(struct correction *c, struct correct_losses *before, struct correct_losses *after);

/* Collective. True if the section is simulated and its truth at hand. */
bool correct_truth_known(const struct section *section);

/* Collective. With a known truth: scores the layers against it; log and uns/monge/correct/accuracy. */
status correct_score_truth(struct correction *c);

/* Collective. Adds a layer made of the corrected and the passed-through columns. */
status correct_add_layer(struct correction *c, const char *name, const struct sparse_columns *corrected, const struct sparse_columns *rest,
                         bool integer);
/* losses/{name,before,after}: reported, not optimised. before->fit may be NaN. */
void correct_record_losses(struct recorder *r, const struct correct_losses *before, const struct correct_losses *after);

/* Collective. --formulation seed: the literal formulation (monge/correct_seed.h), rounded, with its record. */
status correct_literal(struct correction *c);

/* Collective. Adds layers, var and obs columns and the record in uns/monge/correct to the section. */
status correct_record(struct correction *c);

#endif
