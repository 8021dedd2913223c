/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libsandbox/macro.h"

/* All settings of all daemons: /usr/lib/sandboxd/sandboxd.conf, /etc/sandboxd/sandboxd.conf, *.conf of
 * /usr/lib/sandboxd/sandboxd.conf.d, /etc/sandboxd/sandboxd.conf.d and /run/sandboxd/sandboxd.conf.d, then the
 * environment; the last one wins. The table in settings.c is the list with the defaults; man sandboxd.conf(5) and
 * sandboxctl configure come from it. */

typedef struct Settings {
        char *worker_name;      /* derived from the machine id unless set */
        uint32_t rest_port;
        char *api_prefix;
        char *auth_token;       /* NULL: none; "" counts as set */
        char *api_key;
        uint32_t max_sandboxes;
        uint32_t default_timeout_sec;
        uint32_t default_memory_mib;
        double default_cpu;
        char *allowed_images;
        char *workspace_dir;
        uint32_t max_command_timeout_sec;
        uint32_t pool_size;
        char *pool_profiles;
        char *isolation_backend;
        bool rate_limit;
        uint32_t rate_token_rpm, rate_token_burst, rate_sandbox_exec_pm, rate_sandbox_fs_pm;
        char *default_image;
        char *ttl_sweep, *metrics_interval, *pool_replenish;
        char *engine_url;

        uint32_t idle_exit_sec;
        uint32_t slices;
        uint64_t snapshot_budget;
        uint32_t snapshots_age_sec, snapshots_keep, snapshots_max;
        bool snapshots_prune;
        char *writable;         /* auto, disk, tmpfs */
        uint64_t writable_bytes, writable_inodes;
        char *network_range, *network_private, *network_allow, *network_dns;
        uint32_t egress_ttl_min_sec, egress_ttl_max_sec;
        uint32_t pids_max;
        uint64_t runtime_max_sec;
        uint32_t blank_pool, blank_pool_max, blank_rate;
        char *cors_origins;     /* comma-separated; empty: no CORS */
        char *host_names;       /* further names that the Host header may have on loopback */
        uint32_t commands_max;  /* live ones a sandbox */
        uint32_t terminals_max; /* live ones a sandbox */
        uint32_t connections_max;
        char *ports_address;    /* that exposed ports listen on */
        uint32_t ports_max;     /* a sandbox */
        uint32_t ports_min;     /* number of the lowest that is given away */
        uint64_t body_max, upload_max;
        uint32_t uploads_max;   /* in parts, a sandbox */
        uint32_t upload_age_sec;
        uint32_t queue_active_max, queue_sandbox_max, queue_pending_max;
        uint32_t queue_backoff_sec, queue_backoff_max_sec;
        uint32_t queue_keep, queue_keep_sec;
        uint64_t queue_output_max;
        uint32_t events_max, events_age_sec;
        uint32_t traces_max;
        bool proxy_public;      /* sandboxes may show their servers to everybody */
        uint64_t volume_bytes;
        uint32_t volumes_max;
        char *webhook_allow;    /* comma-separated */
        uint32_t webhooks_max, webhook_attempts, webhook_backoff_sec, webhook_backoff_max_sec, webhook_timeout_sec;
        bool strict_command;
        char *log_level;
} Settings;

typedef enum SettingType {
        SETTING_STRING,
        SETTING_U32,
        SETTING_U64,
        SETTING_SIZE,           /* bytes, with K, M, G, T */
        SETTING_BOOL,
        SETTING_DOUBLE,
} SettingType;

typedef struct SettingRow {
        const char *name;
        SettingType type;
        size_t offset;
        const char *fallback;   /* as it would be written; NULL: unset */
        const char *help;
        bool fixed;             /* holds until the daemon's next start, whatever a reload says */
} SettingRow;

extern const SettingRow setting_rows[];
extern const size_t n_setting_rows;

int settings_load(Settings *ret);
/* origins has n_setting_rows elements, NULL at first: each becomes the file, or "environment", that a value came from,
 * and stays NULL for a default. The caller frees them, also after a failure. */
int settings_load_with_origins(Settings *ret, char **origins);
/* -EBADMSG, after each bad line was logged, where settings_load() would go on without it. */
int settings_load_strict(Settings *ret);
void settings_apply_log_level(const Settings *s);

/* Names of settings, for the log; NULL: none. */
typedef struct SettingsChange {
        char *live, *fixed;
} SettingsChange;

void settings_change_done(SettingsChange *c);
/* What of fresh differs and may change in a running daemon goes into s, and the old values the other way; the pointer
 * to s stays good, its strings do not. 1: something has changed. */
int settings_take_live(Settings *s, Settings *fresh, SettingsChange *ret);
/* Both together for a daemon that has nothing to check in between, with a line in the log: all or nothing. 1 if
 * something has changed. */
int settings_reload(Settings *s);
/* As it would be written; *ret is NULL for one that is not set. */
int settings_format(const Settings *s, const SettingRow *row, char **ret);
/* One assignment; -ENOENT: unknown name, -EINVAL or -ERANGE: bad value, the old one stays. */
int settings_assign(Settings *s, const char *name, const char *value);
int settings_init_defaults(Settings *ret);
void settings_done(Settings *s);
