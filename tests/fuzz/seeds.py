# SPDX-License-Identifier: Apache-2.0
#
# What fuzzers start from: small inputs that are right, or nearly, made anew each time so that git
# need not hold them. make_seeds(NAME, FOLDER) writes those of one fuzzer.
import gzip
import json
import os
import struct
import zlib


def image(text_offset=0, image_size=0x10000, body=b"\x1f\x20\x03\xd5" * 64):
    """A kernel: the header of Linux's Documentation/arch/arm64/booting.rst and some NOPs."""
    return struct.pack("<IIQQQQQQ4sI", 0x14000010, 0, text_offset, image_size, 0xa, 0, 0, 0,
                       b"ARM\x64", 0) + body


def zboot(payload, compression=b"gzip", offset=64, size=None):
    size = len(payload) if size is None else size
    return struct.pack("<4s4sIIII32sII", b"MZ\0\0", b"zimg", offset, size, 0, 0, compression,
                       0x818223cd, 0) + payload


def image_seeds():
    packed = gzip.compress(image(), mtime=0)
    yield image()
    yield image(body=bytes(12000))
    yield image(text_offset=0x80000, image_size=0)
    yield image(text_offset=0x1ff000, image_size=0x400000)
    yield image(image_size=1 << 40)
    yield packed
    yield packed[:-20]
    yield packed + b"more"
    yield gzip.compress(image(body=bytes(1 << 16)), mtime=0)
    yield gzip.compress(image(body=bytes(8 << 20)), mtime=0)  # more than RAM holds
    yield gzip.compress(b"no kernel" * 20, mtime=0)
    yield zboot(packed)
    yield zboot(packed, offset=65)
    yield zboot(packed, size=0xffffffff)
    yield zboot(packed, compression=b"zstd22")
    yield from (b"\x7fELF" + bytes(60), b"MZ" + bytes(100), b"#!/bin/sh\n", b"070701" + bytes(104),
                b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", bytes(0x202) + b"HdrS", b"")


def config_file_seeds():
    boot = {"kernel_image_path": "/dev/null", "boot_args": "console=ttyS0 quiet", "initrd_path": "/dev/null"}
    machine = {"vcpu_count": 2, "mem_size_mib": 256, "smt": False, "track_dirty_pages": False,
               "cpu_template": "None", "huge_pages": "None"}
    logger = {"log_path": "log", "level": "Info", "show_level": True, "show_log_origin": True,
              "module": "api"}
    whole = {"boot-source": boot, "machine-config": machine, "drives": [], "network-interfaces": [],
             "pmem": [], "logger": logger}
    yield json.dumps(whole).encode()
    yield json.dumps(whole, indent=1).encode()
    yield json.dumps({"boot-source": {"kernel_image_path": "/dev/null"}, "drives": []}).encode()
    for name in ("balloon", "cpu-config", "metrics", "mmds-config", "vsock", "entropy", "memory-hotplug"):
        yield json.dumps({**whole, name: {}}).encode()
    features = [{"index": 0, "bitmap": "0b1xx_x11"}, {"index": 1, "bitmap": "0b"}, {"index": 0, "bitmap": "0b1000"}]
    registers = [{"addr": "0x603000000013c020", "bitmap": "0bx1x0" + "x" * 60}, {"addr": "0x1", "bitmap": "0b1"},
                 {"addr": "0x6040000000100000", "bitmap": "0b" + "1" * 129}]
    yield json.dumps({**whole, "cpu-config": "/dev/null"}).encode()
    for cpu in ({"vcpu_features": features[:1], "reg_modifiers": registers[:1]}, {"vcpu_features": features},
                {"reg_modifiers": registers}, {"kvm_capabilities": ["!121"]}, {"reg_modifiers": registers[:1] * 70}):
        yield json.dumps({**whole, "cpu-config": cpu}).encode()
    yield json.dumps({**whole, "metrics": {"metrics_path": "m", "emit_id": True, "properties": {"a": "b"}}}).encode()
    for change in ({"vcpu_count": 0}, {"vcpu_count": 33}, {"mem_size_mib": 1}, {"mem_size_mib": -1},
                   {"mem_size_mib": 2 ** 31}, {"vcpu_count": 1.5}, {"smt": None}, {"other": 1}):
        yield json.dumps({**whole, "machine-config": {**machine, **change}}).encode()
    for args in ("x" * 2030, "x" * 4000, "\u00e9", "a\nb", "console=ttyS0 " + "y" * 2000, "", "a\0b"):
        yield json.dumps({**whole, "boot-source": {**boot, "boot_args": args}}).encode()
    yield json.dumps({**whole, "drives": [{"drive_id": "rootfs"}]}).encode()
    yield json.dumps({**whole, "vsock": {"guest_cid": 3, "uds_path": "v"}, "balloon": {
        "amount_mib": 64, "deflate_on_oom": True}, "network-interfaces": [
            {"iface_id": "a", "host_dev_name": "tap0", "guest_mac": "06:00:00:00:00:01"}]}).encode()
    yield b'{"drives": [], "drives": []}'
    yield b"[" * 3000


def serial_seeds():
    read, write, receive, outside, many = 0, 1, 2, 3, 33
    start = [(write, 1, 0), (write, 3, 0x80), (write, 0, 1), (write, 1, 0), (write, 3, 3), (write, 2, 7),
             (write, 4, 0xb), (write, 1, 5), (read, 2, 0), (read, 5, 0), (read, 6, 0)]
    hello = [(write, 0, byte) for byte in b"hello\n"]
    type_in = [(receive, 30, 0)] + [(read, 0, 0), (read, 5, 0)] * 12
    flood = [(many, 252, ord("x"))] * 20 + [(read, 2, 0)]
    loopback = [(write, 4, 0x1f)] + hello + [(read, 6, 0)] + [(read, 0, 0)] * 7
    wide = [(kind | width << 2 | far, 255, 255) for kind in (read, write) for width in range(4) for far in (0, 16)]
    for kind in range(3):
        for operations in (start, start + hello, start + type_in, start + flood + [(outside, 1, 0)] * 3,
                           start + loopback, start + wide, start + type_in * 12 + flood + hello):
            yield bytes([kind]) + b"".join(map(bytes, operations))


def bodies_seeds():
    register = {"addr": "0x603000000013c020", "bitmap": "0b1x0"}
    bucket = {"size": 1000, "refill_time": 100, "one_time_burst": 5}
    for which, body in (
            (0, {"kernel_image_path": "/dev/null", "boot_args": "console=ttyS0", "initrd_path": "/dev/null"}),
            (1, {"vcpu_count": 2, "mem_size_mib": 256, "smt": False, "huge_pages": "None"}),
            (2, {"vcpu_count": 2}), (2, {}), (3, {"vcpu_features": [{"index": 0, "bitmap": "0b1xxxx"}]}),
            (3, {"reg_modifiers": [register] * 3}), (3, {"kvm_capabilities": ["!121"]}),
            (4, {"log_path": "l", "level": "Info", "show_level": True}),
            (5, {"metrics_path": "m", "emit_id": True, "properties": {"a": "b"}}), (6, {"serial_out_path": "s"}),
            (7, {"state": "Resumed", "clock": "frozen"}), (7, {"state": "Paused"}),
            (8, {"action_type": "InstanceStart"}), (8, {"action_type": "Stop"}),
            (9, {"iface_id": "a", "host_dev_name": "tap0", "guest_mac": "06:00:00:00:00:aF", "mtu": 1500,
                 "rx_rate_limiter": {"ops": bucket}, "tx_rate_limiter": {"bandwidth": bucket}}),
            (9, {"iface_id": "a", "host_dev_name": "fd:3", "guest_mac": None}),
            (10, {"iface_id": "a", "rx_rate_limiter": {"ops": bucket}}),
            (11, {"guest_cid": 3, "uds_path": "v", "vsock_id": "x"}),
            (12, {"amount_mib": 64, "deflate_on_oom": True, "stats_polling_interval_s": 1,
                  "free_page_hinting": True, "free_page_reporting": False}),
            (13, {"amount_mib": 1}), (13, {"stats_polling_interval_s": 1}), (13, {"acknowledge_on_stop": True})):
        yield bytes([which]) + json.dumps(body).encode()


def api_seeds():
    """The letters are those of api_fuzz.c."""
    def line(letter, body=None):
        return letter + ("" if body is None else json.dumps(body)) + "\n"

    action, balloon, boot, drive, entropy = "C", "E", "L", "O", "R"
    logger, machine, metrics, net, serial = "T", "V", "Y", "[", "]"
    create, load, vm, vsock = "^", "_", "`", "b"
    bucket = {"size": 1000, "refill_time": 100, "one_time_burst": 5}
    limiter = {"ops": bucket, "bandwidth": bucket}
    start = line(machine, {"vcpu_count": 2, "mem_size_mib": 32, "track_dirty_pages": True}) + \
        line(boot, {"kernel_image_path": "k", "boot_args": "console=ttyS0"})
    devices = line(drive, {"drive_id": "d", "path_on_host": "d", "is_root_device": True, "io_engine": "Sync",
                           "rate_limiter": limiter}) + \
        line(net, {"iface_id": "n", "host_dev_name": "t", "rx_rate_limiter": limiter}) + \
        line(vsock, {"guest_cid": 3, "uds_path": "v"}) + line(entropy, {"rate_limiter": limiter}) + \
        line(balloon, {"amount_mib": 4, "deflate_on_oom": True, "stats_polling_interval_s": 1, "free_page_hinting": True})
    go = line(action, {"action_type": "InstanceStart"})
    pause, resume = line(vm, {"state": "Paused"}), line(vm, {"state": "Resumed"})
    every = "".join(chr(ord("A") + n) + "\n<\n" for n in range(34))
    whole = {"snapshot_path": "s2", "mem_file_path": "m2"}
    backend = {"backend_path": "m", "backend_type": "File"}
    snapshot = {"snapshot_path": "s", "mem_backend": backend, "resume_vm": True}
    texts = [
        every, start + devices + go + every + pause + every + resume,
        start + go + pause + line(create, whole) + "~\n~\n~\n<\n" + line(create, {
            **whole, "snapshot_type": "Diff", "mode": "0640", "sync_snapshot_files": False}) + "~\n~\n" + resume,
        start + go + pause + line(create, whole) + resume + "~\n",
        line(load, snapshot) + "<\n" + every,
        line(load, {**snapshot, "mem_backend": {**backend, "backend_type": "Eager"}, "resume_vm": False,
                    "track_dirty_pages": True, "clock": {"policy": "continuous"}}) + "<\n" + resume + pause,
        line(load, {**snapshot, "mem_backend": {"backend_path": "u", "backend_type": "Uffd"}}) + "~\n<\n",
        line(load, {"snapshot_path": "s", "mem_file_path": "m", "drive_overrides": [
            {"drive_id": "d", "path_on_host": "k"}]}) + "<\n",
        line(load, {"snapshot_path": "m", "mem_file_path": "m"}) + "<\n",
        line(logger, {"log_path": "l", "level": "Debug", "show_level": True}) + line(metrics, {
            "metrics_path": "x", "emit_id": True, "properties": {"a": "b"}}) + line(serial, {"serial_out_path": "o"}) +
        start + go + line(action, {"action_type": "FlushMetrics"}) + line(action, {"action_type": "SendCtrlAltDel"}),
        start + devices + go + line("P", {"drive_id": "d", "path_on_host": "k", "rate_limiter": limiter}) +
        line("\\", {"iface_id": "n", "tx_rate_limiter": limiter}) + line("F", {"amount_mib": 2}) +
        line("H", {"stats_polling_interval_s": 2}) + line("I", {"acknowledge_on_stop": True}) + line("K") + "<\n",
        "S\n.\n" + start + go + "-\n<\n" + ".\nS\n" * 6 + pause + "<\n-\n-\n",
        "!GET /version HTTP/1.1\n!\n<\n!PUT /vm HTTP/1.1\n!Expect: 100-continue\n!Content-Length: 4\n!\n<\n!{}\n<\n",
        "!GET / HTTP/1.0\n!\n<\n", "!\x16\x03\x01\n<\n" + "!x\n" * 5, ".\n" * 12 + "<\n", start + go + pause +
        line(vm, {"state": "Resumed", "clock": "continuous"}) + line(action, {"action_type": "Stop"}),
    ]
    overrides = {"network_overrides": [{"iface_id": "n", "host_dev_name": "t", "vhost": False}],
                 "vsock_override": {"uds_path": "v"}, "drive_overrides": [{"drive_id": "d", "path_on_host": "d"}] * 2}
    texts += [line(load, {**snapshot, **dict([member])}) + "<\n" for member in overrides.items()]
    texts.append(line(load, {"snapshot_path": "s"}) + line(load, {**snapshot, "mem_file_path": "m"}) + line(
        load, {**snapshot, "network_overrides": 5}) + line(load, {**snapshot, "record_working_set": True}) + resume + pause)
    texts.append(line("W", {}) + line("W", {"vcpu_count": 1}) + line(logger, {"level": "Loud"}) + line(
        logger, {"log_path": "no/l"}) + line(metrics, {"metrics_path": "no/m"}) + line(serial, {"serial_out_path": "no/s"}))
    for name in ("", "a-b", "x" * 65):
        texts.append(f"!PUT /drives/{name} HTTP/1.1\n!Content-Length: 2\n!\n!{{}}\n<\n")
    for mode in ("0640", "9", "0", "07777"):
        texts.append(start + go + pause + line(create, {**whole, "mode": mode}) + "~\n~\n<\n")
    for text in texts:
        yield text.encode()


def client_seeds():
    status, clock, metrics, events, pause, get, clock_json, resume, put, perf, trace, snapshot, events_json = range(13)

    def answer(body, status="200 OK", more=""):
        return f"HTTP/1.1 {status}\r\n{more}Content-Length: {len(body)}\r\n\r\n{body}".encode()

    def chunks(*lines):
        return b"HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n" + \
            b"".join(f"{len(text) + 1:x}\r\n{text}\n\r\n".encode() for text in lines)

    told = json.dumps({
        "hz": 62500000, "host_counter": 1 << 40, "offset": -5, "guest_counter": (1 << 40) + 5,
        "host_monotonic_raw_ns": 1 << 50, "paused": False, "pauses": 1, "resumes": 1, "history": [
            {"event": "pause", "guest_counter": 7, "paused_ns": 5, "policy": "frozen", "error_ns": 1}] * 3})
    state = json.dumps({"id": "x", "state": "Running", "vmm_version": "1.17.0", "app_name": "Firecracker"})
    event = '{"seq":1,"time_us":2,"event":"paused","reason":"a \\u0007 b","dropped":%d}'
    for piece in (0, 1, 7, 0x40, 0x80, 0x9f):
        yield bytes([status, piece]) + answer(state)
        yield bytes([clock, piece]) + answer(told)
        yield bytes([events, piece]) + chunks(event % 0, event % 3, "{}", "[]", "x") + b"0\r\n\r\n"
    for which in (clock_json, perf, trace):
        yield bytes([which, 0]) + answer(told)
    done = answer("", "204 ")
    yield bytes([snapshot, 0]) + answer(state) + done * 3
    yield bytes([snapshot, 0x45]) + answer(state) + done + answer('{"fault_message":"x"}', "400 ") + done
    yield bytes([snapshot, 0]) + answer('{"state":"Paused"}') + done
    yield bytes([snapshot, 0]) + answer('{"state":5}')
    yield bytes([events_json, 9]) + chunks(event % 0, event % 3)
    # Without an end: a body, a line, a head.
    yield bytes([get, 0x20]) + b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 3000
    yield bytes([events, 0x20]) + b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 3000
    yield bytes([status, 0x20]) + b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 500
    yield bytes([metrics, 3]) + answer(json.dumps({"a": {"b": 1, "c": 0}, "utc_timestamp_ms": 5}))
    yield bytes([get, 0]) + answer("[" * 400)
    yield bytes([put, 0]) + answer('{"fault_message":"no \\n\\u001b[2J"}', "400 ")
    yield bytes([pause, 0]) + b"HTTP/1.1 204 \r\nConnection: keep-alive\r\n\r\n"
    yield bytes([resume, 0x80]) + b"HTTP/1.1 100 \r\n\r\nHTTP/1.1 204 \r\n\r\n"
    yield bytes([status, 0]) + b"HTTP/1.1 200 OK\r\n\r\n" + state.encode()
    yield bytes([events, 0x21]) + b"HTTP/1.1 400 \r\nContent-Length: 2\r\n\r\n{}"


def http_seeds():
    get = b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n"
    put = b"PUT /vm HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n{}\r\n"
    chunked = b"PATCH http://h/x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    for text in (get, put, chunked, get * 3 + put, b"POST / HTTP/1.1\r\n\r\n", b"GET /" + b"a" * 1100,
                 b"GET / HTTP/1.0\r\nConnection: close\r\n\r\n" + get, b"\x16\x03\x01",
                 b"GET / HTTP/1.1\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n" + get,
                 b"PUT / HTTP/1.1\r\nContent-Length: 65\r\n\r\n" + b"x" * 65):
        yield b"\3" + text


