/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/fd-util.h"
#include "sandbox-fsd/catalog.h"
#include "sandbox-fsd/tree-remove.h"
#include "tests/test.h"

typedef struct Fixture {
        char directory[64], shipped[80], local[80];
        const char *directories[3];
        Catalog catalog;
} Fixture;

static void fixture_init(Fixture *f) {
        *f = (Fixture) { .directory = "/tmp/test-catalog-XXXXXX" };
        ASSERT_NOT_NULL(mkdtemp(f->directory));
        (void) snprintf(f->shipped, sizeof f->shipped, "%s/shipped", f->directory);
        (void) snprintf(f->local, sizeof f->local, "%s/local", f->directory);
        ASSERT_EQ(mkdir(f->shipped, 0755), 0);
        ASSERT_EQ(mkdir(f->local, 0755), 0);
        f->directories[0] = f->shipped;
        f->directories[1] = f->local;
        f->catalog.directories = f->directories;
}

static void fixture_done(Fixture *f) {
        _cleanup_close_ int tmp_fd = open("/tmp", O_PATH | O_DIRECTORY | O_CLOEXEC);

        catalog_done(&f->catalog);
        ASSERT_OK(tree_remove_at(tmp_fd, f->directory + strlen("/tmp/"), USEC_INFINITY));
}

static void put(const char *directory, const char *name, const char *text) {
        _cleanup_close_ int fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);

        ASSERT_OK(write_file_atomic_at(fd, name, text, 0644));
}

static void assert_source(Fixture *f, const char *name, const char *expect) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        const Image *image = NULL;
        int r;

        ASSERT_OK(catalog_refresh(&f->catalog));
        r = catalog_find(&f->catalog, name, &image, &error);
        if (!expect) {
                ASSERT_TRUE(r < 0);
                ASSERT_STREQ(error.name, BUS_ERROR_NO_SUCH_IMAGE);
                return;
        }
        ASSERT_OK(r);
        ASSERT_STREQ(image->source, expect);
}

TEST(precedence) {
        _cleanup_(fixture_done) Fixture f;

        fixture_init(&f);
        put(f.shipped, "python.conf", "[Image]\nName=python\nName=python:*\nSource=host\n");
        put(f.shipped, "z.conf", "[Image]\nName=python:3.1*\nSource=dir:/three\n");
        assert_source(&f, "python", "host");
        assert_source(&f, "python:2", "host");
        assert_source(&f, "python:3.12", "dir:/three"); /* the later pattern */
        assert_source(&f, "pythonx", NULL);

        /* Changed files are seen at once; a local file counts more whatever its name is. */
        put(f.local, "00-site.conf", "[Image]\nName=python:*\nSource=tar:/all.tar\n"
                                     "[Image]\nName=python:3.9\nSource=dir:/nine\n");
        assert_source(&f, "python", "host");
        assert_source(&f, "python:3.12", "tar:/all.tar");
        assert_source(&f, "python:3.9", "dir:/nine"); /* exact before pattern */

        /* The same file name hides the shipped one. */
        put(f.local, "python.conf", "");
        assert_source(&f, "python", NULL);
}

TEST(bad_lines_cost_their_image_only) {
        _cleanup_(fixture_done) Fixture f;

        fixture_init(&f);
        put(f.shipped, "a.conf", "Name=outside\n"
                                 "[Image]\nName=-bad\nName=good\nSource=host\nUnknown=1\n"
                                 "[Image]\nName=nosource\n"
                                 "[Image]\nSource=host\n"
                                 "[Image]\nName=relative\nSource=dir:x\n"
                                 "[Other]\nName=other\nSource=host\n"
                                 "[Image]\nName=oci\nSource=oci:/layout\n");
        assert_source(&f, "good", "host");
        assert_source(&f, "nosource", NULL);
        assert_source(&f, "relative", NULL);
        assert_source(&f, "other", NULL);
        assert_source(&f, "outside", NULL);
        assert_source(&f, "oci", "oci:/layout");
        ASSERT_EQ(f.catalog.n_images, 2);
        ASSERT_EQ(f.catalog.images[1].kind, IMAGE_UNSUPPORTED);
}

