/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxctl/tty.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

static struct termios saved;
static bool is_raw;

TtySize tty_size(void) {
        struct winsize size = {};

        (void) ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
        return (TtySize) { size.ws_row > 0 ? size.ws_row : 24, size.ws_col > 0 ? size.ws_col : 80 };
}

int tty_make_raw(void) {
        static bool registered;
        struct termios raw;

        if (tcgetattr(STDIN_FILENO, &saved) < 0)
                return -errno;
        if (!registered && atexit(tty_restore) != 0)
                return -ENOMEM;
        registered = true;
        raw = saved;
        cfmakeraw(&raw);
        if (tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) < 0)
                return -errno;
        is_raw = true;
        return 0;
}

void tty_restore(void) {
        if (is_raw)
                (void) tcsetattr(STDIN_FILENO, TCSADRAIN, &saved);
        is_raw = false;
}
