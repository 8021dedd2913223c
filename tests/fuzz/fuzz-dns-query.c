/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "sandbox-dns/message.h"
#include "tests/fuzz/fuzz.h"

/* What a sandbox sends: what is understood is written so that it is understood the same again, and matches as a list
 * does. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        uint8_t buffer[DNS_QUERY_MAX];
        DnsQuery q, again;
        EgressEntry e;
        size_t n;
        int r;

        r = dns_query_parse(data, size, &q);
        if (r == -EBADMSG)
                return 0;
        n = dns_error_write(&q, DNS_RCODE_REFUSED, buffer);
        if (n > sizeof buffer || buffer[0] != data[0] || buffer[1] != data[1] || !(buffer[2] & 0x80))
                abort();
        if (r < 0)
                return 0;
        n = dns_query_write(&q, 0x1234, buffer);
        if (n > sizeof buffer || dns_query_parse(buffer, n, &again) < 0)
                abort();
        if (strcmp(q.name, again.name) != 0 || q.type != again.type || again.id != 0x1234 || again.payload != q.payload)
                abort();
        if (egress_name_is_valid(q.name) && egress_entry_parse(q.name, &e) >= 0 && e.is_name &&
            !egress_entry_matches(&e, q.name))
                abort();
        return 0;
}
