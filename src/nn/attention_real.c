/* Scores of edges and their softmax over the edges into a node.
 *
 * A score is computed where its destination is owned; what it needs of remote sources comes by the halo. Adjoints: the destination's part is
 * summed over its list; the source's part is summed at the source over the turned edges (edges.h), so nothing is ever scattered. */
#include <math.h>

#include "loops.h"
#include "monge/nn.h"
#include "monge/vector_math.h"

/* Values at ghosts of `matrix` [n_ghosts x columns], from their owners; NULL after a fault. Collective. */
static real *bring_ghosts(struct tape *tape, const struct edges *edges, int columns, const real *own)
{
    const struct graph *graph = edges->graph;
    real *ghost = tape_take(tape, graph->n_ghosts * columns, sizeof *ghost);
    if (tape_agree(tape) != MONGE_OK)
        return NULL;
    tape->fault = halo_start(graph->halo, (size_t)columns * sizeof *own, own, ghost);
    if (tape->fault == MONGE_OK)
        tape->fault = halo_finish(graph->halo);
    return tape->fault == MONGE_OK ? ghost : NULL;
}

/* The row of a local index. */
static inline const real *row_of(const struct edges *edges, const real *own, const real *ghost, int64_t local, int columns)
{
    int64_t n_own = edges->graph->nodes.n_own;
    return local < n_own ? own + local * columns : ghost + (local - n_own) * columns;
}

/* The gradients of scores, by source; NULL after a fault. Collective. */
static real *turn_gradient(struct tape *tape, const struct matrix *score)
{
    const struct edges *edges = score->edges;
    real *turned = tape_take(tape, edges->n_out * score->columns, sizeof *turned);
    if (tape_agree(tape) != MONGE_OK)
        return NULL;
    tape->fault = edges_turn(edges, (size_t)score->columns * sizeof *turned, score->gradient, turned);
    return tape->fault == MONGE_OK ? turned : NULL;
}

/* to[node] += sum over its list of edge values */
static void add_lists(int64_t n_own, const int64_t *start, int columns, const real *edge, real *to)
{
    for (int64_t i = 0; i < n_own; i++)
        for (int64_t e = start[i]; e < start[i + 1]; e++)
            for (int k = 0; k < columns; k++)
                to[i * columns + k] += edge[e * columns + k];
}

/* ---- sums of two ends ---- */

static status edge_sum_adjoint(struct tape *tape, struct operation *op)
{
    const struct graph *graph = op->out->edges->graph;
    int heads = op->out->columns;
    real *source = tape_gradient(tape, op->in[0]), *destination = tape_gradient(tape, op->in[1]);
    if (destination)
        add_lists(graph->nodes.n_own, graph->in_start, heads, op->out->gradient, destination);
    real *turned = turn_gradient(tape, op->out);
    if (turned && source)
        add_lists(graph->nodes.n_own, graph->out_start, heads, turned, source);
    tape_give(tape, turned);
    return tape->fault;
}

struct matrix *nn_edge_sum(struct tape *tape, const struct edges *edges, struct matrix *at_source, struct matrix *at_destination)
{
    if (!tape_expect(tape, !at_source || !at_destination || at_source->columns == at_destination->columns, "nn_edge_sum",
                     "the two ends have different numbers of heads"))
        return NULL;
    struct operation *op =
        tape_record(tape, edge_sum_adjoint, edges, at_source ? at_source->columns : 0, 2, (struct matrix *[]){at_source, at_destination});
    if (tape_agree(tape) != MONGE_OK)
        return NULL;
    int heads = at_source->columns;
    real *ghost = bring_ghosts(tape, edges, heads, at_source->value);
    if (!ghost)
        return NULL;
    const struct graph *graph = edges->graph;
    for (int64_t i = 0; i < graph->nodes.n_own; i++)
        for (int64_t e = graph->in_start[i]; e < graph->in_start[i + 1]; e++) {
            const real *source = row_of(edges, at_source->value, ghost, graph->in_source[e], heads);
            for (int h = 0; h < heads; h++)
                op->out->value[e * heads + h] = source[h] + at_destination->value[i * heads + h];
        }
    tape_give(tape, ghost);
    return op->out;
}

/* ---- GATv2 ---- */

enum { LEFT, RIGHT, A, FEATURE, FEATURE_WEIGHT, BIAS };

static inline real leaky(real x, real slope)
{
    return x > 0 ? x : slope * x;
}