def filter_seeds():
    """docs/seccomp.md; core/seccomp/filter_file.h"""
    ops = [{"index": n % 6, "type": ("dword", "qword")[n % 2], "op": op, "val": n, "comment": "why"}
           for n, op in enumerate(("eq", "ne", "gt", "ge", "lt", "le", {"masked_eq": 4}))]
    rules = [{"syscall": "read"}, {"syscall": "clone3", "action": {"errno": 38}}, {"syscall": "write", "args": ops[:6]},
             {"syscall": "mmap", "args": ops[6:]}, {"syscall": "tgkill", "args": [
                 {"index": 0, "type": "dword", "op": "eq", "val": "own_pid"}]},
             {"syscall": "ioctl", "args": [{"index": 1, "type": "dword", "op": "eq", "val": -2147483648}]}]
    one = {"default_action": "trap", "filter_action": "allow", "filter": rules}
    other = {"default_action": {"trace": 7}, "filter_action": {"errno": 4095}, "filter": rules[:1]}
    for document in ({"vcpu": one}, {"vmm": one, "api": one, "vcpu": other}, {"main": other, "setup": one}, {"api": other}, {}):
        yield b"\0" + json.dumps(document).encode()
        yield b"\2" + json.dumps(document, indent=1).encode()

    def program(thread, *code):
        return struct.pack("<II", thread, len(code)) + b"".join(struct.pack("<HBBI", *part) for part in code)

    load, allow, trap = (0x20, 0, 0, 0), (6, 0, 0, 0x7fff0000), (6, 0, 0, 0x30000)
    yield b"\1" + program(2, allow)
    yield b"\1" + program(1, load, (0x15, 0, 1, 64), allow, trap) + program(2, (0x20, 0, 0, 20), (0x54, 0, 0, 4),
                                                                            (0x25, 1, 0, 3), (0x05, 0, 0, 1), allow, trap)
    yield b"\1" + program(0, *[load] * 4095, allow)[:4000]
    yield b"\1" + program(1, load, (0x15, 2, 1, 64), allow, trap)
    yield b"\1" + program(1, load, (0x05, 0, 0, 2), allow, trap)
    yield b"\1" + program(9, allow) + program(2, trap) + program(2, trap)


