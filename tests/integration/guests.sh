# SPDX-License-Identifier: Apache-2.0
# add: out/stasis out/guests
#
# Bare-metal guests (tests/guests): each checks its own machine and says so on the serial port.
. "$T/lib.sh"

# What stasis may say of a guest.
expected='^stasis: warning: guest: \|^stasis: the guest powered off$\|^stasis: Guest-boot-time = \|^stasis: [0-9]* accesses of the guest hit no device$'

# bare NAME CPUS CHECKS [OPTION...]: the guest must make at least CHECKS checks, of which none may
# fail.
bare() {
	bare_checks=$3
	t_begin "$1 with $2 vCPU"
	name=$1 cpus_given=$2
	shift 3
	timeout -s KILL 100 stasis run --kernel "$T/guests/$name.img" --cpus "$cpus_given" --memory 32M \
		--boot-timer --log-level info --cmdline console=ttyS0 "$@" >out 2>err </dev/null
	status=$?
	made=$(tr -d '\r' <out | sed -n 's/.*done: \([0-9]*\) checks, 0 failed$/\1/p')
	if [ $status -ne 0 ]; then
		t_fail "exit status $status" err
	elif [ "${made:-0}" -lt "$bare_checks" ]; then
		grep -a -B 1 FAIL out >failed || tail -n 20 out >failed
		t_fail "the guest made ${made:-no} good checks instead of $bare_checks" failed
	elif ! grep -qx 'stasis: the guest powered off' err; then
		t_fail "stasis did not say that the guest powered off" err
	elif grep -v "$expected" err >odd; then
		t_fail "stasis complained" odd
	else
		t_ok
	fi
}

# ends NAME CPUS WORDS: a guest that says nothing, and how stasis should tell that it ended.
ends() {
	t_begin "$1 with $2 vCPU"
	timeout -s KILL 30 stasis run --kernel "$T/guests/$1.img" --cpus "$2" --memory 32M \
		--log-level info --cmdline console=ttyS0 >out 2>err </dev/null
	status=$?
	if [ $status -eq 0 ] && [ ! -s out ] && [ "$(cat err)" = "stasis: $3" ]; then
		t_ok
	else
		t_fail "exit status $status, and it said:" err
	fi
}

# Linux before 6.4 cannot offset it.
if stasis doctor | grep -q "^ok  *counter offset"; then physical="the guest's"; else physical="the host's"; fi

for cpus in 1 2 4; do
	ends off $cpus "the guest powered off"
	ends reset $cpus "the guest asked for a reset; a microVM ends then"
	bare smp $cpus $((5 + 15 * (cpus - 1)))
	t_begin "smp counted $cpus vCPU"
	if grep -q "^cpus: $cpus.\$" out; then t_ok; else t_fail "it saw something else" out; fi
	bare timer $cpus 23
	t_begin "its physical counter with $cpus vCPU is $physical"
	if grep -q "^physical counter: $physical.\$" out; then
		t_ok
	elif ignores_offset; then
		t_skip "on QEMU's max it shows the host's although KVM reports the offset"
	else
		t_fail "it is not" out
	fi
	bare mmio $cpus 33
	bare scribble $cpus 5
done
bare raw 2 7 --raw
bare registers 1 91

t_begin "the boot timer was told once, and the log says it"
if [ "$(grep -c 'Guest-boot-time = *[0-9]* us [0-9]* ms, *[0-9]* CPU us [0-9]* CPU ms$' err)" = 1 ]
then t_ok; else t_fail "it does not" err; fi

t_begin "a hostile guest cannot fill the log"
lines=$(wc -l <err)
if [ "$lines" -le 20 ]; then t_ok; else t_fail "$lines lines" err; fi

bare smp 8 110
if stasis doctor | grep -q "GICv2 only"; then
	t_begin "more vCPUs than GICv2 can serve are refused"
	stasis run --kernel "$T/guests/smp.img" --cpus 9 >out 2>err </dev/null
	status=$?
	if [ $status -eq 1 ] && [ "$(wc -l <err)" = 1 ] && grep -q "at most 8 vCPUs" err; then
		t_ok
	else
		t_fail "exit status $status" err
	fi
else
	bare smp 32 470
	bare registers 32 91
fi

# Compressed kernels, with a kernel that is small.
gzip -c "$T/guests/timer.img" >"timer.gz"
size=$(wc -c <timer.gz)
le32() { printf "\\$(printf %o $(($1 & 255)))\\$(printf %o $(($1 >> 8 & 255)))\\0\\0"; }
zboot() {
	printf 'MZ\0\0zimg'
	le32 64
	le32 "$size"
	printf '\0\0\0\0\0\0\0\0%s' "$1"
	head -c $((32 - ${#1})) /dev/zero
	printf '\0\0\0\0\0\0\0\0'
	cat timer.gz
}
zboot gzip >timer.efi
zboot zstd >zstd.efi
for kernel in timer.gz timer.efi; do
	t_begin "a kernel compressed as $kernel"
	run_guest 30 out stasis run --kernel "$kernel" --memory 32M --cmdline console=ttyS0
	if [ $run_status -eq 0 ] && grep -q "done: 23 checks, 0 failed" out; then
		t_ok
	else
		t_fail "exit status $run_status" out
	fi
done

t_begin "an EFI zboot image with another compression is refused"
run_guest 30 out stasis run --kernel zstd.efi
if [ $run_status -eq 1 ] && [ "$(wc -l <out)" = 1 ] && grep -q zstd out; then
	t_ok
else
	t_fail "exit status $run_status" out
fi

t_done
