/* Reading a checkpoint. Rank 0 looks at the two files' seals, keys and lists; then all ranks verify the checksums of the newest, each a
 * share; if it is damaged, the other's. Later every rank reads the rows it needs by itself, in no order. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "checkpoint_parts.h"
#include "h5_util.h"
#include "monge/agree.h"
#include "monge/log.h"

enum { PIECE = 1 << 20, WHY = 512 };

/* One of the two files, as rank 0 finds it. */
enum finding { ABSENT, DAMAGED, FOREIGN, USABLE };
struct candidate {
    enum finding finding;
    int64_t sequence;
    char why[WHY];
    char *list;
};

/* ---- one file's head (rank 0) ---- */

/* A dataset of text, malloc'd with a NUL; NULL if it cannot be read. */
static char *read_text(hid_t file, const char *path, const char *name)
{
    hid_t dataset;
    int n_dims;
    hsize_t dims[3];
    if (h5_open_dataset(file, path, name, &dataset, &n_dims, dims) != MONGE_OK)
        return NULL;
    char *text = n_dims == 1 ? calloc((size_t)dims[0] + 1, 1) : NULL;
    if (text && h5_read_range(dataset, path, name, H5T_NATIVE_UINT8, 0, (int64_t)dims[0], text) != MONGE_OK) {
        free(text);
        text = NULL;
    }
    H5Dclose(dataset);
    return text;
}

static bool read_seal(hid_t file, const char *path, int64_t seal[CHECKPOINT_SEAL])
{
    hid_t dataset;
    int n_dims;
    hsize_t dims[3];
    if (h5_open_dataset(file, path, "seal", &dataset, &n_dims, dims) != MONGE_OK)
        return false;
    bool read = n_dims == 1 && dims[0] == CHECKPOINT_SEAL &&
                h5_read_range(dataset, path, "seal", H5T_NATIVE_INT64, 0, CHECKPOINT_SEAL, seal) == MONGE_OK;
    H5Dclose(dataset);
    return read && seal[4] == (int64_t)checkpoint_hash(CHECKPOINT_LONG, 0, 4, seal);
}

/* The first line in which two keys differ. */
static void tell_difference(const char *there, const char *here, char why[WHY])
{
    while (*there && *here) {
        size_t a = strcspn(there, "\n"), b = strcspn(here, "\n");
        if (a != b || strncmp(there, here, a) != 0)
            break;
        there += a + (there[a] == '\n');
        here += b + (here[b] == '\n');
    }
    snprintf(why, WHY, "it says '%.*s' where this job says '%.*s'", (int)strcspn(there, "\n"), there, (int)strcspn(here, "\n"), here);
}

static enum finding judge_head(const struct checkpoint *c, hid_t file, const char *path, struct candidate *found)
{
    int64_t seal[CHECKPOINT_SEAL], expected[CHECKPOINT_SEAL];
    snprintf(found->why, WHY, "its seal is broken");
    if (!read_seal(file, path, seal))
        return DAMAGED;
    snprintf(found->why, WHY, "its format is %lld, this version of monge writes %d", (long long)seal[0], CHECKPOINT_FORMAT);
    if (seal[0] != CHECKPOINT_FORMAT)
        return FOREIGN;
    char *key = read_text(file, path, "key");
    found->list = read_text(file, path, "list");
    found->sequence = seal[1];
    enum finding finding = DAMAGED;
    snprintf(found->why, WHY, "its list of items or its key is damaged");
    if (key && found->list) {
        checkpoint_seal(seal[1], key, found->list, expected);
        if (memcmp(seal, expected, sizeof seal) == 0) {
            finding = strcmp(key, c->key) ? FOREIGN : USABLE;
            tell_difference(key, c->key, found->why);
        }
    }
    free(key);
    return finding;
}

static void look_at(const struct checkpoint *c, const char *path, struct candidate *found)
{
    memset(found, 0, sizeof *found);
    if (access(path, F_OK) != 0 && errno == ENOENT)
        return;
    found->finding = DAMAGED;
    if (access(path, R_OK) != 0) {
        snprintf(found->why, WHY, "it cannot be read (%s)", strerror(errno));
        return;
    }
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    if (file < 0) {
        snprintf(found->why, WHY,
                 H5Fis_hdf5(path) > 0 ? "it is truncated or damaged" : "it is not an HDF5 file, or its beginning is damaged");
        return;
    }
    found->finding = judge_head(c, file, path, found);
    H5Fclose(file);
}

