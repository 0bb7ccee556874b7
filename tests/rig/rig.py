# SPDX-License-Identifier: Apache-2.0
#
# Boots an emulated arm64 host that has a real KVM, runs one command in it and hands back what it
# printed and its exit status. QEMU emulates the machine, EL2 included; Debian's arm64 kernel runs
# in it. Where this machine has a usable KVM of its own, run_direct() does the same without QEMU.
# tools/rig is the command line; tests/run.py and the other tools import run_host().
import argparse
import base64
import fcntl
import os
import secrets
import select
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import termios
import time
import tty
from dataclasses import dataclass, field

from initramfs import DEPS, HERE, ROOT, Problem, kernel_path, make_initramfs, parse_add

TIMED_OUT, NOT_BOOTED, INTERRUPTED = 124, 125, 130  # exit statuses that are not the command's


@dataclass(frozen=True)
class Host:
    """The machine to emulate. `kernel` is one of out/deps/kernels."""
    cpu: str = "neoverse-n1"
    kernel: str = "6.12"
    smp: int = 2
    mem: str = "2G"
    gic: str = "3"
    icount: bool = False    # the clock counts instructions: the same every time
    append: str = ""        # to the kernel's command line
    modules: tuple = ()
    qemu: tuple = ()        # further arguments for QEMU
    shift: int = 0          # with icount: an instruction takes 2^shift ns

    def __str__(self):
        words = [self.cpu, self.kernel, f"smp{self.smp}"]
        words += [f"gic{self.gic}"] * (self.gic != "3") + ["icount"] * self.icount
        return " ".join(words + self.append.split())


@dataclass
class Result:
    status: int
    seconds: float
    problem: str = ""       # why the status is not the command's own, if it is not
    files: dict = field(default_factory=dict)   # what was fetched: {path: bytes}


# --- reading the second serial port ----------------------------------------------------------


class Reader:
    """Takes the bytes of the serial port apart: the command's output, the rig's marks, files."""

    def __init__(self, token, sink):
        self.start = f"\x02{token} ".encode()
        self.sink = sink
        self.pending = b""
        self.booted, self.status = False, None
        self.files, self.open_file, self.captured = {}, None, b""

    def feed(self, data):
        self.pending += data
        while self.start in self.pending:
            before, _, rest = self.pending.partition(self.start)
            self.output(before)
            mark, end, after = rest.partition(b"\x03")
            if not end:
                self.pending = self.start + rest
                return
            self.pending = after
            self.mark(mark.decode(errors="replace"))
        # Keep back only what may be the beginning of a mark.
        keep = self.pending.rfind(b"\x02")
        if keep < 0 or len(self.pending) - keep >= len(self.start):
            keep = len(self.pending)
        self.output(self.pending[:keep])
        self.pending = self.pending[keep:]

    def output(self, data):
        if self.open_file:
            self.captured += data
        elif data and self.booted:
            self.sink(data)

    def mark(self, text):
        word, _, rest = text.partition(" ")
        if word == "up":
            self.booted = True
        elif word == "file":
            self.open_file, self.captured = rest, b""
        elif word == "end":
            self.files[self.open_file], self.open_file = base64.b64decode(self.captured), None
        elif word == "exit":
            self.status = int(rest)


# --- the terminal ----------------------------------------------------------------------------


class Terminal:
    """The user's terminal in raw mode for the time of an interactive run; Ctrl-A x leaves it."""

    def __init__(self, wanted):
        self.fd = sys.stdin.fileno() if wanted and sys.stdin.isatty() else None
        self.escaped = False

    def __enter__(self):
        if self.fd is not None:
            self.saved = termios.tcgetattr(self.fd)
            tty.setraw(self.fd)
        return self

    def __exit__(self, *_):
        if self.fd is not None:
            termios.tcsetattr(self.fd, termios.TCSADRAIN, self.saved)

    def read(self):
        """What was typed. Ctrl-A x raises KeyboardInterrupt; Ctrl-A Ctrl-A is one Ctrl-A."""
        typed = b""
        for key in os.read(self.fd, 4096):
            if self.escaped:
                self.escaped = False
                if key in b"xX":
                    raise KeyboardInterrupt
                typed += b"\x01" if key in b"\x01a" else bytes([1, key])
            elif key == 1:
                self.escaped = True
            else:
                typed += bytes([key])
        return typed


