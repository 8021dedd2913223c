/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "sandboxctl/base64.h"
#include "tests/test.h"

TEST(decode) {
        static const struct {
                const char *text, *bytes;
                size_t size;
        } cases[] = {
                { "", "", 0 },
                { "Zg==", "f", 1 },
                { "Zm8=", "fo", 2 },
                { "Zm9v", "foo", 3 },
                { "Zm9vYmE=", "fooba", 5 },
                { "AP+AfwA=", "\0\xff\x80\x7f\0", 5 },
                { "+/+/", "\xfb\xff\xbf", 3 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_free_ char *bytes = NULL;
                size_t size;

                ASSERT_OK(base64_decode(cases[i].text, strlen(cases[i].text), &bytes, &size));
                ASSERT_EQ(size, cases[i].size);
                assert_memory_equal(bytes, cases[i].bytes, size);
        }
}

TEST(refuse) {
        static const char *const cases[] = { "Z", "Zg=", "Zg", "=Zg=", "Z===", "Zg==Zg==", "Zm9\n", "Zm9-", "====" };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char *bytes = NULL;
                size_t size;

                ASSERT_EQ(base64_decode(cases[i], strlen(cases[i]), &bytes, &size), -EINVAL);
                ASSERT_NULL(bytes);
        }
}
