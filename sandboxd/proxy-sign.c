/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/log.h"
#include "libsandbox/parse-util.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "sandboxd/proxy.h"

/* "EXPIRES.LENGTH.HMAC": the grant's path is the first LENGTH bytes of the path that is asked for, so it need not be
 * sent along, and one that is asked for cannot be above it. A sandbox's id is never used again, so nothing has to be
 * remembered of a signature: it is over when its time or its sandbox is. Whoever wants all of them to be over deletes the
 * file with the key. */

#define KEY_FILE "proxy.key"
#define KEY_BYTES 32U
#define HMAC_BYTES 32U

/* Beside the directory of the spools, which we have open. */
static int read_key(Manager *m, unsigned char ret[static KEY_BYTES]) {
        _cleanup_close_ int fd = openat(m->spool_fd, "../" KEY_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

        if (fd < 0)
                return -errno;
        return loop_read(fd, ret, KEY_BYTES) == KEY_BYTES ? 0 : -EBADMSG;
}

/* The name comes last, when the bytes are on the disk: a signature that was given away must not die with the power. */
static int make_key(Manager *m) {
        unsigned char key[KEY_BYTES];
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (getrandom(key, sizeof key, 0) != sizeof key)
                return -errno;
        fd = openat(m->spool_fd, "../" KEY_FILE ".new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return -errno;
        r = loop_write(fd, key, sizeof key);
        OPENSSL_cleanse(key, sizeof key);
        if (r >= 0 && fsync(fd) < 0)
                r = -errno;
        if (r >= 0 && renameat(m->spool_fd, "../" KEY_FILE ".new", m->spool_fd, "../" KEY_FILE) < 0)
                r = -errno;
        return r;
}

static int compute(Manager *m, const ProxyGrant *g, bool may_make_key, unsigned char ret[static HMAC_BYTES]) {
        unsigned char key[KEY_BYTES];
        _cleanup_free_ char *text = NULL;
        unsigned n = 0;
        int r, length;

        r = read_key(m, key);
        if ((r == -ENOENT || r == -EBADMSG) && may_make_key) {
                r = make_key(m);
                if (r >= 0)
                        r = read_key(m, key);
        }
        if (r < 0)
                return r;
        length = asprintf(&text, "sandboxd proxy 1\n%s\n%u\n%" PRIu64 "\n%.*s", g->sandbox, g->port, g->expires_sec,
                          (int) g->n_path, g->path);
        if (length < 0)
                return -ENOMEM;
        if (!HMAC(EVP_sha256(), key, sizeof key, (unsigned char *) text, (size_t) length, ret, &n) || n != HMAC_BYTES)
                r = -EIO;
        OPENSSL_cleanse(key, sizeof key);
        return r;
}

static void format(const ProxyGrant *g, const unsigned char hmac[static HMAC_BYTES],
                   char ret[static PROXY_SIGNATURE_SIZE]) {
        size_t n = (size_t) snprintf(ret, PROXY_SIGNATURE_SIZE, "%" PRIu64 ".%zu.", g->expires_sec, g->n_path);

        for (size_t i = 0; i < HMAC_BYTES; i++)
                n += (size_t) snprintf(ret + n, PROXY_SIGNATURE_SIZE - n, "%02x", hmac[i]);
}

int proxy_sign(Manager *m, const ProxyGrant *grant, char ret[static PROXY_SIGNATURE_SIZE]) {
        unsigned char hmac[HMAC_BYTES];
        int r = compute(m, grant, /* may_make_key= */ true, hmac);

        if (r < 0)
                return log_error_errno(r, "Failed to sign with the key of the proxy: %m");
        format(grant, hmac, ret);
        return 0;
}

/* "/a" covers "/a" and "/a/b", not "/ab"; "/a/" covers all below it. */
static bool covers(const char *path, size_t n) {
        return n > 0 && n <= strlen(path) && (path[n - 1] == '/' || path[n] == '/' || path[n] == 0);
}

int proxy_verify(Manager *m, const char *text, const char *path, ProxyGrant *grant) {
        char expected[PROXY_SIGNATURE_SIZE], copy[PROXY_SIGNATURE_SIZE], *next = copy;
        const char *expires, *length;
        unsigned char hmac[HMAC_BYTES];
        uint64_t n;
        int r;

        if (strlen(text) >= sizeof copy)
                return -EACCES;
        strcpy(copy, text);
        expires = strsep(&next, ".");
        length = strsep(&next, ".");
        if (!next || parse_u64(expires, &grant->expires_sec) < 0 || parse_u64(length, &n) < 0 || n > strlen(path) ||
            !covers(path, n))
                return -EACCES;
        grant->path = path;
        grant->n_path = n;
        r = compute(m, grant, /* may_make_key= */ false, hmac);
        if (r < 0)
                return r == -ENOENT ? -EACCES : r;
        format(grant, hmac, expected);
        if (strlen(expected) != strlen(text) || CRYPTO_memcmp(expected, text, strlen(text)) != 0)
                return -EACCES;
        return grant->expires_sec > now_usec(CLOCK_REALTIME) / USEC_PER_SEC ? 0 : -EACCES;
}
