/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest RAM that somebody else fills, page by page, as it is touched:
 * Firecracker's protocol for userfaultfd(2), to the byte.
 *
 * We connect to a Unix stream socket and send one message: a JSON array of
 * where each region of RAM is in our memory and in theirs, and with it the
 * userfaultfd.  Nothing comes back.  They answer missing pages, and are told
 * of pages that are given back to the host.
 *
 * Documentation/admin-guide/mm/userfaultfd.rst
 */
#pragma once

struct err;
struct guest_mem;

struct uffd {
	int fd;     /* -1: none */
	int socket; /* stays open: they see by it that we live */
};

/*
 * Register all of @mem, which is fresh, and hand it to who listens at @path.
 * On failure nothing is left.
 */
int uffd_serve(struct uffd *u, const struct guest_mem *mem, const char *path,
	       struct err *e);
/* After guest RAM is gone; fine if it has never been served. */
void uffd_close(struct uffd *u);
