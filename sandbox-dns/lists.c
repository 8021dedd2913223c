/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-dns/lists.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/log.h"
#include "libsandbox/runtime-files.h"
#include "libsandbox/string-util.h"

#define FILE_MAX (256 * KiB)
#define LOG_BURST 40.0
#define LOG_PER_SEC 2.0

int name_list_new(const char *id, uint32_t address, NameList **ret) {
        NameList *l = new0(NameList, 1);

        if (!l)
                return -ENOMEM;
        snprintf(l->id, sizeof l->id, "%s", id);
        l->address = address;
        l->tokens = LOG_BURST;
        *ret = l;
        return 0;
}

NameList *name_list_free(NameList *l) {
        if (l) {
                decisions_close(l->decisions);
                free(l->entries);
                free(l);
        }
        return NULL;
}

int name_list_add(NameList *l, const char *entry) {
        EgressEntry e, *larger;

        if (egress_entry_parse(entry, &e) < 0 || !e.is_name)
                return -EINVAL;
        if (l->n_entries == LIST_ENTRIES_MAX)
                return -E2BIG;
        larger = reallocarray(l->entries, l->n_entries + 1, sizeof *larger);
        if (!larger)
                return -ENOMEM;
        l->entries = larger;
        l->entries[l->n_entries++] = e;
        return 0;
}

bool name_list_may_log(NameList *l, uint64_t now_usec) {
        if (l->tokens_usec > 0 && now_usec > l->tokens_usec)
                l->tokens = MIN(LOG_BURST, l->tokens + (double) (now_usec - l->tokens_usec) / USEC_PER_SEC * LOG_PER_SEC);
        l->tokens_usec = now_usec;
        if (l->tokens < 1)
                return false;
        l->tokens--;
        return true;
}

int name_list_format(const NameList *l, char **ret) {
        char address[ADDRESS_TEXT_MAX], entry[EGRESS_ENTRY_MAX], *text = NULL;
        size_t size;
        FILE *f = open_memstream(&text, &size);

        if (!f)
                return -ENOMEM;
        fprintf(f, "%s\n", address_format(l->address, address));
        for (size_t i = 0; i < l->n_entries; i++)
                fprintf(f, "%s\n", egress_entry_format(l->entries + i, entry));
        if (fclose(f) != 0) {
                free(text);
                return -ENOMEM;
        }
        *ret = text;
        return 0;
}

int name_list_parse(const char *id, const char *text, NameList **ret) {
        _cleanup_(name_list_freep) NameList *l = NULL;
        _cleanup_free_ char *copy = strdup(text);
        char *rest = copy, *line;
        uint32_t address;
        int r;

        if (!copy)
                return -ENOMEM;
        line = strsep(&rest, "\n");
        if (address_parse(line, &address) < 0)
                return -EBADMSG;
        r = name_list_new(id, address, &l);
        while (r >= 0 && (line = strsep(&rest, "\n")))
                if (*line)
                        r = name_list_add(l, line);
        if (r < 0)
                return r == -ENOMEM ? r : -EBADMSG;
        *ret = TAKE_PTR(l);
        return 0;
}

static void format_decisions_name(const char *id, char ret[64]) {
        snprintf(ret, 64, "%.32s.decisions", id);
}

static void open_decisions(NameLists *lists, NameList *l) {
        char name[64];
        int r;

        format_decisions_name(l->id, name);
        r = decisions_open(lists->directory_fd, name, &l->decisions);
        if (r < 0)
                log_sandbox_errno(LOG_WARNING, r, l->id, "Failed to open the file of decisions, ignoring: %m");
}

static int load(const char *id, const char *text, void *userdata) {
        _cleanup_(name_list_freep) NameList *l = NULL;
        NameLists *lists = userdata;
        int r;

        r = name_list_parse(id, text, &l);
        if (r >= 0)
                r = hashmap_put(lists->by_id, l->id, l);
        if (r < 0)
                return r;
        open_decisions(lists, l);
        TAKE_PTR(l);
        return 0;
}

int name_lists_init(NameLists *ret, int directory_fd) {
        NameLists lists = { .directory_fd = directory_fd };
        int r = -ENOMEM;

        lists.by_id = hashmap_new();
        if (lists.by_id)
                r = runtime_files_foreach(directory_fd, FILE_MAX, load, &lists);
        if (r < 0) {
                name_lists_done(&lists);
                return r;
        }
        *ret = lists;
        return 0;
}

void name_lists_done(NameLists *lists) {
        NameList *l;

        if (lists->by_id)
                HASHMAP_FOREACH(l, lists->by_id)
                        name_list_free(l);
        lists->by_id = hashmap_free(lists->by_id);
        lists->directory_fd = safe_close(lists->directory_fd);
}

/* Of an address that has another's list: that one is gone, and nobody has said so. */
static void drop_namesake(NameLists *lists, const NameList *l) {
        NameList *other = name_lists_find(lists, l->address);

        if (other && !streq(other->id, l->id))
                name_lists_remove(lists, other->id);
}

int name_lists_put(NameLists *lists, NameList *list) {
        _cleanup_(name_list_freep) NameList *l = list, *before = NULL;
        _cleanup_free_ char *text = NULL;
        int r;

        r = name_list_format(l, &text);
        if (r >= 0)
                r = write_file_atomic_at(lists->directory_fd, l->id, text, 0600);
        if (r < 0)
                return r;
        drop_namesake(lists, l);
        before = hashmap_remove(lists->by_id, l->id);
        if (before) {
                l->decisions = TAKE_PTR(before->decisions);
                l->n_pending = before->n_pending;
        } else
                open_decisions(lists, l);
        r = hashmap_put(lists->by_id, l->id, l);
        if (r < 0)
                return r;
        TAKE_PTR(l);
        return 0;
}

void name_lists_remove(NameLists *lists, const char *id) {
        _cleanup_(name_list_freep) NameList *l = hashmap_remove(lists->by_id, id);
        char name[64];

        format_decisions_name(l ? l->id : id, name);
        (void) unlinkat(lists->directory_fd, name, 0);
        (void) unlinkat(lists->directory_fd, l ? l->id : id, 0);
}

NameList *name_lists_get(NameLists *lists, const char *id) {
        return hashmap_get(lists->by_id, id);
}

NameList *name_lists_find(NameLists *lists, uint32_t address) {
        NameList *l;

        HASHMAP_FOREACH(l, lists->by_id)
                if (l->address == address)
                        return l;
        return NULL;
}
