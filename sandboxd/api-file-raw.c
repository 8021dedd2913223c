/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/fd-util.h"
#include "libsandbox/parse-util.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "sandboxd/body-pipe.h"
#include "sandboxd/file-input.h"
#include "sandboxd/path-rule.h"

/* Files as they are, of any size and at any path. On the way in the body goes through a pipe to the file worker; a
 * body that does not say its size first goes to a file of our own. */

#define TYPE "application/octet-stream"
#define TAG_SETTLES_USEC USEC_PER_SEC

typedef struct RawInput {
        char *path, *mode;
} RawInput;

#define PATH { "path", JSON_FIELD_STRING, offsetof(RawInput, path), JSON_FIELD_MANDATORY, 0, 0, "anywhere inside" }

static const JsonField get_fields[] = { PATH };
const JsonTable file_raw_get_table = JSON_TABLE(get_fields);

static const JsonField put_fields[] = {
        { "mode", JSON_FIELD_STRING, offsetof(RawInput, mode), 0, 0, 0, "octal digits; default: what it has, or 0644" },
        PATH,
};
const JsonTable file_raw_put_table = JSON_TABLE(put_fields);

static void raw_input_done(RawInput *in) {
        free(in->path);
        free(in->mode);
}

/* The path comes out resolved. */
static int read_input(Request *request, RawInput *ret, sd_bus_error *error) {
        const Manager *m = request_userdata(request);
        _cleanup_(raw_input_done) RawInput in = {};
        char *path;
        int r;

        r = json_table_read(request_input(request), request_route(request)->input, &in, error);
        if (r >= 0)
                r = path_anywhere(m->settings.workspace_dir, in.path, &path, error);
        if (r < 0)
                return r;
        *ret = (RawInput) { .path = path, .mode = TAKE_PTR(in.mode) };
        return 0;
}

/* "bytes=a-b", "bytes=a-", "bytes=-n". Anything else is as if there were none; -ERANGE: nothing of the file. */
static int parse_range(const char *text, uint64_t size, uint64_t *ret_offset, uint64_t *ret_length) {
        const char *spec = text ? startswith(text, "bytes=") : NULL, *dash = spec ? strchr(spec, '-') : NULL;
        _cleanup_free_ char *first = NULL;
        uint64_t from, to;

        if (!dash)
                return 0;
        first = strndup(spec, (size_t) (dash - spec));
        if (!first)
                return -ENOMEM;

        if (isempty(first)) {
                if (parse_u64(dash + 1, &to) < 0)
                        return 0;
                to = MIN(to, size);
                if (to == 0)
                        return -ERANGE;
                *ret_offset = size - to;
                *ret_length = to;
                return 1;
        }
        if (parse_u64(first, &from) < 0 || (dash[1] && parse_u64(dash + 1, &to) < 0) || (dash[1] && to < from))
                return 0;
        if (from >= size)
                return -ERANGE;
        *ret_offset = from;
        *ret_length = dash[1] ? MIN(to - from, size - from - 1) + 1 : size - from;
        return 1;
}

/* Of this very content. Clocks of files go in steps, so that one which was changed a moment ago may change again and look
 * the same: its tag is a weak one, by which nobody goes on with a download. */
static int format_tag(int fd, char ret[96]) {
        uint64_t changed;
        struct stat st;

        if (fstat(fd, &st) < 0)
                return -errno;
        changed = (uint64_t) st.st_ctim.tv_sec * USEC_PER_SEC + (uint64_t) st.st_ctim.tv_nsec / NSEC_PER_USEC;
        (void) snprintf(ret, 96, "%s\"%llx-%llx-%llx\"",
                        now_usec(CLOCK_REALTIME) < changed + TAG_SETTLES_USEC ? "W/" : "", (unsigned long long) st.st_ino,
                        (unsigned long long) st.st_size, (unsigned long long) changed);
        return 0;
}

/* A part is of no use to somebody who has another part of another file. */
static const char *wanted_range(ApiCall *call, const char *tag) {
        const char *condition = request_header(call->request, "If-Range");

        return !condition || (streq(condition, tag) && !startswith(tag, "W/"))
                       ? request_header(call->request, "Range") : NULL;
}

static int reply_range(ApiCall *call, int fd, uint64_t size) {
        uint64_t offset = 0, length = size;
        char text[96];
        int r;

        r = format_tag(fd, text);
        if (r < 0) {
                safe_close(fd);
                return r;
        }
        (void) request_add_header(call->request, "ETag", text);
        r = parse_range(wanted_range(call, text), size, &offset, &length);
        if (r == -ERANGE) {
                safe_close(fd);
                (void) snprintf(text, sizeof text, "bytes */%llu", (unsigned long long) size);
                (void) request_add_header(call->request, "Content-Range", text);
                return request_reply_json(call->request, 416, json_pack("{s:s}", "error", "Range not satisfiable"));
        }
        (void) request_add_header(call->request, "Accept-Ranges", "bytes");
        if (r > 0) {
                (void) snprintf(text, sizeof text, "bytes %llu-%llu/%llu", (unsigned long long) offset,
                                (unsigned long long) (offset + length - 1), (unsigned long long) size);
                (void) request_add_header(call->request, "Content-Range", text);
        }
        return request_reply_file(call->request, r > 0 ? 206 : 200, TYPE, fd, offset, length);
}