def mmds_seeds():
    syn, ack, fin, psh = 2, 16, 1, 8

    def segment(flags, length=0, port=1, seq=0, window=0xffff):
        return struct.pack("<BBBBBB2s", 1, port, flags, seq & 0xff, 0, length, struct.pack(">H", window))

    tick = struct.pack("<BBBBBBH", 3, 0, 0, 255, 0, 0, 0)
    ipv4 = bytes(12) + b"\x08\0\x45" + bytes(8) + b"\6" + bytes(6) + bytes((169, 254, 169, 254)) + b"\0\1\0\x50"
    arp = bytes(12) + b"\x08\6\0\1\x08\0\6\4\0\1" + bytes(16) + bytes((169, 254, 169, 254))
    hello = segment(syn) + segment(ack)
    for frame in (ipv4, arp):
        yield struct.pack("<BBBBBBH", 0, 0, 0, 0, 0, len(frame), 0) + frame + tick
    for asked in (252, 253):
        yield hello + segment(ack | psh, asked) + segment(ack) + segment(ack | fin) + segment(ack)
    yield hello + segment(ack, 254) + segment(ack, 255) + segment(ack | fin) + tick * 9
    yield hello + segment(ack, 252, window=1) + tick * 4 + segment(ack) * 9 + segment(4)
    yield b"".join(segment(syn, 0, port) for port in range(40)) + tick * 3


