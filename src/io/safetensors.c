/* Safetensors files. The header comes from outside: nothing in it is believed before it is checked against the size of the file. */
#include "monge/safetensors.h"

#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "monge/tempfile.h"
#include "monge/text.h"
#include "output_file.h"

enum { LONGEST_HEADER = 100000000 };

static const char *const TYPE_NAME[] = {"F64", "F32", "I64", "I32"};
static const size_t TYPE_BYTES[] = {8, 4, 8, 4};

/* ---- in memory ---- */

static struct safetensor *add(struct safetensors *file, const char *name, enum safetensor_type type, int n_dimensions, const int64_t *shape)
{
    struct safetensor *larger = realloc(file->tensor, ((size_t)file->n + 1) * sizeof *larger);
    if (!larger) {
        error_memory("a safetensors file", (double)file->n * sizeof *larger);
        return NULL;
    }
    file->tensor = larger;
    struct safetensor *tensor = &larger[file->n];
    *tensor = (struct safetensor){.type = type, .n_dimensions = n_dimensions, .n = 1};
    snprintf(tensor->name, sizeof tensor->name, "%s", name);
    for (int d = 0; d < n_dimensions; d++) {
        tensor->shape[d] = shape[d];
        tensor->n *= shape[d];
    }
    tensor->values = malloc((size_t)tensor->n * TYPE_BYTES[type] + 1);
    if (!tensor->values) {
        error_memory("a tensor", (double)tensor->n * (double)TYPE_BYTES[type]);
        return NULL;
    }
    file->n++;
    return tensor;
}

status safetensors_put(struct safetensors *file, const char *name, enum safetensor_type type, int n_dimensions, const int64_t *shape,
                       const void *values)
{
    struct safetensor *tensor = add(file, name, type, n_dimensions, shape);
    if (!tensor)
        return error_code();
    memcpy(tensor->values, values, (size_t)tensor->n * TYPE_BYTES[type]);
    return MONGE_OK;
}

status safetensors_put_text(struct safetensors *file, const char *key, const char *value)
{
    struct safetensor_text *larger = realloc(file->text, ((size_t)file->n_texts + 1) * sizeof *larger);
    struct safetensor_text copy = {strdup(key), strdup(value)};
    if (larger)
        file->text = larger;
    if (!larger || !copy.key || !copy.value) {
        free(copy.key);
        free(copy.value);
        return error_memory("a safetensors file", (double)strlen(value));
    }
    file->text[file->n_texts++] = copy;
    return MONGE_OK;
}

const struct safetensor *safetensors_find(const struct safetensors *file, const char *name)
{
    for (int k = 0; k < file->n; k++)
        if (!strcmp(file->tensor[k].name, name))
            return &file->tensor[k];
    return NULL;
}

const char *safetensors_text(const struct safetensors *file, const char *key)
{
    for (int k = 0; k < file->n_texts; k++)
        if (!strcmp(file->text[k].key, key))
            return file->text[k].value;
    return NULL;
}

double safetensor_value(const struct safetensor *tensor, int64_t i)
{
    switch (tensor->type) {
    case SAFETENSOR_F64:
        return ((const double *)tensor->values)[i];
    case SAFETENSOR_F32:
        return (double)((const float *)tensor->values)[i];
    case SAFETENSOR_I64:
        return (double)((const int64_t *)tensor->values)[i];
    case SAFETENSOR_I32:
        break;
    }
    return (double)((const int32_t *)tensor->values)[i];
}

void safetensors_free(struct safetensors *file)
{
    for (int k = 0; k < file->n; k++)
        free(file->tensor[k].values);
    for (int k = 0; k < file->n_texts; k++) {
        free(file->text[k].key);
        free(file->text[k].value);
    }
    free(file->tensor);
    free(file->text);
    memset(file, 0, sizeof *file);
}

/* ---- reading ---- */

