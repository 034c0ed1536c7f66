#include "support/toy_program.h"

static const char *const kernels[] = {"mixture", "mlp", NULL};
static const struct option smooth_list[] = {
    {.name = "rank", .type = OPTION_INTEGER, .offset = offsetof(struct smooth_options, rank), .min = 1, .max = 64, .help = "h"},
    {.name = "prior-alpha", .type = OPTION_REAL, .offset = offsetof(struct smooth_options, alpha), .fallback = "0.5", .unit = "molecules"},
    {.name = "fast", .type = OPTION_BOOL, .offset = offsetof(struct smooth_options, fast), .fallback = "false"},
    {.name = "kernel", .type = OPTION_CHOICE, .offset = offsetof(struct smooth_options, kernel), .fallback = "mixture", .choices = kernels},
    {.name = "model", .type = OPTION_TEXT, .offset = offsetof(struct smooth_options, model), .fallback = "none"},
    {.name = "widths", .type = OPTION_REALS, .offset = offsetof(struct smooth_options, widths), .fallback = "1,2"},
    {.name = "genes", .type = OPTION_TEXTS, .offset = offsetof(struct smooth_options, genes)},
};
const struct option_table toy_smooth_table = {"smooth", "s", "u", smooth_list, 7, sizeof(struct smooth_options), NULL};
static const struct option seed_list[] = {{.name = "seed", .type = OPTION_INTEGER, .offset = 0, .fallback = "1"}};
static const struct option_table invent_table = {"invent", "s", "u", seed_list, 1, sizeof(int64_t), NULL};
static const struct option_table show_table = {"show", "s", "u", seed_list, 1, sizeof(int64_t), NULL};
static const struct option_table command_table = {"smile", "s", "u", NULL, 0, 1, NULL};

static status do_step(struct section *section, const void *options)
{
    (void)section;
    (void)options;
    return MONGE_OK;
}
static status do_create(struct section *section, MPI_Comm comm, const void *options)
{
    (void)comm;
    return do_step(section, options);
}
static status do_conclude(MPI_Comm comm, const char *output, const void *options)
{
    (void)output;
    (void)comm;
    (void)options;
    return MONGE_OK;
}
static const struct step smooth_step = {.options = &toy_smooth_table, .run = do_step};
static const struct option_table join_table = {"join", "s", "u", seed_list, 1, sizeof(int64_t), NULL};
static const struct step join_step = {.options = &join_table, .least_inputs = 2, .most_inputs = 3, .run = do_step};
static const struct verb verbs[] = {
    {.step = &smooth_step},      {.options = &invent_table, .create = do_create}, {.options = &show_table, .conclude = do_conclude},
    {.options = &command_table}, /* a verb that is not a step */
    {.step = &join_step},
};
const struct program toy_program = {verbs, 5};
