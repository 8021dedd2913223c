/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxctl/text.h"

#include <errno.h>
#include <inttypes.h>
#include <locale.h>
#include <stdio.h>
#include <wchar.h>

#include "libsandbox/parse-util.h"
#include "libsandbox/string-util.h"

/* There are two kinds of text: ours, and theirs. Theirs may hold escape sequences that rewrite the screen, or marks
 * that turn the direction of a line so that one name looks like another; both become visible. Widths are those of a
 * UTF-8 terminal, whatever our own locale is. */

/* One character of s into *ret; the bytes it takes, 0 if there is no valid one. */
static size_t decode(const char *s, size_t n, uint32_t *ret) {
        const unsigned char *p = (const unsigned char *) s;
        size_t k = p[0] < 0x80 ? 1 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
        uint32_t c;

        if (k > n || !utf8_is_valid(s, k))
                return 0;

        c = k == 1 ? p[0] : p[0] & (0x7fU >> k);
        for (size_t i = 1; i < k; i++)
                c = c << 6 | (p[i] & 0x3f);
        *ret = c;
        return k;
}

/* Controls of both sets, and marks that turn the direction of what follows: a name could pose as another one. */
static bool is_unsafe(uint32_t c) {
        return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x200e || c == 0x200f || c == 0x2028 || c == 0x2029 ||
               (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0xfeff;
}

#define ESCAPE_MAX 10U /* \u{10ffff} */

char *text_escape(const char *s, size_t n) {
        char *copy = malloc(n * ESCAPE_MAX + 1), *p = copy;

        if (!copy)
                return NULL;
        for (size_t i = 0, k; i < n; i += MAX(k, 1U)) {
                uint32_t c = (unsigned char) s[i];

                k = decode(s + i, n - i, &c);
                if (k > 0 && !is_unsafe(c))
                        p = mempcpy(p, s + i, k);
                else if (c == '\n' || c == '\t')
                        p += sprintf(p, "\\%c", c == '\n' ? 'n' : 't');
                else
                        p += sprintf(p, c < 0x100 ? "\\x%02x" : "\\u{%x}", c);
        }
        *p = 0;
        return copy;
}

/* wcwidth() knows only the characters of the locale, and ours is C. */
static unsigned character_width(uint32_t c) {
        static locale_t utf8;
        locale_t old;
        int w;

        if (c < 0x7f)
                return 1;
        if (!utf8)
                utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t) 0);
        if (!utf8)
                return 1;
        old = uselocale(utf8);
        w = wcwidth((wchar_t) c);
        uselocale(old);
        return w < 0 ? 1 : (unsigned) w;
}

/* Walks until the columns are used up. */
static size_t walk(const char *s, unsigned columns, unsigned *ret_width) {
        size_t n = strlen(s), i = 0;
        unsigned width = 0;

        while (i < n) {
                uint32_t c = 0;
                size_t k = decode(s + i, n - i, &c);
                unsigned w = k == 0 ? 1 : character_width(c);

                if (width + w > columns)
                        break;
                width += w;
                i += MAX(k, 1U);
        }
        *ret_width = width;
        return i;
}

unsigned text_width(const char *s) {
        unsigned width;

        walk(s, UINT32_MAX, &width);
        return width;
}

size_t text_prefix(const char *s, unsigned columns) {
        unsigned width;

        return walk(s, columns, &width);
}

/* A word that is longer than the line is broken where the line ends: better than none at all. */
size_t text_break(const char *s, unsigned columns) {
        size_t n = text_prefix(s, columns);

        if (s[n] == 0 || s[n] == ' ')
                return n;
        for (size_t i = n; i > 0; i--)
                if (s[i - 1] == ' ')
                        return i - 1;
        return n;
}

char *text_size(uint64_t bytes, char ret[TEXT_SHORT_MAX]) {
        static const char suffixes[] = "BKMGTPE";
        uint64_t whole = bytes, tenths = 0;
        unsigned i = 0;

        for (; whole >= 1024; i++) {
                tenths = whole % 1024 * 10 / 1024;
                whole /= 1024;
        }
        if (i > 0 && whole < 10 && tenths > 0)
                (void) snprintf(ret, TEXT_SHORT_MAX, "%" PRIu64 ".%" PRIu64 "%c", whole, tenths, suffixes[i]);
        else
                (void) snprintf(ret, TEXT_SHORT_MAX, "%" PRIu64 "%c", whole, suffixes[i]);
        return ret;
}

char *text_duration(uint64_t msec, char ret[TEXT_SHORT_MAX]) {
        static const struct {
                uint64_t msec;
                const char *name;
        } units[] = { { 86400000, "d" }, { 3600000, "h" }, { 60000, "min" }, { 1000, "s" } };

        for (size_t i = 0; i < ELEMENTSOF(units); i++) {
                uint64_t rest;

                if (msec < units[i].msec)
                        continue;
                rest = i + 1 < ELEMENTSOF(units) ? msec % units[i].msec / units[i + 1].msec : 0;
                if (rest > 0)
                        (void) snprintf(ret, TEXT_SHORT_MAX, "%" PRIu64 "%s %" PRIu64 "%s", msec / units[i].msec,
                                        units[i].name, rest, units[i + 1].name);
                else
                        (void) snprintf(ret, TEXT_SHORT_MAX, "%" PRIu64 "%s", msec / units[i].msec, units[i].name);
                return ret;
        }
        (void) snprintf(ret, TEXT_SHORT_MAX, "%" PRIu64 "ms", msec);
        return ret;
}

