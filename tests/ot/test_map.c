/* MAP steps: golden vectors; the trend of a gene against plain formulas; single against double precision; the reverse pass against finite differences. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/correct_model.h"
#include "monge/exact_sum.h"
#include "monge/map_adjoint.h"
#include "support/counted.h"
#include "support/lattices.h"
#include "support/suite.h"

enum { GENES = 8, RANK = 4, STEPS = 10 };

static double *golden_in(const char *group, const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", group, name);
    return golden_read(golden_path("correct_map.h5"), path, NULL);
}

static double over_ranks(double mine)
{
    MPI_Allreduce(MPI_IN_PLACE, &mine, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    return mine;
}

/* max |own - golden| over own genes; golden [GENES][tissue], or [GENES][cells]. */
static double worst_field(const struct counted *c, const double *own, const double *golden, bool cells)
{
    const struct gene_counts *columns = &c->columns;
    double worst = 0.0;
    for (int64_t i = 0; i < columns->sites.n_own; i++)
        for (int g = 0; g < columns->n_genes; g++) {
            int64_t j = cells ? c->cell[columns->sites.first + i] : c->tissue_index[columns->sites.first + i];
            double expected = j >= 0 ? golden[columns->gene[g] * (cells ? 144 : c->n_tissue) + j] : 0.0;
            worst = fmax(worst, fabs(own[i * columns->n_genes + g] - expected));
        }
    return over_ranks(worst);
}

/* mu = V U + floor of a golden group, own sites x own genes. */
static double *prior_mean(const struct counted *c, const char *group, double floor)
{
    double *u = golden_in(group, "U"), *v = golden_in(group, "V");
    const struct gene_counts *columns = &c->columns;
    double *mu = room((size_t)(columns->sites.n_own * columns->n_genes) * sizeof *mu);
    for (int64_t i = 0; i < columns->sites.n_own; i++) {
        int32_t j = c->tissue_index[columns->sites.first + i];
        for (int64_t g = 0; g < columns->n_genes && j >= 0; g++) {
            double *m = &mu[i * columns->n_genes + g];
            *m = floor;
            for (int k = 0; k < RANK; k++)
                *m += v[columns->gene[g] * RANK + k] * u[k * c->n_tissue + j];
        }
    }
    free(u);
    free(v);
    return mu;
}

struct batch { /* all genes of the golden slide */
    struct counted c;
    struct kernel kernel;
    int64_t n;
    int lanes;
    double *x, *mu, *e, *pi, *b, *f, *c_field, *work;
};

static void batch_new(struct batch *batch, const char *group, double floor, bool with_weights)
{
    counted_golden(&batch->c, MPI_COMM_WORLD, 1);
    golden_kernel(&batch->kernel, &batch->c);
    batch->lanes = (int)batch->c.columns.n_genes;
    batch->n = batch->c.columns.sites.n_own * batch->lanes;
    batch->x = own_batch(&batch->c, 0, batch->lanes, batch->lanes);
    batch->mu = prior_mean(&batch->c, group, floor);
    double *e = with_weights ? golden_in(group, "e") : room(144 * sizeof *e), *pi = with_weights ? golden_in(group, "pi") : NULL;
    for (int i = 0; i < 144 && !with_weights; i++)
        e[i] = 1.0;
    batch->e = from_cells(&batch->c, e);
    batch->pi = NULL;
    if (pi) {
        batch->pi = room((size_t)(batch->lanes * 4) * sizeof *pi);
        for (int g = 0; g < batch->lanes; g++)
            memcpy(batch->pi + g * 4, pi + batch->c.columns.gene[g] * 4, 4 * sizeof *pi);
    }
    free(e);
    free(pi);
    size_t bytes = (size_t)batch->n * sizeof(double);
    batch->b = room(bytes);
    batch->f = room(bytes);
    batch->c_field = room(bytes);
    batch->work = room(6 * bytes);
}

static void batch_free(struct batch *batch)
{
    double *all[] = {batch->x, batch->mu, batch->e, batch->pi, batch->b, batch->f, batch->c_field, batch->work};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
    kernel_free(&batch->kernel);
    counted_free(&batch->c);
}

