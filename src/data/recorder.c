/* A step's record in uns. */
#include "monge/recorder.h"

#include <stdio.h>
#include <stdlib.h>

#include "monge/log.h"

enum { PATH = 256 };

static const char *path_of(const struct recorder *r, const char *name, char path[PATH])
{
    snprintf(path, PATH, "%s%s", r->prefix, name);
    return path;
}

void recorder_real(struct recorder *r, const char *name, double value)
{
    char path[PATH];
    if (!r->fault)
        r->fault = section_add_uns_real(r->section, path_of(r, name, path), value);
}

void recorder_integer(struct recorder *r, const char *name, int64_t value)
{
    char path[PATH];
    if (!r->fault)
        r->fault = section_add_uns_integer(r->section, path_of(r, name, path), value);
}

void recorder_bool(struct recorder *r, const char *name, bool value)
{
    char path[PATH];
    if (!r->fault)
        r->fault = section_add_uns_bool(r->section, path_of(r, name, path), value);
}

void recorder_text(struct recorder *r, const char *name, const char *value)
{
    char path[PATH];
    if (!r->fault)
        r->fault = section_add_uns_text(r->section, path_of(r, name, path), value);
}

void recorder_array(struct recorder *r, const char *name, int64_t n, const double *values)
{
    char path[PATH];
    if (!r->fault)
        r->fault = section_add_uns_array(r->section, path_of(r, name, path), 1, &n, values);
}

void recorder_texts(struct recorder *r, const char *name, int n, const char *const *values)
{
    char path[PATH];
    if (!r->fault)
        r->fault = section_add_uns_texts(r->section, path_of(r, name, path), n, values);
}

void recorder_options(struct recorder *r, const struct option_table *table, const void *values)
{
    for (int k = 0; k < table->n_options && !r->fault; k++) {
        char name[PATH], *value = options_text(table, values, k);
        snprintf(name, sizeof name, "options/%s", table->options[k].name);
        recorder_text(r, name, value ? value : "");
        free(value);
    }
}

void recorder_warnings(struct recorder *r)
{
    const char *const *warnings;
    int n = log_warnings(&warnings);
    recorder_texts(r, "warnings", n, warnings);
}
