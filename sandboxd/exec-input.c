/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/exec-input.h"

#include <errno.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/parse-util.h"
#include "libsandbox/string-util.h"
#include "sandboxd/json-fields.h"
#include "sandboxd/path-rule.h"

/* What runs. A line is given to a shell because the client's form says so; an array goes to execve() as it is. The
 * environment starts empty but for four names: nothing of ours, and nothing of the host, is inherited. */

/* Seconds; what "no limit but the setting's" means to the field engine. */
#define TIMEOUT_MAX 1000000000
#define ID_MAX 65535

static const JsonField exec_fields[] = {
        { "command",  JSON_FIELD_STRING_OR_STRV, offsetof(ExecInput, command),
          JSON_FIELD_MANDATORY | JSON_FIELD_NONEMPTY | JSON_FIELD_WAS_STRING, 0, 0,
          "a line for sh -c, or the arguments" },
        { "cwd",      JSON_FIELD_STRING, offsetof(ExecInput, cwd),      JSON_FIELD_LENIENT, 0, 0,
          "where it starts" },
        { "env",      JSON_FIELD_MAP,    offsetof(ExecInput, env),      0, 0, 0, "added to the environment" },
        { "stdin",    JSON_FIELD_VALUE,  offsetof(ExecInput, stdin_value), 0, 0, 0,
          "its standard input, then the end of it; (stream) true: what is sent to the command's /stdin",
          .schema = "{\"type\":[\"string\",\"boolean\"]}" },
        { "timeout",  JSON_FIELD_INT,    offsetof(ExecInput, timeout),
          JSON_FIELD_CLAMP | JSON_FIELD_LENIENT, 0, TIMEOUT_MAX, "seconds; at most the setting's" },
        { "user",     JSON_FIELD_VALUE,  offsetof(ExecInput, user),     0, 0, 0,
          "an id from 0 to 65535, \"uid:gid\" or \"root\"", .schema = "{\"type\":[\"integer\",\"string\"]}" },
};
const JsonTable exec_table = JSON_TABLE(exec_fields);

static const JsonField stream_fields[] = {
        { "binary",   JSON_FIELD_BOOL,   offsetof(ExecInput, binary),   JSON_FIELD_LENIENT, 0, 0,
          "output as base64, and lossless" },
        { "lossless", JSON_FIELD_BOOL,   offsetof(ExecInput, lossless), JSON_FIELD_LENIENT, 0, 0,
          "a slow reader stops the command instead of losing output" },
};
const JsonTable exec_stream_table = { .fields = stream_fields, .n_fields = ELEMENTSOF(stream_fields),
                                      .more = &exec_table };

static int set_base_env(char ***env) {
        static const struct {
                const char *name, *value;
        } base[] = {
                { "PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" },
                { "HOME", "/root" },
                { "LANG", "C.UTF-8" },
                { "TERM", "xterm" },
        };
        int r = 0;

        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(base); i++)
                r = strv_env_set(env, base[i].name, base[i].value);
        return r;
}

int exec_make_env(const Sandbox *s, char *const *extra, char ***ret) {
        _cleanup_strv_free_ char **env = NULL;
        const char *key;
        json_t *value;
        int r;

        r = set_base_env(&env);
        json_object_foreach(json_object_get(s->config, "env"), key, value)
                if (r >= 0)
                        r = strv_env_set(&env, key, json_string_value(value));
        json_object_foreach(s->env, key, value)
                if (json_is_null(value))
                        (void) strv_env_unset(env, key);
                else if (r >= 0)
                        r = strv_env_set(&env, key, json_string_value(value) ?: "");
        STRV_FOREACH(e, extra) {
                _cleanup_free_ char *name = strndup(*e, strcspn(*e, "="));

                if (!name)
                        return -ENOMEM;
                if (r >= 0)
                        r = strv_env_set(&env, name, *e + strlen(name) + 1);
        }
        if (r < 0)
                return r;
        *ret = TAKE_PTR(env);
        return 0;
}

int exec_env_add_defaults(char ***env, const char *const *defaults) {
        int r = 0;

        for (size_t i = 0; r >= 0 && defaults && defaults[i]; i++) {
                _cleanup_free_ char *name = strndup(defaults[i], strcspn(defaults[i], "="));

                if (!name)
                        return -ENOMEM;
                if (!strv_env_get(*env, name))
                        r = strv_extend(env, defaults[i]);
        }
        return r;
}

static int check_env(char *const *env, sd_bus_error *error) {
        uint64_t bytes = 0;

        STRV_FOREACH(e, env) {
                _cleanup_free_ char *name = strndup(*e, strcspn(*e, "="));

                if (!name)
                        return -ENOMEM;
                if (!env_name_is_valid(name))
                        return bus_error_set(error, BUS_ERROR_INVALID, "Invalid env key");
                bytes += strlen(*e);
        }
        if (bytes > 128 * KiB)
                return bus_error_set(error, BUS_ERROR_TOO_LARGE, "env is too large");
        return 0;
}

int exec_make_text(char *const *argv, char **ret) {
        size_t size = 1;
        char *text, *p;

        STRV_FOREACH(a, argv)
                size += strlen(*a) + 1;
        text = p = malloc(size);
        if (!text)
                return -ENOMEM;
        STRV_FOREACH(a, argv) {
                if (p != text)
                        *p++ = ' ';
                p = stpcpy(p, *a);
        }
        *p = 0;
        *ret = text;
        return 0;
}

