/* Composite loss. Scalars of all genes are exact sums; the total field is summed batch by batch; the image is evaluated on every rank
 * from the gathered total field. */
#include "monge/correct_losses.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/agree.h"

enum { SUM_MORAN, SUM_INDEX, SUM_FIT, SUM_IMAGE };

static status allocate(struct losses *losses)
{
    size_t n = (size_t)losses->sites->n_own + 1, whole = (size_t)losses->slide->n_sites;
    size_t pixels = (size_t)losses->raster.rows * (size_t)losses->raster.cols;
    losses->outside = calloc(n, sizeof *losses->outside);
    losses->total_field = calloc(n, sizeof *losses->total_field);
    losses->total_bar = calloc(n, sizeof *losses->total_bar);
    losses->whole = malloc((2 * whole + 2 * pixels + 1) * sizeof *losses->whole);
    if (!losses->outside || !losses->total_field || !losses->total_bar || !losses->whole)
        return error_memory("the losses", 8.0 * (double)(3 * n + 2 * whole + 2 * pixels));
    for (int64_t i = 0; i < losses->sites->n_own; i++)
        losses->outside[i] = losses->slide->kind[losses->sites->first + i] == SITE_BACKGROUND ? 1.0 : 0.0;
    return MONGE_OK;
}

static status set_stain(struct losses *losses, const double *stain)
{
    if (!stain)
        return MONGE_OK;
    size_t pixels = (size_t)losses->raster.rows * (size_t)losses->raster.cols;
    losses->stain = malloc((pixels + 1) * sizeof *losses->stain);
    if (!losses->stain)
        return error_memory("the stain's raster", 8.0 * (double)pixels);
    return raster_fill(losses->slide, stain, losses->stain);
}

/* Own values of all ranks of the spot communicator, in site order, on each of them. */
static status gather_field(const struct losses *losses, const double *own, double *whole)
{
    const struct partition *sites = losses->sites;
    int *counts = malloc(2 * (size_t)sites->size * sizeof *counts);
    status s = agree(sites->comm, counts ? MONGE_OK : error_memory("gathering a field", 8.0 * sites->size));
    if (s == MONGE_OK) {
        for (int r = 0; r < sites->size; r++) {
            int64_t first = sites->block_start[sites->rank_block[r]], end = sites->block_start[sites->rank_block[r + 1]];
            counts[r] = (int)(end - first);
            counts[sites->size + r] = (int)first;
        }
        MPI_Allgatherv(own, (int)sites->n_own, MPI_DOUBLE, whole, counts, counts + sites->size, MPI_DOUBLE, sites->comm);
    }
    free(counts);
    return s;
}

status losses_new(struct losses *losses, const struct slide *slide, const struct partition *sites, MPI_Comm gene_comm, int64_t n_genes,
                  const struct loss_weights *weights, const double *stain, const double *input_total)
{
    memset(losses, 0, sizeof *losses);
    losses->slide = slide;
    losses->sites = sites;
    losses->gene_comm = gene_comm;
    losses->weights = *weights;
    losses->n_genes = n_genes;
    losses->raster = raster_of_slide(slide);
    status s = allocate(losses);
    if (s == MONGE_OK)
        s = set_stain(losses, stain);
    s = agree(sites->comm, s);
    if (s == MONGE_OK)
        s = moran_graph_new(&losses->moran, slide, sites, false);
    double largest = 0.0, mass = 0.0;
    for (int64_t i = 0; i < sites->n_own; i++)
        largest = fmax(largest, log1p(input_total[i]));
    MPI_Allreduce(MPI_IN_PLACE, &largest, 1, MPI_DOUBLE, MPI_MAX, sites->comm);
    losses->log_scale = largest > 0.0 ? largest : 1.0;
    if (s == MONGE_OK)
        s = exact_field_sum_f64(sites, 1, input_total, NULL, &mass);
    losses->bound = 4.0 * mass + 1.0; /* no batch puts more than all molecules on one site */
    if (s != MONGE_OK)
        losses_free(losses);
    return s;
}

void losses_free(struct losses *losses)
{
    moran_graph_free(&losses->moran);
    free(losses->stain);
    free(losses->outside);
    free(losses->total_field);
    free(losses->total_bar);
    free(losses->whole);
    free(losses->sum.high);
    free(losses->sum.low);
    memset(losses, 0, sizeof *losses);
}

