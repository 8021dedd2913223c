/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-fsd/files-server.h"

#include <errno.h>
#include <stdio.h>
#include <sys/fsuid.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/bus-names.h"
#include "libsandbox/parse-util.h"
#include "libsandbox/string-util.h"

/* One process acts for many users of a sandbox: the object path says as whom, and the kernel checks it, by the file
 * system ids that are set before each call. Kernel errors become names of ours by a table, since a client must tell "no
 * such file" from "refused". */

#define ID_MAX 65535U

typedef struct ErrorText {
        int error;
        const char *name, *text;
} ErrorText;

static const ErrorText error_texts[] = {
        { E2BIG,        BUS_ERROR_LIMIT_REACHED,   "more directories than can be watched"       },
        { EACCES,       BUS_ERROR_FILE_ACCESS,     "permission denied"                          },
        { EAGAIN,       BUS_ERROR_WRONG_STATE,     "changed while it was looked at, try again"  },
        { EBUSY,        BUS_ERROR_DENIED,          "a file system is mounted there"             },
        { ECANCELED,    BUS_ERROR_INTERRUPTED,     "the content ended early"                    },
        { EDQUOT,       BUS_ERROR_NO_SPACE,        "no space left"                              },
        { EEXIST,       BUS_ERROR_FILE_EXISTS,     "exists already"                             },
        { EFBIG,        BUS_ERROR_TOO_LARGE,       "too large"                                  },
        { EINVAL,       BUS_ERROR_INVALID,         "not valid"                                  },
        { EISDIR,       BUS_ERROR_NOT_A_FILE,      "is a directory"                             },
        { ELOOP,        BUS_ERROR_PATH_REFUSED,    "a link that is not followed, or too many"   },
        { ENAMETOOLONG, BUS_ERROR_PATH_REFUSED,    "the name is too long"                       },
        { ENOENT,       BUS_ERROR_NO_SUCH_FILE,    "no such file or directory"                  },
        { ENOSPC,       BUS_ERROR_NO_SPACE,        "no space left"                              },
        { ENOTDIR,      BUS_ERROR_NOT_A_DIRECTORY, "not a directory"                            },
        { ENOTEMPTY,    BUS_ERROR_FILE_EXISTS,     "the directory is not empty"                 },
        { ENXIO,        BUS_ERROR_NOT_A_FILE,      "not a regular file"                         },
        { EPERM,        BUS_ERROR_DENIED,          "not allowed"                                },
        { EROFS,        BUS_ERROR_DENIED,          "read-only"                                  },
        { ESTALE,       BUS_ERROR_WRONG_STATE,     "its size is another one"                    },
        { ETIMEDOUT,    BUS_ERROR_TIMED_OUT,       "took too long"                              },
        { ETXTBSY,      BUS_ERROR_WRONG_STATE,     "is being written"                           },
        { EXDEV,        BUS_ERROR_PATH_REFUSED,    "not an absolute path"                       },
};

/* An error that the table lacks is a bug of ours or of the kernel's, and is passed on by its number. */
int files_error(sd_bus_error *error, int r, const char *path) {
        for (size_t i = 0; i < ELEMENTSOF(error_texts); i++)
                if (error_texts[i].error == -r)
                        return bus_error_set(error, error_texts[i].name, "%s: %s", path, error_texts[i].text);
        return sd_bus_error_set_errno(error, r);
}

/* The ids of an object path, "<uid>_<gid>" behind ours, as they are inside of the sandbox. */
int files_path_to_user(const char *object_path, uid_t *ret_uid, gid_t *ret_gid) {
        const char *rest = startswith(object_path, FSD_OBJECT), *underscore;
        char number[16];
        uint32_t uid, gid;

        if (!rest)
                return -ENOENT;
        if (!*rest) {
                *ret_uid = 0;
                *ret_gid = 0;
                return 0;
        }

        underscore = strchr(rest, '_');
        if (*rest++ != '/' || !underscore || (size_t) (underscore - rest) >= sizeof number)
                return -ENOENT;
        (void) snprintf(number, sizeof number, "%.*s", (int) (underscore - rest), rest);
        if (parse_u32(number, &uid) < 0 || parse_u32(underscore + 1, &gid) < 0 || uid > ID_MAX || gid > ID_MAX)
                return -ENOENT;
        *ret_uid = uid;
        *ret_gid = gid;
        return 0;
}

/* Without root's uid the kernel takes the file capabilities out of the effective set, and puts them back with it. The
 * calls answer with the old value and no error, hence the second ones. */
static int become_user(uid_t uid, gid_t gid) {
        (void) setfsuid(0);
        (void) setfsgid(gid);
        (void) setfsuid(uid);
        if ((gid_t) setfsgid((gid_t) -1) != gid || (uid_t) setfsuid((uid_t) -1) != uid)
                return -EPERM;
        return 0;
}

/* Runs before the method of each message. */
static int on_message(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const char *path = sd_bus_message_get_path(m);
        uid_t uid;
        gid_t gid;
        int r;

        (void) userdata;
        if (!path || files_path_to_user(path, &uid, &gid) < 0)
                return 0;
        r = become_user(uid, gid);
        if (r < 0)
                return bus_error_set(error, BUS_ERROR_DENIED, "Cannot act as user %u and group %u.", uid, gid);
        return 0;
}

static int find_object(sd_bus *bus, const char *path, const char *interface, void *userdata, void **ret_found,
                       sd_bus_error *error) {
        uid_t uid;
        gid_t gid;

        (void) bus;
        (void) interface;
        (void) error;
        if (files_path_to_user(path, &uid, &gid) < 0)
                return 0;
        *ret_found = userdata;
        return 1;
}

int files_server_attach(FilesServer *s, sd_bus *bus) {
        int r;

        r = sd_bus_add_filter(bus, NULL, on_message, s);
        if (r < 0)
                return r;
        return sd_bus_add_fallback_vtable(bus, NULL, FSD_OBJECT, FILES_INTERFACE, files_vtable, find_object, s);
}
