/* Derivatives of the optimal objective and of the entropic plan (include/monge/fgw_gradient.h). */
#include "monge/fgw_gradient.h"

#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fgw_dense.h"
#include "monge/agree.h"
#include "monge/sinkhorn.h"

enum { KRYLOV = 40, RESTARTS = 10 };

static const double fixed_point = 1e-4; /* share of the mass the Sinkhorn map may move */

status fgw_objective_gradient(const struct fgw_problem *problem, const struct transport_plan *plan, double *df_dm)
{
    int64_t first, count;
    fgw_rows(problem->comm, problem->n, &first, &count);
    if (plan->n != problem->n || plan->m != problem->m)
        return error_set(MONGE_USAGE, "the plan is %lld x %lld, the slices have %lld and %lld spots", (long long)plan->n,
                         (long long)plan->m, (long long)problem->n, (long long)problem->m);
    memset(df_dm, 0, (size_t)(count * problem->m) * sizeof *df_dm);
    for (int64_t i = first; i < first + count; i++)
        for (int64_t e = plan->row_start[i]; e < plan->row_start[i + 1]; e++)
            df_dm[(i - first) * problem->m + plan->column[e]] = (1.0 - problem->alpha) * plan->value[e];
    return MONGE_OK;
}

/* ---- the linear system ---- */

struct backward {
    struct fgw_dense dense;
    double *cost; /* own rows x m: grad F at the plan */
    struct ot_problem sinkhorn;
    struct ot_result potentials;
    double tol;
    const double *given; /* of the Sinkhorn adjoint: own rows x m */
    double *image;
    double *basis;   /* KRYLOV + 1 vectors of own rows x m */
    double *product; /* own rows x m */
    int64_t own;     /* own rows x m */
};

static void give_row(void *context, int64_t row, int64_t count, const int64_t *columns, const double *plan, double *gradient)
{
    const struct backward *b = context;
    const double *given = b->given + (row - b->dense.first) * b->dense.b.n;
    (void)plan;
    for (int64_t k = 0; k < count; k++)
        gradient[k] = given[columns[k]];
}

static void take_row(void *context, int64_t row, int64_t count, const int64_t *columns, const double *dl_dm)
{
    struct backward *b = context;
    double *image = b->image + (row - b->dense.first) * b->dense.b.n;
    for (int64_t k = 0; k < count; k++)
        image[columns[k]] = dl_dm[k];
}

/* image = J x. Collective. */
static status sinkhorn_adjoint(struct backward *b, const double *x, double *image)
{
    struct ot_gradient gradient;
    b->given = x;
    b->image = image;
    memset(image, 0, (size_t)b->own * sizeof *image);
    status s = ot_backward(&b->sinkhorn, &b->potentials, 0.01 * b->tol, give_row, take_row, b, &gradient);
    if (s == MONGE_OK)
        ot_gradient_free(&gradient);
    return s;
}

/* image = x + 4 alpha A (J x) B. Collective. */
static status apply(struct backward *b, const double *x, double *image)
{
    double factor = 4.0 * b->dense.problem->alpha;
    status s = sinkhorn_adjoint(b, x, image);
    if (s != MONGE_OK)
        return s;
    s = fgw_product_rows(&b->dense, image, b->product);
    if (s != MONGE_OK)
        return s;
    for (int64_t k = 0; k < b->own; k++)
        image[k] = x[k] + factor * b->product[k];
    return MONGE_OK;
}

/* Added up per row, so that the sum does not depend on the ranks. Collective. */
static double inner_product(struct backward *b, const double *x, const double *y)
{
    int64_t m = b->dense.b.n;
    for (int64_t k = 0; k < b->dense.count; k++)
        b->dense.row[b->dense.first + k] = cblas_ddot((int)m, x + k * m, 1, y + k * m, 1);
    return fgw_sum_rows(&b->dense);
}

/* Saad & Schultz 1986: Arnoldi by modified Gram-Schmidt, the least-squares problem kept triangular by Givens rotations. */
struct krylov {
    double triangle[KRYLOV][KRYLOV + 1]; /* column k of the Hessenberg matrix, rotated */
    double cosine[KRYLOV], sine[KRYLOV];
    double rest[KRYLOV + 1]; /* rotated right-hand side */
    int size;
};

/* Takes in column k: rotates it and sets the next rotation. */
static void rotate(struct krylov *h, int k)
{
    double *column = h->triangle[k];
    for (int j = 0; j < k; j++) {
        double above = column[j], below = column[j + 1];
        column[j] = h->cosine[j] * above + h->sine[j] * below;
        column[j + 1] = h->cosine[j] * below - h->sine[j] * above;
    }
    double length = hypot(column[k], column[k + 1]);
    h->cosine[k] = length > 0.0 ? column[k] / length : 1.0;
    h->sine[k] = length > 0.0 ? column[k + 1] / length : 0.0;
    column[k] = length;
    h->rest[k + 1] = -h->sine[k] * h->rest[k];
    h->rest[k] *= h->cosine[k];
    h->size = k + 1;
}

