# SPDX-License-Identifier: Apache-2.0
# add: out/stasis out/jailer out/guests/spin.img out/tests/jail out/deps/clients
# modules: tun vhost_net
#
# The jailer: what a VMM that it has started is and has, what it leaves, and the start sequences of
# launchers. What it refuses is tested by jailer-refuse.sh.
. "$T/lib.sh"

vmm=$(command -v stasis)
base=$PWD/base
mkdir -m 755 base
cgroup2=/sys/fs/cgroup
grep -q " $cgroup2 cgroup2 " /proc/mounts || mount -t cgroup2 none $cgroup2
# call METHOD PATH [BODY]: a request through the jailed socket; the status, its body in `answer`.
call() {
	"$T/clients/bin/curl" -s -m 10 --unix-socket "$socket" -o answer -w '%{http_code}' -X "$1" \
		${3:+-d "$3"} "http://localhost$2"
}

# at ID: the jail's root and socket.
at() {
	root=$base/stasis/$1/root
	socket=$root/run/firecracker.socket
}

# prepare ID: a root with a guest in it, as launchers have it.
prepare() {
	at "$1"
	mkdir -p "$root"
	cp "$T/spin.img" "$root"
	cat >"$root/vm.json" <<-END
		{"boot-source": {"kernel_image_path": "spin.img", "boot_args": "console=ttyS0"},
		 "drives": [], "machine-config": {"vcpu_count": 1, "mem_size_mib": 32}}
	END
}

# jailed ID [OPTION...]: the jailer with what it always needs; instead of this shell if $exec says so.
jailed() {
	jailed_id=$1
	shift
	$exec jailer --id "$jailed_id" --exec-file "$vmm" --uid 1234 --gid 1235 --chroot-base-dir "$base" "$@"
}

# start ID [OPTION...]: a guest, in the background, in its prepared jail; $pid is the VMM's.
start() {
	prepare "$1"
	: >out # the last guest's is not this one's
	exec=exec
	jailed "$@" -- --config-file vm.json >out 2>err </dev/null &
	pid=$!
	exec=
	wait_for 30 out '^spinning'
}

# start_away ID OPTION...: one whose process is another; $pid is in the pid file.
start_away() {
	prepare "$1"
	jailed "$@" -- --config-file vm.json >out 2>err </dev/null
	status=$?
	pid=$(cat "$root/stasis.pid")
	left=100
	until [ "$(call GET /)" = 200 ] && grep -q '"state":"Running"' answer; do
		[ $left -gt 0 ] || return 1
		left=$((left - 1))
		usleep 100000
	done
}

# stop: ends the VMM, with the jail, unless $pid is ours to wait for.
stop() {
	kill "$pid" 2>/dev/null
	left=100
	while [ -d "/proc/$pid" ] && [ $left -gt 0 ] && ! grep -q '^State:.Z' "/proc/$pid/status"; do
		left=$((left - 1))
		usleep 50000
	done
	wait "$pid" 2>/dev/null
	status=$?
	rm -rf "$base/stasis"
}

field() { sed -n "s/^$1:[[:space:]]*//p" "/proc/$pid/status" | tr '\t' ' '; }
# is NAME FOUND WANTED: adds to $wrong.
is() { [ "$2" = "$3" ] || wrong="$wrong $1 is '$2', not '$3';"; }
t_right() { if [ -z "$wrong" ]; then t_ok; else t_fail "$wrong" "$1"; fi; }
ns() { readlink "/proc/$1/ns/$2"; }

# --- what the VMM is ------------------------------------------------------------------------------

