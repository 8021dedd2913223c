# SPDX-License-Identifier: LGPL-2.1-or-later
"""The file routes, and that no path leads out of the sandbox."""
import http.client
import os
import random
import threading
import time

from sandboxd import Sandbox, api, b64, eq, ok, parallel, request, run_tests, shell, status_of, wait_for

S = None
MARK = "/tmp/host-marker"


def read(path, expect=200):
    return S.post("/files/read", {"path": path}, expect)


def write(path, content, expect=200):
    return S.post("/files/write", {"path": path, "content": content}, expect)


def round_trips():
    for content in ("", "plain\n", "päth ☃ \U0001f600", "x" * 102400, "a\u0001b\ttab\"quote\\"):
        eq(write("/workspace/f.txt", content), {"success": True})
        eq(read("/workspace/f.txt"), content)
    data = bytes(range(256)) * 40
    eq(S.post("/files/upload", {"path": "/workspace/b.bin", "content": b64(data)}), {"success": True})
    eq(S.post("/files/download", {"path": "/workspace/b.bin"}), b64(data))
    eq(S.out("wc -c < /workspace/b.bin").strip(), "10240")
    write("relative.txt", "r")
    eq(read("relative.txt"), "r")
    eq(S.out("cat /workspace/relative.txt"), "r")


def parents_are_made_and_modes_kept():
    write("/workspace/deep/er/f", "1")
    eq(S.out("stat -c %a /workspace/deep/er/f").strip(), "644")
    S.out("chmod 700 /workspace/deep/er/f")
    write("/workspace/deep/er/f", "2")
    eq(S.out("stat -c '%a %u' /workspace/deep/er/f; cat /workspace/deep/er/f"), "700 0\n2")
    ok(abs(int(S.out("stat -c %Y /workspace/deep/er/f")) - time.time()) < 60, "mtime is now")


def listing():
    S.out("mkdir -p /workspace/l/sub; cd /workspace/l; echo abc > a; ln -s a link; touch .hidden")
    rows = {r["name"]: r for r in S.post("/files/list", {"path": "/workspace/l"})}
    eq(sorted(rows), [".hidden", "a", "link", "sub"])
    eq((rows["a"]["size"], rows["a"]["isDirectory"], rows["a"]["path"]), (4, False, "/workspace/l/a"))
    ok(rows["sub"]["isDirectory"], "directory", rows["sub"])
    ok(abs(rows["a"]["modifiedAt"] - time.time() * 1000) < 60000, "modifiedAt", rows["a"])
    ok(any(r["name"] == "l" for r in S.post("/files/list", {})), "the default is the workspace")


def searching():
    S.out("mkdir -p /workspace/s/x; cd /workspace/s; touch a.txt x/b.txt x/c.md .d.txt")
    eq(sorted(S.post("/files/search", {"pattern": "*.txt", "dir": "/workspace/s"})),
       ["/workspace/s/.d.txt", "/workspace/s/a.txt", "/workspace/s/x/b.txt"])
    ok("/workspace/s/x/c.md" in S.post("/files/search", {"pattern": "c.*"}), "default dir")
    for bad in ("", "a;b", "a|b", "$x", "`x`", "a\\b", "x" * 201):
        S.post("/files/search", {"pattern": bad}, expect=400)
    begin = time.monotonic()
    for pattern in ("((a+)+)+$".replace("$", ""), "[", "*" * 200, "**/**"):
        request("POST", "/sandbox" + S.path + "/files/search", {"pattern": pattern})
    ok(time.monotonic() - begin < 20, "hostile patterns end")


