/* `monge scaling` on logs of made-up runs with a known law, on logs that do not fit together, and on the log of a real run. Runs once,
 * whatever the number of ranks of this suite. */
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "monge/phase_record.h"
#include "support/child.h"
#include "support/suite.h"

/* ---- made-up logs ---- */

/* T = serial w + parallel w / p + trees log2 p + (files_serial + files_parallel / p) w */
static const double serial = 4.0, parallel = 240.0, trees = 0.8, files_serial = 1.0, files_parallel = 12.0;

struct fake {
    const char *file, *step, *seed, *version;
    int ranks;
    double work;
    int status;       /* -1: killed before its end */
    const char *more; /* a further line, or NULL */
};

static void write_spread(FILE *out, const char *name, double value)
{
    fprintf(out, ",\"%s\":{\"min\":%.9g,\"mean\":%.9g,\"max\":%.9g}", name, value, value, value);
}

static double write_phase(FILE *out, const char *name, double compute, double communication, double io)
{
    double seconds = compute + communication + io;
    fprintf(out, "{\"event\":\"phase\",\"at\":1,\"phase\":\"%s\"", name);
    write_spread(out, "seconds", seconds);
    write_spread(out, "compute_seconds", compute);
    write_spread(out, "communication_seconds", communication);
    write_spread(out, "io_seconds", io);
    write_spread(out, "mpi_calls", 100.0);
    write_spread(out, "sent_bytes", 1e6);
    fprintf(out, "}\n");
    return seconds;
}

static void write_run(const struct fake *fake)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", scratch_folder(), fake->file);
    FILE *out = fopen(path, "a");
    assert_non_null(out);
    double p = fake->ranks, w = fake->work;
    fprintf(out,
            "{\"event\":\"start\",\"at\":0,\"version\":\"%s\",\"ranks\":%d,\"nodes\":%d,\"processor\":\"P\",\"input\":\"a\","
            "\"steps\":[{\"name\":\"%s\",\"options\":{\"seed\":\"%s\"}}]}\n",
            fake->version ? fake->version : "1", fake->ranks, (fake->ranks + 3) / 4, fake->step ? fake->step : "correct",
            fake->seed ? fake->seed : "1");
    fprintf(out, "{\"event\":\"input\",\"at\":1,\"spots\":%.0f,\"genes\":500,\"counts\":%.0f}\n", 1000.0 * w, 1e6 * w);
    fprintf(out, "{\"event\":\"unknown to this version\",\"at\":1,\"n\":[1,2]}\n");
    if (fake->more)
        fprintf(out, "%s\n", fake->more);
    double seconds = write_phase(out, "read", 0.0, 0.0, (0.25 * files_serial + 0.5 * files_parallel / p) * w);
    seconds += write_phase(out, "fit", (serial + 0.25 * parallel / p) * w, trees * log2(p), 0.0);
    seconds += write_phase(out, "plans", 0.75 * parallel * w / p, 0.0, 0.0);
    seconds += write_phase(out, "write", 0.0, 0.0, (0.75 * files_serial + 0.5 * files_parallel / p) * w);
    if (fake->status >= 0) {
        fprintf(out, "{\"event\":\"end\",\"at\":%.9g,\"status\":%d,\"seconds\":%.9g", seconds, fake->status, seconds);
        write_spread(out, "peak_memory_bytes", 1e8 + 4e8 / p);
        fprintf(out, "}\n");
    }
    fclose(out);
}

/* $T is the scratch folder */
static void expect(const char *command, int expected_code, int n, const char *const *parts)
{
    int code;
    char script[2048];
    snprintf(script, sizeof script, "T=%s; cd . && %s", scratch_folder(), command);
    char *output = child_output(script, &code);
    if (code != expected_code)
        fail_msg("%s\nexit code %d, expected %d:\n%s", command, code, expected_code, output);
    for (int i = 0; i < n; i++)
        if (!strstr(output, parts[i]))
            fail_msg("%s\nexpected text: %s\n%s", command, parts[i], output);
    free(output);
}
#define EXPECT(command, code, ...)                                                                                                         \
    expect(command, code, (int)(sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *)), (const char *const[]){__VA_ARGS__})

