/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-hook/transfer.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "libsandbox/log.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "sandbox-hook/destination.h"

/* curl says which descriptors to watch and when it wants to be called; both become sources of our loop. */

#define ANSWER_MAX (4 * KiB)
#define CONNECT_TIMEOUT_MSEC 10000L

typedef struct Transfer Transfer;

struct Transfer {
        TransferPool *pool;
        Transfer *next, **previous;
        CURL *easy;
        struct curl_slist *headers;
        char *host;             /* as the URL has it */
        size_t n_answer;
        bool refused;           /* by the rules */
        char error[CURL_ERROR_SIZE];
        TransferCallback callback;
        void *userdata;
};

struct TransferPool {
        sd_event *event;
        sd_event_source *timer;
        CURLM *multi;
        DestinationRules *rules;
        Transfer *transfers;
        unsigned n;
};

static Transfer *transfer_free(Transfer *t) {
        if (!t)
                return NULL;
        if (t->previous) {
                *t->previous = t->next;
                if (t->next)
                        t->next->previous = t->previous;
                t->pool->n--;
                (void) curl_multi_remove_handle(t->pool->multi, t->easy);
        }
        curl_easy_cleanup(t->easy);
        curl_slist_free_all(t->headers);
        free(t->host);
        free(t);
        return NULL;
}
DEFINE_CLEANUP(Transfer *, transfer_free)

/* --- while curl works */

/* After the name was resolved and before anything is sent: a name that leads somewhere else at each question is of no
 * use to whoever made it. */
static curl_socket_t on_open_socket(void *userdata, curlsocktype purpose, struct curl_sockaddr *address) {
        Transfer *t = userdata;
        int fd;

        if (purpose != CURLSOCKTYPE_IPCXN ||
            !destination_is_allowed(t->pool->rules, t->host, (const struct sockaddr *) &address->addr)) {
                t->refused = true;
                return CURL_SOCKET_BAD;
        }
        fd = socket(address->family, address->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, address->protocol);
        return fd < 0 ? CURL_SOCKET_BAD : fd;
}

/* Also over a connection that was open already, and perhaps is not allowed any more. */
static int on_request(void *userdata, char *remote, char *local, int remote_port, int local_port) {
        Transfer *t = userdata;
        struct sockaddr_in6 new = { .sin6_family = AF_INET6 };
        struct sockaddr_in old = { .sin_family = AF_INET };
        const struct sockaddr *address = (const struct sockaddr *) &old;

        (void) local;
        (void) remote_port;
        (void) local_port;
        if (inet_pton(AF_INET, remote, &old.sin_addr) != 1) {
                address = (const struct sockaddr *) &new;
                if (inet_pton(AF_INET6, remote, &new.sin6_addr) != 1)
                        address = NULL;
        }
        if (address && destination_is_allowed(t->pool->rules, t->host, address))
                return CURL_PREREQFUNC_OK;
        t->refused = true;
        return CURL_PREREQFUNC_ABORT;
}

/* Enough is enough: the status is known, and the connection cannot be used again. */
static size_t on_answer(char *data, size_t size, size_t n, void *userdata) {
        Transfer *t = userdata;

        (void) data;
        t->n_answer += size * n;
        return t->n_answer > ANSWER_MAX ? 0 : size * n;
}

/* --- the end of a transfer */

static void finish(Transfer *t, CURLcode code) {
        TransferCallback callback = t->callback;
        void *userdata = t->userdata;
        char error[CURL_ERROR_SIZE] = "";
        long status = 0;

        if (code == CURLE_OK || (code == CURLE_WRITE_ERROR && t->n_answer > ANSWER_MAX))
                (void) curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
        else if (t->refused)
                strcpy(error, "The destination is not allowed: see SANDBOX_WEBHOOK_ALLOW");
        else
                (void) snprintf(error, sizeof error, "%s", t->error[0] ? t->error : curl_easy_strerror(code));
        transfer_free(t);
        callback((unsigned) status, error, userdata);
}

static void finish_done(TransferPool *p) {
        CURLMsg *message;
        int left;

        while ((message = curl_multi_info_read(p->multi, &left))) {
                Transfer *t;

                if (message->msg == CURLMSG_DONE &&
                    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **) &t) == CURLE_OK)
                        finish(t, message->data.result);
        }
}

