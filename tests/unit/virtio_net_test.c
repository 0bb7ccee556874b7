/* SPDX-License-Identifier: Apache-2.0 */
/* Network, from the guest: devices/virtio/net{,_tx}.c. */
#include <fcntl.h>
#include <linux/virtio_mmio.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/base/util.h"
#include "tests/unit/testing.h"
#include "tests/unit/virtio_net_guest.h"

static const uint8_t mac[NET_MAC_LEN] = {2, 0, 0, 1, 2, 3};

/* ----------------------------------------------------------- configuration */

static void config_space_has_mac_and_mtu_if_given(void **state)
{
	(void)state;
	config.has_mac = true;
	memcpy(config.mac, mac, sizeof(config.mac));
	config.mtu = 9000;
	create();
	assert_true(d.dev->offered & BIT(VIRTIO_NET_F_MAC));
	assert_true(d.dev->offered & BIT(VIRTIO_NET_F_MTU));
	for (unsigned i = 0; i < NET_MAC_LEN; i++)
		assert_int_equal(driver_config(&d, i, 1), mac[i]);
	assert_int_equal(driver_config(&d, 10, 2), 9000);
	assert_int_equal(driver_get(&d, VIRTIO_MMIO_DEVICE_ID), 1);
	assert_int_equal(virtio_queue_count(d.dev), 2);
}

static void nothing_given_is_not_offered(void **state)
{
	const uint64_t always =
		BIT(VIRTIO_NET_F_CSUM) | BIT(VIRTIO_NET_F_GUEST_CSUM) |
		BIT(VIRTIO_NET_F_HOST_TSO4) | BIT(VIRTIO_NET_F_HOST_TSO6) |
		BIT(VIRTIO_NET_F_HOST_UFO) | BIT(VIRTIO_NET_F_GUEST_TSO4) |
		BIT(VIRTIO_NET_F_GUEST_TSO6) | BIT(VIRTIO_NET_F_GUEST_UFO) |
		MRG;

	(void)state;
	create();
	assert_false(d.dev->offered & BIT(VIRTIO_NET_F_MAC));
	assert_false(d.dev->offered & BIT(VIRTIO_NET_F_MTU));
	assert_int_equal(d.dev->offered & always, always);
}

/* ----------------------------------------------------------------- transmit */

static void frame_goes_out_whole(void **state)
{
	(void)state;
	start_all();
	transmit(1514);
	assert_sent(1514);
	assert_int_equal(metrics()->tx_packets_count, 1);
	assert_int_equal(metrics()->tx_bytes_count, 1514);
	assert_int_equal(driver_interrupts(&d), 1);
}

static void frame_may_be_cut_anywhere(void **state)
{
	(void)state;
	start_all();
	for (unsigned first = 1; first < 30; first++) {
		transmit_in(100, first, 5);
		driver_kick(&d, NET_TX);
		driver_run(&d);
		assert_sent(100);
	}
}

static void many_frames_keep_their_order(void **state)
{
	(void)state;
	start_all();
	for (unsigned i = 0; i < SIZE; i++) {
		frame[40] = (uint8_t)i;
		transmit_in(100 + i, 100 + i, 0);
	}
	driver_kick(&d, NET_TX);
	driver_run(&d);
	for (unsigned i = 0; i < SIZE; i++) {
		assert_int_equal(host_got(), 100 + i);
		assert_int_equal(back[40], i);
	}
	assert_int_equal(driver_interrupts(&d), 1);
}

static void lengths_are_bounded(void **state)
{
	static const unsigned wrong[] = {1, 11, 12, 25, 65563, 69000};

	(void)state;
	start_all();
	for (unsigned i = 0; i < ARRAY_SIZE(wrong); i++) {
		transmit(wrong[i]);
		assert_true(driver_used(&d, NET_TX, NULL, NULL));
		assert_int_equal(host_got(), -1);
	}
	assert_int_equal(metrics()->tx_malformed_frames, ARRAY_SIZE(wrong));
	transmit(26);
	assert_sent(26);
	transmit(65562);
	assert_sent(65562);
}

static void writable_buffers_are_no_frame(void **state)
{
	struct driver_buffer two[] = {{DRIVER_DATA, 100, false},
				      {DRIVER_DATA, 100, true}};

	(void)state;
	start_all();
	driver_add(&d, NET_TX, two, 2);
	driver_kick(&d, NET_TX);
	driver_run(&d);
	assert_true(driver_used(&d, NET_TX, NULL, NULL));
	assert_int_equal(host_got(), -1);
	assert_int_equal(metrics()->tx_malformed_frames, 1);
}

