/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/create.h"

#include <errno.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/log.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "sandboxd/egress.h"
#include "sandboxd/exec-input.h"
#include "sandboxd/network.h"
#include "sandboxd/removal.h"
#include "sandboxd/sandbox-event.h"

/* One function a step, each started by the answer to the one before. The place under the limit is taken before
 * anything is asked (n_reserved) and handed on to the record as soon as there is an id, so that at no moment one
 * creation counts twice or not at all.
 *
 * A client that goes away does not end its creation: it may have sent the request over a connection that broke, and
 * the sandbox ends at its time anyway. */

typedef struct Creation {
        Manager *manager;
        CreateRequest request;
        char *name, *image, *base, *source, *snapshot;
        Sandbox *sandbox;       /* once it has an id */
        Counter origin;         /* what made it fast, or not */
        bool rooted;            /* fsd was asked: there may be a root */
        const sd_bus *lent;     /* over this connection, with the answer to an earlier creation, came the id */
        int error;              /* found while fsd works, for when it has answered */
        CreateCallback callback;
        void *userdata;
} Creation;

static Creation *creation_free(Creation *c) {
        if (c) {
                sandbox_unref(c->sandbox);
                free(c->name);
                free(c->image);
                free(c->base);
                free(c->source);
                free(c->snapshot);
                json_decref(c->request.env);
                json_decref(c->request.proxy);
                json_decref(c->request.config);
                json_decref(c->request.metadata);
                json_decref(c->request.entrypoint);
                json_decref(c->request.secrets);
                free(c);
        }
        return NULL;
}
DEFINE_CLEANUP(Creation *, creation_free)

/* Of what was done so far nothing stays. */
static void undo(Creation *c) {
        Manager *m = c->manager;

        if (c->sandbox && !m->stopping) {
                /* Gives the id back, too; and execd may have finished what it could not tell. */
                (void) execd_call(m->execd, "Kill", c->sandbox->id, peer_ignore, NULL);
                if (c->rooted)
                        removal_drop_root(m, c->sandbox->id);
                else if (!c->request.warm)
                        (void) store_remove_sandbox(m->store, c->sandbox->id);
                if (!c->request.warm)
                        manager_forget_sandbox(m, c->sandbox);
        } else if (!c->sandbox && !c->request.warm)
                m->n_reserved--;
}

static void give_up(Creation *c, const sd_bus_error *error) {
        Manager *m = c->manager;

        undo(c);
        c->callback(NULL, error, c->userdata);
        if (!c->request.warm && !m->stopping)
                event_publish(m, EVENT_ERROR, NULL, json_pack("{s:s, s:s, s:s}", "reason", "create-failed", "error",
                                                              error->message ? error->message : error->name,
                                                              "image", c->image));
        manager_unattend(m);
        creation_free(c);
}

static void give_up_errno(Creation *c, int r) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;

        if (r == -EHOSTDOWN)
                (void) bus_error_set(&error, BUS_ERROR_UNAVAILABLE, "A service is not available; please try again.");
        else if (r == -ENOSPC)
                (void) bus_error_set(&error, BUS_ERROR_NO_SPACE, "No space is left for the records.");
        else
                (void) sd_bus_error_set_errno(&error, r);
        give_up(c, &error);
}

/* The sandbox is there, so that a failure to write its record is not worth to lose it for: the record that it is being
 * created is there, too, or execd has the label, and the next start takes it over by either. So the reply does not wait for
 * the database. The callback may begin another creation: this one is over before. */
static void finish(Creation *c) {
        Manager *m = c->manager;

        c->sandbox->state = SANDBOX_RUNNING;
        manager_save_later(m, c->sandbox);
        counters_add_later(&m->counters, COUNTER_CREATED);
        counters_add_later(&m->counters, c->origin);
        removal_arm_timer(m);
        c->callback(c->sandbox, NULL, c->userdata);
        sandbox_event(m, EVENT_CREATED, c->sandbox);
        manager_unattend(m);
        creation_free(c);
}

static void finish_warm(Creation *c) {
        Manager *m = c->manager;

        c->sandbox->state = SANDBOX_RUNNING;
        c->callback(c->sandbox, NULL, c->userdata);
        manager_unattend(m);
        creation_free(c);
}

