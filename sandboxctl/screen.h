/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libsandbox/macro.h"

/* A view on the terminal that is drawn over and over, in place, on the alternate screen. Only one can be open: the
 * terminal must be put back by a signal's handler, too. */
typedef struct Screen Screen;

typedef enum ScreenStyle {
        SCREEN_PLAIN,
        SCREEN_BOLD,
        SCREEN_TITLE,
        SCREEN_FAINT,
        SCREEN_WARNING,
        SCREEN_ERROR,
        _SCREEN_STYLE_MAX,
} ScreenStyle;

typedef enum ScreenKey {
        SCREEN_KEY_NONE = 0,     /* the time is over; other keys are their characters */
        SCREEN_KEY_RESIZE = 256, /* something is to be drawn */
        SCREEN_KEY_UP,
        SCREEN_KEY_DOWN,
        SCREEN_KEY_QUIT,         /* q, or nobody can type any more */
} ScreenKey;

/* Whether there is a terminal to draw on: stdout is one, and no dumb one. */
bool screen_is_possible(void);
/* SIGINT then ends the program with status 0, and SIGTSTP gives the terminal back for a while. */
int screen_open(Screen **ret);
Screen *screen_close(Screen *s);
DEFINE_CLEANUP(Screen *, screen_close)
/* Puts the terminal back as it was, if a screen is open, so that an error can be read. */
void screen_restore(void);

unsigned screen_rows(const Screen *s);
unsigned screen_columns(const Screen *s);

/* A frame is begin, its lines from the top, end. Lines are cut at the right edge and those below the bottom are left
 * out; what is there already is not sent again. Text must be free of control characters. */
void screen_begin(Screen *s);
int screen_line(Screen *s, ScreenStyle style, const char *text);
int screen_end(Screen *s);

/* Until a key, a new size or the time (CLOCK_BOOTTIME): a ScreenKey or a character. */
int screen_wait(Screen *s, uint64_t until_usec);
