/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Both ends of vsock: a guest in the slot of a scripted driver, and programs
 * of the host.
 */
#pragma once

#include <linux/virtio_vsock.h>

#include "devices/virtio/vsock/vsock.h"
#include "tests/unit/virtio_driver.h"

enum { SIZE = 64, HEADER = 44, CID = 7, BUFFER = 4096, BULK = 200000 };
enum { FIRST = VSOCK_FIRST_PORT };

extern struct driver d;
extern char uds[64];
extern struct vsock_config config;
extern uint8_t data[BULK], back[BULK];        /* to be sent; what came */
extern uint32_t guest_forwarded, guest_alloc; /* that packets tell */

/* Around each test. */
int begin(void **state);
int end(void **state);
/* Buffers of the guest for packets. */
void offer(unsigned len);
void offer_all(void);
void create(void);
void start(void);
/* The next packet for the guest, if there is one; its data goes to back[] and
 * its buffer is offered again. */
bool packet(struct virtio_vsock_hdr *h);
struct virtio_vsock_hdr expect(uint16_t op, uint32_t host, uint32_t guest);
void expect_nothing(void);
struct virtio_vsock_hdr header_of(uint16_t op, uint32_t host, uint32_t guest);
/* From the guest, with @len bytes. */
void send_header(const struct virtio_vsock_hdr *h, const void *bytes,
		 uint32_t len);
void guest(uint16_t op, uint32_t host, uint32_t guest_port);
void guest_shutdown(uint32_t host, uint32_t guest_port, uint32_t flags);
void guest_data(uint32_t host, uint32_t guest_port, const void *bytes,
		uint32_t len);
/* Programs of the host. */
int host_connects(void);
void host_says(int fd, const char *text);
void assert_host_reads(int fd, const char *text);
bool is_closed(int fd);
int host_listens(uint32_t port, char *path, size_t size);
/* From the host to port 52, the @n-th of a test. */
int open_stream(unsigned n);
const struct vsock_metrics *metrics(void);
