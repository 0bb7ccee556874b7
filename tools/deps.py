# SPDX-License-Identifier: Apache-2.0
#
# Unpacks Debian packages under out/deps: sysroots to build against, QEMU, kernels and programs to
# test with. Called by tools/prepare. It uses apt's own client with a private state directory, so
# it needs no root and leaves the machine's apt configuration alone. A piece is unpacked beside
# its place and renamed, so an interrupted run leaves nothing half done.
import concurrent.futures
import contextlib
import errno
import fcntl
import glob
import gzip
import hashlib
import lzma
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
from dataclasses import dataclass

DEPS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "out", "deps")
RECIPE = 3  # increment it when the unpacking changes: all pieces are then made again
SUITES = {"arm64": ("bookworm", "trixie", "trixie-backports"), "other": ("trixie",)}

SYSROOT = """libc6-dev libgcc-14-dev libfdt-dev libseccomp-dev libjansson-dev libllhttp-dev
             liburing-dev libcmocka-dev zlib1g-dev""".split()

# Including libraries that read and apply OpenAPI descriptions.
PYTHON = """python3-minimal libpython3-stdlib python3-yaml python3-openapi-schema-validator
            python3-openapi-spec-validator""".split()

# Of what CBMC depends on: not the C compiler, because it gets preprocessed sources.
CBMC_PARTS = ("cbmc", "minisat", "libminisat", "libc6", "libgcc-s1", "libstdc++6")


# A Debian 13 in which packages are installed, and their manual pages read.
DEBIAN = """base-files base-passwd bash coreutils dash debianutils diffutils dpkg findutils grep gzip libc-bin
            man-db sed tar""".split()

# What a piece takes while it is made, packages and unpacked files included.
MEGABYTES = {"sysroot-arm64": 250, "sysroot-native": 250, "qemu": 420, "qemu-arm64": 450, "python": 180,
             "clients": 160}
MEGABYTES_OTHER = 130


class Failure(Exception):
    """An error message for the user: what is wrong and what to do."""


@dataclass(frozen=True)
class Piece:
    name: str
    goals: tuple        # the goals of tools/prepare that need it
    arch: str
    packages: tuple     # their dependencies are added; "name/suite" chooses a suite
    finish: object      # makes the piece from the unpacked packages: finish(unpacked, target)
    only: object = ""   # use only packages whose name starts with this, or with one of these

    @property
    def path(self):
        return os.path.join(DEPS, self.name)

    @property
    def key(self):
        return hashlib.sha256(repr((RECIPE, self.arch, self.packages, self.only)).encode()).hexdigest()

    def is_ready(self):
        try:
            with open(os.path.join(self.path, ".stamp")) as stamp:
                return stamp.read() == self.key
        except OSError:
            return False


# --- from unpacked packages to pieces --------------------------------------------------------


def finish_sysroot(unpacked, target):
    """A tree for --sysroot: merged /usr, no link that leaves the tree, no setuid files."""
    for name in ("bin", "sbin", "lib", "lib64"):
        if os.path.isdir(f"{unpacked}/usr/{name}") and not os.path.lexists(f"{unpacked}/{name}"):
            os.symlink(f"usr/{name}", f"{unpacked}/{name}")
    for folder, folders, files in os.walk(unpacked):
        for path in (os.path.join(folder, name) for name in folders + files):
            if os.path.islink(path) and os.readlink(path).startswith("/"):
                inside = unpacked + os.readlink(path)
                os.unlink(path)
                os.symlink(os.path.relpath(inside, folder), path)
            elif not os.path.islink(path) and os.stat(path).st_mode & 0o6000:
                os.chmod(path, os.stat(path).st_mode & 0o1777)
    os.rename(unpacked, target)


