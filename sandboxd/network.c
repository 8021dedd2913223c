/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/network.h"

#include <errno.h>
#include <stdio.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/log.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "sandboxd/egress.h"
#include "sandboxd/hosts.h"
#include "sandboxd/network-record.h"
#include "sandboxd/wire.h"

/* While anything is under way the number "wires" in the store is 1: the next process, should we be killed, compares what
 * is with what should be. Else nobody looks, and sandbox-netd need not be started just because we are. */

struct Networks {
        Manager *manager;
        Hashmap *by_id;
        unsigned n_changes;
        bool unclean;           /* something failed that has to be looked at again */
};

/* Something under way: of one sandbox, or of a whole network. */
typedef struct Change {
        Networks *networks;
        Network *network;
        Sandbox *sandbox;
        unsigned pending;
        sd_bus_error error;
        NetworkCallback callback;
        void *userdata;
} Change;

static void nobody_waits(void *userdata) {
        (void) userdata;
}

static void ignore(const sd_bus_error *error, void *userdata) {
        (void) userdata;
        if (error)
                log_warning("A sandbox could not be connected: %s", error->message);
}

static Change *change_begin(Networks *n, Network *network, Sandbox *s, NetworkCallback callback, void *userdata) {
        Change *c = new0(Change, 1);

        if (!c)
                return NULL;
        *c = (Change) { .networks = n, .network = network_ref(network), .sandbox = sandbox_ref(s),
                        .callback = callback, .userdata = userdata };
        service_hold(n->manager->service);
        if (n->n_changes++ == 0)
                (void) store_set_number(n->manager->store, "wires", 1);
        return c;
}

static void change_free(Change *c) {
        Networks *n = c->networks;

        if (--n->n_changes == 0 && !n->unclean && !n->manager->stopping)
                (void) store_set_number(n->manager->store, "wires", 0);
        service_release(n->manager->service);
        sd_bus_error_free(&c->error);
        network_unref(c->network);
        sandbox_unref(c->sandbox);
        free(c);
}

static void change_end(Change *c, const sd_bus_error *error) {
        c->callback(error, c->userdata);
        change_free(c);
}

/* By the id that clients know, whatever its state. */
static Sandbox *find_member(Networks *n, const NetworkMember *member) {
        return hashmap_get(n->manager->sandboxes, member->sandbox);
}

static int save(Networks *n, const Network *network) {
        return network_save(n->manager->store, network);
}

static void drop_member(Networks *n, Network *network, Sandbox *s) {
        if (!network_drop_member(network, s->public_id))
                return;
        s->n_networks--;
        if (!network->removed && save(n, network) < 0)
                n->unclean = true;
}

/* Names follow addresses: each file that is to change holds the change up. */

static void on_hosts(void *userdata) {
        Change *c = userdata;

        if (--c->pending == 0)
                change_end(c, NULL);
}

static void tell_one(Change *c, Sandbox *s) {
        if (!sandbox_is_live(s) || s->leaving)
                return;
        c->pending++;
        if (hosts_update(c->networks->manager, s, on_hosts, c) < 0)
                c->pending--;
}

static void tell_names(Change *c) {
        c->pending = 1;
        for (size_t i = 0; i < c->network->n_members; i++) {
                Sandbox *s = find_member(c->networks, c->network->members + i);

                if (s && s != c->sandbox)
                        tell_one(c, s);
        }
        if (c->sandbox)
                tell_one(c, c->sandbox);
        on_hosts(c);
}

static void on_joined(const char *address, const sd_bus_error *error, void *userdata) {
        _cleanup_(sd_bus_error_free) sd_bus_error gone = SD_BUS_ERROR_NULL;
        Change *c = userdata;
        Networks *n = c->networks;
        NetworkMember *member = network_get_member(c->network, c->sandbox->public_id);

        if (n->manager->stopping) {
                change_end(c, error); /* the next process finds a member without a wire */
                return;
        }
        if (!error && (!member || c->network->leaving)) {
                (void) netd_leave(n->manager->netd, c->sandbox->id, c->network->number, peer_ignore, NULL);
                (void) bus_error_set(&gone, BUS_ERROR_NO_SUCH_OBJECT, "The network or the sandbox has been removed.");
                error = &gone;
        }
        if (error) {
                drop_member(n, c->network, c->sandbox);
                change_end(c, error);
                return;
        }
        snprintf(member->address, sizeof member->address, "%s", address);
        if (save(n, c->network) < 0)
                n->unclean = true;
        tell_names(c);
}

