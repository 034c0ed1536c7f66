/* Tables of text as sections: PASTE's format, compressed or not, alone and in a stack; what is wrong with a table is said with its line;
 * the breast cancer layers of PASTE's tutorial. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "monge/section_io.h"
#include "support/anndata.h"
#include "support/suite.h"
#include "support/tiny_h5ad.h"

static const struct read_options options = {.need_spatial = true};
static char path[512], other[512];

static void write_text(const char *name, const char *text, bool compress)
{
    char file_path[512];
    snprintf(file_path, sizeof file_path, "%s/%s", scratch_folder(), name);
    if (suite_rank() == 0 && compress) {
        gzFile file = gzopen(file_path, "wb");
        assert_int_equal(gzputs(file, text), (int)strlen(text));
        gzclose(file);
    } else if (suite_rank() == 0) {
        FILE *file = fopen(file_path, "w");
        fputs(text, file);
        fclose(file);
    }
    MPI_Barrier(MPI_COMM_WORLD);
}

static void remove_text(const char *name)
{
    char file_path[512];
    snprintf(file_path, sizeof file_path, "%s/%s", scratch_folder(), name);
    MPI_Barrier(MPI_COMM_WORLD); /* every rank has read it */
    if (suite_rank() == 0)
        unlink(file_path);
    MPI_Barrier(MPI_COMM_WORLD);
}

static const char *path_of(const char *name)
{
    snprintf(path, sizeof path, "%s/%s", scratch_folder(), name);
    return path;
}

static const char counts[] = ",gene02,\"gene,00\",gene01\n10x3,1,0,2\n10x4,0,0,0\n11x3,0,7,16777215\n",
                  places[] = "10,3\n10.0,4e0\n11,3.5\n";

static void check_table(const struct section *section)
{
    static const double expected[3][3] = {{1.0, 0.0, 2.0}, {0.0, 0.0, 0.0}, {0.0, 7.0, 16777215.0}};
    assert_int_equal(section->n_spots, 3);
    assert_int_equal(section->n_genes, 3);
    assert_string_equal(section->gene_name[1], "gene,00");
    for (int64_t i = 0; i < section->sites.n_own; i++) {
        int64_t spot = section->slide.spot[section->sites.first + i], at = section->counts.start[i];
        if (spot < 0)
            continue;
        for (int32_t g = 0; g < 3; g++)
            if (expected[spot][g] > 0.0) {
                assert_int_equal(section->counts.column[at], g);
                assert_true(section->counts.value[at++] == (float)expected[spot][g]);
            }
        assert_int_equal(at, section->counts.start[i + 1]);
        assert_true(section->spatial_y[section->sites.first + i] == (spot == 2 ? 3.5 : spot == 1 ? 4.0 : 3.0));
    }
}

static void a_table_is_a_section(void **state)
{
    (void)state;
    for (int compressed = 0; compressed < 2; compressed++) {
        write_text(compressed ? "table.csv.gz" : "table.csv", counts, compressed);
        write_text(compressed ? "table_coor.csv.gz" : "table_coor.csv", places, compressed);
        struct section section;
        if (section_read(&section, MPI_COMM_WORLD, path_of(compressed ? "table.csv.gz" : "table.csv"), &options) != MONGE_OK)
            fail_msg("%s", error_message());
        check_table(&section);
        char output[512];
        snprintf(output, sizeof output, "%s/table.h5ad", scratch_folder());
        assert_int_equal(section_write(&section, output), MONGE_OK);
        section_free(&section);
        if (!compressed)
            check_in_python(output, "\"list(a.obs_names) == ['10x3', '10x4', '11x3']\" \"a.X.toarray()[2].tolist() == [0, 7, 16777215]\" "
                                    "\"a.obsm['spatial'][2].tolist() == [11, 3.5]\"");
        struct section_size size;
        assert_int_equal(section_size_read(&size, path, &options), MONGE_OK);
        assert_int_equal(size.n_spots, 3);
        assert_int_equal(size.n_entries, 4);
        char *before = section_identity(path);
        assert_non_null(strstr(before, "table_coor.csv"));
        free(before);
        remove_text(compressed ? "table_coor.csv.gz" : "table_coor.csv");
    }
}