/* One cycle: extends the basis from the residual in its first vector (of norm `start`) until |residual| <= aim. Collective. */
static status arnoldi(struct backward *b, struct krylov *h, double start, double aim, struct fgw_backward_record *record)
{
    memset(h, 0, sizeof *h);
    h->rest[0] = start;
    cblas_dscal((int)b->own, 1.0 / start, b->basis, 1);
    for (int k = 0; k < KRYLOV && fabs(h->rest[k]) > aim; k++) {
        double *next = b->basis + (k + 1) * b->own;
        status s = apply(b, b->basis + k * b->own, next);
        if (s != MONGE_OK)
            return s;
        record->iterations++;
        for (int j = 0; j <= k; j++) {
            h->triangle[k][j] = inner_product(b, b->basis + j * b->own, next);
            cblas_daxpy((int)b->own, -h->triangle[k][j], b->basis + j * b->own, 1, next, 1);
        }
        double norm = sqrt(inner_product(b, next, next));
        h->triangle[k][k + 1] = norm;
        rotate(h, k);
        if (norm > 0.0)
            cblas_dscal((int)b->own, 1.0 / norm, next, 1);
        else
            return MONGE_OK;
    }
    return MONGE_OK;
}

/* x += basis y, triangle y = rest. */
static void correct(struct backward *b, const struct krylov *h, double *x)
{
    double y[KRYLOV];
    for (int k = h->size - 1; k >= 0; k--) {
        y[k] = h->rest[k];
        for (int j = k + 1; j < h->size; j++)
            y[k] -= h->triangle[j][k] * y[j];
        y[k] = h->triangle[k][k] != 0.0 ? y[k] / h->triangle[k][k] : 0.0;
    }
    for (int k = 0; k < h->size; k++)
        cblas_daxpy((int)b->own, y[k], b->basis + k * b->own, 1, x, 1);
}

/* lambda of the header. Collective. */
static status solve(struct backward *b, const double *right, double *lambda, struct fgw_backward_record *record)
{
    struct krylov h;
    double first = sqrt(inner_product(b, right, right));
    memcpy(lambda, right, (size_t)b->own * sizeof *lambda);
    *record = (struct fgw_backward_record){.iterations = 0};
    for (int cycle = 0; cycle < RESTARTS && first > 0.0; cycle++) {
        status s = apply(b, lambda, b->basis);
        if (s != MONGE_OK)
            return s;
        for (int64_t k = 0; k < b->own; k++)
            b->basis[k] = right[k] - b->basis[k];
        double rest = sqrt(inner_product(b, b->basis, b->basis));
        record->residual = rest / first;
        if (record->residual <= b->tol)
            return MONGE_OK;
        s = arnoldi(b, &h, rest, 0.5 * b->tol * first, record);
        if (s != MONGE_OK)
            return s;
        correct(b, &h, lambda);
    }
    return MONGE_OK;
}

/* ---- the fixed point ---- */

struct compared {
    const struct fgw_dense *dense;
    const struct transport_plan *plan;
};

/* The L1 distance of a row to the plan's. */
static void compare_row(void *context, int64_t row, int64_t count, const int64_t *columns, const double *cost, const double *entries)
{
    const struct compared *c = context;
    int64_t e = c->plan->row_start[row], end = c->plan->row_start[row + 1];
    double sum = 0.0;
    (void)cost;
    for (int64_t k = 0; k < count; k++) {
        double here = 0.0;
        if (e < end && c->plan->column[e] == columns[k])
            here = c->plan->value[e++];
        sum += fabs(entries[k] - here);
    }
    c->dense->row[row] = sum;
}

/* Potentials of S(grad F(plan)); refuses a plan that they do not give back. Collective. */
static status find_potentials(struct backward *b, const struct transport_plan *plan, double eps)
{
    const struct fgw_problem *problem = b->dense.problem;
    b->sinkhorn = (struct ot_problem){.comm = problem->comm,
                                      .n = problem->n,
                                      .m = problem->m,
                                      .row_first = b->dense.first,
                                      .row_count = b->dense.count,
                                      .cost = b->cost,
                                      .a = problem->p,
                                      .b = problem->q,
                                      .eps = eps,
                                      .rho1 = INFINITY,
                                      .rho2 = INFINITY};
    struct ot_options options = ot_options_default();
    struct compared compared = {.dense = &b->dense, .plan = plan};
    options.tol = 1e-13;
    options.max_iter = 100000;
    options.truncate = 0.0;
    status s = ot_solve(&b->sinkhorn, &options, &b->potentials);
    if (s != MONGE_OK)
        return s;
    memset(b->dense.row, 0, (size_t)problem->n * sizeof *b->dense.row);
    s = agree(problem->comm, ot_visit(&b->sinkhorn, &b->potentials, compare_row, &compared));
    if (s != MONGE_OK)
        return s;
    double moved = fgw_sum_rows(&b->dense) / b->dense.sum_p;
    return moved <= fixed_point ? MONGE_OK
                                : error_set(MONGE_BAD_DATA,
                                            "the plan is no fixed point of the entropic problem with eps %g: a step moves %g of its mass; "
                                            "solve to a smaller tol first",
                                            eps, moved);
}

