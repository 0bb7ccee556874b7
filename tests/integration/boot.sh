# SPDX-License-Identifier: Apache-2.0
# add: out/stasis
# guest: linux
#
# A Linux guest boots to its init with all it was given, finds its devices, and ends.
. "$T/lib.sh"

boot_linux "quiet guest.log" --cpus 2 --memory 256M --log-level info
tr -d '\r' <out | sed -n '/^guest: log begins/,/^guest: log ends/p' >log

t_begin "Linux boots with 2 vCPU and powers off"
if ! ended_well; then
	t_fail "$problem" out
elif [ "$(said cpus)" != 2 ]; then
	t_fail "it saw $(said cpus) vCPUs" out
elif ! grep -qx 'stasis: the guest powered off' out; then
	t_fail "stasis did not say so" out
else
	t_ok
fi

t_begin "it has its memory"
memory=$(said memory)
if [ "${memory:-0}" -gt 180000 ] && [ "$memory" -lt 262144 ]; then t_ok; else
	t_fail "it saw $memory KiB of 262144"
fi

t_begin "its initrd arrived whole"
if [ "$(said initramfs)" = "$(md5sum <"/etc/passwd" | cut -c 1-8)" ]; then t_ok
elif [ -z "$RIG_HOST" ]; then t_skip "the host's /etc/passwd is not the guest's"
else t_fail "a file of it is not what it was" out; fi

t_begin "its clock shows the host's time"
difference=$(($(said date) - $(date +%s)))
if [ $difference -ge -60 ] && [ $difference -le 60 ]; then t_ok; else
	t_fail "off by $difference s"
fi

# What a host does not know of its caches, its guests cannot.
allowed='^$'
[ -e /sys/devices/system/cpu/cpu0/cache/index0/size ] || allowed='Unable to detect cache hierarchy'
t_begin "its log has no complaints"
if [ "$(wc -l <log)" -lt 100 ]; then
	t_fail "it is too short" log
elif grep -iE 'WARNING|BUG|Oops|Call trace|Unknown|Unhandled|fail|error|unable' log |
	grep -v "$allowed" >bad; then
	t_fail "it has" bad
else
	t_ok
fi

# in_log NAME PATTERN
in_log() {
	t_begin "it found its $1"
	if grep -qE "$2" log; then t_ok; else t_fail "not in the log: $2" log; fi
}
in_log "interrupt controller" 'Root IRQ handler: gic_handle_irq'
in_log "console" 'ttyS0 at MMIO 0x40002000'
in_log "timer" 'arch_timer: cp15 timer\(s\) running'
in_log "clock" 'rtc-pl031 40001000.rtc: registered as rtc0'
in_log "PSCI" 'psci: PSCIv1\.[0-9]+ detected'

t_begin "it is told about stolen time"
if stasis doctor | grep -q 'steal time  *not reported'; then
	t_skip "this host's kernel cannot tell"
else
	t_check grep -q 'using stolen time PV' log
fi

has=$(said features)
boot_linux "quiet guest.reboot" --cpu sve=off,pauth=off --log-level info
without=$(said features)

t_begin "a reset ends the VM"
if [ $run_status -eq 0 ] && grep -q 'stasis: the guest asked for a reset' out; then t_ok; else
	t_fail "status $run_status" out
fi

# feature NAME WORD: the guest's processor has it exactly if doctor says so, and never when it is
# turned off.
feature() {
	t_begin "$1: as the host has it, and none when turned off"
	given=no offered=no
	case $has in *" $2 "*) given=yes ;; esac
	! stasis doctor | grep -q "^ok  *$1  *given to guests" || offered=yes
	case $without in
	*" $2 "*) t_fail "turned off, the guest still has it:$without" ;;
	*" end") if [ $given = $offered ]; then t_ok; else
		t_fail "offered: $offered, given: $given:$has"
	fi ;;
	*) t_fail "the guest did not tell:$without" out ;;
	esac
}
feature SVE sve
feature "pointer authentication" paca

t_done
