/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libsandbox/bus-names.h"
#include "libsandbox/fd-util.h"
#include "libsandbox/string-util.h"
#include "sandbox-fsd/files-server.h"
#include "sandbox-fsd/tree-remove.h"
#include "tests/fuzz/bus-pair.h"
#include "tests/fuzz/fuzz.h"

/* Well-typed calls with hostile values. Each call is a line of the input: the method's number, then its arguments
 * separated by "\t"; what is missing is empty or zero. The root has links that point out of it. */

static const struct {
        const char *member, *types;
} methods[] = {
        { "Read",            "sstt"    },
        { "ReadSmall",       "sst"     },
        { "Write",           "ssubth"  },
        { "WriteSmall",      "ssuby"   }, /* y: an array of bytes */
        { "Delete",          "ss"      },
        { "ListDirectory",   "sstu"    },
        { "Search",          "sssu"    },
        { "Stat",            "sa"      }, /* a: an array of the remaining strings */
        { "Move",            "sm"      }, /* m: pairs of them */
        { "MakeDirectories", "sa"      },
        { "RemoveTrees",     "sa"      },
        { "ChangeMode",      "sss"     },
        { "BeginUpload",     "ssst"    },
        { "UploadSize",      "ss"      },
        { "Append",          "sstth"   },
        { "FinishUpload",    "ssstub"  },
};

static void append_text(sd_bus_message *m, char **rest) {
        _cleanup_free_ char *text = fuzz_next_text(rest);

        if (!text || sd_bus_message_append(m, "s", text) < 0)
                abort();
}

static void append_strings(sd_bus_message *m, char **rest, bool pairs) {
        if (sd_bus_message_open_container(m, 'a', pairs ? "(ss)" : "s") < 0)
                abort();
        while (*rest) {
                if (pairs && sd_bus_message_open_container(m, 'r', "ss") < 0)
                        abort();
                append_text(m, rest);
                if (pairs) {
                        append_text(m, rest);
                        (void) sd_bus_message_close_container(m);
                }
        }
        (void) sd_bus_message_close_container(m);
}

static void append_argument(sd_bus_message *m, char type, char **rest, int fd) {
        _cleanup_free_ char *bytes = NULL;

        switch (type) {
        case 's':
                append_text(m, rest);
                break;
        case 't':
                (void) sd_bus_message_append(m, "t", fuzz_next_number(rest));
                break;
        case 'u':
                (void) sd_bus_message_append(m, "u", (uint32_t) fuzz_next_number(rest));
                break;
        case 'b':
                (void) sd_bus_message_append(m, "b", (int) (fuzz_next_number(rest) & 1));
                break;
        case 'h':
                (void) sd_bus_message_append(m, "h", fd);
                break;
        case 'y':
                bytes = fuzz_next_text(rest);
                (void) sd_bus_message_append_array(m, 'y', bytes, bytes ? strlen(bytes) : 0);
                break;
        default:
                append_strings(m, rest, type == 'm');
        }
}

typedef struct Fixture {
        sd_bus *server, *client;
        FilesServer files;
        int directory_fd, source_fd;
        char directory[32];
} Fixture;

static void call(Fixture *f, char *line) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        size_t method = (size_t) (fuzz_next_number(&line) % ELEMENTSOF(methods));

        if (sd_bus_message_new_method_call(f->client, &m, NULL, FSD_OBJECT, FILES_INTERFACE,
                                           methods[method].member) < 0)
                abort();
        if (sd_bus_message_append(m, "s", "id") < 0)
                abort();
        for (const char *type = methods[method].types + 1; *type; type++)
                append_argument(m, *type, &line, f->source_fd);
        fuzz_bus_call(f->server, f->client, m);
}

static void fixture_init(Fixture *f) {
        int fd;

        *f = (Fixture) { .directory = "/tmp/fuzz-files1-XXXXXX" };
        if (!mkdtemp(f->directory))
                abort();
        f->directory_fd = open(f->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (mkdirat(f->directory_fd, "root", 0755) < 0 || mknodat(f->directory_fd, "neighbour", S_IFREG | 0600, 0) < 0)
                abort();
        fd = openat(f->directory_fd, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (symlinkat("../../../../../../tmp", fd, "up") < 0 || symlinkat("/", fd, "all") < 0 ||
            symlinkat("loop", fd, "loop") < 0 || mkfifoat(fd, "fifo", 0600) < 0 || mkdirat(fd, "d", 0755) < 0 ||
            file_root_init(&f->files.root, fd) < 0)
                abort();
        f->source_fd = memfd_create("source", MFD_CLOEXEC);
        if (f->source_fd < 0 || loop_write(f->source_fd, "0123456789", 10) < 0)
                abort();
        fuzz_bus_pair(&f->server, &f->client);
        if (files_server_attach(&f->files, f->server) < 0)
                abort();
}

static void fixture_done(Fixture *f) {
        struct stat st;

        if (fstatat(f->directory_fd, "neighbour", &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_size != 0 ||
            (st.st_mode & 07777) != 0600)
                abort();
        sd_bus_flush_close_unref(f->client);
        sd_bus_flush_close_unref(f->server);
        file_root_done(&f->files.root);
        safe_close(f->source_fd);
        if (tree_remove_contents(f->directory_fd, USEC_INFINITY) < 0 || rmdir(f->directory) < 0)
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(fixture_done) Fixture f;
        _cleanup_free_ char *text = NULL;
        char *rest, *line;

        fixture_init(&f);
        text = fuzz_text(data, size);
        for (rest = text; (line = strsep(&rest, "\n"));)
                call(&f, line);
        return 0;
}
