# SPDX-License-Identifier: Apache-2.0
# add: out/stasis out/guests/spin.img out/guests/clock.img out/tests/jail out/tests/inject
#
# What a process that runs a VM has given up: privileges, core dumps, descriptors, and with Landlock
# files, TCP and signals. `inject` has it try them, as a guest that took it over would. Without
# seccomp filters, which would end the process at once (seccomp.sh).
. "$T/lib.sh"
chmod 666 /dev/kvm
chmod 755 .
mkdir -m 777 open
: >secret
chmod 644 secret

# start OPTION...: as an ordinary user, in the background; sets $pid.
start() {
	: >out
	# shellcheck disable=SC2086
	$as stasis "${command:-run}" $kernel --no-seccomp "$@" >out 2>err </dev/null 7</dev/null &
	pid=$!
	wait_for 30 "${says:-out}" "$ready"
}
as="jail / 12345" ready=^spinning
kernel="--kernel $T/spin.img --memory 32M --cmdline console=ttyS0"
stop() {
	kill -TERM $pid
	wait $pid
	[ $? -eq 143 ]
}
field() { sed -n "s/^$1:[^0-9a-f]*//p" "/proc/$pid/status"; }
tries() { inject $pid "$@" 2>&1; }
EACCES=13 EPERM=1 ENOENT=2 ECONNREFUSED=111 EROFS=30
abi=0
grep -q landlock /sys/kernel/security/lsm 2>/dev/null || mount -t securityfs none /sys/kernel/security
if grep -q landlock /sys/kernel/security/lsm; then
	case $RIG_HOST in 6.1.*) abi=2 ;; *) abi=6 ;; esac
fi

start --vsock "3,$PWD/open/v" --log-level debug
t_begin "it can gain no privileges, and dumps no core"
if [ "$(field NoNewPrivs)" = 1 ] && grep -q '^Max core file size *1 *1 ' "/proc/$pid/limits"; then t_ok; else
	t_fail "NoNewPrivs $(field NoNewPrivs)" "/proc/$pid/limits"
fi

t_begin "all of its descriptors but the standard ones are close-on-exec"
n=0 wrong=
for info in /proc/$pid/fdinfo/*; do
	fd=${info##*/}
	flags=$(sed -n 's/^flags:[^0-9]*//p' "$info")
	n=$((n + 1))
	[ "$fd" -le 2 ] || [ $((0$flags & 02000000)) -ne 0 ] || wrong="$wrong $fd"
done
if [ -z "$wrong" ] && [ $n -gt 10 ]; then t_ok; else t_fail "of $n:$wrong"; fi

t_begin "its threads are confined, the vCPU's too, and no file can be opened"
if [ $abi -eq 0 ]; then t_skip "this kernel has no Landlock"; else
	said="$(tries open "$PWD/secret") $(tries open /proc/self/status) $(tries open "$PWD/open/v") $(tries open /none)"
	for thread in /proc/$pid/task/*; do said="$said $(inject "${thread##*/}" open /etc 2>&1)"; done
	# A vCPU that spins in the guest waits in KVM_RUN, so it can be asked, too.
	if [ "$said" = "$EACCES $EACCES $EACCES $ENOENT $EACCES $EACCES" ] && ! grep -q Landlock err; then t_ok; else
		t_fail "$said" err
	fi
fi

t_begin "TCP and other processes are out of reach"
if [ $abi -lt 6 ]; then t_skip "this kernel's Landlock restricts files alone"; else
	sleep 60 &
	other=$!
	# The same user, which could be signalled.
	jail / 12345 sleep 60 &
	own=$!
	usleep 100000
	said="$(tries tcp 9) $(tries kill $own) $(tries kill $pid)"
	kill $other $own
	if [ "$said" = "$EACCES $EPERM 0" ]; then t_ok; else t_fail "$said"; fi
fi

t_begin "it ends as ever, and its socket is gone"
if stop && [ ! -e open/v ]; then t_ok; else t_fail "status $?" err; fi

t_begin "with --no-sandbox it can do what its user can"
start --no-sandbox
said="$(tries open "$PWD/secret") $(tries tcp 9)"
if [ "$said" = "0 $ECONNREFUSED" ] && [ "$(field NoNewPrivs)" = 1 ] &&
	! grep -q '^Max core file size *1 *1 ' "/proc/$pid/limits" && stop; then t_ok; else
	t_fail "$said" err
fi

t_begin "no core is written, and no program is run for it, where both would be"
mkdir -m 777 cores
cat >dumper <<END
#!/bin/sh
cat >/dev/null
echo "\$1" >>$PWD/dumped
END
chmod 755 dumper
pattern=$(cat /proc/sys/kernel/core_pattern)
ulimit -c unlimited
said=
for way in "$PWD/cores/core.%p" "|$PWD/dumper %p"; do
	echo "$way" >/proc/sys/kernel/core_pattern
	for option in "" --no-sandbox; do
		start $option
		kill -ABRT $pid
		wait $pid 2>/dev/null
		usleep 500000
		said="$said $(find cores -type f | wc -l)/$(cat dumped 2>/dev/null | wc -l)"
	done
done
echo "$pattern" >/proc/sys/kernel/core_pattern
rm -rf cores
if [ "$said" = " 0/0 1/0 1/0 1/1" ]; then t_ok; else t_fail "$said" err; fi

