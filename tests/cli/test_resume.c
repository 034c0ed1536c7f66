/* Jobs that are stopped, killed, refused or run out of disk, as a user meets them: whatever happens, running the same command again gives
 * the output of an undisturbed run, bit for bit, and nothing else is left. */
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "monge/log.h"
#include "monge/rng.h"
#include "support/child.h"
#include "support/same_objects.h"
#include "support/suite.h"

/* A correction whose choices are short and whose last phases are long enough to be met. */
#define CORRECT                                                                                                                            \
    "$M correct $T/raw.h5ad -q --kernel $T/kernel.txt --rank 8 --alpha 5 --rho 0 --gene-weights 500 --sweeps 150 --steps 1000 "            \
    "--log $T/log.jsonl "
#define OUT CORRECT "-o $T/out.h5ad "

static bool is_long(void)
{
    return getenv("MONGE_LONG") != NULL;
}

/* All but how long it took, on how many ranks, and with what mishaps. */
static void same_as_undisturbed(const char *undisturbed, const char *output)
{
    static const char *const times[] = {"uns/monge/run", "uns/monge/correct/phases", "uns/monge/correct/options/grid",
                                        "uns/monge/correct/warnings", NULL}; /* of a full disk */
    const char *a = in_scratch(undisturbed), *b = in_scratch(output);
    assert_true(same_objects(a, b, times) > 20);
    same_objects(b, a, times);
}

/* Names in the scratch folder that begin with "out", sorted by the shell. */
static void left(const char *expected)
{
    int code;
    char *output = child_shell("cd $T && printf '%s ' $(ls -d out* 2>/dev/null)", &code);
    size_t length = strcspn(output, "\n");
    output[length] = '\0';
    while (length > 0 && output[length - 1] == ' ')
        output[--length] = '\0';
    if (strcmp(output, expected))
        fail_msg("there are '%s' instead of '%s'", output, expected);
    free(output);
}

/* Exit code and a part of the message, once. */
static void ends(const char *command, int code, const char *part)
{
    int got;
    char *output = child_shell(command, &got);
    if (got != code || (part && !strstr(output, part)))
        fail_msg("%s\nexit code %d instead of %d, or no '%s':\n%s", command, got, code, part ? part : "", output);
    free(output);
}

/* Runs on that many ranks and, once the log shows `moment`, sends the launcher a signal. */
static void stop_at(const char *moment, int ranks, const char *options, const char *what, int code, const char *part)
{
    char command[2048];
    snprintf(command, sizeof command,
             "rm -f $T/log.jsonl; mpirun -n %d " OUT "%s & p=$!; n=0; until grep -q '%s' $T/log.jsonl 2>/dev/null || [ $n = 3000 ]; do "
             "sleep 0.03; n=$((n + 1)); done; c=$(cat /proc/$p/task/*/children); %s; wait $p",
             ranks, options, moment, what);
    ends(command, code, part);
}

/* Processes whose command line names this test's folder, other than this program. */
static int survivors(void)
{
    int n = 0;
    DIR *processes = opendir("/proc");
    assert_non_null(processes);
    for (struct dirent *entry; (entry = readdir(processes));) {
        char path[300], line[4096] = "";
        if (!isdigit((unsigned char)entry->d_name[0]) || atoi(entry->d_name) == getpid())
            continue;
        snprintf(path, sizeof path, "/proc/%s/cmdline", entry->d_name);
        FILE *file = fopen(path, "r");
        size_t length = file ? fread(line, 1, sizeof line - 1, file) : 0;
        if (file)
            fclose(file);
        for (size_t k = 0; k < length; k++)
            if (line[k] == '\0')
                line[k] = ' ';
        n += strstr(line, scratch_folder()) && strstr(line, "monge ");
    }
    closedir(processes);
    return n;
}

/* The launcher's children vanish a moment after it. */
static void nobody_is_left(void)
{
    for (int tries = 0; survivors() > 0 && tries < 50; tries++)
        usleep(100000);
    assert_int_equal(survivors(), 0);
}

static int prepare(void **state)
{
    (void)state;
    if (elsewhere())
        return 0;
    child_must("$M simulate -o $T/raw.h5ad --rows 16 --cols 16 --genes 160 -q && "
               "printf 'beta 0.4\\nuniform 0.05\\n0 0.5\\n1 0.06\\n2 0.02\\n3 0.005\\n' > $T/kernel.txt && " CORRECT
               "-o $T/undisturbed.h5ad");
    return 0;
}

/* ---- signals ---- */

