/* What the report is drawn from: the record in uns/monge/correct, and the counts before and after, one layer in memory at a time. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/section_io.h"
#include "report_parts.h"

double report_real(const struct report_data *data, const char *name)
{
    struct text path = {0};
    text_add(&path, REPORT_RECORD "%s", name);
    double value = path.chars ? record_real(&data->record, path.chars) : NAN;
    text_free(&path);
    return value;
}

void report_data_free(struct report_data *data)
{
    record_close(&data->record);
    for (int k = 0; k < data->n_genes; k++) {
        free(data->genes[k].before);
        free(data->genes[k].after);
        free(data->genes[k].truth);
    }
    free(data->genes);
    free(data->site_before);
    free(data->site_after);
    free(data->gene_total);
    free(data->gene_out);
    free(data->changed);
    free(data->ratio);
    sparse_rows_free(&data->after);
    sparse_rows_free(&data->truth);
    section_free(&data->section);
    *data = (struct report_data){.record = {-1}};
}

/* ---- sums over sites and genes ---- */

static status allocate_sums(struct report_data *data)
{
    size_t sites = (size_t)data->section.slide.n_sites, genes = (size_t)data->section.n_genes;
    data->site_before = calloc(sites + 1, sizeof(double));
    data->site_after = calloc(sites + 1, sizeof(double));
    data->gene_total = calloc(genes + 1, sizeof(double));
    data->gene_out = calloc(genes + 1, sizeof(double));
    data->changed = malloc((genes + 1) * sizeof(double));
    if (data->site_before && data->site_after && data->gene_total && data->gene_out && data->changed)
        return MONGE_OK;
    return error_memory("the sums of the report", 16.0 * (double)(sites + genes));
}

static void add_up(const struct sparse_rows *rows, double *site_total)
{
    for (int64_t i = 0; i < rows->n_rows; i++)
        for (int64_t k = rows->start[i]; k < rows->start[i + 1]; k++)
            site_total[i] += rows->value[k];
}

/* what layers/corrected leaves outside tissue, and how it was made */
static void read_kind(struct report_data *data)
{
    char *formulation = record_text(&data->record, REPORT_RECORD "formulation");
    data->literal = formulation && !strcmp(formulation, "seed");
    free(formulation);
    for (int64_t i = 0; i < data->section.slide.n_sites; i++)
        data->left_out += data->section.slide.kind[i] == SITE_TISSUE ? 0.0 : data->site_after[i];
}

static void add_up_genes(struct report_data *data)
{
    const struct sparse_rows *rows = &data->section.counts;
    for (int64_t i = 0; i < rows->n_rows; i++) {
        bool outside = data->section.slide.kind[i] != SITE_TISSUE;
        for (int64_t k = rows->start[i]; k < rows->start[i + 1]; k++) {
            data->gene_total[rows->column[k]] += rows->value[k];
            data->gene_out[rows->column[k]] += outside ? rows->value[k] : 0.0;
            data->molecules += rows->value[k];
        }
    }
}

static double returned_to_tissue(const struct report_data *data)
{
    double sum = 0.0;
    for (int64_t i = 0; i < data->section.slide.n_sites; i++)
        if (data->section.slide.kind[i] == SITE_TISSUE)
            sum += data->site_after[i] - data->site_before[i];
    return sum;
}

/* ---- which genes ---- */

static bool is_shown(const struct report_data *data, int64_t gene)
{
    for (int k = 0; k < data->n_genes; k++)
        if (data->genes[k].index == gene)
            return true;
    return false;
}

static void show(struct report_data *data, int64_t gene, bool chosen)
{
    if (!is_shown(data, gene))
        data->genes[data->n_genes++] = (struct report_gene){.index = gene, .chosen = chosen};
}

static status find_gene(const struct report_data *data, const char *name, int64_t *gene)
{
    const struct section *section = &data->section;
    const char *nearest = NULL;
    for (*gene = 0; *gene < section->n_genes; ++*gene) {
        if (!strcmp(section->gene_name[*gene], name) || (section->gene_id && !strcmp(section->gene_id[*gene], name)))
            return MONGE_OK;
        text_nearer(name, section->gene_name[*gene], &nearest);
    }
    return error_set(MONGE_USAGE, "%s: there is no gene '%s'; did you mean '%s'?", data->path, name, nearest ? nearest : "");
}

static int ascending(const void *a, const void *b)
{
    double p = *(const double *)a, q = *(const double *)b;
    return (p > q) - (p < q);
}

/* the largest share of molecules moved, among genes with at least the median count: in rarer ones the share is mostly counting noise */
static status show_most_changed(struct report_data *data, int64_t most)
{
    int64_t n = data->section.n_genes;
    double *sorted = malloc((size_t)(n + 1) * sizeof *sorted);
    if (!sorted)
        return error_memory("the genes of the report", 8.0 * (double)n);
    memcpy(sorted, data->gene_total, (size_t)n * sizeof *sorted);
    qsort(sorted, (size_t)n, sizeof *sorted, ascending);
    double median = n ? sorted[n / 2] : 0.0;
    free(sorted);
    for (int64_t rank = 0; rank < most; rank++) {
        int64_t best = -1;
        for (int64_t g = 0; g < n; g++) {
            if (data->gene_total[g] < fmax(median, 1.0) || isnan(data->changed[g]) || is_shown(data, g))
                continue;
            if (best < 0 || data->changed[g] > data->changed[best])
                best = g;
        }
        if (best < 0)
            break;
        show(data, best, false);
    }
    return MONGE_OK;
}

