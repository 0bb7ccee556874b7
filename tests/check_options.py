# SPDX-License-Identifier: Apache-2.0
#
# Does the command line have what the API has? For each command that stands for a request: every
# field of the request's body (docs/api.yaml, whose schemas are closed) has an option of that command
# (the tables in vmm/cli and vmm/ctl), or a reason why not. A field that is new in the API has to be put into
# one of the tables here, and what is here has to exist there.
import os
import re
import sys

import yaml

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

# command: files with its options, and {body: {field: option, or "option word"}}. An option is a row
# of a table of options, a word one of those that its value may have.
COMMANDS = {
    "run": (["cli/run.c", "cli/run_devices.c", "cli/foreground.h"], {
        "MachineConfig": {
            "vcpu_count": "cpus", "mem_size_mib": "memory", "nested": "cpu nested=",
            "huge_pages": "huge-pages",
            "track_dirty_pages": "track-dirty-pages", "clock": "clock"},
        "ClockConfig": {
            "on_pause": "clock", "on_restore": "restore-clock", "on_stop": "stop-clock", "realtime": "realtime", "physical": "physical-counter",
            "max_jump_ms": "max-jump-ms", "smear": "smear"},
        "CpuConfig": {"vcpu_features": "cpu"},
        "BootSource": {
            "kernel_image_path": "kernel", "initrd_path": "initrd", "boot_args": "cmdline", "kaslr": "no-kaslr",
            "raw": "raw", "load_address": "load-address", "entry": "entry", "fdt_high": "fdt-high",
            "share_files": "share-files"},
        "Drive": {
            "path_on_host": "disk", "is_root_device": "disk root", "is_read_only": "disk ro",
            "cache_type": "disk unsafe", "io_engine": "disk async"},
        "NetworkInterface": {
            "host_dev_name": "net", "guest_mac": "net mac=", "mtu": "net mtu=", "vhost": "net vhost"},
        "Vsock": {"guest_cid": "vsock", "uds_path": "vsock"},
        "Balloon": {
            "amount_mib": "balloon", "deflate_on_oom": "balloon oom",
            "stats_polling_interval_s": "balloon stats=", "free_page_hinting": "balloon hinting",
            "free_page_reporting": "balloon reporting"},
        "Entropy": {},
        "Logger": {"level": "log-level"},
    }),
    "restore": (["cli/restore.c", "cli/foreground.h"], {
        "SnapshotLoad": {
            "track_dirty_pages": "track-dirty-pages", "resume_vm": "paused",
            "network_overrides": "net", "vsock_override": "vsock", "drive_overrides": "disk",
            "record_working_set": "record-working-set", "huge_pages": "huge-pages", "strict": "strict", "clock": "clock", "realtime": "realtime", "mem_backend": "eager"},
        "SnapshotLoad.clock": {
            "policy": "clock", "max_jump_ms": "max-jump-ms", "unsynchronized": "unsynchronized"},
        "MemBackend": {"backend_type": "eager"},
        "NetworkOverride": {"iface_id": "net", "host_dev_name": "net", "vhost": "net vhost"},
        "DriveOverride": {"drive_id": "disk", "path_on_host": "disk"},
        "VsockOverride": {"uds_path": "vsock"},
    }),
    "snapshot": (["ctl/snapshot.c"], {
        "SnapshotCreate": {
            "snapshot_type": "changes", "sync_snapshot_files": "no-sync", "mode": "mode",
            "host_details": "no-host-details", "snapshot_path": "state", "mem_file_path": "memory"},
    }),
    "ctl pause or resume": (["ctl/ctl.c"], {
        "VmChange": {"clock": "clock", "timeout_ms": "timeout"},
        "VmChange.clock": {
            "policy": "clock", "max_jump_ms": "max-jump-ms", "unsynchronized": "unsynchronized"},
    }),
}

