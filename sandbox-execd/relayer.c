/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-execd/relayer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/log.h"
#include "libsandbox/string-util.h"
#include "sandbox-execd/cgroup.h"
#include "sandbox-execd/command.h"
#include "sandbox-execd/layer.h"
#include "sandbox-execd/manager.h"
#include "sandbox-execd/quota.h"
#include "sandbox-execd/vault.h"

/* A lower layer of an overlay must not change. So what becomes one must have no writer any more, and all that can write
 * is somebody with a descriptor, a mapping or a directory below the old root: a process of the sandbox or a file worker.
 * We start both, and do nothing else while we look and put the new root in place, so none can come in between. */

#define SHARED_MAX (INIT_FROZEN_MAX - 1U) /* one is left for what a snapshot brings */

static bool is_populated(const Sandbox *s, const char *name) {
        _cleanup_close_ int fd = cgroup_open(s->cgroup_fd, name);

        return fd >= 0 && cgroup_is_populated(fd) != 0;
}

bool sandbox_has_no_command(Sandbox *s) {
        return commands_running(s) == 0 && !is_populated(s, CGROUP_NAME_RUN);
}

bool sandbox_is_idle(Sandbox *s) {
        return sandbox_has_no_command(s) && !is_populated(s, CGROUP_NAME_FILES) && !s->mounting;
}

static unsigned count_shared(const Composition *c) {
        const char *lower = c->root_lower;
        unsigned n = 0;
        Part p;

        while (composition_next(&lower, &p) > 0)
                n += p.kind != PART_LAYER;
        return n;
}

static int look_into(const Sandbox *s, Vault *ret_vault, Composition *ret) {
        int r = vault_open(s, ret_vault);

        return r < 0 ? r : vault_read_composition(s, ret);
}

/* "upper/u:" and so on in front of what there was. */
static int push_lower(const char *upper, const char *suffix, const char *lower, char ret[COMPOSITION_LOWER_MAX]) {
        int n = snprintf(ret, COMPOSITION_LOWER_MAX, "%s/%s:%s", upper, suffix, lower);

        return n < (int) COMPOSITION_LOWER_MAX ? 0 : -E2BIG;
}

/* A tmpfs of another user namespace can be shown with other ids from Linux 6.3 on. */
static int check_mappable(Sandbox *s, const Vault *v, const char *upper) {
        bool idmapped;
        int tree, r;

        if (s->manager->tmpfs_is_mappable != 0)
                return s->manager->tmpfs_is_mappable > 0 ? 0 : -EOPNOTSUPP;
        r = sandbox_need_foreign(s); /* any but the one that it was made in */
        if (r < 0)
                return r;
        tree = vault_clone(v, upper);
        if (tree < 0)
                return tree;
        s->manager->tmpfs_is_mappable = layer_map(tree, s->foreign_fd, &idmapped) == -EINVAL ? -1 : 1;
        safe_close(tree);
        return check_mappable(s, v, upper);
}

/* Nothing was written since the last time: what was made immutable then is all there is. */
static bool is_untouched(Sandbox *s, const Vault *v, const char *upper, unsigned generation) {
        VaultMark mark;

        return generation > 0 && s->fresh_generation == generation && vault_mark(v, upper, &mark) >= 0 &&
               memcmp(&mark, &s->fresh_mark, sizeof mark) == 0;
}

static int push_upper(Sandbox *s, const Vault *v, const Composition *c) {
        char root_lower[COMPOSITION_LOWER_MAX], usr_lower[COMPOSITION_LOWER_MAX] = "", old[16], new[16];
        int r;

        composition_upper_name(c->generation, old);
        composition_upper_name(c->generation + 1, new);
        r = push_lower(old, "u", c->root_lower, root_lower);
        if (r >= 0 && c->usr_lower[0])
                r = push_lower(old, "u2", c->usr_lower, usr_lower);
        if (r < 0)
                return r;
        r = vault_rebuild(v, &(VaultRebuild) {
                        .root_lower = root_lower, .usr_lower = usr_lower, .upper = new, .upper_fd = -EBADF,
                        .size_of = old, .mounts = c->mounts, .n_mounts = c->n_mounts });
        if (r < 0)
                return r;
        s->fresh_generation = c->generation + 1;
        return vault_mark(v, new, &s->fresh_mark) < 0 ? 0 : 1;
}

