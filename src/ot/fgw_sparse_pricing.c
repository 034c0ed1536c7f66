/* What lies beyond the candidates: reduced costs grad F_ik - f_i - g_k of the pairs within twice each row's radius.
 *
 * The potentials are feasible on the candidates, so with r_i the least reduced cost of row i (0 if none is negative) f_i + r_i and g are
 * feasible on the wider ring: the gap over it is larger by at most sum_i p_i |r_i| (weak duality). Geometry grows with the square of the
 * distance, so most pairs are settled without asking for their dissimilarity, which is at least 0; the others are asked for. */
#include <stdlib.h>
#include <string.h>

#include "fgw_sparse_parts.h"
#include "monge/agree.h"
#include "monge/exact_sum.h"

static const double WIDER = 2.0; /* x radius */

/* Columns that own rows meet in the ring, with what their gradient needs. */
struct ring {
    struct fgw_candidates pairs; /* of own rows; columns of the level */
    double *reduced;             /* entries, without the dissimilarity */
    int64_t n;
    int64_t *column;      /* n: of the level */
    int32_t *place;       /* m: among them */
    double *position;     /* n x 2 */
    double *g;            /* m */
    struct geometry wide; /* the level's, with factors and squares of these columns; borrows the rest */
};

static void ring_free(struct ring *ring)
{
    fgw_candidates_free(&ring->pairs);
    free(ring->reduced);
    free(ring->column);
    free(ring->place);
    free(ring->position);
    free(ring->g);
    free(ring->wide.factor_b);
    free(ring->wide.square_b);
}

static status find_pairs(struct ring *ring, const struct sparse_level *level)
{
    int64_t n = level->rows.n_own;
    double *radius = malloc(((size_t)n + 1) * sizeof *radius);
    if (!radius)
        return error_memory("pairs beyond the candidates", 8.0 * (double)n);
    for (int64_t i = 0; i < n; i++)
        radius[i] = WIDER * level->radius[i];
    status s = fgw_candidates_new(&ring->pairs, n, level->centre, radius, level->m, level->y, NULL, NULL);
    free(radius);
    return s;
}

static status list_columns(struct ring *ring, const struct sparse_level *level)
{
    int64_t entries = ring->pairs.row_start[level->rows.n_own];
    ring->place = malloc(((size_t)level->m + 1) * sizeof *ring->place);
    ring->column = malloc(((size_t)level->m + 1) * sizeof *ring->column);
    ring->g = malloc(((size_t)level->m + 1) * sizeof *ring->g);
    if (!ring->place || !ring->column || !ring->g)
        return error_memory("pairs beyond the candidates", 20.0 * (double)level->m);
    for (int64_t k = 0; k < level->m; k++)
        ring->place[k] = -1;
    for (int64_t e = 0; e < entries; e++)
        ring->place[ring->pairs.column[e]] = 0;
    for (int64_t k = 0; k < level->m; k++)
        if (ring->place[k] == 0) {
            ring->place[k] = (int32_t)ring->n;
            ring->column[ring->n++] = k;
        }
    ring->position = malloc(((size_t)ring->n + 1) * 2 * sizeof *ring->position);
    if (!ring->position)
        return error_memory("pairs beyond the candidates", 16.0 * (double)ring->n);
    for (int64_t c = 0; c < ring->n; c++)
        memcpy(ring->position + 2 * c, level->y + 2 * ring->column[c], 2 * sizeof *ring->position);
    return MONGE_OK;
}

/* Collective. */
static status ring_new(struct ring *ring, const struct sparse_level *level)
{
    *ring = (struct ring){.wide = level->geometry};
    ring->wide.factor_b = ring->wide.square_b = NULL;
    status s = find_pairs(ring, level);
    if (s == MONGE_OK)
        s = list_columns(ring, level);
    if (s == MONGE_OK)
        s = geometry_fill(&ring->wide, ring->n, ring->position);
    s = agree(level->rows.comm, s);
    if (s == MONGE_OK)
        whole_field(&level->columns, level->g, ring->g);
    return s;
}

static double squared_distance(const struct sparse_level *level, int64_t row, int64_t column)
{
    double dx = level->centre[2 * row] - level->y[2 * column], dy = level->centre[2 * row + 1] - level->y[2 * column + 1];
    return fused_inline(dx, dx, dy * dy);
}