static status backward_new(struct backward *b, const struct fgw_problem *problem, const struct transport_plan *plan)
{
    memset(b, 0, sizeof *b);
    status s = fgw_dense_new(&b->dense, problem);
    if (s != MONGE_OK)
        return s;
    b->own = b->dense.count * problem->m;
    size_t own = (size_t)b->own + 1;
    b->cost = malloc(own * sizeof(double));
    b->product = malloc(own * sizeof(double));
    b->basis = malloc((KRYLOV + 1) * own * sizeof(double));
    if (!b->cost || !b->product || !b->basis)
        s = error_memory("the derivative of an alignment", 8.0 * (KRYLOV + 3) * (double)own);
    if (s == MONGE_OK && b->own > INT32_MAX)
        s = error_set(MONGE_USAGE, "the derivative of an alignment: more than 2^31 pairs on one rank; use more ranks");
    if (s == MONGE_OK)
        s = fgw_check_start(&b->dense, plan, b->dense.sum_p, 1);
    s = agree(problem->comm, s);
    return s == MONGE_OK ? fgw_dense_gradient(problem, plan, b->cost) : s;
}

static void backward_free(struct backward *b)
{
    ot_result_free(&b->potentials);
    free(b->cost);
    free(b->product);
    free(b->basis);
    fgw_dense_free(&b->dense);
}

status fgw_entropic_backward(const struct fgw_problem *problem, const struct transport_plan *plan, double eps, double tol,
                             const double *dl_dplan, double *dl_dm, struct fgw_backward_record *record)
{
    struct backward b;
    status s = backward_new(&b, problem, plan);
    b.tol = tol;
    double *lambda = s == MONGE_OK ? malloc(((size_t)b.own + 1) * sizeof *lambda) : NULL;
    if (s == MONGE_OK)
        s = agree(problem->comm, lambda ? MONGE_OK : error_memory("the derivative of an alignment", 8.0 * (double)b.own));
    if (s == MONGE_OK)
        s = find_potentials(&b, plan, eps);
    if (s == MONGE_OK)
        s = solve(&b, dl_dplan, lambda, record);
    if (s == MONGE_OK)
        s = sinkhorn_adjoint(&b, lambda, dl_dm);
    for (int64_t k = 0; s == MONGE_OK && k < b.own; k++)
        dl_dm[k] *= 1.0 - problem->alpha;
    free(lambda);
    backward_free(&b);
    return s;
}

/* ---- counts ---- */

/* out = log of the counts plus pseudocount, rows scaled to 1; returns the row's total. */
static double log_profile(int64_t genes, const double *counts, double pseudocount, double *out)
{
    double total = 0.0;
    for (int64_t g = 0; g < genes; g++)
        total += counts[g] + pseudocount;
    for (int64_t g = 0; g < genes; g++)
        out[g] = log((counts[g] + pseudocount) / total);
    return total;
}

status fgw_counts_gradient_kl(int64_t rows, int64_t m, int64_t genes, const double *counts_a, const double *counts_b, double pseudocount,
                              const double *dl_dm, double *dl_dcounts)
{
    double *log_b = malloc((size_t)(m * genes + 1) * sizeof *log_b), *log_a = malloc((size_t)(genes + 1) * sizeof *log_a);
    if (!log_b || !log_a) {
        free(log_b);
        free(log_a);
        return error_memory("the derivative of a dissimilarity", 8.0 * (double)(m * genes));
    }
    for (int64_t k = 0; k < m; k++)
        log_profile(genes, counts_b + k * genes, pseudocount, log_b + k * genes);
    for (int64_t i = 0; i < rows; i++) {
        double *out = dl_dcounts + i * genes, total = log_profile(genes, counts_a + i * genes, pseudocount, log_a), sum = 0.0, mean = 0.0;
        cblas_dgemv(CblasRowMajor, CblasTrans, (int)m, (int)genes, 1.0, log_b, (int)genes, dl_dm + i * m, 1, 0.0, out, 1);
        for (int64_t k = 0; k < m; k++)
            sum += dl_dm[i * m + k];
        for (int64_t g = 0; g < genes; g++) {
            out[g] = log_a[g] * sum - out[g]; /* sum over k of dl/dM_ik (log x_ig - log y_kg) */
            mean += exp(log_a[g]) * out[g];   /* sum over k of dl/dM_ik M_ik */
        }
        for (int64_t g = 0; g < genes; g++)
            out[g] = (out[g] - mean) / total;
    }
    free(log_b);
    free(log_a);
    return MONGE_OK;
}
