# SPDX-License-Identifier: Apache-2.0
# add: out/stasis
# add: out/tests/streams
# guest: devices
#
# vsock with a Linux guest: hundreds of streams at once, each way, each checked and half-closed.
. "$T/lib.sh"
before=

start_guest --memory 256M --vsock "3,$PWD/v"

t_begin "nobody listens: the host is told, and the guest is refused"
stasis vsock --uds "$PWD/v" 52 >none 2>&1 </dev/null
status=$?
tell 10 none "streams check vsock:2:52 1 1"
if [ $status -eq 1 ] && grep -q "no program in the guest listens on port 52" none &&
	said none | grep -q "connect: "; then t_ok; else t_fail "status $status, $(said none)" none; fi

t_begin "200 streams at once from the host, echoed by the guest"
echo "streams echo vsock:4294967295:52 &" >&9
wait_for 10 out "streams: listening"
timeout 100 "$T/streams" check "unix:$PWD/v:52" 200 131072 >check.out 2>&1
echo "# $(cat check.out)"
if grep -q "bytes in" check.out; then t_ok; else t_fail "they did not come back" check.out; fi

t_begin "200 streams at once from the guest, echoed by the host"
"$T/streams" echo "unix:$PWD/v_60" >echo.out 2>&1 &
echo_pid=$!
wait_for 10 echo.out "streams: listening"
tell 100 check "streams check vsock:2:60 200 131072"
echo "# $(said check)"
if said check | grep -q "bytes in"; then t_ok; else t_fail "$(said check)" out; fi

t_begin "both at once, over a pause"
tell 0 both "streams check vsock:2:60 50 262144"
timeout 100 "$T/streams" check "unix:$PWD/v:52" 50 262144 >check.out 2>&1 &
check_pid=$!
usleep 300000
stasis ctl --socket "$PWD/s" pause >ctl.out 2>&1
usleep 500000
stasis ctl --socket "$PWD/s" resume >>ctl.out 2>&1
wait $check_pid
wait_for 60 out "^guest: both="
if grep -q "bytes in" check.out && said both | grep -q "bytes in"; then t_ok; else t_fail "$(said both)" check.out; fi

t_begin "stasis vsock copies a file there and back, and ends"
seq 100000 >numbers
timeout 30 stasis vsock --uds "$PWD/v" 52 <numbers >back 2>err
status=$?
if [ $status -eq 0 ] && cmp -s numbers back; then t_ok; else t_fail "status $status, $(wc -c <back) bytes" err; fi

t_begin "stasis vsock --listen takes the guest's connection"
: >got
{
	# Not before the guest's has come: it ends when what it gets is not its own.
	left=300
	until [ "$(wc -c <got)" -ge 1000 ] || [ $left -eq 0 ]; do
		left=$((left - 1))
		usleep 50000
	done
	cat numbers
} | timeout 30 stasis vsock --uds "$PWD/v" --listen 61 >got 2>err &
pid=$!
usleep 500000
tell 20 hello "streams check vsock:2:61 1 1000"
wait $pid
status=$?
if [ $status -eq 0 ] && [ "$(wc -c <got)" -eq 1000 ] && [ ! -e v_61 ] &&
	said hello | grep -q "differs"; then t_ok; else t_fail "status $status, $(wc -c <got) bytes, $(said hello)" err; fi

t_begin "stasis vsock --listen that is interrupted leaves no socket"
stasis vsock --uds "$PWD/v" --listen 62 >none 2>err </dev/null &
pid=$!
until [ -S v_62 ] || ! kill -0 $pid 2>/dev/null; do usleep 10000; done
usleep 100000
kill -TERM $pid
wait $pid
status=$?
if [ $status -eq 1 ] && [ ! -e v_62 ] && grep -q "Interrupted" err; then t_ok; else t_fail "status $status" err; fi

t_begin "no connection is left"
stasis ctl --socket "$PWD/s" --json get /metrics >metrics 2>&1
vsock=$(tr '}' '\n' <metrics | grep '"vsock"')
number() { echo "$vsock" | sed -n "s/.*\"$1\":\([0-9]*\).*/\1/p"; }
if [ "$(number conns_added)" -ge 500 ] && [ "$(number conns_removed)" -eq "$(number conns_added)" ]; then t_ok; else
	t_fail "added $(number conns_added), removed $(number conns_removed)" metrics
fi

t_begin "a socket that is there already is refused, and not touched"
run_guest 20 refused stasis run --kernel "$T/kernel-6.12" --vsock "4,$PWD/v"
if [ $run_status -eq 153 ] && grep -q "Address already in use" refused && [ -S v ]; then t_ok; else t_fail "status $run_status" refused; fi

t_begin "the guest powers off, and the socket is gone"
if end_guest && [ ! -e v ]; then t_ok; else t_fail "status $guest_status" out; fi

kill $echo_pid
t_done
