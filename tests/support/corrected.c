#include "support/corrected.h"

#include <stdlib.h>
#include <string.h>

#include "monge/simulate.h"
#include "support/suite.h"

void set_options(const struct option_table *table, void *values, const struct setting *settings)
{
    for (; settings && settings->name; settings++)
        if (options_set(table, values, settings->name, settings->value, "test") != MONGE_OK)
            fail_msg("%s", error_message());
}

void simulated_section(struct section *section, MPI_Comm comm, const struct setting *settings)
{
    struct simulate_options options;
    assert_int_equal(options_defaults(&simulate_options, &options), MONGE_OK);
    set_options(&simulate_options, &options, settings);
    if (simulate_section(section, comm, &options) != MONGE_OK)
        fail_msg("%s", error_message());
    options_free(&simulate_options, &options);
}

status correct_section(struct section *section, const struct setting *settings, const struct setting *more)
{
    struct correct_options options;
    assert_int_equal(options_defaults(&correct_options, &options), MONGE_OK);
    set_options(&correct_options, &options, settings);
    set_options(&correct_options, &options, more);
    status fault = step_correct.run(section, &options);
    options_free(&correct_options, &options);
    return fault;
}

void must_correct(struct section *section, const struct setting *settings, const struct setting *more)
{
    if (correct_section(section, settings, more) != MONGE_OK)
        fail_msg("%s", error_message());
}

const struct result *result_of(const struct section *section, const char *path)
{
    const struct result *result = section_result(section, path);
    if (!result)
        fail_msg("%s is not there", path);
    return result;
}

static const struct result *record_of(const struct section *section, const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "uns/monge/correct/%s", name);
    return result_of(section, path);
}

double recorded(const struct section *section, const char *name)
{
    return *record_of(section, name)->number;
}

const char *recorded_text(const struct section *section, const char *name)
{
    return record_of(section, name)->text[0];
}

/* FNV-1a of every row. */
uint64_t layer_bits(const struct section *section, const char *layer)
{
    const struct sparse_rows *rows = &result_of(section, layer)->sparse;
    uint64_t sum = 0;
    for (int64_t i = 0; i < rows->n_rows; i++) {
        uint64_t hash = 0xcbf29ce484222325u ^ (uint64_t)(section->sites.first + i);
        for (int64_t k = rows->start[i]; k < rows->start[i + 1]; k++) {
            uint32_t bits;
            memcpy(&bits, &rows->value[k], sizeof bits);
            hash = (hash ^ (uint64_t)rows->column[k]) * 0x100000001b3u;
            hash = (hash ^ bits) * 0x100000001b3u;
        }
        sum += hash;
    }
    MPI_Allreduce(MPI_IN_PLACE, &sum, 1, MPI_UINT64_T, MPI_SUM, section->comm);
    return sum;
}

double totals_kept(const struct section *section)
{
    const struct sparse_rows *rows[2] = {&section->counts, &result_of(section, "layers/corrected")->sparse};
    size_t genes = (size_t)section->n_genes;
    double *total = calloc(2 * genes + 1, sizeof *total), outside;
    assert_non_null(total);
    for (int k = 0; k < 2; k++)
        for (int64_t i = 0; i < rows[k]->n_rows; i++)
            for (int64_t e = rows[k]->start[i]; e < rows[k]->start[i + 1]; e++) {
                bool out = k == 1 && section->slide.kind[section->sites.first + i] != SITE_TISSUE;
                total[(size_t)k * genes + (size_t)rows[k]->column[e]] += (double)rows[k]->value[e];
                total[2 * genes] += out ? (double)rows[k]->value[e] : 0.0;
            }
    MPI_Allreduce(MPI_IN_PLACE, total, (int)(2 * genes + 1), MPI_DOUBLE, MPI_SUM, section->comm);
    assert_memory_equal(total, total + genes, genes * sizeof *total);
    outside = total[2 * genes];
    free(total);
    return outside;
}

const char *kernel_file(void)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/kernel.txt", scratch_folder());
    FILE *file = suite_rank() == 0 ? fopen(path, "w") : NULL;
    if (file) {
        fputs("beta .45\nuniform .1\npermeability .85\n0 1\n1 .8\n2 .41\n3 .14\n4 .03\n5 0\n", file);
        fclose(file);
    }
    MPI_Barrier(MPI_COMM_WORLD);
    return path;
}
