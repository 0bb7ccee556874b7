# SPDX-License-Identifier: Apache-2.0
# add: out/stasis out/deps/netfilter tools/net-setup
# guest: devices
# modules: tun veth nf_tables nft_chain_nat nft_masq nft_ct
#
# tools/net-setup: what guests on its taps reach, that taps do not meet each other, and that nothing
# of anybody else is touched, when it fails half way and when it removes. Beyond this host there is
# a world of one namespace, with a public address, a private one, and a cloud's metadata address.
. "$T/lib.sh"
export T PATH="$T/netfilter/bin:$PATH"
# busybox's sh prefers its own ip to that of PATH, and has no flock.
ip() { "$T/netfilter/bin/ip" "$@"; }
{
	echo 'ip() { "$T/netfilter/bin/ip" "$@"; }; flock() { :; }'
	cat "$T/net-setup"
} >setup.sh
setup="sh $PWD/setup.sh"

# Suites that ran on this host before have left theirs.
for tap in tap0 tap1 tap2 tap3; do ip link delete $tap 2>/dev/null; done

ip netns add world
ip link add toworld type veth peer name eth0 netns world
ip address add 203.0.113.2/24 dev toworld
ip link set toworld up
ip -n world address add 203.0.113.1/24 dev eth0
ip -n world address add 10.9.0.1/32 dev eth0
ip -n world address add 169.254.169.254/32 dev eth0
ip -n world link set eth0 up
ip -n world link set lo up
ip route add 10.9.0.1 via 203.0.113.1
ip route add 169.254.169.254 via 203.0.113.1

# Everything that tools/net-setup could leave behind.
host_state() {
	nft list ruleset
	ip -o link | awk '{ print $2, $3 }'
	ip route
	ip netns list
	cat /proc/sys/net/ipv4/ip_forward
	ls -A /run/stasis-net 2>/dev/null | grep -v '^[.]lock$'
}

# refuse NAME WORDS ARGUMENT...: refused in one line with WORDS, and nothing is changed.
refuse() {
	t_begin "$1"
	words=$2
	shift 2
	host_state >was
	timeout 60 $setup "$@" >refused 2>&1 </dev/null
	status=$?
	host_state >is
	if [ $status -ne 1 ] || ! grep -qF -- "$words" refused; then
		t_fail "status $status, or no '$words'" refused
	elif ! cmp -s was is; then
		diff was is >differ
		t_fail "it changed something" differ
	else
		t_ok
	fi
}

# guest_network GATEWAY: the guest takes the second address of its network.
guest_network() {
	tell 10 up "ip link set eth0 up; ip address add ${1%.1}.2/24 dev eth0; ip route add default via $1; echo done"
}

# reaches KEY ADDRESS
reaches() {
	tell 20 "$1" "ping -c 2 -W 2 -q $2 | grep -o '[0-9]* packets received'"
	[ "$(said "$1")" = "2 packets received" ]
}

# is_shut KEY ADDRESS
is_shut() {
	tell 20 "$1" "ping -c 1 -W 1 -q $2 | grep -o '[0-9]* packets received'"
	[ "$(said "$1")" = "0 packets received" ]
}

host_state >before 2>host_state.err
[ ! -s host_state.err ] || t_show host_state.err

t_begin "help is printed without doing anything"
if $setup --help | grep -q -- --allow && $setup tap0 -h | grep -q Usage && host_state | cmp -s - before; then
	t_ok
else
	t_fail "it is not, or something changed"
fi

refuse "a network that is none" "--net 300.1.1.0/24" --net 300.1.1.0/24 tap0
refuse "an address to allow that is none" "--allow 10.1" --allow 10.1 tap0
refuse "a user who does not exist" "there is no such user" --user somebody tap0
refuse "a name that nft could take for something else" "choose a name" 'a;b'
refuse "the host's own network" "203.0.113.0/24 is taken" --net 203.0.113.0/24 tap0
refuse "removing what it has not made" "was not created" --remove toworld
refuse "an interface of another" "did not make it" toworld

t_begin "a failure half way undoes its own steps only"
nft add table inet stasis_tap0
nft add chain inet stasis_tap0 input '{ type nat hook postrouting priority 0; }'
host_state >was
$setup tap0 >out 2>&1
status=$?
host_state >is
if [ $status -ne 0 ] && cmp -s was is; then t_ok; else
	diff was is >>out
	t_fail "status $status" out
fi
nft delete table inet stasis_tap0

# A firewall as others install it: what it does not know is dropped.
nft add table inet other
nft add chain inet other pass '{ type filter hook forward priority 0; policy drop; }'
nft list table inet other >other.before

