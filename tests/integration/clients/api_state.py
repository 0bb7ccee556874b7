# SPDX-License-Identifier: Apache-2.0
#
# Every operation of the API in every state of the microVM, with the status and the words of the
# answer; then what is wrong with bodies, paths and values, and that refusals change nothing.
import json
import os
import re
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from contract import METHODS  # noqa: E402
from harness import (AFTER, BAD_BODY, BEFORE, CAPABILITIES, CONTRACT, IFF_TAP, IFF_TUN,  # noqa: E402
                     MISSING, T, Answer, Vmm, done, encode, expect, make_interface, prepare_host, test,
                     until)

PRE, POST, ANY = "pre-boot", "post-boot", "any"
NOT_STARTED, RUNNING, PAUSED = "Not started", "Running", "Paused"
KERNEL = {"kernel_image_path": f"{T}/guests/tick.img", "boot_args": "console=ttyS0"}
MACHINE = {"vcpu_count": 1, "mem_size_mib": 64}
DRIVE = {"drive_id": "a", "path_on_host": "disk", "is_root_device": False}
START = {"action_type": "InstanceStart"}
NET = {"iface_id": "n", "host_dev_name": "tap0"}
VSOCK = {"guest_cid": 3, "uds_path": "bad.sock"}
BALLOON = {"amount_mib": 1, "deflate_on_oom": False}
INACTIVE = dict.fromkeys((RUNNING, PAUSED), "Balloon update error: Device is inactive, check if balloon "
                                            "driver is enabled in guest kernel.")


class Row:
    """An operation with a body that is right."""

    def __init__(self, method, path, when, body=None, needs=None, lacks=MISSING, words=None):
        self.method, self.path, self.when, self.body = method, path, when, body
        self.needs = needs      # the capability
        self.lacks = lacks      # how it is refused without it
        self.words = words or {}  # {state: how it is refused there although `when` allows it}

    def __str__(self):
        what = self.body["action_type"] if self.path == "/actions" else ""
        return " ".join((self.method, self.path, what)).strip()

    def wanted(self, state):
        """(status, words of the fault)"""
        if self.when == PRE and state != NOT_STARTED:
            return 400, AFTER
        if self.when == POST and state == NOT_STARTED:
            return 400, BEFORE
        if self.needs and not CAPABILITIES[self.needs]:
            return 400, self.lacks
        if state in self.words:
            return 400, self.words[state]
        return (200 if self.method == "GET" else 204), ""


# In an order in which they can be carried out. Starting, pausing and stopping are tested below.
TABLE = [
    Row("GET", "/", ANY),
    Row("GET", "/version", ANY),
    Row("GET", "/stasis", ANY),
    Row("GET", "/machine-config", ANY),
    Row("GET", "/vm/config", ANY),
    Row("GET", "/metrics", ANY),
    Row("GET", "/clock", POST),
    Row("PUT", "/logger", PRE, {"level": "Info"}),
    Row("PUT", "/metrics", PRE, {"metrics_path": "metrics"}),
    Row("PUT", "/serial", PRE, {"serial_out_path": "serial"}),
    Row("PUT", "/boot-source", PRE, KERNEL),
    Row("PUT", "/machine-config", PRE, MACHINE),
    Row("PATCH", "/machine-config", PRE, {"mem_size_mib": 64}),
    Row("PUT", "/cpu-config", PRE, {}),
    Row("PUT", "/drives/rootfs", PRE, {"drive_id": "rootfs", "path_on_host": "disk",
                                       "is_root_device": False}, "drives"),
    Row("PATCH", "/drives/rootfs", POST, {"drive_id": "rootfs", "path_on_host": "disk"}, "drives"),
    Row("PUT", "/network-interfaces/eth0", PRE,
        {"iface_id": "eth0", "host_dev_name": "tap0", "guest_mac": "06:00:00:00:00:01"}, "network"),
    Row("PATCH", "/network-interfaces/eth0", POST, {"iface_id": "eth0", "rx_rate_limiter": {}}, "network"),
    Row("PUT", "/vsock", PRE, {"guest_cid": 3, "uds_path": "v.sock"}, "vsock"),
    Row("PUT", "/entropy", PRE, {}, "entropy"),
    Row("PUT", "/balloon", PRE, {"amount_mib": 0, "deflate_on_oom": True,
                                 "stats_polling_interval_s": 1, "free_page_hinting": True}, "balloon"),
    Row("GET", "/balloon", ANY, None, "balloon"),
    # The guest has no driver.
    Row("PATCH", "/balloon", POST, {"amount_mib": 1}, "balloon", words=INACTIVE),
    Row("GET", "/balloon/statistics", POST, None, "balloon"),
    Row("PATCH", "/balloon/statistics", POST, {"stats_polling_interval_s": 2}, "balloon"),
    Row("PATCH", "/balloon/hinting/start", POST, {"acknowledge_on_stop": True}, "balloon",
        words=INACTIVE),
    Row("GET", "/balloon/hinting/status", POST, None, "balloon"),
    Row("PATCH", "/balloon/hinting/stop", POST, None, "balloon", words=INACTIVE),
    Row("PUT", "/pmem/data", PRE, {"id": "data", "path_on_host": "disk"}, "pmem"),
    Row("PATCH", "/pmem/data", POST, {"id": "data", "rate_limiter": {}}, "pmem"),
    Row("PUT", "/hotplug/memory", PRE, {"total_size_mib": 256}, "hotplug-memory"),
    Row("GET", "/hotplug/memory", POST, None, "hotplug-memory"),
    Row("PATCH", "/hotplug/memory", POST, {"requested_size_mib": 128}, "hotplug-memory"),
    Row("PUT", "/mmds/config", PRE, {"network_interfaces": ["eth0"], "version": "V2"}, "mmds"),
    Row("PUT", "/mmds", ANY, {"latest": {"a": 1}}, "mmds"),
    Row("PATCH", "/mmds", ANY, {"latest": {"b": 2}}, "mmds"),
    Row("GET", "/mmds", ANY, None, "mmds"),
    Row("PUT", "/snapshot/load", PRE, {"snapshot_path": "none", "mem_file_path": "none"}, "snapshot",
        words={NOT_STARTED: "Load snapshot error: Loading a microVM snapshot not allowed after "
                            "configuring boot-specific resources."}),
    Row("PUT", "/snapshot/create", POST, {"snapshot_path": "s", "mem_file_path": "m"}, "snapshot",
        words={RUNNING: "Create snapshot error: "}),
    Row("DELETE", "/drives/rootfs", POST, None, "hot-unplug"),
    Row("DELETE", "/network-interfaces/eth0", POST, None, "hot-unplug"),
    Row("DELETE", "/pmem/data", POST, None, "hot-unplug"),
    Row("PUT", "/actions", POST, {"action_type": "FlushMetrics"}),
    Row("PUT", "/actions", POST, {"action_type": "SendCtrlAltDel"}, "power-key",
        "this build has no power key"),
]
# These change the state, or do not end: tested in functions of their own.
ELSEWHERE = {("PATCH", "/vm"), ("GET", "/events")}


