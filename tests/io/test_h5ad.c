/* .h5ad: every encoding that is read, what is written (opened by anndata), objects of the input preserved, the same bytes from any
 * number of ranks, the real section. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "monge/section_io.h"
#include "support/anndata.h"
#include "support/same_objects.h"
#include "support/suite.h"
#include "support/tiny_h5ad.h"

static const struct read_options spatial = {.need_spatial = true};

static const char *scratch_file(const char *name)
{
    static char path[4][512];
    static int next;
    char *at = path[next++ % 4];
    snprintf(at, 512, "%s/%s", scratch_folder(), name);
    return at;
}

static void must_read(struct section *section, MPI_Comm comm, const char *path, const struct read_options *options)
{
    if (section_read(section, comm, path, options) != MONGE_OK)
        fail_msg("%s", error_message());
}

static void must_write(struct section *section, const char *path)
{
    if (section_write(section, path) != MONGE_OK)
        fail_msg("%s", error_message());
}

/* --- reading ----------------------------------------------------------------------------------------------------------- */

/* The section of a tiny file holds its counts at its places. */
static void check_tiny(const struct section *section)
{
    assert_int_equal(section->n_spots, TINY_SPOTS);
    assert_int_equal(section->n_genes, TINY_GENES);
    assert_int_equal(section->slide.lattice, LATTICE_SQUARE);
    assert_string_equal(section->gene_name[3], "gene03");
    assert_int_equal(section->counts.n_rows, section->sites.n_own);
    for (int64_t i = 0; i < section->sites.n_own; i++) {
        int64_t site = section->sites.first + i, spot = section->slide.spot[site], at = section->counts.start[i];
        int32_t row, col;
        slide_cell(&section->slide, site, &row, &col);
        assert_int_equal(spot, row * TINY_COLS + col);
        assert_int_equal(section->slide.kind[site], tiny_tissue(spot) ? SITE_TISSUE : SITE_BACKGROUND);
        for (int32_t gene = 0; gene < TINY_GENES; gene++)
            if (tiny_count(spot, gene) > 0.0) {
                assert_true(at < section->counts.start[i + 1]);
                assert_int_equal(section->counts.column[at], gene);
                assert_true(section->counts.value[at++] == (float)tiny_count(spot, gene));
            }
        assert_int_equal(at, section->counts.start[i + 1]);
    }
}

static void read_tiny(const char *path, const char *layer)
{
    struct read_options options = {.layer = layer, .need_spatial = true};
    struct section section;
    must_read(&section, MPI_COMM_WORLD, path, &options);
    check_tiny(&section);
    section_free(&section);
}

static void matrices_of_every_encoding(void **state)
{
    (void)state;
    static const char *const encodings[] = {"csr_matrix", "csc_matrix", "array"};
    const hid_t values[] = {H5T_IEEE_F32LE, H5T_IEEE_F64LE, H5T_STD_I32LE, H5T_STD_I64LE, H5T_STD_U8LE},
                indices[] = {H5T_STD_I32LE, H5T_STD_I64LE, H5T_STD_U32LE};
    const char *path = scratch_file("matrix.h5ad");
    for (int e = 0; e < 3; e++)
        for (int k = 0; k < 5; k++) {
            hid_t file = tiny_h5ad(path);
            tiny_matrix(file, "X", encodings[e], values[k], indices[k % 3]);
            tiny_close(file);
            read_tiny(path, NULL);
        }
}

static void layers_and_raw(void **state)
{
    (void)state;
    const char *path = scratch_file("layers.h5ad");
    hid_t file = tiny_h5ad(path);
    tiny_remove(file, "X");
    tiny_matrix(file, "layers/counts", "csc_matrix", H5T_STD_I32LE, H5T_STD_I32LE);
    tiny_matrix(file, "raw/X", "csr_matrix", H5T_IEEE_F32LE, H5T_STD_I32LE);
    const char *names[] = {"gene00", "gene01", "gene02", "gene03"};
    tiny_texts(file, "raw/var/_index", TINY_GENES, names, true);
    if (file >= 0)
        tiny_text_attribute(file, "raw/var", "encoding-type", "dataframe");
    tiny_close(file);
    read_tiny(path, "counts");
    read_tiny(path, "raw");
}

