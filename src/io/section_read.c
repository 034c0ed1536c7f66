/* Reading a Section: the reader is picked by what the path is. Rank 0 reads the head, all ranks the counts. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "h5_util.h"
#include "input.h"
#include "io_rate.h"
#include "monge/agree.h"
#include "monge/row_exchange.h"
#include "monge/row_fetch.h"
#include "monge/traffic.h"

static bool is_folder(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0 && S_ISDIR(about.st_mode);
}

status input_find_file(struct input *input)
{
    struct stat about;
    if (!is_folder(input->source))
        return MONGE_OK;
    static const char *const names[2] = {"raw_feature_bc_matrix.h5", "outs/raw_feature_bc_matrix.h5"};
    for (int k = 0; k < 2; k++) {
        snprintf(input->file, sizeof input->file, "%.4000s/%s", input->source, names[k]);
        if (stat(input->file, &about) == 0)
            return MONGE_OK;
    }
    return error_set(MONGE_NO_INPUT, "%s: raw_feature_bc_matrix.h5 is not there; give the outs/ folder of Space Ranger with its raw matrix",
                     input->source);
}

static status read_hdf5_head(struct input *input, const struct read_options *options)
{
    hid_t file = -1;
    status s = input_find_file(input);
    if (s == MONGE_OK)
        s = h5_open_read(input->file, &file);
    input->h5ad = s == MONGE_OK && !tenx_recognised(file);
    if (s == MONGE_OK)
        s = input->h5ad ? h5ad_read_head(input, file, options) : tenx_read_head(input, file, options);
    if (file >= 0)
        H5Fclose(file);
    return s;
}

status input_read_head(struct input *input, const struct read_options *options)
{
    input->may_coincide = options->all_tissue;
    traffic_io_begin(); /* what rank 0 does alone is nearly all reading */
    status s = csv_recognised(input->source) ? csv_read_head(input, options) : read_hdf5_head(input, options);
    if (s == MONGE_OK && input->n_spots == 0)
        s = error_set(MONGE_BAD_DATA, "%s: no spots; give the matrix as it was before filtering", input->file);
    if (s == MONGE_OK && input->n_genes == 0)
        s = error_set(MONGE_BAD_DATA, "%s: no genes; give the matrix as it was before filtering", input->file);
    traffic_io_end();
    return s;
}

static status read_hdf5_rows(const struct input *input, const struct matrix *matrix, MPI_Comm comm, int64_t first, int64_t end,
                             struct sparse_rows *counts)
{
    hid_t file = -1;
    status s = agree(comm, h5_open_read(input->file, &file));
    if (s == MONGE_OK)
        s = matrix_read_rows(matrix, comm, file, input->file, first, end, input->column_map, counts);
    if (file >= 0)
        H5Fclose(file);
    return s;
}

/* Rank 0 has all rows of a table of text: as if it owned them, the others ask for theirs. */
static status read_text_rows(const struct input *input, const struct matrix *matrix, MPI_Comm comm, int64_t first, int64_t end,
                             struct sparse_rows *counts)
{
    struct partition holder = {.comm = comm, .n = matrix->n_rows, .n_blocks = 1};
    MPI_Comm_rank(comm, &holder.rank);
    MPI_Comm_size(comm, &holder.size);
    holder.n_own = holder.rank == 0 ? holder.n : 0;
    holder.block_start = (int64_t[]){0, holder.n};
    holder.rank_block = malloc(((size_t)holder.size + 1) * sizeof *holder.rank_block);
    int64_t *wanted = malloc((size_t)(end - first + 1) * sizeof *wanted);
    status s = agree(comm, holder.rank_block && wanted ? MONGE_OK : error_memory("rows", 8.0 * (double)(end - first)));
    if (s == MONGE_OK) {
        for (int r = 0; r <= holder.size; r++)
            holder.rank_block[r] = r > 0;
        for (int64_t i = first; i < end; i++)
            wanted[i - first] = i;
        s = rows_fetch(&holder, &input->parsed, end - first, wanted, ROW_EXCHANGE_PORTION, counts);
    }
    if (s == MONGE_OK && input->column_map)
        s = agree(comm, matrix_map_columns(matrix, input->file, first, input->column_map, counts));
    free(holder.rank_block);
    free(wanted);
    return s;
}