/* Keeps the pairs outside the radius whose reduced cost would be negative if their dissimilarity were `least`. */
static status keep_doubtful(struct ring *ring, const struct sparse_level *level, double least)
{
    struct fgw_candidates *pairs = &ring->pairs;
    int64_t kept = 0, widest = 0, room = 0, first = 0, n = level->rows.n_own;
    for (int64_t i = 0; i < n; i++)
        widest = pairs->row_start[i + 1] - pairs->row_start[i] > widest ? pairs->row_start[i + 1] - pairs->row_start[i] : widest;
    int32_t *place = malloc(((size_t)widest + 1) * sizeof *place);
    double *cost = malloc(((size_t)widest + 1) * sizeof *cost);
    status s = place && cost ? MONGE_OK : error_memory("pairs beyond the candidates", 12.0 * (double)widest);
    for (int64_t i = 0; s == MONGE_OK && i < n; i++) {
        int64_t count = pairs->row_start[i + 1] - first;
        const int32_t *column = pairs->column + first;
        double inside = level->radius[i] * (1.0 - 1e-9), p = level->p[level->rows.first + i];
        for (int64_t k = 0; k < count; k++)
            place[k] = ring->place[column[k]];
        geometry_gradient(&ring->wide, i, count, place, cost);
        if (kept + count > room) {
            room = 2 * (kept + count);
            double *larger = realloc(ring->reduced, (size_t)room * sizeof *larger);
            s = larger ? MONGE_OK : error_memory("pairs beyond the candidates", 8.0 * (double)room);
            ring->reduced = larger ? larger : ring->reduced;
        }
        for (int64_t k = 0; s == MONGE_OK && k < count; k++) {
            double reduced = level->alpha * cost[k] - level->f[i] - ring->g[column[k]];
            bool carries = p > 0.0 && level->q[column[k]] > 0.0;
            if (!carries || !(reduced + least < 0.0) || squared_distance(level, i, column[k]) < inside * inside)
                continue;
            ring->reduced[kept] = reduced;
            pairs->column[kept++] = column[k];
        }
        first = pairs->row_start[i + 1];
        pairs->row_start[i + 1] = kept;
    }
    free(place);
    free(cost);
    return s;
}

/* Dissimilarities are at least 0, unless one of the candidates' says otherwise. Collective. */
static double least_dissimilarity(const struct sparse_level *level)
{
    int negative = 0;
    for (int64_t k = 0; k < level->allowed.row_start[level->rows.n_own]; k++)
        negative |= level->M[k] < 0.0F;
    MPI_Allreduce(MPI_IN_PLACE, &negative, 1, MPI_INT, MPI_LOR, level->rows.comm);
    return negative ? -INFINITY : 0.0;
}

/* own [n_own x 2]: p_i |r_i| and reach of each own row. */
static void take_least(const struct ring *ring, const struct sparse_level *level, const float *M, double *loss, double *reach)
{
    for (int64_t i = 0; i < level->rows.n_own; i++) {
        double least = 0.0, farthest = 0.0;
        for (int64_t k = ring->pairs.row_start[i]; k < ring->pairs.row_start[i + 1]; k++) {
            double reduced = fused_inline(1.0 - level->alpha, (double)M[k], ring->reduced[k]);
            least = fmin(least, reduced);
            if (reduced < 0.0)
                farthest = fmax(farthest, squared_distance(level, i, ring->pairs.column[k]));
        }
        loss[i] = -least * level->p[level->rows.first + i];
        reach[i] = sqrt(farthest);
    }
}

status sparse_level_price(const struct sparse_level *level, const struct level_input *input, double *reach, double *excess)
{
    MPI_Comm comm = level->rows.comm;
    size_t n = (size_t)level->rows.n_own;
    struct ring ring;
    double least = least_dissimilarity(level), *own = malloc((2 * n + 1) * sizeof *own);
    float *M = NULL;
    status s = ring_new(&ring, level);
    if (s == MONGE_OK)
        s = own ? keep_doubtful(&ring, level, least) : error_memory("pairs beyond the candidates", 16.0 * (double)n);
    if (s == MONGE_OK) {
        M = calloc((size_t)ring.pairs.row_start[n] + 1, sizeof *M);
        s = M ? MONGE_OK : error_memory("dissimilarities", 4.0 * (double)ring.pairs.row_start[n]);
    }
    s = agree(comm, s);
    if (s == MONGE_OK && level->alpha < 1.0)
        s = sparse_level_ask(level, input, &ring.pairs, M);
    if (s == MONGE_OK) {
        take_least(&ring, level, M, own, own + n);
        whole_field(&level->rows, own + n, reach);
        s = exact_field_sum_f64(&level->rows, 1, own, NULL, excess);
    }
    ring_free(&ring);
    free(own);
    free(M);
    return s;
}
