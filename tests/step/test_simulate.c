/* The simulator: published raw figures of its slides, the spread against a brute-force column of the kernel, invariance to ranks. */
#include "monge/simulate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../../src/step/simulate_parts.h"
#include "monge/section_io.h"
#include "support/suite.h"

static struct simulate_options defaults(void)
{
    struct simulate_options options;
    assert_int_equal(options_defaults(&simulate_options, &options), MONGE_OK);
    return options;
}

static void simulate(struct section *section, MPI_Comm comm, const struct simulate_options *options)
{
    if (simulate_section(section, comm, options) != MONGE_OK)
        fail_msg("%s", error_message());
}

/* own rows -> dense [genes][sites] of a section on one rank */
static double *dense(const struct section *section, const struct sparse_rows *rows)
{
    double *field = calloc((size_t)(section->n_genes * section->n_spots), sizeof *field);
    assert_non_null(field);
    for (int64_t i = 0; i < rows->n_rows; i++)
        for (int64_t k = rows->start[i]; k < rows->start[i + 1]; k++)
            field[rows->column[k] * section->n_spots + i] = rows->value[k];
    return field;
}

static const struct sparse_rows *truth_of(const struct section *section)
{
    const struct result *result = section_result(section, "layers/truth");
    assert_non_null(result);
    return &result->sparse;
}

/* Moran's I over tissue, neighbours in tissue, binary weights; NAN for a constant field */
static double moran(const struct slide *slide, const double *x)
{
    double mean = 0.0, n = 0.0, square = 0.0, cross = 0.0, weights = 0.0;
    for (int64_t i = 0; i < slide->n_sites; i++)
        if (slide->kind[i] == SITE_TISSUE) {
            mean += x[i];
            n += 1.0;
        }
    mean /= n;
    for (int64_t i = 0; i < slide->n_sites; i++) {
        if (slide->kind[i] != SITE_TISSUE)
            continue;
        square += (x[i] - mean) * (x[i] - mean);
        int64_t near[12];
        for (int k = slide_neighbours(slide, i, near); k-- > 0;) {
            if (slide->kind[near[k]] == SITE_TISSUE) {
                cross += (x[i] - mean) * (x[near[k]] - mean);
                weights += 1.0;
            }
        }
    }
    return n / weights * cross / square;
}

struct raw_figures {
    double tissue, outside, rmse, kl, moran_raw, moran_truth;
};

static struct raw_figures measure(const struct section *section)
{
    const struct slide *slide = &section->slide;
    double *seen = dense(section, &section->counts), *truth = dense(section, truth_of(section));
    struct raw_figures f = {(double)slide_count(slide, SITE_TISSUE) / (double)slide->n_sites, 0, 0, 0, 0, 0};
    double all = 0.0, genes = (double)section->n_genes;
    for (int64_t g = 0; g < section->n_genes; g++) {
        const double *x = seen + g * slide->n_sites, *z = truth + g * slide->n_sites;
        double error = 0.0, n = 0.0, sum_x = 0.0, sum_z = 0.0, kl = 0.0;
        for (int64_t i = 0; i < slide->n_sites; i++) {
            all += x[i];
            if (slide->kind[i] != SITE_TISSUE) {
                f.outside += x[i];
                continue;
            }
            error += (x[i] - z[i]) * (x[i] - z[i]);
            sum_x += x[i] + 1e-3;
            sum_z += z[i] + 1e-3;
            n += 1.0;
        }
        for (int64_t i = 0; i < slide->n_sites; i++)
            if (slide->kind[i] == SITE_TISSUE)
                kl += (z[i] + 1e-3) / sum_z * log((z[i] + 1e-3) / sum_z / ((x[i] + 1e-3) / sum_x));
        f.rmse += sqrt(error / n) / genes;
        f.kl += kl / genes;
        f.moran_raw += moran(slide, x) / genes;
        f.moran_truth += moran(slide, z) / genes;
    }
    f.outside /= all;
    free(seen);
    free(truth);
    return f;
}

