/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/fd-util.h"
#include "sandboxd/file-input.h"
#include "sandboxd/files.h"
#include "sandboxd/json-body.h"
#include "sandboxd/json-text.h"

/* Contents in JSON. What is read comes as the descriptor of a file, opened by fsd; what is written goes as files.c
 * sends it. */

#define READ_MAX (10 * MiB)             /* the contract cuts here without a word */
#define READ_REFUSE (64 * MiB)
#define UPLOAD_MAX (32 * MiB)           /* of base64 text */
#define FILE_MODE_DEFAULT 0644

static int answer_content(ApiCall *call, sd_bus_message *reply, sd_bus_error *error) {
        JsonStringForm form = (JsonStringForm) call->number;
        _cleanup_(json_body_freep) JsonBody *b = NULL;
        _cleanup_close_ int copy = -EBADF;
        uint64_t size, mtime;
        uint32_t mode;
        int fd, r;

        r = sd_bus_message_read(reply, "htut", &fd, &size, &mode, &mtime);
        if (r < 0)
                return r;
        if (size > READ_REFUSE)
                return bus_error_set(error, BUS_ERROR_TOO_LARGE, "The file is too large for this route; use files/raw");
        copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        if (copy < 0)
                return -errno;
        r = json_body_new(&b);
        if (r >= 0)
                r = json_body_add_file(b, TAKE_FD(copy), form == JSON_STRING_TEXT ? MIN(size, READ_MAX) : size, form);
        return r < 0 ? r : json_body_reply(TAKE_PTR(b), call->request, 200);
}

static int get_content(Request *request, JsonStringForm form, sd_bus_error *error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        _cleanup_(file_input_done) FileInput in = {};
        _cleanup_(api_call_freep) ApiCall *call = NULL;
        int r;

        r = file_call_new(request, "Read", &call, &m, error);
        if (r >= 0)
                r = file_input_read(request, FILE_PATH, &in, error);
        if (r < 0)
                return r;
        call->answer = answer_content;
        call->number = form;
        r = sd_bus_message_append(m, "stt", in.path, UINT64_C(0), UINT64_C(0));
        return file_call_send(&call, m, r, PEER_REPEATABLE, error);
}

int api_file_read(Request *request, sd_bus_error *error) {
        return get_content(request, JSON_STRING_TEXT, error);
}

int api_file_download(Request *request, sd_bus_error *error) {
        return get_content(request, JSON_STRING_BASE64, error);
}

static int put_content(Request *request, const char *path, const char *data, size_t n, sd_bus_error *error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        _cleanup_(api_call_freep) ApiCall *call = NULL;
        int r;

        r = file_call_new(request, files_write_member(n), &call, &m, error);
        if (r < 0)
                return r;
        call->answer = api_answer_success;
        r = files_append_content(m, &(FileContent) { .path = path, .mode = FILE_MODE_DEFAULT, .data = data, .n = n });
        return file_call_send(&call, m, r, PEER_REPEATABLE, error);
}

int api_file_write(Request *request, sd_bus_error *error) {
        _cleanup_(file_input_done) FileInput in = {};
        int r;

        r = file_input_read(request, FILE_PATH, &in, error);
        if (r < 0)
                return r;
        return put_content(request, in.path, json_string_value(in.content), json_string_length(in.content), error);
}

int api_file_upload(Request *request, sd_bus_error *error) {
        _cleanup_(file_input_done) FileInput in = {};
        _cleanup_free_ char *data = NULL;
        size_t n_text;
        ssize_t n;
        int r;

        r = file_input_read(request, FILE_PATH, &in, error);
        if (r < 0)
                return r;
        n_text = json_string_length(in.content);
        if (n_text > UPLOAD_MAX)
                return bus_error_set(error, BUS_ERROR_TOO_LARGE,
                                     "The content is too large for this route; use files/raw");
        data = malloc(n_text / 4 * 3 + 1);
        if (!data)
                return -ENOMEM;
        n = base64_decode(json_string_value(in.content), n_text, data);
        if (n < 0)
                return bus_error_set(error, BUS_ERROR_INVALID, "Invalid base64");
        return put_content(request, in.path, data, (size_t) n, error);
}
