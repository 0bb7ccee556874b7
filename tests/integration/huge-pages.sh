# SPDX-License-Identifier: Apache-2.0
# add: out/stasis out/guests/dirty.img out/tests/hugefile out/tests/pager
# guest: devices
#
# Guest RAM in huge pages: booted, saved, restored from each place that it may come from, given back,
# and refused where there are none.
. "$T/lib.sh"

pool=/proc/sys/vm/nr_hugepages
page=2097152
# hugepages NAME: Total, Free, Rsvd.
hugepages() { awk "/^HugePages_$1:/ { print \$2 }" /proc/meminfo; }
spare() { echo $(($(hugepages Free) - $(hugepages Rsvd))); }
has_snapshots() { stasis doctor | grep -q "^ok  *counter offset"; }

# --- VMs, each in a folder of its own: $d ---------------------------------------------------------

# start FOLDER COMMAND...: the guest takes what is written to FOLDER/typed.
start() {
	d=$1
	shift
	mkdir -p "$d"
	rm -f "$d/typed" "$d/sock" "$d/out"
	mkfifo "$d/typed"
	timeout -s KILL 120 "$@" <>"$d/typed" >"$d/out" 2>&1 &
	vmm=$!
}
# boot FOLDER [OPTION...]
boot() {
	boot_in=$1
	shift
	start "$boot_in" stasis run --kernel "$T/dirty.img" --memory 64M --api-sock "$PWD/$boot_in/sock" "$@"
	wait_for 20 "$d/out" "^waiting"
}
# restore FOLDER SNAPSHOT [OPTION...]
restore() {
	restore_in=$1 from=$2
	shift 2
	start "$restore_in" stasis restore "$from" --api-sock "$PWD/$restore_in/sock" "$@"
}
ctl() { timeout 20 stasis ctl --socket "$PWD/$d/sock" "$@" >"$d/said" 2>&1; }
snapshot() { timeout 60 stasis snapshot "$@" --socket "$PWD/$d/sock" >"$d/said" 2>&1; }
# writes N [VALUE]: the guest writes to 16 << N pages, and says so.
writes() {
	before_it=$(grep -c "^dirtied" "$d/out")
	printf %s "$1" 1<>"$d/typed"
	writes_left=200
	while [ "$(grep -c "^dirtied" "$d/out")" -le "$before_it" ]; do
		[ $writes_left -gt 0 ] || return 1
		writes_left=$((writes_left - 1))
		usleep 50000
	done
}
end() {
	printf q 1<>"$d/typed" # which nobody reads if it has ended
	wait $vmm
}
# huge: KiB of the VMM's memory that is in huge pages.
huge() { awk '/^(Private|Shared)_Hugetlb:/ { n += $2 } END { print n + 0 }' "/proc/$vmm/smaps"; }
# kib FILE: of data in it.
kib() { du -k "$1" | cut -f 1; }
verdict() {
	echo "# $(spare) of $(hugepages Total) pages to spare, $(hugepages Rsvd) reserved"
	[ "$1" -ne 0 ] || { t_ok && return; }
	cat "$d/said" "$d/out" >explained 2>/dev/null
	t_fail "$2" explained
}
# refused TEXT: what was run ended with status 1 and said so in one line.
refused() { [ $run_status -eq 1 ] && [ "$(grep -c . refusal)" -eq 1 ] && grep -q "$1" refusal; }
check_refused() { if refused "$1"; then t_ok; else t_fail "status $run_status, not: $1" refusal; fi; }

# --- none, too few, enough ------------------------------------------------------------------------

echo 0 >$pool
t_begin "no huge page is there: one line says how many it takes, and what to do"
run_guest 20 refusal stasis run --kernel "$T/dirty.img" --memory 64M --huge-pages 2M
check_refused "it takes 32 of 2 MiB, and this host has 0 to spare (give it more: sysctl vm.nr_hugepages"

t_begin "over the API the same start works once they are there"
start api stasis --api-sock "$PWD/api/sock" --level Off
until [ -S api/sock ]; do usleep 50000; done
ctl put /machine-config '{"vcpu_count":1,"mem_size_mib":64,"huge_pages":"2M"}'
ctl put /boot-source "{\"kernel_image_path\":\"$T/dirty.img\",\"boot_args\":\"console=ttyS0\"}"
ctl put /actions '{"action_type":"InstanceStart"}'
first=$?
cp api/said first
echo 40 >$pool
ctl put /actions '{"action_type":"InstanceStart"}' && wait_for 20 api/out "^waiting"
second=$?
[ $first -eq 1 ] && grep -q "32 of 2 MiB, and this host has 0" first && [ $second -eq 0 ]
verdict $? "first $first, then $second"

