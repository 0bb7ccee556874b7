# SPDX-License-Identifier: Apache-2.0
#
# Clients that are slow, wrong, many or hostile. Whatever they do: the guest ticks on, others are
# served, and the VMM gets neither larger nor more descriptors.
import json
import os
import random
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import (CONTRACT, T, Closed, Vmm, done, encode, expect, test, until)  # noqa: E402

CONNECTIONS = 10            # as docs/api.yaml says
BODY = 51200
LINE = 1024
GROWTH_KIB = 160            # heap that may remain from one test to its end
STUCK_KIB = 400             # and while clients are stuck, each of which has a buffer


def anonymous_kib(vmm):
    return int(vmm.status("RssAnon"))


class steady(test):
    """A test at whose end the VMM must be as it was, with its guest alive."""

    def __init__(self, vmm, name):
        super().__init__(name)
        self.vmm = vmm

    def __enter__(self):
        super().__enter__()
        self.descriptors, self.kib = self.vmm.descriptors(), anonymous_kib(self.vmm)
        return self

    def __exit__(self, kind, error, trace):
        if not kind:
            try:
                self.check()
            except Exception as failure:    # as if it had been raised by the block
                return super().__exit__(type(failure), failure, failure.__traceback__)
        return super().__exit__(kind, error, trace)

    def check(self):
        vmm = self.vmm
        until(lambda: vmm.descriptors() <= self.descriptors, 5, "descriptors are given back")
        grown = anonymous_kib(vmm) - self.kib
        expect(grown <= GROWTH_KIB, "it grew by", grown, "KiB")
        vmm.ticking()
        expect(vmm.get("/")["state"] == "Running")


def refusal(connection):
    """The answer to what is no HTTP; then nothing more comes."""
    answer = connection.answer()
    CONTRACT.check("GET", "/", None, answer)
    expect(answer.status == 400 and "error" in answer.json(), answer)
    expect(connection.socket.recv(1) == b"", "the connection stays open")
    return answer.json()["error"]


# --- slow and torn ---------------------------------------------------------------------------


def torn(vmm):
    requests = [encode("GET", "/version"), encode("PATCH", "/vm", {"state": "Resumed"}),
                encode("GET", "/machine-config") + encode("GET", "/")]
    with steady(vmm, "requests that come byte by byte are answered"):
        with vmm.connect() as connection:
            for request in requests:
                for byte in request:
                    connection.send(bytes([byte]))
                    time.sleep(0.0005)
                connection.answer()
            connection.answer()
    with steady(vmm, "requests torn at every place in two"):
        request = encode("PATCH", "/vm", {"state": "Resumed"})
        with vmm.connect() as connection:
            for place in range(1, len(request)):
                connection.send(request[:place])
                time.sleep(0.001)
                connection.send(request[place:])
                expect(connection.answer().status == 204, "at", place)
    with steady(vmm, "nine clients in the middle of a request do not keep the tenth waiting"):
        slow = [vmm.connect() for _ in range(CONNECTIONS - 1)]
        for number, connection in enumerate(slow):
            connection.send(encode("PUT", "/mmds", {"a": "b" * 1000})[:10 + number * 100])
        start = time.monotonic()
        for _ in range(20):
            vmm.get("/")
        expect(time.monotonic() - start < 5, "20 requests took", time.monotonic() - start)
        for connection in slow:
            connection.close()


# --- many ------------------------------------------------------------------------------------


def many(vmm):
    with steady(vmm, "1,000 connections that are opened and closed, with nothing, a part, or all of a request"):
        whole = encode("GET", "/vm/config")
        for number in range(1000):
            with vmm.connect() as connection:
                connection.send((b"", whole[:number % len(whole)], whole)[number % 3])
    with steady(vmm, "the 11th connection is told so and closed, the others go on, and there is room again"):
        connections = [vmm.connect() for _ in range(CONNECTIONS)]
        for connection in connections:
            vmm.request("GET", "/", None, connection)
        with vmm.connect() as one_more:
            answer = one_more.answer()
            CONTRACT.check("GET", "/", None, answer)
            expect(answer.status == 503 and answer.json() == {"error": "Too many open connections"}, answer)
            expect(one_more.socket.recv(1) == b"")
        for connection in connections:
            expect(vmm.request("GET", "/", None, connection).status == 200)
        connections.pop().close()
        until(lambda: served(vmm), 5, "room for another")
        for connection in connections:
            connection.close()
    with steady(vmm, "1,000 requests ahead of the answers: all answered, in order"):
        paths = ["/", "/version", "/machine-config", "/vm/config", "/nothing"]
        wanted = ["state", "firecracker_version", "vcpu_count", "boot-source", "fault_message"]
        with vmm.connect(30) as connection:
            connection.send(b"".join(encode("GET", paths[number % 5]) for number in range(1000)))
            for number in range(1000):
                answer = connection.answer()
                expect(wanted[number % 5] in answer.json(), "number", number, "is", answer)


