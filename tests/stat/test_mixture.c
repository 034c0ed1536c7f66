/* Gaussian mixtures against plain expectation maximisation from the same start; ranks; degenerate data; the choice of the number of clusters. */
#include <string.h>

#include "cluster_rows.h"
#include "monge/cluster_choice.h"
#include "monge/kmeans.h"
#include "monge/label_scores.h"
#include "monge/labels.h"
#include "monge/mixture.h"
#include "support/suite.h"

enum { ROWS = 400, COLUMNS = 4, K = 3 };

/* ---- the twin: textbook EM, one row and component at a time ---- */

struct twin {
    double weight[K], mean[K][COLUMNS], covariance[K][COLUMNS][COLUMNS], posterior[ROWS][K], log_likelihood;
};

/* log N(x; mean, covariance) by Gaussian elimination */
static double log_density(const double *x, const double *mean, double covariance[COLUMNS][COLUMNS])
{
    double a[COLUMNS][COLUMNS + 1], square = 0.0, log_determinant = 0.0;
    for (int i = 0; i < COLUMNS; i++) {
        memcpy(a[i], covariance[i], COLUMNS * sizeof(double));
        a[i][COLUMNS] = x[i] - mean[i];
    }
    for (int p = 0; p < COLUMNS; p++) {
        log_determinant += log(a[p][p]);
        square += a[p][COLUMNS] * a[p][COLUMNS] / a[p][p];
        for (int i = p + 1; i < COLUMNS; i++)
            for (int j = COLUMNS; j >= p; j--)
                a[i][j] -= a[i][p] / a[p][p] * a[p][j];
    }
    return -0.5 * (COLUMNS * log(2.0 * M_PI) + log_determinant + square);
}

static void twin_expect(struct twin *t, const double *value)
{
    t->log_likelihood = 0.0;
    for (int i = 0; i < ROWS; i++) {
        double term[K], most = -INFINITY, sum = 0.0;
        for (int c = 0; c < K; c++)
            most = fmax(most, term[c] = log(t->weight[c]) + log_density(value + i * COLUMNS, t->mean[c], t->covariance[c]));
        for (int c = 0; c < K; c++)
            sum += t->posterior[i][c] = exp(term[c] - most);
        for (int c = 0; c < K; c++)
            t->posterior[i][c] /= sum;
        t->log_likelihood += most + log(sum);
    }
}

static void twin_maximise(struct twin *t, const double *value, enum mixture_covariance kind, double ridge)
{
    double pooled[COLUMNS][COLUMNS] = {{0}};
    for (int c = 0; c < K; c++) {
        double n = 0.0;
        memset(t->mean[c], 0, sizeof t->mean[c]);
        memset(t->covariance[c], 0, sizeof t->covariance[c]);
        for (int i = 0; i < ROWS; i++) {
            n += t->posterior[i][c];
            for (int j = 0; j < COLUMNS; j++)
                t->mean[c][j] += t->posterior[i][c] * value[i * COLUMNS + j];
        }
        for (int j = 0; j < COLUMNS; j++)
            t->mean[c][j] /= n;
        for (int i = 0; i < ROWS; i++)
            for (int a = 0; a < COLUMNS; a++)
                for (int b = 0; b < COLUMNS; b++)
                    if (a == b || kind != MIXTURE_DIAGONAL)
                        t->covariance[c][a][b] +=
                            t->posterior[i][c] * (value[i * COLUMNS + a] - t->mean[c][a]) * (value[i * COLUMNS + b] - t->mean[c][b]);
        for (int a = 0; a < COLUMNS; a++)
            for (int b = 0; b < COLUMNS; b++) {
                pooled[a][b] += t->covariance[c][a][b] / ROWS;
                t->covariance[c][a][b] = t->covariance[c][a][b] / n + (a == b ? ridge : 0.0);
            }
        t->weight[c] = n / ROWS;
    }
    for (int c = 0; c < K && kind == MIXTURE_TIED; c++)
        for (int a = 0; a < COLUMNS; a++)
            for (int b = 0; b < COLUMNS; b++)
                t->covariance[c][a][b] = pooled[a][b] + (a == b ? ridge : 0.0);
}

static double mean_variance(const double *value)
{
    double sum = 0.0;
    for (int j = 0; j < COLUMNS; j++) {
        double mean = 0.0, square = 0.0;
        for (int i = 0; i < ROWS; i++)
            mean += value[i * COLUMNS + j] / ROWS;
        for (int i = 0; i < ROWS; i++)
            square += pow(value[i * COLUMNS + j] - mean, 2.0) / ROWS;
        sum += square / COLUMNS;
    }
    return sum;
}

