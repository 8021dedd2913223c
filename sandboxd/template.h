/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <jansson.h>

#include "sandboxd/store.h"

/* Templates: configurations of sandboxes with a name. Each is a JSON object as clients see it, a new reference. Some are
 * part of the program, with ids that never change; the others are rows of the store. */

#define TEMPLATE_KIND "template"
#define TEMPLATE_NAME_MAX 128U
#define TEMPLATES_MAX 1000U

/* What the clients' libraries name as the image when their user named none. */
#define TEMPLATE_CLIENTS_IMAGE "python:3.12-slim"

typedef struct TemplateInit {
        const char *name, *description;
        json_t *config;         /* borrowed */
} TemplateInit;

/* -EEXIST: the name is taken; -E2BIG: there are too many. */
int template_add(Store *s, const TemplateInit *init, json_t **ret);
/* -ENOENT. */
int template_get(Store *s, const char *id, json_t **ret);
/* By id, else by name. */
int template_find(Store *s, const char *name_or_id, json_t **ret);
/* -ENOENT; -EPERM: it is part of the program. */
int template_remove(Store *s, const char *id);
/* An array: those of the program, then the others as they came. */
int template_list(Store *s, json_t **ret);

/* What a client asks for, over the template's config: one level deep, null as if it were not there. The image that a
 * client's library puts into every request is no wish, the template's counts then. NULL when out of memory. */
json_t *template_overlay(const json_t *template, json_t *request);
