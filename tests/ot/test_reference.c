/* Reference options: a slide of three domains and a reference of three cell types. Neighbours are of the right type, imputed genes follow
 * the domains, the mixed prior keeps totals; match statistics vanish on identical data and agree with differences. */
#include "monge/reference.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/reference_match.h"
#include "monge/rng.h"
#include "support/lattices.h"
#include "support/suite.h"

enum { GENES = 64, CELL_GENES = 70, CELLS = 240, CELL_BLOCKS = 12, ROWS = 34, COLS = 32, TYPES = 3, ABSENT = 5 };

static double profile(int type, int gene)
{
    return gene % TYPES == type ? 6.0 : 0.7;
}

static int domain_of(const struct slide *slide, int64_t site)
{
    double x, y;
    slide_position(slide, site, &x, &y);
    return x < 10.0 ? 0 : x < 21.0 ? 1 : 2;
}

static void name_genes(struct section *section, int64_t n, const char *(*name)(int64_t, char *))
{
    section->n_genes = n;
    section->gene_name = calloc((size_t)n, sizeof *section->gene_name);
    for (int64_t g = 0; g < n; g++) {
        char text[32];
        section->gene_name[g] = strdup(name(g, text));
    }
}

static const char *slide_gene(int64_t g, char *text)
{
    snprintf(text, 32, "gene%03d", (int)g);
    return text;
}

/* The reference has the genes in another order, lacks gene ABSENT, and has some of its own. */
static int64_t slide_gene_of_cell_gene(int64_t g)
{
    int64_t gene = (g * 11 + 3) % CELL_GENES;
    return gene == ABSENT || gene >= GENES ? -1 : gene;
}

static const char *cell_gene(int64_t g, char *text)
{
    int64_t gene = slide_gene_of_cell_gene(g);
    snprintf(text, 32, gene < 0 ? "other%03d" : "gene%03d", (int)(gene < 0 ? g : gene));
    return text;
}

typedef double (*mean_count)(const struct section *section, int64_t row, int64_t gene);

static void fill_counts(struct section *section, int64_t first, int64_t n, uint64_t stream, mean_count mean)
{
    size_t room = (size_t)(n * section->n_genes) + 1;
    section->counts =
        (struct sparse_rows){n, calloc((size_t)n + 1, sizeof(int64_t)), malloc(room * sizeof(int32_t)), malloc(room * sizeof(float))};
    int64_t entries = 0;
    for (int64_t i = 0; i < n; i++) {
        for (int64_t g = 0; g < section->n_genes; g++) {
            struct rng rng = rng_start(stream, RNG_TEST, (uint64_t)((first + i) * 1000 + g));
            int64_t count = rng_poisson(&rng, mean(section, first + i, g));
            if (count > 0) {
                section->counts.column[entries] = (int32_t)g;
                section->counts.value[entries++] = (float)count;
            }
        }
        section->counts.start[i + 1] = entries;
    }
}

static double spot_mean(const struct section *section, int64_t site, int64_t gene)
{
    double share = section->slide.kind[site] == SITE_TISSUE ? 1.0 : 0.05;
    return share * 2.0 * profile(domain_of(&section->slide, site), (int)gene);
}

static double cell_mean(const struct section *section, int64_t cell, int64_t g)
{
    (void)section;
    int64_t gene = slide_gene_of_cell_gene(g);
    return gene < 0 ? 1.0 : profile((int)(cell % TYPES), (int)gene);
}

struct setting {
    struct section section, cells;
    struct grid grid;
    struct gene_counts columns;
    struct reference reference;
};