def interrupt_on_signals():
    """Lets SIGTERM and SIGHUP end this program as Ctrl-C does, so that it cleans up."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)


def to_stdout(data):
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


# --- running ---------------------------------------------------------------------------------


def run_host(host, command, add=(), get=(), env=None, timeout=600, log=None, sink=to_stdout,
             shell=False, stop=lambda: False):
    """Boots `host`, runs `command` (a list) there and returns a Result.

    `add` is pairs (path under $T, file or folder here); `get` are paths there to bring back.
    `sink` gets the command's output as it comes. `shell` connects this process's terminal.
    `stop` is asked several times a second: when it says True, the machine is ended.
    """
    start = time.monotonic()
    os.makedirs(f"{ROOT}/out/rig", exist_ok=True)
    with tempfile.TemporaryDirectory(dir=f"{ROOT}/out/rig", prefix="run-") as work:
        log = log or f"{work}/console"
        token = secrets.token_hex(8)
        write_image(f"{work}/initramfs", host, token, command, add, get, env or {}, shell)
        reader = Reader(token, sink)
        with Terminal(shell) as terminal, open(log, "wb") as errors:
            qemu = subprocess.Popen(
                qemu_command(host, f"{work}/initramfs", log), stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=errors, start_new_session=True)
            try:
                why = pump(qemu, reader, terminal, start + timeout, stop)
            finally:
                qemu.kill()
                qemu.wait()
                qemu.stdin.close()
                qemu.stdout.close()
        seconds = time.monotonic() - start
        if reader.status is not None:
            return Result(reader.status, seconds, files=reader.files)
        if why == "stopped":
            return Result(INTERRUPTED, seconds, "interrupted")
        if why == "timeout" and reader.booted:
            return Result(TIMED_OUT, seconds, f"no end after {timeout} s")
        what = "crashed or was powered off" if reader.booted else "did not boot"
        problem = f"the emulated host ({host}) {what}; the end of its log:\n{tail(log)}"
        return Result(NOT_BOOTED, seconds, problem)


def qemu_command(host, initramfs, log):
    qemu = os.path.join(DEPS, "qemu", "run")
    if not os.path.exists(qemu):
        raise Problem("out/deps/qemu does not exist; run tools/prepare test")
    command = ["setpriv", "--pdeathsig", "KILL", qemu,  # QEMU must not outlive this process
               "-M", f"virt,virtualization=on,gic-version={host.gic}", "-cpu", host.cpu,
               "-smp", str(host.smp), "-m", host.mem, "-nodefaults", "-display", "none", "-no-reboot",
               "-chardev", f"file,id=log,path={log},append=on",
               "-serial", "chardev:log", "-serial", "stdio",
               "-kernel", kernel_path(host.kernel, "vmlinuz"), "-initrd", initramfs,
               "-append", f"console=ttyAMA0 quiet panic=-1 {host.append}"]
    if host.icount:
        command += ["-icount", f"shift={host.shift},sleep=off"]
    return command + list(host.qemu)


def write_image(path, host, token, command, add, get, env, shell):
    """The host's initramfs: its /init, what to run and how, and the files for $T."""
    size = shutil.get_terminal_size()
    settings = {
        "token": token,
        "get": " ".join(get),
        "settle": "5" if host.icount else "",
        "stdin": "$tty" if shell else "/dev/null",
        "ctty": "-c" if shell else "",
        "stty": f"sane rows {size.lines} cols {size.columns}" if shell else "raw -echo",
    }
    with open(kernel_path(host.kernel, "version")) as version:
        variables = {"T": "/t", "RIG_HOST": version.read().strip(), "RIG_CPU": host.cpu, **env}
    run = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())
    run += f"export PATH=/t:$PATH\ncd /t\nexec {shlex.join(command)}\n"
    with tempfile.TemporaryDirectory(dir=os.path.dirname(path)) as parts:
        settings = "".join(f'{name}="{value}"\n' for name, value in settings.items())
        for name, text in (("env", settings), ("run", run)):
            with open(f"{parts}/{name}", "w") as file:
                file.write(text)
        with open(f"{HERE}/init") as init:
            files = [("rig", parts)] + [(f"t/{target}", source) for target, source in add]
            make_initramfs(path, init.read(), files, host.kernel, host.modules)


