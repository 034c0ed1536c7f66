/* Bad input and bad places for output: every rank gets the same code and message, which names file, dataset and entry; nothing is
 * left behind. */
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "monge/section_io.h"
#include "support/suite.h"
#include "support/tiny_h5ad.h"

static char path[512];

static void refused(status code, const char *const *parts)
{
    struct section section;
    const struct read_options options = {.need_spatial = true};
    status s = section_read(&section, MPI_COMM_WORLD, path, &options);
    if (s != code)
        fail_msg("code %d (%s) instead of %d", s, error_message(), code);
    if (!strstr(error_message(), path))
        fail_msg("'%s' does not name the file", error_message());
    for (; *parts; parts++)
        if (!strstr(error_message(), *parts))
            fail_msg("'%s' lacks '%s'", error_message(), *parts);
    assert_null(section.slide.kind);
    assert_null(section.counts.start);
    unsigned length = (unsigned)strlen(error_message()), longest = length; /* one message for all */
    MPI_Allreduce(MPI_IN_PLACE, &longest, 1, MPI_UNSIGNED, MPI_MAX, MPI_COMM_WORLD);
    assert_int_equal(length, longest);
    MPI_Barrier(MPI_COMM_WORLD);
}
#define REFUSED(code, ...) refused(code, (const char *const[]){__VA_ARGS__, NULL})

/* A valid file on rank 0, to be spoilt. */
static hid_t fresh(void)
{
    snprintf(path, sizeof path, "%s/bad.h5ad", scratch_folder());
    return tiny_h5ad(path);
}

static void not_there_or_not_hdf5(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "%s/absent.h5ad", scratch_folder());
    REFUSED(MONGE_NO_INPUT, "No such file");
    snprintf(path, sizeof path, "%s/text.h5ad", scratch_folder());
    if (suite_rank() == 0) {
        FILE *file = fopen(path, "wb");
        fputs("gene,count\n", file);
        fclose(file);
    }
    MPI_Barrier(MPI_COMM_WORLD);
    REFUSED(MONGE_BAD_DATA, "not an HDF5 file");
    tiny_close(fresh());
    if (suite_rank() == 0) {
        struct stat about;
        stat(path, &about);
        assert_int_equal(truncate(path, about.st_size / 2), 0);
    }
    MPI_Barrier(MPI_COMM_WORLD);
    REFUSED(MONGE_BAD_DATA, "truncated or damaged", "copy it again");
    hid_t file = fresh();
    tiny_remove(file, "obs");
    tiny_close(file);
    REFUSED(MONGE_BAD_DATA, "obs is missing", "anndata");
}

