/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "libsandbox/log.h"
#include "libsandbox/string-util.h"
#include "sandbox-fsd/catalog.h"
#include "tests/fuzz/fuzz.h"

static const char *const directories[] = { "/a", "/b", NULL };

static void check_image(const Catalog *c, const Image *image) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        const Image *found;

        if (image->kind >= _IMAGE_KIND_MAX || !image_kind_to_string(image->kind))
                abort();
        if (image->path && image->path[0] != '/')
                abort();
        if ((image->kind == IMAGE_DIR || image->kind == IMAGE_TAR) && !image->path)
                abort();
        /* What is listed under a plain name is found under it. */
        if (image_name_is_valid(image->name) &&
            (catalog_find(c, image->name, &found, &error) < 0 || found != image))
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_(catalog_done) Catalog c = { .directories = directories };
        _cleanup_free_ char *text = NULL, *again = NULL;
        const Image *image;

        log_set_max_level(LOG_CRIT);
        text = fuzz_text(data, size);
        again = fuzz_text(data, size);
        (void) catalog_parse_text(&c, "/b/x.conf", text);
        (void) catalog_parse_text(&c, "/a/x.conf", again); /* adds nothing: the first counts more */
        for (size_t i = 0; i < c.n_images; i++)
                check_image(&c, &c.images[i]);
        (void) catalog_find(&c, "no-such-image", &image, &error);
        return 0;
}
