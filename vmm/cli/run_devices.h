/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The devices of `stasis run`: each function reads the value of one option and
 * adds what it says to @config.  What cannot be used is refused.
 */
#pragma once

struct err;
struct vm_config;

/* "FILE[,HOW]..." */
int run_add_disk(struct vm_config *config, const char *value, struct err *e);
/* "TAP[,HOW]..." */
int run_add_net(struct vm_config *config, const char *value, struct err *e);
/* "CID,PATH" */
int run_add_vsock(struct vm_config *config, const char *value, struct err *e);
/* "MIB[,HOW]..."; whether RAM has that much is known later. */
int run_add_balloon(struct vm_config *config, const char *value, struct err *e);
