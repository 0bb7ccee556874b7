# SPDX-License-Identifier: Apache-2.0
# add: out/stasis out/guests/tick.img
#
# stasis snapshot --with-disks: copies of the disks, from the pause that the memory is of; nothing is
# left if that fails, and the guest runs on.
. "$T/lib.sh"

stasis doctor | grep -q "^ok  *counter offset" || {
	t_begin "disks are copied"
	t_skip "this host's KVM takes no snapshots"
	t_done
}

head -c 300000 /dev/urandom >disk
truncate -s 20M disk
head -c 100000 /dev/urandom | dd of=disk bs=4096 seek=3000 conv=notrunc 2>/dev/null
head -c 50000 /dev/urandom >other
mkdir elsewhere
# A name from the VMM's working directory, which is not that of the command.
(cd elsewhere && exec stasis run --kernel "$T/tick.img" --memory 64M --disk ../disk --disk ../other,ro --api-sock "$PWD/../s") \
	>out 2>&1 </dev/null &
pid=$!
wait_for 20 out "^tick 3"

t_begin "the disk that the guest can write is copied, with its holes, and the guest runs on"
timeout 60 stasis snapshot --socket s shot --with-disks >said 2>&1
status=$?
ticks=$(grep -c ^tick out)
sleep 1
if [ $status -eq 0 ] && cmp -s disk shot/disk0.disk && [ "$(du -k shot/disk0.disk | cut -f 1)" -lt 1000 ] &&
	[ ! -e shot/disk1.disk ] && grep -q "disk disk0 is in .*/shot/disk0.disk" said &&
	[ "$(grep -c ^tick out)" -gt "$ticks" ]; then t_ok; else t_fail "status $status" said; fi

t_begin "a guest is restored with it"
timeout 20 stasis restore shot --disk disk0=shot/disk0.disk --disk disk1="$PWD/other" >restored 2>&1 </dev/null &
restored=$!
if wait_for 10 restored '^tick'; then t_ok; else t_fail "it is not" restored; fi
kill $restored
wait $restored 2>/dev/null

t_begin "without room nothing is left of the copy, and the guest runs on"
mkdir small
mount -t tmpfs -o size=200k tmpfs small
timeout 60 stasis snapshot --socket s small/shot --with-disks --memory "$PWD/memory" --state "$PWD/state" >said 2>&1
status=$?
ticks=$(grep -c ^tick out)
sleep 1
if [ $status -eq 1 ] && grep -q "cannot copy it to .*: No space left on device" said &&
	[ -z "$(ls -A small/shot)" ] && [ "$(grep -c ^tick out)" -gt "$ticks" ]; then t_ok; else
	ls -lA small/shot >>said
	t_fail "status $status" said
fi
umount small

t_begin "a file that was put in the disk's place is not taken for it"
cp disk new && mv new disk
timeout 60 stasis snapshot --socket s again --with-disks >said 2>&1
status=$?
if [ $status -eq 1 ] && grep -q "has another file open" said && [ ! -e again/disk0.disk ]; then t_ok; else
	t_fail "status $status" said
fi
kill $pid
wait $pid
t_done
