# SPDX-License-Identifier: Apache-2.0
# add: out/stasis
# image: busybox
# modules: tun
#
# An image of stasis image build, started: its kernel has virtio as modules, its root no init.
# tests/image.py is for archives that are not as they should be.
. "$T/lib.sh"

tunctl -t tap0 >/dev/null
ip address add 172.16.0.1/24 dev tap0
ip link set tap0 up

start_image() {
	rm -f console out s
	mkfifo console
	exec 9<>console
	stasis run --image "$T/busybox" --memory 256M --net tap0 --api-sock "$PWD/s" --cmdline "console=ttyS0 quiet \
ip=172.16.0.2::172.16.0.1:255.255.255.0:demo:eth0:off:9.9.9.9 $1" >out 2>&1 <console 9<&- &
	guest_pid=$!
	wait_for 60 out "Enter 'help'"
}

t_begin "it boots to its command"
if start_image ""; then t_ok; else t_fail "it does not" out; fi
t_begin "root disk, name, address, route and name server are those that the command line says"
tell 10 root "mount | grep ' on / '"
tell 10 host "hostname"
tell 10 address "ip address show eth0 | grep -o 'inet [0-9./]*'"
tell 10 route "ip route | grep default"
tell 10 dns "cat /etc/resolv.conf"
if [ "$(said host)" = demo ] && [ "$(said address)" = "inet 172.16.0.2/24" ] &&
	said route | grep -q "via 172.16.0.1 dev eth0" && [ "$(said dns)" = "nameserver 9.9.9.9" ] &&
	said root | grep -q "ext4 (rw"; then t_ok; else t_fail "$(said host) $(said address) $(said route) $(said dns) $(said root)" out; fi
t_begin "the host reaches it"
if ping -c 2 -W 2 -q 172.16.0.2 >ping.out 2>&1; then t_ok; else t_fail "it does not" ping.out; fi
t_begin "it is saved with its disk, and goes on in a clone"
tell 10 file "echo before >/before; sync; echo done"
timeout 60 stasis snapshot --socket s shot --with-disks >shot.out 2>&1
status=$?
tell 10 more "echo after >/after; sync; echo done"
echo "exit 7" >&9
wait_for 20 out "ended with status 7"
wait $guest_pid
ended=$?
rm -f s out
stasis restore shot --disk disk0=shot/disk0.disk --api-sock "$PWD/s" >out 2>&1 <console 9<&- &
guest_pid=$!
wait_for 20 s . 2>/dev/null
sleep 1
tell 20 cat "cat /before; cat /after"
if [ $status -eq 0 ] && [ $ended -eq 0 ] && said cat | grep -q "/after"; then t_ok; else
	cat shot.out >>out
	t_fail "status $status, $ended, $(said cat)" out
fi
t_begin "when its command ends, the guest powers off"
echo "exit 0" >&9
if wait_for 30 out "ended with status 0" && wait $guest_pid; then t_ok; else t_fail "it does not" out; fi
exec 9>&-
t_done
