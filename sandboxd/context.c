/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/context-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/fd-util.h"
#include "libsandbox/log.h"
#include "libsandbox/sandbox-id.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "sandboxd/exec-input.h"

/* Killing us at any moment shall lose no variable of anybody's. So a request is one send() that the socket takes whole,
 * and an answer is looked at (MSG_PEEK) until it is whole and only then taken off the socket: half a frame is never in
 * our hands. A context that is taken over may still be at work for a client that is gone: an empty execution is put
 * before everything else, and whatever comes before its answer is nobody's.
 *
 * The end of an execution is told over the socket, its output comes by pipes: what stands in them at that moment is all
 * that the interpreter wrote, since it flushes first. */

/* For code that is interrupted, to end; then its process is. */
#define GRACE_USEC (2 * USEC_PER_SEC)
#define START_TIMEOUT_USEC (30 * USEC_PER_SEC)

static Execution *execution_free(Execution *e) {
        if (e) {
                free(e->code);
                free(e->result.result);
                free(e->result.error);
                free(e->result.status);
                spool_unref(e->result.outputs[0]);
                spool_unref(e->result.outputs[1]);
                free(e);
        }
        return NULL;
}
DEFINE_CLEANUP(Execution *, execution_free)

static void tell(Execution *e, const sd_bus_error *error) {
        if (e->callback)
                e->callback(error ? NULL : &e->result, error, e->userdata);
        execution_free(e);
}

static void measure(Execution *e) {
        e->result.duration_msec = MAX((now_usec(CLOCK_BOOTTIME) - e->started_usec) / USEC_PER_MSEC, UINT64_C(1));
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata);

static void arm_timer(Context *c, uint64_t usec) {
        Manager *m = c->set->manager;

        c->timer = sd_event_source_disable_unref(c->timer);
        if (usec != USEC_INFINITY &&
            sd_event_add_time_relative(m->event, &c->timer, CLOCK_BOOTTIME, usec, 0, on_timer, c) < 0)
                command_kill(c->command); /* nobody would end it */
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Context *c = userdata;

        (void) source;
        (void) usec;
        if (!c->running || c->running->result.timed_out) {
                command_kill(c->command);
                return 0;
        }
        c->running->result.timed_out = true;
        context_interrupt(c);
        arm_timer(c, GRACE_USEC);
        return 0;
}

