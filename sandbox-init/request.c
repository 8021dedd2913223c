/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-init/request.h"

#include <linux/errno.h>
#include <stdbool.h>

#define SOCK_FILTER_SIZE 8U
#define SIGNAL_MAX 64

#define ON(phase) (1U << (phase))
#define ON_ANY (ON(INIT_PHASE_FRESH) | ON(INIT_PHASE_PARKED) | ON(INIT_PHASE_LIVE))

/* true if a fixed field holds a string that is ended within it and not empty. */
static bool field_is_string(const char *field, size_t size) {
        if (field[0] == 0)
                return false;

        for (size_t i = 0; i < size; i++)
                if (field[i] == 0)
                        return true;

        return false;
}

static bool hostname_is_valid(const char *s) {
        for (; *s; s++) {
                bool alphanumeric = (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || (*s >= '0' && *s <= '9');

                if (!alphanumeric && *s != '-' && *s != '.')
                        return false;
        }
        return true;
}

static int check_bare(const void *message, size_t size, size_t n_fds) {
        (void) message;
        return size == sizeof(InitHeader) && n_fds == 0 ? 0 : -EBADMSG;
}

static int check_one_fd(const void *message, size_t size, size_t n_fds) {
        (void) message;
        return size == sizeof(InitHeader) && n_fds == 1 ? 0 : -EBADMSG;
}

static int check_root(const void *message, size_t size, size_t n_fds) {
        const InitRoot *m = message;
        size_t expected;

        if (m->flags & ~(uint32_t) (INIT_ROOT_UPPER | INIT_ROOT_USR))
                return -EBADMSG;
        if (m->n_layers < 1 || m->n_layers > INIT_LAYERS_MAX)
                return -EBADMSG;

        if (m->n_frozen > INIT_FROZEN_MAX || m->n_raw > m->n_frozen)
                return -EBADMSG;

        expected = 1 + m->n_layers + !!(m->flags & INIT_ROOT_UPPER) + !!(m->flags & INIT_ROOT_USR) + m->n_frozen +
                   m->n_raw;
        if (n_fds != expected)
                return -EBADMSG;

        /* Both filters are always loaded: a sandbox without one is no sandbox. */
        if (m->n_allow < 1 || m->n_args < 1)
                return -EBADMSG;
        if (m->n_allow > INIT_FILTER_MAX || m->n_args > INIT_FILTER_MAX - m->n_allow)
                return -EBADMSG;
        if (size != sizeof(InitRoot) + (size_t) (m->n_allow + m->n_args) * SOCK_FILTER_SIZE)
                return -EBADMSG;

        if (!field_is_string(m->hostname, sizeof(m->hostname)) || !hostname_is_valid(m->hostname))
                return -EBADMSG;
        if (!field_is_string(m->workdir, sizeof(m->workdir)) || m->workdir[0] != '/')
                return -EBADMSG;

        /* To a tmpfs 0 is "unlimited". */
        if (!(m->flags & INIT_ROOT_UPPER) && (m->upper_bytes == 0 || m->upper_inodes == 0))
                return -EINVAL;
        if (m->tmp_bytes == 0 || m->tmp_inodes == 0 || m->shm_bytes == 0 || m->nproc_max == 0 || m->fsize_max == 0)
                return -EINVAL;

        return 0;
}

static int check_exec_layout(const InitExec *m, size_t size, size_t n_fds) {
        bool in_fd = m->flags & INIT_EXEC_STRINGS_IN_FD;

        if (m->flags & ~(uint32_t) (INIT_EXEC_STRINGS_IN_FD | INIT_EXEC_PTY))
                return -EBADMSG;
        if (m->argc < 1 || m->argc > INIT_STRINGS_MAX || m->envc > INIT_STRINGS_MAX - m->argc)
                return -EBADMSG;
        if (m->n_keep > INIT_KEEP_MAX || n_fds != in_fd + EXEC_FDS + m->n_keep)
                return -EBADMSG;
        if (m->length > EXEC_STRINGS_SIZE_MAX || size != sizeof(InitExec) + (in_fd ? 0 : m->length))
                return -EBADMSG;

        return 0;
}

static int check_exec(const void *message, size_t size, size_t n_fds) {
        const InitExec *m = message;
        int r;

        r = check_exec_layout(m, size, n_fds);
        if (r < 0)
                return r;

        if (!field_is_string(m->command, sizeof(m->command)) || !field_is_string(m->cgroup, sizeof(m->cgroup)))
                return -EBADMSG;

        /* setresuid() takes -1 for "stay what you are", which is root. */
        if (m->uid > ID_MAX || m->gid > ID_MAX)
                return -EINVAL;

        /* The master of a PTY is the one descriptor that is kept. */
        if (m->flags & INIT_EXEC_PTY && (m->n_keep != 0 || m->rows > UINT16_MAX || m->columns > UINT16_MAX))
                return -EINVAL;

        return 0;
}

static int check_signal(const void *message, size_t size, size_t n_fds) {
        const InitSignal *m = message;

        if (size != sizeof(InitSignal) || n_fds != 0 || m->target > INIT_SIGNAL_PROCESS)
                return -EBADMSG;
        if (m->signal < 0 || m->signal > SIGNAL_MAX)
                return -EINVAL;

        /* 0, -1 and below are groups to kill(), 1 is init. */
        if (m->target == INIT_SIGNAL_PROCESS)
                return m->pid > 1 ? 0 : -EINVAL;

        return field_is_string(m->command, sizeof(m->command)) ? 0 : -EBADMSG;
}

static int check_name(const void *message, size_t size, size_t n_fds) {
        const InitCommandName *m = message;

        if (size != sizeof(InitCommandName) || n_fds != 0)
                return -EBADMSG;

        return field_is_string(m->command, sizeof(m->command)) ? 0 : -EBADMSG;
}

static const struct RequestKind {
        uint32_t operation;
        uint32_t phases;
        size_t size_min; /* what check may read */
        int (*check)(const void *message, size_t size, size_t n_fds);
} kinds[] = {
        { INIT_GO,               ON(INIT_PHASE_FRESH),  sizeof(InitHeader),      check_bare   },
        { INIT_ENTER_CGROUP,     ON(INIT_PHASE_PARKED), sizeof(InitHeader),      check_one_fd },
        { INIT_ROOT,             ON(INIT_PHASE_PARKED), sizeof(InitRoot),        check_root   },
        { INIT_EXEC,             ON(INIT_PHASE_LIVE),   sizeof(InitExec),        check_exec   },
        { INIT_SIGNAL,           ON(INIT_PHASE_LIVE),   sizeof(InitSignal),      check_signal },
        { INIT_TAKE,             ON(INIT_PHASE_LIVE),   sizeof(InitCommandName), check_name   },
        { INIT_PING,             ON_ANY,                sizeof(InitHeader),      check_bare   },
        { INIT_ACKNOWLEDGE,      ON(INIT_PHASE_LIVE),   sizeof(InitCommandName), check_name   },
};

int request_check(const void *message, size_t size, size_t n_fds, InitPhase phase) {
        const InitHeader *header = message;

        if (size < sizeof(InitHeader))
                return -EBADMSG;

        for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
                if (kinds[i].operation != header->operation)
                        continue;
                if (size < kinds[i].size_min)
                        return -EBADMSG;
                if (!(kinds[i].phases & ON(phase)))
                        return -EPROTO;

                return kinds[i].check(message, size, n_fds);
        }

        return -EOPNOTSUPP;
}

