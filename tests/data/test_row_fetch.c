/* Rows of any sites: against what the owner holds, with duplicates, ranks that ask for nothing or hold nothing, and many rounds. */
#include "monge/row_fetch.h"

#include <stdlib.h>

#include "monge/row_exchange.h"
#include "support/suite.h"

enum { SITES = 97 };

/* Row of a site: site mod 7 entries, at columns site mod 5 + 6 k. */
static int64_t entries_of(int64_t site)
{
    return site % 7;
}

static float value_of(int64_t site, int64_t k)
{
    return (float)(site * 10 + k);
}

static struct sparse_rows make_rows(const struct partition *sites)
{
    struct sparse_rows rows = {.n_rows = sites->n_own};
    rows.start = calloc((size_t)sites->n_own + 1, sizeof *rows.start);
    rows.column = malloc((size_t)(7 * sites->n_own + 1) * sizeof *rows.column);
    rows.value = malloc((size_t)(7 * sites->n_own + 1) * sizeof *rows.value);
    int64_t n = 0;
    for (int64_t i = 0; i < sites->n_own; i++) {
        for (int64_t k = 0; k < entries_of(sites->first + i); k++) {
            rows.column[n] = (int32_t)((sites->first + i) % 5 + 6 * k);
            rows.value[n++] = value_of(sites->first + i, k);
        }
        rows.start[i + 1] = n;
    }
    return rows;
}

static void check_rows(const struct sparse_rows *rows, int64_t n, const int64_t *wanted)
{
    assert_int_equal(rows->n_rows, n);
    assert_int_equal(rows->start[0], 0);
    for (int64_t i = 0; i < n; i++) {
        assert_int_equal(rows->start[i + 1] - rows->start[i], entries_of(wanted[i]));
        for (int64_t k = 0; k < entries_of(wanted[i]); k++) {
            assert_int_equal(rows->column[rows->start[i] + k], wanted[i] % 5 + 6 * k);
            assert_true(rows->value[rows->start[i] + k] == value_of(wanted[i], k));
        }
    }
}

/* Blocks of 10 sites, or one block: then one rank holds everything. */
static void fetch_from(int64_t block, int64_t portion)
{
    int64_t n_blocks = (SITES + block - 1) / block, start[SITES + 1];
    for (int64_t b = 0; b <= n_blocks; b++)
        start[b] = b * block < SITES ? b * block : SITES;
    struct partition sites;
    assert_int_equal(partition_new(&sites, MPI_COMM_WORLD, n_blocks, start), MONGE_OK);
    struct sparse_rows own = make_rows(&sites);
    for (int round = 0; round < 4; round++) {
        /* rank 1 asks for nothing in round 1; all ask one rank in round 2 */
        int64_t n = round == 1 && suite_rank() == 1 ? 0 : 40 + 13 * suite_rank(), wanted[256];
        for (int64_t i = 0; i < n; i++)
            wanted[i] = round == 2 ? 3 + i % 2 : (i * 31 + suite_rank() * 17 + round * 5) % SITES;
        struct sparse_rows rows;
        assert_int_equal(rows_fetch(&sites, &own, n, wanted, portion, &rows), MONGE_OK);
        check_rows(&rows, n, wanted);
        sparse_rows_free(&rows);
    }
    sparse_rows_free(&own);
    partition_free(&sites);
}

static void any_rows(void **state)
{
    (void)state;
    fetch_from(10, ROW_EXCHANGE_PORTION);
    fetch_from(SITES, ROW_EXCHANGE_PORTION);
}

static void in_many_rounds(void **state)
{
    (void)state;
    fetch_from(10, 30);
    fetch_from(10, 1); /* one row of every pair of ranks at a time */
    fetch_from(SITES, 8);
}

static void sites_that_are_not_there(void **state)
{
    (void)state;
    const int64_t start[2] = {0, SITES}, wrong[2] = {5, SITES};
    struct partition sites;
    assert_int_equal(partition_new(&sites, MPI_COMM_WORLD, 1, start), MONGE_OK);
    struct sparse_rows own = make_rows(&sites), rows;
    int last = suite_rank() == suite_size() - 1; /* one rank's mistake is known to all */
    assert_int_equal(rows_fetch(&sites, &own, last ? 2 : 0, wrong, ROW_EXCHANGE_PORTION, &rows), MONGE_INTERNAL);
    assert_null(rows.start);
    sparse_rows_free(&own);
    partition_free(&sites);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(any_rows), cmocka_unit_test(in_many_rounds),
                                       cmocka_unit_test(sites_that_are_not_there)};
    SUITE(argc, argv, tests);
}
