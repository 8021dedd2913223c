/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <jansson.h>
#include <systemd/sd-bus.h>

#include "sandboxd/execd-client.h"
#include "sandboxd/spool.h"

/* Commands that run when there is room for them, whoever is there to see it: a job outlives its client and every one of
 * our processes. No HTTP here. */

typedef struct Manager Manager;
typedef struct Queue Queue;

#define QUEUE_KIND "job"

typedef enum JobStatus {
        JOB_PENDING,
        JOB_RUNNING,
        JOB_COMPLETED,          /* with whatever exit code */
        JOB_FAILED,             /* given up: a dead letter */
        JOB_CANCELLED,
        _JOB_STATUS_MAX,
        _JOB_STATUS_INVALID = -22,
} JobStatus;

const char *job_status_to_string(JobStatus status);
JobStatus job_status_from_string(const char *s);

/* Reads what is pending and running; nothing is begun before queue_start(), when the records are true. */
int queue_new(Manager *m, Queue **ret);
Queue *queue_free(Queue *q);
DEFINE_CLEANUP(Queue *, queue_free)
void queue_start(Queue *q);
/* execd knows a command that nobody here waits for. True: it is a waiting job's attempt after all, which goes on. */
bool queue_claim(Queue *q, const CommandStatus *status);
/* Something has changed that a job may wait for. NULL is accepted. */
void queue_look(Queue *q);
/* The sandbox (public id) is gone: so are its jobs. */
void queue_end_sandbox(Queue *q, const char *sandbox);

typedef struct QueueRequest {
        const char *sandbox;            /* public id */
        const char *command;            /* as the client wrote it */
        char *const *argv, *const *env; /* env: what the request adds */
        const char *cwd;
        uint32_t uid, gid;
        uint64_t timeout_usec;          /* of each attempt */
        unsigned max_retries;           /* attempts; 0 is one, too */
} QueueRequest;

/* It is written down when this returns. *ret_job: as the API shows it, pending. */
int queue_submit(Queue *q, const QueueRequest *request, json_t **ret_job, sd_bus_error *error);

/* outputs (each may be NULL) are those of a completed job: stdout, stderr. */
typedef struct JobView {
        json_t *job;
        Spool *outputs[2];
} JobView;

int queue_get(Queue *q, const char *id, JobView *ret, sd_bus_error *error);
void job_view_done(JobView *v);

/* Of what is in the store: NULL and 0 are no condition. Results come without output. */
typedef struct JobQuery {
        const char *sandbox, *status;
        uint64_t after, offset, limit;
} JobQuery;

/* *ret_next: where the next page begins (JobQuery.after), 0: there is none. */
int queue_list(Queue *q, const JobQuery *query, json_t **ret_jobs, uint64_t *ret_total, uint64_t *ret_next);

/* error NULL: it is cancelled, and nothing of it runs. */
typedef void (*QueueCallback)(const sd_bus_error *error, void *userdata);

/* 0: it is done, 1: callback comes when its command has ended. */
int queue_cancel(Queue *q, const char *id, QueueCallback callback, void *userdata, sd_bus_error *error);
/* A dead letter gets all its attempts once more. */
int queue_requeue(Queue *q, const char *id, json_t **ret_job, sd_bus_error *error);
/* Forgets dead letters, at most 1000 a call. sandbox and id may be NULL. */
int queue_purge(Queue *q, const char *sandbox, const char *id, uint64_t *ret_n);
