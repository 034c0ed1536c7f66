/* Several sections as one: common genes, sites part by part, labels of all parts, names; what is written (opened by anndata); the same on
 * any number of ranks; what cannot be a stack. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/checkpoint.h"
#include "monge/row_fetch.h"
#include "monge/section_io.h"
#include "support/anndata.h"
#include "support/suite.h"
#include "support/tiny_h5ad.h"

static const struct read_options options = {.need_spatial = true};
static char path[3][512];

static const char *name_path(int k, const char *name)
{
    snprintf(path[k], sizeof path[k], "%s/%s", scratch_folder(), name);
    return path[k];
}

static void categorical(hid_t file, const char *name, const double *codes, int n, const char *const *categories)
{
    char part[256];
    if (file < 0)
        return;
    snprintf(part, sizeof part, "%s/codes", name);
    tiny_numbers(file, part, H5T_STD_I8LE, 1, TINY_SPOTS, 1, codes);
    snprintf(part, sizeof part, "%s/categories", name);
    tiny_texts(file, part, n, categories, false);
    tiny_text_attribute(file, name, "encoding-type", "categorical");
}

/* Layers that A calls x, y and B calls z, y; spot 3 has none. */
static double layer_code(int64_t spot)
{
    return spot == 3 ? -1.0 : (double)(spot % 2);
}

/* A has genes 00 to 03; B has 02, other, 00, 01 in its columns, lacks background information, and stands 7 apart. */
static void two_files(void)
{
    static const char *const layers[2][2] = {{"x", "y"}, {"z", "y"}}, *const genes[] = {"gene02", "other", "gene00", "gene01"},
                             *const donors[2] = {"d1", "d2"};
    double codes[TINY_SPOTS], number[TINY_SPOTS], spatial[2 * TINY_SPOTS];
    const char *donor[TINY_SPOTS];
    for (int k = 0; k < 2; k++) {
        hid_t file = tiny_h5ad(name_path(k, k ? "b.h5ad" : "a.h5ad"));
        for (int i = 0; i < TINY_SPOTS; i++) {
            codes[i] = layer_code(i);
            number[i] = i + 0.5 * k;
            donor[i] = donors[k];
            spatial[2 * i] = -30.0 + 7.0 * (i % TINY_COLS);
            spatial[2 * i + 1] = 11.0 + 7.0 * (double)(i / TINY_COLS);
        }
        categorical(file, "obs/layer", codes, 2, layers[k]);
        tiny_texts(file, "obs/donor", TINY_SPOTS, donor, false);
        tiny_numbers(file, "obs/depth", k ? H5T_IEEE_F64LE : H5T_STD_I64LE, 1, TINY_SPOTS, 1, number);
        if (k == 0)
            tiny_numbers(file, "obs/only_a", H5T_STD_I64LE, 1, TINY_SPOTS, 1, number);
        if (k == 1) {
            tiny_matrix(file, "X", "csc_matrix", H5T_IEEE_F32LE, H5T_STD_I32LE);
            tiny_texts(file, "var/_index", TINY_GENES, genes, false);
            tiny_numbers(file, "obsm/spatial", H5T_IEEE_F64LE, 2, TINY_SPOTS, 2, spatial);
            tiny_remove(file, "obs/in_tissue");
        }
        tiny_close(file);
    }
}

static void must_stack(struct section *section, MPI_Comm comm, int n, const char *const *paths)
{
    if (section_read_stack(section, comm, n, paths, &options) != MONGE_OK)
        fail_msg("%s", error_message());
}

/* The column of common gene g in the file of part k. */
static int64_t file_gene(int64_t k, int64_t g)
{
    return k == 0 ? g : (g + 2) % TINY_GENES;
}

static void check_counts(const struct section *section, int64_t site, const struct sparse_rows *rows, int64_t row)
{
    int64_t spot = section->slide.spot[site], part = spot / TINY_SPOTS, at = rows->start[row];
    for (int32_t g = 0; g < 3; g++) {
        double count = tiny_count(spot % TINY_SPOTS, part == 0 ? g : file_gene(1, g));
        if (count == 0.0)
            continue;
        assert_true(at < rows->start[row + 1]);
        assert_int_equal(rows->column[at], g);
        assert_true(rows->value[at++] == (float)count);
    }
    assert_int_equal(at, rows->start[row + 1]);
}

