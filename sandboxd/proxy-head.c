/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/proxy-head.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "libsandbox/string-util.h"
#include "sandboxd/proxy.h"

/* A client's request carries what is meant for us, above all the token: the server in the sandbox must not get it. Its
 * answer in turn is shown by a browser as if it were ours: what would act on all of our host is taken off, so that it can
 * do no more than any page of its own. */

#define VIA "1.1 sandboxd"

typedef enum HeadFlags {
        OF_HOP = 1 << 0,        /* between two hops */
        OF_REQUEST = 1 << 1,    /* the server must not see the client's */
        OF_RESPONSE = 1 << 2,   /* the client must not see the server's */
} HeadFlags;

/* Sorted; a last "*" is any rest. */
static const struct {
        const char *name;
        unsigned flags;
} kept_back[] = {
        { "Access-Control-*",          OF_RESPONSE },   /* the sandbox's owner says who may read it */
        { "Alt-Svc",                   OF_RESPONSE },
        { "Authorization",             OF_REQUEST  },
        { "Clear-Site-Data",           OF_RESPONSE },
        { "Connection",                OF_HOP      },
        { "Content-Length",            OF_HOP      },   /* made anew */
        { "Expect",                    OF_HOP      },
        { "Forwarded",                 OF_REQUEST  },
        { "Host",                      OF_HOP      },
        { "Keep-Alive",                OF_HOP      },
        { "NEL",                       OF_RESPONSE },
        { "Proxy-*",                   OF_HOP      },
        { "Public-Key-Pins*",          OF_RESPONSE },
        { "Report-To",                 OF_RESPONSE },
        { "Reporting-Endpoints",       OF_RESPONSE },
        { "Service-Worker-Allowed",    OF_RESPONSE },
        { "Strict-Transport-Security", OF_RESPONSE },
        { "TE",                        OF_HOP      },
        { "Trailer",                   OF_HOP      },
        { "Transfer-Encoding",         OF_HOP      },
        { "Upgrade",                   OF_HOP      },
        { "Via",                       OF_HOP      },   /* made anew */
        { "X-Content-Type-Options",    OF_RESPONSE },   /* ours */
        { "X-Forwarded-*",             OF_REQUEST  },
        { "X-Real-IP",                 OF_REQUEST  },
};

static bool name_matches(const char *pattern, const char *name) {
        size_t n = strlen(pattern);

        return pattern[n - 1] == '*' ? strncasecmp(pattern, name, n - 1) == 0 : strcasecmp(pattern, name) == 0;
}

static bool is_kept_back(const char *name, unsigned flags) {
        for (size_t i = 0; i < ELEMENTSOF(kept_back); i++)
                if (kept_back[i].flags & flags && name_matches(kept_back[i].name, name))
                        return true;
        return false;
}

/* --- to the server */

static void append(ProxyHead *h, const char *s, size_t n) {
        if (h->n + n + 1 > h->allocated) {
                size_t wanted = MAX((h->n + n + 1) * 2, 1 * KiB);
                char *larger = realloc(h->text, wanted);

                h->failed |= !larger;
                if (!larger)
                        return;
                h->text = larger;
                h->allocated = wanted;
        }
        memcpy(h->text + h->n, s, n);
        h->n += n;
        h->text[h->n] = 0;
}

static void append_text(ProxyHead *h, const char *s) {
        append(h, s, strlen(s));
}

static void append_field(ProxyHead *h, const char *name, const char *value) {
        append_text(h, name);
        append_text(h, ": ");
        append_text(h, value);
        append_text(h, "\r\n");
}

void proxy_head_begin(ProxyHead *h, const char *method, const char *path, const char *query) {
        char host[24];

        append_text(h, method);
        append_text(h, " ");
        append_text(h, isempty(path) ? "/" : path);
        if (query) {
                append_text(h, "?");
                append_text(h, query);
        }
        append_text(h, " HTTP/1.1\r\n");
        snprintf(host, sizeof host, "localhost:%u", h->port);
        append_field(h, "Host", host);
}

