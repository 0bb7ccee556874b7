/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest time in a snapshot: where it stopped, and what a restore needs to
 * compute how long ago that was, on the same host or on another.
 *
 * A restore translates the stop to this host's counter: the value that the
 * counter had, or would have had, at that moment.  From then on the VM is like
 * any paused VM.
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "arch/aarch64/clock_model.h"
#include "arch/arch.h"
#include "core/base/err.h"
#include "core/base/util.h"
#include "core/kvm/kvm.h"
#include "snapshot/codec.h"

#define BOOT_ID "/proc/sys/kernel/random/boot_id"

enum {
	OSCILLATOR_PPM = 50,
	ROUNDING_NS = 10,     /* of clock_gettime() */
	RATE_PARTS = 1000,    /* allow 1 / 1000; NTP slews by up to 1 / 2000 */
	READING_NS = 1000000, /* allowed between reading counter and clock */
};

/* Read the host's boot id; empty without /proc. */
static void read_boot_id(char *id, size_t size)
{
	AUTO_CLOSE int fd = open(BOOT_ID, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, id, size - 1);

	id[n < 0 ? 0 : n] = '\0';
	id[strcspn(id, "\n")] = '\0';
}

int arch_clock_record(const struct arch_clock *c, struct arch_clock_record *r,
		      struct err *e)
{
	if (!c->has_offset)
		return err_set(e,
			       "this VM's time cannot be continued elsewhere: "
			       "%s",
			       c->config.physical == CLOCK_PHYSICAL_HOST
				       ? "its physical counter shows the "
					 "host's (`physical`: \"host\")"
				       : "KVM has no counter offset; Linux 6.4 "
					 "has");
	*r = (struct arch_clock_record){
		.hz = c->hz,
		.offset = c->offset_stopped,
		.host_stopped = c->host_stopped,
		.guest_stopped = c->guest_stopped,
	};
	arch_clock_sample(&r->sample);
	if (c->restored && c->estimated) {
		r->sample.synchronized &= !c->unsynchronized;
		r->sample.max_error += c->elapsed_error_ns;
	}
	read_boot_id(r->boot_id, sizeof(r->boot_id));
	arch_clock_boot(&r->boot);
	return 0;
}

void arch_clock_record_omit_host(struct arch_clock_record *r)
{
	memset(r->boot_id, 0, sizeof(r->boot_id));
	memset(&r->boot, 0, sizeof(r->boot));
	/* Only the difference of the two is used on another host. */
	r->sample.host -= r->host_stopped;
	r->host_stopped = 0;
	r->offset = clock_offset(0, r->guest_stopped);
}

void arch_clock_record_state(struct arch_clock_record *r, struct snap *s)
{
	struct arch_clock_sample *sample = &r->sample;
	uint32_t tai_offset = (uint32_t)sample->tai_offset;

	snap_begin(s, SNAP_TAG('t', 'i', 'm', 'e'));
	snap_u32(s, &r->hz);
	snap_u64(s, &r->offset);
	snap_u64(s, &r->host_stopped);
	snap_u64(s, &r->guest_stopped);
	snap_string(s, r->boot_id, sizeof(r->boot_id));
	snap_u64(s, &sample->host);
	snap_u64(s, &sample->tai_sec);
	snap_require(s, sample->tai_sec < INT64_MAX / 1000000000,
		     "seconds since 1970");
	snap_u32(s, &sample->tai_ns);
	snap_require(s, sample->tai_ns < 1000000000, "nanoseconds");
	snap_u32(s, &tai_offset);
	snap_bool(s, &sample->synchronized);
	snap_u64(s, &sample->max_error);
	snap_end(s);
	sample->tai_offset = (int)tai_offset;
}

void arch_clock_boot_state(struct arch_clock_record *r, struct snap *s)
{
	snap_begin(s, SNAP_TAG('h', 'b', 'o', 't'));
	snap_u64(s, &r->boot.ns);
	snap_u32(s, &r->boot.width_ns);
	snap_end(s);
}

