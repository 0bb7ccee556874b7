# SPDX-License-Identifier: Apache-2.0
# add: out/stasis out/guests/nested.img out/tests/clock_host
#
# A guest with EL2 (tests/guests/nested.c): it starts there, both of its counters stop and go on
# together, and what it gives EL1 with CNTVOFF_EL2 stays its own.
. "$T/lib.sh"

hz=$("$T/clock_host" counter | cut -d ' ' -f 2)
ctl() { timeout 30 stasis ctl --socket vm.sock "$@" >said 2>&1 </dev/null; }
start() {
	rm -f vm.sock out typed
	mkfifo typed
	printf '{"boot-source": {"kernel_image_path": "%s", "boot_args": "console=ttyS0"}, "drives": [],
		"machine-config": {"vcpu_count": 1, "mem_size_mib": 64, "nested": true%s}}' "$T/nested.img" "$1" >vm.json
	timeout -s KILL 100 stasis --api-sock vm.sock --config-file vm.json <typed >out 2>&1 &
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

t_done
