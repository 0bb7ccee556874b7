# SPDX-License-Identifier: Apache-2.0
#
# What the programs consist of: a list of libraries with their versions (SPDX), their licences, and how
# to link them anew.
import glob
import gzip
import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tools"))
import deps  # noqa: E402, beside this folder

DOC = f"{deps.DEPS}/sysroot-arm64/usr/share/doc"

# Of tools/deps.py's SYSROOT: the package whose documents are there, Debian's source package, SPDX's
# name of the licence.
LIBRARIES = {
    "libc6-dev": ("libc6", "glibc", "LGPL-2.1-or-later"),
    "libgcc-14-dev": ("libgcc-s1", "gcc-14", "GPL-3.0-or-later WITH GCC-exception-3.1"),
    "libfdt-dev": ("libfdt1", "device-tree-compiler", "BSD-2-Clause"),
    "libjansson-dev": ("libjansson4", "jansson", "MIT"),
    "libllhttp-dev": ("libllhttp9.2", "node-undici", "MIT"),
    "liburing-dev": ("liburing2", "liburing", "MIT"),
    "zlib1g-dev": ("zlib1g", "zlib", "Zlib"),
}
# On the build machine only.
NOT_LINKED = ("libseccomp-dev", "libcmocka-dev")


class Unknown(Exception):
    """Something is linked of which this file does not know."""


def libraries():
    """[(package, source, version, licence)], or Unknown if tools/deps.py has one more."""
    unknown = set(deps.SYSROOT) - set(LIBRARIES) - set(NOT_LINKED)
    if unknown:
        raise Unknown(f"tools/packaging/contents.py lacks {', '.join(sorted(unknown))} of tools/deps.py: add its licence")
    found = []
    for package, source, licence in LIBRARIES.values():
        folder = os.path.realpath(f"{DOC}/{package}")
        logs = glob.glob(f"{folder}/changelog.Debian.arm64.gz") or glob.glob(f"{folder}/changelog.Debian.gz")
        if not logs:
            raise Unknown(f"{folder} has no changelog; run tools/prepare build")
        with gzip.open(logs[0], "rt") as log:
            version = re.match(r"\S+ \(([^)]+)\)", log.readline())[1]
        found.append((package, source, version, licence))
    return found


def built_using():
    """Debian's field: sources that have to be kept as long as the package."""
    # A rebuild of Debian's (+bN) is of the same source.
    return ", ".join(f"{source} (= {re.sub(r'[+]b[0-9]+$', '', version)})" for _, source, version, _ in libraries())


def notice():
    out = ["stasis and its tools are under the Apache License, version 2.0 (LICENSE).\n",
           "The programs contain parts of these libraries, linked statically, from Debian's packages\n"
           "for arm64. Their licences follow, as Debian has them.\n"]
    out += [f"  {source} {version} ({licence})\n" for _, source, version, licence in libraries()]
    glibc = next(version for _, source, version, _ in libraries() if source == "glibc")
    out += ["\n", "The GNU Lesser General Public License lets you link the programs with a glibc that you have\n"
            "changed. For that the archive stasis-VERSION-relink.tar.gz, which is offered beside this\n"
            "package, has their object files and the commands that link them; the whole source of the\n"
            "programs is free, too, and tools/build builds it. The source of glibc is at\n"
            f"https://snapshot.debian.org/package/glibc/{glibc}/. Whoever passes the programs on\n"
            "passes the relink archive on with them, or offers it.\n"]
    for package, source, version, _ in libraries():
        with open(f"{DOC}/{package}/copyright", encoding="utf-8") as file:
            out += ["\n", "-" * 78 + "\n", f"{source} {version}\n", "\n", file.read()]
    return "".join(out)


def sbom(release, when, programs):
    """SPDX 2.3, as JSON."""
    packages, relations = [], []
    for package, source, version, licence in libraries():
        packages.append({
            "SPDXID": f"SPDXRef-{package}", "name": source, "versionInfo": version, "supplier": "Organization: Debian",
            "downloadLocation": f"https://snapshot.debian.org/package/{source}/{version}/", "filesAnalyzed": False,
            "licenseConcluded": licence, "licenseDeclared": licence, "copyrightText": "NOASSERTION",
            "externalRefs": [{
                "referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl",
                "referenceLocator": f"pkg:deb/debian/{source}@{version}?arch=source&distro=trixie"}]})
        relations.append(("SPDXRef-stasis", "STATIC_LINK", f"SPDXRef-{package}"))
    files = []
    for path in programs:
        name = os.path.basename(path)
        with open(path, "rb") as file:
            data = file.read()
        files.append({
            "SPDXID": f"SPDXRef-file-{name}", "fileName": f"./{name}", "licenseConcluded": "NOASSERTION",
            "copyrightText": "NOASSERTION", "checksums": [
                {"algorithm": kind.upper(), "checksumValue": hashlib.new(kind, data).hexdigest()}
                for kind in ("sha1", "sha256")]})
        relations.append(("SPDXRef-stasis", "CONTAINS", f"SPDXRef-file-{name}"))
    whole = hashlib.sha256("".join(file["checksums"][1]["checksumValue"] for file in files).encode()).hexdigest()
    packages.insert(0, {
        "SPDXID": "SPDXRef-stasis", "name": "stasis", "versionInfo": release, "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False, "licenseConcluded": "Apache-2.0", "licenseDeclared": "Apache-2.0",
        "copyrightText": "NOASSERTION"})
    document = {
        "spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": f"stasis-{release}",
        "documentNamespace": f"https://spdx.org/spdxdocs/stasis-{release}-{whole}",
        "creationInfo": {"created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(when)),
                         "creators": ["Tool: stasis-tools-package"]},
        "packages": packages, "files": files,
        "relationships": [{"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES",
                           "relatedSpdxElement": "SPDXRef-stasis"}] + [
            {"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other} for one, kind, other in relations]}
    return json.dumps(document, indent=1) + "\n"


def ninja(*words):
    return subprocess.run(["ninja", "-C", f"{ROOT}/out", "-t", *words], capture_output=True, text=True,
                          check=True).stdout.splitlines()


def link_of(program):
    """How ninja links a program: the command for ./relink, and the object files."""
    lines = ninja("query", program)
    objects = [line.strip() for line in lines[:lines.index("  outputs:")] if line.endswith(".o")] \
        if "  outputs:" in lines else [line.strip() for line in lines if line.endswith(".o")]
    command = ninja("commands", "-s", program)[-1]
    command = re.sub(r"--sysroot=\S+", '"--sysroot=$sysroot"', command)
    if " @" not in command or not objects:
        raise Unknown(f"{program} is not linked as this file expects: {command}")
    return re.sub(r"@\S+\.rsp", " ".join(map(shlex.quote, objects)), command), objects