static int join(Networks *n, Network *network, Sandbox *s, NetworkCallback callback, void *userdata) {
        const NetworkMember *member = network_get_member(network, s->public_id);
        Change *c = change_begin(n, network, s, callback, userdata);
        int r;

        if (!c)
                return -ENOMEM;
        r = wire_join(n->manager, s, network->number, member->number, on_joined, c);
        if (r < 0)
                change_free(c);
        return r;
}

int network_connect(Network *network, Sandbox *s, NetworkCallback callback, void *userdata) {
        Networks *n = network->networks;
        int r;

        r = network_add_member(network, s->public_id);
        if (r < 0)
                return r;
        s->n_networks++;
        r = save(n, network);
        if (r >= 0)
                r = join(n, network, s, callback, userdata);
        if (r < 0)
                drop_member(n, network, s);
        return r;
}

static void on_left(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        Change *c = userdata;

        if (!reply) {
                change_end(c, error);
                return;
        }
        drop_member(c->networks, c->network, c->sandbox);
        tell_names(c);
}

int network_disconnect(Network *network, Sandbox *s, NetworkCallback callback, void *userdata) {
        Networks *n = network->networks;
        Change *c;
        int r;

        if (!network_get_member(network, s->public_id))
                return -ENOENT;
        c = change_begin(n, network, s, callback, userdata);
        if (!c)
                return -ENOMEM;
        r = netd_leave(n->manager->netd, s->id, network->number, on_left, c);
        if (r < 0)
                change_free(c);
        return r;
}

static void forget(Networks *n, Network *network) {
        network->removed = true;
        (void) store_remove_object(n->manager->store, NETWORK_KIND, network->id);
        if (hashmap_remove(n->by_id, network->id))
                network_unref(network);
}

/* The members are told that they have none any more. */
static void all_cut(Change *c) {
        Network *network = c->network;

        forget(c->networks, network);
        for (size_t i = 0; i < network->n_members; i++) {
                Sandbox *s = find_member(c->networks, network->members + i);

                if (s)
                        s->n_networks--;
        }
        tell_names(c);
}

static void on_cut(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        Change *c = userdata;

        (void) reply;
        if (error)
                (void) sd_bus_error_copy(&c->error, error);
        if (--c->pending > 0)
                return;
        if (!sd_bus_error_is_set(&c->error)) {
                all_cut(c);
                return;
        }
        c->network->leaving = false;
        c->networks->unclean = true;
        change_end(c, &c->error);
}

int network_remove(Network *network, NetworkCallback callback, void *userdata) {
        Networks *n = network->networks;
        Change *c;

        c = change_begin(n, network, NULL, callback, userdata);
        if (!c)
                return -ENOMEM;
        network->leaving = true;
        c->pending = 1;
        for (size_t i = 0; i < network->n_members; i++) {
                const Sandbox *s = find_member(n, network->members + i);

                if (!s)
                        continue;
                c->pending++;
                if (netd_leave(n->manager->netd, s->id, network->number, on_cut, c) < 0)
                        on_cut(NULL, &SD_BUS_ERROR_MAKE_CONST(BUS_ERROR_UNAVAILABLE, "sandbox-netd is not available."),
                               c);
        }
        on_cut(NULL, NULL, c);
        return 0;
}

/* What the sandbox may reach stands in its config. */

static void on_applied(const sd_bus_error *error, void *userdata) {
        Change *c = userdata;

        c->sandbox->n_restricting--;
        if (error && !c->networks->manager->stopping)
                c->networks->unclean = true;
        change_end(c, error);
}

static void apply_list(Change *c, const json_t *list) {
        Networks *n = c->networks;

        c->sandbox->n_restricting++;
        if (egress_apply(n->manager, c->sandbox, list, on_applied, c) < 0)
                on_applied(&SD_BUS_ERROR_MAKE_CONST(BUS_ERROR_UNAVAILABLE, "sandbox-netd is not available."), c);
}

static void on_attached(const char *address, const sd_bus_error *error, void *userdata) {
        Change *c = userdata;
        const json_t *list = egress_get_list(c->sandbox->config);

        (void) address;
        if (error || !list || c->networks->manager->stopping)
                change_end(c, error);
        else
                apply_list(c, list);
}

