/* Spatial scores and refinement: golden figures of the grid; a twin that looks at all pairs of spots, on parts, with unlabelled spots and spots in one place; ranks. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <hdf5.h>

#include "cluster_rows.h"
#include "monge/label_scores.h"
#include "monge/labels.h"
#include "monge/spatial_scores.h"
#include "support/suite.h"

/* ---- golden ---- */

static void read_moran(const char *file, const char *object, double *moran)
{
    hid_t f = H5Fopen(file, H5F_ACC_RDONLY, H5P_DEFAULT), a = H5Aopen_by_name(f, object, "moran6", H5P_DEFAULT, H5P_DEFAULT);
    assert_true(a >= 0 && H5Aread(a, H5T_NATIVE_DOUBLE, moran) >= 0);
    H5Aclose(a);
    H5Fclose(f);
}

struct grid {
    struct partition rows;
    double x[100], y[100];
    int32_t label[100];
};

static void read_labels(const char *file, const char *name, int32_t *label)
{
    double *value = golden_read(file, name, NULL);
    for (int i = 0; i < 100; i++)
        label[i] = (int32_t)value[i];
    free(value);
}

static void read_grid(struct grid *grid, const char *file)
{
    double *spatial = golden_read(file, "spatial", NULL);
    for (int i = 0; i < 100; i++) {
        grid->x[i] = spatial[2 * i];
        grid->y[i] = spatial[2 * i + 1];
    }
    free(spatial);
    deal_rows(&grid->rows, MPI_COMM_WORLD, 100, 16);
}

static void golden_scores_of_the_grid(void **state)
{
    (void)state;
    static const char *const names[] = {"truth",          "pred_alpha_0.0", "pred_alpha_0.2",      "pred_alpha_0.5",
                                        "pred_alpha_0.8", "pred_alpha_1.0", "refined_alpha_0.8_k8"};
    const char *file = golden_path("domains_metrics_grid.h5");
    struct grid grid;
    read_grid(&grid, file);
    struct spatial_scores_options options = spatial_scores_defaults();
    options.coherence_k = 4;
    double off = 0.0, off_chaos = 0.0;
    for (size_t m = 0; m < sizeof names / sizeof *names; m++) {
        double moran[3], expected[3];
        struct spatial_scores scores;
        read_labels(file, names[m], grid.label);
        assert_int_equal(spatial_scores_of(&grid.rows, grid.x, grid.y, NULL, 3, grid.label + grid.rows.first, &options, &scores, moran),
                         MONGE_OK);
        off = fmax(off, fabs(scores.coherence - golden_attribute(file, names[m], "coherence4")));
        off_chaos = fmax(off_chaos, fabs(scores.chaos - golden_attribute(file, names[m], "chaos")));
        off = fmax(off, fabs(scores.pas - golden_attribute(file, names[m], "pas10")));
        read_moran(file, names[m], expected);
        for (int c = 0; c < 3; c++) {
            assert_int_equal(isnan(moran[c]), isnan(expected[c]));
            off = isnan(moran[c]) ? off : fmax(off, fabs(moran[c] - expected[c]));
        }
        if (m > 0)
            continue;
        assert_true(fabs(scores.coherence_chance - (.16 + .09 + .09)) < 1e-15 && scores.n == 100 && scores.n_labels == 3);
        /* every spot has a neighbour of its label at distance 1, and the variance of a coordinate is 8.25 x 100 / 99 */
        assert_true(fabs(scores.chaos - sqrt(99.0 / 825.0)) < 1e-14);
    }
    figure("coherence, PAS, Moran's I against golden", off, "<=", 1e-12);
    figure("CHAOS against golden (from coordinates scaled in float)", off_chaos, "<=", 2e-8);
    assert_true(off <= 1e-12 && off_chaos <= 2e-8);
    partition_free(&grid.rows);
}

