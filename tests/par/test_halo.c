/* Halo exchange on random graphs against a serial twin: a ghost holds what its owner computed for the site. */
#include "monge/halo.h"

#include <stdlib.h>
#include <string.h>

#include "support/suite.h"

static uint64_t hash(uint64_t z)
{
    z = (z + 0x9e3779b97f4a7c15u) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static void make_partition(struct partition *p, int64_t n_blocks, int64_t block)
{
    int64_t *start = calloc((size_t)n_blocks + 1, sizeof *start);
    for (int64_t b = 0; b < n_blocks; b++)
        start[b + 1] = start[b] + block;
    assert_int_equal(partition_new(p, MPI_COMM_WORLD, n_blocks, start), MONGE_OK);
    free(start);
}

/* The site's value number `lane` in exchange number `turn`. */
static uint32_t value(int64_t site, int lane, int turn)
{
    return (uint32_t)hash((uint64_t)(site * 1009 + lane * 31 + turn));
}

static void exchange_and_compare(struct halo *halo, const struct partition *p, int64_t n, const int64_t *wanted, int lanes, int turn)
{
    uint32_t *own = malloc((size_t)(p->n_own * lanes + 1) * sizeof *own), *ghost = calloc((size_t)(n * lanes + 1), sizeof *ghost);
    for (int64_t i = 0; i < p->n_own; i++)
        for (int l = 0; l < lanes; l++)
            own[i * lanes + l] = value(p->first + i, l, turn);
    ghost[n * lanes] = 77; /* must not be touched */
    assert_int_equal(halo_start(halo, (size_t)lanes * sizeof *own, own, ghost), MONGE_OK);
    assert_int_equal(halo_finish(halo), MONGE_OK);
    int64_t wrong = 0;
    for (int64_t i = 0; i < n; i++)
        for (int l = 0; l < lanes; l++)
            wrong += ghost[i * lanes + l] != value(wanted[i], l, turn);
    assert_int_equal(wrong, 0);
    assert_int_equal(ghost[n * lanes], 77);
    free(own);
    free(ghost);
}

/* Every rank wants each remote site with the given chance (of 1000); ranks whose bit is set in `silent` want nothing. */
static void check(int64_t n_blocks, int64_t block, unsigned chance, unsigned silent, uint64_t seed)
{
    struct partition p;
    make_partition(&p, n_blocks, block);
    int64_t *wanted = malloc((size_t)(p.n + 1) * sizeof *wanted), n = 0;
    for (int64_t site = 0; site < p.n; site++)
        if (partition_owner(&p, site) != p.rank && !((silent >> p.rank) & 1u) &&
            hash(seed + (uint64_t)(site * 64 + p.rank)) % 1000 < chance)
            wanted[n++] = site;
    struct halo *halo;
    assert_int_equal(halo_new(&halo, &p, n, wanted), MONGE_OK);
    const int lanes[] = {1, 32, 5, 64, 1};
    for (int turn = 0; turn < 5; turn++)
        exchange_and_compare(halo, &p, n, wanted, lanes[turn], turn);
    halo_free(halo);
    free(wanted);
    partition_free(&p);
}

static void random_graphs(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 6; seed++)
        check(23, 17, 100u + 150u * (unsigned)seed, 0, seed);
    check(40, 256, 1000, 0, 9); /* everything */
}

static void ranks_without_neighbours_or_sites(void **state)
{
    (void)state;
    check(8, 10, 300, 1, 1);
    check(8, 10, 300, 2, 2);
    check(8, 10, 300, ~0u, 3); /* nobody wants anything */
    check(2, 10, 500, 0, 4);   /* with 3 ranks or more some own nothing */
    check(1, 10, 1000, 0, 5);
}

static void several_halos_are_independent(void **state)
{
    (void)state;
    struct partition p;
    make_partition(&p, 12, 8);
    int64_t *wanted = malloc((size_t)p.n * sizeof *wanted), n = 0;
    for (int64_t site = 0; site < p.n; site++)
        if (partition_owner(&p, site) != p.rank)
            wanted[n++] = site;
    struct halo *first, *second;
    assert_int_equal(halo_new(&first, &p, n, wanted), MONGE_OK);
    assert_int_equal(halo_new(&second, &p, n / 2, wanted), MONGE_OK);
    int64_t *own = malloc((size_t)(p.n_own + 1) * 2 * sizeof *own), *ghost = calloc((size_t)n * 2 + 1, sizeof *ghost);
    for (int64_t i = 0; i < p.n_own; i++) {
        own[i] = p.first + i;
        own[p.n_own + i] = -(p.first + i);
    }
    assert_int_equal(halo_start(first, sizeof *own, own, ghost), MONGE_OK); /* both under way at once */
    assert_int_equal(halo_start(second, sizeof *own, own + p.n_own, ghost + n), MONGE_OK);
    assert_int_equal(halo_finish(second), MONGE_OK);
    assert_int_equal(halo_finish(first), MONGE_OK);
    for (int64_t i = 0; i < n; i++) {
        assert_int_equal(ghost[i], wanted[i]);
        assert_int_equal(ghost[n + i], i < n / 2 ? -wanted[i] : 0);
    }
    halo_free(first);
    halo_free(second);
    free(own);
    free(ghost);
    free(wanted);
    partition_free(&p);
}

static void wrong_lists_are_refused_on_all_ranks(void **state)
{
    (void)state;
    struct partition p;
    make_partition(&p, 8, 10);
    bool last = p.rank == p.size - 1; /* only one rank is wrong; all must return */
    struct halo *halo;
    const int64_t beyond[] = {80};
    assert_int_equal(halo_new(&halo, &p, last ? 1 : 0, beyond), MONGE_INTERNAL);
    assert_null(halo);
    const int64_t own[] = {p.first};
    assert_int_equal(halo_new(&halo, &p, last ? 1 : 0, own), MONGE_INTERNAL);
    if (p.size > 1) {
        const int64_t falling[] = {1, 0};
        assert_int_equal(halo_new(&halo, &p, last ? 2 : 0, falling), MONGE_INTERNAL);
    }
    assert_int_equal(halo_new(&halo, &p, 0, NULL), MONGE_OK);
    assert_int_equal(halo_start(halo, (size_t)1 << 31, NULL, NULL), MONGE_INTERNAL);
    halo_free(halo);
    partition_free(&p);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_graphs),
        cmocka_unit_test(ranks_without_neighbours_or_sites),
        cmocka_unit_test(several_halos_are_independent),
        cmocka_unit_test(wrong_lists_are_refused_on_all_ranks),
    };
    SUITE(argc, argv, tests);
}