/* share of molecules moved as recorded; without a record, the share seen outside tissue stands in */
static void read_changed(struct report_data *data)
{
    int64_t n = data->section.n_genes, dims[2];
    double *recorded = record_reals(&data->record, "var/changed", dims);
    bool usable = recorded && dims[0] == n && dims[1] == 1;
    for (int64_t g = 0; g < n; g++)
        data->changed[g] = usable ? recorded[g] : data->gene_out[g] / fmax(data->gene_total[g], 1.0);
    free(recorded);
}

static status pick_genes(struct report_data *data, const struct report_options *options)
{
    data->genes = calloc((size_t)(options->genes.n + options->max_genes) + 1, sizeof *data->genes);
    if (!data->genes)
        return error_memory("the genes of the report", 64.0);
    for (int k = 0; k < options->genes.n; k++) {
        int64_t gene;
        if (find_gene(data, options->genes.values[k], &gene) != MONGE_OK)
            return error_code();
        show(data, gene, true);
    }
    return show_most_changed(data, options->max_genes);
}

/* ---- layers ---- */

/* the chosen columns of a layer as fields over sites */
static status take_fields(struct report_data *data, const struct sparse_rows *rows, size_t member)
{
    for (int g = 0; g < data->n_genes; g++) {
        double *field = calloc((size_t)data->section.slide.n_sites + 1, sizeof *field);
        if (!field)
            return error_memory("the map of a gene", 8.0 * (double)data->section.slide.n_sites);
        *(double **)((char *)&data->genes[g] + member) = field;
        for (int64_t i = 0; i < rows->n_rows; i++) {
            int64_t low = rows->start[i], high = rows->start[i + 1]; /* columns ascend */
            while (low < high) {
                int64_t middle = low + (high - low) / 2;
                if (rows->column[middle] < data->genes[g].index)
                    low = middle + 1;
                else
                    high = middle;
            }
            if (low < rows->start[i + 1] && rows->column[low] == data->genes[g].index)
                field[i] = rows->value[low];
        }
    }
    return MONGE_OK;
}

/* the counts that were corrected: X unless the record says otherwise ("layers/raw", "raw/X") */
static status read_counts(struct report_data *data)
{
    char *name = record_text(&data->record, "uns/monge/run/counts"), *layer = name && !strcmp(name, "raw/X") ? "raw" : NULL;
    if (name && !strncmp(name, "layers/", 7))
        layer = name + 7;
    struct read_options how = {.layer = layer, .holes = HOLES_FILL};
    status done = section_read(&data->section, MPI_COMM_SELF, data->path, &how);
    free(name);
    return done;
}

/* the chosen genes of a layer, its sums by site if asked for, and all its rows if `keep` is given */
static status read_layer(struct report_data *data, const char *layer, size_t member, double *site_total, struct sparse_rows *keep)
{
    struct section section;
    struct read_options how = {.layer = layer, .holes = HOLES_FILL};
    if (section_read(&section, MPI_COMM_SELF, data->path, &how) != MONGE_OK)
        return error_code();
    if (site_total)
        add_up(&section.counts, site_total);
    status done = take_fields(data, &section.counts, member);
    if (done == MONGE_OK && keep) {
        *keep = section.counts;
        section.counts = (struct sparse_rows){0};
    }
    section_free(&section);
    return done;
}

static status read_truth(struct report_data *data)
{
    if (read_layer(data, "truth", offsetof(struct report_gene, truth), NULL, &data->truth) != MONGE_OK)
        return error_code();
    double efficiency = record_real(&data->record, "uns/monge/simulate/mean_efficiency");
    data->efficiency = isfinite(efficiency) ? efficiency : 1.0;
    for (int k = 0; k < data->n_genes; k++)
        for (int64_t i = 0; i < data->section.slide.n_sites; i++)
            data->genes[k].truth[i] *= data->efficiency;
    return MONGE_OK;
}

static status check_record(const struct report_data *data)
{
    if (!record_has(&data->record, "uns/monge/correct"))
        return error_set(MONGE_BAD_DATA, "%s: holds no correction (uns/monge/correct is missing); run monge correct on it first",
                         data->path);
    if (!record_has(&data->record, "layers/corrected"))
        return error_set(MONGE_BAD_DATA, "%s: layers/corrected is missing; run monge correct again", data->path);
    return MONGE_OK;
}

status report_read(struct report_data *data, const char *path, const struct report_options *options)
{
    *data = (struct report_data){.path = path};
    status done = record_open(&data->record, path);
    if (done == MONGE_OK)
        done = check_record(data);
    if (done == MONGE_OK)
        done = read_counts(data);
    if (done == MONGE_OK)
        done = allocate_sums(data);
    if (done == MONGE_OK) {
        add_up(&data->section.counts, data->site_before);
        add_up_genes(data);
        read_changed(data);
        done = pick_genes(data, options);
    }
    if (done == MONGE_OK)
        done = take_fields(data, &data->section.counts, offsetof(struct report_gene, before));
    data->has_truth = done == MONGE_OK && record_has(&data->record, "layers/truth");
    if (!data->has_truth)
        sparse_rows_free(&data->section.counts);
    if (done == MONGE_OK)
        done = read_layer(data, "corrected", offsetof(struct report_gene, after), data->site_after, data->has_truth ? &data->after : NULL);
    if (done == MONGE_OK)
        read_kind(data);
    data->returned = returned_to_tissue(data);
    if (done == MONGE_OK && data->has_truth)
        done = read_truth(data);
    if (done == MONGE_OK && data->has_truth)
        done = report_score(data);
    if (done != MONGE_OK)
        report_data_free(data);
    return done;
}
