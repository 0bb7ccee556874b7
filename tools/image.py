# SPDX-License-Identifier: Apache-2.0
#
# `stasis image build`: makes what `stasis run --image` starts (kernel, initrd and root disk) of a
# container image, an archive of a root file system, or Debian's packages. Only Python, mke2fs and,
# for users other than root, fakeroot are needed. Archives are hostile: nothing is written outside
# the new root, and a build that fails leaves nothing.
import argparse
import glob
import gzip
import hashlib
import io
import json
import lzma
import os
import re
import shutil
import signal
import stat
import struct
import subprocess
import sys
import tarfile
import tempfile

HERE = os.path.dirname(os.path.realpath(__file__))
# What a guest may need before its root is there, or that nothing would load later.
MODULES = ("virtio_mmio", "virtio_blk", "virtio_net", "virtio_rng", "virtio_balloon",
           "vmw_vsock_virtio_transport", "ext4", "ptp_kvm", "ptp_vmclock")
FOLDERS = ("dev", "proc", "sys", "run", "tmp", "root", "etc")
LAYER_MAX = 64 << 30    # bytes of all files of an image
ENTRIES_MAX = 2000000   # and their number
ARM64 = 183             # e_machine


class Problem(Exception):
    """One line for the user: what is wrong and what to do."""


# --- archives ----------------------------------------------------------------------------------


def split(name):
    """The parts of a path in an archive, which must stay below the root."""
    if name.startswith("/"):
        raise Problem(f"{name!r} is an absolute path; make the archive with relative ones (tar -C ROOT .)")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise Problem(f"{name!r} leaves the archive's root; such an archive is not unpacked")
    return parts


class Root:
    """The new root file system, a folder. Symbolic links in it are of the guest's root, not ours."""

    def __init__(self, path):
        self.path = path
        self.bytes = 0
        self.entries = 0

    def below(self, parts, depth=0):
        """The folder `parts` within the root, made if it is missing."""
        path = self.path
        for index, part in enumerate(parts):
            there = os.path.join(path, part)
            if os.path.islink(there):
                if depth > 40:
                    raise Problem(f"{'/'.join(parts)!r}: too many symbolic links")
                target = os.readlink(there)
                before = [] if target.startswith("/") else self.relative(path)
                return self.below(normal(before + target.split("/")) + parts[index + 1:], depth + 1)
            if not os.path.isdir(there):
                if os.path.lexists(there):
                    os.unlink(there)
                os.mkdir(there)
            path = there
        return path

    def relative(self, path):
        return [part for part in os.path.relpath(path, self.path).split("/") if part != "."]

    def find(self, name):
        """Where the guest's absolute path leads, links followed, or None."""
        parts = normal(name.split("/"))
        for _ in range(40):
            path = self.path
            for index, part in enumerate(parts):
                path = os.path.join(path, part)
                if os.path.islink(path):
                    target = os.readlink(path)
                    before = [] if target.startswith("/") else parts[:index]
                    parts = normal(before + target.split("/")) + parts[index + 1:]
                    break
            else:
                return path if os.path.exists(path) else None
        return None

    def apply(self, layer, name):
        """Unpack a layer: a tar file, perhaps compressed, over what is there."""
        try:
            with tarfile.open(fileobj=layer, mode="r:*") as archive:
                for member in archive:
                    self.put(archive, member)
        except (tarfile.TarError, EOFError, lzma.LZMAError, gzip.BadGzipFile, OSError) as error:
            if isinstance(error, OSError) and error.errno:
                raise
            raise Problem(f"{name} is not a tar archive that can be read ({first_line(error)}); "
                          "if it is compressed with zstd, decompress it first") from None

    def put(self, archive, member):
        parts = split(member.name)
        self.entries += 1
        self.bytes += max(member.size, 0)
        if self.entries > ENTRIES_MAX or self.bytes > LAYER_MAX:
            raise Problem(f"more than {ENTRIES_MAX} files or {LAYER_MAX >> 30} GiB; this is no root file system")
        if not parts:
            return
        if not (member.isfile() or member.isdir() or member.issym() or member.islnk()):
            raise Problem(f"{member.name!r} is a device node or a FIFO; a guest makes its own, leave it out "
                          "(tar --exclude=./dev)")
        folder, last = self.below(parts[:-1]), parts[-1]
        if last.startswith(".wh."):
            self.white_out(folder, last[4:])
            return
        path = os.path.join(folder, last)
        if os.path.lexists(path) and not (member.isdir() and os.path.isdir(path) and not os.path.islink(path)):
            remove(path)
        self.create(archive, member, path)

    def create(self, archive, member, path):
        if member.issym():
            os.symlink(member.linkname, path)
            os.lchown(path, member.uid, member.gid)
            return
        if member.islnk():
            source = split(member.linkname)
            os.link(os.path.join(self.below(source[:-1]), source[-1]), path, follow_symlinks=False)
            return
        if member.isdir():
            if not os.path.isdir(path):
                os.mkdir(path)
        else:
            with open(path, "xb") as out:
                shutil.copyfileobj(archive.extractfile(member), out, 1 << 20)
        os.chown(path, member.uid, member.gid)
        os.chmod(path, member.mode & 0o7777)
        os.utime(path, (member.mtime, member.mtime))

    @staticmethod
    def white_out(folder, name):
        """A layer removes a file of the layers below it; ".wh..opq" all that a folder had."""
        if name == ".wh..opq":
            for old in os.listdir(folder):
                remove(os.path.join(folder, old))
        elif name in ("", ".", "..") or "/" in name:
            raise Problem(f"'.wh.{name}' removes no file; such a layer is not unpacked")
        elif os.path.lexists(os.path.join(folder, name)):
            remove(os.path.join(folder, name))