static void known_law(void **state)
{
    (void)state;
    if (suite_size() > 1)
        return;
    for (int p = 1; p <= 16; p *= 2) {
        char strong[64], weak[64];
        snprintf(strong, sizeof strong, "strong-%02d.jsonl", p);
        snprintf(weak, sizeof weak, "weak-%02d.jsonl", p);
        write_run(&(struct fake){.file = strong, .ranks = p, .work = 1.0});
        write_run(&(struct fake){.file = weak, .ranks = p, .work = p});
    }
    /* 257 s, 131.8, 69.6, 38.9, 23.95; at 64 ranks 4 + 240/64 + 0.8 x 6 + 1 + 12/64 = 13.74 s */
    EXPECT("$MONGE scaling $T/strong-*.jsonl --project 64 -o $T/strong.html", 0, "Strong scaling of correct",
           "T(p) = 4 + 240 / p + 0.8 log2 p + I/O; I/O = 1 + 12 / p", "Fitted to 5 runs on 5 numbers of ranks",
           "typical error of the fit 0.0 %", "PROJECTION by the model, not measured", "     64     16      13.74 ", " 18.71        29 % ");
    EXPECT("cat $T/strong.html", 0, "<h1>Strong scaling of correct", "projection, not measured", "stroke-dasharray", "</html>");
    EXPECT("$MONGE scaling $T/weak-*.jsonl --project 64", 0, "Weak scaling of correct",
           "T(p) = 4 w + 240 w / p + 0.8 log2 p + I/O; I/O = 1 w + 12 w / p", "projection");
    /* speedup 257 / 23.95 and efficiency of 16 ranks; mpirun prints one table */
    EXPECT("mpirun -n 2 $MONGE scaling $T/strong-01.jsonl $T/strong-16.jsonl > $T/out && cat $T/out && grep -c 'Strong scaling' $T/out", 0,
           "23.95", "10.73", "67 %", "Two numbers of ranks", "an assumption", "\n1");
    EXPECT("$MONGE scaling $T/strong-08.jsonl", 0, "All runs are on 8 ranks: there is nothing to compare and no model", "commun.");
}

/* several runs on as many ranks; unfinished, failed and resumed ones left out */
static void which_runs_count(void **state)
{
    (void)state;
    if (suite_size() > 1)
        return;
    write_run(&(struct fake){.file = "mixed.jsonl", .ranks = 1, .work = 1.0, .status = -1});
    for (int i = 0; i < 3; i++)
        write_run(&(struct fake){.file = "mixed.jsonl", .ranks = 1, .work = 1.0});
    write_run(&(struct fake){.file = "mixed.jsonl", .ranks = 2, .work = 1.0, .status = 75});
    write_run(&(struct fake){.file = "mixed.jsonl", .ranks = 2, .work = 1.0, .more = "{\"event\":\"resumed\",\"at\":1,\"text\":\"x\"}"});
    write_run(&(struct fake){.file = "mixed.jsonl", .ranks = 2, .work = 1.0});
    EXPECT("printf '{\"event\":\"sta' >> $T/mixed.jsonl; $MONGE scaling $T/mixed.jsonl 2>&1", 0, "is not finished", "failed with code 75",
           "was resumed from a checkpoint", "      1      1     3        257 ", "      2      1     1      131.8 ",
           "Fitted to 4 runs on 2");
    write_run(&(struct fake){.file = "killed.jsonl", .ranks = 2, .work = 1.0, .status = -1});
    EXPECT("$MONGE scaling $T/killed.jsonl", 65, "none of 1 runs is finished");
}