struct gatv2_sums {
    const struct tape *tape;
    const struct operation *op;
};

/* da, then d feature_weight, then d bias */
static void sum_gatv2(const void *context, int64_t c, double *restrict partial)
{
    const struct gatv2_sums *of = context;
    const struct operation *op = of->op;
    const struct edges *edges = op->out->edges;
    const struct graph *graph = edges->graph;
    int columns = op->in[LEFT]->columns, heads = op->out->columns, d = columns / heads;
    real slope = (real)op->constant[0];
    for (int64_t i = of->tape->chunk_start[c]; i < of->tape->chunk_start[c + 1]; i++)
        for (int64_t e = graph->in_start[i]; e < graph->in_start[i + 1]; e++) {
            const real *left = op->in[LEFT]->value + i * columns;
            const real *right = row_of(edges, op->in[RIGHT]->value, op->saved[0], graph->in_source[e], columns);
            for (int h = 0; h < heads; h++) {
                double g = (double)op->out->gradient[e * heads + h];
                for (int t = h * d; t < (h + 1) * d; t++)
                    partial[t] += g * (double)leaky(left[t] + right[t], slope);
                partial[columns + h] += g * (double)op->in[FEATURE]->value[e];
                partial[columns + heads + h] += g;
            }
        }
}

static status add_gatv2_parameters(struct tape *tape, struct operation *op)
{
    int columns = op->in[LEFT]->columns, heads = op->out->columns, n = columns + 2 * heads;
    real *da = tape_gradient(tape, op->in[A]), *dw = tape_gradient(tape, op->in[FEATURE_WEIGHT]), *db = tape_gradient(tape, op->in[BIAS]);
    double *total = tape_take(tape, n, sizeof *total);
    status s = tape_sum_rows(tape, n, sum_gatv2, &(struct gatv2_sums){tape, op}, total);
    if (s == MONGE_OK && da)
        add_total(columns, total, da);
    if (s == MONGE_OK && dw)
        add_total(heads, total + columns, dw);
    if (s == MONGE_OK && db)
        add_total(heads, total + columns + heads, db);
    tape_give(tape, total);
    return s;
}

/* to += g_h a_h LeakyReLU'(mine + other) of one edge, where `to` belongs to the end `mine` */
static inline void add_end(const struct operation *op, const real *g, const real *mine, const real *other, real *to)
{
    int heads = op->out->columns, d = op->in[LEFT]->columns / heads;
    real slope = (real)op->constant[0];
    for (int h = 0; h < heads; h++)
        for (int t = h * d; t < (h + 1) * d; t++)
            to[t] += g[h] * op->in[A]->value[t] * (mine[t] + other[t] > 0 ? (real)1 : slope);
}

static void add_left(const struct operation *op, real *to)
{
    const struct edges *edges = op->out->edges;
    const struct graph *graph = edges->graph;
    int columns = op->in[LEFT]->columns, heads = op->out->columns;
    for (int64_t i = 0; i < graph->nodes.n_own; i++)
        for (int64_t e = graph->in_start[i]; e < graph->in_start[i + 1]; e++)
            add_end(op, op->out->gradient + e * heads, op->in[LEFT]->value + i * columns,
                    row_of(edges, op->in[RIGHT]->value, op->saved[0], graph->in_source[e], columns), to + i * columns);
}

static void add_right(const struct operation *op, const real *turned, const real *ghost_left, real *to)
{
    const struct edges *edges = op->out->edges;
    const struct graph *graph = edges->graph;
    int columns = op->in[LEFT]->columns, heads = op->out->columns;
    for (int64_t j = 0; j < graph->nodes.n_own; j++)
        for (int64_t e = graph->out_start[j]; e < graph->out_start[j + 1]; e++)
            add_end(op, turned + e * heads, op->in[RIGHT]->value + j * columns,
                    row_of(edges, op->in[LEFT]->value, ghost_left, graph->out_destination[e], columns), to + j * columns);
}

static status gatv2_adjoint(struct tape *tape, struct operation *op)
{
    const struct edges *edges = op->out->edges;
    int columns = op->in[LEFT]->columns, heads = op->out->columns;
    real *left = tape_gradient(tape, op->in[LEFT]), *right = tape_gradient(tape, op->in[RIGHT]);
    real *feature = tape_gradient(tape, op->in[FEATURE]);
    if (left)
        add_left(op, left);
    for (int64_t e = 0; feature && e < edges->n_in; e++)
        for (int h = 0; h < heads; h++)
            feature[e] += op->out->gradient[e * heads + h] * op->in[FEATURE_WEIGHT]->value[h];
    real *turned = turn_gradient(tape, op->out);
    real *ghost = turned ? bring_ghosts(tape, edges, columns, op->in[LEFT]->value) : NULL;
    if (!ghost)
        return tape->fault;
    if (right)
        add_right(op, turned, ghost, right);
    tape_give(tape, turned);
    tape_give(tape, ghost);
    return add_gatv2_parameters(tape, op);
}

