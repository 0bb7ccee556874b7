#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
#
# Shows that each entry of the seccomp lists (core/seccomp/lists) is needed: without it, an
# integration suite fails, mostly because a thread is killed. First some suites run with a product
# that records which entries they use (recorded.c); then, for each entry, the quickest suite that
# uses it runs without it, until it fails. Reports in TAP, a line for each entry. It takes an hour
# or two, which "# " lines fill; tools/test --full runs it.
#
#   tests/needed/needed.py [--recorded FILE] [PLACE...]
#
# PLACE is a file of the lists with a line ("vcpu.inc:5") or the beginning of that.
import argparse
import concurrent.futures
import json
import os
import re
import subprocess
import sys
import threading

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, f"{ROOT}/tests")
import run  # noqa: E402

LISTS = f"{ROOT}/core/seccomp/lists"
RECORDED = f"{ROOT}/out/needed.json"
# What is recorded, with what it takes longest to find apart; in as many parts as run at a time.
SUITES = (
    ("boot", "guests", "machine", "power", "ctl", "sandbox", "firecracker", "block", "balloon", "vsock",
     "net", "net-vhost", "mmds", "realtime"),
    ("snapshot-disks", "snapshot-files", "snapshot-uffd", "snapshot-workingset", "snapshot-strict",
     "stalls", "vmclock", "process", "linux", "api", "api-clients", "launchers", "seccomp-rare"),
)
# Candidates for what nothing was recorded to use: a recorder disturbs those that trace a VMM, too.
UNRECORDED = ("seccomp-rare", "seccomp", "suspend", "hostile", "net-vhost", "snapshot-jail")
SUITE_SECONDS = 240     # a suite that takes longer has used what it uses
NO_ENTRY = "none"       # instead of a place: nothing is dropped
TRIES = 8               # suites that may live without an entry, before it counts as not needed

# Needed, but not for what the emulated hosts can show. By the call, perhaps with its file.
ARGUED = {
    "restart_syscall": "the kernel makes it in place of a wait that was interrupted, after SIGCONT or a thaw",
    "clock_gettime": "hosts whose vDSO cannot tell the time; theirs always can",
    "thread.inc brk": "all threads share one heap; which of them makes it grow is chance",
}


def entries():
    """All places, with their calls."""
    for name in sorted(os.listdir(LISTS)):
        with open(f"{LISTS}/{name}") as file:
            for number, line in enumerate(file, 1):
                entry = re.match(r"(?:CALL|FAIL|SNAP|START)(?:_IF|_FAIL)?\((\w+), (.*)\)$", line)
                if entry:
                    yield f"{name}:{number}", entry[1]


def argued(place, call):
    return ARGUED.get(call) or ARGUED.get(f"{place.split(':')[0]} {call}")


def run_on_host(suites, arguments, sink):
    """`tests/needed/host` with what the suites need, and the recording product in place of ours."""
    needs = [run.suite_needs(suite) for suite in suites]
    modules = tuple(dict.fromkeys(name for need in needs for name in need.modules))
    add = [("host", f"{ROOT}/tests/needed/host")]
    add += [(f"{name}.sh", f"{ROOT}/tests/integration/{name}.sh") for name in ("lib", *suites)]
    add += dict.fromkeys(pair for need in needs for pair in need.add)
    add = [(path, f"{ROOT}/out/tests/recorded" if path == "stasis" else what) for path, what in add]
    host = run.Host("neoverse-n1", "6.12", 2, "2G", "3", modules=modules)
    lines = run.Lines(sink)
    result = run.run_host(host, ["busybox", "sh", "./host", *arguments], add, timeout=3 * 3600, sink=lines)
    lines.end()
    if result.status or result.problem:
        raise run.Problem(result.problem or f"tests/needed/host ended with status {result.status}")


class Recording:
    """Which suites use which entry, and how long they take."""

    def __init__(self):
        self.seconds, self.users = {}, {}

    def take(self, line):
        suite = re.match(r"#suite (\S+) (\d+) (\d+) (\d+)$", line)
        used = re.match(r"#used (\S+) \d+ (\S+) \S+$", line)
        if suite:
            self.seconds[suite[1]] = int(suite[2])
            say(f"{suite[1]}: recorded in {suite[2]} s")
        elif used:
            self.users.setdefault(used[2], []).append(used[1])

    def record(self, suites):
        limits = [min(run.suite_needs(suite).seconds, SUITE_SECONDS) for suite in suites]
        wanted = [f"{suite}={limit}" for suite, limit in zip(suites, limits)]
        run_on_host(suites, ["record", *wanted], self.take)

    def candidates(self, place):
        """The suites to try without an entry, quickest first."""
        users = sorted(self.users.get(place, []), key=lambda suite: self.seconds.get(suite, 0))
        return (*users[:TRIES], *UNRECORDED)


