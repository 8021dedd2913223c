# SPDX-License-Identifier: LGPL-2.1-or-later
"""Variables, git and code: what each route promises is looked for where it must have happened."""
import json
import os
import subprocess
import threading
import time
import urllib.parse

import tools
from sandboxd import Sandbox, api, eq, ok, parallel, run_tests, shell, status_of, wait_for

S = None
SECRET = "hunter2-TOPSECRET"
NOBODY = "/sandboxes/sbx_0123456789abcdef01234567"


def key(name, expect=200):
    return S.post("/env/get", {"key": name}, expect)


def git(route, body=None, expect=200):
    return S.post(f"/git/{route}", body, expect)


def git_get(route, **query):
    return api("GET", f"{S.path}/git/{route}?{urllib.parse.urlencode(query)}")


def succeeded(result):
    eq(result["exitCode"], 0, f"exit code ({result['stderr']!r:.300})")
    return result


def env_cycle():
    eq(key("MY_VAR"), {"key": "MY_VAR", "value": None, "exists": False})
    eq(S.post("/env", {"vars": {"MY_VAR": "test123"}}), {"set": ["MY_VAR"], "count": 1})
    eq(key("MY_VAR"), {"key": "MY_VAR", "value": "test123", "exists": True})
    listed = api("GET", S.path + "/env")
    eq(listed["count"], len(listed["vars"]))
    ok("MY_VAR" in listed["vars"] and "HOME" in listed["vars"], "the list", listed)
    ok("MY_VAR=test123" in S.out("cat /etc/environment").splitlines(), "the file")
    eq(S.out("printf %s \"$MY_VAR\""), "test123")
    eq(S.post("/env/delete", {"key": "MY_VAR"}), {"deleted": "MY_VAR"})
    eq(key("MY_VAR"), {"key": "MY_VAR", "value": None, "exists": False})
    ok("MY_VAR" not in S.out("cat /etc/environment; env"), "is gone")


def env_reaches_everything_also_after_a_restart():
    S.post("/env", {"vars": {"SEEN": "a b"}})
    shell("systemctl kill -s KILL sandboxd.service", check=False)
    eq(key("SEEN")["value"], "a b")
    eq(S.out("printf %s \"$SEEN\""), "a b")
    job = S.post("/exec/background", {"command": "printf %s \"$SEEN\""})
    eq(wait_for("its output", lambda: api("GET", f"/exec/background/{job['id']}/logs")["output"]), "a b")
    terminal = S.post("/terminals", {"command": ["sh", "-c", "printf %s \"$SEEN\""]})
    path = f"{S.path}/terminals/{terminal['id']}"
    wait_for("its end", lambda: api("GET", path)["status"] == "exited")
    eq(api("GET", path + "/stream?offset=0", raw=True), b"a b")
    eq(S.post("/interpret/execute", {"code": "import os; print(os.environ['SEEN'])"})["output"], "a b\n")
    # What an exec is given itself wins.
    eq(S.out("printf %s \"$SEEN\"", env={"SEEN": "own"}), "own")
    S.post("/env/delete", {"key": "SEEN"})


def env_file_cannot_be_forged():
    S.out("printf 'OTHER=1\\nLAST=2' >/etc/environment")
    value = "x\nLD_PRELOAD=/evil\n# sandboxd: end\n$(touch /tmp/ran)`touch /tmp/ran`\"\\"
    S.post("/env", {"vars": {"EVIL": value, "PLAIN": "1"}})
    lines = S.out("cat /etc/environment").splitlines()
    ok(lines[:2] == ["OTHER=1", "LAST=2"] and "PLAIN=1" in lines, "lines of others stay", lines)
    ok(not any(line.startswith("LD_PRELOAD") for line in lines), "no line is forged", lines)
    S.out("set -a; . /etc/environment; test ! -e /tmp/ran")
    eq(key("EVIL")["value"], value)
    S.post("/env/delete", {"key": "EVIL"})
    S.post("/env/delete", {"key": "PLAIN"})
    eq(S.out("cat /etc/environment"), "OTHER=1\nLAST=2\n")


