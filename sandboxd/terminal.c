/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "sandboxd/manager.h"
#include "sandboxd/terminal-session.h"

/* While nobody is attached the output is read all the same: a command must not stand still because its user went home.
 * A reader that is there is waited for, as a real terminal would be, so that none of a flood is lost on its way; but not
 * for ever, for it may be a connection that nobody reads. */

/* How far a reader may be behind before the command waits; less than what the spool's tail keeps. */
#define LAG_MAX (SPOOL_TAIL_MAX / 4)
#define STALL_USEC (10 * USEC_PER_SEC)
/* For what a shell and its jobs do at SIGHUP. */
#define HANGUP_USEC (USEC_PER_SEC / 2)

struct Terminal {
        Command *command;       /* whose we are */
        uint32_t rows, columns;
        char holder[TERMINAL_HOLDER_MAX + 1];
        TerminalReader *reader;
        TerminalWaiter *waiters, *mourners;
        TerminalSession *session; /* NULL: not one of the contract's */
        bool resize_due;        /* to rows and columns, once the master is here */
        bool held_up;           /* the command waits for the reader */
        bool given_up;          /* the reader does not read: it is not waited for until it has caught up */
        sd_event_source *stall, *hangup;
        TerminalCallback on_open, on_closed;
        void *on_open_userdata, *on_closed_userdata;
};

struct TerminalReader {
        Command *command;
        uint64_t position;
        bool over;              /* another one has taken over */
        void (*wake)(void *userdata);
        void *userdata;
};

static uint64_t lag(const TerminalReader *r) {
        uint64_t total = spool_total(r->command->outputs[0].spool);

        return total > r->position ? total - r->position : 0;
}

static void go_on(Terminal *t) {
        if (t->held_up)
                command_set_reading(t->command, true);
        t->held_up = false;
        t->stall = sd_event_source_disable_unref(t->stall);
}

static int on_stall(sd_event_source *source, uint64_t usec, void *userdata) {
        Terminal *t = userdata;

        (void) source;
        (void) usec;
        t->given_up = true;
        go_on(t);
        return 0;
}

/* Without a timer nobody would let it go on. */
static void hold_up(Terminal *t) {
        if (sd_event_add_time_relative(t->command->manager->event, &t->stall, CLOCK_MONOTONIC, STALL_USEC, 0, on_stall,
                                       t) < 0)
                return;
        t->held_up = true;
        command_set_reading(t->command, false);
}

static void on_output(Command *c, bool is_stderr, const char *data, size_t n, void *userdata) {
        Terminal *t = userdata;

        (void) is_stderr;
        (void) data;
        (void) n;
        if (!t->reader)
                return;
        if (!t->held_up && !t->given_up && command_is_live(c) && lag(t->reader) > LAG_MAX)
                hold_up(t);
        t->reader->wake(t->reader->userdata);
}

static void tell(Command *c, TerminalCallback *callback, const sd_bus_error *error, void *userdata) {
        TerminalCallback called = *callback;

        *callback = NULL;
        if (called)
                called(c, error, userdata);
}

static void tell_event(const Command *c, const char *topic) {
        event_publish(c->manager, topic, c->sandbox->public_id, json_pack("{s:s}", "id", c->id));
}

static void on_started(Command *c, void *userdata) {
        Terminal *t = userdata;

        if (t->on_open) /* else it ran before us, and was told of then */
                tell_event(c, "terminal.opened");
        tell(c, &t->on_open, NULL, t->on_open_userdata);
}

static void on_failed(Command *c, const sd_bus_error *error, void *userdata) {
        Terminal *t = userdata;

        tell(c, &t->on_open, error, t->on_open_userdata);
        tell(c, &t->on_closed, NULL, t->on_closed_userdata);
}

/* Each of them once; one may put itself on the list again, or take another one off. */
static void wake_all(TerminalWaiter **list) {
        while (*list) {
                TerminalWaiter *w = *list;

                *list = w->next;
                w->wake(w->userdata);
        }
}

static void on_finished(Command *c, void *userdata) {
        Terminal *t = userdata;

        go_on(t);
        terminal_settled(t);
        wake_all(&t->mourners);
        t->hangup = sd_event_source_disable_unref(t->hangup);
        if (c->forgotten)
                tell_event(c, "terminal.closed");
        tell(c, &t->on_open, NULL, t->on_open_userdata);
        tell(c, &t->on_closed, NULL, t->on_closed_userdata);
        if (t->reader)
                t->reader->wake(t->reader->userdata);
}

static const CommandHandlers handlers = {
        .on_started = on_started,
        .on_failed = on_failed,
        .on_output = on_output,
        .on_finished = on_finished,
};

