/* Step B: the low-rank field x_gi ~ Poisson(e_i sum_c pi_gc sum_k V_gk F_c,ik), F_c = K_c U (docs/correct.md, "Low-rank field").
 *
 * Multiplicative (EM) sweeps over V, pi and U. The counts expected from factor k through component c,
 *     r_gi,ck = x_gi pi_gc V_gk F_c,ik / sum_c'k' pi_gc' V_gk' F_c',ik'        (e_i cancels)
 * are zero wherever x is, so a half sweep costs O(non-zeros x width), width = components x lanes; everything else is a kernel
 * application to U. Sums of r are bounded by T_g over sites and by n_i over genes, so they are added as multiples of one
 * unit (rounded_sum.h): any grid shape gives the same bits. With shared pi the components fold into one, F = K U. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lowrank_pass.h"
#include "monge/agree.h"
#include "monge/correct_model.h"
#include "monge/exact_sum.h"
#include "monge/rounded_sum.h"

enum { OCTET = 8 }; /* lanes come in octets */

/* One fit's fields. width = parts x lanes; a row holds the parts one after the other. */
struct sweep {
    const struct kernel *kernel;
    const struct gene_counts *columns;
    struct lowrank_counts counts;
    int lanes, parts, width; /* parts: 1 (shared pi) or kernel->n_components */
    double *field;           /* own sites x width: F_c */
    double *expected;        /* own sites x width: sum_g r, then sum_g w q */
    double *part[2];         /* own sites x lanes each */
    double *work;            /* 2 x own sites x lanes */
    double *dealt[2];        /* own sites x lanes each; NULL with one gene group */
    double *back;            /* own sites x parts: K_c' e */
    double *site_shift;      /* own sites: rounding shift of n_i */
    double *weight;          /* own genes x width: w_gck = pi_gc V_gk */
    double *share;           /* own genes x width: sum_i r */
    double *exposure;        /* width: D_ck = sum_i e_i F_c,ik */
    double *mass;            /* width: sum_g w_gck */
    double *logs;            /* own genes: sum_i x log f */
    double log_e;            /* sum_i n_i log e_i */
};

static double *aligned(int64_t n)
{
    size_t bytes = ((size_t)(n > 0 ? n : 1) * sizeof(double) + 63) / 64 * 64;
    double *p = aligned_alloc(64, bytes);
    if (p)
        memset(p, 0, bytes);
    return p;
}

static void sweep_free(struct sweep *s)
{
    lowrank_counts_free(&s->counts);
    free(s->field);
    free(s->expected);
    free(s->part[0]);
    free(s->part[1]);
    free(s->work);
    free(s->dealt[0]);
    free(s->dealt[1]);
    free(s->back);
    free(s->site_shift);
    free(s->weight);
    free(s->share);
    free(s->exposure);
    free(s->mass);
    free(s->logs);
    memset(s, 0, sizeof *s);
}

static status sweep_new(struct sweep *s, const struct kernel *kernel, const struct gene_counts *columns, int lanes, int parts)
{
    int64_t own = columns->sites.n_own, genes = columns->n_genes;
    memset(s, 0, sizeof *s);
    s->kernel = kernel;
    s->columns = columns;
    s->lanes = lanes;
    s->parts = parts;
    s->width = parts * lanes;
    s->field = aligned(own * s->width);
    s->expected = aligned(own * s->width);
    s->part[0] = aligned(own * lanes);
    s->part[1] = aligned(own * lanes);
    s->work = aligned(2 * own * lanes);
    bool deal = columns->grid->n_gene_groups > 1;
    for (int k = 0; deal && k < 2; k++)
        s->dealt[k] = aligned(own * lanes);
    s->back = aligned(own * parts);
    s->site_shift = aligned(own);
    s->weight = aligned(genes * s->width);
    s->share = aligned(genes * s->width);
    s->exposure = aligned(s->width);
    s->mass = aligned(s->width);
    s->logs = aligned(genes);
    status st = MONGE_OK;
    if ((deal && (!s->dealt[0] || !s->dealt[1])) || !s->field || !s->expected || !s->part[0] || !s->part[1] || !s->work || !s->back ||
        !s->site_shift || !s->weight || !s->share || !s->exposure || !s->mass || !s->logs)
        st = error_memory("the low-rank field", 8.0 * (double)s->width * (double)(2 * own + 2 * genes) + 32.0 * (double)(own * lanes));
    st = agree(columns->grid->comm, st ? st : lowrank_counts_new(&s->counts, columns));
    if (st)
        sweep_free(s);
    return st;
}

