/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a seccomp program as the kernel would. */
#pragma once

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdint.h>

/* What it returns.  The test fails if it does not end. */
uint32_t bpf_run(const struct sock_filter *code, unsigned len,
		 const struct seccomp_data *data);
