# SPDX-License-Identifier: Apache-2.0
# add: out/stasis out/jailer out/guests/spin.img out/tests/jail out/deps/clients
#
# What the jailer refuses: one line that says what is wrong and what to do, and nothing left behind:
# no jail, no cgroup, no mount, no process.
. "$T/lib.sh"

vmm=$(command -v stasis)
base=$PWD/base
mkdir -m 755 base
cgroup2=/sys/fs/cgroup
grep -q " $cgroup2 cgroup2 " /proc/mounts || mount -t cgroup2 none $cgroup2

# things: all that a start could leave.
things() {
	find "$PWD" $cgroup2 -type d -o -path "$PWD/base*" 2>/dev/null | sort |
		while read -r path; do stat -c '%n %F %a %u:%g %h' "$path"; done
	cat /proc/mounts $cgroup2/busy/cgroup.subtree_control 2>/dev/null
	ps -o comm | grep 'jaile[r]'
}

# refuse NAME WORDS COMMAND...: WORDS must be in its only line. Who undoes a start whose program
# cannot run may take a moment longer than the jailer.
refuse() {
	t_begin "$1"
	refuse_words=$2
	shift 2
	things >before
	timeout -s KILL 20 "$@" >refuse.out 2>refuse.err </dev/null
	status=$?
	left=20
	things >after
	until cmp -s before after || [ $left -eq 0 ]; do
		left=$((left - 1))
		usleep 50000
		things >after
	done
	if [ $status -ne 1 ]; then
		t_fail "status $status instead of 1" refuse.err
	elif [ "$(wc -l <refuse.err)" != 1 ] || ! grep -q '^jailer: error: ' refuse.err; then
		t_fail "not one line" refuse.err
	elif ! grep -qF -- "$refuse_words" refuse.err; then
		t_fail "it does not say '$refuse_words'" refuse.err
	elif [ -s refuse.out ]; then
		t_fail "it printed to standard output" refuse.out
	elif ! cmp -s before after; then
		diff before after >differ
		t_fail "it left something" differ
	else
		t_ok
	fi
}

# ours NAME WORDS [OPTION...]: the jailer with what it always needs, and a file or user instead.
ours() {
	ours_name=$1 ours_words=$2
	shift 2
	refuse "$ours_name" "$ours_words" jailer --id "${id:-vm}" --exec-file "${exec:-$vmm}" \
		--uid "${uid:-1234}" --gid 1235 --chroot-base-dir "${in:-$base}" "$@"
}
v2() { ours "$1" "$2" --cgroup-version 2 --cgroup "$3"; }

# --- the command line -----------------------------------------------------------------------------

ours "an unknown option" "unknown option --sudo" --sudo
ours "a word that is none" "\"extra\" is not a valid option" extra
refuse "no id" "give --id" jailer --exec-file "$vmm" --uid 1 --gid 1
refuse "no user" "give --uid" jailer --id a --exec-file "$vmm" --gid 1
id=a/b ours "an id with a slash" "1 to 64 letters"
id=.. ours "an id that is a way up" "1 to 64 letters"
uid=-1 ours "a user that is no number" "--uid -1 is not valid"
uid=4294967295 ours "the user that means none" "--uid 4294967295 is not valid"
ours "a limit that is none" "fsize=BYTES or no-file=NUMBER" --resource-limit nproc=5
ours "a cgroup line without a value" "cpuset.cpus=0-3" --cgroup pids.max
ours "a parent that is a way up" "without . and .." --parent-cgroup a/../..

t_begin "--version begins with Firecracker's line"
jailer --version >out 2>err
status=$?
if [ $status = 0 ] && head -n 1 out | grep -qx 'Jailer v[0-9]*\.[0-9]*\.[0-9]*' &&
	grep -q 'not Firecracker' out && [ ! -s err ]; then t_ok; else t_fail "status $status" out; fi
t_begin "--help lists all options"
jailer --help >out 2>err
missing=
for option in id exec-file uid gid chroot-base-dir netns cgroup-version cgroup parent-cgroup \
	resource-limit daemonize new-pid-ns version help; do
	grep -q "^  --$option\\b" out || missing="$missing --$option"
done
if [ -z "$missing" ] && [ "$(wc -L <out)" -le 80 ]; then t_ok; else t_fail "missing:$missing" out; fi

chmod 711 .
refuse "who is not root" "must be started by root" jail / 1234 jailer --id a --exec-file "$vmm" \
	--uid 1234 --gid 1235 --chroot-base-dir "$base"

