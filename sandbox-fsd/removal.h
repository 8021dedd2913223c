/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandbox-fsd/images.h"

/* Deletes a directory of the store in the background: a helper that is root of the foreign range empties it, and the
 * empty directory goes with our own rights. A few at a time. What fails is tried again at the next start. */
int removal_start(Images *i, int directory_fd, const char *name);
void removals_done(Images *i);
