/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-netd/elements.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libsandbox/address.h"
#include "libsandbox/string-util.h"

/* "599s" or "1m29s996ms", in whole seconds. */
static uint64_t parse_duration(const char *s) {
        uint64_t sum = 0;

        while (isdigit((unsigned char) *s)) {
                char *end;
                uint64_t n = strtoull(s, &end, 10);
                size_t unit = strspn(end, "dhms");

                if (unit == 1)
                        sum += n * (*end == 'd' ? 86400 : *end == 'h' ? 3600 : *end == 'm' ? 60 : 1);
                if (unit == 0)
                        break;
                s = end + (unit == 1 || startswith(end, "ms") == NULL ? 1 : 2);
        }
        return sum;
}

static int parse_part(const char *word, uint32_t *ret) {
        unsigned long n;
        char *end;

        if (strchr(word, '.'))
                return address_parse(word, ret);
        errno = 0;
        n = strtoul(word, &end, 0);
        if (*end || end == word || errno != 0 || n > UINT32_MAX)
                return -EBADMSG;
        *ret = (uint32_t) n;
        return 0;
}

/* What follows the key: pairs of words, of which some matter. */
static int parse_rest(Element *e, char *rest) {
        const char *word, *before = "";

        while ((word = strsep(&rest, " \t\n"))) {
                if (!*word)
                        continue;
                if (streq(before, "packets"))
                        e->packets = strtoull(word, NULL, 10);
                else if (streq(before, "expires"))
                        e->expires_sec = parse_duration(word);
                else if (streq(before, ":") && parse_part(word, &e->value) < 0)
                        return -EBADMSG;
                before = word;
        }
        return 0;
}

static int parse_element(char *text, Element *ret) {
        char *rest = text, *word;
        bool more = true;

        *ret = (Element) {};
        while (more) {
                while ((word = strsep(&rest, " \t\n")) && !*word)
                        ;
                if (!word || ret->n_parts == ELEMENT_PARTS_MAX || parse_part(word, ret->parts + ret->n_parts++) < 0)
                        return -EBADMSG;
                more = rest && startswith(rest, ". ");
                if (more)
                        rest += 2;
        }
        return rest ? parse_rest(ret, rest) : 0;
}

int elements_parse(const char *text, Element **ret, size_t *ret_n) {
        const char *begin = strstr(text, "elements = {"), *end = begin ? strchr(begin, '}') : NULL;
        _cleanup_free_ Element *elements = NULL;
        _cleanup_free_ char *copy = NULL;
        size_t n = 0;
        char *rest, *one;

        if (begin && !end)
                return -EBADMSG;
        copy = begin ? strndup(strchr(begin, '{') + 1, (size_t) (end - strchr(begin, '{') - 1)) : strdup("");
        if (!copy)
                return -ENOMEM;
        for (rest = copy; begin && (one = strsep(&rest, ","));) {
                Element *larger = reallocarray(elements, n + 1, sizeof *larger);

                if (!larger)
                        return -ENOMEM;
                elements = larger;
                if (parse_element(one, elements + n++) < 0)
                        return -EBADMSG;
        }
        *ret = TAKE_PTR(elements);
        *ret_n = n;
        return 0;
}
