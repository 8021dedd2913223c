/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <sys/random.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/log.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "sandboxd/queue-internal.h"

/* One attempt of a job: how it begins, and what its end makes of the job. A command's exit code is its own business; a
 * failure is that there is none. */

/* For what is nobody's failure: the sandbox has too many commands, or was just being paused. */
#define POSTPONE_USEC USEC_PER_SEC

/* keep_run: the attempt's name stays, because what it named may have begun. Asked for again by the same name, a command
 * that runs is joined and one that does not is started, by init: never twice. */
void job_put_back(Job *j, uint64_t due_usec, bool keep_run) {
        uint64_t now = now_usec(CLOCK_BOOTTIME);

        if (j->command)
                command_set_handlers(j->command, NULL, NULL);
        j->command = command_unref(j->command);
        j->item.due_usec = due_usec;
        if (!keep_run) {
                job_drop_output(j->queue, j->run);
                j->run[0] = 0;
        }
        if (job_need_record(j) >= 0) {
                (void) json_object_del(j->record, "startedAt");
                job_set_text(j->record, "run", j->run);
                job_set_number(j->record, "dueAt", (now_usec(CLOCK_REALTIME) +
                                                    (due_usec > now ? due_usec - now : 0)) / USEC_PER_MSEC);
                (void) job_record_write(j->queue, j, JOB_PENDING, j->record, NULL);
        }
        json_decref(j->record);
        j->record = NULL;
        queue_policy_move(&j->item, due_usec > now ? QUEUE_DELAYED : QUEUE_READY);
        queue_look(j->queue);
}

static void postpone(Job *j) {
        job_put_back(j, now_usec(CLOCK_BOOTTIME) + POSTPONE_USEC, /* keep_run= */ true);
}

/* By lot within the pause, so that jobs which failed together do not come back together. */
static uint64_t next_due(Queue *q, unsigned retries) {
        const Settings *s = &q->manager->settings;
        uint32_t lot = 0;

        if (getrandom(&lot, sizeof lot, GRND_NONBLOCK) < 0)
                lot = 0;
        return now_usec(CLOCK_BOOTTIME) + queue_backoff_usec(retries, s->queue_backoff_sec * USEC_PER_SEC,
                                                             s->queue_backoff_max_sec * USEC_PER_SEC, lot);
}

/* What is known of an attempt without a result decides what may be done next. */
typedef enum AttemptEnd {
        ATTEMPT_ENDED,          /* nothing of it runs */
        ATTEMPT_OPEN,           /* its name is asked for again */
        ATTEMPT_HOPELESS,       /* and no other one will do better */
} AttemptEnd;

static void fail_attempt(Job *j, AttemptEnd end, const char *text) {
        json_int_t retries;

        if (j->cancelling) {
                queue_end_job(j, JOB_CANCELLED, NULL);
                return;
        }
        if (job_need_record(j) < 0) {
                queue_end_job(j, JOB_FAILED, "The record of the job cannot be read");
                return;
        }
        retries = json_integer_value(json_object_get(j->record, "retries")) + 1;
        job_set_number(j->record, "retries", (uint64_t) retries);
        if (end == ATTEMPT_HOPELESS || retries >= json_integer_value(json_object_get(j->record, "maxRetries"))) {
                queue_end_job(j, JOB_FAILED, text);
                return;
        }
        job_set_text(j->record, "error", text);
        job_put_back(j, next_due(j->queue, (unsigned) retries), /* keep_run= */ end == ATTEMPT_OPEN);
}

static void note_result(Job *j, const Command *c) {
        uint64_t out = c->outputs[0].spool ? spool_total(c->outputs[0].spool) : 0;
        uint64_t err = c->outputs[1].spool ? spool_total(c->outputs[1].spool) : 0;
        json_t *result = json_pack("{s:i, s:I}", "exitCode", command_exit_code(c), "duration",
                                   (json_int_t) command_duration_msec(c));

        if (out > SPOOL_HEAD_MAX || err > SPOOL_HEAD_MAX)
                (void) json_object_set_new(result, "truncated", json_true());
        if (c->oom) {
                (void) json_object_set_new(result, "oom", json_true());
                (void) json_object_set_new(result, "error", json_string(COMMAND_OOM_TEXT));
        }
        (void) json_object_set_new(j->record, "result", result);
        out = MIN(out, SPOOL_HEAD_MAX + SPOOL_TAIL_MAX) + MIN(err, SPOOL_HEAD_MAX + SPOOL_TAIL_MAX);
        if (out == 0) { /* two files less to look after */
                job_drop_output(j->queue, j->run);
                return;
        }
        job_set_number(j->record, "outputBytes", out);
        j->queue->output_bytes += out;
        (void) store_set_number(j->queue->manager->store, "queue_output", j->queue->output_bytes);
}

/* A result is written before the command is acknowledged: killed in between, the next sandboxd joins the command, which
 * still has its status, and writes the same. */
