/* What is measured on the layers after the correction: the losses before and after, and, for a simulated section, the accuracy against its
 * truth, per gene over tissue spots. Rows of the Section are laid out as dense fields, 32 genes at a time. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "correct_parts.h"
#include "monge/agree.h"
#include "monge/correct_losses.h"
#include "monge/log.h"
#include "monge/raster.h"
#include "monge/score_correction.h"
#include "monge/whole_score.h"

enum { LANES = GENE_LANES, FIELDS = 4 };
enum { TRUTH, RAW, COUNTS, MEAN };

/* Genes [first, first + LANES) of sparse rows as a dense field. cursor [n_rows] remembers where each row stands. */
static void lay_out(const struct sparse_rows *rows, int64_t *cursor, int64_t first, double scale, double *field)
{
    memset(field, 0, (size_t)rows->n_rows * LANES * sizeof *field);
    for (int64_t i = 0; i < rows->n_rows; i++)
        for (; cursor[i] < rows->start[i + 1] && rows->column[cursor[i]] < first + LANES; cursor[i]++)
            field[i * LANES + rows->column[cursor[i]] - first] = scale * (double)rows->value[cursor[i]];
}

struct scorer {
    const struct sparse_rows *rows[FIELDS]; /* MEAN may be NULL */
    double scale[FIELDS];
    int64_t *cursor[FIELDS];
    double *field[FIELDS];
};

static void scorer_free(struct scorer *s)
{
    for (int k = 0; k < FIELDS; k++) {
        free(s->cursor[k]);
        free(s->field[k]);
    }
}

/* The truth read with the section, or made with it in this run. */
static const struct sparse_rows *known_truth(const struct section *section, double *scale)
{
    const struct result *made = section_result(section, "layers/truth");
    const struct result *efficiency = section_result(section, "uns/monge/simulate/mean_efficiency");
    *scale = made && efficiency ? *efficiency->number : section->truth_scale;
    return made && efficiency ? &made->sparse : section->truth.n_rows ? &section->truth : NULL;
}

bool correct_truth_known(const struct section *section)
{
    double scale;
    int known = known_truth(section, &scale) != NULL;
    MPI_Allreduce(MPI_IN_PLACE, &known, 1, MPI_INT, MPI_MAX, section->comm); /* a rank without sites has no rows */
    return known;
}

/* Its domains and their marker genes, likewise; NULL: none. */
static void known_domains(const struct section *section, const double **domain, const double **marker_domain)
{
    const struct result *of_spots = section_result(section, "obs/domain"), *of_genes = section_result(section, "var/marker_domain");
    bool made = section_result(section, "layers/truth") && of_spots && of_genes;
    *domain = made ? of_spots->number : section->domain;
    *marker_domain = made ? of_genes->number : section->marker_domain;
}

static status scorer_new(struct scorer *s, const struct section *section)
{
    const struct result *mean = section_result(section, "layers/corrected_mean");
    double scale;
    const struct sparse_rows *truth = known_truth(section, &scale);
    *s = (struct scorer){.rows = {truth ? truth : &section->truth, &section->counts, &section_result(section, "layers/corrected")->sparse,
                                  mean ? &mean->sparse : NULL},
                         .scale = {scale, 1.0, 1.0, 1.0}};
    size_t own = (size_t)section->sites.n_own;
    for (int k = 0; k < FIELDS; k++) {
        if (!s->rows[k])
            continue;
        s->cursor[k] = malloc((own + 1) * sizeof *s->cursor[k]);
        s->field[k] = malloc((own * LANES + 1) * sizeof *s->field[k]);
        if (!s->cursor[k] || !s->field[k])
            return error_memory("accuracy", 8.0 * LANES * (double)own);
        memcpy(s->cursor[k], s->rows[k]->start, own * sizeof *s->cursor[k]);
    }
    return MONGE_OK;
}

