# SPDX-License-Identifier: Apache-2.0
# add: out/stasis
# guest: machine
#
# What a Linux guest makes of its device tree: a random address for its kernel, who runs it, and a
# clock whose alarm rings.
. "$T/lib.sh"

# Where a kernel of this guest is linked to be: KIMAGE_VADDR of Linux.
linked=ffff800080000000

initrd=$T/machine.cpio boot_linux "quiet guest.alarm"
t_begin "the guest knows that KVM runs it"
if [ "$(said hypervisor)" = linux,kvm ]; then t_ok; else t_fail "it does not" out; fi
t_begin "its kernel lies where the seed says, and has erased that"
text=$(said text)
if [ "${#text}" = 16 ] && [ "$text" != $linked ] && [ "$(said seed)" = 0000000000000000 ]; then
	t_ok
else
	t_fail "it does not" out
fi
t_begin "the clock's alarm rings, when it should"
if [ "$run_status" = 0 ] && [ "$(said early)" = 0 ] && [ "$(said rung | head -n 1)" = 1 ]; then
	t_ok
else
	t_fail "it does not" out
fi
t_begin "and wakes a guest that has suspended itself"
if [ "$(said rung | tail -n 1)" = 2 ] && [ "$(said slept)" -ge 2 ]; then t_ok; else
	t_fail "it does not" out
fi

t_begin "without KASLR a kernel lies where it was linked"
initrd=$T/machine.cpio boot_linux quiet --no-kaslr
if [ "$(said text)" = $linked ] && [ -z "$(said seed)" ]; then t_ok; else
	t_fail "at $(said text)" out
fi

t_done