static void golden_refinement(void **state)
{
    (void)state;
    const char *file = golden_path("domains_metrics_grid.h5");
    struct grid grid;
    struct nearest_spots spots;
    int32_t expected[100], refined[100];
    read_grid(&grid, file);
    read_labels(file, "pred_alpha_0.8", grid.label);
    read_labels(file, "refined_alpha_0.8_k8", expected);
    assert_int_equal(nearest_spots_new(&spots, &grid.rows, grid.x, grid.y, NULL, NULL, 10), MONGE_OK);
    assert_int_equal(labels_refine(&spots, 8, 3, grid.label + grid.rows.first, refined), MONGE_OK);
    assert_memory_equal(refined, expected + grid.rows.first, (size_t)grid.rows.n_own * sizeof *refined);
    assert_int_equal(labels_refine(&spots, 11, 3, grid.label + grid.rows.first, refined), MONGE_USAGE);
    nearest_spots_free(&spots);
    partition_free(&grid.rows);
}

/* ---- all pairs ---- */

enum { SPOTS = 240, LABELS = 5 };

struct scattered {
    double x[SPOTS], y[SPOTS];
    int32_t part[SPOTS], label[SPOTS];
};

/* Two parts far apart, rows of both mixed; a tenth without a label, some spots in one place, one label with a single spot, one without any. */
static struct scattered scatter(void)
{
    struct scattered s;
    struct rng rng = rng_start(5, RNG_TEST, 77);
    for (int i = 0; i < SPOTS; i++) {
        s.part[i] = i % 3 == 0;
        s.x[i] = (s.part[i] ? 1e6 : 0.0) + floor(20.0 * rng_uniform(&rng)) / 2.0;
        s.y[i] = floor(30.0 * rng_uniform(&rng));
        s.label[i] = rng_uniform(&rng) < .1 ? -1 : s.y[i] + 5.0 * rng_uniform(&rng) < 15.0 ? 0 : s.x[i] < 4.0 ? 1 : 2;
    }
    s.label[17] = 3;
    return s;
}

struct pair {
    double squared;
    int other;
};

static int nearer(const void *a, const void *b)
{
    const struct pair *p = a, *q = b;
    if (p->squared != q->squared)
        return p->squared < q->squared ? -1 : 1;
    return p->other - q->other;
}

/* The labelled others of the part, nearest first; returns their number. */
static int sorted_others(const struct scattered *s, int i, const double *x, const double *y, struct pair *pairs)
{
    int n = 0;
    for (int j = 0; j < SPOTS; j++)
        if (j != i && s->label[j] >= 0 && s->part[j] == s->part[i])
            pairs[n++] = (struct pair){(x[i] - x[j]) * (x[i] - x[j]) + (y[i] - y[j]) * (y[i] - y[j]), j};
    qsort(pairs, (size_t)n, sizeof *pairs, nearer);
    return n;
}

static void scale_part(const struct scattered *s, int part, double *value)
{
    double n = 0.0, mean = 0.0, square = 0.0;
    for (int i = 0; i < SPOTS; i++)
        if (s->part[i] == part && s->label[i] >= 0) {
            n += 1.0;
            mean += value[i];
        }
    mean /= n;
    for (int i = 0; i < SPOTS; i++)
        if (s->part[i] == part && s->label[i] >= 0)
            square += (value[i] - mean) * (value[i] - mean);
    for (int i = 0; i < SPOTS; i++)
        if (s->part[i] == part)
            value[i] = (value[i] - mean) / sqrt(square / (n - 1.0));
}

static double twin_chaos(const struct scattered *s, double n)
{
    double x[SPOTS], y[SPOTS], sum = 0.0;
    struct pair pairs[SPOTS];
    memcpy(x, s->x, sizeof x);
    memcpy(y, s->y, sizeof y);
    for (int part = 0; part < 2; part++) {
        scale_part(s, part, x);
        scale_part(s, part, y);
    }
    for (int i = 0; i < SPOTS; i++) {
        int others = s->label[i] < 0 ? 0 : sorted_others(s, i, x, y, pairs);
        for (int e = 0; e < others; e++)
            if (s->label[pairs[e].other] == s->label[i]) {
                sum += sqrt(pairs[e].squared);
                break;
            }
    }
    return sum / n;
}

