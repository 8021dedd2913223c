/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxctl/terminal.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/parse-util.h"
#include "libsandbox/sandbox-id.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "sandboxctl/escape.h"
#include "sandboxctl/tty.h"

/* Output is one long response. We count its bytes, so that when it breaks, the next one goes on behind the last byte that
 * we wrote, whatever became of the server meanwhile. Keys are requests, one at a time. One that got no answer is not
 * sent again: a key lost is seen and typed again, a command line run twice may be the worse. */

#define KEYS_MAX 4096U
/* What a screen may need to be drawn again. */
#define REPLAY_BYTES (64U * 1024)
#define RETRY_FIRST_USEC (20 * USEC_PER_MSEC)
#define RETRY_LAST_USEC USEC_PER_SEC
#define RETRY_MAX_USEC (60 * USEC_PER_SEC)

typedef enum Ending {
        ENDING_NONE,
        ENDING_EXITED,
        ENDING_LOST,     /* with its sandbox */
        ENDING_DETACHED,
        ENDING_TAKEN,    /* another one attached */
        ENDING_SIGNAL,
        ENDING_GONE,     /* nobody knows it any more */
        ENDING_BROKEN,   /* no server for too long */
        ENDING_OWN,      /* we failed */
} Ending;

typedef struct Session {
        Ctl *ctl;
        const TerminalAttach *attach;
        SandboxId holder;
        Transfer *stream, *input, *resize;
        bool began;              /* the first byte of this response was seen */
        bool attached;           /* one response began: only what is left of it is wanted */
        uint64_t offset;         /* behind the last byte that was written */
        Escape escape;
        char keys[KEYS_MAX + 1], sending[KEYS_MAX + 1];
        size_t n_keys, n_sending;
        bool resize_due, redraw_due;
        int signal_fd, timer_fd;
        uint64_t retry_usec, broken_usec;
        Ending ending;
        int status;              /* of the command, a signal's number, or an errno */
} Session;

static void session_done(Session *s) {
        transfer_free(s->stream);
        transfer_free(s->input);
        transfer_free(s->resize);
        safe_close(s->signal_fd);
        safe_close(s->timer_fd);
}

static const int watched_signals[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGWINCH };

static void signal_set(sigset_t *set) {
        sigemptyset(set);
        for (size_t i = 0; i < ELEMENTSOF(watched_signals); i++)
                sigaddset(set, watched_signals[i]);
}

void terminal_block_signals(void) {
        sigset_t set;

        signal_set(&set);
        (void) sigprocmask(SIG_BLOCK, &set, NULL);
}

static char *path_of(const Session *s, const char *rest) {
        return ctl_path("/sandboxes/%s/terminals/%s%s", s->attach->sandbox, s->attach->terminal, rest);
}

/* Says where this response begins; not where we asked for if what we missed was not kept. */
static void note_begin(Session *s) {
        const char *text = transfer_header(s->stream, "X-Terminal-Offset");
        uint64_t offset;

        s->began = true;
        s->broken_usec = s->retry_usec = 0;
        if (!text || parse_u64(text, &offset) < 0)
                return;
        if (s->attached && offset > s->offset)
                (void) dprintf(STDERR_FILENO, "\r\n[%" PRIu64 " bytes were not kept]\r\n", offset - s->offset);
        s->offset = offset;
        s->attached = true;
}

static int on_output(const char *data, size_t n, void *userdata) {
        Session *s = userdata;

        if (!s->began)
                note_begin(s);
        s->offset += n;
        return loop_write(STDOUT_FILENO, data, n);
}

static int start_stream(Session *s) {
        _cleanup_free_ char *path = NULL, *query = NULL;
        int n;

        if (s->attached)
                n = asprintf(&query, "/stream?holder=%s&resume=1&offset=%" PRIu64, s->holder.digits, s->offset);
        else if (s->attach->fresh)
                n = asprintf(&query, "/stream?holder=%s&offset=0", s->holder.digits);
        else
                n = asprintf(&query, "/stream?holder=%s&tail=%u", s->holder.digits, REPLAY_BYTES);
        if (n < 0)
                return -ENOMEM;
        path = path_of(s, query);
        if (!path)
                return -ENOMEM;
        s->began = false;
        return transfer_new(s->ctl->client, &(TransferSpec) { .method = "GET", .path = path,
                                                              .accept = "application/octet-stream",
                                                              .sink = on_output, .userdata = s }, &s->stream);
}

static int start_input(Session *s) {
        _cleanup_free_ char *path = path_of(s, "/input");

        if (!path)
                return -ENOMEM;
        memcpy(s->sending, s->keys, s->n_keys);
        s->n_sending = s->n_keys;
        s->n_keys = 0;
        return transfer_new(s->ctl->client, &(TransferSpec) { .method = "POST", .path = path, .raw = s->sending,
                                                              .raw_size = s->n_sending }, &s->input);
}

/* The kernel tells the programs inside only of a size that is another one: who attaches asks for another one first, so
 * that what fills the screen is drawn anew. */
