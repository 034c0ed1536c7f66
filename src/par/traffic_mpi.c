/* The MPI functions that communicate, each counted and passed on to its PMPI_ twin (traffic.h).
 *
 * The linker finds these definitions before those of the MPI library; calls from shared libraries (HDF5, ScaLAPACK) come here too,
 * since the program's symbols stand first. Only functions that one of them calls are listed: an unlisted one works, uncounted. */
#include <mpi.h>
#include <stdbool.h>

#include "traffic_count.h"

static double bytes_of(int count, MPI_Datatype type)
{
    int size = 0;
    PMPI_Type_size(type, &size);
    return (double)count * (double)size;
}

static double sum_bytes(const int *counts, int n, int except, MPI_Datatype type)
{
    double elements = 0.0;
    for (int i = 0; i < n; i++)
        elements += i == except ? 0.0 : (double)counts[i];
    return elements * bytes_of(1, type);
}

static int size_of(MPI_Comm comm)
{
    int size = 1;
    PMPI_Comm_size(comm, &size);
    return size;
}

static int rank_in(MPI_Comm comm)
{
    int rank = 0;
    PMPI_Comm_rank(comm, &rank);
    return rank;
}

/* bytes if there is anybody else to give them to */
static double if_shared(double bytes, MPI_Comm comm)
{
    return size_of(comm) > 1 ? bytes : 0.0;
}

/* ---- one to all, all to one ---- */

int MPI_Barrier(MPI_Comm comm)
{
    double entered = traffic_enter();
    int code = PMPI_Barrier(comm);
    traffic_leave(entered, TRAFFIC_COLLECTIVE, 0.0, 0.0);
    return code;
}

int MPI_Bcast(void *buffer, int count, MPI_Datatype type, int root, MPI_Comm comm)
{
    double entered = traffic_enter(), bytes = if_shared(bytes_of(count, type), comm);
    int code = PMPI_Bcast(buffer, count, type, root, comm);
    bool mine = rank_in(comm) == root;
    traffic_leave(entered, TRAFFIC_COLLECTIVE, mine ? bytes : 0.0, mine ? 0.0 : bytes);
    return code;
}

int MPI_Reduce(const void *send, void *receive, int count, MPI_Datatype type, MPI_Op op, int root, MPI_Comm comm)
{
    double entered = traffic_enter(), bytes = if_shared(bytes_of(count, type), comm);
    int code = PMPI_Reduce(send, receive, count, type, op, root, comm);
    bool mine = rank_in(comm) == root;
    traffic_leave(entered, TRAFFIC_COLLECTIVE, mine ? 0.0 : bytes, mine ? bytes : 0.0);
    return code;
}

int MPI_Gather(const void *send, int send_count, MPI_Datatype send_type, void *receive, int receive_count, MPI_Datatype receive_type,
               int root, MPI_Comm comm)
{
    double entered = traffic_enter();
    int code = PMPI_Gather(send, send_count, send_type, receive, receive_count, receive_type, root, comm);
    bool mine = rank_in(comm) == root;
    traffic_leave(entered, TRAFFIC_COLLECTIVE, mine ? 0.0 : bytes_of(send_count, send_type),
                  mine ? (size_of(comm) - 1) * bytes_of(receive_count, receive_type) : 0.0);
    return code;
}

int MPI_Gatherv(const void *send, int send_count, MPI_Datatype send_type, void *receive, const int receive_counts[], const int offsets[],
                MPI_Datatype receive_type, int root, MPI_Comm comm)
{
    double entered = traffic_enter();
    int code = PMPI_Gatherv(send, send_count, send_type, receive, receive_counts, offsets, receive_type, root, comm);
    bool mine = rank_in(comm) == root;
    traffic_leave(entered, TRAFFIC_COLLECTIVE, mine ? 0.0 : bytes_of(send_count, send_type),
                  mine ? sum_bytes(receive_counts, size_of(comm), root, receive_type) : 0.0);
    return code;
}

int MPI_Scatterv(const void *send, const int send_counts[], const int offsets[], MPI_Datatype send_type, void *receive, int receive_count,
                 MPI_Datatype receive_type, int root, MPI_Comm comm)
{
    double entered = traffic_enter();
    int code = PMPI_Scatterv(send, send_counts, offsets, send_type, receive, receive_count, receive_type, root, comm);
    bool mine = rank_in(comm) == root;
    traffic_leave(entered, TRAFFIC_COLLECTIVE, mine ? sum_bytes(send_counts, size_of(comm), root, send_type) : 0.0,
                  mine ? 0.0 : bytes_of(receive_count, receive_type));
    return code;
}