static void on_finished(Command *c, void *userdata) {
        Job *j = userdata;
        char text[80];

        if (j->queue->manager->stopping)
                return;
        if (j->cancelling)
                queue_end_job(j, JOB_CANCELLED, NULL);
        else if (c->state != COMMAND_EXITED)
                fail_attempt(j, ATTEMPT_ENDED, "The sandbox ended while the command ran");
        else if (c->timed_out) {
                (void) snprintf(text, sizeof text, "Command timed out after %llums",
                                (unsigned long long) (c->timeout_usec / USEC_PER_MSEC));
                fail_attempt(j, ATTEMPT_ENDED, text);
        } else if (job_need_record(j) < 0)
                fail_attempt(j, ATTEMPT_ENDED, NULL);
        else {
                note_result(j, c);
                queue_end_job(j, JOB_COMPLETED, NULL);
        }
}

/* What the request itself is to blame for. */
static bool is_hopeless(const char *name) {
        static const char *const names[] = {
                BUS_ERROR_COMMAND_NOT_FOUND, BUS_ERROR_INVALID,        BUS_ERROR_NO_SUCH_FILE, BUS_ERROR_NOT_A_DIRECTORY,
                BUS_ERROR_FILE_ACCESS,       BUS_ERROR_PATH_REFUSED,   BUS_ERROR_TOO_LARGE,    BUS_ERROR_DENIED,
        };

        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                if (streq(names[i], name))
                        return true;
        return false;
}

/* An attempt that was joined after a restart and is unknown had not begun: that is no failure of the job, and costs no
 * retry. Neither do a full or a paused sandbox. */
static void on_failed(Command *c, const sd_bus_error *error, void *userdata) {
        Job *j = userdata;

        if (j->queue->manager->stopping)
                return;
        if (j->joining && !j->cancelling) {
                log_sandbox(LOG_INFO, c->sandbox->id, "Job %s was interrupted before its command began.", j->id);
                j->joining = false;
                job_put_back(j, 0, /* keep_run= */ true);
        } else if (sd_bus_error_has_name(error, BUS_ERROR_LIMIT_REACHED) ||
                   sd_bus_error_has_name(error, BUS_ERROR_WRONG_STATE)) {
                if (j->cancelling)
                        queue_end_job(j, JOB_CANCELLED, NULL);
                else
                        postpone(j);
        } else
                fail_attempt(j, is_hopeless(error->name) ? ATTEMPT_HOPELESS : ATTEMPT_OPEN, error->message);
}

const CommandHandlers job_handlers = {
        .on_failed = on_failed,
        .on_finished = on_finished,
};

/* Its name is written down before it is asked for. */
static int make_attempt(Job *j, Sandbox *s, Command **ret, CommandSpec *ret_spec) {
        _cleanup_(command_unrefp) Command *c = NULL;
        int r;

        r = command_new(j->queue->manager, s, COMMAND_JOB, json_string_value(json_object_get(j->record, "command")),
                        &c);
        if (r >= 0)
                r = job_record_to_spec(j->record, s, ret_spec);
        if (r < 0)
                return r;
        if (j->run[0])
                memcpy(c->id, j->run, sizeof j->run);
        else
                memcpy(j->run, c->id, sizeof j->run);
        job_set_text(j->record, "run", j->run);
        (void) json_object_del(j->record, "dueAt");
        job_set_number(j->record, "startedAt", now_usec(CLOCK_REALTIME) / USEC_PER_MSEC);
        r = job_record_write(j->queue, j, JOB_RUNNING, j->record, NULL);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(c);
        return 0;
}

void job_begin(Job *j) {
        _cleanup_(command_spec_done) CommandSpec spec = COMMAND_SPEC_DEFAULT;
        Manager *m = j->queue->manager;
        Sandbox *s = hashmap_get(m->sandboxes, queue_item_lane(&j->item));
        char text[80];
        int r;

        if (!s) {
                fail_attempt(j, ATTEMPT_HOPELESS, "The sandbox is gone");
                return;
        }
        if (!manager_find_sandbox(m, s->public_id)) { /* its time is over, and it is being ended for that */
                postpone(j);
                return;
        }
        if (s->state != SANDBOX_RUNNING) {
                (void) snprintf(text, sizeof text, "Sandbox is not running: %s", sandbox_state_to_string(s->state));
                fail_attempt(j, ATTEMPT_OPEN, text);
                return;
        }
        r = job_need_record(j);
        if (r == -ENOENT) { /* what wrote it was taken back, and its client was told so */
                queue_drop_job(j);
                return;
        }
        if (r >= 0 && s->n_live < m->settings.commands_max)
                r = make_attempt(j, s, &j->command, &spec);
        if (r < 0 || !j->command) {
                postpone(j);
                return;
        }
        r = command_start(j->command, &spec, &(CommandInput) {}, &job_handlers, j);
        if (r < 0)
                fail_attempt(j, ATTEMPT_OPEN, r == -EHOSTDOWN ? "A service was not available" : strerror(-r));
}
