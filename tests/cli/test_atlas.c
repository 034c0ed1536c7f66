/* An atlas through the program, as a user runs it: one broken section does not lose the others; a rerun does what is missing and nothing
 * else; jobs that share a folder share the work; the number of ranks and the order change no output; a killed job is gone on with. */
#include "monge/atlas.h"

#include <hdf5.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/child.h"
#include "support/suite.h"

enum { GOOD = 5, SECTIONS = 6 };
static const char *const names[SECTIONS] = {"s1", "s2", "broken", "s3", "s4", "s5"};

/* choices that keep a correction short */
#define STEPS "steps:\\n  - correct: {kernel: $T/kernel.txt, rank: 8, alpha: 5, rho: 0, gene-weights: 0, sweeps: 5}\\n"
#define RUN   "mpirun -n %d $M run $T/%s.yaml -q"

/* ---- what the tests begin with ---- */

/* A job `name` with that manifest (lines as printf takes them) and output folder `name`. */
static void write_job(const char *name, const char *manifest, const char *more_steps)
{
    char command[4096];
    snprintf(command, sizeof command,
             "printf \"%s\" > $T/%s.tsv && printf \"manifest: $T/%s.tsv\\noutput-folder: $T/%s\\n" STEPS "%s\" > $T/%s.yaml", manifest,
             name, name, name, more_steps, name);
    child_must(command);
}

#define LINES                                                                                                                              \
    "input\\tname\\tcorrect.rank\\n$T/s1.h5ad\\n$T/s2.h5ad\\t\\t4\\n$T/broken.h5ad\\n$T/in3.h5ad\\ts3\\n$T/s4.h5ad\\n$T/s5.h5ad\\n"

static int prepare(void **state)
{
    (void)state;
    if (elsewhere())
        return 0;
    child_must("printf 'beta 0.4\\nuniform 0.05\\n0 0.5\\n1 0.06\\n2 0.02\\n3 0.005\\n' > $T/kernel.txt;"
               "for k in 1 2 3 4 5; do $M simulate -o $T/s$k.h5ad --rows 12 --cols $((10 + 2 * k)) --genes 24 --seed $k -q || exit 1; done;"
               "mv $T/s3.h5ad $T/in3.h5ad; head -c 30000 $T/s1.h5ad > $T/broken.h5ad");
    return 0;
}

/* ---- what the tests look at ---- */

static char *in_folder(const char *folder, const char *name)
{
    static char path[2][640];
    static int turn;
    turn = !turn;
    snprintf(path[turn], sizeof path[turn], "%s/%s/%s", scratch_folder(), folder, name);
    return path[turn];
}

static bool has_output(const char *folder, const char *name)
{
    char file[64];
    struct stat about;
    snprintf(file, sizeof file, "%s.h5ad", name);
    return stat(in_folder(folder, file), &about) == 0;
}

static void expect_outputs(const char *folder)
{
    for (int i = 0; i < SECTIONS; i++)
        assert_int_equal(has_output(folder, names[i]), strcmp(names[i], "broken") != 0);
}

/* How often a section was begun in this folder: its log says. */
static int begun(const char *folder, const char *name)
{
    char command[256];
    int code;
    snprintf(command, sizeof command, "grep -c '\"event\":\"start\"' $T/%s/%s.jsonl", folder, name);
    char *output = child_shell(command, &code);
    int n = atoi(output);
    free(output);
    return n;
}

/* Runs a job and compares its exit code. */
static char *run_job(const char *name, int ranks, const char *environment, int code)
{
    char command[512];
    int got;
    snprintf(command, sizeof command, "%s timeout 600 " RUN, environment, ranks, name);
    char *output = child_shell(command, &got);
    if (got != code)
        fail_msg("%s\nexit code %d instead of %d\n%s", command, got, code, output);
    return output;
}

static void run_well(const char *name, int ranks)
{
    free(run_job(name, ranks, "", 0));
}

static json_t *ask_status(const char *folder)
{
    char command[256];
    int code;
    snprintf(command, sizeof command, "$M status $T/%s --json", folder);
    char *output = child_shell(command, &code);
    assert_int_equal(code, 0);
    json_t *root = json_loads(output, 0, NULL);
    if (!root)
        fail_msg("not JSON: %s", output);
    free(output);
    return root;
}

