/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libsandbox/settings.h"
#include "libsandbox/string-util.h"
#include "tests/test.h"

TEST(defaults) {
        _cleanup_(settings_done) Settings s = {};

        ASSERT_OK(settings_init_defaults(&s));
        ASSERT_EQ(s.rest_port, 3111);
        ASSERT_EQ(s.max_sandboxes, 50);
        ASSERT_STREQ(s.workspace_dir, "/workspace");
        ASSERT_NULL(s.auth_token);
        ASSERT_EQ(s.writable_bytes, 1 * GiB);
}

TEST(assign) {
        _cleanup_(settings_done) Settings s = {};

        ASSERT_OK(settings_init_defaults(&s));
        ASSERT_EQ(settings_assign(&s, "III_MAX_SANDBOXES", "many"), -EINVAL);
        ASSERT_EQ(s.max_sandboxes, 50);
        ASSERT_EQ(settings_assign(&s, "III_NO_SUCH", "1"), -ENOENT);
        ASSERT_OK(settings_assign(&s, "III_AUTH_TOKEN", ""));
        ASSERT_STREQ(s.auth_token, "");
}

TEST(environment_wins) {
        _cleanup_(settings_done) Settings s = {};

        setenv("III_MAX_SANDBOXES", "7", 1);
        setenv("III_DEFAULT_MEMORY", "lots", 1);
        ASSERT_OK(settings_load(&s));
        ASSERT_EQ(s.max_sandboxes, 7);
        ASSERT_EQ(s.default_memory_mib, 512);
        ASSERT_NOT_NULL(s.worker_name);
}

TEST(table_is_sorted_and_complete) {
        for (size_t i = 0; i < n_setting_rows; i++) {
                ASSERT_NOT_NULL(setting_rows[i].help);
                if (i > 0)
                        ASSERT_TRUE(strcmp(setting_rows[i - 1].name, setting_rows[i].name) < 0);
        }
}

TEST(origins_and_format) {
        _cleanup_(settings_done) Settings s = {};
        char **origins = new0(char *, n_setting_rows);

        ASSERT_EQ(setenv("III_MAX_SANDBOXES", "7", 1), 0);
        ASSERT_EQ(setenv("III_DEFAULT_CPU", "x", 1), 0);
        ASSERT_NOT_NULL(origins);
        ASSERT_OK(settings_load_with_origins(&s, origins));
        for (size_t i = 0; i < n_setting_rows; i++) {
                const SettingRow *row = setting_rows + i;
                _cleanup_free_ char *value = NULL;

                ASSERT_OK(settings_format(&s, row, &value));
                if (streq(row->name, "III_MAX_SANDBOXES")) {
                        ASSERT_STREQ(value, "7");
                        ASSERT_STREQ(origins[i], "environment");
                }
                if (streq(row->name, "III_DEFAULT_CPU")) {
                        ASSERT_STREQ(value, "1");
                        ASSERT_NULL(origins[i]);
                }
                if (streq(row->name, "SANDBOX_WRITABLE_SIZE"))
                        ASSERT_STREQ(value, "1073741824");
                free(origins[i]);
        }
        free(origins);
        unsetenv("III_MAX_SANDBOXES");
        unsetenv("III_DEFAULT_CPU");
}

TEST(a_reload_takes_what_may_change) {
        _cleanup_(settings_change_done) SettingsChange change = {};
        _cleanup_(settings_done) Settings s = {}, fresh = {};

        ASSERT_OK(settings_init_defaults(&s));
        ASSERT_OK(settings_init_defaults(&fresh));
        ASSERT_OK(settings_assign(&fresh, "III_AUTH_TOKEN", "new"));
        ASSERT_OK(settings_assign(&fresh, "III_DEFAULT_CPU", "0.5"));
        ASSERT_OK(settings_assign(&fresh, "III_RATE_LIMIT_ENABLED", "yes"));
        ASSERT_OK(settings_assign(&fresh, "III_REST_PORT", "4000"));
        ASSERT_OK(settings_assign(&fresh, "III_WORKSPACE_DIR", "/elsewhere"));
        ASSERT_OK(settings_assign(&fresh, "SANDBOX_UPLOAD_MAX", "1M"));

        ASSERT_EQ(settings_take_live(&s, &fresh, &change), 1);
        ASSERT_STREQ(change.live, "III_AUTH_TOKEN, III_DEFAULT_CPU, III_RATE_LIMIT_ENABLED, SANDBOX_UPLOAD_MAX");
        ASSERT_STREQ(change.fixed, "III_REST_PORT, III_WORKSPACE_DIR");
        ASSERT_STREQ(s.auth_token, "new");
        ASSERT_TRUE(s.default_cpu > 0.4 && s.default_cpu < 0.6);
        ASSERT_TRUE(s.rate_limit);
        ASSERT_EQ(s.upload_max, MiB);
        ASSERT_EQ(s.rest_port, 3111);
        ASSERT_STREQ(s.workspace_dir, "/workspace");
}

TEST(a_reload_without_a_change) {
        _cleanup_(settings_change_done) SettingsChange change = {};
        _cleanup_(settings_done) Settings s = {}, fresh = {};

        ASSERT_OK(settings_init_defaults(&s));
        ASSERT_OK(settings_init_defaults(&fresh));
        ASSERT_EQ(settings_take_live(&s, &fresh, &change), 0);
        ASSERT_NULL(change.live);
        ASSERT_NULL(change.fixed);
}