/* ---- all to all ---- */

int MPI_Allreduce(const void *send, void *receive, int count, MPI_Datatype type, MPI_Op op, MPI_Comm comm)
{
    double entered = traffic_enter(), bytes = if_shared(bytes_of(count, type), comm);
    int code = PMPI_Allreduce(send, receive, count, type, op, comm);
    traffic_leave(entered, TRAFFIC_COLLECTIVE, bytes, bytes);
    return code;
}

int MPI_Reduce_scatter(const void *send, void *receive, const int counts[], MPI_Datatype type, MPI_Op op, MPI_Comm comm)
{
    int size, all = 0;
    PMPI_Comm_size(comm, &size);
    for (int r = 0; r < size; r++)
        all += counts[r];
    double entered = traffic_enter();
    int code = PMPI_Reduce_scatter(send, receive, counts, type, op, comm);
    traffic_leave(entered, TRAFFIC_COLLECTIVE, if_shared(bytes_of(all, type), comm),
                  if_shared(bytes_of(counts[rank_in(comm)], type), comm));
    return code;
}

int MPI_Iallreduce(const void *send, void *receive, int count, MPI_Datatype type, MPI_Op op, MPI_Comm comm, MPI_Request *request)
{
    double entered = traffic_enter(), bytes = if_shared(bytes_of(count, type), comm);
    int code = PMPI_Iallreduce(send, receive, count, type, op, comm, request);
    traffic_leave(entered, TRAFFIC_COLLECTIVE, bytes, bytes);
    return code;
}

/* The first rank receives nothing, the last sends nothing. */
int MPI_Exscan(const void *send, void *receive, int count, MPI_Datatype type, MPI_Op op, MPI_Comm comm)
{
    double entered = traffic_enter(), bytes = bytes_of(count, type);
    int code = PMPI_Exscan(send, receive, count, type, op, comm), rank = rank_in(comm);
    traffic_leave(entered, TRAFFIC_COLLECTIVE, rank < size_of(comm) - 1 ? bytes : 0.0, rank > 0 ? bytes : 0.0);
    return code;
}

int MPI_Allgather(const void *send, int send_count, MPI_Datatype send_type, void *receive, int receive_count, MPI_Datatype receive_type,
                  MPI_Comm comm)
{
    double entered = traffic_enter(), share = bytes_of(receive_count, receive_type);
    int code = PMPI_Allgather(send, send_count, send_type, receive, receive_count, receive_type, comm);
    traffic_leave(entered, TRAFFIC_COLLECTIVE, if_shared(share, comm), (size_of(comm) - 1) * share);
    return code;
}

int MPI_Allgatherv(const void *send, int send_count, MPI_Datatype send_type, void *receive, const int receive_counts[], const int offsets[],
                   MPI_Datatype receive_type, MPI_Comm comm)
{
    double entered = traffic_enter();
    int code = PMPI_Allgatherv(send, send_count, send_type, receive, receive_counts, offsets, receive_type, comm), rank = rank_in(comm);
    traffic_leave(entered, TRAFFIC_COLLECTIVE, if_shared(bytes_of(receive_counts[rank], receive_type), comm),
                  sum_bytes(receive_counts, size_of(comm), rank, receive_type));
    return code;
}

int MPI_Alltoall(const void *send, int send_count, MPI_Datatype send_type, void *receive, int receive_count, MPI_Datatype receive_type,
                 MPI_Comm comm)
{
    double entered = traffic_enter(), bytes = (size_of(comm) - 1) * bytes_of(receive_count, receive_type); /* both ways alike */
    int code = PMPI_Alltoall(send, send_count, send_type, receive, receive_count, receive_type, comm);
    traffic_leave(entered, TRAFFIC_COLLECTIVE, bytes, bytes);
    return code;
}

int MPI_Alltoallv(const void *send, const int send_counts[], const int send_offsets[], MPI_Datatype send_type, void *receive,
                  const int receive_counts[], const int receive_offsets[], MPI_Datatype receive_type, MPI_Comm comm)
{
    double entered = traffic_enter();
    int code = PMPI_Alltoallv(send, send_counts, send_offsets, send_type, receive, receive_counts, receive_offsets, receive_type, comm);
    int size = size_of(comm), rank = rank_in(comm);
    double received = sum_bytes(receive_counts, size, rank, receive_type);
    traffic_leave(entered, TRAFFIC_COLLECTIVE, send == MPI_IN_PLACE ? received : sum_bytes(send_counts, size, rank, send_type), received);
    return code;
}

