/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/settings.h"
#include "libsandbox/string-util.h"
#include "sandboxctl/ctl.h"
#include "sandboxctl/listen.h"
#include "sandboxctl/table.h"
#include "sandboxctl/text.h"
#include "sandboxctl/token.h"
#include "sandboxctl/verbs-table.h"

/* For the administrator, and the only verb that writes to this machine. It writes what a package manager would leave
 * alone: drop-ins and /etc/sandboxd, all below --root so that an image can be prepared. Nothing is restarted by it,
 * what is to be done is printed. */

#define DROPIN_DIRECTORY "/etc/systemd/system/sandboxd.socket.d"
#define DROPIN_NAME "50-listen.conf"
#define TOKEN_DIRECTORY "/etc/sandboxd"
#define TOKEN_NAME "tokens"
/* The service has no credential of its own accord: without tokens there is nothing to load. */
#define CREDENTIAL_DIRECTORY "/etc/systemd/system/sandboxd.service.d"
#define CREDENTIAL_NAME "50-tokens.conf"
#define CREDENTIAL_TEXT                                                                            \
        "# Written by \"sandboxctl configure\".\n[Service]\nLoadCredential=tokens:" TOKEN_DIRECTORY "/" TOKEN_NAME "\n"

static uint64_t arg_port = UINT64_MAX;
static char **arg_address, **arg_allow;
static bool arg_show, arg_new_token;
static const char *arg_label, *arg_root = "";

const Option configure_options[] = {
        { 's', "show", NULL, OPTION_FLAG, &arg_show, "Show all settings, their values and where these came from" },
        { 'p', "port", "NUMBER", OPTION_UINT, &arg_port, "TCP port; otherwise III_REST_PORT" },
        { 'a', "address", "ADDRESS", OPTION_STRV, &arg_address, "Listen on it instead of loopback. May be repeated" },
        { 0, "allow", "PREFIX", OPTION_STRV, &arg_allow, "Let only these addresses in. May be repeated" },
        { 0, "new-token", NULL, OPTION_FLAG, &arg_new_token, "Make a token and print it, this once" },
        { 0, "label", "TEXT", OPTION_STRING, &arg_label, "Name of the new token in logs" },
        { 0, "root", "DIRECTORY", OPTION_STRING, &arg_root, "Write below it: an image of a system" },
        {},
};

/* A token in the settings is a secret like any other. */
static bool is_secret(const SettingRow *row) {
        return streq(row->name, "III_AUTH_TOKEN") || streq(row->name, "API_KEY");
}

static int add_setting(const Ctl *c, Table *t, json_t *list, const Settings *s, const SettingRow *row,
                       const char *origin) {
        _cleanup_free_ char *value = NULL;
        const char *shown;
        int r;

        r = settings_format(s, row, &value);
        if (r < 0)
                return r;
        shown = value && is_secret(row) ? "(set)" : value;
        if (!origin)
                origin = "default";
        if (c->json)
                return json_array_append_new(list, json_pack("{s:s, s:s?, s:s, s:s}", "name", row->name, "value", shown,
                                                             "origin", origin, "help", row->help));
        r = table_add(t, row->name);
        if (r >= 0)
                r = table_add(t, shown);
        if (r >= 0)
                r = table_add(t, origin);
        return r;
}

static int show_settings(Ctl *c) {
        static const Column columns[] = { { "SETTING" }, { "VALUE" }, { "FROM" }, {} };
        _cleanup_(table_freep) Table *t = table_new(columns);
        _cleanup_free_ char **origins = new0(char *, n_setting_rows);
        _cleanup_(settings_done) Settings s = {};
        _cleanup_json_ json_t *list = json_array();
        int r = -ENOMEM;

        if (t && origins && list)
                r = settings_load_with_origins(&s, origins);
        for (size_t i = 0; r >= 0 && i < n_setting_rows; i++)
                r = add_setting(c, t, list, &s, setting_rows + i, origins[i]);
        for (size_t i = 0; origins && i < n_setting_rows; i++)
                free(origins[i]);
        if (r < 0)
                return ctl_oom(c);
        if (c->json)
                return ctl_print_json(c, list);
        table_show(t, c->out);
        return EXIT_STATUS_OK;
}

static int fail_at(Ctl *c, const char *path, int r) {
        return ctl_fail(c, r == -EACCES || r == -EPERM ? EXIT_STATUS_REFUSED : EXIT_STATUS_FAILURE, "%s: %s", path,
                        strerror(-r));
}

