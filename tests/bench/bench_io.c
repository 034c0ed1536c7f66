/* Files: how fast counts reach an HDF5 file and come back, written by all ranks together as section_write does it (collective, chunks of
 * 1 MiB, shuffled and deflated; and contiguous without compression), each rank reading its share as section_read does, beside a plain
 * copy of a file with the same values by one process. Files are flushed to the disk within the measured time; what is to be read is
 * dropped from the page cache first, as far as the system lets it. Run under mpirun:
 *
 *     bench_io FOLDER [MB]      FOLDER: on the disk in question; MB of values, 256 */
#include <fcntl.h>
#include <hdf5.h>
#include <math.h>
#include <mpi.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "monge/mpi_start.h"
#include "support/machine.h"

enum { ROUNDS = 3, CHUNK = 1 << 18, BUFFER = 1 << 20, PATH = 600 };

struct share {
    int rank, size;
    int64_t n; /* values of this rank, as many on every rank */
    float *value;
};

/* Counts as sequencing gives them: mostly one. */
static void make_counts(struct share *share)
{
    for (int64_t i = 0; i < share->n; i++) {
        uint64_t h = ((uint64_t)(i + share->n * share->rank) + 1) * 0x9e3779b97f4a7c15u;
        h ^= h >> 32;
        h *= 0xd6e8feb86659fd93u;
        h ^= h >> 32;
        double u = (double)(h >> 11) * 0x1p-53;
        share->value[i] = 1.0f + (float)(int)(-log(1.0 - u) / 0.9);
    }
}

static void flush_to_disk(const char *path, bool drop)
{
    int file = open(path, O_RDONLY);
    if (file < 0 || fsync(file) != 0 || (drop && posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED) != 0))
        fprintf(stderr, "bench_io: %s cannot be flushed\n", path);
    if (file >= 0)
        close(file);
}

/* Every function below is collective and returns seconds; a fault of HDF5 prints itself and makes them NAN. */

static double finish(double started, bool good)
{
    int all = good;
    MPI_Allreduce(MPI_IN_PLACE, &all, 1, MPI_INT, MPI_MIN, MPI_COMM_WORLD);
    return all ? MPI_Wtime() - started : NAN;
}

static double write_file(const struct share *share, const char *path, bool compressed)
{
    hsize_t all = (hsize_t)(share->n * share->size), from = (hsize_t)(share->n * share->rank), own = (hsize_t)share->n, chunk = CHUNK;
    hid_t access = H5Pcreate(H5P_FILE_ACCESS), create = H5Pcreate(H5P_DATASET_CREATE), transfer = H5Pcreate(H5P_DATASET_XFER);
    if (share->size > 1) {
        H5Pset_fapl_mpio(access, MPI_COMM_WORLD, MPI_INFO_NULL);
        H5Pset_dxpl_mpio(transfer, H5FD_MPIO_COLLECTIVE);
    }
    if (compressed) {
        H5Pset_chunk(create, 1, &chunk);
        H5Pset_shuffle(create);
        H5Pset_deflate(create, 1);
    }
    MPI_Barrier(MPI_COMM_WORLD);
    double started = MPI_Wtime();
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, access), space = H5Screate_simple(1, &all, NULL),
          memory = H5Screate_simple(1, &own, NULL);
    hid_t dataset = H5Dcreate2(file, "data", H5T_NATIVE_FLOAT, space, H5P_DEFAULT, create, H5P_DEFAULT);
    H5Sselect_hyperslab(space, H5S_SELECT_SET, &from, NULL, &own, NULL);
    bool good = H5Dwrite(dataset, H5T_NATIVE_FLOAT, memory, space, transfer, share->value) >= 0;
    good = H5Dclose(dataset) >= 0 && good;
    good = H5Fclose(file) >= 0 && good;
    MPI_Barrier(MPI_COMM_WORLD);
    if (share->rank == 0)
        flush_to_disk(path, false);
    double seconds = finish(started, good);
    H5Sclose(memory);
    H5Sclose(space);
    H5Pclose(transfer);
    H5Pclose(create);
    H5Pclose(access);
    return seconds;
}

static double read_file(const struct share *share, const char *path, float *value)
{
    hsize_t from = (hsize_t)(share->n * share->rank), own = (hsize_t)share->n;
    if (share->rank == 0)
        flush_to_disk(path, true);
    MPI_Barrier(MPI_COMM_WORLD);
    double started = MPI_Wtime();
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT), dataset = H5Dopen2(file, "data", H5P_DEFAULT);
    hid_t space = H5Dget_space(dataset), memory = H5Screate_simple(1, &own, NULL);
    H5Sselect_hyperslab(space, H5S_SELECT_SET, &from, NULL, &own, NULL);
    bool good = H5Dread(dataset, H5T_NATIVE_FLOAT, memory, space, H5P_DEFAULT, value) >= 0;
    H5Sclose(memory);
    H5Sclose(space);
    H5Dclose(dataset);
    H5Fclose(file);
    double seconds = finish(started, good);
    bool same = memcmp(value, share->value, (size_t)share->n * sizeof *value) == 0;
    return same ? seconds : NAN;
}