status losses_begin(struct losses *losses)
{
    memset(losses->scalar, 0, sizeof losses->scalar);
    return array_sum_new(&losses->sum, losses->sites->n_own, losses->bound);
}

/* ---- Moran's term of one gene: value and derivative by its index ------------------------------------------------------- */

static double moran_term(enum moran_form form, double index, double reference, double *by_index)
{
    *by_index = 0.0;
    if (form == MORAN_REWARD) {
        *by_index = -1.0;
        return -index;
    }
    if (isnan(reference))
        return 0.0;
    if (form == MORAN_LIMIT) {
        *by_index = index < reference ? -1.0 : 0.0;
        return -fmin(index, reference);
    }
    *by_index = 2.0 * (index - reference);
    return (index - reference) * (index - reference);
}

static double reference_of(const struct loss_batch *batch, int gene)
{
    return batch->moran_reference ? batch->moran_reference[gene] : NAN;
}

/* ---- image term of one whole field of counts --------------------------------------------------------------------------- */

/* L_image of `counts` (own sites); counts_bar (own sites, may be NULL) is overwritten. Collective over sites->comm. */
static status image_term(struct losses *losses, const double *counts, double log_scale, struct image_loss *loss, double *counts_bar)
{
    const struct slide *slide = losses->slide;
    size_t n = (size_t)slide->n_sites, pixels = (size_t)losses->raster.rows * (size_t)losses->raster.cols;
    double *field = losses->whole, *expression = field + n, *pixel = expression + n, *pixel_bar = pixel + pixels;
    status s = gather_field(losses, counts, field);
    if (s != MONGE_OK)
        return s;
    for (size_t i = 0; i < n; i++)
        expression[i] = log1p(field[i]) / log_scale;
    s = raster_fill(slide, expression, pixel);
    if (s == MONGE_OK)
        s = image_loss_evaluate(losses->raster, pixel, losses->stain, loss, counts_bar ? pixel_bar : NULL);
    if (s == MONGE_OK && counts_bar)
        s = raster_transpose(slide, pixel_bar, expression);
    for (int64_t i = 0; s == MONGE_OK && counts_bar && i < losses->sites->n_own; i++) {
        size_t site = (size_t)(losses->sites->first + i);
        counts_bar[i] = expression[site] / (log_scale * (1.0 + field[site]));
    }
    return agree(losses->sites->comm, s);
}

static double gene_log_scale(const struct loss_batch *batch, int gene)
{
    return batch->log_scale && batch->log_scale[gene] > 0.0 ? batch->log_scale[gene] : 1.0;
}

static void take_lane(const struct losses *losses, const struct loss_batch *batch, int gene, double *lane)
{
    for (int64_t i = 0; i < losses->sites->n_own; i++)
        lane[i] = batch->corrected[i * batch->lanes + gene];
}

/* Adds the image terms of each gene; with corrected_bar also w_image / n_genes times their adjoints. lane: 2 x own sites. */
static status per_gene_images(struct losses *losses, const struct loss_batch *batch, double *lane, double *corrected_bar)
{
    int64_t n = losses->sites->n_own;
    double share = losses->weights.image / (double)losses->n_genes;
    status s = MONGE_OK;
    for (int g = 0; g < batch->n_genes && s == MONGE_OK; g++) {
        struct image_loss loss;
        take_lane(losses, batch, g, lane);
        s = image_term(losses, lane, gene_log_scale(batch, g), &loss, corrected_bar ? lane + n : NULL);
        if (s == MONGE_OK && !corrected_bar)
            exact_add(&losses->scalar[SUM_IMAGE], loss.total);
        for (int64_t i = 0; s == MONGE_OK && corrected_bar && i < n; i++)
            corrected_bar[i * batch->lanes + g] += share * lane[n + i];
    }
    return s;
}

/* ---- fit --------------------------------------------------------------------------------------------------------------- */

