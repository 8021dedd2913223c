/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-fsd/mode-change.h"

#include <errno.h>
#include <string.h>

/* A part of chmod(1)'s language by tables of letters: what clients really send, and nothing whose meaning depends on a
 * umask of ours. */

#define UMASK 0022

typedef struct ModeLetter {
        char letter;
        mode_t bits;
} ModeLetter;

static const ModeLetter who_letters[] = {
        { 'a', 07777                           },
        { 'g', S_ISGID | S_IRWXG               },
        { 'o', S_ISVTX | S_IRWXO               },
        { 'u', S_ISUID | S_IRWXU               },
};

static const ModeLetter permission_letters[] = {
        { 'X', 0                               }, /* depends on the file */
        { 'r', S_IRUSR | S_IRGRP | S_IROTH     },
        { 't', S_ISVTX                         },
        { 'w', S_IWUSR | S_IWGRP | S_IWOTH     },
        { 'x', S_IXUSR | S_IXGRP | S_IXOTH     },
};

/* The bits of all leading letters of the table; text moves behind them. */
static mode_t take_letters(const char **text, const ModeLetter *letters, size_t n, mode_t capital_x) {
        mode_t bits = 0;

        for (; **text; (*text)++) {
                size_t i;

                for (i = 0; i < n && letters[i].letter != **text; i++)
                        ;
                if (i == n)
                        break;
                bits |= letters[i].letter == 'X' ? capital_x : letters[i].bits;
        }
        return bits;
}

static int parse_octal(const char *text, mode_t *ret) {
        size_t n = strlen(text);
        mode_t mode = 0;

        if (n < 3 || n > 4 || strspn(text, "01234567") != n)
                return -EINVAL;
        for (; *text; text++)
                mode = mode << 3 | (mode_t) (*text - '0');
        *ret = mode;
        return 0;
}

int mode_change(const char *text, mode_t old, mode_t *ret) {
        mode_t who, bits, result = old & 07777, x = S_ISDIR(old) || (old & 0111) ? 0111 : 0;
        char operator;

        if (parse_octal(text, ret) >= 0)
                return 0;

        who = take_letters(&text, who_letters, ELEMENTSOF(who_letters), 0);
        operator = *text;
        if (operator != '+' && operator != '-' && operator != '=')
                return -EINVAL;
        text++;
        bits = take_letters(&text, permission_letters, ELEMENTSOF(permission_letters), x);
        if (*text)
                return -EINVAL;

        bits &= who ? who : 07777 & ~UMASK;
        if (!who)
                who = 07777;
        if (operator == '+')
                result |= bits;
        else if (operator == '-')
                result &= ~bits;
        else {
                /* A directory keeps set-id bits that were not named, as with chmod(1). */
                if (S_ISDIR(old))
                        who &= ~(mode_t) (S_ISUID | S_ISGID);
                result = (result & ~who) | bits;
        }
        *ret = result;
        return 0;
}