def codec_seeds():
    begin, end, u16, u64, boolean, count, string, nothing, some = 0, 1, 2, 3, 4, 13, 6, 231, 15
    empty = struct.pack("<4sI", b"fuzz", 0)
    plans = (([u64, u16, boolean, count, string, some],
              bytes(10) + b"\1" + struct.pack("<I", 9) + struct.pack("<I", 3) + b"abc" + bytes(15)),
             ([begin, end, begin, end], empty * 2), ([begin, begin, end, end], struct.pack("<4sI", b"fuzz", 8) + empty))
    for steps, data in plans:
        yield bytes(steps + [nothing] * (16 - len(steps))) + data


def state_file_seeds():
    """snapshot/FORMAT.md"""
    def section(tag, content):
        return tag + struct.pack("<I", len(content)) + content

    def text(value):
        return b"\1" + struct.pack("<I", len(value)) + value

    limiter = bytes(48)
    drive = section(b"driv", text(b"rootfs") + text(b"/disk") + b"\0" + b"\1\0\0\0" + limiter)
    net = section(b"net ", text(b"eth0") + text(b"tap0") + b"\1" + bytes(6) + b"\x78\5" + 2 * limiter)
    conf = struct.pack("<IQ", 2, 128) + text(b"Image") + b"\0" + text(b"console=ttyS0") + bytes(1 + 21) + \
        b"\1\0\0\0" + drive + b"\1\0\0\0" + net + section(b"vsoc", struct.pack("<I", 3) + b"\0\0") + \
        section(b"ball", bytes(10)) + b"\1" + limiter
    time = struct.pack("<IQQQ", 62500000, 1 << 40, 100, 7) + text(b"0b0b")[1:] + bytes(33)
    devices = section(b"boot", b"\1") + section(b"rtc ", bytes(16)) + section(b"gpio", bytes(10)) + b"\1" + \
        section(b"uart", bytes(8) + text(b"ls")[1:] + bytes(4))
    device = section(b"virt", struct.pack("<IIQ", 2, 1, 1 << 32) + bytes(24) + bytes(35) + bytes(88))
    registers = struct.pack("<I", 2) + struct.pack("<QQ", 0x6030000000100000, 9) + \
        struct.pack("<Q", 0x6040000000100054) + bytes(16)
    body = section(b"snid", bytes(range(16)) + struct.pack("<Q", 0x40000)) + \
        section(b"head", text(b"0.1")[1:] + text(b"6.12")[1:] + b"\0\x10\0\0") + section(b"conf", conf) + \
        section(b"disk", bytes(40)) + section(b"time", time) + section(b"arch", bytes(77)) + \
        section(b"devs", devices) + section(b"virt", struct.pack("<II", 1, 2) + device) + \
        section(b"vclk", bytes(21)) + section(b"vcpu", registers + bytes(14)) + section(b"gic ", bytes(100))
    file = b"\x8bstas\r\n\x1a" + struct.pack("<HHIQ", 1, 0, 0, len(body)) + body
    whole = file + struct.pack("<I", zlib.crc32(file))
    newer = file[:10] + b"\7" + file[11:]
    yield b"\1" + body
    yield b"\1" + body + section(b"new!", bytes(9))
    yield b"\1" + section(b"virt", b"\xff" * 8)
    yield b"\0" + whole
    yield b"\0" + newer + struct.pack("<I", zlib.crc32(newer))
    yield b"\0" + whole[:-1]
    yield b"\0" + whole[:24]
    ranges = ([(7, 2), (0, 1), (32767, 1)], [(0, 32768)], [], [(1, 1)] * 400)
    for chosen in ranges:
        yield b"\1" + section(b"wset", bytes(16) + struct.pack("<QI", 128 << 20, len(chosen)) +
                              b"".join(struct.pack("<II", *pages) for pages in chosen))


