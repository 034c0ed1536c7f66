/* Poisson GLM-PCA by alternating preconditioned steps.
 *
 * Given V, each spot is a small Poisson regression with curvature sum_g mu_ig v_g v_g' ~ s_i C; given U, each gene likewise, ~ Y_g C';
 * C and C' are averages over the profile, so one eigendecomposition of each serves all. What a gene needs of a set of loadings is
 * M_g = sum_i exp(o_i + u_i v_g) alone: the intercept that goes with it is log(Y_g / M_g), and the rest of its objective is linear.
 * Loadings are held factor by factor (dims x genes), so that loops over genes are vector loops. */
#include "monge/glm_pca.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/agree.h"
#include "monge/exact_sum.h"
#include "monge/rng.h"
#include "monge/rounded_sum.h"
#include "monge/symmetric_eigen.h"
#include "monge/vector_math.h"

enum { MIN_ITERATIONS = 5, MAX_HALVINGS = 30 };
static const double CAP = 16.0;  /* a trial of a gene may raise its largest mean so much */
static const double START = 0.1; /* standard deviation of the factors at the start */

struct glm_pca_options glm_pca_options_default(void)
{
    return (struct glm_pca_options){.dims = 50, .max_features = 2000, .penalty = 1.0, .max_iter = 1000, .tol = 1e-4, .seed = 0};
}

void glm_pca_free(struct glm_pca *pca)
{
    free(pca->feature);
    free(pca->intercept);
    free(pca->loading);
    free(pca->factor);
    free(pca->offset);
    free(pca->trace);
    memset(pca, 0, sizeof *pca);
}

/* A set of genes: all of them, or those whose step is still too long. */
struct genes {
    int n;
    int *index;      /* n: among all used genes */
    double *loading; /* dims x n */
    double *step;    /* dims x n */
    double *length;  /* n: of the step */
    double *mean;    /* n: M_g; infinite where a spot's share is beyond its cap */
};

struct work {
    MPI_Comm comm;
    int dims, n_features;
    int64_t n_rows; /* own */
    int64_t n_all;  /* rows of all ranks */
    double penalty;
    struct sparse_rows y;                      /* own rows x used genes; values owned here */
    double *offset;                            /* n_rows */
    double *total;                             /* n_features: Y_g */
    double all;                                /* sum of Y_g */
    double *u;                                 /* n_rows x dims */
    double *v;                                 /* dims x n_features */
    double *intercept;                         /* n_features */
    double *linear;                            /* n_features x dims: sum_i y_ig u_il */
    double *gradient;                          /* dims x n_features */
    double *loss;                              /* n_features */
    double *eta, *mu, *move, *cap;             /* n_features */
    double *eigenvalue, *eigenvector, *square; /* dims, dims x dims, dims x dims */
    double *short_a, *short_b, *short_c;       /* dims */
    double *unit;                              /* dims: a power of two above the largest |u_l|; 0 if that is */
    double *total_unit;                        /* n_features: of Y_g */
    double *largest;                           /* dims + n_features: |u_l|, then mu of each gene, over all rows */
    double *mean_shift;                        /* n_features: rounding shift of M_g */
    double constant;                           /* sum y log y - y */
    struct genes active;
};

struct slot {
    double **array;
    size_t length;
};
enum { N_SLOTS = 25 };

static void list_slots(struct work *k, struct slot slots[N_SLOTS])
{
    size_t n = (size_t)k->n_rows, f = (size_t)k->n_features, d = (size_t)k->dims;
    const struct slot all[N_SLOTS] = {{&k->offset, n},
                                      {&k->total, f},
                                      {&k->u, n * d},
                                      {&k->v, d * f},
                                      {&k->intercept, f},
                                      {&k->linear, d * f},
                                      {&k->gradient, d * f},
                                      {&k->loss, f},
                                      {&k->eta, f},
                                      {&k->mu, f},
                                      {&k->move, f},
                                      {&k->cap, f},
                                      {&k->eigenvalue, d},
                                      {&k->eigenvector, d * d},
                                      {&k->square, d * d},
                                      {&k->short_a, d},
                                      {&k->short_b, d},
                                      {&k->short_c, d},
                                      {&k->unit, d},
                                      {&k->total_unit, f},
                                      {&k->largest, d + f},
                                      {&k->mean_shift, f},
                                      {&k->active.loading, d * f},
                                      {&k->active.step, d * f},
                                      {&k->active.length, 2 * f}};
    memcpy(slots, all, sizeof all);
}

