/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The compiler may call these whatever the flags are. */
void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memset(void *at, int value, size_t size);
size_t strlen(const char *s);

#define ELEMENTSOF(x) (sizeof(x) / sizeof((x)[0]))
#define USEC_PER_SEC UINT64_C(1000000)
#define USEC_INFINITY UINT64_MAX

uint64_t now_boottime_usec(void);

void close_fd(int *fd); /* leaves -EBADF in it */
int take_fd(int *fd);   /* leaves -EBADF in it */

/* Decimal digits and a NUL; returns the buffer. */
#define DECIMAL_MAX 21U
const char *format_u64(uint64_t value, char buffer[static DECIMAL_MAX]);

/* Writes the whole text to an existing file below a directory. */
int write_file_at(int directory, const char *path, const char *text);

/* Gives back the whole pages within static memory that is not needed for now; they read as 0 then. */
void release_pages(void *at, size_t size);
