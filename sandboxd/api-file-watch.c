/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "sandboxd/api.h"
#include "sandboxd/file-input.h"
#include "sandboxd/file-watch.h"
#include "sandboxd/files.h"
#include "sandboxd/http/sse.h"
#include "sandboxd/path-rule.h"

/* GET /files/watch: what happens below a directory, as events. The worker puts the watches, the inotify instance is
 * here: no other daemon has a part in the stream but when a directory was made, whose watch the worker puts. The first
 * frame says that the watches stand. */

#define FRAME_MAX (2 * (SANDBOX_PATH_MAX + 256) * 6 + 256)

typedef struct WatchStream {
        Request *request;
        Manager *manager;
        Sandbox *sandbox;
        FileWatch *watch;
        sd_event_source *readable;
        EventListener *listener;
        bool ready, asking, ended, closed;
} WatchStream;

typedef struct WatchInput {
        char *path;
        bool recursive;
} WatchInput;

static const JsonField watch_fields[] = {
        { "path",      JSON_FIELD_STRING, offsetof(WatchInput, path),      0, 0, 0, "a directory; default: the workspace" },
        { "recursive", JSON_FIELD_BOOL,   offsetof(WatchInput, recursive), 0, 0, 0, "and all below it" },
};
const JsonTable file_watch_table = JSON_TABLE(watch_fields);

/* A question for more watches may still be under way: its answer frees what is left. */
static void stream_free(void *userdata) {
        WatchStream *s = userdata;

        s->readable = sd_event_source_disable_unref(s->readable);
        s->listener = event_unlisten(s->listener);
        s->closed = true;
        if (s->asking)
                return;
        file_watch_free(s->watch);
        manager_unattend(s->manager);
        sandbox_unref(s->sandbox);
        free(s);
}

static size_t format_frame(const WatchEvent *e, char *frame) {
        _cleanup_(json_decrefp) json_t *object = NULL;
        size_t n;

        object = json_pack("{s:s, s:s, s:s*, s:b, s:I}", "type", e->type, "path", e->path, "from", e->from,
                           "isDirectory", e->directory, "timestamp",
                           (json_int_t) (now_usec(CLOCK_REALTIME) / USEC_PER_MSEC));
        memcpy(frame, "data: ", 6);
        n = object ? json_dumpb(object, frame + 6, FRAME_MAX - 8, JSON_COMPACT) : 0;
        if (n == 0 || n > FRAME_MAX - 8)
                return 0;
        memcpy(frame + 6 + n, "\n\n", 2);
        return n + 8;
}

static ssize_t frame_ready(WatchStream *s, char *frame) {
        s->ready = true;
        (void) sd_event_source_set_enabled(s->readable, SD_EVENT_ONESHOT);
        return (ssize_t) format_frame(&(WatchEvent) { .type = "ready", .path = (char *) "", .directory = true }, frame);
}

static ssize_t frame_end(WatchStream *s, char *frame) {
        s->ended = true;
        return (ssize_t) format_frame(&(WatchEvent) { .type = "end", .path = (char *) "", .directory = true }, frame);
}

static void ask_for_more(WatchStream *s);

static ssize_t stream_next(void *userdata, char *frame) {
        WatchStream *s = userdata;
        WatchEvent e = {};
        ssize_t n;
        int r;

        if (s->ended)
                return -ENODATA;
        if (!s->ready)
                return frame_ready(s, frame);
        r = file_watch_next(s->watch, s->asking, &e);
        ask_for_more(s);
        if (r == -ENODATA || (r == 0 && (s->sandbox->leaving || !sandbox_is_live(s->sandbox))))
                return frame_end(s, frame);
        if (r <= 0) {
                /* An answer that is to come wakes us, too, and what is readable may have to wait for it. */
                if (!s->asking)
                        (void) sd_event_source_set_enabled(s->readable, SD_EVENT_ONESHOT);
                return r;
        }
        n = (ssize_t) format_frame(&e, frame);
        watch_event_done(&e);
        return n;
}

static int on_readable(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        WatchStream *s = userdata;

        (void) source;
        (void) fd;
        (void) events;
        request_stream_wake(s->request);
        return 0;
}

static void on_event(const Event *event, void *userdata) {
        WatchStream *s = userdata;

        if (streq(event->sandbox, s->sandbox->public_id))
                request_stream_wake(s->request);
}

