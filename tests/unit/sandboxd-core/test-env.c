/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "sandboxd/env.h"
#include "tests/test.h"

#define BEGIN "# sandboxd: begin, set by the env routes\n"
#define END "# sandboxd: end\n"

TEST(file) {
        static const struct {
                const char *before, *overlay, *after;
        } cases[] = {
                { "", "{}", "" },
                { "", "{\"MY_VAR\":\"test123\"}", BEGIN "MY_VAR=test123\n" END },
                { "", "{\"A\":null}", "" },
                { "X=1\n", "{\"A\":\"\"}", "X=1\n" BEGIN "A=\n" END },
                { "X=1", "{}", "X=1\n" },
                { "X=1\n" BEGIN "A=old\nB=old\n" END "Y=2\n", "{\"A\":\"new\"}", "X=1\nY=2\n" BEGIN "A=new\n" END },
                { BEGIN "A=1\n" END, "{}", "" },
                { BEGIN END "Z=1\n", "{}", "Z=1\n" },
                { BEGIN "A=1\n", "{}", "A=1\n" },
                { BEGIN "A=1\n" END BEGIN "B=1\n" END, "{}", "" },
                /* No value can end the block, begin a line, or be run by a shell that reads the file. */
                { "", "{\"A\":\"x\\nLD_PRELOAD=/evil\"}", BEGIN "A=\"x\\nLD_PRELOAD=/evil\"\n" END },
                { "", "{\"A\":\"\\n# sandboxd: end\\nB=1\"}", BEGIN "A=\"\\n# sandboxd: end\\nB=1\"\n" END },
                { "", "{\"A\":\"\\r$(id)`id`\\\"\\\\\"}", BEGIN "A=\"\\r\\$(id)\\`id\\`\\\"\\\\\"\n" END },
                { "", "{\"A\":\"p\xc3\xa4th #\"}", BEGIN "A=\"p\xc3\xa4th #\"\n" END },
                { "", "{\"A\\nB\":\"x\"}", "" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(json_decrefp) json_t *overlay = json_loads(cases[i].overlay, 0, NULL);
                _cleanup_free_ char *after = NULL, *again = NULL;

                ASSERT_NOT_NULL(overlay);
                ASSERT_OK(env_file_update(cases[i].before, strlen(cases[i].before), overlay, &after));
                ASSERT_STREQ(after, cases[i].after);
                ASSERT_OK(env_file_update(after, strlen(after), overlay, &again));
                ASSERT_STREQ(again, after);
        }
}