static void columns_of_every_kind(void **state)
{
    (void)state;
    const char *path = scratch_file("columns.h5ad"), *words[TINY_SPOTS], *truths[] = {"False", "True"}, *digits[] = {"0", "1"};
    double tissue[TINY_SPOTS], no_mask[TINY_SPOTS] = {0.0};
    for (int i = 0; i < TINY_SPOTS; i++) {
        tissue[i] = tiny_tissue(i);
        words[i] = digits[tiny_tissue(i)];
    }
    for (int kind = 0; kind < 7; kind++) {
        hid_t file = tiny_h5ad(path);
        tiny_remove(file, "obs/in_tissue");
        if (kind == 0) {
            tiny_numbers(file, "obs/in_tissue", H5T_IEEE_F64LE, 1, TINY_SPOTS, 1, tissue);
        } else if (kind == 1) { /* anndata's booleans */
            tiny_numbers(file, "obs/in_tissue", H5T_STD_I8LE, 1, TINY_SPOTS, 1, tissue);
            if (file >= 0) {
                hid_t boolean = H5Tenum_create(H5T_STD_I8LE);
                int8_t value = 0;
                H5Tenum_insert(boolean, "FALSE", &value);
                value = 1;
                H5Tenum_insert(boolean, "TRUE", &value);
                int8_t bytes[TINY_SPOTS];
                for (int i = 0; i < TINY_SPOTS; i++)
                    bytes[i] = tiny_tissue(i);
                tiny_remove(file, "obs/in_tissue");
                hsize_t extent = TINY_SPOTS;
                hid_t space = H5Screate_simple(1, &extent, NULL);
                hid_t dataset = H5Dcreate2(file, "obs/in_tissue", boolean, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
                H5Dwrite(dataset, boolean, H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes);
                H5Dclose(dataset);
                H5Sclose(space);
                H5Tclose(boolean);
            }
        } else if (kind == 2 || kind == 3) { /* categorical: texts, variable and fixed */
            tiny_numbers(file, "obs/in_tissue/codes", H5T_STD_I8LE, 1, TINY_SPOTS, 1, tissue);
            tiny_texts(file, "obs/in_tissue/categories", 2, kind == 2 ? truths : digits, kind == 3);
            tiny_text_attribute(file, "obs/in_tissue", "encoding-type", "categorical");
        } else if (kind == 4) { /* before 0.8 */
            tiny_numbers(file, "obs/in_tissue", H5T_STD_I8LE, 1, TINY_SPOTS, 1, tissue);
            tiny_texts(file, "obs/__categories/in_tissue", 2, digits, false);
        } else if (kind == 5) { /* nullable */
            tiny_numbers(file, "obs/in_tissue/values", H5T_STD_I64LE, 1, TINY_SPOTS, 1, tissue);
            tiny_numbers(file, "obs/in_tissue/mask", H5T_STD_I8LE, 1, TINY_SPOTS, 1, no_mask);
        } else { /* text */
            tiny_texts(file, "obs/in_tissue", TINY_SPOTS, words, false);
        }
        tiny_close(file);
        read_tiny(path, NULL);
    }
}

static void positions_alone(void **state)
{
    (void)state;
    const char *path = scratch_file("positions.h5ad");
    hid_t file = tiny_h5ad(path);
    tiny_remove(file, "obs/array_row");
    tiny_remove(file, "obs/array_col");
    tiny_close(file);
    read_tiny(path, NULL);
    file = tiny_open(path);
    tiny_remove(file, "obsm/spatial");
    tiny_remove(file, "obs/in_tissue");
    tiny_close(file);
    struct section section;
    const struct read_options any = {.need_spatial = false};
    must_read(&section, MPI_COMM_WORLD, path, &any); /* no place at all: still a section, in file order */
    assert_null(section.spatial_x);
    for (int64_t site = 0; site < TINY_SPOTS; site++)
        assert_int_equal(section.slide.spot[site], site);
    section_free(&section);
}

/* --- writing ----------------------------------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

/* A section made in memory, the same on any communicator. */
static struct section made_section(MPI_Comm comm, enum lattice lattice, int32_t rows, int32_t cols, int64_t genes)
{
    struct section section = {.comm = comm, .n_spots = (int64_t)rows * cols, .n_genes = genes};
    uint8_t *kind = malloc((size_t)section.n_spots);
    for (int64_t i = 0; i < section.n_spots; i++)
        kind[i] = hypot((double)(i / cols) - rows / 2.0, (double)(i % cols) - cols / 2.0) < rows / 3.0 ? SITE_TISSUE : SITE_BACKGROUND;
    assert_int_equal(slide_new_lattice(&section.slide, lattice, rows, cols, kind), MONGE_OK);
    free(kind);
    section.slide.pitch_um = 100.0;
    section.source = strdup("simulated");
    section.counts_name = strdup("X");
    assert_int_equal(partition_new(&section.sites, comm, section.slide.n_blocks, section.slide.block_start), MONGE_OK);
    section.gene_name = calloc((size_t)genes, sizeof *section.gene_name);
    for (int64_t g = 0; g < genes; g++) {
        char name[32];
        snprintf(name, sizeof name, "made%04d", (int)g);
        section.gene_name[g] = strdup(name);
    }
    struct sparse_rows *counts = &section.counts;
    int64_t n = section.sites.n_own, most = n * genes;
    *counts = (struct sparse_rows){n, malloc((size_t)(n + 1) * 8), malloc((size_t)(most + 1) * 4), malloc((size_t)(most + 1) * 4)};
    counts->start[0] = 0;
    for (int64_t i = 0, at = 0; i < n; i++) {
        for (int64_t g = 0; g < genes; g++) {
            uint64_t random = mix((uint64_t)((section.sites.first + i) * genes + g) * 0x9E3779B97F4A7C15u);
            if (random % 3)
                continue;
            counts->column[at] = (int32_t)g;
            counts->value[at++] = (float)(1 + (random >> 32) % 50);
        }
        counts->start[i + 1] = at;
    }
    return section;
}

static struct sparse_rows copy_rows(const struct sparse_rows *rows)
{
    size_t n = (size_t)rows->start[rows->n_rows];
    struct sparse_rows copy = {rows->n_rows, malloc(((size_t)rows->n_rows + 1) * 8), malloc((n + 1) * 4), malloc((n + 1) * 4)};
    memcpy(copy.start, rows->start, ((size_t)rows->n_rows + 1) * 8);
    memcpy(copy.column, rows->column, n * 4);
    memcpy(copy.value, rows->value, n * 4);
    return copy;
}

/* One result of every kind; values depend on the site or gene only. */
static void add_results(struct section *section)
{
    int64_t n = section->sites.n_own;
    struct sparse_rows layer = copy_rows(&section->counts);
    assert_int_equal(section_add_layer(section, "corrected", &layer, true), MONGE_OK);
    layer = copy_rows(&section->counts);
    for (int64_t e = 0; e < layer.start[n]; e++)
        layer.value[e] *= 0.25f;
    assert_int_equal(section_add_layer(section, "mean", &layer, false), MONGE_OK);
    double *own = malloc((size_t)(3 * n + 1) * sizeof *own), *genes = malloc((size_t)(2 * section->n_genes) * sizeof *genes);
    for (int64_t i = 0; i < 3 * n; i++)
        own[i] = (double)section->slide.spot[section->sites.first + i / 3] + 0.125 * (double)(i % 3);
    assert_int_equal(section_add_obsm(section, "X_pca", 3, own), MONGE_OK);
    for (int64_t i = 0; i < n; i++)
        own[i] = (double)section->slide.spot[section->sites.first + i];
    assert_int_equal(section_add_obs(section, "row_number", VALUE_INTEGER, own), MONGE_OK);
    assert_int_equal(section_add_obs(section, "factor", VALUE_REAL, own), MONGE_OK);
    for (int64_t i = 0; i < n; i++)
        own[i] = own[i] > 7.0;
    assert_int_equal(section_add_obs(section, "late", VALUE_BOOL, own), MONGE_OK);
    for (int64_t g = 0; g < 2 * section->n_genes; g++)
        genes[g] = (double)g;
    assert_int_equal(section_add_varm(section, "weights", 2, genes), MONGE_OK);
    assert_int_equal(section_add_var(section, "number", VALUE_INTEGER, genes), MONGE_OK);
    genes[1] = NAN;
    assert_int_equal(section_add_var(section, "partly", VALUE_INTEGER, genes), MONGE_OK);
    free(own);
    free(genes);
    const int64_t dims[2] = {2, 3};
    const double grid[6] = {0.0, 1.0, 2.0, 3.0, 4.0, 5.0};
    const char *texts[] = {"first", "second \xc2\xb5m"};
    assert_int_equal(section_add_uns_real(section, "monge/correct/beta", 0.5), MONGE_OK);
    assert_int_equal(section_add_uns_integer(section, "monge/correct/seed", 7), MONGE_OK);
    assert_int_equal(section_add_uns_bool(section, "monge/correct/rounded", true), MONGE_OK);
    assert_int_equal(section_add_uns_text(section, "monge/correct/version", "0.1"), MONGE_OK);
    assert_int_equal(section_add_uns_array(section, "monge/correct/selection/grid", 2, dims, grid), MONGE_OK);
    assert_int_equal(section_add_uns_texts(section, "monge/correct/warnings", 2, texts), MONGE_OK);
    assert_int_equal(section_add_uns_texts(section, "monge/correct/none", 0, NULL), MONGE_OK);
}

static const char *const result_checks =
    "\"a.layers['corrected'].dtype == np.int32\" \"(a.layers['corrected'] != a.X).nnz == 0\" \"a.layers['mean'].dtype == np.float32\" "
    "\"abs(a.layers['mean'] * 4 - a.X).max() == 0\" \"a.layers['corrected'].has_sorted_indices\" "
    "\"(a.obs['row_number'] == np.arange(a.n_obs)).values\" \"a.obs['row_number'].dtype == np.int64\" "
    "\"(a.obs['factor'] == np.arange(a.n_obs)).values\" \"a.obs['factor'].dtype == np.float64\" "
    "\"a.obs['late'].dtype == bool\" \"a.obs['late'].sum() == a.n_obs - 8\" "
    "\"(a.obsm['X_pca'] == np.arange(a.n_obs)[:, None] + [0, .125, .25])\" \"a.var['number'].dtype == np.int64\" "
    "\"a.varm['weights'].shape == (a.n_vars, 2)\" \"bool(np.isnan(a.var['partly'].iloc[1]))\" \"a.var['partly'].iloc[3] == 3\" "
    "\"a.uns['monge']['correct']['beta'] == .5\" \"a.uns['monge']['correct']['seed'] == 7\" "
    "\"bool(a.uns['monge']['correct']['rounded'])\" \"a.uns['monge']['correct']['version'] == '0.1'\" "
    "\"(a.uns['monge']['correct']['selection']['grid'] == np.arange(6).reshape(2, 3))\" "
    "\"list(a.uns['monge']['correct']['warnings']) == ['first', 'second \xc2\xb5m']\" \"len(a.uns['monge']['correct']['none']) == 0\" ";

static void made_in_memory(void **state)
{
    (void)state;
    const char *path = scratch_file("made.h5ad");
    for (int lattice = 0; lattice < 2; lattice++) {
        struct section made = made_section(MPI_COMM_WORLD, (enum lattice)lattice, 37, 29, 11), back;
        add_results(&made);
        must_write(&made, path);
        double bytes, seconds;
        section_io_rate(&bytes, &seconds);
        assert_true(bytes > 8.0 * 37 * 29 && seconds > 0.0);
        must_read(&back, MPI_COMM_WORLD, path, &spatial);
        assert_int_equal(back.slide.lattice, made.slide.lattice);
        assert_int_equal(back.slide.n_sites, made.slide.n_sites);
        assert_memory_equal(back.slide.kind, made.slide.kind, (size_t)made.slide.n_sites);
        assert_memory_equal(back.slide.spot, made.slide.spot, (size_t)made.slide.n_sites * 8);
        assert_memory_equal(back.counts.start, made.counts.start, ((size_t)made.counts.n_rows + 1) * 8);
        assert_memory_equal(back.counts.column, made.counts.column, (size_t)made.counts.start[made.counts.n_rows] * 4);
        assert_memory_equal(back.counts.value, made.counts.value, (size_t)made.counts.start[made.counts.n_rows] * 4);
        for (int g = 0; g < 11; g++)
            assert_string_equal(back.gene_name[g], made.gene_name[g]);
        for (int64_t site = 0; site < made.slide.n_sites; site++) {
            double x, y;
            slide_position(&made.slide, site, &x, &y);
            assert_true(hypot(back.spatial_x[site] - 100.0 * x, back.spatial_y[site] - 100.0 * y) < 1e-9);
        }
        section_free(&made);
        section_free(&back);
        check_in_python(path, result_checks);
        check_in_python(path,
                        "\"a.X.dtype == np.float32\" \"a.shape == (37 * 29, 11)\" \"a.obs_names[5] == 'spot_0005'\" "
                        "\"a.var_names[10] == 'made0010'\" \"set(a.obs['in_tissue']) == {0, 1}\" "
                        "\"a.obs['array_row'].iloc[29] == 1\" \"list(a.obs.columns[:3]) == ['in_tissue', 'array_row', 'array_col']\"");
    }
}

/* What an earlier run left and the new one does not write again is gone, the rest is carried over. */
static void results_of_an_earlier_run(void **state)
{
    (void)state;
    static const char *const outdated[] = {"uns/monge/correct", "obs/late",    "obs/factor", "varm/weights",
                                           "layers/mean",       "obsm/absent", NULL};
    const char *path = scratch_file("earlier.h5ad");
    struct section section = made_section(MPI_COMM_WORLD, LATTICE_SQUARE, 19, 23, 7);
    add_results(&section);
    must_write(&section, path);
    section_free(&section);
    must_read(&section, MPI_COMM_WORLD, path, &spatial);
    assert_int_equal(section_outdate(&section, outdated), MONGE_OK);
    double *own = calloc((size_t)section.sites.n_own + 1, sizeof *own);
    assert_int_equal(section_add_obs(&section, "factor", VALUE_REAL, own), MONGE_OK);
    free(own);
    assert_int_equal(section_add_uns_real(&section, "monge/correct/beta", 0.25), MONGE_OK);
    must_write(&section, path);
    section_free(&section);
    check_in_python(path, "\"list(a.uns['monge']['correct']) == ['beta']\" \"a.uns['monge']['correct']['beta'] == .25\" "
                          "\"'late' not in a.obs\" \"(a.obs['factor'] == 0).all()\" \"'row_number' in a.obs\" \"'X_pca' in a.obsm\" "
                          "\"'weights' not in a.varm\" \"'mean' not in a.layers\" \"'corrected' in a.layers\" \"'number' in a.var\"");
}

static void input_that_vanishes(void **state)
{
    (void)state;
    char input[4096];
    snprintf(input, sizeof input, "%s", scratch_file("vanishing.h5ad"));
    struct section section = made_section(MPI_COMM_WORLD, LATTICE_SQUARE, 19, 23, 7);
    must_write(&section, input);
    section_free(&section);
    must_read(&section, MPI_COMM_WORLD, input, &spatial);
    MPI_Barrier(MPI_COMM_WORLD);
    if (suite_rank() == 0)
        remove(input);
    MPI_Barrier(MPI_COMM_WORLD);
    const char *output = scratch_file("without_input.h5ad");
    assert_int_equal(section_write(&section, output), MONGE_NO_INPUT);
    assert_non_null(strstr(error_message(), input));
    assert_non_null(strstr(error_message(), "must stay"));
    assert_int_not_equal(access(output, F_OK), 0);
    section_free(&section);
}

static void beads_made_in_memory(void **state)
{
    (void)state;
    enum { N = 700 };
    static double x[N], y[N];
    static uint8_t tissue[N];
    for (int i = 0; i < N; i++) {
        x[i] = (double)(mix((uint64_t)i + 1) % 100000) / 100.0;
        y[i] = (double)(mix((uint64_t)i + 100001) % 100000) / 100.0;
        tissue[i] = x[i] < 600.0;
    }
    struct spot_table table = {N, NULL, NULL, x, y, tissue, "beads", false};
    struct section made = {.comm = MPI_COMM_WORLD, .n_spots = N, .n_genes = 1}, back;
    assert_int_equal(slide_new(&made.slide, &table, HOLES_FILL), MONGE_OK);
    assert_int_equal(partition_new(&made.sites, MPI_COMM_WORLD, made.slide.n_blocks, made.slide.block_start), MONGE_OK);
    made.gene_name = calloc(1, sizeof *made.gene_name);
    made.gene_name[0] = strdup("only");
    made.counts.n_rows = made.sites.n_own;
    made.counts.start = calloc((size_t)made.sites.n_own + 1, 8);
    made.counts.column = calloc(1, 4);
    made.counts.value = calloc(1, 4);
    const char *path = scratch_file("beads.h5ad");
    must_write(&made, path);
    check_in_python(path, "\"a.X.nnz == 0\" \"'array_row' not in a.obs\"");
    must_read(&back, MPI_COMM_WORLD, path, &spatial);
    assert_int_equal(back.slide.lattice, LATTICE_NONE);
    assert_memory_equal(back.slide.spot, made.slide.spot, N * 8);
    section_free(&made);
    section_free(&back);
}

/* Everything of the input survives, and results replace what bears their names. */
static void input_is_preserved(void **state)
{
    (void)state;
    const char *in = scratch_file("full.h5ad"), *out = scratch_file("full_out.h5ad"), *again = scratch_file("full_again.h5ad");
    hid_t file = tiny_h5ad(in);
    const double four[] = {1.5, -2.0, 0.0, 9.0}, three[] = {0.0, 1.0, -1.0};
    const char *texts[] = {"a", "b\xc3\xa9", "c"}, *ids[] = {"E1", "E2", "E3", "E4"};
    tiny_matrix(file, "layers/other", "csc_matrix", H5T_STD_I32LE, H5T_STD_I64LE);
    tiny_matrix(file, "layers/corrected", "array", H5T_IEEE_F64LE, H5T_STD_I32LE); /* replaced */
    tiny_texts(file, "var/gene_ids", TINY_GENES, ids, true);
    tiny_numbers(file, "varm/loadings", H5T_IEEE_F32LE, 2, 4, 1, four);
    double pairs[TINY_SPOTS * TINY_SPOTS] = {0.0};
    tiny_numbers(file, "obsp/distances", H5T_IEEE_F32LE, 2, TINY_SPOTS, TINY_SPOTS, pairs);
    tiny_texts(file, "uns/notes/words", 3, texts, false);
    tiny_numbers(file, "uns/notes/numbers", H5T_IEEE_F64BE, 1, 3, 1, three);
    tiny_numbers(file, "uns/monge/earlier/kept", H5T_STD_I16LE, 0, 1, 1, four);
    tiny_numbers(file, "uns/monge/correct", H5T_STD_I16LE, 0, 1, 1, four); /* a value where results need a dict */
    tiny_numbers(file, "uns/unknown/to/monge", H5T_STD_U16LE, 1, 3, 1, three + 1 - 1);
    if (file >= 0)
        H5Lcreate_soft("/uns/notes/words", file, "uns/link", H5P_DEFAULT, H5P_DEFAULT);
    tiny_close(file);
    struct section section;
    must_read(&section, MPI_COMM_WORLD, in, &spatial);
    assert_string_equal(section.gene_id[2], "E3");
    add_results(&section);
    must_write(&section, out);
    must_write(&section, in); /* over its own input */
    section_free(&section);
    check_in_python(out, result_checks);
    check_in_python(out, "\"list(a.obs.columns) == ['in_tissue', 'array_row', 'array_col', 'row_number', 'factor', 'late']\" "
                         "\"a.uns['monge']['earlier']['kept'] == 1\" \"list(a.uns['link']) == list(a.uns['notes']['words'])\"");
    if (suite_rank() == 0) {
        static const char *const except[] = {"layers/corrected", "uns/monge/correct", "obs@column-order", "var@column-order", NULL};
        int n = same_objects(out, in, NULL); /* in was overwritten with the same output */
        assert_true(n > 40);
        file = tiny_h5ad(again); /* the plain file: all its objects are in the output */
        H5Fclose(file);
        n = same_objects(again, out, except);
        figure("objects of the plain input found unchanged in the output", n, ">=", 14);
        assert_true(n >= 14);
    }
    MPI_Barrier(MPI_COMM_WORLD);
}

/* anndata 0.7 links a categorical column to its categories by an object reference, which a copy must renew. */
static void references_survive(void **state)
{
    (void)state;
    const char *in = scratch_file("old.h5ad"), *out = scratch_file("old_out.h5ad");
    hid_t file = tiny_h5ad(in);
    double tissue[TINY_SPOTS];
    for (int i = 0; i < TINY_SPOTS; i++)
        tissue[i] = tiny_tissue(i);
    const char *words[] = {"0", "1"};
    tiny_numbers(file, "obs/in_tissue", H5T_STD_I8LE, 1, TINY_SPOTS, 1, tissue);
    tiny_texts(file, "obs/__categories/in_tissue", 2, words, false);
    if (file >= 0) {
        hobj_ref_t reference;
        H5Rcreate(&reference, file, "obs/__categories/in_tissue", H5R_OBJECT, -1);
        hid_t space = H5Screate(H5S_SCALAR);
        hid_t attribute =
            H5Acreate_by_name(file, "obs/in_tissue", "categories", H5T_STD_REF_OBJ, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
        H5Awrite(attribute, H5T_STD_REF_OBJ, &reference);
        H5Aclose(attribute);
        H5Sclose(space);
    }
    tiny_close(file);
    struct section section;
    must_read(&section, MPI_COMM_WORLD, in, &spatial);
    add_results(&section);
    must_write(&section, out);
    section_free(&section);
    if (suite_rank() == 0) {
        file = H5Fopen(out, H5F_ACC_RDONLY, H5P_DEFAULT);
        hid_t attribute = H5Aopen_by_name(file, "obs/in_tissue", "categories", H5P_DEFAULT, H5P_DEFAULT);
        hobj_ref_t reference;
        char name[256] = "";
        assert_true(H5Aread(attribute, H5T_STD_REF_OBJ, &reference) >= 0);
        assert_true(H5Rget_name(attribute, H5R_OBJECT, &reference, name, sizeof name) > 0);
        assert_string_equal(name, "/obs/__categories/in_tissue");
        H5Aclose(attribute);
        H5Fclose(file);
    }
    MPI_Barrier(MPI_COMM_WORLD);
    read_tiny(out, NULL);
}

/* Results on raw/X go to the columns of var of the same names. */
static void raw_results_by_name(void **state)
{
    (void)state;
    const char *in = scratch_file("raw.h5ad"), *out = scratch_file("raw_out.h5ad");
    hid_t file = tiny_h5ad(in);
    tiny_matrix(file, "raw/X", "csr_matrix", H5T_IEEE_F32LE, H5T_STD_I32LE);
    const char *raw[] = {"gene02", "lost", "gene01", "gene00"}, *kept[] = {"gene00", "gene01", "gene02"};
    tiny_texts(file, "raw/var/_index", TINY_GENES, raw, false);
    tiny_text_attribute(file, "raw/var", "encoding-type", "dataframe");
    tiny_text_attribute(file, "raw/var", "encoding-version", "0.2.0");
    tiny_text_attribute(file, "raw/var", "_index", "_index");
    tiny_text_attribute(file, "raw", "encoding-type", "raw");
    tiny_texts(file, "var/_index", 3, kept, false);
    tiny_remove(file, "X");
    tiny_close(file);
    const struct read_options options = {.layer = "raw", .need_spatial = true};
    struct section section;
    must_read(&section, MPI_COMM_WORLD, in, &options);
    struct sparse_rows layer = copy_rows(&section.counts);
    const double numbers[] = {2.0, 99.0, 1.0, 0.0};
    assert_int_equal(section_add_layer(&section, "corrected", &layer, true), MONGE_OK);
    assert_int_equal(section_add_var(&section, "number", VALUE_INTEGER, numbers), MONGE_OK);
    must_write(&section, out);
    section_free(&section);
    if (suite_rank() == 0) {
        size_t n;
        double *number = golden_read(out, "var/number", &n);
        assert_int_equal(n, 3);
        for (int g = 0; g < 3; g++)
            assert_true(number[g] == g);
        free(number);
        double *indices = golden_read(out, "layers/corrected/indices", &n), *data = golden_read(out, "layers/corrected/data", &n);
        double *indptr = golden_read(out, "layers/corrected/indptr", NULL);
        for (int64_t spot = 0, at = 0; spot < TINY_SPOTS; spot++) {
            const int64_t raw_of[] = {3, 2, 0};
            for (int64_t g = 0; g < 3; g++)
                if (tiny_count(spot, raw_of[g]) > 0.0) {
                    assert_true(indices[at] == (double)g);
                    assert_true(data[at++] == tiny_count(spot, raw_of[g]));
                }
            assert_true(indptr[spot + 1] == (double)at);
        }
        free(indices);
        free(data);
        free(indptr);
    }
    MPI_Barrier(MPI_COMM_WORLD);
}

/* All ranks together write the same objects as one rank alone; several chunks, so that ranks share some. */
static void same_file_from_any_ranks(void **state)
{
    (void)state;
    const char *together = scratch_file("together.h5ad"), *alone = scratch_file("alone.h5ad");
    struct section made = made_section(MPI_COMM_WORLD, LATTICE_HEX, 75, 83, 150);
    add_results(&made);
    must_write(&made, together);
    section_free(&made);
    if (suite_rank() == 0) {
        made = made_section(MPI_COMM_SELF, LATTICE_HEX, 75, 83, 150);
        add_results(&made);
        must_write(&made, alone);
        section_free(&made);
        int n = same_objects(together, alone, NULL);
        assert_int_equal(n, same_objects(alone, together, NULL));
        figure("objects compared between one and all ranks", n, ">", 30);
        assert_true(n > 30);
    }
    MPI_Barrier(MPI_COMM_WORLD);
}

/* Fewer spots than ranks, and ranks without sites. */
static void fewer_spots_than_ranks(void **state)
{
    (void)state;
    const char *path = scratch_file("small.h5ad");
    struct section made = made_section(MPI_COMM_WORLD, LATTICE_SQUARE, 1, 2, 9), back;
    must_write(&made, path);
    must_read(&back, MPI_COMM_WORLD, path, &spatial);
    assert_int_equal(back.n_spots, 2);
    assert_memory_equal(back.counts.start, made.counts.start, ((size_t)made.counts.n_rows + 1) * 8);
    section_free(&made);
    section_free(&back);
}

/* --- real data --------------------------------------------------------------------------------------------------------- */

static void real_section(void **state)
{
    (void)state;
    const char *in = shared_data("data/visium_mbrain_raw/visium_mbrain_raw.h5ad");
    if (!in)
        return;
    char source[1024];
    snprintf(source, sizeof source, "%s", in);
    struct section section;
    must_read(&section, MPI_COMM_WORLD, source, &spatial);
    assert_int_equal(section.slide.lattice, LATTICE_HEX);
    assert_int_equal(section.slide.n_rows, 78);
    assert_int_equal(section.slide.n_cols, 64);
    assert_int_equal(slide_count(&section.slide, SITE_TISSUE), 2702);
    assert_int_equal(slide_count(&section.slide, SITE_BACKGROUND), 2290);
    assert_int_equal(section.image.height, 600);
    double sum[2] = {0.0, 0.0};
    for (int64_t i = 0; i < section.sites.n_own; i++)
        for (int64_t e = section.counts.start[i]; e < section.counts.start[i + 1]; e++)
            sum[section.slide.kind[section.sites.first + i] == SITE_TISSUE] += section.counts.value[e];
    MPI_Allreduce(MPI_IN_PLACE, sum, 2, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
    double outside = sum[0] / (sum[0] + sum[1]);
    figure("share of UMI outside the tissue (data sheet: .0870)", outside, "~", 0.0870);
    assert_true(fabs(outside - 0.0870) < 5e-5);
    const char *out = scratch_file("real.h5ad");
    add_results(&section);
    must_write(&section, out);
    section_free(&section);
    if (suite_rank() == 0) {
        static const char *const except[] = {"obs@column-order", "var@column-order", NULL};
        int n = same_objects(source, out, except);
        figure("objects of the real file found unchanged", n, ">=", 25);
        assert_true(n >= 25);
    }
    check_in_python(out, result_checks);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matrices_of_every_encoding),
        cmocka_unit_test(layers_and_raw),
        cmocka_unit_test(columns_of_every_kind),
        cmocka_unit_test(positions_alone),
        cmocka_unit_test(made_in_memory),
        cmocka_unit_test(results_of_an_earlier_run),
        cmocka_unit_test(input_that_vanishes),
        cmocka_unit_test(beads_made_in_memory),
        cmocka_unit_test(input_is_preserved),
        cmocka_unit_test(references_survive),
        cmocka_unit_test(raw_results_by_name),
        cmocka_unit_test(same_file_from_any_ranks),
        cmocka_unit_test(fewer_spots_than_ranks),
        cmocka_unit_test(real_section),
    };
    SUITE(argc, argv, tests);
}
