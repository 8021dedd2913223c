/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libsandbox/settings.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <systemd/sd-id128.h>

#include "libsandbox/conf-parser.h"
#include "libsandbox/log.h"
#include "libsandbox/parse-util.h"
#include "libsandbox/string-util.h"

/* One table of settings for all daemons and for sandboxctl: parsing, defaults, the manual's check and `configure
 * --show` read the same rows. Values keep where they came from, since "which file says so" is the first question about
 * a setting. */

#define WORKER_APP_ID SD_ID128_MAKE(1e,6a,33,90,5d,f2,49,0b,b0,44,7e,19,c2,ad,60,e5)

#define ROW(name, type, member, fallback, help) { name, type, offsetof(Settings, member), fallback, help, false }
/* What others were told already cannot change under them: sockets, paths, names. */
#define FIXED(name, type, member, fallback, help) { name, type, offsetof(Settings, member), fallback, help, true }

const SettingRow setting_rows[] = {
        ROW("API_KEY", SETTING_STRING, api_key, NULL, "one more token, for the /v1 clients"),
        ROW("III_ALLOWED_IMAGES", SETTING_STRING, allowed_images, "*", "comma list; a trailing * matches a prefix"),
        FIXED("III_API_PREFIX", SETTING_STRING, api_prefix, "sandbox", "first path segment of the /sandbox dialect"),
        ROW("III_AUTH_TOKEN", SETTING_STRING, auth_token, NULL, "token of every dialect; empty counts as set"),
        ROW("III_DEFAULT_CPU", SETTING_DOUBLE, default_cpu, "1", "processors of a sandbox"),
        ROW("III_DEFAULT_IMAGE", SETTING_STRING, default_image, "python:3.12-slim", "image of the pool"),
        ROW("III_DEFAULT_MEMORY", SETTING_U32, default_memory_mib, "512", "MiB"),
        ROW("III_DEFAULT_TIMEOUT", SETTING_U32, default_timeout_sec, "3600", "seconds that a sandbox lives"),
        FIXED("III_ENGINE_URL", SETTING_STRING, engine_url, "ws://localhost:49134", "engine of the functions"),
        FIXED("III_ISOLATION_BACKEND", SETTING_STRING, isolation_backend, "docker", "docker means native"),
        ROW("III_MAX_CMD_TIMEOUT", SETTING_U32, max_command_timeout_sec, "300", "seconds, cap and default"),
        ROW("III_MAX_SANDBOXES", SETTING_U32, max_sandboxes, "50", "live ones at a time"),
        ROW("III_METRICS_INTERVAL", SETTING_STRING, metrics_interval, "*/60 * * * * *", "accepted, not needed"),
        FIXED("III_POOL_PROFILES", SETTING_STRING, pool_profiles, "", "image,memory,cpu,network;..."),
        ROW("III_POOL_REPLENISH", SETTING_STRING, pool_replenish, "*/30 * * * * *", "accepted, not needed"),
        FIXED("III_POOL_SIZE", SETTING_U32, pool_size, "0", "warm sandboxes a profile"),
        ROW("III_RATE_LIMIT_ENABLED", SETTING_BOOL, rate_limit, "false", "rate limits"),
        ROW("III_RATE_SBX_EXEC_PM", SETTING_U32, rate_sandbox_exec_pm, "120", "commands a minute and sandbox"),
        ROW("III_RATE_SBX_FS_PM", SETTING_U32, rate_sandbox_fs_pm, "300", "file calls a minute and sandbox"),
        ROW("III_RATE_TOKEN_BURST", SETTING_U32, rate_token_burst, "100", "requests at once a token"),
        ROW("III_RATE_TOKEN_RPM", SETTING_U32, rate_token_rpm, "600", "requests a minute and token"),
        FIXED("III_REST_PORT", SETTING_U32, rest_port, "3111", "sandboxctl configure writes the socket's drop-in"),
        ROW("III_TTL_SWEEP", SETTING_STRING, ttl_sweep, "*/30 * * * * *", "accepted, not needed: timers are exact"),
        FIXED("III_WORKER_NAME", SETTING_STRING, worker_name, NULL, "derived from the machine id"),
        FIXED("III_WORKSPACE_DIR", SETTING_STRING, workspace_dir, "/workspace", "root of the file API's paths"),
        ROW("SANDBOX_BLANK_POOL", SETTING_U32, blank_pool, "8", "sandboxes kept ready without an image"),
        ROW("SANDBOX_BLANK_POOL_MAX", SETTING_U32, blank_pool_max, "128", "as many, after a burst of creations"),
        ROW("SANDBOX_BLANK_RATE", SETTING_U32, blank_rate, "10", "of them made a second, when nobody waits; 0: any"),
        ROW("SANDBOX_BODY_MAX", SETTING_SIZE, body_max, "1M", "bytes of a JSON body"),
        ROW("SANDBOX_COMMANDS_MAX", SETTING_U32, commands_max, "128", "live commands a sandbox"),
        ROW("SANDBOX_CONNECTIONS_MAX", SETTING_U32, connections_max, "12000", "HTTP connections"),
        ROW("SANDBOX_CORS_ORIGINS", SETTING_STRING, cors_origins, "", "comma list or *; empty: none"),
        ROW("SANDBOX_DISK_BUDGET", SETTING_SIZE, snapshot_budget, "0", "bytes of all snapshots and copies; 0: any"),
        ROW("SANDBOX_EGRESS_TTL_MAX_SEC", SETTING_U32, egress_ttl_max_sec, "3600", "longest that a listed name's address is open"),
        ROW("SANDBOX_EGRESS_TTL_MIN_SEC", SETTING_U32, egress_ttl_min_sec, "60", "and shortest"),
        ROW("SANDBOX_EVENTS_AGE_SEC", SETTING_U32, events_age_sec, "604800", "and forgotten after; 0: never"),
        ROW("SANDBOX_EVENTS_MAX", SETTING_U32, events_max, "100000", "events that are remembered"),
        ROW("SANDBOX_HOST_NAMES", SETTING_STRING, host_names, "", "further names for the Host header"),
        ROW("SANDBOX_IDLE_EXIT_SEC", SETTING_U32, idle_exit_sec, "3", "daemons leave after this; 0: never"),
        ROW("SANDBOX_LOG_LEVEL", SETTING_STRING, log_level, "info", "info or debug"),
        ROW("SANDBOX_NETWORK_ALLOW", SETTING_STRING, network_allow, "", "private prefixes that may be reached, comma list"),
        ROW("SANDBOX_NETWORK_DNS", SETTING_STRING, network_dns, "", "name server; empty: the host's"),
        FIXED("SANDBOX_NETWORK_PRIVATE", SETTING_STRING, network_private, "10.202.0.0/16", "networks, a /24 each"),
        FIXED("SANDBOX_NETWORK_RANGE", SETTING_STRING, network_range, "10.201.0.0/16", "addresses of the way out"),
        ROW("SANDBOX_PIDS_MAX", SETTING_U32, pids_max, "256", "processes of a sandbox"),
        ROW("SANDBOX_PORTS_ADDRESS", SETTING_STRING, ports_address, "127.0.0.1", "of the host, for exposed ports"),
        ROW("SANDBOX_PORTS_MAX", SETTING_U32, ports_max, "16", "exposed ports a sandbox"),
        ROW("SANDBOX_PORTS_MIN", SETTING_U32, ports_min, "1024", "lowest port of the host that is given away"),
        ROW("SANDBOX_PROXY_PUBLIC", SETTING_BOOL, proxy_public, "false", "a sandbox may show its servers without a token"),
        ROW("SANDBOX_QUEUE_ACTIVE_MAX", SETTING_U32, queue_active_max, "32", "queued jobs that run at a time"),
        ROW("SANDBOX_QUEUE_BACKOFF_MAX_SEC", SETTING_U32, queue_backoff_max_sec, "60", "longest pause between attempts"),
        ROW("SANDBOX_QUEUE_BACKOFF_SEC", SETTING_U32, queue_backoff_sec, "1", "pause after a job's first failure"),
        ROW("SANDBOX_QUEUE_KEEP", SETTING_U32, queue_keep, "10000", "ended jobs that are remembered"),
        ROW("SANDBOX_QUEUE_KEEP_SEC", SETTING_U32, queue_keep_sec, "604800", "and for how long"),
        ROW("SANDBOX_QUEUE_OUTPUT_MAX", SETTING_SIZE, queue_output_max, "1G", "bytes of output that they may have"),
        ROW("SANDBOX_QUEUE_PENDING_MAX", SETTING_U32, queue_pending_max, "10000", "jobs that wait or run"),
        ROW("SANDBOX_QUEUE_SANDBOX_MAX", SETTING_U32, queue_sandbox_max, "4", "queued jobs that run in one sandbox"),
        ROW("SANDBOX_RUNTIME_MAX_SEC", SETTING_U64, runtime_max_sec, "0", "ceiling that nobody can renew; 0: none"),
        ROW("SANDBOX_SLICES", SETTING_U32, slices, "16", "slices that the scopes are spread over"),
        ROW("SANDBOX_SNAPSHOTS_AGE_SEC", SETTING_U32, snapshots_age_sec, "0", "and deleted after; 0: never"),
        ROW("SANDBOX_SNAPSHOTS_KEEP", SETTING_U32, snapshots_keep, "1", "newest of a live sandbox that are never pruned"),
        ROW("SANDBOX_SNAPSHOTS_MAX", SETTING_U32, snapshots_max, "1000", "snapshots that are kept"),
        ROW("SANDBOX_SNAPSHOTS_PRUNE", SETTING_BOOL, snapshots_prune, "false", "delete the oldest to make room for new ones"),
        ROW("SANDBOX_STRICT_COMMAND", SETTING_BOOL, strict_command, "false", "refuse white space in a command name"),
        ROW("SANDBOX_TERMINALS_MAX", SETTING_U32, terminals_max, "32", "live terminals a sandbox"),
        FIXED("SANDBOX_TRACES_MAX", SETTING_U32, traces_max, "10000", "requests that are remembered; 0: none"),
        ROW("SANDBOX_UPLOADS_MAX", SETTING_U32, uploads_max, "16", "files on their way in parts, a sandbox"),
        ROW("SANDBOX_UPLOAD_AGE_SEC", SETTING_U32, upload_age_sec, "86400", "and how long nobody may go on with one"),
        ROW("SANDBOX_UPLOAD_MAX", SETTING_SIZE, upload_max, "8G", "bytes of a raw upload"),
        ROW("SANDBOX_VOLUMES_MAX", SETTING_U32, volumes_max, "1000", "volumes that there may be"),
        ROW("SANDBOX_VOLUME_SIZE", SETTING_SIZE, volume_bytes, "1G", "bytes of a volume that asks for no size; 0: any"),
        ROW("SANDBOX_WEBHOOKS_MAX", SETTING_U32, webhooks_max, "100", "webhooks at a time"),
        ROW("SANDBOX_WEBHOOK_ALLOW", SETTING_STRING, webhook_allow, "", "comma list of private hosts, networks for them"),
        ROW("SANDBOX_WEBHOOK_ATTEMPTS", SETTING_U32, webhook_attempts, "12", "failures before a delivery is dead"),
        ROW("SANDBOX_WEBHOOK_BACKOFF_MAX_SEC", SETTING_U32, webhook_backoff_max_sec, "300", "longest pause between them"),
        ROW("SANDBOX_WEBHOOK_BACKOFF_SEC", SETTING_U32, webhook_backoff_sec, "1", "pause after a delivery's first failure"),
        ROW("SANDBOX_WEBHOOK_TIMEOUT_SEC", SETTING_U32, webhook_timeout_sec, "10", "for a receiver to answer; at most 60"),
        ROW("SANDBOX_WRITABLE", SETTING_STRING, writable, "auto", "disk, tmpfs, or auto: disk where quotas work"),
        ROW("SANDBOX_WRITABLE_INODES", SETTING_U64, writable_inodes, "262144", "files that a sandbox may make"),
        ROW("SANDBOX_WRITABLE_SIZE", SETTING_SIZE, writable_bytes, "1G", "bytes that a sandbox may write"),
};
const size_t n_setting_rows = ELEMENTSOF(setting_rows);

