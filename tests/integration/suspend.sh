# SPDX-License-Identifier: Apache-2.0
# add: out/stasis out/guests/suspend.img out/tests/clock_host out/tests/streams
# guest: devices
# modules: tun vhost_net
#
# Guests that suspend themselves (PSCI SYSTEM_SUSPEND): a bare one that asks in every wrong way
# (tests/guests/suspend.c), and Linux, which is woken by everything that may wake it.
. "$T/lib.sh"

ctl() { timeout 30 stasis ctl --socket "$PWD/s" "$@" >said 2>&1 </dev/null; }
counter() { "$T/clock_host" counter | cut -d ' ' -f 1; }
is() { ctl status && grep -q "^state  *$1" said; }
# becomes STATE: within ten seconds.
becomes() {
	becomes_left=100
	until is "$1"; do
		[ $becomes_left -gt 0 ] || return 1
		becomes_left=$((becomes_left - 1))
		usleep 100000
	done
}
verdict() { if [ "$1" -eq 0 ]; then t_ok; else t_fail "$2" "$3"; fi; }

# --- a guest that asks wrongly -----------------------------------------------------------------

# How often a thread of the VMM, the main thread, went to sleep by itself.
sleeps() { awk '/^voluntary/ { print $2 }' "/proc/$pid/task/$pid/status"; }
asleep() { wait_for 20 out "^asleep $1" && becomes Suspended; }

stasis run --api-sock "$PWD/s" --kernel "$T/suspend.img" --cpus 2 --memory 64M >out 2>err </dev/null &
pid=$!
t_begin "a guest that asks all the time keeps the main thread as little busy as one that asks rarely"
wait_for 20 out '^asking'
before=$(sleeps)
usleep 2000000
woken=$(($(sleeps) - before))
wait_for 20 out '^asked'
asked=$(sed -n 's/^asked \([0-9]*\).*/\1/p' out)
echo "# asked $asked times in 3 s; in 2 of them the main thread slept $woken times"
[ "${asked:-0}" -ge 1000 ] && [ "$woken" -le 200 ]
verdict $? "asked $asked times, $woken" out

t_begin "it sleeps when it is alone, and at the address of RAM"
asleep 1
verdict $? "$(cat said)" out

t_begin "it uses no CPU then"
ticks_of() { awk '{print $14 + $15}' "/proc/$pid/stat"; }
before=$(ticks_of)
sleep 2
used=$(($(ticks_of) - before))
[ $used -le 2 ]
verdict $? "$used ticks of 10 ms" out

t_begin "a resume wakes it; it asks again at once, and later on another vCPU"
ctl resume && asleep 2 && ctl resume && asleep 3 && ctl resume || kill $pid
wait $pid
status=$?
[ $status -eq 0 ] && grep -q '^done: [0-9]* checks, 0 failed' out
verdict $? "status $status" out
sed -n 's/^FAIL/# FAIL/p' out

# --- Linux -------------------------------------------------------------------------------------

# fall_asleep COMMAND: which says "woke=STATUS" when the guest goes on.
wakes() { grep -ac '^guest: woke=0' out; }
fall_asleep() {
	wakes_before=$(wakes)
	echo "$1" >&9
	becomes Suspended
}
go_to_sleep="echo mem >/sys/power/state; echo guest: woke=\$?"
woke() {
	woke_left=200
	until [ "$(wakes)" -gt "$wakes_before" ]; do
		[ $woke_left -gt 0 ] || return 1
		woke_left=$((woke_left - 1))
		usleep 100000
	done
	is Running
}

# The taps are in a network namespace of their own, whose only sender is ping.
unshare -n sleep 1000 &
ns=$!
usleep 300000
in_namespace() { nsenter --net=/proc/$ns/ns/net "$@"; }
# answers ADDRESS: after some time, for a host that asks three times and then gives up may be busy.
answers() {
	answers_left=10
	until in_namespace ping -c 1 -W 3 -q "$1" >ping.out 2>&1; do
		answers_left=$((answers_left - 1))
		[ $answers_left -gt 0 ] || return 1
	done
}
in_namespace sh -c "echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6" 2>/dev/null
for n in 1 2; do
	in_namespace tunctl -t tap$n >/dev/null
	in_namespace ip address add 10.0.$n.1/24 dev tap$n
	in_namespace ip link set tap$n up
done

before="nsenter --net=/proc/$ns/ns/net"
t_begin "Linux on two vCPUs offers to sleep"
start_guest --cpus 2 --memory 256M --vsock "3,$PWD/v" \
	--net tap1,mac=06:00:00:00:00:01 --net tap2,mac=06:00:00:00:00:02,vhost
