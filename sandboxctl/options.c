/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxctl/options.h"

#include <errno.h>
#include <stdarg.h>

#include "libsandbox/parse-util.h"
#include "libsandbox/string-util.h"
#include "sandboxctl/text.h"

/* Not getopt_long(): it keeps its state in globals, takes abbreviations that become ambiguous with the next release,
 * and knows no table that the help, the completions and the tests could read. Words of somebody else's command behind
 * ours are left alone by counting, so that "exec ID ls -l" needs no "--". */

#define OPTION_HELP_COLUMN 26U

static _printf_(3, 4) int refuse(char **ret_error, int r, const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        if (vasprintf(ret_error, format, ap) < 0)
                *ret_error = NULL;
        va_end(ap);
        return r;
}

/* Less than a second would be a load on the server, and nobody reads as fast. */
static int assign_interval(const char *value, uint64_t *ret) {
        uint64_t seconds = INTERVAL_DEFAULT_SEC;
        int r = value ? parse_seconds(value, &seconds) : 0;

        if (r < 0)
                return r;
        if (seconds < 1 || seconds > INTERVAL_MAX_SEC)
                return -ERANGE;
        *ret = seconds;
        return 0;
}

static int option_assign(const Option *o, const char *value) {
        switch (o->type) {
        case OPTION_FLAG:
                *(bool *) o->target = true;
                return 0;
        case OPTION_STRING:
                *(const char **) o->target = value;
                return 0;
        case OPTION_STRV:
                return strv_extend(o->target, value);
        case OPTION_UINT:
                return parse_u64(value, o->target);
        case OPTION_NUMBER:
                return parse_double(value, o->target);
        case OPTION_INTERVAL:
                return assign_interval(value, o->target);
        case OPTION_SECONDS:
                return parse_seconds(value, o->target);
        case OPTION_MEBIBYTES:
                return parse_mebibytes(value, o->target);
        }
        return -EINVAL;
}

/* The next word is its value, unless it came with "=". */
static bool takes_word(const Option *o) {
        return o->value && o->type != OPTION_INTERVAL;
}

static const Option *option_find(const Option *const tables[], const char *name, size_t n, char letter) {
        for (size_t t = 0; t < OPTION_TABLES_MAX && tables[t]; t++)
                for (const Option *o = tables[t]; o->name; o++)
                        if (letter ? o->letter == letter : strlen(o->name) == n && memcmp(o->name, name, n) == 0)
                                return o;
        return NULL;
}

/* For suggestions: the names of all tables, one after the other. */
typedef struct NameIterator {
        const Option *const *tables;
        size_t table, row;
} NameIterator;

static const char *next_name(void *userdata) {
        NameIterator *i = userdata;

        while (i->table < OPTION_TABLES_MAX && i->tables[i->table]) {
                const Option *o = i->tables[i->table] + i->row++;

                if (o->name)
                        return o->name;
                i->table++;
                i->row = 0;
        }
        return NULL;
}

static int option_apply(const Option *o, const char *spelled, const char *value, char **ret_error) {
        int r;

        r = option_assign(o, value);
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                return refuse(ret_error, r, "%s '%s' of option '%s'", r == -ERANGE ? "out of range: the value"
                              : "not understood: the value", value, spelled);
        return 0;
}

/* "--name", "--name=value" or "--name" and the next word. Returns the words used. */
static int parse_long(const Option *const tables[], char **argv, char **ret_error) {
        const char *name = argv[0] + 2, *equals = strchr(name, '=');
        size_t n = equals ? (size_t) (equals - name) : strlen(name);
        const Option *o = option_find(tables, name, n, 0);
        int r;

        if (!o) {
                _cleanup_free_ char *wrong = strndup(name, n);
                NameIterator i = { tables };
                const char *near = wrong ? text_suggest(wrong, next_name, &i) : NULL;

                return refuse(ret_error, -EINVAL, "unknown option '--%s'%s%s%s", wrong ? wrong : "",
                              near ? ", did you mean '--" : "", near ? near : "", near ? "'?" : "");
        }
        if (!o->value && equals)
                return refuse(ret_error, -EINVAL, "option '--%s' takes no value", o->name);
        if (takes_word(o) && !equals && !argv[1])
                return refuse(ret_error, -EINVAL, "option '--%s' needs a value: %s", o->name, o->value);

        r = option_apply(o, argv[0], equals ? equals + 1 : takes_word(o) ? argv[1] : NULL, ret_error);
        return r < 0 ? r : takes_word(o) && !equals ? 2 : 1;
}

/* "-f", "-fq", "-n value" or "-nvalue". */
static int parse_short(const Option *const tables[], char **argv, char **ret_error) {
        for (const char *p = argv[0] + 1; *p; p++) {
                const Option *o = option_find(tables, NULL, 0, *p);
                const char *value;
                int r;

                if (!o)
                        return refuse(ret_error, -EINVAL, "unknown option '-%c'", *p);
                value = !takes_word(o) ? NULL : p[1] ? p + 1 : argv[1];
                if (takes_word(o) && !value)
                        return refuse(ret_error, -EINVAL, "option '-%c' needs a value: %s", *p, o->value);
                r = option_apply(o, argv[0], value, ret_error);
                if (r < 0)
                        return r;
                if (takes_word(o))
                        return p[1] ? 1 : 2;
        }
        return 1;
}

int options_parse(const Option *const tables[OPTION_TABLES_MAX], char **argv, unsigned stop, char ***ret_words,
                  char **ret_error) {
        _cleanup_free_ char **words = new0(char *, strv_length(argv) + 1);
        bool verbatim = false;
        size_t n = 0;

        *ret_error = NULL;
        if (!words)
                return -ENOMEM;

        while (*argv) {
                int r = 1;

                if (verbatim || n >= stop)
                        words[n++] = *argv;
                else if (streq(*argv, "--"))
                        verbatim = true;
                else if (startswith(*argv, "--"))
                        r = parse_long(tables, argv, ret_error);
                else if (**argv == '-' && (*argv)[1])
                        r = parse_short(tables, argv, ret_error);
                else
                        words[n++] = *argv;
                if (r < 0)
                        return r;
                argv += r;
        }
        *ret_words = TAKE_PTR(words);
        return 0;
}

/* A left side that does not leave two blanks to the text has a line of its own. */
void help_row(FILE *f, unsigned column, const char *left, const char *text) {
        unsigned used = text_width(left);

        (void) fputs(left, f);
        if (used + 2 > column) {
                (void) fprintf(f, "\n%*s", (int) column, "");
        } else
                (void) fprintf(f, "%*s", (int) (column - used), "");

        while (*text) {
                size_t n = text_break(text, HELP_COLUMNS - column);

                (void) fprintf(f, "%.*s\n", (int) n, text);
                text += n;
                text += strspn(text, " ");
                if (*text)
                        (void) fprintf(f, "%*s", (int) column, "");
        }
}

void options_help(FILE *f, const Option *table) {
        for (const Option *o = table; o->name; o++) {
                const char *before = !o->value ? "" : takes_word(o) ? " " : "[=", *behind = *before == '[' ? "]" : "";
                char left[HELP_COLUMNS];

                (void) snprintf(left, sizeof left, "  %c%c%s--%s%s%s%s", o->letter ? '-' : ' ',
                                o->letter ? o->letter : ' ', o->letter ? ", " : "  ", o->name, before,
                                o->value ? o->value : "", behind);
                help_row(f, OPTION_HELP_COLUMN, left, o->help);
        }
}
