/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/port.h"

#include <errno.h>
#include <stdio.h>

#include "libsandbox/sandbox-id.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"

/* The tag is the protocol and the port, so that one is found by the index. */

#define TAG_MAX 16U

const char *port_protocol(bool udp) {
        return udp ? "udp" : "tcp";
}

static void format_tag(uint16_t port, bool udp, char ret[TAG_MAX]) {
        snprintf(ret, TAG_MAX, "%s:%u", port_protocol(udp), port);
}

json_t *port_to_json(const Port *p, bool active) {
        return json_pack("{s:i, s:i, s:s, s:s}", "containerPort", p->container_port, "hostPort", p->host_port,
                         "protocol", port_protocol(p->udp), "state", active ? "active" : "mapped");
}

typedef struct Walk {
        int (*handler)(const Port *p, void *userdata);
        void *userdata;
} Walk;

static int take_row(const StoredObject *row, void *userdata) {
        _cleanup_(json_decrefp) json_t *object = json_loads(row->record, 0, NULL);
        const Walk *walk = userdata;
        int container, host;
        const char *protocol;
        Port p = {};

        if (!object || json_unpack(object, "{s:i, s:i, s:s}", "containerPort", &container, "hostPort", &host, "protocol",
                                   &protocol) < 0)
                return -EBADMSG;
        snprintf(p.id, sizeof p.id, "%s", row->id);
        p.container_port = (uint16_t) container;
        p.host_port = (uint16_t) host;
        p.udp = streq(protocol, "udp");
        return walk->handler(&p, walk->userdata);
}

static int foreach_port(Store *s, ObjectQuery query, int (*handler)(const Port *p, void *userdata), void *userdata) {
        query.kind = PORT_KIND;
        return store_foreach_object(s, &query, take_row, &(Walk) { handler, userdata });
}

static int take_port(const Port *p, void *userdata) {
        *(Port *) userdata = *p;
        return 0;
}

static int find(Store *s, ObjectQuery query, Port *ret) {
        Port p = {};
        int r;

        query.limit = 1;
        r = foreach_port(s, query, take_port, &p);
        if (r < 0)
                return r;
        if (p.container_port == 0)
                return -ENOENT;
        *ret = p;
        return 0;
}

int port_find(Store *s, const char *sandbox, uint16_t container_port, bool udp, Port *ret) {
        char tag[TAG_MAX];

        format_tag(container_port, udp, tag);
        return find(s, (ObjectQuery) { .sandbox = sandbox, .tag = tag }, ret);
}

int port_find_by_id(Store *s, const char *id, Port *ret) {
        return find(s, (ObjectQuery) { .id = id }, ret);
}

bool port_is_exposed(Store *s, const char *sandbox, uint16_t container_port) {
        Port p;

        return port_find(s, sandbox, container_port, /* udp= */ false, &p) >= 0;
}

int port_count(Store *s, const char *sandbox, uint64_t *ret) {
        return store_count_objects(s, PORT_KIND, sandbox, NULL, ret);
}

int port_foreach(Store *s, const char *sandbox, int (*handler)(const Port *p, void *userdata), void *userdata) {
        return foreach_port(s, (ObjectQuery) { .sandbox = sandbox }, handler, userdata);
}

int port_add(Store *s, const char *sandbox, Port *p) {
        _cleanup_(json_decrefp) json_t *object = port_to_json(p, true);
        _cleanup_free_ char *record = NULL;
        char tag[TAG_MAX];
        int r;

        record = object ? json_dumps(object, JSON_COMPACT) : NULL;
        if (!record)
                return -ENOMEM;
        r = object_id_random("port", p->id);
        if (r < 0)
                return r;
        format_tag(p->container_port, p->udp, tag);
        return store_put_object(s, &(StoredObject) { .kind = PORT_KIND, .id = p->id, .sandbox = sandbox, .tag = tag,
                                                     .time_msec = now_usec(CLOCK_REALTIME) / USEC_PER_MSEC,
                                                     .record = record });
}

int port_remove(Store *s, const Port *p) {
        return store_remove_object(s, PORT_KIND, p->id);
}

/* Most have none: whether there are any is known at once, removing is a search. */
void port_forget_sandbox(Store *s, const char *sandbox) {
        uint64_t n;

        if (port_count(s, sandbox, &n) >= 0 && n > 0)
                (void) store_remove_objects_of(s, PORT_KIND, sandbox);
}
