/* The simulator: options, and a section made gene by gene.
 *
 * A gene lives whole on one rank; its random numbers are keyed by its index, so the section is the same on any number of ranks.
 * The model and its defaults: docs/correct.md, "Simulator". */
#include "monge/simulate.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "monge/agree.h"
#include "monge/log.h"
#include "monge/section_io.h"
#include "monge/simulate_slice.h"
#include "simulate_parts.h"

static const char *const lattices[] = {"hex", "square", NULL};
static const char *const spreads[] = {"gaussian", "student", NULL};
static const char *const regions[] = {"all", "tissue", "background", NULL};
static const double UM_PER_PITCH = 100.0, SPOT_DIAMETER_UM = 55.0; /* Visium; obsm/spatial is in micrometres */

#define AT(member) offsetof(struct simulate_options, member)
static const struct option options[] = {
    {"lattice", OPTION_CHOICE, AT(lattice), "hex", 0, 0, lattices, NULL, "Arrangement of the spots."},
    {"rows", OPTION_INTEGER, AT(rows), "40", 4, 20000, NULL, "cells", "Rows of the lattice."},
    {"cols", OPTION_INTEGER, AT(cols), "40", 4, 20000, NULL, "cells", "Columns of the lattice."},
    {"genes", OPTION_INTEGER, AT(genes), "160", 1, 1e6, NULL, NULL,
     "Genes; of every eight 5 markers, 1 gradient, 1 of foci, 1 housekeeping."},
    {"seed", OPTION_INTEGER, AT(seed), "1", 0, 9e15, NULL, NULL, "Seed of all random numbers."},
    {"depth", OPTION_REAL, AT(depth), "1", 1e-6, 1e4, NULL, NULL, "Factor on the expected counts of all genes."},
    {"domains", OPTION_BOOL, AT(domains), "true", 0, 0, NULL, NULL,
     "Markers follow five shared domains; without, each a field of its own."},
    {"null", OPTION_BOOL, AT(null), "false", 0, 0, NULL, NULL, "No diffusion: beta 0 for every gene."},
    {"beta", OPTION_REAL, AT(beta), "0.5", 0, 1, NULL, NULL, "Share of molecules that leave their spot."},
    {"sigma", OPTION_REAL, AT(sigma), "1.5", 0.05, 200, NULL, "pitches", "Width of the local spread."},
    {"sigma-spread", OPTION_REAL, AT(sigma_spread), "0.25", 0, 2, NULL, NULL, "Spread over genes of log sigma (standard deviation)."},
    {"tail-weight", OPTION_REAL, AT(tail_weight), "0.2", 0, 1, NULL, NULL, "Share of moving molecules in the exponential tail."},
    {"tail-length", OPTION_REAL, AT(tail_length), "4", 0.1, 200, NULL, "pitches", "Length of the exponential tail."},
    {"uniform-weight", OPTION_REAL, AT(uniform_weight), "0.1", 0, 1, NULL, NULL, "Share of moving molecules that land anywhere."},
    {"permeability", OPTION_REAL, AT(permeability), "0.8", 0.01, 1, NULL, NULL,
     "Chance of a molecule to be kept by background, relative to tissue."},
    {"spread", OPTION_CHOICE, AT(spread), "gaussian", 0, 0, spreads, NULL,
     "Shape of the local spread; student: anisotropic Student t, unlike the model."},
    {"student-df", OPTION_REAL, AT(student_df), "3", 1, 100, NULL, NULL, "Degrees of freedom of the Student t."},
    {"anisotropy", OPTION_REAL, AT(anisotropy), "1.6", 1, 10, NULL, NULL, "Long over short axis of the Student t."},
    {"gene-beta-spread", OPTION_REAL, AT(gene_beta_spread), "0", 0, 3, NULL, NULL, "Spread over genes of logit beta (standard deviation)."},
    {"gene-uniform-spread", OPTION_REAL, AT(gene_uniform_spread), "0", 0, 3, NULL, NULL, "Spread over genes of the log uniform weight."},
    {"capture-sd", OPTION_REAL, AT(capture_sd), "0", 0, 2, NULL, NULL,
     "Capture noise: standard deviation of log efficiency over receiving spots."},
    {"capture-region", OPTION_CHOICE, AT(capture_region), "all", 0, 0, regions, NULL, "Where there is capture noise."},
    {"capture-smooth", OPTION_REAL, AT(capture_smooth), "0", 0, 500, NULL, "pitches", "Smoothing width of the capture noise; 0: white."},
    {"gene-noise", OPTION_REAL, AT(gene_noise), "0", 0, 1e6, NULL, NULL,
     "Gamma shape of capture noise of every gene at every spot; 0: none."},
    {"slice-of", OPTION_TEXT, AT(slice_of), NULL, 0, 0, NULL, NULL,
     "A second slice of this section instead of a new one; of the other options only seed and those below serve."},
    {"rotate", OPTION_REAL, AT(rotate), "0", -360, 360, NULL, "degrees", "Second slice: rotation about its centroid."},
    {"shift-x", OPTION_REAL, AT(shift_x), "0", -1e6, 1e6, NULL, "spacings", "Second slice: translation along x."},
    {"shift-y", OPTION_REAL, AT(shift_y), "0", -1e6, 1e6, NULL, "spacings", "Second slice: translation along y."},
    {"bends", OPTION_INTEGER, AT(bends), "4", 0, 1000, NULL, NULL, "Second slice: number of smooth bumps of displacement."},
    {"bend", OPTION_REAL, AT(bend), "0", 0, 1000, NULL, "spacings", "Second slice: displacement at the top of a bump."},
    {"bend-width", OPTION_REAL, AT(bend_width), NULL, 0.5, 1e6, NULL, "spacings",
     "Second slice: width of a bump; a fifth of the slice if not given, at least twice the bend."},
    {"jitter", OPTION_REAL, AT(jitter), "0", 0, 100, NULL, "spacings", "Second slice: noise of each coordinate (standard deviation)."},
    {"drop", OPTION_REAL, AT(drop), "0", 0, 0.99, NULL, NULL, "Second slice: share of spots left out."},
    {"pseudocount", OPTION_REAL, AT(pseudocount), "0", 0, 1000, NULL, NULL,
     "Second slice: added to every count before counts are drawn anew."},
    {"snap", OPTION_BOOL, AT(snap), "false", 0, 0, NULL, NULL, "Second slice: move spots to a square lattice, one spot a place."},
};
#undef AT
const struct option_table simulate_options = {
    .verb = "simulate",
    .summary = "Make a section with known truth: diffusion, capture noise, domains, any lattice.",
    .usage = "-o OUT.h5ad [options]",
    .options = options,
    .n_options = sizeof options / sizeof options[0],
    .size = sizeof(struct simulate_options),
};