# From a caller with groups, an environment and open files.
echo secret >secret
cat >caller.py <<'END'
import os, sys
os.setgroups([7, 8])
os.dup2(os.open("secret", os.O_RDONLY), 77, inheritable=True)
os.environ["SECRET"] = "1"
os.umask(0o27)
os.execvp(sys.argv[1], sys.argv[1:])
END
prepare one
"$T/clients/bin/python3" -I -S caller.py jailer --id one --exec-file "$vmm" --uid 1234 --gid 1235 --chroot-base-dir base \
	--resource-limit fsize=1048576 --resource-limit no-file=300 -- --config-file vm.json \
	>out 2>err </dev/null &
pid=$!
t_begin "a guest runs in the jail, and the jailer's process is its VMM"
if wait_for 30 out '^spinning' && [ ! -s err ] && [ "$(cat "/proc/$pid/comm")" = stasis ]; then
	t_ok
else
	t_fail "it does not" err
fi

t_begin "user, group, groups, capabilities and no_new_privs are as they must be"
wrong=
is Uid "$(field Uid)" "1234 1234 1234 1234"
is Gid "$(field Gid)" "1235 1235 1235 1235"
is Groups "$(field Groups | tr -d ' ')" ""
for set in CapInh CapPrm CapEff CapBnd CapAmb; do is $set "$(field $set)" 0000000000000000; done
is NoNewPrivs "$(field NoNewPrivs)" 1
is Umask "$(field Umask)" 0027
t_right "/proc/$pid/status"

t_begin "nothing of the caller's is left: environment, files, mounts"
wrong=
is environment "$(wc -c <"/proc/$pid/environ")" 0
is mounts "$(wc -l <"/proc/$pid/mountinfo")" 1
is "current folder" "$(readlink "/proc/$pid/cwd")" "$(readlink "/proc/$pid/root")"
is root "$(stat -L -c %d:%i "/proc/$pid/root")" "$(stat -c %d:%i "$root")"
ls -l "/proc/$pid/fd" >fds
! grep -q secret fds || wrong="$wrong it has the caller's file;"
! ls "/proc/$pid/root/old_root" >/dev/null 2>&1 || wrong="$wrong the old root is there;"
t_right fds

t_begin "its mount namespace is its own, the others are the host's"
wrong=
for kind in net pid ipc uts; do is $kind "$(ns "$pid" $kind)" "$(ns self $kind)"; done
[ "$(ns "$pid" mnt)" != "$(ns self mnt)" ] || wrong="$wrong the mounts are the host's;"
t_right

t_begin "resource limits are set, soft and hard"
wrong=
is fsize "$(awk '/^Max file size/ { print $4, $5 }' "/proc/$pid/limits")" "1048576 1048576"
is no-file "$(awk '/^Max open files/ { print $4, $5 }' "/proc/$pid/limits")" "300 300"
t_right "/proc/$pid/limits"

t_begin "its command line is Firecracker's"
tr '\0' ' ' <"/proc/$pid/cmdline" >line
t_check grep -q '^/stasis --id one --start-time-us [0-9]* --start-time-cpu-us [1-9][0-9]* --parent-cpu-time-us 0 --config-file vm.json $' line

