/* Spatial domains on synthetic tissues with known domains: accuracy and loss within the figures of the specification (domains.md, section 6),
 * the same bits on one rank as on all, gradients by the counts, and what is refused. */
#include "monge/domains.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support/domain_grid.h"
#include "support/suite.h"

#define GRID "domains_stagate_grid.h5", "input/"
#define HARD "domains_hard_grid.h5", ""

static bool is_long(void)
{
    return getenv("MONGE_LONG") != NULL;
}

/* Options as on the command line: name, value, ..., NULL. */
static struct domains_options options_of(const char *const *names)
{
    struct domains_options o = {0};
    assert_int_equal(options_defaults(&domains_options, &o), MONGE_OK);
    for (; *names; names += 2)
        if (options_set(&domains_options, &o, names[0], names[1], names[0]) != MONGE_OK)
            fail_msg("%s", error_message());
    return o;
}
#define OPTIONS(...) options_of((const char *const[]){"model", "stagate", __VA_ARGS__, NULL})

static void run(struct section *section, struct domains_options o)
{
    if (step_domains.run(section, &o) != MONGE_OK)
        fail_msg("%s", error_message());
    options_free(&domains_options, &o);
}

static double value(const struct section *section, const char *name, int64_t at)
{
    char path[128];
    snprintf(path, sizeof path, "uns/monge/domains/%s", name);
    const struct result *result = section_result(section, path);
    if (!result || !result->number)
        fail_msg("no %s", path);
    return result->number[at];
}

static double score_of(const struct section *section, const char *line, const char *score)
{
    char path[128];
    const struct result *lines = section_result(section, "uns/monge/domains/scores/line");
    assert_non_null(lines);
    snprintf(path, sizeof path, "scores/%s", score);
    for (int64_t k = 0; k < lines->dims[0]; k++)
        if (!strcmp(lines->text[k], line))
            return value(section, path, k);
    fail_msg("no line %s", line);
    return NAN;
}

/* ---- accuracy ---- */

#define SMALL "graph", "radius", "radius", "1.5", "hidden", "64", "latent", "16", "epochs", "300", "reference-labels", "truth", "seeds", "1"