static double twin_moran(const struct scattered *s, int k, int label, double n)
{
    double mean = 0.0, square = 0.0, sum = 0.0, edges = 0.0;
    struct pair pairs[SPOTS];
    for (int i = 0; i < SPOTS; i++)
        mean += (s->label[i] == label) / n;
    for (int i = 0; i < SPOTS; i++) {
        if (s->label[i] < 0)
            continue;
        square += pow((s->label[i] == label) - mean, 2.0);
        int others = sorted_others(s, i, s->x, s->y, pairs);
        for (int e = 0; e < others && e < k; e++) {
            edges += 1.0;
            sum += ((s->label[i] == label) - mean) * ((s->label[pairs[e].other] == label) - mean);
        }
    }
    return n / edges * sum / square;
}

static void scores_against_all_pairs(void **state)
{
    (void)state;
    struct scattered s = scatter();
    struct spatial_scores_options options = spatial_scores_defaults();
    struct spatial_scores scores;
    struct partition rows;
    struct pair pairs[SPOTS];
    double moran[LABELS], n = 0.0, same = 0.0, odd = 0.0, off = 0.0;
    for (int i = 0; i < SPOTS; i++) {
        if (s.label[i] < 0)
            continue;
        n += 1.0;
        int wrong = 0;
        assert_true(sorted_others(&s, i, s.x, s.y, pairs) >= 10);
        for (int e = 0; e < 6; e++)
            same += s.label[pairs[e].other] == s.label[i];
        for (int e = 0; e < 10; e++)
            wrong += s.label[pairs[e].other] != s.label[i];
        odd += wrong >= 6;
    }
    deal_rows(&rows, MPI_COMM_WORLD, SPOTS, 32);
    assert_int_equal(spatial_scores_of(&rows, s.x, s.y, s.part, LABELS, s.label + rows.first, &options, &scores, moran), MONGE_OK);
    assert_true(scores.n == (int64_t)n && scores.n_labels == 4);
    off = fmax(fabs(scores.coherence - same / (6.0 * n)), fabs(scores.pas - odd / n));
    off = fmax(off, fabs(scores.chaos - twin_chaos(&s, n)));
    for (int c = 0; c < 4; c++)
        off = fmax(off, fabs(moran[c] - twin_moran(&s, 6, c, n)));
    figure("spatial scores against all pairs", off, "<=", 1e-12);
    assert_true(off <= 1e-12 && isnan(moran[4]));
    partition_free(&rows);
}

static void lists_and_refinement_against_all_pairs(void **state)
{
    (void)state;
    struct scattered s = scatter();
    struct partition rows;
    struct nearest_spots spots;
    struct pair pairs[SPOTS];
    uint8_t used[SPOTS];
    int32_t refined[SPOTS];
    enum { R = 90 }; /* more than the smaller part has */
    for (int i = 0; i < SPOTS; i++)
        used[i] = s.label[i] >= 0;
    deal_rows(&rows, MPI_COMM_WORLD, SPOTS, 32);
    assert_int_equal(nearest_spots_new(&spots, &rows, s.x, s.y, s.part, used, R), MONGE_OK);
    assert_int_equal(labels_refine(&spots, 7, LABELS, s.label + rows.first, refined), MONGE_OK);
    for (int64_t i = 0; i < rows.n_own; i++) {
        int spot = (int)(rows.first + i), votes[LABELS] = {0}, most = 0, n = used[spot] ? sorted_others(&s, spot, s.x, s.y, pairs) : 0;
        for (int e = 0; e < R; e++)
            assert_int_equal(spots.neighbour[i * R + e], e < n ? pairs[e].other : -1);
        for (int e = 0; e < n && e < 7; e++)
            most = ++votes[s.label[pairs[e].other]] > most ? votes[s.label[pairs[e].other]] : most;
        int32_t expected = s.label[spot];
        for (int e = 6; e >= 0 && n > 0; e--) /* the first met among those with most votes */
            expected = votes[s.label[pairs[e].other]] == most ? s.label[pairs[e].other] : expected;
        assert_int_equal(refined[i], expected);
    }
    nearest_spots_free(&spots);
    s.x[100] = NAN;
    assert_int_equal(nearest_spots_new(&spots, &rows, s.x, s.y, s.part, NULL, 3), MONGE_BAD_DATA);
    partition_free(&rows);
}