/* Per lane: sum of x, sum of f, and sum x log(x / f), from which KL(x/X || f/F) = S/X + log(F/X). sums: 3 x lanes. */
static status fit_sums(const struct losses *losses, const struct loss_batch *batch, double *scratch, double *sums)
{
    int64_t size = losses->sites->n_own * batch->lanes;
    for (int64_t k = 0; k < size; k++) {
        double x = batch->observed[k], f = fmax(batch->forward[k], 1e-300);
        scratch[k] = x > 0.0 ? x * log(x / f) : 0.0;
    }
    status s = exact_field_sum_f64(losses->sites, batch->lanes, batch->observed, NULL, sums);
    if (s == MONGE_OK)
        s = exact_field_sum_f64(losses->sites, batch->lanes, batch->forward, NULL, sums + batch->lanes);
    if (s == MONGE_OK)
        s = exact_field_sum_f64(losses->sites, batch->lanes, scratch, NULL, sums + 2 * batch->lanes);
    return s;
}

/* d KL / d f_i = 1 / F - a_i / f_i */
static void fit_adjoint(const struct losses *losses, const struct loss_batch *batch, const double *sums, double *forward_bar)
{
    double share = losses->weights.fit / (double)losses->n_genes;
    for (int64_t i = 0; i < losses->sites->n_own; i++)
        for (int g = 0; g < batch->lanes; g++) {
            int64_t at = i * batch->lanes + g;
            bool counts = g < batch->n_genes && sums[g] > 0.0;
            double x = batch->observed[at], f = fmax(batch->forward[at], 1e-300);
            forward_bar[at] = counts ? share * (1.0 / sums[batch->lanes + g] - (x > 0.0 ? x / (sums[g] * f) : 0.0)) : 0.0;
        }
}

/* ---- an evaluation ------------------------------------------------------------------------------------------------------ */

/* scratch: own sites x (lanes + 2) and 4 x lanes numbers. */
static double *scratch_new(const struct losses *losses, const struct loss_batch *batch, status *s)
{
    size_t n = (size_t)losses->sites->n_own, lanes = (size_t)batch->lanes;
    double *scratch = malloc((n * (lanes + 2) + 4 * lanes + 1) * sizeof *scratch);
    *s = agree(losses->sites->comm, scratch ? MONGE_OK : error_memory("the losses of a batch", 8.0 * (double)(n * (lanes + 2))));
    if (*s == MONGE_OK)
        return scratch;
    free(scratch);
    return NULL;
}

static void add_total(struct losses *losses, const struct loss_batch *batch, double *portion)
{
    for (int64_t i = 0; i < losses->sites->n_own; i++) {
        portion[i] = 0.0;
        for (int g = 0; g < batch->n_genes; g++)
            portion[i] += batch->corrected[i * batch->lanes + g];
    }
    array_sum_add(&losses->sum, portion);
}

status losses_add(struct losses *losses, const struct loss_batch *batch)
{
    status s;
    double *scratch = scratch_new(losses, batch, &s);
    if (!scratch)
        return s;
    double *lane = scratch + losses->sites->n_own * batch->lanes, *sums = lane + 2 * losses->sites->n_own;
    add_total(losses, batch, lane);
    s = moran_index(&losses->moran, batch->lanes, batch->corrected, sums);
    for (int g = 0; g < batch->n_genes && s == MONGE_OK; g++) {
        double by_index;
        exact_add(&losses->scalar[SUM_INDEX], sums[g]);
        exact_add(&losses->scalar[SUM_MORAN], moran_term(losses->weights.moran_form, sums[g], reference_of(batch, g), &by_index));
    }
    if (s == MONGE_OK && batch->observed && batch->forward) {
        s = fit_sums(losses, batch, scratch, sums);
        for (int g = 0; g < batch->n_genes && s == MONGE_OK; g++)
            if (sums[g] > 0.0)
                exact_add(&losses->scalar[SUM_FIT], sums[2 * batch->lanes + g] / sums[g] + log(sums[batch->lanes + g] / sums[g]));
    }
    if (s == MONGE_OK && losses->stain && losses->weights.image_per_gene)
        s = per_gene_images(losses, batch, lane, NULL);
    free(scratch);
    return s;
}