static int assign(Settings *s, const SettingRow *row, const char *value) {
        void *target = (char *) s + row->offset;

        switch (row->type) {
        case SETTING_STRING:
                return free_and_strdup(target, value);
        case SETTING_U32:
                return parse_u32(value, target);
        case SETTING_U64:
                return parse_u64(value, target);
        case SETTING_SIZE:
                return parse_size(value, target);
        case SETTING_BOOL:
                return parse_boolean(value, target);
        case SETTING_DOUBLE:
                return parse_double(value, target);
        }
        return -EINVAL;
}

int settings_assign(Settings *s, const char *name, const char *value) {
        for (size_t i = 0; i < n_setting_rows; i++)
                if (streq(setting_rows[i].name, name))
                        return assign(s, setting_rows + i, value);
        return -ENOENT;
}

static int assign_worker_name(Settings *s) {
        char text[SD_ID128_STRING_MAX];
        sd_id128_t id;
        char *name;
        int r;

        r = sd_id128_get_machine_app_specific(WORKER_APP_ID, &id);
        if (r < 0)
                return free_and_strdup(&s->worker_name, "sandboxd-local");
        if (asprintf(&name, "sandboxd-%.12s", sd_id128_to_string(id, text)) < 0)
                return -ENOMEM;
        free(s->worker_name);
        s->worker_name = name;
        return 0;
}

