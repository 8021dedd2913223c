/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-dns/decisions.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/string-util.h"

#define VERSION (UINT64_C(0x646e7301) << 32 | sizeof(Decisions))
#define SILENT_MSEC UINT64_C(60000)

static const char *const names[_VERDICT_MAX] = {
        [VERDICT_DENIED]  = "denied",
        [VERDICT_ALLOWED] = "allowed",
        [VERDICT_PRIVATE] = "private",
};

const char *verdict_to_string(Verdict v) {
        return v < _VERDICT_MAX ? names[v] : "unknown";
}

/* Whatever a file of another version, or a torn one, says must be fit to be read. */
static void check(Decisions *d) {
        if (d->version != VERSION) {
                memset(d, 0, sizeof *d);
                d->version = VERSION;
        }
        for (size_t i = 0; i < DECISION_ROWS; i++) {
                d->rows[i].name[EGRESS_NAME_MAX] = 0;
                if (d->rows[i].verdict >= _VERDICT_MAX)
                        d->rows[i] = (Decision) {};
        }
}

int decisions_open(int directory_fd, const char *name, Decisions **ret) {
        _cleanup_close_ int fd = -EBADF;
        Decisions *d;

        fd = openat(directory_fd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0 || ftruncate(fd, sizeof *d) < 0)
                return -errno;
        d = mmap(NULL, sizeof *d, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (d == MAP_FAILED)
                return -errno;
        check(d);
        *ret = d;
        return 0;
}

Decisions *decisions_close(Decisions *d) {
        if (d)
                (void) munmap(d, sizeof *d);
        return NULL;
}

/* The row of this name, or the one that was silent longest. */
static Decision *find_row(Decisions *d, Verdict verdict, const char *name, uint16_t type) {
        Decision *oldest = d->rows;

        for (size_t i = 0; i < DECISION_ROWS; i++) {
                Decision *row = d->rows + i;

                if (row->count > 0 && row->verdict == verdict && row->type == type && streq(row->name, name))
                        return row;
                if (row->time_msec < oldest->time_msec)
                        oldest = row;
        }
        *oldest = (Decision) { .verdict = (uint8_t) verdict, .type = type };
        snprintf(oldest->name, sizeof oldest->name, "%s", name);
        return oldest;
}

bool decisions_note(Decisions *d, Verdict verdict, const char *name, uint16_t type, uint64_t now_msec) {
        Decision *row = find_row(d, verdict, name, type);
        bool said = row->count > 0 && now_msec < row->time_msec + SILENT_MSEC;

        d->counts[verdict]++;
        row->count++;
        if (!said)
                row->time_msec = now_msec;
        return !said;
}
