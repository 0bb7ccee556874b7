# SPDX-License-Identifier: Apache-2.0
#
# Runs all tests and prints a line for each as it ends: checks of the sources, unit tests on this
# machine, and integration suites on arm64 hosts with KVM (emulated, or this machine if it is one).
# Test programs report in TAP. The last line is "N passed, N failed"; the status is 0 only if
# something passed and nothing failed. tools/test builds first and then calls this.
import argparse
import collections
import concurrent.futures
import glob
import json
import os
import re
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from dataclasses import dataclass

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "rig"))
from initramfs import Problem, kernel_path, make_initramfs, parse_add  # noqa: E402
from rig import (Host, has_kvm, interrupt_on_signals, run_direct, run_host,  # noqa: E402
                 run_local)
sys.path.insert(0, os.path.join(ROOT, "tests", "proofs"))
from table import PROOFS  # noqa: E402

SUITE_SECONDS = 300     # longer than an integration suite may take that does not say `# seconds:`
FUZZ_SECONDS = 5        # for each fuzzer; tools/fuzz takes longer
QUICK_FUZZ_SECONDS = 1
SCRATCH_SECONDS = 1800  # of following docs/hacking.md: a build, and a guest that boots with it
NEEDED_SECONDS = 3 * 3600   # a suite for each entry of the seccomp lists
MUTANTS_SECONDS = 3600  # of all mutants: some hundred builds and runs of a test
PACKAGE_SECONDS = 3600  # of building the product in another folder
TIDY = f"{ROOT}/out/tidy"
JOBS = max(1, os.cpu_count() or 1)

# These take a minute or more, and find what shorter ones do not only now and then: with --full.
LONG = {"block-deep", "clones", "getting-started", "hole", "hostile-deep", "hostile-saved", "limits", "package",
        "snapshot-deep", "snapshot-files-deep", "snapshot-jail-deep", "time-bound", "time-chrony", "time-clocks", "time-cycles",
        "time-follow", "time-long", "trace"}
# These run on a host whose clock counts instructions, each of 2^N ns, and tell the same whatever else
# this machine does.
COUNTED = {"flood": 0, "hole": 0, "net-limit": 2, "time-bound": 0, "time-chrony": 0, "time-follow": 0, "time-long": 5}
# Where the integration suites run, what takes longest first. A suite that cannot be tried on some
# host skips itself there.
#   processor, kernel, processors, memory, gic, kernel command line, suites ("*": all; "-NAME": not this one,
#   unless --full or -k)
CORE = "host doctor guests boot"
MATRIX = [
    # VHE; the physical counter traps when offset. Without --full the next host shows `snapshot`, with SVE.
    ("neoverse-n1", "6.12", 2, "2G", "3", "", "* -snapshot"),
    ("neoverse-v1", "6.12", 2, "2G", "3", "", f"{CORE} snapshot"),  # SVE
    ("max", "newest", 2, "2G", "3", "", CORE),          # CNTPOFF, SVE, PAuth, BTI
    ("cortex-a57", "6.12", 2, "2G", "3", "", f"{CORE} time"),       # nVHE
    # No KVM_CAP_COUNTER_OFFSET; cpuset of cgroup v1.
    ("neoverse-n1", "6.1", 2, "2G", "3", "", f"{CORE} snapshot jailer huge-pages"),
    ("neoverse-n1", "6.12", 2, "2G", "2", "", CORE),    # GICv2 only
]
TIME = "doctor time time-cycles time-linux time-clocks vmclock nested"
# These too with --full.
FULL_MATRIX = [
    ("neoverse-v1", "6.12", 4, "2G", "3", "", "*"),
    ("cortex-a57", "newest", 1, "1G", "3", "", "*"),
    ("cortex-a57", "6.1", 2, "2G", "3", "", "*"),
    ("cortex-a57", "6.12", 2, "2G", "3", "", f"{TIME} snapshot"),
    ("neoverse-n1", "6.12", 2, "2G", "3", "", "snapshot-deep"),
    ("neoverse-n1", "6.12", 1, "2G", "2", "", "*"),
    ("max", "newest", 2, "2G", "3", "kvm-arm.mode=nested", "*"),
    ("max", "newest", 2, "2G", "3", "id_aa64mmfr0.ecv=0", f"guests {TIME} snapshot"),
    ("max", "newest", 2, "2G", "3", "kvm-arm.mode=nested id_aa64mmfr0.ecv=0", "nested"),
    ("max", "6.12", 2, "2G", "3", "", "*"),
]


