/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/warm.h"

#include <errno.h>
#include <systemd/sd-event.h>

#include "libsandbox/log.h"
#include "libsandbox/parse-util.h"
#include "libsandbox/pool.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"
#include "sandboxd/create.h"
#include "sandboxd/manager.h"
#include "sandboxd/removal.h"

/* Each profile has a pool of its own; one timer serves all. */

#define SIZE_MAX_PER_PROFILE 1000U
#define PROFILES_MAX 64U
/* An end for those that a crash left and nobody came back to. */
#define LIFETIME_SEC 3600U
#define RATE 10U

typedef struct Profile {
        char *image;
        uint64_t memory_mib;
        double cpu;
        bool network;
        Pool pool;
        Sandbox **ready;        /* pool.size of them */
} Profile;

/* Warm sandboxes are in no map of the manager and in no row of the database: for clients they do not exist, and after a
 * crash only their label at execd tells what they are. A number in the store says that there may be some, so that the
 * next start ends them. */
struct Warm {
        Manager *manager;
        sd_event_source *timer;
        Profile profiles[PROFILES_MAX];
        size_t n_profiles;
        bool draining;
        bool noted;             /* the store knows that there may be some */
        size_t n_ending;
};

/* One that is being made belongs to its profile until it is ready. */
typedef struct Making {
        Warm *warm;
        Profile *profile;
} Making;

static void replenish(Warm *w);

static int add_profile(Warm *w, const Settings *s, const char *image, uint64_t memory_mib, double cpu, bool network) {
        Profile *p;

        if (w->n_profiles == PROFILES_MAX) {
                log_warning("More than %u profiles in III_POOL_PROFILES, ignoring the rest.", PROFILES_MAX);
                return 0;
        }
        p = w->profiles + w->n_profiles;
        *p = (Profile) { .memory_mib = memory_mib, .cpu = cpu, .network = network,
                         .pool = POOL_INIT(MIN(s->pool_size, SIZE_MAX_PER_PROFILE), RATE) };
        p->pool.used = true;
        p->image = strdup(image);
        p->ready = calloc(p->pool.size, sizeof(Sandbox *));
        w->n_profiles++;
        return p->image && p->ready ? 0 : -ENOMEM;
}

/* image,MiB,processors,network: what is not that is left out, with a word. */
static int parse_profile(Warm *w, const Settings *s, char *text) {
        char *fields[4], *rest = text;
        uint64_t memory;
        double cpu;

        for (size_t i = 0; i < ELEMENTSOF(fields); i++)
                fields[i] = rest ? strstrip(strsep(&rest, ",")) : NULL;
        if (!fields[3] || isempty(fields[0]) || parse_u64(fields[1], &memory) < 0 ||
            parse_double(fields[2], &cpu) < 0) {
                log_warning("III_POOL_PROFILES: '%s' is not image,memory,processors,network, ignoring.", text);
                return 0;
        }
        return add_profile(w, s, fields[0], memory, cpu, streq(fields[3], "true"));
}

static int parse_profiles(Warm *w, const Settings *s) {
        _cleanup_free_ char *copy = strdup(s->pool_profiles ?: "");
        char *rest = copy, *one;
        int r = 0;

        if (!copy)
                return -ENOMEM;
        if (isempty(strstrip(copy)))
                return add_profile(w, s, s->default_image, s->default_memory_mib, s->default_cpu, false);
        while (r >= 0 && (one = strsep(&rest, ";")))
                if (!isempty(strstrip(one)))
                        r = parse_profile(w, s, one);
        return r;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        (void) source;
        (void) usec;
        replenish(userdata);
        return 0;
}

int warm_new(Manager *m, Warm **ret) {
        _cleanup_(warm_freep) Warm *w = NULL;
        int r;

        *ret = NULL;
        if (m->settings.pool_size == 0)
                return 0;
        w = new0(Warm, 1);
        if (!w)
                return -ENOMEM;
        w->manager = m;
        w->draining = true; /* until warm_start() */
        r = parse_profiles(w, &m->settings);
        if (r >= 0)
                r = sd_event_add_time(m->event, &w->timer, CLOCK_MONOTONIC, USEC_INFINITY, USEC_PER_MSEC, on_timer, w);
        if (r >= 0)
                r = sd_event_source_set_enabled(w->timer, SD_EVENT_OFF);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(w);
        return 0;
}