cp "$(command -v jailer)" setuid
chmod 4755 setuid
refuse "a user through a setuid bit" "must be started by root" jail / 1234 ./setuid --id a --exec-file "$vmm" \
	--uid 0 --gid 0 --chroot-base-dir "$base"

# --- the program ----------------------------------------------------------------------------------

mkdir files
cp "$vmm" files/vmm
ln files/vmm files/same
exec=files/vmm ours "a program with two links" "has 2 links; name a copy with one"
rm files/same
ln -s vmm files/link
chmod 644 files/vmm
exec=files/link ours "one that is not executable, through a link" "is not executable; chmod +x it"
mkfifo -m 755 files/fifo
exec=files/fifo ours "a FIFO" "is not a regular file"
exec=files ours "a folder" "is not a regular file"
exec=files/none ours "none" "No such file"

# The VMM's process finds these out, and the jail is complete by then.
printf '#!/bin/sh\nexit 0\n' >files/script
printf 'not a program' >files/text
chmod 755 files/*
for way in "" --daemonize --new-pid-ns; do
	exec=files/text ours "a text as program $way" "name a program for this machine" $way
	exec=files/script ours "a script $way" "a jail has no libraries: name a static program" $way \
		--cgroup-version 2 --cgroup pids.max=50
done

# --- the folders ----------------------------------------------------------------------------------

in=$PWD/none ours "a base that is not there" "does not exist; mkdir it"
in=$vmm ours "a base that is a file" "Not a directory"
chmod 775 base
ours "a base that others may write" "can be written by others; chmod go-w it"
chmod 755 base
chown 55 base
ours "a base of another user" "belongs to user 55"
chown 0 base
mkdir -p elsewhere/vm/root
ln -s "$PWD/elsewhere" base/stasis
ours "a folder that is a symbolic link" "base/stasis is a symbolic link"
rm base/stasis
mkdir base/stasis
chown 1234 base/stasis
ours "one of another user" "base/stasis belongs to user 1234"
chown 0 base/stasis
ln -s "$PWD/elsewhere/vm" base/stasis/vm
ours "a jail that is a symbolic link" "stasis/vm is a symbolic link"
rm base/stasis/vm
: >base/stasis/vm
ours "a jail that is a file" "stasis/vm is not a folder"
rm base/stasis/vm
mkdir -m 757 base/stasis/vm
ours "a jail that others may write" "stasis/vm can be written by others"
chmod 755 base/stasis/vm
ln -s ../../../elsewhere base/stasis/vm/root
ours "a root that is a symbolic link" "vm/root is a symbolic link"
rm base/stasis/vm/root
mkdir base/stasis/vm/root
chown 1235 base/stasis/vm/root
ours "a root of a third user" "vm/root belongs to user 1235"
chown 1234 base/stasis/vm/root
chmod 770 base/stasis/vm/root
ours "a root that a group may write" "vm/root can be written by others"
chmod 750 base/stasis/vm/root
ln -s "$PWD/elsewhere" base/stasis/vm/root/dev
ours "a prepared root whose dev is a symbolic link" "root/dev is a symbolic link"
rm base/stasis/vm/root/dev
: >base/stasis/vm/root/run
ours "a prepared root whose run is a file" "root/run is not a folder"
rm base/stasis/vm/root/run
echo kept >base/stasis/vm/root/disk
mkdir files/bad
cp files/text files/bad/stasis
for way in "" --daemonize; do
	exec=files/bad/stasis ours "a late failure in a prepared root, which stays as it was $way" \
		"name a program for this machine" $way
done
rm -rf base/stasis

mkdir odd
mount -t tmpfs -o nodev,mode=755 none odd
in=$PWD/odd ours "a file system without devices" "is mounted with nodev; mount it without"
mount -o remount,dev,noexec odd
in=$PWD/odd ours "a file system without programs" "is mounted with noexec; mount it without"
umount odd

# --- namespaces, limits ---------------------------------------------------------------------------

ours "a network namespace that is a file" "is not a network namespace" --netns "$vmm"
ours "one of mounts" "is not a network namespace; \`ip netns add NAME\`" --netns /proc/self/ns/mnt
ours "one that is a device" "is not a network namespace" --netns /dev/null
ours "none" "cannot open --netns /none" --netns /none
for way in "" --daemonize --new-pid-ns; do
	ours "more open files than the kernel allows $way" "--resource-limit no-file=99999999999" $way \
		--resource-limit no-file=99999999999 --cgroup-version 2 --cgroup pids.max=50
done

# --- cgroups --------------------------------------------------------------------------------------

v2 "a controller that is not there" "has no controller nosuch, but: " nosuch.max=1
ours "one of two controllers" "has no controller cpux" --cgroup-version 2 --cgroup cpu.weight=1 --cgroup cpux.y=1
v2 "a file that is not there" "there is no $cgroup2/stasis/vm/pids.maximum" pids.maximum=1
v2 "a value that the kernel refuses" "cannot write to $cgroup2/stasis/vm/pids.max: Invalid argument" pids.max=many
ours "the second of two" "cannot write to $cgroup2/stasis/vm/memory.max" --cgroup-version 2 \
	--cgroup pids.max=50 --cgroup memory.max=x
ours "version 1 without a hierarchy" "no cgroup v1 hierarchy has the controller pids; mount it" --cgroup pids.max=5
ours "a parent to join that is not there" "names a cgroup that is there; mkdir it" --cgroup-version 2 \
	--parent-cgroup vms
mkdir $cgroup2/busy
sleep 1000 &
sleeper=$!
echo $sleeper >$cgroup2/busy/cgroup.procs
for key in pids.max memory.max; do
	ours "a parent that has processes, and $key" "processes in the cgroup $cgroup2/busy keep" --cgroup-version 2 \
		--cgroup $key=5 --parent-cgroup busy
done
echo $sleeper >$cgroup2/cgroup.procs
mkdir $cgroup2/busy/vm
echo $sleeper >$cgroup2/busy/vm/cgroup.procs
ours "a cgroup of the VM's name that is in use" "process $sleeper is in the cgroup $cgroup2/busy/vm; stop it" \
	--cgroup-version 2 --cgroup pids.max=5 --parent-cgroup busy
kill $sleeper
wait $sleeper 2>/dev/null
rmdir $cgroup2/busy/vm $cgroup2/busy
umount $cgroup2
v2 "version 2 without a hierarchy" "no cgroup v2 hierarchy is mounted; mount -t cgroup2" pids.max=5
mount -t cgroup2 none $cgroup2

# --- a jail in use --------------------------------------------------------------------------------

root=$base/stasis/vm/root
mkdir -p "$root"
cp "$T/spin.img" "$root"
echo '{"boot-source": {"kernel_image_path": "spin.img", "boot_args": "console=ttyS0"}, "drives": [],
	"machine-config": {"vcpu_count": 1, "mem_size_mib": 32}}' >"$root/vm.json"
jailer --id vm --exec-file "$vmm" --uid 1234 --gid 1235 --chroot-base-dir "$base" -- --config-file vm.json \
	>out 2>err </dev/null &
pid=$!
wait_for 30 out '^spinning' || t_fail "no guest runs" err
ours "a jail whose VMM runs" "process $pid runs in $root; stop it, or use another --id"
mv "$root/stasis.pid" "$root/other.pid"
ours "the same without its pid file" "process $pid runs in $root"
mv "$root/stasis" "$root/was"
ours "the same without its program, too" "process $pid runs in $root"
t_begin "it runs on"
if [ "$(stasis ctl --socket "$root/run/firecracker.socket" status | sed -n 's/^state *//p')" = Running ]; then
	t_ok
