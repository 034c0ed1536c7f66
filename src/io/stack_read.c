/* Reading several sections into one: the heads one after the other, their genes and names brought together, every rank's share of the rows,
 * a slide whose sites are those of the parts. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "h5_util.h"
#include "input.h"
#include "io_rate.h"
#include "monge/agree.h"
#include "monge/text.h"
#include "names.h"
#include "obs_columns.h"
#include "parts.h"
#include "row_order.h"
#include "spot_colours.h"
#include "stack_names.h"

struct stack { /* what is known while it is being read */
    MPI_Comm comm;
    int rank, n_parts;
    const struct read_options *options;
    struct input *inputs;       /* n_parts, on all ranks */
    struct obs_columns *labels; /* n_parts, on rank 0 */
    char **part_name;           /* n_parts */
    struct section *section;
};

static void stack_free(struct stack *stack)
{
    for (int k = 0; k < stack->n_parts; k++) {
        if (stack->inputs)
            input_free(&stack->inputs[k]);
        if (stack->labels)
            obs_columns_free(&stack->labels[k]);
    }
    texts_free(stack->part_name, stack->part_name ? stack->n_parts : 0);
    free(stack->inputs);
    free(stack->labels);
}

/* ---- heads ---- */

/* What a stack does not use of a head: images, but for the colours under spots, and a simulation's truth (obs/domain comes along as a label). */
static void forget_extras(struct input *input)
{
    free(input->image.pixel);
    free(input->domain);
    free(input->marker_domain);
    input->image = (struct slide_image){0};
    input->domain = input->marker_domain = NULL;
    input->truth.n_rows = 0;
}

/* Names of spots and labels of an .h5ad, which section_read leaves in the file. */
static status read_labels(struct input *input, struct obs_columns *labels)
{
    static const char *const made_here[] = {"in_tissue", "array_row", "array_col", "section", NULL};
    hid_t file = -1;
    int64_t n = 0;
    labels->n = input->n_spots;
    if (input->spot_name)
        return MONGE_OK;
    status s = h5_open_read(input->file, &file);
    if (s == MONGE_OK)
        s = h5ad_read_names(file, input->file, "obs", &n, &input->spot_name);
    if (s == MONGE_OK)
        s = obs_columns_read(labels, file, input->file, input->n_spots, made_here);
    if (file >= 0)
        H5Fclose(file);
    return s;
}

static status check_distinct(const struct input *input)
{
    int64_t pair[2];
    status s = slide_same_place(input->n_spots, input->x, input->y, pair);
    if (s == MONGE_OK && pair[0] >= 0 && !input->may_coincide)
        s = error_set(MONGE_BAD_DATA, "%s: the spots '%s' and '%s' have the same position (%g, %g); every spot needs its own place",
                      input->source, input->spot_name[pair[0]], input->spot_name[pair[1]], input->x[pair[0]], input->y[pair[0]]);
    return s;
}

/* What slide_new also finds, said with the names of the spots. */
static status check_places(const struct input *input)
{
    if (input->n_parts > 1)
        return error_set(MONGE_BAD_DATA, "%s: holds %d sections already; give the files that they came from", input->source,
                         input->n_parts);
    if (input->n_spots < 2)
        return error_set(MONGE_BAD_DATA, "%s: has one spot only ('%s'); a section of several needs two or more", input->source,
                         input->spot_name[0]);
    if (!input->x && !input->array_row)
        return error_set(MONGE_BAD_DATA,
                         "%s: neither obs/array_row and obs/array_col nor obsm/spatial is there; spots of several sections need positions",
                         input->source);
    for (int64_t i = 0; input->x && i < input->n_spots; i++)
        if (!isfinite(input->x[i]) || !isfinite(input->y[i]))
            return error_set(MONGE_BAD_DATA, "%s: spot '%s' (row %" PRId64 ") has no finite position (%g, %g); remove it or give its place",
                             input->source, input->spot_name[i], i, input->x[i], input->y[i]);
    return input->x ? check_distinct(input) : MONGE_OK;
}

static status read_one_head(const struct stack *stack, int k)
{
    struct input *input = &stack->inputs[k];
    struct read_options options = *stack->options;
    options.need_spatial = false; /* obs/in_tissue may be missing: then all is tissue; positions are asked for below */
    status s = input_read_head(input, &options);
    if (s == MONGE_OK)
        s = read_labels(input, &stack->labels[k]);
    if (s == MONGE_OK)
        s = check_places(input);
    if (s == MONGE_OK)
        s = spot_colours_add(&stack->labels[k], input);
    forget_extras(input);
    return s;
}

