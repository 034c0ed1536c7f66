/* `monge score`: tables of agreement with a reference, of scores in space, and of confusion. */
#include "monge/score.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "monge/agree.h"
#include "monge/kmeans.h"
#include "monge/label_scores.h"
#include "monge/labels.h"
#include "monge/nodes.h"
#include "monge/section_labels.h"
#include "monge/spatial_scores.h"

#define AT(member) offsetof(struct score_options, member)
static const struct option options[] = {
    {.name = "labels",
     .type = OPTION_TEXTS,
     .offset = AT(labels),
     .help = "Columns of obs to score: categories, text, or whole numbers, of which -1 means none."},
    {.name = "truth",
     .type = OPTION_TEXT,
     .offset = AT(truth),
     .help = "Column of obs that holds the reference; spots that it leaves without a label are left out of the comparison."},
    {.name = "ignore", .type = OPTION_TEXTS, .offset = AT(ignore), .help = "Labels of --truth that count as none, as \"undetermined\"."},
    {.name = "section",
     .type = OPTION_TEXT,
     .offset = AT(section),
     .help = "Column of obs that names the section of each spot: neighbours lie in one section, and each is scored by itself too; without "
             "it the "
             "sections of a stack, else one."},
    {.name = "coherence-k",
     .type = OPTION_INTEGER,
     .offset = AT(coherence_k),
     .fallback = "6",
     .min = 1,
     .max = 1000,
     .help = "Nearest spots of the coherence."},
    {.name = "pas-k",
     .type = OPTION_INTEGER,
     .offset = AT(pas_k),
     .fallback = "10",
     .min = 1,
     .max = 1000,
     .help = "Nearest spots of PAS."},
    {.name = "moran-k",
     .type = OPTION_INTEGER,
     .offset = AT(moran_k),
     .fallback = "6",
     .min = 1,
     .max = 1000,
     .help = "Nearest spots of Moran's I."},
};
#undef AT
const struct option_table score_options = {
    .verb = "score",
    .summary = "score labels of spots: against a reference, and in space",
    .usage = "IN --labels COLUMN[,COLUMN...] [--truth COLUMN] [--ignore LABEL,...] [--section COLUMN] [options]",
    .options = options,
    .n_options = sizeof options / sizeof options[0],
    .size = sizeof(struct score_options),
};

/* Labels of own nodes. */
struct column {
    const char *title;
    int n;       /* labels that occur */
    char **name; /* n, within `labels`; NULL of a baseline */
    int32_t *own;
    struct section_labels labels; /* as they were read */
};

struct scoring {
    const struct section *section;
    const struct score_options *options;
    struct nodes nodes;
    struct column *column; /* n_columns of the command, then the baselines */
    int n_columns, n_all;
    struct column truth, sections; /* n = 0: none */
    int32_t *part;                 /* of all nodes */
    int n_parts;
    int32_t *scratch; /* own nodes: a column's labels within a section */
    struct text *text;
};

static void column_free(struct column *column)
{
    section_labels_free(&column->labels);
    free(column->name);
    free(column->own);
    memset(column, 0, sizeof *column);
}

static void scoring_free(struct scoring *s)
{
    for (int k = 0; k < s->n_all; k++)
        column_free(&s->column[k]);
    column_free(&s->truth);
    column_free(&s->sections);
    free(s->column);
    free(s->part);
    free(s->scratch);
    nodes_free(&s->nodes);
}

static const char *source_of(const struct scoring *s)
{
    return s->section->source ? s->section->source : "the section";
}

static bool has_positions(const struct section *section)
{
    return section->spatial_x || section->slide.lattice != LATTICE_NONE;
}

/* ---- columns ---- */

/* Collective. Leaves out labels that no node has, and -1, as which many programs write "none". */
static status keep_used_labels(const struct scoring *s, struct column *column)
{
    const int64_t n = s->nodes.rows.n_own;
    const int n_labels = column->labels.n;
    int64_t *count = calloc((size_t)n_labels + 1, sizeof *count);
    int32_t *renamed = malloc(((size_t)n_labels + 1) * sizeof *renamed);
    column->name = malloc(((size_t)n_labels + 1) * sizeof *column->name);
    status done = agree(s->section->comm, count && renamed && column->name ? MONGE_OK : error_memory("labels", 20.0 * n_labels));
    if (done == MONGE_OK) {
        for (int64_t i = 0; i < n; i++)
            if (column->own[i] >= 0)
                count[column->own[i]]++;
        MPI_Allreduce(MPI_IN_PLACE, count, n_labels, MPI_INT64_T, MPI_SUM, s->section->comm);
        for (int c = 0; c < n_labels; c++) {
            bool kept = count[c] > 0 && strcmp(column->labels.name[c], "-1") != 0;
            renamed[c] = kept ? column->n : -1;
            if (kept)
                column->name[column->n++] = column->labels.name[c];
        }
        for (int64_t i = 0; i < n; i++)
            column->own[i] = column->own[i] < 0 ? -1 : renamed[column->own[i]];
    }
    free(count);
    free(renamed);
    return done;
}