t_begin "its memory is huge, and all of it is reserved"
writes 7 # 8 MiB
in_use=$(huge)
[ "$in_use" -ge 8192 ] && [ $((in_use % 2048)) -eq 0 ] && [ "$(hugepages Total)" -eq 40 ] && [ "$(spare)" -eq 8 ]
verdict $? "$in_use KiB huge, $(spare) pages to spare"

t_begin "a second guest is refused, and the first goes on to its last page"
run_guest 20 refusal stasis run --kernel "$T/dirty.img" --memory 64M --huge-pages 2M
if refused "has 8 to spare" && writes 0 && end; then t_ok; else t_fail "status $run_status" refusal; fi

t_begin "they are back in the pool"
if [ "$(spare)" -eq 40 ]; then t_ok; else t_fail "$(spare) to spare"; fi

t_begin "a size that is not a multiple of a huge page is refused"
run_guest 20 refusal stasis run --kernel "$T/dirty.img" --memory 63M --huge-pages 2M
check_refused "not a multiple of the configured page size"

t_begin "transparent huge pages are asked for"
boot thp --huge-pages Transparent
writes 7
got=$(awk '/^AnonHugePages:/ { n += $2 } END { print n }' "/proc/$vmm/smaps")
advised=$(grep -c '^VmFlags:.* hg' "/proc/$vmm/smaps")
echo "# $got KiB in transparent huge pages"
[ "$advised" -gt 0 ] && [ "$got" -ge 6144 ] && end
verdict $? "$got KiB, advised: $advised"

# --- a guest that gives memory back ---------------------------------------------------------------

t_begin "a balloon: what is taken is there again when it is wanted"
echo 72 >$pool
start_guest --memory 128M --huge-pages 2M --balloon 0,stats=1,hinting --log-level warning
tell 30 touched "mount -o remount,size=100m /tmp; dd if=/dev/zero of=/tmp/x bs=1M count=75 2>/dev/null && rm /tmp/x && echo yes"
free=$(hugepages Free)
d=balloon
mkdir -p $d
timeout 20 stasis ctl --socket "$PWD/s" patch /balloon '{"amount_mib":64}' >$d/said 2>&1
sleep 6
given=$(($(hugepages Free) - free))
echo "# $given huge pages were given back; $(spare) of the pool are to spare"
# All that is left goes to somebody else: the guest's own are still the guest's.
start thief stasis run --kernel "$T/dirty.img" --memory 32M --huge-pages 2M
timeout 20 stasis ctl --socket "$PWD/s" patch /balloon '{"amount_mib":0}' >>$d/said 2>&1
sleep 2
tell 30 again "dd if=/dev/zero of=/tmp/x bs=1M count=75 2>/dev/null && rm /tmp/x && echo yes"
case $(uname -r) in
6.1.*) [ "$given" -eq 0 ] ;; # it does not keep reserved what is given back
*) [ "$given" -ge 16 ] ;;
esac && [ "$(said touched) $(said again)" = "yes yes" ]
status=$?
d=thief
end
end_guest || status=9
if [ $status -eq 0 ]; then t_ok; else t_fail "$given pages; $(said touched) $(said again)" out; fi

has_snapshots || t_done

# --- snapshots ------------------------------------------------------------------------------------

echo 80 >$pool
t_begin "a full snapshot, and with a dirty log a diff of pages of 4 KiB"
boot log --huge-pages 2M --track-dirty-pages
writes 7
snapshot full
full=$(kib full/memory)
writes 0
cp -r full after
rm after/memory
snapshot after --changes
diff=$(kib after/memory)
echo "# full $full KiB; 16 pages written: $diff KiB"
[ "$full" -ge 8192 ] && [ "$full" -lt 12288 ] && [ "$diff" -ge 64 ] && [ "$diff" -lt 256 ] && end
verdict $? "full $full KiB, diff $diff KiB"

t_begin "merged, it is restored into huge pages (--eager), and it is the guest that it was"
cp full/memory whole && stasis snapshot merge --base whole --diff after/memory >merged 2>&1
mv whole after/memory
restore eager after --eager
until [ -S eager/sock ]; do usleep 50000; done
writes 0
in_use=$(huge)
stasis inspect after/state | grep -q 'huge pages'
kept=$?
[ "$in_use" -ge 8192 ] && [ $kept -eq 0 ] && end
verdict $? "$in_use KiB huge, in the state: $kept"

t_begin "by File it is refused with Firecracker's words, and three ways out"
run_guest 20 refusal stasis restore after
check_refused "Cannot restore hugetlbfs backed snapshot by mapping the memory file. Please use uffd. .*Eager.*None.*hugetlbfs"

