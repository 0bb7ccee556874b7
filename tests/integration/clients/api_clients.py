# SPDX-License-Identifier: Apache-2.0
#
# The API as real launchers use it: in their order, with their way of waiting, their timeouts and
# their HTTP clients (curl, and Python's standard library for what speaks Go or Rust). Steps that
# need a device this build does not have assert that it says so.
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import (CAPABILITIES, CONTRACT, MISSING, T, Answer, UnixConnection, Vmm, done, encode,  # noqa: E402
                     expect, prepare_host, remove, skip, test, until)

GO_TIMEOUT = 0.5        # seconds for a request, of the Go SDK
GO_START = 3            # seconds until it answers
POLL = 0.01             # what all of them sleep between looks
TICK = f"{T}/guests/tick.img"
ARGS = "console=ttyS0 reboot=k panic=1 nomodule 8250.nr_uarts=1"
GO_HEADERS = {"User-Agent": "Go-http-client/1.1", "Accept": "application/json",
              "Content-Type": "application/json", "Accept-Encoding": "gzip"}


class Client:
    """Python's HTTP client; keeps its connection if told to."""

    def __init__(self, vmm, timeout=GO_TIMEOUT, keep=True, headers=None):
        self.vmm, self.timeout, self.keep, self.headers = vmm, timeout, keep, headers or GO_HEADERS
        self.connection = None

    def request(self, method, path, body=None):
        if not self.connection:
            self.connection = UnixConnection(self.vmm.sock, self.timeout)
        data = None if body is None else json.dumps(body).encode()
        self.connection.request(method, path, data, self.headers)
        response = self.connection.getresponse()
        headers = {name.lower(): value for name, value in response.getheaders()}
        answer = Answer(response.status, response.reason, headers, response.read())
        if not self.keep:
            self.connection.close()
            self.connection = None
        CONTRACT.check(method, path, data, answer)
        return answer

    def do(self, method, path, body=None):
        answer = self.request(method, path, body)
        expect(answer.status == (200 if method == "GET" else 204), method, path, answer)
        return answer.json() if method == "GET" else None

    def do_or_lack(self, capability, method, path, body=None):
        if CAPABILITIES[capability]:
            return self.do(method, path, body)
        answer = self.request(method, path, body)
        expect(answer.status == 400 and MISSING in answer.fault, method, path, answer)
        return None

    def close(self):
        if self.connection:
            self.connection.close()


class Curl:
    """curl, a process for each request."""

    def __init__(self, vmm, timeout=5):
        self.vmm, self.timeout = vmm, timeout

    def request(self, method, path, body=None, *options):
        command = [f"{T}/clients/bin/curl", "--silent", "--show-error", "--max-time", str(self.timeout),
                   "--unix-socket", self.vmm.sock, "-X", method, "-D", "head", "-o", "body", *options]
        if body is not None:
            command += ["-H", "Content-Type: application/json", "-H", "Accept: application/json",
                        "--data-binary", json.dumps(body)]
        remove("body")
        result = subprocess.run([*command, f"http://localhost{path}"], capture_output=True, text=True)
        expect(result.returncode == 0, "curl", result.returncode, result.stderr)
        with open("head") as file:
            heads = [head.splitlines() for head in file.read().split("\n\n") if head]
        _, status, *_ = heads[-1][0].split(" ")
        headers = dict(line.lower().split(": ", 1) for line in heads[-1][1:] if ": " in line)
        content = b""
        if os.path.exists("body"):
            with open("body", "rb") as file:
                content = file.read()
        answer = Answer(int(status), "", headers, content)
        CONTRACT.check(method, path, None if body is None else json.dumps(body).encode(), answer)
        return answer

    def do(self, method, path, body=None, *options):
        answer = self.request(method, path, body, *options)
        expect(answer.status == (200 if method == "GET" else 204), method, path, answer)
        return answer.json() if method == "GET" else None


