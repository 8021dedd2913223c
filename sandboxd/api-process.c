/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "sandboxd/api.h"

/* Processes by the numbers that they have inside. Names come from the sandbox: they are hostile text, made valid UTF-8
 * here and escaped by the JSON encoder. */

/* A row of Processes(); numbers are those inside. */
typedef struct Process {
        uint32_t pid, uid;
        uint64_t cpu_usec, rss, vsz;
        const char *state, *command;
} Process;

typedef json_t *(*ProcessToJson)(const Process *p, const Sandbox *s);

/* What it used of the sandbox's whole life: there is no time of its own start to divide by. */
static void format_cpu(const Process *p, const Sandbox *s, char ret[32]) {
        uint64_t now = now_usec(CLOCK_REALTIME) / USEC_PER_MSEC;
        uint64_t age = now > s->created_msec ? now - s->created_msec : 0;

        snprintf(ret, 32, "%.1f", (double) p->cpu_usec / 10.0 / (double) MAX(age, UINT64_C(1)));
}

static void format_memory(const Process *p, const Sandbox *s, char ret[32]) {
        uint64_t limit;
        double cpu;

        sandbox_get_limits(s, &limit, &cpu);
        snprintf(ret, 32, "%.1f", limit > 0 ? (double) p->rss * 100.0 / (double) limit : 0.0);
}

static json_t *clean_string(const char *text) {
        _cleanup_free_ char *clean = utf8_sanitize(text, strlen(text));

        return json_string(clean ?: "");
}

static json_t *process_to_info(const Process *p, const Sandbox *s) {
        char cpu[32], memory[32], user[16] = "root";

        format_cpu(p, s, cpu);
        format_memory(p, s, memory);
        if (p->uid != 0)
                snprintf(user, sizeof user, "%u", p->uid);
        return json_pack("{s:I, s:s, s:s, s:s, s:o, s:s}", "pid", (json_int_t) p->pid, "user", user, "cpu", cpu,
                         "memory", memory, "command", clean_string(p->command), "state", p->state);
}

static json_t *process_to_top(const Process *p, const Sandbox *s) {
        char cpu[32], memory[32];

        format_cpu(p, s, cpu);
        format_memory(p, s, memory);
        return json_pack("{s:I, s:s, s:s, s:I, s:I, s:o}", "pid", (json_int_t) p->pid, "cpu", cpu, "mem", memory,
                         "vsz", (json_int_t) (p->vsz / KiB), "rss", (json_int_t) (p->rss / KiB), "command",
                         clean_string(p->command));
}

static int answer_processes(ApiCall *call, sd_bus_message *reply, ProcessToJson to_json) {
        _cleanup_(json_decrefp) json_t *processes = json_array();
        Process p;
        int r;

        r = sd_bus_message_enter_container(reply, 'a', "(uusttts)");
        while (r >= 0 && (r = sd_bus_message_read(reply, "(uusttts)", &p.pid, &p.uid, &p.state, &p.cpu_usec, &p.rss,
                                                  &p.vsz, &p.command)) > 0)
                if (json_array_append_new(processes, to_json(&p, call->sandbox)) < 0)
                        return -ENOMEM;
        if (r < 0)
                return r;
        return request_reply_json(call->request, 200, json_pack("{s:O}", "processes", processes));
}

static int answer_list(ApiCall *call, sd_bus_message *reply, sd_bus_error *error) {
        (void) error;
        return answer_processes(call, reply, process_to_info);
}

static int answer_top(ApiCall *call, sd_bus_message *reply, sd_bus_error *error) {
        (void) error;
        return answer_processes(call, reply, process_to_top);
}

int api_process_list(Request *request, sd_bus_error *error) {
        return api_ask_execd(request, "Processes", answer_list, error);
}

int api_process_top(Request *request, sd_bus_error *error) {
        return api_ask_execd(request, "Processes", answer_top, error);
}

/* A process may have ended while the client looked at it. */
void api_process_told(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        bool missed = error && sd_bus_error_has_name(error, BUS_ERROR_NO_SUCH_PROCESS);

        api_call_done(reply, missed ? NULL : error, userdata);
}

typedef struct KillInput {
        int64_t pid;
        char *signal;
} KillInput;

static const JsonField kill_fields[] = {
        { "pid",    JSON_FIELD_INT,    offsetof(KillInput, pid),    JSON_FIELD_MANDATORY, 2, 4194304, "inside" },
        { "signal", JSON_FIELD_STRING, offsetof(KillInput, signal), 0, 0, 16, "default: TERM" },
};
const JsonTable process_kill_table = JSON_TABLE(kill_fields);

static int answer_killed(ApiCall *call, sd_bus_message *reply, sd_bus_error *error) {
        (void) reply;
        (void) error;
        return request_reply_json(call->request, 200, json_pack("{s:I, s:s}", "killed", (json_int_t) call->number,
                                                                "signal", (char *) call->data));
}

static int send_kill(Request *request, void *userdata, sd_bus_error *error) {
        _cleanup_(api_call_freep) ApiCall *call = NULL;
        const KillInput *input = userdata;
        int signo, r;
        Sandbox *s;

        r = api_get_sandbox(request, NEED_LIVE, &s, error);
        if (r >= 0)
                r = api_parse_signal(input->signal ?: "TERM", &signo, error);
        if (r < 0)
                return r;
        call = api_call_new(request, s);
        if (!call)
                return -ENOMEM;
        call->answer = answer_killed;
        call->number = input->pid;
        call->data = strdup(input->signal ?: "TERM");
        call->free_data = free;
        r = execd_kill_process(call->manager->execd, s->id, (uint32_t) input->pid, signo, api_process_told, call);
        return api_call_sent(&call, r, error);
}

int api_process_kill(Request *request, sd_bus_error *error) {
        static const ApiInput route = { kill_fields, ELEMENTSOF(kill_fields), send_kill };

        return api_with_input(request, &route, &(KillInput) {}, error);
}
