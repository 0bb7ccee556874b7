# SPDX-License-Identifier: Apache-2.0
# add: out/stasis out/guests/clock.img out/tests/clock_host
#
# A thousand pauses of a guest whose vCPUs compare their counters all the time: no vCPU may ever see
# less than another has seen before, in whatever moment each was stopped.
. "$T/lib.sh"

cycles() {
	rm -f vm.sock out typed
	mkfifo typed
	printf '{"boot-source": {"kernel_image_path": "%s", "boot_args": "console=ttyS0"}, "drives": [],
		"machine-config": {"vcpu_count": %d, "mem_size_mib": 64}}' "$T/clock.img" "$1" >vm.json
	timeout -s KILL 280 stasis --api-sock vm.sock --config-file vm.json --level Error <typed >out 2>&1 &
	vmm=$!
	exec 3>typed
	wait_for 30 out "^watching with $1"
	t_begin "$2 frozen pauses with $1 vCPU"
	if "$T/clock_host" cycle vm.sock "$2" >said 2>&1; then t_ok; else t_fail "$(cat said)" out; fi
	printf g >&3
	wait_for 30 out '^saw gap.*looks [0-9]*\.'
	line=$(tr -d '\r' <out | grep '^saw gap' | tail -n 1)
	t_begin "no counter was seen to go back with $1 vCPU"
	case $line in
	*" back 0 "*) t_ok ;;
	*) t_fail "it was: $line" ;;
	esac
	t_begin "the physical counter was the virtual one with $1 vCPU"
	case $line in
	*" incoherent 0 "*) t_ok ;;
	*) if ! stasis doctor | grep -q "^ok  *counter offset"; then
		t_skip "this kernel cannot offset it"
	elif ignores_offset; then
		t_skip "QEMU's max ignores CNTPOFF_EL2"
	else
		t_fail "it was not: $line"
	fi ;;
	esac
	printf q >&3
	exec 3>&-
	wait $vmm
}

cycles 2 1000
cycles 4 1000
t_done