/* All of it, or the protocol is broken: then the process must go. */
static int send_whole(Context *c, const char *data, size_t n) {
        ssize_t k = send(c->command->stdin_fd, data, n, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (k == (ssize_t) n)
                return 0;
        command_kill(c->command);
        return k < 0 ? -errno : -EIO;
}

static void start_next(Context *c) {
        _cleanup_free_ char *request = NULL;
        Execution *e = c->waiting;
        int n;

        if (c->running || !e || !context_is_alive(c) || c->command->stdin_fd < 0)
                return;
        c->waiting = e->next;
        e->next = NULL;
        c->running = e;
        e->started_usec = now_usec(CLOCK_BOOTTIME);
        n = asprintf(&request, "exec %s %zu\n%s", e->token, strlen(e->code), e->code);
        if (n < 0)
                command_kill(c->command);
        else if (send_whole(c, request, (size_t) n) >= 0)
                arm_timer(c, e->timeout_usec);
}

/* The next one begins before this one's client is told: he may be slow, and may ask for another at once. */
static void on_done(Context *c) {
        Execution *e = c->running;

        command_drain(c->command); /* what comes is still this one's */
        c->running = NULL;
        c->ready = true;
        c->adopted = false;
        arm_timer(c, USEC_INFINITY);
        measure(e);
        start_next(c);
        tell(e, NULL);
}

static int keep_text(char **target, const ContextFrame *f) {
        char *text = malloc(f->n_text + 1);

        if (!text)
                return -ENOMEM;
        memcpy(text, f->text, f->n_text);
        text[f->n_text] = 0;
        free(*target);
        *target = text;
        return 0;
}

/* Frames of an execution that nobody waits for any more say nothing to us. */
static int on_frame(Context *c, const ContextFrame *f) {
        Execution *e = c->running;
        int r = 0;

        if (!e || !streq(e->token, f->token))
                return 0;
        if (streq(f->kind, "begin")) {
                e->begun = true;
                if (e->interrupt_due)
                        context_interrupt(c);
        } else if (streq(f->kind, "result"))
                r = keep_text(&e->result.result, f);
        else if (streq(f->kind, "error"))
                r = keep_text(&e->result.error, f);
        else if (streq(f->kind, "done")) {
                r = f->n_text > 0 ? keep_text(&e->result.status, f) : 0;
                on_done(c);
        }
        return r;
}

/* > 0 when a frame was taken. */
static int take_frame(Context *c) {
        static char buffer[CONTEXT_FRAME_MAX + 128];
        ContextFrame f;
        ssize_t n;
        int r;

        n = recv(c->command->stdin_fd, buffer, sizeof buffer, MSG_PEEK | MSG_DONTWAIT);
        if (n <= 0)
                return n == 0 || errno == EAGAIN || errno == EINTR ? 0 : -errno;
        r = context_frame_parse(buffer, (size_t) n, &f);
        if (r <= 0)
                return r;
        if (recv(c->command->stdin_fd, buffer, f.size, MSG_DONTWAIT) != (ssize_t) f.size)
                return -EIO;
        r = on_frame(c, &f);
        return r < 0 ? r : 1;
}

/* Woken by what is new, not by what is there: half a frame of somebody who never sends the rest costs nothing. */
static int on_readable(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        Context *c = userdata;
        _cleanup_(command_unrefp) Command *held = command_ref(c->command);
        int r = 1;

        (void) source;
        (void) fd;
        (void) events;
        while (r > 0 && c->command == held && held->stdin_fd >= 0)
                r = take_frame(c);
        if (r < 0) {
                log_sandbox_errno(LOG_INFO, r, held->sandbox->id, "A context says what it should not, ending it: %m");
                command_kill(held);
        }
        return 0;
}

static void on_input_closed(void *userdata) {
        Context *c = userdata;

        c->source = sd_event_source_disable_unref(c->source);
}

/* Not longer than the descriptor is open: init has another one of the same socket, so the event loop would go on hearing
 * of it, for a source that is gone. */
static int watch(Context *c) {
        int r;

        r = sd_event_add_io(c->set->manager->event, &c->source, c->command->stdin_fd, EPOLLIN | EPOLLET, on_readable, c);
        if (r < 0)
                return r;
        c->command->on_input_closed = on_input_closed;
        c->command->on_input_closed_userdata = c;
        c->command->stdin_taken = true;
        return 0;
}

static void on_output(Command *command, bool is_stderr, const char *data, size_t n, void *userdata) {
        Context *c = userdata;

        (void) command;
        if (c->running && c->running->callback)
                (void) spool_append(c->running->result.outputs[is_stderr], data, n);
}

/* Whatever it was: a process that ended, or one that never began. */
static void fail_all(Context *c, const sd_bus_error *error) {
        Execution *running = TAKE_PTR(c->running), *waiting = TAKE_PTR(c->waiting);

        if (running) {
                running->result.ended = true;
                measure(running);
                tell(running, error);
        }
        while (waiting) {
                Execution *e = waiting;

                waiting = e->next;
                tell(e, error ?: &SD_BUS_ERROR_MAKE_CONST(BUS_ERROR_WRONG_STATE, "The context ended"));
        }
}

/* The context stays as a name without a process: it can be asked about, restarted and deleted. */
static void detach(Context *c) {
        context_unwatch(c);
        c->timer = sd_event_source_disable_unref(c->timer);
        c->command = command_unref(c->command);
}

static void on_finished(Command *command, void *userdata) {
        Context *c = userdata;

        command->forgotten = true;
        detach(c);
        event_publish(c->set->manager, "context.died", c->sandbox->public_id, json_pack("{s:s}", "id", c->id));
        fail_all(c, NULL);
}

static void on_failed(Command *command, const sd_bus_error *error, void *userdata) {
        _cleanup_(sd_bus_error_free) sd_bus_error own = SD_BUS_ERROR_NULL;
        bool missing = sd_bus_error_has_name(error, BUS_ERROR_COMMAND_NOT_FOUND);
        Context *c = userdata;

        (void) command;
        if (missing)
                (void) bus_error_set(&own, BUS_ERROR_COMMAND_NOT_FOUND, "The image of this sandbox has no program '%s'",
                                     c->language->command[0]);
        detach(c);
        fail_all(c, missing ? &own : error);
}

static int execute(Context *c, const char *code, uint64_t timeout_usec, ContextCallback callback, void *userdata,
                   Execution **ret);

/* After a restart of ours. What the process was doing is not known, so an empty execution is sent ahead, whose answer
 * shows that it is ready; what clients have asked for meanwhile comes behind it. */
static void on_attached(Command *command, void *userdata) {
        Context *c = userdata;
        Execution *early = TAKE_PTR(c->waiting); /* clients may be quicker than init */

        c->adopted = true;
        if (command->stdin_fd < 0 || watch(c) < 0 ||
            execute(c, "", c->set->manager->settings.max_command_timeout_sec * USEC_PER_SEC, NULL, NULL, NULL) < 0)
                command_kill(command);
        assert(!c->waiting);
        c->waiting = early;
}

const CommandHandlers context_handlers = {
        .on_failed = on_failed,
        .on_output = on_output,
        .on_finished = on_finished,
        .on_attached = on_attached,
};

static int make_spec(Context *c, CommandSpec *spec) {
        int r;

        r = strv_extend(&spec->argv, c->language->command[0]);
        if (r >= 0)
                r = strv_extend(&spec->argv, streq(c->language->name, "javascript") ? "-e" : "-c");
        if (r >= 0)
                r = strv_extend(&spec->argv, context_driver_bootstrap(c->language));
        if (r >= 0)
                r = exec_make_env(c->sandbox, NULL, &spec->env);
        if (r >= 0)
                r = exec_env_add_defaults(&spec->env, c->language->env);
        spec->cwd = strdup(c->cwd);
        return r < 0 ? r : spec->cwd ? 0 : -ENOMEM;
}

/* The driver waits in the socket before there is anybody to read it. */
static int start(Context *c, ContextCallback callback, void *userdata) {
        _cleanup_(command_spec_done) CommandSpec spec = COMMAND_SPEC_DEFAULT;
        _cleanup_(command_unrefp) Command *command = NULL;
        _cleanup_free_ char *driver = NULL, *text = NULL;
        int r;

        r = context_driver_read(c->language, &driver);
        if (r < 0)
                return log_sandbox_errno(LOG_ERR, r, c->sandbox->id, "Failed to read the driver of %s: %m", c->language->name);
        r = make_spec(c, &spec);
        if (r >= 0 && asprintf(&text, "context %s", c->language->name) < 0)
                return -ENOMEM;
        if (r >= 0)
                r = command_new(c->set->manager, c->sandbox, COMMAND_KERNEL, text, &command);
        if (r < 0)
                return r;
        snprintf(c->command_id, sizeof c->command_id, "%s", command->id);
        r = context_save(c);
        if (r >= 0)
                r = command_start(command, &spec, &(CommandInput) {}, &context_handlers, c);
        if (r < 0)
                return r;
        c->command = TAKE_PTR(command);
        c->ready = c->adopted = false;
        r = watch(c);
        if (r >= 0)
                r = send_whole(c, driver, strlen(driver));
        if (r >= 0)
                r = execute(c, "", START_TIMEOUT_USEC, callback, userdata, NULL);
        return r;
}

static void drop_command(Context *c) {
        if (!c->command)
                return;
        command_set_handlers(c->command, NULL, NULL);
        c->command->forgotten = true;
        if (context_is_alive(c))
                command_kill(c->command);
        else
                manager_drop_command(c->set->manager, c->command);
        detach(c);
}

static void drop(Context *c) {
        Manager *m = c->set->manager;

        drop_command(c);
        (void) store_remove_object(m->store, CONTEXT_KIND, c->id);
        (void) hashmap_remove(c->set->contexts, c->id);
        fail_all(c, &SD_BUS_ERROR_MAKE_CONST(BUS_ERROR_WRONG_STATE, "The context was deleted"));
        context_free(c);
}

static unsigned contexts_count(Contexts *set, const Sandbox *s) {
        unsigned n = 0;
        Context *c;

        HASHMAP_FOREACH(c, set->contexts)
                n += c->sandbox == s;
        return n;
}

int context_new(Manager *m, Sandbox *s, const Language *language, const char *cwd, ContextCallback callback,
                void *userdata, Context **ret, sd_bus_error *error) {
        _cleanup_(context_freep) Context *c = NULL;
        int r;

        if (contexts_count(m->contexts, s) >= CONTEXTS_MAX || s->n_live >= m->settings.commands_max)
                return bus_error_set(error, BUS_ERROR_LIMIT_REACHED, "Maximum context limit reached: %u", CONTEXTS_MAX);
        r = context_allocate(m->contexts, s, language, cwd, &c);
        if (r >= 0)
                r = object_id_random("ctx", c->id);
        if (r >= 0)
                r = hashmap_put(m->contexts->contexts, c->id, c);
        if (r < 0)
                return r;
        r = start(c, callback, userdata);
        if (r < 0) {
                drop(TAKE_PTR(c));
                return r;
        }
        *ret = TAKE_PTR(c);
        return 0;
}

static int execute(Context *c, const char *code, uint64_t timeout_usec, ContextCallback callback, void *userdata,
                   Execution **ret) {
        _cleanup_(execution_freep) Execution *e = new0(Execution, 1);
        Execution **last = &c->waiting;
        int r;

        if (!e)
                return -ENOMEM;
        *e = (Execution) { .context = c, .code = strdup(code), .timeout_usec = timeout_usec, .callback = callback,
                           .userdata = userdata };
        r = e->code ? object_id_random("run", e->token) : -ENOMEM;
        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(e->result.outputs); i++)
                r = spool_new(c->set->manager->spool_fd, NULL, e->result.outputs + i);
        if (r < 0)
                return r;
        while (*last)
                last = &(*last)->next;
        if (ret)
                *ret = e;
        *last = TAKE_PTR(e);
        start_next(c);
        return 0;
}

