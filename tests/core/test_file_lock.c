/* One writer per output: a second process is refused and told who has it; a killed one leaves the file but no lock; signals outside of
 * deferred work take their usual course, and remove temporary files. */
#include "monge/file_lock.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "monge/signals.h"
#include "monge/tempfile.h"
#include "support/suite.h"

/* Every rank its own file. */
static const char *own_path(const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s.%d", scratch_folder(), name, suite_rank());
    return path;
}

/* What a process of its own returns from `act`, or 128 + the signal that ended it. */
static int in_child(int (*act)(void))
{
    fflush(stdout);
    pid_t child = fork();
    if (child == 0)
        _exit(act());
    int ended;
    assert_int_equal(waitpid(child, &ended, 0), child);
    return WIFEXITED(ended) ? WEXITSTATUS(ended) : 128 + WTERMSIG(ended);
}

static int try_lock(void)
{
    struct file_lock lock;
    char holder[64];
    status done = file_lock_take(&lock, own_path("lock"), "out.h5ad");
    snprintf(holder, sizeof holder, "out.h5ad: process %ld is writing it", (long)getppid());
    if (done == MONGE_CANT_CREATE && !strstr(error_message(), holder))
        done = 1;
    file_lock_release(&lock);
    return done;
}

static int lock_and_die(void)
{
    struct file_lock lock;
    if (file_lock_take(&lock, own_path("lock"), "out.h5ad") == MONGE_OK)
        raise(SIGKILL);
    return 1;
}

static void one_holder(void **state)
{
    (void)state;
    struct file_lock lock;
    assert_int_equal(file_lock_take(&lock, own_path("lock"), "out.h5ad"), MONGE_OK);
    assert_int_equal(in_child(try_lock), MONGE_CANT_CREATE);
    assert_int_equal(access(own_path("lock"), F_OK), 0); /* the refused one has not removed it */
    file_lock_release(&lock);
    assert_int_not_equal(access(own_path("lock"), F_OK), 0);
    assert_int_equal(in_child(try_lock), MONGE_OK);
}

static void a_dead_holder(void **state)
{
    (void)state;
    struct file_lock lock;
    assert_int_equal(in_child(lock_and_die), 128 + SIGKILL);
    assert_int_equal(access(own_path("lock"), F_OK), 0);
    assert_int_equal(file_lock_take(&lock, own_path("lock"), "out.h5ad"), MONGE_OK);
    file_lock_release(&lock);
    file_lock_release(&lock); /* nothing is held any more */
    assert_int_not_equal(access(own_path("lock"), F_OK), 0);
}

static void no_place(void **state)
{
    (void)state;
    struct file_lock lock;
    assert_int_equal(file_lock_take(&lock, "/proc/none/lock", "out.h5ad"), MONGE_CANT_CREATE);
    assert_non_null(strstr(error_message(), "/proc/none/lock"));
    file_lock_release(&lock);
}

static void make_temporary(void)
{
    tempfile_register(own_path("temporary"));
    fclose(fopen(own_path("temporary"), "w"));
    signals_open();
}

static int not_deferred(void)
{
    make_temporary();
    raise(SIGUSR1);
    return 1;
}

static int deferred(void)
{
    make_temporary();
    signals_defer();
    raise(SIGTERM);
    raise(SIGUSR1);
    if (signals_pending() != SIGTERM || access(own_path("temporary"), F_OK) != 0)
        return 1;
    sleep(2);
    usleep(100000);
    raise(SIGUSR1);
    return 2;
}

static void signals(void **state)
{
    (void)state;
    assert_int_equal(in_child(not_deferred), 128 + SIGUSR1);
    assert_int_not_equal(access(own_path("temporary"), F_OK), 0);
    assert_int_equal(in_child(deferred), 128 + SIGUSR1);
    assert_int_not_equal(access(own_path("temporary"), F_OK), 0);
    assert_int_equal(signals_pending(), 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_holder),
        cmocka_unit_test(a_dead_holder),
        cmocka_unit_test(no_place),
        cmocka_unit_test(signals),
    };
    SUITE(argc, argv, tests);
}
