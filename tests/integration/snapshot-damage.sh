# SPDX-License-Identifier: Apache-2.0
# add: out/stasis out/guests/clock.img
#
# Snapshots that are damaged, mixed up or foreign, and VMMs that are killed while they load or save,
# through the API: what fails says why and leaves nothing, and what was whole stays whole.
. "$T/lib.sh"

stasis doctor | grep -q "^ok  *counter offset" || {
	t_begin "damaged snapshots"
	t_skip "this host's KVM takes no snapshots"
	t_done
}

ctl() { timeout 60 stasis ctl --socket sock "$@" >said 2>&1 </dev/null; }
# start OPTION...: a VMM; $vmm.
start() {
	rm -f typed sock out
	mkfifo typed
	timeout -s KILL 250 stasis --api-sock sock --level Off "$@" <>typed >out 2>&1 &
	vmm=$!
	start_left=250
	until [ -S sock ] || [ $start_left -eq 0 ]; do
		start_left=$((start_left - 1))
		usleep 20000
	done
}
body() {
	echo "{\"snapshot_path\": \"$1/state\", \"resume_vm\": true, \"drive_overrides\": [$2],
		\"mem_backend\": {\"backend_type\": \"${backend:-File}\", \"backend_path\": \"$1/memory\"}}"
}
create() { ctl put /snapshot/create "{\"snapshot_path\": \"$1/state\", \"mem_file_path\": \"$1/memory\"}"; }
kill_it() {
	kill -KILL $vmm
	wait $vmm 2>/dev/null
}
lines() { tr -d '\r' <out | grep -c "$1.*\.\$"; }
tell() {
	tell_before=$(lines "$2") tell_left=300
	printf %s "$1" >typed
	while [ "$(lines "$2")" -le "$tell_before" ]; do
		[ $tell_left -gt 0 ] || return 1
		tell_left=$((tell_left - 1))
		usleep 20000
	done
	line=$(tr -d '\r' <out | grep "$2.*\.\$" | tail -n 1)
}
of() { echo "$line" | sed -n "s/.*\b$1 \([0-9]*\).*/\1/p"; }
is_the_guest() { tell n "^born" && [ "$(of born)" = "$born" ] && [ "$(of wrong)" = 0 ]; }
verdict() {
	[ "$1" -ne 0 ] || { t_ok && return; }
	cat said out >explained 2>/dev/null
	t_fail "$2" explained
}
# loads SNAPSHOT: it is the guest; it is ended.
loads() {
	start
	ctl put /snapshot/load "$(body "$1" "$2")" && is_the_guest
	loads_status=$?
	kill_it
	return $loads_status
}
# refused SNAPSHOT PATTERN: with these words, and the VMM ends and leaves nothing.
refused() {
	start
	ctl put /snapshot/load "$(body "$1" "$3")"
	refused_status=$?
	[ $refused_status -ne 0 ] || kill -KILL $vmm
	wait $vmm
	refused_end=$?
	[ $refused_status -eq 1 ] && [ $refused_end -eq 1 ] && grep -q "$2" said && [ ! -e sock ]
}
# flip FILE AT BITS
flip() {
	flipped=$(dd if="$1" bs=1 skip="$2" count=1 2>/dev/null | od -An -tu1 | tr -d ' ')
	printf "\\$(printf %o $((flipped ^ $3)))" | dd of="$1" bs=1 seek="$2" conv=notrunc 2>/dev/null
}
clean() { [ ! -e "$1/state.next" ] && [ ! -e "$1/memory.next" ]; }

dd if=/dev/zero of=disk bs=1M count=1 2>/dev/null
printf '{"boot-source": {"kernel_image_path": "%s", "boot_args": "console=ttyS0"},
	"drives": [{"drive_id": "d", "path_on_host": "disk", "is_root_device": false}],
	"machine-config": {"vcpu_count": 2, "mem_size_mib": 32}}' "$T/clock.img" >vm.json
mkdir one two
start --config-file vm.json
wait_for 30 out "^watching with 2"
tell n "^born"
born=$(of born)
ctl pause
create one
ctl resume
ctl pause

# --- saving --------------------------------------------------------------------------------------

# kept WHAT: the VM is paused, the old snapshot as it was, and no file is left.
kept() {
	ctl status && grep -q Paused said && clean "$1" && cmp -s one/state before/state && cmp -s one/memory before/memory
}
cp -r one before
t_begin "a snapshot that has nowhere to go leaves the VM paused"
create nowhere
[ $? -eq 1 ] && grep -q "nowhere.*No such file" said && kept nowhere
verdict $? "status $?"
t_begin "nor does one that has no room"
mkdir full
mount -t tmpfs -o size=64k none full
create full
[ $? -eq 1 ] && grep -q "No space left on device" said && kept full && [ -z "$(ls full)" ]
verdict $? "$(ls full)"
umount full
t_begin "nor one that is written where it cannot be"
mkdir ro
mount -t tmpfs -o ro none ro
create ro
[ $? -eq 1 ] && grep -q "Read-only file system" said && kept ro
verdict $? "$(cat said)"
umount ro
t_begin "nor one onto folders, which stay"
mkdir -p folder/state folder/memory
create folder
[ $? -eq 1 ] && kept folder && [ -d folder/state ] && [ -d folder/memory ]
verdict $? "$(ls folder)"
t_begin "after all that it is saved, and goes on"
create two && ctl resume && is_the_guest
verdict $? "$(cat said)"
kill_it

