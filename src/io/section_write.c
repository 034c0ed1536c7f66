/* Writing a Section.
 *
 *   1. rank 0 alone, ordinary HDF5: the temporary file; the input's objects copied (or, for a Section that did not come from an
 *      .h5ad, an empty AnnData); everything small and replicated (var, varm, uns); datasets of final size for the rest;
 *   2. all ranks, parallel HDF5: rows travel from slide order to file order, collective writes of X, layers, obs, obsm;
 *   3. rank 0: to disk, rename. A failure anywhere removes the temporary file on the way out.
 * Making every object in step 1 leaves only H5Dwrite to be collective, so that a failing rank is found by agree(). A disk that fills up is
 * not found so: space is reserved before it is written, in both steps (output_file.h). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "h5_util.h"
#include "h5ad_copy.h"
#include "h5ad_put.h"
#include "input.h"
#include "io_rate.h"
#include "monge/agree.h"
#include "monge/log.h"
#include "monge/tempfile.h"
#include "monge/traffic.h"
#include "names.h"
#include "output_file.h"
#include "parallel_write.h"

struct output {
    const struct section *section;
    const char *path; /* where the result will stand */
    char temporary[4200];
    bool copies;        /* the input is one .h5ad whose objects are carried over */
    struct section own; /* in-memory input: obs, obsm that the file lacks, as further results */
    int n_items;
    const struct result **items; /* own results first, then the section's */
    struct result counts;        /* X of an in-memory input, borrowed from the section */
    int64_t *n_entries;          /* n_items: entries of sparse items on all ranks */
    enum value_type *stored;     /* n_items: the type on file, the same on all ranks */
    int32_t *column;             /* n_genes: column in the output of each gene, -1: none; NULL: the same */
    int64_t n_columns;
    size_t name_width; /* in-memory input: bytes of the longest spot name */
};

static bool begins(const char *path, const char *folder)
{
    return !strncmp(path, folder, strlen(folder));
}

/* --- what is to be written --------------------------------------------------------------------------------------------- */

/* obs and obsm of a Section that no .h5ad holds: lattice coordinates (hexagonal columns as 10x numbers them), tissue, positions (in
 * micrometres, or in pitches if those are unknown). */
static status describe_spots(struct output *out)
{
    const struct section *section = out->section;
    const struct slide *slide = &section->slide;
    int64_t n = section->sites.n_own;
    double *row = malloc((size_t)(n + 1) * sizeof *row), *col = malloc((size_t)(n + 1) * sizeof *col);
    double *tissue = malloc((size_t)(n + 1) * sizeof *tissue), *position = malloc((size_t)(n + 1) * 2 * sizeof *position);
    status s = row && col && tissue && position ? MONGE_OK : error_memory("obs", 40.0 * (double)n);
    double unit = slide->pitch_um > 0.0 ? slide->pitch_um : 1.0;
    for (int64_t i = 0; i < n && s == MONGE_OK; i++) {
        int64_t site = section->sites.first + i;
        int32_t r = 0, c = 0;
        slide_position(slide, site, &position[2 * i], &position[2 * i + 1]);
        if (slide->lattice != LATTICE_NONE)
            slide_cell(slide, site, &r, &c);
        int shift = ((r & 1) == slide->parity) - (slide->parity == 0); /* against row 0 */
        row[i] = slide->first_row + r;
        col[i] = slide->first_col + (slide->lattice == LATTICE_HEX ? 2 * c + shift : c);
        tissue[i] = slide->kind[site] == SITE_TISSUE;
        position[2 * i] = section->spatial_x ? section->spatial_x[site] : unit * position[2 * i];
        position[2 * i + 1] = section->spatial_y ? section->spatial_y[site] : unit * position[2 * i + 1];
    }
    if (s == MONGE_OK)
        s = section_add_obs(&out->own, "in_tissue", VALUE_INTEGER, tissue);
    if (s == MONGE_OK && slide->lattice != LATTICE_NONE)
        s = section_add_obs(&out->own, "array_row", VALUE_INTEGER, row);
    if (s == MONGE_OK && slide->lattice != LATTICE_NONE)
        s = section_add_obs(&out->own, "array_col", VALUE_INTEGER, col);
    if (s == MONGE_OK)
        s = section_add_obsm(&out->own, "spatial", 2, position);
    free(row);
    free(col);
    free(tissue);
    free(position);
    return s;
}

