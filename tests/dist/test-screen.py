#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What sandboxctl draws on a terminal: top and --watch on a pseudo terminal, against the stand-in for the server. How the
terminal looks is worked out from the sequences sent, as a terminal would; afterwards it must be as it was before.
   test-screen.py SANDBOXCTL"""
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time

program = os.path.abspath(sys.argv[1])
here = os.path.dirname(os.path.abspath(__file__))
LIMIT_SEC = 30
work = tempfile.TemporaryDirectory()
os.mkdir(work.name + "/server")
server = subprocess.Popen([sys.executable, here + "/fake-server.py", work.name + "/server"], stdout=subprocess.PIPE,
                          text=True)
assert server.stdout.readline().startswith("ready")
socket = work.name + "/server/socket"


def ctl(*words):
    return subprocess.run([program, "--socket", socket, *words], check=True, capture_output=True, text=True).stdout


class Terminal:
    """A program on a pseudo terminal, and the lines that its user sees."""

    def __init__(self, *words, rows=24, columns=80, **environment):
        self.lines, self.row, self.raw, self.inside, self.rows = {}, 1, "", False, rows
        variables = dict(os.environ, **{"TERM": "xterm", "LC_ALL": "C.UTF-8", **environment})
        variables.pop("III_SANDBOX_URL", None)
        self.master, slave = pty.openpty()
        self.slave = slave
        self.resize(rows, columns)
        self.before = termios.tcgetattr(slave)
        self.process = subprocess.Popen([program, "--socket", socket, *words], stdin=slave, stdout=slave, stderr=slave,
                                        env=variables, preexec_fn=self.own, close_fds=True)

    def own(self):
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def feed(self, text):
        self.raw += text
        for part in re.findall(r"\x1b\[[?0-9;]*[A-Za-z]|[^\x1b]+", text):
            if re.fullmatch(r"\x1b\[\d+;1H", part):
                self.row = int(part[2:-3])
                assert self.row <= self.rows, "drawn below the last line"
                self.lines[self.row] = ""
            elif part in ("\x1b[?1049h", "\x1b[?1049l"):
                self.inside = part.endswith("h")
                self.lines = {}
            elif not part.startswith("\x1b"):
                self.lines[self.row] = self.lines.get(self.row, "") + part

    def pump(self, seconds):
        if select.select([self.master], [], [], seconds)[0]:
            try:
                self.feed(os.read(self.master, 65536).decode())
            except OSError:
                pass

    def screen(self):
        return "\n".join(self.lines.get(i + 1, "") for i in range(self.rows))

    def wait(self, pattern):
        end = time.monotonic() + LIMIT_SEC
        while not re.search(pattern, self.screen(), re.M):
            assert time.monotonic() < end, "no %r on:\n%s" % (pattern, self.screen())
            self.pump(0.2)

    def key(self, text):
        os.write(self.master, text.encode())

    def ends(self, status):
        end = time.monotonic() + LIMIT_SEC
        while self.process.poll() is None:
            assert time.monotonic() < end, "does not end"
            self.pump(0.05)
        for _ in range(5):
            self.pump(0.05)
        assert self.process.returncode == status, "ended with %s\n%s" % (self.process.returncode, self.screen())
        assert not self.inside, "left the terminal on its other screen"
        assert self.raw.count("\x1b[?25l") == self.raw.count("\x1b[?25h"), "left the cursor hidden"
        assert termios.tcgetattr(self.slave) == self.before, "left the terminal's settings changed"


def top_draws_and_sorts():
    t = Terminal("top", "-d", "1")
    t.wait("5 sandboxes: 5 running, 0 paused; by cpu$")
    t.wait("^ *CPU% .*NAME$")
    t.wait("^ *12.5 .*20M +512M .*running +one$")
    t.wait(r"evil\\x1b\[2Jname$")
    t.key("n")
    t.wait("; by name$")
    t.key("r")
    t.wait("by name, reversed$")
    assert re.search("n5$(.|\n)*n4$", t.screen(), re.M), t.screen()
    t.wait("^ *[0-9.]+ +[▁-█]{3,8} ")
    t.key("q")
    t.ends(0)
    assert "\x1b[7m" in t.raw


def only_changes_are_sent():
    t = Terminal("top", "-d", "1")
    t.wait("running +one$")
    for _ in range(20):
        t.pump(0.2)
    assert t.raw.count("q quit") == 1, "a line that never changes was sent again"
    t.key("\x03")
    t.ends(0)


def a_new_size_is_used():
    t = Terminal("top", "-d", "600")
    t.wait("^ *CPU% .*STATE +NAME$")
    t.resize(5, 40)
    t.rows = 5
    t.lines = {}
    t.wait("^ *CPU% .*LEFT NAME$")
    t.key("n")
    t.wait(r"^ *12.5 .* evil\\x1b")
    assert max(len(line) for line in t.screen().split("\n")) <= 40, t.screen()
    t.key("j")
    t.wait("^ *12.5 .* n4$")
    t.key("\x1b[A")
    t.wait("^ *12.5 .* evil")
    t.key("jjk")
    t.wait("^ *12.5 .* n4$")
    t.key("q")
    t.ends(0)


def without_colors_and_unicode():
    t = Terminal("top", "-d", "1", NO_COLOR="1", LC_ALL="C")
    t.wait("^ *[0-9.]+ +[_.~=+*#-]{2,8} ")
    t.key("q")
    t.ends(0)
    assert "\x1b[7m" not in t.raw and "\x1b[1m" not in t.raw
    assert t.raw.isascii()


def signals_put_the_terminal_back():
    for signo in signal.SIGTERM, signal.SIGHUP:
        t = Terminal("top", "-d", "600")
        t.wait("running +one$")
        t.process.send_signal(signo)
        t.ends(-signo)
    t = Terminal("top", "-d", "600")
    t.wait("running +one$")
    t.process.send_signal(signal.SIGTSTP)
    while t.inside:
        t.pump(0.2)
    os.waitid(os.P_PID, t.process.pid, os.WSTOPPED | os.WNOWAIT) # the last thing it does
    assert termios.tcgetattr(t.slave) == t.before
    t.process.send_signal(signal.SIGCONT)
    t.wait("running +one$")
    t.key("q")
    t.ends(0)


def watch_goes_on_until_it_fails():
    victim = ctl("create", "python", "--name", "victim").strip()
    t = Terminal("status", "victim", "--watch=1")
    t.wait("^Every 1s: status victim +[0-9-]+ [0-9:]+ UTC$")
    t.wait("Status: running$")
    ctl("pause", "victim")
    t.wait("Status: paused$")
    ctl("kill", victim)
    t.ends(4)
    assert "Sandbox not found" in t.raw
    t = Terminal("list", "--watch")
    t.wait("^Every 2s: list")
    t.wait("^ID +NAME")
    t.key("q")
    t.ends(0)


def plain_blocks_without_a_terminal():
    p = subprocess.Popen([program, "--socket", socket, "ps", "one", "--watch=1"], stdout=subprocess.PIPE, text=True)
    text = ""
    while text.count("COMMAND") < 2:
        line = p.stdout.readline()
        assert line
        text += line
    p.terminate()
    p.wait()
    assert re.search(r"name\n\nPID ", text) and "\x1b[" not in text, text
    t = Terminal("top", TERM="dumb")
    t.ends(0)
    assert "one" in t.raw and "\x1b" not in t.raw
    assert ctl("top", "-b", "-n", "2", "-d", "1").count("NAME") == 2


try:
    for name in "one", "two", "evil\x1b[2Jname", "n4", "n5":
        ctl("create", "python", "--name", name)
    for test in (top_draws_and_sorts, only_changes_are_sent, a_new_size_is_used, without_colors_and_unicode,
                 signals_put_the_terminal_back, watch_goes_on_until_it_fails, plain_blocks_without_a_terminal):
        test()
        print("ok", test.__name__, flush=True)
finally:
    server.terminate()
    server.wait()