def virtio_balloon_seeds():
    client, size, snapshot, restart, send = 0, 1, 2, 3, 4
    target, begin, end, interval, status, numbers = range(6)
    inflate, deflate, statistics, hinting, reporting = range(5)

    def op(kind, queue=0, value=0, buffers=((0, 0),), writable=0):
        where, lengths = zip(*(list(buffers) + [(0, 0)] * (4 - len(buffers))))
        return struct.pack("<BBBB4H4HI", kind, queue, len(buffers) - 1, writable, *where, *lengths, value)

    def pages(queue, *numbers):
        return op(send, queue, buffers=((0, 4 * len(numbers)),)) + struct.pack(f"<{len(numbers)}I", *numbers).ljust(24, b"\0")

    def command(number):
        return op(send, hinting, buffers=((0, 4),)) + struct.pack("<I", number).ljust(24, b"\0")

    free = ((0, 512), (4096, 256), (33, 300))
    for flags in (15, 0):
        yield bytes([flags]) + pages(inflate, 10, 11, 12, 14, 13) + pages(deflate, 10, 11) + op(size, 4, 5)
        yield bytes([flags]) + pages(inflate, 255, 100, 100, 1 << 31, 254) + op(client, target, 1) + op(snapshot)
    yield bytes([15]) + op(send, statistics, buffers=((0, 20),)) + op(client, interval, 5) + op(snapshot) + \
        op(send, statistics, buffers=((0, 100),)) + op(client, numbers) + op(restart)
    yield bytes([15]) + op(client, begin, 1) + command(2) + op(send, hinting, 0, free, 7) + command(0) + op(client, status)
    yield bytes([15]) + op(client, begin) + command(2) + op(snapshot) + op(send, hinting, 0, free, 7) + op(client, end) + op(send, hinting, 0, free, 7)
    yield bytes([15]) + op(send, reporting, 0, free, 7) + op(send, reporting, 0, free, 6) + op(send, reporting, 0, free, 3)
    yield bytes([8]) + op(send, 2, 0, free, 7) + op(restart, 0, 0) + op(send, 2, 0, free, 7)