def sources(*patterns):
    """The project's own files: what git tracks, and what it would."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return sorted(path for path in set(listed.splitlines()) if os.path.exists(f"{ROOT}/{path}"))


def checks():
    """[(name, command)] of the checks of the sources: each passes by its exit status."""
    shell = [path for path in sources() if re.match(r"#!.*sh\b", first_line(path))]
    shell += [path for path in sources("*.sh") if path not in shell]
    parse = """for f; do
        case $(head -n 1 "$f") in *bash*) bash -n "$f" ;; *) sh -n "$f" ;; esac || bad=1
    done; exit $bad"""
    python = "import sys; [compile(open(p).read(), p, 'exec') for p in sys.argv[1:]]"
    return [
        ("gn format", ["gn", "format", "--dry-run", *sources("*.gn", "*.gni")]),
        ("gn check", ["gn", "check", "out"]),
        ("build/check_sources.sh", ["build/check_sources.sh", "out"]),
        ("tests/lint.sh", ["tests/lint.sh"]),
        ("tests/check_api.py", ["python3", "tests/check_api.py"]),
        ("tests/check_options.py", ["python3", "tests/check_options.py"]),
        ("out/stasis", ["python3", "tests/check_binary.py", "out/stasis"]),
        ("out/jailer", ["python3", "tests/check_binary.py", "out/jailer"]),
        ("shell syntax", ["sh", "-c", parse, "sh", *shell]),
        ("python syntax", ["python3", "-c", python, *sources("*.py")]),
        ("clang-format", ["clang-format-19", "--dry-run", "-Werror", *sources("*.c", "*.h")]),
    ]


def first_line(path):
    with open(os.path.join(ROOT, path), "rb") as file:
        return file.readline(200).decode(errors="replace")


def compiled_sources():
    """The .c files the build compiles; build/check_sources.sh sees that this is all of them.

    Many are compiled several ways. clang-tidy would look at each; it finds how in TIDY, once for
    each file: as for the product, if it is part of that.
    """
    try:
        with open(f"{ROOT}/out/compile_commands.json") as file:
            entries = json.load(file)
    except FileNotFoundError:
        raise Problem("out/compile_commands.json does not exist; run tools/build") from None
    chosen = {}
    for entry in entries:
        path = os.path.relpath(os.path.join(entry["directory"], entry["file"]), ROOT)
        if path not in chosen or re.search(r" -o +obj/", entry["command"]):
            chosen[path] = entry
    os.makedirs(TIDY, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=TIDY, delete=False) as file:
        json.dump(list(chosen.values()), file)
    os.replace(file.name, f"{TIDY}/compile_commands.json")
    return [path for path in sources("*.c") if path in chosen]


def unit_tests():
    """The unit test programs: those the build lists, or all it made."""
    listed = os.path.join(ROOT, "out", "unit_tests.txt")
    if os.path.exists(listed):
        with open(listed) as file:
            return [os.path.join("out", line.strip()) for line in file if line.strip()]
    found = [os.path.relpath(path, ROOT) for path in glob.glob(f"{ROOT}/out/native/*_test")]
    if not found:
        raise Problem("there are no unit tests in out/native; run tools/build")
    return sorted(found)


def fuzzers():
    """The names of the fuzzers that are built; tests/fuzz/fuzz.py runs them."""
    found = glob.glob(f"{ROOT}/out/native_fuzz/*_fuzz")
    if not found:
        raise Problem("there are no fuzzers in out/native_fuzz; run tools/build")
    return sorted(os.path.basename(path).removesuffix("_fuzz") for path in found)


# --- results ---------------------------------------------------------------------------------


class Report:
    """Collects results and prints each as it comes; safe to use from several threads."""

    def __init__(self, verbose):
        self.verbose = verbose
        self.results = []
        self.lock = threading.Lock()
        self.running = []

    def count(self, status):
        return sum(result["status"] == status for result in self.results)

    def add(self, name, status, seconds, detail=""):
        word = {"passed": "pass", "failed": "FAIL", "skipped": "skip"}[status]
        with self.lock:
            self.results.append({"name": name, "status": status, "seconds": round(seconds, 3),
                                 "detail": detail})
            reason = f": {detail}" if status == "skipped" else ""
            print(f"{word} {seconds:6.2f} s  {name}{reason}", flush=True)
            if status == "failed" and detail:
                print(textwrap.indent(detail.rstrip(), "    "), flush=True)

    def say(self, text):
        if self.verbose:
            with self.lock:
                print(f"  | {text}", flush=True)


class Tap:
    """Reads one program's TAP line by line and reports each test. Several plans add up."""

    def __init__(self, report, name):
        self.report, self.name = report, name
        self.planned, self.seen, self.failures = None, 0, 0
        self.since, self.notes, self.failed = time.monotonic(), [], None
        self.start = self.since

    def age(self):
        return time.monotonic() - self.start

    def line(self, line):
        self.report.say(line)
        plan = re.match(r"1\.\.(\d+)\b", line)
        # "ok 1 - name", "not ok 1 - name", "ok 1 - name # SKIP reason", cmocka's "ok 1 # SKIP name"
        test = re.match(r"(not )?ok\b *\d* *(?:- )?(.*?)(?: *# *SKIP\b *(.*))?$", line, re.I)
        if plan:
            self.planned = (self.planned or 0) + int(plan[1])
        elif test:
            self.flush()
            bad, title, reason = test.groups()
            now = time.monotonic()
            seconds, self.since = now - self.since, now
            self.seen += 1
            if bad:
                self.failures += 1
                self.failed = (title, seconds)  # what follows belongs to it: reported with the next
                return
            if reason is not None and not title:
                title, reason = reason, "the test skipped itself"
            status = "passed" if reason is None else "skipped"
            self.report.add(f"{self.name}: {title}", status, seconds, reason or "")
            self.notes = []
        elif line != "TAP version 13":
            self.notes = self.notes[-60:] + [line]

    def flush(self):
        if self.failed:
            title, seconds = self.failed
            self.failed = None
            self.report.add(f"{self.name}: {title}", "failed", seconds, "\n".join(self.notes))
            self.notes = []

    def end(self, status, problem=""):
        """The program is over: it must have kept its plan and agree with its results."""
        self.flush()
        why = problem
        if not why and self.planned != self.seen:
            planned = "no plan" if self.planned is None else f"{self.planned} tests planned"
            why = f"ended early: {planned}, {self.seen} reported, exit status {status}"
        elif not why and status and not self.failures:
            why = f"exit status {status} although no test failed"
        if why:
            self.report.add(f"{self.name}: runs to its end", "failed",
                            time.monotonic() - self.since, "\n".join([why] + self.notes))


