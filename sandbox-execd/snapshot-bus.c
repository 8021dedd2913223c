/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-execd/snapshot-bus.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/fd-util.h"
#include "libsandbox/log.h"
#include "libsandbox/time-util.h"
#include "sandbox-execd/cgroup.h"
#include "sandbox-execd/command.h"
#include "sandbox-execd/copy.h"
#include "sandbox-execd/manager-bus.h"
#include "sandbox-execd/relayer.h"
#include "sandbox-execd/root.h"

/* What relayer.h and copy.h do, as methods. */

#define END_POLL_USEC USEC_PER_MSEC
#define END_TIMEOUT_USEC (10 * USEC_PER_SEC)

#define WORKERS_TIMEOUT_USEC (100 * USEC_PER_MSEC)

typedef struct FreezeWait {
        sd_bus_message *call;
        uint64_t until_usec;
        sd_event_source *timer;
} FreezeWait;

/* A root that waits for the end of all that runs. */
typedef struct Replace {
        Sandbox *sandbox;
        CreateRequest *layers;
        uint64_t until_usec;
        sd_event_source *timer;
} Replace;

static int relayer_error(sd_bus_error *error, int r, const char *what) {
        log_debug_errno(r, "Failed to %s: %m", what);
        switch (r) {
        case -EBUSY:
                return bus_error_set(error, BUS_ERROR_WRONG_STATE, "Something runs in the sandbox.");
        case -E2BIG:
        case -EOPNOTSUPP:
        case -ESTALE:
                return bus_error_set(error, BUS_ERROR_WRONG_STATE, "What the sandbox wrote cannot be shared.");
        default:
                return method_error(error, r, what);
        }
}

static void freeze_wait_free(Sandbox *s) {
        FreezeWait *w = TAKE_PTR(s->freeze_wait);

        if (w) {
                sd_event_source_disable_unref(w->timer);
                sd_bus_message_unref(w->call);
                service_release(s->manager->service);
                free(w);
        }
}

static const char *const freeze_results[] = {
        [FREEZE_DONE] = "done",
        [FREEZE_ON_DISK] = "disk",
        [FREEZE_UNTOUCHED] = "untouched",
};

static int freeze(Sandbox *s, FreezeAnswer *ret) {
        return s->copy || s->replace ? -EBUSY : relayer_freeze(s, ret);
}

static int reply_frozen(sd_bus_message *call, const FreezeAnswer *a) {
        return sd_bus_reply_method_return(call, "usuu", a->generation, freeze_results[a->result], a->n_written,
                                          a->n_frozen);
}

static int on_freeze_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        _cleanup_(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;
        Sandbox *s = userdata;
        FreezeAnswer answer;
        int r;

        r = freeze(s, &answer);
        if (r == -EBUSY && sandbox_has_no_command(s) && usec < s->freeze_wait->until_usec) {
                (void) sd_event_source_set_time_relative(source, END_POLL_USEC);
                return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
        }
        if (r >= 0)
                (void) reply_frozen(s->freeze_wait->call, &answer);
        else {
                relayer_error(&e, r, "share what the sandbox wrote");
                (void) sd_bus_reply_method_error(s->freeze_wait->call, &e);
        }
        freeze_wait_free(s);
        return 0;
}

/* File workers that sandbox-fsd has let go need a moment to end. */
static int freeze_later(Sandbox *s, sd_bus_message *call) {
        FreezeWait *w = new0(FreezeWait, 1);
        int r;

        if (!w)
                return -ENOMEM;
        *w = (FreezeWait) { .call = sd_bus_message_ref(call),
                            .until_usec = now_usec(CLOCK_MONOTONIC) + WORKERS_TIMEOUT_USEC };
        service_hold(s->manager->service);
        s->freeze_wait = w;
        r = sd_event_add_time_relative(service_event(s->manager->service), &w->timer, CLOCK_MONOTONIC, END_POLL_USEC,
                                       1, on_freeze_timer, s);
        if (r < 0)
                freeze_wait_free(s);
        return r < 0 ? r : 1;
}

int method_freeze(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        FreezeAnswer answer;
        Sandbox *s;
        int r;

        r = method_sandbox(message, userdata, NEEDS_LIVE, &s, error);
        if (r < 0)
                return r;
        r = freeze(s, &answer);
        if (r == -EBUSY && !s->copy && !s->replace && !s->freeze_wait && sandbox_has_no_command(s))
                return freeze_later(s, message);
        if (r < 0)
                return relayer_error(error, r, "share what the sandbox wrote");
        return reply_frozen(message, &answer);
}

static int read_copy(sd_bus_message *message, void *userdata, Sandbox **ret, CopyOptions *options,
                     sd_bus_error *error) {
        int r;

        r = method_sandbox(message, userdata, NEEDS_LIVE, ret, error);
        if (r >= 0)
                r = sd_bus_message_read(message, "ht", &options->directory_fd, &options->bytes_max);
        if (r >= 0 && !method_peer_is_root(message, userdata))
                r = method_tree_error(error, trees_check_store(&(*ret)->manager->trees, options->directory_fd));
        return r;
}

int method_flatten(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        CopyOptions options = { .flatten = true };
        Sandbox *s;
        int r;

        r = read_copy(message, userdata, &s, &options, error);
        if (r < 0)
                return r;
        r = copy_start(s, &options, message);
        return r < 0 ? relayer_error(error, r, "merge what the sandbox began with") : 1;
}

