#include "support/child.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/suite.h"

char *child_output(const char *command, int *exit_code)
{
    char self[512] = "", script[8192];
    if (readlink("/proc/self/exe", self, sizeof self - 1) < 0)
        fail_msg("cannot find the test program");
    const char *build = getenv("BUILD") ? getenv("BUILD") : "build", *home = getenv("HOME") ? getenv("HOME") : "/";
    const char *sanitizers = "${ASAN_OPTIONS+ASAN_OPTIONS=\"$ASAN_OPTIONS\"} ${UBSAN_OPTIONS+UBSAN_OPTIONS=\"$UBSAN_OPTIONS\"} "
                             "${LSAN_OPTIONS+LSAN_OPTIONS=\"$LSAN_OPTIONS\"}";
    int length = snprintf(script, sizeof script,
                          "env -i %s PATH='%s' HOME='%s' TMPDIR='%s' OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 "
                          "OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_mpi_yield_when_idle=1 OMPI_MCA_hwloc_base_binding_policy=none "
                          "MONGE='%s/monge' SELF='%s' sh 2>&1 <<'END_OF_SCRIPT'\n%s\nEND_OF_SCRIPT\n",
                          sanitizers, getenv("PATH"), home, getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp", build, self, command);
    assert_true(length < (int)sizeof script);
    fflush(stdout);
    FILE *pipe = popen(script, "r");
    assert_non_null(pipe);
    size_t used = 0, capacity = 1 << 16;
    char *output = malloc(capacity);
    assert_non_null(output);
    for (size_t n; (n = fread(output + used, 1, capacity - used - 1, pipe)) > 0;) {
        used += n;
        if (used + 1 < capacity)
            continue;
        char *longer = realloc(output, capacity *= 2);
        assert_non_null(longer);
        output = longer;
    }
    output[used] = '\0';
    int ended = pclose(pipe);
    *exit_code = WIFEXITED(ended) ? WEXITSTATUS(ended) : 128 + WTERMSIG(ended);
    return output;
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

int occurrences(const char *text, const char *part)
{
    int n = 0;
    while ((text = strstr(text, part))) {
        n++;
        text++;
    }
    return n;
}
