/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxctl/exec-stream.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/parse-util.h"
#include "libsandbox/sandbox-id.h"
#include "libsandbox/string-util.h"
#include "sandboxctl/base64.h"
#include "sandboxctl/sandbox-arguments.h"
#include "sandboxctl/sse.h"

/* The text of io.sandboxd.Error.CommandNotFound; the /sandbox dialect has no codes for its errors. */
#define MISSING_COMMAND "The command cannot be run"

/* Three requests at most run side by side: the output as server-sent events for as long as the command lives, its
 * input as one chunked upload from the moment its id is known, and the passing on of a signal. */
typedef struct ExecStream {
        Ctl *ctl;
        const ExecRequest *request;
        SseParser parser;
        Transfer *output, *input, *interrupt;
        int signal_fd;
        char command[40];        /* "" until the start event */
        unsigned n_signals;
        int last_signal;
        bool input_started, exited, abandoned;
        int status;
} ExecStream;

static void exec_stream_done(ExecStream *s) {
        transfer_free(s->output);
        transfer_free(s->input);
        transfer_free(s->interrupt);
        sse_done(&s->parser);
        safe_close(s->signal_fd);
}

static const int passed_signals[] = { SIGHUP, SIGINT, SIGTERM };

/* Without those that whoever started us wants to be ignored: nohup, a shell's background job. */
static void passed_signal_set(sigset_t *set) {
        sigemptyset(set);
        for (size_t i = 0; i < ELEMENTSOF(passed_signals); i++) {
                struct sigaction action;

                if (sigaction(passed_signals[i], NULL, &action) >= 0 && action.sa_handler != SIG_IGN)
                        sigaddset(set, passed_signals[i]);
        }
}

void exec_block_signals(void) {
        sigset_t set;

        passed_signal_set(&set);
        (void) sigprocmask(SIG_BLOCK, &set, NULL);
}

bool stdin_is_input(void) {
        struct stat st;

        if (fstat(STDIN_FILENO, &st) < 0 || isatty(STDIN_FILENO))
                return false;
        return !S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, 3);
}

json_t *exec_request_to_json(const Ctl *c, const ExecRequest *request) {
        _cleanup_json_ json_t *env = NULL, *command = json_array(), *body = NULL;

        env = json_from_assignments(c, request->env, /* environment= */ true);
        if (!env)
                return NULL;
        STRV_FOREACH(s, request->argv)
                if (json_array_append_new(command, json_string(*s)) < 0) {
                        (void) ctl_fail(c, EXIT_STATUS_USAGE, "a word of the command is not valid UTF-8");
                        return NULL;
                }
        body = json_pack("{s:O}", "command", command);
        if (!body || (json_object_size(env) > 0 && json_object_set(body, "env", env) < 0) ||
            json_set_text(body, "cwd", request->cwd) < 0 ||
            json_set_uint(body, "timeout", request->timeout_sec) < 0 ||
            json_set_text(body, "user", request->user) < 0 ||
            (request->stdin && json_object_set_new(body, "stdin", json_true()) < 0) ||
            (request->lossless && json_object_set_new(body, "lossless", json_true()) < 0)) {
                (void) ctl_fail(c, EXIT_STATUS_USAGE, "the directory is not valid UTF-8");
                return NULL;
        }
        return TAKE_PTR(body);
}

int output_event_write(const json_t *event, const char *key, int fd) {
        const json_t *data = json_object_get(event, key);
        _cleanup_free_ char *bytes = NULL;
        size_t size = json_string_length(data);
        int r;

        if (!json_is_string(data))
                return -EBADMSG;
        if (!streq(json_text(event, "encoding"), "base64"))
                return loop_write(fd, json_string_value(data), size);
        r = base64_decode(json_string_value(data), size, &bytes, &size);
        return r < 0 ? -EBADMSG : loop_write(fd, bytes, size);
}

