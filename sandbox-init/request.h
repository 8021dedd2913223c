/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "libsandbox/init-protocol.h"

/* Reads what comes from outside of init. No system call and no libc here: the same source is compiled for the unit
 * tests and the fuzzer. */

#define EXEC_STRINGS_SIZE_MAX (8U << 20) /* in a memfd; the kernel takes less still (E2BIG) */
#define EXEC_FDS 4U                      /* stdin, stdout, stderr, cgroup */
#define EXEC_PATH_MAX 4096U
#define EXEC_PATH_DEFAULT "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define ID_MAX 65535U                    /* highest one that is mapped */
#define REQUEST_FDS_MAX (1U + INIT_LAYERS_MAX + 2U + 2U * INIT_FROZEN_MAX)

/* 0 if the packet is a whole, consistent request that is due in this phase; -EBADMSG if it is malformed, -EPROTO if it
 * comes in the wrong phase, -EOPNOTSUPP if it is unknown, -EINVAL if it asks for what init never does. message is
 * aligned like uint64_t. */
int request_check(const void *message, size_t size, size_t n_fds, InitPhase phase);

typedef struct ExecStrings {
        const char *cwd;
        const char **argv, **envp;   /* each with a NULL at its end */
        const char *path;            /* of env, or the default */
        const char *pointers[INIT_STRINGS_MAX + 2];
} ExecStrings;

/* Finds cwd, argv and env in size bytes, of which it must use each one; the result points into them. */
int exec_strings_parse(const char *strings, size_t size, uint32_t argc, uint32_t envc, ExecStrings *ret);

/* The next candidate of a lookup of name in the search path *path, which advances: 1, or 0 after the last one. What is
 * too long is left out. An empty element is the working directory. */
int exec_path_next(const char **path, const char *name, char buffer[static EXEC_PATH_MAX]);
