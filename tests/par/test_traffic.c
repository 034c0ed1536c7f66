/* Known traffic is counted exactly, in its phase; seconds and I/O do not overlap; the records of all ranks come together. */
#include "monge/traffic.h"

#include <hdf5.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "monge/block_cyclic.h"
#include "monge/hosts.h"
#include "monge/log.h"
#include "monge/phase_record.h"
#include "support/suite.h"

static void pause_for(double seconds)
{
    struct timespec time = {0, (long)(1e9 * seconds)};
    nanosleep(&time, NULL);
}

static void fresh(void)
{
    phase_reset();
    traffic_reset();
}

static void check(int phase, int64_t calls, double sent, double received)
{
    struct traffic t = traffic_of(phase);
    if (t.calls != calls || t.sent != sent || t.received != received)
        fail_msg("phase %d: %lld calls, %g bytes sent, %g received instead of %lld, %g, %g", phase, (long long)t.calls, t.sent, t.received,
                 (long long)calls, sent, received);
}

/* one rank alone hands nothing to others */
static double shared(double bytes)
{
    return suite_size() > 1 ? bytes : 0.0;
}

static void collectives(void **state)
{
    (void)state;
    int rank = suite_rank(), size = suite_size();
    double d[7] = {0}, e[7], *many = calloc((size_t)size * 7, sizeof *many);
    int32_t one = 1, *counts = calloc((size_t)size, sizeof *counts), *offsets = calloc((size_t)size, sizeof *offsets);
    assert_true(many && counts && offsets);
    fresh();
    phase_begin("reduce");
    MPI_Allreduce(d, e, 7, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
    MPI_Allreduce(MPI_IN_PLACE, &one, 1, MPI_INT32_T, MPI_SUM, MPI_COMM_WORLD);
    phase_begin("bcast");
    MPI_Bcast(d, 5, MPI_DOUBLE, 0, MPI_COMM_WORLD);
    MPI_Barrier(MPI_COMM_WORLD);
    phase_begin("gather");
    MPI_Allgather(d, 3, MPI_DOUBLE, many, 3, MPI_DOUBLE, MPI_COMM_WORLD);
    MPI_Gather(d, 2, MPI_DOUBLE, many, 2, MPI_DOUBLE, 0, MPI_COMM_WORLD);
    phase_begin("exscan");
    MPI_Exscan(d, e, 2, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
    phase_begin("gatherv"); /* rank r gives r + 1 numbers */
    int total = 0;
    for (int r = 0; r < size; r++) {
        offsets[r] = total;
        total += counts[r] = r + 1;
    }
    MPI_Allgatherv(d, rank + 1 < 7 ? rank + 1 : 7, MPI_DOUBLE, many, counts, offsets, MPI_DOUBLE, MPI_COMM_WORLD);
    phase_begin(NULL);
    MPI_Barrier(MPI_COMM_WORLD);
    check(0, 2, shared(56.0 + 4.0), shared(56.0 + 4.0));
    check(1, 2, rank == 0 ? shared(40.0) : 0.0, rank == 0 ? 0.0 : 40.0);
    check(2, 2, shared(24.0) + (rank == 0 ? 0.0 : 16.0), (size - 1) * 24.0 + (rank == 0 ? (size - 1) * 16.0 : 0.0));
    check(3, 1, rank < size - 1 ? 16.0 : 0.0, rank > 0 ? 16.0 : 0.0);
    check(4, 1, shared(8.0 * (rank + 1)), 8.0 * (total - rank - 1));
    check(-1, 1, 0.0, 0.0);
    free(many);
    free(counts);
    free(offsets);
}

/* rank r sends r + 2 s + 1 numbers to rank s */
static void exchanges(void **state)
{
    (void)state;
    int rank = suite_rank(), size = suite_size(), n_send = 0, n_receive = 0, kept = rank + 2 * rank + 1;
    int *plan = calloc(4 * (size_t)size, sizeof *plan), *send = plan, *from = plan + size, *receive = plan + 2 * size,
        *to = plan + 3 * size;
    assert_non_null(plan);
    for (int s = 0; s < size; s++) {
        from[s] = n_send;
        n_send += send[s] = rank + 2 * s + 1;
        to[s] = n_receive;
        n_receive += receive[s] = s + 2 * rank + 1;
    }
    float *a = calloc((size_t)n_send, sizeof *a), *b = calloc((size_t)n_receive, sizeof *b);
    assert_true(a && b);
    fresh();
    phase_begin("alltoall");
    MPI_Alltoall(send, 1, MPI_INT, to, 1, MPI_INT, MPI_COMM_WORLD);
    phase_begin("alltoallv");
    for (int s = 0, at = 0; s < size; s++) { /* to[] holds what came */
        to[s] = at;
        at += receive[s];
    }
    MPI_Alltoallv(a, send, from, MPI_FLOAT, b, receive, to, MPI_FLOAT, MPI_COMM_WORLD);
    phase_begin(NULL);
    check(0, 1, 4.0 * (size - 1), 4.0 * (size - 1));
    check(1, 1, 4.0 * (n_send - kept), 4.0 * (n_receive - kept));
    assert_true(traffic_of(1).neighbour_seconds == 0.0);
    free(a);
    free(b);
    free(plan);
}

/* every rank gives 3 numbers to the next one in a ring and takes 3 of the one before */
static void neighbours(void **state)
{
    (void)state;
    int rank = suite_rank(), size = suite_size(), next = (rank + 1) % size, before = (rank + size - 1) % size;
    if (size == 1)
        return;
    int weight = 1, count = 3, offset = 0, room[3] = {0}, mine[3] = {rank, rank, rank};
    MPI_Comm ring;
    MPI_Request request;
    MPI_Status outcome;
    fresh();
    phase_begin("make");
    MPI_Dist_graph_create_adjacent(MPI_COMM_WORLD, 1, &before, &weight, 1, &next, &weight, MPI_INFO_NULL, 0, &ring);
    phase_begin("start");
    MPI_Ineighbor_alltoallv(mine, &count, &offset, MPI_INT, room, &count, &offset, MPI_INT, ring, &request);
    phase_begin("wait");
    MPI_Wait(&request, MPI_STATUS_IGNORE);
    assert_int_equal(room[0], before);
    phase_begin("blocking");
    MPI_Neighbor_alltoallv(mine, &count, &offset, MPI_INT, room, &count, &offset, MPI_INT, ring);
    phase_begin("messages"); /* less arrives than there is room for */
    MPI_Isend(mine, 2, MPI_INT, next, 5, MPI_COMM_WORLD, &request);
    MPI_Recv(room, 3, MPI_INT, before, 5, MPI_COMM_WORLD, &outcome);
    MPI_Waitall(1, &request, MPI_STATUSES_IGNORE);
    phase_begin(NULL);
    int received;
    MPI_Get_count(&outcome, MPI_INT, &received);
    assert_int_equal(received, 2);
    check(0, 1, 0.0, 0.0);
    check(1, 1, 12.0, 12.0);
    check(2, 1, 0.0, 0.0);
    check(3, 1, 12.0, 12.0);
    check(4, 3, 8.0, 8.0);
    for (int k = 1; k < 5; k++)
        assert_true(traffic_of(k).neighbour_seconds == traffic_of(k).seconds && traffic_of(k).seconds > 0.0);
    MPI_Comm_free(&ring);
}

/* waiting for a late rank is communication; a barrier inside of I/O is I/O; the parts of a phase add up */
static void seconds_do_not_overlap(void **state)
{
    (void)state;
    fresh();
    MPI_Barrier(MPI_COMM_WORLD);
    phase_begin("late");
    if (suite_rank() == 0)
        pause_for(0.05);
    MPI_Barrier(MPI_COMM_WORLD);
    phase_begin("files");
    traffic_io_begin();
    traffic_io_begin();
    pause_for(0.02);
    traffic_io_bytes(1000.0);
    traffic_io_end();
    MPI_Barrier(MPI_COMM_WORLD);
    traffic_io_end();
    phase_begin(NULL);
    struct traffic late = traffic_of(0), files = traffic_of(1);
    assert_true(suite_rank() == 0 || late.seconds > 0.03);
    assert_true(late.io_seconds == 0.0 && files.seconds == 0.0 && files.calls == 1);
    assert_true(files.io_seconds >= 0.02 && files.io_seconds <= phase_seconds(1) && files.io_bytes == 1000.0);

    struct phase_record record;
    assert_int_equal(phase_record_gather(&record, MPI_COMM_WORLD), MONGE_OK);
    assert_int_equal(record.n, 2);
    assert_int_equal(record.n_ranks, suite_size());
    assert_string_equal(record.name[1], "files");
    assert_true(record.seconds[suite_rank() * 2 + 1] == phase_seconds(1));
    for (int k = 0; k < 2; k++) {
        const struct phase_spread *s = record.spread[k];
        double parts = s[PHASE_COMPUTE].mean + s[PHASE_COMMUNICATION].mean + s[PHASE_IO].mean;
        assert_true(fabs(parts - s[PHASE_SECONDS].mean) < 1e-6 + 1e-9 * parts);
        assert_true(s[PHASE_MEMORY].min > 1e5 && s[PHASE_CALLS].mean == 1.0);
        for (int q = 0; q < PHASE_QUANTITIES; q++)
            assert_true(s[q].min <= s[q].mean * (1.0 + 1e-12) && s[q].mean <= s[q].max * (1.0 + 1e-12));
    }
    assert_true(record.spread[0][PHASE_COMMUNICATION].max > 0.03 || suite_size() == 1);
    assert_true(record.spread[1][PHASE_IO_BYTES].max == 1000.0);
    phase_record_free(&record);
    struct phase_spread compute = {1.0, 1.5, 2.0}, none = {0};
    assert_true(phase_imbalance(&compute) == 0.25 && phase_imbalance(&none) == 0.0);
}

/* a rank that never was in a phase counts with zeros */
static void phases_of_some_ranks(void **state)
{
    (void)state;
    fresh();
    phase_begin("all");
    if (suite_rank() == 0)
        phase_begin("only rank 0");
    pause_for(0.01);
    phase_begin(NULL);
    struct phase_record record;
    assert_int_equal(phase_record_gather(&record, MPI_COMM_WORLD), MONGE_OK);
    assert_int_equal(record.n, 2);
    assert_true(record.spread[1][PHASE_SECONDS].max >= 0.01);
    assert_true(record.spread[1][PHASE_SECONDS].min == (suite_size() > 1 ? 0.0 : record.spread[1][PHASE_SECONDS].max));
    phase_record_free(&record);
}

/* Libraries that call MPI by its names come through the counters, too: a product by ScaLAPACK, a file by parallel HDF5. */
static void libraries(void **state)
{
    (void)state;
    enum { N = 150 };
    struct blacs_grid grid;
    struct block_cyclic a, b;
    char path[512];
    if (suite_size() == 1)
        return;
    fresh();
    phase_begin("ScaLAPACK");
    assert_int_equal(blacs_grid_new(&grid, MPI_COMM_WORLD), MONGE_OK);
    assert_int_equal(block_cyclic_new(&a, &grid, N, N), MONGE_OK);
    assert_int_equal(block_cyclic_new(&b, &grid, N, N), MONGE_OK);
    phase_begin("product");
    block_cyclic_product(&a, 0, &a, 1, &b);
    phase_begin(NULL);
    snprintf(path, sizeof path, "%s/traffic.h5", scratch_folder());
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_fapl_mpio(access, MPI_COMM_WORLD, MPI_INFO_NULL);
    phase_begin("HDF5");
    traffic_io_begin();
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, access);
    H5Fclose(file);
    traffic_io_end();
    phase_begin(NULL);
    H5Pclose(access);
    block_cyclic_free(&b);
    block_cyclic_free(&a);
    blacs_grid_free(&grid);
    double sent = traffic_of(1).sent + traffic_of(1).received;
    MPI_Allreduce(MPI_IN_PLACE, &sent, 1, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
    figure("bytes that a product by ScaLAPACK exchanges", sent, ">=", 8.0 * 64 * 64);
    assert_true(sent >= 8.0 * 64 * 64);
    assert_true(traffic_of(2).calls > 0 && traffic_of(2).seconds == 0.0 && traffic_of(2).io_seconds > 0.0);
}

static void cost_of_counting(void **state)
{
    (void)state;
    enum { CALLS = 20000 };
    int one = 1, sum;
    double counted = INFINITY, plain = INFINITY;
    for (int round = 0; round < 5; round++) { /* the best of some rounds: other programs disturb */
        double started = wall_seconds();
        for (int i = 0; i < CALLS; i++)
            MPI_Allreduce(&one, &sum, 1, MPI_INT, MPI_SUM, MPI_COMM_SELF);
        counted = fmin(counted, wall_seconds() - started);
        started = wall_seconds();
        for (int i = 0; i < CALLS; i++)
            PMPI_Allreduce(&one, &sum, 1, MPI_INT, MPI_SUM, MPI_COMM_SELF);
        plain = fmin(plain, wall_seconds() - started);
    }
    assert_int_equal(sum, 1);
    if (suite_rank() == 0)
        printf("  figure  counting one MPI call                       %.0f ns\n", 1e9 * (counted - plain) / CALLS);
}

static void nodes(void **state)
{
    (void)state;
    struct host *hosts;
    int n;
    char name[HOST_NAME];
    snprintf(name, sizeof name, "node%d", suite_rank() / 3);
    setenv("SLURMD_NODENAME", name, 1);
    assert_int_equal(hosts_gather(MPI_COMM_WORLD, &hosts, &n), MONGE_OK);
    if (suite_rank() == 0) {
        assert_int_equal(n, (suite_size() + 2) / 3);
        assert_string_equal(hosts[0].name, "node0");
        assert_int_equal(hosts[0].ranks, suite_size() < 3 ? suite_size() : 3);
    } else {
        assert_null(hosts);
    }
    free(hosts);
    unsetenv("SLURMD_NODENAME");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(collectives),
        cmocka_unit_test(exchanges),
        cmocka_unit_test(neighbours),
        cmocka_unit_test(seconds_do_not_overlap),
        cmocka_unit_test(phases_of_some_ranks),
        cmocka_unit_test(cost_of_counting),
        cmocka_unit_test(libraries),
        cmocka_unit_test(nodes),
    };
    SUITE(argc, argv, tests);
}
