# SPDX-License-Identifier: Apache-2.0
#
# Makes initramfs images: busybox, a script as /init, files, and kernel modules with what they
# depend on. Both the emulated host of the rig and the Linux guests of the tests start from one.
# No root is needed: the cpio archive is written here, byte by byte, owned by uid 0.
#
#   initramfs.py OUT --init SCRIPT [--kernel 6.12] [--modules a,b] [--add SRC[:DEST]]...
import argparse
import glob
import lzma
import os
import re
import stat
from functools import lru_cache

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DEPS = os.path.join(ROOT, "out", "deps")
HERE = os.path.join(ROOT, "tests", "rig")

PASSWD = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n"
GROUP = "root:x:0:\nnobody:x:65534:\n"


class Problem(Exception):
    """Something is missing or wrong; the text names it and the remedy."""


def kernel_path(kernel, name=""):
    """The folder of a fetched kernel ("6.12", "newest"), or a file in it."""
    path = os.path.join(DEPS, "kernels", kernel)
    if not os.path.exists(path):
        there = sorted(os.path.basename(other) for other in glob.glob(f"{DEPS}/kernels/*"))
        raise Problem(f"kernel '{kernel}' is not in out/deps/kernels; run tools/prepare test, "
                      f"or choose one of: {' '.join(there)}")
    return os.path.join(path, name)


# --- modules ---------------------------------------------------------------------------------


@lru_cache(None)
def module_index(kernel):
    """What the kernel has: {module: path of its file, or None where it is built in}."""
    folder = kernel_path(kernel, "modules")
    with open(os.path.join(folder, "modules.builtin")) as builtin:
        index = {module_name(line.strip()): None for line in builtin}
    for parent, _, files in os.walk(folder):
        modules = [name for name in files if ".ko" in name]
        index.update({module_name(name): os.path.join(parent, name) for name in modules})
    return index


def module_name(path):
    return os.path.basename(path).split(".ko")[0].replace("-", "_")


def modules_in_order(kernel, names):
    """[(name, contents)] of the modules and all they depend on, in the order to load them."""
    loaded = {}

    def load(name):
        if name not in module_index(kernel):
            raise Problem(f"kernel {kernel} has no module '{name}'; "
                          f"see out/deps/kernels/{kernel}/modules")
        path = module_index(kernel)[name]
        if path is None or name in loaded:
            return
        with (lzma.open if path.endswith(".xz") else open)(path, "rb") as file:
            data = file.read()
        # .modinfo is NUL-separated text; the kernel's own packages carry no modules.dep.
        for needed in re.search(rb"\0depends=([^\0]*)", data)[1].decode().split(","):
            if needed:
                load(needed.replace("-", "_"))
        loaded[name] = data

    for name in names:
        load(name.replace("-", "_"))
    return list(loaded.items())


# --- the archive -----------------------------------------------------------------------------


class Cpio:
    """Writes a cpio archive of the "newc" kind to an open file."""

    def __init__(self, file):
        self.file = file
        self.inode = 0
        self.folders = set()

    def entry(self, path, mode, data=b"", device=(0, 0)):
        path = path.strip("/")
        parent = os.path.dirname(path)
        if parent and parent not in self.folders:
            self.folder(parent)
        self.inode += 1
        fields = (self.inode, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(path) + 1, 0)
        head = b"070701" + b"".join(b"%08x" % field for field in fields) + path.encode() + b"\0"
        self.file.write(head + b"\0" * (-len(head) % 4))
        self.file.write(data + b"\0" * (-len(data) % 4))

    def folder(self, path, mode=0o755):
        self.folders.add(path.strip("/"))
        self.entry(path, stat.S_IFDIR | mode)

    def link(self, path, target):
        self.entry(path, stat.S_IFLNK | 0o777, target.encode())

    def text(self, path, text, mode=0o755):
        self.entry(path, stat.S_IFREG | mode, text.encode() if isinstance(text, str) else text)

    def tree(self, path, source):
        """A file, or a folder with all in it; modes are kept, and symbolic links in a folder too."""
        if not os.path.isdir(source):
            self.copy(path, source)
            return
        for parent, folders, files in os.walk(source):
            inside = os.path.join(path, os.path.relpath(parent, source)).removesuffix("/.")
            self.folder(inside, stat.S_IMODE(os.stat(parent).st_mode))
            for name in files + folders:
                outside = os.path.join(parent, name)
                if os.path.islink(outside):
                    self.link(os.path.join(inside, name), os.readlink(outside))
                elif name in files:
                    self.copy(os.path.join(inside, name), outside)

    def copy(self, path, source):
        with open(source, "rb") as file:
            mode = stat.S_IMODE(os.stat(source).st_mode)
            self.entry(path, stat.S_IFREG | mode, file.read())

    def close(self):
        self.entry("TRAILER!!!", 0)


