# SPDX-License-Identifier: LGPL-2.1-or-later
"""Terminals: their walls, the REST face, sandboxctl in a terminal emulator and in a bare one, and daemons that die
while a terminal talks. What needs tmux is left out where there is none (the tree of Debian 13 has only what we need)."""

import fcntl
import functools
import glob
import http.client
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import termios
import threading
import time

from sandboxd import (HOST, IMAGE, PORT, Sandbox, ApiError, api, eq, kill_main, main_pid, ok, parallel, run_tests, shell,
                      status_of, wait_for)

PATIENCE = 30
CYCLES = int(os.environ.get("TEST_CYCLES", "1000"))
FLOOD_SEC = 10
SPOOL = "/var/lib/sandboxd/spool"


class Terminal:
    """One over the API."""

    def __init__(self, sandbox, **config):
        self.record = sandbox.post("/terminals", config)
        self.id = self.record["id"]
        self.path = f"{sandbox.path}/terminals/{self.id}"

    def get(self):
        return api("GET", self.path)

    def type(self, text):
        return api("POST", self.path + "/input", text.encode(), headers={"Content-Type": "application/octet-stream"})

    def resize(self, rows, cols, expect=200):
        return api("POST", self.path + "/resize", {"rows": rows, "cols": cols}, expect)

    def replay(self, offset=0):
        """All that is there from offset on, of one that has ended."""
        return api("GET", f"{self.path}/stream?offset={offset}", raw=True)

    def shows(self, pattern, offset=0):
        """Waits for a pattern in what it shows; leaves it attached to nobody."""
        connection = http.client.HTTPConnection(HOST, PORT, timeout=PATIENCE)
        try:
            connection.request("GET", f"/sandbox{self.path}/stream?offset={offset}")
            response = connection.getresponse()
            eq(response.status, 200, "status of a stream")
            seen = b""
            while not re.search(pattern, seen):
                more = response.read1(65536)
                ok(more, f"{pattern!r} is shown before the end", seen)
                seen += more
            return seen
        finally:
            connection.close()

    def close(self):
        return api("DELETE", self.path)

    def ended(self):
        return wait_for("the terminal has ended", lambda: self.get()["status"] == "exited" and self.get(), PATIENCE)


class Bare:
    """sandboxctl in a terminal that shows nothing: each byte that it writes is kept."""

    def __init__(self, *arguments, rows=24, cols=80):
        self.seen, self.lock = b"", threading.Lock()
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            self.fd = 0
            self.size(rows, cols)
            os.environ["TERM"] = "dumb"  # nothing but text
            os.execvp("sandboxctl", ["sandboxctl", *arguments])
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        while True:
            try:
                more = os.read(self.fd, 65536)
            except OSError:
                return
            if not more:
                return
            with self.lock:
                self.seen += more

    def text(self):
        with self.lock:
            return self.seen.decode(errors="replace")

    def size(self, rows, cols):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    def type(self, text):
        os.write(self.fd, text.encode())

    def shows(self, pattern, seconds=PATIENCE):
        try:
            return wait_for(f"{pattern!r} is shown", lambda: re.search(pattern, self.text()), seconds)
        except Exception:
            print(f"what was shown: {self.text()[-2000:]!r}", flush=True)
            raise

    def is_raw(self):
        return not termios.tcgetattr(self.fd)[3] & termios.ICANON

    def ends(self):
        """Its exit status."""
        status = wait_for("sandboxctl has ended", self.wait, PATIENCE)[1]
        self.reader.join(5)
        return os.waitstatus_to_exitcode(status)

    def wait(self):
        done = os.waitpid(self.pid, os.WNOHANG)
        return done if done[0] else None


