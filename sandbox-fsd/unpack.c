/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-fsd/unpack.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sandbox-fsd/unpack-tree.h"

/* Two readers, one behind the other: the first takes the compression off and nothing else, the second knows tar and no
 * compression. So what comes out of a gzip is a tar or refused, and what stands behind the tar's end is seen. */

#define BLOCK_SIZE 65536U
/* A tar ends with two of these, of zeros. Some writers leave one. */
#define TAR_BLOCK 512U

const UnpackLimits unpack_limits = {
        .entries = 1000000,
        .bytes = 16 * GiB,
        .file_bytes = 8 * GiB,
        .ratio = 200,
        .ratio_from_bytes = 16 * MiB,
        .keep_owner = true,
};

typedef struct Unpack {
        int fd;
        const UnpackLimits *limits;
        struct archive *packed, *tar;
        EVP_MD_CTX *digest;
        uint64_t n_packed, n_unpacked;
        uint64_t n_zeros; /* at the end of what came out so far */
        int error;        /* of ours, in a callback */
        char in[BLOCK_SIZE], out[BLOCK_SIZE];
        size_t n_out;     /* bytes that the tar reader got last */
} Unpack;

static void unpack_done(Unpack *u) {
        archive_read_free(u->tar);
        archive_read_free(u->packed);
        EVP_MD_CTX_free(u->digest);
}

static la_ssize_t read_packed(struct archive *a, void *userdata, const void **ret_buffer) {
        Unpack *u = userdata;
        ssize_t n;

        do
                n = read(u->fd, u->in, sizeof u->in);
        while (n < 0 && errno == EINTR);
        if (n < 0) {
                u->error = -errno;
                archive_set_error(a, errno, "Failed to read");
                return -1;
        }
        if (EVP_DigestUpdate(u->digest, u->in, (size_t) n) != 1) {
                u->error = -ENOMEM;
                return -1;
        }
        u->n_packed += (uint64_t) n;
        *ret_buffer = u->in;
        return n;
}

static void count_zeros(Unpack *u, const char *data, size_t n) {
        size_t zeros = 0;

        while (zeros < n && data[n - 1 - zeros] == 0)
                zeros++;
        u->n_zeros = zeros == n ? u->n_zeros + n : zeros;
}

static bool is_bomb(const Unpack *u) {
        return u->n_unpacked > u->limits->ratio_from_bytes && u->n_unpacked / u->limits->ratio > u->n_packed;
}

static la_ssize_t read_unpacked(struct archive *a, void *userdata, const void **ret_buffer) {
        Unpack *u = userdata;
        la_ssize_t n;

        n = archive_read_data(u->packed, u->out, sizeof u->out);
        if (n < 0) {
                if (u->error == 0)
                        u->error = -EBADMSG;
                archive_set_error(a, EILSEQ, "%s", archive_error_string(u->packed));
                return -1;
        }
        u->n_out = (size_t) n;
        u->n_unpacked += (uint64_t) n;
        count_zeros(u, u->out, (size_t) n);
        if (is_bomb(u)) {
                u->error = -EFBIG;
                archive_set_error(a, EFBIG, "Unpacks to far more than its size");
                return -1;
        }
        *ret_buffer = u->out;
        return n;
}

static int open_packed(Unpack *u) {
        struct archive_entry *entry;

        u->packed = archive_read_new();
        u->digest = EVP_MD_CTX_new();
        if (!u->packed || !u->digest || EVP_DigestInit_ex(u->digest, EVP_sha256(), NULL) != 1)
                return -ENOMEM;
        if (archive_read_support_filter_gzip(u->packed) < ARCHIVE_WARN ||
            archive_read_support_filter_zstd(u->packed) < ARCHIVE_WARN ||
            archive_read_support_format_raw(u->packed) < ARCHIVE_WARN)
                return -EOPNOTSUPP;
        if (archive_read_open(u->packed, u, NULL, read_packed, NULL) != ARCHIVE_OK ||
            archive_read_next_header(u->packed, &entry) != ARCHIVE_OK)
                return -EBADMSG;
        /* The file itself counts as one filter. */
        return archive_filter_count(u->packed) > 2 ? -EBADMSG : 0;
}

static int open_tar(Unpack *u) {
        u->tar = archive_read_new();
        if (!u->tar)
                return -ENOMEM;
        if (archive_read_support_format_tar(u->tar) != ARCHIVE_OK)
                return -EOPNOTSUPP;
        return archive_read_open(u->tar, u, NULL, read_unpacked, NULL) == ARCHIVE_OK ? 0 : -EBADMSG;
}

/* Behind the tar's end there are zeros, and at least one block of them. */
static int check_end(Unpack *u) {
        uint64_t consumed = (uint64_t) archive_filter_bytes(u->tar, 0);
        uint64_t fed_before = u->n_unpacked - u->n_out;
        const void *ignored;
        uint64_t rest;

        rest = consumed < u->n_unpacked ? u->n_unpacked - MAX(consumed, fed_before) : 0;
        if (u->n_zeros < rest)
                return -EBADMSG;
        for (;;) {
                la_ssize_t n = read_unpacked(u->tar, u, &ignored);

                if (n < 0)
                        return u->error;
                if (n == 0)
                        break;
                if (u->n_zeros < (uint64_t) n)
                        return -EBADMSG;
        }
        return u->n_zeros < TAR_BLOCK ? -EBADMSG : 0;
}

static int unpack_entries(Unpack *u, int target_fd) {
        UnpackTree tree = { .fd = target_fd, .limits = u->limits };
        struct archive_entry *entry;
        int r, k;

        for (;;) {
                k = archive_read_next_header(u->tar, &entry);
                if (k == ARCHIVE_EOF)
                        return check_end(u);
                if (k == ARCHIVE_RETRY)
                        continue;
                /* A warning says that a name cannot be had in the C locale's characters: then its bytes are given as
                 * they are. In a UTF-8 locale, names that differ by Unicode normalization only would become one. */
                if (k != ARCHIVE_OK && k != ARCHIVE_WARN)
                        return u->error < 0 ? u->error : -EBADMSG;
                r = unpack_tree_add(&tree, u->tar, entry);
                if (r < 0)
                        return u->error < 0 ? u->error : r;
        }
}

static int finish_digest(Unpack *u, char *text, size_t text_size) {
        unsigned char digest[EVP_MAX_MD_SIZE];
        unsigned n;

        if (EVP_DigestFinal_ex(u->digest, digest, &n) != 1)
                return -ENOMEM;
        if (text_size < 2 * n + 1)
                return -ENOBUFS;
        for (unsigned i = 0; i < n; i++)
                (void) snprintf(text + 2 * i, 3, "%02x", digest[i]);
        return 0;
}

int unpack_tar(int tar_fd, int target_fd, const UnpackLimits *limits, char *text, size_t text_size) {
        _cleanup_(unpack_done) Unpack u = { .fd = tar_fd, .limits = limits };
        const char *reason;
        int r;

        r = open_packed(&u);
        if (r >= 0)
                r = open_tar(&u);
        if (r >= 0)
                r = unpack_entries(&u, target_fd);
        if (r >= 0)
                return finish_digest(&u, text, text_size);

        reason = u.tar ? archive_error_string(u.tar) : u.packed ? archive_error_string(u.packed) : NULL;
        if (!reason)
                reason = r == -EBADMSG ? "not a tar that is accepted" : strerror(-r);
        (void) snprintf(text, text_size, "%s", reason);
        return r;
}
