/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandboxd/terminal-session.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <string.h>
#include <systemd/sd-id128.h>

#include "libsandbox/string-util.h"
#include "sandboxd/manager.h"

static const char *const directions[_TERMINAL_DIRECTION_MAX] = {
        [TERMINAL_WRITE] = "write",
        [TERMINAL_READ] = "read",
};

const char *terminal_direction_to_string(TerminalDirection d) {
        return d >= 0 && d < _TERMINAL_DIRECTION_MAX ? directions[d] : NULL;
}

TerminalDirection terminal_direction_from_string(const char *s) {
        for (int d = 0; d < _TERMINAL_DIRECTION_MAX; d++)
                if (streq_ptr(s, directions[d]))
                        return (TerminalDirection) d;
        return _TERMINAL_DIRECTION_INVALID;
}

static void hash_key(const char *key, char ret[static 65]) {
        static const char digits[] = "0123456789abcdef";
        unsigned char hash[SHA256_DIGEST_LENGTH];

        SHA256((const unsigned char *) key, strlen(key), hash);
        for (size_t i = 0; i < sizeof hash; i++) {
                ret[2 * i] = digits[hash[i] >> 4];
                ret[2 * i + 1] = digits[hash[i] & 0xf];
        }
        ret[64] = 0;
}

static int random_uuid(char ret[static TERMINAL_CHANNEL_MAX]) {
        sd_id128_t id;
        int r = sd_id128_randomize(&id);

        if (r >= 0)
                (void) sd_id128_to_uuid_string(id, ret);
        return r;
}

TerminalSession *terminal_session_free(TerminalSession *s) {
        if (s) {
                free(s->shell);
                free(s);
        }
        return NULL;
}

int terminal_session_new(const char *shell, char ret_keys[_TERMINAL_DIRECTION_MAX][TERMINAL_CHANNEL_MAX],
                         TerminalSession **ret) {
        _cleanup_(terminal_session_freep) TerminalSession *s = new0(TerminalSession, 1);
        int r = 0;

        if (!s)
                return -ENOMEM;
        s->shell = strdup(shell);
        if (!s->shell)
                return -ENOMEM;
        for (int d = 0; r >= 0 && d < _TERMINAL_DIRECTION_MAX; d++) {
                r = random_uuid(s->channels[d].id);
                if (r >= 0)
                        r = random_uuid(ret_keys[d]);
                if (r >= 0)
                        hash_key(ret_keys[d], s->channels[d].key_hash);
        }
        if (r < 0)
                return r;
        *ret = TAKE_PTR(s);
        return 0;
}

int terminal_session_renew(TerminalSession *s, char ret_keys[_TERMINAL_DIRECTION_MAX][TERMINAL_CHANNEL_MAX]) {
        int r = 0;

        for (int d = 0; r >= 0 && d < _TERMINAL_DIRECTION_MAX; d++) {
                ret_keys[d][0] = 0;
                if (s->channels[d].state != TERMINAL_CHANNEL_UNTAKEN)
                        continue;
                r = random_uuid(ret_keys[d]);
                if (r >= 0)
                        hash_key(ret_keys[d], s->channels[d].key_hash);
        }
        return r < 0 ? r : 0;
}

json_t *terminal_session_to_json(const TerminalSession *s) {
        json_t *channels = json_array();

        for (int d = 0; d < _TERMINAL_DIRECTION_MAX; d++)
                (void) json_array_append_new(channels, json_pack("{s:s, s:s, s:i}", "id", s->channels[d].id, "hash",
                                                                 s->channels[d].key_hash, "state",
                                                                 (int) s->channels[d].state));
        return json_pack("{s:s, s:o}", "shell", s->shell, "channels", channels);
}

static int read_channel(json_t *record, TerminalChannel *ret) {
        const char *id, *hash;
        int state;

        if (json_unpack(record, "{s:s, s:s, s:i}", "id", &id, "hash", &hash, "state", &state) < 0 ||
            strlen(id) >= sizeof ret->id || strlen(hash) != sizeof ret->key_hash - 1 || state < 0 ||
            state >= _TERMINAL_CHANNEL_STATE_MAX)
                return -EBADMSG;
        *ret = (TerminalChannel) { .state = (TerminalChannelState) state };
        strcpy(ret->id, id);
        strcpy(ret->key_hash, hash);
        return 0;
}

int terminal_session_from_json(json_t *record, TerminalSession **ret) {
        _cleanup_(terminal_session_freep) TerminalSession *s = new0(TerminalSession, 1);
        const char *shell = json_string_value(json_object_get(record, "shell"));
        int r = shell ? 0 : -EBADMSG;

        if (!s)
                return -ENOMEM;
        for (int d = 0; r >= 0 && d < _TERMINAL_DIRECTION_MAX; d++)
                r = read_channel(json_array_get(json_object_get(record, "channels"), (size_t) d), s->channels + d);
        if (r < 0)
                return r;
        s->shell = strdup(shell);
        if (!s->shell)
                return -ENOMEM;
        *ret = TAKE_PTR(s);
        return 0;
}

/* The id may be looked up as it likes, the key takes the same time whatever it is. */
static bool is_good(const Command *c, const TerminalChannel *channel, const char *key, uint64_t now_msec) {
        char hash[65];

        hash_key(key, hash);
        if (CRYPTO_memcmp(hash, channel->key_hash, sizeof hash) != 0)
                return false;
        return channel->state != TERMINAL_CHANNEL_UNTAKEN || now_msec < c->started_msec + TERMINAL_CHANNEL_AGE_MSEC;
}

int terminal_session_find(Manager *m, const char *channel, const char *key, TerminalDirection direction,
                          uint64_t now_msec, Command **ret) {
        Command *c;

        assert(direction >= 0 && direction < _TERMINAL_DIRECTION_MAX);

        HASHMAP_FOREACH(c, m->commands) {
                const TerminalSession *s = c->kind == COMMAND_TERMINAL ? terminal_get_session(c) : NULL;

                if (!s || c->forgotten || !streq(s->channels[direction].id, channel))
                        continue;
                if (!is_good(c, s->channels + direction, key, now_msec))
                        break;
                *ret = c;
                return 0;
        }
        return -ENOENT;
}
