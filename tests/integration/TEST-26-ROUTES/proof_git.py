# SPDX-License-Identifier: LGPL-2.1-or-later
from proof import proof, sandbox
from sandboxd import eq

PLACE = "/workspace/repository"
made = []


def repository():
    """With one commit, and a bare one beside it that it was pushed to."""
    s = sandbox()
    if not made:
        s.out(f"""set -e
            git init -q -b main {PLACE}; cd {PLACE}
            git config --global user.email a@b.c; git config --global user.name n
            echo one >file; git add file; git commit -qm first
            git init -q --bare -b main {PLACE}.bare; git remote add origin {PLACE}.bare; git push -q -u origin main""",
              env={"HOME": "/root"})
        made.append(s)
    return s


def out(command):
    return repository().out(f"cd {PLACE} && {command}")


@proof("POST /sandboxes/:id/git/branch")
def branch(p):
    s = repository()
    answer = p.good({"path": PLACE, "name": "proof"}, id=s.id)
    eq((answer["current"], sorted(answer["branches"])[:2]), ("proof", ["main", "proof"]))
    p.effect("git is on it", out("git branch --show-current") == "proof\n")
    p.bad(400, {"path": PLACE, "name": "--evil"}, id=s.id)
    out("git checkout -q main")


@proof("POST /sandboxes/:id/git/checkout")
def checkout(p):
    s = repository()
    out("git branch -f other")
    eq(p.good({"path": PLACE, "ref": "other"}, id=s.id)["exitCode"], 0)
    p.effect("git is there", out("git branch --show-current") == "other\n")
    p.bad(400, {"path": PLACE, "ref": ""}, id=s.id)
    out("git checkout -q main")


@proof("POST /sandboxes/:id/git/clone")
def clone(p):
    s = repository()
    result = p.good({"url": f"{PLACE}.bare", "path": "/workspace/cloned"}, id=s.id)
    eq(result["exitCode"], 0, result)
    p.effect("its files are there", s.get_raw("/workspace/cloned/file") == b"one\n")
    p.bad(400, {"url": "ext::sh -c touch% /tmp/evil"}, id=s.id)


@proof("POST /sandboxes/:id/git/commit")
def commit(p):
    s = repository()
    out("echo 'two' >second")
    eq(p.good({"path": PLACE, "message": "it's \"second\"", "all": True}, id=s.id)["exitCode"], 0)
    p.effect("it is in the history", out("git log -1 --format=%s --name-only") == "it's \"second\"\n\nsecond\n")
    p.bad(400, {"path": PLACE, "message": ""}, id=s.id)


@proof("GET /sandboxes/:id/git/diff")
def diff(p):
    s = repository()
    out("echo staged >>file; git add file; echo unstaged >>file")
    staged = p.good(id=s.id, query=f"path={PLACE}&staged=true")["diff"]
    p.effect("what is to be committed, only", "+staged" in staged and "+unstaged" not in staged, staged)
    rest = p.good(id=s.id, query=f"path={PLACE}")["diff"]
    p.effect("and the rest, only", "+unstaged" in rest and "+staged" not in rest, rest)
    out("git reset -q --hard")
    p.bad(404, id="sbx_" + "0" * 24)


@proof("GET /sandboxes/:id/git/log")
def log(p):
    s = repository()
    entries = p.good(id=s.id, query=f"path={PLACE}&count=1")["entries"]
    p.effect("the commit that git has", [e["hash"] for e in entries] == [out("git rev-parse HEAD").strip()], entries)
    p.bad(400, id=s.id, query="count=many")


@proof("POST /sandboxes/:id/git/pull")
def pull(p):
    s = repository()
    s.out(f"""set -e
        git clone -q {PLACE}.bare /tmp/theirs; cd /tmp/theirs
        echo theirs >pulled; git add pulled; git commit -qm theirs; git push -q
        git -C {PLACE} config pull.rebase true""")
    result = p.good({"path": PLACE}, id=s.id)
    eq(result["exitCode"], 0, result)
    p.effect("what others pushed is there", s.get_raw(f"{PLACE}/pulled") == b"theirs\n")
    p.bad(400, {"path": PLACE, "remote": "--upload-pack=evil"}, id=s.id)


@proof("POST /sandboxes/:id/git/push")
def push(p):
    s = repository()
    out("git pull -q; echo ours >pushed; git add pushed; git commit -qm ours")
    result = p.good({"path": PLACE}, id=s.id)
    eq(result["exitCode"], 0, result)
    p.effect("the remote has it", s.out(f"git -C {PLACE}.bare log -1 --format=%s main") == "ours\n")
    p.bad(400, {"path": PLACE, "remote": "--receive-pack=evil"}, id=s.id)


@proof("GET /sandboxes/:id/git/status")
def status(p):
    s = repository()
    out("touch untracked; echo x >>file")
    files = p.good(id=s.id, query=f"path={PLACE}")["files"]
    found = sorted((f["path"], f["status"]) for f in files)
    p.effect("what a command did", found == [("file", "M"), ("untracked", "??")], files)
    out("git reset -q --hard; git clean -fdq")
    p.bad(404, id="sbx_" + "0" * 24)