/* Collective. A column of obs as labels of own nodes; `ignore`: labels that count as none, or NULL. */
static status read_column(const struct scoring *s, const char *name, const struct option_texts *ignore, struct column *column)
{
    const int64_t n_sites = s->section->sites.n_own, n = s->nodes.rows.n_own;
    status done = section_labels_new(&column->labels, s->section, name);
    if (done == MONGE_OK && ignore)
        done = section_labels_ignore(&column->labels, s->section, name, ignore);
    if (done != MONGE_OK)
        return done;
    column->title = name;
    double *sites = malloc(((size_t)n_sites + 1) * sizeof *sites), *nodes = malloc(((size_t)n + 1) * sizeof *nodes);
    column->own = malloc(((size_t)n + 1) * sizeof *column->own);
    done = agree(s->section->comm, sites && nodes && column->own ? MONGE_OK : error_memory("labels", 16.0 * (double)n_sites));
    for (int64_t i = 0; i < n_sites && done == MONGE_OK; i++)
        sites[i] = column->labels.own[i];
    if (done == MONGE_OK)
        done = nodes_from_sites(&s->nodes, s->section, 1, sites, nodes);
    for (int64_t i = 0; i < n && done == MONGE_OK; i++)
        column->own[i] = nodes[i] >= 0.0 ? (int32_t)nodes[i] : -1;
    free(sites);
    free(nodes);
    if (done == MONGE_OK)
        done = keep_used_labels(s, column);
    if (done != MONGE_OK || column->n > 0)
        return done;
    return error_set(MONGE_BAD_DATA, "%s: obs/%s labels none of the %lld spots that take part (all values are missing)", source_of(s), name,
                     (long long)s->nodes.n);
}

/* Collective. Which part each node lies in: by the column, or by the stack. Nodes without a section make one of their own. */
static status find_parts(struct scoring *s)
{
    const struct partition *rows = &s->nodes.rows;
    status done = s->options->section ? read_column(s, s->options->section, NULL, &s->sections) : MONGE_OK;
    if (done != MONGE_OK)
        return done;
    s->part = malloc(((size_t)s->nodes.n + 1) * sizeof *s->part);
    done = agree(rows->comm, s->part ? MONGE_OK : error_memory("sections", 4.0 * (double)s->nodes.n));
    if (done != MONGE_OK)
        return done;
    if (!s->options->section) {
        memcpy(s->part, s->nodes.part, (size_t)s->nodes.n * sizeof *s->part);
        s->n_parts = s->nodes.n_parts;
        return MONGE_OK;
    }
    done = labels_gather(rows, s->sections.own, s->part);
    s->n_parts = s->sections.n;
    for (int64_t i = 0; i < s->nodes.n && done == MONGE_OK; i++)
        if (s->part[i] < 0) {
            s->part[i] = s->sections.n;
            s->n_parts = s->sections.n + 1;
        }
    return done;
}

static const char *part_name(const struct scoring *s, int part)
{
    if (s->options->section)
        return part < s->sections.n ? s->sections.name[part] : "(no section)";
    return s->section->n_parts ? s->section->parts[part].name : "all";
}

/* ---- baselines ---- */

/* Collective. K-means of the positions, where every section lies beside the one before it. */
static status cluster_positions(const struct scoring *s, int k, int32_t *own)
{
    const struct nodes *nodes = &s->nodes;
    double *place = malloc((2 * (size_t)nodes->rows.n_own + 1) * sizeof *place), left = INFINITY, right = -INFINITY;
    status done = agree(nodes->rows.comm, place ? MONGE_OK : error_memory("positions", 16.0 * (double)nodes->rows.n_own));
    if (done != MONGE_OK) {
        free(place);
        return done;
    }
    for (int64_t i = 0; i < nodes->n; i++) {
        left = fmin(left, nodes->x[i]);
        right = fmax(right, nodes->x[i]);
    }
    for (int64_t i = 0; i < nodes->rows.n_own; i++) {
        int64_t node = nodes->rows.first + i;
        place[2 * i] = nodes->x[node] + 2.0 * (right - left) * s->part[node];
        place[2 * i + 1] = nodes->y[node];
    }
    struct kmeans clusters;
    struct kmeans_options fit = kmeans_defaults(k, 1);
    fit.n_init = 1;
    done = kmeans_fit(&clusters, &nodes->rows, 2, place, &fit);
    if (done == MONGE_OK) {
        memcpy(own, clusters.label, (size_t)nodes->rows.n_own * sizeof *own);
        kmeans_free(&clusters);
    }
    free(place);
    return done;
}

