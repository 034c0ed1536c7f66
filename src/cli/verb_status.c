/* `monge status DIR`: how far an atlas is, whether jobs work on it or not. Reads records and asks for locks; touches nothing. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "atlas_parts.h"
#include "monge/agree.h"

struct status_options {
    bool json;
};
static const struct option options[] = {
    {.name = "json",
     .type = OPTION_BOOL,
     .offset = offsetof(struct status_options, json),
     .help = "Print one JSON object instead of a table, for scripts."},
};
const struct option_table options_status = {.verb = "status",
                                            .summary = "show how far a job with many sections is",
                                            .usage = "OUTPUT_FOLDER [--json]",
                                            .options = options,
                                            .n_options = 1,
                                            .size = sizeof(struct status_options)};

/* ---- time left ---- */

struct progress_sum {
    int count[5];        /* sections by state */
    int ranks;           /* at work now */
    double rank_seconds; /* left */
    double seconds;      /* left for the ranks at work; NAN: nobody is */
    bool rough;          /* no section is finished yet */
};

/* A job on another host may have a clock of its own. */
static double elapsed(const struct atlas_line *line)
{
    return fmax(0.0, (double)time(NULL) - line->record.started);
}

/* What was expected of the sections left, scaled by how the finished ones compare with their expectations. */
static struct progress_sum sum_up(const struct atlas_list *list)
{
    struct progress_sum sum = {0};
    double took = 0.0, expected = 0.0, longest = 0.0;
    for (int i = 0; i < list->n; i++) {
        const struct atlas_line *line = &list->lines[i];
        sum.count[line->state]++;
        if (line->state == ATLAS_DONE && line->record.estimate > 0.0) {
            took += line->record.seconds * line->record.ranks;
            expected += line->record.estimate;
        }
    }
    sum.rough = expected == 0.0;
    double rate = sum.rough ? 1.0 : took / expected;
    for (int i = 0; i < list->n; i++) {
        const struct atlas_line *line = &list->lines[i];
        double work = rate * line->estimate;
        if (line->state == ATLAS_RUNNING) {
            work = fmax(0.0, work - elapsed(line) * line->record.ranks);
            sum.ranks += line->record.ranks;
            longest = fmax(longest, work / fmax(1.0, line->record.ranks));
        } else if (line->state == ATLAS_DONE || line->state == ATLAS_FAILED) {
            work = 0.0;
        }
        sum.rank_seconds += work;
    }
    sum.seconds = sum.ranks ? fmax(longest, sum.rank_seconds / sum.ranks) : NAN;
    return sum;
}

/* ---- for people ---- */

static void add_remark(struct atlas_table *table, const struct atlas_line *line)
{
    char since[32], took[32];
    time_t started = (time_t)line->record.started;
    struct tm local;
    const struct atlas_record *record = &line->record;
    switch (line->state) {
    case ATLAS_RUNNING:
        strftime(since, sizeof since, "%H:%M:%S", localtime_r(&started, &local));
        atlas_duration(took, sizeof took, elapsed(line));
        atlas_table_add(table, "since %s (%s) on %s%s%s", since, took, record->host, record->at[0] ? ": " : "", record->at);
        break;
    case ATLAS_FAILED:
        atlas_table_add(table, "%s", record->why);
        break;
    case ATLAS_STOPPED:
        atlas_table_add(table, "goes on when the job is run again");
        break;
    case ATLAS_WAITING:
        atlas_table_add(table, "%s", line->again ? "its job ended on the way; begun again when the job is run again" : "");
        break;
    case ATLAS_DONE:
        atlas_table_add(table, "%s", "");
        break;
    }
}

