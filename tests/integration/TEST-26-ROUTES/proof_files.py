# SPDX-License-Identifier: LGPL-2.1-or-later
from proof import proof, sandbox
from proof_events import Follower
from sandboxd import api, b64, eq

ESCAPE = {"path": "../../etc/passwd"}


def out(command):
    return sandbox().out(command, cwd="/workspace")


@proof("POST /sandboxes/:id/files/chmod")
def chmod(p):
    out("echo 'echo run' >script; chmod 600 script")
    p.good({"path": "script", "mode": "755"}, id=sandbox().id)
    p.effect("the kernel has the mode", out("stat -c %a script; ./script") == "755\nrun\n")
    p.bad(400, {"path": "script", "mode": "9"}, id=sandbox().id)


@proof("POST /sandboxes/:id/files/delete")
def delete(p):
    out("echo x >unwanted; mkdir -p kept")
    p.good({"path": "unwanted"}, id=sandbox().id)
    p.effect("it is gone inside", out("test -e unwanted || echo gone") == "gone\n")
    p.bad(400, {"path": "kept"}, id=sandbox().id)
    eq(out("test -d kept && echo kept"), "kept\n")


@proof("POST /sandboxes/:id/files/download")
def download(p):
    out("printf '\\000\\377\\n' >binary")
    p.effect("bytes that a command wrote", p.good({"path": "binary"}, id=sandbox().id) == b64(b"\0\xff\n"))
    p.bad(404, {"path": "nowhere"}, id=sandbox().id)


@proof("POST /sandboxes/:id/files/info")
def info(p):
    out("printf 12345 >sized; chmod 640 sized; ln -sf sized link")
    one = p.good({"path": "sized"}, id=sandbox().id)
    both = p.good({"paths": ["sized", "link"]}, id=sandbox().id)
    p.effect("size and mode that a command set", (one["size"], one["permissions"]) == (5, "-rw-r-----"), one)
    p.effect("a link is one", [i["isSymlink"] for i in both] == [False, True], both)
    p.bad(404, {"path": "nowhere"}, id=sandbox().id)


@proof("POST /sandboxes/:id/files/list")
def list_directory(p):
    out("mkdir -p listed/sub; echo x >listed/.hidden")
    found = {e["name"]: e for e in p.good({"path": "listed"}, id=sandbox().id)}
    p.effect("what a command made", {n: e["isDirectory"] for n, e in found.items()} == {"sub": True, ".hidden": False},
             found)
    p.bad(400, ESCAPE, id=sandbox().id)


@proof("POST /sandboxes/:id/files/mkdir")
def mkdir(p):
    p.good({"paths": ["made/of/several"]}, id=sandbox().id)
    p.effect("they are there inside", out("test -d made/of/several && echo yes") == "yes\n")
    p.bad(400, {"paths": []}, id=sandbox().id)


@proof("POST /sandboxes/:id/files/move")
def move(p):
    out("echo content >from")
    p.good({"moves": [{"from": "from", "to": "to"}]}, id=sandbox().id)
    p.effect("it has moved", out("cat to; test -e from || echo gone") == "content\ngone\n")
    p.bad(400, {"moves": [{"from": "to"}]}, id=sandbox().id)


@proof("GET /sandboxes/:id/files/raw")
def get_raw(p):
    out("printf 0123456789 >digits")
    p.effect("bytes that a command wrote", p.good(id=sandbox().id, query="path=digits", raw=True) == b"0123456789")
    part = p.good(id=sandbox().id, query="path=digits", raw=True, headers={"Range": "bytes=2-4"})
    p.effect("a range of them", (part, p.good_status) == (b"234", 206), part)
    p.bad(404, id=sandbox().id, query="path=nowhere")


@proof("PUT /sandboxes/:id/files/raw")
def put_raw(p):
    p.good(b"raw \xff", id=sandbox().id, query="path=put&mode=711")
    p.effect("bytes and mode are there inside", out("stat -c %a put; od -An -tx1 put") == "711\n 72 61 77 20 ff\n")
    p.bad(400, b"x", id=sandbox().id)


@proof("POST /sandboxes/:id/files/read")
def read(p):
    out("printf 'hällo\\n' >text")
    p.effect("text that a command wrote", p.good({"path": "text"}, id=sandbox().id) == "hällo\n")
    p.bad(400, ESCAPE, id=sandbox().id)


@proof("POST /sandboxes/:id/files/rmdir")
def rmdir(p):
    out("mkdir -p tree/deep; echo x >tree/deep/file")
    p.good({"paths": ["tree"]}, id=sandbox().id)
    p.effect("all of it is gone inside", out("test -e tree || echo gone") == "gone\n")
    p.bad(400, {}, id=sandbox().id)


