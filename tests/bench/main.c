/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "libsandbox/string-util.h"
#include "tests/bench/bench.h"
#include "tests/bench/filter.h"

/* The benchmark's half inside a booted system; run.sh is what starts it. Rows go to stdout as JSON; with --print they
 * come from stdin, joined from several machines, and become a table and an exit status. */

enum {
        OPTION_ADDRESS = 256,
        OPTION_COLD,
        OPTION_MEMORY,
        OPTION_NO_REST,
        OPTION_PEERS,
        OPTION_PRINT,
        OPTION_PROFILE,
        OPTION_ROUNDS,
        OPTION_WARM,
};

static const struct option options[] = {
        { "address", required_argument, NULL, OPTION_ADDRESS },
        { "cold",    required_argument, NULL, OPTION_COLD    },
        { "memory",  required_argument, NULL, OPTION_MEMORY  },
        { "no-rest", no_argument,       NULL, OPTION_NO_REST },
        { "peers",   required_argument, NULL, OPTION_PEERS   },
        { "print",   required_argument, NULL, OPTION_PRINT   },
        { "profile", no_argument,       NULL, OPTION_PROFILE },
        { "rounds",  required_argument, NULL, OPTION_ROUNDS  },
        { "warm",    required_argument, NULL, OPTION_WARM    },
        {}
};

static int print_rows(const char *format) {
        json_t *rows = json_loadf(stdin, 0, NULL);
        int r;

        if (!json_is_array(rows)) {
                fprintf(stderr, "bench: no rows\n");
                return 2;
        }
        r = rows_print(rows, streq(format, "json")       ? FORMAT_JSON
                             : streq(format, "markdown") ? FORMAT_MARKDOWN
                                                         : FORMAT_TABLE);
        json_decref(rows);
        return r;
}

static int print_profile(void) {
        json_t *profile = filter_profile();
        int r = profile ? json_dumpf(profile, stdout, 0) : -1;

        json_decref(profile);
        return r < 0;
}

static int measure(Bench *b, unsigned memory, char *const *names) {
        json_t *rows;

        rows_select(b, names);
        if (memory > 0)
                stages_measure_memory(b, memory);
        else
                stages_run(b);
        rows = rows_make(b);
        (void) rows_print(rows, FORMAT_JSON);
        json_decref(rows);
        for (Measure m = 0; m < _MEASURE_MAX; m++) {
                samples_done(b->samples + m);
                free(b->failures[m]);
        }
        json_decref(b->peers);
        return 0;
}

int main(int argc, char *argv[]) {
        static Bench b = { .rounds = 60, .blank = "/run/sandboxd/api.sock" };
        unsigned memory = 0;
        int c;

        while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0)
                switch (c) {
                case OPTION_ADDRESS: /* a path, or a port of this machine */
                        b.blank = optarg;
                        break;
                case OPTION_COLD:
                        b.cold = optarg;
                        break;
                case OPTION_MEMORY:
                        memory = (unsigned) atoi(optarg);
                        break;
                case OPTION_NO_REST: /* one request after the other */
                        b.no_rest = true;
                        break;
                case OPTION_PEERS:
                        b.peers = json_load_file(optarg, 0, NULL);
                        break;
                case OPTION_PRINT:
                        return print_rows(optarg);
                case OPTION_PROFILE:
                        return print_profile();
                case OPTION_ROUNDS:
                        b.rounds = (unsigned) atoi(optarg);
                        break;
                case OPTION_WARM:
                        b.warm = optarg;
                        break;
                default:
                        return 2;
                }
        return measure(&b, memory, argv + optind);
}
