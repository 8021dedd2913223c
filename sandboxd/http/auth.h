/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "libsandbox/settings.h"

/* The tokens that admit a request. Only their sha256 sums stay in memory; every check compares against all of them in
 * constant time, so that a wrong token takes as long as a right one. */

typedef struct Auth Auth;

typedef enum AuthResult {
        AUTH_OK,
        AUTH_MISSING,
        AUTH_WRONG,
        AUTH_LIMITED,           /* wrong or missing, too often from this address */
} AuthResult;

/* Tokens from III_AUTH_TOKEN (also an empty one), API_KEY and credentials/tokens, one a line: "token [label]". Lines
 * that begin with '#' are comments. credentials: a directory, usually $CREDENTIALS_DIRECTORY, or NULL. */
int auth_new(const Settings *settings, const char *credentials, Auth **ret);
/* For a request that was admitted: the label of its token outlives a reload that takes the token away. */
Auth *auth_ref(Auth *a);
Auth *auth_free(Auth *a);
DEFINE_CLEANUP(Auth *, auth_free)

bool auth_is_enabled(const Auth *a);
/* header: the value of Authorization, NULL when absent. peer: address for the limit of failures. On AUTH_OK
 * *ret_label is the token's label, owned by a. */
AuthResult auth_check(Auth *a, const char *header, const char *peer, const char **ret_label);