/* IEEE half precision to single. */
static float single_of_half(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 31, fraction = half & 1023, bits;
    if (exponent == 0) { /* zero or denormal: fraction x 2^-24 */
        float value = (float)fraction * 0x1p-24f;
        return sign ? -value : value;
    }
    bits = sign | (exponent == 31 ? 0x7f800000u : (exponent + 112) << 23) | fraction << 13;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* One tensor's place in the file. */
struct place {
    const char *path, *name;
    enum safetensor_type type;
    size_t bytes_each; /* in the file */
    bool bfloat;
    int n_dimensions;
    int64_t shape[SAFETENSOR_DIMENSIONS], first, end;
};

static status bad(const struct place *place, const char *why)
{
    return error_set(MONGE_BAD_DATA, "%s: tensor %s %s", place->path, place->name, why);
}

static status read_type(struct place *place, const char *name)
{
    for (int t = 0; name && t < 4; t++)
        if (!strcmp(name, TYPE_NAME[t])) {
            place->type = (enum safetensor_type)t;
            place->bytes_each = TYPE_BYTES[t];
            return MONGE_OK;
        }
    if (!name || (strcmp(name, "F16") && strcmp(name, "BF16")))
        return bad(place, "has a dtype that is not read; convert it to F32, F64, F16, BF16, I32 or I64");
    place->type = SAFETENSOR_F32;
    place->bytes_each = 2;
    place->bfloat = name[0] == 'B';
    return MONGE_OK;
}

static status read_shape(struct place *place, const json_t *shape, int64_t data_bytes)
{
    int64_t n = 1;
    if (!json_is_array(shape) || json_array_size(shape) > SAFETENSOR_DIMENSIONS)
        return bad(place, "has no shape of at most 8 dimensions");
    place->n_dimensions = (int)json_array_size(shape);
    for (int d = 0; d < place->n_dimensions; d++) {
        const json_t *size = json_array_get(shape, (size_t)d);
        int64_t length = json_is_integer(size) ? (int64_t)json_integer_value(size) : -1;
        if (length < 0 || (length > 0 && n > data_bytes / length))
            return bad(place, "has a shape that the file cannot hold");
        place->shape[d] = length;
        n *= length;
    }
    if (place->first < 0 || place->end < place->first || place->end > data_bytes)
        return bad(place, "lies outside the file; is it cut short?");
    if (place->end - place->first != n * (int64_t)place->bytes_each)
        return bad(place, "has not as many bytes as its shape says");
    return MONGE_OK;
}

static status read_place(struct place *place, const json_t *about, int64_t data_bytes)
{
    const json_t *offsets = json_object_get(about, "data_offsets"), *first = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);
    if (!json_is_integer(first) || !json_is_integer(end))
        return bad(place, "has no data_offsets");
    if (strlen(place->name) >= SAFETENSOR_NAME)
        return bad(place, "has a name of more than 191 characters");
    place->first = (int64_t)json_integer_value(first);
    place->end = (int64_t)json_integer_value(end);
    status s = read_type(place, json_string_value(json_object_get(about, "dtype")));
    return s == MONGE_OK ? read_shape(place, json_object_get(about, "shape"), data_bytes) : s;
}

static status read_values(struct safetensors *file, FILE *stream, const struct place *place, int64_t data_start)
{
    struct safetensor *tensor = add(file, place->name, place->type, place->n_dimensions, place->shape);
    if (!tensor)
        return error_code();
    size_t bytes = (size_t)(place->end - place->first);
    if (fseeko(stream, (off_t)(data_start + place->first), SEEK_SET) != 0 || fread(tensor->values, 1, bytes, stream) != bytes)
        return error_set(MONGE_IO, "%s: tensor %s cannot be read", place->path, place->name);
    if (place->bytes_each == 2) /* from the end: halves and singles share the memory */
        for (int64_t i = tensor->n - 1; i >= 0; i--) {
            uint16_t half;
            memcpy(&half, (char *)tensor->values + 2 * i, sizeof half);
            uint32_t bits = (uint32_t)half << 16;
            float value = single_of_half(half);
            memcpy((char *)tensor->values + 4 * i, place->bfloat ? (const void *)&bits : (const void *)&value, 4);
        }
    return MONGE_OK;
}

static status read_entries(struct safetensors *file, FILE *stream, const char *path, json_t *header, int64_t data_start, int64_t data_bytes)
{
    const char *name;
    json_t *about;
    status s = MONGE_OK;
    json_object_foreach(header, name, about)
    {
        if (s != MONGE_OK)
            return s;
        if (!strcmp(name, "__metadata__")) {
            const char *key;
            json_t *value;
            json_object_foreach(about, key, value) if (s == MONGE_OK && json_is_string(value)) s =
                safetensors_put_text(file, key, json_string_value(value));
            continue;
        }
        struct place place = {.path = path, .name = name};
        s = read_place(&place, about, data_bytes);
        if (s == MONGE_OK)
            s = read_values(file, stream, &place, data_start);
    }
    return s;
}

