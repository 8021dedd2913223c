/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/manager.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/log.h"
#include "libsandbox/string-util.h"
#include "sandboxd/alert.h"
#include "sandboxd/context.h"
#include "sandboxd/event-feed.h"
#include "sandboxd/exchange.h"
#include "sandboxd/flatten.h"
#include "sandboxd/network.h"
#include "sandboxd/port.h"
#include "sandboxd/reconcile.h"
#include "sandboxd/removal.h"
#include "sandboxd/snapshot-prune.h"
#include "sandboxd/trace.h"
#include "sandboxd/upload.h"
#include "sandboxd/volume.h"
#include "sandboxd/waker.h"
#include "sandboxd/webhook.h"
#include "sandboxd/worker.h"

/* Owns the maps and the order of birth and death: the store is opened before anything is asked of the services, and
 * closed after the last answer has been dealt with. A loss of memory is survivable at any point: what counts is in the
 * store, at execd and on the disk. */

/* Of commands that have ended, what is remembered of one sandbox: as many, and as much output. */
#define REMEMBERED_MAX 256U
#define REMEMBERED_BYTES_MAX (64 * MiB)

static void on_command(const CommandStatus *status, void *userdata) {
        Manager *m = userdata;
        Command *c = manager_find_command(m, status->command);

        /* One of an earlier process: the list of commands, which is still to come, tells the same, and then its pipes are
         * asked for. Without them its last output would be lost. */
        if (c && command_is_live(c) && !c->attended)
                return;
        if (c && streq(c->sandbox->id, status->sandbox))
                command_on_status(c, status);
        else
                reconcile_stranger(m, status);
}

static void on_gone(const char *id, const char *reason, void *userdata) {
        Manager *m = userdata;

        warm_on_gone(m->warm, id);
        removal_on_gone(m, id, reason);
}

static void on_commands(sd_bus_message *reply, void *userdata) {
        reconcile_commands(userdata, reply);
        reconcile_sandboxes(userdata);
}

static int open_spools(Manager *m, const char *state_directory) {
        _cleanup_free_ char *path = NULL;

        if (asprintf(&path, "%s/spool", state_directory) < 0)
                return log_oom();
        if (mkdir(path, 0700) < 0 && errno != EEXIST)
                return log_error_errno(errno, "Failed to make %s: %m", path);
        m->spool_fd = open(path, O_DIRECTORY | O_CLOEXEC);
        if (m->spool_fd < 0)
                return log_error_errno(errno, "Failed to open %s: %m", path);
        return 0;
}

static int load_sandbox(const StoredSandbox *row, void *userdata) {
        _cleanup_(sandbox_unrefp) Sandbox *s = NULL;
        int r;

        r = sandbox_from_record(row->id, row->state, row->created_msec, row->record, &s);
        return r < 0 ? r : manager_add_sandbox(userdata, s);
}

static int load_command(const StoredCommand *row, void *userdata) {
        _cleanup_(command_unrefp) Command *c = NULL;
        int r;

        r = command_from_record(userdata, row, &c);
        return r < 0 ? r : manager_add_command(userdata, c);
}

static void save_unsaved(Manager *m) {
        Sandbox *first = TAKE_PTR(m->unsaved);
        bool together = first && first->next_unsaved && store_begin(m->store) >= 0;

        for (Sandbox *s = first; s; s = s->next_unsaved)
                (void) manager_save_sandbox(m, s);
        if (together)
                (void) store_end(m->store);
        for (Sandbox *s = first, *next; s; s = next) {
                next = s->next_unsaved;
                s->unsaved = false;
                if (s->state == SANDBOX_STOPPED)
                        removal_drop_root(m, s->id);
                sandbox_unref(s);
                service_release(m->service);
        }
}

static int on_saver(sd_event_source *source, void *userdata) {
        (void) source;
        save_unsaved(userdata);
        return 0;
}

static int add_saver(Manager *m) {
        int r;

        r = sd_event_add_defer(m->event, &m->saver, on_saver, m);
        if (r >= 0)
                r = sd_event_source_set_enabled(m->saver, SD_EVENT_OFF);
        /* Replies that are ready go first. */
        return r < 0 ? r : sd_event_source_set_priority(m->saver, SD_EVENT_PRIORITY_NORMAL + 10);
}

