/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>

#include "sandbox-execd/port-host.h"
#include "sandbox-execd/port-unit.h"
#include "tests/test.h"

#define ID "0123456789abcdef01234567acc5acc5"
#define SHORT "0123456789abcdef01234567"

/* As the kernel prints them, of a machine whose byte order is ours. */
#define TCP                                                                                        \
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n"      \
        "   0: 0100007F:0C8D 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0\n"      \
        "   1: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0\n"      \
        "   2: 0100007F:8607 0100007F:AC90 06 00000000:00000000 03:00000BCB 00000000     0\n"
#define TCP6                                                                                       \
        "  sl  local_address                         remote_address                        st\n"   \
        "   0: 00000000000000000000000001000000:0C8D 00000000000000000000000000000000:0000 0A\n"   \
        "   1: 00000000000000000000000000000000:01BB 00000000000000000000000000000000:0000 0A\n"
#define UDP                                                                                        \
        "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n"     \
        "  173: 3500007F:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000   101\n"

TEST(host_tables) {
        static const struct {
                const char *text, *address;
                bool udp, v6, taken;
                uint16_t port;
        } cases[] = {
                { TCP,  "127.0.0.1",  false, false, true,  3213  },
                { TCP,  "127.0.0.2",  false, false, false, 3213  },
                { TCP,  "0.0.0.0",    false, false, true,  3213  }, /* all addresses: this one, too */
                { TCP,  "::",         false, false, true,  3213  },
                { TCP,  "::1",        false, false, false, 3213  },
                { TCP,  "127.0.0.1",  false, false, true,  22    },
                { TCP,  "192.0.2.1",  false, false, true,  22    },
                { TCP,  "127.0.0.1",  false, false, false, 34311 }, /* a connection, not a listener */
                { TCP,  "127.0.0.1",  false, false, false, 23    },
                { TCP6, "::1",        false, true,  true,  3213  },
                { TCP6, "127.0.0.1",  false, true,  false, 3213  },
                { TCP6, "127.0.0.1",  false, true,  true,  443   }, /* [::] takes IPv4 along */
                { TCP6, "2001:db8::", false, true,  true,  443   },
                { UDP,  "127.0.0.53", true,  false, true,  53    },
                { UDP,  "127.0.0.1",  true,  false, false, 53    },
                { "",   "127.0.0.1",  true,  false, false, 53    },
                { "\n", "127.0.0.1",  true,  false, false, 53    },
                { TCP,  "nowhere",    false, false, false, 22    },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                bool taken = host_table_has(cases[i].text, cases[i].udp, cases[i].v6, cases[i].address, cases[i].port);

                if (taken != cases[i].taken)
                        print_error("row %zu: %s port %u\n", i, cases[i].address, cases[i].port);
                ASSERT_EQ(taken, cases[i].taken);
        }
}

TEST(names) {
        PortUnit p = { .id = { ID }, .udp = true, .container_port = 65535, .host_port = 1024, .address = "::1" };
        char name[PORT_UNIT_MAX];

        port_unit_name(&p, ".socket", name);
        ASSERT_STREQ(name, "sandbox-port-" SHORT "-udp-65535.socket");
        port_unit_pattern(ID, name);
        ASSERT_STREQ(name, "sandbox-port-" SHORT "-*.socket");
}

TEST(parse) {
        static const struct {
                const char *name, *description;
                int expect;
        } cases[] = {
                { "sandbox-port-" SHORT "-tcp-80.socket", "Port 80/tcp of Sandbox " ID " at 127.0.0.1:8080",  0       },
                { "sandbox-port-" SHORT "-udp-80.socket", "Port 80/udp of Sandbox " ID " at [::1]:8080",      0       },
                { "sandbox-port-" SHORT "-tcp-81.socket", "Port 80/tcp of Sandbox " ID " at 127.0.0.1:8080",  -EINVAL },
                { "sandbox-port-" SHORT "-tcp-80.socket", "Port 80/tcp of Sandbox " ID " at 127.0.0.1:0",     -EINVAL },
                { "sandbox-port-" SHORT "-tcp-80.socket", "Port 80/tcp of Sandbox " ID " at 127.0.0.1:70000", -EINVAL },
                { "sandbox-port-" SHORT "-tcp-80.socket", "Port 80/tcp of Sandbox " SHORT " at 127.0.0.1:80", -EINVAL },
                { "sandbox-port-" SHORT "-tcp-80.socket", "Somebody's own words: 7",                          -EINVAL },
                { "sandbox-port-" SHORT "-tcp-80.socket", "",                                                 -EINVAL },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                PortUnit p = {};

                ASSERT_EQ(port_unit_parse(cases[i].name, cases[i].description, &p), cases[i].expect);
                if (cases[i].expect < 0)
                        continue;
                ASSERT_EQ(p.container_port, 80);
                ASSERT_EQ(p.host_port, 8080);
                ASSERT_EQ(p.udp, i == 1);
        }
}
