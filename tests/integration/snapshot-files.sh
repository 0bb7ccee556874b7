# SPDX-License-Identifier: Apache-2.0
# add: out/stasis out/guests/clock.img
#
# The files of snapshots, by hand: stasis snapshot, restore, inspect and merge; a disk that is full,
# files that are damaged, and a VMM that is killed while it writes. $SNAPSHOT_CYCLES snapshots are taken
# of one guest, and $SNAPSHOT_KILLS VMMs killed, at random moments if it is given.
. "$T/lib.sh"

stasis doctor | grep -q "^ok  *counter offset" || {
	t_begin "the files of snapshots"
	t_skip "this host's KVM takes no snapshots"
	t_done
}

# --- VMs, each in a folder of its own: $d ---------------------------------------------------------

# start FOLDER COMMAND...: the guest takes what is written to FOLDER/typed.
start() {
	d=$1
	shift
	mkdir -p "$d"
	rm -f "$d/typed" "$d/sock" "$d/out"
	mkfifo "$d/typed"
	timeout -s KILL 200 "$@" <>"$d/typed" >"$d/out" 2>&1 &
	echo $! >"$d/pid"
}
restore() { start "$1" stasis restore "$PWD/$2" --api-sock "$PWD/$1/sock" --log-level info; }
snapshot() { timeout 60 stasis snapshot "$@" --socket "$d/sock" >said 2>&1; }
end() {
	printf q 1<>"$d/typed"
	wait "$(cat "$d/pid")"
}
# tell COMMAND PATTERN: types it; the guest's next line like that is in $line.
lines() { cat "$d/out" 2>/dev/null | tr -d '\r' | grep -c "$1.*\.\$"; }
tell() {
	tell_before=$(lines "$2")
	printf %s "$1" 1<>"$d/typed"
	tell_left=500
	while [ "$(lines "$2")" -le "$tell_before" ]; do
		[ $tell_left -gt 0 ] || return 1
		tell_left=$((tell_left - 1))
		usleep 20000
	done
	line=$(tr -d '\r' <"$d/out" | grep "$2.*\.\$" | tail -n 1)
}
of() { echo "$line" | sed -n "s/.*\b$1 \([0-9]*\).*/\1/p"; }
# is_the_guest: the one of the beginning, and nothing is wrong with it.
is_the_guest() { tell n "^born" && [ "$(of born)" = "$born" ] && [ "$(of wrong)" = 0 ]; }
verdict() {
	[ "$1" -ne 0 ] || { t_ok && return; }
	cat said "$d/out" >explained 2>/dev/null
	t_fail "$2; the guest's last word: $line" explained
}
kib() { du -k "$1" | cut -f 1; }
# Not wc -c, which looks at each of them.
bytes() { stat -c %s "$1"; }
clean() { [ ! -e "$1/state.next" ] && [ ! -e "$1/memory.next" ]; }

# --- taking and restoring ------------------------------------------------------------------------

t_begin "stasis snapshot: of a guest that runs, and goes on"
mkdir first
printf '{"boot-source": {"kernel_image_path": "%s", "boot_args": "console=ttyS0"}, "drives": [],
	"machine-config": {"vcpu_count": 2, "mem_size_mib": 64}}' "$T/clock.img" >vm.json
start first stasis --api-sock first/sock --config-file vm.json --level Warning
wait_for 30 first/out "^watching with 2" && tell n "^born"
born=$(of born)
snapshot shot
status=$?
[ $status -eq 0 ] && [ -n "$born" ] && is_the_guest && clean shot
verdict $? "status $status"

t_begin "its memory file is as large as RAM and takes what was written, its state is small"
[ "$(bytes shot/memory)" -eq $((64 << 20)) ] && [ "$(kib shot/memory)" -lt 8192 ] && [ "$(bytes shot/state)" -lt 65536 ]
verdict $? "memory takes $(kib shot/memory) KiB, the state has $(bytes shot/state) bytes"

t_begin "stasis inspect knows every byte of the state"
stasis inspect shot >text 2>said && stasis inspect shot/state --json >json 2>>said
status=$?
[ $status -eq 0 ] && ! grep -q unread text && grep -q "^    pc: " text && grep -q '"section":"gic","registers":"' json &&
	[ "$(grep -c '^vcpu:' text)" = 2 ] && grep -q '"mem_size_mib":64' json
verdict $? "status $status"
end