def info_move_mkdir_rmdir_chmod_delete():
    S.out("cd /workspace; echo x > i1; chmod 640 i1; ln -sf i1 i2")
    one = S.post("/files/info", {"path": "/workspace/i1"})
    eq((one["path"], one["size"], one["permissions"], one["isDirectory"], one["isSymlink"]),
       ("/workspace/i1", 2, "-rw-r-----", False, False))
    eq(one["owner"], "root")
    two = S.post("/files/info", {"paths": ["/workspace/i1", "/workspace/i2"]})
    eq([t["isSymlink"] for t in two], [False, True])
    ok(request("POST", "/sandbox" + S.path + "/files/info", {"paths": ["/workspace/none"]})[0] >= 400, "missing")
    eq(S.post("/files/move", {"moves": [{"from": "/workspace/i1", "to": "/workspace/m1"}]}), {"success": True})
    eq(S.out("cat /workspace/m1"), "x\n")
    S.post("/files/mkdir", {"paths": ["/workspace/p/q", "/workspace/r"]})
    S.post("/files/mkdir", {"path": "/workspace/t"})
    eq(S.out("cd /workspace; ls -d p/q r t"), "p/q\nr\nt\n")
    S.post("/files/rmdir", {"paths": ["/workspace/p", "/workspace/none"]})
    eq(S.run("ls -d /workspace/p")["exitCode"], 2)
    write("/workspace/run.sh", "#!/bin/sh\necho ran\n")
    S.post("/files/chmod", {"path": "/workspace/run.sh", "mode": "755"})
    eq(S.out("/workspace/run.sh"), "ran\n")
    S.post("/files/chmod", {"path": "/workspace/run.sh", "mode": "u-x"})
    eq(S.out("stat -c %a /workspace/run.sh").strip(), "655")
    for bad in ("rwx", "99", "07777777", "", "-1", "u+s"):
        S.post("/files/chmod", {"path": "/workspace/run.sh", "mode": bad}, expect=400)
    eq(S.post("/files/delete", {"path": "/workspace/run.sh"}), {"success": True})
    eq(S.post("/files/delete", {"path": "/workspace/run.sh"}), {"success": True}, "missing is fine")
    ok(request("POST", "/sandbox" + S.path + "/files/delete", {"path": "/workspace/t"})[0] >= 400, "a directory")


def base64_is_strict():
    for content in ("YQ", "YQ=", "YQ===", "Y Q==", "YQ==\n", "YQ==YQ==", "=", "Y===", "YQ==x", "Y\u00e4=="):
        answer = S.post("/files/upload", {"path": "/workspace/b64", "content": content}, expect=400)
        ok(answer.get("error"), "envelope", content, answer)
    eq(S.run("test -e /workspace/b64")["exitCode"], 1, "nothing was written")
    ok(request("POST", "/sandbox" + S.path + "/files/upload",
               {"path": "/workspace/b64", "content": "A" * (45 * 2**20)})[0] == 413, "33 MiB of contents")


def mandatory_fields():
    for route, body in (("read", {}), ("write", {"path": "/workspace/x"}), ("write", {"content": "x"}), ("delete", {}),
                        ("upload", {"path": "/workspace/x", "content": "not base64!"}), ("download", {}), ("search", {}),
                        ("upload", {"path": "/workspace/x", "content": "YQ"}), ("move", {}), ("mkdir", {}), ("rmdir", {}),
                        ("chmod", {"path": "/workspace"}), ("info", {}), ("read", {"path": 5}), ("read", {"path": ""})):
        answer = S.post(f"/files/{route}", body, expect=400)
        ok(answer.get("error"), "envelope", route, answer)
    ok(400 <= request("POST", "/sandbox" + S.path + "/files/read", {"path": "/workspace/none"})[0] < 500, "missing file")


def traversal_is_refused():
    with open(MARK, "w") as f:
        f.write("HOST")
    for path in ("/etc/passwd", "../../etc/cron.d/evil", "/workspace/../etc/passwd", "/../../../etc/hostname",
                 "/workspace/a/../../x", "/workspacex"):
        for route, body in (("read", {"path": path}), ("write", {"path": path, "content": "x"}),
                            ("delete", {"path": path}), ("list", {"path": path}), ("download", {"path": path})):
            ok(400 <= request("POST", "/sandbox" + S.path + "/files/" + route, body)[0] < 500, "refused", route, path)
    ok(not os.path.exists("/etc/cron.d/evil"), "nothing on the host")


