/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/queue.h"

#include <errno.h>
#include <stdio.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/sandbox-id.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "sandboxd/queue-internal.h"
#include "sandboxd/waker.h"

/* A job is run once, though each of us may be killed at any moment, because of three things:
 *
 * - The name of an attempt's command is chosen and written down before anybody is asked to start it, and init starts
 *   no name twice. Whoever finds the record afterwards asks for the same name again: either it runs, or it has run, or
 *   it was never heard of and is started now.
 * - A result is written down before its command is acknowledged, and until then init keeps it, with the pipes. Whoever
 *   is killed in between records the same result again, in the same row.
 * - A new name is taken only when the attempt before is known to have ended.
 *
 * So a command may be interrupted (its sandbox ended, its time was over) and tried again, but it never runs beside
 * itself, and never again after a result. */

#define STARTS_A_TURN 64U
#define ENDS_A_TURN 256U
#define RECORDS_BYTES_MAX (64 * MiB)

struct JobWaiter {
        JobWaiter *next;
        QueueCallback callback;
        void *userdata;
};

static bool lane_is_open(const char *lane, void *userdata) {
        const Manager *m = userdata;
        const Sandbox *s = hashmap_get(m->sandboxes, lane);

        if (!s)
                return true; /* to fail */
        return !s->leaving && s->state != SANDBOX_PAUSED && s->state != SANDBOX_CREATING;
}

static void job_free(Job *j) {
        if (j->command) {
                command_set_handlers(j->command, NULL, NULL);
                command_unref(j->command);
        }
        json_decref(j->record);
        queue_policy_remove(&j->item);
        free(j);
}

static Job *queue_find(Queue *q, const char *id) {
        return hashmap_get(q->jobs, id);
}

static int queue_add(Queue *q, const Job *model, const char *sandbox, QueuePlace place, Job **ret) {
        Job *j = new0(Job, 1);
        int r;

        if (!j)
                return -ENOMEM;
        *j = *model;
        j->queue = q;
        j->item.place = QUEUE_NOWHERE;
        r = queue_policy_add(q->policy, sandbox, &j->item, place);
        if (r >= 0)
                r = hashmap_put(q->jobs, j->id, j);
        if (r < 0) {
                job_free(j);
                return r;
        }
        q->bytes += j->size;
        if (ret)
                *ret = j;
        return 0;
}

void queue_drop_job(Job *j) {
        JobWaiter *waiters = TAKE_PTR(j->waiters);
        Queue *q = j->queue;

        q->bytes -= j->size;
        (void) hashmap_remove(q->jobs, j->id);
        job_free(j);
        while (waiters) {
                JobWaiter *w = waiters;

                waiters = w->next;
                w->callback(NULL, w->userdata);
                free(w);
        }
}

/* What to be awake for, and when to be woken. While there is work somebody must be told to start us again: none of our
 * clients might ever do so. */
