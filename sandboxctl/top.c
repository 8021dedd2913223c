/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxctl/top.h"

#include <errno.h>
#include <string.h>

#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "sandboxctl/ctl.h"

/* The rate of a processor is made here, of two answers of ours: the server's own one is since whoever asked last, which
 * may have been somebody else a moment ago. It stands in for the first line only. */

static TopRow *row_free(TopRow *r) {
        if (!r)
                return NULL;
        free(r->id);
        free(r->name);
        free(r->status);
        free(r);
        return NULL;
}

DEFINE_CLEANUP(TopRow *, row_free)

int top_new(Top **ret) {
        Top *t = new0(Top, 1);

        if (!t)
                return -ENOMEM;
        t->rows = hashmap_new();
        if (!t->rows) {
                free(t);
                return -ENOMEM;
        }
        *ret = t;
        return 0;
}

Top *top_free(Top *t) {
        TopRow *r;

        if (!t)
                return NULL;
        HASHMAP_FOREACH(r, t->rows) {
                hashmap_remove(t->rows, r->id);
                row_free(r);
        }
        hashmap_free(t->rows);
        free(t->sorted);
        free(t);
        return NULL;
}

static int row_get(Top *t, const char *id, TopRow **ret) {
        _cleanup_(row_freep) TopRow *r = NULL;
        int k;

        *ret = hashmap_get(t->rows, id);
        if (*ret)
                return 0;
        r = new0(TopRow, 1);
        if (!r)
                return -ENOMEM;
        r->id = strdup(id);
        if (!r->id)
                return -ENOMEM;
        k = hashmap_put(t->rows, r->id, r);
        if (k < 0)
                return k;
        *ret = TAKE_PTR(r);
        return 0;
}

/* Both histories move on at once, the oldest value falls out. */
static void history_add(double cpu[static TOP_HISTORY], double memory[static TOP_HISTORY], size_t *n, double c,
                        double m) {
        if (*n == TOP_HISTORY) {
                memmove(cpu, cpu + 1, (TOP_HISTORY - 1) * sizeof *cpu);
                memmove(memory, memory + 1, (TOP_HISTORY - 1) * sizeof *memory);
                (*n)--;
        }
        cpu[*n] = c;
        memory[(*n)++] = m;
}

static uint64_t json_count(const json_t *object, const char *key) {
        return (uint64_t) MAX(json_int(object, key), 0);
}

/* A server of an earlier version counts in MiB only. */
static uint64_t json_bytes(const json_t *metrics, const char *bytes, const char *mebibytes) {
        return json_object_get(metrics, bytes) ? json_count(metrics, bytes) : json_count(metrics, mebibytes) * MiB;
}

static void row_measure(TopRow *r, const json_t *metrics, uint64_t elapsed_usec) {
        uint64_t cpu_usec = json_count(metrics, "cpuUsec");

        r->cpu_percent = json_number_value(json_object_get(metrics, "cpuPercent"));
        if (r->measured && elapsed_usec > 0 && json_object_get(metrics, "cpuUsec"))
                r->cpu_percent = cpu_usec > r->cpu_usec
                                         ? (double) (cpu_usec - r->cpu_usec) * 100 / (double) elapsed_usec
                                         : 0;
        r->cpu_usec = cpu_usec;
        r->memory = json_bytes(metrics, "memoryUsageBytes", "memoryUsageMb");
        r->memory_max = json_bytes(metrics, "memoryLimitBytes", "memoryLimitMb");
        r->pids = json_count(metrics, "pids");
        r->io_read = json_count(metrics, "ioReadBytes");
        r->io_written = json_count(metrics, "ioWriteBytes");
        r->measured = true;
        history_add(r->cpu_history, r->memory_history, &r->n_history, r->cpu_percent, (double) r->memory);
}

static int row_update(TopRow *r, const json_t *item, uint64_t elapsed_usec) {
        const json_t *metrics = json_object_get(item, "metrics"), *config = json_object_get(item, "config");

        if (free_and_strdup(&r->name, json_text(item, "name")) < 0 ||
            free_and_strdup(&r->status, json_text(item, "status")) < 0)
                return -ENOMEM;
        r->seen = true;
        r->created_msec = json_int(item, "createdAt");
        r->expires_msec = json_int(item, "expiresAt");
        r->processors = json_number_value(json_object_get(config, "cpu"));
        if (metrics)
                row_measure(r, metrics, elapsed_usec);
        else
                r->cpu_percent = 0;
        return 0;
}

static void drop_unseen(Top *t) {
        TopRow *r;

        HASHMAP_FOREACH(r, t->rows) {
                if (r->seen)
                        continue;
                hashmap_remove(t->rows, r->id);
                row_free(r);
        }
}

static int collect(Top *t) {
        double cpu = 0, memory = 0;
        TopRow **larger, *r;

        larger = reallocarray(t->sorted, hashmap_size(t->rows) + 1, sizeof *larger);
        if (!larger)
                return -ENOMEM;
        t->sorted = larger;
        t->n = 0;
        HASHMAP_FOREACH(r, t->rows) {
                t->sorted[t->n++] = r;
                cpu += r->cpu_percent;
                memory += (double) r->memory;
        }
        history_add(t->cpu_history, t->memory_history, &t->n_history, cpu, memory);
        return 0;
}

int top_update(Top *t, const json_t *list, uint64_t now_usec) {
        uint64_t elapsed = t->sampled_usec > 0 && now_usec > t->sampled_usec ? now_usec - t->sampled_usec : 0;
        json_t *item;
        TopRow *row;
        size_t i;
        int r;

        HASHMAP_FOREACH(row, t->rows)
                row->seen = false;
        json_array_foreach(json_object_get(list, "items"), i, item) {
                r = row_get(t, json_text(item, "id"), &row);
                if (r >= 0)
                        r = row_update(row, item, elapsed);
                if (r < 0)
                        return r;
        }
        drop_unseen(t);
        t->sampled_usec = now_usec;
        r = collect(t);
        if (r < 0)
                return r;
        top_sort(t);
        return 0;
}

/* Ids decide between equals, so that lines do not change places for nothing. */
static int compare(const void *a, const void *b, void *userdata) {
        const TopRow *x = *(TopRow *const *) a, *y = *(TopRow *const *) b;
        const Top *t = userdata;
        int r = top_compare(t->sort, x, y);

        if (r == 0)
                return strcmp(x->id, y->id);
        return t->reverse ? -r : r;
}

void top_sort(Top *t) {
        if (t->n > 0)
                qsort_r(t->sorted, t->n, sizeof *t->sorted, compare, t);
}
