/* Names of a stack: which genes its sections have in common, how its spots are called. */
#include "stack_names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "h5_util.h"
#include "monge/text.h"
#include "names.h"

/* ---- genes ---- */

static char **names_of(const struct input *input, bool ids)
{
    return ids ? input->gene_id : input->gene_name;
}

static void add_some(struct text *text, const struct input *input, bool ids)
{
    int64_t n = input->n_genes < 3 ? input->n_genes : 3;
    for (int64_t g = 0; g < n; g++)
        text_add(text, "%s%s", g ? ", " : "", names_of(input, ids)[g]);
    text_add(text, input->n_genes > n ? ", ..." : "");
}

static status nothing_common(const struct input *a, const struct input *b)
{
    struct text text = {0};
    text_add(&text, "%s and %s have no gene in common: ", a->source, b->source);
    add_some(&text, a, false);
    text_add(&text, " against ");
    add_some(&text, b, false);
    text_add(&text, "; give sections whose genes are named alike");
    error_set(MONGE_BAD_DATA, "%s", text.chars ? text.chars : "no common genes");
    text_free(&text);
    return MONGE_BAD_DATA;
}

/* place [k][g]: where gene g of input 0 stands in input k, or -1. *n: genes that all have; *last: the input at which none was left. */
static status find_common(int n_parts, const struct input *inputs, bool ids, int64_t **place, int64_t *n, int *last)
{
    int64_t n_first = inputs[0].n_genes;
    *last = 0;
    *n = n_first;
    for (int k = 0; k < n_parts && *n; k++) {
        struct name_index index = {0};
        int64_t duplicate, left = 0;
        if (name_index_new(&index, inputs[k].n_genes, names_of(&inputs[k], ids), &duplicate) != MONGE_OK)
            return error_code();
        if (duplicate >= 0) {
            error_set(MONGE_BAD_DATA, "%s: two genes have the %s '%s'; make it unique", inputs[k].source, ids ? "id" : "name",
                      names_of(&inputs[k], ids)[duplicate]);
            name_index_free(&index);
            return MONGE_BAD_DATA;
        }
        for (int64_t g = 0; g < n_first; g++) {
            bool before = k == 0 || place[k - 1][g] >= 0;
            place[k][g] = before ? name_index_find(&index, names_of(&inputs[0], ids)[g]) : -1;
            left += place[k][g] >= 0;
        }
        name_index_free(&index);
        *n = left;
        *last = k;
    }
    return MONGE_OK;
}

/* The map of an input's columns -> common genes, by way of its own genes. common [n_first]: index among the common ones, or -1. */
static status set_column_map(struct input *input, int64_t n_first, const int64_t *place, const int32_t *common)
{
    int64_t n = input->matrix.n_cols;
    int32_t *of_gene = malloc((size_t)(input->n_genes + 1) * sizeof *of_gene), *map = malloc((size_t)(n + 1) * sizeof *map);
    if (!of_gene || !map) {
        free(of_gene);
        free(map);
        return error_memory("the gene map", 8.0 * (double)n);
    }
    for (int64_t g = 0; g < input->n_genes; g++)
        of_gene[g] = -1;
    for (int64_t g = 0; g < n_first; g++)
        if (common[g] >= 0)
            of_gene[place[g]] = common[g];
    for (int64_t c = 0; c < n; c++) {
        int32_t gene = input->column_map ? input->column_map[c] : (int32_t)c;
        map[c] = gene < 0 ? -1 : of_gene[gene];
    }
    free(of_gene);
    free(input->column_map);
    input->column_map = map;
    return MONGE_OK;
}

static status copy_names(char *const *from, int64_t n, const int32_t *common, int64_t n_common, char ***names)
{
    *names = calloc((size_t)n_common + 1, sizeof **names);
    bool enough = *names != NULL;
    for (int64_t g = 0; g < n && enough; g++)
        if (common[g] >= 0)
            enough = ((*names)[common[g]] = strdup(from[g])) != NULL;
    if (enough)
        return MONGE_OK;
    texts_free(*names, *names ? n_common : 0);
    *names = NULL;
    return error_memory("gene names", 8.0 * (double)n_common);
}

