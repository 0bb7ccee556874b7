# SPDX-License-Identifier: Apache-2.0
# add: out/stasis out/deps/trace-cmd out/tests/trace_mark out/tests/clock_host
# guest: trace
# seconds: 600
#
# stasis trace-merge, with Debian's trace-cmd in host and guest: across two frozen pauses and a
# continuous one what happened first is first, a guest's event is where its counter was, and none is
# while its vCPU was not in the guest.
. "$T/lib.sh"

LIMIT_NS=1000
before="timeout -s KILL 500"
trace_cmd=$T/trace-cmd/bin/trace-cmd

ctl() { timeout 60 stasis ctl --socket "$PWD/s" "$@" >ctl.out 2>&1; }
verdict() { if [ "$1" -eq 0 ]; then t_ok; else t_fail "$2" "${3:-out}"; fi; }
member() { sed "s/.*\"$1\":\(-*[0-9]*\)[,}].*\"history.*/\1/" ctl.out; }

# mark SIDE PHASE: and keeps the offset of that phase, which is KVM's.
mark() {
	ctl --json clock
	echo "offset=$2:$(member offset)" >>marks
	if [ "$1" = h ]; then "$T/trace_mark" h "$2" 8 >>marks; else tell_word "mark$2"; fi
}
# pause SECONDS POLICY
pause() {
	ctl pause
	sleep "$1"
	ctl resume --clock "$2"
}
# report FILE ARGUMENT...: the merged trace with all digits.
report() {
	report_to=$1
	shift
	"$trace_cmd" report -q -t "$@" >"$report_to" 2>report.err
}

# in_order REPORT: the marks' phases never go back; and all are there.
in_order() {
	grep -o 'mark=[gh]:[0-9]*:[0-9]*' "$1" | awk -F : '
		$2 < last { wrong++; print "after " last ": " $0 }
		{ last = $2; n++ }
		END { print n + 0 " marks, " wrong + 0 " out of order"; exit n != 72 || wrong > 0 }' >order.out
}

# bracketed REPORT: each mark of the guest is between the host's times of the counters before and
# after it, to LIMIT_NS.
bracketed() {
	{
		cat marks
		tr -d '\r' <out | sed -n 's/^guest: marked=/marked=/p'
		sed -n 's/.* \([0-9]*\)\.\([0-9]\{9\}\): .*mark=\([gh]:[0-9]*:[0-9]*\).*/at=\3:\1\2/p' "$1"
	} | awk -F '[=:]' -v hz="$hz" -v host="$host_counter" -v raw="$host_raw" -v limit=$LIMIT_NS '
		$1 == "offset" { offset[$2] = $3 }
		$1 == "marked" { key = $2 ":" $3 ":" $4; a[key] = $5; b[key] = $6 }
		$1 == "at" && $2 == "g" {
			key = $2 ":" $3 ":" $4
			early = (a[key] + offset[$3] - host) * 1e9 / hz + raw - $5
			late = $5 - ((b[key] + offset[$3] - host) * 1e9 / hz + raw)
			worst = early > worst ? early : late > worst ? late : worst
			width = (b[key] - a[key]) * 1e9 / hz
			least = !n || width < least ? width : least
			n++
		}
		END {
			printf "%d marks, at most %.0f ns outside of their counters, which are %.0f ns apart at least\n", n, worst, least
			exit n != 32 || worst > limit
		}' >bracket.out
}

# exact REPORT: each mark of the guest is where its own time stamp says, by the relation of the guest's
# clock to its counter that the guest told at the end.
exact() {
	report raw.txt -i guest.dat --raw-ts
	{
		cat marks
		sed -n 's/.* \([0-9.]*\): .*mark=\(g:[0-9]*:[0-9]*\).*/raw=\2:\1/p' raw.txt | tr -d .
		sed -n 's/.* \([0-9]*\)\.\([0-9]\{9\}\): .*mark=\(g:[0-9]*:[0-9]*\).*/at=\3:\1\2/p' "$1"
	} | awk -F '[=:]' -v hz="$hz" -v host="$host_counter" -v raw="$host_raw" -v limit=$LIMIT_NS -v pair="$2" '
		BEGIN { split(pair, told, ":") }
		$1 == "offset" { offset[$2] = $3 }
		$1 == "raw" { stamp[$3 ":" $4] = $5 }
		$1 == "at" {
			counter = told[1] + (stamp[$3 ":" $4] - told[2]) * hz / 1e9
			off = $5 - ((counter + offset[$3] - host) * 1e9 / hz + raw)
			off = off < 0 ? -off : off
			worst = off > worst ? off : worst
			n++
		}
		END {
			printf "%d marks, at most %.0f ns from their counters\n", n, worst
			exit n != 32 || worst > limit
		}' >exact.out
}

