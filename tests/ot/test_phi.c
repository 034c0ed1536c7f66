/* The learned cost: golden weights and costs; golden values, plans and gradients of the differentiable variants through kernel, MAP steps
 * and all losses; the lattice adjoint against the dense one; central differences of the network. The plans of map_tissue and map_all are
 * formed here, entry by entry: the program needs only their column sums. */
#include "monge/phi.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/correct_losses.h"
#include "monge/map_adjoint.h"
#include "monge/quantile.h"
#include "monge/rng.h"
#include "support/suite.h"

enum { N = 144, GENES = 8, STEPS = 8 };

static double *golden_of(const char *file, const char *group, const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", group, name);
    return golden_read(file, path, NULL);
}

static double *golden(const char *group, const char *name)
{
    return golden_of(golden_path("correct_seed.h5"), group, name);
}

/* Golden arrays [N][N] and larger, which the project has no copy of; NULL: not there. */
static const char *golden_matrices(void)
{
    return shared_data("golden/correct/correct_golden.h5");
}

static void golden_compare(const char *group, const char *name, const double *values, size_t n, bool relative, double *worst)
{
    double *expected = golden(group, name), d = relative ? max_relative(values, expected, n) : max_difference(values, expected, n);
    if (!(d <= *worst))
        *worst = d;
    free(expected);
}

/* The golden inputs, and slides on which `kind` is the mask or tissue everywhere. */
struct inputs {
    double *counts, *q, *r, *bandwidth, *image, distance[N * N];
    uint8_t tissue[N];
    struct phi phi;
    double log_scale;
};

static void inputs_new(struct inputs *in)
{
    in->counts = golden("inputs", "counts");
    in->q = golden("inputs", "q");
    in->r = golden("inputs", "r");
    in->bandwidth = golden("inputs", "bandwidth");
    in->image = golden("inputs", "image");
    double *mask = golden("inputs", "mask"), *coords = golden("inputs", "coords");
    const char *names[] = {"phi_A1", "phi_c1", "phi_a2", "phi_c2"};
    const int offset[] = {PHI_A1, PHI_C1, PHI_A2, PHI_C2, PHI_PARAMETERS};
    for (int k = 0; k < 4; k++) {
        double *values = golden("inputs", names[k]);
        memcpy(in->phi.parameter + offset[k], values, (size_t)(offset[k + 1] - offset[k]) * sizeof(double));
        free(values);
    }
    in->phi.d_max = golden_attribute(golden_path("correct_seed.h5"), "inputs", "d_max");
    in->phi.power = 2.0;
    for (int i = 0; i < N; i++) {
        in->tissue[i] = mask[i] > 0.0;
        for (int j = 0; j < N; j++)
            in->distance[i * N + j] = hypot(coords[2 * i] - coords[2 * j], coords[2 * i + 1] - coords[2 * j + 1]);
    }
    free(mask);
    free(coords);
}

static void inputs_free(struct inputs *in)
{
    free(in->counts);
    free(in->q);
    free(in->r);
    free(in->bandwidth);
    free(in->image);
}

static void slide_of(struct slide *slide, const struct inputs *in, bool all_tissue)
{
    uint8_t kind[N];
    for (int i = 0; i < N; i++)
        kind[i] = all_tissue || in->tissue[i] ? SITE_TISSUE : SITE_BACKGROUND;
    assert_int_equal(slide_new_lattice(slide, LATTICE_SQUARE, 12, 12, kind), MONGE_OK);
}

/* One gene through threshold, prior, kernel and MAP steps. */
struct gene {
    double b[N], threshold, range, slope, mu_sum, mu[N], matrix[N * N];
    struct kernel kernel;
    struct map_tape tape;
    double corrected_bar[N], forward_bar[N];
};

static void gene_forward(struct gene *gene, const struct inputs *in, int g, const struct slide *sources, const struct partition *sites)
{
    const double *x = in->counts + g * N;
    double in_tissue[N], low = INFINITY, high = -INFINITY, total = 0.0;
    int n = 0;
    for (int i = 0; i < N; i++) {
        low = fmin(low, x[i]);
        high = fmax(high, x[i]);
        total += x[i];
        if (in->tissue[i])
            in_tissue[n++] = x[i];
    }
    struct quantile_sample sample;
    assert_int_equal(quantile_sample_new(&sample, n, in_tissue, 0), MONGE_OK);
    struct smooth_quantile q = quantile_smooth(&sample, in->q[g], in->bandwidth[g]);
    quantile_sample_free(&sample);
    gene->threshold = q.value;
    gene->slope = q.slope;
    gene->range = high - low;
    soft_threshold(N, x, q.value, gene->range, 50.0, gene->b);
    gene->mu_sum = 0.0;
    for (int i = 0; i < N; i++)
        gene->mu_sum += sources->kind[i] == SITE_TISSUE ? gene->b[i] + 1e-3 : 0.0;
    for (int i = 0; i < N; i++)
        gene->mu[i] = sources->kind[i] == SITE_TISSUE ? total * (gene->b[i] + 1e-3) / gene->mu_sum : 0.0;
    phi_dense_kernel(&in->phi, N, in->distance, in->tissue, in->r[g], gene->matrix);
    assert_int_equal(kernel_new_matrix(&gene->kernel, sources, sites, gene->matrix), MONGE_OK);
    assert_int_equal(map_tape_new(&gene->tape, &gene->kernel, 1.0, STEPS, 1, x, gene->mu), MONGE_OK);
}