else
	t_fail "it does not" err
fi
kill -KILL $pid
wait $pid 2>/dev/null
rm -rf base/stasis
mkdir -p base/stasis/vm
cat >locked.py <<'END'
import fcntl, os, sys
fcntl.flock(os.open("base/stasis/vm", os.O_RDONLY), fcntl.LOCK_EX)
sys.exit(os.spawnvp(os.P_WAIT, sys.argv[1], sys.argv[1:]))
END
refuse "a jail that another jailer works on" "another jailer is starting a VMM in" \
	"$T/clients/bin/python3" -I -S locked.py jailer --id vm --exec-file "$vmm" --uid 1234 --gid 1235 --chroot-base-dir "$base"

# A dead VMM's jail, in which it has put a folder where a device should be, and folders without end.
root=base/stasis/vm/root
mkdir -p $root/dev/kvm
echo 99999 >$root/stasis.pid
deep=$root/dev/kvm
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18; do deep=$deep/d; done
mkdir -p $deep
t_begin "folders in each other without end, where a VMM left them, are not followed"
jailer --id vm --exec-file "$vmm" --uid 1234 --gid 1235 --chroot-base-dir "$base" >out 2>err </dev/null
status=$?
if [ $status = 1 ] && grep -q 'jailer: error: cannot remove .*/dev/kvm' err; then t_ok; else
	t_fail "status $status" err
fi

t_done
