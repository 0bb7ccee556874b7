# SPDX-License-Identifier: Apache-2.0
#
# Writes vmm/startup.order: the product's functions in the order in which they are first called
# (tests/bench/startup says by what), which the linker puts side by side. Then a process that starts
# has fewer pages of its program mapped one after the other. Called by tools/order, which has built
# everything.
import os
import re
import struct
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [f"{ROOT}/tests", f"{ROOT}/tests/rig", f"{ROOT}/tests/bench"]
from bench import what_to_add  # noqa: E402
from check_binary import SHT_SYMTAB, Elf  # noqa: E402
from initramfs import Problem  # noqa: E402
from rig import INTERRUPTED, Host, interrupt_on_signals, run_host  # noqa: E402

PROGRAM = f"{ROOT}/out/stasis.debug"
ORDER = f"{ROOT}/vmm/startup.order"
STT_FUNC, SHF_EXECINSTR = 2, 4
# Least that must be found for the list to be of use: a third of what is in it today.
LEAST = 250


def functions(path):
    """{offset: [name]} of the functions of a program."""
    with open(path, "rb") as file:
        elf = Elf(file.read())
    found = {}
    for table in (section for section in elf.sections if section.type == SHT_SYMTAB):
        names = elf.sections[table.link].offset
        for at in range(table.offset, table.offset + table.size, table.entsize):
            name, info, _, section, value, _ = struct.unpack_from("<IBBHQQ", elf.data, at)
            if info & 15 == STT_FUNC and section < len(elf.sections) and \
                    elf.sections[section].flags & SHF_EXECINSTR:
                found.setdefault(value, []).append(elf.string(names + name))
    return found


def entered(named):
    """Their offsets, in order."""
    offsets, rest = [], b""

    def sink(data):
        nonlocal rest
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            text = line.decode(errors="replace").rstrip("\r")
            found = re.match(r"entered\|([0-9a-f]+)$", text)
            if found:
                offsets.append(int(found[1], 16))
            else:
                print(text, flush=True)

    work = f"{ROOT}/out/bench"
    add = [(target, source) for target, source in what_to_add(f"{ROOT}/tests/bench/startup")
           if not target.startswith("qemu/")]
    with open(f"{work}/functions", "w") as file:
        file.writelines(f"{offset:x}\n" for offset in sorted(named))
    add += [("functions", f"{work}/functions"), ("entered", f"{work}/entered"), ("stasis.debug", PROGRAM)]
    result = run_host(Host(smp=2, modules=("tun",)), ["sh", "./measure"], add, timeout=600, sink=sink)
    if result.status:
        raise Problem(result.problem or f"the script ended with status {result.status}")
    return list(dict.fromkeys(offsets))


def main():
    interrupt_on_signals()
    try:
        named = functions(PROGRAM)
        print(f"order: watching {len(named)} functions on an emulated host; a minute", flush=True)
        # Also those that the compiler made: outlined parts are called from everywhere.
        names = [name for offset in entered(named) for name in named[offset]]
    except (Problem, OSError, ValueError) as problem:
        sys.exit(f"tools/order: {problem}")
    except KeyboardInterrupt:
        print("tools/order: interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
    names = list(dict.fromkeys(names))
    if len(names) < LEAST:
        sys.exit(f"tools/order: only {len(names)} functions were called; {ORDER} is left as it was")
    with open(ORDER, "w") as file:
        file.writelines(f"{name}\n" for name in names)
    print(f"order: {len(names)} functions in {os.path.relpath(ORDER, ROOT)}; build again")


if __name__ == "__main__":
    main()
