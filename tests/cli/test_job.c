/* Job files: a good one is read whole; every mistake is refused with its line and, for names, the nearest; the echo is a job
 * that echoes itself. */
#include "monge/job.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support/suite.h"
#include "support/toy_program.h"

static status parse(struct job *job, const char *text)
{
    return job_parse(job, "j.yaml", text, strlen(text), &toy_program);
}

/* ---- good ---- */

static void a_good_job(void **state)
{
    (void)state;
    struct job job;
    status done = parse(&job, "# a comment\n"
                              "input: [a.h5ad, 'b, c/outs']\n"
                              "output: results/\n"
                              "layer: raw\n"
                              "steps:\n"
                              "  - smooth:\n"
                              "      rank: 8\n"
                              "      prior_alpha: 1e-3 # '_' is '-'\n"
                              "      fast: yes\n"
                              "      kernel: mlp\n"
                              "      model: \"12\"\n"
                              "      widths: [0.5, 1.5, 3]\n"
                              "      genes: [Actb, \"a,b\"]\n"
                              "  - smooth\n"
                              "  - smooth: {rank: auto, model: ~, genes: Xist, widths: }\n"
                              "  - show:\n");
    if (done != MONGE_OK)
        fail_msg("%s", error_message());
    assert_string_equal(job.path, "j.yaml");
    assert_int_equal(job.options.input.n, 2);
    assert_string_equal(job.options.input.values[1], "b, c/outs");
    assert_string_equal(job.options.layer, "raw");
    assert_int_equal(job.n_steps, 4);
    const struct smooth_options *first = job.steps[0].values, *second = job.steps[1].values, *third = job.steps[2].values;
    assert_true(first->rank == 8 && first->alpha == 1e-3 && first->fast && first->kernel == 1);
    assert_string_equal(first->model, "12");
    assert_int_equal(first->widths.n, 3);
    assert_string_equal(first->genes.values[1], "a,b");
    assert_true(second->rank == INT64_MIN && second->alpha == 0.5 && !second->fast);
    assert_string_equal(second->model, "none");
    assert_null(third->model);
    assert_int_equal(third->genes.n, 1);
    assert_int_equal(third->widths.n, 0);
    job_free(&job);
}

