/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/git.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/string-util.h"

/* git reads words as options wherever they stand, runs commands that a URL or a configuration names, and shows URLs
 * with their passwords to everybody who lists processes. So operands are checked here although they stand behind "--",
 * transports are named that may be used, and secrets travel in the environment of one process: a credential helper of
 * one line reads them when a server asks. No hook of the repository runs then, since it would read them, too. */

#define URL_MAX 2048U

/* In a shell's words, because that is what git wants a helper to be; nothing of a client's is in it. */
#define HELPER                                                                                     \
        "!f() { test \"$1\" = get && printf 'username=%s\\npassword=%s\\n' \"$SANDBOXD_GIT_USERNAME\" " \
        "\"$SANDBOXD_GIT_PASSWORD\"; }; f"

static bool has_control(const char *s) {
        for (; *s; s++)
                if ((unsigned char) *s < ' ' || *s == 0x7f)
                        return true;
        return false;
}

int git_check_operand(const char *name, const char *value, sd_bus_error *error) {
        if (isempty(value))
                return bus_error_set(error, BUS_ERROR_INVALID, "%s is required", name);
        if (value[0] == '-')
                return bus_error_set(error, BUS_ERROR_INVALID, "%s must not begin with '-'", name);
        if (strlen(value) > GIT_TEXT_MAX || has_control(value))
                return bus_error_set(error, BUS_ERROR_INVALID, "%s is too long or has control characters", name);
        return 0;
}

/* The text behind "scheme://", if it is one of ours. */
static const char *url_rest(const char *url) {
        static const char *const schemes[] = { "https://", "http://", "ssh://", "git://" };

        for (size_t i = 0; i < ELEMENTSOF(schemes); i++) {
                const char *rest = startswith(url, schemes[i]);

                if (rest)
                        return rest;
        }
        return NULL;
}

/* ssh takes a host that begins with '-' for an option. */
static bool host_is_valid(const char *rest) {
        size_t n = strcspn(rest, "/");
        const char *at = memrchr(rest, '@', n), *host = at ? at + 1 : rest;

        return rest[0] != '-' && host[0] != '-' && host[0] != '/' && host[0] != ':' && host[0];
}

/* [user@]host:path, which has no slash before the colon. */
static bool is_scp_like(const char *url) {
        size_t n = strcspn(url, ":/");

        return n > 0 && url[n] == ':' && url[n + 1] && url[n + 1] != ':' && !startswith(url + n, "://") &&
               host_is_valid(url);
}

int git_check_url(const char *url, sd_bus_error *error) {
        const char *rest = url ? url_rest(url) : NULL;

        if (isempty(url))
                return bus_error_set(error, BUS_ERROR_INVALID, "url is required");
        if (strlen(url) > URL_MAX || has_control(url) || strchr(url, '`') || strstr(url, "$(") ||
            (url[0] != '/' && strchr(url, ' ')))
                return bus_error_set(error, BUS_ERROR_INVALID, "Invalid git URL");
        if (rest ? host_is_valid(rest) : url[0] == '/' || is_scp_like(url))
                return 0;
        return bus_error_set(error, BUS_ERROR_INVALID,
                             "Invalid git URL: https, http, ssh and git, host:path and absolute paths are known");
}

static int hex_value(char c) {
        return c >= '0' && c <= '9' ? c - '0' : isxdigit((unsigned char) c) ? (c | 0x20) - 'a' + 10 : -1;
}

static char *decode(const char *s, size_t n) {
        char *result = malloc(n + 1), *p = result;

        if (!result)
                return NULL;
        for (size_t i = 0; i < n; i++)
                if (s[i] == '%' && i + 2 < n && hex_value(s[i + 1]) >= 0 && hex_value(s[i + 2]) >= 0) {
                        *p++ = (char) (hex_value(s[i + 1]) * 16 + hex_value(s[i + 2]));
                        i += 2;
                } else
                        *p++ = s[i];
        *p = 0;
        return result;
}