/* Rounding shifts of the sites, and sum_i n_i log e_i. */
static status site_totals(struct sweep *s, const double *e)
{
    const struct gene_counts *columns = s->columns;
    int64_t own = columns->sites.n_own;
    double *n = s->site_shift;
    for (int64_t t = 0; t < columns->start[columns->n_genes]; t++)
        n[columns->site[t]] += (double)columns->count[t];
    MPI_Allreduce(MPI_IN_PLACE, n, (int)own, MPI_DOUBLE, MPI_SUM, columns->grid->gene_comm); /* integers: exact */
    for (int64_t i = 0; i < own; i++)
        s->work[i] = n[i] > 0.0 ? n[i] * log(e[i]) : 0.0;
    status st = exact_field_sum_f64(&columns->sites, 1, s->work, NULL, &s->log_e);
    for (int64_t i = 0; i < own; i++)
        n[i] = rounding_shift(n[i]);
    return st;
}

static status part_apply(struct sweep *s, int part, int lanes, const double *in, double *out)
{
    return s->parts == 1 ? kernel_apply_f64(s->kernel, lanes, NULL, in, out, s->work)
                         : kernel_component_apply_f64(s->kernel, part, lanes, in, out);
}

static status part_adjoint(struct sweep *s, int part, int lanes, const double *in, double *out)
{
    return s->parts == 1 ? kernel_adjoint_f64(s->kernel, lanes, NULL, in, out, s->work)
                         : kernel_component_adjoint_f64(s->kernel, part, lanes, in, out);
}

/* Lanes [first, end) of a gene group: whole octets, as even as they go. */
static void dealt_lanes(const struct sweep *s, int group, int *first, int *end)
{
    int octets = s->lanes / OCTET, groups = s->columns->grid->n_gene_groups;
    *first = OCTET * (int)((int64_t)octets * group / groups);
    *end = OCTET * (int)((int64_t)octets * (group + 1) / groups);
}

/* Columns [first, end) of rows of `lanes`, to or from rows of their own. */
static void pack(int64_t rows, int lanes, int first, int end, const double *from, double *to)
{
    for (int64_t i = 0; i < rows; i++)
        memcpy(to + i * (end - first), from + i * lanes + first, (size_t)(end - first) * sizeof *to);
}

static void unpack(int64_t rows, int lanes, int first, int end, const double *from, double *to)
{
    for (int64_t i = 0; i < rows; i++)
        memcpy(to + i * lanes + first, from + i * (end - first), (size_t)(end - first) * sizeof *to);
}

/* A part of the kernel on all lanes (own sites x lanes): gene groups hold the same fields, so each takes some lanes and gives the others
 * the result. */
static status deal_lanes(struct sweep *s, status (*use)(struct sweep *s, int part, int lanes, const double *in, double *out), int part,
                         const double *in, double *out)
{
    const struct grid *grid = s->columns->grid;
    int64_t own = s->columns->sites.n_own;
    if (grid->n_gene_groups == 1)
        return use(s, part, s->lanes, in, out);
    int first, end;
    dealt_lanes(s, grid->gene_group, &first, &end);
    double *mine = s->dealt[0], *all = s->dealt[1];
    pack(own, s->lanes, first, end, in, mine);
    status st = first < end ? use(s, part, end - first, mine, out) : MONGE_OK;
    st = agree(grid->gene_comm, st);
    if (st)
        return st;
    int counts[grid->n_gene_groups], starts[grid->n_gene_groups];
    for (int g = 0; g < grid->n_gene_groups; g++) {
        int from, to;
        dealt_lanes(s, g, &from, &to);
        counts[g] = (int)(own * (to - from));
        starts[g] = (int)(own * from);
    }
    MPI_Allgatherv(out, counts[grid->gene_group], MPI_DOUBLE, all, counts, starts, MPI_DOUBLE, grid->gene_comm);
    for (int g = 0; g < grid->n_gene_groups; g++) {
        dealt_lanes(s, g, &first, &end);
        unpack(own, s->lanes, first, end, all + starts[g], out);
    }
    return MONGE_OK;
}

