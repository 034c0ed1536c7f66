/* Writing a checkpoint: rank 0 makes the file with all its datasets and what is replicated; all ranks write their rows; rank 0 renames. The
 * checksums are known before, from memory, so that they stand in the file when it appears. Space is reserved first (output_file.h). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "checkpoint_parts.h"
#include "h5_util.h"
#include "monge/agree.h"
#include "monge/tempfile.h"
#include "monge/text.h"
#include "output_file.h"
#include "parallel_write.h"

/* Where each rank's records stand, and the hashes. */
static status measure(struct checkpoint *c)
{
    size_t n = (size_t)c->n_items;
    int64_t *count = malloc(3 * (n + 1) * sizeof *count), *before = count + n + 1, *hash = before + n + 1;
    status s = agree(c->comm, count ? MONGE_OK : error_memory("the checkpoint", 24.0 * (double)n));
    if (s != MONGE_OK) {
        free(count);
        return s;
    }
    for (size_t i = 0; i < n; i++) {
        count[i] = c->items[i].own;
        before[i] = 0;
    }
    MPI_Exscan(count, before, (int)n, MPI_INT64_T, MPI_SUM, c->comm);
    MPI_Allreduce(MPI_IN_PLACE, count, (int)n, MPI_INT64_T, MPI_SUM, c->comm);
    for (size_t i = 0; i < n; i++) {
        struct checkpoint_item *item = &c->items[i];
        item->first = c->rank == 0 ? 0 : before[i];
        if (!item->replicated)
            item->total = count[i];
        hash[i] = (int64_t)checkpoint_hash(item->type, item->first * item->width, item->own * item->width, item->values);
    }
    MPI_Allreduce(MPI_IN_PLACE, hash, (int)n, MPI_UINT64_T, MPI_SUM, c->comm);
    for (size_t i = 0; i < n; i++)
        c->items[i].hash = (uint64_t)hash[i];
    free(count);
    return MONGE_OK;
}

static char *list_items(const struct checkpoint *c)
{
    struct text list = {0};
    for (int i = 0; i < c->n_items; i++) {
        const struct checkpoint_item *item = &c->items[i];
        text_add(&list, "%s\t%d\t%lld\t%lld\t%llx\n", item->name, (int)item->type, (long long)item->width, (long long)item->total,
                 (unsigned long long)item->hash);
    }
    return text_take(&list);
}