static void expect_count(const char *folder, const char *state, int n)
{
    json_t *root = ask_status(folder);
    int found = (int)json_integer_value(json_object_get(root, state));
    if (found != n) {
        char *text = json_dumps(root, JSON_INDENT(1));
        fail_msg("%s: %d instead of %d\n%s", state, found, n, text);
    }
    json_decref(root);
}

/* The corrected counts of a section in two folders are the same, bit for bit. */
static void expect_same(const char *folder, const char *other, const char *name)
{
    static const char *const parts[] = {"layers/corrected/data", "layers/corrected/indices", "layers/corrected/indptr"};
    char file[64];
    snprintf(file, sizeof file, "%s.h5ad", name);
    for (int k = 0; k < 3; k++) {
        size_t n, m;
        double *one = golden_read(in_folder(folder, file), parts[k], &n), *two = golden_read(in_folder(other, file), parts[k], &m);
        if (n != m || memcmp(one, two, n * sizeof *one) != 0)
            fail_msg("%s of %s differs between %s and %s", parts[k], name, folder, other);
        free(one);
        free(two);
    }
}

/* ---- the tests ---- */

static void one_broken_section(void **state)
{
    (void)state;
    if (elsewhere())
        return;
    write_job("one", LINES, "  - report");
    char *output = run_job("one", 4, "", 65);
    expect_outputs("one");
    assert_int_equal(occurrences(output, "monge: error"), 1);
    assert_non_null(strstr(output, "1 of 6 sections failed, first broken"));
    assert_int_equal(occurrences(output, "  failed "), 1); /* in the table */
    assert_non_null(strstr(output, "truncated or damaged"));
    free(output);
    for (int i = 0; i < SECTIONS; i++) {
        struct stat about;
        char page[64];
        snprintf(page, sizeof page, "%s.html", names[i]);
        assert_int_equal(stat(in_folder("one", page), &about) == 0, strcmp(names[i], "broken") != 0);
    }
    expect_count("one", "done", GOOD);
    expect_count("one", "failed", 1);
    child_must("test -z \"$(find $T/one -name '*.tmp*' -o -name '*.part' -o -name '*checkpoint*')\"");
    /* its own rank count of one output file is what it would be alone: the job beside it makes the same */
    child_must(
        "cp $T/one/s2.h5ad $T/again.h5ad && $M run $T/one/s2.h5ad.job.yaml -q && cp $T/one/s2.h5ad $T/alone.h5ad && mkdir -p $T/a $T/b"
        " && mv $T/again.h5ad $T/a/s2.h5ad && mv $T/alone.h5ad $T/b/s2.h5ad");
    expect_same("a", "b", "s2");
}

#define IDENTITIES "for k in 1 2 3 4 5; do stat -c '%%n %%i %%y' $T/one/s$k.h5ad; done > $T/%s"

static void note_identities(const char *file)
{
    char command[256];
    snprintf(command, sizeof command, IDENTITIES, file);
    child_must(command);
}

static void a_rerun_does_what_is_missing(void **state)
{
    (void)state;
    if (elsewhere())
        return;
    note_identities("before");
    free(run_job("one", 2, "", 65)); /* tries the broken one again, nothing else */
    note_identities("after");
    child_must("cmp $T/before $T/after");
    assert_int_equal(begun("one", "broken"), 2);

    child_must("rm $T/one/s4.h5ad && cp $T/s1.h5ad $T/broken.h5ad");
    run_well("one", 3);
    note_identities("after");
    child_must("test $(diff $T/before $T/after | grep -c '^>') = 1 && diff $T/before $T/after | grep -q s4");
    assert_true(has_output("one", "broken"));
    assert_int_equal(begun("one", "broken"), 3);

    note_identities("before");
    child_must("sed -i 's/\\t4$/\\t5/' $T/one.tsv"); /* another rank for s2 */
    run_well("one", 1);
    note_identities("after");
    child_must("test $(diff $T/before $T/after | grep -c '^>') = 1 && diff $T/before $T/after | grep -q s2");

    note_identities("before");
    child_must("touch $T/s5.h5ad && mv $T/s1.h5ad $T/gone.h5ad"); /* a changed input; one that is gone changes nothing */
    run_well("one", 2);
    note_identities("after");
    child_must("test $(diff $T/before $T/after | grep -c '^>') = 1 && diff $T/before $T/after | grep -q s5");
    child_must("mv $T/gone.h5ad $T/s1.h5ad && head -c 30000 $T/s1.h5ad > $T/broken.h5ad");
}