/* K_c' e, once. */
static status back_exposures(struct sweep *s, const double *e)
{
    int64_t own = s->columns->sites.n_own;
    status st = MONGE_OK;
    for (int c = 0; c < s->parts && !st; c++) {
        st = part_adjoint(s, c, 1, e, s->part[0]);
        for (int64_t j = 0; j < own; j++)
            s->back[j * s->parts + c] = s->part[0][j];
    }
    return st;
}

/* F_c = K_c U and D_c = F_c' e. */
static status forward_fields(struct sweep *s, const double *u, const double *e)
{
    int64_t own = s->columns->sites.n_own;
    int lanes = s->lanes, width = s->width;
    status st = MONGE_OK;
    for (int c = 0; c < s->parts && !st; c++) {
        double *f = s->part[0];
        st = deal_lanes(s, part_apply, c, u, f);
        for (int64_t i = 0; i < own; i++)
            memcpy(s->field + i * width + c * lanes, f + i * lanes, (size_t)lanes * sizeof *f);
    }
    return st ? st : exact_field_sum_f64(&s->columns->sites, width, s->field, e, s->exposure);
}

static void weigh_factors(struct sweep *s, const struct lowrank *model)
{
    for (int64_t g = 0; g < s->columns->n_genes; g++)
        for (int c = 0; c < s->parts; c++) {
            double pi = s->parts == 1 ? 1.0 : model->pi[g * model->n_components + c];
            for (int k = 0; k < s->lanes; k++)
                s->weight[g * s->width + c * s->lanes + k] = pi * model->v[g * s->lanes + k];
        }
}

static void add_over(MPI_Comm comm, double *values, int64_t n)
{
    enum { PIECE = 1 << 28 };
    int size;
    MPI_Comm_size(comm, &size);
    for (int64_t i = 0; size > 1 && i < n; i += PIECE)
        MPI_Allreduce(MPI_IN_PLACE, values + i, n - i < PIECE ? (int)(n - i) : PIECE, MPI_DOUBLE, MPI_SUM, comm);
}

/* Sums n values per own gene over all genes. */
static status sum_over_genes(const struct gene_counts *columns, int n, const double *value, double *total)
{
    struct exact *sum = calloc((size_t)n, sizeof *sum);
    status st = agree(columns->grid->comm, sum ? MONGE_OK : error_memory("sums over genes", 40.0 * n));
    if (!st) {
        for (int64_t g = 0; g < columns->n_genes; g++)
            for (int k = 0; k < n; k++)
                exact_add(&sum[k], value[g * n + k]);
        exact_allreduce(sum, n, columns->grid->gene_comm);
        for (int k = 0; k < n; k++)
            total[k] = exact_value(&sum[k]);
    }
    free(sum);
    return st;
}

/* log-likelihood sum x log f - f of the state before the sweep, up to sum log x!. */
static status log_likelihood(struct sweep *s, double *result)
{
    const struct gene_counts *columns = s->columns;
    double *logs = s->logs;
    add_over(columns->grid->spot_comm, logs, columns->n_genes);
    for (int64_t g = 0; g < columns->n_genes; g++)
        for (int k = 0; k < s->width; k++)
            logs[g] -= s->weight[g * s->width + k] * s->exposure[k];
    status st = sum_over_genes(columns, 1, logs, result);
    *result += s->log_e;
    return st;
}

/* pi_c <- n_c / y_c + A pi0_c, normalised; y_c = sum_k V D_c,k / sum_k V. */
static void fresh_weights(const struct sweep *s, const double *share, double strength, const double *v, double *fresh)
{
    double sum = 0.0, v_sum = 0.0;
    for (int k = 0; k < s->lanes; k++)
        v_sum += v[k];
    for (int c = 0; c < s->parts; c++) {
        double n = 0.0, y = 0.0;
        for (int k = 0; k < s->lanes; k++) {
            n += share[c * s->lanes + k];
            y += v[k] * s->exposure[c * s->lanes + k];
        }
        fresh[c] = (y > 0.0 ? n * v_sum / y : 0.0) + strength * s->kernel->weight[c];
        sum += fresh[c];
    }
    for (int c = 0; c < s->parts; c++)
        fresh[c] /= sum;
}