/* 4 -> 3 -> 2 -> 4 ranks, each stopped in another phase, by either signal; the last on a grid of another shape. */
static void stopped_on_other_ranks(void **state)
{
    (void)state;
    if (elsewhere())
        return;
    static const char *const again = "run the same command again: it goes on from";
    stop_at("\"phase\":\"choices\"", 4, "", "kill -USR1 $p", 75, again);
    left("out.h5ad.checkpoint.0");
    stop_at("\"phase\":\"low-rank field\"", 3, "", "kill -TERM $(echo $c | cut -d' ' -f2)", 75, again); /* one rank alone */
    left("out.h5ad.checkpoint.0 out.h5ad.checkpoint.1");
    stop_at("\"phase\":\"plans\"", 2, "", "kill -USR1 $p", 75, again);
    child_must("touch -d 2199-01-01 $T/out.h5ad.checkpoint.1; touch -d 1980-01-01 $T/out.h5ad.checkpoint.0"); /* clocks do not matter */
    ends("mpirun -n 4 " OUT "--grid 2x2; cat $T/log.jsonl", 0, "had been corrected before");
    left("out.h5ad");
    same_as_undisturbed("undisturbed.h5ad", "out.h5ad");
    child_must("rm $T/out.h5ad");
}

/* 4 -> 3 -> 2 ranks, stopped in the kernel fit and between two candidates of the choices: both go on from where they were. */
static void stopped_in_the_middle_of_a_stage(void **state)
{
    (void)state;
    if (elsewhere())
        return;
#define CHOOSE "$M correct $T/small.h5ad --log $T/log.jsonl -o $T/"
#define STOPPED(ranks, moment)                                                                                                             \
    "rm -f $T/log.jsonl; mpirun -n " ranks " " CHOOSE "out.h5ad & p=$!; n=0; until grep -q '" moment                                       \
    "' $T/log.jsonl 2>/dev/null || [ $n = 3000 ]; do sleep 0.03; n=$((n + 1)); done; kill -USR1 $p; wait $p"
    child_must("$M simulate -o $T/small.h5ad --rows 12 --cols 12 --genes 40 -q && " CHOOSE "whole.h5ad -q");
    ends(STOPPED("4", "\"phase\":\"kernel fit\""), 75, "again: it goes on from");
    ends(STOPPED("3", "rank 8, rho off"), 75, "known from before"); /* values of the likelihood */
    int code;
    char *output = child_shell("mpirun -n 2 " CHOOSE "out.h5ad", &code);
    if (code != 0 || occurrences(output, "known from before") != 1) /* of the choices */
        fail_msg("exit code %d\n%s", code, output);
    free(output);
    left("out.h5ad");
    same_as_undisturbed("whole.h5ad", "out.h5ad");
    child_must("rm $T/out.h5ad");
}

/* One rank hangs, so that no safe point is reached; a second signal ends the other at once. */
static void second_signal(void **state)
{
    (void)state;
    if (elsewhere())
        return;
    int code;
    double started = wall_seconds();
    char *output =
        child_shell("rm -f $T/log.jsonl; mpirun -n 2 " OUT "& p=$!; until grep -q '\"phase\":\"plans\"' $T/log.jsonl 2>/dev/null; do sleep "
                    "0.03; done; c=$(cat /proc/$p/task/*/children); set -- $c; kill -STOP $2; kill -USR1 $1; sleep 0.5; kill -USR1 $1; "
                    "sleep 0.5; kill -0 $1 && echo still there; sleep 1.5; kill -USR1 $1; wait $p",
                    &code);
    if (code == 0 || code == 75 || !strstr(output, "still there"))
        fail_msg("exit code %d\n%s", code, output);
    free(output);
    nobody_is_left();
    assert_true(wall_seconds() - started < 150.0); /* it would hang for ever */
    ends(OUT, 0, NULL);
    left("out.h5ad");
    same_as_undisturbed("undisturbed.h5ad", "out.h5ad");
    child_must("rm $T/out.h5ad");
}

/* The steps of a job: the second one is stopped, the first is not done again. */
static void next_step(void **state)
{
    (void)state;
    if (elsewhere())
        return;
    child_must("o='kernel: KERNEL, rank: 8, alpha: 5, rho: 0, gene-weights: 0, steps: 300'; printf \"input: $T/raw.h5ad\\noutput: "
               "OUTPUT\\nsteps:\\n  - correct: {$o, sweeps: 20}\\n  - correct: {$o, sweeps: 150, mean-layer: no}\\n  - report: {}\\n\" | "
               "sed \"s,KERNEL,$T/kernel.txt,g\" > $T/job && sed \"s,OUTPUT,$T/undisturbed2.h5ad,\" $T/job > $T/a.yaml && sed "
               "\"s,OUTPUT,$T/out.h5ad,; 1i log: $T/log.jsonl\" $T/job > $T/b.yaml && $M run $T/a.yaml -q");
    ends("rm -f $T/log.jsonl; mpirun -n 2 $M run $T/b.yaml -q & p=$!; n=0; until [ \"$(grep -c '\"begin\".*low-rank field' $T/log.jsonl)\" "
         "= 2 ] || "
         "[ $n = 3000 ]; do sleep 0.03; n=$((n + 1)); done; kill -USR1 $p; wait $p",
         75, "run the same command again");
    ends("rm -f $T/log.jsonl; $M run $T/b.yaml -q; grep -c '\"begin\".*low-rank field' $T/log.jsonl | sed 's,^,fields: ,'", 0, "fields: 1");
    left("out.h5ad out.h5ad.job.yaml out.report.html");
    same_as_undisturbed("undisturbed2.h5ad", "out.h5ad");
    child_must("rm $T/out*");
}

