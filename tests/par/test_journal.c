/* The journal: entries come back in order and length, a wrong length ends it, ranks agree. */
#include <string.h>

#include "monge/journal.h"
#include "support/suite.h"

static status count(void *calls)
{
    ++*(int *)calls;
    return MONGE_OK;
}

/* Entries of 0, 1, 2 .. values. */
static void fill(struct journal *journal, int n)
{
    for (int k = 0; k < n; k++) {
        double values[64];
        for (int i = 0; i < k; i++)
            values[i] = 1.0 / (1 + k + 100 * i);
        assert_false(journal_recall(journal, k, values));
        assert_int_equal(journal_note(journal, k, values), MONGE_OK);
    }
}

static void recall(struct journal *journal, int n)
{
    for (int k = 0; k < n; k++) {
        double values[64];
        assert_true(journal_recall(journal, k, values));
        for (int i = 0; i < k; i++)
            assert_true(values[i] == 1.0 / (1 + k + 100 * i));
    }
}

static void entries_come_back_in_order(void **state)
{
    (void)state;
    int calls = 0;
    struct journal journal = {.comm = MPI_COMM_WORLD, .after_note = count, .context = &calls}, copy = {.comm = MPI_COMM_WORLD};
    fill(&journal, 40);
    assert_true(calls == 40 && journal.noted == 40 && journal.recalled == 0);
    double *word = journal_refill(&copy, journal.n);
    assert_non_null(word);
    memcpy(word, journal.word, (size_t)journal.n * sizeof *word);
    recall(&copy, 40);
    double one = 5.0;
    assert_false(journal_recall(&copy, 1, &one)); /* the end: what follows is new */
    assert_int_equal(journal_note(&copy, 1, &one), MONGE_OK);
    assert_true(copy.recalled == 40 && copy.noted == 1 && copy.n == journal.n + 2);
    journal_clear(&journal);
    journal_clear(&copy);
    assert_true(journal_recall(NULL, 1, &one) == false && journal_note(NULL, 1, &one) == MONGE_OK);
}

/* Another computation than the one that was noted: nothing of it is believed from there on. */
static void another_length_ends_it(void **state)
{
    (void)state;
    struct journal journal = {.comm = MPI_COMM_WORLD};
    double values[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    fill(&journal, 8);
    journal.at = 0;
    recall(&journal, 5);
    assert_false(journal_recall(&journal, 6, values));
    assert_int_equal(journal_note(&journal, 6, values), MONGE_OK);
    assert_true(journal.n == 5 + 0 + 1 + 2 + 3 + 4 + 7 && !journal_recall(&journal, 6, values));
    journal_clear(&journal);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(entries_come_back_in_order), cmocka_unit_test(another_length_ends_it)};
    SUITE(argc, argv, tests);
}
