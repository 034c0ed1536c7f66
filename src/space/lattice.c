/* Finding the lattice that a set of positions stands on, at any rotation.
 *
 * The angles of nearest-neighbour displacements, multiplied by 6 (hexagonal) or 4 (square), point the same way on a lattice and
 * every way elsewhere. That gives the basis to within its noise; the indices are then assigned outwards from the middle, in
 * discs of doubling radius, refitting the basis by least squares after each, so that its error never grows to half a cell.
 * Positions that stay within 0.3 pitches of their cell, one to a cell, are a lattice; anything else is irregular. */
#include "lattice.h"

#include <complex.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "monge/cell_list.h"

enum { FEWEST_SPOTS = 8, MOST_SAMPLED = 50000 };

struct basis { /* position = origin + a u + b v */
    double origin[2], u[2], v[2];
};

double lattice_most_cells(int64_t n_spots)
{
    return fmin(64.0 * (double)n_spots + 1e6, 2e9);
}

void lattice_fit_free(struct lattice_fit *fit)
{
    free(fit->row);
    free(fit->col);
    memset(fit, 0, sizeof *fit);
}

static int compare_doubles(const void *a, const void *b)
{
    double p = *(const double *)a, q = *(const double *)b;
    return (p > q) - (p < q);
}

static double bin_side(int64_t n, const double *x, const double *y)
{
    double left = INFINITY, right = -INFINITY, top = INFINITY, bottom = -INFINITY;
    for (int64_t i = 0; i < n; i++) {
        left = fmin(left, x[i]);
        right = fmax(right, x[i]);
        top = fmin(top, y[i]);
        bottom = fmax(bottom, y[i]);
    }
    double width = right - left, height = bottom - top;
    return fmax(sqrt(2.0 * width * height / (double)n), fmax(width, height) / (double)n);
}

/* Nearest-neighbour distances, ascending (malloc'd); NULL with error_memory. */
static double *sorted_nearest(const struct cell_list *list)
{
    double *distance = malloc((size_t)list->n * sizeof *distance);
    if (!distance) {
        error_memory("nearest-neighbour distances", 8.0 * (double)list->n);
        return NULL;
    }
    for (int64_t i = 0; i < list->n; i++)
        distance[i] = cell_list_nearest(list, i);
    qsort(distance, (size_t)list->n, sizeof *distance, compare_doubles);
    return distance;
}

static status median_nearest(const struct cell_list *list, double *median)
{
    double *distance = sorted_nearest(list);
    if (!distance)
        return error_code();
    *median = distance[list->n / 2];
    free(distance);
    return MONGE_OK;
}

status slide_spacing(int64_t n, const double *x, const double *y, double *spacing)
{
    struct cell_list list = {0};
    status s = cell_list_new(&list, n, x, y, bin_side(n, x, y));
    double *distance = s == MONGE_OK ? sorted_nearest(&list) : NULL;
    if (distance)
        *spacing = 0.5 * (distance[(n - 1) / 2] + distance[n / 2]);
    free(distance);
    cell_list_free(&list);
    return distance ? MONGE_OK : error_code();
}

struct angles {
    const struct cell_list *list;
    int64_t self;
    double pitch, length;
    double complex four, six;
    int64_t n;
};

static void add_angle(void *context, int64_t point, double squared)
{
    struct angles *sum = context;
    if (point == sum->self || squared < 0.49 * sum->pitch * sum->pitch)
        return;
    double angle = atan2(sum->list->y[point] - sum->list->y[sum->self], sum->list->x[point] - sum->list->x[sum->self]);
    sum->four += cexp(4.0 * I * angle);
    sum->six += cexp(6.0 * I * angle);
    sum->length += sqrt(squared);
    sum->n++;
}

/* The lattice and its basis from the angles between neighbours 0.7 to 1.3 pitches apart. */
static enum lattice guess_basis(const struct cell_list *list, double pitch, struct basis *basis)
{
    struct angles sum = {.list = list, .pitch = pitch};
    int64_t step = list->n / MOST_SAMPLED + 1;
    for (int64_t i = 0; i < list->n; i += step) {
        sum.self = i;
        cell_list_within(list, list->x[i], list->y[i], 1.3 * pitch, add_angle, &sum);
    }
    double order_four = cabs(sum.four) / (double)(sum.n ? sum.n : 1), order_six = cabs(sum.six) / (double)(sum.n ? sum.n : 1);
    if (fmax(order_four, order_six) < 0.6)
        return LATTICE_NONE;
    bool hexagonal = order_six > order_four;
    double length = sum.length / (double)sum.n;
    double turn = hexagonal ? carg(sum.six) / 6.0 : carg(sum.four) / 4.0, corner = hexagonal ? M_PI / 3.0 : M_PI / 2.0;
    basis->u[0] = length * cos(turn);
    basis->u[1] = length * sin(turn);
    basis->v[0] = length * cos(turn + corner);
    basis->v[1] = length * sin(turn + corner);
    return hexagonal ? LATTICE_HEX : LATTICE_SQUARE;
}

