/* The options of a run besides those of its steps: one table, of which jobs and verbs see windows. */
#include "monge/run_options.h"

#include "monge/slide.h"

static const char *const hole_choices[] = {[HOLES_FILL] = "fill", [HOLES_OMIT] = "omit", NULL};

/* In this order, so that each table below is a window. */
static const struct option options[] = {
    {.name = "manifest",
     .type = OPTION_TEXT,
     .offset = offsetof(struct run_options, manifest),
     .help = "An atlas: a table with tabs and a header, one section per line; columns input, name, and options that differ, as "
             "correct.rank (docs/jobs.md)."},
    {.name = "output-folder",
     .type = OPTION_TEXT,
     .offset = offsetof(struct run_options, output_folder),
     .help = "Where an atlas is written: NAME.h5ad for every section. It is made if only its last part is missing."},
    {.name = "input",
     .type = OPTION_TEXTS,
     .offset = offsetof(struct run_options, input),
     .help =
         "The section: an .h5ad file, a 10x outs/ folder, a 10x .h5 file with spatial/ beside it, or a table NAME.csv with NAME_coor.csv "
         "beside it; a list processes several in turn."},
    {.name = "stack",
     .type = OPTION_TEXTS,
     .offset = offsetof(struct run_options, stack),
     .help = "Instead of input: a list of sections that are read as one, for steps that take several."},
    {.name = "layer",
     .type = OPTION_TEXT,
     .offset = offsetof(struct run_options, layer),
     .help = "Where the counts are in an .h5ad: a name below layers, or raw for raw/X; otherwise X."},
    {.name = "holes",
     .type = OPTION_CHOICE,
     .offset = offsetof(struct run_options, holes),
     .fallback = "fill",
     .choices = hole_choices,
     .help = "Lattice places without a spot in the input: fill counts them as empty background spots, omit as not there."},
    {.name = "checkpoint-every",
     .type = OPTION_REAL,
     .offset = offsetof(struct run_options, checkpoint_every),
     .fallback = "600",
     .max = 1e9,
     .unit = "seconds",
     .help =
         "Work between two checkpoints, OUTPUT.checkpoint.0 and .1, from which the same command goes on; 0: only when a signal stops it."},
    {.name = "output",
     .type = OPTION_TEXT,
     .offset = offsetof(struct run_options, output),
     .help = "The .h5ad file to write (-o for short), in a folder that exists; the folder itself for a job with several inputs."},
    {.name = "log",
     .type = OPTION_TEXT,
     .offset = offsetof(struct run_options, log),
     .help = "Append what happens to this file as JSON lines: sizes, warnings, times and traffic by phase (docs/scaling.md)."},
    {.name = "quiet",
     .type = OPTION_BOOL,
     .offset = offsetof(struct run_options, quiet),
     .help = "Print warnings and errors only (-q for short)."},
    {.name = "dry-run",
     .type = OPTION_BOOL,
     .offset = offsetof(struct run_options, dry_run),
     .help = "Read the input, print ranks, partition and estimates of memory and time, and write nothing."},
};

const struct option_table options_job = {.verb = "a job",
                                         .summary = "Keys of a job file, besides the list of steps",
                                         .usage = "",
                                         .options = options,
                                         .n_options = 9,
                                         .size = sizeof(struct run_options)};
const struct option_table options_with_step = {.verb = "monge",
                                               .summary = "Input and output",
                                               .usage = "",
                                               .options = options + 4,
                                               .n_options = 7,
                                               .size = sizeof(struct run_options)};
const struct option_table options_with_create = {
    .verb = "monge", .summary = "Output", .usage = "", .options = options + 7, .n_options = 3, .size = sizeof(struct run_options)};
const struct option_table options_with_run = {
    .verb = "monge", .summary = "Options", .usage = "", .options = options + 8, .n_options = 3, .size = sizeof(struct run_options)};
const struct option_table options_with_info = {
    .verb = "monge", .summary = "Input", .usage = "", .options = options + 4, .n_options = 2, .size = sizeof(struct run_options)};