#define DIGITS "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* Who asks for a digest gets the image with it or not at all. */
TEST(digests) {
        _cleanup_(fixture_done) Fixture f;

        fixture_init(&f);
        put(f.shipped, "a.conf", "[Image]\nName=good\nSource=tar:/a\nDigest=sha256:" DIGITS "\n"
                                 "[Image]\nName=next\nSource=tar:/b\n"
                                 "[Image]\nName=short\nSource=tar:/c\nDigest=sha256:0123\n"
                                 "[Image]\nName=md5\nDigest=md5:" DIGITS "\nSource=tar:/d\n"
                                 "[Image]\nName=upper\nSource=tar:/e\nDigest=sha256:A" DIGITS "\n"
                                 "[Image]\nName=tree\nSource=dir:/f\nDigest=sha256:" DIGITS "\n");
        assert_source(&f, "good", "tar:/a");
        assert_source(&f, "next", "tar:/b");
        assert_source(&f, "short", NULL);
        assert_source(&f, "md5", NULL);
        assert_source(&f, "upper", NULL);
        assert_source(&f, "tree", NULL);
        ASSERT_STREQ(f.catalog.images[0].digest, DIGITS);
        ASSERT_NULL(f.catalog.images[1].digest);
}

TEST(unknown_names_are_answered_with_the_known) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_(fixture_done) Fixture f;
        const Image *image;
        char text[4096] = "";

        fixture_init(&f);
        for (unsigned i = 0; i < 100; i++)
                sprintf(text + strlen(text), "[Image]\nName=image-number-%u\nSource=host\n", i);
        put(f.shipped, "a.conf", text);
        ASSERT_OK(catalog_refresh(&f.catalog));
        ASSERT_EQ(catalog_find(&f.catalog, "missing", &image, &error), -ENOENT);
        ASSERT_NOT_NULL(strstr(error.message, "image-number-0, image-number-1"));
        ASSERT_NOT_NULL(strstr(error.message, "..."));
        ASSERT_TRUE(strlen(error.message) < 700);
}

TEST(names) {
        static const struct {
                const char *name;
                bool expect;
        } cases[] = {
                { "python",               true  },
                { "python:3.12-slim",     true  },
                { "ghcr.io/a/b:c@sha256", true  },
                { "",                     false },
                { "../x",                 false },
                { "a//b",                 false },
                { "a/../b",               false },
                { "-v",                   false },
                { "/etc",                 false },
                { "a b",                  false },
                { "a$b",                  false },
                { "a\nb",                 false },
                { "python:*",             false },
                { "\xc3\xa9",             false },
        };
        char longest[300];

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                if (image_name_is_valid(cases[i].name) != cases[i].expect)
                        fail_msg("'%s'", cases[i].name);
        memset(longest, 'a', sizeof longest);
        longest[256] = 0;
        ASSERT_FALSE(image_name_is_valid(longest));
        longest[255] = 0;
        ASSERT_TRUE(image_name_is_valid(longest));
}

TEST(sources) {
        static const struct {
                const char *source;
                int expect;
                const char *path;
        } cases[] = {
                { "host",         IMAGE_HOST,        NULL     },
                { "host:/a/usr",  IMAGE_HOST,        "/a/usr" },
                { "dir:/a",       IMAGE_DIR,         "/a"     },
                { "tar:/a.tar",   IMAGE_TAR,         "/a.tar" },
                { "oci:/a",       IMAGE_UNSUPPORTED, NULL     },
                { "python:3",     IMAGE_UNSUPPORTED, NULL     },
                { "",             -EINVAL,           NULL     },
                { "host:usr",     -EINVAL,           NULL     },
                { "dir",          -EINVAL,           NULL     },
                { "tar:",         -EINVAL,           NULL     },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                ImageKind kind = _IMAGE_KIND_MAX;
                const char *path = NULL;
                int r = image_source_parse(cases[i].source, &kind, &path);

                ASSERT_EQ(r < 0 ? r : (int) kind, cases[i].expect);
                if (cases[i].path)
                        ASSERT_STREQ(path, cases[i].path);
                else
                        ASSERT_NULL(path);
        }
        for (ImageKind kind = 0; kind < _IMAGE_KIND_MAX; kind++)
                ASSERT_NOT_NULL(image_kind_to_string(kind));
}
