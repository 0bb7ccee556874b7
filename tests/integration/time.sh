# SPDX-License-Identifier: Apache-2.0
# add: out/stasis out/guests/clock.img out/tests/clock_host
#
# Guest time over pauses, as bare-metal guests see it (tests/guests/clock.c) and the host does
# (clock_host.c). Pauses are long enough that frozen and continuous cannot be taken for each other
# on a slow, busy host.
. "$T/lib.sh"

clock_host() { "$T/clock_host" "$@"; }
host_counter() { clock_host counter | cut -d ' ' -f 1; }
hz=$(clock_host counter | cut -d ' ' -f 2)
second=$hz

# Linux before 6.4 has no offset, and QEMU's max none for the physical counter, unless KVM is kept
# from using CNTPOFF_EL2.
physical=guest no_physical=
if ! stasis doctor | grep -q "^ok  *counter offset"; then
	physical=host no_physical="this kernel cannot offset it"
elif ignores_offset; then
	no_physical="QEMU's max ignores CNTPOFF_EL2"
fi

ctl() { timeout 30 stasis ctl --socket vm.sock "$@" >said 2>&1 </dev/null; }

# start CPUS CLOCK: a guest, with CLOCK as its machine's "clock".
start() {
	rm -f vm.sock out log typed
	mkfifo typed
	printf '{"boot-source": {"kernel_image_path": "%s", "boot_args": "console=ttyS0"}, "drives": [],
		"machine-config": {"vcpu_count": %d, "mem_size_mib": 64, "clock": %s},
		"logger": {"log_path": "log", "level": "Debug"}}' "$T/clock.img" "$1" "$2" >vm.json
	timeout -s KILL 250 stasis --api-sock vm.sock --config-file vm.json <typed >out 2>&1 &
	vmm=$!
	exec 3>typed
	wait_for 30 out "^watching with $1"
}

end() {
	printf q >&3
	exec 3>&-
	wait $vmm
}

# tell COMMAND PATTERN: types it, and gives the guest's next line with the PATTERN, which ends
# with a full stop, in $line.
lines() { tr -d '\r' <out | grep -c "$1.*\.\$"; }
expect() {
	expect_left=600
	while [ "$(lines "$1")" -le "$2" ]; do
		[ $expect_left -gt 0 ] || return 1
		expect_left=$((expect_left - 1))
		usleep 50000
	done
	line=$(tr -d '\r' <out | grep "$1.*\.\$" | tail -n 1)
}
tell() {
	tell_before=$(lines "$2")
	printf %s "$1" >&3
	expect "$2" "$tell_before"
}

# of NAME: the number after it in $line.
of() { echo "$line" | sed -n "s/.*\b$1 \([0-9]*\).*/\1/p"; }
# logged NAME: the number after it in the log's last line about guest time.
logged() { grep "guest time" log | tail -n 1 | sed -n "s/.*$1 \([0-9]*\).*/\1/p"; }

# pause_for SECONDS [WORDS of resume...]; $offset_before, $offset and $stopped are what the VMM says,
# $paused the ticks of the host's counter in which the guest was certainly paused.
pause_for() {
	sleep_for=$1
	shift
	ctl pause || return 1
	from=$(host_counter)
	offset_before=$(logged offset) stopped=$(logged counter)
	sleep "$sleep_for"
	paused=$(clock_host minus "$(host_counter)" "$from")
	ctl resume "$@" || return 1
	offset=$(logged offset) error=$(logged most)
}

# between LOW VALUE HIGH
between() { [ "$1" -le "$2" ] && [ "$2" -le "$3" ]; }

# resume_like JSON
resume_like() { ctl patch /vm "{\"state\": \"Resumed\", \"clock\": $1}"; }

explain() { echo "# $*; $line"; tail -n 4 log 2>/dev/null | sed 's/^/# | /'; }
verdict() { if [ "$1" -eq 0 ]; then t_ok; else explain "$2"; t_fail "$2" out; fi; }

# --- a pause of two seconds, with one vCPU and with two -----------------------------------------

# What the guest saw of the counter fits what the VMM says that the offset is.
offset_is_true() {
	before=$(host_counter)
	tell g "^saw gap" || return 1
	after=$(host_counter)
	seen=$(of now)
	# H - O - error <= G <= H' - O
	clock_host minus "$seen" "$(clock_host minus "$before" "$offset")" >a
	clock_host minus "$(clock_host minus "$after" "$offset")" "$seen" >b
	between -"$error" "$(cat a)" $((600 * second)) && between 0 "$(cat b)" $((600 * second))
}

# GET /clock after a frozen pause: $offset, and $error are from the log.
clock_json() { sed 's/.*"history"//' clock | tr '{' '\n' | grep "\"event\":\"$1\"" | tail -n 1 |
	sed -n "s/.*\"$2\":\"*\(-*[0-9a-z]*\).*/\1/p"; }
