/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/string-util.h"
#include "sandboxd/http/http-private.h"
#include "sandboxd/http/json-scan.h"

/* Three sources make one object: the query, whose values are strings, the body, and the values of the path, which
 * nothing can override. */

#define QUERY_FIELDS_MAX 32U

static int hex_digit(char c) {
        if (c >= '0' && c <= '9')
                return c - '0';
        c |= 0x20;
        return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* application/x-www-form-urlencoded, in place: %XX, and + for a space. */
static int decode_form(char *text) {
        char *p = text;

        for (const char *s = text; *s; s++) {
                int high, low;

                if (*s != '%') {
                        *p++ = *s == '+' ? ' ' : *s;
                        continue;
                }
                high = hex_digit(s[1]);
                low = high < 0 ? -1 : hex_digit(s[2]);
                if (low < 0 || (high | low) == 0)
                        return -EINVAL;
                *p++ = (char) (high << 4 | low);
                s += 2;
        }
        *p = 0;
        return utf8_is_valid(text, (size_t) (p - text)) ? 0 : -EINVAL;
}

static int add_pair(json_t *query, char *pair) {
        char *value = pair + strcspn(pair, "=");

        if (*value)
                *value++ = 0;
        if (decode_form(pair) < 0 || decode_form(value) < 0)
                return -EINVAL;
        if (!*pair)
                return 0;
        return json_object_set_new(query, pair, json_string(value)) < 0 ? -ENOMEM : 0;
}

static int http_input_parse_query(const char *text, json_t **ret) {
        _cleanup_(json_decrefp) json_t *query = json_object();
        _cleanup_free_ char *copy = strdup(text ? text : "");
        char *next = copy, *pair;
        size_t n = 0;
        int r = 0;

        if (!query || !copy)
                return -ENOMEM;
        while (r >= 0 && (pair = strsep(&next, "&"))) {
                if (!*pair)
                        continue;
                r = n++ < QUERY_FIELDS_MAX ? add_pair(query, pair) : -E2BIG;
        }
        if (r < 0)
                return r;
        *ret = TAKE_PTR(query);
        return 0;
}

/* Another type of body is treated as absent: clients send none at all, or what a proxy made up. */
static int http_input_parse_body(const Request *r, json_t **ret, sd_bus_error *error) {
        *ret = NULL;
        if (r->body_size == 0 || !r->head.content_type || !strcasestr(r->head.content_type, "application/json"))
                return 0;
        return json_parse_limited(r->body, r->body_size, ret, error);
}

static int merge_path_values(Request *r, json_t *input) {
        for (size_t i = 0; i < r->match.n_values; i++)
                if (json_object_set_new(input, r->match.names[i], json_string(r->match.values[i])) < 0)
                        return -ENOMEM;
        return 0;
}

int http_input_merge(Request *r, sd_bus_error *error) {
        _cleanup_(json_decrefp) json_t *body = NULL;
        int result;

        if (r->match.route->flags & ROUTE_FOREIGN) {
                r->input = json_object();
                return r->input ? merge_path_values(r, r->input) : -ENOMEM;
        }
        result = http_input_parse_query(r->query_text, &r->query);
        if (result == -EINVAL || result == -E2BIG)
                return bus_error_set(error, BUS_ERROR_INVALID, "The query is not valid");
        if (result < 0)
                return result;
        result = http_input_parse_body(r, &body, error);
        if (result < 0)
                return result;

        /* The parsed form is enough from here on, and a large body need not be held twice while the handler works. */
        r->server->body_bytes -= r->body_allocated;
        r->body_allocated = r->body_size = 0;
        r->body = mfree(r->body);

        r->input = json_copy(r->query);
        if (!r->input || (body && json_object_update(r->input, body) < 0))
                return -ENOMEM;
        return merge_path_values(r, r->input);
}
