# SPDX-License-Identifier: Apache-2.0
# add: out/stasis out/deps/netfilter tools/net-setup docs/getting-started.md docs/installing.md
# image: busybox
# modules: tun veth nf_tables nft_chain_nat nft_masq nft_ct
# seconds: 600
#
# The commands of docs/getting-started.md and the configuration of docs/installing.md, verbatim, except for blocks under a comment that begins
# with "not run:" and gives the reason. `sudo` and the installed net-setup are stand-ins.
. "$T/lib.sh"

for tap in tap0 tap1 tap2 tap3; do ip link delete $tap 2>/dev/null; done
mkdir -p bin /usr/lib/stasis
cat >bin/sudo <<END
#!/bin/sh
# busybox's sh prefers its own ip to another.
[ "\$1" != ip ] || { shift; exec "$T/netfilter/bin/ip" "\$@"; }
exec "\$@"
END
{
	echo "#!/bin/sh"
	echo "export PATH=$T/netfilter/bin:\$PATH; ip() { $T/netfilter/bin/ip \"\$@\"; }; flock() { :; }"
	cat "$T/net-setup"
} >/usr/lib/stasis/net-setup
chmod +x bin/sudo /usr/lib/stasis/net-setup
export PATH="$PWD/bin:$PATH" USER=root

# section TITLE: the blocks of commands below that heading that are to be run.
section() {
	awk -v title="## $1" '
	/^## / { here = $0 == title }
	/^<!-- not run: ./ { skip = 1 }
	/^    / && here { if (!skip) print substr($0, 5); next }
	/^[^<]/ { skip = 0 }' "$T/getting-started.md"
}

cp -r "$T/busybox" vm
mkfifo console
exec 9<>console
t_begin "every block is run, or has a reason why not"
awk '/^    / && !inside { blocks++; inside = 1 } !/^    / { inside = 0 } /^<!-- not run: [a-z]/ { reasons++ }
	END { exit !(blocks == 4 && reasons == 2) }' "$T/getting-started.md"
if [ $? -eq 0 ] && [ -n "$(section Network)" ]; then t_ok; else t_fail "blocks came or went: adjust this suite"; fi
t_begin "a guest with a network"
section Network >network.sh
sh -e network.sh >out 2>&1 <console 9<&- &
guest_pid=$!
wait_for 60 out "Enter 'help'"
if ping -c 3 -W 3 -q 172.16.0.2 >ping.out 2>&1; then t_ok; else
	cat ping.out >>out
	t_fail "it does not answer" out
fi
tell 10 mark "echo template >/mark; sync; echo done"
t_begin "a snapshot and ten clones"
section "A snapshot and ten clones" >clones.sh
if timeout 200 sh -e clones.sh >clones.out 2>&1; then t_ok; else t_fail "failed ($?)" clones.out; fi
t_begin "each clone answers at the same address, in its namespace"
silent=
for n in 1 2 3 4 5 6 7 8 9 10; do
	sudo ip netns exec clone$n ping -c 5 -W 5 -q 172.16.0.2 >ping$n.out 2>&1 || silent="$silent $n"
done
if [ -z "$silent" ]; then t_ok; else
	cat clone*.log >>clones.out
	t_fail "silent:$silent" clones.out
fi
t_begin "a clone is stopped as the page says"
if timeout 20 stasis ctl --socket clone3.sock stop >ctl.out 2>&1 && sleep 1 &&
	! sudo ip netns exec clone3 ping -c 1 -W 2 -q 172.16.0.2 >ping3.out 2>&1 &&
	sudo ip netns exec clone4 ping -c 5 -W 5 -q 172.16.0.2 >ping4.out 2>&1; then t_ok; else t_fail "it is not" ctl.out; fi
t_begin "the others, and the guest itself, end"
failed=
for n in 1 2 4 5 6 7 8 9 10; do timeout 20 stasis ctl --socket clone$n.sock stop >ctl.out 2>&1 || failed="$failed $n"; done
timeout 20 stasis ctl --socket vm.sock stop >>ctl.out 2>&1 || failed="$failed vm"
exec 9>&-
wait $guest_pid
for n in 1 2 3 4 5 6 7 8 9 10; do
	/usr/lib/stasis/net-setup --remove --netns clone$n tap0 >remove.out 2>&1 || failed="$failed net$n"
	sudo ip netns delete clone$n 2>/dev/null
done
/usr/lib/stasis/net-setup --remove tap0 >>remove.out 2>&1 || failed="$failed net"
cat remove.out >>ctl.out
rm -rf /usr/lib/stasis
if [ -z "$failed" ]; then t_ok; else t_fail "not:$failed" ctl.out; fi
t_begin "the service's configuration"
rm -rf template vm *.ext4 # this host's files are in its RAM
mkdir -p /var/lib/stasis
cp -r "$T/busybox" /var/lib/stasis/demo
awk '/^    [{]/ { json = 1 } json { print substr($0, 5) } /^    [}]/ { exit }' "$T/installing.md" >demo.json
rm -f out
exec 9<>console
stasis --id demo --no-api --config-file demo.json >out 2>&1 <console 9<&- &
guest_pid=$!
wait_for 120 out "Enter 'help'" && echo "exit 0" >&9
if wait_for 60 out "ended with status 0" && wait $guest_pid; then t_ok; else
	kill -KILL $guest_pid
	t_fail "it does not boot, or does not end" out
fi
exec 9>&-
rm -rf /var/lib/stasis
t_done
