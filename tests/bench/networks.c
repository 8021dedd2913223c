/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/bench/bench.h"

/* Connecting a sandbox to a network that has a member already: a wire, addresses, routes, and names in the files of
 * both. What it is held against makes the pair and one address, by the shell as people do. */

#define NETWORK_BODY "{\"name\":\"bench\"}"

static int ask(Http *h, const char *method, const char *path, const char *body, double *ret_usec) {
        int r = http_call(h, method, path, body, ret_usec);

        return r == 200 ? 0 : r < 0 ? r : -EPROTO;
}

static int change(Http *h, const char *network, const char *verb, const Sandbox *s, double *ret_usec) {
        char path[160], body[128];

        snprintf(path, sizeof path, "/networks/%s/%s", network, verb);
        snprintf(body, sizeof body, "{\"sandboxId\":\"%s\"}", s->id);
        return ask(h, "POST", path, body, ret_usec);
}

static int make_network(Http *h, char ret[64]) {
        const char *id;
        int r;

        r = ask(h, "POST", "/networks", NETWORK_BODY, NULL);
        if (r < 0)
                return r;
        id = strstr(h->body, "\"net_");
        if (!id)
                return -EPROTO;
        snprintf(ret, 64, "%.*s", (int) strcspn(id + 1, "\""), id + 1);
        return 0;
}

static void run_shell(Bench *b) {
        static const char *const make[] = { "sh", "-c", "ip link add sbbench0 type veth peer name sbbench1 && "
                                            "ip addr add 192.0.2.1/24 dev sbbench0 && ip link set sbbench0 up", NULL };
        static const char *const end[] = { "ip", "link", "del", "sbbench0", NULL };
        double usec, other;
        int r;

        r = spawn_usec((char *const *) make, &usec);
        if (r < 0)
                bench_failed(b, MEASURE_IP_LINK, "ip: %s", strerror(-r));
        else {
                bench_add(b, MEASURE_IP_LINK, usec);
                (void) spawn_usec((char *const *) end, &other);
        }
}

static void run_rounds(Bench *b, Http *h, const char *network, const Sandbox *s) {
        double usec;
        int r;

        for (unsigned i = 0; i < b->rounds && !b->failures[MEASURE_CONNECT]; i++) {
                run_shell(b);
                r = change(h, network, "connect", s, &usec);
                if (r >= 0)
                        bench_add(b, MEASURE_CONNECT, usec);
                if (r >= 0)
                        r = change(h, network, "disconnect", s, &usec);
                if (r < 0)
                        bench_failed(b, MEASURE_CONNECT, "connect: %s", strerror(-r));
        }
}

void stage_networks(Bench *b, Http *blank) {
        Sandbox one, two;
        char network[64], path[96];

        if (rest_create(blank, &one, NULL) < 0)
                return;
        if (rest_create(blank, &two, NULL) >= 0) {
                if (make_network(blank, network) < 0 || change(blank, network, "connect", &one, NULL) < 0)
                        bench_failed(b, MEASURE_CONNECT, "no network could be made");
                else {
                        run_rounds(b, blank, network, &two);
                        snprintf(path, sizeof path, "/networks/%s", network);
                        (void) ask(blank, "DELETE", path, NULL, NULL);
                }
                (void) rest_delete(blank, &two, NULL);
        }
        (void) rest_delete(blank, &one, NULL);
}
