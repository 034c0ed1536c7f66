/* Checkpoints: what any number of ranks writes, any other number reads with the same bits; whatever is spoilt is noticed, and the one
 * before is used; another job's is refused and left alone. */
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "monge/checkpoint.h"
#include "monge/log.h"
#include "monge/section_io.h"
#include "monge/signals.h"
#include "support/suite.h"
#include "support/tiny_h5ad.h"

enum { SITES = 1000, GENES = 150, WIDTH = 5, SMALL = 7 };
static const char *const key = "monge 1\nsection 2\nrank 8\n";
static const double ALWAYS = 1e-9; /* seconds between saves: every safe point saves */

/* A state whose values follow from `version`, spread over comm as a correction is: sites in ranges over spot groups, genes dealt to gene
 * groups, every gene's row of the sparse matrix in one piece per spot group. */
struct state {
    MPI_Comm comm;
    int rank, size, spot_groups, gene_groups, spot_group, gene_group;
    int version;
    int64_t first, end; /* own sites */
    int64_t n_genes;
    int32_t gene[GENES];
    double small[SMALL], site[SITES][2], row[GENES][WIDTH];
    int64_t start[GENES + 1];
    int32_t *column; /* own site */
    float *value;
};

static double value_of(int version, int kind, int64_t i, int64_t k)
{
    return 1.0 / (double)(1 + version + 3 * kind + 7 * i + 11 * k);
}

static bool has_entry(int64_t gene, int64_t site)
{
    return (gene * 31 + site * 17) % 23 < 3 && gene % 10 != 4; /* some rows are empty */
}

static void *room(size_t bytes)
{
    void *p = calloc(bytes + 1, 1);
    assert_non_null(p);
    return p;
}

static struct state *state_new(MPI_Comm comm, int version)
{
    struct state *s = room(sizeof *s);
    s->comm = comm;
    s->version = version;
    MPI_Comm_rank(comm, &s->rank);
    MPI_Comm_size(comm, &s->size);
    s->spot_groups = s->size % 2 ? 1 : 2;
    s->gene_groups = s->size / s->spot_groups;
    s->spot_group = s->rank % s->spot_groups;
    s->gene_group = s->rank / s->spot_groups;
    s->first = SITES * s->spot_group / s->spot_groups;
    s->end = SITES * (s->spot_group + 1) / s->spot_groups;
    for (int32_t g = 0; g < GENES; g++) { /* not in order, not in ranges */
        int32_t gene = g * 7 % GENES;
        if (g % s->gene_groups == s->gene_group)
            s->gene[s->n_genes++] = gene;
    }
    s->column = room((size_t)(s->n_genes * SITES) * sizeof *s->column);
    s->value = room((size_t)(s->n_genes * SITES) * sizeof *s->value);
    return s;
}

static void state_free(struct state *s)
{
    free(s->column);
    free(s->value);
    free(s);
}

static void state_fill(struct state *s)
{
    for (int k = 0; k < SMALL; k++)
        s->small[k] = value_of(s->version, 0, 0, k);
    for (int64_t i = s->first; i < s->end; i++)
        for (int k = 0; k < 2; k++)
            s->site[i - s->first][k] = value_of(s->version, 1, i, k);
    for (int64_t g = 0; g < s->n_genes; g++) {
        for (int k = 0; k < WIDTH; k++)
            s->row[g][k] = value_of(s->version, 2, s->gene[g], k);
        int64_t n = s->start[g];
        for (int64_t i = s->first; i < s->end; i++)
            if (has_entry(s->gene[g], i)) {
                s->column[n] = (int32_t)(i - s->first);
                s->value[n++] = (float)value_of(s->version, 3, s->gene[g], i);
            }
        s->start[g + 1] = n;
    }
}

/* A checkpoint_writer. */
static status state_put(struct checkpoint *c, void *context)
{
    const struct state *s = context;
    int64_t version = s->version, *head = checkpoint_room(c, sizeof *head);
    *head = version;
    checkpoint_put(c, "version", CHECKPOINT_LONG, 1, 1, head);
    checkpoint_put(c, "small", CHECKPOINT_REAL, SMALL, 1, s->small);
    checkpoint_put(c, "nothing", CHECKPOINT_BYTES, 0, 1, NULL);
    checkpoint_put_rows(c, "sites", CHECKPOINT_REAL, s->gene_group == 0 ? s->end - s->first : 0, 2, s->site);
    checkpoint_put_keyed(c, "genes", s->spot_group == 0 ? s->n_genes : 0, s->gene, WIDTH, (const double *)s->row);
    checkpoint_put_sparse(c, "counts", s->n_genes, s->gene, s->start, s->first, s->column, s->value);
    return MONGE_OK;
}

