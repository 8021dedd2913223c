/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <linux/errno.h>
#include <linux/uio.h>

#include "sandbox-init/init.h"
#include "sandbox-init/syscall.h"
#include "sandbox-init/util.h"

/* Nothing here blocks: the other end may be a daemon that hangs, and the deadlines of the commands are ours. What does
 * not fit into the socket stays due, and is sent when there is room or to the next connection. */

#define CONTROL_SIZE (sizeof(KernelControl) + REQUEST_FDS_MAX * sizeof(int))

typedef union Control {
        KernelControl header;
        char bytes[(CONTROL_SIZE + 7U) & ~7U];
} Control;

void init_disconnect(Init *i) {
        close_fd(&i->connection);
        i->hello_due = false;
        i->reply_due = false;
        command_table_reconnected(&i->commands);
}

void init_accept(Init *i) {
        long fd;

        fd = SYS(accept4, INIT_FD_LISTEN, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0)
                return;

        init_disconnect(i);
        i->connection = (int) fd;
        i->hello_due = true;
}

/* Takes the descriptors over; all of them, also of a packet that is going to be refused. */
static void take_fds(Request *request, const KernelMessage *message, const Control *control) {
        request->n_fds = 0;
        if (message->control_length < sizeof(KernelControl))
                return;
        if (control->header.level != SOL_SOCKET_LEVEL || control->header.type != SCM_RIGHTS)
                return;

        request->n_fds = (control->header.length - sizeof(KernelControl)) / sizeof(int);
        memcpy(request->fds, control->header.fds, request->n_fds * sizeof(int));
}

int init_receive(Init *i) {
        Request *request = &i->request;
        Control control = {};
        struct iovec iov = { request->bytes, sizeof(request->bytes) };
        KernelMessage message = {
                .iov = &iov, .n_iov = 1,
                .control = &control, .control_length = sizeof(control),
        };
        long n;

        n = SYS(recvmsg, i->connection, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
        if (n == -ECONNRESET) /* the other end died with something unread; what it sent before is still there */
                n = SYS(recvmsg, i->connection, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
        if (n == -EAGAIN || n == -EINTR)
                return 0;
        if (n <= 0) {
                init_disconnect(i);
                return -ECONNRESET;
        }

        take_fds(request, &message, &control);
        request->size = message.flags & (MSG_TRUNC | MSG_CTRUNC) ? 0 : (size_t) n;
        return 1;
}

static long send_packet(Init *i, const void *packet, size_t size, const int *fds, size_t n_fds) {
        Control control = {};
        struct iovec iov = { (void *) packet, size };
        KernelMessage message = { .iov = &iov, .n_iov = 1 };

        if (n_fds > 0) {
                control.header.level = SOL_SOCKET_LEVEL;
                control.header.type = SCM_RIGHTS;
                control.header.length = sizeof(KernelControl) + n_fds * sizeof(int);
                memcpy(control.header.fds, fds, n_fds * sizeof(int));
                message.control = &control;
                message.control_length = control.header.length;
        }

        return SYS(sendmsg, i->connection, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* true if it is off the list: sent, or nobody is there who could read it. The end of a connection is seen by reading,
 * for what was sent to us before is to be done. */
static bool is_done(long r) {
        return r != -EAGAIN && r != -EINTR && r != -ENOBUFS && r != -ENOMEM;
}

static bool send_hello(Init *i) {
        InitHello hello = {
                .header.operation = INIT_HELLO,
                .version = INIT_PROTOCOL_VERSION,
                .phase = i->phase,
                .n_commands = (uint32_t) command_table_count_told(&i->commands),
        };

        return is_done(send_packet(i, &hello, sizeof(hello), NULL, 0));
}

static bool send_reply(Init *i) {
        const Command *c = i->reply_fds;
        size_t n_fds = c ? c->n_keep : 0;

        i->reply.n_fds = (uint32_t) n_fds;
        return is_done(send_packet(i, &i->reply, sizeof(i->reply), c ? c->keep : NULL, n_fds));
}

static bool send_start(Init *i, const Command *c) {
        InitReply reply = {
                .header = { INIT_REPLY, c->sequence },
                .error = c->state == COMMAND_FAILED ? c->error : 0,
                .step = c->state == COMMAND_FAILED ? c->step : 0,
                .pid = c->pid,
        };

        return is_done(send_packet(i, &reply, sizeof(reply), NULL, 0));
}

static bool send_notice(Init *i, const Command *c) {
        InitCommand notice;

        command_describe(c, &notice);
        return is_done(send_packet(i, &notice, sizeof(notice), NULL, 0));
}

/* The reply of EXEC before the news of the same command. */
static bool flush_command(Init *i, Command *c) {
        if (c->reply_due) {
                if (!send_start(i, c))
                        return false;
                c->reply_due = false;
        }

        if (c->state == COMMAND_FAILED)
                command_free(&i->commands, c);
        else if (c->notice_due) {
                if (!send_notice(i, c))
                        return false;
                c->notice_due = false;
        }

        return true;
}

void init_flush(Init *i) {
        if (i->connection < 0)
                return;

        if (i->hello_due) {
                if (!send_hello(i))
                        return;
                i->hello_due = false;
        }
        if (i->reply_due) {
                if (!send_reply(i))
                        return;
                i->reply_due = false;
        }
        COMMAND_FOREACH(c, &i->commands)
                if (!flush_command(i, c))
                        return;
}
