# SPDX-License-Identifier: Apache-2.0
#
# Runs the proofs of this folder with CBMC: for all inputs within the bounds that table.py states, what
# a harness says holds. A bound that is too small is an error, and so is a function without a body.
#
#   python3 tests/proofs/proofs.py [--mutants] [--list] [NAME...]
#
# --mutants changes the source as table.py says, once for each mutant, and wants the proof to fail for
# the reason given there. Works on copies in out/proofs. The status is 0 if all is as it should be.
import argparse
import os
import re
import resource
import shutil
import subprocess
import sys
from dataclasses import dataclass

from table import PROOFS

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
WORK = os.path.join(ROOT, "out", "proofs")
CBMC = os.path.join(ROOT, "out", "deps", "cbmc", "run")
MEMORY = 6 << 30        # bytes, for each run
SECONDS = 120           # of CPU time, for each run

# The product's headers, as the product's compiler sees them. CBMC's own front end knows what GCC has.
PREPROCESS = ["clang-19", "-E", "--target=aarch64-linux-gnu", "--sysroot=out/deps/sysroot-arm64",
              "-std=gnu17", "-fgnuc-version=13.1", "-D_GNU_SOURCE", "-D_FILE_OFFSET_BITS=64", "-DPROOF"]
# Which checks there are beyond the harness's own, the proof says.
CHECK = ["--arch", "arm64", "--object-bits", "12", "--no-standard-checks", "--unwinding-assertions",
         "--drop-unused-functions", "--slice-formula"]


class Broken(Exception):
    """A proof that could not be tried: what is wrong."""


def overlay(name, changes):
    """A folder with copies of the changed files; changes are (path, old, new)."""
    folder = os.path.join(WORK, name, "changed")
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    for path, old, new in changes:
        copy = os.path.join(folder, path)
        with open(copy if os.path.exists(copy) else os.path.join(ROOT, path)) as file:
            text = file.read()
        if text.count(old) != 1:
            raise Broken(f"{path} has {text.count(old)} times, not once, what table.py changes:\n{old}")
        os.makedirs(os.path.dirname(copy), exist_ok=True)
        with open(copy, "w") as file:
            file.write(text.replace(old, new))
    return folder


def limit():
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))


def spent():
    """Seconds of CPU time of all runs so far, which other work on this machine does not change."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def check(proof, label, changes):
    """Runs CBMC on a proof after the changes; returns the number of properties, and those that fail."""
    folder = overlay(label, changes)
    source = os.path.join(WORK, label, "proof.i")
    command = [*PREPROCESS, *(f"-D{word}" for word in proof.defines), "-I", folder, "-I", ".",
               f"tests/proofs/{proof.harness or proof.name}_proof.c", "-o", source]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if result.returncode:
        raise Broken(result.stderr)
    command = [CBMC, source, *CHECK, "--unwind", str(proof.unwind), *proof.checks]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, preexec_fn=limit)
    with open(os.path.join(WORK, label, "cbmc.txt"), "w") as file:
        file.write(" ".join(command) + "\n" + result.stdout + result.stderr)
    found = re.findall(r"^\[(\S+)\] (?:file \S+ )?(?:function \S+ )?(.*): (SUCCESS|FAILURE)$", result.stdout, re.M)
    if result.returncode not in (0, 10) or not found:
        raise Broken((result.stdout[-2000:] + result.stderr[-2000:]).strip() +
                     f"\nCBMC ended with status {result.returncode}; its command is in {WORK}/{label}/cbmc.txt")
    failed = [f"{words} ({name})" for name, words, status in found if status == "FAILURE"]
    if bool(failed) != (result.returncode == 10):
        raise Broken("CBMC's list of properties and its status differ")
    return len(found), failed


def prove(proof):
    """Whether the proof holds; prints how it went."""
    start = spent()
    try:
        count, failed = check(proof, proof.name, proof.small)
    except Broken as broken:
        print(f"{proof.name}: {broken}", flush=True)
        return False
    seconds = spent() - start
    for words in failed:
        print(f"{proof.name}: does not hold: {words}")
    if failed:
        print(f"{proof.name}: for the inputs that break it: the command in out/proofs/{proof.name}/cbmc.txt,"
              " with --trace", flush=True)
    else:
        print(f"{proof.name}: {count} properties hold, {seconds:.1f} s", flush=True)
    return not failed


def kill(job):
    """Whether the proof fails for the mutant, in the words that it should."""
    proof, mutant, start = job.proof, job.mutant, spent()
    try:
        _, failed = check(proof, job.name, proof.small + ((mutant.path, mutant.old, mutant.new),))
    except Broken as broken:
        print(f"{job.name}: {mutant.what}: {broken}", flush=True)
        return False
    if any(re.search(mutant.fails, words) for words in failed):
        print(f"{job.name}: {mutant.what}: found, {spent() - start:.1f} s", flush=True)
        return True
    print(f"{job.name}: {mutant.what}: not found; what fails is {failed or 'nothing'}", flush=True)
    return False


@dataclass(frozen=True)
class Job:
    name: str
    proof: object
    mutant: object = None


def jobs(mutants):
    """The proofs, or their mutants."""
    for proof in PROOFS:
        if not mutants:
            yield Job(proof.name, proof)
        for number, mutant in enumerate(proof.mutants if mutants else (), 1):
            yield Job(f"{proof.name}-{number}", proof, mutant)


def main():
    parser = argparse.ArgumentParser(prog="tests/proofs/proofs.py", description="Runs the proofs.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these proofs, or these mutants")
    parser.add_argument("--mutants", action="store_true", help="break the source, and see the proofs fail")
    parser.add_argument("--list", action="store_true", help="say what there is")
    options = parser.parse_args()
    todo = [job for job in jobs(options.mutants) if not options.names or {job.name, job.proof.name} & set(options.names)]
    if not todo:
        parser.error(f"nothing is named {' or '.join(options.names)}; --list says what there is")
    if options.list:
        for job in todo:
            print(f"{job.name}: {job.mutant.what}" if job.mutant else job.name)
        return
    if not os.path.exists(CBMC):
        print("CBMC is missing: run tools/prepare test")
        sys.exit(1)
    good = [kill(job) if job.mutant else prove(job.proof) for job in todo]
    sys.exit(0 if all(good) else 1)


if __name__ == "__main__":
    main()
