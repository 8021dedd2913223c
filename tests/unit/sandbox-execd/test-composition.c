/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sandbox-execd/composition.h"
#include "tests/test.h"

/* What the kernel of some sandbox says; the root comes behind mounts that were made before it. */
#define PROC "60 90 0:50 / /proc rw - proc none rw\n61 60 0:51 / /proc/bus ro - proc none rw\n"
#define ROOT(options) "90 80 0:60 / / rw,nosuid - overlay none rw," options ",userxattr\n"
#define USR(options) "91 90 0:61 / /usr rw - overlay none rw," options "\n"

static int parse(const char *text, Composition *ret) {
        char *copy = strdup(text);
        int r;

        ASSERT_NOT_NULL(copy);
        r = composition_parse(copy, ret);
        free(copy);
        return r;
}

TEST(what_a_root_is_made_of) {
        Composition c;

        ASSERT_OK(parse(PROC ROOT("lowerdir=1/u:upper/u:f/0/u:l/0,upperdir=2/u,workdir=2/w")
                        USR("lowerdir=1/u2:upper/u2:f/0/u2:usr,upperdir=2/u2")
                        "95 90 0:62 / /with\\040blank rw - tmpfs none rw\n"
                        "96 90 0:63 / /\\1!!\\08x\\400\\04 rw - tmpfs none rw\n", &c));
        ASSERT_STREQ(c.root_lower, "1/u:upper/u:f/0/u:l/0");
        ASSERT_STREQ(c.usr_lower, "1/u2:upper/u2:f/0/u2:usr");
        ASSERT_EQ(c.generation, 2);
        ASSERT_EQ(c.n_mounts, 3);
        ASSERT_STREQ(c.mounts[0], "/proc"); /* and not what is attached to it */
        ASSERT_STREQ(c.mounts[1], "/with blank");
        ASSERT_STREQ(c.mounts[2], "/\\1!!\\08x\\400\\04"); /* not what the kernel writes, and not taken for it */
        composition_done(&c);
}

TEST(what_is_none) {
        static const char *const cases[] = {
                "", "\n", "90 80 0:60 / / rw - tmpfs none rw\n", PROC,
                ROOT("lowerdir=l/0,upperdir=elsewhere/u"), ROOT("lowerdir=l/0"), ROOT("upperdir=upper/u"),
                "90\n", "90 80 0:60 / / rw\n",
        };
        Composition c;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                ASSERT_TRUE(parse(cases[i], &c) < 0);
}

TEST(parts) {
        static const struct {
                PartKind kind;
                unsigned generation;
                const char *name;
        } expected[] = {
                { PART_WRITTEN, 12, "12"    }, { PART_WRITTEN, 0, "upper" }, { PART_FROZEN, 0, "f/0" },
                { PART_FROZEN,  0,  "f3.0"  }, { PART_LAYER,   0, "l/0"   }, { PART_LAYER,  0, "l3.1" },
        };
        const char *lower = "12/u:upper/u:f/0/u:f3.0/u:l/0:l3.1";
        Part p;

        for (size_t i = 0; i < ELEMENTSOF(expected); i++) {
                ASSERT_EQ(composition_next(&lower, &p), 1);
                ASSERT_EQ(p.kind, expected[i].kind);
                ASSERT_EQ(p.generation, expected[i].generation);
                ASSERT_STREQ(p.name, expected[i].name);
        }
        ASSERT_EQ(composition_next(&lower, &p), 0);
}