# --- killed --------------------------------------------------------------------------------------

t_begin "killed at any moment of a load: the snapshot can be loaded again, and its disk is free"
n=0 problem=
while [ $n -lt 12 ]; do
	start
	timeout 20 stasis ctl --socket sock put /snapshot/load "$(body two)" >said 2>&1 &
	usleep $((n * 6000))
	kill_it
	wait
	n=$((n + 1))
done
cmp -s one/state before/state && loads two
verdict $? "it cannot"
t_begin "killed at any moment of a snapshot onto another: there is a whole one"
cp -r two target
n=0 problem=
while [ $n -lt 12 ] && [ -z "$problem" ]; do
	start
	ctl put /snapshot/load "$(body target)" && is_the_guest && ctl pause || problem="before $n"
	timeout 20 stasis ctl --socket sock put /snapshot/create "{\"snapshot_path\": \"target/state\", \"mem_file_path\": \"target/memory\"}" >said2 2>&1 &
	usleep $((n * 8000))
	kill_it
	wait
	n=$((n + 1))
done
[ -z "$problem" ] && loads target
verdict $? "$problem"

# --- loading -------------------------------------------------------------------------------------

t_begin "the memory of another snapshot is refused"
mkdir mixed
cp one/state two/memory mixed
refused mixed "belong together\|another snapshot"
verdict $? "status $refused_status, ended with $refused_end"
backend=Eager
t_begin "also when it is read at once"
refused mixed "belong together\|another snapshot"
verdict $? "status $refused_status, ended with $refused_end"
backend=
t_begin "memory that is too short or too long is refused"
cp one/state one/memory mixed
truncate -s 33M mixed/memory
refused mixed "34603008" && truncate -s 4096 mixed/memory && refused mixed "belong together\|4096" && : >mixed/memory && refused mixed memory
verdict $? "status $refused_status, ended with $refused_end"
t_begin "so are a folder, a socket and nothing at all"
rm mixed/memory
mkdir mixed/memory
refused mixed "memory" && rmdir mixed/memory && mkfifo mixed/memory && refused mixed "memory" && rm mixed/memory && refused mixed "No such file"
verdict $? "status $refused_status, ended with $refused_end"
cp one/memory mixed

t_begin "a state that was cut off is refused, wherever"
size=$(wc -c <one/state) problem=
for at in 0 1 7 8 15 16 24 40 200 $((size / 3)) $((size / 2)) $((size - 4)) $((size - 1)); do
	head -c "$at" one/state >mixed/state
	refused mixed "mixed/state" || problem="$problem $at"
done
[ -z "$problem" ]
verdict $? "at$problem"
t_begin "one that is longer, one of somebody else, and one with any bit flipped, too"
problem=
cp one/state mixed/state
printf x >>mixed/state
refused mixed "mixed/state" || problem="$problem longer"
for foreign in vm.json disk one/memory /proc/version /dev/zero /dev/null; do
	rm mixed/state
	case $foreign in
	/dev/*) ln -s $foreign mixed/state ;;
	*) cat $foreign >mixed/state ;;
	esac
	refused mixed "mixed/state" || problem="$problem $foreign"
done
rm mixed/state
n=0
while [ $n -lt 16 ]; do
	cp one/state mixed/state
	flip mixed/state $((n * 7919 % size)) $((1 << n % 8))
	refused mixed "mixed/state" || problem="$problem bit $n"
	n=$((n + 1))
done
[ -z "$problem" ]
verdict $? "$problem"

t_begin "a disk that was written to since, is another, or is smaller, is refused"
cp disk disk.copy
copy='{"drive_id": "d", "path_on_host": "disk.copy"}'
printf x | dd of=disk conv=notrunc 2>/dev/null
refused one "written to since" && mv disk disk.written && cp disk.written disk && refused one "is not the disk that it was" &&
	rm disk && cp disk.copy disk && truncate -s 512K disk && refused one "has 524288 bytes, and had 1048576 when" &&
	rm disk && refused one "No such file" && refused one "has no drive" '{"drive_id": "e", "path_on_host": "disk.copy"}'
verdict $? "status $refused_status, ended with $refused_end"

t_begin "a copy that was put back, one that grew, and one that is named are taken"
cp disk.copy disk && loads one && truncate -s 2M disk && loads one && rm disk && loads one "$copy"
verdict $? "status $loads_status"

t_begin "a disk that somebody else has is refused, and free when he is gone"
start
ctl put /snapshot/load "$(body one "$copy")" && is_the_guest
first=$?
mv sock sock.first
mv typed typed.first
first_vmm=$vmm
refused two "in use" "$copy"
second=$?
kill -KILL $first_vmm
wait $first_vmm 2>/dev/null
[ $first -eq 0 ] && [ $second -eq 0 ] && loads two "$copy"
verdict $? "first $first, second $second"

t_done
