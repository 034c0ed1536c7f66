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
    double halves[TINY_SPOTS], columns[TINY_SPOTS], many[TINY_SPOTS], nothing[TINY_SPOTS], batch[TINY_SPOTS], tissue[TINY_SPOTS];
    const char *truth[TINY_SPOTS];
    for (int i = 0; i < TINY_SPOTS; i++) {
        halves[i] = i / TINY_COLS < TINY_ROWS / 2 ? 10 : 20;
        columns[i] = i % TINY_COLS;
        many[i] = 0.5 * i;
        nothing[i] = NAN;
        batch[i] = i % TINY_COLS < 2;
        tissue[i] = 1;
        truth[i] = i == 0 ? "nan" : halves[i] < 15 ? "upper" : "lower";
    }
    if (suite_rank() == 0) {
        tiny_numbers(file, "obs/in_tissue", H5T_NATIVE_INT64, 1, TINY_SPOTS, 0, tissue);
        tiny_numbers(file, "obs/halves", H5T_NATIVE_INT64, 1, TINY_SPOTS, 0, halves);
        tiny_numbers(file, "obs/columns", H5T_NATIVE_INT64, 1, TINY_SPOTS, 0, columns);
        tiny_numbers(file, "obs/many", H5T_NATIVE_DOUBLE, 1, TINY_SPOTS, 0, many);
        tiny_numbers(file, "obs/nothing", H5T_NATIVE_DOUBLE, 1, TINY_SPOTS, 0, nothing);
        tiny_numbers(file, "obs/batch", H5T_NATIVE_INT64, 1, TINY_SPOTS, 0, batch);
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
    expect("$M score $T/s.h5ad --labels halves,columns --truth truth", 0,
           (const char *[]){"30 spots take part",
                            "  halves                              29       2   1.0000   1.0000   1.0000   1.0000   1.0000",
                            "  columns                             29       5",
                            "  [one label]                         29       1   0.0000   0.0000   0.0000   1.0000", "[positions alone]",
                            "spots by truth (rows) and halves\n                              10        20\n",
                            "upper                       14         0\n", "lower                        0        15\n",
                            "upper                        2         3         3         3         3\n", NULL});
    /* 5 x 5 nearest in space: rows of 3 + 3; chance 1/2; every spot has a like neighbour at the same distance */
    expect("$M score $T/s.h5ad --labels halves --coherence-k 1 --pas-k 1", 0,
           (const char *[]){"  halves                              30       2   1.0000   0.5000", "0.0000", NULL});
    expect("$M score $T/s.h5ad --labels columns --truth halves --section batch", 0,
           (const char *[]){"neighbours lie in one section", "against halves, 0\n", "against halves, 1\n", "in space, 1\n",
                            "  columns                             12       2", "  columns                             18       5", NULL});
    expect("$M score $T/s.h5ad --labels halves,columns --truth truth > $T/1; mpirun -n 3 $M score $T/s.h5ad --labels halves,columns "
           "--truth truth > $T/3; "
           "cmp $T/1 $T/3 && echo same",
           0, (const char *[]){"same", NULL});
    expect("$M help score", 0, (const char *[]){"--truth", "--section", "--pas-k", NULL});
}

static void columns_that_cannot_be_scored(void **state)
{
    (void)state;
    if (suite_size() > 1)
        return;
    expect("$M score $T/s.h5ad", 64, (const char *[]){"no column is named; --labels COLUMN", NULL});
    expect("$M score $T/s.h5ad --labels halve", 64,
           (const char *[]){"there is no column obs/halve that could label spots; there are: ", "halves", "truth", NULL});
    expect("$M score $T/s.h5ad --labels halves --truth wrong", 64, (const char *[]){"there is no column obs/wrong", NULL});
    expect("$M score $T/s.h5ad --labels many", 64, (const char *[]){"obs/many does not name groups", NULL});
    expect("mpirun -n 2 $M score $T/s.h5ad --labels nothing", 65, (const char *[]){"obs/nothing labels none of the 30 spots", NULL});
    expect("$M score $T/s.h5ad --labels halves --pas-k 0", 64, (const char *[]){"pas-k is 0, but must be from 1", NULL});
    expect("$M score $T/none.h5ad --labels a", 66, (const char *[]){"none.h5ad", NULL});
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(tables_hold_what_is_known_by_hand),
                                       cmocka_unit_test(columns_that_cannot_be_scored)};
    SUITE(argc, argv, tests);
}