/* ---- kill -9 ---- */

/* One random rank dies at moments spread over the whole of a job, I/O included; the rerun may have other ranks. */
static void killed(void **state)
{
    (void)state;
    if (elsewhere())
        return;
    int moments = is_long() ? 30 : 2;
    child_must(
        "printf \"input: $T/raw.h5ad\\noutput: OUTPUT\\ncheckpoint-every: 0.1\\nsteps:\\n  - correct: {rank: 8, sweeps: 60, steps: 100}\\n "
        " - "
        "report: {}\\n\" > $T/job && sed \"s,OUTPUT,$T/undisturbed3.h5ad,\" $T/job > $T/a.yaml && sed \"s,OUTPUT,$T/out.h5ad,\" $T/job > "
        "$T/b.yaml");
    double started = wall_seconds();
    child_must("mpirun -n 2 $M run $T/a.yaml -q");
    double whole = wall_seconds() - started;
    int died = 0, hung = 0;
    for (int k = 0; k < moments; k++) {
        char command[1024];
        struct rng rng = rng_start(7, RNG_TEST, (uint64_t)k);
        double delay = whole * ((double)k + rng_uniform(&rng)) / (double)moments;
        int ranks = 2 + k % 2, victim = 1 + (int)(rng_uniform(&rng) * ranks), code;
        snprintf(command, sizeof command,
                 "timeout -k 5 60 mpirun -n %d $M run $T/b.yaml -q & p=$!; sleep %.3f; l=$(cat /proc/$p/task/*/children); "
                 "kill -9 $(cat /proc/${l%% }/task/*/children | cut -d' ' -f%d); wait $p",
                 ranks, delay, victim);
        char *output = child_shell(command, &code);
        died += code != 0;
        hung += code == 124;
        free(output);
        nobody_is_left();
        snprintf(command, sizeof command, "timeout 300 mpirun -n %d $M run $T/b.yaml -q", 1 + k % 3);
        ends(command, 0, NULL);
        left("out.h5ad out.h5ad.job.yaml out.report.html");
        same_as_undisturbed("undisturbed3.h5ad", "out.h5ad");
        nobody_is_left();
        child_must("rm $T/out*");
    }
    if (hung > 0)
        printf("  %d launchers did not notice and were stopped after a minute\n", hung);
    figure("jobs that a kill -9 ended, of all moments", died / (double)moments, ">=", .3);
    assert_true(died >= .3 * moments); /* a late moment may find it done */
}

/* ---- faults ---- */

/* Open MPI's semaphores of open files, taken by a job that was killed: nobody waits for them (monge/mpi_start.h). */
static void semaphores_left_behind(void **state)
{
    (void)state;
    if (elsewhere())
        return;
    static const char *const names[] = {"/OMPIO_raw.h5ad",
                                        "/OMPIO_left.h5ad",
                                        "/OMPIO_left.h5ad.tmp",
                                        "/OMPIO_left.h5ad.checkpoint.tmp",
                                        "/OMPIO_left.h5ad.checkpoint.0",
                                        "/OMPIO_left.h5ad.checkpoint.1"};
    enum { NAMES = sizeof names / sizeof *names };
    for (int k = 0; k < NAMES; k++) {
        sem_t *taken = sem_open(names[k], O_CREAT, 0600, 0);
        assert_true(taken != SEM_FAILED);
        sem_close(taken);
    }
    int code;
    char *output = child_shell("timeout -k 5 60 mpirun -n 2 " CORRECT "-o $T/left.h5ad --checkpoint-every 0.1", &code);
    for (int k = 0; k < NAMES; k++)
        sem_unlink(names[k]);
    if (code != 0)
        fail_msg("exit code %d\n%s", code, output);
    free(output);
    same_as_undisturbed("undisturbed.h5ad", "left.h5ad");
    child_must("rm $T/left.h5ad");
}

