/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "sandboxd/api.h"
#include "sandboxd/create-input.h"
#include "sandboxd/create.h"
#include "sandboxd/exchange.h"
#include "sandboxd/json-fields.h"
#include "sandboxd/removal.h"
#include "sandboxd/sandbox-event.h"

/* The life of a sandbox. Whatever changes it asks execd first and writes the record when execd has answered: the
 * record never claims what has not happened. */

#define RENEW_MIN_MSEC (UINT64_C(60) * 1000)
#define RENEW_MAX_MSEC (UINT64_C(24) * 3600 * 1000)

static int reply_sandbox(Request *request, const Sandbox *s) {
        return request_reply_json(request, 200, sandbox_to_json(request_userdata(request), s));
}

/* Inside the transaction that writes the first record of a sandbox that is made: both are there or none. One that is
 * taken out of the pool has its label instead. */
static void on_named(const char *public_id, void *userdata) {
        const ApiCall *call = userdata;

        (void) idempotency_note_object(call->use, public_id);
}

/* The entrypoint also starts when the client has gone: the sandbox is there and will be found in the list. */
static void on_created(Sandbox *s, const sd_bus_error *error, void *userdata) {
        _cleanup_(api_call_freep) ApiCall *call = userdata;
        Request *request;

        if (s && s->entrypoint)
                api_start_entrypoint(call->manager, s);
        request = api_call_take_request(call, s ? NULL : error);
        if (!request)
                return;
        request_set_sandbox(request, s->id);
        (void) reply_sandbox(request, s);
}

int api_sandbox_create(Request *request, sd_bus_error *error) {
        Manager *m = request_userdata(request);
        _cleanup_(create_input_done) CreateInput input = {};
        _cleanup_(json_decrefp) json_t *wanted = NULL;
        _cleanup_(api_call_freep) ApiCall *call = NULL;
        int r;

        r = api_apply_template(request, &wanted, error);
        if (r >= 0)
                r = create_input_read(wanted, &m->settings, &input, error);
        if (r < 0)
                return r;
        call = api_call_new(request, NULL);
        if (!call)
                return -ENOMEM;

        r = create_start(m, &(CreateRequest) {
                        .name = input.name, .image = input.image, .config = create_input_config(&input),
                        .metadata = json_incref(input.metadata), .entrypoint = json_incref(input.entrypoint),
                        .secrets = json_incref(input.secrets),
                        .timeout_sec = (uint64_t) input.timeout, .network = input.network,
                        .on_named = call->use ? on_named : NULL }, on_created, call, error);
        return api_call_sent(&call, r, error);
}

int api_sandbox_get(Request *request, sd_bus_error *error) {
        Sandbox *s;
        int r;

        r = api_get_sandbox(request, NEED_ANY, &s, error);
        return r < 0 ? r : reply_sandbox(request, s);
}

static void on_removed(const sd_bus_error *error, void *userdata) {
        _cleanup_(api_call_freep) ApiCall *call = userdata;
        Request *request = api_call_take_request(call, error);

        if (request)
                (void) api_reply_success(request);
}

int api_sandbox_delete(Request *request, sd_bus_error *error) {
        Manager *m = request_userdata(request);
        _cleanup_(api_call_freep) ApiCall *call = NULL;
        Sandbox *s;
        int r;

        r = api_get_sandbox(request, NEED_ANY, &s, error);
        if (r < 0)
                return r;
        if (s->state == SANDBOX_CREATING)
                return bus_error_set(error, BUS_ERROR_WRONG_STATE, "Sandbox is being created");
        call = api_call_new(request, s);
        if (!call)
                return -ENOMEM;
        r = removal_start(m, s, COUNTER_KILLED, on_removed, call);
        return api_call_sent(&call, r, error);
}