/* The string at *position, which moves behind its NUL; NULL if none ends within size bytes. */
static const char *next_string(const char *strings, size_t size, size_t *position) {
        for (size_t i = *position; i < size; i++)
                if (strings[i] == 0) {
                        const char *s = strings + *position;

                        *position = i + 1;
                        return s;
                }

        return NULL;
}

static const char *value_of_path(const char *entry) {
        static const char key[] = "PATH=";

        for (size_t i = 0; i < sizeof(key) - 1; i++)
                if (entry[i] != key[i])
                        return NULL;

        return entry + sizeof(key) - 1;
}

int exec_strings_parse(const char *strings, size_t size, uint32_t argc, uint32_t envc, ExecStrings *ret) {
        const char **out = ret->pointers;
        size_t position = 0;

        if (argc < 1 || argc > INIT_STRINGS_MAX || envc > INIT_STRINGS_MAX - argc)
                return -EBADMSG;

        ret->cwd = next_string(strings, size, &position);
        if (!ret->cwd)
                return -EBADMSG;

        ret->path = NULL;
        ret->argv = out;
        ret->envp = out + argc + 1;
        for (uint32_t i = 0; i < argc + envc; i++) {
                if (i == argc)
                        *out++ = NULL;

                *out = next_string(strings, size, &position);
                if (!*out)
                        return -EBADMSG;
                if (i >= argc && !ret->path)
                        ret->path = value_of_path(*out);
                out++;
        }
        if (envc == 0)
                *out++ = NULL;
        *out = NULL;

        if (position != size || ret->argv[0][0] == 0)
                return -EBADMSG;
        if (ret->cwd[0] != 0 && ret->cwd[0] != '/')
                return -EINVAL;
        if (!ret->path)
                ret->path = EXEC_PATH_DEFAULT;

        return 0;
}

/* Joins what ends before the colon and the name; false if that does not fit. */
static bool join_path(const char *directory, size_t length, const char *name, char *buffer) {
        size_t n = 0;

        if (length >= EXEC_PATH_MAX - 1)
                return false;

        for (; n < length; n++)
                buffer[n] = directory[n];
        if (length > 0)
                buffer[n++] = '/';
        for (; *name; name++) {
                if (n == EXEC_PATH_MAX - 1)
                        return false;
                buffer[n++] = *name;
        }

        buffer[n] = 0;
        return true;
}

int exec_path_next(const char **path, const char *name, char buffer[static EXEC_PATH_MAX]) {
        while (*path) {
                const char *directory = *path;
                size_t length = 0;

                while (directory[length] && directory[length] != ':')
                        length++;
                *path = directory[length] ? directory + length + 1 : NULL;

                if (join_path(directory, length, name, buffer))
                        return 1;
        }

        return 0;
}
