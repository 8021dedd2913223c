/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxctl/client.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "libsandbox/bus-names.h"
#include "libsandbox/fd-util.h"
#include "libsandbox/string-util.h"
#include "sandboxctl/token.h"

#define DEFAULT_URL "http://localhost:3111"
#define DEFAULT_PREFIX "sandbox"
#define CONNECT_TIMEOUT_SEC 10L
/* A reply that we keep whole: base64 of a file and long lists. */
#define REPLY_MAX (64 * MiB)
#define ERROR_MAX (64 * KiB)
#define WAIT_MSEC 60000

struct Client {
        CURLM *multi;
        char *socket;            /* NULL: TCP */
        char *base;              /* URL without the path */
        char *prefix;
        char *authorization;     /* whole header line, or NULL */
        bool moved;              /* a callback ran: the caller must look before we wait */
};

struct Transfer {
        Client *client;
        CURL *easy;
        struct curl_slist *headers;
        TransferSpec spec;
        char *body;
        char error[CURL_ERROR_SIZE];
        bool done, paused;
        int r;                   /* of sink and source, or of the connection */
        long status;
        char *text;
        size_t size;
};

/* An unix socket that this caller may use wins over the TCP port: it needs no token. */
static int choose_server(Client *c, const ClientOptions *options) {
        const char *url = options->url ? options->url : options->socket ? NULL : getenv("III_SANDBOX_URL");
        const char *socket = url ? NULL : options->socket;
        size_t n;

        if (!url && !socket && access(API_SOCKET_PATH, R_OK | W_OK) >= 0)
                socket = API_SOCKET_PATH;
        if (socket) {
                c->socket = strdup(socket);
                c->base = strdup("http://localhost");
                return c->socket && c->base ? 0 : -ENOMEM;
        }
        if (isempty(url))
                url = DEFAULT_URL;
        if (!startswith(url, "http://") && !startswith(url, "https://"))
                return -EINVAL;
        for (n = strlen(url); url[n - 1] == '/'; n--)
                ;
        c->base = strndup(url, n);
        return c->base ? 0 : -ENOMEM;
}

/* The server's setting of the same name moves all its paths; both sides read the same variable. */
static int set_prefix(Client *c) {
        const char *prefix = getenv("III_API_PREFIX");

        c->prefix = path_prefix(prefix ?: DEFAULT_PREFIX);
        return c->prefix ? 0 : -ENOMEM;
}

static int set_token(Client *c, const ClientOptions *options, char **ret_error) {
        _cleanup_(token_freep) char *token = NULL;
        int r;

        r = token_load(options->token_file, options->token_fd, &token, ret_error);
        if (r < 0 || !token)
                return r;
        return asprintf(&c->authorization, "Authorization: Bearer %s", token) < 0 ? -ENOMEM : 0;
}

int client_new(const ClientOptions *options, Client **ret, char **ret_error) {
        _cleanup_(client_freep) Client *c = new0(Client, 1);
        int r;

        *ret_error = NULL;
        if (!c)
                return -ENOMEM;

        r = choose_server(c, options);
        if (r == -EINVAL && asprintf(ret_error, "the URL must begin with http:// or https://") < 0)
                return -ENOMEM;
        if (r >= 0)
                r = set_prefix(c);
        if (r >= 0)
                r = set_token(c, options, ret_error);
        if (r < 0)
                return r;
        if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
                return -ENOMEM;
        c->multi = curl_multi_init();
        if (!c->multi)
                return -ENOMEM;

        *ret = TAKE_PTR(c);
        return 0;
}

Client *client_free(Client *c) {
        if (!c)
                return NULL;
        if (c->multi) {
                curl_multi_cleanup(c->multi);
                curl_global_cleanup();
        }
        free(c->socket);
        free(c->base);
        free(c->prefix);
        token_free(c->authorization);
        free(c);
        return NULL;
}

const char *client_address(const Client *c) {
        return c->socket ? c->socket : c->base;
}

/* Slashes stay, for the sake of logs: within a query they have no meaning. */
char *client_encode(const char *value) {
        static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/";
        char *encoded = malloc(strlen(value) * 3 + 1), *p = encoded;

        if (!encoded)
                return NULL;
        for (; *value; value++)
                if (strchr(plain, *value))
                        *p++ = *value;
                else
                        p += sprintf(p, "%%%02X", (unsigned char) *value);
        *p = 0;
        return encoded;
}

/* Replies without a sink, and errors of those with one. */
static int collect(Transfer *t, const char *data, size_t n) {
        size_t max = t->spec.sink ? ERROR_MAX : REPLY_MAX;
        char *larger;

        if (n > max - t->size)
                return -EFBIG;
        larger = realloc(t->text, t->size + n + 1);
        if (!larger)
                return -ENOMEM;
        memcpy(larger + t->size, data, n);
        t->text = larger;
        t->size += n;
        t->text[t->size] = 0;
        return 0;
}

