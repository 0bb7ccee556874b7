#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
#
# A guest goes on after its host was rebooted, and on other hosts: a snapshot is taken on one
# emulated host and restored on others, whose counters begin anew, whose clocks are elsewhere, or
# which are not like the first. Prints TAP.
import io
import json
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from initramfs import ROOT  # noqa: E402
from rig import Host, interrupt_on_signals, run_host  # noqa: E402

AHEAD = 500     # seconds by which the guest's counter is set ahead, so that no host's reaches it
BEGIN = """
export PATH=$T:$PATH
tell() { stasis ctl --socket vm.sock --json "$@"; }
start() {
    rm -f typed vm.sock; mkfifo typed
    "$@" <typed >out 2>&1 &
    vmm=$!
    exec 3>typed
}
wait_for() { n=0; until grep -q "$1" out || [ $n -eq 200 ]; do n=$((n + 1)); usleep 100000; done; }
"""
TAKE = BEGIN + f"""
printf '{{"boot-source": {{"kernel_image_path": "%s", "boot_args": "console=ttyS0"}}, "drives": [],
    "machine-config": {{"vcpu_count": 2, "mem_size_mib": 32}}}}' "$T/clock.img" >vm.json
start stasis --api-sock vm.sock --config-file vm.json --level Error
wait_for "^watching"
tell pause >said
stopped=$(tell clock | sed 's/.*"guest_counter":\\([0-9]*\\),.*"host_mon.*/\\1/')
hz=$(tell clock | sed 's/.*"hz":\\([0-9]*\\),.*/\\1/')
tell patch /vm "{{\\"state\\": \\"Resumed\\", \\"clock\\": {{\\"set\\": $((stopped + {AHEAD} * hz))}}}}" >said
sleep 1
stasis snapshot --socket vm.sock --paused shot
echo "clock: $(tell clock)"
tell stop >said
tar czf shot.tar.gz shot
"""
# restore WORDS...: what becomes of it.
RESTORE = BEGIN + """
tar xzf "$T/shot.tar.gz"
restore() {
    echo "way: $*"
    start stasis restore shot --api-sock vm.sock --log-level error "$@"
    n=0
    until [ $n -eq 100 ] || ! kill -0 $vmm 2>/dev/null || tell clock >told 2>&1; do n=$((n + 1)); usleep 100000; done
    if kill -0 $vmm 2>/dev/null; then
        echo g >&3
        wait_for 'looks [0-9]*\\.'
        echo "clock: $(tell clock)"
        tell stop >said
    fi
    exec 3>&-
    wait $vmm
    echo "status: $?"
    cat out
}
"""
count = failures = 0


def test(name, right, *why):
    global count, failures
    count += 1
    failures += not right
    print(f"{'ok' if right else 'not ok'} {count} - {name}")
    if not right:
        print("\n".join("# " + line for line in "\n".join(str(part) for part in why).splitlines()))
    sys.stdout.flush()


def run(host, script, files=(), get=()):
    output = io.BytesIO()
    path = f"{ROOT}/out/rig/moved-{os.getpid()}.sh"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(script)
    try:
        add = [("script", path), ("stasis", f"{ROOT}/out/stasis"), ("clock.img", f"{ROOT}/out/guests/clock.img"), *files]
        result = run_host(host, ["sh", "./script"], add, get, timeout=200, sink=output.write)
    finally:
        os.unlink(path)
    return result, output.getvalue().decode(errors="replace").replace("\r", "")


def ways(text):
    """{words: (status, clock or None, all that was said)} of each restore."""
    found = {}
    for part in re.split(r"^way: ", text, flags=re.M)[1:]:
        words, _, rest = part.partition("\n")
        clock = re.search(r"^clock: (\{.*)$", rest, re.M)
        status = re.search(r"^status: (\d+)$", rest, re.M)
        found[words.strip()] = (int(status[1]) if status else None, json.loads(clock[1]) if clock else None, rest)
    return found


def went_on(name, way, then, least, most):
    """It runs, and its counter stood between so many seconds after the stop when it was let go."""
    status, clock, text = way
    if status != 0 or not clock:
        test(name, False, text)
        return
    event = clock["history"][-1]
    passed = (event["guest_counter"] - then["guest_counter"]) / then["hz"]
    seen = re.search(r"back (\d+) incoherent (\d+)", text)
    test(name, least <= passed <= most and seen and seen[1] == "0", f"{passed} s, not {least} to {most}", text)


def refused(name, way, words):
    status, _, text = way
    test(name, status == 1 and words in text, text)


def main():
    interrupt_on_signals()
    result, text = run(Host(), TAKE, get=("shot.tar.gz",))
    clock = re.search(r"^clock: (\{.*)$", text, re.M)
    shot = next(iter(result.files.values()), b"")
    test("a snapshot is taken on a host", clock and shot, text, result.problem)
    if not clock or not shot:
        return
    then = json.loads(clock[1])
    path = f"{ROOT}/out/rig/moved-{os.getpid()}.tar.gz"
    with open(path, "wb") as file:
        file.write(shot)
    try:
        restored(then, [("shot.tar.gz", path)])
    finally:
        os.unlink(path)


def restored(then, files):
    stopped_ns = then["history"][-1]["realtime_ns"]

    _, text = run(Host(), RESTORE + "restore --clock frozen\nrestore --clock continuous\n"
                  "restore --clock continuous --unsynchronized\n"
                  "restore --clock continuous --unsynchronized --max-jump-ms 5\n", files)
    found = ways(text)
    frozen = found.get("--clock frozen", (None, None, text))
    went_on("after a reboot, frozen: the counter goes on where it stopped", frozen, then, 0, 0.001)
    test("the host's counter began anew: the offset is negative",
         frozen[1] and frozen[1]["offset"] < 0 and frozen[1]["boot_id"] != then["boot_id"], frozen)
    refused("continuous is refused while nobody keeps the clocks right", found["--clock continuous"],
            "not synchronised")
    way = found["--clock continuous --unsynchronized"]
    passed = (way[1]["history"][-1]["realtime_ns"] - stopped_ns) / 1e9 if way[1] else 0
    went_on("unless that is good enough: it goes on by as much as the clocks say", way, then,
            passed - 0.5, passed + 0.5)
    refused("a jump above what is allowed is refused", found["--clock continuous --unsynchronized --max-jump-ms 5"],
            "more than `max_jump_ms`")

    _, text = run(Host(qemu=("-rtc", "base=2020-02-02T02:02:02")), RESTORE +
                  "restore --clock continuous --unsynchronized\nrestore\n", files)
    found = ways(text)
    refused("a host whose clock is behind refuses to continue",
            found.get("--clock continuous --unsynchronized", (None, None, text)), "clock went back")
    went_on("and goes on frozen, which needs no clock", found.get("", (None, None, text)), then, 0, 0.001)

    _, text = run(Host(cpu="neoverse-n1,cntfrq=50000000"), RESTORE + "restore\n", files)
    refused("a host whose counter has another frequency is refused", ways(text).get("", (None, None, text)),
            "counter runs at 62500000 Hz, this host's at 50000000 Hz")

    _, text = run(Host(cpu="cortex-a57"), RESTORE + "restore\n", files)
    refused("so is one with another CPU, by the register's name", ways(text).get("", (None, None, text)),
            "this host's KVM does not take the saved value of register 0x")

    _, text = run(Host(gic="2"), RESTORE + "restore\n", files)
    refused("and one with another interrupt controller", ways(text).get("", (None, None, text)), "has a GICv3")


if __name__ == "__main__":
    main()
    print(f"1..{count}")
    sys.exit(bool(failures))