class Tmux:
    """sandboxctl in a real terminal emulator, on a socket of its own."""

    socket = "/run/test-tmux.socket"

    def __init__(self, command, columns=90, rows=25):
        self.call("kill-server", check=False)
        self.call("-f", "/dev/null", "new-session", "-d", "-x", str(columns), "-y", str(rows),
                  f"{command}; echo status=$?; stty -a; read -r nothing")

    def call(self, *arguments, check=True):
        done = subprocess.run(["tmux", "-S", self.socket, *arguments], capture_output=True, text=True,
                              env={**os.environ, "TERM": "xterm", "LC_ALL": "C.UTF-8"})
        ok(done.returncode == 0 or not check, f"tmux {arguments}: {done.stderr}")
        return done.stdout

    def type(self, *keys):
        self.call("send-keys", *keys)

    def screen(self):
        return self.call("capture-pane", "-p")

    def shows(self, pattern):
        try:
            return wait_for(f"{pattern!r} is on the screen", lambda: re.search(pattern, self.screen(), re.M), PATIENCE)
        except Exception:
            print(f"the screen:\n{self.screen()}", flush=True)
            raise

    def resize(self, columns, rows):
        self.call("resize-window", "-x", str(columns), "-y", str(rows))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.call("kill-server", check=False)


def shell_in(sandbox, **size):
    """A shell whose first prompt is there."""
    b = Bare("shell", sandbox.id, "--", "bash", "--norc", "--noprofile", **size)
    wait_for("keys come one by one", b.is_raw, PATIENCE)
    b.type("PS1='ready> '\r")
    b.shows(r"\nready> $")
    return b


def ptys(sandbox):
    return [n for n in sandbox.out("ls /dev/pts").split() if n != "ptmx"]


def walls():
    script = ("tty; ps -o sid=,tty= -p $$ | tr -s ' '; echo pid $$; ls -m /dev/pts; "
              "ls -l $(tty) | cut -c1-10; (: < /dev/tty) && echo controlling; stty size; exit 3")
    one, two = Terminal(S, command="read x"), Terminal(S, command=script, rows=40, cols=132)
    two.ended()
    lines = [line.strip() for line in two.replay().decode().split("\r\n")]
    eq(lines[0], "/dev/pts/1", "its own name")
    eq(lines[1].split(), [lines[2].split()[1], "pts/1"], "own session, own terminal")
    eq(lines[3], "0, 1, ptmx", "only terminals of this sandbox")
    eq(lines[4:7], ["crw--w----", "controlling", "40 132"])
    eq(two.get()["exitCode"], 3)
    with Sandbox(timeout=300) as other:
        eq(ptys(other), [], "terminals of another sandbox")
    one.close()
    two.close()


def a_sandbox_cannot_take_all():
    """The kernel counts the PTYs of all sandboxes together."""
    n = S.out("python3 -c 'import os\nn = 0\ntry:\n while n < 1000: os.open(\"/dev/ptmx\", os.O_RDWR); n += 1\n"
              "except OSError: pass\nprint(n)'").strip()
    ok(0 < int(n) <= 128, "a sandbox has few", n)


def rest():
    t = Terminal(S)
    eq([t.record[k] for k in ("status", "rows", "cols", "offset", "attached")], ["running", 24, 80, 0, False])
    t.type("stty size\r")
    t.shows(rb"24 80\r\n")
    eq(t.resize(50, 100), {"rows": 50, "cols": 100})
    t.type("stty size\r")
    t.shows(rb"50 100\r\n")
    for rows, cols in ((0, 0), (1, 65536), (65536, 1), (-1, -1), ("x", 1), (None, None)):
        t.resize(rows, cols, expect=400)
    eq([x["id"] for x in S_get("/terminals")["terminals"]], [t.id])
    eq(t.close(), {"closed": t.id})
    eq(status_of("GET", t.path), 404)
    eq(status_of("DELETE", t.path), 404)
    eq(ptys(S), [])


def S_get(path):
    return api("GET", S.path + path)


def limit():
    terminals, refused = [], 0
    for _ in range(1000):
        try:
            terminals.append(Terminal(S, command=["cat"]))
        except ApiError as e:
            eq(e.status, 429, "what the last one hears")
            refused += 1
            if refused > 3:
                break
    eq(len(terminals), 32, "terminals at a time")
    parallel([t.close for t in terminals])
    eq(ptys(S), [])
    eq(S_get("/terminals")["terminals"], [])