/* ---- neighbourhoods ---- */

struct neighbours {
    int in, out;
};

static struct neighbours neighbours_in(MPI_Comm comm)
{
    struct neighbours n = {0, 0};
    int weighted, kind = MPI_UNDEFINED;
    PMPI_Topo_test(comm, &kind);
    if (kind == MPI_DIST_GRAPH)
        PMPI_Dist_graph_neighbors_count(comm, &n.in, &n.out, &weighted);
    return n;
}

int MPI_Neighbor_alltoallv(const void *send, const int send_counts[], const int send_offsets[], MPI_Datatype send_type, void *receive,
                           const int receive_counts[], const int receive_offsets[], MPI_Datatype receive_type, MPI_Comm comm)
{
    double entered = traffic_enter();
    struct neighbours n = neighbours_in(comm);
    int code =
        PMPI_Neighbor_alltoallv(send, send_counts, send_offsets, send_type, receive, receive_counts, receive_offsets, receive_type, comm);
    traffic_leave(entered, TRAFFIC_NEIGHBOUR, sum_bytes(send_counts, n.out, -1, send_type),
                  sum_bytes(receive_counts, n.in, -1, receive_type));
    return code;
}

int MPI_Ineighbor_alltoallv(const void *send, const int send_counts[], const int send_offsets[], MPI_Datatype send_type, void *receive,
                            const int receive_counts[], const int receive_offsets[], MPI_Datatype receive_type, MPI_Comm comm,
                            MPI_Request *request)
{
    double entered = traffic_enter();
    struct neighbours n = neighbours_in(comm);
    int code = PMPI_Ineighbor_alltoallv(send, send_counts, send_offsets, send_type, receive, receive_counts, receive_offsets, receive_type,
                                        comm, request);
    traffic_leave(entered, TRAFFIC_NEIGHBOUR, sum_bytes(send_counts, n.out, -1, send_type),
                  sum_bytes(receive_counts, n.in, -1, receive_type));
    return code;
}

/* ---- point to point ---- */

int MPI_Send(const void *send, int count, MPI_Datatype type, int to, int tag, MPI_Comm comm)
{
    double entered = traffic_enter();
    int code = PMPI_Send(send, count, type, to, tag, comm);
    traffic_leave(entered, TRAFFIC_NEIGHBOUR, bytes_of(count, type), 0.0);
    return code;
}

int MPI_Rsend(const void *send, int count, MPI_Datatype type, int to, int tag, MPI_Comm comm)
{
    double entered = traffic_enter();
    int code = PMPI_Rsend(send, count, type, to, tag, comm);
    traffic_leave(entered, TRAFFIC_NEIGHBOUR, bytes_of(count, type), 0.0);
    return code;
}

int MPI_Isend(const void *send, int count, MPI_Datatype type, int to, int tag, MPI_Comm comm, MPI_Request *request)
{
    double entered = traffic_enter();
    int code = PMPI_Isend(send, count, type, to, tag, comm, request);
    traffic_leave(entered, TRAFFIC_NEIGHBOUR, bytes_of(count, type), 0.0);
    return code;
}

int MPI_Recv(void *receive, int count, MPI_Datatype type, int from, int tag, MPI_Comm comm, MPI_Status *outcome)
{
    double entered = traffic_enter();
    MPI_Status own;
    int code = PMPI_Recv(receive, count, type, from, tag, comm, &own), received = 0;
    PMPI_Get_count(&own, type, &received);
    if (outcome != MPI_STATUS_IGNORE)
        *outcome = own;
    traffic_leave(entered, TRAFFIC_NEIGHBOUR, 0.0, received == MPI_UNDEFINED ? 0.0 : bytes_of(received, type));
    return code;
}

int MPI_Irecv(void *receive, int count, MPI_Datatype type, int from, int tag, MPI_Comm comm, MPI_Request *request)
{
    double entered = traffic_enter();
    int code = PMPI_Irecv(receive, count, type, from, tag, comm, request);
    traffic_leave(entered, TRAFFIC_NEIGHBOUR, 0.0, bytes_of(count, type));
    return code;
}