static void checksum_must_be_within_the_frame(void **state)
{
	(void)state;
	start_all();
	header()->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	header()->csum_start = 60;
	header()->csum_offset = 26; /* ends with the frame */
	transmit(100);
	assert_sent(100);
	assert_memory_equal(back, frame, 10);
	header()->csum_offset = 27;
	assert_refused();
	header()->csum_start = header()->csum_offset = 0xffff;
	assert_refused();
}

static void checksum_must_be_negotiated(void **state)
{
	(void)state;
	start(0);
	header()->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	header()->csum_start = 34;
	header()->csum_offset = 16;
	assert_refused();
	header()->flags = 0;
	transmit(100);
	assert_sent(100);
}

static void set_gso(uint8_t type)
{
	*header() = (struct virtio_net_hdr_v1){
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = type,
		.hdr_len = 54,
		.gso_size = 1448,
		.csum_start = 34,
		.csum_offset = 16,
	};
}

static void segmentation_must_be_negotiated(void **state)
{
	static const struct {
		uint8_t type, feature;
	} table[] = {
		{VIRTIO_NET_HDR_GSO_TCPV4, VIRTIO_NET_F_HOST_TSO4},
		{VIRTIO_NET_HDR_GSO_TCPV6, VIRTIO_NET_F_HOST_TSO6},
		{VIRTIO_NET_HDR_GSO_UDP, VIRTIO_NET_F_HOST_UFO},
	};

	(void)state;
	create();
	for (unsigned i = 0; i < ARRAY_SIZE(table); i++) {
		driver_start(&d, BIT(VIRTIO_NET_F_CSUM) | BIT(table[i].feature),
			     SIZE);
		for (unsigned j = 0; j < ARRAY_SIZE(table); j++) {
			set_gso(table[j].type);
			if (i != j) {
				assert_refused();
				continue;
			}
			transmit(30000);
			assert_sent(30000);
			assert_memory_equal(back, frame, 10);
		}
	}
}

static void segmentation_must_make_sense(void **state)
{
	(void)state;
	start_all();
	set_gso(VIRTIO_NET_HDR_GSO_TCPV4);
	header()->flags = 0; /* without a checksum */
	assert_refused();
	set_gso(VIRTIO_NET_HDR_GSO_TCPV4);
	header()->gso_size = 0;
	assert_refused();
	set_gso(VIRTIO_NET_HDR_GSO_TCPV4);
	header()->hdr_len = 89; /* of 88 */
	assert_refused();
	set_gso(VIRTIO_NET_HDR_GSO_TCPV4 | VIRTIO_NET_HDR_GSO_ECN);
	assert_refused();
	set_gso(VIRTIO_NET_HDR_GSO_UDP_L4); /* not offered here */
	assert_refused();
	for (unsigned type = 6; type < 256; type += 50) {
		set_gso((uint8_t)type);
		assert_refused();
	}
}

static void header_without_meaning_is_cleared(void **state)
{
	(void)state;
	start_all();
	memset(frame, 0xff, NET_HEADER);
	header()->flags = 0xfe;
	header()->gso_type = VIRTIO_NET_HDR_GSO_NONE;
	transmit(60);
	assert_sent(60);
	for (unsigned i = 0; i < NET_HEADER; i++)
		assert_int_equal(back[i], 0);
}

static void other_source_address_is_counted(void **state)
{
	(void)state;
	config.has_mac = true;
	memcpy(config.mac, mac, sizeof(config.mac));
	start_all();
	memcpy(frame + NET_HEADER + 6, mac, sizeof(mac));
	transmit(60);
	assert_int_equal(metrics()->tx_spoofed_mac_count, 0);
	frame[NET_HEADER + 11]++;
	transmit(60);
	assert_int_equal(metrics()->tx_spoofed_mac_count, 1);
	assert_int_equal(metrics()->tx_packets_count, 2);
}

static void what_the_tap_refuses_is_dropped(void **state)
{
	(void)state;
	start_all();
	close(host);
	host = -1;
	signal(SIGPIPE, SIG_IGN);
	transmit(100);
	assert_true(driver_used(&d, NET_TX, NULL, NULL));
	assert_int_equal(metrics()->tap_write_fails, 1);
	assert_int_equal(metrics()->tx_fails, 1);
	assert_int_equal(metrics()->tx_packets_count, 0);
}

static void full_tap_drops(void **state)
{
	unsigned got = 0;

	(void)state;
	start_all();
	for (unsigned i = 0; i < 60; i++) {
		d.free = DRIVER_DATA;
		transmit(60000);
		assert_true(driver_used(&d, NET_TX, NULL, NULL));
	}
	assert_true(metrics()->tap_write_fails > 0);
	while (host_got() == 60000)
		got++;
	assert_int_equal(got + metrics()->tap_write_fails, 60);
}

