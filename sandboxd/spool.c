/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"

/* The head is a plain run of bytes, the tail a ring behind it in the same file, so that the place of every position can
 * be computed and nothing is ever copied. */

#define SPOOL_MAGIC UINT64_C(0x31304c4f4f505342)
#define SPOOL_MAGIC_LIVE UINT64_C(0x31304c4556494c42)

/* The header of a file. total is written after the data: a crash between the two loses the last bytes, but never
 * shows bytes that were not written. */
typedef struct SpoolHeader {
        uint64_t magic;
        uint64_t total;
} SpoolHeader;

struct Spool {
        unsigned n_ref;
        int dir_fd;
        int fd;
        bool live;
        uint64_t cleared;       /* (live) all bytes from total up to here are 0 */
        char *name;             /* NULL: unnamed */
        bool resting;           /* named: open only while somebody reads */
        char *memory;
        size_t memory_size;
        uint64_t total, lost;
};

static int write_at(int fd, const void *data, size_t n, uint64_t offset) {
        const char *p = data;

        while (n > 0) {
                ssize_t k = pwrite(fd, p, n, (off_t) offset);

                if (k < 0 && errno == EINTR)
                        continue;
                if (k < 0)
                        return -errno;
                p += k;
                n -= (size_t) k;
                offset += (uint64_t) k;
        }
        return 0;
}

static int write_total(Spool *s) {
        return write_at(s->fd, &s->total, sizeof s->total, offsetof(SpoolHeader, total));
}

static uint64_t magic_of(const Spool *s) {
        return s->live ? SPOOL_MAGIC_LIVE : SPOOL_MAGIC;
}

/* Also for a file with another magic number, of another release or damaged: its bytes could not be placed. */
static int start_file(Spool *s) {
        SpoolHeader header = { .magic = magic_of(s) };

        if (ftruncate(s->fd, 0) < 0)
                return -errno;
        return write_at(s->fd, &header, sizeof header, 0);
}

/* Where position stands in the file, and how many bytes follow it without a break. */
static uint64_t locate(uint64_t position, uint64_t *ret_contiguous) {
        uint64_t offset;

        if (position < SPOOL_HEAD_MAX) {
                *ret_contiguous = SPOOL_HEAD_MAX - position;
                return sizeof(SpoolHeader) + position;
        }
        offset = (position - SPOOL_HEAD_MAX) % SPOOL_TAIL_MAX;
        *ret_contiguous = SPOOL_TAIL_MAX - offset;
        return sizeof(SpoolHeader) + SPOOL_HEAD_MAX + offset;
}

/* What was read behind the header's back, when we were killed before we could count it: all that is not 0, for a live
 * spool clears the place of its next bytes before it reads them. */
static int count_rest(Spool *s) {
        uint64_t contiguous, offset = locate(s->total, &contiguous);
        char rest[SPOOL_LIVE_MAX];
        ssize_t n;

        n = pread(s->fd, rest, (size_t) MIN((uint64_t) sizeof rest, contiguous), (off_t) offset);
        if (n < 0)
                return -errno;
        while (n > 0 && rest[n - 1] == 0)
                n--;
        s->total += (uint64_t) n;
        s->cleared = s->total;
        return n > 0 ? write_total(s) : 0;
}

