# SPDX-License-Identifier: Apache-2.0
# add: out/stasis out/guests
# guest: linux
#
# The command line, configuration file, log and exit statuses that launchers of Firecracker know.
. "$T/lib.sh"

# config KERNEL [MEMORY [CPUS [MORE]]]: writes vm.json; $initrd, if set, is in it.
config() {
	ramdisk= more=
	[ -z "$initrd" ] || ramdisk=", \"initrd_path\": \"$initrd\""
	[ -z "$4" ] || more=", $4"
	cat >vm.json <<-END
		{
		  "boot-source": {
		    "boot_args": "console=ttyS0 quiet panic=-1 guest.boottime"$ramdisk,
		    "kernel_image_path": "$1"
		  },
		  "drives": [],
		  "machine-config": {"vcpu_count": ${3:-1}, "mem_size_mib": ${2:-64}, "smt": false}$more
		}
	END
}

t_begin "--version begins with Firecracker's line"
stasis --version >out 2>err
status=$?
if [ $status -eq 0 ] && head -n 1 out | grep -qx 'Firecracker v[0-9]*\.[0-9]*\.[0-9]*' &&
	grep -q 'not Firecracker' out && [ ! -s err ]; then
	t_ok
else
	t_fail "status $status" out
fi

t_begin "--help lists the options launchers use"
stasis --help >out 2>err
status=$?
missing=
for option in config-file no-api id boot-timer log-path level show-level show-log-origin version; do
	grep -q "^  --$option\\b" out || missing="$missing --$option"
done
if [ $status -eq 0 ] && [ -z "$missing" ] && [ ! -s err ]; then t_ok; else
	t_fail "status $status, missing:$missing" out
fi

t_begin "a configuration and metadata may come through a pipe, as from a shell's <(...)"
config "$T/guests/off.img" 32
mkfifo pipe meta
status=
for from in - /dev/stdin /proc/self/fd/0 pipe; do
	[ $from != pipe ] || timeout 20 sh -c 'cat vm.json >pipe' &
	timeout 20 sh -c 'echo "{\"a\": 1}" >meta' &
	timeout -s KILL 30 stasis --no-api --config-file $from --metadata meta <vm.json >out 2>&1
	status="$status $?"
	wait
done
cat vm.json | timeout -s KILL 30 stasis --no-api --config-file - >>out 2>&1
status="$status $?"
if [ "$status" = " 0 0 0 0 0" ]; then t_ok; else t_fail "status$status" out; fi

# --- Linux from a configuration file --------------------------------------------------------------

initrd=$T/linux.cpio
config "$T/kernel-6.12" 256 2
initrd=
run_guest 120 out stasis --no-api --config-file vm.json --id abc-1 --boot-timer --log-path log \
	--level Info --start-time-us 1 --start-time-cpu-us 1 --parent-cpu-time-us 1

t_begin "Linux boots from a configuration file"
if ! ended_well; then
	t_fail "$problem" out
elif [ "$(said cpus)" != 2 ]; then
	t_fail "it saw $(said cpus) vCPUs" out
else
	t_ok
fi

time='[0-9]\{4\}-[0-9][0-9]-[0-9][0-9]T[0-9][0-9]:[0-9][0-9]:[0-9][0-9]\.[0-9]\{9\}'

t_begin "the log's lines have Firecracker's form"
if grep -v "^$time \\[abc-1:[^]]*\\] [^ ].*\$" log >odd || [ ! -s log ]; then
	t_fail "not all" log
else
	t_ok
fi

t_begin "the log tells the beginning"
t_check grep -q "^$time \\[abc-1:[a-z]*\\] Running Firecracker v[0-9.]*" log

t_begin "the log tells the end"
t_check grep -q '\] Firecracker exiting successfully\. exit_code=0$' log

t_begin "the log tells the guest's boot time, once"
if [ "$(grep -c 'Guest-boot-time = *[0-9]* us [0-9]* ms, *[0-9]* CPU us [0-9]* CPU ms$' log)" = 1 ] &&
	grep -q ':fc_vcpu [01]\] Guest-boot-time' log; then t_ok; else t_fail "it does not" log; fi

t_begin "the console has nothing of the log"
if grep -q 'Running Firecracker\|Guest-boot-time' out; then t_fail "it has" out; else t_ok; fi

# --- variants of the log --------------------------------------------------------------------------

# quick [OPTION...]: runs vm.json, which ends at once.
quick() { run_guest 30 out stasis --no-api --config-file vm.json "$@"; }

t_begin "the log goes to standard output and shows level and origin when asked"
config "$T/guests/off.img"
quick --show-level --show-log-origin
if [ $run_status -eq 0 ] &&
	grep -q "^$time \\[anonymous-instance:[a-z]*:INFO:[a-z_./]*\\.c:[0-9]*\\] Running" out; then
	t_ok
else
	t_fail "status $run_status" out
fi

t_begin "the file's logger section counts"
config "$T/guests/off.img" 64 1 '"logger": {"log_path": "file.log", "level": "Warning"}'
quick
if [ $run_status -eq 0 ] && [ -f file.log ] && [ ! -s file.log ] && [ "$(wc -l <out)" = 1 ] &&
	grep -q '\] Running Firecracker v' out; then t_ok; else
	t_fail "status $run_status" out
