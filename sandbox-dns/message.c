/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-dns/message.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "libsandbox/string-util.h"

#define HEADER_SIZE 12U
#define LABEL_MAX 63U
#define LABELS_MAX 128U
#define RECORDS_MAX 512U
#define ALIASES_MAX 16U
#define CLASS_IN 1U
#define TYPE_OPT 41U
#define TYPE_META_FIRST 128U            /* up to 255: transfers, everything at once, and others that are no types of data */
#define TYPE_META_LAST 255U

#define FLAG_RESPONSE 0x8000U
#define FLAG_OPCODE 0x7800U
#define FLAG_TRUNCATED 0x0200U
#define FLAG_RECURSION_DESIRED 0x0100U
#define FLAG_RECURSION_AVAILABLE 0x0080U
#define FLAG_CHECKING_DISABLED 0x0010U
#define FLAG_RCODE 0x000fU
#define EDNS_DNSSEC 0x8000U
#define EDNS_ERROR 15U                  /* the option that says more than the code */
#define EDNS_ERROR_PROHIBITED 18U

typedef struct Reader {
        const uint8_t *data;
        size_t n, at;
} Reader;

static bool has(const Reader *r, size_t n) {
        return r->n - r->at >= n;
}

static unsigned get16(const uint8_t *p) {
        return (unsigned) p[0] << 8 | p[1];
}

static uint32_t get32(const uint8_t *p) {
        return (uint32_t) get16(p) << 16 | get16(p + 2);
}

static uint8_t *put16(uint8_t *p, unsigned value) {
        *p++ = (uint8_t) (value >> 8);
        *p++ = (uint8_t) value;
        return p;
}

static int read16(Reader *r, unsigned *ret) {
        if (!has(r, 2))
                return -EBADMSG;
        *ret = get16(r->data + r->at);
        r->at += 2;
        return 0;
}

/* One label of the text. What is no letter of a host's name becomes '?', which no list has. */
static int append_label(const uint8_t *label, size_t n, char *text, size_t *length) {
        if (*length + n + 1 > EGRESS_NAME_MAX + 1)
                return -EBADMSG;
        if (*length > 0)
                text[(*length)++] = '.';
        if (*length + n > EGRESS_NAME_MAX)
                return -EBADMSG;
        for (size_t i = 0; i < n; i++) {
                char c = (char) tolower(label[i]);

                text[(*length)++] = isalnum((unsigned char) c) || c == '-' || c == '_' ? c : '?';
        }
        return 0;
}

/* A pointer leads back, and behind the one before it: so it ends. */
static int follow(const Reader *r, size_t *at, size_t *limit) {
        size_t to;

        if (r->n - *at < 2)
                return -EBADMSG;
        to = get16(r->data + *at) & 0x3fff;
        if (to >= *limit || to < HEADER_SIZE)
                return -EBADMSG;
        *limit = *at = to;
        return 0;
}

static int read_name(Reader *r, char text[EGRESS_NAME_MAX + 1]) {
        size_t at = r->at, limit = r->at, end = 0, length = 0;

        for (unsigned labels = 0; labels < LABELS_MAX; labels++) {
                uint8_t n;

                if (at >= r->n)
                        return -EBADMSG;
                n = r->data[at];
                if (n >= 0xc0) {
                        if (end == 0)
                                end = at + 2;
                        if (follow(r, &at, &limit) < 0)
                                return -EBADMSG;
                        continue;
                }
                if (n > LABEL_MAX || r->n - at - 1 < n)
                        return -EBADMSG;
                at += 1 + n;
                if (n == 0) {
                        text[length] = 0;
                        r->at = end > 0 ? end : at;
                        return 0;
                }
                if (append_label(r->data + at - n, n, text, &length) < 0)
                        return -EBADMSG;
        }
        return -EBADMSG;
}

/* Of a question: as it stands, without pointers. */
static int read_question(Reader *r, DnsQuery *q, unsigned *ret_class) {
        size_t begin = r->at;
        unsigned type;

        if (read_name(r, q->name) < 0 || r->at - begin > sizeof q->wire)
                return -EBADMSG;
        memcpy(q->wire, r->data + begin, r->at - begin);
        q->n_wire = r->at - begin;
        if (q->wire[q->n_wire - 1] != 0 || (q->n_wire >= 2 && q->n_wire != strlen(q->name) + 2))
                return -EBADMSG;
        if (read16(r, &type) < 0 || read16(r, ret_class) < 0)
                return -EBADMSG;
        q->type = (uint16_t) type;
        return 0;
}

