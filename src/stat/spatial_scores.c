/* Coherence, PAS and Moran's I are counts over the lists of nearest spots; CHAOS searches the nearest spot of the same label.
 *
 * With p = n_k / N and E edges i -> j, the sum of Moran's I for the indicator z of label k is one of counts:
 *   sum_ij (z_i - p)(z_j - p) = both_k - p (out_k + in_k) + p^2 E;   sum_i z_i^2 = n_k (1 - p) */
#include "monge/spatial_scores.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/agree.h"
#include "monge/cell_list.h"
#include "monge/exact_sum.h"
#include "monge/labels.h"

struct spatial_scores_options spatial_scores_defaults(void)
{
    return (struct spatial_scores_options){.coherence_k = 6, .pas_k = 10, .moran_k = 6};
}

int spatial_scores_reach(const struct spatial_scores_options *options)
{
    int most = options->coherence_k > options->pas_k ? options->coherence_k : options->pas_k;
    return most > options->moran_k ? most : options->moran_k;
}

/* ---- counts over lists ---- */

struct list_counts {
    int64_t pairs, same;      /* of the coherence lists */
    int64_t odd;              /* spots whose list mostly has other labels */
    int64_t edges;            /* of Moran's graph */
    int64_t *both, *out, *in; /* k each: edges inside a label, out of it, into it */
};

/* Number of the first `most` neighbours, and of those with this label. */
static int count_same(const int32_t *neighbour, int most, const int32_t *all, int32_t label, int *same)
{
    int n = 0;
    *same = 0;
    for (; n < most && neighbour[n] >= 0; n++)
        *same += all[neighbour[n]] == label;
    return n;
}

static void count_lists(const struct nearest_spots *spots, const int32_t *all, const struct spatial_scores_options *options,
                        struct list_counts *counts)
{
    for (int64_t i = 0; i < spots->rows->n_own; i++) {
        const int32_t *neighbour = spots->neighbour + i * spots->k;
        int32_t label = all[spots->rows->first + i];
        int n, same;
        if (label < 0)
            continue;
        counts->pairs += count_same(neighbour, options->coherence_k, all, label, &same);
        counts->same += same;
        n = count_same(neighbour, options->pas_k, all, label, &same);
        counts->odd += 2 * (n - same) > n;
        n = count_same(neighbour, options->moran_k, all, label, &same);
        counts->edges += n;
        counts->out[label] += n;
        counts->both[label] += same;
        for (int j = 0; j < n; j++)
            counts->in[all[neighbour[j]]]++;
    }
}

/* Collective. Adds the counts of all ranks; both, out and in lie behind each other. */
static void add_counts(struct list_counts *counts, int k, MPI_Comm comm)
{
    int64_t sums[] = {counts->pairs, counts->same, counts->odd, counts->edges};
    MPI_Allreduce(MPI_IN_PLACE, sums, 4, MPI_INT64_T, MPI_SUM, comm);
    MPI_Allreduce(MPI_IN_PLACE, counts->both, 3 * k, MPI_INT64_T, MPI_SUM, comm);
    counts->pairs = sums[0];
    counts->same = sums[1];
    counts->odd = sums[2];
    counts->edges = sums[3];
}

static double moran_of_label(const struct list_counts *counts, int label, int64_t size, int64_t n)
{
    double share = (double)size / (double)n, square = (double)size * (1.0 - share), edges = (double)counts->edges;
    double sum = (double)counts->both[label] - share * (double)(counts->out[label] + counts->in[label]) + share * share * edges;
    return size == 0 || size == n || counts->edges == 0 ? NAN : (double)n / edges * sum / square;
}

/* ---- CHAOS ---- */

/* Labelled rows by part and label, with their scaled positions. */
struct label_groups {
    int n_groups;
    int64_t *start; /* n_groups + 1 */
    int64_t *row;
    double *x, *y;
};

static void groups_free(struct label_groups *groups)
{
    free(groups->start);
    free(groups->row);
    free(groups->x);
    free(groups->y);
}

