# SPDX-License-Identifier: Apache-2.0
# add: out/stasis
# guest: clone
#
# Fifty guests at once that go on from one snapshot: each is another at once, and together they take
# little more memory than they have written.
. "$T/lib.sh"

count=50
stasis run --kernel "$T/kernel-newest" --initrd "$T/clone.cpio" --memory 256M --entropy --api-sock vm.sock \
	--cmdline "console=ttyS0 quiet panic=-1" >out 2>&1 </dev/null &
vmm=$!
wait_for 90 out '^guest: started'
started=$(said started)
sleep 2
t_begin "a snapshot is taken by hand, and its VM goes on"
stasis snapshot --socket vm.sock shot >said 2>&1
status=$?
if [ $status -eq 0 ] && [ -s shot/state ] && [ -s shot/memory ] &&
	stasis ctl --socket vm.sock status | grep -q '^state *Running'; then t_ok; else t_fail "status $status" said; fi
stasis ctl --socket vm.sock stop >>said
wait $vmm

pids=
for i in $(seq $count); do
	(
		while [ ! -e speak ]; do sleep 1; done
		echo say
		while [ ! -e end ]; do sleep 1; done
	) | timeout -s KILL 150 stasis restore shot --log-level warning >"clone-$i" 2>&1 &
	pids="$pids $!"
done
sleep 10
t_begin "$count clones run"
running=0
for pid in $pids; do
	if kill -0 "$pid" 2>/dev/null; then running=$((running + 1)); fi
done
if [ $running -eq $count ]; then t_ok; else t_fail "$running do" clone-1; fi

# timeout's child is the VMM.
t_begin "a clone that idles takes at most 3 MiB beyond what it has written"
for pid in $(pidof stasis); do
	awk '/^Pss:/ { pss = $2 } /^Anonymous:/ { written = $2 } END { print pss, written, pss - written }' "/proc/$pid/smaps_rollup"
done >memory
line=$(awk '{ pss += $1; written += $2; if ($3 > most) most = $3; n++ }
	END { printf "%d %d %d %d", n, pss / n, written / n, most }' memory)
set -- $line
if [ "$1" -eq $count ] && [ "$4" -le 3072 ] && [ "$2" -gt 0 ]; then t_ok; else t_fail "$line" memory; fi
echo "# of $1: $2 KiB each, proportionally, of which $3 were written; at most $4 beyond that"

: >speak
for i in $(seq $count); do wait_for 60 "clone-$i" '^guest: still='; done
t_begin "no two of them have the same random numbers"
cat clone-* | tr -d '\r' | sed -n 's/^guest: random=//p' | sort >random
if [ "$(wc -l <random)" -eq $count ] && [ "$(sort -u random | wc -l)" -eq $count ] &&
	[ "$(grep -c '^[0-9a-f]\{32\}$' random)" -eq $count ]; then t_ok; else t_fail "they have" random; fi

t_begin "each was told that it is another, once"
told=$(cat clone-* | tr -d '\r' | grep -c '^guest: reseeded=1$')
if [ "$told" -eq $count ]; then t_ok; else t_fail "$told were" clone-1; fi

t_begin "none has booted"
same=$(cat clone-* | tr -d '\r' | grep -c "^guest: still=$started\$")
if [ "$same" -eq $count ]; then t_ok; else t_fail "$same have not" clone-1; fi
: >end
for pid in $(pidof stasis); do kill "$pid"; done
wait
t_done
