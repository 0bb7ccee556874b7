# SPDX-License-Identifier: Apache-2.0
# add: out/stasis out/guests/spin.img out/guests/off.img out/tests/inject
#
# What a guest finds that took over a thread of its VMM: `inject` makes that thread ask the kernel for
# what an attacker would. Each must end the process at once, by its filter, and nobody else.
. "$T/lib.sh"

ctl() { timeout 60 stasis ctl --socket "$PWD/s" "$@" >said 2>&1 </dev/null; }

# start OPTION...: in the background; sets $pid, and the numbers of its threads.
start() {
	: >out
	stasis run --kernel "$T/spin.img" --memory 32M --cmdline console=ttyS0 --no-sandbox "$@" >out 2>err </dev/null &
	pid=$!
	wait_for 30 out ^spinning
	main=$pid vcpu=$(thread "fc_vcpu 0") starter=$(thread starter)
}
thread() {
	for task in "/proc/$pid"/task/*; do
		[ "$(cat "$task/comm" 2>/dev/null)" != "$1" ] || echo "${task##*/}"
	done
}

# dies THREAD CALL inject's words...: it did, as it has to.
dies() {
	which=$1 called=$2
	shift 2
	eval "tid=\$$which"
	said=$(inject "$tid" "$@" 2>&1)
	wait "$pid"
	status=$?
	case $which in main) words="a main thread called $called(" ;; vcpu) words="a vCPU thread called $called(" ;;
	*) words="a $which thread called $called(" ;; esac
	[ "$said" = SIGSYS ] && [ $status -eq 148 ] && [ "$(grep -c "$words" err)" -eq 1 ] && [ ! -e s ] && [ ! -e v ]
}

t_begin "every thread has a filter, and the log does not speak of it"
start --api-sock "$PWD/s" --vsock "3,$PWD/v"
without= n=0
for task in "/proc/$pid"/task/*; do
	n=$((n + 1))
	grep -q "^Seccomp:.2" "$task/status" || without="$without $(cat "$task/comm")"
done
if [ -z "$without" ] && [ $n -eq 3 ] && ! grep -qi seccomp err; then t_ok; else t_fail "of $n without one:$without" err; fi
kill $pid
wait $pid

t_begin "--no-seccomp: no thread has one, and the log says so"
start --no-seccomp
if grep -q "^Seccomp:.0" "/proc/$pid/status" && grep -q "warning: --no-seccomp" err; then t_ok; else t_fail "it has" err; fi
kill $pid
wait $pid

# The neighbour of all that follow.
stasis run --kernel "$T/spin.img" --memory 32M --cmdline console=ttyS0 --api-sock "$PWD/n" >nout 2>nerr </dev/null &
neighbour=$!
wait_for 30 nout ^spinning

# THREAD, the call's name, what inject is told.
while read -r which called words; do
	t_begin "$which: $called $words"
	start --api-sock "$PWD/s" --vsock "3,$PWD/v"
	# shellcheck disable=SC2086
	eval "set -- $words"
	if dies "$which" "$called" "$@" && [ ! -e created ] && kill -0 $neighbour; then t_ok; else
		t_fail "it said $said, status $status" err
	fi
done <<END
main execve exec /bin/busybox
main openat create created
main socket tcp 9
main ptrace call 117 16 $neighbour 0
main kill call 129 $neighbour 9 0
main tgkill call 131 $neighbour $neighbour 9
main mmap call 222 0 4096 7
main clone call 220 17 0 0
main unshare call 97 0x10000000 0 0
main ioctl call 29 0 0xae01 0
main io_uring_setup call 425 8 0 0
main renameat call 38 0 0 0
main process_vm_writev call 271 $neighbour 0 0
main bpf call 280 0 0 0
vcpu execve exec /bin/busybox
vcpu openat open /etc/passwd
vcpu socket tcp 9
vcpu kill call 129 $neighbour 9 0
vcpu tgkill call 131 $neighbour $neighbour 34
vcpu mmap call 222 0 4096 3
vcpu ioctl call 29 0 0xae41 0
vcpu unlinkat call 35 0 0 0
starter execve exec /bin/busybox
starter socket tcp 9
starter mount call 40 0 0 0
END

t_begin "the neighbour did not notice"
if timeout 20 stasis ctl --socket "$PWD/n" status >said 2>&1 && grep -q Running said && [ ! -s nerr ]; then t_ok; else
	t_fail "it did" nerr
fi
kill $neighbour
wait $neighbour

t_begin "while the API waits for a VM, programs cannot be run either"
stasis --api-sock "$PWD/s" >log 2>err </dev/null &
pid=$!
wait_for 20 log "API server started"
main=$pid
if dies main execve exec /bin/busybox && grep -q "a main thread called execve" log; then t_ok; else t_fail "$said, $status" log; fi

t_begin "the table has at most 40 calls of the main thread and 10 of vCPUs, each with its reason"
stasis seccomp show --json >table.json
stasis seccomp show >table
count() { awk -v t="$1" '$1 == t && !/: fails/ { print $2 }' table | grep -v "^mremap\|^clone3" | sort -u | wc -l; }
if [ "$(count main)" -le 40 ] && [ "$(count vcpu)" -le 10 ] && [ "$(count vcpu)" -ge 5 ] &&
	[ "$(grep -c '"reason": "[^"]' table.json)" = "$(wc -l <table)" ]; then t_ok; else
	t_fail "main $(count main), vcpu $(count vcpu)" table
fi
t_done