static void work_free(struct work *k)
{
    struct slot slots[N_SLOTS];
    list_slots(k, slots);
    for (int s = 0; s < N_SLOTS; s++)
        free(*slots[s].array);
    free(k->active.index);
    sparse_rows_free(&k->y);
}

static status work_new(struct work *k)
{
    struct slot slots[N_SLOTS];
    bool complete = true;
    list_slots(k, slots);
    for (int s = 0; s < N_SLOTS; s++)
        complete = (*slots[s].array = calloc(slots[s].length + 1, sizeof(double))) && complete;
    k->active.index = calloc((size_t)k->n_features + 1, sizeof(int));
    k->active.mean = k->active.length ? k->active.length + k->n_features : NULL;
    if (complete && k->active.index)
        return MONGE_OK;
    return error_memory("GLM-PCA", 8.0 * (double)k->dims * (double)(k->n_rows + 6 * k->n_features));
}

/* ---- counts ---- */

struct gene_total {
    double total;
    int32_t gene;
};

static int more_counts(const void *a, const void *b)
{
    const struct gene_total *p = a, *q = b;
    if (p->total != q->total)
        return p->total > q->total ? -1 : 1;
    return p->gene < q->gene ? -1 : 1;
}

static int by_gene(const void *a, const void *b)
{
    const struct gene_total *p = a, *q = b;
    return p->gene < q->gene ? -1 : 1;
}

static status check_counts(const struct sparse_rows *rows)
{
    for (int64_t i = 0; i < rows->n_rows; i++)
        for (int64_t e = rows->start[i]; e < rows->start[i + 1]; e++)
            if (!(rows->value[e] >= 0.0f) || !isfinite(rows->value[e]))
                return error_set(MONGE_BAD_DATA, "GLM-PCA needs counts, but row %lld of this rank holds %g", (long long)i,
                                 (double)rows->value[e]);
    return MONGE_OK;
}

/* The genes with most counts, ascending. Collective; totals of counts are exact. */
static status choose_features(struct glm_pca *pca, MPI_Comm comm, const struct sparse_rows *rows, int64_t n_genes, int max_features)
{
    struct exact *sum = calloc((size_t)n_genes + 1, sizeof *sum);
    struct gene_total *gene = malloc(((size_t)n_genes + 1) * sizeof *gene);
    pca->feature = malloc(((size_t)max_features + 1) * sizeof *pca->feature);
    status fault = sum && gene && pca->feature ? check_counts(rows) : error_memory("totals of genes", 64.0 * (double)n_genes);
    fault = agree(comm, fault);
    if (!fault) {
        for (int64_t e = 0; e < rows->start[rows->n_rows]; e++)
            exact_add(&sum[rows->column[e]], (double)rows->value[e]);
        exact_allreduce(sum, (int)n_genes, comm);
        for (int64_t g = 0; g < n_genes; g++)
            gene[g] = (struct gene_total){exact_value(&sum[g]), (int32_t)g};
        qsort(gene, (size_t)n_genes, sizeof *gene, more_counts);
        while (pca->n_features < max_features && pca->n_features < n_genes && gene[pca->n_features].total > 0.0)
            pca->n_features++;
        qsort(gene, (size_t)pca->n_features, sizeof *gene, by_gene);
        for (int f = 0; f < pca->n_features; f++)
            pca->feature[f] = gene[f].gene;
    }
    free(sum);
    free(gene);
    return fault;
}

/* Copies the used genes of the own rows and measures them. */
static status take_counts(struct work *k, const struct glm_pca *pca, const struct sparse_rows *rows, int64_t n_genes)
{
    int32_t *place = malloc(((size_t)n_genes + 1) * sizeof *place);
    int64_t entries = rows->start[rows->n_rows];
    k->y = (struct sparse_rows){.n_rows = rows->n_rows,
                                .start = calloc((size_t)rows->n_rows + 1, sizeof(int64_t)),
                                .column = malloc(((size_t)entries + 1) * sizeof(int32_t)),
                                .value = malloc(((size_t)entries + 1) * sizeof(float))};
    if (!place || !k->y.start || !k->y.column || !k->y.value) {
        free(place);
        return error_memory("counts of GLM-PCA", 8.0 * (double)entries);
    }
    for (int64_t g = 0; g < n_genes; g++)
        place[g] = -1;
    for (int f = 0; f < k->n_features; f++)
        place[pca->feature[f]] = f;
    int64_t end = 0;
    for (int64_t i = 0; i < rows->n_rows; i++) {
        double sum = 0.0;
        for (int64_t e = rows->start[i]; e < rows->start[i + 1]; e++)
            if (place[rows->column[e]] >= 0 && rows->value[e] > 0.0f) {
                k->y.column[end] = place[rows->column[e]];
                k->y.value[end++] = rows->value[e];
                sum += (double)rows->value[e];
            }
        k->y.start[i + 1] = end;
        k->offset[i] = log(sum);
    }
    free(place);
    return MONGE_OK;
}

