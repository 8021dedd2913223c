/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/create-input.h"

#include <errno.h>
#include <math.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/string-util.h"
#include "sandboxd/egress.h"
#include "sandboxd/json-fields.h"

/* The contract of creation: numbers out of range are clamped, scalars of a wrong type count as absent, but an image, an
 * environment or an entrypoint that cannot be meant are refused. The limits keep a record, and the label that carries
 * it, of a size that one message holds. */

#define ENV_VALUE_MAX (32 * KiB)
#define MAP_BYTES_MAX (128 * KiB)
#define MAP_ENTRIES_MAX 1000U
#define ENTRYPOINT_BYTES_MAX (64 * KiB)

static const JsonField create_fields[] = {
        { "cpu",        JSON_FIELD_NUMBER, offsetof(CreateInput, cpu),
          JSON_FIELD_CLAMP | JSON_FIELD_LENIENT, 0.5, 4, "processors" },
        { "egress",     JSON_FIELD_VALUE,  offsetof(CreateInput, egress), 0, 0, 0,
          "what may be reached, with network; without: everything",
          "{\"type\":\"object\",\"properties\":{\"allow\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}}},"
          "\"required\":[\"allow\"]}" },
        { "entrypoint", JSON_FIELD_ARRAY,  offsetof(CreateInput, entrypoint), 0, 0, 0,
          "a command that is started in the background" },
        { "env",        JSON_FIELD_OBJECT, offsetof(CreateInput, env),      JSON_FIELD_LENIENT, 0, 0,
          "environment of all commands" },
        { "image",      JSON_FIELD_STRING, offsetof(CreateInput, image),
          JSON_FIELD_MANDATORY | JSON_FIELD_NONEMPTY, 0, 1024, "name in the catalog" },
        { "memory",     JSON_FIELD_INT,    offsetof(CreateInput, memory),
          JSON_FIELD_CLAMP | JSON_FIELD_LENIENT, 64, 4096, "MiB" },
        { "metadata",   JSON_FIELD_OBJECT, offsetof(CreateInput, metadata), JSON_FIELD_LENIENT, 0, 0,
          "text by name, kept and given back" },
        { "name",       JSON_FIELD_STRING, offsetof(CreateInput, name),     JSON_FIELD_LENIENT, 0, 1024,
          "default: the id" },
        { "network",    JSON_FIELD_BOOL,   offsetof(CreateInput, network),  JSON_FIELD_LENIENT, 0, 0,
          "default: none" },
        { "secretEnv",  JSON_FIELD_STRV,   offsetof(CreateInput, secret_env), 0, 0, 255,
          "names in env whose values are secrets" },
        { "secrets",    JSON_FIELD_OBJECT, offsetof(CreateInput, secrets), 0, 0, 0,
          "more environment, whose values nobody is ever shown" },
        { "template",   JSON_FIELD_STRING, offsetof(CreateInput, template), 0, 0, 0,
          "id or name; what else is given here lies over its config" },
        { "timeout",    JSON_FIELD_INT,    offsetof(CreateInput, timeout),
          JSON_FIELD_CLAMP | JSON_FIELD_LENIENT, 60, 86400, "seconds that it lives" },
        { "workdir",    JSON_FIELD_STRING, offsetof(CreateInput, workdir),  JSON_FIELD_LENIENT, 0, 4095,
          "where commands start" },
};
const JsonTable create_table = JSON_TABLE(create_fields);

bool image_is_allowed(const char *image, const char *allowed) {
        _cleanup_free_ char *copy = strdup(allowed ?: "");
        char *rest = copy, *word;
        bool found = false;

        while (rest && (word = strsep(&rest, ","))) {
                size_t n;

                word = strstrip(word);
                n = strlen(word);
                if (n > 0 && word[n - 1] == '*')
                        found |= strncmp(image, word, n - 1) == 0;
                else
                        found |= streq(image, word);
        }
        return found;
}

static int check_image(const CreateInput *input, const Settings *settings, sd_bus_error *error) {
        if (strstr(input->image, "..") || strchr(input->image, '$'))
                return bus_error_set(error, BUS_ERROR_INVALID, "Invalid image name");
        if (!image_is_allowed(input->image, settings->allowed_images))
                return bus_error_set(error, BUS_ERROR_IMAGE_NOT_ALLOWED, "Image not allowed: %s", input->image);
        return 0;
}

