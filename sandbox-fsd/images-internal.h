/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandbox-fsd/images.h"

/* Between the parts of images.h. */

/* Of somebody who wants a root. */
typedef struct Waiter Waiter;

struct Waiter {
        Waiter *next;
        char *usr; /* path of the /usr to show, NULL: none */
        char *id;
        char *snapshot; /* over the layer; NULL: none */
        bool merged;    /* it has in it all that the source began with */
        char *share;    /* what the sandbox wrote so far becomes that snapshot; NULL: nothing does */
        bool on_disk; /* with a writable directory */
        char *digest; /* that the layer must have, NULL: any */
        PrepareHandler handler;
        void *userdata;
};

void image_mounts_done(ImageMounts *m);
int images_open_directory(const char *path);
/* What comes beside the layer. Takes layer_fd over. */
int images_complete_mounts(Images *i, const Waiter *w, int layer_fd, uint32_t id_origin, ImageMounts *m);