char *text_span(uint64_t msec, char ret[TEXT_SHORT_MAX]) {
        uint64_t seconds = msec / 1000;

        if (seconds < 120)
                (void) snprintf(ret, TEXT_SHORT_MAX, "%" PRIu64 "s", seconds);
        else if (seconds < 120 * 60)
                (void) snprintf(ret, TEXT_SHORT_MAX, "%" PRIu64 "m", seconds / 60);
        else if (seconds < UINT64_C(48) * 3600)
                (void) snprintf(ret, TEXT_SHORT_MAX, "%" PRIu64 "h", seconds / 3600);
        else
                (void) snprintf(ret, TEXT_SHORT_MAX, "%" PRIu64 "d", seconds / 86400);
        return ret;
}

char *text_relative(int64_t msec, int64_t now_msec, char ret[TEXT_SHORT_MAX]) {
        uint64_t distance = msec > now_msec ? (uint64_t) msec - (uint64_t) now_msec
                                            : (uint64_t) now_msec - (uint64_t) msec;
        char duration[TEXT_SHORT_MAX];

        /* A clock of another machine is never that exact. */
        if (distance < 1000)
                return strcpy(ret, "now");
        text_duration(distance, duration);
        if (msec > now_msec)
                (void) snprintf(ret, TEXT_SHORT_MAX, "in %.26s", duration);
        else
                (void) snprintf(ret, TEXT_SHORT_MAX, "%.26s ago", duration);
        return ret;
}

char *text_time(int64_t msec, char ret[TEXT_SHORT_MAX]) {
        time_t t = (time_t) (msec / 1000);
        struct tm tm;

        if (!gmtime_r(&t, &tm) || strftime(ret, TEXT_SHORT_MAX, "%Y-%m-%d %H:%M:%S UTC", &tm) == 0)
                return strcpy(ret, "-");
        return ret;
}

int parse_seconds(const char *s, uint64_t *ret) {
        static const struct {
                const char *suffix;
                uint64_t seconds;
        } units[] = { { "min", 60 }, { "m", 60 }, { "s", 1 }, { "h", 3600 }, { "d", 86400 } };
        _cleanup_free_ char *number = strdup(s);
        uint64_t factor = 1, value;
        int r;

        if (!number)
                return -ENOMEM;
        for (size_t i = 0; i < ELEMENTSOF(units); i++)
                if (endswith(number, units[i].suffix)) {
                        number[strlen(number) - strlen(units[i].suffix)] = 0;
                        factor = units[i].seconds;
                        break;
                }

        r = parse_u64(number, &value);
        if (r < 0)
                return r;
        if (__builtin_mul_overflow(value, factor, ret) || *ret > INT64_MAX / 1000)
                return -ERANGE;
        return 0;
}

int parse_mebibytes(const char *s, uint64_t *ret) {
        uint64_t bytes;
        int r;

        r = parse_u64(s, ret);
        if (r != -EINVAL)
                return r;
        r = parse_size(s, &bytes);
        if (r < 0)
                return r;
        *ret = bytes / MiB + (bytes % MiB > 0);
        return 0;
}

#define DISTANCE_MAX 64U

/* Levenshtein's, with one row of the matrix at a time. */
unsigned text_distance(const char *a, const char *b) {
        size_t n = strlen(a), m = strlen(b);
        unsigned row[DISTANCE_MAX + 1];

        if (n > DISTANCE_MAX || m > DISTANCE_MAX)
                return UINT32_MAX;
        for (unsigned j = 0; j <= m; j++)
                row[j] = j;
        for (unsigned i = 1; i <= n; i++) {
                unsigned diagonal = row[0];

                row[0] = i;
                for (unsigned j = 1; j <= m; j++) {
                        unsigned replaced = diagonal + (a[i - 1] != b[j - 1]);
                        unsigned moved = MIN(row[j], row[j - 1]) + 1;

                        diagonal = row[j];
                        row[j] = MIN(replaced, moved);
                }
        }
        return row[m];
}

const char *text_suggest(const char *word, const char *(*next)(void *userdata), void *userdata) {
        const char *best = NULL, *candidate;
        unsigned nearest = UINT32_MAX;

        while ((candidate = next(userdata))) {
                unsigned d = text_distance(word, candidate);

                if (strlen(word) >= 3 && startswith(candidate, word))
                        d = 1;
                /* Three wrong letters of four are another word. */
                if (d < nearest && d <= 3 && d * 2 <= MAX(strlen(candidate), strlen(word))) {
                        nearest = d;
                        best = candidate;
                }
        }
        return best;
}
