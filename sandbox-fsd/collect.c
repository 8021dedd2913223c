/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-fsd/collect.h"

#include <errno.h>
#include <unistd.h>

#include "libsandbox/bus-names.h"
#include "libsandbox/log.h"
#include "libsandbox/sandbox-id.h"
#include "libsandbox/string-util.h"
#include "sandbox-fsd/removal.h"

/* A layer is needed as long as an image leads to it, so that the next sandbox need not wait for it, and as long as a
 * sandbox has it mapped: what is deleted below an overlay is gone for those who look through it. Who maps what was
 * written down when it was prepared (store_set_use()); execd is asked who lives, and if there is one of which nothing is
 * written, made by a version that did not do so, all stays. It is done when there is nothing else to do. */

static int add_wanted(Images *i, char ***wanted) {
        int r;

        r = catalog_refresh(&i->catalog);
        for (size_t n = 0; r >= 0 && n < i->catalog.n_images; n++)
                r = images_add_needed(i, i->catalog.images + n, wanted);
        return r;
}

static int add_used(const Store *s, char ***wanted) {
        _cleanup_strv_free_ char **uses = NULL;
        int r;

        r = store_list_leftovers(s->roots_fd, STORE_USE_PREFIX, &uses);
        STRV_FOREACH(use, uses) {
                _cleanup_free_ char *layer = NULL;

                if (r >= 0)
                        r = store_get_use(s, *use + strlen(STORE_USE_PREFIX), &layer);
                if (r >= 0)
                        r = strv_extend(wanted, layer);
        }
        return r;
}

static int add_unneeded(const Store *s, const char *prefix, char *const *wanted, char ***ret) {
        _cleanup_strv_free_ char **names = NULL;
        int r;

        r = store_list_leftovers(s->images_fd, prefix, &names);
        STRV_FOREACH(name, names)
                if (r >= 0 && !strv_contains(wanted, *name))
                        r = strv_extend(ret, *name);
        return r;
}

/* Links of tars that are others now, or are not there, go at once: they are made again in no time. */
static int drop_links(const Store *s, char *const *wanted) {
        _cleanup_strv_free_ char **links = NULL;
        int r;

        r = add_unneeded(s, STORE_LINK_PREFIX, wanted, &links);
        STRV_FOREACH(link, links)
                (void) unlinkat(s->images_fd, *link, 0);
        return r;
}

static int list_unneeded(Images *i, char ***ret) {
        _cleanup_strv_free_ char **wanted = NULL, **names = NULL;
        int r;

        r = add_wanted(i, &wanted);
        if (r >= 0)
                r = drop_links(&i->store, wanted);
        if (r >= 0)
                r = add_used(&i->store, &wanted);
        if (r >= 0)
                r = store_list_snapshot_layers(&i->store, &wanted);
        if (r >= 0)
                r = add_unneeded(&i->store, "host-", wanted, &names);
        if (r >= 0)
                r = add_unneeded(&i->store, "sha256-", wanted, &names);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(names);
        return 0;
}

/* Aside first: from then on nobody can be given it. */
static void remove_layer(Images *i, const char *layer) {
        _cleanup_free_ char *name = NULL;
        int r;

        r = store_retire_layer(&i->store, layer, &name);
        if (r >= 0)
                r = removal_start(i, i->store.images_fd, name);
        if (r < 0)
                log_warning_errno(r, "Failed to delete layer %s, ignoring: %m", layer);
        else
                log_info("Deleting layer %s, which nothing leads to any more.", layer);
}

/* 1: of each sandbox that lives it is known what it has mapped. */
static int all_are_known(const Store *s, sd_bus_message *m) {
        const char *id;
        int r;

        r = sd_bus_message_enter_container(m, 'a', "(sstst)");
        while (r >= 0 && (r = sd_bus_message_read(m, "(sstst)", &id, NULL, NULL, NULL, NULL)) > 0) {
                _cleanup_free_ char *layer = NULL;

                if (!sandbox_id_is_valid(id))
                        return -EBADMSG;
                r = store_get_use(s, id, &layer);
                if (r == -ENOENT) {
                        log_sandbox(LOG_INFO, id, "Nothing tells which layer the sandbox has mapped, keeping all.");
                        return 0;
                }
        }
        return r < 0 ? r : 1;
}

static int on_listed(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_strv_free_ char **names = NULL;
        Manager *manager = userdata;
        Images *i = &manager->images;
        int r = 1;

        (void) error;
        if (sd_bus_message_is_method_error(m, NULL))
                r = -sd_bus_message_get_errno(m);
        if (r >= 0)
                r = all_are_known(&i->store, m);
        /* Once more: an image may have come while execd was asked. */
        if (r > 0)
                r = list_unneeded(i, &names);
        if (r < 0)
                log_warning_errno(r, "Failed to look for layers that are not needed, ignoring: %m");
        STRV_FOREACH(name, names)
                remove_layer(i, *name);
        manager->collecting = false;
        service_release(manager->service);
        return 0;
}

static int ask_for_sandboxes(Manager *m) {
        sd_bus *bus;
        int r;

        r = bus_client_get(m->execd, &bus);
        if (r < 0)
                return r;
        return sd_bus_call_method_async(bus, NULL, NULL, EXEC_OBJECT, EXEC_INTERFACE, "List", on_listed, m, "");
}

int collect_start(Manager *m) {
        _cleanup_strv_free_ char **names = NULL;
        int r;

        if (!m->images.collect_due)
                return 0;
        m->images.collect_due = false;
        r = list_unneeded(&m->images, &names);
        if (r >= 0 && !names)
                return 0;
        if (r >= 0)
                r = ask_for_sandboxes(m);
        if (r < 0)
                return log_warning_errno(r, "Failed to look for layers that are not needed, ignoring: %m");
        m->collecting = true;
        service_hold(m->service);
        return 1;
}
