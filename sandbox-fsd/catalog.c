/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-fsd/catalog.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <sys/stat.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/conf-parser.h"
#include "libsandbox/fd-util.h"
#include "libsandbox/log.h"
#include "libsandbox/string-util.h"

/* An allowlist: a name that no file lists does not exist, so a client cannot name a path or a registry of his own. The
 * files are read again when one of them changed, found by their times, so that an operator needs no reload. */

#define IMAGES_MAX 4096U
#define NAME_MAX_BYTES 255U
#define LISTED_NAMES_BYTES 512U
#define DIGEST_DIGITS 64U

static bool name_has_form(const char *name, const char *further) {
        size_t n = strlen(name);

        if (n == 0 || n > NAME_MAX_BYTES || strstr(name, "..") || strstr(name, "//"))
                return false;
        for (const char *p = name; *p; p++) {
                bool alphanumeric = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9');

                if (!alphanumeric && !strchr(p == name ? further : "._-/:@+", *p) && !strchr(further, *p))
                        return false;
        }
        return true;
}

bool image_name_is_valid(const char *name) {
        return name_has_form(name, "");
}

static void image_done(Image *i) {
        free(i->name);
        free(i->source);
        free(i->digest);
}

void catalog_done(Catalog *c) {
        for (size_t i = 0; i < c->n_images; i++)
                image_done(&c->images[i]);
        c->images = mfree(c->images);
        c->n_images = 0;
        c->loaded = false;
}

/* The section that is being read. */
typedef struct Parser {
        Catalog *catalog;
        char *file;
        unsigned section_number;
        char **names;
        char *source, *digest;
        bool refused; /* who asks for a digest must not get an image without one */
} Parser;

static void parser_done(Parser *p) {
        free(p->file);
        strv_free(p->names);
        free(p->source);
        free(p->digest);
}

/* Directories are listed from the vendor's to the operator's: the later, the stronger. */
static unsigned file_rank(const Catalog *c, const char *file) {
        unsigned rank = 0;

        for (unsigned i = 0; c->directories[i]; i++) {
                const char *rest = startswith(file, c->directories[i]);

                if (rest && *rest == '/')
                        rank = i;
        }
        return rank;
}

/* False if the one that is there beats the new one. */
static bool remove_beaten(Catalog *c, const char *name, unsigned rank) {
        for (size_t i = 0; i < c->n_images; i++) {
                if (!streq(c->images[i].name, name))
                        continue;
                if (c->images[i].rank > rank)
                        return false;
                image_done(&c->images[i]);
                memmove(c->images + i, c->images + i + 1, (c->n_images - i - 1) * sizeof(Image));
                c->n_images--;
                break;
        }
        return true;
}

static int catalog_add(Catalog *c, const Parser *p, const char *name) {
        _cleanup_free_ char *name_copy = strdup(name), *source_copy = strdup(p->source), *digest_copy = NULL;
        Image image = { .rank = file_rank(c, p->file) }, *images;

        if (p->digest)
                digest_copy = strdup(p->digest);
        if (!name_copy || !source_copy || (p->digest && !digest_copy))
                return -ENOMEM;
        if (!remove_beaten(c, name, image.rank))
                return 0;
        if (c->n_images >= IMAGES_MAX)
                return -E2BIG;
        images = reallocarray(c->images, c->n_images + 1, sizeof(Image));
        if (!images)
                return -ENOMEM;
        c->images = images;

        image.name = TAKE_PTR(name_copy);
        image.source = TAKE_PTR(source_copy);
        image.digest = TAKE_PTR(digest_copy);
        (void) image_source_parse(image.source, &image.kind, &image.path);
        c->images[c->n_images++] = image;
        return 0;
}

static bool section_is_good(const Parser *p) {
        const char *path;
        ImageKind kind;

        if (p->digest && p->source && image_source_parse(p->source, &kind, &path) >= 0 && kind != IMAGE_TAR)
                log_warning("%s: only a tar can have a Digest=, ignoring '%s'.", p->file, p->source);
        else if (!p->refused)
                return true;
        else
                log_warning("%s: the Digest= of '%s' is not understood, ignoring the image.", p->file,
                            p->source ? p->source : "?");
        return false;
}