static status read_stream(struct safetensors *file, FILE *stream, const char *path)
{
    unsigned char length_bytes[8];
    uint64_t length = 0;
    int64_t size = fseeko(stream, 0, SEEK_END) == 0 ? (int64_t)ftello(stream) : -1;
    if (size < 8 || fseeko(stream, 0, SEEK_SET) != 0 || fread(length_bytes, 1, 8, stream) != 8)
        return error_set(MONGE_BAD_DATA, "%s: not a safetensors file: shorter than 8 bytes", path);
    for (int k = 7; k >= 0; k--)
        length = length << 8 | length_bytes[k];
    if (length > LONGEST_HEADER || (int64_t)length > size - 8)
        return error_set(MONGE_BAD_DATA, "%s: not a safetensors file, or cut short: a header of %llu bytes in %lld", path,
                         (unsigned long long)length, (long long)size);
    char *text = malloc(length + 1);
    if (!text)
        return error_memory("a header", (double)length);
    json_error_t fault;
    json_t *header = fread(text, 1, length, stream) == length ? json_loadb(text, length, JSON_REJECT_DUPLICATES, &fault) : NULL;
    free(text);
    status s = json_is_object(header) ? read_entries(file, stream, path, header, 8 + (int64_t)length, size - 8 - (int64_t)length)
                                      : error_set(MONGE_BAD_DATA, "%s: its header is not a JSON object", path);
    json_decref(header);
    return s;
}

status safetensors_read(struct safetensors *file, const char *path)
{
    *file = (struct safetensors){.n = 0};
    FILE *stream = fopen(path, "rb");
    if (!stream)
        return error_set(MONGE_NO_INPUT, "%s: %s", path, strerror(errno));
    status s = read_stream(file, stream, path);
    fclose(stream);
    if (s != MONGE_OK)
        safetensors_free(file);
    return s;
}

/* ---- writing ---- */

/* The header's text (free it), padded with spaces so that data begin at a multiple of 8; NULL if there is no memory. */
static char *header_text(const struct safetensors *file)
{
    json_t *header = json_object(), *texts = json_object();
    int64_t at = 0;
    for (int k = 0; k < file->n_texts; k++)
        json_object_set_new(texts, file->text[k].key, json_string(file->text[k].value));
    if (file->n_texts)
        json_object_set(header, "__metadata__", texts);
    for (int k = 0; k < file->n; k++) {
        const struct safetensor *tensor = &file->tensor[k];
        json_t *shape = json_array();
        for (int d = 0; d < tensor->n_dimensions; d++)
            json_array_append_new(shape, json_integer((json_int_t)tensor->shape[d]));
        int64_t end = at + tensor->n * (int64_t)TYPE_BYTES[tensor->type];
        json_object_set_new(header, tensor->name,
                            json_pack("{s:s, s:o, s:[I, I]}", "dtype", TYPE_NAME[tensor->type], "shape", shape, "data_offsets",
                                      (json_int_t)at, (json_int_t)end));
        at = end;
    }
    char *text = json_dumps(header, JSON_COMPACT), *padded = NULL;
    if (text) {
        size_t length = strlen(text), whole = (length + 7) / 8 * 8;
        padded = malloc(whole + 1);
        if (padded) {
            memset(padded, ' ', whole);
            memcpy(padded, text, length);
            padded[whole] = '\0';
        }
    }
    free(text);
    json_decref(texts);
    json_decref(header);
    return padded;
}

static status write_stream(const struct safetensors *file, const char *path)
{
    char *header = header_text(file);
    if (!header)
        return error_memory("a safetensors file", 0.0);
    FILE *stream = fopen(path, "wb");
    bool whole = stream != NULL;
    uint64_t length = strlen(header);
    for (int k = 0; whole && k < 8; k++)
        whole = fputc((int)(length >> (8 * k) & 255), stream) != EOF;
    whole = whole && fwrite(header, 1, length, stream) == length;
    for (int k = 0; whole && k < file->n; k++) {
        size_t bytes = (size_t)file->tensor[k].n * TYPE_BYTES[file->tensor[k].type];
        whole = fwrite(file->tensor[k].values, 1, bytes, stream) == bytes;
    }
    free(header);
    if (stream)
        whole = fclose(stream) == 0 && whole;
    return whole ? MONGE_OK : error_set(MONGE_IO, "%s: cannot be written (%s)", path, strerror(errno));
}

status safetensors_write(const struct safetensors *file, const char *path)
{
    struct text name = {0};
    text_add(&name, "%s.tmp", path);
    char *temporary = text_take(&name);
    if (!temporary)
        return error_code();
    status s = tempfile_register(temporary);
    if (s == MONGE_OK)
        s = output_file_create(temporary);
    if (s == MONGE_OK)
        s = write_stream(file, temporary);
    if (s == MONGE_OK)
        s = output_file_publish(temporary, path);
    if (s != MONGE_OK)
        remove(temporary);
    tempfile_forget(temporary);
    free(temporary);
    return s;
}
