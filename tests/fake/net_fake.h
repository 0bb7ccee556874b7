/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Network interfaces on no tap, with no vhost-net.  What vm/ calls is this, if
 * linked with the configuration net_wrapped.
 */
#pragma once

/* How often net_use_vhost() was called; it does nothing, and succeeds unless
 * the other is set. */
extern unsigned net_fake_vhosts;
extern int net_fake_no_vhost;

/* The other end of the last tap that was opened: -1 if it is closed at once,
 * which is so unless it was set to another number. */
extern int net_fake_host;
