#include "support/paste_breast.h"

#include <stdlib.h>
#include <string.h>

#include "support/suite.h"

enum { MIN_GENE = 15, MIN_SPOT = 100 };

/* A comma-separated file as lines of fields; dense: a slice has 250 spots. */
struct table {
    char *line;
    size_t room;
    FILE *file;
};

static bool table_next(struct table *table, char **rest)
{
    ssize_t length = getline(&table->line, &table->room, table->file);
    if (length <= 0)
        return false;
    table->line[strcspn(table->line, "\r\n")] = '\0';
    *rest = table->line;
    return true;
}

static struct table table_open(const char *name)
{
    const char *path = shared_data(name);
    struct table table = {.file = path ? fopen(path, "r") : NULL};
    return table;
}

static void table_close(struct table *table)
{
    fclose(table->file);
    free(table->line);
}

/* counts [spots x genes] of the whole file */
static float *read_counts(struct table *table, char ***gene, int64_t *n_genes, int64_t *n_spots)
{
    enum { ROOM = 512, GENE_ROOM = 16384 };
    char *rest;
    assert_true(table_next(table, &rest));
    *gene = malloc(GENE_ROOM * sizeof **gene);
    *n_genes = 0;
    strsep(&rest, ",");
    for (char *name; (name = strsep(&rest, ","));)
        (*gene)[(*n_genes)++] = strdup(name);
    assert_true(*n_genes < GENE_ROOM);
    float *counts = malloc((size_t)(ROOM * *n_genes) * sizeof *counts);
    for (*n_spots = 0; table_next(table, &rest); ++*n_spots) {
        assert_true(*n_spots < ROOM);
        strsep(&rest, ",");
        for (int64_t g = 0; g < *n_genes; g++)
            counts[*n_spots * *n_genes + g] = strtof(strsep(&rest, ","), NULL);
    }
    return counts;
}

static double *read_places(const char *name, int64_t n_spots)
{
    struct table table = table_open(name);
    assert_non_null(table.file);
    double *x = malloc((size_t)n_spots * 2 * sizeof *x);
    char *rest;
    for (int64_t i = 0; i < n_spots; i++) {
        assert_true(table_next(&table, &rest));
        x[2 * i] = strtod(strsep(&rest, ","), NULL);
        x[2 * i + 1] = strtod(strsep(&rest, ","), NULL);
    }
    table_close(&table);
    return x;
}

/* Drops genes, then spots, with too few counts. */
static void filter(struct breast_slice *slice, const float *counts, int64_t n_spots, int64_t n_genes, char **gene, double *x)
{
    bool *keep = calloc((size_t)n_genes, sizeof *keep);
    slice->gene = malloc((size_t)n_genes * sizeof *slice->gene);
    for (int64_t g = 0; g < n_genes; g++) {
        double total = 0.0;
        for (int64_t i = 0; i < n_spots; i++)
            total += (double)counts[i * n_genes + g];
        keep[g] = total >= MIN_GENE;
        if (keep[g])
            slice->gene[slice->n_genes++] = gene[g];
        else
            free(gene[g]);
    }
    struct sparse_rows *rows = &slice->counts;
    rows->start = calloc((size_t)n_spots + 1, sizeof *rows->start);
    rows->column = malloc((size_t)(n_spots * n_genes) * sizeof *rows->column);
    rows->value = malloc((size_t)(n_spots * n_genes) * sizeof *rows->value);
    slice->x = x;
    for (int64_t i = 0; i < n_spots; i++) {
        int64_t end = rows->start[slice->n_spots];
        double total = 0.0;
        int32_t column = 0;
        for (int64_t g = 0; g < n_genes; g++) {
            if (!keep[g])
                continue;
            if (counts[i * n_genes + g] > 0.0f) {
                rows->column[end] = column;
                rows->value[end++] = counts[i * n_genes + g];
                total += (double)counts[i * n_genes + g];
            }
            column++;
        }
        if (total < MIN_SPOT)
            continue;
        memcpy(x + 2 * slice->n_spots, x + 2 * i, 2 * sizeof *x);
        rows->start[++slice->n_spots] = end;
    }
    rows->n_rows = slice->n_spots;
    free(keep);
}

bool breast_read(struct breast_slice *slice, int number)
{
    char name[64];
    memset(slice, 0, sizeof *slice);
    snprintf(name, sizeof name, "data/paste_breast/slice%d.csv", number);
    struct table table = table_open(name);
    if (!table.file)
        return false;
    char **gene;
    int64_t n_genes, n_spots;
    float *counts = read_counts(&table, &gene, &n_genes, &n_spots);
    table_close(&table);
    snprintf(name, sizeof name, "data/paste_breast/slice%d_coor.csv", number);
    filter(slice, counts, n_spots, n_genes, gene, read_places(name, n_spots));
    free(gene);
    free(counts);
    return true;
}

void breast_free(struct breast_slice *slice)
{
    sparse_rows_free(&slice->counts);
    for (int64_t g = 0; g < slice->n_genes; g++)
        free(slice->gene[g]);
    free(slice->gene);
    free(slice->x);
    memset(slice, 0, sizeof *slice);
}

/* Keeps gene g as column place[g]; -1: drops it. */
static void renumber(struct breast_slice *slice, const int32_t *place)
{
    struct sparse_rows *rows = &slice->counts;
    int64_t kept = 0;
    for (int64_t i = 0; i < rows->n_rows; i++) {
        int64_t first = kept;
        for (int64_t k = rows->start[i]; k < rows->start[i + 1]; k++)
            if (place[rows->column[k]] >= 0) { /* insertion: the new order may differ */
                int64_t at = kept++;
                int32_t column = place[rows->column[k]];
                float value = rows->value[k];
                for (; at > first && rows->column[at - 1] > column; at--) {
                    rows->column[at] = rows->column[at - 1];
                    rows->value[at] = rows->value[at - 1];
                }
                rows->column[at] = column;
                rows->value[at] = value;
            }
        rows->start[i] = first;
    }
    rows->start[rows->n_rows] = kept;
    char **gene = calloc((size_t)slice->n_genes, sizeof *gene);
    int64_t n = 0;
    for (int64_t g = 0; g < slice->n_genes; g++)
        if (place[g] >= 0 && ++n)
            gene[place[g]] = slice->gene[g];
        else
            free(slice->gene[g]);
    free(slice->gene);
    slice->gene = gene;
    slice->n_genes = n;
}

int64_t breast_common_genes(struct breast_slice *a, struct breast_slice *b)
{
    int32_t *place_a = malloc((size_t)a->n_genes * sizeof *place_a), *place_b = malloc((size_t)b->n_genes * sizeof *place_b);
    int32_t n = 0;
    for (int64_t h = 0; h < b->n_genes; h++)
        place_b[h] = -1;
    for (int64_t g = 0; g < a->n_genes; g++) {
        place_a[g] = -1;
        for (int64_t h = 0; h < b->n_genes && place_a[g] < 0; h++)
            if (!strcmp(a->gene[g], b->gene[h]))
                place_a[g] = place_b[h] = n++;
    }
    renumber(a, place_a);
    renumber(b, place_b);
    free(place_a);
    free(place_b);
    return n;
}
