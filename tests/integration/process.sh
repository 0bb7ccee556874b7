# SPDX-License-Identifier: Apache-2.0
# add: out/stasis out/guests out/tests/pty out/tests/jail
#
# stasis as a process: its threads and files, how it ends, its console's readers, its terminal.
. "$T/lib.sh"

# start IMAGE [OPTION...]: in the background, with its output in `out` and `err`; sets $pid.
start() {
	image=$1
	shift
	: >out
	stasis run --kernel "$T/guests/$image.img" --memory 32M --cmdline console=ttyS0 "$@" \
		>out 2>err </dev/null &
	pid=$!
}

# ends_in SECONDS: waits for $pid; sets $status, 124 if it had to be killed.
ends_in() {
	left=$(($1 * 20))
	while [ -d "/proc/$pid" ] && ! grep -q '^State:.Z' "/proc/$pid/status" 2>/dev/null; do
		if [ $left -eq 0 ]; then
			kill -KILL $pid
			wait $pid
			status=124
			return
		fi
		left=$((left - 1))
		usleep 50000
	done
	wait $pid
	status=$?
}

# --- threads, files, signals ----------------------------------------------------------------------

start spin --cpus 3 --api-sock "$PWD/s" --vsock "3,$PWD/v"
t_begin "three vCPUs spin"
if wait_for 30 out '^spinning'; then t_ok; else t_fail "they do not" err; fi

t_begin "there is one thread for each vCPU, with Firecracker's name, the main one, and one that starts others"
cat /proc/$pid/task/*/comm | sort >threads
if [ "$(cat threads)" = "$(printf 'fc_vcpu 0\nfc_vcpu 1\nfc_vcpu 2\nstarter\nstasis')" ]; then t_ok; else
	t_fail "others" threads
fi

t_begin "it holds KVM's files, its own eventfds, its API's socket, and no kernel or initrd"
ls -l /proc/$pid/fd | sed -n 's/.* -> //p' | sort >files
grep -v '^/dev/null$\|^/.*/out$\|^/.*/err$\|^/dev/kvm$\|^anon_inode:\|^socket:\|^pipe:' files >odd
if [ ! -s odd ] && [ "$(grep -c kvm-vcpu files)" = 3 ] && [ "$(wc -l <files)" -le 25 ]; then
	t_ok
else
	t_fail "$(wc -l <files) files" files
fi

t_begin "what relocation wrote is read-only (RELRO), and nothing is writable and code"
grep '/stasis$' /proc/$pid/maps >maps
if [ "$(awk '{ printf "%s ", $2 }' maps)" = "r--p r-xp r--p rw-p " ]; then t_ok; else t_fail "other mappings" maps; fi

t_begin "while nobody asks anything, the main thread sleeps"
wakes() { awk '/_ctxt_switches/ { n += $2 } END { print n }' "/proc/$pid/task/$pid/status"; }
sleep 1
before=$(wakes)
sleep 4
after=$(wakes)
# It looks whether the host's clock goes on as it was after 1, 2, 4 ... seconds, at last once a minute.
if [ $((after - before)) -le 2 ]; then t_ok; else t_fail "it woke up $((after - before)) times"; fi

# by SIGNAL STATUS: ends the running one, which leaves nothing.
by() {
	t_begin "SIG$1 ends it while the guest spins, and its sockets are gone"
	kill -"$1" $pid
	ends_in 2
	if [ $status -eq "$2" ] && ! grep -v "Shutting down VM after intercepting signal" err && [ ! -e s ] && [ ! -e v ]; then t_ok; else
		ls -lA >left
		cat err >>left
		t_fail "status $status" left
	fi
}
by TERM 143
start spin --api-sock "$PWD/s" --vsock "3,$PWD/v"
wait_for 30 out '^spinning'
by HUP 156

