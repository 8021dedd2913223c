/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-init/util.h"

#include <linux/mman.h>
#include <linux/time.h>
#include <linux/time_types.h>

#include "sandbox-init/syscall.h"

/* What little of a libc init needs. Without one it is 17 KiB instead of most of a megabyte, has no heap, and the pages
 * that it does not write to are shared by all sandboxes.
 *
 * memcpy() and memset() have to be there by these names: the compiler calls them for assignments of structs. Loops are
 * enough: what is copied is small. */

void *memcpy(void *restrict to, const void *restrict from, size_t size) {
        const char *source = from;

        for (char *target = to; size > 0; size--)
                *target++ = *source++;
        return to;
}

void *memset(void *at, int value, size_t size) {
        for (char *target = at; size > 0; size--)
                *target++ = (char) value;
        return at;
}

size_t strlen(const char *s) {
        size_t n = 0;

        while (s[n])
                n++;
        return n;
}

uint64_t now_boottime_usec(void) {
        struct __kernel_timespec t = {};

        (void) SYS(clock_gettime, CLOCK_BOOTTIME, &t);
        return (uint64_t) t.tv_sec * USEC_PER_SEC + (uint64_t) t.tv_nsec / 1000;
}

/* Ownership of a descriptor passes on with its number, and the variable is left without: what is closed twice is
 * somebody else's the second time. */
int take_fd(int *fd) {
        int taken = *fd;

        *fd = -EBADF;
        return taken;
}

void close_fd(int *fd) {
        int taken = take_fd(fd);

        if (taken >= 0)
                (void) SYS(close, taken);
}

const char *format_u64(uint64_t value, char buffer[static DECIMAL_MAX]) {
        char reversed[DECIMAL_MAX];
        size_t n = 0;

        do {
                reversed[n++] = (char) ('0' + value % 10);
                value /= 10;
        } while (value > 0);
        for (size_t i = 0; i < n; i++)
                buffer[i] = reversed[n - 1 - i];
        buffer[n] = 0;
        return buffer;
}

int write_file_at(int directory, const char *path, const char *text) {
        long fd, r;

        fd = SYS(openat, directory, path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
                return (int) fd;

        r = SYS(write, fd, text, strlen(text));
        (void) SYS(close, fd);
        return r < 0 ? (int) r : 0;
}

#define PAGE_SIZE 4096U

/* Whole pages only: what shares the first or the last one with something else stays. They read as zeros afterwards. */
void release_pages(void *at, size_t size) {
        uintptr_t first = ((uintptr_t) at + PAGE_SIZE - 1) & ~(uintptr_t) (PAGE_SIZE - 1);
        uintptr_t end = ((uintptr_t) at + size) & ~(uintptr_t) (PAGE_SIZE - 1);

        if (end > first)
                (void) SYS(madvise, first, end - first, MADV_DONTNEED);
}

/* The innermost step that failed is what execd is told: callers on the way out pass the same error on, and must not
 * overwrite it. */
static int failed_step;

int step_failed(long r, int step) {
        if (failed_step == 0)
                failed_step = step;
        return (int) r;
}

int step_take(void) {
        int step = failed_step;

        failed_step = 0;
        return step;
}