/* Of Watch() behind the descriptor, and of WatchMore(). */
static int add_watches(FileWatch *w, sd_bus_message *reply, bool found) {
        const char *path;
        bool first = true;
        int r, wd;

        r = sd_bus_message_enter_container(reply, 'a', "(is)");
        while (r >= 0 && (r = sd_bus_message_read(reply, "(is)", &wd, &path)) > 0) {
                /* the directory that was asked for is told already */
                r = file_watch_add(w, wd, path, found && !first);
                first = false;
        }
        return r;
}

static void on_more(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        WatchStream *s = userdata;

        s->asking = false;
        if (s->closed) {
                stream_free(s);
                return;
        }
        /* One that is gone again has nothing to be watched. */
        if (reply ? add_watches(s->watch, reply, /* found= */ true) < 0
                  : !sd_bus_error_has_name(error, BUS_ERROR_NO_SUCH_FILE))
                file_watch_lost(s->watch);
        request_stream_wake(s->request);
}

static int send_more(WatchStream *s, const char *path) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = fsd_files_message(s->manager->fsd, s->sandbox->id, "WatchMore", &m);
        if (r >= 0)
                r = sd_bus_message_append(m, "hs", file_watch_fd(s->watch), path);
        return r < 0 ? r : fsd_send(s->manager->fsd, m, PEER_REPEATABLE, on_more, s);
}

static void ask_for_more(WatchStream *s) {
        _cleanup_free_ char *path = s->asking ? NULL : file_watch_take_wanted(s->watch);

        if (!path)
                return;
        s->asking = send_more(s, path) >= 0;
        if (!s->asking)
                file_watch_lost(s->watch);
}

static int stream_new(ApiCall *call, int fd, sd_bus_message *reply, WatchStream **ret) {
        const WatchInput *input = call->data;
        WatchStream *s = new0(WatchStream, 1);
        int r;

        if (!s)
                return -ENOMEM;
        *s = (WatchStream) { .request = call->request, .manager = call->manager,
                             .sandbox = sandbox_ref(call->sandbox) };
        manager_attend(s->manager); /* for the end of the sandbox */
        fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        r = fd < 0 ? -errno : file_watch_new(fd, input->path, input->recursive, &s->watch);
        if (r >= 0)
                r = add_watches(s->watch, reply, /* found= */ false);
        if (r >= 0)
                r = event_listen(s->manager->events, on_event, s, &s->listener);
        if (r >= 0)
                r = sd_event_add_io(s->manager->event, &s->readable, fd, EPOLLIN, on_readable, s);
        if (r >= 0)
                r = sd_event_source_set_enabled(s->readable, SD_EVENT_OFF);
        if (r < 0) {
                stream_free(s);
                return r;
        }
        *ret = s;
        return 0;
}

static int answer_watch(ApiCall *call, sd_bus_message *reply, sd_bus_error *error) {
        WatchStream *s;
        int r, fd;

        (void) error;
        r = sd_bus_message_read_basic(reply, 'h', &fd);
        if (r >= 0)
                r = stream_new(call, fd, reply, &s);
        if (r < 0)
                return r;
        (void) request_add_header(call->request, "Cache-Control", "no-cache");
        return request_reply_events(call->request, s->manager->event, &(SseSource) {
                        .next = stream_next, .free = stream_free, .userdata = s, .frame_max = FRAME_MAX });
}

static void input_free(void *data) {
        free(((WatchInput *) data)->path);
        free(data);
}

static int send_watch(Request *request, void *userdata, sd_bus_error *error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        _cleanup_(api_call_freep) ApiCall *call = NULL;
        const Manager *manager = request_userdata(request);
        const WatchInput *input = userdata;
        WatchInput *wanted;
        int r;

        r = file_call_new(request, "Watch", &call, &m, error);
        if (r < 0)
                return r;
        wanted = new0(WatchInput, 1);
        if (!wanted)
                return -ENOMEM;
        wanted->recursive = input->recursive;
        call->data = wanted;
        call->free_data = input_free;
        r = path_anywhere(manager->settings.workspace_dir, input->path ?: ".", &wanted->path, error);
        if (r < 0)
                return r;
        call->answer = answer_watch;
        r = sd_bus_message_append(m, "sb", wanted->path, (int) wanted->recursive);
        return file_call_send(&call, m, r, PEER_REPEATABLE, error);
}

int api_file_watch(Request *request, sd_bus_error *error) {
        static const ApiInput route = { watch_fields, ELEMENTSOF(watch_fields), send_watch };

        return api_with_input(request, &route, &(WatchInput) {}, error);
}
