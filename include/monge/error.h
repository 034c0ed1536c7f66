/* Errors: one record per process, filled where the fault is found, printed once by cli/.
 *
 * A function that can fail returns `status`: MONGE_OK or one of the sysexits.h codes below, and has called error_set with a
 * message that names the file, the dataset or line, what is wrong, and what to do. No function below cli/ calls exit().
 * Before work that could leave other ranks waiting, ranks agree (par/agree.h). */
#ifndef MONGE_ERROR_H
#define MONGE_ERROR_H

typedef int status;

enum {
    MONGE_OK = 0,
    MONGE_USAGE = 64,       /* the command line or the job file is wrong */
    MONGE_BAD_DATA = 65,    /* the input's content is wrong */
    MONGE_NO_INPUT = 66,    /* the input is missing or unreadable */
    MONGE_INTERNAL = 70,    /* a fault of monge, or memory is exhausted */
    MONGE_CANT_CREATE = 73, /* an output cannot be created */
    MONGE_IO = 74,          /* reading or writing failed on the way */
    MONGE_TRY_AGAIN = 75    /* stopped by a signal; run again to resume */
};

/* Records code and message (printf style), replacing an earlier record, and returns code. */
status error_set(status code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Puts "prefix: " before the recorded message and returns the recorded code: for callers that know more context. */
status error_prefix(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Shorthand for a failed allocation of `bytes` bytes: MONGE_INTERNAL. */
status error_memory(const char *what, double bytes);

status error_code(void);
const char *error_message(void);
void error_clear(void);

#endif
