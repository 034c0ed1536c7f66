/* The low-rank field: golden vectors of all variants; the same bits on any grid; the start. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/correct_model.h"
#include "support/counted.h"
#include "support/lattices.h"
#include "support/suite.h"

enum { GENES = 8, RANK = 4, LANES = 8, SWEEPS = 40 };

static double over_ranks(double mine)
{
    MPI_Allreduce(MPI_IN_PLACE, &mine, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    return mine;
}

/* Start of the golden vectors: U0 (RANK x tissue), V0 (GENES x RANK). */
static void golden_start(struct lowrank *model, const struct counted *c, const struct kernel *kernel)
{
    const char *file = golden_path("correct_map.h5");
    double *u0 = golden_read(file, "lowrank_map/U0", NULL), *v0 = golden_read(file, "lowrank_map/V0", NULL);
    const struct gene_counts *columns = &c->columns;
    *model = (struct lowrank){.rank = RANK, .lanes = LANES, .n_components = kernel->n_components};
    model->u = room((size_t)(columns->sites.n_own * LANES) * sizeof(double));
    model->v = room((size_t)(columns->n_genes * LANES) * sizeof(double));
    model->pi = room((size_t)(columns->n_genes * kernel->n_components) * sizeof(double));
    for (int k = 0; k < RANK; k++) {
        double *own = from_tissue(c, u0 + k * c->n_tissue);
        for (int64_t i = 0; i < columns->sites.n_own; i++)
            model->u[i * LANES + k] = own[i];
        free(own);
    }
    for (int64_t g = 0; g < columns->n_genes; g++) {
        for (int k = 0; k < RANK; k++)
            model->v[g * LANES + k] = v0[columns->gene[g] * RANK + k];
        for (int p = 0; p < kernel->n_components; p++)
            model->pi[g * kernel->n_components + p] = kernel->weight[p];
    }
    free(u0);
    free(v0);
}

static double worst_source(const struct counted *c, const struct lowrank *model, const double *golden)
{
    double worst = 0.0;
    for (int64_t i = 0; i < c->columns.sites.n_own; i++) {
        int32_t j = c->tissue_index[c->columns.sites.first + i];
        for (int k = 0; k < LANES; k++) {
            double expected = j >= 0 && k < RANK ? golden[k * c->n_tissue + j] : 0.0;
            worst = fmax(worst, fabs(model->u[i * LANES + k] - expected));
        }
    }
    return over_ranks(worst);
}

/* V U of the fit, which the program forms by batches as the prior mean, against golden L [GENES][tissue]; relative to the largest. */
static double worst_product(const struct counted *c, const struct lowrank *model, const double *golden)
{
    double worst = 0.0, scale = 0.0;
    for (int64_t i = 0; i < c->columns.sites.n_own; i++) {
        int32_t j = c->tissue_index[c->columns.sites.first + i];
        for (int64_t g = 0; g < c->columns.n_genes && j >= 0; g++) {
            double sum = 0.0, expected = golden[c->columns.gene[g] * c->n_tissue + j];
            for (int k = 0; k < LANES; k++)
                sum += model->v[g * LANES + k] * model->u[i * LANES + k];
            worst = fmax(worst, fabs(sum - expected));
            scale = fmax(scale, expected);
        }
    }
    return over_ranks(worst) / over_ranks(scale);
}

/* width values per gene of `own` (stride) against golden [GENES][width], relative to the largest. */
static double worst_gene(const struct counted *c, const double *own, int stride, const double *golden, int width)
{
    double worst = 0.0, scale = 0.0;
    for (int64_t g = 0; g < c->columns.n_genes; g++)
        for (int k = 0; k < width; k++)
            worst = fmax(worst, fabs(own[g * stride + k] - golden[c->columns.gene[g] * width + k]));
    for (int k = 0; k < GENES * width; k++)
        scale = fmax(scale, fabs(golden[k]));
    return over_ranks(worst / scale);
}

