# SPDX-License-Identifier: Apache-2.0
# add: out/stasis out/guests
#
# stasis ctl on a running VMM; tests/unit/ctl_test.c has it on servers that misbehave.
. "$T/lib.sh"

# ctl WORDS...: sets $status; what it says is in `said` and `complained`.
ctl() {
	timeout 20 stasis ctl --socket vm.sock "$@" >said 2>complained </dev/null
	status=$?
}

# gives STATUS WORDS COMMAND...: t_ok if the command ends so and has said that on either stream.
gives() {
	wanted=$1 says=$2
	shift 2
	"$@"
	if [ "$status" = "$wanted" ] && grep -qF -- "$says" said complained; then t_ok; else
		cat complained >>said
		t_fail "status $status instead of $wanted, or no '$says'" said
	fi
}

t_begin "without a VMM it names the socket, says what to do, and gives 2"
ctl status
if [ $status -eq 2 ] && [ ! -s said ] && grep -q 'vm.sock: .*--api-sock' complained; then t_ok; else
	t_fail "status $status" complained
fi

stasis --api-sock vm.sock --id ctl-1 >out 2>&1 </dev/null &
pid=$!
left=50
until [ -S vm.sock ] || [ $left -eq 0 ]; do
	usleep 100000
	left=$((left - 1))
done

t_begin "status tells of a VMM that has not started a guest"
gives 0 "state    Not started" ctl status
t_begin "status --json is what the API says"
ctl status --json
if [ $status -eq 0 ] && grep -q '^{"id":"ctl-1","state":"Not started".*}$' said; then t_ok; else
	t_fail "status $status" said
fi
t_begin "put takes JSON from the command line"
gives 0 "done" ctl put /machine-config '{"vcpu_count": 1, "mem_size_mib": 64}'
t_begin "put takes JSON from a file"
printf '{"kernel_image_path": "%s", "boot_args": "console=ttyS0"}' "$T/guests/tick.img" >boot.json
gives 0 "done" ctl put /boot-source @boot.json
t_begin "put takes JSON from standard input"
printf '{"level": "Info"}' | timeout 20 stasis ctl --socket vm.sock put /logger - >said 2>complained
status=$?
gives 0 "done" true
t_begin "patch changes some of it, and get shows it"
ctl patch /machine-config '{"mem_size_mib": 96}'
gives 0 '"mem_size_mib": 96' ctl get /machine-config
t_begin "get --json is one line"
ctl get /vm/config --json
if [ $status -eq 0 ] && [ "$(wc -l <said)" = 1 ]; then t_ok; else t_fail "status $status" said; fi
t_begin "a refusal is told and gives 1"
gives 1 "PATCH /vm was rejected (400): The requested operation is not supported before" ctl pause
t_begin "delete of what cannot be deleted is refused"
gives 1 "DELETE /drives/a was rejected" ctl delete /drives/a
t_begin "wrong words give 153 and do not reach the VMM"
gives 153 'unknown command "pauze"' ctl pauze

timeout 60 stasis ctl --socket vm.sock events >events 2>&1 </dev/null &
events=$!
wait_for 10 events 'state Not started'
ctl put /actions '{"action_type": "InstanceStart"}'
t_begin "the guest that was started ticks"
if wait_for 20 out '^tick 3'; then t_ok; else t_fail "it does not" out; fi

t_begin "pause stops it, status says so, resume lets it go on"
ctl pause
paused=$(cat said)
ctl status
state=$(sed -n 's/^state *//p' said)
before=$(grep -c ^tick out)
usleep 300000
still=$(grep -c ^tick out)
ctl resume
resumed=$(cat said)
usleep 500000
if [ "$paused $state $resumed" = "paused Paused resumed" ] && [ "$before" = "$still" ] &&
	[ "$(grep -c ^tick out)" -gt "$before" ]; then t_ok; else
	t_fail "$paused $state $resumed, $before, then $still ticks" out
fi
for clock in frozen continuous; do
	t_begin "resume --clock $clock"
	ctl pause
	gives 0 "resumed" ctl resume --clock $clock
done

t_begin "metrics are lines of names and numbers"
ctl metrics
if [ $status -eq 0 ] && grep -q '^patch_api_requests.vm_count  *[0-9][0-9]*$' said &&
	! grep -q ' 0$' said; then t_ok; else t_fail "status $status" said; fi
t_begin "metrics --json has those that are 0, too"
gives 0 ':0,' ctl metrics --json

t_begin "a VMM that is stopped makes it give up in time, with 2"
kill -STOP $pid
gives 2 "no answer within 1000 ms" ctl status --timeout 1
kill -CONT $pid

t_begin "Ctrl-C ends events like any program"
timeout 20 stasis ctl --socket vm.sock events >said 2>complained </dev/null &
reader=$!
wait_for 10 said 'state Running'
# A shell has SIGINT ignored in the background.
kill -TERM $reader
wait $reader
status=$?
if [ $status -eq 143 ] && [ ! -s complained ]; then t_ok; else t_fail "status $status" complained; fi

t_begin "events end with their reader, although nothing happens"
timeout 20 stasis ctl --socket vm.sock events 2>complained </dev/null | head -n 1 >said
if [ ! -s complained ] && grep -q 'state Running' said; then t_ok; else t_fail "it complained" complained; fi

t_begin "stop ends the VMM with status 0"
ctl stop
wait $pid
if [ $? -eq 0 ] && [ $status -eq 0 ]; then t_ok; else t_fail "status $status" out; fi

t_begin "events told all of it, and ended with the VMM"
wait $events
status=$?
# The VMM was stopped for a while above: whether that is told before its end is for the suite `stalls`.
told=$(sed '/  stalled /d; s/^[^ ]*  *//; s/  *(.*//' events | tr '\n' ',')
if [ $status -eq 0 ] && [ "$told" = \
	"state Not started,booted,paused,resumed,paused,resumed,paused,resumed,stopped," ] &&
	! grep -vq '^20[0-9][0-9]-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]\.[0-9]\{6\}Z  ' events
then t_ok; else t_fail "status $status: $told" events; fi

t_done