/* Beside an .h5ad: genes by name, all tissue, names unique already. */
static void in_a_stack(void **state)
{
    (void)state;
    write_text("layer.csv", counts, false);
    write_text("layer_coor.csv", places, false);
    path_of("layer.csv");
    snprintf(other, sizeof other, "%s/tiny.h5ad", scratch_folder());
    tiny_close(tiny_h5ad(other));
    struct section section;
    if (section_read_stack(&section, MPI_COMM_WORLD, 2, (const char *[]){path, other}, &options) != MONGE_OK)
        fail_msg("%s", error_message());
    assert_int_equal(section.n_genes, 2);
    assert_string_equal(section.gene_name[0], "gene02");
    assert_string_equal(section.gene_name[1], "gene01");
    assert_string_equal(section.parts[0].name, "layer");
    assert_true(section.parts[0].spacing == 1.0);
    double sum = 0.0;
    for (int64_t i = 0; i < section.sites.n_own; i++)
        for (int64_t e = section.counts.start[i]; section.slide.spot[section.sites.first + i] < 3 && e < section.counts.start[i + 1]; e++)
            sum += section.counts.value[e] * (section.counts.column[e] == 0 ? 1.0 : 1000.0);
    MPI_Allreduce(MPI_IN_PLACE, &sum, 1, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
    assert_true(sum == 1.0 + 1000.0 * (2.0 + 16777215.0));
    int64_t first, end;
    section_file_rows(&section, &first, &end);
    if (first == 0)
        assert_string_equal(section.spot_name[0], "10x3");
    section_free(&section);
}

static void refused(status code, const char *table, const char *positions, const char *const *parts)
{
    struct section section;
    write_text("bad.csv", table, false);
    if (positions)
        write_text("bad_coor.csv", positions, false);
    else
        remove_text("bad_coor.csv");
    status s = section_read(&section, MPI_COMM_WORLD, path_of("bad.csv"), &options);
    if (s != code)
        fail_msg("code %d (%s) instead of %d", s, error_message(), code);
    for (; *parts; parts++)
        if (!strstr(error_message(), *parts))
            fail_msg("'%s' lacks '%s'", error_message(), *parts);
    assert_null(section.slide.kind);
    MPI_Barrier(MPI_COMM_WORLD);
}
#define REFUSED(code, table, positions, ...) refused(code, table, positions, (const char *const[]){__VA_ARGS__, NULL})

static void bad_tables(void **state)
{
    (void)state;
    REFUSED(MONGE_BAD_DATA, ",a,b\ns,1,2\nt,1\n", places, "bad.csv, line 3", "2 fields", "3");
    REFUSED(MONGE_BAD_DATA, ",a,b\ns,1,2\nt,1,2,3\n", places, "line 3", "4 fields");
    REFUSED(MONGE_BAD_DATA, ",a,b\ns,1,many\n", places, "line 2", "b is 'many'", "a number");
    REFUSED(MONGE_BAD_DATA, ",a,b\ns,1,0.5\n", places, "line 2", "b is '0.5'", "raw counts");
    REFUSED(MONGE_BAD_DATA, ",a,b\ns,-1,0\n", places, "line 2", "a is '-1'");
    REFUSED(MONGE_BAD_DATA, ",a,b\ns,,0\n", places, "line 2", "a is ''");
    REFUSED(MONGE_BAD_DATA, ",a,b\ns,16777216,0\n", places, "line 2", "16777215");
    REFUSED(MONGE_BAD_DATA, ",a,a\ns,1,2\n", places, "gene name 'a' stands twice", "1 and 2");
    REFUSED(MONGE_BAD_DATA, ",a,\ns,1,2\n", places, "line 1", "field 3");
    REFUSED(MONGE_BAD_DATA, ",a,b\ns,1,2\ns,1,2\n", "1,1\n2,2\n", "spot name 's' stands twice");
    REFUSED(MONGE_BAD_DATA, ",a,b\n", places, "no spots");
    REFUSED(MONGE_BAD_DATA, "", places, "bad.csv: the file is empty");
    REFUSED(MONGE_BAD_DATA, "name\ns\n", places, "no genes");
}

static void bad_positions(void **state)
{
    (void)state;
    static const char table[] = ",a,b\ns,1,2\nt,3,4\n";
    REFUSED(MONGE_NO_INPUT, table, NULL, "bad_coor.csv: is not there", "bad.csv");
    REFUSED(MONGE_BAD_DATA, table, "1,2\n", "bad_coor.csv", "1 positions", "2 spots");
    REFUSED(MONGE_BAD_DATA, table, "1,2\n2,3\n3,4\n", "bad_coor.csv, line 3", "2 spots");
    REFUSED(MONGE_BAD_DATA, table, "x,y\n1,2\n2,3\n", "bad_coor.csv, line 1", "x is 'x'");
    REFUSED(MONGE_BAD_DATA, table, "1,2\n2\n", "bad_coor.csv, line 2", "1 fields");
    REFUSED(MONGE_BAD_DATA, table, "1,2\n2,nan\n", "bad_coor.csv, line 2", "'t'");
    REFUSED(MONGE_BAD_DATA, table, "1,2\n1,2\n", "same position");
    write_text("bad.csv", ",a\ns,1\n", false);
    write_text("bad_coor.csv", "1,2\n", false);
    struct section section;
    path_of("bad.csv");
    assert_int_equal(section_read_stack(&section, MPI_COMM_WORLD, 2, (const char *[]){path, path}, &options), MONGE_BAD_DATA);
    assert_non_null(strstr(error_message(), "one spot only ('s')"));
}

/* shared/data/paste_breast: sizes, common genes and spacings as its README tells them (of slice 3 .9260, without the spot that it filters). */
static void breast_layers(void **state)
{
    (void)state;
    static const int64_t spots[3] = {254, 251, 264};
    static const double spacing[3] = {0.9357, 0.9500, 0.9265};
    char paths[3][512];
    for (int k = 0; k < 3; k++) {
        char name[64];
        snprintf(name, sizeof name, "data/paste_breast/slice%d.csv", k + 1);
        const char *found = shared_data(name);
        if (!found)
            return;
        snprintf(paths[k], sizeof paths[k], "%s", found);
    }
    static const int64_t common[2] = {7224, 6886};
    for (int pair = 0; pair < 2; pair++) {
        struct section section;
        if (section_read_stack(&section, MPI_COMM_WORLD, 2, (const char *[]){paths[pair], paths[pair + 1]}, &options) != MONGE_OK)
            fail_msg("%s", error_message());
        assert_int_equal(section.n_genes, common[pair]);
        for (int k = 0; k < 2; k++) {
            assert_int_equal(section.parts[k].n_spots, spots[pair + k]);
            figure("spacing", section.parts[k].spacing, "=", spacing[pair + k]);
            assert_true(fabs(section.parts[k].spacing - spacing[pair + k]) < 6e-5);
        }
        section_free(&section);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_table_is_a_section), cmocka_unit_test(in_a_stack), cmocka_unit_test(bad_tables),
                                       cmocka_unit_test(bad_positions), cmocka_unit_test(breast_layers)};
    SUITE(argc, argv, tests);
}
