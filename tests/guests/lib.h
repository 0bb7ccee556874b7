/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the bare-metal guests share: output on the serial port, checks, PSCI,
 * interrupts and exceptions.  The MMU is off, so all memory is Device memory:
 * accesses are aligned and in order, and there are no atomics; what vCPUs share
 * has one writer each.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { CPUS_MAX = 32 };

#define BOOT_TIMER 0x40000000ull
#define RTC        0x40001000ull
#define SERIAL     0x40002000ull
#define WINDOW     0x1000ull

#define READ_SYSREG(name)                                                    \
	({                                                                   \
		uint64_t value_;                                             \
		__asm__ volatile("mrs %0, " #name : "=r"(value_)::"memory"); \
		value_;                                                      \
	})
#define WRITE_SYSREG(name, value)                                            \
	__asm__ volatile("msr " #name ", %0\n\tisb" ::"r"((uint64_t)(value)) \
			 : "memory")

/* Plain loads and stores that KVM can decode. */
static inline uint8_t read8(uint64_t at)
{
	uint32_t value;

	__asm__ volatile("ldrb %w0, [%1]" : "=r"(value) : "r"(at) : "memory");
	return (uint8_t)value;
}

static inline uint16_t read16(uint64_t at)
{
	uint32_t value;

	__asm__ volatile("ldrh %w0, [%1]" : "=r"(value) : "r"(at) : "memory");
	return (uint16_t)value;
}

static inline uint32_t read32(uint64_t at)
{
	uint32_t value;

	__asm__ volatile("ldr %w0, [%1]" : "=r"(value) : "r"(at) : "memory");
	return value;
}

static inline uint64_t read64(uint64_t at)
{
	uint64_t value;

	__asm__ volatile("ldr %0, [%1]" : "=r"(value) : "r"(at) : "memory");
	return value;
}

static inline void write8(uint64_t at, uint8_t value)
{
	__asm__ volatile("strb %w0, [%1]" ::"r"(value), "r"(at) : "memory");
}

static inline void write16(uint64_t at, uint16_t value)
{
	__asm__ volatile("strh %w0, [%1]" ::"r"(value), "r"(at) : "memory");
}

static inline void write32(uint64_t at, uint32_t value)
{
	__asm__ volatile("str %w0, [%1]" ::"r"(value), "r"(at) : "memory");
}

static inline void write64(uint64_t at, uint64_t value)
{
	__asm__ volatile("str %0, [%1]" ::"r"(value), "r"(at) : "memory");
}

/* The same with a width of 1, 2, 4 or 8. */
uint64_t read_width(uint64_t at, unsigned width);
void write_width(uint64_t at, unsigned width, uint64_t value);

/* ------------------------------------------------------------------- output */

void put_char(char c);
void put_text(const char *text);
void put_hex(uint64_t value);
void put_number(uint64_t value);

/* One line, "ok: what" or "FAIL: what"; gives the condition. */
bool check(bool condition, const char *what);

/* "FAIL: what: value, not wanted" if they differ. */
bool check_equal(uint64_t value, uint64_t wanted, const char *what);

/* -------------------------------------------------------------- the machine */

/* The guest's own code. */
void guest_main(uint64_t fdt);

/* A vCPU that guest_cpu_on() started; it idles when this returns. */
void guest_secondary(uint64_t index);

/* Says how the checks went and powers off. */
void guest_end(void) __attribute__((noreturn));

enum {
	PSCI_VERSION = 0x84000000,
	PSCI_CPU_OFF = 0x84000002,
	PSCI_CPU_ON = 0xc4000003,
	PSCI_AFFINITY_INFO = 0xc4000004,
	PSCI_SYSTEM_OFF = 0x84000008,
};
enum { PSCI_SUCCESS = 0, PSCI_INVALID_PARAMETERS = -2, PSCI_ALREADY_ON = -4 };
enum { PSCI_IS_ON = 0, PSCI_IS_OFF = 1 };

int64_t psci(uint64_t function, uint64_t a, uint64_t b, uint64_t c);

/* The affinity (MPIDR_EL1) of the vCPU with this number. */
uint64_t cpu_affinity(unsigned index);
unsigned cpu_count(void);
int64_t cpu_on(unsigned index);

/* --------------------------------------------------------------- exceptions */

struct frame {
	uint64_t x[31];
	uint64_t elr, spsr;
};

/*
 * What aborts is skipped and counted here.  An instruction that could not be
 * fetched returns to where x30 points, as if it had been called.
 */
extern volatile uint64_t data_aborts, fetch_aborts, undefined;

/* Called with interrupts masked. */
extern void (*volatile on_interrupt)(unsigned cpu, unsigned intid);

void unmask_interrupts(void);
void mask_interrupts(void);

/* ---------------------------------------------------- interrupts (gic.c) */

/* INTID_TIMER_EL2: of EL2's virtual timer, which has the name of EL1's there.
 */
enum {
	INTID_TIMER = 27,
	INTID_TIMER_EL2 = 28,
	INTID_TIMER_PHYS = 30,
	INTID_SERIAL = 32,
};

/* For the calling vCPU; vCPU 0 first, which sets up the distributor. */
void gic_init(unsigned cpu);
unsigned gic_acknowledge(void);
void gic_finish(unsigned intid);
void gic_send(unsigned cpu, unsigned intid);
bool gic_is_v3(void);
/* Of the SGIs and PPIs of @cpu, which this is: bit n is that of INTID n. */
uint32_t gic_enabled(unsigned cpu);
void gic_enable_only(unsigned cpu, uint32_t intids);

/* --------------------------------------------------------------------- time */

uint64_t ticks(void);
uint64_t ticks_of_ms(uint64_t ms);

/* Wait until @condition; false if that took longer than 20 s. */
#define wait_until(condition)                                   \
	({                                                      \
		uint64_t end_ = ticks() + ticks_of_ms(20000);   \
		bool met_ = false;                              \
		while (!(met_ = (condition)) && ticks() < end_) \
			__asm__ volatile("yield" ::: "memory"); \
		met_;                                           \
	})
