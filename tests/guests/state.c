/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest whose vCPUs keep something in every register they have, and look all
 * the time whether it is still there: FP and SIMD, or SVE where there is one,
 * predicates, FPCR, what threads and translation have, keys for pointers.  A
 * typed n makes it tell, a q power off.
 */
#include "tests/guests/lib.h"

enum { RBR = 0, LSR = 5, LSR_DATA_READY = 1 };
enum { VECTORS = 32, PREDICATES = 16, VECTOR_MAX = 256 };
enum { CPACR_ZEN = 3 << 16, CPACR_FPEN = 3 << 20 };
enum { WATCHED = 12 };

/* Each vCPU writes its own. */
static volatile struct report {
	uint64_t rounds, wrong, first_wrong;
} report[CPUS_MAX];

static uint8_t wanted[CPUS_MAX][VECTORS][VECTOR_MAX]
	__attribute__((aligned(256)));
static uint8_t found[CPUS_MAX][VECTORS][VECTOR_MAX]
	__attribute__((aligned(256)));
static uint64_t system_wanted[CPUS_MAX][WATCHED];
static bool has_sve, has_pauth;
static uint64_t vector_bytes = 16;
static unsigned count = 1;

/* ------------------------------------------------------------------ vectors */

#define EACH(x)                                                             \
	x(0) x(1) x(2) x(3) x(4) x(5) x(6) x(7) x(8) x(9) x(10) x(11) x(12) \
		x(13) x(14) x(15) x(16) x(17) x(18) x(19) x(20) x(21) x(22) \
			x(23) x(24) x(25) x(26) x(27) x(28) x(29) x(30) x(31)

/* One after the other, @vector_bytes each. */
#define LOAD_Q(n)  "ldr q" #n ", [%0, #" #n " * 16]\n\t"
#define STORE_Q(n) "str q" #n ", [%0, #" #n " * 16]\n\t"
#define LOAD_Z(n)  "ldr z" #n ", [%0, #" #n ", mul vl]\n\t"
#define STORE_Z(n) "str z" #n ", [%0, #" #n ", mul vl]\n\t"

static void load_vectors(const void *from)
{
	if (has_sve)
		__asm__ volatile(
			".arch_extension sve\n\t" EACH(LOAD_Z)::"r"(from)
			: "memory");
	else
		__asm__ volatile(
			".arch_extension simd\n\t" EACH(LOAD_Q)::"r"(from)
			: "memory");
}

static void store_vectors(void *to)
{
	if (has_sve)
		__asm__ volatile(
			".arch_extension sve\n\t" EACH(STORE_Z)::"r"(to)
			: "memory");
	else
		__asm__ volatile(
			".arch_extension simd\n\t" EACH(STORE_Q)::"r"(to)
			: "memory");
}

/* Two of them, a bit for each byte; FFR may only have ones below zeroes. */
static void set_predicates(void *bits)
{
	__asm__ volatile(".arch_extension sve\n\t"
			 "ptrue p0.b, vl8\n\t"
			 "wrffr p0.b\n\t"
			 "ldr p3, [%0]\n\t"
			 "ldr p15, [%0]\n\t" ::"r"(bits)
			 : "memory");
}

static void get_predicates(void *p3, void *p15, void *ffr)
{
	__asm__ volatile(".arch_extension sve\n\t"
			 "str p3, [%0]\n\t"
			 "str p15, [%1]\n\t"
			 "rdffr p0.b\n\t"
			 "str p0, [%2]\n\t" ::"r"(p3),
			 "r"(p15), "r"(ffr)
			 : "memory");
}

/* The longest vectors there are, and how many bytes that is. */
static void enable_sve(void)
{
	uint64_t bytes;

	WRITE_SYSREG(cpacr_el1, CPACR_FPEN | CPACR_ZEN);
	WRITE_SYSREG(S3_0_C1_C2_0, 15); /* ZCR_EL1 */
	__asm__ volatile(".arch_extension sve\n\trdvl %0, #1" : "=r"(bytes));
	vector_bytes = bytes;
}

/* --------------------------------------------------------- system registers */

/* 8 and 9: FPCR and FPSR. */
#define SYSTEM(x)                                                         \
	x(0, tpidr_el0) x(1, tpidrro_el0) x(2, tpidr_el1) x(3, ttbr0_el1) \
		x(4, ttbr1_el1) x(5, mair_el1) x(6, contextidr_el1)       \
			x(7, par_el1) x(8, S3_3_C4_C4_0) x(9, S3_3_C4_C4_1)

#define APIAKEYLO "S3_0_C2_C1_0"
#define APGAKEYHI "S3_0_C2_C3_1"

