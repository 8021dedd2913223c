/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libsandbox/service.h"

/* Work that must not block the loop, or that has to be root of the foreign range of ids: a short-lived process of our
 * own program, in a user namespace with just this range. The service is held while it runs. */
typedef struct Helper Helper;

/* error: 0 or a negative errno; text: its message, or what the work has to say. */
typedef void (*HelperHandler)(int error, const char *text, void *userdata);

#define HELPER_FDS_MAX 2U
#define HELPER_TEXT_MAX 512U

typedef struct HelperOptions {
        Service *service;
        const char *program;    /* our own executable */
        const char *work;       /* a row of the table in helper-main.c */
        int fds[HELPER_FDS_MAX]; /* borrowed; the work has them as 4, 5 */
        size_t n_fds;
        uint64_t timeout_usec;
        HelperHandler handler;  /* called once, unless the helper is freed before */
        void *userdata;
} HelperOptions;

int helper_new(const HelperOptions *options, Helper **ret);
/* Ends the process if it still runs. */
Helper *helper_free(Helper *h);
DEFINE_CLEANUP(Helper *, helper_free)

#define HELPER_FD_RESULT 3
#define HELPER_FD_FIRST 4

/* The process's side: becomes root of the range, does the work, reports, and gives the exit status. */
int helper_main(const char *work);
