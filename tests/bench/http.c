/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/bench/http.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"

#define BUFFER_SIZE (256 * 1024)

double now_in_usec(void) {
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (double) t.tv_sec * 1e6 + (double) t.tv_nsec / 1e3;
}

static int dial(const char *address) {
        struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons((uint16_t) atoi(address)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        struct sockaddr_un un = { .sun_family = AF_UNIX };
        bool path = *address == '/';
        int fd;

        if (strlen(address) >= sizeof un.sun_path)
                return -ENAMETOOLONG;
        stpcpy(un.sun_path, address);
        fd = socket(path ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;
        if (connect(fd, path ? (struct sockaddr *) &un : (struct sockaddr *) &in, path ? sizeof un : sizeof in) < 0) {
                int r = -errno;

                close(fd);
                return r;
        }
        return fd;
}

int http_open(Http *h, const char *address) {
        *h = (Http) { .address = address, .fd = -EBADF };
        h->buffer = malloc(BUFFER_SIZE);
        if (!h->buffer)
                return -ENOMEM;
        h->fd = dial(address);
        return h->fd < 0 ? h->fd : 0;
}

void http_close(Http *h) {
        h->fd = safe_close(h->fd);
        free(h->buffer);
        h->buffer = NULL;
}

static int send_all(int fd, const char *data, size_t n) {
        while (n > 0) {
                ssize_t k = send(fd, data, n, MSG_NOSIGNAL);

                if (k < 0 && errno != EINTR)
                        return -errno;
                if (k > 0) {
                        data += k;
                        n -= (size_t) k;
                }
        }
        return 0;
}

static int format_request(Http *h, const char *method, const char *path, const char *json, char **ret) {
        const char *host = *h->address == '/' ? "" : ":";

        return asprintf(ret, "%s /sandbox%s HTTP/1.1\r\nHost: 127.0.0.1%s%s\r\n%sContent-Length: %zu\r\n\r\n%s",
                        method, path, host, *host ? h->address : "",
                        json ? "Content-Type: application/json\r\n" : "", json ? strlen(json) : 0, json ?: "");
}

/* Reads until the head is whole. The number of bytes in the buffer; ret_head: of these, the head's. */
static ssize_t read_head(Http *h, size_t *ret_head) {
        size_t n = 0;

        for (;;) {
                ssize_t k = recv(h->fd, h->buffer + n, BUFFER_SIZE - 1 - n, 0);
                char *end;

                if (k < 0 && errno == EINTR)
                        continue;
                if (k <= 0)
                        return k < 0 ? -errno : n == 0 ? -ENOTCONN : -EBADMSG;
                n += (size_t) k;
                h->buffer[n] = 0;
                end = strstr(h->buffer, "\r\n\r\n");
                if (end) {
                        *ret_head = (size_t) (end - h->buffer) + 4;
                        return (ssize_t) n;
                }
                if (n == BUFFER_SIZE - 1)
                        return -EMSGSIZE;
        }
}

static const char *find_header(const char *head, const char *name) {
        const char *p = head, *end = strstr(head, "\r\n\r\n");
        size_t n = strlen(name);

        while ((p = strstr(p, "\r\n")) && p < end) {
                p += 2;
                if (strncasecmp(p, name, n) == 0 && p[n] == ':')
                        return p + n + 1 + strspn(p + n + 1, " ");
        }
        return NULL;
}

static int read_answer(Http *h) {
        const char *length;
        size_t head, total;
        ssize_t n;

        n = read_head(h, &head);
        if (n < 0)
                return (int) n;
        length = find_header(h->buffer, "Content-Length");
        total = head + (length ? strtoul(length, NULL, 10) : 0);
        if (total >= BUFFER_SIZE)
                return -EMSGSIZE;
        while ((size_t) n < total) {
                ssize_t k = recv(h->fd, h->buffer + n, total - (size_t) n, 0);

                if (k <= 0)
                        return k < 0 ? -errno : -EBADMSG;
                n += k;
        }
        h->buffer[total] = 0;
        h->body = h->buffer + head;
        h->length = total - head;
        return atoi(h->buffer + strlen("HTTP/1.1 "));
}

/* The server may have closed a connection that lay idle; nothing was read of it, so that a fresh one is taken. */
static int transact(Http *h, const char *request, size_t size, int (*answer)(Http *h)) {
        int r;

        for (int attempt = 0;; attempt++) {
                r = send_all(h->fd, request, size);
                if (r >= 0)
                        r = answer(h);
                if ((r != -ENOTCONN && r != -EPIPE && r != -ECONNRESET) || attempt > 0)
                        return r;
                h->fd = safe_close(h->fd);
                h->fd = dial(h->address);
                if (h->fd < 0)
                        return h->fd;
        }
}

int http_call(Http *h, const char *method, const char *path, const char *json, double *ret_usec) {
        _cleanup_free_ char *request = NULL;
        double begin;
        int r, size;

        size = format_request(h, method, path, json, &request);
        if (size < 0)
                return -ENOMEM;
        begin = now_in_usec();
        r = transact(h, request, (size_t) size, read_answer);
        if (ret_usec)
                *ret_usec = now_in_usec() - begin;
        return r;
}

/* A chunked body ends with its empty chunk; the bytes before it are counted as they come over the wire. */
static int drain_answer(Http *h) {
        static const char last[] = "\r\n0\r\n\r\n";
        char tail[sizeof last] = {};
        size_t head, keep = sizeof last - 1;
        ssize_t n;
        int status;

        n = read_head(h, &head);
        if (n < 0)
                return (int) n;
        status = atoi(h->buffer + strlen("HTTP/1.1 "));
        n -= (ssize_t) head;
        memmove(h->buffer, h->buffer + head, (size_t) n);
        for (h->length = 0;;) {
                size_t k = MIN((size_t) n, keep);

                h->length += (size_t) n;
                memmove(tail, tail + k, keep - k);
                memcpy(tail + keep - k, h->buffer + (size_t) n - k, k);
                if (memcmp(tail, last, keep) == 0)
                        return status;
                n = recv(h->fd, h->buffer, BUFFER_SIZE, 0);
                if (n <= 0)
                        return n < 0 ? -errno : -EBADMSG;
        }
}

int http_drain(Http *h, const char *path, const char *json, double *ret_usec, uint64_t *ret_bytes) {
        _cleanup_free_ char *request = NULL;
        double begin;
        int r, size;

        size = format_request(h, "POST", path, json, &request);
        if (size < 0)
                return -ENOMEM;
        begin = now_in_usec();
        r = transact(h, request, (size_t) size, drain_answer);
        *ret_usec = now_in_usec() - begin;
        *ret_bytes = h->length;
        return r;
}

static int begin_answer(Http *h) {
        size_t head;
        ssize_t n;

        n = read_head(h, &head);
        if (n < 0)
                return (int) n;
        h->body = h->buffer + head;
        h->length = (size_t) n - head;
        return atoi(h->buffer + strlen("HTTP/1.1 "));
}

int http_begin(Http *h, const char *method, const char *path, const char *json) {
        _cleanup_free_ char *request = NULL;
        int size;

        size = format_request(h, method, path, json, &request);
        return size < 0 ? -ENOMEM : transact(h, request, (size_t) size, begin_answer);
}

int http_more(Http *h) {
        ssize_t n = recv(h->fd, h->buffer, BUFFER_SIZE - 1, 0);

        if (n <= 0)
                return n < 0 ? -errno : -ENOTCONN;
        h->buffer[n] = 0;
        h->body = h->buffer;
        h->length = (size_t) n;
        return (int) n;
}