def env_refusals():
    for body in ({}, {"vars": {}}, {"vars": []}, {"vars": {"A": 1}}, {"vars": {"": "x"}}, {"vars": {"A B": "x"}},
                 {"vars": {"A\nB": "x"}}, {"vars": {"A": "\0"}}, {"vars": {"$(id)": "x"}}):
        S.post("/env", body, 400)
    S.post("/env", {"vars": {"A": "x" * 70000}}, 413)
    S.post("/env", {"vars": {f"V{i}": "" for i in range(500)}})
    S.post("/env", {"vars": {f"W{i}": "" for i in range(501)}}, 413)
    eq(key("W0")["exists"], False)
    for route in ("/env/get", "/env/delete"):
        S.post(route, {}, 400)
        S.post(route, {"key": "a-b"}, 400)
        eq(status_of("POST", NOBODY + route, {"key": "A"}), 404)
    eq(status_of("POST", NOBODY + "/env", {"vars": {"A": "1"}}), 404)
    eq(status_of("GET", NOBODY + "/env"), 404)
    eq(key("A")["exists"], False)


def git_cycle():
    S.out("cd /workspace && git init -q -b main && git config user.name 'A\tB' && git config user.email a@b.c")
    eq(git_get("status"), {"branch": "main", "clean": True, "files": []})
    S.post("/files/write", {"path": "/workspace/hello.txt", "content": "1\n"})
    ok({"path": "hello.txt", "status": "??"} in git_get("status")["files"], "untracked")
    subject = "sub\tject 'q' \"d\" $(touch /tmp/ran) -a"
    succeeded(git("commit", {"message": subject + "\n\nbody", "all": True}))
    entries = git_get("log", count=5)["entries"]
    eq((len(entries), entries[0]["message"], entries[0]["author"]), (1, subject, "A\tB"))
    eq(entries[0]["hash"], S.out("cd /workspace && git rev-parse HEAD").strip())
    ok(git_get("status")["clean"], "clean")
    S.out("cd /workspace && echo 2 >>hello.txt && echo x >other && git add other")
    ok("+2" in git_get("diff")["diff"] and "other" not in git_get("diff")["diff"], "diff")
    ok("+x" in git_get("diff", staged="true")["diff"], "staged")
    eq(git_get("diff", file="nothing")["diff"], "")
    eq(git("branch", {"name": "feature-test"})["current"], "feature-test")
    eq(sorted(git("branch")["branches"]), ["feature-test", "main"])
    git("branch", {"name": "feature-test"}, 400)
    succeeded(git("checkout", {"ref": "main"}))
    eq(git("branch", {"name": "feature-test", "delete": True}), {"branches": ["main"], "current": "main"})
    ok(git("checkout", {"ref": "no-such"})["exitCode"] != 0, "git's own status")
    S.out("test ! -e /tmp/ran")


def git_remotes():
    S.out("git clone -q --bare /workspace '/srv/it'\"'\"'s $(bare).git'", cwd="/")
    bare = "/srv/it's $(bare).git"
    git("clone", {"url": bare}, 400)
    S.out("mv \"$B\" /srv/bare.git", env={"B": bare})
    succeeded(git("clone", {"url": "/srv/bare.git", "path": "copy of it", "branch": "main", "depth": 1}))
    S.out("cd '/workspace/copy of it' && git config user.name x && git config user.email y && "
          "git commit -q --allow-empty -m second")
    succeeded(git("push", {"path": "copy of it", "remote": "origin", "branch": "main"}))
    succeeded(git("push", {"path": "/workspace/copy of it", "force": True}))
    eq(S.out("git -C /srv/bare.git log -1 --format=%s"), "second\n")
    S.out("git -C /workspace stash -q")
    succeeded(git("pull", {"remote": "/srv/bare.git", "branch": "main"}))
    eq(git_get("log", count=1)["entries"][0]["message"], "second")


