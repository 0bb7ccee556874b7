# SPDX-License-Identifier: Apache-2.0
# add: out/stasis
# add: out/tests/streams
# guest: load
# modules: tun
#
# Rate limiters with a Linux guest that wants more than it may: over five seconds and more of the
# host's time it gets what was asked for, within a tenth.
. "$T/lib.sh"
before= initrd=$T/load.cpio

tunctl -t tap0 >/dev/null
ip address add 10.0.1.1/24 dev tap0
ip link set tap0 up
ip link set lo up
"$T/streams" echo tcp:10.0.1.1:7000 >echo.out 2>&1 &
echo_pid=$!
dd if=/dev/zero of=disk bs=1M count=0 seek=64 2>/dev/null

uptime_ms() { sed 's/\.\(..\).*/\10/' /proc/uptime; }
patch() { stasis ctl --socket "$PWD/s" patch "$1" "$2" >patch.out 2>&1; }
# What has gone through, as the host's kernel counts it; for requests and entropy as the VMM does.
disk_bytes() { sed -n 's/^rchar: //p' "/proc/$guest_pid/io"; }
tx_bytes() { cat /sys/class/net/tap0/statistics/rx_bytes; }
rx_bytes() { cat /sys/class/net/tap0/statistics/tx_bytes; }
# metric SECTION NAME
metric() {
	stasis ctl --socket "$PWD/s" --json get /metrics 2>/dev/null | tr '}' '\n' | grep "\"$1\":" | sed -n "s/.*\"$2\":\([0-9]*\).*/\1/p" | head -n 1
}
disk_ops() { metric block_disk0 read_count; }
rng_bytes() { metric entropy entropy_bytes; }
# bucket SIZE MS: of a limiter.
bucket() { printf '{"size": %d, "refill_time": %d}' "$1" "$2"; }

# holds NAME COUNTER WANTED COMMAND: whether COUNTER grows by WANTED a second, after a second in which
# the bucket empties, while the guest does COMMAND again and again.
holds() {
	t_begin "$1"
	echo "rm -f /tmp/stop; (while [ ! -e /tmp/stop ]; do $4; done) >/dev/null 2>&1 &" >&9
	sleep 2
	from=$($2) began=$(uptime_ms)
	sleep 6
	to=$($2) took=$(($(uptime_ms) - began))
	tell 20 "stopped" "touch /tmp/stop; echo yes"
	rate=$(((to - from) * 1000 / took))
	echo "# $rate a second of $3, over $took ms"
	if [ $took -ge 5000 ] && [ $rate -ge $(($3 * 9 / 10)) ] && [ $rate -le $(($3 * 11 / 10)) ]; then t_ok; else
		t_fail "$rate instead of $3" patch.out
	fi
	sed -i 's/^guest: stopped.*//' out
}

start_guest --memory 256M --disk disk --net tap0 --entropy
tell 10 up "ip link set eth0 up; ip address add 10.0.1.2/24 dev eth0; echo done"

none='{"size": 0, "refill_time": 0}'
read64k="dd if=/dev/vda of=/dev/null bs=64k count=1024 iflag=direct"
read4k="dd if=/dev/vda of=/dev/null bs=4k count=16384 iflag=direct"
stream="streams check tcp:10.0.1.1:7000 1 4000000"

patch /drives/disk0 "{\"drive_id\": \"disk0\", \"rate_limiter\": {\"bandwidth\": $(bucket 2097152 1000)}}"
holds "a disk's bandwidth of 2 MiB/s" disk_bytes 2097152 "$read64k"
patch /drives/disk0 "{\"drive_id\": \"disk0\", \"rate_limiter\": {\"bandwidth\": $none, \"ops\": $(bucket 50 500)}}"
holds "a disk's 100 requests a second" disk_ops 100 "$read4k"
patch /drives/disk0 "{\"drive_id\": \"disk0\", \"rate_limiter\": {\"bandwidth\": $none, \"ops\": $none}}"
patch /network-interfaces/net0 "{\"iface_id\": \"net0\", \"tx_rate_limiter\": {\"bandwidth\": $(bucket 524288 1000)}}"
holds "512 KiB/s of a network interface, to the host" tx_bytes 524288 "$stream"
patch /network-interfaces/net0 "{\"iface_id\": \"net0\", \"tx_rate_limiter\": {\"bandwidth\": $none},
	\"rx_rate_limiter\": {\"bandwidth\": $(bucket 1048576 1000)}}"
holds "1 MiB/s of it, to the guest" rx_bytes 1048576 "$stream"
patch /network-interfaces/net0 "{\"iface_id\": \"net0\", \"rx_rate_limiter\": {\"bandwidth\": $none}}"
end_guest || echo "# status $guest_status"

printf '{"boot-source": {"kernel_image_path": "%s", "initrd_path": "%s", "boot_args": "console=ttyS0 quiet panic=-1"},
	"drives": [], "machine-config": {"vcpu_count": 1, "mem_size_mib": 256},
	"entropy": {"rate_limiter": {"bandwidth": %s}}}' "$T/kernel-6.12" "$initrd" "$(bucket 2000 500)" >vm.json
rm -f console s out
mkfifo console
exec 9<>console
stasis --api-sock "$PWD/s" --config-file vm.json >out 2>&1 <console 9<&- &
guest_pid=$!
wait_for 60 out "guest: ready"
holds "4 kB/s of entropy" rng_bytes 4000 "dd if=/dev/hwrng of=/dev/null bs=1k count=100"
end_guest || echo "# status $guest_status"
kill $echo_pid
t_done
