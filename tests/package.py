#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
#
# What tools/package makes: what is in it, that lintian has nothing to say, that the programs can be
# linked anew, and that another folder and another time give the same bytes. Reports in TAP. That it
# installs is for the suite `package`.
import glob
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
HELP = f"{ROOT}/out/native/stasis.help"
count = failed = 0


def report(name, problem="", skip=""):
    global count, failed
    count += 1
    failed += bool(problem)
    print(f"{'not ok' if problem else 'ok'} {count} - {name}{' # SKIP ' + skip if skip else ''}", flush=True)
    for line in str(problem).splitlines():
        print(f"# {line}")


def run(*command, **more):
    return subprocess.run(command, capture_output=True, text=True, **more)


def digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def text(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def installed(root):
    """Modes and owners: nothing but root's, nothing that others may write, nothing outside of /usr."""
    listing = "".join(run("dpkg-deb", "-c", path).stdout for path in glob.glob("made/*.deb"))
    bad = [line for line in listing.splitlines() if not re.match(
        r"(drwxr-xr-x|-rw-r--r--|-rwxr-xr-x|lrwxrwxrwx) root/root +\d+ \S+ \S+ \./($|usr/)", line)]
    report("owners, modes and places", "\n".join(bad) if listing else "there is nothing in it")
    for name in ("stasis", "jailer"):
        same = digest(f"{root}/usr/bin/{name}") == digest(f"{ROOT}/out/{name}")
        report(f"{name} is what was built", "" if same else "it is not")
    paths = [f"{root}/usr/lib/stasis/{name}" for name in ("image", "image.py", "image-init", "clock-follow", "net-setup", "lib.sh")]
    report("stasis image finds what it needs", "\n".join(path for path in paths if not os.path.exists(path)))


def manuals(root):
    """Every option that --help lists is in the manual page and in each completion."""
    shares = {name: text(f"{root}/usr/share/{path}") for name, path in (
        ("bash", "bash-completion/completions/stasis"), ("zsh", "zsh/vendor-completions/_stasis"),
        ("fish", "fish/vendor_completions.d/stasis.fish"))}
    environment = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}
    for command in ("", "run", "restore", "snapshot", "ctl", "vsock", "inspect", "trace-offset", "trace-merge", "seccomp", "doctor"):
        shown = run(HELP, *command.split(), "--help", env=environment).stdout
        options = re.findall(r"^  --([\w-]+)", shown, re.M)
        page = run("zcat", f"{root}/usr/share/man/man1/{'-'.join(['stasis', *command.split()])}.1.gz").stdout
        problem = [] if options else ["--help lists nothing"]
        for name in options:
            if "\\fB\\-\\-" + name.replace("-", "\\-") + "\\fR" not in page:
                problem.append(f"--{name} is not in the page")
            problem += [f"--{name} is not in {shell}'s completion" for shell, words in shares.items()
                        if not re.search(rf"(--|-l ){re.escape(name)}\b", words)]
        report(f"manual page and completions of stasis {command}".rstrip(), "\n".join(problem))
    for shell, path in (("bash", "bash-completion/completions/stasis"), ("zsh", "zsh/vendor-completions/_stasis"),
                        ("fish", "fish/vendor_completions.d/stasis.fish")):
        if not shutil.which(shell):
            report(f"{shell} reads its completion", skip=f"{shell} is not installed")
            continue
        done = run(shell, "-n", f"{root}/usr/share/{path}")
        report(f"{shell} reads its completion", done.stderr if done.returncode or done.stderr else "")
    pages = glob.glob(f"{root}/usr/share/man/*/*.gz")
    if not shutil.which("man"):
        report("the pages have no mistakes", skip="man is not installed")
        return
    words = "".join(run("man", "--warnings", "-l", "-Tutf8", "-Z", page, env={**os.environ, "LC_ALL": "C.UTF-8"}).stderr
                    for page in pages)
    report("the pages have no mistakes", words if pages else "there are none")


def units(root):
    """The options in units are stasis's; systemd understands them."""
    listed = run(HELP, "--help", env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}).stdout
    folder = f"{root}/usr/lib/systemd/system"
    command = re.search(r"^ExecStart=/usr/bin/stasis (.*)", text(f"{folder}/stasis@.service"), re.M)[1]
    unknown = [word for word in re.findall(r"--[\w-]+", command) if f"  {word} " not in listed]
    report("the options in stasis@.service exist", "\n".join(unknown))
    if not shutil.which("systemd-analyze"):
        report("systemd understands the units", skip="systemd-analyze is not installed")
        return
    for name in ("usr/bin/stasis", "usr/sbin/clock-follow"):  # it looks whether they are there
        os.makedirs(os.path.dirname(f"verify/{name}"), exist_ok=True)
    words = ""
    for unit in ("stasis@.service", "stasis@.socket", "clock-follow.service"):
        done = run("systemd-analyze", "verify", "--man=no", f"{folder}/{unit}")
        words += "".join(f"{line}\n" for line in done.stderr.splitlines()
                         if unit.split(".")[0].rstrip("@") in line and "is not executable" not in line)
    report("systemd understands the units", words)