def virtio_block_seeds():
    def request(kind, sector, writable, *sizes, form=0):
        codes = bytes(sizes).ljust(6, b"\0")
        return struct.pack("<IxxxxQBB6s4B4x", kind, sector, writable, len(sizes) - 1, codes, form, 0, 0, 0)

    status, header, sector, segment = 1, 3, 9, 3     # codes of lengths: 1, 16, 512, 16
    read, write, flush, identify, discard, zeroes = 0, 1, 4, 8, 11, 13
    ranges = struct.pack("<QII", 4, 8, 0) * 2
    for first in range(16):
        yield bytes([first]) + request(read, 3, 6, header, sector, status) + \
            request(write, 5, 4, header, sector, status) + request(flush, 0, 2, header, status) + \
            request(identify, 0, 6, header, 5, status) + request(read, 63, 6, header, 13, status)
        for kind in (discard, zeroes):
            yield bytes([first]) + request(kind, 0, 4, header, segment, status) + ranges
        yield bytes([first]) + request(read, 1 << 60, 6, header, sector, status, form=1)


def virtio_mmio_seeds():
    read, write, loop, store, start, quiet, state = range(7)

    def op(kind, *rest, bits=0):
        kind = next(n for n in range(bits, 256) if n % 7 == kind and n & 0x70 == bits)
        return bytes([kind, *rest]).ljust(6, b"\0")

    go = op(start, 1, 4, 0, 16, 32)         # 16 entries; avail at 0x100, used at 0x400
    descriptor = op(store, 0, 0, 0x10, 0, 0x80)
    for tail in ((op(loop),), (op(quiet, 1), op(loop)), (op(state, 0, 0, 0), op(loop)), (op(state, 20, 0, 1), op(loop)),
                 (op(write, 0x1c, 0, bits=0x60), op(loop)), (op(read, 0x40, bits=0x60), go, op(loop))):
        yield b"".join((go, descriptor, op(store, 16, 0, 0, 1, 0), *tail))


def virtio_net_seeds():
    transmit, offer, host, other = 0, 2, 4, 5

    def op(kind, *lengths, wrong=0, header=b"", fill=0):
        return struct.pack("<BB4H12sBB", kind, wrong, *(list(lengths) + [0] * (4 - len(lengths))), header, fill, 0)

    segmented = struct.pack("<BBHHHHH", 1, 1, 54, 1448, 34, 16, 0)
    checksum = struct.pack("<BBHHHHH", 1, 0, 0, 0, 34, 16, 0)
    for first in (3, 1):
        yield bytes([first]) + op(transmit, 12, 100, 1400) + op(transmit, 20000, 20000, 20000, header=segmented) + \
            op(transmit, 100, header=checksum) + op(transmit, 30, wrong=0x81)
        yield bytes([first]) + op(offer, 1526) * 3 + op(host, 1514, fill=7) + op(host, 3000) + op(other) + op(host, 60)
        yield bytes([first]) + op(offer, 100, 0, 50) + op(host, 1514) + op(offer, 1526) + op(other, wrong=1) + \
            op(offer, 19999, 19999, 19999) + op(host, 60000, header=segmented) + op(offer, 30, wrong=0x82)


def virtio_vhost_seeds():
    start, kick, use, mark, fail, queue, pause, write, read = range(9)

    def op(kind, queue=0, a=0, b=0):
        return struct.pack("<BBHI", kind, queue, a, b)

    both = op(start, b=0xffffffff) + op(kick) + op(kick, 1)
    for first in (0, 1, 2, 3):
        for refused in (0, 1, 3, 5, 8, 12, 19):
            yield bytes([first, refused]) + both + op(use, 0, 3) + op(mark, b=0x5000) + op(pause) + op(kick) + op(use, 1, 1)
    yield bytes([2, 0]) + both + op(mark, b=5) + op(fail, 1) + op(kick) + both + op(write, a=0x70) + both + op(read, a=0x60)
    yield bytes([2, 0]) + op(start, a=1) + op(kick) + op(start, a=2, b=0xffffffff) + op(kick) + op(queue, 1, 5, 0x304) + op(kick, 1)


