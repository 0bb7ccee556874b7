# SPDX-License-Identifier: Apache-2.0
#
# Guests that suspend themselves (mutants.py).
SUSPEND = "arch/aarch64/vcpu.c"
CLOCK = "arch/aarch64/clock.c"
VCPU = "vmm/vm/vcpu.c"
RUN = "vmm/vm/vm_run.c"
SNAPSHOT = "vmm/vm/vm_snapshot.c"
VM = "vmm/vm/vm_suspend.c"
INSTANCE = "vmm/instance/instance.c"
SUSPENDED = "vmm/instance/instance_suspend.c"
SAVING = "vmm/instance/instance_snapshot.c"

MUTANTS = [
    ("a guest may sleep while another vCPU is on", SUSPEND, "if (!is_alone(a, asks))", "if (!is_alone(a, asks) && !asks)", "vm_suspend_test"),
    ("it wakes up anywhere", SUSPEND, "!guest_mem_at(mem, entry, 4)", "!mem", "vm_suspend_test"),
    ("it wakes up between instructions", SUSPEND, "if (entry % 4 || ", "if (", "vm_suspend_test"),
    ("it wakes up with its MMU", SUSPEND, "\tsctlr = (sctlr & SCTLR_EE) | SCTLR_RESET;\n", "", "vm_suspend_test"),
    ("its byte order is lost", SUSPEND, "sctlr = (sctlr & SCTLR_EE) | SCTLR_RESET;", "sctlr = SCTLR_RESET;", "vm_suspend_test"),
    ("what is not suspended is woken, too", SUSPEND,
     "\t\tif (is_in(a->vcpu[i], KVM_MP_STATE_SUSPENDED))\n\t\t\t(void)", "\t\t(void)", "vm_suspend_test"),
    ("the call succeeds unless it is denied", VCPU, "if (arch_suspend_deny(&vcpu->kvm)) {", "if (false) {", "vm_suspend_test"),
    ("each request is looked at", VCPU, "if (now - set->asked >= kvm_counter_hz() / SUSPENDS_PER_S) {", "if (now) {",
     "vm_suspend_test"),
    ("a request outlives the call", VCPU, "\tif (set->suspender == vcpu)\n\t\tset->suspender = NULL;\n", "",
     "vm_suspend_test"),
    ("a guest that sleeps may not jump", CLOCK, "if (c->asleep || ", "if (", "vm_suspend_test"),
    ("it stopped before it was asked to, by hours", CLOCK, "\tif (!clock_goes_back(c->stopping, c->host_stopped))\n", "",
     "vm_suspend_test"),
    ("restored, it is awake", SNAPSHOT, "\tvm->clock.asleep = arch_is_asleep(&vm->arch);\n", "", "vm_suspend_test"),
    ("it is resumed asleep", RUN, "\tvm_wake(vm);\n\tvcpu_set_ready", "\tvcpu_set_ready", "vm_suspend_test"),
    ("awake, it may jump for ever", RUN, "\tvm->clock.asleep = false;\n\tstart_realtime", "\tstart_realtime",
     "vm_suspend_test"),
    ("a pause forgets that it has asked", RUN, "\tvm->parking = false;\n\tvm_look_at_suspend(vm);\n", "\tvm->parking = false;\n",
     "vm_suspend_test"),
    ("what came before it slept wakes it", VM, "\tvm->knocked = false;\n\tvirtio_slots", "\tvirtio_slots", "vm_suspend_test"),
    ("what wakes it does so for ever", VM, "\tvm->knocked = false;\n\thost.woken", "\thost.woken", "vm_suspend_test"),
    ("an alarm does not wake it", VM, "(!vm->knocked && !rtc_has_alarm(&vm->rtc))", "!vm->knocked", "vm_suspend_test"),
    ("an alarm does not tell the main thread", "devices/rtc.c", "\tif (r->told)\n\t\t(void)eventfd_write(r->wake_fd, 1);\n", "",
     "rtc_test"),
    ("it is Paused", INSTANCE, "if (!result && !in->pausing)", "if (false)", "api_suspend_test"),
    ("paused, it is woken", SUSPENDED, "\tif (in->state != INSTANCE_SUSPENDED)\n\t\treturn;\n", "", "api_suspend_test"),
    ("what wakes it cancels its snapshot", SUSPENDED, "\tif (!in->job && instance_resume", "\tif (instance_resume",
     "api_suspend_test"),
    ("what came during its snapshot is forgotten", SAVING, "\tif (in->woken)\n\t\tinstance_wake(in);\n", "",
     "api_suspend_test"),
    ("GET /clock says that time runs", "vmm/api/handlers.c", "in->state >= INSTANCE_PAUSED", "in->state == INSTANCE_PAUSED",
     "api_suspend_test"),
    ("a frame does not wake it", "devices/virtio/net/net.c", "\t\tvirtio_wake(dev);\n", "", "virtio_net_held_test"),
    ("the tap is not watched again", "devices/virtio/net/net.c", "\tnet_rx_watch(net_of(dev), true);\n", "",
     "virtio_net_held_test"),
    ("a device without a driver does not wake it", "devices/virtio/virtio.c", "\tif (dev->ops->await_wake)\n",
     "\tif (dev->ops->await_wake && dev->queue[0].started)\n", "virtio_net_held_test"),
    ("loaded, a device receives while the guest sleeps", "devices/virtio/virtio.c",
     "\tdev->quiesced = true;\n\t/* Also", "\t/* Also", "virtio_net_held_test"),
    ("a program that connects does not wake it", "devices/virtio/vsock/vsock.c", "\t\tvirtio_wake(dev);\n", "",
     "virtio_vsock_life_test"),
    ("a program that is connected does not wake it", "devices/virtio/vsock/vsock_conn.c", "\t\tvirtio_wake(&v->dev);\n", "",
     "virtio_vsock_life_test"),
]