def served(vmm):
    with vmm.connect() as connection:
        connection.send(encode("GET", "/"))
        return connection.answer().status == 200


# --- large -----------------------------------------------------------------------------------


def large(vmm):
    with steady(vmm, "lines of up to 1024 bytes are taken, longer ones and too many refused"):
        for header in ("X: " + "a" * (LINE - 3),), ("A" * 500 + ": b",) * 1:
            with vmm.connect() as connection:
                expect(vmm.request("GET", "/version", None, connection, header).status == 200, header)
        path = "/" * (LINE - len("GET version HTTP/1.1")) + "version"
        with vmm.connect() as connection:
            connection.send(encode("GET", path))
            expect(connection.answer().status == 200)
        for head in (encode("GET", "/version", None, ["X: " + "a" * 2 * LINE]),
                     encode("GET", "/" + "a" * 2 * LINE),
                     encode("GET", "/", None, ["A" * 2 * LINE + ": b"]),
                     encode("GET", "/version", None, [f"X{n}: {'a' * 500}" for n in range(1000)])):
            with vmm.connect() as connection:
                connection.send(head)
                refusal(connection)
    with steady(vmm, "a body of 51,200 bytes is taken, one more is refused with the numbers"):
        body = json.dumps({"state": "Resumed"}).ljust(BODY)
        expect(vmm.request("PATCH", "/vm", body).status == 204)
        with vmm.connect() as connection:
            connection.send(encode("PATCH", "/vm", body + " "))
            error = refusal(connection)
            expect(f"Request payload with size {BODY + 1} is larger than the limit of {BODY} allowed by server."
                   in error and "All previous unanswered requests will be dropped." in error, error)
    with steady(vmm, "sizes that are none, or two"):
        for headers in (["Content-Length: 99999999999999999999"], ["Content-Length: 9223372036854775807"],
                        ["Content-Length: -1"], ["Content-Length: 0x10"], ["Content-Length: 1,2"],
                        ["Content-Length: 2", "Content-Length: 3"],
                        ["Content-Length: 2", "Transfer-Encoding: chunked"]):
            with vmm.connect() as connection:
                connection.send(encode("PUT", "/vm", None, headers) + b"{}")
                refusal(connection)
    with steady(vmm, "a body in chunks has the same limit, and wrong chunks are refused"):
        head = encode("PATCH", "/vm", None, ["Transfer-Encoding: chunked"])
        for chunks in b"zz\r\n", b"ffffffffffffffffff\r\n", b"5\r\nabcdefgh", b"1000\r\n" + b" " * 4096 + b"\r\n":
            with vmm.connect() as connection:
                try:
                    connection.send(head + chunks * 1000)
                except (BrokenPipeError, ConnectionResetError):
                    pass
                try:
                    expect(connection.answer().status == 400)
                except (Closed, ConnectionResetError):
                    pass
    with Vmm("--http-api-max-payload-size", 100, sock="other.sock") as other, test("--http-api-max-payload-size is the limit"):
        other.do("PUT", "/machine-config", json.dumps({"vcpu_count": 1, "mem_size_mib": 64}).ljust(100))
        with other.connect() as connection:
            connection.send(encode("PUT", "/machine-config", " " * 101))
            expect("size 101 is larger than the limit of 100 allowed" in refusal(connection))


# --- wrong -----------------------------------------------------------------------------------


GARBAGE = [
    b"\r\n" * 100, b"\0" * 1000, b"\xff" * 1000, b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET  / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\nHost: a\n\n", b"GET / HTTP/1.1\r\nNo colon\r\n\r\n", b"GET / HTTP/1.1\r\n: empty\r\n\r\n",
    b"GET / HTTP/1.1\r\nA : b\r\n\r\n", b"GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n", b"GET / HTTP/1.1\r\nA: \0\r\n\r\n",
    b"POST / HTTP/1.1\r\n\r\n", b"OPTIONS * HTTP/1.1\r\n\r\n", b"CONNECT a:1 HTTP/1.1\r\n\r\n", b"get / HTTP/1.1\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(200)),
    b"SSH-2.0-OpenSSH_9.2\r\n", b"{}", b"GET " + b"/" * 5000, b"A" * 100000,
    b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\nGET / HTTP/1.1\r\n\r\n",
]


