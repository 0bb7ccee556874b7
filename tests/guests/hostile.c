/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hostile driver.  The first vCPU treats each virtio device to seeded random
 * garbage: registers, rings and descriptors that are nearly right, loops,
 * indirect tables, addresses where there is no RAM, resets at any moment.  Then
 * it resets the device and wants it to work.  The second vCPU reads the second
 * disk meanwhile, each sector of which begins with its number.
 *
 * It wants 32 MiB of RAM, a host 10.0.0.1, and two numbers on the serial port:
 * milliseconds for each device, and a seed.  Devices write only to the end of
 * RAM, the arena: what is there never looks like an address or a page of other
 * RAM.
 */
#include "tests/guests/virtio_mmio.h"

#define ARENA     0x81c00000ull
#define RAM_END   0x82000000ull
#define GOOD_RING 0x81000000ull /* of the first vCPU, up to four */
#define GOOD_DATA 0x81010000ull
#define WITNESS   0x81100000ull /* the second's */

enum { BLOCK_IN, BLOCK_OUT };
enum { QUEUES_MAX = 8, RING_MAX = 256, SECTORS = 256 };

static volatile uint64_t good_reads, bad_reads;
static volatile bool stop, witness_ready;
static uint64_t seed;

static uint64_t draw(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static unsigned below(unsigned n)
{
	return (unsigned)((draw() >> 20) % n);
}

static bool once_in(unsigned n)
{
	return !below(n);
}

/* ----------------------------------------------------------- good requests */

/* Sector @sector of a disk, to or from @data; the table of @r is free. */
static bool move_sector(struct ring *r, unsigned type, uint64_t header,
			uint64_t data, uint64_t sector)
{
	write32(header, type);
	write32(header + 4, 0);
	write64(header + 8, sector);
	write8(header + 16, 0xff);
	put_desc(r->desc, 0, header, 16, DESC_NEXT, 1);
	put_desc(r->desc, 1, data, 512,
		 DESC_NEXT | (type == BLOCK_IN ? DESC_WRITE : 0), 2);
	put_desc(r->desc, 2, header + 16, 1, DESC_WRITE, 0);
	ring_offer(r, 0);
	return wait_until(ring_done(r)) && !read8(header + 16);
}

void guest_secondary(uint64_t index)
{
	uint64_t base = device_find(ID_BLOCK, 1);
	struct ring r;

	(void)index;
	device_begin(base, 0);
	r = ring_make(base, 0, WITNESS, 8);
	device_go(base);
	witness_ready = true;
	for (uint64_t i = 0; !stop; i = (i * 5 + 1) % SECTORS) {
		uint64_t data = WITNESS + 0x2000;

		write64(data, ~0ull);
		if (move_sector(&r, BLOCK_IN, WITNESS + 0x1000, data, i) &&
		    read64(data) == i)
			good_reads++;
		else
			bad_reads++;
	}
}

static bool works_one(struct ring *r, unsigned flags, uint32_t len)
{
	put_desc(r->desc, 0, GOOD_DATA, len, flags, 0);
	ring_offer(r, 0);
	return wait_until(ring_done(r));
}

/* What was written is read. */
static bool disk_works(struct ring *r)
{
	uint64_t word = draw(), back = GOOD_DATA + 0x2000;

	write64(GOOD_DATA, word);
	write64(GOOD_DATA + 504, ~word);
	return move_sector(r, BLOCK_OUT, GOOD_DATA + 0x1000, GOOD_DATA, 7) &&
	       move_sector(r, BLOCK_IN, GOOD_DATA + 0x1000, back, 7) &&
	       read64(back) == word && read64(back + 504) == ~word;
}

/* Whoever has 10.0.0.1, the host, answers 10.0.0.2. */
static bool net_works(struct ring *rx, struct ring *tx)
{
	static const uint8_t request[] = {
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 6, 0, 0, 0, 0,  1, 8, 6,
		0,    1,    8,    0,    6,    4,    0, 1, 6, 0, 0,  0, 0, 1,
		10,   0,    0,    2,    0,    0,    0, 0, 0, 0, 10, 0, 0, 1,
	};
	enum { HEADER = 12, OTHERS_MAX = 3000, ARP = 0x0608, REPLY = 0x0200 };
	uint64_t frame = GOOD_DATA + 0x1000 + HEADER;

	for (unsigned i = 0; i < HEADER; i++)
		write8(GOOD_DATA + i, 0);
	for (unsigned i = 0; i < sizeof(request); i++)
		write8(GOOD_DATA + HEADER + i, request[i]);
	put_desc(rx->desc, 0, GOOD_DATA + 0x1000, 4096, DESC_WRITE, 0);
	ring_offer(rx, 0);
	if (!works_one(tx, 0, HEADER + sizeof(request)))
		return false;
	/* What was sent to it before comes first. */
	for (unsigned i = 0; i < OTHERS_MAX && wait_until(ring_done(rx)); i++) {
		if (read16(frame + 12) == ARP && read16(frame + 20) == REPLY &&
		    read8(frame + 31) == 1)
			return true;
		ring_offer(rx, 0);
	}
	return false;
}

/* A request to a port where nobody listens: it is refused. */
static bool vsock_works(struct ring *rx, struct ring *tx)
{
	uint64_t reply = GOOD_DATA + 0x1000;

	for (unsigned at = 0; at < 44; at += 4) {
		write32(GOOD_DATA + at, 0);
		write32(reply + at, 0);
	}
	put_desc(rx->desc, 0, reply, 4096, DESC_WRITE, 0);
	ring_offer(rx, 0);
	write64(GOOD_DATA, 3);
	write64(GOOD_DATA + 8, 2);
	write32(GOOD_DATA + 16, 1234);
	write32(GOOD_DATA + 20, 4321);
	write16(GOOD_DATA + 28, 1); /* a stream */
	write16(GOOD_DATA + 30, 1); /* REQUEST */
	return works_one(tx, 0, 44) && wait_until(ring_done(rx)) &&
	       read16(reply + 30) == 3; /* RST */
}

static bool works(uint64_t base, unsigned id)
{
	struct ring r[3];

	if (!device_begin(base, 0))
		return false;
	for (unsigned i = 0; i < 3; i++)
		r[i] = ring_make(base, i, GOOD_RING + i * WINDOW, 8);
	device_go(base);
	switch (id) {
	case ID_BLOCK:
		return disk_works(&r[0]);
	case ID_NET:
		return net_works(&r[0], &r[1]);
	case ID_VSOCK:
		return vsock_works(&r[0], &r[1]);
	case ID_BALLOON:
		write32(GOOD_DATA, (uint32_t)(ARENA >> 12));
		return works_one(&r[0], 0, 4) && works_one(&r[1], 0, 4);
	default:
		write64(GOOD_DATA, 0);
		write64(GOOD_DATA + 8, 0);
		return works_one(&r[0], DESC_WRITE, 16) &&
		       (read64(GOOD_DATA) || read64(GOOD_DATA + 8));
	}
}

/* ----------------------------------------------------------------- garbage */

static uint64_t somewhere_good(void)
{
	return ARENA + (draw() >> 20) % (RAM_END - ARENA - 0x20000) / 16 * 16;
}

/* Where there may be rings and buffers: in the arena, over its end, nowhere. */
static uint64_t somewhere(void)
{
	static const uint64_t nowhere[] = {
		0, 0x40003000, 0x7fffff00, RAM_END, 1ull << 40, ~0ull - 15,
	};

	if (once_in(40))
		return nowhere[below(sizeof(nowhere) / sizeof(nowhere[0]))];
	if (once_in(40))
		return RAM_END - 16ull * below(64);
	return somewhere_good();
}

/* Never what would be an address, or number of a page, of RAM. */
static uint32_t some_length(void)
{
	static const uint32_t odd[] = {
		0, 1, 511, 0x10000, 0x100000, 0x7fffffff, 0xfffffff0, ~0u,
	};

	switch (below(8)) {
	case 0:
		return odd[below(sizeof(odd) / sizeof(odd[0]))];
	case 1:
		return below(0x10000);
	case 2:
		return 512 * below(64);
	default:
		return below(256);
	}
}

/* What a device may take for the head of a request. */
static void fill_header(uint64_t at, unsigned id)
{
	if (id == ID_BLOCK) {
		write32(at, below(16));
		write32(at + 4, 0);
		write64(at + 8, once_in(8) ? draw() | 1ull << 63 : below(300));
		return;
	}
	if (id == ID_VSOCK) {
		write64(at, once_in(20) ? ~0ull : 3);
		write64(at + 8, once_in(20) ? 3 : 2);
		write32(at + 16, below(8));
		write32(at + 20, once_in(2) ? 52 : below(8));
		write32(at + 24, once_in(4) ? some_length() : below(64));
		write16(at + 28, once_in(20) ? 2 : 1);
		write16(at + 30, (uint16_t)below(9));
		write32(at + 32, below(4));
		write32(at + 36, below(0x10000));
		write32(at + 40, below(0x10000));
		return;
	}
	for (unsigned i = 0; i < 48; i += 4)
		write32(at + i, once_in(3) ? below(256) : below(8));
}

/* A chain that a device may take, whatever it makes of what is in it. */
static void fill_chain(uint64_t table, unsigned count, unsigned id)
{
	unsigned reads = below(count + 1);

	for (unsigned i = 0; i < count; i++) {
		uint64_t at = somewhere_good();
		uint32_t len = once_in(2) ? 512 * below(16) : below(100);
		unsigned flags = i + 1 < count ? DESC_NEXT : 0;

		if (i >= reads)
			flags |= DESC_WRITE;
		else
			fill_header(at, id);
		if (!i && once_in(2))
			len = id == ID_VSOCK ? 44 : 16;
		put_desc(table, i, at, len, flags, i + 1);
	}
}

/* @count descriptors of a table that are mostly a chain. */
static void fill_table(uint64_t table, unsigned count, unsigned id)
{
	if (count && !once_in(4)) {
		fill_chain(table, count, id);
		return;
	}
	for (unsigned i = 0; i < count; i++) {
		uint64_t at = somewhere();
		unsigned flags = once_in(2) ? DESC_WRITE : 0, next;
		uint32_t len = some_length();

		if (!once_in(3))
			flags |= DESC_NEXT;
		if (once_in(16)) {
			flags |= DESC_INDIRECT;
			len = 16 * below(40);
		}
		if (once_in(50))
			flags |= 8u << below(12);
		if (!(flags & DESC_WRITE) && at >= ARENA && at < RAM_END - 64)
			fill_header(at, id);
		next = once_in(12) ? below(RING_MAX + 8) : i + 1;
		/* {flags 0x201, next 8} is page 0x80201, of this code. */
		put_desc(table, i, at, len, flags, next == 8 ? 9 : next);
	}
}

struct target {
	uint64_t base;
	unsigned id, queues;
	struct ring ring[QUEUES_MAX];
	uint16_t used[QUEUES_MAX]; /* seen last */
	uint64_t done, broken, resets;
};

/* Requests that came back, whatever with. */
static void count_done(struct target *t, const struct ring *r)
{
	uint16_t now;

	if (r->used < ARENA || r->used >= RAM_END - 8)
		return;
	now = read16(r->used + 2);
	if ((uint16_t)(now - t->used[r->queue]) <= RING_MAX)
		t->done += (uint16_t)(now - t->used[r->queue]);
	t->used[r->queue] = now;
}

static void set_up(struct target *t)
{
	uint32_t offered;

	write32(t->base + REG_FEATURES_SEL, 0);
	offered = read32(t->base + REG_FEATURES);
	device_begin(t->base,
		     once_in(2) ? offered : offered & (uint32_t)draw());
	for (unsigned q = 0; q < t->queues; q++) {
		struct ring *r = &t->ring[q];

		*r = (struct ring){.base = t->base, .queue = q};
		r->size = 1u << below(9);
		r->desc = once_in(8) ? somewhere() : somewhere_good();
		r->avail = once_in(8) ? somewhere() : somewhere_good();
		r->used = once_in(8) ? somewhere() : somewhere_good();
		for (unsigned i = 0;
		     i < 4 && r->avail >= ARENA && r->avail < RAM_END - 8; i++)
			write16(r->avail + 2ull * i, 0);
		if (r->used >= ARENA && r->used < RAM_END - 8)
			write32(r->used, 0);
		t->used[q] = 0;
		ring_place(r, r->desc, r->avail, r->used,
			   once_in(30) ? (uint32_t)draw() : r->size);
	}
	device_go(t->base);
}

static bool in_arena(uint64_t at, uint64_t len)
{
	return at >= ARENA && at < RAM_END - len;
}

static void offer_garbage(struct target *t)
{
	struct ring *r = &t->ring[below(t->queues)];
	unsigned count = 1 + below(8);

	if (!r->size || !in_arena(r->desc, 16ull * r->size + 128) ||
	    !in_arena(r->avail, 2ull * r->size + 6))
		return;
	count_done(t, r);
	fill_table(r->desc, count < r->size ? count : r->size, t->id);
	if (once_in(4)) {
		uint64_t table = somewhere();

		if (in_arena(table, 0x1000)) {
			fill_table(table, below(40), t->id);
			put_desc(r->desc, 0, table, 16 * below(40),
				 DESC_INDIRECT, 0);
		}
	}
	if (once_in(200))
		r->next = (uint16_t)(r->next + below(600)); /* impossible */
	ring_offer(r, once_in(60) ? 0xf000 + below(100) : 0);
}

/* Registers, but for those that say where a device writes. */
static void poke(struct target *t)
{
	uint64_t reg = below(0x140);
	unsigned width = 1u << below(4);

	if (once_in(4))
		reg = REG_CONFIG + below(0x40);
	reg &= ~(uint64_t)(width - 1);
	if (once_in(2) || (reg >= 0x80 && reg < 0xb0))
		read_width(t->base + reg, width);
	else
		write_width(t->base + reg, width,
			    once_in(2) ? draw() : below(16));
}

static void torment(struct target *t)
{
	bool broken = read32(t->base + REG_STATUS) & STATUS_NEEDS_RESET;

	if ((broken && once_in(2)) || once_in(64)) {
		t->broken += broken;
		t->resets++;
		write32(t->base + REG_STATUS, 0);
		set_up(t);
	}
	switch (below(16)) {
	case 1:
		for (unsigned i = below(8); i; i--)
			poke(t);
		break;
	case 2: /* changed under its eyes */
		for (unsigned i = below(64); i; i--) {
			uint64_t at = somewhere();

			if (in_arena(at, 8))
				write64(at, draw() | 0xf0000000f0000000);
		}
		break;
	case 3:
		write32(t->base + REG_QUEUE_NOTIFY, below(QUEUES_MAX));
		break;
	default:
		offer_garbage(t);
	}
}

static void attack(unsigned id, const char *name, uint64_t ms)
{
	static struct target t;
	uint64_t end = ticks() + ticks_of_ms(ms), rounds = 0;
	uint64_t reads = good_reads;

	t.base = device_find(id, 0);
	t.id = id;
	t.done = t.broken = t.resets = 0;
	if (!check(t.base, name))
		return;
	for (uint64_t at = ARENA; at < RAM_END; at += 8)
		write64(at, 0);
	for (t.queues = 0; t.queues < QUEUES_MAX; t.queues++) {
		write32(t.base + REG_QUEUE_SEL, t.queues);
		if (!read32(t.base + REG_QUEUE_NUM_MAX))
			break;
	}
	set_up(&t);
	for (; ticks() < end; rounds++)
		torment(&t);
	write32(t.base + REG_STATUS, 0);
	put_text("rounds: ");
	put_number(rounds);
	put_text(", requests done: ");
	put_number(t.done);
	put_text(", broken: ");
	put_number(t.broken);
	put_text(", resets: ");
	put_number(t.resets);
	put_text(", reads of the other disk: ");
	put_number(good_reads - reads);
	put_text("\r\n");
	check(rounds > 100, "it was tormented");
	check(t.done >= 5, "some of its requests were done");
	check(t.broken >= 5, "its rings were seen to be broken");
	check(good_reads > reads, "the other disk was read meanwhile");
	check(works(t.base, id), "a reset revives it");
	write32(t.base + REG_STATUS, 0);
}

static uint64_t take_number(void)
{
	uint64_t value = 0;

	for (;;) {
		unsigned c;

		while (!(read8(SERIAL + 5) & 1))
			continue;
		c = read8(SERIAL);
		if (c < '0' || c > '9')
			return value;
		value = value * 10 + c - '0';
	}
}

void guest_main(uint64_t fdt)
{
	uint64_t ms;

	(void)fdt;
	put_text("waiting\r\n");
	ms = take_number();
	seed = 0x9e3779b97f4a7c15 * (take_number() + 1);
	if (!check(device_find(ID_BLOCK, 1), "there are two disks"))
		return;
	cpu_on(1);
	check(wait_until(witness_ready), "the second vCPU uses the other");
	attack(ID_BLOCK, "a disk", ms);
	attack(ID_NET, "a network interface", ms);
	attack(ID_VSOCK, "a vsock", ms);
	attack(ID_RNG, "an entropy device", ms);
	attack(ID_BALLOON, "a balloon", ms);
	stop = true;
	check_equal(bad_reads, 0, "all that was read was right");
}
