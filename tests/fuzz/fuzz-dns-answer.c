/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox-dns/message.h"
#include "tests/fuzz/fuzz.h"

/* What a name server sends to the question for the address of web.test: nothing is opened for longer than it may be, and
 * what is passed on says so, too. */

#define SEC_MAX 600U

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const uint8_t question[] = "\x12\x34\x01\x00\0\1\0\0\0\0\0\0\3web\4test\0\0\1\0\1";
        uint8_t *copy = malloc(size + 1);
        DnsAnswer answer, again;
        DnsQuery q;

        if (!copy || dns_query_parse(question, sizeof question - 1, &q) < 0)
                abort();
        if (size > 0)
                memcpy(copy, data, size);
        if (dns_answer_read(copy, size, &q, 0xabcd, SEC_MAX, &answer) >= 0) {
                if (copy[0] != 0x12 || copy[1] != 0x34 || answer.n_addresses > DNS_ADDRESSES_MAX)
                        abort();
                for (size_t i = 0; i < answer.n_addresses; i++)
                        if (answer.addresses[i].sec > SEC_MAX)
                                abort();
                if (dns_answer_read(copy, size, &q, 0x1234, SEC_MAX, &again) < 0 || again.n_addresses != answer.n_addresses)
                        abort();
        }
        free(copy);
        return 0;
}
