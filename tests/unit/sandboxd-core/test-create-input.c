/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/create-input.h"

#include <stdio.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/string-util.h"
#include "tests/test.h"

TEST(allowed_images) {
        static const struct {
                const char *image, *allowed;
                bool expect;
        } cases[] = {
                { "anything",   "*",                true  },
                { "python:3",   "python:3",         true  },
                { "python:3.1", "python:3",         false },
                { "python:3.1", "python:*",         true  },
                { "node:20",    "python:*, node:*", true  },
                { "alpine",     "python:*,node:*",  false },
                { "alpine",     "",                 false },
                { "",           "",                 true  },
                { "x",          " x ",              true  },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                ASSERT_EQ(image_is_allowed(cases[i].image, cases[i].allowed), cases[i].expect);
}

static int read_text(const char *text, CreateInput *input, sd_bus_error *error) {
        _cleanup_(json_decrefp) json_t *object = json_loads(text, 0, NULL);
        _cleanup_(settings_done) Settings settings = {};
        int r;

        ASSERT_NOT_NULL(object);
        ASSERT_OK(settings_init_defaults(&settings));
        ASSERT_OK(free_and_strdup(&settings.allowed_images, "test*"));
        r = create_input_read(object, &settings, input, error);
        return r;
}

TEST(config) {
        static const struct {
                const char *text, *config;
        } cases[] = {
                { "{\"image\":\"test\"}",
                  "{\"image\":\"test\",\"timeout\":3600,\"memory\":512,\"cpu\":1,\"workdir\":\"/workspace\"}" },
                { "{\"image\":\"test\",\"timeout\":5,\"memory\":1,\"cpu\":0.1,\"network\":false,\"name\":\"n\"}",
                  "{\"image\":\"test\",\"name\":\"n\",\"timeout\":60,\"memory\":64,\"cpu\":0.5,\"workdir\":\"/workspace\","
                  "\"network\":false}" },
                { "{\"image\":\"test\",\"timeout\":\"soon\",\"memory\":99999,\"cpu\":99}",
                  "{\"image\":\"test\",\"timeout\":3600,\"memory\":4096,\"cpu\":4,\"workdir\":\"/workspace\"}" },
                { "{\"image\":\"test\",\"timeout\":99999999,\"memory\":\"x\",\"cpu\":null,\"env\":7,\"name\":3}",
                  "{\"image\":\"test\",\"timeout\":86400,\"memory\":512,\"cpu\":1,\"workdir\":\"/workspace\"}" },
                { "{\"image\":\"test\",\"env\":{\"A\":\"b\"},\"metadata\":{\"x y\":\"z\"},\"entrypoint\":[\"a\",\"b\"]}",
                  "{\"image\":\"test\",\"timeout\":3600,\"memory\":512,\"cpu\":1,\"workdir\":\"/workspace\","
                  "\"env\":{\"A\":\"b\"},\"metadata\":{\"x y\":\"z\"},\"entrypoint\":[\"a\",\"b\"]}" },
                { "{\"image\":\"test\",\"entrypoint\":[],\"workdir\":\"/x\",\"--\":[]}",
                  "{\"image\":\"test\",\"timeout\":3600,\"memory\":512,\"cpu\":1,\"workdir\":\"/x\"}" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
                _cleanup_(create_input_done) CreateInput input = {};
                _cleanup_(json_decrefp) json_t *config = NULL;
                _cleanup_free_ char *text = NULL;

                ASSERT_OK(read_text(cases[i].text, &input, &error));
                config = create_input_config(&input);
                text = json_dumps(config, JSON_COMPACT);
                ASSERT_STREQ(text, cases[i].config);
        }
}

TEST(refusals) {
        static const struct {
                const char *text, *name, *message;
        } cases[] = {
                { "{}",                            BUS_ERROR_INVALID, "image is required and must be a string" },
                { "{\"image\":null}",              BUS_ERROR_INVALID, "image is required and must be a string" },
                { "{\"image\":7}",                 BUS_ERROR_INVALID, "image is required and must be a string" },
                { "{\"image\":\"\"}",              BUS_ERROR_INVALID, NULL },
                { "{\"image\":\"test/../x\"}",     BUS_ERROR_INVALID, "Invalid image name" },
                { "{\"image\":\"test$x\"}",        BUS_ERROR_INVALID, "Invalid image name" },
                { "{\"image\":\"other\"}",         BUS_ERROR_IMAGE_NOT_ALLOWED, "Image not allowed: other" },
                { "{\"image\":\"test\",\"env\":{\"A\":1}}",      BUS_ERROR_INVALID, "env must be an object of strings" },
                { "{\"image\":\"test\",\"env\":{\"\":\"x\"}}",   BUS_ERROR_INVALID, "Invalid env key" },
                { "{\"image\":\"test\",\"env\":{\"A=B\":\"\"}}", BUS_ERROR_INVALID, "Invalid env key" },
                { "{\"image\":\"test\",\"metadata\":{\"a\":{}}}", BUS_ERROR_INVALID, "metadata must be an object of strings" },
                { "{\"image\":\"test\",\"entrypoint\":[1]}",     BUS_ERROR_INVALID, "entrypoint must be an array of strings" },
                { "{\"image\":\"test\",\"workdir\":\"x\"}",      BUS_ERROR_INVALID, "workdir must be an absolute path" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
                _cleanup_(create_input_done) CreateInput input = {};

                ASSERT_TRUE(read_text(cases[i].text, &input, &error) < 0);
                ASSERT_STREQ(error.name, cases[i].name);
                if (cases[i].message)
                        ASSERT_STREQ(error.message, cases[i].message);
        }
}

TEST(sizes) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_(create_input_done) CreateInput input = {};
        _cleanup_free_ char *text = malloc(200000);
        int n = sprintf(text, "{\"image\":\"test\",\"env\":{\"A\":\"");

        memset(text + n, 'x', 100000);
        strcpy(text + n + 100000, "\"}}");
        ASSERT_TRUE(read_text(text, &input, &error) < 0);
        ASSERT_STREQ(error.name, BUS_ERROR_TOO_LARGE);
}
