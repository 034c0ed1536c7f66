/* Training the learned kernel on a slide made with a known Gaussian kernel: gradient of the whole objective against differences, the
 * held-out fit improves, the cap holds, same bits on any grid. */
#include "monge/phi_train.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/rng.h"
#include "support/suite.h"

enum { ROWS = 24, COLS = 22, GENES = 40, THETA = 1 + PHI_PARAMETERS };
static const double SIGMA = 1.4;

struct setting {
    struct section section;
    struct grid grid;
    struct gene_counts columns;
    double *total;
};

/* Sources: two bright stripes per gene, in tissue; each molecule moves by a Gaussian. Means are exact, counts Poisson. */
static double *expected_counts(const struct slide *slide)
{
    int64_t n = slide->n_sites;
    double *mean = calloc((size_t)(GENES * n), sizeof *mean), *weight = malloc((size_t)n * sizeof *weight);
    for (int64_t j = 0; j < n; j++) {
        double x, y, u, v, sum = 0.0;
        if (slide->kind[j] != SITE_TISSUE)
            continue;
        slide_position(slide, j, &x, &y);
        for (int64_t i = 0; i < n; i++) {
            slide_position(slide, i, &u, &v);
            sum += weight[i] = exp(-((x - u) * (x - u) + (y - v) * (y - v)) / (2.0 * SIGMA * SIGMA));
        }
        for (int g = 0; g < GENES; g++) {
            double source = 0.5 + 12.0 * ((int)(x + 0.7 * g) % 7 == 0) + 8.0 * ((int)(y + g) % 9 == 0);
            for (int64_t i = 0; i < n; i++)
                mean[g * n + i] += source * weight[i] / sum;
        }
    }
    free(weight);
    return mean;
}

static void setting_new(struct setting *s, MPI_Comm comm, int gene_groups, int spot_groups)
{
    memset(s, 0, sizeof *s);
    uint8_t kind[ROWS * COLS];
    for (int i = 0; i < ROWS * COLS; i++)
        kind[i] = hypot(i % COLS - 11.0, 0.87 * (i / COLS) - 10.0) < 7.0 ? SITE_TISSUE : SITE_BACKGROUND;
    struct section *section = &s->section;
    section->comm = comm;
    section->n_genes = GENES;
    assert_int_equal(slide_new_lattice(&section->slide, LATTICE_HEX, ROWS, COLS, kind), MONGE_OK);
    assert_int_equal(partition_new(&section->sites, comm, section->slide.n_blocks, section->slide.block_start), MONGE_OK);
    double *mean = expected_counts(&section->slide);
    int64_t n = section->slide.n_sites, own = section->sites.n_own, entries = 0;
    size_t room = (size_t)(own * GENES) + 1;
    section->counts =
        (struct sparse_rows){own, calloc((size_t)own + 1, sizeof(int64_t)), malloc(room * sizeof(int32_t)), malloc(room * sizeof(float))};
    for (int64_t i = 0; i < own; i++) {
        int64_t site = section->sites.first + i;
        for (int64_t g = 0; g < GENES; g++) {
            struct rng rng = rng_start(13, RNG_TEST, (uint64_t)(g * 4096 + site));
            int64_t count = rng_poisson(&rng, mean[g * n + site]);
            if (count > 0) {
                section->counts.column[entries] = (int32_t)g;
                section->counts.value[entries++] = (float)count;
            }
        }
        section->counts.start[i + 1] = entries;
    }
    free(mean);
    assert_int_equal(grid_new(&s->grid, comm, gene_groups, spot_groups), MONGE_OK);
    assert_int_equal(gene_counts_new(&s->columns, section, &s->grid, NULL), MONGE_OK);
    s->total = calloc((size_t)s->columns.sites.n_own + 1, sizeof *s->total);
    for (int64_t e = 0; e < s->columns.start[s->columns.n_genes]; e++)
        s->total[s->columns.site[e]] += (double)s->columns.count[e];
    MPI_Allreduce(MPI_IN_PLACE, s->total, (int)s->columns.sites.n_own, MPI_DOUBLE, MPI_SUM, s->grid.gene_comm);
}

static void setting_world(struct setting *s)
{
    int size = suite_size();
    setting_new(s, MPI_COMM_WORLD, size % 2 == 0 ? 2 : 1, size % 2 == 0 ? size / 2 : size);
}

static void setting_free(struct setting *s)
{
    free(s->total);
    gene_counts_free(&s->columns);
    grid_free(&s->grid);
    section_free(&s->section);
}

/* Bright in tissue. */
static double *stain_of(const struct slide *slide)
{
    double *stain = malloc((size_t)slide->n_sites * sizeof *stain);
    for (int64_t i = 0; i < slide->n_sites; i++)
        stain[i] = slide->kind[i] == SITE_TISSUE ? 0.8 : 0.1;
    return stain;
}