t_begin "the pid file has its number"
wrong=
is number "$(cat "$root/stasis.pid")" $pid
is size "$(stat -c %s "$root/stasis.pid")" ${#pid}
t_right

t_begin "folders and devices are the VMM's alone, with Firecracker's numbers"
wrong=
for folder in . dev dev/net run; do
	is $folder "$(stat -c '%a %u:%g' "$root/$folder")" "700 1234:1235"
done
minor=$(awk '$2 == "userfaultfd" { printf "%x", $1 }' /proc/misc)
for node in kvm:a:e8 net/tun:a:c8 urandom:1:9 userfaultfd:a:$minor vhost-net:a:ee; do
	is "$node" "$(stat -c '%F %a %u:%g %t:%T' "$root/dev/${node%%:*}")" \
		"character special file 600 1234:1235 ${node#*:}"
done
is nodes "$(find "$root/dev" -type c | wc -l)" 5
is program "$(stat -c '%a %u:%g' "$root/stasis")" "555 0:0"
cmp -s "$vmm" "$root/stasis" || wrong="$wrong the program is another;"
t_right

t_begin "the host's caches and MIDR are copied"
(cd / && find sys/devices/system/cpu/cpu0/cache/index*/ -name level -o -name type -o -name size \
	-o -name coherency_line_size -o -name number_of_sets -o -name ways_of_associativity \
	-o -name shared_cpu_map
ls sys/devices/system/cpu/cpu0/regs/identification/midr_el1) 2>/dev/null | sort >hosts
(cd "$root" && find sys -type f) | sort >jails
while read -r file; do cmp "/$file" "$root/$file" || echo differs; done <hosts >differ 2>&1
if [ -s hosts ] && cmp -s hosts jails && [ ! -s differ ]; then t_ok; else
	diff hosts jails >>differ
	t_fail "they differ" differ
fi

t_begin "no process but the VMM is left"
ps -o pid,comm | grep '[j]ailer' >left
if [ ! -s left ]; then t_ok; else t_fail "there is" left; fi

t_begin "the API answers through the jailed socket, and its state is right"
if [ "$(call GET /)" = 200 ] && grep -q '"id":"one"' answer && grep -q '"state":"Running"' answer &&
	[ "$(stasis ctl --socket "$socket" status | sed -n 's/^state *//p')" = Running ]; then
	t_ok
else
	t_fail "it does not" answer
fi

# started_in: the two times of the metrics, in us.
started_in() {
	call GET /metrics >/dev/null
	sed -n 's/.*"process_startup_time_us":\([0-9]*\),"process_startup_time_cpu_us":\([0-9]*\).*/\1 \2/p' answer
}
# timely: both were measured, and are of the size of a start.
timely() {
	started_in >times
	awk '{ ok = $1 > 1000 && $1 < 20e6 && $2 > 1000 && $2 < 10e6 && $2 < 2 * $1 } END { exit !ok }' times
}
t_begin "the metrics have the times of the start"
if timely; then t_ok; else t_fail "they have not" times; fi

t_begin "SIGTERM ends it with status 143"
stop
if [ $status = 143 ]; then t_ok; else t_fail "status $status" err; fi

t_begin "without limits 2048 files may be open; with SIGCHLD ignored and streams closed it starts, too"
prepare two
sh -c 'trap "" CHLD; exec jailer "$@" -- --config-file vm.json --log-path log' sh --id two --exec-file "$vmm" \
	--uid 1234 --gid 1235 --chroot-base-dir "$base" <&- >&- 2>&- &
pid=$!
left=100
until [ "$(call GET /)" = 200 ] || [ $left -eq 0 ]; do left=$((left - 1)); usleep 100000; done
wrong=
is no-file "$(awk '/^Max open files/ { print $4, $5 }' "/proc/$pid/limits")" "2048 2048"
for fd in 0 1 2; do is "stream $fd" "$(stat -L -c %t:%T "/proc/$pid/fd/$fd")" 1:3; done
t_right
stop

t_begin "--uid 0 is allowed, and said to be unwise; it has no capability either"
prepare zero
jailer --id zero --exec-file "$vmm" --uid 0 --gid 0 --chroot-base-dir "$base" -- --config-file vm.json \
	>out 2>err </dev/null &
pid=$!
wait_for 30 out '^spinning'
wrong=
is Uid "$(field Uid)" "0 0 0 0"
for set in CapInh CapPrm CapEff CapBnd CapAmb; do is $set "$(field $set)" 0000000000000000; done
is NoNewPrivs "$(field NoNewPrivs)" 1
grep -q '^jailer: warning: --uid 0' err && [ "$(wc -l <err)" = 1 ] || wrong="$wrong no warning;"
t_right err
stop

# --- other processes ------------------------------------------------------------------------------

own_session=$(awk '{ print $6 }' /proc/self/stat)
# away: what --daemonize promises, into $wrong.
away() {
	set -- $(sed 's/.*) //' "/proc/$pid/stat")
	[ "$4" != "$own_session" ] && [ "$4" != "$pid" ] || wrong="$wrong session $4 of $pid;"
	is terminal "$5" 0
	for fd in 0 1 2; do is "stream $fd" "$(stat -L -c %t:%T "/proc/$pid/fd/$fd")" 1:3; done
}

t_begin "--daemonize: the jailer ends with 0, and the VMM has a session and null streams"
start_away far --daemonize
wrong=
is status $status 0
is Uid "$(field Uid)" "1234 1234 1234 1234"
is NSpid "$(field NSpid)" $pid
is parent "$(field PPid)" 1
away
[ ! -s out ] && [ ! -s err ] || wrong="$wrong output;"
timely || wrong="$wrong times of the start: $(cat times);"
grep -q -- '--start-time-cpu-us.0.--parent-cpu-time-us.[1-9]' "/proc/$pid/cmdline" ||
	wrong="$wrong its parents' CPU time is missing;"
t_right err
stop

t_begin "--new-pid-ns: the VMM is process 1 there, and the pid file has its number here"
start_away new --new-pid-ns
wrong=
is status $status 0
is NSpid "$(field NSpid)" "$pid 1"
is CapBnd "$(field CapBnd)" 0000000000000000
grep -q '^spinning' out || wrong="$wrong its console is lost;"
timely || wrong="$wrong times of the start: $(cat times);"
t_right err
stop

t_begin "both"
start_away both --new-pid-ns --daemonize
wrong=
is status $status 0
is NSpid "$(field NSpid)" "$pid 1"
away
t_right err
stop

t_begin "--netns: the VMM is in that namespace"
unshare -n sleep 1000 &
sleeper=$!
usleep 300000
: >netns
mount --bind "/proc/$sleeper/ns/net" netns
start other --netns "$PWD/netns"
wrong=
is net "$(ns $pid net)" "$(ns $sleeper net)"
[ "$(ns $pid net)" != "$(ns self net)" ] || wrong="$wrong it is the host's;"
t_right err
stop

# --- cgroups --------------------------------------------------------------------------------------

for way in "" --daemonize --new-pid-ns; do
	t_begin "cgroup v2${way:+, $way}: it is made, filled, and the VMM is in it"
	options="--cgroup-version 2 --cgroup pids.max=50 --cgroup memory.max=268435456 --cgroup cpu.weight=77"
	if [ -z "$way" ]; then start grp $options; else start_away grp $options $way; fi
	wrong=
	is pids.max "$(cat $cgroup2/stasis/grp/pids.max)" 50
	is memory.max "$(cat $cgroup2/stasis/grp/memory.max)" 268435456
	is cpu.weight "$(cat $cgroup2/stasis/grp/cpu.weight)" 77
	is processes "$(cat $cgroup2/stasis/grp/cgroup.procs)" "$pid"
	is cgroup "$(sed -n 's/^0:://p' "/proc/$pid/cgroup")" /stasis/grp
	t_right err
	stop
	rmdir $cgroup2/stasis/grp $cgroup2/stasis
done

t_begin "cgroup v2: --parent-cgroup names any parent, whose values are used again"
start nest --cgroup-version 2 --cgroup pids.max=51 --cgroup pids.max=52 --parent-cgroup vms/web/
wrong=
is cgroup "$(sed -n 's/^0:://p' /proc/$pid/cgroup)" /vms/web/nest
is pids.max "$(cat $cgroup2/vms/web/nest/pids.max)" 52
is controllers "$(cat $cgroup2/vms/cgroup.subtree_control)" pids
stop
start nest --cgroup-version 2 --cgroup pids.max=53 --parent-cgroup vms/web
is pids.max "$(cat $cgroup2/vms/web/nest/pids.max)" 53
t_right err
stop
rmdir $cgroup2/vms/web/nest

t_begin "cgroup v2: without --cgroup the VMM is in --parent-cgroup itself"
echo -pids >$cgroup2/vms/web/cgroup.subtree_control
start in --cgroup-version 2 --parent-cgroup vms/web
wrong=
is cgroup "$(sed -n 's/^0:://p' /proc/$pid/cgroup)" /vms/web
is folders "$(find $cgroup2/vms/web -mindepth 1 -type d | wc -l)" 0
t_right err
stop
start_away in --cgroup-version 2 --parent-cgroup vms/web --daemonize
t_begin "the same with --daemonize"
wrong=
is cgroup "$(sed -n 's/^0:://p' "/proc/$pid/cgroup")" /vms/web
t_right err
stop
rmdir $cgroup2/vms/web $cgroup2/vms
echo "-pids -memory -cpu" >$cgroup2/cgroup.subtree_control

# in_v1 START CONTROLLER KEY=VALUE [OPTION...]: a VMM in a hierarchy of version 1; false if the kernel
# has none.
in_v1() {
	start=$1 v1=$2 pair=$3
	shift 3
	mkdir -p "v1/$v1"
	if ! mount -t cgroup -o "$v1" none "v1/$v1" 2>/dev/null; then
		t_skip "this kernel has no $v1 of version 1"
		return 1
	fi
	$start old --cgroup "$pair" "$@"
	wrong=
	is processes "$(cat "v1/$v1/stasis/old/cgroup.procs")" "$pid"
	grep -q ":$v1:/stasis/old$" "/proc/$pid/cgroup" || wrong="$wrong the VMM is not in it;"
	is "${pair%=*}" "$(cat "v1/$v1/stasis/old/${pair%=*}")" "${pair#*=}"
}
out_of_v1() {
	t_right err
	stop
	rmdir "v1/$v1/stasis/old" "v1/$v1/stasis"
	umount "v1/$v1"
}
t_begin "cgroup v1: it is made in the controller's hierarchy, and the VMM is in it"
! in_v1 start freezer freezer.state=THAWED || out_of_v1
t_begin "the same with --daemonize"
! in_v1 start_away freezer freezer.state=THAWED --daemonize || out_of_v1
t_begin "cgroup v1: in cpuset, the CPUs and memory nodes of the parents are those of theirs"
if in_v1 start cpuset cpuset.cpus=0; then
	is "parent's cpus" "$(cat v1/cpuset/stasis/cpuset.cpus)" "$(cat v1/cpuset/cpuset.cpus)"
	is mems "$(cat v1/cpuset/stasis/old/cpuset.mems)" "$(cat v1/cpuset/cpuset.mems)"
	out_of_v1
fi
t_begin "cgroup v1: two hierarchies at once"
mkdir v1/pids
mount -t cgroup -o pids none v1/pids
if in_v1 start freezer freezer.state=THAWED --cgroup pids.max=50; then
	is pids.max "$(cat v1/pids/stasis/old/pids.max)" 50
	is processes "$(cat v1/pids/stasis/old/cgroup.procs)" "$pid"
	out_of_v1
fi
rmdir v1/pids/stasis/old v1/pids/stasis
umount v1/pids

# --- a jail that was there ------------------------------------------------------------------------

t_begin "the jail of a VMM that was killed is used anew, with its files"
start again
echo kept >"$root/disk"
kill -KILL $pid
wait $pid
start again
wrong=
is "pid file" "$(cat "$root/stasis.pid")" $pid
is disk "$(cat "$root/disk")" kept
grep -q '^jailer: warning: .* was left behind by a VMM that is gone' err && [ "$(wc -l <err)" = 1 ] ||
	wrong="$wrong no warning;"
t_right err

t_begin "not if the pid file names the number of another process, which lives"
kill -KILL $pid
wait $pid
rm "$root/stasis.pid"
echo $$ >"$root/stasis.pid"
start again
wrong=
is "pid file" "$(cat "$root/stasis.pid")" $pid
t_right err
kill -KILL $pid
wait $pid

t_begin "what a VMM left there leads nowhere: links are removed, what they name stays"
mkdir -p kept
echo kept >kept/file
rm -rf "$root/sys" "$root/stasis" "$root/dev/kvm"
ln -s "$PWD/kept" "$root/sys"
ln -s "$PWD/kept/file" "$root/stasis"
ln -s "$PWD/kept/file" "$root/dev/kvm"
start again
wrong=
is file "$(cat kept/file)" kept
is owner "$(stat -c %u:%g kept/file)" 0:0
is sys "$(stat -c %F "$root/sys")" directory
is kvm "$(stat -c %F "$root/dev/kvm")" "character special file"
t_right err

t_begin "a VMM that removed its program and its pid file does not keep the next one from starting"
kill -KILL $pid
wait $pid
rm "$root/stasis" "$root/stasis.pid"
mkdir "$root/.pid"
start again
wrong=
is "pid file" "$(cat "$root/stasis.pid")" $pid
grep -q 'was left behind' err || wrong="$wrong no warning;"
t_right err
stop

t_begin "of two jailers for one jail one starts a VMM, and the other is refused"
prepare race
(jailed race -- --config-file vm.json >out1 2>&1 </dev/null) &
first=$!
(jailed race -- --config-file vm.json >out2 2>&1 </dev/null) &
second=$!
left=100
until [ "$(call GET /)" = 200 ] || [ $left -eq 0 ]; do left=$((left - 1)); usleep 100000; done
wrong=
is guests "$(cat out1 out2 | grep -c 'API server started')" 1
is refusals "$(cat out1 out2 | grep -c 'jailer: error: \(another jailer\|process [0-9]* runs in\)')" 1
pid=$(cat "$root/stasis.pid")
cat out1 out2 >err
t_right err
stop
wait $first $second

# --- launchers ------------------------------------------------------------------------------------

# ready: polls every 10 ms as the Go SDK does: the socket's name, then a request.
ready() {
	left=300
	until [ -S "$socket" ] && [ "$(call GET /machine-config)" = 200 ]; do
		[ $left -gt 0 ] || return 1
		left=$((left - 1))
		usleep 10000
	done
}

t_begin "the Go SDK's sequence: poll the socket, link files into the jail, configure, start"
at sdk-1
cp "$T/spin.img" base/kernel.img
mkfifo -m 700 base/log.fifo
jailer --id sdk-1 --uid 1234 --gid 1235 --exec-file "$vmm" --cgroup cpu.weight=100 --cgroup-version 2 \
	--chroot-base-dir "$base" --netns "$PWD/netns" -- --no-seccomp --api-sock /run/firecracker.socket \
	>out 2>err </dev/null &
pid=$!
wrong=
ready || wrong="$wrong the socket does not answer;"
ln base/kernel.img "$root/kernel.img"
ln base/log.fifo "$root/log.fifo"
chown 1234:1235 "$root/log.fifo"
exec 8<>base/log.fifo
is logger "$(call PUT /logger '{"log_path":"log.fifo","level":"Info","show_level":true,"show_log_origin":false}')" 204
is machine "$(call PUT /machine-config '{"vcpu_count":1,"mem_size_mib":32}')" 204
is boot "$(call PUT /boot-source '{"kernel_image_path":"kernel.img","boot_args":"console=ttyS0"}')" 204
is start "$(call PUT /actions '{"action_type":"InstanceStart"}')" 204
wait_for 30 out '^spinning' || wrong="$wrong the guest does not run;"
is net "$(ns $pid net)" "$(ns $sleeper net)"
t_right err
stop
exec 8<&-
rmdir $cgroup2/stasis/sdk-1 $cgroup2/stasis
rm base/kernel.img base/log.fifo

# kata has the jail's root mounted on itself, binds files into it before the start and disks after it.
t_begin "kata's sequence: a prepared root, --daemonize, the pid file, hot-plugged disks"
mkdir -m 755 shared
mount --bind shared shared
mount --make-shared shared
base=$PWD/shared prepare kata
mkdir -m 750 "$root/run"
mount --bind "$root" "$root"
mount -o remount,bind,nosuid,relatime "$root"
mount --make-shared "$root"
head -c 65536 /dev/zero >disk
: >"$root/kernel" && mount --bind "$T/spin.img" "$root/kernel"
: >"$root/drive_1"
cat >"$root/fcConfig.json" <<'END'
{"boot-source": {"kernel_image_path": "/kernel", "boot_args": "console=ttyS0"},
 "drives": [{"drive_id": "drive_1", "path_on_host": "/drive_1", "is_read_only": false, "is_root_device": false}],
 "machine-config": {"vcpu_count": 1, "mem_size_mib": 32}}
END
jailer --id kata --exec-file "$vmm" --uid 0 --gid 0 --chroot-base-dir "$PWD/shared" --daemonize \
	--netns "$PWD/netns" -- --config-file /fcConfig.json >out 2>err </dev/null &
left=500
until [ -s "$root/stasis.pid" ] || [ $left -eq 0 ]; do left=$((left - 1)); usleep 10000; done
pid=$(cat "$root/stasis.pid")
wrong=
until [ "$(call GET /)" = 200 ] && grep -q '"state":"Running"' answer; do
	[ $left -gt 0 ] || { wrong="$wrong it does not run;"; break; }
	left=$((left - 1))
	usleep 10000
done
is net "$(ns "$pid" net)" "$(ns $sleeper net)"
mount --bind disk "$root/drive_1"
is patch "$(call PATCH /drives/drive_1 '{"drive_id":"drive_1","path_on_host":"/drive_1"}')" 204
grep -q ' /drive_1 ' "/proc/$pid/mountinfo" || wrong="$wrong the disk is not in the jail;"
kill -TERM "$pid"
left=100
while [ -d "/proc/$pid" ] && [ $left -gt 0 ]; do left=$((left - 1)); usleep 50000; done
[ $left -gt 0 ] || wrong="$wrong SIGTERM does not end it;"
cat answer >>err
t_right err
umount "$root/drive_1" "$root/kernel" "$root" && rm -rf "$PWD/shared/stasis"
umount shared
base=$PWD/base

t_begin "in a jail that Firecracker's jailer laid out stasis finds all that it needs"
prepare theirs
mkdir -p "$root/dev/net" "$root/run" "$root/sys/devices/system/cpu/cpu0"
cp -r /sys/devices/system/cpu/cpu0/cache "$root/sys/devices/system/cpu/cpu0/" 2>/dev/null
cp "$vmm" "$root/firecracker"
mknod "$root/dev/kvm" c 10 232
mknod "$root/dev/net/tun" c 10 200
mknod "$root/dev/urandom" c 1 9
chown 1234 "$root" "$root/dev" "$root/dev/net" "$root/run" "$root/dev/kvm" "$root/dev/net/tun" "$root/dev/urandom"
chmod 700 "$root" "$root/dev" "$root/dev/net" "$root/run"
unshare -m jail "$root" 1234 /firecracker --id theirs --start-time-us 1 --start-time-cpu-us 1 \
	--parent-cpu-time-us 0 --config-file vm.json >out 2>err </dev/null &
pid=$!
wait_for 30 out '^spinning'
if [ "$(call GET /)" = 200 ] && grep -q '"state":"Running"' answer && [ ! -s err ] &&
	[ "$(call PUT /actions '{"action_type":"FlushMetrics"}')" = 204 ]; then t_ok; else t_fail "it does not run" err; fi
stop

kill $sleeper
umount netns
t_done