lock = threading.Lock()


def say(text):
    with lock:
        print(f"# {text}", flush=True)


class Results:
    """{place: (suite, how)}: where a microVM was killed, and where a test failed otherwise, which
    counts only if no suite's microVM is killed: the end cannot always be told."""

    def __init__(self):
        self.killed, self.failed = {}, {}

    def add(self, suite, failures):
        for place, how in failures.items():
            (self.failed if how.startswith("not ok") else self.killed)[place] = (suite, how)

    def of(self, place):
        return self.killed.get(place) or self.failed.get(place)


def drop(suite, places, results):
    """Runs the suite without each entry; adds to results what failed. It has to pass with all."""
    failures = {}

    def take(line):
        dropped = re.match(r"#dropped (\S+) (\d+) (.*)$", line)
        if not dropped:
            return
        say(f"{suite} without {dropped[1]}: {dropped[3]} ({dropped[2]} s)")
        if dropped[3] != "nothing":
            failures[dropped[1]] = dropped[3]

    seconds = min(run.suite_needs(suite).seconds, SUITE_SECONDS)
    run_on_host([suite], ["drop", suite, str(seconds), *places, NO_ENTRY], take)
    if NO_ENTRY in failures:
        say(f"{suite} fails with all entries, too, so it shows nothing")
    else:
        results.add(suite, failures)


def drop_all(recording, places):
    """Each entry with its candidates, until one shows that it is needed. Returns the Results."""
    results, tried = Results(), {place: 0 for place in places}
    while True:
        by_suite = {}
        for place in places:
            candidates = recording.candidates(place)
            if place not in results.killed and tried[place] < len(candidates):
                by_suite.setdefault(candidates[tried[place]], []).append(place)
                tried[place] += 1
        if not by_suite:
            return results
        with concurrent.futures.ThreadPoolExecutor(run.JOBS) as pool:
            for job in [pool.submit(drop, suite, some, results) for suite, some in by_suite.items()]:
                job.result()


def recorded(path):
    """What an earlier run recorded, or a new recording, which is kept."""
    recording = Recording()
    if path:
        with open(path) as file:
            recording.seconds, recording.users = json.load(file)
        return recording
    with concurrent.futures.ThreadPoolExecutor(run.JOBS) as pool:
        for job in [pool.submit(recording.record, part) for part in SUITES]:
            job.result()
    with open(RECORDED, "w") as file:
        json.dump([recording.seconds, recording.users], file)
    return recording


def main():
    parser = argparse.ArgumentParser(description="Shows that each entry of the seccomp lists is needed.")
    parser.add_argument("--recorded", metavar="FILE", help=f"use this recording ({RECORDED} of the last run)")
    parser.add_argument("places", metavar="PLACE", nargs="*", help="only these entries")
    options = parser.parse_args()
    os.chdir(ROOT)
    run.interrupt_on_signals()
    subprocess.run(["ninja", "-C", "out", "tests/recorded"], check=True, stdout=subprocess.DEVNULL)
    chosen = {place: call for place, call in entries()
              if not options.places or any(place.startswith(wanted) for wanted in options.places)}
    if not chosen:
        sys.exit("no entry is at such a place")
    results = drop_all(recorded(options.recorded), [place for place in chosen if not argued(place, chosen[place])])
    print(f"1..{len(chosen)}")
    failed = 0
    for number, (place, call) in enumerate(chosen.items(), 1):
        if argued(place, call):
            print(f"ok {number} - {place} {call} # SKIP {argued(place, call)}")
        elif results.of(place):
            print(f"ok {number} - {place} {call}: {results.of(place)[0]}")
        else:
            failed += 1
            print(f"not ok {number} - {place} {call}\n# no suite needs it")
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except run.Problem as problem:
        sys.exit(str(problem))
    except KeyboardInterrupt:
        sys.exit(130)
