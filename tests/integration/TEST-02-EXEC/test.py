# SPDX-License-Identifier: LGPL-2.1-or-later
"""Commands: what they print, how they end, and that nothing of them stays."""
import time

from sandboxd import Failure, Sandbox, api, b64, eq, ok, parallel, request, run_tests, sse, status_of, wait_for

S = None


def results():
    for command, expected in (("echo hello world", (0, "hello world\n", "")), ("echo err >&2; exit 42", (42, "", "err\n")),
                              ("echo a | tr a b", (0, "b\n", "")), ("seq 1 1000 | wc -l", (0, "1000\n", "")),
                              ("python3 -c 'print(6*7)'", (0, "42\n", "")), ("kill -9 $$", (137, "", "")),
                              ("kill -TERM $$", (143, "", "")), ("exit 255", (255, "", "")), ("true", (0, "", ""))):
        r = S.run(command)
        eq((r["exitCode"], r["stdout"], r["stderr"]), expected, command)
        ok(r["duration"] > 0, "duration", r)
    r = S.run("no-such-command")
    eq(r["exitCode"], 127, "the shell's own status")


def argv_form():
    r = S.run(["printf", "%s|", "a b", "$HOME", ";"])
    eq((r["exitCode"], r["stdout"]), (0, "a b|$HOME|;|"))
    ok(request("POST", "/sandbox" + S.path + "/exec", {"command": ["no-such-command"]})[0] in (200, 400), "unknown argv")
    for bad in ({}, {"command": ""}, {"command": []}, {"command": 5}, {"command": [1]}, {"command": "a\0b"}):
        S.post("/exec", bad, expect=400)


def where_and_with_what():
    eq(S.out("pwd", cwd="/tmp"), "/tmp\n")
    eq(S.out("pwd"), "/workspace\n")
    eq(S.out("echo $FOO", env={"FOO": "bar baz"}), "bar baz\n")
    eq(S.out("cat", stdin="from stdin"), "from stdin")
    eq(S.out("cat | wc -c"), "0\n", "stdin is empty")
    ok("uid=0" in S.out("echo $(id)"), "id")
    S.post("/exec", {"command": "true", "cwd": "/no/such/dir"}, expect=(400, 404))


def environment_is_small():
    names = {line.split("=")[0] for line in S.out(["env"]).splitlines()}
    ok(names <= {"PATH", "HOME", "TERM", "LANG", "PWD", "SHLVL", "_", "HOSTNAME"}, "names", names)
    ok({"PATH", "HOME", "TERM", "LANG"} <= names, "names", names)


def children_do_not_hold_the_reply():
    begin = time.monotonic()
    r = S.run("sleep 300 & echo started")
    eq(r["stdout"], "started\n")
    pid = S.out("sleep 999 & echo $!").strip()
    ok(time.monotonic() - begin < 10, "at once", time.monotonic() - begin)
    ok(int(pid) > 1, "a pid", pid)
    eq(S.out(f"test -d /proc/{pid} && echo alive"), "alive\n", "the child lives on")
    S.out("pkill sleep || true; kill -9 -1 2>/dev/null || true")


def timeout_kills_the_whole_tree():
    begin = time.monotonic()
    status, _, r = request("POST", "/sandbox" + S.path + "/exec", {
        "command": "trap '' TERM; echo partial; setsid sh -c 'setsid sleep 1234 & sleep 1234' & sleep 1234", "timeout": 1})
    eq(status, 504)
    ok("timed out" in r["error"], "text", r)
    eq(r.get("stdout"), "partial\n", "the partial output is kept")
    ok(0.9 < time.monotonic() - begin < 6, "after a second", time.monotonic() - begin)
    eq(S.run("pgrep -f 'sleep 123[4]' | wc -l")["stdout"].strip(), "0", "nothing is left")


def big_output():
    r = S.run("head -c 30000000 /dev/zero | tr '\\0' x; echo END >&2")
    eq(r["stderr"], "END\n")
    ok(10 * 2**20 <= len(r["stdout"]) <= 12 * 2**20, "10 MiB and a tail are kept", len(r["stdout"]))
    r = S.run("printf 'a\\377b\\000c'")
    eq(r["stdout"], "a\ufffdb\0c", "invalid bytes are replaced")
    eq(len(S.out("seq 1 200000")), 1288895, "a long output is whole")


def ten_at_once():
    outs = parallel([lambda i=i: S.out(f"sleep 0.2; echo {i}") for i in range(10)])
    eq(outs, [f"{i}\n" for i in range(10)])


def stream():
    chunks = list(sse(S.path + "/exec/stream", {"command": "echo one; echo two >&2; sleep 0.1; echo three; exit 7"}))
    for c in chunks:
        ok(isinstance(c["timestamp"], int) and isinstance(c["data"], str), "chunk", c)
    eq("".join(c["data"] for c in chunks if c["type"] == "stdout"), "one\nthree\n")
    eq("".join(c["data"] for c in chunks if c["type"] == "stderr"), "two\n")
    eq((chunks[-1]["type"], chunks[-1]["data"]), ("exit", "7"))
    S.post("/exec/stream", {}, expect=400)
    eq(status_of("POST", "/sandbox/sandboxes/sbx_000000000000000000000000/exec/stream", {"command": "true"}), 404)


def stream_is_live():
    begin, first = time.monotonic(), None
    for c in sse(S.path + "/exec/stream", {"command": "echo now; sleep 2; echo later"}):
        if c["type"] == "stdout" and first is None:
            first = time.monotonic() - begin
    ok(first < 1.5 and time.monotonic() - begin >= 2, "the first chunk comes before the end", first)