static status add_baselines(struct scoring *s)
{
    const struct column *like = s->truth.n ? &s->truth : &s->column[0];
    const size_t n = (size_t)s->nodes.rows.n_own + 1;
    struct column *one = &s->column[s->n_all++];
    *one = (struct column){.title = "[one label]", .n = 1, .own = calloc(n, sizeof *one->own)};
    status done = agree(s->nodes.rows.comm, one->own ? MONGE_OK : error_memory("labels", 4.0 * (double)n));
    if (done != MONGE_OK || !has_positions(s->section))
        return done;
    struct column *place = &s->column[s->n_all++];
    *place = (struct column){.title = "[positions alone]", .n = like->n, .own = malloc(n * sizeof *place->own)};
    done = agree(s->nodes.rows.comm, place->own ? MONGE_OK : error_memory("labels", 4.0 * (double)n));
    if (done == MONGE_OK)
        done = cluster_positions(s, like->n, place->own);
    if (done != MONGE_BAD_DATA)
        return done;
    error_clear(); /* fewer places than labels: no such baseline */
    for (int64_t i = 0; i < s->nodes.rows.n_own; i++)
        place->own[i] = -1;
    return MONGE_OK;
}

/* ---- tables ---- */

/* The column's labels where the spot lies in the part (-1: any part) and `mask` has a label (NULL: anywhere). */
static void select_labels(const struct scoring *s, const struct column *column, int part, const struct column *mask, int32_t *selected)
{
    const struct partition *rows = &s->nodes.rows;
    for (int64_t i = 0; i < rows->n_own; i++) {
        bool in = (part < 0 || s->part[rows->first + i] == part) && (!mask || mask->own[i] >= 0);
        selected[i] = in ? column->own[i] : -1;
    }
}

static status add_agreement(struct scoring *s, const struct column *column, int part)
{
    struct label_agreement a;
    select_labels(s, column, part, NULL, s->scratch);
    status done = label_agreement(s->nodes.rows.comm, s->nodes.rows.n_own, s->truth.own, s->truth.n, s->scratch, column->n, &a);
    if (done == MONGE_OK && a.n > 0)
        text_add(s->text, "  %-28s%10lld %7d %8.4f %8.4f %8.4f %8.4f %8.4f\n", column->title, (long long)a.n, column->n, a.ari, a.nmi,
                 a.homogeneity, a.completeness, a.fowlkes_mallows);
    else if (done == MONGE_OK)
        text_add(s->text, "  %-28s%10d  no spot has both labels\n", column->title, 0);
    return done;
}

static status add_space(struct scoring *s, const struct column *column, int part, const struct column *mask)
{
    const struct spatial_scores_options fit = {(int)s->options->coherence_k, (int)s->options->pas_k, (int)s->options->moran_k};
    struct spatial_scores scores;
    int64_t labelled = 0;
    select_labels(s, column, part, mask, s->scratch);
    for (int64_t i = 0; i < s->nodes.rows.n_own; i++)
        labelled += s->scratch[i] >= 0;
    MPI_Allreduce(MPI_IN_PLACE, &labelled, 1, MPI_INT64_T, MPI_SUM, s->nodes.rows.comm);
    if (labelled == 0) {
        text_add(s->text, "  %-28s%10d  no spot has a label\n", column->title, 0);
        return MONGE_OK;
    }
    status done = spatial_scores_of(&s->nodes.rows, s->nodes.x, s->nodes.y, s->part, column->n, s->scratch, &fit, &scores, NULL);
    if (done == MONGE_OK)
        text_add(s->text, "  %-28s%10lld %7d %8.4f %8.4f %8.4f %8.4f %8.4f\n", column->title, (long long)scores.n, scores.n_labels,
                 scores.coherence, scores.coherence_chance, scores.chaos, scores.pas, scores.moran_mean);
    return done;
}

/* All rows of both tables for one part, or for all (-1). */
static status add_tables(struct scoring *s, int part)
{
    status done = MONGE_OK;
    const char *where = part < 0 ? "all spots" : part_name(s, part);
    if (s->truth.n) {
        text_add(s->text, "\nagainst %s, %s\n  %-28s%10s %7s %8s %8s %8s %8s %8s\n", s->truth.title, where, "", "spots", "labels", "ARI",
                 "NMI", "homogen.", "complet.", "F-M");
        for (int k = 0; k < s->n_all && done == MONGE_OK; k++)
            done = add_agreement(s, &s->column[k], part);
    }
    if (!has_positions(s->section))
        return done;
    text_add(s->text, "\nin space, %s\n  %-28s%10s %7s %8s %8s %8s %8s %8s\n", where, "", "spots", "labels", "coherent", "chance", "CHAOS",
             "PAS", "Moran");
    if (s->truth.n && done == MONGE_OK)
        done = add_space(s, &s->truth, part, NULL);
    const struct column *mask = s->truth.n ? &s->truth : &s->column[0]; /* baselines are told of the same spots */
    for (int k = 0; k < s->n_all && done == MONGE_OK; k++)
        done = add_space(s, &s->column[k], part, k < s->n_columns ? NULL : mask);
    return done;
}

