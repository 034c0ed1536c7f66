/* What an .h5ad file holds: names of its groups, and the tree of results below uns/monge with scalar values. */
#include "monge/contents.h"

#include <hdf5.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "input.h"

enum { NAME_WIDTH = 15, RESULT_WIDTH = 40 };

struct listing {
    struct text *text;
    int n;
};

static herr_t add_name(hid_t group, const char *name, const H5L_info_t *info, void *data)
{
    (void)group;
    (void)info;
    struct listing *listing = data;
    if (name[0] != '_') /* _index, __categories */
        text_add(listing->text, "%s%s", listing->n++ ? ", " : "", name);
    return 0;
}

static void add_group(struct text *text, hid_t file, const char *name)
{
    struct text names = {0};
    struct listing listing = {&names, 0};
    if (H5Lexists(file, name, H5P_DEFAULT) > 0)
        H5Literate_by_name(file, name, H5_INDEX_NAME, H5_ITER_INC, NULL, add_name, &listing, H5P_DEFAULT);
    if (listing.n)
        text_add(text, "  %-*s%s\n", NAME_WIDTH, name, names.chars);
    text_free(&names);
}

static void add_string(struct text *text, hid_t dataset, hid_t type)
{
    if (H5Tis_variable_str(type) > 0) {
        char *chars = NULL;
        hid_t memory = H5Tcopy(H5T_C_S1), space = H5Dget_space(dataset);
        H5Tset_size(memory, H5T_VARIABLE);
        H5Tset_cset(memory, H5Tget_cset(type));
        if (H5Dread(dataset, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, &chars) >= 0 && chars)
            text_add(text, "%s", chars);
        H5Dvlen_reclaim(memory, space, H5P_DEFAULT, &chars);
        H5Sclose(space);
        H5Tclose(memory);
        return;
    }
    size_t size = H5Tget_size(type);
    char *chars = calloc(size + 1, 1);
    if (chars && H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, chars) >= 0)
        text_add(text, "%s", chars);
    free(chars);
}

static void add_scalar(struct text *text, hid_t dataset, hid_t type)
{
    H5T_class_t class = H5Tget_class(type);
    double number = 0.0;
    long long whole = 0;
    int8_t word = 0;
    if (class == H5T_STRING)
        add_string(text, dataset, type);
    else if (class == H5T_ENUM && H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, &word) >= 0) /* AnnData's bool: one byte */
        text_add(text, "%s", word ? "true" : "false");
    else if (class == H5T_INTEGER && H5Dread(dataset, H5T_NATIVE_LLONG, H5S_ALL, H5S_ALL, H5P_DEFAULT, &whole) >= 0)
        text_add(text, "%lld", whole);
    else if (class == H5T_FLOAT && H5Dread(dataset, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, &number) >= 0)
        text_add(text, "%.9g", number);
}

static void add_size(struct text *text, hid_t space)
{
    hsize_t dims[H5S_MAX_RANK];
    int n = H5Sget_simple_extent_dims(space, dims, NULL);
    for (int d = 0; d < n; d++)
        text_add(text, "%s%llu", d ? " x " : "", (unsigned long long)dims[d]);
    text_add(text, n == 1 ? " values" : "");
}

static herr_t add_result(hid_t group, const char *name, const H5O_info_t *info, void *data)
{
    struct listing *listing = data;
    if (info->type != H5O_TYPE_DATASET)
        return 0;
    hid_t dataset = H5Dopen2(group, name, H5P_DEFAULT);
    if (dataset < 0)
        return 0;
    hid_t type = H5Dget_type(dataset), space = H5Dget_space(dataset);
    text_add(listing->text, "  %-*s%-*s", NAME_WIDTH, listing->n++ ? "" : "monge", RESULT_WIDTH, name);
    bool scalar = H5Sget_simple_extent_type(space) == H5S_SCALAR;
    bool readable = H5Tget_class(type) != H5T_ENUM || H5Tget_size(type) == 1;
    if (scalar && readable)
        add_scalar(listing->text, dataset, type);
    else
        add_size(listing->text, space);
    text_add(listing->text, "\n");
    H5Sclose(space);
    H5Tclose(type);
    H5Dclose(dataset);
    return 0;
}

status contents_add(struct text *text, const char *path)
{
    struct stat about;
    if (stat(path, &about) != 0 || !S_ISREG(about.st_mode) || csv_recognised(path))
        return MONGE_OK;
    H5E_auto2_t report;
    void *report_data;
    H5Eget_auto2(H5E_DEFAULT, &report, &report_data);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL); /* errors are told by status, not printed by HDF5 */
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    if (file >= 0) {
        static const char *const groups[] = {"layers", "obs", "obsm", "obsp", "varm"};
        for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
            add_group(text, file, groups[i]);
        struct listing listing = {text, 0};
        if (H5Lexists(file, "uns", H5P_DEFAULT) > 0 && H5Lexists(file, "uns/monge", H5P_DEFAULT) > 0)
            H5Ovisit_by_name2(file, "uns/monge", H5_INDEX_NAME, H5_ITER_INC, add_result, &listing, H5O_INFO_BASIC, H5P_DEFAULT);
        H5Fclose(file);
    }
    H5Eset_auto2(H5E_DEFAULT, report, report_data);
    return file >= 0 ? MONGE_OK : error_set(MONGE_NO_INPUT, "%s: cannot be opened as HDF5; give an .h5ad file", path);
}