static void bad_tissue_and_positions(void **state)
{
    (void)state;
    hid_t file = fresh();
    tiny_remove(file, "obs/in_tissue");
    tiny_close(file);
    REFUSED(MONGE_BAD_DATA, "obs/in_tissue is missing", "1) or outside (0)");

    file = fresh();
    tiny_poke(file, "obs/in_tissue", 17, 2.0);
    tiny_close(file);
    REFUSED(MONGE_BAD_DATA, "obs/in_tissue row 17 is 2", "1 (in tissue) or 0");

    const char *words[TINY_SPOTS];
    for (int i = 0; i < TINY_SPOTS; i++)
        words[i] = i == 4 ? "yes" : "1";
    file = fresh();
    tiny_texts(file, "obs/in_tissue", TINY_SPOTS, words, false);
    tiny_close(file);
    REFUSED(MONGE_BAD_DATA, "obs/in_tissue entry 4 is 'yes'", "store numbers");

    static const char *const columns[] = {"obs/array_row", "obs/array_col"}, *const parts[] = {"obs/array_row entry 4 is 'yes'",
                                                                                               "obs/array_col entry 4 is 'yes'"};
    for (int k = 0; k < 2; k++) {
        file = fresh();
        tiny_texts(file, columns[k], TINY_SPOTS, words, k);
        tiny_close(file);
        REFUSED(MONGE_BAD_DATA, parts[k], "store numbers");
    }

    const double few[] = {1.0, 0.0, 1.0};
    file = fresh();
    tiny_numbers(file, "obs/in_tissue", H5T_STD_I64LE, 1, 3, 1, few);
    tiny_close(file);
    REFUSED(MONGE_BAD_DATA, "obs/in_tissue has 3 entries instead of 30", "filtered together");
    file = fresh();
    tiny_texts(file, "obs/in_tissue", 3, words, false);
    tiny_close(file);
    REFUSED(MONGE_BAD_DATA, "obs/in_tissue has 3 entries instead of 30", "filtered together");

    file = fresh();
    tiny_remove(file, "obs/array_col");
    tiny_close(file);
    REFUSED(MONGE_BAD_DATA, "obs/array_col is missing beside obs/array_row", "both or neither");

    double row[TINY_SPOTS];
    for (int i = 0; i < TINY_SPOTS; i++)
        row[i] = i / TINY_COLS + (i == 8 ? 0.5 : 0.0);
    file = fresh();
    tiny_numbers(file, "obs/array_row", H5T_IEEE_F64LE, 1, TINY_SPOTS, 1, row);
    tiny_close(file);
    REFUSED(MONGE_BAD_DATA, "obs/array_row row 8 is 1.5", "coordinates are integers");

    file = fresh();
    tiny_poke(file, "obs/array_col", 1, 0.0);
    tiny_close(file);
    REFUSED(MONGE_BAD_DATA, "rows 0 and 1 both stand at array_row 0, array_col 0", "needs its own place");

    file = fresh();
    tiny_remove(file, "obs/array_row");
    tiny_remove(file, "obs/array_col");
    tiny_remove(file, "obsm/spatial");
    tiny_close(file);
    REFUSED(MONGE_BAD_DATA, "neither obs/array_row and obs/array_col nor obsm/spatial", "need positions");

    double positions[3 * TINY_SPOTS];
    for (int i = 0; i < 3 * TINY_SPOTS; i++)
        positions[i] = i == 41 ? (double)NAN : (double)i;
    file = fresh();
    tiny_numbers(file, "obsm/spatial", H5T_IEEE_F64LE, 2, TINY_SPOTS, 2, positions);
    tiny_close(file);
    REFUSED(MONGE_BAD_DATA, "row 20 has no finite position", "remove this spot");
    file = fresh();
    tiny_numbers(file, "obsm/spatial", H5T_IEEE_F64LE, 2, TINY_SPOTS, 1, positions);
    tiny_close(file);
    REFUSED(MONGE_BAD_DATA, "obsm/spatial is not an array of 30 spots x 2", "store x and y");
    file = fresh();
    tiny_texts(file, "obsm/spatial", TINY_SPOTS, words, false);
    tiny_close(file);
    REFUSED(MONGE_BAD_DATA, "obsm/spatial is not an array", "store x and y");
}