def try_row(vmm, row, state, label):
    status, words = row.wanted(state)
    with test(f"{label}: {row} -> {status} {words[:60]}".strip()):
        answer = vmm.request(row.method, row.path, row.body)
        expect(answer.status == status and words in answer.fault, "instead:", answer)
        now = vmm.get("/")["state"]
        expect(now == state, "the state is", now, "instead of", state)


def try_table(vmm, state, label=None):
    label = label or state
    for row in TABLE:
        try_row(vmm, row, state, label)
    with test(f"{label}: what is no operation is refused by name"):
        known = set(CONTRACT.operations())
        for path in CONTRACT.description["paths"]:
            concrete = path.replace("{drive_id}", "a").replace("{iface_id}", "a").replace("{id}", "a")
            for method in (method.upper() for method in METHODS):
                if (method, path) not in known:
                    # A body where the method wants one, or it is refused for that.
                    body = {} if method in ("PUT", "PATCH") else None
                    vmm.refused(method, concrete, body,
                                f"Invalid request method and/or path: {method} {concrete[1:]}.")


def check_coverage():
    with test("the table has every operation of docs/api.yaml, and agrees with it on when it works"):
        rows = {}
        for row in TABLE:
            template, operation = CONTRACT.operation(row.method, row.path)
            expect(operation, "not in docs/api.yaml:", row)
            rows.setdefault((row.method, template), set()).add(row.when)
        for key in CONTRACT.operations():
            if key in ELSEWHERE:
                continue
            expect(key in rows, "not in the table:", *key)
            when = CONTRACT.description["paths"][key[1]][key[0].lower()]["x-when"]
            expect(key[1] == "/actions" or rows[key] == {when}, *key, "is", when)
    with test("docs/api.yaml has every operation of the server, and no other"):
        routes = re.findall(r'{(GET|PUT|PATCH|DEL),\s*"([^"]*)",\s*(ANY|PRE|BOOT|POST)(?:_LAX)?,', read(f"{T}/routes.c"))
        served = {("DELETE" if method == "DEL" else method, "/" + path, "PRE" if when == "BOOT" else when)
                  for method, path, when in routes}
        described = {(method, re.sub("{.*?}", "*", path), {PRE: "PRE", POST: "POST", ANY: "ANY"}[
            CONTRACT.description["paths"][path][method.lower()]["x-when"]])
            for method, path in CONTRACT.operations()}
        expect(served == described, "not in both:", sorted(served ^ described))