static void raw_figures_are_those_of_the_specification(void **state)
{
    (void)state;
    struct raw_figures mean = {0};
    for (int seed = 21; seed < 24; seed++) {
        struct simulate_options options = defaults();
        options.seed = seed;
        struct section section;
        simulate(&section, MPI_COMM_SELF, &options);
        struct raw_figures f = measure(&section);
        mean.tissue += f.tissue / 3.0;
        mean.outside += f.outside / 3.0;
        mean.rmse += f.rmse / 3.0;
        mean.kl += f.kl / 3.0;
        mean.moran_raw += f.moran_raw / 3.0;
        mean.moran_truth += f.moran_truth / 3.0;
        section_free(&section);
    }
    figure("tissue share, mean of 3 seeds", mean.tissue, "about", 0.56);
    figure("share of counts outside tissue", mean.outside, "about", 0.06);
    figure("raw RMSE", mean.rmse, "about", 2.96);
    figure("raw KL", mean.kl, "in .55-.80, about", 0.66);
    figure("raw Moran's I in tissue", mean.moran_raw, "about", 0.471);
    figure("true Moran's I in tissue", mean.moran_truth, "about", 0.400);
    assert_true(fabs(mean.tissue - 0.56) < 0.03);
    assert_true(fabs(mean.outside - 0.06) < 0.015);
    assert_true(fabs(mean.rmse - 2.96) < 0.6);
    assert_true(mean.kl > 0.55 && mean.kl < 0.80);
    assert_true(fabs(mean.moran_raw - 0.471) < 0.05);
    assert_true(fabs(mean.moran_truth - 0.400) < 0.05);
    assert_true(mean.moran_raw > mean.moran_truth);
}

static void same_rows(const struct sparse_rows *own, const struct sparse_rows *all, int64_t first)
{
    for (int64_t i = 0; i < own->n_rows; i++) {
        int64_t n = own->start[i + 1] - own->start[i], at = all->start[first + i];
        assert_int_equal(n, all->start[first + i + 1] - at);
        for (int64_t k = 0; k < n; k++) {
            assert_int_equal(own->column[own->start[i] + k], all->column[at + k]);
            assert_true(own->value[own->start[i] + k] == all->value[at + k]);
            assert_true(k == 0 || own->column[own->start[i] + k] > own->column[own->start[i] + k - 1]);
        }
    }
}

static void any_number_of_ranks_gives_the_same_section(void **state)
{
    (void)state;
    struct simulate_options options = defaults();
    options.rows = 33;
    options.cols = 50;
    options.genes = 43;
    options.capture_sd = 0.3;
    options.gene_noise = 20.0;
    options.spread = SPREAD_STUDENT;
    options.domains = false;
    options.lattice = SIMULATE_SQUARE;
    struct section shared, alone;
    simulate(&shared, MPI_COMM_WORLD, &options);
    simulate(&alone, MPI_COMM_SELF, &options);
    same_rows(&shared.counts, &alone.counts, shared.sites.first);
    same_rows(truth_of(&shared), truth_of(&alone), shared.sites.first);
    const struct result *a = section_result(&shared, "obs/capture"), *b = section_result(&alone, "obs/capture");
    assert_int_equal(a->dims[0], shared.sites.n_own);
    assert_memory_equal(a->number, b->number + shared.sites.first, (size_t)shared.sites.n_own * sizeof(double));
    section_free(&shared);
    section_free(&alone);
}

static void totals_are_conserved_and_truth_is_in_tissue(void **state)
{
    (void)state;
    struct simulate_options options = defaults();
    struct section section;
    simulate(&section, MPI_COMM_SELF, &options);
    double *seen = dense(&section, &section.counts), *truth = dense(&section, truth_of(&section));
    int64_t n = section.n_spots;
    for (int64_t g = 0; g < section.n_genes; g++) {
        double sum_seen = 0.0, sum_truth = 0.0;
        for (int64_t i = 0; i < n; i++) {
            sum_seen += seen[g * n + i];
            sum_truth += truth[g * n + i];
            if (section.slide.kind[i] != SITE_TISSUE)
                assert_true(truth[g * n + i] == 0.0);
        }
        assert_true(sum_seen == sum_truth);
    }
    free(seen);
    free(truth);
    section_free(&section);
}

