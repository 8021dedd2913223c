/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdio.h>

#include "libsandbox/macro.h"

/* Command line options by table: parsing, the help text and suggestions all come from the rows. A table ends with an
 * empty row. */

typedef enum OptionType {
        OPTION_FLAG,      /* bool * */
        OPTION_STRING,    /* const char **, points into argv */
        OPTION_STRV,      /* char ***, may be given more than once */
        OPTION_UINT,      /* uint64_t * */
        OPTION_NUMBER,    /* double * */
        OPTION_SECONDS,   /* uint64_t *, with an optional unit */
        OPTION_INTERVAL,  /* uint64_t *, seconds behind a "=" only: without, INTERVAL_DEFAULT_SEC */
        OPTION_MEBIBYTES, /* uint64_t *, with an optional unit */
} OptionType;

typedef struct Option {
        char letter;       /* 0: none */
        const char *name;
        const char *value; /* how the help names its value; NULL for flags */
        OptionType type;
        void *target;
        const char *help;
} Option;

#define INTERVAL_DEFAULT_SEC 2U
#define INTERVAL_MAX_SEC (24U * 3600)
#define HELP_COLUMNS 80U
#define OPTION_TABLES_MAX 2U

/* Options may stand anywhere before "--", but behind the stop-th other word everything is taken as it is: these are
 * the words of somebody else's command. ret_words is NULL-terminated and points into argv. On failure *ret_error says
 * what was wrong. */
int options_parse(const Option *const tables[OPTION_TABLES_MAX], char **argv, unsigned stop, char ***ret_words,
                  char **ret_error);
/* One line a row, wrapped at HELP_COLUMNS. */
void options_help(FILE *f, const Option *table);
/* "left" in its column, then text wrapped beside it. */
void help_row(FILE *f, unsigned column, const char *left, const char *text);