static void wrong_places(void **state)
{
    (void)state;
    if (elsewhere())
        return;
    stop_at("\"phase\":\"low-rank field\"", 2, "", "kill -USR1 $p", 75, "out.h5ad.checkpoint.");
    ends("mv $T/raw.h5ad $T/away; " OUT "; code=$?; mv $T/away $T/raw.h5ad; exit $code", 66, "raw.h5ad: No such file");
    ends("mpirun -n 2 " OUT "--alpha 6", 73, "it says 'step 1, correct: alpha 5' where this job says 'step 1, correct: alpha 6'");
    ends("$M correct $T/other.h5ad -q -o $T/out.h5ad --rank 8", 66, "other.h5ad");
    ends("$M simulate -o $T/other.h5ad --rows 16 --cols 16 --genes 160 --seed 2 -q && $M correct $T/other.h5ad -q -o $T/out.h5ad", 73,
         "is the checkpoint of another job");
    ends("mpirun -n 2 " OUT, 0, NULL);
    left("out.h5ad");
    same_as_undisturbed("undisturbed.h5ad", "out.h5ad");
    child_must("rm $T/out.h5ad");
}

/* Two jobs, one output. */
static void one_writer(void **state)
{
    (void)state;
    if (elsewhere())
        return;
    stop_at("\"phase\":\"low-rank field\"", 1, "",
            "timeout 60 mpirun -n 2 $M correct $T/raw.h5ad -q -o $T/out.h5ad --rank 8; echo second $?", 0, "second 73");
    left("out.h5ad");
    same_as_undisturbed("undisturbed.h5ad", "out.h5ad");
    child_must("rm $T/out.h5ad");
}

#define ON_DISK CORRECT "-o $T/disk/out.h5ad --checkpoint-every 0.1 "

/* A disk that is full while a checkpoint is saved, while the output is written, and one that is read-only. */
static void full_and_closed_disks(void **state)
{
    (void)state;
    if (elsewhere() || !disks_can_be_mounted())
        return;
    /* checkpoints fail, work goes on; there is room again before the output */
    ends("mount -t tmpfs -o size=4m tmpfs $T/disk; head -c 4100000 /dev/zero > $T/disk/filler; rm -f $T/log.jsonl; mpirun -n 2 " ON_DISK
         "& p=$!; until grep -q '\"phase\":\"plans\"' $T/log.jsonl 2>/dev/null; do sleep 0.03; done; rm $T/disk/filler; wait $p; code=$?; "
         "echo left: "
         "$(ls $T/disk); cp $T/disk/out.h5ad $T/out.h5ad; umount $T/disk; exit $code",
         0, "no checkpoint could be saved, work goes on");
    same_as_undisturbed("undisturbed.h5ad", "out.h5ad");
    /* the output fails, the checkpoint stays, and nothing half-written; first with no space, then with a disk that is read-only */
    ends("mount -t tmpfs -o size=4m tmpfs $T/disk; rm -f $T/log.jsonl; mpirun -n 2 " ON_DISK
         "& p=$!; until grep -q '\"phase\":\"plans\"' $T/log.jsonl 2>/dev/null; do sleep 0.03; done; kill -USR1 $p; wait $p",
         75, "disk/out.h5ad.checkpoint.");
    ends("head -c 9000000 /dev/zero > $T/disk/filler 2>/dev/null; mpirun -n 2 " CORRECT
         "-o $T/disk/out.h5ad; code=$?; echo left: $(ls $T/disk | "
         "grep -v checkpoint); exit $code",
         74, "left: filler\n");
    ends("mount -o remount,ro $T/disk; mpirun -n 2 " CORRECT "-o $T/disk/out.h5ad; code=$?; mount -o remount,rw $T/disk; exit $code", 73,
         "is not writable");
    ends("rm $T/disk/filler; mpirun -n 3 " CORRECT
         "-o $T/disk/out.h5ad; code=$?; cat $T/log.jsonl; echo left: $(ls $T/disk); cp $T/disk/out.h5ad "
         "$T/out.h5ad; umount $T/disk; exit $code",
         0, "left: out.h5ad\n");
    same_as_undisturbed("undisturbed.h5ad", "out.h5ad");
    child_must("rm $T/out.h5ad");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(stopped_on_other_ranks, prepare),
        cmocka_unit_test(stopped_in_the_middle_of_a_stage),
        cmocka_unit_test(second_signal),
        cmocka_unit_test(next_step),
        cmocka_unit_test(semaphores_left_behind),
        cmocka_unit_test(wrong_places),
        cmocka_unit_test(one_writer),
        cmocka_unit_test(full_and_closed_disks),
        cmocka_unit_test(killed),
    };
    SUITE(argc, argv, tests);
}