/* A repeated call may find its work done: WrongState then says that all is as it was wished. */
static void on_frozen_or_thawed(ApiCall *call, sd_bus_message *reply, const sd_bus_error *error) {
        if (call->sandbox->leaving)
                return; /* its record may be gone already and must not come back */
        if (!reply && !sd_bus_error_has_name(error, BUS_ERROR_WRONG_STATE))
                return;
        if (call->sandbox->state != (SandboxState) call->number) {
                (void) manager_set_state(call->manager, call->sandbox, (SandboxState) call->number);
                sandbox_event(call->manager, call->number == SANDBOX_PAUSED ? EVENT_PAUSED : EVENT_RESUMED,
                              call->sandbox);
                if (call->number == SANDBOX_PAUSED)
                        exchanges_end_sandbox(call->manager->exchanges, call->sandbox, "The sandbox was paused");
        }
}

static int answer_sandbox(ApiCall *call, sd_bus_message *reply, sd_bus_error *error) {
        (void) reply;
        if (call->sandbox->leaving)
                return bus_error_set(error, BUS_ERROR_NO_SUCH_SANDBOX, "Sandbox not found: %s",
                                     call->sandbox->public_id);
        return reply_sandbox(call->request, call->sandbox);
}

static int change_state(Request *request, const char *member, SandboxState to, sd_bus_error *error) {
        _cleanup_(api_call_freep) ApiCall *call = NULL;
        Sandbox *s;
        int r;

        r = api_get_sandbox(request, to == SANDBOX_PAUSED ? NEED_RUNNING : NEED_ANY, &s, error);
        if (r < 0)
                return r;
        if (to == SANDBOX_RUNNING && s->state != SANDBOX_PAUSED)
                return bus_error_set(error, BUS_ERROR_WRONG_STATE, "Sandbox is not paused: %s",
                                     sandbox_state_to_string(s->state));
        call = api_call_new(request, s);
        if (!call)
                return -ENOMEM;
        call->on_reply = on_frozen_or_thawed;
        call->answer = answer_sandbox;
        call->number = to;
        r = execd_call(call->manager->execd, member, s->id, api_call_done, call);
        return api_call_sent(&call, r, error);
}

int api_sandbox_pause(Request *request, sd_bus_error *error) {
        return change_state(request, "Pause", SANDBOX_PAUSED, error);
}

int api_sandbox_resume(Request *request, sd_bus_error *error) {
        return change_state(request, "Resume", SANDBOX_RUNNING, error);
}

typedef struct RenewInput {
        int64_t expires_at;
} RenewInput;

static const JsonField renew_fields[] = {
        { "expiresAt", JSON_FIELD_INT, offsetof(RenewInput, expires_at), JSON_FIELD_MANDATORY, 0, 0,
          "milliseconds since the epoch; between one minute and one day from now" },
};
const JsonTable sandbox_renew_table = JSON_TABLE(renew_fields);

static void on_renewed(ApiCall *call, sd_bus_message *reply, const sd_bus_error *error) {
        (void) error;
        if (!reply || call->sandbox->leaving)
                return;
        sandbox_set_expiry(call->sandbox, (uint64_t) call->number);
        (void) manager_save_sandbox(call->manager, call->sandbox);
        removal_arm_timer(call->manager);
        sandbox_event(call->manager, EVENT_RENEWED, call->sandbox);
}

int api_sandbox_renew(Request *request, sd_bus_error *error) {
        uint64_t now = now_usec(CLOCK_REALTIME) / USEC_PER_MSEC, expires;
        _cleanup_(api_call_freep) ApiCall *call = NULL;
        RenewInput input = {};
        Sandbox *s;
        int r;

        r = api_get_sandbox(request, NEED_LIVE, &s, error);
        if (r >= 0)
                r = json_fields_read(request_input(request), renew_fields, ELEMENTSOF(renew_fields), &input, error);
        if (r < 0)
                return r;
        expires = input.expires_at > 0 ? (uint64_t) input.expires_at : 0;
        expires = CLAMP(expires, now + RENEW_MIN_MSEC, now + RENEW_MAX_MSEC);

        call = api_call_new(request, s);
        if (!call)
                return -ENOMEM;
        call->on_reply = on_renewed;
        call->answer = answer_sandbox;
        call->number = (int64_t) expires;
        r = execd_set_deadline(call->manager->execd, s->id,
                               now_usec(CLOCK_BOOTTIME) + (expires - now) * USEC_PER_MSEC, api_call_done, call);
        return api_call_sent(&call, r, error);
}

