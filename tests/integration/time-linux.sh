# SPDX-License-Identifier: Apache-2.0
# add: out/stasis
# guest: clock
#
# Linux over a pause: what its clocks say, with nobody to set them, with chrony and with
# clock-follow.
. "$T/lib.sh"

ctl() { timeout 20 stasis ctl --socket "$PWD/s" "$@" >said 2>&1; }
now_s() { date +%s; }

# begin WORDS [OPTION...]: a guest that tells the time.
begin() {
	words=$1
	shift
	rm -f s out # what the last guest said is not of this one
	timeout -s KILL 200 stasis run --api-sock "$PWD/s" --memory 512M --kernel "$T/kernel-newest" \
		--initrd "$T/clock.cpio" --cmdline "console=ttyS0 quiet panic=-1 $words" "$@" >out 2>err </dev/null &
	vmm=$!
	wait_for 90 out '^guest: sleeps'
	sleep 1
}

# Its latest time: $up (hundredths of a second since boot) and $real.
look() {
	look_before=$(grep -c '^guest: time=' out)
	left=100
	until [ "$(grep -c '^guest: time=' out)" -gt $((look_before + 1)) ] || [ $left -eq 0 ]; do
		usleep 50000
		left=$((left - 1))
	done
	host=$(now_s)
	line=$(tr -d '\r' <out | grep '^guest: time=[0-9.]* [0-9]*$' | tail -n 1)
	up=$(echo "$line" | sed 's/.*time=0*\([0-9]*\)\.\([0-9]*\) .*/\1\2/')
	real=${line##* }
	lag=$((host - real))
}

pause() {
	look
	before=$up
	ctl pause
	sleep 8
	ctl resume "$@"
	sleep 1
	look
}

slept() {
	wait_for 30 out '^guest: slept='
	tr -d '\r' <out | sed -n 's/^guest: slept=\([0-9]*\)\.\([0-9]*\) \([0-9]*\)\.\([0-9]*\)$/\1\2 \3\4/p' |
		awk '{ print $2 - $1 }'
}
between() { [ "$1" -le "$2" ] && [ "$2" -le "$3" ]; }
verdict() { if [ "$1" -eq 0 ]; then t_ok; else t_fail "$2" out; fi; }

t_begin "a frozen pause of 8 s: Linux's time since boot does not notice"
begin "chrony=1"
pause
between 0 $((up - before)) 500
verdict $? "it went on by $((up - before)) hundredths"
t_begin "nobody sets its clock: it lags by the pause"
between 7 "$lag" 14
verdict $? "it lags by $lag s"
t_begin "a sleep of 6 s over it takes 6 s of the guest's time"
took=$(slept)
between 590 "$took" 800
verdict $? "it took $took hundredths"
t_begin "its kernel says nothing of it"
if grep -q '^guest: noise=' out; then t_fail "it does" out; else t_ok; fi
# The promise is of a second (time-chrony.sh), on a host that does nothing else.
t_begin "chrony, as tools/guest/chrony.conf sets it up, corrects that, and the next frozen pause"
wait_for 60 out '^guest: followed='
sleep 2
ctl pause
sleep 4
ctl resume
left=200
until [ "$(grep -c '^guest: followed=' out)" -ge 2 ] || [ $left -eq 0 ]; do
	usleep 100000
	left=$((left - 1))
done
took=$(tr -d '\r' <out | sed -n 's/^guest: followed=//p' | tail -n 1)
[ $left -gt 0 ] && between 1 "${took:-0}" 4000
verdict $? "it took ${took:-for ever} ms"
ctl stop
wait $vmm

t_begin "clock-follow sets the clock after a frozen pause"
begin "follow=1"
pause
between -2 "$lag" 2 && grep -q '^clock-follow: stepped by [78][0-9]\{6\} us\|^clock-follow: stepped by [0-9]\{7,8\} us' out
verdict $? "it lags by $lag s"
t_begin "and leaves time since boot alone"
between 0 $((up - before)) 500
verdict $? "it went on by $((up - before)) hundredths"
ctl stop
wait $vmm

t_begin "a continuous pause, by --clock: time since boot counts it, and the clock is right"
begin "" --clock continuous
pause
between 750 $((up - before)) 2500 && between -2 "$lag" 2
verdict $? "it went on by $((up - before)) hundredths, and lags by $lag s"
t_begin "a sleep of 6 s that ended in it is over at once"
took=$(slept)
between 750 "$took" 2500
verdict $? "it took $took hundredths"
ctl stop
wait $vmm

t_done