static int answer_raw(ApiCall *call, sd_bus_message *reply, sd_bus_error *error) {
        uint64_t size, mtime;
        int fd, copy, r;
        char text[32];
        uint32_t mode;

        (void) error;
        r = sd_bus_message_read(reply, "htut", &fd, &size, &mode, &mtime);
        if (r < 0)
                return r;
        (void) snprintf(text, sizeof text, "%04o", mode & 07777);
        (void) request_add_header(call->request, "X-File-Mode", text);
        copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        return copy < 0 ? -errno : reply_range(call, copy, size);
}

int api_file_get_raw(Request *request, sd_bus_error *error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        _cleanup_(api_call_freep) ApiCall *call = NULL;
        _cleanup_(raw_input_done) RawInput in = {};
        int r;

        r = read_input(request, &in, error);
        if (r >= 0)
                r = file_call_new(request, "Read", &call, &m, error);
        if (r < 0)
                return r;
        call->answer = answer_raw;
        r = sd_bus_message_append(m, "stt", in.path, UINT64_C(0), UINT64_C(0));
        return file_call_send(&call, m, r, PEER_REPEATABLE, error);
}

/* A body on its way to the file worker. The call to it is made at the beginning for a pipe, at the end for a file;
 * the request ends when both the body and the worker have. */
typedef struct RawUpload {
        BodyPipe body;
        Manager *manager;
        Sandbox *sandbox;
        char *path;
        uint32_t mode;
        bool keep_mode, asked;
} RawUpload;

static void upload_free(RawUpload *u) {
        body_pipe_close(&u->body);
        sandbox_unref(u->sandbox);
        free(u->path);
        free(u);
}

/* The worker's answer may come before the end of the body: an error. Nothing more is sent to it then. */
static void on_written(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        RawUpload *u = userdata;
        Request *request = u->body.request;

        body_pipe_close(&u->body);
        if (request) {
                request_on_gone(request, NULL, NULL);
                if (error)
                        (void) request_reply_error(request, error);
                else
                        (void) request_reply_json(request, 200, json_pack("{s:b, s:I}", "success", 1, "size",
                                                                          (json_int_t) u->body.received));
        }
        (void) reply;
        upload_free(u);
}

static int ask(RawUpload *u, int source, uint64_t size) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = fsd_files_message(u->manager->fsd, u->sandbox->id, "Write", &m);
        if (r >= 0)
                r = sd_bus_message_append(m, "subth", u->path, u->mode, (int) u->keep_mode, size, source);
        if (r >= 0)
                r = fsd_send(u->manager->fsd, m, PEER_SLOW, on_written, u);
        if (r >= 0)
                u->asked = true;
        return r;
}

static ssize_t on_data(void *userdata, const char *data, size_t n) {
        RawUpload *u = userdata;

        return body_pipe_write(&u->body, data, n);
}

static int on_end(void *userdata, sd_bus_error *error) {
        RawUpload *u = userdata;
        int r;

        if (u->body.is_pipe) {
                body_pipe_close(&u->body);
                return 1;
        }
        r = lseek(u->body.fd, 0, SEEK_SET) < 0 ? -errno : ask(u, u->body.fd, u->body.received);
        if (r < 0) {
                request_on_gone(u->body.request, NULL, NULL);
                upload_free(u);
                return api_unavailable(r, error);
        }
        return 1;
}

/* A short pipe is an interrupted upload to the worker: it changes nothing. */
static void on_client_gone(Request *request, void *userdata) {
        RawUpload *u = userdata;

        (void) request;
        u->body.request = NULL;
        body_pipe_close(&u->body);
        if (!u->asked)
                upload_free(u);
}

static int open_pipe(RawUpload *u, uint64_t size) {
        _cleanup_close_ int theirs = -EBADF;
        int r;

        r = body_pipe_open(&u->body, u->manager->event, &theirs);
        return r < 0 ? r : ask(u, theirs, size);
}

static int open_file(RawUpload *u) {
        u->body.fd = openat(u->manager->spool_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        return u->body.fd < 0 ? -errno : 0;
}

static int upload_begin(Request *request, RawUpload *u, sd_bus_error *error) {
        uint64_t size = request_body_size(request);
        int r;

        if (size != UINT64_MAX && size > u->body.limit)
                return bus_error_set(error, BUS_ERROR_TOO_LARGE, "The body is too large");
        r = size == UINT64_MAX ? open_file(u) : open_pipe(u, size);
        if (r < 0)
                return api_unavailable(r, error);
        request_on_gone(request, on_client_gone, u);
        r = request_receive(request, &(BodySink) { .write = on_data, .end = on_end, .userdata = u });
        if (r < 0) {
                request_on_gone(request, NULL, NULL);
                u->body.request = NULL;
                body_pipe_close(&u->body);
                return r;
        }
        return 1;
}

int api_file_put_raw(Request *request, sd_bus_error *error) {
        _cleanup_(raw_input_done) RawInput in = {};
        Manager *m = request_userdata(request);
        Sandbox *s;
        RawUpload *u;
        int r;

        r = api_get_sandbox(request, NEED_RUNNING, &s, error);
        if (r < 0)
                return r;
        r = read_input(request, &in, error);
        if (r < 0)
                return r;
        u = new0(RawUpload, 1);
        if (!u)
                return -ENOMEM;
        *u = (RawUpload) { .body = { .request = request, .fd = -EBADF, .limit = m->settings.upload_max }, .manager = m,
                        .sandbox = sandbox_ref(s), .mode = 0644, .keep_mode = !in.mode };
        u->path = TAKE_PTR(in.path);
        if (in.mode)
                r = file_parse_mode(in.mode, &u->mode, error);
        if (r >= 0)
                r = upload_begin(request, u, error);
        if (r < 0 && !u->asked)
                upload_free(u);
        return r;
}
