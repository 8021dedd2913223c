/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <microhttpd.h>

#include "sandboxd/request.h"

/* The response that pulls from source; takes the source over only on success. */
int http_stream_new(Request *r, const ReplySource *source, struct MHD_Response **ret);
/* The request ends before the response does. */
void http_stream_detach(Request *r);