def events_cannot_be_forged():
    text = "\ndata: {\"type\":\"exit\",\"data\":\"9\"}\n\nevent: y\r\n"
    chunks = list(sse(S.path + "/exec/stream", {"command": ["printf", "%s", text]}))
    eq("".join(c["data"] for c in chunks if c["type"] == "stdout"), text)
    eq(chunks[-1]["data"], "0")


def background():
    r = S.post("/exec/background", {"command": "echo one; sleep 0.5; echo two >&2; exit 3"})
    ok(r["running"] and r["id"].startswith("bg_") and r["sandboxId"] == S.id, "record", r)
    status = wait_for("it ends", lambda: (lambda s: None if s["running"] else s)(
        api("GET", f"/exec/background/{r['id']}/status")))
    eq(status["exitCode"], 3)
    ok(status["finishedAt"] >= status["startedAt"], "times", status)
    logs = api("GET", f"/exec/background/{r['id']}/logs")
    eq((logs["output"], logs["cursor"]), ("one\ntwo\n", 8))
    eq(api("GET", f"/exec/background/{r['id']}/logs?cursor=4")["output"], "two\n")
    eq(api("GET", f"/exec/background/{r['id']}/logs?cursor=8"), {"output": "", "cursor": 8})
    eq(status_of("GET", "/sandbox/exec/background/bg_000000000000000000000000/status"), 404)


def interrupt():
    r = S.post("/exec/background", {"command": "trap 'echo got; exit 9' INT; echo ready; while :; do sleep 0.05; done"})
    logs = f"/exec/background/{r['id']}/logs"
    wait_for("the trap is set", lambda: "ready" in api("GET", logs)["output"])
    eq(S.post("/exec/interrupt"), {"success": True})
    wait_for("it ends", lambda: not api("GET", f"/exec/background/{r['id']}/status")["running"])
    ok("got" in api("GET", logs)["output"], "the trap ran")


def processes():
    r = S.post("/exec/background", {"command": "exec sleep 4321"})
    found = wait_for("it is listed", lambda: [p for p in api("GET", S.path + "/processes")["processes"]
                                              if "sleep 4321" in p["command"]])
    pid = found[0]["pid"]
    eq(S.out(f"tr '\\0' ' ' < /proc/{pid}/cmdline").strip(), "sleep 4321", "pids are the sandbox's own")
    top = [p for p in api("GET", S.path + "/processes/top")["processes"] if p["pid"] == pid][0]
    ok(isinstance(top["cpu"], str) and isinstance(top["mem"], str) and top["rss"] >= 0 and top["vsz"] > 0, "top", top)
    eq(S.post("/processes/kill", {"pid": pid, "signal": "KILL"}), {"killed": pid, "signal": "KILL"})
    status = wait_for("it ends", lambda: (lambda s: None if s["running"] else s)(
        api("GET", f"/exec/background/{r['id']}/status")))
    eq(status["exitCode"], 137)
    eq(S.post("/processes/kill", {"pid": pid}), {"killed": pid, "signal": "TERM"}, "also if it has ended")
    for bad in ({"pid": pid, "signal": "SEGV"}, {}, {"pid": "x"}, {"pid": 0}, {"pid": -1}, {"pid": 1}):
        ok(S.post("/processes/kill", bad, expect=None) is not None, "answered")
        ok(request("POST", "/sandbox" + S.path + "/processes/kill", bad)[0] >= 400, "refused", bad)
    eq(S.out("echo still"), "still\n", "pid 1 lives")


def orphans_leave():
    S.out("sh -c '(sleep 0.2 &)'")
    wait_for("no sleep and no zombie", lambda: S.run("ps -eo stat,comm | grep -cE 'Z|sleep'")["stdout"].strip() == "0")


def exec_count_does_not_matter():
    group = S.cgroup()
    for _ in range(100):
        S.out("true")
    import glob
    # One stays, empty, for the next command.
    wait_for("sub-cgroups are removed", lambda: len(glob.glob(group + "/run/exec-*")) <= 1)
    for events in glob.glob(group + "/run/exec-*/cgroup.events"):
        ok("populated 0" in open(events).read(), "nobody is left in it", events)


def a_killed_one_takes_none_along():
    """A cgroup that was killed ends whatever comes into it."""
    for _ in range(3):
        eq(S.post("/exec", {"command": "sleep 60", "timeout": 1}, expect=504)["exitCode"], 137)
        command = S.post("/exec/background", {"command": "sleep 60"})["id"]
        S.post(f"/exec/{command}/signal", {"signal": "KILL", "all": True})
        wait_for("it has ended", lambda: not api("GET", f"/exec/background/{command}/status")["running"])
        for _ in range(3):
            S.out("true")


def a_background_child_keeps_its_cgroup():
    import glob
    S.out("sh -c 'sleep 300 >/dev/null 2>&1 &'")
    groups = {g: open(g + "/cgroup.procs").read().split() for g in glob.glob(S.cgroup() + "/run/exec-*")}
    busy = [g for g, pids in groups.items() if pids]
    eq(len(busy), 1, f"one cgroup is busy: {groups}")
    for _ in range(3):
        S.out("true")
        eq(open(busy[0] + "/cgroup.procs").read().split(), groups[busy[0]], "no command is put to it")
    S.out("pkill -x sleep")
    wait_for("one spare is left", lambda: len(glob.glob(S.cgroup() + "/run/exec-*")) <= 1)


def main():
    global S
    with Sandbox(timeout=900) as S:
        run_tests([results, argv_form, where_and_with_what, environment_is_small, children_do_not_hold_the_reply,
                   timeout_kills_the_whole_tree, big_output, ten_at_once, stream, stream_is_live, events_cannot_be_forged,
                   background, interrupt, processes, orphans_leave, exec_count_does_not_matter,
                   a_killed_one_takes_none_along, a_background_child_keeps_its_cgroup])


main()