static void on_reserved(sd_bus_message *reply, const sd_bus_error *error, void *userdata);

/* With another sandbox, as if there had been no first one. */
static void start_over(Creation *c, const sd_bus_error *error) {
        Manager *m = c->manager;
        int r;

        log_sandbox(LOG_DEBUG, c->sandbox->id, "A sandbox made ahead is of no use, taking another one: %s", error->message);
        (void) execd_call(m->execd, "Kill", c->sandbox->id, peer_ignore, NULL);
        removal_drop_root(m, c->sandbox->id);
        if (!c->request.warm) {
                manager_forget_sandbox(m, c->sandbox);
                m->n_reserved++;
        }
        c->sandbox = sandbox_unref(c->sandbox);
        c->lent = NULL;
        c->rooted = false;
        c->error = 0;
        r = execd_reserve(m->execd, on_reserved, c);
        if (r < 0)
                give_up_errno(c, r);
}

static bool is_not_there(const sd_bus_error *error) {
        return sd_bus_error_has_name(error, BUS_ERROR_WRONG_STATE) ||
               sd_bus_error_has_name(error, BUS_ERROR_NO_SUCH_SANDBOX);
}

static void conclude(Creation *c) {
        if (c->request.warm)
                finish_warm(c);
        else
                finish(c);
}

static void on_attached(const sd_bus_error *error, void *userdata) {
        if (error)
                give_up(userdata, error);
        else
                conclude(userdata);
}

static void on_created(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        Creation *c = userdata;
        int r;

        if (!reply && c->lent && !c->manager->stopping && is_not_there(error)) {
                start_over(c, error); /* it ended while it waited for us */
                return;
        }
        if (!reply) {
                /* The reservation went with the service that gave it: nothing that the client did wrong. */
                if (is_not_there(error))
                        give_up_errno(c, -EHOSTDOWN);
                else
                        give_up(c, error);
                return;
        }
        execd_keep_next(c->manager->execd, reply);
        if (!c->request.network) {
                conclude(c);
                return;
        }
        r = network_attach(c->manager->networks, c->sandbox, on_attached, c);
        if (r < 0)
                give_up_errno(c, r);
}

/* A label that is too long for execd's record is left out: such a sandbox cannot be adopted without our database. */
static char *make_label(const Sandbox *s, bool warm) {
        char *label = NULL;

        if (warm)
                return strdup(WARM_LABEL);
        if (sandbox_to_label(s, &label) >= 0 && strlen(label) >= SANDBOX_LABEL_MAX)
                label = mfree(label);
        return label;
}

static int ask_create(Creation *c, sd_bus_message *prepared) {
        Manager *m = c->manager;
        _cleanup_(sandbox_spec_done) SandboxSpec spec = SANDBOX_SPEC_DEFAULT;
        SandboxLimits limits;
        int r;

        /* those of a clone's source may have been changed while it ran */
        sandbox_get_all_limits(c->sandbox, &limits);
        spec.memory_max_bytes = limits.memory_max_bytes;
        spec.cpu_quota_usec = limits.cpu_quota_usec;
        spec.pids_max = limits.pids_max ?: m->settings.pids_max;
        spec.io_read_bps = limits.io_read_bps;
        spec.io_write_bps = limits.io_write_bps;
        spec.writable_bytes = m->settings.writable_bytes;
        spec.writable_inodes = m->settings.writable_inodes;
        spec.deadline_usec = c->sandbox->deadline_usec;
        spec.network = c->request.network;
        spec.source_generation = c->request.generation;
        if (c->source && !(spec.source = strdup(c->source)))
                return -ENOMEM;
        spec.label = make_label(c->sandbox, c->request.warm);
        if (asprintf(&spec.hostname, "%.12s", c->sandbox->id) < 0)
                return -ENOMEM;
        r = exec_make_cwd(c->sandbox, &m->settings, /* cwd= */ NULL, &spec.workdir, NULL);
        if (r < 0)
                return r;
        return execd_create(m->execd, c->sandbox->id, prepared, &spec, on_created, c);
}