static status read_heads(struct stack *stack, const char *const *paths)
{
    int n = stack->n_parts;
    stack->inputs = calloc((size_t)n, sizeof *stack->inputs);
    stack->labels = calloc((size_t)n, sizeof *stack->labels);
    stack->part_name = calloc((size_t)n, sizeof *stack->part_name);
    bool enough = stack->inputs && stack->labels && stack->part_name;
    for (int k = 0; k < n && enough; k++) {
        input_start(&stack->inputs[k], paths[k]);
        enough = (stack->part_name[k] = section_name(paths[k])) != NULL;
    }
    status s = enough ? names_make_unique(n, stack->part_name) : error_memory("the list of sections", 1e4 * n);
    s = agree(stack->comm, s);
    for (int k = 0; k < n && s == MONGE_OK; k++) {
        s = agree(stack->comm, stack->rank == 0 ? read_one_head(stack, k) : MONGE_OK);
        if (s == MONGE_OK)
            s = input_share(&stack->inputs[k], stack->comm);
    }
    return s;
}

/* ---- names ---- */

/* Of all names each rank keeps those of its rows. */
static status keep_spot_names(struct section *section, char **names)
{
    int64_t first, end;
    section_file_rows(section, &first, &end);
    section->spot_name = calloc((size_t)(end - first) + 1, sizeof *section->spot_name);
    for (int64_t i = first; i < end && section->spot_name; i++) {
        section->spot_name[i - first] = names[i];
        names[i] = NULL;
    }
    return section->spot_name ? MONGE_OK : error_memory("spot names", 8.0 * (double)(end - first));
}

/* source and counts_name: those of all parts, once where they agree. */
static status describe_sources(const struct stack *stack)
{
    struct section *section = stack->section;
    struct text sources = {0}, counts = {0};
    for (int k = 0; k < stack->n_parts; k++) {
        const struct input *input = &stack->inputs[k];
        text_add(&sources, "%s%s", k ? ", " : "", input->source);
        if (k == 0 || strcmp(input->counts_name, stack->inputs[k - 1].counts_name))
            text_add(&counts, "%s%s", k ? ", " : "", input->counts_name);
    }
    section->source = text_take(&sources);
    section->counts_name = text_take(&counts);
    return section->source && section->counts_name ? MONGE_OK : error_code();
}

/* Local: every rank has all heads and finds the same. */
static status bring_together(struct stack *stack)
{
    struct section *section = stack->section;
    char **names = NULL;
    for (int k = 0; k < stack->n_parts; k++)
        section->n_spots += stack->inputs[k].n_spots;
    status s = stack_genes(stack->n_parts, stack->inputs, &section->n_genes, &section->gene_name, &section->gene_id);
    if (s == MONGE_OK)
        s = stack_spot_names(stack->n_parts, stack->inputs, stack->part_name, &names);
    if (s == MONGE_OK)
        s = keep_spot_names(section, names);
    texts_free(names, names ? section->n_spots : 0);
    return s == MONGE_OK ? describe_sources(stack) : s;
}

/* ---- counts ---- */

static status append_rows(struct sparse_rows *all, const struct sparse_rows *more)
{
    int64_t before = all->start ? all->start[all->n_rows] : 0, n = more->start[more->n_rows], rows = all->n_rows + more->n_rows;
    int64_t *start = realloc(all->start, (size_t)(rows + 1) * sizeof *start);
    all->start = start ? start : all->start;
    int32_t *column = realloc(all->column, (size_t)(before + n + 1) * sizeof *column);
    all->column = column ? column : all->column;
    float *value = realloc(all->value, (size_t)(before + n + 1) * sizeof *value);
    all->value = value ? value : all->value;
    if (!start || !column || !value)
        return error_memory("counts", 8.0 * (double)(before + n));
    for (int64_t i = 0; i <= more->n_rows; i++)
        start[all->n_rows + i] = before + more->start[i];
    memcpy(column + before, more->column, (size_t)n * sizeof *column);
    memcpy(value + before, more->value, (size_t)n * sizeof *value);
    all->n_rows = rows;
    return MONGE_OK;
}

static int64_t clamp(int64_t value, int64_t most)
{
    return value < 0 ? 0 : value > most ? most : value;
}

/* This rank's equal share of all rows: its ranges of the parts, one after the other. */
static status read_rows(const struct stack *stack, struct sparse_rows *counts)
{
    int64_t first, end, before = 0;
    section_file_rows(stack->section, &first, &end);
    status s = MONGE_OK;
    for (int k = 0; k < stack->n_parts && s == MONGE_OK; k++) {
        const struct input *input = &stack->inputs[k];
        struct sparse_rows rows = {0};
        s = input_read_rows(input, &input->matrix, stack->comm, clamp(first - before, input->n_spots), clamp(end - before, input->n_spots),
                            &rows);
        if (s == MONGE_OK)
            s = agree(stack->comm, append_rows(counts, &rows));
        sparse_rows_free(&rows);
        before += input->n_spots;
    }
    return s;
}

/* ---- slide ---- */

static status place_spots(struct stack *stack)
{
    struct section *section = stack->section;
    status s = parts_start(section, stack->n_parts);
    int64_t first_spot = 0;
    for (int k = 0; k < stack->n_parts && s == MONGE_OK; k++) {
        const struct input *input = &stack->inputs[k];
        const struct spot_table table = input_spots(input);
        s = parts_append(section, stack->part_name[k], input->source, &table, input->pitch_um, first_spot, NULL);
        first_spot += input->n_spots;
    }
    return s == MONGE_OK ? partition_new(&section->sites, stack->comm, section->slide.n_blocks, section->slide.block_start) : s;
}