static int load_state(Manager *m, const char *state_directory) {
        int r;

        r = open_spools(m, state_directory);
        if (r >= 0)
                r = store_open(state_directory, &m->fresh, &m->store);
        if (r >= 0)
                r = store_attach(m->store, m->event);
        if (r < 0)
                return r;
        r = event_hub_new(m->event, m->store, m->settings.events_max, m->settings.events_age_sec, &m->events);
        if (r >= 0)
                r = event_feed_new(m->events, m->store, &m->feed);
        if (r >= 0)
                r = trace_log_new(m->event, m->store, m->settings.traces_max, &m->traces);
        if (r >= 0)
                r = waker_new(m, &m->waker);
        if (r >= 0)
                r = add_saver(m);
        if (r >= 0)
                r = counters_load(&m->counters, m->event, m->store);
        if (r >= 0)
                r = store_foreach_sandbox(m->store, load_sandbox, m);
        if (r >= 0)
                r = store_foreach_command(m->store, load_command, m);
        if (r >= 0)
                r = idempotency_new(m->store, &m->idempotency);
        if (r >= 0)
                r = queue_new(m, &m->queue);
        if (r >= 0)
                r = alerts_new(m, &m->alerts);
        if (r >= 0)
                r = uploads_new(m, &m->uploads);
        if (r >= 0)
                r = volumes_new(m, &m->volumes);
        if (r >= 0)
                r = workers_new(m, &m->workers);
        if (r >= 0)
                r = contexts_new(m, &m->contexts);
        if (r >= 0)
                r = networks_new(m, &m->networks);
        if (r >= 0)
                r = webhooks_new(m, &m->webhooks);
        if (r >= 0)
                r = exchanges_new(m, &m->exchanges);
        if (r < 0)
                return log_error_errno(r, "Failed to read the records: %m");
        return 0;
}

static int connect_services(Manager *m, const ManagerOptions *options) {
        ExecdHandlers handlers = { .on_command = on_command, .on_gone = on_gone, .on_commands = on_commands,
                                   .userdata = m };
        int r;

        r = execd_client_new(m->event, options->execd_path, &handlers, &m->execd);
        if (r >= 0)
                r = fsd_client_new(m->event, options->fsd_path, &m->fsd);
        if (r >= 0)
                r = hook_client_new(m->event, options->hook_path, &m->hook);
        if (r >= 0)
                r = dns_client_new(m->event, options->dns_path, &m->dns);
        if (r >= 0)
                r = netd_client_new(m->event, options->netd_path, &m->netd);
        return r < 0 ? r : snapshot_prune_begin(m);
}

int manager_new(const ManagerOptions *options, Settings *settings, Manager **ret) {
        _cleanup_(manager_freep) Manager *m = NULL;
        int r;

        assert(options);
        assert(ret);

        m = new0(Manager, 1);
        if (!m) {
                settings_done(settings);
                return log_oom();
        }
        *m = (Manager) { .settings = *settings, .service = options->service,
                         .event = service_event(options->service), .spool_fd = -EBADF };
        *settings = (Settings) {};

        m->sandboxes = hashmap_new();
        m->commands = hashmap_new();
        if (!m->sandboxes || !m->commands)
                return log_oom();
        r = connect_services(m, options);
        if (r < 0)
                return log_error_errno(r, "Failed to set up the connections: %m");
        r = load_state(m, options->state_directory);
        if (r < 0)
                return r;
        r = warm_new(m, &m->warm);
        if (r < 0)
                return log_error_errno(r, "Failed to set up the pool: %m");
        *ret = TAKE_PTR(m);
        return 0;
}

void manager_stop(Manager *m) {
        if (m)
                m->stopping = true;
}

Manager *manager_free(Manager *m) {
        Command *c;
        Sandbox *s;

        if (!m)
                return NULL;
        m->stopping = true;
        if (m->store)
                save_unsaved(m);
        /* The clients first: the calls under way end now and must not find half a manager. */
        execd_client_free(m->execd);
        fsd_client_free(m->fsd);
        hook_client_free(m->hook);
        netd_client_free(m->netd);
        dns_client_free(m->dns);
        contexts_free(m->contexts);
        exchanges_free(m->exchanges);
        HASHMAP_FOREACH(c, m->commands)
                command_unref(c);
        m->alerts = alerts_free(m->alerts);
        uploads_free(m->uploads);
        volumes_free(m->volumes);
        m->webhooks = webhooks_free(m->webhooks);
        workers_free(m->workers);
        networks_free(m->networks);
        HASHMAP_FOREACH(s, m->sandboxes)
                sandbox_unref(s);
        warm_free(m->warm);
        queue_free(m->queue);
        idempotency_free(m->idempotency);
        hashmap_free(m->commands);
        hashmap_free(m->sandboxes);
        sd_event_source_disable_unref(m->expiry_timer);
        sd_event_source_disable_unref(m->prune_timer);
        flattener_free(m->flattener);
        free(m->openapi);
        sd_event_source_disable_unref(m->saver);
        safe_close(m->spool_fd);
        counters_done(&m->counters);
        event_feed_free(m->feed);
        trace_log_free(m->traces);
        event_hub_free(m->events);
        waker_free(m->waker);
        store_rest(m->store);
        store_close(m->store);
        settings_done(&m->settings);
        free(m);
        return NULL;
}

Sandbox *manager_find_sandbox(Manager *m, const char *public_id) {
        Sandbox *s = hashmap_get(m->sandboxes, public_id);

        if (!s || s->leaving)
                return NULL;
        if (s->state != SANDBOX_CREATING && sandbox_is_expired(s)) {
                (void) removal_start(m, s, COUNTER_EXPIRED, NULL, NULL);
                return NULL;
        }
        return s;
}

