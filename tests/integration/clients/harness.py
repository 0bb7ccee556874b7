# SPDX-License-Identifier: Apache-2.0
#
# What the tests of the API share: results in TAP, a VMM to talk to, and a client that notes every
# exchange for contract.py. Runs on the emulated host, with little of Python (-I -S -E).
import fcntl
import http.client
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time

from contract import Contract

T = os.environ["T"]
CONTRACT = Contract(f"{T}/api.yaml")

# What this build has. The steps of the tests that need more assert the refusal instead.
CAPABILITIES = {
    "balloon": True,
    "drives": True,
    "entropy": True,
    "hotplug-memory": False,
    "hot-unplug": False,
    "huge-pages": True,
    "mmds": True,
    "network": True,
    "pmem": False,
    "power-key": True,
    "snapshot": True,
    "snapshot-state-alone": True,
    "vsock": True,
}
MISSING = "this build does not support"
BEFORE = "The requested operation is not supported before starting the microVM."
AFTER = "The requested operation is not supported after starting the microVM."
BAD_BODY = "An error occurred when deserializing the json body of a request: "


def prepare_host():
    """What the requests of the tests name: disks, and a TAP device if there is a use for it."""
    for name in "disk", *(f"disk{number}" for number in range(7)):
        with open(name, "wb") as disk:
            disk.truncate(1 << 20)
    if CAPABILITIES["network"]:
        make_interface("tap0", IFF_TAP).close()


IFF_TUN, IFF_TAP = 1, 2


def make_interface(name, kind, owner=None):
    """One that stays; it is in use until the file is closed."""
    TUNSETIFF, TUNSETPERSIST, TUNSETOWNER, IFF_NO_PI = 0x400454CA, 0x400454CB, 0x400454CC, 0x1000
    tun = open("/dev/net/tun", "r+b", buffering=0)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", name.encode(), kind | IFF_NO_PI))
    fcntl.ioctl(tun, TUNSETPERSIST, 1)
    if owner is not None:
        fcntl.ioctl(tun, TUNSETOWNER, owner)
    return tun


# --- results ---------------------------------------------------------------------------------


class UnixConnection(http.client.HTTPConnection):
    """To a server on a Unix socket, as HTTP libraries are used there."""
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Failed(Exception):
    """A test did not find what it wanted; the text says what."""


class Tap:
    count = failures = 0


class test:
    """with test("name"): the block's exception is its failure."""

    def __init__(self, name):
        self.name = name

    def __enter__(self):
        self.problems = len(CONTRACT.problems)
        return self

    def __exit__(self, kind, error, trace):
        if kind and not issubclass(kind, Exception):
            return False
        Tap.count += 1
        why = []
        if error:
            while trace.tb_next and "api_" not in trace.tb_frame.f_code.co_filename:
                trace = trace.tb_next
            why.append(f"{kind.__name__}, line {trace.tb_lineno}: {error}")
        why += CONTRACT.problems[self.problems:]
        Tap.failures += bool(why)
        print(f"{'not ok' if why else 'ok'} {Tap.count} - {self.name}")
        for line in "\n".join(why).splitlines()[:40]:
            print("# | " + "".join(c if c.isprintable() else "?" for c in line)[:300])
        sys.stdout.flush()
        return True


def done():
    print(f"1..{Tap.count}")
    sys.exit(1 if Tap.failures else 0)


def skip(name, why):
    Tap.count += 1
    print(f"ok {Tap.count} - {name} # SKIP {why}", flush=True)


def expect(condition, *what):
    if not condition:
        raise Failed(" ".join(map(str, what)))


def until(condition, seconds, what):
    """The first true value of `condition`, looked at every 10 ms."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        expect(time.monotonic() < end, f"not within {seconds} s: {what}")
        time.sleep(0.01)


# --- the client ------------------------------------------------------------------------------


class Answer:
    """Read strictly: what a lenient client lets pass is an error here."""

    def __init__(self, status, reason, headers, body):
        self.status, self.reason, self.headers, self.body = status, reason, headers, body

    def __str__(self):
        return f"{self.status} {self.body[:300]!r}"

    def json(self):
        return json.loads(self.body)

    @property
    def fault(self):
        """The fault_message, or ""."""
        try:
            return json.loads(self.body).get("fault_message", "")
        except ValueError:
            return ""


class Closed(Exception):
    """The server closed the connection before an answer was there."""


class Connection:
    """One connection; requests may be sent ahead of the answers."""

    def __init__(self, path, timeout=10):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(timeout)
        self.rest = b""
        end = time.monotonic() + timeout
        while True:
            try:
                return self.socket.connect(path)
            except BlockingIOError:     # the queue is full: a blocking socket would wait
                if time.monotonic() > end:
                    raise
                time.sleep(0.001)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def more(self):
        data = self.socket.recv(65536)
        if not data:
            raise Closed(f"closed after {self.rest[:200]!r}")
        self.rest += data

    def line(self):
        while b"\r\n" not in self.rest:
            expect(len(self.rest) < 65536, "a line without end:", self.rest[:100])
            self.more()
        line, _, self.rest = self.rest.partition(b"\r\n")
        expect(b"\n" not in line and b"\r" not in line, "a bare CR or LF in", line)
        return line.decode("ascii")

    def bytes(self, count):
        while len(self.rest) < count:
            self.more()
        data, self.rest = self.rest[:count], self.rest[count:]
        return data

    def head(self):
        version, status, reason = self.line().split(" ", 2)
        expect(version == "HTTP/1.1", "version", version)
        expect(len(status) == 3 and status.isdigit(), "status", status)
        headers = {}
        while line := self.line():
            name, colon, value = line.partition(":")
            expect(colon and name and name.strip() == name, "a header that is none:", line)
            expect(name.lower() not in headers, "a header twice:", line)
            headers[name.lower()] = value.strip()
        return int(status), reason, headers

    def answer(self):
        status, reason, headers = self.head()
        body = b""
        if status < 200 or status == 204:
            expect("content-length" not in headers and "transfer-encoding" not in headers,
                   f"{status} with the head of a body:", headers)
        else:
            expect("content-length" in headers, "no Content-Length:", headers)
            body = self.bytes(int(headers["content-length"]))
        return Answer(status, reason, headers, body)

    def chunk(self):
        """The next chunk; b"" is the last."""
        size = int(self.line(), 16)
        data = self.bytes(size)
        expect(self.bytes(2) == b"\r\n", "a chunk of another size than it says")
        return data


def encode(method, path, body=None, headers=()):
    """A request as bytes; `body` is bytes, text, or anything for JSON."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Accept: application/json", *headers]
    if body is not None:
        body = to_bytes(body)
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + (body or b"")