int MPI_Imrecv(void *receive, int count, MPI_Datatype type, MPI_Message *message, MPI_Request *request)
{
    double entered = traffic_enter();
    int code = PMPI_Imrecv(receive, count, type, message, request);
    traffic_leave(entered, TRAFFIC_NEIGHBOUR, 0.0, bytes_of(count, type));
    return code;
}

int MPI_Mprobe(int from, int tag, MPI_Comm comm, MPI_Message *message, MPI_Status *outcome)
{
    double entered = traffic_enter();
    int code = PMPI_Mprobe(from, tag, comm, message, outcome);
    traffic_leave(entered, TRAFFIC_NEIGHBOUR, 0.0, 0.0);
    return code;
}

int MPI_Sendrecv(const void *send, int send_count, MPI_Datatype send_type, int to, int send_tag, void *receive, int receive_count,
                 MPI_Datatype receive_type, int from, int receive_tag, MPI_Comm comm, MPI_Status *outcome)
{
    double entered = traffic_enter();
    int code =
        PMPI_Sendrecv(send, send_count, send_type, to, send_tag, receive, receive_count, receive_type, from, receive_tag, comm, outcome);
    traffic_leave(entered, TRAFFIC_NEIGHBOUR, bytes_of(send_count, send_type), bytes_of(receive_count, receive_type));
    return code;
}

/* ---- waiting for requests ---- */

int MPI_Wait(MPI_Request *request, MPI_Status *outcome)
{
    double entered = traffic_enter();
    int code = PMPI_Wait(request, outcome);
    traffic_leave(entered, TRAFFIC_NEIGHBOUR, 0.0, 0.0);
    return code;
}

int MPI_Waitall(int n, MPI_Request requests[], MPI_Status outcomes[])
{
    double entered = traffic_enter();
    int code = PMPI_Waitall(n, requests, outcomes);
    traffic_leave(entered, TRAFFIC_NEIGHBOUR, 0.0, 0.0);
    return code;
}

int MPI_Test(MPI_Request *request, int *complete, MPI_Status *outcome)
{
    double entered = traffic_enter();
    int code = PMPI_Test(request, complete, outcome);
    traffic_leave(entered, TRAFFIC_NEIGHBOUR, 0.0, 0.0);
    return code;
}

int MPI_Testall(int n, MPI_Request requests[], int *complete, MPI_Status outcomes[])
{
    double entered = traffic_enter();
    int code = PMPI_Testall(n, requests, complete, outcomes);
    traffic_leave(entered, TRAFFIC_NEIGHBOUR, 0.0, 0.0);
    return code;
}

/* ---- making communicators: collective, and slow on many ranks ---- */

int MPI_Comm_dup(MPI_Comm comm, MPI_Comm *made)
{
    double entered = traffic_enter();
    int code = PMPI_Comm_dup(comm, made);
    traffic_leave(entered, TRAFFIC_COLLECTIVE, 0.0, 0.0);
    return code;
}

int MPI_Comm_split(MPI_Comm comm, int colour, int key, MPI_Comm *made)
{
    double entered = traffic_enter();
    int code = PMPI_Comm_split(comm, colour, key, made);
    traffic_leave(entered, TRAFFIC_COLLECTIVE, 0.0, 0.0);
    return code;
}

int MPI_Comm_create(MPI_Comm comm, MPI_Group group, MPI_Comm *made)
{
    double entered = traffic_enter();
    int code = PMPI_Comm_create(comm, group, made);
    traffic_leave(entered, TRAFFIC_COLLECTIVE, 0.0, 0.0);
    return code;
}

int MPI_Comm_free(MPI_Comm *comm)
{
    double entered = traffic_enter();
    int code = PMPI_Comm_free(comm);
    traffic_leave(entered, TRAFFIC_COLLECTIVE, 0.0, 0.0);
    return code;
}

int MPI_Dist_graph_create_adjacent(MPI_Comm comm, int n_in, const int in[], const int in_weights[], int n_out, const int out[],
                                   const int out_weights[], MPI_Info info, int reorder, MPI_Comm *made)
{
    double entered = traffic_enter();
    int code = PMPI_Dist_graph_create_adjacent(comm, n_in, in, in_weights, n_out, out, out_weights, info, reorder, made);
    traffic_leave(entered, TRAFFIC_COLLECTIVE, 0.0, 0.0);
    return code;
}