static void check_parts(const struct section *section)
{
    assert_int_equal(section->n_parts, 2);
    assert_int_equal(section->n_spots, 2 * TINY_SPOTS);
    assert_int_equal(section->slide.n_sites, 2 * TINY_SPOTS);
    assert_int_equal(section->slide.lattice, LATTICE_NONE);
    assert_int_equal(section->slide.block_start[section->slide.n_blocks], 2 * TINY_SPOTS);
    for (int k = 0; k < 2; k++) {
        const struct section_part *part = &section->parts[k];
        assert_string_equal(part->name, k ? "b" : "a");
        assert_string_equal(part->source, path[k]);
        assert_int_equal(part->first_spot, k * TINY_SPOTS);
        assert_int_equal(part->first_site, k * TINY_SPOTS);
        assert_int_equal(part->n_spots, TINY_SPOTS);
        assert_int_equal(part->n_sites, TINY_SPOTS);
        assert_int_equal(part->lattice, LATTICE_SQUARE);
        assert_true(fabs(part->spacing - (k ? 7.0 : 200.0)) < 1e-9);
        for (int64_t site = part->first_site; site < part->first_site + part->n_sites; site++) {
            int64_t spot = section->slide.spot[site] - part->first_spot, col = spot % TINY_COLS, row = spot / TINY_COLS;
            assert_true(spot >= 0 && spot < TINY_SPOTS);
            assert_true(section->spatial_x[site] == (k ? -30.0 + 7.0 * (double)col : 1000.0 + 200.0 * (double)col));
            assert_true(section->slide.x[site] == (double)col && section->slide.y[site] == (double)row);
            assert_int_equal(section->slide.kind[site], k || tiny_tissue(spot) ? SITE_TISSUE : SITE_BACKGROUND);
        }
    }
}

static const char *category_of(const struct result *r, int64_t i)
{
    return r->number[i] < 0.0 ? "" : r->text[(int)r->number[i]];
}

static void check_columns(const struct section *section)
{
    const struct result *layer = section_result(section, "obs/layer"), *donor = section_result(section, "obs/donor"),
                        *depth = section_result(section, "obs/depth"), *from = section_result(section, "obs/section"),
                        *only_a = section_result(section, "obs/only_a");
    assert_non_null(layer);
    assert_non_null(donor);
    assert_non_null(depth);
    assert_non_null(from);
    assert_non_null(section_result(section, "obs/array_row"));
    assert_non_null(only_a);
    assert_int_equal(layer->type, VALUE_CATEGORY);
    assert_int_equal(layer->n_categories, 3);
    assert_int_equal(donor->type, VALUE_CATEGORY);
    assert_int_equal(depth->type, VALUE_REAL);
    for (int64_t i = 0; i < section->sites.n_own; i++) {
        int64_t spot = section->slide.spot[section->sites.first + i], k = spot / TINY_SPOTS, at = spot % TINY_SPOTS;
        double code = layer_code(at);
        assert_string_equal(category_of(layer, i), code < 0.0 ? "" : code > 0.0 ? "y" : k ? "z" : "x");
        assert_string_equal(category_of(donor, i), k ? "d2" : "d1");
        assert_string_equal(category_of(from, i), k ? "b" : "a");
        assert_true(depth->number[i] == (double)at + 0.5 * (double)k);
        assert_true(k == 0 ? only_a->number[i] == (double)at : isnan(only_a->number[i]));
    }
}

static void two_sections_as_one(void **state)
{
    (void)state;
    two_files();
    const char *paths[2] = {path[0], path[1]};
    struct section section;
    must_stack(&section, MPI_COMM_WORLD, 2, paths);
    check_parts(&section);
    check_columns(&section);
    assert_int_equal(section.n_genes, 3);
    for (int g = 0; g < 3; g++) {
        char name[16];
        snprintf(name, sizeof name, "gene%02d", g);
        assert_string_equal(section.gene_name[g], name);
    }
    for (int64_t i = 0; i < section.sites.n_own; i++)
        check_counts(&section, section.sites.first + i, &section.counts, i);
    int64_t first, end;
    section_file_rows(&section, &first, &end);
    for (int64_t i = first; i < end; i++) { /* both files have the same names, so the part's name was added */
        char name[24];
        snprintf(name, sizeof name, "spot%02d-%s", (int)(i % TINY_SPOTS), i < TINY_SPOTS ? "a" : "b");
        assert_string_equal(section.spot_name[i - first], name);
    }
    int64_t far[3] = {2 * TINY_SPOTS - 1, 0, TINY_SPOTS};
    struct sparse_rows rows;
    assert_int_equal(section_fetch_rows(&section, 3, far, &rows), MONGE_OK);
    for (int k = 0; k < 3; k++)
        check_counts(&section, far[k], &rows, k);
    sparse_rows_free(&rows);
    section_free(&section);
}