static void names_of_outputs(void **state)
{
    (void)state;
    static const struct {
        const char *input, *output, *expected;
    } cases[] = {
        {"data/a.h5ad", "out.h5ad", "out.h5ad"},
        {"data/a.h5ad", "results/", "results/a.h5ad"},
        {"sample1/outs", "results/", "results/sample1.h5ad"},
        {"sample1/outs/", "results/", "results/sample1.h5ad"},
        {"x/raw.v2.h5", "results/", "results/raw.v2.h5ad"},
        {"[a.h5ad, b/c.h5ad]", "results", "results/a.h5ad"},
        {"outs", "results/", "results/outs.h5ad"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[256];
        struct job job;
        snprintf(text, sizeof text, "input: %s\noutput: %s\nsteps: [smooth]\n", cases[i].input, cases[i].output);
        assert_int_equal(parse(&job, text), MONGE_OK);
        char *output = job_output(&job, 0);
        assert_string_equal(output, cases[i].expected);
        free(output);
        job_free(&job);
    }
}

static void echo_echoes_itself(void **state)
{
    (void)state;
    struct job job, again;
    assert_int_equal(parse(&job, "input: a.h5ad\noutput: o.h5ad\nsteps:\n"
                                 "  - smooth: {prior-alpha: 0.1, genes: ['a,b', 'say \"x\"\\', c], model: \"1\\n2\", kernel: mlp}\n"
                                 "  - show\n"),
                     MONGE_OK);
    struct option_texts inputs = job_inputs(&job, 0);
    char *echo = job_echo(&job, &inputs, "o.h5ad");
    assert_non_null(echo);
    assert_null(strstr(echo, "stack"));
    if (parse(&again, echo) != MONGE_OK)
        fail_msg("%s\n%s", error_message(), echo);
    struct option_texts again_inputs = job_inputs(&again, 0);
    char *second = job_echo(&again, &again_inputs, "o.h5ad");
    assert_string_equal(echo, second);
    assert_non_null(strstr(echo, "\n      rank: auto\n")); /* a default that is not written in the job */
    assert_non_null(strstr(echo, "\n      prior-alpha: 0.1  # molecules\n"));
    assert_non_null(strstr(echo, "\nholes: fill\n"));
    const struct smooth_options *values = again.steps[0].values;
    assert_string_equal(values->genes.values[0], "a,b");
    assert_string_equal(values->genes.values[1], "say \"x\"\\");
    assert_string_equal(values->model, "1\n2");
    assert_int_equal(values->widths.n, 2);
    free(echo);
    free(second);
    job_free(&job);
    job_free(&again);

    assert_int_equal(parse(&job, "output: o.h5ad\nsteps: [invent]\n"), MONGE_OK);
    inputs = job_inputs(&job, 0);
    assert_int_equal(inputs.n, 0);
    echo = job_echo(&job, &inputs, "o.h5ad");
    if (parse(&again, echo) != MONGE_OK)
        fail_msg("%s\n%s", error_message(), echo);
    free(echo);
    job_free(&job);
    job_free(&again);
}

/* Several sections as one: one output, whose echo says the same. */
static void a_stack(void **state)
{
    (void)state;
    struct job job, again;
    if (parse(&job, "stack: [a.h5ad, 'b, c/outs', d.csv]\noutput: o.h5ad\nsteps: [join, show]\n") != MONGE_OK)
        fail_msg("%s", error_message());
    assert_int_equal(job_outputs(&job), 1);
    struct option_texts inputs = job_inputs(&job, 0);
    assert_int_equal(inputs.n, 3);
    assert_string_equal(inputs.values[1], "b, c/outs");
    char *output = job_output(&job, 0), *echo = job_echo(&job, &inputs, output);
    assert_string_equal(output, "o.h5ad");
    assert_null(strstr(echo, "input:"));
    if (parse(&again, echo) != MONGE_OK)
        fail_msg("%s\n%s", error_message(), echo);
    assert_int_equal(again.options.stack.n, 3);
    assert_string_equal(again.options.stack.values[2], "d.csv");
    free(output);
    free(echo);
    job_free(&job);
    job_free(&again);
    assert_int_equal(parse(&job, "stack: a.h5ad\noutput: o.h5ad\nsteps: [smooth]\n"), MONGE_OK); /* one is a section as any */
    assert_int_equal(job_inputs(&job, 0).n, 1);
    job_free(&job);
}

/* ---- bad ---- */

#define HEAD "input: a.h5ad\noutput: o.h5ad\nsteps:\n"

static const struct {
    const char *text;
    int line;
    const char *message;
} bad[] = {
    {"", 1, "the job is empty"},
    {"# only a comment\n", 1, "the job is empty"},
    {"just words\n", 1, "must be 'key: value' lines"},
    {"input: a\n\toutput: b\n", 2, "not valid YAML"},
    {"input: [a\noutput: b\n", 2, "not valid YAML"},
    {"input: a.h5ad\nouptut: o.h5ad\nsteps: [smooth]\n", 2, "'ouptut' is not a key of a job; did you mean 'output'?"},
    {"input: a.h5ad\noutput: o.h5ad\nstep: [smooth]\n", 3, "did you mean 'steps'?"},
    {"rank: 8\ninput: a.h5ad\noutput: o.h5ad\nsteps: [smooth]\n", 1, "'rank' is not a key of a job"},
    {"input: a.h5ad\noutput: o.h5ad\ninput: b.h5ad\nsteps: [smooth]\n", 3, "'input' is given twice, first in line 1"},
    {"input: a.h5ad\noutput: [o, p]\nsteps: [smooth]\n", 2, "output takes one value, not a list"},
    {"input: {a: b}\noutput: o\nsteps: [smooth]\n", 1, "input takes a value, not a mapping"},
    {"input: [[a]]\noutput: o\nsteps: [smooth]\n", 1, "an item of a list must be one value"},
    {"[a, b]: c\n", 1, "a key must be a name"},
    {"input: a\noutput: o\nholes: fil\nsteps: [smooth]\n", 3, "holes is 'fil', but must be one of fill, omit; did you mean 'fill'?"},
    {"\ninput: a.h5ad\noutput: o.h5ad\n", 2, "the job has no 'steps'"},
    {"output: o.h5ad\nsteps: [smooth]\n", 1, "the job has no 'input'"},
    {"input: a.h5ad\nsteps: [smooth]\n", 1, "the job has no 'output'"},
    {"input: a.h5ad\noutput:\nsteps: [smooth]\n", 1, "the job has no 'output'"},
    {"input: a.h5ad\noutput: o\nsteps: [invent]\n", 1, "can have no 'input'"},
    {"input: a.h5ad\noutput: o\nsteps: []\n", 3, "steps is empty"},
    {"input: a.h5ad\noutput: o\nsteps: smooth\n", 3, "steps must be a list"},
    {"input: a.h5ad\noutput: o\nsteps:\n  smooth:\n    rank: 3\n", 4, "steps must be a list"},
    {"output: o\nstack: [a, b]\ninput: c\nsteps: [join]\n", 2, "has an 'input' and a 'stack'"},
    {"output: o\nstack: [a, b]\nsteps: [smooth]\n", 2, "'smooth' works on one section at a time, not on a stack of 2"},
    {"output: o\nstack: [a, b]\nsteps: [join, smooth]\n", 2, "'smooth' works on one section at a time"},
    {"output: o\nstack: [a, b, c, d]\nsteps: [join]\n", 2, "'join' takes 2 to 3 sections as one, here there are 4"},
    {"output: o\nstack: a\nsteps: [join]\n", 2, "'join' takes 2 to 3 sections as one, here there is 1"},
    {"output: o\ninput: [a, b]\nsteps: [join]\n", 2, "a job lists them as 'stack: [A, B]'"},
    {"output: o/\nstack: [a, b]\nsteps: [join]\n", 1, "a stack is written to one file"},
    {"output: o\nstack: [a, b]\nsteps: [invent]\n", 2, "can have no 'stack'"},
    {"stack: [a, b]\noutput-folder: o\nmanifest: m\nsteps: [smooth]\n", 1, "no 'stack'"},
    {HEAD "  - smoth\n", 4, "'smoth' is not a step; did you mean 'smooth'?"},
    {HEAD "  - smile\n", 4, "'smile' is not a step; did you mean 'smooth'?"},
    {HEAD "  - [smooth]\n", 4, "a step must begin with its name"},
    {HEAD "  - smooth:\n    rank: 3\n", 4, "further to the right than the name"},
    {HEAD "  - smooth: 3\n", 4, "a step's options must be"},
    {HEAD "  - smooth\n  - invent\n", 5, "it can only be the first"},
    {HEAD "  - show\n  - smooth\n", 5, "comes after one that reads the finished output"},
    {HEAD "  - smooth:\n      fast: true\n      rnak: 8\n", 6, "'rnak' is not an option of smooth; did you mean 'rank'?"},
    {HEAD "  - smooth:\n      alpha: 8\n", 5, "did you mean 'prior-alpha'?"},
    {HEAD "  - smooth:\n      rank: 3\n      rank: 4\n", 6, "'rank' is given twice, first in line 5"},
    {HEAD "  - smooth:\n      prior-alpha: 3\n      prior_alpha: 4\n", 6, "given twice, first in line 5"},
    {HEAD "  - smooth:\n      rank: eight\n", 5, "rank is 'eight', but must be a whole number or auto"},
    {HEAD "  - smooth:\n      rank: 2.5\n", 5, "must be a whole number"},
    {HEAD "  - smooth:\n      rank: '8'\n", 5, "rank is the text \"8\"; write it without quotes"},
    {HEAD "  - smooth:\n      rank:\n        80\n", 6, "rank is 80, but must be from 1 to 64"},
    {HEAD "  - smooth:\n      rank: [8]\n", 5, "rank takes one value, not a list"},
    {HEAD "  - smooth:\n      prior-alpha: ~\n", 5, "prior-alpha is 'auto', but must be a number"},
    {HEAD "  - smooth:\n      fast: 1\n", 5, "must be true or false"},
    {HEAD "  - smooth:\n      kernel: mixtur\n", 5, "did you mean 'mixture'?"},
    {HEAD "  - smooth:\n      widths: [1, x]\n", 5, "widths is 'x', but must be a number"},
    {HEAD "  - smooth:\n      widths:\n        - 1\n        - '2'\n", 7, "write it without quotes"},
    {HEAD "  - smooth:\n      genes: {a: b}\n", 5, "genes takes a value, not a mapping"},
    {HEAD "  - smooth\n---\ninput: b\n", 6, "a second document begins"},
};

static void every_mistake(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct job job;
        char where[32];
        snprintf(where, sizeof where, "j.yaml line %d: ", bad[i].line);
        assert_int_equal(parse(&job, bad[i].text), MONGE_USAGE);
        if (strncmp(error_message(), where, strlen(where)) != 0 || !strstr(error_message(), bad[i].message))
            fail_msg("job\n%s\nexpected: %s...%s\nfound:    %s", bad[i].text, where, bad[i].message, error_message());
        assert_null(job.steps); /* freed */
    }
    if (suite_rank() == 0)
        printf("  %zu wrong jobs refused, each with its line\n", sizeof bad / sizeof *bad);
}

