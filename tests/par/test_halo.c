/* Halo exchange against a serial twin: random wishes, ranks that want nothing, several widths, repeated use. */
#include <stdlib.h>
#include <string.h>

#include "monge/halo.h"
#include "monge/rng.h"
#include "support/suite.h"

enum { BLOCKS = 17, BLOCK = 9 };

static void ghosts_hold_the_remote_values(void **state)
{
    (void)state;
    int64_t start[BLOCKS + 1];
    for (int b = 0; b <= BLOCKS; b++)
        start[b] = (int64_t)b * BLOCK;
    struct partition p;
    assert_int_equal(partition_new(&p, MPI_COMM_WORLD, BLOCKS, start), MONGE_OK);
    int64_t wanted[BLOCKS * BLOCK], n = 0;
    for (int64_t i = 0; i < p.n && p.rank % 3 != 2; i++) { /* every third rank wants nothing */
        struct rng rng = rng_start(1, RNG_TEST, (uint64_t)(i * 100 + p.rank));
        if ((i < p.first || i >= p.first + p.n_own) && rng_uniform(&rng) < .4)
            wanted[n++] = i;
    }
    struct halo *halo;
    assert_int_equal(halo_new(&halo, &p, n, wanted), MONGE_OK);
    for (int width = 1; width <= 33; width += 16) {
        double *own = malloc((size_t)(p.n_own * width + 1) * sizeof *own), *ghost = calloc((size_t)(n * width + 1), sizeof *ghost);
        for (int64_t i = 0; i < p.n_own; i++)
            for (int k = 0; k < width; k++)
                own[i * width + k] = (double)((p.first + i) * 1000 + k);
        assert_int_equal(halo_start(halo, (size_t)width * sizeof *own, own, ghost), MONGE_OK);
        assert_int_equal(halo_finish(halo), MONGE_OK);
        for (int64_t i = 0; i < n; i++)
            for (int k = 0; k < width; k++)
                assert_true(ghost[i * width + k] == (double)(wanted[i] * 1000 + k));
        free(own);
        free(ghost);
    }
    halo_free(halo);
    partition_free(&p);
}

static void more_ranks_than_blocks(void **state)
{
    (void)state;
    int64_t start[2] = {0, 5}, wanted[5] = {0, 1, 2, 3, 4};
    struct partition p;
    assert_int_equal(partition_new(&p, MPI_COMM_WORLD, 1, start), MONGE_OK);
    int64_t n = p.n_own ? 0 : 5;
    struct halo *halo;
    float own[5] = {1, 2, 3, 4, 5}, ghost[5] = {0};
    assert_int_equal(halo_new(&halo, &p, n, wanted), MONGE_OK);
    assert_int_equal(halo_start(halo, sizeof(float), own, ghost), MONGE_OK);
    assert_int_equal(halo_finish(halo), MONGE_OK);
    if (n)
        assert_memory_equal(own, ghost, sizeof own);
    halo_free(halo);
    partition_free(&p);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(ghosts_hold_the_remote_values), cmocka_unit_test(more_ranks_than_blocks)};
    SUITE(argc, argv, tests);
}
