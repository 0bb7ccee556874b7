# SPDX-License-Identifier: Apache-2.0
# add: out/stasis out/guests/nested.img out/tests/clock_host
#
# seconds: 1500
#
# A guest with EL2 (tests/guests/nested.c): it starts there, both of its counters stop and go on
# together, and what it gives EL1 with CNTVOFF_EL2 stays its own. So it is over snapshots, with the
# virtual interrupt that waits for EL1, and the timer of EL2 ticks as often as it should.
. "$T/lib.sh"

hz=$("$T/clock_host" counter | cut -d ' ' -f 2)
ctl() { timeout 30 stasis ctl --socket vm.sock "$@" >said 2>&1 </dev/null; }
start() {
	printf '{"boot-source": {"kernel_image_path": "%s", "boot_args": "console=ttyS0"}, "drives": [],
		"machine-config": {"vcpu_count": %d, "mem_size_mib": 64, "nested": true%s}}' "$T/nested.img" \
		"${2:-1}" "$1" >vm.json
	process --config-file vm.json
}
process() {
	rm -f vm.sock out typed
	mkfifo typed
	timeout -s KILL 200 stasis --api-sock vm.sock --level Warning "$@" <typed >out 2>&1 &
	vmm=$!
	exec 3>typed
}
end() {
	printf q >&3
	exec 3>&-
	wait $vmm
	status=$?
}
tell() {
	told=$(grep -c '^saw .*\.' out)
	printf g >&3
	left=300
	until [ "$(tr -d '\r' <out | grep -c '^saw .*\.$')" -gt "$told" ] || [ $left -eq 0 ]; do
		usleep 50000
		left=$((left - 1))
	done
	line=$(tr -d '\r' <out | grep '^saw .*\.$' | tail -n 1)
}
of() { echo "$line" | sed -n "s/.*\b$1 \([0-9]*\).*/\1/p"; }
between() { [ "$1" -le "$2" ] && [ "$2" -le "$3" ]; }
# restore POLICY: of the snapshot in ./state and ./memory, in a new process; the guest goes on.
restore() {
	process
	left=200
	until [ -S vm.sock ] || [ $left -eq 0 ]; do
		usleep 50000
		left=$((left - 1))
	done
	ctl put /snapshot/load '{"snapshot_path": "state", "mem_backend": {"backend_type": "File",
		"backend_path": "memory"}, "resume_vm": true, "clock": {"policy": "'"$1"'"}}'
}
kill_it() {
	kill -KILL $vmm
	wait $vmm 2>/dev/null
	exec 3>&-
}
# What must be so on every vCPU, whatever happened to it. The timer ticks 20 times a second; that
# it may have been ticking $1 ticks of the counter is an upper bound.
is_whole() {
	[ "$(of virtual)" = 0 ] && [ "$(of lost)" = 0 ] && [ "$(of looks)" -gt 0 ] && [ "$(of least)" -gt 0 ] &&
		[ "$(of most)" -le $(($1 * 20 / hz + 3)) ]
}
verdict() { if [ "$1" -eq 0 ]; then t_ok; else t_fail "$2; $line" out; fi; }

t_begin "a physical counter that is the host's is refused"
start ', "clock": {"physical": "host"}'
exec 3>&-
wait $vmm
if [ $? -ne 0 ] && grep -q '`nested` guests have one counter' out; then t_ok; else t_fail "it is not" out; fi

if ! stasis doctor | grep -q 'nested virtualisation  *given'; then
	t_begin "where the host has none, it is refused by name"
	start ""
	exec 3>&-
	wait $vmm
	if [ $? -ne 0 ] && grep -q "do not offer nested to guests" out; then t_ok; else t_fail "it is not" out; fi
	t_done
fi

t_begin "it starts at EL2"
start ""
wait_for 60 out '^watching' && grep -q '^runs at EL2' out
verdict $? "it does not"

t_begin "a frozen pause: it sees no gap"
tell
ctl pause
sleep 2
ctl resume
tell
between 0 "$(of gap)" $((hz / 2))
verdict $? "a gap of $(of gap)"
t_begin "a continuous one: it sees it"
ctl pause
sleep 2
ctl resume --clock continuous
tell
between $((2 * hz)) "$(of gap)" $((20 * hz))
verdict $? "a gap of $(of gap)"
t_begin "EL1's virtual counter is EL2's less CNTVOFF_EL2, before and after"
[ "$(of virtual)" = 0 ] && [ "$(of looks)" -gt 100 ]
verdict $? "it was not"
for what in "EL2's counters are one:EL2" "EL1's physical counter is EL2's:physical"; do
	t_begin "${what%:*}"
	if ignores_offset; then
		t_skip "QEMU's max ignores CNTPOFF_EL2"
	else
		[ "$(of "${what#*:}")" = 0 ]
		verdict $? "they are not"
	fi
done
t_begin "it powers off, by SMC"
end
[ $status -eq 0 ]
verdict $? "status $status"

# Of "now" and "gap" that is told: by how much it has gone on, and the longest time that it did not see.
for cpus in 1 2 4; do
	t_begin "a hypervisor of $cpus vCPUs is saved"
	start "" $cpus
	wait_for 60 out '^watching'
	sleep 1
	tell
	is_whole "$(of now)" && ctl pause && stopped=$(of now) &&
		ctl put /snapshot/create '{"snapshot_path": "state", "mem_file_path": "memory"}'
	verdict $? "$(cat said)"
	kill_it
	sleep 3
	t_begin "restored frozen, it sees no gap, and its guests have what they had"
	restore frozen
	sleep 1
	tell
	between 0 "$(of gap)" $((2 * hz)) && is_whole $(($(of now) - stopped))
	verdict $? "a gap of $(of gap), stopped at $stopped: $(cat said)"
	t_begin "it ticks on, and no more often than it should"
	told_at=$(of now)
	sleep 1
	tell
	is_whole $(($(of now) - told_at))
	verdict $? "told at $told_at"
	kill_it
	t_begin "restored to the time that it is, it sees the gap, and its guests have what they had"
	restore continuous
	sleep 1
	tell
	[ "$(of gap)" -ge $((3 * hz)) ] && is_whole $(($(of now) - stopped))
	verdict $? "a gap of $(of gap), stopped at $stopped: $(cat said)"
	t_begin "the restored one is saved and restored"
	ctl pause && ctl put /snapshot/create '{"snapshot_path": "state", "mem_file_path": "memory"}'
	kill_it
	restore frozen
	tell
	is_whole "$(of now)"
	verdict $? "$(cat said)"
	t_begin "and it ends well"
	end
	[ $status -eq 0 ]
	verdict $? "status $status"
done

t_done
