#include "support/domain_grid.h"

#include <stdlib.h>
#include <string.h>

#include "support/suite.h"

static double *dataset(const char *file, const char *group, const char *name, size_t *n)
{
    char path[64];
    snprintf(path, sizeof path, "%s%s", group, name);
    return golden_read(golden_path(file), path, n);
}

static void add_counts(struct section *section, const double *counts)
{
    int64_t n = section->sites.n_own, genes = section->n_genes;
    section->counts = (struct sparse_rows){.n_rows = n};
    section->counts.start = calloc((size_t)n + 1, sizeof(int64_t));
    section->counts.column = malloc((size_t)(n * genes + 1) * sizeof(int32_t));
    section->counts.value = malloc((size_t)(n * genes + 1) * sizeof(float));
    for (int64_t i = 0, e = 0; i < n; i++) {
        int64_t spot = section->slide.spot[section->sites.first + i];
        for (int64_t g = 0; g < genes && spot >= 0; g++)
            if (counts[spot * genes + g] != 0.0) {
                section->counts.column[e] = (int32_t)g;
                section->counts.value[e++] = (float)counts[spot * genes + g];
            }
        section->counts.start[i + 1] = e;
    }
}

static void add_positions(struct section *section, const double *x, const double *y)
{
    size_t n = (size_t)section->slide.n_sites;
    section->spatial_x = malloc((n + 1) * sizeof(double));
    section->spatial_y = malloc((n + 1) * sizeof(double));
    for (size_t site = 0; site < n; site++) {
        int64_t spot = section->slide.spot[site];
        section->spatial_x[site] = spot >= 0 ? x[spot] : 0.0;
        section->spatial_y[site] = spot >= 0 ? y[spot] : 0.0;
    }
}

static void add_truth(struct section *section, const double *labels)
{
    double *own = malloc(((size_t)section->sites.n_own + 1) * sizeof *own);
    for (int64_t i = 0; i < section->sites.n_own; i++) {
        int64_t spot = section->slide.spot[section->sites.first + i];
        own[i] = spot >= 0 ? labels[spot] : -1.0;
    }
    assert_int_equal(section_add_obs(section, "truth", VALUE_INTEGER, own), MONGE_OK);
    free(own);
}

void domain_grid_open(struct section *section, MPI_Comm comm, const char *file, const char *group)
{
    size_t n, n_counts;
    double *labels = dataset(file, group, "labels", &n), *counts = dataset(file, group, "counts", &n_counts),
           *place = dataset(file, group, "spatial", NULL), *x = malloc(2 * n * sizeof *x), *y = x + n;
    for (size_t i = 0; i < n; i++) {
        x[i] = place[2 * i];
        y[i] = place[2 * i + 1];
    }
    *section = (struct section){.comm = comm, .n_spots = (int64_t)n, .n_genes = (int64_t)(n_counts / n)};
    section->gene_name = calloc(n_counts / n, sizeof *section->gene_name);
    for (int64_t g = 0; g < section->n_genes; g++) {
        char name[24];
        snprintf(name, sizeof name, "gene%lld", (long long)g);
        section->gene_name[g] = strdup(name);
    }
    const struct spot_table table = {.n_spots = (int64_t)n, .x = x, .y = y, .source = file};
    assert_int_equal(slide_new(&section->slide, &table, HOLES_OMIT), MONGE_OK);
    assert_int_equal(partition_new(&section->sites, comm, section->slide.n_blocks, section->slide.block_start), MONGE_OK);
    add_counts(section, counts);
    add_positions(section, x, y);
    add_truth(section, labels);
    free(labels);
    free(counts);
    free(place);
    free(x);
}
