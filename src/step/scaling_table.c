/* The study as text. */
#include <math.h>
#include <stdio.h>

#include "scaling_parts.h"

enum { COLUMNS_MOST = 7, PHASE_WIDTH = 20 };

static double percent(double part, double whole)
{
    return whole > 0.0 ? 100.0 * part / whole : 0.0;
}

static void add_shares(struct text *text, const struct scaling_split *s)
{
    text_add(text, " %8.1f %8.1f %8.1f %8.1f", percent(s->compute, s->seconds), percent(s->imbalance, s->seconds),
             percent(s->communication, s->seconds), percent(s->io, s->seconds));
}

static void add_rows(struct text *text, const struct scaling_data *data)
{
    text_add(text, "%7s %6s %5s %10s %21s %8s %11s %35s %13s\n", "", "", "", "", "", "", "", "% of the time in", "memory/rank");
    text_add(text, "%7s %6s %5s %10s %21s %8s %11s %8s %8s %8s %8s %6s %6s\n", "ranks", "nodes", "runs", "time, s", "fastest - slowest",
             "speedup", "efficiency", "compute", "imbal.", "commun.", "I/O", "mean", "max MB");
    for (int r = 0; r < data->n_rows; r++) {
        const struct scaling_row *row = &data->rows[r];
        char range[64] = "";
        if (row->n_runs > 1)
            snprintf(range, sizeof range, "%.4g - %.4g", row->fastest, row->slowest);
        text_add(text, "%7d %6d %5d %10.4g %21s %8.2f %9.0f %%", row->ranks, row->nodes, row->n_runs, row->seconds, range, row->speedup,
                 100.0 * row->efficiency);
        add_shares(text, &row->all);
        text_add(text, " %6.0f %6.0f\n", row->memory_mean / 1e6, row->memory_max / 1e6);
    }
}

/* Rows to show as columns: the fewest and the most ranks and, evenly, some between. */
static int pick(const struct scaling_data *data, int row[COLUMNS_MOST])
{
    int n = data->n_rows < COLUMNS_MOST ? data->n_rows : COLUMNS_MOST;
    for (int k = 0; k < n; k++)
        row[k] = n > 1 ? k * (data->n_rows - 1) / (n - 1) : 0;
    return n;
}

static void add_phases(struct text *text, const struct scaling_data *data)
{
    int row[COLUMNS_MOST], n = pick(data, row), last = data->n_rows - 1;
    text_add(text,
             "\nphases: seconds by number of ranks; at %d ranks: %% of the phase in, per rank MPI calls and MB sent, seconds beyond "
             "ideal scaling\n%-*s",
             data->rows[last].ranks, PHASE_WIDTH, "");
    for (int k = 0; k < n; k++)
        text_add(text, " %8d", data->rows[row[k]].ranks);
    text_add(text, " | %8s %8s %8s %8s %9s %9s%s\n", "compute", "imbal.", "commun.", "I/O", "calls", "MB",
             data->n_rows > 1 ? "    beyond" : "");
    for (int p = 0; p < data->n_phases; p++) {
        const struct scaling_split *s = scaling_part(data, last, p);
        text_add(text, "%-*.*s", PHASE_WIDTH, PHASE_WIDTH, data->phase[p]);
        for (int k = 0; k < n; k++)
            text_add(text, " %8.3g", scaling_part(data, row[k], p)->seconds);
        text_add(text, " |");
        add_shares(text, s);
        text_add(text, " %9.0f %9.3g", s->calls, s->sent / 1e6);
        if (data->n_rows > 1)
            text_add(text, " %+9.2g", scaling_beyond_ideal(data, p));
        text_add(text, "\n");
    }
}

static void add_projections(struct text *text, const struct scaling_data *data, int n, const double *ranks)
{
    text_add(text, "\nPROJECTION by the model, not measured\n%7s %6s %10s %21s %8s %11s %8s\n", "ranks", "nodes", "time, s", "range",
             "speedup", "efficiency", "I/O, %");
    for (int k = 0; k < n; k++) {
        double work = scaling_work(data, ranks[k]);
        struct scaling_projection p = scaling_project(&data->model, ranks[k], work);
        char range[64];
        snprintf(range, sizeof range, "%.4g - %.4g", p.least, p.most);
        double speedup = scaling_speedup(data, ranks[k], p.seconds);
        text_add(text, "%7.0f %6d %10.4g %21s %8.2f %9.0f %% %8.1f  projection\n", ranks[k], scaling_nodes(data, ranks[k]), p.seconds,
                 range, speedup, 100.0 * speedup * data->rows[0].ranks / ranks[k],
                 percent(scaling_io_seconds(&data->model, ranks[k], work), p.seconds));
    }
}

void scaling_table(struct text *text, const struct scaling_data *data, int n, const double *ranks)
{
    scaling_name(data, text);
    text_add(text, "\n");
    scaling_conditions(data, text);
    text_add(text, "\n\n");
    add_rows(text, data);
    add_phases(text, data);
    struct text words = {0};
    scaling_model_words(data, &words);
    text_add(text, "\nmodel\n");
    for (const char *at = words.chars; at && *at;) {
        char line[512];
        int length = 0;
        while (at[length] && at[length] != '\n')
            length++;
        snprintf(line, sizeof line, "%.*s", length, at);
        text_add(text, "  ");
        text_add_wrapped(text, line, 2, 4, 130);
        at += length + (at[length] == '\n');
    }
    text->failed = text->failed || words.failed;
    text_free(&words);
    if (n > 0)
        add_projections(text, data, n, ranks);
}
