/* Numbering, gathering, refinement of labels; agreement of runs. */
#include "monge/labels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/agree.h"
#include "monge/label_scores.h"

/* ---- numbering ---- */

struct label_group {
    int64_t size, first; /* rows, smallest row */
    int32_t label;
};

static int larger(const void *a, const void *b)
{
    const struct label_group *p = a, *q = b;
    if (p->size != q->size)
        return p->size > q->size ? -1 : 1;
    if (p->first != q->first)
        return p->first < q->first ? -1 : 1;
    return p->label < q->label ? -1 : 1;
}

/* Collective. groups [k], by falling size. count [2 k]: scratch */
static void find_groups(const struct partition *rows, int k, const int32_t *label, struct label_group *groups, int64_t *count)
{
    int64_t *first = count + k;
    for (int c = 0; c < k; c++) {
        count[c] = 0;
        first[c] = INT64_MAX;
    }
    for (int64_t i = rows->n_own - 1; i >= 0; i--)
        if (label[i] >= 0) {
            count[label[i]]++;
            first[label[i]] = rows->first + i;
        }
    MPI_Allreduce(MPI_IN_PLACE, count, k, MPI_INT64_T, MPI_SUM, rows->comm);
    MPI_Allreduce(MPI_IN_PLACE, first, k, MPI_INT64_T, MPI_MIN, rows->comm);
    for (int c = 0; c < k; c++)
        groups[c] = (struct label_group){count[c], first[c], c};
    qsort(groups, (size_t)k, sizeof *groups, larger);
}

static status check_labels(const struct partition *rows, int k, const int32_t *label)
{
    for (int64_t i = 0; i < rows->n_own; i++)
        if (label[i] >= k)
            return error_set(MONGE_INTERNAL, "label %d of row %lld is not below the number of labels, %d", label[i],
                             (long long)(rows->first + i), k);
    return MONGE_OK;
}

status labels_renumber(const struct partition *rows, int k, int32_t *label, int32_t *order, int64_t *size)
{
    struct label_group *groups = malloc((size_t)(k + 1) * sizeof *groups);
    int64_t *count = malloc((size_t)(2 * k + 1) * sizeof *count);
    int32_t *renamed = malloc((size_t)(k + 1) * sizeof *renamed);
    status s = groups && count && renamed ? check_labels(rows, k, label) : error_memory("numbers of labels", 44.0 * k);
    s = agree(rows->comm, s);
    if (s == MONGE_OK) {
        find_groups(rows, k, label, groups, count);
        for (int c = 0; c < k; c++) {
            renamed[groups[c].label] = c;
            if (order)
                order[c] = groups[c].label;
            if (size)
                size[c] = groups[c].size;
        }
        for (int64_t i = 0; i < rows->n_own; i++)
            label[i] = label[i] < 0 ? label[i] : renamed[label[i]];
    }
    free(groups);
    free(count);
    free(renamed);
    return s;
}

status labels_gather(const struct partition *rows, const int32_t *label, int32_t *all)
{
    int *count = malloc(2 * (size_t)rows->size * sizeof *count);
    status s = agree(rows->comm, count ? MONGE_OK : error_memory("labels of all rows", 8.0 * rows->size));
    if (s == MONGE_OK) {
        int *start = count + rows->size;
        for (int r = 0; r < rows->size; r++) {
            start[r] = (int)rows->block_start[rows->rank_block[r]];
            count[r] = (int)(rows->block_start[rows->rank_block[r + 1]] - rows->block_start[rows->rank_block[r]]);
        }
        MPI_Allgatherv(label, (int)rows->n_own, MPI_INT32_T, all, count, start, MPI_INT32_T, rows->comm);
    }
    free(count);
    return s;
}

/* ---- refinement ---- */

/* The label that most neighbours have, the first met on a tie; `own` if none has one. votes [k]: zero before and after. */
static int32_t majority(int r, const int32_t *neighbour, const int32_t *all, int32_t own, int *votes)
{
    int32_t winner = own;
    int most = 0, n = 0;
    while (n < r && neighbour[n] >= 0)
        n++;
    for (int j = 0; j < n; j++)
        if (all[neighbour[j]] >= 0)
            votes[all[neighbour[j]]]++;
    for (int j = 0; j < n; j++)
        if (all[neighbour[j]] >= 0 && votes[all[neighbour[j]]] > most) {
            winner = all[neighbour[j]];
            most = votes[winner];
        }
    for (int j = 0; j < n; j++)
        if (all[neighbour[j]] >= 0)
            votes[all[neighbour[j]]] = 0;
    return winner;
}

status labels_refine(const struct nearest_spots *spots, int r, int k, const int32_t *label, int32_t *refined)
{
    const struct partition *rows = spots->rows;
    int32_t *all = malloc(((size_t)rows->n + 1) * sizeof *all);
    int *votes = calloc((size_t)k + 1, sizeof *votes);
    status s = all && votes ? check_labels(rows, k, label) : error_memory("labels of all rows", 4.0 * (double)rows->n);
    if (s == MONGE_OK && (r < 1 || r > spots->k))
        s = error_set(MONGE_USAGE, "refinement by the %d nearest spots; it must be from 1 to %d", r, spots->k);
    s = agree(rows->comm, s);
    if (s == MONGE_OK)
        s = labels_gather(rows, label, all);
    for (int64_t i = 0; i < rows->n_own && s == MONGE_OK; i++)
        refined[i] = label[i] < 0 ? label[i] : majority(r, spots->neighbour + i * spots->k, all, label[i], votes);
    free(all);
    free(votes);
    return s;
}

/* ---- agreement of runs ---- */

status seed_stability(const struct partition *rows, int runs, int k, const int32_t *label, struct seed_stability *stability)
{
    double sum = 0.0, squares = 0.0, pairs = 0.5 * runs * (runs - 1);
    *stability = (struct seed_stability){.runs = runs, .mean = NAN, .sd = NAN, .least = NAN};
    for (int a = 0; a < runs; a++)
        for (int b = 0; b < a; b++) {
            struct label_agreement agreement;
            status s = label_agreement(rows->comm, rows->n_own, label + a * rows->n_own, k, label + b * rows->n_own, k, &agreement);
            if (s != MONGE_OK)
                return s;
            sum += agreement.ari;
            squares += agreement.ari * agreement.ari;
            stability->least = fmin(stability->least, agreement.ari);
        }
    if (runs > 1)
        stability->mean = sum / pairs;
    if (pairs > 1.0)
        stability->sd = sqrt(fmax(squares - sum * sum / pairs, 0.0) / (pairs - 1.0));
    return MONGE_OK;
}
