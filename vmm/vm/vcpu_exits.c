/* SPDX-License-Identifier: Apache-2.0 */
/* What a vCPU's thread does when the guest's access or a failure ended
 * kvm_vcpu_run(). */
#include <stdio.h>

#include "core/base/metrics.h"
#include "core/base/util.h"
#include "core/io/log.h"
#include "vmm/vm/vcpu.h"

static struct vcpu_counters {
	uint64_t exit_mmio_read, exit_mmio_write, failures;
	struct metric_latency exit_mmio_read_agg, exit_mmio_write_agg;
	/* Of another architecture: always 0. */
	uint64_t exit_io_in, exit_io_out, kvmclock_ctrl_fails;
	struct metric_latency exit_io_in_agg, exit_io_out_agg;
} counters;

static const struct metric counter_table[] = {
	METRIC(struct vcpu_counters, exit_mmio_read),
	METRIC(struct vcpu_counters, exit_mmio_write),
	METRIC(struct vcpu_counters, failures),
	METRIC(struct vcpu_counters, exit_io_in),
	METRIC(struct vcpu_counters, exit_io_out),
	METRIC(struct vcpu_counters, kvmclock_ctrl_fails),
	LATENCY(struct vcpu_counters, exit_io_in_agg),
	LATENCY(struct vcpu_counters, exit_io_out_agg),
	LATENCY(struct vcpu_counters, exit_mmio_read_agg),
	LATENCY(struct vcpu_counters, exit_mmio_write_agg),
};

struct metrics_group vcpu_metrics = {
	.name = "vcpu",
	.metric = counter_table,
	.count = ARRAY_SIZE(counter_table),
	.base = &counters,
};

void vcpu_exit_error(struct vcpu *vcpu)
{
	char why[160], where[120], reason[VCPU_REASON_MAX];

	kvm_vcpu_explain(&vcpu->kvm, why, sizeof(why));
	arch_vcpu_describe(&vcpu->kvm, where, sizeof(where));
	snprintf(reason, sizeof(reason), "vCPU %u cannot go on: %s (%s)",
		 vcpu->kvm.index, why, where);
	metric_add(&counters.failures, 1);
	vcpu_set_fail(vcpu->set, reason);
}

void vcpu_exit_mmio(struct vcpu *vcpu)
{
	const struct mmio_bus *bus = vcpu->set->bus;
	uint64_t began = metric_clock();
	struct kvm_mmio m;

	vcpu_late_writes(vcpu);
	kvm_vcpu_mmio(&vcpu->kvm, &m);
	metric_add(m.is_write ? &counters.exit_mmio_write
			      : &counters.exit_mmio_read,
		   1);
	if (m.is_write)
		mmio_bus_write(bus, m.gpa, m.len, m.value);
	else
		kvm_vcpu_mmio_answer(&vcpu->kvm,
				     mmio_bus_read(bus, m.gpa, m.len));
	metric_took(m.is_write ? &counters.exit_mmio_write_agg
			       : &counters.exit_mmio_read_agg,
		    began);
}

void vcpu_exit_undecoded(struct vcpu *vcpu)
{
	static struct log_limit limit;
	int r;

	log_guest(&limit,
		  "device access with an instruction that cannot be "
		  "emulated, at 0x%llx: aborted",
		  (unsigned long long)kvm_vcpu_fault_gpa(&vcpu->kvm));
	r = kvm_vcpu_inject_abort(&vcpu->kvm);
	if (r) {
		vcpu->kvm.run_errno = -r;
		vcpu_exit_error(vcpu);
	}
}