/* A section ends where the next one begins, or its file: only then is it known whether it has both halves. */
static int parser_finish_section(Parser *p) {
        int r = 0;

        if (p->names && !p->source)
                log_warning("%s: image '%s' has no Source=, ignoring.", p->file, p->names[0]);
        if (!p->names && p->source)
                log_warning("%s: source '%s' has no Name=, ignoring.", p->file, p->source);
        if (p->source && section_is_good(p))
                STRV_FOREACH(name, p->names) {
                        r = catalog_add(p->catalog, p, *name);
                        if (r < 0)
                                break;
                }
        p->names = strv_free(p->names);
        p->source = mfree(p->source);
        p->digest = mfree(p->digest);
        p->refused = false;
        return r;
}

static int parse_digest(Parser *p, const char *value) {
        const char *digits = startswith(value, "sha256:");

        p->refused = !digits || strlen(digits) != DIGEST_DIGITS || strspn(digits, "0123456789abcdef") != DIGEST_DIGITS;
        return p->refused ? -EINVAL : free_and_strdup(&p->digest, digits);
}

static int parse_line(const ConfLine *line, void *userdata) {
        ImageKind kind;
        Parser *p = userdata;
        const char *path;
        int r;

        if (!streq_ptr(line->file, p->file) || line->section_number != p->section_number) {
                r = parser_finish_section(p);
                if (r >= 0)
                        r = free_and_strdup(&p->file, line->file);
                if (r < 0)
                        return r;
                p->section_number = line->section_number;
        }
        if (!streq_ptr(line->section, "Image"))
                return -ENOENT;

        if (streq(line->key, "Name")) {
                if (!name_has_form(line->value, "*?[]!"))
                        return -EINVAL;
                return strv_extend(&p->names, line->value);
        }
        if (streq(line->key, "Source")) {
                if (image_source_parse(line->value, &kind, &path) < 0)
                        return -EINVAL;
                return free_and_strdup(&p->source, line->value);
        }
        if (streq(line->key, "Digest"))
                return parse_digest(p, line->value);
        return -ENOENT;
}

int catalog_parse_text(Catalog *c, const char *file, char *text) {
        _cleanup_(parser_done) Parser p = { .catalog = c };
        int r, k;

        r = conf_parse_text(file, text, parse_line, &p);
        k = parser_finish_section(&p);
        return r < 0 ? r : k;
}

int catalog_refresh(Catalog *c) {
        uint64_t stamp = conf_directories_stamp(c->directories);
        _cleanup_(parser_done) Parser p = { .catalog = c };
        int r, k;

        if (c->loaded && stamp == c->stamp)
                return 0;
        catalog_done(c);
        r = conf_parse_directories(c->directories, parse_line, &p);
        k = parser_finish_section(&p);
        if (r < 0 || k < 0)
                return r < 0 ? r : k;
        c->stamp = stamp;
        c->loaded = true;
        return 0;
}

static bool is_pattern(const char *name) {
        return strpbrk(name, "*?[");
}

/* The names that there are help more than the one that there is not; a long list is cut, as an error is one line. */
static int no_such_image(const Catalog *c, const char *name, sd_bus_error *error) {
        char list[LISTED_NAMES_BYTES] = "";
        size_t n = 0;

        for (size_t i = 0; i < c->n_images && n + 4 < sizeof list; i++) {
                size_t room = sizeof list - n;
                int k = snprintf(list + n, room, "%s%s", n > 0 ? ", " : "", c->images[i].name);

                if (k < 0 || (size_t) k + 5 >= room) {
                        (void) snprintf(list + n, room, "...");
                        break;
                }
                n += (size_t) k;
        }
        return bus_error_set(error, BUS_ERROR_NO_SUCH_IMAGE, "There is no image '%s'. Known: %s.", name, list);
}

int catalog_find(const Catalog *c, const char *name, const Image **ret, sd_bus_error *error) {
        const Image *found = NULL;

        if (!image_name_is_valid(name))
                return bus_error_set(error, BUS_ERROR_INVALID, "Invalid image name");

        for (size_t i = 0; i < c->n_images; i++) {
                const Image *image = &c->images[i];

                if (streq(image->name, name)) {
                        found = image;
                        break;
                }
                if (is_pattern(image->name) && fnmatch(image->name, name, FNM_NOESCAPE) == 0 &&
                    (!found || image->rank >= found->rank))
                        found = image;
        }
        if (!found)
                return no_such_image(c, name, error);
        *ret = found;
        return 0;
}