/* Whatever comes from a server that refused is its explanation, not the file that was asked for. */
static size_t on_write(char *data, size_t size, size_t n, void *userdata) {
        Transfer *t = userdata;
        long status = 0;
        int r;

        t->client->moved = true;
        curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
        if (t->spec.sink && status >= 200 && status < 300)
                r = t->spec.sink(data, size * n, t->spec.userdata);
        else
                r = collect(t, data, size * n);
        if (r < 0) {
                t->r = r;
                return 0;
        }
        return size * n;
}

static size_t on_read(char *buffer, size_t size, size_t n, void *userdata) {
        Transfer *t = userdata;
        ssize_t k = t->spec.source(buffer, size * n, t->spec.userdata);

        t->client->moved = true;
        if (k == -EAGAIN) {
                t->paused = true;
                return CURL_READFUNC_PAUSE;
        }
        if (k < 0) {
                t->r = (int) k;
                return CURL_READFUNC_ABORT;
        }
        return (size_t) k;
}

static int add_header(Transfer *t, const char *line) {
        struct curl_slist *longer = curl_slist_append(t->headers, line);

        if (!longer)
                return -ENOMEM;
        t->headers = longer;
        return 0;
}

static int set_headers(Transfer *t) {
        char accept[128];
        int r;

        (void) snprintf(accept, sizeof accept, "Accept: %s", t->spec.accept ? t->spec.accept : "application/json");
        r = add_header(t, accept);
        if (r >= 0 && (t->spec.body || t->spec.source || t->spec.raw))
                r = add_header(t, t->spec.body ? "Content-Type: application/json"
                                               : "Content-Type: application/octet-stream");
        /* Waiting a second for a permission to send that no server of ours gives would only slow uploads down. */
        if (r >= 0)
                r = add_header(t, "Expect:");
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(t->spec.headers) && t->spec.headers[i]; i++)
                r = add_header(t, t->spec.headers[i]);
        if (r >= 0 && t->client->authorization)
                r = add_header(t, t->client->authorization);
        if (r >= 0)
                curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->headers);
        return r;
}

static int set_body(Transfer *t) {
        const TransferSpec *s = &t->spec;

        if (s->source) {
                curl_easy_setopt(t->easy, CURLOPT_UPLOAD, 1L);
                /* A source cannot be read twice, so no connection that the server may just have closed. */
                curl_easy_setopt(t->easy, CURLOPT_FRESH_CONNECT, 1L);
                curl_easy_setopt(t->easy, CURLOPT_READFUNCTION, on_read);
                curl_easy_setopt(t->easy, CURLOPT_READDATA, t);
                if (s->source_size != UINT64_MAX)
                        curl_easy_setopt(t->easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t) s->source_size);
        } else if (s->raw) {
                curl_easy_setopt(t->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) s->raw_size);
                curl_easy_setopt(t->easy, CURLOPT_POSTFIELDS, s->raw);
        } else if (s->body || streq(s->method, "POST")) {
                t->body = s->body ? json_dumps(s->body, JSON_COMPACT) : strdup("");
                if (!t->body)
                        return -ENOMEM;
                curl_easy_setopt(t->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) strlen(t->body));
                curl_easy_setopt(t->easy, CURLOPT_POSTFIELDS, t->body);
        }
        curl_easy_setopt(t->easy, CURLOPT_CUSTOMREQUEST, s->method);
        if (streq(s->method, "HEAD"))
                curl_easy_setopt(t->easy, CURLOPT_NOBODY, 1L);
        return 0;
}

/* A proxy of the environment would get requests, and the token, that were meant for this machine. */
static bool is_loopback(const char *url) {
        return startswith(url, "http://localhost") || startswith(url, "http://127.") || startswith(url, "http://[::1]");
}

