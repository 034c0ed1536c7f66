/* What rank 0 has found, to all ranks. */
#include "share.h"

#include <stdlib.h>
#include <string.h>

#include "monge/agree.h"

/* MPI counts are int: in portions of 1 GiB. */
void share_bytes(void *bytes, size_t n, MPI_Comm comm)
{
    for (size_t at = 0; at < n; at += (size_t)1 << 30)
        MPI_Bcast((char *)bytes + at, (int)(n - at < (size_t)1 << 30 ? n - at : (size_t)1 << 30), MPI_BYTE, 0, comm);
}

/* An array that rank 0 has (or not) of n bytes. */
status share_array(void **array, size_t n, MPI_Comm comm)
{
    int present = *array != NULL, rank;
    MPI_Comm_rank(comm, &rank);
    MPI_Bcast(&present, 1, MPI_INT, 0, comm);
    if (rank != 0)
        *array = present ? malloc(n + 1) : NULL;
    status s = agree(comm, present && !*array ? error_memory("shared input", (double)n) : MONGE_OK);
    if (s == MONGE_OK && present)
        share_bytes(*array, n, comm);
    return s;
}

static status texts_from_chars(const char *chars, int64_t n, char ***texts)
{
    *texts = calloc((size_t)n + 1, sizeof **texts);
    if (!*texts)
        return error_memory("names", 8.0 * (double)n);
    for (int64_t i = 0; i < n; i++) {
        (*texts)[i] = strdup(chars);
        if (!(*texts)[i])
            return error_memory("names", 8.0 * (double)n);
        chars += strlen(chars) + 1;
    }
    return MONGE_OK;
}

status share_texts(char ***texts, int64_t n, MPI_Comm comm)
{
    int rank;
    MPI_Comm_rank(comm, &rank);
    char *chars = NULL;
    int64_t length = 0;
    status s = MONGE_OK;
    if (rank == 0 && *texts) {
        for (int64_t i = 0; i < n; i++)
            length += (int64_t)strlen((*texts)[i]) + 1;
        chars = malloc((size_t)length + 1);
        if (!chars)
            s = error_memory("names", (double)length);
        char *at = chars;
        for (int64_t i = 0; i < n && chars; i++)
            at = stpcpy(at, (*texts)[i]) + 1;
    }
    s = agree(comm, s);
    MPI_Bcast(&length, 1, MPI_INT64_T, 0, comm);
    if (s == MONGE_OK)
        s = share_array((void **)&chars, (size_t)length, comm);
    if (s == MONGE_OK && rank != 0 && chars)
        s = texts_from_chars(chars, n, texts);
    free(chars);
    return agree(comm, s);
}