def close_ends_all():
    t = Terminal(S, command="trap '' HUP; (trap '' HUP; exec sleep 4321) & setsid sleep 4321 & echo up; sleep 4321")
    t.shows(rb"up")
    t.close()
    wait_for("all that it started has ended", lambda: S.run("pgrep -fx 'sleep 4321'")["stdout"] == "", PATIENCE)
    eq(ptys(S), [])


def offsets():
    t = Terminal(S, command="for i in $(seq 1000); do echo line $i; done")
    t.ended()
    whole = t.replay()
    eq(whole, b"".join(b"line %d\r\n" % i for i in range(1, 1001)))
    for offset in (0, 1, 100, len(whole) - 1, len(whole), len(whole) + 5):
        eq(t.replay(offset), whole[offset:], f"from {offset} on")
    t.close()


def take_over():
    b = shell_in(S)
    terminal = S_get("/terminals")["terminals"][0]["id"]
    b.type("echo first\r")
    b.shows(r"\nfirst\r\n")
    second = Bare("attach", S.id, terminal, rows=30, cols=100)
    second.shows(r"\nfirst\r\n")
    eq(b.ends(), 125, "status of the one that was there")
    ok("another one has attached" in b.text(), "it is told", b.text()[-300:])
    second.type("stty size; exit 6\r")
    second.shows(r"\n30 100\r\n")
    eq(second.ends(), 6)
    eq(S_get("/terminals")["terminals"], [], "what is left of a terminal that ended")


def detach():
    b = shell_in(S)
    b.type("sh -c 'i=0; trap \"stty size\" WINCH; while sleep 0.05; do echo tick $i; i=$((i+1)); done'\r")
    b.shows(r"tick 3\r\n")
    b.type("\x1dd")
    eq(b.ends(), 0, "status of leaving")
    ok(re.search(r"\[left: sandboxctl attach \S+ term_", b.text()), "it says how to come back", b.text()[-300:])
    again = Bare("attach", S.id[:12], rows=33, cols=99)
    again.shows(r"tick 1\r\n")
    again.shows(r"\n33 99\r\n")
    again.type("\x03")
    again.type("exit 4\r")
    eq(again.ends(), 4)
    ticks = [int(x) for x in re.findall(r"tick (\d+)\r", again.text())]
    eq(ticks, list(range(len(ticks))), "ticks that were shown again, and went on")


def signals_leave_it():
    for number in (signal.SIGTERM, signal.SIGHUP):
        b = shell_in(S)
        os.kill(b.pid, number)
        eq(b.ends(), 128 + number)
        Terminal.close(Known(S, S_get("/terminals")["terminals"][0]["id"]))


class Known(Terminal):
    def __init__(self, sandbox, identifier):
        self.id, self.path = identifier, f"{sandbox.path}/terminals/{identifier}"


def job_control():
    b = shell_in(S)
    b.type("sleep 4322\r")
    wait_for("it runs", lambda: S.run("pgrep -fx 'sleep 4322'")["stdout"], PATIENCE)
    b.type("\x1a")
    b.shows(r"Stopped +sleep 4322")
    b.type("jobs\r")
    b.shows(r"jobs\r\n\[1\]\+ +Stopped")
    b.type("fg\r")
    b.shows(r"fg\r\nsleep 4322\r\n")
    b.type("\x03")
    b.shows(r"\^C\r\n(\r\n)?ready> $")
    b.type("echo status $?\r")
    b.shows(r"\nstatus 130\r\n")
    b.type("\x04")
    eq(b.ends(), 0, "status at the end of input")


def failures():
    for arguments, status in ((("shell", "nosuch"), 125), (("attach", S.id), 125), (("shell", S.id, "/nosuch"), 125)):
        eq(Bare(*arguments).ends(), status, f"{arguments}")
    eq(subprocess.run(["sandboxctl", "shell", S.id], stdin=subprocess.DEVNULL, capture_output=True).returncode, 125)