class Lines:
    """A sink for bytes that calls `take` with each whole line."""

    def __init__(self, take):
        self.take, self.rest = take, b""

    def __call__(self, data):
        *lines, self.rest = (self.rest + data).split(b"\n")
        for line in lines:
            self.take(line.decode(errors="replace").rstrip("\r"))

    def end(self):
        if self.rest:
            self(b"\n")


# --- steps -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Check:
    """A command that passes by its exit status."""
    name: str
    command: tuple

    def run(self, report, stop):
        output = collections.deque(maxlen=2000)
        result = run_local(self.command, timeout=SUITE_SECONDS, sink=output.append, stop=stop)
        if not stop():
            detail = b"".join(output).decode(errors="replace") + result.problem
            if result.status:
                detail = detail or f"exit status {result.status}"
                report.add(self.name, "failed", result.seconds, detail)
            else:
                report.add(self.name, "passed", result.seconds)


@dataclass(frozen=True)
class Unit:
    """A program that runs on this machine, perhaps with hosts of its own, and reports in TAP."""
    name: str
    program: str
    seconds: int = SUITE_SECONDS

    def run(self, report, stop):
        tap = Tap(report, self.name)
        lines = Lines(tap.line)
        result = run_local([os.path.join(ROOT, self.program)], timeout=self.seconds, sink=lines,
                           stop=stop, env={"CMOCKA_MESSAGE_OUTPUT": "TAP"})
        lines.end()
        if not stop():
            tap.end(result.status, result.problem)