static status check(const struct simulate_options *o)
{
    if (o->tail_weight + o->uniform_weight > 1.0)
        return error_set(MONGE_USAGE, "simulate: tail-weight %g and uniform-weight %g add up to more than 1; lower one of them",
                         o->tail_weight, o->uniform_weight);
    if (o->rows * o->cols > INT32_MAX)
        return error_set(MONGE_USAGE, "simulate: %lld x %lld cells are more than the %d supported; lower rows or cols", (long long)o->rows,
                         (long long)o->cols, INT32_MAX);
    return MONGE_OK;
}

/* ---- the empty section ---- */

static status name_genes(struct section *section)
{
    static const char *const names[] = {"Marker", "Gradient", "Foci", "House"};
    section->gene_name = calloc((size_t)section->n_genes, sizeof(char *));
    if (!section->gene_name)
        return error_memory("gene names", 8.0 * (double)section->n_genes);
    struct simulate_options any = {.depth = 1.0, .domains = true};
    for (int64_t g = 0; g < section->n_genes; g++) {
        char name[32];
        snprintf(name, sizeof name, "%s%lld", names[sim_gene_draw(&any, g).kind], (long long)g);
        section->gene_name[g] = strdup(name);
        if (!section->gene_name[g])
            return error_memory("gene names", 32.0);
    }
    return MONGE_OK;
}