def finish_qemu(unpacked, target):
    """QEMU with all its libraries, and `run`, which starts it from any location of the tree."""
    finish_sysroot(unpacked, target)
    loader = os.path.relpath(glob.glob(f"{target}/usr/lib*/ld-linux-*.so.*")[0], target)
    libraries = os.path.relpath(glob.glob(f"{target}/usr/lib/*-linux-gnu")[0], target)
    with open(f"{target}/run", "w") as run:
        run.write(f'''#!/bin/sh
# Starts the unpacked QEMU with its own loader and libraries.
here=$(dirname "$(readlink -f "$0")")
exec "$here/{loader}" --library-path "$here/{libraries}" \\
\t"$here/usr/bin/qemu-system-aarch64" -L "$here/usr/share/qemu" "$@"
''')
    os.chmod(f"{target}/run", 0o755)


def finish_kernel(unpacked, target):
    """vmlinuz, Image, config, version, modules/: the same names for every kernel and packaging."""
    release = os.path.basename(glob.glob(f"{unpacked}/**/lib/modules/*", recursive=True)[0])
    os.mkdir(target)
    folder = os.path.dirname(glob.glob(f"{unpacked}/**/{release}/kernel", recursive=True)[0])
    os.mkdir(f"{target}/modules")
    for name in ("kernel", "modules.builtin"):
        os.rename(f"{folder}/{name}", f"{target}/modules/{name}")
    for name in ("vmlinuz", "config"):  # Debian 13 keeps them in /boot, newer kernels do not
        places = f"{unpacked}/boot/{name}-{release}", f"{folder}/{name}"
        os.rename(next(filter(os.path.exists, places)), f"{target}/{name}")
    with open(f"{target}/version", "w") as version:
        version.write(release + "\n")
    write_image(f"{target}/vmlinuz", f"{target}/Image")


def write_image(vmlinuz, image):
    """The plain arm64 Image in `vmlinuz`: itself, gzip of it, or an EFI program with it inside."""
    with open(vmlinuz, "rb") as file:
        data = file.read()
    kind = "plain"
    if data[:2] == b"\x1f\x8b":
        kind = "gzip"
    elif data[4:8] == b"zimg":
        start, size = struct.unpack_from("<II", data, 8)
        kind = data[24:56].split(b"\0")[0].decode()
        data = data[start:start + size]
    if kind == "gzip":
        data = gzip.decompress(data)
    elif kind in ("xzkern", "lzma"):
        data = lzma.decompress(data)
    if data[56:60] != b"ARM\x64":
        raise Failure(f"{vmlinuz} holds no arm64 Image (format: {kind}); "
                      "teach write_image() of tools/deps.py this format")
    if kind == "plain":
        os.link(vmlinuz, image)
    else:
        with open(image, "wb") as file:
            file.write(data)


def finish_python(unpacked, target):
    """Python for this machine with all its libraries, and `run`, which starts it."""
    finish_sysroot(unpacked, target)
    program = glob.glob(f"{target}/usr/bin/python3.*[0-9]")[0]
    write_starter(f"{target}/run", target, glob.glob(f"{target}/usr/lib/*-linux-gnu")[0], program)


def finish_clients(unpacked, target):
    """bin/curl and bin/python3 for the emulated host, without documentation and, after
    compile_clients(), without sources."""
    whole = f"{unpacked}.whole"
    finish_sysroot(unpacked, whole)
    program = glob.glob(f"{whole}/usr/bin/python3.*[0-9]")[0]
    python = os.path.basename(program)
    os.makedirs(f"{target}/usr/bin")
    os.makedirs(f"{target}/bin")
    for path in (program, f"{whole}/usr/bin/curl"):
        shutil.copy(path, f"{target}/usr/bin")
    copy_libraries(whole, f"{target}/lib")
    # In one folder, so that Python finds the packages without its site module.
    for path in (f"{whole}/usr/lib/{python}", f"{whole}/usr/lib/python3/dist-packages"):
        shutil.copytree(path, f"{target}/usr/lib/{python}", dirs_exist_ok=True)
    write_starter(f"{target}/bin/curl", target, f"{target}/lib", f"{target}/usr/bin/curl")
    write_starter(f"{target}/bin/python3", target, f"{target}/lib", f"{target}/usr/bin/{python}")


