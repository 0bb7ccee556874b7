/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/guests/lib.h"

enum { THR = 0, LSR = 5, LSR_THRE = 0x20 };

static unsigned checks, failures;

volatile uint64_t data_aborts, fetch_aborts, undefined;
void (*volatile on_interrupt)(unsigned cpu, unsigned intid);

uint64_t read_width(uint64_t at, unsigned width)
{
	switch (width) {
	case 1:
		return read8(at);
	case 2:
		return read16(at);
	case 4:
		return read32(at);
	default:
		return read64(at);
	}
}

void write_width(uint64_t at, unsigned width, uint64_t value)
{
	switch (width) {
	case 1:
		write8(at, (uint8_t)value);
		break;
	case 2:
		write16(at, (uint16_t)value);
		break;
	case 4:
		write32(at, (uint32_t)value);
		break;
	default:
		write64(at, value);
		break;
	}
}

/* ------------------------------------------------------------------- output */

void put_char(char c)
{
	while (!(read8(SERIAL + LSR) & LSR_THRE))
		continue;
	write8(SERIAL + THR, (uint8_t)c);
}

void put_text(const char *text)
{
	while (*text)
		put_char(*text++);
}

void put_hex(uint64_t value)
{
	int shift = 60;

	put_text("0x");
	while (shift && !(value >> shift))
		shift -= 4;
	for (; shift >= 0; shift -= 4)
		put_char("0123456789abcdef"[value >> shift & 15]);
}

void put_number(uint64_t value)
{
	if (value >= 10)
		put_number(value / 10);
	put_char((char)('0' + value % 10));
}

bool check(bool condition, const char *what)
{
	checks++;
	failures += !condition;
	put_text(condition ? "ok: " : "FAIL: ");
	put_text(what);
	put_text("\r\n");
	return condition;
}

bool check_equal(uint64_t value, uint64_t wanted, const char *what)
{
	if (value == wanted)
		return check(true, what);
	put_text("# it is ");
	put_hex(value);
	put_text(", not ");
	put_hex(wanted);
	put_text("\r\n");
	return check(false, what);
}

/* -------------------------------------------------------------- the machine */

int64_t psci(uint64_t function, uint64_t a, uint64_t b, uint64_t c)
{
	register uint64_t x0 __asm__("x0") = function;
	register uint64_t x1 __asm__("x1") = a;
	register uint64_t x2 __asm__("x2") = b;
	register uint64_t x3 __asm__("x3") = c;

	/* A hypervisor would call itself. */
	if (READ_SYSREG(CurrentEL) >> 2 == 2)
		__asm__ volatile("smc #0"
				 : "+r"(x0), "+r"(x1), "+r"(x2),
				   "+r"(x3)::"memory");
	else
		__asm__ volatile("hvc #0"
				 : "+r"(x0), "+r"(x1), "+r"(x2),
				   "+r"(x3)::"memory");
	return (int64_t)x0;
}

void guest_end(void)
{
	put_text("done: ");
	put_number(checks);
	put_text(" checks, ");
	put_number(failures);
	put_text(" failed\r\n");
	for (;;)
		psci(PSCI_SYSTEM_OFF, 0, 0, 0);
}

__attribute__((weak)) void guest_secondary(uint64_t index)
{
	(void)index;
}

uint64_t cpu_affinity(unsigned index)
{
	/* As KVM numbers them: sixteen to a cluster. */
	return index % 16 | (uint64_t)(index / 16) << 8;
}

unsigned cpu_count(void)
{
	unsigned n = 1;

	while (n < CPUS_MAX &&
	       psci(PSCI_AFFINITY_INFO, cpu_affinity(n), 0, 0) >= 0)
		n++;
	return n;
}

extern const char secondary_entry[];

int64_t cpu_on(unsigned index)
{
	return psci(PSCI_CPU_ON, cpu_affinity(index),
		    (uint64_t)(uintptr_t)secondary_entry, index);
}

/* --------------------------------------------------------------- exceptions */

enum {
	VECTOR_SYNC = 4, /* of this level, with its own stack */
	VECTOR_IRQ = 5,
	EC_UNKNOWN = 0x00,
	EC_FETCH_ABORT = 0x21,
	EC_PC_ALIGNMENT = 0x22,
	EC_DATA_ABORT = 0x25,
};

static void give_up(const struct frame *f, uint64_t vector)
{
	put_text("# vector ");
	put_number(vector);
	put_text(" esr ");
	put_hex(READ_SYSREG(esr_el1));
	put_text(" far ");
	put_hex(READ_SYSREG(far_el1));
	put_text(" pc ");
	put_hex(f->elr);
	put_text("\r\n");
	check(false, "no unexpected exception");
	guest_end();
}

static void synchronous(struct frame *f, uint64_t vector)
{
	/* Linux before 6.2 sets the upper half of what it injects. */
	switch (READ_SYSREG(esr_el1) >> 26 & 0x3f) {
	case EC_DATA_ABORT:
		data_aborts++;
		f->elr += 4;
		break;
	case EC_UNKNOWN:
		undefined++;
		f->elr += 4;
		break;
	case EC_FETCH_ABORT:
	case EC_PC_ALIGNMENT:
		fetch_aborts++;
		f->elr = f->x[30];
		break;
	default:
		give_up(f, vector);
	}
}

static unsigned this_cpu(void)
{
	uint64_t mpidr = READ_SYSREG(mpidr_el1);

	return (unsigned)((mpidr & 15) | (mpidr >> 8 & 255) << 4);
}

/* Called from start.S. */
void exception(struct frame *f, uint64_t vector);

void exception(struct frame *f, uint64_t vector)
{
	unsigned intid;

	if (vector == VECTOR_SYNC) {
		synchronous(f, vector);
	} else if (vector == VECTOR_IRQ) {
		intid = gic_acknowledge();
		if (on_interrupt)
			on_interrupt(this_cpu(), intid);
		gic_finish(intid);
	} else {
		give_up(f, vector);
	}
}

void unmask_interrupts(void)
{
	__asm__ volatile("msr daifclr, #2" ::: "memory");
}

void mask_interrupts(void)
{
	__asm__ volatile("msr daifset, #2" ::: "memory");
}

/* --------------------------------------------------------------------- time */

uint64_t ticks(void)
{
	__asm__ volatile("isb" ::: "memory");
	return READ_SYSREG(cntvct_el0);
}

uint64_t ticks_of_ms(uint64_t ms)
{
	return READ_SYSREG(cntfrq_el0) * ms / 1000;
}