static void two_jobs_share_the_work(void **state)
{
    (void)state;
    if (elsewhere())
        return;
    int code;
    write_job("two", LINES, "");
    char *output =
        child_shell("(timeout 300 mpirun -n 2 $M run $T/two.yaml -q; echo code $?) > $T/two.1 2>&1 & "
                    "(timeout 300 mpirun -n 2 $M run $T/two.yaml -q; echo code $?) > $T/two.2 2>&1 & wait; cat $T/two.1 $T/two.2",
                    &code);
    expect_outputs("two");
    for (int i = 0; i < SECTIONS; i++) {
        int times = begun("two", names[i]);
        /* a job that starts after the other's failure is a later run and tries it again; both may be there before */
        bool once = strcmp(names[i], "broken") ? times == 1 : times == 1 || times == 2;
        if (!once)
            fail_msg("%s was begun %d times\n%s", names[i], times, output);
    }
    assert_true(occurrences(output, "code 65") >= 1);
    free(output);
    expect_count("two", "done", GOOD);
}

static void tasks_of_an_array(void **state)
{
    (void)state;
    if (elsewhere())
        return;
    write_job("array", LINES, "");
    free(run_job("array", 2, "SLURM_ARRAY_JOB_ID=7 SLURM_JOB_ID=8", 65));
    free(run_job("array", 2, "SLURM_ARRAY_JOB_ID=7 SLURM_JOB_ID=9", 0)); /* another task of it: not tried again, not its failure */
    assert_int_equal(begun("array", "broken"), 1);
    free(run_job("array", 2, "SLURM_ARRAY_JOB_ID=7 SLURM_JOB_ID=8", 65)); /* the first one, requeued */
    assert_int_equal(begun("array", "broken"), 1);
    free(run_job("array", 1, "SLURM_JOB_ID=10", 65)); /* a later job */
    assert_int_equal(begun("array", "broken"), 2);
    expect_outputs("array");
}

static void any_ranks_any_order(void **state)
{
    (void)state;
    if (elsewhere())
        return;
    static const char *const folders[] = {"r1", "r2", "r3", "r4"};
    for (int ranks = 1; ranks <= 4; ranks++) {
        write_job(folders[ranks - 1],
                  ranks % 2 ? "input\\n$T/s1.h5ad\\n$T/s2.h5ad\\n$T/in3.h5ad\\n$T/s4.h5ad\\n"
                            : "input\\n$T/s4.h5ad\\n$T/in3.h5ad\\n$T/s1.h5ad\\n$T/s2.h5ad\\n",
                  "");
        run_well(folders[ranks - 1], ranks);
    }
    for (int k = 1; k < 4; k++) {
        expect_same("r1", folders[k], "s1");
        expect_same("r1", folders[k], "s2");
        expect_same("r1", folders[k], "in3");
        expect_same("r1", folders[k], "s4");
    }
}

/* One of the ranks dies without a word; nothing of it stays claimed. */
static void killed(void **state)
{
    (void)state;
    if (elsewhere())
        return;
    write_job("killed", LINES, "");
    child_must("sed -i 's/sweeps: 5/sweeps: 2000/' $T/killed.yaml"); /* longer */
    child_must(
        "timeout 300 mpirun -n 2 $M run $T/killed.yaml -q > $T/killed.out 2>&1 & for t in $(seq 200); do "
        "ls $T/killed/*.h5ad > /dev/null 2>&1 && break; sleep 0.05; done; kill -9 $(pgrep -P $(pgrep -P $!) | head -1); wait $! || true");
    expect_count("killed", "running", 0);
    json_t *root = ask_status("killed");
    assert_true(json_integer_value(json_object_get(root, "waiting")) > 0);
    json_decref(root);
    free(run_job("killed", 3, "", 65));
    expect_outputs("killed");
    expect_count("killed", "done", GOOD);
    child_must("test -z \"$(find $T/killed -name '*.h5ad.tmp*')\"");
}

