# SPDX-License-Identifier: Apache-2.0
#
# Locks that are missing, left behind or taken twice: the compiler refuses them (mutants.py), because
# of what core/thread/lock.h says. And an order that only a test can see.
V = "devices/virtio"
C = "compiler: "

MUTANTS = [
    ("the power key is pressed without the lock", "devices/gpio.c",
     [("\tdevice_lock_take(&g->lock);\n\tset_lines(", "\tset_lines("),
      ("g->in & ~POWER_KEY);\n\tdevice_lock_release(&g->lock);\n", "g->in & ~POWER_KEY);\n")], C + "gpio_test"),
    ("the power key's lock is never released", "devices/gpio.c",
     "g->in & ~POWER_KEY);\n\tdevice_lock_release(&g->lock);\n", "g->in & ~POWER_KEY);\n", C + "gpio_test"),
    ("input of the serial port is added without the lock", "devices/serial.c",
     [("\tdevice_lock_take(&s->lock);\n\twhile (taken", "\twhile (taken"),
      ("\t\tserial_raise_interrupt(s);\n\tdevice_lock_release(&s->lock);\n\treturn taken;",
       "\t\tserial_raise_interrupt(s);\n\treturn taken;")], C + "serial_test"),
    ("the clock's alarm is looked at without the lock", "devices/rtc.c",
     "{\n\tdevice_lock_take(&r->lock);\n\tset_timer(r);\n\tdevice_lock_release(&r->lock);\n}", "{\n\tset_timer(r);\n}",
     C + "rtc_test"),
    ("a kick of a queue is handled without the device's lock", f"{V}/virtio.c",
     "\tvirtio_enter(dev);\n\tvirtio_run_queue(dev, (unsigned)(kick - dev->kick));\n\tvirtio_leave(dev);\n",
     "\tvirtio_run_queue(dev, (unsigned)(kick - dev->kick));\n", C + "virtio_virtq_test"),
    ("a device is left locked", f"{V}/virtio.c",
     "\t\tkick_all(dev);\n\tvirtio_leave(dev);\n", "\t\tkick_all(dev);\n", C + "virtio_virtq_test"),
    ("a device is entered twice", f"{V}/virtio.c",
     "\tvirtio_enter(dev);\n\tdev->quiesced = true;\n", "\tvirtio_enter(dev);\n\tvirtio_enter(dev);\n\tdev->quiesced = true;\n",
     C + "virtio_virtq_test"),
    ("a page is asked for without the lock of the queue", "vmm/vm/prefault.c",
     [("\tprefault_lock_take(&p->lock);\n\tif (p->count < QUEUE_MAX", "\tif (p->count < QUEUE_MAX"),
      ("(struct range){host, len};\n\tpthread_cond_signal(&p->changed);\n\tprefault_lock_release(&p->lock);\n",
       "(struct range){host, len};\n\tpthread_cond_signal(&p->changed);\n")], C + "api_paged_test"),
    ("vCPUs are asked to run without the lock", "vmm/vm/vcpu.c",
     [("\tvcpu_lock_take(&set->lock);\n\tset->ready_cpu = thread_cpu();\n\tif (set->end == VCPU_END_NONE)\n\t\twant_locked(set, VCPUS_READY);\n\tvcpu_lock_release(&set->lock);\n",
       "\tif (set->end == VCPU_END_NONE)\n\t\twant_locked(set, VCPUS_READY);\n")], C + "vcpu_test"),
    ("a snapshot is cancelled without the lock", "vmm/instance/snapshot_job.c",
     "\tjob_lock_take(&job->lock);\n\tjob->cancelled |= job->reading;\n\tjob_lock_release(&job->lock);\n",
     "\tjob->cancelled |= job->reading;\n", C + "snapshot_job_test"),
    ("a thread is asked for without the lock", "core/thread/thread.c",
     "\tstarter_lock_take(&starter.lock);\n\tstarter.request = &r;\n", "\tstarter.request = &r;\n", C + "lock_test"),
    ("a line is deferred without the log's lock", "core/io/log.c",
     "\tlog_lock_take(&deferred.lock);\n\tif (len <=", "\tif (len <=", C + "lock_test"),

    # What the compiler does not see: a lock that is taken behind a pointer to a function.
    ("locks may be taken in any order", "core/thread/lock.c", "\tassert(!(held & ~under));\n", "\t(void)under;\n", "lock_test"),
    ("coalesced writes are handled under the vCPUs' lock", "vmm/vm/vcpu.c",
     "\tparked = set->parked == set->started;\n\tset->awaited = !parked;\n",
     "\tparked = set->parked == set->started;\n\tset->awaited = !parked;\n\tif (parked && set->count)\n\t\thandle_late_writes(&set->vcpu[0]);\n",
     "vcpu_test"),
]
