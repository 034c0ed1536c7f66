#include "support/suite.h"

#include <dirent.h>
#include <hdf5.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "monge/blas_kernels.h"
#include "monge/mpi_start.h"

static int rank, size;
static char scratch[256];

int suite_rank(void)
{
    return rank;
}

int suite_size(void)
{
    return size;
}

static void remove_tree(const char *path)
{
    DIR *folder = opendir(path);
    if (!folder)
        return;
    for (struct dirent *entry; (entry = readdir(folder));) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        char child[1024];
        snprintf(child, sizeof child, "%s/%s", path, entry->d_name);
        if (unlink(child) != 0)
            remove_tree(child);
    }
    closedir(folder);
    rmdir(path);
}

const char *scratch_folder(void)
{
    if (!scratch[0]) {
        if (rank == 0) {
            snprintf(scratch, sizeof scratch, "%s/monge-test-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
            if (!mkdtemp(scratch))
                scratch[0] = '\0';
        }
        MPI_Bcast(scratch, sizeof scratch, MPI_CHAR, 0, MPI_COMM_WORLD);
        assert_true(scratch[0] != '\0');
    }
    return scratch;
}

const char *in_scratch(const char *name)
{
    static char path[4][600];
    static int turn;
    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof path[turn], "%s/%s", scratch_folder(), name);
    return path[turn];
}

int suite_run(int argc, char **argv, const char *name, const struct CMUnitTest *tests, size_t n)
{
    setenv("OPENBLAS_NUM_THREADS", "1", 0);
    blas_use_fast_kernels(argv);
    mpi_start(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    if (rank == 0) {
        printf("\n%s, %d rank%s\n", name, size, size > 1 ? "s" : "");
    } else { /* cmocka reports failures on stderr too, so those of other ranks stay visible */
        bool quiet = freopen("/dev/null", "w", stdout) != NULL;
        if (!getenv("CMOCKA_ALL_RANKS"))
            quiet = freopen("/dev/null", "w", stderr) != NULL && quiet;
        assert_true(quiet);
    }
    fflush(stdout);
    int failed = _cmocka_run_group_tests(name, tests, n, NULL, NULL);
    int any = failed;
    MPI_Allreduce(MPI_IN_PLACE, &any, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
    if (rank == 0 && any && !failed)
        printf("[  FAILED  ] on another rank; CMOCKA_ALL_RANKS=1 shows it\n");
    if (scratch[0] && rank == 0)
        remove_tree(scratch);
    MPI_Finalize();
    return any ? 1 : 0;
}

void figure(const char *name, double value, const char *relation, double bound)
{
    if (rank == 0) {
        printf("  figure  %-58s %12.5g   (%s %g)\n", name, value, relation, bound);
        fflush(stdout);
    }
}

const char *shared_data(const char *name)
{
    static char path[1024];
    const char *root = getenv("MONGE_DATA");
    if (root) {
        snprintf(path, sizeof path, "%s/%s", root, name);
        if (access(path, R_OK) == 0)
            return path;
    }
    if (rank == 0)
        printf("  skipped: needs %s below MONGE_DATA\n", name);
    return NULL;
}

const char *golden_path(const char *name)
{
    static char path[1024];
    snprintf(path, sizeof path, "tests/golden/%s", name);
    return path;
}

double *golden_read(const char *file, const char *dataset, size_t *n)
{
    hid_t f = H5Fopen(file, H5F_ACC_RDONLY, H5P_DEFAULT);
    if (f < 0)
        fail_msg("cannot open %s", file);
    hid_t d = H5Dopen2(f, dataset, H5P_DEFAULT);
    if (d < 0)
        fail_msg("%s: no dataset %s", file, dataset);
    hid_t space = H5Dget_space(d);
    size_t count = (size_t)H5Sget_simple_extent_npoints(space);
    double *values = malloc((count ? count : 1) * sizeof *values);
    if (!values || H5Dread(d, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) < 0)
        fail_msg("%s: cannot read %s", file, dataset);
    H5Sclose(space);
    H5Dclose(d);
    H5Fclose(f);
    if (n)
        *n = count;
    return values;
}

double golden_attribute(const char *file, const char *object, const char *attribute)
{
    hid_t f = H5Fopen(file, H5F_ACC_RDONLY, H5P_DEFAULT);
    if (f < 0)
        fail_msg("cannot open %s", file);
    hid_t a = H5Aopen_by_name(f, object, attribute, H5P_DEFAULT, H5P_DEFAULT);
    double value = NAN;
    if (a < 0 || H5Aread(a, H5T_NATIVE_DOUBLE, &value) < 0)
        fail_msg("%s: no attribute %s of %s", file, attribute, object);
    H5Aclose(a);
    H5Fclose(f);
    return value;
}

double max_difference(const double *a, const double *b, size_t n)
{
    double worst = 0.0;
    for (size_t i = 0; i < n; i++) {
        double d = fabs(a[i] - b[i]);
        if (!(d <= worst))
            worst = d;
    }
    return worst;
}

double max_relative(const double *a, const double *b, size_t n)
{
    double scale = 0.0;
    for (size_t i = 0; i < n; i++)
        scale = fmax(scale, fabs(b[i]));
    return max_difference(a, b, n) / (scale > 0.0 ? scale : 1.0);
}
