/* `monge graph` as a user meets it: descriptions, outputs that are the same from any number of ranks, refusals. The children have ranks of their
 * own, so one rank tells all. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support/child.h"
#include "support/refused.h"
#include "support/suite.h"
#include "support/tiny_h5ad.h"

static int prepare(void **state)
{
    (void)state;
    if (suite_size() > 1)
        return 0;
    child_must("$M simulate -o $T/s.h5ad --rows 24 --cols 25 --genes 8 -q && $M simulate -o $T/t.h5ad --rows 12 --cols 12 --genes 8 -q");
    return 0;
}

/* The command's output must hold all parts. */
static void says(const char *command, const char *const *parts)
{
    int code;
    char *output = child_shell(command, &code);
    if (code != 0)
        fail_msg("%s: exit code %d\n%s", command, code, output);
    for (; *parts; parts++)
        if (!strstr(output, *parts))
            fail_msg("%s: '%s' is not in\n%s", command, *parts, output);
    free(output);
}
#define SAYS(command, ...) says(command, (const char *const[]){__VA_ARGS__, NULL})

static void descriptions(void **state)
{
    (void)state;
    if (suite_size() > 1)
        return;
    SAYS("$M help graph", "--graph", "--between-radius", "--max-edge", "default");
    SAYS("$M graph $T/s.h5ad", "graph: all within", "(chosen)", "at most 6;", "components     1,", "for 6 to 15 neighbours");
    SAYS("mpirun -n 3 $M graph $T/s.h5ad --graph lattice --rings 2", "up to 2 steps away", "at most 18;");
    SAYS("$M graph $T/s.h5ad --graph knn --neighbours 4 --symmetric", "the 4 nearest, either way");
    SAYS("mpirun -n 2 $M graph $T/s.h5ad --graph delaunay --max-edge 150", "Delaunay triangulation, edges up to 150", "at most 6;");
    SAYS("$M graph $T/s.h5ad --radius 1", "spots have no neighbour", "edges          0", "suggests a radius");
    SAYS("mpirun -n 2 $M graph $T/s.h5ad $T/t.h5ad", "for 6 to 15 neighbours in s", "for 6 to 15 neighbours in t");
    SAYS("mpirun -n 2 $M graph $T/s.h5ad -o $T/o.h5ad --dry-run && ls $T", "s.h5ad\nt.h5ad\n");
}

/* A stack by Delaunay, which single ranks find for all; one section by its nearest. */
static void the_same_from_any_ranks(void **state)
{
    (void)state;
    if (suite_size() > 1)
        return;
    child_must("for p in 1 4; do mpirun -n $p $M graph $T/s.h5ad $T/t.h5ad --graph delaunay --between-radius 30 -o $T/d$p.h5ad -q && "
               "mpirun -n $p $M graph $T/s.h5ad --graph knn -o $T/k$p.h5ad -q || exit 1; done");
    static const char *const names[6] = {"obsp/spatial_connectivities/indptr", "obsp/spatial_connectivities/indices",
                                         "obsp/spatial_connectivities/data",   "obsp/spatial_distances/indptr",
                                         "obsp/spatial_distances/indices",     "obsp/spatial_distances/data"};
    for (int kind = 0; kind < 2; kind++)
        for (int k = 0; k < 6; k++) {
            size_t n, m;
            double *one = golden_read(in_scratch(kind ? "k1.h5ad" : "d1.h5ad"), names[k], &n);
            double *four = golden_read(in_scratch(kind ? "k4.h5ad" : "d4.h5ad"), names[k], &m);
            assert_int_equal(n, m);
            assert_true(n > 100);
            assert_memory_equal(one, four, n * sizeof *one);
            free(one);
            free(four);
        }
}

