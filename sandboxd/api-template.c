/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/string-util.h"
#include "sandboxd/api.h"
#include "sandboxd/create-input.h"
#include "sandboxd/template.h"

/* Routes of templates. What a template may say is what a creation may say: the same table checks both. */

#define DESCRIPTION_MAX 4096

typedef struct TemplateInput {
        char *name, *description;
        json_t *config;
} TemplateInput;

static const JsonField template_fields[] = {
        { "config",      JSON_FIELD_OBJECT, offsetof(TemplateInput, config), JSON_FIELD_MANDATORY, 0, 0,
          "what a creation takes; an image at least" },
        { "description", JSON_FIELD_STRING, offsetof(TemplateInput, description), JSON_FIELD_LENIENT, 0,
          DESCRIPTION_MAX, "for people" },
        { "name",        JSON_FIELD_STRING, offsetof(TemplateInput, name),
          JSON_FIELD_MANDATORY | JSON_FIELD_NONEMPTY, 0, TEMPLATE_NAME_MAX, "a name that no other has" },
};
const JsonTable template_table = JSON_TABLE(template_fields);

/* error gets the text; the name of the template is the client's own. */
static int explain(int r, const char *name, sd_bus_error *error) {
        switch (r) {
        case -ENOENT:
                return bus_error_set(error, BUS_ERROR_NO_SUCH_OBJECT, "Template not found: %s", name);
        case -EEXIST:
                return bus_error_set(error, BUS_ERROR_WRONG_STATE, "Template with name already exists: %s", name);
        case -E2BIG:
                return bus_error_set(error, BUS_ERROR_LIMIT_REACHED, "Maximum template limit reached: %u",
                                     TEMPLATES_MAX);
        case -EPERM:
                return bus_error_set(error, BUS_ERROR_DENIED, "Cannot delete builtin template");
        default:
                return r;
        }
}

static void publish(Manager *m, const char *topic, const json_t *template) {
        event_publish(m, topic, NULL, json_pack("{s:O, s:O}", "id", json_object_get(template, "id"), "name",
                                                json_object_get(template, "name")));
}

static int create_template(Request *request, void *userdata, sd_bus_error *error) {
        _cleanup_(json_decrefp) json_t *config = NULL, *template = NULL;
        Manager *m = request_userdata(request);
        const TemplateInput *input = userdata;
        int r;

        r = create_input_check_config(input->config, &m->settings, &config, error);
        if (r < 0)
                return r;
        r = template_add(m->store, &(TemplateInit) { .name = input->name, .description = input->description,
                                                     .config = config }, &template);
        if (r < 0)
                return explain(r, input->name, error);
        publish(m, "template.created", template);
        return request_reply_json(request, 200, TAKE_PTR(template));
}

int api_template_create(Request *request, sd_bus_error *error) {
        static const ApiInput route = { template_fields, ELEMENTSOF(template_fields), create_template };

        return api_with_input(request, &route, &(TemplateInput) {}, error);
}

int api_template_list(Request *request, sd_bus_error *error) {
        Manager *m = request_userdata(request);
        json_t *list;
        int r;

        (void) error;
        r = template_list(m->store, &list);
        return r < 0 ? r : request_reply_json(request, 200, json_pack("{s:o}", "templates", list));
}

int api_template_get(Request *request, sd_bus_error *error) {
        const char *id = request_path_value(request, "template");
        Manager *m = request_userdata(request);
        json_t *template;
        int r;

        r = template_get(m->store, id, &template);
        return r < 0 ? explain(r, id, error) : request_reply_json(request, 200, template);
}

int api_template_delete(Request *request, sd_bus_error *error) {
        const char *id = request_path_value(request, "template");
        _cleanup_(json_decrefp) json_t *template = NULL;
        Manager *m = request_userdata(request);
        int r;

        r = template_get(m->store, id, &template);
        if (r >= 0)
                r = template_remove(m->store, id);
        if (r < 0)
                return explain(r, id, error);
        publish(m, "template.deleted", template);
        return request_reply_json(request, 200, json_pack("{s:s}", "deleted", id));
}

int api_apply_template(Request *request, json_t **ret, sd_bus_error *error) {
        json_t *input = request_input(request), *name = json_object_get(input, "template");
        _cleanup_(json_decrefp) json_t *template = NULL;
        Manager *m = request_userdata(request);
        int r;

        if (!name || json_is_null(name) || (json_is_string(name) && json_string_length(name) == 0)) {
                *ret = json_incref(input);
                return 0;
        }
        if (!json_is_string(name))
                return bus_error_set(error, BUS_ERROR_INVALID, "template must be a string");
        r = template_find(m->store, json_string_value(name), &template);
        if (r < 0)
                return explain(r, json_string_value(name), error);
        *ret = template_overlay(template, input);
        return *ret ? 0 : -ENOMEM;
}