/* The version that is stored, after everything was compared with what it must be; 0: nothing is stored. */
static int state_check(struct checkpoint *c, MPI_Comm comm)
{
    int64_t version = 0;
    if (!checkpoint_path(c))
        return 0;
    assert_int_equal(checkpoint_get(c, "version", CHECKPOINT_LONG, 1, 1, &version), MONGE_OK);
    struct state *expected = state_new(comm, (int)version), *got = state_new(comm, 0);
    state_fill(expected);
    int32_t *column;
    float *value;
    bool found[GENES] = {false};
    assert_int_equal(checkpoint_get(c, "small", CHECKPOINT_REAL, SMALL, 1, got->small), MONGE_OK);
    assert_memory_equal(got->small, expected->small, sizeof got->small);
    assert_int_equal(checkpoint_get_rows(c, "sites", CHECKPOINT_REAL, got->first, got->end - got->first, 2, got->site), MONGE_OK);
    assert_memory_equal(got->site, expected->site, sizeof got->site);
    assert_int_equal(checkpoint_get_keyed(c, "genes", got->n_genes, got->gene, WIDTH, (double *)got->row, found), MONGE_OK);
    assert_memory_equal(got->row, expected->row, sizeof got->row);
    for (int64_t g = 0; g < got->n_genes; g++)
        assert_true(found[g]);
    assert_int_equal(checkpoint_get_sparse(c, "counts", got->n_genes, got->gene, got->first, got->end, got->start, &column, &value),
                     MONGE_OK);
    assert_memory_equal(got->start, expected->start, sizeof got->start);
    assert_memory_equal(column, expected->column, (size_t)got->start[got->n_genes] * sizeof *column);
    assert_memory_equal(value, expected->value, (size_t)got->start[got->n_genes] * sizeof *value);
    assert_true(checkpoint_holds(c, "nothing"));
    assert_int_equal(checkpoint_count(c, "nothing"), 0);
    assert_false(checkpoint_holds(c, "something"));
    assert_int_not_equal(checkpoint_get(c, "small", CHECKPOINT_REAL, SMALL + 1, 1, got->site), MONGE_OK);
    free(column);
    free(value);
    state_free(expected);
    state_free(got);
    return (int)version;
}

/* Saves one version more each time. */
static void save_versions(MPI_Comm comm, const char *output, int first, int last)
{
    struct checkpoint *c;
    assert_int_equal(checkpoint_open(&c, comm, output, key, ALWAYS), MONGE_OK);
    checkpoint_caught_up(c);
    for (int version = first; version <= last; version++) {
        struct state *s = state_new(comm, version);
        state_fill(s);
        assert_int_equal(checkpoint_safe_point(c, state_put, s), MONGE_OK);
        state_free(s);
    }
    checkpoint_close(c);
}

static int stored_version(MPI_Comm comm, const char *output)
{
    struct checkpoint *c;
    log_clear_warnings();
    assert_int_equal(checkpoint_open(&c, comm, output, key, 0.0), MONGE_OK);
    int version = state_check(c, comm);
    checkpoint_close(c);
    return version;
}

/* A communicator of the first n ranks; MPI_COMM_NULL on the others. */
static MPI_Comm first_ranks(int n)
{
    MPI_Comm comm;
    MPI_Comm_split(MPI_COMM_WORLD, suite_rank() < n ? 0 : MPI_UNDEFINED, suite_rank(), &comm);
    return comm;
}

static void remove_all(const char *output)
{
    char path[600];
    MPI_Barrier(MPI_COMM_WORLD);
    for (int k = 0; k < 2 && suite_rank() == 0; k++) {
        snprintf(path, sizeof path, "%s.checkpoint.%d", output, k);
        unlink(path);
    }
    MPI_Barrier(MPI_COMM_WORLD);
}

/* ---- tests ---- */

