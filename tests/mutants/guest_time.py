#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
#
# Builds guest time wrongly, once for each way to get it wrong, and tells which test noticed. The
# work is done on a copy; the status is 0 only if every mutant was caught and each still applies.
#
#   tests/time/mutants [--rig] [NAME...]
#
# Unit tests do most of it. What they cannot see, because their KVM is a fake, needs --rig: those
# run an integration suite on an emulated host (two minutes each).
import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CLOCK, MODEL, VM = "arch/aarch64/clock.c", "arch/aarch64/clock_model.h", "vmm/vm/vm.c"
VCPU, STATUS, CONFIG, PROBE = "vmm/vm/vcpu.c", "vmm/config/clock_status.c", "vmm/config/config.c", "arch/aarch64/clock_probe.c"
TRACE, ANSWER = "vmm/ctl/trace_offset.c", "vmm/ctl/ctl_clock.c"
PAGES, PAGE, SAMPLE = "vmm/vm/time_pages.c", "devices/vmclock.c", "arch/aarch64/clock_sample.c"
TESTS = ["clock_model_test", "clock_test", "clock_status_test", "clock_bodies_test", "clock_probe_test",
         "ctl_clock_test", "vmclock_test", "vmgenid_test", "vcpu_test", "vm_test"]

# (name, file, what it says, what the mutant says)
UNIT = [
    ("the sign of the offset is flipped", MODEL, "return host - guest;", "return guest - host;"),
    ("the guest's counter is the sum", MODEL, "return host - offset;", "return host + offset;"),
    ("the offset is set once, when the VM is created", CLOCK,
     "\t\t       : move(c, vm, vcpu, guest, e);\n", "\t\t       : (int)(guest & 0);\n"),
    ("the offset is not pinned when the VM is created", CLOCK,
     "return c->has_offset ? set_offset(c, vm, kvm_counter_read(), e) : 0;", "return 0;"),
    ("the host is read at the pause, not at the resume", CLOCK,
     "clock_offset(kvm_counter_read(), guest)", "clock_offset(c->host_stopped + 1, guest)"),
    ("continuous sets the offset, too", CLOCK,
     "\tif (!c->moved)\n\t\treturn 0;\n", "\tif (!c->moved)\n\t\treturn move(c, vm, vcpu, c->guest_stopped + (kvm_counter_read() - c->host_stopped), e);\n"),
    ("continuous forgets that a resume failed half-way", CLOCK,
     "\tif (!c->moved)\n\t\treturn 0;\n", "\tif (c->has_offset || !c->moved)\n\t\treturn 0;\n"),
    ("counters are written beside the offset", CLOCK,
     "\treturn verify(c, vcpu, e);\n}\n\n/* It never stopped",
     "\tif (kvm_vcpu_set_reg(vcpu, KVM_REG_ARM_TIMER_CNT, &guest))\n\t\treturn -1;\n"
     "\tif (!c->has_offset)\n\t\tkvm_vcpu_set_reg(vcpu, KVM_REG_ARM_PTIMER_CNT, &guest);\n"
     "\treturn verify(c, vcpu, e);\n}\n\n/* It never stopped"),
    ("the ids of counter and compare value are swapped, read", CLOCK,
     'check_counter(c, vcpu, KVM_REG_ARM_TIMER_CNT, "virtual", e)',
     'check_counter(c, vcpu, KVM_REG_ARM_TIMER_CVAL, "virtual", e)'),
    ("the ids of counter and compare value are swapped, written", CLOCK,
     "kvm_vcpu_set_reg(vcpu, KVM_REG_ARM_TIMER_CNT, &guest);",
     "kvm_vcpu_set_reg(vcpu, KVM_REG_ARM_TIMER_CVAL, &guest);"),
    ("EBUSY is taken for success", CLOCK, "\tif (r) {\n\t\terrno = -r;\n\t\treturn err_errno(e, \"KVM does",
     "\tif (r && r != -EBUSY) {\n\t\terrno = -r;\n\t\treturn err_errno(e, \"KVM does"),
    ("EBUSY is not tried again", CLOCK, "\tBUSY_TRIES = 50,", "\tBUSY_TRIES = 1,"),
    ("nothing is verified", CLOCK, "\tif (clock_bracketed(", "\tif (c->hz || clock_bracketed("),
    ("the bracket is open on one side", MODEL,
     "return guest - clock_guest(before, offset) <= after - before;",
     "(void)after; return guest - clock_guest(before, offset) < UINT64_MAX / 2;"),
    ("a jump may be of any length", CLOCK, "\tif (!clock_longer_than(ticks, c->hz, max))\n",
     "\tif (true || !clock_longer_than(ticks, c->hz, max))\n"),
    ("a set counter may jump any length", CLOCK,
     "\t\tjump = request->ticks - c->guest_stopped;\n", ""),
    ("a counter may be set back", CLOCK,
     "if (clock_goes_back(c->guest_stopped, request->ticks))", "if (false)"),
    ("going back is compared without wrapping", MODEL,
     "return (int64_t)(to - from) < 0;", "return to < from;"),
    ("a host counter that went back is gone on with", CLOCK,
     "if (clock_goes_back(c->host_stopped, host))", "if (false)"),
    ("nanoseconds wrap at 64 bits", MODEL, "ns = (unsigned __int128)ticks * 1000000000u / hz;",
     "ns = ticks * 1000000000u / hz;"),
    ("milliseconds wrap at 64 bits", MODEL,
     "return (unsigned __int128)ticks * 1000 > (unsigned __int128)ms * hz;",
     "return ticks * 1000 > ms * hz;"),
    ("elapsed ticks wrap at 64 bits", MODEL,
     "(unsigned __int128)ns * hz / 1000000000u", "ns * hz / 1000000000u"),
    ("elapsed ticks are computed in double", MODEL,
     "(unsigned __int128)ns * hz / 1000000000u",
     "(unsigned __int128)((double)ns * hz / 1000000000.0)"),
    ("elapsed ticks are rounded up", MODEL,
     "(unsigned __int128)ns * hz / 1000000000u",
     "((unsigned __int128)ns * hz + 999999999u) / 1000000000u"),
    ("a TAI offset that was not told is 37 s of leap", MODEL,
     "tai_then && tai_now ? tai_now - tai_then : 0", "tai_now - tai_then"),
    ("leap seconds do not count", MODEL, "tai_then && tai_now ? tai_now - tai_then : 0",
     "tai_then && tai_now && false ? 1 : 0"),
    ("a host without the offset gets a physical counter that is not the guest's", CLOCK,
     "if (why && c->config.physical == CLOCK_PHYSICAL_GUEST)", "if (false && why)"),
    ("physical: host is ignored", CLOCK,
     "!why && c->config.physical != CLOCK_PHYSICAL_HOST", "!why"),
    ("the physical counter is written, too", CLOCK,
     "\t\tc->error_ticks = kvm_counter_read() - before;\n",
     "\t\tkvm_vcpu_set_reg(vcpu, KVM_REG_ARM_PTIMER_CNT, &guest);\n"
     "\t\tc->error_ticks = kvm_counter_read() - before;\n"),
    ("the VM's own policy is ignored", CLOCK, "c->config.on_restore : c->config.on_pause;",
     "c->config.on_restore : CLOCK_FROZEN;"),
    ("6.5 is trusted", CLOCK, '!strncmp(host.release, "6.5.", 4)', "false"),
    ("a guest runs although its clock failed", VM,
     "\t\tclock_metrics_update(&vm->clock);\n\t\treturn -1;\n\t}\n\ttime_pages_resume",
     "\t\tclock_metrics_update(&vm->clock);\n\t}\n\ttime_pages_resume"),
    ("vCPUs that are to be ready run", VM, "vcpu_set_ready(&vm->vcpus);", "vcpu_set_release(&vm->vcpus);"),
    ("VMClock is not published on a resume", PAGES, "\tvmclock_publish(&t->vmclock, &pair);\n",
     "\tif (!t->vmclock.published)\n\t\tvmclock_publish(&t->vmclock, &pair);\n"),
    ("VMClock's marker is not raised", PAGE, "\t\tc->disruption++;\n", "\t\tc->disruption += 0;\n"),
    ("VMClock tells nobody", PAGE, "\t\tirq_line_pulse(&c->irq);\n", "\t\t;\n"),
    ("a resume does not raise VMClock's interrupt", PAGES, "\t\tvmclock_notify(&t->vmclock);\n", "\t\t;\n"),
    ("a continuous resume raises VMClock's interrupt", CLOCK, "\treturn c->moved || (request", "\treturn true || (request"),
    ("vCPUs that are parked before they ran stopped in the past", VCPU, "\tset->left = kvm_counter_read();\n", ""),
    ("history keeps the first operations", CLOCK, "c->event_count++ % CLOCK_HISTORY_MAX",
     "min_u64(c->event_count++, CLOCK_HISTORY_MAX - 1)"),
    ("a refused resume counts", CLOCK, "\tif (check_request(c, request, now, &jump, e) ||",
     "\tc->resumes++;\n\tif (check_request(c, request, now, &jump, e) ||"),
    ("the pause is told as the host's time from its start", CLOCK,
     "event->paused_ticks = event->host - c->host_stopped;", "event->paused_ticks = event->host;"),
    ("an offset is told without its sign", STATUS, '\",\\"offset\\":%lld\", (long long)offset',
     '\",\\"offset\\":%llu\", (unsigned long long)offset'),
    ("perf is told the offset with the wrong sign", TRACE, "(long long)(0 - (uint64_t)answer->offset)",
     "(long long)answer->offset"),
    ("trace-offset multiplies in 64 bits", ANSWER, "(__int128)(int64_t)ago * 1000000000 / answer->hz",
     "(__int128)((int64_t)(ago * 1000000000) / answer->hz)"),
    ("doctor takes KVM's word for the offset", PROBE, "clock_bracketed(before, guest, kvm_counter_read(), offset)",
     "(clock_bracketed(before, guest, kvm_counter_read(), offset) || guest != offset)"),
    ("a guest with EL2 may have the host's physical counter", CONFIG, "config->clock.physical == CLOCK_PHYSICAL_HOST", "false"),
    ("VMClock's sequence stays odd", PAGE, "\tc->seq += 2;\n", "\tc->seq += 1;\n"),
    ("VMClock tells UTC as TAI", SAMPLE, "\tsample->tai_sec += (unsigned)sample->tai_offset;\n", ""),
]

