/* Exact optimal transport by the network simplex method, local to one rank.
 *
 *     min <C, T>,  T 1 = p,  T' 1 = q,  T >= 0          max f'p + g'q,  f_i + g_k <= C_ik  (equality where T_ik > 0)
 *
 * Weights become integers and costs multiples of a power of two near 2^-42 of the largest one, so that every pivot is exact: no
 * tolerance, no limit of pivots, no cycling (strongly feasible trees), and the same answer on every machine. The plan's sums are p and q
 * within 1e-15 of the mass; the potentials satisfy the above within 2e-13 of the largest cost.
 *
 * Dantzig 1951; Cunningham 1976 (strongly feasible trees); Ahuja, Magnanti & Orlin 1993, chapter 11; Bonneel et al. 2011 (transport). */
#ifndef MONGE_TRANSPORT_SIMPLEX_H
#define MONGE_TRANSPORT_SIMPLEX_H

#include <stdint.h>

#include "monge/transport_plan.h"

enum transport_outcome {
    TRANSPORT_OPTIMAL,
    TRANSPORT_INFEASIBLE /* no plan on the allowed pairs has these sums; see `missing` */
};

struct transport_simplex_result {
    enum transport_outcome outcome;
    double cost;    /* <C, T> of the costs given */
    double missing; /* infeasible: share of the mass that finds no way, at least (0 if optimal) */
    int64_t pivots;
};

/* cost: n x m, row-major; INFINITY forbids a pair. p [n], q [m]: weights >= 0 of equal sums (1e-10 relative). plan: to be freed by the
 * caller; if infeasible it carries the mass that finds a way. f [n], g [m]: potentials, or NULL; those of zero weights fit too.
 * MONGE_BAD_DATA for NaN costs, bad weights, no mass. */
status transport_simplex_dense(int64_t n, int64_t m, const double *cost, const double *p, const double *q, struct transport_plan *plan,
                               double *f, double *g, struct transport_simplex_result *result);

/* The same on listed pairs: row i may use column[k] at cost[k], k = row_start[i] .. row_start[i + 1] - 1. start_f [n] and start_g [m]: near
 * potentials (e.g. of Sinkhorn), both or neither NULL: they only save time. */
status transport_simplex_sparse(int64_t n, int64_t m, const int64_t *row_start, const int64_t *column, const double *cost, const double *p,
                                const double *q, const double *start_f, const double *start_g, struct transport_plan *plan, double *f,
                                double *g, struct transport_simplex_result *result);

/* A sequence of dense problems of equal weights and changing costs: each solve starts from the tree of the one before. */
struct transport_simplex;
status transport_simplex_new(struct transport_simplex **simplex, int64_t n, int64_t m, const double *p, const double *q);
/* The same on listed pairs (transport_simplex_sparse); row_start, column and the start potentials of the first solve (or NULL) are borrowed. */
status transport_simplex_new_sparse(struct transport_simplex **simplex, int64_t n, int64_t m, const int64_t *row_start,
                                    const int64_t *column, const double *p, const double *q, const double *start_f, const double *start_g);
status transport_simplex_solve(struct transport_simplex *simplex, const double *cost, struct transport_plan *plan, double *f, double *g,
                               struct transport_simplex_result *result);
/* More pairs, with those of before among them (columns ascending within rows; borrowed): the next solve still starts from the tree. */
void transport_simplex_widen(struct transport_simplex *simplex, const int64_t *row_start, const int64_t *column);
void transport_simplex_free(struct transport_simplex *simplex);

#endif
