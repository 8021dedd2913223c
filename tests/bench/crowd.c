/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/bench/crowd.h"

#include <errno.h>
#include <glob.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "libsandbox/fd-util.h"

#define CLIENTS_MAX 256
/* Threads that hold a buffer and little else. */
#define STACK_SIZE (128 * 1024)

struct Crowd {
        const char *address;
        Sandbox *sandboxes;
        unsigned clients, n;
        bool exec, delete;
        atomic_uint next, made;
        atomic_int error;
        pthread_barrier_t ready;
};

static int live(Crowd *c, Http *h, unsigned i) {
        int r = rest_create(h, c->sandboxes + i, NULL);

        if (r < 0) {
                *c->sandboxes[i].id = 0;
                return r;
        }
        c->made++;
        if (c->exec)
                r = rest_exec(h, c->sandboxes + i, NULL);
        if (r >= 0 && c->delete) {
                r = rest_delete(h, c->sandboxes + i, NULL);
                *c->sandboxes[i].id = 0;
        }
        return r;
}

static int end(Crowd *c, Http *h, unsigned i) {
        return *c->sandboxes[i].id ? rest_delete(h, c->sandboxes + i, NULL) : 0;
}

typedef struct Job {
        Crowd *crowd;
        int (*work)(Crowd *c, Http *h, unsigned i);
} Job;

static void *client(void *userdata) {
        Job *job = userdata;
        Crowd *c = job->crowd;
        unsigned i;
        Http h;
        int r = http_open(&h, c->address);

        pthread_barrier_wait(&c->ready);
        while (r >= 0 && (i = c->next++) < c->n) {
                int q = job->work(c, &h, i);

                if (q < 0)
                        c->error = q; /* the others are not spared */
        }
        if (r < 0)
                c->error = r;
        http_close(&h);
        return NULL;
}

static int run(Crowd *c, int (*work)(Crowd *c, Http *h, unsigned i), double *ret_usec) {
        Job job = { .crowd = c, .work = work };
        pthread_t threads[CLIENTS_MAX];
        pthread_attr_t attributes;
        double begin;

        c->next = 0;
        c->error = 0;
        pthread_attr_init(&attributes);
        pthread_attr_setstacksize(&attributes, STACK_SIZE);
        pthread_barrier_init(&c->ready, NULL, c->clients + 1);
        for (unsigned i = 0; i < c->clients; i++)
                if (pthread_create(threads + i, &attributes, client, &job) != 0)
                        abort(); /* the barrier would wait for ever */
        pthread_attr_destroy(&attributes);
        pthread_barrier_wait(&c->ready);
        begin = now_in_usec();
        for (unsigned i = 0; i < c->clients; i++)
                pthread_join(threads[i], NULL);
        if (ret_usec)
                *ret_usec = now_in_usec() - begin;
        pthread_barrier_destroy(&c->ready);
        return c->error;
}

static void crowd_free(Crowd *c) {
        free(c->sandboxes);
        free(c);
}

static Crowd *crowd_make(const char *address, unsigned clients, unsigned n) {
        Crowd *c = calloc(1, sizeof(Crowd));

        if (!c || clients > CLIENTS_MAX) {
                free(c);
                return NULL;
        }
        c->address = address;
        c->clients = clients;
        c->n = n;
        c->sandboxes = calloc(n, sizeof(Sandbox));
        if (!c->sandboxes) {
                free(c);
                return NULL;
        }
        return c;
}

void crowd_end(Crowd *c) {
        if (c) {
                (void) run(c, end, NULL);
                crowd_free(c);
        }
}

Crowd *crowd_new(const char *address, unsigned clients, unsigned n) {
        Crowd *c = crowd_make(address, clients, n);

        if (c && run(c, live, NULL) < 0) {
                crowd_end(c);
                return NULL;
        }
        return c;
}

static int run_lives(const char *address, unsigned clients, unsigned n, bool delete, double *ret_usec) {
        Crowd *c = crowd_make(address, clients, n);
        int r;

        if (!c)
                return -ENOMEM;
        c->exec = true;
        c->delete = delete;
        r = run(c, live, ret_usec);
        crowd_end(c);
        return r;
}

int crowd_cycles(const char *address, unsigned clients, unsigned n, double *ret_usec) {
        return run_lives(address, clients, n, /* delete= */ true, ret_usec);
}

int crowd_starts(const char *address, unsigned clients, unsigned n, double *ret_usec) {
        return run_lives(address, clients, n, /* delete= */ false, ret_usec);
}

static unsigned count_lines(const char *path) {
        _cleanup_fclose_ FILE *f = fopen(path, "re");
        unsigned n = 0;
        int c;

        while (f && (c = fgetc(f)) != EOF)
                n += c == '\n';
        return n;
}

static unsigned count_residents(void) {
        unsigned n = 0;
        glob_t found;

        if (glob("/sys/fs/cgroup/system.slice/sandbox*.service/cgroup.procs", 0, NULL, &found) != 0)
                return 0;
        for (size_t i = 0; i < found.gl_pathc; i++)
                n += count_lines(found.gl_pathv[i]);
        globfree(&found);
        return n;
}

double crowd_wait_for_nobody(unsigned seconds) {
        unsigned n = count_residents();

        for (unsigned i = 0; n > 0 && i < seconds * 10; i++) {
                (void) nanosleep(&(struct timespec) { .tv_nsec = 100 * 1000 * 1000 }, NULL);
                n = count_residents();
        }
        return n;
}

double crowd_available_mib(void) {
        _cleanup_fclose_ FILE *f = fopen("/proc/meminfo", "re");
        double kib = 0;
        char line[128];

        while (f && fgets(line, sizeof line, f))
                if (sscanf(line, "MemAvailable: %lf", &kib) == 1)
                        break;
        return kib / 1024;
}
