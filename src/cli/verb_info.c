/* `monge info IN`: what an input or output holds. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "monge/agree.h"
#include "monge/contents.h"
#include "monge/log.h"
#include "monge/run_options.h"
#include "monge/section_io.h"
#include "monge/text.h"
#include "monge/verb.h"

const struct option_table options_info = {
    .verb = "info",
    .summary = "show what a file holds: spots, genes, lattice, counts, results of monge",
    .usage = "IN [options]",
    .size = 1,
};

/* Totals over the section. */
struct summary {
    int64_t above_zero, genes_seen;
    double molecules, molecules_outside;
    double median_tissue, median_background; /* molecules per spot */
};

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Median of the totals of all sites of one kind; NaN if there are none. */
static double median(const struct slide *slide, const double *total, enum site_kind kind, double *scratch)
{
    size_t n = 0;
    for (int64_t site = 0; site < slide->n_sites; site++)
        if (slide->kind[site] == kind)
            scratch[n++] = total[site];
    qsort(scratch, n, sizeof *scratch, by_value);
    return n ? 0.5 * (scratch[(n - 1) / 2] + scratch[n / 2]) : NAN;
}

static void add_row(const struct sparse_rows *rows, int64_t row, double *total, double *seen)
{
    for (int64_t k = rows->start[row]; k < rows->start[row + 1]; k++) {
        *total += rows->value[k];
        if (rows->value[k] > 0.0f)
            seen[rows->column[k]] = 1.0;
    }
}

/* Collective. Counts are integers, so the sums are exact in any order. total [n_sites], seen [n_genes], scratch [n_sites] */
static void summarise(struct summary *summary, const struct section *section, double *total, double *seen, double *scratch)
{
    const struct slide *slide = &section->slide;
    for (int64_t i = 0; i < section->sites.n_own; i++)
        add_row(&section->counts, i, &total[section->sites.first + i], seen);
    summary->above_zero = section->counts.start[section->counts.n_rows];
    MPI_Allreduce(MPI_IN_PLACE, &summary->above_zero, 1, MPI_INT64_T, MPI_SUM, section->comm);
    MPI_Allreduce(MPI_IN_PLACE, total, (int)slide->n_sites, MPI_DOUBLE, MPI_SUM, section->comm);
    MPI_Allreduce(MPI_IN_PLACE, seen, (int)section->n_genes, MPI_DOUBLE, MPI_MAX, section->comm);
    for (int64_t g = 0; g < section->n_genes; g++)
        summary->genes_seen += seen[g] > 0.0;
    for (int64_t site = 0; site < slide->n_sites; site++) {
        summary->molecules += total[site];
        summary->molecules_outside += slide->kind[site] == SITE_TISSUE ? 0.0 : total[site];
    }
    summary->median_tissue = median(slide, total, SITE_TISSUE, scratch);
    summary->median_background = median(slide, total, SITE_BACKGROUND, scratch);
}

static void add_slide(struct text *text, const struct section *section)
{
    static const char *const names[] = {[LATTICE_SQUARE] = "square", [LATTICE_HEX] = "hexagonal", [LATTICE_NONE] = "none"};
    const struct slide *slide = &section->slide;
    int64_t tissue = slide_count(slide, SITE_TISSUE), holes = 0;
    for (int64_t site = 0; site < slide->n_sites; site++)
        holes += slide->spot[site] < 0;
    text_add(text, "  spots          %lld\n", (long long)section->n_spots);
    text_add(text, "  tissue         %lld sites (%.1f %%), background %lld\n", (long long)tissue,
             100.0 * (double)tissue / fmax(1.0, (double)slide->n_sites), (long long)slide_count(slide, SITE_BACKGROUND));
    for (int k = 0; k < section->n_parts; k++)
        text_add(text, "  %-15s%s: %lld spots, lattice %s, spacing %.4g\n", k ? "" : "sections", section->parts[k].name,
                 (long long)section->parts[k].n_spots, names[section->parts[k].lattice], section->parts[k].spacing);
    if (section->n_parts)
        return;
    text_add(text, "  lattice        %s", names[slide->lattice]);
    if (slide->lattice != LATTICE_NONE)
        text_add(text, ", %d rows x %d columns, %lld places without a spot in the file", slide->n_rows, slide->n_cols, (long long)holes);
    if (isfinite(slide->pitch_um))
        text_add(text, ", pitch %.4g um", slide->pitch_um);
    text_add(text, "\n");
    if (section->image.height > 0)
        text_add(text, "  image          %d x %d pixels\n", section->image.width, section->image.height);
}

static void add_counts(struct text *text, const struct section *section, const struct summary *summary)
{
    double cells = (double)section->n_spots * (double)section->n_genes;
    text_add(text, "  genes          %lld, %lld of them without a molecule\n", (long long)section->n_genes,
             (long long)(section->n_genes - summary->genes_seen));
    text_add(text, "  counts         %s: %.0f molecules, %lld entries above zero (%.1f %%)\n", section->counts_name, summary->molecules,
             (long long)summary->above_zero, 100.0 * (double)summary->above_zero / fmax(1.0, cells));
    text_add(text, "  per spot       median %.6g molecules in tissue", summary->median_tissue);
    if (!isnan(summary->median_background))
        text_add(text, ", %.6g in background", summary->median_background);
    text_add(text, "\n  background     %.2f %% of the molecules lie outside the tissue\n",
             100.0 * summary->molecules_outside / fmax(1.0, summary->molecules));
}

static status print_section(const struct section *section, const char *path, const struct summary *summary)
{
    struct text text = {0};
    text_add(&text, "%s\n", path);
    add_slide(&text, section);
    add_counts(&text, section, summary);
    status done = contents_add(&text, path);
    if (done == MONGE_OK)
        done = text_print(&text);
    text_free(&text);
    return done;
}

static status show(const struct section *section, const char *path)
{
    size_t n_sites = (size_t)section->slide.n_sites, n_genes = (size_t)section->n_genes;
    double *total = calloc(n_sites + 1, sizeof *total), *scratch = malloc((n_sites + 1) * sizeof *scratch);
    double *seen = calloc(n_genes + 1, sizeof *seen);
    bool enough = total && scratch && seen;
    double bytes = 8.0 * (2.0 * (double)n_sites + (double)n_genes);
    status done = agree(section->comm, enough ? MONGE_OK : error_memory("totals", bytes));
    if (done == MONGE_OK) {
        struct summary summary = {0};
        int rank;
        MPI_Comm_rank(section->comm, &rank);
        summarise(&summary, section, total, seen, scratch);
        done = agree(section->comm, rank == 0 ? print_section(section, path, &summary) : MONGE_OK);
    }
    free(total);
    free(scratch);
    free(seen);
    return done;
}

status verb_info(const struct command *command)
{
    struct run_options run = {0};
    char nothing = 0;
    const char *path = NULL;
    status done = verb_parse(command, &nothing, &run, 1, 1, &path);
    if (done != MONGE_OK)
        return done;
    const struct read_options read = {.layer = run.layer, .holes = (enum holes)run.holes, .need_spatial = true, .all_tissue = true};
    struct section section = {0};
    done = section_read(&section, command->comm, path, &read);
    if (done == MONGE_OK) {
        done = show(&section, path);
        section_free(&section);
    }
    options_free(command->verb->shared, &run);
    return done;
}