static int check_map(json_t *map, const char *what, bool is_env, sd_bus_error *error) {
        uint64_t bytes = 0;
        const char *key;
        json_t *value;

        if (json_object_size(map) > MAP_ENTRIES_MAX)
                return bus_error_set(error, BUS_ERROR_TOO_LARGE, "%s has too many entries", what);
        json_object_foreach(map, key, value) {
                if (!json_is_string(value))
                        return bus_error_set(error, BUS_ERROR_INVALID, "%s must be an object of strings", what);
                if (is_env ? !env_name_is_valid(key) : isempty(key))
                        return bus_error_set(error, BUS_ERROR_INVALID, "Invalid %s key", what);
                if (is_env && json_string_length(value) > ENV_VALUE_MAX)
                        return bus_error_set(error, BUS_ERROR_TOO_LARGE, "%s: the value of %s is too long", what, key);
                bytes += strlen(key) + json_string_length(value);
        }
        if (bytes > MAP_BYTES_MAX)
                return bus_error_set(error, BUS_ERROR_TOO_LARGE, "%s is too large", what);
        return 0;
}

/* What env names as secret moves over. The names stay to be seen, so that it can be told what a sandbox was given. */
static int move_secrets(CreateInput *input, sd_bus_error *error) {
        _cleanup_(json_decrefp) json_t *env = NULL, *secrets = NULL;

        if (!input->secret_env)
                return 0;
        /* They may be the request's own, and the same object twice. */
        env = json_copy(input->env);
        secrets = input->secrets ? json_copy(input->secrets) : json_object();
        STRV_FOREACH(name, input->secret_env) {
                json_t *value = json_object_get(env, *name);

                if (!value && !json_object_get(secrets, *name))
                        return bus_error_set(error, BUS_ERROR_INVALID, "secretEnv names %s, which env does not have",
                                             *name);
                if (value && json_object_set(secrets, *name, value) < 0)
                        return -ENOMEM;
                (void) json_object_del(env, *name);
        }
        json_decref(input->env);
        json_decref(input->secrets);
        input->env = TAKE_PTR(env);
        input->secrets = TAKE_PTR(secrets);
        return 0;
}

static int check_entrypoint(CreateInput *input, sd_bus_error *error) {
        uint64_t bytes = 0;
        json_t *value;
        size_t i;

        json_array_foreach(input->entrypoint, i, value) {
                if (!json_is_string(value))
                        return bus_error_set(error, BUS_ERROR_INVALID, "entrypoint must be an array of strings");
                bytes += json_string_length(value) + 1;
        }
        if (bytes > ENTRYPOINT_BYTES_MAX)
                return bus_error_set(error, BUS_ERROR_TOO_LARGE, "entrypoint is too large");
        if (json_array_size(input->entrypoint) == 0) {
                json_decref(input->entrypoint);
                input->entrypoint = NULL;
        }
        return 0;
}

/* The list is put in order here, so that what is shown is what is in force. */
static int check_egress(CreateInput *input, sd_bus_error *error) {
        _cleanup_(json_decrefp) json_t *egress = NULL;
        json_t *list;
        int r;

        if (!input->egress)
                return 0;
        if (!json_is_object(input->egress) || json_object_size(input->egress) != 1)
                return bus_error_set(error, BUS_ERROR_INVALID, "egress must be an object with the member allow");
        if (!input->network)
                return bus_error_set(error, BUS_ERROR_INVALID, "egress needs network: true");
        r = egress_list_read(json_object_get(input->egress, "allow"), &list, error);
        if (r < 0)
                return r;
        egress = json_pack("{s:o}", "allow", list);
        if (!egress)
                return -ENOMEM;
        json_decref(input->egress);
        input->egress = TAKE_PTR(egress);
        return 0;
}

static int check_workdir(CreateInput *input, const Settings *settings, sd_bus_error *error) {
        if (isempty(input->workdir))
                return free_and_strdup(&input->workdir, settings->workspace_dir);
        if (input->workdir[0] != '/')
                return bus_error_set(error, BUS_ERROR_INVALID, "workdir must be an absolute path");
        return 0;
}

