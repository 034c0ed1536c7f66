/* The partition covers all blocks once, in order, balanced; owner agrees with the ranges. */
#include "monge/partition.h"
#include "support/suite.h"

static void covers_and_finds(void **state)
{
    (void)state;
    int64_t start[] = {0, 256, 512, 600, 856, 1112, 1113, 1369, 1369, 1600};
    struct partition p;
    assert_int_equal(partition_new(&p, MPI_COMM_WORLD, 9, start), MONGE_OK);
    int64_t sum = p.n_own, first = p.first;
    MPI_Allreduce(MPI_IN_PLACE, &sum, 1, MPI_INT64_T, MPI_SUM, MPI_COMM_WORLD);
    assert_int_equal(sum, 1600);
    for (int64_t site = 0; site < 1600; site++) {
        int owner = partition_owner(&p, site);
        bool mine = site >= first && site < first + p.n_own;
        assert_int_equal(mine, owner == p.rank);
    }
    partition_free(&p);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(covers_and_finds)};
    SUITE(argc, argv, tests);
}
