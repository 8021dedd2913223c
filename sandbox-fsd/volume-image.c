/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-fsd/volume-image.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "sandbox-fsd/helper.h"

/* The file has its name only when it is formatted: what a crash leaves is another name, and is begun again. */

#define IMAGE_NAME "image"
#define IMAGE_NEW "image.new"
#define IMAGE_TIMEOUT_USEC (120 * USEC_PER_SEC)

typedef struct ImageJob {
        int volume_fd;
        Helper *helper;
        ImageHandler handler;
        void *userdata;
} ImageJob;

static ImageJob *image_job_free(ImageJob *j) {
        if (j) {
                safe_close(j->volume_fd);
                free(j);
        }
        return NULL;
}
DEFINE_CLEANUP(ImageJob *, image_job_free)

bool volume_image_is_needed(const Store *s) {
        struct statfs fs;

        return !store_has_quotas(s) && fstatfs(s->volumes_fd, &fs) >= 0 && fs.f_type != TMPFS_MAGIC;
}

static void on_formatted(int error, const char *text, void *userdata) {
        _cleanup_(image_job_freep) ImageJob *j = userdata;
        int r = error;

        if (r >= 0 && renameat(j->volume_fd, IMAGE_NEW, j->volume_fd, IMAGE_NAME) < 0) {
                r = -errno;
                text = "it cannot be named";
        }
        if (r < 0)
                (void) unlinkat(j->volume_fd, IMAGE_NEW, 0);
        j->handler(r, text, j->userdata);
}

int volume_image_make(Images *i, int volume_fd, uint64_t bytes, ImageHandler handler, void *userdata) {
        _cleanup_(image_job_freep) ImageJob *j = NULL;
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (faccessat(volume_fd, IMAGE_NAME, F_OK, 0) >= 0)
                return 1;
        j = new0(ImageJob, 1);
        if (!j)
                return -ENOMEM;
        *j = (ImageJob) { .volume_fd = fcntl(volume_fd, F_DUPFD_CLOEXEC, 3), .handler = handler, .userdata = userdata };
        if (j->volume_fd < 0)
                return -errno;
        fd = openat(volume_fd, IMAGE_NEW, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0 || ftruncate(fd, (off_t) bytes) < 0)
                return -errno;
        r = helper_new(&(HelperOptions) {
                .service = i->service,
                .program = i->program,
                .work = "image",
                .fds = { fd },
                .n_fds = 1,
                .timeout_usec = IMAGE_TIMEOUT_USEC,
                .handler = on_formatted,
                .userdata = j,
        }, &j->helper);
        if (r < 0)
                return r;
        j = NULL;
        return 0;
}

/* Nothing it says is wanted, and nothing of ours is passed but the file itself. */
static int run(const char *const *argv, int fd) {
        static const char *const environment[] = { "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", NULL };
        int status;
        pid_t pid;

        pid = fork();
        if (pid < 0)
                return -errno;
        if (pid == 0) {
                int null = open("/dev/null", O_RDWR);

                (void) prctl(PR_SET_PDEATHSIG, SIGKILL); /* who was ended has nobody's work to go on with */
                for (int i = 0; i < 3; i++)
                        (void) dup2(null, i);
                if (fcntl(fd, F_SETFD, 0) >= 0)
                        (void) execvpe(argv[0], (char *const *) argv, (char *const *) environment);
                _exit(errno == ENOENT ? 127 : 126);
        }
        while (waitpid(pid, &status, 0) < 0)
                if (errno != EINTR)
                        return -errno;
        if (!WIFEXITED(status) || WEXITSTATUS(status) == 126)
                return -EPROTO;
        return WEXITSTATUS(status) == 127 ? -ENOENT : WEXITSTATUS(status) == 0 ? 0 : -EIO;
}

/* The root of the file system is root of the sandboxes. What a check of the file system would put into lost+found nobody
 * ever looks for, and it would not be theirs. */
int volume_image_format(int fd, char *text, size_t size) {
        char path[32], extended[96];
        const char *const format[] = { "mkfs.ext4", "-q", "-F", "-m", "0", "-E", extended, path, NULL };
        const char *const trim[] = { "debugfs", "-w", "-R", "rmdir lost+found", path, NULL };
        int r;

        (void) snprintf(path, sizeof path, "/proc/self/fd/%i", fd);
        (void) snprintf(extended, sizeof extended, "root_owner=%u:%u,lazy_itable_init=1,nodiscard", FOREIGN_BASE,
                        FOREIGN_BASE);
        r = run(format, fd);
        if (r >= 0)
                r = run(trim, fd);
        if (r < 0)
                (void) snprintf(text, size, r == -ENOENT ? "mkfs.ext4 is not installed" : "mkfs.ext4 failed");
        return r;
}
