/* The learned kernel on a slide. Its sources are tissue, so W depends on the distance and on m_i alone: two radial operators, S_t for
 * destinations in tissue and S_b for background, the rows of which are put together:  S = diag(m) S_t + diag(1 - m) S_b.
 *
 * Adjoint on a lattice: with n_j the column normaliser, K_ij = w(o, m_i) n_j for offset o = i - j. From terms K-bar = p q' of
 * map_adjoint.h, summed over the pairs of each (o, m_i):
 *     M-bar(o, m) = -(1/r) w(o, m) G(o, m),   G(o, m) = sum_j n_j (p_{j+o} q_j - q_j (K'p)_j)   over j with m_{j+o} = m. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernel_parts.h"
#include "monge/agree.h"
#include "monge/exact_sum.h"
#include "monge/halo.h"
#include "monge/phi.h"

/* ---- the pair of operators -------------------------------------------------------------------------------------------- */

struct radial {
    const struct phi *phi;
    double r;
    bool seen_in_tissue;
};

static double radial_value(double distance, const void *parameters)
{
    const struct radial *radial = parameters;
    return exp(-phi_cost(radial->phi, distance, radial->seen_in_tissue, true) / radial->r);
}

struct operator_pair {
    struct spot_operator part[2]; /* [m_i] */
    uint8_t *tissue;              /* own sites: m_i */
};

static void pair_free(void *state)
{
    struct operator_pair *pair = state;
    spot_operator_free(&pair->part[0]);
    spot_operator_free(&pair->part[1]);
    free(pair->tissue);
    free(pair);
}

/* out = diag(m) S_t in + diag(1 - m) S_b in */
static status pair_apply_f64(const struct spot_operator *op, int lanes, const double *in, double *out)
{
    const struct operator_pair *pair = op->state;
    size_t n = (size_t)op->sites->n_own, width = (size_t)lanes;
    double *other = malloc((n * width + 1) * sizeof *other);
    status s = agree(op->sites->comm, other ? MONGE_OK : error_memory("a kernel application", 8.0 * (double)(n * width)));
    if (s == MONGE_OK)
        s = pair->part[0].apply_f64(&pair->part[0], lanes, in, out);
    if (s == MONGE_OK)
        s = pair->part[1].apply_f64(&pair->part[1], lanes, in, other);
    for (size_t i = 0; s == MONGE_OK && i < n; i++)
        if (pair->tissue[i])
            memcpy(out + i * width, other + i * width, width * sizeof *out);
    free(other);
    return s;
}

/* out = S_t' diag(m) in + S_b' diag(1 - m) in */
static status pair_adjoint_f64(const struct spot_operator *op, int lanes, const double *in, double *out)
{
    const struct operator_pair *pair = op->state;
    size_t n = (size_t)op->sites->n_own, width = (size_t)lanes, size = n * width;
    double *masked = malloc((2 * size + 1) * sizeof *masked), *other = masked + size;
    status s = agree(op->sites->comm, masked ? MONGE_OK : error_memory("a kernel application", 16.0 * (double)size));
    for (int m = 0; m < 2 && s == MONGE_OK; m++) {
        for (size_t k = 0; k < size; k++)
            masked[k] = pair->tissue[k / width] == m ? in[k] : 0.0;
        s = pair->part[m].adjoint_f64(&pair->part[m], lanes, masked, m == 0 ? out : other);
    }
    for (size_t k = 0; s == MONGE_OK && k < size; k++)
        out[k] += other[k];
    free(masked);
    return s;
}

/* The trained kernel is applied in single precision through the double one: it is not on the fast path. */
static status through_f64(const struct spot_operator *op, int lanes, const float *in, float *out,
                          status (*map)(const struct spot_operator *, int, const double *, double *))
{
    size_t size = (size_t)op->sites->n_own * (size_t)lanes;
    double *wide = malloc((2 * size + 1) * sizeof *wide);
    status s = agree(op->sites->comm, wide ? MONGE_OK : error_memory("a kernel application", 16.0 * (double)size));
    for (size_t k = 0; s == MONGE_OK && k < size; k++)
        wide[k] = (double)in[k];
    if (s == MONGE_OK)
        s = map(op, lanes, wide, wide + size);
    for (size_t k = 0; s == MONGE_OK && k < size; k++)
        out[k] = (float)wide[size + k];
    free(wide);
    return s;
}