t_begin "a tap, beside a firewall that drops, and the second tap has a network of its own"
$setup tap0 >made 2>&1
$setup tap1 >>made 2>&1
if grep -q "created tap0.* 172.16.0.2" made && grep -q "created tap1.* 172.16.1.2" made &&
	grep -q "chain pass of nft's table inet other" made; then t_ok; else t_fail "it is not" made; fi
refuse "the same tap again" "tap0 exists already" tap0
refuse "a network that another tap has" "172.16.1.0/24 is taken" --net 172.16.1.0/24 tap2

t_begin "its guest reaches its gateway and public addresses"
start_guest --memory 128M --net tap0
guest_network 172.16.0.1
if reaches gateway 172.16.0.1 && reaches public 203.0.113.1; then t_ok; else t_fail "it does not" out; fi
t_begin "but no private ones, no metadata service, no other guest, and not this host"
if is_shut private 10.9.0.1 && is_shut metadata 169.254.169.254 && is_shut other 172.16.1.1 &&
	is_shut host 203.0.113.2; then t_ok; else t_fail "it does" out; fi
t_begin "nor a port of its gateway, nor anything over IPv6"
nc -l -p 77 -e true &
listener=$!
nc -l -p 78 -e true &
listener6=$!
link_local=$(ip -6 -o address show dev tap0 | awk '{ sub("/.*", "", $4); print $4 }')
tell 20 port "timeout 2 nc 172.16.0.1 77 </dev/null && echo open || echo shut"
tell 20 six "timeout 2 nc ${link_local:-::1}%eth0 78 </dev/null && echo open || echo shut"
if [ "$(said port) $(said six)" = "shut shut" ]; then t_ok; else t_fail "$(said port) $(said six)" out; fi
kill $listener $listener6 2>/dev/null
t_begin "the host reaches its guest"
if ping -c 2 -W 2 -q 172.16.0.2 >ping.out 2>&1; then t_ok; else t_fail "it does not" ping.out; fi
end_guest || echo "# status $guest_status"

t_begin "removed, the other tap stays, and the firewall is as it was"
$setup --remove tap0 >removed 2>&1
nft list table inet other | grep -c tap0 >>removed
kept=$(ip -o link | grep -c "tap1:")
$setup --remove tap1 >>removed 2>&1
nft list table inet other >other.after
if [ "$kept" = 1 ] && [ "$(grep -cx 0 removed)" = 1 ] && cmp -s other.before other.after; then t_ok; else t_fail "$kept" removed; fi
t_begin "forwarding stays while others' rules may need it"
if [ "$(cat /proc/sys/net/ipv4/ip_forward)" = 1 ] && grep -q "ip_forward stays 1" removed; then t_ok; else t_fail "it does not" removed; fi
nft delete table inet other
echo 0 >/proc/sys/net/ipv4/ip_forward
t_begin "nothing is left"
host_state >after
if cmp -s before after; then t_ok; else
	diff before after >differ
	t_fail "something is" differ
fi

t_begin "two namespaces with a tap and a guest network of the same name"
{ $setup --netns one tap0 && $setup --netns two --allow 10.9.0.0/16 --allow 203.0.113.2 tap0; } >made 2>&1
if [ "$(grep -c "created tap0.* 172.16.0.2" made)" = 2 ]; then t_ok; else t_fail "no" made; fi
t_begin "a guest in the first reaches public addresses, and nothing that is private"
before="ip netns exec one"
start_guest --memory 128M --net tap0
guest_network 172.16.0.1
if reaches public 203.0.113.1 && is_shut private 10.9.0.1 && is_shut metadata 169.254.169.254 &&
	is_shut host 203.0.113.2; then t_ok; else t_fail "no" out; fi
end_guest || echo "# status $guest_status"
t_begin "one in the second, what it was allowed"
before="ip netns exec two"
start_guest --memory 128M --net tap0
guest_network 172.16.0.1
if reaches public 203.0.113.1 && reaches private 10.9.0.1 && reaches host 203.0.113.2 &&
	is_shut metadata 169.254.169.254; then t_ok; else t_fail "no" out; fi
end_guest || echo "# status $guest_status"
t_begin "a failure in a namespace leaves the other, and its own, as they were"
ip -n one link add tap7 type veth peer name tap8
host_state >was
$setup --netns one tap7 >failed 2>&1
status=$?
host_state >is
if [ $status -eq 1 ] && cmp -s was is; then t_ok; else t_fail "status $status" failed; fi
t_begin "removed, nothing is left, and forwarding is off"
$setup --remove --netns one tap0 >removed 2>&1
$setup --remove --netns two tap0 >>removed 2>&1
host_state >after
if cmp -s before after && [ ! -s removed ]; then t_ok; else
	diff before after >>removed
	t_fail "something is" removed
fi
t_done