static void without_diffusion_counts_are_the_truth(void **state)
{
    (void)state;
    struct simulate_options options = defaults();
    options.null = true;
    options.genes = 40;
    struct section section;
    simulate(&section, MPI_COMM_WORLD, &options);
    same_rows(&section.counts, truth_of(&section), 0);
    section_free(&section);
}

/* ---- the spread of one gene against the column of the kernel, by chi-square ---- */

static double local_part(const struct simulate_options *o, double sigma, double dx, double dy)
{
    if (o->spread == SPREAD_GAUSSIAN)
        return exp(-0.5 * (dx * dx + dy * dy) / (sigma * sigma));
    double stretch = sqrt(o->anisotropy), c = cos(M_PI / 6.0), s = sin(M_PI / 6.0);
    double u = (c * dx + s * dy) / (sigma * stretch), v = (c * dy - s * dx) / (sigma / stretch);
    return pow(1.0 + (u * u + v * v) / o->student_df, -0.5 * (o->student_df + 2.0));
}

static void kernel_column(const struct simulate_options *o, const struct sim_gene *gene, const struct sim_tissue *tissue, int64_t source,
                          double *column)
{
    double *part[3], sum[3] = {0};
    for (int k = 0; k < 3; k++)
        part[k] = malloc((size_t)tissue->n * sizeof(double));
    for (int64_t i = 0; i < tissue->n; i++) {
        double dx = tissue->x[i] - tissue->x[source], dy = tissue->y[i] - tissue->y[source];
        double keep = tissue->kind[i] == SITE_TISSUE ? 1.0 : o->permeability;
        part[0][i] = keep * local_part(o, gene->sigma, dx, dy);
        part[1][i] = keep * exp(-hypot(dx, dy) / o->tail_length);
        part[2][i] = keep;
        for (int k = 0; k < 3; k++)
            sum[k] += part[k][i];
    }
    double weight[3] = {1.0 - o->tail_weight - gene->uniform_weight, o->tail_weight, gene->uniform_weight};
    for (int64_t i = 0; i < tissue->n; i++) {
        column[i] = i == source ? 1.0 - gene->beta : 0.0;
        for (int k = 0; k < 3; k++)
            column[i] += gene->beta * weight[k] * part[k][i] / sum[k];
    }
    for (int k = 0; k < 3; k++)
        free(part[k]);
}

static double chi_square_z(int64_t n, double molecules, const double *column, const int32_t *seen)
{
    double chi = 0.0, cells = 0.0;
    for (int64_t i = 0; i < n; i++) {
        double expected = molecules * column[i], gap = seen[i] - expected;
        chi += gap * gap / expected;
        cells += 1.0;
    }
    return (chi - (cells - 1.0)) / sqrt(2.0 * (cells - 1.0));
}

