/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-event.h>

#include "sandbox-dns/message.h"
#include "sandbox-dns/upstreams.h"

/* One question to the name servers: each in turn, over a socket of its own, with a number of its own, until one answers
 * or the time is over. */

typedef struct Exchange Exchange;

/* r 0: answer and the message as it may be passed on, borrowed. Else -ETIMEDOUT and the like. Called once, from the loop;
 * the exchange is to be freed then. */
typedef void (*ExchangeCallback)(int r, const DnsAnswer *answer, const uint8_t *data, size_t n, void *userdata);

typedef struct ExchangeOptions {
        sd_event *event;
        const Upstreams *upstreams;     /* copied */
        const DnsQuery *query;          /* borrowed */
        bool stream;                    /* by TCP */
        uint32_t sec_max;
        ExchangeCallback callback;
        void *userdata;
} ExchangeOptions;

int exchange_new(const ExchangeOptions *options, Exchange **ret);
Exchange *exchange_free(Exchange *e);
