/* SPDX-License-Identifier: Apache-2.0 */
/* Where the host has its cgroups. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/*
 * Find in @mounts, the text of /proc/mounts, the folder of the hierarchy that
 * has
 * @controller (@controller_len bytes of it): with @version 2 it is the first
 * cgroup2 mount, whatever the controller.  False if there is none, or if its
 * name does not fit @size bytes.
 */
bool cgroup_find_mount(const char *mounts, unsigned version,
		       const char *controller, size_t controller_len, char *dir,
		       size_t size);

/* Is @word (@len bytes of it) one of the words of @list, between @separators?
 */
bool cgroup_lists(const char *list, const char *separators, const char *word,
		  size_t len);
