# SPDX-License-Identifier: Apache-2.0
# add: out/stasis out/guests/clock.img out/guests/state.img out/tests/clock_host
#
# Snapshots of bare-metal guests (tests/guests/clock.c), restored in other processes: a guest goes
# on, and is not booted again; its time goes on where it stopped, or where it would be.
#
# snapshot-jail.sh runs these with VMMs elsewhere: $jail is what starts one, $root what $PWD is to
# it, $images where it finds kernels. With $essential the first rows are all.
. "$T/lib.sh"
root=${root-$PWD} images=${images-$T}

clock_host() { "$T/clock_host" "$@"; }
host_counter() { clock_host counter | cut -d ' ' -f 1; }
second=$(clock_host counter | cut -d ' ' -f 2)
between() { [ "$1" -le "$2" ] && [ "$2" -le "$3" ]; }

# --- VMs, each in a folder of its own: $d ---------------------------------------------------------

ctl() { timeout 60 stasis ctl --socket "$d/sock" "$@" >"$d/said" 2>&1 </dev/null; }
run_in() {
	d=$1
	shift
	mkdir -p "$d"
	rm -f "$d/typed" "$d/sock" "$d/out"
	mkfifo "$d/typed"
	timeout -s KILL 250 "$@" <>"$d/typed" >"$d/out" 2>&1 &
	echo $! >"$d/pid"
}

# boot FOLDER CPUS [CLOCK]
boot() {
	mkdir -p "$1"
	printf '{"boot-source": {"kernel_image_path": "%s", "boot_args": "console=ttyS0"}, "drives": [],
		"machine-config": {"vcpu_count": %d, "mem_size_mib": 32, "clock": %s}}' \
		"$images/${guest:-clock}.img" "$2" "${3:-{\}}" >"$1/vm.json"
	run_in "$1" $jail stasis --api-sock "$1/sock" --config-file "$1/vm.json" --level Warning
	wait_for 30 "$1/out" "^watching with $2\|^keeping"
}
# load FOLDER SNAPSHOT MEMBERS: a process that becomes the VM; MEMBERS are added to the request.
load() {
	run_in "$1" $jail stasis --api-sock "$1/sock" --level Warning
	load_left=200
	until [ -S "$d/sock" ] || [ $load_left -eq 0 ]; do
		load_left=$((load_left - 1))
		usleep 20000
	done
	ctl put /snapshot/load "{\"snapshot_path\": \"$2/state\",
		\"mem_backend\": {\"backend_type\": \"${backend:-File}\", \"backend_path\": \"$2/memory\"}$3}"
}
# create SNAPSHOT: of the VM in $d, which is paused.
create() {
	mkdir -p "$1"
	ctl put /snapshot/create "{\"snapshot_path\": \"$1/state\", \"mem_file_path\": \"$1/memory\"}"
}
resumed=', "resume_vm": true'
# Ends the VM in $d, if it is there (`1<>`: opening for writing alone waits for a reader); whether with success.
end() {
	printf q 1<>"$d/typed"
	wait "$(cat "$d/pid")"
}
kill_it() {
	kill -KILL "$(cat "$d/pid")"
	wait "$(cat "$d/pid")" 2>/dev/null
	true
}