def write_new(path, data):
    """In place of what was there, which may be a link that leads out of the root."""
    if os.path.lexists(path):
        remove(path)
    with open(path, "xb") as file:
        file.write(data)


def first_line(error):
    return str(error).splitlines()[0].rstrip(":") if str(error) else "it ends early"


def normal(parts):
    out = []
    for part in parts:
        if part == "..":
            out = out[:-1]
        elif part not in ("", "."):
            out.append(part)
    return out


def remove(path):
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        os.unlink(path)


# --- sources -----------------------------------------------------------------------------------


def load_json(data, what):
    try:
        value = json.loads(data)
    except ValueError:
        raise Problem(f"{what} is not valid JSON; is this such an image?") from None
    if not isinstance(value, (dict, list)):
        raise Problem(f"{what} is not what such an image has there")
    return value


def check_arm64(config, where):
    arch = config.get("architecture")
    if arch != "arm64":
        raise Problem(f"{where} is for {arch or 'an unknown architecture'}, and guests are arm64; "
                      "get that one: skopeo copy --override-arch arm64 docker://NAME oci:DIR")


def from_oci(where, root):
    """A folder in OCI's image layout; returns the image's configuration."""
    def blob(entry):
        digest = str(entry.get("digest", ""))
        if not re.fullmatch(r"sha(256|512):[0-9a-f]{64,128}", digest):
            raise Problem(f"{where} has the digest {digest!r}, which is none")
        kind, name = digest.split(":")
        path = os.path.join(where, "blobs", kind, name)
        with open(path, "rb") as file:
            if hashlib.file_digest(file, kind).hexdigest() != name:
                raise Problem(f"{path} is damaged; copy the image again")
        return path

    def read(path):
        try:
            with open(path, "rb") as file:
                return load_json(file.read(16 << 20), path)
        except FileNotFoundError:
            raise Problem(f"{path} does not exist; an OCI image is made by: "
                          "skopeo copy --override-arch arm64 docker://NAME oci:DIR") from None

    manifest = read(os.path.join(where, "index.json"))
    for _ in range(3):  # an index may hold others
        if "manifests" not in manifest:
            break
        entries = [entry for entry in manifest["manifests"]
                   if entry.get("platform", {}).get("architecture", "arm64") == "arm64"]
        if not entries:
            raise Problem(f"{where} has no image for arm64; get that one: "
                          "skopeo copy --override-arch arm64 docker://NAME oci:DIR")
        manifest = read(blob(entries[0]))
    config = read(blob(manifest.get("config", {})))
    check_arm64(config, where)
    for path in map(blob, manifest.get("layers", [])):
        with open(path, "rb") as file:
            root.apply(file, path)
    return config.get("config") or {}