static status lay_out(struct section *section, const struct simulate_options *o, const struct sim_tissue *tissue)
{
    section->source = strdup("simulated");
    section->counts_name = strdup("X");
    section->n_spots = tissue->n;
    section->n_genes = o->genes;
    if (!section->source || !section->counts_name)
        return error_memory("a section", 64.0);
    if (slide_new_lattice(&section->slide, tissue->hex ? LATTICE_HEX : LATTICE_SQUARE, (int32_t)o->rows, (int32_t)o->cols, tissue->kind) !=
            MONGE_OK ||
        partition_new(&section->sites, section->comm, section->slide.n_blocks, section->slide.block_start) != MONGE_OK)
        return error_code();
    section->slide.pitch_um = UM_PER_PITCH;
    section->spatial_x = malloc((size_t)tissue->n * sizeof(double));
    section->spatial_y = malloc((size_t)tissue->n * sizeof(double));
    if (!section->spatial_x || !section->spatial_y)
        return error_memory("positions", 16.0 * (double)tissue->n);
    for (int64_t site = 0; site < tissue->n; site++) {
        section->spatial_x[site] = UM_PER_PITCH * (tissue->x[section->slide.spot[site]] + 0.5);
        section->spatial_y[site] = UM_PER_PITCH * (tissue->y[section->slide.spot[site]] + 0.5);
    }
    if (name_genes(section) != MONGE_OK)
        return error_code();
    return sim_tissue_image(tissue, (uint64_t)o->seed, UM_PER_PITCH, &section->image);
}

/* ---- counts ---- */

struct gene_work {
    double *rate;
    int32_t *truth, *seen; /* n cells */
    struct sim_offsets tail;
};

static status gene_work_new(struct gene_work *work, const struct sim_tissue *tissue, const struct simulate_options *o)
{
    size_t n = (size_t)tissue->n;
    *work = (struct gene_work){malloc(n * sizeof(double)), malloc(n * sizeof(int32_t)), malloc(n * sizeof(int32_t)), {0}};
    if (!work->rate || !work->truth || !work->seen)
        return error_memory("the field of a gene", 16.0 * (double)n);
    return sim_spread_tail(&work->tail, tissue, o);
}

static void gene_work_free(struct gene_work *work)
{
    free(work->rate);
    free(work->truth);
    free(work->seen);
    sim_offsets_free(&work->tail);
}

static status make_gene(int64_t index, const struct simulate_options *o, const struct sim_tissue *tissue, struct gene_work *work,
                        const int64_t *cell, struct sim_deal *truth, struct sim_deal *seen)
{
    struct sim_gene gene = sim_gene_draw(o, index);
    status done = sim_gene_truth(&gene, tissue, o, work->rate, work->truth);
    if (done == MONGE_OK)
        done = sim_gene_spread(&gene, tissue, o, &work->tail, work->truth, work->seen);
    if (done == MONGE_OK)
        done = sim_deal_add(truth, work->truth, cell);
    if (done == MONGE_OK)
        done = sim_deal_add(seen, work->seen, cell);
    return done;
}

/* collective: genes in rounds, DEAL_GENES per rank and round */
static status make_genes(const struct section *section, const struct simulate_options *o, const struct sim_tissue *tissue,
                         struct sim_deal *truth, struct sim_deal *seen)
{
    const struct partition *sites = &section->sites;
    struct gene_work work;
    status done = gene_work_new(&work, tissue, o);
    struct progress progress;
    progress_start(&progress, "simulating genes", o->genes);
    for (int64_t first = 0; first < o->genes; first += (int64_t)sites->size * DEAL_GENES) {
        int64_t own = first + (int64_t)sites->rank * DEAL_GENES;
        for (int64_t g = own; g < own + DEAL_GENES && g < o->genes && done == MONGE_OK; g++)
            done = make_gene(g, o, tissue, &work, section->slide.spot, truth, seen);
        done = sim_deal_round(truth, done);
        if (done == MONGE_OK)
            done = sim_deal_round(seen, done);
        if (done != MONGE_OK)
            break;
        progress_update(&progress,
                        first + (int64_t)sites->size * DEAL_GENES < o->genes ? first + (int64_t)sites->size * DEAL_GENES : o->genes);
    }
    progress_finish(&progress);
    gene_work_free(&work);
    return done;
}

