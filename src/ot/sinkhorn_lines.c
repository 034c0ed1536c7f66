/* Compressed lines (rows or columns) of a kernel, and truncation of dense kernels (Schmitzer 2016, section 3): at small eps nearly all
 * entries are negligible, and an iteration costs what the others do. An entry is kept if it exceeds theta r_i c_j / mass with r, c the
 * sums of the kernel; all that is left out together is below theta x mass, and every line keeps its largest entry. */
#include <stdlib.h>

#include "sinkhorn_parts.h"

double ot_gather_dot(int64_t n, const double *x, const int32_t *index, const double *v)
{
    double lane[8] = {0.0};
    int64_t k = 0;
    for (; k + 8 <= n; k += 8)
        for (int l = 0; l < 8; l++)
            lane[l] = fused_inline(x[k + l], v[index[k + l]], lane[l]);
    double sum = ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
    for (; k < n; k++)
        sum = fused_inline(x[k], v[index[k]], sum);
    return sum;
}

void ot_lines_apply(const struct ot_lines *lines, const double *v, double *s)
{
    for (int64_t i = 0; i < lines->n; i++) {
        int64_t k = lines->start[i];
        s[lines->first + i] = ot_gather_dot(lines->start[i + 1] - k, lines->value + k, lines->index + k, v);
    }
}

void ot_lines_free(struct ot_lines *lines)
{
    free(lines->start);
    free(lines->index);
    free(lines->value);
    *lines = (struct ot_lines){.n = 0};
}

/* Room for the entries counted in start (start[i + 1] = entries of line i), which becomes offsets. */
static bool make_room(struct ot_lines *lines)
{
    for (int64_t i = 0; i < lines->n; i++)
        lines->start[i + 1] += lines->start[i];
    int64_t entries = lines->start[lines->n];
    if (entries <= lines->room)
        return true;
    free(lines->index);
    free(lines->value);
    lines->room = entries + entries / 4;
    lines->index = malloc((size_t)lines->room * sizeof *lines->index);
    lines->value = malloc((size_t)lines->room * sizeof *lines->value);
    if (!lines->index || !lines->value)
        lines->room = 0;
    return lines->room > 0;
}

/* Lines are forgotten, but not their room. */
static bool begin(struct ot_lines *lines, int64_t n, int64_t first)
{
    lines->n = n;
    lines->first = first;
    free(lines->start);
    lines->start = calloc((size_t)n + 2, sizeof *lines->start);
    return lines->start != NULL;
}

bool ot_lines_by_rows(struct ot_lines *lines, const struct ot_block *block, const double *row_limit, const double *column_sum)
{
    if (!begin(lines, block->n, block->row))
        return false;
    const double *sum = column_sum + block->column;
    for (int64_t i = 0; i < block->n; i++) {
        const double *kernel = block->kernel + i * block->m;
        double limit = row_limit[block->row + i];
        int64_t count = 0;
        for (int64_t j = 0; j < block->m; j++)
            count += kernel[j] > limit * sum[j];
        lines->start[i + 1] = count;
    }
    if (!make_room(lines))
        return false;
    int64_t k = 0;
    for (int64_t i = 0; i < block->n; i++) {
        const double *kernel = block->kernel + i * block->m;
        double limit = row_limit[block->row + i];
        for (int64_t j = 0; j < block->m; j++)
            if (kernel[j] > limit * sum[j]) {
                lines->index[k] = (int32_t)(block->column + j);
                lines->value[k++] = kernel[j];
            }
    }
    return true;
}

bool ot_lines_by_columns(struct ot_lines *lines, const struct ot_block *block, const double *row_limit, const double *column_sum)
{
    if (!begin(lines, block->m, block->column))
        return false;
    const double *sum = column_sum + block->column;
    for (int64_t i = 0; i < block->n; i++) {
        const double *kernel = block->kernel + i * block->m;
        double limit = row_limit[block->row + i];
        for (int64_t j = 0; j < block->m; j++)
            lines->start[j + 1] += kernel[j] > limit * sum[j];
    }
    if (!make_room(lines))
        return false;
    for (int64_t i = 0; i < block->n; i++) {
        const double *kernel = block->kernel + i * block->m;
        double limit = row_limit[block->row + i];
        for (int64_t j = 0; j < block->m; j++)
            if (kernel[j] > limit * sum[j]) {
                int64_t k = lines->start[j]++;
                lines->index[k] = (int32_t)(block->row + i);
                lines->value[k] = kernel[j];
            }
    }
    for (int64_t j = block->m; j > 0; j--) /* each start has moved to the next */
        lines->start[j] = lines->start[j - 1];
    lines->start[0] = 0;
    return true;
}