@dataclass(frozen=True)
class Rig:
    """Integration suites on one host, or on this machine if `host` is None."""
    name: str
    host: Host
    suites: tuple

    def run(self, report, stop):
        needs = [suite_needs(suite) for suite in self.suites]
        modules = tuple(dict.fromkeys(name for need in needs for name in need.modules))
        add = [("suites", f"{ROOT}/tests/rig/suites")]
        add += [(f"{name}.sh", f"{ROOT}/tests/integration/{name}.sh")
                for name in ("lib", *self.suites)]
        add += dict.fromkeys(pair for need in needs for pair in need.add)
        seconds = {suite: need.seconds for suite, need in zip(self.suites, needs)}
        waiting, tap = list(self.suites), None

        def take(line):
            nonlocal tap
            mark = re.match(r"#suite (\S+)(?: ended (\d+))?$", line)
            if not mark:
                (tap.line if tap else report.say)(line)
            elif mark[2] is None:
                tap = Tap(report, f"{self.name} {mark[1]}")
            else:
                status = int(mark[2])
                limit = seconds[mark[1]]
                tap.end(status, f"no end after {limit} s" if tap.age() >= limit else "")
                waiting.remove(mark[1])
                tap = None

        lines = Lines(take)
        run, host = (run_host, self.host) if self.host else (run_direct, Host())
        host = Host(**{**host.__dict__, "modules": modules})
        # Where time is skipped it is only ours that matters.
        stretch = 1000 if host.icount else 1
        command = ["busybox", "sh", "./suites"]
        command += [f"{suite}={seconds[suite] * stretch}" for suite in self.suites]
        result = run(host, command, add, timeout=60 + sum(seconds.values()), sink=lines,
                     stop=stop, env=None if self.host else {"RIG_HOST": "", "RIG_CPU": ""})
        lines.end()
        if stop():
            return
        why = result.problem or f"the host's suite runner ended with status {result.status}"
        for suite in waiting:
            (tap or Tap(report, f"{self.name} {suite}")).end(result.status, why)
            tap, why = None, "did not run: the host was gone"


@dataclass(frozen=True)
class Missing:
    """Steps that cannot be told because something was not made."""
    name: str
    problem: str

    def run(self, report, stop):
        report.add(self.name, "failed", 0, self.problem)


@dataclass
class Needs:
    add: list
    modules: list
    seconds: int


def suite_needs(suite):
    """What a suite's head comment asks for (tests/integration/lib.sh tells how)."""
    asked = head_comment(f"{ROOT}/tests/integration/{suite}.sh")
    add = []
    for word in asked["add"]:
        source, colon, target = word.partition(":")
        add.append(parse_add(os.path.join(ROOT, source) + colon + target))
    for guest in asked["guest"]:
        add += linux_guest(guest)
    for image in asked["image"]:
        add.append((image, made_image(image)))
    return Needs(add, asked["modules"], int((asked["seconds"] or [SUITE_SECONDS])[0]))


def head_comment(path):
    """The words after each `# key:` of a script's head comment."""
    asked = collections.defaultdict(list)
    with open(path) as file:
        for line in file:
            if not line.startswith("#"):
                break
            key = re.match(r"# (add|guest|image|modules|kernel|seconds): (.*)", line)
            if key:
                asked[key[1]] += key[2].split()
    return asked


building = threading.Lock()