static void few_spots_and_no_labels(void **state)
{
    (void)state;
    const double x[] = {0.0, 1.0, 2.0}, y[] = {0.0, 0.0, 0.0};
    const int32_t one[] = {0, 0, 0}, two[] = {0, 0, 1}, none[] = {-1, -1, -1}, single[] = {-1, 0, -1};
    struct spatial_scores_options options = spatial_scores_defaults();
    struct spatial_scores scores;
    struct partition rows;
    double moran[2];
    deal_rows(&rows, MPI_COMM_WORLD, 3, 2);
    assert_int_equal(spatial_scores_of(&rows, x, y, NULL, 2, one + rows.first, &options, &scores, moran), MONGE_OK);
    assert_true(scores.coherence == 1.0 && scores.pas == 0.0 && scores.chaos == 1.0 && isnan(moran[0]) && isnan(scores.moran_mean));
    assert_int_equal(spatial_scores_of(&rows, x, y, NULL, 2, two + rows.first, &options, &scores, moran), MONGE_OK);
    assert_true(fabs(scores.coherence - 2.0 / 6.0) < 1e-15 && fabs(scores.pas - 1.0 / 3.0) < 1e-15 &&
                fabs(scores.chaos - 2.0 / 3.0) < 1e-15);
    assert_int_equal(spatial_scores_of(&rows, x, y, NULL, 2, none + rows.first, &options, &scores, moran), MONGE_BAD_DATA);
    assert_int_equal(spatial_scores_of(&rows, x, y, NULL, 2, single + rows.first, &options, &scores, moran), MONGE_OK);
    assert_true(isnan(scores.coherence) && scores.chaos == 0.0 && scores.n == 1); /* no pair of spots */
    partition_free(&rows);
}

static void runs_are_compared_in_pairs(void **state)
{
    (void)state;
    enum { N = 90, RUNS = 3 };
    int32_t all[RUNS][N], own[RUNS * N];
    struct partition rows;
    deal_rows(&rows, MPI_COMM_WORLD, N, 16);
    for (int run = 0; run < RUNS; run++)
        for (int i = 0; i < N; i++)
            all[run][i] = (i / 30 + (i * (run + 7) % 11 == 0)) % 3;
    for (int run = 0; run < RUNS; run++)
        memcpy(own + run * rows.n_own, all[run] + rows.first, (size_t)rows.n_own * sizeof *own);
    struct seed_stability stability;
    assert_int_equal(seed_stability(&rows, RUNS, 3, own, &stability), MONGE_OK);
    double ari[3], mean = 0.0, square = 0.0;
    for (int p = 0; p < 3; p++) {
        struct label_agreement agreement;
        assert_int_equal(label_agreement(MPI_COMM_SELF, N, all[p], 3, all[(p + 1) % 3], 3, &agreement), MONGE_OK);
        mean += (ari[p] = agreement.ari) / 3.0;
    }
    for (int p = 0; p < 3; p++)
        square += (ari[p] - mean) * (ari[p] - mean);
    assert_true(fabs(stability.mean - mean) < 1e-14 && fabs(stability.sd - sqrt(square / 2.0)) < 1e-9 && stability.least <= mean);
    assert_int_equal(seed_stability(&rows, 1, 3, own, &stability), MONGE_OK);
    assert_true(isnan(stability.mean));
    static const int32_t renamed[] = {0, 2, 1};
    int32_t order[4];
    int64_t size[4];
    for (int64_t i = 0; i < rows.n_own; i++) /* sizes 30, 29, 30 with one missing; label 3 unused */
        own[i] = rows.first + i == 40 ? -1 : (int32_t)((rows.first + i) / 30);
    assert_int_equal(labels_renumber(&rows, 4, own, order, size), MONGE_OK);
    assert_true(order[0] == 0 && order[1] == 2 && order[2] == 1 && order[3] == 3 && size[0] == 30 && size[2] == 29 && size[3] == 0);
    for (int64_t i = 0; i < rows.n_own; i++)
        assert_int_equal(own[i], rows.first + i == 40 ? -1 : renamed[(rows.first + i) / 30]);
    partition_free(&rows);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_scores_of_the_grid), cmocka_unit_test(golden_refinement),
        cmocka_unit_test(scores_against_all_pairs),  cmocka_unit_test(lists_and_refinement_against_all_pairs),
        cmocka_unit_test(few_spots_and_no_labels),   cmocka_unit_test(runs_are_compared_in_pairs)};
    SUITE(argc, argv, tests);
}
