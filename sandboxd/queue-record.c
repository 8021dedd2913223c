/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "sandboxd/exec-input.h"
#include "sandboxd/queue-internal.h"

/* Jobs as rows: the status is the tag, so that each status is a list of its own; the record is one JSON object, some of
 * whose members are shown as they are. Output is not in it but in two files, named by the attempt that succeeded. */

#define TRIM_INTERVAL 64U
#define TRIMMED_AT_ONCE 256U
#define PURGED_AT_ONCE 1000U

static const char *const statuses[_JOB_STATUS_MAX] = {
        [JOB_PENDING] = "pending",     [JOB_RUNNING] = "running",     [JOB_COMPLETED] = "completed",
        [JOB_FAILED] = "failed",       [JOB_CANCELLED] = "cancelled",
};

const char *job_status_to_string(JobStatus status) {
        return status >= 0 && status < _JOB_STATUS_MAX ? statuses[status] : NULL;
}

JobStatus job_status_from_string(const char *s) {
        for (JobStatus i = 0; i < _JOB_STATUS_MAX; i++)
                if (streq_ptr(s, statuses[i]))
                        return i;
        return _JOB_STATUS_INVALID;
}

void job_set_number(json_t *record, const char *key, uint64_t value) {
        (void) json_object_set_new(record, key, json_integer((json_int_t) value));
}

void job_set_text(json_t *record, const char *key, const char *value) {
        (void) json_object_set_new(record, key, json_string(value ?: ""));
}

static json_t *array_of(char *const *strings) {
        json_t *array = json_array();

        STRV_FOREACH(s, strings)
                (void) json_array_append_new(array, json_string(*s));
        return array;
}

/* The environment is only what the job brings: that of the sandbox is added when an attempt begins, with what it is
 * then. */
json_t *job_record_new(const QueueRequest *request) {
        json_t *spec;

        spec = json_pack("{s:o, s:o, s:s, s:I, s:I, s:I}", "argv", array_of(request->argv), "env",
                         array_of(request->env), "cwd", request->cwd, "uid", (json_int_t) request->uid, "gid",
                         (json_int_t) request->gid, "timeoutUSec", (json_int_t) request->timeout_usec);
        return json_pack("{s:s, s:s, s:i, s:I, s:o}", "sandbox", request->sandbox, "command", request->command,
                         "retries", 0, "maxRetries", (json_int_t) request->max_retries, "spec", spec);
}

typedef struct Reading {
        json_t *record;
        JobStatus status;
        Job *job;
} Reading;

static int read_row(const StoredObject *row, void *userdata) {
        Reading *r = userdata;
        const char *run;

        r->record = json_loads(row->record, 0, NULL);
        r->status = job_status_from_string(row->tag);
        run = json_string_value(json_object_get(r->record, "run"));
        if (!r->record || r->status < 0)
                return -EBADMSG;
        if (r->job) {
                (void) snprintf(r->job->id, sizeof r->job->id, "%s", row->id);
                (void) snprintf(r->job->run, sizeof r->job->run, "%s", run ?: "");
                r->job->created_msec = row->time_msec;
                r->job->size = strlen(row->record);
                r->job->item.number = row->number;
        }
        return 0;
}

int job_record_read(Queue *q, const char *id, json_t **ret_record, JobStatus *ret_status, Job *ret_job) {
        Reading reading = { .job = ret_job };
        int r;

        r = store_foreach_object(q->manager->store, &(ObjectQuery) { .kind = QUEUE_KIND, .id = id, .limit = 1 },
                                 read_row, &reading);
        if (r >= 0 && !reading.record)
                r = -ENOENT;
        if (r < 0) {
                json_decref(reading.record);
                return r;
        }
        *ret_record = reading.record;
        if (ret_status)
                *ret_status = reading.status;
        return 0;
}

/* One row is replaced by one statement: a crash leaves the job in the old state or in the new one. */
int job_record_write(Queue *q, const Job *j, JobStatus status, const json_t *record, size_t *ret_size) {
        _cleanup_free_ char *text = json_dumps(record, JSON_COMPACT);
        int r;

        if (!text)
                return -ENOMEM;
        r = store_put_object(q->manager->store, &(StoredObject) { .kind = QUEUE_KIND, .id = j->id,
                             .sandbox = queue_item_lane(&j->item), .tag = statuses[status],
                             .time_msec = j->created_msec, .record = text });
        if (r >= 0 && ret_size)
                *ret_size = strlen(text);
        return r;
}

static int strings_of(const json_t *array, char ***ret) {
        const json_t *value;
        size_t i;
        int r = 0;

        json_array_foreach(array, i, value)
                if (r >= 0)
                        r = strv_extend(ret, json_string_value(value) ?: "");
        return r;
}