timeout 250 stasis ctl --socket "$PWD/s" --timeout 240 events >events 2>&1 &
tell 20 states "cat /sys/power/mem_sleep"
tell 10 up "ip link set eth0 up; ip address add 10.0.1.2/24 dev eth0;
	ip link set eth1 up; ip address add 10.0.2.2/24 dev eth1; echo done"
said states | grep -q '\[deep\]'
verdict $? "$(said states)" out

t_begin "it sleeps, which an event tells, and a resume wakes both vCPUs"
fall_asleep "$go_to_sleep" && wait_for 5 events suspended && ctl resume && woke &&
	tell 20 online "cat /sys/devices/system/cpu/online" && [ "$(said online)" = 0-1 ]
verdict $? "$(cat said)" out

# long POLICY: $long_took, how long the guest's uptime, which counts sleep, says that 8 s asleep took,
# in hundredths of a second.
up() {
	ups=$((ups + 1))
	tell 20 "up$ups" "cut -d ' ' -f 1 /proc/uptime | tr -d ." && now=$(said "up$ups")
}
long() {
	up || return 1
	long_before=$now
	fall_asleep "$go_to_sleep" || return 1
	sleep 8
	ctl resume --clock "$1" && woke && up || return 1
	long_took=$((now - long_before))
	echo "# $1: 8 s asleep took $long_took hundredths of a second"
}
ups=0
t_begin "frozen, its clocks have not seen the sleep"
long frozen && [ "$long_took" -lt 700 ]
verdict $? "$long_took" out
t_begin "continuous, they have"
long continuous && [ "$long_took" -ge 800 ]
verdict $? "$long_took" out

for n in 1 2; do
	t_begin "a frame for interface $n wakes it, and is answered"
	fall_asleep "$go_to_sleep"
	sleep 1
	is Suspended && answers 10.0.$n.2 && woke
	verdict $? "$(cat said)" ping.out
done

t_begin "a program of the host that connects wakes it, and is answered"
echo "streams echo vsock:4294967295:52 &" >&9
wait_for 10 out "streams: listening"
fall_asleep "$go_to_sleep"
sleep 1
is Suspended && "$T/streams" check "unix:$PWD/v:52" 1 10000 >check.out 2>&1 && woke
verdict $? "$(cat said)" check.out

t_begin "its clock's alarm wakes it"
fall_asleep "echo +6 >/sys/class/rtc/rtc0/wakealarm; $go_to_sleep" && woke
verdict $? "$(cat said)" out

t_begin "its console's input wakes it"
fall_asleep "$go_to_sleep" && echo >&9 && woke
verdict $? "$(cat said)" out

t_begin "a pause makes it a VM that only a resume wakes"
fall_asleep "$go_to_sleep" && ctl pause && is Paused
in_namespace ping -c 1 -W 1 -q 10.0.1.2 >ping.out 2>&1
usleep 500000
is Paused
verdict $? "$(cat said)" ping.out

stasis doctor | grep -q "^ok  *counter offset" || {
	t_begin "it wakes from that, and powers off"
	ctl resume && woke && end_guest
	verdict $? "$(cat said)" out
	t_begin "it is saved"
	t_skip "this host's KVM takes no snapshots"
	t_done
}

t_begin "it is saved"
timeout 60 stasis snapshot --socket "$PWD/s" shot1 >save.out 2>&1 && is Paused
verdict $? "$(cat said)" save.out
t_begin "it wakes from that"
ctl resume && woke
verdict $? "$(cat said)" out

t_begin "asleep, it is saved, and sleeps on"
fall_asleep "$go_to_sleep" && timeout 60 stasis snapshot --socket "$PWD/s" shot2 >save.out 2>&1 && is Suspended
verdict $? "$(cat said)" save.out

kill $guest_pid
wait $guest_pid
for shot in shot1 shot2; do
	rm -f s v
	wakes_before=0
	t_begin "$shot, restored, sleeps, and is woken by a frame"
	nsenter --net=/proc/$ns/ns/net stasis restore "$PWD/$shot" --paused --api-sock "$PWD/s" >out 2>&1 <console 9<&- &
	guest_pid=$!
	becomes Suspended && sleep 1 && is Suspended && answers 10.0.1.2 && woke
	verdict $? "$(cat said)" ping.out
	[ $shot = shot2 ] || { kill $guest_pid; wait $guest_pid; }
done

t_begin "it powers off"
end_guest
verdict $? "status $guest_status" out
t_done
