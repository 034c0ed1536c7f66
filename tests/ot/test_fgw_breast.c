/* The dense solver on the breast cancer layers: F of the uniform start against that of the same algorithm elsewhere (golden files; PASTE's
 * defective line search ends at or above it), geometry, and the entropic solver's blur. Skipped without MONGE_DATA. */
#include "fgw_case.h"

#include "monge/dissimilarity.h"
#include "monge/procrustes.h"
#include "support/paste_breast.h"

static const double degree = 57.29577951308232;

struct breast_pair {
    struct breast_slice a, b;
    struct fgw_case c;
};

static bool read_pair(struct breast_pair *pair, int first)
{
    struct dissimilarity d;
    if (!breast_read(&pair->a, first))
        return false;
    assert_true(breast_read(&pair->b, first + 1));
    int64_t common = breast_common_genes(&pair->a, &pair->b), n = pair->a.n_spots, m = pair->b.n_spots;
    pair->c = (struct fgw_case){
        .p = malloc((size_t)n * sizeof(double)), .q = malloc((size_t)m * sizeof(double)), .M = malloc((size_t)(n * m) * sizeof(double))};
    for (int64_t i = 0; i < n; i++)
        pair->c.p[i] = 1.0 / (double)n;
    for (int64_t k = 0; k < m; k++)
        pair->c.q[k] = 1.0 / (double)m;
    must(dissimilarity_new(&d, DISSIMILARITY_KL, &pair->a.counts, &pair->b.counts, common, 0.01));
    must(dissimilarity_dense(&d, pair->c.M));
    dissimilarity_free(&d);
    pair->c.problem = (struct fgw_problem){
        .comm = MPI_COMM_SELF, .n = n, .m = m, .p = pair->c.p, .q = pair->c.q, .x = pair->a.x, .y = pair->b.x, .M = pair->c.M};
    return true;
}

static void pair_free(struct breast_pair *pair)
{
    fgw_case_free(&pair->c);
    breast_free(&pair->a);
    breast_free(&pair->b);
}

static double angle(const struct breast_pair *pair, const struct transport_plan *plan)
{
    struct plan_rows rows = {
        .comm = MPI_COMM_SELF, .n_rows = plan->n, .row_start = plan->row_start, .column = plan->column, .mass = plan->value};
    struct procrustes fit;
    must(procrustes_fit(&rows, pair->a.x, pair->b.x, false, &fit));
    assert_true(fit.det == 1.0);
    return degree * fit.angle;
}

/* F of the golden plan with this M: the golden M came from float32 profiles whose rows sum to 1 - 3e-5, which moves F by 5e-5. */
static double golden_objective(const struct breast_pair *pair, int first, double alpha)
{
    char file[64], name[96];
    snprintf(file, sizeof file, "golden/align/breast_pair_%d_%d.h5", first, first + 1);
    const char *path = shared_data(file), *parts[] = {"indptr", "indices", "data"};
    double *read[3];
    size_t entries;
    for (int k = 0; k < 3; k++) {
        snprintf(name, sizeof name, "alpha_%g/exact_linesearch_uniform/plan_%s", alpha, parts[k]);
        read[k] = golden_read(path, name, &entries);
    }
    struct transport_plan plan;
    struct fgw_value value;
    must(transport_plan_new(&plan, pair->c.problem.n, pair->c.problem.m, (int64_t)entries));
    for (int64_t i = 0; i <= plan.n; i++)
        plan.row_start[i] = (int64_t)read[0][i];
    for (size_t e = 0; e < entries; e++) {
        plan.column[e] = (int64_t)read[1][e];
        plan.value[e] = read[2][e];
    }
    must(fgw_dense_value(&pair->c.problem, &plan, &value));
    transport_plan_free(&plan);
    for (int k = 0; k < 3; k++)
        free(read[k]);
    return value.objective;
}

struct wanted {
    double alpha, objective, angle, angle_error;
};

static void check_pair(int first, const struct wanted *wanted, int count)
{
    struct breast_pair pair;
    if (!read_pair(&pair, first))
        return;
    for (int k = 0; k < count; k++) {
        struct fgw_result result;
        char name[96];
        pair.c.problem.alpha = wanted[k].alpha;
        struct fgw_problem spread = shared(&pair.c, MPI_COMM_WORLD);
        must(fgw_dense_solve(&spread, NULL, NULL, &result));
        snprintf(name, sizeof name, "breast %d-%d, alpha %g, %d steps: F", first, first + 1, wanted[k].alpha, result.iterations);
        double golden = golden_objective(&pair, first, wanted[k].alpha);
        figure(name, result.value.objective, "<=", wanted[k].objective);
        figure("  above that of the golden plan", result.value.objective - golden, "<=", 1e-6);
        figure("  gap", result.value.gap, ">=", 0.0);
        figure("  rotation", angle(&pair, &result.plan), "~", wanted[k].angle);
        assert_true(result.value.objective <= golden + 1e-6);
        assert_true(result.value.objective <= wanted[k].objective + 1e-4);
        assert_true(result.converged && result.value.gap < 1e-6);
        assert_true(fabs(angle(&pair, &result.plan) - wanted[k].angle) <= wanted[k].angle_error);
        assert_true(marginal_error(&pair.c, &result.plan) < 1e-15);
        fgw_result_free(&result);
    }
    pair_free(&pair);
}

static void layers_1_2(void **state)
{
    (void)state;
    const struct wanted wanted[] = {
        {0.01, 2.5287, -13.93, 0.5}, {0.1, 2.3706, -13.9, 0.5}, {0.5, 1.4461, -15.0, 0.5}, {0.9, 0.5060, -15.04, 0.5}};
    check_pair(1, wanted, 4);
}

static void layers_2_3(void **state)
{
    (void)state;
    const struct wanted wanted[] = {{0.1, 2.4122, -136.7, 0.7}, {0.5, 1.5230, -138.6, 0.7}, {0.9, 0.6093, -139.3, 0.7}};
    check_pair(2, wanted, 3);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(layers_1_2), cmocka_unit_test(layers_2_3)};
    SUITE(argc, argv, tests);
}
