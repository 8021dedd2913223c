/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <microhttpd.h>

#include "sandboxd/request.h"

/* The response that pulls from source; takes the source over only on success. size UINT64_MAX: not known. */
int http_stream_new(Request *r, const ReplySource *source, uint64_t size, struct MHD_Response **ret);
/* The request ends before the response does. */
void http_stream_detach(Request *r);
