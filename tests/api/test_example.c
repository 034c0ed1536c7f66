/* The example of docs/transport.md, built as another program would be: it knows only include/monge and libmonge.a. It gives the same answer
 * on any number of ranks, and its gradient is right. */
#include <stdlib.h>
#include <string.h>

#include "support/child.h"
#include "support/suite.h"

/* the command of docs/transport.md */
static const char *const BUILD_EXAMPLE =
    "gcc -O2 -Wall -Wextra -Werror -Iinclude docs/examples/transport.c -o $T/transport $(pkg-config --cflags ompi-c) "
    "$(dirname $MONGE)/libmonge.a -lscalapack-openmpi $(pkg-config --libs ompi-c hdf5-openmpi cairo yaml-0.1 jansson zlib openblas) -lm";

static char *example(int ranks)
{
    char command[128];
    int code;
    snprintf(command, sizeof command, "mpirun --oversubscribe -n %d $T/transport", ranks);
    char *output = child_shell(command, &code);
    if (code != 0)
        fail_msg("%s: exit code %d\n%s", command, code, output);
    return output;
}

static bool library_is_sanitized(void)
{
    int code;
    free(child_shell("nm $(dirname $MONGE)/libmonge.a 2>/dev/null | grep -q __asan_init", &code));
    return code == 0;
}

static void the_transport_example_runs_and_its_gradient_is_right(void **state)
{
    (void)state;
    scratch_folder(); /* collective */
    if (suite_rank() > 0)
        return;
    if (library_is_sanitized()) {
        printf("  skipped: the library is built with sanitizers\n");
        return;
    }
    child_must(BUILD_EXAMPLE);
    char *alone = example(1), *three = example(3);
    char *error = strstr(alone, "differences: "), *place = strstr(alone, "mean distance ");
    assert_non_null(error);
    assert_non_null(place);
    figure("example: gradient against central differences", strtod(error + 13, NULL), "<=", 1e-6);
    assert_true(strtod(error + 13, NULL) <= 1e-6);
    assert_true(strtod(place + 14, NULL) > 0.05 && strtod(place + 14, NULL) < 1.0);
    assert_memory_equal(alone, three, strcspn(alone, ";")); /* the example's own sums over ranks are plain: six digits */
    free(alone);
    free(three);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_transport_example_runs_and_its_gradient_is_right)};
    SUITE(argc, argv, tests);
}