static status map_genes(int n_parts, struct input *inputs, int64_t *const *place, int64_t n_genes, char ***name, char ***id)
{
    int64_t n_first = inputs[0].n_genes;
    int32_t next = 0, *common = malloc((size_t)(n_first + 1) * sizeof *common);
    status s = common ? MONGE_OK : error_memory("the gene map", 4.0 * (double)n_first);
    for (int64_t g = 0; g < n_first && common; g++)
        common[g] = place[n_parts - 1][g] >= 0 ? next++ : -1;
    if (s == MONGE_OK)
        s = copy_names(inputs[0].gene_name, n_first, common, n_genes, name);
    if (s == MONGE_OK && inputs[0].gene_id)
        s = copy_names(inputs[0].gene_id, n_first, common, n_genes, id);
    for (int k = 0; k < n_parts && s == MONGE_OK; k++)
        s = set_column_map(&inputs[k], n_first, place[k], common);
    free(common);
    return s;
}

status stack_genes(int n_parts, struct input *inputs, int64_t *n_genes, char ***name, char ***id)
{
    int64_t **place = calloc((size_t)n_parts, sizeof *place);
    status s = place ? MONGE_OK : error_memory("the gene map", 8.0 * n_parts);
    bool all_ids = true;
    for (int k = 0; k < n_parts && s == MONGE_OK; k++) {
        place[k] = malloc((size_t)(inputs[0].n_genes + 1) * sizeof **place);
        all_ids = all_ids && inputs[k].gene_id;
        if (!place[k])
            s = error_memory("the gene map", 8.0 * (double)inputs[0].n_genes);
    }
    int last = 0, last_by_id = 0;
    if (s == MONGE_OK)
        s = find_common(n_parts, inputs, false, place, n_genes, &last);
    if (s == MONGE_OK && *n_genes == 0 && all_ids)
        s = find_common(n_parts, inputs, true, place, n_genes, &last_by_id);
    if (s == MONGE_OK && *n_genes == 0)
        s = nothing_common(&inputs[0], &inputs[last]);
    if (s == MONGE_OK)
        s = map_genes(n_parts, inputs, place, *n_genes, name, id);
    for (int k = 0; place && k < n_parts; k++)
        free(place[k]);
    free(place);
    return s;
}

/* ---- spots ---- */

static char *spot_name(const char *name, const char *part, bool suffixed)
{
    struct text text = {0};
    if (suffixed)
        text_add(&text, "%s-%s", name, part);
    else
        text_add(&text, "%s", name);
    return text_take(&text);
}

status stack_spot_names(int n_parts, struct input *inputs, char *const *part_name, char ***names)
{
    int64_t n = 0, duplicate = -1, at = 0;
    for (int k = 0; k < n_parts; k++)
        n += inputs[k].n_spots;
    char **plain = malloc((size_t)(n + 1) * sizeof *plain);
    *names = calloc((size_t)n + 1, sizeof **names);
    struct name_index index = {0};
    status s = plain && *names ? MONGE_OK : error_memory("spot names", 16.0 * (double)n);
    for (int k = 0; k < n_parts && s == MONGE_OK; k++)
        for (int64_t i = 0; i < inputs[k].n_spots; i++)
            plain[at++] = inputs[k].spot_name[i];
    if (s == MONGE_OK)
        s = name_index_new(&index, n, plain, &duplicate);
    at = 0;
    for (int k = 0; k < n_parts && s == MONGE_OK; k++)
        for (int64_t i = 0; i < inputs[k].n_spots && s == MONGE_OK; i++, at++)
            if (!((*names)[at] = spot_name(plain[at], part_name[k], duplicate >= 0)))
                s = error_code();
    if (s == MONGE_OK && duplicate >= 0)
        s = names_make_unique(n, *names); /* "a" of "b-c" and "a-b" of "c" */
    name_index_free(&index);
    free(plain);
    if (s != MONGE_OK) {
        texts_free(*names, *names ? n : 0);
        *names = NULL;
    }
    return s;
}
