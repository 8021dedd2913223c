/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/api.h"

#include <errno.h>
#include <signal.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/fd-util.h"
#include "libsandbox/log.h"
#include "libsandbox/string-util.h"
#include "sandboxd/removal.h"

/* What all handlers share: finding the object that a path names, and the life of a request that waits for the bus.
 * A handler never blocks: it makes an ApiCall, sends a message with api_call_done() as its callback and returns 1. The
 * client may go away at any moment in between, the call goes on without it: its effect on the record (on_reply) is
 * wanted all the same, only the answer is not. */

int api_get_sandbox(Request *request, SandboxNeed need, Sandbox **ret, sd_bus_error *error) {
        Manager *m = request_userdata(request);
        const char *id = request_path_value(request, "id");
        Sandbox *s = id ? manager_find_sandbox(m, id) : NULL;

        if (!s)
                return bus_error_set(error, BUS_ERROR_NO_SUCH_SANDBOX, "Sandbox not found: %s", id ?: "");
        request_set_sandbox(request, s->id);
        if (need != NEED_ANY && s->elsewhere)
                return bus_error_set(error, BUS_ERROR_WRONG_STATE, "Sandbox is at another worker: %s", s->worker);
        if ((need == NEED_LIVE && !sandbox_is_live(s)) || (need == NEED_RUNNING && s->state != SANDBOX_RUNNING))
                return bus_error_set(error, BUS_ERROR_WRONG_STATE, "Sandbox is not running: %s",
                                     sandbox_state_to_string(s->state));
        *ret = s;
        return 0;
}

int api_get_background(Request *request, Command **ret, sd_bus_error *error) {
        Manager *m = request_userdata(request);
        const char *id = request_path_value(request, "id");
        Command *c = id ? manager_find_command(m, id) : NULL;

        if (!c || c->kind != COMMAND_BACKGROUND || c->sandbox->leaving)
                return bus_error_set(error, BUS_ERROR_NO_SUCH_COMMAND, "Background exec not found: %s", id ?: "");
        *ret = c;
        return 0;
}

int api_get_command(Request *request, Sandbox **ret_sandbox, Command **ret, sd_bus_error *error) {
        const char *id = request_path_value(request, "command");
        Command *c;
        int r;

        r = api_get_sandbox(request, NEED_LIVE, ret_sandbox, error);
        if (r < 0)
                return r;
        c = manager_find_command(request_userdata(request), id ?: "");
        if (!c || c->sandbox != *ret_sandbox)
                return bus_error_set(error, BUS_ERROR_NO_SUCH_COMMAND, "Command not found: %s", id ?: "");
        if (!command_is_live(c))
                return bus_error_set(error, BUS_ERROR_WRONG_STATE, "Command is not running: %s", id);
        *ret = c;
        return 0;
}

static void on_client_gone(Request *request, void *userdata) {
        ApiCall *call = userdata;

        (void) request;
        call->request = NULL;
}

ApiCall *api_call_new(Request *request, Sandbox *s) {
        ApiCall *call = new0(ApiCall, 1);

        if (call) {
                *call = (ApiCall) { .request = request, .manager = request_userdata(request),
                                    .sandbox = sandbox_ref(s), .fd = -EBADF,
                                    .use = idempotency_use_ref(request_guard_data(request)) };
                request_on_gone(request, on_client_gone, call);
        }
        return call;
}

ApiCall *api_call_free(ApiCall *call) {
        if (call) {
                if (call->request)
                        request_on_gone(call->request, NULL, NULL);
                if (call->free_data)
                        call->free_data(call->data);
                safe_close(call->fd);
                idempotency_use_unref(call->use);
                sandbox_unref(call->sandbox);
                free(call);
        }
        return NULL;
}

Request *api_call_take_request(ApiCall *call, const sd_bus_error *error) {
        Request *request = TAKE_PTR(call->request);

        if (!request)
                return NULL;
        request_on_gone(request, NULL, NULL);
        if (!error)
                return request;
        (void) request_reply_error(request, error);
        return NULL;
}