/* From the labels of k-means with the same seed, as many rounds as mixture_fit made. */
static struct twin *run_twin(const double *value, enum mixture_covariance kind, int iterations)
{
    struct twin *t = calloc(1, sizeof *t);
    struct partition rows;
    struct kmeans start;
    deal_rows(&rows, MPI_COMM_SELF, ROWS, 50);
    struct kmeans_options options = kmeans_defaults(K, 9);
    options.n_init = 1;
    assert_int_equal(kmeans_fit(&start, &rows, COLUMNS, value, &options), MONGE_OK);
    for (int i = 0; i < ROWS; i++)
        t->posterior[i][start.label[i]] = 1.0;
    for (int round = 0; round < iterations; round++) {
        twin_maximise(t, value, kind, 1e-6 * mean_variance(value));
        twin_expect(t, value);
    }
    kmeans_free(&start);
    partition_free(&rows);
    return t;
}

static void compare_with_twin(enum mixture_covariance kind, const char *name)
{
    int32_t group[ROWS];
    double *value = grouped_rows(ROWS, COLUMNS, K, 1.5, 0.3, group), off = 0.0;
    struct partition rows;
    struct mixture found;
    deal_rows(&rows, MPI_COMM_WORLD, ROWS, 50);
    struct mixture_options options = mixture_defaults(K, 9);
    options.covariance = kind;
    options.n_init = 1;
    assert_int_equal(mixture_fit(&found, &rows, COLUMNS, value + rows.first * COLUMNS, &options), MONGE_OK);
    assert_true(found.converged && found.iterations > 3);
    struct twin *twin = run_twin(value, kind, found.iterations);
    for (int c = 0; c < K; c++) { /* the twin's components keep the order of the start: find the partner by its mean */
        int partner = 0;
        for (int e = 0; e < K; e++)
            partner =
                fabs(twin->mean[e][0] - found.mean[c * COLUMNS]) < fabs(twin->mean[partner][0] - found.mean[c * COLUMNS]) ? e : partner;
        off = fmax(off, fabs(twin->weight[partner] - found.weight[c]));
        off = fmax(off, max_difference(twin->mean[partner], found.mean + c * COLUMNS, COLUMNS));
        for (int64_t i = 0; i < rows.n_own; i++)
            off = fmax(off, fabs(twin->posterior[rows.first + i][partner] - found.posterior[i * K + c]));
        for (int a = 0; a < COLUMNS; a++)
            for (int b = 0; b < COLUMNS; b++) {
                double covariance = kind == MIXTURE_TIED   ? found.covariance[a * COLUMNS + b]
                                    : kind == MIXTURE_FULL ? found.covariance[(c * COLUMNS + a) * COLUMNS + b]
                                    : a == b               ? found.covariance[c * COLUMNS + a]
                                                           : 0.0;
                off = fmax(off, fabs(twin->covariance[partner][a][b] - covariance));
            }
    }
    char text[80];
    snprintf(text, sizeof text, "mixture, %s: parameters and probabilities against a twin", name);
    figure(text, off, "<=", 1e-9);
    assert_true(off <= 1e-9);
    assert_true(fabs(found.log_likelihood - twin->log_likelihood) < 1e-9 * fabs(twin->log_likelihood));
    for (int64_t i = 0; i < rows.n_own; i++)
        for (int c = 0; c < K; c++)
            assert_true(found.posterior[i * K + found.label[i]] >= found.posterior[i * K + c]);
    free(twin);
    mixture_free(&found);
    partition_free(&rows);
    free(value);
}

static void tied_full_and_diagonal_agree_with_plain_em(void **state)
{
    (void)state;
    compare_with_twin(MIXTURE_TIED, "tied");
    compare_with_twin(MIXTURE_FULL, "full");
    compare_with_twin(MIXTURE_DIAGONAL, "diagonal");
}

