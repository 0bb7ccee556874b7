/* SPDX-License-Identifier: Apache-2.0 */
/* KVM's PTP clock (ptp_kvm): the host's clock and the guest's of one moment,
 * right under every policy, but nothing tells when to look. */
#pragma once

#include <stdbool.h>

#include "tools/guest/clock-follow/steer.h"

/* Its descriptor, or -1 if there is none. */
int ptp_open(void);
bool ptp_read(int fd, struct reading *now);