int job_record_to_spec(const json_t *record, const Sandbox *s, CommandSpec *ret) {
        _cleanup_strv_free_ char **extra = NULL;
        const json_t *spec = json_object_get(record, "spec");
        int r;

        r = strings_of(json_object_get(spec, "argv"), &ret->argv);
        if (r >= 0)
                r = strings_of(json_object_get(spec, "env"), &extra);
        if (r >= 0)
                r = exec_make_env(s, extra, &ret->env);
        if (r < 0)
                return r;
        ret->cwd = strdup(json_string_value(json_object_get(spec, "cwd")) ?: "/");
        ret->uid = (uint32_t) json_integer_value(json_object_get(spec, "uid"));
        ret->gid = (uint32_t) json_integer_value(json_object_get(spec, "gid"));
        ret->timeout_usec = (uint64_t) json_integer_value(json_object_get(spec, "timeoutUSec"));
        return ret->cwd && ret->argv ? 0 : -ENOMEM;
}

/* A list of what is shown, not of what is hidden: what a record gets for our own use later stays inside. */
json_t *job_to_json(const char *id, const char *sandbox, const char *status, uint64_t created_msec,
                    const json_t *record) {
        static const char *const shown[] = { "command", "result", "error", "retries", "maxRetries", "startedAt",
                                             "completedAt" };
        json_t *job = json_pack("{s:s, s:s, s:s, s:I}", "id", id, "sandboxId", sandbox, "status", status, "createdAt",
                                (json_int_t) created_msec);

        for (size_t i = 0; i < ELEMENTSOF(shown); i++) {
                json_t *value = json_object_get(record, shown[i]);

                if (value)
                        (void) json_object_set(job, shown[i], value);
        }
        return job;
}

static void output_name(const char *run, size_t i, char ret[64]) {
        (void) snprintf(ret, 64, "%s.%s", run, i == 0 ? "out" : "err");
}

void job_drop_output(Queue *q, const char *run) {
        char name[64];

        for (size_t i = 0; run[0] && i < 2; i++) {
                output_name(run, i, name);
                (void) unlinkat(q->manager->spool_fd, name, 0);
        }
}

void job_view_done(JobView *v) {
        json_decref(v->job);
        for (size_t i = 0; i < ELEMENTSOF(v->outputs); i++)
                spool_unref(v->outputs[i]);
        *v = (JobView) {};
}

/* An attempt that wrote nothing has no files: that is no error. */
static int open_outputs(Queue *q, const char *run, JobView *v) {
        char name[64];
        int r = 0;

        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(v->outputs); i++) {
                output_name(run, i, name);
                if (faccessat(q->manager->spool_fd, name, F_OK, 0) >= 0)
                        r = spool_new_live(q->manager->spool_fd, name, v->outputs + i);
        }
        return r;
}

int queue_get(Queue *q, const char *id, JobView *ret, sd_bus_error *error) {
        _cleanup_(json_decrefp) json_t *record = NULL;
        _cleanup_(job_view_done) JobView v = {};
        JobStatus status;
        Job job = {};
        int r;

        r = job_record_read(q, id, &record, &status, &job);
        if (r == -ENOENT)
                return bus_error_set(error, BUS_ERROR_NO_SUCH_COMMAND, "Queue job not found: %s", id);
        if (r < 0)
                return r;
        v.job = job_to_json(id, json_string_value(json_object_get(record, "sandbox")), statuses[status],
                            job.created_msec, record);
        if (!v.job)
                return -ENOMEM;
        r = status == JOB_COMPLETED && job.run[0] ? open_outputs(q, job.run, &v) : 0;
        if (r < 0)
                return r;
        *ret = v;
        v = (JobView) {};
        return 0;
}

typedef struct Listing {
        json_t *jobs;
        uint64_t limit, n, last, next;
} Listing;

/* One row more than asked for is read, to know whether there is a next page. */
static int list_row(const StoredObject *row, void *userdata) {
        _cleanup_(json_decrefp) json_t *record = json_loads(row->record, 0, NULL);
        Listing *l = userdata;

        if (!record)
                return -EBADMSG;
        if (l->n++ < l->limit) {
                (void) json_array_append_new(l->jobs, job_to_json(row->id, row->sandbox, row->tag, row->time_msec,
                                                                  record));
                l->last = row->number;
        } else
                l->next = l->last; /* there is one more */
        return 0;
}

int queue_list(Queue *q, const JobQuery *query, json_t **ret_jobs, uint64_t *ret_total, uint64_t *ret_next) {
        Listing listing = { .jobs = json_array(), .limit = query->limit };
        Store *store = q->manager->store;
        int r;

        r = listing.jobs ? store_count_objects(store, QUEUE_KIND, query->sandbox, query->status, ret_total) : -ENOMEM;
        if (r >= 0)
                r = store_foreach_object(store, &(ObjectQuery) { .kind = QUEUE_KIND, .sandbox = query->sandbox,
                                                                 .tag = query->status, .after = query->after,
                                                                 .offset = query->offset, .limit = query->limit + 1 },
                                         list_row, &listing);
        if (r < 0) {
                json_decref(listing.jobs);
                return r;
        }
        *ret_jobs = listing.jobs;
        *ret_next = listing.next;
        return 0;
}

