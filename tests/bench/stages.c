/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tests/bench/bench.h"
#include "tests/bench/crowd.h"

/* How the figures are taken. What is compared is interleaved: every round takes each measure once, so that whatever
 * else the machine does hits both sides alike. */

/* Between steps that leave work behind: a scope is started or removed then, which stalls every fork of the host. */
#define GAP_NSEC (40 * 1000 * 1000)
#define REST_NSEC (4 * 1000 * 1000)
/* Cold creates are slow, and one after the other. */
#define COLD_ROUNDS_MAX 40U
#define CHUNKS 5
#define CHUNK_CYCLES 120
#define IN_FLIGHT 16
#define BURST 100
#define BURSTS 3
#define FEW 10
#define MANY 1000
#define CROWD_ROUNDS 60
#define WARM_UP 5
#define STREAM_BYTES GiB
#define STREAMS 2

void bench_failed(Bench *b, Measure m, const char *format, ...) {
        va_list ap;

        if (b->failures[m])
                return;
        va_start(ap, format);
        if (vasprintf(b->failures + m, format, ap) < 0)
                b->failures[m] = strdup("failed");
        va_end(ap);
        fprintf(stderr, "bench: %s\n", b->failures[m]);
}

void bench_add(Bench *b, Measure m, double value) {
        if (b->wanted[m] && samples_add(b->samples + m, value) < 0)
                bench_failed(b, m, "out of memory");
}

/* A request of ours that is to succeed. By address: the value is there only once the call was made. */
static bool take(Bench *b, Measure m, int r, const double *value) {
        if (r < 0)
                bench_failed(b, m, "request failed: %s", strerror(-r));
        else
                bench_add(b, m, *value);
        return r >= 0;
}

static bool no_rest;

static void gap(void) {
        if (!no_rest)
                (void) nanosleep(&(struct timespec) { .tv_nsec = GAP_NSEC }, NULL);
}

/* Each measure begins from rest, ours and theirs: what the one before left to do is done by then. */
static void rest(void) {
        if (!no_rest)
                (void) nanosleep(&(struct timespec) { .tv_nsec = REST_NSEC }, NULL);
}

/* --- one of each */

static void spawn_run(Bench *b) {
        double usec;
        int r;

        if (!b->wanted[MEASURE_SPAWN])
                return;
        r = spawn_usec((char *const[]) { (char *) "/bin/true", NULL }, &usec);
        take(b, MEASURE_SPAWN, r, &usec);
}

static void step_peers(Bench *b) {
        static const struct {
                Measure measure;
                const char *name;
        } peers[] = {
                { MEASURE_CRUN_RUN,  "crun-run"  }, { MEASURE_CRUN_EXEC, "crun-exec" },
                { MEASURE_RUNC_RUN,  "runc-run"  }, { MEASURE_RUNC_EXEC, "runc-exec" },
                { MEASURE_NSPAWN,    "nspawn"    },
        };

        spawn_run(b);
        rest();
        bwrap_run(b, MEASURE_BWRAP);
        for (size_t i = 0; i < ELEMENTSOF(peers); i++) {
                rest();
                peer_run(b, peers[i].measure, peers[i].name);
        }
}

static void step_create(Bench *b, Measure m, Http *h) {
        double usec;
        Sandbox s;

        if (b->wanted[m] && !b->failures[m] && take(b, m, rest_create(h, &s, &usec), &usec)) {
                gap();
                (void) rest_delete(h, &s, NULL);
                gap();
        }
}

/* A create is a warm one only if the pool says so. */
static void step_warm(Bench *b, Http *h) {
        double before, usec;
        Sandbox s;

        if (!b->wanted[MEASURE_CREATE_WARM] || b->failures[MEASURE_CREATE_WARM])
                return;
        before = rest_counter(h, "createdWarm");
        if (rest_create(h, &s, &usec) < 0)
                return;
        if (rest_counter(h, "createdWarm") > before)
                bench_add(b, MEASURE_CREATE_WARM, usec);
        gap();
        (void) rest_delete(h, &s, NULL);
        gap();
}

static void step_life(Bench *b, Http *h) {
        double usec;
        Sandbox s;

        if (!b->wanted[MEASURE_CREATE_BLANK] && !b->wanted[MEASURE_DELETE])
                return;
        if (!take(b, MEASURE_CREATE_BLANK, rest_create(h, &s, &usec), &usec))
                return;
        gap();
        take(b, MEASURE_DELETE, rest_delete(h, &s, &usec), &usec);
        gap();
}

static void step_create_exec(Bench *b, Http *h) {
        double create, exec;
        Sandbox s;
        int r;

        if (!b->wanted[MEASURE_CREATE_EXEC] || rest_create(h, &s, &create) < 0)
                return;
        r = rest_exec(h, &s, &exec);
        exec += create;
        take(b, MEASURE_CREATE_EXEC, r, &exec);
        (void) rest_delete(h, &s, NULL);
        gap();
}

