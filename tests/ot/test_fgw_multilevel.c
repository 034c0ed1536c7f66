/* The scalable alignment whole: breast slices of the publication, synthetic slices against dense conditional gradient from several
 * rotations, mirrored and bent slices, a search among coarse bins, the same bits on any number of ranks, slices that cannot be matched, refusals. */
#include "fgw_synthetic.h"
#include "monge/dissimilarity.h"
#include "support/paste_breast.h"

static const double PI = 3.14159265358979323846;

static void solve(MPI_Comm comm, const struct fgw_scalable_problem *problem, const struct fgw_scalable_options *options,
                  struct fgw_scalable_result *result)
{
    if (fgw_scalable_solve(comm, problem, options, result) != MONGE_OK)
        fail_msg("%s", error_message());
}

/* Row and column sums of the plan against the weights. */
static double marginal_error(const struct fgw_scalable_problem *p, const struct fgw_scalable_result *r)
{
    double *sums = synthetic_room(p->n + p->m), error = 0.0;
    for (int64_t i = 0; i < r->rows.n_own; i++)
        for (int64_t k = r->row_start[i]; k < r->row_start[i + 1]; k++) {
            sums[r->rows.first + i] += r->mass[k];
            sums[p->n + r->column[k]] += r->mass[k];
        }
    MPI_Allreduce(MPI_IN_PLACE, sums, (int)(p->n + p->m), MPI_DOUBLE, MPI_SUM, r->rows.comm);
    for (int64_t i = 0; i < p->n; i++)
        error += fabs(sums[i] - p->p[i]);
    for (int64_t k = 0; k < p->m; k++)
        error += fabs(sums[p->n + k] - p->q[k]);
    free(sums);
    return error;
}

/* ---- breast cancer slices, distances in units of the array as published ---- */

struct breast_pair {
    double *p, *q, *x, *y, *M;
    int64_t n, m;
};

static double *uniform(int64_t n)
{
    double *w = synthetic_room(n);
    for (int64_t i = 0; i < n; i++)
        w[i] = 1.0 / (double)n;
    return w;
}

static bool breast_new(struct breast_pair *pair, int first, int second)
{
    struct breast_slice a, b;
    if (!breast_read(&a, first))
        return false;
    assert_true(breast_read(&b, second));
    int64_t genes = breast_common_genes(&a, &b);
    struct dissimilarity d;
    *pair = (struct breast_pair){.n = a.n_spots, .m = b.n_spots, .p = uniform(a.n_spots), .q = uniform(b.n_spots)};
    pair->M = synthetic_room(pair->n * pair->m);
    assert_int_equal(dissimilarity_new(&d, DISSIMILARITY_KL, &a.counts, &b.counts, genes, 0.01), MONGE_OK);
    assert_int_equal(dissimilarity_dense(&d, pair->M), MONGE_OK);
    dissimilarity_free(&d);
    pair->x = synthetic_room(2 * pair->n);
    pair->y = synthetic_room(2 * pair->m);
    memcpy(pair->x, a.x, (size_t)(2 * pair->n) * sizeof *pair->x);
    memcpy(pair->y, b.x, (size_t)(2 * pair->m) * sizeof *pair->y);
    breast_free(&a);
    breast_free(&b);
    return true;
}

static void breast_pair_free(struct breast_pair *pair)
{
    free(pair->p);
    free(pair->q);
    free(pair->x);
    free(pair->y);
    free(pair->M);
}

static status breast_row(void *context, int64_t row, int64_t count, const int64_t *columns, double *out)
{
    const struct breast_pair *pair = context;
    for (int64_t k = 0; k < count; k++)
        out[k] = pair->M[row * pair->m + columns[k]];
    return MONGE_OK;
}

