/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-execd/port-host.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/log.h"

#define TABLE_MAX (8 * MiB)
#define STATE_LISTEN 0x0AU
#define PICK_FIRST 20000U
#define PICK_COUNT 10000U
#define PICK_TRIES 64U

/* Addresses as the tables have them: words of four bytes in the host's order, in hexadecimal. IPv4 in a table of IPv6
 * appears as the mapped one or not at all (::, which takes IPv4, too). */
typedef struct Address {
        uint32_t words[4];
        bool any, v6;
} Address;

static int address_parse(const char *text, Address *ret) {
        Address a = {};

        a.v6 = strchr(text, ':');
        if (inet_pton(a.v6 ? AF_INET6 : AF_INET, text, a.words) != 1)
                return -EINVAL;
        a.any = (a.words[0] | a.words[1] | a.words[2] | a.words[3]) == 0;
        *ret = a;
        return 0;
}

static bool overlaps(const Address *wanted, const uint32_t *words, bool v6) {
        bool any = v6 ? (words[0] | words[1] | words[2] | words[3]) == 0 : words[0] == 0;

        if (any || wanted->any)
                return any || wanted->v6 == v6 || wanted->v6;
        return wanted->v6 == v6 && memcmp(wanted->words, words, v6 ? 16 : 4) == 0;
}

bool host_table_has(const char *text, bool udp, bool v6, const char *address, uint16_t port) {
        Address wanted;

        if (address_parse(address, &wanted) < 0)
                return false;
        for (const char *line = strchr(text, '\n'); line; line = strchr(line + 1, '\n')) {
                uint32_t words[4] = {};
                unsigned local, state;
                int n;

                if (v6)
                        n = sscanf(line, " %*u: %8x%8x%8x%8x:%4x %*[0-9A-Fa-f]:%*x %2x", words, words + 1, words + 2,
                                   words + 3, &local, &state) == 6;
                else
                        n = sscanf(line, " %*u: %8x:%4x %*[0-9A-Fa-f]:%*x %2x", words, &local, &state) == 3;
                if (n && local == port && (udp || state == STATE_LISTEN) && overlaps(&wanted, words, v6))
                        return true;
        }
        return false;
}

int host_port_is_taken(bool udp, const char *address, uint16_t port) {
        static const char *const tables[2][2] = { { "/proc/1/net/tcp", "/proc/1/net/tcp6" },
                                                  { "/proc/1/net/udp", "/proc/1/net/udp6" } };

        for (int v6 = 0; v6 < 2; v6++) {
                _cleanup_free_ char *text = NULL;
                int r;

                r = read_text_at(AT_FDCWD, tables[udp][v6], TABLE_MAX, &text);
                if (r == -ENOENT && v6)
                        return 0; /* a kernel without IPv6 */
                if (r < 0)
                        return log_warning_errno(r, "Failed to read %s, ignoring: %m", tables[udp][v6]);
                if (host_table_has(text, udp, v6, address, port))
                        return 1;
        }
        return 0;
}

int host_port_pick(bool udp, const char *address, uint16_t *ret) {
        for (unsigned i = 0; i < PICK_TRIES; i++) {
                uint16_t random, port;

                if (getrandom(&random, sizeof random, 0) != sizeof random)
                        return -errno;
                port = (uint16_t) (PICK_FIRST + random % PICK_COUNT);
                if (host_port_is_taken(udp, address, port) <= 0) {
                        *ret = port;
                        return 0;
                }
        }
        return -EADDRINUSE;
}

/* The cookie is told of a socket only, so one is made in there, for which this thread, the daemon's only one, visits the
 * namespace for three system calls. */
int netns_cookie(pid_t pid, uint64_t *ret) {
        _cleanup_close_ int home = -EBADF, there = -EBADF, fd = -EBADF;
        socklen_t size = sizeof *ret;
        char path[64];
        int r;

        snprintf(path, sizeof path, "/proc/%i/ns/net", pid);
        home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
        there = open(path, O_RDONLY | O_CLOEXEC);
        if (home < 0 || there < 0 || setns(there, CLONE_NEWNET) < 0)
                return -errno;
        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        r = fd < 0 ? -errno : 0;
        if (setns(home, CLONE_NEWNET) < 0) {
                log_error_errno(errno, "Cannot come back from a sandbox's network namespace: %m");
                abort();
        }
        if (r < 0)
                return r;
        return getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, ret, &size) < 0 ? -errno : 0;
}
