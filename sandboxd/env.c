/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/env.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/string-util.h"
#include "sandboxd/exec-input.h"
#include "sandboxd/files.h"

/* The overlay has a string for each variable that was set and null for each that was taken away although the creation
 * or the base has it. The file inside only mirrors it: the sandbox may write there what it likes, and nothing of ours
 * reads it but to keep the lines of others. */

#define FILE_SIZE_MAX (1 * MiB)
#define FILE_MODE 0644
#define BEGIN_MARK "# sandboxd: begin, set by the env routes\n"
#define END_MARK "# sandboxd: end\n"

typedef struct EnvWaiter EnvWaiter;
struct EnvWaiter {
        EnvWaiter *next;
        EnvCallback callback;
        void *userdata;
};

/* One writing at a time: who comes meanwhile waits for the next, which says what all of them have set. */
typedef struct EnvMirror {
        Manager *manager;
        Sandbox *sandbox;
        EnvWaiter *current, *later;
} EnvMirror;

static int check_name(const char *name, sd_bus_error *error) {
        _cleanup_free_ char *shown = NULL;

        if (env_name_is_valid(name))
                return 0;
        shown = utf8_sanitize(name, strnlen(name, 64));
        return bus_error_set(error, BUS_ERROR_INVALID, "Invalid env key: %s", shown ?: "");
}

static int check_size(json_t *overlay, sd_bus_error *error) {
        const char *name;
        json_t *value;
        size_t bytes = 0;

        json_object_foreach(overlay, name, value)
                bytes += strlen(name) + json_string_length(value) + 2;
        if (json_object_size(overlay) > ENV_VARIABLES_MAX || bytes > ENV_BYTES_MAX)
                return bus_error_set(error, BUS_ERROR_TOO_LARGE, "A sandbox has at most %u variables of %u bytes",
                                     ENV_VARIABLES_MAX, (unsigned) ENV_BYTES_MAX);
        return 0;
}

/* Takes overlay over. What cannot be written down has not happened. */
static int replace(Manager *m, Sandbox *s, json_t *overlay) {
        json_t *before = s->env;
        int r;

        s->env = overlay;
        r = manager_save_sandbox(m, s);
        if (r < 0) {
                s->env = before;
                json_decref(overlay);
                return r;
        }
        json_decref(before);
        return 0;
}

static json_t *copy_overlay(const Sandbox *s) {
        return s->env ? json_copy(s->env) : json_object();
}

int env_set(Manager *m, Sandbox *s, char *const *assignments, sd_bus_error *error) {
        _cleanup_(json_decrefp) json_t *overlay = copy_overlay(s);
        int r = overlay ? 0 : -ENOMEM;

        STRV_FOREACH(a, assignments) {
                _cleanup_free_ char *name = strndup(*a, strcspn(*a, "="));

                if (r >= 0)
                        r = name ? check_name(name, error) : -ENOMEM;
                if (r >= 0 && json_object_set_new(overlay, name, json_string(*a + strlen(name) + 1)) < 0)
                        r = bus_error_set(error, BUS_ERROR_INVALID, "The value of %s is no UTF-8", name);
        }
        if (r >= 0)
                r = check_size(overlay, error);
        return r < 0 ? r : replace(m, s, TAKE_PTR(overlay));
}

/* Whether it is there without the overlay. */
static int is_inherited(const Sandbox *s, const char *name, bool *ret) {
        _cleanup_strv_free_ char **env = NULL;
        Sandbox plain = *s;
        int r;

        plain.env = NULL;
        r = exec_make_env(&plain, NULL, &env);
        if (r >= 0)
                *ret = strv_env_get(env, name);
        return r;
}

int env_unset(Manager *m, Sandbox *s, const char *name, sd_bus_error *error) {
        _cleanup_(json_decrefp) json_t *overlay = copy_overlay(s);
        bool inherited;
        int r;

        if (!overlay)
                return -ENOMEM;
        r = check_name(name, error);
        if (r >= 0)
                r = is_inherited(s, name, &inherited);
        if (r < 0)
                return r;
        if (inherited)
                r = json_object_set_new(overlay, name, json_null());
        else if (json_object_del(overlay, name) < 0)
                return 0;
        return r < 0 ? -ENOMEM : replace(m, s, TAKE_PTR(overlay));
}

int env_list(const Sandbox *s, char ***ret) {
        return exec_make_env(s, NULL, ret);
}

/* Bare if that means the same to everybody who reads the file, else in double quotes, on one line whatever is in it. */
static void write_value(FILE *f, const char *value) {
        bool bare = true;

        for (const char *p = value; *p; p++)
                bare &= isalnum((unsigned char) *p) || strchr("_./:+,@%=-", *p);
        if (bare) {
                fputs(value, f);
                return;
        }
        putc('"', f);
        for (const char *p = value; *p; p++)
                if (*p == '\n')
                        fputs("\\n", f);
                else if (*p == '\r')
                        fputs("\\r", f);
                else {
                        if (strchr("\"\\$`", *p))
                                putc('\\', f);
                        putc(*p, f);
                }
        putc('"', f);
}