static void check_breast(int first, int second, double bound, double angle, double angle_bound)
{
    struct breast_pair pair;
    char name[96];
    if (!breast_new(&pair, first, second))
        return;
    const struct fgw_scalable_problem problem = {.n = pair.n,
                                                 .m = pair.m,
                                                 .p = pair.p,
                                                 .q = pair.q,
                                                 .x = pair.x,
                                                 .y = pair.y,
                                                 .alpha = 0.1,
                                                 .dissimilarity = breast_row,
                                                 .context = &pair};
    struct fgw_scalable_result r;
    solve(MPI_COMM_WORLD, &problem, NULL, &r);
    snprintf(name, sizeof name, "breast %d-%d: F", first, second);
    figure(name, r.value.objective, "<=", bound);
    snprintf(name, sizeof name, "breast %d-%d: gap", first, second);
    figure(name, r.value.gap, "<=", 1e-3);
    snprintf(name, sizeof name, "breast %d-%d: rotation", first, second);
    figure(name, r.transform.angle * 180.0 / PI, "~", angle);
    assert_true(r.value.objective <= bound);
    assert_true(r.value.gap <= 1e-3 && r.transform.det > 0.0);
    assert_true(fabs(r.transform.angle * 180.0 / PI - angle) <= angle_bound);
    fgw_scalable_result_free(&r);
    breast_pair_free(&pair);
}

static void breast(void **state)
{
    (void)state;
    check_breast(1, 2, 2.3703, -12.77, 0.3);
    check_breast(2, 3, 2.4122, -137.43, 0.5);
}

/* ---- synthetic slices ---- */

static double dense_objective(struct synthetic *s, double alpha, struct gw_cost cost)
{
    double *M = synthetic_room(s->n * s->m);
    int64_t *columns = calloc((size_t)s->m, sizeof *columns);
    synthetic_pool(s->n, s->n, NULL, s->profile_a, s->pooled_a);
    synthetic_pool(s->m, s->m, NULL, s->profile_b, s->pooled_b);
    for (int64_t k = 0; k < s->m; k++)
        columns[k] = k;
    for (int64_t i = 0; i < s->n; i++)
        assert_int_equal(synthetic_dissimilarity(s, i, s->m, columns, M + i * s->m), MONGE_OK);
    const struct fgw_problem problem = {
        .comm = MPI_COMM_SELF, .n = s->n, .m = s->m, .p = s->p, .q = s->q, .x = s->x, .y = s->y, .M = M, .alpha = alpha, .cost = cost};
    struct fgw_result result;
    assert_int_equal(fgw_dense_solve(&problem, NULL, NULL, &result), MONGE_OK);
    double objective = result.value.objective;
    fgw_result_free(&result);
    free(M);
    free(columns);
    return objective;
}

static struct synthetic turned(int64_t n, double degrees, int reflected)
{
    return synthetic_new((struct synthetic_options){
        .n = n, .turn = degrees * PI / 180.0, .dropout = 0.1, .jitter = 0.2, .noise = 0.3, .resampling = 0.4, .reflected = reflected});
}

static void against_dense(void **state)
{
    (void)state;
    struct synthetic s = turned(1000, 0.0, 0);
    struct fgw_scalable_problem problem = synthetic_problem(&s, 0.1);
    struct fgw_scalable_result r;
    solve(MPI_COMM_WORLD, &problem, NULL, &r);
    double dense = dense_objective(&s, 0.1, problem.cost), error = marginal_error(&problem, &r);
    figure("1000 spots: F relative to dense conditional gradient", r.value.objective / dense - 1.0, "<=", 1e-3);
    figure("1000 spots: gap as a share of F", r.gap_share, "<=", 1e-4);
    figure("1000 spots: marginal error", error, "<=", 1e-13);
    figure("1000 spots: F in low rank against exact distances", fabs(r.objective_low_rank / r.value.objective - 1.0), "<=", 1e-2);
    assert_true(r.value.objective <= dense * 1.001);
    assert_true(r.gap_share <= 1e-4 && r.value.gap >= -1e-12 && r.gap_exact);
    assert_true(error <= 1e-13);
    assert_true(fabs(r.objective_low_rank / r.value.objective - 1.0) <= 1e-2);
    assert_int_equal(r.n_starts, 26);
    assert_true(r.levels > 1 && r.starts[0].objective > 0.0 && !r.suggest_partial);
    fgw_scalable_result_free(&r);
    synthetic_free(&s);
}

