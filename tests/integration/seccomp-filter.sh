# SPDX-License-Identifier: Apache-2.0
# add: out/stasis out/guests/off.img out/guests/spin.img out/tests/inject
#
# Filters from a file: compiled, installed, and refused if no microVM could run with them.
. "$T/lib.sh"

# refused NAME STATUS WORDS OPTION...: in one line, by both command lines; nothing is left.
refused() {
	name=$1 wanted=$2 says=$3
	shift 3
	for how in run launcher; do
		t_begin "$how: $name"
		case $how in
		run) timeout -s KILL 20 stasis run --kernel "$T/off.img" --api-sock "$PWD/s" "$@" >out 2>&1 </dev/null ;;
		launcher) timeout -s KILL 20 stasis --api-sock "$PWD/s" --metrics-path m "$@" >out 2>&1 </dev/null ;;
		esac
		status=$?
		if [ $status -eq "$wanted" ] && [ "$(wc -l <out)" = 1 ] && grep -qF -- "$says" out && [ ! -e s ] && [ ! -e m ]
		then t_ok; else t_fail "status $status instead of $wanted, or not one line with '$says'" out; fi
	done
}

start() {
	: >out
	stasis run --kernel "$T/spin.img" --memory 32M --cmdline console=ttyS0 --api-sock "$PWD/s" "$@" >out 2>err </dev/null &
	pid=$!
	wait_for 30 out ^spinning
}

t_begin "the built-in filters are written as JSON, and compiled"
if stasis seccomp show --filter >built-in.json && stasis seccomp compile --input built-in.json --output all.bin >said 2>&1 &&
	[ ! -s said ] && [ -s all.bin ]; then t_ok; else t_fail "status $?" said; fi

t_begin "a guest runs with them, and powers off"
t_check timeout 60 stasis run --kernel "$T/off.img" --memory 32M --seccomp-filter all.bin

t_begin "pause, resume and snapshot work with them, too"
start --seccomp-filter all.bin
ok=
timeout 20 stasis ctl --socket "$PWD/s" pause >said 2>&1 && timeout 20 stasis ctl --socket "$PWD/s" resume >>said 2>&1 &&
	timeout 60 stasis snapshot shot --socket "$PWD/s" >>said 2>&1 && ok=1
kill $pid
wait $pid
status=$?
if [ "$ok" ] && [ $status -eq 143 ] && [ ! -s err ]; then t_ok; else t_fail "status $status" err; t_show said; fi