def from_docker_archive(where, root):
    """What `docker save` writes."""
    with tarfile.open(where) as archive:
        def part(name):
            try:
                return archive.extractfile(archive.getmember(str(name)))
            except KeyError:
                raise Problem(f"{where} has no {name}; is it what docker save has written?") from None

        manifest = load_json(part("manifest.json").read(16 << 20), "manifest.json")
        config = load_json(part(manifest[0]["Config"]).read(16 << 20), "the configuration")
        check_arm64(config, where)
        for name in manifest[0]["Layers"]:
            root.apply(part(name), f"{where}: {name}")
    return config.get("config") or {}


def from_tar(where, root):
    with open(where, "rb") as file:
        root.apply(file, where)
    return {}


def from_debian(suite, root):
    """Debian's packages, by mmdebstrap, with systemd, sshd and the kernel for clouds."""
    need("mmdebstrap", "mmdebstrap")
    archive = os.path.join(os.path.dirname(root.path), "debian.tar")
    packages = "linux-image-cloud-arm64,systemd-sysv,openssh-server,iproute2,iputils-ping,ca-certificates"
    # It makes a root of its own for users other than root, and not within fakeroot's.
    real = {name: value for name, value in os.environ.items() if name not in ("LD_PRELOAD", "FAKEROOTKEY")}
    run(["mmdebstrap", "--quiet", "--architectures=arm64", "--variant=minbase", f"--include={packages}",
         suite or "trixie", archive], real)
    with open(archive, "rb") as file, tarfile.open(fileobj=file) as tar:
        for member in tar:  # mmdebstrap's own device nodes
            if split(member.name)[:1] != ["dev"]:
                root.put(tar, member)
    os.unlink(archive)
    # No password is set, so root is logged in at the console, which is the host's.
    folder = root.below(["etc", "systemd", "system", "serial-getty@ttyS0.service.d"])
    with open(os.path.join(folder, "login.conf"), "w") as file:
        file.write("[Service]\nExecStart=\n"
                   "ExecStart=-/sbin/agetty --autologin root --keep-baud 115200,57600,38400,9600 - $TERM\n")
    return {}


SOURCES = {"oci": from_oci, "docker-archive": from_docker_archive, "rootfs-tar": from_tar, "debian": from_debian}


def fill(source, root):
    kind, _, where = source.partition(":")
    if kind in ("docker", "registry") or kind not in SOURCES:
        raise Problem(f"--from {source}: give oci:DIR, docker-archive:FILE, rootfs-tar:FILE or debian; an image in "
                      "a registry becomes a folder by: skopeo copy --override-arch arm64 docker://NAME oci:DIR")
    if kind != "debian" and not where:
        raise Problem(f"--from {kind}: needs a path: {kind}:PATH")
    if kind != "debian" and not os.path.exists(where):
        raise Problem(f"{where} does not exist; a name in a registry is no file: "
                      "skopeo copy --override-arch arm64 docker://NAME oci:DIR makes one")
    try:
        return SOURCES[kind](where, root)
    except (KeyError, IndexError, TypeError, AttributeError):
        raise Problem(f"{where} is not {kind}'s kind of image: its manifest lacks something") from None
    except (tarfile.TarError, EOFError, ValueError, OverflowError, RecursionError) as error:
        raise Problem(f"{where} is not an archive that can be read ({first_line(error)})") from None


def check_programs(root):
    """Is there something to run, for this processor?"""
    for name in ("/bin/sh", "/sbin/init", "/bin/busybox", "/bin/bash"):
        path = root.find(name)
        if not path or not os.path.isfile(path):
            continue
        with open(path, "rb") as file:
            head = file.read(20)
        if len(head) == 20 and head[:4] == b"\x7fELF" and struct.unpack_from("<H", head, 18)[0] != ARM64:
            raise Problem(f"{name} is not a program for arm64; guests are arm64: get an image for that")
        return


# --- kernel and initrd -------------------------------------------------------------------------


class Kernel:
    """vmlinuz and the folder of its modules, or None."""

    def __init__(self, image, modules):
        self.image = image
        self.modules = modules


def kernel_below(folder):
    """The newest kernel of an unpacked package or a root, whose links lead nowhere else."""
    root = Root(folder)
    images = sorted(glob.glob(f"{folder}/boot/vmlinuz-*"), key=lambda path: [
        int(part) if part.isdigit() else 0 for part in re.split(r"[.-]", path)])
    for release in (os.path.basename(image).removeprefix("vmlinuz-") for image in reversed(images)):
        image = root.find(f"/boot/vmlinuz-{release}")
        for modules in (root.find(f"/{top}/modules/{release}") for top in ("lib", "usr/lib")):
            if image and modules and os.path.isdir(modules):
                return Kernel(image, modules)
    return None