static status list_items(struct output *out)
{
    const struct section *section = out->section;
    int most = out->own.n_results + section->n_results + 1;
    out->items = malloc((size_t)most * sizeof *out->items);
    out->n_entries = calloc((size_t)most, sizeof *out->n_entries);
    out->stored = calloc((size_t)most, sizeof *out->stored);
    if (!out->items || !out->n_entries || !out->stored)
        return error_memory("the list of results", 20.0 * most);
    if (!out->copies) {
        out->counts = (struct result){.path = "X", .n_dims = 2, .sparse = section->counts};
        out->items[out->n_items++] = &out->counts;
    }
    for (int i = 0; i < out->own.n_results; i++)
        if (!section_result(section, out->own.results[i].path))
            out->items[out->n_items++] = &out->own.results[i];
    for (int i = 0; i < section->n_results; i++)
        out->items[out->n_items++] = &section->results[i];
    return MONGE_OK;
}

/* raw/X has its own genes; results go to the columns of var that have the same names. Rank 0 reads, all ranks get the map. */
static status map_raw_genes(struct output *out, int rank)
{
    const struct section *section = out->section;
    out->n_columns = section->n_genes;
    if (!out->copies || !section->counts_name || strcmp(section->counts_name, "raw/X"))
        return MONGE_OK;
    out->column = malloc((size_t)(section->n_genes + 1) * sizeof *out->column);
    status s = agree(section->comm, out->column ? MONGE_OK : error_memory("the gene map", 4.0 * (double)section->n_genes));
    if (s != MONGE_OK)
        return s;
    if (rank == 0) {
        hid_t file;
        char **names = NULL;
        struct name_index index = {0};
        int64_t duplicate, lost = 0;
        s = h5_open_read(section->source, &file);
        if (s == MONGE_OK) {
            s = h5ad_read_names(file, section->source, "var", &out->n_columns, &names);
            H5Fclose(file);
        }
        if (s == MONGE_OK)
            s = name_index_new(&index, out->n_columns, names, &duplicate);
        for (int64_t g = 0; g < section->n_genes && s == MONGE_OK; g++) {
            out->column[g] = (int32_t)name_index_find(&index, section->gene_name[g]);
            lost += out->column[g] < 0;
        }
        if (s == MONGE_OK && lost)
            log_warn("%lld genes of raw/X are not in var: their results are not written", (long long)lost);
        name_index_free(&index);
        texts_free(names, s == MONGE_OK ? out->n_columns : 0);
    }
    s = agree(section->comm, s);
    MPI_Bcast(&out->n_columns, 1, MPI_INT64_T, 0, section->comm);
    MPI_Bcast(out->column, (int)section->n_genes, MPI_INT32_T, 0, section->comm);
    return s;
}

/* A matrix of spots x spots: all entries are written, zeros too. */
static bool is_pairs(const struct result *r)
{
    return begins(r->path, "obsp/");
}

/* Entries that will be written: of matrices of genes, zeros and genes without a column are not. */
static bool kept(const struct output *out, const struct result *r, int64_t entry)
{
    if (is_pairs(r))
        return true;
    return r->sparse.value[entry] != 0.0f && (!out->column || out->column[r->sparse.column[entry]] >= 0);
}

