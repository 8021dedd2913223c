/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-execd/copy.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/fd-util.h"
#include "libsandbox/log.h"
#include "libsandbox/time-util.h"
#include "sandbox-execd/cgroup.h"
#include "sandbox-execd/file-worker.h"
#include "sandbox-execd/layer.h"
#include "sandbox-execd/manager-bus.h"
#include "sandbox-execd/manager.h"
#include "sandbox-execd/spawn.h"
#include "sandbox-execd/vault.h"

/* A copy of all that a sandbox wrote: frozen -> copied -> thawed. One of what it began with needs no standing still, since
 * nobody can write there; it is made beside all else, and in the way of nothing. The copying is done by a process of
 * sandbox-files as root of the sandbox, so that ids are right on both sides and a hostile tree meets nobody with rights of
 * the host. It lives in a cgroup of its own, for the others are frozen. That they are is in the sandbox's record before
 * they are: whoever kills us leaves a next daemon that lets them go on. */

#define FROZEN_POLL_USEC (USEC_PER_MSEC / 2)
#define FROZEN_TIMEOUT_USEC (5 * USEC_PER_SEC)
#define DEFERRED_MAX 8U

typedef struct Copy {
        Sandbox *sandbox;
        bool flatten;           /* of what the sandbox began with */
        sd_bus_message *call;
        uint64_t bytes_max, until_usec;
        int target_fd, result_fd, below_fds[2];
        int sources[INIT_FROZEN_MAX + 1];
        size_t n_sources;
        sd_event_source *timer, *child;
        sd_bus_message *deferred[DEFERRED_MAX]; /* StartFileWorker() */
        size_t n_deferred;
} Copy;

static const char *const frozen_groups[] = { CGROUP_NAME_RUN, CGROUP_NAME_FILES };

static int set_frozen(const Sandbox *s, const char *group, bool frozen) {
        char path[48];

        snprintf(path, sizeof path, "%s/cgroup.freeze", group);
        return write_text_at(s->cgroup_fd, path, frozen ? "1" : "0");
}

/* A directory that is not there has nothing in it that could run. */
static bool all_are_frozen(const Sandbox *s) {
        for (size_t i = 0; i < ELEMENTSOF(frozen_groups); i++) {
                char path[48];
                uint64_t frozen;

                snprintf(path, sizeof path, "%s/cgroup.events", frozen_groups[i]);
                if (cgroup_read_key(s->cgroup_fd, path, "frozen", &frozen) >= 0 && frozen == 0)
                        return false;
        }
        return true;
}

static void save(Sandbox *s, bool copying) {
        int r;

        if (s->record.copying == copying)
                return;
        s->record.copying = copying;
        r = state_file_write(s->manager->state_fd, &s->record);
        if (r < 0)
                log_sandbox_errno(LOG_WARNING, r, s->record.id.digits, "Failed to write the record, ignoring: %m");
}

static void thaw(Sandbox *s) {
        (void) set_frozen(s, CGROUP_NAME_FILES, false);
        if (!s->paused)
                (void) set_frozen(s, CGROUP_NAME_RUN, false);
        save(s, false);
}

void copy_note_pause(Sandbox *s) {
        save(s, !s->paused);
}

static void end_group(const Sandbox *s, const char *group) {
        _cleanup_close_ int dir = cgroup_open(s->cgroup_fd, group);

        if (dir >= 0) {
                (void) cgroup_kill(dir);
                (void) unlinkat(s->cgroup_fd, group, AT_REMOVEDIR);
        }
}

void copy_undo(Sandbox *s) {
        end_group(s, CGROUP_NAME_COPY);
        end_group(s, CGROUP_NAME_FLATTEN);
        (void) set_frozen(s, CGROUP_NAME_FILES, false);
        if (s->record.copying)
                (void) set_frozen(s, CGROUP_NAME_RUN, false);
        save(s, false);
}

static Copy **slot_of(Sandbox *s, bool flatten) {
        return flatten ? &s->flatten : &s->copy;
}

static const char *group_of(const Copy *c) {
        return c->flatten ? CGROUP_NAME_FLATTEN : CGROUP_NAME_COPY;
}

static Copy *copy_free(Copy *c) {
        if (c) {
                sd_event_source_disable_unref(c->timer);
                sd_event_source_disable_unref(c->child); /* ends the process */
                close_many(c->sources, c->n_sources);
                close_many(c->below_fds, ELEMENTSOF(c->below_fds));
                safe_close(c->target_fd);
                safe_close(c->result_fd);
                service_release(c->sandbox->manager->service);
                sd_bus_message_unref(c->call);
                for (size_t i = 0; i < c->n_deferred; i++)
                        sd_bus_message_unref(c->deferred[i]);
                free(c);
        }
        return NULL;
}
DEFINE_CLEANUP(Copy *, copy_free)