# The same, and the suite that must notice.
RIG = [
    ("time is stopped before the last vCPU has parked", VM,
     "vcpu_set_left(&vm->vcpus), e)) {", "vm->clock.stopping, e)) {", "time-cycles"),
    ("a vCPU says that it left the guest when it enters", VCPU,
     "\t\trun_guest(vcpu);\n", "\t\tuint64_t early = kvm_counter_read();\n\n\t\trun_guest(vcpu);\n", "time-cycles",
     "\t\tleft = kvm_vcpu_left(&vcpu->kvm);\n\t}\n", "\t\tleft = early;\n\t}\n"),
]


def copy_tree(to):
    """What git tracks and what it would, as it is in the working tree."""
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                            cwd=ROOT, capture_output=True, check=True).stdout.decode()
    for path in filter(None, listed.split("\0")):
        source, target = os.path.join(ROOT, path), os.path.join(to, path)
        if os.path.lexists(source):
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)
    os.makedirs(f"{to}/out")
    os.symlink(f"{ROOT}/out/deps", f"{to}/out/deps")
    subprocess.run(["git", "init", "-q"], cwd=to, check=True)   # tests/run.py asks it
    subprocess.run(["gn", "gen", "out", "--quiet"], cwd=to, check=True)


def build(tree, targets):
    """None, or why it does not build."""
    done = subprocess.run(["ninja", "-C", "out", *targets], cwd=tree, capture_output=True, text=True)
    return done.stdout if done.returncode else None