def git_without_a_repository():
    S.out("mkdir -p /tmp/empty")
    status = git_get("status", path="/tmp/empty")
    eq((status["branch"], status["clean"], status["files"]), ("HEAD", True, []))
    eq(git_get("log", path="/tmp/empty")["entries"], [])
    eq(git_get("diff", path="/tmp/empty")["diff"], "")
    eq(status_of("GET", S.path + "/git/status?path=/no/such"), 400)
    for route in ("status", "log", "diff"):
        eq(status_of("GET", f"{NOBODY}/git/{route}"), 404)


def git_refusals():
    mark = "/tmp/injected"
    for url in (f"--upload-pack=touch {mark}", f"ext::sh -c 'touch {mark}'", f"ext::touch% {mark}", "file:///srv/bare.git",
                f"ssh://-oProxyCommand=touch%20{mark}/x", f"-oProxyCommand=touch {mark}:x", f"$(touch {mark})",
                f"https://h/`touch {mark}`", "https://h/a\nb", "https://h/\0", "../x", ""):
        git("clone", {"url": url}, 400)
        git("push", {"remote": url}, 400)
        git("pull", {"remote": url}, 400)
    git("clone", {"url": "/srv/bare.git", "branch": f"--upload-pack=touch {mark}"}, 400)
    git("clone", {}, 400)
    git("commit", {}, 400)
    git("checkout", {}, 400)
    for ref in ("--orphan=x", "-f", "-c core.sshCommand=x"):
        git("checkout", {"ref": ref}, 400)
        git("branch", {"name": ref}, 400)
    git("push", {"branch": f"--receive-pack=touch {mark}"}, 400)
    git("pull", {"branch": f"--upload-pack=touch {mark}"}, 400)
    eq(status_of("GET", S.path + f"/git/diff?file=--output={mark}"), 400)
    # A repository that asks for it by its own configuration does not get it, either.
    S.out(f"git init -q /tmp/evil && git -C /tmp/evil remote add origin 'ext::touch {mark}'")
    ok(git("pull", {"path": "/tmp/evil", "remote": "origin", "branch": "main"})["exitCode"] != 0, "refused by git")
    S.out(f"test ! -e {mark}")
    # A path is a directory and nothing else.
    succeeded(git("clone", {"url": "/srv/bare.git", "path": "-c core.x=$(touch /tmp/injected) \"q\" 'q'"}))
    S.out(f"test ! -e {mark} && test -d \"/workspace/-c core.x=\\$(touch /tmp/injected) \\\"q\\\" 'q'\"")
    for route, body in (("clone", {"url": "/x"}), ("commit", {"message": "x"}), ("branch", {}), ("push", {}),
                        ("checkout", {"ref": "x"}), ("pull", {})):
        eq(status_of("POST", f"{NOBODY}/git/{route}", body), 404)


def git_needs_a_running_sandbox():
    S.post("/pause")
    try:
        eq(status_of("GET", S.path + "/git/status"), 409)
        S.post("/env", {"vars": {"A": "1"}}, 409)
        S.post("/interpret/execute", {"code": "1"}, 409)
    finally:
        S.post("/resume")


SERVER = r"""
import base64, http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        given = self.headers.get("Authorization")
        with open("/tmp/seen", "a") as f:
            f.write((base64.b64decode(given[6:]).decode() if given else "nothing") + "\n")
        import os, glob
        with open("/tmp/cmdlines", "ab") as f:
            for p in glob.glob("/proc/[0-9]*/cmdline"):
                try: f.write(open(p, "rb").read() + b"\n")
                except OSError: pass
        if not given:
            self.send_response(401); self.send_header("WWW-Authenticate", "Basic realm=x")
        else:
            self.send_response(403)
        self.send_header("Content-Length", "0"); self.end_headers()
http.server.HTTPServer(("127.0.0.1", 8080), Handler).serve_forever()
"""


