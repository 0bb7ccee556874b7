# SPDX-License-Identifier: Apache-2.0
#
# Boots a Debian kernel as a guest of stasis, shows its console and says at the end what was seen
# to work. Then it restores a guest from snapshots, and shows what that guest's clocks said. The host is an emulated arm64 machine with a real KVM, or this machine if it has that.
# Called by tools/demo, which has fetched and built everything.
import argparse
import os
import re
import sys

from initramfs import Problem, ROOT, kernel_path, make_initramfs
from rig import (HERE, INTERRUPTED, Host, has_kvm, interrupt_on_signals, run_direct, run_host,
                 to_stdout)

CPUS, MEMORY = 2, 256   # of the guest; MiB
PAUSE, TIMER = 30, 10   # seconds between a snapshot and going on; of a timer that was set before
WAYS = {
    "frozen": "frozen",
    "following": "frozen, with clock-follow",
    "continuous": "continuous",
}


def say(text):
    print(f"demo: {text}", flush=True)


def main():
    parser = argparse.ArgumentParser(prog="tools/demo", description="Boots a Linux guest in stasis.")
    option = parser.add_argument
    option("--shell", action="store_true", help="a shell in the guest; Ctrl-A x ends everything")
    option("--kernel", default="6.12", help="the guest's kernel: 6.1, 6.12 (default) or newest")
    option("--host", default=Host.kernel, help="the emulated host's kernel (default %(default)s)")
    option("--cpu", default=Host.cpu, help="the emulated processor (default %(default)s)")
    options = parser.parse_args()
    shell = options.shell and sys.stdin.isatty() and sys.stdout.isatty()
    if options.shell and not shell:
        say("--shell needs a terminal; going on without it")
    interrupt_on_signals()
    try:
        sys.exit(demo(options, shell))
    except KeyboardInterrupt:
        print()
        say("you ended it" if shell else "interrupted")
        sys.exit(0 if shell else INTERRUPTED)
    except (Problem, OSError) as problem:
        sys.exit(f"tools/demo: {problem}")


def demo(options, shell):
    os.makedirs(f"{ROOT}/out/rig", exist_ok=True)
    guest = f"{ROOT}/out/rig/demo.cpio"
    say("making the guest's initramfs from busybox and tests/rig/guest-init (a second)")
    with open(f"{HERE}/guest-init") as init:
        make_initramfs(guest, init.read())

    host = Host(cpu=options.cpu, kernel=options.host)
    direct = has_kvm()
    where = "this machine's KVM" if direct else f"KVM of an emulated arm64 host ({host})"
    say(f"booting Linux {options.kernel} with {CPUS} vCPUs and {MEMORY} MiB in stasis under {where} "
        f"({'a second' if direct else 'about 10 s'})")
    add = [("demo-host", f"{HERE}/demo-host"), ("guest.cpio", guest),
           ("Image", kernel_path(options.kernel, "Image")), ("stasis", f"{ROOT}/out/stasis")]
    missing = [path for _, path in add if not os.path.exists(path)]
    if missing:
        raise Problem(f"{os.path.relpath(missing[0], ROOT)} does not exist; run tools/build")
    cmdline = "console=ttyS0 quiet" + " shell" * shell
    seen = bytearray()

    def sink(data):
        seen.extend(data)
        to_stdout(data)

    run = run_direct if direct else run_host
    result = run(host, ["sh", "./demo-host", str(CPUS), f"{MEMORY}M", cmdline], add, sink=sink,
                 shell=shell, timeout=86400 if shell else 300)
    if result.problem:
        say(result.problem)
    if direct and shell:
        return result.status  # the console went straight to the terminal: nothing to judge
    text = seen.decode(errors="replace").replace("\r", "")
    status = judge(text, options, "" if direct else options.cpu, result.seconds)
    if status or shell:
        return status
    return show_time(host, run)


