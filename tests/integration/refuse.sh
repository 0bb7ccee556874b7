# SPDX-License-Identifier: Apache-2.0
# add: out/stasis out/guests/spin.img out/deps/kernels/6.12/Image:kernel-6.12
#
# What stasis refuses: one line that names what is wrong, the right status, and nothing left behind.
. "$T/lib.sh"

good=$T/spin.img

# refuse NAME STATUS WORDS COMMAND...: WORDS must be in the line.
refuse() {
	t_begin "$1"
	refuse_status=$2 refuse_words=$3
	shift 3
	timeout -s KILL 20 "$@" >refuse.out 2>refuse.err </dev/null
	status=$?
	if [ $status -ne "$refuse_status" ]; then
		t_fail "status $status instead of $refuse_status" refuse.err
	elif [ "$(wc -l <refuse.err)" != 1 ] || [ "$(tail -c 1 refuse.err)" != "" ]; then
		t_fail "not one line" refuse.err
	elif ! grep -qF -- "$refuse_words" refuse.err; then
		t_fail "it does not say '$refuse_words'" refuse.err
	elif [ -s refuse.out ]; then
		t_fail "it printed to standard output" refuse.out
	else
		t_ok
	fi
}

# kernel NAME FILE WORDS: `stasis run` with such a kernel.
kernel() { refuse "kernel: $1" 1 "$3" stasis run --kernel "$2" --memory 64M; }

# patched OFFSET BYTES FILE: a good kernel with other bytes somewhere.
patched() {
	cp "$good" "$3"
	printf "$2" | dd of="$3" bs=1 seek="$1" conv=notrunc 2>/dev/null
}

find /tmp /dev/shm /run -type f -o -type p -o -type s | grep -v "^$PWD/" | sort >before

# --- options ------------------------------------------------------------------------------------

refuse "a command that is none" 153 '"rnu"' stasis rnu --kernel "$good"
refuse "a word that begins with a dash is no folder" 153 '"-x" is not a valid option' stasis restore -x
refuse "a folder that does not exist" 1 "nodir holds no snapshot" stasis restore nodir
refuse "a disk that is given twice" 153 "disk0 is given twice" \
	stasis restore nodir --disk disk0=a --disk disk0=b
refuse "an unknown option" 153 "--kernle; did you mean --kernel?" stasis run --kernle "$good"
refuse "an option that is like no other" 153 "--xyzzy" stasis run --xyzzy
refuse "an option given twice" 153 "--kernel is given twice" \
	stasis run --kernel "$good" --kernel "$good"
refuse "an option without its value" 153 "--kernel needs a value" stasis run --kernel
refuse "a value for an option that takes none" 153 "--boot-timer takes no value" \
	stasis run --boot-timer=1 --kernel "$good"
refuse "a word that is not a valid option" 153 '"extra"' stasis run --kernel "$good" extra
refuse "no kernel" 153 "--kernel FILE or --image DIR is needed" stasis run --memory 64M
refuse "an image that is not there" 153 "stasis image build makes one" stasis run --image none
refuse "a log level that is none" 153 "--log-level loud" \
	stasis run --kernel "$good" --log-level loud
refuse "a path to allow that is none" 153 '--allow-path ":ro" is not a path' \
	stasis run --kernel "$good" --allow-path :ro
refuse "a CPU feature that is none" 153 '"sev=off"' stasis run --kernel "$good" --cpu sev=off
refuse "a CPU feature neither on nor off" 153 '"sve=no"' stasis run --kernel "$good" --cpu sve=no
for cpus in 0 33 -1 x 2x 4294967297 ""; do
	refuse "'$cpus' vCPUs" 153 "--cpus $cpus" stasis run --kernel "$good" --cpus "$cpus"
done
for memory in x -1 1.5G 12Q "" 99999999999999T; do
	refuse "'$memory' as memory" 153 "--memory: \"$memory\"" \
		stasis run --kernel "$good" --memory "$memory"
done
refuse "no memory" 1 "0 MiB" stasis run --kernel "$good" --memory 0
refuse "too little memory" 1 "31 MiB" stasis run --kernel "$good" --memory 31M
refuse "more memory than KVM can give addresses" 1 "this host's KVM offers 48: at most 26" \
	stasis run --kernel "$good" --memory 8000T

# --- the command line of the kernel ---------------------------------------------------------------

long=$(head -c 2100 /dev/zero | tr '\0' x)
refuse "a command line that is too long" 1 "too long" \
	stasis run --kernel "$good" --cmdline "$long"
refuse "a command line with a control character" 1 "unprintable character (0x0a) at position 2" \
	stasis run --kernel "$good" --cmdline "a
b"
refuse "a command line that is not ASCII" 1 "unprintable character (0xc3) at position 4" \
	stasis run --kernel "$good" --cmdline "caf$(printf '\303\251')"

# --- kernels --------------------------------------------------------------------------------------

kernel "a file that is missing" ./missing "./missing"
mkdir folder
kernel "a folder" folder "folder is a directory"
: >empty
kernel "an empty file" empty "it is empty"
mkfifo fifo
kernel "a FIFO" fifo "fifo is not a file"
kernel "a device" /dev/zero "/dev/zero is not a file"
kernel "an ELF file" "$(command -v stasis)" "an ELF file"
echo "Linux, honestly" >text
kernel "text" text "text: it is not a kernel image"
head -c 100000 /dev/zero >zeros
tail -c +65 "$good" >raw
kernel "zeros" zeros "zeros: it is not a kernel image"
for kind in 'xz:\375\067zXZ\0' 'zstd:\050\265\057\375' 'lz4:\004\042\115\030' 'bzip2:BZh9'; do
	{ printf "${kind#*:}"; head -c 5000 /dev/zero; } >"k.${kind%%:*}"
	kernel "compressed with ${kind%%:*}" "k.${kind%%:*}" "compressed with ${kind%%:*}"
