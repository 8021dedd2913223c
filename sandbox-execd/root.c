/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-execd/root.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/fd-util.h"
#include "libsandbox/log.h"
#include "libsandbox/string-util.h"
#include "sandbox-execd/manager.h"
#include "sandbox-execd/relayer.h"

/* What INIT_ROOT carries: the /dev template, the layers in order, the upper, /usr; sizes; both filters. The sizes of the
 * memory file systems follow from the sandbox's memory, since they are charged to it. */

#define TMP_MAX_BYTES (512 * MiB)
#define TMP_INODES 65536U
#define SHM_BYTES (64 * MiB)
#define HOSTNAME_DIGITS 12

static bool hostname_is_valid(const char *s) {
        size_t n = strlen(s);

        if (n == 0 || n > 63 || s[0] == '-' || s[0] == '.' || s[n - 1] == '-' || s[n - 1] == '.')
                return false;
        for (; *s; s++)
                if (!isascii(*s) || (!isalnum((unsigned char) *s) && *s != '-' && *s != '.'))
                        return false;
        return true;
}

static bool workdir_is_valid(const char *s) {
        return s[0] == '/' && strlen(s) < sizeof((InitRoot *) NULL)->workdir && !strstr(s, "/../") &&
               !endswith(s, "/..");
}

static int check_spec(const SandboxSpec *spec, sd_bus_error *error) {
        if (spec->hostname && !hostname_is_valid(spec->hostname))
                return bus_error_set(error, BUS_ERROR_INVALID, "Not a host name: '%s'.", spec->hostname);
        if (spec->workdir && !workdir_is_valid(spec->workdir))
                return bus_error_set(error, BUS_ERROR_INVALID, "Not a working directory: '%s'.", spec->workdir);
        if (spec->label && strlen(spec->label) > STATE_LABEL_MAX)
                return bus_error_set(error, BUS_ERROR_INVALID, "The label is longer than %zu bytes.",
                                     (size_t) STATE_LABEL_MAX);
        return 0;
}

int root_check(const CreateRequest *q, sd_bus_error *error) {
        size_t counts[_LAYER_KIND_MAX] = {};

        for (size_t i = 0; i < q->n_layers; i++) {
                if (q->layers[i].origin != 0 && q->layers[i].origin != FOREIGN_ID_FIRST)
                        return bus_error_set(error, BUS_ERROR_INVALID, "No id range of ours begins at %u.",
                                             q->layers[i].origin);
                counts[q->layers[i].kind]++;
        }
        if (counts[LAYER_LOWER] == 0 || counts[LAYER_LOWER] > INIT_LAYERS_MAX)
                return bus_error_set(error, BUS_ERROR_INVALID, "A root has 1 to %u layers.", INIT_LAYERS_MAX);
        if (counts[LAYER_UPPER] > 1 || counts[LAYER_USR] > 1 ||
            counts[LAYER_FROZEN] + counts[LAYER_MERGED] >= INIT_FROZEN_MAX || counts[LAYER_MERGED] > 1)
                return bus_error_set(error, BUS_ERROR_INVALID, "A root has one upper, one /usr, %u frozen at most.",
                                     INIT_FROZEN_MAX - 1);
        return check_spec(&q->spec, error);
}

static int clone_one(Sandbox *s, const Layer *layer, int own_fd) {
        int tree;

        tree = layer_clone(layer, layer->origin == 0 ? own_fd : s->foreign_fd, s->manager->fsd_uid,
                           &s->record.idmapped);
        if (tree < 0)
                return log_sandbox_errno(LOG_WARNING, tree, s->record.id.digits,
                                         "Failed to map a layer into the sandbox's ids: %m");
        s->trees[s->n_trees++] = tree;
        return 0;
}

static size_t count_layers(const CreateRequest *q, LayerKind kind) {
        size_t n = 0;

        for (size_t i = 0; i < q->n_layers; i++)
                n += q->layers[i].kind == kind;
        return n;
}