def run_with_a_terminal():
    """A shell to work in, whose sandbox goes with it, however it is left."""
    def there():
        return {s["id"] for s in api("GET", "/sandboxes?pageSize=200")["items"]}

    before = there()
    for last, status, text in (("exit 6\r", 6, "exit 6"), ("\x1dd", 0, "[left]")):
        b = Bare("run", IMAGE, rows=31)
        wait_for("keys come one by one", b.is_raw, PATIENCE)
        b.type("stty size; tty\r")
        b.shows(r"\n31 80\r\n/dev/pts/0\r\n")
        eq(len(there() - before), 1, "its sandbox")
        b.type(last)
        eq(b.ends(), status)
        ok(text in b.text(), "how it ended", b.text())
        eq(there(), before, "sandboxes afterwards")
    b = Bare("run", "--no-input", IMAGE)
    eq((b.ends(), there()), (0, before))


def emulator():
    if not shutil.which("tmux"):
        print("no tmux here")
        return
    with Tmux(f"sandboxctl shell {S.id}") as t:
        t.shows(r"[#$] *$")
        t.type("stty size; echo $TERM", "Enter")
        t.shows(r"\n25 90\n(screen|tmux)")
        t.resize(70, 20)
        t.type("stty size", "Enter")
        t.shows(r"\n20 70\n")
        t.type("sleep 4323", "Enter")
        wait_for("it runs", lambda: S.run("pgrep -fx 'sleep 4323'")["stdout"], PATIENCE)
        t.type("C-c")
        t.type("echo was $?", "Enter")
        t.shows(r"\nwas 130\n")
        # What fills the screen is drawn where it belongs, and is gone afterwards.
        t.type("tput smcup; tput clear; tput cup 9 30; printf MIDDLE; tput cup 19 0; read x; tput rmcup", "Enter")
        t.shows(r"\A\n{9} {30}MIDDLE\n")
        t.type("Enter")
        t.shows(r"\nwas 130\n")
        ok("MIDDLE\n" not in t.screen().replace("printf MIDDLE", ""), "the screen is as before", t.screen())
        t.type("exit 7", "Enter")
        t.shows(r"\nstatus=7\n")
        t.shows(r"[^-]icanon")
    with Tmux(f"sandboxctl shell {S.id}") as t:
        t.shows(r"[#$] *$")
        t.type("false", "Enter")
        t.type("C-d")
        t.shows(r"\nstatus=1\n")
    with Tmux(f"sandboxctl shell {S.id}") as t:
        t.shows(r"[#$] *$")
        t.type("echo left-$((40 + 2))", "Enter")
        t.shows(r"\nleft-42\n")
        t.type("C-]", "d")
        t.shows(r"\nstatus=0\n")
    with Tmux(f"sandboxctl attach {S.id}") as t:
        t.shows(r"\nleft-42\n")
        t.type("exit", "Enter")
        t.shows(r"\nstatus=0\n")


def no_byte_is_lost_by(unit):
    """A counter goes on while the daemon is killed again and again."""
    last = 20000
    b = Bare("shell", S.id, "--", "sh", "-c", "stty -echo; read x; i=0; while [ $i -lt " + str(last) + " ]; do "
             "echo n=$i; i=$((i+1)); [ $((i % 500)) != 0 ] || sleep 0.1; done; read x; exit 9")
    wait_for("it is read", lambda: any(t["attached"] for t in S_get("/terminals")["terminals"]), PATIENCE)
    b.type("\r")
    for mark in (1000, 4000, 9000):
        b.shows(rf"n={mark}\r")
        kill_main(unit)
    b.shows(rf"n={last - 1}\r\n", 120)
    numbers = [int(x) for x in re.findall(r"n=(\d+)\r\n", b.text())]
    eq(len(numbers), last, f"lines that were shown, {unit}")
    eq(numbers, list(range(last)), f"each of them once, {unit}")
    b.type("\r")
    eq(b.ends(), 9, f"status behind {unit}'s death")


def daemons_die():
    for unit in ("sandboxd.service", "sandbox-execd.service", "sandbox-fsd.service"):
        no_byte_is_lost_by(unit)


