# SPDX-License-Identifier: Apache-2.0
#
# The product's folders are rooms: their files include each other's headers in one direction only.
# Finds cycles between folders by the includes themselves, whatever the build's targets say; sees
# that no room grows too large. tests/lint.sh calls it; `tests/rooms.py --list` prints the rooms from
# the ground up, with what each stands on.
import collections
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PRODUCT = re.compile(r"(arch|core|devices|jailer|snapshot|vmm)/.*\.[ch]$")
FILES_MAX = 20          # in a folder, without those in folders of its own
SHARE_MAX = 0.30        # of the product's lines


def read_rooms():
    """{folder: {other: (file, header) that ties them}}, and {folder: [files, lines]}."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    paths = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    ties, sizes = collections.defaultdict(dict), collections.defaultdict(lambda: [0, 0])
    for path in filter(PRODUCT.match, sorted(set(paths.splitlines()))):
        if not os.path.exists(f"{ROOT}/{path}"):
            continue
        with open(f"{ROOT}/{path}") as file:
            lines = file.read().splitlines()
        folder = os.path.dirname(path)
        sizes[folder][0] += 1
        sizes[folder][1] += len(lines)
        for line in lines:
            header = re.match(r'#\s*include "([^"]+)"', line)
            if header and os.path.dirname(header[1]) != folder:
                ties[folder].setdefault(os.path.dirname(header[1]), (path, header[1]))
    return ties, sizes


def sort(ties, folders):
    """The folders from the ground up, each after all that it includes; or a cycle among them."""
    done, order, way = set(), [], []

    def visit(folder):
        if folder in way:
            return way[way.index(folder):] + [folder]
        if folder in done:
            return None
        way.append(folder)
        for other in sorted(ties.get(folder, ())):
            cycle = visit(other)
            if cycle:
                return cycle
        way.pop()
        done.add(folder)
        order.append(folder)
        return None

    for folder in sorted(folders):
        cycle = visit(folder)
        if cycle:
            return order, cycle
    return order, None


def main():
    ties, sizes = read_rooms()
    total = sum(lines for _, lines in sizes.values())
    order, cycle = sort(ties, sizes)
    problems = []
    if cycle:
        problems.append("folders include each other in a circle: " + " -> ".join(cycle))
        problems += [f"  {path} includes {header}"
                     for path, header in (ties[a][b] for a, b in zip(cycle, cycle[1:]))]
    for folder, (files, lines) in sorted(sizes.items()):
        if files > FILES_MAX:
            problems.append(f"{folder}: {files} files lie loose in it; {FILES_MAX} is the limit, "
                            "give some a folder of their own")
        if lines > SHARE_MAX * total:
            problems.append(f"{folder}: {100 * lines // total} % of the product's lines; "
                            f"{SHARE_MAX:.0%} is the limit")
    if "--list" in sys.argv[1:]:
        for folder in order:
            files, lines = sizes[folder]
            print(f"{folder:24} {files:3} files {lines:6} lines  {' '.join(sorted(ties[folder]))}")
    print("\n".join(problems), end="\n" if problems else "")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
