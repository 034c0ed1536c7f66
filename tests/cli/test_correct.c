/* `monge correct` as a user meets it: the plan of a dry run, the file as Python's anndata reads it, and a check that fails, in log and file.
 * Commands run once, whatever the number of ranks of this suite. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "monge/record.h"
#include "support/anndata.h"
#include "support/child.h"
#include "support/refused.h"
#include "support/same_objects.h"
#include "support/suite.h"

/* Choices that keep a correction short. */
#define SHORT "--kernel $T/kernel.txt --rank 6 --alpha 5 --rho 0 --prior-trend 0 --sweeps 8 --steps 4 --gene-length no --min-total 60 "

static int prepare(void **state)
{
    (void)state;
    if (!elsewhere())
        child_must("$M simulate -o $T/s.h5ad --rows 20 --cols 20 --genes 40 --capture-sd .35 -q && "
                   "printf 'beta .45\\nuniform .1\\npermeability .85\\n0 1\\n1 .8\\n2 .41\\n3 .14\\n4 .03\\n5 0\\n' > $T/kernel.txt");
    return 0;
}

/* ---- in anndata ---- */

static void simulated_in_anndata(void **state)
{
    (void)state;
    if (elsewhere())
        return;
    check_in_python(in_scratch("s.h5ad"),
                    "\"a.shape == (400, 40)\" \"a.X.dtype == np.float32\" \"(a.X.data > 0).all() and (a.X.data % 1 == 0).all()\" "
                    "\"a.layers['truth'].shape == a.shape and a.layers['truth'].dtype.kind == 'i'\" "
                    "\"(a.layers['truth'].sum(axis=1).A1[a.obs['in_tissue'] == 0] == 0).all()\" "
                    "\"((a.obs['domain'] == -1) == (a.obs['in_tissue'] == 0)).all()\" \"a.obsm['spatial'].shape == (400, 2)\" "
                    "\"0 < a.uns['monge']['simulate']['mean_efficiency'] <= 1\" "
                    "\"a.uns['monge']['simulate']['molecules'] == a.X.sum(dtype=float)\"");
}

/* What C reads in the file, for Python to compare with. */
static void corrected_in_anndata(void **state)
{
    (void)state;
    if (elsewhere())
        return;
    child_must("mpirun -n 2 $M correct $T/s.h5ad -o $T/c.h5ad -q --gene-weights 50 --capture-sd .35 --pca 5 " SHORT);
    const char *path = in_scratch("c.h5ad");
    size_t n, n_components;
    double *count = golden_read(path, "layers/corrected/data", &n), *gene = golden_read(path, "layers/corrected/indices", NULL),
           sums[2] = {0};
    double *variance = golden_read(path, "uns/monge/correct/pca/variance", &n_components);
    for (size_t k = 0; k < n; k++) {
        sums[0] += count[k];
        sums[1] += count[k] * gene[k]; /* as a checksum */
    }
    char expressions[4096];
    snprintf(expressions, sizeof expressions,
             "\"(a.X != read('%s').X).nnz == 0\" \"a.layers['corrected'].dtype.kind == 'i' and (a.layers['corrected'].data > 0).all()\" "
             "\"a.layers['corrected'].nnz == %zu and a.layers['corrected'].sum() == %.0f\" "
             "\"(a.layers['corrected'] @ np.arange(40)).sum() == %.0f\" "
             "\"(a.layers['corrected'].sum(axis=0) == a.X.sum(axis=0)).all()\" "
             "\"abs(a.layers['corrected_mean'].sum(axis=0) / a.X.sum(axis=0) - 1).max() < 1e-5\" "
             "\"(a.layers['corrected'].sum(axis=1).A1[a.obs['in_tissue'] == 0] == 0).all()\" "
             "\"(a.var['corrected_gene'] == (a.var['total_counts'] >= 60)).all() and str(a.var['corrected_gene'].dtype) == 'bool'\" "
             "\"(a.var['total_counts'] == a.X.sum(axis=0).A1).all()\" "
             "\"a.varm['kernel_weights'].shape == (40, 3) and abs(np.nansum(a.varm['kernel_weights'], axis=1)[a.var['corrected_gene']] - "
             "1).max() < 1e-12\" "
             "\"(a.obs['capture_factor'] > 0).all()\" \"(a.obsm['X_pca'][a.obs['in_tissue'] == 0] == 0).all()\" "
             "\"a.obsm['X_pca'].shape == (400, 5) and abs(a.obsm['X_pca'][a.obs['in_tissue'] == 1].var(axis=0, ddof=1)[0] / %.17g - 1) < "
             "1e-6\" "
             "\"(a.layers['truth'] != read('%s').layers['truth']).nnz == 0\" "
             "\"a.uns['monge']['correct']['strength'] in ('full', 'cautious')\"",
             in_scratch("s.h5ad"), n, sums[0], sums[1], variance[0], in_scratch("s.h5ad"));
    check_in_python(path, expressions);
    free(count);
    free(gene);
    free(variance);
}