class Fifo:
    """A FIFO as launchers make it, and what comes out of it."""

    def __init__(self, path, read=True):
        remove(path)
        os.mkfifo(path, 0o700)
        self.path, self.text = path, b""
        self.fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK) if read else -1

    def read(self):
        while True:
            try:
                data = os.read(self.fd, 65536)
            except BlockingIOError:
                data = b""
            if not data:
                return self.text.decode()
            self.text += data

    def close(self):
        if self.fd >= 0:
            os.close(self.fd)


def stops(vmm, seconds=1):
    """SIGTERM ends it at once, as all launchers expect on arm64."""
    vmm.process.send_signal(signal.SIGTERM)
    status = vmm.wait(seconds)
    expect(status == -signal.SIGTERM, "exit status", status)


def limiter(size):
    return {"bandwidth": {"size": size, "refill_time": 100}, "ops": {"size": 0, "refill_time": 0}}


# --- firecracker-go-sdk, and with it firecracker-containerd ------------------------------------


def go_sdk():
    log, metrics = Fifo("log.fifo"), Fifo("metrics.fifo")
    with Vmm("--id", "go-1", "--no-seccomp", wait=False) as vmm:
        client = Client(vmm)
        with test("Go SDK: the socket appears within 3 s, and then answers"):
            until(lambda: os.path.exists(vmm.sock), GO_START, "the socket")
            client.do("GET", "/machine-config")
        with test("Go SDK: logger and metrics into FIFOs"):
            client.do("PUT", "/logger", {"log_path": "log.fifo", "level": "Debug", "show_level": True,
                                         "show_log_origin": False})
            client.do("PUT", "/metrics", {"metrics_path": "metrics.fifo"})
        with test("Go SDK: machine, kernel"):
            client.do("PUT", "/machine-config", {"vcpu_count": 1, "mem_size_mib": 128, "smt": False,
                                                 "track_dirty_pages": False})
            now = client.do("GET", "/machine-config")
            expect(now["vcpu_count"] == 1 and now["mem_size_mib"] == 128 and now["smt"] is False, now)
            client.do("PUT", "/boot-source", {"kernel_image_path": TICK, "boot_args": ARGS})
        with test("Go SDK: drives, network, vsock, metadata"):
            client.do_or_lack("drives", "PUT", "/drives/1", {
                "drive_id": "1", "path_on_host": "disk", "is_root_device": True, "is_read_only": False})
            client.do_or_lack("drives", "PUT", "/drives/stub0", {
                "drive_id": "stub0", "path_on_host": "disk0", "is_root_device": False,
                "is_read_only": False, "rate_limiter": limiter(1 << 20)})
            client.do_or_lack("network", "PUT", "/network-interfaces/1", {
                "iface_id": "1", "guest_mac": "AA:FC:00:00:00:01", "host_dev_name": "tap0"})
            client.do_or_lack("vsock", "PUT", "/vsock", {
                "guest_cid": 3, "uds_path": "v.sock", "vsock_id": "agent_api"})
            client.do_or_lack("mmds", "PUT", "/mmds/config", {"network_interfaces": ["1"], "version": "V1"})
        with test("Go SDK: InstanceStart within its 500 ms, and the guest runs"):
            client.do("PUT", "/actions", {"action_type": "InstanceStart"})
            vmm.ticking(20)
        with test("Go SDK: changes while it runs, on the same connection"):
            client.do_or_lack("mmds", "PUT", "/mmds", {"latest": {"meta-data": {"a": "b"}}})
            client.do_or_lack("drives", "PATCH", "/drives/stub0", {"drive_id": "stub0", "path_on_host": "disk1"})
            answer = client.request("PATCH", "/balloon", {"amount_mib": 16})
            expect(answer.status == 400 and "No balloon device found." in answer.fault, answer)
            client.do("PATCH", "/vm", {"state": "Paused"})
            client.do("PATCH", "/vm", {"state": "Resumed"})
            vmm.ticking()
        with test("Go SDK: the log in the FIFO has requests and answers in pairs"):
            text = log.read()
            # What is for us may stand in between, and a start tells of more than itself.
            lines = [line for line in text.splitlines() if ":DEBUG]" not in line]
            received = [i for i, line in enumerate(lines)
                        if "The API server received a " in line and '"/actions"' not in line]
            expect(received, text[:500])
            for i in received[:-1]:
                expect("The request was executed successfully. Status code: 20" in lines[i + 1] or
                       "Received Error. Status code: 400 Bad Request. Message: " in lines[i + 1],
                       lines[i], "is followed by", lines[i + 1])
            expect('The API server received a Patch request on "/vm" with body "{"state": "Paused"}".' in text)
            expect(":DEBUG" in text or ":INFO" in text, "levels", text[:300])
        with test("Go SDK: metrics came through the FIFO at the start and on request"):
            client.do("PUT", "/actions", {"action_type": "FlushMetrics"})
            lines = [json.loads(line) for line in metrics.read().splitlines()]
            expect(len(lines) == 2, len(lines), "lines")
            expect(all("utc_timestamp_ms" in line for line in lines), lines[1])
            expect(lines[1]["put_api_requests"]["actions_count"] == 2, lines[1]["put_api_requests"])
        with test("Go SDK: Shutdown on arm64 is SIGTERM, and ends it"):
            stops(vmm)
            text = metrics.read()
            expect(all(json.loads(line) for line in text.splitlines()))
        client.close()
    log.close()
    metrics.close()