told_as_done() {
	t_begin "GET /clock tells of the pause and its measured bounds with $1 vCPU"
	before=$(host_counter)
	stasis ctl --socket vm.sock --json clock >clock
	after=$(host_counter)
	host=$(sed -n 's/.*"host_counter":\([0-9]*\),"offset":\(-*[0-9]*\),"guest_counter":\([0-9]*\),.*"host_mon.*/\1/p' clock)
	guest=$(sed -n 's/.*"guest_counter":\([0-9]*\),.*"host_mon.*/\1/p' clock)
	late=$(($(clock_json paused late_ticks) + $(clock_json resumed late_ticks)))
	between "$before" "$host" "$after" && [ "$(clock_host minus "$host" "$offset")" = "$guest" ] &&
		[ "$(clock_json resumed policy)" = frozen ] && [ "$(clock_json resumed jump_ns)" = 0 ] &&
		[ "$(clock_json resumed error_ticks)" = "$error" ] &&
		between $((paused / 1000 * 1000000 / (hz / 1000))) "$(clock_json resumed paused_ns)" 600000000000 &&
		between 0 "$gap" $((late + second * 3 / 4)) && between 1 $late $((paused / 3))
	verdict $? "late $late, gap $gap: $(cat clock)"
}

frozen() {
	t_begin "a frozen pause with $1 vCPU: the guest sees no gap"
	tell g "^saw gap"
	pause_for 2
	offset_is_true
	verdict $? "the guest's counter is not what the VMM says"
	gap=$(of gap)
	t_begin "its longest gap is a fraction of the pause with $1 vCPU"
	between 0 "$gap" $((paused / 3))
	verdict $? "a gap of $gap ticks in a pause of $paused"
	told_as_done $1
	moved=$(clock_host minus "$offset" "$offset_before")
	t_begin "the offset moved by the pause with $1 vCPU, and not by more than what surrounds it"
	between "$paused" "$moved" $((paused + second))
	verdict $? "it moved by $moved in a pause of $paused"
}

continuous() {
	tell g "^saw gap"
	t_begin "a continuous pause with $1 vCPU: the offset is the same to the bit"
	pause_for 2 --clock continuous
	[ "$offset" = "$offset_before" ]
	verdict $? "it was $offset_before, it is $offset"
	t_begin "the guest sees the pause, and not much more, with $1 vCPU"
	offset_is_true && between "$paused" "$(of gap)" $((paused + second))
	verdict $? "it sees $(of gap) of $paused"
}

for cpus in 1 2; do
	start $cpus '{}'
	frozen $cpus
	continuous $cpus
	tell g "^saw gap"
	t_begin "no counter was seen to go back with $cpus vCPU"
	[ "$(of back)" = 0 ]
	verdict $? "$(of back) times of $(of looks)"
	t_begin "the physical counter was the virtual one with $cpus vCPU"
	if [ -n "$no_physical" ]; then
		t_skip "$no_physical"
	else
		[ "$(of incoherent)" = 0 ]
		verdict $? "$(of incoherent) times of $(of looks) it was not"
	fi
	[ $cpus -eq 2 ] || end
done

# --- timers --------------------------------------------------------------------------------------

# armed COMMAND WORDS of pause_for...: a timer that is due in 2 s, and a pause that begins before.
armed() {
	command=$1
	shift
	for _ in 1 2 3 4 5; do
		began=$(host_counter)
		tell "$command" "^armed" || return 1
		due=$(of armed)
		n=$(lines "^fired")
		pause_for "$@" && expect "^fired" "$n" || return 1
		took=$(clock_host minus "$(host_counter)" "$began")
		[ "$stopped" -ge "$due" ] || return 0
	done
	return 1
}

timer() {
	t_begin "a frozen pause: $2 fires once, not early, not late"
	armed "$1" 2 && [ "$(of fired)" = 1 ] && between 0 $(($(of at) - due)) "$second" &&
		[ $((took + second / 100)) -gt $((2 * second + paused)) ]
	verdict $? "fired $(of fired), due $due, at $(of at), $took ticks after it was armed"
	t_begin "a continuous pause: $2 fires at once"
	armed "$1" 3 --clock continuous
	[ "$(of fired)" = 1 ] && between 0 $(($(of at) - stopped - paused)) $((2 * second))
	verdict $? "fired $(of fired), due $due, at $(of at); stopped at $stopped for $paused"
}

