/* Reading a Section: the reader is picked by what the path is. Rank 0 reads the head, all ranks the counts. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "h5_util.h"
#include "input.h"
#include "io_rate.h"
#include "monge/agree.h"
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

static status read_head(struct input *input, const struct read_options *options)
{
    hid_t file = -1;
    traffic_io_begin(); /* what rank 0 does alone is nearly all reading */
    status s = input_find_file(input);
    if (s == MONGE_OK)
        s = h5_open_read(input->file, &file);
    if (s == MONGE_OK)
        s = tenx_recognised(file) ? tenx_read_head(input, file, options) : h5ad_read_head(input, file, options);
    if (s == MONGE_OK && input->n_spots == 0)
        s = error_set(MONGE_BAD_DATA, "%s: no spots", input->file);
    if (s == MONGE_OK && input->n_genes == 0)
        s = error_set(MONGE_BAD_DATA, "%s: no genes", input->file);
    if (file >= 0)
        H5Fclose(file);
    traffic_io_end();
    return s;
}

/* This rank's file rows of one matrix; rows beyond the matrix are empty. */
static status read_counts(const struct input *input, const struct matrix *matrix, MPI_Comm comm, struct sparse_rows *counts)
{
    hid_t file = -1;
    status s = agree(comm, h5_open_read(input->file, &file));
    if (s == MONGE_OK) {
        int64_t first, end, rows = matrix->n_rows;
        const struct section shares = {.comm = comm, .n_spots = input->n_spots};
        section_file_rows(&shares, &first, &end);
        s = matrix_read_rows(matrix, comm, file, input->file, first < rows ? first : rows, end < rows ? end : rows, input->column_map,
                             counts);
        if (s == MONGE_OK)
            s = agree(comm, sparse_rows_extend(counts, end - first));
    }
    if (file >= 0)
        H5Fclose(file);
    return s;
}

status section_read(struct section *section, MPI_Comm comm, const char *path, const struct read_options *options)
{
    int rank;
    MPI_Comm_rank(comm, &rank);
    memset(section, 0, sizeof *section);
    io_rate_start();
    struct input input;
    input_start(&input, path);
    status s = agree(comm, rank == 0 ? read_head(&input, options) : MONGE_OK);
    if (s == MONGE_OK)
        s = input_share(&input, comm);
    struct sparse_rows counts = {0}, truth = {0};
    if (s == MONGE_OK)
        s = read_counts(&input, &input.matrix, comm, &counts);
    if (s == MONGE_OK && input.truth.n_rows)
        s = read_counts(&input, &input.truth, comm, &truth);
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
    *n_entries = input->matrix.n_rows * input->matrix.n_cols;
    if (input->matrix.layout == MATRIX_DENSE)
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
    const struct spot_table table = {input->n_spots, input->array_row, input->array_col, input->x,
                                     input->y,       input->in_tissue, input->source};
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
    status s = read_head(&input, options);
    if (s == MONGE_OK)
        s = count_entries(&input, &size->n_entries);
    if (s == MONGE_OK)
        s = count_sites(&input, options->holes, &size->n_sites);
    size->n_spots = input.n_spots;
    size->n_genes = input.n_genes;
    input_free(&input);
    return s;
}
