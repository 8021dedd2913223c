/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/files.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"

/* Small contents travel in the message; larger ones in a sealed file without a name. */
#define INLINE_MAX (64 * KiB)

/* It cannot change any more, so its size is what we say. */
static int make_memfd(const char *data, size_t n) {
        _cleanup_close_ int fd = -EBADF;
        int r;

        fd = memfd_create("content", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (fd < 0)
                return -errno;
        r = loop_write(fd, data, n);
        if (r < 0)
                return r;
        if (lseek(fd, 0, SEEK_SET) < 0 ||
            fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
                return -errno;
        return TAKE_FD(fd);
}

const char *files_write_member(size_t n) {
        return n <= INLINE_MAX ? "WriteSmall" : "Write";
}

int files_append_content(sd_bus_message *m, const FileContent *content) {
        _cleanup_close_ int fd = -EBADF;
        int r;

        r = sd_bus_message_append(m, "sub", content->path, content->mode, /* keep_mode= */ true);
        if (r < 0)
                return r;
        if (content->n <= INLINE_MAX)
                return sd_bus_message_append_array(m, 'y', content->data, content->n);
        fd = make_memfd(content->data, content->n);
        return fd < 0 ? fd : sd_bus_message_append(m, "th", (uint64_t) content->n, fd);
}

int files_write(Manager *m, const Sandbox *s, const FileContent *content, PeerCallback callback, void *userdata) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;
        int r;

        r = fsd_files_message(m->fsd, s->id, files_write_member(content->n), &message);
        if (r >= 0)
                r = files_append_content(message, content);
        return r < 0 ? r : fsd_send(m->fsd, message, PEER_REPEATABLE, callback, userdata);
}

int files_read(Manager *m, const Sandbox *s, const char *path, PeerCallback callback, void *userdata) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;
        int r;

        r = fsd_files_message(m->fsd, s->id, "Read", &message);
        if (r >= 0)
                r = sd_bus_message_append(message, "stt", path, UINT64_C(0), UINT64_C(0));
        return r < 0 ? r : fsd_send(m->fsd, message, PEER_REPEATABLE, callback, userdata);
}

void files_remove(Manager *m, const Sandbox *s, const char *path) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;

        if (m->stopping || fsd_files_message(m->fsd, s->id, "Delete", &message) < 0 ||
            sd_bus_message_append(message, "s", path) < 0)
                return;
        (void) fsd_send(m->fsd, message, PEER_REPEATABLE, peer_ignore, NULL);
}