static void wrong_input(void **state)
{
    (void)state;
    if (suite_size() > 1)
        return;
    write_run(&(struct fake){.file = "one.jsonl", .ranks = 1, .work = 1.0});
    write_run(&(struct fake){.file = "seed.jsonl", .ranks = 2, .work = 1.0, .seed = "2"});
    write_run(&(struct fake){.file = "step.jsonl", .ranks = 2, .work = 1.0, .step = "simulate"});
    write_run(&(struct fake){.file = "version.jsonl", .ranks = 2, .work = 1.0, .version = "2"});
    write_run(&(struct fake){.file = "size.jsonl", .ranks = 2, .work = 7.0});
    write_run(&(struct fake){.file = "other.jsonl", .ranks = 1, .work = 2.0});
    EXPECT("$MONGE scaling", 64, "an argument is missing; usage: monge scaling RESULTS");
    EXPECT("$MONGE scaling $T/nothing.jsonl", 66, "nothing.jsonl: cannot be opened");
    EXPECT("mkdir -p $T/empty && $MONGE scaling $T/empty", 66,
           "/empty: there are no logs (*.jsonl) in this folder; run the job with --log");
    EXPECT("mkdir -p $T/deep/er && cp $T/one.jsonl $T/deep/er/ && $MONGE scaling $T/deep", 0, "All runs are on 1 rank:");
    EXPECT("$MONGE scaling $T/one.jsonl $T/seed.jsonl", 65, "one.jsonl line 1 and ",
           "seed.jsonl line 1 are not runs of one job: seed is 1 in the", "give the logs of one job only");
    EXPECT("$MONGE scaling $T/one.jsonl $T/step.jsonl", 65, "a step is correct in the one, simulate in the other");
    EXPECT("$MONGE scaling $T/one.jsonl $T/version.jsonl", 65, "monge's version is 1 in the one, 2 in the other");
    EXPECT("$MONGE scaling $T/one.jsonl $T/size.jsonl", 65, "do not fit together; give one input on different numbers of ranks (strong");
    EXPECT("$MONGE scaling $T/one.jsonl $T/size.jsonl --weak", 0, "Weak scaling");
    EXPECT("$MONGE scaling $T/one.jsonl $T/other.jsonl", 65, "runs on as many ranks must have the same input");
    EXPECT("(cat $T/one.jsonl; echo '{broken'; echo '{\"event\":\"end\"}') > $T/broken.jsonl; $MONGE scaling $T/broken.jsonl", 65,
           "broken.jsonl line 9: not valid JSON (", "delete the line, or give a log that monge wrote with --log");
    EXPECT("echo '{\"a\":1}' > $T/alien.jsonl; $MONGE scaling $T/alien.jsonl", 65, "alien.jsonl line 1: not an event of a job log");
    EXPECT("tail -n +2 $T/one.jsonl > $T/headless.jsonl; $MONGE scaling $T/headless.jsonl", 65, "line 1: 'input' before any 'start'");
    EXPECT("echo > $T/blank.jsonl; $MONGE scaling $T/blank.jsonl", 65, "the logs hold no run");
    EXPECT("echo '{\"event\":\"start\"}' > $T/rankless.jsonl; $MONGE scaling $T/rankless.jsonl", 65, "without its number of ranks");
    EXPECT("$MONGE scaling $T/one.jsonl -o $T/none/x.html", 73, "x.html");
    EXPECT("$MONGE scaling $T/one.jsonl --project 0", 64, "project");
}

/* ---- real logs ---- */

static double number(const json_t *event, const char *name, const char *of)
{
    const json_t *value = json_object_get(event, name);
    if (of)
        value = json_object_get(value, of);
    if (!json_is_number(value))
        fail_msg("no %s %s in the log", name, of ? of : "");
    return json_number_value(value);
}

struct sums {
    int lines, starts, begins, phases, warnings, ends, code;
    double phase_seconds, total, ranks, spots, output_bytes;
    bool write_moves_bytes;
};

