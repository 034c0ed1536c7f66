/* Options tables: defaults, every way to set a value, every way to be refused, and text that reads back as the same value. */
#include "monge/options.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/text.h"
#include "support/suite.h"

struct values {
    bool fast;
    int64_t rank, seed;
    double alpha, scale, strength;
    int kernel;
    char *layer, *title;
    struct option_reals widths;
    struct option_texts genes;
};

static const char *const kernels[] = {"mixture", "mlp", NULL};
static const struct option options[] = {
    {.name = "fast", .type = OPTION_BOOL, .offset = offsetof(struct values, fast), .fallback = "true", .help = "h"},
    {.name = "rank", .type = OPTION_INTEGER, .offset = offsetof(struct values, rank), .min = 1, .max = 64, .help = "h"},
    {.name = "seed", .type = OPTION_INTEGER, .offset = offsetof(struct values, seed), .fallback = "20311", .help = "h"},
    {.name = "alpha", .type = OPTION_REAL, .offset = offsetof(struct values, alpha), .min = 0, .max = 1e300, .help = "h"},
    {.name = "beta-scale",
     .type = OPTION_REAL,
     .offset = offsetof(struct values, scale),
     .fallback = "0.1",
     .min = 0,
     .max = 2,
     .help = "h"},
    {.name = "strength", .type = OPTION_REAL, .offset = offsetof(struct values, strength), .fallback = "inf", .help = "h"},
    {.name = "kernel",
     .type = OPTION_CHOICE,
     .offset = offsetof(struct values, kernel),
     .fallback = "mlp",
     .choices = kernels,
     .help = "h"},
    {.name = "layer", .type = OPTION_TEXT, .offset = offsetof(struct values, layer), .help = "h"},
    {.name = "title", .type = OPTION_TEXT, .offset = offsetof(struct values, title), .fallback = "a section", .help = "h"},
    {.name = "widths",
     .type = OPTION_REALS,
     .offset = offsetof(struct values, widths),
     .fallback = "1,2.5",
     .min = 0,
     .max = 9,
     .help = "h"},
    {.name = "genes", .type = OPTION_TEXTS, .offset = offsetof(struct values, genes), .help = "h"},
};
static const struct option_table table = {
    .verb = "correct", .summary = "s", .usage = "u", .options = options, .n_options = 11, .size = sizeof(struct values)};

static void defaults(void **state)
{
    (void)state;
    struct values v;
    assert_int_equal(options_defaults(&table, &v), MONGE_OK);
    assert_true(v.fast && v.rank == INT64_MIN && v.seed == 20311 && isnan(v.alpha) && v.scale == 0.1 && isinf(v.strength));
    assert_int_equal(v.kernel, 1);
    assert_null(v.layer);
    assert_string_equal(v.title, "a section");
    assert_int_equal(v.widths.n, 2);
    assert_true(v.widths.values[1] == 2.5);
    assert_int_equal(v.genes.n, 0);
    options_free(&table, &v);
    assert_null(v.title);
}

static void command_line(void **state)
{
    (void)state;
    char *argv[] = {"in.h5ad",     "--no-fast", "--rank",   "8",          "--seed=-3", "--beta_scale", "0.25", "--kernel=mixture",
                    "--genes",     "Actb,Xist", "--widths", "3,1e-3,0.1", "--alpha",   "auto",         "-",    "--title=",
                    "--layer=a=b", "--",        "--rank"};
    const char *positional[19];
    int n;
    struct values v;
    assert_int_equal(options_defaults(&table, &v), MONGE_OK);
    assert_int_equal(options_parse(&table, &v, 19, argv, positional, &n), MONGE_OK);
    assert_int_equal(n, 3);
    assert_string_equal(positional[0], "in.h5ad");
    assert_string_equal(positional[1], "-");
    assert_string_equal(positional[2], "--rank");
    assert_true(!v.fast && v.rank == 8 && v.seed == -3 && v.scale == 0.25 && isnan(v.alpha) && v.kernel == 0);
    assert_string_equal(v.layer, "a=b");
    assert_null(v.title);
    assert_int_equal(v.genes.n, 2);
    assert_string_equal(v.genes.values[1], "Xist");
    assert_int_equal(v.widths.n, 3);
    assert_true(v.widths.values[1] == 1e-3);
    options_free(&table, &v);
}

