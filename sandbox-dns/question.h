/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandbox-dns/manager.h"

/* One question of a sandbox, from the list to the answer. */

typedef struct Question Question;

/* Called once. data NULL: it gets no answer. */
typedef void (*QuestionCallback)(const uint8_t *data, size_t n, void *userdata);

/* Where there is nothing to wait for, the callback comes from within. *ret (may be NULL) is NULL then. */
void question_ask(Manager *m, uint32_t source, const uint8_t *data, size_t n, bool stream, QuestionCallback callback,
                  void *userdata, Question **ret);
/* Whoever asked is gone. */
void question_abandon(Question *q);