/* One component: mean, covariance and likelihood in closed form; parameters of BIC by hand. */
static void one_component_is_the_sample_itself(void **state)
{
    (void)state;
    const double value[] = {0, 0, 2, 0, 0, 4, 2, 4};
    struct partition rows;
    struct mixture found;
    deal_rows(&rows, MPI_COMM_SELF, 4, 4);
    struct mixture_options options = mixture_defaults(1, 1);
    options.ridge = 0.0;
    assert_int_equal(mixture_fit(&found, &rows, 2, value, &options), MONGE_OK);
    double expected = -4.0 * log(2.0 * M_PI) - 2.0 * log(4.0) - 4.0; /* variances 1 and 4 */
    assert_true(fabs(found.log_likelihood - expected) < 1e-12 && fabs(found.bic - (5.0 * log(4.0) - 2.0 * expected)) < 1e-12);
    assert_true(found.mean[0] == 1.0 && found.mean[1] == 2.0 && fabs(found.covariance[0] - 1.0) < 1e-14 &&
                fabs(found.covariance[3] - 4.0) < 1e-14);
    mixture_free(&found);
    partition_free(&rows);
    assert_true(mixture_parameters(MIXTURE_TIED, 7, 30) == 6 + 210 + 465 && mixture_parameters(MIXTURE_FULL, 2, 3) == 1 + 6 + 12 &&
                mixture_parameters(MIXTURE_DIAGONAL, 2, 3) == 1 + 6 + 6);
}

static void any_number_of_ranks_gives_the_same_bits(void **state)
{
    (void)state;
    int32_t group[ROWS];
    double *value = grouped_rows(ROWS, COLUMNS, K, 1.0, 0.3, group);
    for (int kind = MIXTURE_TIED; kind <= MIXTURE_DIAGONAL; kind++) {
        struct partition shared, alone;
        struct mixture of_all, of_one;
        deal_rows(&shared, MPI_COMM_WORLD, ROWS, 37);
        deal_rows(&alone, MPI_COMM_SELF, ROWS, 37);
        struct mixture_options options = mixture_defaults(5, 2);
        options.covariance = (enum mixture_covariance)kind;
        options.n_init = 3;
        assert_int_equal(mixture_fit(&of_all, &shared, COLUMNS, value + shared.first * COLUMNS, &options), MONGE_OK);
        assert_int_equal(mixture_fit(&of_one, &alone, COLUMNS, value, &options), MONGE_OK);
        assert_true(of_all.log_likelihood == of_one.log_likelihood && of_all.bic == of_one.bic && of_all.start == of_one.start);
        assert_memory_equal(of_all.mean, of_one.mean, 5 * COLUMNS * sizeof(double));
        assert_memory_equal(of_all.size, of_one.size, 5 * sizeof(int64_t));
        if (shared.n_own > 0) {
            assert_memory_equal(of_all.label, of_one.label + shared.first, (size_t)shared.n_own * sizeof(int32_t));
            assert_memory_equal(of_all.posterior, of_one.posterior + shared.first * 5, (size_t)shared.n_own * 5 * sizeof(double));
        }
        mixture_free(&of_all);
        mixture_free(&of_one);
        partition_free(&shared);
        partition_free(&alone);
    }
    free(value);
}

static void degenerate_data_are_told_apart(void **state)
{
    (void)state;
    double value[200];
    struct partition rows;
    struct mixture found;
    deal_rows(&rows, MPI_COMM_WORLD, 100, 16);
    for (int i = 0; i < 200; i++)
        value[i] = i % 2 ? 3.0 : i < 100 ? 0.0 : 1.0; /* two distinct rows, a constant column */
    const double *own = value + 2 * rows.first;
    struct mixture_options options = mixture_defaults(2, 1);
    assert_int_equal(mixture_fit(&found, &rows, 2, own, &options), MONGE_OK); /* the ridge carries it */
    assert_true(found.size[0] == 50 && found.size[1] == 50 && isfinite(found.log_likelihood) && fabs(found.mean[0]) < 1e-12);
    mixture_free(&found);
    options.k = 3;
    assert_int_equal(mixture_fit(&found, &rows, 2, own, &options), MONGE_BAD_DATA);
    assert_non_null(strstr(error_message(), "only 2 distinct values"));
    for (int i = 0; i < 200; i++)
        value[i] = 1.5;
    options.k = 1;
    assert_int_equal(mixture_fit(&found, &rows, 2, own, &options), MONGE_BAD_DATA);
    assert_non_null(strstr(error_message(), "alike"));
    for (int i = 0; i < 200; i++)
        value[i] = i < 4 ? 1000.0 * i : 0.01 * (i * 37 % 101); /* a component of two rows, whatever the start */
    options.k = 2;
    options.covariance = MIXTURE_FULL;
    assert_int_equal(mixture_fit(&found, &rows, 2, own, &options), MONGE_BAD_DATA);
    assert_non_null(strstr(error_message(), "tied covariance"));
    partition_free(&rows);
}

