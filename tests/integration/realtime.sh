# SPDX-License-Identifier: Apache-2.0
# add: out/stasis out/guests/wall.img
#
# The wall-clock time that a guest is told (tests/guests/wall.c): the PL031, VMClock and KVM's PTP
# hypercall, with a date, with an offset, and in clones of one snapshot.
. "$T/lib.sh"

verdict() { if [ "$1" -eq 0 ]; then t_ok; else t_fail "$2" out; fi; }
between() { [ "$1" -le "$2" ] && [ "$2" -le "$3" ]; }
# of NAME FILE WHEN: the number after it in the guest's line.
of() { tr -d '\r' <"$2" | grep "^$3 .*\.\$" | sed -n "s/.*\b$1 \([0-9a-z]*\).*/\1/p"; }

# boot OUT OPTION...: until it waits, with an API at ./s.
boot() {
	rm -f s
	boot_out=$1
	shift
	: >"$boot_out" # what the last guest said is not of this one
	stasis run --kernel "$T/wall.img" --memory 64M --cmdline console=ttyS0 --api-sock s "$@" >"$boot_out" 2>&1 </dev/null &
	vmm=$!
	wait_for 30 "$boot_out" ^waiting
}
end() {
	stasis ctl --socket s stop >>said 2>&1
	wait $vmm
}
# The PL031 is right to a second, VMClock's UTC to one more that passed.
shows() { between "$1" "$(of rtc "$2" "$3")" $(($1 + 5)) && between "$1" $(($(of tai "$2" "$3") - 37)) $(($1 + 1)); }

boot out
t_begin "by default the guest is told the host's time, by KVM too"
now=$(date +%s)
between $((now - 30)) "$(of rtc out booted)" $((now + 1)) && [ "$(of ptp out booted)" = some ]
verdict $? "$now: $(cat out)"
rm -rf shot
stasis snapshot --socket s shot >said 2>&1
end

for when in 2038-01-19T03:14:07Z 2147483647; do
	boot out --realtime $when
	t_begin "a date, $when: the guest begins with it, and KVM does not tell it the host's"
	shows 2147483647 out booted && [ "$(of ptp out booted)" = none ]
	verdict $? "$(cat out)"
	[ $when = 2147483647 ] || end
done
t_begin "GET /clock says how far from the host's that is"
told=$(stasis ctl --socket s --json clock | sed -n 's/.*"realtime":"\([+-][0-9]*\).*/\1/p')
between $((2147483647 - $(date +%s) - 60)) "$told" $((2147483647 - $(date +%s) + 60))
verdict $? "$told"
stasis snapshot --socket s dated >said 2>&1
end

boot out --realtime -86400
t_begin "an offset: a day ago"
yesterday=$(($(date +%s) - 86400))
between $((yesterday - 30)) "$(of rtc out booted)" $((yesterday + 1)) && [ "$(of ptp out booted)" = none ]
verdict $? "$yesterday: $(cat out)"
end

boot out --realtime 2200-01-01T00:00:00Z
t_begin "after 2106 the PL031 wraps, and VMClock does not"
[ $(($(of tai out booted) - 37)) -ge 7258118400 ] && between $((7258118400 - 4294967296)) "$(of rtc out booted)" $((7258118405 - 4294967296))
verdict $? "$(cat out)"
end

# clone OUT FOLDER OPTION...
clone() {
	clone_out=$1
	shift
	run_guest 60 "$clone_out" stasis restore "$@"
}
t_begin "a restored guest keeps its distance to the host's time"
clone out dated
expected=$(($(date +%s) + told))
between $((expected - 30)) "$(of rtc out restored)" $((expected + 1)) && [ "$(of ptp out restored)" = none ]
verdict $? "$expected: $(cat out)"

t_begin "a load may choose another, and hides KVM's from a guest that had it"
clone out shot --realtime 2031-02-03T04:05:06+01:00
shows 1927854306 out restored && [ "$(of ptp out restored)" = none ]
verdict $? "$(cat out)"
t_begin "host, for one that had a date"
clone out dated --realtime host
now=$(date +%s)
between $((now - 30)) "$(of rtc out restored)" $((now + 1))
verdict $? "$now: $(cat out)"

# What VMClock says is that of the counter at which the guest goes on, to the tick.
t_begin "clones with the same date see the same clocks"
for i in 1 2 3 4; do clone "clone-$i" shot --realtime 2030-01-01T00:00:00Z; done
for i in 1 2 3 4; do
	echo "$(of rtc "clone-$i" restored) $(of tai "clone-$i" restored) $(of fraction "clone-$i" restored) $(of counter "clone-$i" restored)"
done >clones
[ "$(sort -u clones | wc -l)" = 1 ] && grep -q "^1893456000 1893456037 0 " clones
verdict $? "$(cat clones)"
echo "# the first reading of the counter, in ticks after that: $(for i in 1 2 3 4; do of after "clone-$i" restored; done | tr '\n' ' ')"

for wrong in now +9223372037 1969-12-31T23:59:59Z 2262-04-12T00:00:00Z -9000000000 2023-02-29T00:00:00Z; do
	t_begin "refused: $wrong"
	run_guest 20 out stasis run --kernel "$T/wall.img" --realtime "$wrong"
	[ $run_status -ne 0 ] && [ "$(wc -l <out)" = 1 ] && grep -q "realtime" out
	verdict $? "status $run_status"
done

t_done
