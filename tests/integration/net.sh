# SPDX-License-Identifier: Apache-2.0
# add: out/stasis
# add: out/tests/streams
# add: out/tests/taps
# guest: devices
# modules: tun
#
# Network interfaces with a Linux guest: two taps, each in a network namespace of its own, so that
# what arrives went through the guest's interface.
. "$T/lib.sh"

# A namespace with a tap: 10.0.N.1, and an echo server at port 7000.
make_namespace() {
	unshare -n sleep 1000 &
	eval "ns$1=$!"
	usleep 300000
	in_namespace "$1" tunctl -t "tap$1" >/dev/null
	in_namespace "$1" ip link set lo up
	in_namespace "$1" ip address add "10.0.$1.1/24" dev "tap$1"
	in_namespace "$1" ip link set "tap$1" up
	in_namespace "$1" "$T/streams" echo "tcp:10.0.$1.1:7000" >"echo$1" 2>&1 &
	eval "echo$1=$!"
}

in_namespace() {
	eval "nsenter_pid=\$ns$1"
	shift
	nsenter --net=/proc/"$nsenter_pid"/ns/net "$@"
}

# mac INTERFACE: of the guest.
mac() { tell 10 "mac$1" "cat /sys/class/net/$1/address" && said "mac$1"; }

# streams_ok KEY: what `streams check` said in the guest.
streams_ok() { said "$1" | grep -q "bytes in"; }

make_namespace 1
make_namespace 2
MIB64=67108864

t_begin "a tap that is not there is refused by name, and not made"
run_guest 20 refused stasis run --kernel "$T/kernel-6.12" --net no-such-tap
if [ $run_status -eq 153 ] && grep -q "No such device.*provided by no-such-tap" refused &&
	! ip link show no-such-tap >/dev/null 2>&1; then t_ok; else t_fail "status $run_status" refused; fi

t_begin "a guest finds two interfaces on taps that were passed as descriptors, in their order"
before="$T/taps $ns1/tap1 $ns2/tap2 --"
start_guest --memory 256M --net fd:3,mac=06:00:00:00:00:01 --net fd:4,mac=06:00:00:00:00:02
if [ "$(mac eth0)" = 06:00:00:00:00:01 ] && [ "$(mac eth1)" = 06:00:00:00:00:02 ]; then t_ok; else t_fail "$(said maceth0)" out; fi

t_begin "ping, both ways, on both"
tell 10 up "ip link set eth0 up; ip link set eth1 up; ip address add 10.0.1.2/24 dev eth0;
	ip address add 10.0.2.2/24 dev eth1; echo done"
tell 20 ping1 "ping -c 3 -q 10.0.1.1 | grep received"
tell 20 ping2 "ping -c 3 -q 10.0.2.1 | grep received"
in_namespace 1 ping -c 3 -q 10.0.1.2 >ping.out 2>&1
in_namespace 2 ping -c 3 -q 10.0.2.2 >>ping.out 2>&1
if [ "$(said ping1; said ping2; cat ping.out)" != "" ] && said ping1 | grep -q " 3 packets received" &&
	said ping2 | grep -q " 3 packets received" &&
	[ "$(grep -c " 3 packets received" ping.out)" -eq 2 ]; then t_ok; else t_fail "ping: $(said ping1)" ping.out; fi

t_begin "64 MiB of TCP each way, started by the guest"
tell 60 tcp "streams check tcp:10.0.1.1:7000 4 $((MIB64 / 4))"
echo "# $(said tcp)"
if streams_ok tcp; then t_ok; else t_fail "$(said tcp)" out; fi

t_begin "16 MiB each way, started by the host, to the other interface"
echo "streams echo tcp:10.0.2.2:7000 &" >&9
wait_for 10 out "streams: listening"
in_namespace 2 "$T/streams" check tcp:10.0.2.2:7000 4 $((MIB64 / 16)) >tcp.out 2>&1
echo "# $(cat tcp.out)"
if grep -q "bytes in" tcp.out; then t_ok; else t_fail "it did not arrive" tcp.out; fi