/* Sizes and types that all ranks must know before rank 0 makes the datasets. */
static status measure(struct output *out)
{
    const struct section *section = out->section;
    for (int k = 0; k < out->n_items; k++) {
        const struct result *r = out->items[k];
        for (int64_t i = 0; r->sparse.start && i < section->sites.n_own; i++)
            if (section->slide.spot[section->sites.first + i] >= 0)
                for (int64_t e = r->sparse.start[i]; e < r->sparse.start[i + 1]; e++)
                    out->n_entries[k] += kept(out, r, e);
        out->stored[k] = r->type;
        if (begins(r->path, "obs/"))
            out->stored[k] = put_stored_type(r->type, r->dims[0], r->number);
        int real = out->stored[k] == VALUE_REAL && r->type != VALUE_REAL;
        MPI_Allreduce(MPI_IN_PLACE, &real, 1, MPI_INT, MPI_MAX, section->comm);
        if (real)
            out->stored[k] = VALUE_REAL;
    }
    int64_t first, end, width = 0;
    section_file_rows(section, &first, &end);
    for (int64_t i = first; i < end && section->spot_name; i++) {
        int64_t length = (int64_t)strlen(section->spot_name[i - first]);
        width = length > width ? length : width;
    }
    MPI_Allreduce(MPI_IN_PLACE, out->n_entries, out->n_items, MPI_INT64_T, MPI_SUM, section->comm);
    MPI_Allreduce(MPI_IN_PLACE, &width, 1, MPI_INT64_T, MPI_MAX, section->comm);
    out->name_width = width ? (size_t)width : parallel_generated_name(NULL, 0, 0, section->n_spots);
    return MONGE_OK;
}

static status plan(struct output *out, int rank)
{
    const struct section *section = out->section;
    out->copies = section->h5ad;
    out->own = (struct section){.comm = section->comm, .n_spots = section->n_spots, .n_genes = section->n_genes};
    out->own.sites.n_own = section->sites.n_own;
    status s = out->copies ? MONGE_OK : describe_spots(out);
    if (s == MONGE_OK)
        s = list_items(out);
    s = agree(section->comm, s);
    if (s == MONGE_OK)
        s = map_raw_genes(out, rank);
    return s == MONGE_OK ? measure(out) : s;
}

static void output_free(struct output *out)
{
    memset(&out->own.sites, 0, sizeof out->own.sites);
    section_free(&out->own);
    free(out->items);
    free(out->n_entries);
    free(out->stored);
    free(out->column);
}

/* --- step 1: rank 0 alone ---------------------------------------------------------------------------------------------- */

/* Values per gene -> values per column of the output. */
static double *by_column(const struct output *out, const struct result *r, int64_t width)
{
    double *values = malloc((size_t)(out->n_columns * width + 1) * sizeof *values);
    for (int64_t i = 0; i < out->n_columns * width && values; i++)
        values[i] = NAN;
    for (int64_t g = 0; g < out->section->n_genes && values; g++)
        for (int64_t k = 0; k < width && out->column[g] >= 0; k++)
            values[out->column[g] * width + k] = r->number[g * width + k];
    return values;
}

static status make_var(const struct output *out, hid_t file, const struct result *r)
{
    int64_t width = r->n_dims == 2 ? r->dims[1] : 1;
    const int64_t dims[2] = {out->n_columns, width};
    double *mapped = out->column ? by_column(out, r, width) : NULL;
    if (out->column && !mapped)
        return error_memory(r->path, 8.0 * (double)(out->n_columns * width));
    status s = put_array(file, out->temporary, r->path, r->type, r->n_dims, dims, mapped ? mapped : r->number);
    free(mapped);
    if (s == MONGE_OK && begins(r->path, "var/"))
        s = put_column_name(file, out->temporary, "var", r->path + 4);
    return s;
}

static status make_uns(const struct output *out, hid_t file, const struct result *r)
{
    if (r->row_start)
        return put_real_sparse(file, out->temporary, r->path, r);
    if (r->type != VALUE_TEXT)
        return put_array(file, out->temporary, r->path, r->type, r->n_dims, r->dims, r->number);
    return r->n_dims ? put_texts(file, out->temporary, r->path, r->dims[0], r->text) : put_text(file, out->temporary, r->path, r->text[0]);
}

