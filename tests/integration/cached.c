/* SPDX-License-Identifier: Apache-2.0 */
/* cached FILE: how many of its pages are in the page cache. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), pages, count = 0;
	int fd = argc == 2 ? open(argv[1], O_RDONLY) : -1;
	unsigned char *present;
	struct stat st;
	void *map;

	if (fd < 0 || fstat(fd, &st))
		return 2;
	pages = ((size_t)st.st_size + page - 1) / page;
	map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	present = malloc(pages);
	if (map == MAP_FAILED || !present ||
	    mincore(map, (size_t)st.st_size, present))
		return 1;
	for (size_t i = 0; i < pages; i++)
		count += present[i] & 1;
	printf("%zu\n", count);
	return 0;
}
