/* SPDX-License-Identifier: Apache-2.0 */
/* --netns */
#pragma once

struct err;

/* Open the network namespace at @path; nothing else is accepted.  Or -1. */
int netns_open(const char *path, struct err *e);
int netns_join(int fd, struct err *e);