static int start_resize(Session *s) {
        _cleanup_free_ char *path = path_of(s, "/resize");
        _cleanup_json_ json_t *body = NULL;
        TtySize size = tty_size();

        if (s->redraw_due)
                size.rows = size.rows > 1 ? size.rows - 1 : 2;
        else
                s->resize_due = false;
        s->redraw_due = false;
        body = json_pack("{s:i, s:i}", "rows", (int) size.rows, "cols", (int) size.columns);
        if (!path || !body)
                return -ENOMEM;
        return transfer_new(s->ctl->client, &(TransferSpec) { .method = "POST", .path = path, .body = body },
                            &s->resize);
}

static void end_by(Session *s, Ending ending, int status) {
        if (s->ending != ENDING_NONE)
                return;
        s->ending = ending;
        s->status = status;
}

static void wait_and_retry(Session *s) {
        uint64_t now = now_usec(CLOCK_MONOTONIC);
        struct itimerspec spec = {};

        if (s->broken_usec == 0)
                s->broken_usec = now;
        if (now - s->broken_usec > RETRY_MAX_USEC) {
                end_by(s, ENDING_BROKEN, 0);
                return;
        }
        s->retry_usec = s->retry_usec == 0 ? RETRY_FIRST_USEC : MIN(s->retry_usec * 2, RETRY_LAST_USEC);
        spec.it_value.tv_sec = (time_t) (s->retry_usec / USEC_PER_SEC);
        spec.it_value.tv_nsec = (long) (s->retry_usec % USEC_PER_SEC * 1000);
        (void) timerfd_settime(s->timer_fd, 0, &spec, NULL);
}

/* The response was whole, so there is something to know. */
static void ask_why(Session *s) {
        _cleanup_free_ char *path = path_of(s, "");
        _cleanup_(transfer_freep) Transfer *t = NULL;
        _cleanup_json_ json_t *reply = NULL;
        TransferResult result = {};
        int r = -ENOMEM;

        if (path)
                r = transfer_new(s->ctl->client, &(TransferSpec) { .method = "GET", .path = path }, &t);
        if (r >= 0)
                r = transfer_finish(t, &result);
        if (r < 0 || result.status >= 500) {
                wait_and_retry(s);
                return;
        }
        reply = json_loadb(result.text, result.size, 0, NULL);
        if (result.status != 200)
                end_by(s, ENDING_GONE, 0);
        else if (!streq(json_text(reply, "status"), "running"))
                end_by(s, json_int(reply, "exitCode") < 0 ? ENDING_LOST : ENDING_EXITED,
                       (int) json_int(reply, "exitCode"));
        else if (!streq(json_text(reply, "holder"), s->holder.digits))
                end_by(s, ENDING_TAKEN, 0);
        else
                wait_and_retry(s); /* what came next was not kept */
}

static void check_stream(Session *s) {
        TransferResult result = {};
        int r;

        if (!s->stream || !transfer_is_done(s->stream))
                return;
        r = transfer_result(s->stream, &result);
        if (!s->began && r >= 0 && result.status == 200)
                note_begin(s);
        s->stream = transfer_free(s->stream);
        if (r == -ECONNREFUSED || r == -ECONNRESET || (r >= 0 && result.status >= 500))
                wait_and_retry(s);
        else if (r < 0)
                end_by(s, ENDING_OWN, -r);
        else if (result.status == 409)
                end_by(s, ENDING_TAKEN, 0);
        else if (result.status != 200)
                end_by(s, ENDING_GONE, 0);
        else
                ask_why(s);
}

/* Nobody had it yet: it is typed again, before what was typed since. */
static void put_back(Session *s) {
        size_t n = MIN(s->n_sending, KEYS_MAX - s->n_keys);

        memmove(s->keys + n, s->keys, s->n_keys);
        memcpy(s->keys, s->sending, n);
        s->n_keys += n;
}

static void check_requests(Session *s) {
        TransferResult result = {};

        if (s->input && transfer_is_done(s->input)) {
                if (transfer_result(s->input, &result) == -ECONNREFUSED) {
                        put_back(s);
                        if (s->stream) /* else its own retry is under way */
                                wait_and_retry(s);
                }
                s->input = transfer_free(s->input);
        }
        if (s->resize && transfer_is_done(s->resize)) {
                s->resize_due |= transfer_result(s->resize, &result) < 0;
                s->resize = transfer_free(s->resize);
        }
}

static bool is_readable(int fd) {
        struct pollfd p = { .fd = fd, .events = POLLIN };

        return poll(&p, 1, 0) > 0;
}

static void read_keys(Session *s) {
        char buffer[KEYS_MAX];
        bool detach;
        ssize_t n;

        if (s->n_keys + 1 >= KEYS_MAX || !is_readable(STDIN_FILENO))
                return;
        n = read(STDIN_FILENO, buffer, KEYS_MAX - s->n_keys - 1);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
                return;
        if (n <= 0) { /* our own terminal is gone */
                end_by(s, ENDING_SIGNAL, SIGHUP);
                return;
        }
        s->n_keys += escape_feed(&s->escape, buffer, (size_t) n, s->keys + s->n_keys, &detach);
        if (detach)
                end_by(s, ENDING_DETACHED, 0);
}