def busybox_applets(program):
    """The names busybox answers to: NUL-separated text in the program that starts with "[" "[["."""
    start = program.index(b"[\0[[\0")
    names = program[start:program.index(b"\0\0", start)].split(b"\0")
    return [name.decode() for name in names if name != b"busybox"]


def read_file(path, remedy):
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        raise Problem(f"{os.path.relpath(path, ROOT)} does not exist; {remedy}") from None


def make_initramfs(path, init, files=(), kernel=None, modules=()):
    """Writes an initramfs to `path`.

    `init` is the text of the script that becomes /init; it usually starts with `. /bin/setup`.
    `files` is pairs (path in the image, file or folder here), `modules` are of `kernel`.
    """
    partial = f"{path}.{os.getpid()}.tmp"
    try:
        with open(partial, "wb") as file:
            cpio = Cpio(file)
            for folder in (".", "bin", "dev", "etc", "mnt", "modules", "proc", "root", "run", "sys", "tmp"):
                cpio.folder(folder)
            busybox = read_file(os.path.join(DEPS, "busybox", "busybox"), "run tools/prepare test")
            cpio.text("bin/busybox", busybox)
            for applet in busybox_applets(busybox):
                cpio.link(f"bin/{applet}", "busybox")
            cpio.link("sbin", "bin")
            with open(os.path.join(HERE, "setup")) as setup:
                cpio.text("bin/setup", setup.read())
            cpio.text("etc/passwd", PASSWD, 0o644)
            cpio.text("etc/group", GROUP, 0o644)
            cpio.text("init", init)
            ordered = modules_in_order(kernel, modules) if modules else ()
            for number, (name, data) in enumerate(ordered):
                cpio.text(f"modules/{number:02}-{name}.ko", data, 0o644)
            for inside, outside in files:
                cpio.tree(inside, outside)
            cpio.close()
        os.rename(partial, path)
    finally:
        if os.path.exists(partial):
            os.unlink(partial)


def parse_add(argument):
    """SRC[:DEST] as (DEST, SRC); DEST is a path inside the image and must stay inside."""
    source, _, target = argument.partition(":")
    target = os.path.normpath(target or os.path.basename(source.rstrip("/"))).lstrip("/")
    if not os.path.exists(source):
        raise Problem(f"{source} does not exist (asked for by --add {argument})")
    if target.startswith(".."):
        raise Problem(f"--add {argument}: the destination must not leave its folder")
    return target, source


def main():
    parser = argparse.ArgumentParser(description="Makes an initramfs for an arm64 test system.")
    parser.add_argument("out")
    parser.add_argument("--init", required=True, help="file with the script that becomes /init")
    parser.add_argument("--kernel", default="6.12", help="the kernel whose modules are meant")
    parser.add_argument("--modules", default="", help="comma-separated")
    parser.add_argument("--add", action="append", default=[], metavar="SRC[:DEST]")
    options = parser.parse_args()
    try:
        with open(options.init) as init:
            make_initramfs(options.out, init.read(), [parse_add(add) for add in options.add],
                           options.kernel, [name for name in options.modules.split(",") if name])
    except (Problem, OSError) as problem:
        parser.exit(1, f"initramfs.py: {problem}\n")


if __name__ == "__main__":
    main()
