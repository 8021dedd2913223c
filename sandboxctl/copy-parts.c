/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/parse-util.h"
#include "libsandbox/string-util.h"
#include "sandboxctl/copy.h"
#include "sandboxctl/patience.h"

/* --- to a sandbox: the server keeps what has come, and says how much that is. Whoever gives up tells it so; who is killed
 * leaves that to the server's own time limit. */

typedef struct Parts {
        Copy *copy;
        int fd, signal_fd;
        sigset_t signals;        /* as they were */
        const char *remote;
        char *path;              /* of the upload, below the prefix */
        uint64_t size, offset, given;
        Patience patience;
        TransferResult result;
        Transfer *transfer;      /* result points into it */
} Parts;

static int watch_signals(Parts *p) {
        sigset_t set;

        sigemptyset(&set);
        sigaddset(&set, SIGHUP);
        sigaddset(&set, SIGINT);
        sigaddset(&set, SIGTERM);
        if (sigprocmask(SIG_BLOCK, &set, &p->signals) < 0)
                return -errno;
        p->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
        return p->signal_fd < 0 ? -errno : 0;
}

static void parts_done(Parts *p) {
        (void) sigprocmask(SIG_SETMASK, &p->signals, NULL);
        safe_close(p->signal_fd);
        transfer_free(p->transfer);
        free(p->path);
}

/* -EINTR: a signal wants us to end. */
static int request(Parts *p, const TransferSpec *spec) {
        struct pollfd watched = { .fd = p->signal_fd, .events = POLLIN };
        int r;

        p->transfer = transfer_free(p->transfer);
        p->result = (TransferResult) {};
        r = transfer_new(p->copy->ctl->client, spec, &p->transfer);
        while (r >= 0 && !transfer_is_done(p->transfer)) {
                r = client_wait(p->copy->ctl->client, &watched, 1);
                if (r >= 0 && watched.revents)
                        return -EINTR;
        }
        return r < 0 ? r : transfer_result(p->transfer, &p->result);
}

static bool is_good(const Parts *p, int r) {
        return r >= 0 && p->result.status >= 200 && p->result.status <= 299;
}

