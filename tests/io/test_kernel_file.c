/* Kernel files: a good one, and each way to be wrong with its line. */
#include <stdlib.h>
#include <string.h>

#include "monge/kernel_file.h"
#include "support/suite.h"

static const char *written(const char *text)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/kernel-%d.txt", scratch_folder(), suite_rank());
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    return path;
}

static void reads_values_and_rows(void **state)
{
    (void)state;
    struct kernel_file file;
    assert_int_equal(kernel_file_read(&file, written("# measured\nbeta .45\nuniform 0.1 # share\n\n0 1\n1.5 0.25\n3 0\n")), MONGE_OK);
    assert_true(file.beta == .45 && file.uniform == .1 && file.permeability == 1.0);
    assert_int_equal(file.n, 3);
    assert_true(file.distance[1] == 1.5 && file.weight[1] == .25);
    kernel_file_free(&file);
}

static void refuses(const char *text, const char *expected)
{
    struct kernel_file file;
    assert_int_equal(kernel_file_read(&file, written(text)), MONGE_BAD_DATA);
    if (!strstr(error_message(), expected))
        fail_msg("expected \"%s\" in \"%s\"", expected, error_message());
}

static void names_the_line(void **state)
{
    (void)state;
    refuses("beta .4\n0 1\n0 .5\n", "line 3: distances must ascend");
    refuses("beta 1.4\n0 1\n1 .5\n", "line 1: beta must lie between");
    refuses("beta .4\nsigma 2\n0 1\n", "line 2: unknown name sigma");
    refuses("beta .4\n0 1\n1 -2\n", "line 3: distance and weight");
    refuses("beta .4\n0 1 7\n1 2\n", "line 2: expected");
    refuses("0 1\n1 .5\n", "no line \"beta VALUE\"");
    refuses("beta .4\n0 1\n", "at least two rows");
    struct kernel_file file;
    assert_int_equal(kernel_file_read(&file, "/nonexistent/kernel.txt"), MONGE_NO_INPUT);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(reads_values_and_rows), cmocka_unit_test(names_the_line)};
    SUITE(argc, argv, tests);
}
