/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxctl/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "sandboxctl/ctl.h"
#include "sandboxctl/text.h"

#define DRAW_EVERY_MSEC 100
/* What is done before anybody could read the line needs none. */
#define DRAW_AFTER_MSEC 300
#define NAME_COLUMNS 24U
#define BAR_COLUMNS 20U

char *progress_format(const Progress *p, int64_t now) {
        uint64_t elapsed = (uint64_t) MAX(now - p->begun_msec, 1);
        char bar[BAR_COLUMNS + 1], done[TEXT_SHORT_MAX], size[TEXT_SHORT_MAX], rate[TEXT_SHORT_MAX];
        _cleanup_free_ char *name = text_escape(p->name, strlen(p->name));
        double per_sec = (double) p->done * 1000 / (double) elapsed;
        unsigned percent = 0;
        char *line;
        int r;

        if (!name)
                return NULL;
        name[text_prefix(name, NAME_COLUMNS)] = 0;
        text_size(p->done, done);
        text_size(per_sec < 0x1p64 ? (uint64_t) per_sec : UINT64_MAX, rate);
        if (p->size == UINT64_MAX) {
                r = asprintf(&line, "%s  %s  %s/s", name, done, rate);
                return r < 0 ? NULL : line;
        }

        /* A file that grows under our hands does not become more than whole. */
        if (p->size > 0)
                percent = (unsigned) MIN((double) p->done * 100 / (double) p->size, 100.0);
        memset(bar, ' ', BAR_COLUMNS);
        memset(bar, '#', percent * BAR_COLUMNS / 100);
        bar[BAR_COLUMNS] = 0;
        r = asprintf(&line, "%s  [%s] %3u%%  %s/%s  %s/s", name, bar, percent, done, text_size(p->size, size), rate);
        return r < 0 ? NULL : line;
}

void progress_begin(Progress *p, const char *name, uint64_t size) {
        p->name = name;
        p->size = size;
        p->done = 0;
        p->begun_msec = now_msec();
        p->drawn_msec = 0;
}

void progress_add(Progress *p, uint64_t n) {
        _cleanup_free_ char *line = NULL;
        int64_t now;

        p->done += n;
        if (!p->enabled)
                return;
        now = now_msec();
        if (now - p->begun_msec < DRAW_AFTER_MSEC || now - p->drawn_msec < DRAW_EVERY_MSEC)
                return;
        p->drawn_msec = now;
        line = progress_format(p, now);
        if (line)
                (void) fprintf(stderr, "\r\033[K%s", line);
}

void progress_end(Progress *p) {
        if (p->enabled && p->drawn_msec > 0)
                (void) fputs("\r\033[K", stderr);
}