static void indices(const struct basis *b, double x, double y, double *a_index, double *b_index)
{
    double determinant = b->u[0] * b->v[1] - b->u[1] * b->v[0];
    double dx = x - b->origin[0], dy = y - b->origin[1];
    *a_index = (dx * b->v[1] - dy * b->v[0]) / determinant;
    *b_index = (dy * b->u[0] - dx * b->u[1]) / determinant;
}

/* Solves the symmetric 3 x 3 system m z = r by Cramer's rule; false if (nearly) singular. */
static bool solve3(const double m[6], const double r[3], double z[3])
{
    double a = m[0], b = m[1], c = m[2], d = m[3], e = m[4], f = m[5]; /* [a b c; b d e; c e f] */
    double k0 = d * f - e * e, k1 = c * e - b * f, k2 = b * e - c * d;
    double determinant = a * k0 + b * k1 + c * k2;
    if (!(fabs(determinant) > 1e-9 * a * fmax(d, 1.0) * fmax(f, 1.0)))
        return false;
    z[0] = (k0 * r[0] + k1 * r[1] + k2 * r[2]) / determinant;
    z[1] = (k1 * r[0] + (a * f - c * c) * r[1] + (b * c - a * e) * r[2]) / determinant;
    z[2] = (k2 * r[0] + (b * c - a * e) * r[1] + (a * d - b * b) * r[2]) / determinant;
    return true;
}

/* Least-squares basis of the points within `radius` of the origin, at the indices that the present basis rounds them to. */
static bool refit(struct basis *basis, const struct cell_list *list, double radius)
{
    double m[6] = {0}, rx[3] = {0}, ry[3] = {0};
    double centre[2] = {basis->origin[0], basis->origin[1]};
    for (int64_t i = 0; i < list->n; i++) {
        double dx = list->x[i] - centre[0], dy = list->y[i] - centre[1];
        if (dx * dx + dy * dy > radius * radius)
            continue;
        double a, b;
        indices(basis, list->x[i], list->y[i], &a, &b);
        a = round(a);
        b = round(b);
        double terms[6] = {1.0, a, b, a * a, a * b, b * b};
        for (int k = 0; k < 6; k++)
            m[k] += terms[k];
        for (int k = 0; k < 3; k++) {
            rx[k] += terms[k] * dx;
            ry[k] += terms[k] * dy;
        }
    }
    double zx[3], zy[3];
    if (!solve3(m, rx, zx) || !solve3(m, ry, zy))
        return false;
    *basis = (struct basis){{centre[0] + zx[0], centre[1] + zy[0]}, {zx[1], zy[1]}, {zx[2], zy[2]}};
    return true;
}

/* Starts at the point nearest to the middle and refits over discs of doubling radius until they hold every point. */
static bool grow_basis(struct basis *basis, const struct cell_list *list, double pitch)
{
    double middle[2] = {0.0, 0.0}, best = INFINITY, reach = 0.0;
    for (int64_t i = 0; i < list->n; i++) {
        middle[0] += list->x[i] / (double)list->n;
        middle[1] += list->y[i] / (double)list->n;
    }
    for (int64_t i = 0; i < list->n; i++) {
        double d = hypot(list->x[i] - middle[0], list->y[i] - middle[1]);
        reach = fmax(reach, d);
        if (d < best) {
            best = d;
            basis->origin[0] = list->x[i];
            basis->origin[1] = list->y[i];
        }
    }
    bool fitted = false;
    for (double radius = 4.0 * pitch;; radius *= 2.0) {
        fitted = refit(basis, list, radius);
        if (radius > 2.0 * reach)
            return fitted;
    }
}