/* The code is what a shell would say, or -1 for a command that was ended at its time limit or with its sandbox. */
static void on_exit_event(ExecStream *s, const json_t *event) {
        int64_t code = -1;

        (void) parse_i64(json_text(event, "data"), &code);
        s->exited = true;
        if (json_is_true(json_object_get(event, "timedOut")))
                s->status = EXIT_STATUS_TIMEOUT;
        else if (code < 0)
                s->status = ctl_fail(s->ctl, EXIT_STATUS_FAILURE, "%s: the command ended with its sandbox",
                                     s->request->sandbox);
        else
                s->status = (int) (code & 0xff);
        if (json_is_true(json_object_get(event, "oom")))
                ctl_warn(s->ctl, "%s: the sandbox was out of memory", s->request->sandbox);
}

static int on_event(const json_t *event, void *userdata) {
        ExecStream *s = userdata;
        const char *type = json_text(event, "type");
        bool output = streq(type, "stdout") || streq(type, "stderr");

        if (s->exited)
                return 0;
        if (s->ctl->json && (json_dumpf(event, stdout, JSON_COMPACT | JSON_ENSURE_ASCII) < 0 ||
                             fputc('\n', stdout) == EOF || fflush(stdout) == EOF))
                return -errno;
        if (output)
                return s->ctl->json ? 0 : output_event_write(event, "data", streq(type, "stdout") ? 1 : 2);
        if (streq(type, "start") && object_id_is_valid(json_text(event, "id"), "bg"))
                (void) strcpy(s->command, json_text(event, "id"));
        else if (streq(type, "exit"))
                on_exit_event(s, event);
        return 0;
}

static int on_output(const char *data, size_t n, void *userdata) {
        ExecStream *s = userdata;

        return sse_feed(&s->parser, data, n);
}

/* Also at its end and for what cannot be waited for, such as a regular file. */
static bool stdin_is_ready(void) {
        struct pollfd p = { .fd = STDIN_FILENO, .events = POLLIN };

        return poll(&p, 1, 0) > 0;
}

static ssize_t on_input(char *buffer, size_t n, _unused_ void *userdata) {
        ssize_t k;

        if (!stdin_is_ready())
                return -EAGAIN;
        k = read(STDIN_FILENO, buffer, n);
        return k >= 0 ? k : errno == EINTR ? -EAGAIN : -errno;
}

static int start_output(ExecStream *s) {
        _cleanup_free_ char *path = ctl_path("/sandboxes/%s/exec/stream?binary=1", s->request->sandbox);
        _cleanup_json_ json_t *body = exec_request_to_json(s->ctl, s->request);

        if (!body)
                return -EINVAL;
        if (!path)
                return -ENOMEM;
        return transfer_new(s->ctl->client, &(TransferSpec) {
                .method = "POST", .path = path, .body = body, .accept = "text/event-stream",
                .sink = on_output, .userdata = s,
        }, &s->output);
}

/* Chunked, since nobody knows how much will come; its end closes the command's input. */
static int start_input(ExecStream *s) {
        _cleanup_free_ char *path = ctl_path("/sandboxes/%s/exec/%s/stdin", s->request->sandbox, s->command);

        if (!path)
                return -ENOMEM;
        return transfer_new(s->ctl->client, &(TransferSpec) {
                .method = "POST", .path = path, .source = on_input, .source_size = UINT64_MAX, .userdata = s,
        }, &s->input);
}

static const char *signal_word(int signal) {
        return signal == SIGINT ? "INT" : signal == SIGHUP ? "HUP" : "TERM";
}

/* The first signal goes to the command, which may want to end in its own way; the second one is for us. The server
 * kills a command when the reader of its stream goes away. */
static int on_signal(ExecStream *s) {
        struct signalfd_siginfo info;
        _cleanup_free_ char *path = NULL;
        _cleanup_json_ json_t *body = NULL;

        if (read(s->signal_fd, &info, sizeof info) != (ssize_t) sizeof info)
                return 0;
        s->last_signal = (int) info.ssi_signo;
        if (++s->n_signals > 1 || !s->command[0]) {
                s->abandoned = true;
                return 0;
        }
        path = ctl_path("/sandboxes/%s/exec/%s/signal", s->request->sandbox, s->command);
        body = json_pack("{s:s}", "signal", signal_word(s->last_signal));
        if (!path || !body)
                return -ENOMEM;
        return transfer_new(s->ctl->client, &(TransferSpec) { .method = "POST", .path = path, .body = body },
                            &s->interrupt);
}

