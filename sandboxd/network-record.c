/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/network-record.h"

#include <errno.h>
#include <stdio.h>

#include "libsandbox/string-util.h"

int network_new(const char *name, unsigned number, uint64_t created_msec, Network **ret) {
        _cleanup_(network_unrefp) Network *network = new0(Network, 1);
        int r;

        if (!network)
                return -ENOMEM;
        *network = (Network) { .n_ref = 1, .number = number, .created_msec = created_msec, .name = strdup(name) };
        if (!network->name)
                return -ENOMEM;
        r = object_id_random("net", network->id);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(network);
        return 0;
}

Network *network_ref(Network *network) {
        if (network)
                network->n_ref++;
        return network;
}

Network *network_unref(Network *network) {
        if (network && --network->n_ref == 0) {
                free(network->name);
                free(network->members);
                free(network);
        }
        return NULL;
}

NetworkMember *network_get_member(const Network *network, const char *sandbox) {
        for (size_t i = 0; i < network->n_members; i++)
                if (streq(network->members[i].sandbox, sandbox))
                        return network->members + i;
        return NULL;
}

/* The smallest number that nobody has. */
static unsigned free_number(const Network *network) {
        for (unsigned number = 1; number <= NETWORK_MEMBERS_MAX; number++) {
                bool taken = false;

                for (size_t i = 0; i < network->n_members; i++)
                        taken |= network->members[i].number == number;
                if (!taken)
                        return number;
        }
        return 0;
}

static NetworkMember *append_member(Network *network, const char *sandbox, unsigned number, const char *address) {
        NetworkMember *larger = reallocarray(network->members, network->n_members + 1, sizeof *larger), *member;

        if (!larger)
                return NULL;
        network->members = larger;
        member = network->members + network->n_members++;
        *member = (NetworkMember) { .number = number };
        snprintf(member->sandbox, sizeof member->sandbox, "%s", sandbox);
        snprintf(member->address, sizeof member->address, "%s", address);
        return member;
}

int network_add_member(Network *network, const char *sandbox) {
        unsigned number = free_number(network);

        if (network_get_member(network, sandbox))
                return -EEXIST;
        if (number == 0)
                return -E2BIG;
        return append_member(network, sandbox, number, "") ? 0 : -ENOMEM;
}

bool network_drop_member(Network *network, const char *sandbox) {
        NetworkMember *member = network_get_member(network, sandbox);

        if (!member)
                return false;
        memmove(member, member + 1, (size_t) (network->members + network->n_members - member - 1) * sizeof *member);
        network->n_members--;
        return true;
}

json_t *network_to_json(const Network *network) {
        json_t *ids = json_array(), *addresses = json_object();

        for (size_t i = 0; i < network->n_members; i++) {
                const NetworkMember *member = network->members + i;

                (void) json_array_append_new(ids, json_string(member->sandbox));
                if (member->address[0])
                        (void) json_object_set_new(addresses, member->sandbox, json_string(member->address));
        }
        return json_pack("{s:s, s:s, s:s, s:o, s:I, s:s, s:o}", "id", network->id, "name", network->name,
                         "dockerNetworkId", network->id, "sandboxes", ids, "createdAt",
                         (json_int_t) network->created_msec, "driver", "bridge", "addresses", addresses);
}

int network_save(Store *s, const Network *network) {
        _cleanup_(json_decrefp) json_t *members = json_array(), *object = NULL;
        _cleanup_free_ char *record = NULL;

        for (size_t i = 0; i < network->n_members; i++) {
                const NetworkMember *m = network->members + i;

                if (json_array_append_new(members, json_pack("{s:s, s:i, s:s}", "sandbox", m->sandbox, "number",
                                                             (int) m->number, "address", m->address)) < 0)
                        return -ENOMEM;
        }
        object = json_pack("{s:s, s:s, s:i, s:I, s:O}", "id", network->id, "name", network->name, "number",
                           (int) network->number, "createdAt", (json_int_t) network->created_msec, "members", members);
        record = object ? json_dumps(object, JSON_COMPACT) : NULL;
        if (!record)
                return -ENOMEM;
        return store_put_object(s, &(StoredObject) { .kind = NETWORK_KIND, .id = network->id, .tag = network->name,
                                                     .time_msec = network->created_msec, .record = record });
}

static int read_members(Network *network, json_t *members) {
        json_t *value;
        size_t i;

        json_array_foreach(members, i, value) {
                const char *sandbox, *address;
                int number;

                if (json_unpack(value, "{s:s, s:i, s:s}", "sandbox", &sandbox, "number", &number, "address",
                                &address) < 0 || number < 1 || number > (int) NETWORK_MEMBERS_MAX)
                        return -EBADMSG;
                if (!append_member(network, sandbox, (unsigned) number, address))
                        return -ENOMEM;
        }
        return 0;
}

int network_from_record(const char *record, Network **ret) {
        _cleanup_(json_decrefp) json_t *object = json_loads(record, 0, NULL);
        _cleanup_(network_unrefp) Network *network = NULL;
        const char *id, *name;
        json_int_t created;
        json_t *members;
        int number, r;

        if (json_unpack(object, "{s:s, s:s, s:i, s:I, s:o}", "id", &id, "name", &name, "number", &number, "createdAt",
                        &created, "members", &members) < 0 ||
            number < 0 || number >= (int) NETWORKS_MAX || !object_id_is_valid(id, "net"))
                return -EBADMSG;
        r = network_new(name, (unsigned) number, (uint64_t) created, &network);
        if (r < 0)
                return r;
        snprintf(network->id, sizeof network->id, "%s", id);
        r = read_members(network, members);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(network);
        return 0;
}