def links_stay_inside():
    S.out(f"cd /workspace; ln -sfn / root; ln -sf {MARK} mark; ln -sfn /proc/1/root p; ln -sfn /proc/self/root q; "
          "ln -sf /proc/self/fd/0 f; ln -sfn loop loop")
    for path in ("/workspace/root" + MARK, "/workspace/mark", "/workspace/p" + MARK, "/workspace/q" + MARK,
                 "/workspace/f", "/workspace/loop", "/workspace/p/etc/hostname", "/workspace/q/etc/hostname"):
        status, _, body = request("POST", "/sandbox" + S.path + "/files/read", {"path": path})
        ok(status >= 400 and body != "HOST", "not read", path, status, body)
    eq(S.post("/files/read", {"path": "/workspace/root/etc/hostname"}, expect=None) != "HOST", True)


def special_files():
    S.out("cd /workspace; mkfifo ff; python3 -c \"import socket; socket.socket(socket.AF_UNIX).bind('sock')\"")
    for name in ("ff", "sock"):
        begin = time.monotonic()
        S.post("/files/info", {"path": f"/workspace/{name}"})
        for route, body in (("read", {}), ("download", {})):
            ok(request("POST", "/sandbox" + S.path + "/files/" + route, {"path": f"/workspace/{name}", **body})[0] in
               (400, 403), route, name)
        ok(time.monotonic() - begin < 3, "at once", name)
    for name in ("ff", "sock"):
        begin = time.monotonic()
        ok(request("POST", "/sandbox" + S.path + "/files/write", {"path": f"/workspace/{name}", "content": "x"})[0] in
           (200, 400, 403), "written over or refused", name)
        ok(time.monotonic() - begin < 3, "at once", name)
    for path in ("/proc/self/environ", "/dev/zero", "/proc/1/cmdline"):
        ok(request("GET", f"/sandbox{S.path}/files/raw?path={path}")[0] in (400, 403, 404), "not a file", path)


def owners_are_mapped():
    write("/workspace/owned", "x")
    base = int(open(f"/proc/{init_pid()}/uid_map").read().split()[1])
    ok(base >= 524288, "base", base)
    st = os.stat(f"/proc/{init_pid()}/root/workspace/owned")
    eq((st.st_uid, st.st_gid), (base, base), "owner on the host")
    eq(S.out("stat -c '%u %g' /workspace/owned").strip(), "0 0")
    S.out("cd /workspace; echo secret > other; chown 1000:1000 other; chmod 600 other")
    eq(read("/workspace/other"), "secret\n", "root of the sandbox reads all")


def init_pid():
    return int(open(S.cgroup() + "/init/cgroup.procs").read().split()[0])


def sparse_and_growing():
    """Nothing is made larger than the writable layer; what is sparse below that is not read into memory."""
    r = S.run("cd /workspace; truncate -s 8E sparse || truncate -s 900M sparse")
    for route in ("read", "download"):
        status, _, body = request("POST", "/sandbox" + S.path + "/files/" + route, {"path": "/workspace/sparse"})
        ok(status in (400, 413) or len(body) <= 70 * 2**20, route, status, r)
    S.run("rm -f /workspace/sparse")


def raw_routes():
    data = random.Random(1).randbytes(5 * 2**20 + 17)
    S.put("/workspace/raw.bin", data, mode="750")
    eq(S.out("stat -c '%s %a' /workspace/raw.bin; sha256sum < /workspace/raw.bin").split()[:2], [str(len(data)), "750"])
    eq(S.get_raw("/workspace/raw.bin"), data)
    status, headers, part = request("GET", f"/sandbox{S.path}/files/raw?path=/workspace/raw.bin", raw=True,
                                    headers={"Range": "bytes=1000-1999"})
    eq((status, part), (206, data[1000:2000]))
    eq(headers["content-range"], f"bytes 1000-1999/{len(data)}")
    S.put("/workspace/empty", b"")
    eq(S.get_raw("/workspace/empty"), b"")