struct matrix *nn_edge_gatv2(struct tape *tape, const struct edges *edges, double slope, struct matrix *left, struct matrix *right,
                             struct matrix *a, struct matrix *feature, struct matrix *feature_weight, struct matrix *bias)
{
    if (!tape_expect(tape,
                     !left || !right || !a || !feature ||
                         (left->columns == right->columns && a->rows * a->columns == left->columns && feature->edges == edges),
                     "nn_edge_gatv2", "left, right, a or feature does not fit"))
        return NULL;
    struct operation *op = tape_record(tape, gatv2_adjoint, edges, a ? (int)a->rows : 0, 6,
                                       (struct matrix *[]){left, right, a, feature, feature_weight, bias});
    if (tape_agree(tape) != MONGE_OK)
        return NULL;
    op->constant[0] = slope;
    int columns = left->columns, heads = op->out->columns, d = a->columns;
    const real *ghost = op->saved[0] = bring_ghosts(tape, edges, columns, right->value);
    if (!ghost)
        return NULL;
    const struct graph *graph = edges->graph;
    for (int64_t i = 0; i < graph->nodes.n_own; i++)
        for (int64_t e = graph->in_start[i]; e < graph->in_start[i + 1]; e++) {
            const real *l = left->value + i * columns, *r = row_of(edges, right->value, ghost, graph->in_source[e], columns);
            for (int h = 0; h < heads; h++) {
                real score = feature->value[e] * feature_weight->value[h] + bias->value[h];
                for (int t = h * d; t < (h + 1) * d; t++)
                    score += a->value[t] * leaky(l[t] + r[t], (real)slope);
                op->out->value[e * heads + h] = score;
            }
        }
    return op->out;
}

/* ---- softmax ---- */

/* ds_e = p_e (g_e - sum over the list of p g), g = dp */
static status softmax_adjoint(struct tape *tape, struct operation *op)
{
    const struct graph *graph = op->out->edges->graph;
    const real *p = op->out->value, *g = op->out->gradient;
    int heads = op->out->columns;
    real *ds = tape_gradient(tape, op->in[0]);
    for (int64_t i = 0; ds && i < graph->nodes.n_own; i++)
        for (int h = 0; h < heads; h++) {
            double mean = 0.0;
            for (int64_t e = graph->in_start[i]; e < graph->in_start[i + 1]; e++)
                mean += (double)p[e * heads + h] * (double)g[e * heads + h];
            for (int64_t e = graph->in_start[i]; e < graph->in_start[i + 1]; e++)
                ds[e * heads + h] += (real)((double)p[e * heads + h] * ((double)g[e * heads + h] - mean));
        }
    return tape->fault;
}

struct matrix *nn_edge_softmax(struct tape *tape, struct matrix *score, double epsilon)
{
    if (!tape_expect(tape, !score || score->edges, "nn_edge_softmax", "scores are not over edges"))
        return NULL;
    struct operation *op =
        tape_record(tape, softmax_adjoint, score ? score->edges : NULL, score ? score->columns : 0, 1, (struct matrix *[]){score});
    if (!op)
        return NULL;
    const struct graph *graph = score->edges->graph;
    int heads = score->columns;
    for (int64_t i = 0; i < graph->nodes.n_own; i++)
        for (int h = 0; h < heads; h++) {
            double most = -INFINITY, sum = 0.0;
            for (int64_t e = graph->in_start[i]; e < graph->in_start[i + 1]; e++)
                most = fmax(most, (double)score->value[e * heads + h]);
            for (int64_t e = graph->in_start[i]; e < graph->in_start[i + 1]; e++)
                sum += exp_inline((double)score->value[e * heads + h] - most);
            for (int64_t e = graph->in_start[i]; e < graph->in_start[i + 1]; e++)
                op->out->value[e * heads + h] = (real)(exp_inline((double)score->value[e * heads + h] - most) / (sum + epsilon));
        }
    return op->out;
}
