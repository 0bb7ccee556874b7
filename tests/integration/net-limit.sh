# SPDX-License-Identifier: Apache-2.0
# add: out/stasis
# add: out/tests/streams
# guest: devices
# modules: tun
#
# A limit on a network interface, with a Linux guest, by the guest's clock and the host's. On a host
# whose clock counts instructions, or a busy machine would stretch what is measured.
. "$T/lib.sh"

tunctl -t tap1 >/dev/null
ip link set lo up
ip address add 10.0.1.1/24 dev tap1
ip link set tap1 up
"$T/streams" echo tcp:10.0.1.1:7000 >echo 2>&1 &
echo=$!
MIB4=4194304

# stream KEY: 4 MiB there and back; $ms by the guest's clock, $host_ms by the host's.
stream() {
	since=$(cut -d ' ' -f 1 /proc/uptime)
	tell 60 "$1" "streams check tcp:10.0.1.1:7000 1 $MIB4"
	host_ms=$(awk -v since="$since" '{ print int(1000 * ($1 - since)) }' /proc/uptime)
	ms=$(said "$1" | sed -n 's/.* in \([0-9]*\) ms.*/\1/p')
	echo "# $(said "$1"); $host_ms ms of the host"
	said "$1" | grep -q "bytes in"
}

# limit LIMIT: on what the guest sends.
limit() {
	stasis ctl --socket "$PWD/s" patch /network-interfaces/net0 \
		"{\"iface_id\":\"net0\",\"tx_rate_limiter\":{\"bandwidth\":$1}}" >patch.out 2>&1
}

t_begin "without a limit, 4 MiB there and back take less than a second"
start_guest --memory 256M --net tap1
tell 10 up "ip link set eth0 up; ip address add 10.0.1.2/24 dev eth0; echo done"
if stream free && [ "$ms" -lt 1000 ]; then t_ok; else t_fail "it took '$ms' ms" out; fi

# The bucket is full at first: 1 of the 4 MiB is free.
t_begin "with 1 MiB/s they take 3 to 4 seconds"
limit '{"size":1048576,"refill_time":1000}'
if stream slow && [ "$ms" -ge 2900 ] && [ "$ms" -le 4500 ] && [ "$host_ms" -ge 2900 ]; then t_ok; else
	t_fail "it took '$ms' ms" patch.out
fi

t_begin "with the limit gone, less than a second again"
limit '{"size":0,"refill_time":0}'
if stream again && [ "$ms" -lt 1000 ]; then t_ok; else t_fail "it took '$ms' ms" patch.out; fi

end_guest || echo "# status $guest_status"
kill $echo
t_done
