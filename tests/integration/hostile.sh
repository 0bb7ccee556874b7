# SPDX-License-Identifier: Apache-2.0
# add: out/stasis out/guests/hostile.img
# modules: tun vhost_net
#
# A guest that torments its devices (tests/guests/hostile.c) while it uses another properly: the
# VMM goes on, says little, and each device works after a reset. $HOSTILE_MS is how long each device
# has; the first drive is done by both engines, unless $HOSTILE_ENGINES says otherwise, and with the
# second the kernel's vhost-net moves the frames.
. "$T/lib.sh"

ms=${HOSTILE_MS:-2000}
ip link set lo up
tunctl -t tap0 >/dev/null
ip address add 10.0.0.1/24 dev tap0
ip link set tap0 up
# Each sector begins with its number.
for i in $(seq 0 255); do
	printf "\\$(printf %03o "$i")"
	head -c 511 /dev/zero
done >other

for engine in ${HOSTILE_ENGINES:-"" ",async"}; do
	[ -z "$engine" ] && vhost= || vhost=,vhost
	t_begin "random garbage for every device, $ms ms each (${engine:-,sync}$vhost)"
	rm -f disk v sock
	dd if=/dev/zero of=disk bs=1M count=0 seek=8 2>/dev/null
	rm -f typed
	mkfifo typed
	began=$(date +%s)
	timeout -s KILL $((60 + ms / 100)) stasis run --kernel "$T/hostile.img" --cpus 2 --memory 32M --cmdline console=ttyS0 \
		--disk "disk$engine" --disk other,ro --net "tap0$vhost" --vsock "3,$PWD/v" --balloon 0 --entropy \
		--log-level info <>typed >out 2>err &
	pid=$!
	wait_for 20 out "^waiting"
	echo "$ms ${#engine}" >typed
	wait $pid
	status=$?
	seconds=$(($(date +%s) - began))
	tr -d '\r' <out | grep -a "^rounds" | sed 's/^/# /'
	tr -d '\r' <out | grep -aq "done: [0-9]* checks, 0 failed" && [ $status -eq 0 ] && good=yes || good=no
	[ $good = yes ] || { tr -d '\r' <out; cat err; } >both
	if [ $good = yes ]; then t_ok; else t_fail "status $status" both; fi
	t_begin "it says at most a line a second of each (${engine:-,sync})"
	echo "# $(wc -l <err) lines in $seconds s"
	if [ "$(wc -l <err)" -le $((5 + 5 * (seconds + 1))) ]; then t_ok; else t_fail "$(wc -l <err) lines" err; fi
	echo "# $(sort err | uniq -c | sort -rn | head -n 8 | tr '\n' ';')"
done
t_done