t_begin "by File, without huge pages"
restore plain after --huge-pages None
until [ -S plain/sock ]; do usleep 50000; done
writes 0 && [ "$(huge)" -eq 0 ] && end
verdict $? "$(huge) KiB huge"

t_begin "by File on hugetlbfs: shared until it is written, and a write dirties 2 MiB"
mkdir -p big huge
mount -t hugetlbfs -o pagesize=2M none big
"$T/hugefile" after/memory big/memory && cp after/state huge/state
load() { echo "{\"snapshot_path\":\"$PWD/huge/state\",\"mem_backend\":{\"backend_type\":\"$1\",\"backend_path\":\"$2\"}$3}"; }
start mapped stasis --api-sock "$PWD/mapped/sock" --level Off
until [ -S mapped/sock ]; do usleep 50000; done
ctl put /snapshot/load "$(load File "$PWD/big/memory" ',"resume_vm":true')" && writes 0
status=$?
mkdir -p changed
ctl pause && ctl put /snapshot/create "{\"snapshot_path\":\"$PWD/changed/state\",\"mem_file_path\":\"$PWD/changed/memory\",\"snapshot_type\":\"Diff\"}"
diff=$(kib changed/memory)
echo "# 16 pages written: $diff KiB; $(huge) KiB huge"
# One for what was written, one for the guest's own (its stack), one for the VMM's.
[ $status -eq 0 ] && [ "$diff" -ge 2048 ] && [ "$diff" -le 8192 ] && [ $((diff % 2048)) -lt 64 ]
verdict $? "status $status, $diff KiB"
ctl resume
end

t_begin "too few pages for what it may write: refused, and the file is still whole"
echo $(($(hugepages Total) - $(hugepages Free) + 8)) >$pool
start few stasis --api-sock "$PWD/few/sock" --level Off
until [ -S few/sock ]; do usleep 50000; done
ctl put /snapshot/load "$(load File "$PWD/big/memory")"
status=$?
echo 80 >$pool
wait $vmm
[ $status -eq 1 ] && grep -q "huge pages" few/said && [ ! -e few/sock ]
verdict $? "status $status"

# refuses WHY MEMBERS [FILE]
refuses() {
	start try stasis --api-sock "$PWD/try/sock" --level Off
	until [ -S try/sock ]; do usleep 50000; done
	ctl put /snapshot/load "$(load File "${3:-$PWD/big/memory}" "$2")"
	status=$?
	grep -q "$1" try/said || status=0
	[ ! -S try/sock ] || stasis ctl --socket "$PWD/try/sock" stop >/dev/null 2>&1
	wait $vmm
	[ $status -eq 1 ] && [ ! -e try/sock ]
	verdict $? "not refused so: $1"
}
t_begin "a file on hugetlbfs cannot be mapped in small pages"
refuses "mapping it takes pages of 2048 KiB" ',"huge_pages":"None"'
t_begin "a working set of it is not recorded"
refuses "leave out .record_working_set" ',"record_working_set":true'
t_begin "a kind of huge pages that there is not"
refuses "unknown variant .1G., expected one of .None., .Transparent., .2M." ',"huge_pages":"1G"'
t_begin "a memory file of another size"
dd if=/dev/zero of=short bs=1M count=62 2>/dev/null
rm big/memory
"$T/hugefile" short big/short
refuses "65011712\|another\|belong" '' "$PWD/big/short"
rm big/short

# --- from a page server ---------------------------------------------------------------------------

# serve [PAGES]: a page server, and a VMM that loads from it.
serve() {
	"$T/pager" pages after/memory $1 >pager.out 2>&1 &
	pager=$!
	wait_for 10 pager.out "^listening"
	start served stasis --api-sock "$PWD/served/sock" --level Error
	until [ -S served/sock ]; do usleep 50000; done
	ctl put /snapshot/load "$(load Uffd "$PWD/pages" ',"resume_vm":true')"
}
t_begin "from a page server, which is told of pages of 2 MiB, and serves only those"
serve
writes 0
status=$?
in_use=$(huge)
end || status=9
wait $pager
[ $status -eq 0 ] && [ "$in_use" -ge 4096 ] && [ "$in_use" -le 16384 ] && [ $((in_use % 2048)) -eq 0 ] &&
	grep -q "\"page_size\":$page,\"page_size_kib\":$page}" pager.out
verdict $? "status $status, $in_use KiB huge: $(cat pager.out)"

t_begin "a page server that dies ends the VM, with a reason"
serve 1
for i in $(seq 100); do
	[ -e served/sock ] || break
	usleep 100000
done
wait $vmm
status=$?
wait $pager
[ $status -eq 1 ] && cat served/said served/out | grep -q "page server is gone\|cannot hand guest RAM over"
verdict $? "status $status"

umount big
echo 0 >$pool
t_done