def virtio_virtq_seeds():
    start = struct.pack("<BHHHHHB", 4, 0, 0x1000, 0x2000, 0, 0, 1)

    def load(form, value):
        return b"\0" + struct.pack(form, value)

    def descriptor(address, length, flags, follows):
        return load("<Q", address) + load("<I", length) + load("<H", flags) + load("<H", follows)

    use = struct.pack("<HBI", 0, 16, 0)
    yield start + load("<H", 1) + load("<H", 0) + descriptor(0x80003000, 64, 0, 0) + use
    yield start + load("<H", 2) + load("<H", 3) + descriptor(0x80003000, 64, 1, 4) + \
        descriptor(0x80004000, 4096, 2, 0) + use + load("<H", 0) + descriptor(0x80005000, 32, 4, 0) + \
        descriptor(0x80003000, 16, 1, 1) + descriptor(0x80003000, 1, 2, 0) + use
    yield start + load("<H", 1) + load("<H", 15) + descriptor(0x8000fff0, 17, 0, 0)


def virtio_vsock_seeds():
    send, offer, connect, write, read, close, other = range(7)

    def op(kind, port=0, number=0, flags=0, length=0, form=0, alloc=60000, forwarded=0, text=b""):
        return struct.pack("<BBBBHBxIIB15s", kind, port, number, flags, length, form, alloc, forwarded, len(text), text)

    request, response, reset, shutdown, data, update, ask = range(1, 8)
    stream = op(offer) * 3 + op(connect, text=b"CONNECT 52\n") + op(send, 0, response)
    yield stream + op(write, text=b"hello") + op(send, 0, data, length=5000) + op(read) + op(send, 0, shutdown, 2) + op(close)
    yield stream + op(send, 0, data, length=65000, form=0) * 8 + op(read) * 3 + op(send, 0, shutdown, 3) + op(read)
    yield stream + op(send, 0, update, alloc=2) + op(write, text=b"longer") + op(offer) + op(send, 0, ask) + op(other)
    yield stream + op(send, 0, reset) + op(send, 0, data, length=1) + op(offer) * 3 + op(other, 0, 1) + stream
    yield op(offer) + op(send, 9, request) + op(send, 9, data, length=100) + op(read, 1) + op(write, 1, text=b"x") + op(close, 1) + op(offer)
    yield op(offer) + op(connect, text=b"CONNECT x\n") + op(connect, text=b"GET / HTTP/1.1") + \
        b"".join(op(send, 0, number, form=1 << bit) for number in range(9) for bit in range(6))


def vm_snapshot_seeds():
    overwrite, insert, remove, flip = range(4)

    def edit(what, at, data):
        return struct.pack("<BHB", what, at, len(data)) + data

    for model in (0, 1, 2, 3, 0x20, 0x23, 0x40, 0x80, 0x81, 0x83):
        yield bytes([model])
        for at in range(0, 1800, 60):
            yield bytes([model]) + edit(flip, at, b"\x01") + edit(overwrite, at + 30, bytes(4))
    yield b"\0" + edit(remove, 100, b"\x08")
    yield b"\0" + edit(remove, 4000, b"")
    yield b"\0" + edit(insert, 100, b"\xff" * 8) + edit(flip, 300, b"\x80" * 20)


