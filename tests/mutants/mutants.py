#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
#
# Tests the tests: builds the product wrongly, one small sabotage ("mutant") at a time, and says
# which test noticed. Each mutant names the program that must; so it costs one compilation, one link
# and one run. The status is 0 only if each was noticed. A mutant that no longer fits the source,
# or that does not build, is an error.
#
#   tests/mutants/mutants.py [-k PATTERN] [--list] [--rig]
#
# What is wrong is listed in the files beside this one. The work is done on copies, so the tree and
# what is built of it stay as they are. It reports in TAP.
import argparse
import importlib
import os
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
LISTS = ("devices", "locks", "memory", "metadata", "snapshot", "api", "guest_time", "suspend", "seccomp")
JOBS = max(1, os.cpu_count() or 1)
COMPILER = "compiler: "
REFUSAL = "[-Werror,-Wthread-safety"  # the rule that it must name
TEST_SECONDS = 60       # a test that does not end has noticed, too


@dataclass(frozen=True)
class Mutant:
    area: str           # the list that it is on
    name: str
    path: str
    changes: tuple      # (what the file says, once; what the mutant says), ...
    test: str           # the unit test that must notice; COMPILER before it: it must not even compile
    suite: str = ""     # or an integration suite, on an emulated host

    @property
    def title(self):
        return f"{self.area}: {self.name}"

    @property
    def target(self):
        test = self.test.removeprefix(COMPILER)
        return test if "/" in test else f"native/{test}"

    @property
    def is_the_compilers(self):
        return self.test.startswith(COMPILER)


def load_mutants():
    """All there are. A list has rows (name, path, old, new, test), or (name, path, [(old, new), ...],
    test); SUITES has the same with a suite in place of the test."""
    sys.path.insert(0, HERE)
    for area in LISTS:
        module = importlib.import_module(area)
        for rows, is_suite in ((module.MUTANTS, False), (getattr(module, "SUITES", ()), True)):
            for name, path, *changes, judge in rows:
                changes = tuple(changes[0]) if len(changes) == 1 else (tuple(changes),)
                yield Mutant(area, name, path, changes, *(("", judge) if is_suite else (judge,)))


# --- a copy of the tree ------------------------------------------------------------------------


class Tree:
    """A copy of the tree in which one mutant at a time is built."""

    def __init__(self, folder, objects=("native/obj", "native_tsan/obj")):
        self.folder = folder
        listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                                cwd=ROOT, capture_output=True, check=True).stdout.decode()
        for path in filter(None, listed.split("\0")):
            if os.path.lexists(f"{ROOT}/{path}"):
                os.makedirs(os.path.dirname(f"{folder}/{path}"), exist_ok=True)
                shutil.copy2(f"{ROOT}/{path}", f"{folder}/{path}", follow_symlinks=False)
        self.copy_objects(objects)
        subprocess.run(["git", "init", "-q"], cwd=folder, check=True)   # tests/run.py asks it
        subprocess.run(["gn", "gen", "out", "--quiet"], cwd=folder, check=True, stdout=subprocess.DEVNULL)

    def copy_objects(self, objects):
        """What is built already, with its times, so that little is compiled again."""
        os.makedirs(f"{self.folder}/out")
        os.symlink(f"{ROOT}/out/deps", f"{self.folder}/out/deps")
        for name in (".ninja_deps", ".ninja_log", "args.gn"):
            if os.path.exists(f"{ROOT}/out/{name}"):
                shutil.copy2(f"{ROOT}/out/{name}", f"{self.folder}/out")
        for name in objects:
            if os.path.exists(f"{ROOT}/out/{name}"):
                shutil.copytree(f"{ROOT}/out/{name}", f"{self.folder}/out/{name}", copy_function=shutil.copy2)

    def build(self, targets):
        """None, or why it does not build."""
        done = subprocess.run(["ninja", "-C", "out", *targets], cwd=self.folder, capture_output=True, text=True)
        return done.stdout if done.returncode else None

    def run(self, target):
        """What failed in a unit test, or None."""
        try:
            done = subprocess.run([f"out/{target}"], cwd=self.folder, capture_output=True, text=True, errors="replace",
                                  timeout=TEST_SECONDS, env={**os.environ, "CMOCKA_MESSAGE_OUTPUT": "TAP"})
        except subprocess.TimeoutExpired:
            return "it does not end"
        bad = re.search(r"^not ok \d+ - (\S+)", done.stdout, re.M)
        if bad:
            return bad[1]
        return f"it crashed: {first_error(done.stderr)}" if done.returncode else None

    def run_suite(self, suite):
        """A suite may name the host that it needs."""
        step = suite if " " in suite else f"neoverse-n1 6.12 smp2 {suite}"
        done = subprocess.run(["python3", "tests/run.py", "--full", "-k", step], cwd=self.folder,
                              capture_output=True, text=True)
        bad = re.search(r"^FAIL .*? s  (.*)$", done.stdout, re.M)
        return bad[1] if bad else None

    def judge(self, mutant):
        """(whether a test noticed, by what or why not)"""
        path = f"{self.folder}/{mutant.path}"
        with open(path) as file:
            good = text = file.read()
        for old, new in mutant.changes:
            if text.count(old) != 1:
                return False, f"STALE: {mutant.path} has {text.count(old)} times: {old.strip()}"
            text = text.replace(old, new)
        try:
            write(path, text)
            if mutant.suite:
                why = self.build(["stasis", "guests/clock.img", "tests/clock_host"])
            else:
                why = self.build([mutant.target])
            if mutant.is_the_compilers:
                return REFUSAL in (why or ""), f"it compiles: {why}" if REFUSAL not in (why or "") else "it does not compile"
            if why:
                return False, "STALE: it does not build:\n" + why[-1500:]
            found = self.run_suite(mutant.suite) if mutant.suite else self.run(mutant.target)
            judge = mutant.suite or mutant.test
            return bool(found), f"{judge}: {found}" if found else f"ALIVE: {judge} passes"
        finally:
            write(path, good)


