/* A lock file that is removed on release: who opened it just before must notice that the name now stands for another file, or for none,
 * and open it again. */
#include "monge/file_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "monge/text.h"

static bool still_there(int descriptor, const char *path)
{
    struct stat held, named;
    return fstat(descriptor, &held) == 0 && stat(path, &named) == 0 && held.st_dev == named.st_dev && held.st_ino == named.st_ino;
}

static status refuse(const char *path, const char *what, int reason)
{
    struct flock held = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int descriptor = open(path, O_RDWR | O_CLOEXEC);
    bool known = descriptor >= 0 && fcntl(descriptor, F_GETLK, &held) == 0 && held.l_type != F_UNLCK && held.l_pid > 0;
    if (descriptor >= 0)
        close(descriptor);
    if (reason != EACCES && reason != EAGAIN)
        return error_set(MONGE_CANT_CREATE, "%s: cannot be made or locked (%s); choose another folder for the output", path,
                         strerror(reason));
    if (known)
        return error_set(MONGE_CANT_CREATE, "%s: process %ld is writing it; wait for it, stop it, or give another name to the output", what,
                         (long)held.l_pid);
    return error_set(MONGE_CANT_CREATE, "%s: another process is writing it; wait for it, stop it, or give another name to the output",
                     what);
}

status file_lock_take(struct file_lock *lock, const char *path, const char *what)
{
    *lock = (struct file_lock){.descriptor = -1, .path = text_copy(path)};
    if (!lock->path)
        return error_code();
    for (;;) {
        int descriptor = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0666), reason = errno;
        if (descriptor < 0)
            return refuse(path, what, reason == EACCES ? EPERM : reason);
        const struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        if (fcntl(descriptor, F_SETLK, &whole) != 0) {
            reason = errno;
            close(descriptor);
            return refuse(path, what, reason);
        }
        if (still_there(descriptor, path)) {
            lock->descriptor = descriptor;
            return MONGE_OK;
        }
        close(descriptor);
    }
}

void file_lock_release(struct file_lock *lock)
{
    if (lock->path && lock->descriptor >= 0) {
        unlink(lock->path); /* while it is still locked */
        close(lock->descriptor);
    }
    free(lock->path);
    *lock = (struct file_lock){.descriptor = -1};
}
