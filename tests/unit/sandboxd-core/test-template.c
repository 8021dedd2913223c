/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/template.h"

#include "libsandbox/string-util.h"
#include "tests/test.h"

TEST(overlay) {
        static const struct {
                const char *config, *request, *expect;
        } cases[] = {
                { "{\"image\":\"a\"}", "{}", "{\"image\":\"a\"}" },
                { "{\"image\":\"a\",\"memory\":64}", "{\"memory\":128,\"cpu\":2}",
                  "{\"image\":\"a\",\"memory\":128,\"cpu\":2}" },
                /* absent, as some clients write it */
                { "{\"image\":\"a\",\"memory\":64}", "{\"memory\":null,\"image\":null}",
                  "{\"image\":\"a\",\"memory\":64}" },
                /* what the libraries say when nobody said anything */
                { "{\"image\":\"a\"}", "{\"image\":\"python:3.12-slim\"}", "{\"image\":\"a\"}" },
                { "{\"image\":\"a\"}", "{\"image\":\"b\"}", "{\"image\":\"b\"}" },
                { "{\"image\":\"a\"}", "{\"image\":7}", "{\"image\":7}" },
                { "{}", "{\"image\":\"python:3.12-slim\"}", "{\"image\":\"python:3.12-slim\"}" },
                /* one level deep */
                { "{\"image\":\"a\",\"env\":{\"A\":\"1\",\"B\":\"2\"}}", "{\"env\":{\"A\":\"3\"}}",
                  "{\"image\":\"a\",\"env\":{\"A\":\"3\"}}" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(json_decrefp) json_t *template = json_pack("{s:o}", "config", json_loads(cases[i].config, 0, NULL));
                _cleanup_(json_decrefp) json_t *request = json_loads(cases[i].request, 0, NULL);
                _cleanup_(json_decrefp) json_t *before = json_deep_copy(template);
                _cleanup_(json_decrefp) json_t *merged = template_overlay(template, request);
                _cleanup_free_ char *text = json_dumps(merged, JSON_COMPACT);

                ASSERT_STREQ(text, cases[i].expect);
                ASSERT_TRUE(json_equal(template, before));
        }
}
