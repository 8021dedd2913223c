/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libsandbox/parse-util.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <strings.h>

#include "libsandbox/string-util.h"

/* strtoull() takes blanks, signs, overflow and half a word in good part. These do not: a number in a request, a file
 * name or a setting is a number, or it is refused. */

int parse_u64(const char *s, uint64_t *ret) {
        uint64_t value = 0;

        assert(ret);

        if (isempty(s))
                return -EINVAL;
        for (; *s; s++) {
                if (!isdigit((unsigned char) *s))
                        return -EINVAL;
                if (__builtin_mul_overflow(value, 10, &value) ||
                    __builtin_add_overflow(value, (uint64_t) (*s - '0'), &value))
                        return -ERANGE;
        }
        *ret = value;
        return 0;
}

int parse_u32(const char *s, uint32_t *ret) {
        uint64_t value;
        int r;

        r = parse_u64(s, &value);
        if (r < 0)
                return r;
        if (value > UINT32_MAX)
                return -ERANGE;
        *ret = (uint32_t) value;
        return 0;
}

int parse_i64(const char *s, int64_t *ret) {
        bool negative = !isempty(s) && s[0] == '-';
        uint64_t value;
        int r;

        r = parse_u64(negative ? s + 1 : s, &value);
        if (r < 0)
                return r;
        if (value > (uint64_t) INT64_MAX + negative)
                return -ERANGE;
        *ret = negative ? (int64_t) -value : (int64_t) value;
        return 0;
}

int parse_double(const char *s, double *ret) {
        double value;
        char *end;

        if (isempty(s) || s[strspn(s, "0123456789+-.eE")] != 0)
                return -EINVAL;
        errno = 0;
        value = strtod(s, &end);
        if (*end)
                return -EINVAL;
        if (errno == ERANGE || !isfinite(value))
                return -ERANGE;
        *ret = value;
        return 0;
}

int parse_boolean(const char *s, bool *ret) {
        static const char *const words[] = { "false", "true", "no", "yes", "off", "on", "0", "1" };

        for (size_t i = 0; s && i < ELEMENTSOF(words); i++)
                if (strcasecmp(s, words[i]) == 0) {
                        *ret = i % 2;
                        return 0;
                }
        return -EINVAL;
}

int parse_size(const char *s, uint64_t *ret) {
        static const char suffixes[] = "KMGT";
        char digits[24];
        const char *suffix;
        size_t n;
        uint64_t value;
        int r;

        n = isempty(s) ? 0 : strspn(s, "0123456789");
        if (n == 0 || n >= sizeof digits)
                return -EINVAL;
        memcpy(digits, s, n);
        digits[n] = 0;

        r = parse_u64(digits, &value);
        if (r < 0)
                return r;
        if (s[n]) {
                suffix = strchr(suffixes, toupper((unsigned char) s[n]));
                if (!suffix || s[n + 1])
                        return -EINVAL;
                for (ptrdiff_t i = 0; i <= suffix - suffixes; i++)
                        if (__builtin_mul_overflow(value, 1024, &value))
                                return -ERANGE;
        }
        *ret = value;
        return 0;
}