int network_restrict(Networks *n, Sandbox *s, const json_t *list, NetworkCallback callback, void *userdata) {
        Change *c = change_begin(n, NULL, s, callback, userdata);

        if (!c)
                return -ENOMEM;
        apply_list(c, list);
        return 0;
}

static void forget_list(Networks *n, Sandbox *s) {
        if (egress_get_list(s->config))
                (void) network_restrict(n, s, NULL, ignore, NULL);
}

void networks_forget_sandbox(Networks *n, Sandbox *s) {
        Network *network;

        forget_list(n, s);
        if (s->n_networks == 0)
                return;
        HASHMAP_FOREACH(network, n->by_id)
                if (network_get_member(network, s->public_id)) {
                        Change *c;

                        drop_member(n, network, s);
                        c = change_begin(n, network, NULL, ignore, NULL);
                        if (c)
                                tell_names(c);
                }
}

int network_attach(Networks *n, Sandbox *s, NetworkCallback callback, void *userdata) {
        Change *c = change_begin(n, NULL, s, callback, userdata);
        int r;

        if (!c)
                return -ENOMEM;
        r = wire_attach(n->manager, s, on_attached, c);
        if (r < 0)
                change_free(c);
        return r;
}

/* Names */

static bool is_host_name(const char *s) {
        size_t n = strlen(s);

        return n > 0 && n <= 255 && s[0] != '-' && s[0] != '.' && !streq(s, "localhost") &&
               strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == n;
}

void networks_write_hosts(Networks *n, const Sandbox *s, FILE *f) {
        Network *network;

        if (s->n_networks == 0)
                return;
        HASHMAP_FOREACH(network, n->by_id) {
                if (!network_get_member(network, s->public_id))
                        continue;
                for (size_t i = 0; i < network->n_members; i++) {
                        const NetworkMember *member = network->members + i;
                        const Sandbox *other = find_member(n, member);

                        if (!other || !member->address[0])
                                continue;
                        fprintf(f, "%s", member->address);
                        if (is_host_name(other->name) && !streq(other->name, other->public_id))
                                fprintf(f, " %s", other->name);
                        fprintf(f, " %s %.12s\n", other->public_id, other->id);
                }
        }
}

/* The records */

int network_add(Networks *n, const char *name, Network **ret) {
        bool taken[NETWORKS_MAX] = {};
        _cleanup_(network_unrefp) Network *network = NULL;
        unsigned number = 0;
        Network *other;
        int r;

        HASHMAP_FOREACH(other, n->by_id) {
                if (streq(other->name, name))
                        return -EEXIST;
                taken[other->number] = true;
        }
        while (number < NETWORKS_MAX && taken[number])
                number++;
        if (number == NETWORKS_MAX)
                return -E2BIG;
        r = network_new(name, number, now_usec(CLOCK_REALTIME) / USEC_PER_MSEC, &network);
        if (r < 0)
                return r;
        network->networks = n;
        r = save(n, network);
        if (r >= 0)
                r = hashmap_put(n->by_id, network->id, network);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(network);
        return 0;
}

Network *network_find(Networks *n, const char *id) {
        Network *network = hashmap_get(n->by_id, id);

        return network && !network->leaving ? network : NULL;
}

json_t *networks_to_json(Networks *n) {
        json_t *list = json_array();
        Network *network;

        HASHMAP_FOREACH(network, n->by_id)
                (void) json_array_append_new(list, network_to_json(network));
        return list;
}

/* A member whose sandbox is not there any more is none. */
static int load(const StoredObject *row, void *userdata) {
        _cleanup_(network_unrefp) Network *network = NULL;
        Networks *n = userdata;
        int r;

        r = network_from_record(row->record, &network);
        if (r < 0)
                return r;
        network->networks = n;
        for (size_t i = network->n_members; i > 0; i--) {
                Sandbox *s = find_member(n, network->members + i - 1);

                if (s)
                        s->n_networks++;
                else
                        network_drop_member(network, network->members[i - 1].sandbox);
        }
        r = hashmap_put(n->by_id, network->id, network);
        if (r >= 0)
                TAKE_PTR(network);
        return r;
}

int networks_new(Manager *m, Networks **ret) {
        _cleanup_(networks_freep) Networks *n = new0(Networks, 1);
        int r;

        if (!n)
                return -ENOMEM;
        n->manager = m;
        n->by_id = hashmap_new();
        if (!n->by_id)
                return -ENOMEM;
        r = store_foreach_object(m->store, &(ObjectQuery) { .kind = NETWORK_KIND }, load, n);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(n);
        return 0;
}

