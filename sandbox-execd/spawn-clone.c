/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-execd/spawn-clone.h"

/* No C can be written for a child that shares its parent's memory but not its stack: after the call returns for the
 * second time the frame of the caller is not there. So the few instructions are spelled out. Numbers: clone3 is 435
 * everywhere, exit is 60 and 93. */

#if defined(__x86_64__)
__asm__(".text\n"
        ".globl spawn_clone3\n"
        ".hidden spawn_clone3\n"
        ".type spawn_clone3, @function\n"
        "spawn_clone3:\n"
        "        movq %rdx, %r8\n"  /* the system call keeps r8 and r9, in the child too */
        "        movq %rcx, %r9\n"
        "        movl $435, %eax\n"
        "        syscall\n"
        "        testq %rax, %rax\n"
        "        jnz 1f\n"
        "        xorl %ebp, %ebp\n"
        "        movq %r9, %rdi\n"
        "        call *%r8\n"
        "        movl %eax, %edi\n"
        "        movl $60, %eax\n"
        "        syscall\n"
        "        hlt\n"
        "1:      ret\n"
        ".size spawn_clone3, . - spawn_clone3\n");
#elif defined(__aarch64__)
__asm__(".text\n"
        ".globl spawn_clone3\n"
        ".hidden spawn_clone3\n"
        ".type spawn_clone3, %function\n"
        "spawn_clone3:\n"
        "        mov x10, x2\n"
        "        mov x11, x3\n"
        "        mov x8, #435\n"
        "        svc #0\n"
        "        cbnz x0, 1f\n"
        "        mov x29, #0\n"
        "        mov x30, #0\n"
        "        mov x0, x11\n"
        "        blr x10\n"
        "        mov x8, #93\n"
        "        svc #0\n"
        "        brk #0\n"
        "1:      ret\n"
        ".size spawn_clone3, . - spawn_clone3\n");
#else
#error "spawn_clone3() is not written for this architecture"
#endif
