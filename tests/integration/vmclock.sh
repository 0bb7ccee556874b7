# SPDX-License-Identifier: Apache-2.0
# add: out/stasis
# guest: vmclock
#
# VMClock and VMGenID with Linux's own drivers.
. "$T/lib.sh"

ctl() { timeout 20 stasis ctl --socket "$PWD/s" "$@"; }

stasis run --api-sock "$PWD/s" --memory 512M --kernel "$T/kernel-newest" --initrd "$T/vmclock.cpio" \
	--cmdline "console=ttyS0 quiet panic=-1" >out 2>err </dev/null &
pid=$!

t_begin "Linux finds a clock of its virtual counter, in TAI, and a generation identifier"
wait_for 90 out '^guest: waiting'
if [ "$(said magic) $(said counter) $(said type)" = "56434c4b 00 01" ] &&
	said ptp | grep -q vmclock && [ "$(said genid)" = 1 ]
then t_ok; else t_fail "it does not" out; fi

t_begin "a pause that counts is no disruption"
ctl pause >ctl.out && sleep 1 && ctl resume --clock continuous >>ctl.out
sleep 3
if [ "$(said marker)" = 0000000000000000 ] && ! grep -q "^guest: changed" out
then t_ok; else t_fail "it is" out; fi

# told KEY: of GET /clock about VMClock.
told() { ctl --json clock >clock.out && sed -n "s/.*\"vmclock\":{.*\"$1\":\"*\([^,\"}]*\).*\"history.*/\1/p" clock.out; }

t_begin "nobody synchronises this host: free-running, and no bound"
if [ "$(told status) $(said status)" = "freerunning 03" ] && [ -z "$(told max_error_ns)" ] &&
	[ "$(told tai_offset)" = 37 ]
then t_ok; else t_fail "$(cat clock.out)" out; fi

t_begin "the page is brought up to date while the guest runs, which interrupts it"
before=$(told published)
sleep 10
if [ "$(told published)" -gt "$before" ] && [ "$(told disruptions)" = 0 ]
then t_ok; else t_fail "it is not: $before, $(cat clock.out)" out; fi

t_begin "a frozen pause is one, and interrupts"
ctl pause >>ctl.out && sleep 1 && ctl resume >>ctl.out
wait_for 30 out 'reboot: Power down' || kill -KILL $pid 2>/dev/null
wait $pid
status=$?
if [ $status -eq 0 ] && [ "$(said changed)" = 0100000000000000 ] &&
	[ "$(said interrupts)" -ge 3 ] && [ "$(said renewed)" = 0 ]
then t_ok; else t_fail "status $status" out; fi

t_done