/* V_k <- sum_c r / sum_c pi_c D_c (old pi). */
static void fresh_factors(const struct sweep *s, const double *share, const double *pi, double *v)
{
    for (int k = 0; k < s->lanes; k++) {
        double n = 0.0, y = 0.0;
        for (int c = 0; c < s->parts; c++) {
            n += share[c * s->lanes + k];
            y += pi[c] * s->exposure[c * s->lanes + k];
        }
        v[k] = y > 0.0 ? n / y : 0.0;
    }
}

static void update_genes(const struct sweep *s, const struct lowrank_options *options, struct lowrank *model)
{
    static const double whole[1] = {1.0};
    for (int64_t g = 0; g < s->columns->n_genes; g++) {
        const double *share = s->share + g * s->width;
        double *v = model->v + g * s->lanes, *pi = model->pi + g * model->n_components, fresh[KERNEL_MAX_COMPONENTS];
        if (s->parts > 1)
            fresh_weights(s, share, options->gene_weights, v, fresh);
        fresh_factors(s, share, s->parts > 1 ? pi : whole, v);
        if (s->parts > 1)
            memcpy(pi, fresh, (size_t)s->parts * sizeof *pi);
    }
}

/* sum_c K_c' (sum_g w q) into numerator (own sites x lanes). */
static status source_numerator(struct sweep *s, double *numerator)
{
    int64_t own = s->columns->sites.n_own;
    int lanes = s->lanes, width = s->width;
    status st = MONGE_OK;
    memset(numerator, 0, (size_t)(own * lanes) * sizeof *numerator);
    for (int c = 0; c < s->parts && !st; c++) {
        for (int64_t i = 0; i < own; i++)
            memcpy(s->part[0] + i * lanes, s->expected + i * width + c * lanes, (size_t)lanes * sizeof *numerator);
        st = deal_lanes(s, part_adjoint, c, s->part[0], s->part[1]);
        for (int64_t i = 0; i < own * lanes; i++)
            numerator[i] += s->part[1][i];
    }
    return st;
}

/* U <- U * [sum_c K_c' (sum_g w q)] / [sum_c (sum_g w) K_c' e], not yet normalised; dead sources stay 0. */
static status update_sources(struct sweep *s, double *u)
{
    int64_t own = s->columns->sites.n_own;
    int lanes = s->lanes;
    for (int64_t i = 0; i < own * s->width; i++) /* from counts r back to weights w q; r = 0 where F = 0 */
        s->expected[i] = s->expected[i] > 0.0 ? s->expected[i] / s->field[i] : 0.0;
    double *numerator = s->field; /* F is not needed any more */
    status st = sum_over_genes(s->columns, s->width, s->weight, s->mass);
    if (!st)
        st = source_numerator(s, numerator);
    for (int64_t j = 0; j < own && !st; j++)
        for (int k = 0; k < lanes; k++) {
            double denominator = 0.0;
            for (int c = 0; c < s->parts; c++)
                denominator += s->mass[c * lanes + k] * s->back[j * s->parts + c];
            u[j * lanes + k] = denominator > 0.0 ? u[j * lanes + k] * numerator[j * lanes + k] / denominator : 0.0;
        }
    return st;
}

/* Rows of U to 1; the factors go into V, or rows of V are rescaled to T_g. */
static status normalise(struct sweep *s, const struct lowrank_options *options, struct lowrank *model)
{
    const struct gene_counts *columns = s->columns;
    int lanes = s->lanes;
    double *sum = s->mass;
    status st = exact_field_sum_f64(&columns->sites, lanes, model->u, NULL, sum);
    for (int64_t j = 0; j < columns->sites.n_own && !st; j++)
        for (int k = 0; k < lanes; k++)
            model->u[j * lanes + k] = sum[k] > 0.0 ? model->u[j * lanes + k] / sum[k] : 0.0;
    for (int64_t g = 0; g < columns->n_genes && !st; g++) {
        double *v = model->v + g * lanes, row = 0.0;
        for (int k = 0; k < lanes; k++)
            row += v[k];
        for (int k = 0; k < lanes; k++)
            v[k] *= !options->rescale_rows ? sum[k] : row > 0.0 ? columns->total[g] / row : 0.0;
    }
    return st;
}

