/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandboxd/manager.h"

/* From the settings to the loop and back; options without a service. */
int daemon_run(const ManagerOptions *options);