# tell COMMAND PATTERN: types it; the guest's next line with the PATTERN is in $line.
lines() { tr -d '\r' <"$d/out" | grep -c "$1.*\.\$"; }
expect() {
	expect_left=600
	while [ "$(lines "$1")" -le "$2" ]; do
		[ $expect_left -gt 0 ] || return 1
		expect_left=$((expect_left - 1))
		usleep 20000
	done
	line=$(tr -d '\r' <"$d/out" | grep "$1.*\.\$" | tail -n 1)
}
tell() {
	tell_before=$(lines "$2")
	printf %s "$1" 1<>"$d/typed"
	expect "$2" "$tell_before"
}
of() { echo "$line" | sed -n "s/.*\b$1 \([0-9]*\).*/\1/p"; }
# clock_of NAME [EVENT]: what GET /clock says, of now or of the last such event.
clock_of() {
	stasis ctl --socket "$d/sock" --json clock >"$d/clock" 2>&1
	if [ $# -eq 1 ]; then sed 's/"vmclock".*//' "$d/clock"; else
		sed 's/.*"history"//' "$d/clock" | tr '{' '\n' | grep "\"event\":\"$2\"" | tail -n 1
	fi | sed -n "s/.*\"$1\":\"*\(-*[0-9a-z]*\).*/\1/p"
}
verdict() {
	[ "$1" -ne 0 ] || { t_ok && return; }
	cat "$d/said" "$d/clock" "$d/out" >explained 2>/dev/null
	t_fail "$2; the guest's last word: $line" explained
}

# --- hosts whose KVM cannot say what time its guests have -----------------------------------------

if ! stasis doctor | grep -q "^ok  *counter offset"; then
	t_begin "a host without counter offsets refuses to take a snapshot, saying what would help"
	boot first 1
	ctl pause
	create shot
	status=$?
	[ $status -eq 1 ] && grep -q "Linux 6.4 has" "$d/said" && [ ! -e shot/state ] && [ ! -e shot/memory ]
	verdict $? "status $status"
	t_begin "and its VM goes on"
	ctl resume && tell g "^saw gap" && end
	verdict $? "it does not"
	t_done
fi
ignores_offset &&
	no_physical="QEMU's max ignores CNTPOFF_EL2"

# --- a guest goes on, on 1, 2 and 4 vCPUs ---------------------------------------------------------

remembers() { [ "$(of born)" = "$born" ] && [ "$(of wrong)" = 0 ] && [ "$(of looks)" -gt "$looks" ]; }
saw_no_evil() { [ "$(of back)" = 0 ] && { [ -n "$no_physical" ] || [ "$(of incoherent)" = 0 ]; }; }

goes_on() {
	t_begin "a snapshot is taken of a guest with $1 vCPU, and the VM stays paused"
	boot "vm$1" "$1"
	tell n "^born"
	born=$(of born) looks=$(of looks) generation=$(of generation)
	tell g "^saw gap"
	early=$(of now)
	ctl pause
	create "shot$1" && ctl status && grep -q Paused "$d/said"
	verdict $? "it is not"
	offset=$(clock_of offset) stopped=$(clock_of guest_counter paused) from=$(host_counter)
	kill_it

	sleep 2
	t_begin "frozen: its counter goes on where it stopped, with $1 vCPU"
	least=$(($(host_counter) - from))
	load "frozen$1" "shot$1" "$resumed"
	loaded=$?
	away=$(($(host_counter) - from))
	tell g "^saw gap"
	[ $loaded -eq 0 ] && between "$early" "$stopped" "$(of now)" &&
		between 0 "$(of gap)" $((away / 2)) && [ $(($(of now) - stopped)) -lt $((6 * second)) ]
	verdict $? "stopped at $stopped, gone for $away"
	t_begin "no vCPU saw another's past, and both counters agree, with $1 vCPU"
	saw_no_evil
	verdict $? "they did"
	t_begin "the VMM says so, too, with $1 vCPU"
	moved=$(($(clock_of offset) - offset))
	between 0 $(($(clock_of guest_counter restored) - stopped)) "$second" && between "$least" $moved $((away + 4 * second))
	verdict $? "its offset was $offset, and moved by $moved, the guest was gone for $least to $away"
	t_begin "it was not booted again, and is another generation, with $1 vCPU"
	tell n "^born"
	remembers && [ "$(of generation)" != "$generation" ] && ! grep -q "^watching" "$d/out"
	verdict $? "born as $born, $looks looks, generation $generation"
	t_begin "it powers off as it should, with $1 vCPU"
	end
	verdict $? "it does not"

	t_begin "continuous: the offset is the same to the bit, with $1 vCPU"
	load "continuous$1" "shot$1" "$resumed, \"clock\": \"continuous\""
	loaded=$?
	tell g "^saw gap"
	[ $loaded -eq 0 ] && [ "$(clock_of offset)" = "$offset" ]
	verdict $? "it was $offset and is $(clock_of offset)"
	t_begin "and the guest finds that it was away, with $1 vCPU"
	away=$(($(host_counter) - from))
	[ "$(of gap)" -gt $((2 * second)) ] && [ "$(of gap)" -lt $((away + second)) ] && saw_no_evil
	verdict $? "gone for $away"
	kill_it
}
goes_on 1
if [ -z "$essential" ]; then
	goes_on 2
	goes_on 4
fi

t_begin "a restored guest is snapshotted again, whole, as a diff and as a diff over its base"
load again shot1 "$resumed"
tell n "^born"
born=$(of born) looks=$(of looks)
tell g "^saw gap"
ctl pause
create whole
status=$?
mkdir -p diff over
cp shot1/memory over/memory
chmod 666 over/memory
for again in diff over; do
	ctl put /snapshot/create "{\"snapshot_path\": \"$again/state\",
		\"mem_file_path\": \"$again/memory\", \"snapshot_type\": \"Diff\"}" || status="$status $again"
done
kill_it
said=
for again in whole over; do
	load "of-$again" "$again" "$resumed" && tell n "^born" && remembers && end && said="$said $again"
done
[ "$status" = 0 ] && [ "$said" = " whole over" ] &&
	[ "$(du -k diff/memory | cut -f 1)" -lt "$(($(du -k whole/memory | cut -f 1) / 2))" ]
verdict $? "status $status, restored:$said; $(du -k diff/memory whole/memory | tr '\n\t' '  ')"

if [ -n "$essential" ]; then t_done; fi

# --- registers ---------------------------------------------------------------------------------

# Whatever there is: SVE, its length, keys for pointers.
t_begin "three generations on 2 vCPU lose no register"
guest=state boot state0 2
tell n "^kept"
vector=$(of vector) keys=$(of keys) n=0 problem=
while [ $n -lt 3 ]; do
	tell n "^kept"
	before=$(of rounds)
	ctl pause && create state && kill_it && n=$((n + 1)) && load "state$n" state "$resumed" || { problem="not restored"; break; }
	tell n "^kept" && usleep 200000 && tell n "^kept"
	[ "$(of rounds)" -gt "$before" ] && [ "$(of wrong)" = 0 ] && [ "$(of vector) $(of keys)" = "$vector $keys" ] || problem="generation $n"
done
echo "# vectors of $vector bytes, keys: $keys"
[ -z "$problem" ]
verdict $? "$problem"
kill_it

# Also those that a restore does not write, because a new VM has them.
t_begin "a guest that is restored, and saved before it ran, has the registers that were saved"
load same state "" && create same
saved=$?
registers() { stasis inspect "$1/state" | sed -n '/^vcpu/,/^vhost/p' >"$1.registers"; }
registers state && registers same
[ $saved -eq 0 ] && [ "$(grep -c . state.registers)" -gt 500 ] && cmp state.registers same.registers
verdict $? "$(diff state.registers same.registers | head -n 5 | cut -c 1-200)"
kill_it

# --- two at once -------------------------------------------------------------------------------

t_begin "two clones of one snapshot run at once, and know that they are two"
load clone1 shot2 "$resumed" && load clone2 shot2 "$resumed"
loaded=$?
d=clone1
tell n "^born"
one=$(of generation) born=$(of born)
d=clone2
tell n "^born"
[ $loaded -eq 0 ] && [ "$(of born)" = "$born" ] && [ -n "$one" ] && [ "$(of generation)" != "$one" ]
verdict $? "one is $one"
t_begin "their time began at the same moment"
d=clone1
first=$(clock_of guest_counter restored)
d=clone2
[ $(($(clock_of guest_counter restored) - first)) -lt $((second / 10)) ] &&
	[ $((first - $(clock_of guest_counter restored))) -lt $((second / 10)) ]
verdict $? "$first and $(clock_of guest_counter restored)"
end
d=clone1
end

# --- each way to load --------------------------------------------------------------------------

t_begin "a guest is restored paused, with its time at rest, and resumed with \"set\""
load later shot1 "" && ctl status && grep -q Paused "$d/said"
loaded=$?
stopped=$(clock_of guest_counter)
usleep 300000
rests=$(clock_of guest_counter)
ctl patch /vm "{\"state\": \"Resumed\", \"clock\": {\"set\": $((stopped + 100 * second))}}"
resumed_it=$?
tell g "^saw gap"
[ $loaded -eq 0 ] && [ $resumed_it -eq 0 ] && [ "$rests" = "$stopped" ] && between $((99 * second)) "$(of gap)" $((103 * second)) && end
verdict $? "it was at $stopped, then $rests"

t_begin "memory that was read at once may be removed"
mkdir gone
cp shot1/state shot1/memory gone
chmod 666 gone/*
backend=Eager load eager gone "$resumed"
loaded=$?
rm -rf gone
tell n "^born"
[ $loaded -eq 0 ] && [ "$(of wrong)" = 0 ] && end
verdict $? "it may not"

t_begin "stasis restore: by hand, with its console"
run_in hand $jail stasis restore "$root/shot1" --api-sock "$root/hand/sock" --log-level info
tell n "^born"
[ "$(of wrong)" = 0 ] && end
verdict $? "status $?"

t_begin "what is loaded is not written to, whatever its clones do"
cp -r shot2 copy
load writer shot2 "$resumed" && tell n "^born" && end
cmp shot2/state copy/state && cmp shot2/memory copy/memory
verdict $? "it is"

# --- timers across -----------------------------------------------------------------------------

# across NAME COMMAND PATTERN: the guest is told, snapshotted, and no more; $shot is where. $line has the answer.
across() {
	shot=timer-$1
	boot "$1" 1
	tell "$2" "$3"
	ctl pause && create "$shot"
	created=$?
	stopped=$(clock_of guest_counter paused) offset=$(clock_of offset)
	kill_it
	return $created
}
fires() {
	t_begin "frozen: $3 fires once, when it is due"
	for try in 1 2 3; do # a busy host may not get there before it is due
		across "$1" "$2" "^armed"
		due=$(of armed)
		[ "${stopped:-0}" -ge "${due:-0}" ] || break
	done
	sleep 2
	load "$1-frozen" "$shot" "$resumed" && expect "^fired" 0
	[ "$(of fired)" = 1 ] && between 0 $(($(of at) - due)) "$second" && [ "$stopped" -lt "$due" ] &&
		[ "$(clock_of guest_counter)" -ge "$due" ]
	verdict $? "due $due, stopped at $stopped"
	end
	t_begin "continuous: $3 fires at once if it was due in between"
	load "$1-continuous" "$shot" "$resumed, \"clock\": \"continuous\"" && expect "^fired" 0
	between 0 $(($(of at) - $(clock_of guest_counter restored))) $((2 * second)) && [ "$(of fired)" = 1 ] &&
		[ "$(of at)" -ge $((due)) ] && [ "$(clock_of offset)" = "$offset" ]
	verdict $? "due $due, resumed at $(clock_of guest_counter restored)"
	end
}
fires v v "a virtual timer"
fires w w "a virtual timer that is slept for"
if [ -n "$no_physical" ]; then
	t_begin "a physical timer"
	t_skip "$no_physical"
else
	fires p p "a physical timer"
fi

silent() {
	t_begin "$3 does not fire in a restored guest"
	across "$1" "$2" "^waiting"
	load "$1-restored" "$shot" "$resumed, \"clock\": \"continuous\"" && usleep 300000 && tell c "^control"
	[ "$(of fired)" = 0 ]
	verdict $? "it does"
}
silent masked 1 "a masked timer"
end
silent disabled 2 "a disabled timer"
end
silent never 3 "a timer at the end of time"
end
silent pending 4 "a timer that is due, with interrupts masked,"
t_begin "and fires once when they are unmasked"
expect "^fired" 0 && usleep 200000 && [ "$(lines "^fired")" = 1 ] && [ "$(of fired)" = 1 ]
verdict $? "it does not"
end

t_begin "an interrupt that was being handled comes once, and the next one, too"
across held h "^held"
load held-restored "$shot" "$resumed" && usleep 300000 && tell c "^in the handler" && [ "$(of fired)" = 1 ] &&
	expect "^fired 1 intid 27" 0 && tell v "^armed" && expect "^fired" 1 && [ "$(of fired)" = 1 ]
verdict $? "it does not"
end

# --- generations -------------------------------------------------------------------------------

t_begin "twenty generations: each is restored, runs, is paused, resumed and snapshotted again"
boot gen0 1
tell n "^born"
born=$(of born) generation=$(of generation) looks=$(of looks)
n=0 problem=
while [ $n -lt 20 ] && [ -z "$problem" ]; do
	ctl pause && create gen || problem="generation $n was not saved"
	stopped=$(clock_of guest_counter paused)
	kill_it
	from=$(host_counter)
	n=$((n + 1))
	load "gen$n" gen "$resumed" || problem="generation $n was not loaded"
	if [ $((n % 5)) -eq 0 ]; then ctl pause && ctl resume || problem="generation $n was not paused and resumed"; fi
	tell n "^born"
	remembers || problem="generation $n forgot"
	[ "$(of generation)" != "$generation" ] || problem="generation $n is the one before"
	generation=$(of generation) looks=$(of looks)
	tell g "^saw gap"
	saw_no_evil || problem="generation $n saw time go back"
	# No more than has passed since, and not the time that it was away before.
	between "$stopped" "$(of now)" $((stopped + $(host_counter) - from)) || problem="generation $n lost its time, which stopped at $stopped"
done
[ -z "$problem" ]
verdict $? "$problem"
t_begin "the twentieth powers off as it should"
end
verdict $? "it does not"

# --- rules -------------------------------------------------------------------------------------

t_begin "a running VM is not saved"
boot rules 1
create refused
status=$?
[ $status -eq 1 ] && grep -q "pause the microVM first" "$d/said" && [ ! -e refused/state ]
verdict $? "status $status"
t_begin "a VM that runs already does not become another"
ctl put /snapshot/load '{"snapshot_path": "shot1/state", "mem_backend": {"backend_type": "File", "backend_path": "shot1/memory"}}'
[ $? -eq 1 ] && tell n "^born" && [ "$(of wrong)" = 0 ] && end
verdict $? "it does"
t_begin "nothing that is there is mentioned with the reason, and the process ends"
load missing nowhere "$resumed"
status=$?
wait "$(cat missing/pid)"
ended=$?
[ $status -eq 1 ] && [ $ended -eq 1 ] && grep -q "nowhere/.*No such file" missing/said && [ ! -e missing/sock ]
verdict $? "status $status, ended with $ended"

t_done
