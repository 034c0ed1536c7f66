/* The geometry of a sparse plan in low rank: C ~ U S U' on both slices gives C_A T C_B = U_A [S (U_A' T U_B) S] U_B', so that the whole
 * gradient needs one small matrix.
 *
 * The squares C_A^2 p and C_B^2 q are taken of the same approximation: GW is then a sum of squares of small differences, not a
 * difference of large sums, and the potentials of the transport problem need not carry the error of the approximation. */
#include <stdlib.h>
#include <string.h>

#include "fgw_sparse_parts.h"
#include "monge/agree.h"
#include "monge/exact_sum.h"

/* sum weight_i U_i' U_i over all sites, portions per block. Collective. */
static status spread(const struct partition *sites, int rank, const double *factor, const double *weight, double bound, double *total)
{
    size_t entries = (size_t)rank * (size_t)rank;
    struct array_sum sum;
    double *portion = malloc(entries * sizeof *portion);
    status s = portion ? array_sum_new(&sum, (int64_t)entries, bound) : error_memory("low-rank distances", 8.0 * (double)entries);
    s = agree(sites->comm, s);
    for (int64_t block = sites->first_block; s == MONGE_OK && block < sites->end_block; block++) {
        memset(portion, 0, entries * sizeof *portion);
        for (int64_t i = sites->block_start[block] - sites->first; i < sites->block_start[block + 1] - sites->first; i++)
            for (int a = 0; a < rank; a++)
                for (int b = 0; b < rank; b++)
                    portion[a * rank + b] = fused_inline(weight[i] * factor[i * rank + a], factor[i * rank + b], portion[a * rank + b]);
        array_sum_add(&sum, portion);
    }
    if (s == MONGE_OK)
        s = array_sum_finish(&sum, sites->comm, total);
    free(portion);
    return s;
}

/* u (S matrix S) u' */
static double quadratic(const struct landmark_distance *d, const double *matrix, const double *u)
{
    double sum = 0.0;
    for (int a = 0; a < d->rank; a++) {
        double row = 0.0;
        for (int b = 0; b < d->rank; b++)
            row = fused_inline(matrix[a * d->rank + b], d->weight[b] * u[b], row);
        sum = fused_inline(d->weight[a] * u[a], row, sum);
    }
    return sum;
}

static double largest_of(int64_t n, const double *x)
{
    double largest = 0.0;
    for (int64_t i = 0; i < n; i++)
        largest = fmax(largest, fabs(x[i]));
    return largest;
}

static status make_rows(struct geometry *g, const struct sparse_level *level, double *spread_a)
{
    int rank = g->distance->rank;
    int64_t n = level->rows.n_own;
    status s = spread(&level->rows, rank, g->factor_a, level->p + level->rows.first, g->bound, spread_a);
    for (int64_t i = 0; s == MONGE_OK && i < n; i++)
        g->square_a[i] = quadratic(g->distance, spread_a, g->factor_a + i * rank);
    return s;
}

static status fill_factors(struct geometry *g, int64_t n, const double *position)
{
    free(g->factor_b);
    free(g->square_b);
    g->factor_b = malloc(((size_t)n * (size_t)g->distance->rank + 1) * sizeof *g->factor_b);
    g->square_b = malloc(((size_t)n + 1) * sizeof *g->square_b);
    return g->factor_b && g->square_b ? landmark_distance_factor(g->distance, n, position, g->factor_b)
                                      : error_memory("low-rank distances", 8.0 * (double)(n * g->distance->rank));
}

static void fill_squares(struct geometry *g, int64_t n)
{
    for (int64_t k = 0; k < n; k++)
        g->square_b[k] = quadratic(g->distance, g->spread_b, g->factor_b + k * g->distance->rank);
}

status geometry_fill(struct geometry *g, int64_t n, const double *position)
{
    status s = fill_factors(g, n, position);
    if (s == MONGE_OK)
        fill_squares(g, n);
    return s;
}

static int64_t all_columns(const struct sparse_level *level)
{
    return level->columns.n_own + level->pattern.n_ghost_columns;
}

/* Places of own and ghost columns. */
static double *column_positions(const struct sparse_level *level)
{
    int64_t own = level->columns.n_own;
    double *position = malloc(((size_t)all_columns(level) + 1) * 2 * sizeof *position);
    if (!position) {
        error_memory("low-rank distances", 16.0 * (double)all_columns(level));
        return NULL;
    }
    memcpy(position, level->y + 2 * level->columns.first, (size_t)own * 2 * sizeof *position);
    for (int64_t k = own; k < all_columns(level); k++)
        memcpy(position + 2 * k, level->y + 2 * level->pattern.ghost_column[k - own], 2 * sizeof *position);
    return position;
}

status geometry_columns(struct geometry *g, const struct sparse_level *level)
{
    double *position = column_positions(level);
    status s = position ? geometry_fill(g, all_columns(level), position) : error_code();
    free(position);
    return s;
}