static void gene_free(struct gene *gene)
{
    map_tape_free(&gene->tape);
    kernel_free(&gene->kernel);
}

static void add_outer(const double *p, const double *q, void *context)
{
    double *kernel_bar = context;
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++)
            kernel_bar[i * N + j] += p[i] * q[j];
}

struct gradients {
    double q[GENES], r[GENES], alpha, phi[PHI_PARAMETERS];
};

static void gene_backward(struct gene *gene, const struct inputs *in, int g, const struct slide *sources, struct gradients *out)
{
    static double kernel_bar[N * N];
    double mu_bar[N], b_bar[N] = {0}, alpha_bar = 0.0, along = 0.0, total = 0.0;
    memset(kernel_bar, 0, sizeof kernel_bar);
    assert_int_equal(map_adjoint(&gene->tape, gene->corrected_bar, NULL, gene->forward_bar, mu_bar, &alpha_bar, add_outer, kernel_bar),
                     MONGE_OK);
    for (int i = 0; i < N; i++) {
        along += mu_bar[i] * gene->mu[i];
        total += gene->mu[i];
    }
    for (int i = 0; i < N; i++) /* mu = T (b + floor) / sum */
        if (sources->kind[i] == SITE_TISSUE)
            b_bar[i] = (mu_bar[i] * total - along) / gene->mu_sum;
    out->q[g] = gene->slope * soft_threshold_adjoint(N, in->counts + g * N, gene->threshold, gene->range, 50.0, b_bar, NULL);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++)
            if (sources->kind[j] != SITE_TISSUE)
                kernel_bar[i * N + j] = 0.0;
    out->r[g] = phi_dense_adjoint(&in->phi, N, in->distance, in->tissue, in->r[g], gene->matrix, kernel_bar, out->phi);
    out->alpha += alpha_bar;
}

static void pack(const struct gene *genes, const double *(*field)(const struct gene *), double *lanes)
{
    for (int g = 0; g < GENES; g++)
        for (int i = 0; i < N; i++)
            lanes[i * GENES + g] = field(&genes[g])[i];
}

static const double *corrected_of(const struct gene *gene)
{
    return gene->tape.c;
}

static const double *forward_of(const struct gene *gene)
{
    return gene->tape.f;
}

static const double *prior_of(const struct gene *gene)
{
    return gene->mu;
}

static const double *capacities_of(const struct gene *gene)
{
    return gene->tape.b + STEPS * N;
}

/* Largest difference of all genes from a golden array [GENES][N], or [GENES][sources]. */
static double worst_field(const char *group, const char *name, const struct gene *genes, const double *(*field)(const struct gene *),
                          const struct slide *sources)
{
    double *expected = golden(group, name), worst = 0.0;
    size_t at = 0;
    for (int g = 0; g < GENES; g++)
        for (int i = 0; i < N; i++)
            if (!sources || sources->kind[i] == SITE_TISSUE)
                worst = fmax(worst, fabs(field(&genes[g])[i] - expected[at++]));
    free(expected);
    return worst;
}

/* gamma_ij = x_i K_ij b_j / (K b)_i, in counts. */
static double worst_plan(const char *file, const char *group, const struct inputs *in, const struct gene *genes,
                         const struct slide *sources)
{
    double *expected = golden_of(file, group, "plan"), worst = 0.0;
    size_t at = 0;
    for (int g = 0; g < GENES; g++)
        for (int i = 0; i < N; i++)
            for (int j = 0; j < N; j++) {
                if (sources->kind[j] != SITE_TISSUE)
                    continue;
                double share = genes[g].matrix[i * N + j] * capacities_of(&genes[g])[j] / genes[g].tape.f[i];
                worst = fmax(worst, fabs(in->counts[g * N + i] * share - expected[at++]));
            }
    free(expected);
    return worst;
}