t_begin "a pause in the middle of it loses nothing"
tell 0 paused "streams check tcp:10.0.1.1:7000 2 $((MIB64 / 16))"
usleep 200000
stasis ctl --socket "$PWD/s" pause >ctl.out 2>&1
in_namespace 2 ping -c 1 -W 1 -q 10.0.2.2 >ping.out 2>&1
stasis ctl --socket "$PWD/s" resume >>ctl.out 2>&1
wait_for 60 out "^guest: paused="
if streams_ok paused && grep -q " 0 packets received" ping.out; then t_ok; else t_fail "$(said paused)" ctl.out; fi

t_begin "the driver's offloads off, after a reset of the device"
tell 20 reload "ip link set eth0 down; rmmod virtio_net; insmod /modules/*-virtio_net.ko csum=0 gso=0 ||
	insmod /modules/virtio_net.ko csum=0 gso=0; usleep 300000; ip link set eth0 up; ip address add 10.0.1.2/24 dev eth0; echo done"
tell 60 plain "streams check tcp:10.0.1.1:7000 4 $((MIB64 / 64))"
echo "# $(said plain)"
if streams_ok plain; then t_ok; else t_fail "$(said plain)" out; fi

t_begin "the metrics counted it, and nothing malformed"
stasis ctl --socket "$PWD/s" --json get /metrics >metrics 2>&1
if tr '}' '\n' <metrics | grep '"net_net0"' | grep -q '"tx_malformed_frames":0,' &&
	tr '}' '\n' <metrics | grep '"net_net1"' | grep -q '"rx_bytes_count":[0-9]\{8\}'; then t_ok; else t_fail "they did not" metrics; fi

t_begin "the guest powers off, and the taps are free again"
if end_guest && in_namespace 1 "$T/taps" "$ns1/tap1" -- true; then t_ok; else t_fail "status $guest_status" out; fi

t_begin "an MTU of 9000, on a tap by its name"
in_namespace 1 ip link set tap1 mtu 9000
before="nsenter --net=/proc/$ns1/ns/net"
start_guest --memory 128M --net tap1,mtu=9000,mac=06:00:00:00:00:01
tell 10 mtu "cat /sys/class/net/eth0/mtu"
tell 10 up "ip link set eth0 up; ip address add 10.0.1.2/24 dev eth0; echo done"
tell 20 ping "ping -c 3 -q -s 8900 10.0.1.1 | grep received"
tell 60 tcp "streams check tcp:10.0.1.1:7000 4 $((MIB64 / 32))"
if [ "$(said mtu)" = 9000 ] && said ping | grep -q " 3 packets received" && streams_ok tcp; then t_ok; else
	t_fail "MTU $(said mtu), $(said ping), $(said tcp)" out
fi

t_begin "its tap is refused to a second VMM"
run_guest 20 refused nsenter --net=/proc/"$ns1"/ns/net stasis run --kernel "$T/kernel-6.12" --net tap1
if [ $run_status -eq 153 ] && grep -q "Device or resource busy (os error 16)" refused; then t_ok; else t_fail "status $run_status" refused; fi

# The VMM's CPU time so far, in ticks of 10 ms.
cpu_ticks() { awk '{print $14 + $15}' "/proc/$guest_pid/stat"; }

t_begin "a tap that is deleted is told of once, and costs no CPU"
in_namespace 1 ip link delete tap1 >delete.out 2>&1
tell 20 gone "ping -c 2 -W 1 -q 10.0.1.1 | grep received"
before_idle=$(cpu_ticks)
usleep 1000000
idle=$(($(cpu_ticks) - before_idle))
stasis ctl --socket "$PWD/s" status >status.out 2>&1
if [ "$(grep -c "network interface net0: the tap tap1 was deleted" out)" -eq 1 ] && [ $idle -le 30 ] &&
	grep -qi running status.out && said gone | grep -q " 0 packets received"; then t_ok; else
	t_fail "$idle ticks, $(cat delete.out status.out)" out
fi

end_guest || echo "# status $guest_status"
kill "$echo1" "$echo2" "$ns1" "$ns2" 2>/dev/null
t_done
