# SPDX-License-Identifier: Apache-2.0
# add: out/stasis
# guest: power-key
#
# The power key, pressed through the API: SendCtrlAltDel, which Firecracker refuses on arm64.
. "$T/lib.sh"

ctl() { timeout 20 stasis ctl --socket "$PWD/s" "$@"; }

t_begin "a Linux guest sees the power key pressed and released, and shuts down"
stasis run --api-sock "$PWD/s" --kernel "$T/kernel-6.12" --initrd "$T/power-key.cpio" \
	--cmdline "console=ttyS0 quiet panic=-1" >out 2>err </dev/null &
pid=$!
if ! wait_for 60 out '^guest: waiting'; then
	kill -KILL $pid
	t_fail "the guest found no power key" out
else
	ctl power-button >ctl.out 2>&1
	pressed=$?
	wait_for 30 out 'reboot: Power down' || kill -KILL $pid
	wait $pid
	status=$?
	held=$(tr -d '\r' <out | sed -n 's/^guest: pressed=\([0-9]*\) ms$/\1/p')
	if [ $pressed -ne 0 ]; then
		t_fail "the key could not be pressed" ctl.out
	elif [ $status -ne 0 ] || ! grep -q 'reboot: Power down' out; then
		t_fail "status $status" out
	elif [ -z "$held" ] || [ "$held" -lt 20 ] || [ "$held" -gt 5000 ]; then
		t_fail "it was held for '$held' ms" out
	else
		t_ok
	fi
fi

t_done