# --- e2b -------------------------------------------------------------------------------------


def e2b():
    metrics = Fifo("metrics.fifo")
    with Vmm(wait=False) as vmm:
        with test("e2b: as soon as the socket's file is there, requests are served"):
            until(lambda: os.path.exists(vmm.sock), 5, "the socket")
            client = Client(vmm, timeout=5, keep=False, headers={
                "Accept": "application/json", "Content-Type": "application/json"})
            client.do("PUT", "/metrics", {"metrics_path": "metrics.fifo"})
        with test("e2b: its order of a cold boot"):
            client.do("PUT", "/boot-source", {
                "kernel_image_path": TICK, "boot_args": "quiet loglevel=1 console=ttyS0 init=/sbin/init "
                "reboot=k panic=1 pci=off random.trust_cpu=on rootflags=discard"})
            client.do_or_lack("drives", "PUT", "/drives/rootfs", {
                "drive_id": "rootfs", "path_on_host": "disk", "is_root_device": True,
                "is_read_only": False, "cache_type": "Unsafe", "io_engine": "Sync"})
            client.do_or_lack("network", "PUT", "/network-interfaces/eth0", {
                "iface_id": "eth0", "guest_mac": "02:FC:00:00:00:05", "host_dev_name": "tap0"})
            client.do_or_lack("mmds", "PUT", "/mmds/config", {
                "version": "V2", "network_interfaces": ["eth0"], "ipv4_address": "169.254.169.254"})
            client.do("PUT", "/machine-config", {"vcpu_count": 2, "mem_size_mib": 128, "smt": False,
                                                 "track_dirty_pages": False})
            client.do_or_lack("entropy", "PUT", "/entropy", {"rate_limiter": limiter(1000)})
            client.do_or_lack("balloon", "PUT", "/balloon", {
                "amount_mib": 0, "deflate_on_oom": False, "free_page_reporting": True,
                "free_page_hinting": True})
            client.do_or_lack("mmds", "PUT", "/mmds", {"instanceID": "i", "envID": "e"})
            client.do("PUT", "/actions", {"action_type": "InstanceStart"})
            vmm.ticking(20)
        with test("e2b: metrics by FlushMetrics"):
            for _ in range(3):
                client.do("PUT", "/actions", {"action_type": "FlushMetrics"})
            expect(len(metrics.read().splitlines()) == 4, metrics.text)
        with test("e2b: hinting, pause, snapshot without a memory file"):
            answer = client.request("PATCH", "/balloon/hinting/start", {"acknowledge_on_stop": True})
            expect(answer.status == 400 and "Device is inactive" in answer.fault, answer)  # this guest's
            expect(client.do("GET", "/balloon/hinting/status")["host_cmd"] == 0)
            client.do("PATCH", "/vm", {"state": "Paused"})
            client.do("PUT", "/snapshot/create", {"snapshot_path": "snap"})
            expect(os.path.getsize("snap") > 0 and not os.path.exists("snap.mem"))
        with test("e2b: limits are changed while the guest is paused, and then it goes on"):
            client.do_or_lack("network", "PATCH", "/network-interfaces/eth0", {
                "iface_id": "eth0", "tx_rate_limiter": {}, "rx_rate_limiter": {}})
            client.do_or_lack("drives", "PATCH", "/drives/rootfs", {"drive_id": "rootfs", "rate_limiter": {}})
            client.do("PATCH", "/vm", {"state": "Resumed"})
            client.do_or_lack("mmds", "PUT", "/mmds", {"instanceID": "i2"})
            vmm.ticking()
        with test("e2b: what only its fork has is refused, so that it can tell"):
            for path in "/memory", "/memory/mappings", "/memory/dirty":
                answer = client.request("GET", path)
                expect(answer.status == 400 and "Invalid request method and/or path" in answer.fault, answer)
        with test("e2b: SIGTERM ends it"):
            stops(vmm)
    with Vmm() as vmm, test("e2b: fields of its fork are refused before anything is loaded"):
        answer = Client(vmm).request("PUT", "/snapshot/load", {
            "snapshot_path": "s", "resume_vm": False,
            "mem_backend": {"backend_type": "Uffd", "backend_path": "u", "use_memfd": True}})
        wanted = "use_memfd" if CAPABILITIES["snapshot"] else MISSING
        expect(answer.status == 400 and wanted in answer.fault, answer)
    metrics.close()