/* Scores of a gene's whole field (a sort, projections) are those of evenly spaced batches: 2000 genes, fewer of large slides. */
static int64_t whole_every(const struct section *section)
{
    const double most = 2000.0, budget = 4e7; /* sites x genes */
    double genes = fmax(4.0 * LANES, fmin(most, budget / (double)section->slide.n_sites));
    return (int64_t)((double)section->n_genes / genes) + 1;
}

/* Scores of every corrected gene, gene by gene in the Section's order. Returns their number in *n. */
static status score_all(const struct correction *c, struct scorer *s, const double *corrected, struct gene_score *counts,
                        struct gene_score *mean, int64_t *n)
{
    const struct section *section = c->section;
    const double *domain, *marker_domain;
    struct moran_graph graph;
    struct whole_score whole = {0};
    known_domains(section, &domain, &marker_domain);
    status fault = moran_graph_new(&graph, &section->slide, &section->sites, true);
    if (!fault)
        fault = whole_score_new(&whole, &section->slide, &section->sites, LANES, section->n_genes, domain, marker_domain);
    int64_t every = whole_every(section);
    *n = 0;
    for (int64_t first = 0; first < section->n_genes && !fault; first += LANES) {
        struct gene_score batch[2][LANES];
        for (int k = 0; k < FIELDS; k++)
            if (s->rows[k])
                lay_out(s->rows[k], s->cursor[k], first, s->scale[k], s->field[k]);
        for (int k = COUNTS; k <= MEAN && !fault; k++) {
            if (!s->rows[k])
                continue;
            struct gene_score *score = batch[k - COUNTS];
            fault = score_genes(&graph, LANES, s->field[TRUTH], s->field[RAW], s->field[k], score);
            if (!fault && first / LANES % every == 0)
                whole_score_genes(&whole, first, LANES, s->field[TRUTH], s->field[RAW], s->field[k], score);
        }
        for (int64_t g = first; g < first + LANES && g < section->n_genes && !fault; g++)
            if (corrected[g] > 0.0) {
                counts[*n] = batch[0][g - first];
                mean[(*n)++] = batch[1][g - first];
            }
    }
    whole_score_free(&whole);
    moran_graph_free(&graph);
    return fault;
}

static status add_score(struct section *section, const char *layer, const struct correction_score *score)
{
    const struct {
        const char *name;
        double value;
    } figures[] = {{"ratio", score->ratio},
                   {"improved", score->improved},
                   {"rmse", score->rmse},
                   {"rmse_raw", score->rmse_raw},
                   {"kl", score->kl},
                   {"kl_raw", score->kl_raw},
                   {"returned", score->returned},
                   {"returned_raw", score->returned_raw},
                   {"total_error", score->total_error},
                   {"moran", score->moran},
                   {"moran_raw", score->moran_raw},
                   {"moran_truth", score->moran_truth},
                   {"auc", score->auc},
                   {"auc_raw", score->auc_raw},
                   {"auc_truth", score->auc_truth},
                   {"l2fc", score->l2fc},
                   {"l2fc_raw", score->l2fc_raw},
                   {"l2fc_truth", score->l2fc_truth},
                   {"sw1", score->sw1},
                   {"sw1_raw", score->sw1_raw}};
    status fault = MONGE_OK;
    for (size_t k = 0; k < sizeof figures / sizeof figures[0] && !fault; k++) {
        char path[96];
        snprintf(path, sizeof path, "monge/correct/accuracy/%s/%s", layer, figures[k].name);
        fault = section_add_uns_real(section, path, figures[k].value);
    }
    log_info("accuracy against the truth, %s: RMSE ratio %.3f, genes improved %.1f %%, KL %.3f (raw %.3f), RMSE %.4f counts (raw %.4f)",
             layer, score->ratio, 100.0 * score->improved, score->kl, score->kl_raw, score->rmse, score->rmse_raw);
    log_info("  sliced W1 %.3f pitches (raw %.3f), Moran's I %.3f (raw %.3f, truth %.3f), in tissue %.4f (raw %.4f)", score->sw1,
             score->sw1_raw, score->moran, score->moran_raw, score->moran_truth, score->returned, score->returned_raw);
    if (!isnan(score->auc))
        log_info("  markers: AUC %.3f (raw %.3f, truth %.3f), log2 fold change %.2f (raw %.2f, truth %.2f)", score->auc, score->auc_raw,
                 score->auc_truth, score->l2fc, score->l2fc_raw, score->l2fc_truth);
    return fault;
}