/* c scaled to T_g, in place. */
static void rescale(const struct batch *batch, double *c)
{
    double sum[GENES];
    assert_int_equal(exact_field_sum_f64(&batch->c.columns.sites, batch->lanes, c, NULL, sum), MONGE_OK);
    for (int64_t i = 0; i < batch->n; i++)
        c[i] *= batch->c.columns.total[i % batch->lanes] / sum[i % batch->lanes];
}

static double single_precision(const struct batch *batch, const struct map_options *options)
{
    size_t n = (size_t)batch->n;
    int64_t own = batch->c.columns.sites.n_own;
    float *all = room((12 * n + (size_t)own) * sizeof *all), *x = all, *mu = all + n, *b = all + 2 * n, *f = all + 3 * n;
    float *c = all + 4 * n, *work = all + 5 * n, *e = all + 12 * n;
    for (size_t i = 0; i < n; i++) {
        x[i] = (float)batch->x[i];
        mu[i] = (float)batch->mu[i];
    }
    for (int64_t i = 0; i < own; i++)
        e[i] = (float)batch->e[i];
    assert_int_equal(map_solve_f32(&batch->kernel, options, batch->lanes, batch->pi, e, x, mu, b, f, c, work), MONGE_OK);
    double worst = 0.0, scale = 0.0;
    for (size_t i = 0; i < n; i++) {
        worst = fmax(worst, fabs((double)c[i] - batch->c_field[i]));
        scale = fmax(scale, batch->c_field[i]);
    }
    free(all);
    return over_ranks(worst) / over_ranks(scale);
}

static void check_golden(const char *group, const char *kind, double rho)
{
    struct batch batch;
    batch_new(&batch, group, 1e-6, true);
    if (!strstr(group, "weights")) { /* shared weights: both ways */
        free(batch.pi);
        batch.pi = NULL;
    }
    struct map_options options = {.alpha = 5.0, .rho = rho, .steps = STEPS};
    assert_int_equal(map_solve_f64(&batch.kernel, &options, batch.lanes, batch.pi, batch.e, batch.x, batch.mu, batch.b, batch.f,
                                   batch.c_field, batch.work),
                     MONGE_OK);
    char path[96], title[160];
    snprintf(path, sizeof path, "%s/%s", group, kind);
    double *b = golden_in(path, "b"), *f = golden_in(path, "forward"), *c = golden_in(path, "c"), *h = golden_in(path, "H");
    double *corrected = golden_in(path, "corrected");
    double worst = fmax(worst_field(&batch.c, batch.b, b, false), worst_field(&batch.c, batch.f, f, true));
    worst = fmax(worst, worst_field(&batch.c, batch.c_field, c, false));
    worst = fmax(worst, worst_field(&batch.c, batch.work + 2 * batch.n, h, false)); /* H lies third in work */
    double single = single_precision(&batch, &options);
    rescale(&batch, batch.c_field);
    worst = fmax(worst, worst_field(&batch.c, batch.c_field, corrected, false));
    snprintf(title, sizeof title, "%s: b, f, c, H, corrected", path);
    figure(title, worst, "<", 1e-9);
    figure("  float32 against float64", single, "<", 1e-4);
    assert_true(worst < 1e-9 && single < 1e-4);
    free(b);
    free(f);
    free(c);
    free(h);
    free(corrected);
    batch_free(&batch);
}

static void golden_map(void **state)
{
    (void)state;
    const char *groups[] = {"lowrank_shared_e1", "lowrank_shared", "lowrank_gene_weights", "lowrank_gene_weights_A20"};
    for (int g = 0; g < 4; g++) {
        check_golden(groups[g], "map_none", INFINITY);
        check_golden(groups[g], "map_50", 50.0);
    }
}

static void golden_truncated_kernel(struct kernel *kernel, const struct counted *c)
{
    enum { CELLS = 144 };
    double *golden = golden_read(golden_path("kernel_lowrank_map.h5"), "lowrank_map/K_truncated", NULL),
           *matrix = room(CELLS * CELLS * sizeof *matrix);
    for (int i = 0; i < CELLS; i++)
        for (int j = 0; j < CELLS; j++)
            if (c->tissue_index[j] >= 0)
                matrix[i * CELLS + j] = golden[c->cell[i] * c->n_tissue + c->tissue_index[j]];
    assert_int_equal(kernel_new_matrix(kernel, &c->section.slide, &c->columns.sites, matrix), MONGE_OK);
    free(golden);
    free(matrix);
}

