# SPDX-License-Identifier: Apache-2.0
#
# Makes the packages and archives of what is built in out/. Called by tools/package, whose head says
# what there is. A target folder is made beside its place and renamed: a failure leaves nothing.
import contents
import glob
import gzip
import hashlib
import io
import manual
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time

ROOT = contents.ROOT
HERE = os.path.join(ROOT, "tools", "packaging")
PROGRAMS = ("stasis", "jailer", "guest-tools/clock-follow", "guest-tools/image-init")


class Failure(Exception):
    """An error message for the user: what is wrong and what to do."""


def read(path):
    with open(os.path.join(ROOT, path)) as file:
        return file.read()


def version():
    return re.search(r'STASIS_VERSION "([^"]+)"', read("core/base/version.h"))[1]


def epoch():
    """When the source was committed, in seconds; all files get that time."""
    if os.environ.get("SOURCE_DATE_EPOCH"):
        return int(os.environ["SOURCE_DATE_EPOCH"])
    done = subprocess.run(["git", "-C", ROOT, "log", "-1", "--format=%ct"], capture_output=True, text=True)
    if done.returncode:
        raise Failure("this is no git checkout: set SOURCE_DATE_EPOCH to the time of the source, in seconds")
    return int(done.stdout)


def put(path, data, mode=0o644):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data.encode() if isinstance(data, str) else data)
    os.chmod(path, mode)


def copy(source, path, mode=0o644, replace=()):
    with open(os.path.join(ROOT, source), "rb") as file:
        data = file.read()
    for old, new in replace:
        data = data.replace(old.encode(), new.encode())
    put(path, data, mode)


# --- the files of each package -----------------------------------------------------------------


def stage_stasis(usr, release, when):
    copy("out/stasis", f"{usr}/bin/stasis", 0o755)
    copy("out/jailer", f"{usr}/bin/jailer", 0o755)
    copy("tools/image", f"{usr}/lib/stasis/image", 0o755)
    copy("tools/image.py", f"{usr}/lib/stasis/image.py")
    copy("tools/net-setup", f"{usr}/lib/stasis/net-setup", 0o755)
    copy("tools/lib.sh", f"{usr}/lib/stasis/lib.sh")
    for name in ("image-init", "clock-follow"):
        copy(f"out/guest-tools/{name}", f"{usr}/lib/stasis/{name}", 0o755)
    for name in ("stasis@.service", "stasis@.socket"):
        copy(f"tools/packaging/systemd/{name}", f"{usr}/lib/systemd/system/{name}")
    copy("tools/packaging/60-stasis.rules", f"{usr}/lib/udev/rules.d/60-stasis.rules")
    pages = manual.read_all(f"{ROOT}/out/native/stasis.help", f"{ROOT}/out/native/jailer.help", f"{ROOT}/tools/image")
    manual.write_all(pages, f"{usr}/share", release, time.strftime("%Y-%m-%d", time.gmtime(when)))
    for path in sorted(glob.glob(f"{ROOT}/docs/*")):
        copy(path, f"{usr}/share/doc/stasis/docs/{os.path.basename(path)}")
    for name in ("README.md", "SECURITY.md"):
        copy(name, f"{usr}/share/doc/stasis/{name}")
    # Where debhelper does not take it for Debian's.
    copy("CHANGELOG.md", f"{usr}/share/doc/stasis/docs/CHANGELOG.md")


def stage_clock_follow(usr, release, when):
    moved = (("/usr/local/sbin", "/usr/sbin"), ("/etc/systemd/system", "/usr/lib/systemd/system"))
    tree = "tools/guest/clock-follow"
    copy("out/guest-tools/clock-follow", f"{usr}/sbin/clock-follow", 0o755)
    copy(f"{tree}/clock-follow.service", f"{usr}/lib/systemd/system/clock-follow.service", replace=moved)
    os.makedirs(f"{usr}/lib/systemd/system/sysinit.target.wants")
    os.symlink("../clock-follow.service", f"{usr}/lib/systemd/system/sysinit.target.wants/clock-follow.service")
    scripts = f"{usr}/share/initramfs-tools"
    copy(f"{tree}/initramfs-hook", f"{scripts}/hooks/clock-follow", 0o755, moved)
    copy(f"{tree}/initramfs-script", f"{scripts}/scripts/init-top/clock-follow", 0o755)
    date = time.strftime("%Y-%m-%d", time.gmtime(when))
    copy("tools/packaging/clock-follow.8", f"{usr}/share/man/man8/clock-follow.8",
         replace=(("@DATE@", date), ("@VERSION@", release)))


def stage(work, release, when):
    """work/root/PACKAGE/usr of both packages."""
    notice, sbom = contents.notice(), contents.sbom(release, when, [f"{ROOT}/out/{name}" for name in PROGRAMS])
    for package, fill in (("stasis", stage_stasis), ("stasis-clock-follow", stage_clock_follow)):
        usr = f"{work}/root/{package}/usr"
        fill(usr, release, when)
        put(f"{usr}/share/doc/{package}/NOTICE", notice)
        put(f"{usr}/share/doc/{package}/sbom.spdx.json", sbom)
    return notice, sbom


