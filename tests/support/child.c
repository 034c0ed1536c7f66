#include "support/child.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/suite.h"

static char *whole_file(int fd)
{
    off_t length = lseek(fd, 0, SEEK_END);
    char *text = malloc((size_t)length + 1);
    assert_true(length >= 0 && text && pread(fd, text, (size_t)length, 0) == length);
    text[length] = '\0';
    return text;
}

/* The output goes to a file: a pipe would stay open as long as anything that the command left running. */
char *child_output(const char *command, int *exit_code)
{
    char self[512] = "", script[8192], said[512];
    if (readlink("/proc/self/exe", self, sizeof self - 1) < 0)
        fail_msg("cannot find the test program");
    const char *build = getenv("BUILD") ? getenv("BUILD") : "build", *home = getenv("HOME") ? getenv("HOME") : "/";
    const char *folder = getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp";
    const char *sanitizers = "${ASAN_OPTIONS+ASAN_OPTIONS=\"$ASAN_OPTIONS\"} ${UBSAN_OPTIONS+UBSAN_OPTIONS=\"$UBSAN_OPTIONS\"} "
                             "${LSAN_OPTIONS+LSAN_OPTIONS=\"$LSAN_OPTIONS\"}";
    snprintf(said, sizeof said, "%s/monge-test-output-XXXXXX", folder);
    int output = mkstemp(said);
    assert_true(output >= 0);
    int length =
        snprintf(script, sizeof script,
                 "exec >'%s' 2>&1; env -i %s PATH='%s' HOME='%s' TMPDIR='%s' OMPI_ALLOW_RUN_AS_ROOT=1 "
                 "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_mpi_yield_when_idle=1 OMPI_MCA_pml=ob1 "
                 "OMPI_MCA_hwloc_base_binding_policy=none MONGE='%s/monge' SELF='%s' timeout -k 10 %d sh <<'END_OF_SCRIPT'\n"
                 "%s\nEND_OF_SCRIPT\ncode=$?; [ $code != 124 ] || echo 'stopped: it took too long'; exit $code\n",
                 said, sanitizers, getenv("PATH"), home, folder, build, self, CHILD_SECONDS, command);
    assert_true(length < (int)sizeof script);
    fflush(stdout);
    int ended = system(script);
    *exit_code = WIFEXITED(ended) ? WEXITSTATUS(ended) : 128 + WTERMSIG(ended);
    char *text = whole_file(output);
    close(output);
    unlink(said);
    return text;
}

char *child_shell(const char *command, int *exit_code)
{
    char whole[6144];
    int length = snprintf(whole, sizeof whole, "T=%s; M=$(realpath $MONGE); %s", scratch_folder(), command);
    assert_true(length < (int)sizeof whole);
    return child_output(whole, exit_code);
}

void child_must(const char *command)
{
    int code;
    char *output = child_shell(command, &code);
    if (code != 0)
        fail_msg("%s\nexit code %d\n%s", command, code, output);
    free(output);
}

bool elsewhere(void)
{
    return suite_size() > 1;
}

bool disks_can_be_mounted(void)
{
    int code;
    char *output = child_shell("mkdir -p $T/disk && mount -t tmpfs -o size=64k tmpfs $T/disk && umount $T/disk", &code);
    if (code != 0)
        printf("  skipped: a small disk cannot be mounted here: %s", output);
    free(output);
    return code == 0;
}

int occurrences(const char *text, const char *part)
{
    int n = 0;
    while ((text = strstr(text, part))) {
        n++;
        text++;
    }
    return n;
}