static void in_a_job(void **state)
{
    (void)state;
    if (suite_size() > 1)
        return;
    child_must("printf 'input: %s/s.h5ad\\noutput: %s/j.h5ad\\nsteps:\\n- graph: {graph: knn, neighbours: 8}\\n' $T $T > $T/j.yaml && "
               "mpirun -n 2 $M run $T/j.yaml -q");
    size_t n;
    double *start = golden_read(in_scratch("j.h5ad"), "obsp/spatial_distances/indptr", &n), degree = 0.0;
    for (size_t i = 1; i < n; i++) {
        assert_true(start[i] == start[i - 1] || start[i] == start[i - 1] + 8.0);
        degree += start[i] - start[i - 1];
    }
    assert_true(degree > 800.0);
    free(start);
}

static void refusals(void **state)
{
    (void)state;
    if (suite_size() > 1)
        return;
    REFUSED("graph", 64, "usage: monge graph IN");
    REFUSED("graph $T/s.h5ad --graph knn --neighbours 0", 64, "neighbours is 0");
    REFUSED("graph $T/s.h5ad --neighbours 9", 64, "--neighbours goes with --graph knn or lattice, not with radius");
    REFUSED("graph $T/s.h5ad --graph lattice --neighbours 8", 64, "hexagonal", "has no 8 neighbours");
    REFUSED("graph $T/s.h5ad -o $T/s.h5ad", 73, "is the input itself");
}

/* Sections spoilt in one place. */
static void sections_that_have_no_graph(void **state)
{
    (void)state;
    double nowhere[2 * TINY_SPOTS], none[TINY_SPOTS] = {0}, irregular[2 * TINY_SPOTS];
    for (int i = 0; i < 2 * TINY_SPOTS; i++) {
        nowhere[i] = i == 17 ? NAN : (double)i;
        irregular[i] = (double)(i * i % 61) + 0.01 * (double)i;
    }
    if (suite_size() > 1)
        return;
    hid_t file = tiny_h5ad(in_scratch("bad.h5ad"));
    tiny_numbers(file, "obsm/spatial", H5T_IEEE_F64LE, 2, TINY_SPOTS, 2, nowhere);
    tiny_close(file);
    REFUSED("graph $T/bad.h5ad", 65, "row 8", "no finite position");
    file = tiny_h5ad(in_scratch("bad.h5ad"));
    tiny_numbers(file, "obs/in_tissue", H5T_STD_I64LE, 1, TINY_SPOTS, 1, none);
    tiny_close(file);
    REFUSED("graph $T/bad.h5ad -o $T/out.h5ad", 65, "no spot is in tissue");
    file = tiny_h5ad(in_scratch("bad.h5ad"));
    tiny_remove(file, "obs/array_row");
    tiny_remove(file, "obs/array_col");
    tiny_numbers(file, "obsm/spatial", H5T_IEEE_F64LE, 2, TINY_SPOTS, 2, irregular);
    tiny_close(file);
    REFUSED("graph $T/bad.h5ad --graph lattice", 65, "no lattice", "radius, knn or delaunay");
    SAYS("mpirun -n 2 $M graph $T/bad.h5ad", "spots          16");
    file = tiny_open(in_scratch("bad.h5ad"));
    tiny_remove(file, "obsm/spatial");
    tiny_close(file);
    REFUSED("graph $T/bad.h5ad", 65, "obsm/spatial", "need positions");
    none[7] = 1.0; /* one spot, and no neighbour */
    file = tiny_h5ad(in_scratch("bad.h5ad"));
    tiny_numbers(file, "obs/in_tissue", H5T_STD_I64LE, 1, TINY_SPOTS, 1, none);
    tiny_close(file);
    SAYS("mpirun -n 2 $M graph $T/bad.h5ad -o $T/one.h5ad", "edges          0", "wrote");
    SAYS("mpirun -n 2 $M graph $T/bad.h5ad --graph delaunay", "edges          0", "components     1,");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(descriptions, prepare),
        cmocka_unit_test(the_same_from_any_ranks),
        cmocka_unit_test(in_a_job),
        cmocka_unit_test(refusals),
        cmocka_unit_test(sections_that_have_no_graph),
    };
    SUITE(argc, argv, tests);
}