/* Squared distances have rank 4: what the steps minimise is F itself. */
static void squared_distances(void **state)
{
    (void)state;
    struct synthetic s = turned(500, 75.0, 0);
    struct fgw_scalable_problem problem = synthetic_problem(&s, 0.1);
    struct fgw_scalable_result r;
    problem.cost = (struct gw_cost){GW_SQUARED, 18.0};
    solve(MPI_COMM_WORLD, &problem, NULL, &r);
    double dense = dense_objective(&s, 0.1, problem.cost);
    figure("squared distances: F relative to dense conditional gradient", r.value.objective / dense - 1.0, "<=", 1e-4);
    figure("  F in low rank against exact distances", fabs(r.objective_low_rank / r.value.objective - 1.0), "<=", 1e-6);
    figure("  error in spacings", synthetic_error(&s, &r, MPI_COMM_WORLD), "<=", 0.3);
    assert_true(r.value.objective <= dense * 1.0001 && fabs(r.objective_low_rank / r.value.objective - 1.0) <= 1e-6);
    assert_true(synthetic_error(&s, &r, MPI_COMM_WORLD) <= 0.3 && r.wider_clean);
    problem.cost.length = 0.0;
    assert_int_equal(fgw_scalable_solve(MPI_COMM_WORLD, &problem, NULL, &r), MONGE_USAGE);
    synthetic_free(&s);
}

static void rotations(void **state)
{
    (void)state;
    double least = INFINITY, most = 0.0;
    for (int quarter = 0; quarter < 4; quarter++) {
        double degrees = quarter == 1 ? 45.0 : quarter == 0 ? 0.0 : 90.0 * (quarter - 1);
        struct synthetic s = turned(600, degrees, 0);
        struct fgw_scalable_problem problem = synthetic_problem(&s, 0.1);
        struct fgw_scalable_result r;
        solve(MPI_COMM_WORLD, &problem, NULL, &r);
        least = fmin(least, r.value.objective);
        most = fmax(most, r.value.objective);
        assert_true(r.transform.det > 0.0);
        assert_true(fabs(remainder(r.transform.angle + degrees * PI / 180.0, 2.0 * PI)) < 0.02);
        fgw_scalable_result_free(&r);
        synthetic_free(&s);
    }
    figure("slice B turned by 0, 45, 90, 180 degrees: spread of F, relative", most / least - 1.0, "<=", 1e-3);
    assert_true(most / least - 1.0 <= 1e-3);
}

static void mirrored(void **state)
{
    (void)state;
    struct synthetic s = turned(600, 20.0, 1);
    struct fgw_scalable_problem problem = synthetic_problem(&s, 0.1);
    struct fgw_scalable_result r;
    solve(MPI_COMM_WORLD, &problem, NULL, &r);
    double error = synthetic_error(&s, &r, MPI_COMM_WORLD);
    figure("mirrored slice: determinant", r.transform.det, "=", -1.0);
    figure("mirrored slice: error in spacings", error, "<=", 1.0);
    assert_true(r.transform.det < 0.0 && error <= 1.0);
    fgw_scalable_result_free(&r);
    synthetic_free(&s);
}

