# SPDX-License-Identifier: Apache-2.0
# add: out/stasis out/guests/clock.img out/tests/clock_host
# seconds: 600
#
# Stalls: SIGSTOP and the cgroup freezer stop a VMM whose guest looks at its counters on all vCPUs
# (tests/guests/clock.c). With `on_stop` frozen the guest gets that time back and never sees a counter
# go back; without, it sees the jump. Both are told.
. "$T/lib.sh"

clock_host() { "$T/clock_host" "$@"; }
hz=$(clock_host counter | cut -d ' ' -f 2)
ctl() { timeout 30 stasis ctl --socket vm.sock "$@" >said 2>&1 </dev/null; }
between() { [ "$1" -le "$2" ] && [ "$2" -le "$3" ]; }
verdict() { if [ "$1" -eq 0 ]; then t_ok; else t_fail "$2" said; fi; }

# start CPUS CLOCK: a guest, with CLOCK as its machine's "clock".
start() {
	rm -f vm.sock out typed events
	mkfifo typed
	printf '{"boot-source": {"kernel_image_path": "%s", "boot_args": "console=ttyS0"}, "drives": [],
		"machine-config": {"vcpu_count": %d, "mem_size_mib": 64, "clock": %s}}' \
		"$T/clock.img" "$1" "$2" >vm.json
	stasis --api-sock vm.sock --config-file vm.json <typed >out 2>&1 &
	vmm=$!
	exec 3>typed
	wait_for 30 out "^watching with $1"
	timeout 120 stasis ctl --socket vm.sock --timeout 100 events >events 2>&1 &
	wait_for 10 events state
}
end() {
	printf q >&3
	exec 3>&-
	wait $vmm
}

# tell: the guest's longest gap since the last time, in $line.
lines() { tr -d '\r' <out | grep -c "^saw gap.*\.\$"; }
tell() {
	tell_before=$(lines) tell_left=600
	printf g >&3
	while [ "$(lines)" -le "$tell_before" ]; do
		[ $tell_left -gt 0 ] || return 1
		tell_left=$((tell_left - 1))
		usleep 50000
	done
	line=$(tr -d '\r' <out | grep "^saw gap.*\.\$" | tail -n 1)
}
of() { echo "$line" | sed -n "s/.*\b$1 \([0-9]*\).*/\1/p"; }
# stalled N: of the longest stall in GET /clock: 1, how long at most; 2, the error. A busy machine may
# keep its emulated host from running, too.
stalled() {
	stasis ctl --socket vm.sock --json clock >clock
	sed 's/.*"history"//' clock | tr '{' '\n' | grep '"event":"stalled"' |
		sed -n "s/.*\"at_most_ns\":\([0-9]*\),.*\"error_ticks\":\([0-9]*\).*/\1 \2/p" |
		sort -n | tail -n 1 | cut -d ' ' -f "$1"
}
offset() { stasis ctl --socket vm.sock --json clock | sed -n 's/.*"host_counter":[0-9]*,"offset":\(-*[0-9]*\),"guest.*host_mon.*/\1/p'; }
stalls() { grep -c '"stalled"\|stalled' events; }

grep -q " /sys/fs/cgroup cgroup2 " /proc/mounts || mount -t cgroup2 none /sys/fs/cgroup 2>/dev/null
box=/sys/fs/cgroup/stalls
has_freezer() { mkdir -p $box 2>/dev/null && [ -e $box/cgroup.freeze ]; }

by_signal() {
	kill -STOP $vmm
	until grep -q "^State:.*T" /proc/$vmm/status; do usleep 10000; done
	from=$(clock_host counter | cut -d ' ' -f 1)
	sleep "$1"
	lasted=$(clock_host minus "$(clock_host counter | cut -d ' ' -f 1)" "$from")
	kill -CONT $vmm
}
by_freezer() {
	echo $vmm >$box/cgroup.procs
	echo 1 >$box/cgroup.freeze
	wait_for 30 $box/cgroup.events "^frozen 1"
	from=$(clock_host counter | cut -d ' ' -f 1)
	sleep "$1"
	lasted=$(clock_host minus "$(clock_host counter | cut -d ' ' -f 1)" "$from")
	echo 0 >$box/cgroup.freeze
}