static void drive(TransferPool *p, curl_socket_t fd, int events) {
        int running;

        (void) curl_multi_socket_action(p->multi, fd, events, &running);
        finish_done(p);
}

/* --- curl's wishes as sources */

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        int events = (revents & EPOLLIN ? CURL_CSELECT_IN : 0) | (revents & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
                     (revents & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);

        (void) source;
        drive(userdata, fd, events);
        return 0;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *userdata, void *data) {
        uint32_t events = (what & CURL_POLL_IN ? EPOLLIN : 0) | (what & CURL_POLL_OUT ? EPOLLOUT : 0);
        sd_event_source *source = data;
        TransferPool *p = userdata;

        (void) easy;
        if (what == CURL_POLL_REMOVE) {
                (void) curl_multi_assign(p->multi, fd, NULL);
                sd_event_source_disable_unref(source);
                return 0;
        }
        if (source)
                return sd_event_source_set_io_events(source, events) < 0 ? -1 : 0;
        if (sd_event_add_io(p->event, &source, fd, events, on_io, p) < 0)
                return -1;
        (void) curl_multi_assign(p->multi, fd, source);
        return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        (void) source;
        (void) usec;
        drive(userdata, CURL_SOCKET_TIMEOUT, 0);
        return 0;
}

static int on_timeout(CURLM *multi, long msec, void *userdata) {
        TransferPool *p = userdata;

        (void) multi;
        if (msec < 0)
                return sd_event_source_set_enabled(p->timer, SD_EVENT_OFF) < 0 ? -1 : 0;
        if (sd_event_source_set_time_relative(p->timer, (uint64_t) msec * USEC_PER_MSEC) < 0)
                return -1;
        return sd_event_source_set_enabled(p->timer, SD_EVENT_ONESHOT) < 0 ? -1 : 0;
}

/* --- from outside */

int transfer_pool_set_allow(TransferPool *p, const char *allow) {
        DestinationRules *rules;
        int r;

        r = destination_rules_new(allow, &rules);
        if (r < 0)
                return r;
        destination_rules_free(p->rules);
        p->rules = rules;
        return 0;
}