done
head -c 63 "$good" >short
kernel "shorter than its header" short "short: it is not a kernel image"
gzip -c "$good" >good.gz
head -c $(($(wc -c <good.gz) / 2)) good.gz >cut.gz
kernel "gzip, cut short" cut.gz "cut short"
head -c 5 good.gz >very.gz
kernel "gzip, cut in its header" very.gz "cut short"
{ head -c 200 good.gz; head -c 3000 /dev/zero; } >damaged.gz
kernel "gzip, damaged" damaged.gz "damaged"
{ printf '\037\213'; cat text; } >fake.gz
kernel "gzip only in name" fake.gz "damaged"
gzip -c text >text.gz
kernel "gzip of text" text.gz "no arm64 Image"
kernel "a raw binary" raw "raw: it is not a kernel image that stasis knows; pass"
refuse "a raw binary that overlaps what is stasis's" 1 "load address 0x80070000 is not in RAM" \
	stasis run --kernel raw --load-address 0x80070000
refuse "a raw binary that overlaps its device tree" 1 "overlap the device tree at 0x87f00000" \
	stasis run --kernel raw --load-address 0x87efff00
refuse "a load address that is none" 153 "--load-address here is not a valid address" \
	stasis run --kernel raw --load-address here
gzip -c zeros >zeros.gz
kernel "gzip of zeros" zeros.gz "no arm64 Image"
patched 8 '\0\0\040\0' offset
kernel "text offset of 2 MiB" offset "damaged (text offset 0x200000)"
patched 8 '\001' odd
kernel "odd text offset" odd "damaged (text offset 0x1)"
patched 16 '\0\0\0\010' large
kernel "larger than its VM" large "give the VM more RAM"
patched 16 '\377\377\377\377\377\377\377\377' huge
kernel "of the largest size there is" huge "give the VM more RAM"
gzip -c huge >huge.gz
kernel "of that size, compressed" huge.gz "give the VM more RAM"
cp "$good" long
truncate -s 70M long
kernel "a file larger than its VM" long "give the VM more RAM"
{ cat "$good"; head -c 70000000 /dev/zero; } | gzip -1 -c >bomb.gz
kernel "larger than its header says when decompressed" bomb.gz "its header asks for"
printf 'MZ\0\0zimg\0\0\0\177\0\020\0\0\0\0\0\0\0\0\0\0gzip' >zboot
head -c 100 /dev/zero >>zboot
kernel "EFI zboot with its payload outside" zboot "header is damaged"
rm -f long bomb.gz

# --- initrds --------------------------------------------------------------------------------------

initrd() { refuse "initrd: $1" 1 "$3" stasis run --kernel "$good" --initrd "$2" --memory 64M; }
initrd "a file that is missing" ./missing "./missing"
initrd "a folder" folder "folder is a directory"
initrd "an empty file" empty "empty is empty"
initrd "a FIFO" fifo "fifo is not a file"
truncate -s 62M ramdisk
initrd "larger than its VM" ramdisk "give the VM more RAM"
truncate -s 7E ramdisk 2>/dev/null || truncate -s 1000G ramdisk
initrd "of a size beyond all" ramdisk "give the VM more RAM"
rm -f ramdisk

initrd "a kernel" "$good" "it is a kernel; pass that as --kernel"
initrd "a kernel for EFI" zboot "it is a kernel; pass that as --kernel"

# --- disks and networks -----------------------------------------------------------------------------

: >empty.ext4
truncate -s 1M disk.ext4
refuse "an empty root disk" 153 "empty.ext4 is empty, and has no root file system" \
	stasis run --kernel "$good" --disk empty.ext4,root
refuse "a root disk for which the kernel has no driver" 1 "virtio-mmio is not built in" \
	stasis run --kernel "$T/kernel-6.12" --disk disk.ext4,root
refuse "a tap that does not exist" 153 'sudo tools/net-setup --user "$USER" tap77' \
	stasis run --kernel "$good" --net tap77
rm -f disk.ext4 empty.ext4

# --- the host -------------------------------------------------------------------------------------

run="stasis run --kernel $good"
if [ -z "$RIG_HOST" ]; then
	t_begin "hosts without a usable /dev/kvm"
	t_skip "a real host keeps its /dev/kvm"
else
	chmod 600 /dev/kvm # other suites let everybody have it
	refuse "no permission for /dev/kvm" 1 "no permission to open /dev/kvm" \
		su nobody -s /bin/sh -c "$run"
	mv /dev/kvm /dev/kvm.away
	refuse "no /dev/kvm" 1 "/dev/kvm does not exist" $run
	ln -s null /dev/kvm
	refuse "a /dev/kvm that is not KVM's" 1 "/dev/kvm is not KVM's device" $run
	rm /dev/kvm
	mv /dev/kvm.away /dev/kvm
	chmod 000 "$good"
	chmod 666 /dev/kvm
	refuse "a kernel that one may not read" 1 "Permission denied" su nobody -s /bin/sh -c "$run"
	chmod 644 "$good"
	chmod 600 /dev/kvm
fi

# --- after all ------------------------------------------------------------------------------------

t_begin "nothing is left behind"
find /tmp /dev/shm /run -type f -o -type p -o -type s | grep -v "^$PWD/" | sort >after
if ! cmp -s before after; then
	diff before after >differ
	t_fail "files" differ
elif pidof stasis >left; then
	t_fail "processes: $(cat left)"
else
	t_ok
fi

t_done