/* ---- the chosen file (all ranks) ---- */

/* Returns false for a list that this program did not write. */
static bool parse_list(struct checkpoint *c, char *list)
{
    int n = 0;
    for (const char *at = list; *at; at++)
        n += *at == '\n';
    c->stored = calloc((size_t)n + 1, sizeof *c->stored);
    c->n_stored = 0;
    if (!c->stored)
        return false;
    for (char *rest = list, *line; (line = strsep(&rest, "\n")) && *line && c->n_stored < n;) {
        struct checkpoint_item *item = &c->stored[c->n_stored++];
        const char *name = strsep(&line, "\t");
        int type;
        long long width, total;
        unsigned long long hash;
        if (!line || sscanf(line, "%d\t%lld\t%lld\t%llx", &type, &width, &total, &hash) != 4 || type < 0 || type > CHECKPOINT_REAL ||
            width < 0 || total < 0)
            return false;
        snprintf(item->name, sizeof item->name, "%s", name);
        item->type = (enum checkpoint_type)type;
        item->width = width;
        item->total = total;
        item->hash = hash;
    }
    return true;
}

static status open_item(const struct checkpoint *c, const struct checkpoint_item *item, hid_t *dataset)
{
    char name[CHECKPOINT_NAME + 8];
    const char *path = c->path[c->newest];
    int n_dims;
    hsize_t dims[3];
    snprintf(name, sizeof name, "items/%s", item->name);
    status s = h5_open_dataset(c->file, path, name, dataset, &n_dims, dims);
    if (s == MONGE_OK && (n_dims != 1 || (int64_t)dims[0] != item->total * item->width)) {
        H5Dclose(*dataset);
        s = error_set(MONGE_BAD_DATA, "%s: %s has not the length that is listed; remove the file", path, name);
    }
    return s;
}

/* Flat elements [first, first + n) of an item. */
static status read_flat(const struct checkpoint *c, const struct checkpoint_item *item, int64_t first, int64_t n, void *values)
{
    hid_t dataset;
    status s = open_item(c, item, &dataset);
    if (s != MONGE_OK)
        return s;
    s = h5_read_range(dataset, c->path[c->newest], item->name, checkpoint_native_type(item->type), first, n, values);
    H5Dclose(dataset);
    return s;
}

/* This rank's share of an item's hash. */
static status hash_share(const struct checkpoint *c, const struct checkpoint_item *item, void *buffer, uint64_t *hash)
{
    int64_t n = item->total * item->width, at = n / c->size * c->rank, end = c->rank + 1 == c->size ? n : n / c->size * (c->rank + 1);
    status s = MONGE_OK;
    *hash = 0;
    for (; at < end && s == MONGE_OK; at += PIECE) {
        int64_t count = end - at < PIECE ? end - at : PIECE;
        s = read_flat(c, item, at, count, buffer);
        if (s == MONGE_OK)
            *hash += checkpoint_hash(item->type, at, count, buffer);
    }
    return s;
}

/* Collective. */
static status verify(const struct checkpoint *c)
{
    uint64_t *hash = calloc((size_t)c->n_stored + 1, sizeof *hash);
    void *buffer = malloc((size_t)PIECE * sizeof(double));
    status s = hash && buffer ? MONGE_OK : error_memory("the checkpoint", 8e6);
    for (int i = 0; i < c->n_stored && s == MONGE_OK; i++)
        s = hash_share(c, &c->stored[i], buffer, &hash[i]);
    s = agree(c->comm, s);
    if (s == MONGE_OK)
        MPI_Allreduce(MPI_IN_PLACE, hash, c->n_stored, MPI_UINT64_T, MPI_SUM, c->comm);
    for (int i = 0; i < c->n_stored && s == MONGE_OK; i++)
        if (hash[i] != c->stored[i].hash)
            s = error_set(MONGE_BAD_DATA, "the checksum of '%s' is wrong", c->stored[i].name);
    free(hash);
    free(buffer);
    return s;
}

