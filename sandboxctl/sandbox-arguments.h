/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandboxctl/ctl.h"

/* What a sandbox shall be: the options that create and run have in common. */
typedef struct SandboxArguments {
        const char *name, *workdir;
        uint64_t memory_mib;     /* UINT64_MAX: the server's default, as for the following */
        uint64_t timeout_sec;
        double cpu;              /* < 0: the server's default */
        bool network;
        char **env, **metadata, **secrets;
        char **allow;            /* with the network, which they imply */
        const char *template;
} SandboxArguments;

#define SANDBOX_ARGUMENTS_DEFAULT                                                                  \
        ((SandboxArguments) { .memory_mib = UINT64_MAX, .timeout_sec = UINT64_MAX, .cpu = -1 })

#define SANDBOX_OPTIONS(a)                                                                         \
        { 'n', "name", "NAME", OPTION_STRING, &(a).name, "Name of the sandbox; its id unless given" }, \
        { 'm', "memory", "SIZE", OPTION_MEBIBYTES, &(a).memory_mib, "Memory, in MiB or with K, M, G" }, \
        { 'c', "cpu", "NUMBER", OPTION_NUMBER, &(a).cpu, "Processors, 0.5 to 4" },                 \
        { 0, "network", NULL, OPTION_FLAG, &(a).network, "Connect it to the network" },            \
        { 0, "allow", "ENTRY", OPTION_STRV, &(a).allow,                                            \
          "The same, and only this can be reached: 192.0.2.0/24, example.org, *.example.org, each perhaps with :PORT. " \
          "May be repeated" },                                                                     \
        { 'e', "env", "KEY=VALUE", OPTION_STRV, &(a).env,                                          \
          "Environment variable; KEY alone takes the caller's value. May be repeated" },           \
        { 0, "secret", "KEY=VALUE", OPTION_STRV, &(a).secrets,                                     \
          "The same, and nobody is shown the value. May be repeated" },                            \
        { 'w', "workdir", "PATH", OPTION_STRING, &(a).workdir, "Working directory of commands" },  \
        { 0, "metadata", "KEY=VALUE", OPTION_STRV, &(a).metadata,                                  \
          "Text kept with the sandbox. May be repeated" }

/* The object of the request; an ExitStatus. image may be NULL. */
int sandbox_arguments_to_json(Ctl *c, const char *image, const SandboxArguments *a, json_t **ret);
/* Creates it; an ExitStatus. *ret is the Sandbox object of the reply, which has a valid id. */
int sandbox_create(Ctl *c, const char *image, const SandboxArguments *a, json_t **ret);
int sandbox_delete(Ctl *c, const char *id, json_t **ret);

/* {"KEY": "VALUE"} of a list of assignments; NULL and the line on stderr when one is none. */
json_t *json_from_assignments(const Ctl *c, char *const *assignments, bool environment);
/* Keys with a default are sent only if given, so that the server's own defaults hold. */
int json_set_text(json_t *object, const char *key, const char *value);
int json_set_uint(json_t *object, const char *key, uint64_t value);
