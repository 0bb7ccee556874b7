/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A network interface in the slot of a scripted driver, with a socket of
 * packets in place of the tap.
 */
#pragma once

#include <linux/virtio_net.h>

#include "devices/virtio/net/net.h"
#include "tests/unit/virtio_driver.h"

enum { SIZE = 16, BIG = 70000, NET_HEADER = 12 };

/* Linux 6.2 */
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

#define BIT(n) (1ull << (n))
#define MRG    BIT(VIRTIO_NET_F_MRG_RXBUF)

extern struct driver d;
extern struct net_config config;
extern int host;                      /* the other end of the tap */
extern uint8_t frame[BIG], back[BIG]; /* to be sent; what came */

/* Around each test. */
int begin(void **state);
int end(void **state);
/* With what is in config. */
void create(void);
/* With these features; with all. */
void start(uint64_t features);
void start_all(void);
const struct net_metrics *metrics(void);
/* At the beginning of frame[]. */
struct virtio_net_hdr_v1 *header(void);
/* @len bytes of frame[] from the guest, in up to three buffers. */
void transmit_in(unsigned len, unsigned first, unsigned second);
/* At once, and taken care of. */
void transmit(unsigned len);
/* What the host got: its length, or -1. */
ssize_t host_got(void);
void assert_sent(unsigned len);
/* A frame with the header as it is. */
void assert_refused(void);
void host_sends(unsigned len);
/* A buffer of the guest for a frame. */
gpa_t offer(uint32_t len);
void kick_rx(void);
/* How much is in the next buffer. */
uint32_t received(void);
void assert_none_received(void);
uint16_t num_buffers(gpa_t at);
