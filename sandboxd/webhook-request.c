/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>

#include "libsandbox/string-util.h"
#include "sandboxd/webhook-internal.h"

/* What a receiver gets: the event as the API shows it, and headers that tell him which one, whether he had it before
 * and that it comes from us. The time is signed along, so that nobody who has overheard a request can send it again
 * later. */

static void to_hex(const unsigned char *bytes, size_t n, char *ret) {
        for (size_t i = 0; i < n; i++)
                (void) snprintf(ret + 2 * i, 3, "%02x", bytes[i]);
}

int webhook_sign(const char *secret, uint64_t now_sec, const char *body, char ret[65]) {
        _cleanup_free_ char *text = NULL;
        unsigned char digest[EVP_MAX_MD_SIZE];
        unsigned n = 0;
        int length;

        length = asprintf(&text, "%" PRIu64 ".%s", now_sec, body);
        if (length < 0) {
                text = NULL;
                return -ENOMEM;
        }
        if (!HMAC(EVP_sha256(), secret, (int) strlen(secret), (const unsigned char *) text, (size_t) length, digest,
                  &n) || n != 32)
                return -EIO;
        to_hex(digest, n, ret);
        return 0;
}

int webhook_delivery_id(const char *webhook, const char *event, char ret[40]) {
        unsigned char digest[EVP_MAX_MD_SIZE];
        char text[128], hex[25];
        unsigned n = 0;
        int length;

        length = snprintf(text, sizeof text, "%s %s", webhook, event);
        if (length < 0 || (size_t) length >= sizeof text ||
            EVP_Digest(text, (size_t) length, digest, &n, EVP_sha256(), NULL) != 1 || n < 12)
                return -EIO;
        to_hex(digest, 12, hex);
        (void) snprintf(ret, 40, "dlv_%s", hex);
        return 0;
}

void webhook_request_done(WebhookRequest *r) {
        free(r->body);
        strv_free(r->headers);
        *r = (WebhookRequest) {};
}

static int add_header(WebhookRequest *r, const char *name, const char *value) {
        int k = strv_extend(&r->headers, name);

        return k < 0 ? k : strv_extend(&r->headers, value);
}

static int add_signature(WebhookRequest *r, const char *secret, uint64_t now_sec) {
        char digest[65], text[128];
        int k;

        k = webhook_sign(secret, now_sec, r->body, digest);
        if (k < 0)
                return k;
        (void) snprintf(text, sizeof text, "t=%" PRIu64 ",v1=%s", now_sec, digest);
        return add_header(r, "X-Sandbox-Signature", text);
}

static char *body_of(const Event *event) {
        _cleanup_(json_decrefp) json_t *object = event_to_json(event);

        return object ? json_dumps(object, JSON_COMPACT) : NULL;
}

int webhook_request_make(const Webhook *h, const Event *event, const char *delivery, unsigned attempt, uint64_t now_sec,
                         WebhookRequest *ret) {
        _cleanup_(webhook_request_done) WebhookRequest request = { .body = body_of(event) };
        char number[16];
        int r;

        if (!request.body)
                return -ENOMEM;
        (void) snprintf(number, sizeof number, "%u", attempt);
        r = add_header(&request, "Content-Type", "application/json");
        if (r >= 0)
                r = add_header(&request, "User-Agent", "sandboxd/" PACKAGE_VERSION);
        if (r >= 0)
                r = add_header(&request, "X-Sandbox-Webhook", h->id);
        if (r >= 0)
                r = add_header(&request, "X-Sandbox-Event", event->id);
        if (r >= 0)
                r = add_header(&request, "X-Sandbox-Topic", event->topic);
        if (r >= 0)
                r = add_header(&request, "X-Sandbox-Delivery", delivery);
        if (r >= 0)
                r = add_header(&request, "X-Sandbox-Attempt", number);
        if (r >= 0)
                r = add_signature(&request, h->secret, now_sec);
        if (r < 0)
                return r;
        *ret = request;
        request = (WebhookRequest) {};
        return 0;
}