def interrupted_upload_changes_nothing():
    write("/workspace/keep", "old")
    before = S.out("ls -a /workspace")
    c = http.client.HTTPConnection("127.0.0.1", 3111, timeout=10)
    c.putrequest("PUT", f"/sandbox{S.path}/files/raw?path=/workspace/keep")
    c.putheader("Content-Length", "1000000")
    c.putheader("Content-Type", "application/octet-stream")
    c.endheaders()
    c.send(b"x" * 500000)
    c.close()
    wait_for("old contents, no leftovers", lambda: read("/workspace/keep") == "old" and S.out("ls -a /workspace") == before)


def truncated_under_a_download():
    """What is sent is an honest part, and the service lives: nothing is mapped into memory."""
    S.out("head -c 67108864 /dev/zero > /workspace/shrinks")
    for _ in range(3):
        c = http.client.HTTPConnection("127.0.0.1", 3111, timeout=60)
        c.request("GET", f"/sandbox{S.path}/files/raw?path=/workspace/shrinks")
        r = c.getresponse()
        eq(r.status, 200)
        ok(len(r.read(4096)) == 4096, "it began")
        S.out("truncate -s 0 /workspace/shrinks")
        try:
            ok(len(r.read()) <= 67108864, "at most what was announced")
        except (http.client.IncompleteRead, OSError):
            pass
        c.close()
        S.out("head -c 67108864 /dev/zero > /workspace/shrinks")
    S.out("rm /workspace/shrinks")
    eq(int(shell("systemctl show -P NRestarts sandbox-fsd")), 0, "restarts of the file service")


def many_files_have_bounds():
    S.out("mkdir /workspace/many; cd /workspace/many; python3 -c 'for i in range(30000): open(str(i), \"w\")'")
    begin = time.monotonic()
    n = len(S.post("/files/list", {"path": "/workspace/many"}))
    ok(1000 <= n <= 30000, "listed", n)
    n = len(S.post("/files/search", {"pattern": "*", "dir": "/workspace/many"}))
    ok(1000 <= n <= 30000, "found", n)
    ok(time.monotonic() - begin < 20, "in time", time.monotonic() - begin)
    S.post("/files/rmdir", {"paths": ["/workspace/many"]})


def root_and_mounts_are_not_removed():
    S.out("ln -sfn / /workspace/root")
    for path in ("/workspace/root/proc", "/workspace/root/dev"):
        ok(request("POST", "/sandbox" + S.path + "/files/rmdir", {"paths": [path]})[0] >= 400, "refused", path)
    S.post("/files/rmdir", {"paths": ["/workspace/root"]})
    eq(S.out("test -d /proc/self && test -c /dev/null && echo there"), "there\n")


def links_are_removed_not_followed():
    S.out("mkdir -p /workspace/tree /tmp/kept; touch /tmp/kept/file; ln -sfn /tmp/kept /workspace/tree/link")
    S.post("/files/rmdir", {"paths": ["/workspace/tree"]})
    eq(S.out("ls /tmp/kept"), "file\n")


def renames_under_the_reader():
    """A directory that turns into a link to / and back: only the sandbox's files are ever seen."""
    S.out("mkdir -p /workspace/d/tmp; echo INSIDE > /workspace/d/tmp/host-marker; mkdir -p /tmp; echo ALSO > /tmp/host-marker")
    bg = S.post("/exec/background", {"command":
        "cd /workspace; ln -sfn / l; while :; do mv -T d x; mv -T l d; mv -T d l; mv -T x d; done"})
    seen = set()

    def reader():
        for _ in range(60):
            status, _, body = request("POST", "/sandbox" + S.path + "/files/read", {"path": "/workspace/d/tmp/host-marker"})
            seen.add(body if status == 200 else status)

    parallel([reader] * 4)
    ok(seen <= {"INSIDE\n", "ALSO\n", 400, 403, 404, 409}, "answers", seen)
    S.post("/exec/interrupt")


