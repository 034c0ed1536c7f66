#include "support/same_objects.h"

#include <hdf5.h>
#include <stdlib.h>
#include <string.h>

#include "support/suite.h"

struct comparing {
    hid_t b;
    const char *const *except;
    const char *object;
    int compared;
};

static bool excepted(const struct comparing *c, const char *path)
{
    for (const char *const *e = c->except; e && *e; e++)
        if (!strncmp(path, *e, strlen(*e)))
            return true;
    return false;
}

/* Two buffers of n elements of one type; variable-length strings are followed. */
static void same_values(hid_t type, size_t n, const void *a, const void *b, const char *what)
{
    if (H5Tis_variable_str(type) > 0) {
        for (size_t i = 0; i < n; i++)
            assert_string_equal(((char *const *)a)[i], ((char *const *)b)[i]);
    } else if (H5Tget_class(type) != H5T_REFERENCE && memcmp(a, b, n * H5Tget_size(type))) {
        fail_msg("%s differs", what);
    }
}

static void same_shape(hid_t space_a, hid_t space_b, hid_t type_a, hid_t type_b, const char *what)
{
    if (H5Sextent_equal(space_a, space_b) <= 0 || H5Tequal(type_a, type_b) <= 0)
        fail_msg("%s has another shape or type", what);
}

static herr_t same_attribute(hid_t a, const char *name, const H5A_info_t *info, void *data)
{
    (void)info;
    struct comparing *c = data;
    char what[1024];
    snprintf(what, sizeof what, "%s@%s", c->object, name);
    if (excepted(c, what))
        return 0;
    hid_t in_a = H5Aopen(a, name, H5P_DEFAULT), in_b = H5Aopen_by_name(c->b, c->object, name, H5P_DEFAULT, H5P_DEFAULT);
    if (in_b < 0)
        fail_msg("%s is missing", what);
    hid_t type_a = H5Aget_type(in_a), type_b = H5Aget_type(in_b), space_a = H5Aget_space(in_a), space_b = H5Aget_space(in_b);
    same_shape(space_a, space_b, type_a, type_b, what);
    size_t n = (size_t)H5Sget_simple_extent_npoints(space_a), bytes = (n + 1) * H5Tget_size(type_a);
    void *values_a = calloc(1, bytes), *values_b = calloc(1, bytes);
    if (n) {
        H5Aread(in_a, type_a, values_a);
        H5Aread(in_b, type_a, values_b);
        same_values(type_a, n, values_a, values_b, what);
        H5Dvlen_reclaim(type_a, space_a, H5P_DEFAULT, values_a);
        H5Dvlen_reclaim(type_a, space_a, H5P_DEFAULT, values_b);
    }
    free(values_a);
    free(values_b);
    H5Sclose(space_a);
    H5Sclose(space_b);
    H5Tclose(type_a);
    H5Tclose(type_b);
    H5Aclose(in_a);
    H5Aclose(in_b);
    return 0;
}

static void same_dataset(hid_t a, hid_t b, const char *what)
{
    hid_t type_a = H5Dget_type(a), type_b = H5Dget_type(b), space_a = H5Dget_space(a), space_b = H5Dget_space(b);
    same_shape(space_a, space_b, type_a, type_b, what);
    size_t n = (size_t)H5Sget_simple_extent_npoints(space_a), bytes = (n + 1) * H5Tget_size(type_a);
    void *values_a = calloc(1, bytes), *values_b = calloc(1, bytes);
    if (n) {
        assert_true(H5Dread(a, type_a, H5S_ALL, H5S_ALL, H5P_DEFAULT, values_a) >= 0);
        assert_true(H5Dread(b, type_a, H5S_ALL, H5S_ALL, H5P_DEFAULT, values_b) >= 0);
        same_values(type_a, n, values_a, values_b, what);
        H5Dvlen_reclaim(type_a, space_a, H5P_DEFAULT, values_a);
        H5Dvlen_reclaim(type_a, space_a, H5P_DEFAULT, values_b);
    }
    free(values_a);
    free(values_b);
    H5Sclose(space_a);
    H5Sclose(space_b);
    H5Tclose(type_a);
    H5Tclose(type_b);
}

static herr_t same_object(hid_t root, const char *name, const H5O_info_t *info, void *data)
{
    struct comparing *c = data;
    if (excepted(c, name))
        return 0;
    hid_t a = H5Oopen(root, name, H5P_DEFAULT), b = H5Oopen(c->b, name, H5P_DEFAULT);
    if (b < 0)
        fail_msg("%s is missing", name);
    if (info->type == H5O_TYPE_DATASET)
        same_dataset(a, b, name);
    c->object = name;
    H5Aiterate2(a, H5_INDEX_NAME, H5_ITER_INC, NULL, same_attribute, c);
    c->compared++;
    H5Oclose(a);
    H5Oclose(b);
    return 0;
}

int same_objects(const char *a, const char *b, const char *const *except)
{
    hid_t file_a = H5Fopen(a, H5F_ACC_RDONLY, H5P_DEFAULT), file_b = H5Fopen(b, H5F_ACC_RDONLY, H5P_DEFAULT);
    if (file_a < 0 || file_b < 0)
        fail_msg("cannot open %s", file_a < 0 ? a : b);
    struct comparing c = {.b = file_b, .except = except};
    H5Ovisit2(file_a, H5_INDEX_NAME, H5_ITER_INC, same_object, &c, H5O_INFO_BASIC);
    H5Fclose(file_a);
    H5Fclose(file_b);
    return c.compared;
}

void same_outputs(const char *a, const char *b)
{
    static const char *const own[] = {"uns/monge/run", "uns/monge/correct/options/grid", NULL};
    assert_true(same_objects(in_scratch(a), in_scratch(b), own) > 20);
}
