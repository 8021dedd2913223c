/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <jansson.h>

#include "sandboxd/api.h"
#include "sandboxd/http/http-server.h"
#include "tests/bus/sandboxd/fake-dns.h"
#include "tests/bus/sandboxd/fake-execd.h"
#include "tests/bus/sandboxd/fake-fsd.h"
#include "tests/bus/sandboxd/fake-hook.h"
#include "tests/bus/sandboxd/fake-netd.h"

/* The whole of sandboxd in one loop with the two services it talks to; requests come over socketpairs. */
typedef struct Core {
        char directory[64], state[80];
        Service *service;
        FakeExecd execd;
        FakeFsd fsd;
        FakeHook hook;
        FakeNetd netd;
        FakeDns dns;
        Manager *manager;
        Auth *auth;
        HttpServer *http;
        bool reconciled;
        uint32_t max_sandboxes;
        uint32_t pool_size;
        bool no_netd;
        const char *pool_profiles;
} Core;

void core_start(Core *c);
/* sandboxd ends and comes back; the services stay. */
void core_stop_sandboxd(Core *c);
void core_start_sandboxd(Core *c);
void core_stop(Core *c);

typedef struct Reply {
        unsigned status;
        char *head, *body;
        size_t n_body;
        json_t *json;           /* when the body is one */
} Reply;

typedef struct Client {
        Core *core;
        int fd;
        sd_event_source *source;
        char *data;
        size_t n, allocated;
        bool ended, deaf;
} Client;

void client_open(Core *c, Client *client, const char *method, const char *path, const char *body);
void client_open_raw(Core *c, Client *client, const char *method, const char *path, const char *headers,
                     const char *body, size_t n);
/* More is announced than is sent. */
void client_open_partly(Core *c, Client *client, const char *method, const char *path, const char *headers,
                        const char *body, size_t n, size_t n_announced);
void client_wait(Client *client, Reply *ret);
void client_wait_text(Client *client, const char *text);
void client_close(Client *client);
void reply_done(Reply *r);

/* One request from begin to end. */
void core_request(Core *c, const char *method, const char *path, const char *body, Reply *ret);
#define REQUEST(c, method, path, body, reply)                                                      \
        _cleanup_(reply_done) Reply reply = {};                                                    \
        core_request(c, method, path, body, &reply)

/* A running sandbox; its public id into ret. */
void core_create(Core *c, char ret[40]);
/* Runs the loop until condition() is true. */
void core_wait(Core *c, bool (*condition)(Core *c, void *userdata), void *userdata);

const char *reply_string(const Reply *r, const char *key);
json_int_t reply_integer(const Reply *r, const char *key);