static void golden_first_variant(void **state)
{
    (void)state;
    struct batch batch;
    batch_new(&batch, "lowrank_map", 0.0, false);
    struct map_options options = {.alpha = 1.5, .rho = INFINITY, .steps = STEPS};
    assert_int_equal(
        map_solve_f64(&batch.kernel, &options, batch.lanes, NULL, batch.e, batch.x, batch.mu, batch.b, batch.f, batch.c_field, batch.work),
        MONGE_OK);
    double *b = golden_in("lowrank_map", "b"), *corrected = golden_in("lowrank_map", "corrected");
    double worst = fmax(worst_field(&batch.c, batch.b, b, false), worst_field(&batch.c, batch.c_field, corrected, false));
    figure("lowrank_map: b, corrected", worst, "<", 1e-9);
    assert_true(worst < 1e-9);
    free(b);
    free(corrected);

    kernel_free(&batch.kernel); /* the same with a kernel given as a matrix */
    golden_truncated_kernel(&batch.kernel, &batch.c);
    assert_int_equal(
        map_solve_f64(&batch.kernel, &options, batch.lanes, NULL, batch.e, batch.x, batch.mu, batch.b, batch.f, batch.c_field, batch.work),
        MONGE_OK);
    corrected = golden_in("lowrank_map", "corrected_truncated");
    worst = worst_field(&batch.c, batch.c_field, corrected, false);
    figure("lowrank_map: corrected_truncated", worst, "<", 1e-9);
    assert_true(worst < 1e-9);
    free(corrected);
    batch_free(&batch);
}

static void golden_richardson_lucy(void **state)
{
    (void)state;
    struct batch batch;
    batch_new(&batch, "lowrank_map", 0.0, false);
    int steps[] = {2, 30};
    for (int k = 0; k < 2; k++) {
        char name[64];
        snprintf(name, sizeof name, "richardson_lucy_%d", steps[k]);
        for (int64_t i = 0; i < batch.n; i++)
            batch.b[i] = batch.mu[i] > 0.0 ? batch.x[i] : 0.0;
        rescale(&batch, batch.b);
        assert_int_equal(richardson_lucy(&batch.kernel, batch.lanes, steps[k], batch.x, batch.b, batch.f), MONGE_OK);
        double *expected = golden_in("lowrank_map", name), worst = worst_field(&batch.c, batch.b, expected, false);
        figure(name, worst, "<", 1e-9);
        assert_true(worst < 1e-9);
        free(expected);
    }
    batch_free(&batch);
}

/* What the exposure readout adds to the plan's column sums. */
static void exposure_readout_adds_what_was_not_seen(void **state)
{
    (void)state;
    struct batch batch;
    batch_new(&batch, "lowrank_shared", 1e-6, true);
    struct map_options options = {.alpha = 5.0, .rho = INFINITY, .steps = 4};
    double *h = batch.work + 2 * batch.n, *plain = room((size_t)batch.n * sizeof *plain);
    for (int readout = 0; readout < 2; readout++) {
        options.exposure_readout = readout;
        assert_int_equal(map_solve_f64(&batch.kernel, &options, batch.lanes, NULL, batch.e, batch.x, batch.mu, batch.b, batch.f,
                                       batch.c_field, batch.work),
                         MONGE_OK);
        for (int64_t i = 0; i < batch.n; i++) {
            if (readout)
                assert_true(fabs(batch.c_field[i] - fmax(plain[i] + batch.b[i] * (1.0 - h[i]), 0.0)) < 1e-12);
            plain[i] = batch.c_field[i];
        }
    }
    free(plain);
    batch_free(&batch);
}

/* ---- the trend of a gene ---- */

/* All sites x lanes on every rank. */
static double *everywhere(const struct batch *batch, const double *own)
{
    const struct partition *sites = &batch->c.columns.sites;
    double *all = room((size_t)(sites->n * batch->lanes) * sizeof *all);
    memset(all, 0, (size_t)(sites->n * batch->lanes) * sizeof *all);
    memcpy(all + sites->first * batch->lanes, own, (size_t)batch->n * sizeof *all);
    MPI_Allreduce(MPI_IN_PLACE, all, (int)(sites->n * batch->lanes), MPI_DOUBLE, MPI_SUM, sites->comm);
    return all;
}