# --- Kata Containers ---------------------------------------------------------------------------


def kata_go():
    with test("Kata (Go): the version is the second word of the first line, and no less than 0.21.1"):
        text = subprocess.run(["stasis", "--version"], capture_output=True, text=True, check=True).stdout
        version = text.splitlines()[0].split(" ")[1].removeprefix("v")
        expect(tuple(map(int, version.split("."))) >= (0, 21, 1), text)
    with open("kata.json", "w") as file:
        json.dump({"boot-source": {"kernel_image_path": f"{T}/kernel-6.12", "initrd_path": f"{T}/linux.cpio",
                                   "boot_args": "console=ttyS0 quiet panic=-1"},
                   "machine-config": {"vcpu_count": 2, "mem_size_mib": 256, "smt": False},
                   "drives": [{"drive_id": "drive_1", "path_on_host": "disk0", "is_root_device": False,
                               "is_read_only": False}] if CAPABILITIES["drives"] else [],
                   "logger": {"log_path": "kata.log", "level": "Info"}}, file)
    remove("kata.log")
    with Vmm("--config-file", "kata.json", wait=False) as vmm:
        with test("Kata (Go): GET / every 10 ms until Running"):
            end = time.monotonic() + 10
            while True:
                expect(time.monotonic() < end, "not Running within 10 s")
                try:
                    if Client(vmm, keep=False).do("GET", "/")["state"] == "Running":
                        break
                except (FileNotFoundError, ConnectionRefusedError):
                    pass
                time.sleep(POLL)
        with test("Kata (Go): a placeholder drive gets its file"):
            Client(vmm).do_or_lack("drives", "PATCH", "/drives/drive_1", {
                "drive_id": "drive_1", "path_on_host": "disk1"})
        with test("Kata (Go): Linux boots, powers off, and that ends it"):
            status = vmm.wait(120)
            expect(status == 0 and "guest: cpus=2" in vmm.text(), status, vmm.text()[-600:])
    with Vmm("--config-file", "nowhere.json", wait=False) as vmm, \
            test("Kata (Go): a configuration that is wrong ends it with 152"):
        expect(vmm.wait() == 152)