def credentials_are_seen_by_the_server_only():
    S.post("/files/write", {"path": "/workspace/server.py", "content": SERVER})
    S.post("/exec/background", {"command": "exec python3 /workspace/server.py"})
    wait_for("the server", lambda: S.run("python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", 8080))'")
             ["exitCode"] == 0)
    url = "http://127.0.0.1:8080/x.git"
    S.out("git config --global credential.helper store; mkdir -p /tmp/cwd && cd /tmp/cwd && git init -q")
    S.out(f"cd /tmp/cwd && git remote add origin {url} && mkdir -p .git/hooks && "
          "printf '#!/bin/sh\\nenv >/tmp/hook\\n' >.git/hooks/pre-push && chmod +x .git/hooks/pre-push")
    answers = [git("clone", {"url": url, "username": "user", "password": SECRET}),
               git("clone", {"url": url, "token": SECRET}),
               git("clone", {"url": f"http://user:{SECRET}@127.0.0.1:8080/x.git"}),
               git("pull", {"path": "/tmp/cwd", "remote": "origin", "branch": "main", "token": SECRET}),
               git("push", {"path": "/tmp/cwd", "remote": "origin", "branch": "main", "token": SECRET})]
    for answer in answers:
        ok(answer["exitCode"] != 0 and SECRET not in json.dumps(answer), "the answer", answer)
    seen = S.out("cat /tmp/seen").split("\n")
    ok(f"user:{SECRET}" in seen and f"x-access-token:{SECRET}" in seen, "the server got it", seen)
    ok("git" in S.out("tr '\\0' ' ' </tmp/cmdlines"), "gits were looked at while they ran")
    for where in ("tr '\\0' ' ' </tmp/cmdlines", "cat /root/.git-credentials /tmp/hook 2>/dev/null; true",
                  "cat /workspace/x/.git/config /tmp/cwd/.git/config 2>/dev/null; true", "env"):
        ok(SECRET not in S.out(where), "not in", where)
    ok(SECRET not in json.dumps(api("GET", S.path + "/exec")), "not in the list of commands")
    shell("journalctl --sync")
    ok(SECRET not in shell("journalctl --no-pager -o export | cat"), "not in the journal")


def code_runs():
    eq(S.post("/interpret/execute", {"code": "print(6 * 7)"})["output"], "42\n")
    for kernel in api("GET", S.path + "/interpret/kernels"):
        if kernel["language"] in ("python", "bash"):
            code = "print(7)" if kernel["language"] == "python" else "echo 7"
            for name in (kernel["name"], kernel["language"]):
                eq(S.post("/interpret/execute", {"code": code, "language": name})["output"], "7\n", name)
    result = S.post("/interpret/execute", {"code": "import nonexistent_module"})
    ok("nonexistent_module" in result["error"] and result["executionTime"] >= 1, "error", result)
    result = S.post("/interpret/execute", {"code": "echo \"$0\"; exit 3", "language": "bash"})
    eq(result["exitCode"], 3)
    ok(result["error"], "an error is never empty", result)
    eq(S.post("/interpret/execute", {"code": "pwd", "language": "bash", "cwd": "/tmp"})["output"], "/tmp\n")
    eq(S.post("/interpret/execute", {"code": "print('päth ☃')"})["output"], "päth ☃\n")
    large = "#" + "x" * 200000 + "\nprint(1)"
    eq(S.post("/interpret/execute", {"code": large})["output"], "1\n")
    results = parallel([lambda i=i: S.post("/interpret/execute", {"code": f"print({i})"}) for i in range(8)])
    eq([r["output"] for r in results], [f"{i}\n" for i in range(8)])
    result = S.post("/interpret/execute", {"code": "import time; print(1, flush=True); time.sleep(60)", "timeout": 1}, 504)
    eq((result["output"], result["timedOut"]), ("1\n", True))
    wait_for("no file of ours is left", lambda: S.out("ls /tmp | grep -c ^code_ || true") == "0\n")


