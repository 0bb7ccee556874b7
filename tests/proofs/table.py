# SPDX-License-Identifier: Apache-2.0
#
# The proofs: how far each looks, and which mistakes it must find.
from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    what: str       # what the source then does wrong
    path: str
    old: str        # what it says, exactly once
    new: str        # what the mutant says
    fails: str      # a pattern for the words of the property that must fail


@dataclass(frozen=True)
class Proof:
    name: str       # of NAME_proof.c
    unwind: int     # no loop may go round as often; if one does, that is an error
    checks: tuple   # of CBMC, beside what the harness says
    mutants: tuple
    small: tuple = ()       # what is replaced to make it easier: (path, old, new)
    harness: str = ""       # NAME of NAME_proof.c, if that is another
    defines: tuple = ()     # macros for it


VIRTQ, VIRTQ_H = "devices/virtio/virtq.c", "devices/virtio/virtq.h"
MEM, DIRTY, BUS, CODEC = "core/machine/mem.c", "core/machine/mem_dirty.c", "core/machine/mmio_bus.c", "snapshot/codec.c"
BUCKET, MODEL, RECORD = "core/base/token_bucket.c", "arch/aarch64/clock_model.h", "arch/aarch64/clock_record.c"
RTC, MMIO, BLOCK = "devices/rtc.c", "devices/virtio/mmio.c", "devices/virtio/block/block_request.c"
TX, RX = "devices/virtio/net/net_tx.c", "devices/virtio/net/net_rx.c"
SERIAL, OUTPUT, SERIAL_H = "devices/serial.c", "devices/serial_output.c", "devices/serial_internal.h"
CONN = "devices/virtio/vsock/vsock_conn.c"

CHECKS = ("--bounds-check", "--signed-overflow-check", "--undefined-shift-check", "--div-by-zero-check")
POINTERS = (*CHECKS, "--pointer-check")     # where all memory is real: none is guest RAM
SMALL_RING = ((VIRTQ_H, "VIRTQ_SIZE_MAX = 256,", "VIRTQ_SIZE_MAX = 4,"),)
SMALL_BUS = (("core/machine/mmio_bus.h", "MMIO_WINDOWS_MAX = 96", "MMIO_WINDOWS_MAX = 3"),)