def check_validator():
    """The net must be able to catch."""
    def answer(status, body=b"", **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        return Answer(status, "", {"server": "x", **headers}, body)

    def as_json(status, body):
        return answer(status, body, content_type="application/json", content_length=str(len(body)))

    instance = b'{"id":"a","state":"Running","vmm_version":"1.2.3","app_name":"Firecracker"%s}'
    right = [("GET", "/", None, as_json(200, instance % b"")),
             ("PUT", "/actions", b'{"action_type":"Stop"}', answer(204)),
             ("PUT", "/actions", b'{"action_type":"?"}', as_json(400, b'{"fault_message":"no"}'))]
    wrong = [
        ("an unknown field", ("GET", "/", None, as_json(200, instance % b',"more":1'))),
        ("a missing field", ("GET", "/", None, as_json(200, b'{"id":"a"}'))),
        ("another type", ("GET", "/", None, as_json(200, (instance % b"").replace(b'"a"', b"7")))),
        ("a state that is none", ("GET", "/", None, as_json(200, (instance % b"").replace(b"Run", b"W")))),
        ("no JSON", ("GET", "/", None, as_json(200, b"{"))),
        ("another media type", ("GET", "/", None, answer(200, instance % b"", content_type="text/plain"))),
        ("a status that is not described", ("GET", "/", None, as_json(404, b'{"fault_message":"no"}'))),
        ("204 with a body", ("PUT", "/actions", b'{"action_type":"Stop"}', answer(204, b"{}"))),
        ("204 with a length", ("PUT", "/actions", b'{"action_type":"Stop"}',
                               answer(204, content_length="0"))),
        ("a refusal without words", ("PUT", "/actions", b"{}", as_json(400, b'{"fault_message":""}'))),
        ("a refusal with more in it", ("PUT", "/actions", b"{}",
                                       as_json(400, b'{"fault_message":"a","code":1}'))),
        ("a request that should not have been taken", ("PUT", "/actions", b'{"a":1}', answer(204))),
        ("an operation that is not described", ("GET", "/more", None, as_json(200, b"{}"))),
    ]
    with test("the validator takes right answers and finds fault with wrong ones"):
        for exchange in right:
            expect(not CONTRACT.judge(*exchange), exchange, CONTRACT.judge(*exchange))
        for name, exchange in wrong:
            expect(CONTRACT.judge(*exchange), "not found:", name)
    with test("docs/api.yaml marks what this build refuses, and nothing else"):
        for row in TABLE:
            _, operation = CONTRACT.operation(row.method, row.path)
            absent = bool(row.needs) and not CAPABILITIES[row.needs]
            expect(operation.get("x-absent", False) == absent, row)
    with test("docs/api.yaml is a valid OpenAPI document"):
        from openapi_spec_validator import validate
        validate(CONTRACT.description)


# --- states ----------------------------------------------------------------------------------


def check_states():
    with Vmm() as vmm:
        try_table(vmm, NOT_STARTED)
        with test("Not started: pausing and resuming are refused"):
            for state in "Paused", "Resumed":
                vmm.refused("PATCH", "/vm", {"state": state}, BEFORE)
        with test("InstanceStart -> 204 and Running"):
            vmm.do("PUT", "/actions", START)
            expect(vmm.get("/")["state"] == RUNNING)
        with test("the guest runs"):
            until(lambda: "tick 3" in read("serial"), 20, "ticks")
        with test("Running: InstanceStart is refused"):
            vmm.refused("PUT", "/actions", START, AFTER)
        try_table(vmm, RUNNING)
        with test("PATCH /vm Resumed while it runs changes nothing"):
            vmm.do("PATCH", "/vm", {"state": "Resumed"})
        with test("PATCH /vm Paused -> 204 and Paused, and the guest stands still"):
            vmm.do("PATCH", "/vm", {"state": "Paused"})
            expect(vmm.get("/")["state"] == PAUSED)
            before = read("serial")
            time.sleep(0.3)
            expect(read("serial") == before, "it ticked")
        with test("Paused: InstanceStart is refused"):
            vmm.refused("PUT", "/actions", START, AFTER)
        with test("PATCH /vm Paused once more changes nothing"):
            vmm.do("PATCH", "/vm", {"state": "Paused"})
        try_table(vmm, PAUSED)
        with test("PATCH /vm Resumed -> 204 and Running, and the guest goes on"):
            vmm.do("PATCH", "/vm", {"state": "Resumed"})
            expect(vmm.get("/")["state"] == RUNNING)
            before = read("serial").count("tick")
            until(lambda: read("serial").count("tick") > before + 3, 10, "ticks")
        for clock in "frozen", "continuous":
            with test(f"a pause and a resume with the clock {clock}"):
                vmm.do("PATCH", "/vm", {"state": "Paused"})
                vmm.do("PATCH", "/vm", {"state": "Resumed", "clock": clock})
        with test("a hundred pauses and resumes; a pause of this idle guest takes less than 100 ms"):
            took = []
            for _ in range(100):
                start = time.monotonic()
                vmm.do("PATCH", "/vm", {"state": "Paused"})
                took.append(time.monotonic() - start)
                vmm.do("PATCH", "/vm", {"state": "Resumed"})
            expect(sorted(took)[50] < 0.1, "half of them took longer than", sorted(took)[50])
    check_restored()


def check_restored():
    """The VM of the table, in another process: the row of /snapshot/create wrote it."""
    files = {"snapshot_path": "s", "mem_file_path": "m"}
    with Vmm() as vmm:
        vmm.do("PUT", "/serial", {"serial_out_path": "serial2"})
        with test("PUT /snapshot/load -> 204 and Paused"):
            vmm.do("PUT", "/snapshot/load", files)
            expect(vmm.get("/")["state"] == PAUSED)
        with test("Restored: another load is refused"):
            vmm.refused("PUT", "/snapshot/load", files, AFTER)
        try_table(vmm, PAUSED, "Restored")
        with test("Restored: the guest goes on where it was"):
            vmm.do("PATCH", "/vm", {"state": "Resumed"})
            until(lambda: read("serial2").count("tick") > 3, 20, "ticks")
            first = int(re.search(r"tick (\d+)", read("serial2")).group(1))
            expect(first > 3, "it began anew: tick", first)
    with Vmm() as vmm, test("a load with a clock tells how long the guest stood still"):
        clock = vmm.request("PUT", "/snapshot/load", {**files, "clock": "frozen"}).json()["clock"]
        expect(clock["same_boot"] and clock["error_ns"] == 0 and clock["elapsed_ns"] > 10 ** 8, clock)
    with Vmm() as vmm, test("a load that fails ends the process with status 1"):
        vmm.refused("PUT", "/snapshot/load", {**files, "mem_file_path": "s"},
                    "Load snapshot error: Failed to restore from snapshot: ")
        status = vmm.wait()
        expect(status == 1, "status", status)


def read(path):
    with open(path, errors="replace") as file:
        return file.read()


def check_stop():
    for state in NOT_STARTED, RUNNING, PAUSED:
        with Vmm() as vmm, test(f"{state}: Stop -> 204, then it ends with status 0 and says so"):
            if state != NOT_STARTED:
                vmm.boot()
                vmm.ticking(20)
            if state == PAUSED:
                vmm.do("PATCH", "/vm", {"state": "Paused"})
            vmm.do("PUT", "/actions", {"action_type": "Stop"})
            status = vmm.wait()
            expect(status == 0, "status", status)
            expect("exit_code=0" in vmm.text(), vmm.text()[-500:])
    for key, event in ("q", "powered off"), ("r", "reset"):
        with Vmm() as vmm, test(f"a guest that {event} ends it with status 0"):
            vmm.boot()
            vmm.ticking(20)
            vmm.type(key)
            status = vmm.wait()
            expect(status == 0, "status", status)


# --- what is wrong with requests ---------------------------------------------------------------


# Refused before the start, by what is in the body: (method, path, body, words).
BAD = [
    ("PUT", "/machine-config", {"vcpu_count": 1}, "missing field `mem_size_mib`"),
    ("PUT", "/machine-config", {"mem_size_mib": 64}, "missing field `vcpu_count`"),
    ("PUT", "/machine-config", {**MACHINE, "vcpu_count": "1"}, "vcpu_count"),
    ("PUT", "/machine-config", {**MACHINE, "vcpu_count": 1.5}, "vcpu_count"),
    ("PUT", "/machine-config", {**MACHINE, "vcpu_count": -1}, "vcpu_count"),
    ("PUT", "/machine-config", {**MACHINE, "vcpu_count": 0}, "Machine config error: The number of vCPUs"),
    ("PUT", "/machine-config", {**MACHINE, "vcpu_count": 33}, "Machine config error: The number of vCPUs"),
    ("PUT", "/machine-config", {**MACHINE, "vcpu_count": 256}, "vcpu_count"),
    ("PUT", "/machine-config", {**MACHINE, "mem_size_mib": 0},
     "Machine config error: The memory size (MiB) is either 0, or not a multiple of the configured"),
    ("PUT", "/machine-config", {**MACHINE, "mem_size_mib": 2 ** 62}, "mem_size_mib"),
    ("PUT", "/machine-config", {**MACHINE, "mem_size_mib": 2 ** 63}, BAD_BODY),
    ("PUT", "/machine-config", {**MACHINE, "smt": True},
     "Machine config error: Enabling simultaneous multithreading is not supported on aarch64."),
    ("PUT", "/machine-config", {**MACHINE, "smt": "no"}, "smt"),
    ("PUT", "/machine-config", {**MACHINE, "huge_pages": "3M"}, "huge_pages"),
    ("PUT", "/machine-config", {**MACHINE, "clock": {"on_pause": "sometimes"}}, "clock"),
    ("PATCH", "/machine-config", {}, "Empty PATCH request."),
    ("PATCH", "/machine-config", {"mem_size_mib": None, "vcpu_count": 0}, "The number of vCPUs"),
    ("PUT", "/boot-source", {"kernel_image_path": "/nowhere/Image"},
     "Boot source error: The kernel file cannot be opened: No such file or directory (os error 2)"),
    ("PUT", "/boot-source", {**KERNEL, "initrd_path": "/nowhere/initrd"},
     "The initrd file cannot be opened due to invalid path or invalid permissions."),
    ("PUT", "/boot-source", {**KERNEL, "boot_args": "x" * 4096}, "The kernel command line is invalid: "),
    ("PUT", "/boot-source", {**KERNEL, "boot_args": "a\0b"}, BAD_BODY),
    ("PUT", "/boot-source", {"boot_args": "x"}, "missing field `kernel_image_path`"),
    ("PUT", "/boot-source", {"kernel_image_path": 7}, "kernel_image_path"),
    ("PUT", "/cpu-config", {"kvm_capabilities": ["121"]}, "kvm_capabilities"),
    ("PUT", "/cpu-config", {"vcpu_features": [{"index": 0, "bitmap": "0b2"}]}, "0b2"),
    ("PUT", "/cpu-config", {"vcpu_features": [{"index": 99, "bitmap": "0b1"}]}, "99"),
    ("PUT", "/cpu-config", {"vcpu_features": 7}, "vcpu_features"),
    ("PUT", "/cpu-config", {"reg_modifiers": [{"addr": "0xzz", "bitmap": "0b1"}]}, "0xzz"),
    ("PUT", "/cpu-config", {"reg_modifiers": [{"addr": "0x0"}]}, "bitmap"),
    ("PUT", "/logger", {"level": "Loud"}, "Loud"),
    ("PUT", "/logger", {"show_level": 1}, "show_level"),
    ("PUT", "/logger", {"log_path": "/nowhere/log"}, "Logger error: "),
    ("PUT", "/metrics", {}, "missing field `metrics_path`"),
    ("PUT", "/metrics", {"metrics_path": "/nowhere/metrics"}, "Metrics error: "),
    ("PUT", "/metrics", {"metrics_path": "m", "properties": {"a": 1}}, "properties"),
    ("PUT", "/serial", {"serial_out_path": "/nowhere/serial"}, "/nowhere/serial"),
    ("PUT", "/actions", {"action_type": "Fly"}, "unknown variant `Fly`"),
    ("PUT", "/actions", {"action_type": 7}, "action_type"),
    ("PUT", "/actions", {}, "missing field `action_type`"),
    ("PUT", "/actions", START, "Start microvm error: Cannot start microvm without kernel configuration."),
    ("PUT", "/drives/a", {**DRIVE, "drive_id": "b"}, "The id from the path does not match the id from the body!"),
    ("PUT", "/drives/a", {**DRIVE, "path_on_host": "/nowhere/disk"},
     "Drive config error: Unable to create the virtio block device: "),
    ("PUT", "/drives/a", {**DRIVE, "path_on_host": "/"}, "Drive config error: "),
    ("PUT", "/drives/a", {**DRIVE, "path_on_host": None}, "path_on_host"),
    ("PUT", "/drives/a", {**DRIVE, "cache_type": "Fast"}, "unknown variant `Fast`"),
    ("PUT", "/drives/a", {**DRIVE, "io_engine": "Slow"}, "unknown variant `Slow`"),
    ("PUT", "/drives/a", {**DRIVE, "rate_limiter": {"bandwidth": {"size": 1}}}, "missing field `refill_time`"),
    ("PUT", "/drives/a", {**DRIVE, "rate_limiter": {"bytes": {}}}, "unknown field `bytes`"),
    ("PUT", "/drives/a", {**DRIVE, "rate_limiter": {"ops": {"size": -1, "refill_time": 1}}}, "size"),
    ("PUT", "/drives/a", {"drive_id": "a", "path_on_host": "disk"}, "missing field `is_root_device`"),
    ("PUT", "/drives/a", {"path_on_host": "disk", "is_root_device": True}, "missing field `drive_id`"),
    ("PUT", "/entropy", {"rate_limiter": 7}, "rate_limiter"),
    ("PUT", "/network-interfaces/n", {**NET, "host_dev_name": "tap9"},
     "Network config error: Could not create the network device: Open tap device failed: Error while creating "
     "ifreq structure: No such device (os error 19). Invalid TUN/TAP Backend provided by tap9."),
    ("PUT", "/network-interfaces/n", {**NET, "host_dev_name": "lo"},
     "Network config error: Could not create the network device: Open tap device failed: "),
    ("PUT", "/network-interfaces/n", {**NET, "host_dev_name": "fd:0"}, "The descriptor is no tap"),
    ("PUT", "/network-interfaces/n", {**NET, "iface_id": "m"}, "does not match the id from the body!"),
    ("PUT", "/network-interfaces/n", {**NET, "guest_mac": "06:00:00:00:00"}, "The provided MAC address is invalid."),
    ("PUT", "/network-interfaces/n", {**NET, "guest_mac": ""}, "The provided MAC address is invalid."),
    ("PUT", "/network-interfaces/n", {**NET, "mtu": 67}, "field `mtu`: 67 is not possible; give 68 to 65535"),
    ("PUT", "/network-interfaces/n", {**NET, "mtu": 65536}, "mtu"),
    ("PUT", "/network-interfaces/n", {**NET, "rx_rate_limiter": {"ops": {}}},
     "field `rx_rate_limiter`: missing field `size`"),
    ("PUT", "/network-interfaces/n", {"iface_id": "n"}, "missing field `host_dev_name`"),
    ("PUT", "/vsock", {**VSOCK, "guest_cid": 2}, "Vsock config error: The guest CID 2 is reserved"),
    ("PUT", "/vsock", {**VSOCK, "guest_cid": 1 << 32}, "guest_cid"),
    ("PUT", "/vsock", {**VSOCK, "guest_cid": -1}, "guest_cid"),
    ("PUT", "/vsock", {**VSOCK, "uds_path": "disk"},
     "Vsock config error: Cannot create backend for vsock device: Error binding to the host-side Unix socket: "
     "Address already in use (os error 98)"),
    ("PUT", "/vsock", {**VSOCK, "uds_path": "/nowhere/v"}, "No such file or directory (os error 2)"),
    ("PUT", "/vsock", {**VSOCK, "uds_path": "/" + "v" * 200}, "File name too long"),
    ("PUT", "/balloon", {**BALLOON, "amount_mib": 129},
     "Balloon config error: Amount of pages requested is too large."),
    ("PUT", "/balloon", {**BALLOON, "amount_mib": 1 << 32}, "amount_mib"),
    ("PUT", "/balloon", {**BALLOON, "stats_polling_interval_s": 1 << 16}, "stats_polling_interval_s"),
    ("PUT", "/balloon", {"amount_mib": 1}, "missing field `deflate_on_oom`"),
    ("PUT", "/drives/a-b", {}, "API Resource IDs can only contain alphanumeric characters and underscores."),
    ("PUT", "/drives/", {}, "The ID cannot be empty."),
    ("PUT", "/network-interfaces/a.b", {}, "API Resource IDs can only contain"),
    ("PUT", "/pmem/", {}, "The ID cannot be empty."),
]
# Refused while the guest runs.
BAD_POST = [
    ("PATCH", "/vm", {"state": "Stopped"}, "unknown variant `Stopped`"),
    ("PATCH", "/drives/nothere", {"drive_id": "nothere", "path_on_host": "disk"}, "Drive config error: "),
    ("PATCH", "/drives/rootfs", {"drive_id": "other"}, "does not match the id from the body!"),
    ("PATCH", "/drives/rootfs", {"drive_id": "rootfs", "path_on_host": "/nowhere/disk"}, "/nowhere/disk"),
    ("PATCH", "/drives/rootfs", {"drive_id": "rootfs", "is_root_device": True}, "unknown field `is_root_device`"),
    ("PATCH", "/network-interfaces/nothere", {"iface_id": "nothere"}, "Network config error: "),
    ("PATCH", "/network-interfaces/eth0", {"iface_id": "eth0", "host_dev_name": "tap0"},
     "unknown field `host_dev_name`"),
    ("PATCH", "/balloon", {}, "missing field `amount_mib`"),
    ("PATCH", "/balloon/statistics", {"stats_polling_interval_s": 0},
     "Balloon update error: Cannot enable/disable the statistics after boot."),
    ("PATCH", "/balloon/hinting/start", {"acknowledge": True}, "unknown field `acknowledge`"),
    ("PATCH", "/vm", {}, "missing field `state`"),
    ("PATCH", "/vm", {"state": "Resumed", "clock": "quartz"}, "quartz"),
    ("PATCH", "/vm", {"state": "Resumed", "clock": 7}, "clock"),
    ("PATCH", "/vm", {"state": "Paused", "clock": "frozen"}, "clock"),
]
# Bodies that are no object of JSON.
NO_OBJECT = [b"{", b"}", b"[]", b'"a"', b"7", b"nul", b'{"a":}', b'{"a":1,}', b"{'a':1}", b'{"a":1} x',
             b'{"a":1,"a":2}', b'{"a":"\xff"}', b'{"a":"\xed\xa0\x80"}', b"\x00", b"{}\x00", b'{"\\u0000":1}',
             b"[" * 5000, b'{"a":' * 5000, b'{"a":1e999}', b'{"a":' + b"9" * 400 + b"}"]


def config(vmm):
    return vmm.get("/vm/config"), vmm.get("/machine-config"), vmm.get("/")


def check_bad_requests():
    with Vmm() as vmm:
        before = None
        with test("the configuration can be read before there is any"):
            before = config(vmm)
            expect(before[1]["vcpu_count"] == 1 and before[1]["mem_size_mib"] == 128, before[1])
        for method, path, body, words in BAD:
            with test(f"{method} {path} {str(body)[:60]}: {words[:60]}"):
                vmm.refused(method, path, body, words)
                expect(config(vmm) == before, "it changed", config(vmm))
        with test("whoever has a body that is no JSON object is refused, everywhere"):
            for row in TABLE:
                if row.when != PRE or row.body is None or row.needs and not CAPABILITIES[row.needs]:
                    continue
                for body in NO_OBJECT:
                    vmm.refused(row.method, row.path, body, BAD_BODY)
            expect(config(vmm) == before, "it changed", config(vmm))
        with test("an unknown field is refused and named, everywhere"):
            for row in TABLE:
                if row.when != PRE or row.body is None or row.needs and not CAPABILITIES[row.needs]:
                    continue
                vmm.refused(row.method, row.path, {**row.body, "nope": 1}, BAD_BODY, "unknown field `nope`")
            expect(config(vmm) == before, "it changed", config(vmm))
        with test("PUT and PATCH without a body are refused, and GET with one"):
            for row in TABLE:
                if row.method in ("PUT", "PATCH") and row.body is not None and \
                        row.path != "/balloon/hinting/start":
                    vmm.refused(row.method, row.path, None, f"Empty {row.method} request.")
                if row.method == "GET":
                    vmm.refused("GET", row.path, {}, "GET request cannot have a body.")
        with test("paths that are none are refused by name"):
            for path in "/foo", "/machine-confi", "/machine-configs", "/vm/confi", "/%2e", "/%00", "/VM/config", \
                    "/version/more", "/balloon/x", "/vm/config/x", "/version?x", "/version//":
                vmm.refused("GET", path, None, f"Invalid request method and/or path: GET {path[1:]}.")
        check_values(vmm)


def check_values(vmm):
    with test("scheme and host before a path are ignored, and so are more slashes around it"):
        for path in "//version", "/version/", "http://localhost/version":
            with vmm.connect() as connection:
                connection.send(encode("GET", path))
                answer = connection.answer()
                expect(answer.status == 200 and "firecracker_version" in answer.json(), path, answer)
    with test("PUT /machine-config sets all, PATCH what it names"):
        vmm.do("PUT", "/machine-config", {"vcpu_count": 2, "mem_size_mib": 256})
        vmm.do("PATCH", "/machine-config", {"mem_size_mib": 128})
        now = vmm.get("/machine-config")
        expect(now["vcpu_count"] == 2 and now["mem_size_mib"] == 128, now)
        expect(now["smt"] is False and now["track_dirty_pages"] is False, now)
    with test("the same PUT again is harmless"):
        for _ in range(3):
            for row in TABLE:
                if row.method == "PUT" and row.wanted(NOT_STARTED)[0] == 204 and row.path not in (
                        "/metrics", "/actions"):
                    vmm.do("PUT", row.path, row.body)
    with test("PUT /metrics works once"):
        vmm.do("PUT", "/metrics", {"metrics_path": "once"})
        vmm.refused("PUT", "/metrics", {"metrics_path": "twice"}, "Metrics error: ")
    with test("/vm/config tells what was said"):
        now = vmm.get("/vm/config")
        expect(now["boot-source"]["kernel_image_path"] == KERNEL["kernel_image_path"], now)
        expect(now["machine-config"] == vmm.get("/machine-config"), now)
    with test("there is one root device, and the same drive again replaces the first"):
        vmm.do("PUT", "/drives/a", {**DRIVE, "is_root_device": True})
        vmm.do("PUT", "/drives/a", {**DRIVE, "is_root_device": True, "is_read_only": True})
        vmm.refused("PUT", "/drives/b", {**DRIVE, "drive_id": "b", "is_root_device": True},
                    "A root block device already exists!")
        drives = vmm.get("/vm/config")["drives"]
        told = [drive for drive in drives if drive["drive_id"] == "a"]
        expect(len(told) == 1 and told[0]["is_read_only"] is True, drives)
        vmm.do("PUT", "/drives/a", {**DRIVE, "path_on_host": "disk1"})
    with test("a start that fails leaves everything as it was, and can be tried again"):
        vmm.do("PUT", "/boot-source", {"kernel_image_path": f"{T}/api.yaml"})
        vmm.refused("PUT", "/actions", START, "Start microvm error: ")
        expect(vmm.get("/")["state"] == NOT_STARTED)
        vmm.do("PUT", "/boot-source", KERNEL)
        vmm.do("PUT", "/actions", START)
        until(lambda: "tick 3" in read("serial"), 20, "ticks")
    for method, path, body, words in BAD_POST:
        with test(f"Running: {method} {path} {body}: {words}"):
            vmm.refused(method, path, body, words)
            expect(vmm.get("/")["state"] == RUNNING)


# Of devices, what depends on the host: (path, body, the whole fault); unit tests have the rest.
DRIVE_FAULT = "Drive config error: Unable to create the virtio block device: Virtio backend error: Error " \
              "manipulating the backing file: "
TAP_FAULT = "Network config error: Could not create the network device: Open tap device failed: "
IFREQ_FAULT = "Error while creating ifreq structure: {} Invalid TUN/TAP Backend provided by {}. Check our " \
              "documentation on setting up the network devices."
VSOCK_FAULT = "Vsock config error: Cannot create backend for vsock device: Error binding to the host-side " \
              "Unix socket: "
FOR_ROOT = [
    ("/drives/a", {**DRIVE, "path_on_host": "ro/disk"},
     DRIVE_FAULT + "Read-only file system (os error 30) ro/disk"),
    ("/network-interfaces/n", {**NET, "host_dev_name": "tap1"},
     TAP_FAULT + IFREQ_FAULT.format("Device or resource busy (os error 16).", "tap1")),
    ("/network-interfaces/n", {**NET, "host_dev_name": "tun0"},
     TAP_FAULT + IFREQ_FAULT.format("Invalid argument (os error 22).", "tun0")),
    ("/network-interfaces/n", {**NET, "host_dev_name": "lo"},
     TAP_FAULT + IFREQ_FAULT.format("Invalid argument (os error 22).", "lo")),
    ("/vsock", {**VSOCK, "uds_path": "ro/v"}, VSOCK_FAULT + "Read-only file system (os error 30): ro/v"),
]
FOR_NOBODY = [
    ("/drives/a", {**DRIVE, "path_on_host": "secret"}, DRIVE_FAULT + "Permission denied (os error 13) secret"),
    ("/drives/a", {**DRIVE, "path_on_host": "secret", "is_read_only": True},
     DRIVE_FAULT + "Permission denied (os error 13) secret"),
    ("/drives/a", {**DRIVE, "path_on_host": "disk"}, DRIVE_FAULT + "Permission denied (os error 13) disk"),
    ("/network-interfaces/n", {**NET, "host_dev_name": "tap2"},
     TAP_FAULT + IFREQ_FAULT.format("Operation not permitted (os error 1).", "tap2")),
    ("/vsock", {**VSOCK, "uds_path": "ro/v"}, VSOCK_FAULT + "Read-only file system (os error 30): ro/v"),
    ("/vsock", {**VSOCK, "uds_path": "closed/v"}, VSOCK_FAULT + "Permission denied (os error 13): closed/v"),
]


def refuse_devices(vmm, table, who):
    with vmm.connect() as connection:
        # Those of the connections before are closed by now.
        before = [vmm.request("GET", "/vm/config", None, connection).body for _ in range(3)][0]
        open_before = vmm.descriptors()
        for path, body, fault in table:
            with test(f"{who}: PUT {path} {str(body)[:70]}: {fault[-60:]}"):
                answer = vmm.request("PUT", path, body, connection)
                expect(answer.status == 400 and answer.fault == fault, "instead:", answer)
                expect(vmm.request("GET", "/vm/config", None, connection).body == before, "it changed")
                expect(vmm.descriptors() == open_before, "a descriptor is left")


def check_host():
    """A busy tap, what one may not open: with nothing there, and with what is right there."""
    os.mkdir("ro")
    os.mkdir("closed")
    subprocess.run(["mount", "-t", "tmpfs", "none", "ro"], check=True)
    for name in "ro/disk", "secret":
        with open(name, "wb") as file:
            file.truncate(4096)
    subprocess.run(["mount", "-o", "remount,ro", "ro"], check=True)
    os.chmod("secret", 0o600)
    os.chmod("disk", 0o644)
    make_interface("tun0", IFF_TUN).close()
    make_interface("tap2", IFF_TAP, owner=0).close()
    # One without an owner is anybody's to some kernels and root's to others.
    make_interface("tap3", IFF_TAP, owner=65534).close()
    busy = make_interface("tap1", IFF_TAP)
    right = [("/drives/a", {**DRIVE, "path_on_host": "ro/disk", "is_read_only": True}),
             ("/network-interfaces/n", NET), ("/vsock", {**VSOCK, "uds_path": "v.sock"})]
    with Vmm() as vmm:
        refuse_devices(vmm, FOR_ROOT, "root, nothing there")
        with test("what is right is taken after all that"):
            for path, body in right:
                vmm.do("PUT", path, body)
        refuse_devices(vmm, FOR_ROOT, "root, with devices")
        with test("a tap is free when who had it lets go"):
            busy.close()
            vmm.do("PUT", "/network-interfaces/n", {**NET, "host_dev_name": "tap1"})
    os.chmod(".", 0o777)
    os.chmod("/dev/net/tun", 0o666)
    as_nobody = "import os, sys; os.setgroups([]); os.setgid(65534); os.setuid(65534); " \
                "os.execvp('stasis', ['stasis', *sys.argv[1:]])"
    with Vmm(program=(f"{T}/clients/bin/python3", "-I", "-S", "-c", as_nobody)) as vmm:
        refuse_devices(vmm, FOR_NOBODY, "nobody, nothing there")
        with test("nobody may read, and use a folder and a tap that is nobody's"):
            vmm.do("PUT", "/drives/a", {**DRIVE, "is_read_only": True})
            vmm.do("PUT", "/network-interfaces/n", {**NET, "host_dev_name": "tap3"})
            vmm.do("PUT", "/vsock", {**VSOCK, "uds_path": "v.sock"})
        refuse_devices(vmm, FOR_NOBODY, "nobody, with devices")
    os.chmod("/dev/net/tun", 0o600)
    subprocess.run(["umount", "ro"], check=True)


def check_clock():
    """That the API says what the clock does; tests of time say what time does."""
    clock = {"on_pause": "continuous", "on_restore": "frozen", "max_jump_ms": 100}
    with Vmm() as vmm:
        with test("the clock's policies are part of the machine's configuration"):
            before = vmm.get("/machine-config")
            vmm.do("PUT", "/machine-config", {**MACHINE, "clock": clock})
            told = vmm.get("/machine-config")["clock"]
            expect({name: told[name] for name in clock} == clock, told)
            expect(vmm.get("/vm/config")["machine-config"]["clock"] == told)
            vmm.do("PATCH", "/machine-config", {"clock": {"on_pause": "frozen"}})
            expect(vmm.get("/machine-config")["clock"]["on_pause"] == "frozen")
            vmm.do("PUT", "/machine-config", MACHINE)
            expect(vmm.get("/machine-config") == {**before, "mem_size_mib": 64}, "PUT sets all of it")
            vmm.do("PUT", "/machine-config", {**MACHINE, "clock": clock})
        with test("a jump that is too large, or backwards, is refused, and the guest stays paused"):
            vmm.do("PUT", "/boot-source", KERNEL)
            vmm.do("PUT", "/actions", START)
            vmm.ticking(20)
            vmm.do("PATCH", "/vm", {"state": "Paused"})
            time.sleep(0.2)
            for clock in None, "continuous", {"policy": "continuous"}, {"set": 0}, {"set": 1}:
                body = {"state": "Resumed"} if clock is None else {"state": "Resumed", "clock": clock}
                vmm.refused("PATCH", "/vm", body)
                expect(vmm.get("/")["state"] == PAUSED, clock)
            before = vmm.ticks()
            time.sleep(0.2)
            expect(vmm.ticks() == before, "it ticked")
        for clock in "frozen", {"policy": "frozen"}, {"policy": "continuous", "max_jump_ms": 600000}:
            with test(f"resumed with the clock {clock}, it goes on"):
                vmm.do("PATCH", "/vm", {"state": "Paused"})
                time.sleep(0.2)
                vmm.do("PATCH", "/vm", {"state": "Resumed", "clock": clock})
                vmm.ticking()


# --- events and metrics ------------------------------------------------------------------------


def check_events():
    with Vmm() as vmm, test("/events tells all that happens, in order, and ends with the VMM"):
        with vmm.connect() as reader:
            reader.send(b"GET /events HTTP/1.1\r\n\r\n")
            status, _, headers = reader.head()
            expect(status == 200 and headers["content-type"] == "application/x-ndjson" and
                   headers["transfer-encoding"] == "chunked", headers)
            vmm.boot()
            vmm.do("PATCH", "/vm", {"state": "Paused"})
            vmm.do("PATCH", "/vm", {"state": "Paused"})
            vmm.do("PATCH", "/vm", {"state": "Resumed"})
            vmm.ticking(20)
            with vmm.connect() as late:
                late.send(b"GET /events HTTP/1.1\r\n\r\n")
                late.head()
                first = json.loads(late.chunk())
                expect(first["event"] == "state" and first["state"] == RUNNING and first["seq"] == 3, first)
            vmm.type("q")
            lines = []
            while chunk := reader.chunk():
                expect(chunk.endswith(b"\n") and chunk.count(b"\n") == 1, "a chunk is a line:", chunk)
                CONTRACT.check_event(chunk)
                lines.append(json.loads(chunk))
            expect(vmm.wait() == 0)
        told = [line["event"] for line in lines]
        expect(told == ["state", "booted", "paused", "resumed", "guest-off"], told)
        expect(lines[0]["state"] == NOT_STARTED and [line["seq"] for line in lines] == [0, 1, 2, 3, 4], lines)
        expect(all(line["dropped"] == 0 for line in lines), lines)
        times = [line["time_us"] for line in lines]
        expect(times == sorted(times) and times[0] > 0, times)
    with Vmm() as vmm, test("GET /metrics counts from the start and leaves the file's lines alone"):
        vmm.do("PUT", "/metrics", {"metrics_path": "counted"})
        vmm.get("/version")
        vmm.get("/version")
        first = vmm.get("/metrics")
        expect(first["get_api_requests"]["vmm_version_count"] == 2, first["get_api_requests"])
        vmm.get("/version")
        vmm.boot()
        vmm.do("PUT", "/actions", {"action_type": "FlushMetrics"})
        vmm.do("PUT", "/actions", {"action_type": "FlushMetrics"})
        lines = [json.loads(line) for line in read("counted").splitlines()]
        counts = [line["get_api_requests"]["vmm_version_count"] for line in lines]
        expect(counts == [0, 3, 0], "the file says", counts)
        expect(vmm.get("/metrics")["get_api_requests"]["vmm_version_count"] == 3)
        vmm.get("/version")
        vmm.do("PUT", "/actions", {"action_type": "Stop"})
        expect(vmm.wait() == 0)
        last = json.loads(read("counted").splitlines()[-1])
        expect(last["get_api_requests"]["vmm_version_count"] == 1, "the line at the end is", last)


def main():
    prepare_host()
    check_validator()
    check_coverage()
    check_states()
    check_stop()
    check_bad_requests()
    check_host()
    check_clock()
    check_events()
    with test("operations that work have been seen to work"):
        for row in TABLE:
            template, _ = CONTRACT.operation(row.method, row.path)
            good = 200 if row.method == "GET" else 204
            # With a Linux guest: balloon.sh.
            if row.words is not INACTIVE and (not row.needs or CAPABILITIES[row.needs]):
                expect((row.method, template, good) in CONTRACT.seen, "never:", row)
    done()


main()
