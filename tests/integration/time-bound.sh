# SPDX-License-Identifier: Apache-2.0
# add: out/stasis out/tests/clock_truth
# guest: clocks
# seconds: 900
#
# What a Linux guest takes for the time by VMClock's page is off from the truth by no more than the
# page says, for hours: on a host whose true time is known, because its counter is exact and skips
# what it sleeps, while the kernel's clock is disciplined, slewed, lost, set, and taken through a leap
# second, and the guest is paused.
. "$T/lib.sh"

ctl() { timeout 20 stasis ctl --socket "$PWD/s" "$@" >ctl.out 2>&1; }
verdict() { if [ "$1" -eq 0 ]; then t_ok; else t_fail "$2" out; fi; }

mkfifo typed
truth=$("$T/clock_truth" begin)
stasis run --api-sock "$PWD/s" --memory 256M --kernel "$T/kernel-newest" --initrd "$T/clocks.cpio" \
	--cmdline "console=ttyS0 quiet panic=-1" <typed >out 2>err &
vmm=$!
exec 3>typed
wait_for 90 out '^guest: ready'

# looks N: the guest looks every 7 s, and what it saw is checked: $said.
looks() {
	ctl --json clock
	offset=$(sed 's/.*"host_counter":[0-9]*,"offset":\(-*[0-9]*\),.*"host_mon.*/\1/' ctl.out)
	looks_before=$(wc -l <out)
	looks_done=$(grep -c "^guest: done bound" out)
	echo "bound$1" >&3
	looks_left=$(($1 * 7 + 60))
	until [ "$(grep -c "^guest: done bound" out)" -gt "$looks_done" ] || [ $looks_left -eq 0 ]; do
		sleep 1
		looks_left=$((looks_left - 1))
	done
	said=$(tail -n +$((looks_before + 1)) out | "$T/clock_truth" check $truth "$offset")
	right=$?
	echo "# $said"
}
# all N: of $said; bounded at each look, or at none.
all() { [ $right -eq 0 ] && [ "$said" != "${said#looked $1 bounded $2 wrong 0 }" ]; }

t_begin "nobody synchronises the host: nothing is claimed"
looks 10
all 10 0
verdict $? "$said"

for how in steady slew lost; do
	t_begin "$how: right within what is claimed, for 35 minutes, before and after pauses"
	"$T/clock_truth" keep $how 2600 $truth &
	daemon=$!
	sleep 63 # until it is noticed
	looks 150
	all 150 150
	first=$?
	ctl pause
	sleep 20
	ctl resume
	looks 75
	all 75 75
	second=$?
	ctl pause
	sleep 20
	ctl resume --clock continuous
	looks 75
	all 75 75
	verdict $((first + second + $?)) "$said"
	wait $daemon
done

t_begin "set by hours: right whenever something is claimed"
"$T/clock_truth" keep set 1300 $truth &
daemon=$!
looks 170
[ $right -eq 0 ] && ! all 170 0 && ! all 170 170
verdict $? "$said"
wait $daemon

# told KEY: of GET /clock about VMClock.
told() { ctl --json clock && sed -n "s/.*\"vmclock\":{.*\"$1\":\"*\([^,\"}]*\).*\"history.*/\1/p" ctl.out; }

t_begin "through a leap second, which is told before, and after"
truth=$("$T/clock_truth" begin leap)
"$T/clock_truth" keep leap 600 $truth &
daemon=$!
sleep 63
before="$(told leap) $(told tai_offset)"
looks 60
after="$(told leap) $(told tai_offset)"
all 60 60 && [ "$before" = "insert-soon 37" ] && [ "$after" = "inserted 38" ]
verdict $? "$said; $before, $after"
wait $daemon

t_begin "the frozen pauses were disruptions, and nothing else was"
[ "$(told disruptions)" = 3 ]
verdict $? "$(cat ctl.out)"
ctl stop
exec 3>&-
wait $vmm
t_done
