# SPDX-License-Identifier: Apache-2.0
#
# Guest RAM, the bus, memory files and what of RAM changed (mutants.py).
MEM, DIRTY, BUS = "core/machine/mem.c", "core/machine/mem_dirty.c", "core/machine/mmio_bus.c"
FILE, COMPARE, MERGE = "snapshot/memory/memory_file.c", "snapshot/memory/memory_compare.c", "snapshot/memory/memory_merge.c"
MARK, CHANGES, UFFD = "snapshot/memory/memory_mark.c", "vmm/vm/vm_changes.c", "snapshot/memory/uffd.c"
WORKING = "snapshot/working_set.c"

MUTANTS = [
    # -------------------------------------------------------------------- RAM
    ("the end of a range wraps", MEM, "\t\t    len <= r->size - offset)\n", "\t\t    offset + len <= r->size)\n", "mem_test"),
    ("a range ends one byte behind RAM", MEM, "len <= r->size - offset)", "len <= r->size - offset + 1)", "mem_test"),
    ("no space is kept around RAM", MEM, "align_up((uintptr_t)space + GUARD, HUGE_PAGE)", "align_up((uintptr_t)space, HUGE_PAGE)",
     "mem_test"),
    ("pages beyond a file's end are mapped", MEM, "\treturn align_down(len, page);\n", "\treturn align_up(len, page);\n", "mem_test"),
    ("a file that became shorter is loaded", MEM, "\tif (offset > (uint64_t)st.st_size ||\n\t    len > (uint64_t)st.st_size - offset)\n",
     "\tif (offset > (uint64_t)st.st_size)\n", "mem_test"),
    ("discarded pages are not marked as written", MEM, "\tif (at < stop)\n\t\tguest_mem_written(mem, at, (uint64_t)(stop - at));\n", "",
     "mem_discard_test"),
    ("a discarded page of a file has the file's content again", MEM, "\t\tr = anonymous ? dontneed(", "\t\tr = anonymous || f->fd > -2 ? dontneed(",
     "mem_discard_test"),
    ("parts of pages are discarded", MEM, "\tuint8_t *at = (uint8_t *)host + (-(uintptr_t)host & (page - 1));\n",
     "\tuint8_t *at = (uint8_t *)host - ((uintptr_t)host & (page - 1));\n", "mem_discard_test"),
    ("discarding splits mappings without a limit", MEM, "\tif (!joined && edges > EDGES_MAX)\n", "\tif (!joined && edges > 1u << 30)\n",
     "mem_discard_test"),
    ("only the first page of what was written is marked", DIRTY, "(offset + len - 1) / d->page", "offset / d->page", "mem_test"),
    ("what was written up to a page's end marks the next", DIRTY, "(offset + len - 1) / d->page", "(offset + len) / d->page", "mem_test"),
    ("the last word of marks has too many", DIRTY, "UINT64_MAX >> (63 - last % 64)", "UINT64_MAX", "mem_test"),
    ("an access may begin in one device and end in the next", BUS, "|| len > w->size - (gpa - w->base))", "|| !len)", "mmio_bus_test"),
    ("two devices share an address", BUS, "bus->window[i].base - window.base < window.size", "bus->window[i].base == window.base",
     "mmio_bus_test"),

    # ------------------------------------------------------------ memory files
    ("a page is zero if its first byte is", FILE, "return !page[0] && !memcmp(page, page + 1, size - 1);", "return !page[0] || !size;",
     "memory_file_test"),
    ("dirty pages of zeroes stay as they were in the base", FILE, "\tif (dirty && s->save->onto_base)\n\t\tpunch_zeroes(s, &c);\n",
     "\tif (dirty && s->save->onto_base)\n\t\tdrop_zeroes(&c);\n\t(void)punch_zeroes;\n", "memory_diff_test"),
    ("a diff forgets pages that became zero", FILE, "\telse if (want_not_zero(s, &c))\n\t\treturn -1;\n",
     "\tif (want_not_zero(s, &c))\n\t\treturn -1;\n", "memory_diff_test"),
    ("a diff is not checked on what stores it", FILE, "return save->dirty && !save->onto_base ? save_regions(&s) : 0;",
     "return save->dirty && save->onto_base ? save_regions(&s) : 0;", "memory_diff_test"),
    ("a memory file's size is not checked", FILE, "\tif ((uint64_t)st.st_size != size)\n", "\tif ((uint64_t)st.st_size < size / 2)\n",
     "memory_load_test"),
    ("the second region is read from the file's start", FILE, "\t\toffset += mem->region[i].size;\n\t}\n\treturn 0;",
     "\t\toffset += 0;\n\t}\n\treturn 0;", "memory_load_test"),
    ("a stream has no zeroes", FILE, "\t\tif (!bits_has(c->want, i) && s->save->sink &&\n", "\t\tif (!bits_has(c->want, i) && s->save->sink && !c->page &&\n",
     "snapshot_stream_test"),
    ("pages beyond the file's end are taken as unchanged", COMPARE, "\t\tmemset(was + n, 0, len - (uint64_t)n);\n",
     "\t\tmemcpy(was + n, host + at + n, len - (uint64_t)n);\n", "memory_load_test"),
    ("a discarded page is compared with zero", COMPARE, "run->origin != GUEST_MEM_ZERO || host[at] ||", "host[at] ||", "memory_load_test"),
    ("a merge writes zeroes instead of holes", MERGE, "\t\t.punch = true,\n", "\t\t.punch = false,\n", "memory_diff_test"),
    ("a file is merged onto itself", MERGE, "to.st_dev == from.st_dev && to.st_ino == from.st_ino", "to.st_dev == from.st_dev && to.st_ino == from.st_ino + 1",
     "memory_diff_test"),
    ("a diff of another machine is merged", MERGE, "\tif (to.st_size != from.st_size)\n", "\tif (to.st_size < from.st_size)\n", "memory_diff_test"),
    ("a diff goes over any base", MARK, "\tif (!goes_over(diff, &mark))\n", "\tif (!goes_over(diff, &mark) && !diff->kind)\n", "memory_mark_test"),
    ("a diff since the load goes over another run", MARK, "diff->kind == MEMORY_SINCE_LOAD && same(diff->run, base->run)",
     "diff->kind == MEMORY_SINCE_LOAD", "memory_mark_test"),
    ("whole memory is taken for a diff", MARK, "\tif (diff->kind != MEMORY_SINCE_LAST && diff->kind != MEMORY_SINCE_LOAD)\n",
     "\tif (diff->kind > MEMORY_SINCE_LAST + MEMORY_SINCE_LOAD)\n", "memory_mark_test"),

    # ------------------------------------------------------------ what changed
    ("pages that stasis writes without saying so are not in a diff", CHANGES, "\tif (vm->mem.dirty)\n\t\tmark_our_pages(vm);\n\telse",
     "\tif (vm->mem.dirty)\n\t\t(void)mark_our_pages;\n\telse", "api_snapshot_test"),
    ("pages that devices wrote are not in a diff", CHANGES, "\t\tout[i] |= d->bits[index][i];\n", "", "api_snapshot_test"),
    ("marks outlive their snapshot", CHANGES, "\t\td->bits[index][i] = 0;\n", "", "api_snapshot_test"),
    ("a snapshot that failed loses what changed", CHANGES, "\t\t\td->bits[r][i] |= changes->owned[r][i];\n", "\t\t\td->bits[r][i] |= 0;\n",
     "api_snapshot_test"),
    ("the first diff is only what changed since the start", CHANGES, ".known = vm->mem.dirty ? vm->has_base : vm->is_mapped,",
     ".known = vm->mem.dirty ? true : vm->is_mapped,", "api_snapshot_test"),
    ("a page that has its old content again is forgotten", CHANGES, "\t\t\tvm->differed[r][i] |= changes->owned[r][i];\n",
     "\t\t\tvm->differed[r][i] |= 0;\n", "memory_mark_test"),

    # ------------------------------------------------- working set, page server
    ("a list of pages leads beyond RAM", WORKING, "r->page < pages && r->count <= pages - r->page", "r->page < pages",
     "working_set_test"),
    ("a small list asks for more than all of RAM", WORKING, "\tsnap_require(s, r->count <= *left, \"working set: pages\");\n", "",
     "working_set_test"),
    ("a list of another snapshot is used", WORKING, "\tif (memcmp(w->id, id, sizeof(w->id)) != 0 ||\n", "\tif (!id ||\n",
     "working_set_test"),
    ("the page server is told wrong offsets", UFFD, "\t\toffset += r->size;\n", "\t\toffset += r->gpa;\n", "uffd_test"),
    ("pages given back to the host come from the server again", UFFD, "\t\t.features = UFFD_FEATURE_EVENT_REMOVE,\n", "", "uffd_test"),
    ("a server that does not accept is taken for one that is gone", UFFD, "*busy = fd >= 0 && errno == EAGAIN;",
     "*busy = fd >= 0 && errno == ECONNREFUSED;", "uffd_test"),
    ("a server's end is not noticed", UFFD,
     "u->process >= 0 && poll(&p, 1, 0) == 1", "u->process >= 0 && poll(&p, 1, 0) == 2", "uffd_test"),
]