static void check_gradients(const char *group, const char *loss, const struct gradients *have, double *worst)
{
    const char *names[] = {"q", "r", "alpha", "A1", "c1", "a2", "c2"};
    const double *values[] = {have->q,           have->r, &have->alpha, have->phi + PHI_A1, have->phi + PHI_C1, have->phi + PHI_A2,
                              have->phi + PHI_C2};
    const size_t counts[] = {GENES, GENES, 1, 32, 8, 8, 1};
    for (int k = 0; k < 7; k++) {
        char name[64];
        snprintf(name, sizeof name, "grad/%s/%s", loss, names[k]);
        double *expected = golden(group, name), largest = 0.0;
        for (size_t i = 0; i < counts[k]; i++)
            largest = fmax(largest, fabs(expected[i]));
        double d = max_difference(values[k], expected, counts[k]) / fmax(largest, 1e-8);
        if (!(d <= *worst))
            *worst = d;
        free(expected);
    }
}

static void check_group(const char *group, bool all_sources)
{
    static struct gene genes[GENES];
    static double corrected[N * GENES], forward[N * GENES], observed[N * GENES], c_bar[N * GENES], f_bar[N * GENES];
    struct inputs in;
    struct slide slide, sources;
    struct partition sites;
    inputs_new(&in);
    slide_of(&slide, &in, false);
    slide_of(&sources, &in, all_sources);
    assert_int_equal(partition_new(&sites, MPI_COMM_SELF, slide.n_blocks, slide.block_start), MONGE_OK);
    double total[N] = {0};
    for (int g = 0; g < GENES; g++) {
        gene_forward(&genes[g], &in, g, &sources, &sites);
        for (int i = 0; i < N; i++) {
            observed[i * GENES + g] = in.counts[g * N + i];
            total[i] += in.counts[g * N + i];
        }
    }
    pack(genes, corrected_of, corrected);
    pack(genes, forward_of, forward);

    double values = worst_field(group, "Xh", genes, corrected_of, NULL), gradients = 0.0;
    values = fmax(values, worst_field(group, "forward", genes, forward_of, NULL));
    values = fmax(values, worst_field(group, "mu", genes, prior_of, &sources));
    values = fmax(values, worst_field(group, "cap", genes, capacities_of, &sources));
    const char *names[] = {"L_image", "L_out", "L_moran", "L_fit", "L_total"};
    for (int k = 0; k < 5; k++) {
        struct loss_weights weights = {
            .image = k == 0 || k == 4, .out = k == 1 || k == 4, .moran = k == 2 || k == 4, .fit = k == 3 || k == 4};
        struct losses losses;
        struct loss_batch batch = {.lanes = GENES, .n_genes = GENES, .corrected = corrected, .observed = observed, .forward = forward};
        struct correct_losses have;
        assert_int_equal(losses_new(&losses, &slide, &sites, MPI_COMM_SELF, GENES, &weights, in.image, total), MONGE_OK);
        assert_int_equal(losses_begin(&losses), MONGE_OK);
        assert_int_equal(losses_add(&losses, &batch), MONGE_OK);
        assert_int_equal(losses_finish(&losses, &have), MONGE_OK);
        golden_compare(group, names[k], &have.total, 1, false, &values);
        golden_compare(group, "L_out_raw", &have.out_raw, 1, false, &values);
        golden_compare(group, "L_fit", &have.fit, 1, false, &values);
        golden_compare(group, "ssim", &have.ssim, 1, false, &values);
        assert_int_equal(losses_adjoint(&losses, &batch, c_bar, f_bar), MONGE_OK);
        struct gradients gradient = {0};
        for (int g = 0; g < GENES; g++) {
            for (int i = 0; i < N; i++) {
                genes[g].corrected_bar[i] = c_bar[i * GENES + g];
                genes[g].forward_bar[i] = f_bar[i * GENES + g];
            }
            gene_backward(&genes[g], &in, g, &sources, &gradient);
        }
        if (k != 1 || all_sources) /* L_out of sources in tissue is 0 */
            check_gradients(group, names[k], &gradient, &gradients);
        losses_free(&losses);
    }
    const char *matrices = golden_matrices();
    double plans = matrices ? worst_plan(matrices, group, &in, genes, &sources) : 0.0;
    figure(all_sources ? "map_all: Xh, forward, mu, cap and losses from golden" : "map_tissue: Xh, forward, mu, cap and losses from golden",
           values, "<", 1e-10);
    figure("  plans", plans, "<", 1e-9);
    figure("  gradients by q, r, alpha, phi, relative", gradients, "<", 1e-7);
    assert_true(values < 1e-10);
    assert_true(plans < 1e-9);
    assert_true(gradients < 1e-7);
    for (int g = 0; g < GENES; g++)
        gene_free(&genes[g]);
    partition_free(&sites);
    slide_free(&slide);
    slide_free(&sources);
    inputs_free(&in);
}