status correct_score_truth(struct correction *c)
{
    struct section *section = c->section;
    const double *corrected = section_result(section, "var/corrected_gene")->number;
    size_t genes = (size_t)section->n_genes;
    struct gene_score *counts = malloc((genes + 1) * sizeof *counts), *mean = calloc(genes + 1, sizeof *mean);
    struct scorer scorer;
    status fault = scorer_new(&scorer, section);
    if (!fault && !(counts && mean))
        fault = error_memory("accuracy", 16.0 * (double)(genes * sizeof *counts));
    fault = agree(section->comm, fault);
    int64_t n = 0;
    if (!fault)
        fault = score_all(c, &scorer, corrected, counts, mean, &n);
    struct correction_score score;
    if (!fault) {
        score_summarise(n, counts, &score);
        fault = add_score(section, "corrected", &score);
    }
    if (!fault && scorer.rows[MEAN]) {
        score_summarise(n, mean, &score);
        fault = add_score(section, "corrected_mean", &score);
    }
    scorer_free(&scorer);
    free(counts);
    free(mean);
    return fault;
}

/* ---- losses ---- */

/* The grey stain under every site; *stain stays NULL where the section has no image. */
static status find_stain(const struct section *section, double **stain)
{
    if (!section->image.height || !section->spatial_x)
        return MONGE_OK;
    *stain = malloc((size_t)section->slide.n_sites * sizeof **stain);
    return *stain ? raster_stain(section, *stain) : error_memory("the stain", 8.0 * (double)section->slide.n_sites);
}

/* Image, out-of-tissue and Moran terms of one layer, genes of the whole Section. */
static status measure_losses(struct losses *losses, const struct section *section, const struct sparse_rows *rows,
                             struct correct_losses *result)
{
    size_t own = (size_t)section->sites.n_own;
    int64_t *cursor = malloc((own + 1) * sizeof *cursor);
    double *field = malloc((own * LANES + 1) * sizeof *field);
    status fault = agree(section->comm, cursor && field ? MONGE_OK : error_memory("the losses", 8.0 * LANES * (double)own));
    if (!fault) {
        memcpy(cursor, rows->start, own * sizeof *cursor);
        fault = losses_begin(losses);
    }
    for (int64_t first = 0; first < section->n_genes && !fault; first += LANES) {
        lay_out(rows, cursor, first, 1.0, field);
        int64_t left = section->n_genes - first;
        const struct loss_batch batch = {.lanes = LANES, .n_genes = left < LANES ? (int)left : LANES, .corrected = field};
        fault = losses_add(losses, &batch);
    }
    if (!fault)
        fault = losses_finish(losses, result);
    free(cursor);
    free(field);
    return fault;
}

status correct_measure_losses(struct correction *c, struct correct_losses *before, struct correct_losses *after)
{
    struct section *section = c->section;
    const struct loss_weights weights = {.image = 1.0, .out = 1.0, .moran = 1.0, .moran_form = MORAN_REWARD};
    struct losses losses;
    double *stain = NULL;
    status fault = agree(section->comm, find_stain(section, &stain));
    if (!fault)
        fault = losses_new(&losses, &section->slide, &section->sites, MPI_COMM_SELF, section->n_genes, &weights, stain, c->total);
    if (!fault) {
        fault = measure_losses(&losses, section, &section->counts, before);
        if (!fault)
            fault = measure_losses(&losses, section, &section_result(section, "layers/corrected")->sparse, after);
        losses_free(&losses);
    }
    free(stain);
    return fault;
}