static status make_counts(struct section *section, const struct simulate_options *o, const struct sim_tissue *tissue)
{
    struct sim_deal truth, seen;
    struct sparse_rows truth_rows = {0};
    sim_deal_start(&truth, &section->sites, o->genes);
    sim_deal_start(&seen, &section->sites, o->genes);
    status done = make_genes(section, o, tissue, &truth, &seen);
    if (done == MONGE_OK)
        done = sim_deal_rows(&seen, &section->counts);
    sim_deal_free(&seen);
    if (done == MONGE_OK)
        done = sim_deal_rows(&truth, &truth_rows);
    sim_deal_free(&truth);
    if (done == MONGE_OK)
        done = section_add_layer(section, "truth", &truth_rows, true);
    sparse_rows_free(&truth_rows);
    return done;
}

/* ---- what is known about spots, genes and the whole ---- */

static status add_spots(struct section *section, const struct sim_tissue *tissue)
{
    int64_t n = section->sites.n_own;
    double *value = malloc(2 * (size_t)(n + 1) * sizeof *value);
    if (!value)
        return error_memory("columns of spots", 16.0 * (double)n);
    double *capture = value + n;
    for (int64_t i = 0; i < n; i++) {
        int64_t cell = section->slide.spot[section->sites.first + i];
        value[i] = tissue->domain[cell];
        capture[i] = tissue->efficiency[cell];
    }
    status done = section_add_obs(section, "domain", VALUE_INTEGER, value);
    if (done == MONGE_OK)
        done = section_add_obs(section, "capture", VALUE_REAL, capture);
    free(value);
    return done;
}

static status add_genes(struct section *section, const struct simulate_options *o)
{
    static const char *const names[] = {"kind", "marker_domain", "sigma", "beta", "uniform_weight"};
    size_t n = (size_t)o->genes;
    double *value = malloc(5 * n * sizeof *value);
    if (!value)
        return error_memory("columns of genes", 40.0 * (double)n);
    for (size_t g = 0; g < n; g++) {
        struct sim_gene gene = sim_gene_draw(o, (int64_t)g);
        value[g] = gene.kind;
        value[n + g] = gene.marker_domain;
        value[2 * n + g] = gene.sigma;
        value[3 * n + g] = gene.beta;
        value[4 * n + g] = gene.uniform_weight;
    }
    status done = MONGE_OK;
    for (size_t k = 0; k < 5 && done == MONGE_OK; k++)
        done = section_add_var(section, names[k], k < 2 ? VALUE_INTEGER : VALUE_REAL, value + k * n);
    free(value);
    return done;
}

/* the options in use, for provenance */
static status add_options(struct section *section, const struct simulate_options *o)
{
    status done = MONGE_OK;
    for (int i = 0; i < simulate_options.n_options && done == MONGE_OK; i++) {
        char path[96];
        snprintf(path, sizeof path, "monge/simulate/options/%s", options[i].name);
        char *text = options_text(&simulate_options, o, i);
        done = text ? section_add_uns_text(section, path, text) : error_code();
        free(text);
    }
    return done;
}