static void bad_matrix(void **state)
{
    (void)state;
    hid_t file = fresh();
    tiny_remove(file, "X");
    tiny_close(file);
    REFUSED(MONGE_BAD_DATA, "X is missing", "--layer");

    file = fresh();
    tiny_text_attribute(file, "X", "encoding-type", "awkward-array");
    tiny_close(file);
    REFUSED(MONGE_BAD_DATA, "X has encoding-type 'awkward-array'", "csr_matrix");

    file = fresh();
    tiny_text_attribute(file, "obs", "encoding-type", "dict");
    tiny_close(file);
    REFUSED(MONGE_BAD_DATA, "obs has encoding-type 'dict' instead of 'dataframe'", "write the file again");

    file = fresh();
    if (file >= 0)
        H5Adelete_by_name(file, "X", "shape", H5P_DEFAULT);
    tiny_close(file);
    REFUSED(MONGE_BAD_DATA, "X has no attribute 'shape'", "write the file again");

    const char *three[] = {"g0", "g1", "g2"};
    file = fresh();
    tiny_texts(file, "var/_index", 3, three, false);
    tiny_close(file);
    REFUSED(MONGE_BAD_DATA, "X is 30 x 4, but there are 30 spots (obs) and 3 genes (var)", "filtered together");

    const char *data[96];
    for (int i = 0; i < 96; i++)
        data[i] = "1";
    file = fresh();
    tiny_texts(file, "X/data", 96, data, false);
    tiny_close(file);
    REFUSED(MONGE_BAD_DATA, "X/data does not hold numbers", "store numbers");

    file = fresh();
    tiny_texts(file, "X/indices", 96, data, false);
    tiny_close(file);
    REFUSED(MONGE_BAD_DATA, "X/indices does not hold integers", "store integers");

    file = fresh();
    tiny_texts(file, "X", 96, data, false);
    tiny_close(file);
    REFUSED(MONGE_BAD_DATA, "X is not a matrix of numbers", "--layer");

    const double few[] = {0.0, 4.0};
    static const char *const lists[] = {"X/indptr", "X/indices"}, *const parts[] = {"X/indptr has 2 entries instead of 31",
                                                                                    "X/indices has 2 entries but X/data has 96"};
    for (int k = 0; k < 2; k++) {
        file = fresh();
        tiny_numbers(file, lists[k], H5T_STD_I32LE, 1, 2, 1, few);
        tiny_close(file);
        REFUSED(MONGE_BAD_DATA, parts[k], "write the file again");
    }
    const double names[TINY_GENES] = {0.0};
    file = fresh();
    tiny_numbers(file, "var/_index", H5T_IEEE_F64LE, 1, TINY_GENES, 1, names);
    tiny_close(file);
    REFUSED(MONGE_BAD_DATA, "var/_index does not hold text", "store text");
    file = fresh();
    tiny_numbers(file, "X/indptr", H5T_STD_I32LE, 2, 2, 1, few);
    tiny_close(file);
    REFUSED(MONGE_BAD_DATA, "X/indptr has 2 dimensions instead of 1", "a plain list");
    file = fresh();
    tiny_remove(file, "X/indices");
    if (file >= 0)
        H5Gclose(H5Gcreate2(file, "X/indices", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    tiny_close(file);
    REFUSED(MONGE_BAD_DATA, "X/indices is not a dataset", "write it again");

    file = fresh();
    tiny_remove(file, "X/indices");
    tiny_close(file);
    REFUSED(MONGE_BAD_DATA, "X/indices is missing", "write it again");
}

/* One element of a valid file changed; in CSR and CSC. */
static void bad_entries(void **state)
{
    (void)state;
    static const struct {
        const char *encoding, *dataset;
        int64_t at;
        double value;
        const char *part, *advice;
    } cases[] = {
        {"csr_matrix", "X/indptr", 0, 1.0, "X/indptr entry 0 is 1 instead of 0", "write the file again"},
        {"csr_matrix", "X/indptr", 20, 3.0, "X/indptr entry 20 is 3, below the one before it", "must ascend"},
        {"csr_matrix", "X/indptr", 29, 5000.0, "X/indptr entry 29 is 5000, outside", "incomplete or damaged"},
        {"csr_matrix", "X/indptr", 30, 95.0, "X/indptr ends at 95", "incomplete or damaged"},
        {"csr_matrix", "X/indices", 60, 4.0, "is 4, outside 0 to 3", "write the file again"},
        {"csr_matrix", "X/indices", 60, -1.0, "is -1, outside 0 to 3", "write the file again"},
        {"csr_matrix", "X/indices", 1, 1.0, "X/indices entry 1 (row 0) repeats index 1", "sum_duplicates()"},
        {"csr_matrix", "X/indices", 1, 0.0, "is 0 after 1: indices must ascend", "sort_indices()"},
        {"csr_matrix", "X/data", 90, -1.0, "which is negative", "give raw counts"},
        {"csr_matrix", "X/data", 90, 0.5, "which is not a whole number", "give raw counts"},
        {"csr_matrix", "X/data", 3, NAN, "which is not a finite number", "give raw counts"},
        {"csr_matrix", "X/data", 3, INFINITY, "which is not a finite number", "give raw counts"},
        {"csr_matrix", "X/data", 3, 16777216.0, "which is above 16777215", "give raw counts"},
        {"csc_matrix", "X/indptr", 2, 1.0, "X/indptr entry 2 is 1, below", "must ascend"},
        {"csc_matrix", "X/indices", 70, 30.0, "is 30, outside 0 to 29", "write the file again"},
        {"csc_matrix", "X/indices", 1, 1.0, "X/indices entry 1 (column 0) repeats index 1", "sum_duplicates()"},
        {"csc_matrix", "X/data", 0, -2.0, "X row 1, column 0 holds -2, which is negative", "give raw counts"},
    };
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        hid_t file = fresh();
        tiny_matrix(file, "X", cases[k].encoding, H5T_IEEE_F32LE, H5T_STD_I32LE);
        tiny_poke(file, cases[k].dataset, cases[k].at, cases[k].value);
        tiny_close(file);
        REFUSED(MONGE_BAD_DATA, cases[k].part, cases[k].advice);
    }
    double dense[TINY_SPOTS * TINY_GENES] = {0.0};
    dense[29 * TINY_GENES + 2] = 1.25;
    hid_t file = fresh();
    tiny_remove(file, "X");
    tiny_numbers(file, "X", H5T_IEEE_F64LE, 2, TINY_SPOTS, TINY_GENES, dense);
    tiny_close(file);
    REFUSED(MONGE_BAD_DATA, "X row 29, column 2 holds 1.25, which is not a whole number", "give raw counts");
}

static void set_shape(hid_t file, int64_t rows, int64_t columns)
{
    if (file < 0)
        return;
    const int64_t shape[2] = {rows, columns};
    hid_t attribute = H5Aopen_by_name(file, "X", "shape", H5P_DEFAULT, H5P_DEFAULT);
    H5Awrite(attribute, H5T_NATIVE_INT64, shape);
    H5Aclose(attribute);
}

static void names_and_empty(void **state)
{
    (void)state;
    const char *genes[] = {"Actb", "Ttr", "Actb", "Cd3"}, *spots[TINY_SPOTS];
    hid_t file = fresh();
    tiny_texts(file, "var/_index", TINY_GENES, genes, false);
    tiny_close(file);
    REFUSED(MONGE_BAD_DATA, "var/_index", "gene name 'Actb' twice, in rows 0 and 2", "var_names_make_unique");
    for (int i = 0; i < TINY_SPOTS; i++)
        spots[i] = i == 3 || i == 28 ? "AAAC-1" : i % 2 ? "x" : "y";
    char unique[TINY_SPOTS][16];
    for (int i = 0; i < TINY_SPOTS; i++)
        if (i != 3 && i != 28) {
            snprintf(unique[i], sizeof unique[i], "s%d", i);
            spots[i] = unique[i];
        }
    file = fresh();
    tiny_texts(file, "obs/barcode", TINY_SPOTS, spots, true);
    tiny_close(file);
    REFUSED(MONGE_BAD_DATA, "obs/barcode", "spot name 'AAAC-1' twice, in rows 3 and 28", "obs_names_make_unique");

    file = fresh();
    tiny_texts(file, "obs/barcode", 0, spots, false);
    const double nothing = 0.0;
    static const char *const columns[] = {"obs/in_tissue", "obs/array_row", "obs/array_col", "X/data", "X/indices"};
    for (int k = 0; k < 5; k++)
        tiny_numbers(file, columns[k], H5T_STD_I64LE, 1, 0, 1, &nothing);
    tiny_numbers(file, "X/indptr", H5T_STD_I64LE, 1, 1, 1, &nothing);
    tiny_numbers(file, "obsm/spatial", H5T_IEEE_F64LE, 2, 0, 2, &nothing);
    set_shape(file, 0, TINY_GENES);
    tiny_close(file);
    REFUSED(MONGE_BAD_DATA, "no spots", "before filtering");

    double starts[TINY_SPOTS + 1] = {0.0};
    file = fresh();
    tiny_texts(file, "var/_index", 0, genes, false);
    tiny_numbers(file, "X/data", H5T_IEEE_F32LE, 1, 0, 1, &nothing);
    tiny_numbers(file, "X/indices", H5T_STD_I32LE, 1, 0, 1, &nothing);
    tiny_numbers(file, "X/indptr", H5T_STD_I32LE, 1, TINY_SPOTS + 1, 1, starts);
    set_shape(file, TINY_SPOTS, 0);
    tiny_close(file);
    REFUSED(MONGE_BAD_DATA, "no genes", "before filtering");
}

/* --- output ------------------------------------------------------------------------------------------------------------ */

static int entries_of(const char *folder)
{
    int n = 0;
    DIR *handle = opendir(folder);
    if (!handle)
        return 0;
    while (readdir(handle))
        n++;
    closedir(handle);
    return n - 2;
}

static void cannot_write(struct section *section, const char *out, status code, const char *part)
{
    status s = section_write(section, out);
    if (s != code || !strstr(error_message(), part) || !strstr(error_message(), out))
        fail_msg("code %d, message '%s' instead of %d, '%s'", s, error_message(), code, part);
    MPI_Barrier(MPI_COMM_WORLD);
}

static void bad_places(void **state)
{
    (void)state;
    tiny_close(fresh());
    const struct read_options options = {.need_spatial = true};
    struct section section;
    assert_int_equal(section_read(&section, MPI_COMM_WORLD, path, &options), MONGE_OK);
    int before = entries_of(scratch_folder());
    MPI_Barrier(MPI_COMM_WORLD);
    char out[600];
    snprintf(out, sizeof out, "%s/no/such/folder/out.h5ad", scratch_folder());
    cannot_write(&section, out, MONGE_CANT_CREATE, "No such file or directory");
    snprintf(out, sizeof out, "%s/out.h5ad", path);
    cannot_write(&section, out, MONGE_CANT_CREATE, "Not a directory");
    cannot_write(&section, scratch_folder(), MONGE_CANT_CREATE, "is a folder");
    assert_int_equal(entries_of(scratch_folder()), before);
    MPI_Barrier(MPI_COMM_WORLD);
    section_free(&section);
}

/* Counts that do not compress, on a disk too small for them. `megabytes` of them are needed. */
static struct section large_section(int megabytes)
{
    enum { SIDE = 60 };
    int64_t n_genes = (int64_t)megabytes * 1000000 / (SIDE * SIDE * 4), at = 0;
    static uint8_t kind[SIDE * SIDE];
    struct section section = {.comm = MPI_COMM_WORLD, .n_spots = SIDE * SIDE, .n_genes = n_genes};
    memset(kind, SITE_TISSUE, sizeof kind);
    assert_int_equal(slide_new_lattice(&section.slide, LATTICE_SQUARE, SIDE, SIDE, kind), MONGE_OK);
    assert_int_equal(partition_new(&section.sites, MPI_COMM_WORLD, section.slide.n_blocks, section.slide.block_start), MONGE_OK);
    section.gene_name = calloc((size_t)n_genes, sizeof *section.gene_name);
    for (int64_t g = 0; g < n_genes; g++) {
        char name[16];
        snprintf(name, sizeof name, "g%d", (int)g);
        section.gene_name[g] = strdup(name);
    }
    struct sparse_rows *counts = &section.counts;
    size_t most = (size_t)(section.sites.n_own * n_genes + 1);
    *counts = (struct sparse_rows){section.sites.n_own, malloc((size_t)(section.sites.n_own + 1) * 8), malloc(most * 4), malloc(most * 4)};
    counts->start[0] = 0;
    uint64_t random = 88172645463325252u + (uint64_t)suite_rank();
    for (int64_t i = 0; i < counts->n_rows; i++) {
        for (int64_t g = 0; g < n_genes; g++) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            counts->column[at] = (int32_t)g;
            counts->value[at++] = (float)(1 + random % 16000000);
        }
        counts->start[i + 1] = at;
    }
    return section;
}