def code_refusals():
    for language, tool in (("javascript", "node"), ("typescript", "node"), ("go", "go")):
        if S.run(f"command -v {tool}")["exitCode"] != 0:
            ok(f"'{tool}'" in S.post("/interpret/execute", {"code": "1", "language": language}, 400)["error"], tool)
    for body in ({}, {"code": 1}, {"code": "1", "language": "ruby"}, {"code": "1", "language": "$(id)"}):
        S.post("/interpret/execute", body, 400)
    for packages in (["-r/etc/passwd"], ["a;b"], ["--index-url=x"], ["x"] * 10000, [], "x", [""], ["https://h/x"]):
        S.post("/interpret/install", {"packages": packages}, 400)
    S.post("/interpret/install", {"packages": ["x"], "manager": "cargo"}, 400)
    S.post("/interpret/install", {"packages": ["no-such-package-at-all"], "manager": "apt"}, 400)
    eq(len(api("GET", S.path + "/interpret/kernels")), 4)
    eq(status_of("POST", NOBODY + "/interpret/execute", {"code": "1"}), 404)
    eq(status_of("POST", NOBODY + "/interpret/install", {"packages": ["x"]}), 404)


def cell(context, code, expect=200, **more):
    return S.post(f"/interpret/contexts/{context}/execute", {"code": code, **more}, expect)


def contexts_keep_variables():
    new = S.post("/interpret/contexts", {"language": "python", "cwd": "/tmp"})
    eq((new["status"], new["language"], new["cwd"]), ("idle", "python", "/tmp"))
    context = new["id"]
    first = cell(context, "import sys; x = 41; print('out'); print('err', file=sys.stderr)")
    eq((first["output"], first["stderr"], first["error"], first["result"]), ("out\n", "err\n", None, None))
    eq(cell(context, "x + 1")["result"], "42")
    ok("ZeroDivisionError" in cell(context, "1 / 0")["error"], "a traceback")
    eq(cell(context, "import os; os.getcwd()")["result"], "'/tmp'")
    eq(len(cell(context, "print('x' * 3000000)")["output"]), 3000001)
    shell("systemctl kill -s KILL sandboxd.service sandbox-execd.service", check=False)
    eq(cell(context, "x")["result"], "41")
    result = cell(context, "import time; time.sleep(60)", 504, timeout=1)
    ok(result["timedOut"], "timed out", result)
    eq(cell(context, "x")["result"], "41")
    begun = time.monotonic()
    thread = threading.Thread(target=lambda: cell(context, "time.sleep(60)"))
    thread.start()
    wait_for("busy", lambda: api("GET", f"{S.path}/interpret/contexts/{context}")["status"] == "busy")
    eq(S.post(f"/interpret/contexts/{context}/interrupt"), {"success": True})
    thread.join()
    ok(time.monotonic() - begun < 50, "it was interrupted")
    eq(S.post(f"/interpret/contexts/{context}/restart")["status"], "idle")
    ok("NameError" in cell(context, "x")["error"], "nothing is left")
    eq([c["id"] for c in api("GET", S.path + "/interpret/contexts")["contexts"]], [context])
    eq(api("DELETE", f"{S.path}/interpret/contexts/{context}"), {"deleted": context})
    eq(status_of("POST", f"{S.path}/interpret/contexts/{context}/execute", {"code": "1"}), 404)
    wait_for("no process is left", lambda: "<context>" not in json.dumps(api("GET", S.path + "/processes")))
    eq(S.out("ls -A /tmp | grep -c context || true"), "0\n")


def contexts_of_bash():
    context = S.post("/interpret/contexts", {"language": "bash"})["id"]
    cell(context, "x='a b'; cd /; f() { echo \"f $1\"; }")
    eq(cell(context, "f \"$x\"; pwd")["output"], "f a b\n/\n")
    ok(cell(context, "false")["error"], "status")
    eq(cell(context, "cat; echo $?")["output"], "0\n")
    ok(cell(context, "exit 3")["error"], "it ended")
    cell(context, "1", 409)
    S.post("/interpret/contexts", {"language": "go"}, 400)
    S.post("/interpret/contexts", {"language": "$(id)"}, 400)
    ok("'node'" in S.post("/interpret/contexts", {"language": "javascript"}, (200, 400)).get("error", "'node'"), "named")
    eq(status_of("POST", f"{S.path}/interpret/contexts/ctx_0123456789abcdef01234567/interrupt"), 404)
    for _ in range(20):
        if status_of("POST", S.path + "/interpret/contexts", {"language": "bash"}) == 429:
            break
    else:
        ok(False, "there is a limit")
    for c in api("GET", S.path + "/interpret/contexts")["contexts"]:
        api("DELETE", f"{S.path}/interpret/contexts/{c['id']}")