def kata_rs():
    headers = {"Accept": "application/json", "Content-Type": "application/json"}
    with Vmm() as vmm:
        client = Client(vmm, timeout=5, keep=False, headers=headers)

        def retried(method, path, body, capability=None):
            """10 ms apart, up to 500 times, whatever the answer was: here cut to 20."""
            for _ in range(20):
                answer = client.request(method, path, body)
                if answer.status == 204:
                    return
                time.sleep(POLL)
            expect(capability and not CAPABILITIES[capability] and MISSING in answer.fault, path, answer)

        with test("Kata (Rust): each request is tried again when it fails, without harm"):
            retried("PUT", "/boot-source", {"kernel_image_path": TICK, "boot_args": ARGS})
            retried("PUT", "/machine-config", {"mem_size_mib": 128, "vcpu_count": 1})
            retried("PUT", "/drives/rootfs", {"drive_id": "rootfs", "path_on_host": "disk",
                                              "is_root_device": False, "is_read_only": True}, "drives")
            for drive in range(1, 6):
                retried("PUT", f"/drives/drive{drive}", {
                    "drive_id": f"drive{drive}", "path_on_host": f"disk{drive}", "is_root_device": False,
                    "is_read_only": False}, "drives")
            retried("PUT", "/vsock", {"guest_cid": 3, "uds_path": "v.sock", "vsock_id": "root"}, "vsock")
            retried("PUT", "/network-interfaces/eth0", {
                "iface_id": "eth0", "guest_mac": "AA:FC:00:00:00:01", "host_dev_name": "tap0"}, "network")
        with test("Kata (Rust): a PUT that succeeded and is repeated changes nothing"):
            before = vmm.get("/vm/config")
            for _ in range(5):
                client.do("PUT", "/boot-source", {"kernel_image_path": TICK, "boot_args": ARGS})
                client.do("PUT", "/machine-config", {"mem_size_mib": 128, "vcpu_count": 1})
            expect(vmm.get("/vm/config") == before)
        with test("Kata (Rust): it starts"):
            retried("PUT", "/actions", {"action_type": "InstanceStart"})
            vmm.ticking(20)


# --- flintlock: no API at all --------------------------------------------------------------------


def flintlock():
    with open("flintlock.json", "w") as file:
        json.dump({"boot-source": {"kernel_image_path": TICK, "boot_args": ARGS},
                   "machine-config": {"vcpu_count": 1, "mem_size_mib": 128}, "drives": []}, file)
    with open("metadata.json", "w") as file:
        json.dump({"latest": {"meta-data": {"hostname": "a"}}}, file)
    with Vmm("--id", "u-1", "--boot-timer", "--no-api", "--config-file", "flintlock.json", "--metadata",
             "metadata.json", sock=None) as vmm:
        with test("flintlock: it boots without an API, with a boot timer and metadata"):
            vmm.ticking(20)
            sockets = [link for link in map(link_of(vmm), os.listdir(f"/proc/{vmm.pid}/fd"))
                       if link.startswith("socket:")]
            expect(not sockets and not os.path.exists("/run/firecracker.socket"), sockets)
        with test("flintlock: SIGTERM ends it"):
            stops(vmm)


def link_of(vmm):
    return lambda name: os.readlink(f"/proc/{vmm.pid}/fd/{name}")


# --- people, and other ways in -------------------------------------------------------------------