Sandbox *manager_get_sandbox(Manager *m, const char *id) {
        char public_id[SANDBOX_PUBLIC_ID_SIZE];
        Sandbox *s;

        if (!sandbox_id_is_valid(id))
                return NULL;
        snprintf(public_id, sizeof public_id, SANDBOX_ID_PREFIX "%.*s", (int) SANDBOX_ID_SHORT, id);
        s = hashmap_get(m->sandboxes, public_id);
        return s && streq(s->id, id) ? s : NULL;
}

/* While there is a sandbox its end may be told at any time, and who asks for its state shall know. That keeps execd, but
 * not us: the last request is what counts. */
void manager_update_attachment(Manager *m) {
        execd_client_set_attached(m->execd, m->n_attended > 0 || hashmap_size(m->sandboxes) > 0 ||
                                                    warm_count(m->warm) > 0);
}

int manager_add_sandbox(Manager *m, Sandbox *s) {
        int r = hashmap_put(m->sandboxes, s->public_id, s);

        if (r >= 0) {
                sandbox_ref(s);
                manager_update_attachment(m);
        }
        return r;
}

int manager_save_sandbox(Manager *m, const Sandbox *s) {
        _cleanup_free_ char *record = NULL;
        int r;

        r = sandbox_to_record(s, &record);
        if (r < 0)
                return r;
        return store_put_sandbox(m->store, &(StoredSandbox) { .id = s->id, .created_msec = s->created_msec,
                                                              .state = sandbox_state_to_string(s->state),
                                                              .record = record,
                                                              .ends = s->state >= SANDBOX_STOPPED });
}

/* The one place where a state changes, so that whoever waits for one is told. */
int manager_set_state(Manager *m, Sandbox *s, SandboxState state) {
        s->state = state;
        queue_look(m->queue); /* its jobs may wait for that */
        if (s->alerts)
                alerts_update(m->alerts);
        return manager_save_sandbox(m, s);
}

/* Behind the reply that is ready now. The reference and the hold are given back when it is written: neither the record
 * nor the daemon goes away before. */
void manager_save_later(Manager *m, Sandbox *s) {
        (void) sd_event_source_set_enabled(m->saver, SD_EVENT_ONESHOT);
        if (s->unsaved)
                return;
        s->unsaved = true;
        s->next_unsaved = m->unsaved;
        m->unsaved = sandbox_ref(s);
        service_hold(m->service);
}

void manager_forget_sandbox(Manager *m, Sandbox *s) {
        Command *c;

        s->leaving = true; /* for the calls that still hold it */
        contexts_forget(m->contexts, s);
        HASHMAP_FOREACH(c, m->commands)
                if (c->sandbox == s)
                        manager_drop_command(m, c);
        alerts_forget_sandbox(m->alerts, s);
        volumes_forget_sandbox(m->volumes, s);
        webhooks_forget_sandbox(m->webhooks, s);
        networks_forget_sandbox(m->networks, s);
        port_forget_sandbox(m->store, s->public_id);
        uploads_forget_sandbox(m->uploads, s);
        if (hashmap_remove(m->sandboxes, s->public_id)) {
                sandbox_unref(s);
                manager_update_attachment(m);
        }
}

/* What the limit is compared with: sandboxes, and creations that have taken a place but have no id yet. */
size_t manager_count(Manager *m) {
        return hashmap_size(m->sandboxes) + m->n_reserved;
}

void manager_attend(Manager *m) {
        service_hold(m->service);
        m->n_attended++;
        manager_update_attachment(m);
}

void manager_unattend(Manager *m) {
        assert(m->n_attended > 0);
        m->n_attended--;
        manager_update_attachment(m);
        service_release(m->service);
}

Command *manager_find_command(Manager *m, const char *id) {
        return hashmap_get(m->commands, id);
}

/* The oldest of a sandbox's ended commands make room. */
static void drop_old_commands(Manager *m, const Sandbox *s) {
        uint64_t n = 0, bytes = 0;
        Command *c;

        HASHMAP_FOREACH(c, m->commands)
                if (c->sandbox == s && !command_is_live(c)) {
                        n++;
                        bytes += c->outputs[0].spool ? spool_stored(c->outputs[0].spool) : 0;
                }
        HASHMAP_FOREACH(c, m->commands) {
                if (n < REMEMBERED_MAX && bytes < REMEMBERED_BYTES_MAX)
                        return;
                if (c->sandbox == s && !command_is_live(c)) {
                        n--;
                        bytes -= c->outputs[0].spool ? spool_stored(c->outputs[0].spool) : 0;
                        manager_drop_command(m, c);
                }
        }
}

int manager_add_command(Manager *m, Command *c) {
        int r;

        if (command_is_kept(c) && command_is_live(c))
                drop_old_commands(m, c->sandbox);
        r = hashmap_put(m->commands, c->id, c);
        if (r >= 0)
                command_ref(c);
        return r;
}

void manager_drop_command(Manager *m, Command *c) {
        if (command_is_kept(c)) {
                (void) store_remove_command(m->store, c->id);
                (void) unlinkat(m->spool_fd, c->id, 0);
        }
        if (hashmap_remove(m->commands, c->id))
                command_unref(c);
}
