/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "libsandbox/string-util.h"
#include "sandboxctl/ctl.h"
#include "sandboxctl/table.h"
#include "sandboxctl/text.h"
#include "sandboxctl/verbs-table.h"

static bool arg_quiet;

const Option images_options[] = {
        { 'q', "quiet", NULL, OPTION_FLAG, &arg_quiet, "Print names only, of those that can be used" },
        {},
};

static void print_image_name(const Ctl *c, const json_t *image) {
        const char *name = json_text(image, "name");
        _cleanup_free_ char *safe = text_escape(name, strlen(name));

        if (safe && !json_is_false(json_object_get(image, "usable")))
                (void) fprintf(c->out, "%s\n", safe);
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
        _cleanup_(table_freep) Table *t = table_new(columns);
        _cleanup_json_ json_t *reply = NULL;
        json_t *image;
        size_t i;
        int r;

        r = ctl_request(c, "images", "GET", "/images", NULL, &reply);
        if (r != EXIT_STATUS_OK)
                return r;
        if (c->json)
                return ctl_print_json(c, reply);
        if (!t)
                return ctl_oom(c);
        json_array_foreach(json_object_get(reply, "images"), i, image)
                if (arg_quiet)
                        print_image_name(c, image);
                else if (add_image(t, image) < 0)
                        return ctl_oom(c);
        if (!arg_quiet)
                table_show(t, c->out);
        return EXIT_STATUS_OK;
}

int verb_version(Ctl *c, _unused_ char **words) {
        if (!c->json) {
                (void) puts("sandboxctl " PACKAGE_VERSION);
                return EXIT_STATUS_OK;
        }
        (void) puts("{\"version\": \"" PACKAGE_VERSION "\"}");
        return EXIT_STATUS_OK;
}
