/* One writer per output: an fcntl lock on a file of its own beside it. The lock vanishes with its process, however that ends, so there are
 * no stale ones; the file itself may be left behind by a killed process, and the next that takes the lock goes on with it. */
#ifndef MONGE_FILE_LOCK_H
#define MONGE_FILE_LOCK_H

#include "monge/error.h"

struct file_lock {
    int descriptor; /* -1: not held */
    char *path;
};

/* Local. Makes `path` and locks it. MONGE_CANT_CREATE, naming `what` it protects, if another process holds it or it cannot be made. */
status file_lock_take(struct file_lock *lock, const char *path, const char *what);

/* Removes the file and gives the lock back. May be called without a lock held. */
void file_lock_release(struct file_lock *lock);

#endif
