/* Normalisation and variable genes against golden vectors (R's loess, scanpy's arithmetic) and dense twins. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/loess.h"
#include "monge/normalise.h"
#include "monge/rng.h"
#include "monge/variable_genes.h"
#include "stat/rows_case.h"

enum { N = 400, G = 500, TOP = 40 };

struct golden {
    const char *file;
    double *counts;
    struct partition rows;
    struct sparse_rows own;
};

static bool golden_new(struct golden *golden)
{
    golden->file = shared_data("golden/latent/hvg.h5");
    if (!golden->file)
        return false;
    size_t n;
    golden->counts = golden_read(golden->file, "counts", &n);
    assert_int_equal(n, N * G);
    rows_case_partition(&golden->rows, MPI_COMM_WORLD, N, 32);
    rows_case_sparse(&golden->own, &golden->rows, G, golden->counts);
    return true;
}

static void golden_free(struct golden *golden)
{
    free(golden->counts);
    sparse_rows_free(&golden->own);
    partition_free(&golden->rows);
}

static double *vector(const struct golden *golden, const char *name, size_t expected)
{
    size_t n;
    double *values = golden_read(golden->file, name, &n);
    assert_int_equal(n, expected);
    return values;
}

/* max |a - b| / (|b| + 1e-3), where both are finite */
static double relative(const double *a, const double *b, int n)
{
    double most = 0.0;
    for (int i = 0; i < n; i++)
        if (isfinite(b[i]))
            most = fmax(most, fabs(a[i] - b[i]) / (fabs(b[i]) + 1e-3));
    return most;
}

static void bound(const char *name, double value, double limit)
{
    figure(name, value, "<=", limit);
    assert_true(value <= limit);
}

static int compare(const void *a, const void *b)
{
    double p = *(const double *)a, q = *(const double *)b;
    return (p > q) - (p < q);
}

static void seurat_v3_meets_the_golden_vectors(void **state)
{
    (void)state;
    struct golden golden;
    if (!golden_new(&golden))
        return;
    double *mean = vector(&golden, "mean", G), *variance = vector(&golden, "var", G), *rank = vector(&golden, "rank40", TOP);
    double *direct = vector(&golden, "var_norm_direct", G), *interpolated = vector(&golden, "var_norm", G);
    struct variable_genes genes;
    assert_int_equal(variable_genes_seurat_v3(&genes, &golden.rows, &golden.own, G, NULL, 1, NULL, TOP), MONGE_OK);
    bound("means, relative", relative(genes.mean, mean, G), 1e-12);
    bound("variances, relative", relative(genes.variance, variance, G), 1e-12);
    bound("normalised variances, direct loess", relative(genes.score, direct, G), 1e-9);
    bound("normalised variances, R's interpolated loess", relative(genes.score, interpolated, G), 1e-2);
    qsort(rank, TOP, sizeof *rank, compare);
    assert_int_equal(genes.n, TOP);
    for (int k = 0; k < TOP; k++)
        assert_int_equal(genes.gene[k], (int)rank[k]);
    variable_genes_free(&genes);
    free(mean);
    free(variance);
    free(rank);
    free(direct);
    free(interpolated);
    golden_free(&golden);
}

static void loess_meets_r(void **state)
{
    (void)state;
    struct golden golden;
    if (!golden_new(&golden))
        return;
    double *mean = vector(&golden, "mean", G), *variance = vector(&golden, "var", G), x[G], y[G], fit[G];
    double *direct = vector(&golden, "loess_fit_direct", G - 1), *interpolated = vector(&golden, "loess_fit_interpolate", G - 1);
    int n = 0;
    for (int g = 0; g < G; g++)
        if (variance[g] > 0.0) {
            x[n] = log10(mean[g]);
            y[n++] = log10(variance[g]);
        }
    assert_int_equal(n, G - 1);
    assert_int_equal(loess_quadratic(n, x, y, .3, fit), MONGE_OK);
    bound("loess against R's direct surface", max_difference(fit, direct, (size_t)n), 1e-9);
    bound("loess against R's interpolated surface", max_difference(fit, interpolated, (size_t)n), 2e-3);
    free(mean);
    free(variance);
    free(direct);
    free(interpolated);
    golden_free(&golden);
}