/* A request to stop: sections in work are left at a safe point or finished, none is begun; the next run does the rest. */
static void stopped(void **state)
{
    (void)state;
    if (elsewhere())
        return;
    int code;
    write_job("stopped", LINES, "");
    child_must("sed -i 's/sweeps: 5/sweeps: 2000/' $T/stopped.yaml");
    char *output = child_shell("mpirun -n 2 $M run $T/stopped.yaml -q & for t in $(seq 400); do ls $T/stopped/*.h5ad > /dev/null 2>&1 && "
                               "break; sleep 0.05; done; kill -USR1 $!; wait $!",
                               &code);
    if (code != 75)
        fail_msg("exit code %d\n%s", code, output);
    assert_non_null(strstr(output, "run the same job again to go on"));
    free(output);
    expect_count("stopped", "running", 0);
    json_t *root = ask_status("stopped");
    int done = (int)json_integer_value(json_object_get(root, "done")), waiting = (int)json_integer_value(json_object_get(root, "waiting"));
    json_decref(root);
    assert_true(done >= 1 && waiting >= 1);
    free(run_job("stopped", 3, "", 65));
    expect_outputs("stopped");
    int twice = 0;
    for (int i = 0; i < SECTIONS; i++)
        twice += begun("stopped", names[i]) > 1 && strcmp(names[i], "broken") != 0;
    assert_true(twice <= 2); /* those that were in work */
    child_must("test -z \"$(find $T/stopped -name '*.tmp*' -o -name '*checkpoint*')\"");
}

static void a_dry_run_touches_nothing(void **state)
{
    (void)state;
    if (elsewhere())
        return;
    int code;
    write_job("dry", LINES, "");
    child_must("sed -i \"s|s5.h5ad|none.h5ad|\" $T/dry.tsv");
    char *output = child_shell("mpirun -n 3 $M run $T/dry.yaml --dry-run", &code);
    assert_int_equal(code, 0);
    static const char *const parts[] = {"sections   6 of 6 to do", "memory     about ",      "time       about ",
                                        "on these 3 ranks",        "none.h5ad is not there", "broken.h5ad cannot be read"};
    for (size_t k = 0; k < sizeof parts / sizeof *parts; k++)
        if (!strstr(output, parts[k]))
            fail_msg("'%s' is not in\n%s", parts[k], output);
    free(output);
    child_must("test ! -e $T/dry");
    output = child_shell("$M status $T/dry", &code);
    assert_int_equal(code, 66);
    assert_non_null(strstr(output, "no job with many sections has written here"));
    free(output);
}

static void a_missing_input_is_one_failure(void **state)
{
    (void)state;
    if (elsewhere())
        return;
    write_job("missing", "input\\n$T/none.h5ad\\n$T/s1.h5ad\\n", "");
    char *output = run_job("missing", 2, "", 65);
    assert_non_null(strstr(output, "none.h5ad: No such file"));
    assert_true(has_output("missing", "s1"));
    free(output);
    int code;
    output = child_shell("$M status $T/missing", &code);
    assert_int_equal(code, 0);
    assert_non_null(strstr(output, "1 of 2 done, 0 running on 0 ranks, 0 waiting, 1 failed"));
    assert_non_null(strstr(output, "none.h5ad: No such file"));
    free(output);
}

static void folders_that_cannot_be(void **state)
{
    (void)state;
    if (elsewhere())
        return;
    write_job("nowhere", LINES, "");
    child_must("sed -i 's|output-folder: .*|output-folder: /proc/none|' $T/nowhere.yaml");
    char *output = run_job("nowhere", 2, "", 73);
    assert_non_null(strstr(output, "/proc/none: cannot be made"));
    free(output);
    write_job("logged", LINES, "log: x.jsonl\\n");
    output = run_job("logged", 1, "", 64);
    free(output);
}

/* ---- widths ---- */

