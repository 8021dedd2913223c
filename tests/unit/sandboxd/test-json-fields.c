/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/json-fields.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/string-util.h"
#include "sandboxd/http/json-scan.h"
#include "tests/test.h"

typedef struct Target {
        char *name;
        int64_t count, limit, lenient;
        double cpu;
        bool flag;
        char **list;
        char **command;
        bool command_was_string;
        char **env;
        json_t *object, *array;
} Target;

static const JsonField fields[] = {
        { "name",    JSON_FIELD_STRING, offsetof(Target, name),    JSON_FIELD_NONEMPTY, 0, 8,        "" },
        { "count",   JSON_FIELD_INT,    offsetof(Target, count),   0,                   1, 300,      "" },
        { "limit",   JSON_FIELD_INT,    offsetof(Target, limit),   JSON_FIELD_CLAMP,    64, 4096,    "" },
        { "lenient", JSON_FIELD_INT,    offsetof(Target, lenient), JSON_FIELD_LENIENT,  0, 0,        "" },
        { "cpu",     JSON_FIELD_NUMBER, offsetof(Target, cpu),     0,                   0.1, 4,      "" },
        { "flag",    JSON_FIELD_BOOL,   offsetof(Target, flag),    0,                   0, 0,        "" },
        { "list",    JSON_FIELD_STRV,   offsetof(Target, list),    JSON_FIELD_NONEMPTY, 0, 0,        "" },
        { "command", JSON_FIELD_STRING_OR_STRV, offsetof(Target, command),
          JSON_FIELD_WAS_STRING | JSON_FIELD_NONEMPTY, 0, 0, "" },
        { "env",     JSON_FIELD_MAP,    offsetof(Target, env),     0,                   0, 0,        "" },
        { "object",  JSON_FIELD_OBJECT, offsetof(Target, object),  0,                   0, 0,        "" },
        { "array",   JSON_FIELD_ARRAY,  offsetof(Target, array),   0,                   0, 0,        "" },
};

static int read_text(const char *text, Target *t, char **ret_message) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        json_t *object;
        int r;

        object = json_loads(text, JSON_ALLOW_NUL, NULL);
        ASSERT_NOT_NULL(object);
        r = json_fields_read(object, fields, ELEMENTSOF(fields), t, &error);
        json_decref(object);
        if (r < 0)
                ASSERT_STREQ(error.name, BUS_ERROR_INVALID);
        *ret_message = r < 0 ? strdup(error.message) : NULL;
        return r;
}