/* What another sandbox had written, as it was then. */
static int add_shared(Sandbox *s, int *raw) {
        const SandboxSpec *spec = &s->create->spec;
        const Sandbox *source;
        size_t n;
        int r;

        if (isempty(spec->source))
                return 0;
        source = manager_get(s->manager, spec->source);
        if (!source || source->state != SANDBOX_LIVE)
                return -ESTALE;
        r = relayer_add_shared(s, source, spec->source_generation, s->trees + s->n_trees, raw, &n);
        if (r < 0)
                return r;
        s->n_trees += n;
        s->n_frozen = s->n_raw = n;
        if (n + count_layers(s->create, LAYER_FROZEN) + count_layers(s->create, LAYER_MERGED) > INIT_FROZEN_MAX) {
                close_many(raw, n);
                return -E2BIG;
        }
        return 0;
}

int root_clone_layers(Sandbox *s) {
        static const LayerKind order[] = { LAYER_LOWER, LAYER_UPPER, LAYER_USR, LAYER_FROZEN, LAYER_MERGED };
        const CreateRequest *q = s->create;
        _cleanup_close_ int own_fd = -EBADF;
        int raw[INIT_FROZEN_MAX];
        char path[64];
        int r;

        snprintf(path, sizeof path, "/proc/%i/ns/user", s->pid);
        own_fd = open(path, O_RDONLY | O_CLOEXEC);
        if (own_fd < 0)
                return -errno;

        r = dev_template_clone(s->manager->dev_fd);
        if (r < 0)
                return r;
        s->trees[s->n_trees++] = r;

        for (size_t k = 0; k < ELEMENTSOF(order); k++) {
                if (order[k] == LAYER_FROZEN) {
                        r = add_shared(s, raw);
                        if (r < 0)
                                return r;
                }
                for (size_t i = 0; i < q->n_layers; i++)
                        if (q->layers[i].kind == order[k]) {
                                r = clone_one(s, q->layers + i, own_fd);
                                if (r < 0) {
                                        close_many(raw, s->n_raw);
                                        return r;
                                }
                                s->record.writable_disk |= order[k] == LAYER_UPPER;
                                s->n_frozen += order[k] >= LAYER_FROZEN;
                        }
        }
        for (size_t i = 0; i < s->n_raw; i++)
                s->trees[s->n_trees++] = raw[i];
        return 1;
}

static void fill_root(const Sandbox *s, InitRoot *root) {
        const SandboxSpec *spec = &s->create->spec;
        const SeccompPolicy *policy = &s->manager->seccomp;

        *root = (InitRoot) {
                .header.operation = INIT_ROOT,
                .n_frozen = (uint32_t) s->n_frozen,
                .n_raw = (uint32_t) s->n_raw,
                .upper_bytes = spec->writable_bytes,
                .upper_inodes = spec->writable_inodes,
                .tmp_bytes = MIN(spec->memory_max_bytes / 4, TMP_MAX_BYTES),
                .tmp_inodes = TMP_INODES,
                .shm_bytes = SHM_BYTES,
                .nproc_max = spec->pids_max * UINT64_C(2),
                .fsize_max = spec->writable_bytes,
                .n_allow = (uint32_t) policy->n_allow,
                .n_args = (uint32_t) policy->n_args,
        };
        for (size_t i = 0; i < s->create->n_layers; i++) {
                LayerKind kind = s->create->layers[i].kind;

                root->n_layers += kind == LAYER_LOWER;
                root->flags |= kind == LAYER_UPPER ? INIT_ROOT_UPPER : kind == LAYER_USR ? INIT_ROOT_USR : 0;
        }
        snprintf(root->hostname, sizeof root->hostname, "%.*s", spec->hostname ? 63 : HOSTNAME_DIGITS,
                 spec->hostname ?: s->record.id.digits);
        snprintf(root->workdir, sizeof root->workdir, "%s", spec->workdir ?: "/");
}

int root_send(Sandbox *s, InitReplyHandler handler) {
        const SeccompPolicy *policy = &s->manager->seccomp;
        size_t size = sizeof(InitRoot) + (policy->n_allow + policy->n_args) * sizeof(struct sock_filter);
        _cleanup_free_ char *message = NULL;
        struct sock_filter *filters;

        message = malloc(size);
        if (!message)
                return -ENOMEM;
        fill_root(s, (InitRoot *) message);
        filters = (struct sock_filter *) (message + sizeof(InitRoot));
        memcpy(filters, policy->allow, policy->n_allow * sizeof *filters);
        memcpy(filters + policy->n_allow, policy->args, policy->n_args * sizeof *filters);
        return init_client_call(s->init, message, size, s->trees, s->n_trees, handler, s);
}
