#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
#
# Does docs/hacking.md still tell how stasis is changed? Follows its lists in a copy of the tree: adds a
# virtio device that does nothing (the files in null/), a request of the API and an option, and sees that
# - no more product files than PLACES are touched, beside those of the device, and the list names each;
# - it compiles, is in no circle of folders, and its unit test passes;
# - what the lists say is noticed if it is left out, is: a request that docs/api.yaml has not got, and a
#   setting in snapshots without golden files;
# - with --rig also that a Linux guest boots with it and is saved and restored, on an emulated host.
# It reports in TAP.
import argparse
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, f"{ROOT}/tests/mutants")
from mutants import Tree    # noqa: E402

PLACES = 6
PRODUCT = re.compile(r"(arch|core|devices|jailer|snapshot|vmm)/")

# The device's own files: {what it is here: where it goes}.
OWN = {
    "null.h": "devices/virtio/null/null.h", "null.c": "devices/virtio/null/null.c",
    "BUILD.gn": "devices/virtio/null/BUILD.gn",
    "null_bodies.h": "vmm/config/null_bodies.h", "null_bodies.c": "vmm/config/null_bodies.c",
    "virtio_null_test.c": "tests/unit/virtio_null_test.c", "null.sh": "tests/integration/null.sh",
}

# What is added to others, by the number in the guide: (file, behind what, what).
DEVICE = {
    2: [("vmm/config/config.h", '#include "devices/virtio/net/net.h"\n', '#include "devices/virtio/null/null.h"\n'),
        ("vmm/config/config.h", "\tstruct rng_config entropy;\n",
         "\tbool has_null;\n\tstruct null_config null;\n"),
        ("vmm/config/BUILD.gn", '    "//devices/virtio/net",\n', '    "//devices/virtio/null",\n'),
        ("vmm/config/BUILD.gn", '    "net_bodies.c",\n', '    "null_bodies.c",\n    "null_bodies.h",\n')],
    3: [("vmm/config/body_table.c", '#include "vmm/config/bodies.h"\n', '#include "vmm/config/null_bodies.h"\n'),
        ("vmm/config/body_table.c", "\tstruct mmds_body mmds_config;\n", "\tstruct null_config null;\n"),
        ("vmm/config/body_table.c", "APPLY(mmds_config)\n", "READ(null)\nAPPLY(null)\n"),
        ("vmm/config/body_table.c", '\t.deprecation = "vsock_id field is",\n};\n',
         '\nstatic const struct body_kind body_null = {\n\t.name = "null",\n\t.refusal = "Null config error",\n'
         "\t.read = null_read_any,\n\t.apply = null_apply_any,\n};\n"),
        ("vmm/config/body_table.c", "\t{.kind = &body_entropy, .print = entropy_print},\n",
         "\t{.kind = &body_null, .print = null_print},\n")],
    5: [("vmm/vm/vm_devices.c", "/*\n * All kinds of virtio devices: a row each", None),
        ("vmm/vm/vm_devices.c", "\t{&rng_kind, attach_rng},\n", "\t{&null_kind, attach_null},\n")],
    6: [("vmm/config/config_state.c", "/*\n * What a VM may have that format 1.2 cannot describe.", None),
        ("vmm/config/config_state.c", "\t pages_state},\n",
         "\t{SNAP_TAG('n', 'u', 'l', 'l'), \"a device that does nothing\", null_is_given,\n\t null_state},\n"),
        ("snapshot/schema_table.c", '\t{"huge", "huge_pages", "setting:s pages:4"},\n',
         '\t{"null", "null", "setting:s quiet:b"},\n')],
    7: [("tests/unit/BUILD.gn", '  "virtio_net_rx_test",\n', '  "virtio_null_test",\n'),
        ("tests/unit/BUILD.gn", '  unit_test("err_test") {\n  }\n', """
  unit_test("virtio_null_test") {
    deps = [
      ":api_world",
      "//arch",
      "//core/kvm:api",
      "//core/machine",
      "//devices",
      "//devices/virtio",
      "//snapshot:codec",
      "//vmm/vm",
    ]
  }
""")],
}
# Functions, which stand before what the rows above name.
BEFORE = {
    "vmm/vm/vm_devices.c": """static int attach_null(struct vm *vm, const struct vm_config *config,
		       struct err *e)
{
	struct virtio_slot slot;

	if (!config->has_null)
		return 0;
	if (virtio_slots_next(&vm->virtio, &slot, e))
		return -1;
	return add(vm, "null", null_create(&slot, &config->null, e), e);
}

""",
    "vmm/config/config_state.c": """static bool null_is_given(const struct vm_config *c)
{
	return c->has_null;
}

static void null_state(struct vm_config *c, struct snap *s)
{
	c->has_null = true;
	snap_bool(s, &c->null.quiet);
}

""",
}
OPTION = ("vmm/cli/run.c", "\t OPTION_FLAG(struct run, config.has_entropy)},\n",
          '\t{"null", NULL, "a device that does nothing", OPTION_FLAG(struct run, config.has_null)},\n')
API_PATH = "/version:\n    get:"
API_ROW = "/null:\n    put:\n      tags: [devices]\n      operationId: putNull\n      x-stasis-extension: true\n      x-when: pre-boot\n  "


