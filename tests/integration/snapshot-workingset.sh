# SPDX-License-Identifier: Apache-2.0
# add: out/stasis out/guests/pages.img out/tests/cached
# modules: loop
#
# Working sets: what a restored guest touches is recorded once, and read ahead of those that are
# restored later. On a disk of our own, of which the page cache can be emptied.
. "$T/lib.sh"

stasis doctor | grep -q "^ok  *counter offset" || {
	t_begin "working sets"
	t_skip "this host's KVM takes no snapshots"
	t_done
}
mkdir disk
if ! { truncate -s 100M disk.img && losetup /dev/loop0 disk.img && mke2fs -q -b 4096 /dev/loop0 &&
	mount -t ext4 /dev/loop0 disk; } >made 2>&1; then
	t_begin "working sets"
	t_skip "this host makes no disk: $(tr '\n' ' ' <made)"
	t_done
fi

# forget: nothing of the disk is in memory.
forget() { sync && echo 3 >/proc/sys/vm/drop_caches; }
cached() { "$T/cached" "$1/memory"; }

# start COMMAND...: a VMM whose guest takes what is written to descriptor 3.
start() {
	rm -f typed sock
	: >out
	mkfifo typed
	timeout -s KILL 60 "$@" --api-sock "$PWD/sock" --log-level info <typed >out 2>&1 &
	vmm=$!
	exec 3>typed
}
end() {
	printf q >&3
	exec 3>&-
	wait $vmm
}
has_read() { wait_for 20 out "^read 96 wrong 0"; }
ctl() { timeout 20 stasis ctl --socket "$PWD/sock" "$@" >said 2>&1; }
# Faults for which a disk had to be waited for, of all its threads.
waits() { cut -d " " -f 12 "/proc/$(pidof stasis)/stat"; }
verdict() {
	[ "$1" -ne 0 ] || { t_ok && return; }
	t_fail "$2" out
}

t_begin "what a guest touches is recorded, by request"
start stasis run --kernel "$T/pages.img" --memory 32M
wait_for 30 out "^waiting"
stasis snapshot disk/shot --socket sock --paused >said 2>&1 && ctl stop
exec 3>&-
wait $vmm
before=$(md5sum disk/shot/*)
start stasis restore disk/shot --record-working-set
has_read && end && [ "$(md5sum disk/shot/memory disk/shot/state)" = "$before" ] &&
	[ -s disk/shot/memory.ws ] && [ ! -e disk/shot/memory.ws.next ] && grep -q "recorded the working set" out
verdict $? "there is $(ls disk/shot | tr '\n' ' ')"

t_begin "in the order in which it does, and little else"
stasis inspect disk/shot/memory.ws --json | tr '{' '\n' |
	sed -n 's/.*"page":\([0-9]*\),"pages":\([0-9]*\).*/\1 \2/p' >ranges
# Blocks of 1024 pages from page 1024 on, of which each 32nd is read.
order=$(awk '{
	for (i = $1; i < $1 + $2; i++) {
		total++
		n = i - 1024
		if (n < 0 || n >= 3 * 1024 || n % 32)
			continue
		block = int(n / 1024)
		count[block]++
		if (order == "" || block != last)
			order = order block
		last = block
	}
} END { print order, count[0], count[1], count[2], total }' ranges)
case $order in
"201 32 32 32 "*) [ "${order##* }" -lt 200 ] ;;
*) false ;;
esac
verdict $? "blocks, pages of each, all: $order"

t_begin "without it nothing is read of which nobody asked"
mv disk/shot/memory.ws set.ws
forget
start stasis restore disk/shot --paused
until [ -S sock ]; do usleep 20000; done
usleep 300000
cold=$(cached disk/shot)
[ "$cold" -lt 100 ]
verdict $? "$cold pages are in the page cache"
t_begin "and the guest waits for the disk, page by page"
ctl resume
has_read
cold_waits=$(waits)
end && [ "$cold_waits" -ge 80 ]
verdict $? "it waited $cold_waits times"

t_begin "with it, all of it is there before the guest runs"
mv set.ws disk/shot/memory.ws
forget
start stasis restore disk/shot --paused
until [ -S sock ]; do usleep 20000; done
left=100
while warm=$(cached disk/shot) && [ "$warm" -lt 96 ] && [ $left -gt 0 ]; do
	left=$((left - 1))
	usleep 20000
done
[ "$warm" -ge 96 ] && [ "$warm" -lt 500 ]
verdict $? "$warm pages are in the page cache"
t_begin "which does not wait"
ctl resume
has_read
warm_waits=$(waits)
end && [ "$warm_waits" -le 10 ]
verdict $? "it waited $warm_waits times"
echo "# waits for the disk: $cold_waits without a working set, $warm_waits with it"

# ignored PATTERN: the guest goes on, the log has one line.
ignored() {
	forget
	start stasis restore disk/shot --paused
	wait_for 20 out "working set"
	ignored=$(grep -c "working set" out)
	grep -q "warning: the working set is not used: .*memory.ws.*$1" out && [ "$ignored" = 1 ] &&
		[ "$(cached disk/shot)" -lt 100 ] && ctl stop
	ignored=$?
	exec 3>&-
	wait $vmm && return $ignored
}
t_begin "one that is damaged is not used, and said so once"
cp disk/shot/memory.ws set.ws
printf '\377' | dd of=disk/shot/memory.ws bs=1 seek=60 conv=notrunc 2>/dev/null
ignored "its checksum is wrong"
verdict $? "it is"

t_begin "nor is the one of the snapshot before"
cp set.ws disk/shot/memory.ws
start stasis restore disk/shot --paused
until [ -S sock ]; do usleep 20000; done
stasis snapshot disk/shot --socket sock --paused >said 2>&1 && ctl stop
exec 3>&-
wait $vmm
ignored "is of another snapshot"
verdict $? "it is"

t_begin "of memory that is not mapped none is recorded"
run_guest 20 out stasis restore disk/shot --eager --record-working-set
[ $? -eq 153 ] && grep -q "Eager. reads all of it" out
verdict $? "status $run_status"

umount disk
losetup -d /dev/loop0
t_done
