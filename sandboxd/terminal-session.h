/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <jansson.h>

#include "sandboxd/terminal.h"

/* The contract's view of a terminal: two references, one to what it shows and one to what is typed, each good for one
 * socket. Whoever has the key of one needs no token: so the keys are told once, in the reply, and only their hashes are
 * kept, in the terminal's record. */

#define TERMINAL_CHANNEL_AGE_MSEC (UINT64_C(5) * 60 * 1000)
#define TERMINAL_CHANNEL_MAX 37U /* a UUID and NUL */

typedef enum TerminalDirection {
        TERMINAL_WRITE,         /* the client writes: keys */
        TERMINAL_READ,
        _TERMINAL_DIRECTION_MAX,
        _TERMINAL_DIRECTION_INVALID = -22,
} TerminalDirection;

/* One that was taken when our process died may be taken again: its client is not to blame. */
typedef enum TerminalChannelState {
        TERMINAL_CHANNEL_UNTAKEN,
        TERMINAL_CHANNEL_TAKEN,
        TERMINAL_CHANNEL_OVER,  /* its socket was closed */
        _TERMINAL_CHANNEL_STATE_MAX,
} TerminalChannelState;

typedef struct TerminalChannel {
        char id[TERMINAL_CHANNEL_MAX];
        char key_hash[65];      /* SHA-256, hex digits */
        TerminalChannelState state;
        bool held;              /* by a socket of this process */
} TerminalChannel;

struct TerminalSession {
        char *shell;
        TerminalChannel channels[_TERMINAL_DIRECTION_MAX];
};

const char *terminal_direction_to_string(TerminalDirection d);
TerminalDirection terminal_direction_from_string(const char *s);

int terminal_session_new(const char *shell, char ret_keys[_TERMINAL_DIRECTION_MAX][TERMINAL_CHANNEL_MAX],
                         TerminalSession **ret);
/* New keys for the channels that nobody has taken yet; "" for the others. */
int terminal_session_renew(TerminalSession *s, char ret_keys[_TERMINAL_DIRECTION_MAX][TERMINAL_CHANNEL_MAX]);
TerminalSession *terminal_session_free(TerminalSession *s);
DEFINE_CLEANUP(TerminalSession *, terminal_session_free)

/* Of the terminal's record. */
json_t *terminal_session_to_json(const TerminalSession *s);
int terminal_session_from_json(json_t *record, TerminalSession **ret);

/* The terminal of that channel. -ENOENT: there is none, or another key, or nobody took it in its time. */
int terminal_session_find(Manager *m, const char *channel, const char *key, TerminalDirection direction,
                          uint64_t now_msec, Command **ret);
