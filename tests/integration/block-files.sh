# SPDX-License-Identifier: Apache-2.0
# add: out/stasis out/deps/e2fsprogs
# guest: disk
#
# ext4 with a journal on drives: what a guest unmounted is clean to the real fsck and can be read
# without a guest; what was durable to a guest is there after its VMM was killed. Each guest has two
# drives, vda and vdb, with an engine each. The host reads their files with debugfs, which shares no
# code with the guest's kernel and needs neither root nor modules.
. "$T/lib.sh"
e2fsprogs=$T/e2fsprogs/bin

make_images() {
	for image in vda vdb; do
		rm -f $image
		dd if=/dev/zero of=$image bs=1M count=0 seek=64 2>/dev/null
		"$e2fsprogs/mke2fs" -q -F -t ext4 -b 4096 -O has_journal $image >mke2fs.out 2>&1 || return
	done
}

# fsck OPTION IMAGE: its status is $status then; what it says is in fsck.out.
fsck() {
	"$e2fsprogs/e2fsck" "$1" "$2" >>fsck.out 2>&1
	status=$?
}

# are_clean: whether fsck has nothing to say against either. If not: $problem.
are_clean() {
	for image in vda vdb; do
		fsck -fn $image
		[ $status -eq 0 ] || problem="e2fsck -fn says $status of $image"
	done
	[ -z "$problem" ]
}

# extract FILE: the checksums of all files in the images, found without a guest.
extract() {
	rm -rf files
	mkdir -p files/vda files/vdb
	for image in vda vdb; do
		"$e2fsprogs/debugfs" -R "rdump / files/$image" $image >>debugfs.out 2>&1
	done
	(cd files && find . -type f | sed 's,^\./,,' | xargs md5sum) | sort >"$1"
}

boot_disks() {
	words=$1
	shift
	initrd=$T/disk.cpio boot_linux "quiet $words" --memory 256M "$@"
	said file | sort >told
	[ "$run_status" -eq 0 ] && [ "$(said unmounted)" = yes ] && grep -q "reboot: Power down" out
}

t_begin "ext4 with a journal is clean once unmounted"
problem=
if ! make_images; then
	t_fail "mke2fs" mke2fs.out
elif ! boot_disks guest.files --disk vda --disk vdb,async; then
	t_fail "status $run_status" out
elif ! are_clean; then
	t_fail "$problem" fsck.out
elif ! "$e2fsprogs/debugfs" -R features vda 2>/dev/null | grep -qw has_journal; then
	t_fail "there is no journal"
else
	t_ok
fi

t_begin "its files are read without a guest"
cp told wrote
extract found
if [ "$(wc -l <wrote)" -eq 82 ] && cmp -s wrote found; then t_ok; else
	diff wrote found >differ
	t_fail "$(wc -l <wrote) files were told of" differ
fi

t_begin "and at the next boot"
if boot_disks guest.sums --disk vda,ro,async --disk vdb,ro && cmp -s wrote told; then t_ok; else
	t_fail "status $run_status" out
fi

# pull COUNT WORDS OPTION...: a guest whose VMM is killed soon after it told of COUNT durable files.
# What it told is in `durable`.
pull() {
	count=$1 words=$2
	shift 2
	stasis run --kernel "$T/kernel-6.12" --initrd "$T/disk.cpio" --memory 256M "$@" \
		--cmdline "console=ttyS0 quiet panic=-1 guest.durable $words" >out 2>&1 </dev/null &
	pid=$!
	wait_for 60 out "^guest: durable=.*/$count[^0-9]"
	usleep $(((1$(tr -dc 0-9 </dev/urandom | head -c 6) - 1000000) / 4))
	kill -KILL $pid
	wait $pid 2>/dev/null
	# A line that was cut short was not said.
	said durable | grep -E '^[0-9a-f]{32}  vd[ab]/d[01]/[0-9]+$' | sort >durable
	[ "$(wc -l <durable)" -ge "$count" ]
}

# lost FILE: what was durable and is not among the files with these checksums.
lost() { sort durable "$1" "$1" | uniq -u; }

# are_intact: whether fsck repairs the images and all that was durable is in them. If not: $problem.
are_intact() {
	problem=
	for image in vda vdb; do
		fsck -fy $image
		[ $status -le 1 ] || problem="e2fsck -fy says $status of $image"
	done
	[ "$(grep -c "recovering journal" fsck.out)" -eq 2 ] || problem="the journals were not in use"
	are_clean
	extract found
	lost found >lost
	[ ! -s lost ] || problem="$(wc -l <lost) of $(wc -l <durable) files are lost or wrong"
	[ -z "$problem" ]
}

# plug NAME COUNT WORDS OPTION...
plug() {
	rm -f fsck.out lost
	t_begin "a guest pulled away after $2 durable files: $1"
	shift
	if ! make_images; then
		t_fail "mke2fs" mke2fs.out
	elif ! pull "$@"; then
		t_fail "it told of $(wc -l <durable) files" out
	elif [ -n "$replay" ] && ! { cp vda vda.pulled && cp vdb vdb.pulled; }; then
		t_fail "there is no room for copies"
	elif are_intact; then
		t_ok
		echo "# $(wc -l <durable) were"
	else
		t_fail "$problem" fsck.out
		[ ! -s lost ] || t_show lost
	fi
}

# again: the next guest's kernel recovers by itself what plug() left.
again() {
	t_begin "and the next guest recovers them by itself"
	mv vda.pulled vda
	mv vdb.pulled vdb
	problem=
	if ! boot_disks guest.sums --disk vda,async --disk vdb; then
		t_fail "status $run_status" out
	elif lost told >lost && [ -s lost ]; then
		t_fail "$(wc -l <lost) of $(wc -l <durable) files are lost or wrong" lost
	elif are_clean; then
		t_ok
	else
		t_fail "$problem" fsck.out
	fi
}

for count in ${PLUG_COUNTS:-6}; do
	plug "Writeback" "$count" guest.journal=vdb --disk vda --disk vdb,async
	[ -z "$replay" ] || again
	plug "Unsafe" $((count * 2)) guest.journal=vda --disk vda,unsafe --disk vdb,async,unsafe
	[ -z "$replay" ] || again
done

t_done
