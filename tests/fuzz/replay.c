/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"

/* Gives each file of a corpus to the fuzzer once, where libFuzzer itself is not there. */

static int replay_file(const char *directory, const char *name) {
        char path[4096], *data = NULL;
        size_t n = 0;
        FILE *f;

        snprintf(path, sizeof path, "%s/%s", directory, name);
        f = fopen(path, "re");
        if (!f) {
                perror(path);
                return -1;
        }
        /* of the exact size, so that a sanitizer sees what is read beyond it */
        while (!feof(f) && !ferror(f)) {
                char buffer[4096];
                size_t k = fread(buffer, 1, sizeof buffer, f);

                data = realloc(data, n + k + (n + k == 0));
                if (!data)
                        abort();
                memcpy(data + n, buffer, k);
                n += k;
        }
        fclose(f);
        (void) LLVMFuzzerTestOneInput((const uint8_t *) data, n);
        free(data);
        return 0;
}

int main(int argc, char **argv) {
        struct dirent *entry;
        size_t n = 0;
        DIR *d;

        d = argc == 2 ? opendir(argv[1]) : NULL;
        if (!d) {
                fprintf(stderr, "usage: %s CORPUS-DIRECTORY\n", argv[0]);
                return 2;
        }
        while ((entry = readdir(d)))
                if (entry->d_name[0] != '.') {
                        if (replay_file(argv[1], entry->d_name) < 0)
                                return 1;
                        n++;
                }
        closedir(d);
        printf("%zu inputs replayed\n", n);
        return n > 0 ? 0 : 1;
}