static status pair_apply_f32(const struct spot_operator *op, int lanes, const float *in, float *out)
{
    return through_f64(op, lanes, in, out, pair_apply_f64);
}

static status pair_adjoint_f32(const struct spot_operator *op, int lanes, const float *in, float *out)
{
    return through_f64(op, lanes, in, out, pair_adjoint_f64);
}

static status operator_pair_new(struct spot_operator *op, const struct slide *slide, const struct partition *sites, const struct phi *phi,
                                double r, double radius)
{
    struct operator_pair *pair = calloc(1, sizeof *pair);
    if (pair)
        pair->tissue = calloc((size_t)sites->n_own + 1, 1);
    status s = agree(sites->comm, pair && pair->tissue ? MONGE_OK : error_memory("the learned kernel", (double)sites->n_own));
    for (int m = 0; m < 2 && s == MONGE_OK; m++) {
        struct radial radial = {phi, r, m == 1};
        s = operator_radial_new(&pair->part[m], slide, sites, radius, radial_value, &radial);
    }
    if (s != MONGE_OK) {
        if (pair)
            pair_free(pair);
        return s;
    }
    for (int64_t i = 0; i < sites->n_own; i++)
        pair->tissue[i] = slide->kind[sites->first + i] == SITE_TISSUE;
    *op = (struct spot_operator){.sites = sites,
                                 .state = pair,
                                 .apply_f64 = pair_apply_f64,
                                 .apply_f32 = pair_apply_f32,
                                 .adjoint_f64 = pair_adjoint_f64,
                                 .adjoint_f32 = pair_adjoint_f32,
                                 .free_state = pair_free,
                                 .bytes = pair->part[0].bytes + pair->part[1].bytes};
    return MONGE_OK;
}

/* ---- the kernel ------------------------------------------------------------------------------------------------------- */

enum { PHI_LATERAL = 1, PHI_COMPONENTS = 3 };

/* Mean over sources of the lateral column's own share, K_jj = n_j since w(0) = 1. */
static status mean_own_share(const struct kernel *kernel, double *share)
{
    double sums[2];
    status s = exact_field_sum_f64(kernel->sites, 1, kernel->inverse_norm[PHI_LATERAL], NULL, &sums[0]);
    if (s == MONGE_OK)
        s = exact_field_sum_f64(kernel->sites, 1, kernel->source, NULL, &sums[1]);
    if (s == MONGE_OK)
        *share = sums[0] / sums[1];
    return s;
}

status kernel_new_phi(struct kernel *kernel, const struct slide *slide, const struct partition *sites, const struct phi *phi, double r,
                      double radius, double stay, double uniform)
{
    if (!(stay >= 0.0 && uniform >= 0.0 && stay + uniform <= 1.0) || !(r > 0.0) || !(radius > 0.0))
        return error_set(MONGE_USAGE, "learned kernel: stay %g, uniform %g, r %g or radius %g out of range", stay, uniform, r, radius);
    status s = kernel_begin(kernel, slide, sites, 1.0, PHI_COMPONENTS);
    if (s != MONGE_OK)
        return s;
    double own_share = 1.0;
    s = operator_pair_new(&kernel->local[PHI_LATERAL], slide, sites, phi, r, radius);
    if (s == MONGE_OK)
        s = kernel_normalise(kernel, PHI_LATERAL);
    if (s == MONGE_OK)
        s = mean_own_share(kernel, &own_share);
    if (s != MONGE_OK) {
        kernel_free(kernel);
        return s;
    }
    double leaves = 1.0 - stay, lateral[] = {leaves > 0.0 ? (leaves - uniform) / leaves : 0.0};
    kernel_set_weights(kernel, leaves, lateral, leaves > 0.0 ? uniform / leaves : 0.0);
    kernel->parameters = (struct kernel_parameters){.beta = 1.0 - stay - (1.0 - stay - uniform) * own_share,
                                                    .sigma = NAN,
                                                    .tail_length = NAN,
                                                    .uniform_weight = uniform,
                                                    .permeability = 1.0};
    return MONGE_OK;
}