static void write_block(FILE *f, json_t *overlay) {
        const char *name;
        json_t *value;
        bool any = false;

        json_object_foreach(overlay, name, value) {
                if (!json_is_string(value) || !env_name_is_valid(name))
                        continue;
                if (!any)
                        fputs(BEGIN_MARK, f);
                any = true;
                fprintf(f, "%s=", name);
                write_value(f, json_string_value(value));
                putc('\n', f);
        }
        if (any)
                fputs(END_MARK, f);
}

static bool is_line(const char *line, size_t n, const char *mark) {
        return n + 1 == strlen(mark) && memcmp(line, mark, n) == 0;
}

/* Lines of others stay as they are and where they are. A begin without an end is somebody else's edit: the rest of the
 * file is not ours to take away, so only the mark goes. */
static void copy_others(FILE *f, const char *text, size_t n) {
        const char *end = text + n;

        while (text < end) {
                const char *stop = memchr(text, '\n', (size_t) (end - text)) ?: end, *close = NULL;

                if (is_line(text, (size_t) (stop - text), BEGIN_MARK))
                        close = memmem(stop, (size_t) (end - stop), "\n" END_MARK, strlen("\n" END_MARK));
                if (close)
                        stop = close + strlen(END_MARK);
                else if (!is_line(text, (size_t) (stop - text), BEGIN_MARK)) {
                        (void) fwrite(text, 1, (size_t) (stop - text), f);
                        putc('\n', f);
                }
                text = stop + 1;
        }
}

int env_file_update(const char *text, size_t n, json_t *overlay, char **ret) {
        char *result = NULL;
        size_t size;
        FILE *f = open_memstream(&result, &size);
        int r = 0;

        if (!f)
                return -ENOMEM;
        copy_others(f, text, n);
        write_block(f, overlay);
        if (ferror(f))
                r = -ENOMEM;
        if (fclose(f) != 0)
                r = -ENOMEM;
        if (r < 0) {
                free(result);
                return r;
        }
        *ret = result;
        return 0;
}

static void start_round(EnvMirror *w);

static void tell(EnvWaiter *list, const sd_bus_error *error) {
        while (list) {
                _cleanup_free_ EnvWaiter *w = list;

                list = w->next;
                w->callback(error, w->userdata);
        }
}

static void end_round(EnvMirror *w, const sd_bus_error *error) {
        tell(TAKE_PTR(w->current), error);
        if (w->later && sandbox_is_live(w->sandbox) && !w->manager->stopping) {
                start_round(w);
                return;
        }
        tell(TAKE_PTR(w->later), error);
        w->sandbox->env_mirror = NULL;
        sandbox_unref(w->sandbox);
        free(w);
}

static void end_with_errno(EnvMirror *w, int r) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;

        (void) sd_bus_error_set_errno(&error, r);
        end_round(w, &error);
}

static void on_written(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        (void) reply;
        end_round(userdata, error);
}

/* Only the lines that others have written are wanted of what stands there. */
static int read_whole(sd_bus_message *reply, char **ret, size_t *ret_n) {
        _cleanup_free_ char *text = NULL;
        uint64_t size, mtime;
        uint32_t mode;
        int fd, r;
        ssize_t k;

        r = sd_bus_message_read(reply, "htut", &fd, &size, &mode, &mtime);
        if (r < 0)
                return r;
        if (size > FILE_SIZE_MAX)
                return -EFBIG;
        text = malloc((size_t) size + 1);
        if (!text)
                return -ENOMEM;
        k = pread(fd, text, (size_t) size, 0);
        if (k < 0)
                return -errno;
        *ret = TAKE_PTR(text);
        *ret_n = (size_t) k;
        return 0;
}

static void on_read(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        _cleanup_free_ char *before = NULL, *after = NULL;
        EnvMirror *w = userdata;
        size_t n = 0;
        int r = 0;

        if (error && !sd_bus_error_has_name(error, BUS_ERROR_NO_SUCH_FILE)) {
                end_round(w, error);
                return;
        }
        if (reply)
                r = read_whole(reply, &before, &n);
        if (r >= 0)
                r = env_file_update(before ?: "", n, w->sandbox->env, &after);
        if (r >= 0)
                r = files_write(w->manager, w->sandbox, &(FileContent) { .path = ENV_FILE, .mode = FILE_MODE, .data = after,
                                                                         .n = strlen(after) }, on_written, w);
        if (r < 0)
                end_with_errno(w, r);
}

static void start_round(EnvMirror *w) {
        int r;

        w->current = TAKE_PTR(w->later);
        r = files_read(w->manager, w->sandbox, ENV_FILE, on_read, w);
        if (r < 0)
                end_with_errno(w, r);
}

int env_write_file(Manager *m, Sandbox *s, EnvCallback callback, void *userdata) {
        EnvMirror *mirror = s->env_mirror;
        EnvWaiter *w = new0(EnvWaiter, 1);

        if (!w)
                return -ENOMEM;
        if (!mirror) {
                mirror = new0(EnvMirror, 1);
                if (!mirror) {
                        free(w);
                        return -ENOMEM;
                }
                *mirror = (EnvMirror) { .manager = m, .sandbox = sandbox_ref(s) };
        }
        *w = (EnvWaiter) { .next = mirror->later, .callback = callback, .userdata = userdata };
        mirror->later = w;
        if (!s->env_mirror) {
                s->env_mirror = mirror;
                start_round(mirror);
        }
        return 0;
}
