# SPDX-License-Identifier: Apache-2.0
# add: out/stasis out/guests/hostile.img
# modules: tun vhost_net
# seconds: 1500
#
# The guest of hostile.sh, which torments its devices for ten minutes, and is paused, saved and
# restored all the time: a snapshot can be taken at any moment of that, as a diff too, and the guest
# that is restored from it goes on and finds that all it read was right. $HOSTILE_MS is how long each
# device has with each engine.
. "$T/lib.sh"

ms=${HOSTILE_MS:-42000}
ip link set lo up
tunctl -t tap0 >/dev/null
ip address add 10.0.0.1/24 dev tap0
ip link set tap0 up
# Each sector begins with its number.
for i in $(seq 0 255); do
	printf "\\$(printf %03o "$i")"
	head -c 511 /dev/zero
done >other

stasis_ctl() { timeout 60 stasis ctl --socket sock "$@" >said 2>&1 </dev/null; }
is_over() { tr -d '\r' <out | grep -aq "^done: "; }
listens() {
	left=200
	until [ -S sock ] || [ $left -eq 0 ]; do
		left=$((left - 1))
		usleep 50000
	done
	[ -S sock ]
}

# save FOLDER OPTION...: the VM is paused afterwards.
save() { timeout 100 stasis snapshot "$@" --socket sock --paused >said 2>&1 </dev/null; }

# The VM is ended, and another made of what was saved in the folder.
restore() {
	stasis_ctl stop
	wait $pid
	[ $(($generation % 2)) -eq 0 ] && track=--track-dirty-pages || track=
	timeout -s KILL 900 stasis restore "$1" --api-sock sock $track <>typed >>out 2>>err &
	pid=$!
	generation=$((generation + 1))
	listens
}

step() {
	case $(($1 % 4)) in
	0 | 2) stasis_ctl pause && stasis_ctl resume ;;
	1) save saved && restore saved ;;
	3) save saved --changes && stasis_ctl resume ;;
	esac
}

# What failed, or nothing when the guest is done, which it may be in the middle of a step.
torment() {
	turn=0
	while kill -0 $pid 2>/dev/null && ! is_over; do
		turn=$((turn + 1))
		sleep 2
		if ! is_over && ! step $turn; then
			wait_for 5 out "^done: " || echo "step $turn"
			break
		fi
		saves=$((saves + turn % 2))
	done
}

for engine in "" ",async"; do
	[ -z "$engine" ] && vhost= || vhost=,vhost
	t_begin "a guest that torments its devices is saved and restored (${engine:-,sync}$vhost)"
	rm -rf disk v sock typed out err saved
	dd if=/dev/zero of=disk bs=1M count=0 seek=8 2>/dev/null
	mkfifo typed
	generation=0 saves=0
	timeout -s KILL 900 stasis run --kernel "$T/hostile.img" --cpus 2 --memory 32M --cmdline console=ttyS0 \
		--disk "disk$engine" --disk other,ro --net "tap0$vhost" --vsock "3,$PWD/v" --balloon 0 --entropy \
		--api-sock sock --track-dirty-pages --log-level warning <>typed >out 2>err &
	pid=$!
	wait_for 20 out "^waiting"
	echo "$ms ${#engine}" >typed
	torment >problem
	wait $pid
	status=$?
	tr -d '\r' <out | grep -a "^rounds" | sed 's/^/# /'
	echo "# $saves times saved, $generation restored"
	if [ -s problem ]; then
		cat said err >both
		t_fail "$(cat problem)" both
		kill -9 $pid 2>/dev/null
	elif tr -d '\r' <out | grep -aq "done: [0-9]* checks, 0 failed" && [ $status -eq 0 ] && [ $generation -gt 0 ]; then
		t_ok
	else
		{ tr -d '\r' <out; cat err; } >both
		t_fail "status $status" both
	fi
done
t_done