/* BIC tells the number of well-separated groups; the most stable number is that of the table. */
static void numbers_of_clusters_are_compared(void **state)
{
    (void)state;
    int32_t group[ROWS];
    double *value = grouped_rows(ROWS, COLUMNS, 4, 9.0, 0.0, group), highest = 0.0;
    struct partition rows;
    struct cluster_choice choice;
    deal_rows(&rows, MPI_COMM_WORLD, ROWS, 100);
    struct cluster_choice_options options = cluster_choice_defaults(2, 7, 1);
    options.max_runs = 4;
    options.mixture.n_init = 2;
    assert_int_equal(cluster_choice(&choice, &rows, COLUMNS, value + rows.first * COLUMNS, &options), MONGE_OK);
    assert_int_equal(choice.n, 6);
    assert_true(choice.k[0] == 2 && choice.runs >= 3);
    figure("clusters of four groups by BIC", choice.least_bic, "=", 4);
    assert_int_equal(choice.least_bic, 4);
    for (int c = 0; c < choice.n; c++) {
        assert_true(choice.stability[c] > 0.0 && choice.stability[c] <= 1.0 && choice.sd[c] >= 0.0 && isfinite(choice.bic[c]));
        if (suite_rank() == 0)
            printf("  K %d: stability %.3f +- %.3f, BIC %.0f\n", choice.k[c], choice.stability[c], choice.sd[c], choice.bic[c]);
        highest = fmax(highest, choice.stability[c]);
    }
    assert_true(choice.stability[choice.chosen - 2] == highest);
    cluster_choice_free(&choice);
    options.k_most = 1;
    assert_int_equal(cluster_choice(&choice, &rows, COLUMNS, value + rows.first * COLUMNS, &options), MONGE_USAGE);
    partition_free(&rows);
    free(value);
}

/* Two runs, stability by hand from the labels of the same mixtures. */
static void stability_is_the_mean_index_between_neighbouring_numbers(void **state)
{
    (void)state;
    int32_t group[ROWS];
    double *value = grouped_rows(ROWS, COLUMNS, 4, 1.0, 0.3, group), mean = 0.0;
    struct mixture mixtures[2][3];
    struct partition rows;
    deal_rows(&rows, MPI_COMM_SELF, ROWS, 100);
    struct cluster_choice_options options = cluster_choice_defaults(3, 3, 6);
    options.max_runs = 2;
    for (int run = 0; run < 2; run++)
        for (int j = 0; j < 3; j++) {
            struct mixture_options fit = options.mixture;
            fit.k = 2 + j;
            fit.seed += (uint64_t)run;
            assert_int_equal(mixture_fit(&mixtures[run][j], &rows, COLUMNS, value, &fit), MONGE_OK);
        }
    for (int run = 0; run < 2; run++)
        for (int j = 0; j < 2; j++) {
            struct label_agreement agreement;
            assert_int_equal(label_agreement(MPI_COMM_SELF, ROWS, mixtures[run][j].label, 5, mixtures[1 - run][j + 1].label, 5, &agreement),
                             MONGE_OK);
            mean += 0.25 * agreement.fowlkes_mallows;
        }
    struct cluster_choice choice;
    assert_int_equal(cluster_choice(&choice, &rows, COLUMNS, value, &options), MONGE_OK);
    assert_true(fabs(choice.stability[0] - mean) < 1e-14 && choice.chosen == 3 && choice.runs == 2);
    assert_true(choice.bic[0] == fmin(mixtures[0][1].bic, mixtures[1][1].bic));
    for (int run = 0; run < 2; run++)
        for (int j = 0; j < 3; j++)
            mixture_free(&mixtures[run][j]);
    cluster_choice_free(&choice);
    partition_free(&rows);
    free(value);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(tied_full_and_diagonal_agree_with_plain_em),
                                       cmocka_unit_test(one_component_is_the_sample_itself),
                                       cmocka_unit_test(any_number_of_ranks_gives_the_same_bits),
                                       cmocka_unit_test(degenerate_data_are_told_apart),
                                       cmocka_unit_test(numbers_of_clusters_are_compared),
                                       cmocka_unit_test(stability_is_the_mean_index_between_neighbouring_numbers)};
    SUITE(argc, argv, tests);
}
