# SPDX-License-Identifier: Apache-2.0
#
# Filters from files (mutants.py).
GENERATE, VERIFY, FILE = (f"core/seccomp/{name}.c" for name in ("generate", "verify", "filter_file"))
COMPILE = "vmm/cli/seccomp_compile.c"

MUTANTS = [
    ("a list of comparisons is longer than a jump", GENERATE, "MATCHES_MAX = 250", "MATCHES_MAX = 258", "seccomp_filter_test"),
    ("the upper half of an argument does not count", GENERATE, "\t\t\tif (c->wide)\n\t\t\t\temit_upper(m, c);\n", "\t\t\tif (!c)\n\t\t\t\temit_upper(m, c);\n", "seccomp_filter_test"),
    ("the upper half of a masked argument does not count", GENERATE, "\t\t\tif (c->wide)\n\t\t\t\temit_masked(", "\t\t\tif (!c)\n\t\t\t\temit_masked(", "seccomp_filter_test"),
    ("equal upper halves decide", GENERATE, "\t\temit_jump(m, BPF_JGT, value, TO_CONDITION_END, 0);\n", "\t\temit_jump(m, BPF_JGE, value, TO_CONDITION_END, 0);\n", "seccomp_filter_test"),
    ("a rule with arguments is one without", GENERATE, "\twhile (r < end && r->count && r->action == rule->action)\n", "\twhile (r < end && !r && r->action == rule->action)\n", "seccomp_filter_test"),
    ("rules for one argument are taken for all", GENERATE, " &&\n\t       a->condition[0].argument == b->condition[0].argument;", ";", "seccomp_filter_test"),
    ("another architecture's calls are allowed", GENERATE, "\temit_return(&m, SECCOMP_RET_KILL_PROCESS);\n", "\temit_return(&m, SECCOMP_RET_ALLOW);\n", "seccomp_filter_test"),
    ("a program may end without a return", VERIFY, "\tcase BPF_ALU | BPF_AND | BPF_K:\n\t\treturn left;\n", "\tcase BPF_ALU | BPF_AND | BPF_K:\n\t\treturn left < 2;\n", "seccomp_verify_test"),
    ("a jump may leave the program", VERIFY, "return f->jt < left && f->jf < left;", "return f->jt < left;", "seccomp_verify_test"),
    ("a long jump may leave the program", VERIFY, "\t\treturn f->k < left;\n", "\t\treturn f->k <= left;\n", "seccomp_verify_test"),
    ("a load may be beyond the call", VERIFY, "f->k < sizeof(struct seccomp_data) &&", "f->k <= sizeof(struct seccomp_data) &&", "seccomp_verify_test"),
    ("a supervisor that is not there may be asked", VERIFY, "\tcase SECCOMP_RET_ALLOW:\n\tcase SECCOMP_RET_LOG:\n\tcase SECCOMP_RET_TRAP:\n",
     "\tcase SECCOMP_RET_ALLOW:\n\tcase SECCOMP_RET_USER_NOTIF:\n\tcase SECCOMP_RET_LOG:\n\tcase SECCOMP_RET_TRAP:\n", "seccomp_verify_test"),
    ("what is not known is 0", VERIFY, "\t\ts.is = UNKNOWN;\n\telse\n", "\t\ts.value = 0;\n\telse\n", "seccomp_verify_test"),
    ("the first way to an instruction is the only one", VERIFY, "\t\tthere->is = UNKNOWN;\n", "\t\t(void)from;\n", "seccomp_verify_test"),
    ("a checksum is not looked at", FILE, "\tif (crc != checksum(data, len - CRC_SIZE))\n", "\tif (!checksum(data, len - CRC_SIZE) && crc)\n", "seccomp_file_test"),
    ("another architecture's file is taken", FILE, " || h.arch != AUDIT_ARCH_AARCH64)", ")", "seccomp_file_test"),
    ("a program goes on after its file", FILE, "\t\tif (p.len > left / sizeof(struct sock_filter))\n", "\t\tif (p.len > left)\n", "seccomp_file_test"),
    ("programs are not verified", FILE, "\tif (filter_verify(code, p->len, e))\n", "\tif (!p->len && filter_verify(code, p->len, e))\n", "seccomp_file_test"),
    ("the last program of a thread counts", FILE, "p->thread >= SECCOMP_THREADS || file->len[p->thread]", "p->thread >= SECCOMP_THREADS", "seccomp_file_test"),
    ("a filter may forbid what each start needs", FILE, "\t\tif (needed && !allows(", "\t\tif (!needed && !allows(", "seccomp_verify_test"),
    ("a thread may be killed alone", COMPILE, "SECCOMP_RET_ALLOW, SECCOMP_RET_TRAP,", "SECCOMP_RET_ALLOW, SECCOMP_RET_KILL_THREAD,", "seccomp_file_test"),
    ("a number that stands for the process is taken", COMPILE, "\t    (uint32_t)c->value != SECCOMP_OWN_PID &&\n", "", "seccomp_file_test"),
    ("the filter of `api` replaces that of `vmm`", COMPILE, "\t\tif (read_filter(values[i], filter, e))\n", "\t\tfilter->count = 0;\n\t\tif (read_filter(values[i], filter, e))\n", "seccomp_file_test"),
    ("--basic looks at arguments", COMPILE, "rule.args && !filter->basic &&", "rule.args && filter &&", "seccomp_file_test"),
]