def show_time(host, run):
    """What clocks of a guest say after a snapshot of it was restored; the exit status."""
    guest = f"{ROOT}/out/rig/clocks.cpio"
    with open(f"{HERE}/demo-clocks-init") as init:
        make_initramfs(guest, init.read(), [("bin/demo_clocks", f"{ROOT}/out/tests/demo_clocks"),
                                            ("bin/clock-follow", f"{ROOT}/out/guest-tools/clock-follow")])
    say(f"taking snapshots of another guest, and letting it go on {PAUSE} s later in three ways (2 minutes)")
    add = [("demo-clocks-host", f"{HERE}/demo-clocks-host"), ("clocks.cpio", guest),
           ("Image", kernel_path("newest", "Image")), ("stasis", f"{ROOT}/out/stasis")]
    seen = bytearray()
    result = run(host, ["sh", "./demo-clocks-host", str(PAUSE), str(TIMER)], add, sink=seen.extend, timeout=300)
    text = seen.decode(errors="replace").replace("\r", "")
    rows = {row[0]: [int(number) / 1000 for number in row[1:]]
            for row in re.findall(r"^time: (\w+) (-?\d+) (-?\d+) (-?\d+) (-?\d+) (\d+)$", text, re.M)}
    if result.problem or set(rows) != set(WAYS):
        print(text)
        say(f"FAILED: {result.problem or 'not every way was seen'}")
        return 1
    return judge_time(rows)


def judge_time(rows):
    """Prints the table, and says whether it is as it should be."""
    print(f"\nWhat passed since the snapshot, for a guest restored {PAUSE} s later\n")
    print(f"{'':26} {'host':>8} {'guest:':>8} {'CLOCK_':>10} {'CLOCK_REALTIME':>16}  a timer of {TIMER} s,")
    print(f"{'':26} {'':>8} {'counter':>8} {'MONOTONIC':>10} {'':>16}  set before, rang")
    for way, (host, counter, monotonic, lag, rang) in ((way, rows[way]) for way in WAYS):
        behind = f"{lag:.1f} s behind" if abs(lag) > 0.5 else "right"
        print(f"{WAYS[way]:26} {host:6.1f} s {counter:6.1f} s {monotonic:8.1f} s {behind:>16}  after {rang:.1f} s of its own")
    print()
    near = 2.5      # seconds that asking takes, at most, where everything is emulated
    wrong = [name for is_so, name in [
        (any(row[0] < PAUSE for row in rows.values()), "the host's time"),
        (any(rows[way][1] > rows[way][0] - PAUSE + near for way in ("frozen", "following")), "a frozen counter"),
        (abs(rows["continuous"][1] - rows["continuous"][0]) > near, "the continuous counter"),
        (any(abs(row[1] - row[2]) > near for row in rows.values()), "CLOCK_MONOTONIC"),
        (rows["frozen"][3] < PAUSE - near, "CLOCK_REALTIME that nobody corrects"),
        (any(abs(rows[way][3]) > 1 for way in ("following", "continuous")), "CLOCK_REALTIME that is right"),
        (any(not TIMER <= rows[way][4] < TIMER + near for way in ("frozen", "following")), "a timer that is frozen"),
        (rows["continuous"][4] < PAUSE, "a timer that is overdue"),
    ] if is_so]
    if wrong:
        say(f"FAILED: not as it should be: {', '.join(wrong)}")
        return 1
    say("the same snapshot went on frozen, where no time had passed for the guest, and continuous, where all of it "
        "had; clock-follow makes the wall clock right where the counter stood still")
    return 0


def judge(text, options, emulated, seconds):
    """Says what the console proves, and only that; the exit status."""
    guest = dict(re.findall(r"^demo: (\w+)=(.*)$", text, re.M))
    host = dict(re.findall(r"^demo-host: (\w+)=(.*)$", text, re.M))
    with open(kernel_path(options.kernel, "version")) as version:
        release = version.read().strip()
    wrong = [
        (guest.get("kernel") != f"{release} aarch64",
         f"the guest's init never said it runs {release}"),
        (guest.get("cpus") != str(CPUS), f"it saw {guest.get('cpus', 'no')} vCPUs instead of {CPUS}"),
        ("reboot: Power down" not in text, "it did not power itself off"),
        (host.get("exit") != "0",
         f"stasis exited with {host.get('exit', 'nothing: it did not end')}"),
    ]
    wrong = [reason for is_so, reason in wrong if is_so]
    print()
    if wrong:
        say("FAILED: " + "; ".join(wrong))
        return 1
    under = f"host kernel {host['kernel']}" + (f" (emulated {emulated})" if emulated else "")
    say(f"an arm64 Linux {guest['kernel'].split()[0]} guest with {guest['cpus']} vCPUs and {MEMORY} MiB "
        f"({guest['memory']}) booted to its init in stasis under KVM of {under}, kept time by "
        f"{guest['clocksource']} and powered itself off; stasis exited with 0 ({seconds:.0f} s in all)")
    return 0


if __name__ == "__main__":
    main()