def to_bytes(body):
    if isinstance(body, bytes):
        return body
    return (body if isinstance(body, str) else json.dumps(body)).encode()


# --- the VMM ---------------------------------------------------------------------------------


class Vmm:
    """stasis as launchers start it. Its standard output, the log and the console, is a file."""
    started = 0

    def __init__(self, *arguments, sock="vm.sock", wait=True, program=("stasis",), pass_fds=()):
        Vmm.started += 1
        self.sock, self.output = sock, f"vmm-{Vmm.started}.out"
        remove("v.sock")  # one that was killed leaves it, as Firecracker does
        if sock:
            remove(sock)
            arguments = ("--api-sock", sock, *arguments)
        read, self.keyboard = os.pipe()
        with open(self.output, "wb") as output:
            self.process = subprocess.Popen(
                [*program, *map(str, arguments)], stdin=read, stdout=output,
                stderr=subprocess.STDOUT, pass_fds=pass_fds, start_new_session=True)
        os.close(read)
        self.pid = self.process.pid
        if wait and sock:
            until(lambda: os.path.exists(sock) or self.process.poll() is not None, 10, "the socket")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()

    def kill(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self.process.wait()
        if self.keyboard is not None:
            os.close(self.keyboard)
            self.keyboard = None

    def wait(self, seconds=10):
        """The exit status."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failed(f"it has not ended within {seconds} s") from None

    def type(self, text):
        os.write(self.keyboard, text.encode())

    # Requests.

    def connect(self, timeout=10):
        return Connection(self.sock, timeout)

    def request(self, method, path, body=None, connection=None, headers=()):
        """One exchange, checked against the description of the API."""
        if connection:
            connection.send(encode(method, path, body, headers))
            answer = connection.answer()
        else:
            with self.connect() as connection:
                return self.request(method, path, body, connection, headers)
        CONTRACT.check(method, path, None if body is None else to_bytes(body), answer)
        return answer

    def get(self, path):
        answer = self.request("GET", path)
        expect(answer.status == 200, f"GET {path}:", answer)
        return answer.json()

    def do(self, method, path, body=None):
        """A request that has to succeed."""
        answer = self.request(method, path, body)
        expect(answer.status == 204, f"{method} {path}:", answer)

    def refused(self, method, path, body, *words):
        """A request that has to be refused with these words in the fault."""
        answer = self.request(method, path, body)
        expect(answer.status == 400 and answer.fault, f"{method} {path}:", answer)
        for word in words:
            expect(word in answer.fault, f"{method} {path}: no '{word}' in", repr(answer.fault))

    def do_or_lack(self, capability, method, path, body=None, words=MISSING):
        """A request that has to succeed if this build can, else to be refused for that reason."""
        if CAPABILITIES[capability]:
            self.do(method, path, body)
        else:
            self.refused(method, path, body, words)
        return CAPABILITIES[capability]

    def boot(self, image="tick", memory=64, cpus=1):
        self.do("PUT", "/boot-source", {"kernel_image_path": f"{T}/guests/{image}.img",
                                        "boot_args": "console=ttyS0"})
        self.do("PUT", "/machine-config", {"vcpu_count": cpus, "mem_size_mib": memory})
        self.do("PUT", "/actions", {"action_type": "InstanceStart"})

    # What can be seen of it from outside.

    def text(self):
        with open(self.output, "rb") as file:
            return file.read().decode(errors="replace").replace("\r", "")

    def log(self):
        return [line for line in self.text().splitlines() if not line.startswith("tick ")]

    def ticks(self):
        """How often the guest `tick` has said that it is alive."""
        numbers = [line[5:] for line in self.text().splitlines() if line.startswith("tick ")]
        return max((int(number) for number in numbers if number.isdigit()), default=0)

    def ticking(self, seconds=5):
        """The guest goes on."""
        before = self.ticks()
        until(lambda: self.ticks() > before + 2, seconds, f"a tick after {before}")

    def status(self, key):
        with open(f"/proc/{self.pid}/status") as file:
            return next(line.split()[1] for line in file if line.startswith(key + ":"))

    def resident_kib(self):
        """Without files and without guest memory, which is shared or huge: anonymous pages."""
        return int(self.status("VmRSS"))

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def cpu_ticks(self):
        """CPU time used, in hundredths of a second."""
        with open(f"/proc/{self.pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])


def remove(path):
    if os.path.lexists(path):
        os.unlink(path)
