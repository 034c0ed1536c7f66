/* The simplex method of Nelder & Mead 1965 with the dimension-dependent coefficients of Gao & Han 2012. */
#include "monge/nelder_mead.h"

#include <stdbool.h>
#include <string.h>

struct vertex {
    double point[NELDER_MEAD_MAX], value;
};

struct simplex {
    struct nelder_mead *search;
    nelder_mead_function function;
    void *context;
    struct vertex vertex[NELDER_MEAD_MAX + 1]; /* ascending values */
    double centre[NELDER_MEAD_MAX];            /* of all but the last */
};

static status evaluate(struct simplex *s, struct vertex *v)
{
    struct nelder_mead *search = s->search;
    for (int i = 0; i < search->n; i++) {
        if (v->point[i] < search->low[i])
            v->point[i] = search->low[i];
        if (v->point[i] > search->high[i])
            v->point[i] = search->high[i];
    }
    search->evaluations++;
    return s->function(v->point, s->context, &v->value);
}

/* Moves the vertex at `from` to its place; equal values keep their order. */
static void place(struct simplex *s, int from)
{
    struct vertex moved = s->vertex[from];
    for (; from > 0 && moved.value < s->vertex[from - 1].value; from--)
        s->vertex[from] = s->vertex[from - 1];
    s->vertex[from] = moved;
}

static void find_centre(struct simplex *s)
{
    int n = s->search->n;
    for (int i = 0; i < n; i++) {
        s->centre[i] = 0.0;
        for (int v = 0; v < n; v++)
            s->centre[i] += s->vertex[v].point[i] / n;
    }
}

/* centre + factor (centre - worst) */
static status try_along(struct simplex *s, double factor, struct vertex *trial)
{
    int n = s->search->n;
    for (int i = 0; i < n; i++)
        trial->point[i] = s->centre[i] + factor * (s->centre[i] - s->vertex[n].point[i]);
    return evaluate(s, trial);
}

static status shrink(struct simplex *s)
{
    int n = s->search->n;
    double factor = 1.0 - 1.0 / n;
    status st = MONGE_OK;
    for (int v = 1; v <= n && !st; v++) {
        for (int i = 0; i < n; i++)
            s->vertex[v].point[i] = s->vertex[0].point[i] + factor * (s->vertex[v].point[i] - s->vertex[0].point[i]);
        st = evaluate(s, &s->vertex[v]);
    }
    for (int v = 1; v <= n; v++)
        place(s, v);
    return st;
}

/* Reflect; then expand, accept or contract. */
static status move(struct simplex *s)
{
    int n = s->search->n;
    struct vertex reflected = {{0}, 0}, other = {{0}, 0}, *worst = &s->vertex[n];
    find_centre(s);
    status st = try_along(s, 1.0, &reflected);
    if (st)
        return st;
    if (reflected.value < s->vertex[0].value) {
        st = try_along(s, 1.0 + 2.0 / n, &other);
        *worst = other.value < reflected.value ? other : reflected;
    } else if (reflected.value < s->vertex[n - 1].value) {
        *worst = reflected;
    } else {
        double factor = 0.75 - 0.5 / n;
        bool outside = reflected.value < worst->value;
        st = try_along(s, outside ? factor : -factor, &other);
        if (st || !(other.value < (outside ? reflected.value : worst->value)))
            return st ? st : shrink(s);
        *worst = other;
    }
    place(s, n);
    return st;
}

status nelder_mead_minimise(struct nelder_mead *search, nelder_mead_function function, void *context)
{
    int n = search->n;
    struct simplex s = {.search = search, .function = function, .context = context};
    status st = MONGE_OK;
    search->evaluations = 0;
    for (int v = 0; v <= n && !st; v++) {
        memcpy(s.vertex[v].point, search->start, (size_t)n * sizeof(double));
        if (v > 0) {
            double *x = &s.vertex[v].point[v - 1], step = search->step[v - 1];
            *x += *x + step > search->high[v - 1] ? -step : step;
        }
        st = evaluate(&s, &s.vertex[v]);
        if (!st)
            place(&s, v);
    }
    while (!st && search->evaluations + n + 2 <= search->max_evaluations && s.vertex[n].value - s.vertex[0].value > search->value_tolerance)
        st = move(&s);
    memcpy(search->best, s.vertex[0].point, (size_t)n * sizeof(double));
    search->best_value = s.vertex[0].value;
    return st;
}