static void fill_system(unsigned cpu)
{
	uint64_t *at = system_wanted[cpu];
	const uint64_t value = 0x1234500 + cpu * 0x10;

#define WRITE_ONE(n, name) \
	WRITE_SYSREG(name, (n) == 8 ? 3 << 22 : (n) == 9 ? 0x1f : value + (n));
	SYSTEM(WRITE_ONE)
	/* As far as they can be written. */
#define READ_ONE(n, name) at[n] = READ_SYSREG(name);
	SYSTEM(READ_ONE)
	if (has_pauth) {
		__asm__ volatile("msr " APIAKEYLO ", %0\n\tmsr " APGAKEYHI
				 ", %1" ::"r"(~value),
				 "r"(value * 3));
		at[10] = ~value;
		at[11] = value * 3;
	}
}

static void wrong(unsigned cpu, uint64_t what)
{
	if (!report[cpu].wrong)
		report[cpu].first_wrong = what;
	report[cpu].wrong++;
}

static void check_system(unsigned cpu)
{
	const uint64_t *at = system_wanted[cpu];
	uint64_t key;

#define CHECK_ONE(n, name)              \
	if (READ_SYSREG(name) != at[n]) \
		wrong(cpu, 1000 + (n));
	SYSTEM(CHECK_ONE)
	if (!has_pauth)
		return;
	__asm__ volatile("mrs %0, " APIAKEYLO : "=r"(key));
	if (key != at[10])
		wrong(cpu, 1010);
	__asm__ volatile("mrs %0, " APGAKEYHI : "=r"(key));
	if (key != at[11])
		wrong(cpu, 1011);
}

/* ------------------------------------------------------ interrupt controller
 */

/* Not all SGIs, as in no new VM: KVM enables them. */
static uint32_t enabled_wanted(unsigned cpu)
{
	return 0x08000055u + cpu;
}

static void check_enabled(unsigned cpu)
{
	if (gic_enabled(cpu) != enabled_wanted(cpu))
		wrong(cpu, 0xe0000 + cpu);
}

/* ---------------------------------------------------------------- all vCPUs */

static void fill(unsigned cpu)
{
	uint64_t *at = (uint64_t *)wanted[cpu];

	if (has_sve)
		enable_sve();
	for (unsigned i = 0; i < VECTORS * VECTOR_MAX / 8; i++)
		at[i] = (cpu * 0x10001 + i + 1) * 0x9e3779b97f4a7c15ull;
	load_vectors(at);
	if (has_sve)
		set_predicates(at);
	fill_system(cpu);
	gic_enable_only(cpu, enabled_wanted(cpu));
}

static void check_vectors(unsigned cpu)
{
	const uint64_t *want = (const uint64_t *)wanted[cpu];
	const uint64_t *is = (const uint64_t *)found[cpu];

	store_vectors(found[cpu]);
	for (unsigned i = 0; i < VECTORS * vector_bytes / 8; i++) {
		if (is[i] != want[i])
			wrong(cpu, i);
	}
}

/* Which have a bit for each byte of a vector. */
static void check_predicates(unsigned cpu)
{
	uint8_t *want = wanted[cpu][0];
	uint8_t(*p)[VECTOR_MAX] = found[cpu];

	get_predicates(p[0], p[1], p[2]);
	for (unsigned i = 0; i < vector_bytes / 8; i++) {
		if (p[0][i] != want[i] || p[1][i] != want[i])
			wrong(cpu, 2000);
		if (p[2][i] != (i ? 0 : 0xff))
			wrong(cpu, 2001);
	}
}

static void keep_looking(unsigned cpu)
{
	check_vectors(cpu);
	if (has_sve)
		check_predicates(cpu);
	check_system(cpu);
	check_enabled(cpu);
	report[cpu].rounds++;
}

void guest_secondary(uint64_t index)
{
	fill((unsigned)index);
	for (;;)
		keep_looking((unsigned)index);
}

static void tell(void)
{
	uint64_t rounds = ~0ull, errors = 0, first = 0;

	for (unsigned i = 0; i < count; i++) {
		if (report[i].rounds < rounds)
			rounds = report[i].rounds;
		errors += report[i].wrong;
		if (report[i].wrong)
			first = report[i].first_wrong;
	}
	put_text("kept rounds ");
	put_number(rounds);
	put_text(" wrong ");
	put_number(errors);
	put_text(" first ");
	put_number(first);
	put_text(" vector ");
	put_number(vector_bytes);
	put_text(has_pauth ? " keys 1.\n" : " keys 0.\n");
}

static char typed(void)
{
	if (!(read8(SERIAL + LSR) & LSR_DATA_READY))
		return 0;
	return (char)read8(SERIAL + RBR);
}

void guest_main(uint64_t fdt)
{
	/* ID_AA64PFR0_EL1.SVE, ID_AA64ISAR1_EL1.APA and .API */
	char command = 0;

	(void)fdt;
	has_sve = READ_SYSREG(S3_0_C0_C4_0) >> 32 & 15;
	has_pauth = READ_SYSREG(S3_0_C0_C6_1) >> 4 & 0xff;
	count = cpu_count();
	for (unsigned i = 1; i < count; i++)
		cpu_on(i);
	fill(0);
	put_text("keeping.\n");
	while (command != 'q') {
		keep_looking(0);
		command = typed();
		if (command == 'n')
			tell();
	}
}
