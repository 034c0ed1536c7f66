/* Sums over neighbour lists, lanes innermost, a fixed number of lanes at a time in registers. Rows without remote neighbours are done
 * while the halo is under way. */
#include <string.h>

#include "monge/real.h"
#include "operator_tiles.h"

enum { LANES = 128 / (int)sizeof(real), SOME = 8 };

struct rows_pass {
    const struct neighbour_rows *rows;
    const real *weight;
    int lanes;
    const real *own, *ghost;
};

static const real *column_values(const struct rows_pass *pass, int64_t column)
{
    int64_t n_own = pass->rows->sites->n_own;
    return column < n_own ? pass->own + column * pass->lanes : pass->ghost + (column - n_own) * pass->lanes;
}

/* out[lane] = sum over the row, for `count` lanes from `first`; count is a constant at each call. */
static inline __attribute__((always_inline)) void sum_row(const struct rows_pass *pass, int64_t i, int first, const int count, real *out)
{
    real sum[LANES] = {0};
    for (int64_t k = pass->rows->start[i]; k < pass->rows->start[i + 1]; k++) {
        const real *restrict from = column_values(pass, pass->rows->column[k]) + first;
        real w = pass->weight[k];
        for (int lane = 0; lane < count; lane++)
            sum[lane] += w * from[lane];
    }
    memcpy(out + first, sum, (size_t)count * sizeof *out);
}

/* The last few lanes, in the same instructions as a full set, so that a lane's bits do not depend on its batch. */
static inline __attribute__((always_inline)) void sum_last(const struct rows_pass *pass, int64_t i, int first, const int count, real *out)
{
    real sum[SOME] = {0}, padded[SOME] = {0};
    for (int64_t k = pass->rows->start[i]; k < pass->rows->start[i + 1]; k++) {
        const real *restrict from = column_values(pass, pass->rows->column[k]) + first;
        real w = pass->weight[k];
        for (int lane = 0; lane < count; lane++)
            padded[lane] = from[lane];
        for (int lane = 0; lane < SOME; lane++)
            sum[lane] += w * padded[lane];
    }
    memcpy(out + first, sum, (size_t)count * sizeof *out);
}

static void sum_lanes(const struct rows_pass *pass, int64_t i, real *out)
{
    int first = 0;
    for (; first + LANES <= pass->lanes; first += LANES)
        sum_row(pass, i, first, LANES, out);
    for (; first + SOME <= pass->lanes; first += SOME)
        sum_row(pass, i, first, SOME, out);
    if (first == pass->lanes - 1)
        sum_last(pass, i, first, 1, out);
    else if (first < pass->lanes)
        sum_last(pass, i, first, pass->lanes - first, out);
}

status REAL(tiles_apply)(const struct spot_operator *op, int lanes, const real *in, real *out)
{
    const struct tiles_state *tiles = op->state;
    struct neighbour_rows *rows = tiles->rows;
    size_t bytes_per_site = (size_t)lanes * sizeof(real);
    status s = neighbour_rows_reserve(rows, bytes_per_site);
    if (s == MONGE_OK)
        s = halo_start(rows->halo, bytes_per_site, in, rows->ghost);
    if (s != MONGE_OK)
        return s;
    struct rows_pass pass = {.rows = rows, .weight = tiles->REAL(weight), .lanes = lanes, .own = in, .ghost = rows->ghost};
    for (int64_t i = 0; i < op->sites->n_own; i++)
        if (rows->interior[i])
            sum_lanes(&pass, i, out + i * lanes);
    s = halo_finish(rows->halo);
    for (int64_t i = 0; s == MONGE_OK && i < op->sites->n_own; i++)
        if (!rows->interior[i])
            sum_lanes(&pass, i, out + i * lanes);
    return s;
}