def contexts_end_with_their_sandbox():
    with Sandbox() as other:
        other.post("/interpret/contexts", {"language": "python"})
        group = other.cgroup()
        other.delete()
        wait_for("its control group is gone", lambda: not os.path.exists(group))


def command_line():
    def ctl(words, status=0, given=""):
        done = subprocess.run(["sandboxctl", *words], input=given, capture_output=True, text=True)
        eq(done.returncode, status, f"status of {words} ({done.stderr!r:.300})")
        return done.stdout

    ctl(["env", "set", S.id, "COLOR=dark blue", "X=1"])
    eq(ctl(["env", "get", S.id, "COLOR"]), "dark blue\n")
    ok("COLOR=dark blue\n" in ctl(["env", "list", S.id]), "the list")
    ctl(["env", "unset", S.id, "COLOR", "X"])
    eq(ctl(["env", "get", S.id, "COLOR"], 1), "")
    ctl(["env", "set", S.id], 2)
    eq(ctl(["run-code", S.id, "-"], given="print(6 * 7)"), "42\n")
    eq(ctl(["run-code", S.id, "-l", "bash", "-"], 3, "echo x; exit 3"), "x\n")
    eq(ctl(["run-code", "--new", S.record["image"], "-"], given="print(1)"), "1\n")
    ctl(["git", S.id, "clone", "/srv/bare.git", "/tmp/by-ctl"])
    S.out("cd /tmp/by-ctl && git config user.name x && git config user.email y && echo 1 >new")
    eq(ctl(["git", S.id, "status", "--path", "/tmp/by-ctl"]), "## main\n?? new\n")
    ctl(["git", S.id, "commit", "by ctl", "--all", "--path", "/tmp/by-ctl"])
    ok("by ctl" in ctl(["git", S.id, "log", "-n", "1", "--path", "/tmp/by-ctl"]), "the log")
    eq(ctl(["git", S.id, "branch", "side", "--path", "/tmp/by-ctl"]).splitlines()[1], "* side")
    ctl(["git", S.id, "status", "--path", "/tmp"], 125)
    ctl(["git", S.id, "rebase"], 125)


def installing_works():
    """apt takes it from a repository of the sandbox's own: there is no network."""
    if S.run("command -v dpkg-deb apt-get")["exitCode"] != 0:
        return
    S.out("mkdir -p /tmp/p/DEBIAN /tmp/p/opt /srv/r /etc/apt /var/lib/dpkg /var/cache/apt/archives/partial && cd /srv/r "
          "&& echo here >/tmp/p/opt/mine "
          "&& printf 'Package: mine\\nVersion: 1\\nArchitecture: all\\nMaintainer: x <x@y.z>\\nDescription: x\\n' "
          ">/tmp/p/DEBIAN/control && dpkg-deb -b /tmp/p /srv/r/mine.deb && touch /var/lib/dpkg/status "
          "&& (cat /tmp/p/DEBIAN/control; printf 'Filename: ./mine.deb\\nSize: %s\\nSHA256: %s\\n' "
          "$(stat -c %s mine.deb) $(sha256sum <mine.deb | cut -d' ' -f1)) >Packages "
          "&& echo 'deb [trusted=yes] file:/srv/r ./' >/etc/apt/sources.list && apt-get update")
    S.post("/interpret/install", {"packages": ["mine=1"], "manager": "apt"})
    eq(S.out("cat /opt/mine"), "here\n")


def main():
    global S
    with Sandbox() as S:
        run_tests([env_cycle, env_reaches_everything_also_after_a_restart, env_file_cannot_be_forged, env_refusals,
                   git_cycle, git_remotes, git_without_a_repository, git_refusals, git_needs_a_running_sandbox,
                   credentials_are_seen_by_the_server_only, code_runs, code_refusals, contexts_keep_variables,
                   contexts_of_bash, contexts_end_with_their_sandbox, command_line,
                   installing_works, *tools.TESTS])


main()