int context_execute(Context *c, const char *code, uint64_t timeout_usec, ContextCallback callback, void *userdata,
                    Execution **ret, sd_bus_error *error) {
        unsigned n = 0;

        if (!context_is_alive(c))
                return bus_error_set(error, BUS_ERROR_WRONG_STATE, "The context has ended; restart it");
        if (strlen(code) > CONTEXT_CODE_MAX)
                return bus_error_set(error, BUS_ERROR_TOO_LARGE, "code must be at most %u bytes; write it to a file",
                                     (unsigned) CONTEXT_CODE_MAX);
        for (const Execution *e = c->waiting; e; e = e->next)
                n++;
        if (n >= CONTEXT_WAITING_MAX)
                return bus_error_set(error, BUS_ERROR_LIMIT_REACHED, "Maximum of waiting executions reached: %u",
                                     CONTEXT_WAITING_MAX);
        return execute(c, code, timeout_usec, callback, userdata, ret);
}

void execution_cancel(Execution *e) {
        Context *c = e->context;

        e->callback = NULL;
        if (c->running == e) {
                context_interrupt(c);
                return;
        }
        for (Execution **i = &c->waiting; *i; i = &(*i)->next)
                if (*i == e) {
                        *i = e->next;
                        execution_free(e);
                        return;
                }
}

