# SPDX-License-Identifier: Apache-2.0
# add: out/stasis out/guests/clock.img
#
# Snapshots of somebody else: a strict load opens of the host's files those that it names and those
# in the snapshot's folder; and snapshots that do not describe their host.
. "$T/lib.sh"

if ! stasis doctor | grep -q "^ok  *counter offset"; then
	t_begin "strict loads"
	t_skip "this host takes no snapshots"
	t_done
fi

ctl() { timeout 60 stasis ctl --socket "$PWD/sock" "$@" >said 2>&1 </dev/null; }
# run COMMAND...: in the background, its output in `out`.
run() {
	rm -f typed sock out
	mkfifo typed
	timeout -s KILL 120 "$@" <>typed >out 2>&1 &
	pid=$!
}
end() {
	printf q >typed
	wait $pid
}
ready() {
	ready_left=300
	until [ -S sock ] || [ $ready_left -eq 0 ]; do
		ready_left=$((ready_left - 1))
		usleep 20000
	done
}
# api [OPTION...]: a process that will load a snapshot.
api() {
	run stasis --api-sock "$PWD/sock" --level Warning "$@"
	ready
}
# load SNAPSHOT MEMBERS
load() {
	ctl put /snapshot/load "{\"snapshot_path\": \"$PWD/$1/state\", \"resume_vm\": true,
		\"mem_backend\": {\"backend_type\": \"File\", \"backend_path\": \"$PWD/$1/memory\"}$2}"
}
# take FOLDER [OPTION...]: of a guest with a disk in FOLDER, and what $more says.
take() {
	folder=$1
	shift
	mkdir -p "$folder"
	truncate -s 1M "${disk:-$folder/disk}"
	run stasis run --kernel "$T/clock.img" --memory 32M --cmdline console=ttyS0 \
		--disk "${disk:-$PWD/$folder/disk}" $more --api-sock "$PWD/sock"
	wait_for 30 out "^watching with" && stasis snapshot --socket "$PWD/sock" "$folder" "$@" >said 2>&1 && end
}
works() {
	printf n >typed
	wait_for 20 out "^born" && end
}
verdict() {
	[ "$1" -ne 0 ] || { t_ok && return; }
	cat said out >explained 2>/dev/null
	t_fail "$2" explained
}

t_begin "snapshots are taken: a disk in the folder, one elsewhere, a vsock, no host details"
take near && disk=$PWD/elsewhere take far && more="--vsock 3,$PWD/v" take vsock && rm -f v &&
	take quiet --no-host-details
verdict $? "status $?"

t_begin "a disk in the folder is taken by a strict restore, by any name of the folder"
run stasis restore near --strict
works && run stasis restore "$PWD/near/" --strict && works
verdict $? "status $?"

t_begin "also from within it"
run sh -c "cd near && exec stasis restore . --strict --api-sock ../sock"
works && run sh -c "cd near && exec stasis restore ././ --strict --api-sock ../sock" && works
verdict $? "status $?"

# refused STATUS PATTERN...: with this status, all in `out`.
refused() {
	wait $pid
	refused_status=$?
	[ $refused_status -eq "$1" ] || return 1
	shift
	for pattern; do grep -q -e "$pattern" out || return 1; done
}

t_begin "a disk elsewhere is refused, with the way out"
run stasis restore far --strict
refused 1 "drive disk0: the snapshot names $PWD/elsewhere, which is not in its folder" "disk ID=FILE" "drive_overrides"
verdict $? "status $refused_status"

t_begin "unless the load names it, or is not strict"
run stasis restore far --strict --disk "disk0=$PWD/elsewhere"
works && run stasis restore far && works
verdict $? "status $?"

t_begin "a link to it is refused, and a second name of it"
cp -r near linked
rm linked/disk
ln -s "$PWD/elsewhere" linked/disk
mv near kept && mv linked near
run stasis restore near --strict
refused 1 "disk0: the snapshot names $PWD/near/disk, where a symbolic link" && rm near/disk && ln elsewhere near/disk && {
	run stasis restore near --strict
	refused 1 "second name (hard link)"
}
refused_last=$?
rm -r near
mv kept near
verdict $refused_last "status $refused_status"

t_begin "a vsock's path has to be given; none is made before"
run stasis restore vsock --strict
refused 1 "device vsock: the snapshot names $PWD/v" "vsock_override" && [ ! -e v ] && {
	run stasis restore vsock --strict --vsock "$PWD/w"
	works
}
verdict $? "status $refused_status"

t_begin "memory that is a symbolic link is refused"
mkdir links
cp near/state links && ln -s "$PWD/near/memory" links/memory
run stasis restore links --strict --disk "disk0=$PWD/near/disk"
refused 1 "links/memory is a symbolic link" && {
	run stasis restore links --disk "disk0=$PWD/near/disk"
	works
}
verdict $? "status $refused_status"

t_begin "the API: a load is strict if it says so"
api
load far ', "strict": true'
[ $? -eq 1 ] && grep -q "drive disk0: the snapshot names $PWD/elsewhere" said && refused 1 "drive disk0" && {
	api
	load near ', "strict": true' && works
}
verdict $? "status $refused_status"

for option in --strict "--parent-cpu-time-us 1"; do
	t_begin "$option makes loads strict that do not say"
	api $option
	load far
	[ $? -eq 1 ] && grep -q "is strict" said && refused 1 "is strict" && {
		api $option
		load far ', "strict": false' && works
	}
	verdict $? "status $refused_status"
done

t_begin "a snapshot without host details does not have the names of this host"
! grep -aq "$PWD\|$(uname -r)\|$(cat /proc/sys/kernel/random/boot_id)" quiet/state &&
	grep -aq "$PWD" near/state && grep -aq "$(cat /proc/sys/kernel/random/boot_id)" near/state
verdict $? "it has"

t_begin "and is restored with what the load gives, whether it is strict or not"
run stasis restore quiet
refused 1 "drive disk0: the snapshot does not say what it uses; give --disk ID=FILE" && {
	run stasis restore quiet --disk "disk0=$PWD/quiet/disk"
	works && run stasis restore quiet --strict --disk "disk0=$PWD/quiet/disk" && works
}
verdict $? "status $refused_status"

t_done
