/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/interpreter.h"

#include <ctype.h>
#include <errno.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/string-util.h"

/* A package's name is an argument of a program that also takes options, URLs, paths and files of requirements there.
 * So each manager has a rule of what a name is, and everything else is refused. */

#define PACKAGE_MAX 214U

/* Where npm puts what it installs for all, and Debian its modules: node by itself looks in neither for a program that
 * lies elsewhere. */
#define NODE_PATH "NODE_PATH=/usr/local/lib/node_modules:/usr/lib/node_modules:/usr/share/nodejs"

/* By itself npm takes 70 s to find that there is no network, longer than clients wait. */
#define NPM_RETRY "npm_config_fetch_retry_mintimeout=500", "npm_config_fetch_retry_maxtimeout=3000"

/* What an image has for TypeScript differs. The first that is there runs it; npx, which fetches one, is the last. */
static const char typescript_runner[] =
        "const { spawnSync } = require('child_process');\n"
        "const [major, minor] = process.versions.node.split('.').map(Number);\n"
        "const node = process.execPath;\n"
        "const strips = major > 23 || (major === 23 && minor >= 6) || (major === 22 && minor >= 18);\n"
        "const can = strips || major === 23 || (major === 22 && minor >= 6);\n"
        "const own = strips ? [node] : [node, '--no-warnings', '--experimental-strip-types'];\n"
        "const all = [['tsx'], ['ts-node', '-T'], ...(can ? [own] : []), ['npx', '--yes', 'tsx']];\n"
        "for (const [name, ...words] of all) {\n"
        "  const end = spawnSync(name, [...words, process.argv[1]], { stdio: 'inherit' });\n"
        "  if (end.error && end.error.code === 'ENOENT') continue;\n"
        "  if (end.error) console.error(String(end.error));\n"
        "  if (end.signal) process.kill(process.pid, end.signal);\n"
        "  process.exit(end.status ?? 1);\n"
        "}\n"
        "console.error('TypeScript needs one of these programs in the image: tsx, ts-node, node 22.18, npx');\n"
        "process.exit(127);\n";

static const Language languages[] = {
        { "bash",       "bash",    ".sh", { "bash" },    "apt", "context.sh", {}            },
        { "go",         "go",      ".go", { "go", "run" }, "go", NULL,        {}            },
        { "javascript", "node",    ".js", { "node" },    "npm", "context.js", { NODE_PATH } },
        { "python",     "python3", ".py", { "python3" }, "pip", "context.py", {}            },
        { "typescript", NULL,      ".ts", { "node", "-e", typescript_runner }, "npm", NULL, { NODE_PATH, NPM_RETRY } },
};

static const Language *find(const char *name) {
        for (size_t i = 0; i < ELEMENTSOF(languages); i++)
                if (streq(languages[i].name, name) || streq_ptr(languages[i].kernel, name))
                        return languages + i;
        return NULL;
}

const Language *language_find(const char *name, sd_bus_error *error) {
        const Language *l = find(name);

        if (!l)
                (void) bus_error_set(error, BUS_ERROR_INVALID,
                                     "Unknown language; known: python, javascript, typescript, go, bash");
        return l;
}

const Language *language_find_stateful(const char *name, sd_bus_error *error) {
        const Language *l = find(name);

        if (l && l->driver)
                return l;
        (void) bus_error_set(error, BUS_ERROR_INVALID, "Unknown language; known: python, javascript, bash");
        return NULL;
}

static size_t span(const char *s, const char *others) {
        size_t n = 0;

        while (s[n] && (isalnum((unsigned char) s[n]) || strchr(others, s[n])))
                n++;
        return n;
}

/* name[extra,extra]==1.0,<2; no path, no URL, no "name @ https://". */
static bool is_pip(const char *s) {
        size_t n = span(s, "._-");

        if (!isalnum((unsigned char) s[0]))
                return false;
        if (s[n] == '[') {
                n += 1 + span(s + n + 1, "._-,");
                if (s[n++] != ']')
                        return false;
        }
        return s[n] == 0 || (strchr("=<>!~", s[n]) && s[n + span(s + n, "._-=<>!~+*,")] == 0);
}

