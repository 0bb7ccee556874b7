# SPDX-License-Identifier: Apache-2.0
# add: out/stasis out/tests/clock_contract
#
# `stasis doctor`: what it says of this host is so, in text and in JSON.
. "$T/lib.sh"

stasis doctor >text 2>err
text_status=$?
stasis doctor --json >json 2>>err
json_status=$?

t_begin "this host can run guests, and doctor says so"
if [ $text_status -eq 0 ] && [ $json_status -eq 0 ] && [ ! -s err ] &&
	[ "$(tail -n 1 text)" = "This host can run guests." ]; then
	t_ok
else
	t_fail "status $text_status and $json_status" text
fi

# finding NAME: the result and what was found.
finding() {
	sed -n "s/^\\([a-zA-Z]*\\)  *$1   *\\(.*\\)/\\1: \\2/p" text
}

t_begin "it names the kernel that runs"
if [ "$(finding kernel)" = "ok: Linux $(uname -r) on aarch64" ]; then t_ok; else
	t_fail "$(finding kernel)"
fi

# KVM_ARM_SET_COUNTER_OFFSET came with Linux 6.4.
version=$(uname -r | awk -F '[.-]' '{ print $1 * 1000 + $2 }')
t_begin "the counter offset, as this kernel has it"
if [ "$version" -ge 6004 ]; then
	wanted="ok: KVM_ARM_SET_COUNTER_OFFSET works"
else
	wanted="warning: KVM_ARM_SET_COUNTER_OFFSET is missing"
fi
case $(finding "counter offset") in
"$wanted"*) t_ok ;;
*) t_fail "$(finding "counter offset")" ;;
esac

t_begin "counters follow the offset: tried, with a vCPU that runs, too"
if [ "$version" -ge 6004 ]; then wanted="ok: follow it on every vCPU"; else wanted=; fi
case $(finding "guest counters") in
"$wanted"*) t_ok ;;
*) t_fail "$(finding "guest counters")" ;;
esac

"$T/clock_contract" >contract
contract_status=$?
sed -n 's/^ok [0-9]* - /ok /p; s/^not ok [0-9]* - /no /p' contract >contracts
while read -r result what; do
	t_begin "Linux's promises: $what"
	if [ "$result" = ok ]; then t_ok; else t_fail "it does not keep it"; fi
done <contracts
t_begin "and that is all of Linux's promises"
if [ $contract_status -eq 0 ] && [ "$(wc -l <contracts)" -ge 9 ]; then t_ok; else t_fail "$contract_status" contract; fi

t_begin "the interrupt controller, as the host's kernel has found it"
if grep -q 'GICv3' /proc/interrupts; then wanted="ok: GICv3"; else wanted="warning: GICv2 only"; fi
case $(finding "interrupt controller") in
"$wanted"*) t_ok ;;
*) t_fail "$(finding "interrupt controller")" ;;
esac

# The host's own processor is what KVM passes on.
host_has() { grep -m 1 '^Features' /proc/cpuinfo | grep -qw "$1"; }
for pair in "SVE:sve" "pointer authentication:paca"; do
	t_begin "${pair%:*}, as the host has it"
	if host_has "${pair#*:}"; then wanted="ok: given to guests"; else
		wanted="ok: not offered by this host"
	fi
	case $(finding "${pair%:*}") in
	"$wanted"*) t_ok ;;
	*) t_fail "$(finding "${pair%:*}")" ;;
	esac
done

for pair in "tap:/dev/net/tun" "vhost:/dev/vhost-net"; do
	t_begin "${pair%:*}, if ${pair#*:} can be opened"
	if [ -c "${pair#*:}" ]; then wanted="ok: ${pair#*:} opens"; else wanted="warning: ${pair#*:}: "; fi
	case $(finding "${pair%:*}") in
	"$wanted"*) t_ok ;;
	*) t_fail "$(finding "${pair%:*}")" ;;
	esac
done

t_begin "each warning comes with a remedy"
if awk '/^warning|^FAILED/ { if (waiting) bad = 1; waiting = 1; next }
	waiting && !/^ +-> ./ { bad = 1 } { waiting = 0 } END { exit bad }' text; then
	t_ok
else
	t_fail "not each" text
fi

t_begin "the JSON is one line of the right form"
string='"\([^"\\]\|\\.\)*"'
check="{\"name\":$string,\"result\":\"\\(ok\\|warning\\|failed\\)\",\"finding\":$string,\"remedy\":$string}"
if [ "$(wc -l <json)" = 1 ] && grep -qx "{\"can_run\":true,\"checks\":\\[$check\\(,$check\\)*\\]}" json
then t_ok; else t_fail "it is not" json; fi

t_begin "the JSON has the same checks as the text"
sed 's/{"name":/\n&/g' json | sed -n 's/^{"name":"\([^"]*\)","result":"\([^"]*\)".*/\2 \1/p' >from_json
sed -n 's/^\(ok\|warning\|FAILED\)  *\([^ ].*[^ ]\)   *[^ ].*$/\1 \2/p' text | sed 's/   *.*//' >from_text
if [ "$(wc -l <from_json)" -ge 10 ] && cmp -s from_json from_text; then t_ok; else
	diff from_json from_text >differ
	t_fail "they differ" differ
fi

t_begin "without /dev/kvm it says what to do, and fails"
if [ -z "$RIG_HOST" ]; then
	t_skip "a real host keeps its /dev/kvm"
else
	mv /dev/kvm /dev/kvm.away
	stasis doctor >text 2>err
	status=$?
	mv /dev/kvm.away /dev/kvm
	if [ $status -eq 1 ] && grep -q '^FAILED  *KVM ' text &&
		grep -q '^  *-> /dev/kvm does not exist' text; then
		t_ok
	else
		t_fail "status $status" text
	fi
fi

t_begin "an unknown option is refused"
stasis doctor --jsn >out 2>err
status=$?
if [ $status -eq 153 ] && [ ! -s out ] &&
	[ "$(cat err)" = "stasis: error: unknown option --jsn; did you mean --json?" ]; then
	t_ok
else
	t_fail "status $status" err
fi

t_done
