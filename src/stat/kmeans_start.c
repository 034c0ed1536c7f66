/* One start of k-means: centres by k-means++, then Lloyd's rounds.
 *
 * Distances of a block of rows to all centres are one matrix product: |x - c|^2 = |x|^2 - 2 (x.c - |c|^2 / 2); rows are centred, so that little
 * cancels. The distances of k-means++ are differences instead: exactly 0 for equal rows, which tells when there are not enough distinct ones. */
#include "kmeans_start.h"

#include <cblas.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "monge/agree.h"
#include "monge/rng.h"

void kmeans_work_free(struct kmeans_work *work)
{
    free(work->square);
    free(work->distance);
    free(work->product);
    free(work->half_norm);
    free(work->total);
    free(work->label);
    free(work->centre);
    block_sums_free(&work->sums);
    memset(work, 0, sizeof *work);
}

/* |a - b|^2 in an order fixed by n */
static double squared_distance(int n, const double *a, const double *b)
{
    double lane[4] = {0.0}, sum = 0.0;
    int c = 0;
    for (; c + 4 <= n; c += 4)
        for (int l = 0; l < 4; l++)
            lane[l] += (a[c + l] - b[c + l]) * (a[c + l] - b[c + l]);
    for (; c < n; c++)
        sum += (a[c] - b[c]) * (a[c] - b[c]);
    return ((lane[0] + lane[2]) + (lane[1] + lane[3])) + sum;
}

status kmeans_work_new(struct kmeans_work *work, const struct centred_rows *x, const struct kmeans_options *options)
{
    *work = (struct kmeans_work){.x = x, .options = *options};
    if (options->k < 1 || options->n_init < 1)
        return error_set(MONGE_USAGE, "%d clusters from %d starts; both must be at least 1", options->k, options->n_init);
    size_t n = (size_t)x->rows->n_own + 1, k = (size_t)options->k, columns = (size_t)x->columns;
    work->square = malloc(n * sizeof *work->square);
    work->distance = malloc(n * sizeof *work->distance);
    work->label = malloc(n * sizeof *work->label);
    work->product = malloc(((size_t)x->most * k + 1) * sizeof *work->product);
    work->half_norm = calloc(k, sizeof *work->half_norm);
    work->centre = calloc(k * columns, sizeof *work->centre);
    work->total = calloc(k * (columns + 1) + 2, sizeof *work->total);
    bool enough = work->square && work->distance && work->label && work->product && work->half_norm && work->centre && work->total;
    status s = enough ? MONGE_OK : error_memory("k-means", 20.0 * (double)n);
    if (s == MONGE_OK)
        s = block_sums_new(&work->sums, options->k * (x->columns + 1) + 2);
    s = agree(x->rows->comm, s);
    if (s != MONGE_OK) {
        kmeans_work_free(work);
        return s;
    }
    for (int64_t i = 0; i < x->rows->n_own; i++) {
        const double *row = x->value + i * x->columns;
        work->square[i] = cblas_ddot(x->columns, row, 1, row, 1);
    }
    return MONGE_OK;
}

/* ---- k-means++ ---- */

/* Collective. The row of the smallest key of all ranks, the smaller row on a tie; -1 if all keys are infinite. */
static int64_t least_row(MPI_Comm comm, double key, int64_t row)
{
    double least = key;
    MPI_Allreduce(MPI_IN_PLACE, &least, 1, MPI_DOUBLE, MPI_MIN, comm);
    if (!(key == least) || isinf(key))
        row = INT64_MAX;
    MPI_Allreduce(MPI_IN_PLACE, &row, 1, MPI_INT64_T, MPI_MIN, comm);
    return row == INT64_MAX ? -1 : row;
}

/* Collective. centre [columns] = that row. */
static void take_row(const struct centred_rows *x, int64_t row, double *centre)
{
    int owner = partition_owner(x->rows, row);
    if (owner == x->rows->rank)
        memcpy(centre, x->value + (row - x->rows->first) * x->columns, (size_t)x->columns * sizeof *centre);
    MPI_Bcast(centre, x->columns, MPI_DOUBLE, owner, x->rows->comm);
}

/* The race of the next centre: rows run with speed `distance`. */
static int64_t race(const struct kmeans_work *work, int draw)
{
    const struct partition *rows = work->x->rows;
    double least = INFINITY;
    int64_t winner = -1;
    for (int64_t i = 0; i < rows->n_own; i++) {
        if (!(work->distance[i] > 0.0))
            continue;
        struct rng rng = rng_start(work->options.seed, RNG_KMEANS_ROW, (uint64_t)(rows->first + i));
        rng.b = (uint64_t)draw;
        double key = -log(rng_uniform(&rng)) / work->distance[i];
        if (key < least) {
            least = key;
            winner = rows->first + i;
        }
    }
    return least_row(rows->comm, least, winner);
}