/* In a sandbox that lives all the time. */
static void step_live(Bench *b, Http *h, const Sandbox *s) {
        static const struct {
                Measure measure;
                int (*call)(Http *h, const Sandbox *s, double *ret_usec);
        } calls[] = {
                { MEASURE_NOOP,   rest_noop   },
                { MEASURE_WRITE,  rest_write  },
                { MEASURE_READ,   rest_read   },
                { MEASURE_PAUSE,  rest_pause  },
                { MEASURE_RESUME, rest_resume },
                { MEASURE_EXEC,   rest_exec   },
        };
        double usec;

        for (size_t i = 0; i < ELEMENTSOF(calls); i++)
                if (b->wanted[calls[i].measure] || (calls[i].measure == MEASURE_RESUME && b->wanted[MEASURE_PAUSE]) ||
                    (calls[i].measure == MEASURE_PAUSE && b->wanted[MEASURE_RESUME])) {
                        rest();
                        take(b, calls[i].measure, calls[i].call(h, s, &usec), &usec);
                }
}

static void stage_rounds(Bench *b, Http *blank) {
        Http cold = { .fd = -EBADF }, warm = { .fd = -EBADF };
        bool has_cold = b->cold && http_open(&cold, b->cold) >= 0, has_warm = b->warm && http_open(&warm, b->warm) >= 0;
        Sandbox s;

        if (rest_create(blank, &s, NULL) < 0)
                return;
        (void) rest_exec(blank, &s, NULL);
        (void) rest_write(blank, &s, NULL);
        for (unsigned i = 0; i < b->rounds; i++) {
                step_peers(b);
                gap();
                step_live(b, blank, &s);
                step_life(b, blank);
                step_create_exec(b, blank);
                if (has_warm)
                        step_warm(b, &warm);
                if (has_cold)
                        step_create(b, MEASURE_CREATE_COLD_CALM, &cold);
        }
        (void) rest_delete(blank, &s, NULL);
        http_close(&cold);
        http_close(&warm);
}

static void stage_dense(Bench *b, Http *blank) {
        double usec;
        Sandbox s;
        Http cold;

        (void) blank;
        if (!b->cold || http_open(&cold, b->cold) < 0)
                return;
        for (unsigned i = 0; i < MIN(b->rounds, COLD_ROUNDS_MAX); i++) {
                bwrap_run(b, MEASURE_BWRAP_DENSE);
                if (take(b, MEASURE_CREATE_COLD, rest_create(&cold, &s, &usec), &usec))
                        (void) rest_delete(&cold, &s, NULL);
        }
        http_close(&cold);
}

/* --- many */

static void stage_sustained(Bench *b, Http *blank) {
        (void) blank;
        for (unsigned i = 0; i < CHUNKS; i++) {
                double per_sec, wall;
                int r = scopes_start(CHUNK_CYCLES, IN_FLIGHT, &per_sec);

                if (r < 0)
                        bench_failed(b, MEASURE_SCOPES, "StartTransientUnit: %s", strerror(-r));
                else
                        bench_add(b, MEASURE_SCOPES, per_sec);
                r = crowd_cycles(b->blank, IN_FLIGHT, CHUNK_CYCLES, &wall);
                per_sec = CHUNK_CYCLES * 1e6 / wall;
                take(b, MEASURE_CYCLES, r, &per_sec);
        }
}

static void stage_burst(Bench *b, Http *blank) {
        (void) blank;
        for (unsigned i = 0; i < BURSTS; i++) {
                double wall;
                int r = crowd_starts(b->blank, 1, BURST, &wall);

                if (take(b, MEASURE_SEQUENCE, r, &wall)) {
                        r = crowd_starts(b->blank, BURST, BURST, &wall);
                        take(b, MEASURE_BURST, r, &wall);
                }
        }
}

/* The same calls, however many sandboxes stand beside. */
static void measure_among(Bench *b, Http *h, Measure create, Measure exec) {
        double usec;
        Sandbox s;

        for (unsigned i = 0; i < CROWD_ROUNDS; i++) {
                if (!take(b, create, rest_create(h, &s, &usec), &usec))
                        return;
                gap();
                take(b, exec, rest_exec(h, &s, &usec), &usec);
                (void) rest_delete(h, &s, NULL);
                gap();
        }
}

static void stage_crowd(Bench *b, Http *blank) {
        Crowd *few = crowd_new(b->blank, IN_FLIGHT, FEW), *many;

        if (few)
                measure_among(b, blank, MEASURE_FEW_CREATE, MEASURE_FEW_EXEC);
        many = few ? crowd_new(b->blank, IN_FLIGHT, MANY - FEW) : NULL;
        if (many)
                measure_among(b, blank, MEASURE_MANY_CREATE, MEASURE_MANY_EXEC);
        else
                bench_failed(b, MEASURE_MANY_CREATE, "%d sandboxes could not be made", MANY);
        crowd_end(many);
        crowd_end(few);
}