/* Every line is one JSON object; phases add up. */
static struct sums check_log(const char *name)
{
    char path[512], *line = NULL;
    size_t capacity = 0;
    struct sums sums = {0};
    snprintf(path, sizeof path, "%s/%s", scratch_folder(), name);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    for (ssize_t length; (length = getline(&line, &capacity, file)) > 0; sums.lines++) {
        assert_true(line[length - 1] == '\n');
        json_t *event = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
        if (!event)
            fail_msg("%s: line %d is not JSON: %s", path, sums.lines + 1, line);
        const char *kind = json_string_value(json_object_get(event, "event"));
        assert_non_null(kind);
        assert_true(number(event, "at", NULL) >= 0.0);
        sums.begins += !strcmp(kind, "begin");
        sums.warnings += !strcmp(kind, "warning");
        if (!strcmp(kind, "start")) {
            sums.starts++;
            sums.ranks = number(event, "ranks", NULL);
            assert_true(json_array_size(json_object_get(event, "steps")) > 0 && json_array_size(json_object_get(event, "hosts")) > 0);
        } else if (!strcmp(kind, "input")) {
            sums.spots = number(event, "spots", NULL);
        } else if (!strcmp(kind, "phase")) {
            double seconds = number(event, "seconds", "mean"), parts = number(event, "compute_seconds", "mean") +
                                                                       number(event, "communication_seconds", "mean") +
                                                                       number(event, "io_seconds", "mean");
            sums.phases++;
            sums.phase_seconds += seconds;
            assert_true(fabs(parts - seconds) <= 1e-6 + 1e-6 * seconds);
            assert_true(number(event, "neighbour_seconds", "max") <= number(event, "communication_seconds", "max"));
            if (!strcmp(json_string_value(json_object_get(event, "phase")), "write"))
                sums.write_moves_bytes = number(event, "io_bytes", "mean") > 0.0 && number(event, "io_seconds", "max") > 0.0;
        } else if (!strcmp(kind, "end")) {
            sums.ends++;
            sums.total = number(event, "seconds", NULL);
            sums.code = (int)number(event, "status", NULL);
            sums.output_bytes = number(event, "output_bytes", NULL);
            assert_true(number(event, "peak_memory_bytes", "min") > 1e6);
        }
        json_decref(event);
    }
    free(line);
    fclose(file);
    return sums;
}

static void log_of_a_run(void **state)
{
    (void)state;
    if (suite_size() > 1)
        return;
    EXPECT("$MONGE simulate --rows 16 --cols 16 --genes 40 -o $T/in.h5ad -q && for p in 1 2; do mpirun -n $p $MONGE correct $T/in.h5ad -o "
           "$T/out.h5ad --rank 4 --log $T/run$p.jsonl -q || exit; done; ls $T",
           0, "run2.jsonl");
    for (int p = 1; p <= 2; p++) {
        struct sums sums = check_log(p == 1 ? "run1.jsonl" : "run2.jsonl");
        assert_int_equal(sums.starts, 1);
        assert_int_equal(sums.ends, 1);
        assert_int_equal(sums.code, 0);
        assert_true(sums.begins >= sums.phases && sums.phases >= 5); /* a checkpoint lets its phase begin again */
        assert_true(sums.ranks == p && sums.spots == 256.0 && sums.output_bytes > 1e4 && sums.write_moves_bytes);
        figure("phases / total time of a run", sums.phase_seconds / sums.total, ">=", 0.95);
        assert_true(sums.phase_seconds >= 0.95 * sums.total && sums.phase_seconds <= 1.001 * sums.total);
    }
    EXPECT("$MONGE scaling $T/run1.jsonl $T/run2.jsonl -o $T/run.html", 0, "256 spots x 40 genes", "kernel fit", "projection");
    EXPECT("$MONGE info $T/out.h5ad", 0, "run/phases/communication_seconds_spread", "run/phases/seconds ");
}

