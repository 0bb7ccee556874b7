# SPDX-License-Identifier: Apache-2.0
# add: out/stasis out/guests/flood.img out/tests/api_load out/tests/sink
# modules: tun
#
# Many requests, and a guest that floods the VMM (tests/guests/flood.c): ten clients of the API are
# answered within $FLOOD_MS milliseconds, and the VMM grows by neither memory nor descriptors. With
# $FLOOD_EACH it tells of each kind of requests alone, too; the disk is not zeroed if $FLOOD_ZEROES
# is no. On a host whose clock counts instructions: a busy machine would be slow by itself.
. "$T/lib.sh"

limit_ms=${FLOOD_MS:-50}
grown_kib=400

# look: $descriptors and $kib of the VMM, without its guest's memory that is mapped from files.
look() {
	descriptors=$(ls "/proc/$pid/fd" 2>/dev/null | wc -l)
	kib=$(awk '$1 == "RssAnon:" { print $2 }' "/proc/$pid/status")
}

# same: whether it is as at the last look.
same() {
	before_descriptors=$descriptors before_kib=$kib
	look
	echo "# $before_descriptors descriptors and $before_kib KiB before, $descriptors and $kib after"
	problem="it grew from $before_descriptors descriptors and $before_kib KiB to $descriptors and $kib"
	[ "$descriptors" -le "$before_descriptors" ] && [ $((kib - before_kib)) -le $grown_kib ]
}

# --- requests ----------------------------------------------------------------------------------

t_begin "10,000 requests: memory and descriptors stay as they are"
sh -c "ulimit -Sn 128; exec stasis run --kernel '$T/flood.img' --memory 32M --cmdline console=ttyS0 --api-sock '$PWD/s'" >out 2>err </dev/null &
pid=$!
left=200
until [ -S s ] || [ $left -eq 0 ]; do left=$((left - 1)); usleep 50000; done
"$T/api_load" "$PWD/s" many 1000 >load && look && "$T/api_load" "$PWD/s" many 10000 >load
if ! grep -q "^requests 10000" load; then
	t_fail "no answers" load
elif same; then t_ok; else t_fail "$problem"; fi
t_begin "a soft limit on descriptors is raised, as far as it may be"
soft=$(awk '/^Max open files/ { print $4 }' "/proc/$pid/limits")
hard=$(awk '/^Max open files/ { print $5 }' "/proc/$pid/limits")
[ "$hard" -lt 4096 ] && wanted=$hard || wanted=4096
if [ "$soft" = "$wanted" ]; then t_ok; else t_fail "soft $soft, hard $hard"; fi
stasis ctl --socket "$PWD/s" stop >/dev/null
wait $pid

# --- a flood -----------------------------------------------------------------------------------

tunctl -t tap0 >/dev/null
ip link set tap0 up
dd if=/dev/zero of=disk bs=1M count=0 seek=64 2>/dev/null
"$T/sink" "$PWD/v_7" &
sink=$!
mkfifo typed
exec 9<>typed
stasis run --kernel "$T/flood.img" --memory 32M --cmdline console=ttyS0 --api-sock "$PWD/s" \
	--disk disk --net tap0 --vsock "3,$PWD/v" --log-level warning <typed >out 2>err 9<&- &
pid=$!
left=200
until [ -S s ] || [ $left -eq 0 ]; do left=$((left - 1)); usleep 50000; done
wait_for 20 out flooding
[ "${FLOOD_ZEROES:-yes}" = yes ] || printf z >&9

# clients SECONDS: ten of them; how long they waited goes to `load`, and the longest to $worst.
clients() {
	"$T/api_load" "$PWD/s" times 10 "$1" >load
	worst=$(sed -n 's/.*worst_us //p' load)
	[ -n "$worst" ]
}

# quiet: nothing is flooded any more, and what was begun is done. loud: again.
quiet() {
	printf dnvs >&9
	sleep 1
}
loud() { printf dnvs >&9; }

t_begin "a guest that floods all its devices: ten clients are answered within $limit_ms ms"
# Of each alone, for people who look for what is slow. The disk without zeroes is `dz`.
for one in ${FLOOD_EACH:+dz n v s d}; do
	[ $one != dz ] || quiet
	printf $one >&9
	clients 3 && echo "# $one: $(cat load)"
	printf $one >&9
	[ $one != d ] || loud
done
clients 1
quiet
look
clients 1
echo "# before it: $(cat load)"
loud
clients 2
echo "# while it floods: $(cat load)"
if [ -n "$worst" ] && [ "$worst" -le $((limit_ms * 1000)) ]; then t_ok; else t_fail "worst: $worst us" load; fi

t_begin "nothing of it has grown"
quiet
# As many streams as it opens may be open, or not.
descriptors=$((descriptors + 16))
if same; then t_ok; else t_fail "$problem"; fi

t_begin "the guest was served meanwhile, and ends when it is told"
printf q >&9
wait $pid
exec 9>&-
kill $sink
tr -d '\r' <out | grep -a "^[a-z]* [0-9]*$" | tail -n 5 | sed 's/^/# /'
for device in disk net vsock serial; do
	tr -d '\r' <out | grep -aq "^$device [1-9]" || echo $device
done >idle
tr -d '\r' <out | grep -aq "^refused 0$" || echo "the disk's requests" >>idle
if [ ! -s idle ]; then t_ok; else t_fail "not served: $(cat idle)" err; fi
t_done