/* A grey image whose cells of 8 x 8 pixels, one around each spot, have colours of their own. The other section has none. */
static void colours_under_spots(void **state)
{
    (void)state;
    enum { CELL = 8, HEIGHT = TINY_ROWS * CELL, WIDTH = TINY_COLS * CELL };
    double place[2 * TINY_SPOTS], pixel[HEIGHT * WIDTH], scale = 0.5;
    two_files();
    hid_t file = tiny_open(path[0]);
    for (int i = 0; i < TINY_SPOTS; i++) {
        place[2 * i] = (CELL * (i % TINY_COLS) + 0.5 * (CELL - 1)) / scale;
        place[2 * i + 1] = (CELL * (double)(i / TINY_COLS) + 0.5 * (CELL - 1)) / scale;
    }
    for (int p = 0; p < HEIGHT * WIDTH; p++)
        pixel[p] = (double)(p % WIDTH / CELL) / 10.0 + (double)(p / WIDTH / CELL) / 100.0;
    tiny_numbers(file, "obsm/spatial", H5T_IEEE_F64LE, 2, TINY_SPOTS, 2, place);
    tiny_numbers(file, "uns/spatial/tiny/images/lowres", H5T_IEEE_F64LE, 2, HEIGHT, WIDTH, pixel);
    tiny_numbers(file, "uns/spatial/tiny/scalefactors/tissue_lowres_scalef", H5T_IEEE_F64LE, 0, 1, 1, &scale);
    tiny_close(file);
    const char *paths[2] = {path[0], path[1]};
    struct section section;
    must_stack(&section, MPI_COMM_WORLD, 2, paths);
    const struct result *blue = section_result(&section, "obs/image_blue");
    assert_non_null(section_result(&section, "obs/image_red"));
    assert_non_null(blue);
    for (int64_t i = 0; i < section.sites.n_own; i++) {
        int64_t spot = section.slide.spot[section.sites.first + i];
        double expected = (double)(spot % TINY_COLS) / 10.0 + (double)(spot / TINY_COLS) / 100.0;
        assert_true(spot < TINY_SPOTS ? fabs(blue->number[i] - expected) < 1e-6 : isnan(blue->number[i]));
    }
    section_free(&section);
}

/* The whole file; a categorical and a sparse result of a step beside what came with the parts. */
static void written_and_opened(void **state)
{
    (void)state;
    two_files();
    const char *paths[2] = {path[0], path[1]}, *const places[2] = {"left", "right"};
    const int64_t start[4] = {0, 2, 2, 3}, column[3] = {1, 4, 0};
    const double value[3] = {0.25, 1e-300, 3.0};
    struct section section;
    must_stack(&section, MPI_COMM_WORLD, 2, paths);
    double *code = calloc((size_t)section.sites.n_own + 1, sizeof *code);
    for (int64_t i = 0; i < section.sites.n_own; i++)
        code[i] = section.slide.spot[section.sites.first + i] == 5 ? NAN : (double)(section.slide.spot[section.sites.first + i] >= 10);
    assert_int_equal(section_add_obs_category(&section, "place", 2, places, code), MONGE_OK);
    assert_int_equal(section_add_uns_sparse(&section, "monge/align/plan", 3, 5, start, column, value), MONGE_OK);
    free(code);
    const char *output = name_path(2, "stack.h5ad");
    if (section_write(&section, output) != MONGE_OK)
        fail_msg("%s", error_message());
    section_free(&section);
    check_in_python(output,
                    "\"a.shape == (60, 3)\" \"list(a.var_names) == ['gene00', 'gene01', 'gene02']\" "
                    "\"a.obs_names[0] == 'spot00-a' and a.obs_names[59] == 'spot29-b'\" "
                    "\"a.X[7, 1] == (7 * 7 + 3) % 5 and a.X[37, 0] == (7 * 7 + 6) % 5\" "
                    "\"list(a.obs['section'].cat.categories) == ['a', 'b'] and list(a.obs['section'].cat.codes) == [0] * 30 + [1] * 30\" "
                    "\"list(a.obs['layer'].cat.categories) == ['x', 'y', 'z'] and a.obs['layer'].isna().sum() == 2\" "
                    "\"a.obs['layer'][30] == 'z' and a.obs['layer'][31] == 'y' and a.obs['donor'][59] == 'd2'\" "
                    "\"a.obs['in_tissue'].sum() == 46 and a.obs['array_col'][34] == 4 and a.obs['depth'][31] == 1.5\" "
                    "\"a.obsm['spatial'][31, 0] == -23.0\" "
                    "\"a.obs['place'].isna().sum() == 1 and (a.obs['place'] == 'right').sum() == 50\" "
                    "\"type(a.uns['monge']['align']['plan']).__name__ == 'csr_matrix'\" "
                    "\"a.uns['monge']['align']['plan'].dtype == 'float64' and a.uns['monge']['align']['plan'].shape == (3, 5)\" "
                    "\"a.uns['monge']['align']['plan'].toarray()[0].tolist() == [0.0, 0.25, 0.0, 0.0, 1e-300]\" "
                    "\"list(a.uns['monge']['stack']['name']) == ['a', 'b']\"");
}

