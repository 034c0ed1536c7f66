/* Records of sections as small JSON files, and claims as locks on bytes of one file.
 *
 * A record is written by the one who holds the section's claim, under a temporary name that is then renamed, so readers never see half of
 * one. A claim is a POSIX lock (fcntl): it is known on every host that shares the folder and ends with its process, however that
 * ends. The byte of a section is a hash of its name, so a claim means the same section under any manifest. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "atlas_parts.h"
#include "monge/text.h"

const char *const atlas_state_words[] = {[ATLAS_WAITING] = "waiting", [ATLAS_RUNNING] = "running", [ATLAS_DONE] = "done",
                                         [ATLAS_FAILED] = "failed",   [ATLAS_STOPPED] = "stopped", NULL};

/* FNV-1a, 64 bits */
uint64_t atlas_hash(const char *text)
{
    uint64_t hash = 14695981039346656037u;
    for (const unsigned char *c = (const unsigned char *)text; *c; c++)
        hash = (hash ^ *c) * 1099511628211u;
    return hash;
}

/* ---- records ---- */

/* JSON takes UTF-8 only; file names may be anything. */
static void clean(char *text)
{
    json_t *json = json_string(text);
    for (char *c = text; !json && *c; c++)
        *c = (unsigned char)*c < 0x80 ? *c : '?';
    json_decref(json);
}

char *atlas_record_text(const struct atlas_record *given)
{
    struct atlas_record copy = *given, *record = &copy;
    clean(record->at);
    clean(record->why);
    json_t *json = json_pack("{ss ss ss sI sI sI sf sf sf si ss ss ss ss ss ss}", "state", atlas_state_words[record->state], "options",
                             record->options, "input", record->input, "spots", (json_int_t)record->size.n_spots, "genes",
                             (json_int_t)record->size.n_genes, "entries", (json_int_t)record->size.n_entries, "estimate", record->estimate,
                             "started", record->started, "seconds", record->seconds, "ranks", record->ranks, "at", record->at, "host",
                             record->host, "monge", record->version, "run", record->run, "task", record->task, "why", record->why);
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    if (!text)
        error_memory("a record", (double)sizeof *record);
    return text;
}

static void copy_word(const json_t *json, const char *key, char *word, size_t size)
{
    const char *value = json_string_value(json_object_get(json, key));
    snprintf(word, size, "%s", value ? value : "");
}

bool atlas_record_parse(struct atlas_record *record, const char *text)
{
    *record = (struct atlas_record){0};
    json_t *json = json_loads(text, 0, NULL);
    const char *state = json_string_value(json_object_get(json, "state"));
    bool known = false;
    for (int i = 0; state && atlas_state_words[i]; i++) {
        if (strcmp(state, atlas_state_words[i]) != 0)
            continue;
        record->state = (enum atlas_state)i;
        known = true;
    }
    record->size.n_spots = json_integer_value(json_object_get(json, "spots"));
    record->size.n_genes = json_integer_value(json_object_get(json, "genes"));
    record->size.n_entries = json_integer_value(json_object_get(json, "entries"));
    record->estimate = json_number_value(json_object_get(json, "estimate"));
    record->started = json_number_value(json_object_get(json, "started"));
    record->seconds = json_number_value(json_object_get(json, "seconds"));
    record->ranks = (int)json_integer_value(json_object_get(json, "ranks"));
    copy_word(json, "options", record->options, sizeof record->options);
    copy_word(json, "input", record->input, sizeof record->input);
    copy_word(json, "at", record->at, sizeof record->at);
    copy_word(json, "host", record->host, sizeof record->host);
    copy_word(json, "monge", record->version, sizeof record->version);
    copy_word(json, "run", record->run, sizeof record->run);
    copy_word(json, "task", record->task, sizeof record->task);
    copy_word(json, "why", record->why, sizeof record->why);
    json_decref(json);
    return known;
}

void atlas_record_read(const char *control, const char *name, struct atlas_record *record)
{
    char path[4608];
    snprintf(path, sizeof path, "%s/%s.json", control, name);
    *record = (struct atlas_record){0};
    char *text = text_load(path);
    if (text && !atlas_record_parse(record, text))
        *record = (struct atlas_record){0};
    free(text);
}

status atlas_record_write(const char *control, const char *name, const struct atlas_record *record)
{
    char path[4608], *text = atlas_record_text(record);
    if (!text)
        return error_code();
    snprintf(path, sizeof path, "%s/%s.json", control, name);
    status done = text_save(path, text);
    free(text);
    return done;
}

/* ---- claims ---- */

int atlas_claims_open(const char *control, bool make)
{
    char path[4608];
    snprintf(path, sizeof path, "%s/lock", control);
    int file = open(path, O_RDWR | O_CLOEXEC | (make ? O_CREAT : 0), 0666);
    if (file < 0)
        error_set(MONGE_CANT_CREATE, "%s: cannot be opened (%s); choose an output folder that can be written", path, strerror(errno));
    return file;
}

static struct flock byte_of(const char *name, short type)
{
    return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = (off_t)(atlas_hash(name) >> 2), .l_len = 1};
}

status atlas_claim(int claims, const char *control, const char *name, bool *mine)
{
    struct flock lock = byte_of(name, F_WRLCK);
    *mine = fcntl(claims, F_SETLK, &lock) == 0;
    if (*mine || errno == EAGAIN || errno == EACCES)
        return MONGE_OK;
    return error_set(MONGE_IO,
                     "%s/lock: cannot be locked (%s); the output folder must be on a file system with POSIX locks (Lustre: mounted "
                     "with -o flock)",
                     control, strerror(errno));
}

void atlas_unclaim(int claims, const char *name)
{
    struct flock lock = byte_of(name, F_UNLCK);
    fcntl(claims, F_SETLK, &lock);
}

bool atlas_claimed(int claims, const char *name)
{
    struct flock lock = byte_of(name, F_WRLCK);
    return fcntl(claims, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}
