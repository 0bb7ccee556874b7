# SPDX-License-Identifier: Apache-2.0
# add: out/stasis out/guests/clock.img out/tests/pager
#
# A restored guest whose memory another process serves, page by page: Firecracker's protocol.
. "$T/lib.sh"

stasis doctor | grep -q "^ok  *counter offset" || {
	t_begin "a guest whose memory is served"
	t_skip "this host's KVM takes no snapshots"
	t_done
}

ctl() { timeout 20 stasis ctl --socket "$PWD/vm.sock" "$@"; }

# watch COMMAND...: a VMM whose guest takes what is written to descriptor 3.
watch() {
	rm -f typed vm.sock
	mkfifo typed
	timeout -s KILL 60 "$@" <typed >out 2>&1 &
	vmm=$!
	exec 3>typed
}

# reports: what the guest says that it has seen.
reports() {
	printf g >&3
	wait_for 20 out '^saw gap.*looks [0-9]*\.'
	tr -d '\r' <out | grep '^saw gap' | tail -n 1
}

mkdir shot
printf '{"boot-source": {"kernel_image_path": "%s", "boot_args": "console=ttyS0"}, "drives": [],
	"machine-config": {"vcpu_count": 2, "mem_size_mib": 32}}' "$T/clock.img" >vm.json
watch stasis --api-sock vm.sock --config-file vm.json --level Error
wait_for 30 out '^watching'
ctl pause >said && ctl put /snapshot/create "{\"snapshot_path\": \"$PWD/shot/state\", \"mem_file_path\": \"$PWD/shot/memory\"}" >>said
ctl stop >>said
exec 3>&-
wait $vmm

load() {
	echo "{\"snapshot_path\": \"$PWD/shot/state\", \"resume_vm\": true,
		\"mem_backend\": {\"backend_type\": \"Uffd\", \"backend_path\": \"$PWD/pages\"}}"
}

t_begin "nobody listens: the load is refused, and the process ends"
watch stasis --api-sock vm.sock --level Error
until [ -S vm.sock ]; do usleep 50000; done
ctl put /snapshot/load "$(load)" >said 2>&1
status=$?
exec 3>&-
wait $vmm
ended=$?
if [ $status -eq 1 ] && [ $ended -eq 1 ] && grep -q "cannot connect to .*pages" said && [ ! -e vm.sock ]; then t_ok; else
	t_fail "status $status, ended with $ended" said
fi

right=" back 0 incoherent 0 "
ignores_offset &&
	right=" back 0 " # QEMU's max ignores CNTPOFF_EL2: the physical counter is the host's

"$T/pager" pages shot/memory >pager.out 2>&1 &
pager=$!
wait_for 10 pager.out '^listening'
t_begin "a guest goes on with memory that is served"
watch stasis --api-sock vm.sock --level Error
until [ -S vm.sock ]; do usleep 50000; done
ctl put /snapshot/load "$(load)" >said 2>&1
line=$(reports)
case $line in
*"$right"*) t_ok ;;
*) cat said pager.out >>out; t_fail "it saw: $line" out ;;
esac

t_begin "the message is the one that handlers know"
page=$(sed -n 's/.*"page_size":\([0-9]*\).*/\1/p' pager.out)
if grep -Eq "^got \[\{\"base_host_virt_addr\":[0-9]+,\"size\":33554432,\"offset\":0,\"page_size\":$page,\"page_size_kib\":$page\}\]\$" pager.out
then t_ok; else t_fail "it is not" pager.out; fi

t_begin "only what is touched is served"
printf q >&3
exec 3>&-
wait $vmm
wait $pager
served=$(sed -n 's/^served //p' pager.out)
if [ "${served:-0}" -gt 0 ] && [ "$served" -lt $((33554432 / page / 4)) ]; then t_ok; else t_fail "$served pages" pager.out; fi

t_begin "a snapshot of it has all of its memory"
"$T/pager" pages shot/memory >pager.out 2>&1 &
pager=$!
wait_for 10 pager.out '^listening'
watch stasis --api-sock vm.sock --level Error
until [ -S vm.sock ]; do usleep 50000; done
ctl put /snapshot/load "$(load)" >said 2>&1
mkdir again
ctl pause >>said && ctl put /snapshot/create "{\"snapshot_path\": \"$PWD/again/state\", \"mem_file_path\": \"$PWD/again/memory\"}" >>said 2>&1
ctl stop >>said 2>&1
exec 3>&-
wait $vmm
wait $pager
watch stasis restore again --log-level error
line=$(reports)
printf q >&3
exec 3>&-
wait $vmm
status=$?
case "$status $line" in
"0 "*"$right"*) t_ok ;;
*) cat said >>out; t_fail "status $status, it saw: $line" out ;;
esac

# load_from WHAT: a VMM that loads from the server that was started, in the background.
load_from() {
	wait_for 10 pager.out '^listening'
	watch stasis --api-sock vm.sock --level Error
	until [ -S vm.sock ]; do usleep 50000; done
	ctl put /snapshot/load "$(load)" >said 2>&1 &
	asking=$!
}

gone() { [ ! -d /proc/$1 ] || grep -q "^State:.Z" /proc/$1/status; }

# ends: the VMM has ended, within a second and what this host adds to that; its status.
ends() {
	exec 3>&-
	for i in $(seq 30); do
		gone $vmm && break
		usleep 100000
	done
	gone $vmm || { kill -KILL $vmm; return 99; }
	wait $vmm
}

t_begin "a server that never answers: the API does, and stop ends it"
"$T/pager" pages shot/memory >pager.out 2>&1 &
pager=$!
wait_for 10 pager.out '^listening'
kill -STOP $pager
load_from
state=$(timeout 2 stasis ctl --socket "$PWD/vm.sock" status 2>&1)
ctl stop >stopped 2>&1
ends
status=$?
kill -KILL $pager
case "$status $state" in
"0 state    Not started"*) t_ok ;;
*) t_fail "status $status, state: $state" out ;;
esac
wait $asking $pager

t_begin "a server that goes without a page fails the load"
"$T/pager" pages shot/memory 0 >pager.out 2>&1 &
load_from
wait $asking
ends
status=$?
if [ $status -eq 1 ] && grep -q "page server is gone\|cannot hand guest RAM over" said; then t_ok; else t_fail "status $status" said; fi

t_begin "a vCPU that waits for a page keeps nobody from ending"
"$T/pager" pages shot/memory >pager.out 2>&1 &
pager=$!
load_from
wait $asking
kill -STOP $pager
printf g >&3
usleep 300000
stasis ctl --socket "$PWD/vm.sock" pause --timeout 1 >paused 2>&1
state=$(timeout 2 stasis ctl --socket "$PWD/vm.sock" status 2>&1)
ctl stop >stopped 2>&1
ends
status=$?
kill -KILL $pager
case "$status $state" in
"0 state    Running"*) t_ok ;;
"0 state    Paused"*) t_ok ;; # it had what it touches
*) cat paused >>out; t_fail "status $status, state: $state" out ;;
esac
wait $pager

t_begin "a server that dies ends the VM, with a reason"
"$T/pager" pages shot/memory 3 >pager.out 2>&1 &
load_from
wait $asking
printf g >&3
for i in $(seq 100); do
	gone $vmm && break
	usleep 100000
done
ends
status=$?
if [ $status -eq 1 ] && grep -q "page server is gone" out said; then t_ok; else t_fail "status $status" out; fi

t_done