/* Our own cookie, which says who may come in, is not the server's. */
static void append_cookies(ProxyHead *h, const char *value) {
        const size_t n_name = strlen(PROXY_SIGNATURE_NAME "=");
        bool first = true;

        for (const char *p = value; *p;) {
                size_t n;

                p += strspn(p, "; ");
                n = strcspn(p, ";");
                if (n > 0 && strncmp(p, PROXY_SIGNATURE_NAME "=", n_name) != 0) {
                        append_text(h, first ? "Cookie: " : "; ");
                        append(h, p, n);
                        first = false;
                }
                p += n;
        }
        if (!first)
                append_text(h, "\r\n");
}

/* A server that compares it with its Host takes a page of its own for a foreign one otherwise. */
static void append_origin(ProxyHead *h, const char *value) {
        const char *host = startswith(value, "http://") ?: startswith(value, "https://");
        char own[40];

        snprintf(own, sizeof own, "http://localhost:%u", h->port);
        append_field(h, "Origin", host && streq_ptr(host, h->own_host) ? own : value);
}

void proxy_head_add(ProxyHead *h, const char *name, const char *value) {
        if (is_kept_back(name, OF_HOP | (h->transparent ? OF_REQUEST : 0)) ||
            (h->connection && token_list_contains(h->connection, name)))
                return;
        if (!h->transparent)
                append_field(h, name, value);
        else if (strcasecmp(name, "Cookie") == 0)
                append_cookies(h, value);
        else if (strcasecmp(name, "Origin") == 0)
                append_origin(h, value);
        else if (strcasecmp(name, "Referer") != 0 || !strstr(value, PROXY_SIGNATURE_NAME "="))
                append_field(h, name, value);
}

void proxy_head_add_own(ProxyHead *h, const char *name, const char *value) {
        append_field(h, name, value);
}

void proxy_head_end(ProxyHead *h, uint64_t body_size, const char *upgrade) {
        char text[32];

        append_text(h, "Via: ");
        if (h->via) {
                append_text(h, h->via);
                append_text(h, ", ");
        }
        append_text(h, VIA "\r\n");
        if (upgrade) {
                append_field(h, "Connection", "Upgrade");
                append_field(h, "Upgrade", upgrade);
        }
        if (body_size == UINT64_MAX)
                append_field(h, "Transfer-Encoding", "chunked");
        else if (body_size > 0) {
                snprintf(text, sizeof text, "%" PRIu64, body_size);
                append_field(h, "Content-Length", text);
        }
        append_text(h, "\r\n");
}

void proxy_head_append(ProxyHead *h, const char *s, size_t n) {
        append(h, s, n);
}

void proxy_head_done(ProxyHead *h) {
        free(h->text);
        *h = (ProxyHead) {};
}

unsigned proxy_count_via(const char *via) {
        unsigned n = 0;

        for (const char *p = via; p && (p = strstr(p, VIA)); p += strlen(VIA))
                n++;
        return n;
}

/* --- signatures */

int proxy_find_signature(const char *text, const char *separators, char **ret) {
        const size_t n_name = strlen(PROXY_SIGNATURE_NAME "=");

        *ret = NULL;
        for (const char *p = text; p && *p;) {
                size_t n;

                p += strspn(p, separators);
                n = strcspn(p, separators);
                if (strncmp(p, PROXY_SIGNATURE_NAME "=", n_name) == 0) {
                        *ret = strndup(p + n_name, n - n_name);
                        return *ret ? 1 : -ENOMEM;
                }
                p += n;
        }
        return 0;
}

