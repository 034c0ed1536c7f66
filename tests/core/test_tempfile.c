/* Temporary files vanish however a process ends: by exit, by a signal, by an error path. Each ending is acted out by a child. */
#include "monge/tempfile.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/suite.h"

static const char *file_named(const char *name)
{
    static char path[2][512];
    static int turn;
    turn = !turn;
    snprintf(path[turn], sizeof path[turn], "%s/%s.%d", scratch_folder(), name, suite_rank());
    return path[turn];
}

static void create(const char *path)
{
    FILE *file = fopen(path, "w");
    if (!file)
        _exit(3);
    fclose(file);
}

/* A child that registers two files, forgets the second, and ends by `ending`; returns its wait status. */
static int child_ending_by(void (*ending)(void), const char *kept, const char *removed)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (tempfile_register(removed) != MONGE_OK || tempfile_register(kept) != MONGE_OK)
            _exit(4);
        create(removed);
        create(kept);
        tempfile_forget(kept);
        ending();
        _exit(5);
    }
    int ended;
    assert_int_equal(waitpid(pid, &ended, 0), pid);
    return ended;
}

static void by_exit(void)
{
    fclose(stdout); /* the parent's buffered lines are not the child's to print */
    exit(7);
}
static void by_term(void)
{
    raise(SIGTERM);
}
static void by_interrupt(void)
{
    raise(SIGINT);
}
static void by_error_path(void)
{
    tempfile_remove_all();
    _exit(8);
}

static void every_ending(void **state)
{
    (void)state;
    static const struct {
        void (*ending)(void);
        int signal, code;
    } cases[] = {{by_exit, 0, 7}, {by_term, SIGTERM, 0}, {by_interrupt, SIGINT, 0}, {by_error_path, 0, 8}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *kept = file_named("kept"), *removed = file_named("removed");
        fflush(stdout);
        int ended = child_ending_by(cases[i].ending, kept, removed);
        if (cases[i].signal)
            assert_true(WIFSIGNALED(ended) && WTERMSIG(ended) == cases[i].signal);
        else
            assert_true(WIFEXITED(ended) && WEXITSTATUS(ended) == cases[i].code);
        assert_int_equal(access(kept, F_OK), 0);
        assert_int_not_equal(access(removed, F_OK), 0);
        unlink(kept);
    }
}

/* A child of the owner must not remove the owner's files. */
static void forked_child_removes_nothing(void **state)
{
    (void)state;
    const char *path = file_named("parent");
    assert_int_equal(tempfile_register(path), MONGE_OK);
    create(path);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        tempfile_remove_all();
        _exit(0);
    }
    int ended;
    waitpid(pid, &ended, 0);
    assert_int_equal(access(path, F_OK), 0);
    tempfile_remove_all();
    assert_int_not_equal(access(path, F_OK), 0);
}

static void limits(void **state)
{
    (void)state;
    char path[8000];
    memset(path, 'x', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    assert_int_equal(tempfile_register(path), MONGE_CANT_CREATE);
    int n = 0;
    while (n < 1000) {
        snprintf(path, sizeof path, "no-such-file-%d", n);
        if (tempfile_register(path) != MONGE_OK)
            break;
        n++;
    }
    assert_true(n >= 16 && n < 1000);
    tempfile_forget("no-such-file-3");
    assert_int_equal(tempfile_register("no-such-file-again"), MONGE_OK);
    tempfile_remove_all();
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_ending),
        cmocka_unit_test(forked_child_removes_nothing),
        cmocka_unit_test(limits),
    };
    SUITE(argc, argv, tests);
}
