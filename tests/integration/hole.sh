# SPDX-License-Identifier: Apache-2.0
# add: out/stasis out/guests/hole.img out/bench/pauses tests/bench/hole
#
# How much of its time a guest loses over a frozen pause, in instructions: on a host that counts
# them as nanoseconds. tests/bench/hole says how it is measured, docs/time.md of what it consists.
. "$T/lib.sh"

sleep 5 # until the host has settled, which takes no time there
sh "$T/hole" >said 2>&1
hole() { sed -n "s/^hole $1 \\([0-9]*\\).*/\\1/p" said; }
nothing=$(hole nothing) pause=$(hole pause)

t_begin "a request that leaves the guest alone is seen as what it takes"
if [ "${nothing:-0}" -ge 10000 ] && [ "$nothing" -le 100000 ]; then t_ok; else t_fail "$nothing" said; fi
t_begin "a frozen pause makes a hole of at most 15,000 instructions beside that"
echo "# $pause instructions, and $nothing for a request that leaves the guest alone"
if [ "${pause:-0}" -ge 10000 ] && [ $((pause - nothing)) -le 15000 ]; then t_ok; else t_fail "$pause" said; fi
t_begin "and one of at most 40,000 with the request, beside the client's own 13,800"
if [ "${pause:-100000}" -le 53800 ]; then t_ok; else t_fail "$pause" said; fi

t_done
