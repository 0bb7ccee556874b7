/* SPDX-License-Identifier: Apache-2.0 */
/* For the files that implement kvm_fake.h. */
#pragma once

#include "tests/fake/kvm_fake.h"

/* 0, or -errno if this is the call that is to fail. */
int kvm_fake_call(void);

static inline struct fake_vcpu *fake_of(const struct kvm_vcpu *vcpu)
{
	return &kvm_fake.vcpu[vcpu->index];
}
