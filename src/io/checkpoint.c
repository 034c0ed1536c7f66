/* The life of a checkpoint: opened with the job, saved at safe points, removed with success. Writing and reading are in
 * checkpoint_write.c and checkpoint_read.c. */
#include "monge/checkpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "checkpoint_parts.h"
#include "h5_util.h"
#include "monge/agree.h"
#include "monge/log.h"
#include "monge/safe_point.h"
#include "monge/text.h"

static const double WORTH_A_SAVE = 10.0; /* seconds: a stage that took less is sooner done again than read */

/* ---- shared by writing and reading ---- */

size_t checkpoint_type_size(enum checkpoint_type type)
{
    static const size_t sizes[] = {1, 4, 8, 4, 8};
    return sizes[type];
}

hid_t checkpoint_native_type(enum checkpoint_type type)
{
    return type == CHECKPOINT_BYTES    ? H5T_NATIVE_UINT8
           : type == CHECKPOINT_INT    ? H5T_NATIVE_INT32
           : type == CHECKPOINT_LONG   ? H5T_NATIVE_INT64
           : type == CHECKPOINT_SINGLE ? H5T_NATIVE_FLOAT
                                       : H5T_NATIVE_DOUBLE;
}

/* The finaliser of splitmix64 (Steele, Lea & Flood 2014): every input bit changes half of the output bits. */
static uint64_t mix(uint64_t x)
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

uint64_t checkpoint_hash(enum checkpoint_type type, int64_t first, int64_t n, const void *values)
{
    size_t size = checkpoint_type_size(type);
    const char *at = values;
    uint64_t sum = 0;
    for (int64_t i = 0; i < n; i++, at += size) {
        uint64_t bits = 0;
        memcpy(&bits, at, size);
        sum += mix(mix((uint64_t)(first + i)) ^ bits);
    }
    return sum;
}

static uint64_t text_hash(const char *text)
{
    int64_t length = (int64_t)strlen(text);
    return checkpoint_hash(CHECKPOINT_BYTES, 0, length, text) + mix((uint64_t)length);
}

void checkpoint_seal(int64_t sequence, const char *key, const char *list, int64_t seal[CHECKPOINT_SEAL])
{
    seal[0] = CHECKPOINT_FORMAT;
    seal[1] = sequence;
    seal[2] = (int64_t)text_hash(key);
    seal[3] = (int64_t)text_hash(list);
    seal[4] = (int64_t)checkpoint_hash(CHECKPOINT_LONG, 0, 4, seal);
}

/* ---- open, close, remove ---- */

static char *beside(const char *output, const char *ending)
{
    struct text name = {0};
    text_add(&name, "%s.checkpoint.%s", output, ending);
    return text_take(&name);
}

status checkpoint_open(struct checkpoint **checkpoint, MPI_Comm comm, const char *output, const char *key, double every)
{
    struct checkpoint *c = calloc(1, sizeof *c);
    *checkpoint = c;
    if (c) {
        *c = (struct checkpoint){.comm = comm, .newest = -1, .file = -1, .every = every, .clean = wall_seconds()};
        MPI_Comm_rank(comm, &c->rank);
        MPI_Comm_size(comm, &c->size);
        c->path[0] = beside(output, "0");
        c->path[1] = beside(output, "1");
        c->temporary = beside(output, "tmp");
        c->key = text_copy(key);
    }
    bool enough = c && c->path[0] && c->path[1] && c->temporary && c->key;
    h5_quiet();
    status done = agree(comm, enough ? MONGE_OK : error_memory("the checkpoint", 1e4));
    if (done == MONGE_OK)
        done = checkpoint_find(c);
    if (done != MONGE_OK) {
        checkpoint_close(c);
        *checkpoint = NULL;
        return done;
    }
    c->behind = c->newest >= 0;
    return MONGE_OK;
}

static void forget_items(struct checkpoint *c)
{
    for (int i = 0; i < c->n_rooms; i++)
        free(c->rooms[i]);
    free(c->rooms);
    free(c->items);
    c->rooms = NULL;
    c->items = NULL;
    c->n_rooms = c->n_items = c->capacity = 0;
    c->fault = MONGE_OK;
}

void checkpoint_close(struct checkpoint *c)
{
    if (!c)
        return;
    checkpoint_stop_reading(c);
    forget_items(c);
    free(c->path[0]);
    free(c->path[1]);
    free(c->temporary);
    free(c->key);
    free(c);
}

void checkpoint_remove(struct checkpoint *c)
{
    checkpoint_stop_reading(c);
    MPI_Barrier(c->comm); /* network disks keep a removed file that somebody has open under another name */
    if (c->rank == 0) {
        unlink(c->path[0]);
        unlink(c->path[1]);
        unlink(c->temporary); /* of a killed job */
    }
    c->newest = -1;
}

const char *checkpoint_path(const struct checkpoint *c)
{
    return c->newest < 0 ? NULL : c->path[c->newest];
}

void checkpoint_always(struct checkpoint *c, checkpoint_writer write, void *context)
{
    c->always = write;
    c->always_context = context;
}

void checkpoint_caught_up(struct checkpoint *c)
{
    if (!c || !c->behind)
        return;
    c->behind = false;
    c->clean = wall_seconds();
    checkpoint_stop_reading(c);
}

/* ---- putting ---- */

