# SPDX-License-Identifier: Apache-2.0
# add: out/stasis
# add: out/tests/streams
# guest: devices
# modules: tun vhost_net
#
# A network interface whose frames the kernel's vhost-net moves: streams, a pause in the middle of
# one, a reset of the device, and a snapshot of what changed, restored in another process.
. "$T/lib.sh"

tunctl -t tap1 >/dev/null
ip address add 10.0.1.1/24 dev tap1
ip link set tap1 up
arp -s 10.0.1.2 06:00:00:00:00:01
"$T/streams" echo tcp:10.0.1.1:7000 >echo.out 2>&1 &
echo_pid=$!
MIB64=67108864

ctl() { timeout 60 stasis ctl --socket "$PWD/s" "$@" >>ctl.out 2>&1; }
# streams_ok KEY: what `streams check` said in the guest.
streams_ok() { said "$1" | grep -q "bytes in"; }
# counted NAME: a counter of the interface.
counted() {
	stasis ctl --socket "$PWD/s" --json get /metrics | tr '}' '\n' | sed -n "s/.*\"net_net0\".*\"$1\":\([0-9]*\).*/\1/p"
}
address="ip link set eth0 up; ip address add 10.0.1.2/24 dev eth0; echo done"

t_begin "vhost is refused by name together with rate limits, and where there is none"
cat >config.json <<E
{"boot-source": {"kernel_image_path": "$T/kernel-6.12", "initrd_path": "$T/devices.cpio",
"boot_args": "console=ttyS0 quiet panic=-1 cma=0"}, "drives": [],
"machine-config": {"vcpu_count": 2, "mem_size_mib": 128, "track_dirty_pages": true},
"network-interfaces": [{"iface_id": "net0", "host_dev_name": "tap1", "guest_mac": "06:00:00:00:00:01", "vhost": true}]}
E
sed 's/"vhost": true/"vhost": true, "rx_rate_limiter": {"ops": {"size": 1, "refill_time": 1}}/' config.json >both.json
run_guest 20 out stasis --no-api --config-file both.json
both=$run_status
mv /dev/vhost-net /dev/vhost-net.away
run_guest 20 none stasis --no-api --config-file config.json
mv /dev/vhost-net.away /dev/vhost-net
if [ $both -eq 152 ] && grep -q "the kernel's device has no rate limiters; leave out one or the other" out &&
	[ $run_status -eq 152 ] && grep -q "cannot open /dev/vhost-net (load the module vhost_net, give this user access, or do without .vhost.)" none; then t_ok; else
	cat none >>out
	t_fail "status $both and $run_status" out
fi

mkfifo console
exec 9<>console
stasis --api-sock "$PWD/s" --config-file config.json --level Warning >out 2>&1 <console 9<&- &
guest_pid=$!
wait_for 60 out "guest: ready"

t_begin "ping, and 16 MiB of TCP each way, started by the guest"
tell 10 up "$address"
tell 20 ping "ping -c 3 -q 10.0.1.1 | grep received"
tell 90 tcp "streams check tcp:10.0.1.1:7000 4 $((MIB64 / 16))"
echo "# $(said tcp)"
if said ping | grep -q " 3 packets received" && streams_ok tcp; then t_ok; else t_fail "$(said ping), $(said tcp)" out; fi

