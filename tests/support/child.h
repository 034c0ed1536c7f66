/* Running programs from a test, as a user would from a shell. */
#ifndef TESTS_CHILD_H
#define TESTS_CHILD_H

/* Runs a shell command with an environment that knows nothing of the MPI job the test itself belongs to (mpirun may be used, as
 * root too). Returns stdout and stderr together (malloc'd) and the exit code. $MONGE stands for the program, $SELF for the
 * calling test program. */
char *child_output(const char *command, int *exit_code);

#endif