static void setting_on(struct setting *s, MPI_Comm comm)
{
    memset(s, 0, sizeof *s);
    int size;
    MPI_Comm_size(comm, &size);
    uint8_t kind[ROWS * COLS];
    for (int i = 0; i < ROWS * COLS; i++)
        kind[i] = i / COLS < 3 ? SITE_BACKGROUND : SITE_TISSUE;
    s->section.comm = s->cells.comm = comm;
    assert_int_equal(slide_new_lattice(&s->section.slide, LATTICE_HEX, ROWS, COLS, kind), MONGE_OK);
    assert_int_equal(partition_new(&s->section.sites, comm, s->section.slide.n_blocks, s->section.slide.block_start), MONGE_OK);
    name_genes(&s->section, GENES, slide_gene);
    name_genes(&s->cells, CELL_GENES, cell_gene);
    fill_counts(&s->section, s->section.sites.first, s->section.sites.n_own, 1, spot_mean);
    int64_t block_start[CELL_BLOCKS + 1];
    for (int b = 0; b <= CELL_BLOCKS; b++)
        block_start[b] = CELLS * b / CELL_BLOCKS;
    assert_int_equal(partition_new(&s->cells.sites, comm, CELL_BLOCKS, block_start), MONGE_OK);
    fill_counts(&s->cells, s->cells.sites.first, s->cells.sites.n_own, 2, cell_mean);
    assert_int_equal(grid_new(&s->grid, comm, size % 2 == 0 ? 2 : 1, size % 2 == 0 ? size / 2 : size), MONGE_OK);
    assert_int_equal(gene_counts_new(&s->columns, &s->section, &s->grid, NULL), MONGE_OK);
    assert_int_equal(reference_new(&s->reference, &s->section, &s->cells, &s->columns), MONGE_OK);
}

static void setting_new(struct setting *s)
{
    setting_on(s, MPI_COMM_WORLD);
}

static void setting_free(struct setting *s)
{
    reference_free(&s->reference);
    gene_counts_free(&s->columns);
    grid_free(&s->grid);
    section_free(&s->section);
    section_free(&s->cells);
}