/* Makes "/a/b/c" below arg_root, in this mode where it is missing. */
static int open_directory(const char *path, mode_t mode, int *ret) {
        _cleanup_free_ char *full = NULL;
        int fd;

        if (asprintf(&full, "%s%s", arg_root, path) < 0) {
                full = NULL;
                return -ENOMEM;
        }
        for (char *slash = strchr(full + 1, '/'); ; slash = strchr(slash + 1, '/')) {
                if (slash)
                        *slash = 0;
                if (mkdir(full, slash ? 0755 : mode) < 0 && errno != EEXIST)
                        return -errno;
                if (!slash)
                        break;
                *slash = '/';
        }
        fd = open(full, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        *ret = fd;
        return 0;
}

static int get_port(Ctl *c, uint64_t *ret) {
        _cleanup_(settings_done) Settings s = {};

        *ret = arg_port;
        if (arg_port == UINT64_MAX) {
                if (settings_load(&s) < 0)
                        return ctl_oom(c);
                *ret = s.rest_port;
        }
        if (*ret < 1 || *ret > UINT16_MAX)
                return ctl_fail(c, EXIT_STATUS_USAGE, "%" PRIu64 " is no port", *ret);
        return EXIT_STATUS_OK;
}

/* The first, empty ListenStream= takes back the unit's own addresses; the local socket is then named again. */
static int write_listen(Ctl *c) {
        _cleanup_free_ char *text = NULL;
        _cleanup_close_ int fd = -EBADF;
        const char *bad = "";
        bool open = false;
        uint64_t port;
        int r;

        r = get_port(c, &port);
        if (r != EXIT_STATUS_OK)
                return r;
        r = listen_dropin((uint32_t) port, arg_address, arg_allow, &text, &bad);
        if (r < 0)
                return r == -ENOMEM ? ctl_oom(c) : ctl_fail(c, EXIT_STATUS_USAGE, "'%s' is no address", bad);

        r = open_directory(DROPIN_DIRECTORY, 0755, &fd);
        if (r >= 0)
                r = write_file_atomic_at(fd, DROPIN_NAME, text, 0644);
        if (r < 0)
                return fail_at(c, DROPIN_DIRECTORY "/" DROPIN_NAME, r);
        STRV_FOREACH(a, arg_address)
                open = open || !address_is_loopback(*a);
        if (open)
                ctl_warn(c, "sandboxd serves other machines only with a token, see --new-token");
        (void) puts("Wrote " DROPIN_DIRECTORY "/" DROPIN_NAME ". To use it:\n"
                    "  systemctl daemon-reload\n  systemctl restart sandboxd.socket");
        return EXIT_STATUS_OK;
}

/* Appends "token label" in one write, so that whoever reads the file meanwhile finds whole lines. */
static int append_token(const char *token, const char *label) {
        _cleanup_close_ int directory = -EBADF, fd = -EBADF;
        _cleanup_free_ char *line = NULL;
        int r;

        r = open_directory(TOKEN_DIRECTORY, 0755, &directory);
        if (r < 0)
                return r;
        fd = openat(directory, TOKEN_NAME, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return -errno;
        if (asprintf(&line, "%s%s%s\n", token, isempty(label) ? "" : " ", isempty(label) ? "" : label) < 0) {
                line = NULL;
                return -ENOMEM;
        }
        r = fchmod(fd, 0600) < 0 ? -errno : loop_write(fd, line, strlen(line));
        if (r >= 0 && fsync(fd) < 0)
                r = -errno;
        explicit_bzero(line, strlen(line));
        return r;
}

static int write_credential(void) {
        _cleanup_close_ int directory = -EBADF;
        int r;

        r = open_directory(CREDENTIAL_DIRECTORY, 0755, &directory);
        return r < 0 ? r : write_file_atomic_at(directory, CREDENTIAL_NAME, CREDENTIAL_TEXT, 0644);
}

/* The token first and the unit's drop-in behind it: a service that restarts in between finds what it is told to load. */
static int new_token(Ctl *c) {
        _cleanup_(token_freep) char *token = NULL;
        int r;

        if (arg_label && strpbrk(arg_label, "\n\r"))
                return ctl_fail(c, EXIT_STATUS_USAGE, "a label is one line");
        r = token_random(&token);
        if (r >= 0)
                r = append_token(token, arg_label);
        if (r < 0)
                return fail_at(c, TOKEN_DIRECTORY "/" TOKEN_NAME, r);
        r = write_credential();
        if (r < 0)
                return fail_at(c, CREDENTIAL_DIRECTORY "/" CREDENTIAL_NAME, r);
        (void) puts(token);
        /* Not on stdout, which is the token alone. */
        (void) fputs("Wrote " TOKEN_DIRECTORY "/" TOKEN_NAME " and " CREDENTIAL_DIRECTORY "/" CREDENTIAL_NAME
                     ". To use it:\n  systemctl daemon-reload\n  systemctl try-restart sandboxd.service\n", stderr);
        return EXIT_STATUS_OK;
}

int verb_configure(Ctl *c, _unused_ char **words) {
        int r = EXIT_STATUS_OK;

        if (arg_show)
                return show_settings(c);
        if (!arg_new_token || arg_port != UINT64_MAX || arg_address)
                r = write_listen(c);
        return r == EXIT_STATUS_OK && arg_new_token ? new_token(c) : r;
}