/* One item: written whole if it is replicated, else made with its final size. */
static status make_item(const struct output *out, hid_t file, int k)
{
    const struct result *r = out->items[k];
    const int64_t dims[2] = {out->section->n_spots, r->dims[1]};
    if (r->sparse.start)
        return put_sparse(file, out->temporary, r->path, dims[0], is_pairs(r) ? dims[0] : out->n_columns, out->n_entries[k], r->integer);
    if (begins(r->path, "var"))
        return make_var(out, file, r);
    if (!begins(r->path, "obs"))
        return make_uns(out, file, r);
    status s = r->type == VALUE_CATEGORY ? put_categorical(file, out->temporary, r->path, dims[0], r->n_categories, r->text)
                                         : put_array(file, out->temporary, r->path, out->stored[k], r->n_dims, dims, NULL);
    if (s == MONGE_OK && begins(r->path, "obs/"))
        s = put_column_name(file, out->temporary, "obs", r->path + 4);
    return s;
}

/* The image under uns/spatial/<library>: the library is the one whose scale factors are among the results. */
static status make_image(const struct output *out, hid_t file)
{
    const struct section *section = out->section;
    const struct slide_image *image = &section->image;
    if (!image->pixel)
        return MONGE_OK;
    char library[512] = "section", path[1024];
    for (int i = 0; i < section->n_results; i++)
        if (begins(section->results[i].path, "uns/spatial/"))
            sscanf(section->results[i].path, "uns/spatial/%511[^/]", library);
    const int64_t dims[3] = {image->height, image->width, image->channels};
    size_t n = (size_t)image->height * (size_t)image->width * (size_t)image->channels;
    uint8_t *bytes = malloc(n);
    if (!bytes)
        return error_memory("the image", (double)n);
    for (size_t i = 0; i < n; i++)
        bytes[i] = (uint8_t)lrintf(255.0f * image->pixel[i]);
    snprintf(path, sizeof path, "uns/spatial/%s/scalefactors/tissue_lowres_scalef", library);
    const struct result *scale = section_result(section, path); /* the image read may have been the hires one */
    bool hires = scale && scale->number[0] != image->spot_to_pixel;
    status s = scale ? MONGE_OK : put_array(file, out->temporary, path, VALUE_REAL, 0, NULL, &image->spot_to_pixel);
    snprintf(path, sizeof path, "uns/spatial/%s/images/%s", library, hires ? "hires" : "lowres");
    if (s == MONGE_OK)
        s = put_bytes(file, out->temporary, path, image->channels == 1 ? 2 : 3, dims, bytes);
    free(bytes);
    return s;
}

/* An empty AnnData with the names of spots and genes. */
static status make_anndata(const struct output *out, hid_t file)
{
    static const char *const dicts[] = {"layers", "obsm", "varm", "obsp", "varp", "uns"};
    const struct section *section = out->section;
    const char *name = out->temporary;
    status s = put_encoding(file, name, ".", "anndata", "0.1.0");
    if (s == MONGE_OK)
        s = put_dataframe(file, name, "obs");
    if (s == MONGE_OK)
        s = put_fixed_texts(file, name, "obs/_index", section->n_spots, out->name_width);
    if (s == MONGE_OK)
        s = put_dataframe(file, name, "var");
    if (s == MONGE_OK)
        s = put_texts(file, name, "var/_index", section->n_genes, section->gene_name);
    if (s == MONGE_OK && section->gene_id)
        s = put_texts(file, name, "var/gene_ids", section->n_genes, section->gene_id);
    if (s == MONGE_OK && section->gene_id)
        s = put_column_name(file, name, "var", "gene_ids");
    for (size_t k = 0; k < sizeof dicts / sizeof dicts[0] && s == MONGE_OK; k++)
        s = put_group(file, name, dicts[k]);
    return s == MONGE_OK ? make_image(out, file) : s;
}

