/* Writing the log of a job: JSON lines, each by one write to a file opened for appending. */
#include "monge/run_log.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "monge/text.h"

enum { DIGITS = 10 };

json_t *run_log_number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

json_t *run_log_text(const char *chars)
{
    json_t *text = json_string(chars);
    char *copy = text ? NULL : text_copy(chars);
    for (char *c = copy; c && *c; c++)
        if ((unsigned char)*c >= 0x80)
            *c = '?';
    if (copy)
        text = json_string(copy);
    free(copy);
    return text ? text : json_null();
}

/* ---- what is heard from log.h ---- */

static void hear_message(const char *kind, const char *text, void *data)
{
    json_t *more = json_object();
    json_object_set_new(more, "text", run_log_text(text));
    run_log_line(data, kind, more);
}

static void hear_phase(const char *name, void *data)
{
    if (!name)
        return;
    json_t *more = json_object();
    json_object_set_new(more, "phase", run_log_text(name));
    run_log_line(data, "begin", more);
}

/* ---- the file ---- */

/* Ends the file at its last newline. */
static int cut_unfinished_line(int file)
{
    struct stat about;
    if (fstat(file, &about) != 0)
        return -1;
    if (!S_ISREG(about.st_mode))
        return 0;
    off_t end = about.st_size;
    for (char last; end > 0; end--)
        if (pread(file, &last, 1, end - 1) != 1)
            return -1;
        else if (last == '\n')
            break;
    return end < about.st_size ? ftruncate(file, end) : 0;
}

status run_log_open(struct run_log *log, const char *path)
{
    *log = (struct run_log){.path = path, .file = -1, .started = wall_seconds()};
    if (!path || !*path)
        return MONGE_OK;
    log->file = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (log->file < 0 || cut_unfinished_line(log->file) != 0) {
        int why = errno;
        run_log_close(log);
        return error_set(MONGE_CANT_CREATE, "%s: the log cannot be written (%s); give --log a name in a folder that exists", path,
                         strerror(why));
    }
    log->listener = (struct log_listener){.message = hear_message, .phase = hear_phase, .data = log};
    log_listen(&log->listener);
    return MONGE_OK;
}

static bool write_whole(int file, const char *chars, size_t length)
{
    while (length > 0) {
        ssize_t written = write(file, chars, length);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return false;
        chars += written;
        length -= (size_t)written;
    }
    return true;
}

void run_log_line(struct run_log *log, const char *event, json_t *more)
{
    if (log->file >= 0) {
        json_t *line = json_pack("{s:s, s:f}", "event", event, "at", wall_seconds() - log->started);
        if (line && more)
            json_object_update(line, more);
        char *chars = line ? json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(DIGITS)) : NULL;
        struct text text = {0};
        text_add(&text, "%s\n", chars ? chars : "");
        bool written = chars && !text.failed && write_whole(log->file, text.chars, text.length);
        text_free(&text);
        free(chars);
        json_decref(line);
        if (!written) {
            int why = errno;
            run_log_close(log); /* first: the warning would come here again */
            log_warn("%s: the log ends early (%s); the job goes on", log->path, strerror(why));
        }
    }
    json_decref(more);
}

void run_log_close(struct run_log *log)
{
    if (log->file < 0)
        return;
    log_listen(NULL);
    close(log->file);
    log->file = -1;
}
