# SPDX-License-Identifier: Apache-2.0
#
# Manual pages and completions for bash, zsh and fish, made of what --help prints, which the tables
# of options print. Called by tools/package.
import os
import re
import subprocess
from dataclasses import dataclass, field

OPTION = re.compile(r"  (?:-\w, )?--([\w-]+)(?: (\S.*?))?(?:  +(.*)| ?)$")
COMMAND = re.compile(r"  ([a-z-]+(?: [A-Z@]+)*)   +(\S.*)$")  # of stasis ctl
PROGRAM = re.compile(r"  stasis ([a-z][a-z-]*)(.*?)   +(\S.*)$")   # the commands of stasis
FOLLOWS = " " * 18
FILES = ("FILE", "PATH", "DIR", "FOLDER", "KIND:PATH")


class Unreadable(Exception):
    """A --help text that is not of the form that this file knows."""


@dataclass
class Row:
    name: str
    argument: str
    text: list

    @property
    def takes_file(self):
        return re.split(r"[\[,=]", self.argument)[0].rstrip(".") in FILES

    @property
    def first(self):
        """The start of its help, as completions show it."""
        return re.split(r"[.:;(,] |[.:;,]$", " ".join(self.text))[0]


@dataclass
class Page:
    name: str       # "stasis run"
    what: str       # one line
    usage: list = field(default_factory=list)
    blocks: list = field(default_factory=list)  # lists of lines, lists of Rows, or ("h", title)

    @property
    def options(self):
        return [row for block in self.blocks for row in block if isinstance(row, Row) and row.name.startswith("--")]

    @property
    def words(self):
        return [row for block in self.blocks for row in block if isinstance(row, Row) and not row.name.startswith("--")]