double kernel_phi_cap_beta(struct kernel *kernel, double cap)
{
    double uniform = kernel->parameters.uniform_weight, lateral = kernel->weight[PHI_LATERAL], stay = kernel->weight[KERNEL_STAY];
    double beta = kernel->parameters.beta;
    if (!(beta > cap) || !(lateral > 0.0))
        return stay;
    /* beta falls in proportion to the lateral weight, which gives way to the identity; the uniform share goes last */
    double moved = beta - uniform, keep = moved > 0.0 ? fmax(cap - uniform, 0.0) / moved : 0.0;
    double spread = fmin(uniform, cap), leaves = keep * lateral + spread;
    double share[] = {leaves > 0.0 ? keep * lateral / leaves : 0.0};
    kernel_set_weights(kernel, leaves, share, leaves > 0.0 ? spread / leaves : 0.0);
    kernel->parameters.beta = fmin(cap, beta);
    kernel->parameters.uniform_weight = spread;
    return 1.0 - leaves;
}

void phi_profile(const struct phi *phi, double r, int n, const double *distance, double *probability)
{
    for (int k = 0; k < n; k++)
        probability[k] = exp(-phi_cost(phi, distance[k], true, true) / r);
}

/* ---- pairs summed by offset ------------------------------------------------------------------------------------------- */

struct offsets {
    int n;
    int32_t *row, *col;
    double *distance;
};

struct phi_pairs {
    const struct kernel *kernel;
    struct phi phi;
    double r;
    int lanes;
    struct offsets offsets[2]; /* by parity of the source's row */
    int64_t n_wanted;
    int64_t *wanted; /* sites of other ranks within the radius of own sources, ascending */
    struct halo *halo;
    double *ghost;     /* n_wanted x lanes: p there */
    double *back;      /* own sites x lanes: K'p */
    double *block;     /* G of one block: most offsets x 2 */
    struct exact *sum; /* [parity][offset][m_i], offsets padded to the larger number */
    int n_padded;
    status failed;
};

static status offsets_new(struct offsets *offsets, const struct slide *slide, int parity, double radius)
{
    offsets->n = slide_offsets(slide, parity, radius, NULL, NULL, NULL);
    size_t n = (size_t)offsets->n + 1;
    offsets->row = malloc(n * sizeof *offsets->row);
    offsets->col = malloc(n * sizeof *offsets->col);
    offsets->distance = malloc(n * sizeof *offsets->distance);
    if (!offsets->row || !offsets->col || !offsets->distance)
        return error_memory("kernel offsets", 16.0 * (double)n);
    slide_offsets(slide, parity, radius, offsets->row, offsets->col, offsets->distance);
    return MONGE_OK;
}

/* The site at offset k of a source in (row, col), or -1: off the lattice or no spot there. */
static int64_t site_at(const struct slide *slide, const struct offsets *offsets, int k, int32_t row, int32_t col)
{
    row += offsets->row[k];
    col += offsets->col[k];
    if (row < 0 || row >= slide->n_rows || col < 0 || col >= slide->n_cols)
        return -1;
    int64_t site = slide_site(slide, row, col);
    return slide->kind[site] == SITE_OFF ? -1 : site;
}

