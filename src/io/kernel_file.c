/* Kernel files. */
#include "monge/kernel_file.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void kernel_file_free(struct kernel_file *file)
{
    free(file->distance);
    free(file->weight);
    memset(file, 0, sizeof *file);
}

static status add_point(struct kernel_file *file, double distance, double weight, const char *path, int line)
{
    if (!(distance >= 0.0) || !(weight >= 0.0) || !isfinite(distance) || !isfinite(weight))
        return error_set(MONGE_BAD_DATA, "%s line %d: distance and weight must be finite and not negative", path, line);
    if (file->n > 0 && distance <= file->distance[file->n - 1])
        return error_set(MONGE_BAD_DATA, "%s line %d: distances must ascend; sort the rows", path, line);
    double *d = realloc(file->distance, ((size_t)file->n + 1) * sizeof *d);
    if (d)
        file->distance = d;
    double *w = realloc(file->weight, ((size_t)file->n + 1) * sizeof *w);
    if (w)
        file->weight = w;
    if (!d || !w)
        return error_memory("a kernel file", 16.0 * file->n);
    d[file->n] = distance;
    w[file->n++] = weight;
    return MONGE_OK;
}

static status read_line(struct kernel_file *file, char *text, const char *path, int line)
{
    char *hash = strchr(text, '#'), word[32], end;
    double first, second;
    if (hash)
        *hash = '\0';
    if (sscanf(text, " %c", &end) != 1)
        return MONGE_OK; /* blank */
    if (sscanf(text, "%lf %lf %c", &first, &second, &end) == 2)
        return add_point(file, first, second, path, line);
    if (sscanf(text, "%31s %lf %c", word, &first, &end) != 2)
        return error_set(MONGE_BAD_DATA, "%s line %d: expected \"distance weight\" or \"beta|uniform|permeability value\"", path, line);
    double *value = !strcmp(word, "beta")           ? &file->beta
                    : !strcmp(word, "uniform")      ? &file->uniform
                    : !strcmp(word, "permeability") ? &file->permeability
                                                    : NULL;
    if (!value)
        return error_set(MONGE_BAD_DATA, "%s line %d: unknown name %s; use beta, uniform or permeability", path, line, word);
    if (!(first >= 0.0 && first <= 1.0))
        return error_set(MONGE_BAD_DATA, "%s line %d: %s must lie between 0 and 1", path, line, word);
    *value = first;
    return MONGE_OK;
}

status kernel_file_read(struct kernel_file *file, const char *path)
{
    *file = (struct kernel_file){.beta = NAN, .permeability = 1.0};
    FILE *stream = fopen(path, "r");
    if (!stream)
        return error_set(MONGE_NO_INPUT, "%s: %s; --kernel takes mixture, mlp or a kernel file", path, strerror(errno));
    char text[512];
    status fault = MONGE_OK;
    for (int line = 1; !fault && fgets(text, sizeof text, stream); line++)
        fault = read_line(file, text, path, line);
    fclose(stream);
    if (!fault && isnan(file->beta))
        fault = error_set(MONGE_BAD_DATA, "%s: no line \"beta VALUE\"; say which share of molecules leaves its spot", path);
    if (!fault && file->n < 2)
        fault = error_set(MONGE_BAD_DATA, "%s: a kernel needs at least two rows of distance and weight", path);
    if (fault)
        kernel_file_free(file);
    return fault;
}
