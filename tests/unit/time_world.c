/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/time_world.h"

#include <errno.h>
#include <string.h>

#include "tests/fake/kvm_fake.h"
#include "tests/unit/fake_clock.h"
#include "tests/unit/irq_counter.h"
#include "tests/unit/testing.h"

enum { STEP_MS = 50, START_S = 1800000000 };

/* ----------------------------------------------------------------- the host */

struct world_host host;
struct arch_clock guest;
struct time_pages pages;
unsigned raised;
uint64_t refreshes;

static _Alignas(8) uint8_t page[VMCLOCK_SIZE], id[VMGENID_SIZE];
static uint64_t seed, due_ms, wait_s, now_ms;

uint64_t any(uint64_t below)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (seed >> 33) % below;
}

void show_clocks(void)
{
	int64_t utc =
		(int64_t)(host.clock_ns - (wide)host.kernel.tai * BILLION);

	fake_clock_set(utc / BILLION, utc % BILLION);
	fake_clock_set_tai(host.kernel.tai);
}

static void show_counter(void)
{
	kvm_fake.counter = (uint64_t)(host.parts / BILLION / BILLION);
}

wide error_ns(void)
{
	return host.clock_ns - host.true_ns;
}

wide absolute(wide x)
{
	return x < 0 ? -x : x;
}

void synchronise(void)
{
	host.kernel.status &= ~STA_UNSYNC;
	host.kernel.maxerror = (long)(absolute(error_ns()) / 1000) + 100;
	host.kernel.esterror = 50;
}

/* What the kernel does when its clock is set. */
void set_clock(wide by_ns)
{
	host.clock_ns += by_ns;
	host.kernel.status |= STA_UNSYNC;
	host.kernel.maxerror = host.kernel.esterror = 16000000;
	show_clocks();
}

/* The linker's --wrap leads all calls here. */
int __wrap_adjtimex(struct timex *t);
int __wrap_adjtimex(struct timex *t)
{
	assert_int_equal(t->modes, 0);
	host.asked++;
	if (host.mended_before && host.asked == 2) {
		set_clock(-error_ns());
		synchronise();
	}
	if (host.refuses) {
		errno = EPERM;
		return -1;
	}
	*t = host.kernel;
	if (host.spoilt_after && host.asked == 1)
		set_clock((wide)3600 * BILLION);
	return t->status & STA_UNSYNC ? TIME_ERROR : host.state;
}

static int64_t rate(void)
{
	return (host.kernel.tick - 10000) * 100 * PPM + host.kernel.freq;
}

void set_rate(int64_t to)
{
	int64_t ticks = to / (100 * PPM);

	host.kernel.tick = 10000 + ticks;
	host.kernel.freq = to - ticks * 100 * PPM;
}

/* The rate at which the clock would be right. */
static int64_t right_rate(void)
{
	return -host.ppb * PPM / 1000;
}

/* Towards the truth, until it is there. */
void slew(int64_t ppm)
{
	host.slew = (error_ns() > 0 ? -ppm : ppm) * PPM;
	if (!host.slews_aside)
		set_rate(right_rate() + host.slew);
}

/* Once a second: the kernel, and the daemon. */
static void each_second(void)
{
	host.kernel.maxerror += 500;
	if (!host.undisciplined)
		set_rate(right_rate() + (host.slews_aside ? 0 : host.slew));
}

/* The slew of @ns, until the clock is right. */
static void go_on_slewing(wide ns)
{
	wide by = ns * host.slew / (1000000ll * PPM);

	if (host.slews_aside)
		host.clock_ns += by;
	if (!host.slew || absolute(error_ns()) > absolute(by))
		return;
	host.clock_ns = host.true_ns;
	host.slew = 0;
	set_rate(right_rate());
}

void pass_ms(unsigned ms)
{
	wide ns = (wide)ms * 1000000, scaled;
	wide second = host.true_ns / BILLION;

	host.true_ns += ns;
	host.parts += ns * (BILLION + host.ppb) * HZ;
	scaled = host.clock_rest +
		 ns * (BILLION + host.ppb) * (1000000ll * PPM + rate());
	host.clock_ns += scaled / ((wide)BILLION * 1000000 * PPM);
	host.clock_rest = scaled % ((wide)BILLION * 1000000 * PPM);
	go_on_slewing(ns);
	if (host.true_ns / BILLION != second)
		each_second();
	show_clocks();
	show_counter();
}

