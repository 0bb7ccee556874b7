/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that watches its counters on all vCPUs, and does what is typed:
 *
 *	g  tell the longest time between two looks at the counter since the
 *	   last g (a "gap"), and what was wrong with what was seen
 *	v  arm the virtual timer, 2 s ahead, and tell when it fired
 *	w  the same, and sleep until it does
 *	p  the same as v with the physical timer
 *	V  P  as v and p, a minute ahead
 *	1  2  3  4  5  timers that must not fire; then c tells how that went
 *	h  an interrupt handler that does not end before a c is typed
 *	n  tell what it remembers of its boot, and who it is now
 *	q  power off
 */
#include "tests/guests/lib.h"

enum { SOON_MS = 100, SHORT_MS = 2000, LONG_MS = 60000, POLL_MS = 1 };
enum { CTL_ENABLE = 1, CTL_MASKED = 2, CTL_FIRED = 4 };
enum { RBR = 0, LSR = 5, LSR_DATA_READY = 1 };

/* Each member is written by one vCPU. */
struct view {
	uint64_t last;       /* its latest look at the virtual counter */
	uint64_t gap, told;  /* the longest so far, and of the last round */
	uint64_t round;      /* which `told` is of */
	uint64_t back;       /* a look that was before somebody's earlier one */
	uint64_t incoherent; /* P was not between two V */
	uint64_t looks;
};

static volatile struct view view[CPUS_MAX];
static volatile uint64_t round = 1; /* vCPU 0's */
static unsigned count = 1;

static volatile uint64_t fired, fired_at, fired_intid;
static volatile bool hold; /* in the handler */

/* ----------------------------------------------------------- all vCPUs look */

static void barrier(void)
{
	__asm__ volatile("dsb sy\n\tisb" ::: "memory");
}

static uint64_t physical(void)
{
	__asm__ volatile("isb" ::: "memory");
	return READ_SYSREG(cntpct_el0);
}

static void look(unsigned cpu)
{
	volatile struct view *v = &view[cpu];
	uint64_t latest = 0, before, between, after;

	for (unsigned i = 0; i < count; i++) {
		if (view[i].last > latest)
			latest = view[i].last;
	}
	barrier();
	before = ticks();
	between = physical();
	after = ticks();
	v->back += before < latest;
	v->incoherent += between < before || between > after;
	if (v->looks++ && after - v->last > v->gap)
		v->gap = after - v->last;
	v->last = after;
	barrier();
	if (v->round != round) {
		v->told = v->gap;
		v->gap = 0;
		v->round = round;
	}
}

void guest_secondary(uint64_t index)
{
	for (;;)
		look((unsigned)index);
}

static void put_value(const char *name, uint64_t value)
{
	put_text(name);
	put_number(value);
}

static bool all_told(void)
{
	for (unsigned i = 0; i < count; i++) {
		if (view[i].round != round)
			return false;
	}
	return true;
}

static void tell(void)
{
	uint64_t gap = 0, back = 0, incoherent = 0, least = ~0ull, now, phys;

	round++;
	do
		look(0);
	while (!all_told());
	for (unsigned i = 0; i < count; i++) {
		if (view[i].told > gap)
			gap = view[i].told;
		if (view[i].looks < least)
			least = view[i].looks;
		back += view[i].back;
		incoherent += view[i].incoherent;
	}
	now = ticks();
	phys = physical();
	put_value("saw gap ", gap);
	put_value(" now ", now);
	put_value(" phys ", phys);
	put_value(" back ", back);
	put_value(" incoherent ", incoherent);
	put_value(" looks ", least);
	put_text(".\n");
}

/* ----------------------------------------------------------------- identity */

#define VMGENID 0x80030000ull

enum { MEMORY_WORDS = 2048 };

static uint64_t born_as; /* the identifier of its generation at boot */
static uint64_t memory[MEMORY_WORDS];

static uint64_t pattern(unsigned i)
{
	return (born_as ^ i) * 0x9e3779b97f4a7c15ull;
}

static void remember(void)
{
	born_as = read64(VMGENID);
	for (unsigned i = 0; i < MEMORY_WORDS; i++)
		memory[i] = pattern(i);
}

static void tell_identity(void)
{
	uint64_t wrong = 0;

	for (unsigned i = 0; i < MEMORY_WORDS; i++)
		wrong += memory[i] != pattern(i);
	put_value("born ", born_as);
	put_value(" generation ", read64(VMGENID));
	put_value(" looks ", view[0].looks);
	put_value(" wrong ", wrong);
	put_text(".\n");
}

/* ------------------------------------------------------------------- timers */

