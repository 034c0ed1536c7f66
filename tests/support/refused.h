/* Bad input through the program, as a user meets it. */
#ifndef TESTS_REFUSED_H
#define TESTS_REFUSED_H

/* Files of the scratch folder whose name begins with "out": the output, or what was to become it; not a checkpoint, which is to stay. */
int outputs_left(void);

/* `monge ARGUMENTS` (of child_shell; outputs are named $T/out...) on two ranks (MONGE_LONG=1: then on one) must end with this exit code and one
 * message that holds all parts (NULL-terminated), and leave nothing behind. */
void refused(const char *arguments, int code, const char *const *parts);
#define REFUSED(arguments, code, ...) refused(arguments, code, (const char *const[]){__VA_ARGS__, NULL})

#endif