t_begin "the file is used: what it lacks ends the process with 148 and one line"
sed '/"syscall": "connect"/d' built-in.json >x.json
stasis seccomp compile --input x.json --output x.bin 2>said
start --seccomp-filter x.bin
answer=$(inject "$pid" call 203 0 0 0 2>&1)
wait $pid
status=$?
if [ "$answer" = SIGSYS ] && [ $status -eq 148 ] && [ "$(grep -c "a main thread called connect(" err)" = 1 ] &&
	[ "$(wc -l <err)" = 1 ] && [ ! -e s ]; then t_ok; else t_fail "$answer, status $status" err; fi

t_begin "and what it allows beyond the built-in ones is done"
sed 's/^ "\(main\|setup\)": .*\[$/&\n   {"syscall": "getppid", "comment": "for this test"},/' built-in.json >x.json
stasis seccomp compile --input x.json --output x.bin 2>said
start --seccomp-filter x.bin
answer=$(inject "$pid" call 173 0 0 0 2>&1)
kill $pid
wait $pid
if [ "$answer" != SIGSYS ] && [ -n "$answer" ] && [ ! -s err ]; then t_ok; else t_fail "$answer" err; fi

t_begin "kill_thread does not leave a process without its thread"
sed 's/"default_action": "trap"/"default_action": "kill_thread"/' built-in.json >x.json
stasis seccomp compile --input x.json --output x.bin 2>said
start --seccomp-filter x.bin
inject "$pid" call 173 0 0 0 >said 2>&1
wait $pid
status=$?
if [ $status -eq 148 ] && grep -q "called getppid(" err; then t_ok; else t_fail "status $status" err; fi

t_begin "Firecracker's names: vmm and api are the main thread; other threads keep theirs"
{
	echo '{'
	awk '/^ "/ { here = /^ "(main|vcpu)"/ } here { sub(/^ "main"/, " \"vmm\""); print }' built-in.json
	echo ' "api": {"default_action": "trap", "filter_action": "allow", "filter": [{"syscall": "getppid"}]}}'
} >x.json
if ! stasis seccomp compile --input x.json --output x.bin >said 2>&1; then
	t_fail "it does not compile" said
else
	start --seccomp-filter x.bin
	answer=$(inject "$pid" call 173 0 0 0 2>&1)
	filters=$(cat /proc/"$pid"/task/*/status | grep -c "^Seccomp:.2")
	timeout 60 stasis snapshot shot2 --socket "$PWD/s" >said 2>&1
	status=$?
	kill $pid
	wait $pid
	if [ "$answer" != SIGSYS ] && [ "$filters" = 3 ] && [ $status -eq 0 ] && [ ! -s err ]; then t_ok; else
		t_fail "$answer, $filters threads with a filter, snapshot $status" err
	fi
fi

t_begin "--no-snapshots: no helper thread, none is taken, and the guest runs on"
start --no-snapshots
threads=$(ls /proc/"$pid"/task | wc -l)
timeout 60 stasis snapshot shot3 --socket "$PWD/s" >said 2>&1
status=$?
timeout 20 stasis ctl --socket "$PWD/s" pause >more 2>&1 && timeout 20 stasis ctl --socket "$PWD/s" put /snapshot/create \
	'{"snapshot_path": "shot4", "mem_file_path": "shot4.mem"}' >more 2>&1
timeout 20 stasis ctl --socket "$PWD/s" resume >>more 2>&1
resumed=$?
if [ "$threads" = 2 ] && [ $status -ne 0 ] && [ $resumed -eq 0 ] && [ ! -e shot4 ] &&
	grep -q "Create snapshot error: the VMM was started with --no-snapshots" said &&
	grep -q "Create snapshot error: the VMM was started with --no-snapshots" more; then t_ok; else
	t_fail "$threads threads, status $status, resume $resumed" said
	t_show more
fi

t_begin "what only snapshots need is forbidden there, and only there"
forbidden=$(inject "$pid" call 232 1 0 0 2>&1)
wait $pid
status=$?
words=$(grep -c "a main thread called mincore(" err)
start
allowed=$(inject "$pid" call 232 1 0 0 2>&1)
kill $pid
wait $pid
if [ "$forbidden" = SIGSYS ] && [ $status -eq 148 ] && [ "$words" = 1 ] && [ "$allowed" = 22 ]; then t_ok; else
	t_fail "$forbidden, $allowed, status $status" err
fi

t_begin "--no-snapshots: none is loaded"
stasis --api-sock "$PWD/s" --no-snapshots >log 2>err </dev/null &
pid=$!
wait_for 20 log "API server started"
timeout 20 stasis ctl --socket "$PWD/s" put /snapshot/load \
	'{"snapshot_path": "shot/state", "mem_backend": {"backend_type": "File", "backend_path": "shot/memory"}}' >said 2>&1
status=$?
kill $pid
wait $pid
if [ $status -ne 0 ] && grep -q "Load snapshot error: the VMM was started with --no-snapshots" said; then t_ok; else
	t_fail "status $status" said
fi

t_begin "show --no-snapshots leaves out what is forbidden, and its filters work"
stasis seccomp show --no-snapshots >less
stasis seccomp show --filter --no-snapshots >x.json
stasis seccomp compile --input x.json --output x.bin >said 2>&1
timeout 60 stasis run --kernel "$T/off.img" --memory 32M --no-snapshots --api-sock "$PWD/s" --seccomp-filter x.bin >>said 2>&1
status=$?
if [ $status -eq 0 ] && [ ! -s said ] && ! grep -q "mincore\|GET_REG_LIST\|^snapshot\|^starter\|^pages" less &&
	[ "$(grep -c "^main" less)" -gt 50 ] && ! grep -q '"pages"\|"snapshot"' x.json; then t_ok; else
	t_fail "status $status" said
fi

refused "both answers" 153 "exclude each other" --no-seccomp --seccomp-filter all.bin
refused "JSON" 152 "stasis seccomp compile --input built-in.json --output FILE" --seccomp-filter built-in.json
refused "no file" 152 "nowhere" --seccomp-filter nowhere
refused "another file" 152 "not a file that stasis seccomp compile has written" --seccomp-filter "$T/off.img"
head -c 200 all.bin >x.bin
refused "a file that is cut off" 152 "x.bin: it is damaged; compile it again" --seccomp-filter x.bin
mkfifo fifo
refused "a FIFO" 152 "fifo" --seccomp-filter fifo

# A call that each start makes, per thread.
while read -r thread call; do
	awk -v key=" \"$thread\":" -v call="\"$call\"" '
	/^ "/ { here = index($0, key) == 1 }
	here && index($0, "\"syscall\": " call) { sub(/"syscall": "[a-z0-9_]*"/, "\"syscall\": \"getppid\"") }
	{ print }' built-in.json >x.json
	stasis seccomp compile --input x.json --output x.bin 2>said
	refused "$thread without $call" 152 "the filter of \`$thread\` forbids $call" --seccomp-filter x.bin
	t_begin "compile says so, too: $thread without $call"
	if grep -q "warning: the filter of .$thread. forbids $call" said; then t_ok; else t_fail "it does not" said; fi
done <<END
main epoll_pwait
main exit_group
vcpu futex
vcpu exit
END
t_done