def curl():
    with Vmm() as vmm:
        curl = Curl(vmm)
        with test("curl: Firecracker's first steps"):
            curl.do("PUT", "/boot-source", {"kernel_image_path": TICK, "boot_args": ARGS})
            curl.do("PUT", "/machine-config", {"vcpu_count": 1, "mem_size_mib": 64})
            curl.do("PUT", "/actions", {"action_type": "InstanceStart"})
            expect(curl.do("GET", "/")["state"] == "Running")
            vmm.ticking(20)
        with test("curl: Expect: 100-continue is answered at once"):
            start = time.monotonic()
            curl.do("PATCH", "/vm", {"state": "Paused"}, "-H", "Expect: 100-continue",
                    "--expect100-timeout", "20")
            expect(time.monotonic() - start < 10)
            with open("head") as file:
                head = file.read()
            expect(head.startswith("HTTP/1.1 100"), head)
            curl.do("PATCH", "/vm", {"state": "Resumed"})
        with test("curl: HTTP/1.0, and a body in chunks is taken or refused, not left hanging"):
            curl.do("GET", "/version", None, "--http1.0")
            answer = curl.request("PATCH", "/vm", {"state": "Resumed"}, "-H", "Transfer-Encoding: chunked")
            expect(answer.status in (204, 400), answer)
        with test("curl: --next on one connection"):
            expect(Client(vmm).do("GET", "/version"))
            result = subprocess.run(
                [f"{T}/clients/bin/curl", "-s", "-v", "--unix-socket", vmm.sock, "http://localhost/version",
                 "http://localhost/", "http://localhost/machine-config"], capture_output=True, text=True)
            expect(result.stderr.count("< HTTP/1.1 200") == 3, result.stderr[-500:])
            expect("e-using" in result.stderr, "the connection was not kept", result.stderr[-500:])


def http_rules():
    with Vmm() as vmm:
        with test("HTTP: a connection is kept for as long as the client likes"):
            client = Client(vmm)
            for _ in range(200):
                client.do("GET", "/")
            client.close()
        with test("HTTP: Connection: close closes it after the answer"):
            with vmm.connect() as connection:
                vmm.request("GET", "/", None, connection, ["Connection: close"])
                expect(connection.socket.recv(1) == b"", "it stays open")
        with test("HTTP: GET / and GET /version have Firecracker's members and no other"):
            expect(sorted(vmm.get("/")) == ["app_name", "id", "state", "vmm_version"], vmm.get("/"))
            expect(list(vmm.get("/version")) == ["firecracker_version"], vmm.get("/version"))
            expect(vmm.get("/stasis")["transport"] == "mmio", vmm.get("/stasis"))
        with test("HTTP: who sends no more still gets the answer"):
            with vmm.connect() as connection:
                connection.send(encode("GET", "/version"))
                connection.socket.shutdown(socket.SHUT_WR)
                expect(connection.answer().status == 200)
                expect(connection.socket.recv(1) == b"")
        with test("HTTP: header names in any case, and a target with scheme and host"):
            with vmm.connect() as connection:
                body = b'{"vcpu_count":3,"mem_size_mib":64}'
                connection.send(b"PUT http://localhost/machine-config HTTP/1.1\r\nCONTENT-length: %d\r\n\r\n%s"
                                % (len(body), body))
                expect(connection.answer().status == 204)
            expect(vmm.get("/machine-config")["vcpu_count"] == 3)
        with test("HTTP: 204 has no reason and no length, as Firecracker's has not"):
            with vmm.connect() as connection:
                answer = vmm.request("PUT", "/machine-config", {"vcpu_count": 1, "mem_size_mib": 64}, connection)
                expect(answer.status == 204 and answer.reason == "" and
                       answer.headers.get("connection") == "keep-alive", answer.headers)
        with test("HTTP: what is deprecated is told so, and logged in Firecracker's words"):
            body = {"vcpu_count": 1, "mem_size_mib": 64, "cpu_template": "None"}
            for method in "PUT", "PATCH":
                answer = vmm.request(method, "/machine-config", body)
                expect(answer.status == 204 and answer.headers.get("deprecation") == "true", answer, answer.headers)
                line = f"] {method} /machine-config: cpu_template field is deprecated."
                expect(any(text.endswith(line) for text in vmm.log()), line)
        with test("HTTP: at level Debug, each request is followed by how long it took, in Firecracker's form"):
            vmm.do("PUT", "/logger", {"level": "Debug"})
            start = len(vmm.log())
            for path in "/version", "/nothing", "/", "/machine-config":
                vmm.request("GET", path)
            lines = [line.partition("] ")[2] for line in vmm.log()[start:]]
            kinds = ["received" if line.startswith("The API server received a Get request on") else
                     "answered" if line.startswith("The request was executed") or "400 Bad" in line else
                     "took" if re.fullmatch(r"Total previous API call duration: \d+ us\.", line) else line
                     for line in lines]
            expect(kinds[-12:] == ["received", "answered", "took"] * 4, lines)


