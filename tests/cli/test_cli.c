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

static int occurrences(const char *text, const char *part)
{
    int n = 0;
    while ((text = strstr(text, part))) {
        n++;
        text++;
    }
    return n;
}

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

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verbs_and_help),
    };
    SUITE(argc, argv, tests);
}