/* ---- what comes with the spots ---- */

/* array_row and array_col, which slide_new took as they are, where all parts have them. */
static status add_array_positions(struct stack *stack)
{
    struct section *section = stack->section;
    bool all = true;
    for (int k = 0; k < stack->n_parts; k++)
        all = all && stack->inputs[k].array_row;
    if (!all)
        return MONGE_OK;
    int64_t n = section->sites.n_own, first = section->sites.first;
    double *row = malloc((size_t)(n + 1) * sizeof *row), *col = malloc((size_t)(n + 1) * sizeof *col);
    status s = row && col ? MONGE_OK : error_memory("obs/array_row", 16.0 * (double)n);
    for (int64_t i = 0, k = 0; i < n && s == MONGE_OK; i++) {
        while (first + i >= section->parts[k].first_site + section->parts[k].n_sites)
            k++;
        int64_t spot = section->slide.spot[first + i] - section->parts[k].first_spot;
        row[i] = stack->inputs[k].array_row[spot];
        col[i] = stack->inputs[k].array_col[spot];
    }
    if (s == MONGE_OK)
        s = section_add_obs(section, "array_row", VALUE_INTEGER, row);
    if (s == MONGE_OK)
        s = section_add_obs(section, "array_col", VALUE_INTEGER, col);
    free(row);
    free(col);
    return s;
}

static status add_section_column(struct stack *stack)
{
    struct section *section = stack->section;
    int64_t n = section->sites.n_own, k = 0;
    double *code = malloc((size_t)(n + 1) * sizeof *code);
    for (int64_t i = 0; code && i < n; i++) {
        while (section->sites.first + i >= section->parts[k].first_site + section->parts[k].n_sites)
            k++;
        code[i] = (double)k;
    }
    status s = code ? section_add_obs_category(section, "section", stack->n_parts, (const char *const *)stack->part_name, code)
                    : error_memory("obs/section", 8.0 * (double)n);
    free(code);
    return s;
}

/* uns/monge/stack: name, source and spacing of every part. */
static status add_record(struct stack *stack)
{
    struct section *section = stack->section;
    int n = stack->n_parts;
    const int64_t dims = n;
    const char **source = malloc((size_t)n * sizeof *source);
    double *spacing = malloc((size_t)n * sizeof *spacing);
    for (int k = 0; source && spacing && k < n; k++) {
        source[k] = section->parts[k].source;
        spacing[k] = section->parts[k].spacing;
    }
    status s = source && spacing ? section_add_uns_texts(section, "monge/stack/name", n, (const char *const *)stack->part_name)
                                 : error_memory("the list of sections", 16.0 * n);
    if (s == MONGE_OK)
        s = section_add_uns_texts(section, "monge/stack/source", n, source);
    if (s == MONGE_OK)
        s = section_add_uns_array(section, "monge/stack/spacing", 1, &dims, spacing);
    free(source);
    free(spacing);
    return s;
}

static status add_columns(struct stack *stack)
{
    struct obs_columns all = {0};
    status s = agree(stack->comm, stack->rank == 0 ? obs_columns_join(&all, stack->n_parts, stack->labels) : MONGE_OK);
    if (s == MONGE_OK)
        s = obs_columns_to_section(&all, stack->section);
    obs_columns_free(&all);
    if (s == MONGE_OK)
        s = add_array_positions(stack);
    if (s == MONGE_OK)
        s = add_section_column(stack);
    return agree(stack->comm, s == MONGE_OK ? add_record(stack) : s);
}

/* ---- all of it ---- */

static status read_stack(struct stack *stack, const char *const *paths)
{
    struct section *section = stack->section;
    struct sparse_rows counts = {0};
    struct row_order order = {0};
    status s = read_heads(stack, paths);
    if (s == MONGE_OK)
        s = agree(stack->comm, bring_together(stack));
    if (s == MONGE_OK)
        s = agree(stack->comm, place_spots(stack));
    if (s == MONGE_OK)
        s = read_rows(stack, &counts);
    if (s == MONGE_OK)
        s = row_order_new(&order, section);
    if (s == MONGE_OK)
        s = row_order_to_sites(&order, &counts, &section->counts);
    row_order_free(&order);
    sparse_rows_free(&counts);
    return s == MONGE_OK ? add_columns(stack) : s;
}

status section_read_stack(struct section *section, MPI_Comm comm, int n, const char *const *paths, const struct read_options *options)
{
    *section = (struct section){.comm = comm, .truth_scale = 1.0};
    struct stack stack = {.comm = comm, .n_parts = n, .options = options, .section = section};
    MPI_Comm_rank(comm, &stack.rank);
    if (n < 1)
        return error_set(MONGE_USAGE, "no section is named");
    io_rate_start();
    status s = read_stack(&stack, paths);
    stack_free(&stack);
    if (s != MONGE_OK)
        section_free(section);
    io_rate_stop(comm);
    return s;
}