int terminal_new(Command *c, Terminal **ret) {
        Terminal *t = new0(Terminal, 1);

        if (!t)
                return -ENOMEM;
        *t = (Terminal) { .command = c };
        command_set_handlers(c, &handlers, t);
        *ret = t;
        return 0;
}

Terminal *terminal_free(Terminal *t) {
        if (t) {
                sd_event_source_disable_unref(t->stall);
                sd_event_source_disable_unref(t->hangup);
                terminal_session_free(t->session);
                free(t);
        }
        return NULL;
}

static int set_size(int master, uint32_t rows, uint32_t columns) {
        struct winsize size = { .ws_row = (unsigned short) rows, .ws_col = (unsigned short) columns };

        return ioctl(master, TIOCSWINSZ, &size) < 0 ? -errno : 0;
}

/* Input goes by a descriptor of its own: both are watched, each for its own readiness. */
int terminal_take(Terminal *t, int master) {
        Command *c = t->command;
        struct winsize size;

        if (t->resize_due)
                (void) set_size(master, t->rows, t->columns);
        t->resize_due = false;
        if (ioctl(master, TIOCGWINSZ, &size) >= 0) {
                t->rows = size.ws_row;
                t->columns = size.ws_col;
        }
        c->stdin_fd = fcntl(master, F_DUPFD_CLOEXEC, 3);
        if (c->stdin_fd < 0)
                return -errno;
        return fd_set_nonblock(master, true);
}

void terminal_settled(Terminal *t) {
        wake_all(&t->waiters);
}

bool terminal_is_awaited(const Command *c) {
        return command_is_live(c) && !c->taken;
}

void terminal_wait(Command *c, TerminalWaiter *w) {
        terminal_unwait(c, w);
        w->next = c->terminal->waiters;
        c->terminal->waiters = w;
}

static void take_off(TerminalWaiter **list, const TerminalWaiter *w) {
        for (TerminalWaiter **i = list; *i; i = &(*i)->next)
                if (*i == w) {
                        *i = w->next;
                        return;
                }
}

void terminal_wait_end(Command *c, TerminalWaiter *w) {
        assert(command_is_live(c));
        terminal_unwait(c, w);
        w->next = c->terminal->mourners;
        c->terminal->mourners = w;
}

void terminal_unwait(Command *c, TerminalWaiter *w) {
        take_off(&c->terminal->waiters, w);
        take_off(&c->terminal->mourners, w);
}

TerminalSession *terminal_get_session(const Command *c) {
        return c->terminal->session;
}

void terminal_set_session(Command *c, TerminalSession *session) {
        terminal_session_free(c->terminal->session);
        c->terminal->session = session;
}

int terminal_open(Manager *m, Sandbox *s, CommandSpec *spec, const char *text, TerminalCallback callback,
                  void *userdata, Command **ret) {
        _cleanup_(command_unrefp) Command *c = NULL;
        int r;

        r = command_new(m, s, COMMAND_TERMINAL, text, &c);
        if (r < 0)
                return r;
        r = terminal_new(c, &c->terminal);
        if (r < 0)
                return r;
        c->terminal->rows = spec->terminal_rows;
        c->terminal->columns = spec->terminal_columns;
        r = command_start(c, spec, &(CommandInput) {}, &handlers, c->terminal);
        if (r < 0)
                return r;
        c->terminal->on_open = callback;
        c->terminal->on_open_userdata = userdata;
        *ret = c; /* the manager has it */
        return 0;
}

static int on_hangup_time(sd_event_source *source, uint64_t usec, void *userdata) {
        Terminal *t = userdata;

        (void) source;
        (void) usec;
        command_kill(t->command);
        return 0;
}

/* A stopped job gets its signal only when it goes on. */
static void hang_up(Command *c) {
        ExecdClient *execd = c->manager->execd;

        (void) execd_signal(execd, c->sandbox->id, c->id, SIGHUP, /* all= */ true, peer_ignore, NULL);
        (void) execd_signal(execd, c->sandbox->id, c->id, SIGCONT, /* all= */ true, peer_ignore, NULL);
}

int terminal_close(Command *c, TerminalCallback callback, void *userdata) {
        Terminal *t = c->terminal;
        int r;

        if (!command_is_live(c)) {
                _cleanup_(command_unrefp) Command *held = command_ref(c);

                manager_drop_command(c->manager, c);
                tell_event(c, "terminal.closed");
                callback(c, NULL, userdata);
                return 0;
        }
        if (c->forgotten)
                return -EALREADY;
        r = sd_event_add_time_relative(c->manager->event, &t->hangup, CLOCK_MONOTONIC, HANGUP_USEC, 0, on_hangup_time,
                                       t);
        if (r < 0)
                return r;
        c->forgotten = true;
        t->on_closed = callback;
        t->on_closed_userdata = userdata;
        hang_up(c);
        return 0;
}

