/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <jansson.h>

#include "libsandbox/hashmap.h"

/* What `sandboxctl top` knows: the sandboxes of the last answer, with what they used in those before. No terminal and no
 * connection; verb-top.c has these. */

#define TOP_HISTORY 32U

typedef struct TopRow {
        char *id, *name, *status;
        double cpu_percent;      /* 100 is one processor */
        double processors;       /* what it may use */
        uint64_t memory, memory_max, pids, io_read, io_written;
        int64_t created_msec, expires_msec;
        uint64_t cpu_usec;       /* of the last answer, for the rate */
        double cpu_history[TOP_HISTORY], memory_history[TOP_HISTORY];
        size_t n_history;        /* the newest last */
        bool measured, seen;
} TopRow;

typedef struct Top {
        Hashmap *rows;           /* by id */
        TopRow **sorted;
        size_t n;
        double cpu_history[TOP_HISTORY], memory_history[TOP_HISTORY]; /* of all together */
        size_t n_history;
        uint64_t sampled_usec;
        unsigned sort;           /* a column */
        bool reverse;
} Top;

int top_new(Top **ret);
Top *top_free(Top *t);
DEFINE_CLEANUP(Top *, top_free)

/* Takes an answer in: {"items": [Sandbox with "metrics"...]}. now_usec: when it was asked for, CLOCK_BOOTTIME. */
int top_update(Top *t, const json_t *list, uint64_t now_usec);
void top_sort(Top *t);
/* By the column that is called so, or has this key. -EINVAL: none has. */
int top_sort_by_name(Top *t, const char *name);
int top_sort_by_key(Top *t, char key);

/* top-line.c: lines for a terminal or a file. */
typedef struct TopView {
        unsigned columns;        /* 0: as wide as it gets, and without histories */
        bool utf8;
        int64_t now_msec;
} TopView;

/* row NULL: the titles. */
char *top_line(const Top *t, const TopRow *row, const TopView *view);
char *top_summary(const Top *t, const TopView *view);
char *top_counts(const Top *t, const TopView *view);
/* Names that --sort takes, and keys with their meaning. */
const char *top_column_name(unsigned column);
const char *top_sort_names(void);
extern const char top_keys[];

/* The order of two rows by a column, the first line first. */
int top_compare(unsigned column, const TopRow *a, const TopRow *b);
