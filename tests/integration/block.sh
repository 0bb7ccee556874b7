# SPDX-License-Identifier: Apache-2.0
# add: out/stasis
# guest: disk
#
# Disks and entropy with a Linux guest: what it writes arrives in the image, is there at the next
# boot, and what it may not do is refused.
. "$T/lib.sh"

# boot_disk WORDS OPTION...: the guest, to its end.
boot_disk() {
	words=$1
	shift
	initrd=$T/disk.cpio boot_linux "quiet $words" --memory 256M "$@"
}

# well: whether it ended as it should.
well() { [ "$run_status" -eq 0 ] && grep -q "reboot: Power down" out; }

for engine in "" ",async"; do
	name=${engine:-,sync}
	rm -f image
	dd if=/dev/zero of=image bs=1M count=0 seek=64 2>/dev/null

	t_begin "a file system is made and unmounted (${name#,})"
	boot_disk guest.make --disk "image$engine"
	made=$(said made)
	if well && [ -n "$made" ] && [ "$(said unmounted)" = yes ] &&
		[ "$(said sectors)" = 131072 ] && [ -n "$(said id)" ]; then t_ok; else t_fail "status $run_status" out; fi
	grep -q "io_uring" out && echo "# $(grep io_uring out)"

	t_begin "its files are there at the next boot (${name#,})"
	boot_disk guest.check --disk "image,ro$engine"
	if well && [ -n "$made" ] && [ "$(said found)" = "$made" ] && [ "$(said readonly)" = 1 ]; then t_ok; else
		t_fail "'$(said found)' instead of '$made'" out
	fi

	t_begin "what is written is in the image, where it was written (${name#,})"
	boot_disk guest.raw --disk "image$engine"
	seq 1 20000 >wanted
	dd if=image bs=4k skip=16 2>/dev/null | head -c "$(wc -c <wanted)" >got
	if well && [ "$(said raw)" = written ] && cmp -s wanted got; then t_ok; else t_fail "it is not" out; fi

	t_begin "a discard gives the room back (${name#,})"
	before=$(stat -c %b image)
	boot_disk guest.discard --disk "image$engine"
	after=$(stat -c %b image)
	if well && [ "$(said discard)" = done ] && [ "$after" -lt $((before / 4)) ]; then t_ok; else
		t_fail "$before blocks before, $after after" out
	fi
done

t_begin "a disk that is read-only is not written to"
sum=$(md5sum <image)
boot_disk guest.ro --disk image,ro
if well && [ "$(said ro)" = refused ] && [ "$(md5sum <image)" = "$sum" ]; then t_ok; else
	t_fail "$(said ro)" out
fi

t_begin "a second writer of the same image is refused, and the first goes on"
stasis run --kernel "$T/kernel-6.12" --initrd "$T/disk.cpio" --memory 256M --disk image \
	--cmdline "console=ttyS0 quiet guest.make" >first 2>&1 </dev/null &
pid=$!
wait_for 30 first "guest: sectors"
run_guest 20 out stasis run --kernel "$T/kernel-6.12" --disk image
second=$run_status
wait $pid
if [ $? -eq 0 ] && grep -q 'guest: unmounted=yes' first && [ $second -eq 153 ] &&
	grep -q 'in use by somebody else' out; then t_ok; else
	cat first out >both
	t_fail "status $second" both
fi

t_begin "entropy reaches the guest"
boot_disk guest.rng --disk image,ro --entropy
if well && said rng | grep -q virtio && [ "$(said bytes)" = 65536 ] && [ "$(said differ)" = yes ] &&
	[ "$(said packed)" -gt 65000 ]; then t_ok; else t_fail "it does not" out; fi

t_begin "a VMM that is killed while its guest writes leaves what was synced"
rm -f image
dd if=/dev/zero of=image bs=1M count=0 seek=64 2>/dev/null
boot_disk guest.make --disk image
made=$(said made)
stasis run --kernel "$T/kernel-6.12" --initrd "$T/disk.cpio" --memory 256M --disk image \
	--cmdline "console=ttyS0 quiet guest.raw" >first 2>&1 </dev/null &
pid=$!
wait_for 30 first "guest: raw=written"
kill -KILL $pid
wait $pid 2>/dev/null
dd if=image bs=4k skip=16 2>/dev/null | head -c "$(wc -c <wanted)" >got
if cmp -s wanted got; then t_ok; else t_fail "what was synced is lost" first; fi

t_done
