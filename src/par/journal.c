/* An array of words that is first read, then written on. */
#include "monge/journal.h"

#include <stdlib.h>
#include <string.h>

#include "monge/agree.h"

bool journal_recall(struct journal *journal, int64_t n, double *values)
{
    if (!journal || journal->at == journal->n)
        return false;
    const double *entry = journal->word + journal->at;
    if (entry[0] != (double)n || journal->n - journal->at < n + 1) {
        journal->n = journal->at;
        return false;
    }
    memcpy(values, entry + 1, (size_t)n * sizeof *values);
    journal->at += n + 1;
    journal->recalled++;
    return true;
}

static status reserve(struct journal *journal, int64_t n)
{
    if (n <= journal->capacity)
        return MONGE_OK;
    int64_t capacity = n < journal->capacity * 2 ? journal->capacity * 2 : n;
    double *more = realloc(journal->word, (size_t)capacity * sizeof *more);
    if (!more)
        return error_memory("results to go on from", 8.0 * (double)capacity);
    journal->word = more;
    journal->capacity = capacity;
    return MONGE_OK;
}

status journal_note(struct journal *journal, int64_t n, const double *values)
{
    if (!journal)
        return MONGE_OK;
    status fault = agree(journal->comm, reserve(journal, journal->n + n + 1));
    if (fault)
        return fault;
    journal->word[journal->n] = (double)n;
    memcpy(journal->word + journal->n + 1, values, (size_t)n * sizeof *values);
    journal->at = journal->n += n + 1;
    journal->noted++;
    return journal->after_note ? journal->after_note(journal->context) : MONGE_OK;
}

double *journal_refill(struct journal *journal, int64_t n)
{
    journal->n = journal->at = 0;
    if (reserve(journal, n) != MONGE_OK)
        return NULL;
    journal->n = n;
    return journal->word;
}

void journal_clear(struct journal *journal)
{
    free(journal->word);
    journal->word = NULL;
    journal->n = journal->capacity = journal->at = 0;
    journal->recalled = journal->noted = 0;
}
