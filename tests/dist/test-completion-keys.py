#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The completions in their shells: bash and zsh run on a pseudo terminal, a line and a tab are typed, and the line that
the shell then has is compared. The server is a stand-in, and is asked for real.
   test-completion-keys.py SOURCE_DIR SANDBOXCTL bash|zsh"""
import fcntl
import os
import pty
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time

source, program, shell = sys.argv[1], os.path.abspath(sys.argv[2]), sys.argv[3]
here = os.path.dirname(os.path.abspath(__file__))
completion = source + "/sandboxctl/completion"
LIMIT_SEC = 30
if not shutil.which(shell):
    print("skipped: no", shell)
    sys.exit(77)

START = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], """\
        . %s/sandboxctl.bash
        bind 'set enable-bracketed-paste off'
        show() { printf '%%s\\n' "$READLINE_LINE" >>lines; READLINE_LINE=; }
        bind -x '"\\C-]": show'
        """ % completion),
    "zsh": (["zsh", "-f", "-i"], """\
        fpath=(%s $fpath)
        autoload -Uz compinit && compinit -u -d ./dump
        unsetopt beep auto_menu auto_list prompt_sp zle_bracketed_paste
        show() { print -r -- "$BUFFER" >>lines; BUFFER= }
        zle -N show
        bindkey '^]' show
        """ % completion),
}

# What is typed, and the line that it becomes. @ stands for how to reach the server.
CASES = [
    ("sandboxctl crea", "sandboxctl create "),
    ("sandboxctl help vers", "sandboxctl help version "),
    ("sandboxctl list --qu", "sandboxctl list --quiet "),
    ("sandboxctl @ list --status pau", "sandboxctl @ list --status paused "),
    ("sandboxctl top --sort=mem", "sandboxctl top --sort=memory"),
    ("sandboxctl @ status lon", "sandboxctl @ status lonely "),
    ("sandboxctl @ exec lonely lon", "sandboxctl @ exec lonely lon"),
    ("sandboxctl @ kill lonely alp", "sandboxctl @ kill lonely alpha "),
    ("sandboxctl @ status %s", "sandboxctl @ status %s "),
    ("sandboxctl @ status odd", "sandboxctl @ status odd"),
    ("sandboxctl @ create deb", "sandboxctl @ create debian "),
    ("sandboxctl @ create --name lon", "sandboxctl @ create --name lon"),
    ("sandboxctl @ renew lonely lon", "sandboxctl @ renew lonely lon"),
    ("sandboxctl @ cp lon", "sandboxctl @ cp lonely:"),
    ("sandboxctl @ cp local-f", "sandboxctl @ cp local-file"),
    ("sandboxctl @ cp local-file lonely:local", "sandboxctl @ cp local-file lonely:local"),
    ("sandboxctl --socket /nonexistent status lon", "sandboxctl --socket /nonexistent status lon"),
    ("sandboxctl --token-file local-f", "sandboxctl --token-file local-file"),
]


class Shell:
    def __init__(self, directory):
        self.directory, self.output = directory, b""
        argv, setup = START[shell]
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            os.chdir(directory)
            os.environ.update(PATH=os.path.dirname(program) + ":" + os.environ["PATH"], TERM="xterm", PS1="$ ",
                              HOME=directory, LC_ALL="C.UTF-8")
            os.environ.pop("III_SANDBOX_URL", None)
            os.execvp(argv[0], argv)
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 400, 0, 0))
        with open(directory + "/setup", "w") as f:
            f.write(setup)
        self.type(" . ./setup; touch ready\r")
        self.wait(lambda: os.path.exists(directory + "/ready"))

    def type(self, text):
        os.write(self.master, text.encode())

    def wait(self, condition):
        end = time.monotonic() + LIMIT_SEC
        while not condition():
            assert time.monotonic() < end, "nothing comes: %r" % self.output[-600:]
            if select.select([self.master], [], [], 0.05)[0]:
                self.output += os.read(self.master, 65536)

    def lines(self):
        try:
            with open(self.directory + "/lines") as f:
                return f.read().splitlines()
        except FileNotFoundError:
            return []

    def complete(self, line):
        n = len(self.lines())
        self.type(line + "\t\x1d")
        self.wait(lambda: len(self.lines()) > n)
        return self.lines()[n]

    def end(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


with tempfile.TemporaryDirectory() as work:
    os.mkdir(work + "/server")
    os.mkdir(work + "/home")
    open(work + "/home/local-file", "w").close()
    server = subprocess.Popen([sys.executable, here + "/fake-server.py", work + "/server"], stdout=subprocess.PIPE,
                              text=True)
    reach = "--socket %s/server/socket" % work
    failed = False
    s = None
    try:
        assert server.stdout.readline().startswith("ready")
        ids = [subprocess.run([program, *reach.split(), "create", "python", "--name", name], check=True,
                              capture_output=True, text=True).stdout.strip()
               for name in ("lonely", "alpha", "odd name; reboot", "b4")]
        s = Shell(work + "/home")
        for typed, expected in CASES:
            typed, expected = typed.replace("@", reach), expected.replace("@", reach)
            if "%s" in typed:
                typed, expected = typed % ids[3][:-1], expected % ids[3]
            got = s.complete(typed)
            if got.rstrip() != expected.rstrip():
                print("FAILED: %r became %r, wanted %r" % (typed, got, expected))
                failed = True
        # A long time without a server would be one without a prompt.
        begin = time.monotonic()
        s.complete("sandboxctl --socket /nonexistent status lon")
        assert time.monotonic() - begin < 10
        if b"rror" in s.output or b"not found" in s.output:
            print("FAILED: said something: %r" % s.output[-600:])
            failed = True
    finally:
        if s:
            s.end()
        server.terminate()
        server.wait()
    sys.exit(failed)