class Failed(Exception):
    pass


class Change:
    """A copy of the tree, and what of it was touched."""

    def __init__(self, folder):
        self.tree, self.folder, self.touched = Tree(folder, ("obj", "native/obj")), folder, set()

    def add(self, path, behind, text):
        """@text behind what is there once; None: what BEFORE has, before it."""
        with open(f"{self.folder}/{path}") as file:
            before = file.read()
        if before.count(behind) != 1:
            raise Failed(f"{path} has {before.count(behind)} times: {behind.strip()}")
        new = behind + text if text is not None else BEFORE[path] + behind
        self.write(path, before.replace(behind, new))
        self.touched.add(path)

    def write(self, path, text):
        os.makedirs(os.path.dirname(f"{self.folder}/{path}"), exist_ok=True)
        with open(f"{self.folder}/{path}", "w") as file:
            file.write(text)

    def run(self, *command):
        """None, or what a command that fails says."""
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, errors="replace")
        return None if not done.returncode else (done.stdout + done.stderr)[-1500:] or "no word"

    def wants(self, *command):
        why = self.run(*command)
        if why:
            raise Failed(f"{' '.join(command)}:\n{why}")

    def wants_failure(self, word, *command):
        why = self.run(*command)
        if not why or word not in why:
            raise Failed(f"{' '.join(command)} does not say '{word}': {why}")

    def build(self, *targets):
        why = self.tree.build(targets)
        if why:
            raise Failed(f"it does not build:\n{why[-1500:]}")


def guide(title):
    """The text of a chapter of docs/hacking.md."""
    with open(f"{ROOT}/docs/hacking.md") as file:
        return re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", file.read(), re.M | re.S)[1]


def add_device(change):
    for name, path in OWN.items():
        with open(f"{HERE}/null/{name}.in") as file:
            change.write(path, file.read())
    for steps in DEVICE.values():
        for step in steps:
            change.add(*step)
    change.wants("git", "add", "-A")


def few_places(change):
    places = sorted(path for path in change.touched if PRODUCT.match(path))
    print(f"# {len(places)} product files: {' '.join(places)}")
    if len(places) > PLACES:
        raise Failed(f"more than {PLACES}")
    text = guide("Add a virtio device") + guide("Add a field to a snapshot")
    unnamed = [path for path in sorted(change.touched) if path not in text]
    if unnamed:
        raise Failed(f"docs/hacking.md does not name {unnamed}")


def compiles(change):
    change.build("native/virtio_null_test", "native/snapshot_golden_test")
    change.wants("gn", "check", "out", "//devices/*")
    change.wants("python3", "tests/rooms.py")


def works(change):
    change.wants("out/native/virtio_null_test")


def needs_golden_files(change):
    change.wants_failure("schema", "out/native/snapshot_golden_test")


def needs_api_row(change):
    change.wants_failure("PUT /null", "python3", "tests/check_api.py")
    change.add("docs/api.yaml", API_PATH, "")
    with open(f"{change.folder}/docs/api.yaml") as file:
        text = file.read()
    change.write("docs/api.yaml", text.replace(API_PATH, API_ROW + API_PATH))
    change.wants("python3", "tests/check_api.py")


def takes_option(change):
    """`vmm/cli/*.c` is what the list names; the suite looks whether the option is there and does it."""
    change.add(*OPTION)
    change.build("stasis")


def boots(change):
    """On an emulated host."""
    for name in ("guests", "rig", "tests"):
        if os.path.exists(f"{ROOT}/out/{name}") and not os.path.exists(f"{change.folder}/out/{name}"):
            os.symlink(f"{ROOT}/out/{name}", f"{change.folder}/out/{name}")
    change.wants("python3", "tests/run.py", "-k", "neoverse-n1 6.12 smp2 null")


STEPS = [
    ("it touches few product files, and the guide names each", few_places),
    ("it compiles, and no folders depend on each other", compiles),
    ("it is configured, attached and in snapshots", works),
    ("a setting without golden files is noticed", needs_golden_files),
    ("a request without a row in docs/api.yaml is noticed", needs_api_row),
]
RIG_STEPS = [
    ("an option is a row", takes_option),
    ("a guest boots with it, and is saved and restored", boots),
]


def main():
    parser = argparse.ArgumentParser(prog="tests/scratch/scratch.py", description="Follows docs/hacking.md.")
    parser.add_argument("--rig", action="store_true", help="also boot, save and restore a guest, on an emulated host")
    parsed = parser.parse_args()
    steps = STEPS + (RIG_STEPS if parsed.rig else [])
    print(f"1..{len(steps)}", flush=True)
    bad = 0
    with tempfile.TemporaryDirectory(prefix="scratch.") as folder:
        change = Change(folder)
        try:
            add_device(change)
        except Failed as failed:
            sys.exit(f"Bail out! {failed}")
        for number, (title, step) in enumerate(steps, 1):
            try:
                step(change)
                print(f"ok {number} - {title}", flush=True)
            except Failed as failed:
                bad += 1
                print(f"not ok {number} - {title}\n" + re.sub("^", "# ", str(failed), flags=re.M), flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
