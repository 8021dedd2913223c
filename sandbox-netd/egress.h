/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdio.h>

#include "libsandbox/address.h"
#include "libsandbox/egress-mark.h"
#include "libsandbox/hashmap.h"
#include "libsandbox/sandbox-id.h"

/* What a sandbox may reach, where it may not reach all: prefixes, and the marks of names whose addresses somebody else
 * finds out. A list is written down in a file before the kernel has it, so that the rules can be made anew. */

#define EGRESS_PREFIXES_MAX 256U
#define EGRESS_MARKS_MAX 256U

typedef struct EgressPrefix {
        Prefix prefix;
        uint16_t port;          /* 0: any */
} EgressPrefix;

typedef struct EgressList {
        char id[SANDBOX_ID_LENGTH + 1];
        uint32_t address;       /* of the sandbox */
        EgressPrefix *prefixes;
        size_t n_prefixes;
        uint32_t *marks;
        size_t n_marks;
} EgressList;

int egress_list_new(const char *id, uint32_t address, EgressList **ret);
EgressList *egress_list_free(EgressList *l);
DEFINE_CLEANUP(EgressList *, egress_list_free)

/* -E2BIG. */
int egress_list_add_prefix(EgressList *l, const Prefix *prefix, uint16_t port);
int egress_list_add_mark(EgressList *l, uint32_t mark);
bool egress_list_has_mark(const EgressList *l, uint32_t mark);
/* Takes away what another one covers: the kernel refuses elements that overlap. */
void egress_list_normalize(EgressList *l);

/* Commands that make the rules of the one those of the other; either may be NULL. */
void egress_list_write_change(FILE *f, const EgressList *before, const EgressList *after);

/* As it stands in its file. -EBADMSG. */
int egress_list_format(const EgressList *l, char **ret);
int egress_list_parse(const char *id, const char *text, EgressList **ret);

/* All of them, and their files. */
typedef struct EgressLists {
        Hashmap *by_id;
        int directory_fd;
} EgressLists;

/* Takes the descriptor over, also on failure. */
int egress_lists_init(EgressLists *ret, int directory_fd);
void egress_lists_done(EgressLists *lists);
/* Takes the list over, also on failure. One of the same id is replaced. */
int egress_lists_put(EgressLists *lists, EgressList *l);
void egress_lists_remove(EgressLists *lists, EgressList *l);
EgressList *egress_lists_get(EgressLists *lists, const char *id);
EgressList *egress_lists_find(EgressLists *lists, uint32_t address);
/* Commands that add all of them. */
int egress_lists_format(EgressLists *lists, char **ret);