t_begin "after SIGKILL the same command starts again; while it runs, another is refused by its number"
start spin --api-sock "$PWD/s" --vsock "3,$PWD/v"
wait_for 30 out '^spinning'
kill -KILL $pid
wait $pid
[ -S s ] && [ -S v ] || t_fail "the sockets are not there"
start spin --api-sock "$PWD/s" --vsock "3,$PWD/v"
if ! wait_for 30 out '^spinning'; then t_fail "it does not start" err; fi
timeout -s KILL 10 stasis run --kernel "$T/guests/spin.img" --memory 32M --api-sock "$PWD/s" \
	>other 2>&1 </dev/null
status=$?
timeout -s KILL 10 stasis run --kernel "$T/guests/spin.img" --memory 32M --vsock "4,$PWD/v" \
	>>other 2>&1 </dev/null
status="$status $?"
if [ "$status" = "1 153" ] && [ "$(grep -c "(process $pid listens there)" other)" = 2 ] &&
	grep -q 'Failed to open the API socket at: .*/s. Check that it is not already used' other &&
	[ "$(stasis ctl --socket "$PWD/s" status | sed -n 's/^state *//p')" = Running ] &&
	! ls -A | grep -q '^[.]'; then
	t_ok
else
	t_fail "status $status" other
fi
kill -KILL $pid
wait $pid
rm -f s v

t_begin "as process 1 of a namespace SIGTERM ends it, too, with status 143"
: >out
unshare -p -f stasis run --kernel "$T/guests/spin.img" --memory 32M --cmdline console=ttyS0 \
	--api-sock "$PWD/s" >out 2>err </dev/null &
pid=$!
wait_for 30 out '^spinning'
kill -TERM $(cat /proc/$pid/task/$pid/children)
ends_in 2
if [ $status = 143 ] && [ ! -s err ] && [ ! -e s ]; then t_ok; else t_fail "status $status" err; fi

t_begin "SIGINT stays ignored where a shell has it ignored: in a background job"
start spin
wait_for 30 out '^spinning'
kill -INT $pid
usleep 300000
if kill -0 $pid 2>/dev/null; then t_ok; else t_fail "it ended" err; fi
kill -KILL $pid
wait $pid

t_begin "a kernel file that is truncated ends the VM, which says why"
cp "$T/guests/spin.img" spin.img
: >out
stasis run --kernel spin.img --memory 32M --cmdline console=ttyS0 >out 2>err </dev/null &
pid=$!
if wait_for 30 out '^spinning' && : >spin.img; then ends_in 10; else status=none; fi
if [ "$status" = 1 ] && [ "$(wc -l <err)" = 1 ] &&
	grep -q '^stasis: error: vCPU 0 cannot go on: .*changed or truncated.*pc 0x802' err; then
	t_ok
else
	t_fail "status $status" err
fi

# --- input ----------------------------------------------------------------------------------------

t_begin "more input than the serial port can hold arrives whole and in order"
seq 1 1200 >numbers
{ cat numbers; printf q; } >input
timeout -s KILL 60 stasis run --kernel "$T/guests/echo.img" --memory 32M --cmdline console=ttyS0 \
	>out 2>err <input
status=$?
tr -d '\r' <out | sed -n '/^[0-9][0-9]*$/p' >echoed
if [ $status -eq 0 ] && cmp -s numbers echoed && grep -q 'done: 2 checks, 0 failed' out; then
	t_ok
else
	t_fail "status $status" out
fi

t_begin "the same through a pipe that comes slowly"
{ usleep 300000; head -n 100 numbers; usleep 300000; printf 'end\nq'; usleep 300000; } |
	timeout -s KILL 60 stasis run --kernel "$T/guests/echo.img" --memory 32M \
		--cmdline console=ttyS0 >out 2>err
status=$?
if [ $status -eq 0 ] && grep -q '^received: 296' out; then t_ok; else t_fail "status $status" out; fi

# --- output ---------------------------------------------------------------------------------------

t_begin "a reader of the console that goes away does not end the guest"
{ timeout -s KILL 60 stasis run --kernel "$T/guests/chatter.img" --memory 32M --log-level info \
	--cmdline console=ttyS0 2>err </dev/null; echo $? >status; } | head -n 3 >out
