# SPDX-License-Identifier: Apache-2.0
# add: out/stasis
# add: out/tests/streams
# guest: load
# modules: tun
#
# A Linux guest that is busy with all its devices and checks everything it does
# (tests/integration/guests/load), snapshotted and restored in other processes for generations
# ($generations, 5), with its disk where it is, or with a copy of it beside each snapshot.
. "$T/lib.sh"

stasis doctor | grep -q "^ok  *counter offset" || {
	t_begin "a busy guest is restored"
	t_skip "this host's KVM takes no snapshots"
	t_done
}

ctl() { timeout 60 stasis ctl --socket "$PWD/s" "$@" >>ctl.out 2>&1; }
jobs="memory disk sleep random tcp"
# Since the last look, each job went on.
all_go_on() {
	tell 10 "rounds$1" "rounds $jobs"
	now=$(said "rounds$1") stuck=
	for job in $jobs; do
		count=$(echo "$now" | sed -n "s/.*\b$job \([0-9]*\).*/\1/p")
		before=$(echo "$last" | sed -n "s/.*\b$job \([0-9]*\).*/\1/p")
		[ "${count:-0}" -gt "${before:-0}" ] || stuck="$stuck $job: $before, $count;"
	done
	last=$now
	[ -z "$stuck" ]
}
# until_all_go_on NAME: within 20 s.
until_all_go_on() {
	goes_left=10 goes_from=$last
	until all_go_on "$1$goes_left"; do
		last=$goes_from
		[ $goes_left -gt 0 ] && kill -0 $guest_pid || return 1
		goes_left=$((goes_left - 1))
		sleep 1
	done
}
# A process that goes on from the snapshot, at the same console.
restore() {
	rm -f s v # of the one that was killed
	stasis restore "$PWD/shot" --api-sock "$PWD/s" "$@" >out 2>&1 <console 9<&- &
	guest_pid=$!
	restore_left=300
	until [ -S s ] || [ $restore_left -eq 0 ]; do
		restore_left=$((restore_left - 1))
		usleep 20000
	done
}
save() {
	ctl pause &&
		ctl put /snapshot/create "{\"snapshot_path\": \"$PWD/shot/state\", \"mem_file_path\": \"$PWD/shot/memory\"}" || return 1
	kill -KILL $guest_pid
	wait $guest_pid 2>/dev/null
	return 0
}

tunctl -t tap1 >/dev/null
ip address add 10.0.1.1/24 dev tap1
ip link set tap1 up
# Without a VMM the tap has no carrier, and the host forgets who is there. Then it finds nobody, and
# drops connections that only wait for their last bytes to arrive (tcp_orphan_retries).
arp -s 10.0.1.2 06:00:00:00:00:01
"$T/streams" echo tcp:10.0.1.1:7000 >tcp.out 2>&1 &
"$T/streams" echo "unix:$PWD/v_60" >vsock.out 2>&1 &
dd if=/dev/zero of=disk bs=1M count=0 seek=48 2>/dev/null
mkdir shot

rm -f console
mkfifo console
exec 9<>console
stasis run --kernel "$T/kernel-6.12" --initrd "$T/load.cpio" --api-sock "$PWD/s" --cpus 2 --memory 192M \
	--disk disk --entropy --net tap1,mac=06:00:00:00:00:01 --vsock "3,$PWD/v" --balloon 0 \
	--cmdline "console=ttyS0 quiet panic=-1" >out 2>&1 <console 9<&- &
guest_pid=$!

t_begin "a guest is busy with memory, disk, timers, random numbers and TCP"
wait_for 60 out "guest: ready" && echo load >&9 && until_all_go_on start
if [ $? -eq 0 ]; then t_ok; else t_fail "stuck: $stuck" out; fi
tell 20 boot "cat /proc/sys/kernel/random/boot_id"
boot=$(said boot)
echo "streams echo vsock:4294967295:52 &" >&9
wait_for 10 out "streams: listening"

n=0
while [ $n -lt "${generations:-5}" ]; do
	n=$((n + 1))
	t_begin "generation $n: it goes on with all of it, in another process"
	away=0 how=
	save || how=unsaved
	case $n in
	1) away=8 ;;
	*[13579])
		cp disk disk.copy
		mv disk.copy disk # another file, of the same bytes
		how="--disk disk0=$PWD/disk"
		;;
	esac
	sleep $away
	restore $how
	if [ "$how" != unsaved ] && until_all_go_on "generation$n"; then t_ok; else
		cat ctl.out >>out
		t_fail "stuck: $stuck" out
		t_done
	fi
	[ $n -ne 1 ] || {
		t_begin "nobody slept through the 8 s that it was away, and it was not booted again"
		tell 20 longest "cat /tmp/longest"
		tell 20 boot "cat /proc/sys/kernel/random/boot_id"
		if [ "$(said longest)" -gt 0 ] && [ "$(said longest)" -lt 8000 ] && [ "$(said boot)" = "$boot" ]; then t_ok; else
			t_fail "$(said longest) ms, boot $(said boot), was $boot" out
		fi
	}
done

t_begin "vsock: who listened listens on, and new connections are made both ways"
tell 30 connects "streams check vsock:2:60 4 65536"
timeout 30 "$T/streams" check "unix:$PWD/v:52" 4 65536 >check.out 2>&1
if said connects | grep -q "bytes in" && grep -q "bytes in" check.out; then t_ok; else
	t_fail "the guest: $(said connects)" check.out
fi
t_begin "the balloon takes what it is told"
tell 20 total "awk '/^MemTotal/ { print \$2 }' /proc/meminfo"
ctl patch /balloon '{"amount_mib": 32}'
balloon_left=20
until tell 20 "total$balloon_left" "awk '/^MemTotal/ { print \$2 }' /proc/meminfo" &&
	[ $(($(said total) - $(said "total$balloon_left"))) -ge 32768 ] || [ $balloon_left -eq 0 ]; do
	balloon_left=$((balloon_left - 1))
	sleep 1
done
if [ $balloon_left -gt 0 ]; then t_ok; else t_fail "it does not" ctl.out; fi

t_begin "nothing was wrong, in any generation"
tell 20 wrong "wc -l </tmp/wrong"
tell 20 first "head -n 1 /tmp/wrong"
tell 20 noise "dmesg | grep -ciE 'soft lockup|rcu.*stall|hung|spurious|I/O error|ext4-fs error'"
if [ "$(said wrong)" = 0 ] && [ "$(said noise)" = 0 ]; then t_ok; else
	tell 20 which "dmesg | grep -iE 'soft lockup|rcu.*stall|hung|spurious|I/O error|ext4-fs error' | head -n 1"
	t_fail "$(said wrong) things: $(said first); $(said which)" out
fi
t_begin "its file system can be unmounted and read again, and it powers off"
tell 60 files "touch /tmp/stop; for i in \$(seq 100); do umount /mnt 2>/dev/null && break; sleep 0.2; done;
	mount -t ext4 -o ro /dev/vda /mnt && cat /mnt/[0-7] | wc -c"
if end_guest && [ "$(said files)" -ge 2621440 ]; then t_ok; else t_fail "$(said files), status $guest_status" out; fi
t_done
