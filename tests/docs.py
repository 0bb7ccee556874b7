#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
#
# README and docs against what they describe: each command that they show, in a block or within a
# sentence, exists and has the options that it is given; each link leads to a file, and to a heading
# of it. The suite `getting-started` runs commands; this reads all of them. Reports in TAP.
import functools
import glob
import os
import re
import shlex
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PAGES = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "docs/*.md", "snapshot/*.md"]
# Not followed by two blanks, as names in a drawing are.
COMMAND = re.compile(r"(?:^|[\s(])((?:out/)?(?:stasis|jailer|tools/[a-z-]+)(?: \S|$))")
PLACEHOLDER = re.compile(r"[A-Z]+$|\.\.\.$")
OPTION = re.compile(r"--[a-z][a-z0-9-]*")
count = failed = 0


def report(name, problems):
    global count, failed
    count += 1
    failed += bool(problems)
    print(f"{'not ok' if problems else 'ok'} {count} - {name}")
    for problem in problems:
        print(f"# {problem}")


# --- what there is -----------------------------------------------------------------------------


@functools.cache
def options_of(program, *command):
    """The options that `program command --help` names, or None if there is no such command."""
    path = {"stasis": f"{ROOT}/out/native/stasis.help", "jailer": f"{ROOT}/out/native/jailer.help"}
    done = subprocess.run([path.get(program, f"{ROOT}/{program}"), *command, "--help"], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=60, env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"})
    if done.returncode:
        return None
    return {"--help", "--version", *OPTION.findall(done.stdout)}


@functools.cache
def headings(path):
    """The anchors of a page, as GitHub makes them."""
    with open(path, encoding="utf-8") as file:
        titles = re.findall(r"^#+ (.*)", file.read(), re.M)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


# --- what the pages say ------------------------------------------------------------------------


def blocks(text):
    """Lines of commands, with their continuations."""
    text = re.sub(r"\\\n\s*", " ", text)
    inside = False
    for line in text.splitlines():
        if line.startswith("```"):
            inside = not inside
        elif inside or line.startswith("    "):
            yield line.strip()


def sentences(text):
    """Commands within `...`, which may go over the end of a line."""
    for paragraph in re.split(r"\n\s*\n", re.sub(r"^(    .*|```.*?```)$", "", text, flags=re.M)):
        for code in re.findall(r"`([^`]+)`", paragraph):
            yield " ".join(code.split())


def commands(line):
    """[(program, arguments)] of a line of shell."""
    for part in re.split(r"\||&&|;|\$\(", re.sub(r"(^|\s)#\s.*", "", line)):
        part = part.rstrip()
        found = COMMAND.search(part)
        # Not a name in a sentence, or in an argument.
        before = part[:found.start(1)].split() if found else ["-"]
        if any(word not in ("sudo", "ip", "netns", "exec", "do", "then", "time", "timeout", "nice", "setsid") and
               not re.match(r"[\w$]*\d$|\w+=|\w*\$n$|-n$|clone", word) for word in before):
            continue
        words = part[found.start(1):]
        try:
            words = shlex.split(words)
        except ValueError:
            words = words.split()
        yield words[0].removeprefix("out/"), words[1:]


def check_options(program, known, words):
    unknown = [word for word in words for word in OPTION.findall(word.split("=")[0]) if word.startswith("--")]
    return [f"{program} has no {word}" for word in unknown if word not in known]


def check(program, words):
    """What is wrong with a command, as a list."""
    words = [word for word in words if word != "&"]
    if program.startswith("tools/"):
        known = options_of(program) if os.path.isfile(f"{ROOT}/{program}") else None
        own = words[:words.index("--")] if "--" in words else words
        return [f"there is no {program}"] if known is None else check_options(program, known, own)
    if program == "jailer":
        at = words.index("--") if "--" in words else len(words)
        return check_options("jailer", options_of("jailer"), words[:at]) + \
            check_options("stasis", options_of("stasis"), words[at + 1:])
    if not words or words[0].startswith("-"):
        return check_options("stasis", options_of("stasis"), words)
    if PLACEHOLDER.match(words[0]) or words[0] in ("help", "[options]"):
        return []
    command = words[:2] if words[:2] in (["seccomp", "compile"], ["image", "build"]) else words[:1]
    if command[0] == "image":
        return check_options("stasis image", options_of("tools/image", *command[1:]), words)
    known = options_of("stasis", *command) if re.fullmatch(r"[a-z-]+", command[0]) else None
    if known is None:
        return [f"there is no stasis {command[0]}"]
    return check_options(f"stasis {' '.join(command)}", known, words)


def links(path, text):
    """Links of a page that lead nowhere."""
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"^    .*$|`[^`]*`", "", text, flags=re.M)):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        there = os.path.normpath(os.path.join(os.path.dirname(path), name)) if name else path
        if not os.path.exists(there):
            yield f"{target} does not exist"
        elif anchor and there.endswith(".md") and anchor not in headings(there):
            yield f"{target}: there is no such heading"


def main():
    os.chdir(ROOT)
    if not os.path.exists("out/native/stasis.help"):
        sys.exit("tests/docs.py: out/native/stasis.help is missing; build it: tools/build")
    seen = 0
    for path in sorted(name for pattern in PAGES for name in glob.glob(pattern)):
        with open(path, encoding="utf-8") as file:
            text = file.read()
        problems = list(links(path, text))
        for line in [*blocks(text), *sentences(text)]:
            for program, words in commands(line):
                seen += 1
                problems += [f"{problem}: {line[:100]}" for problem in check(program, words)]
        report(path, problems)
    # Otherwise the expressions above do not find them any more.
    report("more than a hundred commands were found", [] if seen > 100 else [f"only {seen}"])
    print(f"1..{count}")
    sys.exit(1 if failed else 0)


main()