/* [@scope/]name[@version] */
static bool is_npm(const char *s) {
        size_t n;

        if (s[0] == '@') {
                n = 1 + span(s + 1, "._-");
                if (!isalnum((unsigned char) s[1]) || s[n] != '/')
                        return false;
                s += n + 1;
        }
        n = span(s, "._-");
        if (!isalnum((unsigned char) s[0]))
                return false;
        return s[n] == 0 || (s[n] == '@' && s[n + 1] && s[n + 1 + span(s + n + 1, "._-+^~<>=*")] == 0);
}

/* A module's path, with or without @version: its first element is a host, so a path of the disk is none. */
static bool is_go(const char *s) {
        size_t n = span(s, "._~/-"), host = strcspn(s, "/@");

        if (!isalnum((unsigned char) s[0]) || !memchr(s, '.', host) || strstr(s, "..") || strstr(s, "//"))
                return false;
        return s[n] == 0 || (s[n] == '@' && s[n + 1] && s[n + 1 + span(s + n + 1, "._-+")] == 0);
}

/* name[:architecture][=version]; "name-" would remove it. */
static bool is_apt(const char *s) {
        size_t n = span(s, "+.-");

        if (!isalnum((unsigned char) s[0]) || s[n - 1] == '-')
                return false;
        if (s[n] == ':')
                n += 1 + span(s + n + 1, "");
        return s[n] == 0 || (s[n] == '=' && s[n + 1] && s[n + 1 + span(s + n + 1, "+.:~-")] == 0 &&
                             s[strlen(s) - 1] != '-');
}

/* A sandbox is there to be changed and thrown away: pip need not protect the distribution's files in it. Its /tmp is a
 * small one in memory, too small for large wheels. What go builds has to be found by a shell. */
static const PackageManager managers[] = {
        { "apt", { "apt-get", "install", "-y", "-q", "--" }, { "DEBIAN_FRONTEND=noninteractive" }, is_apt },
        { "go",  { "go", "install", "--" }, { "GOBIN=/usr/local/bin" }, is_go },
        { "npm", { "npm", "install", "--global", "--no-fund", "--no-audit", "--" }, { NPM_RETRY }, is_npm },
        { "pip", { "pip", "install", "--no-input", "--disable-pip-version-check", "--" },
          { "PIP_BREAK_SYSTEM_PACKAGES=1", "PIP_ROOT_USER_ACTION=ignore", "TMPDIR=/var/tmp" }, is_pip },
};

const PackageManager *package_manager_find(const char *name, sd_bus_error *error) {
        const Language *l = find(name);

        for (size_t i = 0; i < ELEMENTSOF(managers); i++)
                if (streq(managers[i].name, l ? l->manager : name))
                        return managers + i;
        (void) bus_error_set(error, BUS_ERROR_INVALID, "Unknown package manager; known: pip, npm, go, apt");
        return NULL;
}

int package_manager_make_argv(const PackageManager *p, char *const *packages, char ***ret, sd_bus_error *error) {
        _cleanup_strv_free_ char **argv = NULL;
        int r = 0;

        if (strv_length(packages) > PACKAGES_MAX)
                return bus_error_set(error, BUS_ERROR_INVALID, "packages must be at most %u", PACKAGES_MAX);
        for (size_t i = 0; r >= 0 && p->command[i]; i++)
                r = strv_extend(&argv, p->command[i]);
        STRV_FOREACH(name, packages) {
                if (strlen(*name) > PACKAGE_MAX || !p->is_valid(*name)) {
                        _cleanup_free_ char *shown = utf8_sanitize(*name, strnlen(*name, 64));

                        return bus_error_set(error, BUS_ERROR_INVALID, "Invalid %s package: %s", p->name, shown ?: "");
                }
                if (r >= 0)
                        r = strv_extend(&argv, *name);
        }
        if (r < 0)
                return r;
        *ret = TAKE_PTR(argv);
        return 0;
}
