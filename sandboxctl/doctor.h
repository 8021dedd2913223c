/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <jansson.h>

#include "libsandbox/macro.h"

/* What a host must have, should have and had better not have. Each check is a row and a function; nothing is changed,
 * what a probe makes it takes back. */
typedef enum DoctorLevel {
        DOCTOR_OK,
        DOCTOR_WARN,             /* works, but slower or with a weaker wall */
        DOCTOR_MISSING,          /* sandboxes will not work */
        _DOCTOR_LEVEL_MAX,
} DoctorLevel;

typedef struct DoctorResult {
        DoctorLevel level;
        char found[160];
} DoctorResult;

typedef struct DoctorCheck {
        const char *name;
        void (*run)(DoctorResult *r);
        const char *advice;      /* what to do when it is not OK */
} DoctorCheck;

extern const DoctorCheck doctor_checks[];
extern const size_t n_doctor_checks;

const char *doctor_level_to_string(DoctorLevel level);

/* doctor-sysctl.c: kernel settings, which are rows of their own. */
typedef struct DoctorSysctl {
        const char *name;        /* "kernel.kptr_restrict" */
        int64_t minimum, maximum;
        const char *wanted;      /* for people */
        const char *why;
} DoctorSysctl;

extern const DoctorSysctl doctor_sysctls[];
extern const size_t n_doctor_sysctls;

/* proc is "/proc"; a key that the kernel does not have is fine. */
void doctor_sysctl_run(const DoctorSysctl *s, const char *proc, DoctorResult *ret);

/* "6.1.0-18-amd64" against 6, 1. */
bool release_is_at_least(const char *release, unsigned major, unsigned minor);