/* One flat dataset, with its place on disk; written here if values are given. */
static bool make_dataset(hid_t file, const char *name, hid_t type, int64_t n, const void *values)
{
    hsize_t length = (hsize_t)n;
    hid_t space = H5Screate_simple(1, &length, NULL), properties = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_alloc_time(properties, H5D_ALLOC_TIME_EARLY);
    H5Pset_fill_time(properties, H5D_FILL_TIME_NEVER);
    hid_t dataset = H5Dcreate2(file, name, type, space, H5P_DEFAULT, properties, H5P_DEFAULT);
    bool made = dataset >= 0 && (!values || n == 0 || H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
    if (dataset >= 0 && H5Dclose(dataset) < 0)
        made = false;
    H5Pclose(properties);
    H5Sclose(space);
    return made;
}

static double bytes_to_come(const struct checkpoint *c)
{
    double bytes = 65536.0 + (double)strlen(c->key);
    for (int i = 0; i < c->n_items; i++)
        bytes += 2048.0 + (double)(c->items[i].total * c->items[i].width) * (double)checkpoint_type_size(c->items[i].type);
    return bytes;
}

static status fill_alone(const struct checkpoint *c, hid_t file, const char *list)
{
    int64_t seal[CHECKPOINT_SEAL];
    checkpoint_seal(c->sequence + 1, c->key, list, seal);
    bool made = make_dataset(file, "seal", H5T_NATIVE_INT64, CHECKPOINT_SEAL, seal) &&
                make_dataset(file, "key", H5T_NATIVE_UINT8, (int64_t)strlen(c->key), c->key) &&
                make_dataset(file, "list", H5T_NATIVE_UINT8, (int64_t)strlen(list), list);
    hid_t group = made ? H5Gcreate2(file, "items", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT) : -1;
    for (int i = 0; i < c->n_items && group >= 0 && made; i++) {
        const struct checkpoint_item *item = &c->items[i];
        made = make_dataset(group, item->name, checkpoint_native_type(item->type), item->total * item->width,
                            item->replicated ? item->values : NULL);
    }
    if (group >= 0)
        H5Gclose(group);
    return made && group >= 0 ? MONGE_OK : error_set(MONGE_IO, "%s: cannot be written (%s); is the disk full?", c->temporary, h5_reason());
}

static status make_file(const struct checkpoint *c)
{
    status s = output_file_create(c->temporary);
    if (s == MONGE_OK)
        s = output_file_reserve(c->temporary, bytes_to_come(c));
    if (s != MONGE_OK)
        return s;
    char *list = list_items(c);
    hid_t file = list ? H5Fcreate(c->temporary, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT) : -1;
    if (file >= 0)
        s = fill_alone(c, file, list);
    else if (list)
        s = error_set(MONGE_CANT_CREATE, "%s: cannot be created (%s)", c->temporary, h5_reason());
    else
        s = error_code();
    free(list);
    if (file >= 0 && s != MONGE_OK)
        h5_abandon(file);
    else if (file >= 0)
        s = h5_close_written(file, c->temporary);
    return s == MONGE_OK ? output_file_reserve(c->temporary, bytes_to_come(c)) : s; /* HDF5 has cut the file to its own end */
}

static status fill_together(const struct checkpoint *c)
{
    hid_t properties = H5Pcreate(H5P_FILE_ACCESS);
    if (c->size > 1) {
        H5Pset_fapl_mpio(properties, c->comm, MPI_INFO_NULL);
        H5Pset_coll_metadata_write(properties, true);
    }
    hid_t file = H5Fopen(c->temporary, H5F_ACC_RDWR, properties);
    H5Pclose(properties);
    status s = file < 0 ? error_set(MONGE_IO, "%s: cannot be written (%s); is the disk full?", c->temporary, h5_reason()) : MONGE_OK;
    s = agree(c->comm, s);
    for (int i = 0; i < c->n_items && s == MONGE_OK; i++) {
        const struct checkpoint_item *item = &c->items[i];
        if (item->replicated)
            continue;
        char name[CHECKPOINT_NAME + 8];
        snprintf(name, sizeof name, "items/%s", item->name);
        s = parallel_write_range(c->comm, file, c->temporary, name, checkpoint_native_type(item->type), item->first * item->width,
                                 item->own * item->width, 1, item->values, MONGE_OK);
    }
    if (s != MONGE_OK && file >= 0)
        h5_abandon(file);
    else if (s == MONGE_OK)
        s = h5_close_written(file, c->temporary);
    return agree(c->comm, s);
}

status checkpoint_save(struct checkpoint *c)
{
    int target = c->newest == 0;
    checkpoint_stop_reading(c);
    status s = measure(c);
    if (s == MONGE_OK)
        s = agree(c->comm, tempfile_register(c->temporary));
    if (s == MONGE_OK)
        s = agree(c->comm, c->rank == 0 ? make_file(c) : MONGE_OK);
    if (s == MONGE_OK)
        s = fill_together(c);
    if (s == MONGE_OK)
        s = agree(c->comm, c->rank == 0 ? output_file_publish(c->temporary, c->path[target]) : MONGE_OK);
    if (s != MONGE_OK && c->rank == 0)
        unlink(c->temporary);
    tempfile_forget(c->temporary);
    if (s == MONGE_OK) {
        c->newest = target;
        c->sequence++;
    }
    return s;
}