/* Collective. Opens and verifies the file that c->newest names, whose list rank 0 has. */
static status take(struct checkpoint *c, const struct candidate *found)
{
    int64_t length = c->rank == 0 ? (int64_t)strlen(found->list) : 0;
    MPI_Bcast(&length, 1, MPI_INT64_T, 0, c->comm);
    char *list = calloc((size_t)length + 1, 1);
    status s = agree(c->comm, list ? MONGE_OK : error_memory("the checkpoint", (double)length));
    if (s == MONGE_OK) {
        if (c->rank == 0)
            memcpy(list, found->list, (size_t)length);
        MPI_Bcast(list, (int)length, MPI_CHAR, 0, c->comm);
        c->file = H5Fopen(c->path[c->newest], H5F_ACC_RDONLY, H5P_DEFAULT);
        if (c->file < 0)
            s = error_set(MONGE_BAD_DATA, "it cannot be opened (%s)", h5_reason());
        else if (!parse_list(c, list))
            s = error_set(MONGE_BAD_DATA, "its list of items cannot be read");
        s = agree(c->comm, s);
    }
    free(list);
    if (s == MONGE_OK)
        s = verify(c);
    if (s != MONGE_OK)
        checkpoint_stop_reading(c);
    return s;
}

/* ---- choosing ---- */

static status refuse_foreign(const struct checkpoint *c, const struct candidate found[2])
{
    for (int k = 0; k < 2; k++)
        if (found[k].finding == FOREIGN)
            return error_set(
                MONGE_CANT_CREATE,
                "%s: is the checkpoint of another job (%s); run that job to its end, remove the file, or give another name to the "
                "output",
                c->path[k], found[k].why);
    return MONGE_OK;
}

static void warn_damaged(const char *path, const char *why)
{
    log_warn("%s: %s: this checkpoint is not used", path, why);
}

status checkpoint_find(struct checkpoint *c)
{
    struct candidate found[2] = {0};
    int order[2] = {-1, -1}, n = 0, damaged = 0; /* usable ones, newest first */
    if (c->rank == 0) {
        look_at(c, c->path[0], &found[0]);
        look_at(c, c->path[1], &found[1]);
        for (int k = 0; k < 2; k++) {
            damaged += found[k].finding == DAMAGED;
            if (found[k].finding == DAMAGED)
                warn_damaged(c->path[k], found[k].why);
            if (found[k].finding == USABLE)
                order[n++] = k;
        }
        if (n == 2 && found[1].sequence > found[0].sequence) {
            order[0] = 1;
            order[1] = 0;
        }
    }
    status s = agree(c->comm, c->rank == 0 ? refuse_foreign(c, found) : MONGE_OK);
    MPI_Bcast(order, 2, MPI_INT, 0, c->comm);
    for (int k = 0; k < 2 && s == MONGE_OK && c->newest < 0 && order[k] >= 0; k++) {
        c->newest = order[k];
        status fault = take(c, &found[order[k]]);
        if (fault == MONGE_OK)
            break;
        if (c->rank == 0)
            warn_damaged(c->path[order[k]], error_message());
        damaged++;
        c->newest = -1;
        s = fault == MONGE_BAD_DATA || fault == MONGE_IO ? MONGE_OK : fault;
    }
    if (s == MONGE_OK && c->newest >= 0) {
        c->sequence = found[c->newest].sequence;
        log_event("resumed", "going on from %s", c->path[c->newest]);
    } else if (s == MONGE_OK && damaged > 0) {
        log_warn("no checkpoint of this job can be used: it begins anew");
    }
    MPI_Bcast(&c->sequence, 1, MPI_INT64_T, 0, c->comm);
    free(found[0].list);
    free(found[1].list);
    return s;
}

void checkpoint_stop_reading(struct checkpoint *c)
{
    if (c->file >= 0)
        H5Fclose(c->file);
    free(c->stored);
    c->file = -1;
    c->stored = NULL;
    c->n_stored = 0;
}

/* ---- getting ---- */

static const struct checkpoint_item *find(const struct checkpoint *c, const char *name)
{
    for (int i = 0; c && i < c->n_stored; i++)
        if (!strcmp(c->stored[i].name, name))
            return &c->stored[i];
    return NULL;
}

