/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "sandbox-dns/message.h"
#include "tests/test.h"

#define HEAD "\x12\x34\x01\x00\0\1\0\0\0\0\0\0"
#define HEAD_EDNS "\x12\x34\x01\x00\0\1\0\0\0\0\0\1"
#define WEB "\3WEB\4test\0"
#define A_IN "\0\1\0\1"
#define BYTES(text) (const uint8_t *) (text), sizeof(text) - 1

TEST(queries) {
        static const struct {
                const char *what;
                const uint8_t *data;
                size_t n;
                int expect;
        } cases[] = {
                { "plain",             BYTES(HEAD WEB A_IN),                                              0           },
                { "edns",              BYTES(HEAD_EDNS WEB A_IN "\0\0\x29\4\xd0\0\0\x80\0\0\0"),          0           },
                { "edns with options", BYTES(HEAD_EDNS WEB A_IN "\0\0\x29\4\xd0\0\0\0\0\0\4\0\x0a\0\0"), 0           },
                { "root",              BYTES(HEAD "\0" A_IN),                                             0           },
                { "nothing",           BYTES(""),                                                         -EBADMSG    },
                { "head alone",        BYTES(HEAD),                                                       -EBADMSG    },
                { "an answer",         BYTES("\x12\x34\x81\x00\0\1\0\0\0\0\0\0" WEB A_IN),                -EBADMSG    },
                { "two questions",     BYTES("\x12\x34\x01\x00\0\2\0\0\0\0\0\0" WEB A_IN WEB A_IN),       -EBADMSG    },
                { "no question",       BYTES("\x12\x34\x01\x00\0\0\0\0\0\0\0\0"),                         -EBADMSG    },
                { "pointer",           BYTES(HEAD "\xc0\x0c" A_IN),                                       -EBADMSG    },
                { "pointer behind",    BYTES(HEAD "\3web\xc0\x0c" A_IN),                                  -EBADMSG    },
                { "long label",        BYTES(HEAD "\x40" "web" A_IN),                                     -EBADMSG    },
                { "no end",            BYTES(HEAD "\3web\4test"),                                         -EBADMSG    },
                { "no class",          BYTES(HEAD WEB "\0\1\0"),                                          -EBADMSG    },
                { "another class",     BYTES(HEAD WEB "\0\1\0\3"),                                        -EOPNOTSUPP },
                { "everything",        BYTES(HEAD WEB "\0\xff\0\1"),                                      -EOPNOTSUPP },
                { "a transfer",        BYTES(HEAD WEB "\0\xfc\0\1"),                                      -EOPNOTSUPP },
                { "an update",         BYTES("\x12\x34\x28\x00\0\1\0\0\0\0\0\0" WEB A_IN),                -EOPNOTSUPP },
                { "with an answer",    BYTES("\x12\x34\x01\x00\0\1\0\1\0\0\0\0" WEB A_IN),                -EINVAL     },
                { "more behind",       BYTES(HEAD WEB A_IN "x"),                                          -EINVAL     },
                { "edns, torn",        BYTES(HEAD_EDNS WEB A_IN "\0\0\x29\4\xd0\0\0\0\0\0\4\0"),          -EINVAL     },
                { "edns of tomorrow",  BYTES(HEAD_EDNS WEB A_IN "\0\0\x29\4\xd0\0\1\0\0\0\0"),            -EINVAL     },
                { "a record, no edns", BYTES(HEAD_EDNS WEB A_IN "\0" A_IN "\0\0\0\0\0\0"),                -EINVAL     },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                DnsQuery q;
                int r = dns_query_parse(cases[i].data, cases[i].n, &q);

                if (r != cases[i].expect)
                        print_error("%s\n", cases[i].what);
                ASSERT_EQ(r, cases[i].expect);
        }
}

static DnsQuery parse(const uint8_t *data, size_t n) {
        DnsQuery q;

        ASSERT_OK(dns_query_parse(data, n, &q));
        return q;
}

/* What goes on has nothing of who asked but the name, the type and how much he can take. */
TEST(written_anew) {
        DnsQuery q = parse(BYTES(HEAD_EDNS WEB A_IN "\0\0\x29\xff\xff\0\0\x80\0\0\x05\0\x0a\0\1x")), again;
        uint8_t buffer[DNS_QUERY_MAX];
        size_t n;

        ASSERT_STREQ(q.name, "web.test");
        ASSERT_EQ(q.type, DNS_TYPE_A);
        ASSERT_EQ(q.payload, DNS_UDP_MAX);
        n = dns_query_write(&q, 0x5678, buffer);
        ASSERT_OK(dns_query_parse(buffer, n, &again));
        ASSERT_EQ(again.id, 0x5678);
        ASSERT_STREQ(again.name, "web.test");
        ASSERT_TRUE(again.dnssec && again.edns && again.recursion);
        ASSERT_EQ(memcmp(q.wire, again.wire, q.n_wire), 0);
        ASSERT_EQ(n, sizeof(HEAD WEB A_IN) - 1 + 11);
}

TEST(odd_letters_are_on_no_list) {
        DnsQuery q = parse(BYTES(HEAD "\5w.b\0*\4test\0" A_IN));

        ASSERT_STREQ(q.name, "w?b??.test");
}

