/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <unistd.h>

#include "libsandbox/settings.h"
#include "libsandbox/string-util.h"
#include "sandboxctl/doctor-checks.h"

/* What systemd has in force, not what our files say: an administrator's drop-in may have taken a wall away, perhaps
 * unknowingly. systemctl is asked once for each unit. */

static const char *const services[] = { "sandboxd.service", "sandbox-execd.service", "sandbox-fsd.service",
                                        "sandbox-hook.service" };
static const char *const sockets[] = { "sandboxd.socket", "sandbox-execd.socket", "sandbox-fsd.socket",
                                       "sandbox-hook.socket" };

/* Bits of the services that a row is for, in their order above. */
#define API 1U
#define EXEC 2U
#define FILES 4U
#define HOOK 8U
#define CLOSED (API | EXEC | FILES)
#define ALL (CLOSED | HOOK)

/* value NULL: anything but "infinity". */
static const struct {
        unsigned services;
        const char *property, *value;
} rows[] = {
        { API | HOOK,  "CapabilityBoundingSet",   ""        },
        { ALL,         "DevicePolicy",            "closed"  },
        { CLOSED,      "IPAddressDeny",           "::/0 0.0.0.0/0" },
        { ALL,         "KeyringMode",             "private" },
        { ALL,         "LimitCORE",               "0"       },
        { ALL,         "LockPersonality",         "yes"     },
        { ALL,         "MemoryMax",               NULL      },
        { API | FILES | HOOK, "MemoryDenyWriteExecute", "yes" },
        { EXEC,        "MemoryDenyWriteExecute",  "no"      }, /* commands would inherit it: JIT compilers */
        { ALL,         "NoNewPrivileges",         "yes"     },
        { ALL,         "PrivateDevices",          "yes"     },
        { ALL,         "PrivateMounts",           "yes"     },
        { CLOSED,      "PrivateNetwork",          "yes"     },
        { ALL,         "PrivateTmp",              "yes"     },
        { API,         "PrivateUsers",            "yes"     },
        { ALL,         "ProtectClock",            "yes"     },
        { ALL,         "ProtectControlGroups",    "yes"     },
        { ALL,         "ProtectHome",             "yes"     },
        { ALL,         "ProtectKernelLogs",       "yes"     },
        { ALL,         "ProtectKernelModules",    "yes"     },
        { ALL,         "ProtectKernelTunables",   "yes"     },
        { ALL,         "ProtectSystem",           "strict"  },
        { API | FILES, "RestrictAddressFamilies", "AF_UNIX" },
        { HOOK,        "RestrictAddressFamilies", "AF_UNIX AF_INET AF_INET6" },
        { ALL,         "RestrictRealtime",        "yes"     },
        { API | HOOK,  "RestrictSUIDSGID",        "yes"     },
        { EXEC,        "RestrictSUIDSGID",        "no"      }, /* commands would inherit it: package managers */
        { ALL,         "TasksMax",                NULL      },
        { ALL,         "UMask",                   "0077"    },
        { API,         "User",                    "sandboxd" },
        { FILES,       "User",                    "sandbox-fsd" },
        { HOOK,        "User",                    "sandbox-hook" },
};

/* All that "systemctl show" says of a unit, "Name=value" in lines; NULL: it cannot be asked. */
static char *show(const char *unit) {
        char command[128], *text = NULL;
        size_t size = 0;
        FILE *f;

        (void) snprintf(command, sizeof command, "systemctl show --no-pager -- %s 2>/dev/null", unit);
        f = popen(command, "re");
        if (!f)
                return NULL;
        if (getdelim(&text, &size, 0, f) <= 0)
                text = mfree(text);
        return pclose(f) == 0 ? text : mfree(text);
}

/* The value is cut out of a copy; an unknown property, of a newer or older systemd, is none. */
static char *property(const char *text, const char *name) {
        size_t n = strlen(name);

        for (const char *line = text; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
                if (strncmp(line, name, n) == 0 && line[n] == '=')
                        return strndup(line + n + 1, strcspn(line + n + 1, "\n"));
        return NULL;
}

/* Versions of systemd print lists in another order. */
static bool same_words(const char *a, const char *b) {
        if (strlen(a) != strlen(b))
                return false;
        for (const char *p = b; *p; p += strspn(p, " ")) {
                _cleanup_free_ char *word = strndup(p, strcspn(p, " "));

                if (!word || !doctor_has_word(a, word))
                        return false;
                p += strlen(word);
        }
        return true;
}

static bool property_is(const char *text, const char *name, const char *wanted) {
        _cleanup_free_ char *value = property(text, name);

        return streq_ptr(value, wanted);
}

/* False, with what was found, at the first row that does not hold. */
static bool check_service(size_t service, const char *text, DoctorResult *r) {
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                _cleanup_free_ char *value = rows[i].services & 1U << service ? property(text, rows[i].property) : NULL;

                if (!value || (rows[i].value ? same_words(value, rows[i].value) : !streq(value, "infinity")))
                        continue;
                doctor_set(r, DOCTOR_WARN, "%s: %s=%.60s", services[service], rows[i].property, value);
                return false;
        }
        return true;
}