/* A quadratic is met exactly; ties in x and windows of one place do no harm. */
static void loess_of_few_places(void **state)
{
    (void)state;
    double x[60], y[60], fit[60];
    for (int i = 0; i < 60; i++) {
        x[i] = (i * 37) % 60;
        y[i] = 2.0 - .3 * x[i] + .01 * x[i] * x[i];
    }
    assert_int_equal(loess_quadratic(60, x, y, .3, fit), MONGE_OK);
    assert_true(max_difference(fit, y, 60) < 1e-10);
    for (int i = 0; i < 60; i++) { /* 50 of 60 at one place: windows of 18 there have width 0 */
        x[i] = i < 50 ? 0.0 : i - 49;
        y[i] = i < 50 ? i % 2 : 3.0;
    }
    assert_int_equal(loess_quadratic(60, x, y, .3, fit), MONGE_OK);
    assert_true(fabs(fit[0] - .5) < 1e-12);
    for (int i = 0; i < 60; i++)
        assert_true(isfinite(fit[i]));
    for (int i = 0; i < 60; i++) /* two places: a line through their means */
        x[i] = i % 2, y[i] = i % 2 ? 4.0 : 1.0 + i % 4;
    assert_int_equal(loess_quadratic(60, x, y, 1.0, fit), MONGE_OK);
    assert_true(isfinite(fit[0]) && isfinite(fit[1]));
    double one = 7.0;
    assert_int_equal(loess_quadratic(1, &one, &one, .3, fit), MONGE_OK);
    assert_true(fit[0] == 7.0);
    assert_int_equal(loess_quadratic(0, x, y, .3, fit), MONGE_OK);
}

static void cell_ranger_meets_the_golden_vectors(void **state)
{
    (void)state;
    struct golden golden;
    if (!golden_new(&golden))
        return;
    double *mean = vector(&golden, "logX_mean", G), *dispersion = vector(&golden, "dispersion", G), *bins = vector(&golden, "bin", G);
    double *expected = vector(&golden, "disp_norm_cellranger", G), normalised[G], *total = malloc((N + 1) * sizeof *total);
    int32_t bin[G];
    assert_int_equal(variable_genes_dispersion(G, mean, dispersion, bin, normalised), MONGE_OK);
    for (int g = 0; g < G; g++)
        assert_int_equal(bin[g], (int)bins[g]);
    bound("normalised dispersions, relative", relative(normalised, expected, G), 1e-10);
    normalise_totals(&golden.own, total);
    struct sparse_rows log;
    assert_int_equal(normalise_log(&golden.own, total, NORMALISE_TARGET, G, NULL, &log), MONGE_OK);
    struct variable_genes genes;
    assert_int_equal(variable_genes_cell_ranger(&genes, &golden.rows, &log, G, NULL, 1, NULL, TOP), MONGE_OK);
    bound("means of log counts, relative", relative(genes.mean, mean, G), 1e-6);
    bound("normalised dispersions of float log counts", relative(genes.score, expected, G), 1e-4);
    double sorted[G], least; /* the TOP largest */
    memcpy(sorted, expected, sizeof sorted);
    qsort(sorted, G, sizeof *sorted, compare);
    least = sorted[G - TOP];
    for (int k = 0; k < genes.n; k++)
        assert_true(expected[genes.gene[k]] >= least * (1.0 - 1e-5));
    variable_genes_free(&genes);
    sparse_rows_free(&log);
    free(mean);
    free(dispersion);
    free(bins);
    free(expected);
    free(total);
    golden_free(&golden);
}

/* ---- batches, degenerate input, ranks ---- */

enum { ROWS = 150, GENES = 60 };

