# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the tests of snapshots have in common."""
import os
import re

from sandboxd import VM, Failure, Sandbox, api, eq, ok, shell, status_of, wait_for

STORE = "/var/lib/sandbox"
ON_DISK = int(VM) # where there are quotas, sandboxes write to the store
UNITS = ("sandboxd", "sandbox-execd", "sandbox-fsd")

# All that an upper layer can hold: names, links, holes, attributes, things deleted and things replaced.
TREE = r"""
set -e
mkdir -p /data/deep/er /data/replaced && cd /data
echo one >a && ln a b && ln -s a soft && mkfifo pipe
truncate -s 10M sparse && printf end >>sparse
echo attributes >x && chown 12:34 x && chmod 4711 x && touch -d @1234567890 x
python3 - <<'PY'
import os
os.setxattr("/data/x", "user.mine", b"value")
PY
rm -f /etc/hosts.allow; rm -rf /usr/share/doc; mkdir -p /usr/share/doc/own && echo doc >/usr/share/doc/own/file
rm /etc/hostname && mkdir /etc/hostname
rm -f /usr/bin/perl
"""
LOOK = r"""
cd /data && cat a b soft && stat -c '%h %a %u:%g %Y %s %b' a x && stat -c '%s' sparse && tail -c 3 sparse
[ $(stat -c %i a) = $(stat -c %i b) ] && echo linked
[ $(stat -c %b sparse) -lt 1000 ] && echo sparse
test -p pipe && echo pipe
python3 -c 'import os; print(os.getxattr("/data/x", "user.mine"))'
ls /usr/share/doc; cat /usr/share/doc/own/file; test -d /etc/hostname && echo directory; ls /usr/bin/perl 2>&1
ls /proc/self/fd >/dev/null && ls /dev/pts >/dev/null && echo mounted >/tmp/x && cat /tmp/x
"""


def adopt(record):
    s = Sandbox.__new__(Sandbox)
    s.record, s.id = record, record["id"]
    s.path, s.scope = f"/sandboxes/{s.id}", f"sandbox-{s.id[4:]}.scope"
    return s


def clone(s, **body):
    return adopt(s.post("/clone", body))


def fork(s, n):
    return [adopt(r) for r in s.post("/fork", {"count": n})["sandboxes"]]


def of_snapshot(snapshot, **body):
    return adopt(api("POST", f"/snapshots/{snapshot['id']}/clone", body))


def forget(*snapshots):
    for x in snapshots:
        eq(api("DELETE", f"/snapshots/{x['id']}"), {"deleted": x["id"]})


def background(s, command):
    return s.post("/exec/background", {"command": command})


def root_of(s):
    """The options of its overlay."""
    return re.search(r" / overlay .*", s.out("grep ' / / ' /proc/self/mountinfo | sed 's/.* - overlay none/ \\/ overlay/'"))[0]


def stored():
    """What lies on disk for snapshots, but for what is being deleted."""
    return sorted(n for n in os.listdir(f"{STORE}/snapshots") if not n.startswith(".gone-"))


def nothing_stored(what, seconds=10.0):
    try:
        wait_for(what, lambda: not stored() and status_of("GET", "/sandboxes") == 200, seconds)
    except Failure as e:
        raise Failure(f"{e}: {stored()}") from None


def copies(name):
    """Of a file that sandboxes wrote, in the store."""
    return shell(f"find {STORE} -name {name} -not -path '*/.gone-*'").count("\n")


def everything_there(s, expected):
    eq(s.out(LOOK.replace("ls /usr/bin/perl 2>&1", "ls /usr/bin/perl 2>&1 || true")), expected)


# Each round it writes the same number to many files, through descriptors and a working directory that it keeps.
WRITER = r"""
import os
os.makedirs("/data/w/a/b"); os.chdir("/data/w/a/b")
fds = [os.open(f"f{i}", os.O_RDWR | os.O_CREAT) for i in range(8)]
n = 0
while True:
    n += 1
    for fd in fds:
        os.pwrite(fd, b"%16d" % n, 0)
    open("step", "w").write(str(n)); os.rename("step", "done")
"""


def one_moment(s):
    """Writes are in order, so of any two neighbours the later one is at most one round behind."""
    values = [int(x) for x in s.out("cd /data/w/a/b && for i in 0 1 2 3 4 5 6 7; do cat f$i; echo; done").split()]
    done = int(s.out("cat /data/w/a/b/done"))
    ok(all(a >= b for a, b in zip(values, values[1:])) and values[0] - values[-1] <= 1 and 0 <= values[-1] - done <= 1,
       "what was written is of one moment", values, done)
    return done


def alive(s):
    try:
        return s.run("true")["exitCode"] == 0
    except (Failure, OSError):
        return False


def nothing_left():
    eq(api("GET", "/sandboxes")["items"], [])
    nothing_stored("no snapshot on disk")
    wait_for("no note of one", lambda: not [n for n in os.listdir(f"{STORE}/roots") if n.startswith(".snap-")])
    eq([x for x in shell("findmnt -rno TARGET").split() if "snapshots" in x], [])
