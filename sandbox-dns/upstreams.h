/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>
#include <time.h>

#include "libsandbox/macro.h"

/* Whom to ask: the setting, else the name servers of the host, those on its loopback included. */

#define UPSTREAMS_MAX 3U

typedef union UpstreamAddress {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
} UpstreamAddress;

typedef struct Upstreams {
        UpstreamAddress addresses[UPSTREAMS_MAX];
        size_t n;
        struct timespec read;   /* which version of the file this is */
        bool fixed;             /* by a test: nothing is read */
} Upstreams;

/* Of the text of a resolv.conf. */
void upstreams_parse(const char *text, Upstreams *ret);
/* Reads the file again if it is another one by now. */
void upstreams_refresh(Upstreams *u, const char *setting);
socklen_t upstream_size(const UpstreamAddress *a);