def linux_guest(name):
    """Makes the initramfs of a Linux guest; returns what to add for it: the image and its kernel."""
    script = f"{ROOT}/tests/integration/guests/{name}"
    asked = head_comment(script)
    kernel = (asked["kernel"] or ["6.12"])[0]
    image = f"{ROOT}/out/rig/{name}.cpio"
    with building, open(script) as init:
        os.makedirs(f"{ROOT}/out/rig", exist_ok=True)
        programs = [(f"bin/{os.path.basename(path)}", os.path.join(ROOT, path)) for path in asked["add"]]
        make_initramfs(image, init.read(), programs, kernel=kernel, modules=asked["modules"])
    return [(f"{name}.cpio", image), (f"kernel-{kernel}", kernel_path(kernel, "Image"))]


def made_image(name):
    """Makes an image for `stasis run --image`; returns its folder."""
    folder = f"{ROOT}/out/rig/{name}-image"
    os.makedirs(os.path.dirname(folder), exist_ok=True)
    with building:
        done = subprocess.run([f"{ROOT}/tests/integration/images/{name}", folder], capture_output=True, text=True)
    if done.returncode:
        raise Problem(f"cannot make the image {name}: {done.stderr.strip()}")
    return folder


def proofs(full):
    """What CBMC proves; if `full`, also whether it finds planted mistakes."""
    script = ["python3", "tests/proofs/proofs.py"]
    for proof in PROOFS:
        yield Check(f"proof {proof.name}", (*script, proof.name))
    for proof in PROOFS if full else ():
        for number, mutant in enumerate(proof.mutants, 1):
            name = f"{proof.name}-{number}"
            yield Check(f"mutant {name}: {mutant.what}", (*script, "--mutants", name))


def native_steps(find_sources, fuzz_seconds):
    """What needs no host with KVM: checks of the sources, unit tests, fuzzers."""
    tidy = ["clang-tidy-19", "-p", TIDY, "--quiet", "--warnings-as-errors=*"]
    fuzz = ["python3", "tests/fuzz/fuzz.py"]
    yield from (Check(name, tuple(command)) for name, command in checks())
    for what, find, make in (
            ("clang-tidy", find_sources, lambda path: Check(f"clang-tidy {path}", (*tidy, path))),
            ("unit tests", unit_tests, lambda path: Unit(f"unit {os.path.basename(path)}", path)),
            ("fuzz", fuzzers, lambda name: Check(f"fuzz {name}", (*fuzz, name, str(fuzz_seconds))))):
        try:
            yield from map(make, find())
        except Problem as problem:
            yield Missing(what, str(problem))


def changed_sources():
    """Of the compiled sources those that differ from what was committed last."""
    command = ["git", "diff", "--name-only", "HEAD"]
    changed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [path for path in compiled_sources() if path in changed.splitlines()]


def quick_steps():
    """What a developer runs after each change: a minute, and one guest that boots and is restored.
    That is first, because an emulated host waits at times, and others can use the processor then."""
    if has_kvm():
        yield Rig("this machine", None, ("quick",))
    else:
        host = Host(*MATRIX[0][:5])
        yield Rig(str(host), host, ("quick",))
    yield from native_steps(changed_sources, QUICK_FUZZ_SECONDS)


def steps(full, long):
    """Everything there is to do, quick things first."""
    yield from native_steps(compiled_sources, FUZZ_SECONDS)
    yield from proofs(full)
    scripts = glob.glob(f"{ROOT}/tests/integration/*.sh")
    suites = sorted(os.path.basename(path).removesuffix(".sh") for path in scripts)
    suites.remove("lib")
    suites.remove("quick")      # the others see all of it
    suites = [name for name in suites if name != "snapshot-deep" and (long or name not in LONG)]
    yield Unit("image", "tests/image.py")
    yield Unit("docs", "tests/docs.py")
    yield Unit("moved", "tests/rig/moved.py")
    if long:
        yield Unit("package", "tests/package.py", PACKAGE_SECONDS)
        yield Unit("mutants", "tests/mutants/mutants.py", MUTANTS_SECONDS)
        if full:    # none is as long as this
            yield Unit("needed", "tests/needed/needed.py", NEEDED_SECONDS)
            yield Unit("performance", "tests/bench/counted.py")
            yield Unit("peers", "tests/bench/check_peers.py")
        yield Unit("scratch", "tests/scratch/full", SCRATCH_SECONDS)
    if has_kvm():
        skipped_time = ("hole", "time-bound", "time-chrony", "time-follow", "time-long")
        yield Rig("this machine", None, tuple(sorted(set(suites) - set(skipped_time))))
        return
    counted = [name for name in suites if name in COUNTED]
    suites = [name for name in suites if name not in COUNTED]
    for cpu, kernel, smp, mem, gic, append, chosen in MATRIX + (FULL_MATRIX if full else []):
        host = Host(cpu, kernel, smp, mem, gic, append=append)
        names = chosen.split()
        left_out = [] if long else names
        names = suites if "*" in names else names
        names = [name for name in names if f"-{name}" not in left_out]
        # In two halves, where there are many, which can run at the same time.
        for part in ([names[::2], names[1::2]] if len(names) > 12 else [names]):
            yield Rig(str(host), host, tuple(part))
    for suite in counted:
        host = Host("neoverse-n1", "6.12", 1, icount=True, shift=COUNTED[suite])
        yield Rig(f"{host} counted", host, (suite,))