/* OPT: the root's name, its class is a size, its time are flags. Options are not looked at and not passed on. */
static int read_edns(Reader *r, DnsQuery *q) {
        const uint8_t *p = r->data + r->at;

        if (!has(r, 11) || p[0] != 0 || get16(p + 1) != TYPE_OPT)
                return -EINVAL;
        if (p[6] != 0 || r->n - r->at - 11 != get16(p + 9))
                return -EINVAL;
        q->edns = true;
        q->payload = (uint16_t) CLAMP(get16(p + 3), DNS_UDP_MIN, DNS_UDP_MAX);
        q->dnssec = get16(p + 7) & EDNS_DNSSEC;
        return 0;
}

int dns_query_parse(const uint8_t *data, size_t n, DnsQuery *ret) {
        Reader r = { data, n, HEADER_SIZE };
        unsigned flags, class;
        DnsQuery q = { .payload = DNS_UDP_MIN };
        int e = 0;

        if (n < HEADER_SIZE || n > DNS_MESSAGE_MAX)
                return -EBADMSG;
        flags = get16(data + 2);
        q.id = (uint16_t) get16(data);
        if (flags & FLAG_RESPONSE)
                return -EBADMSG;
        q.recursion = flags & FLAG_RECURSION_DESIRED;
        q.checking_disabled = flags & FLAG_CHECKING_DISABLED;
        if (get16(data + 4) != 1 || read_question(&r, &q, &class) < 0)
                return -EBADMSG;
        if (flags & FLAG_OPCODE || class != CLASS_IN || (q.type >= TYPE_META_FIRST && q.type <= TYPE_META_LAST))
                e = -EOPNOTSUPP;
        else if (get16(data + 6) != 0 || get16(data + 8) != 0 || get16(data + 10) > 1 || flags & FLAG_TRUNCATED)
                e = -EINVAL;
        else if (get16(data + 10) == 1)
                e = read_edns(&r, &q);
        else if (r.at != n)
                e = -EINVAL;
        *ret = q;
        return e;
}

static uint8_t *write_head(const DnsQuery *q, uint16_t id, unsigned flags, uint8_t *p) {
        p = put16(p, id);
        p = put16(p, flags | (q->recursion ? FLAG_RECURSION_DESIRED : 0) |
                             (q->checking_disabled ? FLAG_CHECKING_DISABLED : 0));
        p = put16(p, 1);
        p = put16(p, 0);
        p = put16(p, 0);
        p = put16(p, q->edns);
        memcpy(p, q->wire, q->n_wire);
        p = put16(p + q->n_wire, q->type);
        return put16(p, CLASS_IN);
}

static uint8_t *write_edns(const DnsQuery *q, unsigned size, unsigned n_options, uint8_t *p) {
        *p++ = 0;
        p = put16(p, TYPE_OPT);
        p = put16(p, size);
        p = put16(p, 0);
        p = put16(p, q->dnssec ? EDNS_DNSSEC : 0);
        return put16(p, n_options);
}

size_t dns_query_write(const DnsQuery *q, uint16_t id, uint8_t buffer[DNS_QUERY_MAX]) {
        uint8_t *p = write_head(q, id, 0, buffer);

        if (q->edns)
                p = write_edns(q, q->payload, 0, p);
        return (size_t) (p - buffer);
}

size_t dns_error_write(const DnsQuery *q, unsigned rcode, uint8_t buffer[DNS_QUERY_MAX]) {
        bool why = rcode == DNS_RCODE_REFUSED;
        uint8_t *p;

        p = write_head(q, q->id, FLAG_RESPONSE | FLAG_RECURSION_AVAILABLE | rcode, buffer);
        if (!q->edns)
                return (size_t) (p - buffer);
        p = write_edns(q, DNS_UDP_MAX, why ? 6 : 0, p);
        if (why) {
                p = put16(p, EDNS_ERROR);
                p = put16(p, 2);
                p = put16(p, EDNS_ERROR_PROHIBITED);
        }
        return (size_t) (p - buffer);
}

/* Answers */

typedef struct Record {
        char name[EGRESS_NAME_MAX + 1];
        unsigned type, class, n_data;
        size_t at_time, at_data;
} Record;

static int read_record(Reader *r, Record *ret) {
        if (read_name(r, ret->name) < 0 || !has(r, 10))
                return -EBADMSG;
        ret->type = get16(r->data + r->at);
        ret->class = get16(r->data + r->at + 2);
        ret->at_time = r->at + 4;
        ret->n_data = get16(r->data + r->at + 8);
        r->at += 10;
        if (!has(r, ret->n_data))
                return -EBADMSG;
        ret->at_data = r->at;
        r->at += ret->n_data;
        return 0;
}

