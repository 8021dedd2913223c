/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxctl/watch.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "sandboxctl/screen.h"
#include "sandboxctl/text.h"

/* The verb does not know that it is watched: it prints into memory, which is then drawn. What it fails with ends the
 * view, since a sandbox that is gone does not come back under its id. */

uint64_t arg_watch;

/* "Every 2s: ps one" and the time, at the two ends of a line. */
static char *heading(const Ctl *c, char **words, unsigned columns) {
        _cleanup_free_ char *left = NULL, *all = strdup(c->verb->name), *safe = NULL;
        char moment[TEXT_SHORT_MAX];
        char *line;

        STRV_FOREACH(word, words) {
                char *longer;

                if (!all || asprintf(&longer, "%s %s", all, *word) < 0)
                        return NULL;
                free(all);
                all = longer;
        }
        safe = all ? text_escape(all, strlen(all)) : NULL;
        if (!safe || asprintf(&left, "Every %us: %s", (unsigned) arg_watch, safe) < 0)
                return NULL;
        text_time(now_msec(), moment);
        return asprintf(&line, "%s%*s", left, (int) MAX(columns, text_width(left) + 2) - (int) text_width(left),
                        moment) < 0 ? NULL : line;
}

static int draw(Screen *s, const Ctl *c, char **words, char *text) {
        _cleanup_free_ char *first = heading(c, words, screen_columns(s));
        int r;

        if (!first)
                return -ENOMEM;
        screen_begin(s);
        r = screen_line(s, SCREEN_BOLD, first);
        for (char *line; r >= 0 && (line = strsep(&text, "\n")) && (*line || text);)
                r = screen_line(s, SCREEN_PLAIN, line);
        return r < 0 ? r : screen_end(s);
}

/* Calls show() with its output in memory. */
static int capture(Ctl *c, char **words, int (*show)(Ctl *c, char **words), char **ret) {
        FILE *out = c->out;
        size_t size;
        int r;

        c->out = open_memstream(ret, &size);
        if (!c->out) {
                c->out = out;
                return ctl_oom(c);
        }
        r = show(c, words);
        if (fclose(c->out) == EOF && r == EXIT_STATUS_OK)
                r = ctl_oom(c);
        c->out = out;
        return r;
}

/* Until q: *ret_next is false then. */
static void wait_next(Screen *s, uint64_t until_usec, bool *ret_next) {
        int key;

        do
                key = screen_wait(s, until_usec);
        while (key != SCREEN_KEY_NONE && key != SCREEN_KEY_QUIT && key != SCREEN_KEY_RESIZE && key != ' ');
        *ret_next = key != SCREEN_KEY_QUIT;
}

static int watch_screen(Ctl *c, char **words, int (*show)(Ctl *c, char **words)) {
        _cleanup_(screen_closep) Screen *s = NULL;
        bool next = true;

        if (screen_open(&s) < 0)
                return ctl_fail(c, EXIT_STATUS_FAILURE, "failed to use the terminal");
        while (next) {
                uint64_t begin = now_usec(CLOCK_BOOTTIME);
                _cleanup_free_ char *text = NULL;
                int r = capture(c, words, show, &text);

                if (r != EXIT_STATUS_OK)
                        return r;
                if (draw(s, c, words, text) < 0)
                        return ctl_fail(c, EXIT_STATUS_FAILURE, "failed to draw");
                wait_next(s, begin + arg_watch * USEC_PER_SEC, &next);
        }
        return EXIT_STATUS_OK;
}

/* For a file or another program: a block each time, with an empty line between two. */
static int watch_plain(Ctl *c, char **words, int (*show)(Ctl *c, char **words)) {
        const struct timespec interval = { .tv_sec = (time_t) arg_watch };

        for (;;) {
                int r = show(c, words);

                if (r != EXIT_STATUS_OK)
                        return r;
                if (fflush(c->out) == EOF)
                        return ctl_fail(c, EXIT_STATUS_FAILURE, "failed to write: %m");
                (void) nanosleep(&interval, NULL);
                (void) fputc('\n', c->out);
        }
}

int watch_run(Ctl *c, char **words, int (*show)(Ctl *c, char **words)) {
        if (arg_watch == 0)
                return show(c, words);
        return screen_is_possible() ? watch_screen(c, words, show) : watch_plain(c, words, show);
}
