# SPDX-License-Identifier: Apache-2.0
# add: out/stasis
# guest: clocks clocks-ptp
# seconds: 900
#
# clock-follow, counted: how soon after a resume it has stepped the clock, and that it keeps the
# host's rate. On a host that counts instructions, 1 ns each, and skips what it sleeps.
. "$T/lib.sh"

STEP_US=1000 PTP_MS=60 LAG_US=50

ctl() { timeout 20 stasis ctl --socket "$PWD/s" "$@" >ctl.out 2>&1; }
between() { [ "$1" -le "$2" ] && [ "$2" -le "$3" ]; }
verdict() { if [ "$1" -eq 0 ]; then t_ok; else t_fail "$2" out; fi; }

# steps SECONDS: after frozen pauses of a minute, with that between them: $steps has how many us each
# took until the clock was right.
steps() {
	for n in 1 2 3 4 5; do
		ctl pause
		sleep 60
		ctl resume
		sleep "$1"
	done
	steps=$(tr -d '\r' <out | sed -n 's/^clock-follow: stepped within \([0-9]*\) us$/\1/p' | tail -n 5)
}
# soon LIMIT: five times, and none took longer.
soon() { echo "$steps" | awk -v limit="$1" '$1 > 0 && $1 <= limit { n++ } END { exit n != 5 }'; }

begin_words newest clocks --memory 256M
tell_word keep
sleep 3
t_begin "VMClock: an idle guest's clock is stepped within $STEP_US us of the resume, five times of five"
steps 5.3
soon $STEP_US
verdict $? "$(echo $steps)"
echo "# it took" $steps us
t_begin "which leaves it right to $LAG_US us"
tell_word lag
between -$LAG_US "$(latest lag)" $LAG_US
verdict $? "it lags by $(latest lag) us"

# rate PPM: of the host's clock, in units of adjtimex -f.
rate() { adjtimex -f $((($1) * 65536)) >/dev/null; }
t_begin "it follows the rate of the host's clock, with a step at most: 200 ppm, and back"
stepped=$(grep -c '^clock-follow: stepped by' out)
worst=0
for ppm in 200 -200 0; do
	# A minute until it is found, ten with the right rate.
	rate $ppm
	sleep 70
	for n in 1 2 3 4 5; do
		sleep 120
		tell_word lag
		lag=$(latest lag)
		[ "${lag#-}" -le $worst ] || worst=${lag#-}
	done
done
# What was missed until it was found is stepped, if it is a millisecond.
[ $worst -le $LAG_US ] && [ $(($(grep -c '^clock-follow: stepped by' out) - stepped)) -le 3 ]
verdict $? "it lags by up to $worst us"
echo "# it lagged by up to $worst us"
t_begin "a busy guest's clock is stepped as soon"
tell_word busy
steps 1.3 # each second of it is counted
soon $STEP_US
verdict $? "$(echo $steps)"
echo "# it took" $steps us
end_words

begin_words 6.12 clocks-ptp --memory 256M
tell_word keep
t_begin "PTP: the kernel learns the rate of the host's clock, 100 ppm"
rate 100
sleep 120
worst=0
for n in 1 2 3 4 5; do
	sleep 20
	tell_word lag
	lag=$(latest lag)
	[ "${lag#-}" -le $worst ] || worst=${lag#-}
done
rate 0
[ $worst -le $LAG_US ]
verdict $? "it lags by up to $worst us"
echo "# it lagged by up to $worst us"
t_begin "and the clock is right within $PTP_MS ms, five times of five"
tell_word watch
wait_for 20 out '^guest: following'
for n in 1 2 3 4 5; do
	ctl pause
	sleep 60
	ctl resume
	sleep 2.3
done
followed=$(tr -d '\r' <out | sed -n 's/^guest: followed=//p')
echo "$followed" | awk -v limit=$PTP_MS '$1 >= 0 && $1 <= limit { n++ } END { exit n != 5 }'
verdict $? "$(echo $followed)"
echo "# it took" $followed ms
end_words

t_done
