/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "sandbox-fsd/file-ops.h"

/* The size of the gathering file is all that there is to know of an upload: nobody has to remember how far it came, and
 * no crash makes that wrong. It has a name, since nothing else outlives who holds it. A worker whose client was cut off
 * still writes what lies in its pipe, so the next one waits for it; the lock ends with its process. */

#define PART_MODE 0600
#define LOCK_WAIT_USEC (5 * USEC_PER_SEC)
#define LOCK_STEP_NSEC 10000000

typedef struct Part {
        int directory_fd, fd;
        char *name;
        struct stat st;
} Part;

#define PART_NULL ((Part) { .directory_fd = -EBADF, .fd = -EBADF })

static void part_done(Part *p) {
        safe_close(p->directory_fd);
        safe_close(p->fd);
        free(p->name);
}

static int lock_part(int fd) {
        uint64_t until = now_usec(CLOCK_BOOTTIME) + LOCK_WAIT_USEC;

        while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
                if (errno != EWOULDBLOCK)
                        return -errno;
                if (now_usec(CLOCK_BOOTTIME) > until)
                        return -ETXTBSY;
                (void) nanosleep(&(struct timespec) { .tv_nsec = LOCK_STEP_NSEC }, NULL);
        }
        return 0;
}

/* The sandbox may have put anything in its place. */
static int part_open(const FileRoot *root, const char *path, int flags, Part *p) {
        int r;

        r = file_open_parent(root, path, &p->directory_fd, &p->name);
        if (r < 0)
                return r;
        if (fstatat(p->directory_fd, p->name, &p->st, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        if (!S_ISREG(p->st.st_mode))
                return -ENXIO;
        p->fd = file_open_child(p->directory_fd, p->name, flags);
        if (p->fd < 0)
                return p->fd;
        r = lock_part(p->fd);
        if (r < 0)
                return r;
        if (fstat(p->fd, &p->st) < 0)
                return -errno;
        return S_ISREG(p->st.st_mode) ? 0 : -ENXIO;
}

/* Of what the sandbox may still write: its quota, not the disk. */
static int check_room(int directory_fd, uint64_t size) {
        struct statvfs st;

        if (fstatvfs(directory_fd, &st) < 0 || st.f_frsize == 0)
                return 0;
        return size / st.f_frsize > st.f_bavail ? -ENOSPC : 0;
}

int file_upload_begin(const FileRoot *root, const FileUpload *upload) {
        _cleanup_(part_done) Part target = PART_NULL, part = PART_NULL;
        int r, fd;

        if (upload->size > FILE_WRITE_MAX)
                return -EFBIG;
        r = file_make_parents(root, upload->path);
        if (r >= 0)
                r = file_open_parent(root, upload->path, &target.directory_fd, &target.name);
        if (r >= 0)
                r = file_look_at_replaced(target.directory_fd, target.name, &target.st);
        if (r >= 0)
                r = file_open_parent(root, upload->part, &part.directory_fd, &part.name);
        if (r < 0)
                return r;
        fd = openat(part.directory_fd, part.name, O_CREAT | O_EXCL | O_RDONLY | O_CLOEXEC | O_NOFOLLOW, PART_MODE);
        if (fd < 0)
                return -errno;
        part.fd = fd;
        r = check_room(fd, upload->size);
        if (r < 0)
                (void) unlinkat(part.directory_fd, part.name, 0);
        return r;
}

int file_upload_size(const FileRoot *root, const char *part, uint64_t *ret_size) {
        _cleanup_(part_done) Part p = PART_NULL;
        int r;

        r = part_open(root, part, O_RDONLY, &p);
        if (r < 0)
                return r;
        *ret_size = (uint64_t) p.st.st_size;
        return 0;
}

int file_upload_append(const FileRoot *root, const FileAppend *append, uint64_t *ret_size) {
        _cleanup_(part_done) Part p = PART_NULL;
        int r;

        if (append->size > FILE_WRITE_MAX || append->offset > FILE_WRITE_MAX - append->size)
                return -EFBIG;
        r = part_open(root, append->part, O_WRONLY, &p);
        if (r < 0)
                return r;
        if ((uint64_t) p.st.st_size != append->offset)
                return -ESTALE;
        if (lseek(p.fd, (off_t) append->offset, SEEK_SET) < 0)
                return -errno;
        r = file_copy_bytes(append->source_fd, p.fd, append->size);
        if (r < 0 && r != -ECANCELED)
                return r;
        if (fstat(p.fd, &p.st) < 0)
                return -errno;
        *ret_size = (uint64_t) p.st.st_size;
        return 0;
}

int file_upload_finish(const FileRoot *root, const FileUpload *upload) {
        _cleanup_(part_done) Part part = PART_NULL, target = PART_NULL;
        int replaced, r;

        r = part_open(root, upload->part, O_WRONLY, &part);
        if (r < 0)
                return r;
        if ((uint64_t) part.st.st_size != upload->size)
                return -ESTALE;
        r = file_open_parent(root, upload->path, &target.directory_fd, &target.name);
        if (r < 0)
                return r;
        replaced = file_look_at_replaced(target.directory_fd, target.name, &target.st);
        if (replaced < 0)
                return replaced;
        r = file_take_over_attributes(part.fd, upload->mode, replaced && upload->keep_mode ? &target.st : NULL);
        if (r < 0)
                return r;
        return renameat(part.directory_fd, part.name, target.directory_fd, target.name) < 0 ? -errno : 0;
}
