/* Bad input through the program, as a user meets it: a simulated section is spoilt in one place, corrected on one rank and on two. Each
 * time: the exit code, one message that names the file, the place and what to do, and nothing left behind. MONGE_LONG=1: every case on one rank too. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/child.h"
#include "support/refused.h"
#include "support/suite.h"
#include "support/tiny_h5ad.h"

enum { SPOTS = 144, GENES = 24, SIDE = 12 };

/* choices that keep a correction short; $T/kernel.txt is made by prepare() */
#define SHORT       "--rank 8 --alpha 5 --rho 0 --gene-weights 0 --sweeps 5"
#define CORRECT     "correct $T/bad.h5ad -o $T/out.h5ad " SHORT
#define WITH_KERNEL CORRECT " --kernel $T/kernel.txt"

static int prepare(void **state)
{
    (void)state;
    if (elsewhere())
        return 0;
    child_must("$M simulate -o $T/good.h5ad --rows 12 --cols 12 --genes 24 -q && "
               "printf 'beta 0.4\\nuniform 0.05\\n0 0.5\\n1 0.06\\n2 0.02\\n3 0.005\\n' > $T/kernel.txt");
    return 0;
}

/* bad.h5ad becomes a copy of the good section, open to be spoilt. */
static hid_t fresh(void)
{
    child_must("cp $T/good.h5ad $T/bad.h5ad");
    return tiny_open(in_scratch("bad.h5ad"));
}

static void files_that_are_none(void **state)
{
    (void)state;
    if (elsewhere())
        return;
    child_must("rm -f $T/bad.h5ad");
    REFUSED(CORRECT, 66, "bad.h5ad", "No such file");
    child_must("echo gene,count > $T/bad.h5ad");
    REFUSED(CORRECT, 65, "bad.h5ad", "not an HDF5 file");
    child_must("head -c 30000 $T/good.h5ad > $T/bad.h5ad");
    REFUSED(CORRECT, 65, "bad.h5ad", "truncated or damaged", "copy it again");
}

static void values_that_are_none(void **state)
{
    (void)state;
    if (elsewhere())
        return;
    static const struct {
        const char *dataset;
        int64_t at; /* -1: the dataset is removed */
        double value;
        const char *part, *advice;
    } cases[] = {
        {"obs/in_tissue", -1, 0.0, "obs/in_tissue is missing", "1) or outside (0)"},
        {"obs/in_tissue", 17, 3.0, "obs/in_tissue row 17 is 3", "1 (in tissue) or 0"},
        {"obs/array_col", -1, 0.0, "obs/array_col is missing beside obs/array_row", "both or neither"},
        {"X/data", 7, 1.5, "which is not a whole number", "raw counts"},
        {"X/data", 7, -2.0, "which is negative", "raw counts"},
        {"X/data", 7, (double)NAN, "which is not a finite number", "raw counts"},
        {"X/indices", 7, 5000.0, "is 5000, outside 0 to 23", "write the file again"},
        {"X/indptr", 70, 0.0, "X/indptr entry 70 is 0, below the one before", "must ascend"},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        hid_t file = fresh();
        if (cases[k].at < 0)
            tiny_remove(file, cases[k].dataset);
        else
            tiny_poke(file, cases[k].dataset, cases[k].at, cases[k].value);
        tiny_close(file);
        REFUSED(CORRECT, 65, "bad.h5ad", cases[k].part, cases[k].advice);
    }
}

/* Per gene: molecules of a matrix of the file. */
static void gene_totals(const char *matrix, double total[GENES])
{
    char data[64], indices[64];
    size_t n;
    const char *file = in_scratch(strcmp(matrix, "X") ? "out.h5ad" : "bad.h5ad");
    snprintf(data, sizeof data, "%s/data", matrix);
    snprintf(indices, sizeof indices, "%s/indices", matrix);
    double *value = golden_read(file, data, &n), *gene = golden_read(file, indices, NULL);
    memset(total, 0, GENES * sizeof *total);
    for (size_t k = 0; k < n; k++)
        total[(int)gene[k]] += value[k];
    free(value);
    free(gene);
}