# An API request after it: the main thread has seen to the stall when it answers. The event is
# told at the same time, but the program that prints it may be slow.
stall() {
	tell
	stalls_before=$(stalls) offset_before=$(offset)
	$1 2
	usleep 300000
	offset_after=$(offset)
	moved=$(clock_host minus "$offset_after" "$offset_before")
	told=$(stalled 1)
	error=$(stalled 2)
	stalls_left=300
	while [ "$(stalls)" -le "$stalls_before" ] && [ $stalls_left -gt 0 ]; do
		stalls_left=$((stalls_left - 1))
		usleep 100000
	done
	tell
}
# ticks of a told number of nanoseconds
ticks() { echo $(($1 / 1000 * (hz / 1000) / 1000)); }

frozen() {
	t_begin "frozen, $1, $2 vCPU: the time is given back, but for at most the error that is told"
	between $((lasted - error - hz / 100)) "$moved" $((lasted + 2 * hz)) && between 1 "$error" $((hz * 2))
	verdict $? "stopped for $lasted ticks, moved by $moved, error $error"
	t_begin "frozen, $1, $2 vCPU: the guest sees a fraction of the stop, and no counter go back"
	between 0 "$(of gap)" $((lasted / 2)) && [ "$(of back)" = 0 ]
	verdict $? "stopped for $lasted ticks: $line"
}
continuous() {
	t_begin "continuous, $1, $2 vCPU: the offset is the same to the bit, and the guest sees the stop"
	[ "$moved" = 0 ] && [ "$(of gap)" -ge "$lasted" ] && [ "$(of back)" = 0 ]
	verdict $? "stopped for $lasted ticks, moved by $moved: $line"
}
told() {
	t_begin "$3, $1, $2 vCPU: GET /clock and the events tell it"
	[ -n "$told" ] && [ "$(ticks "$told")" -ge "$lasted" ] && [ "$(stalls)" -gt "$stalls_before" ] &&
		ctl clock && grep -q "stalled .*not run for at most" said
	verdict $? "stopped for $lasted ticks, told of $told ns, $(stalls) events"
}

for cpus in 1 2; do
	for policy in frozen continuous; do
		start $cpus "{\"on_stop\": \"$policy\"}"
		for how in by_signal by_freezer; do
			if [ $how = by_freezer ] && ! has_freezer; then
				t_begin "$policy, $how, $cpus vCPU"
				t_skip "this kernel has no cgroup v2 freezer"
				continue
			fi
			stall $how
			$policy $how $cpus
			told $how $cpus $policy
		done
		end
	done
done

# --- no stall ------------------------------------------------------------------------------------

start 2 '{"on_stop": "frozen"}'
t_begin "pauses, and a guest that runs, are no stalls"
ctl pause
sleep 1
ctl resume
sleep 2
[ "$(stalls)" = 0 ] && [ -z "$(stalled 1)" ] || [ -n "$RIG_CPU" -a "$(stalled 1)" -lt 900000000 ]
verdict $? "it is told of $(stalls)"

t_begin "a stop while the VM is paused is no stall either"
ctl pause
by_signal 1
ctl resume
usleep 300000
[ "$(stalls)" = 0 ] && [ -z "$(stalled 1)" ] || [ -n "$RIG_CPU" -a "$(stalled 1)" -lt 900000000 ]
verdict $? "it is told of $(stalls)"

t_begin "fifty short stops: no counter is seen to go back"
tell
for _ in 1 2 3 4 5; do
	for ms in 30 90 110 190 350 490 510 600 700 900; do
		kill -STOP $vmm
		usleep ${ms}000
		kill -CONT $vmm
		usleep 20000
	done
done
tell
[ "$(of back)" = 0 ]
verdict $? "$line"
end

# What a thread's timer wakes: switches that it asked for, in three seconds.
switches() { awk '/^voluntary/ { n += $2 } END { print n }' /proc/$vmm/task/*/status; }
t_begin "paused, the VMM sleeps: its vCPUs' beats do not wake them"
start 2 '{"on_stop": "frozen"}'
ctl pause
usleep 500000
before=$(switches)
sleep 3
woken=$(($(switches) - before))
[ $woken -le 3 ]
verdict $? "$woken times in 3 s"
ctl resume
end

t_done
