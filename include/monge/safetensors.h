/* Safetensors files (huggingface/safetensors): named dense arrays and a map of texts, as PyTorch, JAX and others read and write them.
 *
 *   8 bytes: length of the header (little-endian) | header: JSON {"name": {"dtype", "shape", "data_offsets"}, "__metadata__": {...}} | data
 *
 * Read whole by one rank, with every offset checked against the file. F64, F32, I64 and I32 are kept; F16 and BF16 become F32. */
#ifndef MONGE_SAFETENSORS_H
#define MONGE_SAFETENSORS_H

#include <stdint.h>

#include "monge/error.h"

enum { SAFETENSOR_NAME = 192, SAFETENSOR_DIMENSIONS = 8 };
enum safetensor_type { SAFETENSOR_F64, SAFETENSOR_F32, SAFETENSOR_I64, SAFETENSOR_I32 };

struct safetensor {
    char name[SAFETENSOR_NAME];
    enum safetensor_type type;
    int n_dimensions;
    int64_t shape[SAFETENSOR_DIMENSIONS]; /* row-major */
    int64_t n;                            /* elements */
    void *values;
};

struct safetensor_text {
    char *key, *value;
};

struct safetensors {
    int n;
    struct safetensor *tensor;
    int n_texts;
    struct safetensor_text *text; /* __metadata__ */
};

/* Local. MONGE_NO_INPUT, MONGE_BAD_DATA with the tensor and what is wrong, MONGE_IO. */
status safetensors_read(struct safetensors *file, const char *path);

/* Local. Written under a temporary name and renamed. */
status safetensors_write(const struct safetensors *file, const char *path);

/* Adds a copy of the values to a file in memory (begin with a zeroed struct). */
status safetensors_put(struct safetensors *file, const char *name, enum safetensor_type type, int n_dimensions, const int64_t *shape,
                       const void *values);
status safetensors_put_text(struct safetensors *file, const char *key, const char *value);

const struct safetensor *safetensors_find(const struct safetensors *file, const char *name); /* NULL: absent */
const char *safetensors_text(const struct safetensors *file, const char *key);               /* NULL: absent */

/* Element i of a tensor as a double. */
double safetensor_value(const struct safetensor *tensor, int64_t i);

void safetensors_free(struct safetensors *file);

#endif
