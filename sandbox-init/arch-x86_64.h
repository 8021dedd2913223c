/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

static inline long arch_syscall(long number, long a, long b, long c, long d, long e, long f) {
        register long r10 __asm__("r10") = d;
        register long r8 __asm__("r8") = e;
        register long r9 __asm__("r9") = f;
        long r;

        __asm__ volatile("syscall"
                         : "=a"(r)
                         : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                         : "rcx", "r11", "memory");
        return r;
}

/* The kernel enters with argc at the stack pointer, which init does not look at. */
#define ARCH_START                                                                                 \
        __asm__(".text\n"                                                                          \
                ".globl _start\n"                                                                  \
                ".type _start, @function\n"                                                        \
                "_start:\n"                                                                        \
                "        xor %ebp, %ebp\n"                                                         \
                "        and $-16, %rsp\n"                                                         \
                "        call init_main\n"                                                         \
                "        hlt\n")