/* The least power of two above x; 0 for 0. */
static double power_above(double x)
{
    int exponent;
    (void)frexp(x, &exponent);
    return x > 0.0 ? ldexp(1.0, exponent) : 0.0;
}

/* Y_g, the constant of the deviance. Collective. */
static status measure(struct work *k)
{
    struct exact constant = {0}, *total = calloc((size_t)k->n_features, sizeof *total);
    status fault = agree(k->comm, total ? MONGE_OK : error_memory("totals of genes", 48.0 * k->n_features));
    if (fault) {
        free(total);
        return fault;
    }
    for (int64_t e = 0; e < k->y.start[k->n_rows]; e++) {
        double y = (double)k->y.value[e];
        exact_add(&total[k->y.column[e]], y);
        exact_add(&constant, y * log(y) - y);
    }
    exact_allreduce(total, k->n_features, k->comm);
    exact_allreduce(&constant, 1, k->comm);
    k->constant = exact_value(&constant);
    for (int f = 0; f < k->n_features; f++) {
        k->total[f] = exact_value(&total[f]);
        k->all += k->total[f];
        k->intercept[f] = log(k->total[f]);
        k->total_unit[f] = power_above(k->total[f]);
    }
    for (int f = 0; f < k->n_features; f++)
        k->intercept[f] -= log(k->all);
    free(total);
    return MONGE_OK;
}

static void start_random(struct work *k, int64_t row_first, uint64_t seed)
{
    for (int64_t i = 0; i < k->n_rows; i++) {
        struct rng rng = rng_start(seed, RNG_GLM_PCA_ROW, (uint64_t)(row_first + i));
        for (int l = 0; l < k->dims; l++)
            k->u[i * k->dims + l] = isfinite(k->offset[i]) ? START * rng_normal(&rng) : 0.0;
    }
    for (int f = 0; f < k->n_features; f++) {
        struct rng rng = rng_start(seed, RNG_GLM_PCA_GENE, (uint64_t)f);
        for (int l = 0; l < k->dims; l++)
            k->v[l * k->n_features + f] = START * rng_normal(&rng);
    }
}

/* ---- parts of both steps ---- */

/* sum[g] += sum_l x_l loading[l][g] */
static void add_product(int dims, int n, const double *x, const double *loading, double *sum)
{
    enum { TILE = 512 };
    for (int first = 0; first < n; first += TILE) {
        int end = first + TILE < n ? first + TILE : n;
        for (int l = 0; l < dims; l++)
            for (int g = first; g < end; g++)
                sum[g] = fused_inline(x[l], loading[(int64_t)l * n + g], sum[g]);
    }
}

static void exponentials(int n, const double *x, double *y)
{
    for (int g = 0; g < n; g++)
        y[g] = exp_inline(x[g]);
}

/* x = E diag(1 / (scale d + penalty)) E' b */
static void precondition(const struct work *k, double scale, const double *b, double *rotated, double *x)
{
    int d = k->dims;
    memset(rotated, 0, (size_t)d * sizeof *rotated);
    memset(x, 0, (size_t)d * sizeof *x);
    for (int l = 0; l < d; l++)
        for (int e = 0; e < d; e++)
            rotated[e] += k->eigenvector[l * d + e] * b[l];
    for (int e = 0; e < d; e++)
        rotated[e] /= scale * fmax(k->eigenvalue[e], 0.0) + fmax(k->penalty, 1e-12 * scale);
    for (int l = 0; l < d; l++)
        for (int e = 0; e < d; e++)
            x[l] += k->eigenvector[l * d + e] * rotated[e];
}