static void any_ranks_to_any_ranks(void **state)
{
    (void)state;
    const char *output = in_scratch("ranks.h5ad");
    for (int writers = 1; writers <= suite_size(); writers++)
        for (int readers = 1; readers <= suite_size(); readers++) {
            MPI_Comm write = first_ranks(writers), read = first_ranks(readers);
            if (write != MPI_COMM_NULL)
                save_versions(write, output, 1, 3);
            MPI_Barrier(MPI_COMM_WORLD);
            if (read != MPI_COMM_NULL)
                assert_int_equal(stored_version(read, output), 3);
            MPI_Barrier(MPI_COMM_WORLD);
            if (write != MPI_COMM_NULL)
                MPI_Comm_free(&write);
            if (read != MPI_COMM_NULL)
                MPI_Comm_free(&read);
            remove_all(output);
        }
}

static int read_byte(const char *path, long at)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    fseek(file, at, SEEK_SET);
    int byte = fgetc(file);
    fclose(file);
    return byte;
}

static void write_byte(const char *path, long at, int byte)
{
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    fseek(file, at, SEEK_SET);
    fputc(byte, file);
    fclose(file);
}

static long file_length(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0 ? (long)about.st_size : -1;
}

/* One byte after the other is changed in the newest: what is read is it or the one before, never a mixture of right and wrong. */
static void changed_bytes(void **state)
{
    (void)state;
    const char *output = in_scratch("bytes.h5ad"), *newest = in_scratch("bytes.h5ad.checkpoint.1");
    save_versions(MPI_COMM_WORLD, output, 1, 2);
    long length = 0;
    if (suite_rank() == 0)
        length = file_length(newest);
    MPI_Bcast(&length, 1, MPI_LONG, 0, MPI_COMM_WORLD);
    int noticed = 0, tried = 0;
    for (long at = 5; at < length; at += length / 120 + 1, tried++) {
        int before = 0;
        if (suite_rank() == 0) {
            before = read_byte(newest, at);
            write_byte(newest, at, before ^ 0x41);
        }
        MPI_Barrier(MPI_COMM_WORLD);
        int version = stored_version(MPI_COMM_WORLD, output);
        const char *const *warnings;
        assert_true(version == 2 || version == 1);
        noticed += version == 1;
        if (suite_rank() == 0 && version == 1)
            assert_true(log_warnings(&warnings) > 0);
        MPI_Barrier(MPI_COMM_WORLD);
        if (suite_rank() == 0)
            write_byte(newest, at, before);
        MPI_Barrier(MPI_COMM_WORLD);
    }
    assert_int_equal(stored_version(MPI_COMM_WORLD, output), 2);
    figure("share of changed bytes noticed (others are unused)", noticed / (double)tried, ">=", .5);
    assert_true(noticed >= tried / 2);
    remove_all(output);
}

static void replace(const char *path, const char *content)
{
    MPI_Barrier(MPI_COMM_WORLD); /* others may still read it */
    if (suite_rank() == 0) {
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        fputs(content, file);
        fclose(file);
    }
    MPI_Barrier(MPI_COMM_WORLD);
}

static void spoilt_files(void **state)
{
    (void)state;
    const char *output = in_scratch("spoilt.h5ad"), *older = in_scratch("spoilt.h5ad.checkpoint.0"),
               *newest = in_scratch("spoilt.h5ad.checkpoint.1");
    static const double shares[] = {0.0, .02, .3, .9, .999};
    for (size_t k = 0; k < sizeof shares / sizeof *shares; k++) {
        save_versions(MPI_COMM_WORLD, output, 1, 2);
        if (suite_rank() == 0)
            assert_int_equal(truncate(newest, (long)(shares[k] * (double)file_length(newest))), 0);
        MPI_Barrier(MPI_COMM_WORLD);
        assert_int_equal(stored_version(MPI_COMM_WORLD, output), 1);
        remove_all(output);
    }
    save_versions(MPI_COMM_WORLD, output, 1, 2);
    replace(newest, "this is no checkpoint\n");
    assert_int_equal(stored_version(MPI_COMM_WORLD, output), 1);
    replace(older, "");
    assert_int_equal(stored_version(MPI_COMM_WORLD, output), 0); /* begins anew, and says so */
    const char *const *warnings;
    if (suite_rank() == 0) {
        int n = log_warnings(&warnings);
        assert_int_equal(n, 3);
        assert_non_null(strstr(warnings[0], "spoilt.h5ad.checkpoint.0"));
        assert_non_null(strstr(warnings[1], "not an HDF5 file"));
        assert_non_null(strstr(warnings[2], "begins anew"));
    }
    save_versions(MPI_COMM_WORLD, output, 5, 5); /* and replaces them */
    assert_int_equal(stored_version(MPI_COMM_WORLD, output), 5);
    remove_all(output);
}

