# SPDX-License-Identifier: Apache-2.0
#
# tests/check_binary.py FILE: is FILE linked as the product must be? Reads the ELF file itself and
# prints a line for each property; the status is 1 if one is missing.
import struct
import sys
from collections import namedtuple

MAX_SIZE = 780_000
PAGE = 4096
ET_DYN, EM_AARCH64 = 3, 183
PT_LOAD, PT_DYNAMIC, PT_INTERP = 1, 2, 3
PT_GNU_STACK, PT_GNU_RELRO, PT_GNU_PROPERTY = 0x6474e551, 0x6474e552, 0x6474e553
PF_X, PF_W = 1, 2
SHT_SYMTAB = 2
DT_NEEDED, DT_RPATH, DT_TEXTREL, DT_BIND_NOW, DT_RUNPATH = 1, 15, 22, 24, 29
DT_FLAGS, DT_FLAGS_1 = 30, 0x6ffffffb
DF_TEXTREL, DF_BIND_NOW, DF_1_NOW = 4, 8, 1
NT_GNU_PROPERTY_TYPE_0, FEATURE_1_AND, BTI, PAC = 5, 0xc0000000, 1, 2

Segment = namedtuple("Segment", "type flags offset vaddr paddr filesz memsz align")
Section = namedtuple("Section", "name type flags addr offset size link info align entsize")


class Elf:
    def __init__(self, data):
        if data[:6] != b"\x7fELF\x02\x01":
            raise ValueError("not a little-endian 64-bit ELF file; name the linked program")
        self.data = data
        (self.type, self.machine, _, _, phoff, shoff, _, _, phentsize, phnum, shentsize, shnum,
         shstrndx) = struct.unpack_from("<HHIQQQIHHHHHH", data, 16)
        self.segments = [Segment(*struct.unpack_from("<IIQQQQQQ", data, phoff + i * phentsize))
                         for i in range(phnum)]
        self.sections = [Section(*struct.unpack_from("<IIQQQQIIQQ", data, shoff + i * shentsize))
                         for i in range(shnum)]
        names = self.sections[shstrndx].offset if shnum else 0
        self.sections = [section._replace(name=self.string(names + section.name))
                         for section in self.sections]

    def string(self, offset):
        return self.data[offset:self.data.index(b"\0", offset)].decode(errors="replace")

    def all(self, kind):
        return [segment for segment in self.segments if segment.type == kind]

    def first(self, kind):
        return next(iter(self.all(kind)), None)

    def dynamic(self):
        """{tag: the or of its values} up to DT_NULL."""
        segment, tags = self.first(PT_DYNAMIC), {}
        for i in range(segment.filesz // 16 if segment else 0):
            tag, value = struct.unpack_from("<QQ", self.data, segment.offset + 16 * i)
            if not tag:
                break
            tags[tag] = tags.get(tag, 0) | value
        return tags

    def feature_1(self):
        """The bits of GNU_PROPERTY_AARCH64_FEATURE_1_AND."""
        segment, bits = self.first(PT_GNU_PROPERTY), 0
        at, end = (segment.offset, segment.offset + segment.filesz) if segment else (0, 0)
        while at + 16 <= end:
            namesz, descsz, kind = struct.unpack_from("<III", self.data, at)
            desc = at + 12 + (namesz + 3 & ~3)
            at = desc + (descsz + 7 & ~7)
            while kind == NT_GNU_PROPERTY_TYPE_0 and descsz >= 8:
                name, size = struct.unpack_from("<II", self.data, desc)
                if name == FEATURE_1_AND:
                    bits |= struct.unpack_from("<I", self.data, desc + 8)[0]
                size = 8 + (size + 7 & ~7)
                desc, descsz = desc + size, descsz - size
        return bits


def relro_problem(elf):
    """What is not right about PT_GNU_RELRO, or ""."""
    relro = elf.first(PT_GNU_RELRO)
    if not relro:
        return "there is no PT_GNU_RELRO; link with -Wl,-z,relro"
    if (relro.vaddr + relro.memsz) % PAGE:
        return f"it ends at {relro.vaddr + relro.memsz:#x}, within a page, which stays writable"
    for name in (".got", ".dynamic", ".data.rel.ro"):
        section = next((s for s in elf.sections if s.name == name), None)
        if not section:
            return f"there is no {name}"
        if section.addr < relro.vaddr or section.addr + section.size > relro.vaddr + relro.memsz:
            return f"{name} lies outside of it; see build/config/product.ld"
    return ""


def properties(elf):
    """Yields (what must be, whether it is, what to know if not)."""
    tags, feature = elf.dynamic(), elf.feature_1()
    stack = elf.first(PT_GNU_STACK)
    writable_code = [s for s in elf.all(PT_LOAD) if s.flags & PF_W and s.flags & PF_X]
    relro = relro_problem(elf)
    yield ("arm64 program", elf.machine == EM_AARCH64, f"e_machine is {elf.machine}, not {EM_AARCH64}")
    yield ("position independent", elf.type == ET_DYN, f"e_type is {elf.type}, not ET_DYN; link with -static-pie")
    yield ("static", not elf.first(PT_INTERP), "it has PT_INTERP; link with -static-pie")
    yield ("stripped", not any(s.type == SHT_SYMTAB for s in elf.sections),
           "it has .symtab; link with //build/config:stripped")
    yield (f"at most {MAX_SIZE} bytes", len(elf.data) <= MAX_SIZE,
           f"it has {len(elf.data)}; find what grew, or raise MAX_SIZE here with a reason")
    yield ("BTI", feature & BTI, "some object was built without -mbranch-protection=standard")
    yield ("PAC", feature & PAC, "some object was built without -mbranch-protection=standard")
    yield ("read-only after relocation", not relro, relro)
    yield ("bound at start",
           tags.get(DT_FLAGS, 0) & DF_BIND_NOW or tags.get(DT_FLAGS_1, 0) & DF_1_NOW or DT_BIND_NOW in tags,
           "link with -Wl,-z,now")
    yield ("stack not executable", stack and not stack.flags & PF_X,
           "PT_GNU_STACK is missing or has X; link with -Wl,-z,noexecstack")
    yield ("nothing writable and executable", not writable_code,
           "segments at " + ", ".join(hex(s.vaddr) for s in writable_code))
    for name, tag in (("DT_RPATH", DT_RPATH), ("DT_RUNPATH", DT_RUNPATH), ("DT_NEEDED", DT_NEEDED)):
        yield (f"no {name}", tag not in tags, f"find the linker flag or library that adds {name}")
    yield ("no DT_TEXTREL", DT_TEXTREL not in tags and not tags.get(DT_FLAGS, 0) & DF_TEXTREL,
           "some object was not compiled with -fPIE")


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: tests/check_binary.py FILE")
    try:
        with open(sys.argv[1], "rb") as file:
            results = list(properties(Elf(file.read())))
    except (OSError, ValueError, struct.error, IndexError) as problem:
        sys.exit(f"tests/check_binary.py: {sys.argv[1]}: {problem}")
    for what, is_so, remedy in results:
        print(f"ok      {what}" if is_so else f"FAILED  {what}: {remedy}")
    sys.exit(0 if all(is_so for _, is_so, _ in results) else 1)


if __name__ == "__main__":
    main()
