/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <jansson.h>

#include "libsandbox/sandbox-id.h"
#include "libsandbox/sandbox-spec.h"
#include "sandboxd/store.h"

/* A sandbox as sandboxd knows it: the record, its state and its text forms. No bus, no HTTP. */

typedef enum SandboxState {
        SANDBOX_CREATING,
        SANDBOX_RUNNING,
        SANDBOX_PAUSED,
        SANDBOX_STOPPED,
        SANDBOX_FAILED,
        _SANDBOX_STATE_MAX,
        _SANDBOX_STATE_INVALID = -22,
} SandboxState;

const char *sandbox_state_to_string(SandboxState state);
SandboxState sandbox_state_from_string(const char *s);

#define SANDBOX_PUBLIC_ID_SIZE (sizeof(SANDBOX_ID_PREFIX) + SANDBOX_ID_SHORT)

/* Of the last metrics, from which the next rate is computed. */
typedef struct CpuSample {
        uint64_t usec, cpu_usec;
} CpuSample;

typedef struct Sandbox {
        unsigned n_ref;
        char id[SANDBOX_ID_LENGTH + 1];
        char public_id[SANDBOX_PUBLIC_ID_SIZE]; /* key of the manager's map */
        SandboxState state;
        char *name, *image;
        char *base;                             /* the catalog's name of what a clone calls its image; NULL: the image */
        char *worker;                           /* whose it is; NULL: of before workers had names */
        json_t *config, *metadata, *entrypoint; /* entrypoint may be NULL */
        json_t *env;                            /* what env.h changed: string, or null for one taken away; or NULL */
        json_t *proxy;                          /* what its owner said of it to proxy.h, or NULL */
        json_t *secrets;                        /* environment that goes to commands and to nobody else; may be NULL */
        uint64_t created_msec, expires_msec;    /* wall clock, for display and across boots */
        uint64_t deadline_usec;                 /* CLOCK_BOOTTIME of this boot: what counts */

        bool leaving;                           /* somebody deletes it: it is not there for anybody else */
        bool elsewhere;                         /* another worker's, and nothing of it is here */
        bool seen;                              /* mark of a reconciliation */
        bool unsaved;                           /* is in the list of manager_save_later() */
        struct Sandbox *next_unsaved;
        unsigned n_live;                        /* commands */
        CpuSample cpu;
        unsigned n_networks;                    /* that it is a member of */
        bool half_connected;                    /* whoever made it was killed meanwhile */
        unsigned n_restricting;                 /* lists of what it may reach that are being put in force */
        struct HostsMirror *hosts_mirror;       /* /etc/hosts is being written */
        uint64_t exposed_changes;               /* store_changes() when this port was exposed; port 0: none was */
        uint16_t exposed_port;
        unsigned n_roots;                       /* that took the place of another */
        bool restoring;                         /* fsd and execd are at it: one after the other */
        bool flat;                              /* what it began with is one layer for its clones (flatten.h) */
        struct Share *share;                    /* what it wrote becomes a snapshot; share.c's */
        struct EnvMirror *env_mirror;           /* /etc/environment is being written */
        struct Alert *alerts;                   /* a list, kept by alert.c */
        uint64_t sample_usec, sample_cpu_usec;  /* of the last metrics */
        uint64_t rx_bytes, tx_bytes;            /* of its way out, when usage.h was last asked */
} Sandbox;

/* Takes the objects over, also on failure. */
typedef struct SandboxInit {
        const char *id, *name, *image, *worker; /* name NULL: the public id */
        const char *base;                       /* NULL: the image */
        json_t *config, *metadata, *entrypoint, *secrets, *env, *proxy;
        uint64_t created_msec, timeout_sec;
} SandboxInit;

int sandbox_new(const SandboxInit *init, Sandbox **ret);
Sandbox *sandbox_ref(Sandbox *s);
Sandbox *sandbox_unref(Sandbox *s);
DEFINE_CLEANUP(Sandbox *, sandbox_unref)

/* The two clocks of the expiry are set together. */
void sandbox_set_expiry(Sandbox *s, uint64_t expires_msec);
bool sandbox_is_expired(const Sandbox *s);
/* There is something at sandbox-execd that can be asked. */
bool sandbox_is_live(const Sandbox *s);

/* Its root takes the place of another, or may: what is known of that one counts no more. */
void sandbox_note_root(Sandbox *s);

/* For a record of the database and, so that a lost database can be filled again, for the label at execd: that one has
 * no secrets, as it lies in a file of another program. */
int sandbox_to_record(const Sandbox *s, char **ret);
int sandbox_to_label(const Sandbox *s, char **ret);
/* -EBADMSG when the text is no record. */
int sandbox_from_record(const char *id, const char *state, uint64_t created_msec, const char *record, Sandbox **ret);

/* Limits of the record's config: MiB, processors. */
/* All of them; 0: the config says nothing of it. */
void sandbox_get_all_limits(const Sandbox *s, SandboxLimits *ret);
void sandbox_get_limits(const Sandbox *s, uint64_t *ret_memory_bytes, double *ret_cpu);
/* What sandbox-fsd knows its image as. */
const char *sandbox_get_base(const Sandbox *s);
const char *sandbox_get_workdir(const Sandbox *s);
/* To the environment of a command that is about to start; what is there already stays. */
int sandbox_add_secrets(const Sandbox *s, char ***env);

#define SANDBOX_LABEL_MAX 4096U