static status add_summary(struct section *section, const struct simulate_options *o, const struct sim_tissue *tissue)
{
    int64_t molecules[2] = {0, 0}; /* all, outside tissue: whole numbers, so the sum has no order */
    for (int64_t i = 0; i < section->sites.n_own; i++) {
        for (int64_t k = section->counts.start[i]; k < section->counts.start[i + 1]; k++) {
            molecules[0] += (int64_t)section->counts.value[k];
            if (section->slide.kind[section->sites.first + i] != SITE_TISSUE)
                molecules[1] += (int64_t)section->counts.value[k];
        }
    }
    MPI_Allreduce(MPI_IN_PLACE, molecules, 2, MPI_INT64_T, MPI_SUM, section->comm);
    double outside = molecules[0] > 0 ? (double)molecules[1] / (double)molecules[0] : 0.0;
    log_info("simulated %lld spots (%.1f %% tissue) x %lld genes: %lld molecules, %.1f %% outside tissue", (long long)tissue->n,
             100.0 * (double)tissue->n_tissue / (double)tissue->n, (long long)o->genes, (long long)molecules[0], 100.0 * outside);
    /* noise of gene and spot keeps 1 / (1 + 4 / sqrt(shape)) of the molecules, see simulate_spread.c */
    double pair_share = o->gene_noise > 0.0 ? 1.0 / (1.0 + 4.0 / sqrt(o->gene_noise)) : 1.0;
    status done = section_add_uns_real(section, "spatial/simulated/scalefactors/spot_diameter_fullres", SPOT_DIAMETER_UM);
    if (done == MONGE_OK)
        done = section_add_uns_real(section, "monge/simulate/mean_efficiency", tissue->mean_efficiency * pair_share);
    if (done == MONGE_OK)
        done = section_add_uns_integer(section, "monge/simulate/molecules", molecules[0]);
    if (done == MONGE_OK)
        done = section_add_uns_real(section, "monge/simulate/outside_share", outside);
    if (done == MONGE_OK)
        done = section_add_uns_text(section, "monge/simulate/kinds", "0 marker, 1 gradient, 2 foci, 3 housekeeping");
    return done == MONGE_OK ? add_options(section, o) : done;
}

static const struct read_options read_as_is = {.holes = HOLES_OMIT, .need_spatial = true};

static status second_slice(struct section *section, MPI_Comm comm, const struct simulate_options *o)
{
    struct section from = {0};
    status done = section_read(&from, comm, o->slice_of, &read_as_is);
    if (done != MONGE_OK)
        return done;
    const struct simulate_slice_options slice = {.seed = (uint64_t)o->seed,
                                                 .rotate = o->rotate,
                                                 .shift_x = o->shift_x,
                                                 .shift_y = o->shift_y,
                                                 .bends = o->bends,
                                                 .bend = o->bend,
                                                 .bend_width = o->bend_width,
                                                 .jitter = o->jitter,
                                                 .drop = o->drop,
                                                 .snap = o->snap,
                                                 .pseudocount = o->pseudocount};
    done = simulate_slice(section, &from, &slice);
    section_free(&from);
    if (done == MONGE_OK && (done = agree(comm, add_options(section, o))) != MONGE_OK)
        section_free(section);
    return done;
}

status simulate_section(struct section *section, MPI_Comm comm, const void *given)
{
    const struct simulate_options *o = given;
    if (o->slice_of)
        return second_slice(section, comm, o);
    struct sim_tissue tissue = {0};
    *section = (struct section){.comm = comm};
    status done = check(o);
    if (done == MONGE_OK)
        done = sim_tissue_new(&tissue, o);
    if (done == MONGE_OK && tissue.n_tissue == 0)
        done = error_set(MONGE_USAGE, "simulate: a lattice of %lld x %lld cells holds no tissue; give more rows and cols",
                         (long long)o->rows, (long long)o->cols);
    if (done == MONGE_OK)
        done = lay_out(section, o, &tissue);
    done = agree(comm, done);
    if (done == MONGE_OK)
        done = make_counts(section, o, &tissue);
    done = agree(comm, done);
    if (done == MONGE_OK)
        done = add_summary(section, o, &tissue);
    if (done == MONGE_OK)
        done = add_spots(section, &tissue);
    if (done == MONGE_OK)
        done = add_genes(section, o);
    done = agree(comm, done);
    sim_tissue_free(&tissue);
    if (done != MONGE_OK)
        section_free(section);
    return done;
}

struct section_size simulate_size(const void *given)
{
    const struct simulate_options *o = given;
    struct section_size size;
    if (o->slice_of && section_size_read(&size, o->slice_of, &read_as_is) == MONGE_OK)
        return size;
    int64_t n_sites = o->rows * o->cols;
    return (struct section_size){n_sites, o->genes, n_sites, n_sites * o->genes / 2};
}
