/* Several sections through the pipeline as one: read, worked on, written whole with its provenance; resumed only with the same sections; the
 * number of sections a step takes. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "monge/pipeline.h"
#include "support/anndata.h"
#include "support/suite.h"
#include "support/tiny_h5ad.h"

/* A step that labels what it sees; it stops where it is told to fail, after another has left its results. */
struct label_options {
    bool fail;
};
static const struct option label_list[] = {{.name = "fail", .type = OPTION_BOOL, .offset = 0, .fallback = "false"}};
static const char *const unimportant[] = {"fail", NULL}; /* so that the second run is the same job */
static const struct option_table label_table = {"label", "s", "A B -o OUT", label_list, 1, sizeof(struct label_options), unimportant};
static int n_runs;

static status label(struct section *section, const void *options)
{
    static const char *const sides[] = {"left", "right"};
    if (((const struct label_options *)options)->fail)
        return error_set(MONGE_TRY_AGAIN, "as told");
    n_runs++;
    double *code = malloc((size_t)(section->sites.n_own + 1) * sizeof *code);
    for (int64_t i = 0; i < section->sites.n_own; i++)
        code[i] = section->slide.x[section->sites.first + i] > 2.0;
    status s = section_add_obs_category(section, "side", 2, sides, code);
    free(code);
    const int64_t start[3] = {0, 1, 2}, column[2] = {0, 1};
    const double value[2] = {.5, .5};
    return s == MONGE_OK ? section_add_uns_sparse(section, "monge/label/plan", 2, 2, start, column, value) : s;
}

static const struct step label_step = {.options = &label_table, .least_inputs = 2, .most_inputs = 3, .run = label};
static const struct verb verb = {.step = &label_step, .shared = &options_with_step};

static char files[3][512], output[512];

static void make_files(void)
{
    for (int k = 0; k < 3; k++) {
        snprintf(files[k], sizeof files[k], "%s/part%d.h5ad", scratch_folder(), k);
        tiny_close(tiny_h5ad(files[k]));
    }
    snprintf(output, sizeof output, "%s/out.h5ad", scratch_folder());
}

static status run(int n, int n_steps, bool fail_second)
{
    struct run_options options;
    memset(&options, 0, sizeof options);
    assert_int_equal(options_defaults(&options_with_step, &options), MONGE_OK);
    options.quiet = true;
    options.checkpoint_every = 1e-9; /* at every safe point */
    struct label_options values[2] = {{false}, {fail_second}};
    const struct pipeline_step steps[2] = {{&verb, &values[0]}, {&verb, &values[1]}};
    char *paths[4] = {files[0], files[1], files[2], files[0]};
    const struct option_texts inputs = {n, paths};
    status s = pipeline_run(MPI_COMM_WORLD, &options, &inputs, output, steps, n_steps);
    options_free(&options_with_step, &options);
    MPI_Barrier(MPI_COMM_WORLD);
    return s;
}

static void written_with_provenance(void **state)
{
    (void)state;
    make_files();
    if (run(2, 1, false) != MONGE_OK)
        fail_msg("%s", error_message());
    check_in_python(output, "\"a.shape == (60, 4) and list(a.obs['section'].cat.categories) == ['part0', 'part1']\" "
                            "\"a.obs_names[30] == 'spot00-part1' and a.X[30, 1] == 3\" "
                            "\"len(a.uns['monge']['run']['input']) == 2 and a.uns['monge']['run']['input'][1].endswith('part1.h5ad')\" "
                            "\"a.uns['monge']['run']['counts'] == 'X' and (a.obs['side'] == 'right').sum() == 24\"");
}

/* A job that stopped between its steps goes on from there with the same sections, and refuses others. */
static void taken_up_again(void **state)
{
    (void)state;
    make_files();
    n_runs = 0;
    assert_int_equal(run(2, 2, true), MONGE_TRY_AGAIN);
    assert_int_equal(n_runs, 1);
    status s = run(3, 2, false);
    assert_int_equal(s, MONGE_CANT_CREATE);
    assert_non_null(strstr(error_message(), "checkpoint"));
    s = run(2, 2, false);
    if (s != MONGE_OK)
        fail_msg("%s", error_message());
    assert_int_equal(n_runs, 2); /* the first step was not run again */
    check_in_python(output, "\"(a.obs['side'] == 'left').sum() == 36\" \"a.uns['monge']['label']['plan'].toarray().sum() == 1.0\"");
}

static void as_many_as_the_step_takes(void **state)
{
    (void)state;
    make_files();
    assert_int_equal(run(1, 1, false), MONGE_USAGE);
    assert_non_null(strstr(error_message(), "takes 2 to 3 sections"));
    assert_int_equal(run(4, 1, false), MONGE_USAGE);
    if (suite_rank() == 0)
        unlink(output);
    snprintf(output, sizeof output, "%s", files[1]);
    MPI_Barrier(MPI_COMM_WORLD);
    assert_int_equal(run(2, 1, false), MONGE_CANT_CREATE);
    assert_non_null(strstr(error_message(), "is the input itself"));
}

static status one_section(struct section *section, const void *values)
{
    (void)section;
    (void)values;
    n_runs++;
    return MONGE_OK;
}

/* The file of a stack is the stack: not for a step that works on one section. */
static void the_output_as_input(void **state)
{
    (void)state;
    static const struct step step = {.options = &label_table, .run = one_section};
    static const struct verb single = {.step = &step, .shared = &options_with_step};
    const struct program program = {&single, 1};
    make_files();
    if (run(2, 1, false) != MONGE_OK)
        fail_msg("%s", error_message());
    snprintf(files[2], sizeof files[2], "%s/further.h5ad", scratch_folder());
    char *words[] = {output, "-q", "-o", files[2]};
    const struct command command = {.comm = MPI_COMM_WORLD, .program = &program, .verb = &single, .argc = 4, .argv = words};
    n_runs = 0;
    assert_int_equal(verb_step(&command), MONGE_USAGE);
    assert_non_null(strstr(error_message(), "one section at a time, not on a stack of 2"));
    assert_int_equal(n_runs, 0);
}

static void on_the_command_line(void **state)
{
    (void)state;
    make_files();
    const struct program program = {&verb, 1};
    char *good[] = {files[0], files[1], "-q", "-o", output}, *few[] = {files[0], "-o", output};
    struct command command = {.comm = MPI_COMM_WORLD, .program = &program, .verb = &verb, .argc = 5, .argv = good};
    n_runs = 0;
    if (verb_step(&command) != MONGE_OK)
        fail_msg("%s", error_message());
    assert_int_equal(n_runs, 1);
    command.argc = 3;
    command.argv = few;
    assert_int_equal(verb_step(&command), MONGE_USAGE);
    assert_non_null(strstr(error_message(), "an argument is missing"));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(written_with_provenance), cmocka_unit_test(taken_up_again),
                                       cmocka_unit_test(as_many_as_the_step_takes), cmocka_unit_test(the_output_as_input),
                                       cmocka_unit_test(on_the_command_line)};
    SUITE(argc, argv, tests);
}