def find_kernel(given, root, work):
    if given and given.endswith(".deb"):
        need("dpkg-deb", "dpkg")
        unpacked = os.path.join(work, "kernel")
        run(["dpkg-deb", "-x", given, unpacked])
        found = kernel_below(unpacked)
        if not found:
            raise Problem(f"{given} has no kernel with modules; on Debian linux-image-cloud-arm64 depends on "
                          "the package that has: apt-get download $(apt-cache depends linux-image-cloud-arm64 "
                          "| awk '/Depends: linux-image/ {print $2}')")
        return found
    if given and os.path.isdir(given):
        image = next((f"{given}/{name}" for name in ("Image", "vmlinuz") if os.path.exists(f"{given}/{name}")), None)
        if not image:
            raise Problem(f"{given} has neither Image nor vmlinuz")
        return Kernel(image, f"{given}/modules" if os.path.isdir(f"{given}/modules") else None)
    if given:
        if not os.path.isfile(given):
            raise Problem(f"--kernel {given} does not exist")
        return Kernel(given, None)
    found = kernel_below(root.path)
    release = os.uname().release
    if not found and os.uname().machine == "aarch64" and os.access(f"/boot/vmlinuz-{release}", os.R_OK) and \
            os.path.isdir(f"/lib/modules/{release}"):
        found = Kernel(f"/boot/vmlinuz-{release}", f"/lib/modules/{release}")
    if not found:
        raise Problem("no kernel in the image, and none of this host's that can be read; give --kernel: an Image, "
                      "or the .deb of Debian's kernel for arm64 (apt-get download linux-image-VERSION-cloud-arm64)")
    return found


def modules_in_order(folder):
    """[(name, contents)] of MODULES and what they depend on, in the order to load them."""
    index, loaded = {}, {}
    for parent, _, files in os.walk(folder):
        for name in files:
            if ".ko" in name and not os.path.islink(os.path.join(parent, name)):
                index[name.split(".ko")[0].replace("-", "_")] = os.path.join(parent, name)

    def load(name):
        path = index.get(name)
        if not path or name in loaded:
            return  # built in, or not in this kernel
        opener = lzma.open if path.endswith(".xz") else gzip.open if path.endswith(".gz") else open
        if path.endswith(".zst"):
            raise Problem(f"{path} is compressed with zstd; decompress the modules first: zstd -d --rm")
        with opener(path, "rb") as file:
            data = file.read()
        needed = re.search(rb"\0depends=([^\0]*)", data)
        for other in needed[1].decode().split(",") if needed else ():
            load(other.replace("-", "_"))
        soft = re.search(rb"\0softdep=pre: ([^\0]*)", data)
        for other in soft[1].decode().split() if soft else ():
            load(other.replace("-", "_"))
        loaded[name] = data

    for name in MODULES:
        load(name)
    return list(loaded.items())


