/* `monge score` as a user meets it: tables of a section whose scores are known by hand, several ranks, sections, and columns that cannot be scored. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support/child.h"
#include "support/suite.h"
#include "support/tiny_h5ad.h"

/* 6 x 5 spots. truth: upper and lower half (a spot without a label); halves: the same by numbers; columns: 5 labels, one for each lattice column; batch: left and right. */
static void make_file(const char *path)
{
    hid_t file = tiny_h5ad(path);
    double halves[TINY_SPOTS], columns[TINY_SPOTS], many[TINY_SPOTS], nothing[TINY_SPOTS], batch[TINY_SPOTS], noise[TINY_SPOTS],
        tissue[TINY_SPOTS];
    const char *truth[TINY_SPOTS];
    for (int i = 0; i < TINY_SPOTS; i++) {
        halves[i] = i / TINY_COLS < TINY_ROWS / 2 ? 10 : 20;
        columns[i] = i % TINY_COLS;
        many[i] = 0.5 * i;
        nothing[i] = NAN;
        batch[i] = i % TINY_COLS < 2;
        noise[i] = i % 2 ? -1 : 4;
        tissue[i] = 1;
        truth[i] = i == 0 ? "nan" : halves[i] < 15 ? "upper" : "lower";
    }
    if (suite_rank() == 0) {
        tiny_numbers(file, "obs/in_tissue", H5T_NATIVE_INT64, 1, TINY_SPOTS, 1, tissue);
        tiny_numbers(file, "obs/halves", H5T_NATIVE_INT64, 1, TINY_SPOTS, 1, halves);
        tiny_numbers(file, "obs/columns", H5T_NATIVE_INT64, 1, TINY_SPOTS, 1, columns);
        tiny_numbers(file, "obs/many", H5T_NATIVE_DOUBLE, 1, TINY_SPOTS, 1, many);
        tiny_numbers(file, "obs/nothing", H5T_NATIVE_DOUBLE, 1, TINY_SPOTS, 1, nothing);
        tiny_numbers(file, "obs/batch", H5T_NATIVE_INT64, 1, TINY_SPOTS, 1, batch);
        tiny_numbers(file, "obs/noise", H5T_NATIVE_INT64, 1, TINY_SPOTS, 1, noise);
        tiny_texts(file, "obs/truth", TINY_SPOTS, truth, false);
    }
    tiny_close(file);
}

static void expect(const char *command, int expected, const char *const *parts)
{
    int code;
    char *output = child_shell(command, &code);
    for (int k = 0; parts[k] || code != expected; k++)
        if (code != expected || !strstr(output, parts[k]))
            fail_msg("%s\nexit code %d, expected %d; expected text: %s\n%s", command, code, expected, parts[k] ? parts[k] : "", output);
    free(output);
}

static void tables_hold_what_is_known_by_hand(void **state)
{
    (void)state;
    char path[600];
    snprintf(path, sizeof path, "%s/s.h5ad", scratch_folder());
    make_file(path);
    if (suite_size() > 1)
        return;
    /* the five columns against the halves: 29 spots, table 2 3 3 3 3 / 3 3 3 3 3 */
    expect("$M score $T/s.h5ad --labels halves,columns,noise --truth truth", 0,
           (const char *[]){"30 spots take part",
                            "  halves                              29       2   1.0000   1.0000   1.0000   1.0000   1.0000",
                            "  columns                             29       5",
                            "  [one label]                         29       1   0.0000   0.0000   0.0000   1.0000", "[positions alone]",
                            "spots by truth (rows) and halves\n                              10        20\n",
                            "upper                       14         0\n", "lower                        0        15\n",
                            "upper                        2         3         3         3         3\n", NULL});
    /* CHAOS: every spot has a like neighbour in the row above or below: 1 / sd of 1 .. 6 over 30 spots = sqrt(29 / 30 x 12 / 35) = 0.5757 */
    expect("mpirun -n 3 $M score $T/s.h5ad --labels halves --coherence-k 5", 0,
           (const char *[]){"share of the 5 nearest spots", " 0.5000   0.5757 ",
                            "  [one label]                         30       1   1.0000   1.0000   0.5757   0.0000      nan", NULL});
    expect("$M score $T/s.h5ad --labels columns --truth halves --section batch", 0,
           (const char *[]){"neighbours lie in one section", "against halves, 0\n", "against halves, 1\n", "in space, 1\n",
                            "  columns                             12       2", "  columns                             18       5", NULL});
    expect("$M simulate --rows 12 --cols 13 --genes 16 -o $T/simulated.h5ad -q && $M score $T/simulated.h5ad --labels domain", 0,
           (const char *[]){"  domain ", "[positions alone]", NULL}); /* its layers/truth is left out like its counts */
}

static void columns_that_cannot_be_scored(void **state)
{
    (void)state;
    if (suite_size() > 1)
        return;
    expect("$M score $T/s.h5ad --truth truth", 64, (const char *[]){"no column is named; --labels COLUMN", NULL});
    expect("$M score $T/s.h5ad --labels halve", 64,
           (const char *[]){"there is no column obs/halve that could label spots; there are: ", "halves", "truth", NULL});
    expect("$M score $T/s.h5ad --labels many", 64, (const char *[]){"obs/many does not name groups", NULL});
    expect("mpirun -n 2 $M score $T/s.h5ad --labels nothing", 65, (const char *[]){"obs/nothing labels none of the 30 spots", NULL});
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(tables_hold_what_is_known_by_hand),
                                       cmocka_unit_test(columns_that_cannot_be_scored)};
    SUITE(argc, argv, tests);
}
