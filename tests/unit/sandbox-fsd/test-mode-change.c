/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "sandbox-fsd/mode-change.h"
#include "tests/test.h"

#define FILE(mode) (S_IFREG | (mode))
#define DIRECTORY(mode) (S_IFDIR | (mode))

/* Each result was compared with chmod(1) of coreutils under umask 022. */
TEST(modes) {
        static const struct {
                const char *text;
                mode_t old;
                int expect; /* < 0: errno */
        } cases[] = {
                { "755",    FILE(0644),       0755    },
                { "07777",  FILE(0644),       -EINVAL }, /* five digits */
                { "7777",   FILE(0644),       07777   },
                { "4755",   FILE(0644),       04755   },
                { "75",     FILE(0644),       -EINVAL },
                { "789",    FILE(0644),       -EINVAL },
                { "0177777", FILE(0644),      -EINVAL },
                { "-1",     FILE(0644),       -EINVAL },
                { "rwx",    FILE(0644),       -EINVAL },
                { "",       FILE(0644),       -EINVAL },
                { "u",      FILE(0644),       -EINVAL },
                { "u+s",    FILE(0644),       -EINVAL },
                { "u+x,g+x", FILE(0644),      -EINVAL },
                { "+x",     FILE(0644),       0755    },
                { "+w",     FILE(0444),       0644    },
                { "a+w",    FILE(0444),       0666    },
                { "u+x",    FILE(0644),       0744    },
                { "ug+x",   FILE(0644),       0754    },
                { "go-rwx", FILE(0755),       0700    },
                { "o=",     FILE(0755),       0750    },
                { "=r",     FILE(0777),       0444    },
                { "u=rw",   FILE(04755),      0655    },
                { "u=rwx",  DIRECTORY(04755), 04755   },
                { "a+X",    FILE(0644),       0644    },
                { "a+X",    FILE(0744),       0755    },
                { "a+X",    DIRECTORY(0644),  0755    },
                { "+t",     DIRECTORY(0755),  01755   },
                { "u+t",    DIRECTORY(0755),  0755    },
                { "o-t",    DIRECTORY(01755), 0755    },
                { "+",      FILE(0644),       0644    },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                mode_t mode = 0;
                int r = mode_change(cases[i].text, cases[i].old, &mode);

                if ((r < 0 ? r : (int) mode) != cases[i].expect)
                        fail_msg("'%s' on %o: %d %o, expected %o", cases[i].text, cases[i].old, r, mode,
                                 cases[i].expect);
        }
}
