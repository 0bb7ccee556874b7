# SPDX-License-Identifier: Apache-2.0
# add: out/stasis out/deps/kernels/newest/Image:kernel-newest
# guest: linux
#
# Linux guests of other sizes, kernels and initrds than the usual, their console, and how their
# kernel shares the host's page cache. boot.sh has what every host is to try.
. "$T/lib.sh"

for machine in "1 64" "4 3072"; do
	set -- $machine
	t_begin "Linux with $1 vCPU and $2 MiB"
	boot_linux "quiet" --cpus "$1" --memory "${2}M"
	memory=$(said memory)
	if ! ended_well; then
		t_fail "$problem" out
	elif [ "$(said cpus)" != "$1" ]; then
		t_fail "it saw $(said cpus) vCPUs" out
	# In KiB; the kernel and its tables take the rest.
	elif [ "$memory" -gt $(($2 * 1024)) ] ||
		[ "$memory" -lt $(($2 * 1024 * 95 / 100 - 50000)) ]; then
		t_fail "it saw $memory KiB" out
	else
		t_ok
	fi
done

t_begin "the PMU is there when it is asked for"
if stasis doctor | grep -q '^ok  *PMU  *not offered'; then
	t_skip "this host does not offer one"
else
	boot_linux "quiet guest.log" --cpus 2 --cpu pmu=on
	if ended_well && grep -q 'hw perfevents: enabled with armv8_pmuv3' out; then t_ok; else
		t_fail "the guest's log does not show it: $problem" out
	fi
fi

t_begin "an initrd of odd size"
{ cat "$T/linux.cpio"; head -c 1237 /dev/zero; } >odd.cpio
initrd=odd.cpio boot_linux quiet
if ended_well && [ -n "$(said initramfs)" ]; then t_ok; else t_fail "$problem" out; fi
rm -f odd.cpio

t_begin "a gzip-compressed kernel"
gzip -1 -c "$T/kernel-6.12" >Image.gz
kernel=Image.gz boot_linux quiet
if ended_well; then t_ok; else t_fail "$problem" out; fi
rm -f Image.gz

t_begin "the newest kernel"
kernel=$T/kernel-newest boot_linux quiet --cpus 2 --memory 256M
if ended_well && [ "$(said cpus)" = 2 ]; then t_ok; else t_fail "$problem" out; fi

# A guest with a shell, to be typed to.
mkfifo keys
stasis run --kernel "$T/kernel-6.12" --initrd "$T/linux.cpio" \
	--cmdline "console=ttyS0 quiet guest.shell" <keys >out 2>err &
pid=$!
exec 3>keys

t_begin "a shell in the guest gets what is typed"
if wait_for 60 out "guest: shell" && printf 'echo it is $((6 * 7)).\n' >&3 &&
	wait_for 20 out "^it is 42\\."; then
	t_ok
else
	t_fail "no answer" out
fi

# mapped FILE: KiB of the file's pages that stasis has mapped and not copied. It says where, too.
mapped() {
	awk -v name="$1" '
		/^[0-9a-f]+-[0-9a-f]+ / { here = $6 == name; if (here && $2 != "rw-p") exit 1 }
		here && $1 == "Rss:" { sum += $2 }
		here && $1 == "Anonymous:" { sum -= $2 }
		END { print sum + 0 }' "/proc/$pid/smaps"
}

t_begin "kernel and initrd are read into huge pages"
huge=$(awk '/^AnonHugePages:/ { sum += $2 } END { print sum + 0 }' "/proc/$pid/smaps")
if grep -q '\[never\]\|\[madvise\]' /sys/kernel/mm/transparent_hugepage/enabled; then
	t_skip "this host has none"
elif [ "$huge" -ge 24576 ] && [ "$(mapped "$T/kernel-6.12")" = 0 ]; then t_ok; else
	t_fail "$huge KiB of huge pages" /proc/$pid/maps
fi

t_begin "the guest ends when its shell does"
echo exit >&3
exec 3>&-
left=300
while kill -0 $pid 2>/dev/null && [ $left -gt 0 ]; do
	usleep 100000
	left=$((left - 1))
done
kill -9 $pid 2>/dev/null
wait $pid
status=$?
if [ $status -eq 0 ] && [ ! -s err ]; then t_ok; else t_fail "status $status" err; fi

rm -f keys
mkfifo keys
stasis run --kernel "$T/kernel-6.12" --initrd "$T/linux.cpio" --share-files \
	--cmdline "console=ttyS0 quiet guest.shell" <keys >out 2>err &
pid=$!
exec 3>keys
t_begin "with --share-files the kernel is mapped from its file, and mostly not copied"
wait_for 60 out "guest: shell"
size=$(mapped "$T/kernel-6.12")
if [ "${size:-0}" -ge 4096 ]; then t_ok; else
	grep -A 22 "kernel-6.12" /proc/$pid/smaps >smaps
	t_fail "only ${size:-0} KiB" smaps
fi

t_begin "so is the initrd"
if grep -q "rw-p .*$T/linux.cpio\$" /proc/$pid/maps; then t_ok; else t_fail "it is not"; fi
exec 3>&-
kill -9 $pid
wait $pid

t_done