def copy_libraries(whole, target):
    """All libraries of an unpacked tree and their loader, in one folder."""
    os.makedirs(target)
    libraries = glob.glob(f"{whole}/usr/lib/*-linux-gnu/*.so.*") + glob.glob(f"{whole}/usr/lib/ld-linux-*")
    # Under the name by which programs load it: that of a link if there is one.
    aimed_at = {os.path.realpath(path) for path in libraries if os.path.islink(path)}
    for path in libraries:
        if os.path.islink(path) or path not in aimed_at:
            shutil.copy(path, target)


def write_starter(path, tree, libraries, program):
    """A script that starts a program of another system with its own loader and libraries. It runs
    no other process, because on an emulated host starting one is slow."""
    loader = (glob.glob(f"{libraries}/ld-linux-*") + glob.glob(f"{tree}/usr/lib*/ld-linux-*"))[0]
    here = os.path.relpath(tree, os.path.dirname(path))
    loader, libraries, program = (os.path.relpath(name, tree) for name in (loader, libraries, program))
    with open(path, "w") as script:
        script.write(f'''#!/bin/sh
here=${{0%/*}}/{here}
exec "$here/{loader}" --library-path "$here/{libraries}" "$here/{program}" "$@"
''')
    os.chmod(path, 0o755)


def clients_have_sources():
    """True until compile_clients() has completed."""
    return os.path.exists(f"{DEPS}/python/run") and \
        bool(glob.glob(f"{DEPS}/clients/usr/lib/python3.*/os.py"))


def compile_clients():
    """Replaces the Python sources of the emulated host by bytecode, because compiling what a test
    imports takes a minute there. The same version of Python compiles them on this machine."""
    library = glob.glob(f"{DEPS}/clients/usr/lib/python3.*")[0]
    # Beside each source and without its timestamp, because an initramfs does not keep those.
    run([f"{DEPS}/python/run", "-I", "-m", "compileall", "-q", "-b", "-f", "-s", library,
         "--invalidation-mode", "unchecked-hash", library])
    sources = glob.glob(f"{library}/**/*.py", recursive=True)
    for path in sorted(sources, key=lambda path: path == f"{library}/os.py"):
        os.unlink(path)


def finish_e2fsprogs(unpacked, target):
    """bin/mke2fs, bin/e2fsck and bin/debugfs for the emulated host."""
    whole = f"{unpacked}.whole"
    finish_sysroot(unpacked, whole)
    os.makedirs(f"{target}/bin")
    os.makedirs(f"{target}/usr/sbin")
    copy_libraries(whole, f"{target}/lib")
    for name in ("mke2fs", "e2fsck", "debugfs"):
        shutil.copy(f"{whole}/usr/sbin/{name}", f"{target}/usr/sbin")
        write_starter(f"{target}/bin/{name}", target, f"{target}/lib", f"{target}/usr/sbin/{name}")


def finish_programs(unpacked, target, *names):
    """bin/NAME of each, with the libraries that they need. Returns where all of the packages is."""
    whole = f"{unpacked}.whole"
    finish_sysroot(unpacked, whole)
    os.makedirs(f"{target}/bin")
    os.makedirs(f"{target}/usr/bin")
    copy_libraries(whole, f"{target}/lib")
    programs = [f"{target}/usr/bin/{name}" for name in names]
    for name, path in zip(names, programs):
        shutil.copy(glob.glob(f"{whole}/usr/*bin/{name}")[0], path)
        write_starter(f"{target}/bin/{name}", target, f"{target}/lib", path)
    drop_libraries(f"{target}/lib", programs)
    return whole