def failing_unit_test(tree):
    """The first test that fails, or None."""
    for test in TESTS:
        try:
            done = subprocess.run([f"out/native/{test}"], cwd=tree, capture_output=True, text=True,
                                  timeout=60, env={"CMOCKA_MESSAGE_OUTPUT": "TAP"}, errors="replace")
        except subprocess.TimeoutExpired:
            return f"{test}: it does not end"
        bad = re.search(r"^not ok \d+ - (\S+)", done.stdout, re.M)
        if bad or done.returncode:
            return f"{test}: {bad[1] if bad else 'it crashed'}"
    return None


def failing_suite(tree, suite):
    done = subprocess.run(["python3", "tests/run.py", "-k", f"neoverse-n1 6.12 smp2 {suite}"], cwd=tree,
                          capture_output=True, text=True)
    bad = re.search(r"^FAIL .*? s  (.*)$", done.stdout, re.M)
    return bad[1] if bad else None


def try_mutant(tree, mutant):
    name, path, old, new = mutant[:4]
    with open(f"{tree}/{path}") as file:
        good = file.read()
    if good.count(old) != 1:
        return name, "STALE", f"{path} has {good.count(old)} times what it changes"
    text = good.replace(old, new)
    if len(mutant) > 5:
        text = text.replace(mutant[5], mutant[6])
    try:
        with open(f"{tree}/{path}", "w") as file:
            file.write(text)
        rig = len(mutant) > 4
        why = build(tree, ["stasis", "guests/clock.img", "tests/clock_host"] if rig else [f"native/{t}" for t in TESTS])
        if why:
            return name, "STALE", "it does not build:\n" + why[-600:]
        killer = failing_suite(tree, mutant[4]) if rig else failing_unit_test(tree)
        return name, "caught" if killer else "ALIVE", killer or "no test noticed"
    finally:
        with open(f"{tree}/{path}", "w") as file:
            file.write(good)


def main():
    parser = argparse.ArgumentParser(prog="tests/time/mutants", description="Tests the tests of guest time.")
    parser.add_argument("--rig", action="store_true", help="also what needs an emulated host")
    parser.add_argument("name", nargs="*", help="only mutants with one of these in their name")
    options = parser.parse_args()
    mutants = [m for m in UNIT + (RIG if options.rig else [])
               if not options.name or any(part in m[0] for part in options.name)]
    bad = 0
    with tempfile.TemporaryDirectory(prefix="mutants.") as tree:
        copy_tree(tree)
        why = build(tree, [f"native/{test}" for test in TESTS])
        if why or failing_unit_test(tree):
            sys.exit(f"the tree fails without a mutant: {why or failing_unit_test(tree)}")
        for mutant in mutants:
            name, verdict, detail = try_mutant(tree, mutant)
            bad += verdict != "caught"
            print(f"{verdict}: {name}\n        {detail}", flush=True)
    print(f"{len(mutants) - bad} of {len(mutants)} caught")
    sys.exit(1 if bad or not mutants else 0)


if __name__ == "__main__":
    main()
