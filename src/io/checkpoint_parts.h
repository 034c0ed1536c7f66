/* Private to src/io/checkpoint*.c: the state of one job's checkpoint. */
#ifndef IO_CHECKPOINT_PARTS_H
#define IO_CHECKPOINT_PARTS_H

#include <hdf5.h>

#include "monge/checkpoint.h"

enum { CHECKPOINT_FORMAT = 1, CHECKPOINT_NAME = 64, CHECKPOINT_SEAL = 5 };

/* A dataset of n records in all, each of `width` elements, stored flat. */
struct checkpoint_item {
    char name[CHECKPOINT_NAME];
    enum checkpoint_type type;
    bool replicated; /* written by rank 0 alone; writing only */
    int64_t width;
    int64_t total;      /* records on all ranks */
    int64_t first, own; /* this rank's records; writing only */
    const void *values; /* own x width; writing only */
    uint64_t hash;      /* over all ranks */
};

struct checkpoint {
    MPI_Comm comm;
    int rank, size;
    char *path[2], *temporary;
    char *key;
    double every; /* seconds; 0: on a signal only */
    double clean; /* wall_seconds when nothing was unsaved */
    int newest;   /* which path holds the newest; -1: none */
    int64_t sequence;
    bool behind; /* what is stored is ahead of what is in memory */
    checkpoint_writer always;
    void *always_context;

    struct checkpoint_item *items; /* of the save under way */
    int n_items, capacity;
    void **rooms;
    int n_rooms;
    status fault; /* first fault while items were put */

    hid_t file; /* the stored one, open for reading; -1: none */
    struct checkpoint_item *stored;
    int n_stored;
};

size_t checkpoint_type_size(enum checkpoint_type type);
hid_t checkpoint_native_type(enum checkpoint_type type); /* HDF5's own: not to be closed */

/* Sum over elements [first, first + n) of an item of a hash of position and value: parts may be added in any order. */
uint64_t checkpoint_hash(enum checkpoint_type type, int64_t first, int64_t n, const void *values);

/* What seals a file: format, sequence, hashes of key and list of items, and a hash of these four. */
void checkpoint_seal(int64_t sequence, const char *key, const char *list, int64_t seal[CHECKPOINT_SEAL]);

/* Collective (checkpoint_write.c). Writes the items as a whole new file; on success it is the newest. */
status checkpoint_save(struct checkpoint *checkpoint);

/* Collective (checkpoint_read.c). Finds the newest usable file and makes it ready to be read. */
status checkpoint_find(struct checkpoint *checkpoint);
void checkpoint_stop_reading(struct checkpoint *checkpoint);

#endif
