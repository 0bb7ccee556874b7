# SPDX-License-Identifier: Apache-2.0
#
# Runs a measuring script on an emulated arm64 host whose clock counts instructions, so that the
# figures are the same on any machine, and prints ours beside those of others. Called by
# tools/bench, which has fetched and built everything.
import argparse
import json
import os
import re
import struct
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "rig"))
from initramfs import DEPS, Problem, kernel_path, make_initramfs, parse_add  # noqa: E402
from rig import INTERRUPTED, Host, interrupt_on_signals, run_host  # noqa: E402

OURS = "stasis"
PEERS = ("firecracker", "cloud-hypervisor", "kvmtool")     # tests/bench/peers knows how to start them
OFF_INIT = "#!/bin/sh\nexec /bin/poweroff -f\n"
# A kernel tests its ciphers for seconds after it has booted, beside whatever is measured then: half
# of a guest's time, and a scheduler's whims. So wait until the guest is idle for 0.1 s.
QUIET = """#!/bin/sh
. /bin/setup
busy() { awk '/^cpu / { print $2 + $3 + $4 + $7 + $8 }' /proc/stat; }
for try in $(seq 600); do
	before=$(busy)
	usleep 100000
	[ $(($(busy) - before)) -gt 1 ] || break
done
"""
DISK_INIT = QUIET + "disk_guest /dev/vda\npoweroff -f\n"
STREAMS_INIT = QUIET + """
ip link set eth0 up
ip address add 10.0.0.2/24 dev eth0
stream_time ask tcp:10.0.0.1:7000 tcp
! grep -q vsock /proc/net/protocols || stream_time ask vsock:2:7000 vsock
poweroff -f
"""
IDLE_DEVICES_INIT = """#!/bin/sh
. /bin/setup
ip link set eth0 up
dd if=/dev/vda of=/dev/null bs=1M 2>/dev/null
echo guest is idle
while :; do sleep 1000; done
"""
IDLE_INIT = "#!/bin/sh\necho guest is idle\nwhile :; do sleep 1000; done\n"


def off_image(path):
    """A bare-metal guest: an arm64 Image header, then hvc #0 with the number of PSCI SYSTEM_OFF."""
    branch = 0x14000010                             # b .+64
    code = [0xD2800100, 0xF2B08000, 0xD4000002]     # mov x0, #8; movk x0, #0x8400, lsl #16; hvc #0
    head = struct.pack("<IIQQQQQQ4sI", branch, 0, 0, 65536, 10, 0, 0, 0, b"ARM\x64", 0)
    with open(path, "wb") as file:
        file.write((head + struct.pack("<3I", *code)).ljust(65536, b"\0"))


def what_to_add(script):
    """[(path on the host, file here)] of the programs and guests measured."""
    work = f"{ROOT}/out/bench"
    os.makedirs(work, exist_ok=True)
    off = f"{ROOT}/out/guests/off.img"
    if not os.path.exists(off):
        off = f"{work}/off.img"
        off_image(off)
    make_initramfs(f"{work}/off.cpio", OFF_INIT)
    make_initramfs(f"{work}/idle.cpio", IDLE_INIT)
    make_initramfs(f"{work}/disk.cpio", DISK_INIT, [("bin/disk_guest", f"{work}/disk_guest")], kernel="6.12",
                   modules=["virtio_mmio", "virtio_pci", "virtio_blk"])
    make_initramfs(f"{work}/streams.cpio", STREAMS_INIT, [("bin/stream_time", f"{work}/stream_time")], kernel="6.12",
                   modules=["virtio_mmio", "virtio_pci", "virtio_net", "vmw_vsock_virtio_transport"])
    make_initramfs(f"{work}/idle-devices.cpio", IDLE_DEVICES_INIT, kernel="6.12",
                   modules=["virtio_mmio", "virtio_blk", "virtio_net", "virtio_balloon", "virtio_rng",
                            "vmw_vsock_virtio_transport"])
    qemu = f"{DEPS}/qemu-arm64/usr"
    return [("measure", script), ("peers.sh", f"{ROOT}/tests/bench/peers"), ("hole", f"{ROOT}/tests/bench/hole"),
            ("hole.img", f"{ROOT}/out/guests/hole.img"), ("pauses", f"{work}/pauses"),
            ("off.img", off), ("restored.img", f"{ROOT}/out/guests/restored.img"), ("off.cpio", f"{work}/off.cpio"), ("disk.cpio", f"{work}/disk.cpio"),
            ("snapshots", f"{ROOT}/tests/bench/snapshots"), ("dirty.img", f"{ROOT}/out/guests/dirty.img"),
            ("streams", f"{ROOT}/tests/bench/streams"), ("streams.cpio", f"{work}/streams.cpio"),
            ("stream_time", f"{work}/stream_time"),
            ("idle-devices.cpio", f"{work}/idle-devices.cpio"), ("idle.cpio", f"{work}/idle.cpio"), ("Image", kernel_path("6.12", "Image")),
            ("stasis", f"{ROOT}/out/stasis"), ("floor", f"{work}/floor"),
            ("cpu_time", f"{work}/cpu_time"), ("api_time", f"{work}/api_time"), ("qemu/share", f"{qemu}/share/qemu"),
            ("qemu/qemu-system-aarch64", f"{qemu}/bin/qemu-system-aarch64"),
            ("qemu/lib", f"{qemu}/lib/aarch64-linux-gnu"),
            ("qemu/ld.so", f"{qemu}/lib/ld-linux-aarch64.so.1")]