static status groups_new(struct label_groups *groups, int64_t n, const double *x, const double *y, const int32_t *part, int k,
                         const int32_t *all)
{
    int n_parts = 1;
    for (int64_t i = 0; i < n && part; i++)
        n_parts = part[i] >= n_parts ? part[i] + 1 : n_parts;
    groups->n_groups = n_parts * k;
    int64_t *start = groups->start = calloc((size_t)groups->n_groups + 2, sizeof *start);
    groups->row = malloc((size_t)(n + 1) * sizeof *groups->row);
    groups->x = malloc((size_t)(n + 1) * sizeof *groups->x);
    groups->y = malloc((size_t)(n + 1) * sizeof *groups->y);
    if (!start || !groups->row || !groups->x || !groups->y)
        return error_memory("spots by label", 24.0 * (double)n);
    for (int64_t i = 0; i < n; i++)
        if (all[i] >= 0)
            start[(part ? part[i] : 0) * k + all[i] + 2]++;
    for (int g = 0; g < groups->n_groups; g++)
        start[g + 2] += start[g + 1];
    for (int64_t i = 0; i < n; i++) {
        if (all[i] < 0)
            continue;
        int64_t at = start[(part ? part[i] : 0) * k + all[i] + 1]++;
        groups->row[at] = i;
        groups->x[at] = x[i];
        groups->y[at] = y[i];
    }
    return MONGE_OK;
}

/* Mean 0 and standard deviation 1 (n - 1); coordinates that do not vary become 0. */
static void standardise(int64_t n, double *value)
{
    double mean = 0.0, square = 0.0;
    for (int64_t i = 0; i < n; i++)
        mean += value[i] / (double)n;
    for (int64_t i = 0; i < n; i++)
        square += (value[i] - mean) * (value[i] - mean);
    double deviation = n > 1 ? sqrt(square / (double)(n - 1)) : 0.0;
    for (int64_t i = 0; i < n; i++)
        value[i] = deviation > 0.0 ? (value[i] - mean) / deviation : 0.0;
}

/* Adds the distances of own rows of a group to the nearest other of the group; none of a single one. */
static status add_nearest(struct exact *sum, const struct partition *rows, int64_t n, const int64_t *row, const double *x, const double *y)
{
    double left = INFINITY, right = -INFINITY, top = INFINITY, bottom = -INFINITY;
    for (int64_t i = 0; i < n; i++) {
        left = fmin(left, x[i]);
        right = fmax(right, x[i]);
        top = fmin(top, y[i]);
        bottom = fmax(bottom, y[i]);
    }
    if (n < 2)
        return MONGE_OK;
    struct cell_list cells;
    double side = fmax(sqrt(2.0 * (right - left) * (bottom - top) / (double)n), 2.0 * fmax(right - left, bottom - top) / (double)n);
    status s = cell_list_new(&cells, n, x, y, side);
    for (int64_t i = 0; i < n && s == MONGE_OK; i++)
        if (row[i] >= rows->first && row[i] < rows->first + rows->n_own)
            exact_add(sum, cell_list_nearest(&cells, i));
    if (s == MONGE_OK)
        cell_list_free(&cells);
    return s;
}

/* Collective. n: labelled rows. */
static status chaos(const struct partition *rows, const double *x, const double *y, const int32_t *part, int k, const int32_t *all,
                    int64_t n, double *result)
{
    struct label_groups groups = {0};
    struct exact sum = {0};
    status s = groups_new(&groups, rows->n, x, y, part, k, all);
    for (int g = 0; g < groups.n_groups && s == MONGE_OK; g += k) {
        standardise(groups.start[g + k] - groups.start[g], groups.x + groups.start[g]);
        standardise(groups.start[g + k] - groups.start[g], groups.y + groups.start[g]);
    }
    for (int g = 0; g < groups.n_groups && s == MONGE_OK; g++) {
        int64_t first = groups.start[g];
        s = add_nearest(&sum, rows, groups.start[g + 1] - first, groups.row + first, groups.x + first, groups.y + first);
    }
    groups_free(&groups);
    s = agree(rows->comm, s);
    if (s == MONGE_OK) {
        exact_allreduce(&sum, 1, rows->comm);
        *result = exact_value(&sum) / (double)n;
    }
    return s;
}

/* ---- all of them ---- */