static double square_norm(int n, const double *x)
{
    double sum = 0.0;
    for (int l = 0; l < n; l++)
        sum += x[l] * x[l];
    return sum;
}

/* ---- spots, given loadings ---- */

/* C = sum_g (Y_g / sum Y) v_g v_g' and its eigenvectors. */
static void curvature_of_spots(struct work *k)
{
    int d = k->dims, f = k->n_features;
    for (int l = 0; l < d; l++)
        for (int m = 0; m <= l; m++) {
            double sum = 0.0;
            for (int g = 0; g < f; g++)
                sum += k->total[g] * k->v[(int64_t)l * f + g] * k->v[(int64_t)m * f + g];
            k->square[l * d + m] = k->square[m * d + l] = sum / k->all;
        }
    symmetric_eigen(d, k->square, k->eigenvalue, k->eigenvector);
}

/* sum mu - y eta */
static double spot_misfit(const struct work *k, int64_t row)
{
    double sum = lane_sum(k->n_features, k->mu);
    for (int64_t e = k->y.start[row]; e < k->y.start[row + 1]; e++)
        sum -= (double)k->y.value[e] * k->eta[k->y.column[e]];
    return sum;
}

/* eta, mu of one row; returns sum mu - y eta. */
static double evaluate_spot(struct work *k, int64_t row)
{
    for (int g = 0; g < k->n_features; g++)
        k->eta[g] = k->offset[row] + k->intercept[g];
    add_product(k->dims, k->n_features, k->u + row * k->dims, k->v, k->eta);
    exponentials(k->n_features, k->eta, k->mu);
    return spot_misfit(k, row);
}

/* One step of a spot; its misfit after it. */
static double step_spot(struct work *k, int64_t row)
{
    int d = k->dims, f = k->n_features;
    double *u = k->u + row * d, misfit = evaluate_spot(k, row), s = lane_sum(f, k->mu);
    double objective = misfit + 0.5 * k->penalty * square_norm(d, u), *gradient = k->short_c, *step = k->short_a;
    for (int g = 0; g < f; g++)
        k->move[g] = -k->mu[g];
    for (int64_t e = k->y.start[row]; e < k->y.start[row + 1]; e++)
        k->move[k->y.column[e]] += (double)k->y.value[e];
    for (int l = 0; l < d; l++) {
        double lane[8] = {0.0};
        const double *v = k->v + (int64_t)l * f;
        int g = 0;
        for (; g + 8 <= f; g += 8)
            for (int p = 0; p < 8; p++)
                lane[p] = fused_inline(k->move[g + p], v[g + p], lane[p]);
        for (; g < f; g++)
            lane[0] = fused_inline(k->move[g], v[g], lane[0]);
        gradient[l] = lane_sum(8, lane) - k->penalty * u[l];
    }
    precondition(k, s, gradient, k->short_b, step);
    memset(k->move, 0, (size_t)f * sizeof *k->move);
    add_product(d, f, step, k->v, k->move);
    double length = 1.0, taken = 0.0;
    for (int halving = 0; halving < MAX_HALVINGS; halving++, length *= 0.5) {
        double more = length - taken; /* eta is moved on from the last trial */
        for (int g = 0; g < f; g++)
            k->eta[g] = fused_inline(more, k->move[g], k->eta[g]);
        taken = length;
        exponentials(f, k->eta, k->mu);
        for (int l = 0; l < d; l++)
            k->short_b[l] = u[l] + length * step[l];
        double trial = spot_misfit(k, row);
        if (trial + 0.5 * k->penalty * square_norm(d, k->short_b) <= objective) {
            memcpy(u, k->short_b, (size_t)d * sizeof *u);
            return trial;
        }
    }
    return evaluate_spot(k, row);
}

/* All spots; then sum mu - y eta of all ranks, and the largest |u_l| and mu (bounds of the sums to come). Collective. */
static double step_spots(struct work *k, bool move)
{
    struct exact sum = {0};
    int d = k->dims;
    double *largest_mu = k->largest + d;
    memset(k->largest, 0, (size_t)(d + k->n_features) * sizeof *k->largest);
    if (move)
        curvature_of_spots(k);
    for (int64_t i = 0; i < k->n_rows; i++) {
        if (!isfinite(k->offset[i]))
            continue;
        exact_add(&sum, move ? step_spot(k, i) : evaluate_spot(k, i));
        for (int g = 0; g < k->n_features; g++)
            largest_mu[g] = k->mu[g] > largest_mu[g] ? k->mu[g] : largest_mu[g];
        for (int l = 0; l < d; l++)
            k->largest[l] = fmax(k->largest[l], fabs(k->u[i * d + l]));
    }
    exact_allreduce(&sum, 1, k->comm);
    MPI_Allreduce(MPI_IN_PLACE, k->largest, d + k->n_features, MPI_DOUBLE, MPI_MAX, k->comm);
    for (int g = 0; g < k->n_features; g++)
        k->mean_shift[g] = rounding_shift(CAP * (double)k->n_all * largest_mu[g]);
    return exact_value(&sum);
}