PROOFS = (
    Proof("virtq_start", 10, CHECKS, (
        Mutant("forgets an event index at the end of a ring", VIRTQ, "used_len = 4 + 8ull * vq->size + 2;",
               "used_len = 4 + 8ull * vq->size;", "what the standard allows"),
        Mutant("accepts any size", VIRTQ, " || vq->size & (vq->size - 1)", "", "what the standard allows"),
        Mutant("accepts any address", VIRTQ, "vq->used_gpa % VRING_USED_ALIGN_SIZE", "false", "what the standard allows"),
    )),
    Proof("virtq_ring", 6, CHECKS, (
        Mutant("takes a descriptor behind the end of its table", VIRTQ, "if (i >= size)", "if (i > size)",
               "a load is inside"),
        Mutant("takes a buffer more than a chain holds", VIRTQ, "count == VIRTQ_CHAIN_MAX", "count > VIRTQ_CHAIN_MAX",
               "upper bound"),
        Mutant("keeps empty buffers", VIRTQ, "\tif (!d->len)\n\t\treturn true;", "", "a buffer is not empty"),
        Mutant("answers behind the used ring", VIRTQ, "&vq->used->ring[vq->next_used & (vq->size - 1)];",
               "&vq->used->ring[vq->next_used & vq->size];", "a store is inside"),
        Mutant("does not look where an indirect table is", VIRTQ, "if (!table || (uintptr_t)table % _Alignof(uint64_t))",
               "if ((uintptr_t)table % _Alignof(uint64_t))", "inside"),
    ), small=SMALL_RING),
    Proof("virtq_buffer", 2, CHECKS, (
        Mutant("counts a length as out that is in", VIRTQ, "chain->in_len += d->len;", "chain->out_len += d->len;",
               "out_len grows"),
        Mutant("takes a buffer that is not in RAM", VIRTQ, "if (!host)", "if (!host && !d->addr)", "has an address"),
        Mutant("takes out buffers behind in buffers", VIRTQ, "} else if (chain->in_count) {",
               "} else if (chain->in_count > 1) {", "out buffers come first"),
    )),
    Proof("virtq_read", 4, CHECKS, (
        Mutant("compares a sum, which may wrap", VIRTQ, "offset > chain->out_len || len > chain->out_len - offset",
               "offset + len > chain->out_len", "unwinding"),
        Mutant("forgets the offset in the length of a part", VIRTQ,
               "part = min_u64(len, v->iov_len - offset);\n\t\tguest_copy(", "part = min_u64(len, v->iov_len);\n\t\tguest_copy(",
               "within a buffer"),
    ), harness="virtq_bytes"),
    Proof("virtq_write", 4, CHECKS, (
        Mutant("compares a sum, which may wrap", VIRTQ, "offset > chain->in_len || len > chain->in_len - offset",
               "offset + len > chain->in_len", "unwinding"),
        Mutant("forgets where a part begins", VIRTQ, "guest_fill((uint8_t *)v->iov_base + offset, from, part);",
               "guest_fill(v->iov_base, from, part);", "begins where the last one ended"),
    ), harness="virtq_bytes", defines=("WRITES",)),
    Proof("virtq_slice", 3, CHECKS, (
        Mutant("begins each part at the offset", VIRTQ, "out[used++].iov_len = part;\n\t\tlen -= part;\n\t\toffset = 0;",
               "out[used++].iov_len = part;\n\t\tlen -= part;", "begins where the last one ended"),
        Mutant("forgets the offset in the length of a part", VIRTQ,
               "part = min_u64(len, iov[i].iov_len - offset);", "part = min_u64(len, iov[i].iov_len);",
               "within a buffer"),
    )),
    Proof("guest_ram", 3, CHECKS, (
        Mutant("adds, and the sum may wrap", MEM, "len <= r->size - offset)", "offset + len <= r->size)", "has no pointer"),
        Mutant("takes the address behind the region", MEM, "offset < r->size", "offset <= r->size",
               "has no pointer"),
    )),
    Proof("mem_dirty", 4, POINTERS, (
        Mutant("marks the page behind the last one", DIRTY, "(offset + len - 1) / d->page", "(offset + len) / d->page",
               "is marked"),
        Mutant("shifts by the bits of a word", DIRTY, "UINT64_MAX >> (63 - last % 64)", "UINT64_MAX >> (64 - last % 64)",
               "shift"),
    )),
    Proof("mmio_windows", 4, POINTERS, (
        Mutant("lets an access run over the end of a window", BUS, "len > w->size - (gpa - w->base)",
               "len > w->size", "ends within the window"),
        Mutant("takes the window behind a gap", BUS, "if (i == bus->count || gpa < w->base ||", "if (i == bus->count ||",
               "in the window"),
    ), small=SMALL_BUS),
    Proof("mmio_add", 4, POINTERS, (
        Mutant("adds a window over the next one", BUS, "bus->window[i].base - window.base < window.size", "false",
               "if there is room"),
        Mutant("takes a window more than there is room for", BUS, "if (bus->count == MMIO_WINDOWS_MAX)",
               "if (bus->count > MMIO_WINDOWS_MAX)", "bound"),
    ), small=SMALL_BUS, harness="mmio_windows", defines=("ADD=1",)),
    Proof("codec_reader", 10, POINTERS, (
        Mutant("adds, and the sum may wrap", CODEC, "if (len > limit(s) - s->at) {", "if (s->at + len > limit(s)) {",
               "before the end"),
        Mutant("reads up to the end of the data, not of the section", CODEC,
               "return s->depth ? s->section[s->depth - 1] : s->len;", "return s->len;", "sound"),
        Mutant("lets a section be longer than what it is in", CODEC,
               "if (s->loading)\n\t\tsnap_require(s, len <= limit(s) - s->at,", "if (s->loading)\n\t\tsnap_require(s, true,", "sound"),
        Mutant("nests one section more than there is room for", CODEC, "s->depth < SNAP_DEPTH_MAX",
               "s->depth <= SNAP_DEPTH_MAX", "sound"),
        Mutant("looks for a NUL behind the end", CODEC, "snap_require(s, len <= limit(s) - s->at, \"a text is cut off\");",
               "", "before the end"),
    ), small=(("snapshot/codec.h", "SNAP_DEPTH_MAX = 8,", "SNAP_DEPTH_MAX = 2,"),)),
    Proof("token_bucket", 2, CHECKS, (
        Mutant("fills over the brim", BUCKET, "b->budget += min_u64(tokens - paid, b->size - b->budget);",
               "b->budget += min_u64(tokens - paid, b->size);", "stays sound"),
        Mutant("takes from the budget what it has not", BUCKET, "b->budget -= min_u64(rest, b->budget);",
               "b->budget -= rest;", "stays sound"),
        Mutant("earns when the clock goes back", BUCKET, " || now_ns <= b->last_ns)", ")", "earns nothing"),
        Mutant("makes no debt of what it grants", BUCKET, "b->debt = rest - b->budget;", "b->debt = 0;", "is taken"),
    ), small=((BUCKET, "earned / b->refill_ns;", "any_wide();"),
              (BUCKET, "(uint64_t)(earned % b->refill_ns);", "nondet_u64() % b->refill_ns;"))),
    Proof("token_rate", 2, CHECKS, (
        Mutant("loses the rest of a token", BUCKET, "(uint64_t)(earned % b->refill_ns);", "0;", "exactly the rate"),
        Mutant("rounds a wait down", BUCKET, " - b->fraction + b->size - 1) / b->size", " - b->fraction) / b->size",
               "long enough"),
    ), small=((BUCKET, "typedef unsigned __int128 wide;", "typedef uint32_t wide;"),)),
    Proof("clock_model", 2, CHECKS, (
        Mutant("adds the offset", MODEL, "return host - offset;", "return host + offset;", "goes on there"),
        Mutant("leaves out the last moment", MODEL, "<= after - before;", "< after - before;", "there was a moment"),
        Mutant("takes the same moment for back", MODEL, "return (int64_t)(to - from) < 0;", "return (int64_t)(to - from) <= 0;",
               "is not back"),
    )),
    Proof("clock_jump", 2, CHECKS, (
        Mutant("refuses a jump of just the limit", MODEL, "* 1000 > (unsigned", "* 1000 >= (unsigned", "may be of the limit"),
        Mutant("multiplies in 64 bits", MODEL, "(unsigned __int128)ticks * 1000 >", "ticks * 1000 >", "nor does the longest wrap"),
    ), harness="clock_model", defines=("JUMP=1",)),
    Proof("clock_restore", 2, CHECKS, (
        Mutant("lets time that went back wrap", RECORD, "if (ticks < INT64_MIN)\n\t\tticks = INT64_MIN;", "", "went back is seen"),
        Mutant("forgets what passed until the snapshot", RECORD, "ticks += r->sample.host - r->host_stopped;", "",
               "what the clocks say"),
        Mutant("adds errors in 64 bits", RECORD, "(unsigned __int128)r->sample.max_error + now->max_error +",
               "r->sample.max_error + now->max_error +", "does not wrap"),
        Mutant("takes the offset of the other host", RECORD, "c->offset_stopped = clock_offset(c->host_stopped, c->guest_stopped);",
               "c->offset_stopped = r->offset;", "where it stopped"),
    ), small=((RECORD, "(__int128)ns * c->hz / 1000000000;", "quotient;"), (RECORD, "if (same_boot(r, &now))", "if (same)"))),
    Proof("rtc", 2, POINTERS, (
        Mutant("takes an unaligned ID register", RTC, "if (len != 4 || offset % 4) {\n\t\tmetric_add(&counters.missed_read_count", "if (len != 4) {\n\t\tmetric_add(&counters.missed_read_count",
               "reads as 0"),
        Mutant("takes an ID register behind the window", RTC, "return id[(offset - RTC_ID) / 4];",
               "return id[(offset - RTC_ID + 4) / 4];", "upper bound"),
        Mutant("lets the alarm be farther than a register tells", RTC, "now + (uint32_t)(r->match - shown);",
               "now + (r->match - (uint64_t)shown);", "not farther"),
    )),
    Proof("virtio_mmio", 9, POINTERS, (
        Mutant("reads over the end of the configuration", MMIO, "len <= dev->config_len - at)", "len <= dev->config_len)",
               "bound|dereference"),
        Mutant("writes over the end of what is writable", MMIO, "len > dev->ops->writable_len - (at - from)",
               "len > dev->ops->writable_len", "is written"),
        Mutant("selects the queue behind the last one", MMIO, "dev->queue_sel >= dev->ops->queue_count",
               "dev->queue_sel > dev->ops->queue_count", "only the selected"),
        Mutant("changes a queue that is in use", MMIO, "dev->status & VIRTIO_CONFIG_S_DRIVER_OK", "false",
               "before DRIVER_OK"),
        Mutant("kicks a queue that does not exist", MMIO, "if (queue < dev->ops->queue_count)",
               "if (queue <= dev->ops->queue_count)", "a kick is for a queue"),
    ), small=(("devices/virtio/virtio.h", "VIRTIO_QUEUES_MAX = 5, VIRTIO_NAME_MAX = 80",
               "VIRTIO_QUEUES_MAX = 2, VIRTIO_NAME_MAX = 8"),)),
    Proof("block_range", 2, POINTERS, (
        Mutant("adds sectors, and the sum may wrap", BLOCK, "sector <= b->file.sectors && sectors <= b->file.sectors - sector",
               "sector + sectors <= b->file.sectors", "within the drive"),
        Mutant("writes behind the end of a file that became shorter", BLOCK,
               "if (write && !is_there(b, sector, r->len >> SECTOR_SHIFT))", "if (false)", "does not extend"),
        Mutant("rounds a range up where it ends", BLOCK, "align_down(s->sector + s->num_sectors, align)",
               "align_up(s->sector + s->num_sectors, align)", "within the range"),
    )),
    Proof("net_header", 2, POINTERS, (
        Mutant("forgets the length of the checksum", TX, "h->csum_offset + 2 > len", "h->csum_offset > len", "inside the frame"),
        Mutant("takes segments that nobody agreed on", TX, "gso_ok(n, h->gso_type);", "true;", "kind was agreed on"),
        Mutant("takes empty segments", TX, "return csum && h->gso_size &&", "return csum &&", "not empty"),
    )),
    Proof("net_rx", 5, CHECKS, (
        Mutant("holds a buffer more than the list has room for", RX, "> ARRAY_SIZE(rx->iov) - VIRTQ_CHAIN_MAX", "> ARRAY_SIZE(rx->iov)",
               "where there is room"),
        Mutant("holds a buffer without room for a header", RX, " || n->chain.in_len < NET_HEADER ||", " ||", "stays sound"),
        Mutant("forgets that a length has 32 bits", RX, "(uint32_t)min_u64(c->in_len, UINT32_MAX),", "(uint32_t)c->in_len + 1,",
               "sound"),
    ), small=((VIRTQ_H, "VIRTQ_SIZE_MAX = 256,", "VIRTQ_SIZE_MAX = 3,"),)),
    Proof("serial", 10, POINTERS, (
        Mutant("takes a byte more than there is room for", SERIAL,
               "while (taken < len && s->rx_count < RX_SIZE)", "while (taken < len && s->rx_count <= RX_SIZE)", "stay sound"),
        Mutant("lets the place of the next byte run away", SERIAL, "s->rx_first = (s->rx_first + 1) % RX_SIZE;",
               "s->rx_first = s->rx_first + 1;", "stay sound"),
        Mutant("takes output that has no room", OUTPUT, "if (s->tx_count == TX_SIZE) {", "if (s->tx_count > TX_SIZE) {",
               "stay sound"),
        Mutant("writes over the end of the ring", OUTPUT, "(unsigned)min_u64(s->tx_count, TX_SIZE - s->tx_first);",
               "s->tx_count;", "is in the buffer"),
    ), small=((SERIAL_H, "RX_SIZE = 256,", "RX_SIZE = 4,"), (SERIAL_H, "TX_SIZE = 16384,", "TX_SIZE = 4,"),
              (SERIAL_H, "FIFO_SIZE = 16,", "FIFO_SIZE = 2,"))),
    Proof("vsock_credit", 3, CHECKS, (
        Mutant("lets credit be negative", CONN, "return on_the_way < c->guest_alloc ? c->guest_alloc - on_the_way : 0;",
               "return c->guest_alloc - on_the_way;", "credit"),
        Mutant("takes more than its credit of the guest", CONN, "if (len > VSOCK_BUFFER - c->buffer_len) {",
               "if (len > VSOCK_BUFFER) {", "beyond the credit"),
        Mutant("keeps bytes behind the end of the ring", CONN, "min_u64(len, VSOCK_BUFFER - end);", "min_u64(len, VSOCK_BUFFER);",
               "inside the buffer"),
    )),
)