# A minute ahead, but time is set to a tick before.
tick_before() {
	t_begin "$2 fires a tick after its guest's time was set to that before it"
	tell "$1" "^armed"
	due=$(of armed)
	n=$(lines "^fired")
	ctl pause
	resume_like "{\"set\": $((due - 1))}"
	expect "^fired" "$n"
	[ "$(of fired)" = 1 ] && between 0 $(($(of at) - due)) "$second"
	verdict $? "fired $(of fired), due $due, at $(of at)"
}

silent() {
	t_begin "$2 does not fire, whatever the pause"
	tell "$1" "^waiting"
	pause_for 0.3
	ctl pause
	ctl resume --clock continuous
	tell c "^control"
	[ "$(of fired)" = 0 ]
	verdict $? "it fired"
}

timer v "a virtual timer"
timer w "a virtual timer, waited for asleep,"
tick_before V "a virtual timer"
silent 1 "a masked timer"
silent 2 "a disabled timer"
silent 3 "a timer at the end of time"
silent 4 "a timer with interrupts masked"
t_begin "and fires once when they are unmasked"
expect "^fired" $(($(lines "^fired") - 1)) && usleep 200000 && expect "^fired" 0
[ "$(of fired)" = 1 ]
verdict $? "it fired $(of fired) times"
for physical_test in "timer p" "tick_before P" "silent 5"; do
	if [ -n "$no_physical" ]; then
		t_begin "$physical_test, the physical timer"
		t_skip "$no_physical"
	elif [ "$physical_test" = "silent 5" ] && [ "$(uname -r | cut -d . -f 1)" -lt 7 ]; then
		t_begin "a physical timer at the end of time does not fire, whatever the pause"
		t_skip "up to Linux 6.12 it does: KVM adds the offset and lets it wrap"
	else
		$physical_test "a physical timer"
	fi
done

t_begin "an interrupt that is being handled over a pause comes once"
tell h "^held"
pause_for 0.3
tell c "^in the handler"
[ "$(of fired)" = 1 ] && expect "^fired 1 intid 27" $(($(lines "^fired 1 intid 27") - 1))
verdict $? "it did not"
timer v "then, a virtual timer"

# --- refusals: the guest stays paused, and its time where it was -------------------------------

# refused WORDS JSON
refused() {
	t_begin "refused: $1"
	if resume_like "$2"; then
		t_fail "it was resumed"
	elif grep -q "$1" said && ctl status && grep -q "Paused" said; then
		t_ok
	else
		t_fail "with other words, or it does not say that it is paused" said
	fi
}

ctl pause
stopped=$(logged counter) offset=$(logged offset)
refused "cannot go back" "{\"set\": $((stopped - 1))}"
refused "more than .max_jump_ms. (600000)" "{\"set\": $((stopped + 700 * second))}"
sleep 1
refused "more than .max_jump_ms. (500)" '{"policy": "continuous", "max_jump_ms": 500}'
refused "expected .frozen. or .continuous." '"later"'
t_begin "what was refused changed nothing"
ctl resume --clock continuous
[ "$(logged offset)" = "$offset" ]
verdict $? "the offset was $offset and is $(logged offset)"
t_begin "a jump that was allowed is made"
ctl pause
stopped=$(logged counter)
resume_like "{\"set\": $((stopped + 700 * second)), \"max_jump_ms\": 800000}"
tell g "^saw gap"
between $((700 * second)) "$(of gap)" $((710 * second))
verdict $? "a gap of $(of gap)"

# --- the VM's own policies -----------------------------------------------------------------------

end
start 1 '{"on_pause": "continuous", "max_jump_ms": 1500, "physical": "host"}'
tell g "^saw gap"
t_begin "on_pause counts for a resume that says nothing else"
pause_for 0.5
[ "$offset" = "$offset_before" ]
verdict $? "the offset was $offset_before and is $offset"
t_begin "and max_jump_ms"
if pause_for 1.6; then t_fail "it was resumed"; else
	grep -q "more than .max_jump_ms. (1500)" said
	verdict $? "$(cat said)"
fi
ctl resume --clock continuous
ctl resume --clock frozen
tell g "^saw gap"
pause_for 2 --clock frozen
t_begin "with the physical counter the host's, the virtual one still stops, with an error that is told"
offset_is_true && [ "$error" -gt 0 ] && between 0 "$(of gap)" $((paused / 3))
verdict $? "gap $(of gap), error $error"
t_begin "and the physical counter is the host's"
before=$(host_counter)
tell g "^saw gap"
between "$before" "$(of phys)" "$(host_counter)"
verdict $? "the host's was $before before"
end

if [ $physical = host ]; then
	t_begin "the guest's physical counter is refused where it cannot be"
	start 1 '{"physical": "guest"}'
	wait $vmm
	if grep -q "no counter offset (Linux 6.4 has)" out log; then t_ok; else t_fail "it was not" out; fi
	exec 3>&-
fi

t_done
