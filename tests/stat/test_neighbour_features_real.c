/* What clusterings find in real sections (K known, labels of experts): components without space, the trivial line of smoothed components,
 * features of neighbourhoods. The quick run takes the small section alone. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/kmeans.h"
#include "monge/label_scores.h"
#include "monge/mixture.h"
#include "monge/neighbour_features.h"
#include "monge/nodes.h"
#include "monge/normalise.h"
#include "monge/section_io.h"
#include "monge/section_labels.h"
#include "monge/smoothed_components.h"
#include "monge/variable_genes.h"
#include "support/suite.h"

enum { GENES = 2000, NEIGHBOURS = 30, SEEDS = 5 };

struct sample {
    struct section section;
    struct nodes nodes;
    struct graph graph;
    struct sparse_rows values; /* log-normalised, variable genes */
    int columns, n_labels;
    int32_t *label; /* own nodes */
};

static void must(status s)
{
    if (s != MONGE_OK)
        fail_msg("%s", error_message());
}

static void read_labels(struct sample *sample)
{
    struct section_labels labels;
    int64_t n_sites = sample->section.sites.n_own, n_own = sample->nodes.rows.n_own;
    must(section_labels_new(&labels, &sample->section, "layer"));
    double *sites = malloc((size_t)(n_sites + 1) * sizeof *sites), *nodes = malloc((size_t)(n_own + 1) * sizeof *nodes);
    sample->label = malloc((size_t)(n_own + 1) * sizeof *sample->label);
    sample->n_labels = labels.n;
    for (int64_t i = 0; i < n_sites; i++) {
        bool named = labels.own[i] >= 0 && strcmp(labels.name[labels.own[i]], "unlabelled") != 0;
        sites[i] = named ? labels.own[i] : -1;
    }
    for (int k = 0; k < labels.n; k++)
        sample->n_labels -= strcmp(labels.name[k], "unlabelled") == 0;
    must(nodes_from_sites(&sample->nodes, &sample->section, 1, sites, nodes));
    for (int64_t i = 0; i < n_own; i++)
        sample->label[i] = (int32_t)nodes[i];
    section_labels_free(&labels);
    free(sites);
    free(nodes);
}

static bool sample_new(struct sample *sample, const char *path)
{
    const char *file = shared_data(path);
    const struct read_options read = {.layer = NULL, .holes = HOLES_OMIT, .need_spatial = true};
    const struct graph_rule rule = {.kind = GRAPH_KNN, .radius = NAN, .neighbours = NEIGHBOURS, .between_radius = NAN};
    if (!file)
        return false;
    memset(sample, 0, sizeof *sample);
    must(section_read_stack(&sample->section, MPI_COMM_WORLD, 1, &file, &read)); /* for sections without in_tissue */
    must(nodes_new(&sample->nodes, &sample->section));
    must(nodes_graph(&sample->graph, &sample->nodes, &rule));
    struct sparse_rows counts;
    struct variable_genes genes;
    must(nodes_counts(&sample->nodes, &sample->section, &counts));
    must(variable_genes_seurat_v3(&genes, &sample->nodes.rows, &counts, (int)sample->section.n_genes, NULL, 1, NULL, GENES));
    double *total = malloc((size_t)(counts.n_rows + 1) * sizeof *total);
    normalise_totals(&counts, total);
    must(normalise_log(&counts, total, NORMALISE_TARGET, genes.n, genes.gene, &sample->values));
    sample->columns = genes.n;
    read_labels(sample);
    variable_genes_free(&genes);
    sparse_rows_free(&counts);
    free(total);
    return true;
}

static void sample_free(struct sample *sample)
{
    sparse_rows_free(&sample->values);
    graph_free(&sample->graph);
    nodes_free(&sample->nodes);
    section_free(&sample->section);
    free(sample->label);
}

static double rand_index(const struct sample *sample, const int32_t *label)
{
    struct label_agreement agreement;
    must(label_agreement(MPI_COMM_WORLD, sample->nodes.rows.n_own, label, sample->n_labels, sample->label, sample->n_labels + 1,
                         &agreement));
    return agreement.ari;
}

static int ascending(const void *a, const void *b)
{
    double p = *(const double *)a, q = *(const double *)b;
    return (p > q) - (p < q);
}

static double kmeans_index(const struct sample *sample, int columns, const double *score)
{
    struct kmeans kmeans;
    const struct kmeans_options options = kmeans_defaults(sample->n_labels, 0);
    must(kmeans_fit(&kmeans, &sample->nodes.rows, columns, score, &options));
    double index = rand_index(sample, kmeans.label);
    kmeans_free(&kmeans);
    return index;
}