/* ---- a check that fails ---- */

static char *text_in(const char *file, const char *path)
{
    struct record record;
    assert_int_equal(record_open(&record, file), MONGE_OK);
    char *text = record_text(&record, path);
    record_close(&record);
    assert_non_null(text);
    return text;
}

/* Switches in the middle of its work: the log, the file and the report say so, with the same bits as if it had been told to. */
static void turns_cautious(void **state)
{
    (void)state;
    if (elsewhere())
        return;
#define SHARP "mpirun -n 2 $M correct $T/s.h5ad " SHORT "--gene-weights 0 --capture-sd 0 --alpha 0 --steps 60 --beta-scale 1.8 "
    int code;
    char *output = child_shell(SHARP "--log $T/log.jsonl -o $T/auto.h5ad && grep warning $T/log.jsonl", &code);
    static const char *const why = "a sign of over-correction: switching to --strength cautious";
    if (code != 0 || occurrences(output, why) != 2) /* printed, and in the job's log */
        fail_msg("exit code %d\n%s", code, output);
    free(output);
    char *strength = text_in(in_scratch("auto.h5ad"), "uns/monge/correct/strength");
    assert_string_equal(strength, "cautious");
    free(strength);
    struct record record;
    int64_t n;
    assert_int_equal(record_open(&record, in_scratch("auto.h5ad")), MONGE_OK);
    assert_true(record_real(&record, "uns/monge/correct/kernel/beta_factor") == 1.8 * .75);
    char **warnings = record_texts(&record, "uns/monge/correct/warnings", &n);
    assert_true(warnings && n == 1 && strstr(warnings[0], why));
    record_texts_free(warnings, n);
    record_close(&record);
    child_must("$M report $T/auto.h5ad -o $T/auto.html && grep -q 'sign of over-correction' $T/auto.html && grep -q cautious $T/auto.html");
    child_must(SHARP "-q --strength cautious -o $T/told.h5ad");
    size_t entries, again;
    double *a = golden_read(in_scratch("auto.h5ad"), "layers/corrected/data", &entries),
           *b = golden_read(in_scratch("told.h5ad"), "layers/corrected/data", &again);
    assert_int_equal(entries, again);
    assert_memory_equal(a, b, entries * sizeof *a);
    free(a);
    free(b);
}

/* ---- dry run ---- */

/* Grid and costs that were printed. */
struct plan {
    int gene_groups, spot_groups;
    double megabytes, seconds;
};

static struct plan dry_run(int ranks, const char *options)
{
    struct plan plan = {0};
    char command[512];
    int code;
    snprintf(command, sizeof command, "mpirun -n %d $M correct $T/large.h5ad --dry-run %s", ranks, options);
    char *output = child_shell(command, &code), *grid = strstr(output, "  grid "), *memory = strstr(output, "  memory     about "),
         *time = strstr(output, "  time ");
    if (code != 0 || !grid || !memory || !time || !strstr(output, "plan (nothing is written)") ||
        sscanf(grid, " grid %d gene groups x %d spot groups", &plan.gene_groups, &plan.spot_groups) != 2 ||
        sscanf(memory, " memory about %lf MB per rank", &plan.megabytes) != 1 || sscanf(time, " time about %lf s", &plan.seconds) != 1)
        fail_msg("%s\nexit code %d\n%s", command, code, output);
    free(output);
    return plan;
}

