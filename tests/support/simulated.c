#include "support/simulated.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support/suite.h"

enum { ROWS = 40, COLS = 40 };

static double *read_group(const char *file, const char *group, const char *name)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", group, name);
    return golden_read(file, path, NULL);
}

/* Own rows of the slide from genes x cells. */
static void make_rows(struct simulated *s)
{
    struct section *section = &s->section;
    struct sparse_rows *rows = &section->counts;
    rows->n_rows = section->sites.n_own;
    rows->start = calloc((size_t)rows->n_rows + 1, sizeof *rows->start);
    rows->column = malloc((size_t)(rows->n_rows * s->n_genes + 1) * sizeof *rows->column);
    rows->value = malloc((size_t)(rows->n_rows * s->n_genes + 1) * sizeof *rows->value);
    int64_t n = 0;
    for (int64_t i = 0; i < rows->n_rows; i++) {
        int64_t cell = section->slide.spot[section->sites.first + i];
        for (int g = 0; g < s->n_genes; g++) {
            double count = s->counts[(int64_t)g * s->n_sites + cell];
            if (count > 0.0) {
                rows->column[n] = g;
                rows->value[n++] = (float)count;
            }
        }
        rows->start[i + 1] = n;
    }
}

void simulated_open(struct simulated *s, MPI_Comm comm, const char *sim_file, const char *slide_group, const char *counts_file,
                    const char *counts_group, double truth_scale, double min_total)
{
    memset(s, 0, sizeof *s);
    s->n_sites = ROWS * COLS;
    double *mask = read_group(sim_file, slide_group, "mask");
    s->counts = read_group(counts_file, counts_group, "counts");
    s->truth = read_group(sim_file, slide_group, "truth");
    for (int g = 0; g < 160; g++) { /* all slides have 160 genes */
        double total = 0.0;
        for (int i = 0; i < s->n_sites; i++)
            total += s->counts[g * s->n_sites + i];
        if (total <= min_total)
            continue;
        for (int i = 0; i < s->n_sites; i++) {
            s->counts[s->n_genes * s->n_sites + i] = s->counts[g * s->n_sites + i];
            s->truth[s->n_genes * s->n_sites + i] = s->truth[g * s->n_sites + i] * truth_scale;
        }
        s->n_genes++;
    }
    uint8_t kind[ROWS * COLS];
    for (int i = 0; i < s->n_sites; i++)
        kind[i] = mask[i] > 0.0 ? SITE_TISSUE : SITE_BACKGROUND;
    free(mask);
    struct section *section = &s->section;
    section->comm = comm;
    section->source = strdup("simulated");
    section->n_spots = s->n_sites;
    section->n_genes = s->n_genes;
    assert_int_equal(slide_new_lattice(&section->slide, LATTICE_HEX, ROWS, COLS, kind), MONGE_OK);
    assert_int_equal(partition_new(&section->sites, comm, section->slide.n_blocks, section->slide.block_start), MONGE_OK);
    make_rows(s);
}

void simulated_close(struct simulated *s)
{
    free(s->counts);
    free(s->truth);
    section_free(&s->section);
}

/* KL(p || q) from own sites, p and q the tissue fields + 1e-3 normalised by their sums. */
static double partial_kl(double p, double q, double p_sum, double q_sum)
{
    double a = (p + 1e-3) / p_sum, b = (q + 1e-3) / q_sum;
    return a * log(a / b);
}

struct accuracy simulated_accuracy(const struct simulated *s, const char *layer)
{
    const struct result *result = section_result(&s->section, layer);
    assert_non_null(result);
    const struct section *section = &s->section;
    int64_t own = section->sites.n_own;
    double *estimate = calloc((size_t)(own * s->n_genes + 1), sizeof *estimate);
    for (int64_t i = 0; i < own; i++)
        for (int64_t k = result->sparse.start[i]; k < result->sparse.start[i + 1]; k++)
            estimate[i * s->n_genes + result->sparse.column[k]] = (double)result->sparse.value[k];
    struct accuracy a = {0};
    double tissue = 0.0, all = 0.0, n_tissue = 0.0;
    for (int64_t i = 0; i < section->slide.n_sites; i++)
        n_tissue += section->slide.kind[i] == SITE_TISSUE;
    for (int g = 0; g < s->n_genes; g++) {
        double sums[7] = {0}; /* raw2, error2, truth, raw, estimate in tissue, observed total, estimate everywhere */
        for (int pass = 0; pass < 2; pass++) {
            double kl[2] = {0};
            for (int64_t i = 0; i < own; i++) {
                int64_t site = section->sites.first + i, cell = section->slide.spot[site];
                double z = s->truth[(int64_t)g * s->n_sites + cell], x = s->counts[(int64_t)g * s->n_sites + cell];
                double y = estimate[i * s->n_genes + g];
                bool in = section->slide.kind[site] == SITE_TISSUE;
                if (pass == 0) {
                    sums[5] += x;
                    sums[6] += y;
                    if (in) {
                        sums[0] += (x - z) * (x - z);
                        sums[1] += (y - z) * (y - z);
                        sums[2] += z + 1e-3;
                        sums[3] += x + 1e-3;
                        sums[4] += y + 1e-3;
                    }
                } else if (in) {
                    kl[0] += partial_kl(z, y, sums[2], sums[4]);
                    kl[1] += partial_kl(z, x, sums[2], sums[3]);
                }
            }
            if (pass == 0) {
                MPI_Allreduce(MPI_IN_PLACE, sums, 7, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
            } else {
                MPI_Allreduce(MPI_IN_PLACE, kl, 2, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
                a.kl += kl[0] / s->n_genes;
                a.kl_raw += kl[1] / s->n_genes;
            }
        }
        double ratio = sums[0] > 0.0 ? sqrt(sums[1] / sums[0]) : 1.0;
        a.ratio += ratio / s->n_genes;
        a.improved += (ratio < 1.0) / (double)s->n_genes;
        a.rmse += sqrt(sums[1] / n_tissue) / s->n_genes;
        a.total_error = fmax(a.total_error, fabs(sums[6] - sums[5]) / fmax(sums[5], 1.0));
        tissue += sums[4] - 1e-3 * n_tissue;
        all += sums[6];
    }
    a.returned = tissue / all;
    free(estimate);
    return a;
}
