/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libsandbox/hashmap.h"
#include "libsandbox/sandbox-id.h"
#include "sandbox-dns/decisions.h"

/* Who may ask for what. Each list is a file, <id>, and each has a file of decisions beside it, <id>.decisions. */

#define LIST_ENTRIES_MAX 256U

typedef struct NameList {
        char id[SANDBOX_ID_LENGTH + 1];
        uint32_t address;
        EgressEntry *entries;   /* names only */
        size_t n_entries;
        Decisions *decisions;   /* NULL: they could not be had */
        unsigned n_pending;     /* questions that are under way */
        double tokens;          /* lines that it may still write into the log */
        uint64_t tokens_usec;
} NameList;

int name_list_new(const char *id, uint32_t address, NameList **ret);
NameList *name_list_free(NameList *l);
DEFINE_CLEANUP(NameList *, name_list_free)

/* -EINVAL: it is no name; -E2BIG: there are too many. */
int name_list_add(NameList *l, const char *entry);
/* Takes a token away; false: it has written too much just now. */
bool name_list_may_log(NameList *l, uint64_t now_usec);

int name_list_format(const NameList *l, char **ret);
int name_list_parse(const char *id, const char *text, NameList **ret);

typedef struct NameLists {
        Hashmap *by_id;
        int directory_fd;
} NameLists;

/* Takes the descriptor over, also on failure. */
int name_lists_init(NameLists *ret, int directory_fd);
void name_lists_done(NameLists *lists);
/* Takes the list over, also on failure. */
int name_lists_put(NameLists *lists, NameList *l);
void name_lists_remove(NameLists *lists, const char *id);
NameList *name_lists_get(NameLists *lists, const char *id);
NameList *name_lists_find(NameLists *lists, uint32_t address);