/* All ranks against one. */
static void the_same_on_any_ranks(void **state)
{
    (void)state;
    two_files();
    const char *paths[3] = {path[1], path[0], path[1]};
    struct section all, one;
    must_stack(&all, MPI_COMM_WORLD, 3, paths);
    must_stack(&one, MPI_COMM_SELF, 3, paths);
    MPI_Barrier(MPI_COMM_WORLD); /* the next test writes the files anew */
    assert_string_equal(one.parts[0].name, "b");
    assert_string_equal(one.parts[2].name, "b-1");
    assert_int_equal(all.slide.n_sites, one.slide.n_sites);
    assert_memory_equal(all.slide.spot, one.slide.spot, (size_t)one.slide.n_sites * sizeof *one.slide.spot);
    for (int64_t i = 0; i < all.sites.n_own; i++) {
        int64_t site = all.sites.first + i, a = all.counts.start[i], b = one.counts.start[site], n = one.counts.start[site + 1] - b;
        assert_int_equal(all.counts.start[i + 1] - a, n);
        assert_memory_equal(all.counts.column + a, one.counts.column + b, (size_t)n * sizeof *one.counts.column);
        assert_memory_equal(all.counts.value + a, one.counts.value + b, (size_t)n * sizeof *one.counts.value);
        assert_true(section_result(&all, "obs/layer")->number[i] == section_result(&one, "obs/layer")->number[site]);
    }
    section_free(&all);
    section_free(&one);
}

/* ---- refusals ---- */

static void refused(status code, const char *const *parts)
{
    struct section section;
    const char *paths[2] = {path[0], path[1]};
    status s = section_read_stack(&section, MPI_COMM_WORLD, 2, paths, &options);
    if (s != code)
        fail_msg("code %d (%s) instead of %d", s, error_message(), code);
    for (; *parts; parts++)
        if (!strstr(error_message(), *parts))
            fail_msg("'%s' lacks '%s'", error_message(), *parts);
    assert_null(section.slide.kind);
    MPI_Barrier(MPI_COMM_WORLD);
}
#define REFUSED(code, ...) refused(code, (const char *const[]){__VA_ARGS__, NULL})

/* What was written is read as the stack that it was, on any ranks, and takes further results. */
static void read_back(void **state)
{
    (void)state;
    two_files();
    const char *paths[2] = {path[0], path[1]};
    struct section stack, back;
    must_stack(&stack, MPI_COMM_WORLD, 2, paths);
    const char *output = name_path(2, "stack.h5ad");
    assert_int_equal(section_write(&stack, output), MONGE_OK);
    if (section_read(&back, MPI_COMM_WORLD, output, &options) != MONGE_OK)
        fail_msg("%s", error_message());
    assert_int_equal(back.n_parts, 2);
    assert_int_equal(back.slide.n_blocks, stack.slide.n_blocks);
    assert_true(section_checksum(&stack) != 0 && back.sites.n_own == stack.sites.n_own);
    for (int k = 0; k < 2; k++) {
        assert_string_equal(back.parts[k].name, stack.parts[k].name);
        assert_string_equal(back.parts[k].source, output);
        assert_true(back.parts[k].spacing == stack.parts[k].spacing);
        assert_int_equal(back.parts[k].first_spot, stack.parts[k].first_spot);
        assert_int_equal(back.parts[k].first_site, stack.parts[k].first_site);
    }
    size_t n = (size_t)stack.slide.n_sites;
    assert_memory_equal(back.slide.spot, stack.slide.spot, n * sizeof *stack.slide.spot);
    assert_memory_equal(back.slide.kind, stack.slide.kind, n);
    assert_memory_equal(back.slide.x, stack.slide.x, n * sizeof *stack.slide.x);
    assert_memory_equal(back.spatial_y, stack.spatial_y, n * sizeof *stack.spatial_y);
    for (int64_t i = 0; i < back.sites.n_own; i++)
        check_counts(&back, back.sites.first + i, &back.counts, i);
    struct section_size size;
    assert_int_equal(section_size_read(&size, output, &options), MONGE_OK);
    assert_int_equal(size.n_sites, 2 * TINY_SPOTS);
    assert_int_equal(section_add_obs(&back, "twice", VALUE_REAL, back.spatial_x + back.sites.first), MONGE_OK);
    const char *again = name_path(2, "again.h5ad");
    assert_int_equal(section_write(&back, again), MONGE_OK);
    section_free(&stack);
    section_free(&back);
    check_in_python(again, "\"(a.obs['twice'] == a.obsm['spatial'][:, 0]).all()\" \"a.obs['donor'][59] == 'd2' and a.shape == (60, 3)\"");
    name_path(0, "again.h5ad");
    name_path(1, "again.h5ad");
    REFUSED(MONGE_BAD_DATA, path[0], "holds 2 sections already");
}

