/* The list of an atlas' sections in its output folder, for `monge status`: written whole by every job that starts, read by anybody at any
 * time. States come from the records and from the lock, so that a killed job leaves nothing running. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "atlas_parts.h"

static void list_path(char *path, size_t size, const char *control)
{
    snprintf(path, size, "%s/sections.list", control);
}

status atlas_list_write(const struct atlas *atlas)
{
    const struct job *job = atlas->job;
    struct text steps = {0};
    json_t *sections = json_array();
    for (int i = 0; i < job->n_steps; i++)
        text_add(&steps, "%s%s", i ? ", " : "", verb_name(job->steps[i].verb));
    for (int i = 0; i < job->n_sections; i++) {
        const struct atlas_entry *entry = &atlas->entries[i];
        json_array_append_new(sections, json_pack("{ss ss sI sI sf}", "name", job->sections[i].name, "options", entry->options, "spots",
                                                  (json_int_t)entry->size.n_spots, "genes", (json_int_t)entry->size.n_genes, "estimate",
                                                  entry->seconds));
    }
    json_t *list =
        json_pack("{ss ss ss so}", "job", job->path, "monge", MONGE_VERSION, "steps", steps.chars ? steps.chars : "", "sections", sections);
    char *text = list ? json_dumps(list, JSON_INDENT(1)) : NULL, path[4608];
    list_path(path, sizeof path, atlas->control);
    status done = text ? text_save(path, text) : error_set(MONGE_USAGE, "%s: names of sections and files must be UTF-8", job->path);
    json_decref(list);
    text_free(&steps);
    free(text);
    return done;
}

/* Local. The record of one section, and what has become of it since. */
static void read_line(struct atlas_line *line, const char *folder, const char *control, int claims, const json_t *section)
{
    char output[4608];
    struct stat about;
    const char *options = json_string_value(json_object_get(section, "options"));
    struct atlas_record *record = &line->record;
    line->estimate = json_number_value(json_object_get(section, "estimate"));
    atlas_record_read(control, line->name, record);
    snprintf(output, sizeof output, "%s/%s.h5ad", folder, line->name);
    bool same = options && !strcmp(record->options, options);
    line->state = record->state;
    if (record->state == ATLAS_DONE && (!same || stat(output, &about) != 0))
        line->state = ATLAS_WAITING;
    if (claims >= 0 && atlas_claimed(claims, line->name)) {
        line->state = ATLAS_RUNNING;
    } else if (record->state == ATLAS_RUNNING) {
        line->state = ATLAS_WAITING;
        line->again = true;
    }
    if (record->size.n_spots == 0) {
        record->size.n_spots = json_integer_value(json_object_get(section, "spots"));
        record->size.n_genes = json_integer_value(json_object_get(section, "genes"));
    }
}

static status read_lines(struct atlas_list *list, const char *folder, const char *control, const json_t *sections)
{
    size_t n = json_array_size(sections);
    list->lines = calloc(n + 1, sizeof *list->lines);
    if (!list->lines)
        return error_memory("the list", (double)n * sizeof *list->lines);
    int claims = atlas_claims_open(control, false); /* -1: nobody has begun */
    for (size_t i = 0; i < n; i++) {
        const json_t *section = json_array_get(sections, i);
        const char *name = json_string_value(json_object_get(section, "name"));
        list->lines[i].name = text_copy(name ? name : "");
        if (!list->lines[i].name)
            break;
        list->n++;
        read_line(&list->lines[i], folder, control, claims, section);
    }
    if (claims >= 0)
        close(claims);
    return list->n == (int)n ? MONGE_OK : error_code();
}

status atlas_list_read(struct atlas_list *list, const char *folder)
{
    char control[4400], path[4608];
    *list = (struct atlas_list){0};
    snprintf(control, sizeof control, "%.4096s/.monge", folder);
    list_path(path, sizeof path, control);
    char *text = text_load(path);
    if (!text)
        return error_set(MONGE_NO_INPUT, "%s: no job with many sections has written here; give its output-folder", folder);
    json_t *root = json_loads(text, 0, NULL);
    free(text);
    const char *job = json_string_value(json_object_get(root, "job")), *steps = json_string_value(json_object_get(root, "steps"));
    status done;
    if (!root || !job || !steps) {
        done = error_set(MONGE_BAD_DATA, "%s: not a list of sections; run the job again to have it made", path);
    } else {
        list->job = text_copy(job);
        list->steps = text_copy(steps);
        done = list->job && list->steps ? read_lines(list, folder, control, json_object_get(root, "sections")) : error_code();
    }
    json_decref(root);
    if (done != MONGE_OK)
        atlas_list_free(list);
    return done;
}

void atlas_list_free(struct atlas_list *list)
{
    for (int i = 0; i < list->n; i++)
        free(list->lines[i].name);
    free(list->lines);
    free(list->job);
    free(list->steps);
    *list = (struct atlas_list){0};
}
