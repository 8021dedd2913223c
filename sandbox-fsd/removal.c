/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-fsd/removal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/log.h"
#include "libsandbox/string-util.h"
#include "sandbox-fsd/helper.h"

/* Deleting takes as long as a sandbox has made it take, so nobody waits for it: a tree is moved aside, a few helpers at
 * a time empty what lies there, and what a crash interrupts is found by its name at the next start. */

#define REMOVALS_MAX 4U
#define REMOVAL_TIMEOUT_USEC (60 * 60 * USEC_PER_SEC)

typedef struct Removal {
        Images *images;
        int directory_fd; /* of the store */
        char *name;
        Helper *helper;   /* NULL: waits for its turn */
} Removal;

static Removal *removal_free(Removal *r) {
        if (!r)
                return NULL;
        (void) hashmap_remove(r->images->removals, r->name);
        if (!r->helper)
                service_release(r->images->service);
        helper_free(r->helper);
        free(r->name);
        free(r);
        return NULL;
}

static int removal_run(Removal *r);

static void start_next(Images *i) {
        unsigned n_running = 0;
        Removal *r;

        HASHMAP_FOREACH(r, i->removals)
                n_running += !!r->helper;
        HASHMAP_FOREACH(r, i->removals) {
                if (n_running >= REMOVALS_MAX)
                        return;
                if (!r->helper && removal_run(r) > 0)
                        n_running++;
        }
}

static void on_emptied(int error, const char *text, void *userdata) {
        Removal *r = userdata;
        Images *i = r->images;

        r->helper = NULL;
        service_hold(i->service); /* as one that waits: removal_free() lets go */
        if (error >= 0 && unlinkat(r->directory_fd, r->name, AT_REMOVEDIR) < 0 && errno != ENOENT)
                error = -errno;
        if (error < 0)
                log_warning_errno(error, "Failed to delete %s, leaving it for the next start: %m%s%s", r->name,
                                  isempty(text) ? "" : ": ", text);
        removal_free(r);
        start_next(i);
}

/* One that was not whole when we died may still be ours, where root of the range has no rights. */
static int give_away(int fd) {
        struct stat st;

        if (fstat(fd, &st) < 0)
                return -errno;
        if (st.st_uid != geteuid())
                return 0;
        return fchownat(fd, "", FOREIGN_BASE, FOREIGN_BASE, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

/* 1: runs; otherwise it is gone from the list. */
static int removal_run(Removal *r) {
        _cleanup_close_ int fd = -EBADF;
        int k;

        fd = openat(r->directory_fd, r->name, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0) {
                /* A link, or nothing any more. */
                k = unlinkat(r->directory_fd, r->name, 0) < 0 && errno != ENOENT ? -errno : 0;
                removal_free(r);
                return k;
        }
        k = give_away(fd);
        if (k >= 0)
                k = helper_new(&(HelperOptions) {
                        .service = r->images->service,
                        .program = r->images->program,
                        .work = "remove",
                        .fds = { fd },
                        .n_fds = 1,
                        .timeout_usec = REMOVAL_TIMEOUT_USEC,
                        .handler = on_emptied,
                        .userdata = r,
                }, &r->helper);
        if (k < 0) {
                log_warning_errno(k, "Failed to start deleting %s, leaving it for the next start: %m", r->name);
                removal_free(r);
                return k;
        }
        service_release(r->images->service); /* the helper holds it from now on */
        return 1;
}

int removal_start(Images *i, int directory_fd, const char *name) {
        _cleanup_free_ char *copy = strdup(name);
        Removal *r;
        int k;

        r = new0(Removal, 1);
        if (!r || !copy) {
                free(r);
                return -ENOMEM;
        }
        *r = (Removal) { .images = i, .directory_fd = directory_fd, .name = copy };
        k = hashmap_put(i->removals, r->name, r);
        if (k < 0) {
                free(r);
                return k;
        }
        copy = NULL;
        service_hold(i->service);
        start_next(i);
        return 0;
}

void removals_done(Images *i) {
        Removal *r;

        if (i->removals)
                HASHMAP_FOREACH(r, i->removals)
                        removal_free(r);
}
