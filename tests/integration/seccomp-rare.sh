# SPDX-License-Identifier: Apache-2.0
# add: out/stasis out/guests/off.img out/guests/spin.img out/guests/clock.img out/tests/pager out/tests/label
# add: out/tests/sink out/tests/connected out/tests/pty out/tests/inject
# modules: loop
#
# What filters have to allow, but other suites do not do: so that each of their entries is used.
. "$T/lib.sh"

# serve OPTION...: a process that waits for requests.
serve() {
	rm -f s out
	stasis --api-sock "$PWD/s" --level Error "$@" >out 2>&1 </dev/null &
	pid=$!
	serve_left=200
	until [ -S s ] || [ $serve_left -eq 0 ]; do
		usleep 50000
		serve_left=$((serve_left - 1))
	done
}
ctl() { timeout 20 stasis ctl --socket "$PWD/s" "$@" >said 2>&1; }
# begin MACHINE: of a guest that goes round in a loop.
begin() {
	ctl put /boot-source "{\"kernel_image_path\": \"$T/spin.img\", \"boot_args\": \"console=ttyS0\"}" &&
		ctl put /machine-config "{\"vcpu_count\": 1, \"mem_size_mib\": 32$1}" &&
		ctl put /actions '{"action_type": "InstanceStart"}' && wait_for 30 out ^spinning
}
end() {
	kill $pid
	wait $pid
	[ $? -eq 143 ]
}
verdict() { if [ "$1" -eq 0 ]; then t_ok; else t_fail "it did not" out; t_show said; fi; }

t_begin "by requests: a sandbox, a path that is allowed, stalls that are frozen"
mkdir open
serve --sandbox --allow-path "$PWD/open"
begin ', "clock": {"on_stop": "frozen"}' && end
verdict $?

t_begin "a drive becomes a block device"
truncate -s 1M disk.img
loop=$(losetup -f) && losetup "$loop" disk.img
serve
ctl put /drives/a "{\"drive_id\": \"a\", \"path_on_host\": \"$PWD/disk.img\", \"is_root_device\": false, \"is_read_only\": true}" &&
	begin && ctl patch /drives/a "{\"drive_id\": \"a\", \"path_on_host\": \"$loop\"}" && end
verdict $?
losetup -d "$loop"

t_begin "a snapshot replaces files with attributes, in a folder where only owners may"
mkdir -m 1777 shot
serve
begin && ctl patch /vm '{"state": "Paused"}' &&
	ctl put /snapshot/create "{\"snapshot_path\": \"$PWD/shot/state\", \"mem_file_path\": \"$PWD/shot/memory\"}" &&
	"$T/label" "$PWD/shot/state" trusted.label some && "$T/label" "$PWD/shot/memory" trusted.label some &&
	ctl put /snapshot/create "{\"snapshot_path\": \"$PWD/shot/state\", \"mem_file_path\": \"$PWD/shot/memory\"}" &&
	[ "$("$T/label" "$PWD/shot/state" trusted.label)" = some ] && end
verdict $?

t_begin "a page server, on a host that gives userfaultfd by the system call only"
[ ! -e /dev/userfaultfd ] || mount --bind /dev/null /dev/userfaultfd
"$T/pager" pages shot/memory >served 2>&1 &
server=$!
wait_for 10 served ^listening
serve
ctl put /snapshot/load "{\"snapshot_path\": \"$PWD/shot/state\", \"resume_vm\": true,
	\"mem_backend\": {\"backend_type\": \"Uffd\", \"backend_path\": \"$PWD/pages\"}}" && sleep 1 && end
verdict $?
kill $server 2>/dev/null
umount /dev/userfaultfd 2>/dev/null

t_begin "metadata that take more than what is copied"
serve --mmds-size-limit 1000000 --http-api-max-payload-size 1000000
head -c 300000 /dev/zero | tr '\0' x >many
printf '{"a": "%s"}' "$(cat many)" >many.json
stasis ctl --socket "$PWD/s" put /mmds - <many.json >said 2>&1 && begin &&
	sed 's/"a"/"b"/' many.json | stasis ctl --socket "$PWD/s" patch /mmds - >said 2>&1 && ctl get /mmds && end
verdict $?

t_begin "snapshots to sockets: one that listens, one that the process has; and to a pipe whose reader is late"
mkfifo pipe
"$T/sink" drain >/dev/null 2>&1 &
sink=$!
until [ -S drain ]; do usleep 20000; done
rm -f s
"$T/connected" drain stasis --api-sock "$PWD/s" --level Error >out 2>&1 </dev/null &
pid=$!
until [ -S s ]; do usleep 50000; done
begin && ctl patch /vm '{"state": "Paused"}' &&
	ctl put /snapshot/create "{\"snapshot_path\": \"$PWD/sent\", \"mem_file_path\": \"$PWD/drain\"}" &&
	ctl put /snapshot/create "{\"snapshot_path\": \"$PWD/sent\", \"mem_file_path\": \"/dev/fd/9\"}" &&
	{ (sleep 1 && cat pipe >/dev/null) & } &&
	ctl put /snapshot/create "{\"snapshot_path\": \"$PWD/sent\", \"mem_file_path\": \"$PWD/pipe\"}" && end
verdict $?
kill $sink

t_begin "a vCPU thread that crashes gives the terminal back"
cat >session.sh <<'END'
stty -a >before
sh -c 'echo $$ >vmm; exec stasis run --kernel "$T/spin.img" --memory 32M --cmdline console=ttyS0'
echo $? >status
stty -a >after
END
mkfifo keys
: >out
"$T/pty" sh ./session.sh >out <keys &
pid=$!
exec 3>keys
wait_for 30 out ^spinning
for task in "/proc/$(cat vmm)"/task/*; do
	[ "$(cat "$task/comm")" != "fc_vcpu 0" ] || "$T/inject" "${task##*/}" crash 0 >said 2>&1
done
wait $pid
exec 3>&-
if cmp -s before after && grep -q "intercepting signal 11" out && [ "$(cat status)" -gt 128 ]; then t_ok; else
	t_fail "status $(cat status)" out
	t_show said
fi

t_done