def odd_names():
    S.out(["python3", "-c", "import os; os.mkdir(b'/workspace/odd')\nfor n in (b'a\"b', b'new\\nline', b'esc\\x1b[31m', b'bad\\xff'): "
           "open(b'/workspace/odd/' + n, 'w')"])
    names = {r["name"] for r in S.post("/files/list", {"path": "/workspace/odd"})}
    eq(names, {'a"b', 'new\nline', 'esc\x1b[31m', 'bad\ufffd'})
    for path in (".", "/workspace/", "/workspace/" + "c" * 256, "/workspace/" + "d/" * 2100):
        ok(request("POST", "/sandbox" + S.path + "/files/read", {"path": path})[0] in (400, 404), "defined", path[:40])


def paths_are_the_same_in_each_call():
    """Empty, with a NUL or beyond a length: 400 everywhere. The rest is an answer, never a 500."""
    bodies = {"read": {}, "write": {"content": "x"}, "delete": {}, "download": {}, "upload": {"content": "eA=="},
              "info": {}, "chmod": {"mode": "644"}}
    for route, more in bodies.items():
        for path in ("", "a\0b", "/workspace/" + "d/" * 2100, "/workspace/" + "c" * 256):
            S.post(f"/files/{route}", {"path": path, **more}, expect=400)
        for path in (".", "/", "/workspace", "/workspace/new\nline", "/workspace/trailing/", "/workspace/\u00ff"):
            status = request("POST", "/sandbox" + S.path + "/files/" + route, {"path": path, **more})[0]
            ok(200 <= status < 500, "defined", route, path, status)
    S.run("cd /workspace && rm -rf -- ./*")


def ids_and_paths_do_not_mix():
    with Sandbox() as other:
        other.post("/files/write", {"path": "/workspace/mine", "content": "other's"})
        ok(request("POST", "/sandbox" + S.path + "/files/read", {"path": "/workspace/mine"})[0] >= 400, "not shared")
        for id_ in (S.id + "0", S.id.upper(), S.id[:-1], "%2e%2e", S.id + "%2f.."):
            ok(request("POST", f"/sandbox/sandboxes/{id_}/files/read", {"path": "/workspace/mine"})[0] in (400, 404), id_)


def a_full_disk_is_said():
    # /tmp has a size of its own in every environment; without project quotas the root has that of the host's disk.
    with Sandbox(memory=256) as s:
        ok(s.run("head -c 1000000000 /dev/zero > /tmp/fill")["exitCode"] != 0, "/tmp is bounded")
        status, _, body = request("PUT", f"/sandbox{s.path}/files/raw?path=/tmp/x", b"x" * 1000000,
                                  headers={"Content-Type": "application/octet-stream"})
        eq(status, 507, "write to a full disk")
        ok("error" in body, "envelope", body)


def main():
    global S
    with Sandbox(timeout=900) as S:
        run_tests([round_trips, parents_are_made_and_modes_kept, listing, searching, info_move_mkdir_rmdir_chmod_delete,
                   base64_is_strict, mandatory_fields, traversal_is_refused, links_stay_inside, special_files,
                   owners_are_mapped, sparse_and_growing, raw_routes, interrupted_upload_changes_nothing,
                   truncated_under_a_download, many_files_have_bounds, root_and_mounts_are_not_removed,
                   links_are_removed_not_followed, renames_under_the_reader, odd_names, paths_are_the_same_in_each_call,
                   ids_and_paths_do_not_mix, a_full_disk_is_said])


main()