bool checkpoint_holds(const struct checkpoint *c, const char *name)
{
    return find(c, name) != NULL;
}

int64_t checkpoint_count(const struct checkpoint *c, const char *name)
{
    const struct checkpoint_item *item = find(c, name);
    return item ? item->total : 0;
}

static status wrong(const struct checkpoint *c, const char *name)
{
    const char *path = checkpoint_path(c);
    return error_set(MONGE_BAD_DATA, "%s: '%s' is not there in the expected shape; remove the file to begin anew",
                     path ? path : "checkpoint", name);
}

status checkpoint_get_rows(struct checkpoint *c, const char *name, enum checkpoint_type type, int64_t first, int64_t n, int64_t width,
                           void *values)
{
    const struct checkpoint_item *item = find(c, name);
    if (!item || item->type != type || item->width != width || first < 0 || first + n > item->total)
        return wrong(c, name);
    return read_flat(c, item, first * width, n * width, values);
}

status checkpoint_get(struct checkpoint *c, const char *name, enum checkpoint_type type, int64_t n, int64_t width, void *values)
{
    return checkpoint_count(c, name) == n ? checkpoint_get_rows(c, name, type, 0, n, width, values) : wrong(c, name);
}

/* Positions of the wanted among keys 0 .. largest. */
struct key_index {
    int32_t largest;
    int64_t *at; /* largest + 1: index of the wanted key, -1: not wanted */
};

static status key_index_new(struct key_index *index, int64_t n, const int32_t *key)
{
    index->largest = -1;
    for (int64_t k = 0; k < n; k++)
        if (key[k] > index->largest)
            index->largest = key[k];
    index->at = malloc(((size_t)index->largest + 2) * sizeof *index->at);
    if (!index->at)
        return error_memory("the checkpoint's rows", 8.0 * index->largest);
    for (int64_t k = 0; k <= index->largest; k++)
        index->at[k] = -1;
    for (int64_t k = 0; k < n; k++)
        index->at[key[k]] = k;
    return MONGE_OK;
}

static int64_t key_index_find(const struct key_index *index, int64_t key)
{
    return key >= 0 && key <= index->largest ? index->at[key] : -1;
}

status checkpoint_get_keyed(struct checkpoint *c, const char *name, int64_t n, const int32_t *key, int64_t width, double *values,
                            bool *found)
{
    char keys[CHECKPOINT_NAME];
    snprintf(keys, sizeof keys, "%s keys", name);
    int64_t total = checkpoint_count(c, keys);
    struct key_index index = {0};
    int32_t *stored = malloc(((size_t)total + 1) * sizeof *stored);
    double *rows = malloc(((size_t)(total * width) + 1) * sizeof *rows);
    status s = stored && rows ? key_index_new(&index, n, key) : error_memory("the checkpoint's rows", 8.0 * (double)(total * width));
    if (s == MONGE_OK)
        s = checkpoint_get(c, keys, CHECKPOINT_INT, total, 1, stored);
    if (s == MONGE_OK)
        s = checkpoint_get(c, name, CHECKPOINT_REAL, total, width, rows);
    for (int64_t k = 0; k < n && found; k++)
        found[k] = false;
    for (int64_t r = 0; r < total && s == MONGE_OK; r++) {
        int64_t at = key_index_find(&index, stored[r]);
        if (at < 0)
            continue;
        memcpy(values + at * width, rows + r * width, (size_t)width * sizeof *rows);
        if (found)
            found[at] = true;
    }
    free(index.at);
    free(stored);
    free(rows);
    return s;
}

/* ---- sparse rows: pieces of rows, in the order of the ranks that wrote them ---- */

struct pieces {
    int64_t n;
    int64_t *piece; /* n x {key, entries} */
    int64_t *row;   /* n: which wanted row; -1: none */
    int64_t *from;  /* n: where the wanted ones lie in the arrays that follow */
    int32_t *column;
    float *value;
};

static void pieces_free(struct pieces *p)
{
    free(p->piece);
    free(p->row);
    free(p->from);
    free(p->column);
    free(p->value);
}

