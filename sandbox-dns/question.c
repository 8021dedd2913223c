/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-dns/question.h"

#include <errno.h>
#include <string.h>

#include "libsandbox/log.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "sandbox-dns/exchange.h"
#include "sandbox-dns/pins.h"

/* Addresses are opened before the answer that has them goes out: who has read it can connect. Each of them is opened for
 * as long as the name may be remembered, and a moment more. A name that is not on the list is refused, not denied to
 * exist: that would be a lie that some remember. */

#define GRACE_SEC 2U
#define PINS_MAX 16U

struct Question {
        Manager *manager;
        char list[SANDBOX_ID_LENGTH + 1];
        uint32_t source;
        DnsQuery query;
        Exchange *exchange;
        PinCall *pins[PINS_MAX];
        size_t n_pins, n_pending;
        bool failed;
        uint8_t *answer;
        size_t n_answer;
        QuestionCallback callback;      /* NULL: abandoned */
        void *userdata;
};

static void question_free(Question *q) {
        NameList *l = name_lists_get(&q->manager->lists, q->list);

        if (l && l->n_pending > 0)
                l->n_pending--;
        q->manager->n_questions--;
        for (size_t i = 0; i < q->n_pins; i++)
                pin_call_free(q->pins[i]);
        exchange_free(q->exchange);
        service_release(q->manager->service);
        free(q->answer);
        free(q);
}

void question_abandon(Question *q) {
        q->callback = NULL;
}

static void conclude(Question *q, const uint8_t *data, size_t n) {
        if (q->callback)
                q->callback(data, n, q->userdata);
        question_free(q);
}

static void conclude_error(Question *q, unsigned rcode) {
        uint8_t buffer[DNS_QUERY_MAX];
        size_t n = dns_error_write(&q->query, rcode, buffer);

        conclude(q, buffer, n);
}

static void note(NameList *l, Verdict verdict, const DnsQuery *query) {
        char type[8];
        const LogField fields[] = {
                { "EGRESS_DECISION", verdict_to_string(verdict) }, { "EGRESS_NAME", query->name }, { "EGRESS_TYPE", type },
        };

        if (!l->decisions || !decisions_note(l->decisions, verdict, query->name, query->type,
                                             now_usec(CLOCK_REALTIME) / USEC_PER_MSEC) ||
            !name_list_may_log(l, now_usec(CLOCK_BOOTTIME)))
                return;
        snprintf(type, sizeof type, "%u", query->type);
        log_fields(verdict == VERDICT_ALLOWED ? LOG_INFO : LOG_NOTICE, l->id, fields, ELEMENTSOF(fields),
                   "Egress %s: name %s, type %s.", verdict_to_string(verdict), query->name, type);
}

static const EgressEntry *find_entry(const NameList *l, const char *name) {
        for (size_t i = 0; i < l->n_entries; i++)
                if (egress_entry_matches(l->entries + i, name))
                        return l->entries + i;
        return NULL;
}

static void on_pinned(int r, void *userdata) {
        Question *q = userdata;

        q->failed |= r < 0;
        if (--q->n_pending > 0)
                return;
        if (q->failed)
                conclude_error(q, DNS_RCODE_SERVER);
        else
                conclude(q, q->answer, q->n_answer);
}

/* One that has no port covers those that have. */
static int pin_entry(Question *q, const EgressEntry *e, const DnsAddress *addresses, size_t n) {
        int r;

        r = pins_call(q->manager->pins, q->source, egress_entry_mark(e), e->port, addresses, n, on_pinned, q,
                      q->pins + q->n_pins);
        if (r < 0)
                return r;
        q->n_pins++;
        q->n_pending++;
        return 0;
}

static int pin(Question *q, const NameList *l, const DnsAddress *addresses, size_t n) {
        const EgressEntry *all = NULL;
        int r = 0;

        for (size_t i = 0; !all && i < l->n_entries; i++)
                if (l->entries[i].port == 0 && egress_entry_matches(l->entries + i, q->query.name))
                        all = l->entries + i;
        if (all)
                return pin_entry(q, all, addresses, n);
        for (size_t i = 0; r >= 0 && i < l->n_entries && q->n_pins < PINS_MAX; i++)
                if (egress_entry_matches(l->entries + i, q->query.name))
                        r = pin_entry(q, l->entries + i, addresses, n);
        return r;
}