/* What a clone would begin with. */
static void count_parts(const Composition *c, FreezeAnswer *ret) {
        const char *lower = c->root_lower;
        Part p;

        while (composition_next(&lower, &p) > 0) {
                ret->n_written += p.kind == PART_WRITTEN;
                ret->n_frozen += p.kind == PART_FROZEN;
        }
}

static int look_at_disk(Sandbox *s, FreezeAnswer *ret) {
        _cleanup_(composition_done) Composition c = {};
        _cleanup_(vault_done) Vault v = VAULT_NULL;
        char upper[16];
        int r;

        r = look_into(s, &v, &c);
        if (r < 0)
                return r;
        if (!sandbox_is_idle(s))
                return -EBUSY;
        composition_upper_name(c.generation, upper);
        ret->result = is_untouched(s, &v, upper, c.generation) ? FREEZE_UNTOUCHED : FREEZE_ON_DISK;
        count_parts(&c, ret);
        ret->n_written += ret->result == FREEZE_ON_DISK;
        return 0;
}

int relayer_freeze(Sandbox *s, FreezeAnswer *ret) {
        _cleanup_(composition_done) Composition c = {};
        _cleanup_(vault_done) Vault v = VAULT_NULL;
        char upper[16];
        int r;

        *ret = (FreezeAnswer) {};
        if (s->record.writable_disk)
                return look_at_disk(s, ret);
        r = look_into(s, &v, &c);
        if (r < 0)
                return r;
        composition_upper_name(c.generation, upper);
        r = check_mappable(s, &v, upper);
        if (r < 0)
                return r;
        if (!sandbox_is_idle(s))
                return -EBUSY;
        ret->generation = c.generation;
        count_parts(&c, ret);
        if (is_untouched(s, &v, upper, c.generation))
                return 0;
        if (count_shared(&c) >= SHARED_MAX)
                return -E2BIG;
        r = push_upper(s, &v, &c);
        if (r < 0)
                return r;
        ret->generation = c.generation + 1;
        ret->n_written++;
        return 0;
}

/* "f/2" came to the source with "r/2"; what came without is a layer of the store, which sandbox-fsd gives again. */
static int open_shared(const Vault *v, const Part *p, int ret[static 2]) {
        char raw[sizeof p->name];

        if (p->kind == PART_WRITTEN)
                return vault_clone_twice(v, p->name, ret);
        if (!startswith(p->name, "f/"))
                return -ENOENT;
        (void) snprintf(raw, sizeof raw, "r/%s", p->name + 2);
        return vault_clone_twice(v, raw, ret);
}

static int add_part(Sandbox *s, const Vault *v, const Part *p, int user_fd, int *frozen, int *raw) {
        bool idmapped;
        int r, fds[2];

        r = open_shared(v, p, fds);
        if (r < 0)
                return r;
        *frozen = fds[0];
        *raw = fds[1];
        r = layer_map(*frozen, user_fd, &idmapped);
        if (r >= 0)
                r = layer_make_read_only(*raw);
        if (r < 0) {
                safe_close(*frozen);
                safe_close(*raw);
                return log_sandbox_errno(LOG_WARNING, r, s->record.id.digits, "Failed to share a layer: %m");
        }
        return 0;
}

static const Layer *first_of(const Layer *layers, size_t n_layers, LayerKind kind) {
        for (size_t i = 0; i < n_layers; i++)
                if (layers[i].kind == kind)
                        return layers + i;
        return NULL;
}

