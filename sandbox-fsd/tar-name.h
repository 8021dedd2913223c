/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libsandbox/macro.h"

#define TAR_NAME_MAX 4095U
#define TAR_COMPONENT_MAX 255U
#define TAR_COMPONENTS_MAX 128U

/* A name of an archive as a path below the layer: one leading "./" and trailing slashes go; "" is the layer itself.
 * -EBADMSG: empty, absolute, too long, or with a component that is empty, "." or "..". */
int tar_name_normalize(const char *name, char **ret);

typedef enum Whiteout {
        WHITEOUT_NONE,
        WHITEOUT_ENTRY,  /* ".wh.NAME": NAME of the layers below is gone */
        WHITEOUT_OPAQUE, /* ".wh..wh..opq": all of the directory in the layers below is gone */
} Whiteout;

/* What a last component says; *ret_target points into it. -EBADMSG: begins like one and is none. */
int tar_name_whiteout(const char *component, Whiteout *ret, const char **ret_target);