def write_kernel(path, image):
    """The kernel, decompressed if it is gzip, so that all guests can share the file's pages."""
    with open(image, "rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    with (gzip.open if packed else open)(image, "rb") as file, open(path, "wb") as out:
        shutil.copyfileobj(file, out, 1 << 20)


def cpio_entry(out, path, mode, data=b""):
    head = "070701" + "".join(f"{field:08x}" for field in (
        0, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(path) + 1, 0))
    head = head.encode() + path.encode() + b"\0"
    out.write(head + b"\0" * (-len(head) % 4) + data + b"\0" * (-len(data) % 4))


def program(name):
    """A program for guests: installed beside this file, or built in the tree."""
    for path in (f"{HERE}/{name}", f"{HERE}/../out/guest-tools/{name}"):
        if os.path.exists(path):
            with open(path, "rb") as file:
                return file.read()
    raise Problem(f"{name} is missing; build it: tools/build")


def write_initrd(path, kernel):
    modules = modules_in_order(kernel.modules) if kernel.modules else []
    if kernel.modules and not any(name == "virtio_blk" for name, _ in modules):
        builtin = Root(kernel.modules).find("/modules.builtin")
        if builtin:
            with open(builtin, "rb") as file:
                builtin = b"virtio_blk.ko" in file.read()
        if not builtin:
            raise Problem(f"{kernel.modules} has no virtio_blk, so the kernel has no disks; use another kernel")
    plain = io.BytesIO()
    for folder in ("dev", "proc", "sys", "root", "bin", "modules"):
        cpio_entry(plain, folder, stat.S_IFDIR | 0o755)
    cpio_entry(plain, "init", stat.S_IFREG | 0o755, program("image-init"))
    cpio_entry(plain, "bin/clock-follow", stat.S_IFREG | 0o755, program("clock-follow"))
    for name, data in modules:
        cpio_entry(plain, f"modules/{name}.ko", stat.S_IFREG | 0o644, data)
    order = "".join(f"{name}.ko\n" for name, _ in modules)
    cpio_entry(plain, "modules/order", stat.S_IFREG | 0o644, order.encode())
    cpio_entry(plain, "TRAILER!!!", 0)
    # Not compressed: the file is mapped, and shared by all guests.
    with open(path, "wb") as out:
        out.write(plain.getvalue())


# --- the root disk -----------------------------------------------------------------------------


def write_command(root, config):
    """What image-init runs if the image has no init of its own."""
    words = [*(config.get("Entrypoint") or ()), *(config.get("Cmd") or ())]
    parts = ["a" + word for word in words] + ["e" + item for item in config.get("Env") or ()]
    if config.get("WorkingDir"):
        parts.append("w" + config["WorkingDir"])
    user = re.fullmatch(r"(\d+)(?::(\d+))?", config.get("User") or "")
    if user:
        parts.append(f"u{user[1]}:{user[2] or user[1]}")
    text = "".join(part.replace("\0", "") + "\0" for part in parts)
    write_new(os.path.join(root.path, ".stasis-command"), text.encode())


def write_key(root, path):
    """Whoever has the key may log in as root over ssh."""
    with open(path, "rb") as file:
        key = file.read(1 << 20)
    if not re.match(rb"(ssh|ecdsa|sk)-\S+ [A-Za-z0-9+/=]+", key):
        raise Problem(f"--ssh-key {path} is not a public key; give the file that ends in .pub")
    folder = root.below(["root", ".ssh"])
    os.chmod(folder, 0o700)
    target = os.path.join(folder, "authorized_keys")
    write_new(target, key)
    os.chmod(target, 0o600)


def disk_size(text, used):
    """In bytes: what is asked for, or twice what is used and 256 MiB more."""
    if text is None:
        return (used * 2 + (256 << 20)) >> 20 << 20
    match = re.fullmatch(r"(\d{1,6})([MG])", text)
    size = int(match[1]) << {"M": 20, "G": 30}[match[2]] if match else 0
    if size < used + (16 << 20):
        raise Problem(f"--size {text}: choose a size such as 512M or 4G, at least {(used >> 20) + 17}M for this image")
    return size


def write_disk(path, root, size):
    with open(path, "wb") as file:
        file.truncate(size)
    # The journal's and tables' zeroes stay holes of the file.
    run([mke2fs(), "-q", "-t", "ext4", "-m", "0", "-L", "root", "-E", "lazy_itable_init=1,lazy_journal_init=1",
         "-d", root.path, path])


# --- doing it ----------------------------------------------------------------------------------


def need(name, package):
    if not shutil.which(name):
        raise Problem(f"{name} is missing; install it: sudo apt-get install {package}")


def mke2fs():
    path = shutil.which("mke2fs") or shutil.which("mke2fs", path="/usr/sbin:/sbin")
    if not path:
        raise Problem("mke2fs is missing; install it: sudo apt-get install e2fsprogs")
    return path


def run(command, environment=None):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment)
    if done.returncode:
        words = (done.stderr.strip() or "no message").splitlines()[-1]
        raise Problem(f"{os.path.basename(command[0])} failed: {words}")


def interrupt(number, _):
    """As Ctrl-C: nothing is left."""
    raise KeyboardInterrupt(number)


def say(text):
    print(f"image: {text}", flush=True)