/* Median over seeds; the first `columns` of `width` columns of score. */
static double mixture_index(const struct sample *sample, int columns, int width, const double *score, double *least, double *most)
{
    int64_t n = sample->nodes.rows.n_own;
    double index[SEEDS], *part = malloc((size_t)(n * columns + 1) * sizeof *part);
    for (int64_t i = 0; i < n; i++)
        memcpy(part + i * columns, score + i * width, (size_t)columns * sizeof *part);
    for (int seed = 0; seed < SEEDS; seed++) {
        struct mixture mixture;
        const struct mixture_options options = mixture_defaults(sample->n_labels, (uint64_t)seed);
        must(mixture_fit(&mixture, &sample->nodes.rows, columns, part, &options));
        index[seed] = rand_index(sample, mixture.label);
        mixture_free(&mixture);
    }
    free(part);
    qsort(index, SEEDS, sizeof *index, ascending);
    *least = index[0];
    *most = index[SEEDS - 1];
    return index[SEEDS / 2];
}

/* What an embedding must reach. */
struct least {
    double kmeans, mixture;
};

/* Prints both clusterings of an embedding of `width` columns; the mixture takes the first `columns`. */
static void found(const struct sample *sample, const char *name, const char *embedding, int columns, int width, const double *score,
                  struct least at_least)
{
    char text[128];
    double least, most, median = mixture_index(sample, columns, width, score, &least, &most), kmeans = kmeans_index(sample, width, score);
    snprintf(text, sizeof text, "%s, %s: k-means, adjusted Rand index", name, embedding);
    figure(text, kmeans, ">=", at_least.kmeans);
    snprintf(text, sizeof text, "%s, %s: tied mixture, median of %d", name, embedding, SEEDS);
    figure(text, median, ">=", at_least.mixture);
    snprintf(text, sizeof text, "%s, %s: least of the seeds", name, embedding);
    figure(text, least, "<=", most);
    assert_true(kmeans >= at_least.kmeans && median >= at_least.mixture);
}

static void with_neighbours(const struct sample *sample, const char *name, const char *embedding, double lambda, int azimuthal,
                            struct least at_least)
{
    struct neighbour_features features;
    struct neighbour_features_options options = neighbour_features_options_default();
    options.lambda = lambda;
    options.azimuthal_neighbours = azimuthal;
    must(neighbour_features(&features, &sample->graph, sample->nodes.x, sample->nodes.y, &sample->values, sample->columns, &options));
    found(sample, name, embedding, features.components, features.components, features.score, at_least);
    neighbour_features_free(&features);
}

static void smoothed(const struct sample *sample, const char *name, struct least at_least)
{
    int components;
    double *score;
    must(smoothed_components(&sample->graph, sample->nodes.x, sample->nodes.y, &sample->values, sample->columns, &components, &score));
    found(sample, name, "trivial line", SMOOTHED_MIXTURE, components, score, at_least);
    free(score);
}

static void plain(const struct sample *sample, const char *name)
{
    int components;
    double *score;
    must(plain_components(&sample->nodes.rows, &sample->values, sample->columns, &components, &score));
    found(sample, name, "no space", SMOOTHED_MIXTURE, components, score, (struct least){.1, .1});
    free(score);
}

/* The data index has 0.72 and 0.58 to 0.72 for the trivial line, domains.md 0.70 and 0.55 to 0.83 for BANKSY with lambda 0.8. */
static void mouse_cortex(void **state)
{
    (void)state;
    struct sample sample;
    const char *name = "starmap_visp_1020";
    if (!sample_new(&sample, "data/starmap_visp_1020/starmap_visp_1020.h5ad"))
        return;
    assert_int_equal(sample.n_labels, 7);
    smoothed(&sample, name, (struct least){.68, .58});
    with_neighbours(&sample, name, "nbrmean .8", .8, 0, (struct least){.65, .55});
    if (getenv("MONGE_LONG")) {
        plain(&sample, name);
        with_neighbours(&sample, name, "BANKSY .8", .8, NEIGHBOURS, (struct least){.65, .55});
        with_neighbours(&sample, name, "BANKSY .2", .2, NEIGHBOURS, (struct least){.25, .52});
    }
    sample_free(&sample);
}

/* The data index has 0.38, 0.39, 0.41 by k-means and medians of 0.51, 0.61, 0.51 over single starts of the mixture. */
static void human_cortex(void **state)
{
    (void)state;
    const char *names[3] = {"dlpfc_151673", "dlpfc_151674", "dlpfc_151675"};
    for (int k = 0; k < 3 && getenv("MONGE_LONG"); k++) {
        struct sample sample;
        char path[128];
        snprintf(path, sizeof path, "data/%s/%s.h5ad", names[k], names[k]);
        if (!sample_new(&sample, path))
            return;
        plain(&sample, names[k]);
        smoothed(&sample, names[k], (struct least){.33, .45});
        with_neighbours(&sample, names[k], "nbrmean .2", .2, 0, (struct least){.25, .4});
        with_neighbours(&sample, names[k], "nbrmean .8", .8, 0, (struct least){.25, .4});
        sample_free(&sample);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(mouse_cortex), cmocka_unit_test(human_cortex)};
    SUITE(argc, argv, tests);
}