int transfer_pool_new(sd_event *event, const char *allow, TransferPool **ret) {
        _cleanup_(transfer_pool_freep) TransferPool *p = new0(TransferPool, 1);
        int r;

        if (!p)
                return -ENOMEM;
        p->event = sd_event_ref(event);
        r = transfer_pool_set_allow(p, allow);
        if (r >= 0)
                r = sd_event_add_time_relative(event, &p->timer, CLOCK_MONOTONIC, 0, USEC_PER_MSEC, on_timer, p);
        if (r >= 0)
                r = sd_event_source_set_enabled(p->timer, SD_EVENT_OFF);
        if (r < 0)
                return r;
        p->multi = curl_multi_init();
        if (!p->multi)
                return -ENOMEM;
        (void) curl_multi_setopt(p->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
        (void) curl_multi_setopt(p->multi, CURLMOPT_SOCKETDATA, p);
        (void) curl_multi_setopt(p->multi, CURLMOPT_TIMERFUNCTION, on_timeout);
        (void) curl_multi_setopt(p->multi, CURLMOPT_TIMERDATA, p);
        *ret = TAKE_PTR(p);
        return 0;
}

TransferPool *transfer_pool_free(TransferPool *p) {
        if (!p)
                return NULL;
        while (p->transfers)
                transfer_free(p->transfers);
        if (p->multi)
                (void) curl_multi_cleanup(p->multi);
        destination_rules_free(p->rules);
        sd_event_source_disable_unref(p->timer);
        sd_event_unref(p->event);
        free(p);
        return NULL;
}

/* The host as curl itself will understand it: what is compared is what is connected to. */
static int read_host(const char *url, char **ret) {
        _cleanup_free_ char *host = NULL;
        CURLU *u = curl_url();
        char *text = NULL;
        int r = -ENOMEM;

        if (!u)
                return r;
        if (curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
            curl_url_get(u, CURLUPART_HOST, &text, 0) == CURLUE_OK)
                host = strdup(text);
        else
                r = -EINVAL;
        curl_free(text);
        curl_url_cleanup(u);
        if (!host)
                return r;
        *ret = TAKE_PTR(host);
        return 0;
}

static int add_header(Transfer *t, const char *header) {
        struct curl_slist *longer = curl_slist_append(t->headers, header);

        if (!longer)
                return -ENOMEM;
        t->headers = longer;
        return 0;
}

static int set_headers(Transfer *t, char *const *headers) {
        int r;

        STRV_FOREACH(h, headers) {
                r = add_header(t, *h);
                if (r < 0)
                        return r;
        }
        return add_header(t, "Expect:"); /* do not ask before a long body: many servers never answer that */
}

static void set_limits(Transfer *t, uint64_t timeout_usec) {
        (void) curl_easy_setopt(t->easy, CURLOPT_PROTOCOLS_STR, "http,https");
        (void) curl_easy_setopt(t->easy, CURLOPT_FOLLOWLOCATION, 0L);
        (void) curl_easy_setopt(t->easy, CURLOPT_PROXY, ""); /* none, whatever the environment says */
        (void) curl_easy_setopt(t->easy, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
        (void) curl_easy_setopt(t->easy, CURLOPT_NOSIGNAL, 1L);
        (void) curl_easy_setopt(t->easy, CURLOPT_TIMEOUT_MS, (long) (timeout_usec / USEC_PER_MSEC));
        (void) curl_easy_setopt(t->easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MSEC);
        /* A resolver that hangs must not make the loop wait for its thread. */
        (void) curl_easy_setopt(t->easy, CURLOPT_QUICK_EXIT, 1L);
}

static void set_callbacks(Transfer *t) {
        (void) curl_easy_setopt(t->easy, CURLOPT_PRIVATE, t);
        (void) curl_easy_setopt(t->easy, CURLOPT_ERRORBUFFER, t->error);
        (void) curl_easy_setopt(t->easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
        (void) curl_easy_setopt(t->easy, CURLOPT_OPENSOCKETDATA, t);
        (void) curl_easy_setopt(t->easy, CURLOPT_PREREQFUNCTION, on_request);
        (void) curl_easy_setopt(t->easy, CURLOPT_PREREQDATA, t);
        (void) curl_easy_setopt(t->easy, CURLOPT_WRITEFUNCTION, on_answer);
        (void) curl_easy_setopt(t->easy, CURLOPT_WRITEDATA, t);
}

static int set_request(Transfer *t, const TransferOptions *o) {
        int r;

        r = set_headers(t, o->headers);
        if (r < 0)
                return r;
        (void) curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->headers);
        (void) curl_easy_setopt(t->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) o->n_body);
        return curl_easy_setopt(t->easy, CURLOPT_URL, o->url) == CURLE_OK &&
               curl_easy_setopt(t->easy, CURLOPT_COPYPOSTFIELDS, o->body) == CURLE_OK ? 0 : -ENOMEM;
}

static void link_transfer(TransferPool *p, Transfer *t) {
        t->next = p->transfers;
        t->previous = &p->transfers;
        if (t->next)
                t->next->previous = &t->next;
        p->transfers = t;
        p->n++;
}

int transfer_start(TransferPool *p, const TransferOptions *o) {
        _cleanup_(transfer_freep) Transfer *t = NULL;
        int r;

        if (p->n >= TRANSFERS_MAX)
                return -EBUSY;
        t = new0(Transfer, 1);
        if (!t)
                return -ENOMEM;
        *t = (Transfer) { .pool = p, .callback = o->callback, .userdata = o->userdata, .easy = curl_easy_init() };
        if (!t->easy)
                return -ENOMEM;
        r = read_host(o->url, &t->host);
        if (r < 0)
                return r;
        set_limits(t, o->timeout_usec);
        set_callbacks(t);
        r = set_request(t, o);
        if (r < 0)
                return r;
        if (curl_multi_add_handle(p->multi, t->easy) != CURLM_OK)
                return -ENOMEM;
        link_transfer(p, t);
        TAKE_PTR(t);
        return 0;
}
