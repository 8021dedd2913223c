/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "sandboxd/spool.h"
#include "tests/fuzz/fuzz.h"

/* A spool whose file may be anything, and cursors that may be anything. Input: 8 bytes of file size, 16 bytes of what the
 * file begins with, then steps of 9 bytes, a kind and a number. */

#define SIZE_MAX_OF_FILE (12 * MiB)
#define READS_MAX 8U

static uint64_t take_number(const uint8_t **data, size_t *size) {
        uint64_t number = 0;
        size_t n = MIN(*size, sizeof number);

        if (n > 0)
                memcpy(&number, *data, n);
        *data += n;
        *size -= n;
        return number;
}

static void check(bool good) {
        if (!good)
                abort();
}

/* Reads at a cursor: it only moves on, never beyond the end, and by what was read, but for a jump over what is gone. */
static void read_at(Spool *s, uint64_t cursor) {
        char buffer[4096];

        for (unsigned i = 0; i < READS_MAX; i++) {
                uint64_t before = cursor;
                ssize_t n = spool_read(s, &cursor, buffer, sizeof buffer);

                check(n <= (ssize_t) sizeof buffer);
                check(cursor >= before);
                if (n <= 0)
                        return;
                check(cursor <= spool_total(s));
                check(cursor - before == (uint64_t) n || cursor - (uint64_t) n == spool_tail_start(s));
        }
}

static void step(Spool *s, uint8_t kind, uint64_t number) {
        static const char bytes[4096];
        uint64_t before = spool_total(s);

        switch (kind % 4) {
        case 0:
                if (spool_append(s, bytes, number % sizeof bytes) >= 0)
                        check(spool_total(s) == before + number % sizeof bytes);
                break;
        case 1:
                read_at(s, number);
                break;
        case 2:
                read_at(s, before - number % 8192);
                break;
        default:
                read_at(s, spool_tail_start(s) + number % 8192);
        }
        check(spool_stored(s) <= spool_total(s));
        check(spool_dropped(s) <= spool_total(s));
}

static void write_file(int dir_fd, const uint8_t **data, size_t *size) {
        uint64_t length = take_number(data, size) % SIZE_MAX_OF_FILE, head[2];
        int fd = openat(dir_fd, "spool", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        head[0] = take_number(data, size);
        head[1] = take_number(data, size);
        check(fd >= 0 && ftruncate(fd, (off_t) length) >= 0);
        check(pwrite(fd, head, MIN(length, sizeof head), 0) >= 0);
        close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static char directory[] = "/tmp/fuzz-spool-XXXXXX";
        Spool *s;
        int dir_fd;

        strcpy(directory + strlen(directory) - 6, "XXXXXX");
        check(mkdtemp(directory));
        dir_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        write_file(dir_fd, &data, &size);
        check(spool_new(dir_fd, "spool", &s) >= 0);
        while (size > 0) {
                uint8_t kind = *data;

                data++;
                size--;
                step(s, kind, take_number(&data, &size));
        }
        spool_unref(s);
        check(unlinkat(dir_fd, "spool", 0) >= 0);
        close(dir_fd);
        check(rmdir(directory) >= 0);
        return 0;
}
