/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <jansson.h>
#include <systemd/sd-bus.h>

#include "libsandbox/macro.h"

#define JSON_DEPTH_MAX 32U
#define JSON_KEYS_MAX 1000U
#define JSON_VALUES_MAX 16384U

/* An object within the limits, no key twice, no NUL, no lone surrogate, no number that does not fit; else
 * BUS_ERROR_INVALID. Text of white space only gives NULL. */
int json_parse_limited(const char *text, size_t n, json_t **ret, sd_bus_error *error);