t_begin "stasis restore: the guest goes on from there"
restore second shot
is_the_guest
verdict $? "it does not"

# --- where it goes --------------------------------------------------------------------------------

t_begin "files that somebody prepared keep owner and mode, and a link stays one"
mkdir prepared real
touch prepared/state real/memory
chown 1234:1234 prepared/state real/memory
chmod 644 prepared/state real/memory
ln -s ../real/memory prepared/memory
snapshot prepared
status=$?
said=$(stat -c "%u:%g %a" prepared/state real/memory | tr '\n' ' ')
[ $status -eq 0 ] && [ "$said" = "1234:1234 644 1234:1234 644 " ] && [ -L prepared/memory ] && stasis inspect prepared >/dev/null 2>said
verdict $? "status $status, $said"

t_begin "memory and state through FIFOs are a snapshot"
mkdir sent
mkfifo memory.fifo state.fifo
cat memory.fifo >sent/memory &
memory_reader=$!
cat state.fifo >sent/state &
state_reader=$!
snapshot --memory memory.fifo --state state.fifo
status=$?
wait $memory_reader $state_reader
[ $status -eq 0 ] && [ "$(bytes sent/memory)" -eq $((64 << 20)) ] && stasis inspect sent >text 2>>said
verdict $? "status $status, $(bytes sent/memory) bytes"

t_begin "a diff is not sent, and a snapshot that nobody reads is cancelled by a resume"
! snapshot --changes --memory memory.fifo --state state.fifo && grep -q "take a full snapshot" said
status=$?
stasis ctl --socket "$d/sock" pause >>said 2>&1
snapshot waiting --memory memory.fifo --paused &
waiting=$!
sleep 1
stasis ctl --socket "$d/sock" resume >resumed 2>&1
resumed=$?
wait $waiting
waited=$?
[ $status -eq 0 ] && [ $resumed -eq 0 ] && [ $waited -eq 1 ] && grep -q "was cancelled" said && is_the_guest
verdict $? "status $status, resumed $resumed, waited $waited"

t_begin "a file that only looks like a leftover is refused, and stays"
mkdir theirs
echo mine >theirs/memory.next
! snapshot theirs && grep -q "memory.next is in the way" said && [ "$(cat theirs/memory.next)" = mine ] && is_the_guest
verdict $? "it is not"
end

t_begin "what was sent can be restored"
restore fifo sent
is_the_guest
verdict $? "it cannot"
end
restore second shot
is_the_guest

# --- changes -----------------------------------------------------------------------------------

t_begin "a snapshot of the changes alone takes less"
snapshot changes --changes
status=$?
[ $status -eq 0 ] && [ "$(bytes changes/memory)" -eq $((64 << 20)) ] && [ "$(kib changes/memory)" -le "$(kib shot/memory)" ]
verdict $? "status $status, $(kib changes/memory) KiB of $(kib shot/memory)"
end

t_begin "its state does not go with the old memory"
mkdir mixed
cp changes/state shot/memory mixed
restore third mixed
wait "$(cat third/pid)"
status=$?
[ $status -eq 1 ] && grep -q "do not belong together" third/out && [ ! -e third/sock ]
verdict $? "status $status"

t_begin "merged over the old memory, it is a snapshot"
stasis snapshot merge --base mixed/memory --diff changes/memory >said 2>&1
status=$?
restore third mixed
[ $status -eq 0 ] && is_the_guest && end
verdict $? "status $status"

t_begin "a whole memory is no diff, and is not merged"
sum=$(md5sum <mixed/memory)
stasis snapshot merge --base mixed/memory --diff shot/memory >said 2>&1
status=$?
[ $status -eq 1 ] && grep -q "use it as it is" said && [ "$(md5sum <mixed/memory)" = "$sum" ]
verdict $? "status $status, $(cat said)"

# --- again and again ---------------------------------------------------------------------------

cycles=${SNAPSHOT_CYCLES:-20}
# look: $descriptors and $held KiB of the VMM, without memory that is mapped from files.
look() {
	vmm=$(pidof stasis)
	descriptors=$(ls "/proc/$vmm/fd" | wc -l)
	held=$(awk '$1 == "RssAnon:" { print $2 }' "/proc/$vmm/status")
}
t_begin "$cycles times paused, saved, resumed: the VMM is as it was, and the last snapshot is the guest"
rm -rf cycle
restore cycler shot
problem=
is_the_guest && snapshot cycle && snapshot cycle --changes && look || problem="it does not begin"
before_descriptors=$descriptors before_held=$held
n=0
while [ $n -lt "$cycles" ] && [ -z "$problem" ]; do
	# Every other is one of changes.
	if [ $((n % 2)) -eq 0 ]; then snapshot cycle; else snapshot cycle --changes; fi || problem="cycle $n: $(cat said)"
	n=$((n + 1))
