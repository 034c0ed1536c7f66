/* Every operation of nn.h as a small case: a function of leaves (matrices over nodes or edges, or parameters) to a loss. tests/nn/test_operations.c
 * runs the same cases in both precisions, on any communicator; a new operation gets its finite-difference, precision and rank tests by a new
 * case in nn_cases_real.h. */
#ifndef TESTS_NN_CASES_H
#define TESTS_NN_CASES_H

#include <mpi.h>
#include <stddef.h>
#include <stdint.h>

enum { CASE_LEAVES = 8 };

/* All in global order (nodes; edges by destination, then source), the same on all ranks. */
struct case_result {
    double loss;
    size_t n_out;
    double *out; /* the operation's result */
    int n_leaves;
    size_t n[CASE_LEAVES];
    double *gradient[CASE_LEAVES];
};

/* delta is added to one element of a leaf; leaf -1: none */
struct case_change {
    int leaf;
    size_t element;
    double delta;
};

struct case_world; /* a graph, sparse rows and a tape on some ranks */

int cases_number(void);
const char *case_name(int number);

/* Collective over comm. n_nodes 1 or more: some isolated, one a hub, several chunks. */
struct case_world *case_world_new_f32(MPI_Comm comm, int64_t n_nodes);
struct case_world *case_world_new_f64(MPI_Comm comm, int64_t n_nodes);
void case_world_free_f32(struct case_world *world);
void case_world_free_f64(struct case_world *world);
void case_run_f32(struct case_world *world, int number, struct case_change change, struct case_result *result);
void case_run_f64(struct case_world *world, int number, struct case_change change, struct case_result *result);
void case_result_free(struct case_result *result);

#endif
