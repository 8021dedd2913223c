/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxctl/ctl.h"

#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "libsandbox/sandbox-id.h"
#include "libsandbox/string-util.h"
#include "sandboxctl/screen.h"
#include "sandboxctl/sse.h"
#include "sandboxctl/text.h"

/* What goes wrong is said in one place, as one line with the same parts: verb, subject, reason, advice. Scripts get the
 * status, people the line, and a terminal never gets a control character that a server or a sandbox put into a name. */

#define PAGE_SIZE 200U
/* A server that never says "no more" shall not keep us for ever. */
#define PAGES_MAX 1000U

/* A script can act on these: log in, give up, wait, retry. All that it cannot act on is one status. */
ExitStatus exit_status_from_http(long status) {
        static const struct {
                long status;
                ExitStatus exit;
        } rows[] = {
                { 401, EXIT_STATUS_REFUSED },  { 403, EXIT_STATUS_REFUSED }, { 404, EXIT_STATUS_NOT_FOUND },
                { 408, EXIT_STATUS_SERVER },   { 409, EXIT_STATUS_CONFLICT }, { 413, EXIT_STATUS_LIMIT },
                { 429, EXIT_STATUS_LIMIT },    { 507, EXIT_STATUS_LIMIT },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                if (rows[i].status == status)
                        return rows[i].exit;
        return status >= 500 ? EXIT_STATUS_SERVER : EXIT_STATUS_FAILURE;
}

/* The text may quote a server or a sandbox: it is one line of printable characters whatever they say. */
static _printf_(2, 0) void say(const Ctl *c, const char *format, va_list ap) {
        _cleanup_free_ char *text = NULL, *safe = NULL;

        if (vasprintf(&text, format, ap) < 0)
                text = NULL;
        screen_restore();
        safe = text ? text_escape(text, strlen(text)) : NULL;
        (void) fprintf(stderr, "sandboxctl: %s%s%s\n", c->verb ? c->verb->name : "", c->verb ? ": " : "",
                       safe ? safe : "out of memory");
}

int ctl_fail(const Ctl *c, ExitStatus status, const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        say(c, format, ap);
        va_end(ap);
        return c->verb && (c->verb->flags & VERB_RUNS_COMMAND) ? EXIT_STATUS_OWN : status;
}

void ctl_warn(const Ctl *c, const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        say(c, format, ap);
        va_end(ap);
}

int ctl_oom(const Ctl *c) {
        return ctl_fail(c, EXIT_STATUS_FAILURE, "out of memory");
}

int ctl_connect(Ctl *c) {
        _cleanup_free_ char *error = NULL;
        int r;

        if (c->client)
                return EXIT_STATUS_OK;
        r = client_new(&c->connection, &c->client, &error);
        if (r == -ENOMEM)
                return ctl_oom(c);
        return r < 0 ? ctl_fail(c, EXIT_STATUS_USAGE, "%s", error ? error : strerror(-r)) : EXIT_STATUS_OK;
}

/* What whoever cannot connect should look at first. */
static const char *connection_advice(const Ctl *c) {
        const char *address = client_address(c->client);

        if (*address != '/')
                return "is the address right, and sandboxd.socket active there?";
        if (access(address, F_OK) < 0)
                return "is sandboxd.socket active? (systemctl start sandboxd.socket)";
        if (access(address, R_OK | W_OK) < 0)
                return "only root and the group sandboxd may use it";
        return "see journalctl -u sandboxd.service";
}

static const char *refusal_advice(long status, const char *text) {
        if (status == 401)
                return " (say it with --token-file or III_SANDBOX_TOKEN)";
        return status == 403 && strstr(text, "token") ? " (it is not one of this server's tokens)" : "";
}

int ctl_fail_transfer(const Ctl *c, const char *what, int r, const TransferResult *result) {
        _cleanup_json_ json_t *reply = NULL;
        const char *text;

        if (r == -ENOMEM)
                return ctl_oom(c);
        if (r == -ECONNREFUSED || r == -ECONNRESET)
                return ctl_fail(c, EXIT_STATUS_CONNECTION, "%s: no answer from %s: %s; %s", what,
                                client_address(c->client), result->text, connection_advice(c));
        if (r < 0)
                return ctl_fail(c, EXIT_STATUS_FAILURE, "%s: %s", what, strerror(-r));

        reply = json_loadb(result->text, result->size, JSON_DECODE_ANY, NULL);
        text = json_string_value(json_object_get(reply, "error"));
        if (!text)
                text = json_string_value(json_object_get(reply, "message"));
        if (!text && (result->status == 404 || result->status == 405))
                return ctl_fail(c, EXIT_STATUS_FAILURE, "%s: the server has no such request (HTTP status %ld)", what,
                                result->status);
        if (!text)
                return ctl_fail(c, exit_status_from_http(result->status), "%s: HTTP status %ld", what,
                                result->status);
        return ctl_fail(c, exit_status_from_http(result->status), "%s: %s%s", what, text,
                        refusal_advice(result->status, text));
}

/* From the connection to the last byte of a 2xx. All else has been said when it returns. result points into *ret. */
static int transfer(Ctl *c, const char *what, const TransferSpec *spec, Transfer **ret, TransferResult *result) {
        int r;

        if (!spec->path)
                return ctl_oom(c);
        r = ctl_connect(c);
        if (r != EXIT_STATUS_OK)
                return r;
        r = transfer_new(c->client, spec, ret);
        if (r >= 0)
                r = transfer_finish(*ret, result);
        if (r < 0 || result->status < 200 || result->status > 299)
                return ctl_fail_transfer(c, what, r, result);
        return EXIT_STATUS_OK;
}

/* An answer that is no JSON is not from a server of ours: a proxy, or another program on that port. */
int ctl_request(Ctl *c, const char *what, const char *method, const char *path, json_t *body, json_t **ret_reply) {
        _cleanup_(transfer_freep) Transfer *t = NULL;
        _cleanup_json_ _unused_ json_t *owned = body;
        _cleanup_json_ json_t *reply = NULL;
        TransferResult result = {};
        int r;

        r = transfer(c, what, &(TransferSpec) { .method = method, .path = path, .body = body }, &t, &result);
        if (r != EXIT_STATUS_OK)
                return r;
        reply = json_loadb(result.text, result.size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        if (!reply)
                return ctl_fail(c, EXIT_STATUS_SERVER, "%s: the answer of %s is not JSON", what,
                                client_address(c->client));
        if (ret_reply)
                *ret_reply = TAKE_PTR(reply);
        return EXIT_STATUS_OK;
}

int ctl_receive(Ctl *c, const char *what, const TransferSpec *spec) {
        _cleanup_(transfer_freep) Transfer *t = NULL;
        TransferResult result = {};

        return transfer(c, what, spec, &t, &result);
}

static int on_stream_data(const char *data, size_t n, void *userdata) {
        return sse_feed(userdata, data, n);
}

int ctl_stream(Ctl *c, const char *what, const char *path, int (*handler)(const json_t *event, void *userdata)) {
        _cleanup_(sse_done) SseParser parser = { .handler = handler, .userdata = c };

        return ctl_receive(c, what, &(TransferSpec) { .method = "GET", .path = path, .accept = "text/event-stream",
                                                      .sink = on_stream_data, .userdata = &parser });
}

int ctl_create(Ctl *c, const char *what, const char *path, json_t *body) {
        _cleanup_json_ json_t *reply = NULL;
        int r;

        r = ctl_request(c, what, "POST", path, body, &reply);
        if (r != EXIT_STATUS_OK)
                return r;
        if (c->json)
                return ctl_print_json(c, reply);
        (void) puts(json_text(reply, "id"));
        return EXIT_STATUS_OK;
}

int ctl_delete(Ctl *c, const char *what, const char *path) {
        _cleanup_json_ json_t *reply = NULL;
        int r;

        r = ctl_request(c, what, "DELETE", path, NULL, &reply);
        return r == EXIT_STATUS_OK && c->json ? ctl_print_json(c, reply) : r;
}

char *ctl_path(const char *format, ...) {
        char *path;
        va_list ap;

        va_start(ap, format);
        if (vasprintf(&path, format, ap) < 0)
                path = NULL;
        va_end(ap);
        return path;
}

/* The server's pages are joined, so that neither a table nor a script has to know that there are any. The pages are
 * read one by one while sandboxes come and go: one may be missed or seen twice, which an operator's list can bear. */
int ctl_list(Ctl *c, const char *filter, json_t **ret) {
        _cleanup_json_ json_t *items = json_array();
        int64_t total = 0;

        for (unsigned page = 1; page <= PAGES_MAX; page++) {
                _cleanup_free_ char *path = ctl_path("/sandboxes?page=%u&pageSize=%u%s", page, PAGE_SIZE,
                                                     filter ? filter : "");
                _cleanup_json_ json_t *reply = NULL;
                json_t *more;
                int r;

                if (!items)
                        return ctl_oom(c);
                r = ctl_request(c, "sandboxes", "GET", path, NULL, &reply);
                if (r != EXIT_STATUS_OK)
                        return r;
                more = json_object_get(reply, "items");
                total = json_int(reply, "total");
                if (json_array_extend(items, more) < 0)
                        return ctl_fail(c, EXIT_STATUS_SERVER, "sandboxes: the answer has no list");
                if (json_array_size(more) == 0 || (int64_t) json_array_size(items) >= total)
                        break;
        }
        *ret = json_pack("{s:O, s:I}", "items", items, "total", (json_int_t) total);
        return *ret ? EXIT_STATUS_OK : ctl_oom(c);
}

/* 2: it is this one, 1: it may be meant, 0: another one. */
static int match_sandbox(const json_t *item, const char *word) {
        const char *id = json_text(item, "id");
        const char *digits = startswith(id, SANDBOX_ID_PREFIX);

        if (!object_id_is_valid(id, "sbx"))
                return 0;
        if (streq(id, word) || streq(json_text(item, "name"), word))
                return 2;
        return startswith(id, word) || (digits && startswith(digits, word)) ? 1 : 0;
}

/* A whole id is believed without a question, which saves a request and is the way for scripts. All else is looked up
 * in the list, once: a whole name or id wins over starts of ids, since a name may look like one. */
int ctl_resolve(Ctl *c, const char *word, char **ret_id) {
        _cleanup_json_ json_t *list = NULL;
        const char *found = NULL;
        unsigned n = 0;
        int best = 1, r;
        json_t *item;
        size_t i;

        if (object_id_is_valid(word, "sbx")) {
                *ret_id = strdup(word);
                return *ret_id ? EXIT_STATUS_OK : ctl_oom(c);
        }
        if (isempty(word))
                return ctl_fail(c, EXIT_STATUS_USAGE, "the id of a sandbox is empty");
        if (streq_ptr(c->known, word)) {
                *ret_id = strdup(c->known_id);
                return *ret_id ? EXIT_STATUS_OK : ctl_oom(c);
        }
        r = ctl_list(c, NULL, &list);
        if (r != EXIT_STATUS_OK)
                return r;

        json_array_foreach(json_object_get(list, "items"), i, item) {
                int match = match_sandbox(item, word);

                if (match < best)
                        continue;
                n = match > best ? 1 : n + 1;
                best = match;
                found = json_text(item, "id");
        }
        if (n == 0)
                return ctl_fail(c, EXIT_STATUS_NOT_FOUND, "%s: no sandbox has this id or name", word);
        if (n > 1)
                return ctl_fail(c, EXIT_STATUS_CONFLICT, "%s: %u sandboxes have this name or start of an id, %s is one; "
                                "see sandboxctl list", word, n, found);
        *ret_id = strdup(found);
        if (!*ret_id || free_and_strdup(&c->known_id, found) < 0 || free_and_strdup(&c->known, word) < 0)
                return ctl_oom(c);
        return EXIT_STATUS_OK;
}

/* Beyond ASCII everything is escaped: a terminal is then as safe as with our tables, and a parser sees the same text. */
int ctl_print_json(const Ctl *c, const json_t *j) {
        int r = json_dumpf(j, c->out, JSON_INDENT(2) | JSON_ENCODE_ANY | JSON_ENSURE_ASCII);

        (void) fputc('\n', c->out);
        return r < 0 ? EXIT_STATUS_FAILURE : EXIT_STATUS_OK;
}

int ctl_print_json_line(const json_t *j) {
        return json_dumpf(j, stdout, JSON_COMPACT | JSON_ENSURE_ASCII) < 0 || putchar('\n') == EOF ||
               fflush(stdout) == EOF ? -errno : 0;
}

const char *json_text(const json_t *object, const char *key) {
        const char *s = json_string_value(json_object_get(object, key));

        return s ? s : "";
}

int64_t json_int(const json_t *object, const char *key) {
        const json_t *value = json_object_get(object, key);

        return json_is_real(value) ? (int64_t) json_real_value(value) : json_integer_value(value);
}

/* Of the caller's environment: we ourselves stay in the C locale, so that numbers are the same everywhere. */
bool ctl_locale_is_utf8(void) {
        locale_t locale = newlocale(LC_CTYPE_MASK, "", (locale_t) 0);
        bool utf8;

        if (!locale)
                return false;
        utf8 = streq(nl_langinfo_l(CODESET, locale), "UTF-8");
        freelocale(locale);
        return utf8;
}

int64_t now_msec(void) {
        struct timespec ts;

        (void) clock_gettime(CLOCK_REALTIME, &ts);
        return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}
