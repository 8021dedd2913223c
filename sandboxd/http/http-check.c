/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/http/http-check.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "libsandbox/parse-util.h"
#include "libsandbox/string-util.h"

/* libmicrohttpd refuses some things by itself, with a page of its own and the end of the connection: a length that is
 * no number, bad chunks, a line without a colon, another version. It cannot be given another page, and does not tell
 * beforehand. But no byte of a new connection reaches it before we let it (http-connection.c), so what it would refuse
 * of a first request is looked for there; what comes in pieces or on a connection that is kept, and chunks, are its
 * own. tests/unit/sandboxd/test-http-conformance.c has the table of what both make of it. All refusals end the
 * connection: who sends such a thing may mean another framing than we do. */

#define METHOD_MAX 16U

bool http_is_token(const char *s, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (!isalnum((unsigned char) s[i]) && (s[i] == 0 || !strchr("!#$%&'*+-.^_`|~", s[i])))
                        return false;
        return n > 0;
}

bool http_target_is_clean(const char *target) {
        for (; *target; target++)
                if ((unsigned char) *target <= ' ' || *target == 0x7f)
                        return false;
        return true;
}

static bool value_is_clean(const char *s, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (((unsigned char) s[i] < 0x20 && s[i] != '\t') || s[i] == 0x7f)
                        return false;
        return true;
}

/* The headers that may stand there only once, and where their values go. */
static const struct {
        const char *name;
        size_t offset;
} single_headers[] = {
        { "Authorization",     offsetof(HttpHead, authorization)     },
        { "Content-Length",    offsetof(HttpHead, content_length)    },
        { "Content-Type",      offsetof(HttpHead, content_type)      },
        { "Expect",            offsetof(HttpHead, expect)            },
        { "Host",              offsetof(HttpHead, host)              },
        { "Origin",            offsetof(HttpHead, origin)            },
        { "Sec-Fetch-Site",    offsetof(HttpHead, sec_fetch_site)    },
        { "Transfer-Encoding", offsetof(HttpHead, transfer_encoding) },
};

static void note_single(HttpHead *head, const char *key, const char *value) {
        for (size_t i = 0; i < ELEMENTSOF(single_headers); i++)
                if (strcasecmp(single_headers[i].name, key) == 0) {
                        const char **target = (const char **) ((char *) head + single_headers[i].offset);

                        head->duplicate |= *target != NULL;
                        *target = value;
                }
}

/* libmicrohttpd before 1.0 takes a bare CR for the end of a line, ends a value at a NUL, joins continued lines and
 * drops lines without a name, all without a word. But its strings point into the one buffer that the head was read
 * into, and it only overwrites separators there. So it can still be seen that nothing but one CR LF stood between two
 * lines. From 1.0 on MHD_OPTION_STRICT_FOR_CLIENT makes it refuse all of these itself; before, it is told to let pass
 * what it can, so that the refusal is ours. */
bool http_must_compare_bytes(void) {
        return MHD_get_version()[0] == '0';
}

static bool request_line_is_exact(const HttpRequestLine *line) {
        return line->url == line->method + strlen(line->method) + 1 &&
               line->version == line->url + line->target_size + 1;
}

static bool header_is_exact(const HttpHead *head, const char *key, size_t key_size, const char *value) {
        const char *behind_colon = key + key_size + 1;

        return key == head->end + 2 && value == behind_colon + strspn(behind_colon, " \t");
}

static bool head_ends_exactly(struct MHD_Connection *connection, const HttpRequestLine *line, const HttpHead *head) {
        const union MHD_ConnectionInfo *info;

        info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
        return info && head->end + strlen("\r\n\r\n") == line->method + info->header_size;
}

static enum MHD_Result on_header(void *userdata, enum MHD_ValueKind kind, const char *key, size_t key_size,
                                 const char *value, size_t value_size) {
        HttpHead *head = userdata;

        (void) kind;
        head->n_headers++;
        head->n_bytes += key_size + value_size + strlen(": \r\n");
        if (!value || !http_is_token(key, key_size) || !value_is_clean(value, value_size) ||
            (head->end && !header_is_exact(head, key, key_size, value))) {
                head->malformed = true;
                return MHD_NO;
        }
        if (head->end)
                head->end = value + value_size;
        if (strncasecmp(key, "Sec-Fetch-", strlen("Sec-Fetch-")) == 0)
                head->has_sec_fetch = true;
        note_single(head, key, value);
        return MHD_YES;
}

static bool refuse(HttpRefusal *ret, unsigned status, const char *message) {
        *ret = (HttpRefusal) { .status = status, .message = message, .close = true };
        return false;
}

static bool check_request_line(const HttpRequestLine *line, HttpRefusal *ret) {
        const char *method = line->method, *version = line->version;

        if (strlen(method) > METHOD_MAX || !http_is_token(method, strlen(method)))
                return refuse(ret, 501, "The method is not known");
        if (!version || (!streq(version, "HTTP/1.1") && !streq(version, "HTTP/1.0")))
                return refuse(ret, 505, "Only HTTP/1.0 and HTTP/1.1 are spoken here");
        if (line->target_size > HTTP_TARGET_MAX)
                return refuse(ret, 414, "The path is too long");
        if (*line->url != '/' || !line->target_clean || (http_must_compare_bytes() && !request_line_is_exact(line)))
                return refuse(ret, 400, "The request line is not valid");
        return true;
}