/* Numbers of rows of each label, which every rank counts for itself. */
static void count_labels(int64_t n, const int32_t *all, int k, int64_t *size, struct spatial_scores *scores)
{
    memset(size, 0, (size_t)k * sizeof *size);
    for (int64_t i = 0; i < n; i++)
        if (all[i] >= 0) {
            size[all[i]]++;
            scores->n++;
        }
    for (int c = 0; c < k; c++) {
        double share = (double)size[c] / (double)scores->n;
        scores->n_labels += size[c] > 0;
        scores->coherence_chance += share * share;
    }
}

static void put_scores(struct spatial_scores *scores, const struct list_counts *counts, int k, const int64_t *size, double *moran)
{
    double sum = 0.0;
    int defined = 0;
    scores->coherence = (double)counts->same / (double)counts->pairs;
    scores->pas = (double)counts->odd / (double)scores->n;
    for (int c = 0; c < k; c++) {
        double index = moran_of_label(counts, c, size[c], scores->n);
        if (moran)
            moran[c] = index;
        sum += isnan(index) ? 0.0 : index;
        defined += !isnan(index);
    }
    scores->moran_mean = defined ? sum / defined : NAN;
}

static status check(const struct nearest_spots *spots, int k, const int32_t *label, const struct spatial_scores_options *options)
{
    const struct partition *rows = spots->rows;
    if (options->coherence_k < 1 || options->pas_k < 1 || options->moran_k < 1 || spatial_scores_reach(options) > spots->k)
        return error_set(MONGE_USAGE, "scores over %d, %d and %d nearest spots; numbers must be from 1 to %d", options->coherence_k,
                         options->pas_k, options->moran_k, spots->k);
    for (int64_t i = 0; i < rows->n_own; i++)
        if (label[i] >= k)
            return error_set(MONGE_INTERNAL, "label %d of spot %lld is not below the number of labels, %d", label[i],
                             (long long)(rows->first + i), k);
    return MONGE_OK;
}

status spatial_scores(const struct nearest_spots *spots, const double *x, const double *y, const int32_t *part, int k, const int32_t *label,
                      const struct spatial_scores_options *options, struct spatial_scores *scores, double *moran)
{
    const struct partition *rows = spots->rows;
    memset(scores, 0, sizeof *scores);
    int32_t *all = malloc((size_t)(rows->n + 1) * sizeof *all);
    int64_t *size = malloc((size_t)(k + 1) * sizeof *size), *edges = calloc(3 * (size_t)k + 1, sizeof *edges);
    status s = all && size && edges ? check(spots, k, label, options) : error_memory("labels of all spots", 4.0 * (double)rows->n);
    s = agree(rows->comm, s);
    if (s == MONGE_OK)
        s = labels_gather(rows, label, all);
    if (s == MONGE_OK) {
        count_labels(rows->n, all, k, size, scores);
        if (scores->n == 0)
            s = error_set(MONGE_BAD_DATA, "no spot has a label: there is nothing to score");
    }
    if (s == MONGE_OK) {
        struct list_counts counts = {.both = edges, .out = edges + k, .in = edges + 2 * k};
        count_lists(spots, all, options, &counts);
        add_counts(&counts, k, rows->comm);
        put_scores(scores, &counts, k, size, moran);
        s = chaos(rows, x, y, part, k, all, scores->n, &scores->chaos);
    }
    free(all);
    free(size);
    free(edges);
    return s;
}

status spatial_scores_of(const struct partition *rows, const double *x, const double *y, const int32_t *part, int k, const int32_t *label,
                         const struct spatial_scores_options *options, struct spatial_scores *scores, double *moran)
{
    int32_t *all = malloc((size_t)(rows->n + 1) * sizeof *all);
    uint8_t *used = malloc((size_t)rows->n + 1);
    struct nearest_spots spots = {0};
    memset(scores, 0, sizeof *scores);
    status s = agree(rows->comm, all && used ? MONGE_OK : error_memory("labels of all spots", 5.0 * (double)rows->n));
    if (s == MONGE_OK)
        s = labels_gather(rows, label, all);
    for (int64_t i = 0; i < rows->n && s == MONGE_OK; i++)
        used[i] = all[i] >= 0;
    free(all);
    if (s == MONGE_OK)
        s = nearest_spots_new(&spots, rows, x, y, part, used, spatial_scores_reach(options));
    free(used);
    if (s == MONGE_OK)
        s = spatial_scores(&spots, x, y, part, k, label, options, scores, moran);
    nearest_spots_free(&spots);
    return s;
}