static void reproduces_golden_gradients(void **state)
{
    (void)state;
    check_group("map_tissue", false);
    check_group("map_all", true);
}

/* W and M are of phi alone, hence the same in the three groups. */
static void reproduces_golden_weights(void **state)
{
    (void)state;
    const char *file = golden_matrices(), *groups[] = {"bal", "map_tissue", "map_all"};
    struct inputs in;
    inputs_new(&in);
    for (int k = 0; k < 3 && file; k++) {
        double *w = golden_of(file, groups[k], "W"), *m = golden_of(file, groups[k], "M"), worst = 0.0;
        for (int i = 0; i < N; i++)
            for (int j = 0; j < N; j++) {
                double d = in.distance[i * N + j];
                worst = fmax(worst, fabs(phi_weight(&in.phi, d, in.tissue[i], in.tissue[j]) - w[i * N + j]));
                worst = fmax(worst, fabs(phi_cost(&in.phi, d, in.tissue[i], in.tissue[j]) - m[i * N + j]));
            }
        char title[64];
        snprintf(title, sizeof title, "%s: W, M from golden", groups[k]);
        figure(title, worst, "<", 1e-10);
        assert_true(worst < 1e-10);
        free(w);
        free(m);
    }
    inputs_free(&in);
}

static struct phi random_phi(const struct slide *slide)
{
    struct phi phi;
    phi_start(&phi, slide, 2.0, 3);
    struct rng rng = rng_start(7, RNG_TEST, 0);
    for (int k = PHI_A2; k < PHI_PARAMETERS; k++)
        phi.parameter[k] = 0.3 * rng_normal(&rng);
    return phi;
}

static void hex_slide(struct slide *slide)
{
    uint8_t kind[22 * 20];
    for (int i = 0; i < 22 * 20; i++)
        kind[i] = hypot(i % 20 - 10, i / 20 - 11) < 8.0 ? SITE_TISSUE : i % 53 == 7 ? SITE_OFF : SITE_BACKGROUND;
    assert_int_equal(slide_new_lattice(slide, LATTICE_HEX, 22, 20, kind), MONGE_OK);
}

static void network_starts_at_one_and_is_differentiable(void **state)
{
    (void)state;
    struct slide slide;
    hex_slide(&slide);
    struct phi phi;
    phi_start(&phi, &slide, 2.0, 1);
    for (double d = 0.0; d < 20.0; d += 0.7)
        assert_true(fabs(phi_weight(&phi, d, true, false) - 1.0) < 1e-15);
    phi = random_phi(&slide);
    double bar[PHI_PARAMETERS] = {0}, numeric[PHI_PARAMETERS];
    phi_weight_adjoint(&phi, 3.0, false, true, 1.7, bar);
    for (int k = 0; k < PHI_PARAMETERS; k++) {
        double keep = phi.parameter[k], h = 1e-5;
        phi.parameter[k] = keep + h;
        double up = phi_weight(&phi, 3.0, false, true);
        phi.parameter[k] = keep - h;
        double down = phi_weight(&phi, 3.0, false, true);
        phi.parameter[k] = keep;
        numeric[k] = 1.7 * (up - down) / (2.0 * h);
    }
    double worst = max_relative(bar, numeric, PHI_PARAMETERS);
    figure("network adjoint against differences, relative", worst, "<", 1e-8);
    assert_true(worst < 1e-8);
    slide_free(&slide);
}

