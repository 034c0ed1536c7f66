/* A file that appears whole or not at all, on a disk that may be too small for it. */
#include "output_file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "monge/traffic.h"

status output_file_create(const char *temporary)
{
    unlink(temporary); /* of a killed job */
    int descriptor = open(temporary, O_CREAT | O_EXCL | O_WRONLY, 0666);
    if (descriptor < 0)
        return error_set(MONGE_CANT_CREATE, "%s: cannot be created (%s); choose another folder for the output", temporary, strerror(errno));
    close(descriptor);
    return MONGE_OK;
}

status output_file_reserve(const char *temporary, double bytes)
{
    struct stat about;
    struct statvfs disk;
    int descriptor = open(temporary, O_WRONLY), refused = descriptor < 0 || fstat(descriptor, &about) != 0;
    if (!refused && fallocate(descriptor, FALLOC_FL_KEEP_SIZE, 0, (off_t)bytes) != 0) {
        refused = errno != EOPNOTSUPP && errno != ENOSYS && errno != EINTR;
        double missing = refused ? 0.0 : bytes - 512.0 * (double)about.st_blocks;
        if (!refused && fstatvfs(descriptor, &disk) == 0 && missing > (double)disk.f_bavail * (double)disk.f_frsize) {
            refused = 1; /* a network disk that reserves nothing but knows its free space */
            errno = ENOSPC;
        }
    }
    status s = MONGE_OK;
    if (refused)
        s = error_set(MONGE_IO, "%s: up to %.1f MB are to be written (%s); is the disk full?", temporary, bytes / 1e6, strerror(errno));
    if (descriptor >= 0)
        close(descriptor);
    return s;
}

/* The new name must reach the disk too. Not every file system lets a folder be flushed, so a refusal does not count. */
static void flush_folder(const char *path)
{
    char *copy = strdup(path);
    int descriptor = copy ? open(dirname(copy), O_RDONLY | O_DIRECTORY) : -1;
    if (descriptor >= 0) {
        fsync(descriptor);
        close(descriptor);
    }
    free(copy);
}

status output_file_publish(const char *temporary, const char *path)
{
    struct stat about;
    traffic_io_begin();
    int descriptor = open(temporary, O_WRONLY);
    bool refused = descriptor < 0 || fstat(descriptor, &about) != 0 || ftruncate(descriptor, about.st_size) != 0 ||
                   fsync(descriptor) != 0; /* network disks report a full disk only now */
    if (descriptor >= 0)
        close(descriptor);
    traffic_io_end();
    if (refused)
        return error_set(MONGE_IO, "%s: cannot be written (%s)", temporary, strerror(errno));
    if (rename(temporary, path) != 0)
        return error_set(MONGE_CANT_CREATE, "%s: cannot be created (%s)", path, strerror(errno));
    flush_folder(path);
    return MONGE_OK;
}
