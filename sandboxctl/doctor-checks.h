/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "sandboxctl/doctor.h"

/* The functions of the rows in doctor.c that stand elsewhere, and what they share. */

#define DOCTOR_STORE "/var/lib/sandbox"
#define DOCTOR_FILE_MAX (64 * KiB)

void doctor_set(DoctorResult *r, DoctorLevel level, const char *format, ...) _printf_(3, 4);
/* In a child, so that nothing of it stays with us: 0 or a negative errno. */
int doctor_try(int (*probe)(void));
/* Of the unified tree, also where the controllers are in the old ones beside it; NULL: none. */
const char *doctor_cgroup_root(void);
/* A word of a list, not a part of one: "cpu" is not "cpuset". */
bool doctor_has_word(const char *text, const char *word);

/* doctor-host.c: what the kernel and the machine have. */
void doctor_check_bpf(DoctorResult *r);
void doctor_check_clock(DoctorResult *r);
void doctor_check_cpu_bugs(DoctorResult *r);
void doctor_check_favordynmods(DoctorResult *r);
void doctor_check_id_ranges(DoctorResult *r);
void doctor_check_ksm(DoctorResult *r);
void doctor_check_lsm(DoctorResult *r);
void doctor_check_nsdelegate(DoctorResult *r);
void doctor_check_overlay(DoctorResult *r);
void doctor_check_space(DoctorResult *r);
void doctor_check_swap(DoctorResult *r);
void doctor_check_user_namespaces(DoctorResult *r);

/* doctor-network.c: what sandboxes with a network need. */
void doctor_check_forward_policy(DoctorResult *r);
void doctor_check_forwarding(DoctorResult *r);
void doctor_check_network_sockets(DoctorResult *r);
void doctor_check_packet_filter(DoctorResult *r);
void doctor_check_resolver(DoctorResult *r);

/* doctor-units.c: what is set in our units, with all drop-ins. */
void doctor_check_accounts(DoctorResult *r);
void doctor_check_sockets(DoctorResult *r);
void doctor_check_hardening(DoctorResult *r);
void doctor_check_sums(DoctorResult *r);
void doctor_check_tokens(DoctorResult *r);

/* A line "first:base:count" of /etc/subuid in text whose range meets first..end; NULL: none. For tests. */
const char *doctor_find_overlap(const char *text, uint64_t first, uint64_t end, char ret[static 64]);
/* A chain as the kernel tells it: not ours, and what is forwarded ends in it unless a rule says otherwise. *ret: which it
 * is. For tests. */
bool doctor_drops_forwarded(const void *attributes, size_t n, char *ret, size_t size);
/* Whether "Listen=" of a socket unit, as systemctl prints it, names an address that is neither a path nor loopback. */
bool doctor_listens_beyond_loopback(const char *text);
