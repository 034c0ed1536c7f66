/* Safetensors files: what is written is read again, in the layout that others read, and what is damaged is refused. */
#include "monge/safetensors.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/suite.h"

static const char *path_of(const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%d-%s", scratch_folder(), suite_rank(), name);
    return path;
}

static void write_bytes(const char *path, const char *header, const void *data, size_t bytes)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    uint64_t length = strlen(header);
    for (int k = 0; k < 8; k++)
        fputc((int)(length >> (8 * k) & 255), file);
    fwrite(header, 1, length, file);
    fwrite(data, 1, bytes, file);
    fclose(file);
}

static void written_is_read(void **state)
{
    (void)state;
    struct safetensors out = {0}, in;
    const float single[6] = {1.5f, -2.0f, 3.25f, 0.0f, 1e30f, -1e-30f};
    const double twice[2] = {0.1, -1e300};
    const int64_t whole[1] = {INT64_C(1) << 40};
    assert_int_equal(safetensors_put(&out, "layer/W \"1\"", SAFETENSOR_F32, 2, (int64_t[]){2, 3}, single), MONGE_OK);
    assert_int_equal(safetensors_put(&out, "b", SAFETENSOR_F64, 1, (int64_t[]){2}, twice), MONGE_OK);
    assert_int_equal(safetensors_put(&out, "epoch", SAFETENSOR_I64, 0, NULL, whole), MONGE_OK);
    assert_int_equal(safetensors_put(&out, "none", SAFETENSOR_I32, 2, (int64_t[]){0, 4}, whole), MONGE_OK);
    assert_int_equal(safetensors_put_text(&out, "model", "stagate"), MONGE_OK);
    assert_int_equal(safetensors_write(&out, path_of("a")), MONGE_OK);
    assert_int_equal(safetensors_read(&in, path_of("a")), MONGE_OK);
    assert_int_equal(in.n, 4);
    const struct safetensor *w = safetensors_find(&in, "layer/W \"1\""), *b = safetensors_find(&in, "b");
    assert_non_null(w);
    assert_true(w->type == SAFETENSOR_F32 && w->n_dimensions == 2 && w->shape[0] == 2 && w->shape[1] == 3);
    assert_memory_equal(w->values, single, sizeof single);
    assert_memory_equal(b->values, twice, sizeof twice);
    assert_true(safetensor_value(safetensors_find(&in, "epoch"), 0) == 0x1p40);
    assert_int_equal(safetensors_find(&in, "none")->n, 0);
    assert_string_equal(safetensors_text(&in, "model"), "stagate");
    assert_null(safetensors_find(&in, "c"));
    assert_null(safetensors_text(&in, "seed"));
    safetensors_free(&in);
    safetensors_free(&out);
}

static void halves_become_singles(void **state)
{
    (void)state;
    /* 1, -2, 2^-24 (denormal), 65504, infinity; 1, -3.140625 in bfloat16 */
    const uint16_t data[7] = {0x3c00, 0xc000, 0x0001, 0x7bff, 0x7c00, 0x3f80, 0xc049};
    struct safetensors in;
    write_bytes(path_of("half"),
                "{\"h\":{\"dtype\":\"F16\",\"shape\":[5],\"data_offsets\":[0,10]},\"g\":{\"dtype\":\"BF16\",\"shape\":[2],"
                "\"data_offsets\":[10,14]}}",
                data, sizeof data);
    assert_int_equal(safetensors_read(&in, path_of("half")), MONGE_OK);
    const struct safetensor *h = safetensors_find(&in, "h"), *g = safetensors_find(&in, "g");
    const double expected[5] = {1.0, -2.0, 0x1p-24, 65504.0, (double)__builtin_inf()};
    for (int k = 0; k < 5; k++)
        assert_true(safetensor_value(h, k) == expected[k]);
    assert_true(safetensor_value(g, 0) == 1.0 && safetensor_value(g, 1) == -3.140625);
    safetensors_free(&in);
}

static void damaged_files_are_refused(void **state)
{
    (void)state;
    const float data[4] = {0};
    const char *const header[] = {
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[5],\"data_offsets\":[0,20]}}",                          /* beyond the end */
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,16]}}",                          /* not its size */
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}",                           /* backwards */
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}",                          /* negative */
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,4],\"data_offsets\":[0,0]}}",       /* overflow */
        "{\"a\":{\"dtype\":\"F8\",\"shape\":[2],\"data_offsets\":[0,2]}}",                            /* unknown type */
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}",                                                  /* no place */
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"a\":{\"dtype\":\"F32\"}}", /* twice */
        "[1]",
        "{\"a\":",
    };
    struct safetensors in;
    for (size_t k = 0; k < sizeof header / sizeof *header; k++) {
        write_bytes(path_of("bad"), header[k], data, sizeof data);
        assert_int_equal(safetensors_read(&in, path_of("bad")), MONGE_BAD_DATA);
        assert_non_null(strstr(error_message(), path_of("bad")));
    }
    FILE *file = fopen(path_of("short"), "wb");
    fwrite("\377\377\377\377\377\377\377\377{}", 1, 10, file);
    fclose(file);
    assert_int_equal(safetensors_read(&in, path_of("short")), MONGE_BAD_DATA);
    assert_int_equal(safetensors_read(&in, path_of("absent")), MONGE_NO_INPUT);
    struct safetensors empty = {0};
    assert_int_equal(safetensors_write(&empty, "/nowhere/at/all"), MONGE_CANT_CREATE);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(written_is_read),
        cmocka_unit_test(halves_become_singles),
        cmocka_unit_test(damaged_files_are_refused),
    };
    SUITE(argc, argv, tests);
}