static int open_named(Spool *s, const char *name) {
        SpoolHeader header = {};
        ssize_t n;

        s->name = strdup(name);
        if (!s->name)
                return -ENOMEM;
        s->fd = openat(s->dir_fd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (s->fd < 0)
                return -errno;

        n = pread(s->fd, &header, sizeof header, 0);
        if (n < 0)
                return -errno;
        if (n != sizeof header || header.magic != magic_of(s))
                return start_file(s);
        s->total = s->cleared = header.total;
        return s->live ? count_rest(s) : 0;
}

static int new_spool(int dir_fd, const char *name, bool live, Spool **ret) {
        _cleanup_(spool_unrefp) Spool *s = NULL;
        int r;

        assert(ret);

        s = new0(Spool, 1);
        if (!s)
                return -ENOMEM;
        *s = (Spool) { .n_ref = 1, .dir_fd = dir_fd, .fd = -EBADF, .live = live };

        if (name) {
                r = open_named(s, name);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(s);
        return 0;
}

int spool_new(int dir_fd, const char *name, Spool **ret) {
        return new_spool(dir_fd, name, /* live= */ false, ret);
}

int spool_new_live(int dir_fd, const char *name, Spool **ret) {
        assert(name);
        return new_spool(dir_fd, name, /* live= */ true, ret);
}

/* Descriptors are for those at work: thousands of commands are remembered, a few are read. */
static int wake(Spool *s) {
        if (!s->name || s->fd >= 0)
                return 0;
        s->fd = openat(s->dir_fd, s->name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
        return s->fd < 0 ? -errno : 0;
}

static void settle(Spool *s) {
        if (s->resting && s->n_ref == 1)
                s->fd = safe_close(s->fd);
}

void spool_rest(Spool *s) {
        if (s && s->name) {
                s->resting = true;
                settle(s);
        }
}

/* Who holds it may read on though the file is removed meanwhile. */
Spool *spool_ref(Spool *s) {
        if (s) {
                s->n_ref++;
                (void) wake(s);
        }
        return s;
}

Spool *spool_unref(Spool *s) {
        if (!s)
                return NULL;
        if (--s->n_ref > 0) {
                settle(s);
                return NULL;
        }
        safe_close(s->fd);
        free(s->memory);
        free(s->name);
        free(s);
        return NULL;
}

/* What cannot be written is counted as lost; the command goes on. */
static int append_file(Spool *s, const char *data, size_t n) {
        int r;

        while (n > 0) {
                uint64_t contiguous, offset = locate(s->total, &contiguous);
                size_t k = (size_t) MIN((uint64_t) n, contiguous);

                r = write_at(s->fd, data, k, offset);
                if (r < 0) {
                        s->lost += n;
                        return r;
                }
                s->total += k;
                data += k;
                n -= k;
        }
        return s->name ? write_total(s) : 0;
}

/* The memory was too small: from now on the bytes stand in a file that nobody else can name. */
static int move_to_file(Spool *s) {
        int r;

        s->fd = openat(s->dir_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        if (s->fd < 0)
                return -errno;
        r = start_file(s);
        if (r >= 0)
                r = write_at(s->fd, s->memory, s->total, sizeof(SpoolHeader));
        if (r < 0) {
                s->fd = safe_close(s->fd);
                return r;
        }
        s->memory = mfree(s->memory);
        s->memory_size = 0;
        return 0;
}

/* Most commands say little: for them there is no file at all. */
static int append_memory(Spool *s, const void *data, size_t n) {
        size_t wanted = (size_t) s->total + n;

        if (wanted > s->memory_size) {
                size_t size = MIN(MAX(wanted * 2, (size_t) 512), (size_t) SPOOL_MEMORY_MAX);
                char *memory = realloc(s->memory, size);

                if (!memory) {
                        s->lost += n;
                        return -ENOMEM;
                }
                s->memory = memory;
                s->memory_size = size;
        }
        memcpy(s->memory + s->total, data, n);
        s->total += n;
        return 0;
}

int spool_append(Spool *s, const void *data, size_t n) {
        int r;

        assert(s);
        assert(data || n == 0);

        if (n == 0)
                return 0;
        r = wake(s);
        if (r < 0) {
                s->lost += n;
                return r;
        }
        if (s->fd < 0) {
                if (s->total + n <= SPOOL_MEMORY_MAX)
                        return append_memory(s, data, n);
                r = move_to_file(s);
                if (r < 0) {
                        s->lost += n;
                        return r;
                }
        }
        return append_file(s, data, n);
}

static int clear_ahead(Spool *s) {
        static const char zeros[SPOOL_LIVE_MAX];
        uint64_t end = s->total + SPOOL_LIVE_MAX;

        s->cleared = MAX(s->cleared, s->total);
        while (s->cleared < end) {
                uint64_t contiguous, offset = locate(s->cleared, &contiguous);
                size_t n = (size_t) MIN(end - s->cleared, contiguous);
                int r = write_at(s->fd, zeros, n, offset);

                if (r < 0)
                        return r;
                s->cleared += n;
        }
        return 0;
}

/* The kernel puts the bytes into the file by our mapping of it, in the same call that takes them from the descriptor, so
 * there is no moment at which they are nowhere but in our memory. */
ssize_t spool_fill(Spool *s, int fd) {
        uint64_t contiguous, offset = locate(s->total, &contiguous), page = offset & ~UINT64_C(4095);
        size_t ahead = (size_t) (offset - page), size = ahead + SPOOL_LIVE_MAX;
        ssize_t n;
        char *map;

        assert(s->live);

        if (clear_ahead(s) < 0)
                return -EFAULT;
        map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd, (off_t) page);
        if (map == MAP_FAILED)
                return -EFAULT;
        n = read(fd, map + ahead, (size_t) MIN((uint64_t) SPOOL_LIVE_MAX, contiguous));
        if (n < 0)
                n = -errno;
        (void) munmap(map, size);
        if (n > 0) {
                s->total += (uint64_t) n;
                (void) write_total(s); /* else the next start counts them */
        }
        return n;
}

uint64_t spool_total(const Spool *s) {
        return s->total;
}

uint64_t spool_tail_start(const Spool *s) {
        uint64_t tail = SPOOL_TAIL_MAX - (s->live ? SPOOL_LIVE_MAX : 0);

        return s->total > SPOOL_HEAD_MAX + tail ? s->total - tail : MIN(s->total, SPOOL_HEAD_MAX);
}

uint64_t spool_dropped(const Spool *s) {
        uint64_t tail = spool_tail_start(s);

        return s->lost + (tail > SPOOL_HEAD_MAX ? tail - SPOOL_HEAD_MAX : 0);
}

uint64_t spool_stored(const Spool *s) {
        return MIN(s->total, SPOOL_HEAD_MAX + SPOOL_TAIL_MAX);
}

static ssize_t read_file(Spool *s, uint64_t position, void *buffer, size_t n) {
        uint64_t contiguous, offset = locate(position, &contiguous);
        ssize_t k;

        do
                k = pread(s->fd, buffer, (size_t) MIN((uint64_t) n, contiguous), (off_t) offset);
        while (k < 0 && errno == EINTR);
        return k < 0 ? -errno : k;
}

/* *cursor is moved over what fell out between head and tail, and then behind what was read. */
ssize_t spool_read(Spool *s, uint64_t *cursor, void *buffer, size_t n) {
        ssize_t k;
        int r;

        assert(s);
        assert(cursor);

        if (*cursor >= SPOOL_HEAD_MAX)
                *cursor = MAX(*cursor, spool_tail_start(s));
        if (*cursor >= s->total)
                return 0;

        n = (size_t) MIN((uint64_t) n, s->total - *cursor);
        r = wake(s);
        if (r < 0)
                return r;
        if (s->fd < 0) {
                memcpy(buffer, s->memory + *cursor, n);
                k = (ssize_t) n;
        } else
                k = read_file(s, *cursor, buffer, n);
        settle(s);
        if (k > 0)
                *cursor += (uint64_t) k;
        return k;
}