static size_t choose_addresses(const Manager *m, const DnsAnswer *answer, DnsAddress *ret) {
        uint32_t low = m->settings.egress_ttl_min_sec, high = MAX(low, m->settings.egress_ttl_max_sec);
        size_t n = 0;

        for (size_t i = 0; i < answer->n_addresses; i++)
                if (!address_is_guarded(answer->addresses[i].address, m->allowed, m->n_allowed))
                        ret[n++] = (DnsAddress) { answer->addresses[i].address,
                                                  CLAMP(answer->addresses[i].sec, low, high) + GRACE_SEC };
        return n;
}

/* The list may be another one than when it was asked. */
static void take_answer(Question *q, const DnsAnswer *answer) {
        NameList *l = name_lists_get(&q->manager->lists, q->list);
        DnsAddress addresses[DNS_ADDRESSES_MAX];
        size_t n;

        if (!l || !find_entry(l, q->query.name)) {
                conclude_error(q, DNS_RCODE_REFUSED);
                return;
        }
        n = choose_addresses(q->manager, answer, addresses);
        note(l, n == 0 && answer->n_addresses > 0 ? VERDICT_PRIVATE : VERDICT_ALLOWED, &q->query);
        if (n == 0)
                conclude(q, q->answer, q->n_answer);
        else if (pin(q, l, addresses, n) < 0) {
                q->failed = true;
                if (q->n_pending == 0)
                        conclude_error(q, DNS_RCODE_SERVER);
        }
}

static void on_answer(int r, const DnsAnswer *answer, const uint8_t *data, size_t n, void *userdata) {
        Question *q = userdata;

        if (r >= 0) {
                q->answer = malloc(n);
                if (!q->answer)
                        r = -ENOMEM;
        }
        if (r < 0) {
                conclude_error(q, DNS_RCODE_SERVER);
                return;
        }
        memcpy(q->answer, data, n);
        q->n_answer = n;
        take_answer(q, answer);
}

static Question *question_new(Manager *m, NameList *l, const DnsQuery *query) {
        Question *q = new0(Question, 1);

        if (!q)
                return NULL;
        q->manager = m;
        q->source = l->address;
        q->query = *query;
        memcpy(q->list, l->id, sizeof q->list);
        l->n_pending++;
        m->n_questions++;
        service_hold(m->service);
        return q;
}

static Question *start(Manager *m, NameList *l, const DnsQuery *query, bool stream) {
        Question *q;

        upstreams_refresh(&m->upstreams, m->settings.network_dns);
        if (m->upstreams.n == 0 || m->n_questions >= QUESTIONS_MAX || l->n_pending >= QUESTIONS_SANDBOX_MAX)
                return NULL;
        q = question_new(m, l, query);
        if (!q)
                return NULL;
        if (exchange_new(&(ExchangeOptions) { .event = service_event(m->service), .upstreams = &m->upstreams,
                                              .query = &q->query, .stream = stream,
                                              .sec_max = MAX(m->settings.egress_ttl_max_sec, m->settings.egress_ttl_min_sec),
                                              .callback = on_answer, .userdata = q }, &q->exchange) < 0) {
                question_free(q);
                return NULL;
        }
        return q;
}

/* What can be said at once. There is no IPv6 out of a sandbox, so no name has such an address. */
static int decide(NameList *l, const DnsQuery *query, int parsed) {
        if (!l)
                return DNS_RCODE_REFUSED;
        if (parsed < 0)
                return parsed == -EOPNOTSUPP ? DNS_RCODE_NOT_IMPLEMENTED : DNS_RCODE_FORMAT;
        if (!find_entry(l, query->name)) {
                note(l, VERDICT_DENIED, query);
                return DNS_RCODE_REFUSED;
        }
        if (query->type != DNS_TYPE_AAAA)
                return -EINPROGRESS;
        note(l, VERDICT_ALLOWED, query);
        return DNS_RCODE_OK;
}

void question_ask(Manager *m, uint32_t source, const uint8_t *data, size_t n, bool stream, QuestionCallback callback,
                  void *userdata, Question **ret) {
        NameList *l = name_lists_find(&m->lists, source);
        uint8_t buffer[DNS_QUERY_MAX];
        DnsQuery query;
        Question *q;
        int r, rcode;

        if (ret)
                *ret = NULL;
        r = dns_query_parse(data, n, &query);
        if (r == -EBADMSG) {
                callback(NULL, 0, userdata);
                return;
        }
        rcode = decide(l, &query, r);
        q = rcode == -EINPROGRESS ? start(m, l, &query, stream) : NULL;
        if (!q) {
                size_t size = dns_error_write(&query, rcode < 0 ? DNS_RCODE_SERVER : (unsigned) rcode, buffer);

                callback(buffer, size, userdata);
                return;
        }
        q->callback = callback;
        q->userdata = userdata;
        if (ret)
                *ret = q;
}
