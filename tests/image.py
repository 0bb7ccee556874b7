#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
#
# tools/image on good and on hostile archives; reports in TAP. That what it makes boots is for the
# suite `image`.
import glob
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
KERNEL = f"{ROOT}/out/deps/kernels/6.12"
ARM64 = b"\x7fELF" + bytes(14) + (183).to_bytes(2, "little") + bytes(40)
AMD64 = b"\x7fELF" + bytes(14) + (62).to_bytes(2, "little") + bytes(40)
results = []


def tar(*entries, mode="w"):
    """A tar file of (name, content, attributes): content None for other kinds than files."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:
        for name, content, *more in entries:
            info = tarfile.TarInfo(name)
            info.mode, info.size = 0o755, len(content or b"")
            for key, value in (more[0] if more else {}).items():
                setattr(info, key, value)
            archive.addfile(info, io.BytesIO(content or b""))
    return out.getvalue()


def write(path, data):
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "wb") as file:
        file.write(data if isinstance(data, bytes) else json.dumps(data).encode())


def oci(path, layers, architecture="arm64", config=None):
    """A folder in OCI's layout."""
    def blob(data):
        data = data if isinstance(data, bytes) else json.dumps(data).encode()
        digest = hashlib.sha256(data).hexdigest()
        write(f"{path}/blobs/sha256/{digest}", data)
        return {"digest": f"sha256:{digest}", "size": len(data)}

    manifest = {"config": blob({"architecture": architecture, "config": config or {}}),
                "layers": [blob(layer) for layer in layers]}
    write(f"{path}/index.json", {"manifests": [blob(manifest)]})
    return f"oci:{path}"


def docker(path, layers, architecture="arm64"):
    files = [("c.json", json.dumps({"architecture": architecture, "config": {"Cmd": ["/bin/sh"]}}).encode())]
    files += [(f"{number}/layer.tar", layer) for number, layer in enumerate(layers)]
    manifest = [{"Config": "c.json", "Layers": [name for name, _ in files[1:]]}]
    write(path, tar(*files, ("manifest.json", json.dumps(manifest).encode())))
    return f"docker-archive:{path}"


def build(source, *options, env=None):
    command = [f"{ROOT}/tools/image", "build", "--from", source, "--out", "vm", "--kernel", KERNEL, *options]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **(env or {})}, timeout=200)


def report(name, problem):
    results.append(not problem)
    print(f"{'not ok' if problem else 'ok'} {len(results)} - {name}", flush=True)
    if problem:
        print(f"# {problem}")


def makes(name, source, *wanted, options=(), env=None):
    """The image is made, and its root has for each (path, content): None, it is not there."""
    done = build(source, "--size", "32M", *options, env=env)
    problem = done.stderr if done.returncode else ""
    for path, content in wanted if not problem else ():
        shown = subprocess.run(["/usr/sbin/debugfs", "-R", f"cat {path}", "vm/rootfs.ext4"], capture_output=True)
        found = None if b"File not found" in shown.stderr else shown.stdout
        if found != content:
            problem += f"{path} is {found!r} instead of {content!r} "
    if not problem and sorted(os.listdir("vm")) != ["initrd", "kernel", "rootfs.ext4"]:
        problem = str(os.listdir("vm"))
    report(name, problem)
    shutil.rmtree("vm", ignore_errors=True)


def refuses(name, words, source, *options, env=None):
    """One line with the words, and nothing is left."""
    before = sorted(os.listdir("."))
    done = build(source, *options, env=env)
    lines = done.stderr.splitlines()
    problem = ""
    if done.returncode != 1 or len(lines) != 1 or words not in lines[0]:
        problem = f"status {done.returncode}: {done.stderr!r}"
    elif sorted(os.listdir(".")) != before or os.path.exists("/tmp/stasis-image-escaped"):
        problem = f"it left {sorted(set(os.listdir('.')) - set(before))}"
    report(name, problem)


