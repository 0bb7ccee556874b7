#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
#
# Counts what docs/performance.json lists, on an emulated host whose clock counts instructions, and
# fails for each figure that is more than 2 % worse than there. Reports in TAP; tools/test --full
# runs it. With --rewrite it writes the figures there and into docs/performance.md instead: the
# commit then says why they changed.
import argparse
import json
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "rig"))
from initramfs import Problem  # noqa: E402
from rig import Host, run_host  # noqa: E402

TABLE = f"{ROOT}/docs/performance.json"
PAGE = f"{ROOT}/docs/performance.md"
BEGIN, END = "<!-- counted: tests/bench/counted.py --rewrite -->\n", "<!-- end -->\n"
WORSE = 1.02    # how much more than the table's a figure may be
SECONDS = 240
HOST = Host(smp=1, icount=True, modules=("tun",))


def verdicts(table, counted):
    """[(passed, text)] of each figure in either. None may be missing: it would not be looked at."""
    found = []
    for what in dict.fromkeys([*table, *counted]):
        if what not in counted:
            found.append((False, f"{what}: it was not counted"))
        elif what not in table:
            found.append((False, f"{what}: it is not in docs/performance.json"))
        else:
            old, new = table[what]["value"], counted[what]["value"]
            text = f"{what}: {new:g} {counted[what]['unit']}, {(new / old - 1) * 100:+.1f} %"
            found.append((new <= old * WORSE, text))
    return found


def count():
    """{what: {unit, value}} as it is now."""
    out = f"{ROOT}/out"
    add = [("counted", f"{ROOT}/tests/bench/counted"), ("stasis", f"{out}/stasis"),
           ("cpu_time", f"{out}/bench/cpu_time"), ("api_time", f"{out}/bench/api_time"),
           ("off.img", f"{out}/guests/off.img"), ("restored.img", f"{out}/guests/restored.img")]
    said = []
    result = run_host(HOST, ["sh", "./counted"], add, timeout=SECONDS, sink=said.append)
    text = b"".join(said).decode(errors="replace")
    if result.status or result.problem:
        raise Problem(f"the host's script failed ({result.problem or result.status}): {text[-400:]}")
    counted = {what: {"unit": unit, "value": float(value)} for what, unit, value
               in re.findall(r"result\|(.*)\|(.*)\|stasis\|([\d.]+)", text)}
    counted["stripped binary"] = {"unit": "bytes", "value": os.path.getsize(f"{out}/stasis")}
    return counted


def lines_of(table):
    """The table for docs/performance.md."""
    lines = ["| | stasis |\n", "|---|---|\n"]
    return "".join(lines + [f"| {what} | {row['value']:,.10g} {row['unit']} |\n" for what, row in table.items()])


def on_page(table, page):
    """The page, with this table in it."""
    before, found, rest = page.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not found or not ended:
        raise Problem(f"docs/performance.md lacks its lines {BEGIN.strip()} and {END.strip()}")
    return before + BEGIN + lines_of(table) + END + after


def read(path):
    with open(path) as file:
        return file.read()


def write(path, text):
    with open(path, "w") as file:
        file.write(text)


def rewrite(counted):
    write(PAGE, on_page(counted, read(PAGE)))
    write(TABLE, json.dumps({"host": str(HOST), "figures": counted}, indent=1) + "\n")


def check_itself():
    """That a figure which got worse, or is gone, would be seen."""
    row = {"a": {"unit": "us", "value": 100}}
    cases = [(row, row, True), (row, {"a": {"unit": "us", "value": 101.9}}, True),
             (row, {"a": {"unit": "us", "value": 102.1}}, False), (row, {"a": {"unit": "us", "value": 50}}, True),
             (row, {}, False), ({}, row, False)]
    return all(all(passed for passed, _ in verdicts(table, counted)) == good for table, counted, good in cases)


def main():
    parser = argparse.ArgumentParser(description="Counts what docs/performance.json lists, and compares.")
    parser.add_argument("--rewrite", action="store_true", help="write what was counted there, and into docs/performance.md")
    options = parser.parse_args()
    try:
        counted = count()
        if options.rewrite:
            rewrite(counted)
            return 0
        table = json.loads(read(TABLE))["figures"]
        results = [(check_itself(), "a figure that got worse would be seen"),
                   (on_page(table, read(PAGE)) == read(PAGE), "docs/performance.md has the figures of docs/performance.json"),
                   *verdicts(table, counted)]
    except (Problem, OSError, ValueError, KeyError) as problem:
        print(f"Bail out! {problem}")
        return 1
    print(f"1..{len(results)}")
    for number, (passed, text) in enumerate(results, 1):
        print(f"{'ok' if passed else 'not ok'} {number} - {text}")
    return 0 if all(passed for passed, _ in results) else 1


if __name__ == "__main__":
    sys.exit(main())
