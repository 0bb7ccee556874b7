/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest RAM that a page server fills page by page as it is touched, by
 * Firecracker's protocol for userfaultfd(2), byte for byte.
 *
 *	VMM                                        page server
 *	connect ---------------------------------> accept
 *	JSON array of regions + userfaultfd -----> (SCM_RIGHTS; no reply)
 *	thread touches a missing page
 *	  sleeps ... page fault -----------------> read
 *	  wakes  <-------------------------------- UFFDIO_COPY or the like
 *	pages are discarded: remove event -------> they become zero
 *
 * The array says where each region is in the VMM's memory and in the server's
 * file.  A signal wakes a thread that waits for a page in user mode, but not
 * one inside KVM_RUN.  The VMM keeps the userfaultfd open, because closing the
 * last descriptor would give the waiting threads pages of zeroes.
 *
 * Linux, Documentation/admin-guide/mm/userfaultfd.rst.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

struct err;
struct guest_mem;

struct uffd {
	int fd;      /* -1: none */
	int socket;  /* stays open, so that the server sees the VMM live */
	int process; /* pidfd of the server that listened; -1: not known */
};

/*
 * Connect to the page server at @path without blocking.  Returns the socket, or
 * -1.  *busy is set if the server's backlog is full; then try again.
 */
int uffd_connect(const char *path, bool *busy, struct err *e);

/*
 * Register all of a fresh @mem, and hand it to the page server at @socket,
 * which this takes over.  A failure leaves nothing open.
 */
int uffd_serve(struct uffd *u, const struct guest_mem *mem, int socket,
	       struct err *e);

/* Are there page faults that the page server has not read yet? */
bool uffd_is_unread(const struct uffd *u);
/* Has the page server's process ended?  False if that is not known. */
bool uffd_server_has_ended(const struct uffd *u);
/*
 * Make all waiting threads fault again, because a page server that died may
 * have read their first faults.
 */
void uffd_ask_again(const struct uffd *u, const struct guest_mem *mem);

/*
 * Stop serving: threads that wait for a page get zeroes.  Only when the VM
 * ends and no vCPU can enter the guest again.
 */
void uffd_release(const struct uffd *u, const struct guest_mem *mem);
/* Call after guest RAM is unmapped; allowed if it was never served. */
void uffd_close(struct uffd *u);
