/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>

#include "libsandbox/address.h"
#include "sandbox-execd/manager.h"
#include "sandbox-execd/sandbox-steps.h"

/* The properties of a scope. A blank gets the defaults; Create() and SetLimits() change what differs. An administrator's
 * drop-ins for sandbox-.scope and the slices win over all of it.
 *
 * DevicePolicy= is sandbox.slice's: the kernel asks the programs of all cgroups above, too, and to compile and load one a
 * scope takes systemd a quarter of the time of starting it. Rules for addresses are not inherited so, systemd joins those
 * of the slices into each scope's own. */

static int append_io_limit(sd_bus_message *m, const char *name, uint64_t value) {
        return value == 0 ? 0 : sd_bus_message_append(m, "(sv)", name, "a(st)", 1, STORE_PATH, value);
}

/* Zero leaves a limit as it is. There is no MemoryHigh=: without swap nothing could be freed at it, so the kernel would
 * only put commands to sleep, those of a limit of 512M for 35 s, of 4G for minutes, before it ends them. */
int scope_append_limits(sd_bus_message *m, const ScopeLimits *l) {
        int r = 0;

        if (l->memory_max_bytes > 0)
                r = sd_bus_message_append(m, "(sv)(sv)",
                                          "MemoryMax", "t", l->memory_max_bytes,
                                          "MemorySwapMax", "t", UINT64_C(0));
        if (r >= 0 && l->pids_max > 0)
                r = sd_bus_message_append(m, "(sv)", "TasksMax", "t", l->pids_max);
        if (r >= 0 && l->cpu_quota_usec > 0)
                r = sd_bus_message_append(m, "(sv)", "CPUQuotaPerSecUSec", "t", l->cpu_quota_usec);
        if (r >= 0)
                r = append_io_limit(m, "IOReadBandwidthMax", l->io_read_bps);
        if (r >= 0)
                r = append_io_limit(m, "IOWriteBandwidthMax", l->io_write_bps);
        return r;
}

/* No network but the sandbox's own loopback: its namespace has nothing else, this is the second line. */
static int append_loopback_only(sd_bus_message *m) {
        int r;

        r = sd_bus_message_append(m, "(sv)", "IPAddressDeny", "a(iayu)", 2,
                                  AF_INET, 4, 0, 0, 0, 0, 0,
                                  AF_INET6, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
        if (r < 0)
                return r;
        return sd_bus_message_append(m, "(sv)", "IPAddressAllow", "a(iayu)", 2,
                                     AF_INET, 4, 127, 0, 0, 0, 8,
                                     AF_INET6, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 128);
}

static int append_prefix(sd_bus_message *m, Prefix p) {
        uint32_t address = htonl(p.address);
        int r;

        r = sd_bus_message_open_container(m, 'r', "iayu");
        if (r >= 0)
                r = sd_bus_message_append(m, "i", AF_INET);
        if (r >= 0)
                r = sd_bus_message_append_array(m, 'y', &address, sizeof address);
        if (r >= 0)
                r = sd_bus_message_append(m, "u", (uint32_t) p.bits);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_allowed(sd_bus_message *m, const Settings *s) {
        _cleanup_free_ Prefix *allowed = NULL;
        Prefix range, private;
        size_t n = 0;
        int r;

        if (prefixes_parse(s->network_allow ?: "", &allowed, &n, NULL) < 0)
                n = 0; /* netd says so, loudly */
        r = sd_bus_message_append(m, "(iayu)(iayu)", AF_INET, 4, 127, 0, 0, 0, 8,
                                  AF_INET6, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 128);
        if (r >= 0 && prefix_parse(s->network_range, &range) >= 0)
                r = append_prefix(m, (Prefix) { range_gateway(&range), 32 });
        if (r >= 0 && prefix_parse(s->network_private, &private) >= 0)
                r = append_prefix(m, private);
        for (size_t i = 0; r >= 0 && i < n; i++)
                r = append_prefix(m, allowed[i]);
        return r;
}

static int append_guarded(sd_bus_message *m, const Settings *s) {
        int r;

        (void) s;
        r = sd_bus_message_append(m, "(iayu)", AF_INET6, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
        for (size_t i = 0; r >= 0 && i < n_guarded_prefixes; i++)
                r = append_prefix(m, guarded_prefixes[i]);
        return r;
}

static int append_list(sd_bus_message *m, const char *name, const Settings *s,
                       int (*append)(sd_bus_message *m, const Settings *s)) {
        int r;

        r = sd_bus_message_open_container(m, 'r', "sv");
        if (r >= 0)
                r = sd_bus_message_append(m, "s", name);
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'v', "a(iayu)");
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "(iayu)");
        if (r >= 0)
                r = append(m, s);
        for (unsigned i = 0; r >= 0 && i < 3; i++)
                r = sd_bus_message_close_container(m);
        return r;
}

/* With a network: what sandbox-netd's rules guard is closed here, too, should somebody take those away. An empty list
 * comes before what it replaces; two empty ones alone would leave a running scope's filter in force (systemd 252). */
int scope_append_network(sd_bus_message *m, const Settings *settings) {
        int r;

        r = sd_bus_message_append(m, "(sv)(sv)", "IPAddressDeny", "a(iayu)", 0, "IPAddressAllow", "a(iayu)", 0);
        if (r >= 0)
                r = append_list(m, "IPAddressDeny", settings, append_guarded);
        return r < 0 ? r : append_list(m, "IPAddressAllow", settings, append_allowed);
}

int scope_append_properties(sd_bus_message *m, void *userdata) {
        const Sandbox *s = userdata;
        const Settings *settings = &s->manager->settings;
        ScopeLimits limits = { .memory_max_bytes = settings->default_memory_mib * MiB,
                               .cpu_quota_usec = (uint64_t) (settings->default_cpu * USEC_PER_SEC),
                               .pids_max = settings->pids_max };
        char slice[64];
        int r;

        snprintf(slice, sizeof slice, "sandbox-%u.slice", s->record.slice);
        r = sd_bus_message_append(m, "(sv)(sv)(sv)(sv)(sv)(sv)",
                                  "Description", "s", "Sandbox",
                                  "PIDs", "au", 1, (uint32_t) s->pid,
                                  "Slice", "s", slice,
                                  "CollectMode", "s", "inactive-or-failed",
                                  "DefaultDependencies", "b", 0,
                                  "Delegate", "b", 1);
        /* The init of a pid namespace ignores SIGTERM: stopping would wait for the timeout. */
        if (r >= 0)
                r = sd_bus_message_append(m, "(sv)(sv)",
                                          "KillMode", "s", "control-group",
                                          "KillSignal", "i", SIGKILL);
        if (r >= 0)
                r = scope_append_limits(m, &limits);
        if (r >= 0)
                r = append_loopback_only(m);
        if (r >= 0 && settings->runtime_max_sec > 0)
                r = sd_bus_message_append(m, "(sv)", "RuntimeMaxUSec", "t", settings->runtime_max_sec * USEC_PER_SEC);
        return r;
}
