/* Exact marginals on the allowed pairs: a plan is rounded, or the pairs are proved too few.
 *
 * Masses become integers (2^60 in all), so that nothing is left over. What rows and columns have too much is scaled away; the remainder
 * flows from rows with mass left to columns with room along shortest augmenting paths: forward on any allowed pair, backward on pairs
 * that carry mass (Dinic 1970: blocking flows on breadth-first layers). When no path is left but mass is, the rows reached by the last
 * search are a minimum cut: more mass than all the columns they may use can take. */
#include <stdlib.h>
#include <string.h>

#include "fgw_sparse_parts.h"

static const int64_t UNIT = INT64_C(1) << 60;

struct network {
    int64_t n, m;
    const int64_t *row_start;
    const int32_t *column;
    int64_t *flow;         /* entries */
    int64_t *left, *room;  /* n: mass not yet placed; m: mass still wanted */
    int64_t *column_start; /* m + 1 */
    int64_t *column_entry; /* entries: by columns */
    int32_t *row_of;       /* entries: row */
    int32_t *layer;        /* n + m: breadth-first layer, -1: not reached */
    int64_t *next;         /* n + m: current arc */
    int32_t *queue;        /* n + m */
    int64_t *path;         /* n + m: entries along the path under way */
};

static status network_new(struct network *w)
{
    size_t n = (size_t)w->n, m = (size_t)w->m, entries = (size_t)w->row_start[w->n];
    w->flow = calloc(entries + 1, sizeof *w->flow);
    w->left = calloc(n + 1, sizeof *w->left);
    w->room = calloc(m + 1, sizeof *w->room);
    w->column_start = calloc(m + 2, sizeof *w->column_start);
    w->column_entry = malloc((entries + 1) * sizeof *w->column_entry);
    w->row_of = malloc((entries + 1) * sizeof *w->row_of);
    w->layer = malloc((n + m + 1) * sizeof *w->layer);
    w->next = malloc((n + m + 1) * sizeof *w->next);
    w->queue = malloc((n + m + 1) * sizeof *w->queue);
    w->path = malloc((n + m + 1) * sizeof *w->path);
    if (!(w->flow && w->left && w->room && w->column_start && w->column_entry && w->row_of && w->layer && w->next && w->queue && w->path))
        return error_memory("rounding a plan", 20.0 * (double)entries);
    int64_t *next = w->column_start + 1;
    for (size_t k = 0; k < entries; k++)
        next[w->column[k] + 1]++;
    for (size_t j = 1; j <= m; j++)
        next[j] += next[j - 1];
    for (int64_t i = 0; i < w->n; i++)
        for (int64_t k = w->row_start[i]; k < w->row_start[i + 1]; k++) {
            w->row_of[k] = (int32_t)i;
            w->column_entry[next[w->column[k]]++] = k;
        }
    return MONGE_OK;
}

static void network_free(struct network *w)
{
    free(w->flow);
    free(w->left);
    free(w->room);
    free(w->column_start);
    free(w->column_entry);
    free(w->row_of);
    free(w->layer);
    free(w->next);
    free(w->queue);
    free(w->path);
}

/* Weights to integers of sum UNIT exactly: differences of rounded partial sums. */
static void to_integers(int64_t n, const double *weight, int64_t *out)
{
    long double total = 0.0L, sum = 0.0L;
    int64_t before = 0;
    for (int64_t i = 0; i < n; i++)
        total += weight[i];
    for (int64_t i = 0; i < n; i++) {
        sum += weight[i];
        int64_t now = i + 1 == n ? UNIT : (int64_t)(sum / total * (long double)UNIT);
        out[i] = weight[i] > 0.0 ? now - before : 0;
        before = weight[i] > 0.0 ? now : before;
    }
    for (int64_t i = n - 1; i >= 0 && before < UNIT; i--) /* trailing zero weights */
        if (out[i] > 0) {
            out[i] += UNIT - before;
            before = UNIT;
        }
}

/* Flow: the plan, lines that have too much scaled down; left and room are what remains. */
static void take_plan(struct network *w, const double *plan, double mass)
{
    for (int64_t i = 0; i < w->n; i++) {
        double sum = 0.0, target = (double)w->left[i];
        for (int64_t k = w->row_start[i]; k < w->row_start[i + 1]; k++)
            sum += plan[k];
        double scale = (double)UNIT / mass;
        if (sum * scale > target)
            scale = target / sum;
        for (int64_t k = w->row_start[i]; k < w->row_start[i + 1]; k++)
            w->flow[k] = (int64_t)(plan[k] * scale * (1.0 - 0x1p-50));
    }
    for (int64_t j = 0; j < w->m; j++) {
        int64_t sum = 0;
        for (int64_t a = w->column_start[j]; a < w->column_start[j + 1]; a++)
            sum += w->flow[w->column_entry[a]];
        double scale = sum > w->room[j] ? (double)w->room[j] / (double)sum * (1.0 - 0x1p-50) : 1.0;
        for (int64_t a = w->column_start[j]; a < w->column_start[j + 1]; a++) {
            int64_t *flow = &w->flow[w->column_entry[a]];
            if (scale < 1.0)
                *flow = (int64_t)((double)*flow * scale);
            w->room[j] -= *flow;
            w->left[w->row_of[w->column_entry[a]]] -= *flow;
        }
    }
}

