/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <jansson.h>

#include "sandboxd/manager.h"

/* Files that clients bring in parts, over as many requests and connections as it takes: rows of the store. What has come
 * is gathered in a file of the sandbox, beside the target, and that file's size is how far it is: nothing here says
 * that. One that nobody goes on with is forgotten after SANDBOX_UPLOAD_AGE_SEC, with what has come. No HTTP here. */

#define UPLOAD_KIND "upload"

typedef struct Uploads Uploads;

typedef enum UploadState {
        UPLOAD_OPEN,
        UPLOAD_FINISHING,       /* whole; the target is there if the gathering file is not */
        UPLOAD_DONE,
        _UPLOAD_STATE_MAX,
        _UPLOAD_STATE_INVALID = -22,
} UploadState;

const char *upload_state_to_string(UploadState state);
UploadState upload_state_from_string(const char *s);

typedef struct Upload {
        char id[40];            /* "upl_..." */
        char sandbox[40];       /* public id */
        char *path, *part;
        uint64_t size;
        uint32_t mode;
        bool keep_mode;
        UploadState state;
        uint64_t created_msec, used_msec;
} Upload;

void upload_done(Upload *u);

int uploads_new(Manager *m, Uploads **ret);
Uploads *uploads_free(Uploads *u);
/* After a change of settings, too: what is due goes. */
void uploads_plan(Uploads *u);

/* Gives it its id, and the name of its gathering file. -E2BIG: the sandbox has too many. */
int upload_add(Uploads *u, const char *sandbox, Upload *upload);
/* sandbox NULL: any. -ENOENT. */
int upload_find(Uploads *u, const char *sandbox, const char *id, Upload *ret);
int upload_set_state(Uploads *u, Upload *upload, UploadState state);
/* Somebody goes on with it: its time begins anew. */
int upload_touch(Uploads *u, Upload *upload);
int upload_drop(Uploads *u, const char *id);
/* Its file in the sandbox goes, too. */
void upload_abandon(Uploads *u, const Upload *upload);
int uploads_foreach(Uploads *u, const char *sandbox, int (*handler)(const Upload *upload, void *userdata),
                    void *userdata);
void uploads_forget_sandbox(Uploads *u, const Sandbox *s);

/* offset < 0: not known. */
json_t *upload_to_json(const Uploads *u, const Upload *upload, int64_t offset);

/* A request that is at one. There is one at a time: who comes next has it cut. */
typedef struct UploadWriter UploadWriter;
struct UploadWriter {
        UploadWriter *next;
        Uploads *uploads;
        char id[40];
        void (*cut)(UploadWriter *w);
};

void upload_writer_link(Uploads *u, UploadWriter *w);
void upload_writer_unlink(UploadWriter *w);
UploadWriter *upload_writer_find(Uploads *u, const char *id);