if [ "$(cat status)" = 0 ] && grep -q 'the guest powered off' err; then t_ok; else
	t_fail "status $(cat status)" err
fi

# The reader has gone to sleep, and the pipe is full.
t_begin "output that nobody reads, in another user's pipe, holds up neither API nor guest"
chmod 666 /dev/kvm
chmod 711 . # the suite's own folder
mkdir -m 777 -p open
rm -f full && mkfifo -m 600 full
exec 8<>full
head -c 65536 /dev/zero >&8
jail / 12345 stasis run --kernel "$T/guests/chatter.img" --memory 32M --cmdline console=ttyS0 \
	--api-sock "$PWD/open/s" >&8 2>err </dev/null 8>&- &
pid=$!
left=50
until [ -S open/s ] || [ $left -eq 0 ]; do left=$((left - 1)); usleep 100000; done
usleep 500000
state=$(timeout -s KILL 2 stasis ctl --socket "$PWD/open/s" status | sed -n 's/^state *//p')
timeout -s KILL 2 stasis ctl --socket "$PWD/open/s" pause >/dev/null &&
	timeout -s KILL 2 stasis ctl --socket "$PWD/open/s" resume >/dev/null
paused=$?
ends_in 15
exec 8<&-
if [ $status = 0 ] && [ "$state" = Running ] && [ $paused = 0 ] &&
	grep -q "the guest's output is not read" err && grep -q 'bytes are lost' err; then
	t_ok
else
	t_fail "status $status, state '$state', paused $paused" err
fi

# A terminal holds little, so that a reader who stops is felt soon. All 3200 lines are more than
# the terminal and stasis hold together.
# at_stalling_reader [LINE]: the reader stops when it has read about that one.
at_stalling_reader() {
	rm -f vmm reader
	: >out
	sh -c 'echo $$ >reader; exec pty sh -c "echo \$\$ >vmm; exec stasis run --kernel \
		$T/guests/chatter.img --memory 32M --console-full wait --cmdline console=ttyS0 2>err"' >out </dev/null &
	pid=$!
	wait_for 30 out "line ${1:-000100}"
	kill -STOP "$(cat reader)"
}
t_begin "a reader who stalls and comes back gets all of the output"
at_stalling_reader
usleep 8000000
size=$(wc -c <out)
# The guest waits for the serial port meanwhile.
state=$(sed -n 's/^State:.\(.\).*/\1/p' "/proc/$(cat vmm)/status")
kill -CONT "$(cat reader)"
ends_in 60
tr -d '\r' <out | sed -n 's/^line \([0-9]*\) here$/\1/p' >lines
if [ "$state" = Z ] || [ "$size" -gt 30000 ]; then
	t_fail "nothing stalled: state $state, $size bytes" err
elif [ $status -eq 0 ] && grep -q 'done: 1 checks' out &&
	awk '$1 != NR - 1 { exit 1 } END { if (NR != 3200) exit 1 }' lines; then
	t_ok
else
	awk '$1 != n { print "line", n, "is not whole"; n = $1 } { n++ }' lines >missing
	t_fail "status $status, $(wc -l <lines) of 3200 lines" missing
fi