static void read_signals(Session *s) {
        struct signalfd_siginfo info;

        while (read(s->signal_fd, &info, sizeof info) == (ssize_t) sizeof info)
                if (info.ssi_signo == SIGWINCH)
                        s->resize_due = true;
                else
                        end_by(s, ENDING_SIGNAL, (int) info.ssi_signo);
}

/* While there is no stream, requests wait as well. */
static int start_what_is_due(Session *s) {
        uint64_t expirations;
        int r = 0;

        if (!s->stream && read(s->timer_fd, &expirations, sizeof expirations) > 0)
                r = start_stream(s);
        if (r >= 0 && s->stream && !s->input && s->n_keys > 0)
                r = start_input(s);
        if (r >= 0 && s->stream && !s->resize && s->resize_due)
                r = start_resize(s);
        return r;
}

static int wait_for_something(Session *s) {
        struct pollfd watched[3] = { { .fd = s->signal_fd, .events = POLLIN }, { .fd = s->timer_fd, .events = POLLIN } };
        nfds_t n = s->stream ? 1 : 2;

        if (s->n_keys + 1 < KEYS_MAX)
                watched[n++] = (struct pollfd) { .fd = STDIN_FILENO, .events = POLLIN };
        if (s->stream || s->input || s->resize)
                return client_wait(s->ctl->client, watched, n);
        return poll(watched, n, -1) < 0 && errno != EINTR ? -errno : 0;
}

static int session_run(Session *s) {
        int r;

        r = start_stream(s);
        while (r >= 0 && s->ending == ENDING_NONE) {
                r = start_what_is_due(s);
                if (r >= 0)
                        r = wait_for_something(s);
                read_signals(s);
                read_keys(s);
                check_requests(s);
                check_stream(s);
        }
        return r;
}

/* What was typed before the last keys, which left it, is for the terminal all the same. */
static void send_rest(Session *s) {
        if (s->input)
                (void) transfer_finish(s->input, &(TransferResult) {});
        s->input = transfer_free(s->input);
        if (s->n_keys > 0 && start_input(s) >= 0)
                (void) transfer_finish(s->input, &(TransferResult) {});
}

static void forget_terminal(const Session *s) {
        _cleanup_free_ char *path = path_of(s, "");
        _cleanup_(transfer_freep) Transfer *t = NULL;

        if (path && transfer_new(s->ctl->client, &(TransferSpec) { .method = "DELETE", .path = path }, &t) >= 0)
                (void) transfer_finish(t, &(TransferResult) {});
}

static void say_how_to_return(const Session *s) {
        if (s->attach->last)
                (void) fputs("\n[left]\n", stderr);
        else
                (void) fprintf(stderr, "\n[left: sandboxctl attach %s %s]\n", s->attach->sandbox, s->attach->terminal);
}

static int report(Session *s) {
        const char *id = s->attach->terminal;

        switch (s->ending) {
        case ENDING_EXITED:
                forget_terminal(s);
                return s->status & 0xff;
        case ENDING_DETACHED:
                send_rest(s);
                say_how_to_return(s);
                return EXIT_STATUS_OK;
        case ENDING_SIGNAL:
                say_how_to_return(s);
                return EXIT_STATUS_SIGNAL + s->status;
        case ENDING_LOST:
                return ctl_fail(s->ctl, EXIT_STATUS_FAILURE, "%s: the terminal ended with its sandbox", id);
        case ENDING_TAKEN:
                return ctl_fail(s->ctl, EXIT_STATUS_CONFLICT, "%s: another one has attached to the terminal", id);
        case ENDING_GONE:
                return ctl_fail(s->ctl, EXIT_STATUS_NOT_FOUND, "%s: there is no such terminal any more", id);
        case ENDING_BROKEN:
                return ctl_fail(s->ctl, EXIT_STATUS_CONNECTION, "%s: no answer from %s", id,
                                client_address(s->ctl->client));
        case ENDING_OWN:
        case ENDING_NONE:
                break;
        }
        return ctl_fail(s->ctl, EXIT_STATUS_FAILURE, "%s: %s", id, strerror(s->status));
}

static int session_begin(Session *s) {
        sigset_t set;
        int r;

        r = sandbox_id_random(&s->holder);
        if (r < 0)
                return r;
        terminal_block_signals();
        signal_set(&set);
        s->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
        s->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
        if (s->signal_fd < 0 || s->timer_fd < 0)
                return -errno;
        return tty_make_raw();
}

int terminal_attach(Ctl *c, const TerminalAttach *a) {
        _cleanup_(session_done) Session s = {
                .ctl = c, .attach = a, .signal_fd = -EBADF, .timer_fd = -EBADF,
                .resize_due = true, .redraw_due = !a->fresh,
        };
        int r;

        r = ctl_connect(c);
        if (r != EXIT_STATUS_OK)
                return r;
        r = session_begin(&s);
        if (r >= 0)
                r = session_run(&s);
        tty_restore();
        if (r < 0)
                end_by(&s, ENDING_OWN, -r);
        return report(&s);
}