/* Sums in the window, pair by pair, at own sites. */
static void window_sums(const struct batch *batch, double width, const double *own, double *sums)
{
    const struct slide *slide = batch->kernel.slide;
    double *all = everywhere(batch, own);
    memset(sums, 0, (size_t)batch->n * sizeof *sums);
    for (int64_t i = 0; i < batch->c.columns.sites.n_own; i++) {
        double x, y, u, v;
        slide_position(slide, batch->c.columns.sites.first + i, &x, &y);
        for (int64_t j = 0; j < slide->n_sites; j++) {
            slide_position(slide, j, &u, &v);
            double d = hypot(u - x, v - y);
            for (int g = 0; g < batch->lanes && d <= 3.0 * width + 1e-9; g++)
                sums[i * batch->lanes + g] += exp(-.5 * d * d / (width * width)) * all[j * batch->lanes + g];
        }
    }
    free(all);
}

/* mu of the plain formulas, four steps. */
static double *plain_trend(const struct batch *batch, double width)
{
    size_t n = (size_t)batch->n;
    double *all = room(7 * n * sizeof *all), *mu = all, *t = all + n, *h = all + 2 * n, *q = all + 3 * n, *c = all + 4 * n;
    double *shared_sum = all + 5 * n, *sum = all + 6 * n;
    for (size_t i = 0; i < n; i++) {
        t[i] = 1.0;
        q[i] = batch->e[i / (size_t)batch->lanes];
    }
    assert_int_equal(kernel_adjoint_f64(&batch->kernel, batch->lanes, batch->pi, q, h, batch->work), MONGE_OK);
    for (size_t i = 0; i < n; i++)
        h[i] *= batch->mu[i];
    window_sums(batch, width, h, shared_sum);
    for (int step = 0; step < 4; step++) {
        for (size_t i = 0; i < n; i++)
            mu[i] = batch->mu[i] * t[i];
        assert_int_equal(kernel_apply_f64(&batch->kernel, batch->lanes, batch->pi, mu, q, batch->work), MONGE_OK);
        for (size_t i = 0; i < n; i++)
            q[i] = batch->x[i] / fmax(q[i], 1e-12);
        assert_int_equal(kernel_adjoint_f64(&batch->kernel, batch->lanes, batch->pi, q, c, batch->work), MONGE_OK);
        for (size_t i = 0; i < n; i++)
            c[i] *= mu[i];
        window_sums(batch, width, c, sum);
        for (size_t i = 0; i < n; i++)
            t[i] = (sum[i] + 1.0) / (shared_sum[i] + 1.0);
    }
    for (size_t i = 0; i < n; i++)
        mu[i] = batch->mu[i] * t[i];
    return mu;
}

static void trend(const struct batch *batch, double width, double *mu)
{
    struct spot_operator window;
    assert_int_equal(map_trend_new(&window, batch->kernel.slide, &batch->c.columns.sites, width), MONGE_OK);
    memcpy(mu, batch->mu, (size_t)batch->n * sizeof *mu);
    assert_int_equal(map_trend_f64(&batch->kernel, &window, batch->lanes, batch->pi, batch->e, batch->x, mu, batch->b, batch->f,
                                   batch->c_field, batch->work),
                     MONGE_OK);
    spot_operator_free(&window);
}

static void trend_against_plain_formulas(void **state)
{
    (void)state;
    const char *groups[] = {"lowrank_shared", "lowrank_gene_weights_A20"};
    for (int k = 0; k < 2; k++) {
        struct batch batch;
        batch_new(&batch, groups[k], 1e-6, true);
        double width = k ? 1.5 : 3.0, *mu = room((size_t)batch.n * sizeof *mu), worst = 0.0, moved = 0.0;
        double *plain = plain_trend(&batch, width);
        trend(&batch, width, mu);
        for (int64_t i = 0; i < batch.n; i++) {
            worst = fmax(worst, fabs(mu[i] - plain[i]));
            moved = fmax(moved, fabs(mu[i] - batch.mu[i]));
        }
        figure("trend of a gene against the plain formulas", over_ranks(worst), "<", 1e-11);
        assert_true(over_ranks(worst) < 1e-11 && over_ranks(moved) > 1e-3);
        free(plain);
        free(mu);
        batch_free(&batch);
    }
}

