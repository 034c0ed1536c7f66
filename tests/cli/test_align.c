/* `monge align` as a user meets it: sections with a known partner for every spot, all modes, any number of ranks, stopping and going on,
 * bad input. Commands run once, whatever the number of ranks of this suite. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/record.h"
#include "support/child.h"
#include "support/refused.h"
#include "support/same_objects.h"
#include "support/suite.h"
#include "support/tiny_h5ad.h"

static double value_of(const char *name, const char *path)
{
    struct record record;
    assert_int_equal(record_open(&record, in_scratch(name)), MONGE_OK);
    double value = record_real(&record, path);
    record_close(&record);
    return value;
}

/* a.h5ad; b, turned and bent, with a tenth of the spots lost; c, likewise, from a too. */
static void make_sections(void)
{
    child_must("$M simulate --rows 15 --cols 16 --genes 60 --null -o $T/a.h5ad -q");
    child_must("$M simulate --slice-of $T/a.h5ad --rotate 70 --shift-x 30 --bend 0.5 --drop 0.1 --seed 3 -o $T/b.h5ad -q");
    child_must("$M simulate --slice-of $T/a.h5ad --rotate -120 --shift-y 9 --bend 0.5 --drop 0.1 --seed 4 -o $T/c.h5ad -q");
}

#define FEW "--min-gene-counts 1 --min-spot-counts 1"

static void truth_is_found(void **state)
{
    (void)state;
    if (elsewhere())
        return;
    make_sections();
    child_must("$M align $T/a.h5ad $T/b.h5ad -o $T/ab.h5ad --truth true_spot " FEW);
    double error = value_of("ab.h5ad", "uns/monge/align/pair_0/truth_error"),
           angle = value_of("ab.h5ad", "uns/monge/align/pair_0/angle_degrees");
    figure("error, spacings", error, "<=", 0.5);
    assert_true(error <= 0.5);
    figure("rotation found, degrees", angle, "near", -70.0);
    assert_true(fabs(remainder(angle + 70.0, 360.0)) < 2.0);
    child_must(
        "$M report $T/ab.h5ad -o $T/ab.html && grep -q 'The stacked sections' $T/ab.html && grep -q 'Transported mass' $T/ab.html && "
        "grep -q '<code>input</code>.*a.h5ad, .*b.h5ad' $T/ab.html");
    child_must("$M align $T/a.h5ad $T/b.h5ad -o $T/ab2.h5ad --solver scalable --radius 8 --truth true_spot " FEW);
    error = value_of("ab2.h5ad", "uns/monge/align/pair_0/truth_error");
    figure("error of the scalable solver, spacings", error, "<=", 0.5);
    assert_true(error <= 0.5);
    double f = value_of("ab.h5ad", "uns/monge/align/pair_0/objective"), g = value_of("ab2.h5ad", "uns/monge/align/pair_0/objective");
    figure("F of the scalable solver against the dense one", g / f - 1.0, "<=", 1e-3);
    assert_true(g / f - 1.0 <= 1e-3);
}

static void same_on_any_ranks(void **state)
{
    (void)state;
    if (elsewhere())
        return;
    static const char *const settings[] = {"", "--solver scalable", "--mode center --center-rank 4 --center-rounds 2"};
    for (int s = 0; s < 3; s++)
        for (int ranks = 1; ranks <= 4; ranks += s == 1 ? 1 : 2) { /* every number for the solver that is spread over the ranks */
            char command[700], name[2][32];
            snprintf(name[0], sizeof name[0], "r%d_1.h5ad", s);
            snprintf(name[1], sizeof name[1], "r%d_%d.h5ad", s, ranks);
            snprintf(command, sizeof command, "mpirun -n %d $M align $T/a.h5ad $T/b.h5ad $T/c.h5ad -o $T/%s -q %s " FEW, ranks, name[1],
                     settings[s]);
            child_must(command);
            if (ranks > 1)
                same_outputs(name[0], name[1]);
        }
}