def write(path, text):
    with open(path, "w") as file:
        file.write(text)


def first_error(text):
    """The line of a sanitizer's report that says what it is."""
    bad = re.search(r"(ERROR: \S+: [^\n]{0,80}|runtime error: [^\n]{0,80}|WARNING: ThreadSanitizer: [^\n]{0,60})", text)
    return bad[1] if bad else "without a word"


# --- all of them -------------------------------------------------------------------------------


class Report:
    """TAP, from several threads."""

    def __init__(self, planned):
        self.lock, self.seen, self.bad = threading.Lock(), 0, 0
        print(f"1..{planned}", flush=True)

    def add(self, mutant, noticed, detail):
        with self.lock:
            self.seen += 1
            self.bad += not noticed
            if noticed:
                print(f"ok {self.seen} - {mutant.title} ({detail})", flush=True)
            else:
                print(f"not ok {self.seen} - {mutant.title}\n{detail}", flush=True)


def check_tests(tree, mutants):
    """Without a mutant each test must pass."""
    targets = sorted({mutant.target for mutant in mutants if not mutant.suite})
    why = tree.build(targets)
    if why:
        sys.exit(f"mutants: the tree does not build without a mutant:\n{why[-1500:]}")
    for target in targets:
        why = tree.run(target) and tree.run(target)     # once more: some measure time
        if why:
            sys.exit(f"mutants: {target} fails without a mutant: {why}")


def try_all(mutants):
    todo, report = queue.SimpleQueue(), None
    for mutant in sorted(mutants, key=lambda mutant: (mutant.path, mutant.test)):
        todo.put(mutant)
    with tempfile.TemporaryDirectory(prefix="mutants.") as folder:
        trees = [Tree(f"{folder}/0")]
        check_tests(trees[0], mutants)
        report = Report(len(mutants))

        def work(number):
            tree = trees[0] if not number else Tree(f"{folder}/{number}")
            while not todo.empty():
                try:
                    mutant = todo.get_nowait()
                except queue.Empty:
                    return
                report.add(mutant, *tree.judge(mutant))

        threads = [threading.Thread(target=work, args=(number,)) for number in range(min(JOBS, len(mutants)))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    print(f"# {report.seen - report.bad} of {len(mutants)} were noticed")
    return 0 if report.seen == len(mutants) and not report.bad else 1


def main():
    parser = argparse.ArgumentParser(prog="tests/mutants/mutants.py", description="Tests the tests.")
    parser.add_argument("-k", metavar="PATTERN", default="", help="only mutants with this in area, name or file")
    parser.add_argument("--list", action="store_true", help="say which there are, and what must notice each")
    parser.add_argument("--rig", action="store_true", help="also those that need an emulated host, two minutes each")
    options = parser.parse_args()
    mutants = [mutant for mutant in load_mutants() if options.k in f"{mutant.title} {mutant.path}"
               and (options.rig or options.list or not mutant.suite)]
    if options.list:
        for mutant in mutants:
            print(f"{mutant.title}: {mutant.path}: {mutant.test or mutant.suite}")
        return 0
    if not mutants:
        sys.exit(f"mutants: there is none with '{options.k}' in its name")
    return try_all(mutants)


if __name__ == "__main__":
    sys.exit(main())