/* A correction that must succeed, and keep the molecules of every gene. */
static void corrected(const char *launcher)
{
    char command[512];
    double before[GENES], after[GENES];
    snprintf(command, sizeof command, "timeout 120 %s $M " WITH_KERNEL " -q", launcher);
    child_must(command);
    gene_totals("X", before);
    gene_totals("layers/corrected", after);
    for (int g = 0; g < GENES; g++)
        if (before[g] != after[g])
            fail_msg("%s: gene %d has %g molecules instead of %g", command, g, after[g], before[g]);
    child_must("rm $T/out.h5ad");
}

static void no_background(void **state)
{
    (void)state;
    if (elsewhere())
        return;
    hid_t file = fresh();
    for (int i = 0; i < SPOTS; i++)
        tiny_poke(file, "obs/in_tissue", i, 1.0);
    tiny_close(file);
    REFUSED(CORRECT, 65, "bad.h5ad", "all 144 spots are tissue", "--kernel FILE");
    corrected("");
    corrected("mpirun -n 2");
    file = fresh();
    for (int i = 0; i < SPOTS; i++)
        tiny_poke(file, "obs/in_tissue", i, 0.0);
    tiny_close(file);
    REFUSED(CORRECT, 65, "bad.h5ad", "the tissue holds no counts", "check the tissue mask");
    REFUSED(WITH_KERNEL, 65, "bad.h5ad", "in_tissue");
}

/* Genes 3 and 20 and spots 10 to 15 lose all their molecules. */
static void silent_genes_and_spots(void **state)
{
    (void)state;
    if (elsewhere())
        return;
    hid_t file = fresh();
    size_t n;
    double *gene = golden_read(in_scratch("good.h5ad"), "X/indices", &n), *start = golden_read(in_scratch("good.h5ad"), "X/indptr", NULL);
    for (size_t k = 0; k < n; k++)
        if (gene[k] == 3.0 || gene[k] == 20.0 || ((double)k >= start[10] && (double)k < start[16]))
            tiny_poke(file, "X/data", (int64_t)k, 0.0);
    tiny_close(file);
    corrected("");
    corrected("mpirun -n 2");
    file = tiny_open(in_scratch("bad.h5ad"));
    for (size_t k = 0; k < n; k++)
        tiny_poke(file, "X/data", (int64_t)k, 0.0);
    tiny_close(file);
    free(gene);
    free(start);
    REFUSED(WITH_KERNEL, 65, "bad.h5ad", "no gene has 20 molecules", "--min-total");
}

/* Two rows of the lattice have no spots: places without barcodes are filled. */
static void holes(void **state)
{
    (void)state;
    if (elsewhere())
        return;
    hid_t file = fresh();
    double *row = golden_read(in_scratch("good.h5ad"), "obs/array_row", NULL);
    for (int i = 0; i < SPOTS; i++)
        tiny_poke(file, "obs/array_row", i, row[i] + (row[i] >= SIDE / 2 ? 2.0 : 0.0));
    free(row);
    tiny_remove(file, "obsm/spatial");
    tiny_close(file);
    corrected("");
    corrected("mpirun -n 2");
}

static void jobs(void **state)
{
    (void)state;
    if (elsewhere())
        return;
    static const struct {
        const char *steps, *part, *advice;
    } cases[] = {
        {"steps:\\n  - correct: {rnak: 3}", "line 4: 'rnak' is not an option of correct", "did you mean 'rank'?"},
        {"steps:\\n  - correct: {rank: many}", "line 4", "rank"},
        {"steps:\\n  - correct: {rank: 1000}", "line 4", "200"},
        {"setps: [correct]", "line 3", "did you mean 'steps'?"},
        {"steps: [corect]", "line 3", "did you mean 'correct'?"},
        {"steps:\\n  - correct: {rank: 3", "line ", "job.yaml"},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        char command[512];
        snprintf(command, sizeof command, "printf \"input: $T/good.h5ad\\noutput: $T/out.h5ad\\n%s\\n\" > $T/job.yaml", cases[k].steps);
        child_must(command);
        REFUSED("run $T/job.yaml", 64, "job.yaml", cases[k].part, cases[k].advice);
    }
}