/* Names, sizes and times of the scratch folder's files. */
static char *listing(void)
{
    int code;
    char *text = child_shell("find $T -printf '%P %s %T@\\n' | sort", &code);
    assert_int_equal(code, 0);
    return text;
}

static void plan_of_a_dry_run(void **state)
{
    (void)state;
    if (elsewhere())
        return;
    child_must("$M simulate -o $T/large.h5ad --rows 64 --cols 64 --genes 160 -q");
    char *before = listing();
    struct plan one = dry_run(1, ""), two = dry_run(2, "--log $T/dry.jsonl -o $T/dry.h5ad"), split = dry_run(2, "--grid 1x2"),
                long_way = dry_run(1, "--steps 100");
    char *after = listing();
    assert_string_equal(before, after); /* nothing is written */
    free(before);
    free(after);
    assert_true(one.gene_groups == 1 && one.spot_groups == 1);
    assert_true(two.gene_groups == 2 && two.spot_groups == 1); /* genes first */
    assert_true(split.gene_groups == 1 && split.spot_groups == 2);
    assert_true(two.megabytes < one.megabytes && split.megabytes < two.megabytes && two.megabytes > .25 * one.megabytes);
    assert_true(two.seconds < one.seconds && long_way.seconds > 2.0 * one.seconds);
    const double fields = 11.0 * 32.0 * 8.0 * 64.0 * 64.0; /* of a batch of genes */
    assert_true(1e6 * one.megabytes > fields && 1e6 * one.megabytes < 10.0 * fields);
}

static void grids_that_are_none(void **state)
{
    (void)state;
    if (elsewhere())
        return;
    static const char *const dry[] = {"", "--dry-run"};
    for (int k = 0; k < 2; k++) {
        char command[256];
        snprintf(command, sizeof command, "correct $T/s.h5ad -o $T/out.h5ad --grid 3x1 %s", dry[k]);
        REFUSED(command, 64, "process grid 3 x 1 needs 3 ranks");
        snprintf(command, sizeof command, "correct $T/s.h5ad -o $T/out.h5ad --grid two %s", dry[k]);
        REFUSED(command, 64, "--grid: two is not of the form GxS");
    }
}

/* The whole program with all its choices, and every grid that so many ranks can make. Layers, columns and record are the same bits. */
static void same_bits_on_any_ranks(void **state)
{
    (void)state;
    static const char *const grids[] = {"1x3", "3x1", "2x1", "1x2", "4x1", "2x2", "1x4", "7x1", "1x7"};
    int n = getenv("MONGE_LONG") ? sizeof grids / sizeof *grids : 1;
    if (elsewhere())
        return;
    child_must("$M simulate -o $T/small.h5ad --rows 18 --cols 18 --genes 70 --capture-sd .2 --gene-beta-spread .5 -q && "
               "$M correct $T/small.h5ad -o $T/alone.h5ad -q --mean-layer yes --gene-length yes");
    for (int k = 0; k < n; k++) {
        char command[512];
        snprintf(command, sizeof command,
                 "mpirun -n %d $M correct $T/small.h5ad -o $T/shared.h5ad -q --mean-layer yes --gene-length yes --grid %s",
                 (grids[k][0] - '0') * (grids[k][2] - '0'), grids[k]);
        child_must(command);
        same_outputs("alone.h5ad", "shared.h5ad");
    }
    if (n > 1) { /* the shape that it chooses itself */
        child_must("mpirun -n 7 $M correct $T/small.h5ad -o $T/shared.h5ad -q --mean-layer yes --gene-length yes");
        same_outputs("alone.h5ad", "shared.h5ad");
    }
    child_must("rm $T/alone.h5ad $T/shared.h5ad");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup(simulated_in_anndata, prepare),
                                       cmocka_unit_test(corrected_in_anndata),
                                       cmocka_unit_test(turns_cautious),
                                       cmocka_unit_test(plan_of_a_dry_run),
                                       cmocka_unit_test(grids_that_are_none),
                                       cmocka_unit_test(same_bits_on_any_ranks)};
    SUITE(argc, argv, tests);
}