#define IO_BPS_MIN (64.0 * 1024)
#define IO_BPS_MAX (64.0 * 1024 * 1024 * 1024)

typedef struct LimitsInput {
        int64_t memory, pids, io_read_bps, io_write_bps;
        double cpu;
} LimitsInput;

static const JsonField limits_fields[] = {
        { "cpu",        JSON_FIELD_NUMBER, offsetof(LimitsInput, cpu),          0, 0.05, 64,              "processors" },
        { "ioReadBps",  JSON_FIELD_INT,    offsetof(LimitsInput, io_read_bps),  0, IO_BPS_MIN, IO_BPS_MAX,
          "bytes a second read from the store's disk" },
        { "ioWriteBps", JSON_FIELD_INT,    offsetof(LimitsInput, io_write_bps), 0, IO_BPS_MIN, IO_BPS_MAX,
          "bytes a second written to it" },
        { "memory",     JSON_FIELD_INT,    offsetof(LimitsInput, memory),       0, 64, 4096,              "MiB" },
        { "pids",       JSON_FIELD_INT,    offsetof(LimitsInput, pids),         0, 8, 4096,               "processes" },
};
const JsonTable sandbox_limits_table = JSON_TABLE(limits_fields);

/* Only what was asked for, now that it is in force: the config shows what the kernel has. */
static void on_limited(ApiCall *call, sd_bus_message *reply, const sd_bus_error *error) {
        json_t *wanted = call->data, *value;
        const char *key;

        (void) error;
        if (!reply || call->sandbox->leaving)
                return;
        json_object_foreach(wanted, key, value)
                (void) json_object_set(call->sandbox->config, key, value);
        (void) manager_save_sandbox(call->manager, call->sandbox);
        sandbox_event(call->manager, EVENT_LIMITED, call->sandbox);
}

static void free_json(void *data) {
        json_decref(data);
}

/* 0 stands for "was not said", since no limit may be 0. */
static json_t *limits_to_json(const LimitsInput *input) {
        json_t *object = json_object();

        if (input->memory > 0)
                (void) json_object_set_new(object, "memory", json_integer(input->memory));
        if (input->cpu > 0)
                (void) json_object_set_new(object, "cpu", json_real(input->cpu));
        if (input->pids > 0)
                (void) json_object_set_new(object, "pids", json_integer(input->pids));
        if (input->io_read_bps > 0)
                (void) json_object_set_new(object, "ioReadBps", json_integer(input->io_read_bps));
        if (input->io_write_bps > 0)
                (void) json_object_set_new(object, "ioWriteBps", json_integer(input->io_write_bps));
        return object;
}

int api_sandbox_limits(Request *request, sd_bus_error *error) {
        _cleanup_(api_call_freep) ApiCall *call = NULL;
        LimitsInput input = {};
        Sandbox *s;
        int r;

        r = api_get_sandbox(request, NEED_LIVE, &s, error);
        if (r >= 0)
                r = json_fields_read(request_input(request), limits_fields, ELEMENTSOF(limits_fields), &input, error);
        if (r < 0)
                return r;
        if (input.memory == 0 && input.pids == 0 && input.cpu == 0 && input.io_read_bps == 0 && input.io_write_bps == 0)
                return bus_error_set(error, BUS_ERROR_INVALID,
                                     "memory, cpu, pids, ioReadBps or ioWriteBps is required");

        call = api_call_new(request, s);
        if (!call)
                return -ENOMEM;
        call->on_reply = on_limited;
        call->answer = answer_sandbox;
        call->data = limits_to_json(&input);
        call->free_data = free_json;
        r = execd_set_limits(call->manager->execd, s->id, &(SandboxLimits) {
                        .memory_max_bytes = (uint64_t) input.memory * MiB, .pids_max = (uint32_t) input.pids,
                        .cpu_quota_usec = (uint64_t) (input.cpu * (double) USEC_PER_SEC),
                        .io_read_bps = (uint64_t) input.io_read_bps,
                        .io_write_bps = (uint64_t) input.io_write_bps }, api_call_done, call);
        return api_call_sent(&call, r, error);
}
