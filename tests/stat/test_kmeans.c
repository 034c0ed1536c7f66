/* K-means: against all partitions of a few rows, as a fixed point of plain Lloyd, the law of k-means++, ranks, and input that cannot be clustered. */
#include <string.h>

#include "cluster_rows.h"
#include "monge/kmeans.h"
#include "monge/labels.h"
#include "support/suite.h"

/* Inertia of a labeling by plain sums; centre [k x columns] = means. */
static double plain_inertia(int64_t n, int columns, const double *value, int k, const int32_t *label, double *centre)
{
    double inertia = 0.0;
    for (int c = 0; c < k; c++) {
        double size = 0.0;
        memset(centre + c * columns, 0, (size_t)columns * sizeof *centre);
        for (int64_t i = 0; i < n; i++)
            for (int j = 0; j < columns && label[i] == c; j++)
                centre[c * columns + j] += value[i * columns + j];
        for (int64_t i = 0; i < n; i++)
            size += label[i] == c;
        for (int j = 0; j < columns; j++)
            centre[c * columns + j] /= size;
    }
    for (int64_t i = 0; i < n; i++)
        for (int j = 0; j < columns; j++)
            inertia += pow(value[i * columns + j] - centre[label[i] * columns + j], 2.0);
    return inertia;
}

static void the_best_of_all_partitions_is_found(void **state)
{
    (void)state;
    enum { ROWS = 11, K = 3 };
    int32_t group[ROWS], label[ROWS];
    double *value = grouped_rows(ROWS, 2, K, 1.0, 0.3, group), centre[K * 2], least = INFINITY;
    for (int code = 0; code < 177147; code++) { /* 3^11 */
        int used = 0;
        for (int i = 0, rest = code; i < ROWS; i++, rest /= 3)
            used |= 1 << (label[i] = rest % 3);
        if (used == 7)
            least = fmin(least, plain_inertia(ROWS, 2, value, K, label, centre));
    }
    struct partition rows;
    struct kmeans found;
    deal_rows(&rows, MPI_COMM_SELF, ROWS, 4);
    struct kmeans_options options = kmeans_defaults(K, 3);
    options.n_init = 40;
    options.tolerance = 0.0;
    assert_int_equal(kmeans_fit(&found, &rows, 2, value, &options), MONGE_OK);
    figure("k-means over the best of 177147 partitions", found.inertia / least - 1.0, "<=", 1e-12);
    assert_true(fabs(found.inertia / least - 1.0) < 1e-12);
    kmeans_free(&found);
    partition_free(&rows);
    free(value);
}

static void the_result_is_a_fixed_point_and_finds_groups(void **state)
{
    (void)state;
    enum { ROWS = 700, COLUMNS = 7, K = 4 };
    int32_t group[ROWS], all[ROWS];
    double *value = grouped_rows(ROWS, COLUMNS, K, 12.0, 0.3, group), centre[K * COLUMNS], off = 0.0;
    struct partition rows;
    struct kmeans found;
    deal_rows(&rows, MPI_COMM_WORLD, ROWS, 64);
    struct kmeans_options options = kmeans_defaults(K, 5);
    options.tolerance = 0.0;
    assert_int_equal(kmeans_fit(&found, &rows, COLUMNS, value + rows.first * COLUMNS, &options), MONGE_OK);
    assert_int_equal(labels_gather(&rows, found.label, all), MONGE_OK);
    double inertia = plain_inertia(ROWS, COLUMNS, value, K, all, centre);
    figure("inertia against plain sums", fabs(found.inertia / inertia - 1.0), "<=", 1e-12);
    assert_true(fabs(found.inertia / inertia - 1.0) < 1e-12);
    assert_true(max_relative(found.centre, centre, K * COLUMNS) < 1e-13);
    for (int64_t i = 0; i < ROWS; i++)
        for (int c = 0; c < K; c++) { /* no centre is nearer than the row's own */
            double own = 0.0, other = 0.0;
            for (int j = 0; j < COLUMNS; j++) {
                own += pow(value[i * COLUMNS + j] - centre[all[i] * COLUMNS + j], 2.0);
                other += pow(value[i * COLUMNS + j] - centre[c * COLUMNS + j], 2.0);
            }
            off = fmax(off, own - other);
        }
    assert_true(off <= 1e-9);
    for (int64_t i = 0; i < ROWS; i++) /* groups are far apart: one label each, the largest group has label 0 */
        for (int64_t j = 0; j < i; j++)
            assert_int_equal(group[i] == group[j], all[i] == all[j]);
    for (int c = 1; c < K; c++)
        assert_true(found.size[c] <= found.size[c - 1]);
    kmeans_free(&found);
    partition_free(&rows);
    free(value);
}

static void any_number_of_ranks_gives_the_same_bits(void **state)
{
    (void)state;
    enum { ROWS = 900, COLUMNS = 5, K = 6 };
    int32_t group[ROWS];
    double *value = grouped_rows(ROWS, COLUMNS, 4, 1.0, 0.3, group);
    struct partition shared, alone;
    struct kmeans of_all, of_one;
    deal_rows(&shared, MPI_COMM_WORLD, ROWS, 128);
    deal_rows(&alone, MPI_COMM_SELF, ROWS, 128);
    struct kmeans_options options = kmeans_defaults(K, 1);
    options.n_init = 4;
    assert_int_equal(kmeans_fit(&of_all, &shared, COLUMNS, value + shared.first * COLUMNS, &options), MONGE_OK);
    assert_int_equal(kmeans_fit(&of_one, &alone, COLUMNS, value, &options), MONGE_OK);
    assert_true(of_all.inertia == of_one.inertia && of_all.start == of_one.start && of_all.iterations == of_one.iterations);
    assert_memory_equal(of_all.centre, of_one.centre, K * COLUMNS * sizeof(double));
    assert_memory_equal(of_all.size, of_one.size, K * sizeof(int64_t));
    if (shared.n_own > 0)
        assert_memory_equal(of_all.label, of_one.label + shared.first, (size_t)shared.n_own * sizeof(int32_t));
    kmeans_free(&of_all);
    kmeans_free(&of_one);
    partition_free(&shared);
    partition_free(&alone);
    free(value);
}

