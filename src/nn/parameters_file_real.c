/* Parameter files: safetensors, read and written by rank 0. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "monge/agree.h"
#include "monge/parameters.h"
#include "monge/safetensors.h"

static status put_all(struct safetensors *file, const struct parameters *set, const char *model, uint64_t seed)
{
    const enum safetensor_type type = sizeof(real) == sizeof(float) ? SAFETENSOR_F32 : SAFETENSOR_F64;
    char number[32];
    snprintf(number, sizeof number, "%llu", (unsigned long long)seed);
    status s = safetensors_put_text(file, "format", "monge");
    if (s == MONGE_OK)
        s = safetensors_put_text(file, "model", model);
    if (s == MONGE_OK)
        s = safetensors_put_text(file, "seed", number);
    for (int k = 0; s == MONGE_OK && k < set->n; k++) {
        const struct matrix *w = &set->at[k]->matrix;
        if (!set->at[k]->shares)
            s = safetensors_put(file, set->at[k]->name, type, 2, (int64_t[]){w->rows, w->columns}, w->value);
    }
    return s;
}

status parameters_write(const struct parameters *set, MPI_Comm comm, const char *path, const char *model, uint64_t seed)
{
    int rank;
    status s = MONGE_OK;
    MPI_Comm_rank(comm, &rank);
    if (rank == 0) {
        struct safetensors file = {0};
        s = put_all(&file, set, model, seed);
        if (s == MONGE_OK)
            s = safetensors_write(&file, path);
        safetensors_free(&file);
    }
    return agree(comm, s);
}

static status take(struct parameter *parameter, const struct safetensors *file, const char *path)
{
    struct matrix *w = &parameter->matrix;
    const struct safetensor *tensor = safetensors_find(file, parameter->name);
    if (!tensor)
        return error_set(MONGE_BAD_DATA, "%s: no parameter %s", path, parameter->name);
    if (tensor->n_dimensions != 2 || tensor->shape[0] != w->rows || tensor->shape[1] != w->columns)
        return error_set(MONGE_BAD_DATA, "%s: parameter %s is not %lld x %d; was it trained with other genes or sizes?", path,
                         parameter->name, (long long)w->rows, w->columns);
    for (int64_t k = 0; k < tensor->n; k++)
        w->value[k] = (real)safetensor_value(tensor, k);
    return MONGE_OK;
}

static status read_all(struct parameters *set, const char *path, const char *model)
{
    struct safetensors file;
    status s = safetensors_read(&file, path);
    if (s != MONGE_OK)
        return s;
    const char *found = safetensors_text(&file, "model");
    if (found && strcmp(found, model))
        s = error_set(MONGE_BAD_DATA, "%s: parameters of model %s; %s is wanted", path, found, model);
    for (int k = 0; s == MONGE_OK && k < set->n; k++)
        if (!set->at[k]->shares)
            s = take(set->at[k], &file, path);
    safetensors_free(&file);
    return s;
}

status parameters_read(struct parameters *set, MPI_Comm comm, const char *path, const char *model)
{
    enum { AT_ONCE = 1 << 26 };
    int rank;
    MPI_Comm_rank(comm, &rank);
    status s = agree(comm, rank == 0 ? read_all(set, path, model) : MONGE_OK);
    for (int k = 0; s == MONGE_OK && k < set->n; k++) {
        struct matrix *w = &set->at[k]->matrix;
        int64_t n = set->at[k]->shares ? 0 : w->rows * w->columns;
        for (int64_t first = 0; first < n; first += AT_ONCE)
            MPI_Bcast(w->value + first, (int)((n - first < AT_ONCE ? n - first : AT_ONCE) * (int64_t)sizeof *w->value), MPI_BYTE, 0, comm);
    }
    return s;
}