status input_read_rows(const struct input *input, const struct matrix *matrix, MPI_Comm comm, int64_t first, int64_t end,
                       struct sparse_rows *counts)
{
    int64_t rows = matrix->n_rows, from = first < rows ? first : rows, to = end < rows ? end : rows;
    status s = input->text ? read_text_rows(input, matrix, comm, from, to, counts) : read_hdf5_rows(input, matrix, comm, from, to, counts);
    return s == MONGE_OK ? agree(comm, sparse_rows_extend(counts, end - first)) : s;
}

/* This rank's equal share of the rows. */
static status read_share(const struct input *input, const struct matrix *matrix, MPI_Comm comm, struct sparse_rows *counts)
{
    int64_t first, end;
    const struct section shares = {.comm = comm, .n_spots = input->n_spots};
    section_file_rows(&shares, &first, &end);
    return input_read_rows(input, matrix, comm, first, end, counts);
}

/* Collective. Rows of this rank's share without entries. */
static status empty_share(const struct input *input, MPI_Comm comm, struct sparse_rows *counts)
{
    int64_t first, end;
    const struct section shares = {.comm = comm, .n_spots = input->n_spots};
    section_file_rows(&shares, &first, &end);
    *counts = (struct sparse_rows){.start = calloc(1, sizeof *counts->start)};
    return agree(comm, counts->start ? sparse_rows_extend(counts, end - first) : error_memory("rows", sizeof *counts->start));
}

status section_read(struct section *section, MPI_Comm comm, const char *path, const struct read_options *options)
{
    int rank;
    MPI_Comm_rank(comm, &rank);
    memset(section, 0, sizeof *section);
    io_rate_start();
    struct input input;
    input_start(&input, path);
    status s = agree(comm, rank == 0 ? input_read_head(&input, options) : MONGE_OK);
    if (s == MONGE_OK)
        s = input_share(&input, comm);
    struct sparse_rows counts = {0}, truth = {0};
    if (s == MONGE_OK)
        s = options->no_counts ? empty_share(&input, comm, &counts) : read_share(&input, &input.matrix, comm, &counts);
    if (options->no_counts)
        input.truth.n_rows = 0;
    if (s == MONGE_OK && input.truth.n_rows)
        s = read_share(&input, &input.truth, comm, &truth);
    if (s == MONGE_OK)
        s = section_from_input(section, comm, &input, &counts, &truth, options->holes);
    sparse_rows_free(&counts);
    sparse_rows_free(&truth);
    input_free(&input);
    io_rate_stop(comm);
    return s;
}

/* ---- the size alone ---- */

static status count_entries(const struct input *input, int64_t *n_entries)
{
    *n_entries = input->text ? input->parsed.start[input->parsed.n_rows] : input->matrix.n_rows * input->matrix.n_cols;
    if (input->text || input->matrix.layout == MATRIX_DENSE)
        return MONGE_OK;
    hid_t file = -1;
    char name[600];
    snprintf(name, sizeof name, "%s/data", input->matrix.path);
    status s = h5_open_read(input->file, &file);
    if (s != MONGE_OK)
        return s;
    s = h5_length(file, input->file, name, n_entries);
    H5Fclose(file);
    return s;
}

static status count_sites(const struct input *input, enum holes holes, int64_t *n_sites)
{
    *n_sites = input->n_spots;
    if (!input->x && !input->array_row)
        return MONGE_OK;
    const struct spot_table table = input_spots(input);
    if (input->n_parts > 1)
        return MONGE_OK; /* only places with a spot are sites */
    struct slide slide = {0};
    status s = slide_new(&slide, &table, holes);
    if (s == MONGE_OK) {
        *n_sites = slide.n_sites;
        slide_free(&slide);
    }
    return s;
}

status section_size_read(struct section_size *size, const char *path, const struct read_options *options)
{
    struct input input;
    input_start(&input, path);
    status s = input_read_head(&input, options);
    if (s == MONGE_OK)
        s = count_entries(&input, &size->n_entries);
    if (s == MONGE_OK)
        s = count_sites(&input, options->holes, &size->n_sites);
    size->n_spots = input.n_spots;
    size->n_genes = input.n_genes;
    input_free(&input);
    return s;
}