/* ---- genes, given factors ---- */

/* What a spot adds to the mean and second moment of u, and to sum_i y_ig u_il. Shifts: see rounding_shift, 3 x power = 1.5 x 2 power. */
static void add_spot_moments(struct work *k, int64_t row)
{
    int d = k->dims;
    const double *u = k->u + row * d;
    double share = exp(k->offset[row]) / k->all; /* shares add up to 1 */
    for (int l = 0; l < d; l++) {
        k->short_c[l] += rounded(share * u[l], 6.0 * k->unit[l]);
        for (int m = 0; m < d; m++)
            k->square[l * d + m] += rounded(share * u[l] * u[m], 6.0 * k->unit[l] * k->unit[m]);
    }
    for (int64_t e = k->y.start[row]; e < k->y.start[row + 1]; e++) {
        double y = (double)k->y.value[e], shift = 3.0 * k->total_unit[k->y.column[e]];
        double *linear = k->linear + (int64_t)k->y.column[e] * d;
        for (int l = 0; l < d; l++)
            linear[l] += rounded(y * u[l], shift * k->unit[l]);
    }
}

/* C' = covariance of u under the shares of spots in all counts, with its eigenvectors; sum_i y_ig u_il. Collective. */
static void curvature_of_genes(struct work *k)
{
    int d = k->dims, f = k->n_features;
    memset(k->square, 0, (size_t)(d * d) * sizeof *k->square);
    memset(k->short_c, 0, (size_t)d * sizeof *k->short_c);
    memset(k->linear, 0, (size_t)d * (size_t)f * sizeof *k->linear);
    for (int l = 0; l < d; l++)
        k->unit[l] = power_above(k->largest[l]);
    for (int64_t i = 0; i < k->n_rows; i++)
        if (isfinite(k->offset[i]))
            add_spot_moments(k, i);
    MPI_Allreduce(MPI_IN_PLACE, k->square, d * d, MPI_DOUBLE, MPI_SUM, k->comm);
    MPI_Allreduce(MPI_IN_PLACE, k->short_c, d, MPI_DOUBLE, MPI_SUM, k->comm);
    MPI_Allreduce(MPI_IN_PLACE, k->linear, d * f, MPI_DOUBLE, MPI_SUM, k->comm);
    for (int l = 0; l < d; l++)
        for (int m = 0; m < d; m++)
            k->square[l * d + m] -= k->short_c[l] * k->short_c[m];
    symmetric_eigen(d, k->square, k->eigenvalue, k->eigenvector);
}

/* M_g of the active genes at their loadings; with_gradient (then all genes are active): sum_i exp(o_i + u_i v_g) u_il to k->gradient.
 * A mean beyond its cap makes M_g infinite, so that the bound of the sum holds for the others. Collective. */
static void sum_spots(struct work *k, bool with_gradient)
{
    struct genes *a = &k->active;
    int d = k->dims, n = a->n;
    double *shift = k->move, *cap = k->cap;
    memset(a->mean, 0, (size_t)n * sizeof *a->mean);
    for (int g = 0; g < n; g++) {
        shift[g] = k->mean_shift[a->index[g]];
        cap[g] = CAP * k->largest[d + a->index[g]];
    }
    if (with_gradient)
        memset(k->gradient, 0, (size_t)d * (size_t)n * sizeof *k->gradient);
    for (int64_t i = 0; i < k->n_rows; i++) {
        if (!isfinite(k->offset[i]))
            continue;
        for (int g = 0; g < n; g++)
            k->eta[g] = k->offset[i] + k->intercept[a->index[g]];
        add_product(d, n, k->u + i * d, a->loading, k->eta);
        exponentials(n, k->eta, k->mu);
        for (int g = 0; g < n; g++)
            a->mean[g] += k->mu[g] <= cap[g] ? rounded(k->mu[g], shift[g]) : (double)INFINITY;
        for (int l = 0; l < d && with_gradient; l++) {
            double u = k->u[i * d + l], unit = k->unit[l], *sum = k->gradient + (int64_t)l * n;
            for (int g = 0; g < n; g++)
                sum[g] += rounded(u * k->mu[g], unit * shift[g]);
        }
    }
    MPI_Allreduce(MPI_IN_PLACE, a->mean, n, MPI_DOUBLE, MPI_SUM, k->comm);
    if (with_gradient)
        MPI_Allreduce(MPI_IN_PLACE, k->gradient, d * n, MPI_DOUBLE, MPI_SUM, k->comm);
}