void context_interrupt(Context *c) {
        Manager *m = c->set->manager;

        if (!c->running || !context_is_alive(c) || m->stopping)
                return;
        if (c->running->begun || c->adopted)
                (void) execd_signal(m->execd, c->sandbox->id, c->command->id, SIGINT, /* all= */ false, peer_ignore, NULL);
        else
                c->running->interrupt_due = true;
}

int context_restart(Context *c, ContextCallback callback, void *userdata, sd_bus_error *error) {
        Manager *m = c->set->manager;
        int r;

        if (c->sandbox->n_live >= m->settings.commands_max)
                return bus_error_set(error, BUS_ERROR_LIMIT_REACHED, "Maximum command limit reached: %u",
                                     m->settings.commands_max);
        drop_command(c);
        fail_all(c, &SD_BUS_ERROR_MAKE_CONST(BUS_ERROR_WRONG_STATE, "The context was restarted"));
        r = start(c, callback, userdata);
        if (r < 0)
                drop_command(c);
        return r;
}

void context_delete(Context *c) {
        event_publish(c->set->manager, "context.deleted", c->sandbox->public_id, json_pack("{s:s}", "id", c->id));
        drop(c);
}

Context *context_find(Contexts *set, const Sandbox *s, const char *id) {
        Context *c = hashmap_get(set->contexts, id);

        return c && (!s || c->sandbox == s) ? c : NULL;
}

const char *context_id(const Context *c) {
        return c->id;
}

/* The processes are not ended: the next sandboxd goes on with them. */
Contexts *contexts_free(Contexts *set) {
        Context *c;

        if (!set)
                return NULL;
        HASHMAP_FOREACH(c, set->contexts) {
                if (c->command)
                        command_set_handlers(c->command, NULL, NULL);
                /* Their clients are gone; what was kept for them goes, too. */
                fail_all(c, &SD_BUS_ERROR_MAKE_CONST(BUS_ERROR_WRONG_STATE, "The service ends"));
                context_free(c);
        }
        hashmap_free(set->contexts);
        free(set);
        return NULL;
}

void contexts_forget(Contexts *set, Sandbox *s) {
        Context *c;

        if (!set)
                return;
        HASHMAP_FOREACH(c, set->contexts)
                if (c->sandbox == s)
                        drop(c);
}