def table(results):
    """Ours beside each other's, with the ratio."""
    print(f"\n{'':48} {'ours':>12} {'other':>12}  {'':8} {'ours/other':>10}")
    for what in dict.fromkeys(result["what"] for result in results):
        group = [result for result in results if result["what"] == what]
        ours = next((result["value"] for result in group if result["who"] == OURS), None)
        for other in (result for result in group if result["who"] != OURS):
            mine = "-" if ours is None else f"{ours:,.0f}"
            ratio = "-" if ours is None or not other["value"] else f"{ours / other['value']:.3f}"
            title = f"{what} [{other['unit']}]"
            print(f"{title:48} {mine:>12} {other['value']:>12,.0f}  {other['who']:8} {ratio:>10}")


def parse_peer(text):
    """(path on the host, file here) of --peer NAME=PATH."""
    name, _, path = text.partition("=")
    if name not in PEERS or not path:
        raise Problem(f"--peer {text}: it must be NAME=PATH, and NAME one of {', '.join(PEERS)}")
    if not os.path.isfile(path):
        raise Problem(f"--peer {text}: there is no such file; give a static arm64 program, or a script that starts one")
    return f"peers/{name}", os.path.abspath(path)


def main():
    parser = argparse.ArgumentParser(
        prog="tools/bench", description="Compares stasis with others by counting instructions: "
        "1 us is 1000 of them, on any machine.")
    option = parser.add_argument
    option("script", nargs="?", default=f"{ROOT}/tests/bench/measure",
           help='what to run on the host; it prints lines "result|WHAT|UNIT|WHO|VALUE"')
    option("--cpu", default=Host.cpu, help="the emulated processor (default %(default)s)")
    option("--host", default=Host.kernel, help="the emulated host's kernel (default %(default)s)")
    option("--add", action="append", default=[], metavar="SRC[:DEST]", help="further files for $T")
    option("--peer", action="append", default=[], metavar="NAME=PATH",
           help=f"also run this binary (static, arm64) of {', '.join(PEERS)} in the same host, beside us")
    option("--json", metavar="FILE", help="write the figures there too")
    options = parser.parse_args()
    interrupt_on_signals()
    results, rest = [], b""

    def sink(data):
        nonlocal rest
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            text = line.decode(errors="replace")
            print(text.replace("result|", "  ").replace("|", " "), flush=True)
            found = re.match(r"result\|(.*)\|(.*)\|(.*)\|([\d.]+)$", text)
            if found:
                results.append({"what": found[1], "unit": found[2], "who": found[3],
                                "value": float(found[4])})

    host = Host(cpu=options.cpu, kernel=options.host, smp=1, icount=True,
                modules=("tun", "vhost_net", "vhost_vsock", "loop", "ext4"))
    print(f"bench: measuring on an emulated host ({host}); a minute or two", flush=True)
    try:
        peers = [parse_peer(peer) for peer in options.peer]
        add = what_to_add(options.script) + [parse_add(add) for add in options.add] + peers
        if not os.path.exists(f"{ROOT}/out/stasis"):
            print("bench: out/stasis does not exist: only the others are measured")
            add = [(target, source) for target, source in add if target != "stasis"]
        env = {"PEERS": " ".join(os.path.basename(place) for place, _ in peers)}
        result = run_host(host, ["sh", "./measure"], add, env=env, timeout=1800, sink=sink)
    except (Problem, OSError) as problem:
        sys.exit(f"tools/bench: {problem}")
    except KeyboardInterrupt:
        print("tools/bench: interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
    if results:
        table(results)
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"cpu": options.cpu, "host": options.host, "results": results}, file,
                      indent=1)
    if result.status or not results:
        sys.exit(f"tools/bench: {result.problem or f'the script ended with status {result.status}'}")


if __name__ == "__main__":
    main()
