/* Size factors and log-normalisation of sparse rows. */
#include "monge/normalise.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void normalise_totals(const struct sparse_rows *counts, double *total)
{
    for (int64_t i = 0; i < counts->n_rows; i++) {
        total[i] = 0.0;
        for (int64_t k = counts->start[i]; k < counts->start[i + 1]; k++)
            total[i] += (double)counts->value[k];
    }
}

static float log_value(float count, double total, double target)
{
    return (float)log1p(target / total * (double)count);
}

/* Place of each column among the selected ones, -1: not selected; of columns up to the last selected. */
static status places(int n_selected, const int32_t *gene, int32_t *n_places, int32_t **place)
{
    *n_places = n_selected == 0 ? 0 : gene ? gene[n_selected - 1] + 1 : n_selected;
    *place = malloc(((size_t)*n_places + 1) * sizeof **place);
    if (!*place)
        return error_memory("selected genes", 4.0 * *n_places);
    for (int32_t g = 0; g < *n_places; g++)
        (*place)[g] = gene ? -1 : g;
    for (int f = 0; gene && f < n_selected; f++)
        (*place)[gene[f]] = f;
    return MONGE_OK;
}

status normalise_log(const struct sparse_rows *counts, const double *total, double target, int n_selected, const int32_t *gene,
                     struct sparse_rows *rows)
{
    int32_t n_places, *place;
    *rows = (struct sparse_rows){.n_rows = counts->n_rows, .start = calloc((size_t)counts->n_rows + 1, sizeof *rows->start)};
    status s = places(n_selected, gene, &n_places, &place);
    if (s == MONGE_OK && !rows->start)
        s = error_memory("log-normalised counts", 8.0 * (double)counts->n_rows);
    for (int64_t i = 0; i < counts->n_rows && s == MONGE_OK; i++) {
        rows->start[i + 1] = rows->start[i];
        for (int64_t k = counts->start[i]; k < counts->start[i + 1]; k++)
            rows->start[i + 1] += total[i] > 0.0 && counts->column[k] < n_places && place[counts->column[k]] >= 0;
    }
    size_t n = s == MONGE_OK ? (size_t)rows->start[rows->n_rows] + 1 : 1;
    rows->column = malloc(n * sizeof *rows->column);
    rows->value = malloc(n * sizeof *rows->value);
    if (s == MONGE_OK && !(rows->column && rows->value))
        s = error_memory("log-normalised counts", 8.0 * (double)n);
    int64_t at = 0;
    for (int64_t i = 0; i < counts->n_rows && s == MONGE_OK; i++)
        for (int64_t k = counts->start[i]; k < counts->start[i + 1]; k++)
            if (total[i] > 0.0 && counts->column[k] < n_places && place[counts->column[k]] >= 0) {
                rows->column[at] = place[counts->column[k]];
                rows->value[at++] = log_value(counts->value[k], total[i], target);
            }
    free(place);
    if (s != MONGE_OK)
        sparse_rows_free(rows);
    return s;
}
