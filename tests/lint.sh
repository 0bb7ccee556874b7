#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# House rules that no compiler knows: which file may use what, how long files and functions get,
# licence lines. Prints each violation as file:line: rule; the status is 1 if there is any.
set -eu
cd "$(dirname "$0")/.."

list=$(git ls-files --cached --others --exclude-standard | sort -u |
	while read -r path; do [ ! -f "$path" ] || printf '%s\n' "$path"; done)
[ -n "$list" ] || { echo "tests/lint.sh: git lists no file here; run it in a checkout" >&2; exit 1; }

# Names of this tree have neither blanks nor '='.
# shellcheck disable=SC2086
awk '
function bad(line, rule)
{
	print file ":" line ": " rule
	failed = 1
}

# Only files that match `where` may contain `what`.
function only(what, where, rule)
{
	if ($0 ~ what && FILENAME !~ where)
		bad(FNR, rule)
}

function call(names)
{
	return "(^|[^A-Za-z0-9_])(" names ")[ \t]*\\("
}

function end_of_file()
{
	if (is_c && lines > 500)
		bad(lines, "a file of " lines " lines; split it, 500 is the limit")
	if (wants_spdx && !has_spdx)
		bad(1, "no SPDX-License-Identifier in the first 3 lines")
	if (start)
		bad(start, "a function without an end: its } is not in column 1")
}

BEGIN {
	exits = call("_?exit|_Exit|abort|quick_exit")
	unsafe = call("system|popen|strcpy|strcat|sprintf|vsprintf|sscanf|gets|alloca")
	lock = call("[a-z]+_lock_take")
	mutex = call("pthread_mutex_(try|timed)?lock")
	machine = "(^|[^A-Za-z0-9_.}])/(wor[k]|roo[t]|hom[e])/"
	unfinished = "(^|[^A-Za-z0-9_])(TO[D]O|FIXM[E]|XX[X])([^A-Za-z0-9_]|$)"
}

FNR == 1 {
	if (lines)
		end_of_file()
	file = FILENAME
	start = has_spdx = 0
	is_c = FILENAME ~ /\.[ch]$/
	is_product = is_c && FILENAME ~ /^(arch|core|devices|jailer|snapshot|vmm)\// && FILENAME != "core/seccomp/compile.c"
	wants_spdx = FILENAME ~ /\.([chS]|sh|py|gni?|ld)$/ || /^#!/
}

{ lines = FNR }

FNR <= 3 && /SPDX-License-Identifier: / { has_spdx = 1 }

$0 ~ machine { bad(FNR, "a path of some machine; name it relative to the tree") }
$0 ~ unfinished { bad(FNR, "a note of unfinished work; finish it, or write an issue") }

!is_c { next }

/^\{/ { start = FNR }
/^\}/ && start {
	between = FNR - start - 1
	if (between > 45)
		bad(start, "a function of " between " lines; split it, 45 is the limit")
	if (is_product) {
		functions++
		longer += between > 25
	}
	start = 0
}

/#[ \t]*include/ {
	only("<linux/kvm\\.h>", "^(core/kvm|arch/aarch64|tests)/|^core/seccomp/compile\\.c$", "<linux/kvm.h> is for core/kvm and arch/aarch64; use core/kvm/kvm.h")
	only("<libfdt\\.h>", "^(arch/aarch64/fdt|tests/)", "<libfdt.h> is for arch/aarch64/fdt*.c")
	only("<jansson\\.h>", "^core/json/json(_(place|tree))?\\.c$", "<jansson.h> is for core/json/*.c; use core/json/json.h")
	only("<zlib\\.h>", "^(arch/aarch64/image\\.c$|snapshot/state_file\\.c$|core/seccomp/(compile|filter_file|violation)\\.c$|build/libc/crc32\\.c$|tests/)", "<zlib.h> is for arch/aarch64/image.c, snapshot/state_file.c, core/seccomp and build/libc/crc32.c")
}

!is_product { next }

$0 ~ exits && FILENAME !~ "^core/seccomp/" { bad(FNR, "the process is ended by main() alone; return an error") }
$0 ~ unsafe { bad(FNR, "an unbounded or shell-running function of libc; use snprintf, strto*, or none") }
{ only(mutex, "^core/thread/lock\\.h$", "a mutex; use a lock of core/thread/lock.h") }
{ only(lock, "^(devices/serial|devices/serial_output|devices/serial_state|devices/gpio|devices/rtc|devices/virtio/virtio|devices/virtio/virtio_status|core/io/log|core/io/leftover|core/thread/thread|vmm/vm/vcpu|vmm/vm/prefault|vmm/instance/snapshot_job)\\.c$", "a lock; only devices/serial*.c, devices/gpio.c, devices/rtc.c, devices/virtio/virtio*.c, core/io/log.c, core/io/leftover.c, core/thread/thread.c, vmm/vm/vcpu.c, vmm/vm/prefault.c and vmm/instance/snapshot_job.c are shared by threads") }

END {
	end_of_file()
	if (longer * 10 > functions) {
		print longer " of " functions " functions of the product are longer than 25 lines; a tenth may be"
		failed = 1
	}
	exit failed
}' $list || failed=1
python3 tests/rooms.py || failed=1
exit "${failed:-0}"