/* Ends what is remembered of an ended job. */
static int job_forget(Queue *q, const char *id, const json_t *record) {
        uint64_t bytes = (uint64_t) json_integer_value(json_object_get(record, "outputBytes"));
        int r;

        r = store_remove_object(q->manager->store, QUEUE_KIND, id);
        if (r < 0)
                return r;
        job_drop_output(q, json_string_value(json_object_get(record, "run")) ?: "");
        if (bytes > 0) {
                q->output_bytes -= MIN(bytes, q->output_bytes);
                (void) store_set_number(q->manager->store, "queue_output", q->output_bytes);
        }
        return 0;
}

typedef struct Doomed {
        struct {
                char id[40];
                json_t *record;
        } jobs[PURGED_AT_ONCE];
        size_t n;
} Doomed;

static int doom_row(const StoredObject *row, void *userdata) {
        Doomed *d = userdata;

        (void) snprintf(d->jobs[d->n].id, sizeof d->jobs[d->n].id, "%s", row->id);
        d->jobs[d->n].record = json_loads(row->record, 0, NULL);
        d->n++;
        return 0;
}

/* The handler of a walk must not write, hence in two steps. */
static int forget_all(Queue *q, const ObjectQuery *query) {
        _cleanup_free_ Doomed *d = new0(Doomed, 1);
        Store *store = q->manager->store;
        bool together;
        int r, n = 0;

        if (!d)
                return -ENOMEM;
        assert(query->limit > 0 && query->limit <= PURGED_AT_ONCE);
        r = store_foreach_object(store, query, doom_row, d);
        together = d->n > 1 && store_begin(store) >= 0;
        for (size_t i = 0; i < d->n; i++) {
                if (r >= 0 && job_forget(q, d->jobs[i].id, d->jobs[i].record) >= 0)
                        n++;
                json_decref(d->jobs[i].record);
        }
        if (together && store_end(store) < 0 && r >= 0)
                r = -EIO;
        return r < 0 ? r : n;
}

int queue_purge(Queue *q, const char *sandbox, const char *id, uint64_t *ret_n) {
        int r;

        r = forget_all(q, &(ObjectQuery) { .kind = QUEUE_KIND, .tag = statuses[JOB_FAILED], .sandbox = sandbox,
                                           .id = id, .limit = PURGED_AT_ONCE });
        if (r >= 0)
                *ret_n = (uint64_t) r;
        return r;
}

static uint64_t count_ended(Queue *q) {
        uint64_t sum = 0, n;

        for (JobStatus i = JOB_COMPLETED; i < _JOB_STATUS_MAX; i++)
                if (store_count_objects(q->manager->store, QUEUE_KIND, NULL, statuses[i], &n) >= 0)
                        sum += n;
        return sum;
}

static int note_number(const StoredObject *row, void *userdata) {
        *(StoredObject *) userdata = (StoredObject) { .number = row->number, .time_msec = row->time_msec };
        return 0;
}

/* The oldest of each of the three lists, and of them the oldest. */
static JobStatus find_oldest(Queue *q, StoredObject *ret) {
        JobStatus found = _JOB_STATUS_INVALID;

        for (JobStatus i = JOB_COMPLETED; i < _JOB_STATUS_MAX; i++) {
                StoredObject row = {};

                if (store_foreach_object(q->manager->store, &(ObjectQuery) { .kind = QUEUE_KIND, .tag = statuses[i],
                                         .limit = 1 }, note_number, &row) < 0 || row.number == 0)
                        continue;
                if (found < 0 || row.number < ret->number) {
                        *ret = row;
                        found = i;
                }
        }
        return found;
}

/* Counting and finding cost a few looks into the index, so not after each job; but output that is beyond its bound goes
 * at once, since the disk is what it bounds. */
void queue_trim(Queue *q) {
        const Settings *s = &q->manager->settings;
        uint64_t n, now = now_usec(CLOCK_REALTIME) / USEC_PER_MSEC, age = s->queue_keep_sec * UINT64_C(1000);

        if (q->n_since_trim++ % TRIM_INTERVAL != 0 && q->output_bytes <= s->queue_output_max)
                return;
        n = count_ended(q);
        for (unsigned i = 0; n > 0 && i < TRIMMED_AT_ONCE; i++) {
                StoredObject oldest = {};
                JobStatus status = find_oldest(q, &oldest);

                if (status < 0 || (n <= s->queue_keep && q->output_bytes <= s->queue_output_max &&
                                   oldest.time_msec + age >= now))
                        return;
                if (forget_all(q, &(ObjectQuery) { .kind = QUEUE_KIND, .tag = statuses[status], .limit = 1 }) <= 0)
                        return;
                n--;
        }
}
