/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxctl/subverbs.h"

#include "libsandbox/string-util.h"

int subverb_run(Ctl *c, const Subverb *table, char **words) {
        size_t n = strv_length(words + 1);

        for (const Subverb *v = table; v->name; v++) {
                if (!streq(v->name, words[0]))
                        continue;
                if (n < v->min || n > v->max)
                        return ctl_fail(c, EXIT_STATUS_USAGE, "too %s arguments, wanted: %s %s%s%s",
                                        n < v->min ? "few" : "many", c->verb->name, v->name,
                                        isempty(v->arguments) ? "" : " ", v->arguments);
                return v->handler(c, words + 1);
        }
        return ctl_fail(c, EXIT_STATUS_USAGE, "'%s' is none of: %s", words[0], c->verb->arguments);
}
