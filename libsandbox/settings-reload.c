/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "libsandbox/log.h"
#include "libsandbox/settings.h"
#include "libsandbox/string-util.h"

/* A reload is all or nothing: half of a file that somebody is writing must not become anybody's limits. */

static const size_t type_sizes[] = {
        [SETTING_STRING] = sizeof(char *),
        [SETTING_U32] = sizeof(uint32_t),
        [SETTING_U64] = sizeof(uint64_t),
        [SETTING_SIZE] = sizeof(uint64_t),
        [SETTING_BOOL] = sizeof(bool),
        [SETTING_DOUBLE] = sizeof(double),
};

static bool row_is_equal(const Settings *a, const Settings *b, const SettingRow *row) {
        const char *x = (const char *) a + row->offset, *y = (const char *) b + row->offset;

        if (row->type == SETTING_STRING) {
                const char *s = *(char *const *) x, *t = *(char *const *) y;

                return s && t ? streq(s, t) : s == t;
        }
        return memcmp(x, y, type_sizes[row->type]) == 0;
}

static void row_swap(Settings *a, Settings *b, const SettingRow *row) {
        char *x = (char *) a + row->offset, *y = (char *) b + row->offset, kept[sizeof(uint64_t)];
        size_t n = type_sizes[row->type];

        memcpy(kept, x, n);
        memcpy(x, y, n);
        memcpy(y, kept, n);
}

static int add_name(char **list, const char *name) {
        char *longer;

        if (asprintf(&longer, "%s%s%s", *list ? *list : "", *list ? ", " : "", name) < 0)
                return -ENOMEM;
        free(*list);
        *list = longer;
        return 0;
}

void settings_change_done(SettingsChange *c) {
        c->live = mfree(c->live);
        c->fixed = mfree(c->fixed);
}

int settings_take_live(Settings *s, Settings *fresh, SettingsChange *ret) {
        _cleanup_(settings_change_done) SettingsChange change = {};
        int r = 0;

        /* Names first: nothing can fail any more when values begin to change. */
        for (size_t i = 0; r >= 0 && i < n_setting_rows; i++)
                if (!row_is_equal(s, fresh, setting_rows + i))
                        r = add_name(setting_rows[i].fixed ? &change.fixed : &change.live, setting_rows[i].name);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n_setting_rows; i++)
                if (!setting_rows[i].fixed)
                        row_swap(s, fresh, setting_rows + i);
        settings_apply_log_level(s);

        r = !!change.live;
        *ret = change;
        change = (SettingsChange) {};
        return r;
}

int settings_reload(Settings *s) {
        _cleanup_(settings_change_done) SettingsChange change = {};
        _cleanup_(settings_done) Settings fresh = {};
        int r;

        r = settings_load_strict(&fresh);
        if (r >= 0)
                r = settings_take_live(s, &fresh, &change);
        if (r < 0)
                return log_error_errno(r, r == -EBADMSG ? "Not all of the settings are understood, keeping the old ones."
                                                        : "Failed to read the settings, keeping the old ones: %m");
        log_info("Settings read again, changed: %s.", change.live ? change.live : "none");
        return r;
}
