/* 10x matrices and outs/ folders: both HDF5 layouts, both position files, gene names made unique, barcodes without reads, the real
 * section the same from .h5ad and outs/, bad folders refused. */
#include <hdf5.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "monge/section_io.h"
#include "support/anndata.h"
#include "support/suite.h"
#include "support/tiny_h5ad.h"

static const struct read_options spatial = {.need_spatial = true};

enum { BARCODES = 24, FEATURES = 6, LISTED = 30 };

/* counts of the folder made here: barcode b of the matrix, feature f */
static double folder_count(int64_t b, int64_t f)
{
    return (double)((b * 5 + f * 2) % 4);
}

static char folder[512], outs[600];

static const char *in_folder(const char *name)
{
    static char path[700];
    snprintf(path, sizeof path, "%s/%s", outs, name);
    return path;
}

static void write_text(const char *name, const char *text)
{
    FILE *file = fopen(in_folder(name), "wb");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

/* Barcode k of the position list; the matrix holds those with k % 5 != 4, from the last to the first. */
static int64_t listed(int64_t b)
{
    int64_t k = BARCODES - 1 - b;
    return k / 4 * 5 + k % 4;
}

static void write_positions(const char *name, bool header)
{
    char text[8192];
    size_t n = 0;
    if (header)
        n += (size_t)sprintf(text, "barcode,in_tissue,array_col,array_row,pxl_row_in_fullres,pxl_col_in_fullres\n");
    for (int k = 0; k < LISTED; k++) { /* hexagonal: 6 rows of 5 */
        int row = k / 5, col = 2 * (k % 5) + (row & 1), a = header ? col : row, b = header ? row : col;
        n += (size_t)sprintf(text + n, "BARCODE%02d-1,%d,%d,%d,%d,%d\n", k, row > 0 && row < 5, a, b, 1000 + 119 * row, 500 + 69 * col);
    }
    write_text(name, text);
}

static void write_matrix(const char *name, bool v3)
{
    hid_t file = H5Fcreate(in_folder(name), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    double data[BARCODES * FEATURES], indices[BARCODES * FEATURES], indptr[BARCODES + 1] = {0.0};
    int64_t n = 0;
    char barcode[BARCODES][20];
    const char *barcodes[BARCODES];
    const char *ids[] = {"ENS1", "ENS2", "ENS3", "ENS4", "ENS5", "ENS6"}, *names[] = {"Actb", "Ttr", "Actb", "Actb-1", "Actb", "CD3"};
    const char *types[] = {"Gene Expression", "Gene Expression", "Gene Expression",
                           "Gene Expression", "Gene Expression", "Antibody Capture"};
    for (int64_t b = 0; b < BARCODES; b++) {
        snprintf(barcode[b], sizeof barcode[b], "BARCODE%02d-1", (int)listed(b));
        barcodes[b] = barcode[b];
        for (int64_t f = FEATURES - 1; f >= 0; f--) /* 10x promises no order */
            if (folder_count(b, f) > 0.0) {
                data[n] = folder_count(b, f);
                indices[n++] = (double)f;
            }
        indptr[b + 1] = (double)n;
    }
    const double shape[2] = {FEATURES, BARCODES};
    const char *group = v3 ? "matrix" : "mm10";
    char path[64];
#define AT(name) (snprintf(path, sizeof path, "%s/%s", group, name), path)
    tiny_numbers(file, AT("data"), H5T_STD_I32LE, 1, n, 1, data);
    tiny_numbers(file, AT("indices"), H5T_STD_I64LE, 1, n, 1, indices);
    tiny_numbers(file, AT("indptr"), H5T_STD_I64LE, 1, BARCODES + 1, 1, indptr);
    tiny_numbers(file, AT("shape"), H5T_STD_I32LE, 1, 2, 1, shape);
    tiny_texts(file, AT("barcodes"), BARCODES, barcodes, true);
    tiny_texts(file, AT(v3 ? "features/id" : "genes"), FEATURES, ids, true);
    tiny_texts(file, AT(v3 ? "features/name" : "gene_names"), FEATURES, names, true);
    if (v3)
        tiny_texts(file, AT("features/feature_type"), FEATURES, types, true);
#undef AT
    H5Fclose(file);
}

/* A fresh outs/ folder on rank 0. */
static void make_folder(bool v3, bool header)
{
    static int number;
    snprintf(folder, sizeof folder, "%s/sample%d", scratch_folder(), number++);
    snprintf(outs, sizeof outs, "%s/outs", folder);
    if (suite_rank() != 0)
        return;
    mkdir(folder, 0777);
    mkdir(outs, 0777);
    mkdir(in_folder("spatial"), 0777);
    write_matrix("raw_feature_bc_matrix.h5", v3);
    write_positions(header ? "spatial/tissue_positions.csv" : "spatial/tissue_positions_list.csv", header);
    write_text("spatial/scalefactors_json.json", "{\"spot_diameter_fullres\": 89.4, \"tissue_lowres_scalef\": 0.05}");
}

static void check_folder(const struct section *section, bool v3)
{
    assert_int_equal(section->n_spots, LISTED); /* with the 6 barcodes that the matrix lacks */
    assert_int_equal(section->n_genes, v3 ? 5 : 6);
    const char *names[] = {"Actb", "Ttr", "Actb-2", "Actb-1", "Actb-3", "CD3"};
    for (int64_t g = 0; g < section->n_genes; g++)
        assert_string_equal(section->gene_name[g], names[g]);
    assert_string_equal(section->gene_id[2], "ENS3");
    assert_int_equal(section->slide.lattice, LATTICE_HEX);
    assert_int_equal(slide_count(&section->slide, SITE_TISSUE), 20);
    assert_true(section->slide.pitch_um == 100.0);
    int64_t seen = 0;
    for (int64_t i = 0; i < section->sites.n_own; i++) {
        int32_t row, col;
        slide_cell(&section->slide, section->sites.first + i, &row, &col);
        int64_t k = row * 5 + col, at = section->counts.start[i];
        if (k % 5 != 4) {
            int64_t b = BARCODES - 1 - (k / 5 * 4 + k % 5);
            assert_int_equal(section->slide.spot[section->sites.first + i], b);
            for (int32_t f = 0; f < section->n_genes; f++)
                if (folder_count(b, f) > 0.0) {
                    assert_int_equal(section->counts.column[at], f);
                    assert_true(section->counts.value[at++] == (float)folder_count(b, f));
                }
        }
        assert_int_equal(section->counts.start[i + 1], at);
        seen++;
        assert_true(section->spatial_x[section->sites.first + i] == 500.0 + 69.0 * (2 * col + (row & 1)));
        assert_true(section->spatial_y[section->sites.first + i] == 1000.0 + 119.0 * row);
    }
    MPI_Allreduce(MPI_IN_PLACE, &seen, 1, MPI_INT64_T, MPI_SUM, MPI_COMM_WORLD);
    assert_int_equal(seen, LISTED);
}

static void both_layouts_and_position_files(void **state)
{
    (void)state;
    for (int k = 0; k < 4; k++) {
        make_folder(k & 1, k & 2);
        MPI_Barrier(MPI_COMM_WORLD);
        const char *paths[] = {outs, folder, in_folder("raw_feature_bc_matrix.h5")};
        for (int p = 0; p < 3; p++) {
            struct section section;
            if (section_read(&section, MPI_COMM_WORLD, paths[p], &spatial) != MONGE_OK)
                fail_msg("%s", error_message());
            check_folder(&section, k & 1);
            section_free(&section);
        }
    }
}

/* The whole AnnData is written from outs/, and reads back as the same section. */
static void written_as_anndata(void **state)
{
    (void)state;
    make_folder(true, true);
    MPI_Barrier(MPI_COMM_WORLD);
    char path[640];
    snprintf(path, sizeof path, "%s/written.h5ad", scratch_folder());
    struct section section;
    assert_int_equal(section_read(&section, MPI_COMM_WORLD, outs, &spatial), MONGE_OK);
    if (section_write(&section, path) != MONGE_OK)
        fail_msg("%s", error_message());
    section_free(&section);
    if (section_read(&section, MPI_COMM_WORLD, path, &spatial) != MONGE_OK)
        fail_msg("%s", error_message());
    check_folder(&section, true);
    section_free(&section);
    char expressions[2048];
    const char *name = strrchr(folder, '/') + 1;
    snprintf(expressions, sizeof expressions,
             "\"a.shape == (30, 5)\" \"a.obs_names[0] == 'BARCODE28-1'\" "
             "\"list(a.obs_names[24:]) == ['BARCODE%%02d-1' %% k for k in range(4, 30, 5)]\" "
             "\"list(a.var_names) == ['Actb', 'Ttr', 'Actb-2', 'Actb-1', 'Actb-3']\" \"a.var['gene_ids'].iloc[2] == 'ENS3'\" "
             "\"a.X[24:].nnz == 0\" \"list(a.uns['spatial']) == ['%s']\" "
             "\"a.uns['spatial']['%s']['scalefactors']['tissue_lowres_scalef'] == .05\" \"a.obsm['spatial'][0].tolist() == [983., 1595.]\"",
             name, name);
    check_in_python(path, expressions);
}

static void refused(status code, const char *part)
{
    MPI_Barrier(MPI_COMM_WORLD);
    struct section section;
    status s = section_read(&section, MPI_COMM_WORLD, outs, &spatial);
    if (s != code || !strstr(error_message(), part))
        fail_msg("code %d, message '%s' instead of %d, '%s'", s, error_message(), code, part);
    assert_null(section.slide.kind);
    MPI_Barrier(MPI_COMM_WORLD);
}

static void bad_folders(void **state)
{
    (void)state;
    bool first = suite_rank() == 0;
    make_folder(true, true);
    if (first)
        remove(in_folder("raw_feature_bc_matrix.h5"));
    refused(MONGE_NO_INPUT, "raw_feature_bc_matrix.h5 is not there");

    make_folder(true, true);
    if (first)
        remove(in_folder("spatial/tissue_positions.csv"));
    refused(MONGE_NO_INPUT, "neither tissue_positions.csv nor tissue_positions_list.csv");
    if (first)
        write_text("spatial/tissue_positions.parquet", "PAR1");
    refused(MONGE_NO_INPUT, "convert the table to");

    make_folder(true, true);
    if (first)
        write_text("spatial/tissue_positions.csv",
                   "barcode,in_tissue,array_row,array_col,pxl_row_in_fullres,pxl_col_in_fullres\nA-1,1,0,0,5,5\n");
    refused(MONGE_BAD_DATA, "barcode 'BARCODE28-1' of ");
    if (first)
        write_text("spatial/tissue_positions.csv", "barcode,in_tissue,array_row,array_col\nA-1,1,0,0\n");
    refused(MONGE_BAD_DATA, "line 1: the header has no column pxl_row_in_fullres");
    if (first)
        write_text("spatial/tissue_positions.csv", "A-1,1,0,0,5,5\nB-1,2,0,1,5,5\n");
    refused(MONGE_BAD_DATA, "line 2: in_tissue is '2' instead of 0 or 1");
    if (first)
        write_text("spatial/tissue_positions.csv", "A-1,1,0,0,5,5\nB-1,1,0.5,1,5,5\n");
    refused(MONGE_BAD_DATA, "line 2: array_row is '0.5' instead of a whole number");
    if (first)
        write_text("spatial/tissue_positions.csv", "A-1,1,0,0,5,5\nB-1,1,0\n");
    refused(MONGE_BAD_DATA, "line 2: has 3 fields; array_col (field 4) is missing");
    if (first)
        write_text("spatial/tissue_positions.csv",
                   "in_tissue,array_row,array_col,pxl_row_in_fullres,pxl_col_in_fullres,barcode\n1,0,0,5,5,A-1\n1,0,2,5,5\n");
    refused(MONGE_BAD_DATA, "line 3: has 5 fields; barcode (field 6) is missing");
    if (first)
        write_text("spatial/tissue_positions.csv", "A-1,1,0,0,5,5\nA-1,1,0,2,5,5\n");
    refused(MONGE_BAD_DATA, "line 2: barcode 'A-1' stands already in line 1");
    if (first) {
        write_positions("spatial/tissue_positions.csv", true);
        write_text("spatial/scalefactors_json.json", "{\"tissue_lowres_scalef\": 0.05,\n oops}");
    }
    refused(MONGE_BAD_DATA, "scalefactors_json.json, line 2: not JSON");
    if (first) {
        write_text("spatial/scalefactors_json.json", "{\"tissue_lowres_scalef\": 0.05}");
        write_text("spatial/tissue_lowres_image.png", "not a picture");
    }
    refused(MONGE_BAD_DATA, "tissue_lowres_image.png: cannot be read as a PNG image");

    static const struct {
        const char *dataset;
        int64_t at;
        double value;
        const char *part;
    } pokes[] = {
        {"matrix/indptr", 3, 1.0, "matrix/indptr entry 3"},       {"matrix/indices", 5, 6.0, "outside 0 to 5"},
        {"matrix/indices", 0, 1.0, "row 0 lists column 1 twice"}, {"matrix/data", 2, -3.0, "negative"},
        {"matrix/shape", 0, 7.0, "shape says 7 features"},        {"matrix/shape", 1, 25.0, "shape says 25 barcodes"},
    };
    for (size_t k = 0; k < sizeof pokes / sizeof pokes[0]; k++) {
        make_folder(true, true);
        if (first) {
            hid_t file = H5Fopen(in_folder("raw_feature_bc_matrix.h5"), H5F_ACC_RDWR, H5P_DEFAULT);
            tiny_poke(file, pokes[k].dataset, pokes[k].at, pokes[k].value);
            H5Fclose(file);
        }
        refused(MONGE_BAD_DATA, pokes[k].part);
    }
    make_folder(true, true);
    if (first) {
        hid_t file = H5Fopen(in_folder("raw_feature_bc_matrix.h5"), H5F_ACC_RDWR, H5P_DEFAULT);
        const char *types[FEATURES] = {"Peaks", "Peaks", "Peaks", "Peaks", "Peaks", "Peaks"};
        tiny_texts(file, "matrix/features/feature_type", FEATURES, types, true);
        H5Fclose(file);
    }
    refused(MONGE_BAD_DATA, "no feature of type 'Gene Expression'");
}

static void real_section_both_ways(void **state)
{
    (void)state;
    if (!shared_data("data/visium_mbrain_raw/outs"))
        return;
    struct section a, b;
    assert_int_equal(section_read(&a, MPI_COMM_WORLD, shared_data("data/visium_mbrain_raw/outs"), &spatial), MONGE_OK);
    assert_int_equal(section_read(&b, MPI_COMM_WORLD, shared_data("data/visium_mbrain_raw/visium_mbrain_raw.h5ad"), &spatial), MONGE_OK);
    assert_int_equal(a.slide.n_sites, b.slide.n_sites);
    size_t sites = (size_t)a.slide.n_sites, entries = (size_t)a.counts.start[a.counts.n_rows];
    assert_memory_equal(a.slide.kind, b.slide.kind, sites);
    assert_memory_equal(a.spatial_x, b.spatial_x, sites * 8);
    assert_memory_equal(a.spatial_y, b.spatial_y, sites * 8);
    assert_memory_equal(a.counts.start, b.counts.start, ((size_t)a.counts.n_rows + 1) * 8);
    assert_memory_equal(a.counts.column, b.counts.column, entries * 4);
    assert_memory_equal(a.counts.value, b.counts.value, entries * 4);
    assert_int_equal(a.n_genes, b.n_genes);
    for (int64_t g = 0; g < a.n_genes; g++)
        assert_string_equal(a.gene_name[g], b.gene_name[g]);
    assert_int_equal(a.image.height, b.image.height);
    assert_int_equal(a.image.width, b.image.width);
    assert_memory_equal(a.image.pixel, b.image.pixel, (size_t)a.image.height * (size_t)a.image.width * 3 * 4);
    assert_true(a.image.spot_to_pixel == b.image.spot_to_pixel);

    char path[640];
    snprintf(path, sizeof path, "%s/real_outs.h5ad", scratch_folder());
    assert_int_equal(section_write(&a, path), MONGE_OK);
    section_free(&b);
    if (section_read(&b, MPI_COMM_WORLD, path, &spatial) != MONGE_OK)
        fail_msg("%s", error_message());
    assert_memory_equal(a.counts.value, b.counts.value, entries * 4);
    assert_memory_equal(a.image.pixel, b.image.pixel, (size_t)a.image.height * (size_t)a.image.width * 3 * 4);
    section_free(&a);
    section_free(&b);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_layouts_and_position_files),
        cmocka_unit_test(written_as_anndata),
        cmocka_unit_test(bad_folders),
        cmocka_unit_test(real_section_both_ways),
    };
    SUITE(argc, argv, tests);
}