/* A host that has been up for a while, and is right to @error_ns. */
void boot_host(int64_t ppb, wide error)
{
	wide now = host.true_ns ? host.true_ns : (wide)START_S * BILLION;

	host = (struct world_host){
		.true_ns = now,
		.clock_ns = now + error,
		.ppb = ppb,
		.parts = (wide)any(1u << 31) * HZ * BILLION * BILLION,
		.kernel = {.tai = 37, .tick = 10000},
		.state = TIME_OK,
	};
	set_rate(right_rate());
	synchronise();
	show_clocks();
	show_counter();
}

/* ---------------------------------------------------------------- the guest */

uint64_t get(unsigned offset, unsigned len)
{
	uint64_t value = 0;

	for (unsigned i = len; i--;)
		value = value << 8 | page[offset + i];
	return value;
}

bool has(unsigned flag)
{
	return get(0x18, 8) & flag;
}

uint64_t guest_counter(void)
{
	return kvm_fake.counter - guest.offset;
}

/* @rate units of the period's, per tick, in ns since the pair. */
static wide since(uint64_t per_tick, uint64_t ticks)
{
	unsigned __int128 product = (unsigned __int128)per_tick * ticks;

	/* Two steps: the product has up to 128 bits. */
	return (wide)((product >> get(0x27, 1) >> 32) * BILLION >> 32);
}

/* What a guest takes for the time now, and how far that may be off. */
wide guest_tai(wide *bound)
{
	uint64_t ticks = guest_counter() - get(0x28, 8);
	wide ns = (wide)get(0x48, 8) * BILLION +
		  (wide)((unsigned __int128)get(0x50, 8) * BILLION >> 64);

	assert_true((int64_t)ticks >= 0);
	assert_int_equal(get(0x0c, 4) % 2, 0);
	*bound = (wide)get(0x60, 8) + since(get(0x40, 8), ticks);
	return ns + since(get(0x30, 8), ticks);
}

void look(void)
{
	wide bound, tai = guest_tai(&bound);

	assert_true(has(HAS_RATE_MAX));
	/* The host itself is truthful. */
	if (!(host.kernel.status & STA_UNSYNC))
		assert_true(absolute(error_ns()) <=
			    (wide)host.kernel.maxerror * 1000 + 500000);
	if (has(HAS_MAX) && absolute(tai - host.true_ns) > bound)
		fail_msg("off by %lld ns, more than %lld, after %llu ticks",
			 (long long)(tai - host.true_ns), (long long)bound,
			 (unsigned long long)(guest_counter() - get(0x28, 8)));
}

/* As vmm/vm/vm_time.c. */
void refresh(bool was_set)
{
	bool different = time_pages_refresh(&pages, &guest);

	refreshes++;
	wait_s = different || was_set ? 1 : wait_s * 2;
	if (wait_s > 60)
		wait_s = 60;
	due_ms = now_ms + wait_s * 1000;
}

/* The guest runs, and looks. */
void run_s(unsigned seconds)
{
	for (unsigned n = seconds * (1000 / STEP_MS); n--;) {
		pass_ms(STEP_MS);
		now_ms += STEP_MS;
		look();
		if (now_ms >= due_ms)
			refresh(false);
		look();
	}
}

void resume_with(uint64_t offset)
{
	struct arch_clock_sample sample;

	arch_clock_sample(&sample);
	guest.offset = offset;
	time_pages_resume(&pages, &guest, &sample);
	wait_s = 1;
	due_ms = now_ms + 1000;
	look();
}

void resume(uint64_t at)
{
	resume_with(kvm_fake.counter - at);
}

void set_pages(void)
{
	const struct irq_line irq = irq_counter(&raised);

	pages = (struct time_pages){0};
	vmclock_init(&pages.vmclock, page, irq);
	vmgenid_init(&pages.vmgenid, id, irq);
}

int set_up_time(void **state)
{
	(void)state;
	kvm_fake_reset();
	kvm_fake.tick = 1;
	kvm_fake.hz = HZ;
	seed = 1;
	raised = 0;
	now_ms = refreshes = 0;
	host = (struct world_host){0};
	boot_host(12345, 20000);
	guest = (struct arch_clock){.hz = HZ};
	memset(page, 0, sizeof(page));
	set_pages();
	resume(0);
	return 0;
}

void never_refresh(void)
{
	due_ms = UINT64_MAX;
}
