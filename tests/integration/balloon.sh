# SPDX-License-Identifier: Apache-2.0
# add: out/stasis
# guest: devices
#
# The balloon with a Linux guest: what it takes comes back to the host, what it tells is true, and a
# guest that runs out of memory takes it back if it may.
. "$T/lib.sh"
before=

# resident: MiB of the VMM's memory, the guest's included.
resident() { awk '/^Rss:/ { print int($2 / 1024) }' "/proc/$guest_pid/smaps_rollup"; }
ctl() { timeout 20 stasis ctl --socket "$PWD/s" "$@"; }
# statistic NAME
statistic() {
	ctl --json get /balloon/statistics >statistics 2>&1
	sed -n "s/.*\"$1\":\([0-9]*\).*/\1/p" statistics
}
# actual MIB: within 30 s it is as large as that.
actual() {
	actual_left=150
	until [ "$(statistic actual_mib)" = "$1" ]; do
		[ $actual_left -gt 0 ] || return 1
		actual_left=$((actual_left - 1))
		usleep 200000
	done
}

start_guest --memory 128M --balloon 0,stats=1,hinting

t_begin "inflated by half, it gives back nearly all of that"
tell 30 touched "mount -o remount,size=100m /tmp; dd if=/dev/zero of=/tmp/x bs=1M count=75 2>/dev/null && rm /tmp/x && echo yes"
full=$(resident)
ctl patch /balloon '{"amount_mib":64}' >patch.out 2>&1
actual 64
less=$(resident)
echo "# $full MiB, then $less"
if [ "$(said touched)" = yes ] && [ "$full" -gt 90 ] && [ $((full - less)) -ge 58 ]; then t_ok; else t_fail "$full MiB, then $less" patch.out; fi

t_begin "the statistics agree with what the guest sees"
sleep 2
free=$(statistic free_memory)
total=$(statistic total_memory)
tell 10 free "awk '/^MemFree/ { print \$2 }' /proc/meminfo"
tell 10 total "awk '/^MemTotal/ { print \$2 }' /proc/meminfo"
off=$((free / 1024 - $(said free)))
if [ "$((total / 1024))" -eq "$(said total)" ] && [ "${off#-}" -lt 8192 ] &&
	[ "$(statistic actual_pages)" -eq 16384 ]; then t_ok; else t_fail "free $free, $(said free) KiB; total $total, $(said total) KiB" statistics; fi

t_begin "deflated, the guest can use it again"
ctl patch /balloon '{"amount_mib":0}' >patch.out 2>&1
actual 0
tell 30 again "dd if=/dev/zero of=/tmp/x bs=1M count=75 2>/dev/null && md5sum </tmp/x; rm /tmp/x"
if [ "$(said again | cut -c 1-32)" = "$(dd if=/dev/zero bs=1M count=75 2>/dev/null | md5sum | cut -c 1-32)" ] &&
	[ "$(resident)" -gt 90 ]; then t_ok; else t_fail "$(said again), $(resident) MiB" out; fi

t_begin "a run of free page hinting gives back what is free, and says when it is done"
# Linux hints at what is free in whole blocks of 4 MiB: how much that is, it says before.
tell 20 blocks "awk '{ n += \$NF } END { print n * 4 }' /proc/buddyinfo"
blocks=$(said blocks | tr -dc 0-9)
full=$(resident)
ctl patch /balloon/hinting/start '{"acknowledge_on_stop":true}' >hint.out 2>&1
left=100
until ctl --json get /balloon/hinting/status | grep -q '"host_cmd":1,' || [ $left -eq 0 ]; do
	left=$((left - 1))
	usleep 100000
done
less=$(resident)
echo "# $full MiB, then $less; $blocks were free in blocks"
if [ $left -gt 0 ] && [ "${blocks:-0}" -ge 32 ] && [ $((full - less)) -ge $((blocks - (128 - full) - 8)) ]; then t_ok; else
	t_fail "$full MiB, then $less; $blocks were free in blocks" hint.out
fi

t_begin "more than there is is refused"
ctl patch /balloon '{"amount_mib":129}' >patch.out 2>&1
if grep -q "Amount of pages requested is too large" patch.out; then t_ok; else t_fail "it is not" patch.out; fi

t_begin "the guest powers off with a full balloon"
ctl patch /balloon '{"amount_mib":32}' >patch.out 2>&1
actual 32
if end_guest; then t_ok; else t_fail "status $guest_status" out; fi

t_begin "a guest that runs out of memory takes it back, if it may"
start_guest --memory 128M --balloon 50,oom,stats=1
actual 50
tell 60 hungry "dd if=/dev/zero of=/dev/null bs=45M count=1 2>&1 | grep -c 'records out'"
mib=$(statistic actual_mib)
if [ "$(said hungry)" = 1 ] && [ "$mib" -lt 50 ]; then t_ok; else t_fail "dd: $(said hungry), $mib MiB" out; fi
end_guest || echo "# status $guest_status"

t_begin "and what it reports free comes back by itself"
start_guest --memory 128M --balloon 0,reporting
tell 30 touched "mount -o remount,size=100m /tmp; dd if=/dev/zero of=/tmp/x bs=1M count=75 2>/dev/null && echo yes"
full=$(resident)
tell 10 freed "rm /tmp/x; echo yes"
left=60
while [ "$(resident)" -gt $((full - 50)) ] && [ $left -gt 0 ]; do
	left=$((left - 1))
	usleep 200000
done
less=$(resident)
echo "# $full MiB, then $less"
if [ "$full" -gt 90 ] && [ $((full - less)) -ge 50 ]; then t_ok; else t_fail "$full MiB, then $less" out; fi
end_guest || echo "# status $guest_status"

t_done
