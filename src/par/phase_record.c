/* One value per quantity and phase from each rank, reduced to least, mean and most. */
#include "monge/phase_record.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/agree.h"
#include "monge/log.h"
#include "monge/traffic.h"

enum { NAME = 64 };

const char *const phase_quantity_name[PHASE_QUANTITIES] = {
    [PHASE_SECONDS] = "seconds",
    [PHASE_COMPUTE] = "compute_seconds",
    [PHASE_COMMUNICATION] = "communication_seconds",
    [PHASE_NEIGHBOUR] = "neighbour_seconds",
    [PHASE_IO] = "io_seconds",
    [PHASE_CALLS] = "mpi_calls",
    [PHASE_SENT] = "sent_bytes",
    [PHASE_RECEIVED] = "received_bytes",
    [PHASE_IO_BYTES] = "io_bytes",
    [PHASE_MEMORY] = "peak_memory_bytes",
};

double phase_imbalance(const struct phase_spread *compute)
{
    return compute->max > 0.0 ? (compute->max - compute->mean) / compute->max : 0.0;
}

static int find_phase(const char *name)
{
    int i = 0;
    while (i < phase_count() && strncmp(phase_name(i), name, NAME - 1) != 0)
        i++;
    return i < phase_count() ? i : -1;
}

/* This rank's values in the phase of that index; -1: it never was in it. */
static void own_values(int phase, double value[PHASE_QUANTITIES])
{
    memset(value, 0, PHASE_QUANTITIES * sizeof *value);
    if (phase < 0)
        return;
    struct traffic t = traffic_of(phase);
    value[PHASE_SECONDS] = phase_seconds(phase);
    value[PHASE_COMPUTE] = fmax(phase_seconds(phase) - t.seconds - t.io_seconds, 0.0);
    value[PHASE_COMMUNICATION] = t.seconds;
    value[PHASE_NEIGHBOUR] = t.neighbour_seconds;
    value[PHASE_IO] = t.io_seconds;
    value[PHASE_CALLS] = (double)t.calls;
    value[PHASE_SENT] = t.sent;
    value[PHASE_RECEIVED] = t.received;
    value[PHASE_IO_BYTES] = t.io_bytes;
    value[PHASE_MEMORY] = phase_memory(phase);
}

static status allocate(struct phase_record *record)
{
    size_t n = (size_t)record->n + 1, cells = n * (size_t)record->n_ranks;
    record->name = calloc(n, sizeof *record->name);
    record->seconds = calloc(cells, sizeof *record->seconds);
    record->spread = calloc(n, sizeof *record->spread);
    bool enough = record->name && record->seconds && record->spread;
    for (int k = 0; enough && k < record->n; k++)
        enough = (record->name[k] = calloc(NAME, 1));
    return enough ? MONGE_OK : error_memory("times of phases", 8.0 * (double)cells);
}

/* value [n][PHASE_QUANTITIES] of this rank, taken before the work of bringing them together adds to them */
static void reduce(struct phase_record *record, double (*value)[PHASE_QUANTITIES], MPI_Comm comm)
{
    double least[PHASES_MAX][PHASE_QUANTITIES], sum[PHASES_MAX][PHASE_QUANTITIES], most[PHASES_MAX][PHASE_QUANTITIES], own[PHASES_MAX];
    int n = record->n, n_values = n * PHASE_QUANTITIES;
    MPI_Allreduce(value, least, n_values, MPI_DOUBLE, MPI_MIN, comm);
    MPI_Allreduce(value, sum, n_values, MPI_DOUBLE, MPI_SUM, comm);
    MPI_Allreduce(value, most, n_values, MPI_DOUBLE, MPI_MAX, comm);
    for (int k = 0; k < n; k++) {
        own[k] = value[k][PHASE_SECONDS];
        for (int q = 0; q < PHASE_QUANTITIES; q++)
            record->spread[k][q] = (struct phase_spread){least[k][q], sum[k][q] / record->n_ranks, most[k][q]};
    }
    MPI_Allgather(own, n, MPI_DOUBLE, record->seconds, n, MPI_DOUBLE, comm);
}

status phase_record_gather(struct phase_record *record, MPI_Comm comm)
{
    char name[PHASES_MAX][NAME] = {{0}};
    double value[PHASES_MAX][PHASE_QUANTITIES];
    *record = (struct phase_record){.n = phase_count()};
    for (int k = 0; k < record->n; k++)
        strncpy(name[k], phase_name(k), NAME - 1);
    MPI_Comm_size(comm, &record->n_ranks);
    MPI_Bcast(&record->n, 1, MPI_INT, 0, comm);
    MPI_Bcast(name, sizeof name, MPI_CHAR, 0, comm);
    for (int k = 0; k < record->n; k++)
        own_values(find_phase(name[k]), value[k]);
    status done = agree(comm, allocate(record));
    if (done != MONGE_OK) {
        phase_record_free(record);
        return done;
    }
    for (int k = 0; k < record->n; k++)
        strcpy(record->name[k], name[k]);
    reduce(record, value, comm);
    return MONGE_OK;
}

void phase_record_free(struct phase_record *record)
{
    for (int k = 0; record->name && k < record->n; k++)
        free(record->name[k]);
    free(record->name);
    free(record->seconds);
    free(record->spread);
    *record = (struct phase_record){0};
}
