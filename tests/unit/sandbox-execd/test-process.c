/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <unistd.h>

#include "sandbox-execd/process.h"
#include "tests/test.h"

#define STATUS(name, uid, nspid) "Name:\t" name "\nUmask:\t0022\nUid:\t" uid "\nNSpid:\t" nspid "\n"

TEST(status) {
        static const struct {
                const char *text;
                int result;
                uint32_t pid, uid;
        } cases[] = {
                { STATUS("sh", "524288\t524288\t524288\t524288", "911\t17"),  0,        17, 0     },
                { STATUS("sh", "525288\t1\t1\t1", "911\t80\t2"),              0,        2,  1000  },
                { STATUS("sh", "589824\t1\t1\t1", "5"),                       0,        5,  65534 }, /* not of its range */
                { STATUS("sh", "0\t0\t0\t0", "911\t17"),                      0,        17, 65534 },
                { STATUS("sh", "x\t0", "911\t17"),                            -EBADMSG, 0,  0     },
                { STATUS("sh", "0\t0", ""),                                   -EBADMSG, 0,  0     },
                { "Name:\tsh\nUid:\t0\n",                                     -EBADMSG, 0,  0     },
                { "",                                                         -EBADMSG, 0,  0     },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Process p = {};

                ASSERT_EQ(process_parse_status(cases[i].text, 524288, &p), cases[i].result);
                if (cases[i].result >= 0) {
                        ASSERT_EQ(p.pid, cases[i].pid);
                        ASSERT_EQ(p.uid, cases[i].uid);
                }
        }
}

TEST(stat) {
        Process p;

        /* A name with everything in it that could be taken for the end. */
        ASSERT_OK(process_parse_stat("17 (a) R 1 (b) S 1 17 17 0 -1 4194560 1 2 3 4 150 50 7 8 20 0 1 0 99 8192000 25 1",
                                     100, &p));
        ASSERT_EQ(p.state, 'S');
        ASSERT_EQ(p.cpu_usec, 2000000);
        ASSERT_EQ(p.vsz_bytes, 8192000);
        ASSERT_EQ(p.rss_bytes, 25 * sysconf(_SC_PAGESIZE));
        ASSERT_EQ(process_parse_stat("17 (sh", 100, &p), -EBADMSG);
        ASSERT_EQ(process_parse_stat("17 (sh) S 1", 100, &p), -EBADMSG);
}

TEST(command_line) {
        static const struct {
                const char *text;
                size_t size;
                const char *expect;
        } cases[] = {
                { "sh\0-c\0true\0",  11, "sh -c true"                 },
                { "a\0\0b\0",        5,  "a  b"                       },
                { "\0\0",            2,  "[name]"                     },
                { "",                0,  "[name]"                     },
                { "x\xff\0",         3,  "x\xef\xbf\xbd"              },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_free_ char *line = process_format_command_line(cases[i].text, cases[i].size,
                                                                        STATUS("name", "0", "1"));

                ASSERT_STREQ(line, cases[i].expect);
        }
}
