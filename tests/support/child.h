/* Running programs from a test, as a user would from a shell. */
#ifndef TESTS_CHILD_H
#define TESTS_CHILD_H

#include <stdbool.h>

#define CHILD_SECONDS 600 /* a command that takes longer hangs */

/* Runs a shell command with an environment that knows nothing of the MPI job the test itself belongs to (mpirun may be used, as
 * root too). Returns stdout and stderr together (malloc'd) and the exit code. $MONGE stands for the program, $SELF for the
 * calling test program. A command that hangs is stopped; its exit code is 124 then. */
char *child_output(const char *command, int *exit_code);

/* The same where $T is the program's scratch folder and $M the absolute path of monge. */
char *child_shell(const char *command, int *exit_code);

/* Fails the test with the output unless the command (of child_shell) ends with 0. */
void child_must(const char *command);

/* Children have ranks of their own: one rank tells all, and in suites on several ranks there is nothing to do. */
bool elsewhere(void);

/* Whether small disks may be mounted at $T/disk, a folder that is made; says `skipped` where not. Only root can. */
bool disks_can_be_mounted(void);

/* How often part stands in text, overlaps included. */
int occurrences(const char *text, const char *part);

#endif