/* Reads the entries of wanted pieces; neighbours in one go. */
static status read_wanted(struct checkpoint *c, const char *name, struct pieces *p)
{
    char columns[CHECKPOINT_NAME];
    snprintf(columns, sizeof columns, "%s columns", name);
    int64_t wanted = 0, start = 0;
    for (int64_t k = 0; k < p->n; k++) {
        p->from[k] = wanted;
        wanted += p->row[k] >= 0 ? p->piece[2 * k + 1] : 0;
    }
    p->column = malloc(((size_t)wanted + 1) * sizeof *p->column);
    p->value = malloc(((size_t)wanted + 1) * sizeof *p->value);
    status s = p->column && p->value ? MONGE_OK : error_memory("the checkpoint's rows", 8.0 * (double)wanted);
    for (int64_t k = 0; k < p->n && s == MONGE_OK;) {
        int64_t run = k, entries = 0;
        for (; run < p->n && (p->row[run] >= 0) == (p->row[k] >= 0); run++)
            entries += p->piece[2 * run + 1];
        if (p->row[k] >= 0)
            s = checkpoint_get_rows(c, columns, CHECKPOINT_INT, start, entries, 1, p->column + p->from[k]);
        if (p->row[k] >= 0 && s == MONGE_OK)
            s = checkpoint_get_rows(c, name, CHECKPOINT_SINGLE, start, entries, 1, p->value + p->from[k]);
        start += entries;
        k = run;
    }
    return s;
}

/* Entries of the wanted pieces within the columns: counted into start [row + 1], or placed from start [row] on. */
static void count_or_place(const struct pieces *p, int64_t first_column, int64_t end_column, int64_t *start, int32_t *column, float *value)
{
    for (int64_t k = 0; k < p->n; k++)
        for (int64_t e = p->from[k]; p->row[k] >= 0 && e < p->from[k] + p->piece[2 * k + 1]; e++) {
            if (p->column[e] < first_column || p->column[e] >= end_column)
                continue;
            if (!column) {
                start[p->row[k] + 1]++;
                continue;
            }
            int64_t at = start[p->row[k]]++;
            column[at] = (int32_t)(p->column[e] - first_column);
            value[at] = p->value[e];
        }
}

status checkpoint_get_sparse(struct checkpoint *c, const char *name, int64_t n, const int32_t *key, int64_t first_column,
                             int64_t end_column, int64_t *start, int32_t **column, float **value)
{
    char part[CHECKPOINT_NAME];
    snprintf(part, sizeof part, "%s pieces", name);
    struct key_index index = {0};
    struct pieces p = {.n = checkpoint_count(c, part)};
    size_t pieces = (size_t)p.n + 1;
    p.piece = malloc(2 * pieces * sizeof *p.piece);
    p.row = malloc(pieces * sizeof *p.row);
    p.from = malloc(pieces * sizeof *p.from);
    *column = NULL;
    *value = NULL;
    status s = p.piece && p.row && p.from ? key_index_new(&index, n, key) : error_memory("the checkpoint's rows", 32.0 * (double)p.n);
    if (s == MONGE_OK)
        s = checkpoint_get(c, part, CHECKPOINT_LONG, p.n, 2, p.piece);
    for (int64_t k = 0; k < p.n && s == MONGE_OK; k++)
        p.row[k] = key_index_find(&index, p.piece[2 * k]);
    if (s == MONGE_OK)
        s = read_wanted(c, name, &p);
    if (s == MONGE_OK) {
        memset(start, 0, ((size_t)n + 1) * sizeof *start);
        count_or_place(&p, first_column, end_column, start, NULL, NULL);
        for (int64_t r = 0; r < n; r++)
            start[r + 1] += start[r];
        *column = malloc(((size_t)start[n] + 1) * sizeof **column);
        *value = malloc(((size_t)start[n] + 1) * sizeof **value);
        if (!*column || !*value)
            s = error_memory("the checkpoint's rows", 8.0 * (double)start[n]);
    }
    if (s == MONGE_OK) {
        count_or_place(&p, first_column, end_column, start, *column, *value);
        memmove(start + 1, start, (size_t)n * sizeof *start); /* each start has moved to its end */
        start[0] = 0;
    } else {
        free(*column);
        free(*value);
        *column = NULL;
        *value = NULL;
    }
    free(index.at);
    pieces_free(&p);
    return s;
}
