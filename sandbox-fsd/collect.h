/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandbox-fsd/manager.h"

/* on_idle of the service: deletes layers that no image of the catalog leads to any more and no sandbox has mapped.
 * 1: it takes a moment. */
int collect_start(Manager *m);