static void print_table(const struct atlas_list *list)
{
    static const char *const head[] = {"section", "state", "spots", "genes", "seconds", "ranks", "remark"};
    struct atlas_table table = {.n_columns = 7};
    for (int c = 0; c < 7; c++)
        atlas_table_add(&table, "%s", head[c]);
    for (int i = 0; i < list->n; i++) {
        const struct atlas_line *line = &list->lines[i];
        bool begun = line->state != ATLAS_WAITING;
        atlas_table_add(&table, "%s", line->name);
        atlas_table_add(&table, "%s", atlas_state_words[line->state]);
        atlas_table_add(&table, line->record.size.n_spots ? "%lld" : "-", (long long)line->record.size.n_spots);
        atlas_table_add(&table, line->record.size.n_spots ? "%lld" : "-", (long long)line->record.size.n_genes);
        atlas_table_add(&table, begun ? "%.1f" : "-", line->state == ATLAS_RUNNING ? elapsed(line) : line->record.seconds);
        atlas_table_add(&table, begun ? "%d" : "-", line->record.ranks);
        add_remark(&table, line);
    }
    atlas_table_print(&table);
}

static void print_for_people(const struct atlas_list *list, const struct progress_sum *sum)
{
    char left[32], work[32];
    printf("%s: %s\n\n", list->job, list->steps);
    print_table(list);
    printf("\n%d of %d done, %d running on %d ranks, %d waiting, %d failed", sum->count[ATLAS_DONE], list->n, sum->count[ATLAS_RUNNING],
           sum->ranks, sum->count[ATLAS_WAITING] + sum->count[ATLAS_STOPPED], sum->count[ATLAS_FAILED]);
    atlas_duration(work, sizeof work, sum->rank_seconds);
    atlas_duration(left, sizeof left, sum->seconds);
    const char *rough = sum->rough ? " (rough: no section is finished yet)" : "";
    if (sum->ranks)
        printf("; about %s left%s\n", left, rough);
    else if (sum->rank_seconds > 0.0)
        printf("; nobody works on it; about %s of one rank's work left%s\n", work, rough);
    else
        printf("\n");
    fflush(stdout);
}

/* ---- for scripts ---- */

static status print_json(const struct atlas_list *list, const char *folder, const struct progress_sum *sum)
{
    json_t *sections = json_array();
    for (int i = 0; i < list->n; i++) {
        const struct atlas_line *line = &list->lines[i];
        char *record = atlas_record_text(&line->record);
        json_t *section = record ? json_loads(record, 0, NULL) : NULL;
        free(record);
        if (!section)
            break;
        json_object_set_new(section, "name", json_string(line->name));
        json_object_set_new(section, "state", json_string(atlas_state_words[line->state]));
        if (line->state == ATLAS_RUNNING)
            json_object_set_new(section, "seconds", json_real(elapsed(line)));
        json_array_append_new(sections, section);
    }
    bool whole = (int)json_array_size(sections) == list->n;
    json_t *root = json_pack("{ss ss ss si si si si si so sf so}", "folder", folder, "job", list->job, "steps", list->steps, "done",
                             sum->count[ATLAS_DONE], "running", sum->count[ATLAS_RUNNING], "waiting",
                             sum->count[ATLAS_WAITING] + sum->count[ATLAS_STOPPED], "failed", sum->count[ATLAS_FAILED], "ranks", sum->ranks,
                             "seconds_left", isnan(sum->seconds) ? json_null() : json_real(sum->seconds), "rank_seconds_left",
                             sum->rank_seconds, "sections", sections);
    char *text = whole && root ? json_dumps(root, JSON_INDENT(1)) : NULL;
    json_decref(root);
    if (!text)
        return error_memory("the list", 0.0);
    puts(text);
    free(text);
    return MONGE_OK;
}

static status show(const char *folder, bool json)
{
    struct atlas_list list;
    if (atlas_list_read(&list, folder) != MONGE_OK)
        return error_code();
    struct progress_sum sum = sum_up(&list);
    status done = MONGE_OK;
    if (json)
        done = print_json(&list, folder, &sum);
    else
        print_for_people(&list, &sum);
    atlas_list_free(&list);
    return done;
}

status verb_status(const struct command *command)
{
    struct status_options values = {0};
    const char *folder;
    status done = verb_parse(command, &values, NULL, 1, 1, &folder);
    if (done != MONGE_OK)
        return done;
    int rank;
    MPI_Comm_rank(command->comm, &rank);
    return agree(command->comm, rank == 0 ? show(folder, values.json) : MONGE_OK);
}
