/* The input file's objects into a new file: whole subtrees by H5Ocopy (chunks as they are, without decompression), entering only
 * the groups that will receive results. H5Ocopy clears object references (anndata 0.7 links categorical columns to their
 * categories by such), so these are made again by name at the end. */
#include "h5ad_copy.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "h5_util.h"

struct copying {
    const char *from_path, *to_path;
    int n_left_out;
    const char *const *left_out;
    const char *group; /* path of the group being copied, "" or "uns/" */
    hid_t from, to;    /* that group in both files */
    status s;
};

static status failed(const struct copying *c, const char *name)
{
    return error_set(MONGE_IO, "%s: cannot copy %s%s to %s (%s); is the disk full?", c->from_path, c->group, name, c->to_path, h5_reason());
}

enum fate { COPIED, LEFT_OUT, ENTERED };

static enum fate fate_of(const struct copying *c, const char *path)
{
    size_t length = strlen(path);
    enum fate fate = COPIED;
    for (int i = 0; i < c->n_left_out; i++) {
        if (!strcmp(c->left_out[i], path))
            return LEFT_OUT;
        if (!strncmp(c->left_out[i], path, length) && c->left_out[i][length] == '/')
            fate = ENTERED;
    }
    return fate;
}

static herr_t copy_attribute(hid_t from, const char *name, const H5A_info_t *info, void *data)
{
    (void)info;
    hid_t to = *(hid_t *)data, attribute = H5Aopen(from, name, H5P_DEFAULT);
    hid_t type = H5Aget_type(attribute), space = H5Aget_space(attribute);
    hssize_t n = H5Sget_simple_extent_npoints(space);
    void *values = calloc((size_t)(n > 0 ? n : 1), H5Tget_size(type));
    hid_t copy = H5Acreate2(to, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    herr_t result = values && copy >= 0 ? 0 : -1;
    if (result == 0 && n > 0) {
        if (H5Aread(attribute, type, values) < 0 || H5Awrite(copy, type, values) < 0)
            result = -1;
        H5Dvlen_reclaim(type, space, H5P_DEFAULT, values);
    }
    free(values);
    if (copy >= 0 && H5Aclose(copy) < 0)
        result = -1;
    H5Sclose(space);
    H5Tclose(type);
    H5Aclose(attribute);
    return result;
}

static status copy_members(struct copying *c, hid_t from, hid_t to, const char *group);

static status enter_group(struct copying *c, const char *name, const char *path)
{
    hid_t from = H5Gopen2(c->from, name, H5P_DEFAULT), properties = H5Gget_create_plist(from);
    hid_t to = H5Gcreate2(c->to, name, H5P_DEFAULT, properties, H5P_DEFAULT);
    status s =
        from < 0 || to < 0 || H5Aiterate2(from, H5_INDEX_NAME, H5_ITER_INC, NULL, copy_attribute, &to) < 0 ? failed(c, name) : MONGE_OK;
    if (s == MONGE_OK) {
        char inside[2048];
        snprintf(inside, sizeof inside, "%.2000s/", path);
        s = copy_members(c, from, to, inside);
    }
    H5Pclose(properties);
    if (to >= 0)
        H5Gclose(to);
    if (from >= 0)
        H5Gclose(from);
    return s;
}

static status copy_link(struct copying *c, const char *name, const H5L_info_t *info)
{
    if (info->type == H5L_TYPE_HARD) {
        herr_t result = H5Ocopy(c->from, name, c->to, name, H5P_DEFAULT, H5P_DEFAULT);
        return result < 0 ? failed(c, name) : MONGE_OK;
    }
    char *target = malloc(info->u.val_size + 1);
    const char *file = NULL, *object = NULL;
    unsigned flags;
    herr_t result = target ? H5Lget_val(c->from, name, target, info->u.val_size, H5P_DEFAULT) : -1;
    if (result >= 0 && info->type == H5L_TYPE_SOFT)
        result = H5Lcreate_soft(target, c->to, name, H5P_DEFAULT, H5P_DEFAULT);
    else if (result >= 0 && (result = H5Lunpack_elink_val(target, info->u.val_size, &flags, &file, &object)) >= 0)
        result = H5Lcreate_external(file, object, c->to, name, H5P_DEFAULT, H5P_DEFAULT);
    free(target);
    return result < 0 ? failed(c, name) : MONGE_OK;
}

static herr_t copy_member(hid_t from, const char *name, const H5L_info_t *info, void *data)
{
    (void)from;
    struct copying *c = data;
    char path[2048];
    snprintf(path, sizeof path, "%s%s", c->group, name);
    enum fate fate = fate_of(c, path);
    bool group = h5_kind(c->from, name) == H5_IS_GROUP;
    if (fate == COPIED)
        c->s = copy_link(c, name, info);
    else if (fate == ENTERED && group && info->type == H5L_TYPE_HARD)
        c->s = enter_group(c, name, path);
    return c->s == MONGE_OK ? 0 : -1;
}

static status copy_members(struct copying *c, hid_t from, hid_t to, const char *group)
{
    struct copying inside = *c;
    inside.group = group;
    inside.from = from;
    inside.to = to;
    inside.s = MONGE_OK;
    if (H5Literate(from, H5_INDEX_NAME, H5_ITER_INC, NULL, copy_member, &inside) < 0 && inside.s == MONGE_OK)
        return failed(&inside, "");
    return inside.s;
}

/* --- object references ------------------------------------------------------------------------------------------------- */

/* References of the input -> references to the objects of the same names in the output; null where there is none. */
static bool translate(hid_t from, hid_t to, hssize_t n, const hobj_ref_t *source, hobj_ref_t *target)
{
    bool any = false;
    hid_t root = H5Iget_file_id(to); /* `to` may be a dataset, and paths begin at a group */
    for (hssize_t i = 0; i < n; i++) {
        char name[2048];
        target[i] = 0;
        if (source[i] == 0 || H5Rget_name(from, H5R_OBJECT, &source[i], name, sizeof name) <= 0 || name[0] != '/')
            continue;
        any = (h5_kind(root, name + 1) != H5_ABSENT && H5Rcreate(&target[i], root, name + 1, H5R_OBJECT, -1) >= 0) || any;
    }
    H5Fclose(root);
    return any;
}

static bool holds_references(hid_t type, hid_t space, hssize_t *n)
{
    *n = H5Sget_simple_extent_npoints(space);
    return H5Tequal(type, H5T_STD_REF_OBJ) > 0 && *n > 0;
}

static herr_t mend_attribute(hid_t from, const char *name, const H5A_info_t *info, void *data)
{
    (void)info;
    hid_t to = *(hid_t *)data, source = H5Aopen(from, name, H5P_DEFAULT), type = H5Aget_type(source), space = H5Aget_space(source);
    hssize_t n;
    if (holds_references(type, space, &n) && H5Aexists(to, name) > 0) {
        hobj_ref_t *references = calloc((size_t)n * 2, sizeof *references);
        hid_t target = H5Aopen(to, name, H5P_DEFAULT);
        if (references && H5Aread(source, type, references) >= 0 && translate(from, to, n, references, references + n))
            H5Awrite(target, type, references + n);
        H5Aclose(target);
        free(references);
    }
    H5Sclose(space);
    H5Tclose(type);
    H5Aclose(source);
    return 0;
}

static void mend_dataset(hid_t from, hid_t to)
{
    hid_t type = H5Dget_type(from), space = H5Dget_space(from);
    hssize_t n;
    if (holds_references(type, space, &n)) {
        hobj_ref_t *references = calloc((size_t)n * 2, sizeof *references);
        if (references && H5Dread(from, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, references) >= 0 &&
            translate(from, to, n, references, references + n))
            H5Dwrite(to, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, references + n);
        free(references);
    }
    H5Sclose(space);
    H5Tclose(type);
}

static herr_t mend_object(hid_t root, const char *name, const H5O_info_t *info, void *data)
{
    hid_t to_root = *(hid_t *)data;
    bool dataset = info->type == H5O_TYPE_DATASET;
    if ((info->num_attrs == 0 && !dataset) || (strcmp(name, ".") && h5_kind(to_root, name) == H5_ABSENT))
        return 0;
    hid_t from = H5Oopen(root, name, H5P_DEFAULT), to = H5Oopen(to_root, name, H5P_DEFAULT);
    if (from >= 0 && to >= 0) {
        if (dataset && H5Iget_type(to) == H5I_DATASET)
            mend_dataset(from, to);
        H5Aiterate2(from, H5_INDEX_NAME, H5_ITER_INC, NULL, mend_attribute, &to);
    }
    if (from >= 0)
        H5Oclose(from);
    if (to >= 0)
        H5Oclose(to);
    return 0;
}

status h5ad_copy(hid_t from, const char *from_path, hid_t to, const char *to_path, int n_left_out, const char *const *left_out)
{
    struct copying c = {
        .from_path = from_path, .to_path = to_path, .n_left_out = n_left_out, .left_out = left_out, .group = "", .s = MONGE_OK};
    hid_t root = H5Gopen2(from, "/", H5P_DEFAULT), to_root = H5Gopen2(to, "/", H5P_DEFAULT);
    c.from = root;
    c.to = to_root;
    status s =
        H5Aiterate2(root, H5_INDEX_NAME, H5_ITER_INC, NULL, copy_attribute, &to_root) < 0 ? failed(&c, "the root's attributes") : MONGE_OK;
    if (s == MONGE_OK)
        s = copy_members(&c, root, to_root, "");
    if (s == MONGE_OK)
        H5Ovisit2(from, H5_INDEX_NAME, H5_ITER_INC, mend_object, &to, H5O_INFO_BASIC | H5O_INFO_NUM_ATTRS);
    H5Gclose(root);
    H5Gclose(to_root);
    return s;
}
