/* Which genes and spots take part in an alignment, and where the spots lie.
 *
 * As PASTE's users do before they call it: genes with at least 15 counts in every slice, then spots with at least 100 counts in these
 * genes. Distances are divided by one common length, the geometric mean of the slices' median nearest-neighbour distances, so that alpha
 * means the same for pixels, micrometres and array units. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "align_parts.h"
#include "monge/agree.h"
#include "monge/log.h"
#include "monge/row_fetch.h"

/* ---- genes ---- */

/* Counts of every gene in every part, [n_parts][n_genes]: sums of whole numbers, so their order does not matter. */
static status gene_totals(const struct section *section, double *total)
{
    for (int k = 0; k < section->n_parts; k++) {
        const struct section_part *part = &section->parts[k];
        int64_t first = part->first_site - section->sites.first, end = first + part->n_sites;
        first = first > 0 ? first : 0;
        end = end < section->sites.n_own ? end : section->sites.n_own;
        double *of_part = total + k * section->n_genes;
        for (int64_t i = first; i < end; i++)
            for (int64_t e = section->counts.start[i]; e < section->counts.start[i + 1]; e++)
                of_part[section->counts.column[e]] += (double)section->counts.value[e];
    }
    MPI_Allreduce(MPI_IN_PLACE, total, (int)(section->n_parts * section->n_genes), MPI_DOUBLE, MPI_SUM, section->comm);
    return MONGE_OK;
}

static status take_genes(struct alignment *a)
{
    const struct section *section = a->section;
    size_t n = (size_t)section->n_genes;
    double *total = calloc((size_t)section->n_parts * n + 1, sizeof *total);
    a->gene_column = malloc((n + 1) * sizeof *a->gene_column);
    status fault = agree(section->comm, total && a->gene_column ? MONGE_OK : error_memory("gene totals", 8.0 * (double)n));
    if (!fault)
        fault = gene_totals(section, total);
    for (size_t g = 0; g < n && !fault; g++) {
        bool enough = true;
        for (int k = 0; k < section->n_parts; k++)
            enough = enough && total[(size_t)k * n + g] >= a->options->min_gene_counts;
        a->gene_column[g] = enough ? a->n_genes++ : -1;
    }
    free(total);
    if (!fault && a->n_genes == 0)
        fault = error_set(MONGE_BAD_DATA,
                          "align: none of the %lld common genes has %g counts in each of the %d sections; lower --min-gene-counts",
                          (long long)section->n_genes, a->options->min_gene_counts, section->n_parts);
    return fault;
}

/* ---- spots ---- */

/* Total over the genes that take part of every site of the stack (replicated). */
static status site_totals(const struct alignment *a, double *total)
{
    const struct section *section = a->section;
    for (int64_t i = 0; i < section->sites.n_own; i++)
        for (int64_t e = section->counts.start[i]; e < section->counts.start[i + 1]; e++)
            if (a->gene_column[section->counts.column[e]] >= 0)
                total[section->sites.first + i] += (double)section->counts.value[e];
    for (int64_t at = 0; at < section->slide.n_sites; at += 1 << 27) {
        int64_t rest = section->slide.n_sites - at;
        MPI_Allreduce(MPI_IN_PLACE, total + at, (int)(rest < 1 << 27 ? rest : 1 << 27), MPI_DOUBLE, MPI_SUM, section->comm);
    }
    return MONGE_OK;
}

static status take_spots(struct alignment *a, int k, const double *total)
{
    const struct section *section = a->section;
    const struct section_part *part = &section->parts[k];
    struct align_slice *slice = &a->slices[k];
    slice->name = part->name;
    size_t room = (size_t)part->n_sites + 1;
    slice->site = malloc(room * sizeof *slice->site);
    slice->position = malloc(2 * room * sizeof *slice->position);
    slice->weight = malloc(room * sizeof *slice->weight);
    if (!slice->site || !slice->position || !slice->weight)
        return error_memory("a slice", 32.0 * (double)room);
    for (int64_t site = part->first_site; site < part->first_site + part->n_sites; site++) {
        if (section->slide.kind[site] != SITE_TISSUE || total[site] < a->options->min_spot_counts)
            continue;
        slice->position[2 * slice->n] = section->spatial_x[site] / a->unit;
        slice->position[2 * slice->n + 1] = section->spatial_y[site] / a->unit;
        slice->site[slice->n++] = site;
    }
    for (int64_t i = 0; i < slice->n; i++)
        slice->weight[i] = 1.0 / (double)slice->n;
    if (slice->n < 2)
        return error_set(MONGE_BAD_DATA,
                         "%s: %lld of %lld spots are tissue with %g counts or more in the %d genes that take part; at least 2 are "
                         "needed: lower --min-spot-counts, or leave the section out",
                         part->source, (long long)slice->n, (long long)part->n_spots, a->options->min_spot_counts, a->n_genes);
    if (slice->n < part->n_spots)
        log_info("%s: %lld of %lld spots take part", part->name, (long long)slice->n, (long long)part->n_spots);
    return MONGE_OK;
}

