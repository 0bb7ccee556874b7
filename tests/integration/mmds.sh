# SPDX-License-Identifier: Apache-2.0
# add: out/stasis
# add: out/tests/streams
# guest: metadata
# modules: tun
# seconds: 600
#
# The metadata service, asked by a Linux guest's programs: busybox's wget, curl, and Python that asks
# as SDKs and cloud-init do. Beside it the interface's tap is an ordinary one, in a network namespace.
. "$T/lib.sh"

unshare -n sleep 1000 &
ns=$!
usleep 300000
inside="nsenter --net=/proc/$ns/ns/net"
in_namespace() { $inside "$@"; }
in_namespace tunctl -t tap1 >/dev/null
in_namespace tunctl -t tap2 >/dev/null
in_namespace ip address add 10.0.1.1/24 dev tap1
in_namespace ip link set lo up
in_namespace ip link set tap1 up
in_namespace ip link set tap2 up
$inside "$T/streams" echo tcp:10.0.1.1:7000 >echo.out 2>&1 &
echo=$!

cat >vm.json <<END
{"boot-source": {"kernel_image_path": "$T/kernel-6.12", "initrd_path": "$T/metadata.cpio",
  "boot_args": "console=ttyS0 quiet panic=-1 cma=0"},
 "drives": [], "machine-config": {"vcpu_count": 1, "mem_size_mib": 384},
 "network-interfaces": [{"iface_id": "net0", "host_dev_name": "tap1", "guest_mac": "06:00:00:00:00:01"},
  {"iface_id": "net1", "host_dev_name": "tap2", "guest_mac": "06:00:00:00:00:02"}],
 "mmds-config": {"network_interfaces": ["net0"], "version": "V2"}}
END
cat >data.json <<END
{"latest": {"meta-data": {"ami-id": "ami-12345678", "iam": {"security-credentials": {"role":
    "{\"Code\": \"Success\", \"AccessKeyId\": \"key\"}"}},
   "placement": {"availability-zone": "eu-west-1a"},
   "network": {"interfaces": {"macs": {"02:29:96:8f:6a:2d": {"device-number": "0", "local-hostname": "ip-10-0-1-2"}}}}},
  "long": "$(awk 'BEGIN { while (i++ < 9000) printf "long " }')", "number": 7}}
END

# start OPTION...: a guest of vm.json, as start_guest.
start() {
	rm -f console s out
	mkfifo console
	exec 9<>console
	$inside stasis --config-file vm.json --api-sock "$PWD/s" "$@" >out 2>&1 <console 9<&- &
	guest_pid=$!
	wait_for 90 out "guest: ready"
}
ctl() { timeout 60 stasis ctl --socket "$PWD/s" "$@"; }
# asks SECONDS KEY COMMAND: and shows what the guest said if it is not WANTED.
asked=0
answers() {
	asked=$((asked + 1))
	tell 60 "a$asked" "$1"
	[ "$(said "a$asked")" = "$2" ] && return
	problem="$1: $(said "a$asked") instead of $2"
	return 1
}
counter() { ctl --json get /metrics | tr '}' '\n' | grep '"mmds"' | tr ',{' '\n\n' | sed -n "s/\"$1\"://p"; }
packets() { in_namespace cat /proc/net/dev | awk '/tap1:/ { print $3 + 0 }'; }

t_begin "metadata that is not valid is refused by name"
echo '[]' >list.json
for words in "--metadata list.json" "--metadata data.json --mmds-size-limit 1000" \
	"--metadata data.json --http-api-max-payload-size 1000"; do
	run_guest 20 refused $inside stasis --config-file vm.json --no-api $words
	echo "$words: $run_status" >>refusals
	grep -o "metadata .*" refused >>refusals
