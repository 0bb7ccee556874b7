# SPDX-License-Identifier: Apache-2.0
#
# Boots a Debian kernel as a guest of stasis, shows its console and says at the end what was seen
# to work. The host is an emulated arm64 machine with a real KVM, or this machine if it has that.
# Called by tools/demo, which has fetched and built everything.
import argparse
import os
import re
import sys

from initramfs import Problem, ROOT, kernel_path, make_initramfs
from rig import (HERE, INTERRUPTED, Host, has_kvm, interrupt_on_signals, run_direct, run_host,
                 to_stdout)

CPUS, MEMORY = 2, 256   # of the guest; MiB


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
    return judge(text, options, "" if direct else options.cpu, result.seconds)


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