/* ---- genes by id ---- */

static void genes_by_id(void **state)
{
    (void)state;
    two_files();
    static const char *const ids[2][4] = {{"E0", "E1", "E2", "E3"}, {"E3", "E0", "X", "Y"}}, *const other[] = {"p", "q", "r", "s"};
    for (int k = 0; k < 2; k++) {
        hid_t file = tiny_open(path[k]);
        tiny_texts(file, "var/gene_ids", TINY_GENES, ids[k], false);
        if (k == 1)
            tiny_texts(file, "var/_index", TINY_GENES, other, false);
        tiny_close(file);
    }
    const char *paths[2] = {path[0], path[1]};
    struct section section;
    must_stack(&section, MPI_COMM_WORLD, 2, paths);
    assert_int_equal(section.n_genes, 2);
    assert_string_equal(section.gene_name[1], "gene03");
    assert_string_equal(section.gene_id[1], "E3");
    for (int64_t i = 0; i < section.sites.n_own; i++) {
        int64_t spot = section.slide.spot[section.sites.first + i], at = spot % TINY_SPOTS;
        double total = spot < TINY_SPOTS ? tiny_count(at, 0) + tiny_count(at, 3) : tiny_count(at, 1) + tiny_count(at, 0), sum = 0.0;
        for (int64_t e = section.counts.start[i]; e < section.counts.start[i + 1]; e++)
            sum += section.counts.value[e];
        assert_true(sum == total);
    }
    section_free(&section);
}

static void what_is_no_stack(void **state)
{
    (void)state;
    static const char *const other[] = {"p", "q", "r", "s"};
    two_files();
    hid_t file = tiny_open(path[1]);
    tiny_texts(file, "var/_index", TINY_GENES, other, false);
    tiny_close(file);
    REFUSED(MONGE_BAD_DATA, path[0], path[1], "no gene in common", "gene00", "p, q, r");

    two_files();
    const double nan_place[2 * TINY_SPOTS] = {1.0, 2.0, NAN, 3.0};
    file = tiny_open(path[1]);
    tiny_numbers(file, "obsm/spatial", H5T_IEEE_F64LE, 2, TINY_SPOTS, 2, nan_place);
    tiny_close(file);
    REFUSED(MONGE_BAD_DATA, path[1], "'spot01'", "no finite position");

    double twice[2 * TINY_SPOTS];
    for (int i = 0; i < 2 * TINY_SPOTS; i++)
        twice[i] = i == 58 || i == 59 ? 0.0 : (double)i + 1.0;
    twice[2] = twice[3] = 0.0;
    file = tiny_open(path[1]);
    tiny_numbers(file, "obsm/spatial", H5T_IEEE_F64LE, 2, TINY_SPOTS, 2, twice);
    tiny_close(file);
    REFUSED(MONGE_BAD_DATA, path[1], "'spot01' and 'spot29'", "same position");

    file = tiny_open(path[1]);
    tiny_remove(file, "obsm/spatial");
    tiny_remove(file, "obs/array_row");
    tiny_remove(file, "obs/array_col");
    tiny_close(file);
    REFUSED(MONGE_BAD_DATA, path[1], "need positions");

    two_files();
    file = tiny_open(path[1]);
    if (file >= 0)
        tiny_poke(file, "obs/layer/codes", 4, 7.0);
    tiny_close(file);
    REFUSED(MONGE_BAD_DATA, path[1], "obs/layer/codes entry 4", "2 categories");
    name_path(1, "absent.h5ad");
    REFUSED(MONGE_NO_INPUT, path[1], "No such file");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_sections_as_one),   cmocka_unit_test(colours_under_spots), cmocka_unit_test(written_and_opened),
        cmocka_unit_test(the_same_on_any_ranks), cmocka_unit_test(read_back),           cmocka_unit_test(genes_by_id),
        cmocka_unit_test(what_is_no_stack),
    };
    SUITE(argc, argv, tests);
}
