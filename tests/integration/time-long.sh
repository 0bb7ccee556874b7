# SPDX-License-Identifier: Apache-2.0
# add: out/stasis
# guest: long
#
# Pauses of hours, on a host whose clock counts instructions and skips what it sleeps: Linux is
# none the wiser after a frozen one, and one that counts, which has to be asked for, does to it what
# docs/time.md says.
. "$T/lib.sh"

FROZEN_S=7200 COUNTED_S=10800
# Linux's scheduler clock multiplies differences in 64 bits: it loses this, once per overflow.
WRAP_S=8796

ctl() { timeout 20 stasis ctl --socket "$PWD/s" "$@" >ctl.out 2>&1; }
between() { [ "$1" -le "$2" ] && [ "$2" -le "$3" ]; }
verdict() { if [ "$1" -eq 0 ]; then t_ok; else t_fail "$2" out; fi; }

# look: $up and $stamp, in whole seconds.
look() {
	tell_word time
	line=$(latest time)
	up=${line%%.*} stamp=${line#* }
	stamp=${stamp%%.*}
}

quiet() {
	tell_word noise
	! grep -q '^guest: noise=' out
	verdict $? "it says"
}

# frozen WHAT: a guest like that, over the long frozen pause.
frozen() {
	look
	up_before=$up stamp_before=$stamp
	tell_word sleep
	sleep 2
	t_begin "$1: two hours frozen: neither its time since boot nor its scheduler's clock notice"
	from=$(cut -d . -f 1 /proc/uptime)
	ctl pause
	sleep $FROZEN_S
	ctl resume
	away=$(($(cut -d . -f 1 /proc/uptime) - from))
	look
	between $FROZEN_S "$away" $((FROZEN_S + 60)) && between 0 $((up - up_before)) 30 &&
		between 0 $((stamp - stamp_before)) 30
	verdict $? "away for $away s, it went on by $((up - up_before)) and $((stamp - stamp_before)) s: $(cat ctl.out)"
	t_begin "$1: a sleep of 20 s over it takes that"
	wait_for 60 out '^guest: slept='
	took=$(latest slept | awk '{ print int($2 - $1) }')
	between 20 "${took:-0}" 26
	verdict $? "it took $took s"
	sleep 30 # what watches over a kernel does so now and then
	t_begin "$1: its kernel says nothing: no soft lockup, no RCU stall, no task that hung"
	quiet
}

begin_words newest long --memory 256M
frozen "an idle guest"
tell_word busy
frozen "a busy guest"
end_words

# An idle guest: a busy one does not always get over this.
begin_words newest long --memory 256M
look
up_before=$up stamp_before=$stamp
t_begin "three hours that count are refused, unless they are allowed"
ctl pause
sleep $COUNTED_S
ctl patch /vm '{"state": "Resumed", "clock": "continuous"}'
grep -q "max_jump_ms" ctl.out
verdict $? "$(cat ctl.out)"
allow() { ctl patch /vm '{"state": "Resumed", "clock": {"policy": "continuous", "max_jump_ms": 86400000}}'; }
allow
sleep 5
look
t_begin "then the guest's time since boot has them"
between $COUNTED_S $((up - up_before)) $((COUNTED_S + 90))
verdict $? "it went on by $((up - up_before)) s: $(cat ctl.out)"
t_begin "and its scheduler's clock has lost what its overflow makes it lose, to the second"
lost=$((up - up_before - (stamp - stamp_before)))
between $((WRAP_S - 1)) $lost $((WRAP_S + 1))
verdict $? "it lost $lost s"
t_begin "its kernel complains of 25 minutes that count while it is busy: the test can see that"
tell_word busy
sleep 5
ctl pause
sleep 1500
allow
sleep 30
tell_word noise
# RCU complains instead, if it waited for the CPU just then: its tick comes first, and who writes to
# the console has touched the watchdog.
grep -q '^guest: noise=.*soft lockup.*init\|^guest: noise=.*rcu.*stall' out
verdict $? "it does not"
end_words

t_done