/* Dates lie: the older file's is years ahead. */
static void order_by_number(void **state)
{
    (void)state;
    const char *output = in_scratch("dates.h5ad");
    for (int versions = 2; versions <= 3; versions++) {
        save_versions(MPI_COMM_WORLD, output, 1, versions);
        const char *older = in_scratch(versions == 2 ? "dates.h5ad.checkpoint.0" : "dates.h5ad.checkpoint.1");
        const struct timespec ahead[2] = {{.tv_sec = 4000000000}, {.tv_sec = 4000000000}};
        if (suite_rank() == 0)
            assert_int_equal(utimensat(AT_FDCWD, older, ahead, 0), 0);
        MPI_Barrier(MPI_COMM_WORLD);
        assert_int_equal(stored_version(MPI_COMM_WORLD, output), versions);
        save_versions(MPI_COMM_WORLD, output, 9, 9); /* replaces the older, not the newest */
        assert_int_equal(stored_version(MPI_COMM_WORLD, output), 9);
        remove_all(output);
    }
}

static void other_jobs(void **state)
{
    (void)state;
    const char *output = in_scratch("other.h5ad"), *file = in_scratch("other.h5ad.checkpoint.0");
    static const struct {
        const char *key, *part;
    } cases[] = {
        {"monge 2\nsection 2\nrank 8\n", "it says 'monge 1' where this job says 'monge 2'"},
        {"monge 1\nsection 3\nrank 8\n", "it says 'section 2' where this job says 'section 3'"},
        {"monge 1\nsection 2\nrank 9\n", "it says 'rank 8' where this job says 'rank 9'"},
        {"monge 1\nsection 2\nrank 8\nmore\n", "it says '' where this job says 'more'"},
    };
    save_versions(MPI_COMM_WORLD, output, 1, 1);
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        struct checkpoint *c;
        assert_int_equal(checkpoint_open(&c, MPI_COMM_WORLD, output, cases[k].key, 0.0), MONGE_CANT_CREATE);
        assert_null(c);
        assert_non_null(strstr(error_message(), file));
        assert_non_null(strstr(error_message(), cases[k].part));
        assert_non_null(strstr(error_message(), "remove the file"));
    }
    assert_int_equal(stored_version(MPI_COMM_WORLD, output), 1); /* untouched */
    remove_all(output);
}

/* As long as a job has not taken up what is stored, it does not replace it with less. */
static void not_replaced_with_less(void **state)
{
    (void)state;
    const char *output = in_scratch("behind.h5ad");
    save_versions(MPI_COMM_WORLD, output, 1, 2);
    struct checkpoint *c;
    struct state *s = state_new(MPI_COMM_WORLD, 1);
    assert_int_equal(checkpoint_open(&c, MPI_COMM_WORLD, output, key, ALWAYS), MONGE_OK);
    assert_int_equal(checkpoint_safe_point(c, state_put, s), MONGE_OK);
    assert_int_equal(state_check(c, MPI_COMM_WORLD), 2);
    checkpoint_close(c);
    state_free(s);
    assert_int_equal(stored_version(MPI_COMM_WORLD, output), 2);
    assert_int_equal(checkpoint_open(&c, MPI_COMM_WORLD, output, key, ALWAYS), MONGE_OK);
    checkpoint_remove(c);
    checkpoint_close(c);
    assert_int_equal(stored_version(MPI_COMM_WORLD, output), 0);
}

/* One entry to a spot, zeros among them, in columns beyond those of genes. */
static void add_pairs(struct section *section)
{
    int64_t own = section->sites.n_own, n = 0;
    struct sparse_rows rows = {.n_rows = own,
                               .start = room((size_t)(own + 1) * sizeof *rows.start),
                               .column = room((size_t)own * sizeof *rows.column),
                               .value = room((size_t)own * sizeof *rows.value)};
    for (int64_t i = 0; i < own; i++) {
        int64_t spot = section->slide.spot[section->sites.first + i];
        if (spot >= 0) {
            rows.column[n] = (int32_t)(section->n_spots - 1 - spot);
            rows.value[n++] = (float)(spot % 3);
        }
        rows.start[i + 1] = n;
    }
    assert_int_equal(section_add_obsp(section, "spatial_distances", &rows), MONGE_OK);
}