def shout(vmm, data):
    """Sends it and reads what comes until the server closes, or has nothing more to say."""
    with vmm.connect(5) as connection:
        try:
            connection.send(data)
            connection.socket.shutdown(socket.SHUT_WR)
            while connection.socket.recv(65536):
                pass
        except (BrokenPipeError, ConnectionResetError):
            pass


def wrong(vmm):
    with steady(vmm, "what is no HTTP is refused, and the connection ends"):
        for data in GARBAGE:
            shout(vmm, data)
        with vmm.connect() as connection:
            connection.send(b"POST / HTTP/1.1\r\n\r\n")
            refusal(connection)
    with steady(vmm, "noise, 300 times"):
        dice = random.Random(1)
        start = encode("PATCH", "/vm", {"state": "Resumed"})
        for number in range(300):
            if number % 2:
                shout(vmm, dice.randbytes(dice.randrange(1, 2000)))
            else:   # a request with a few bytes of it changed
                data = bytearray(start)
                for _ in range(dice.randrange(1, 6)):
                    data[dice.randrange(len(data))] = dice.randrange(256)
                shout(vmm, bytes(data))
        until(lambda: vmm.get("/")["state"] == "Running", 1, "Running")
    with steady(vmm, "an answer that nobody waits for, and a connection that is shut halfway"):
        for number in range(200):
            with vmm.connect() as connection:
                connection.send(encode("GET", "/vm/config") * 20)
                if number % 2:
                    connection.socket.shutdown(socket.SHUT_RD)


# --- deaf ------------------------------------------------------------------------------------


def fill(connection, data):
    """Sends until nothing more goes in; how many bytes that were."""
    connection.socket.setblocking(False)
    sent, end = 0, time.monotonic() + 20
    quiet = 0
    while quiet < 20 and time.monotonic() < end:
        try:
            sent += connection.socket.send(data[sent % len(data):])
            quiet = 0
        except BlockingIOError:
            quiet += 1
            time.sleep(0.01)
    connection.socket.setblocking(True)
    connection.socket.settimeout(20)
    expect(quiet, "it takes requests for ever without being read")
    return sent


def deaf(vmm):
    with steady(vmm, "clients that never read: the guest ticks on, others are served, memory is bounded"):
        before = anonymous_kib(vmm)
        connections = [vmm.connect() for _ in range(5)]
        for connection in connections:
            fill(connection, encode("GET", "/vm/config") * 100)
        grown = anonymous_kib(vmm) - before
        expect(grown < STUCK_KIB, "it grew by", grown, "KiB")
        vmm.ticking()
        start = time.monotonic()
        for _ in range(20):
            vmm.get("/")
        expect(time.monotonic() - start < 5, "20 requests took", time.monotonic() - start)
        used = vmm.cpu_ticks()
        vmm.do("PATCH", "/vm", {"state": "Paused"})
        time.sleep(1)
        used = vmm.cpu_ticks() - used
        expect(used < 30, "it spins: 1 s took", used, "hundredths of CPU time")
        vmm.do("PATCH", "/vm", {"state": "Resumed"})
        for connection in connections:
            connection.close()
    with steady(vmm, "one that reads after all gets every answer, in order"):
        with vmm.connect() as connection:
            request = encode("GET", "/version") + encode("GET", "/machine-config")
            sent = fill(connection, request * 100)
            whole = sent // len(request)
            for number in range(whole):
                expect("firecracker_version" in connection.answer().json(), number)
                expect("vcpu_count" in connection.answer().json(), number)
            expect(whole > 100, "only", whole)


# --- events ----------------------------------------------------------------------------------


def subscribe(vmm):
    connection = vmm.connect(20)
    connection.send(encode("GET", "/events"))
    status, _, _ = connection.head()
    expect(status == 200, "status", status)
    return connection


def event(connection):
    chunk = connection.chunk()
    expect(chunk, "the stream ended")
    CONTRACT.check_event(chunk)
    return json.loads(chunk)


