/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-netd/egress.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/runtime-files.h"
#include "libsandbox/string-util.h"

#define FILE_MAX (64 * KiB)
#define TABLE "inet sandboxd"

int egress_list_new(const char *id, uint32_t address, EgressList **ret) {
        EgressList *l = new0(EgressList, 1);

        if (!l)
                return -ENOMEM;
        snprintf(l->id, sizeof l->id, "%s", id);
        l->address = address;
        *ret = l;
        return 0;
}

EgressList *egress_list_free(EgressList *l) {
        if (l) {
                free(l->prefixes);
                free(l->marks);
                free(l);
        }
        return NULL;
}

int egress_list_add_prefix(EgressList *l, const Prefix *prefix, uint16_t port) {
        EgressPrefix *larger;

        if (l->n_prefixes >= EGRESS_PREFIXES_MAX)
                return -E2BIG;
        larger = reallocarray(l->prefixes, l->n_prefixes + 1, sizeof *larger);
        if (!larger)
                return -ENOMEM;
        l->prefixes = larger;
        l->prefixes[l->n_prefixes++] = (EgressPrefix) { *prefix, port };
        return 0;
}

int egress_list_add_mark(EgressList *l, uint32_t mark) {
        uint32_t *larger;

        if (egress_list_has_mark(l, mark))
                return 0;
        if (l->n_marks >= EGRESS_MARKS_MAX)
                return -E2BIG;
        larger = reallocarray(l->marks, l->n_marks + 1, sizeof *larger);
        if (!larger)
                return -ENOMEM;
        l->marks = larger;
        l->marks[l->n_marks++] = mark;
        return 0;
}

bool egress_list_has_mark(const EgressList *l, uint32_t mark) {
        for (size_t i = 0; i < l->n_marks; i++)
                if (l->marks[i] == mark)
                        return true;
        return false;
}

/* Of two equal ones the first stays. */
static bool is_covered(const EgressList *l, size_t i) {
        const EgressPrefix *p = l->prefixes + i;

        for (size_t j = 0; j < l->n_prefixes; j++) {
                const EgressPrefix *q = l->prefixes + j;

                if (i != j && p->port == q->port && q->prefix.bits <= p->prefix.bits &&
                    prefixes_overlap(&p->prefix, &q->prefix) && (q->prefix.bits < p->prefix.bits || j < i))
                        return true;
        }
        return false;
}

void egress_list_normalize(EgressList *l) {
        size_t i = 0;

        while (i < l->n_prefixes)
                if (is_covered(l, i)) {
                        l->n_prefixes--;
                        memmove(l->prefixes + i, l->prefixes + i + 1, (l->n_prefixes - i) * sizeof *l->prefixes);
                } else
                        i++;
}

static bool has_prefix(const EgressList *l, const EgressPrefix *p) {
        for (size_t i = 0; l && i < l->n_prefixes; i++)
                if (l->prefixes[i].port == p->port && l->prefixes[i].prefix.bits == p->prefix.bits &&
                    l->prefixes[i].prefix.address == p->prefix.address)
                        return true;
        return false;
}

/* What is in one and not in the other. */
static void write_difference(FILE *f, const char *verb, const EgressList *l, const EgressList *other,
                             const char *address) {
        char text[PREFIX_TEXT_MAX];

        for (size_t i = 0; i < l->n_prefixes; i++) {
                const EgressPrefix *p = l->prefixes + i;

                if (has_prefix(other, p))
                        continue;
                (void) prefix_format(&p->prefix, text);
                if (p->port > 0)
                        fprintf(f, "%s element " TABLE " prefix_ports { %s . %s . %u }\n", verb, address, text, p->port);
                else
                        fprintf(f, "%s element " TABLE " prefixes { %s . %s }\n", verb, address, text);
        }
        for (size_t i = 0; i < l->n_marks; i++)
                if (!other || !egress_list_has_mark(other, l->marks[i]))
                        fprintf(f, "%s element " TABLE " current { %s . 0x%08" PRIx32 " }\n", verb, address, l->marks[i]);
        if (l->n_marks > 0 && (!other || other->n_marks == 0))
                fprintf(f, "%s element " TABLE " named { %s }\n", verb, address);
}

static void write_one(FILE *f, const char *verb, const EgressList *l, const EgressList *other) {
        static const char *const sets[] = { "restricted", "accepted", "refused" };
        char address[ADDRESS_TEXT_MAX];

        if (!l)
                return;
        (void) address_format(l->address, address);
        for (size_t i = 0; !other && i < ELEMENTSOF(sets); i++)
                fprintf(f, "%s element " TABLE " %s { %s }\n", verb, sets[i], address);
        write_difference(f, verb, l, other, address);
}

/* What both have is not touched: its counters go on. */
void egress_list_write_change(FILE *f, const EgressList *before, const EgressList *after) {
        bool same = before && after && before->address == after->address;

        write_one(f, "delete", before, same ? after : NULL);
        write_one(f, "add", after, same ? before : NULL);
}

