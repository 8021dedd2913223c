/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Stands in for libFuzzer: gives each file of the corpus directory to the fuzz target once. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define INPUT_MAX (1U << 20)

static int replay(const char *directory, const char *name) {
        static uint8_t input[INPUT_MAX];
        char path[4096];
        uint8_t *copy;
        size_t size;
        FILE *f;

        snprintf(path, sizeof(path), "%s/%s", directory, name);
        f = fopen(path, "re");
        if (!f) {
                fprintf(stderr, "%s: %s\n", path, strerror(errno));
                return 1;
        }
        size = fread(input, 1, sizeof(input), f);
        fclose(f);

        /* A block of exactly this size, so that a sanitizer sees what is read beyond it. */
        copy = malloc(size ?: 1);
        if (!copy)
                return 1;
        memcpy(copy, input, size);
        printf("%s\n", path);
        (void) LLVMFuzzerTestOneInput(copy, size);
        free(copy);
        return 0;
}

int main(int argc, char *argv[]) {
        struct dirent *entry;
        unsigned n = 0, failed = 0;
        DIR *d;

        d = argc == 2 ? opendir(argv[1]) : NULL;
        if (!d) {
                fprintf(stderr, "usage: %s CORPUS-DIRECTORY\n", argv[0]);
                return 1;
        }
        while ((entry = readdir(d)))
                if (entry->d_name[0] != '.') {
                        failed += (unsigned) replay(argv[1], entry->d_name);
                        n++;
                }
        closedir(d);

        if (n == 0)
                fprintf(stderr, "%s: empty corpus\n", argv[1]);
        return n == 0 || failed > 0;
}
