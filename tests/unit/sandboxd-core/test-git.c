/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "libsandbox/string-util.h"
#include "sandboxd/git.h"
#include "tests/test.h"

TEST(urls) {
        static const struct {
                const char *url;
                bool valid;
        } cases[] = {
                { "https://github.com/a/b.git", true  },
                { "http://h:8080/x",            true  },
                { "ssh://git@h/x",              true  },
                { "git://h/x",                  true  },
                { "git@h:x/y.git",              true  },
                { "h:x",                        true  },
                { "/srv/x.git",                 true  },
                { "/srv/a b",                   true  },
                { "",                           false },
                { "x",                          false },
                { "./x",                        false },
                { "../x:y",                     false },
                { "ext::sh -c id",              false },
                { "ext::sh",                    false },
                { "fd::17",                     false },
                { "file:///x",                  false },
                { "ftp://h/x",                  false },
                { "HTTPS://h/x",                false },
                { "https://",                   false },
                { "https:///x",                 false },
                { "https://u@/x",               false },
                { "ssh://-oProxyCommand=x/y",   false },
                { "ssh://u@-oProxyCommand=x/y", false },
                { "-oProxyCommand=x:y",         false },
                { "u@-oProxyCommand=x:y",       false },
                { "--upload-pack=x",            false },
                { "https://h/a b",              false },
                { "https://h/a\nb",             false },
                { "https://h/$(id)",            false },
                { "https://h/`id`",             false },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                if ((git_check_url(cases[i].url, NULL) >= 0) != cases[i].valid)
                        print_error("%s\n", cases[i].url);
                ASSERT_EQ(git_check_url(cases[i].url, NULL) >= 0, cases[i].valid);
        }
}

TEST(secrets_are_taken_out) {
        static const struct {
                const char *url, *clean, *username, *password;
        } cases[] = {
                { "https://h/x",          "https://h/x",    NULL,  NULL  },
                { "https://u:p@h/x@y",    "https://h/x@y",  "u",   "p"   },
                { "https://t@h/x",        "https://h/x",    "t",   ""    },
                { "https://u:p%40%3a@h",  "https://h",      "u",   "p@:" },
                { "https://a@b:c@h:1/x",  "https://h:1/x",  "a@b", "c"   },
                { "ssh://git@h/x",        "ssh://git@h/x",  NULL,  NULL  },
                { "git@h:x",              "git@h:x",        NULL,  NULL  },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(git_access_done) GitAccess a = {};

                ASSERT_OK(git_access_init(cases[i].url, NULL, NULL, &a, NULL));
                ASSERT_STREQ(a.url, cases[i].clean);
                ASSERT_TRUE(streq_ptr(a.username, cases[i].username));
                ASSERT_TRUE(streq_ptr(a.password, cases[i].password));
        }
}

TEST(environment) {
        _cleanup_(git_access_done) GitAccess a = {}, named = {};
        _cleanup_strv_free_ char **plain = NULL, **env = NULL, **other = NULL;

        ASSERT_OK(git_make_env(NULL, &plain));
        ASSERT_STREQ(strv_env_get(plain, "GIT_TERMINAL_PROMPT"), "0");
        ASSERT_STREQ(strv_env_get(plain, "GIT_CONFIG_COUNT"), "2");
        ASSERT_STREQ(strv_env_get(plain, "GIT_CONFIG_KEY_0"), "protocol.ext.allow");
        ASSERT_STREQ(strv_env_get(plain, "GIT_CONFIG_VALUE_0"), "never");
        ASSERT_NULL(strv_env_get(plain, "SANDBOXD_GIT_PASSWORD"));

        ASSERT_OK(git_access_init("https://h:8/x", NULL, "secret", &a, NULL));
        ASSERT_OK(git_make_env(&a, &env));
        ASSERT_STREQ(strv_env_get(env, "SANDBOXD_GIT_USERNAME"), "x-access-token");
        ASSERT_STREQ(strv_env_get(env, "SANDBOXD_GIT_PASSWORD"), "secret");
        ASSERT_STREQ(strv_env_get(env, "GIT_CONFIG_KEY_2"), "core.hooksPath");
        ASSERT_STREQ(strv_env_get(env, "GIT_CONFIG_KEY_4"), "credential.https://h:8.helper");
        ASSERT_STREQ(strv_env_get(env, "GIT_CONFIG_COUNT"), "5");

        ASSERT_OK(git_access_init(NULL, "u", "p", &named, NULL));
        ASSERT_OK(git_make_env(&named, &other));
        ASSERT_STREQ(strv_env_get(other, "GIT_CONFIG_KEY_4"), "http.followRedirects");
        ASSERT_STREQ(strv_env_get(other, "GIT_CONFIG_KEY_5"), "credential.helper");
        ASSERT_TRUE(git_access_init(NULL, "u", "p\nhost=x", &named, NULL) < 0);
}

TEST(status) {
        static const struct {
                const char *text, *json;
        } cases[] = {
                { "", "{\"branch\":\"HEAD\",\"clean\":true,\"files\":[]}" },
                { "## main\n", "{\"branch\":\"main\",\"clean\":true,\"files\":[]}" },
                { "## a.b/c...origin/x [ahead 1]\n", "{\"branch\":\"a.b/c\",\"clean\":true,\"files\":[]}" },
                { "## No commits yet on main\n", "{\"branch\":\"main\",\"clean\":true,\"files\":[]}" },
                { "## HEAD (no branch)\n", "{\"branch\":\"HEAD\",\"clean\":true,\"files\":[]}" },
                { "## m\n?? \"a\\tb\"\n M x\nMM y\nR  a -> b\nA  z",
                  "{\"branch\":\"m\",\"clean\":false,\"files\":["
                  "{\"path\":\"\\\"a\\\\tb\\\"\",\"status\":\"??\"},{\"path\":\"x\",\"status\":\"M\"},"
                  "{\"path\":\"y\",\"status\":\"MM\"},{\"path\":\"a -> b\",\"status\":\"R\"},"
                  "{\"path\":\"z\",\"status\":\"A\"}]}" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(json_decrefp) json_t *value = git_status_to_json(cases[i].text, strlen(cases[i].text));
                _cleanup_free_ char *text = json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS);

                ASSERT_STREQ(text, cases[i].json);
        }
}

TEST(log) {
        static const char text[] = "h1\0A\0d1\0s\tu\037b\0h2\0B\0d2\0\0h3\0cut";
        _cleanup_(json_decrefp) json_t *entries = git_log_to_json(text, sizeof text - 1);

        ASSERT_EQ(json_array_size(entries), 2);
        ASSERT_STREQ(json_string_value(json_object_get(json_array_get(entries, 0), "message")), "s\tu\037b");
        ASSERT_STREQ(json_string_value(json_object_get(json_array_get(entries, 1), "author")), "B");
        ASSERT_STREQ(json_string_value(json_object_get(json_array_get(entries, 1), "message")), "");
}

TEST(branches) {
        static const char text[] = "  a\n* main\n+ other\n  remotes/origin/HEAD -> origin/main\n";
        _cleanup_(json_decrefp) json_t *value = git_branches_to_json(text, sizeof text - 1);

        ASSERT_STREQ(json_string_value(json_object_get(value, "current")), "main");
        ASSERT_EQ(json_array_size(json_object_get(value, "branches")), 4);
}
