/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libsandbox/hashmap.h"
#include "sandboxd/command.h"
#include "sandboxd/manager.h"
#include "sandboxd/queue-policy.h"
#include "sandboxd/queue.h"

/* What the queue*.c files share. */

typedef struct JobWaiter JobWaiter;

/* One that is pending or running; those that have ended are in the store only. What it is to do is there, too: ten
 * thousand that wait cost a little memory each, whatever their commands are. */
typedef struct Job {
        Queue *queue;
        char id[40];
        QueueItem item;         /* its lane is the sandbox's public id */
        char run[40];           /* the command of its attempt; "": the next attempt makes a new one */
        uint64_t created_msec;
        size_t size;            /* of its record */
        json_t *record;         /* while it runs */
        Command *command;
        bool joining;           /* its command is of an earlier process, and was not found yet */
        bool cancelling;
        JobWaiter *waiters;
} Job;

struct Queue {
        Manager *manager;
        QueuePolicy *policy;
        Hashmap *jobs;          /* by id */
        uint64_t bytes;         /* of the records of jobs */
        uint64_t output_bytes;  /* of what ended jobs have written */
        sd_event_source *look, *timer;
        unsigned n_since_trim;
        bool started, attending;
        bool idle;              /* neither work nor a time to be woken at */
};

/* queue-record.c */
json_t *job_record_new(const QueueRequest *request);
/* -ENOENT. ret_status and ret_job may be NULL; the latter gets what the record does not have. */
int job_record_read(Queue *q, const char *id, json_t **ret_record, JobStatus *ret_status, Job *ret_job);
int job_record_write(Queue *q, const Job *j, JobStatus status, const json_t *record, size_t *ret_size);
/* The spec of an attempt, with the environment that the sandbox has now. */
int job_record_to_spec(const json_t *record, const Sandbox *s, CommandSpec *ret);
json_t *job_to_json(const char *id, const char *sandbox, const char *status, uint64_t created_msec,
                    const json_t *record);
void job_set_number(json_t *record, const char *key, uint64_t value);
void job_set_text(json_t *record, const char *key, const char *value);
/* The files of an attempt. */
void job_drop_output(Queue *q, const char *run);
/* Too many, too old, or too much output: the oldest ended jobs go. */
void queue_trim(Queue *q);

/* queue.c */
/* Reads its record unless it is there. */
int job_need_record(Job *j);
/* Frees it and leaves its record. */
void queue_drop_job(Job *j);
/* Records the end and frees it. */
void queue_end_job(Job *j, JobStatus status, const char *text);

/* queue-attempt.c */
extern const CommandHandlers job_handlers;
/* Of one that is QUEUE_RUNNING since now. */
void job_begin(Job *j);
/* Among those that wait. keep_run: the next attempt asks for the same command, since perhaps it runs. */
void job_put_back(Job *j, uint64_t due_usec, bool keep_run);