void *checkpoint_room(struct checkpoint *c, size_t bytes)
{
    void **more = realloc(c->rooms, (size_t)(c->n_rooms + 1) * sizeof *more);
    void *room = calloc(bytes + 1, 1);
    if (more)
        c->rooms = more;
    if (more && room) {
        c->rooms[c->n_rooms++] = room;
        return room;
    }
    free(room);
    c->fault = error_memory("the checkpoint", (double)bytes);
    return NULL;
}

static void put(struct checkpoint *c, const char *name, enum checkpoint_type type, bool replicated, int64_t own, int64_t width,
                const void *values)
{
    if (c->n_items == c->capacity) {
        int capacity = 2 * c->capacity + 32;
        struct checkpoint_item *more = realloc(c->items, (size_t)capacity * sizeof *more);
        if (!more) {
            c->fault = error_memory("the checkpoint", (double)capacity * sizeof *more);
            return;
        }
        c->items = more;
        c->capacity = capacity;
    }
    struct checkpoint_item *item = &c->items[c->n_items++];
    *item = (struct checkpoint_item){.type = type, .replicated = replicated, .width = width, .total = own, .own = own, .values = values};
    snprintf(item->name, sizeof item->name, "%s", name);
}

void checkpoint_put(struct checkpoint *c, const char *name, enum checkpoint_type type, int64_t n, int64_t width, const void *values)
{
    put(c, name, type, true, n, width, values);
    if (c->rank > 0 && c->n_items > 0)
        c->items[c->n_items - 1].own = 0;
}

void checkpoint_put_rows(struct checkpoint *c, const char *name, enum checkpoint_type type, int64_t n, int64_t width, const void *values)
{
    put(c, name, type, false, n, width, values); /* the total is known when all ranks meet */
}

void checkpoint_put_keyed(struct checkpoint *c, const char *name, int64_t n, const int32_t *key, int64_t width, const double *values)
{
    char keys[CHECKPOINT_NAME];
    snprintf(keys, sizeof keys, "%s keys", name);
    checkpoint_put_rows(c, keys, CHECKPOINT_INT, n, 1, key);
    checkpoint_put_rows(c, name, CHECKPOINT_REAL, n, width, values);
}

void checkpoint_put_sparse(struct checkpoint *c, const char *name, int64_t n, const int32_t *key, const int64_t *start,
                           int64_t first_column, const int32_t *column, const float *value)
{
    char part[CHECKPOINT_NAME];
    int64_t entries = start[n] - start[0];
    int64_t *piece = checkpoint_room(c, (size_t)n * 2 * sizeof *piece);
    int32_t *global = first_column ? checkpoint_room(c, (size_t)entries * sizeof *global) : NULL;
    for (int64_t r = 0; r < n && piece; r++) {
        piece[2 * r] = key[r];
        piece[2 * r + 1] = start[r + 1] - start[r];
    }
    for (int64_t e = 0; e < entries && global; e++)
        global[e] = (int32_t)(column[start[0] + e] + first_column);
    snprintf(part, sizeof part, "%s pieces", name);
    checkpoint_put_rows(c, part, CHECKPOINT_LONG, piece ? n : 0, 2, piece);
    snprintf(part, sizeof part, "%s columns", name);
    checkpoint_put_rows(c, part, CHECKPOINT_INT, entries, 1, global ? global : column + start[0]);
    checkpoint_put_rows(c, name, CHECKPOINT_SINGLE, entries, 1, value + start[0]);
}

/* ---- safe points ---- */

/* Collective. */
static status save(struct checkpoint *c, checkpoint_writer write, void *context)
{
    double started = wall_seconds();
    const char *phase = phase_running() >= 0 ? phase_name(phase_running()) : NULL;
    phase_begin("checkpoint");
    status done = c->always ? c->always(c, c->always_context) : MONGE_OK;
    if (done == MONGE_OK && write)
        done = write(c, context);
    done = agree(c->comm, done == MONGE_OK ? c->fault : done);
    if (done == MONGE_OK)
        done = checkpoint_save(c);
    forget_items(c);
    c->clean = wall_seconds(); /* also after a failure: the next attempt comes after another interval */
    if (done == MONGE_OK)
        log_info("checkpoint saved to %s in %.1f s", checkpoint_path(c), c->clean - started);
    else
        log_warn("no checkpoint could be saved, work goes on: %s", error_message());
    phase_begin(phase);
    return done;
}

static status stopped(const struct checkpoint *c, bool saved)
{
    const char *path = checkpoint_path(c);
    if (path)
        return error_set(MONGE_TRY_AGAIN, "stopped by a signal%s; run the same command again: it goes on from %s",
                         saved ? "" : ", with the work since the last checkpoint lost", path);
    return error_set(MONGE_TRY_AGAIN, "stopped by a signal before anything was saved; run the same command again");
}

static status meet(struct checkpoint *c, double interval, checkpoint_writer write, void *context)
{
    double spent = wall_seconds() - c->clean;
    bool due = c->rank == 0 && !c->behind && c->every > 0.0 && spent >= interval;
    enum safe_act act = safe_point(c->comm, due);
    if (act == SAFE_GO_ON)
        return MONGE_OK;
    bool saved = c->behind || save(c, write, context) == MONGE_OK;
    return act == SAFE_STOP ? stopped(c, saved) : MONGE_OK;
}

status checkpoint_safe_point(struct checkpoint *c, checkpoint_writer write, void *context)
{
    return c ? meet(c, c->every, write, context) : MONGE_OK;
}

status checkpoint_stage(struct checkpoint *c, checkpoint_writer write, void *context)
{
    return c ? meet(c, c->every < WORTH_A_SAVE ? c->every : WORTH_A_SAVE, write, context) : MONGE_OK;
}