/* Gene g varies more the larger g % 10 is; gene 7 is constant, gene 8 absent, row 11 empty. Rows 90 on are the second batch. */
static double *small_table(void)
{
    double *table = calloc(ROWS * GENES, sizeof *table);
    for (int i = 0; i < ROWS; i++)
        for (int g = 0; g < GENES && i != 11; g++) {
            struct rng rng = rng_start(3, RNG_TEST, (uint64_t)(i * GENES + g));
            double level = (1.0 + g) * (.2 + (double)(g % 10) * rng_uniform(&rng));
            table[i * GENES + g] = g == 7 ? 3.0 : g == 8 ? 0.0 : (double)rng_poisson(&rng, level);
        }
    return table;
}

/* Median rank, then number of batches, then gene: from the scores of each batch alone. */
static void batches_are_combined_by_rank(void **state)
{
    (void)state;
    enum { TAKE = 12, SECOND = 90 };
    double *table = small_table(), score[2][GENES];
    int32_t *batch = malloc(ROWS * sizeof *batch);
    struct partition rows;
    struct sparse_rows own;
    struct variable_genes genes;
    for (int b = 0; b < 2; b++) { /* each batch alone */
        int first = b ? SECOND : 0, n = b ? ROWS - SECOND : SECOND;
        rows_case_partition(&rows, MPI_COMM_WORLD, n, 16);
        rows_case_sparse(&own, &rows, GENES, table + first * GENES);
        assert_int_equal(variable_genes_seurat_v3(&genes, &rows, &own, GENES, NULL, 1, NULL, TAKE), MONGE_OK);
        memcpy(score[b], genes.score, sizeof score[b]);
        variable_genes_free(&genes);
        sparse_rows_free(&own);
        partition_free(&rows);
    }
    int place[2][GENES] = {{0}}, chosen[GENES] = {0};
    double median[GENES];
    for (int g = 0; g < GENES; g++) {
        double sum = 0.0;
        for (int b = 0; b < 2; b++) {
            for (int h = 0; h < GENES; h++)
                place[b][g] += score[b][h] > score[b][g] || (score[b][h] == score[b][g] && h < g);
            chosen[g] += place[b][g] < TAKE;
            sum += place[b][g] < TAKE ? place[b][g] : 0;
        }
        median[g] = chosen[g] ? sum / chosen[g] : INFINITY;
    }
    rows_case_partition(&rows, MPI_COMM_WORLD, ROWS, 16);
    rows_case_sparse(&own, &rows, GENES, table);
    for (int64_t i = 0; i < rows.n_own; i++)
        batch[i] = rows.first + i >= SECOND;
    assert_int_equal(variable_genes_seurat_v3(&genes, &rows, &own, GENES, NULL, 2, batch, TAKE), MONGE_OK);
    assert_int_equal(genes.n, TAKE);
    for (int g = 0; g < GENES; g++) {
        int before = 0, taken = 0;
        for (int h = 0; h < GENES; h++)
            before += median[h] < median[g] || (median[h] == median[g] && (chosen[h] > chosen[g] || (h < g && chosen[h] == chosen[g])));
        for (int k = 0; k < genes.n; k++)
            taken += genes.gene[k] == g;
        assert_int_equal(taken, before < TAKE);
        assert_true(fabs(genes.score[g] - .5 * (score[0][g] + score[1][g])) <= 1e-12 * (1.0 + fabs(genes.score[g])));
    }
    variable_genes_free(&genes);
    assert_int_equal(variable_genes_cell_ranger(&genes, &rows, &own, GENES, NULL, 2, batch, TAKE), MONGE_OK);
    assert_int_equal(genes.n, TAKE);
    variable_genes_free(&genes);
    sparse_rows_free(&own);
    partition_free(&rows);
    free(batch);
    free(table);
}