static int compare_sites(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static status list_wanted(struct phi_pairs *pairs)
{
    const struct slide *slide = pairs->kernel->slide;
    const struct partition *sites = pairs->kernel->sites;
    uint8_t *needed = calloc((size_t)slide->n_sites + 1, 1);
    if (!needed)
        return error_memory("the halo of the learned kernel", (double)slide->n_sites);
    for (int64_t j = sites->first; j < sites->first + sites->n_own; j++) {
        int32_t row, col;
        slide_cell(slide, j, &row, &col);
        for (int k = 0; slide->kind[j] == SITE_TISSUE && k < pairs->offsets[row & 1].n; k++) {
            int64_t i = site_at(slide, &pairs->offsets[row & 1], k, row, col);
            if (i >= 0)
                needed[i] = 1;
        }
    }
    memset(needed + sites->first, 0, (size_t)sites->n_own);
    for (int64_t i = 0; i < slide->n_sites; i++)
        pairs->n_wanted += needed[i];
    pairs->wanted = malloc(((size_t)pairs->n_wanted + 1) * sizeof *pairs->wanted);
    int64_t n = 0;
    for (int64_t i = 0; pairs->wanted && i < slide->n_sites; i++)
        if (needed[i])
            pairs->wanted[n++] = i;
    free(needed);
    return pairs->wanted ? MONGE_OK : error_memory("the halo of the learned kernel", 8.0 * (double)pairs->n_wanted);
}

static status pairs_build(struct phi_pairs *pairs, double radius)
{
    const struct slide *slide = pairs->kernel->slide;
    if (slide->lattice == LATTICE_NONE)
        return error_set(MONGE_USAGE,
                         "a learned kernel (--kernel mlp) needs spots on a lattice; use --kernel mixture for irregular positions");
    for (int parity = 0; parity < 2; parity++) {
        status s = offsets_new(&pairs->offsets[parity], slide, parity, radius);
        if (s != MONGE_OK)
            return s;
        if (pairs->offsets[parity].n > pairs->n_padded)
            pairs->n_padded = pairs->offsets[parity].n;
    }
    status s = list_wanted(pairs);
    if (s != MONGE_OK)
        return s;
    size_t lanes = (size_t)pairs->lanes, padded = (size_t)pairs->n_padded;
    pairs->ghost = malloc(((size_t)pairs->n_wanted * lanes + 1) * sizeof(double));
    pairs->back = malloc(((size_t)pairs->kernel->sites->n_own * lanes + 1) * sizeof(double));
    pairs->block = malloc(4 * padded * sizeof(double));
    pairs->sum = calloc(4 * padded, sizeof *pairs->sum);
    if (!pairs->ghost || !pairs->back || !pairs->block || !pairs->sum)
        return error_memory("the adjoint of the learned kernel", 8.0 * (double)((size_t)pairs->kernel->sites->n_own * lanes));
    return MONGE_OK;
}

status phi_pairs_new(struct phi_pairs **result, const struct kernel *kernel, const struct phi *phi, double r, double radius, int lanes)
{
    *result = NULL;
    struct phi_pairs *pairs = calloc(1, sizeof *pairs);
    status s = pairs ? MONGE_OK : error_memory("the learned kernel", 1e3);
    if (pairs) {
        pairs->kernel = kernel;
        pairs->phi = *phi;
        pairs->r = r;
        pairs->lanes = lanes;
        s = pairs_build(pairs, radius);
    }
    s = agree(kernel->sites->comm, s);
    if (s == MONGE_OK)
        s = halo_new(&pairs->halo, kernel->sites, pairs->n_wanted, pairs->wanted);
    if (s != MONGE_OK)
        phi_pairs_free(pairs);
    else
        *result = pairs;
    return s;
}

void phi_pairs_free(struct phi_pairs *pairs)
{
    if (!pairs)
        return;
    for (int parity = 0; parity < 2; parity++) {
        free(pairs->offsets[parity].row);
        free(pairs->offsets[parity].col);
        free(pairs->offsets[parity].distance);
    }
    if (pairs->halo)
        halo_free(pairs->halo);
    free(pairs->wanted);
    free(pairs->ghost);
    free(pairs->back);
    free(pairs->block);
    free(pairs->sum);
    free(pairs);
}

static const double *seen_at(const struct phi_pairs *pairs, const double *seen, int64_t site)
{
    const struct partition *sites = pairs->kernel->sites;
    if (site >= sites->first && site < sites->first + sites->n_own)
        return seen + (site - sites->first) * pairs->lanes;
    const int64_t *place = bsearch(&site, pairs->wanted, (size_t)pairs->n_wanted, sizeof site, compare_sites);
    return pairs->ghost + (place - pairs->wanted) * pairs->lanes;
}

/* Adds the pairs of one source to the block's table. */
static void add_source(struct phi_pairs *pairs, int64_t j, const double *seen, const double *q)
{
    const struct slide *slide = pairs->kernel->slide;
    int64_t own = j - pairs->kernel->sites->first;
    int32_t row, col;
    slide_cell(slide, j, &row, &col);
    int parity = row & 1;
    double norm = pairs->kernel->inverse_norm[PHI_LATERAL][own], column = 0.0;
    for (int l = 0; l < pairs->lanes; l++)
        column += q[l] * pairs->back[own * pairs->lanes + l];
    for (int k = 0; k < pairs->offsets[parity].n; k++) {
        int64_t i = site_at(slide, &pairs->offsets[parity], k, row, col);
        if (i < 0)
            continue;
        const double *p = seen_at(pairs, seen, i);
        double dot = 0.0;
        for (int l = 0; l < pairs->lanes; l++)
            dot += p[l] * q[l];
        pairs->block[(parity * pairs->n_padded + k) * 2 + (slide->kind[i] == SITE_TISSUE)] += norm * (dot - column);
    }
}

void phi_pairs_add(const double *seen, const double *source, void *context)
{
    struct phi_pairs *pairs = context;
    const struct kernel *kernel = pairs->kernel;
    const struct partition *sites = kernel->sites;
    if (pairs->failed != MONGE_OK)
        return;
    pairs->failed = halo_start(pairs->halo, (size_t)pairs->lanes * sizeof(double), seen, pairs->ghost);
    if (pairs->failed == MONGE_OK)
        pairs->failed = halo_finish(pairs->halo);
    if (pairs->failed == MONGE_OK)
        pairs->failed = kernel_component_adjoint_f64(kernel, PHI_LATERAL, pairs->lanes, seen, pairs->back);
    if (pairs->failed != MONGE_OK)
        return;
    size_t table = 4 * (size_t)pairs->n_padded;
    for (int64_t b = sites->first_block; b < sites->end_block; b++) {
        memset(pairs->block, 0, table * sizeof(double));
        for (int64_t j = sites->block_start[b]; j < sites->block_start[b + 1]; j++)
            if (kernel->slide->kind[j] == SITE_TISSUE)
                add_source(pairs, j, seen, source + (j - sites->first) * pairs->lanes);
        for (size_t t = 0; t < table; t++)
            exact_add(&pairs->sum[t], pairs->block[t]);
    }
}

status phi_pairs_finish(struct phi_pairs *pairs, double *r_bar, double *parameter_bar)
{
    status s = agree(pairs->kernel->sites->comm, pairs->failed);
    if (s != MONGE_OK)
        return s;
    exact_allreduce(pairs->sum, 4 * pairs->n_padded, pairs->kernel->sites->comm);
    memset(parameter_bar, 0, PHI_PARAMETERS * sizeof *parameter_bar);
    *r_bar = 0.0;
    for (int parity = 0; parity < 2; parity++)
        for (int k = 0; k < pairs->offsets[parity].n; k++)
            for (int m = 0; m < 2; m++) {
                double d = pairs->offsets[parity].distance[k], cost = phi_cost(&pairs->phi, d, m == 1, true);
                double g = exact_value(&pairs->sum[(parity * pairs->n_padded + k) * 2 + m]) * pairs->kernel->weight[PHI_LATERAL];
                double cost_bar = -exp(-cost / pairs->r) * g / pairs->r;
                *r_bar -= cost_bar * cost / pairs->r;
                phi_weight_adjoint(&pairs->phi, d, m == 1, true, cost_bar * pow(d, pairs->phi.power), parameter_bar);
            }
    return MONGE_OK;
}
