/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "libsandbox/macro.h"
#include "sandbox-execd/composition.h"

typedef struct Sandbox Sandbox;

/* Work in the vault of a sandbox: the namespace that keeps what its root is made of (INIT_FD_VAULT). It is done by a
 * child that is root of the sandbox for that moment; we wait for it. */

typedef struct Vault {
        int user_fd, mount_fd, vault_fd, cgroup_fd;
} Vault;

#define VAULT_NULL ((Vault) { -EBADF, -EBADF, -EBADF, -EBADF })

/* -EOPNOTSUPP: its init is of a version that has none. */
int vault_open(const Sandbox *s, Vault *ret);
void vault_done(Vault *v);

int vault_read_composition(const Sandbox *s, Composition *ret);

/* What has a name there, as a detached mount of its own, or as an O_PATH descriptor if it is only to be read. */
int vault_clone(const Vault *v, const char *name);
int vault_clone_twice(const Vault *v, const char *name, int ret[static 2]);
int vault_open_directory(const Vault *v, const char *name);

typedef struct VaultMount {
        int fd;
        const char *name;
} VaultMount;

/* Another root in place of the one there is, with the mounts of the old one attached to it. Nothing may run in the
 * sandbox, and no file worker: who holds a descriptor below the old root would write where nobody looks any more. */
typedef struct VaultRebuild {
        const char *root_lower, *usr_lower; /* usr_lower "": none */
        const char *upper;                  /* its name */
        int upper_fd;                       /* < 0: a tmpfs as large as that named size_of */
        bool upper_is_like;                 /* that: its directories get the same attributes */
        const char *size_of;
        const VaultMount *attach;           /* first of all */
        size_t n_attach;
        char *const *mounts;                /* paths to take along */
        size_t n_mounts;
        const char *const *drop;            /* names that are not needed any more */
        size_t n_drop;
} VaultRebuild;

int vault_rebuild(const Vault *v, const VaultRebuild *rebuild);

/* Whether anything was written to an upper since it was made: two equal marks, and nothing was. */
typedef struct VaultMark {
        uint64_t inodes, blocks;
        int64_t changed[4];
} VaultMark;

int vault_mark(const Vault *v, const char *upper, VaultMark *ret);