def sockets():
    with test("the socket appears only when it accepts: connected to as soon as it is seen, 30 times"):
        for _ in range(30):
            with Vmm(wait=False) as vmm:
                end = time.monotonic() + 5
                while not os.path.exists(vmm.sock):     # no sleep: as close as we can get
                    expect(time.monotonic() < end, "no socket")
                expect(Client(vmm).do("GET", "/")["state"] == "Not started")
    with Vmm() as vmm, test("a socket that is there already is left alone"):
        second = subprocess.run(["stasis", "--api-sock", vmm.sock], capture_output=True, text=True, timeout=10)
        expect(second.returncode == 1, second.returncode)
        expect("Failed to open the API socket at: vm.sock. Check that it is not already used" in
               second.stdout + second.stderr, second.stdout, second.stderr)
        vmm.get("/")
    with test("no other name is left beside the socket"):
        os.mkdir("alone")
        with Vmm(sock="alone/vm.sock"):
            expect(os.listdir("alone") == ["vm.sock"], os.listdir("alone"))
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind("api-fd.sock")
    listener.listen(8)
    read, write = os.pipe()
    with Vmm("--api-fd", listener.fileno(), "--ready-fd", write, sock=None,
             pass_fds=(listener.fileno(), write)) as vmm:
        vmm.sock = "api-fd.sock"
        os.close(write)
        with test("--ready-fd gets one byte when requests are taken, and is closed"):
            first = os.read(read, 10)
            expect(len(first) == 1 and os.read(read, 10) == b"", first)
        with test("--api-fd: a socket that listens is used, and nothing else is made"):
            vmm.boot()
            vmm.ticking(20)
            expect(not os.path.exists("/run/firecracker.socket"))
        with test("--api-fd: the socket is not removed when it ends, it is not ours"):
            vmm.do("PUT", "/actions", {"action_type": "Stop"})
            expect(vmm.wait() == 0 and os.path.exists("api-fd.sock"))
    listener.close()
    os.close(read)
    for name, make in ("a file", lambda: open("disk", "rb")), ("a socket that does not listen", socket.socket):
        with make() as wrong, test(f"--api-fd: {name} is refused with the remedy"):
            result = subprocess.run(["stasis", "--api-fd", str(wrong.fileno())], capture_output=True, text=True,
                                    timeout=10, pass_fds=(wrong.fileno(),))
            expect(result.returncode not in (0, None) and "listen" in result.stdout + result.stderr, result)
    with test("--api-fd: a number that is no descriptor is refused"):
        result = subprocess.run(["stasis", "--api-fd", "77"], capture_output=True, text=True, timeout=10)
        expect(result.returncode not in (0, None) and "77" in result.stdout + result.stderr, result)