def build(options):
    mke2fs()
    out = options.out.rstrip("/") or "/"
    if os.path.lexists(out):
        raise Problem(f"{out} exists; remove it, or choose another --out")
    parent = os.path.dirname(os.path.abspath(out))
    if not os.path.isdir(parent):
        raise Problem(f"{parent} does not exist; create it first")
    work = tempfile.mkdtemp(prefix=".image-", dir=parent)
    try:
        root = Root(os.path.join(work, "root"))
        os.mkdir(root.path, 0o755)
        say(f"unpacking {options.source}")
        config = fill(options.source, root)
        check_programs(root)
        for name in FOLDERS:
            root.below([name])
        write_command(root, config)
        if options.ssh_key:
            write_key(root, options.ssh_key)
        kernel = find_kernel(options.kernel, root, work)
        say(f"kernel {kernel.image}, {'with' if kernel.modules else 'without'} modules")
        target = os.path.join(work, "image")
        os.mkdir(target, 0o755)
        write_kernel(f"{target}/kernel", kernel.image)
        write_initrd(f"{target}/initrd", kernel)
        size = disk_size(options.size, root.bytes)
        say(f"writing a root disk of {size >> 20} MiB")
        write_disk(f"{target}/rootfs.ext4", root, size)
        os.rename(target, out)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    say(f"made {out}; start it: stasis run --image {out} --memory 512M")


def parse(words):
    parser = argparse.ArgumentParser(
        prog="stasis image build", formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Makes an image that stasis run --image starts: kernel, initrd and root disk.",
        epilog="Examples:\n"
               "  skopeo copy --override-arch arm64 docker://alpine oci:alpine\n"
               "  stasis image build --from oci:alpine --out vm\n"
               "  stasis image build --from debian --out vm --size 4G\n"
               "  stasis run --image vm --memory 512M")
    parser.add_argument("--from", dest="source", required=True, metavar="KIND:PATH",
                        help="oci:DIR, docker-archive:FILE, rootfs-tar:FILE, debian or debian:SUITE")
    parser.add_argument("--out", required=True, metavar="DIR", help="the folder to make")
    parser.add_argument("--kernel", metavar="FILE",
                        help="an arm64 kernel, the .deb of one, or a folder with Image or vmlinuz and modules/; "
                             "default: the image's own, else this host's")
    parser.add_argument("--size", metavar="SIZE", help="of the root disk, as 512M or 4G (default: twice what is used)")
    parser.add_argument("--ssh-key", metavar="FILE", help="a public key that may log in as root, if the image has sshd")
    return parser.parse_args(words)


def under_fakeroot(words):
    """Run this again in fakeroot, as its child. Signals go to that alone: fakeroot's shell, and the
    program that remembers owners, have to outlive what it removes."""
    reader, writer = os.pipe()
    command = ["fakeroot", sys.executable, os.path.realpath(__file__), "build", *words]
    shell = subprocess.Popen(command, pass_fds=(writer,), process_group=0,
                             env={**os.environ, "STASIS_IMAGE_TELL": str(writer)})
    os.close(writer)
    pid = int(os.read(reader, 20) or 0)
    if pid:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda number, _: os.kill(pid, number))
    return shell.wait()


def main():
    words = sys.argv[1:]
    if words[:1] == ["build"]:
        words = words[1:]
    elif words and words[0] not in ("-h", "--help", "help"):
        sys.exit(f"stasis image: unknown command \"{words[0][:40]}\"; the command is build; see stasis image --help")
    options = parse(words if words and words[0] != "help" else ["--help"])
    if os.geteuid() and not os.environ.get("FAKEROOTKEY"):
        if not shutil.which("fakeroot"):
            sys.exit("stasis image: fakeroot is missing, without which files would not belong to root; "
                     "install it: sudo apt-get install fakeroot")
        sys.exit(under_fakeroot(words))
    if os.environ.get("STASIS_IMAGE_TELL"):
        os.write(int(os.environ["STASIS_IMAGE_TELL"]), str(os.getpid()).encode())
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    try:
        build(options)
    except Problem as problem:
        sys.exit(f"stasis image: {problem}")
    except OSError as error:
        sys.exit(f"stasis image: {error.filename or 'cannot write'}: {error.strerror}"
                 f"{'; make room and run this again' if error.errno == 28 else ''}")
    except KeyboardInterrupt as interrupted:
        sys.exit(128 + (interrupted.args[0] if interrupted.args else signal.SIGINT))


if __name__ == "__main__":
    main()