static void stage_stream(Bench *b, Http *blank) {
        double usec;
        Sandbox s;

        if (rest_create(blank, &s, NULL) < 0)
                return;
        for (unsigned i = 0; i < STREAMS; i++) {
                int r = relay_run(STREAM_BYTES, &usec);
                double rate = (double) (STREAM_BYTES / MiB) * 1e6 / usec;

                take(b, MEASURE_RELAY, r, &rate);
                r = rest_stream(blank, &s, STREAM_BYTES, &usec);
                rate = (double) (STREAM_BYTES / MiB) * 1e6 / usec;
                take(b, MEASURE_STREAM, r, &rate);
        }
        (void) rest_delete(blank, &s, NULL);
}

static void measure_port(Bench *b, uint16_t port, const PlainRelay *plain) {
        for (unsigned i = 0; i < STREAMS; i++) {
                double usec, rate;
                int r;

                r = port_fetch(plain->port, STREAM_BYTES, &usec);
                rate = (double) (STREAM_BYTES / MiB) * 1e6 / usec;
                take(b, MEASURE_PLAIN_RELAY, r, &rate);
                r = port_fetch(port, STREAM_BYTES, &usec);
                rate = (double) (STREAM_BYTES / MiB) * 1e6 / usec;
                take(b, MEASURE_PORT, r, &rate);
        }
}

static void stage_port(Bench *b, Http *blank) {
        PlainRelay plain = {};
        uint16_t port;
        Sandbox s;
        int r;

        if (rest_create(blank, &s, NULL) < 0)
                return;
        r = port_expose(blank, &s, &port);
        if (r >= 0)
                r = plain_relay_start(&plain);
        if (r >= 0)
                measure_port(b, port, &plain);
        else
                bench_failed(b, MEASURE_PORT, "no server behind a port: %s", strerror(-r));
        plain_relay_stop(&plain);
        (void) rest_delete(blank, &s, NULL);
}

/* Last: the connection goes, and with it whatever kept a daemon. */
static void stage_resident(Bench *b, Http *blank) {
        http_close(blank);
        bench_add(b, MEASURE_RESIDENT, crowd_wait_for_nobody(60));
}

static const struct {
        Measure measures[8];
        void (*run)(Bench *b, Http *blank);
} stages[] = {
        { { MEASURE_EXEC, MEASURE_CREATE_BLANK, MEASURE_CREATE_EXEC, MEASURE_DELETE, MEASURE_PAUSE, MEASURE_WRITE,
            MEASURE_CREATE_WARM, MEASURE_CREATE_COLD_CALM }, stage_rounds },
        { { MEASURE_CREATE_COLD }, stage_dense },
        { { MEASURE_CYCLES }, stage_sustained },
        { { MEASURE_BURST }, stage_burst },
        { { MEASURE_MANY_CREATE, MEASURE_MANY_EXEC }, stage_crowd },
        { { MEASURE_CLONE_IDLE, MEASURE_CLONE_BUSY, MEASURE_FORK, MEASURE_FORK_FIRST }, stage_clones },
        { { MEASURE_STREAM }, stage_stream },
        { { MEASURE_OUTPUT_LATENCY, MEASURE_LOG_LATENCY, MEASURE_EVENT_LATENCY }, stage_latency },
        { { MEASURE_PORT }, stage_port },
        { { MEASURE_GET_PROXIED }, stage_proxy },
        { { MEASURE_CONNECT }, stage_networks },
        { { MEASURE_RESIDENT }, stage_resident },
};

void stages_run(Bench *b) {
        Http blank;
        int r = http_open(&blank, b->blank);

        no_rest = b->no_rest;
        if (r < 0) {
                fprintf(stderr, "bench: nobody serves %s: %s\n", b->blank, strerror(-r));
                return;
        }
        for (size_t i = 0; i < ELEMENTSOF(stages); i++) {
                bool wanted = false;

                for (size_t k = 0; k < ELEMENTSOF(stages[i].measures); k++)
                        wanted |= b->wanted[stages[i].measures[k]] && (k == 0 || stages[i].measures[k] != 0);
                if (wanted)
                        stages[i].run(b, &blank);
        }
        http_close(&blank);
}

void stages_measure_memory(Bench *b, unsigned n) {
        double before, after;
        Crowd *c;

        /* What comes with the first ones, the services and the pages of the files that they read, is no sandbox's. */
        crowd_end(crowd_new(b->blank, 1, WARM_UP));
        gap();
        before = crowd_available_mib();
        c = crowd_new(b->blank, 1, n);
        after = crowd_available_mib();
        if (c)
                bench_add(b, MEASURE_MEMORY, (before - after) / n);
        else
                bench_failed(b, MEASURE_MEMORY, "%u sandboxes could not be made", n);
        crowd_end(c);
}