def finish_chrony(unpacked, target):
    """bin/chronyd and bin/chronyc for a Linux guest, and the list of leap seconds."""
    whole = finish_programs(unpacked, target, "chronyd", "chronyc")
    shutil.copy(f"{whole}/usr/share/zoneinfo/leap-seconds.list", target)


def finish_trace_cmd(unpacked, target):
    """bin/trace-cmd for the emulated host and a Linux guest."""
    finish_programs(unpacked, target, "trace-cmd")


def finish_netfilter(unpacked, target):
    """bin/ip and bin/nft for the emulated host: what tools/net-setup calls."""
    finish_programs(unpacked, target, "ip", "nft")


def finish_debian(unpacked, target):
    """A root file system in which dpkg finds nothing installed."""
    for name in ("var/lib/dpkg/info", "var/lib/dpkg/updates", "etc", "tmp"):
        os.makedirs(f"{unpacked}/{name}", exist_ok=True)
    with open(f"{unpacked}/var/lib/dpkg/status", "w"), open(f"{unpacked}/etc/passwd", "w") as users, \
            open(f"{unpacked}/etc/group", "w") as groups:
        users.write("root:x:0:0:root:/root:/bin/bash\nman:x:6:12:man:/var/cache/man:/bin/sh\n")
        groups.write("root:x:0:\nman:x:12:\n")
    for name in ("doc", "locale", "i18n"):  # the emulated host has little memory
        shutil.rmtree(f"{unpacked}/usr/share/{name}", ignore_errors=True)
    finish_sysroot(unpacked, target)


def finish_llvm(unpacked, target):
    """bin/llvm-profdata and bin/llvm-cov for this machine."""
    whole = f"{unpacked}.whole"
    finish_sysroot(unpacked, whole)
    os.makedirs(f"{target}/bin")
    os.makedirs(f"{target}/usr/bin")
    copy_libraries(whole, f"{target}/lib")
    programs = [f"{target}/usr/bin/{name}" for name in ("llvm-profdata", "llvm-cov")]
    for path in programs:
        name = os.path.basename(path)
        shutil.copy(f"{whole}/usr/lib/llvm-19/bin/{name}", path)
        write_starter(f"{target}/bin/{name}", target, f"{target}/lib", path)
    drop_libraries(f"{target}/lib", programs)


def drop_libraries(folder, programs):
    """Removes libraries that the programs do not need, because guests have little memory."""
    needed, todo = set(), list(programs)
    while todo:
        with open(todo.pop(), "rb") as file:
            data = file.read()
        found = {name for name in os.listdir(folder) if b"\0" + name.encode() + b"\0" in data}
        todo += [os.path.join(folder, name) for name in found - needed]
        needed |= found
    for name in set(os.listdir(folder)) - needed:
        os.unlink(os.path.join(folder, name))


def finish_cbmc(unpacked, target):
    """CBMC for this machine, without the compiler that it would call; `run` starts it."""
    whole = f"{unpacked}.whole"
    finish_sysroot(unpacked, whole)
    os.makedirs(f"{target}/usr/bin")
    copy_libraries(whole, f"{target}/lib")
    for path in glob.glob(f"{whole}/usr/lib/libminisat.so*"):
        shutil.copy(path, f"{target}/lib")
    shutil.copy(f"{whole}/usr/bin/cbmc", f"{target}/usr/bin")
    write_starter(f"{target}/run", target, f"{target}/lib", f"{target}/usr/bin/cbmc")


def finish_busybox(unpacked, target):
    os.mkdir(target)
    os.rename(f"{unpacked}/usr/bin/busybox", f"{target}/busybox")


# --- the pieces ------------------------------------------------------------------------------