static void add_results(struct section *section)
{
    int64_t own = section->sites.n_own;
    double *values = room((size_t)own * 2 * sizeof *values), *all = room((size_t)section->n_genes * 2 * sizeof *all);
    struct sparse_rows rows = {.n_rows = own, .start = room((size_t)(own + 1) * sizeof *rows.start)};
    int64_t entries = section->counts.start[own];
    for (int64_t i = 0; i < 2 * own; i++)
        values[i] = 1.0 / (double)(3 + 2 * section->sites.first + i);
    for (int64_t g = 0; g < 2 * section->n_genes; g++)
        all[g] = g % 3 ? (double)g / 7.0 : (double)NAN;
    memcpy(rows.start, section->counts.start, (size_t)(own + 1) * sizeof *rows.start);
    rows.column = room((size_t)entries * sizeof *rows.column);
    rows.value = room((size_t)entries * sizeof *rows.value);
    memcpy(rows.column, section->counts.column, (size_t)entries * sizeof *rows.column);
    memcpy(rows.value, section->counts.value, (size_t)entries * sizeof *rows.value);
    const int64_t dims[2] = {2, 3};
    const char *const texts[] = {"a", "", "some words"};
    assert_int_equal(section_add_obs(section, "column", VALUE_REAL, values), MONGE_OK);
    assert_int_equal(section_add_obsm(section, "X_two", 2, values), MONGE_OK);
    assert_int_equal(section_add_var(section, "gene_value", VALUE_REAL, all), MONGE_OK);
    assert_int_equal(section_add_varm(section, "pair", 2, all), MONGE_OK);
    assert_int_equal(section_add_layer(section, "counted", &rows, true), MONGE_OK);
    add_pairs(section);
    assert_int_equal(section_add_uns_real(section, "monge/x/real", .1), MONGE_OK);
    assert_int_equal(section_add_uns_integer(section, "monge/x/integer", 7), MONGE_OK);
    assert_int_equal(section_add_uns_bool(section, "monge/x/bool", true), MONGE_OK);
    assert_int_equal(section_add_uns_text(section, "monge/x/text", "two\nlines"), MONGE_OK);
    assert_int_equal(section_add_uns_texts(section, "monge/x/texts", 3, texts), MONGE_OK);
    assert_int_equal(section_add_uns_array(section, "monge/x/array", 2, dims, all), MONGE_OK);
    const int64_t start[4] = {0, 1, 1, 3}, column[3] = {4000000000, 0, 7};
    const char *const categories[] = {"one", "", "drei"};
    for (int64_t i = 0; i < own; i++)
        values[i] = (section->sites.first + i) % 4 == 3 ? (double)NAN : (double)((section->sites.first + i) % 4);
    assert_int_equal(section_add_obs_category(section, "kind", 3, categories, values), MONGE_OK);
    assert_int_equal(section_add_obs_category(section, "none", 0, NULL, memset(values, 0xff, (size_t)own * sizeof *values)), MONGE_OK);
    assert_int_equal(section_add_uns_sparse(section, "monge/x/plan", 3, 5000000000, start, column, all + 1), MONGE_OK);
    assert_int_equal(section_add_uns_sparse(section, "monge/x/empty", 2, 2, (int64_t[]){0, 0, 0}, NULL, NULL), MONGE_OK);
    free(values);
    free(all);
}

static void same_results(const struct section *a, const struct section *b)
{
    assert_int_equal(a->n_results, b->n_results);
    for (int i = 0; i < a->n_results; i++) {
        const struct result *p = &a->results[i], *q = &b->results[i];
        assert_string_equal(p->path, q->path);
        assert_int_equal(p->type, q->type);
        assert_int_equal(p->n_dims, q->n_dims);
        assert_int_equal(p->integer, q->integer);
        assert_int_equal(p->n_categories, q->n_categories);
        int64_t n = p->row_start ? p->row_start[p->dims[0]] : p->n_dims == 0 ? 1 : p->n_dims == 1 ? p->dims[0] : p->dims[0] * p->dims[1];
        for (int d = 0; d < p->n_dims; d++)
            assert_int_equal(p->dims[d], q->dims[d]);
        if (p->number)
            assert_memory_equal(p->number, q->number, (size_t)n * sizeof *p->number);
        int64_t n_texts = p->type == VALUE_CATEGORY ? p->n_categories : n;
        for (int64_t k = 0; p->text && k < n_texts; k++)
            assert_string_equal(p->text[k], q->text[k]);
        if (p->row_start) {
            assert_memory_equal(p->row_start, q->row_start, (size_t)(p->dims[0] + 1) * sizeof *p->row_start);
            assert_memory_equal(p->column, q->column, (size_t)n * sizeof *p->column);
        }
        if (p->sparse.start) {
            assert_memory_equal(p->sparse.start, q->sparse.start, (size_t)(p->sparse.n_rows + 1) * sizeof *p->sparse.start);
            assert_memory_equal(p->sparse.column, q->sparse.column, (size_t)p->sparse.start[p->sparse.n_rows] * sizeof(int32_t));
            assert_memory_equal(p->sparse.value, q->sparse.value, (size_t)p->sparse.start[p->sparse.n_rows] * sizeof(float));
        }
    }
}

