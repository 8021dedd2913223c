/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <systemd/sd-bus.h>

#include "libsandbox/image-source.h"
#include "libsandbox/macro.h"

/* Names of images and what they stand for, from the files of images.d. Only what is listed exists. */

typedef struct Image {
        char *name;   /* or a pattern of names */
        char *source; /* as it was written */
        char *digest; /* of a tar: 64 hex digits of the sha256 that it must have; NULL: any */
        ImageKind kind;
        const char *path; /* in source; NULL for the host itself */
        unsigned rank;    /* of the directory that it comes from */
} Image;

typedef struct Catalog {
        const char *const *directories; /* NULL-terminated */
        Image *images;
        size_t n_images;
        uint64_t stamp; /* of the files when they were read */
        bool loaded;
} Catalog;

void catalog_done(Catalog *c);
/* Reads the files again if any of them changed. */
int catalog_refresh(Catalog *c);
/* Adds what one file says; text is changed. */
int catalog_parse_text(Catalog *c, const char *file, char *text);
/* The exact name, else a pattern that matches. Of several the one from the later directory counts, and of those the one
 * that was read later, so what an operator says beats what we ship whatever the files are called. The image lives until
 * the next catalog_refresh(). */
int catalog_find(const Catalog *c, const char *name, const Image **ret, sd_bus_error *error);

/* Letters, digits and "._-/:@+", at most 255, beginning with a letter or digit, no "..", no "//". */
bool image_name_is_valid(const char *name);