def events(vmm):
    with steady(vmm, "a few may read events; one more is refused in words, and orders are still taken"):
        readers = []
        try:
            for _ in range(CONNECTIONS - 1):
                readers.append(subscribe(vmm))
            raise AssertionError("no limit")
        except Exception as failure:
            expect("400" in str(failure), failure)
        expect(2 <= len(readers) < CONNECTIONS - 1, len(readers))
        vmm.do("PATCH", "/vm", {"state": "Resumed"})
        for reader in readers:
            reader.close()
    with steady(vmm, "a reader of events who does not read loses some and is told how many; one who does, none"):
        with subscribe(vmm) as good, subscribe(vmm) as bad, vmm.connect() as orders:
            first = event(good)["seq"]
            expect(event(bad)["seq"] == first)
            count = 0
            for number in range(800):
                for state in "Paused", "Resumed":
                    orders.send(encode("PATCH", "/vm", {"state": state}))
                    expect(orders.answer().status == 204)
                    count += 1
                    told = event(good)
                    expect(told["seq"] == first + count and told["event"] == state.lower() and
                           not told["dropped"], told)
            # What `bad` gets now: the oldest, then one with the number of those it lost.
            seen, last = 0, {"seq": first, "dropped": 0}
            while last["dropped"] == 0 and last["seq"] < first + count:
                told = event(bad)
                lost = told["seq"] - last["seq"] - 1
                expect(told["dropped"] == last["dropped"] + lost, last, "then", told)
                seen, last = seen + 1, told
                # There is room again: the next event must tell of the gap.
                if not pending(bad):
                    expect(count <= 1600, "nothing was lost, and much was kept")
                    vmm.do("PATCH", "/vm", {"state": "Paused"})
                    vmm.do("PATCH", "/vm", {"state": "Resumed"})
                    count += 2
            expect(last["dropped"] > 0 and seen + last["dropped"] == last["seq"] - first, seen, last)


def pending(connection):
    """Whether something is there to be read."""
    if connection.rest:
        return True
    connection.socket.settimeout(0.2)
    try:
        connection.more()
        return True
    except TimeoutError:
        return False
    finally:
        connection.socket.settimeout(20)


# --- idle ------------------------------------------------------------------------------------


def switches(vmm):
    total = 0
    for task in os.listdir(f"/proc/{vmm.pid}/task"):
        with open(f"/proc/{vmm.pid}/task/{task}/status") as file:
            total += sum(int(line.split()[1]) for line in file if "ctxt_switches" in line)
    return total


def idle():
    with Vmm() as vmm, test("an idle VMM never wakes up: before boot, paused, with a client connected"):
        with vmm.connect() as connection:
            vmm.request("GET", "/", None, connection)
            asleep(vmm)
            vmm.boot()
            vmm.ticking(20)
            vmm.do("PATCH", "/vm", {"state": "Paused"})
            time.sleep(0.2)
            asleep(vmm)


def asleep(vmm):
    time.sleep(0.1)
    before = switches(vmm)
    time.sleep(2)
    expect(switches(vmm) == before, "it woke up", switches(vmm) - before, "times in 2 s")


def killed():
    with test("a second VMM can use the path again after the first was killed and its socket removed"):
        for _ in range(3):
            with Vmm() as vmm:
                vmm.get("/")
    with test("a VMM that nobody asks anything ends on SIGTERM with clients connected"):
        with Vmm() as vmm:
            connections = [vmm.connect() for _ in range(CONNECTIONS)]
            vmm.process.terminate()
            vmm.wait(2)
            for connection in connections:
                connection.close()
    with test("stasis --api-sock names what is wrong with a path"):
        for path in "/nowhere/vm.sock", "x" * 200, T:
            result = subprocess.run(["stasis", "--api-sock", path], capture_output=True, text=True, timeout=10)
            text = result.stdout + result.stderr
            expect(result.returncode != 0 and path[:100] in text, path[:30], result.returncode, text)


def main():
    idle()
    killed()
    with Vmm("--level", "Off") as vmm:
        vmm.boot()
        vmm.ticking(20)
        vmm.get("/vm/config")
        torn(vmm)
        many(vmm)
        large(vmm)
        wrong(vmm)
        deaf(vmm)
        events(vmm)
        with test("after all that it ends as it should"):
            vmm.do("PUT", "/actions", {"action_type": "Stop"})
            expect(vmm.wait() == 0)
    done()


main()