static void molecules_spread_by_the_kernel(void **state)
{
    (void)state;
    struct simulate_options base = defaults();
    base.rows = base.cols = 14;
    for (int variant = 0; variant < 4; variant++) { /* hex and square, Gaussian and Student t; a source at the edge and one inside */
        struct simulate_options o = base;
        o.lattice = variant % 2 ? SIMULATE_SQUARE : SIMULATE_HEX;
        o.spread = variant / 2 ? SPREAD_STUDENT : SPREAD_GAUSSIAN;
        struct sim_tissue tissue;
        assert_int_equal(sim_tissue_new(&tissue, &o), MONGE_OK);
        struct sim_gene gene = sim_gene_draw(&o, 3);
        struct sim_offsets tail;
        assert_int_equal(sim_spread_tail(&tail, &tissue, &o), MONGE_OK);
        int32_t *truth = calloc((size_t)tissue.n, sizeof *truth), *seen = malloc((size_t)tissue.n * sizeof *seen);
        double *column = malloc((size_t)tissue.n * sizeof *column);
        int64_t sources[2] = {tissue.tissue[0], tissue.tissue[tissue.n_tissue / 2]};
        for (int s = 0; s < 2; s++) {
            memset(truth, 0, (size_t)tissue.n * sizeof *truth);
            truth[sources[s]] = 400000;
            assert_int_equal(sim_gene_spread(&gene, &tissue, &o, &tail, truth, seen), MONGE_OK);
            kernel_column(&o, &gene, &tissue, sources[s], column);
            double z = chi_square_z(tissue.n, 400000.0, column, seen);
            figure(s ? "spread of an inner spot, chi-square z" : "spread of an edge spot, chi-square z", z, "<", 4.5);
            assert_true(fabs(z) < 4.5);
        }
        free(truth);
        free(seen);
        free(column);
        sim_offsets_free(&tail);
        sim_tissue_free(&tissue);
    }
}

/* ---- capture noise ---- */

static void capture_noise_keeps_the_stated_share(void **state)
{
    (void)state;
    struct simulate_options options = defaults();
    options.null = true; /* so that seen / truth is the capture alone */
    options.depth = 10.0;
    options.genes = 80;
    options.capture_sd = 0.35;
    options.capture_region = REGION_TISSUE;
    struct section section;
    simulate(&section, MPI_COMM_SELF, &options);
    const double *capture = section_result(&section, "obs/capture")->number;
    double seen = 0.0, truth = 0.0, worst = 0.0, mean_log = 0.0, square_log = 0.0, n = 0.0, highest = 0.0;
    for (int64_t i = 0; i < section.n_spots; i++) {
        double spot_seen = 0.0, spot_truth = 0.0;
        const struct sparse_rows *z = truth_of(&section), *x = &section.counts;
        for (int64_t k = x->start[i]; k < x->start[i + 1]; k++)
            spot_seen += x->value[k];
        for (int64_t k = z->start[i]; k < z->start[i + 1]; k++)
            spot_truth += z->value[k];
        highest = fmax(highest, capture[i]);
        if (section.slide.kind[i] != SITE_TISSUE)
            continue;
        worst = fmax(worst, fabs(spot_seen - capture[i] * spot_truth) / sqrt(spot_truth * capture[i] * (1.0 - capture[i]) + 1.0));
        seen += spot_seen;
        truth += spot_truth;
        mean_log += log(capture[i]);
        square_log += log(capture[i]) * log(capture[i]);
        n += 1.0;
    }
    double sd = sqrt(square_log / n - mean_log / n * mean_log / n);
    double stated = section_result(&section, "uns/monge/simulate/mean_efficiency")->number[0];
    figure("sd of log capture in tissue (option .35)", sd, "about", 0.35);
    figure("worst spot, standard errors from its capture", worst, "<", 5.0);
    figure("kept share / stated mean efficiency", seen / truth / stated, "about", 1.0);
    assert_true(fabs(sd - 0.35) < 0.03);
    assert_true(highest == 1.0);
    assert_true(worst < 5.0);
    assert_true(fabs(seen / truth / stated - 1.0) < 0.05); /* spots with more counts need not be captured like the others */
    section_free(&section);
}