/* A choice with yes and no is also a switch. */
static void switches(void **state)
{
    (void)state;
    static const char *const choices[] = {"auto", "yes", "no", NULL};
    static const struct option list[] = {{.name = "layer", .type = OPTION_CHOICE, .choices = choices, .fallback = "auto", .help = "h"}};
    static const struct option_table one = {.verb = "v", .options = list, .n_options = 1, .size = sizeof(int)};
    static const struct {
        char *argv[2];
        int argc, value, n;
    } cases[] = {{{"--layer", "x"}, 2, 1, 1},
                 {{"--layer"}, 1, 1, 0},
                 {{"--layer", "no"}, 2, 2, 0},
                 {{"--no-layer", "no"}, 2, 2, 1},
                 {{"--layer=auto"}, 1, 0, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int value, n;
        const char *positional[2];
        char *argv[2] = {cases[i].argv[0], cases[i].argv[1]};
        assert_int_equal(options_defaults(&one, &value), MONGE_OK);
        assert_int_equal(options_parse(&one, &value, cases[i].argc, argv, positional, &n), MONGE_OK);
        assert_int_equal(value, cases[i].value);
        assert_int_equal(n, cases[i].n);
    }
}

static void whole_numbers(void **state)
{
    (void)state;
    struct values v;
    assert_int_equal(options_defaults(&table, &v), MONGE_OK);
    assert_int_equal(options_set(&table, &v, "seed", "1e6", "x"), MONGE_OK);
    assert_true(v.seed == 1000000);
    assert_int_equal(options_set(&table, &v, "seed", "9007199254740993", "x"), MONGE_OK); /* 2^53 + 1 is no double */
    assert_true(v.seed == 9007199254740993);
    options_free(&table, &v);
}

/* name, text, and what the message must hold */
static const char *const refused[][3] = {
    {"rnak", "8", "did you mean 'rank'?"},
    {"betascale", "1", "did you mean 'beta-scale'?"},
    {"kernle", "1", "did you mean 'kernel'?"},
    {"rank", "eight", "must be a whole number or auto"},
    {"rank", "8.5", "must be a whole number"},
    {"rank", "0", "must be from 1 to 64"},
    {"rank", "99999999999999999999999", "must be a whole number"},
    {"seed", "auto", "must be a whole number"},
    {"alpha", "-1", "must be at least 0"},
    {"alpha", "nan", "must be a number"},
    {"beta-scale", "1x", "must be a number"},
    {"beta-scale", "", "must be a number"},
    {"beta-scale", "inf", "must be from 0 to 2"},
    {"fast", "maybe", "must be true or false"},
    {"kernel", "mpl", "must be one of mixture, mlp; did you mean 'mlp'?"},
    {"widths", "1,,2", "must be a number"},
    {"widths", "1,10", "must be from 0 to 9"},
};

static void refusals(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct values v;
        assert_int_equal(options_defaults(&table, &v), MONGE_OK);
        assert_int_equal(options_set(&table, &v, refused[i][0], refused[i][1], "job.yaml line 12"), MONGE_USAGE);
        if (!strstr(error_message(), refused[i][2]) || strncmp(error_message(), "job.yaml line 12: ", 18) != 0)
            fail_msg("%s=%s: %s", refused[i][0], refused[i][1], error_message());
        options_free(&table, &v);
    }
}