static void other_modes(void **state)
{
    (void)state;
    if (elsewhere())
        return;
    child_must("$M align $T/a.h5ad $T/b.h5ad -o $T/p.h5ad -q --mode partial --overlap 0.7 --truth true_spot " FEW);
    double mass = value_of("p.h5ad", "uns/monge/align/pair_0/mass"), error = value_of("p.h5ad", "uns/monge/align/pair_0/truth_error");
    figure("partial, overlap 0.7: mass", mass, "near", 0.7);
    assert_true(fabs(mass - 0.7) < 1e-9);
    figure("partial: error, spacings", error, "<=", 0.5);
    assert_true(error <= 0.5);
    child_must("mpirun -n 2 $M align $T/a.h5ad $T/b.h5ad -o $T/sq.h5ad -q --gw-cost sq --solver scalable --truth true_spot " FEW);
    error = value_of("sq.h5ad", "uns/monge/align/pair_0/truth_error");
    figure("squared distances: error, spacings", error, "<=", 0.5);
    assert_true(error <= 0.5);
    static const char *const kinds[] = {"euclidean", "pca", "glmpca"};
    for (int k = 0; k < 3; k++) {
        char command[500];
        snprintf(command, sizeof command, "mpirun -n 2 $M align $T/a.h5ad $T/b.h5ad -o $T/k.h5ad -q --dissimilarity %s " FEW, kinds[k]);
        child_must(command);
    }
    child_must("$M simulate --rows 15 --cols 16 --genes 60 --null --seed 7 -o $T/d.h5ad -q");
    child_must("mpirun -n 2 $M align $T/a.h5ad $T/d.h5ad -o $T/h.h5ad -q --histology 0.5 " FEW);
    child_must("$M align --compat diffbio tests/golden/diffbio_grid.h5 > $T/table; grep -q '2.6868     4.7633   8.1529' $T/table");
}

/* A signal while the second pair is under way: exit code 75, and the rerun takes up what was done. */
static void stopped_and_resumed(void **state)
{
    (void)state;
    if (elsewhere())
        return;
    child_must("$M align $T/a.h5ad $T/b.h5ad $T/c.h5ad -o $T/plain.h5ad -q " FEW);
    child_must(
        "mpirun -n 2 $M align $T/a.h5ad $T/b.h5ad $T/c.h5ad -o $T/stop.h5ad " FEW " > $T/log 2>&1 & pid=$!; "
        "for i in $(seq 600); do grep -q 'b on a' $T/log && break; sleep 0.1; done; kill -USR1 $pid; wait $pid; test $? = 75 || { cat "
        "$T/log; exit 1; }; test ! -e $T/stop.h5ad");
    child_must("mpirun -n 3 $M align $T/a.h5ad $T/b.h5ad $T/c.h5ad -o $T/stop.h5ad " FEW
               " > $T/log 2>&1; grep -q 'had been solved before' $T/log");
    same_outputs("plain.h5ad", "stop.h5ad");
}

static void bad_input(void **state)
{
    (void)state;
    if (elsewhere())
        return;
#define PAIR "align $T/a.h5ad $T/b.h5ad -o $T/out.h5ad "
    REFUSED("align $T/a.h5ad -o $T/out.h5ad", 64, "monge align");
    REFUSED("align $T/a.h5ad $T/none.h5ad -o $T/out.h5ad", 66, "none.h5ad");
    REFUSED(PAIR "--mode partial --overlap 0", 64, "--overlap", "0.001");
    REFUSED(PAIR "--mode partial --overlap 1.5", 64, "--overlap");
    REFUSED(PAIR "--min-gene-counts 1e9", 65, "--min-gene-counts");
    REFUSED(PAIR "--min-spot-counts 1e9", 65, "a.h5ad", "--min-spot-counts");
    REFUSED(PAIR FEW " --labels nothing", 64, "obs/nothing");
    REFUSED(PAIR FEW " --mode center --center 2", 64, "--center");
    REFUSED(PAIR FEW " --histology 0.5", 65, "b has none"); /* a simulated section has an image, a second slice of it has not */
    REFUSED(PAIR FEW " --dissimilarity gkl --solver scalable", 64, "gkl");
#undef PAIR
    tiny_close(tiny_h5ad(in_scratch("other.h5ad")));
    REFUSED("align $T/a.h5ad $T/other.h5ad -o $T/out.h5ad", 65, "other.h5ad");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(truth_is_found), cmocka_unit_test(same_on_any_ranks), cmocka_unit_test(other_modes),
                                       cmocka_unit_test(stopped_and_resumed), cmocka_unit_test(bad_input)};
    SUITE(argc, argv, tests);
}