t_begin "the kernel moved it, not the VMM"
if [ "$(counted tx_packets_count)" = 0 ] && [ "$(counted rx_packets_count)" = 0 ] &&
	cat /proc/[0-9]*/task/*/comm | grep -q "^vhost-$guest_pid"; then t_ok; else
	ps >comms
	t_fail "$(counted tx_packets_count) frames were counted" comms
fi

t_begin "16 MiB each way, started by the host"
echo "streams echo tcp:10.0.1.2:7000 &" >&9
wait_for 10 out "streams: listening"
"$T/streams" check tcp:10.0.1.2:7000 4 $((MIB64 / 16)) >tcp.out 2>&1
echo "# $(cat tcp.out)"
if grep -q "bytes in" tcp.out; then t_ok; else t_fail "it did not arrive" tcp.out; fi

t_begin "pauses in the middle of a stream lose nothing"
tell 0 paused "streams check tcp:10.0.1.1:7000 2 $((MIB64 / 8))"
paused=0
for pause in 1 2 3 4 5; do
	usleep 100000
	ctl pause && ctl resume && paused=$((paused + 1))
done
ctl pause
ping -c 1 -W 1 -q 10.0.1.2 >ping.out 2>&1
ctl resume
wait_for 90 out "^guest: paused="
if [ $paused -eq 5 ] && streams_ok paused && grep -q " 0 packets received" ping.out; then t_ok; else t_fail "$(said paused)" ctl.out; fi

t_begin "the driver is loaded anew, without offloads"
tell 20 reload "ip link set eth0 down; rmmod virtio_net; insmod /modules/*-virtio_net.ko csum=0 gso=0 ||
	insmod /modules/virtio_net.ko csum=0 gso=0; usleep 300000; $address"
tell 60 plain "streams check tcp:10.0.1.1:7000 4 $((MIB64 / 64))"
if streams_ok plain; then t_ok; else t_fail "$(said plain)" out; fi

if stasis doctor | grep -q "^ok  *counter offset"; then
	t_begin "what vhost wrote is in a snapshot of what changed, and the stream goes on from it"
	mkdir whole changes
	ctl pause && ctl put /snapshot/create "{\"snapshot_path\": \"$PWD/whole/state\", \"mem_file_path\": \"$PWD/whole/memory\"}" && ctl resume
	tell 0 over "streams check tcp:10.0.1.1:7000 2 $((MIB64 / 8))"
	usleep 300000
	ctl pause && ctl put /snapshot/create "{\"snapshot_type\": \"Diff\", \"snapshot_path\": \"$PWD/changes/state\", \"mem_file_path\": \"$PWD/changes/memory\"}"
	kill -KILL $guest_pid
	wait $guest_pid 2>/dev/null
	before=$(stat -c %b changes/memory)
	stasis snapshot merge --base whole/memory --diff changes/memory >>ctl.out 2>&1
	mv changes/state whole/state
	rm -f s
	stasis restore whole --api-sock "$PWD/s" >>out 2>&1 <console 9<&- &
	guest_pid=$!
	wait_for 90 out "^guest: over="
	tell 20 again "ping -c 3 -q 10.0.1.1 | grep received"
	if streams_ok over && said again | grep -q " 3 packets received" && [ "$(counted tx_packets_count)" = 0 ] &&
		stasis ctl --socket "$PWD/s" --json get /vm/config | grep -q '"vhost":true'; then t_ok; else
		cat ctl.out >>out
		t_fail "$before blocks of changes; $(said over), $(said again)" out
	fi

	# moved WORD: the guest goes on from a snapshot of now; how many frames we moved then.
	moved() {
		stasis snapshot --socket "$PWD/s" "$1" --paused >>ctl.out 2>&1
		kill -KILL $guest_pid
		wait $guest_pid 2>/dev/null
		rm -f s
		stasis restore "$1" --net "net0=tap1,$1" --api-sock "$PWD/s" >>out 2>&1 <console 9<&- &
		guest_pid=$!
		tell 60 "$1" "streams check tcp:10.0.1.1:7000 4 $((MIB64 / 64))"
		streams_ok "$1" && moved=$(counted tx_packets_count) || moved=failed
		rm -r "$1"
	}
	t_begin "who restores it may have it without vhost, and again with it"
	moved no-vhost
	without=$moved
	moved vhost
	echo "# $without frames through the VMM without, $moved with it"
	if [ "$without" -gt 0 ] && [ "$moved" = 0 ] &&
		stasis ctl --socket "$PWD/s" --json get /vm/config | grep -q '"vhost":true'; then t_ok; else t_fail "$without and $moved" ctl.out; fi
fi

t_begin "the guest powers off, and the tap is free again"
if end_guest && ip link show tap1 | grep -q "NO-CARRIER"; then t_ok; else t_fail "status $guest_status" out; fi
kill $echo_pid
t_done