/* Spots by label of the reference (rows) and of the column. */
static status add_confusion(struct scoring *s, const struct column *column)
{
    enum { WIDEST = 24 };
    int64_t cells = (int64_t)s->truth.n * column->n;
    if (s->truth.n > WIDEST || column->n > WIDEST) {
        text_add(s->text, "\n%s against %s: %d x %d labels, too many for a table here\n", column->title, s->truth.title, column->n,
                 s->truth.n);
        return MONGE_OK;
    }
    int64_t *table = calloc((size_t)cells + 1, sizeof *table);
    status done = agree(s->nodes.rows.comm, table ? MONGE_OK : error_memory("a table of labels", 8.0 * (double)cells));
    if (done == MONGE_OK) {
        for (int64_t i = 0; i < s->nodes.rows.n_own; i++)
            if (s->truth.own[i] >= 0 && column->own[i] >= 0)
                table[(int64_t)s->truth.own[i] * column->n + column->own[i]]++;
        MPI_Allreduce(MPI_IN_PLACE, table, (int)cells, MPI_INT64_T, MPI_SUM, s->nodes.rows.comm);
        text_add(s->text, "\nspots by %s (rows) and %s\n  %-20s", s->truth.title, column->title, "");
        for (int c = 0; c < column->n; c++)
            text_add(s->text, " %9.9s", column->name[c]);
        text_add(s->text, "\n");
        for (int r = 0; r < s->truth.n; r++) {
            text_add(s->text, "  %-20.20s", s->truth.name[r]);
            for (int c = 0; c < column->n; c++)
                text_add(s->text, " %9lld", (long long)table[(int64_t)r * column->n + c]);
            text_add(s->text, "\n");
        }
    }
    free(table);
    return done;
}

static status add_all_tables(struct scoring *s)
{
    text_add(s->text, "%s\n  %lld spots take part%s\n", source_of(s), (long long)s->nodes.n,
             s->n_parts > 1 ? "; neighbours lie in one section" : "");
    status done = add_tables(s, -1);
    for (int part = 0; part < s->n_parts && s->n_parts > 1 && done == MONGE_OK; part++)
        done = add_tables(s, part);
    for (int k = 0; k < s->n_columns && s->truth.n && done == MONGE_OK; k++)
        done = strcmp(s->column[k].title, s->truth.title) != 0 ? add_confusion(s, &s->column[k]) : MONGE_OK;
    if (!has_positions(s->section)) {
        text_add(s->text, "\n  There are no positions (obsm/spatial): no scores in space.\n");
        return done;
    }
    text_add(s->text,
             "\n  coherent: share of the %lld nearest spots with the same label; chance: what labels strewn at random would have; CHAOS, "
             "PAS: lower is\n"
             "  smoother. A map of few large patches scores well in space whether or not it is right: see the baselines in brackets.\n",
             (long long)s->options->coherence_k);
    return done;
}

static status prepare(struct scoring *s)
{
    status done = nodes_new(&s->nodes, s->section);
    if (done != MONGE_OK)
        return done;
    size_t n = (size_t)s->nodes.rows.n_own + 1;
    s->column = calloc((size_t)s->options->labels.n + 2, sizeof *s->column);
    s->scratch = malloc(n * sizeof *s->scratch);
    done = agree(s->section->comm, s->column && s->scratch ? MONGE_OK : error_memory("labels", 4.0 * (double)n));
    for (int k = 0; k < s->options->labels.n && done == MONGE_OK; k++) {
        done = read_column(s, s->options->labels.values[k], NULL, &s->column[k]);
        s->n_columns = ++s->n_all;
    }
    if (done == MONGE_OK && s->options->truth)
        done = read_column(s, s->options->truth, &s->options->ignore, &s->truth);
    if (done == MONGE_OK)
        done = find_parts(s);
    return done == MONGE_OK ? add_baselines(s) : done;
}

status score_section(const struct section *section, const struct score_options *options, struct text *text)
{
    if (options->labels.n == 0)
        return error_set(MONGE_USAGE, "no column is named; --labels COLUMN says which labels of obs to score");
    if (!has_positions(section) && !options->truth)
        return error_set(MONGE_BAD_DATA, "%s: there are no positions (obsm/spatial) to score labels in; name a reference with --truth",
                         section->source ? section->source : "the section");
    struct scoring s = {.section = section, .options = options, .text = text};
    status done = prepare(&s);
    if (done == MONGE_OK)
        done = add_all_tables(&s);
    scoring_free(&s);
    return done;
}