static void places_for_output(void **state)
{
    (void)state;
    if (elsewhere())
        return;
    tiny_close(fresh());
    REFUSED("correct $T/bad.h5ad -o $T/no/out.h5ad", 73, "no/out.h5ad", "create it first");
    REFUSED("correct $T/bad.h5ad -o $T", 73, "is a folder");
    REFUSED("correct $T/bad.h5ad -o $T/bad.h5ad/out.h5ad", 73, "bad.h5ad/out.h5ad");
    REFUSED("correct $T/bad.h5ad -o $T/bad.h5ad", 73, "is the input itself");
    REFUSED("correct $T/bad.h5ad -o /proc/out.h5ad --kernel $T/kernel.txt " SHORT, 73, "/proc/out.h5ad");
    if (geteuid() != 0) {
        child_must("mkdir -p $T/closed && chmod 555 $T/closed");
        REFUSED("correct $T/bad.h5ad -o $T/closed/out.h5ad", 73, "closed", "not writable");
    }
}

/* A command whose output does not fit $T/disk: one message, which names the file, and nothing left. */
static void too_small(const char *size, const char *launcher, const char *arguments, const char *file)
{
    char command[1024];
    int code;
    snprintf(
        command, sizeof command,
        "mount -t tmpfs -o size=%s tmpfs $T/disk; timeout 120 %s $M %s; code=$?; echo \"left: $(ls -A $T/disk)\"; umount $T/disk; exit "
        "$code",
        size, launcher, arguments);
    char *output = child_shell(command, &code);
    if (code != 74 || !strstr(output, "disk full?") || !strstr(output, file) || !strstr(output, "left: \n") ||
        occurrences(output, "monge: error") != 1)
        fail_msg("%s\nexit code %d\n%s", command, code, output);
    free(output);
}

/* Disks too small for the copy of the input, for the new layers, and for what HDF5 writes last; for a section that is invented, and for a
 * page. Only root can mount them. */
static void full_disk(void **state)
{
    (void)state;
    if (elsewhere() || !disks_can_be_mounted())
        return;
    tiny_close(fresh());
    static const char *const launchers[] = {"", "mpirun -n 2"}, *const sizes[] = {"8k", "100k", "150k", "200k"};
    for (int k = 0; k < 7; k++) /* two sizes are enough for two ranks */
        if (k != 3)
            too_small(sizes[k / 2], launchers[k % 2], "correct $T/bad.h5ad -o $T/disk/out.h5ad --kernel $T/kernel.txt " SHORT " -q",
                      "disk/out.h5ad");
    child_must("$M correct $T/bad.h5ad -o $T/done.h5ad --kernel $T/kernel.txt " SHORT " -q");
    for (int k = 0; k < 2; k++) {
        too_small(sizes[k], launchers[k], "simulate -o $T/disk/out.h5ad --rows 12 --cols 12 --genes 24 -q", "disk/out.h5ad");
        too_small(sizes[k], launchers[k], "report $T/done.h5ad -o $T/disk/out.html", "disk/out.html");
    }
}

/* Rank 1 alone cannot find the kernel file; rank 0 could go on into collectives. */
static void one_rank_alone(void **state)
{
    (void)state;
    if (elsewhere())
        return;
    int code;
    tiny_close(fresh());
    char *output = child_shell("mkdir -p $T/away && cd $T && timeout 120 mpirun -n 1 $M " CORRECT
                               " --kernel kernel.txt : -n 1 -wdir $T/away $M " CORRECT " --kernel kernel.txt",
                               &code);
    if (code != 66 || occurrences(output, "monge: error") != 1 || !strstr(output, "kernel.txt: No such file"))
        fail_msg("exit code %d\n%s", code, output);
    assert_int_equal(outputs_left(), 0);
    free(output);
}

/* The launcher is told to stop in the middle of the work; it kills ranks after a second, done or not (docs/checkpoints.md). */
static void stopped(void **state)
{
    (void)state;
    if (elsewhere())
        return;
    int code;
    tiny_close(fresh());
    char *output =
        child_shell("timeout -s TERM 3 mpirun -n 2 $M correct $T/bad.h5ad -o $T/out.h5ad --seed-training 100000 --formulation seed", &code);
    if (code == 0)
        fail_msg("it ran to its end\n%s", output);
    child_must("test ! -e $T/out.h5ad && rm -f $T/out.h5ad.*");
    free(output);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(files_that_are_none, prepare),
        cmocka_unit_test(values_that_are_none),
        cmocka_unit_test(no_background),
        cmocka_unit_test(silent_genes_and_spots),
        cmocka_unit_test(holes),
        cmocka_unit_test(jobs),
        cmocka_unit_test(places_for_output),
        cmocka_unit_test(full_disk),
        cmocka_unit_test(one_rank_alone),
        cmocka_unit_test(stopped),
    };
    SUITE(argc, argv, tests);
}