/* Mounts a small disk (root only); NULL where that is not allowed. */
static const char *small_disk(const char *options, unsigned long flags)
{
    static char disk[512];
    int mounted = 0;
    snprintf(disk, sizeof disk, "%s/disk", scratch_folder());
    if (suite_rank() == 0) {
        mkdir(disk, 0777);
        mounted = mount("tmpfs", disk, "tmpfs", flags, options) == 0;
        if (!mounted)
            printf("  skipped: a small disk cannot be mounted here (%s)\n", strerror(errno));
    }
    MPI_Bcast(&mounted, 1, MPI_INT, 0, MPI_COMM_WORLD);
    return mounted ? disk : NULL;
}

static void release_disk(const char *disk)
{
    MPI_Barrier(MPI_COMM_WORLD);
    if (suite_rank() == 0) {
        umount(disk);
        rmdir(disk);
    }
    MPI_Barrier(MPI_COMM_WORLD);
}

static void disk_full(void **state)
{
    (void)state;
    static const char *const sizes[] = {"size=64k", "size=2m", "size=5m"}; /* too small for rank 0's part, for X, for the layer */
    const char *disk = NULL;
    for (int k = 0; k < 3 && (disk = small_disk(sizes[k], 0)); k++) {
        struct section section = large_section(4);
        struct sparse_rows layer = {section.counts.n_rows, malloc((size_t)(section.counts.n_rows + 1) * 8),
                                    calloc((size_t)section.counts.start[section.counts.n_rows] + 1, 4),
                                    calloc((size_t)section.counts.start[section.counts.n_rows] + 1, 4)};
        size_t n = (size_t)section.counts.start[section.counts.n_rows];
        memcpy(layer.start, section.counts.start, (size_t)(layer.n_rows + 1) * 8);
        memcpy(layer.column, section.counts.column, n * 4);
        memcpy(layer.value, section.counts.value, n * 4);
        assert_int_equal(section_add_layer(&section, "corrected", &layer, true), MONGE_OK);
        char out[600];
        snprintf(out, sizeof out, "%s/out.h5ad", disk);
        cannot_write(&section, out, MONGE_IO, "disk full");
        assert_int_equal(entries_of(disk), 0);
        release_disk(disk);
        if (k == 2) { /* and the library still works */
            snprintf(out, sizeof out, "%s/after.h5ad", scratch_folder());
            if (section_write(&section, out) != MONGE_OK)
                fail_msg("%s", error_message());
        }
        section_free(&section);
    }
}

static void read_only_disk(void **state)
{
    (void)state;
    const char *disk = small_disk("size=64k", MS_RDONLY);
    if (!disk)
        return;
    struct section section = large_section(1);
    char out[600];
    snprintf(out, sizeof out, "%s/out.h5ad", disk);
    cannot_write(&section, out, MONGE_CANT_CREATE, "Read-only file system");
    section_free(&section);
    release_disk(disk);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(not_there_or_not_hdf5),
        cmocka_unit_test(bad_tissue_and_positions),
        cmocka_unit_test(bad_matrix),
        cmocka_unit_test(bad_entries),
        cmocka_unit_test(names_and_empty),
        cmocka_unit_test(bad_places),
        cmocka_unit_test(disk_full),
        cmocka_unit_test(read_only_disk),
    };
    SUITE(argc, argv, tests);
}
