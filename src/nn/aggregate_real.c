/* Aggregation with given attention: y_i = sum over edges into i of attention x_source.
 *
 * Forward: rows whose sources are all own are summed while the halo of x is under way. Adjoint, with g = dy: the attention's part <g_i, x_j> is
 * computed where i is owned, from the ghosts kept; the part of x, sum over edges out of j of attention g_i, gathers at j over turned
 * attention while the halo of g is under way. */
#include <string.h>

#include "gather.h"
#include "loops.h"
#include "monge/nn.h"

enum { ATTENTION, X };

/* The lists of one direction. */
struct lists {
    const int64_t *start;
    const int32_t *neighbour;
    const int64_t *order;
};

/* to[i] = (or +=, where `add`) sum over the list of i of attention x row, for nodes order[first..end) */
static void gather_lists(const struct lists *lists, int64_t first, int64_t end, int heads, const real *attention,
                         const struct gather_rows *rows, bool add, real *to, real *room)
{
    int columns = (int)rows->stride, d = columns / heads;
    for (int64_t k = first; k < end; k++) {
        int64_t i = lists->order[k], e = lists->start[i], n = lists->start[i + 1] - e;
        real *sum = add ? room : to + i * columns;
        for (int h = 0; h < heads; h++)
            gather_sum(n, lists->neighbour + e, attention + e * heads + h, heads, rows, h * d, d, sum + h * d);
        for (int c = 0; add && c < columns; c++)
            to[i * columns + c] += sum[c];
    }
}

/* Halo of `own` into `ghost`, with the sums over interior lists meanwhile and the others after. Collective. */
static status gather_with_halo(struct tape *tape, const struct edges *edges, const struct lists *lists, int64_t n_interior, int heads,
                               int columns, const real *attention, const real *own, real *ghost, bool add, real *to)
{
    const struct graph *graph = edges->graph;
    struct gather_rows rows = {.own = own, .ghost = ghost, .n_own = graph->nodes.n_own, .stride = columns};
    real *room = tape_take(tape, columns, sizeof *room);
    if (tape_agree(tape) != MONGE_OK)
        return tape->fault;
    status s = halo_start(graph->halo, (size_t)columns * sizeof *own, own, ghost);
    if (s != MONGE_OK)
        return s;
    if (to)
        gather_lists(lists, 0, n_interior, heads, attention, &rows, add, to, room);
    s = halo_finish(graph->halo);
    if (to)
        gather_lists(lists, n_interior, graph->nodes.n_own, heads, attention, &rows, add, to, room);
    tape_give(tape, room);
    return s;
}

/* d attention += <g_i, x_j> by head */
static void add_dots(const struct operation *op, real *to)
{
    const struct matrix *attention = op->in[ATTENTION], *x = op->in[X];
    const struct graph *graph = attention->edges->graph;
    int columns = x->columns, heads = attention->columns, d = columns / heads;
    struct gather_rows rows = {.own = x->value, .ghost = op->saved[0], .n_own = graph->nodes.n_own, .stride = columns};
    for (int64_t i = 0; i < graph->nodes.n_own; i++)
        for (int64_t e = graph->in_start[i]; e < graph->in_start[i + 1]; e++) {
            const real *source = gather_row(&rows, graph->in_source[e]), *g = op->out->gradient + i * columns;
            for (int h = 0; h < heads; h++)
                to[e * heads + h] += dot(d, g + h * d, source + h * d);
        }
}

static status aggregate_adjoint(struct tape *tape, struct operation *op)
{
    struct matrix *attention = op->in[ATTENTION], *x = op->in[X];
    const struct edges *edges = attention->edges;
    const struct graph *graph = edges->graph;
    int columns = x->columns, heads = attention->columns;
    real *d_attention = tape_gradient(tape, attention), *dx = tape_gradient(tape, x);
    if (d_attention)
        add_dots(op, d_attention);
    if (!x->needs_gradient)
        return tape->fault;
    real *turned = tape_take(tape, edges->n_out * heads, sizeof *turned),
         *ghost = tape_take(tape, graph->n_ghosts * columns, sizeof *ghost);
    if (tape_agree(tape) != MONGE_OK)
        return tape->fault;
    status s = edges_turn(edges, (size_t)heads * sizeof *turned, attention->value, turned);
    if (s == MONGE_OK)
        s = gather_with_halo(tape, edges, &(struct lists){graph->out_start, graph->out_destination, edges->out_order},
                             edges->n_out_interior, heads, columns, turned, op->out->gradient, ghost, true, dx);
    tape_give(tape, turned);
    tape_give(tape, ghost);
    return s;
}

struct matrix *nn_aggregate(struct tape *tape, struct matrix *attention, struct matrix *x)
{
    if (!tape_expect(tape, !attention || !x || (attention->edges && !x->edges && x->columns % attention->columns == 0), "nn_aggregate",
                     "attention is not over edges, or its heads do not divide the columns of x"))
        return NULL;
    struct operation *op = tape_record(tape, aggregate_adjoint, NULL, x ? x->columns : 0, 2, (struct matrix *[]){attention, x});
    real *ghost = op ? tape_take(tape, attention->edges->graph->n_ghosts * x->columns, sizeof *ghost) : NULL;
    if (tape_agree(tape) != MONGE_OK)
        return NULL;
    const struct edges *edges = attention->edges;
    const struct graph *graph = edges->graph;
    op->saved[0] = ghost;
    tape->fault = gather_with_halo(tape, edges, &(struct lists){graph->in_start, graph->in_source, edges->in_order}, edges->n_in_interior,
                                   attention->columns, x->columns, attention->value, x->value, ghost, false, op->out->value);
    return tape->fault == MONGE_OK ? op->out : NULL;
}
