/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libsandbox/egress-entry.h"

/* Messages of DNS. A question is taken apart and written anew, so that nothing of a sandbox's message but a name of
 * plain letters and a type goes on; an answer goes back as it came, after it was read. Whatever cannot be read is not
 * passed on in either direction. */

#define DNS_MESSAGE_MAX 65535U
#define DNS_UDP_MIN 512U
#define DNS_UDP_MAX 1232U               /* no larger answers by UDP: they would come in fragments */
#define DNS_QUERY_MAX 320U              /* as dns_query_write() and dns_error_write() make them */
#define DNS_ADDRESSES_MAX 64U

#define DNS_TYPE_A 1U
#define DNS_TYPE_CNAME 5U
#define DNS_TYPE_AAAA 28U

#define DNS_RCODE_OK 0U
#define DNS_RCODE_FORMAT 1U
#define DNS_RCODE_SERVER 2U
#define DNS_RCODE_NOT_IMPLEMENTED 4U
#define DNS_RCODE_REFUSED 5U

typedef struct DnsQuery {
        uint16_t id, type;
        char name[EGRESS_NAME_MAX + 1]; /* lower case, without a dot at its end */
        uint8_t wire[256];              /* the name as it came: who asks compares */
        size_t n_wire;
        bool recursion, checking_disabled;
        bool edns, dnssec;
        uint16_t payload;               /* that who asks can take by UDP */
} DnsQuery;

/* -EBADMSG: nothing that one could answer; -EINVAL: answer DNS_RCODE_FORMAT; -EOPNOTSUPP: _NOT_IMPLEMENTED. With the last
 * two *ret has what an error needs. */
int dns_query_parse(const uint8_t *data, size_t n, DnsQuery *ret);
size_t dns_query_write(const DnsQuery *q, uint16_t id, uint8_t buffer[DNS_QUERY_MAX]);
/* An answer without records. rcode OK: the name has none of that type. */
size_t dns_error_write(const DnsQuery *q, unsigned rcode, uint8_t buffer[DNS_QUERY_MAX]);

typedef struct DnsAddress {
        uint32_t address, sec;
} DnsAddress;

typedef struct DnsAnswer {
        unsigned rcode;
        bool truncated;
        DnsAddress addresses[DNS_ADDRESSES_MAX];
        size_t n_addresses;
} DnsAnswer;

/* The answer to q, asked with this id. Puts the id of q in and makes times longer than sec_max that. Addresses are those
 * of the name that was asked for, or of one that it is an alias of. -EBADMSG: it is none, -E2BIG: too many addresses. */
int dns_answer_read(uint8_t *data, size_t n, const DnsQuery *q, uint16_t id, uint32_t sec_max, DnsAnswer *ret);
