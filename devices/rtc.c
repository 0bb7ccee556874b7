/* SPDX-License-Identifier: Apache-2.0 */
#include "devices/rtc.h"

#include <stdatomic.h>
#include <time.h>

#include "snapshot/codec.h"

enum {
	RTC_DR = 0x00, /* data: seconds, read-only */
	RTC_MR = 0x04, /* match */
	RTC_LR = 0x08, /* load: sets the time */
	RTC_CR = 0x0c, /* control: always enabled */
	RTC_IMSC = 0x10,
	RTC_RIS = 0x14,
	RTC_MIS = 0x18,
	RTC_ICR = 0x1c,
	RTC_ID = 0xfe0, /* eight ID registers, to the end of the page */
};

static uint32_t host_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint32_t)now.tv_sec;
}

static uint32_t read_id(uint64_t offset)
{
	/* PL031 revision 1, then the PrimeCell mark. */
	static const uint8_t id[] = {0x31, 0x10, 0x14, 0x00,
				     0x0d, 0xf0, 0x05, 0xb1};

	return id[(offset - RTC_ID) / 4];
}

static uint64_t rtc_read(void *device, uint64_t offset, unsigned len)
{
	struct rtc *rtc = device;

	if (len != 4 || offset % 4)
		return 0; /* the registers are words */
	if (offset >= RTC_ID)
		return read_id(offset);
	switch (offset) {
	case RTC_DR:
		return host_seconds() + atomic_load(&rtc->shift);
	case RTC_MR:
		return atomic_load(&rtc->match);
	case RTC_LR:
		return atomic_load(&rtc->load);
	case RTC_CR:
		return 1;
	case RTC_IMSC:
		return atomic_load(&rtc->mask);
	default:
		return 0;
	}
}

static void rtc_write(void *device, uint64_t offset, unsigned len,
		      uint64_t value)
{
	struct rtc *rtc = device;
	uint32_t word = (uint32_t)value;

	if (len != 4)
		return;
	switch (offset) {
	case RTC_MR:
		atomic_store(&rtc->match, word);
		break;
	case RTC_LR:
		atomic_store(&rtc->load, word);
		atomic_store(&rtc->shift, word - host_seconds());
		break;
	case RTC_IMSC:
		atomic_store(&rtc->mask, word & 1);
		break;
	default:
		break;
	}
}

const struct mmio_ops rtc_mmio_ops = {
	.read = rtc_read,
	.write = rtc_write,
};

static void word_state(_Atomic uint32_t *word, struct snap *s)
{
	uint32_t value = atomic_load(word);

	snap_u32(s, &value);
	atomic_store(word, value);
}

void rtc_state(struct rtc *rtc, struct snap *s)
{
	snap_begin(s, SNAP_TAG('r', 't', 'c', ' '));
	word_state(&rtc->shift, s);
	word_state(&rtc->load, s);
	word_state(&rtc->match, s);
	word_state(&rtc->mask, s);
	snap_end(s);
}
