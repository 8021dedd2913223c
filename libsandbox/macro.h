/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/types.h>

/* The handful of helpers that every file uses. Nothing here allocates or calls the system. */

/* unused: clang calls a variable that is only cleaned up so */
#define _cleanup_(f) __attribute__((cleanup(f), unused))
#define _cleanup_free_ _cleanup_(freep)
#define _unused_ __attribute__((unused))
#define _printf_(a, b) __attribute__((format(printf, a, b)))
#define _const_ __attribute__((const))
#define _noreturn_ __attribute__((noreturn))

/* With the address sanitizer: its memory is far beyond any limit, and it looks for leaks by ptrace(). */
#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#define SANITIZED __has_feature(address_sanitizer)
#else
#define SANITIZED 0
#endif

#define ELEMENTSOF(x) (sizeof(x) / sizeof((x)[0]))
#define STRINGIFY_(x) #x
#define STRINGIFY(x) STRINGIFY_(x)

#define MIN(a, b) ({ typeof(a) _min_a = (a); typeof(b) _min_b = (b); _min_a < _min_b ? _min_a : _min_b; })
#define MAX(a, b) ({ typeof(a) _max_a = (a); typeof(b) _max_b = (b); _max_a > _max_b ? _max_a : _max_b; })
#define CLAMP(x, low, high) MIN(MAX(x, low), high)

#define KiB (UINT64_C(1) << 10)
#define MiB (UINT64_C(1) << 20)
#define GiB (UINT64_C(1) << 30)

#define USEC_PER_SEC UINT64_C(1000000)
#define USEC_PER_MSEC UINT64_C(1000)
#define NSEC_PER_USEC UINT64_C(1000)
#define USEC_INFINITY UINT64_MAX

#define PTR_TO_INT(p) ((int) (intptr_t) (p))
#define INT_TO_PTR(i) ((void *) (intptr_t) (i))

/* Hand a resource over: the variable is reset, so that its cleanup does nothing. */
#define TAKE_GENERIC(var, type, null)                                                              \
        ({                                                                                         \
                type *_pvar = &(var);                                                              \
                type _var = *_pvar;                                                                \
                *_pvar = (null);                                                                   \
                _var;                                                                              \
        })
#define TAKE_PTR(ptr) TAKE_GENERIC(ptr, typeof(ptr), NULL)
#define TAKE_FD(fd) TAKE_GENERIC(fd, int, -EBADF)

/* Defines xp() for use with _cleanup_(), from a destructor x() that returns nothing or NULL. */
#define DEFINE_CLEANUP(type, func)                                                                 \
        _unused_ static inline void func##p(type *p) {                                             \
                if (*p)                                                                            \
                        func(*p);                                                                  \
        }

static inline void freep(void *p) {
        free(*(void **) p);
}

#define mfree(p) ({ free(p); (typeof(p)) NULL; })
#define new0(t, n) ((t *) calloc((n), sizeof(t)))