static status choose_centres(struct kmeans_work *work, int start)
{
    const struct centred_rows *x = work->x;
    const int k = work->options.k;
    for (int64_t i = 0; i < x->rows->n_own; i++)
        work->distance[i] = 1.0;
    for (int c = 0; c < k; c++) {
        double *centre = work->centre + (int64_t)c * x->columns;
        int64_t row = race(work, start * k + c);
        if (row < 0)
            return error_set(MONGE_BAD_DATA,
                             "%d clusters are asked for, but the %lld rows have only %d distinct values; ask for %d at most", k,
                             (long long)x->rows->n, c, c);
        take_row(x, row, centre);
        for (int64_t i = 0; i < x->rows->n_own; i++) {
            double d = squared_distance(x->columns, x->value + i * x->columns, centre);
            work->distance[i] = c == 0 || d < work->distance[i] ? d : work->distance[i];
        }
    }
    return MONGE_OK;
}

/* ---- Lloyd ---- */

/* Where the sums stand. */
static int size_at(const struct kmeans_work *work, int c)
{
    return work->options.k * work->x->columns + c;
}

static int inertia_at(const struct kmeans_work *work)
{
    return size_at(work, work->options.k);
}

static int changed_at(const struct kmeans_work *work)
{
    return inertia_at(work) + 1;
}

/* Gives the rows of a block to their nearest centres and adds them to the sums. product [count x k] = x.c - |c|^2 / 2 */
static void assign_block(struct kmeans_work *work, int64_t first, int64_t count)
{
    const struct centred_rows *x = work->x;
    const int k = work->options.k, columns = x->columns;
    double *portion = work->sums.portion, inertia = 0.0;
    int64_t changed = 0;
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)count, k, columns, 1.0, x->value + first * columns, columns, work->centre,
                columns, 0.0, work->product, k);
    for (int64_t i = 0; i < count; i++) {
        const double *product = work->product + i * k, *row = x->value + (first + i) * columns;
        double most = product[0] - work->half_norm[0];
        int32_t nearest = 0;
        for (int c = 1; c < k; c++) {
            double closeness = product[c] - work->half_norm[c];
            nearest = closeness > most ? c : nearest;
            most = closeness > most ? closeness : most;
        }
        double d = fmax(work->square[first + i] - 2.0 * most, 0.0);
        work->distance[first + i] = d;
        inertia += d;
        changed += nearest != work->label[first + i];
        work->label[first + i] = nearest;
        double *sum = portion + (int64_t)nearest * columns;
        for (int c = 0; c < columns; c++)
            sum[c] += row[c];
        portion[size_at(work, nearest)] += 1.0;
    }
    portion[inertia_at(work)] += inertia;
    portion[changed_at(work)] += (double)changed;
}

/* Collective. All rows to their nearest centres; work->total: sums of the rows of each cluster, sizes, inertia, rows that changed. */
static void assign(struct kmeans_work *work)
{
    const struct partition *rows = work->x->rows;
    for (int c = 0; c < work->options.k; c++) {
        const double *centre = work->centre + (int64_t)c * work->x->columns;
        work->half_norm[c] = 0.5 * cblas_ddot(work->x->columns, centre, 1, centre, 1);
    }
    block_sums_clear(&work->sums);
    for (int64_t b = rows->first_block; b < rows->end_block; b++) {
        int64_t count, first = centred_rows_block(work->x, b, &count);
        assign_block(work, first, count);
        block_sums_add(&work->sums);
    }
    block_sums_total(&work->sums, rows->comm, work->total);
    work->inertia = work->total[inertia_at(work)];
}

/* Collective. The row farthest from its centre becomes the centre of an empty cluster; it is not taken twice. */
static void refill(struct kmeans_work *work, double *centre)
{
    const struct partition *rows = work->x->rows;
    double most = -1.0;
    int64_t farthest = -1;
    for (int64_t i = 0; i < rows->n_own; i++)
        if (work->distance[i] > most) {
            most = work->distance[i];
            farthest = rows->first + i;
        }
    int64_t row = least_row(rows->comm, farthest < 0 ? (double)INFINITY : -most, farthest);
    take_row(work->x, row, centre);
    if (row >= rows->first && row < rows->first + rows->n_own)
        work->distance[row - rows->first] = 0.0;
}

/* Collective. Centres move to the means of their rows; returns the sum of their squared moves. */
static double move_centres(struct kmeans_work *work)
{
    const int columns = work->x->columns;
    double moved = 0.0;
    for (int c = 0; c < work->options.k; c++) {
        double *centre = work->centre + (int64_t)c * columns, size = work->total[size_at(work, c)];
        if (!(size > 0.0)) {
            refill(work, centre);
            moved = INFINITY;
            continue;
        }
        for (int j = 0; j < columns; j++) {
            double mean = work->total[(int64_t)c * columns + j] / size, move = mean - centre[j];
            moved += move * move;
            centre[j] = mean;
        }
    }
    return moved;
}

status kmeans_start(struct kmeans_work *work, int start)
{
    status s = choose_centres(work, start);
    if (s != MONGE_OK)
        return s;
    for (int64_t i = 0; i < work->x->rows->n_own; i++)
        work->label[i] = -1;
    assign(work);
    double moved = INFINITY, still = work->options.tolerance * work->x->variance;
    for (work->iterations = 0; work->iterations < work->options.max_iterations; work->iterations++) {
        if (work->total[changed_at(work)] == 0.0 || moved <= still)
            break;
        moved = move_centres(work);
        assign(work);
    }
    return MONGE_OK;
}
