/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "sandbox-fsd/tree-remove.h"
#include "sandbox-fsd/unpack.h"
#include "tests/fuzz/fuzz.h"

/* The layer has a neighbour, which must stay as it is whatever is unpacked. */
static void check_neighbour(int fd) {
        struct stat st;

        if (fstatat(fd, "neighbour", &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode) || st.st_size != 0 ||
            st.st_nlink != 1 || st.st_mtim.tv_sec != 1)
                abort();
}

static int make_directory(char *directory) {
        const struct timespec times[] = { { .tv_sec = 1 }, { .tv_sec = 1 } };
        int fd;

        if (!mkdtemp(directory))
                abort();
        fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 || mkdirat(fd, "layer", 0700) < 0 || mknodat(fd, "neighbour", S_IFREG | 0600, 0) < 0 ||
            utimensat(fd, "neighbour", times, 0) < 0)
                abort();
        return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const UnpackLimits limits = {
                .entries = 100, .bytes = MiB, .file_bytes = MiB, .ratio = 200, .ratio_from_bytes = MiB,
        };
        _cleanup_close_ int tar_fd = -EBADF, layer_fd = -EBADF, fd = -EBADF;
        char text[512], directory[] = "/tmp/fuzz-tar-XXXXXX";

        fd = make_directory(directory);
        layer_fd = openat(fd, "layer", O_PATH | O_DIRECTORY | O_CLOEXEC);
        tar_fd = memfd_create("tar", MFD_CLOEXEC);
        if (layer_fd < 0 || tar_fd < 0 || loop_write(tar_fd, data, size) < 0 || lseek(tar_fd, 0, SEEK_SET) < 0)
                abort();
        (void) unpack_tar(tar_fd, layer_fd, &limits, text, sizeof text);
        check_neighbour(fd);
        if (tree_remove_contents(openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), USEC_INFINITY) < 0 ||
            rmdir(directory) < 0)
                abort();
        return 0;
}