def good():
    shell = ("bin/sh", ARM64)
    base = tar(shell, ("etc", None, {"type": tarfile.DIRTYPE}), ("etc/a", b"one"), ("etc/b", b"two"),
               ("data/x", b"x"), ("var/run", None, {"type": tarfile.SYMTYPE, "linkname": "/run"}), mode="w:gz")
    top = tar(("etc/.wh.a", b""), ("etc/c", b"three"), ("data/.wh..wh..opq", b""), ("data/y", b"y"),
              ("var/run/pid", b"1"), ("hard", None, {"type": tarfile.LNKTYPE, "linkname": "etc/c"}))
    wanted = (("/etc/a", None), ("/etc/b", b"two"), ("/etc/c", b"three"), ("/data/x", None), ("/data/y", b"y"),
              ("/run/pid", b"1"), ("/hard", b"three"))
    makes("layers over each other, of an OCI image", oci("o", [base, top], config={"Cmd": ["/bin/sh", "-l"]}),
          *wanted, ("/.stasis-command", b"a/bin/sh\0a-l\0"))
    makes("the same in an archive of Docker's", docker("d.tar", [base, top]), *wanted)
    write("root.tar", tar(shell, ("etc/a", b"one")))
    makes("a root file system in a tar file", "rootfs-tar:root.tar", ("/etc/a", b"one"))
    write("debian.tar", tar(shell, ("dev/null", None, {"type": tarfile.CHRTYPE, "devmajor": 1}), ("etc/a", b"one")))
    # In place of mmdebstrap, which takes minutes and a network.
    write("stand-in/mmdebstrap", b"#!/bin/sh\necho $LD_PRELOAD$FAKEROOTKEY $* >../asked\n"
          b"for last; do :; done\ncp ../debian.tar $last\n".replace(b"../", os.getcwd().encode() + b"/"))
    os.chmod("stand-in/mmdebstrap", 0o755)
    login = b"[Service]\nExecStart=\nExecStart=-/sbin/agetty --autologin root --keep-baud 115200,57600,38400,9600 - $TERM\n"
    makes("what mmdebstrap made, without its device nodes", "debian:forky", ("/etc/a", b"one"), ("/dev/null", None),
          ("/etc/systemd/system/serial-getty@ttyS0.service.d/login.conf", login),
          env={"PATH": f"{os.getcwd()}/stand-in:{os.environ['PATH']}"})
    with open("asked") as file:
        asked = file.read()
    report("it was asked for arm64, as the user", "" if asked.startswith("--") and "--architectures=arm64" in asked and
           " forky " in asked else asked)
    write("key.pub", b"ssh-ed25519 AAAA someone\n")
    makes("a key for ssh", "rootfs-tar:root.tar", ("root/.ssh/authorized_keys", b"ssh-ed25519 AAAA someone\n"),
          options=("--ssh-key", "key.pub"))
    # A link that leads out of the root leads to the guest's /tmp, not to this machine's.
    write("out.tar", tar(shell, ("x", None, {"type": tarfile.SYMTYPE, "linkname": "../../../../tmp"}),
                         ("x/stasis-image-escaped", b"!")))
    makes("a link that leads out of the root stays in it", "rootfs-tar:out.tar", ("/tmp/stasis-image-escaped", b"!"))
    write("out.tar", tar(shell, (".stasis-command", None, {"type": tarfile.SYMTYPE,
                                                           "linkname": "/tmp/stasis-image-escaped"})))
    makes("a link in place of a file that is written", "rootfs-tar:out.tar", ("/.stasis-command", b""))
    report("nothing was written outside", "it was" if os.path.exists("/tmp/stasis-image-escaped") else "")


def hostile():
    cases = (
        ("an absolute path", "is an absolute path", ("/tmp/stasis-image-escaped", b"!")),
        ("a path with ..", "leaves the archive's root", ("a/../../stasis-image-escaped", b"!")),
        ("a hard link to a file of this machine", "is an absolute path",
         ("a", None, {"type": tarfile.LNKTYPE, "linkname": "/etc/passwd"})),
        ("a device node", "is a device node", ("dev/sda", None, {"type": tarfile.BLKTYPE, "devmajor": 8})),
        ("a FIFO", "is a device node or a FIFO", ("f", None, {"type": tarfile.FIFOTYPE})),
        ("a white-out of the folder itself", "removes no file", ("etc/.wh...", b"")),
        ("links in a circle", "too many symbolic links", ("l", None, {"type": tarfile.SYMTYPE, "linkname": "l"})),
    )
    for name, words, entry in cases:
        more = [("l/x", b"")] if name.startswith("links") else []
        write("bad.tar", tar(("bin/sh", ARM64), entry, *more))
        refuses(name, words, "rootfs-tar:bad.tar")
        refuses(f"{name}, in a layer", words, oci(f"bad-{len(results)}", [tar(entry, *more)]))
    write("amd64.tar", tar(("bin/sh", AMD64)))
    refuses("programs for another processor", "is not a program for arm64", "rootfs-tar:amd64.tar")
    refuses("an OCI image for another processor", "is for amd64", oci("amd", [tar(("a", b""))], "amd64"))
    refuses("an archive of Docker's for another processor", "is for amd64", docker("amd.tar", [], "amd64"))
    write("text", b"not an archive, honestly\n" * 50)
    refuses("text", "not a tar archive", "rootfs-tar:text")
    refuses("text as an archive of Docker's", "not an archive", "docker-archive:text")
    write("cut.tar", tar(("bin/sh", ARM64), ("big", bytes(100000)), mode="w:gz")[:200])
    refuses("an archive that is cut short", "not a tar archive", "rootfs-tar:cut.tar")
    write("empty/index.json", b"[]")
    refuses("a manifest that is none", "is not oci's kind of image", "oci:empty")
    write("nojson/index.json", b"{")
    refuses("an index that is not JSON", "is not valid JSON", "oci:nojson")
    with open(glob.glob("o/blobs/sha256/*")[0], "ab") as file:
        file.write(b" ")
    refuses("an image that is damaged", "is damaged", "oci:o")
    write("nul.tar", tar(("bin/sh", ARM64), ("x", b"", {"pax_headers": {"path": "a\0b"}})))
    refuses("a name with a NUL byte", "is not an archive that can be read", "rootfs-tar:nul.tar")
    write("digest/index.json", {"manifests": [{"digest": "sha256:../../../etc/passwd"}]})
    refuses("a digest that is a path", "which is none", "oci:digest")