def vmm_seeds():
    read, write, start, describe, _, publish, _, store, host, pause, answer, vcpu = range(12)
    balloon, sync, asynchronous, network, vsock, entropy = range(6)

    def op(kind, where=0, a=0, b=0):
        return struct.pack("<BBHI", kind, where, a, b)

    def desc(slot, queue, index, at, code, write=False, follows=None):
        flags = (2 if write else 0) | (0 if follows is None else 1)
        return op(describe, slot + 6 * queue, index, at | flags << 16 | code << 19 | (follows or 0) << 27)

    def words(at, data):
        """Stores four bytes at a time."""
        data = data.ljust((len(data) + 3) // 4 * 4, b"\0")
        return b"".join(op(store, 0, (at + i) // 4, struct.unpack_from("<I", data, i)[0]) for i in range(0, len(data), 4))

    def put(slot, queue, *buffers):
        """A chain of (offset, code of the length, whether it is written)."""
        chain = b"".join(desc(slot, queue, i, *buffer, i + 1 if i + 1 < len(buffers) else None)
                         for i, buffer in enumerate(buffers))
        return chain + op(publish, slot + 6 * queue)

    everything = b"".join(op(start, slot, 0, 0xffffffff) for slot in range(6))
    one, pfns, sixteen, header, packet, frame, sector = 0, 1, 2, 2, 3, 5, 6
    disk = words(0, struct.pack("<IIQ", 1, 0, 3)) + b"".join(
        put(slot, 0, (0, header, False), (64, sector, False), (1024, one, True)) for slot in (sync, asynchronous))
    flush = words(0, struct.pack("<IIQ", 4, 0, 0)) + put(asynchronous, 0, (0, header, False), (1024, one, True))
    random = put(entropy, 0, (2048, 10, True))
    net = put(network, 0, (4096, frame, True)) + op(host, 0, 1000, 7) + put(network, 1, (0, 11, False), (64, sector, False))
    inflate = words(0, struct.pack("<I", 0x80000 + 2112 + 8)) + put(balloon, 0, (0, pfns, False))
    stream = words(0, struct.pack("<QQIIIHHIIII", 3, 2, 1000, 52, 0, 1, 1, 0, 65536, 0, 0)[:44]) + \
        put(vsock, 1, (0, packet, False)) + put(vsock, 0, (4096, frame, True)) + op(host, 1, 0, 2) + op(host, 1, 0, 0x6110)
    again = op(pause, 0, 0) + op(pause, 0, 1) + disk + op(pause, 0, 3) + op(pause, 0, 7)
    registers = b"".join(op(kind, where, a | 2 << 12, 0x1234567) for kind in (read, write)
                         for where in range(10) for a in (0, 4, 8, 0x10, 0x30, 0x38, 0x70, 0x100))
    # What devices write between two snapshots, in pages that the guest left alone.
    save, fill = op(pause, 0, 1), words(0x8000, b"what will be discarded") + words(0x4000, b"what a frame will be in")
    late = fill + put(network, 0, (0x4000, frame, True)) + inflate[:-8] + save + op(host, 0, 1000, 7) + inflate[-8:] + save + \
        put(entropy, 0, (0x3000, 10, True))[:-8] + save + op(publish, entropy) + save + op(pause, 0, 3)
    dropped = put(network, 0, (0x4000, frame, True)) + op(host, 0, 1000, 0x1ff) + save
    for flags in range(4):
        yield bytes([flags]) + everything + late
        yield bytes([flags]) + op(start, network, 0, 0) + fill + save + dropped
        for part in (disk, flush, random, net, inflate, stream):
            yield bytes([flags]) + everything + part + again + part + op(answer, 0, 0, 3) + op(answer, 0, 0, 0) + again
        yield bytes([flags]) + registers + again + everything + registers
        yield bytes([flags]) + everything + b"".join(
            op(vcpu, where, 0x2030, 0xff) + op(host, n, n, n * 77) for n, where in enumerate(range(8))) + again
        yield bytes([flags]) + everything + disk + b"".join(op(host, 4, a, 0x50005) for a in range(32)) + again + disk


def trace_seeds():
    """trace-cmd's files, version 7, and answers of GET /clock."""
    def option(number, data):
        return struct.pack("<HI", number, len(data)) + data

    def section(place, options, following):
        next_at = place + 16 + len(options) + 14 if following else 0
        return struct.pack("<HHIQ", 0, 0, 0, len(options) + 14) + options + option(0, struct.pack("<Q", next_at))

    def file(clock=b"mono_raw", version=b"7"):
        head = b"\x17\x08Dtracing" + version + b"\0\0\x08\0\x10\0\0none\0\0"
        head = (head + struct.pack("<QHHIQ", 64, 3, 0, 0, 16)).ljust(64, b"\xee")
        stat = b"CPU: 0\noldest event ts:     3.358591\nnow ts:     4.000000\n"
        first = section(64, option(2, stat) + option(8, struct.pack("<I", 2)) + option(11, bytes(range(8))), True)
        buffer = struct.pack("<Q", 32) + b"\0" + clock + b"\0" + struct.pack("<III", 4096, 1, 0) + struct.pack("<QQ", 48, 16)
        return head + first + section(64 + len(first), option(3, buffer), False)

    yield b"\0" + file()
    yield b"\0" + file(clock=b"local")
    yield b"\0" + file(version=b"6")
    events = [{"guest_counter": 0, "offset": 500}, {"guest_counter": 2000, "offset": 500},
              {"guest_counter": 2000, "offset": 1500}]
    answer = {"hz": 62500000, "host_counter": 5000, "offset": 1500, "guest_counter": 3500,
              "host_monotonic_raw_ns": 57000, "vcpu_threads": [4711, 4712], "history": events}
    yield b"\1" + json.dumps(answer).encode()
    yield b"\1" + json.dumps({**answer, "hz": 1, "history": events * 30}).encode()


SEEDS = {"api": api_seeds, "bodies": bodies_seeds, "client": client_seeds, "codec": codec_seeds, "config_file": config_file_seeds, "filter": filter_seeds,
         "http": http_seeds, "image": image_seeds, "mmds": mmds_seeds, "serial": serial_seeds, "state_file": state_file_seeds, "trace": trace_seeds,
         "virtio_balloon": virtio_balloon_seeds, "virtio_block": virtio_block_seeds, "virtio_mmio": virtio_mmio_seeds, "virtio_net": virtio_net_seeds, "virtio_vhost": virtio_vhost_seeds,
         "virtio_virtq": virtio_virtq_seeds, "virtio_vsock": virtio_vsock_seeds,
         "vm_snapshot": vm_snapshot_seeds, "vmm": vmm_seeds}


def make_seeds(name, folder):
    os.makedirs(folder, exist_ok=True)
    for number, data in enumerate(SEEDS[name]()):
        with open(os.path.join(folder, f"seed-{number:02}"), "wb") as file:
            file.write(data)