/* The kernel on the lattice, with its halo and pair sums, against the dense one on a hexagonal slide. */
static void lattice_kernel_equals_dense(void **state)
{
    (void)state;
    enum { LANES = 3 };
    struct slide slide;
    struct partition sites;
    struct kernel kernel;
    hex_slide(&slide);
    assert_int_equal(partition_new(&sites, MPI_COMM_WORLD, slide.n_blocks, slide.block_start), MONGE_OK);
    struct phi phi = random_phi(&slide);
    double r = 1.3, radius = 10.0, stay = 0.2, uniform = 0.1;
    int64_t n = slide.n_sites, first = sites.first, n_own = sites.n_own;
    size_t dense = (size_t)(n * n);
    double *distance = malloc(dense * sizeof *distance), *matrix = malloc(dense * sizeof *matrix), *bar = calloc(dense, sizeof *bar);
    uint8_t *tissue = malloc((size_t)n);
    for (int64_t i = 0; i < n; i++) {
        double x, y, u, v;
        slide_position(&slide, i, &x, &y);
        tissue[i] = slide.kind[i] == SITE_TISSUE;
        for (int64_t j = 0; j < n; j++) {
            slide_position(&slide, j, &u, &v);
            distance[i * n + j] = slide.kind[i] == SITE_OFF ? 1e3 : hypot(x - u, y - v); /* nothing is captured off the slide */
        }
    }
    phi_dense_kernel(&phi, n, distance, tissue, r, matrix);
    assert_int_equal(kernel_new_phi(&kernel, &slide, &sites, &phi, r, radius, stay, uniform), MONGE_OK);

    double *p = malloc((size_t)n * LANES * sizeof *p), *q = malloc((size_t)n * LANES * sizeof *q);
    double *out = malloc((size_t)(n_own + 1) * LANES * sizeof *out), *work = malloc((size_t)(n_own + 1) * 2 * LANES * sizeof *work);
    struct rng rng = rng_start(8, RNG_TEST, 0);
    for (int64_t k = 0; k < n * LANES; k++) {
        p[k] = rng_normal(&rng);
        q[k] = slide.kind[k / LANES] == SITE_TISSUE ? rng_uniform(&rng) : 0.0;
    }
    assert_int_equal(kernel_apply_f64(&kernel, LANES, NULL, q + first * LANES, out, work), MONGE_OK);
    int64_t n_seen = slide_count(&slide, SITE_TISSUE) + slide_count(&slide, SITE_BACKGROUND);
    double worst = 0.0;
    for (int64_t i = 0; i < n_own; i++)
        for (int l = 0; l < LANES; l++) {
            double expected = stay * q[(first + i) * LANES + l];
            for (int64_t j = 0; j < n && slide.kind[first + i] != SITE_OFF; j++)
                expected += ((1.0 - stay - uniform) * matrix[(first + i) * n + j] + uniform / (double)n_seen) * q[j * LANES + l];
            if (slide.kind[first + i] == SITE_OFF)
                expected = 0.0;
            worst = fmax(worst, fabs(expected - out[i * LANES + l]));
        }
    figure("learned kernel on the lattice, difference from dense", worst, "<", 1e-10);
    assert_true(worst < 1e-10);

    struct phi_pairs *pairs;
    assert_int_equal(phi_pairs_new(&pairs, &kernel, &phi, r, radius, LANES), MONGE_OK);
    phi_pairs_add(p + first * LANES, q + first * LANES, pairs);
    phi_pairs_add(q + first * LANES, q + first * LANES, pairs);
    double r_bar, phi_bar[PHI_PARAMETERS], dense_bar[PHI_PARAMETERS] = {0};
    assert_int_equal(phi_pairs_finish(pairs, &r_bar, phi_bar), MONGE_OK);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++)
            for (int l = 0; l < LANES; l++)
                bar[i * n + j] += (1.0 - stay - uniform) * (p[i * LANES + l] + q[i * LANES + l]) * q[j * LANES + l];
    for (int64_t k = 0; k < n * n; k++)
        bar[k] = slide.kind[k % n] == SITE_TISSUE ? bar[k] : 0.0;
    double r_dense = phi_dense_adjoint(&phi, n, distance, tissue, r, matrix, bar, dense_bar);
    double relative = fmax(max_relative(phi_bar, dense_bar, PHI_PARAMETERS), fabs(r_bar / r_dense - 1.0));
    figure("  its adjoint by r and phi, relative", relative, "<", 1e-9);
    assert_true(relative < 1e-9);
    phi_pairs_free(pairs);

    kernel_scale_beta(&kernel, .75); /* three quarters of what left the spot still leave it */
    double stays = 1.0 - .75 * (1.0 - stay), sum = 0.0;
    for (int c = 0; c < kernel.n_components; c++)
        sum += kernel.weight[c];
    figure("  scaled: sum of its weights - 1", fabs(sum - 1.0), "<", 1e-15);
    assert_true(fabs(sum - 1.0) < 1e-15 && fabs(kernel.weight[KERNEL_STAY] - stays) < 1e-15);
    kernel_free(&kernel);
    partition_free(&sites);
    slide_free(&slide);
    free(distance);
    free(matrix);
    free(bar);
    free(tissue);
    free(p);
    free(q);
    free(out);
    free(work);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(reproduces_golden_weights), cmocka_unit_test(reproduces_golden_gradients),
                                       cmocka_unit_test(network_starts_at_one_and_is_differentiable),
                                       cmocka_unit_test(lattice_kernel_equals_dense)};
    SUITE(argc, argv, tests);
}
