/* `monge domains` as a user meets it: output for other tools, any number of ranks, stopping and going on, several sections, jobs, bad input.
 * Commands run once, whatever the number of ranks of this suite. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/record.h"
#include "support/anndata.h"
#include "support/child.h"
#include "support/refused.h"
#include "support/same_objects.h"
#include "support/suite.h"

#define SMALL "--model stagate --hidden 16 --latent 8 --seeds 2 --starts 2 "

static void one_section(void **state)
{
    (void)state;
    if (elsewhere())
        return;
    child_must("$M simulate --rows 40 --cols 42 --genes 60 --null -o $T/a.h5ad -q");
    child_must(
        "$M domains $T/a.h5ad -o $T/one.h5ad --reference-labels domain " SMALL
        "--epochs 60 --save-weights $T/w.safetensors --k-curve --k-least 2 --k-most 5 > $T/table && grep -q '^stagate' $T/table && "
        "grep -q '^nbrmean' $T/table && grep -q '^trivial' $T/table && grep -q '^no space' $T/table && grep -q '^reference' $T/table");
    check_in_python(
        in_scratch("one.h5ad"),
        "\"a.obsm['X_domain'].dtype == 'float32'\" \"a.obsm['X_domain'].shape[1] == 8\" \"str(a.obs['domain'].dtype) == 'category'\" "
        "\"str(a.obs['domain_refined'].dtype) == 'category'\" "
        "\"len(a.uns['domain_colors']) == len(a.obs['domain'].cat.categories)\" "
        "\"abs(a.obsm['domain_prob'][~__import__('numpy').isnan(a.obsm['domain_prob'])].sum() - (a.obs['domain'].notna()).sum()) < 1e-3\" "
        "\"a.obsp['spatial_connectivities'].shape == (a.n_obs, a.n_obs)\" \"a.obsp['spatial_distances'].nnz > 0\" "
        "\"len(a.uns['monge']['domains']['loss']) == 60\"");
    child_must(
        "$M report $T/one.h5ad -o $T/one.html && for w in 'Domains, refined' 'Reference labels' 'Scores' 'Training' 'How many domains' "
        "'Domains and reference labels' 'Spatial graph' 'Run time'; do grep -q \"$w\" $T/one.html || { echo no $w; exit 1; }; done");
    child_must("$M domains $T/a.h5ad -o $T/again.h5ad --n-domains 3 " SMALL "--epochs 0 --weights $T/w.safetensors -q");
    check_in_python(in_scratch("again.h5ad"), "\"'loss' not in a.uns['monge']['domains'] or len(a.uns['monge']['domains']['loss']) == 0\"");
    child_must("$M domains $T/a.h5ad --dry-run | grep -q 'MB per rank'");
}

static void same_on_any_ranks(void **state)
{
    (void)state;
    if (elsewhere())
        return;
    static const int ranks[] = {1, 2, 3, 7};
    for (size_t k = 0; k < sizeof ranks / sizeof *ranks; k++) {
        char command[600], name[24];
        snprintf(name, sizeof name, "r%d.h5ad", ranks[k]);
        snprintf(command, sizeof command,
                 "mpirun --oversubscribe -n %d $M domains $T/a.h5ad -o $T/%s --n-domains 3 --alpha 0.5 " SMALL "--epochs 12 -q", ranks[k],
                 name);
        child_must(command);
        if (k > 0)
            same_outputs("r1.h5ad", name);
    }
}

/* A signal in the second training of two: exit code 75; the rerun, on another number of ranks, ends with the same file. */
static void stopped_and_resumed(void **state)
{
    (void)state;
    if (elsewhere())
        return;
#define LONGER "--n-domains 3 --epochs 1500 --trainings 2 " SMALL
    child_must("$M domains $T/a.h5ad -o $T/plain.h5ad -q " LONGER);
    child_must("mpirun -n 2 $M domains $T/a.h5ad -o $T/stop.h5ad " LONGER
               " > $T/log 2>&1 & pid=$!; for i in $(seq 600); do grep -q 'trained 1500' $T/log && break; sleep 0.05; done; sleep 0.3; kill "
               "-USR1 $pid; "
               "wait $pid; test $? = 75 || { cat $T/log; exit 1; }; test ! -e $T/stop.h5ad");
    child_must("mpirun -n 3 $M domains $T/a.h5ad -o $T/stop.h5ad " LONGER
               " > $T/log 2>&1; grep -q 'goes on from epoch' $T/log || { cat $T/log; exit 1; }");
    same_outputs("plain.h5ad", "stop.h5ad");
#undef LONGER
}

