/* The request to stop, kept in a flag until somebody asks. Handlers touch atomics only and call what is async-signal-safe. */
#include "monge/signals.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <time.h>

#include "monge/tempfile.h"

static const int64_t SAME_REQUEST = 2000000000; /* nanoseconds within which a second signal is the same request */
static const int SIGNALS[] = {SIGTERM, SIGUSR1};
enum { N_SIGNALS = sizeof SIGNALS / sizeof SIGNALS[0] };

static atomic_bool owned[N_SIGNALS];
static atomic_int deferred, pending;
static _Atomic int64_t came; /* the first signal, monotonic nanoseconds */

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void end_at_once(int number)
{
    tempfile_remove_all();
    signal(number, SIG_DFL);
    raise(number); /* delivered when the handler returns */
}

static void take_note(int number)
{
    if (atomic_load(&deferred) == 0) {
        end_at_once(number);
    } else if (!atomic_load(&pending)) {
        atomic_store(&came, now());
        atomic_store(&pending, number);
    } else if (now() - atomic_load(&came) >= SAME_REQUEST) {
        end_at_once(number);
    }
}

void signals_open(void)
{
    struct sigaction action = {.sa_handler = take_note, .sa_flags = SA_RESTART}, former;
    sigfillset(&action.sa_mask);
    for (int i = 0; i < N_SIGNALS; i++) {
        sigaction(SIGNALS[i], NULL, &former);
        if (former.sa_handler == SIG_IGN)
            continue;
        atomic_store(&owned[i], true);
        sigaction(SIGNALS[i], &action, NULL);
    }
}

bool signals_own(int number)
{
    for (int i = 0; i < N_SIGNALS; i++)
        if (SIGNALS[i] == number)
            return atomic_load(&owned[i]);
    return false;
}

void signals_defer(void)
{
    atomic_fetch_add(&deferred, 1);
}

void signals_undefer(void)
{
    atomic_fetch_sub(&deferred, 1);
}

int signals_pending(void)
{
    return atomic_load(&pending);
}
