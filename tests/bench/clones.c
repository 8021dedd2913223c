/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tests/bench/bench.h"

/* Clones of a sandbox with 100 MB in 1,000 files, against `cp -a` of the same tree by a command in it: while it is idle
 * nothing is copied, while something runs in it everything is. Between two clones it is written to, so that each is the
 * first one of what there is. */

#define ROUNDS 7U
#define FORKS 4U
#define CLONES 100U
#define SPARES_ROUNDS 2000U
#define PAUSE_NSEC (40 * 1000 * 1000)

#define FILL "mkdir /data && head -c 104857600 /dev/urandom | split -b 104858 -a 3 - /data/"
#define COPY "cp -a /data /tmp/copy"
#define CLEAR "rm -rf /tmp/copy; date +%N >/root/touched"

static void rest(void) {
        (void) nanosleep(&(struct timespec) { .tv_nsec = PAUSE_NSEC }, NULL);
}

static bool measure(Bench *b, Http *h, const Sandbox *s, Measure copy, Measure clone) {
        double usec;
        Sandbox made;

        for (unsigned i = 0; i < ROUNDS; i++) {
                if (rest_shell(h, s, COPY, &usec) < 0)
                        return false;
                bench_add(b, copy, usec);
                if (rest_shell(h, s, CLEAR, NULL) < 0)
                        return false;
                rest();
                if (rest_clone(h, s, &made, &usec) < 0)
                        return false;
                bench_add(b, clone, usec);
                (void) rest_delete(h, &made, NULL);
                rest();
        }
        return true;
}

/* The pool learns from a burst: a creation finds a spare, and so do all clones of a fork that is not the first. */
static bool wait_for_spares(Http *h, unsigned *ret_wanted) {
        for (unsigned i = 0; i < SPARES_ROUNDS; i++) {
                if (rest_spares_are_there(h, ret_wanted))
                        return true;
                rest();
        }
        return false;
}

static bool fork_one(Bench *b, Http *h, const Sandbox *s) {
        unsigned spares;
        double usec;

        if (!wait_for_spares(h, &spares))
                return false;
        rest();
        if (rest_fork(h, s, CLONES, &usec) < 0)
                return false;
        /* One may be lent to the next creation. */
        bench_add(b, spares + 1 < CLONES ? MEASURE_FORK_FIRST : MEASURE_FORK, usec);
        return true;
}

/* All of them in one request, against one creation. */
static bool measure_fork(Bench *b, Http *h, const Sandbox *s) {
        double usec;
        Sandbox made;

        for (unsigned i = 0; i < ROUNDS; i++) {
                if (rest_create(h, &made, &usec) < 0)
                        return false;
                bench_add(b, MEASURE_FORK_CREATE, usec);
                rest();
                (void) rest_delete(h, &made, NULL);
                rest();
        }
        for (unsigned i = 0; i < FORKS; i++)
                if (!fork_one(b, h, s))
                        return false;
        return true;
}

void stage_clones(Bench *b, Http *blank) {
        Sandbox s;
        bool ok;

        if (rest_create(blank, &s, NULL) < 0)
                return;
        ok = rest_shell(blank, &s, FILL, NULL) >= 0;
        if (ok && b->wanted[MEASURE_CLONE_IDLE])
                ok = measure(b, blank, &s, MEASURE_COPY_IDLE, MEASURE_CLONE_IDLE);
        if (ok && (b->wanted[MEASURE_FORK] || b->wanted[MEASURE_FORK_FIRST]))
                ok = measure_fork(b, blank, &s);
        if (ok && b->wanted[MEASURE_CLONE_BUSY])
                ok = rest_background(blank, &s, "sleep 1000") >= 0 &&
                     measure(b, blank, &s, MEASURE_COPY_BUSY, MEASURE_CLONE_BUSY);
        if (!ok)
                bench_failed(b, MEASURE_CLONE_IDLE, "a clone failed");
        (void) rest_delete(blank, &s, NULL);
}