static int make_argv(ExecInput *in, sd_bus_error *error) {
        char *const shell[] = { (char *) "sh", (char *) "-c", in->command[0], NULL };

        if (!in->command_was_string && isempty(in->command[0]))
                return bus_error_set(error, BUS_ERROR_INVALID, "command is required");
        in->spec.argv = strv_copy(in->command_was_string ? shell : in->command);
        return in->spec.argv ? 0 : -ENOMEM;
}

int exec_make_cwd(const Sandbox *s, const Settings *settings, const char *cwd, char **ret, sd_bus_error *error) {
        const char *workdir = sandbox_get_workdir(s) ?: settings->workspace_dir;

        if (!isempty(cwd))
                return path_anywhere(workdir, cwd, ret, error);
        *ret = strdup(workdir);
        return *ret ? 0 : -ENOMEM;
}

/* No timeout is the longest that the setting allows; none at all would let a client hold us for ever. 0 ends it at
 * once: the least that init's clock can tell. */
static void make_timeout(ExecInput *in, const Settings *settings, ExecInputFlags flags) {
        uint64_t longest = settings->max_command_timeout_sec;

        if (flags & EXEC_INPUT_NO_TIMEOUT)
                in->spec.timeout_usec = USEC_INFINITY;
        else
                in->spec.timeout_usec = MAX(MIN(in->timeout < 0 ? longest : (uint64_t) in->timeout, longest) *
                                            USEC_PER_SEC, USEC_PER_MSEC);
}

static int make_input(ExecInput *in, ExecInputFlags flags, sd_bus_error *error) {
        const json_t *value = in->stdin_value;

        if (json_is_string(value))
                in->input.data = json_string_value(value);
        else if (json_is_true(value) && flags & EXEC_INPUT_STDIN_PIPE)
                in->input.pipe = true;
        else if (value && !json_is_false(value))
                return bus_error_set(error, BUS_ERROR_INVALID, "stdin must be a string");
        return 0;
}

static int parse_ids(const char *text, CommandSpec *spec) {
        const char *colon = strchr(text, ':');
        _cleanup_free_ char *user = strndup(text, colon ? (size_t) (colon - text) : strlen(text));
        int r;

        if (!user)
                return -ENOMEM;
        r = streq(user, "root") ? 0 : parse_u32(user, &spec->uid);
        spec->gid = spec->uid;
        if (r >= 0 && colon)
                r = parse_u32(colon + 1, &spec->gid);
        return r;
}

/* A number, "1000", "1000:100" or "root". Other names are known to the image only, and it is not ours to read. */
static int make_user(ExecInput *in, sd_bus_error *error) {
        const json_t *value = in->user;
        int r = 0;

        if (json_is_integer(value)) {
                json_int_t id = json_integer_value(value);

                r = id < 0 || id > ID_MAX ? -ERANGE : 0;
                in->spec.uid = in->spec.gid = (uint32_t) id;
        } else if (json_is_string(value))
                r = parse_ids(json_string_value(value), &in->spec);
        else if (value)
                r = -EINVAL;
        if (r == -ENOMEM)
                return r;
        if (r < 0 || in->spec.uid > ID_MAX || in->spec.gid > ID_MAX)
                return bus_error_set(error, BUS_ERROR_INVALID, "user must be an id from 0 to 65535, uid:gid or root; "
                                                                 "names are known inside only");
        return 0;
}

int exec_input_read(Request *request, const Sandbox *s, ExecInputFlags flags, ExecInput *ret, sd_bus_error *error) {
        _cleanup_(exec_input_done) ExecInput in = { .timeout = -1, .spec = COMMAND_SPEC_DEFAULT };
        Manager *m = request_userdata(request);
        int r;

        r = json_table_read(request_input(request), &exec_table, &in, error);
        if (r >= 0)
                r = json_table_read(request_input(request), &exec_stream_table, &in, error);
        if (r >= 0)
                r = check_env(in.env, error);
        if (r >= 0)
                r = make_argv(&in, error);
        if (r >= 0)
                r = exec_make_text(in.command, &in.text);
        if (r >= 0)
                r = exec_make_cwd(s, &m->settings, in.cwd, &in.spec.cwd, error);
        if (r >= 0)
                r = exec_make_env(s, in.env, &in.spec.env);
        if (r >= 0)
                r = make_input(&in, flags, error);
        if (r >= 0)
                r = make_user(&in, error);
        if (r < 0)
                return r;
        if (!(flags & EXEC_INPUT_LATER) && s->n_live >= m->settings.commands_max)
                return bus_error_set(error, BUS_ERROR_LIMIT_REACHED, "Maximum command limit reached: %u",
                                     m->settings.commands_max);

        make_timeout(&in, &m->settings, flags);
        *ret = in;
        in = (ExecInput) { .spec = COMMAND_SPEC_DEFAULT };
        return 0;
}

void exec_input_done(ExecInput *in) {
        json_fields_done(exec_fields, ELEMENTSOF(exec_fields), in);
        command_spec_done(&in->spec);
        in->text = mfree(in->text);
}