# --- with an API ----------------------------------------------------------------------------------

ctl() { timeout 60 stasis ctl --socket "$PWD/open/s" "$@" >said 2>&1 </dev/null; }
truncate -s 1M open/disk open/other secret.img
chmod 666 open/disk open/other secret.img
mkdir -m 777 open/shots closed

t_begin "with an API files stay open to its client, but not TCP"
start --api-sock "$PWD/open/s"
said="$(tries open "$PWD/secret")"
[ $abi -lt 6 ] || said="$said $(tries tcp 9)"
case $said in 0 | "0 $EACCES") stop ;; *) false ;; esac
if [ $? -eq 0 ] && [ ! -e open/s ]; then t_ok; else t_fail "$said" err; fi

t_begin "--allow-path: a drive's file can be changed to one that is allowed, and to no other"
start --api-sock "$PWD/open/s" --disk "$PWD/open/disk" --allow-path "$PWD/open/other" --allow-path "$PWD/open/shots" \
	--allow-path "$PWD/secret:ro"
ctl patch /drives/disk0 "{\"drive_id\": \"disk0\", \"path_on_host\": \"$PWD/open/other\"}"
said=$?
ctl patch /drives/disk0 "{\"drive_id\": \"disk0\", \"path_on_host\": \"$PWD/secret.img\"}"
said="$said $? $(grep -c 'Permission denied' said) $(tries open "$PWD/secret")"
if [ $abi -eq 0 ]; then t_skip "this kernel has no Landlock"; elif [ "$said" = "0 1 1 0" ]; then t_ok; else t_fail "$said" said; fi

t_begin "and a snapshot is written to a folder that is allowed, and to no other"
if ! stasis doctor | grep -q "^ok  *counter offset"; then t_skip "this host takes no snapshots"; else
	ctl pause
	create() { ctl put /snapshot/create "{\"snapshot_path\": \"$1/state\", \"mem_file_path\": \"$1/memory\"}"; }
	create "$PWD/open/shots"
	said=$?
	create "$PWD/closed"
	said="$said $?"
	if [ "$said" = "0 $((abi > 0))" ] && grep -q "Permission denied" said; then t_ok; else t_fail "$said" said; fi
fi
t_begin "it ends as ever"
if stop && [ ! -e open/s ]; then t_ok; else t_fail "status" err; fi

t_begin "a path that does not exist is said, and the rest applies"
start --api-sock "$PWD/open/s" --allow-path "$PWD/none"
said="$(tries open "$PWD/secret")"
if [ $abi -gt 0 ] && { [ "$said" != $EACCES ] || ! grep -q "allow-path $PWD/none: No such file" err; }; then
	t_fail "$said" err
else t_ok; fi
stop

# --- as an ordinary user: what a smaller process must not lose -------------------------------------

if stasis doctor | grep -q "^ok  *counter offset"; then
	t_begin "snapshots still find by themselves what has changed"
	kernel="--kernel $T/clock.img --memory 256M --cmdline console=ttyS0" ready="^watching with"
	start --api-sock "$PWD/open/s"
	ctl pause
	create "$PWD/open/shots"
	said=$?
	stop
	kernel="$PWD/open/shots" command=restore says=err ready="guest time goes on"
	start --api-sock "$PWD/open/s" --log-level debug
	ctl pause
	ctl put /snapshot/create "{\"snapshot_path\": \"$PWD/open/d\", \"mem_file_path\": \"$PWD/open/dm\", \"snapshot_type\": \"Diff\"}"
	said="$said $? $(du -k open/dm | cut -f 1)"
	if [ "${said% *}" = "0 0" ] && [ "${said##* }" -lt 20000 ] && ! grep -qi "compar" err; then t_ok; else t_fail "$said" err; fi
	stop

	t_begin "a working set is recorded without an API"
	timeout -s KILL 60 $as stasis restore "$PWD/open/shots" --record-working-set >out 2>err <<END &
	q
END
	wait $!
	said=$?
	if [ -s open/shots/memory.ws ]; then t_ok; else t_fail "status $said" err; fi
	kernel="--kernel $T/spin.img --memory 32M --cmdline console=ttyS0" command=run says=out ready=^spinning
fi

# --- namespaces --------------------------------------------------------------------------------------

t_begin "--sandbox: no network, no capabilities, and the same end"
start --sandbox --api-sock "$PWD/open/s"
said="$(field CapEff) $(field CapPrm)"
if [ "$(readlink /proc/$pid/ns/net)" != "$(readlink /proc/self/ns/net)" ] &&
	[ "$(readlink /proc/$pid/ns/user)" != "$(readlink /proc/self/ns/user)" ] &&
	[ "$said" = "0000000000000000 0000000000000000" ] && ctl status && grep -q Running said; then
	if stop && [ ! -e open/s ]; then t_ok; else t_fail "its end" err; fi
else
	t_fail "$said" err
fi

t_begin "where user namespaces are forbidden, it says so and goes on"
old=$(cat /proc/sys/user/max_user_namespaces)
echo 0 >/proc/sys/user/max_user_namespaces
start --sandbox --log-level info
if [ "$(grep -c "does not give a user namespace" err)" = 1 ] && stop; then t_ok; else t_fail "it does not" err; fi
echo "$old" >/proc/sys/user/max_user_namespaces

t_done