static void command_line_refusals(void **state)
{
    (void)state;
    static const struct {
        char *argument;
        const char *message;
    } cases[] = {{"--rnak", "--rnak: 'rnak' is not an option of correct; did you mean 'rank'?"},
                 {"--rank", "--rank: needs a value"},
                 {"--no-rank", "'no-rank' is not an option"},
                 {"-r", "-r: not an option"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct values v;
        const char *positional[1];
        int n;
        char *argv[] = {cases[i].argument};
        assert_int_equal(options_defaults(&table, &v), MONGE_OK);
        assert_int_equal(options_parse(&table, &v, 1, argv, positional, &n), MONGE_USAGE);
        if (!strstr(error_message(), cases[i].message))
            fail_msg("%s: %s", cases[i].argument, error_message());
        options_free(&table, &v);
    }
}

static void several_tables(void **state)
{
    (void)state;
    struct other {
        char *output;
    } o;
    static const struct option other_options[] = {
        {.name = "output", .type = OPTION_TEXT, .offset = offsetof(struct other, output), .help = "h"}};
    const struct option_table other = {
        .verb = "monge", .summary = "s", .usage = "u", .options = other_options, .n_options = 1, .size = sizeof o};
    struct values v;
    assert_int_equal(options_defaults(&table, &v), MONGE_OK);
    assert_int_equal(options_defaults(&other, &o), MONGE_OK);
    char *argv[] = {"--output", "x", "--rank", "3"}, *wrong[] = {"--outputt", "x"};
    const char *positional[4];
    int n;
    const struct option_set sets[] = {{&other, &o}, {&table, &v}};
    assert_int_equal(options_parse_sets(sets, 2, 4, argv, positional, &n), MONGE_OK);
    assert_string_equal(o.output, "x");
    assert_int_equal(v.rank, 3);
    assert_int_equal(options_parse_sets(sets, 2, 2, wrong, positional, &n), MONGE_USAGE);
    assert_non_null(strstr(error_message(), "did you mean 'output'?"));
    options_free(&table, &v);
    options_free(&other, &o);
}

static void text_reads_back(void **state)
{
    (void)state;
    struct values v, w;
    assert_int_equal(options_defaults(&table, &v), MONGE_OK);
    assert_int_equal(options_defaults(&table, &w), MONGE_OK);
    v.alpha = 0.1 + 0.2;
    v.scale = 1.0 / 3.0;
    const char *genes[] = {"a", "b"};
    assert_int_equal(options_set_list(&table, &v, "genes", 2, genes, "x"), MONGE_OK);
    for (int i = 0; i < table.n_options; i++) {
        char *text = options_text(&table, &v, i);
        assert_int_equal(options_set(&table, &w, options[i].name, text, "x"), MONGE_OK);
        char *again = options_text(&table, &w, i);
        assert_string_equal(text, again);
        assert_int_equal(options_unset(&table, &v, i), options_unset(&table, &w, i));
        free(text);
        free(again);
    }
    assert_true(v.alpha == w.alpha && v.scale == w.scale && v.strength == w.strength && w.rank == INT64_MIN);
    char *text = options_text(&table, &w, options_find(&table, "beta_scale"));
    assert_string_equal(text, "0.3333333333333333");
    free(text);
    options_free(&table, &v);
    options_free(&table, &w);
}

static void lists_keep_commas_and_scalars_refuse_lists(void **state)
{
    (void)state;
    struct values v;
    assert_int_equal(options_defaults(&table, &v), MONGE_OK);
    const char *items[] = {"a,b", "c"};
    assert_int_equal(options_set_list(&table, &v, "genes", 2, items, "x"), MONGE_OK);
    assert_int_equal(v.genes.n, 2);
    assert_string_equal(v.genes.values[0], "a,b");
    assert_int_equal(options_set_list(&table, &v, "rank", 2, items, "x"), MONGE_USAGE);
    assert_non_null(strstr(error_message(), "takes one value"));
    options_free(&table, &v);
}

static void distances(void **state)
{
    (void)state;
    assert_int_equal(text_distance("", "abc"), 3);
    assert_int_equal(text_distance("kitten", "sitting"), 3);
    assert_int_equal(text_distance("rnak", "rank"), 1); /* a swap is one error */
    assert_int_equal(text_distance("beta_scale", "beta-scale"), 0);
    assert_int_equal(text_distance("rank", "rank"), 0);
    char long_name[400];
    memset(long_name, 'x', sizeof long_name - 1);
    long_name[399] = '\0';
    assert_int_equal(text_distance(long_name, "x"), 126);
}

static void wrapping(void **state)
{
    (void)state;
    struct text text = {0};
    text_add(&text, "ab ");
    text_add_wrapped(&text, "one two three four", 3, 2, 10);
    char *chars = text_take(&text);
    assert_string_equal(chars, "ab one two\n  three\n  four\n");
    free(chars);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),       cmocka_unit_test(command_line),    cmocka_unit_test(switches),
        cmocka_unit_test(whole_numbers),  cmocka_unit_test(refusals),        cmocka_unit_test(command_line_refusals),
        cmocka_unit_test(several_tables), cmocka_unit_test(text_reads_back), cmocka_unit_test(lists_keep_commas_and_scalars_refuse_lists),
        cmocka_unit_test(distances),      cmocka_unit_test(wrapping),
    };
    SUITE(argc, argv, tests);
}
