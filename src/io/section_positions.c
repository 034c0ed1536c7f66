/* Positions by name: a result travels from its sites to all ranks; an array of the file is read by rank 0 for all. */
#include "monge/section_positions.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "h5_util.h"
#include "monge/agree.h"

static status no_such_array(const struct section *section, const char *name)
{
    return error_set(MONGE_USAGE, "%s: there is no array obsm/%s of a row of two coordinates for each of the %lld spots",
                     section->source ? section->source : "the section", name, (long long)section->n_spots);
}

/* Every row has one site, so adding brings the values of all ranks together. */
static void of_result(const struct section *section, const struct result *r, double *position)
{
    int64_t n = section->n_spots;
    for (int64_t i = 0; i < 2 * n; i++)
        position[i] = 0.0;
    for (int64_t i = 0; i < section->sites.n_own; i++) {
        int64_t spot = section->slide.spot[section->sites.first + i];
        for (int k = 0; k < 2 && spot >= 0; k++)
            position[2 * spot + k] = r->number[i * r->dims[1] + k];
    }
    for (int64_t at = 0; at < 2 * n; at += 1 << 28) {
        int64_t rest = 2 * n - at;
        MPI_Allreduce(MPI_IN_PLACE, position + at, (int)(rest < 1 << 28 ? rest : 1 << 28), MPI_DOUBLE, MPI_SUM, section->comm);
    }
}

/* On rank 0. */
static status of_open_file(const struct section *section, hid_t file, const char *name, double *position)
{
    char path[512];
    hid_t dataset;
    int n_dims;
    hsize_t dims[3];
    double *values = NULL;
    snprintf(path, sizeof path, "obsm/%.500s", name);
    if (h5_kind(file, path) != H5_IS_DATASET)
        return no_such_array(section, name);
    status s = h5_open_dataset(file, section->source, path, &dataset, &n_dims, dims);
    if (s != MONGE_OK)
        return s;
    H5Dclose(dataset);
    if (n_dims != 2 || (int64_t)dims[0] != section->n_spots || dims[1] < 2)
        return no_such_array(section, name);
    s = h5_read_all(file, section->source, path, (int64_t)(dims[0] * dims[1]), &values);
    for (int64_t i = 0; s == MONGE_OK && i < section->n_spots; i++)
        for (int k = 0; k < 2; k++)
            position[2 * i + k] = values[i * (int64_t)dims[1] + k];
    free(values);
    return s;
}

static status of_file(const struct section *section, const char *name, double *position)
{
    hid_t file = -1;
    h5_quiet();
    if (!section->source || h5_open_read(section->source, &file) != MONGE_OK)
        return no_such_array(section, name); /* a folder, a table of text, several files */
    status s = of_open_file(section, file, name, position);
    H5Fclose(file);
    return s;
}

status section_positions(const struct section *section, const char *name, double **position)
{
    char path[512];
    int rank;
    MPI_Comm_rank(section->comm, &rank);
    snprintf(path, sizeof path, "obsm/%.500s", name);
    const struct result *r = section_result(section, path);
    double *all = *position = malloc((size_t)(2 * section->n_spots + 1) * sizeof *all);
    status s = agree(section->comm, all ? MONGE_OK : error_memory("positions", 16.0 * (double)section->n_spots));
    if (s == MONGE_OK && r)
        s = r->number && r->n_dims == 2 && r->dims[1] >= 2 ? MONGE_OK : no_such_array(section, name);
    else if (s == MONGE_OK)
        s = agree(section->comm, rank == 0 ? of_file(section, name, all) : MONGE_OK);
    if (s == MONGE_OK && r)
        of_result(section, r, all);
    for (int64_t at = 0; s == MONGE_OK && !r && at < 2 * section->n_spots; at += 1 << 28) {
        int64_t rest = 2 * section->n_spots - at;
        MPI_Bcast(all + at, (int)(rest < 1 << 28 ? rest : 1 << 28), MPI_DOUBLE, 0, section->comm);
    }
    if (s != MONGE_OK) {
        free(all);
        *position = NULL;
    }
    return s;
}
