/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "libsandbox/macro.h"
#include "libsandbox/service.h"


/* The server's side: accepts on a passed listening socket, checks the peer's uid and serves one object to each
 * connection. Each connection holds the service while it lasts. */
typedef struct BusServer BusServer;

typedef struct BusServerOptions {
        Service *service;
        int listen_fd;
        /* Adds vtables to a fresh connection. */
        int (*on_connect)(BusServer *server, sd_bus *bus, uid_t peer, void *userdata);
        /* May be NULL. The connection is still valid, but closed. */
        void (*on_disconnect)(BusServer *server, sd_bus *bus, void *userdata);
        void *userdata;
        /* Users that may connect besides root. */
        const uid_t *uids;
        size_t n_uids;
} BusServerOptions;

int bus_server_new(const BusServerOptions *options, BusServer **ret);
BusServer *bus_server_free(BusServer *s);
DEFINE_CLEANUP(BusServer *, bus_server_free)

/* Sends a signal to all connections. The message is built once for each by append(m, userdata). */
int bus_server_emit(BusServer *s, const char *path, const char *interface, const char *member,
                    int (*append)(sd_bus_message *m, void *userdata), void *userdata);
/* uid of the peer of the connection that m came on; UID_INVALID when unknown. */
#define UID_INVALID ((uid_t) -1)
uid_t bus_server_peer_uid(BusServer *s, sd_bus *bus);

/* The client's side: a connection that is made on first use and again after a loss. bus_client_get() never blocks for
 * long: the socket is held by systemd. */
typedef struct BusClient BusClient;

typedef struct BusClientOptions {
        sd_event *event;
        const char *path;
        /* Adds matches for signals to each new connection. May be NULL. */
        int (*on_connect)(BusClient *client, sd_bus *bus, void *userdata);
        /* The peer has taken the connection, and said what may be sent over it. May be NULL. */
        void (*on_ready)(BusClient *client, void *userdata);
        /* The peer went away; pending calls have failed by now. May be NULL. Call bus_client_get() to reconnect. */
        void (*on_disconnect)(BusClient *client, void *userdata);
        void *userdata;
} BusClientOptions;

int bus_client_new(const BusClientOptions *options, BusClient **ret);
BusClient *bus_client_free(BusClient *c);
DEFINE_CLEANUP(BusClient *, bus_client_free)
/* The connection, made if need be; not a new reference. Until on_ready() a message with descriptors must not be sent:
 * sd-bus would wait for the peer, who may only just be starting, and the whole loop with it. */
int bus_client_get(BusClient *c, sd_bus **ret);
/* Closes the connection, so that an idle peer can exit. */
void bus_client_close(BusClient *c);

/* a{sv} dictionaries by table: reading refuses an unknown key and a wrong type with the key's name. */
typedef enum BusFieldType {
        BUS_FIELD_U32,
        BUS_FIELD_U64,
        BUS_FIELD_BOOL, /* bool */
        BUS_FIELD_STRING, /* char *, owned */
        BUS_FIELD_STRV, /* char **, owned */
} BusFieldType;

typedef struct BusField {
        const char *name;
        BusFieldType type;
        size_t offset;
} BusField;

int bus_fields_append(sd_bus_message *m, const BusField *fields, size_t n_fields, const void *source);
int bus_fields_read(sd_bus_message *m, const BusField *fields, size_t n_fields, void *target, sd_bus_error *error);
/* Frees the strings of the table and zeroes the fields. */
void bus_fields_done(const BusField *fields, size_t n_fields, void *target);

/* For --bus-introspect: prints the XML of the vtables to stdout. */
typedef struct BusInterface {
        const char *path, *interface;
        const sd_bus_vtable *vtable;
} BusInterface;

int bus_introspect(const BusInterface *interfaces, size_t n_interfaces);
