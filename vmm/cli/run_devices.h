/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device options of `stasis run`: each function parses the value of one
 * option and adds the device to @config.  -1 and @e if the value is not valid.
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
/* "MIB[,HOW]..."; MIB is compared with the size of RAM later. */
int run_add_balloon(struct vm_config *config, const char *value, struct err *e);