/* ---- the file ---- */

static void read_by_all_ranks(void **state)
{
    (void)state;
    char path[512];
    snprintf(path, sizeof path, "%s/job.yaml", scratch_folder());
    struct job job;
    assert_int_equal(job_read(&job, MPI_COMM_WORLD, path, &toy_program), MONGE_NO_INPUT);
    assert_non_null(strstr(error_message(), path));
    MPI_Barrier(MPI_COMM_WORLD);
    if (suite_rank() == 0) {
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        fputs(HEAD "  - smooth: {rank: 5}\n", file);
        fclose(file);
    }
    MPI_Barrier(MPI_COMM_WORLD);
    assert_int_equal(job_read(&job, MPI_COMM_WORLD, path, &toy_program), MONGE_OK);
    assert_int_equal(((const struct smooth_options *)job.steps[0].values)->rank, 5);
    job_free(&job);
    MPI_Barrier(MPI_COMM_WORLD);
    if (suite_rank() == 0) {
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        fwrite("\211HDF\0\0", 1, 6, file);
        fclose(file);
    }
    MPI_Barrier(MPI_COMM_WORLD);
    assert_int_equal(job_read(&job, MPI_COMM_WORLD, path, &toy_program), MONGE_USAGE);
    assert_non_null(strstr(error_message(), "not a text file"));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_job), cmocka_unit_test(names_of_outputs), cmocka_unit_test(echo_echoes_itself),
        cmocka_unit_test(a_stack),    cmocka_unit_test(every_mistake),    cmocka_unit_test(read_by_all_ranks),
    };
    SUITE(argc, argv, tests);
}
