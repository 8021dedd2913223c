/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/sandbox.h"

#include <errno.h>
#include <stdio.h>
#include <systemd/sd-id128.h>

#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"

/* Two clocks say when it ends. The wall clock is what clients see and what counts across a reboot; CLOCK_BOOTTIME is
 * what execd arms its timer with, and nobody who sets the date moves it. They are set together and never compared. */

static const char *const state_names[_SANDBOX_STATE_MAX] = {
        [SANDBOX_CREATING] = "creating",
        [SANDBOX_RUNNING] = "running",
        [SANDBOX_PAUSED] = "paused",
        [SANDBOX_STOPPED] = "stopped",
        [SANDBOX_FAILED] = "failed",
};

const char *sandbox_state_to_string(SandboxState state) {
        return state >= 0 && state < _SANDBOX_STATE_MAX ? state_names[state] : NULL;
}

SandboxState sandbox_state_from_string(const char *s) {
        for (SandboxState i = 0; s && i < _SANDBOX_STATE_MAX; i++)
                if (streq(state_names[i], s))
                        return i;
        return _SANDBOX_STATE_INVALID;
}

/* What clients see is the start of the id, long enough to be unique and to be unguessable; the services among
 * themselves use all of it. */
static void set_ids(Sandbox *s, const char *id) {
        char digits[SANDBOX_ID_SHORT + 1];

        sandbox_id_short(id, digits);
        memcpy(s->id, id, SANDBOX_ID_LENGTH + 1);
        snprintf(s->public_id, sizeof s->public_id, SANDBOX_ID_PREFIX "%s", digits);
}

/* Takes the JSON values over also when it fails, so that callers can write json_incref() into the initializer. */
int sandbox_new(const SandboxInit *init, Sandbox **ret) {
        _cleanup_(sandbox_unrefp) Sandbox *s = NULL;

        assert(init);
        assert(sandbox_id_is_valid(init->id));
        assert(ret);

        s = new0(Sandbox, 1);
        if (!s) {
                json_decref(init->config);
                json_decref(init->metadata);
                json_decref(init->entrypoint);
                json_decref(init->secrets);
                json_decref(init->env);
                json_decref(init->proxy);
                return -ENOMEM;
        }

        *s = (Sandbox) {
                .n_ref = 1,
                .config = init->config,
                .metadata = init->metadata,
                .entrypoint = init->entrypoint,
                .secrets = init->secrets,
                .env = init->env,
                .proxy = init->proxy,
                .created_msec = init->created_msec,
        };
        set_ids(s, init->id);
        s->name = strdup(init->name ?: s->public_id);
        s->image = strdup(init->image);
        if (init->worker)
                s->worker = strdup(init->worker);
        if (init->base)
                s->base = strdup(init->base);
        if (!s->config)
                s->config = json_object();
        if (!s->metadata)
                s->metadata = json_object();
        if (!s->name || !s->image || (init->worker && !s->worker) || (init->base && !s->base) || !s->config || !s->metadata)
                return -ENOMEM;

        sandbox_set_expiry(s, s->created_msec + init->timeout_sec * 1000);
        *ret = TAKE_PTR(s);
        return 0;
}

Sandbox *sandbox_ref(Sandbox *s) {
        if (s)
                s->n_ref++;
        return s;
}

void sandbox_note_root(Sandbox *s) {
        s->n_roots++;
        s->flat = false;
}

Sandbox *sandbox_unref(Sandbox *s) {
        if (s && --s->n_ref == 0) {
                free(s->name);
                free(s->image);
                free(s->base);
                free(s->worker);
                json_decref(s->config);
                json_decref(s->metadata);
                json_decref(s->entrypoint);
                json_decref(s->env);
                json_decref(s->proxy);
                json_decref(s->secrets);
                free(s);
        }
        return NULL;
}

void sandbox_set_expiry(Sandbox *s, uint64_t expires_msec) {
        uint64_t wall = now_usec(CLOCK_REALTIME) / USEC_PER_MSEC, left = expires_msec > wall ? expires_msec - wall : 0;

        s->expires_msec = expires_msec;
        s->deadline_usec = usec_add(now_usec(CLOCK_BOOTTIME), left * USEC_PER_MSEC);
}

bool sandbox_is_expired(const Sandbox *s) {
        return s->deadline_usec <= now_usec(CLOCK_BOOTTIME);
}

bool sandbox_is_live(const Sandbox *s) {
        return !s->leaving && (s->state == SANDBOX_RUNNING || s->state == SANDBOX_PAUSED);
}

static int current_boot(char ret[SD_ID128_STRING_MAX]) {
        sd_id128_t id;
        int r;

        r = sd_id128_get_boot(&id);
        if (r < 0)
                return r;
        sd_id128_to_string(id, ret);
        return 0;
}