static void stacks_and_jobs(void **state)
{
    (void)state;
    if (elsewhere())
        return;
    child_must("$M simulate --rows 20 --cols 22 --genes 60 --null --seed 7 -o $T/b.h5ad -q");
    child_must("mpirun -n 2 $M domains $T/a.h5ad $T/b.h5ad -o $T/ab.h5ad --n-domains 3 " SMALL
               "--epochs 12 -q && $M report $T/ab.h5ad -o $T/ab.html && grep -q "
               "'<h4>b' $T/ab.html");
    child_must("printf 'input: %s/b.h5ad\\noutput: %s/job.h5ad\\nsteps:\\n- correct: {rank: 4, steps: 20}\\n- domains: {counts: corrected, "
               "n_domains: 3, "
               "model: stagate, hidden: 16, latent: 8, epochs: 10, seeds: 2}\\n- report\\n' $T $T > $T/job.yaml && $M run $T/job.yaml -q "
               "&& test -e "
               "$T/job.report.html && grep -q 'Spatial graph' $T/job.report.domains.html");
}

static void other_models(void **state)
{
    (void)state;
    if (elsewhere())
        return;
    child_must("$M domains $T/b.h5ad -o $T/g.h5ad --model gatv2-proto --graph knn --n-domains 3 --hidden 16 --epochs 10 --seeds 2 -q");
    check_in_python(in_scratch("g.h5ad"), "\"a.obsm['X_domain'].shape[1] == 16\" \"a.uns['monge']['domains']['model'] == 'gatv2-proto'\"");
    child_must("$M domains $T/b.h5ad -o $T/n.h5ad --model nbrmean --k-least 2 --k-most 4 --seeds 2 --starts 2 -q");
    check_in_python(in_scratch("n.h5ad"), "\"2 <= len(a.uns['domain_colors']) <= 4\"");
    child_must("$M domains --compat diffbio tests/golden/domains_gatv2_grid.h5 > $T/t; grep -q '0.8250     0.4499' $T/t && grep -q "
               "'47/5/48' $T/t && grep -q "
               "'0.8525     0.6415' $T/t");
}

static void bad_input(void **state)
{
    (void)state;
    if (elsewhere())
        return;
#define ONE "domains $T/b.h5ad -o $T/out.h5ad "
    REFUSED("domains $T/none.h5ad -o $T/out.h5ad", 66, "none.h5ad");
    REFUSED(ONE "--n-domains 0", 64, "--n-domains");
    REFUSED(ONE "--reference-labels nothing", 64, "obs/nothing");
    REFUSED(ONE "--genes nothing", 64, "no gene 'nothing'");
    REFUSED(ONE "--model stagate --radius 1e-9", 65, "no edges", "--radius");
    REFUSED(ONE "--k-least 9 --k-most 3", 64, "--k-most");
    REFUSED(ONE "--model gatv2-proto --heads 3", 64, "--heads");
    REFUSED(ONE "--model stagate --weights $T/b.h5ad --n-domains 3", 65, "b.h5ad");
    REFUSED("domains --compat diffbio $T/b.h5ad", 65, "input/counts");
#undef ONE
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_section),     cmocka_unit_test(same_on_any_ranks), cmocka_unit_test(stopped_and_resumed),
        cmocka_unit_test(stacks_and_jobs), cmocka_unit_test(other_models),      cmocka_unit_test(bad_input),
    };
    SUITE(argc, argv, tests);
}
