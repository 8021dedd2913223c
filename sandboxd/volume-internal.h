/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandboxd/volume.h"

/* Between volume.c and volume-record.c. */

const char *volume_state_to_string(VolumeState state);
int volume_put(Store *store, const Volume *v);
