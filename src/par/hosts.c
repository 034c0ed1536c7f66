/* The nodes that the ranks stand on. */
#include "monge/hosts.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "monge/agree.h"

/* Two Slurm nodes may share one machine (a test cluster): the machine's name would hide that. */
static void own_name(char name[HOST_NAME])
{
    const char *slurm = getenv("SLURMD_NODENAME");
    memset(name, 0, HOST_NAME);
    if (slurm && *slurm)
        snprintf(name, HOST_NAME, "%s", slurm);
    else if (gethostname(name, HOST_NAME - 1) != 0)
        snprintf(name, HOST_NAME, "unknown");
}

static void count_in(struct host *hosts, int *n, const char *name)
{
    int i = *n - 1; /* neighbouring ranks mostly share a node */
    while (i >= 0 && strcmp(hosts[i].name, name) != 0)
        i--;
    if (i < 0) {
        i = (*n)++;
        hosts[i].ranks = 0;
        memcpy(hosts[i].name, name, HOST_NAME);
    }
    hosts[i].ranks++;
}

status hosts_gather(MPI_Comm comm, struct host **hosts, int *n)
{
    int rank, size;
    char mine[HOST_NAME];
    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &size);
    own_name(mine);
    *n = 0;
    *hosts = NULL;
    char *all = rank == 0 ? malloc((size_t)size * HOST_NAME) : NULL;
    struct host *found = rank == 0 ? calloc((size_t)size, sizeof *found) : NULL;
    bool enough = rank != 0 || (all && found);
    status done = agree(comm, enough ? MONGE_OK : error_memory("names of hosts", (double)size * sizeof *found));
    if (done == MONGE_OK) {
        MPI_Gather(mine, HOST_NAME, MPI_CHAR, all, HOST_NAME, MPI_CHAR, 0, comm);
        for (int i = 0; rank == 0 && i < size; i++)
            count_in(found, n, all + (size_t)i * HOST_NAME);
        *hosts = found;
    } else {
        free(found);
    }
    free(all);
    return done;
}
