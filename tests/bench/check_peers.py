#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
#
# Shows that tests/bench/peers starts each VMM with options that it has, and goes on after one that
# fails. Their binaries are not at hand: stasis, which has Firecracker's command line, takes its
# place, and tests/bench/stand_in that of the others. Reports in TAP; tools/test --full runs it.
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [f"{ROOT}/tests/rig", f"{ROOT}/tests/bench"]
from bench import PEERS  # noqa: E402
from initramfs import make_initramfs  # noqa: E402
from rig import Host, run_host  # noqa: E402

SECONDS = 120
# All of them; then all but one, which fails.
SCRIPT = """
sh ./peers.sh; echo "first|$?"
export STAND_IN_FAILS=kvmtool
sh ./peers.sh; echo "second|$?"
"""
ROWS = 4    # of each: CPU and wall of two guests


def who(text):
    """How many figures each VMM has."""
    names = re.findall(r"^result\|beside peers: .*\|us\|(.*)\|\d+$", text, re.MULTILINE)
    return {name: names.count(name) for name in names}


def main():
    work, out = f"{ROOT}/out/bench", f"{ROOT}/out"
    make_initramfs(f"{work}/off.cpio", "#!/bin/sh\nexec /bin/poweroff -f\n")
    add = [("peers.sh", f"{ROOT}/tests/bench/peers"), ("cpu_time", f"{work}/cpu_time"), ("stasis", f"{out}/stasis"),
           ("off.img", f"{out}/guests/off.img"), ("Image", f"{out}/guests/off.img"), ("off.cpio", f"{work}/off.cpio"),
           *((f"peers/{name}", f"{out}/stasis" if name == "firecracker" else f"{ROOT}/tests/bench/stand_in")
             for name in PEERS)]
    said = []
    result = run_host(Host(smp=1), ["sh", "-c", SCRIPT], add, env={"PEERS": " ".join(PEERS)}, timeout=SECONDS,
                      sink=said.append)
    text = b"".join(said).decode(errors="replace").replace("\r", "")
    first, _, second = text.partition("first|")
    all_of_them = {name: ROWS for name in ("stasis", *PEERS)}
    without = {name: ROWS for name in all_of_them if name != "kvmtool"}
    results = [(result.status == 0 and not result.problem, "the host's script ends well"),
               (who(first) == all_of_them and second.startswith("0"), "each VMM is started with what it knows"),
               (who(second) == without and "second|1" in second, "one that fails is said, and the others are measured")]
    print(f"1..{len(results)}")
    for number, (passed, name) in enumerate(results, 1):
        print(f"{'ok' if passed else 'not ok'} {number} - {name}")
    if not all(passed for passed, _ in results):
        print("".join(f"# {line}\n" for line in text.splitlines()[-30:]), end="")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