static void copy_end(Sandbox *s, Copy *c) {
        if (!c)
                return;
        (void) sd_bus_reply_method_errorf(c->call, BUS_ERROR_NO_SUCH_SANDBOX, "Sandbox '%s' has ended.",
                                          s->record.id.digits);
        for (size_t i = 0; i < c->n_deferred; i++)
                (void) sd_bus_reply_method_errorf(c->deferred[i], BUS_ERROR_NO_SUCH_SANDBOX,
                                                  "Sandbox '%s' has ended.", s->record.id.digits);
        copy_free(c);
}

void copy_done(Sandbox *s) {
        copy_end(s, TAKE_PTR(s->copy));
        copy_end(s, TAKE_PTR(s->flatten));
}

int copy_defer(Sandbox *s, sd_bus_message *call) {
        Copy *c = s->copy;

        if (!c)
                return 0;
        if (c->n_deferred == DEFERRED_MAX)
                return -EAGAIN;
        c->deferred[c->n_deferred++] = sd_bus_message_ref(call);
        return 1;
}

/* Who had to wait goes on, then whoever asked has his answer. */
static void finish(Copy *copy, int error, uint64_t bytes, uint64_t files) {
        _cleanup_(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;
        _cleanup_(copy_freep) Copy *c = copy;
        Sandbox *s = c->sandbox;

        *slot_of(s, c->flatten) = NULL;
        if (!c->flatten && s->state != SANDBOX_ENDING)
                thaw(s);
        (void) unlinkat(s->cgroup_fd, group_of(c), AT_REMOVEDIR);
        for (size_t i = 0; i < c->n_deferred; i++)
                file_worker_reply(s, c->deferred[i]);
        if (error >= 0) {
                (void) sd_bus_reply_method_return(c->call, "tt", bytes, files);
                return;
        }
        log_sandbox_errno(LOG_WARNING, error, s->record.id.digits, "Failed to copy what the sandbox wrote: %m");
        method_error(&e, error == -EFBIG ? -ENOSPC : error, "copy the files");
        (void) sd_bus_reply_method_error(c->call, &e);
}

/* "<positive errno> <bytes> <files>" */
static int read_result(Copy *c, uint64_t *ret_bytes, uint64_t *ret_files) {
        char text[96];
        unsigned error;
        ssize_t n;

        n = read(c->result_fd, text, sizeof text - 1); /* written at one go; never waits */
        if (n < 0)
                return errno == EAGAIN ? -EPROTO : -errno;
        text[n] = 0;
        if (sscanf(text, "%u %" SCNu64 " %" SCNu64, &error, ret_bytes, ret_files) != 3 || error > 4095)
                return -EPROTO; /* it died before it could say why */
        return -(int) error;
}

static int on_copied(sd_event_source *source, const siginfo_t *info, void *userdata) {
        uint64_t bytes = 0, files = 0;
        Copy *c = userdata;
        int r;

        (void) source;
        r = read_result(c, &bytes, &files);
        if (r >= 0 && (info->si_code != CLD_EXITED || info->si_status != 0))
                r = -EPROTO;
        finish(c, r, bytes, files);
        return 0;
}

static int spawn_worker(Sandbox *s, Copy *c) {
        _cleanup_close_ int cgroup_fd = -EBADF, write_fd = -EBADF;
        _cleanup_(vault_done) Vault v = VAULT_NULL;
        SpawnResult worker;
        int fds[2], r;

        /* One that a daemon left was killed, and what is cloned into such a one is ended at once. */
        (void) unlinkat(s->cgroup_fd, group_of(c), AT_REMOVEDIR);
        r = cgroup_make(s->cgroup_fd, group_of(c));
        if (r < 0)
                return r;
        if (c->flatten) /* where the controller is there: all else of the sandbox comes first */
                (void) write_text_at(s->cgroup_fd, CGROUP_NAME_FLATTEN "/cpu.weight", "1");
        cgroup_fd = openat(s->cgroup_fd, group_of(c), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (cgroup_fd < 0 || pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        c->result_fd = fds[0];
        write_fd = fds[1];
        r = fd_set_nonblock(c->result_fd, true);
        if (r >= 0)
                r = vault_open(s, &v);
        if (r >= 0)
                r = spawn_copy(&(SpawnCopy) {
                                .cgroup_fd = cgroup_fd, .user_fd = v.user_fd, .mount_fd = v.vault_fd,
                                .result_fd = write_fd, .target_fd = c->target_fd, .sources = c->sources,
                                .below_fds = { c->below_fds[0], c->below_fds[1] },
                                .n_sources = c->n_sources, .bytes_max = c->bytes_max }, &worker);
        if (r < 0)
                return r;
        r = sd_event_add_child_pidfd(service_event(s->manager->service), &c->child, worker.pidfd, WEXITED, on_copied,
                                     c);
        if (r < 0) {
                safe_close(worker.pidfd);
                return r;
        }
        (void) sd_event_source_set_child_pidfd_own(c->child, true);
        (void) sd_event_source_set_child_process_own(c->child, true);
        return 0;
}

/* The kernel holds notes of cgroup.events back: asking is faster. */
static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Copy *c = userdata;
        Sandbox *s = c->sandbox;
        int r;

        if (!c->flatten && !all_are_frozen(s)) {
                if (usec > c->until_usec) {
                        finish(c, -ETIMEDOUT, 0, 0);
                        return 0;
                }
                (void) sd_event_source_set_time_relative(source, FROZEN_POLL_USEC);
                return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
        }
        r = spawn_worker(s, c);
        if (r < 0)
                finish(c, r, 0, 0);
        return 0;
}

/* The image below, if it is one layer. */
static void open_below(const Vault *v, const char *lower, int *ret) {
        Part p, layer;
        unsigned n = 0;

        while (composition_next(&lower, &p) > 0)
                if (p.kind == PART_LAYER) {
                        layer = p;
                        n++;
                }
        *ret = n == 1 ? vault_open_directory(v, layer.name) : -EBADF;
}

/* The upper and all below it that is no layer of the image, topmost first. */
static int open_sources(Sandbox *s, Copy *c) {
        _cleanup_(composition_done) Composition composition = {};
        _cleanup_(vault_done) Vault v = VAULT_NULL;
        const char *lower;
        char upper[16];
        Part p;
        int r;

        r = vault_open(s, &v);
        if (r >= 0)
                r = vault_read_composition(s, &composition);
        if (r < 0)
                return r;
        composition_upper_name(composition.generation, upper);
        if (!c->flatten) {
                r = vault_open_directory(&v, upper);
                if (r >= 0)
                        c->sources[c->n_sources++] = r;
        }
        lower = composition.root_lower;
        while (r >= 0 && composition_next(&lower, &p) > 0) {
                if (p.kind == PART_LAYER || (c->flatten && p.kind != PART_FROZEN))
                        continue;
                r = c->n_sources < ELEMENTSOF(c->sources) ? vault_open_directory(&v, p.name) : -E2BIG;
                if (r >= 0)
                        c->sources[c->n_sources++] = r;
        }
        if (r >= 0 && c->n_sources == 0)
                r = -EOPNOTSUPP; /* it began with nothing but the image, or was restored since */
        if (r < 0)
                return r;
        open_below(&v, composition.root_lower, &c->below_fds[0]);
        open_below(&v, composition.usr_lower, &c->below_fds[1]);
        return 0;
}

static int open_target(Sandbox *s, Copy *c, int directory_fd) {
        const Layer layer = { .fd = directory_fd, .kind = LAYER_UPPER, .origin = FOREIGN_ID_FIRST };
        bool idmapped = true;
        int r;

        r = sandbox_need_foreign(s);
        if (r >= 0)
                r = layer_clone(&layer, s->foreign_fd, s->manager->fsd_uid, &idmapped);
        if (r < 0)
                return r;
        c->target_fd = r;
        return 0;
}

static int freeze(Sandbox *s) {
        int r;

        save(s, !s->paused);
        for (size_t i = 0; i < ELEMENTSOF(frozen_groups); i++) {
                r = set_frozen(s, frozen_groups[i], true);
                if (r < 0 && r != -ENOENT)
                        return r;
        }
        return 0;
}

int copy_start(Sandbox *s, const CopyOptions *options, sd_bus_message *call) {
        _cleanup_(copy_freep) Copy *c = NULL;
        int r;

        if (*slot_of(s, options->flatten))
                return -EBUSY;
        c = new0(Copy, 1);
        if (!c)
                return -ENOMEM;
        *c = (Copy) { .sandbox = s, .flatten = options->flatten, .call = sd_bus_message_ref(call),
                      .bytes_max = options->bytes_max, .target_fd = -EBADF, .result_fd = -EBADF,
                      .below_fds = { -EBADF, -EBADF }, .until_usec = now_usec(CLOCK_MONOTONIC) + FROZEN_TIMEOUT_USEC };
        service_hold(s->manager->service);
        r = open_sources(s, c);
        if (r >= 0)
                r = open_target(s, c, options->directory_fd);
        if (r >= 0)
                r = sd_event_add_time_relative(service_event(s->manager->service), &c->timer, CLOCK_MONOTONIC, 0, 1,
                                               on_timer, c);
        if (r < 0)
                return r;
        r = c->flatten ? 0 : freeze(s);
        if (r < 0) {
                thaw(s);
                return r;
        }
        *slot_of(s, options->flatten) = TAKE_PTR(c);
        return 0;
}