static double summed(double value)
{
    MPI_Allreduce(MPI_IN_PLACE, &value, 1, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
    return value;
}

static void neighbours_are_of_the_right_type(void **state)
{
    (void)state;
    struct setting s;
    setting_new(&s);
    assert_int_equal(s.reference.n_cells, CELLS);
    assert_int_equal(s.reference.n_shared, GENES - 1);
    double right = 0.0, all = 0.0;
    int k = s.reference.n_neighbours;
    for (int64_t i = 0; i < s.columns.sites.n_own; i++) {
        int64_t site = s.columns.sites.first + i;
        for (int j = 0; j < k; j++) {
            int32_t cell = s.reference.neighbour[i * k + j];
            assert_int_equal(cell >= 0, s.section.slide.kind[site] == SITE_TISSUE);
            all += cell >= 0;
            right += cell >= 0 && cell % TYPES == domain_of(&s.section.slide, site);
        }
    }
    double share = summed(right) / summed(all);
    figure("neighbours of the spot's own type, share", share, ">", 0.98);
    assert_true(share > 0.98);

    int32_t *cell_label = malloc(CELLS * sizeof *cell_label),
            *spot_label = malloc((size_t)(s.section.sites.n_own + 1) * sizeof *spot_label);
    assert_int_equal(reference_clusters(&s.reference, &s.section, TYPES, cell_label, spot_label), MONGE_OK);
    double agree_all = 0.0, tissue = 0.0;
    for (int64_t i = 0; i < s.section.sites.n_own; i++) {
        int64_t site = s.section.sites.first + i;
        if (s.section.slide.kind[site] != SITE_TISSUE)
            continue;
        tissue += 1.0;
        agree_all += spot_label[i] == cell_label[domain_of(&s.section.slide, site)]; /* cell t is of type t */
    }
    share = summed(agree_all) / summed(tissue);
    figure("spots in the cluster of their cell type, share", share, ">", 0.98);
    assert_true(share > 0.98);
    free(cell_label);
    free(spot_label);
    setting_free(&s);
}

static void mixed_prior_keeps_totals_and_follows_domains(void **state)
{
    (void)state;
    struct setting s;
    setting_new(&s);
    const struct gene_counts *columns = &s.columns;
    int64_t n = columns->sites.n_own;
    double worst = 0.0, lowest = INFINITY, highest = 0.0;
    double *mu = malloc((size_t)(n * GENE_LANES + 1) * sizeof *mu), *flat = malloc((size_t)(n * GENE_LANES + 1) * sizeof *flat);
    double n_tissue = (double)slide_count(&s.section.slide, SITE_TISSUE);
    for (int64_t b = 0; b < columns->n_batches; b++) {
        int64_t first = columns->batch_start[b], used = columns->batch_start[b + 1] - first;
        for (int64_t i = 0; i < n; i++)
            for (int64_t l = 0; l < GENE_LANES; l++) {
                bool tissue = s.section.slide.kind[columns->sites.first + i] == SITE_TISSUE && l < used;
                flat[i * GENE_LANES + l] = tissue ? columns->total[first + l] / n_tissue : 0.0;
            }
        memcpy(mu, flat, (size_t)(n * GENE_LANES) * sizeof *mu);
        assert_int_equal(reference_mix(&s.reference, columns, b, 0.0, GENE_LANES, mu), MONGE_OK);
        assert_memory_equal(mu, flat, (size_t)(n * GENE_LANES) * sizeof *mu); /* omega 0: nothing happens */
        assert_int_equal(reference_mix(&s.reference, columns, b, 0.5, GENE_LANES, mu), MONGE_OK);
        for (int64_t l = 0; l < used; l++) {
            int gene = (int)columns->gene[first + l];
            double sum[2] = {0.0, 0.0}, sites[2] = {0.0, 0.0}; /* [own domain or not] */
            for (int64_t i = 0; i < n; i++) {
                int64_t site = columns->sites.first + i;
                int own = domain_of(&s.section.slide, site) == gene % TYPES;
                if (s.section.slide.kind[site] != SITE_TISSUE)
                    continue;
                sum[own] += mu[i * GENE_LANES + l];
                sites[own] += 1.0;
            }
            double all[4] = {sum[0], sum[1], sites[0], sites[1]};
            MPI_Allreduce(MPI_IN_PLACE, all, 4, MPI_DOUBLE, MPI_SUM, columns->sites.comm);
            worst = fmax(worst, fabs(all[0] + all[1] - columns->total[first + l]) / columns->total[first + l]);
            double ratio = (all[1] / all[3]) / (all[0] / all[2]);
            if (gene == ABSENT) {
                assert_false(s.reference.present[first + l]);
                assert_true(fabs(ratio - 1.0) < 1e-12);
            } else { /* sqrt of the profile's 6 / .7 (2.93), shrunk by the gene's mean */
                lowest = fmin(lowest, ratio);
                highest = fmax(highest, ratio);
            }
        }
    }
    figure("mixed prior, relative error of gene totals", worst, "<", 1e-9);
    figure("in-domain over out-of-domain prior from a flat one, least", lowest, ">", 2.0);
    assert_true(worst < 1e-9);
    assert_true(lowest > 2.0 && highest < 3.2);
    free(mu);
    free(flat);
    setting_free(&s);
}

static status parabola(double omega, void *context, double *nll)
{
    double least = *(const double *)context;
    *nll = (omega - least) * (omega - least);
    return MONGE_OK;
}

static void omega_is_the_least_score(void **state)
{
    (void)state;
    double least[] = {0.02, 0.3, 0.9}, expected[] = {0.0, 0.25, 0.5};
    for (int k = 0; k < 3; k++) {
        double omega = -1.0, scores[3];
        assert_int_equal(reference_choose_omega(parabola, &least[k], &omega, scores), MONGE_OK);
        assert_true(omega == expected[k]);
        assert_true(scores[1] == (0.25 - least[k]) * (0.25 - least[k]));
    }
}

static void foreign_genes_are_refused(void **state)
{
    (void)state;
    struct setting s;
    setting_new(&s);
    struct reference other;
    for (int64_t g = 0; g < s.cells.n_genes; g++)
        s.cells.gene_name[g][0] = 'x';
    assert_int_equal(reference_new(&other, &s.section, &s.cells, &s.columns), MONGE_BAD_DATA);
    error_clear();
    setting_free(&s);
}

/* ---- match statistics ---- */

enum { M_ROWS = 60, M_GENES = 7, M_CLUSTERS = 3 };

struct match_data {
    struct partition sites;
    double rows[M_ROWS * M_GENES];
    int32_t label[M_ROWS];
};

static void match_data_new(struct match_data *data, uint64_t stream)
{
    int64_t start[] = {0, 13, 26, 39, 52, M_ROWS};
    assert_int_equal(partition_new(&data->sites, MPI_COMM_WORLD, 5, start), MONGE_OK);
    for (int i = 0; i < M_ROWS; i++) {
        data->label[i] = i % 11 == 4 ? -1 : i % M_CLUSTERS;
        for (int g = 0; g < M_GENES; g++) {
            struct rng rng = rng_start(stream, RNG_TEST, (uint64_t)(i * M_GENES + g));
            data->rows[i * M_GENES + g] = rng_gamma(&rng, 1.0 + (i + g) % 4) + (g == 2 ? data->rows[i * M_GENES + 1] : 0.0);
        }
    }
}

static struct match_statistics match(const struct gene_moments *target, const struct match_data *data, double *bar)
{
    struct match_statistics statistics;
    assert_int_equal(
        match_reference(target, &data->sites, data->label + data->sites.first, data->rows + data->sites.first * M_GENES, &statistics, bar),
        MONGE_OK);
    return statistics;
}

static void match_statistics_are_differentiable(void **state)
{
    (void)state;
    static struct match_data data, other;
    match_data_new(&data, 1);
    match_data_new(&other, 2);
    struct gene_moments target;
    int64_t first = other.sites.first, n_own = other.sites.n_own;
    assert_int_equal(gene_moments_new(&target, &other.sites, M_GENES, M_CLUSTERS, other.label + first, other.rows + first * M_GENES),
                     MONGE_OK);
    assert_true(match(&target, &other, NULL).total < 1e-20); /* of itself */

    /* one correlation by its definition */
    double mean[2] = {0, 0}, square[3] = {0, 0, 0}, n = 0.0;
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < M_ROWS; i++) {
            double a = other.rows[i * M_GENES + 1], b = other.rows[i * M_GENES + 2];
            if (other.label[i] < 0)
                continue;
            if (pass == 0) {
                mean[0] += a;
                mean[1] += b;
                n += 1.0;
            } else {
                square[0] += (a - mean[0] / n) * (a - mean[0] / n);
                square[1] += (b - mean[1] / n) * (b - mean[1] / n);
                square[2] += (a - mean[0] / n) * (b - mean[1] / n);
            }
        }
    assert_true(fabs(target.correlation[M_GENES + 2] - square[2] / sqrt(square[0] * square[1])) < 1e-12);

    /* the scale between the assays is constant in the gradient: hold it by keeping the mean mass, moving pairs of entries of one row */
    double *bar = malloc((size_t)(n_own * M_GENES + 1) * sizeof *bar), worst = 0.0, scale = 0.0;
    match(&target, &data, bar);
    for (int i = 0; i < M_ROWS; i += 3)
        for (int g = 0; g + 1 < M_GENES; g++) {
            double *x = data.rows + i * M_GENES + g, keep[2] = {x[0], x[1]}, h = 1e-5;
            x[0] = keep[0] + h;
            x[1] = keep[1] - h;
            double up = match(&target, &data, NULL).total;
            x[0] = keep[0] - h;
            x[1] = keep[1] + h;
            double down = match(&target, &data, NULL).total;
            x[0] = keep[0];
            x[1] = keep[1];
            double numeric = (up - down) / (2.0 * h);
            scale = fmax(scale, fabs(numeric));
            if (i >= first && i < first + n_own)
                worst = fmax(worst, fabs(numeric - (bar[(i - first) * M_GENES + g] - bar[(i - first) * M_GENES + g + 1])));
        }
    figure("match statistics adjoint against differences, relative", worst / scale, "<", 1e-7);
    assert_true(worst / scale < 1e-7);
    free(bar);
    gene_moments_free(&target);
    partition_free(&data.sites);
    partition_free(&other.sites);
}

