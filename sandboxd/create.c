/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/create.h"

#include <errno.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/log.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "sandboxd/removal.h"

/* One function a step, each started by the answer to the one before. The place under the limit is taken before
 * anything is asked (n_reserved) and handed on to the record as soon as there is an id, so that at no moment one
 * creation counts twice or not at all.
 *
 * A client that goes away does not end its creation: it may have sent the request over a connection that broke, and
 * the sandbox ends at its time anyway. */

typedef struct Creation {
        Manager *manager;
        CreateRequest request;
        char *name, *image;
        Sandbox *sandbox;       /* once it has an id */
        bool rooted;            /* fsd was asked: there may be a root */
        CreateCallback callback;
        void *userdata;
} Creation;

static Creation *creation_free(Creation *c) {
        if (c) {
                sandbox_unref(c->sandbox);
                free(c->name);
                free(c->image);
                json_decref(c->request.config);
                json_decref(c->request.metadata);
                json_decref(c->request.entrypoint);
                free(c);
        }
        return NULL;
}
DEFINE_CLEANUP(Creation *, creation_free)

static void give_up(Creation *c, const sd_bus_error *error) {
        Manager *m = c->manager;

        if (c->sandbox && !m->stopping) {
                /* Gives the id back, too; and execd may have finished what it could not tell. */
                (void) execd_call(m->execd, "Kill", c->sandbox->id, peer_ignore, NULL);
                if (c->rooted)
                        removal_drop_root(m, c->sandbox->id);
                else
                        (void) store_remove_sandbox(m->store, c->sandbox->id);
                manager_forget_sandbox(m, c->sandbox);
        } else if (!c->sandbox)
                m->n_reserved--;
        c->callback(NULL, error, c->userdata);
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

static void on_created(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        Creation *c = userdata;
        Manager *m = c->manager;
        int r;

        if (!reply) {
                /* The reservation went with the service that gave it: nothing that the client did wrong. */
                if (sd_bus_error_has_name(error, BUS_ERROR_WRONG_STATE) ||
                    sd_bus_error_has_name(error, BUS_ERROR_NO_SUCH_SANDBOX))
                        give_up_errno(c, -EHOSTDOWN);
                else
                        give_up(c, error);
                return;
        }
        r = store_begin(m->store); /* one commit for both: the client waits */
        if (r >= 0) {
                r = manager_set_state(m, c->sandbox, SANDBOX_RUNNING);
                if (r >= 0)
                        counters_add(&m->counters, COUNTER_CREATED);
                r = MIN(r, store_end(m->store));
        }
        if (r < 0) {
                give_up_errno(c, r);
                return;
        }
        removal_arm_timer(m);
        c->callback(c->sandbox, NULL, c->userdata);
        manager_unattend(m);
        creation_free(c);
}

/* A label that is too long for execd's record is left out: such a sandbox cannot be adopted without our database. */
static char *make_label(const Sandbox *s) {
        char *label = NULL;

        if (sandbox_to_record(s, &label) >= 0 && strlen(label) >= SANDBOX_LABEL_MAX)
                label = mfree(label);
        return label;
}

static int ask_create(Creation *c, sd_bus_message *prepared) {
        Manager *m = c->manager;
        _cleanup_(sandbox_spec_done) SandboxSpec spec = SANDBOX_SPEC_DEFAULT;
        const char *workdir = sandbox_get_workdir(c->sandbox);
        double cpu;

        sandbox_get_limits(c->sandbox, &spec.memory_max_bytes, &cpu);
        spec.cpu_quota_usec = (uint64_t) (cpu * (double) USEC_PER_SEC);
        spec.pids_max = m->settings.pids_max;
        spec.writable_bytes = m->settings.writable_bytes;
        spec.writable_inodes = m->settings.writable_inodes;
        spec.deadline_usec = c->sandbox->deadline_usec;
        spec.network = c->request.network;
        spec.label = make_label(c->sandbox);
        if (asprintf(&spec.hostname, "%.12s", c->sandbox->id) < 0)
                return -ENOMEM;
        spec.workdir = strdup(workdir ?: m->settings.workspace_dir);
        if (!spec.workdir)
                return -ENOMEM;

        return execd_create(m->execd, c->sandbox->id, prepared, &spec, on_created, c);
}

static void on_prepared(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        Creation *c = userdata;
        int r;

        if (!reply) {
                give_up(c, error);
                return;
        }
        r = ask_create(c, reply);
        if (r < 0)
                give_up_errno(c, r);
}

static int add_record(Creation *c, const char *id) {
        Manager *m = c->manager;
        int r;

        r = sandbox_new(&(SandboxInit) { .id = id, .name = c->name, .image = c->image,
                                         .config = TAKE_PTR(c->request.config),
                                         .metadata = TAKE_PTR(c->request.metadata),
                                         .entrypoint = TAKE_PTR(c->request.entrypoint),
                                         .created_msec = now_usec(CLOCK_REALTIME) / USEC_PER_MSEC,
                                         .timeout_sec = c->request.timeout_sec }, &c->sandbox);
        if (r < 0)
                return r;
        r = manager_add_sandbox(m, c->sandbox);
        if (r < 0) {
                c->sandbox = sandbox_unref(c->sandbox);
                return r;
        }
        m->n_reserved--; /* from here on the record is what counts */
        return manager_set_state(m, c->sandbox, SANDBOX_CREATING);
}

static int prepare_root(Creation *c) {
        const Settings *settings = &c->manager->settings;
        RootOptions options = { .bytes = settings->writable_bytes, .inodes = settings->writable_inodes };

        if (!streq_ptr(settings->writable, "auto"))
                options.writable = settings->writable;
        c->rooted = true;
        return fsd_prepare_root(c->manager->fsd, c->image, c->sandbox->id, &options, on_prepared, c);
}

static void on_reserved(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        Creation *c = userdata;
        const char *id;
        int r;

        if (!reply) {
                give_up(c, error);
                return;
        }
        r = sd_bus_message_read_basic(reply, 's', &id);
        if (r >= 0 && !sandbox_id_is_valid(id))
                r = -EBADMSG;
        if (r >= 0)
                r = add_record(c, id);
        if (r >= 0)
                r = prepare_root(c);
        if (r < 0)
                give_up_errno(c, r);
}

static int creation_new(Manager *m, const CreateRequest *request, Creation **ret) {
        _cleanup_(creation_freep) Creation *c = new0(Creation, 1);

        if (!c) {
                json_decref(request->config);
                json_decref(request->metadata);
                json_decref(request->entrypoint);
                return -ENOMEM;
        }
        c->manager = m;
        c->request = *request;
        if (request->name)
                c->name = strdup(request->name);
        c->image = strdup(request->image);
        if ((request->name && !c->name) || !c->image)
                return -ENOMEM;
        *ret = TAKE_PTR(c);
        return 0;
}

int create_start(Manager *m, const CreateRequest *request, CreateCallback callback, void *userdata,
                 sd_bus_error *error) {
        _cleanup_(creation_freep) Creation *c = NULL;
        int r;

        r = creation_new(m, request, &c);
        if (r < 0)
                return r;
        if (manager_count(m) >= m->settings.max_sandboxes)
                return bus_error_set(error, BUS_ERROR_LIMIT_REACHED, "Maximum sandbox limit reached: %u",
                                     m->settings.max_sandboxes);
        c->callback = callback;
        c->userdata = userdata;

        r = execd_reserve(m->execd, on_reserved, c);
        if (r == -EHOSTDOWN)
                return bus_error_set(error, BUS_ERROR_UNAVAILABLE, "A service is not available; please try again.");
        if (r < 0)
                return r;
        m->n_reserved++;
        manager_attend(m);
        TAKE_PTR(c);
        return 0;
}
