/* `monge scaling`: collect, fit, say. Beside the order of the study this file holds the sentences that table and page share. */
#include "monge/scaling.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "monge/html.h"
#include "monge/log.h"
#include "scaling_parts.h"

#define AT(member) offsetof(struct scaling_options, member)
static const struct option options[] = {
    {.name = "output", .type = OPTION_TEXT, .offset = AT(output), .help = "Page with plots to write (-o for short), e.g. scaling.html."},
    {.name = "title", .type = OPTION_TEXT, .offset = AT(title), .help = "Title of the page; default: the job."},
    {.name = "weak",
     .type = OPTION_BOOL,
     .offset = AT(weak),
     .fallback = "false",
     .help = "The input grows with the ranks; without it found from the sizes in the logs."},
    {.name = "project",
     .type = OPTION_REALS,
     .offset = AT(project),
     .min = 1,
     .max = 1e7,
     .unit = "ranks",
     .help = "Numbers of ranks to project the time to; without it 2, 4 and 8 times the most that were measured."},
};
#undef AT
const struct option_table scaling_options = {
    .verb = "scaling",
    .summary = "tell how runs on different numbers of ranks scale: table, model, projection, page of plots",
    .usage = "RESULTS ... [-o scaling.html] [options]",
    .options = options,
    .n_options = sizeof options / sizeof options[0],
    .size = sizeof(struct scaling_options),
};

/* ---- what a number of ranks stands for ---- */

double scaling_work(const struct scaling_data *data, double ranks)
{
    return data->weak ? ranks / data->rows[0].ranks : 1.0;
}

/* Filled as densely as in the largest run; to the last core if that was on one node. */
int scaling_nodes(const struct scaling_data *data, double ranks)
{
    const struct scaling_row *last = &data->rows[data->n_rows - 1];
    double dense = last->nodes > 1 ? (double)last->ranks / last->nodes : fmax(last->ranks, last->run->cores);
    return (int)ceil(ranks / dense - 1e-9);
}

double scaling_speedup(const struct scaling_data *data, double ranks, double seconds)
{
    double work = scaling_work(data, ranks);
    for (int i = 0; i < data->n_rows; i++)
        if (data->rows[i].ranks == ranks)
            work = data->rows[i].work;
    return work * data->rows[0].seconds / seconds;
}

const struct scaling_split *scaling_part(const struct scaling_data *data, int row, int phase)
{
    return &data->part[row * data->n_phases + phase];
}

double scaling_beyond_ideal(const struct scaling_data *data, int phase)
{
    int last = data->n_rows - 1;
    double shrink = data->rows[last].work * data->rows[0].ranks / data->rows[last].ranks;
    return scaling_part(data, last, phase)->seconds - scaling_part(data, 0, phase)->seconds * shrink;
}

/* ---- sentences ---- */

void scaling_name(const struct scaling_data *data, struct text *text)
{
    text_add(text, "%s scaling of ", data->weak ? "Weak" : "Strong");
    const json_t *steps = data->used[0]->steps;
    for (size_t i = 0; i < json_array_size(steps); i++) {
        const char *name = json_string_value(json_object_get(json_array_get(steps, i), "name"));
        text_add(text, "%s%s", i ? ", " : "", name ? name : "?");
    }
}

void scaling_conditions(const struct scaling_data *data, struct text *text)
{
    const struct run_entry *first = data->used[0], *last = data->used[data->n_used - 1];
    text_add(text, "monge %s, %s; %.0f spots x %.0f genes, %.3g million counts above zero", first->version,
             *first->processor ? first->processor : "unknown processor", first->spots, first->genes, first->counts / 1e6);
    if (data->weak)
        text_add(text, " on %d ranks, %.0f x %.0f, %.3g million on %d", first->ranks, last->spots, last->genes, last->counts / 1e6,
                 last->ranks);
}

static void say_terms(const struct scaling_data *data, struct text *text)
{
    const struct scaling_model *m = &data->model;
    const char *w = data->weak ? " w" : "";
    text_add(text, "T(p) = %.3g%s + %.4g%s / p", m->term[SCALING_SERIAL], w, m->term[SCALING_PARALLEL], w);
    if (m->known[SCALING_COMMUNICATION])
        text_add(text, " + %.3g log2 p", m->term[SCALING_COMMUNICATION]);
    text_add(text, " + I/O;  I/O = %.3g%s + %.3g%s / p  [seconds%s]\n", m->io[SCALING_IO_SERIAL], w, m->io[SCALING_IO_PARALLEL], w,
             data->weak ? "; w: size of the input relative to the smallest" : "");
}