static void on_prepared(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        Creation *c = userdata;
        int r;

        if (!reply) {
                give_up(c, error);
                return;
        }
        if (c->lent && c->lent != execd_connection(c->manager->execd) && !c->manager->stopping) {
                start_over(c, &SD_BUS_ERROR_MAKE_CONST(BUS_ERROR_NO_SUCH_SANDBOX, "execd has left meanwhile"));
                return;
        }
        r = c->error < 0 ? c->error : ask_create(c, reply);
        if (r < 0)
                give_up_errno(c, r);
}

static int make_sandbox(Creation *c, const char *id) {
        return sandbox_new(&(SandboxInit) { .id = id, .name = c->name, .image = c->image,
                                            .worker = c->manager->settings.worker_name,
                                            .config = json_incref(c->request.config),
                                            .metadata = json_incref(c->request.metadata),
                                            .entrypoint = json_incref(c->request.entrypoint),
                                            .secrets = json_incref(c->request.secrets),
                                            .env = json_incref(c->request.env),
                                            .proxy = json_incref(c->request.proxy), .base = c->base,
                                            .created_msec = now_usec(CLOCK_REALTIME) / USEC_PER_MSEC,
                                            .timeout_sec = c->request.timeout_sec }, &c->sandbox);
}

static void tell_name(Creation *c) {
        if (c->request.on_named)
                c->request.on_named(c->sandbox->public_id, c->userdata);
}

static int add_sandbox(Creation *c, const char *id) {
        Manager *m = c->manager;
        int r;

        r = make_sandbox(c, id);
        if (r < 0 || c->request.warm)
                return r;
        r = manager_add_sandbox(m, c->sandbox);
        if (r < 0) {
                c->sandbox = sandbox_unref(c->sandbox);
                return r;
        }
        m->n_reserved--; /* from here on the sandbox is what counts */
        return 0;
}

/* So that whatever a crash of ours leaves is found by the next start. What else is to be known of it (the name that its
 * client asked for it by) is written with it, or not at all. */
static int write_record(Creation *c) {
        Manager *m = c->manager;
        bool together;
        int r, q;

        if (c->request.warm)
                return 0;
        together = c->request.on_named && store_begin(m->store) >= 0;
        tell_name(c);
        r = manager_set_state(m, c->sandbox, SANDBOX_CREATING);
        q = together ? store_end(m->store) : 0;
        return r < 0 ? r : q;
}

static int prepare_root(Creation *c) {
        const Settings *settings = &c->manager->settings;
        RootOptions options = { .bytes = settings->writable_bytes, .inodes = settings->writable_inodes,
                                .from = c->source, .snapshot = c->snapshot };

        if (!streq_ptr(settings->writable, "auto"))
                options.writable = settings->writable;
        c->rooted = true;
        return fsd_prepare_root(c->manager->fsd, c->base ?: c->image, c->sandbox->id, &options, on_prepared, c);
}

/* The next start compares all lists if it finds any record. So unless this one is the first, fsd can work while it is
 * being written. */
static int begin_root(Creation *c) {
        bool alone = hashmap_size(c->manager->sandboxes) <= 1;
        int r = 0;

        if (alone)
                r = write_record(c);
        if (r >= 0)
                r = prepare_root(c);
        if (r >= 0 && !alone)
                c->error = write_record(c);
        return r;
}

static void on_reserved(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        Creation *c = userdata;
        const char *id;
        int r, spare;

        if (!reply) {
                give_up(c, error);
                return;
        }
        r = sd_bus_message_read(reply, "sb", &id, &spare);
        if (r >= 0 && !sandbox_id_is_valid(id))
                r = -EBADMSG;
        if (r >= 0) {
                c->origin = spare ? COUNTER_BLANK : COUNTER_COLD;
                r = add_sandbox(c, id);
        }
        if (r >= 0)
                r = begin_root(c);
        if (r < 0)
                give_up_errno(c, r);
}

static void on_claimed(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        Creation *c = userdata;

        if (reply)
                finish(c);
        else if (c->manager->stopping)
                give_up(c, error);
        else
                start_over(c, error); /* it ended under our hands, or execd did not answer */
}

/* The id is that of the warm one, all else the client's. */
static int claim(Creation *c, const char *id) {
        _cleanup_free_ char *label = NULL;
        Manager *m = c->manager;
        int r;

        c->origin = COUNTER_WARM;
        r = make_sandbox(c, id);
        if (r < 0)
                return r;
        label = make_label(c->sandbox, /* warm= */ false);
        r = manager_add_sandbox(m, c->sandbox);
        if (r < 0)
                return r;
        tell_name(c); /* from now on its label brings it back, should we die */
        r = execd_claim(m->execd, id, c->sandbox->deadline_usec, label ?: "", on_claimed, c);
        if (r < 0)
                manager_forget_sandbox(m, c->sandbox);
        return r;
}