def documents(root):
    done = run("sha256sum", "--check", "--quiet", "SHA256SUMS", cwd="made")
    report("the checksums are right", done.stdout + done.stderr if done.returncode else "")
    with open(glob.glob("made/*.spdx.json")[0]) as file:
        sbom = json.load(file)
    problem = ""
    known = {item["SPDXID"] for item in sbom["packages"] + sbom["files"]} | {sbom["SPDXID"]}
    for relation in sbom["relationships"]:
        problem += "".join(f"{relation[end]} is not described\n" for end in ("spdxElementId", "relatedSpdxElement")
                           if relation[end] not in known)
    sums = {file["fileName"]: file["checksums"][1]["checksumValue"] for file in sbom["files"]}
    for name in ("stasis", "jailer"):
        if sums.get(f"./{name}") != digest(f"{ROOT}/out/{name}"):
            problem += f"{name} has another checksum\n"
    # What the linker was told is there, and nothing else but libc.
    link = run("ninja", "-C", f"{ROOT}/out", "-t", "commands", "-s", "stasis").stdout
    sources = {item["name"] for item in sbom["packages"]}
    names = {"z": "zlib", "fdt": "device-tree-compiler", "jansson": "jansson", "llhttp": "node-undici", "uring": "liburing"}
    for library in re.findall(r" -l(\w+)", link):
        if names.get(library) not in sources:
            problem += f"lib{library} is linked, and not listed\n"
    report("the list of contents is true", problem)
    notice = text("made/NOTICE")
    missing = [word for word in ("GNU Lesser General Public", "relink", *sources - {"stasis"}) if word not in notice]
    report("NOTICE names all of it, and how to link it anew", "\n".join(missing))


def clean():
    if not shutil.which("lintian"):
        report("lintian has nothing to say", skip="lintian is not installed: sudo apt-get install lintian")
        return
    root = ["--allow-root"] if os.geteuid() == 0 else []
    done = run("lintian", *root, "--fail-on", "error,warning", *glob.glob("made/*.deb"))
    report("lintian has nothing to say", done.stdout + done.stderr if done.returncode or done.stdout else "")


def relinked():
    os.mkdir("relink")
    run("tar", "-C", "relink", "-xf", glob.glob("made/*-relink.tar.gz")[0])
    folder = glob.glob("relink/*")[0]
    done = run(f"{folder}/relink", f"{ROOT}/out/deps/sysroot-arm64")
    problem = done.stderr if done.returncode else ""
    for name in ("stasis", "jailer", "guest-tools/clock-follow", "guest-tools/image-init"):
        if not problem and digest(f"{folder}/out/{name}") != digest(f"{ROOT}/out/{name}"):
            problem = f"{name} is not the same"
    report("linking the object files gives the programs", problem)


def same_again(when):
    """A copy of the tree in a folder of another name, built from nothing."""
    copy = os.path.abspath("a folder with another name/tree")
    os.makedirs(copy)
    listed = run("git", "-C", ROOT, "ls-files", "--cached", "--others", "--exclude-standard").stdout.splitlines()
    for name in listed:
        if os.path.isfile(f"{ROOT}/{name}"):
            os.makedirs(os.path.dirname(f"{copy}/{name}"), exist_ok=True)
            shutil.copy(f"{ROOT}/{name}", f"{copy}/{name}")
    os.mkdir(f"{copy}/out")
    os.symlink(f"{ROOT}/out/deps", f"{copy}/out/deps")
    done = run(f"{copy}/tools/package", "again", env={**os.environ, "SOURCE_DATE_EPOCH": when, "TZ": "Asia/Tokyo"})
    problem = done.stderr if done.returncode else ""
    for name in sorted(os.listdir("made")) if not problem else ():
        if not os.path.exists(f"again/{name}") or digest(f"made/{name}") != digest(f"again/{name}"):
            problem += f"{name} differs\n"
    report("another folder gives the same bytes", problem)


def main():
    work = tempfile.mkdtemp()
    os.chdir(work)
    when = run("git", "-C", ROOT, "log", "-1", "--format=%ct").stdout.strip()
    try:
        done = run(f"{ROOT}/tools/package", "made")
        report("it is made", done.stderr if done.returncode else "")
        if not done.returncode:
            for path in glob.glob("made/*.deb"):
                run("dpkg-deb", "-x", path, "root")
            for test in (installed, manuals, units):
                test(f"{work}/root")
            documents(f"{work}/root")
            clean()
            relinked()
            same_again(when)
    finally:
        os.chdir(ROOT)
        shutil.rmtree(work)
    print(f"1..{count}")
    sys.exit(1 if failed else 0)


main()