static char typed(void)
{
	if (!(read8(SERIAL + LSR) & LSR_DATA_READY))
		return 0;
	return (char)read8(SERIAL + RBR);
}

static void wait_for_c(void)
{
	while (typed() != 'c')
		continue;
}

static void set_control(bool phys, uint64_t control)
{
	if (phys)
		WRITE_SYSREG(cntp_ctl_el0, control);
	else
		WRITE_SYSREG(cntv_ctl_el0, control);
}

static uint64_t get_control(bool phys)
{
	return phys ? READ_SYSREG(cntp_ctl_el0) : READ_SYSREG(cntv_ctl_el0);
}

static void set_compare(bool phys, uint64_t at)
{
	if (phys)
		WRITE_SYSREG(cntp_cval_el0, at);
	else
		WRITE_SYSREG(cntv_cval_el0, at);
}

static void note_interrupt(unsigned cpu, unsigned intid)
{
	(void)cpu;
	fired_at = ticks();
	fired_intid = intid;
	fired++;
	if (hold) {
		put_text("held.\n");
		wait_for_c();
		put_value("in the handler: fired ", fired);
		put_text(".\n");
	}
	set_control(intid == INTID_TIMER_PHYS, 0);
}

static void put_fired(void)
{
	put_value("fired ", fired);
	put_value(" intid ", fired_intid);
	put_value(" at ", fired_at);
	put_text(".\n");
}

static void arm(bool phys, uint64_t ms)
{
	uint64_t due = ticks() + ticks_of_ms(ms);

	fired = 0;
	set_compare(phys, due);
	set_control(phys, CTL_ENABLE);
	put_value("armed ", due);
	put_text(".\n");
}

static void fire(bool phys, uint64_t ms, bool asleep)
{
	arm(phys, ms);
	mask_interrupts();
	while (!fired) {
		if (asleep)
			__asm__ volatile("wfi" ::: "memory");
		unmask_interrupts();
		look(0);
		mask_interrupts();
	}
	unmask_interrupts();
	/* It must not come again. */
	for (uint64_t end = ticks() + ticks_of_ms(20); ticks() < end;)
		look(0);
	put_fired();
}

/* Until a c is typed, it must not fire. */
static void stay(bool phys, uint64_t due, uint64_t control)
{
	fired = 0;
	set_compare(phys, due);
	set_control(phys, control);
	put_text("waiting.\n");
	wait_for_c();
	put_value("control ", get_control(phys));
	put_value(" fired ", fired);
	put_text(".\n");
}

static void never(char which)
{
	uint64_t soon = ticks() + ticks_of_ms(SOON_MS);

	switch (which) {
	case '1':
		stay(false, soon, CTL_ENABLE | CTL_MASKED);
		break;
	case '2':
		stay(false, soon, 0);
		break;
	case '3':
		stay(false, ~0ull, CTL_ENABLE);
		break;
	case '5':
		stay(true, ~0ull, CTL_ENABLE);
		break;
	default:
		/* Long due, with interrupts masked: kept until they are not. */
		mask_interrupts();
		stay(false, soon, CTL_ENABLE);
		unmask_interrupts();
		__asm__ volatile("isb");
		while (ticks() < soon || !fired)
			continue;
		put_fired();
	}
	set_control(which == '5', 0);
}

/* ---------------------------------------------------------------- the rest */

static bool obey(char command)
{
	switch (command) {
	case 'g':
		tell();
		break;
	case 'v':
	case 'w':
	case 'p':
		fire(command == 'p', SHORT_MS, command == 'w');
		break;
	case 'V':
	case 'P':
		fire(command == 'P', LONG_MS, false);
		break;
	case '1':
	case '2':
	case '3':
	case '4':
	case '5':
		never(command);
		break;
	case 'h':
		hold = true;
		fire(false, SOON_MS, false);
		hold = false;
		break;
	case 'n':
		tell_identity();
		break;
	case 'q':
		return false;
	default:
		break;
	}
	return true;
}

void guest_main(uint64_t fdt)
{
	unsigned cpus = cpu_count();
	uint64_t next = 0;
	bool go_on = true;

	(void)fdt;
	remember();
	on_interrupt = note_interrupt;
	gic_init(0);
	unmask_interrupts();
	for (unsigned i = 1; i < cpus; i++) {
		cpu_on(i);
		count = i + 1;
		while (!view[i].looks)
			look(0);
	}
	put_value("watching with ", count);
	put_text(".\n");
	while (go_on) {
		look(0);
		/* Each access to a device takes long. */
		if (ticks() < next)
			continue;
		go_on = obey(typed());
		next = ticks() + ticks_of_ms(POLL_MS);
	}
}
