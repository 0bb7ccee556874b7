/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that wants all that the VMM's main thread can give: it keeps the
 * rings of its disk, network and vsock full, and writes to its serial port in
 * between.  The disk is written, flushed and zeroed over all its length; vsock
 * asks for streams to port 7, where somebody may listen, and to 8, and sends
 * over the former.  The letters d, n, v, s and z, typed, stop or begin the
 * disk, the network, vsock, the serial port and the disk's zeroes; q ends it.
 *
 * It wants 32 MiB of RAM; without any of these devices it sleeps.  It says
 * "flooding" when it begins, and at its end how many requests each device has
 * done.
 */
#include "tests/guests/virtio_mmio.h"

#define RINGS 0x81000000ull
#define DATA  0x81100000ull

enum { SIZE = 64, FRAME = 1514, NET_HEADER = 12, PACKET = 44 };
enum { CHUNK = 64 << 10, SECTOR = 512 };
enum { BLOCK_OUT = 1, BLOCK_FLUSH = 4, BLOCK_WRITE_ZEROES = 13 };
enum { FEATURE_FLUSH = 1 << 9, FEATURE_ZEROES = 1 << 14 };
enum { VSOCK_REQUEST = 1, VSOCK_RW = 5 };
enum { SERIAL_LSR = 5, LSR_DATA = 1, LSR_ROOM = 0x20 };

struct flood {
	struct ring ring;
	uint64_t done;
};

static struct flood disk, net_rx, net_tx, vsock_rx, vsock_tx;
static uint64_t sectors, written, refused;
static uint32_t zeroes_max; /* sectors of a request */
static const char letters[] = "dnvsz";
enum { DISK, NET, VSOCK, SERIAL_PORT, ZEROES };
static bool off[sizeof(letters)];

/* All that @f has, again; if it came back. */
static void again(struct flood *f, unsigned heads, unsigned step)
{
	struct ring *r = &f->ring;

	if (!r->base || !ring_done(r))
		return;
	f->done += r->next ? heads : 0;
	for (unsigned i = 0; i < heads; i++)
		write16(r->avail + 4 + 2ull * ((r->next + i) % r->size),
			(uint16_t)(i * step));
	r->next = (uint16_t)(r->next + heads);
	__asm__ volatile("dmb sy" ::: "memory");
	write16(r->avail + 2, r->next);
	__asm__ volatile("dmb sy" ::: "memory");
	write32(r->base + REG_QUEUE_NOTIFY, r->queue);
}

/* ------------------------------------------------------------------- disk */

/* Chain @i of three descriptors. */
static void make_request(const struct ring *r, unsigned i)
{
	uint64_t at = DATA + 0x1000ull * i;
	unsigned type = i % 4 == 1 ? BLOCK_FLUSH : BLOCK_OUT;
	uint64_t payload = DATA + 0x100000;
	uint32_t len = CHUNK;

	if (!off[ZEROES] && i % 4 == 2)
		type = BLOCK_WRITE_ZEROES;
	write32(at, type);
	write32(at + 4, 0);
	write64(at + 8, i * 128ull % (sectors - 128));
	if (type == BLOCK_WRITE_ZEROES) {
		payload = at + 32;
		len = 16;
		write64(payload, i / 4 * (uint64_t)zeroes_max %
					 (sectors - zeroes_max + 1));
		write32(payload + 8, zeroes_max);
		write32(payload + 12, 0);
		write64(at + 8, 0);
	}
	put_desc(r->desc, 3 * i, at, 16, DESC_NEXT,
		 type == BLOCK_FLUSH ? 3 * i + 2 : 3 * i + 1);
	put_desc(r->desc, 3 * i + 1, payload, len, DESC_NEXT, 3 * i + 2);
	put_desc(r->desc, 3 * i + 2, at + 24, 1, DESC_WRITE, 0);
}

static void set_up_disk(void)
{
	uint64_t base = device_find(ID_BLOCK, 0);
	uint32_t offered;

	if (!base)
		return;
	write32(base + REG_FEATURES_SEL, 0);
	offered = read32(base + REG_FEATURES);
	off[ZEROES] = !(offered & FEATURE_ZEROES);
	device_begin(base, offered & (FEATURE_FLUSH | FEATURE_ZEROES));
	disk.ring = ring_make(base, 0, RINGS, SIZE);
	device_go(base);
	sectors = read32(base + REG_CONFIG) |
		  (uint64_t)read32(base + REG_CONFIG + 4) << 32;
	zeroes_max = read32(base + REG_CONFIG + 48);
	if (zeroes_max > sectors)
		zeroes_max = (uint32_t)sectors;
}

