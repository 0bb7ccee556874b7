# SPDX-License-Identifier: Apache-2.0
#
# What the integration suites share: sourced first by each (. "$T/lib.sh"). They are POSIX sh, run
# by busybox on the host, emulated or real, in an empty folder of their own. $T holds lib.sh and
# the files the suite asks for in its head comment:
#   # add: SRC[:DEST]...   files of the source or build tree, as in tools/rig --add
#   # guest: NAME...       Linux guests: tests/integration/guests/NAME becomes $T/NAME.cpio; its own
#                          head comment may say `# kernel: 6.12` ($T/kernel-6.12), `# modules: ...`
#                          and `# add: ...` (programs for its /bin)
#   # image: NAME...       folders that tests/integration/images/NAME makes: $T/NAME, for stasis run --image
#                          or for chroot
#   # modules: NAME...     kernel modules to load on the host
#   # seconds: N           that it may take, if 300 are not enough
# $RIG_HOST is the `uname -r` an emulated host should have and $RIG_CPU its processor; on a real
# host both are empty.
#
# A test is t_begin NAME, then one of t_ok, t_fail REASON, t_skip REASON. A suite ends with t_done.

t_count=0 t_failures=0 t_name=

t_begin() {
	[ -z "$t_name" ] || t_fail "the suite went on without a result"
	t_name=$1
}

t_ok() {
	t_result "ok" ""
}

# t_fail REASON [FILE]: shows the end of FILE too.
t_fail() {
	t_failures=$((t_failures + 1))
	t_result "not ok" ""
	echo "# $1"
	[ -z "$2" ] || t_show "$2"
}

t_skip() {
	t_result "ok" " # SKIP $1"
}

t_result() {
	t_count=$((t_count + 1))
	echo "$1 $t_count - ${t_name:-unnamed}$2"
	t_name=
}

# t_check COMMAND...: passes if the command succeeds.
t_check() {
	if "$@" >t_check.out 2>&1; then t_ok; else t_fail "failed ($?): $*" t_check.out; fi
}

# t_show FILE: the end of a file as comments, so that it is seen when the test failed.
t_show() {
	tail -n 40 "$1" | tr -cd '\t\n -~' | awk '{ print "# | " $0 }'
}

t_done() {
	[ -z "$t_name" ] || t_fail "the suite ended without a result"
	echo "1..$t_count"
	[ "$t_failures" -eq 0 ]
	exit
}

# run_guest TIMEOUT OUTFILE COMMAND...: runs a command, a VMM mostly, with its output in OUTFILE.
# Returns its status, or 124 if it had to be ended after TIMEOUT seconds.
run_guest() {
	run_timeout=$1 run_out=$2
	shift 2
	timeout -s KILL "$run_timeout" "$@" >"$run_out" 2>&1 </dev/null
	run_status=$?
	[ $run_status -ne 137 ] || run_status=124
	return $run_status
}

# wait_for SECONDS FILE PATTERN: until the file has a line like that.
wait_for() {
	wait_left=$(($1 * 10))
	until grep -aq "$3" "$2" 2>/dev/null; do
		[ $wait_left -gt 0 ] || return 1
		wait_left=$((wait_left - 1))
		usleep 100000
	done
}

# Whether guests here see the host's physical counter although KVM reports that it is offset: QEMU's
# max without EL3 takes SCR_EL3.ECVEn for 0 (Arm says 1), so CNTPOFF_EL2 does nothing, and the host's
# kernel uses that. It says so when it does. On its command line id_aa64mmfr0.ecv=0 keeps 7.3 from
# it; 6.12 does not know that.
ignores_offset() { [ "$RIG_CPU" = max ] && dmesg | grep -q 'Counter Virtualization (CNTPOFF)'; }

# --- Linux guests (of "# guest: linux") -------------------------------------------------------

# boot_linux WORDS [OPTION...]: runs one to its end, with WORDS on the kernel's command line. What
# it and stasis say is in `out`. $kernel and $initrd name others than the usual files.
boot_linux() {
	words=$1
	shift
	run_guest 120 out stasis run --kernel "${kernel:-$T/kernel-6.12}" \
		--initrd "${initrd:-$T/linux.cpio}" --cmdline "console=ttyS0 panic=-1 $words" "$@"
}

# Whether it booted to its init, powered off and ended stasis with success. If not: $problem.
ended_well() {
	problem=
	if [ "$run_status" -ne 0 ]; then
		problem="status $run_status"
	elif [ -z "$(said kernel)" ]; then
		problem="the guest's init said nothing"
	elif ! grep -q "reboot: Power down" out; then
		problem="the guest did not power off"
	fi
	[ -z "$problem" ]
}

# --- Linux guests that are told what to do (of "# guest: devices") -----------------------------

# start_guest OPTION...: in the background, its console in `out`, its API at ./s. Words before
# "stasis" are in $before. Ends with end_guest.
start_guest() {
	rm -f console s out # the last guest's "ready" is not this one's
	mkfifo console
	exec 9<>console
	$before stasis run --kernel "$T/kernel-6.12" --initrd "${initrd:-$T/devices.cpio}" --api-sock "$PWD/s" \
		--cmdline "console=ttyS0 quiet panic=-1 cma=0" "$@" >out 2>&1 <console 9<&- &
	guest_pid=$!
	wait_for 60 out "guest: ready"
}

# tell SECONDS KEY COMMAND: the guest runs the command and says KEY=its output's last line.
tell() {
	echo "echo \"guest: $2=\$( ($(echo "$3" | tr '\n' ' ')) 2>&1 | tail -n 1)\"" >&9
	wait_for "$1" out "^guest: $2="
}

# Powers it off; whether all went well.
end_guest() {
	echo "poweroff -f" >&9
	guest_left=300
	while kill -0 $guest_pid 2>/dev/null && [ $guest_left -gt 0 ]; do
		guest_left=$((guest_left - 1))
		usleep 100000
	done
	[ $guest_left -gt 0 ] || kill -KILL $guest_pid
	wait $guest_pid
	guest_status=$?
	exec 9>&-
	[ $guest_status -eq 0 ]
}

# said KEY: what the guest's init said.
said() {
	tr -d '\r' <out | sed -n "s/^guest: $1=//p"
}

# --- Linux guests that know words (of "# guest: clocks, long ...") -----------------------------------

# begin_words KERNEL INITRD [OPTION...]: in the background, its console in `out`, its API at ./s. Words
# before "stasis" are in $before. Ends with end_words.
begin_words() {
	rm -f s typed out # what the last guest said is not of this one
	mkfifo typed
	words_kernel=$T/kernel-$1 words_initrd=$T/$2.cpio
	shift 2
	$before stasis run --api-sock "$PWD/s" --kernel "$words_kernel" --initrd "$words_initrd" \
		--cmdline "console=ttyS0 quiet panic=-1" "$@" <typed >out 2>err &
	vmm=$!
	exec 3>typed
	wait_for 90 out '^guest: ready'
}

end_words() {
	timeout 20 stasis ctl --socket "$PWD/s" stop >ctl.out 2>&1
	exec 3>&-
	wait $vmm
}

# tell_word WORD: and wait until it is done.
tell_word() {
	word_before=$(grep -c "^guest: done $1" out)
	echo "$1" >&3
	word_left=300
	until [ "$(grep -c "^guest: done $1" out)" -gt "$word_before" ] || [ $word_left -eq 0 ]; do
		usleep 100000
		word_left=$((word_left - 1))
	done
}

# latest KEY: what the guest said of it last.
latest() { said "$1" | tail -n 1; }
