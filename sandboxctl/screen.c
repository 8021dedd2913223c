/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxctl/screen.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "sandboxctl/text.h"

/* No curses: all that is needed are six sequences that every terminal of the last thirty years knows. The lines of the
 * last frame are kept, and one that is the same in the next one is not sent: over a slow link that is most of them.
 *
 * The terminal is put back by whoever ends us: the handlers do nothing but write() and tcsetattr(), which they may. */

#define ENTER "\033[?1049h\033[?25l\033[H\033[2J"
#define LEAVE "\033[0m\033[?25h\033[?1049l"
#define ROWS_DEFAULT 24U
#define COLUMNS_DEFAULT 80U
#define ROWS_MAX 1000U
#define ESCAPE 033

typedef struct Line {
        ScreenStyle style;
        char *text;              /* NULL: unknown, as after a new size */
} Line;

struct Screen {
        Line *lines;
        unsigned rows, columns;
        unsigned next;           /* line of the frame that is being made */
        unsigned shown;          /* lines that are not empty on the terminal */
        bool color;
        char *frame;
        size_t frame_size;
        FILE *out;
};

static struct {
        bool open, keys;         /* keys: stdin is a terminal, too */
        struct termios saved;
        volatile sig_atomic_t resized;
} terminal;

static const char *const styles[_SCREEN_STYLE_MAX] = {
        [SCREEN_PLAIN] = "",          [SCREEN_BOLD] = "\033[1m",     [SCREEN_TITLE] = "\033[7m",
        [SCREEN_FAINT] = "\033[2m",   [SCREEN_WARNING] = "\033[33m", [SCREEN_ERROR] = "\033[31m",
};

/* ISIG stays on: ^C and ^Z are signals here as everywhere, also while we wait for a server that does not answer. */
static void terminal_enter(void) {
        struct termios raw = terminal.saved;

        raw.c_lflag &= ~(tcflag_t) (ICANON | ECHO);
        raw.c_cc[VMIN] = 1;
        raw.c_cc[VTIME] = 0;
        if (terminal.keys)
                (void) tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
        (void) loop_write(STDOUT_FILENO, ENTER, strlen(ENTER));
}

static void terminal_leave(void) {
        (void) loop_write(STDOUT_FILENO, LEAVE, strlen(LEAVE));
        if (terminal.keys)
                (void) tcsetattr(STDIN_FILENO, TCSADRAIN, &terminal.saved);
}

void screen_restore(void) {
        if (!terminal.open)
                return;
        terminal.open = false;
        terminal_leave();
}

static void on_resize(_unused_ int signo) {
        terminal.resized = true;
}

/* To quit is what ^C is for here, and no accident. */
static void on_interrupt(_unused_ int signo) {
        screen_restore();
        _exit(EXIT_SUCCESS);
}

static void on_end(int signo) {
        screen_restore();
        (void) raise(signo); /* SA_RESETHAND: now it ends us */
}

static void on_stop(_unused_ int signo) {
        int saved = errno;

        if (terminal.open)
                terminal_leave();
        (void) raise(SIGSTOP);
        if (terminal.open) {
                terminal_enter();
                (void) raise(SIGWINCH); /* blocked but while we wait, so that it cannot come between look and wait */
        }
        errno = saved;
}

static const struct {
        int signo;
        void (*handler)(int signo);
        int flags;
} handlers[] = {
        { SIGWINCH, on_resize,    0            },
        { SIGINT,   on_interrupt, 0            },
        { SIGTSTP,  on_stop,      SA_RESTART   },
        { SIGTERM,  on_end,       (int) SA_RESETHAND },
        { SIGHUP,   on_end,       (int) SA_RESETHAND },
        { SIGQUIT,  on_end,       (int) SA_RESETHAND },
};

/* A new size is told of only while we wait: nothing else is disturbed by it, and none is missed. */
static int install_handlers(void) {
        sigset_t set;

        for (size_t i = 0; i < ELEMENTSOF(handlers); i++) {
                struct sigaction action = { .sa_handler = handlers[i].handler, .sa_flags = handlers[i].flags };

                (void) sigfillset(&action.sa_mask);
                if (sigaction(handlers[i].signo, &action, NULL) < 0)
                        return -errno;
        }
        (void) sigemptyset(&set);
        (void) sigaddset(&set, SIGWINCH);
        return sigprocmask(SIG_BLOCK, &set, NULL) < 0 ? -errno : 0;
}

/* A new size makes all lines unknown: terminals differ in what they keep. */
static int read_size(Screen *s) {
        unsigned rows = ROWS_DEFAULT, columns = COLUMNS_DEFAULT;
        struct winsize size = {};
        Line *lines;

        if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) >= 0 && size.ws_row > 0 && size.ws_col > 0) {
                rows = MIN(size.ws_row, ROWS_MAX);
                columns = size.ws_col;
        }
        lines = new0(Line, rows);
        if (!lines)
                return -ENOMEM;
        for (unsigned i = 0; i < s->rows; i++)
                free(s->lines[i].text);
        free(s->lines);
        s->lines = lines;
        s->rows = rows;
        s->columns = columns;
        s->shown = rows;
        return 0;
}

