/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libsandbox/sandbox-id.h"

/* What sandbox-execd must know about a sandbox after a restart: one small text file each, key=value, in
 * EXECD_STATE_DIRECTORY, named by the id. The last line repeats the id, so a truncated file shows. */

#define STATE_FILE_VERSION 1U
#define STATE_FILE_MAX (64 * KiB)
#define STATE_LABEL_MAX (8 * KiB)

typedef struct SandboxRecord {
        SandboxId id;
        bool live;               /* false: being made, undone at a restart */
        uint32_t base;           /* first id of its range */
        uint32_t slice;
        uint32_t project;        /* that its writable directory is on disk; 0: none */
        char *label;
        uint64_t created_usec;   /* CLOCK_REALTIME */
        uint64_t deadline_usec;  /* CLOCK_BOOTTIME; a copy, the file in DUE_DIRECTORY decides */
        uint64_t memory_max_bytes;
        uint64_t pids_max;
        bool idmapped;
        bool copying;            /* its commands are frozen for a copy, and nobody asked for a pause */
        bool writable_disk;
} SandboxRecord;

void sandbox_record_done(SandboxRecord *r);
int sandbox_record_format(const SandboxRecord *r, char **ret);
/* -EBADMSG: not a whole record of ours; -EPROTONOSUPPORT: of a newer version; -ESTALE: of another id. text is changed. */
int sandbox_record_parse(char *text, const char *id, SandboxRecord *ret);

int state_file_write(int dir_fd, const SandboxRecord *r);
int state_file_remove(int dir_fd, const char *id);
/* Calls handler for every good record, which takes it over. Others are set aside as <name>.bad with one line in the log. */
int state_files_load(int dir_fd, int (*handler)(SandboxRecord *r, void *userdata), void *userdata);