static void gradient_of_everything(void **state)
{
    (void)state;
    struct setting s;
    setting_world(&s);
    struct phi_training training = phi_training_defaults();
    training.weights = (struct loss_weights){.image = 0.1, .out = 0.1, .moran = 0.1, .fit = 1.0, .moran_form = MORAN_REWARD};
    training.map_steps = 4;
    training.radius = 5.0;
    training.uniform = 0.02;
    double *stain = stain_of(&s.section.slide);
    struct phi_trainer *trainer;
    assert_int_equal(phi_trainer_new(&trainer, &s.section.slide, &s.columns, &training, stain, s.total), MONGE_OK);
    double theta[THETA], gradient[THETA], beta, worst = 0.0, scale = 0.0;
    struct rng rng = rng_start(14, RNG_TEST, 0);
    for (int k = 0; k < THETA; k++)
        theta[k] = 0.3 * rng_normal(&rng);
    struct correct_losses losses, up, down;
    assert_int_equal(phi_trainer_evaluate(trainer, theta, &losses, &beta, gradient), MONGE_OK);
    for (int k = 0; k < THETA; k += k < 1 ? 1 : 6) {
        double keep = theta[k], h = 1e-4;
        theta[k] = keep + h;
        assert_int_equal(phi_trainer_evaluate(trainer, theta, &up, &beta, NULL), MONGE_OK);
        theta[k] = keep - h;
        assert_int_equal(phi_trainer_evaluate(trainer, theta, &down, &beta, NULL), MONGE_OK);
        theta[k] = keep;
        double numeric = (up.total - down.total) / (2.0 * h);
        worst = fmax(worst, fabs(numeric - gradient[k]));
        scale = fmax(scale, fabs(numeric));
    }
    figure("objective's gradient by r and phi against differences, relative", worst / scale, "<", 1e-6);
    assert_true(worst / scale < 1e-6);
    phi_trainer_free(trainer);
    free(stain);
    setting_free(&s);
}

static void training_finds_the_spread(void **state)
{
    (void)state;
    struct setting s;
    setting_world(&s);
    struct phi_training training = phi_training_defaults();
    training.steps = 40;
    training.map_steps = 5;
    training.learning_rate = 0.1;
    struct phi_trained trained;
    assert_int_equal(phi_train(&trained, &s.section.slide, &s.columns, &training, NULL, s.total), MONGE_OK);
    figure("held-out fit at the start (W = 1, r = 1: sigma .7)", trained.before.fit, ">", trained.after.fit);
    figure("  after training", trained.after.fit, "<", trained.before.fit - 0.01);
    double distance[] = {0.0, 1.0, 2.0}, probability[3];
    phi_profile(&trained.phi, trained.r, 3, distance, probability);
    double sigma = sqrt(1.0 / (-2.0 * log(probability[1] / probability[0])));
    figure("  width of the learned kernel at one pitch (made with 1.4)", sigma, ">", 1.0);
    assert_true(trained.after.fit < trained.before.fit - 0.01);
    assert_true(sigma > 1.0 && sigma < 2.0);
    double free_beta = trained.beta;
    training.steps = 3;
    training.beta_cap = 0.4;
    training.uniform = 0.05;
    assert_int_equal(phi_train(&trained, &s.section.slide, &s.columns, &training, NULL, s.total), MONGE_OK);
    assert_true(free_beta > 0.4 && fabs(trained.beta - 0.4) < 1e-12);
    struct kernel kernel; /* what the integrator builds */
    assert_int_equal(kernel_new_phi(&kernel, &s.section.slide, &s.columns.sites, &trained.phi, trained.r, training.radius, trained.stay,
                                    trained.uniform),
                     MONGE_OK);
    assert_true(fabs(kernel.parameters.beta - 0.4) < 1e-12);
    kernel_free(&kernel);
    training.weights.moran = 0.5;
    assert_int_equal(phi_train(&trained, &s.section.slide, &s.columns, &training, NULL, s.total), MONGE_USAGE);
    error_clear();
    setting_free(&s);
}

static void same_bits_as_on_one_rank(void **state)
{
    (void)state;
    struct setting shared, alone;
    setting_world(&shared);
    setting_new(&alone, MPI_COMM_SELF, 1, 1);
    struct phi_training training = phi_training_defaults();
    training.steps = 2;
    training.map_steps = 3;
    struct phi_trained one, two;
    assert_int_equal(phi_train(&one, &shared.section.slide, &shared.columns, &training, NULL, shared.total), MONGE_OK);
    assert_int_equal(phi_train(&two, &alone.section.slide, &alone.columns, &training, NULL, alone.total), MONGE_OK);
    assert_memory_equal(&one.phi, &two.phi, sizeof one.phi);
    assert_true(one.after.fit == two.after.fit && one.beta == two.beta);
    setting_free(&shared);
    setting_free(&alone);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(gradient_of_everything), cmocka_unit_test(training_finds_the_spread),
                                       cmocka_unit_test(same_bits_as_on_one_rank)};
    SUITE(argc, argv, tests);
}