static double *golden_in(const char *group, const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", group, name);
    return golden_read(golden_path("correct_map.h5"), path, NULL);
}

static void check_golden(const char *group, const char *e_group, double gene_weights, bool rescale_rows, int gene_groups)
{
    struct counted c;
    struct kernel kernel;
    struct lowrank model;
    counted_golden(&c, MPI_COMM_WORLD, gene_groups);
    golden_kernel(&kernel, &c);
    golden_start(&model, &c, &kernel);
    double *ones = room(144 * sizeof *ones);
    for (int i = 0; i < 144; i++)
        ones[i] = 1.0;
    double *e_cells = e_group ? golden_in(e_group, "e") : ones, *e = from_cells(&c, e_cells);
    struct lowrank_options options = {
        .rank = RANK, .sweeps = SWEEPS, .gene_weights = gene_weights, .first_weight_sweep = 5, .rescale_rows = rescale_rows};
    assert_int_equal(lowrank_fit(&model, &options, &kernel, &c.columns, e), MONGE_OK);

    double *u = golden_in(group, "U"), *v = golden_in(group, "V"), *loglik = golden_in(group, "loglik"), *l = golden_in(group, "L");
    char title[96];
    snprintf(title, sizeof title, "%s U, V, L", group);
    double worst = fmax(worst_source(&c, &model, u), worst_gene(&c, model.v, LANES, v, RANK));
    worst = fmax(worst, worst_product(&c, &model, l));
    figure(title, worst, "<", 1e-9);
    assert_true(worst < 1e-9);
    if (e_group) {
        double *pi = golden_in(group, "pi");
        assert_true(worst_gene(&c, model.pi, model.n_components, pi, model.n_components) < 1e-9);
        free(pi);
    }
    assert_true(max_difference(model.loglik, loglik, SWEEPS) < 1e-9 * fabs(loglik[SWEEPS - 1]));
    for (int s = 1; s < SWEEPS; s++)
        assert_true(gene_weights > 0.0 || rescale_rows || model.loglik[s] >= model.loglik[s - 1]);
    free(ones);
    if (e_group)
        free(e_cells);
    free(e);
    free(u);
    free(v);
    free(l);
    free(loglik);
    lowrank_free(&model);
    kernel_free(&kernel);
    counted_free(&c);
}

static void golden_variants(void **state)
{
    (void)state;
    check_golden("lowrank_map", NULL, 0.0, true, 1);
    check_golden("lowrank_shared_e1", "lowrank_shared_e1", 0.0, false, 1);
    check_golden("lowrank_shared", "lowrank_shared", 0.0, false, suite_size());
    check_golden("lowrank_gene_weights", "lowrank_gene_weights", 500.0, false, 1);
    check_golden("lowrank_gene_weights_A20", "lowrank_gene_weights_A20", 20.0, false, suite_size());
}

/* ---- any grid ---- */

enum { SIDE = 40, MANY = 75, START_RANK = 5 };

static void some_slide(uint8_t *mask, double *counts)
{
    for (int i = 0; i < SIDE * SIDE; i++) {
        double y = (i / SIDE + 0.5) / SIDE - 0.5, x = (i % SIDE + 0.5) / SIDE - 0.5;
        mask[i] = hypot(x, y) < 0.4;
        for (int g = 0; g < MANY; g++) {
            double mean = (mask[i] ? 1.5 : 0.2) * (1.0 + sin(8.0 * x * (g % 3) + 7.0 * y * (g % 5)));
            counts[(int64_t)g * SIDE * SIDE + i] = floor(mean * 2.0 * hashed(i, g, 4) + hashed(i, g, 5) * 0.7);
        }
    }
}

struct fitted {
    struct counted c;
    struct kernel kernel;
    struct lowrank model;
    struct lowrank_options options;
};