done
if [ "$(grep -c ": 152" refusals)" -eq 3 ] && grep -q "metadata list.json: The metadata is not a JSON object" refusals &&
	[ "$(grep -c "metadata data.json: The MMDS patch request doesn't fit" refusals)" -eq 2 ]; then t_ok; else
	t_fail "they are not" refusals
fi

t_begin "a configuration that is not valid is refused by name"
sed 's/"V2"/"V3"/' vm.json >bad1.json
sed 's/\["net0"\]/["net7"]/' vm.json >bad2.json
sed 's/"V2"/"V2", "ipv4_address": "10.0.0.1"/' vm.json >bad3.json
sed 's/tap1"/tap1", "vhost": true/' vm.json >bad4.json
rm -f refusals
for n in 1 2 3 4; do
	run_guest 20 refused $inside stasis --config-file bad$n.json --no-api
	echo "status $run_status" >>refusals
	grep -o "mmds-config: .*\|network-interfaces: .*" refused >>refusals
done
if [ "$(grep -c "status 152" refusals)" -eq 4 ] && grep -q 'mmds-config: .*`V3`' refusals &&
	grep -q "at least one ID that does not correspond" refusals &&
	grep -q "mmds-config: The MMDS IPv4 address is not link local" refusals; then t_ok; else t_fail "they are not" refusals; fi

start --metadata data.json

t_begin "version 2: no token, no metadata"
if answers 'wget -O - $api/latest/ 2>&1 | grep -o "401 Unauthorized"' "401 Unauthorized" &&
	answers 'curl -o /dev/null -w "%{http_code}" $api/latest/' 401 &&
	answers 'curl -H "X-metadata-token: 0" $api/latest/' "MMDS token not valid."; then t_ok; else t_fail "$problem" out; fi

t_begin "with a token, whichever header brings it, by wget and by curl"
if answers 'token=$(curl -X PUT -H "X-metadata-token-ttl-seconds: 600" $api/latest/api/token); echo ${#token}' 64 &&
	answers 'curl -X PUT -H "X-metadata-token-ttl-seconds: 600" $api/latest/api/token >/tmp/token; wc -c </tmp/token' 64 &&
	answers 'wget -q -O - --header "X-metadata-token: $(cat /tmp/token)" $api/latest/meta-data/ami-id' ami-12345678 &&
	answers 'curl -H "X-aws-ec2-metadata-token: $(cat /tmp/token)" $api/latest/meta-data | tr "\n" " "' \
		"ami-id iam/ network/ placement/"; then t_ok; else t_fail "$problem" out; fi

t_begin "JSON for who accepts it; 404, 405, 501 and 400"
get='curl -H "X-metadata-token: $(cat /tmp/token)"'
status="$get -o /dev/null -w %{http_code}"
if answers "$get -H 'Accept: application/json' \$api/latest/meta-data/placement" '{"availability-zone":"eu-west-1a"}' &&
	answers "$status \$api/latest/none" 404 && answers "$status -X POST \$api/" 405 &&
	answers "$status \$api/latest/number" 501 && answers "$status -X PUT \$api/latest/api/token" 400 &&
	answers "$get -H 'Accept: application/json' \$api/latest/number" 7; then t_ok; else t_fail "$problem" out; fi

for way in sdk crawl many; do
	t_begin "Python asks: $way"
	if answers "python3 /bin/imds.py $way" fine; then t_ok; else t_fail "$problem" out; fi
done

t_begin "one connection for several requests, and several connections at once"
if answers "$get \$api/latest/long \$api/latest/meta-data/ami-id \$api/latest/number -o /tmp/1 -o /tmp/2 -o /tmp/3 -w '%{num_connects} ' | tail -n 1" \
	"1 0 0 " && answers "$get -Z \$(for i in 1 2 3 4 5 6 7 8; do echo \$api/latest/long -o /tmp/\$i; done); cat /tmp/[1-8] | wc -c" \
	360000; then t_ok; else t_fail "$problem" out; fi

t_begin "what the API changes, the guest sees at once"
ctl patch /mmds '{"latest": {"meta-data": {"ami-id": "ami-2", "iam": null}}}' >ctl.out 2>&1
answers "$get \$api/latest/meta-data/ami-id" ami-2 && answers "$status \$api/latest/meta-data/iam" 404
patched=$?
ctl put /mmds '{"a": "b"}' >>ctl.out 2>&1
if [ $patched -eq 0 ] && answers "$get \$api/" a && [ "$(ctl --json get /mmds)" = '{"a":"b"}' ]; then t_ok; else t_fail "$problem" ctl.out; fi

t_begin "none of it reached the tap, and all else does"
before=$(packets)
answers "$get \$api/a" b
after=$(packets)
tell 20 ping "ping -c 3 -q 10.0.1.1 | grep received"
if [ "$before" -eq "$after" ] && said ping | grep -q " 3 packets received" && [ "$(packets)" -gt "$after" ]; then t_ok; else
	t_fail "$problem; $before, $after, $(packets) packets; $(said ping)" out
fi

t_begin "the other interface has no such service"
if answers 'ip route change 169.254.169.254 dev eth1; ip link set eth1 up; ip address add 10.0.2.2/24 dev eth1;
	curl -m 3 -o /dev/null $api/; echo $?; ip route change 169.254.169.254 dev eth0' "" &&
	said "a$asked" | grep -q .; then t_fail "it answered" out; else
	if answers "$get \$api/a" b; then t_ok; else t_fail "$problem" out; fi
fi

t_begin "a token outlives a pause, and connections do"
ctl pause >ctl.out 2>&1
usleep 500000
ctl resume >>ctl.out 2>&1
if answers "$get \$api/a" b; then t_ok; else t_fail "$problem" ctl.out; fi

t_begin "GET /vm/config and the metrics tell"
ctl --json get /vm/config >config 2>&1
if grep -q '"mmds-config":{"version":"V2","network_interfaces":\["net0"\],"ipv4_address":"169.254.169.254","imds_compat":false}' config &&
	[ "$(counter rx_no_token)" -ge 3 ] && [ "$(counter rx_invalid_token)" -ge 2 ] && [ "$(counter tx_bytes)" -gt 360000 ] &&
	[ "$(counter connections_created)" -gt 20 ]; then t_ok; else ctl --json get /metrics >>config; t_fail "they do not" config; fi

t_begin "garbage costs no memory, and others are answered meanwhile"
resident() { awk '/^RssAnon/ { print $2 }' /proc/$guest_pid/status; }
answers "metadata flood eth0 2000 | sed 's/ takes.*//'" "metadata: a frame"
kib=$(resident)
tell 0 flood "metadata flood eth0 100000"
slow=0
for i in 1 2 3 4 5 6 7 8 9 10; do
	timeout 5 stasis ctl --socket "$PWD/s" get /version >/dev/null 2>&1 || slow=$((slow + 1))
	usleep 100000
done
wait_for 240 out "^guest: flood="
grew=$(($(resident) - kib))
echo "# $(said flood); it grew by $grew KiB"
# What the guest touches of its RAM counts, too.
if said flood | grep -q "a frame takes" && [ $slow -eq 0 ] && [ $grew -lt 4096 ] && answers "$get \$api/a" b; then t_ok; else
	t_fail "$problem; grew by $grew KiB; $slow slow answers" out
fi

t_begin "a restored guest has the configuration, but neither data nor valid tokens"
if stasis doctor | grep -q "^ok  *counter offset"; then
	mkdir shot
	ctl pause >ctl.out 2>&1
	ctl put /snapshot/create "{\"snapshot_path\": \"$PWD/shot/state\", \"mem_file_path\": \"$PWD/shot/memory\"}" >>ctl.out 2>&1
	kill -KILL $guest_pid
	wait $guest_pid 2>/dev/null
	rm -f s
	$inside stasis restore "$PWD/shot" --api-sock "$PWD/s" >out 2>&1 <console 9<&- &
	guest_pid=$!
	until [ -S s ] || ! kill -0 $guest_pid; do usleep 50000; done
	token='curl -X PUT -H "X-metadata-token-ttl-seconds: 600" $api/latest/api/token >/tmp/token'
	if answers "$get \$api/a" "MMDS token not valid." && answers "$token; $get \$api/a" "Resource not found: /a." &&
		[ "$(ctl --json get /mmds)" = "{}" ] && ctl put /mmds '{"a": "c"}' >>ctl.out 2>&1 &&
		answers "$get \$api/a" c; then t_ok; else t_fail "$problem" out; fi
else
	t_skip "this host's KVM takes no snapshots"
fi

end_guest || echo "# status $guest_status"

t_begin "version 1 at another address, with imds_compat"
sed 's/"version": "V2"/"ipv4_address": "169.254.1.2", "imds_compat": true/' vm.json >v1.json
mv v1.json vm.json
start --metadata data.json
if answers "ip route add 169.254.1.2 dev eth0; wget -q -O - http://169.254.1.2/latest/meta-data/ami-id" ami-12345678 &&
	answers "curl -H 'Accept: application/json' http://169.254.1.2/latest/meta-data/placement" availability-zone &&
	end_guest; then t_ok; else t_fail "$problem, status $guest_status" out; fi

kill $echo $ns 2>/dev/null
t_done