void doctor_check_hardening(DoctorResult *r) {
        for (size_t i = 0; i < ELEMENTSOF(services); i++) {
                _cleanup_free_ char *text = show(services[i]);

                if (!text || !property_is(text, "LoadState", "loaded"))
                        return doctor_set(r, DOCTOR_MISSING, "%s is not loaded", services[i]);
                if (!check_service(i, text, r))
                        return;
        }
        doctor_set(r, DOCTOR_OK, "of all services is in force");
}

void doctor_check_sockets(DoctorResult *r) {
        for (size_t i = 0; i < ELEMENTSOF(sockets); i++) {
                _cleanup_free_ char *text = show(sockets[i]);

                if (!text || !property_is(text, "ActiveState", "active"))
                        return doctor_set(r, DOCTOR_MISSING, "%s does not listen", sockets[i]);
                if (!property_is(text, "UnitFileState", "enabled"))
                        return doctor_set(r, DOCTOR_WARN, "%s is not enabled", sockets[i]);
        }
        doctor_set(r, DOCTOR_OK, "listen");
}

void doctor_check_sums(DoctorResult *r) {
        static const char *const names[] = { "MemoryMax", "TasksMax" };
        _cleanup_free_ char *text = show("sandbox.slice");

        if (!text || !property_is(text, "LoadState", "loaded"))
                return doctor_set(r, DOCTOR_MISSING, "sandbox.slice is not loaded");
        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                if (property_is(text, names[i], "infinity"))
                        return doctor_set(r, DOCTOR_WARN, "sandbox.slice: %s=infinity", names[i]);
        doctor_set(r, DOCTOR_OK, "memory and processes of all sandboxes");
}

void doctor_check_accounts(DoctorResult *r) {
        static const char *const names[] = { "sandboxd", "sandbox-fsd", "sandbox-hook" };

        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                if (!getpwnam(names[i]))
                        return doctor_set(r, DOCTOR_MISSING, "no user %s", names[i]);
        doctor_set(r, DOCTOR_OK, "sandboxd sandbox-fsd sandbox-hook");
}

bool doctor_listens_beyond_loopback(const char *text) {
        for (const char *p = text; *p;) {
                size_t n = strcspn(p, " \n");

                /* "(Stream)" stands behind each address */
                if (n > 0 && *p != '/' && *p != '(' && *p != '@' && !startswith(p, "127.") && !startswith(p, "[::1]:"))
                        return true;
                p += n + (p[n] != 0);
        }
        return false;
}

static bool has_token(void) {
        _cleanup_free_ char *text = show("sandboxd.service"), *credentials = NULL;
        Settings settings;
        bool found = false;

        if (settings_load(&settings) >= 0) {
                found = settings.auth_token || settings.api_key;
                settings_done(&settings);
        }
        credentials = text ? property(text, "LoadCredential") : NULL;
        return found || (credentials && strstr(credentials, "tokens"));
}

/* systemctl has a line "Listen=" for each address. */
void doctor_check_tokens(DoctorResult *r) {
        _cleanup_free_ char *text = show("sandboxd.socket");
        bool tcp = false, beyond = false;

        if (geteuid() != 0)
                return doctor_set(r, DOCTOR_WARN, "run as root to check");
        for (const char *p = text; p && (p = strstr(p, "Listen=")); p++) {
                _cleanup_free_ char *address = strndup(p + strlen("Listen="), strcspn(p + strlen("Listen="), "\n"));

                if (!address || (p > text && p[-1] != '\n'))
                        continue;
                tcp = tcp || *address != '/';
                beyond = beyond || doctor_listens_beyond_loopback(address);
        }
        if (has_token())
                return doctor_set(r, DOCTOR_OK, "configured");
        if (beyond)
                return doctor_set(r, DOCTOR_MISSING, "none, and a socket listens beyond loopback");
        doctor_set(r, tcp ? DOCTOR_WARN : DOCTOR_OK, "%s", tcp ? "none: every local user may use the API" : "not needed");
}
