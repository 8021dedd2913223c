/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "libsandbox/string-util.h"
#include "sandboxd/context-internal.h"

/* The driver travels over the context's own socket, eight digits and so many bytes: nothing of ours is a file of the
 * sandbox, and what the process list shows is the few words that read it. */

#define DRIVER_MAX (32 * KiB)

const char *context_driver_bootstrap(const Language *l) {
        static const char python[] = "import os\nn=int(os.read(0,8))\ns=b''\nwhile len(s)<n:s+=os.read(0,n-len(s))\n"
                                     "__file__='<context>'\nexec(compile(s,__file__,'exec'))";
        /* In a block: what is declared outside of one is in the way of the same names in the code that is to run. */
        static const char node[] = "{const f=require('fs'),r=n=>{const b=Buffer.alloc(n);"
                                   "for(let i=0;i<n;)i+=f.readSync(0,b,i,n-i);return b.toString()};"
                                   "(0,eval)('(require)=>{'+r(Number(r(8)))+'\\n}')(require)}";
        static const char bash[] = "IFS= LC_ALL=C read -r -N 8 __sandboxd_code; "
                                   "IFS= LC_ALL=C read -r -N \"$((10#$__sandboxd_code))\" __sandboxd_code; "
                                   "eval \"$__sandboxd_code\"";

        return streq(l->name, "python") ? python : streq(l->name, "javascript") ? node : bash;
}

int context_driver_read(const Language *l, char **ret) {
        _cleanup_free_ char *path = NULL, *text = malloc(DRIVER_MAX + 9);
        _cleanup_close_ int fd = -EBADF;
        char digits[32];
        ssize_t n;

        if (!text || asprintf(&path, "%s/%s", getenv("SANDBOXD_INTERPRETERS") ?: PKGLIBDIR "/interpreters", l->driver) < 0)
                return -ENOMEM;
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        n = read(fd, text + 8, DRIVER_MAX);
        if (n < 0)
                return -errno;
        snprintf(digits, sizeof digits, "%08zu", (size_t) n);
        memcpy(text, digits, 8);
        text[8 + n] = 0;
        *ret = TAKE_PTR(text);
        return 0;
}