static void grid_is_found(void **state)
{
    (void)state;
    static const char *const clusters[] = {"kmeans", "tied"};
    double least = 1.0, low = INFINITY, high = 0.0;
    for (int seed = 1; seed <= (is_long() ? 8 : 1); seed++)
        for (int c = 0; c < 2; c++) {
            struct section section;
            char number[12];
            snprintf(number, sizeof number, "%d", seed);
            domain_grid_open(&section, MPI_COMM_WORLD, GRID);
            run(&section, OPTIONS(SMALL, "cluster", clusters[c], "seed", number));
            least = fmin(least, score_of(&section, "stagate", "ari"));
            low = fmin(low, value(&section, "last_loss", 0));
            high = fmax(high, value(&section, "last_loss", 0));
            section_free(&section);
        }
    figure("grid: ARI of k-means and tied mixture", least, ">=", 1.0);
    assert_true(least == 1.0);
    figure("grid: least loss", low, ">=", 0.97);
    figure("grid: largest loss", high, "<=", 1.02);
    assert_true(low >= 0.97 && high <= 1.02);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The specification's five seeds lie between .50 and .61 (k-means .28 to .48), clustering z itself. */
static void hard_grid_is_found(void **state)
{
    (void)state;
    enum { SEEDS = 5 };
    double ari[2][SEEDS], low = INFINITY, high = 0.0;
    if (!is_long())
        return;
    for (int c = 0; c < 2; c++)
        for (int seed = 0; seed < SEEDS; seed++) {
            struct section section;
            char number[12];
            snprintf(number, sizeof number, "%d", seed + 1);
            domain_grid_open(&section, MPI_COMM_WORLD, HARD);
            run(&section, OPTIONS(SMALL, "seed", number, "cluster", c ? "kmeans" : "tied"));
            ari[c][seed] = score_of(&section, "stagate", "ari");
            low = fmin(low, value(&section, "last_loss", 0));
            high = fmax(high, value(&section, "last_loss", 0));
            section_free(&section);
        }
    for (int c = 0; c < 2; c++) {
        double bound = c ? 0.25 : 0.45;
        qsort(ari[c], SEEDS, sizeof **ari, compare);
        figure(c ? "hard grid: ARI, k-means, median" : "hard grid: ARI, tied mixture, median", ari[c][SEEDS / 2], ">=", bound);
        figure("  least of five seeds", ari[c][0], ">=", bound);
        assert_true(ari[c][0] >= bound);
    }
    figure("hard grid: least loss", low, ">=", 3.77);
    figure("hard grid: largest loss", high, "<=", 3.84);
    assert_true(low >= 3.77 && high <= 3.84); /* the specification's five seeds: 3.79 to 3.81 */
}

static void hard_grid_without_training(void **state)
{
    (void)state;
    struct section section;
    domain_grid_open(&section, MPI_COMM_WORLD, HARD);
    run(&section, OPTIONS("model", "nbrmean", "reference-labels", "truth", "seeds", "2", "starts", "3"));
    figure("hard grid: ARI of nbrmean, tied mixture", score_of(&section, "nbrmean", "ari"), ">=", 0.88);
    assert_true(score_of(&section, "nbrmean", "ari") >= 0.88);
    figure("hard grid: ARI without space", score_of(&section, "no space", "ari"), "<=", 0.1);
    assert_true(score_of(&section, "no space", "ari") <= 0.1);
    section_free(&section);
}

/* ---- the same bits on any ranks ---- */

/* All results of `all`, on all ranks, against the one rank's own of `one`. */
static void must_be_same(const struct section *all, const struct section *one)
{
    assert_int_equal(all->n_results, one->n_results);
    for (int k = 0; k < all->n_results; k++) {
        const struct result *a = &all->results[k], *b = &one->results[k];
        assert_string_equal(a->path, b->path);
        int64_t width = a->n_dims == 2 ? a->dims[1] : 1;
        bool by_spot = !strncmp(a->path, "obs/", 4) || !strncmp(a->path, "obsm/", 5);
        int64_t at = by_spot ? all->sites.first * width : 0, n = a->n_dims == 0 ? 1 : a->dims[0] * width;
        if (a->number && !a->row_start && memcmp(a->number, b->number + at, (size_t)n * sizeof(double)) != 0)
            fail_msg("%s differs between rank counts", a->path);
    }
}

static void same_on_any_ranks(void **state)
{
    (void)state;
    static const char *const settings[][9] = {
        {"alpha", "0.5", NULL},
        {"recipe", "tf", "tie", "split", "attention", "gatv2", "trainings", "2", NULL},
        {"model", "gatv2-proto", "graph", "knn", "heads", "2", NULL},
        {"model", "nbrmean", "cluster", "diag", NULL},
    };
    for (size_t s = 0; s < sizeof settings / sizeof *settings; s++) {
        struct section section[2];
        for (int k = 0; k < 2; k++) {
            struct domains_options o = OPTIONS("hidden", "16", "latent", "8", "epochs", "4", "starts", "2", "seeds", "2",
                                               "reference-labels", "truth", "refine", "6");
            for (const char *const *name = settings[s]; *name; name += 2)
                assert_int_equal(options_set(&domains_options, &o, name[0], name[1], name[0]), MONGE_OK);
            domain_grid_open(&section[k], k ? MPI_COMM_SELF : MPI_COMM_WORLD, HARD);
            run(&section[k], o);
        }
        must_be_same(&section[0], &section[1]);
        section_free(&section[0]);
        section_free(&section[1]);
    }
}

/* ---- gradients by the counts ---- */

static double loss_with(double step, int64_t spot, int64_t gene, const struct domains_options *o, double *gradient)
{
    struct section section;
    double loss, *own;
    domain_grid_open(&section, MPI_COMM_WORLD, GRID);
    for (int64_t i = 0; i < section.sites.n_own; i++)
        for (int64_t e = section.counts.start[i]; e < section.counts.start[i + 1]; e++)
            if (section.slide.spot[section.sites.first + i] == spot && section.counts.column[e] == gene)
                section.counts.value[e] += (float)step;
    own = calloc((size_t)(section.sites.n_own * section.n_genes) + 1, sizeof *own);
    if (domains_gradient(&section, o, &loss, own) != MONGE_OK)
        fail_msg("%s", error_message());
    for (int64_t k = 0; gradient && k < section.n_spots * section.n_genes; k++)
        gradient[k] = 0.0;
    for (int64_t i = 0; gradient && i < section.sites.n_own; i++)
        if (section.slide.spot[section.sites.first + i] >= 0)
            memcpy(gradient + section.slide.spot[section.sites.first + i] * section.n_genes, own + i * section.n_genes,
                   (size_t)section.n_genes * sizeof *own);
    if (gradient)
        MPI_Allreduce(MPI_IN_PLACE, gradient, (int)(section.n_spots * section.n_genes), MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
    free(own);
    section_free(&section);
    return loss;
}

/* Counts are held in single precision: a step of 2^-6 is exact, and central differences have an error of its square. */
static void gradient_of_counts(void **state)
{
    (void)state;
    enum { SPOTS = 100, GENES = 30 };
    static const char *const settings[][7] = {{"model", "stagate", NULL},
                                              {"model", "stagate", "recipe", "tf", "tie", "split", NULL},
                                              {"model", "gatv2-proto", "normalise", "none", NULL},
                                              {"model", "gatv2-proto", NULL}};
    static const int64_t entries[][2] = {{0, 3}, {37, 12}, {71, 29}, {99, 20}};
    double *gradient = malloc(SPOTS * GENES * sizeof *gradient), worst = 0.0;
    for (size_t s = 0; s < sizeof settings / sizeof *settings; s++) {
        struct domains_options o = OPTIONS("hidden", "16", "latent", "8", "epochs", "2", "precision", "double", "radius", "1.5");
        for (const char *const *name = settings[s]; *name; name += 2)
            assert_int_equal(options_set(&domains_options, &o, name[0], name[1], name[0]), MONGE_OK);
        o.epochs = 0;
        loss_with(0.0, 0, 0, &o, gradient);
        double scale = 0.0;
        for (int k = 0; k < SPOTS * GENES; k++) {
            assert_true(isfinite(gradient[k]) && gradient[k] != 0.0);
            scale = fmax(scale, fabs(gradient[k]));
        }
        for (size_t e = 0; e < sizeof entries / sizeof *entries; e++) {
            const double step = 0x1p-6;
            double difference =
                loss_with(step, entries[e][0], entries[e][1], &o, NULL) - loss_with(-step, entries[e][0], entries[e][1], &o, NULL);
            worst = fmax(worst, fabs(difference / (2.0 * step) - gradient[entries[e][0] * GENES + entries[e][1]]) / scale);
        }
        options_free(&domains_options, &o);
    }
    figure("gradient of 100 x 30 counts, relative", worst, "<=", 1e-4);
    assert_true(worst <= 1e-4);
    free(gradient);
}

/* ---- what is refused ---- */

static void refused_with(struct section *section, struct domains_options o, status code, const char *part)
{
    status got = step_domains.run(section, &o);
    if (got != code || !strstr(error_message(), part))
        fail_msg("code %d, expected %d; \"%s\" is not in: %s", got, code, part, error_message());
    options_free(&domains_options, &o);
    section_free(section);
}

/* Only the first n spots stay in tissue. */
static void keep_spots(struct section *section, int64_t n)
{
    domain_grid_open(section, MPI_COMM_WORLD, GRID);
    for (int64_t site = 0; site < section->slide.n_sites; site++)
        section->slide.kind[site] = section->slide.spot[site] >= 0 && section->slide.spot[site] < n ? SITE_TISSUE : SITE_BACKGROUND;
}

static void refused(void **state)
{
    (void)state;
    struct section section;
    keep_spots(&section, 1);
    refused_with(&section, OPTIONS("n-domains", "1"), MONGE_BAD_DATA, "a single spot");
    domain_grid_open(&section, MPI_COMM_WORLD, GRID);
    refused_with(&section, OPTIONS("radius", "0.5"), MONGE_BAD_DATA, "no edges");
    keep_spots(&section, 5);
    refused_with(&section, OPTIONS("n-domains", "9", "epochs", "2", "radius", "1.5", "hidden", "8", "latent", "4"), MONGE_BAD_DATA, "9");
    domain_grid_open(&section, MPI_COMM_WORLD, GRID);
    for (int64_t e = 0; e < section.counts.start[section.counts.n_rows]; e++)
        section.counts.value[e] *= 1e19f; /* squares are beyond single precision */
    refused_with(&section, OPTIONS("hidden", "8", "epochs", "3", "n-domains", "3", "normalise", "none"), MONGE_BAD_DATA,
                 "diverged: in epoch 1");
    domain_grid_open(&section, MPI_COMM_WORLD, GRID);
    refused_with(&section, OPTIONS("reference-labels", "nothing"), MONGE_USAGE, "obs/nothing");
    domain_grid_open(&section, MPI_COMM_WORLD, GRID);
    refused_with(&section, OPTIONS("genes", "gene3,gne4"), MONGE_USAGE, "did you mean 'gene");
    domain_grid_open(&section, MPI_COMM_WORLD, GRID);
    refused_with(&section, OPTIONS("counts", "corrected"), MONGE_USAGE, "layers/corrected");
    domain_grid_open(&section, MPI_COMM_WORLD, GRID);
    refused_with(&section, OPTIONS("model", "gatv2-proto", "heads", "5"), MONGE_USAGE, "--heads 5");
    domain_grid_open(&section, MPI_COMM_WORLD, GRID);
    refused_with(&section, OPTIONS("min-spots", "101"), MONGE_BAD_DATA, "--min-spots");
}

/* Constant genes, spots without counts, two spots in one place, isolated spots: all of it is data. */
static void odd_input(void **state)
{
    (void)state;
    struct section section;
    domain_grid_open(&section, MPI_COMM_WORLD, GRID);
    for (int64_t i = 0; i < section.sites.n_own; i++)
        for (int64_t e = section.counts.start[i]; e < section.counts.start[i + 1]; e++) {
            int64_t spot = section.slide.spot[section.sites.first + i];
            if (section.counts.column[e] < 3)
                section.counts.value[e] = 2.0f;
            if (spot == 17 || section.counts.column[e] == 4)
                section.counts.value[e] = 0.0f;
        }
    run(&section,
        OPTIONS("radius", "1.5", "hidden", "16", "latent", "4", "epochs", "30", "n-domains", "3", "seeds", "2", "min-spots", "1"));
    const struct result *z = section_result(&section, "obsm/X_domain"), *p = section_result(&section, "obsm/domain_prob");
    assert_non_null(z);
    assert_non_null(p);
    for (int64_t k = 0; k < z->dims[0] * z->dims[1]; k++)
        assert_true(isfinite(z->number[k]));
    for (int64_t i = 0; i < p->dims[0]; i++) {
        double sum = 0.0;
        for (int64_t k = 0; k < p->dims[1]; k++)
            sum += p->number[i * p->dims[1] + k];
        assert_true(fabs(sum - 1.0) < 1e-9);
    }
    section_free(&section);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grid_is_found),     cmocka_unit_test(hard_grid_is_found), cmocka_unit_test(hard_grid_without_training),
        cmocka_unit_test(same_on_any_ranks), cmocka_unit_test(gradient_of_counts), cmocka_unit_test(refused),
        cmocka_unit_test(odd_input),
    };
    SUITE(argc, argv, tests);
}