static void widths_idle_little(void **state)
{
    (void)state;
    enum { N = 24 };
    static const int worlds[] = {1, 2, 3, 4, 5, 7, 16, 33};
    struct atlas_share shares[N];
    int order[N];
    double worst = 0.0;
    for (size_t w = 0; w < sizeof worlds / sizeof *worlds; w++) {
        double all = 0.0;
        for (int i = 0; i < N; i++) { /* from 1000 s down to 20 s */
            shares[i] = (struct atlas_share){.seconds = 1000.0 * pow(0.02, i / (N - 1.0)), .least = 1};
            order[i] = i;
            all += shares[i].seconds;
        }
        double seconds = atlas_widths(shares, N, order, worlds[w], 1);
        for (int i = 0; i < N; i++)
            assert_true(shares[i].width >= 1 && shares[i].width <= worlds[w]);
        double idle = 1.0 - all / (seconds * worlds[w]);
        worst = worlds[w] <= 16 ? fmax(worst, idle) : worst;
        assert_true(seconds * worlds[w] >= all * 0.999);
    }
    figure("ranks not used, 24 sections, 1 to 16 ranks, as planned", worst, "<", 0.25);
    assert_true(worst < 0.25);
    /* memory decides where time does not */
    for (int i = 0; i < N; i++)
        shares[i].least = i == 5 ? 4 : 1;
    atlas_widths(shares, N, order, 8, 1);
    assert_true(shares[5].width >= 4);
    /* one section has all ranks */
    atlas_widths(shares, 1, order, 8, 1);
    assert_int_equal(shares[0].width, 8);
}

/* ---- the long check ---- */

static double number_after(const char *text, const char *words)
{
    const char *at = strstr(text, words);
    return at ? strtod(at + strlen(words), NULL) : (double)NAN;
}

/* 24 sections of 10^3 to 5 x 10^4 spots on 4 ranks. */
static void many_sizes(void **state)
{
    (void)state;
    if (elsewhere() && suite_rank() != 0)
        return;
    if (!getenv("MONGE_LONG")) {
        printf("  skipped: 24 sections of mixed size; MONGE_LONG=1 runs them\n");
        return;
    }
    enum { N = 24 };
    struct text {
        char chars[4096];
        int length;
    } manifest = {"name\\tsimulate.rows\\tsimulate.cols\\tsimulate.seed\\n", 0};
    manifest.length = (int)strlen(manifest.chars);
    for (int i = 0; i < N; i++) {
        int side = (int)(sqrt(1000.0 * pow(50.0, i / (N - 1.0))) + 0.5);
        manifest.length += snprintf(manifest.chars + manifest.length, sizeof manifest.chars - (size_t)manifest.length,
                                    "m%02d\\t%d\\t%d\\t%d\\n", i, side, side, i + 1);
    }
    char command[6000];
    int code;
    snprintf(
        command, sizeof command,
        "T=$T/long; mkdir -p $T; printf 'beta 0.4\\nuniform 0.05\\n0 0.5\\n1 0.06\\n2 0.02\\n3 "
        "0.005\\n' > $T/kernel.txt; printf \"%s\" > $T/m.tsv; printf \"manifest: $T/m.tsv\\noutput-folder: $T/out\\nsteps:\\n"
        "  - simulate: {genes: 100, lattice: square}\\n  - correct: {kernel: $T/kernel.txt, rank: 8, alpha: 5, rho: 0, gene-weights: 0, "
        "sweeps: 20}\\n\" > $T/m.yaml; mpirun -n 4 $M run $T/m.yaml; code=$?; $M status $T/out; exit $code",
        manifest.chars);
    char *output = child_shell(command, &code);
    if (code != 0)
        fail_msg("exit code %d\n%s", code, output);
    const char *line = strstr(output, "atlas: ");
    while (line && !strstr(line, " idle at the end"))
        line = strstr(line + 1, "atlas: ");
    const char *last = strstr(output, " idle at the end");
    assert_non_null(last);
    while (last > output && *last != '\n')
        last--;
    double seconds = number_after(last, "atlas: "), idle = number_after(last, " ranks, ");
    assert_non_null(strstr(output, "24 of 24 done"));
    figure("seconds, 24 sections of 1e3 to 5e4 spots on 4 ranks", seconds, "<", 3000.0);
    figure("idle rank-seconds at the end, per cent of all", idle, "<", 10.0);
    assert_true(idle < 10.0);
    free(output);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(one_broken_section, prepare),
        cmocka_unit_test(a_rerun_does_what_is_missing),
        cmocka_unit_test(two_jobs_share_the_work),
        cmocka_unit_test(tasks_of_an_array),
        cmocka_unit_test(any_ranks_any_order),
        cmocka_unit_test(killed),
        cmocka_unit_test(stopped),
        cmocka_unit_test(a_dry_run_touches_nothing),
        cmocka_unit_test(a_missing_input_is_one_failure),
        cmocka_unit_test(folders_that_cannot_be),
        cmocka_unit_test(widths_idle_little),
        cmocka_unit_test(many_sizes),
    };
    SUITE(argc, argv, tests);
}