/* A smooth deformation of up to five spacings, more than the radius around a rigid motion finds: candidates follow the coarser level. */
static void deformed(void **state)
{
    (void)state;
    struct synthetic s = synthetic_new(
        (struct synthetic_options){.n = 2500, .turn = 1.0, .jitter = 0.1, .noise = 0.5, .resampling = 0.2, .deformation = 5.0});
    struct fgw_scalable_problem problem = synthetic_problem(&s, 0.05);
    struct fgw_scalable_options options = fgw_scalable_options_default();
    struct fgw_scalable_result r;
    options.polish = FGW_POLISH_NEVER;
    solve(MPI_COMM_WORLD, &problem, &options, &r);
    double error = synthetic_error(&s, &r, MPI_COMM_WORLD), rigid = 0.0;
    for (int64_t k = 0; k < s.m; k++) {
        const double *x = s.x + 2 * s.truth[k], *y = s.y + 2 * k, *shift = r.transform.shift;
        rigid += hypot(r.transform.rotation[0][0] * y[0] + r.transform.rotation[0][1] * y[1] + shift[0] - x[0],
                       r.transform.rotation[1][0] * y[0] + r.transform.rotation[1][1] * y[1] + shift[1] - x[1]) /
                 (double)s.m;
    }
    figure("deformed slice, no polish: error in spacings", error, "<=", 0.6);
    figure("deformed slice: what the rigid motion leaves", rigid, ">", error);
    figure("deformed slice, no polish: bound of the gap as a share of F", r.gap_share, "<=", 0.05);
    assert_true(error <= 0.6 && rigid > error);
    assert_true(r.gap_share >= 0.0 && r.gap_share <= 0.05 && !r.gap_exact && r.wider_gap >= r.value.gap);
    fgw_scalable_result_free(&r);
    synthetic_free(&s);
}

/* Strongly bent, expression that tells little: the first candidates miss pairs that count. A wider ring shows them, and the candidates grow. */
static void bent(void **state)
{
    (void)state;
    struct synthetic s = synthetic_new((struct synthetic_options){
        .n = 400, .turn = 1.0, .dropout = 0.1, .jitter = 0.1, .noise = 0.1, .resampling = 2.0, .deformation = 8.0});
    struct fgw_scalable_problem problem = synthetic_problem(&s, 0.05);
    struct fgw_scalable_options options = fgw_scalable_options_default();
    struct fgw_scalable_result narrow, wide, alone;
    options.wider_tol = INFINITY;
    solve(MPI_COMM_WORLD, &problem, &options, &narrow);
    solve(MPI_COMM_WORLD, &problem, NULL, &wide);
    solve(MPI_COMM_SELF, &problem, NULL, &alone);
    double dense = dense_objective(&s, 0.05, problem.cost);
    figure("bent slice, first candidates: F above dense, relative", narrow.value.objective / dense - 1.0, ">", 4e-3);
    figure("bent slice: F above dense, relative", wide.value.objective / dense - 1.0, "<=", 1e-3);
    figure("bent slice: gap over the wider ring as a share of F", wide.wider_gap / wide.value.objective, "<=", 1.1e-5);
    assert_true(narrow.widened == 0 && narrow.value.objective > dense * 1.004);
    assert_true(narrow.wider_gap > narrow.value.objective - dense); /* a bound of what was missed */
    assert_true(wide.widened > 0 && wide.wider_clean && wide.wider_gap <= 1.1e-5 * wide.value.objective);
    assert_true(wide.value.objective <= dense * 1.001);
    assert_true(wide.candidates > narrow.candidates && wide.radius <= options.radius_most);
    assert_true(wide.value.objective == alone.value.objective && wide.wider_gap == alone.wider_gap && wide.widened == alone.widened);
    assert_memory_equal(wide.f, alone.f, (size_t)s.n * sizeof *wide.f);
    for (int64_t i = 0; i < wide.rows.n_own; i++)
        assert_memory_equal(wide.mass + wide.row_start[i], alone.mass + alone.row_start[wide.rows.first + i],
                            (size_t)(wide.row_start[i + 1] - wide.row_start[i]) * sizeof *wide.mass);
    fgw_scalable_result_free(&narrow);
    fgw_scalable_result_free(&wide);
    fgw_scalable_result_free(&alone);
    synthetic_free(&s);
}

