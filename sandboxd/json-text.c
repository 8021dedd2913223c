/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/json-text.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

/* Text as JSON wants it. jansson could do it for what is whole and in memory; this works on pieces of any size, where a
 * character may be cut in two by the end of a buffer. */

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* Bytes of the sequence at p; 0: invalid, -1: valid so far, but the buffer ends. The second byte's range excludes
 * overlong forms, surrogates and what lies above U+10FFFF. */
static int utf8_step(const unsigned char *p, size_t n) {
        unsigned char low = 0x80, high = 0xbf;
        int more;

        if (p[0] < 0x80)
                return 1;
        if (p[0] < 0xc2 || p[0] > 0xf4)
                return 0;
        more = p[0] <= 0xdf ? 1 : p[0] <= 0xef ? 2 : 3;
        if (p[0] == 0xe0)
                low = 0xa0;
        else if (p[0] == 0xed)
                high = 0x9f;
        else if (p[0] == 0xf0)
                low = 0x90;
        else if (p[0] == 0xf4)
                high = 0x8f;

        for (int i = 1; i <= more; i++, low = 0x80, high = 0xbf) {
                if ((size_t) i >= n)
                        return -1;
                if (p[i] < low || p[i] > high)
                        return 0;
        }
        return more + 1;
}

static char *escape_ascii(unsigned char c, char *out) {
        static const char digits[] = "0123456789abcdef";
        static const char letters[0x20] = { ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r' };

        if (c == '"' || c == '\\') {
                *out++ = '\\';
                *out++ = (char) c;
        } else if (c >= 0x20 && c != 0x7f)
                *out++ = (char) c;
        else if (c < 0x20 && letters[c]) {
                *out++ = '\\';
                *out++ = letters[c];
        } else {
                out = mempcpy(out, "\\u00", 4);
                *out++ = digits[c >> 4];
                *out++ = digits[c & 15];
        }
        return out;
}

/* JSON takes these as they are, but readers of event streams that split at whatever Unicode calls the end of a line
 * (Python's splitlines() among them) would see a line end in the middle of a string. */
static const struct {
        const char *bytes, *escape;
} ends[] = {
        { "\xc2\x85",     "\\u0085" },
        { "\xe2\x80\xa8", "\\u2028" },
        { "\xe2\x80\xa9", "\\u2029" },
};

static char *escape_wide(const char *in, size_t n, char *out) {
        for (size_t i = 0; i < ELEMENTSOF(ends); i++)
                if (n == strlen(ends[i].bytes) && memcmp(in, ends[i].bytes, n) == 0)
                        return mempcpy(out, ends[i].escape, strlen(ends[i].escape));
        return mempcpy(out, in, n);
}

#define EVERY_BYTE(b) (UINT64_C(0x0101010101010101) * (b))

/* The high bit of (at least) the first byte of v that is zero, of none if there is none. */
static uint64_t zero_bytes(uint64_t v) {
        return (v - EVERY_BYTE(0x01)) & ~v & EVERY_BYTE(0x80);
}

/* The high bits of the bytes of v that JSON does not take as they are: control characters, what is not ASCII, quotes,
 * backslashes, DEL. Only the lowest of them is certain, a borrow may have made the others. */
static uint64_t special_bytes(uint64_t v) {
        return ((((v - EVERY_BYTE(0x20)) | v) & EVERY_BYTE(0x80)) | zero_bytes(v ^ EVERY_BYTE('"')) |
                zero_bytes(v ^ EVERY_BYTE('\\')) | zero_bytes(v ^ EVERY_BYTE(0x7f)));
}

/* Copies what stands for itself, up to eight bytes short of the end. Nearly all output is that, and a gibibyte goes
 * through here: eight bytes at a time, also past the end of what counts, since out has room for far more than in has. */
static size_t copy_plain(const char *in, size_t n, char *out) {
        size_t i = 0;

        while (n - i >= sizeof(uint64_t)) {
                uint64_t v, special;

                memcpy(&v, in + i, sizeof v);
                memcpy(out + i, &v, sizeof v);
                special = special_bytes(le64toh(v));
                if (special)
                        return i + (size_t) __builtin_ctzll(special) / 8;
                i += sizeof v;
        }
        return i;
}

size_t json_escape(const char *in, size_t n, bool last, char *out, size_t *ret_n_out) {
        char *start = out;
        size_t i = 0;

        while (i < n) {
                size_t plain = copy_plain(in + i, n - i, out);
                int k;

                i += plain;
                out += plain;
                if (i == n)
                        break;
                k = utf8_step((const unsigned char *) in + i, n - i);

                if (k == -1 && !last)
                        break;
                if (k == 1)
                        out = escape_ascii((unsigned char) in[i], out);
                else if (k > 1)
                        out = escape_wide(in + i, (size_t) k, out);
                else
                        out = mempcpy(out, "\xef\xbf\xbd", 3);
                i += k > 0 ? (size_t) k : 1;
        }
        *ret_n_out = (size_t) (out - start);
        return i;
}

/* Bytes of the end of a line at p, its escape in *ret. 0: there is none. */
static size_t end_at(const char *p, const char **ret) {
        for (size_t i = 0; i < ELEMENTSOF(ends); i++)
                if (strncmp(p, ends[i].bytes, strlen(ends[i].bytes)) == 0) {
                        *ret = ends[i].escape;
                        return strlen(ends[i].bytes);
                }
        return 0;
}

static const char *next_end(const char *p) {
        const char *escape;

        while ((p = strpbrk(p, "\xc2\xe2")) && end_at(p, &escape) == 0)
                p++;
        return p;
}

char *json_escape_ends(char *text) {
        const char *p = text, *end = next_end(text), *escape;
        char *copy, *out;

        if (!end)
                return text;
        out = copy = malloc(strlen(text) * JSON_ESCAPE_FACTOR / 2 + 1);
        for (; copy && end; end = next_end(p)) {
                out = mempcpy(out, p, (size_t) (end - p));
                p = end + end_at(end, &escape);
                out = stpcpy(out, escape);
        }
        if (copy)
                strcpy(out, p);
        free(text);
        return copy;
}

size_t utf8_cut(const char *s, size_t n) {
        for (size_t k = 1; k <= 3 && k <= n; k++) {
                unsigned char c = (unsigned char) s[n - k];

                if ((c & 0xc0) == 0x80)
                        continue;
                return utf8_step((const unsigned char *) s + n - k, k) == -1 ? k : 0;
        }
        return 0;
}

size_t base64_encode(const void *in, size_t n, char *out) {
        const unsigned char *p = in;
        char *start = out;

        for (; n > 0; n -= MIN(n, (size_t) 3), p += 3) {
                uint32_t v = (uint32_t) p[0] << 16 | (n > 1 ? (uint32_t) p[1] << 8 : 0) | (n > 2 ? p[2] : 0);

                *out++ = alphabet[v >> 18];
                *out++ = alphabet[v >> 12 & 63];
                *out++ = n > 1 ? alphabet[v >> 6 & 63] : '=';
                *out++ = n > 2 ? alphabet[v & 63] : '=';
        }
        return (size_t) (out - start);
}

static int digit_value(char c) {
        const char *p = c ? strchr(alphabet, c) : NULL;

        return p ? (int) (p - alphabet) : -EINVAL;
}

ssize_t base64_decode(const char *in, size_t n, void *out) {
        unsigned char *p = out;
        size_t padding = 0;

        if (n % 4 != 0)
                return -EINVAL;
        while (padding < 2 && padding < n && in[n - 1 - padding] == '=')
                padding++;

        for (size_t i = 0; i < n; i += 4) {
                size_t digits = i + 4 == n ? 4 - padding : 4;
                uint32_t v = 0;

                for (size_t k = 0; k < 4; k++) {
                        int d = k < digits ? digit_value(in[i + k]) : 0;

                        if (d < 0)
                                return -EINVAL;
                        v = v << 6 | (uint32_t) d;
                }
                /* Bits that the padding leaves over must be zero: one text for one content. */
                if ((digits == 2 && (v & 0xffff)) || (digits == 3 && (v & 0xff)))
                        return -EINVAL;
                for (size_t k = 0; k + 1 < digits; k++)
                        *p++ = (unsigned char) (v >> (16 - 8 * k));
        }
        return (ssize_t) (p - (unsigned char *) out);
}
