/* What is printed of an atlas: tables with aligned columns, the plan of a dry run, and the summary at the
 * end. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "atlas_parts.h"

/* ---- tables ---- */

void atlas_table_add(struct atlas_table *table, const char *format, ...)
{
    char cell[2560];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(cell, sizeof cell, format, arguments);
    va_end(arguments);
    char **longer = realloc(table->cells, (size_t)(table->n_cells + 1) * sizeof *longer);
    char *copy = text_copy(cell);
    if (longer)
        table->cells = longer;
    if (longer && copy)
        table->cells[table->n_cells++] = copy;
    else {
        free(copy);
        table->failed = true;
    }
}

/* Columns of numbers (and "-" for none) stand to the right. */
static bool holds_numbers(const struct atlas_table *table, int column)
{
    bool any = false;
    for (int k = table->n_columns + column; k < table->n_cells; k += table->n_columns) {
        const char *cell = table->cells[k];
        if (strspn(cell, "0123456789.-") != strlen(cell))
            return false;
        any = any || *cell;
    }
    return any;
}

void atlas_table_print(struct atlas_table *table)
{
    int n = table->n_columns, rows = table->failed ? 0 : table->n_cells / n;
    int *width = calloc((size_t)n, sizeof *width);
    for (int k = 0; width && k < rows * n; k++) /* below 0: to the left */
        width[k % n] = (int)fmax(width[k % n], (double)strlen(table->cells[k]));
    for (int c = 0; width && c < n; c++)
        width[c] = c == n - 1 ? 0 : holds_numbers(table, c) ? width[c] : -width[c];
    for (int k = 0; width && k < rows * n; k++)
        printf("%s%*s%s", k % n ? "  " : "", width[k % n], table->cells[k], k % n == n - 1 ? "\n" : "");
    if (table->failed || !width)
        printf("(no memory for the table)\n");
    fflush(stdout);
    free(width);
    for (int k = 0; k < table->n_cells; k++)
        free(table->cells[k]);
    free(table->cells);
    *table = (struct atlas_table){0};
}

void atlas_duration(char *text, size_t size, double seconds)
{
    long whole = (long)(seconds + 0.5);
    if (whole >= 3600)
        snprintf(text, size, "%ld h %02ld min", whole / 3600, whole % 3600 / 60);
    else if (whole >= 100)
        snprintf(text, size, "%ld min %02ld s", whole / 60, whole % 60);
    else
        snprintf(text, size, "%.1f s", seconds);
}

static void add_head(struct atlas_table *table, const char *const *head, int n)
{
    table->n_columns = n;
    for (int c = 0; c < n; c++)
        atlas_table_add(table, "%s", head[c]);
}

/* ---- the plan ---- */

static void add_planned(struct atlas_table *table, const struct atlas *atlas, int i)
{
    const struct atlas_entry *entry = &atlas->entries[i];
    atlas_table_add(table, "%s", atlas->job->sections[i].name);
    atlas_table_add(table, "%lld", (long long)entry->size.n_spots);
    atlas_table_add(table, "%lld", (long long)entry->size.n_genes);
    atlas_table_add(table, "%lld", (long long)entry->size.n_entries);
    if (entry->settled) {
        for (int c = 0; c < 3; c++)
            atlas_table_add(table, "%s", "");
    } else {
        atlas_table_add(table, "%d", entry->width);
        atlas_table_add(table, "%.0f", entry->bytes / 1e6);
        atlas_table_add(table, "%.1f", atlas_seconds(entry->seconds, entry->width));
    }
    if (entry->settled)
        atlas_table_add(table, "done");
    else if (!entry->input[0])
        atlas_table_add(table, "%s is not there", atlas->job->sections[i].input);
    else if (entry->size.n_spots == 0)
        atlas_table_add(table, "%s cannot be read", atlas->job->sections[i].input);
    else
        atlas_table_add(table, "%s", entry->bytes > atlas->bytes_there ? "needs more memory than is there" : "");
}

static void print_plan(const struct atlas *atlas)
{
    static const char *const head[] = {"section", "spots", "genes", "counts", "ranks", "MB/rank", "seconds", "remark"};
    struct atlas_table table = {0};
    double bytes = 0.0, work = 0.0;
    int n = atlas->job->n_sections, left = 0;
    add_head(&table, head, 8);
    for (int k = 0; k < n; k++) {
        const struct atlas_entry *entry = &atlas->entries[atlas->order[k]];
        add_planned(&table, atlas, atlas->order[k]);
        if (entry->settled)
            continue;
        left++;
        bytes = fmax(bytes, entry->bytes);
        work += entry->width * atlas_seconds(entry->seconds, entry->width);
    }
    printf("plan (nothing is written)\n");
    atlas_table_print(&table);
    printf("total\n");
    printf("  sections   %d of %d to do, longest first\n", left, n);
    printf("  output     %s\n", atlas->job->options.output_folder);
    printf("  memory     about %.0f MB per rank\n", bytes / 1e6);
    printf("  work       about %.2f rank-hours\n", work / 3600.0);
    printf("  time       about %.0f s on these %d ranks", atlas->seconds, atlas->ranks);
    printf(atlas->worlds > 1 ? ", in each of %d array tasks (rough)\n" : " (rough)\n", atlas->worlds);
    fflush(stdout);
}

status atlas_plan(MPI_Comm comm, const struct job *job)
{
    struct atlas atlas;
    if (atlas_survey(&atlas, comm, job) != MONGE_OK)
        return error_code();
    int rank;
    MPI_Comm_rank(comm, &rank);
    if (rank == 0)
        print_plan(&atlas);
    atlas_free(&atlas);
    return MONGE_OK;
}

/* ---- the summary ---- */

void atlas_print_summary(const struct atlas_line *lines, int n)
{
    static const char *const head[] = {"section", "state", "spots", "genes", "seconds", "ranks", "why"};
    struct atlas_table table = {0};
    add_head(&table, head, 7);
    for (int i = 0; i < n; i++) {
        const struct atlas_line *line = &lines[i];
        bool ended = line->state == ATLAS_DONE || line->state == ATLAS_FAILED || line->state == ATLAS_STOPPED;
        atlas_table_add(&table, "%s", line->name);
        atlas_table_add(&table, "%s", atlas_state_words[line->state]);
        atlas_table_add(&table, line->record.size.n_spots ? "%lld" : "-", (long long)line->record.size.n_spots);
        atlas_table_add(&table, line->record.size.n_spots ? "%lld" : "-", (long long)line->record.size.n_genes);
        atlas_table_add(&table, ended ? "%.1f" : "-", line->record.seconds);
        atlas_table_add(&table, ended ? "%d" : "-", line->record.ranks);
        if (line->state == ATLAS_FAILED)
            atlas_table_add(&table, "%s", line->record.why);
        else if (line->state == ATLAS_RUNNING)
            atlas_table_add(&table, "on %s", line->record.host);
        else
            atlas_table_add(&table, "%s", line->state == ATLAS_DONE && !line->here ? "done before" : "");
    }
    atlas_table_print(&table);
}