static int set_target(Transfer *t) {
        const Client *c = t->client;
        _cleanup_free_ char *url = NULL;

        if (asprintf(&url, "%s%s%s", c->base, c->prefix, t->spec.path) < 0)
                return -ENOMEM;
        curl_easy_setopt(t->easy, CURLOPT_URL, url);
        if (c->socket)
                curl_easy_setopt(t->easy, CURLOPT_UNIX_SOCKET_PATH, c->socket);
        if (c->socket || is_loopback(c->base))
                curl_easy_setopt(t->easy, CURLOPT_PROXY, "");
        curl_easy_setopt(t->easy, CURLOPT_PROTOCOLS_STR, "http,https");
        curl_easy_setopt(t->easy, CURLOPT_CONNECTTIMEOUT, CONNECT_TIMEOUT_SEC);
        curl_easy_setopt(t->easy, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(t->easy, CURLOPT_USERAGENT, "sandboxctl/" PACKAGE_VERSION);
        curl_easy_setopt(t->easy, CURLOPT_ERRORBUFFER, t->error);
        curl_easy_setopt(t->easy, CURLOPT_PRIVATE, t);
        curl_easy_setopt(t->easy, CURLOPT_WRITEFUNCTION, on_write);
        curl_easy_setopt(t->easy, CURLOPT_WRITEDATA, t);
        return 0;
}

int transfer_new(Client *c, const TransferSpec *spec, Transfer **ret) {
        _cleanup_(transfer_freep) Transfer *t = new0(Transfer, 1);
        int r;

        if (!t)
                return -ENOMEM;
        t->client = c;
        t->spec = *spec;
        t->easy = curl_easy_init();
        if (!t->easy)
                return -ENOMEM;

        r = set_target(t);
        if (r >= 0)
                r = set_headers(t);
        if (r >= 0)
                r = set_body(t);
        if (r < 0)
                return r;
        if (curl_multi_add_handle(c->multi, t->easy) != CURLM_OK)
                return -ENOMEM;
        *ret = TAKE_PTR(t);
        return 0;
}

Transfer *transfer_free(Transfer *t) {
        if (!t)
                return NULL;
        if (t->easy) {
                curl_multi_remove_handle(t->client->multi, t->easy);
                curl_easy_cleanup(t->easy);
        }
        curl_slist_free_all(t->headers);
        free(t->body);
        free(t->text);
        free(t);
        return NULL;
}

void transfer_resume(Transfer *t) {
        if (!t->paused)
                return;
        t->paused = false;
        curl_easy_pause(t->easy, CURLPAUSE_CONT);
}

bool transfer_is_done(const Transfer *t) {
        return t->done;
}

bool transfer_is_paused(const Transfer *t) {
        return t->paused;
}

int64_t transfer_reply_size(const Transfer *t) {
        curl_off_t size = -1;

        curl_easy_getinfo(t->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &size);
        return size;
}

const char *transfer_header(const Transfer *t, const char *name) {
        struct curl_header *header;

        return curl_easy_header(t->easy, name, 0, CURLH_HEADER, -1, &header) == CURLHE_OK ? header->value : NULL;
}

int transfer_result(const Transfer *t, TransferResult *ret) {
        assert(t->done);

        *ret = (TransferResult) {
                .status = t->status,
                .text = t->text ? t->text : t->r < 0 ? t->error : "",
                .size = t->text ? t->size : 0,
        };
        return t->r;
}

/* An answer of the server explains more than a connection that broke while we were still sending. */
static void transfer_complete(Transfer *t, CURLcode code) {
        t->done = t->client->moved = true;
        curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &t->status);
        if (code == CURLE_OK || t->r < 0)
                return;
        if (t->status >= 400 && t->size > 0)
                return;
        if (isempty(t->error))
                (void) snprintf(t->error, sizeof t->error, "%s", curl_easy_strerror(code));
        t->r = t->status == 0 && (code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST)
                       ? -ECONNREFUSED
                       : -ECONNRESET;
}

static void collect_messages(Client *c) {
        CURLMsg *m;
        int left;

        while ((m = curl_multi_info_read(c->multi, &left))) {
                void *t = NULL;

                if (m->msg != CURLMSG_DONE)
                        continue;
                curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **) &t);
                transfer_complete(t, m->data.result);
        }
}

#define WATCHED_MAX 4U

/* Returns as soon as a callback ran, without a look at the descriptors: what it learned, such as that a command has
 * started or that its input ran dry, decides what the next wait must watch. */
int client_wait(Client *c, struct pollfd *watched, size_t n_watched) {
        struct curl_waitfd fds[WATCHED_MAX];
        int running = 0;

        assert(n_watched <= WATCHED_MAX);

        c->moved = false;
        for (size_t i = 0; i < n_watched; i++) {
                fds[i] = (struct curl_waitfd) { .fd = watched[i].fd, .events = CURL_WAIT_POLLIN };
                watched[i].revents = 0;
        }
        if (curl_multi_perform(c->multi, &running) != CURLM_OK)
                return -EIO;
        collect_messages(c);
        if (c->moved || running == 0)
                return 0;
        if (curl_multi_poll(c->multi, fds, (unsigned) n_watched, WAIT_MSEC, NULL) != CURLM_OK)
                return -EIO;
        for (size_t i = 0; i < n_watched; i++)
                watched[i].revents = fds[i].revents;
        return 0;
}

int transfer_finish(Transfer *t, TransferResult *ret) {
        while (!t->done) {
                int r = client_wait(t->client, NULL, 0);

                if (r < 0)
                        return r;
        }
        return transfer_result(t, ret);
}