static void fit_some(struct fitted *f, MPI_Comm comm, int gene_groups, double gene_weights, bool single)
{
    static uint8_t mask[SIDE * SIDE];
    static double counts[MANY * SIDE * SIDE];
    some_slide(mask, counts);
    counted_new(&f->c, comm, gene_groups, LATTICE_HEX, SIDE, SIDE, mask, MANY, counts);
    struct kernel_parameters p = {
        .beta = 0.5, .sigma = 1.3, .tail_weight = 0.2, .tail_length = 3.0, .uniform_weight = 0.1, .permeability = 0.8};
    assert_int_equal(kernel_new_dense(&f->kernel, &f->c.section.slide, &f->c.columns.sites, &p), MONGE_OK);
    f->options = (struct lowrank_options){
        .rank = START_RANK, .sweeps = 8, .gene_weights = gene_weights, .first_weight_sweep = 2, .single = single, .seed = 3};
    double *e = room((size_t)f->c.columns.sites.n_own * sizeof *e);
    for (int64_t i = 0; i < f->c.columns.sites.n_own; i++)
        e[i] = 0.5 + hashed(f->c.columns.sites.first + i, 0, 6);
    assert_int_equal(lowrank_start(&f->model, &f->options, &f->kernel, &f->c.columns), MONGE_OK);
    assert_int_equal(lowrank_fit(&f->model, &f->options, &f->kernel, &f->c.columns, e), MONGE_OK);
    free(e);
}

static void fitted_free(struct fitted *f)
{
    lowrank_free(&f->model);
    kernel_free(&f->kernel);
    counted_free(&f->c);
}

static bool same_bits(const struct fitted *part, const struct fitted *whole)
{
    int lanes = whole->model.lanes, n = whole->model.n_components;
    bool same = memcmp(part->model.loglik, whole->model.loglik, (size_t)whole->options.sweeps * sizeof(double)) == 0;
    const struct gene_counts *columns = &part->c.columns;
    same = same && memcmp(part->model.u, whole->model.u + columns->sites.first * lanes,
                          (size_t)(columns->sites.n_own * lanes) * sizeof(double)) == 0;
    for (int64_t g = 0; g < columns->n_genes; g++) {
        int64_t at = 0;
        while (whole->c.columns.gene[at] != columns->gene[g])
            at++;
        same = same && memcmp(part->model.v + g * lanes, whole->model.v + at * lanes, (size_t)lanes * sizeof(double)) == 0 &&
               memcmp(part->model.pi + g * n, whole->model.pi + at * n, (size_t)n * sizeof(double)) == 0;
    }
    return same;
}

static void any_grid_gives_the_same_bits(void **state)
{
    (void)state;
    struct fitted whole, part;
    for (int kind = 0; kind < 4; kind++) {
        double weights = kind & 1 ? 100.0 : 0.0;
        bool single = kind & 2;
        fit_some(&whole, MPI_COMM_SELF, 1, weights, single);
        for (int groups = 1; groups <= suite_size(); groups++) {
            if (suite_size() % groups)
                continue;
            fit_some(&part, MPI_COMM_WORLD, groups, weights, single);
            assert_true(same_bits(&part, &whole));
            fitted_free(&part);
        }
        fitted_free(&whole);
    }
}

static void likelihood_rises_from_the_start(void **state)
{
    (void)state;
    struct fitted f;
    fit_some(&f, MPI_COMM_WORLD, 1, 0.0, false);
    for (int s = 1; s < f.options.sweeps; s++)
        assert_true(f.model.loglik[s] >= f.model.loglik[s - 1]);
    assert_true(f.model.loglik[f.options.sweeps - 1] > f.model.loglik[0] + 1000.0);
    fitted_free(&f);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_variants),
        cmocka_unit_test(any_grid_gives_the_same_bits),
        cmocka_unit_test(likelihood_rises_from_the_start),
    };
    SUITE(argc, argv, tests);
}
