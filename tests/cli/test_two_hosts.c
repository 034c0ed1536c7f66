/* The main job over two hosts, which are network namespaces joined by a virtual cable (tests/hosts/two_hosts): the bits of one host. */
#include <stdlib.h>
#include <string.h>

#include "support/child.h"
#include "support/same_objects.h"
#include "support/suite.h"

enum { CANNOT_RUN = 77 };

/* Run once, whatever the number of ranks of this suite: the commands start their own. */
static char *run(const char *command, int *code)
{
    char script[2048];
    snprintf(script, sizeof script,
             "HERE=$(pwd); PATH=$PATH:/usr/sbin:/sbin; case $MONGE in /*) ;; *) MONGE=$HERE/$MONGE ;; esac; cd %s && { %s\n}",
             scratch_folder(), command);
    return child_output(script, code);
}

/* output: "process N" is its first line */
static void leaves_nothing(const char *output)
{
    char command[256];
    int code, process = 0;
    assert_int_equal(sscanf(output, "process %d", &process), 1);
    snprintf(command, sizeof command, "ip netns list | grep -c -e '-%d'; ls -d /etc/netns/*-%d 2>/dev/null; true", process, process);
    char *left = run(command, &code);
    assert_int_equal(code, 0);
    assert_string_equal(left, "0\n");
    free(left);
}

static void same_bits_on_two_hosts(void **state)
{
    (void)state;
    const char *folder = scratch_folder();
    if (suite_size() > 1)
        return;
    int code;
    char *output = run("$MONGE simulate -o in.h5ad --rows 20 --cols 20 --genes 40 --quiet && "
                       "$MONGE correct in.h5ad -o one.h5ad --quiet",
                       &code);
    if (code != 0)
        fail_msg("one host: exit code %d\n%s", code, output);
    free(output);
    /* who takes part, the work, and what went through the cable */
    output = run("export MONGE; sh -c 'echo process $$; exec \"$@\"' sh $HERE/tests/hosts/two_hosts sh -c '"
                 "mpirun --map-by node -n 4 sh -c \"echo rank \\$OMPI_COMM_WORLD_RANK on \\$(hostname)\" && "
                 "mpirun --map-by node -n 4 $MONGE correct in.h5ad -o two.h5ad --quiet && "
                 "ip -s link show veth-a | grep -A1 TX: | tail -1'",
                 &code);
    if (code == CANNOT_RUN) {
        printf("  %s", strstr(output, "skipped:") ? strstr(output, "skipped:") : output);
        free(output);
        return;
    }
    if (code != 0)
        fail_msg("two hosts: exit code %d\n%s", code, output);
    leaves_nothing(output);
    assert_non_null(strstr(output, "on monge-a"));
    assert_non_null(strstr(output, "on monge-b"));
    char *last = strrchr(output, '\n');
    while (last && last[1] == '\0') { /* the line before the final line end */
        *last = '\0';
        last = strrchr(output, '\n');
    }
    double bytes = atof(last ? last + 1 : output);
    figure("bytes sent through the cable", bytes, ">=", 1e6);
    assert_true(bytes >= 1e6);
    free(output);

    char one[512], two[512];
    snprintf(one, sizeof one, "%s/one.h5ad", folder);
    snprintf(two, sizeof two, "%s/two.h5ad", folder);
    static const char *const except[] = {"uns/monge/run", NULL}; /* memory and times */
    int n = same_objects(two, one, except);
    assert_int_equal(n, same_objects(one, two, except));
    figure("objects of the output, the same bits", n, ">=", 40);
    assert_true(n >= 40);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_bits_on_two_hosts),
    };
    SUITE(argc, argv, tests);
}