# inside REPORT: no event of the guest while its vCPU was not in it, to LIMIT_NS.
inside() {
	awk -v threads="$threads" -v limit=$LIMIT_NS '
		BEGIN { split(threads, thread, ",") }
		function ns() {
			match($0, /[0-9]+\.[0-9]+: /)
			split(substr($0, RSTART, RLENGTH - 2), part, ".")
			return part[1] * 1e9 + part[2]
		}
		function cpu() { match($0, /\[[0-9]+\]/); return substr($0, RSTART + 1, RLENGTH - 2) + 0 }
		/kvm_entry:/ {
			match($0, /-[0-9]+ +\[/)
			id = substr($0, RSTART + 1, RLENGTH - 2) + 0
			if (waiting[id] && ns() - waiting[id] > limit) wrong++
			waiting[id] = 0
			if (left[id] && ns() - left[id] > 1e9) long++
			within[id] = 1
		}
		/kvm_exit:/ {
			match($0, /-[0-9]+ +\[/)
			id = substr($0, RSTART + 1, RLENGTH - 2) + 0
			within[id] = 0
			left[id] = ns()
		}
		/guest.dat: / && left[thread[1]] {
			n++
			id = thread[cpu() + 1] + 0
			if (!within[id] && ns() - left[id] > limit && !waiting[id]) waiting[id] = ns()
		}
		END {
			print n + 0 " events of the guest, " wrong + 0 " while it did not run; it was out for long " long + 0 " times"
			exit n < 100 || wrong > 0 || long < 2
		}' "$1" >inside.out
}

mount -t tracefs tracefs /sys/kernel/tracing 2>/dev/null
truncate -s 16M disk
t_begin "host and guest record, across two frozen pauses and a continuous one"
begin_words 6.12 trace --memory 512M --cpus 2 --disk disk
rm -f marks
"$trace_cmd" record -q -C mono_raw -e kvm:kvm_entry -e kvm:kvm_exit -o host.dat >record.out 2>&1 &
recorder=$!
wait_for 60 /sys/kernel/tracing/events/kvm/kvm_exit/enable 1
tell_word record
tell_word pair
mark h 1
mark g 2
mark h 3
pause 3 frozen
mark h 4
mark g 5
pause 2 continuous
mark g 6
ctl pause
ctl --json clock
cp ctl.out early.json
sleep 2
ctl resume
mark h 7
mark g 8
mark h 9
pair=$(latest pair)
tell_word pair
tell_word save
kill -INT $recorder
wait $recorder
ctl --json clock
cp ctl.out clock.json
hz=$(member hz) host_counter=$(member host_counter) host_raw=$(member host_monotonic_raw_ns)
threads=$(sed 's/.*"vcpu_threads":\[\([0-9,]*\)\].*/\1/' ctl.out)
size=$(latest size)
head -c "${size:-0}" disk >guest.dat
[ -s host.dat ] && [ -s guest.dat ] && [ "$(grep -c '^guest: marked=' out)" = 32 ]
verdict $? "they did not: $(cat record.out ctl.out)"

t_begin "trace-merge makes what trace-cmd reads"
stasis trace-merge host.dat guest.dat --socket s --guest "$pair" --out merged >merge.out 2>&1 &&
	report merged.txt -i merged/host.dat -i merged/guest.dat
verdict $? "$(cat merge.out report.err)"
cat merge.out | sed 's/^/# /'
t_begin "what happened first is first"
in_order merged.txt
verdict $? "$(cat order.out)" order.out
t_begin "an event is where its counter was, to $LIMIT_NS ns"
exact merged.txt "$(latest pair)"
verdict $? "$(cat exact.out)" exact.out
sed 's/^/# /' exact.out
t_begin "between those that its program read before and after it"
bracketed merged.txt
verdict $? "$(cat bracket.out)" marks
sed 's/^/# /' bracket.out
t_begin "and not while its vCPU was not in the guest"
inside merged.txt
verdict $? "$(cat inside.out)" inside.out
sed 's/^/# /' inside.out
t_begin "the same by the clock's answer in a file"
stasis trace-merge host.dat guest.dat --clock clock.json --guest "$pair" --out again >merge.out 2>&1 &&
	report again.txt -i again/host.dat -i again/guest.dat && in_order again.txt && bracketed again.txt
verdict $? "$(cat merge.out)"
t_begin "one offset for all puts them in another order: the test can see it"
offset=$(stasis trace-offset --socket s --json --guest "$pair" | sed 's/.*_ns":\(-*[0-9]*\).*/\1/')
report naive.txt -i host.dat -i guest.dat --ts-offset "$offset"
if ! in_order naive.txt && ! bracketed naive.txt && grep -q '^72 marks' order.out; then t_ok; else t_fail "it does not" order.out; fi
sed 's/^/# /' order.out bracket.out

# refused WORDS CLOCK HOST GUEST: in one line, and nothing is written.
refused() {
	t_begin "refused: $1"
	rm -rf never
	if stasis trace-merge "$3" "$4" --clock "$2" --guest "$pair" --out never >refused.out 2>&1; then
		t_fail "it is not" refused.out
	elif [ "$(wc -l <refused.out)" = 1 ] && grep -q "$1" refused.out && [ ! -e never ]; then
		t_ok
	else
		t_fail "not so" refused.out
	fi
}
head -c $((size - 9)) guest.dat >short.dat
refused "not a file of trace-cmd" clock.json host.dat "$T/trace_mark"
refused "is not whole" clock.json host.dat short.dat
refused "has been merged" clock.json host.dat merged/guest.dat
refused "both files are" clock.json host.dat host.dat
refused "after this VM's clock was asked for" early.json host.dat guest.dat
sed 's/"vcpu_threads":\[\([0-9]*\),[0-9]*\]/"vcpu_threads":[\1]/' clock.json >one.json
refused "it has 2 CPUs, the VM has 1" one.json host.dat guest.dat
end_words

t_done