/* Counts that the shared field explains leave it as it is. */
static void trend_needs_a_cause(void **state)
{
    (void)state;
    struct batch batch;
    batch_new(&batch, "lowrank_shared", 1e-6, true);
    double *mu = room((size_t)batch.n * sizeof *mu), worst = 0.0;
    assert_int_equal(kernel_apply_f64(&batch.kernel, batch.lanes, batch.pi, batch.mu, batch.x, batch.work), MONGE_OK);
    for (int64_t i = 0; i < batch.n; i++)
        batch.x[i] *= batch.e[i / batch.lanes];
    trend(&batch, 1.5, mu);
    for (int64_t i = 0; i < batch.n; i++)
        worst = fmax(worst, fabs(mu[i] - batch.mu[i]));
    assert_true(over_ranks(worst) < 1e-12);
    free(mu);
    batch_free(&batch);
}

/* ---- the reverse pass ---- */

struct inner_product { /* <K-bar, K> over the terms handed out */
    const struct batch *batch;
    double sum;
};

static void against_kernel(const double *p, const double *q, void *context)
{
    struct inner_product *product = context;
    const struct batch *batch = product->batch;
    double *field = room((size_t)batch->n * sizeof *field), sum[GENES];
    assert_int_equal(kernel_apply_f64(&batch->kernel, batch->lanes, NULL, q, field, batch->work), MONGE_OK);
    for (int64_t i = 0; i < batch->n; i++)
        field[i] *= p[i];
    assert_int_equal(exact_field_sum_f64(&batch->c.columns.sites, batch->lanes, field, NULL, sum), MONGE_OK);
    for (int g = 0; g < batch->lanes; g++)
        product->sum += sum[g];
    free(field);
}

/* loss = sum_i (wc c + wb b + wf f) with fixed weights */
static double loss_of(const struct batch *batch, const struct map_tape *tape)
{
    double *field = room((size_t)batch->n * sizeof *field), sum[GENES], loss = 0.0;
    const double *b = tape->b + tape->steps * batch->n;
    int64_t first = batch->c.columns.sites.first;
    for (int64_t i = 0; i < batch->n; i++) {
        int64_t site = first + i / batch->lanes;
        int lane = (int)(i % batch->lanes);
        field[i] = hashed(site, lane, 1) * tape->c[i] + hashed(site, lane, 2) * b[i] + hashed(site, lane, 3) * tape->f[i];
    }
    assert_int_equal(exact_field_sum_f64(&batch->c.columns.sites, batch->lanes, field, NULL, sum), MONGE_OK);
    for (int g = 0; g < batch->lanes; g++)
        loss += sum[g];
    free(field);
    return loss;
}

static double loss_at(const struct batch *batch, double alpha, const double *mu)
{
    struct map_tape tape;
    assert_int_equal(map_tape_new(&tape, &batch->kernel, alpha, STEPS, batch->lanes, batch->x, mu), MONGE_OK);
    double loss = loss_of(batch, &tape);
    map_tape_free(&tape);
    return loss;
}

static double slope_in_mu(struct batch *batch, double alpha, double *direction, double step)
{
    double *mu = room((size_t)batch->n * sizeof *mu), value[2];
    for (int side = 0; side < 2; side++) {
        for (int64_t i = 0; i < batch->n; i++)
            mu[i] = batch->mu[i] * (1.0 + (side ? step : -step) * direction[i]);
        value[side] = loss_at(batch, alpha, mu);
    }
    free(mu);
    return (value[1] - value[0]) / (2.0 * step);
}