bool screen_is_possible(void) {
        const char *type = getenv("TERM");

        return isatty(STDOUT_FILENO) && !isempty(type) && !streq(type, "dumb");
}

int screen_open(Screen **ret) {
        _cleanup_(screen_closep) Screen *s = new0(Screen, 1);
        int r;

        if (!s)
                return -ENOMEM;
        s->color = isempty(getenv("NO_COLOR"));
        r = read_size(s);
        if (r < 0)
                return r;
        r = install_handlers();
        if (r < 0)
                return r;
        terminal.keys = tcgetattr(STDIN_FILENO, &terminal.saved) >= 0;
        terminal.open = true;
        terminal_enter();
        *ret = TAKE_PTR(s);
        return 0;
}

Screen *screen_close(Screen *s) {
        screen_restore();
        if (!s)
                return NULL;
        for (unsigned i = 0; i < s->rows; i++)
                free(s->lines[i].text);
        free(s->lines);
        if (s->out)
                (void) fclose(s->out);
        free(s->frame);
        free(s);
        return NULL;
}

unsigned screen_rows(const Screen *s) {
        return s->rows;
}

unsigned screen_columns(const Screen *s) {
        return s->columns;
}

void screen_begin(Screen *s) {
        s->next = 0;
        s->frame = mfree(s->frame);
        s->out = open_memstream(&s->frame, &s->frame_size);
}

int screen_line(Screen *s, ScreenStyle style, const char *text) {
        unsigned row = s->next++;
        size_t n = text_prefix(text, s->columns);
        Line *line;
        char *copy;

        if (row >= s->rows)
                return 0;
        line = s->lines + row;
        if (line->text && line->style == style && strlen(line->text) == n && memcmp(line->text, text, n) == 0)
                return 0;
        copy = strndup(text, n);
        if (!copy || !s->out) {
                free(copy);
                return -ENOMEM;
        }
        free(line->text);
        *line = (Line) { style, copy };
        (void) fprintf(s->out, "\033[%u;1H%s%s%s\033[K", row + 1, s->color ? styles[style] : "", copy,
                       s->color && *styles[style] ? "\033[0m" : "");
        return 0;
}

/* One write for the whole frame: a terminal that gets it in pieces flickers. */
int screen_end(Screen *s) {
        FILE *f = TAKE_PTR(s->out);

        if (!f)
                return -ENOMEM;
        for (unsigned row = s->next; row < s->shown && row < s->rows; row++) {
                s->lines[row].text = mfree(s->lines[row].text);
                (void) fprintf(f, "\033[%u;1H\033[K", row + 1);
        }
        s->shown = MIN(s->next, s->rows);
        if (fclose(f) == EOF)
                return -ENOMEM;
        return loop_write(STDOUT_FILENO, s->frame, s->frame_size);
}

/* The rest of an arrow's sequence, which comes at once with its begin: what does not is a key of its own. */
static int read_arrow(void) {
        struct pollfd fd = { .fd = STDIN_FILENO, .events = POLLIN };
        char bytes[2];

        for (size_t i = 0; i < sizeof bytes; i++)
                if (poll(&fd, 1, 0) <= 0 || read(STDIN_FILENO, bytes + i, 1) != 1)
                        return SCREEN_KEY_RESIZE;
        return bytes[1] == 'A' ? SCREEN_KEY_UP : bytes[1] == 'B' ? SCREEN_KEY_DOWN : SCREEN_KEY_RESIZE;
}

/* One at a time: keys that were typed while we waited for the server are not lost. */
static int read_key(void) {
        unsigned char byte = 0;
        ssize_t n = read(STDIN_FILENO, &byte, 1);

        if (n < 0)
                return errno == EINTR || errno == EAGAIN ? SCREEN_KEY_RESIZE : SCREEN_KEY_QUIT;
        if (n == 0 || byte == 'q' || byte == 'Q')
                return SCREEN_KEY_QUIT;
        return byte == ESCAPE ? read_arrow() : byte;
}

int screen_wait(Screen *s, uint64_t until_usec) {
        struct pollfd fd = { .fd = terminal.keys ? STDIN_FILENO : -1, .events = POLLIN };
        uint64_t now = now_usec(CLOCK_BOOTTIME), left = until_usec > now ? until_usec - now : 0;
        struct timespec ts = { .tv_sec = (time_t) (left / USEC_PER_SEC),
                               .tv_nsec = (long) (left % USEC_PER_SEC * NSEC_PER_USEC) };
        sigset_t none;
        int n;

        (void) sigemptyset(&none);
        n = ppoll(&fd, 1, &ts, &none);
        if (terminal.resized) {
                terminal.resized = false;
                return read_size(s) < 0 ? SCREEN_KEY_QUIT : SCREEN_KEY_RESIZE;
        }
        return n > 0 ? read_key() : n < 0 ? SCREEN_KEY_RESIZE : SCREEN_KEY_NONE;
}