/* Rows 0, 1 and 3 on a line: the first centre is any with 1/3, the second is drawn in proportion to squared distances: {0, 1} has probability
 * 1/3 (1/10 + 1/5) = 1/10. */
static void the_race_draws_by_squared_distance(void **state)
{
    (void)state;
    enum { DRAWS = 4000 };
    const double value[] = {0.0, 1.0, 3.0};
    struct partition rows;
    deal_rows(&rows, MPI_COMM_SELF, 3, 2);
    double near = 0.0;
    for (int seed = 0; seed < DRAWS; seed++) {
        struct kmeans found;
        struct kmeans_options options = {.k = 2, .n_init = 1, .max_iterations = 0, .seed = (uint64_t)seed};
        assert_int_equal(kmeans_fit(&found, &rows, 1, value, &options), MONGE_OK);
        near += found.inertia > 3.5; /* centres 0 and 1: 4; the others: 1 */
        kmeans_free(&found);
    }
    double share = near / DRAWS, expected = 0.1, error = sqrt(expected * (1.0 - expected) / DRAWS);
    figure("k-means++: a near pair is drawn, standard errors off", fabs(share - expected) / error, "<=", 4.0);
    assert_true(fabs(share - expected) <= 4.0 * error);
    partition_free(&rows);
}

static void input_that_cannot_be_clustered_is_refused(void **state)
{
    (void)state;
    enum { ROWS = 300 };
    double value[2 * ROWS];
    struct partition rows;
    struct kmeans found;
    deal_rows(&rows, MPI_COMM_WORLD, ROWS, 32);
    for (int i = 0; i < ROWS; i++) {
        value[2 * i] = i % 3;
        value[2 * i + 1] = 7.25;
    }
    const double *own = value + 2 * rows.first;
    struct kmeans_options options = kmeans_defaults(4, 1);
    assert_int_equal(kmeans_fit(&found, &rows, 2, own, &options), MONGE_BAD_DATA);
    assert_non_null(strstr(error_message(), "only 3 distinct values; ask for 3 at most"));
    options.k = 3;
    assert_int_equal(kmeans_fit(&found, &rows, 2, own, &options), MONGE_OK);
    assert_true(found.inertia < 1e-20 && found.size[0] == 100 && found.size[2] == 100);
    if (rows.first == 0 && rows.n_own > 0)
        assert_true(found.label[0] == 0 && found.label[1] == 1 && found.label[2] == 2); /* equal sizes: by first row */
    kmeans_free(&found);
    value[2 * 150] = NAN;
    assert_int_equal(kmeans_fit(&found, &rows, 2, own, &options), MONGE_BAD_DATA);
    assert_non_null(strstr(error_message(), "row 150, column 0"));
    options.k = 0;
    value[2 * 150] = 0.0;
    assert_int_equal(kmeans_fit(&found, &rows, 2, own, &options), MONGE_USAGE);
    partition_free(&rows);
    deal_rows(&rows, MPI_COMM_WORLD, 1, 32); /* one row, most ranks empty */
    options.k = 1;
    assert_int_equal(kmeans_fit(&found, &rows, 2, value, &options), MONGE_OK);
    assert_true(found.inertia == 0.0 && found.size[0] == 1 && found.centre[1] == 7.25);
    kmeans_free(&found);
    partition_free(&rows);
}

/* Magnitudes far from 1: distances keep their proportions. */
static void units_do_not_matter(void **state)
{
    (void)state;
    enum { ROWS = 200 };
    int32_t group[ROWS];
    double *value = grouped_rows(ROWS, 3, 3, 4.0, 0.3, group);
    struct partition rows;
    struct kmeans plain, scaled;
    deal_rows(&rows, MPI_COMM_SELF, ROWS, 64);
    struct kmeans_options options = kmeans_defaults(3, 1);
    assert_int_equal(kmeans_fit(&plain, &rows, 3, value, &options), MONGE_OK);
    for (int unit = -1; unit <= 1; unit += 2) {
        for (int i = 0; i < 3 * ROWS; i++)
            value[i] = ldexp(value[i], unit * 300);
        assert_int_equal(kmeans_fit(&scaled, &rows, 3, value, &options), MONGE_OK);
        assert_memory_equal(plain.label, scaled.label, sizeof group);
        assert_true(ldexp(plain.inertia, unit * 600) == scaled.inertia);
        for (int i = 0; i < 3 * ROWS; i++)
            value[i] = ldexp(value[i], -unit * 300);
        kmeans_free(&scaled);
    }
    kmeans_free(&plain);
    partition_free(&rows);
    free(value);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_best_of_all_partitions_is_found),       cmocka_unit_test(the_result_is_a_fixed_point_and_finds_groups),
        cmocka_unit_test(any_number_of_ranks_gives_the_same_bits),   cmocka_unit_test(the_race_draws_by_squared_distance),
        cmocka_unit_test(input_that_cannot_be_clustered_is_refused), cmocka_unit_test(units_do_not_matter)};
    SUITE(argc, argv, tests);
}