# --- what is made of them ----------------------------------------------------------------------


def make_deb(work, release, when):
    shutil.copytree(f"{HERE}/debian", f"{work}/debian")
    stamp = time.strftime("%a, %d %b %Y %H:%M:%S +0000", time.gmtime(when))
    put(f"{work}/debian/changelog", f"stasis ({release}) unstable; urgency=medium\n\n"
        "  * CHANGELOG.md says what has changed.\n\n"
        f" -- stasis maintainers <maintainers@stasis.invalid>  {stamp}\n")
    put(f"{work}/debian/stasis.substvars", f"stasis:Built-Using={contents.built_using()}\n")
    put(f"{work}/debian/stasis-clock-follow.substvars", f"stasis:Built-Using={contents.built_using()}\n")
    # dpkg-deb limits times to the epoch, but keeps those before it.
    for _, path in files_below(work):
        os.utime(path, (when, when), follow_symlinks=False)
    command = ["dpkg-buildpackage", "--host-arch", "arm64", "-b", "-us", "-uc", "-d"]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(when), "DEB_BUILD_OPTIONS": "nostrip nocheck", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True)
    if done.returncode:
        words = (done.stdout + done.stderr).strip().splitlines()[-12:]
        raise Failure("dpkg-buildpackage failed:\n" + "\n".join(words))


def archive(path, entries, when):
    """A tar.gz of (name, file or bytes) that depends on them and their modes only."""
    with open(path, "wb") as out, gzip.GzipFile("", "wb", 9, out, mtime=0) as packed, \
            tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, source in sorted(entries):
            info = tarfile.TarInfo(name)
            info.mtime, info.mode, data = when, 0o755 if source[:2] == b"#!" else 0o644, source
            if isinstance(source, str):
                if os.path.islink(source):
                    info.type, info.linkname, data = tarfile.SYMTYPE, os.readlink(source), b""
                else:
                    info.mode = 0o755 if os.access(source, os.X_OK) else 0o644
                    with open(source, "rb") as file:
                        data = file.read()
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def files_below(folder):
    for parent, folders, names in os.walk(folder):
        for name in names + [name for name in folders if os.path.islink(os.path.join(parent, name))]:
            path = os.path.join(parent, name)
            yield os.path.relpath(path, folder), path


def make_tarball(target, work, release, when):
    top = f"stasis-{release}-arm64"
    entries = [(f"{top}/{name}", path) for package in ("stasis", "stasis-clock-follow")
               for name, path in files_below(f"{work}/root/{package}/usr")]
    entries.append((f"{top}/LICENSE", f"{ROOT}/LICENSE"))
    archive(f"{target}/{top}.tar.gz", entries, when)


def make_relink(target, release, when):
    """The object files of each program, and the command that links them."""
    top = f"stasis-{release}-relink"
    entries, script = {}, [read("tools/packaging/relink.sh")]
    for name in PROGRAMS:
        command, objects = contents.link_of(name)
        entries.update({f"{top}/out/{path}": f"{ROOT}/out/{path}" for path in objects})
        script.append(command)
    for path in ("build/config/product.ld", "vmm/startup.order"):
        entries[f"{top}/{path}"] = f"{ROOT}/{path}"
    entries[f"{top}/relink"] = "\n".join(script).encode() + b"\n"
    entries[f"{top}/NOTICE"] = contents.notice().encode()
    archive(f"{target}/{top}.tar.gz", list(entries.items()), when)


def make_sums(target):
    lines = []
    for name in sorted(os.listdir(target)):
        with open(f"{target}/{name}", "rb") as file:
            lines.append(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {name}\n")
    put(f"{target}/SHA256SUMS", "".join(lines))


def make(target):
    release, when = version(), epoch()
    parent = os.path.dirname(target)
    os.makedirs(parent, exist_ok=True)
    os.umask(0o022)
    with tempfile.TemporaryDirectory(prefix=".package-", dir=parent) as folder:
        work, made = f"{folder}/stasis", f"{folder}/made"
        os.makedirs(made, 0o755)
        notice, sbom = stage(work, release, when)
        make_tarball(made, work, release, when)
        make_relink(made, release, when)
        make_deb(work, release, when)
        for path in glob.glob(f"{folder}/*.deb"):
            shutil.move(path, made)
        put(f"{made}/NOTICE", notice)
        put(f"{made}/stasis-{release}.spdx.json", sbom)
        make_sums(made)
        shutil.rmtree(target, ignore_errors=True)
        os.rename(made, target)
    for name in sorted(os.listdir(target)):
        print(f"package: {os.path.getsize(os.path.join(target, name)):>9} {name}")
    print(f"package: made {target}")


if __name__ == "__main__":
    try:
        make(sys.argv[1])
    except (Failure, contents.Unknown, manual.Unreadable) as failure:
        sys.exit(f"tools/package: {failure}")
    except OSError as error:
        sys.exit(f"tools/package: {error.filename or 'cannot write'}: {error.strerror}")
    except KeyboardInterrupt:
        sys.exit(130)