/* What fails here fails in the request that began it: nobody has been promised a callback. */
static int begin_lent(Creation *c, const char *id) {
        int r;

        c->lent = execd_connection(c->manager->execd);
        c->origin = COUNTER_BLANK;
        if (!c->request.warm)
                c->manager->n_reserved++;
        r = add_sandbox(c, id);
        if (r >= 0)
                r = begin_root(c);
        if (r < 0)
                undo(c);
        return r;
}

static int begin(Creation *c) {
        _cleanup_(sandbox_unrefp) Sandbox *taken = NULL;
        const json_t *config = c->request.config;
        const char *workdir = json_string_value(json_object_get(config, "workdir"));
        char next[SANDBOX_ID_LENGTH + 1];
        Manager *m = c->manager;
        int r;

        /* A warm one has its wire already, and no list. */
        if (!c->request.warm && !c->source && !c->snapshot && !egress_get_list(config))
                taken = warm_take(m->warm, &(WarmWish) {
                                .image = c->image, .workdir = workdir ?: m->settings.workspace_dir,
                                .memory_bytes = (uint64_t) json_integer_value(json_object_get(config, "memory")) * MiB,
                                .cpu = json_number_value(json_object_get(config, "cpu")),
                                .network = c->request.network });
        if (taken)
                return claim(c, taken->id);
        if (execd_take_next(m->execd, next))
                return begin_lent(c, next);
        r = execd_reserve(m->execd, on_reserved, c);
        if (r >= 0 && !c->request.warm)
                m->n_reserved++;
        return r;
}

static int creation_new(Manager *m, const CreateRequest *request, Creation **ret) {
        _cleanup_(creation_freep) Creation *c = new0(Creation, 1);

        if (!c) {
                json_decref(request->config);
                json_decref(request->metadata);
                json_decref(request->entrypoint);
                json_decref(request->secrets);
                json_decref(request->env);
                json_decref(request->proxy);
                return -ENOMEM;
        }
        c->manager = m;
        c->request = *request;
        if (request->name)
                c->name = strdup(request->name);
        c->image = strdup(request->image);
        if (request->base)
                c->base = strdup(request->base);
        if (request->source)
                c->source = strdup(request->source);
        if (request->snapshot)
                c->snapshot = strdup(request->snapshot);
        if ((request->name && !c->name) || !c->image || (request->base && !c->base) ||
            (request->source && !c->source) || (request->snapshot && !c->snapshot))
                return -ENOMEM;
        *ret = TAKE_PTR(c);
        return 0;
}

/* The pool is filled when nothing else is to be done, and makes room under the limit. */
static void note_client(Manager *m) {
        warm_note_busy(m->warm);
        if (manager_count(m) + warm_count(m->warm) > m->settings.max_sandboxes)
                warm_evict(m->warm);
        warm_start(m->warm);
}

int create_start(Manager *m, const CreateRequest *request, CreateCallback callback, void *userdata,
                 sd_bus_error *error) {
        _cleanup_(creation_freep) Creation *c = NULL;
        int r;

        r = creation_new(m, request, &c);
        if (r < 0)
                return r;
        if (!request->warm && manager_count(m) >= m->settings.max_sandboxes)
                return bus_error_set(error, BUS_ERROR_LIMIT_REACHED, "Maximum sandbox limit reached: %u",
                                     m->settings.max_sandboxes);
        if (request->network && !netd_is_there(m->netd))
                return bus_error_set(error, BUS_ERROR_INVALID, "network is not part of this installation (sandbox-netd)");
        c->callback = callback;
        c->userdata = userdata;

        r = begin(c);
        if (r == -EHOSTDOWN)
                return bus_error_set(error, BUS_ERROR_UNAVAILABLE, "A service is not available; please try again.");
        if (r < 0)
                return r;
        manager_attend(m);
        TAKE_PTR(c);
        if (!request->warm)
                note_client(m);
        return 0;
}
