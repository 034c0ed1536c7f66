/* The program as a user meets it: exit codes, one message, help. Commands run once, whatever the number of ranks of this suite. */
#include <stdlib.h>
#include <string.h>

#include "support/child.h"
#include "support/suite.h"

struct command_case {
    const char *command;
    int code;
    const char *output; /* a part of it */
};

static void check(const struct command_case *cases, size_t n)
{
    if (suite_size() > 1)
        return;
    for (size_t i = 0; i < n; i++) {
        int code;
        char command[1024];
        snprintf(command, sizeof command, "T=%s; cd . && %s", scratch_folder(), cases[i].command);
        char *output = child_output(command, &code);
        if (code != cases[i].code || !strstr(output, cases[i].output))
            fail_msg("%s\nexit code %d, expected %d; expected text: %s\n%s", cases[i].command, code, cases[i].code, cases[i].output,
                     output);
        if (code != 0 && occurrences(output, "monge: error") != 1)
            fail_msg("%s: not one message but\n%s", cases[i].command, output);
        free(output);
    }
}

static void verbs_and_help(void **state)
{
    (void)state;
    static const struct command_case cases[] = {
        {"$MONGE --version", 0, "monge "},
        {"$MONGE --help", 0, "Verbs:"},
        {"$MONGE help", 0, "monge help --man VERB"},
        {"$MONGE help help", 0, "usage: [mpirun -n P] monge help [VERB] [options]"},
        {"$MONGE help --help", 0, "--markdown"},
        {"$MONGE help --markdown help", 0, "| `--man` | false |"},
        {"$MONGE help --man help", 0, ".TH monge-help 1"},
        {"$MONGE help --man help | man --warnings -E UTF-8 -l - 2>&1 | head -5", 0, "monge-help"},
        {"mpirun -n 3 $MONGE --version | grep -c monge", 0, "1"},
        {"$MONGE", 64, "no verb is given"},
        {"$MONGE hlep", 64, "did you mean 'help'?"},
        {"$MONGE help --mna", 64, "'mna' is not an option of help; did you mean 'man'?"},
        {"$MONGE help a b", 64, "'b' is one argument too many"},
        {"$MONGE help hepl", 64, "did you mean 'help'?"},
        {"mpirun -n 3 $MONGE help hepl", 64, "did you mean 'help'?"},
    };
    check(cases, sizeof cases / sizeof *cases);
}

/* In order: later commands use the files of earlier ones. $T is an empty folder. */
static void sections_and_jobs(void **state)
{
    (void)state;
    static const struct command_case cases[] = {
        {"$MONGE simulate --rows 12 --cols 13 --genes 16 -o $T/s.h5ad", 0, "wrote"},
        {"test -z \"$($MONGE simulate --rows 12 --cols 13 --genes 16 -o $T/s.h5ad -q 2>&1)\" && echo silent", 0, "silent"},
        {"mpirun -n 2 $MONGE info $T/s.h5ad", 0, "hexagonal, 12 rows x 13 columns, 0 places without a spot"},
        {"$MONGE info $T/s.h5ad --layer truth", 0, "counts         layers/truth: "},
        {"$MONGE info $T/s.h5ad", 0, "run/version "},
        {"$MONGE simulate", 64, "no output is named"},
        {"$MONGE simulate --rows 3 -o $T/x.h5ad", 64, "--rows: rows is 3, but must be from 4 to 20000 cells"},
        {"$MONGE simulate -o $T/none/x.h5ad", 73, "there is no folder"},
        {"$MONGE simulate -o $T", 73, "is a folder"},
        {"$MONGE info", 64, "an argument is missing; usage: monge info IN"},
        {"$MONGE info $T/none.h5ad", 66, "none.h5ad"},
        {"mpirun -n 3 $MONGE info tests/cli/test_cli.c", 65, "tests/cli/test_cli.c: not an HDF5 file"},
        {"$MONGE run $T/none.yaml", 66, "none.yaml: cannot be opened (No such file or directory)"},
        {"printf 'output: %s/j.h5ad\\nsteps:\\n- simulate: {rows: 12, genes: 8}\\n' $T > $T/j.yaml; $MONGE run $T/j.yaml --dry-run", 0,
         "plan (nothing is written)"},
        {"echo \"[$(ls $T)]\"", 0, "[j.yaml\ns.h5ad]"},
        {"mpirun -n 2 $MONGE run $T/j.yaml", 0, "wrote"},
        {"echo \"[$(ls $T)]\"", 0, "[j.h5ad\nj.h5ad.job.yaml\nj.yaml\ns.h5ad]"},
        {"cp $T/j.h5ad.job.yaml $T/k.yaml; $MONGE run $T/k.yaml && cmp $T/k.yaml $T/j.h5ad.job.yaml && echo same", 0, "same"},
        {"sed -i 's/rows: 12/rosw: 12/' $T/j.yaml; $MONGE run $T/j.yaml", 64,
         "line 3: 'rosw' is not an option of simulate; did you mean 'rows'?"},
        {"cd jobs && J=$PWD && mkdir -p $T/results/demo && cd $T && case $MONGE in /*) ;; *) MONGE=$J/../$MONGE ;; esac && "
         "$MONGE run $J/demo.yaml --dry-run",
         0, "plan (nothing is written)"},
        {"cd jobs && J=$PWD && cd $T && case $MONGE in /*) ;; *) MONGE=$J/../$MONGE ;; esac && $MONGE run $J/visium.yaml", 66,
         "data/sample1/outs"}, /* the job itself is right */
        {"printf 'input: [%s/s.h5ad, %s/j.h5ad]\\noutput: %s/\\nsteps: [correct, report: {output: r.html}]\\n' $T $T $T > $T/m.yaml; "
         "$MONGE run $T/m.yaml",
         64, "report can have no output in a job with several inputs"},
        {"printf 'input: [%s/s.h5ad, %s/s.h5ad]\\noutput: %s/results\\nsteps: [correct]\\n' $T $T $T > $T/m.yaml; $MONGE run $T/m.yaml", 64,
         "would both be written to"},
        {"$MONGE correct $T/s.h5ad", 64, "no output is named"},
        {"$MONGE correct $T/s.h5ad -o $T/s.h5ad", 73, "is the input itself"},
        {"$MONGE correct $T/s.h5ad $T/j.h5ad -o $T/x.h5ad", 64, "one argument too many"},
        {"$MONGE correct $T/s.h5ad -o $T/x.h5ad --rnak 3", 64, "did you mean 'rank'?"},
        {"$MONGE correct $T/none.h5ad -o $T/x.h5ad", 66, "none.h5ad"},
        {"mpirun -n 2 $MONGE report $T/s.h5ad -o $T/r.html", 65, "s.h5ad"},
        {"test ! -e $T/r.html && echo none", 0, "none"},
        {"mpirun -n 2 $MONGE correct $T/s.h5ad --dry-run", 0, "ranks      2"},
    };
    check(cases, sizeof cases / sizeof *cases);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verbs_and_help),
        cmocka_unit_test(sections_and_jobs),
    };
    SUITE(argc, argv, tests);
}