def pieces_for(goal, native):
    """The pieces that a goal of tools/prepare needs. `newest` is the latest kernel in backports."""
    build, test, bench = ("build", "test", "bench", "coverage", "package", "all"), ("test", "bench", "all"), ("bench",)
    emulate = () if native == "arm64" and os.access("/dev/kvm", os.W_OK) else test
    kernel = "linux-image-cloud-arm64"
    pieces = [
        Piece("sysroot-arm64", build, "arm64", tuple(SYSROOT), finish_sysroot),
        Piece("sysroot-native", build, native, tuple(SYSROOT), finish_sysroot),
        Piece("qemu", emulate, native, ("qemu-system-arm",), finish_qemu),
        Piece("kernels/6.1", test, "arm64", (f"{kernel}/bookworm",), finish_kernel, "linux-"),
        Piece("kernels/6.12", test, "arm64", (f"{kernel}/trixie",), finish_kernel, "linux-"),
        Piece("kernels/newest", test, "arm64", (f"{kernel}/trixie-backports",), finish_kernel, "linux-"),
        Piece("busybox", test, "arm64", ("busybox-static",), finish_busybox, "busybox-static"),
        Piece("chrony", ("test", "all"), "arm64", ("chrony",), finish_chrony),
        Piece("trace-cmd", ("test", "all"), "arm64", ("trace-cmd/trixie",), finish_trace_cmd),
        Piece("e2fsprogs", ("test", "all"), "arm64", ("e2fsprogs",), finish_e2fsprogs),
        Piece("netfilter", ("test", "all"), "arm64", ("iproute2", "nftables"), finish_netfilter),
        Piece("debian", ("test", "all"), "arm64", tuple(f"{name}/trixie" for name in DEBIAN), finish_debian),
        Piece("python", test, native, tuple(PYTHON), finish_python),
        Piece("cbmc", ("test", "all"), native, ("cbmc/trixie",), finish_cbmc, CBMC_PARTS),
        Piece("clients", test, "arm64", ("curl", *PYTHON), finish_clients),
        Piece("llvm", ("coverage",), native, ("llvm-19",), finish_llvm),
        Piece("qemu-arm64", bench, "arm64", ("qemu-system-arm",), finish_qemu),
    ]
    return [piece for piece in pieces if goal in piece.goals]


# --- apt -------------------------------------------------------------------------------------


def mirror():
    """The Debian mirror this machine uses itself."""
    if os.environ.get("STASIS_DEBIAN_MIRROR"):
        return os.environ["STASIS_DEBIAN_MIRROR"]
    sources = ["/etc/apt/sources.list"] + sorted(glob.glob("/etc/apt/sources.list.d/*.list"))
    sources += sorted(glob.glob("/etc/apt/sources.list.d/*.sources"))
    for path in filter(os.path.exists, sources):
        pattern = r"^URIs:\s*(.*)" if path.endswith(".sources") else r"^deb\s+(?:\[.*?\]\s*)?(\S+)"
        with open(path) as file:
            found = " ".join(re.findall(pattern, file.read(), re.M)).split()
        for uri in found:
            if re.search(r"/debian(/|$)", uri):
                return uri
    raise Failure("no Debian mirror in this machine's apt sources; name one: "
                  "STASIS_DEBIAN_MIRROR=<URL that ends in /debian> tools/prepare")


def keyring():
    for kind in ("gpg", "pgp"):
        path = f"/usr/share/keyrings/debian-archive-keyring.{kind}"
        if os.path.exists(path):
            return path
    raise Failure("Debian's signing keys are missing; remedy: apt-get install debian-archive-keyring")


class Stop:
    """Ends what runs at Ctrl-C: no command is begun any more, and those that run are killed."""

    def __init__(self):
        self.lock = threading.Lock()
        self.running = set()
        self.stopped = False

    def begin(self, command, cwd):
        with self.lock:
            if self.stopped:
                raise Failure("interrupted")
            child = subprocess.Popen(command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                     stderr=subprocess.PIPE, text=True, start_new_session=True)
            self.running.add(child)
        return child

    def end(self, child):
        with self.lock:
            self.running.discard(child)

    def stop(self):
        with self.lock:
            self.stopped = True
            for child in self.running:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)


