/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libsandbox/hashmap.h"
#include "libsandbox/service.h"
#include "libsandbox/settings.h"
#include "sandboxd/command.h"
#include "sandboxd/counters.h"
#include "sandboxd/dns-client.h"
#include "sandboxd/event.h"
#include "sandboxd/execd-client.h"
#include "sandboxd/fsd-client.h"
#include "sandboxd/hook-client.h"
#include "sandboxd/idempotency.h"
#include "sandboxd/netd-client.h"
#include "sandboxd/queue.h"
#include "sandboxd/sandbox.h"
#include "sandboxd/store.h"
#include "sandboxd/warm.h"

/* The one owner of all state. */
struct Manager {
        Settings settings;
        Service *service;
        sd_event *event;
        Store *store;
        Counters counters;
        EventHub *events;
        struct EventFeed *feed;
        struct LogWatch *log_watches;
        struct TraceLog *traces;
        struct Contexts *contexts;
        struct Exchanges *exchanges;    /* with servers in sandboxes */
        struct Waker *waker;
        struct Alerts *alerts;
        struct Uploads *uploads;
        struct Volumes *volumes;
        struct Workers *workers;
        struct Networks *networks;
        struct Webhooks *webhooks;
        char *openapi;                  /* the document, once somebody has asked for it */
        Queue *queue;
        Idempotency *idempotency;
        int spool_fd;
        ExecdClient *execd;
        FsdClient *fsd;
        NetdClient *netd;
        DnsClient *dns;
        HookClient *hook;
        Warm *warm;             /* NULL: no pool */

        Hashmap *sandboxes;     /* by public id; each holds a reference */
        Hashmap *commands;      /* by id; each holds a reference */
        unsigned n_reserved;    /* creations that have no record yet: they count against the limit */
        unsigned n_attended;    /* what needs execd's signals: live commands, creations */
        sd_event_source *expiry_timer;
        sd_event_source *saver;
        sd_event_source *prune_timer;
        struct Flattener *flattener;            /* NULL: there was nothing yet */
        Sandbox *unsaved;       /* each with a reference */
        bool stopping;          /* nothing is ended or forgotten any more: the next start goes on */
        bool fresh;             /* the database was made now: execd may know more than it */
};

typedef struct ManagerOptions {
        Service *service;
        const char *state_directory;            /* /var/lib/sandboxd */
        const char *execd_path, *fsd_path, *hook_path;
        const char *netd_path, *dns_path;       /* NULL: there is none */
} ManagerOptions;

/* Before the HTTP server is freed: requests that end with us do not take their commands along. */
void manager_stop(Manager *m);
/* Takes the settings over, also on failure. */
int manager_new(const ManagerOptions *options, Settings *settings, Manager **ret);
Manager *manager_free(Manager *m);
DEFINE_CLEANUP(Manager *, manager_free)

/* NULL when there is none, when it is being deleted and when its time is over. */
Sandbox *manager_find_sandbox(Manager *m, const char *public_id);
/* By the id that execd uses; whatever its state. */
Sandbox *manager_get_sandbox(Manager *m, const char *id);
/* Puts it into the map, which gets a reference of its own. */
int manager_add_sandbox(Manager *m, Sandbox *s);
/* Failing to write is logged here; what runs goes on. */
int manager_save_sandbox(Manager *m, const Sandbox *s);
int manager_set_state(Manager *m, Sandbox *s, SandboxState state);
/* The same when the replies that are ready are with the kernel. One that is stopped by then is over: its files go, too. */
void manager_save_later(Manager *m, Sandbox *s);
/* Drops the commands and the map's reference. The record goes with its root: removal_drop_root(). */
void manager_forget_sandbox(Manager *m, Sandbox *s);
/* Sandboxes that count against the limit. */
size_t manager_count(Manager *m);

/* Somebody needs the signals of execd, and so us. */
void manager_attend(Manager *m);
void manager_unattend(Manager *m);
/* After a change of what there is. */
void manager_update_attachment(Manager *m);

Command *manager_find_command(Manager *m, const char *id);
int manager_add_command(Manager *m, Command *c);
void manager_drop_command(Manager *m, Command *c);
