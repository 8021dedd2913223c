/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libsandbox/macro.h"

/* Output of a command, addressed by byte positions that never change: the first SPOOL_HEAD_MAX and the last
 * SPOOL_TAIL_MAX bytes are kept, what fell out between them is counted. Unnamed spools live in memory until they grow
 * and then in a file without a name; named ones are a file from the first byte and are found again after a restart. */

#define SPOOL_HEAD_MAX (10 * MiB)
#define SPOOL_TAIL_MAX (1 * MiB)
#define SPOOL_MEMORY_MAX (64 * KiB)

typedef struct Spool Spool;

/* What a live spool reads in one go, and its tail is shorter by. */
#define SPOOL_LIVE_MAX (4 * KiB)

/* name NULL: unnamed. A file that is there already is continued; one that is no spool is replaced. */
int spool_new(int dir_fd, const char *name, Spool **ret);
/* One that loses nothing when we are killed: what spool_fill() takes from a descriptor is in the file when it is no
 * longer in the descriptor, and is found there by the next spool_new_live(). */
int spool_new_live(int dir_fd, const char *name, Spool **ret);
Spool *spool_ref(Spool *s);
Spool *spool_unref(Spool *s);
DEFINE_CLEANUP(Spool *, spool_unref)

/* Of a command that has ended: the descriptor of a named one is closed while nobody reads, since hundreds of such are
 * remembered. */
void spool_rest(Spool *s);

/* On failure (disk full) the bytes are lost and counted as such, what was stored before stays readable. */
int spool_append(Spool *s, const void *data, size_t n);

/* (live) One read() of at most SPOOL_LIVE_MAX bytes, and its result: 0 at the end of the file, negative errno. On -EFAULT
 * (disk full) nothing was read. */
ssize_t spool_fill(Spool *s, int fd);

/* The position after the last byte. */
uint64_t spool_total(const Spool *s);
/* The position where the tail begins: the bytes from SPOOL_HEAD_MAX up to it are gone. */
uint64_t spool_tail_start(const Spool *s);
/* Bytes that nobody can read any more. */
uint64_t spool_dropped(const Spool *s);
/* Bytes held, in memory or on disk. */
uint64_t spool_stored(const Spool *s);

/* Reads at *cursor and moves it; a cursor in the gap goes to the tail first. 0 at the end. */
ssize_t spool_read(Spool *s, uint64_t *cursor, void *buffer, size_t n);