fi

t_begin "options count more than the file's logger section"
quick --level Info --log-path other.log
if [ $run_status -eq 0 ] && grep -q Running other.log && [ ! -s file.log ]; then t_ok; else
	t_fail "status $run_status" out
fi

t_begin "the log's file is for its owner only"
if [ "$(stat -c %a other.log)" = 600 ]; then t_ok; else t_fail "$(stat -c %a other.log)"; fi

t_begin "without console= there is no serial port, and the guest runs"
sed -i 's/console=ttyS0 //' vm.json
quick --level Off
if [ $run_status -eq 0 ] && [ ! -s out ]; then t_ok; else t_fail "status $run_status" out; fi

t_begin "a guest that resets ends with success"
config "$T/guests/reset.img"
quick
if [ $run_status -eq 0 ] && grep -q 'asked for a reset' out; then t_ok; else
	t_fail "status $run_status" out
fi

# --- what is refused ------------------------------------------------------------------------------

# refused NAME STATUS WORDS [OPTION...]: exactly one line that has WORDS in it.
refused() {
	t_begin "$1"
	wanted=$2 says=$3
	shift 3
	timeout -s KILL 20 stasis "$@" >out 2>&1 </dev/null
	status=$?
	grep -v '\] Running Firecracker v' out >said
	if [ $status -eq "$wanted" ] && [ "$(wc -l <said)" = 1 ] && grep -qF -- "$says" said; then
		t_ok
	else
		t_fail "status $status instead of $wanted, or not one line with '$says'" out
	fi
}
config "$T/guests/off.img"
refused "an unknown option" 153 "--config-fil" --no-api --config-fil vm.json
refused "an option given twice" 153 "--id is given twice" --id a --id b
refused "an id with odd letters" 153 '--id "a/b"' --id a/b
refused "an id that is too long" 153 "--id" --id "$(head -c 65 /dev/zero | tr '\0' x)"
refused "no configuration" 153 "--config-file FILE" --no-api
refused "two answers about seccomp" 153 "exclude each other" --no-seccomp --seccomp-filter f
refused "a descriptor that is none" 153 "--api-fd" --api-fd 99999999999
refused "a size that is no number" 153 '"5k" is not a number' --http-api-max-payload-size 5k
t_begin "--enable-pci boots, and one line says that devices are on virtio-mmio"
quick --enable-pci
if [ $run_status -eq 0 ] && [ "$(grep -c 'enable-pci.*virtio-mmio' out)" = 1 ]; then t_ok; else
	t_fail "status $run_status" out
fi

t_begin "an unknown section of the file is ignored with a line that names it"
config "$T/guests/off.img" 64 1 '"machine-confg": {}'
quick
if [ $run_status -eq 0 ] && grep -q 'unknown field `machine-confg`' out; then t_ok; else
	t_fail "status $run_status" out
fi
config "$T/guests/off.img"
echo '{' >metadata.json
refused "metadata that is not valid JSON" 152 "metadata metadata.json" \
	--no-api --config-file vm.json --metadata metadata.json

bad() { refused "configuration: $1" 152 "$2" --no-api --config-file "${3:-vm.json}"; }
bad "a file that is missing" "missing.json" missing.json
bad "a folder" "Is a directory" .
printf '{"boot-source": {' >vm.json
bad "JSON that is cut short" vm.json
: >vm.json
bad "an empty file" vm.json
config "$T/guests/off.img" 64 0
bad "no vCPU" "number of vCPUs"
config "$T/guests/off.img" 64 33
bad "33 vCPUs" "number of vCPUs"
config "$T/guests/off.img" 31
bad "31 MiB" "31 MiB"
config "$T/guests/off.img" '"64"'
bad "memory as text" "mem_size_mib"
config "$T/guests/off.img" -1
bad "negative memory" "mem_size_mib"
config "$T/guests/off.img" 64 1 '"entropy": {"machine-confg": {}}'
bad "an unknown member of a section" "machine-confg"
config "$T/guests/off.img" 64 1 '"vsock": {}'
bad "a device that is not built" "vsock"
config "$T/guests/off.img"
sed -i 's/"smt": false/"smt": true/' vm.json
bad "SMT" "multithreading"
config "$T/guests/off.img"
sed -i 's/"drives": \[\],//' vm.json
bad "no drives" "drives"
config "$T/guests/off.img"
sed -i 's/guest.boottime",/guest.boottime"/; /kernel_image_path/d' vm.json
bad "no kernel" "kernel_image_path"
config "$T/guests/off.img" 64 1 '"logger": {"level": "Loud"}'
bad "a log level that is none" "Loud"

t_begin "a kernel that is missing is an error of running"
config "$PWD/no-kernel"
quick --level Error
if [ $run_status -ne 0 ] && [ "$(wc -l <out)" = 1 ] && grep -q "no-kernel" out; then t_ok; else
	t_fail "status $run_status" out
fi

t_done