int egress_list_format(const EgressList *l, char **ret) {
        char address[ADDRESS_TEXT_MAX], prefix[PREFIX_TEXT_MAX], *text = NULL;
        size_t size;
        FILE *f = open_memstream(&text, &size);

        if (!f)
                return -ENOMEM;
        fprintf(f, "address %s\n", address_format(l->address, address));
        for (size_t i = 0; i < l->n_prefixes; i++)
                fprintf(f, "prefix %s %u\n", prefix_format(&l->prefixes[i].prefix, prefix), l->prefixes[i].port);
        for (size_t i = 0; i < l->n_marks; i++)
                fprintf(f, "mark %08" PRIx32 "\n", l->marks[i]);
        if (fclose(f) != 0) {
                free(text);
                return -ENOMEM;
        }
        *ret = text;
        return 0;
}

static int parse_line(EgressList *l, const char *line) {
        char text[PREFIX_TEXT_MAX];
        unsigned port;
        uint32_t mark;
        Prefix p;

        if (sscanf(line, "address %15s", text) == 1)
                return address_parse(text, &l->address);
        if (sscanf(line, "prefix %18s %u", text, &port) == 2 && port <= UINT16_MAX) {
                int r = prefix_parse(text, &p);

                return r < 0 ? r : egress_list_add_prefix(l, &p, (uint16_t) port);
        }
        if (sscanf(line, "mark %" SCNx32, &mark) == 1)
                return egress_list_add_mark(l, mark);
        return -EBADMSG;
}

int egress_list_parse(const char *id, const char *text, EgressList **ret) {
        _cleanup_(egress_list_freep) EgressList *l = NULL;
        _cleanup_free_ char *copy = strdup(text);
        char *rest = copy, *line;
        int r;

        if (!copy)
                return -ENOMEM;
        r = egress_list_new(id, 0, &l);
        while (r >= 0 && (line = strsep(&rest, "\n")))
                if (*line)
                        r = parse_line(l, line);
        if (r >= 0 && l->address == 0)
                r = -EBADMSG;
        if (r < 0)
                return r == -ENOMEM ? r : -EBADMSG;
        *ret = TAKE_PTR(l);
        return 0;
}

static int load(const char *id, const char *text, void *userdata) {
        _cleanup_(egress_list_freep) EgressList *l = NULL;
        EgressLists *lists = userdata;
        int r;

        r = egress_list_parse(id, text, &l);
        if (r >= 0)
                r = hashmap_put(lists->by_id, l->id, l);
        if (r < 0)
                return r;
        TAKE_PTR(l);
        return 0;
}

int egress_lists_init(EgressLists *ret, int directory_fd) {
        EgressLists lists = { .directory_fd = directory_fd };
        int r = -ENOMEM;

        lists.by_id = hashmap_new();
        if (lists.by_id)
                r = runtime_files_foreach(directory_fd, FILE_MAX, load, &lists);
        if (r < 0) {
                egress_lists_done(&lists);
                return r;
        }
        *ret = lists;
        return 0;
}

void egress_lists_done(EgressLists *lists) {
        EgressList *l;

        if (lists->by_id)
                HASHMAP_FOREACH(l, lists->by_id)
                        egress_list_free(l);
        lists->by_id = hashmap_free(lists->by_id);
        lists->directory_fd = safe_close(lists->directory_fd);
}

int egress_lists_put(EgressLists *lists, EgressList *list) {
        _cleanup_(egress_list_freep) EgressList *l = list;
        _cleanup_free_ char *text = NULL;
        int r;

        r = egress_list_format(l, &text);
        if (r >= 0)
                r = write_file_atomic_at(lists->directory_fd, l->id, text, 0600);
        if (r < 0)
                return r;
        egress_list_free(hashmap_remove(lists->by_id, l->id));
        r = hashmap_put(lists->by_id, l->id, l);
        if (r < 0)
                return r;
        TAKE_PTR(l);
        return 0;
}

void egress_lists_remove(EgressLists *lists, EgressList *l) {
        (void) unlinkat(lists->directory_fd, l->id, 0);
        (void) hashmap_remove(lists->by_id, l->id);
        egress_list_free(l);
}

EgressList *egress_lists_get(EgressLists *lists, const char *id) {
        return hashmap_get(lists->by_id, id);
}

EgressList *egress_lists_find(EgressLists *lists, uint32_t address) {
        EgressList *l;

        HASHMAP_FOREACH(l, lists->by_id)
                if (l->address == address)
                        return l;
        return NULL;
}

int egress_lists_format(EgressLists *lists, char **ret) {
        char *text = NULL;
        EgressList *l;
        size_t size;
        FILE *f = open_memstream(&text, &size);

        if (!f)
                return -ENOMEM;
        HASHMAP_FOREACH(l, lists->by_id)
                egress_list_write_change(f, NULL, l);
        if (fclose(f) != 0) {
                free(text);
                return -ENOMEM;
        }
        *ret = text;
        return 0;
}