/* A command may end, or close its input, before it has read everything: only a lost connection is worth a word. */
static void check_input(ExecStream *s) {
        TransferResult result = {};

        if (!s->input || !transfer_is_done(s->input))
                return;
        if (transfer_result(s->input, &result) < 0 || result.status >= 500)
                ctl_warn(s->ctl, "%s: the input was not passed on whole: HTTP status %ld %s", s->request->sandbox,
                         result.status, result.status == 0 ? result.text : "");
        s->input = transfer_free(s->input);
}

/* One wait: starts what can be started by now, then looks at everything that may have happened. */
static int step(ExecStream *s) {
        struct pollfd watched[2] = { { .fd = s->signal_fd } };
        size_t n = 1;
        int r;

        if (s->request->stdin && s->command[0] && !s->input_started) {
                s->input_started = true;
                r = start_input(s);
                if (r < 0)
                        return r;
        }
        if (s->input && transfer_is_paused(s->input))
                watched[n++].fd = STDIN_FILENO;

        r = client_wait(s->ctl->client, watched, n);
        if (r < 0)
                return r;
        /* Not by revents: libcurl does not pass on that the writer of a pipe hung up. */
        if (s->input && transfer_is_paused(s->input) && stdin_is_ready())
                transfer_resume(s->input);
        check_input(s);
        /* Not by its revents either: a command that never stops talking leaves no time for a wait. */
        return on_signal(s);
}

/* As a shell would end; a command that is given word by word is looked up by the server. */
static int status_of_failed_start(const TransferResult *result, int fallback) {
        _cleanup_json_ json_t *reply = json_loadb(result->text, result->size, 0, NULL);
        const char *text = json_text(reply, "error");

        if (result->status != 400 || !startswith(text, MISSING_COMMAND))
                return fallback;
        return strstr(text, strerror(ENOENT)) ? EXIT_STATUS_NO_COMMAND : EXIT_STATUS_NOT_EXECUTABLE;
}

/* A status that came counts, whatever happened to the connection behind it; nothing is made up for one that did not. */
static int finish(ExecStream *s, int r) {
        TransferResult result = {};

        if (s->exited)
                return s->status;
        if (r >= 0 && s->abandoned)
                return EXIT_STATUS_SIGNAL + s->last_signal;
        if (r >= 0)
                r = transfer_result(s->output, &result);
        /* Whoever read our output has gone, as in "sandboxctl exec ... | head". */
        if (r == -EPIPE)
                return EXIT_STATUS_SIGNAL + SIGPIPE;
        if (r < 0 || result.status < 200 || result.status > 299) {
                /* What is wrong with the request is the command, most of the time. */
                int status = ctl_fail_transfer(s->ctl, result.status == 400 ? s->request->argv[0] : s->request->sandbox,
                                               r, &result);

                return r < 0 ? status : status_of_failed_start(&result, status);
        }
        return ctl_fail(s->ctl, EXIT_STATUS_CONNECTION, "%s: the stream ended before the command did",
                        s->request->sandbox);
}

int exec_stream(Ctl *c, const ExecRequest *request) {
        _cleanup_(exec_stream_done) ExecStream s = { .ctl = c, .request = request, .signal_fd = -EBADF };
        sigset_t set;
        int r;

        s.parser = (SseParser) { .handler = on_event, .userdata = &s };
        r = ctl_connect(c);
        if (r != EXIT_STATUS_OK)
                return r;
        exec_block_signals();
        passed_signal_set(&set);
        s.signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
        if (s.signal_fd < 0)
                return ctl_fail(c, EXIT_STATUS_FAILURE, "failed to wait for signals: %m");

        r = start_output(&s);
        if (r == -EINVAL)
                return EXIT_STATUS_OWN;
        while (r >= 0 && !s.exited && !s.abandoned && !transfer_is_done(s.output))
                r = step(&s);
        return finish(&s, r);
}
