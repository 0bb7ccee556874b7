# SPDX-License-Identifier: Apache-2.0
# add: out/stasis out/guests/spin.img out/deps/kernels/6.12/Image:kernel-6.12
#
# What stasis says without being asked, and when it is asked for help.
. "$T/lib.sh"

# prints NAME WORDS COMMAND...: success, with WORDS on standard output and nothing on the other one.
prints() {
	t_begin "$1"
	prints_words=$2
	shift 2
	timeout 20 "$@" >said 2>complained </dev/null
	status=$?
	if [ $status -eq 0 ] && grep -qF -- "$prints_words" said && [ ! -s complained ]; then t_ok; else
		cat complained >>said
		t_fail "status $status, or no '$prints_words'" said
	fi
}

find / -xdev -newer "$T/lib.sh" -type f 2>/dev/null | sort >before
for command in run restore snapshot inspect ctl vsock trace-offset trace-merge seccomp doctor; do
	prints "stasis $command -h" "Usage: stasis $command" stasis $command -h
	prints "stasis $command help" "Usage: stasis $command" stasis $command help
	prints "stasis help $command" "Usage: stasis $command" stasis help $command
	prints "stasis $command -V" "stasis 0." stasis $command -V
done
prints "stasis help" "stasis COMMAND --help" stasis help
prints "stasis -h" "stasis COMMAND --help" stasis -h
prints "stasis -V" "Firecracker v" stasis -V

# warns NAME WORDS OPTION...: a guest that is started says so.
warns() {
	t_begin "$1"
	warns_words=$2
	shift 2
	timeout 3 stasis run --kernel "$T/spin.img" "$@" >said 2>&1 </dev/null
	if grep -qF -- "$warns_words" said; then t_ok; else t_fail "it does not say '$warns_words'" said; fi
}
warns "more memory than this host has" "more than the" --memory 100G
warns "a console that guests do not have" "write console=ttyS0" --memory 64M --cmdline "console=ttyAMA0"
t_begin "and says nothing of those that are right"
timeout 3 stasis run --kernel "$T/spin.img" --memory 64M >said 2>&1 </dev/null
if ! grep -q "stasis:" said; then t_ok; else t_fail "it says something" said; fi

t_begin "a vsock that no guest answers is given up after ten seconds"
stasis run --kernel "$T/spin.img" --memory 64M --vsock "3,$PWD/v" >out 2>&1 </dev/null &
pid=$!
left=50
until [ -S v ] || [ $left -eq 0 ]; do
	usleep 100000
	left=$((left - 1))
done
timeout 20 stasis vsock --uds v 52 >said 2>&1 </dev/null
status=$?
kill $pid
wait $pid
if [ $status -eq 1 ] && grep -q "did not answer within 10 s" said; then t_ok; else t_fail "status $status" said; fi
t_done
