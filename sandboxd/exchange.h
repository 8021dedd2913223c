/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandboxd/manager.h"
#include "sandboxd/upstream.h"

/* Requests to servers in sandboxes: a connection from sandbox-execd or one that is left of an earlier request, a limit to
 * how long the server may be silent, an end when the sandbox ends. Knows no client. */

typedef struct Exchange Exchange;
typedef struct Exchanges Exchanges;

typedef struct ExchangeHandlers {
        void (*on_head)(const ResponseHead *head, void *userdata);
        void (*on_readable)(void *userdata);
        void (*on_writable)(void *userdata);
        /* Instead of on_head(): error is one for the client. */
        void (*on_failed)(const sd_bus_error *error, void *userdata);
} ExchangeHandlers;

typedef struct ExchangeOptions {
        Sandbox *sandbox;
        uint16_t port;
        char *head;             /* taken over, also on failure */
        size_t n_head;
        uint64_t body_size;     /* 0: none, UINT64_MAX: not known */
        bool is_head;
        bool may_switch;
        bool repeatable;        /* to do it twice is to do it once */
        uint64_t timeout_usec;  /* of silence while it is the server's turn */
        bool in_all;            /* that is the time for all of it */
        const ExchangeHandlers *handlers;
        void *userdata;
} ExchangeOptions;

int exchanges_new(Manager *m, Exchanges **ret);
Exchanges *exchanges_free(Exchanges *x);
DEFINE_CLEANUP(Exchanges *, exchanges_free)
/* Its connections end: it is paused, gone, or on its way out. why is for those who wait for an answer. */
void exchanges_end_sandbox(Exchanges *x, const Sandbox *s, const char *why);
size_t exchanges_count_idle(const Exchanges *x);

/* The handlers come from the event loop, never from here. */
int exchange_new(Exchanges *x, const ExchangeOptions *options, Exchange **ret);
/* Whether it is over or not. */
Exchange *exchange_free(Exchange *e);
DEFINE_CLEANUP(Exchange *, exchange_free)

/* For a connection that is no exchange any more: callback comes once when the sandbox ends or is paused, and may free the
 * watch. */
typedef struct ExchangeWatch ExchangeWatch;

int exchange_watch_new(Exchanges *x, const Sandbox *s, void (*callback)(void *userdata), void *userdata,
                       ExchangeWatch **ret);
ExchangeWatch *exchange_watch_free(ExchangeWatch *w);

/* As those of upstream.h. */
size_t exchange_write(Exchange *e, const char *data, size_t n);
void exchange_end_body(Exchange *e);
ssize_t exchange_read(Exchange *e, char *buffer, size_t size);
bool exchange_is_done(const Exchange *e);
int exchange_take_socket(Exchange *e, const char **ret_data, size_t *ret_size);