t_begin "what the guest said last waits for a reader who comes late"
at_stalling_reader 001500
# vCPU 0 sleeps once the guest has powered off; what it said does not fit the terminal.
left=100
until cat "/proc/$(cat vmm)"/task/*/stat | grep -q 'fc_vcpu 0) S'; do
	[ $left -gt 0 ] || break
	left=$((left - 1))
	usleep 100000
done
usleep 300000
before=$(wc -c <out)
kill -CONT "$(cat reader)"
ends_in 20
if [ $status -eq 0 ] && grep -q 'done: 1 checks, 0 failed' out && [ $left -gt 0 ] &&
	[ "$before" -lt 40000 ]; then
	t_ok
else
	tail -n 5 out >end
	t_fail "status $status, $before bytes before, $(wc -c <out) in all" end
fi

t_begin "a reader who never comes back does not keep it from ending"
at_stalling_reader 001500
pid_reader=$pid
left=120
until grep -q '^State:.Z' "/proc/$(cat vmm)/status"; do
	[ $left -gt 0 ] || break
	left=$((left - 1))
	usleep 100000
done
if [ $left -gt 0 ]; then t_ok; else t_fail "it goes on"; fi
kill -KILL "$pid_reader" "$(cat vmm)" 2>/dev/null
wait "$pid_reader"

t_begin "with a reader who never comes back, SIGTERM still ends it"
at_stalling_reader
usleep 6000000
reader=$pid pid=$(cat vmm)
kill -TERM "$pid"
left=40
while [ -d "/proc/$pid" ] && ! grep -q '^State:.Z' "/proc/$pid/status" && [ $left -gt 0 ]; do
	left=$((left - 1))
	usleep 50000
done
if [ $left -gt 0 ]; then t_ok; else t_fail "it goes on"; fi
kill -KILL "$reader" "$pid" 2>/dev/null
wait "$reader"

# --- the terminal ---------------------------------------------------------------------------------

cat >session.sh <<'END'
stty -a >before
sh -c 'echo $$ >vmm; exec stasis run --kernel "$T/guests/$1.img" --memory 32M \
	--cmdline console=ttyS0' sh "$1"
echo $? >status
stty -a >after
END
# at_terminal WAY IMAGE PATTERN: runs stasis at a terminal of its own. When it has shown a line like
# that, WAY makes it end.
at_terminal() {
	rm -f keys before during after status vmm
	mkfifo keys
	: >out
	pty sh ./session.sh "$2" >out <keys &
	pid=$!
	exec 3>keys
	wait_for 30 out "$3" || t_fail "the guest did not begin" out
	terminal=$(readlink "/proc/$(cat vmm)/fd/0")
	stty -a -F "$terminal" >during
	$1
	ends_in 15
	exec 3>&-
	same=no
	! cmp -s before after || same=yes
}
types_q() { printf q >&3; }
types_escape() { printf '\001x' >&3; }
sends_term() { kill -TERM "$(cat vmm)"; }

# restored STATUS WORDS
restored() {
	if [ "$(cat status)" != "$1" ]; then
		t_fail "exit status $(cat status) instead of $1" out
	elif grep -qw -- '-icanon' before || ! grep -qw -- '-icanon' during; then
		t_fail "the terminal was not raw in between" during
	elif [ $same = no ]; then
		diff before after >differ
		t_fail "the terminal is not as it was" differ
	elif [ -n "$2" ] && ! grep -q "$2" out; then
		t_fail "it did not say '$2'" out
	else
		t_ok
	fi
}
t_begin "the terminal is restored after the guest powers off"
at_terminal types_q echo '^ready'
restored 0 "the guest powered off"
t_begin "Ctrl-A x ends a guest that spins, and the terminal is restored"
at_terminal types_escape spin '^spinning'
restored 0 "ended by Ctrl-A x"
t_begin "the terminal is restored after SIGTERM"
at_terminal sends_term spin '^spinning'
restored 143 ""

t_begin "Ctrl-A a sends Ctrl-A, and Ctrl-C goes to the guest"
types_control() { printf '<\001a\003>q' >&3; }
at_terminal types_control echo '^ready'
if grep -q "$(printf '<\001\003>')" out && grep -q 'received: 4' out; then t_ok; else
	t_fail "it did not arrive" out
fi

t_begin "in the background it leaves the terminal alone"
cat >session.sh <<'END'
set -m
stty -a >before
stasis run --kernel "$T/guests/$1.img" --memory 32M --cmdline console=ttyS0 --log-level info &
echo $! >vmm
usleep 1500000
stty -a >during
kill -TERM $!
wait $!
echo $? >status
stty -a >after
END
pty sh ./session.sh spin >out </dev/null
if [ "$(cat status)" = 143 ] && cmp -s before during && cmp -s before after &&
	grep -q 'in the background: the guest gets no input' out; then
	t_ok
else
	t_fail "status $(cat status)" out
fi

t_done