TEST(errors) {
        DnsQuery q = parse(BYTES(HEAD WEB A_IN)), edns = parse(BYTES(HEAD_EDNS WEB A_IN "\0\0\x29\4\xd0\0\0\0\0\0\0"));
        uint8_t buffer[DNS_QUERY_MAX];
        size_t n;

        n = dns_error_write(&q, DNS_RCODE_REFUSED, buffer);
        ASSERT_EQ(n, sizeof(HEAD WEB A_IN) - 1);
        ASSERT_EQ(memcmp(buffer, "\x12\x34\x81\x85\0\1\0\0\0\0\0\0" WEB A_IN, n), 0);
        n = dns_error_write(&edns, DNS_RCODE_REFUSED, buffer);
        ASSERT_EQ(memcmp(buffer + n - 6, "\0\x0f\0\2\0\x12", 6), 0);
}

/* Answers */

#define REPLY(n) "\xab\xcd\x81\x80\0\1\0" n "\0\0\0\0" WEB A_IN
#define RECORD(type, sec, n) "\0" type "\0\1" sec "\0" n
#define AT_WEB "\xc0\x0c"

static int read_answer(const char *text, size_t n, uint8_t *copy, DnsAnswer *ret) {
        DnsQuery q = parse(BYTES(HEAD WEB A_IN));

        memcpy(copy, text, n);
        return dns_answer_read(copy, n, &q, 0xabcd, 3600, ret);
}

#define READ(text, copy, answer) read_answer((text), sizeof(text) - 1, (copy), (answer))

TEST(answer) {
        uint8_t copy[512];
        DnsAnswer a;

        ASSERT_OK(READ(REPLY("\2") AT_WEB RECORD("\1", "\0\0\1\x2c", "\4") "\xc6\x33\x64\x07"
                       AT_WEB RECORD("\1", "\0\1\0\0", "\4") "\xc6\x33\x64\x08", copy, &a));
        ASSERT_EQ(a.n_addresses, 2);
        ASSERT_EQ(a.addresses[0].address, 0xc6336407);
        ASSERT_EQ(a.addresses[0].sec, 300);
        ASSERT_EQ(a.addresses[1].sec, 3600); /* not longer than it is open */
        ASSERT_EQ(memcmp(copy, "\x12\x34", 2), 0);
        ASSERT_NOT_NULL(memmem(copy, sizeof copy, "\0\0\x0e\x10\0\4\xc6\x33\x64\x08", 10));
}

TEST(aliases) {
        uint8_t copy[512];
        DnsAnswer a;

        /* web.test -> a.test -> (a pointer into that) b.a.test; then what nobody asked for. */
        ASSERT_OK(READ(REPLY("\4") AT_WEB RECORD("\5", "\0\0\0\1", "\x04") "\1a\xc0\x10"
                       "\xc0\x26" RECORD("\5", "\0\0\0\1", "\x04") "\1b\xc0\x26"
                       "\xc0\x36" RECORD("\1", "\0\0\0\1", "\4") "\xc6\x33\x64\x07"
                       "\4evil\0" RECORD("\1", "\0\0\0\1", "\4") "\xc6\x33\x64\x08", copy, &a));
        ASSERT_EQ(a.n_addresses, 1);
        ASSERT_EQ(a.addresses[0].address, 0xc6336407);
}

TEST(bad_answers) {
        uint8_t copy[512];
        DnsAnswer a;

        ASSERT_EQ(READ("\xab\xce\x81\x80\0\1\0\0\0\0\0\0" WEB A_IN, copy, &a), -EBADMSG);
        ASSERT_EQ(READ("\xab\xcd\x01\x80\0\1\0\0\0\0\0\0" WEB A_IN, copy, &a), -EBADMSG);
        ASSERT_EQ(READ("\xab\xcd\x81\x80\0\1\0\0\0\0\0\0" "\3web\4evil\0" A_IN, copy, &a), -EBADMSG);
        ASSERT_EQ(READ("\xab\xcd\x81\x80\0\1\0\0\0\0\0\0" WEB "\0\x1c\0\1", copy, &a), -EBADMSG);
        ASSERT_EQ(READ(REPLY("\1"), copy, &a), -EBADMSG);
        ASSERT_EQ(READ(REPLY("\1") AT_WEB RECORD("\1", "\0\0\0\1", "\3") "\xc6\x33\x64", copy, &a), -EBADMSG);
        ASSERT_EQ(READ(REPLY("\1") AT_WEB RECORD("\1", "\0\0\0\1", "\4") "\xc6\x33\x64", copy, &a), -EBADMSG);
        /* A pointer to itself, and one forward. */
        ASSERT_EQ(READ(REPLY("\1") "\xc0\x1a" RECORD("\1", "\0\0\0\1", "\4") "\xc6\x33\x64\x07", copy, &a), -EBADMSG);
        ASSERT_EQ(READ(REPLY("\1") "\xc0\x1c" RECORD("\1", "\0\0\0\1", "\4") "\xc6\x33\x64\x07", copy, &a), -EBADMSG);
        /* An alias with more behind it than a name. */
        ASSERT_EQ(READ(REPLY("\1") AT_WEB RECORD("\5", "\0\0\0\1", "\5") "\1a\xc0\x10x", copy, &a), -EBADMSG);
}

TEST(codes) {
        uint8_t copy[512];
        DnsAnswer a;

        ASSERT_OK(READ("\xab\xcd\x83\x83\0\1\0\0\0\0\0\0" WEB A_IN, copy, &a));
        ASSERT_EQ(a.rcode, 3);
        ASSERT_TRUE(a.truncated);
        ASSERT_EQ(a.n_addresses, 0);
}

/* A time above 2^31 is none. */
TEST(times) {
        uint8_t copy[512];
        DnsAnswer a;

        ASSERT_OK(READ(REPLY("\1") AT_WEB RECORD("\1", "\xff\xff\xff\xff", "\4") "\xc6\x33\x64\x07", copy, &a));
        ASSERT_EQ(a.addresses[0].sec, 0);
}
