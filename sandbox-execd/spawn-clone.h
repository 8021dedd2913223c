/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <linux/sched.h>
#include <stddef.h>

/* clone3() with a stack in args: the child runs function(argument) on it and exits with what that returns. Returns the
 * pid or a negative errno in the parent. With CLONE_VM the child shares all memory: it may change nothing that the
 * parent does not expect, and only call what is safe after vfork(). */
long spawn_clone3(struct clone_args *args, size_t size, int (*function)(void *), void *argument);