/* The geometric mean of the sections' spacings, unless a length is given. */
static double unit_of_length(const struct section *section, double given)
{
    double log_sum = 0.0;
    for (int k = 0; k < section->n_parts; k++)
        log_sum += log(section->parts[k].spacing);
    return isnan(given) ? exp(log_sum / section->n_parts) : given;
}

status align_take_slices(struct alignment *a)
{
    const struct section *section = a->section;
    if (section->n_parts < 2)
        return error_set(MONGE_USAGE, "align: there is one section only; name two or more (in a job: stack: [A.h5ad, B.h5ad])");
    a->unit = unit_of_length(section, a->options->unit);
    a->n_slices = section->n_parts;
    a->slices = calloc((size_t)a->n_slices, sizeof *a->slices);
    status fault = agree(section->comm, a->slices ? MONGE_OK : error_memory("slices", 64.0 * a->n_slices));
    if (!fault)
        fault = take_genes(a);
    double *total = fault ? NULL : calloc((size_t)section->slide.n_sites + 1, sizeof *total);
    if (!fault)
        fault = agree(section->comm, total ? MONGE_OK : error_memory("spot totals", 8.0 * (double)section->slide.n_sites));
    if (!fault)
        fault = site_totals(a, total);
    for (int k = 0; k < a->n_slices && !fault; k++)
        fault = take_spots(a, k, total);
    free(total);
    return agree(section->comm, fault);
}

/* ---- their counts ---- */

/* Leaves only genes that take part, renumbered; their order stays. */
static void keep_genes(const struct alignment *a, struct sparse_rows *rows)
{
    int64_t kept = 0;
    for (int64_t i = 0, e = 0; i < rows->n_rows; i++) {
        for (; e < rows->start[i + 1]; e++) {
            int32_t column = a->gene_column[rows->column[e]];
            rows->column[kept] = column;
            rows->value[kept] = rows->value[e];
            kept += column >= 0;
        }
        rows->start[i + 1] = kept;
    }
}

status align_counts(const struct alignment *a, const struct align_slice *slice, int64_t count, const int64_t *spots,
                    struct sparse_rows *rows)
{
    int64_t *sites = malloc(((size_t)count + 1) * sizeof *sites);
    status fault = agree(a->section->comm, sites ? MONGE_OK : error_memory("a list of spots", 8.0 * (double)count));
    for (int64_t i = 0; i < count && !fault; i++)
        sites[i] = slice->site[spots[i]];
    if (!fault)
        fault = section_fetch_rows(a->section, count, sites, rows);
    if (!fault)
        keep_genes(a, rows);
    free(sites);
    return fault;
}

/* ---- columns of obs by site ---- */

status align_column(const struct alignment *a, const char *name, const struct result **column, double **values)
{
    const struct section *section = a->section;
    char path[256];
    snprintf(path, sizeof path, "obs/%s", name);
    *column = section_result(section, path);
    *values = NULL;
    if (!*column || !(*column)->number)
        return error_set(MONGE_USAGE, "align: no section has a column obs/%s; name one that all of them have", name);
    int64_t n = section->slide.n_sites;
    *values = calloc((size_t)n + 1, sizeof **values);
    status fault = agree(section->comm, *values ? MONGE_OK : error_memory("a column of obs", 8.0 * (double)n));
    if (fault)
        return fault;
    memcpy(*values + section->sites.first, (*column)->number, (size_t)section->sites.n_own * sizeof **values);
    for (int64_t at = 0; at < n; at += 1 << 27)
        MPI_Allreduce(MPI_IN_PLACE, *values + at, (int)(n - at < 1 << 27 ? n - at : 1 << 27), MPI_DOUBLE, MPI_SUM, section->comm);
    return MONGE_OK;
}
