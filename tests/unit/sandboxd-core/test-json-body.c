/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/json-body.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "tests/test.h"

/* The two ways out of a JsonBody; a request is nothing but a place for what was sent. */
typedef struct Sent {
        char *bytes;
        size_t n;
        bool streamed;
} Sent;

int request_reply_bytes(Request *r, unsigned status, const char *content_type, char *bytes, size_t n) {
        (void) content_type;
        ASSERT_EQ(status, 200);
        *(Sent *) r = (Sent) { .bytes = bytes, .n = n };
        return 0;
}

int request_reply_stream(Request *r, unsigned status, const char *content_type, const ReplySource *source) {
        Sent *sent = (Sent *) r;
        ssize_t n;

        (void) content_type;
        ASSERT_EQ(status, 200);
        *sent = (Sent) { .streamed = true, .bytes = malloc(64 * MiB) };
        /* odd sizes: every boundary falls somewhere else */
        while ((n = source->read(source->userdata, sent->bytes + sent->n, 4093)) > 0)
                sent->n += (size_t) n;
        ASSERT_EQ(n, -ENODATA);
        source->free(source->userdata);
        return 0;
}

static int make_file(const char *data, size_t n) {
        int fd = memfd_create("test", MFD_CLOEXEC);

        ASSERT_OK(loop_write(fd, data, n));
        return fd;
}

static json_t *parse(const Sent *sent) {
        json_error_t error;
        json_t *json = json_loadb(sent->bytes, sent->n, JSON_DECODE_ANY, &error);

        if (!json)
                print_error("%s at %d\n", error.text, error.position);
        ASSERT_NOT_NULL(json);
        return json;
}

TEST(small_and_large) {
        static const size_t sizes[] = { 0, 1, 5, 12287, 12288, 12289, 65536, 65537, 3000000 };

        for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
                _cleanup_(spool_unrefp) Spool *spool = NULL;
                _cleanup_(json_decrefp) json_t *json = NULL;
                _cleanup_free_ char *data = malloc(sizes[i] + 1);
                const char *text;
                Sent sent = {};
                JsonBody *b;

                /* two bytes a character, so that every second boundary cuts one */
                for (size_t k = 0; k < sizes[i]; k++)
                        data[k] = "\xc3\xa9"[k % 2];
                ASSERT_OK(spool_new(open("/tmp", O_DIRECTORY | O_CLOEXEC), NULL, &spool));
                ASSERT_OK(spool_append(spool, data, sizes[i]));
                ASSERT_OK(json_body_new(&b));
                ASSERT_OK(json_body_add(b, "{\"a\":%d,\"text\":", 7));
                ASSERT_OK(json_body_add_spool(b, spool, 0, UINT64_MAX, JSON_STRING_TEXT));
                ASSERT_OK(json_body_add(b, "}"));
                ASSERT_OK(json_body_reply(b, (Request *) &sent, 200));
                ASSERT_EQ(sent.streamed, sizes[i] > 60000);

                json = parse(&sent);
                text = json_string_value(json_object_get(json, "text"));
                ASSERT_EQ(strlen(text), sizes[i] / 2 * 2 + sizes[i] % 2 * 3); /* half a character: U+FFFD */
                ASSERT_EQ(memcmp(text, data, sizes[i] / 2 * 2), 0);
                free(sent.bytes);
        }
}

TEST(base64_of_a_file) {
        static const size_t sizes[] = { 0, 1, 2, 3, 12288, 12290, 100001 };

        for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
                _cleanup_free_ char *data = calloc(1, sizes[i] + 1);
                _cleanup_(json_decrefp) json_t *json = NULL;
                Sent sent = {};
                JsonBody *b;

                ASSERT_OK(json_body_new(&b));
                ASSERT_OK(json_body_add_file(b, make_file(data, sizes[i]), sizes[i], JSON_STRING_BASE64));
                ASSERT_OK(json_body_reply(b, (Request *) &sent, 200));
                json = parse(&sent);
                ASSERT_EQ(json_string_length(json), (sizes[i] + 2) / 3 * 4);
                free(sent.bytes);
        }
}

/* A file that became shorter, or longer, than it was announced: the string ends there, the JSON is whole. */
TEST(file_changes) {
        for (size_t announced = 1; announced <= 9; announced += 4) {
                _cleanup_(json_decrefp) json_t *json = NULL;
                Sent sent = {};
                JsonBody *b;

                ASSERT_OK(json_body_new(&b));
                ASSERT_OK(json_body_add_file(b, make_file("12345", 5), announced, JSON_STRING_TEXT));
                ASSERT_OK(json_body_reply(b, (Request *) &sent, 200));
                json = parse(&sent);
                ASSERT_EQ(json_string_length(json), MIN(announced, (size_t) 5));
                free(sent.bytes);
        }
}
