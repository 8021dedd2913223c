/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "libsandbox/string-util.h"
#include "sandboxctl/ctl.h"
#include "sandboxctl/rows.h"
#include "sandboxctl/text.h"
#include "sandboxctl/verbs-table.h"

/* What there is beside sandboxes: images, and ourselves. */

static bool arg_quiet;

const Option images_options[] = {
        { 'q', "quiet", NULL, OPTION_FLAG, &arg_quiet, "Print names only, of those that can be used" },
        {},
};

static void print_image_name(FILE *f, const json_t *image) {
        const char *name = json_text(image, "name");
        _cleanup_free_ char *safe = text_escape(name, strlen(name));

        if (safe && !json_is_false(json_object_get(image, "usable")))
                (void) fprintf(f, "%s\n", safe);
}

static int add_image(Table *t, const json_t *image) {
        const json_t *usable = json_object_get(image, "usable");
        int r;

        r = table_add(t, json_text(image, "name"));
        if (r >= 0)
                r = table_add(t, json_text(image, "kind"));
        if (r >= 0)
                r = table_add(t, json_text(image, "source"));
        if (r >= 0)
                r = table_add(t, json_is_false(usable) ? "no" : "yes");
        return r;
}

int verb_images(Ctl *c, _unused_ char **words) {
        static const Column columns[] = { { "NAME" }, { "KIND" }, { "SOURCE" }, { "USABLE" }, {} };

        return rows_get(c, "images", "/images", &(RowsView) { .key = "images", .columns = columns, .add = add_image,
                                                              .print = arg_quiet ? print_image_name : NULL });
}

int verb_version(Ctl *c, _unused_ char **words) {
        if (!c->json) {
                (void) puts("sandboxctl " PACKAGE_VERSION);
                return EXIT_STATUS_OK;
        }
        (void) puts("{\"version\": \"" PACKAGE_VERSION "\"}");
        return EXIT_STATUS_OK;
}
