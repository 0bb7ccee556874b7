# SPDX-License-Identifier: Apache-2.0
#
# Line coverage of the product's sources, by the unit tests and by the fuzzers. The programs are
# those of the toolchain native_coverage, which tools/coverage builds before it calls this. A fuzzer
# is given its seeds, and what it found so far (out/fuzz/NAME/corpus): run tools/fuzz first.
import argparse
import collections
import concurrent.futures
import glob
import json
import os
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, f"{ROOT}/tests/fuzz")
from seeds import SEEDS, make_seeds  # noqa: E402

PROGRAMS = f"{ROOT}/out/native_coverage"
PROFILES = f"{ROOT}/out/coverage"
LLVM = f"{ROOT}/out/deps/llvm/bin"
PRODUCT = ("arch", "core", "devices", "snapshot", "vmm")
INPUTS = 400            # of a fuzzer, for each time it is run
SECONDS = 300           # more than any program takes


def profiled(kind, command):
    """Runs a program, whose counters are added to those of earlier runs. None, or what failed."""
    env = {**os.environ, "LLVM_PROFILE_FILE": f"{PROFILES}/{kind}/{os.path.basename(command[0])}-%m.profraw",
           "CMOCKA_MESSAGE_OUTPUT": "TAP"}
    try:
        done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, timeout=SECONDS, errors="replace")
    except subprocess.TimeoutExpired:
        return f"{command[0]} did not end"
    return f"{command[0]} failed" if done.returncode else None


def unit_commands():
    for path in sorted(glob.glob(f"{PROGRAMS}/*_test")):
        yield [path]


def fuzz_commands():
    for name in sorted(SEEDS):
        make_seeds(name, f"{ROOT}/out/fuzz/{name}/seeds")
        inputs = sorted(glob.glob(f"{ROOT}/out/fuzz/{name}/*/*"))
        for at in range(0, len(inputs), INPUTS):
            yield [f"{PROGRAMS}/{name}_fuzz", *inputs[at:at + INPUTS]]


KINDS = {"unit": (unit_commands, "_test"), "fuzz": (fuzz_commands, "_fuzz")}


def measure(kind):
    """{file: (lines, reached)} of the product's sources."""
    commands, suffix = KINDS[kind]
    folder = f"{PROFILES}/{kind}"
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for problem in filter(None, pool.map(lambda command: profiled(kind, command), commands())):
            print(f"coverage: {problem}; what it reached may be missing", file=sys.stderr)
    profiles = glob.glob(f"{folder}/*.profraw")
    if not profiles:
        sys.exit(f"tools/coverage: no {kind} program left counters in {folder}")
    subprocess.run([f"{LLVM}/llvm-profdata", "merge", "-o", f"{folder}/all.profdata", *profiles], check=True)
    programs = sorted(glob.glob(f"{PROGRAMS}/*{suffix}"))
    objects = [word for path in programs[1:] for word in ("-object", path)]
    exported = subprocess.run(
        [f"{LLVM}/llvm-cov", "export", "-summary-only", f"-instr-profile={folder}/all.profdata", programs[0], *objects],
        check=True, capture_output=True, text=True)
    found = {}
    for entry in json.loads(exported.stdout)["data"][0]["files"]:
        path = os.path.relpath(os.path.join(f"{ROOT}/out", entry["filename"]), ROOT)
        if path.split("/")[0] in PRODUCT:
            found[path] = (entry["summary"]["lines"]["count"], entry["summary"]["lines"]["covered"])
    return found


def product_files():
    listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard", "--",
                             *(f"{folder}/*.c" for folder in PRODUCT)], cwd=ROOT, capture_output=True, text=True, check=True)
    return sorted(set(listed.stdout.split()))


def percent(lines, reached):
    return 100 * reached / lines if lines else 0.0


def combine(measured):
    """[{file, lines, unit, fuzz}]; a file that no program contains has no lines to count."""
    kinds = list(measured)
    for path in sorted(set(product_files()).union(*measured.values())):
        known = [measured[kind][path] for kind in kinds if path in measured[kind]]
        lines = max((count for count, _ in known), default=0)
        yield {"file": path, "lines": lines, **{kind: measured[kind].get(path, (0, 0))[1] for kind in kinds}}


def by_folder(files, kinds):
    folders = collections.defaultdict(lambda: {"lines": 0, **{kind: 0 for kind in kinds}})
    for entry in files:
        for name in (os.path.dirname(entry["file"]), "all"):
            for key in ("lines", *kinds):
                folders[name][key] += entry[key]
    return [{"folder": name, **folders[name]} for name in sorted(folders, key=lambda name: (name == "all", name))]


def show(title, rows, kinds):
    print(f"{title:<45} lines" + "".join(f"{kind:>9}" for kind in kinds))
    for row in rows:
        name = row.get("file", row.get("folder"))
        cells = "".join(f"{percent(row['lines'], row[kind]):>7.0f} %" if row["lines"] else f"{'-':>9}" for kind in kinds)
        print(f"{name:<45} {row['lines']:>5}{cells}")
    print()


def main():
    parser = argparse.ArgumentParser(
        prog="tools/coverage", description="Lines of the product that unit tests and fuzzers reach. "
        "-: no such program contains the file.")
    parser.add_argument("--only", choices=list(KINDS), help="measure only these")
    parser.add_argument("--json", metavar="FILE", help="write the numbers there, too")
    options = parser.parse_args()
    kinds = [options.only] if options.only else list(KINDS)
    files = list(combine({kind: measure(kind) for kind in kinds}))
    folders = by_folder(files, kinds)
    show("file", files, kinds)
    show("folder", folders, kinds)
    if options.json:
        with open(options.json, "w") as out:
            json.dump({"files": files, "folders": folders}, out, indent=1)
            out.write("\n")


if __name__ == "__main__":
    main()
