/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <time.h>

#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "sandboxctl/ctl.h"
#include "sandboxctl/screen.h"
#include "sandboxctl/top.h"
#include "sandboxctl/verbs-table.h"

/* A page of 200 sandboxes is one request here and one call between the daemons, so that the table is as cheap as a list:
 * see metrics=1 in sandboxctl(1). */

static const char *arg_sort;
static bool arg_reverse, arg_batch;
static uint64_t arg_count = UINT64_MAX, arg_delay = INTERVAL_DEFAULT_SEC;

const Option top_options[] = {
        { 's', "sort", "COLUMN", OPTION_STRING, &arg_sort, "Order: cpu, memory, pids, io, age, left, state or name" },
        { 'r', "reverse", NULL, OPTION_FLAG, &arg_reverse, "Turn the order around" },
        { 'd', "delay", "SECONDS", OPTION_SECONDS, &arg_delay, "Time between two looks; 2 unless given" },
        { 'b', "batch", NULL, OPTION_FLAG, &arg_batch, "Print plain tables, as without a terminal" },
        { 'n', "count", "NUMBER", OPTION_UINT, &arg_count, "How many looks; of plain tables 1 unless given" },
        {},
};

static int refresh(Ctl *c, Top *t, json_t **ret) {
        uint64_t begin = now_usec(CLOCK_BOOTTIME);
        _cleanup_json_ json_t *list = NULL;
        int r;

        r = ctl_list(c, "&metrics=1", &list);
        if (r != EXIT_STATUS_OK)
                return r;
        if (top_update(t, list, begin) < 0)
                return ctl_oom(c);
        if (ret)
                *ret = TAKE_PTR(list);
        return EXIT_STATUS_OK;
}

static int print_table(Ctl *c, const Top *t) {
        const TopView view = { .now_msec = now_msec() };

        for (size_t i = 0; i <= t->n; i++) {
                _cleanup_free_ char *line = top_line(t, i == 0 ? NULL : t->sorted[i - 1], &view);

                if (!line)
                        return ctl_oom(c);
                (void) fprintf(c->out, "%s\n", line);
        }
        return EXIT_STATUS_OK;
}

static int run_batch(Ctl *c, Top *t) {
        const struct timespec delay = { .tv_sec = (time_t) arg_delay };
        uint64_t count = arg_count != UINT64_MAX ? arg_count : 1;

        for (uint64_t i = 0; i < count; i++) {
                _cleanup_json_ json_t *list = NULL;
                int r;

                if (i > 0) {
                        (void) nanosleep(&delay, NULL);
                        (void) fputc('\n', c->out);
                }
                r = refresh(c, t, &list);
                if (r == EXIT_STATUS_OK)
                        r = c->json ? ctl_print_json(c, list) : print_table(c, t);
                if (r != EXIT_STATUS_OK)
                        return r;
                if (fflush(c->out) == EOF)
                        return ctl_fail(c, EXIT_STATUS_FAILURE, "failed to write: %m");
        }
        return EXIT_STATUS_OK;
}

#define HEAD_LINES 3U
#define FOOT_LINES 1U

static ScreenStyle style_of(const TopRow *r) {
        return streq(r->status, "running")                              ? SCREEN_PLAIN
               : streq(r->status, "paused") || streq(r->status, "creating") ? SCREEN_WARNING
                                                                            : SCREEN_ERROR;
}

/* Takes the text over, which may be NULL for want of memory. */
static int draw_line(Screen *s, ScreenStyle style, char *text) {
        _cleanup_free_ char *owned = text;

        return text ? screen_line(s, style, text) : -1;
}

static size_t body_lines(const Screen *s) {
        return screen_rows(s) > HEAD_LINES + FOOT_LINES ? screen_rows(s) - HEAD_LINES - FOOT_LINES : 1;
}

static int draw(Screen *s, const Top *t, size_t first) {
        const TopView view = { .columns = screen_columns(s), .utf8 = ctl_locale_is_utf8(), .now_msec = now_msec() };
        size_t shown = MIN(t->n - first, body_lines(s));
        int r;

        screen_begin(s);
        r = draw_line(s, SCREEN_BOLD, top_counts(t, &view));
        if (r >= 0)
                r = draw_line(s, SCREEN_PLAIN, top_summary(t, &view));
        if (r >= 0)
                r = draw_line(s, SCREEN_TITLE, top_line(t, NULL, &view));
        for (size_t i = 0; r >= 0 && i < shown; i++)
                r = draw_line(s, style_of(t->sorted[first + i]), top_line(t, t->sorted[first + i], &view));
        if (r >= 0)
                r = screen_line(s, SCREEN_FAINT, top_keys);
        return r < 0 ? r : screen_end(s);
}

/* What can be looked at without another answer. False: to quit. */
static bool handle_key(Top *t, const Screen *s, int key, size_t *first) {
        size_t last = t->n > body_lines(s) ? t->n - body_lines(s) : 0;

        if (key == SCREEN_KEY_QUIT)
                return false;
        if (key == 'r')
                t->reverse = !t->reverse;
        else if (key == SCREEN_KEY_DOWN || key == 'j')
                (*first)++;
        else if ((key == SCREEN_KEY_UP || key == 'k') && *first > 0)
                (*first)--;
        else if (key < 128 && top_sort_by_key(t, (char) key) >= 0)
                *first = 0;
        top_sort(t);
        *first = MIN(*first, last);
        return true;
}

/* Until the next look is due. *ret_next: go on. */
static int show(Ctl *c, Top *t, Screen *s, uint64_t until_usec, size_t *first, bool *ret_next) {
        int key = SCREEN_KEY_RESIZE;

        do {
                *ret_next = handle_key(t, s, key, first);
                if (!*ret_next)
                        break;
                if (draw(s, t, *first) < 0)
                        return ctl_fail(c, EXIT_STATUS_FAILURE, "failed to draw");
                key = screen_wait(s, until_usec);
        } while (key != SCREEN_KEY_NONE);
        return EXIT_STATUS_OK;
}

static int run_live(Ctl *c, Top *t) {
        _cleanup_(screen_closep) Screen *s = NULL;
        size_t first = 0;
        bool next = true;

        if (screen_open(&s) < 0)
                return ctl_fail(c, EXIT_STATUS_FAILURE, "failed to use the terminal");
        for (uint64_t i = 0; next && i < arg_count; i++) {
                uint64_t begin = now_usec(CLOCK_BOOTTIME);
                int r = refresh(c, t, NULL);

                if (r == EXIT_STATUS_OK)
                        r = show(c, t, s, begin + arg_delay * USEC_PER_SEC, &first, &next);
                if (r != EXIT_STATUS_OK)
                        return r;
        }
        return EXIT_STATUS_OK;
}

int verb_top(Ctl *c, _unused_ char **words) {
        _cleanup_(top_freep) Top *t = NULL;

        if (arg_delay < 1 || arg_delay > INTERVAL_MAX_SEC)
                return ctl_fail(c, EXIT_STATUS_USAGE, "--delay must be at least a second and at most a day");
        if (top_new(&t) < 0)
                return ctl_oom(c);
        t->reverse = arg_reverse;
        if (arg_sort && top_sort_by_name(t, arg_sort) < 0)
                return ctl_fail(c, EXIT_STATUS_USAGE, "no order is called '%s': %s", arg_sort, top_sort_names());
        return arg_batch || c->json || !screen_is_possible() ? run_batch(c, t) : run_live(c, t);
}
