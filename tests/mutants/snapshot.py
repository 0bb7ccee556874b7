# SPDX-License-Identifier: Apache-2.0
#
# Snapshots: the codec, the files, the thread that writes them, pauses and resumes (mutants.py).
CODEC, STATE, PUBLISH, TARGET = "snapshot/codec.c", "snapshot/state_file.c", "snapshot/publish.c", "snapshot/target.c"
STREAM, SCHEMA = "snapshot/stream.c", "snapshot/schema.c"
SETTINGS = "vmm/config/config_state.c"
JOB, INSTANCE, LOAD, TAKE = (f"vmm/instance/{name}.c" for name in ("snapshot_job", "instance", "instance_load", "instance_snapshot"))
RUN, SNAP, SLOTS = "vmm/vm/vm_run.c", "vmm/vm/vm_snapshot.c", "vmm/vm/virtio_slots.c"
IDENTITY = "devices/virtio/block/block_identity.c"

MUTANTS = [
    # -------------------------------------------------------------------- codec
    ("a section is read beyond its end", CODEC, "\treturn s->depth ? s->section[s->depth - 1] : s->len;\n", "\treturn s->len;\n", "codec_test"),
    ("a section may be longer than what it is in", CODEC,
     "\t\tsnap_require(s, len <= limit(s) - s->at,\n\t\t\t     \"a section is longer than what it is in\");\n\tif (s->failed)",
     "\t\tsnap_require(s, s->len || len,\n\t\t\t     \"a section is longer than what it is in\");\n\tif (s->failed)", "codec_test"),
    ("what is left of a section is skipped", CODEC, "\t\tsnap_require(s, s->at == mark, \"a section is too long\");\n",
     "\t\ts->at = mark;\n", "codec_test"),
    ("any byte is a yes or a no", CODEC, "\tsnap_require(s, byte <= 1, \"a yes or no is neither\");\n", "", "codec_test"),
    ("a count may be above its bound", CODEC, "\tsnap_require(s, n <= max, \"more of something than there can be\");\n", "\t(void)max;\n",
     "codec_test"),
    ("a text may have a NUL within", CODEC, "s->failed || !memchr(s->in + s->at, 0, len)", "s->failed || s->in", "codec_test"),
    ("a text fills its buffer and has no end", CODEC, "snap_count(s, &len, (uint32_t)size - 1);", "snap_count(s, &len, (uint32_t)size);",
     "codec_test"),
    ("what follows the end is ignored", CODEC, "\tif (s->loading && s->at != s->len)\n", "\tif (s->loading && s->at > s->len)\n", "codec_test"),
    ("bytes are in the order of this machine's neighbour", CODEC, "bytes[i] = (uint8_t)(v >> 8 * i);", "bytes[i] = (uint8_t)(v >> 8 * (len - 1 - i));",
     "codec_test"),
    ("a state's section is not loaded as it was saved", "devices/rtc.c", "\tsnap_u32(s, &r->load);\n\tsnap_u32(s, &r->match);\n",
     "\tsnap_u32(s, &r->match);\n", "snapshot_golden_test"),

    # -------------------------------------------------------------------- files
    ("a damaged state is loaded", STATE, "\tif (crc != checksum(&h, data, size))\n", "\tif (crc != checksum(&h, data, size) && !size)\n", "state_file_test"),
    ("the header is not in the checksum", STATE, "\tuLong crc = crc32(0, (const Bytef *)h, sizeof(*h));\n", "\tuLong crc = h ? 0 : 1;\n", "state_file_test"),
    ("a state of a later major version is loaded", STATE, "\tif (le16toh(h->major) != STATE_FILE_MAJOR)\n", "\tif (le16toh(h->major) < STATE_FILE_MAJOR)\n",
     "state_file_test"),
    ("flags nobody knows are ignored", STATE, "\tif (h->flags)\n", "\tif (h->flags && !h->minor && !h->body_len)\n", "state_file_test"),
    ("state and memory of different snapshots are loaded", PUBLISH, "\t       !memcmp(bytes, p->id.bytes, sizeof(bytes));\n", "\t       bytes[0] + 1;\n",
     "publish_test"),
    ("the memory is renamed after the state", PUBLISH,
     "\tif (!r && memory)\n\t\tr = target_publish(&p->memory, p->memory_fd, e);\n\tif (r) {\n\t\tend(p, true);\n\t\treturn -1;\n\t}\n"
     "\tr = publish_state(p, sync, e);\n",
     "\tif (!r)\n\t\tr = publish_state(p, sync, e);\n\tif (r) {\n\t\tend(p, true);\n\t\treturn -1;\n\t}\n"
     "\tif (memory)\n\t\tr = target_publish(&p->memory, p->memory_fd, e);\n", "publish_test"),
    ("files are renamed before they are on the disk", PUBLISH, "\tr = sync ? sync_files(p, e) : 0;\n", "\t(void)sync_files;\n\tr = 0;\n", "publish_test"),
    ("the memory's new name is not on the disk before the state's", PUBLISH, "\tif (p->memory_fd >= 0 && sync && sync_folder(&p->memory, e))\n",
     "\tif (p->memory_fd >= 0 && sync && !p->memory.path[0] && sync_folder(&p->memory, e))\n", "publish_test"),
    ("a memory file that is overwritten still has its identity", PUBLISH, "\tif (fills_memory(p) &&\n\t    (io_pwrite(",
     "\tif (fills_memory(p) && p->state_fd < 0 &&\n\t    (io_pwrite(", "publish_keep_test"),
    ("a file that a microVM runs from is overwritten", TARGET, "\treturn !flock(fd, LOCK_EX | LOCK_NB) || errno != EWOULDBLOCK;\n",
     "\treturn !flock(fd, LOCK_EX | LOCK_NB) || errno;\n", "publish_keep_test"),
    ("a user's file in the way is removed", TARGET, "\tif (!S_ISREG(st.st_mode) || !(st.st_mode & UNFINISHED))\n", "\tif (!S_ISREG(st.st_mode))\n", "publish_keep_test"),
    ("a complete file keeps the mark of an incomplete one", TARGET, "\t(void)fchmod(fd, f->mode);\n\treturn 0;\n", "\t(void)fd;\n\treturn 0;\n", "publish_keep_test"),
    ("a snapshot is readable by everybody", TARGET, "\t\t     UNFINISHED | 0600);\n\tint error", "\t\t     UNFINISHED | 0644);\n\tint error", "publish_keep_test"),
    ("one file may be state and memory", PUBLISH, "\tif (same_file(&p->state, &p->memory))\n", "\tif (same_file(&p->state, &p->memory) && !state)\n", "publish_test"),
    ("unknown settings are not refused", SETTINGS, "\tsnap_require(s, false, text);\n", "\ts->at = s->section[--s->depth];\n", "config_state_test"),
    ("settings are written for every VM", SETTINGS, "\treturn false;\n}\n\nvoid vm_config_more_state", "\treturn true;\n}\n\nvoid vm_config_more_state", "config_state_test"),
    ("an unknown setting's name is printed as it is", SETTINGS, "\t\tif (*c < ' ' || *c > '~')\n\t\t\t*c = '?';\n", "\t\t(void)c;\n", "config_state_test"),
    ("a setting's fields change places", SETTINGS, "\tsnap_bool(s, &c->raw);\n", "\tsnap_bool(s, &c->no_kaslr);\n", "snapshot_golden_test"),
    ("the next tag is looked for beyond its section", "snapshot/codec.c", "\tif (s->failed || limit(s) - s->at < sizeof(uint32_t))\n", "\tif (s->failed || s->len - s->at < sizeof(uint32_t))\n", "codec_test"),
    ("bytes are inspected beyond a section's end", SCHEMA, "\treturn (s->depth ? s->section[s->depth - 1] : s->len) - s->at;\n", "\treturn s->len - s->at;\n", "schema_test"),

    # ------------------------------------------------- the thread that writes it
    ("a resume does not stop the snapshot's writer", INSTANCE, "\tif (in->job)\n\t\tsnapshot_job_let_go(in->job);\n\tif (vm_resume", "\tif (vm_resume", "api_snapshot_test"),
    ("a resume cancels what does not read RAM any more", JOB, "\tjob->reading = sends_state;\n", "\tjob->reading = true;\n\t(void)sends_state;\n",
     "snapshot_job_test"),
    ("a resume cancels nothing", JOB, "\tjob->cancelled |= job->reading;\n", "\tjob->cancelled |= !job->work.mem;\n", "snapshot_job_test"),
    ("a snapshot that was cancelled leaves its files", JOB, "\ttake_files(job);\n\tpublish_abandon(&files);\n\treturn -1;\n", "\ttake_files(job);\n\treturn -1;\n",
     "snapshot_job_test"),
    ("the end of the process waits for the disk", JOB, "\t\tjob->cancelled = true;\n", "\t\tjob->cancelled = job->reading;\n", "snapshot_job_test"),
    ("a diff goes over memory of another snapshot", JOB, "\t\treturn memory_mark_check(&work->mark, *fd, vm_mark_offset(), e);\n", "\t\treturn 0;\n",
     "snapshot_job_test"),
    ("a diff replaces a file of another size", JOB, "\tif (!size)\n\t\treturn 0;\n", "\tif (size)\n\t\treturn 0;\n", "snapshot_job_test"),
    ("the base is not copied under a diff", JOB, "\tif (base < 0 || files->memory.how == PUBLISH_FILL)\n", "\tif (base < 0 || files->memory_fd >= 0)\n",
     "snapshot_job_test"),
    ("the state is written before the memory", JOB,
     "\tif (!write_memory(job, &files, e) && !write_back(job, &files, e) &&\n\t    !write_state(job, &files, e))\n",
     "\tif (!write_state(job, &files, e) && !write_memory(job, &files, e) &&\n\t    !write_back(job, &files, e))\n", "snapshot_job_test"),
    ("a diff may be sent to a pipe", JOB, "\tif (job->work.body.diff)\n\t\treturn err_set(e, \"a diff cannot be sent", "\tif (job->work.body.diff && !job->thread)\n\t\treturn err_set(e, \"a diff cannot be sent",
     "snapshot_stream_test"),
    ("changes are lost if a snapshot cannot begin", TAKE, "\t\tvm_changes_give_back(in->vm, &work->changes);\n\t\tvm_changes_fini", "\t\tvm_changes_fini", "api_snapshot_test"),
    ("changes are lost if a snapshot was cancelled", TAKE, "\tif (result)\n\t\tvm_changes_give_back(in->vm, &work->changes);\n\telse",
     "\tif (!result)", "api_snapshot_test"),
    ("two snapshots are written at once", TAKE, "\tif (in->job)\n\t\treturn err_set(e, \"Cannot save the microVM state: a snapshot \"", "\tif (in->job && !in->vm)\n\t\treturn err_set(e, \"Cannot save the microVM state: a snapshot \"",
     "api_snapshot_test"),
    ("a running guest is saved", TAKE, "\tif (in->state != INSTANCE_PAUSED)\n", "\tif (in->state == INSTANCE_NOT_STARTED)\n", "api_snapshot_test"),

    # ---------------------------------------------------- pause, resume, restore
    ("a pause does not quiesce devices", RUN, "\tconst char *busy = virtio_slots_quiesce(&vm->virtio, deadline_ns);\n",
     "\tconst char *busy = NULL;\n", "vm_test"),
    ("a pause is done before devices are quiet", RUN, "\tif (busy)\n\t\treturn busy;\n\tif (!vm->parking)", "\tif (busy && vm->waits)\n\t\treturn busy;\n\tif (!vm->parking)", "vm_test"),
    ("only the first device is quiesced", SLOTS, "\t\tif (dev && !virtio_quiesce(dev, deadline_ns))\n", "\t\tif (dev && !i && !virtio_quiesce(dev, deadline_ns))\n", "vm_test"),
    ("a resume leaves devices quiet", RUN, "\t\t  (unsigned long long)vm->clock.error_ticks);\n\tvirtio_slots_resume(&vm->virtio);\n",
     "\t\t  (unsigned long long)vm->clock.error_ticks);\n", "vm_test"),
    ("a pause that failed leaves devices quiet", RUN, "\tvcpu_set_release(&vm->vcpus);\n\tvirtio_slots_resume(&vm->virtio);\n}", "\tvcpu_set_release(&vm->vcpus);\n}",
     "vm_test"),
    ("a pause that failed leaves vCPUs parked", RUN, "\tvm->parking = false;\n\tvcpu_set_release(&vm->vcpus);\n", "\tvm->parking = false;\n", "api_pause_test"),
    ("a guest that has ended is paused", RUN, "\tif (vcpu_set_end(&vm->vcpus, NULL) != VCPU_END_NONE)\n\t\treturn err_set(e, \"the guest has ended\");\n", "", "vm_pause_test"),
    ("the memory of another snapshot is taken", SNAP, "\tif (check_ram(vm, &saved->id, e))\n\t\treturn -1;\n", "\t(void)check_ram;\n", "vm_snapshot_damage_test"),
    ("another disk is taken", SNAP, "\tif (snap_finish(s, e) || check_disks(vm, saved, e) ||\n", "\t(void)check_disks;\n\tif (snap_finish(s, e) ||\n", "vm_snapshot_disk_test"),
    ("what follows a state's end is ignored", SNAP, "\tif (snap_finish(s, e) || check_disks", "\tif (snap_failed(s) || check_disks", "vm_snapshot_damage_test"),
    ("a loaded configuration is not checked", SNAP, "\tif (vm_config_check_loaded(&saved->config, e))\n", "\tif (!saved->config.vcpu_count && vm_config_check_loaded(&saved->config, e))\n",
     "vm_snapshot_damage_test"),
    ("two snapshots have the same mark", SNAP, "\tmemcpy(mark.id, id->bytes, sizeof(mark.id));\n", "\tmemset(mark.id, 1, id ? sizeof(mark.id) : 0);\n", "memory_mark_test"),
    ("a load after configuration forgets the configuration", LOAD, "\tif (in->configured)\n", "\tif (in->configured && in->vm)\n", "api_snapshot_test"),
    ("a load that failed leaves an instance", LOAD, "\tinstance_fail(in, e->text);\n\treturn -1;\n", "\treturn -1;\n", "api_snapshot_test"),
    ("a restored VM runs though nobody asked", LOAD, "\treturn l->body.resume ? instance_resume(in, NULL, e) : 0;\n", "\treturn instance_resume(in, NULL, e);\n",
     "api_snapshot_test"),
    ("a disk's content is not compared", IDENTITY, "\t\tif (then->sample[i].hash &&\n", "\t\tif (!b && then->sample[i].hash &&\n", "vm_snapshot_disk_test"),
]
