# SPDX-License-Identifier: Apache-2.0
# add: out/stasis out/tests/clock_host
# guest: clocks clocks-ptp
#
# The clocks of a Linux guest beside each other, over pauses: KVM's PTP clock, VMClock's, PL031,
# CLOCK_REALTIME with and without clock-follow; and that its kernel complains when it has to.
. "$T/lib.sh"

before="timeout -s KILL 250"
ctl() { timeout 20 stasis ctl --socket "$PWD/s" "$@" >ctl.out 2>&1; }

between() { [ "$1" -le "$2" ] && [ "$2" -le "$3" ]; }
verdict() { if [ "$1" -eq 0 ]; then t_ok; else t_fail "$2" out; fi; }

# pause SECONDS [WORDS of resume]: $paused_us
pause() {
	pause_s=$1
	shift
	ctl pause
	sleep "$pause_s"
	ctl resume "$@"
	ctl --json clock
	paused_us=$(sed 's/.*"paused_ns":\([0-9]*\)[0-9]\{3\},.*/\1/' ctl.out)
}

# KVM's PTP gives the host's clock and the guest's counter of one moment: what CLOCK_REALTIME lags
# behind is exactly the time that it did not see.
lags() {
	t_begin "$1: KVM's PTP clock is within the guest's counter"
	tell_word within
	[ "$(latest within)" = 1 ]
	verdict $? "it is not"
	tell_word lag
	before=$(latest lag)
	t_begin "$1: after a frozen pause CLOCK_REALTIME lags by it, to a millisecond"
	pause 3
	tell_word lag
	lag=$(($(latest lag) - before))
	between -1000 $((lag - paused_us)) 1000
	verdict $? "it lags by $lag us after $paused_us"
	t_begin "$1: a continuous one adds nothing"
	before=$(latest lag)
	pause 2 --clock continuous
	tell_word lag
	between -1000 $(($(latest lag) - before)) 1000 && between 2000000 "$paused_us" 60000000
	verdict $? "$(latest lag) after $before"
	t_begin "$1: PL031 shows the host's time"
	now=$(date +%s)
	tell_word rtc
	between "$((now - 1))" "$(latest rtc)" "$(($(date +%s) + 1))"
	verdict $? "$(latest rtc), not $now"
}

follows() {
	# How soon is for time-follow.sh to say, which counts.
	t_begin "$1: clock-follow steps CLOCK_REALTIME within a second, three times of four"
	tell_word follow
	wait_for 20 out '^guest: following'
	sleep 3
	fast=0
	for n in 1 2 3 4; do
		followed=$(grep -c '^guest: followed=' out)
		stepped=$(grep -c '^clock-follow: stepped' out)
		pause 2
		left=100
		until [ "$(grep -c '^clock-follow: stepped' out)" -gt "$stepped" ] || [ $left -eq 0 ]; do
			usleep 100000
			left=$((left - 1))
		done
		usleep 500000
		# It may have been faster than who watches it.
		if [ $left -gt 0 ] && { [ "$(grep -c '^guest: followed=' out)" = "$followed" ] ||
			[ "$(latest followed)" -le 1000 ]; }; then fast=$((fast + 1)); fi
	done
	[ $fast -ge 3 ]
	verdict $? "$fast times"
}

begin_words newest clocks --memory 512M
lags VMClock
t_begin "VMClock and KVM's PTP clock agree to a millisecond, in TAI and UTC"
between 36999000 "$(latest tai)" 37001000
verdict $? "TAI is $(latest tai) us ahead"
t_begin "trace-offset relates the guest's trace clock to the host's"
before=$("$T/clock_host" raw)
tell_word pair
after=$("$T/clock_host" raw)
pair=$(latest pair)
offset=$(stasis trace-offset --socket s --json --guest "$pair" | sed 's/.*_ns":\(-*[0-9]*\).*/\1/')
between "$before" $((${pair#*:} + offset)) "$after"
verdict $? "$pair and $offset are not between $before and $after"
t_begin "and perf's is the offset of the counters"
ctl --json clock
[ "$(sed 's/.*"host_counter":[0-9]*,"offset":\(-*[0-9]*\),.*"host_mon.*/\1/' ctl.out)" = \
	$((-$(stasis trace-offset --socket s --json | sed 's/.*"perf_time_offset":\(-*[0-9]*\),.*/\1/'))) ]
verdict $? "it is not: $(cat ctl.out)"
follows VMClock
t_begin "the kernel has complained of nothing"
tell_word noise
if grep -q '^guest: noise=' out; then t_fail "it has" out; else t_ok; fi
t_begin "it does, if a minute passes at once: the test can see it"
tell_word busy # an idle CPU touches its watchdog when it wakes
for n in 1 2 3 4 5 6; do
	sleep $n
	ctl pause
	ctl --json clock
	stopped=$(sed 's/.*"guest_counter":\([0-9]*\),.*"host_mon.*/\1/' ctl.out)
	hz=$(sed 's/.*"hz":\([0-9]*\),.*/\1/' ctl.out)
	ctl patch /vm "{\"state\": \"Resumed\", \"clock\": {\"set\": $((stopped + 60 * hz))}}"
	sleep 2
	tell_word noise
	grep -q '^guest: noise=.*soft lockup' out && break
done
if grep -q '^guest: noise=.*soft lockup' out; then t_ok; else t_fail "it does not" out; fi
end_words

begin_words 6.12 clocks-ptp --memory 512M
t_begin "a guest without VMClock has KVM's PTP clock only"
tell_word lag
if [ -n "$(latest lag)" ] && [ -z "$(latest tai)" ]; then t_ok; else t_fail "it has not" out; fi
lags PTP
follows PTP
end_words

t_done