def wrong():
    refuses("a name in a registry", "skopeo copy", "docker://alpine")
    refuses("a name in a registry, as a file", "skopeo copy", "oci:alpine")
    refuses("a file that is not there", "does not exist", "rootfs-tar:none.tar")
    write("root.tar", tar(("bin/sh", ARM64)))
    refuses("a disk that is too small", "choose a size", "rootfs-tar:root.tar", "--size", "1M")
    refuses("a size that is none", "choose a size", "rootfs-tar:root.tar", "--size", "big")
    refuses("a key that is none", "is not a public key", "rootfs-tar:root.tar", "--ssh-key", "root.tar")
    refuses("a kernel that is not there", "does not exist", "rootfs-tar:root.tar", "--kernel", "none")
    empty = os.path.abspath("path")
    os.mkdir(empty)
    os.symlink(sys.executable, f"{empty}/python3")
    os.symlink("/usr/bin/env", f"{empty}/env")
    if os.geteuid() == 0:  # another user is asked for fakeroot first
        refuses("Debian without mmdebstrap", "sudo apt-get install mmdebstrap", "debian", env={"PATH": empty})
    os.unlink(f"{empty}/python3")
    refuses("no Python", "sudo apt-get install python3", "rootfs-tar:root.tar", env={"PATH": empty})
    no_room()
    terminated()
    os.makedirs("vm", exist_ok=True)
    refuses("a folder that exists", "vm exists", "rootfs-tar:root.tar")


def no_room():
    """On a file system of one MiB."""
    os.mkdir("small")
    write("big.tar", tar(("bin/sh", ARM64), ("big", bytes(3 << 20))))
    script = (f"mount -t tmpfs -o size=1m none small && cd small && {ROOT}/tools/image build "
              f"--from rootfs-tar:../big.tar --out vm --kernel {KERNEL}; echo status $?; ls -A")
    done = subprocess.run(["unshare", "-rm", "sh", "-c", script], capture_output=True, text=True)
    if "mount" in done.stderr or "unshare" in done.stderr:
        results.append(True)
        print(f"ok {len(results)} - no room # SKIP this machine lets nobody mount: {done.stderr.strip()}")
        return
    lines = done.stderr.splitlines()
    fine = done.stdout.splitlines()[-1] == "status 1" and len(lines) == 1 and "make room" in lines[0]
    report("no room", "" if fine else f"{done.stdout!r} {done.stderr!r}")


def terminated():
    """While it reads a file that has no end yet."""
    os.mkfifo("fifo")
    before = sorted(os.listdir("."))
    command = [f"{ROOT}/tools/image", "build", "--from", "rootfs-tar:fifo", "--out", "vm", "--kernel", KERNEL]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as building:
        building.stdout.readline()  # that it unpacks
        building.terminate()
        words = building.communicate(timeout=20)[1]
    left = sorted(set(os.listdir(".")) - set(before))
    fine = building.returncode == 143 and not words and not left
    report("SIGTERM leaves nothing", "" if fine else f"status {building.returncode}: {words!r}, left {left}")


def main():
    folder = tempfile.mkdtemp()
    os.chdir(folder)
    try:
        good()
        hostile()
        wrong()
    finally:
        shutil.rmtree(folder)
    print(f"1..{len(results)}")
    sys.exit(0 if all(results) else 1)


main()