/* Rows as the match takes them, of all genes that both have, found by their names. */
static double *by_name(const struct sparse_rows *rows, char *const *name)
{
    double *dense = room((size_t)rows->n_rows * GENES * sizeof *dense);
    memset(dense, 0, (size_t)rows->n_rows * GENES * sizeof *dense);
    for (int64_t i = 0; i < rows->n_rows; i++)
        for (int64_t k = rows->start[i]; k < rows->start[i + 1]; k++) {
            int gene;
            if (sscanf(name[rows->column[k]], "gene%d", &gene) == 1 && gene != ABSENT)
                dense[i * GENES + gene] = (double)rows->value[k];
        }
    return dense;
}

/* The statistics of the slide's own counts, and of others, against the same from rows laid out by name; the same bits from one rank. */
static void slide_against_the_reference(void **state)
{
    (void)state;
    struct setting s, alone;
    setting_new(&s);
    setting_on(&alone, MPI_COMM_SELF);
    struct match_statistics found[2], of_one[2], twin;
    struct gene_moments target;
    const struct sparse_rows empty = {s.section.counts.n_rows, calloc((size_t)s.section.counts.n_rows + 1, sizeof(int64_t)), NULL, NULL};
    const struct sparse_rows empty_alone = {alone.section.counts.n_rows, calloc((size_t)alone.section.counts.n_rows + 1, sizeof(int64_t)),
                                            NULL, NULL};
    const struct sparse_rows *rows[] = {&s.section.counts, &empty}, *rows_alone[] = {&alone.section.counts, &empty_alone};
    assert_int_equal(reference_compare(&s.reference, &s.section, &s.cells, 2, rows, found), MONGE_OK);
    assert_int_equal(reference_compare(&alone.reference, &alone.section, &alone.cells, 2, rows_alone, of_one), MONGE_OK);
    assert_memory_equal(found, of_one, sizeof found);

    int32_t *cell_label = room(CELLS * sizeof *cell_label), *spot_label = room((size_t)(s.section.sites.n_own + 1) * sizeof *spot_label);
    double *cells = by_name(&s.cells.counts, s.cells.gene_name), *spots = by_name(&s.section.counts, s.section.gene_name);
    enum { CLUSTERS = 12 };
    assert_int_equal(reference_clusters(&s.reference, &s.section, CLUSTERS, cell_label, spot_label), MONGE_OK);
    assert_int_equal(gene_moments_new(&target, &s.cells.sites, GENES, CLUSTERS, cell_label + s.cells.sites.first, cells), MONGE_OK);
    assert_int_equal(match_reference(&target, &s.section.sites, spot_label, spots, &twin, NULL), MONGE_OK);
    const double shared = (GENES - 1.0) / GENES; /* the correlations are divided by the number of genes, squared; ABSENT adds nothing */
    figure("means, against rows laid out by name", fabs(found[0].mean / twin.mean - 1.0), "<", 1e-10);
    assert_true(fabs(found[0].mean / twin.mean - 1.0) < 1e-10 && fabs(found[0].variance / twin.variance - 1.0) < 1e-10);
    figure("correlations", fabs(found[0].correlation * shared * shared / twin.correlation - 1.0), "<", 1e-10);
    assert_true(fabs(found[0].correlation * shared * shared / twin.correlation - 1.0) < 1e-10);
    figure("an empty slide is farther: its means over those of the slide", found[1].mean / found[0].mean, ">", 1.0);
    assert_true(found[1].mean > found[0].mean);
    gene_moments_free(&target);
    free(cell_label);
    free(spot_label);
    free(cells);
    free(spots);
    free(empty.start);
    free(empty_alone.start);
    setting_free(&s);
    setting_free(&alone);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(neighbours_are_of_the_right_type),
        cmocka_unit_test(mixed_prior_keeps_totals_and_follows_domains),
        cmocka_unit_test(omega_is_the_least_score),
        cmocka_unit_test(foreign_genes_are_refused),
        cmocka_unit_test(match_statistics_are_differentiable),
        cmocka_unit_test(slide_against_the_reference),
    };
    SUITE(argc, argv, tests);
}
