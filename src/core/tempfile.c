/* Files that must not outlive a failed process.
 *
 * The registry is a fixed table, so that a signal handler may read it at any moment: a slot's path is complete before the slot is
 * marked used, and unlink() is async-signal-safe. */
#include "monge/tempfile.h"

#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "monge/signals.h"

enum { SLOTS = 32 };
static const int SIGNALS[] = {SIGINT, SIGTERM, SIGHUP, SIGABRT, SIGSEGV, SIGBUS, SIGFPE};
enum { N_SIGNALS = sizeof SIGNALS / sizeof SIGNALS[0] };

static struct {
    char path[PATH_MAX];
    atomic_bool used;
} slots[SLOTS];
static struct sigaction former[N_SIGNALS];
static pid_t owner; /* a forked child must not remove its parent's files */

void tempfile_remove_all(void)
{
    if (getpid() != owner)
        return;
    for (int i = 0; i < SLOTS; i++)
        if (atomic_exchange(&slots[i].used, false))
            unlink(slots[i].path);
}

static void remove_and_die(int signal_number)
{
    tempfile_remove_all();
    for (int i = 0; i < N_SIGNALS; i++)
        if (SIGNALS[i] == signal_number)
            sigaction(signal_number, &former[i], NULL);
    raise(signal_number); /* delivered when this handler returns */
}

static void watch(void)
{
    owner = getpid();
    atexit(tempfile_remove_all);
    struct sigaction action = {.sa_handler = remove_and_die};
    sigemptyset(&action.sa_mask);
    for (int i = 0; i < N_SIGNALS; i++) {
        sigaction(SIGNALS[i], NULL, &former[i]);
        if (former[i].sa_handler != SIG_IGN && !signals_own(SIGNALS[i])) /* nohup stays in force; core/signals.c calls us itself */
            sigaction(SIGNALS[i], &action, NULL);
    }
}

status tempfile_register(const char *path)
{
    if (strlen(path) >= PATH_MAX)
        return error_set(MONGE_CANT_CREATE, "%s: the path is longer than %d characters; choose a shorter one", path, PATH_MAX - 1);
    if (!owner)
        watch();
    for (int i = 0; i < SLOTS; i++) {
        if (atomic_load(&slots[i].used))
            continue;
        strcpy(slots[i].path, path);
        atomic_store(&slots[i].used, true);
        return MONGE_OK;
    }
    return error_set(MONGE_INTERNAL, "%s: more than %d unfinished files at once", path, SLOTS);
}

void tempfile_forget(const char *path)
{
    for (int i = 0; i < SLOTS; i++)
        if (atomic_load(&slots[i].used) && !strcmp(slots[i].path, path))
            atomic_store(&slots[i].used, false);
}
