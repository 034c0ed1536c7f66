/* The process grid: place of each rank, the two communicators, and the choice of shape. */
#include "monge/grid.h"

#include "support/suite.h"

static void places_ranks_row_by_row(void **state)
{
    (void)state;
    int size = suite_size(), rank = suite_rank();
    for (int spots = 1; spots <= size; spots++) {
        if (size % spots)
            continue;
        struct grid grid;
        assert_int_equal(grid_new(&grid, MPI_COMM_WORLD, size / spots, spots), MONGE_OK);
        assert_int_equal(grid.gene_group * spots + grid.spot_group, rank);
        int place, count, sum = rank;
        MPI_Comm_rank(grid.spot_comm, &place);
        MPI_Comm_size(grid.spot_comm, &count);
        assert_int_equal(place, grid.spot_group);
        assert_int_equal(count, spots);
        MPI_Allreduce(MPI_IN_PLACE, &sum, 1, MPI_INT, MPI_SUM, grid.spot_comm); /* neighbouring ranks share genes */
        assert_int_equal(sum, grid.gene_group * spots * spots + spots * (spots - 1) / 2);
        MPI_Comm_rank(grid.gene_comm, &place);
        MPI_Comm_size(grid.gene_comm, &count);
        assert_int_equal(place, grid.gene_group);
        assert_int_equal(count, size / spots);
        grid_free(&grid);
    }
}

static void shapes_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    struct grid grid;
    assert_int_equal(grid_new(&grid, MPI_COMM_WORLD, suite_size(), 2), MONGE_USAGE);
    assert_int_equal(grid_new(&grid, MPI_COMM_WORLD, 0, suite_size()), MONGE_USAGE);
    grid_free(&grid); /* harmless after a refusal */
}

static void chooses_genes_first(void **state)
{
    (void)state;
    int size = suite_size();
    struct grid grid;
    assert_int_equal(grid_choose(&grid, MPI_COMM_WORLD, 600, 5e6, 1e9), MONGE_OK);
    assert_int_equal(grid.n_gene_groups, size);
    grid_free(&grid);
    /* one batch needs 32 x 32 x 1e6 bytes = 1.02 GB: at 0.6 GB a rank needs half of the sites or fewer */
    assert_int_equal(grid_choose(&grid, MPI_COMM_WORLD, 600, 1e9, 0.6e9), MONGE_OK);
    assert_int_equal(grid.n_spot_groups, size == 1 ? 1 : size % 2 == 0 ? 2 : size);
    grid_free(&grid);
    assert_int_equal(grid_choose(&grid, MPI_COMM_WORLD, 1, 5e6, 1e9), MONGE_OK); /* a single batch */
    assert_int_equal(grid.n_gene_groups, 1);
    grid_free(&grid);
    assert_int_equal(grid_choose(&grid, MPI_COMM_WORLD, 600, 1e9, 1.0), MONGE_OK); /* never fits: all along spots */
    assert_int_equal(grid.n_spot_groups, size);
    grid_free(&grid);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(places_ranks_row_by_row),
        cmocka_unit_test(shapes_that_do_not_fit_are_refused),
        cmocka_unit_test(chooses_genes_first),
    };
    SUITE(argc, argv, tests);
}