/* d loss / d log of the kernel's weights: all components scaled by pi, columns no longer normalised. */
static double slope_in_kernel(struct batch *batch, double alpha, double step)
{
    double value[2], weight[KERNEL_MAX_COMPONENTS], *spread = room((size_t)batch->c.columns.sites.n_own * sizeof *spread);
    memcpy(weight, batch->kernel.weight, sizeof weight);
    memcpy(spread, batch->kernel.spread, (size_t)batch->c.columns.sites.n_own * sizeof *spread);
    for (int side = 0; side < 2; side++) {
        double factor = side ? 1.0 + step : 1.0 - step;
        for (int c = 0; c < batch->kernel.n_components; c++)
            batch->kernel.weight[c] = weight[c] * factor;
        for (int64_t i = 0; i < batch->c.columns.sites.n_own; i++)
            batch->kernel.spread[i] = spread[i] * factor;
        value[side] = loss_at(batch, alpha, batch->mu);
    }
    memcpy(batch->kernel.weight, weight, sizeof weight);
    memcpy(batch->kernel.spread, spread, (size_t)batch->c.columns.sites.n_own * sizeof *spread);
    free(spread);
    return (value[1] - value[0]) / (2.0 * step);
}

static double inner(const struct batch *batch, const double *a, const double *b)
{
    double *field = room((size_t)batch->n * sizeof *field), sum[GENES], total = 0.0;
    for (int64_t i = 0; i < batch->n; i++)
        field[i] = a[i] * b[i] * batch->mu[i];
    assert_int_equal(exact_field_sum_f64(&batch->c.columns.sites, batch->lanes, field, NULL, sum), MONGE_OK);
    for (int g = 0; g < batch->lanes; g++)
        total += sum[g];
    free(field);
    return total;
}

static void reverse_pass_is_the_derivative(void **state)
{
    (void)state;
    const double alpha = 1.3, step = 1e-5;
    struct batch batch;
    batch_new(&batch, "lowrank_map", 1e-3, false);
    struct map_tape tape;
    assert_int_equal(map_tape_new(&tape, &batch.kernel, alpha, STEPS, batch.lanes, batch.x, batch.mu), MONGE_OK);
    size_t bytes = (size_t)batch.n * sizeof(double);
    double *c_bar = room(bytes), *b_bar = room(bytes), *f_bar = room(bytes), *mu_bar = room(bytes), *direction = room(bytes);
    double alpha_bar[GENES], alpha_sum = 0.0;
    for (int64_t i = 0; i < batch.n; i++) {
        int64_t site = batch.c.columns.sites.first + i / batch.lanes;
        int lane = (int)(i % batch.lanes);
        c_bar[i] = hashed(site, lane, 1);
        b_bar[i] = hashed(site, lane, 2);
        f_bar[i] = hashed(site, lane, 3);
        direction[i] = hashed(site, lane, 9) - 0.3;
    }
    struct inner_product product = {.batch = &batch};
    assert_int_equal(map_adjoint(&tape, c_bar, b_bar, f_bar, mu_bar, alpha_bar, against_kernel, &product), MONGE_OK);
    for (int g = 0; g < batch.lanes; g++)
        alpha_sum += alpha_bar[g];

    double in_mu = slope_in_mu(&batch, alpha, direction, step), expected_mu = inner(&batch, mu_bar, direction);
    double in_alpha = (loss_at(&batch, alpha + 10.0 * step, batch.mu) - loss_at(&batch, alpha - 10.0 * step, batch.mu)) / (20.0 * step);
    double in_kernel = slope_in_kernel(&batch, alpha, step);
    figure("d loss / d mu against central differences", fabs(in_mu / expected_mu - 1.0), "<", 1e-7);
    figure("d loss / d alpha", fabs(in_alpha / alpha_sum - 1.0), "<", 1e-7);
    figure("<K-bar, K>", fabs(in_kernel / product.sum - 1.0), "<", 1e-7);
    assert_true(fabs(in_mu / expected_mu - 1.0) < 1e-7);
    assert_true(fabs(in_alpha / alpha_sum - 1.0) < 1e-7);
    assert_true(fabs(in_kernel / product.sum - 1.0) < 1e-7);
    free(c_bar);
    free(b_bar);
    free(f_bar);
    free(mu_bar);
    free(direction);
    map_tape_free(&tape);
    batch_free(&batch);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_map),
        cmocka_unit_test(golden_first_variant),
        cmocka_unit_test(golden_richardson_lucy),
        cmocka_unit_test(exposure_readout_adds_what_was_not_seen),
        cmocka_unit_test(trend_against_plain_formulas),
        cmocka_unit_test(trend_needs_a_cause),
        cmocka_unit_test(reverse_pass_is_the_derivative),
    };
    SUITE(argc, argv, tests);
}