/* A terminal that init has not handed over yet gets its size when it has. */
int terminal_resize(Command *c, uint32_t rows, uint32_t columns) {
        int r = 0;

        assert(rows > 0 && rows <= TERMINAL_SIZE_MAX && columns > 0 && columns <= TERMINAL_SIZE_MAX);

        if (c->outputs[0].fd >= 0)
                r = set_size(c->outputs[0].fd, rows, columns);
        else if (terminal_is_awaited(c))
                c->terminal->resize_due = true;
        else
                return -ENOTCONN;
        if (r < 0)
                return r;
        c->terminal->rows = rows;
        c->terminal->columns = columns;
        return 0;
}

void terminal_get_size(const Command *c, uint32_t *ret_rows, uint32_t *ret_columns) {
        *ret_rows = c->terminal->rows;
        *ret_columns = c->terminal->columns;
}

const char *terminal_get_holder(const Command *c) {
        return c->terminal->holder;
}

bool terminal_is_attached(const Command *c) {
        return c->terminal->reader;
}

unsigned terminals_live(Manager *m, const Sandbox *s) {
        unsigned n = 0;
        Command *c;

        HASHMAP_FOREACH(c, m->commands)
                n += c->sandbox == s && c->kind == COMMAND_TERMINAL && command_is_live(c);
        return n;
}

/* What fell out between head and tail is skipped. */
static uint64_t next_kept(const Spool *spool, uint64_t position) {
        uint64_t tail = spool_tail_start(spool);

        position = MIN(position, spool_total(spool));
        return position >= SPOOL_HEAD_MAX && position < tail ? tail : position;
}

/* The earlier reader is told last, when the new one stands in its place: it ends its response by reading on. */
int terminal_attach(Command *c, const char *holder, bool resume, uint64_t position, void (*wake)(void *userdata),
                    void *userdata, TerminalReader **ret) {
        Terminal *t = c->terminal;
        TerminalReader *r, *earlier = t->reader;

        assert(strlen(holder) <= TERMINAL_HOLDER_MAX);

        if (resume && !isempty(t->holder) && !streq(t->holder, holder))
                return -EBUSY;
        r = new0(TerminalReader, 1);
        if (!r)
                return -ENOMEM;
        *r = (TerminalReader) { .command = command_ref(c), .wake = wake, .userdata = userdata,
                                .position = next_kept(c->outputs[0].spool, position) };
        t->given_up = false;
        go_on(t);
        t->reader = r;
        strcpy(t->holder, holder);
        if (earlier) {
                earlier->over = true;
                earlier->wake(earlier->userdata);
        }
        *ret = r;
        return 0;
}

TerminalReader *terminal_reader_free(TerminalReader *r) {
        Terminal *t;

        if (!r)
                return NULL;
        t = r->command->terminal;
        if (t->reader == r) {
                t->reader = NULL;
                go_on(t);
        }
        command_unref(r->command);
        free(r);
        return NULL;
}

uint64_t terminal_reader_position(const TerminalReader *r) {
        return r->position;
}

/* It reads, so its time begins anew. */
static void note_progress(TerminalReader *r) {
        Terminal *t = r->command->terminal;

        if (lag(r) < LAG_MAX / 2) {
                t->given_up = false;
                go_on(t);
        } else if (t->held_up)
                (void) sd_event_source_set_time_relative(t->stall, STALL_USEC);
}

/* Where the next bytes are no longer kept the stream ends, rather than go on with a gap that nobody sees. */
ssize_t terminal_reader_read(TerminalReader *r, char *buffer, size_t size) {
        Spool *spool = r->command->outputs[0].spool;
        ssize_t n;

        if (r->over || next_kept(spool, r->position) != r->position)
                return -ENODATA;
        n = spool_read(spool, &r->position, buffer, size);
        if (n > 0)
                note_progress(r);
        if (n != 0)
                return n;
        return command_is_live(r->command) ? 0 : -ENODATA;
}

TerminalEnd terminal_reader_end(const TerminalReader *r) {
        Spool *spool = r->command->outputs[0].spool;

        if (r->over)
                return TERMINAL_END_TAKEN;
        return next_kept(spool, r->position) != r->position ? TERMINAL_END_GAP : TERMINAL_END_EXITED;
}

void terminal_reader_skip(TerminalReader *r) {
        r->position = next_kept(r->command->outputs[0].spool, r->position);
}