Networks *networks_free(Networks *n) {
        Network *network;

        if (n) {
                if (n->by_id)
                        HASHMAP_FOREACH(network, n->by_id)
                                network_unref(network);
                hashmap_free(n->by_id);
                free(n);
        }
        return NULL;
}

/* What an earlier process left half-done */

typedef struct Wires {
        NetdWire *rows;
        size_t n;
} Wires;

static bool has_wire(const Wires *wires, const char *id, bool member, unsigned network) {
        for (size_t i = 0; i < wires->n; i++)
                if (wires->rows[i].member == member && wires->rows[i].network == network &&
                    startswith(id, wires->rows[i].digits))
                        return true;
        return false;
}

static void mend_sandbox(Networks *n, Sandbox *s, const Wires *wires) {
        Network *network;

        if (json_is_true(json_object_get(s->config, "network"))) {
                if (s->half_connected || !has_wire(wires, s->id, false, 0))
                        (void) network_attach(n, s, ignore, NULL);
                else if (egress_get_list(s->config) && s->n_restricting == 0) /* else somebody has just changed it */
                        (void) network_restrict(n, s, egress_get_list(s->config), ignore, NULL);
        }
        HASHMAP_FOREACH(network, n->by_id) {
                bool should = network_get_member(network, s->public_id);

                if (should && !has_wire(wires, s->id, true, network->number))
                        (void) join(n, network, s, ignore, NULL);
                else if (should)
                        (void) hosts_update(n->manager, s, nobody_waits, NULL);
        }
}

/* A network that is gone, or a member that is none. */
static void cut_stray(Networks *n, Sandbox *s, const Wires *wires) {
        for (size_t i = 0; i < wires->n; i++) {
                const NetdWire *w = wires->rows + i;
                bool wanted = false;
                Network *network;

                if (!w->member || !startswith(s->id, w->digits))
                        continue;
                HASHMAP_FOREACH(network, n->by_id)
                        wanted |= network->number == w->network && network_get_member(network, s->public_id);
                if (!wanted)
                        (void) netd_leave(n->manager->netd, s->id, w->network, peer_ignore, NULL);
        }
}

static int read_wires(sd_bus_message *reply, Wires *ret) {
        NetdWire row;
        int r;

        r = sd_bus_message_enter_container(reply, 'a', "(sbus)");
        while (r >= 0 && (r = netd_read_wire(reply, &row)) > 0) {
                NetdWire *larger = reallocarray(ret->rows, ret->n + 1, sizeof *larger);

                if (!larger)
                        return -ENOMEM;
                ret->rows = larger;
                ret->rows[ret->n++] = row;
        }
        return r;
}

static void on_list(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        Change *c = userdata;
        Networks *n = c->networks;
        Wires wires = {};
        Sandbox *s;

        n->unclean = !reply || read_wires(reply, &wires) < 0;
        if (!n->unclean)
                HASHMAP_FOREACH(s, n->manager->sandboxes)
                        if (sandbox_is_live(s) && !s->leaving && !s->elsewhere) {
                                cut_stray(n, s, &wires);
                                mend_sandbox(n, s, &wires);
                        }
        free(wires.rows);
        if (egress_forget_others(n->manager) < 0)
                n->unclean = true;
        change_end(c, error);
}

static bool anybody_wants(Networks *n) {
        Sandbox *s;

        HASHMAP_FOREACH(s, n->manager->sandboxes)
                if (s->n_networks > 0 || json_is_true(json_object_get(s->config, "network")))
                        return true;
        return hashmap_size(n->by_id) > 0 && hashmap_size(n->manager->sandboxes) > 0;
}

void networks_suspect(Networks *n, Sandbox *s) {
        s->half_connected = true;
        (void) store_set_number(n->manager->store, "wires", 1);
}

void networks_start(Networks *n) {
        uint64_t wires = 0;
        Change *c;

        (void) store_get_number(n->manager->store, "wires", &wires);
        if (wires == 0 && !n->manager->fresh)
                return;
        if (!anybody_wants(n)) {
                (void) store_set_number(n->manager->store, "wires", 0);
                return;
        }
        c = change_begin(n, NULL, NULL, ignore, NULL);
        if (c && netd_list(n->manager->netd, on_list, c) < 0) {
                n->unclean = true;
                change_free(c);
        }
}
