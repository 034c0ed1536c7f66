/* Nearest spots: the search of the k-nearest-neighbour graph, whose lists keep their order here. */
#include "monge/nearest_spots.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graph_parts.h"
#include "monge/agree.h"

void nearest_spots_free(struct nearest_spots *spots)
{
    free(spots->neighbour);
    memset(spots, 0, sizeof *spots);
}

/* The used rows, part by part, ascending within each. */
struct sorted_rows {
    int n_parts;
    int64_t *start; /* n_parts + 1 */
    int32_t *row;   /* start[n_parts] */
    double *x, *y;  /* of each of them */
};

static void sorted_free(struct sorted_rows *sorted)
{
    free(sorted->start);
    free(sorted->row);
    free(sorted->x);
    free(sorted->y);
}

static status sort_rows(struct sorted_rows *sorted, int64_t n, const double *x, const double *y, const int32_t *part, const uint8_t *used)
{
    sorted->n_parts = 1;
    for (int64_t i = 0; i < n && part; i++)
        sorted->n_parts = part[i] >= sorted->n_parts ? part[i] + 1 : sorted->n_parts;
    int64_t *start = sorted->start = calloc((size_t)sorted->n_parts + 2, sizeof *start);
    sorted->row = malloc((size_t)(n + 1) * sizeof *sorted->row);
    sorted->x = malloc((size_t)(n + 1) * sizeof *sorted->x);
    sorted->y = malloc((size_t)(n + 1) * sizeof *sorted->y);
    if (!start || !sorted->row || !sorted->x || !sorted->y)
        return error_memory("positions", 20.0 * (double)n);
    for (int64_t i = 0; i < n; i++)
        if (!used || used[i])
            start[(part ? part[i] : 0) + 2]++;
    for (int p = 0; p < sorted->n_parts; p++)
        start[p + 2] += start[p + 1];
    for (int64_t i = 0; i < n; i++) {
        if (used && !used[i])
            continue;
        int64_t at = start[(part ? part[i] : 0) + 1]++; /* ends as the first of the next part */
        sorted->row[at] = (int32_t)i;
        sorted->x[at] = x[i];
        sorted->y[at] = y[i];
        if (!isfinite(x[i]) || !isfinite(y[i]))
            return error_set(MONGE_BAD_DATA, "spot %lld lies at (%g, %g): no place for a neighbour search", (long long)i, x[i], y[i]);
    }
    return MONGE_OK;
}

static status search_part(struct nearest_spots *spots, const struct sorted_rows *sorted, int part)
{
    const struct partition *rows = spots->rows;
    int64_t first = sorted->start[part], n = sorted->start[part + 1] - first;
    struct cell_list cells = {0};
    struct nearest_search search = {0};
    status s = graph_cells(&cells, n, sorted->x + first, sorted->y + first);
    if (s == MONGE_OK)
        s = nearest_search_new(&search, &cells, spots->k, false);
    for (int64_t i = 0; i < n && s == MONGE_OK; i++) {
        int64_t own = sorted->row[first + i] - rows->first;
        if (own < 0 || own >= rows->n_own)
            continue;
        nearest_search_run(&search, i);
        for (int e = 0; e < search.found; e++)
            spots->neighbour[own * spots->k + e] = sorted->row[first + search.neighbour[e]];
    }
    nearest_search_free(&search);
    cell_list_free(&cells);
    return s;
}

status nearest_spots_new(struct nearest_spots *spots, const struct partition *rows, const double *x, const double *y, const int32_t *part,
                         const uint8_t *used, int k)
{
    *spots = (struct nearest_spots){.rows = rows, .k = k};
    if (k < 1 || rows->n > INT32_MAX)
        return error_set(MONGE_USAGE, "the %d nearest of %lld spots; at least 1 of at most 2^31", k, (long long)rows->n);
    struct sorted_rows sorted = {0};
    size_t n = (size_t)rows->n_own * (size_t)k;
    spots->neighbour = malloc((n + 1) * sizeof *spots->neighbour);
    status s = spots->neighbour ? sort_rows(&sorted, rows->n, x, y, part, used) : error_memory("nearest spots", 4.0 * (double)n);
    for (size_t e = 0; e < n && s == MONGE_OK; e++)
        spots->neighbour[e] = -1;
    for (int p = 0; p < sorted.n_parts && s == MONGE_OK; p++)
        s = search_part(spots, &sorted, p);
    sorted_free(&sorted);
    s = agree(rows->comm, s);
    if (s != MONGE_OK)
        nearest_spots_free(spots);
    return s;
}