static void log_of_a_job(void **state)
{
    (void)state;
    if (suite_size() > 1)
        return;
    EXPECT(
        "printf 'output: %s/job.h5ad\\nlog: %s/job.jsonl\\nsteps:\\n- simulate: {rows: 12, genes: 8}\\n' $T $T > $T/job.yaml; $MONGE run "
        "$T/job.yaml && $MONGE run $T/job.yaml && grep log: $T/job.h5ad.job.yaml",
        0, "job.jsonl");
    struct sums sums = check_log("job.jsonl"); /* the second run is appended */
    assert_int_equal(sums.starts, 2);
    assert_int_equal(sums.ends, 2);
    EXPECT("$MONGE run $T/job.yaml --log $T/other-place.jsonl -q; test -s $T/other-place.jsonl && echo there", 0, "there");
    EXPECT("J=$PWD/jobs && cd $T && case $MONGE in /*) ;; *) MONGE=$J/../$MONGE ;; esac && mkdir -p results/scaling && $MONGE run "
           "$J/scaling.yaml",
           66, "results/scaling/section.h5ad"); /* the job itself is right */
    EXPECT(
        "rm $T/other-place.jsonl; $MONGE run $T/job.yaml --log $T/other-place.jsonl --dry-run; test ! -e $T/other-place.jsonl && echo none",
        0, "none");
    EXPECT("$MONGE simulate -o $T/x.h5ad --log $T/no-folder/x.jsonl", 73, "the log cannot be written");
    EXPECT("test ! -e $T/x.h5ad && echo none", 0, "none");
}

/* A failed run ends its log with its message; a killed one leaves whole lines, and what was cut is cut off by the next run. */
static void log_of_trouble(void **state)
{
    (void)state;
    if (suite_size() > 1)
        return;
    EXPECT("$MONGE correct $T/none.h5ad -o $T/y.h5ad --log $T/failed.jsonl", 66, "none.h5ad");
    struct sums sums = check_log("failed.jsonl");
    assert_true(sums.starts == 1 && sums.ends == 1 && sums.code == 66);
    EXPECT("cat $T/failed.jsonl", 0, "\"message\":\"");

    EXPECT("$MONGE simulate --rows 60 --cols 60 --genes 200 -o $T/big.h5ad -q; $MONGE correct $T/big.h5ad -o $T/z.h5ad -q --log "
           "$T/killed-run.jsonl & "
           "PID=$!; for i in $(seq 200); do grep -q 'kernel fit' $T/killed-run.jsonl 2>/dev/null && break; sleep 0.05; done; kill -9 $PID; "
           "wait; "
           "test -e $T/z.h5ad || echo killed",
           0, "killed");
    sums = check_log("killed-run.jsonl");
    assert_true(sums.starts == 1 && sums.ends == 0 && sums.begins >= 2);
    EXPECT("$MONGE scaling $T/killed-run.jsonl", 65, "none of 1 runs is finished");
    EXPECT("printf '{\"event\":\"inf' >> $T/killed-run.jsonl; $MONGE simulate --rows 8 --cols 8 --genes 8 -o $T/w.h5ad -q --log "
           "$T/killed-run.jsonl && echo appended",
           0, "appended");
    sums = check_log("killed-run.jsonl");
    assert_true(sums.starts == 2 && sums.ends == 1);
    EXPECT("$MONGE simulate --rows 8 --cols 8 --genes 8 -o $T/w.h5ad --log /dev/full", 0, "/dev/full: the log ends early", "wrote");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_law),    cmocka_unit_test(which_runs_count), cmocka_unit_test(wrong_input),
        cmocka_unit_test(log_of_a_run), cmocka_unit_test(log_of_a_job),     cmocka_unit_test(log_of_trouble),
    };
    SUITE(argc, argv, tests);
}
