/* Block-cyclic matrices against plain loops, on any number of ranks. */
#include <math.h>
#include <stdlib.h>

#include "monge/block_cyclic.h"
#include "monge/rng.h"
#include "support/suite.h"

enum { M = 150, N = 130, K = 97 };

static double *random_dense(int rows, int cols, uint64_t stream)
{
    double *a = malloc((size_t)(rows * cols) * sizeof *a);
    struct rng rng = rng_start(11, RNG_TEST, stream);
    for (int i = 0; i < rows * cols; i++)
        a[i] = rng_normal(&rng);
    return a;
}

static void product_is_the_product(void **state)
{
    (void)state;
    struct blacs_grid grid;
    struct block_cyclic a, b, c;
    assert_int_equal(blacs_grid_new(&grid, MPI_COMM_WORLD), MONGE_OK);
    double *x = random_dense(K, M, 1), *y = random_dense(K, N, 2), *z = malloc(M * N * sizeof *z), *truth = calloc(M * N, sizeof *truth);
    assert_int_equal(block_cyclic_new(&a, &grid, K, M) | block_cyclic_new(&b, &grid, K, N) | block_cyclic_new(&c, &grid, M, N), MONGE_OK);
    block_cyclic_scatter(&a, x);
    block_cyclic_scatter(&b, y);
    block_cyclic_product(&a, 1, &b, 0, &c);
    assert_int_equal(block_cyclic_gather(&c, 0, N, MPI_COMM_WORLD, z), MONGE_OK);
    for (int i = 0; i < M; i++)
        for (int k = 0; k < K; k++)
            for (int j = 0; j < N; j++)
                truth[i * N + j] += x[k * M + i] * y[k * N + j];
    double error = max_difference(z, truth, M * N);
    figure("X'Y against plain loops", error, "<=", 1e-11);
    assert_true(error <= 1e-11);
    block_cyclic_free(&a);
    block_cyclic_free(&b);
    block_cyclic_free(&c);
    blacs_grid_free(&grid);
    free(x);
    free(y);
    free(z);
    free(truth);
}

static void check_eigenvectors(int n)
{
    struct blacs_grid grid;
    struct block_cyclic a, z;
    assert_int_equal(blacs_grid_new(&grid, MPI_COMM_WORLD), MONGE_OK);
    size_t entries = (size_t)n * (size_t)n;
    double *x = random_dense(n, n, 3), *vectors = malloc(entries * sizeof *vectors), values[M];
    for (int i = 0; i < n; i++)
        for (int j = 0; j < i; j++)
            x[i * n + j] = x[j * n + i];
    assert_int_equal(block_cyclic_new(&a, &grid, n, n) | block_cyclic_new(&z, &grid, n, n), MONGE_OK);
    block_cyclic_scatter(&a, x);
    assert_int_equal(block_cyclic_eigen(&a, values, &z), MONGE_OK);
    assert_int_equal(block_cyclic_gather(&z, 0, n, MPI_COMM_WORLD, vectors), MONGE_OK);
    double residual = 0.0, orthogonal = 0.0;
    for (int e = 0; e < n; e++) {
        assert_true(e == 0 || values[e] >= values[e - 1]);
        for (int i = 0; i < n; i++) {
            double sum = -values[e] * vectors[i * n + e];
            for (int j = 0; j < n; j++)
                sum += x[i * n + j] * vectors[j * n + e];
            residual = fmax(residual, fabs(sum));
        }
        for (int f = 0; f <= e; f++) {
            double dot = e == f ? -1.0 : 0.0;
            for (int i = 0; i < n; i++)
                dot += vectors[i * n + e] * vectors[i * n + f];
            orthogonal = fmax(orthogonal, fabs(dot));
        }
    }
    figure("|A v - lambda v|", residual, "<=", 1e-11);
    figure("|V'V - I|", orthogonal, "<=", 1e-12);
    assert_true(residual <= 1e-11 && orthogonal <= 1e-12);
    block_cyclic_free(&a);
    block_cyclic_free(&z);
    blacs_grid_free(&grid);
    free(x);
    free(vectors);
}

/* The small one lies on one rank whole; its eigenvalues are known on all. */
static void eigenvectors_solve_the_problem(void **state)
{
    (void)state;
    check_eigenvectors(M);
    check_eigenvectors(10);
}

/* Rows dealt unevenly (rank 0 may hold none) -> block-cyclic -> rows. */
static void rows_go_there_and_back(void **state)
{
    (void)state;
    struct blacs_grid grid;
    struct block_cyclic from, twin;
    assert_int_equal(blacs_grid_new(&grid, MPI_COMM_WORLD), MONGE_OK);
    double *x = random_dense(M, N, 4), *back = malloc(M * N * sizeof *back);
    assert_int_equal(block_cyclic_new(&from, &grid, M, N) | block_cyclic_new(&twin, &grid, M, N), MONGE_OK);
    int size = suite_size(), rank = suite_rank();
    int first = M * rank * rank / (size * size), end = M * (rank + 1) * (rank + 1) / (size * size);
    if (size > 1) { /* the first rank's rows go to the second */
        first = rank == 0 || rank == 1 ? 0 : first;
        end = rank == 0 ? 0 : end;
    }
    assert_int_equal(block_cyclic_from_rows(&from, end - first, x + first * N), MONGE_OK);
    block_cyclic_scatter(&twin, x);
    assert_memory_equal(from.local, twin.local, (size_t)from.local_rows * (size_t)from.local_cols * sizeof *from.local);
    assert_int_equal(block_cyclic_to_rows(&from, end - first, back), MONGE_OK);
    assert_memory_equal(back, x + first * N, (size_t)(end - first) * N * sizeof *x);
    assert_int_equal(block_cyclic_from_rows(&from, end - first + (rank == 0), x), MONGE_INTERNAL); /* one row too many */
    block_cyclic_free(&from);
    block_cyclic_free(&twin);
    blacs_grid_free(&grid);
    free(x);
    free(back);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(rows_go_there_and_back), cmocka_unit_test(product_is_the_product),
                                       cmocka_unit_test(eigenvectors_solve_the_problem)};
    SUITE(argc, argv, tests);
}
