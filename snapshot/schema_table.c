/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/schema_table.h"

#include "core/base/util.h"

const struct schema schema_table[] = {
	{"snid", "identity", "id:h16 memory_offset:x8"},
	{"head", "host", "stasis:s kernel:s page_size:4"},
	{"conf", "configuration",
	 "vcpu_count:4 mem_size_mib:8 kernel:t initrd:t boot_args:t "
	 "boot_timer:b clock:.clock drives:+drive interfaces:+interface "
	 "vsock:.vsock balloon:.balloon entropy:b rate_limiter:.limiter"},
	{"", "clock",
	 "on_pause:4 on_restore:4 physical:4 max_jump_ms:8 given:b"},
	{"driv", "drive",
	 "id:t path:t partuuid:t root:b read_only:b writeback:b async:b "
	 "rate_limiter:.limiter"},
	{"net ", "interface",
	 "id:t tap:t has_mac:b mac:h6 mtu:2 rx_rate_limiter:.limiter "
	 "tx_rate_limiter:.limiter"},
	{"vsoc", "vsock", "guest_cid:4 uds_path:t id:t"},
	{"ball", "balloon",
	 "present:b amount_mib:4 deflate_on_oom:b stats_interval_s:2 "
	 "free_page_hinting:b free_page_reporting:b"},
	{"", "limiter", "bandwidth:.bucket ops:.bucket"},
	{"", "bucket", "size:8 one_time_burst:8 refill_time_ms:8"},
	{"disk", "disk_identities", "disks:*disk"},
	{"", "disk", "size:8 device:x8 inode:8 mtime_sec:8 mtime_ns:8"},
	{"time", "time",
	 "counter_hz:4 offset:x8 host_stopped:8 guest_stopped:8 boot_id:s "
	 "sample_host:8 tai_sec:8 tai_ns:4 tai_offset:4 synchronized:b "
	 "max_error_ns:8"},
	{"more", "more_settings", "settings:S"},
	{"bsrc", "kernel_placement",
	 "setting:s raw:b load_address:x8 fdt_high:b entry:x8 no_kaslr:b"},
	{"mmds", "metadata_service",
	 "setting:s version_2:b imds_compat:b address:x4 interfaces:*flag"},
	{"huge", "huge_pages", "setting:s pages:4"},
	{"nest", "nested", "setting:s"},
	{"devs", "devices",
	 "boot_timer:.boot_timer rtc:.rtc gpio:.gpio serial:?serial"},
	{"boot", "boot_timer", "done:b"},
	{"rtc ", "rtc", "shift:4 load:4 match:4 mask:4"},
	{"gpio", "gpio",
	 "in:x1 out:x1 direction:x1 sense:x1 both_edges:x1 event:x1 "
	 "enable:x1 raw:x1 alternate:x1 told:x1"},
	{"uart", "serial",
	 "ier:x1 lcr:x1 mcr:x1 scratch:x1 divisor:h2 fifo_enabled:b "
	 "thr_interrupt:b received:c to_send:c"},
	{"virt", "virtio", "devices:+slot"},
	{"", "slot", "device_id:4 state:.device"},
	{"virt", "device",
	 "device_id:4i queue_count:4n features:x8 status:x4 "
	 "queue_select:4 offered_select:4 accepted_select:4 generation:4 "
	 "isr:x4 queues:#queue device:@device"},
	{"", "queue",
	 "desc:x8 avail:x8 used:x8 size:4 ready:b next_avail:2 next_used:2 "
	 "signalled:2"},
	{"", "device1", "rx_limiter:.state_limiter tx_limiter:.state_limiter"},
	{"", "device2", "sectors:8 limiter:.state_limiter"},
	{"", "device4", "limiter:.state_limiter"},
	{"", "device5",
	 "num_pages:4 actual:4 hint_command:4 last_run:4 "
	 "acknowledge_on_stop:b has_guest_command:b guest_command:4 "
	 "stats_interval_s:2 stats_held:b stats_head:2"},
	{"", "device19", "last_port:4"},
	{"", "state_limiter", "bandwidth:.state_bucket ops:.state_bucket"},
	{"", "state_bucket", "size:8 refill_ns:8 burst:8 budget:8 debt:8"},
	{"vclk", "vmclock", "published:b seq:4 disruption:8 generation:8"},
	{"vhst", "vhost", "interfaces:*flag"},
	{"", "flag", "used:b"},
	{"alrm", "rtc_alarm", "due:8 raised:b told:b"},
	{"dsks", "disk_contents", "disks:*disk_content"},
	{"", "disk_content", "birth_sec:8 birth_ns:8 samples:h256"},
	{"hbot", "host_boot", "realtime_ns:8 width_ns:4"},
	{"clkc", "clock_more",
	 "on_stop_frozen:b realtime_is_date:b realtime_ns:8"},
	/* The only section of a working set file. */
	{"wset", "working_set", "id:h16 memory_size:8 ranges:+range"},
	{"", "range", "page:4 pages:4"},
};

const unsigned schema_table_count = ARRAY_SIZE(schema_table);
