/* What tells one input from another without reading it: its name, its files. */
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "h5_util.h"
#include "input.h"
#include "monge/text.h"

/* A file that is not there tells something too: it may come. */
static void add_identity(struct text *text, const char *path)
{
    struct stat about;
    if (stat(path, &about) == 0)
        text_add(text, "%s %" PRId64 " %" PRId64 ".%09ld\n", path, (int64_t)about.st_size, (int64_t)about.st_mtim.tv_sec,
                 about.st_mtim.tv_nsec);
    else
        text_add(text, "%s absent\n", path);
}

char *section_identity(const char *path)
{
    static const char *const beside[] = {"spatial/tissue_positions.csv", "spatial/tissue_positions_list.csv",
                                         "spatial/tissue_positions.csv.gz", "spatial/tissue_positions_list.csv.gz",
                                         "spatial/scalefactors_json.json"};
    struct stat about;
    struct input input;
    struct text text = {0};
    input_start(&input, path);
    if (input_find_file(&input) != MONGE_OK)
        return NULL;
    if (stat(input.file, &about) != 0) {
        error_set(MONGE_NO_INPUT, "%s: No such file; give an .h5ad file or an outs/ folder", path);
        return NULL;
    }
    add_identity(&text, input.file);
    if (csv_recognised(input.file)) {
        char positions[4200];
        csv_positions_path(input.file, positions, sizeof positions);
        add_identity(&text, positions);
    }
    const char *slash = strrchr(input.file, '/'), *suffix = strrchr(input.file, '.');
    bool tenx = suffix && !strcmp(suffix, ".h5");
    for (size_t k = 0; tenx && k < sizeof beside / sizeof *beside; k++) {
        char other[4200];
        snprintf(other, sizeof other, "%.*s%s", slash ? (int)(slash - input.file) + 1 : 0, input.file, beside[k]);
        add_identity(&text, other);
    }
    return text_take(&text);
}

/* ---- names ---- */

static void cut_ending(char *name)
{
    static const char *const endings[] = {".gz", ".h5ad", ".h5", ".csv"};
    for (size_t k = 0; k < sizeof endings / sizeof *endings; k++) {
        size_t n = strlen(name), m = strlen(endings[k]);
        if (n > m && !strcmp(name + n - m, endings[k]))
            name[n - m] = '\0';
    }
}

char *section_name(const char *path)
{
    char *copy = text_copy(path);
    if (!copy)
        return NULL;
    char *name = basename(copy); /* POSIX: cuts trailing slashes first */
    bool matrix = !strcmp(name, "raw_feature_bc_matrix.h5") || !strcmp(name, "filtered_feature_bc_matrix.h5");
    if (matrix && name != copy)
        name = basename(dirname(copy));
    if (!strcmp(name, "outs") && name != copy)
        name = basename(dirname(copy));
    cut_ending(name);
    char *result = text_copy(name);
    free(copy);
    return result;
}