static void plan(Queue *q) {
        Manager *m = q->manager;
        QueueOutlook o = queue_policy_outlook(q->policy, lane_is_open, m);

        q->idle = !o.busy && o.due_usec == USEC_INFINITY;
        if (o.busy != q->attending) {
                q->attending = o.busy;
                if (o.busy)
                        manager_attend(m);
                else
                        manager_unattend(m);
        }
        if (o.busy)
                waker_keep(m->waker, WAKE_QUEUE);
        else
                waker_set(m->waker, WAKE_QUEUE, o.due_usec);
        if (o.due_usec != USEC_INFINITY)
                (void) sd_event_source_set_time(q->timer, o.due_usec);
        (void) sd_event_source_set_enabled(q->timer, o.due_usec != USEC_INFINITY ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
}

void queue_look(Queue *q) {
        if (q && q->started && !q->manager->stopping && (hashmap_size(q->jobs) > 0 || !q->idle))
                (void) sd_event_source_set_enabled(q->look, SD_EVENT_ONESHOT);
}

static void publish(const Job *j, JobStatus status, const char *text) {
        static const char *const topics[_JOB_STATUS_MAX] = {
                [JOB_PENDING] = "job.queued",       [JOB_COMPLETED] = "job.completed",
                [JOB_FAILED] = "job.failed",        [JOB_CANCELLED] = "job.cancelled",
        };
        json_t *data = json_pack("{s:s, s:s*}", "jobId", j->id, "error", text);
        const json_t *code = json_object_get(json_object_get(j->record, "result"), "exitCode");

        if (code)
                (void) json_object_set(data, "exitCode", (json_t *) code);
        event_publish(j->queue->manager, topics[status], queue_item_lane(&j->item), data);
}

int job_need_record(Job *j) {
        return j->record ? 0 : job_record_read(j->queue, j->id, &j->record, NULL, NULL);
}

void queue_end_job(Job *j, JobStatus status, const char *text) {
        Queue *q = j->queue;
        int r;

        r = job_need_record(j);
        if (r >= 0) {
                (void) json_object_del(j->record, "cancelling");
                (void) json_object_del(j->record, "dueAt");
                (void) json_object_del(j->record, "error");
                job_set_number(j->record, "completedAt", now_usec(CLOCK_REALTIME) / USEC_PER_MSEC);
                if (text)
                        job_set_text(j->record, "error", text);
                if (status != JOB_FAILED) /* what it was told, secrets perhaps, is of no more use */
                        (void) json_object_del(j->record, "spec");
                if (status != JOB_COMPLETED) {
                        job_drop_output(q, j->run);
                        (void) json_object_del(j->record, "run");
                }
                r = job_record_write(q, j, status, j->record, NULL);
        }
        /* The next start finds it running, its command not acknowledged, and records the end then. */
        if (r < 0 && j->command)
                j->command->unrecorded = true;
        if (r >= 0)
                publish(j, status, text);
        queue_drop_job(j);
        queue_trim(q);
        queue_look(q);
}

static int on_look(sd_event_source *source, void *userdata) {
        Queue *q = userdata;
        const Settings *s = &q->manager->settings;
        const QueueLimits limits = { .lane = s->queue_sandbox_max, .total = s->queue_active_max };
        QueueItem *item = NULL;

        (void) source;
        if (q->manager->stopping)
                return 0;
        for (unsigned i = 0; i < STARTS_A_TURN; i++) {
                item = queue_policy_next(q->policy, now_usec(CLOCK_BOOTTIME), &limits, lane_is_open, q->manager);
                if (!item)
                        break;
                job_begin((Job *) ((char *) item - offsetof(Job, item)));
        }
        plan(q);
        if (item)
                queue_look(q);
        return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        (void) source;
        (void) usec;
        queue_look(userdata);
        return 0;
}

void queue_end_sandbox(Queue *q, const char *sandbox) {
        QueueItem *item;

        /* Thousands would keep everybody waiting; the others fail when it is their turn. */
        for (unsigned i = 0; i < ENDS_A_TURN && (item = queue_policy_any(q->policy, sandbox)); i++) {
                Job *j = (Job *) ((char *) item - offsetof(Job, item));

                queue_end_job(j, j->cancelling ? JOB_CANCELLED : JOB_FAILED,
                              j->cancelling ? NULL : "The sandbox was deleted");
        }
}

int queue_submit(Queue *q, const QueueRequest *request, json_t **ret_job, sd_bus_error *error) {
        const Settings *s = &q->manager->settings;
        Job j = { .queue = q, .created_msec = now_usec(CLOCK_REALTIME) / USEC_PER_MSEC };
        _cleanup_(json_decrefp) json_t *record = NULL;
        Job *added;
        int r;

        if (hashmap_size(q->jobs) >= s->queue_pending_max || q->bytes >= RECORDS_BYTES_MAX)
                return bus_error_set(error, BUS_ERROR_LIMIT_REACHED, "Maximum of queued jobs reached: %zu",
                                     hashmap_size(q->jobs));
        record = job_record_new(request);
        r = record ? object_id_random("job", j.id) : -ENOMEM;
        if (r < 0)
                return r;
        /* In the lane first, where memory may be short; its number and what it weighs are known after the writing. */
        j.item.number = UINT64_MAX;
        r = queue_add(q, &j, request->sandbox, QUEUE_READY, &added);
        if (r < 0)
                return r;
        r = job_record_write(q, added, JOB_PENDING, record, &added->size);
        if (r < 0) {
                queue_drop_job(added);
                return r;
        }
        q->bytes += added->size;
        added->item.number = store_last_number(q->manager->store);
        publish(added, JOB_PENDING, NULL);
        *ret_job = job_to_json(added->id, request->sandbox, job_status_to_string(JOB_PENDING), added->created_msec,
                               record);
        queue_look(q);
        return 0;
}

static int no_such_job(const char *id, sd_bus_error *error) {
        return bus_error_set(error, BUS_ERROR_NO_SUCH_COMMAND, "Queue job not found: %s", id);
}

static int add_waiter(Job *j, QueueCallback callback, void *userdata) {
        JobWaiter *w = new0(JobWaiter, 1);

        if (!w)
                return -ENOMEM;
        *w = (JobWaiter) { .next = j->waiters, .callback = callback, .userdata = userdata };
        j->waiters = w;
        return 1;
}

int queue_cancel(Queue *q, const char *id, QueueCallback callback, void *userdata, sd_bus_error *error) {
        _cleanup_(json_decrefp) json_t *record = NULL;
        Job *j = queue_find(q, id);
        JobStatus status;
        int r;

        if (!j) {
                r = job_record_read(q, id, &record, &status, NULL);
                if (r == -ENOENT)
                        return no_such_job(id, error);
                return r < 0 ? r : bus_error_set(error, BUS_ERROR_WRONG_STATE, "Job is not pending: %s",
                                                 job_status_to_string(status));
        }
        if (j->item.place != QUEUE_RUNNING) {
                queue_end_job(j, JOB_CANCELLED, NULL);
                return 0;
        }
        r = add_waiter(j, callback, userdata);
        if (r < 0)
                return r;
        if (!j->cancelling && job_need_record(j) >= 0) {
                (void) json_object_set_new(j->record, "cancelling", json_true());
                (void) job_record_write(q, j, JOB_RUNNING, j->record, NULL);
        }
        j->cancelling = true;
        command_kill(j->command);
        return 1;
}

int queue_requeue(Queue *q, const char *id, json_t **ret_job, sd_bus_error *error) {
        static const char *const forgotten[] = { "completedAt", "startedAt", "error", "run", "dueAt" };
        _cleanup_(json_decrefp) json_t *record = NULL;
        Job model = {}, *j;
        JobStatus status;
        char sandbox[SANDBOX_PUBLIC_ID_SIZE];
        int r;

        r = job_record_read(q, id, &record, &status, &model);
        if (r == -ENOENT)
                return no_such_job(id, error);
        if (r < 0)
                return r;
        if (status != JOB_FAILED)
                return bus_error_set(error, BUS_ERROR_WRONG_STATE, "Job is not failed: %s",
                                     job_status_to_string(status));
        (void) snprintf(sandbox, sizeof sandbox, "%s", json_string_value(json_object_get(record, "sandbox")));
        if (!manager_find_sandbox(q->manager, sandbox))
                return bus_error_set(error, BUS_ERROR_NO_SUCH_SANDBOX, "Sandbox not found: %s", sandbox);
        if (hashmap_size(q->jobs) >= q->manager->settings.queue_pending_max || q->bytes >= RECORDS_BYTES_MAX)
                return bus_error_set(error, BUS_ERROR_LIMIT_REACHED, "Maximum of queued jobs reached: %zu",
                                     hashmap_size(q->jobs));
        for (size_t i = 0; i < ELEMENTSOF(forgotten); i++)
                (void) json_object_del(record, forgotten[i]);
        job_set_number(record, "retries", 0);
        model.run[0] = 0;
        r = queue_add(q, &model, sandbox, QUEUE_READY, &j);
        if (r >= 0) {
                r = job_record_write(q, j, JOB_PENDING, record, NULL);
                if (r < 0)
                        queue_drop_job(j);
        }
        if (r < 0)
                return r;
        event_publish(q->manager, "job.requeued", sandbox, json_pack("{s:s}", "jobId", id));
        *ret_job = job_to_json(id, sandbox, job_status_to_string(JOB_PENDING), j->created_msec, record);
        queue_look(q);
        return 0;
}

/* What an earlier process of ours had begun: reconcile.c brings its command and what execd knows of it together. */
static int join(Job *j) {
        Manager *m = j->queue->manager;
        Sandbox *s = hashmap_get(m->sandboxes, queue_item_lane(&j->item));
        int r;

        if (!s || !j->run[0] || job_need_record(j) < 0)
                return 0; /* queue_start() deals with it */
        r = command_new(m, s, COMMAND_JOB, json_string_value(json_object_get(j->record, "command")), &j->command);
        if (r < 0)
                return r;
        memcpy(j->command->id, j->run, sizeof j->run);
        j->command->state = COMMAND_RUNNING;
        j->command->killed = j->cancelling;
        j->command->timeout_usec = (uint64_t) json_integer_value(json_object_get(json_object_get(j->record, "spec"),
                                                                                 "timeoutUSec"));
        j->joining = true;
        r = command_open_spools(j->command);
        if (r >= 0)
                r = manager_add_command(m, j->command);
        command_set_handlers(j->command, &job_handlers, j);
        return r;
}

/* Its start seemed to have failed, and it waits to be asked for once more; but the call was only late. */
bool queue_claim(Queue *q, const CommandStatus *status) {
        Job *j;

        if (!object_id_is_valid(status->command, "run"))
                return false;
        HASHMAP_FOREACH(j, q->jobs) {
                if (!streq(j->run, status->command) || j->command || join(j) < 0 || !j->command)
                        continue;
                j->joining = false;
                queue_policy_move(&j->item, QUEUE_RUNNING);
                if (job_need_record(j) >= 0)
                        (void) job_record_write(q, j, JOB_RUNNING, j->record, NULL);
                j->command->seen = true;
                if (command_adopt(j->command, status) >= 0)
                        return true;
                /* asked for when its time comes, which finds it */
                manager_drop_command(q->manager, j->command);
                job_put_back(j, now_usec(CLOCK_BOOTTIME) + USEC_PER_SEC, /* keep_run= */ true);
                return true;
        }
        return false;
}

typedef struct Loading {
        Queue *queue;
        JobStatus status;
} Loading;

static int load_job(const StoredObject *row, void *userdata) {
        _cleanup_(json_decrefp) json_t *record = json_loads(row->record, 0, NULL);
        const Loading *l = userdata;
        Job model = { .created_msec = row->time_msec, .size = strlen(row->record), .item.number = row->number };
        uint64_t now = now_usec(CLOCK_REALTIME), due;
        const char *run = json_string_value(json_object_get(record, "run"));

        if (!record || strlen(row->id) >= sizeof model.id || (run && strlen(run) >= sizeof model.run))
                return -EBADMSG;
        strcpy(model.id, row->id);
        strcpy(model.run, run ?: "");
        model.cancelling = json_is_true(json_object_get(record, "cancelling"));
        if (l->status == JOB_RUNNING)
                return queue_add(l->queue, &model, row->sandbox, QUEUE_RUNNING, NULL);
        due = (uint64_t) json_integer_value(json_object_get(record, "dueAt")) * USEC_PER_MSEC;
        /* The wall clock may have been set meanwhile. */
        due = MIN(due > now ? due - now : 0, l->queue->manager->settings.queue_backoff_max_sec * USEC_PER_SEC);
        model.item.due_usec = due > 0 ? now_usec(CLOCK_BOOTTIME) + due : 0;
        return queue_add(l->queue, &model, row->sandbox, due > 0 ? QUEUE_DELAYED : QUEUE_READY, NULL);
}

static int load(Queue *q) {
        Job *j;
        int r = 0;

        for (JobStatus status = JOB_PENDING; r >= 0 && status <= JOB_RUNNING; status++)
                r = store_foreach_object(q->manager->store, &(ObjectQuery) { .kind = QUEUE_KIND,
                                         .tag = job_status_to_string(status) }, load_job, &(Loading) { q, status });
        HASHMAP_FOREACH(j, q->jobs)
                if (r >= 0 && j->item.place == QUEUE_RUNNING)
                        r = join(j);
        return r;
}

int queue_new(Manager *m, Queue **ret) {
        _cleanup_(queue_freep) Queue *q = new0(Queue, 1);
        int r;

        if (!q)
                return -ENOMEM;
        q->manager = m;
        q->jobs = hashmap_new();
        r = q->jobs ? queue_policy_new(&q->policy) : -ENOMEM;
        if (r >= 0)
                r = sd_event_add_defer(m->event, &q->look, on_look, q);
        if (r >= 0)
                r = sd_event_source_set_enabled(q->look, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_add_time(m->event, &q->timer, CLOCK_BOOTTIME, USEC_INFINITY, 1, on_timer, q);
        if (r >= 0)
                r = sd_event_source_set_enabled(q->timer, SD_EVENT_OFF);
        if (r >= 0)
                r = store_get_number(m->store, "queue_output", &q->output_bytes);
        if (r >= 0)
                r = load(q);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(q);
        return 0;
}

Queue *queue_free(Queue *q) {
        Job *j;

        if (!q)
                return NULL;
        HASHMAP_FOREACH(j, q->jobs) {
                while (j->waiters) {
                        JobWaiter *w = j->waiters;

                        j->waiters = w->next;
                        w->callback(&SD_BUS_ERROR_MAKE_CONST(BUS_ERROR_INTERRUPTED, "The service is stopping"),
                                    w->userdata);
                        free(w);
                }
                (void) hashmap_remove(q->jobs, j->id);
                job_free(j);
        }
        hashmap_free(q->jobs);
        queue_policy_free(q->policy);
        sd_event_source_disable_unref(q->look);
        sd_event_source_disable_unref(q->timer);
        free(q);
        return NULL;
}

void queue_start(Queue *q) {
        Manager *m = q->manager;
        Job *j;

        q->started = true;
        HASHMAP_FOREACH(j, q->jobs)
                if (!hashmap_get(m->sandboxes, queue_item_lane(&j->item)))
                        queue_end_job(j, j->cancelling ? JOB_CANCELLED : JOB_FAILED,
                                      j->cancelling ? NULL : "The sandbox is gone");
                else if (j->item.place == QUEUE_RUNNING && !j->command)
                        job_put_back(j, 0, /* keep_run= */ true);
        queue_trim(q);
        plan(q);
        queue_look(q);
}