int settings_init_defaults(Settings *ret) {
        int r;

        *ret = (Settings) {};
        for (size_t i = 0; i < n_setting_rows; i++)
                if (setting_rows[i].fallback) {
                        r = assign(ret, setting_rows + i, setting_rows[i].fallback);
                        if (r < 0) {
                                settings_done(ret);
                                return r;
                        }
                }
        return 0;
}

typedef struct Loading {
        Settings *settings;
        char **origins; /* NULL: nobody wants to know */
        int n_bad;
} Loading;

static int set_origin(Loading *l, const char *name, const char *origin) {
        for (size_t i = 0; l->origins && i < n_setting_rows; i++)
                if (streq(setting_rows[i].name, name))
                        return free_and_strdup(l->origins + i, origin);
        return 0;
}

static int on_line(const ConfLine *line, void *userdata) {
        Loading *l = userdata;
        int r;

        r = settings_assign(l->settings, line->key, line->value);
        return r < 0 ? r : set_origin(l, line->key, line->file);
}

static int load_environment(Loading *l) {
        for (size_t i = 0; i < n_setting_rows; i++) {
                const char *value = getenv(setting_rows[i].name);
                int r;

                if (!value)
                        continue;
                r = assign(l->settings, setting_rows + i, value);
                if (r >= 0)
                        r = set_origin(l, setting_rows[i].name, "environment");
                if (r == -ENOMEM)
                        return r;
                if (r < 0)
                        log_warning("Environment variable %s is not understood, ignoring.", setting_rows[i].name);
        }
        return 0;
}