static void tx_limiter_holds_and_lets_go(void **state)
{
	const struct token_bucket_config none = {0};
	struct rate_limiter_update update = {&none, NULL};
	struct err e;

	(void)state;
	config.tx_limiter.bandwidth =
		(struct token_bucket_config){100, 1000000, 0};
	start_all();
	transmit(100);
	transmit(90);
	assert_sent(100);
	assert_int_equal(host_got(), -1);
	assert_int_equal(metrics()->tx_rate_limiter_throttled, 1);
	transmit(80);
	assert_int_equal(host_got(), -1);
	assert_ok(net_update_limiters(d.dev, NULL, &update, &e), e);
	assert_sent(90);
	assert_sent(80);
}

static void tx_timer_lets_go(void **state)
{
	(void)state;
	config.tx_limiter.ops = (struct token_bucket_config){1, 20, 0};
	start_all();
	transmit(100);
	transmit(90);
	assert_sent(100);
	assert_true(driver_wait_used(&d, NET_TX));
	assert_sent(90);
	assert_int_equal(metrics()->tx_rate_limiter_event_count, 1);
}

/* With a descriptor left for one of the two timers. */
static void half_a_change_of_limits_is_none(void **state)
{
	const struct token_bucket_config one = {1, 1000000, 0};
	const struct rate_limiter_update limits = {NULL, &one};
	struct rlimit old, few;
	struct err e;
	int next;

	(void)state;
	start_all();
	next = fcntl(host, F_DUPFD_CLOEXEC, 0);
	close(next);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	few = (struct rlimit){(rlim_t)next + 1, old.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	assert_err(net_update_limiters(d.dev, &limits, &limits, &e), e,
		   "cannot create a timer");
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	for (unsigned i = 0; i < 3; i++) {
		offer(2000);
		kick_rx();
		host_sends(100);
		driver_run(&d);
		assert_int_equal(received(), 100);
		transmit(100);
		assert_sent(100);
	}
}

/* ---------------------------------------------------------- what a tap is */

static void assert_no_tap(const char *name, const char *words)
{
	struct virtio_slot slot = driver_slot(&d);
	unsigned before = testing_count_fds();
	struct err e;

	config.tap = (char *)name;
	assert_err(net_check(&config, &e), e, words);
	assert_null(net_create(&slot, &config, &e));
	assert_contains(e.text, words);
	assert_int_equal(testing_count_fds(), before);
}

static void names_that_are_no_tap_are_refused(void **state)
{
	char number[16];

	(void)state;
	create();
	assert_no_tap("", "Invalid interface name");
	assert_no_tap("0123456789abcdef", "Invalid interface name");
	assert_no_tap("tap%d", "Invalid interface name");
	assert_no_tap("fd:", "is not fd: and a number");
	assert_no_tap("fd:-1", "is not fd: and a number");
	assert_no_tap("fd:3x", "is not fd: and a number");
	assert_no_tap("fd:99999999999999999999", "is not fd: and a number");
	assert_no_tap("fd:9999", "Bad file descriptor (os error 9)");
	snprintf(number, sizeof(number), "fd:%d", host);
	assert_no_tap(number, "The descriptor is no tap");
	config.mtu = 67;
	assert_no_tap("tap0", "The MTU is 67; give one from 68 to 65535");
}

static void destroying_leaves_no_descriptor(void **state)
{
	unsigned before = testing_count_fds();

	(void)state;
	config.rx_limiter.ops = (struct token_bucket_config){1, 20, 0};
	config.tx_limiter.ops = config.rx_limiter.ops;
	start_all();
	offer(100);
	kick_rx();
	virtio_destroy(d.dev);
	d.dev = NULL;
	assert_int_equal(testing_count_fds(), before + 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(config_space_has_mac_and_mtu_if_given),
		TEST(nothing_given_is_not_offered),
		TEST(frame_goes_out_whole),
		TEST(frame_may_be_cut_anywhere),
		TEST(many_frames_keep_their_order),
		TEST(lengths_are_bounded),
		TEST(writable_buffers_are_no_frame),
		TEST(checksum_must_be_within_the_frame),
		TEST(checksum_must_be_negotiated),
		TEST(segmentation_must_be_negotiated),
		TEST(segmentation_must_make_sense),
		TEST(header_without_meaning_is_cleared),
		TEST(other_source_address_is_counted),
		TEST(what_the_tap_refuses_is_dropped),
		TEST(full_tap_drops),
		TEST(tx_limiter_holds_and_lets_go),
		TEST(tx_timer_lets_go),
		TEST(half_a_change_of_limits_is_none),
		TEST(names_that_are_no_tap_are_refused),
		TEST(destroying_leaves_no_descriptor),
	};

	return RUN_TESTS("net", tests);
}
