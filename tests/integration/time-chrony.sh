# SPDX-License-Identifier: Apache-2.0
# add: out/stasis out/deps/kernels/6.12/Image:kernel-6.12
# guest: chrony
# seconds: 400
#
# chrony in a Linux guest, set up by tools/guest/chrony.conf: after frozen pauses of a minute and of
# two hours its clock is right within a second, as docs/time.md promises. On a host that skips what
# it sleeps.
. "$T/lib.sh"

LIMIT_MS=1000

ctl() { timeout 20 stasis ctl --socket "$PWD/s" "$@" >ctl.out 2>&1; }
between() { [ "$1" -le "$2" ] && [ "$2" -le "$3" ]; }

# begin KERNEL
begin() {
	rm -f s out # what the last guest said is not of this one
	stasis run --api-sock "$PWD/s" --memory 256M --kernel "$T/kernel-$1" --initrd "$T/chrony.cpio" \
		--cmdline "console=ttyS0 quiet panic=-1" >out 2>err </dev/null &
	vmm=$!
	wait_for 90 out '^guest: waiting'
	sleep 10
}
end() {
	ctl stop
	wait $vmm
}

# right SECONDS: a frozen pause of that, after which it must be stepped by it, and soon.
right() {
	ctl pause
	sleep "$1"
	ctl resume
	right_left=60
	until [ "$(grep -c '^guest: followed=' out)" = "$2" ] || [ $right_left -eq 0 ]; do
		sleep 1
		right_left=$((right_left - 1))
	done
	took=$(latest followed)
	[ $right_left -gt 0 ] && between 1 "${took:-0}" $LIMIT_MS &&
		grep -q "System clock was stepped by $1\\." out
	verdict=$?
	sleep 3.3 # not always at the same moment of its second
}

for kernel in newest 6.12; do
	t_begin "$kernel: chrony starts with the host's time"
	begin $kernel
	between -1000 "$(latest lag)" 1000 && grep -q 'Selected source KVM' out
	if [ $? -eq 0 ]; then t_ok; else t_fail "it lags by $(latest lag) us" out; fi
	for n in 1 2 3; do
		t_begin "$kernel: right within $LIMIT_MS ms of a frozen minute ($n)"
		right 60 $n
		if [ $verdict -eq 0 ]; then t_ok; else t_fail "it took $took ms" out; fi
	done
	t_begin "$kernel: and of two frozen hours"
	right 7200 4
	if [ $verdict -eq 0 ]; then t_ok; else t_fail "it took $took ms" out; fi
	t_begin "$kernel: which leaves it right to a millisecond"
	between -1000 "$(latest lag)" 1000
	if [ $? -eq 0 ]; then t_ok; else t_fail "it lags by $(latest lag) us" out; fi
	end
done

t_done