/* Objective of gene a->index[g] at its active loadings with the best intercept, up to a constant: Y log M - sum y u v + penalty. */
static double gene_objective(const struct work *k, int g, double mean)
{
    const struct genes *a = &k->active;
    int all = a->index[g];
    double linear = 0.0, square = 0.0;
    for (int l = 0; l < k->dims; l++) {
        double v = a->loading[(int64_t)l * a->n + g];
        linear += k->linear[(int64_t)all * k->dims + l] * v;
        square += v * v;
    }
    return k->total[all] * (log(mean) - k->intercept[all]) - linear + 0.5 * k->penalty * square;
}

/* Keeps the genes of the active set that are marked by a length above 0. */
static void keep_pending(struct work *k)
{
    struct genes *a = &k->active;
    int kept = 0, n = a->n, d = k->dims;
    for (int g = 0; g < n; g++)
        kept += a->length[g] > 0.0;
    int64_t to = 0;
    for (int l = 0; l < d; l++) /* in place: places only move down */
        for (int g = 0; g < n; g++)
            if (a->length[g] > 0.0) {
                a->step[to] = a->step[(int64_t)l * n + g];
                to++;
            }
    int at = 0;
    for (int g = 0; g < n; g++)
        if (a->length[g] > 0.0) {
            a->index[at] = a->index[g];
            a->length[at++] = a->length[g];
        }
    a->n = kept;
}

/* loading = v + length step */
static void try_lengths(struct work *k)
{
    struct genes *a = &k->active;
    for (int l = 0; l < k->dims; l++)
        for (int g = 0; g < a->n; g++)
            a->loading[(int64_t)l * a->n + g] =
                k->v[(int64_t)l * k->n_features + a->index[g]] + a->length[g] * a->step[(int64_t)l * a->n + g];
}

/* Objectives, best intercepts and steps of all genes at the present loadings. */
static void prepare_genes(struct work *k)
{
    struct genes *a = &k->active;
    int d = k->dims, f = k->n_features;
    a->n = f;
    memcpy(a->loading, k->v, (size_t)d * (size_t)f * sizeof *k->v);
    for (int g = 0; g < f; g++)
        a->index[g] = g;
    sum_spots(k, true);
    for (int g = 0; g < f; g++) {
        double mean = a->mean[g], scale = k->total[g] / mean, *gradient = k->short_a;
        k->loss[g] = gene_objective(k, g, mean);
        for (int l = 0; l < d; l++) {
            int64_t at = (int64_t)l * f + g;
            gradient[l] = k->linear[(int64_t)g * d + l] - scale * k->gradient[at] - k->penalty * k->v[at];
        }
        double *x = k->move; /* as long as the genes; dims fit */
        precondition(k, k->total[g], gradient, k->short_b, x);
        for (int l = 0; l < d; l++)
            a->step[(int64_t)l * f + g] = x[l];
        a->length[g] = 1.0;
    }
}

/* All genes. Collective; the same on all ranks. */
static void step_genes(struct work *k)
{
    struct genes *a = &k->active;
    curvature_of_genes(k);
    prepare_genes(k);
    for (int halving = 0; halving < MAX_HALVINGS && a->n > 0; halving++) {
        try_lengths(k);
        sum_spots(k, false);
        for (int g = 0; g < a->n; g++) {
            double mean = a->mean[g];
            int all = a->index[g];
            if (gene_objective(k, g, mean) <= k->loss[all]) {
                for (int l = 0; l < k->dims; l++)
                    k->v[(int64_t)l * k->n_features + all] = a->loading[(int64_t)l * a->n + g];
                k->intercept[all] += log(k->total[all] / mean);
                a->length[g] = 0.0;
            } else {
                a->length[g] *= 0.5;
            }
        }
        keep_pending(k);
    }
}

