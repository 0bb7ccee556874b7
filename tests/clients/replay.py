# SPDX-License-Identifier: Apache-2.0
#
# Replays what launchers send (README.md) against a VMM, and prints client x step x result.
import concurrent.futures
import glob
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

T = os.environ["T"]
sys.path.insert(0, f"{T}/api")
from harness import (CAPABILITIES, CONTRACT, Answer, UnixConnection, Vmm, done, expect, prepare_host, remove,  # noqa: E402
                     test, until)

HERE = os.path.dirname(os.path.abspath(__file__))
POLL = 0.01
ROWS = []  # (client, step, result)


def has(value, wanted, where="answer"):
    """Every member of `wanted` is in `value`, and equal; "*" is anything."""
    if wanted == "*":
        return
    if isinstance(wanted, dict):
        expect(isinstance(value, dict), where, "is no object:", value)
        for name, member in wanted.items():
            expect(name in value, where, "has no", name, ":", value)
            has(value[name], member, f"{where}.{name}")
    else:
        expect(value == wanted, where, "is", value, "instead of", wanted)


class Client:
    def __init__(self, plan):
        self.plan, self.connection, self.vmm, self.servers = plan, None, None, []
        self.fill = {"@tick": f"{T}/guests/tick.img", "@sock": "vm.sock"}

    def text(self, value):
        """With the places of this host filled in."""
        for name, place in self.fill.items():
            value = value.replace(name, place)
        return value

    def body(self, value):
        return None if value is None else self.text(json.dumps(value)).encode()

    def start(self, arguments):
        if self.vmm:
            self.vmm.kill()
        if self.connection:
            self.connection.close()
        self.connection = None
        arguments = [self.text(word) for word in arguments]
        remove("vm.sock")
        self.vmm = Vmm(*arguments, sock=None)
        self.vmm.sock = "vm.sock"
        ready = self.plan["ready"]
        if ready["by"] == "none":
            return
        until(lambda: os.path.exists("vm.sock"), ready.get("seconds", 5), "the socket")
        if ready["by"] != "stat":
            until(lambda: self.is_ready(ready), ready.get("seconds", 5), ready)

    def is_ready(self, ready):
        try:
            answer = self.send("GET", ready["by"], None)
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        return answer.status == 200 and answer.json().get("state") == ready.get("state", answer.json().get("state"))

    def send(self, method, path, data, alone=False):
        connection = None if alone else self.connection
        connection = connection or UnixConnection("vm.sock", self.plan["timeout"])
        connection.request(method, path, data, self.plan["headers"])
        response = connection.getresponse()
        headers = {name.lower(): value for name, value in response.getheaders()}
        answer = Answer(response.status, response.reason, headers, response.read())
        if self.plan["keep"] and not alone:
            self.connection = connection
        else:
            connection.close()
        CONTRACT.check(method, path, data, answer)
        return answer

    def request(self, step, what, alone=False):
        method, path, *rest = what
        data = self.body(rest[0] if rest else None)
        wanted = step.get("status", 200 if method == "GET" else 204)
        if step.get("fault") or not self.can(step):
            wanted = 400
        for _ in range(1 + (self.plan.get("retry", 0) if wanted < 300 else 0)):
            answer = self.send(method, path, data, alone)
            if answer.status == wanted:
                break
            time.sleep(POLL)
        expect(answer.status == wanted, method, path, "->", answer)
        if wanted == 400:
            expect(set(answer.json()) == {"fault_message"}, answer)
            expect(step.get("fault", "") in answer.fault, answer)
        elif wanted == 204:
            expect(not answer.body and "content-length" not in answer.headers, answer.headers)
        expect(answer.headers["server"] == "Firecracker API", answer.headers)
        expect(bool(step.get("deprecated")) == (answer.headers.get("deprecation") == "true") or wanted == 400,
               "Deprecation:", answer.headers)
        return answer

    def can(self, step):
        return all(CAPABILITIES.get(name, False) for name in step.get("needs", []))

    # Kinds of steps.

    def do_request(self, step):
        answer = self.request(step, step["request"])
        if "until" in step:
            def is_so():
                has(self.request(step, step["request"]).json(), step["until"])
                return True
            until(is_so, 5, step["until"])
        if "answer" in step and answer.status == 200:
            has(answer.json(), step["answer"])

    def do_parallel(self, step):
        with concurrent.futures.ThreadPoolExecutor(len(step["parallel"])) as pool:
            for result in [pool.submit(self.request, step, what, True) for what in step["parallel"]]:
                result.result()

    def do_ticks(self, step):
        self.vmm.ticking(20)

    def do_metrics(self, step):
        """Firecracker's validator takes the last line, without what is ours."""
        with open(step["metrics"]) as file:
            line = json.loads(file.read().splitlines()[-1])
        ours = line.pop("stasis", None)
        expect((ours is None) == step.get("firecracker_only", False), "stasis:", ours)
        for name in step.get("beside", ()):
            line.pop(name)
        expect(abs(line.pop("utc_timestamp_ms") - time.time() * 1000) < 60000, "utc_timestamp_ms")
        with open(f"{HERE}/metrics.json") as file:
            known = json.load(file)
        groups = known["groups"]
        for name in list(line):
            kind = next((kind for kind in ("block", "net") if name.startswith(f"{kind}_")), name)
            expect(kind in groups, "a group that is not Firecracker's:", name)
            group = line[name]
            expect(sorted(group) == sorted(groups[kind].split()), name, "has", sorted(group))
            for member, value in group.items():
                if member.endswith("_agg"):
                    expect(list(value) == known["latency"], name, member, value)
                else:
                    expect(isinstance(value, int) and value >= 0, name, member, value)
        expect(not set(groups) - set(line), "missing:", set(groups) - set(line))
        has(line, step.get("answer", {}))

    def do_page_server(self, step):
        path, memory = step["page_server"]
        remove(path)
        with open("pager.out", "w") as out:
            self.servers.append(subprocess.Popen([f"{T}/pager", path, memory], stdout=out, stderr=out))
        until(lambda: os.path.exists(path) and "listening" in open("pager.out").read(), 5, "the page server")

    def do_restart(self, step):
        self.start(step["restart"])

    def do_signal(self, step):
        self.vmm.process.send_signal(getattr(signal, step["signal"]))
        status = self.vmm.wait(10)
        wanted = step["status"]
        expect(status == (-getattr(signal, wanted) if isinstance(wanted, str) else wanted), "status", status)
        for line in step.get("log", ()):
            expect(re.search(line, self.vmm.text()), line, self.vmm.text()[-600:])

    def do_wait(self, step):
        status = self.vmm.wait(60)
        expect(status == step["wait"], "status", status, self.vmm.text()[-600:])

    def do_vsock(self, step):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(3)
            connection.connect(step["vsock"][0])
            connection.sendall(step["vsock"][1].encode())
            answer = connection.recv(100).decode()
        expect(answer.startswith(step["answer"]), "vsock:", answer)

    def do_log(self, step):
        for line in step["log"]:
            expect(re.search(line, self.vmm.text()), line, self.vmm.text()[-600:])

    def run(self):
        name = self.plan["client"]
        for path, value in self.plan.get("files", {}).items():
            with open(path, "wb") as file:
                file.write(self.body(value))
        for path in self.plan.get("fifos", ()):
            remove(path)
            os.mkfifo(path, 0o700)
        begin = {"step": "it starts, and the client finds it ready",
                 "restart": self.plan.get("arguments", ["--api-sock", "@sock"])}
        for step in [begin, *self.plan["steps"]]:
            kind = next(kind for kind in ("request", "parallel", "ticks", "metrics", "page_server", "restart",
                                          "signal", "wait", "vsock", "log") if kind in step)
            with test(f"{name}: {step['step']}") as result:
                result.row = (name, step["step"])
                ROWS.append([name, step["step"], "FAILED"])
                getattr(self, f"do_{kind}")(step)
                ROWS[-1][2] = "ok" if self.can(step) else "refused: this build has no " + ", ".join(step["needs"])
        self.vmm.kill()
        for server in self.servers:
            server.kill()
            server.wait()


def main():
    prepare_host()
    for path in sorted(glob.glob(f"{HERE}/*.json")):
        with open(path) as file:
            plan = json.load(file)
        if "client" in plan:
            Client(plan).run()
    for client, step, result in ROWS:
        print(f"# {client:24} {step:60} {result}")
    done()


main()