def jailer():
    now = time.clock_gettime(time.CLOCK_MONOTONIC)
    with Vmm("--id", "j-1", "--start-time-us", int(now * 1e6), "--start-time-cpu-us", 0,
             "--parent-cpu-time-us", 1234) as vmm, \
            test("a jailer's times become metrics of the start"):
        told = vmm.get("/metrics")["api_server"]
        expect(0 < told["process_startup_time_us"] < 20e6, told)
        expect(1234 < told["process_startup_time_cpu_us"] < 5e6, told)
    cpu = time.clock_gettime(time.CLOCK_PROCESS_CPUTIME_ID)
    with Vmm("--id", "j-2", "--start-time-us", int(1e18), "--start-time-cpu-us", int((cpu + 1e6) * 1e6)) as vmm, \
            test("a start in the future takes no time"):
        told = vmm.get("/metrics")["api_server"]
        expect(told["process_startup_time_us"] == told["process_startup_time_cpu_us"] == 0, told)


def fifos():
    """Nobody reads: nothing may block, and nothing may be lost silently."""
    log, metrics = Fifo("log.fifo", read=False), Fifo("metrics.fifo", read=False)
    with Vmm() as vmm:
        with test("FIFOs without a reader do not hold up who writes to them"):
            vmm.do("PUT", "/logger", {"log_path": "log.fifo", "level": "Info"})
            vmm.do("PUT", "/metrics", {"metrics_path": "metrics.fifo"})
            vmm.boot()
            vmm.ticking(20)
            with vmm.connect() as connection:
                for _ in range(1000):   # far more than 64 KiB of log
                    vmm.request("GET", "/version", None, connection)
            vmm.ticking()
        with test("what was lost is counted"):
            vmm.do("PUT", "/actions", {"action_type": "FlushMetrics"})
            logger = vmm.get("/metrics")["logger"]
            expect(logger["missed_log_count"] > 100, logger)
        with test("a FIFO of metrics that is full refuses a flush in words, and the guest goes on"):
            faults = ""
            for _ in range(200):
                answer = vmm.request("PUT", "/actions", {"action_type": "FlushMetrics"})
                if answer.status != 204:
                    faults = answer.fault
                    break
            expect(faults, "200 flushes went through")
            vmm.ticking()
        with test("when a reader comes, whole lines come out"):
            metrics.fd = os.open("metrics.fifo", os.O_RDONLY | os.O_NONBLOCK)
            count = metrics.read().count("\n")
            # The last one was cut off where the FIFO was full; the next flush brings its end.
            vmm.do("PUT", "/actions", {"action_type": "FlushMetrics"})
            lines = metrics.read().splitlines()
            expect(len(lines) > count > 5 and all(json.loads(line) for line in lines), (count, len(lines)))
    metrics.close()


def power_key():
    """What Firecracker refuses on arm64, and launchers send nevertheless."""
    if not CAPABILITIES["power-key"]:
        skip("SendCtrlAltDel: a Linux guest powers off", "this build has no power key")
        return
    with Vmm() as vmm, test("SendCtrlAltDel: a Linux guest powers off, and that ends it with status 0"):
        vmm.do("PUT", "/boot-source", {"kernel_image_path": f"{T}/kernel-6.12",
                                       "initrd_path": f"{T}/power-key.cpio",
                                       "boot_args": "console=ttyS0 quiet panic=-1"})
        vmm.do("PUT", "/machine-config", {"vcpu_count": 1, "mem_size_mib": 256})
        vmm.do("PUT", "/actions", {"action_type": "InstanceStart"})
        until(lambda: "guest: waiting" in vmm.text(), 90, "the guest's init")
        vmm.do("PUT", "/actions", {"action_type": "SendCtrlAltDel"})
        status = vmm.wait(60)
        expect(status == 0 and "guest: pressed=" in vmm.text(), status, vmm.text()[-600:])


def main():
    prepare_host()
    go_sdk()
    e2b()
    kata_go()
    kata_rs()
    flintlock()
    curl()
    http_rules()
    sockets()
    jailer()
    fifos()
    power_key()
    done()


main()