/* Of https and http: ssh and git have users, but no passwords that anybody would read. */
static int take_secrets(GitAccess *a) {
        const char *rest = startswith(a->url, "http") ? url_rest(a->url) : NULL, *at, *colon;
        char *clean;

        at = rest ? memrchr(rest, '@', strcspn(rest, "/")) : NULL;
        if (!at)
                return 0;
        colon = memchr(rest, ':', (size_t) (at - rest));
        if (!a->username)
                a->username = decode(rest, (size_t) ((colon ?: at) - rest));
        if (!a->password)
                a->password = colon ? decode(colon + 1, (size_t) (at - colon - 1)) : strdup("");
        if (asprintf(&clean, "%.*s%s", (int) (rest - a->url), a->url, at + 1) < 0)
                return -ENOMEM;
        free(a->url);
        a->url = clean;
        return a->username && a->password ? 0 : -ENOMEM;
}

int git_access_init(const char *url, const char *username, const char *password, GitAccess *ret,
                    sd_bus_error *error) {
        _cleanup_(git_access_done) GitAccess a = {};
        int r;

        r = free_and_strdup(&a.url, url);
        if (r >= 0)
                r = free_and_strdup(&a.username, username);
        if (r >= 0)
                r = free_and_strdup(&a.password, password);
        if (r >= 0 && a.url)
                r = take_secrets(&a);
        /* The hosts of tokens want a name, and do not look at it. */
        if (r >= 0 && a.password && !a.username)
                r = free_and_strdup(&a.username, "x-access-token");
        if (r >= 0 && a.username && !a.password)
                r = free_and_strdup(&a.password, "");
        if (r < 0)
                return r;
        /* One line each is what the protocol of helpers can say. */
        if (a.username && (has_control(a.username) || has_control(a.password)))
                return bus_error_set(error, BUS_ERROR_INVALID, "Credentials must not have control characters");
        *ret = a;
        a = (GitAccess) {};
        return 0;
}

void git_access_done(GitAccess *a) {
        a->url = mfree(a->url);
        if (a->password)
                explicit_bzero(a->password, strlen(a->password));
        a->username = mfree(a->username);
        a->password = mfree(a->password);
}

typedef struct ConfigWriter {
        char ***env;
        unsigned n;
        int r;
} ConfigWriter;

static void set_variable(ConfigWriter *w, const char *name, const char *value) {
        if (w->r >= 0)
                w->r = strv_env_set(w->env, name, value);
}

static void set_config(ConfigWriter *w, const char *key, const char *value) {
        char name[32];

        snprintf(name, sizeof name, "GIT_CONFIG_KEY_%u", w->n);
        set_variable(w, name, key);
        snprintf(name, sizeof name, "GIT_CONFIG_VALUE_%u", w->n++);
        set_variable(w, name, value);
}

/* For the host of the URL only; where only git knows the remote, for whichever asks, but not for one that it is
 * redirected to. The empty helper before it takes away those that would store what they hear. */
static void set_access(ConfigWriter *w, const GitAccess *a) {
        _cleanup_free_ char *key = NULL;
        const char *rest = a->url ? url_rest(a->url) : NULL;

        set_variable(w, "SANDBOXD_GIT_USERNAME", a->username);
        set_variable(w, "SANDBOXD_GIT_PASSWORD", a->password);
        set_config(w, "core.hooksPath", "/dev/null");
        set_config(w, "credential.helper", "");
        if (!rest) {
                set_config(w, "http.followRedirects", "false");
                set_config(w, "credential.helper", HELPER);
                return;
        }
        if (asprintf(&key, "credential.%.*s.helper", (int) (rest - a->url + (ptrdiff_t) strcspn(rest, "/")), a->url) < 0)
                w->r = -ENOMEM;
        else
                set_config(w, key, HELPER);
}

int git_make_env(const GitAccess *access, char ***ret) {
        _cleanup_strv_free_ char **env = NULL;
        ConfigWriter w = { .env = &env };
        char count[16];

        set_variable(&w, "GIT_TERMINAL_PROMPT", "0");
        set_variable(&w, "GIT_ASKPASS", "");
        set_variable(&w, "GIT_ALLOW_PROTOCOL", "https:http:ssh:git:file");
        set_config(&w, "protocol.ext.allow", "never");
        set_config(&w, "safe.directory", "*");
        if (access && access->username)
                set_access(&w, access);
        snprintf(count, sizeof count, "%u", w.n);
        set_variable(&w, "GIT_CONFIG_COUNT", count);
        if (w.r < 0)
                return w.r;
        *ret = TAKE_PTR(env);
        return 0;
}

