/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxctl/patience.h"

#include <errno.h>
#include <poll.h>

#include "sandboxctl/ctl.h"

#define PATIENCE_MSEC 60000
#define PAUSE_FIRST_MSEC 50U
#define PAUSE_MAX_MSEC 2000U
#define CONFLICTS_MAX 5U

void patience_begin(Patience *p) {
        *p = (Patience) { .since_msec = now_msec(), .pause_msec = PAUSE_FIRST_MSEC };
}

void patience_renew(Patience *p) {
        patience_begin(p);
        p->met = true;
}

/* A conflict may be our own request of a moment ago, whose end the server has not seen yet; one that stays is meant. */
static bool is_passing(Patience *p, int r, const TransferResult *result) {
        if (r == -ECONNRESET)
                return true;
        if (r == -ECONNREFUSED || r < 0 || !p->met)
                return r == -ECONNREFUSED && p->met;
        if (result->status == 409)
                return ++p->n_conflicts <= CONFLICTS_MAX;
        return result->status >= 502 && result->status <= 504;
}

bool patience_wait(Patience *p, int r, const TransferResult *result, int cancel_fd) {
        struct pollfd fd = { .fd = cancel_fd, .events = POLLIN };

        if (!is_passing(p, r, result) || now_msec() - p->since_msec > PATIENCE_MSEC)
                return false;
        if (poll(&fd, 1, (int) p->pause_msec) > 0)
                return false;
        p->pause_msec = MIN(p->pause_msec * 2, PAUSE_MAX_MSEC);
        return true;
}