/* The half of a sweep that moves U. */
static status source_half(struct sweep *s, const struct lowrank_options *options, struct lowrank *model)
{
    const struct gene_counts *columns = s->columns;
    const struct lowrank_pass pass = {&s->counts, s->width, s->field, s->weight};
    weigh_factors(s, model);
    memset(s->expected, 0, (size_t)(columns->sites.n_own * s->width) * sizeof *s->expected);
    status st = (options->single ? lowrank_collect_sites_f32 : lowrank_collect_sites_f64)(&pass, s->site_shift, s->expected);
    if ((st = agree(columns->grid->comm, st)))
        return st;
    add_over(columns->grid->gene_comm, s->expected, columns->sites.n_own * s->width);
    st = update_sources(s, model->u);
    return st ? st : normalise(s, options, model);
}

/* The half that moves V and pi. The log-likelihood before it into loglik, if not NULL. */
static status gene_half(struct sweep *s, const struct lowrank_options *options, const double *e, struct lowrank *model, double *loglik)
{
    const struct gene_counts *columns = s->columns;
    status st = forward_fields(s, model->u, e);
    if (st)
        return st;
    weigh_factors(s, model);
    const struct lowrank_pass pass = {&s->counts, s->width, s->field, s->weight};
    memset(s->share, 0, (size_t)(columns->n_genes * s->width) * sizeof *s->share);
    memset(s->logs, 0, (size_t)columns->n_genes * sizeof *s->logs);
    st = (options->single ? lowrank_collect_genes_f32 : lowrank_collect_genes_f64)(&pass, s->share, loglik ? s->logs : NULL);
    if ((st = agree(columns->grid->comm, st)))
        return st;
    add_over(columns->grid->spot_comm, s->share, columns->n_genes * s->width);
    if (loglik && (st = log_likelihood(s, loglik)))
        return st;
    update_genes(s, options, model);
    return MONGE_OK;
}

/* Sweeps [first, end) with the components folded (parts 1) or apart. */
static status run_sweeps(struct lowrank *model, const struct lowrank_options *options, const struct kernel *kernel,
                         const struct gene_counts *columns, const double *e, int parts, int first, int end)
{
    if (first < options->sweeps_done)
        first = options->sweeps_done;
    if (first >= end)
        return MONGE_OK;
    struct sweep s;
    status st = sweep_new(&s, kernel, columns, model->lanes, parts);
    if (st)
        return st;
    st = site_totals(&s, e);
    if (!st)
        st = back_exposures(&s, e);
    for (int sweep = first; sweep < end && !st; sweep++) {
        bool wanted = options->likelihood_every <= 1 || sweep % options->likelihood_every == 0 || sweep == options->sweeps - 1;
        model->loglik[sweep] = NAN;
        st = gene_half(&s, options, e, model, wanted ? &model->loglik[sweep] : NULL);
        if (!st && sweep >= options->gene_sweeps)
            st = source_half(&s, options, model);
        if (!st && options->after_sweep)
            st = options->after_sweep(options->context, sweep + 1);
    }
    sweep_free(&s);
    return agree(columns->grid->comm, st);
}

status lowrank_fit(struct lowrank *model, const struct lowrank_options *options, const struct kernel *kernel,
                   const struct gene_counts *columns, const double *e)
{
    double *loglik = realloc(model->loglik, (size_t)(options->sweeps > 0 ? options->sweeps : 1) * sizeof *loglik);
    if (loglik)
        model->loglik = loglik;
    status st = agree(columns->grid->comm, loglik ? MONGE_OK : error_memory("log-likelihoods", 8.0 * options->sweeps));
    int shared = options->gene_weights > 0.0 ? options->first_weight_sweep : options->sweeps;
    if (shared > options->sweeps)
        shared = options->sweeps;
    if (!st)
        st = run_sweeps(model, options, kernel, columns, e, 1, 0, shared);
    if (!st)
        st = run_sweeps(model, options, kernel, columns, e, kernel->n_components, shared, options->sweeps);
    return st;
}

void lowrank_free(struct lowrank *model)
{
    free(model->u);
    free(model->v);
    free(model->pi);
    free(model->loglik);
    memset(model, 0, sizeof *model);
}