/* Of more than 2^31 seconds the standard says: none. */
static uint32_t cap_time(uint8_t *p, uint32_t sec_max) {
        uint32_t sec = get32(p);

        if (sec > INT32_MAX)
                sec = 0;
        if (sec > sec_max)
                sec = sec_max;
        (void) put16(put16(p, sec >> 16), sec & 0xffff);
        return sec;
}

typedef struct Chain {
        char names[ALIASES_MAX][EGRESS_NAME_MAX + 1];
        unsigned n;
} Chain;

static bool chain_has(const Chain *c, const char *name) {
        for (unsigned i = 0; i < c->n; i++)
                if (streq(c->names[i], name))
                        return true;
        return false;
}

static int follow_alias(Chain *c, const uint8_t *data, size_t n, const Record *record) {
        Reader r = { data, n, record->at_data };
        char target[EGRESS_NAME_MAX + 1];

        if (read_name(&r, target) < 0 || r.at != record->at_data + record->n_data)
                return -EBADMSG;
        if (chain_has(c, target))
                return 0;
        if (c->n == ALIASES_MAX)
                return -EBADMSG;
        memcpy(c->names[c->n++], target, sizeof target);
        return 0;
}

static int take_address(DnsAnswer *answer, const uint8_t *data, const Record *record, uint32_t sec) {
        if (record->n_data != 4)
                return -EBADMSG;
        if (answer->n_addresses == DNS_ADDRESSES_MAX)
                return -E2BIG;
        answer->addresses[answer->n_addresses++] = (DnsAddress) { get32(data + record->at_data), sec };
        return 0;
}

/* Records that are there in an order in which an alias comes before what it leads to, as all servers write them: what
 * does not is not taken, so that nothing is opened by a record that nobody asked for. */
static int read_records(Reader *r, uint8_t *data, unsigned n_answers, unsigned n_others, uint32_t sec_max,
                        Chain *chain, DnsAnswer *answer) {
        for (unsigned i = 0; i < n_answers + n_others; i++) {
                uint32_t sec;
                Record record;
                int e = 0;

                if (read_record(r, &record) < 0)
                        return -EBADMSG;
                if (record.type == TYPE_OPT)
                        continue;
                sec = cap_time(data + record.at_time, sec_max);
                if (i >= n_answers || record.class != CLASS_IN || !chain_has(chain, record.name))
                        continue;
                if (record.type == DNS_TYPE_CNAME)
                        e = follow_alias(chain, data, r->n, &record);
                else if (record.type == DNS_TYPE_A)
                        e = take_address(answer, data, &record, sec);
                if (e < 0)
                        return e;
        }
        return 0;
}

/* Letters may have changed their case, nothing else. */
static bool is_question(Reader *r, const DnsQuery *q) {
        const uint8_t *p = r->data + r->at;

        if (!has(r, q->n_wire + 4))
                return false;
        for (size_t i = 0; i < q->n_wire; i++)
                if (tolower(p[i]) != tolower(q->wire[i]))
                        return false;
        r->at += q->n_wire + 4;
        return get16(p + q->n_wire) == q->type && get16(p + q->n_wire + 2) == CLASS_IN;
}

int dns_answer_read(uint8_t *data, size_t n, const DnsQuery *q, uint16_t id, uint32_t sec_max, DnsAnswer *ret) {
        Reader r = { data, n, HEADER_SIZE };
        DnsAnswer answer = {};
        Chain chain = { .n = 1 };
        unsigned flags, n_answers, n_others;
        int e;

        if (n < HEADER_SIZE || get16(data) != id)
                return -EBADMSG;
        flags = get16(data + 2);
        n_answers = get16(data + 6);
        n_others = get16(data + 8) + get16(data + 10);
        if (!(flags & FLAG_RESPONSE) || flags & FLAG_OPCODE || get16(data + 4) != 1 || !is_question(&r, q) ||
            n_answers + n_others > RECORDS_MAX)
                return -EBADMSG;
        answer.rcode = flags & FLAG_RCODE;
        answer.truncated = flags & FLAG_TRUNCATED;
        memcpy(chain.names[0], q->name, sizeof q->name);
        e = read_records(&r, data, n_answers, n_others, sec_max, &chain, &answer);
        if (e < 0)
                return e;
        (void) put16(data, q->id);
        *ret = answer;
        return 0;
}