/* One process reads one file and writes the other, as cp does. */
static double copy_file(const struct share *share, const char *from, const char *to)
{
    bool good = true;
    if (share->rank == 0)
        flush_to_disk(from, true);
    MPI_Barrier(MPI_COMM_WORLD);
    double started = MPI_Wtime();
    if (share->rank == 0) {
        char *buffer = malloc(BUFFER);
        int in = open(from, O_RDONLY), out = open(to, O_CREAT | O_TRUNC | O_WRONLY, 0666);
        good = buffer && in >= 0 && out >= 0;
        for (ssize_t n; good && (n = read(in, buffer, BUFFER)) > 0;)
            good = write(out, buffer, (size_t)n) == n;
        good = good && fsync(out) == 0;
        if (in >= 0)
            close(in);
        if (out >= 0)
            close(out);
        free(buffer);
    }
    return finish(started, good);
}

struct times {
    double write, read, copy, bytes; /* seconds; bytes of the file */
};

static struct times measure(const struct share *share, const char *folder, bool compressed, float *room)
{
    char path[PATH], copy[PATH];
    snprintf(path, sizeof path, "%.500s/bench_io.h5", folder);
    snprintf(copy, sizeof copy, "%.500s/bench_io.copy", folder);
    struct times best = {INFINITY, INFINITY, INFINITY, 0.0};
    bool failed = false;
    for (int round = 0; round < ROUNDS; round++) { /* in turns: other programs disturb all alike */
        struct times t = {
            .write = write_file(share, path, compressed), .read = read_file(share, path, room), .copy = copy_file(share, path, copy)};
        if (isnan(t.write + t.read + t.copy))
            failed = true;
        best.write = fmin(best.write, t.write);
        best.read = fmin(best.read, t.read);
        best.copy = fmin(best.copy, t.copy);
    }
    MPI_Allreduce(MPI_IN_PLACE, &best, 3, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    MPI_Allreduce(MPI_IN_PLACE, &failed, 1, MPI_C_BOOL, MPI_LOR, MPI_COMM_WORLD);
    if (failed) /* fmin passes NAN over */
        best.write = NAN;
    struct stat about;
    best.bytes = stat(path, &about) == 0 ? (double)about.st_size : 0.0;
    MPI_Barrier(MPI_COMM_WORLD);
    if (share->rank == 0) {
        unlink(path);
        unlink(copy);
    }
    return best;
}

static void print(const struct share *share, double bytes, const struct times *plain, const struct times *deflated)
{
    if (share->rank != 0)
        return;
    char name[3][64];
    double copy = bytes / plain->copy / 1e6;
    if (share->size == 1)
        bench_row("files: plain copy of uncompressed values", copy, "MB/s", NAN, NULL, NULL, 0.0);
    const struct times *times[2] = {plain, deflated};
    const char *kind[2] = {"uncompressed", "compressed"};
    for (int k = 0; k < 2; k++) {
        snprintf(name[0], sizeof name[0], "files: HDF5 write, %s, %d rank%s", kind[k], share->size, share->size > 1 ? "s" : "");
        snprintf(name[1], sizeof name[1], "files: HDF5 read, %s, %d rank%s", kind[k], share->size, share->size > 1 ? "s" : "");
        double write = bytes / times[k]->write / 1e6, read = bytes / times[k]->read / 1e6;
        bench_row(name[0], write, "MB/s", write / copy, "the plain copy", NULL, 0.0);
        bench_row(name[1], read, "MB/s", read / copy, "the plain copy", NULL, 0.0);
    }
    if (share->size == 1)
        bench_row("files: compressed size", deflated->bytes / 1e6, "MB", deflated->bytes / plain->bytes, "uncompressed", NULL, 0.0);
}

int main(int argc, char **argv)
{
    mpi_start(&argc, &argv);
    struct share share;
    MPI_Comm_rank(MPI_COMM_WORLD, &share.rank);
    MPI_Comm_size(MPI_COMM_WORLD, &share.size);
    double megabytes = argc > 2 ? atof(argv[2]) : 256.0;
    if (argc < 2 || !(megabytes >= 1.0)) {
        if (share.rank == 0)
            fprintf(stderr, "usage: mpirun -n P bench_io FOLDER [MB]\n");
        MPI_Finalize();
        return 64;
    }
    share.n = (int64_t)(megabytes * 1e6 / 4.0 / share.size);
    share.value = malloc((size_t)share.n * sizeof *share.value);
    float *room = malloc((size_t)share.n * sizeof *room);
    if (!share.value || !room) {
        fprintf(stderr, "bench_io: no memory for %.0f MB of values\n", megabytes);
        free(share.value);
        free(room);
        MPI_Abort(MPI_COMM_WORLD, 70);
        return 70;
    }
    make_counts(&share);
    struct times plain = measure(&share, argv[1], false, room), deflated = measure(&share, argv[1], true, room);
    print(&share, 4.0 * (double)(share.n * share.size), &plain, &deflated);
    free(share.value);
    free(room);
    MPI_Finalize();
    return isfinite(plain.write + plain.read + plain.copy + deflated.write + deflated.read + deflated.copy) ? 0 : 1;
}