static int to_text(const Sandbox *s, json_t *secrets, char **ret) {
        _cleanup_(json_decrefp) json_t *record = NULL;
        char boot[SD_ID128_STRING_MAX] = "";

        (void) current_boot(boot);
        record = json_pack("{s:i, s:s, s:s, s:s, s:O, s:O, s:O*, s:O*, s:O*, s:O*, s:I, s:I, s:s, s:s*, s:s*}",
                           "version", 1, "dialect", "sandbox", "name", s->name, "image", s->image, "config", s->config,
                           "metadata", s->metadata, "entrypoint", s->entrypoint, "env", s->env, "proxy", s->proxy, "secrets", secrets,
                           "expires", (json_int_t) s->expires_msec, "deadline", (json_int_t) s->deadline_usec, "boot", boot,
                           "worker", s->worker, "base", s->base);
        if (!record)
                return -ENOMEM;
        *ret = json_dumps(record, JSON_COMPACT);
        return *ret ? 0 : -ENOMEM;
}

int sandbox_to_record(const Sandbox *s, char **ret) {
        return to_text(s, s->secrets, ret);
}

/* For execd, who keeps it as it is: enough to have the sandbox back should our database be lost, without what is
 * secret. */
int sandbox_to_label(const Sandbox *s, char **ret) {
        return to_text(s, /* secrets= */ NULL, ret);
}

/* A deadline counts in the boot it was made in; in a later one what the wall clock says is all there is. */
static void restore_expiry(Sandbox *s, json_int_t expires, json_int_t deadline, const char *boot) {
        char current[SD_ID128_STRING_MAX] = "";

        (void) current_boot(current);
        sandbox_set_expiry(s, (uint64_t) expires);
        if (deadline > 0 && streq_ptr(boot, current))
                s->deadline_usec = (uint64_t) deadline;
}

int sandbox_from_record(const char *id, const char *state, uint64_t created_msec, const char *record, Sandbox **ret) {
        _cleanup_(json_decrefp) json_t *object = NULL;
        _cleanup_(sandbox_unrefp) Sandbox *s = NULL;
        json_t *config, *metadata, *entrypoint = NULL, *env = NULL, *proxy = NULL, *secrets = NULL;
        const char *name, *image, *boot, *worker = NULL, *base = NULL;
        json_int_t expires, deadline;
        SandboxState state_value = sandbox_state_from_string(state);
        int version, r;

        object = json_loads(record, JSON_REJECT_DUPLICATES, NULL);
        if (!sandbox_id_is_valid(id) || state_value < 0 || !object)
                return -EBADMSG;
        if (json_unpack(object, "{s:i, s:s, s:s, s:o, s:o, s?o, s?o, s?o, s?o, s:I, s:I, s:s, s?s, s?s}", "version", &version,
                        "name", &name, "image", &image, "config", &config, "metadata", &metadata, "entrypoint",
                        &entrypoint, "env", &env, "proxy", &proxy, "secrets", &secrets, "expires", &expires, "deadline", &deadline, "boot",
                        &boot, "worker", &worker, "base", &base) < 0 ||
            version != 1 || !json_is_object(config) || !json_is_object(metadata) || (env && !json_is_object(env)) ||
            (proxy && !json_is_object(proxy)) ||
            (secrets && !json_is_object(secrets)) || expires < 0 || deadline < 0)
                return -EBADMSG;

        r = sandbox_new(&(SandboxInit) { .id = id, .name = name, .image = image, .config = json_incref(config),
                                         .metadata = json_incref(metadata), .entrypoint = json_incref(entrypoint),
                                         .secrets = json_incref(secrets),
                                         .created_msec = created_msec, .worker = worker, .base = base }, &s);
        if (r < 0)
                return r;
        s->env = json_incref(env);
        s->proxy = json_incref(proxy);
        s->state = state_value;
        restore_expiry(s, expires, deadline, boot);
        *ret = TAKE_PTR(s);
        return 0;
}

static uint64_t config_number(const Sandbox *s, const char *key) {
        return (uint64_t) MAX(json_integer_value(json_object_get(s->config, key)), 0);
}

void sandbox_get_all_limits(const Sandbox *s, SandboxLimits *ret) {
        double cpu;

        *ret = (SandboxLimits) { .pids_max = (uint32_t) config_number(s, "pids"),
                                 .io_read_bps = config_number(s, "ioReadBps"),
                                 .io_write_bps = config_number(s, "ioWriteBps") };
        sandbox_get_limits(s, &ret->memory_max_bytes, &cpu);
        ret->cpu_quota_usec = (uint64_t) (cpu * (double) USEC_PER_SEC);
}

void sandbox_get_limits(const Sandbox *s, uint64_t *ret_memory_bytes, double *ret_cpu) {
        *ret_memory_bytes = (uint64_t) json_integer_value(json_object_get(s->config, "memory")) * MiB;
        *ret_cpu = json_number_value(json_object_get(s->config, "cpu"));
}

const char *sandbox_get_base(const Sandbox *s) {
        return s->base ?: s->image;
}

const char *sandbox_get_workdir(const Sandbox *s) {
        return json_string_value(json_object_get(s->config, "workdir"));
}

/* What a command's own environment says wins. */
int sandbox_add_secrets(const Sandbox *s, char ***env) {
        const char *key;
        json_t *value;
        int r = 0;

        json_object_foreach(s->secrets, key, value)
                if (r >= 0 && !strv_env_get(*env, key))
                        r = strv_env_set(env, key, json_string_value(value));
        return r;
}
