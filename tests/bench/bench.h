/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <jansson.h>

#include "tests/bench/http.h"
#include "tests/bench/stats.h"

/* What is measured. Times are microseconds; rates are per second. */
typedef enum Measure {
        MEASURE_SPAWN,          /* of others: the host's vfork + exec */
        MEASURE_BWRAP,
        MEASURE_CRUN_RUN,
        MEASURE_CRUN_EXEC,
        MEASURE_RUNC_RUN,
        MEASURE_RUNC_EXEC,
        MEASURE_NSPAWN,
        MEASURE_BWRAP_DENSE,    /* back to back with the cold creates */
        MEASURE_SCOPES,         /* bare StartTransientUnit */
        MEASURE_RELAY,
        MEASURE_PLAIN_RELAY,    /* of TCP */
        MEASURE_IP_LINK,
        MEASURE_NOOP,           /* of ours */
        MEASURE_CREATE_WARM,
        MEASURE_CREATE_BLANK,
        MEASURE_CREATE_COLD,
        MEASURE_CREATE_COLD_CALM,
        MEASURE_CREATE_EXEC,
        MEASURE_EXEC,
        MEASURE_DELETE,
        MEASURE_PAUSE,
        MEASURE_RESUME,
        MEASURE_WRITE,
        MEASURE_READ,
        MEASURE_CYCLES,
        MEASURE_SEQUENCE,
        MEASURE_BURST,
        MEASURE_FEW_CREATE,
        MEASURE_FEW_EXEC,
        MEASURE_MANY_CREATE,
        MEASURE_MANY_EXEC,
        MEASURE_STREAM,
        MEASURE_HEALTH,         /* an empty request, for those that follow */
        MEASURE_OUTPUT_LATENCY,
        MEASURE_LOG_LATENCY,
        MEASURE_EVENT_LATENCY,
        MEASURE_COPY_IDLE,      /* cp -a inside, for those that follow */
        MEASURE_CLONE_IDLE,
        MEASURE_COPY_BUSY,
        MEASURE_CLONE_BUSY,
        MEASURE_FORK_CREATE,
        MEASURE_FORK,           /* with spares on hand, as a creation has them */
        MEASURE_FORK_FIRST,     /* with those that are kept anyway */
        MEASURE_PORT,
        MEASURE_GET_INSIDE,     /* by a client in the sandbox */
        MEASURE_GET_PROXIED,
        MEASURE_CONNECT,
        MEASURE_RESIDENT,
        MEASURE_MEMORY,
        _MEASURE_MAX,
        MEASURE_ONE = _MEASURE_MAX, /* the reference of what is judged as it is */
} Measure;

typedef struct Bench {
        Samples samples[_MEASURE_MAX];
        char *failures[_MEASURE_MAX];   /* why there are none */
        bool wanted[_MEASURE_MAX];
        unsigned rounds;
        bool no_rest;           /* nothing between two measures */
        const char *blank, *cold, *warm; /* addresses of the three instances */
        json_t *peers;
} Bench;

/* rows.c */
void rows_select(Bench *b, char *const *names);
json_t *rows_make(const Bench *b);
typedef enum RowFormat {
        FORMAT_JSON,
        FORMAT_TABLE,
        FORMAT_MARKDOWN,
} RowFormat;
/* 1 if a bar is missed. */
int rows_print(json_t *rows, RowFormat format);

/* stages.c: takes all figures that are wanted. */
void stages_run(Bench *b);
void stages_measure_memory(Bench *b, unsigned n);
void bench_failed(Bench *b, Measure m, const char *format, ...) _printf_(3, 4);
void bench_add(Bench *b, Measure m, double value);

/* peers.c */
int spawn_usec(char *const *argv, double *ret_usec);
/* 0, or the peer's own complaint goes to the measure. */
void peer_run(Bench *b, Measure m, const char *name);
void bwrap_run(Bench *b, Measure m);

/* scopes.c: n scopes, as many under way at a time; scopes per second. */
int scopes_start(unsigned n, unsigned in_flight, double *ret_per_sec);

/* rest.c: negative errno when the answer is not what it has to be, with a line on stderr. */
typedef struct Sandbox {
        char id[64];
} Sandbox;

int rest_create(Http *h, Sandbox *ret, double *ret_usec);
int rest_delete(Http *h, const Sandbox *s, double *ret_usec);
int rest_exec(Http *h, const Sandbox *s, double *ret_usec);
int rest_pause(Http *h, const Sandbox *s, double *ret_usec);
int rest_resume(Http *h, const Sandbox *s, double *ret_usec);
int rest_write(Http *h, const Sandbox *s, double *ret_usec);
int rest_read(Http *h, const Sandbox *s, double *ret_usec);
int rest_noop(Http *h, const Sandbox *s, double *ret_usec);
int rest_stream(Http *h, const Sandbox *s, uint64_t bytes, double *ret_usec);
/* A counter of GET /metrics; 0 if there is none of that name. */
double rest_counter(Http *h, const char *name);
/* Whether as many blank sandboxes are ready as the pool wants, and how many that is. */
bool rest_spares_are_there(Http *h, unsigned *ret_wanted);

/* proxy.c */
void stage_proxy(Bench *b, Http *blank);

/* latency.c */
void stage_latency(Bench *b, Http *blank);

/* networks.c */
void stage_networks(Bench *b, Http *blank);

/* A command for sh that must succeed. */
int rest_shell(Http *h, const Sandbox *s, const char *command, double *ret_usec);
int rest_background(Http *h, const Sandbox *s, const char *command);
int rest_clone(Http *h, const Sandbox *s, Sandbox *ret, double *ret_usec);
/* All are deleted again, behind the measured time. */
int rest_fork(Http *h, const Sandbox *s, unsigned n, double *ret_usec);

/* clones.c */
void stage_clones(Bench *b, Http *blank);

/* relay.c: what a program writes goes through a pipe to a socket. */
int relay_run(uint64_t bytes, double *ret_usec);

/* port.c: a server behind an exposed port, and one behind a plain relay. */
typedef struct PlainRelay {
        pid_t pids[2];
        uint16_t port;
} PlainRelay;

int plain_relay_start(PlainRelay *ret);
void plain_relay_stop(PlainRelay *r);
int port_expose(Http *h, const Sandbox *s, uint16_t *ret_port);
int port_fetch(uint16_t port, uint64_t bytes, double *ret_usec);