/* An object as a query can say it. */
TEST(objects_of_a_query) {
        static const struct {
                const char *text, *object;
        } cases[] = {
                { "{\"object\":\"{\\\"a\\\":\\\"b\\\"}\"}",      "{\"a\":\"b\"}" },
                { "{\"object[a]\":\"b\",\"object[c d]\":\"\"}",  "{\"a\":\"b\",\"c d\":\"\"}" },
                { "{\"object[a]x\":\"b\",\"objects[a]\":\"b\"}", NULL },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_free_ char *message = NULL, *text = NULL;
                Target t = {};

                ASSERT_OK(read_text(cases[i].text, &t, &message));
                text = t.object ? json_dumps(t.object, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
                ASSERT_TRUE(streq_ptr(text, cases[i].object));
                json_fields_done(fields, ELEMENTSOF(fields), &t);
        }
}

TEST(good_values) {
        Target t = { .count = 7, .cpu = 1 };
        char *message;

        ASSERT_OK(read_text("{\"name\":\"a\", \"limit\":1e6, \"cpu\":\"0.5\", \"flag\":\"true\","
                            "\"list\":[\"x\",\"y\"],"
                            "\"command\":\"ls\", \"env\":{\"A\":\"b=c\",\"D\":\"\"}, \"object\":{}, \"array\":[],"
                            "\"count\":null, \"unknown\":[1], \"lenient\":\"x\"}", &t, &message));
        ASSERT_STREQ(t.name, "a");
        ASSERT_EQ(t.count, 7);
        ASSERT_EQ(t.limit, 4096);
        ASSERT_EQ(t.lenient, 0);
        ASSERT_TRUE(t.cpu == 0.5);
        ASSERT_TRUE(t.flag);
        ASSERT_EQ(strv_length(t.list), 2);
        ASSERT_STREQ(t.command[0], "ls");
        ASSERT_TRUE(t.command_was_string);
        ASSERT_STREQ(t.env[0], "A=b=c");
        ASSERT_STREQ(t.env[1], "D=");
        ASSERT_NOT_NULL(t.object);
        ASSERT_NOT_NULL(t.array);

        /* a second reading replaces */
        ASSERT_OK(read_text("{\"name\":\"b\", \"command\":[\"a\",\"b\"], \"object\":{\"x\":1}, \"count\":2.0}", &t,
                            &message));
        ASSERT_STREQ(t.name, "b");
        ASSERT_FALSE(t.command_was_string);
        ASSERT_EQ(strv_length(t.command), 2);
        ASSERT_EQ(json_object_size(t.object), 1);
        ASSERT_EQ(t.count, 2);
        json_fields_done(fields, ELEMENTSOF(fields), &t);
        ASSERT_NULL(t.name);
}

TEST(integers) {
        static const struct {
                const char *value;
                int64_t count, limit; /* 0: refused */
        } cases[] = {
                { "1",                    1,   64   },
                { "300",                  300, 300  },
                { "\"12\"",               12,  64   },
                { "0",                    0,   64   },
                { "301",                  0,   301  },
                { "-1",                   0,   64   },
                { "1.5",                  0,   0    },
                { "true",                 0,   0    },
                { "\"\"",                 0,   0    },
                { "\"1e2\"",              0,   0    },
                { "\" 1\"",               0,   0    },
                { "[]",                   0,   0    },
                { "1e2",                  100, 100  },
                { "2147483648",           0,   4096 },
                { "9007199254740993",     0,   4096 },
                { "9223372036854775807",  0,   4096 },
                { "-9223372036854775808", 0,   64   },
                { "9.3e18",               0,   4096 },
                { "-1e300",               0,   64   },
                { "\"9223372036854775808\"",  0, 4096 },
                { "\"-9223372036854775809\"", 0, 64   },
                { "\"99999999999999999999999999\"", 0, 4096 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                for (size_t k = 0; k < 2; k++) {
                        _cleanup_free_ char *text = NULL, *message = NULL;
                        int64_t expect = k ? cases[i].limit : cases[i].count;
                        Target t = {};
                        int r;

                        ASSERT_TRUE(asprintf(&text, "{\"%s\":%s}", k ? "limit" : "count", cases[i].value) > 0);
                        r = read_text(text, &t, &message);
                        if ((r >= 0) != (expect != 0))
                                print_error("%s\n", text);
                        ASSERT_EQ(r >= 0, expect != 0);
                        ASSERT_EQ(k ? t.limit : t.count, expect);
                }
}

TEST(messages) {
        static const struct {
                const char *text, *message;
        } cases[] = {
                { "{\"name\":\"\"}",                "name must not be empty"                                 },
                { "{\"name\":\"123456789\"}",       "name must be at most 8 bytes long"                      },
                { "{\"name\":\"a\\u0000b\"}",       "name must not contain NUL"                              },
                { "{\"name\":1}",                   "name must be a string"                                  },
                { "{\"count\":0}",                  "count must be an integer from 1 to 300"                 },
                { "{\"count\":\"x\"}",              "count must be an integer from 1 to 300"                 },
                { "{\"cpu\":100}",                  "cpu must be a number from 0.1 to 4"                     },
                { "{\"cpu\":\"1e999\"}",            "cpu must be a number from 0.1 to 4"                     },
                { "{\"cpu\":\"nan\"}",              "cpu must be a number from 0.1 to 4"                     },
                { "{\"flag\":1}",                   "flag must be true or false"                             },
                { "{\"list\":[]}",                  "list must not be empty"                                 },
                { "{\"list\":[1]}",                 "list must be an array of strings"                       },
                { "{\"list\":[\"\\u0000\"]}",       "list must not contain NUL"                              },
                { "{\"command\":{}}",               "command must be a string or an array of strings"        },
                { "{\"command\":\"\"}",             "command must not be empty"                              },
                { "{\"env\":{\"\":\"a\"}}",         "env has a key that is empty or contains '='"            },
                { "{\"env\":{\"a=b\":\"a\"}}",      "env has a key that is empty or contains '='"            },
                { "{\"env\":{\"a\":1}}",            "env must be an object of strings"                       },
                { "{\"object\":[]}",                "object must be an object"                               },
                { "{\"array\":{}}",                 "array must be an array"                                 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_free_ char *message = NULL;
                Target t = {};

                ASSERT_TRUE(read_text(cases[i].text, &t, &message) < 0);
                ASSERT_STREQ(message, cases[i].message);
                json_fields_done(fields, ELEMENTSOF(fields), &t);
        }
}

TEST(mandatory) {
        static const JsonField row = { "x", JSON_FIELD_STRING, 0, JSON_FIELD_MANDATORY | JSON_FIELD_LENIENT, 0, 0,
                                       "" };
        static const char *const texts[] = { "{}", "{\"x\":null}" };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
                json_t *object = json_loads(texts[i], 0, NULL);
                char *x = NULL;

                ASSERT_EQ(json_fields_read(object, &row, 1, &x, &error), -EINVAL);
                ASSERT_STREQ(error.message, "x is required");
                json_decref(object);
        }
}

static int parse(const char *text, size_t n) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        json_t *value = NULL;
        int r;

        r = json_parse_limited(text, n, &value, &error);
        json_decref(value);
        return r;
}

TEST(parser_limits) {
        char text[65536];
        size_t n;

        ASSERT_OK(parse("", 0));
        ASSERT_OK(parse(" \n", 2));
        ASSERT_OK(parse("{}", 2));
        ASSERT_OK(parse(" null ", 6));
        ASSERT_TRUE(parse("nul", 3) < 0);
        ASSERT_TRUE(parse("null null", 9) < 0);
        ASSERT_TRUE(parse("[]", 2) < 0);
        ASSERT_TRUE(parse("\"a\"", 3) < 0);
        ASSERT_TRUE(parse("1", 1) < 0);
        ASSERT_TRUE(parse("{}{}", 4) < 0);
        ASSERT_TRUE(parse("{\"a\":\"\\\"[[[[", 11) < 0);

        for (size_t depth = JSON_DEPTH_MAX - 1; depth <= JSON_DEPTH_MAX; depth++) {
                n = (size_t) snprintf(text, sizeof text, "{\"a\":");
                memset(text + n, '[', depth);
                memset(text + n + depth, ']', depth);
                text[n + 2 * depth] = '}';
                ASSERT_EQ(parse(text, n + 2 * depth + 1) >= 0, depth < JSON_DEPTH_MAX);
        }
        for (size_t keys = JSON_KEYS_MAX; keys <= JSON_KEYS_MAX + 1; keys++) {
                n = 0;
                for (size_t i = 0; i < keys; i++)
                        n += (size_t) snprintf(text + n, sizeof text - n, "%c\"%zu\":1", i ? ',' : '{', i);
                text[n++] = '}';
                ASSERT_EQ(parse(text, n) >= 0, keys <= JSON_KEYS_MAX);
        }
        n = (size_t) snprintf(text, sizeof text, "{\"a\":[1");
        for (size_t i = 0; i < JSON_VALUES_MAX; i++)
                n += (size_t) snprintf(text + n, sizeof text - n, ",1");
        n += (size_t) snprintf(text + n, sizeof text - n, "]}");
        ASSERT_TRUE(parse(text, n) < 0);
}