Warm *warm_free(Warm *w) {
        if (!w)
                return NULL;
        for (size_t i = 0; i < w->n_profiles; i++) {
                Profile *p = w->profiles + i;

                for (unsigned n = 0; n < p->pool.n_ready; n++)
                        sandbox_unref(p->ready[n]);
                free(p->ready);
                free(p->image);
        }
        sd_event_source_disable_unref(w->timer);
        free(w);
        return NULL;
}

size_t warm_count(const Warm *w) {
        size_t n = 0;

        for (size_t i = 0; w && i < w->n_profiles; i++)
                n += w->profiles[i].pool.n_ready + w->profiles[i].pool.n_making;
        return w ? n + w->n_ending : 0;
}

static Sandbox *take_last(Profile *p) {
        return p->pool.n_ready > 0 ? p->ready[--p->pool.n_ready] : NULL;
}

typedef struct Ending {
        Warm *warm;
        Sandbox *sandbox;
} Ending;

static void on_ended(sd_bus_message *reply, const sd_bus_error *error, void *userdata) {
        _cleanup_free_ Ending *ending = userdata;
        Warm *w = ending->warm;

        (void) reply;
        if (error)
                log_debug("A warm sandbox was gone already: %s", error->message);
        w->n_ending--;
        if (!w->manager->stopping)
                removal_drop_root(w->manager, ending->sandbox->id);
        sandbox_unref(ending->sandbox);
        manager_unattend(w->manager);
}

/* Takes the reference over. What is interrupted here is found by the next start: the store says that there may be
 * some. */
static void end(Warm *w, Sandbox *s) {
        _cleanup_free_ Ending *ending = new0(Ending, 1);
        Manager *m = w->manager;

        if (!ending || execd_call(m->execd, "Kill", s->id, on_ended, ending) < 0) {
                (void) store_set_number(m->store, "unclean", 1);
                sandbox_unref(s);
                return;
        }
        *ending = (Ending) { w, s };
        TAKE_PTR(ending);
        w->n_ending++;
        manager_attend(m);
}

/* One that comes too late, or when there is no place for it any more, is ended: another one can be made. */
static void on_made(Sandbox *s, const sd_bus_error *error, void *userdata) {
        _cleanup_free_ Making *making = userdata;
        Warm *w = making->warm;
        Profile *p = making->profile;

        if (w->manager->stopping)
                return;
        pool_note_made(&p->pool, s != NULL, now_usec(CLOCK_MONOTONIC));
        if (!s)
                log_notice("Failed to make a warm sandbox of image '%s': %s", p->image, error->message);
        else if (w->draining || p->pool.n_ready >= p->pool.size)
                end(w, sandbox_ref(s));
        else
                p->ready[p->pool.n_ready++] = sandbox_ref(s);
        manager_update_attachment(w->manager);
        replenish(w);
}

static json_t *make_config(const Manager *m, const Profile *p) {
        return json_pack("{s:s, s:I, s:f, s:s}", "image", p->image, "memory", (json_int_t) p->memory_mib, "cpu", p->cpu,
                         "workdir", m->settings.workspace_dir);
}

static int begin_one(Warm *w, Profile *p) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_free_ Making *making = new0(Making, 1);
        int r;

        if (!making)
                return -ENOMEM;
        *making = (Making) { w, p };
        if (!w->noted) {
                r = store_set_number(w->manager->store, "warm", 1);
                if (r < 0)
                        return r;
                w->noted = true;
        }
        r = create_start(w->manager, &(CreateRequest) { .image = p->image, .config = make_config(w->manager, p),
                                                        .network = p->network, .timeout_sec = LIFETIME_SEC,
                                                        .warm = true }, on_made, making, &error);
        if (r < 0)
                return r;
        TAKE_PTR(making);
        p->pool.n_making++;
        return 0;
}

/* Clients come first under the limit of sandboxes: what is left of it may be kept ready. */
static bool has_room(const Warm *w) {
        return manager_count(w->manager) + warm_count(w) < w->manager->settings.max_sandboxes;
}

/* Where there was no room, or a creation could not even begin, the next try is a second away at most. */
static uint64_t replenish_profile(Warm *w, Profile *p, uint64_t now) {
        uint64_t again;
        unsigned n;
        int r = 0;

        n = pool_plan(&p->pool, now, &again);
        while (n > 0 && r >= 0 && has_room(w)) {
                r = begin_one(w, p);
                n--;
        }
        return r < 0 || n > 0 ? MIN(again, now + USEC_PER_SEC) : again;
}