/* ---- the whole ---- */

/* |U|^2 + |V|^2. Collective. */
static double penalty_squares(struct work *k)
{
    struct exact sum = {0};
    for (int64_t i = 0; i < k->n_rows; i++)
        exact_add(&sum, square_norm(k->dims, k->u + i * k->dims));
    exact_allreduce(&sum, 1, k->comm);
    return exact_value(&sum) + square_norm(k->dims * k->n_features, k->v);
}

static void iterate(struct work *k, const struct glm_pca_options *options, struct glm_pca *pca)
{
    pca->deviance = 2.0 * (k->constant + step_spots(k, false));
    pca->trace[pca->n_trace++] = pca->deviance + k->penalty * penalty_squares(k);
    while (pca->iterations < options->max_iter) {
        step_genes(k);
        pca->deviance = 2.0 * (k->constant + step_spots(k, true));
        double before = pca->trace[pca->n_trace - 1], now = pca->deviance + k->penalty * penalty_squares(k);
        pca->trace[pca->n_trace++] = now;
        pca->iterations++;
        if (pca->iterations >= MIN_ITERATIONS && before - now < options->tol * (fabs(before) + 0.1))
            break;
    }
}

static void take_result(struct work *k, struct glm_pca *pca)
{
    for (int f = 0; f < k->n_features; f++)
        for (int l = 0; l < k->dims; l++)
            pca->loading[f * k->dims + l] = k->v[(int64_t)l * k->n_features + f];
    memcpy(pca->intercept, k->intercept, (size_t)k->n_features * sizeof(double));
    memcpy(pca->factor, k->u, (size_t)k->n_rows * (size_t)k->dims * sizeof(double));
    memcpy(pca->offset, k->offset, (size_t)k->n_rows * sizeof(double));
}

static status check_dims(const struct glm_pca *pca, int64_t n_all)
{
    if (pca->n_features == 0)
        return error_set(MONGE_BAD_DATA, "GLM-PCA of rows without a single count");
    if (pca->dims < 1 || pca->dims >= n_all || pca->dims >= pca->n_features)
        return error_set(MONGE_USAGE, "%d factors of %lld spots and %d genes with counts; ask for fewer than either, at least 1", pca->dims,
                         (long long)n_all, pca->n_features);
    return MONGE_OK;
}

status glm_pca_fit(struct glm_pca *pca, MPI_Comm comm, int64_t row_first, const struct sparse_rows *rows, int64_t n_genes,
                   const struct glm_pca_options *options)
{
    *pca = (struct glm_pca){.dims = options->dims, .n_rows = rows->n_rows, .penalty = options->penalty};
    struct work work = {.comm = comm, .dims = options->dims, .n_rows = rows->n_rows, .n_all = rows->n_rows, .penalty = options->penalty};
    MPI_Allreduce(MPI_IN_PLACE, &work.n_all, 1, MPI_INT64_T, MPI_SUM, comm);
    status fault = choose_features(pca, comm, rows, n_genes, options->max_features);
    if (!fault)
        fault = check_dims(pca, work.n_all);
    if (!fault) {
        size_t f = (size_t)pca->n_features, d = (size_t)pca->dims, n = (size_t)rows->n_rows;
        work.n_features = pca->n_features;
        pca->intercept = malloc(f * sizeof(double));
        pca->loading = malloc(f * d * sizeof(double));
        pca->factor = malloc((n * d + 1) * sizeof(double));
        pca->offset = malloc((n + 1) * sizeof(double));
        pca->trace = malloc(((size_t)options->max_iter + 1) * sizeof(double));
        fault = work_new(&work);
        if (!fault && !(pca->intercept && pca->loading && pca->factor && pca->offset && pca->trace))
            fault = error_memory("factors", 8.0 * (double)((f + n) * d));
        if (!fault)
            fault = take_counts(&work, pca, rows, n_genes);
        fault = agree(comm, fault);
    }
    if (!fault)
        fault = measure(&work);
    if (!fault) {
        start_random(&work, row_first, options->seed);
        iterate(&work, options, pca);
        take_result(&work, pca);
    }
    work_free(&work);
    if (fault)
        glm_pca_free(pca);
    return fault;
}
