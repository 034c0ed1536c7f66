/* Labels from obs: categories and numbers, missing ones, of a file and of a result; columns that name no groups. */
#include "monge/section_labels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/section_io.h"
#include "support/suite.h"
#include "support/tiny_h5ad.h"

static const char *path(void)
{
    static char name[600];
    snprintf(name, sizeof name, "%s/labels.h5ad", scratch_folder());
    return name;
}

/* layer: cortex, white, nan, -1 in turn; number: 7, 3, 5, missing in turn; real: a fraction per spot */
static void make_file(void)
{
    static const char *const names[] = {"cortex", "nan", "white"};
    double codes[TINY_SPOTS], numbers[TINY_SPOTS], reals[TINY_SPOTS];
    for (int i = 0; i < TINY_SPOTS; i++) {
        codes[i] = (double[]){0, 2, 1, -1}[i % 4];
        numbers[i] = (double[]){7, 3, 5, NAN}[i % 4];
        reals[i] = 0.5 + i;
    }
    hid_t file = tiny_h5ad(path());
    tiny_numbers(file, "obs/layer/codes", H5T_STD_I8LE, 1, TINY_SPOTS, 1, codes);
    tiny_texts(file, "obs/layer/categories", 3, names, false);
    if (file >= 0)
        tiny_text_attribute(file, "obs/layer", "encoding-type", "categorical");
    tiny_numbers(file, "obs/number", H5T_IEEE_F64LE, 1, TINY_SPOTS, 1, numbers);
    tiny_numbers(file, "obs/real", H5T_IEEE_F64LE, 1, TINY_SPOTS, 1, reals);
    tiny_close(file);
}

static void open_section(struct section *section)
{
    const struct read_options read = {.holes = HOLES_OMIT, .need_spatial = true};
    if (section_read(section, MPI_COMM_WORLD, path(), &read) != MONGE_OK)
        fail_msg("%s", error_message());
}

/* expected: of spot i, expected[i % 4] */
static void must_be(const struct section *section, const char *column, int n, const char *const *names, const int32_t expected[4])
{
    struct section_labels labels;
    if (section_labels_new(&labels, section, column) != MONGE_OK)
        fail_msg("%s", error_message());
    assert_int_equal(labels.n, n);
    for (int k = 0; k < n; k++)
        assert_string_equal(labels.name[k], names[k]);
    for (int64_t i = 0; i < section->sites.n_own; i++) {
        int64_t spot = section->slide.spot[section->sites.first + i];
        assert_int_equal(labels.own[i], spot >= 0 ? expected[spot % 4] : -1);
    }
    section_labels_free(&labels);
}

static void columns_of_a_file(void **state)
{
    (void)state;
    struct section section;
    make_file();
    open_section(&section);
    must_be(&section, "layer", 2, (const char *const[]){"cortex", "white"}, (const int32_t[]){0, 1, -1, -1});
    must_be(&section, "number", 3, (const char *const[]){"3", "5", "7"}, (const int32_t[]){2, 0, 1, -1});
    assert_int_equal(section.n_results, 0);
    section_free(&section);
}

static void results_go_first(void **state)
{
    (void)state;
    struct section section;
    open_section(&section);
    double *own = malloc(((size_t)section.sites.n_own + 1) * sizeof *own);
    for (int64_t i = 0; i < section.sites.n_own; i++) {
        int64_t spot = section.slide.spot[section.sites.first + i];
        own[i] = spot >= 0 ? (double)(spot % 4) - 1.0 : NAN;
    }
    assert_int_equal(section_add_obs_category(&section, "layer", 3, (const char *const[]){"a", "b", "c"}, own), MONGE_OK);
    must_be(&section, "layer", 3, (const char *const[]){"a", "b", "c"}, (const int32_t[]){-1, 0, 1, 2});
    free(own);
    section_free(&section);
}

/* "white" is told to be no label. */
static void ignored(void **state)
{
    (void)state;
    struct section section;
    struct section_labels labels;
    open_section(&section);
    assert_int_equal(section_labels_new(&labels, &section, "layer"), MONGE_OK);
    char *white[] = {"white"}, *unknown[] = {"white", "grey"};
    assert_int_equal(section_labels_ignore(&labels, &section, "layer", &(struct option_texts){2, unknown}), MONGE_USAGE);
    assert_non_null(strstr(error_message(), "'grey'"));
    assert_non_null(strstr(error_message(), "cortex, white"));
    assert_int_equal(section_labels_ignore(&labels, &section, "layer", &(struct option_texts){1, white}), MONGE_OK);
    int64_t kept[2] = {0, 0};
    for (int64_t i = 0; i < section.sites.n_own; i++) {
        assert_true(labels.own[i] <= 0);
        kept[0] += labels.own[i] == 0;
    }
    MPI_Allreduce(&kept[0], &kept[1], 1, MPI_INT64_T, MPI_SUM, MPI_COMM_WORLD);
    assert_int_equal(kept[1], (section.n_spots + 3) / 4); /* "cortex": every fourth */
    section_labels_free(&labels);
    section_free(&section);
}

static void refused(void **state)
{
    (void)state;
    struct section section;
    struct section_labels labels;
    open_section(&section);
    assert_int_equal(section_labels_new(&labels, &section, "nothing"), MONGE_USAGE);
    assert_non_null(strstr(error_message(), "obs/nothing"));
    assert_int_equal(section_labels_new(&labels, &section, "real"), MONGE_USAGE);
    assert_non_null(strstr(error_message(), "not whole"));
    section_free(&section);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(columns_of_a_file), cmocka_unit_test(results_go_first), cmocka_unit_test(ignored),
                                       cmocka_unit_test(refused)};
    SUITE(argc, argv, tests);
}