static void replenish(Warm *w) {
        uint64_t now = now_usec(CLOCK_MONOTONIC), again = USEC_INFINITY;

        if (w->draining || w->manager->stopping)
                return;
        for (size_t i = 0; i < w->n_profiles; i++) {
                uint64_t next = replenish_profile(w, w->profiles + i, now);

                again = MIN(again, next);
        }
        if (again == USEC_INFINITY) {
                (void) sd_event_source_set_enabled(w->timer, SD_EVENT_OFF);
                return;
        }
        (void) sd_event_source_set_time(w->timer, again);
        (void) sd_event_source_set_enabled(w->timer, SD_EVENT_ONESHOT);
}

void warm_start(Warm *w) {
        if (w) {
                w->draining = false;
                replenish(w);
        }
}

void warm_note_busy(Warm *w) {
        uint64_t now = now_usec(CLOCK_MONOTONIC);

        for (size_t i = 0; w && i < w->n_profiles; i++)
                pool_note_busy(&w->profiles[i].pool, now);
}

/* Equal in everything that cannot be changed later without being noticed. The processors are compared as numbers that
 * came from the same kind of text, so equality is what is meant. */
static bool fits(const Warm *w, const Profile *p, const WarmWish *wish) {
        return streq(p->image, wish->image) && p->memory_mib * MiB == wish->memory_bytes &&
               p->cpu >= wish->cpu && p->cpu <= wish->cpu && p->network == wish->network &&
               streq(w->manager->settings.workspace_dir, wish->workdir);
}

Sandbox *warm_take(Warm *w, const WarmWish *wish) {
        Sandbox *s = NULL;

        for (size_t i = 0; w && !s && i < w->n_profiles; i++)
                if (fits(w, w->profiles + i, wish))
                        s = take_last(w->profiles + i);
        return s;
}

void warm_evict(Warm *w) {
        for (size_t i = 0; w && i < w->n_profiles; i++) {
                Sandbox *s = take_last(w->profiles + i);

                if (s) {
                        end(w, s);
                        return;
                }
        }
}

/* Calls for all that are ready; those that are answered with true leave the pool. */
static void remove_if(Warm *w, bool (*handler)(Sandbox *s, const void *userdata), const void *userdata) {
        for (size_t i = 0; w && i < w->n_profiles; i++) {
                Profile *p = w->profiles + i;
                unsigned kept = 0;

                for (unsigned n = 0; n < p->pool.n_ready; n++)
                        if (handler(p->ready[n], userdata)) {
                                removal_drop_root(w->manager, p->ready[n]->id);
                                sandbox_unref(p->ready[n]);
                        } else
                                p->ready[kept++] = p->ready[n];
                p->pool.n_ready = kept;
        }
        if (w)
                replenish(w);
}

Sandbox *warm_get(const Warm *w, const char *id) {
        for (size_t i = 0; w && i < w->n_profiles; i++)
                for (unsigned n = 0; n < w->profiles[i].pool.n_ready; n++)
                        if (streq(w->profiles[i].ready[n]->id, id))
                                return w->profiles[i].ready[n];
        return NULL;
}

static bool has_id(Sandbox *s, const void *userdata) {
        return streq(s->id, userdata);
}

void warm_on_gone(Warm *w, const char *id) {
        remove_if(w, has_id, id);
}

static bool is_unseen(Sandbox *s, const void *userdata) {
        bool seen = s->seen;

        (void) userdata;
        s->seen = false;
        return !seen;
}

void warm_forget_unseen(Warm *w) {
        remove_if(w, is_unseen, NULL);
}

/* Before the daemon leaves: an idle machine holds nothing. What is still being made ends in on_made(). */
size_t warm_drain(Warm *w) {
        Sandbox *s;

        if (!w)
                return 0;
        w->draining = true;
        (void) sd_event_source_set_enabled(w->timer, SD_EVENT_OFF);
        for (size_t i = 0; i < w->n_profiles; i++)
                while ((s = take_last(w->profiles + i)))
                        end(w, s);
        manager_update_attachment(w->manager);
        if (warm_count(w) == 0 && w->noted) {
                (void) store_set_number(w->manager->store, "warm", 0);
                w->noted = false;
        }
        return warm_count(w);
}

bool warm_get_figures(const Warm *w, size_t i, WarmFigures *ret) {
        const Profile *p;

        if (!w || i >= w->n_profiles)
                return false;
        p = w->profiles + i;
        *ret = (WarmFigures) { p->image, p->memory_mib, p->cpu, p->network, p->pool.size, p->pool.n_ready,
                               p->pool.n_making };
        return true;
}