void scaling_model_words(const struct scaling_data *data, struct text *text)
{
    const struct scaling_model *m = &data->model;
    if (!data->has_model) {
        text_add(text,
                 "All runs are on %d rank%s: there is nothing to compare and no model. Run the same job on other numbers of ranks "
                 "(1, 2, 4, ...) with --log and give all the logs.\n",
                 data->rows[0].ranks, data->rows[0].ranks > 1 ? "s" : "");
        return;
    }
    say_terms(data, text);
    text_add(text, "Fitted to %d runs on %d numbers of ranks, %s; typical error of the fit %.1f %%.\n", m->n_points, m->n_counts,
             m->by_parts ? "each term to the part of the time that it stands for" : "all terms to the time beside I/O", 100.0 * m->error);
    if (!m->by_parts)
        text_add(text, "The measured seconds in MPI do not grow as log2 p (or were not counted), so they are not used.\n");
    if (!m->known[SCALING_COMMUNICATION])
        text_add(text, "Two numbers of ranks cannot tell serial work from communication: the loss counts as serial here; the range of the "
                       "projection also takes it for communication, which grows. Measure a third and a fourth number.\n");
    else if (m->n_counts == 2)
        text_add(text,
                 "Two numbers of ranks: the communication term rests on one measurement, and that it grows as log2 p is an assumption, "
                 "not a finding. Measure a third and a fourth number.\n");
    else if (m->n_counts == 3)
        text_add(text, "Three numbers of ranks hardly check three terms. Measure a fourth number.\n");
    if (data->rows[data->n_rows - 1].nodes <= 1)
        text_add(text,
                 "All runs were on one node: what the network between nodes costs is not in the model. Memory bandwidth shared by the "
                 "ranks of a node counts as serial or communication.\n");
}

/* ---- the study ---- */

/* Numbers of ranks to project to (malloc'd). */
static double *projections(const struct scaling_data *data, const struct scaling_options *o, int *n)
{
    enum { FURTHER = 3 };
    double most = data->rows[data->n_rows - 1].ranks;
    *n = o->project.n ? o->project.n : FURTHER;
    double *ranks = calloc((size_t)*n, sizeof *ranks);
    for (int k = 0; ranks && k < *n; k++)
        ranks[k] = o->project.n ? round(o->project.values[k]) : most * exp2(k + 1);
    if (!data->has_model)
        *n = 0;
    return ranks;
}

static status write_page(const struct scaling_data *data, const struct scaling_options *o, int n, const double *ranks)
{
    struct text page = {0}, name = {0};
    scaling_name(data, &name);
    status done = scaling_page(&page, data, o->title ? o->title : name.chars, n, ranks);
    if (done == MONGE_OK)
        done = html_write(o->output, &page);
    if (done == MONGE_OK)
        log_info("wrote %s", o->output);
    text_free(&page);
    text_free(&name);
    return done;
}

static status conclude(struct scaling_data *data, const struct scaling_options *o)
{
    data->has_model = data->n_rows > 1;
    if (data->has_model && scaling_fit(&data->model, data->n_used, data->points) != MONGE_OK)
        return error_code();
    int n;
    double *ranks = projections(data, o, &n);
    if (!ranks)
        return error_memory("projections", 8.0 * n);
    struct text table = {0};
    scaling_table(&table, data, n, ranks);
    status done = table.failed || !table.chars ? error_memory("the table", (double)table.length) : MONGE_OK;
    if (done == MONGE_OK) {
        fputs(table.chars, stdout);
        fflush(stdout);
    }
    if (done == MONGE_OK && o->output)
        done = write_page(data, o, n, ranks);
    text_free(&table);
    free(ranks);
    return done;
}

status scaling_study(int n, const char *const *results, const struct scaling_options *o)
{
    struct scaling_data data;
    if (scaling_collect(&data, n, results, o->weak) != MONGE_OK)
        return error_code();
    status done = conclude(&data, o);
    scaling_data_free(&data);
    return done;
}