def it_ends_while_nobody_is_there():
    t = Terminal(S, command="echo before; read x; echo after; exit 8")
    t.shows(rb"before")
    for unit in ("sandboxd.service", "sandbox-execd.service"):
        kill_main(unit)
    t.type("\r")
    eq(t.ended()["exitCode"], 8)
    ok(t.replay().endswith(b"after\r\n"), "its last words", t.replay())
    t.close()


def rss(unit):
    with open(f"/proc/{main_pid(unit)}/status") as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read())[1])


def flood():
    """One that nobody looks at, one whose reader reads, and one whose reader does not."""
    terminals = [Terminal(S, command=["yes"]) for _ in range(3)]
    stalled = http.client.HTTPConnection(HOST, PORT, timeout=PATIENCE)
    stalled.request("GET", f"/sandbox{terminals[2].path}/stream")
    stop = threading.Event()

    def read():
        connection = http.client.HTTPConnection(HOST, PORT, timeout=PATIENCE)
        connection.request("GET", f"/sandbox{terminals[1].path}/stream")
        response = connection.getresponse()
        while not stop.is_set():
            ok(response.read(65536), "the stream goes on")
        connection.close()

    reader = threading.Thread(target=read)
    reader.start()
    for t in terminals[:2]:
        wait_for("output flows", lambda t=t: t.get()["offset"] > 1 << 20, PATIENCE)
    units = ("sandboxd.service", "sandbox-execd.service")
    before = {u: rss(u) for u in units}
    time.sleep(FLOOD_SEC)
    after = {u: rss(u) for u in units}
    stop.set()
    reader.join()
    stalled.close()
    for u in units:
        ok(after[u] - before[u] < 4096, f"memory of {u} grows by kibibytes", before[u], after[u])
    for t in terminals:
        ok(os.stat(f"{SPOOL}/{t.id}").st_size <= (11 << 20) + 8192, "its file is bounded")
    parallel([t.close for t in terminals])


def state_of_all(sandbox):
    init = open(sandbox.cgroup() + "/init/cgroup.procs").read().split()[0]
    pids = {"init": int(init), "sandboxd": main_pid("sandboxd.service"), "execd": main_pid("sandbox-execd.service")}
    fds = {name: len(os.listdir(f"/proc/{pid}/fd")) for name, pid in pids.items()}
    with open(f"/proc/{init}/status") as f:
        memory = int(re.search(r"VmRSS:\s+(\d+)", f.read())[1])
    return {"pids": pids, "fds": fds, "init": memory, "cgroups": len(glob.glob(sandbox.cgroup() + "/run/*/")),
            "spools": len(os.listdir(SPOOL)), "ptys": ptys(sandbox)}


def opened_and_closed_often():
    def cycle(n):
        for _ in range(n):
            Terminal(S, command=["cat"]).close()

    cycle(5)
    before = state_of_all(S)
    parallel([lambda: cycle(CYCLES // 4)] * 4)
    wait_for("the cgroups are gone", lambda: state_of_all(S)["cgroups"] <= before["cgroups"], PATIENCE)
    after = state_of_all(S)
    eq(after["pids"], before["pids"], "nobody was replaced")
    eq((after["ptys"], after["spools"]), ([], before["spools"]))
    for name, n in before["fds"].items():
        ok(abs(after["fds"][name] - n) <= 4, f"descriptors of {name}", n, after["fds"][name])
    ok(after["init"] - before["init"] < 1024, "memory of init", before["init"], after["init"])


def tidy(test):
    """What a test that failed leaves behind shall not fail the next one, too."""
    @functools.wraps(test)
    def run():
        try:
            test()
        finally:
            for record in S_get("/terminals")["terminals"]:
                status_of("DELETE", f"{S.path}/terminals/{record['id']}")
    return run


def main():
    global S
    with Sandbox(timeout=1800) as S:
        run_tests([tidy(t) for t in (
            walls, a_sandbox_cannot_take_all, rest, limit, close_ends_all, offsets, take_over, detach, signals_leave_it,
            job_control, failures, run_with_a_terminal, emulator, daemons_die, it_ends_while_nobody_is_there, flood,
            opened_and_closed_often)])


main()
