/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/string-util.h"
#include "sandboxctl/doctor-checks.h"
#include "tests/test.h"

TEST(release) {
        ASSERT_TRUE(release_is_at_least("6.1.0-18-amd64", 6, 1));
        ASSERT_TRUE(release_is_at_least("6.12", 6, 2));
        ASSERT_TRUE(release_is_at_least("10.0", 6, 1));
        ASSERT_FALSE(release_is_at_least("6.0.19", 6, 1));
        ASSERT_FALSE(release_is_at_least("5.19", 6, 1));
        ASSERT_FALSE(release_is_at_least("custom", 6, 1));
}

TEST(sysctl) {
        static const DoctorSysctl row = { "kernel.a.value", 1, 2, "1 or 2", "reasons" };
        static const struct {
                const char *text;
                DoctorLevel level;
                const char *found;
        } cases[] = {
                { NULL, DOCTOR_OK, "not in this kernel" },
                { "0", DOCTOR_WARN, "0" },
                { "1", DOCTOR_OK, "1" },
                { "2", DOCTOR_OK, "2" },
                { "3", DOCTOR_WARN, "3" },
        };
        char root[] = "/tmp/test-doctor-XXXXXX", path[128];
        static const char *const parts[] = { "", "/sys", "/sys/kernel", "/sys/kernel/a" };
        FILE *f;

        ASSERT_NOT_NULL(mkdtemp(root));
        for (size_t i = 1; i < ELEMENTSOF(parts); i++) {
                (void) snprintf(path, sizeof path, "%s%s", root, parts[i]);
                ASSERT_EQ(mkdir(path, 0700), 0);
        }
        (void) snprintf(path, sizeof path, "%s/sys/kernel/a/value", root);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                DoctorResult result = {};

                if (cases[i].text) {
                        f = fopen(path, "we");
                        ASSERT_NOT_NULL(f);
                        (void) fprintf(f, "%s\n", cases[i].text);
                        ASSERT_EQ(fclose(f), 0);
                }
                doctor_sysctl_run(&row, root, &result);
                ASSERT_EQ(result.level, cases[i].level);
                ASSERT_STREQ(result.found, cases[i].found);
        }

        (void) unlink(path);
        for (size_t i = ELEMENTSOF(parts); i > 0; i--) {
                (void) snprintf(path, sizeof path, "%s%s", root, parts[i - 1]);
                ASSERT_EQ(rmdir(path), 0);
        }
}

TEST(overlap_of_ids) {
        static const struct {
                const char *text, *expected;
        } cases[] = {
                { "", NULL },
                { "user:100000:65536\n", NULL },
                { "user:100000:65536\nbob:500000:65536\nx:1:1\n", "bob:500000:65536" },
                { "user:458752:65536", NULL },
                { "user:458752:65537", "user:458752:65537" },
                { "user:1879048192:65536\nno numbers\n:::\n", NULL },
                { "root:1:0\n1000:524288:1\n", "1000:524288:1" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char line[64];
                const char *found = doctor_find_overlap(cases[i].text, 524288, 1879048192, line);

                ASSERT_TRUE(streq_ptr(found, cases[i].expected));
        }
}

TEST(addresses) {
        ASSERT_FALSE(doctor_listens_beyond_loopback("127.0.0.1:3111 (Stream)"));
        ASSERT_FALSE(doctor_listens_beyond_loopback("[::1]:3111 (Stream) 127.0.0.2:1 (Stream)"));
        ASSERT_FALSE(doctor_listens_beyond_loopback("/run/sandboxd/api.sock (Stream)"));
        ASSERT_TRUE(doctor_listens_beyond_loopback("[::]:3111 (Stream)"));
        ASSERT_TRUE(doctor_listens_beyond_loopback("127.0.0.1:1 (Stream) 0.0.0.0:3111 (Stream)"));
        ASSERT_TRUE(doctor_listens_beyond_loopback("192.0.2.1:3111 (Stream)"));
}

TEST(every_check_finds_something) {
        for (size_t i = 0; i < n_doctor_checks; i++) {
                DoctorResult result = {};

                doctor_checks[i].run(&result);
                ASSERT_TRUE(result.found[0] != 0);
                ASSERT_TRUE(result.level < _DOCTOR_LEVEL_MAX);
                ASSERT_NOT_NULL(doctor_checks[i].advice);
        }
}

/* Attributes of a chain as the kernel sends them. */
static size_t put(uint8_t *at, unsigned type, const void *data, size_t n) {
        uint16_t head[2] = { (uint16_t) (n + 4), (uint16_t) type };

        memcpy(at, head, 4);
        memcpy(at + 4, data, n);
        return (n + 4 + 3) & ~(size_t) 3;
}

static size_t put_chain(uint8_t *buffer, const char *table, uint32_t hook, uint32_t policy) {
        uint32_t number = htonl(hook), verdict = htonl(policy);
        uint8_t nested[8] = {};
        size_t n = 0;

        (void) put(nested, NFTA_HOOK_HOOKNUM, &number, sizeof number);
        n += put(buffer + n, NFTA_CHAIN_TABLE, table, strlen(table) + 1);
        n += put(buffer + n, NFTA_CHAIN_NAME, "FORWARD", 8);
        n += put(buffer + n, NFTA_CHAIN_HOOK | NLA_F_NESTED, nested, sizeof nested);
        return n + put(buffer + n, NFTA_CHAIN_POLICY, &verdict, sizeof verdict);
}

TEST(forward_policy) {
        static const struct {
                const char *table;
                uint32_t hook, policy;
                bool drops;
        } cases[] = {
                { "filter",   NF_INET_FORWARD,  NF_DROP,   true  },
                { "filter",   NF_INET_FORWARD,  NF_ACCEPT, false },
                { "filter",   NF_INET_LOCAL_IN, NF_DROP,   false },
                { "sandboxd", NF_INET_FORWARD,  NF_DROP,   false },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                uint8_t buffer[128] = {};
                char chain[64] = "";
                size_t n = put_chain(buffer, cases[i].table, cases[i].hook, cases[i].policy);

                ASSERT_EQ(doctor_drops_forwarded(buffer, n, chain, sizeof chain), cases[i].drops);
                if (cases[i].drops)
                        ASSERT_STREQ(chain, "filter FORWARD");
                for (size_t cut = 0; cut < n; cut++)
                        (void) doctor_drops_forwarded(buffer, cut, chain, sizeof chain);
        }
}
