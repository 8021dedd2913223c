/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/json-body.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "libsandbox/fd-util.h"
#include "sandboxd/json-text.h"

/* Parts in a row: bare text, and strings that are read from a spool or a file while they are sent. One chunk is in
 * memory at a time, whatever the size. What is small anyway is put together at once, so that it has a Content-Length
 * and the connection can be kept. */

/* A multiple of three, so that base64 needs padding at the very end only. */
#define CHUNK_SIZE (12U * 1024)
#define SMALL_SIZE (64 * KiB)
#define PARTS_MAX 8U

typedef enum PartType {
        PART_TEXT,
        PART_SPOOL,
        PART_FILE,
} PartType;

typedef struct Part {
        PartType type;
        JsonStringForm form;
        char *text;
        Spool *spool;
        int fd;
        uint64_t cursor, end;
        bool opened;            /* the first quote is out */
} Part;

/* Some 80 KiB, not cleared when it is made: only the counters matter, and the buffers are written before they are read. */
struct JsonBody {
        Part parts[PARTS_MAX];
        size_t n_parts, current;
        uint64_t raw_size;
        /* Raw bytes that wait for more, then what is ready to be sent. */
        char raw[CHUNK_SIZE];
        size_t n_raw;
        char out[CHUNK_SIZE * JSON_ESCAPE_FACTOR + 2];
        size_t n_out, sent;
};

int json_body_new(JsonBody **ret) {
        JsonBody *b = malloc(sizeof(JsonBody));

        if (!b)
                return -ENOMEM;
        b->n_parts = b->current = b->n_raw = b->n_out = b->sent = 0;
        b->raw_size = 0;
        *ret = b;
        return 0;
}

JsonBody *json_body_free(JsonBody *b) {
        if (b) {
                for (size_t i = 0; i < b->n_parts; i++) {
                        free(b->parts[i].text);
                        spool_unref(b->parts[i].spool);
                        safe_close(b->parts[i].fd);
                }
                free(b);
        }
        return NULL;
}

static Part *add_part(JsonBody *b, PartType type) {
        Part *p = b->parts + b->n_parts;

        assert(b->n_parts < PARTS_MAX);
        *p = (Part) { .type = type, .fd = -EBADF };
        b->n_parts++;
        return p;
}

int json_body_add(JsonBody *b, const char *format, ...) {
        Part *p = add_part(b, PART_TEXT);
        va_list ap;
        int n;

        va_start(ap, format);
        n = vasprintf(&p->text, format, ap);
        va_end(ap);
        if (n < 0) {
                p->text = NULL;
                return -ENOMEM;
        }
        p->end = (uint64_t) n;
        b->raw_size += p->end;
        return 0;
}

/* The end is taken now: what is written while the answer is sent belongs to the next one. */
int json_body_add_spool(JsonBody *b, Spool *spool, uint64_t from, uint64_t to, JsonStringForm form) {
        Part *p = add_part(b, PART_SPOOL);

        p->form = form;
        p->spool = spool_ref(spool);
        p->cursor = from;
        p->end = spool ? MIN(to, spool_total(spool)) : from;
        b->raw_size += p->end > from ? p->end - from : 0;
        return 0;
}

int json_body_add_file(JsonBody *b, int fd, uint64_t size, JsonStringForm form) {
        Part *p = add_part(b, PART_FILE);

        p->fd = fd;
        p->end = size;
        p->form = form;
        b->raw_size += size;
        return 0;
}

static ssize_t read_raw(Part *p, char *buffer, size_t n) {
        ssize_t k;

        n = p->end > p->cursor ? (size_t) MIN((uint64_t) n, p->end - p->cursor) : 0;
        if (n == 0)
                return 0;
        if (p->type == PART_SPOOL)
                return spool_read(p->spool, &p->cursor, buffer, n);
        k = pread(p->fd, buffer, n, (off_t) p->cursor);
        if (k < 0)
                return -errno;
        p->cursor += (uint64_t) k;
        return k; /* 0: the file became shorter meanwhile; the string ends there */
}

static void keep_rest(JsonBody *b, size_t consumed) {
        b->n_raw -= consumed;
        memmove(b->raw, b->raw + consumed, b->n_raw);
}

/* The next piece of a string; *ret_done when its last quote is out. */
static int fill_string(JsonBody *b, Part *p, bool *ret_done) {
        size_t consumed, n;
        bool last;
        ssize_t k;

        if (!p->opened) {
                b->out[b->n_out++] = '"';
                p->opened = true;
        }
        k = read_raw(p, b->raw + b->n_raw, CHUNK_SIZE - b->n_raw);
        if (k < 0)
                return (int) k;
        b->n_raw += (size_t) k;
        last = k == 0;

        if (p->form == JSON_STRING_TEXT)
                consumed = json_escape(b->raw, b->n_raw, last, b->out + b->n_out, &n);
        else {
                consumed = last ? b->n_raw : b->n_raw / 3 * 3;
                n = base64_encode(b->raw, consumed, b->out + b->n_out);
        }
        b->n_out += n;
        keep_rest(b, consumed);
        if (last)
                b->out[b->n_out++] = '"';
        *ret_done = last;
        return 0;
}

static int fill_text(JsonBody *b, Part *p, bool *ret_done) {
        size_t n = (size_t) MIN(p->end - p->cursor, (uint64_t) sizeof b->out);

        memcpy(b->out, p->text + p->cursor, n);
        b->n_out = n;
        p->cursor += n;
        *ret_done = p->cursor == p->end;
        return 0;
}

static ssize_t body_read(void *userdata, char *buffer, size_t size) {
        JsonBody *b = userdata;
        size_t n;

        while (b->sent == b->n_out) {
                bool done = false;
                Part *p;
                int r;

                if (b->current == b->n_parts)
                        return -ENODATA;
                p = b->parts + b->current;
                b->sent = b->n_out = 0;
                r = p->type == PART_TEXT ? fill_text(b, p, &done) : fill_string(b, p, &done);
                if (r < 0)
                        return r;
                b->current += done;
        }
        n = MIN(size, b->n_out - b->sent);
        memcpy(buffer, b->out + b->sent, n);
        b->sent += n;
        return (ssize_t) n;
}

static void body_free(void *userdata) {
        json_body_free(userdata);
}

static int reply_whole(JsonBody *b, Request *r, unsigned status) {
        size_t size = (size_t) b->raw_size * JSON_ESCAPE_FACTOR + 2 * PARTS_MAX, n = 0;
        _cleanup_free_ char *bytes = malloc(size);

        if (!bytes)
                return -ENOMEM;
        for (;;) {
                ssize_t k = body_read(b, bytes + n, size - n);

                if (k == -ENODATA)
                        break;
                if (k < 0)
                        return (int) k;
                n += (size_t) k;
        }
        return request_reply_bytes(r, status, "application/json", TAKE_PTR(bytes), n);
}

int json_body_reply(JsonBody *b, Request *r, unsigned status) {
        int q;

        if (b->raw_size > SMALL_SIZE)
                return request_reply_stream(r, status, "application/json",
                                            &(ReplySource) { .read = body_read, .free = body_free, .userdata = b });
        q = reply_whole(b, r, status);
        json_body_free(b);
        return q;
}