static int read_location(Parts *p) {
        _cleanup_json_ json_t *object = json_loadb(p->result.text, p->result.size, 0, NULL);
        const char *id = json_text(object, "id");

        if (isempty(id) || id[strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789_")])
                return -EBADMSG;
        patience_renew(&p->patience);
        p->path = ctl_path("/sandboxes/%s/files/uploads/%s", p->copy->sandbox, id);
        return p->path ? 0 : -ENOMEM;
}

/* The same key each time: one of which we never saw the answer makes nothing a second time. */
static int announce(Parts *p, mode_t mode) {
        _cleanup_free_ char *path = ctl_path("/sandboxes/%s/files/uploads", p->copy->sandbox);
        char permissions[16], key[64];
        _cleanup_json_ json_t *body = NULL;
        uint64_t random[2];
        int r;

        if (getrandom(random, sizeof random, 0) != sizeof random)
                return -EIO;
        (void) snprintf(key, sizeof key, "Idempotency-Key: cp-%016llx%016llx", (unsigned long long) random[0],
                        (unsigned long long) random[1]);
        (void) snprintf(permissions, sizeof permissions, "%04o", mode & 07777U);
        body = json_pack("{s:s, s:I, s:s}", "path", p->remote, "size", (json_int_t) p->size, "mode", permissions);
        if (!path || !body)
                return -ENOMEM;
        do
                r = request(p, &(TransferSpec) { .method = "POST", .path = path, .body = body, .headers = { key } });
        while (!is_good(p, r) && patience_wait(&p->patience, r, &p->result, p->signal_fd));
        return is_good(p, r) ? read_location(p) : r;
}

/* A file that has become shorter meanwhile cannot be what was announced. */
static ssize_t on_source(char *buffer, size_t n, void *userdata) {
        Parts *p = userdata;
        ssize_t k;

        n = MIN(n, p->size - p->offset - p->given);
        do
                k = read(p->fd, buffer, n);
        while (k < 0 && errno == EINTR);
        if (k < 0)
                return -errno;
        if (k == 0 && n > 0)
                return -ENODATA;
        p->given += (uint64_t) k;
        progress_add(&p->copy->progress, (uint64_t) k);
        return k;
}

static int take_offset(Parts *p) {
        const char *text = transfer_header(p->transfer, "Upload-Offset");
        uint64_t offset;

        if (!text || parse_u64(text, &offset) < 0 || offset > p->size)
                return -EBADMSG;
        if (offset > p->offset)
                patience_renew(&p->patience);
        p->offset = offset;
        return 0;
}

static int send_rest(Parts *p) {
        char header[64];
        int r;

        (void) snprintf(header, sizeof header, "Upload-Offset: %llu", (unsigned long long) p->offset);
        if (lseek(p->fd, (off_t) p->offset, SEEK_SET) < 0)
                return -errno;
        p->given = 0;
        p->copy->progress.done = p->offset;
        r = request(p, &(TransferSpec) { .method = "PATCH", .path = p->path, .source = on_source,
                                         .source_size = p->size - p->offset, .headers = { header }, .userdata = p });
        return is_good(p, r) ? take_offset(p) : r;
}

/* A refusal is asked for once more, since the answer to HEAD has no text. */
static int ask_offset(Parts *p) {
        int r;

        do
                r = request(p, &(TransferSpec) { .method = "HEAD", .path = p->path });
        while (!is_good(p, r) && patience_wait(&p->patience, r, &p->result, p->signal_fd));
        if (r >= 0 && !is_good(p, r))
                r = request(p, &(TransferSpec) { .method = "GET", .path = p->path });
        return is_good(p, r) ? take_offset(p) : r;
}

static int send_all(Parts *p) {
        int r;

        for (;;) {
                r = send_rest(p);
                if (is_good(p, r) && p->offset == p->size)
                        return 0;
                if (!is_good(p, r) && !patience_wait(&p->patience, r, &p->result, p->signal_fd))
                        return r;
                r = ask_offset(p);
                if (!is_good(p, r) || p->offset == p->size)
                        return r;
        }
}

static void give_up(Parts *p) {
        _cleanup_(transfer_freep) Transfer *t = NULL;
        TransferResult ignored;

        if (p->path && transfer_new(p->copy->ctl->client, &(TransferSpec) { .method = "DELETE", .path = p->path }, &t) >= 0)
                (void) transfer_finish(t, &ignored);
}

/* As if it had come to us unblocked, but for what the server need not keep now. Whether it was about to begin is waited
 * for; a second signal ends that, too. */
static void end_by_signal(Parts *p) {
        struct signalfd_siginfo info;

        if (read(p->signal_fd, &info, sizeof info) != sizeof info)
                return;
        (void) sigprocmask(SIG_SETMASK, &p->signals, NULL);
        progress_end(&p->copy->progress);
        if (!p->path && p->transfer && is_good(p, transfer_finish(p->transfer, &p->result)))
                (void) read_location(p);
        give_up(p);
        (void) raise((int) info.ssi_signo);
}

static int tell(Parts *p) {
        if (p->copy->ctl->json)
                (void) printf("{\"success\":true,\"size\":%llu}\n", (unsigned long long) p->size);
        return EXIT_STATUS_OK;
}

int copy_upload_parts(Copy *c, int fd, const char *remote, uint64_t size, mode_t mode, bool *ret_whole) {
        _cleanup_(parts_done) Parts p = { .copy = c, .fd = fd, .signal_fd = -EBADF, .remote = remote, .size = size };
        int r, status;

        *ret_whole = false;
        (void) sigprocmask(SIG_SETMASK, NULL, &p.signals);
        patience_begin(&p.patience);
        r = watch_signals(&p);
        if (r >= 0)
                r = announce(&p, mode);
        if (r >= 0 && !p.path) {
                *ret_whole = p.result.status == 404 || p.result.status == 405 || p.result.status == 429;
                if (*ret_whole)
                        return EXIT_STATUS_USAGE;
        }
        if (p.path) {
                progress_begin(&c->progress, remote, size);
                r = send_all(&p);
                progress_end(&c->progress);
        }
        if (p.path && is_good(&p, r))
                return tell(&p);
        end_by_signal(&p);
        if (r == -ENODATA)
                status = ctl_fail(c->ctl, EXIT_STATUS_FAILURE, "%s: the file has become shorter", remote);
        else
                status = ctl_fail_transfer(c->ctl, remote, r, &p.result);
        give_up(&p);
        return status;
}

/* --- from a sandbox: what has come is with us, and whether the file is still the same says its tag */

typedef struct Fetch {
        Copy *copy;
        Transfer *transfer;
        int fd;
        off_t start;             /* of what is ours in fd; -1: it cannot be taken back */
        uint64_t offset;
        char *tag;               /* NULL: none by which one could go on */
        bool begun;              /* of this request: the head was looked at */
        Patience patience;
} Fetch;

/* A whole file instead of the rest: it is another one, so we begin anew, where that can be done. */
static int start_over(Fetch *f) {
        if (f->offset == 0)
                return 0;
        if (f->start < 0 || ftruncate(f->fd, f->start) < 0 || lseek(f->fd, f->start, SEEK_SET) < 0)
                return -ESTALE;
        f->offset = 0;
        f->copy->progress.done = 0;
        return 0;
}

static int look_at_head(Fetch *f) {
        const char *tag = transfer_header(f->transfer, "ETag");
        bool is_part = transfer_header(f->transfer, "Content-Range") != NULL;
        int64_t size = transfer_reply_size(f->transfer);
        int r;

        f->begun = true;
        r = is_part ? 0 : start_over(f);
        if (r < 0)
                return r;
        if (size >= 0)
                f->copy->progress.size = f->offset + (uint64_t) size;
        r = free_and_strdup(&f->tag, tag && !startswith(tag, "W/") ? tag : NULL);
        return r < 0 ? r : 0;
}

static int on_sink(const char *data, size_t n, void *userdata) {
        Fetch *f = userdata;
        int r;

        r = f->begun ? 0 : look_at_head(f);
        if (r >= 0)
                r = loop_write(f->fd, data, n);
        if (r < 0)
                return r;
        f->offset += n;
        progress_add(&f->copy->progress, n);
        patience_renew(&f->patience);
        return 0;
}

static int fetch(Fetch *f, const char *path, TransferResult *result) {
        char range[64];
        _cleanup_free_ char *condition = NULL;
        TransferSpec spec = { .method = "GET", .path = path, .accept = "application/octet-stream", .sink = on_sink,
                              .userdata = f };
        int r;

        f->begun = false;
        f->transfer = transfer_free(f->transfer);
        if (f->offset > 0 && f->tag) {
                (void) snprintf(range, sizeof range, "Range: bytes=%llu-", (unsigned long long) f->offset);
                if (asprintf(&condition, "If-Range: %s", f->tag) < 0)
                        return -ENOMEM;
                spec.headers[0] = range;
                spec.headers[1] = condition;
        }
        r = transfer_new(f->copy->ctl->client, &spec, &f->transfer);
        return r < 0 ? r : transfer_finish(f->transfer, result);
}

/* All was there when the connection broke: there is no part behind it. */
static bool is_whole(const Fetch *f, int r, const TransferResult *result) {
        return r >= 0 && result->status == 416 && f->offset > 0 && f->offset == f->copy->progress.size;
}

int copy_download_parts(Copy *c, const char *remote, const char *path, int fd, char **ret_mode) {
        Fetch f = { .copy = c, .fd = fd, .start = lseek(fd, 0, SEEK_CUR) };
        TransferResult result = {};
        const char *mode;
        bool good;
        int r;

        progress_begin(&c->progress, remote, UINT64_MAX);
        patience_begin(&f.patience);
        do {
                r = fetch(&f, path, &result);
                good = (r >= 0 && result.status >= 200 && result.status <= 299) || is_whole(&f, r, &result);
        } while (!good && patience_wait(&f.patience, r, &result, -1));
        progress_end(&c->progress);
        if (!good)
                r = ctl_fail_transfer(c->ctl, remote, r, &result);
        else {
                mode = transfer_header(f.transfer, "X-File-Mode");
                *ret_mode = mode ? strdup(mode) : NULL;
                r = EXIT_STATUS_OK;
        }
        transfer_free(f.transfer);
        free(f.tag);
        return r;
}