done
look
echo "# $before_descriptors descriptors and $before_held KiB before, $descriptors and $held after"
[ "$descriptors" -le "$before_descriptors" ] && [ $((held - before_held)) -le 400 ] ||
	problem="${problem:-it grew from $before_descriptors descriptors, $before_held KiB to $descriptors, $held}"
is_the_guest && tell g "^saw gap" && [ "$(of back)" = 0 ] || problem="${problem:-time went back, or it is another}"
end && restore cycled cycle && is_the_guest && end || problem="${problem:-the last snapshot is not the guest}"
[ -z "$problem" ]
verdict $? "$problem"

# --- what cannot be written --------------------------------------------------------------------

t_begin "a full disk is named, the guest goes on, and the old snapshot is whole"
mkdir full
mount -t tmpfs -o size=$(($(kib shot/memory) * 3 / 2 + $(kib shot/state)))k none full
restore fourth shot
is_the_guest && snapshot full/shot && ! snapshot full/shot
status=$?
[ $status -eq 0 ] && grep -q "No space left on device" said && clean full/shot && is_the_guest && end &&
	restore fifth full/shot && is_the_guest && end
verdict $? "status $status, $(kib shot/memory) KiB, $(kib full/shot/memory) KiB; $(df -k full | tail -n 1)"
umount full

t_begin "so is a limit on the size of files"
mkdir -p sixth
start sixth sh -c "ulimit -f 100; exec stasis restore '$PWD/shot' --api-sock '$PWD/sixth/sock' --log-level off"
is_the_guest && ! snapshot small
status=$?
[ $status -eq 0 ] && grep -q "File too large" said && clean small && [ ! -e small/state ] && is_the_guest && end
verdict $? "status $status"

# --- killed while it writes --------------------------------------------------------------------

# moment N: microseconds until the Nth is killed.
moment() {
	[ -n "$SNAPSHOT_KILLS" ] || { echo $(($1 * 15000)) && return; }
	echo $(($(od -An -N3 -tu4 /dev/urandom) % 250000))
}
kills=${SNAPSHOT_KILLS:-12}
t_begin "whenever its VMM is killed, a snapshot that was there or the new one is whole: $kills times"
cp -r shot killed
n=0 problem=
while [ $n -lt "$kills" ] && [ -z "$problem" ]; do
	restore "kill$n" killed
	is_the_guest || problem="before $n it is not the guest"
	snapshot killed &
	usleep "$(moment $n)"
	kill -KILL "$(cat "$d/pid")" && wait 2>/dev/null
	stasis inspect killed >text 2>said || problem="after $n the state is broken"
	n=$((n + 1))
done
[ -z "$problem" ] && restore last killed && is_the_guest && snapshot killed && clean killed && end
verdict $? "$problem"

# --- damage ------------------------------------------------------------------------------------

t_begin "a state with a wrong byte is refused, and nothing is left"
cp -r shot damaged
size=$(bytes shot/state) problem=
for at in 0 8 10 12 16 23 24 100 $((size / 2)) $((size - 5)) $((size - 1)); do
	cp shot/state damaged/state
	byte=$(dd if=shot/state bs=1 skip="$at" count=1 2>/dev/null | od -An -tu1 | tr -d ' ')
	printf "\\$(printf %o $((byte ^ 16)))" | dd of=damaged/state bs=1 seek="$at" conv=notrunc 2>/dev/null
	restore damage damaged
	wait "$(cat damage/pid)"
	[ $? -eq 1 ] && grep -q "damaged/state" damage/out && [ ! -e damage/sock ] || problem="$problem $at"
done
[ -z "$problem" ]
verdict $? "bytes$problem"
t_begin "memory that was cut off is refused with both sizes"
cp shot/state damaged/state
truncate -s 63M damaged/memory
restore damage damaged
wait "$(cat damage/pid)"
[ $? -eq 1 ] && grep -q "66060288.*67108864" damage/out
verdict $? "it is not"

t_done