/* Of two lengths, or a length and chunks, an intermediary may believe the other one: both are refused, also where they
 * agree. */
static bool check_framing(HttpHead *head, HttpRefusal *ret) {
        if (head->transfer_encoding && head->content_length)
                return refuse(ret, 400, "Content-Length and Transfer-Encoding exclude each other");
        if (head->transfer_encoding) {
                if (strcasecmp(head->transfer_encoding, "chunked") != 0)
                        return refuse(ret, 501, "Only the transfer encoding 'chunked' is known");
                head->has_body = true;
                head->body_size = UINT64_MAX;
        } else if (head->content_length) {
                if (parse_u64(head->content_length, &head->body_size) < 0 || head->body_size == UINT64_MAX)
                        return refuse(ret, 400, "Content-Length is not valid");
                head->has_body = head->body_size > 0;
        }
        return true;
}

bool http_check_head(struct MHD_Connection *connection, const HttpRequestLine *line, HttpHead *ret,
                     HttpRefusal *ret_refusal) {
        *ret = (HttpHead) {};
        if (!check_request_line(line, ret_refusal))
                return false;

        if (http_must_compare_bytes())
                ret->end = line->version + strlen(line->version);
        (void) MHD_get_connection_values_n(connection, MHD_HEADER_KIND, on_header, ret);
        if (ret->end && !head_ends_exactly(connection, line, ret))
                ret->malformed = true;
        if (ret->malformed)
                return refuse(ret_refusal, 400, "A header is not valid");
        if (ret->n_headers > HTTP_HEADERS_MAX || ret->n_bytes > HTTP_HEAD_MAX)
                return refuse(ret_refusal, 431, "The headers are too large");
        if (ret->duplicate)
                return refuse(ret_refusal, 400, "A header that may stand there once is repeated");
        if (!ret->host && streq(line->version, "HTTP/1.1"))
                return refuse(ret_refusal, 400, "The Host header is missing");
        return check_framing(ret, ret_refusal);
}

/* Whether name (n bytes) is one of a comma-separated list. */
static bool list_contains(const char *list, const char *name, size_t n) {
        while (list && *list) {
                size_t length;

                list += strspn(list, ", ");
                length = strcspn(list, ", ");
                if (length == n && n > 0 && strncasecmp(list, name, n) == 0)
                        return true;
                list += length;
        }
        return false;
}

/* A page whose name was rebound to 127.0.0.1 still sends that name. */
static bool http_host_is_allowed(const char *host, const char *names) {
        size_t n = *host == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":");
        uint32_t port;

        if (n > strlen(host))
                return false;
        if (host[n] && (host[n] != ':' || parse_u32(host + n + 1, &port) < 0 || port == 0 || port > UINT16_MAX))
                return false;
        return list_contains("localhost,127.0.0.1,[::1]", host, n) || list_contains(names, host, n);
}

bool http_origin_is_allowed(const char *origin, const Settings *settings) {
        return streq_ptr(settings->cors_origins, "*") || list_contains(settings->cors_origins, origin, strlen(origin));
}

/* Types that a form of a foreign page can send without asking first. */
static bool is_form_type(const char *type) {
        static const char *const types[] = {
                "application/x-www-form-urlencoded",
                "multipart/form-data",
                "text/plain",
        };

        type += strspn(type, " \t");
        for (size_t i = 0; i < ELEMENTSOF(types); i++)
                if (strncasecmp(type, types[i], strlen(types[i])) == 0)
                        return true;
        return false;
}

bool http_check_host(const HttpHead *head, ListenerKind kind, const Settings *settings, HttpRefusal *ret_refusal) {
        if (kind == LISTENER_LOOPBACK && head->host && !http_host_is_allowed(head->host, settings->host_names))
                return refuse(ret_refusal, 421, "This Host is not served here, see SANDBOX_HOST_NAMES");
        return true;
}

/* Browsers only: nobody else sends Origin or Sec-Fetch-*, and none of them reaches the local socket. */
bool http_check_origin(const HttpHead *head, const char *method, ListenerKind kind, const Settings *settings,
                       HttpRefusal *ret_refusal) {
        bool reads = streq(method, "GET") || streq(method, "HEAD") || streq(method, "OPTIONS");

        if (kind == LISTENER_UNIX)
                return true;
        if (!http_check_host(head, kind, settings, ret_refusal))
                return false;
        if (head->origin && !http_origin_is_allowed(head->origin, settings))
                return refuse(ret_refusal, 403, "This Origin is not allowed, see SANDBOX_CORS_ORIGINS");
        if (streq_ptr(head->sec_fetch_site, "cross-site") && !head->origin && !streq_ptr(settings->cors_origins, "*"))
                return refuse(ret_refusal, 403, "Requests from other sites are not allowed");
        if (!reads && head->content_type && (head->origin || head->has_sec_fetch) && is_form_type(head->content_type))
                return refuse(ret_refusal, 415, "The Content-Type must be application/json");
        return true;
}