LIMITS = "limits are for who changes them: in the configuration file, or over the API"
FOLDER = "the command's argument is the folder with both files"
# (body, field): why no command has an option for it.
WITHOUT = {
    ("MachineConfig", "smt"): "only false is possible on arm64",
    ("MachineConfig", "cpu_template"): "deprecated",
    ("CpuConfig", "reg_modifiers"): "a template is a file: --config-file",
    ("CpuConfig", "kvm_capabilities"): "a template is a file: --config-file",
    ("CpuConfig", "cpuid_modifiers"): "of another architecture",
    ("CpuConfig", "msr_modifiers"): "of another architecture",
    ("Drive", "drive_id"): "disk0 and so on, in the order of the options",
    ("Drive", "partuuid"): "--cmdline root=PARTUUID=... says it",
    ("Drive", "rate_limiter"): LIMITS,
    ("Drive", "socket"): "not in this build",
    ("NetworkInterface", "iface_id"): "net0 and so on, in the order of the options",
    ("NetworkInterface", "rx_rate_limiter"): LIMITS,
    ("NetworkInterface", "tx_rate_limiter"): LIMITS,
    ("Vsock", "vsock_id"): "deprecated",
    ("Entropy", "rate_limiter"): LIMITS,
    ("Logger", "log_path"): "the log goes to standard error, which a shell leads elsewhere",
    ("Logger", "show_level"): "lines for people always have it",
    ("Logger", "show_log_origin"): "for who reads the source: Firecracker's command line has it",
    ("Logger", "module"): "for who reads the source: Firecracker's command line has it",
    ("SnapshotLoad", "snapshot_path"): FOLDER,
    ("SnapshotLoad", "mem_file_path"): FOLDER,
    ("SnapshotLoad", "enable_diff_snapshots"): "deprecated",
    ("SnapshotLoad", "clock_realtime"): "deprecated: --clock continuous says it",
    ("SnapshotLoad.clock", "set"): "for programs that have computed a counter's value",
    ("MemBackend", "backend_path"): FOLDER,
    ("VmChange", "state"): "the command's name says it",
    ("VmChange.clock", "set"): "for programs that have computed a counter's value",
}


def fields_of(schemas, name):
    """The fields of a body, or ("Body.field") of the objects that one of its fields may be."""
    body, _, field = name.partition(".")
    if not field:
        return set(schemas[body]["properties"])
    forms = schemas[body]["properties"][field]["oneOf"]
    return {key for form in forms for key in form.get("properties", {})}


def read(files):
    texts = []
    for name in files:
        with open(f"{ROOT}/vmm/{name}") as file:
            texts.append(file.read())
    return "\n".join(texts)


def has_option(text, option):
    name, _, word = option.partition(" ")
    # A row of a table of options, and a word as the parser or the help has it.
    row = re.search(rf'{{\s*"{re.escape(name)}",\s*(NULL|")', text)
    return row and (not word or re.search(rf'["\s(]{re.escape(word)}["\s,;]?', text))


def check(schemas):
    """What is wrong, a line each."""
    unused = set(WITHOUT)
    for command, (files, bodies) in COMMANDS.items():
        text = read(files)
        for body, options in bodies.items():
            fields = fields_of(schemas, body)
            for field in sorted(fields - set(options)):
                if (body, field) not in WITHOUT:
                    yield (f"stasis {command} has no option for `{field}` of {body}; add one, or say in "
                           f"{os.path.basename(__file__)} why there is none")
                unused.discard((body, field))
            for field in sorted(set(options) - fields):
                yield f"{body} in docs/api.yaml has no field `{field}`"
            for field, option in options.items():
                if not has_option(text, option):
                    yield f"stasis {command} has no option --{option} for `{field}` of {body}"
    for body, field in sorted(unused):
        yield f"a reason for `{field}` of {body}, which has an option or does not exist"


def main():
    with open(f"{ROOT}/docs/api.yaml") as file:
        schemas = yaml.load(file, Loader=yaml.CSafeLoader)["components"]["schemas"]
    problems = list(check(schemas))
    print("\n".join(problems), end="\n" if problems else "")
    return 1 if problems else 0


sys.exit(main())
