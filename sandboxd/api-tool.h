/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandboxd/api.h"
#include "sandboxd/tool.h"

/* A request that is answered by what programs inside do, one after the other. When its client goes away the program is
 * ended: nobody could ever see what it did. */
typedef struct ApiTool ApiTool;

/* 0: replied; > 0: the next program is under way; < 0 with error filled is the answer. */
typedef int (*ApiToolAnswer)(ApiTool *t, const Command *c, sd_bus_error *error);

struct ApiTool {
        Request *request;
        Manager *manager;
        Sandbox *sandbox;
        ToolSpec spec;          /* owned, but for the arguments, which are for the one that runs */
        Tool *tool;
        ApiToolAnswer answer;
        void *data;
        void (*free_data)(void *data);
};

ApiTool *api_tool_new(Request *request, Sandbox *s);
ApiTool *api_tool_free(ApiTool *t);
DEFINE_CLEANUP(ApiTool *, api_tool_free)

/* Starts one with t's spec; argv is taken over, also on failure, and may be NULL after a failed strv_extend(). > 0 when
 * it is under way. */
int api_tool_start(ApiTool *t, char **argv, ApiToolAnswer answer, sd_bus_error *error);
/* What a handler returns: hands t over if it is under way. */
int api_tool_sent(ApiTool **t, int r);

/* 1 to the longest that the settings allow, which is also the default. */
#define TOOL_TIMEOUT_FIELD(type)                                                                   \
        { "timeout", JSON_FIELD_INT, offsetof(type, timeout), JSON_FIELD_CLAMP | JSON_FIELD_LENIENT, 1, 1000000000, \
          "seconds" }
uint64_t api_tool_timeout(const Manager *m, int64_t seconds);