/* Whether a name of the vault is of that very directory. */
static int is_same(const Vault *v, const char *name, int fd) {
        _cleanup_close_ int there = vault_open_directory(v, name);
        struct stat a, b;

        if (there < 0)
                return there;
        if (fstat(there, &a) < 0 || fstat(fd, &b) < 0)
                return -errno;
        return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* What the source has of the store must be what sandbox-fsd believes that it has, or the clone would be another thing. */
static int check_given(const Sandbox *s, const Vault *v, const Part *p, size_t n) {
        const CreateRequest *q = s->create;

        for (size_t i = 0; i < q->n_layers; i++)
                if (q->layers[i].kind == LAYER_FROZEN && n-- == 0) {
                        int r = is_same(v, p->name, q->layers[i].fd);

                        return r < 0 ? r : r > 0 ? 0 : -ESTALE;
                }
        return -ESTALE;
}

static int open_user_namespace(const Sandbox *s) {
        char path[64];
        int fd;

        snprintf(path, sizeof path, "/proc/%i/ns/user", s->pid);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

int relayer_add_shared(Sandbox *s, const Sandbox *source, unsigned generation, int *frozen, int *raw, size_t *ret_n) {
        _cleanup_(composition_done) Composition c = {};
        _cleanup_(vault_done) Vault v = VAULT_NULL;
        _cleanup_close_ int user_fd = -EBADF;
        bool merged = first_of(s->create->layers, s->create->n_layers, LAYER_MERGED);
        size_t n = 0, n_given = 0;
        const char *lower;
        Part p;
        int r;

        r = look_into(source, &v, &c);
        if (r >= 0)
                r = user_fd = open_user_namespace(s);
        if (r < 0)
                return r;
        if (generation > c.generation)
                return -ESTALE; /* it was given another root since */
        lower = c.root_lower;
        while (r >= 0 && composition_next(&lower, &p) > 0) {
                if (p.kind == PART_LAYER || (p.kind == PART_WRITTEN && p.generation >= generation) ||
                    (p.kind == PART_FROZEN && merged))
                        continue;
                r = n < SHARED_MAX ? add_part(s, &v, &p, user_fd, frozen + n, raw + n) : -E2BIG;
                if (r == -ENOENT)
                        r = check_given(s, &v, &p, n_given++);
                else if (r >= 0)
                        n++;
        }
        if (r < 0) {
                close_many(frozen, n);
                close_many(raw, n);
                return r;
        }
        *ret_n = n;
        return 0;
}

/* ---- restore */

#define REPLACEMENT_MAX (INIT_LAYERS_MAX + INIT_FROZEN_MAX + 2)

typedef struct Replacement {
        char names[REPLACEMENT_MAX][16];
        VaultMount attach[REPLACEMENT_MAX];
        size_t n;
        char root_lower[COMPOSITION_LOWER_MAX], usr_lower[COMPOSITION_LOWER_MAX];
        int upper_fd;
        bool failed;
} Replacement;

static void replacement_done(Replacement *x) {
        for (size_t i = 0; i < x->n; i++)
                safe_close(x->attach[i].fd);
        safe_close(x->upper_fd);
}

static void add_lower(Replacement *x, char *lower, const char *name, const char *suffix) {
        size_t n = strlen(lower);

        x->failed |= (size_t) snprintf(lower + n, COMPOSITION_LOWER_MAX - n, "%s%s%s", n > 0 ? ":" : "", name, suffix) >=
                     COMPOSITION_LOWER_MAX - n;
}

/* Other names than those of the root there is: "l3.0" for the first layer of generation 3. */
static int add_layer(Sandbox *s, Replacement *x, const Layer *layer, unsigned generation, int user_fd) {
        static const char prefixes[] = { [LAYER_LOWER] = 'l', [LAYER_USR] = 'v', [LAYER_FROZEN] = 'f',
                                         [LAYER_MERGED] = 'f' };
        int tree;

        tree = layer_clone(layer, layer->origin == 0 ? user_fd : s->foreign_fd, s->manager->fsd_uid,
                           &s->record.idmapped);
        if (tree < 0)
                return tree;
        if (layer->kind == LAYER_UPPER) {
                x->upper_fd = tree;
                return s->record.project > 0 ? quota_assign_more(layer->fd, FOREIGN_ID_FIRST, s->record.project) : 0;
        }
        (void) snprintf(x->names[x->n], sizeof x->names[0], "%c%u.%zu", prefixes[layer->kind], generation, x->n);
        x->attach[x->n] = (VaultMount) { .fd = tree, .name = x->names[x->n] };
        if (layer->kind >= LAYER_FROZEN) {
                add_lower(x, x->root_lower, x->names[x->n], "/u");
                add_lower(x, x->usr_lower, x->names[x->n], "/u2");
        } else
                add_lower(x, layer->kind == LAYER_USR ? x->usr_lower : x->root_lower, x->names[x->n], "");
        x->n++;
        return 0;
}

/* What a snapshot brought stands over the image. */
static int add_layers(Sandbox *s, Replacement *x, const Layer *layers, size_t n_layers, unsigned generation) {
        static const LayerKind order[] = { LAYER_FROZEN, LAYER_MERGED, LAYER_LOWER, LAYER_UPPER,
                                            LAYER_USR };
        _cleanup_close_ int user_fd = -EBADF;
        bool usr = false;
        int r = 0;

        user_fd = open_user_namespace(s);
        if (user_fd < 0)
                return user_fd;
        for (size_t k = 0; k < ELEMENTSOF(order); k++)
                for (size_t i = 0; r >= 0 && i < n_layers && x->n < ELEMENTSOF(x->attach); i++)
                        if (layers[i].kind == order[k]) {
                                usr |= order[k] == LAYER_USR;
                                r = add_layer(s, x, layers + i, generation, user_fd);
                        }
        if (!usr)
                x->usr_lower[0] = 0;
        return r < 0 ? r : x->failed ? -E2BIG : 0;
}

/* All that the old root was made of. */
static size_t list_parts(const Composition *c, Part *parts, size_t room) {
        const char *lowers[] = { c->root_lower, c->usr_lower };
        size_t n = 0;

        for (size_t i = 0; i < ELEMENTSOF(lowers); i++)
                while (n + 1 < room && composition_next(&lowers[i], &parts[n]) > 0) {
                        n++;
                        if (parts[n - 1].name[0] != 'f')
                                continue;
                        parts[n] = parts[n - 1]; /* the same with the ids of who wrote it */
                        parts[n++].name[0] = 'r';
                }
        if (n < room)
                composition_upper_name(c->generation, parts[n++].name);
        return n;
}

/* All parts are given anew, also those that stay: so their order and their ids are right whatever was there. */
static int replace(Sandbox *s, const Vault *v, const Composition *c, const Layer *layers, size_t n_layers, bool like) {
        _cleanup_(replacement_done) Replacement x = { .upper_fd = -EBADF };
        Part parts[2 * (INIT_LAYERS_MAX + 2 * INIT_FROZEN_MAX) + 4];
        const char *drop[ELEMENTSOF(parts)];
        char old[16], new[16];
        size_t n;
        int r;

        r = sandbox_need_foreign(s);
        if (r >= 0)
                r = add_layers(s, &x, layers, n_layers, c->generation + 1);
        if (r < 0)
                return r;
        if (!sandbox_is_idle(s))
                return -EBUSY;

        composition_upper_name(c->generation, old);
        composition_upper_name(c->generation + 1, new);
        n = list_parts(c, parts, ELEMENTSOF(parts));
        for (size_t i = 0; i < n; i++)
                drop[i] = parts[i].name;
        return vault_rebuild(v, &(VaultRebuild) {
                        .root_lower = x.root_lower, .usr_lower = x.usr_lower, .upper = new, .upper_fd = x.upper_fd,
                        .upper_is_like = like, .size_of = old, .attach = x.attach, .n_attach = x.n,
                        .mounts = c->mounts, .n_mounts = c->n_mounts, .drop = drop, .n_drop = n });
}

int relayer_replace(Sandbox *s, const Layer *layers, size_t n_layers) {
        _cleanup_(composition_done) Composition c = {};
        _cleanup_(vault_done) Vault v = VAULT_NULL;
        int r;

        r = look_into(s, &v, &c);
        return r < 0 ? r : replace(s, &v, &c, layers, n_layers, /* like= */ false);
}

/* ---- what lies in the store */

int relayer_share(Sandbox *s, const Layer *layers, size_t n_layers) {
        const Layer *next = first_of(layers, n_layers, LAYER_UPPER),
                    *written = first_of(layers, n_layers, LAYER_FROZEN);
        _cleanup_(composition_done) Composition c = {};
        _cleanup_(vault_done) Vault v = VAULT_NULL;
        char upper[16];
        int r;

        if (!next || !written)
                return -EINVAL;
        r = look_into(s, &v, &c);
        if (r < 0)
                return r;
        composition_upper_name(c.generation, upper);
        r = is_same(&v, upper, next->fd);
        if (r != 0)
                return r < 0 ? r : 0; /* done by a daemon that did not get to say so */
        r = is_same(&v, upper, written->fd);
        if (r <= 0)
                return r < 0 ? r : -ESTALE;
        r = replace(s, &v, &c, layers, n_layers, /* like= */ true);
        if (r < 0)
                return r;
        composition_upper_name(c.generation + 1, upper);
        s->fresh_generation = vault_mark(&v, upper, &s->fresh_mark) < 0 ? 0 : c.generation + 1;
        return 1;
}
