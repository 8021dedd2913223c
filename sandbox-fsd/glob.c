/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-fsd/glob.h"

#include <string.h>

/* A matcher of our own, because fnmatch() takes exponential time on patterns that a client chooses, and follows the
 * locale. */

bool glob_is_valid(const char *pattern) {
        size_t n = strlen(pattern);

        return n >= 1 && n <= GLOB_PATTERN_MAX && !strpbrk(pattern, ";|$`\\");
}

static unsigned continuation_bytes(unsigned char first) {
        if (first >= 0xf0 && first < 0xf8)
                return 3;
        if (first >= 0xe0 && first < 0xf0)
                return 2;
        return first >= 0xc2 && first < 0xe0 ? 1 : 0;
}

/* The character at *p, which moves on; a byte that begins no valid sequence stands for itself. */
static uint32_t next_character(const char **p) {
        const unsigned char *s = (const unsigned char *) *p;
        unsigned n = continuation_bytes(s[0]);
        uint32_t c = n == 0 ? s[0] : s[0] & (0x3fU >> n);

        for (unsigned i = 1; i <= n; i++) {
                if ((s[i] & 0xc0) != 0x80) {
                        *p += 1;
                        return UINT32_C(0x110000) + s[0];
                }
                c = c << 6 | (s[i] & 0x3f);
        }
        *p += n + 1;
        return c;
}

/* pattern stands behind "[". 1: matches, 0: does not, with *ret behind "]"; -1: not a set. */
static int match_set(const char *pattern, uint32_t c, const char **ret) {
        bool negative = *pattern == '!' || *pattern == '^', found = false, first = true;
        const char *p = pattern + negative;

        while (*p && (*p != ']' || first)) {
                uint32_t low = next_character(&p), high = low;

                first = false;
                if (p[0] == '-' && p[1] && p[1] != ']') {
                        p++;
                        high = next_character(&p);
                }
                found = found || (c >= low && c <= high);
        }
        if (*p != ']')
                return -1;
        *ret = p + 1;
        return found != negative;
}

/* One step of the pattern that is not "*": whether it takes one character of the name. */
static bool match_one(const char **pattern, const char **name) {
        const char *p = *pattern, *n = *name, *behind;
        uint32_t c;
        int r = -1;

        if (!*p || !*n)
                return false;
        c = next_character(&n);
        if (*p == '[')
                r = match_set(p + 1, c, &behind);
        if (r >= 0)
                p = behind;
        else if (*p == '?')
                r = (p++, 1);
        else
                r = next_character(&p) == c;

        *pattern = p;
        *name = n;
        return r;
}

/* Only the last "*" is ever tried again: an earlier one cannot help where a later one failed. */
bool glob_match(const char *pattern, const char *name) {
        const char *star = NULL, *retry = NULL;

        for (;;) {
                if (*pattern == '*') {
                        star = ++pattern;
                        retry = name;
                        continue;
                }
                if (!*pattern && !*name)
                        return true;
                if (match_one(&pattern, &name))
                        continue;
                if (!star || !*retry)
                        return false;
                (void) next_character(&retry);
                name = retry;
                pattern = star;
        }
}