static status put_section(struct checkpoint *c, void *context)
{
    checkpoint_put_results(c, context);
    return MONGE_OK;
}

/* Results of every kind, from all ranks to one fewer (or as many). */
static void results_of_a_section(void **state)
{
    (void)state;
    const char *input = in_scratch("tiny.h5ad"), *output = in_scratch("results.h5ad");
    const struct read_options read = {.need_spatial = true};
    tiny_close(tiny_h5ad(input));
    struct section section = {0};
    struct checkpoint *c;
    assert_int_equal(section_read(&section, MPI_COMM_WORLD, input, &read), MONGE_OK);
    uint64_t checksum = section_checksum(&section);
    add_results(&section);
    assert_true(section_checksum(&section) == checksum);
    assert_int_equal(checkpoint_open(&c, MPI_COMM_WORLD, output, key, ALWAYS), MONGE_OK);
    assert_int_equal(checkpoint_safe_point(c, put_section, &section), MONGE_OK);
    checkpoint_close(c);
    if (section.counts.start[section.sites.n_own] > 0)
        section.counts.value[0] += 1.0f;
    assert_false(section_checksum(&section) == checksum);
    section_free(&section);

    MPI_Comm fewer = first_ranks(suite_size() > 1 ? suite_size() - 1 : 1);
    if (fewer != MPI_COMM_NULL) {
        struct section expected = {0};
        assert_int_equal(section_read(&section, fewer, input, &read), MONGE_OK);
        assert_int_equal(section_read(&expected, fewer, input, &read), MONGE_OK);
        assert_true(section_checksum(&section) == checksum);
        add_results(&expected);
        assert_int_equal(checkpoint_open(&c, fewer, output, key, 0.0), MONGE_OK);
        assert_int_equal(checkpoint_get_results(c, &section), MONGE_OK);
        same_results(&expected, &section);
        checkpoint_close(c);
        section_free(&section);
        section_free(&expected);
        MPI_Comm_free(&fewer);
    }
    remove_all(output);
}

/* Last: the flag stays up. One rank hears the signal, all stop; a second one within 2 s is the same request. */
static void a_signal(void **state)
{
    (void)state;
    const char *output = in_scratch("signal.h5ad");
    struct checkpoint *c;
    struct state *s = state_new(MPI_COMM_WORLD, 4);
    state_fill(s);
    signals_open();
    signals_defer();
    assert_int_equal(checkpoint_open(&c, MPI_COMM_WORLD, output, key, 0.0), MONGE_OK);
    assert_int_equal(checkpoint_safe_point(c, state_put, s), MONGE_OK);
    assert_null(checkpoint_path(c)); /* nothing is due */
    if (suite_rank() == suite_size() - 1) {
        raise(SIGUSR1);
        raise(SIGTERM);
        assert_int_equal(signals_pending(), SIGUSR1);
    }
    assert_int_equal(checkpoint_safe_point(c, state_put, s), MONGE_TRY_AGAIN);
    assert_non_null(strstr(error_message(), "run the same command again: it goes on from"));
    checkpoint_close(c);
    signals_undefer();
    state_free(s);
    assert_int_equal(stored_version(MPI_COMM_WORLD, output), 4);
    assert_int_equal(checkpoint_safe_point(NULL, NULL, NULL), MONGE_OK);
    remove_all(output);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_ranks_to_any_ranks), cmocka_unit_test(changed_bytes), cmocka_unit_test(spoilt_files),
        cmocka_unit_test(order_by_number),        cmocka_unit_test(other_jobs),    cmocka_unit_test(not_replaced_with_less),
        cmocka_unit_test(results_of_a_section),   cmocka_unit_test(a_signal),
    };
    log_open(false, true);
    SUITE(argc, argv, tests);
}