@proof("POST /sandboxes/:id/files/search")
def search(p):
    out("mkdir -p seek/.deep; touch seek/a.proof seek/.deep/b.proof seek/c.other")
    found = p.good({"pattern": "*.proof", "dir": "seek"}, id=sandbox().id)
    p.effect("files that a command made", sorted(found) == ["/workspace/seek/.deep/b.proof", "/workspace/seek/a.proof"],
             found)
    p.bad(400, {"pattern": "a;b"}, id=sandbox().id)


@proof("POST /sandboxes/:id/files/upload")
def upload(p):
    p.good({"path": "up/loaded", "content": b64(b"\0\1\xfe")}, id=sandbox().id)
    p.effect("the bytes are there inside", out("od -An -tx1 up/loaded") == " 00 01 fe\n")
    p.bad(400, {"path": "up/loaded", "content": "no base64!"}, id=sandbox().id)
    eq(out("stat -c %s up/loaded"), "3\n", "size after a refusal")


@proof("POST /sandboxes/:id/files/write")
def write(p):
    p.good({"path": "new/written", "content": "line\n"}, id=sandbox().id)
    p.effect("the text is there inside", out("cat new/written") == "line\n")
    p.bad(400, {"path": "new/written"}, id=sandbox().id)
    eq(out("cat new/written"), "line\n", "content after a refusal")


def announce(**more):
    made = api("POST", sandbox().path + "/files/uploads", {"path": "in/parts", "size": 10, **more})
    return made["id"], f"/workspace/in/.sbx-{made['id']}"


@proof("POST /sandboxes/:id/files/uploads")
def upload_begin(p):
    made = p.good({"path": "in/parts", "size": 10}, id=sandbox().id)
    eq(p.headers["location"], p.url({"id": sandbox().id}, "") + "/" + made["id"])
    p.effect("a file inside gathers it", out(f"stat -c %s in/.sbx-{made['id']}") == "0\n")
    p.bad(400, {"path": "in/parts"}, id=sandbox().id)
    api("DELETE", f"{sandbox().path}/files/uploads/{made['id']}")


@proof("GET /sandboxes/:id/files/uploads")
def upload_list(p):
    upload, _ = announce()
    found = p.good(id=sandbox().id)["uploads"]
    p.effect("the one that was announced", (upload, "open") in [(u["id"], u["status"]) for u in found], found)
    p.bad(404, id="sbx_nowhere")
    api("DELETE", f"{sandbox().path}/files/uploads/{upload}")


@proof("GET /sandboxes/:id/files/uploads/:upload")
def upload_get(p):
    upload, part = announce()
    out(f"printf 012 >{part}")
    p.effect("what is there inside counts", p.good(id=sandbox().id, upload=upload)["offset"] == 3)
    p.bad(404, id=sandbox().id, upload="upl_nowhere")
    api("DELETE", f"{sandbox().path}/files/uploads/{upload}")


@proof("PATCH /sandboxes/:id/files/uploads/:upload")
def upload_append(p):
    upload, part = announce(mode="640")
    p.good(b"0123", id=sandbox().id, upload=upload, headers={"Upload-Offset": "0"})
    eq((p.good_status, p.headers["upload-offset"], out(f"cat {part}; test -e in/parts || echo none")),
       (204, "4", "0123none\n"))
    p.bad(409, b"x", id=sandbox().id, upload=upload, headers={"Upload-Offset": "3"})
    p.good(b"456789", id=sandbox().id, upload=upload, headers={"Upload-Offset": "4"})
    p.effect("whole, it has its name and mode", out("cat in/parts; stat -c ' %a' in/parts; ls -A in") ==
             "0123456789 640\nparts\n")


@proof("DELETE /sandboxes/:id/files/uploads/:upload")
def upload_delete(p):
    upload, part = announce()
    p.good(id=sandbox().id, upload=upload)
    p.effect("what had come is gone", out(f"test -e {part} || echo gone") == "gone\n")
    p.bad(404, id=sandbox().id, upload=upload)


@proof("GET /sandboxes/:id/files/watch")
def watch(p):
    with Follower(p, sandbox().path + "/files/watch") as events:
        eq(next(events)["type"], "ready")
        sandbox().put("/workspace/seen", b"x")
        p.effect("what is written is told", "/workspace/seen" in (e["path"] for e in events))
    p.bad(404, id=sandbox().id, query="path=nowhere")
