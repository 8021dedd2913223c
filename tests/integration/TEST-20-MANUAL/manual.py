# SPDX-License-Identifier: LGPL-2.1-or-later
"""Finds the examples in manual pages, Markdown and help texts, and says whether what they printed is what they promise.

An example is a block: .EX to .EE in a page, ``` to ``` in Markdown. In it a line that begins with "$ " or "# " is a
command, continued by a backslash at its end; the lines up to the next command are what it prints. "..." in these stands
for anything, and for any number of lines where a line is nothing else. Without such lines the output does not matter.

Comments right before a block say how it is to be run, .\\" test: in a page and <!-- test: --> in Markdown:
    given COMMAND   is run before
    exit NUMBER     status of the last command, else 0
    file PATH       the block is no commands but this file
    skip REASON     it cannot be run in a test"""

import re

ESCAPES = {"-": "-", "(aq": "'", "(dq": '"', "e": "\\", "&": "", " ": " ", "(ga": "`", "(ha": "^", "(ti": "~"}
KEYWORDS = ("given", "exit", "file", "skip")


class Block:
    def __init__(self, where, notes):
        self.where, self.lines = where, []
        self.given, self.exit, self.file, self.skip = [], 0, None, None
        for note in notes:
            keyword, _, value = note.partition(" ")
            if keyword not in KEYWORDS:
                raise ValueError("%s: unknown note %r" % (where, note))
            if keyword == "given":
                self.given.append(value)
            else:
                setattr(self, keyword, int(value) if keyword == "exit" else value)

    def steps(self):
        """[(command, lines that it prints)]"""
        steps, open_command = [], False
        for line in self.lines:
            if open_command:
                steps[-1][0] += "\n" + line
            elif line.startswith(("$ ", "# ")):
                steps.append([line[2:], []])
            elif steps:
                steps[-1][1].append(line)
            else:
                raise ValueError("%s: %r belongs to no command" % (self.where, line))
            open_command = steps[-1][0].endswith("\\") and not steps[-1][1]
        return steps


def unescape(line):
    def one(match):
        if match.group(1)[0] == "f":
            return ""
        return ESCAPES[match.group(1)]
    return re.sub(r"\\(f[A-Z]|\(..|.)", one, line)


def blocks(text, name, note, begin, end, plain):
    found, notes, block = [], [], None
    for i, line in enumerate(text.splitlines(), 1):
        if block is None and begin(line):
            block = Block("%s:%d" % (name, i), notes)
            found.append(block)
        elif block is not None and end(line):
            block, notes = None, []
        elif block is not None:
            block.lines.append(plain(line))
        else:
            match = re.fullmatch(note, line)
            notes = notes + [match.group(1)] if match else []
    if block is not None:
        raise ValueError("%s: has no end" % block.where)
    return found


def of_page(text, name):
    return blocks(text, name, r'\.\\" test: (.*)', lambda line: line == ".EX", lambda line: line == ".EE", unescape)


def of_markdown(text, name):
    fence = re.compile(r"```(sh|console|bash)?")
    return [b for b in blocks(text, name, r"<!-- test: (.*) -->", lambda line: fence.fullmatch(line) or
                              line.startswith("```"), lambda line: line == "```", str)
            if b.file or b.skip or any(line.startswith(("$ ", "# ")) for line in b.lines)]


def of_help(text, name):
    block = Block(name, [])
    block.lines = [line[2:] for line in text.splitlines() if line.startswith("  $ ")]
    return [block] if block.lines else []


def matches(expected, printed):
    """Whether the lines printed are the expected ones, with "..." as described above."""
    pattern = ""
    for line in expected:
        if line == "...":
            pattern += r"(?:.*\n)*"
        else:
            pattern += ".*".join(re.escape(part) for part in line.rstrip().split("...")) + r" *\n"
    return re.fullmatch(pattern, "".join(line.rstrip() + "\n" for line in printed)) is not None
