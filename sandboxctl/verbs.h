/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdio.h>

#include "sandboxctl/options.h"

typedef struct Ctl Ctl;

typedef enum VerbFlags {
        /* Ends with the status of a command: all failures of our own are EXIT_STATUS_OWN, also wrong usage. */
        VERB_RUNS_COMMAND = 1 << 0,
} VerbFlags;

/* A table of verbs ends with an empty row. handler gets the words behind the verb, NULL-terminated, already counted,
 * and returns an ExitStatus; what went wrong stands on stderr by then. */
typedef struct Verb {
        const char *group;      /* heading in the help */
        const char *name;
        const char *arguments;  /* "ID COMMAND..." */
        unsigned min, max;      /* number of words */
        unsigned stop;          /* see options_parse() */
        const Option *options;
        int (*handler)(Ctl *c, char **words);
        unsigned flags;
        const char *help;
        const char *example;    /* a line of shell, for the verb's own help; a test runs it beside a sandbox "demo" */
} Verb;

#define WORDS_ANY UINT32_MAX

const Verb *verb_find(const Verb *verbs, const char *name);
/* The verb that was probably meant, or NULL. */
const char *verb_suggest(const Verb *verbs, const char *name);
void verbs_help(FILE *f, const Verb *verbs);
void verb_help(FILE *f, const char *program, const Verb *v);