static int64_t tai_of(const struct arch_clock_sample *sample)
{
	return (int64_t)sample->tai_sec * 1000000000 + sample->tai_ns;
}

/*
 * Was the snapshot taken in this boot of this host?  For hosts without a boot
 * id.  To be mistaken for it, another boot would have to have begun within the
 * same few microseconds of wall-clock time, and its counter to have advanced as
 * far as its clock since the snapshot.
 */
static bool clocks_agree(const struct arch_clock_record *r,
			 const struct arch_clock_sample *now)
{
	uint64_t ran = clock_ns(now->host - r->sample.host, r->hz);
	int64_t passed = tai_of(now) - tai_of(&r->sample);
	struct arch_clock_boot boot;
	uint64_t apart, width;

	arch_clock_boot(&boot);
	if (!boot.ns || !r->boot.ns || passed < 0)
		return false;
	apart = boot.ns - r->boot.ns;
	width = ((uint64_t)boot.width_ns + r->boot.width_ns) / 2 + ROUNDING_NS;
	if (apart + width > 2 * width)
		return false;
	apart = ran - (uint64_t)passed;
	width = ran / RATE_PARTS + READING_NS;
	return apart + width <= 2 * width;
}

/* Has this host's counter been running since the snapshot? */
static bool same_boot(const struct arch_clock_record *r,
		      const struct arch_clock_sample *now)
{
	char id[sizeof(r->boot_id)];

	if (clock_goes_back(r->host_stopped, now->host))
		return false;
	read_boot_id(id, sizeof(id));
	if (id[0] && r->boot_id[0])
		return !strcmp(id, r->boot_id);
	return clocks_agree(r, now);
}

static uint64_t saturate(unsigned __int128 value)
{
	return value > UINT64_MAX ? UINT64_MAX : (uint64_t)value;
}

/* Translate the stop to this host's counter by both hosts' wall clocks. */
static void translate(struct arch_clock *c, const struct arch_clock_record *r,
		      const struct arch_clock_sample *now)
{
	int64_t ns = tai_of(now) - tai_of(&r->sample);
	__int128 ticks = (__int128)ns * c->hz / 1000000000;
	uint64_t span = ns < 0 ? 0 : (uint64_t)ns;

	/* Add the ticks from the stop until the snapshot read the clock. */
	ticks += r->sample.host - r->host_stopped;
	if (ticks > INT64_MAX)
		ticks = INT64_MAX;
	if (ticks < INT64_MIN)
		ticks = INT64_MIN;
	/* Negative ticks give a stop ahead of the host's counter. */
	c->host_stopped = now->host - (uint64_t)ticks;
	c->estimated = true;
	c->unsynchronized = !r->sample.synchronized || !now->synchronized;
	c->elapsed_error_ns = saturate(
		(unsigned __int128)r->sample.max_error + now->max_error +
		(unsigned __int128)(span / 1000000) * OSCILLATOR_PPM);
}

int arch_clock_restore(struct arch_clock *c, const struct arch_clock_record *r,
		       struct err *e)
{
	struct arch_clock_sample now;

	if (r->hz != c->hz)
		return err_set(e,
			       "the snapshot's counter runs at %u Hz, this "
			       "host's at %u Hz, and the guest cannot be told; "
			       "restore it on a host with its own frequency",
			       r->hz, c->hz);
	if (!c->has_offset)
		return err_set(e, "the guest's time cannot be continued here: "
				  "KVM has no counter offset that works on "
				  "this host; Linux 6.6 has");
	arch_clock_sample(&now);
	c->restored = true;
	c->guest_stopped = r->guest_stopped;
	if (same_boot(r, &now))
		c->host_stopped = r->host_stopped;
	else
		translate(c, r, &now);
	c->offset_stopped = clock_offset(c->host_stopped, c->guest_stopped);
	/* The offset that KVM has is not this VM's yet. */
	c->moved = true;
	return 0;
}