def pump(qemu, reader, terminal, deadline, stop):
    """Moves bytes until the command has ended (""), QEMU has, the time is over or `stop` says so."""
    inputs = [qemu.stdout] + ([terminal.fd] if terminal.fd is not None else [])
    while reader.status is None:
        ready, _, _ = select.select(inputs, [], [], 0.2)
        if qemu.stdout in ready:
            data = os.read(qemu.stdout.fileno(), 65536)
            if not data:
                return "ended"
            reader.feed(data)
        if terminal.fd in ready:
            os.write(qemu.stdin.fileno(), terminal.read())
        if time.monotonic() > deadline:
            return "timeout"
        if stop():
            return "stopped"
    return ""


def tail(path, lines=30):
    with open(path, errors="replace") as file:
        return "".join(file.readlines()[-lines:]).replace("\r", "") or "(it is empty)"


# --- without QEMU ----------------------------------------------------------------------------


def has_kvm():
    """Whether this machine can run arm64 guests itself."""
    if os.uname().machine != "aarch64":
        return False
    try:
        kvm = os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return fcntl.ioctl(kvm, 0xAE00) == 12  # KVM_GET_API_VERSION
    except OSError:
        return False
    finally:
        os.close(kvm)


def run_direct(host, command, add=(), get=(), env=None, timeout=600, log=None, sink=to_stdout,
               shell=False, stop=lambda: False):
    """run_host() on this very machine; of `host` only the modules count."""
    for module in host.modules:
        loaded = os.path.exists(f"/sys/module/{module}")
        if not loaded and subprocess.run(["modprobe", module]).returncode:
            raise Problem(f"module '{module}' is not loaded; remedy: sudo modprobe {module}")
    with tempfile.TemporaryDirectory(prefix="stasis-") as work:
        for target, source in list(add) + [("busybox", os.path.join(DEPS, "busybox", "busybox"))]:
            path = os.path.join(work, target)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if os.path.isdir(source):
                shutil.copytree(source, path, symlinks=True, dirs_exist_ok=True)
            else:
                shutil.copy(source, path)
        paths = f"{work}:{os.environ['PATH']}:/usr/sbin:/sbin"
        variables = {**(env or {}), "T": work, "PATH": paths}
        result = run_local(command, work, variables, timeout, sink, shell, stop)
        for path in get:
            if os.path.exists(os.path.join(work, path)):
                with open(os.path.join(work, path), "rb") as file:
                    result.files[path] = file.read()
        return result


def run_local(command, cwd=ROOT, env=None, timeout=600, sink=to_stdout, shell=False,
              stop=lambda: False):
    """Runs a command on this machine with the timeout, output and interruption of run_host()."""
    start = time.monotonic()
    pipes = {} if shell else {
        "stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    child = subprocess.Popen(command, cwd=cwd, env={**os.environ, **(env or {})},
                             start_new_session=not shell, **pipes)
    try:
        why = watch(child, sink, start + timeout, stop)
    finally:
        end_group(child, alone=shell)
    seconds = time.monotonic() - start
    if why == "timeout":
        return Result(TIMED_OUT, seconds, f"no end after {timeout} s")
    if why == "stopped":
        return Result(INTERRUPTED, seconds, "interrupted")
    return Result(child.returncode if child.returncode >= 0 else 128 - child.returncode, seconds)


