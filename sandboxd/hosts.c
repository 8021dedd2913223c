/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/hosts.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/log.h"
#include "libsandbox/string-util.h"
#include "sandboxd/files.h"

#define HOSTS_FILE "/etc/hosts"
#define FILE_SIZE_MAX (1 * MiB)
#define FILE_MODE 0644
#define BEGIN_MARK "# sandboxd: begin, members of networks\n"
#define END_MARK "# sandboxd: end of members\n"

typedef struct HostsWaiter HostsWaiter;
struct HostsWaiter {
        HostsWaiter *next;
        void (*callback)(void *userdata);
        void *userdata;
};

/* One writing at a time and sandbox: who comes meanwhile waits for the next, which says all that is so by then. */
typedef struct HostsMirror {
        Manager *manager;
        Sandbox *sandbox;
        HostsWaiter *current, *later;
} HostsMirror;

static void start_round(HostsMirror *h);

static void tell(HostsWaiter *list) {
        while (list) {
                _cleanup_free_ HostsWaiter *w = list;

                list = w->next;
                w->callback(w->userdata);
        }
}

static void end_round(HostsMirror *h) {
        tell(TAKE_PTR(h->current));
        if (h->later && sandbox_is_live(h->sandbox) && !h->manager->stopping) {
                start_round(h);
                return;
        }
        tell(TAKE_PTR(h->later));
        h->sandbox->hosts_mirror = NULL;
        sandbox_unref(h->sandbox);
        free(h);
}

static void on_written(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        HostsMirror *h = userdata;

        (void) reply;
        if (error)
                log_sandbox(LOG_DEBUG, h->sandbox->id, "Failed to write " HOSTS_FILE ": %s", error->message);
        end_round(h);
}

/* Where the block of an earlier time stands; false: nowhere. */
static bool find_block(const char *text, size_t n, const char **ret_begin, const char **ret_end) {
        const char *begin = memmem(text, n, BEGIN_MARK, strlen(BEGIN_MARK)), *end;

        if (!begin || (begin > text && begin[-1] != '\n'))
                return false;
        end = memmem(begin, n - (size_t) (begin - text), END_MARK, strlen(END_MARK));
        if (!end)
                return false;
        *ret_begin = begin;
        *ret_end = end + strlen(END_MARK);
        return true;
}

int hosts_merge(const char *text, size_t n, const char *block, char **ret) {
        const char *begin = text + n, *end = text + n;
        bool found = find_block(text, n, &begin, &end);
        int r;

        r = asprintf(ret, "%.*s%s%s%s%s%.*s", (int) (begin - text), text,
                     !found && n > 0 && text[n - 1] != '\n' ? "\n" : "", *block ? BEGIN_MARK : "", block,
                     *block ? END_MARK : "", (int) (text + n - end), end);
        return r < 0 ? -ENOMEM : 0;
}

static int make_block(HostsMirror *h, char **ret) {
        size_t size;
        FILE *f = open_memstream(ret, &size);

        if (!f)
                return -ENOMEM;
        networks_write_hosts(h->manager->networks, h->sandbox, f);
        return fclose(f) != 0 ? -ENOMEM : 0;
}

static int read_whole(sd_bus_message *reply, char **ret, size_t *ret_n) {
        _cleanup_free_ char *text = NULL;
        uint64_t size, mtime;
        uint32_t mode;
        ssize_t k;
        int fd, r;

        r = sd_bus_message_read(reply, "htut", &fd, &size, &mode, &mtime);
        if (r < 0)
                return r;
        if (size > FILE_SIZE_MAX)
                return -EFBIG;
        text = malloc((size_t) size + 1);
        if (!text)
                return -ENOMEM;
        k = pread(fd, text, (size_t) size, 0);
        if (k < 0)
                return -errno;
        *ret = TAKE_PTR(text);
        *ret_n = (size_t) k;
        return 0;
}

static int rewrite(HostsMirror *h, sd_bus_message *before) {
        _cleanup_free_ char *text = NULL, *block = NULL, *after = NULL;
        size_t n = 0;
        int r = 0;

        if (before)
                r = read_whole(before, &text, &n);
        if (r >= 0)
                r = make_block(h, &block);
        if (r >= 0)
                r = hosts_merge(text ?: "", n, block, &after);
        if (r < 0)
                return r;
        return files_write(h->manager, h->sandbox, &(FileContent) { .path = HOSTS_FILE, .mode = FILE_MODE, .data = after,
                                                                    .n = strlen(after) }, on_written, h);
}

static void on_read(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        HostsMirror *h = userdata;

        if (h->manager->stopping || (error && !sd_bus_error_has_name(error, BUS_ERROR_NO_SUCH_FILE)) ||
            rewrite(h, reply) < 0)
                end_round(h);
}

static void start_round(HostsMirror *h) {
        h->current = TAKE_PTR(h->later);
        if (files_read(h->manager, h->sandbox, HOSTS_FILE, on_read, h) < 0)
                end_round(h);
}

int hosts_update(Manager *m, Sandbox *s, void (*callback)(void *userdata), void *userdata) {
        HostsMirror *mirror = s->hosts_mirror;
        HostsWaiter *w = new0(HostsWaiter, 1);

        if (w && !mirror) {
                mirror = new0(HostsMirror, 1);
                if (mirror)
                        *mirror = (HostsMirror) { .manager = m, .sandbox = sandbox_ref(s) };
        }
        if (!w || !mirror) {
                free(w);
                return -ENOMEM;
        }
        *w = (HostsWaiter) { .next = mirror->later, .callback = callback, .userdata = userdata };
        mirror->later = w;
        if (!s->hosts_mirror) {
                s->hosts_mirror = mirror;
                start_round(mirror);
        }
        return 0;
}
