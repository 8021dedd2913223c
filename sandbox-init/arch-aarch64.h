/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

static inline long arch_syscall(long number, long a, long b, long c, long d, long e, long f) {
        register long x8 __asm__("x8") = number;
        register long x0 __asm__("x0") = a;
        register long x1 __asm__("x1") = b;
        register long x2 __asm__("x2") = c;
        register long x3 __asm__("x3") = d;
        register long x4 __asm__("x4") = e;
        register long x5 __asm__("x5") = f;

        __asm__ volatile("svc #0"
                         : "+r"(x0)
                         : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                         : "memory");
        return x0;
}

/* The kernel enters with argc at the stack pointer, which init does not look at; it is aligned by the ABI. */
#define ARCH_START                                                                                 \
        __asm__(".text\n"                                                                          \
                ".globl _start\n"                                                                  \
                ".type _start, %function\n"                                                        \
                "_start:\n"                                                                        \
                "        mov x29, #0\n"                                                            \
                "        mov x30, #0\n"                                                            \
                "        bl init_main\n"                                                           \
                "        brk #1\n")