void api_call_fail(ApiCall *call, const sd_bus_error *error) {
        (void) api_call_take_request(call, error);
        api_call_free(call);
}

void api_reply_failure(Request *request, const sd_bus_error *error, int r) {
        (void) (sd_bus_error_is_set(error) ? request_reply_error(request, error) : request_reply_errno(request, r));
}

/* execd does not know a sandbox of ours: it ended while nobody listened. */
static void check_lost(ApiCall *call, const sd_bus_error *error) {
        if (call->sandbox && sd_bus_error_has_name(error, BUS_ERROR_NO_SUCH_SANDBOX))
                removal_on_gone(call->manager, call->sandbox->id, "init-died");
}

void api_call_done(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        _cleanup_(sd_bus_error_free) sd_bus_error own = SD_BUS_ERROR_NULL;
        _cleanup_(api_call_freep) ApiCall *call = userdata;
        Request *request;
        int r;

        if (call->on_reply)
                call->on_reply(call, reply, error);
        if (error)
                check_lost(call, error);
        if (!call->request)
                return;
        if (error) {
                api_call_fail(TAKE_PTR(call), error);
                return;
        }

        request = call->request;
        request_on_gone(request, NULL, NULL);
        r = call->answer(call, reply, &own);
        call->request = NULL;
        if (r < 0)
                api_reply_failure(request, &own, r);
}

int api_unavailable(int r, sd_bus_error *error) {
        if (r == -EHOSTDOWN)
                return bus_error_set(error, BUS_ERROR_UNAVAILABLE, "A service is not available; please try again.");
        return r;
}

int api_call_sent(ApiCall **call, int r, sd_bus_error *error) {
        if (r < 0)
                return api_unavailable(r, error);
        *call = NULL;
        return 1;
}

int api_ask_execd(Request *request, const char *method, ApiAnswer answer, sd_bus_error *error) {
        _cleanup_(api_call_freep) ApiCall *call = NULL;
        Sandbox *s;
        int r;

        r = api_get_sandbox(request, NEED_LIVE, &s, error);
        if (r < 0)
                return r;
        call = api_call_new(request, s);
        if (!call)
                return -ENOMEM;
        call->answer = answer;
        r = execd_call(call->manager->execd, method, s->id, api_call_done, call);
        return api_call_sent(&call, r, error);
}

int api_with_input(Request *request, const ApiInput *route, void *input, sd_bus_error *error) {
        int r;

        r = json_fields_read(request_input(request), route->fields, route->n_fields, input, error);
        if (r >= 0)
                r = route->handler(request, input, error);
        json_fields_done(route->fields, route->n_fields, input);
        return r;
}

int api_reply_success(Request *request) {
        return request_reply_json(request, 200, json_pack("{s:b}", "success", 1));
}

int api_answer_success(ApiCall *call, sd_bus_message *reply, sd_bus_error *error) {
        (void) reply;
        (void) error;
        return api_reply_success(call->request);
}

static const struct {
        const char *name;
        int number;
} signals[] = {
        { "CONT", SIGCONT }, { "HUP",  SIGHUP  }, { "INT",  SIGINT  }, { "KILL", SIGKILL }, { "QUIT", SIGQUIT },
        { "STOP", SIGSTOP }, { "TERM", SIGTERM }, { "USR1", SIGUSR1 }, { "USR2", SIGUSR2 }, { "WINCH", SIGWINCH },
};

int api_parse_signal(const char *name, int *ret, sd_bus_error *error) {
        _cleanup_free_ char *shown = NULL;
        const char *rest = startswith(name, "SIG");

        for (size_t i = 0; i < ELEMENTSOF(signals); i++)
                if (streq(signals[i].name, rest ?: name)) {
                        *ret = signals[i].number;
                        return 0;
                }
        shown = utf8_sanitize(name, strnlen(name, 64));
        return bus_error_set(error, BUS_ERROR_INVALID,
                             "Invalid signal: %s. Allowed: TERM, KILL, INT, HUP, USR1, USR2, STOP, CONT",
                             shown ?: "");
}