stop = Stop()


def run(command, cwd=None):
    child = stop.begin(command, cwd)
    try:
        out, error = child.communicate()
    finally:
        stop.end(child)
    if child.returncode and ("No space left" in error or "not have enough free space" in error):
        raise Failure(f"there is no room in {DEPS}; make some, then run tools/prepare again")
    if child.returncode:
        raise Failure(f"{' '.join(command[:1] + command[3:])} failed:\n{error.strip()}\n"
                      "remedy: check the network and the mirror this machine's apt sources name\n"
                      "(STASIS_DEBIAN_MIRROR=<URL> chooses another), then run tools/prepare again")
    return out


class Apt:
    """apt's client for one architecture, with nothing installed and its own lists."""

    def __init__(self, arch):
        self.state = os.path.join(DEPS, ".apt", arch)
        os.makedirs(f"{self.state}/lists/partial", exist_ok=True)
        os.makedirs(f"{self.state}/cache/archives/partial", exist_ok=True)
        suites = SUITES.get(arch, SUITES["other"])
        source = "".join(f"deb [signed-by={keyring()}] {mirror()} {suite} main\n" for suite in suites)
        # Keep the machine's settings (proxies), but drop its hooks and extra indexes.
        config = f'''#clear APT::Update::Post-Invoke; #clear APT::Update::Post-Invoke-Success;
#clear Acquire::IndexTargets::deb::DEP-11; #clear Acquire::IndexTargets::deb::CNF;
#clear APT::Default-Release;
APT::Architecture "{arch}"; APT::Architectures {{ "{arch}"; }};
APT::Install-Recommends "false"; APT::Update::Error-Mode "any"; APT::Sandbox::User "";
Acquire::Languages "none"; Acquire::Retries "3"; Debug::NoLocking "true";
Dir::State "{self.state}"; Dir::State::Lists "{self.state}/lists"; Dir::State::status "{self.state}/status";
Dir::Cache "{self.state}/cache"; Dir::Etc::SourceList "{self.state}/sources.list";
Dir::Etc::SourceParts "/dev/null"; Dir::Etc::Preferences "/dev/null"; Dir::Etc::PreferencesParts "/dev/null";
'''
        for name, text in (("status", ""), ("sources.list", source), ("apt.conf", config)):
            with open(os.path.join(self.state, name), "w") as file:
                file.write(text)

    def get(self, *arguments, cwd=None):
        return run(["apt-get", "-c", f"{self.state}/apt.conf", "-qq", *arguments], cwd)

    def download(self, piece, folder):
        """Fetches the packages of `piece` and what they depend on into `folder`."""
        plan = self.get("--simulate", "install", *piece.packages)
        wanted = re.findall(r"^Inst (\S+) \((\S+)", plan, re.M)
        wanted = [f"{name}={version}" for name, version in wanted if name.startswith(piece.only)]
        self.get("download", *wanted, cwd=folder)


def fetch(piece, apt):
    start = time.monotonic()
    work = os.path.join(DEPS, ".tmp", piece.name.replace("/", "-"))
    os.makedirs(f"{work}/packages")
    apt.download(piece, f"{work}/packages")
    for package in glob.glob(f"{work}/packages/*.deb"):
        run(["dpkg-deb", "-x", package, f"{work}/unpacked"])
    piece.finish(f"{work}/unpacked", f"{work}/piece")
    with open(f"{work}/piece/.stamp", "w") as stamp:
        stamp.write(piece.key)
    shutil.rmtree(piece.path, ignore_errors=True)
    os.makedirs(os.path.dirname(piece.path), exist_ok=True)
    os.rename(f"{work}/piece", piece.path)
    shutil.rmtree(work)
    size = int(run(["du", "-sm", piece.path]).split()[0])
    print(f"prepare: {piece.name}: {time.monotonic() - start:.0f} s, {size} MB", flush=True)


