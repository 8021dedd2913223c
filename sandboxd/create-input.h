/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <jansson.h>
#include <systemd/sd-bus.h>

#include "libsandbox/settings.h"
#include "sandboxd/json-fields.h"

/* What a client may say when it creates a sandbox, checked. */
typedef struct CreateInput {
        char *image, *name, *workdir, *template;
        int64_t timeout, memory;
        double cpu;
        bool network, network_given;
        json_t *env, *metadata, *entrypoint;
        json_t *egress;         /* {"allow": [...]}; NULL: everything may be reached */
        json_t *secrets;        /* the rest of the environment: never shown, in no label */
        char **secret_env;      /* names in env that belong to secrets */
} CreateInput;

extern const JsonTable create_table;

int create_input_read(json_t *object, const Settings *settings, CreateInput *ret, sd_bus_error *error);
void create_input_done(CreateInput *input);
/* The config of a template, which is given back as it was meant: what is not known is left out, what is out of range is
 * clamped only by the creation. A new reference. */
int create_input_check_config(json_t *object, const Settings *settings, json_t **ret, sd_bus_error *error);
/* The SandboxConfig object with the defaults filled in. A new reference. */
json_t *create_input_config(const CreateInput *input);

/* The list of III_ALLOWED_IMAGES: names, or prefixes with a trailing "*". */
bool image_is_allowed(const char *image, const char *allowed);