int proxy_strip_query(const char *query, char **ret) {
        const size_t n_name = strlen(PROXY_SIGNATURE_NAME "=");
        _cleanup_free_ char *text = query ? malloc(strlen(query) + 1) : NULL;
        char *q = text;
        bool any = false;

        *ret = NULL;
        if (!query)
                return 0;
        if (!text)
                return -ENOMEM;
        for (const char *p = query;; p++) {
                size_t n = strcspn(p, "&");

                if (strncmp(p, PROXY_SIGNATURE_NAME "=", n_name) != 0) {
                        if (any)
                                *q++ = '&';
                        q = mempcpy(q, p, n);
                        any = true;
                }
                p += n;
                if (!*p)
                        break;
        }
        *q = 0;
        if (any)
                *ret = TAKE_PTR(text);
        return 0;
}

/* --- from the server */

/* What of a URL of the server is its path; NULL: it leads elsewhere. */
static const char *own_path(const char *url, uint16_t port) {
        static const char *const hosts[] = { "http://localhost", "http://127.0.0.1", "http://[::1]" };

        if (*url == '/')
                return url[1] == '/' || url[1] == '\\' ? NULL : url;
        for (size_t i = 0; i < ELEMENTSOF(hosts); i++) {
                const char *rest = startswith(url, hosts[i]);
                char with_port[8];

                if (!rest)
                        continue;
                snprintf(with_port, sizeof with_port, ":%u", port);
                rest = startswith(rest, with_port) ?: port == 80 ? rest : NULL;
                if (rest && (*rest == '/' || *rest == 0 || *rest == '?'))
                        return rest;
        }
        return NULL;
}

static int make_location(const char *value, const char *base, uint16_t port, char **ret) {
        const char *path = own_path(value, port);

        return asprintf(ret, "%s%s%s", path ? base : "", path && *path != '/' ? "/" : "", path ?: value) < 0 ? -ENOMEM : 1;
}

/* The attributes that say for which host and path it is; all others stay. */
static bool is_scope(const char *attribute, size_t n, const char *name) {
        size_t k = strlen(name);

        return n >= k && strncasecmp(attribute, name, k) == 0 && (n == k || strchr("= \t", attribute[k]));
}

static int make_cookie(const char *value, const char *base, char **ret) {
        _cleanup_free_ char *kept = malloc(strlen(value) + 1), *path = NULL;
        char *q = kept;

        if (!kept)
                return -ENOMEM;
        for (const char *p = value; *p;) {
                size_t n;

                p += strspn(p, "; ");
                n = strcspn(p, ";");
                if (is_scope(p, n, "Path") && q > kept) {
                        const char *given = memchr(p, '=', n);

                        free(path);
                        path = given ? strndup(given + 1, (size_t) (p + n - given - 1)) : NULL;
                } else if (n > 0 && !(is_scope(p, n, "Domain") && q > kept)) {
                        q = stpcpy(q, q > kept ? "; " : "");
                        q = mempcpy(q, p, n);
                }
                p += n;
        }
        *q = 0;
        if (q == kept || strncmp(kept, PROXY_SIGNATURE_NAME "=", strlen(PROXY_SIGNATURE_NAME "=")) == 0)
                return 0;
        return asprintf(ret, "%s; Path=%s%s", kept, base, path && *path == '/' ? path : "/") < 0 ? -ENOMEM : 1;
}

int proxy_response_field(const ResponseHead *head, const ResponseField *field, const char *base, uint16_t port,
                         char **ret_value) {
        if (is_kept_back(field->name, OF_HOP | OF_RESPONSE))
                return 0;
        for (size_t i = 0; i < head->n_fields; i++)
                if (strcasecmp(head->fields[i].name, "Connection") == 0 &&
                    token_list_contains(head->fields[i].value, field->name))
                        return 0;
        if (strcasecmp(field->name, "Location") == 0)
                return make_location(field->value, base, port, ret_value);
        if (strcasecmp(field->name, "Set-Cookie") == 0)
                return make_cookie(field->value, base, ret_value);
        *ret_value = strdup(field->value);
        return *ret_value ? 1 : -ENOMEM;
}