static void few_genes_filters_and_ranks(void **state)
{
    (void)state;
    double *table = small_table();
    struct partition rows, alone;
    struct sparse_rows own, whole;
    struct variable_genes shared, single;
    uint8_t expressed[GENES];
    int n;
    rows_case_partition(&rows, MPI_COMM_WORLD, ROWS, 16);
    rows_case_partition(&alone, MPI_COMM_SELF, ROWS, 16);
    rows_case_sparse(&own, &rows, GENES, table);
    rows_case_sparse(&whole, &alone, GENES, table);
    assert_int_equal(variable_genes_expressed(MPI_COMM_WORLD, &own, GENES, 1, expressed, &n), MONGE_OK);
    assert_int_equal(n, GENES - 1);
    assert_true(!expressed[8] && expressed[7]);
    assert_int_equal(variable_genes_seurat_v3(&shared, &rows, &own, GENES, expressed, 1, NULL, 1000), MONGE_OK);
    assert_int_equal(shared.n, GENES - 1); /* fewer than asked: all */
    assert_true(isnan(shared.score[8]));
    assert_int_equal(variable_genes_seurat_v3(&single, &alone, &whole, GENES, expressed, 1, NULL, 1000), MONGE_OK);
    for (int g = 0; g < GENES; g++) /* bits */
        assert_memory_equal(&shared.score[g], &single.score[g], g == 8 ? 0 : sizeof(double));
    variable_genes_free(&shared);
    variable_genes_free(&single);
    assert_int_equal(variable_genes_expressed(MPI_COMM_WORLD, &own, GENES, ROWS + 1, expressed, &n), MONGE_OK);
    assert_int_equal(n, 0);
    assert_int_equal(variable_genes_seurat_v3(&shared, &rows, &own, GENES, expressed, 1, NULL, 5), MONGE_BAD_DATA);
    assert_int_equal(variable_genes_cell_ranger(&shared, &rows, &own, GENES, expressed, 1, NULL, 5), MONGE_BAD_DATA);
    sparse_rows_free(&own);
    sparse_rows_free(&whole);
    partition_free(&rows);
    partition_free(&alone);
    rows_case_partition(&rows, MPI_COMM_WORLD, 1, 16);
    rows_case_sparse(&own, &rows, GENES, table);
    assert_int_equal(variable_genes_seurat_v3(&shared, &rows, &own, GENES, NULL, 1, NULL, 5), MONGE_BAD_DATA); /* one spot */
    sparse_rows_free(&own);
    partition_free(&rows);
    free(table);
}

static void normalisation(void **state)
{
    (void)state;
    const double target = 3500.5;
    double *table = small_table(), sum[ROWS], total[ROWS];
    const int32_t gene[3] = {2, 7, 59};
    struct partition rows;
    struct sparse_rows own, chosen;
    rows_case_partition(&rows, MPI_COMM_WORLD, ROWS, 16);
    rows_case_sparse(&own, &rows, GENES, table);
    for (int i = 0; i < ROWS; i++) {
        sum[i] = 0.0;
        for (int g = 0; g < GENES; g++)
            sum[i] += table[i * GENES + g];
    }
    normalise_totals(&own, total);
    assert_true(max_difference(total, sum + rows.first, (size_t)rows.n_own) == 0.0);
    assert_int_equal(normalise_log(&own, total, target, 3, gene, &chosen), MONGE_OK);
    double error = 0.0;
    for (int64_t i = 0; i < rows.n_own; i++) {
        double dense[3] = {0.0};
        for (int64_t k = chosen.start[i]; k < chosen.start[i + 1]; k++)
            dense[chosen.column[k]] = (double)chosen.value[k];
        for (int f = 0; f < 3; f++) {
            double count = table[(rows.first + i) * GENES + gene[f]];
            error = fmax(error, fabs(dense[f] - (count > 0.0 ? log1p(target * count / sum[rows.first + i]) : 0.0)));
        }
    }
    bound("log-normalised values of chosen genes", error, 1e-6);
    sparse_rows_free(&chosen);
    sparse_rows_free(&own);
    partition_free(&rows);
    free(table);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(loess_meets_r),
                                       cmocka_unit_test(seurat_v3_meets_the_golden_vectors),
                                       cmocka_unit_test(loess_of_few_places),
                                       cmocka_unit_test(cell_ranger_meets_the_golden_vectors),
                                       cmocka_unit_test(few_genes_filters_and_ranks),
                                       cmocka_unit_test(batches_are_combined_by_rank),
                                       cmocka_unit_test(normalisation)};
    SUITE(argc, argv, tests);
}