/* Layers from the rows with mass left; true if a column with room is reached. Rows are nodes 0..n-1, columns n.. */
static bool search(struct network *w)
{
    int64_t head = 0, tail = 0, nodes = w->n + w->m;
    bool found = false;
    for (int64_t v = 0; v < nodes; v++)
        w->layer[v] = -1;
    for (int64_t i = 0; i < w->n; i++)
        if (w->left[i] > 0) {
            w->layer[i] = 0;
            w->queue[tail++] = (int32_t)i;
        }
    for (; head < tail; head++) {
        int32_t v = w->queue[head];
        if (v < w->n) {
            for (int64_t k = w->row_start[v]; k < w->row_start[v + 1]; k++) {
                int64_t to = w->n + w->column[k];
                if (w->layer[to] < 0) {
                    w->layer[to] = w->layer[v] + 1;
                    w->queue[tail++] = (int32_t)to;
                }
            }
        } else if (w->room[v - w->n] > 0) {
            found = true;
        } else {
            for (int64_t a = w->column_start[v - w->n]; a < w->column_start[v - w->n + 1]; a++) {
                int32_t to = w->row_of[w->column_entry[a]];
                if (w->flow[w->column_entry[a]] > 0 && w->layer[to] < 0) {
                    w->layer[to] = w->layer[v] + 1;
                    w->queue[tail++] = to;
                }
            }
        }
    }
    return found;
}

/* The next arc from node v into the following layer, or -1. */
static int64_t arc_from(struct network *w, int64_t v)
{
    int32_t wanted = w->layer[v] + 1;
    if (v < w->n) {
        for (; w->next[v] < w->row_start[v + 1]; w->next[v]++)
            if (w->layer[w->n + w->column[w->next[v]]] == wanted)
                return w->next[v];
        return -1;
    }
    for (; w->next[v] < w->column_start[v - w->n + 1]; w->next[v]++) {
        int64_t k = w->column_entry[w->next[v]];
        if (w->flow[k] > 0 && w->layer[w->row_of[k]] == wanted)
            return k;
    }
    return -1;
}

static void augment(struct network *w, int64_t source, int64_t column, int64_t length)
{
    int64_t amount = w->left[source] < w->room[column] ? w->left[source] : w->room[column];
    for (int64_t a = 1; a < length; a += 2)
        amount = w->flow[w->path[a]] < amount ? w->flow[w->path[a]] : amount;
    for (int64_t a = 0; a < length; a++)
        w->flow[w->path[a]] += a % 2 ? -amount : amount;
    w->left[source] -= amount;
    w->room[column] -= amount;
}

/* Sends what a row has left along the layers until none is left or no path remains. */
static void discharge(struct network *w, int64_t source)
{
    int64_t length = 0, v = source;
    while (w->left[source] > 0) {
        if (v >= w->n && w->room[v - w->n] > 0) {
            augment(w, source, v - w->n, length);
            length = 0;
            v = source;
            continue;
        }
        int64_t arc = arc_from(w, v);
        if (arc >= 0) {
            w->path[length++] = arc;
            v = v < w->n ? w->n + w->column[arc] : w->row_of[arc];
        } else if (length == 0) {
            return;
        } else { /* a dead end: back one arc, and past it */
            int64_t back = w->path[--length];
            v = v < w->n ? w->n + w->column[back] : w->row_of[back];
            w->next[v]++;
        }
    }
}

static void blocking_flow(struct network *w)
{
    for (int64_t i = 0; i < w->n; i++)
        w->next[i] = w->row_start[i];
    for (int64_t j = 0; j < w->m; j++)
        w->next[w->n + j] = w->column_start[j];
    for (int64_t i = 0; i < w->n; i++)
        if (w->left[i] > 0)
            discharge(w, i);
}

status plan_round(int64_t n, int64_t m, const int64_t *row_start, const int32_t *column, const double *p, const double *q, double *plan,
                  unsigned char *short_rows, struct plan_rounding *rounding)
{
    struct network w = {.n = n, .m = m, .row_start = row_start, .column = column};
    double mass = 0.0;
    *rounding = (struct plan_rounding){0};
    status s = n + m < INT32_MAX ? network_new(&w)
                                 : error_set(MONGE_USAGE, "alignment: %lld spots are too many to round a plan", (long long)(n + m));
    if (s == MONGE_OK) {
        for (int64_t i = 0; i < n; i++)
            mass += p[i];
        to_integers(n, p, w.left);
        to_integers(m, q, w.room);
        take_plan(&w, plan, mass);
        for (int64_t i = 0; i < n; i++)
            rounding->moved += (double)w.left[i] / (double)UNIT;
        while (search(&w)) {
            blocking_flow(&w);
            rounding->phases++;
        }
        for (int64_t i = 0; i < n; i++) {
            rounding->missing += (double)w.left[i] / (double)UNIT;
            if (short_rows)
                short_rows[i] = w.layer[i] >= 0;
        }
        for (int64_t k = 0; k < row_start[n]; k++)
            plan[k] = (double)w.flow[k] / (double)UNIT * mass;
    }
    network_free(&w);
    return s;
}