/* What an earlier run of a step left behind, and is not written anew, is no column any more. */
static status drop_outdated_columns(const struct output *out, hid_t file)
{
    static const char *const frames[] = {"obs", "var"};
    status s = MONGE_OK;
    for (int k = 0; k < out->section->n_outdated; k++)
        for (int f = 0; f < 2 && s == MONGE_OK; f++) {
            const char *path = out->section->outdated[k];
            if (!strncmp(path, frames[f], 3) && path[3] == '/')
                s = drop_column_name(file, out->temporary, frames[f], path + 4);
        }
    return s;
}

static status copy_input(const struct output *out, hid_t file)
{
    int n = out->n_items, n_outdated = out->section->n_outdated;
    const char **paths = malloc((size_t)(n + n_outdated + 1) * sizeof *paths);
    if (!paths)
        return error_memory("the list of results", 8.0 * n);
    for (int k = 0; k < n; k++)
        paths[k] = out->items[k]->path;
    for (int k = 0; k < n_outdated; k++)
        paths[n + k] = out->section->outdated[k];
    hid_t from = -1;
    status s = h5_open_read(out->section->source, &from);
    if (s != MONGE_OK)
        error_prefix("the output carries over what the input holds besides, so the input must stay in its place until then");
    else
        s = h5ad_copy(from, out->section->source, file, out->temporary, n + n_outdated, paths);
    if (s == MONGE_OK)
        s = drop_outdated_columns(out, file);
    if (from >= 0)
        H5Fclose(from);
    free(paths);
    return s;
}

static hid_t access_properties(bool parallel, MPI_Comm comm)
{
    hid_t properties = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_libver_bounds(properties, H5F_LIBVER_EARLIEST, H5F_LIBVER_V18);
    if (parallel) {
        H5Pset_fapl_mpio(properties, comm, MPI_INFO_NULL);
        H5Pset_coll_metadata_write(properties, true);
    }
    return properties;
}

static status check_place(const char *path)
{
    struct stat about;
    if (stat(path, &about) == 0 && S_ISDIR(about.st_mode))
        return error_set(MONGE_CANT_CREATE, "%s: is a folder; name a file", path);
    return MONGE_OK;
}

/* The most that step 2 can write: everything uncompressed, and 1 per cent for the chunk indices. */
static double bytes_to_come(const struct output *out)
{
    const struct section *section = out->section;
    double spots = (double)section->n_spots, bytes = out->copies ? 0.0 : spots * (double)out->name_width;
    for (int k = 0; k < out->n_items; k++) {
        const struct result *r = out->items[k];
        if (r->sparse.start)
            bytes += 8.0 * (double)out->n_entries[k] + 8.0 * spots + 65536.0;
        else if (begins(r->path, "obs"))
            bytes += 8.0 * spots * (double)(r->n_dims == 2 ? r->dims[1] : 1) + 65536.0;
    }
    return 1.01 * bytes + 65536.0;
}

static status create_file(const struct output *out)
{
    status s = check_place(out->path);
    if (s == MONGE_OK)
        s = output_file_create(out->temporary);
    struct stat source;
    double copied = out->copies && stat(out->section->source, &source) == 0 ? (double)source.st_size : 0.0;
    if (s == MONGE_OK) /* HDF5 gives no reason where not even its first block finds room */
        s = output_file_reserve(out->temporary, copied + 65536.0);
    if (s != MONGE_OK)
        return s;
    hid_t properties = access_properties(false, MPI_COMM_NULL);
    hid_t file = H5Fcreate(out->temporary, H5F_ACC_TRUNC, H5P_DEFAULT, properties);
    H5Pclose(properties);
    if (file < 0)
        return error_set(MONGE_CANT_CREATE, "%s: cannot be created (%s)", out->temporary, h5_reason());
    s = output_file_reserve(
        out->temporary, copied + 65536.0); /* again, since HDF5 has cut the file; it may not survive a disk that fills up while it copies */
    if (s == MONGE_OK)
        s = out->copies ? copy_input(out, file) : make_anndata(out, file);
    for (int k = 0; k < out->n_items && s == MONGE_OK; k++)
        s = make_item(out, file, k);
    hsize_t size = 0;
    H5Fget_filesize(file, &size);
    if (s == MONGE_OK) /* what HDF5 has not written yet must find room */
        s = output_file_reserve(out->temporary, (double)size + 65536.0);
    if (s != MONGE_OK) {
        h5_abandon(file);
        return s;
    }
    s = h5_close_written(file, out->temporary);
    return s == MONGE_OK ? output_file_reserve(out->temporary, (double)size + bytes_to_come(out)) : s;
}

