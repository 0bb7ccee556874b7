# SPDX-License-Identifier: Apache-2.0
#
# Prints what the product's bytes are: per library and object of the C library, and of our own code
# per folder and function. Called by tools/size, which has linked stasis.debug with a map.
import argparse
import os
import re
import sys
from collections import Counter

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MAP = f"{ROOT}/out/stasis.debug.map"
FOLDERS = ("core", "arch", "devices", "snapshot", "vmm", "build/libc")
# A name at its definition: at the start of a line (or after its type), and not declared.
DEFINED = re.compile(r"^(?:[a-z_][\w \t*]*[\s*])?(\w+)(?:\(|\[.*=|\s*=)", re.MULTILINE)
LINE = re.compile(r"\s*([0-9a-f]+)\s+[0-9a-f]+\s+([0-9a-f]+)\s+\d+ (\s*)(\S.*)$")
NOT_IN_THE_FILE = re.compile(r"\.(bss|tbss|debug|symtab|strtab|shstrtab|comment|relro)")


def homes():
    """{name: folder} of what our sources define; "several folders (a name of each)" if the name is not unique."""
    found = {}
    for top in FOLDERS:
        for path, _, files in os.walk(f"{ROOT}/{top}"):
            folder = os.path.relpath(path, ROOT)
            for name in (name for name in files if name.endswith((".c", ".h"))):
                with open(f"{path}/{name}") as file:
                    for what in DEFINED.findall(file.read()):
                        found[what] = folder if found.get(what, folder) == folder else "several folders (a name of each)"
    return found


def pieces(path):
    """(object, section of the object, bytes) of all that the linker placed, in the file's order."""
    section = ""
    with open(path) as file:
        for line in file:
            found = LINE.match(line)
            if not found:
                continue
            size, depth, text = int(found[2], 16), len(found[3]), found[4]
            if depth == 0:
                section = text
            elif depth == 8 and not NOT_IN_THE_FILE.match(section):
                place = re.match(r"(.*):\((.*)\)$", text)
                yield place[1], place[2], size


def count(path):
    """(bytes per object or folder, bytes per function or variable of ours)"""
    where, what, ours = Counter(), Counter(), homes()
    for name, section, size in pieces(path):
        library = re.search(r"lib(\w+)\.a\((.*)\)$", name)
        if library:
            where[f"lib{library[1]}"] += size
            what[f"lib{library[1]} {library[2]}"] += size
        elif ".lto." in name:
            symbol = re.sub(r"^\.(text|rodata|data\.rel\.ro|data)\.?", "", section)
            folder = ours.get(re.sub(r"\..*", "", symbol), "ours, by the compiler (outlined, merged)")
            where[folder] += size
            what[f"{folder} {symbol}"] += size
        else:
            where["texts, and what the linker made"] += size
    return where, what


def main():
    parser = argparse.ArgumentParser(prog="tools/size", description="What the product's bytes are, per folder "
                                     "and library; then the largest functions, variables and objects.")
    parser.add_argument("--largest", type=int, default=40, metavar="N", help="how many of them (default %(default)s)")
    options = parser.parse_args()
    where, what = count(MAP)
    if not where:
        sys.exit(f"tools/size: {MAP} has no sections; link it anew: ninja -C out stasis.debug")
    for title, found in (("folder or library", where.most_common()), ("largest", what.most_common(options.largest))):
        print(f"{'bytes':>9}  {title}")
        for name, size in found:
            print(f"{size:9,}  {name}")
    print(f"{os.path.getsize(f'{ROOT}/out/stasis'):9,}  out/stasis")


if __name__ == "__main__":
    main()