/* Own rows of the plan of all ranks against the plan of this rank alone. */
static void any_number_of_ranks(void **state)
{
    (void)state;
    struct synthetic s = turned(700, 100.0, 0);
    struct fgw_scalable_problem problem = synthetic_problem(&s, 0.1);
    struct fgw_scalable_result r, alone;
    solve(MPI_COMM_WORLD, &problem, NULL, &r);
    solve(MPI_COMM_SELF, &problem, NULL, &alone);
    assert_true(r.value.objective == alone.value.objective);
    assert_true(r.value.gap == alone.value.gap);
    assert_memory_equal(r.transform.rotation, alone.transform.rotation, sizeof r.transform.rotation);
    assert_memory_equal(r.f, alone.f, (size_t)s.n * sizeof *r.f);
    assert_memory_equal(r.g, alone.g, (size_t)s.m * sizeof *r.g);
    for (int64_t i = 0; i < r.rows.n_own; i++) {
        int64_t other = r.rows.first + i, count = r.row_start[i + 1] - r.row_start[i];
        assert_int_equal(count, alone.row_start[other + 1] - alone.row_start[other]);
        assert_memory_equal(r.column + r.row_start[i], alone.column + alone.row_start[other], (size_t)count * sizeof *r.column);
        assert_memory_equal(r.mass + r.row_start[i], alone.mass + alone.row_start[other], (size_t)count * sizeof *r.mass);
    }
    fgw_scalable_result_free(&r);
    fgw_scalable_result_free(&alone);
    synthetic_free(&s);
}

/* Half of slice B's tissue lies where slice A has none: full mass cannot stay local. */
static void unmatchable(void **state)
{
    (void)state;
    struct synthetic s = turned(900, 0.0, 0);
    for (int64_t k = 0; k < s.m; k += 2) {
        s.y[2 * k] += 400.0;
        s.y[2 * k + 1] += 10.0 * (double)(k % 17);
    }
    struct fgw_scalable_problem problem = synthetic_problem(&s, 0.1);
    struct fgw_scalable_options options = fgw_scalable_options_default();
    struct fgw_scalable_result r;
    options.rotations = 4;
    status code = fgw_scalable_solve(MPI_COMM_WORLD, &problem, &options, &r);
    if (code == MONGE_OK)
        assert_true(r.suggest_partial);
    else
        assert_int_equal(code, MONGE_BAD_DATA);
    fgw_scalable_result_free(&r);
    synthetic_free(&s);
}

static status refuse(struct fgw_scalable_problem problem, struct fgw_scalable_options options)
{
    struct fgw_scalable_result r;
    status code = fgw_scalable_solve(MPI_COMM_WORLD, &problem, &options, &r);
    assert_null(r.mass);
    return code;
}

static status not_a_number(void *context, int64_t row, int64_t count, const int64_t *columns, double *out)
{
    (void)context;
    for (int64_t k = 0; k < count; k++)
        out[k] = row == 3 && columns[k] == 5 ? NAN : 1.0;
    return MONGE_OK;
}

static void refusals(void **state)
{
    (void)state;
    struct synthetic s = turned(100, 0.0, 0);
    struct fgw_scalable_options options = fgw_scalable_options_default(), bad = options;
    struct fgw_scalable_problem problem = synthetic_problem(&s, 0.1), other = problem;
    bad.radius = -1.0;
    assert_int_equal(refuse(problem, bad), MONGE_USAGE);
    other.alpha = 1.5;
    assert_int_equal(refuse(other, options), MONGE_USAGE);
    other = problem;
    other.dissimilarity = not_a_number;
    assert_int_equal(refuse(other, options), MONGE_BAD_DATA);
    double kept = s.y[11];
    s.y[11] = NAN;
    assert_int_equal(refuse(problem, options), MONGE_BAD_DATA);
    s.y[11] = kept;
    s.q[4] *= 2.0;
    assert_int_equal(refuse(problem, options), MONGE_BAD_DATA);
    synthetic_free(&s);
}