int method_copy(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        CopyOptions options = {};
        Sandbox *s;
        int r;

        r = read_copy(message, userdata, &s, &options, error);
        if (r < 0)
                return r;
        if (s->copy || s->replace)
                return bus_error_set(error, BUS_ERROR_WRONG_STATE, "Sandbox '%s' is being copied or restored already.",
                                     s->record.id.digits);
        r = copy_start(s, &options, message);
        return r < 0 ? method_error(error, r, "copy the files") : 1;
}

static void replace_free(Sandbox *s) {
        Replace *x = TAKE_PTR(s->replace);

        if (x) {
                sd_event_source_disable_unref(x->timer);
                create_request_free(x->layers);
                service_release(s->manager->service);
                free(x);
        }
}

void replace_root_done(Sandbox *s) {
        if (s->freeze_wait)
                (void) sd_bus_reply_method_errorf(s->freeze_wait->call, BUS_ERROR_NO_SUCH_SANDBOX,
                                                  "Sandbox '%s' has ended.", s->record.id.digits);
        freeze_wait_free(s);
        if (!s->replace)
                return;
        (void) sd_bus_reply_method_errorf(s->replace->layers->call, BUS_ERROR_NO_SUCH_SANDBOX,
                                          "Sandbox '%s' has ended.", s->record.id.digits);
        replace_free(s);
}

/* One after the other, not all by one write: what is started in a cgroup that was killed once is ended at once, and a
 * command knows that of its own. */
static void end_all(Sandbox *s) {
        _cleanup_close_ int files = cgroup_open(s->cgroup_fd, CGROUP_NAME_FILES);
        Command *c;

        HASHMAP_FOREACH(c, s->commands)
                (void) command_signal_all(c, SIGKILL);
        if (files >= 0 && cgroup_is_populated(files) > 0)
                (void) cgroup_kill(files);
        else
                (void) unlinkat(s->cgroup_fd, CGROUP_NAME_FILES, AT_REMOVEDIR);
        (void) write_text_at(s->cgroup_fd, CGROUP_NAME_RUN "/cgroup.freeze", "0");
        s->paused = false;
}

static void replace_reply(Sandbox *s, int error) {
        _cleanup_(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;
        sd_bus_message *call = s->replace->layers->call;

        if (error >= 0)
                (void) sd_bus_reply_method_return(call, NULL);
        else {
                log_sandbox_errno(LOG_WARNING, error, s->record.id.digits, "Failed to restore the sandbox: %m");
                relayer_error(&e, error, "replace the root");
                (void) sd_bus_reply_method_error(call, &e);
        }
        replace_free(s);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Sandbox *s = userdata;
        int r = -EBUSY;

        if (sandbox_is_idle(s)) {
                (void) unlinkat(s->cgroup_fd, CGROUP_NAME_FILES, AT_REMOVEDIR);
                r = relayer_replace(s, s->replace->layers->layers, s->replace->layers->n_layers);
        } else if (usec < s->replace->until_usec) {
                end_all(s);
                (void) sd_event_source_set_time_relative(source, END_POLL_USEC);
                return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
        }
        replace_reply(s, r);
        return 0;
}

static int replace_start(Sandbox *s, CreateRequest *layers) {
        Replace *x = new0(Replace, 1);
        int r;

        if (!x) {
                create_request_free(layers);
                return -ENOMEM;
        }
        *x = (Replace) { .sandbox = s, .layers = layers,
                         .until_usec = now_usec(CLOCK_MONOTONIC) + END_TIMEOUT_USEC };
        service_hold(s->manager->service);
        s->replace = x;
        r = sd_event_add_time_relative(service_event(s->manager->service), &x->timer, CLOCK_MONOTONIC, 0, 1, on_timer,
                                       s);
        if (r < 0)
                replace_free(s);
        else
                end_all(s);
        return r;
}

static int read_root(sd_bus_message *message, void *userdata, Sandbox **ret_sandbox, CreateRequest **ret,
                     sd_bus_error *error) {
        _cleanup_(create_request_freep) CreateRequest *q = NULL;
        Sandbox *s;
        int r;

        r = method_sandbox(message, userdata, NEEDS_LIVE, &s, error);
        if (r < 0)
                return r;
        if (s->copy || s->replace)
                return bus_error_set(error, BUS_ERROR_WRONG_STATE, "Sandbox '%s' is being copied or restored already.",
                                     s->record.id.digits);
        q = new0(CreateRequest, 1);
        if (!q)
                return -ENOMEM;
        q->spec = SANDBOX_SPEC_DEFAULT;
        r = create_request_read_layers(message, userdata, q, error);
        if (r >= 0)
                r = root_check(q, error);
        if (r < 0)
                return r;
        *ret_sandbox = s;
        *ret = TAKE_PTR(q);
        return 0;
}

int method_replace_root(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        CreateRequest *q;
        Sandbox *s;
        int r;

        r = read_root(message, userdata, &s, &q, error);
        if (r < 0)
                return r;
        q->call = sd_bus_message_ref(message);
        r = replace_start(s, q);
        return r < 0 ? method_error(error, r, "replace the root") : 1;
}

int method_share_root(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        _cleanup_(create_request_freep) CreateRequest *q = NULL;
        Sandbox *s;
        int r;

        r = read_root(message, userdata, &s, &q, error);
        if (r < 0)
                return r;
        r = relayer_share(s, q->layers, q->n_layers);
        return r < 0 ? relayer_error(error, r, "share what the sandbox wrote")
                     : sd_bus_reply_method_return(message, "b", r > 0);
}