status geometry_new(struct geometry *g, const struct sparse_level *level, const struct landmark_distance *distance)
{
    size_t rank = (size_t)distance->rank, n = (size_t)level->rows.n_own;
    MPI_Comm comm = level->rows.comm;
    *g = (struct geometry){.distance = distance,
                           .factor_a = malloc((n * rank + 1) * sizeof(double)),
                           .square_a = malloc((n + 1) * sizeof(double)),
                           .spread_b = malloc(rank * rank * sizeof(double)),
                           .moment = calloc(rank * rank, sizeof(double)),
                           .row = malloc(rank * sizeof(double))};
    double *spread_a = malloc(rank * rank * sizeof *spread_a), *position = column_positions(level);
    bool all = g->factor_a && g->square_a && g->spread_b && g->moment && g->row && spread_a && position;
    status s = all ? MONGE_OK : error_memory("low-rank distances", 8.0 * (double)(n * rank));
    if (s == MONGE_OK)
        s = landmark_distance_factor(distance, (int64_t)n, level->x + 2 * level->rows.first, g->factor_a);
    if (s == MONGE_OK)
        s = fill_factors(g, all_columns(level), position);
    free(position);
    s = agree(comm, s);
    if (s == MONGE_OK) {
        double largest = fmax(largest_of((int64_t)(n * rank), g->factor_a), largest_of(level->columns.n_own * (int64_t)rank, g->factor_b));
        MPI_Allreduce(MPI_IN_PLACE, &largest, 1, MPI_DOUBLE, MPI_MAX, comm);
        g->bound = 8.0 * level->mass * largest * largest + DBL_MIN;
        s = spread(&level->columns, distance->rank, g->factor_b, level->q + level->columns.first, g->bound, g->spread_b);
    }
    if (s == MONGE_OK)
        s = make_rows(g, level, spread_a);
    if (s == MONGE_OK)
        fill_squares(g, all_columns(level));
    free(spread_a);
    return s;
}

void geometry_free(struct geometry *g)
{
    free(g->factor_a);
    free(g->factor_b);
    free(g->square_a);
    free(g->square_b);
    free(g->spread_b);
    free(g->moment);
    free(g->row);
    *g = (struct geometry){0};
}

/* row = sum_k T_ik U_k */
static void row_moment(const struct geometry *g, const struct sparse_level *level, int64_t i, double *restrict row)
{
    int rank = g->distance->rank;
    const struct kernel_lines *lines = &level->pattern.by_rows;
    for (int c = 0; c < rank; c++)
        row[c] = 0.0;
    for (int64_t k = lines->start[i]; k < lines->start[i + 1]; k++) {
        const double *factor = g->factor_b + (int64_t)lines->index[k] * rank;
        double mass = level->alive_plan[k];
        for (int c = 0; c < rank; c++)
            row[c] = fused_inline(mass, factor[c], row[c]);
    }
}

static void block_moment(struct geometry *g, const struct sparse_level *level, int64_t block, double *restrict portion)
{
    int rank = g->distance->rank;
    memset(portion, 0, (size_t)rank * (size_t)rank * sizeof *portion);
    for (int64_t i = level->rows.block_start[block] - level->rows.first; i < level->rows.block_start[block + 1] - level->rows.first; i++) {
        row_moment(g, level, i, g->row);
        for (int a = 0; a < rank; a++)
            for (int b = 0; b < rank; b++)
                portion[a * rank + b] = fused_inline(g->factor_a[i * rank + a], g->row[b], portion[a * rank + b]);
    }
}

status geometry_moment(struct geometry *g, const struct sparse_level *level, double *trace)
{
    int rank = g->distance->rank;
    const double *weight = g->distance->weight;
    const struct partition *rows = &level->rows;
    struct array_sum sum;
    double *portion = malloc((size_t)rank * (size_t)rank * sizeof *portion);
    status s = portion ? array_sum_new(&sum, (int64_t)rank * rank, g->bound) : error_memory("low-rank distances", 8.0 * rank * rank);
    s = agree(rows->comm, s);
    for (int64_t block = rows->first_block; s == MONGE_OK && block < rows->end_block; block++) {
        block_moment(g, level, block, portion);
        array_sum_add(&sum, portion);
    }
    if (s == MONGE_OK)
        s = array_sum_finish(&sum, rows->comm, g->moment);
    free(portion);
    if (s != MONGE_OK)
        return s;
    *trace = 0.0;
    for (int a = 0; a < rank; a++)
        for (int b = 0; b < rank; b++) {
            double plain = g->moment[a * rank + b];
            g->moment[a * rank + b] = weight[a] * plain * weight[b];
            *trace = fused_inline(plain, g->moment[a * rank + b], *trace);
        }
    return MONGE_OK;
}

static double dot(int n, const double *a, const double *b)
{
    double lane[8] = {0.0};
    int c = 0;
    for (; c + 8 <= n; c += 8)
        for (int l = 0; l < 8; l++)
            lane[l] = fused_inline(a[c + l], b[c + l], lane[l]);
    for (; c < n; c++)
        lane[0] = fused_inline(a[c], b[c], lane[0]);
    return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

void geometry_gradient(const struct geometry *g, int64_t i, int64_t count, const int32_t *columns, double *out)
{
    int rank = g->distance->rank;
    const double *factor = g->factor_a + i * rank;
    double *restrict row = g->row;
    for (int b = 0; b < rank; b++)
        row[b] = 0.0;
    for (int a = 0; a < rank; a++)
        for (int b = 0; b < rank; b++)
            row[b] = fused_inline(factor[a], g->moment[a * rank + b], row[b]);
    for (int64_t k = 0; k < count; k++)
        out[k] = 2.0 * (g->square_a[i] + g->square_b[columns[k]] - 2.0 * dot(rank, row, g->factor_b + (int64_t)columns[k] * rank));
}