static status make_file(const struct output *out)
{
    traffic_io_begin();
    status s = create_file(out);
    traffic_io_end();
    return s;
}

/* --- step 2: all ranks ------------------------------------------------------------------------------------------------- */

static status write_item(const struct output *out, const struct parallel_file *file, const struct row_order *order, int k)
{
    const struct result *r = out->items[k];
    if (r->sparse.start)
        return parallel_write_sparse(file, order, r->path, &r->sparse, is_pairs(r) ? NULL : out->column, is_pairs(r), r->integer);
    char name[2048];
    snprintf(name, sizeof name, r->type == VALUE_CATEGORY ? "%.2000s/codes" : "%.2000s", r->path);
    if (begins(r->path, "obs"))
        return parallel_write_rows(file, order, name, out->stored[k], r->n_dims == 2 ? r->dims[1] : 1, r->number);
    return MONGE_OK;
}

static status fill_file(const struct output *out)
{
    const struct section *section = out->section;
    struct row_order order;
    struct parallel_file file = {.path = out->temporary, .section = section, .name_width = out->name_width};
    status s = row_order_new(&order, section);
    if (s != MONGE_OK)
        return s;
    hid_t properties = access_properties(order.size > 1, section->comm);
    traffic_io_begin();
    file.id = H5Fopen(out->temporary, H5F_ACC_RDWR, properties);
    traffic_io_end();
    H5Pclose(properties);
    s = agree(section->comm,
              file.id < 0 ? error_set(MONGE_IO, "%s: cannot be written (%s); is the disk full?", out->temporary, h5_reason()) : MONGE_OK);
    if (s == MONGE_OK && !out->copies)
        s = parallel_write_spot_names(&file);
    for (int k = 0; k < out->n_items && s == MONGE_OK; k++)
        s = write_item(out, &file, &order, k);
    if (s != MONGE_OK && file.id >= 0)
        h5_abandon(file.id);
    else if (s == MONGE_OK)
        s = h5_close_written(file.id, out->temporary);
    row_order_free(&order);
    return agree(section->comm, s);
}

/* --- all three --------------------------------------------------------------------------------------------------------- */

status section_write(struct section *section, const char *path)
{
    int rank;
    MPI_Comm_rank(section->comm, &rank);
    io_rate_start();
    h5_quiet();
    struct output out = {.section = section, .path = path};
    snprintf(out.temporary, sizeof out.temporary, "%.4100s.tmp", path);
    status s = plan(&out, rank);
    if (s == MONGE_OK) /* on every rank: the launcher may kill some before they can clean up */
        s = agree(section->comm, tempfile_register(out.temporary));
    if (s == MONGE_OK)
        s = agree(section->comm, rank == 0 ? make_file(&out) : MONGE_OK);
    if (s == MONGE_OK)
        s = fill_file(&out);
    if (s == MONGE_OK)
        s = agree(section->comm, rank == 0 ? output_file_publish(out.temporary, out.path) : MONGE_OK);
    if (s != MONGE_OK && rank == 0)
        unlink(out.temporary);
    tempfile_forget(out.temporary);
    output_free(&out);
    io_rate_stop(section->comm);
    return s;
}