static void flood_disk(void)
{
	if (disk.ring.base && ring_done(&disk.ring)) {
		for (unsigned i = 0; i < SIZE / 3; i++) {
			refused += read8(DATA + 0x1000ull * i + 24) != 0;
			make_request(&disk.ring, i);
		}
	}
	again(&disk, SIZE / 3, 3);
}

/* ---------------------------------------------------------------- network */

static void set_up_net(void)
{
	uint64_t base = device_find(ID_NET, 0), frame = DATA + 0x200000;

	if (!base)
		return;
	device_begin(base, 0);
	net_rx.ring = ring_make(base, 0, RINGS + 0x1000, SIZE);
	net_tx.ring = ring_make(base, 1, RINGS + 0x2000, SIZE);
	device_go(base);
	for (unsigned at = 0; at < NET_HEADER + FRAME; at += 2)
		write16(frame + at, at < NET_HEADER ? 0 : 0xffff);
	for (unsigned i = 0; i < SIZE; i++) {
		put_desc(net_rx.ring.desc, i, frame + 0x1000ull * (i + 1), 4096,
			 DESC_WRITE, 0);
		put_desc(net_tx.ring.desc, i, frame, NET_HEADER + FRAME, 0, 0);
	}
}

/* ------------------------------------------------------------------- vsock */

/* Every other asks for a stream, the others send over those to port 7. */
static void make_packet(uint64_t at, unsigned i)
{
	bool asks = i % 2 == 0;

	write64(at, 3);
	write64(at + 8, 2);
	write32(at + 16, 1000 + i / 4);
	write32(at + 20, i % 4 < 2 ? 7 : 8);
	write32(at + 24, asks ? 0 : 1024);
	write16(at + 28, 1);
	write16(at + 30, asks ? VSOCK_REQUEST : VSOCK_RW);
	write32(at + 32, 0);
	write32(at + 36, 1 << 20);
	write32(at + 40, 0);
}

static void set_up_vsock(void)
{
	uint64_t base = device_find(ID_VSOCK, 0), data = DATA + 0x300000;

	if (!base)
		return;
	device_begin(base, 0);
	vsock_rx.ring = ring_make(base, 0, RINGS + 0x3000, SIZE);
	vsock_tx.ring = ring_make(base, 1, RINGS + 0x4000, SIZE);
	ring_make(base, 2, RINGS + 0x5000, 8);
	device_go(base);
	for (unsigned i = 0; i < SIZE; i++) {
		uint64_t at = data + 0x2000ull * i;

		make_packet(at, i);
		put_desc(vsock_tx.ring.desc, i, at,
			 i % 2 ? PACKET + 1024 : PACKET, 0, 0);
		put_desc(vsock_rx.ring.desc, i, at + 0x1000, 4096, DESC_WRITE,
			 0);
	}
}

/* ------------------------------------------------------------------ the end */

static void say(const char *device, uint64_t done)
{
	put_text(device);
	put_number(done);
	put_text("\n");
}

static bool is_told_to_end(void)
{
	char c;

	if (!(read8(SERIAL + SERIAL_LSR) & LSR_DATA))
		return false;
	c = (char)read8(SERIAL);
	for (unsigned i = 0; letters[i]; i++)
		off[i] ^= c == letters[i];
	return c == 'q';
}

static void flood_serial(void)
{
	for (unsigned i = 0; i < 64 && read8(SERIAL + SERIAL_LSR) & LSR_ROOM;
	     i++, written++)
		write8(SERIAL, i < 63 ? '.' : '\n');
}

void guest_main(uint64_t fdt)
{
	(void)fdt;
	set_up_disk();
	set_up_net();
	set_up_vsock();
	/* A guest that is only there. */
	while (!disk.ring.base && !net_tx.ring.base && !vsock_tx.ring.base)
		__asm__ volatile("wfi" ::: "memory");
	put_text("flooding\n");
	while (!is_told_to_end()) {
		if (!off[DISK])
			flood_disk();
		again(&net_rx, SIZE, 1);
		if (!off[NET])
			again(&net_tx, SIZE, 1);
		again(&vsock_rx, SIZE, 1);
		if (!off[VSOCK])
			again(&vsock_tx, SIZE, 1);
		if (!off[SERIAL_PORT])
			flood_serial();
	}
	say("\ndisk ", disk.done);
	say("refused ", refused);
	say("net ", net_tx.done);
	say("vsock ", vsock_tx.done);
	say("serial ", written);
	guest_end();
}
