/* SPDX-License-Identifier: Apache-2.0 */
/* hugefile SOURCE DEST: copies a file to hugetlbfs, to which write() does not.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct stat st;
	void *from, *to;
	int in, out;

	if (argc != 3)
		return 2;
	in = open(argv[1], O_RDONLY);
	out = open(argv[2], O_RDWR | O_CREAT | O_EXCL, 0600);
	if (in < 0 || out < 0 || fstat(in, &st) || ftruncate(out, st.st_size)) {
		perror(argv[2]);
		return 1;
	}
	from = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, in, 0);
	to = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED,
		  out, 0);
	if (from == MAP_FAILED || to == MAP_FAILED) {
		perror(argv[2]);
		return 1;
	}
	memcpy(to, from, (size_t)st.st_size);
	return 0;
}
