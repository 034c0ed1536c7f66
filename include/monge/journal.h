/* Results of a long computation, noted in the order in which they come about, so that a run that was stopped goes through the same computation
 * again and meets what it had found without finding it anew. The computation must be deterministic: the k-th result depends on nothing but
 * those before it and the input.
 *
 *     if (journal_recall(journal, 1, &value))
 *         return MONGE_OK;
 *     ... compute value ...
 *     return journal_note(journal, 1, &value);
 *
 * Entries are doubles, the same on all ranks. Whoever owns the journal saves `word`, [0, n), and puts it back (step/correct_state.c). */
#ifndef MONGE_JOURNAL_H
#define MONGE_JOURNAL_H

#include <mpi.h>
#include <stdbool.h>
#include <stdint.h>

#include "monge/error.h"

struct journal {
    MPI_Comm comm;
    double *word; /* n: each entry's length, then its values; owned */
    int64_t n, capacity;
    int64_t at;                          /* first word that was not recalled yet; n: all were */
    int64_t recalled, noted;             /* entries, since it was cleared */
    status (*after_note)(void *context); /* NULL, or called collectively when an entry was noted (safe points) */
    void *context;
};

/* Local. The next entry, if there is one: true, and values [n] are set. One of another length ends the journal: it and what follows is
 * forgotten. journal NULL: false. */
bool journal_recall(struct journal *journal, int64_t n, double *values);
/* Collective over journal->comm. Adds an entry at the end, which must have been reached. journal NULL: nothing. */
status journal_note(struct journal *journal, int64_t n, const double *values);

/* Local: makes room for n words and returns it; they become the journal's, to be recalled from the start. NULL: out of memory. */
double *journal_refill(struct journal *journal, int64_t n);
/* Local. Forgets all entries and gives the memory back. */
void journal_clear(struct journal *journal);

#endif