def select(step, pattern):
    """The step as far as -k chooses it, or None. Of a rig it may choose single suites."""
    if pattern in step.name:
        return step
    if isinstance(step, Rig):
        chosen = tuple(suite for suite in step.suites if pattern in f"{step.name} {suite}")
        return Rig(step.name, step.host, chosen) if chosen else None
    return None


def run_all(todo, report):
    """Runs the steps, JOBS at a time. Ctrl-C ends what runs and raises KeyboardInterrupt."""
    stopped = threading.Event()
    running = []

    def run(step):
        if stopped.is_set():
            return
        running.append(step.name)
        start = time.monotonic()
        try:
            step.run(report, stopped.is_set)
        except (Problem, OSError) as problem:
            report.add(step.name, "failed", time.monotonic() - start, str(problem))
        if not stopped.is_set():
            running.remove(step.name)

    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        jobs = [pool.submit(run, step) for step in todo]
        try:
            for job in jobs:
                job.result()
        except BaseException:
            stopped.set()
            print(f"\ninterrupted while running: {', '.join(running) or 'nothing'}", flush=True)
            raise


def main():
    parser = argparse.ArgumentParser(prog="tools/test", description="Runs the tests.")
    option = parser.add_argument
    option("-k", metavar="PATTERN", help="only steps or suites with this in their name")
    option("--quick", action="store_true",
           help="a minute: no clang-tidy of files that did not change, one guest on one host")
    option("--full", action="store_true", help="the long list of hosts")
    option("--list", action="store_true", help="say what would run")
    option("--verbose", action="store_true", help="show all that the tests print")
    option("--json", metavar="FILE", help="write the results there")
    options = parser.parse_args()
    os.chdir(ROOT)
    interrupt_on_signals()
    todo = list(quick_steps() if options.quick else steps(options.full, options.full or options.k))
    if options.k:
        todo = [step for step in (select(step, options.k) for step in todo) if step]
        if not todo:
            sys.exit(f"tools/test: no step and no suite has '{options.k}' in its name; "
                     "tools/test --list prints them")
    if options.list:
        for step in todo:
            print(f"{step.name}: {' '.join(step.suites)}" if isinstance(step, Rig) else step.name)
        return
    report = Report(options.verbose)
    try:
        run_all(todo, report)
    except KeyboardInterrupt:
        sys.exit(130)
    passed, failed, skipped = (report.count(status) for status in ("passed", "failed", "skipped"))
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"passed": passed, "failed": failed, "skipped": skipped,
                       "tests": report.results}, file, indent=1)
    for status, title in (("failed", "Failed:"), ("skipped", "Skipped:")):
        chosen = [result for result in report.results if result["status"] == status]
        if chosen:
            print(f"\n{title}")
        for result in chosen:
            print(f"  {result['name']}" + (f": {result['detail']}" if status == "skipped" else ""))
    skips = f", {skipped} skipped" if skipped else ""
    print(f"\n{passed} passed, {failed} failed{skips}", flush=True)
    sys.exit(0 if passed and not failed else 1)


if __name__ == "__main__":
    main()