int settings_load(Settings *ret) {
        return settings_load_with_origins(ret, NULL);
}

/* What is not understood is counted, and otherwise as if it were not there. */
static int load(Loading *l) {
        static const char *const files[] = { "/usr/lib/sandboxd/sandboxd.conf", "/etc/sandboxd/sandboxd.conf" };
        static const char *const directories[] = { "/usr/lib/sandboxd/sandboxd.conf.d", "/etc/sandboxd/sandboxd.conf.d",
                                                   "/run/sandboxd/sandboxd.conf.d", NULL };
        int r;

        r = settings_init_defaults(l->settings);
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(files); i++) {
                r = conf_parse_file(files[i], on_line, l);
                if (r < 0 && r != -ENOMEM) {
                        if (r != -ENOENT)
                                log_warning_errno(r, "Failed to read %s, ignoring: %m", files[i]);
                        r = r != -ENOENT;
                }
                l->n_bad += MAX(r, 0);
        }
        if (r >= 0)
                r = conf_parse_directories(directories, on_line, l);
        l->n_bad += MAX(r, 0);
        if (r >= 0)
                r = load_environment(l);
        if (r >= 0 && isempty(l->settings->worker_name))
                r = assign_worker_name(l->settings);
        return r < 0 ? r : 0;
}

void settings_apply_log_level(const Settings *s) {
        const char *forced = getenv("SANDBOXD_LOG_LEVEL");

        log_set_max_level(streq_ptr(s->log_level, "debug") || streq_ptr(forced, "debug") ? LOG_DEBUG : LOG_INFO);
}

int settings_load_with_origins(Settings *ret, char **origins) {
        _cleanup_(settings_done) Settings s = {};
        int r;

        r = load(&(Loading) { .settings = &s, .origins = origins });
        if (r < 0)
                return r;
        settings_apply_log_level(&s);
        *ret = s;
        s = (Settings) {};
        return 0;
}

int settings_load_strict(Settings *ret) {
        _cleanup_(settings_done) Settings s = {};
        Loading l = { .settings = &s };
        int r;

        r = load(&l);
        if (r < 0)
                return r;
        if (l.n_bad > 0)
                return -EBADMSG;
        *ret = s;
        s = (Settings) {};
        return 0;
}

int settings_format(const Settings *s, const SettingRow *row, char **ret) {
        const void *source = (const char *) s + row->offset;
        const char *text;
        int r = -EINVAL;

        switch (row->type) {
        case SETTING_STRING:
                text = *(char *const *) source;
                *ret = text ? strdup(text) : NULL;
                return text && !*ret ? -ENOMEM : 0;
        case SETTING_U32:
                r = asprintf(ret, "%" PRIu32, *(const uint32_t *) source);
                break;
        case SETTING_U64:
        case SETTING_SIZE:
                r = asprintf(ret, "%" PRIu64, *(const uint64_t *) source);
                break;
        case SETTING_BOOL:
                r = asprintf(ret, "%s", *(const bool *) source ? "true" : "false");
                break;
        case SETTING_DOUBLE:
                r = asprintf(ret, "%g", *(const double *) source);
                break;
        }
        return r < 0 ? -ENOMEM : 0;
}

void settings_done(Settings *s) {
        for (size_t i = 0; i < n_setting_rows; i++)
                if (setting_rows[i].type == SETTING_STRING) {
                        char **target = (char **) ((char *) s + setting_rows[i].offset);

                        *target = mfree(*target);
                }
}