/* The next line of *text, of which *n bytes are left. */
static bool next_line(const char **text, size_t *n, const char **ret, size_t *ret_n) {
        const char *end;

        if (*n == 0)
                return false;
        end = memchr(*text, '\n', *n);
        *ret = *text;
        *ret_n = end ? (size_t) (end - *text) : *n;
        *n -= *ret_n + (end ? 1 : 0);
        *text += *ret_n + (end ? 1 : 0);
        return true;
}

/* Names are hostile text. */
static json_t *clean_string(const char *s, size_t n) {
        _cleanup_free_ char *text = utf8_sanitize(s, n);

        return json_string(text ?: "");
}

static const char *skip(const char *s, const char *end, const char *prefix) {
        size_t n = strlen(prefix);

        return (size_t) (end - s) >= n && memcmp(s, prefix, n) == 0 ? s + n : NULL;
}

/* "## main...origin/main [ahead 1]", "## No commits yet on main", "## HEAD (no branch)". A name has neither dots in a
 * row nor blanks. */
static json_t *branch_of_header(const char *s, size_t n) {
        static const char *const unborn[] = { "No commits yet on ", "Initial commit on " };
        const char *end = s + n, *dots;

        s += 3;
        for (size_t i = 0; i < ELEMENTSOF(unborn); i++)
                s = skip(s, end, unborn[i]) ?: s;
        dots = memmem(s, (size_t) (end - s), "...", 3);
        end = dots ?: memchr(s, ' ', (size_t) (end - s)) ?: end;
        return clean_string(s, (size_t) (end - s));
}

/* "XY path", the path as git quotes it. */
static json_t *file_of_line(const char *s, size_t n) {
        const char *code = s[0] == ' ' ? s + 1 : s;
        size_t length = (s[0] == ' ' || s[1] == ' ') ? 1 : 2;

        return json_pack("{s:o, s:o}", "status", clean_string(code, length), "path", clean_string(s + 3, n - 3));
}

json_t *git_status_to_json(const char *text, size_t n) {
        json_t *files = json_array(), *branch = NULL;
        const char *line;
        size_t length;

        while (next_line(&text, &n, &line, &length)) {
                if (length < 4)
                        continue;
                if (memcmp(line, "## ", 3) == 0) {
                        json_decref(branch);
                        branch = branch_of_header(line, length);
                } else
                        (void) json_array_append_new(files, file_of_line(line, length));
        }
        return json_pack("{s:o, s:b, s:o}", "branch", branch ?: json_string("HEAD"), "clean",
                         json_array_size(files) == 0, "files", files);
}

/* Every field ends with NUL, which neither subjects nor names can have. */
json_t *git_log_to_json(const char *text, size_t n) {
        static const char *const names[] = { "hash", "author", "date", "message" };
        const char *end = text + n;
        json_t *entries = json_array();

        while (text < end) {
                json_t *entry = json_object();

                for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                        const char *stop = text < end ? memchr(text, 0, (size_t) (end - text)) : NULL;

                        if (!stop) { /* cut off: what is not whole is not shown */
                                json_decref(entry);
                                return entries;
                        }
                        (void) json_object_set_new(entry, names[i], clean_string(text, (size_t) (stop - text)));
                        text = stop + 1;
                }
                (void) json_array_append_new(entries, entry);
        }
        return entries;
}

/* Two columns for a mark: '*' where we are, '+' where another work tree is. */
json_t *git_branches_to_json(const char *text, size_t n) {
        json_t *branches = json_array(), *current = NULL;
        const char *line;
        size_t length;

        while (next_line(&text, &n, &line, &length)) {
                json_t *name;

                if (length < 3)
                        continue;
                name = clean_string(line + 2, length - 2);
                if (line[0] == '*') {
                        json_decref(current);
                        current = json_incref(name);
                }
                (void) json_array_append_new(branches, name);
        }
        return json_pack("{s:o, s:o}", "branches", branches, "current", current ?: json_string(""));
}
