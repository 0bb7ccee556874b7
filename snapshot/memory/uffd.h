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
 * A thread that touches a missing page sleeps until they answer.  Signals wake
 * a thread that does so in user mode, not one inside KVM_RUN.  We keep the
 * descriptor: closing the last one would give those threads pages of zeroes.
 *
 * Documentation/admin-guide/mm/userfaultfd.rst
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

struct err;
struct guest_mem;

struct uffd {
	int fd;     /* -1: none */
	int socket; /* stays open: they see by it that we live */
	pid_t pid;  /* of who listened; 0: it is not known here */
};

/*
 * Connect to who listens at @path, without waiting: the socket, or -1.  *busy
 * is set if there are too many who were not accepted yet: worth another try.
 */
int uffd_connect(const char *path, bool *busy, struct err *e);

/*
 * Register all of @mem, which is fresh, and hand it to who is connected to
 * @socket, which is taken over.  On failure nothing is left.
 */
int uffd_serve(struct uffd *u, const struct guest_mem *mem, int socket,
	       struct err *e);

/* Do they have questions that they have not read yet? */
bool uffd_is_unread(const struct uffd *u);
/* Has the process ended that listened, as far as is known? */
bool uffd_server_has_ended(const struct uffd *u);
/* Who waits for a page asks for it again: the first question may have been read
 * by a server that died over it. */
void uffd_ask_again(const struct uffd *u, const struct guest_mem *mem);

/*
 * Nobody waits for pages any more: who does gets one of zeroes.  Only for the
 * end, when no vCPU can enter the guest again.
 */
void uffd_release(const struct uffd *u, const struct guest_mem *mem);
/* After guest RAM is gone; fine if it has never been served. */
void uffd_close(struct uffd *u);