def help_of(command):
    """What `command --help` prints."""
    environment = {**os.environ, "COLUMNS": "80", "ASAN_OPTIONS": "detect_leaks=0"}
    done = subprocess.run([*command, "--help"], capture_output=True, text=True, env=environment, timeout=60)
    if done.returncode or not done.stdout:
        raise Unreadable(f"{' '.join(command)} --help ended with status {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def read(name, what, text):
    """The page of a help text: paragraphs, and rows of options."""
    page = Page(name, what)
    block = []

    def end():
        nonlocal block
        if block:
            page.blocks.append(block)
        block = []

    for line in text.splitlines():
        # A name that reaches the column of the help has one blank before that.
        if line.startswith("  --") and line[25:26] == " " and line[26:27].strip():
            line = line[:26] + " " + line[26:]
        row = OPTION.match(line)
        if row:
            row = Row("--" + row[1], row[2] or "", [row[3]] if row[3] else [])
        elif COMMAND.match(line) and name == "stasis ctl":
            word, explained = COMMAND.match(line).groups()
            row = Row(word, "", [explained])
        if not line.strip():
            end()
        elif row:
            if block and not isinstance(block[-1], Row):
                end()
            block.append(row)
        elif block and isinstance(block[-1], Row):
            if not line.startswith(FOLLOWS):
                raise Unreadable(f"{name}: a line between options: {line!r}")
            block[-1].text.append(line.strip())
        else:
            block.append(line)
    end()
    return page


def take_usage(page):
    """The lines "Usage: stasis run ..." become the synopsis."""
    for block in list(page.blocks):
        if isinstance(block[0], str) and block[0].lower().startswith("usage:"):
            page.usage = [re.sub(r"^usage:", "", line, flags=re.I).strip() for line in block]
            page.blocks.remove(block)
    joined = []
    for line in page.usage:
        if line.startswith("[") and joined:
            joined[-1] += " " + line
        else:
            joined.append(line)
    page.usage = joined
    return page


# --- manual pages ------------------------------------------------------------------------------


def roff(text):
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "\\&" + text if text[:1] in (".", "'") else text


def roff_block(block):
    """Rows are a list; indented lines stay as they are; others are a paragraph."""
    if isinstance(block[0], Row):
        for row in block:
            argument = f" \\fI{roff(row.argument)}\\fR" if row.argument else ""
            yield f".TP\n\\fB{roff(row.name)}\\fR{argument}"
            yield from map(roff, row.text)
        return
    head = block[0]
    title = re.match(r"(Exit status|Examples|options|For [\w ]+|positional arguments):?(.*)", head)
    if title and head.startswith(("Exit status", "Examples", "For ")):
        name = "EXIT STATUS" if head.startswith("Exit") else head.split(":")[0].split(",")[0].upper()
        yield f".SH {name}"
        rest = head.split(":", 1)[1].strip() if ":" in head else ""
        block = ([rest] if rest else []) + block[1:]
    elif head.strip().lower() == "options:":
        return
    else:
        yield ".PP"
    if block and block[0].startswith("  "):
        yield ".nf"
        yield from (roff(line[2:]) for line in block)
        yield ".fi"
    else:
        yield from map(roff, block)


def manual(page, version, date, others):
    """The page in section 1."""
    title = page.name.replace(" ", "-")
    out = [f'.TH {roff(title.upper())} 1 "{date}" "stasis {version}" "stasis"', ".SH NAME",
           f"{roff(title)} \\- {roff(page.what)}", ".SH SYNOPSIS", ".nf"]
    out += [roff(line) for line in page.usage] + [".fi", ".SH DESCRIPTION"]
    options = False
    for block in page.blocks:
        if isinstance(block[0], Row) and not options:
            options = True
            out.append(".SH COMMANDS" if block[0].name[0] != "-" else ".SH OPTIONS")
        elif isinstance(block[0], Row) and page.words:
            out.append(".SH OPTIONS")
        out += roff_block(block)
    out += [".SH SEE ALSO", ",\n".join(f"\\fB{roff(name)}\\fR(1)" for name in others if name != title)]
    return "\n".join(out) + "\n"


# --- completions -------------------------------------------------------------------------------


def bash(pages):
    out = ["# bash completion of stasis and its jailer; made of their --help.", "_stasis_options()", "{",
           "\tcase $1 in"]
    for page in pages:
        out.append(f"\t\"{page.name}\") echo \"{' '.join(row.name for row in page.options)}\" ;;")
    out += ["\tesac", "}", "_stasis_files()", "{", "\tcase $1 in"]
    for page in pages:
        files = "|".join(f"{row.name}" for row in page.options if row.takes_file)
        if files:
            out.append(f"\t\"{page.name}\") [[ $2 =~ ^({files})$ ]] ;;")
    commands = " ".join(dict.fromkeys(page.name.split()[1] for page in pages if " " in page.name))
    words = " ".join(dict.fromkeys(row.name.split()[0] for page in pages if page.name == "stasis ctl" for row in page.words))
    out += ["\t*) return 1 ;;", "\tesac", "}", "_stasis()", "{",
            "\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} name=${COMP_WORDS[0]##*/}",
            f"\tlocal commands=\"{commands}\"",
            "\t[[ $name != stasis || $COMP_CWORD -lt 2 || \" $commands \" != *\" ${COMP_WORDS[1]} \"* ]] ||",
            "\t\tname+=\" ${COMP_WORDS[1]}\"",
            "\tif _stasis_files \"$name\" \"$prev\" || [[ $cur == */* ]]; then",
            "\t\tcompopt -o filenames 2>/dev/null",
            "\t\tCOMPREPLY=($(compgen -f -- \"$cur\"))",
            "\telif [[ $cur == -* ]]; then",
            "\t\tCOMPREPLY=($(compgen -W \"$(_stasis_options \"$name\")\" -- \"$cur\"))",
            "\telif [[ $COMP_CWORD -eq 1 && $name == stasis ]]; then",
            "\t\tCOMPREPLY=($(compgen -W \"$commands\" -- \"$cur\"))",
            "\telif [[ $name == \"stasis image\" && $COMP_CWORD -eq 2 ]]; then",
            "\t\tCOMPREPLY=($(compgen -W build -- \"$cur\"))",
            "\telif [[ $name == \"stasis ctl\" ]]; then",
            f"\t\tCOMPREPLY=($(compgen -W \"{words}\" -- \"$cur\"))",
            "\telse",
            "\t\tcompopt -o filenames 2>/dev/null",
            "\t\tCOMPREPLY=($(compgen -f -- \"$cur\"))",
            "\tfi", "}", "complete -F _stasis stasis jailer"]
    return "\n".join(out) + "\n"


def quoted(text):
    return "'" + re.sub(r"['\[\]:]", " ", text) + "'"


def zsh(pages):
    out = ["#compdef stasis jailer", "# Made of --help.", "local -a commands=("]
    commands = [page for page in pages if " " in page.name]
    out += [f"  {quoted(page.name.split()[1])[:-1]}:{quoted(page.what)[1:]}" for page in commands]
    out += [")", "case ${service}${words[2]:+ $words[2]} in"]
    for page in sorted(pages, key=lambda page: " " not in page.name):
        pattern = f'"{page.name}"' if " " in page.name else f"{page.name}*"
        out.append(f"{pattern})" + (" shift words; (( CURRENT-- ));" if " " in page.name else "") + " _arguments \\")
        for row in page.options:
            value = f":{quoted(row.argument)[1:-1]}:{'_files' if row.takes_file else ' '}" if row.argument else ""
            many = "*" if row.argument.endswith("...") else ""
            out.append(f"  '{many}{row.name}[{quoted(row.first)[1:-1]}]{value}' \\")
        if page.name == "stasis ctl":
            words = " ".join(dict.fromkeys(row.name.split()[0] for row in page.words))
            out.append(f"  '1:command:({words})' '*:file:_files' ;;")
        elif page.name == "stasis":
            out.append("  '1:command:{_describe command commands}' ;;")
        else:
            out.append("  '*:file:_files' ;;")
    return "\n".join(out + ["esac"]) + "\n"


def fish(pages):
    out = ["# fish completion of stasis and its jailer; made of their --help.", "complete -c stasis -n __fish_use_subcommand -f"]
    for page in pages:
        program, _, command = page.name.partition(" ")
        seen = f"-n '__fish_seen_subcommand_from {command.split()[0]}'" if command else \
            "-n __fish_use_subcommand" if program == "stasis" else ""
        if command:
            out.append(f"complete -c stasis -n __fish_use_subcommand -a {command.split()[0]} -d {quoted(page.what)}")
        for row in page.options:
            value = " -r" + (" -F" if row.takes_file else " -f") if row.argument else ""
            out.append(f"complete -c {program} {seen} -l {row.name[2:]}{value} -d {quoted(row.first)}")
        if page.name == "stasis ctl":
            out += [f"complete -c stasis {seen} -f -a {row.name.split()[0]} -d {quoted(row.first)}" for row in page.words]
    return "\n".join(dict.fromkeys(out)) + "\n"


# --- all of them -------------------------------------------------------------------------------


def read_all(stasis, jailer, image):
    """The pages of all commands that `stasis --help` lists, and the jailer's."""
    text = help_of([stasis])
    main = read("stasis", "a microVMM for arm64 on Linux KVM", text.split("\n", 2)[2])
    main.usage = ["stasis COMMAND [options]", "stasis --api-sock PATH [options]",
                  "stasis --config-file FILE [--no-api] [options]"]
    pages = [main]
    for line in text.splitlines():
        found = PROGRAM.match(line)
        if not found or found[1] == "COMMAND":
            continue
        command = [image, "build"] if found[1] == "image" else [stasis, found[1]]
        pages.append(take_usage(read(f"stasis {found[1]}", found[3], help_of(command))))
    compile_help = help_of([stasis, "seccomp", "compile"])
    pages.append(take_usage(read("stasis seccomp compile", "compile filters of system calls", compile_help)))
    text = help_of([jailer]).split("\n", 2)[2]
    page = read("jailer", "start a VMM in a jail", text)
    page.usage = [line.strip() for line in page.blocks.pop(0)]
    return pages + [page]


def write_all(pages, target, version, date):
    """share/man, share/bash-completion, share/zsh and share/fish below `target`."""
    names = [page.name.replace(" ", "-") for page in pages]
    files = {f"man/man1/{name}.1": manual(page, version, date, names) for name, page in zip(names, pages)}
    # The options of two words are not completed.
    plain = [page for page in pages if page.name.count(" ") < 2]
    files["bash-completion/completions/stasis"] = bash(plain)
    files["zsh/vendor-completions/_stasis"] = zsh(plain)
    files["fish/vendor_completions.d/stasis.fish"] = fish(plain)
    for name, text in files.items():
        path = os.path.join(target, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(text)