static void genes_differ_where_asked(void **state)
{
    (void)state;
    struct simulate_options o = defaults();
    o.gene_beta_spread = 0.5;
    o.gene_uniform_spread = 0.5;
    double sigma[2] = {0}, beta[2] = {0}, n = 4000.0;
    for (int64_t g = 0; g < 4000; g++) {
        struct sim_gene gene = sim_gene_draw(&o, g);
        double log_sigma = log(gene.sigma / o.sigma), logit = log(gene.beta / (1.0 - gene.beta));
        sigma[0] += log_sigma / n;
        sigma[1] += log_sigma * log_sigma / n;
        beta[0] += logit / n;
        beta[1] += logit * logit / n;
        assert_true(gene.uniform_weight > 0.0 && gene.uniform_weight + o.tail_weight <= 1.0);
        assert_int_equal(gene.kind, g % 8 < 5 ? GENE_MARKER : GENE_MARKER + (int)(g % 8 - 4));
    }
    figure("sd of log sigma over genes (option .25)", sqrt(sigma[1] - sigma[0] * sigma[0]), "about", 0.25);
    figure("sd of logit beta over genes (option .5)", sqrt(beta[1] - beta[0] * beta[0]), "about", 0.5);
    assert_true(fabs(sigma[0]) < 0.02 && fabs(sqrt(sigma[1] - sigma[0] * sigma[0]) - 0.25) < 0.02);
    assert_true(fabs(beta[0]) < 0.04 && fabs(sqrt(beta[1] - beta[0] * beta[0]) - 0.5) < 0.03);
}

/* ---- what a file keeps ---- */

static void truth_and_domains_come_back_from_a_file(void **state)
{
    (void)state;
    struct simulate_options options = defaults();
    options.rows = 20;
    options.cols = 24;
    options.genes = 24;
    struct section made, seen;
    char path[512];
    snprintf(path, sizeof path, "%s/simulated.h5ad", scratch_folder());
    simulate(&made, MPI_COMM_WORLD, &options);
    const struct read_options how = {.holes = HOLES_FILL};
    if (section_write(&made, path) != MONGE_OK || section_read(&seen, MPI_COMM_WORLD, path, &how) != MONGE_OK)
        fail_msg("%s", error_message());
    same_rows(&seen.truth, truth_of(&made), 0);
    assert_true(seen.truth_scale == *section_result(&made, "uns/monge/simulate/mean_efficiency")->number);
    const double *domain = section_result(&made, "obs/domain")->number;
    for (int64_t i = 0; i < made.sites.n_own; i++) {
        assert_true(seen.domain[i] == domain[i]);
        assert_int_equal(domain[i] >= 0.0, made.slide.kind[made.sites.first + i] == SITE_TISSUE);
    }
    for (int64_t g = 0; g < made.n_genes; g++) {
        assert_true(seen.marker_domain[g] == section_result(&made, "var/marker_domain")->number[g]);
        assert_int_equal(seen.marker_domain[g] >= 0.0, sim_gene_draw(&options, g).kind == GENE_MARKER);
    }
    section_free(&made);
    section_free(&seen);
}

static void impossible_options_are_refused(void **state)
{
    (void)state;
    struct simulate_options options = defaults();
    options.tail_weight = 0.7;
    options.uniform_weight = 0.5;
    struct section section;
    assert_int_equal(simulate_section(&section, MPI_COMM_WORLD, &options), MONGE_USAGE);
    assert_non_null(strstr(error_message(), "tail-weight"));
    assert_null(section.results);
    assert_int_equal(options_set(&simulate_options, &options, "lattice", "hexagonal", "--lattice"), MONGE_USAGE);
    assert_int_equal(options_set(&simulate_options, &options, "beta", "1.5", "--beta"), MONGE_USAGE);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(raw_figures_are_those_of_the_specification),
        cmocka_unit_test(any_number_of_ranks_gives_the_same_section),
        cmocka_unit_test(totals_are_conserved_and_truth_is_in_tissue),
        cmocka_unit_test(without_diffusion_counts_are_the_truth),
        cmocka_unit_test(molecules_spread_by_the_kernel),
        cmocka_unit_test(capture_noise_keeps_the_stated_share),
        cmocka_unit_test(genes_differ_where_asked),
        cmocka_unit_test(truth_and_domains_come_back_from_a_file),
        cmocka_unit_test(impossible_options_are_refused),
    };
    SUITE(argc, argv, tests);
}