static status finish_image(struct losses *losses, struct correct_losses *result)
{
    result->image = result->ssim = result->gradient = result->tv = NAN;
    memset(losses->total_bar, 0, (size_t)losses->sites->n_own * sizeof *losses->total_bar);
    if (!losses->stain)
        return MONGE_OK;
    struct image_loss loss;
    status s = image_term(losses, losses->total_field, losses->log_scale, &loss, losses->total_bar);
    if (s != MONGE_OK)
        return s;
    result->ssim = loss.ssim;
    result->gradient = loss.gradient;
    result->tv = loss.tv;
    result->image = losses->weights.image_per_gene ? exact_value(&losses->scalar[SUM_IMAGE]) / (double)losses->n_genes : loss.total;
    double factor = losses->weights.image_per_gene ? 0.0 : losses->weights.image;
    for (int64_t i = 0; i < losses->sites->n_own; i++)
        losses->total_bar[i] *= factor;
    return MONGE_OK;
}

status losses_finish(struct losses *losses, struct correct_losses *result)
{
    memset(result, 0, sizeof *result);
    status s = array_sum_finish(&losses->sum, losses->gene_comm, losses->total_field);
    if (s != MONGE_OK)
        return s;
    exact_allreduce(losses->scalar, LOSS_SCALARS, losses->gene_comm);
    s = exact_field_sum_f64(losses->sites, 1, losses->total_field, NULL, &losses->mass);
    if (s == MONGE_OK)
        s = exact_field_sum_f64(losses->sites, 1, losses->total_field, losses->outside, &result->out_raw);
    if (s == MONGE_OK)
        s = finish_image(losses, result);
    if (s != MONGE_OK)
        return s;
    double genes = losses->n_genes > 0 ? (double)losses->n_genes : 1.0;
    result->out = losses->mass > 0.0 ? result->out_raw / losses->mass : 0.0;
    losses->out = result->out;
    result->moran = exact_value(&losses->scalar[SUM_MORAN]) / genes;
    result->mean_index = exact_value(&losses->scalar[SUM_INDEX]) / genes;
    result->fit = exact_value(&losses->scalar[SUM_FIT]) / genes;
    const struct loss_weights *w = &losses->weights;
    result->total =
        (losses->stain ? w->image * result->image : 0.0) + w->out * result->out + w->moran * result->moran + w->fit * result->fit;
    return MONGE_OK;
}

static status moran_part(struct losses *losses, const struct loss_batch *batch, double *numbers, double *corrected_bar)
{
    double *index = numbers, *index_bar = numbers + batch->lanes, share = losses->weights.moran / (double)losses->n_genes;
    status s = moran_index(&losses->moran, batch->lanes, batch->corrected, index);
    for (int g = 0; g < batch->lanes && s == MONGE_OK; g++) {
        index_bar[g] = 0.0;
        if (g < batch->n_genes)
            moran_term(losses->weights.moran_form, index[g], reference_of(batch, g), &index_bar[g]);
        index_bar[g] *= share;
    }
    return s == MONGE_OK ? moran_adjoint(&losses->moran, batch->lanes, batch->corrected, index_bar, NULL, corrected_bar) : s;
}

status losses_adjoint(struct losses *losses, const struct loss_batch *batch, double *corrected_bar, double *forward_bar)
{
    status s;
    double *scratch = scratch_new(losses, batch, &s);
    if (!scratch)
        return s;
    int64_t n = losses->sites->n_own;
    double *lane = scratch + n * batch->lanes, *sums = lane + 2 * n;
    double per_molecule = losses->mass > 0.0 ? losses->weights.out / losses->mass : 0.0;
    for (int64_t i = 0; i < n; i++) /* image and L_out reach every gene alike */
        for (int g = 0; g < batch->lanes; g++)
            corrected_bar[i * batch->lanes + g] =
                g < batch->n_genes ? losses->total_bar[i] + per_molecule * (losses->outside[i] - losses->out) : 0.0;
    if (losses->weights.moran != 0.0)
        s = moran_part(losses, batch, sums, corrected_bar);
    if (s == MONGE_OK && losses->stain && losses->weights.image_per_gene && losses->weights.image != 0.0)
        s = per_gene_images(losses, batch, lane, corrected_bar);
    if (s == MONGE_OK && forward_bar && losses->weights.fit != 0.0 && batch->observed && batch->forward) {
        s = fit_sums(losses, batch, scratch, sums);
        if (s == MONGE_OK)
            fit_adjoint(losses, batch, sums, forward_bar);
    } else if (forward_bar) {
        memset(forward_bar, 0, (size_t)(n * batch->lanes) * sizeof *forward_bar);
    }
    free(scratch);
    return s;
}