/* One spot each; all spots of a slice in one place. */
static void degenerate(void **state)
{
    (void)state;
    struct synthetic s = turned(60, 0.0, 0);
    struct fgw_scalable_problem problem = synthetic_problem(&s, 0.1);
    struct fgw_scalable_result r;
    double one = 1.0;
    problem.n = problem.m = 1;
    problem.p = problem.q = &one;
    problem.begin = NULL;
    solve(MPI_COMM_WORLD, &problem, NULL, &r);
    int64_t entries = r.row_start[r.rows.n_own];
    MPI_Allreduce(MPI_IN_PLACE, &entries, 1, MPI_INT64_T, MPI_SUM, MPI_COMM_WORLD);
    assert_int_equal(entries, 1);
    fgw_scalable_result_free(&r);
    problem = synthetic_problem(&s, 0.1);
    for (int64_t k = 0; k < s.m; k++)
        s.y[2 * k] = s.y[2 * k + 1] = 2.0;
    status code = fgw_scalable_solve(MPI_COMM_WORLD, &problem, NULL, &r);
    assert_true(code == MONGE_OK || code == MONGE_BAD_DATA);
    fgw_scalable_result_free(&r);
    synthetic_free(&s);
}

/* Pooled to a few dozen bins, which fit each other badly, geometry outweighs all expression: F alone takes mirrored starts on (and ends 33
 * spacings off). So it is at 1e5 spots by default; tests/bench/run align goes there. */
static void coarse_search(void **state)
{
    (void)state;
    if (suite_size() != 2) /* long; any_number_of_ranks compares the bits */
        return;
    struct synthetic s = synthetic_new((struct synthetic_options){
        .n = 5000, .turn = 2.0, .dropout = 0.05, .jitter = 0.1, .noise = 0.5, .resampling = 0.2, .deformation = 3.0});
    struct fgw_scalable_problem problem = synthetic_problem(&s, 0.1);
    struct fgw_scalable_options options = fgw_scalable_options_default();
    struct fgw_scalable_result r;
    options.coarse_spots = 40;
    options.polish = FGW_POLISH_NEVER;
    options.level_steps = 4;
    options.steps = 3;
    options.inner_most = 200;
    solve(MPI_COMM_WORLD, &problem, &options, &r);
    double error = synthetic_error(&s, &r, MPI_COMM_WORLD);
    int best = 0, truth = 0; /* the lowest F; the lowest with lengths in units of the bins */
    for (int k = 1; k < r.n_starts; k++) {
        best = r.starts[k].objective < r.starts[best].objective ? k : best;
        truth = r.starts[k].scaled < r.starts[truth].scaled ? k : truth;
    }
    assert_true(r.starts[truth].objective > r.starts[best].objective); /* or the case shows nothing */
    assert_true(r.starts[truth].kept);
    figure("coarse bins, few steps: error in spacings", error, "<=", 2.0);
    assert_true(error <= 2.0);
    fgw_scalable_result_free(&r);
    synthetic_free(&s);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(breast),
                                       cmocka_unit_test(against_dense),
                                       cmocka_unit_test(squared_distances),
                                       cmocka_unit_test(rotations),
                                       cmocka_unit_test(mirrored),
                                       cmocka_unit_test(deformed),
                                       cmocka_unit_test(bent),
                                       cmocka_unit_test(any_number_of_ranks),
                                       cmocka_unit_test(unmatchable),
                                       cmocka_unit_test(refusals),
                                       cmocka_unit_test(degenerate),
                                       cmocka_unit_test(coarse_search)};
    SUITE(argc, argv, tests);
}