def watch(child, sink, deadline, stop):
    """Passes on the output of `child` until it ended (""), the time is over or `stop` says so."""
    inputs = [child.stdout] if child.stdout else []
    while True:
        ended = child.poll() is not None
        if select.select(inputs, [], [], 0.02)[0]:
            data = os.read(child.stdout.fileno(), 65536)
            sink(data)
            inputs = inputs if data else []
        elif ended:     # nothing more comes, even if a process it left behind keeps the pipe open
            return ""
        if time.monotonic() > deadline:
            return "timeout"
        if stop():
            return "stopped"


def end_group(child, alone):
    """Ends the command and, where it got a session of its own, all it left running."""
    try:
        child.kill() if alone else os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    child.wait()
    if child.stdout:
        child.stdout.close()


# --- the command line ------------------------------------------------------------------------


def main():
    parser = argparse.ArgumentParser(
        prog="tools/rig", usage="tools/rig [options] -- COMMAND [ARGUMENT...]",
        description="Runs a command on an emulated arm64 host that has /dev/kvm. The exit status is "
        f"the command's; {TIMED_OUT}: it took too long, {NOT_BOOTED}: the host did not boot or crashed.")
    option = parser.add_argument
    option("--cpu", default=Host.cpu, help="QEMU's name of the processor (default %(default)s)")
    option("--host", default=Host.kernel, help="the host's kernel: 6.1, 6.12 or newest (default %(default)s)")
    option("--smp", type=int, default=Host.smp, help="processors (default %(default)s)")
    option("--mem", default=Host.mem, help="memory (default %(default)s)")
    option("--gic", default=Host.gic, help="version of the interrupt controller (default %(default)s)")
    option("--icount", action="store_true", help="count instructions as time; use with --smp 1")
    option("--shift", type=int, default=0, help="with --icount: each takes 2^SHIFT ns (default 0)")
    option("--append", default="", help="words for the kernel's command line")
    option("--modules", default="", help="kernel modules to load, comma-separated")
    option("--qemu", default="", metavar="ARGS", help="further arguments for QEMU")
    option("--add", action="append", default=[], metavar="SRC[:DEST]",
           help="copy a file or folder to $T (/t) of the host; DEST is a path under $T")
    option("--get", action="append", default=[], metavar="PATH[:DEST]",
           help="bring back a small file after the command; PATH may be relative to $T")
    option("--timeout", type=float, default=600, metavar="SECONDS", help="end the command after that (default %(default)s)")
    option("--log", metavar="FILE", help="keep the host kernel's console here")
    option("--shell", action="store_true",
           help="connect the terminal; Ctrl-A x ends the host. Without a command: a shell")
    option("--direct", action="store_true", help="run on this machine, which must have arm64 KVM")
    option("command", nargs="*", metavar="COMMAND", help="what to run")
    options = parser.parse_args()
    if not options.command and not options.shell:
        parser.error("no command; try: tools/rig -- uname -a, or: tools/rig --shell")
    interrupt_on_signals()
    host = Host(options.cpu, options.host, options.smp, options.mem, options.gic, options.icount,
                options.append, tuple(name for name in options.modules.split(",") if name),
                tuple(shlex.split(options.qemu)), options.shift)
    gets = [(path, to or os.path.basename(path))
            for path, _, to in (get.partition(":") for get in options.get)]
    try:
        if options.direct and not has_kvm():
            raise Problem("--direct needs an arm64 machine whose /dev/kvm you may open; "
                          "leave it out to emulate one")
        run = run_direct if options.direct else run_host
        result = run(host, options.command or ["sh"], [parse_add(add) for add in options.add],
                     [path for path, _ in gets], timeout=options.timeout, log=options.log,
                     shell=options.shell)
        for path, target in gets:
            if path not in result.files:
                raise Problem(f"--get {path}: the command left no such file")
            with open(target, "wb") as file:
                file.write(result.files[path])
    except KeyboardInterrupt:
        print("tools/rig: interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except (Problem, OSError) as problem:
        print(f"tools/rig: {problem}", file=sys.stderr)
        sys.exit(NOT_BOOTED)
    if result.problem:
        print(f"tools/rig: {result.problem}", file=sys.stderr)
    sys.exit(result.status)


if __name__ == "__main__":
    main()
