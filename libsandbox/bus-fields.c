/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>

#include "libsandbox/bus-errors.h"
#include "libsandbox/bus-util.h"
#include "libsandbox/string-util.h"

/* Dictionaries grow: a row of a table is all that a new key takes on either side. They are read strictly all the same,
 * because daemons of one release talk to each other and to nobody else: an unknown key is a mistake, not a newer
 * client. */

static const char *const field_signatures[] = {
        [BUS_FIELD_U32] = "u",
        [BUS_FIELD_U64] = "t",
        [BUS_FIELD_BOOL] = "b",
        [BUS_FIELD_STRING] = "s",
        [BUS_FIELD_STRV] = "as",
};

static int append_value(sd_bus_message *m, const BusField *f, const void *value) {
        switch (f->type) {
        case BUS_FIELD_BOOL:
                return sd_bus_message_append(m, "b", (int) *(const bool *) value);
        case BUS_FIELD_U32:
        case BUS_FIELD_U64:
                return sd_bus_message_append_basic(m, field_signatures[f->type][0], value);
        case BUS_FIELD_STRING:
                return sd_bus_message_append_basic(m, 's', *(char *const *) value);
        case BUS_FIELD_STRV:
                return sd_bus_message_append_strv(m, *(char **const *) value);
        }
        return -EINVAL;
}

int bus_fields_append(sd_bus_message *m, const BusField *fields, size_t n_fields, const void *source) {
        int r;

        r = sd_bus_message_open_container(m, 'a', "{sv}");
        for (size_t i = 0; r >= 0 && i < n_fields; i++) {
                const void *value = (const char *) source + fields[i].offset;
                bool pointer = fields[i].type == BUS_FIELD_STRING || fields[i].type == BUS_FIELD_STRV;

                if (pointer && !*(void *const *) value)
                        continue; /* unset stays unset */

                r = sd_bus_message_open_container(m, 'e', "sv");
                if (r >= 0)
                        r = sd_bus_message_append_basic(m, 's', fields[i].name);
                if (r >= 0)
                        r = sd_bus_message_open_container(m, 'v', field_signatures[fields[i].type]);
                if (r >= 0)
                        r = append_value(m, fields + i, value);
                if (r >= 0)
                        r = sd_bus_message_close_container(m);
                if (r >= 0)
                        r = sd_bus_message_close_container(m);
        }
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int read_value(sd_bus_message *m, const BusField *f, void *value) {
        const char *text;
        char **strv = NULL;
        int r, flag;

        switch (f->type) {
        case BUS_FIELD_BOOL:
                r = sd_bus_message_read_basic(m, 'b', &flag);
                if (r >= 0)
                        *(bool *) value = flag;
                return r;
        case BUS_FIELD_U32:
        case BUS_FIELD_U64:
                return sd_bus_message_read_basic(m, field_signatures[f->type][0], value);
        case BUS_FIELD_STRING:
                r = sd_bus_message_read_basic(m, 's', &text);
                return r < 0 ? r : free_and_strdup(value, text);
        case BUS_FIELD_STRV:
                r = sd_bus_message_read_strv(m, &strv);
                if (r < 0)
                        return r;
                strv_free(*(char ***) value);
                *(char ***) value = strv;
                return 0;
        }
        return -EINVAL;
}

static int read_entry(sd_bus_message *m, const BusField *fields, size_t n_fields, void *target, sd_bus_error *error) {
        const char *name;
        int r;

        r = sd_bus_message_read_basic(m, 's', &name);
        if (r < 0)
                return r;

        for (size_t i = 0; i < n_fields; i++) {
                if (!streq(fields[i].name, name))
                        continue;
                r = sd_bus_message_enter_container(m, 'v', field_signatures[fields[i].type]);
                if (r == -ENXIO)
                        return bus_error_set(error, BUS_ERROR_INVALID, "Field '%s' has the wrong type.", name);
                if (r < 0)
                        return r;
                r = read_value(m, fields + i, (char *) target + fields[i].offset);
                return r < 0 ? r : sd_bus_message_exit_container(m);
        }
        return bus_error_set(error, BUS_ERROR_INVALID, "Unknown field '%s'.", name);
}

int bus_fields_read(sd_bus_message *m, const BusField *fields, size_t n_fields, void *target, sd_bus_error *error) {
        int r;

        r = sd_bus_message_enter_container(m, 'a', "{sv}");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
                r = read_entry(m, fields, n_fields, target, error);
                if (r < 0)
                        return r;
                r = sd_bus_message_exit_container(m);
                if (r < 0)
                        return r;
        }
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

void bus_fields_done(const BusField *fields, size_t n_fields, void *target) {
        for (size_t i = 0; i < n_fields; i++) {
                void **value = (void **) ((char *) target + fields[i].offset);

                if (fields[i].type == BUS_FIELD_STRING)
                        *value = mfree(*value);
                else if (fields[i].type == BUS_FIELD_STRV)
                        *value = strv_free(*value);
        }
}