def link_newest():
    """Adds a link by version number to the newest kernel, such as kernels/7.3."""
    for path in glob.glob(f"{DEPS}/kernels/*"):
        if os.path.islink(path):
            os.unlink(path)
    with open(f"{DEPS}/kernels/newest/version") as version:
        number = re.match(r"\d+\.\d+", version.read())[0]
    if not os.path.lexists(f"{DEPS}/kernels/{number}"):
        os.symlink("newest", f"{DEPS}/kernels/{number}")


def check_room(missing):
    """A piece's packages, unpacked files and result are there at the same time."""
    need = sum(MEGABYTES.get(piece.name, MEGABYTES_OTHER) for piece in missing) + 250
    free = shutil.disk_usage(DEPS).free >> 20
    if free < need:
        raise Failure(f"{DEPS} needs {need} MB, and its disk has {free} MB free; make room, or let out/deps be a "
                      "link to a folder on another disk")


class Progress:
    """Says every five seconds what is being waited for."""

    def __init__(self):
        self.waiting = {}
        self.ended = threading.Event()
        threading.Thread(target=self.tell, daemon=True).start()

    @contextlib.contextmanager
    def step(self, name):
        self.waiting[name] = time.monotonic()
        try:
            yield
        finally:
            self.waiting.pop(name, None)

    def tell(self):
        while not self.ended.wait(5):
            now = time.monotonic()
            slow = [f"{name} ({now - since:.0f} s)" for name, since in sorted(self.waiting.items()) if now - since > 4]
            if slow:
                print(f"prepare: still working on {', '.join(slow)}", flush=True)


def fetch_all(missing):
    start = time.monotonic()
    arches = sorted({piece.arch for piece in missing})
    progress = Progress()
    pool = concurrent.futures.ThreadPoolExecutor(4)

    def update(apt):
        with progress.step("package lists"):
            apt.get("update")

    def fetch_one(piece):
        with progress.step(piece.name):
            fetch(piece, apts[piece.arch])

    try:
        apts = dict(zip(arches, pool.map(Apt, arches)))
        list(pool.map(update, apts.values()))
        print(f"prepare: package lists of {', '.join(arches)}: {time.monotonic() - start:.0f} s; "
              f"now fetching {len(missing)} pieces into out/deps", flush=True)
        for job in [pool.submit(fetch_one, piece) for piece in missing]:
            job.result()
    except BaseException:
        stop.stop()
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    finally:
        progress.ended.set()
    pool.shutdown()


def prepare(goal):
    native = run(["dpkg", "--print-architecture"]).strip()
    missing = [piece for piece in pieces_for(goal, native) if not piece.is_ready()]
    if not missing and not clients_have_sources():
        return
    os.makedirs(DEPS, exist_ok=True)
    with open(f"{DEPS}/.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # wait for another tools/prepare, then check again
        missing = [piece for piece in missing if not piece.is_ready()]
        shutil.rmtree(f"{DEPS}/.tmp", ignore_errors=True)
        check_room(missing)
        if missing:
            fetch_all(missing)
        if any(piece.name == "kernels/newest" for piece in missing):
            link_newest()
        if clients_have_sources():
            compile_clients()


def main():
    try:
        prepare(sys.argv[1] if len(sys.argv) > 1 else "all")
    except Failure as failure:
        print(f"tools/prepare: {failure}", file=sys.stderr, flush=True)
        os._exit(1)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        print(f"tools/prepare: there is no room in {DEPS}; make some, then run this again", file=sys.stderr, flush=True)
        os._exit(1)
    except KeyboardInterrupt:
        print("tools/prepare: interrupted; run it again to continue", file=sys.stderr, flush=True)
        os._exit(130)  # without waiting for threads that unpack


if __name__ == "__main__":
    main()