/* A true lattice has two vectors of one length at 60 or 90 degrees. */
static bool well_shaped(const struct basis *basis, enum lattice lattice, double pitch)
{
    double u = hypot(basis->u[0], basis->u[1]), v = hypot(basis->v[0], basis->v[1]);
    double cosine = (basis->u[0] * basis->v[0] + basis->u[1] * basis->v[1]) / (u * v);
    return fabs(u / v - 1.0) < 0.1 && fabs(u / pitch - 1.0) < 0.2 && fabs(cosine - (lattice == LATTICE_HEX ? 0.5 : 0.0)) < 0.1;
}

static int compare_cells(const void *a, const void *b)
{
    uint64_t p = *(const uint64_t *)a, q = *(const uint64_t *)b;
    return (p > q) - (p < q);
}

static status any_shared_cell(const struct lattice_fit *fit, int64_t n, bool *shared)
{
    uint64_t *cell = malloc((size_t)n * sizeof *cell);
    if (!cell)
        return error_memory("lattice cells", 8.0 * (double)n);
    for (int64_t i = 0; i < n; i++)
        cell[i] = ((uint64_t)(uint32_t)fit->row[i] << 32) | (uint32_t)fit->col[i];
    qsort(cell, (size_t)n, sizeof *cell, compare_cells);
    *shared = false;
    for (int64_t i = 1; i < n; i++)
        *shared = *shared || cell[i] == cell[i - 1];
    free(cell);
    return MONGE_OK;
}

/* Array coordinates of every point; false if one stands too far from its cell or the rectangle is far too empty. */
static bool assign_cells(struct lattice_fit *fit, const struct cell_list *list, const struct basis *basis)
{
    double low[2] = {INFINITY, INFINITY}, high[2] = {-INFINITY, -INFINITY};
    for (int64_t i = 0; i < list->n; i++) {
        double a, b;
        indices(basis, list->x[i], list->y[i], &a, &b);
        double da = a - round(a), db = b - round(b);
        double dx = da * basis->u[0] + db * basis->v[0], dy = da * basis->u[1] + db * basis->v[1];
        double row = round(b), col = fit->lattice == LATTICE_HEX ? 2.0 * round(a) + round(b) : round(a);
        if (hypot(dx, dy) > 0.3 * fit->pitch || fabs(row) > 1e8 || fabs(col) > 1e8)
            return false;
        fit->row[i] = (int32_t)row;
        fit->col[i] = (int32_t)col;
        low[0] = fmin(low[0], row);
        high[0] = fmax(high[0], row);
        low[1] = fmin(low[1], col);
        high[1] = fmax(high[1], col);
    }
    double cells = (high[0] - low[0] + 1.0) * (high[1] - low[1] + 1.0) / (fit->lattice == LATTICE_HEX ? 2.0 : 1.0);
    return cells <= lattice_most_cells(list->n);
}

static status recognise(struct lattice_fit *fit, const struct cell_list *list)
{
    struct basis basis = {0};
    status s = MONGE_OK;
    bool found = false, shared = false;
    fit->lattice = list->n < FEWEST_SPOTS ? LATTICE_NONE : guess_basis(list, fit->pitch, &basis);
    if (fit->lattice != LATTICE_NONE && grow_basis(&basis, list, fit->pitch) && well_shaped(&basis, fit->lattice, fit->pitch)) {
        fit->row = malloc((size_t)list->n * sizeof *fit->row);
        fit->col = malloc((size_t)list->n * sizeof *fit->col);
        if (!fit->row || !fit->col)
            return error_memory("lattice coordinates", 8.0 * (double)list->n);
        found = assign_cells(fit, list, &basis);
        if (found)
            s = any_shared_cell(fit, list->n, &shared);
    }
    double pitch = found && !shared ? hypot(basis.u[0], basis.u[1]) : fit->pitch;
    if (!found || shared)
        lattice_fit_free(fit);
    if (!found || shared)
        fit->lattice = LATTICE_NONE;
    fit->pitch = pitch;
    return s;
}

status lattice_from_positions(struct lattice_fit *fit, int64_t n, const double *x, const double *y)
{
    memset(fit, 0, sizeof *fit);
    struct cell_list list;
    status s = cell_list_new(&list, n, x, y, bin_side(n, x, y));
    if (s == MONGE_OK)
        s = median_nearest(&list, &fit->pitch);
    if (s == MONGE_OK && !(isfinite(fit->pitch) && fit->pitch > 0.0))
        fit->pitch = 1.0; /* a single spot */
    if (s == MONGE_OK)
        s = recognise(fit, &list);
    cell_list_free(&list);
    if (s != MONGE_OK)
        lattice_fit_free(fit);
    return s;
}
