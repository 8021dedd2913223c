/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/template.h"

#include <errno.h>

#include "libsandbox/sandbox-id.h"
#include "libsandbox/string-util.h"
#include "libsandbox/time-util.h"

/* The name is the row's tag, so that it is looked up by the index. Nothing but our one loop writes, hence looking
 * whether a name is free and taking it need no transaction. */

static const struct {
        const char *id, *name, *description, *config;
} builtins[] = {
        { "tpl_python-data-science", "python-data-science", "Python for data analysis",
          "{\"image\":\"python:3.12-slim\",\"memory\":1024,\"timeout\":7200,\"env\":{\"PYTHONUNBUFFERED\":\"1\"}}" },
        { "tpl_node-web", "node-web", "Node.js for web applications",
          "{\"image\":\"node:20-slim\",\"memory\":512,\"timeout\":3600,\"network\":true}" },
        { "tpl_go-api", "go-api", "Go for services",
          "{\"image\":\"golang:1.22-alpine\",\"memory\":512,\"timeout\":3600,\"network\":true}" },
        { "tpl_rust-cli", "rust-cli", "Rust for command line programs",
          "{\"image\":\"rust:1.77-slim\",\"memory\":1024,\"timeout\":7200}" },
};

/* In the form of stored ones, so that nobody but template_remove() has to tell them apart. */
static json_t *builtin_to_json(size_t i) {
        return json_pack("{s:s, s:s, s:s, s:o, s:b, s:i}", "id", builtins[i].id, "name", builtins[i].name,
                         "description", builtins[i].description, "config", json_loads(builtins[i].config, 0, NULL),
                         "builtin", 1, "createdAt", 0);
}

static json_t *find_builtin(const char *id, const char *name) {
        for (size_t i = 0; i < ELEMENTSOF(builtins); i++)
                if (streq_ptr(builtins[i].id, id) || streq_ptr(builtins[i].name, name))
                        return builtin_to_json(i);
        return NULL;
}

static int take_row(const StoredObject *row, void *userdata) {
        json_t **ret = userdata, *object = json_loads(row->record, 0, NULL);

        if (!json_is_object(object)) {
                json_decref(object);
                return -EBADMSG;
        }
        if (json_is_array(*ret))
                return json_array_append_new(*ret, object) < 0 ? -ENOMEM : 0;
        json_decref(*ret);
        *ret = object;
        return 0;
}

static int find_stored(Store *s, const char *id, const char *name, json_t **ret) {
        _cleanup_(json_decrefp) json_t *found = NULL;
        ObjectQuery query = { .kind = TEMPLATE_KIND, .id = id, .tag = name, .limit = 1 };
        int r;

        r = store_foreach_object(s, &query, take_row, &found);
        if (r < 0)
                return r;
        if (!found)
                return -ENOENT;
        *ret = TAKE_PTR(found);
        return 0;
}

int template_get(Store *s, const char *id, json_t **ret) {
        json_t *builtin = find_builtin(id, NULL);

        if (!builtin)
                return find_stored(s, id, NULL, ret);
        *ret = builtin;
        return 0;
}

/* Ids win over names, those in the program over stored ones: what a word means cannot be changed by adding a template. */
int template_find(Store *s, const char *name_or_id, json_t **ret) {
        json_t *builtin;
        int r;

        r = template_get(s, name_or_id, ret);
        if (r != -ENOENT)
                return r;
        builtin = find_builtin(NULL, name_or_id);
        if (!builtin)
                return find_stored(s, NULL, name_or_id, ret);
        *ret = builtin;
        return 0;
}

static int put(Store *s, const json_t *object) {
        _cleanup_free_ char *record = json_dumps(object, JSON_COMPACT);

        if (!record)
                return -ENOMEM;
        return store_put_object(s, &(StoredObject) {
                        .kind = TEMPLATE_KIND, .id = json_string_value(json_object_get(object, "id")),
                        .tag = json_string_value(json_object_get(object, "name")),
                        .time_msec = (uint64_t) json_integer_value(json_object_get(object, "createdAt")),
                        .record = record });
}

int template_add(Store *s, const TemplateInit *init, json_t **ret) {
        _cleanup_(json_decrefp) json_t *object = NULL, *other = NULL;
        uint64_t n;
        char id[40];
        int r;

        r = template_find(s, init->name, &other);
        if (r != -ENOENT)
                return r < 0 ? r : -EEXIST;
        r = store_count_objects(s, TEMPLATE_KIND, NULL, NULL, &n);
        if (r >= 0 && n >= TEMPLATES_MAX)
                r = -E2BIG;
        if (r >= 0)
                r = object_id_random("tpl", id);
        if (r < 0)
                return r;
        object = json_pack("{s:s, s:s, s:s, s:O, s:b, s:I}", "id", id, "name", init->name, "description",
                           init->description ?: "", "config", init->config, "builtin", 0, "createdAt",
                           (json_int_t) (now_usec(CLOCK_REALTIME) / USEC_PER_MSEC));
        if (!object)
                return -ENOMEM;
        r = put(s, object);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(object);
        return 0;
}

int template_remove(Store *s, const char *id) {
        _cleanup_(json_decrefp) json_t *object = NULL;
        int r;

        r = template_get(s, id, &object);
        if (r < 0)
                return r;
        if (json_is_true(json_object_get(object, "builtin")))
                return -EPERM;
        return store_remove_object(s, TEMPLATE_KIND, id);
}

int template_list(Store *s, json_t **ret) {
        _cleanup_(json_decrefp) json_t *list = json_array();
        int r;

        for (size_t i = 0; i < ELEMENTSOF(builtins); i++)
                if (json_array_append_new(list, builtin_to_json(i)) < 0)
                        return -ENOMEM;
        r = store_foreach_object(s, &(ObjectQuery) { .kind = TEMPLATE_KIND }, take_row, &list);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(list);
        return 0;
}

json_t *template_overlay(const json_t *template, json_t *request) {
        json_t *merged = json_copy(json_object_get(template, "config")), *value;
        const char *key;

        if (!merged)
                return NULL;
        json_object_foreach(request, key, value) {
                if (json_is_null(value))
                        continue;
                if (streq(key, "image") && streq_ptr(json_string_value(value), TEMPLATE_CLIENTS_IMAGE) &&
                    json_object_get(merged, "image"))
                        continue;
                if (json_object_set(merged, key, value) < 0) {
                        json_decref(merged);
                        return NULL;
                }
        }
        return merged;
}