int create_input_read(json_t *object, const Settings *settings, CreateInput *ret, sd_bus_error *error) {
        _cleanup_(create_input_done) CreateInput input = {
                .timeout = settings->default_timeout_sec,
                .memory = settings->default_memory_mib,
                .cpu = settings->default_cpu,
        };
        int r;

        /* The contract's text names the type, too. */
        if (!json_is_string(json_object_get(object, "image")))
                return bus_error_set(error, BUS_ERROR_INVALID, "image is required and must be a string");
        r = json_fields_read(object, create_fields, ELEMENTSOF(create_fields), &input, error);
        if (r >= 0)
                r = check_image(&input, settings, error);
        if (r >= 0)
                r = check_map(input.env, "env", /* is_env= */ true, error);
        if (r >= 0)
                r = check_map(input.secrets, "secrets", /* is_env= */ true, error);
        if (r >= 0)
                r = move_secrets(&input, error);
        if (r >= 0)
                r = check_map(input.metadata, "metadata", /* is_env= */ false, error);
        if (r >= 0)
                r = check_entrypoint(&input, error);
        if (r >= 0)
                r = check_egress(&input, error);
        if (r >= 0)
                r = check_workdir(&input, settings, error);
        if (r < 0)
                return r;

        input.network_given = json_is_boolean(json_object_get(object, "network"));
        if (isempty(input.name))
                input.name = mfree(input.name);
        *ret = input;
        input = (CreateInput) {};
        return 0;
}

void create_input_done(CreateInput *input) {
        json_fields_done(create_fields, ELEMENTSOF(create_fields), input);
}

int create_input_check_config(json_t *object, const Settings *settings, json_t **ret, sd_bus_error *error) {
        _cleanup_(sd_bus_error_free) sd_bus_error detail = SD_BUS_ERROR_NULL;
        _cleanup_(create_input_done) CreateInput input = {};
        _cleanup_(json_decrefp) json_t *kept = json_object();
        Settings any = *settings;
        int r;

        any.allowed_images = (char *) "*"; /* the list of the day of the creation counts */
        if (json_object_get(object, "secrets") || json_object_get(object, "secretEnv"))
                return bus_error_set(error, BUS_ERROR_INVALID, "Invalid config: a template is shown to everybody and "
                                                               "takes no secrets");
        r = create_input_read(object, &any, &input, &detail);
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                return bus_error_set(error, detail.name ?: BUS_ERROR_INVALID, "Invalid config: %s",
                                     detail.message ?: "it is not understood");
        for (size_t i = 0; i < ELEMENTSOF(create_fields); i++) {
                json_t *value = json_object_get(object, create_fields[i].name);

                if (value && !json_is_null(value) && !streq(create_fields[i].name, "template") &&
                    json_object_set(kept, create_fields[i].name, value) < 0)
                        return -ENOMEM;
        }
        *ret = TAKE_PTR(kept);
        return 0;
}

/* The names of what is secret, as a list. */
static json_t *secret_names(const CreateInput *input) {
        json_t *names, *value;
        const char *key;

        if (json_object_size(input->secrets) == 0)
                return NULL;
        names = json_array();
        json_object_foreach(input->secrets, key, value)
                (void) json_array_append_new(names, json_string(key));
        return names;
}

static json_t *number_to_json(double x) {
        return x == floor(x) ? json_integer((json_int_t) x) : json_real(x);
}

json_t *create_input_config(const CreateInput *input) {
        json_t *config = json_pack("{s:s, s:s*, s:I, s:I, s:o, s:s, s:O*, s:O*, s:O*, s:O*, s:o*}", "image", input->image,
                                   "name", input->name, "timeout", (json_int_t) input->timeout, "memory",
                                   (json_int_t) input->memory, "cpu", number_to_json(input->cpu), "workdir",
                                   input->workdir, "egress", input->egress, "env", input->env, "metadata", input->metadata, "entrypoint",
                                   input->entrypoint, "secretEnv", secret_names(input));

        if (config && input->network_given)
                (void) json_object_set_new(config, "network", json_boolean(input->network));
        return config;
}
