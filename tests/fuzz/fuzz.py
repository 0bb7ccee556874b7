# SPDX-License-Identifier: Apache-2.0
#
# Runs a fuzzer, or all, for some seconds each: tools/fuzz shows progress, tests/run.py calls it to
# see that nothing turns up in a short time. Found inputs are kept in out/fuzz/NAME/corpus and are
# where the next run goes on. An input that breaks something is shown, and how to try it again.
import argparse
import glob
import os
import shutil
import subprocess
import sys
import time

from seeds import SEEDS, make_seeds

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BINARIES = "out/native_fuzz"
LONGEST = {"api": 4000, "bodies": 4000, "client": 4000, "codec": 400, "config_file": 8192, "filter": 4000, "http": 4000, "image": 70000, "mmds": 4000, "serial": 2000, "state_file": 4000, "trace": 2000,
           "virtio_balloon": 3000, "virtio_block": 3000, "virtio_mmio": 3000,
           "virtio_net": 3000, "virtio_vhost": 1000, "virtio_virtq": 2000, "virtio_vsock": 3000,
           "vm_snapshot": 2000, "vmm": 2400}    # bytes of an input
HEX_MAX = 4096


def fuzzers():
    """The names of the fuzzers that are built."""
    found = glob.glob(f"{ROOT}/{BINARIES}/*_fuzz")
    return sorted(os.path.basename(path).removesuffix("_fuzz") for path in found)


def command(name):
    return [f"{BINARIES}/{name}_fuzz", "-timeout=10", "-rss_limit_mb=1024"]


def fuzz(name, seconds):
    """Whether nothing broke."""
    folder = f"{ROOT}/out/fuzz/{name}"      # whole, because a fuzzer may change its folder
    os.makedirs(f"{folder}/corpus", exist_ok=True)
    make_seeds(name, f"{folder}/seeds")
    start = time.time()
    symbolizer = shutil.which("llvm-symbolizer-19")     # of the package llvm-19: names in stacks
    env = {**os.environ, "ASAN_SYMBOLIZER_PATH": symbolizer} if symbolizer else None
    result = subprocess.run(
        [*command(name), f"-max_total_time={seconds}", f"-max_len={LONGEST[name]}",
         f"-artifact_prefix={folder}/", "-print_funcs=0", f"{folder}/corpus", f"{folder}/seeds"], env=env)
    if result.returncode == 0:
        return True
    kept = [path for kind in ("crash", "timeout", "oom", "leak") for path in glob.glob(f"{folder}/{kind}-*")]
    kept = [path for path in kept if os.path.getmtime(path) >= start - 1]
    for path in kept:
        show(name, path)
    if not kept:
        print(f"fuzz {name}: ended with status {result.returncode} and left no input in {folder}; "
              "its words are above", flush=True)
    return False


def show(name, path):
    with open(path, "rb") as file:
        data = file.read()
    print(f"\nfuzz {name}: this input of {len(data)} bytes broke it; it is in {path}:")
    for at in range(0, min(len(data), HEX_MAX), 32):
        print(f"  {at:06x}  {data[at:at + 32].hex()}")
    if len(data) > HEX_MAX:
        print(f"  ... and {len(data) - HEX_MAX} bytes more")
    print(f"try it again:   {' '.join(command(name))} {path}")
    print(f"make it small:  {' '.join(command(name))} -minimize_crash=1 -max_total_time=60 "
          f"-exact_artifact_path={path}.small {path}", flush=True)


def main():
    parser = argparse.ArgumentParser(prog="tools/fuzz", description="Looks for inputs that break stasis.")
    parser.add_argument("target", nargs="?", default="all", help=f"{', '.join(SEEDS)} or all (default)")
    parser.add_argument("seconds", nargs="?", type=int, default=60, help="for each (default %(default)s)")
    options = parser.parse_args()
    os.chdir(ROOT)
    names = fuzzers() if options.target == "all" else [options.target]
    for name in names:
        if name not in SEEDS:
            parser.error(f"there is no fuzzer '{name}'; choose {', '.join(SEEDS)} or all")
        if not os.path.exists(f"{BINARIES}/{name}_fuzz"):
            sys.exit(f"tools/fuzz: {BINARIES}/{name}_fuzz does not exist; run tools/build")
    if not names:
        sys.exit(f"tools/fuzz: there are no fuzzers in {BINARIES}; run tools/build")
    try:
        broken = [name for name in names if not fuzz(name, options.seconds)]
    except KeyboardInterrupt:
        sys.exit(130)
    print(f"\nfuzz: {', '.join(names)}: " + (f"broken: {', '.join(broken)}" if broken else "nothing broke"))
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
