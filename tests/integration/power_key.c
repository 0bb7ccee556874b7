/* SPDX-License-Identifier: Apache-2.0 */
/*
 * In a guest: waits until line 0 of the first GPIO controller was pressed and
 * released, and tells for how long.  It takes interrupts from Linux's PL061
 * driver, as gpio-keys does.
 */
#include <fcntl.h>
#include <linux/gpio.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static int fail(const char *what)
{
	perror(what);
	return 1;
}

int main(void)
{
	struct gpio_v2_line_request line = {
		.num_lines = 1,
		.config.flags = GPIO_V2_LINE_FLAG_INPUT |
				GPIO_V2_LINE_FLAG_EDGE_RISING |
				GPIO_V2_LINE_FLAG_EDGE_FALLING,
	};
	struct gpio_v2_line_event down, up;
	struct gpiochip_info chip;
	int fd = open("/dev/gpiochip0", O_RDWR);

	if (fd < 0 || ioctl(fd, GPIO_GET_CHIPINFO_IOCTL, &chip))
		return fail("/dev/gpiochip0");
	printf("guest: gpio=%s %u lines\n", chip.label, chip.lines);
	if (ioctl(fd, GPIO_V2_GET_LINE_IOCTL, &line))
		return fail("line 0");
	printf("guest: waiting\n");
	fflush(stdout);
	if (read(line.fd, &down, sizeof(down)) != sizeof(down) ||
	    read(line.fd, &up, sizeof(up)) != sizeof(up))
		return fail("events");
	if (down.id != GPIO_V2_LINE_EVENT_RISING_EDGE ||
	    up.id != GPIO_V2_LINE_EVENT_FALLING_EDGE)
		return fail("not a press and a release");
	printf("guest: pressed=%llu ms\n",
	       (unsigned long long)(up.timestamp_ns - down.timestamp_ns) /
		       1000000);
	return 0;
}
