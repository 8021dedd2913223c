# SPDX-License-Identifier: LGPL-2.1-or-later
"""Images of directories and tars, from a line of an administrator's to a sandbox that runs; hostile tars leave nothing."""
import gzip
import hashlib
import io
import os
import shutil
import subprocess
import tarfile

from sandboxd import Sandbox, api, eq, kill_main, main_pid, ok, parallel, request, run_tests, shell, wait_for

# A file system of its own: the container's root is an overlay, whose files cannot be shown under other ids.
PLACE = "/srv/images"
CATALOG = "/etc/sandboxd/images.d"
STORE = "/var/lib/sandbox"
FOREIGN = 2147352576
PROGRAMS = ("sh", "cat", "ls", "stat", "id", "touch", "mkdir")


def catalog(name, *lines):
    """A drop-in, as an administrator writes it; None removes it."""
    path = f"{CATALOG}/{name}.conf"
    if not lines:
        os.unlink(path)
        return
    with open(path + ".new", "w") as f:
        f.write("\n".join(("[Image]",) + lines) + "\n")
    os.rename(path + ".new", path)


def layers():
    return sorted(n for n in os.listdir(f"{STORE}/images") if n.startswith("sha256-"))


def leftovers():
    return [n for n in os.listdir(f"{STORE}/images") if n.startswith("tmp-")] + os.listdir(f"{STORE}/roots")


def make_tree(path):
    """The least that runs a shell."""
    for program in PROGRAMS:
        real = os.path.realpath(shutil.which(program))
        copy(real, f"{path}/usr/bin/{program}")
        for word in subprocess.run(["ldd", real], capture_output=True, text=True).stdout.split():
            if word.startswith("/"):
                copy(os.path.realpath(word), path + word)
    os.symlink("usr/bin", f"{path}/bin")
    for directory in ("etc", "root", "workspace"):
        os.mkdir(f"{path}/{directory}")
    with open(f"{path}/etc/issue", "w") as f:
        f.write("an image\n")
    with open(f"{path}/etc/of-1000", "w") as f:
        f.write("x")
    os.chown(f"{path}/etc/of-1000", 1000, 1000)
    os.chmod(path, 0o755)


def copy(source, target):
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if not os.path.exists(target):
        shutil.copy(source, target)


def entry(name, kind=tarfile.REGTYPE, data=b"", **more):
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, len(data)
    for key, value in more.items():
        setattr(info, key, value)
    return info, data


def make_tar(path, entries, tree=None, format=tarfile.GNU_FORMAT):
    with tarfile.open(path, "w", format=format) as tar:
        if tree:
            tar.add(tree, ".")
        for info, data in entries:
            tar.addfile(info, io.BytesIO(data))


def create_status(image):
    status, _, body = request("POST", "/sandbox/sandboxes", {"image": image}, timeout=120)
    if status == 200:
        api("DELETE", f"/sandboxes/{body['id']}")
    return status, body


# --- the catalog

def a_line_is_enough():
    catalog("50-dir", "Name=tree", "Name=tree:*", f"Source=dir:{PLACE}/tree")
    catalog("51-missing", "Name=missing", f"Source=tar:{PLACE}/missing.tar")
    try:
        images = {i["name"]: i for i in api("GET", "/images")["images"]}
        eq((images["tree"]["kind"], images["tree"]["source"], images["tree"]["usable"]),
           ("dir", f"dir:{PLACE}/tree", True), images["tree"])
        eq(images["missing"]["usable"], False)
        status, body = create_status("missing")
        ok(status >= 400 and body["error"], "no such file", status, body)
        ok("tree:*" in shell("sandboxctl images"), "sandboxctl lists them, too")
    finally:
        catalog("51-missing")
    eq(create_status("missing")[0], 400, "taken back")


def unknown_ones_are_refused():
    status, body = create_status("nothing:1")
    eq(status, 400)
    ok("nothing:1" in body["error"] and "tree:*" in body["error"], "names the allowed set", body)
    for name in ("../x", "a//b", "-v", "a" * 4096, "a\0b", "/etc", "tree:../x", "tree\n", " tree", ""):
        status, body = create_status(name)
        eq(status, 400, f"{name!r:.40} {body}")
    eq(leftovers(), [])


def exact_names_go_first():
    make_tar(f"{PLACE}/exact.tar", [entry("etc/exact", data=b"x")], f"{PLACE}/tree")
    catalog("40-exact", "Name=tree:exact", f"Source=tar:{PLACE}/exact.tar")
    with Sandbox(image="tree:exact") as a, Sandbox(image="tree:other") as b:
        eq(a.run("cat /etc/exact")["stdout"], "x")
        eq(b.run("cat /etc/exact")["exitCode"], 1)
        eq((a.get()["image"], b.get()["image"]), ("tree:exact", "tree:other"), "the names asked for")
    catalog("40-exact")


# --- what works

def check_tree(s):
    eq(s.out("cat /etc/issue"), "an image\n")
    eq(s.out("stat -c %u:%g /etc/issue /etc/of-1000 /").split(), ["0:0", "1000:1000", "0:0"], "owners")
    s.out("touch /new /etc/issue && mkdir /usr/x && echo changed > /etc/issue")
    eq(s.out("cat /etc/issue"), "changed\n")
    s.put("/workspace/file", b"by the file API")
    eq(s.out("cat /workspace/file"), "by the file API")


def directories():
    before = shell(f"cd {PLACE}/tree && find . -newermt 1971-01-01 -printf '%p %u %m %T@\\n' | sort")
    with Sandbox(image="tree:1.0") as s:
        eq(s.record["image"], "tree:1.0")
        check_tree(s)
        with Sandbox(image="tree:2") as other:
            eq(other.out("cat /etc/issue"), "an image\n", "nothing is shared")
    eq(shell(f"cd {PLACE}/tree && find . -newermt 1971-01-01 -printf '%p %u %m %T@\\n' | sort"), before)


def tars():
    make_tar(f"{PLACE}/good.tar", [
        entry("usr/bin/suid", data=b"#!/bin/sh\n", mode=0o4755), entry("deep/a/b/c", data=b"deep"),
        entry("fifo", tarfile.FIFOTYPE), entry("null", tarfile.CHRTYPE, devmajor=1, devminor=3),
        entry("hard", tarfile.LNKTYPE, linkname="deep/a/b/c"), entry("outside", tarfile.SYMTYPE, linkname="/etc/issue"),
    ], f"{PLACE}/tree")
    with open(f"{PLACE}/good.tar", "rb") as f, gzip.open(f"{PLACE}/good.tar.gz", "wb") as z:
        shutil.copyfileobj(f, z)
    before = layers()
    for suffix in ("", ".gz"):
        catalog("60-tar", "Name=good", f"Source=tar:{PLACE}/good.tar{suffix}")
        with Sandbox(image="good") as s:
            check_tree(s)
            eq(s.out("cat /deep/a/b/c /hard /outside"), "deepdeepchanged\n")
            eq(s.out("stat -c '%F' /fifo"), "fifo\n")
            eq(s.run("ls /null")["exitCode"], 2, "no devices")
        with Sandbox(image="good") as s:
            eq(s.out("cat /etc/issue"), "an image\n", "unchanged")
    new = [n for n in layers() if n not in before]
    eq(len(new), 2, "one layer a file, unpacked once")
    st = os.stat(f"{STORE}/images/{new[0]}")
    eq((st.st_uid, st.st_mode & 0o7777), (FOREIGN, 0o700), "closed to the host")
    st = os.stat(f"{STORE}/images/{new[0]}/usr/bin/suid")
    eq((st.st_uid, st.st_mode & 0o7777), (FOREIGN, 0o4755), "never of the host's root")


# --- what does not

def hostile_tars():
    marker = "/etc/cron.d/hostile"
    cases = {
        "parent": [entry("../../etc/cron.d/hostile", data=b"x")],
        "absolute": [entry("/etc/cron.d/hostile", data=b"x")],
        "link": [entry("d", tarfile.SYMTYPE, linkname="/etc/cron.d"), entry("d/hostile", data=b"x")],
        "link-up": [entry("d", tarfile.SYMTYPE, linkname=".."), entry("d/../../hostile", data=b"x")],
        "hard-link": [entry("h", tarfile.LNKTYPE, linkname="../../../etc/passwd")],
        "hard-link-over-link": [entry("d", tarfile.SYMTYPE, linkname="/etc"),
                                entry("h", tarfile.LNKTYPE, linkname="d/passwd")],
        "uid": [entry("x", data=b"x", uid=65536)],
        "uid-32": [entry("x", data=b"x", uid=2**32 - 1)],
        "whiteout": [entry(".wh..", data=b"")],
        "long": [entry("a" * 300, data=b"x")],
        "deep": [entry("a/" * 200 + "x", data=b"x")],
        "overlay": [entry("x", data=b"x", pax_headers={"SCHILY.xattr.user.overlay.opaque": "y"})],
    }
    before = set(os.listdir(f"{STORE}/images"))  # what earlier tests left may still go
    files = {}
    for name, entries in cases.items():
        files[name] = f"{PLACE}/{name}.tar"
        make_tar(files[name], [entry("first", data=b"whole")] + entries, format=tarfile.PAX_FORMAT)
    files.update(damaged_tars())
    for name, file in files.items():
        catalog("70-hostile", "Name=hostile", f"Source=tar:{file}")
        status, body = create_status("hostile")
        ok(400 <= status < 500 and body["error"], f"{name} is refused", status, body)
        ok(not os.path.exists(marker), f"{name} leaves nothing outside")
        os.unlink(file)
    catalog("70-hostile")
    wait_for("nothing is left in the store", lambda: leftovers() == [] and set(os.listdir(f"{STORE}/images")) <= before)
    eq(api("GET", "/sandboxes")["total"], 0)


def damaged_tars():
    whole = f"{PLACE}/whole.tar"
    make_tar(whole, [entry("a", data=os.urandom(100000)), entry("b", data=b"b" * 100000)])
    with open(whole, "rb") as f:
        data = f.read()
    packed = gzip.compress(data)
    contents = {
        "empty": b"", "cut": data[:150000], "cut-gzip": packed[:-2000], "gzip-of-gzip": gzip.compress(packed),
        "garbage": b"no tar at all" * 1000, "garbage-behind": data + b"garbage" * 1000,
        "bomb": gzip.compress(bytes(100 * 2**20)),
    }
    for name, content in contents.items():
        with open(f"{PLACE}/{name}.tar", "wb") as f:
            f.write(content)
    bomb = io.BytesIO()
    with tarfile.open(fileobj=bomb, mode="w:gz") as tar:
        tar.addfile(tarfile.TarInfo("zeros"), None)
        info = tarfile.TarInfo("more")
        info.size = 100 * 2**20
        tar.addfile(info, io.BytesIO(bytes(info.size)))
    with open(f"{PLACE}/bomb.tar", "wb") as f:
        f.write(bomb.getvalue())
    os.unlink(whole)
    return {name: f"{PLACE}/{name}.tar" for name in contents}


# --- interruptions

def large_tar(name, size):
    """Takes a moment to unpack, and no space itself."""
    path = f"{PLACE}/{name}.tar"
    make_tar(path, [], f"{PLACE}/tree")
    info = tarfile.TarInfo(f"large-{name}")
    info.size = size
    end = os.path.getsize(path)
    with tarfile.open(path) as tar:
        begin = tar.offset if not tar.getmembers() else max(m.offset_data + (m.size + 511) // 512 * 512 for m in tar)
    with open(path, "r+b") as f:
        f.seek(begin)
        f.write(info.tobuf(tarfile.GNU_FORMAT))
        f.truncate(max(end, begin + 512 + size + 10240))
    catalog("80-" + name, f"Name={name}", f"Source=tar:{path}")


def unpacked_so_far():
    return int(shell(f"du -sk {STORE}/images | cut -f1")) * 1024


def a_killed_service_leaves_no_half():
    size = 400 * 2**20
    large_tar("large", size)
    base = unpacked_so_far()

    def kill_at_half():
        wait_for("half of it", lambda: unpacked_so_far() - base > size / 2, 30)
        ok(kill_main("sandbox-fsd.service"), "it was there to be killed")
        ok(not [n for n in layers() if n not in before], "it was not whole then")

    before = layers()
    first, _ = parallel([lambda: create_status("large"), kill_at_half])
    ok(first[0] in (200, 503), "the one that waited", first)
    with Sandbox(image="large") as s:
        eq(s.out("stat -c %s /large-large"), f"{size}\n")
    wait_for("the half is gone", lambda: leftovers() == [])
    wait_for("its space, too", lambda: unpacked_so_far() - base < size * 1.1)
    eq(len(set(layers()) - set(before)), 1)


def two_at_once():
    large_tar("shared", 50 * 2**20)
    before, base = layers(), unpacked_so_far()
    results = parallel([lambda: create_status("shared")] * 4)
    eq([r[0] for r in results], [200] * 4, results)
    eq(len(set(layers()) - set(before)), 1, "one copy")
    wait_for("one copy's space", lambda: unpacked_so_far() - base < 60 * 2**20)


def a_full_store_is_said():
    large_tar("huge", 200 * 2**20)
    used = int(shell(f"df -k --output=used {STORE} | tail -1"))
    before = layers()
    shell(f"mount -o remount,size={used + 50000}k {STORE}")
    try:
        status, body = create_status("huge")
        eq(status, 507, body)
        ok(set(layers()) <= set(before), "no layer", layers(), before)
        wait_for("the space is free again",
                 lambda: int(shell(f"df -k --output=used {STORE} | tail -1")) <= used + 1000 and leftovers() == [])
    finally:
        shell(f"mount -o remount,size=50% {STORE}")
    eq(create_status("huge")[0], 200, "with space")


def digests():
    """Only the file that the operator meant: another of this name is refused, and nothing of it stays."""
    with open(f"{PLACE}/good.tar", "rb") as f:
        digest = hashlib.sha256(f.read()).hexdigest()
    catalog("61-digest", "Name=right", f"Source=tar:{PLACE}/good.tar", f"Digest=sha256:{digest}",
            "[Image]", "Name=wrong", f"Source=tar:{PLACE}/other.tar", f"Digest=sha256:{digest}",
            "[Image]", "Name=known", f"Source=tar:{PLACE}/good.tar", f"Digest=sha256:{digest[::-1]}")
    with open(f"{PLACE}/good.tar", "rb") as f, open(f"{PLACE}/other.tar", "wb") as other:
        data = f.read()
        eq(data.count(b"an image\n"), 1, "a file to change")
        other.write(data.replace(b"an image\n", b"An image\n"))
    before = layers()
    eq(create_status("right")[0], 200)
    for name in ("wrong", "known"):
        status, body = create_status(name)
        eq(status, 400, f"{name}: {body}")
    ok(len(set(layers()) - set(before)) <= 1, "no layer of the other", layers(), before)
    wait_for("nothing is left", lambda: not [n for n in leftovers() if not n.startswith(".layer-")])


def fsd_has_left():
    wait_for("sandbox-fsd leaves", lambda: main_pid("sandbox-fsd.service") == 0, 30)


def unneeded_layers_go():
    """Once no image leads to a layer and no sandbox has it mapped; never before."""
    def put_tar(issue):
        shell(f"rm -rf {PLACE}/again; cp -a {PLACE}/tree {PLACE}/again")
        with open(f"{PLACE}/again/etc/issue", "w") as f:
            f.write(issue)
        shell(f"tar -C {PLACE}/again -cf {PLACE}/next.tar . && mv {PLACE}/next.tar {PLACE}/changing.tar")

    put_tar("the first\n")
    catalog("62-changing", "Name=changing", f"Source=tar:{PLACE}/changing.tar")
    before = set(layers())
    first = Sandbox(image="changing")
    old = (set(layers()) - before).pop()
    put_tar("the second\n")
    second = Sandbox(image="changing")
    new = (set(layers()) - before - {old}).pop()
    fsd_has_left()
    ok({old, new} <= set(layers()), "both are mapped", layers())
    eq(first.out("cat /etc/issue; ls /etc"), "the first\n" + second.out("ls /etc"), "and whole")
    first.delete()
    wait_for("the old one goes", lambda: old not in layers(), 30)
    ok(new in layers(), "the new one is mapped")
    second.delete()
    fsd_has_left()
    ok(new in layers(), "an image leads to it")
    os.unlink(f"{CATALOG}/62-changing.conf")
    shell("systemctl start sandbox-fsd; systemctl reload sandbox-fsd")
    wait_for("now it goes, too", lambda: new not in layers(), 30)
    wait_for("and nothing is left", lambda: leftovers() == [])


def main():
    os.makedirs(PLACE, exist_ok=True)
    shell(f"mount -t tmpfs -o mode=755 images {PLACE}")
    make_tree(f"{PLACE}/tree")
    shell("systemctl stop sandbox-fsd.service")  # so that it sees the mount
    run_tests([a_line_is_enough, unknown_ones_are_refused, exact_names_go_first, directories, tars, hostile_tars,
               a_killed_service_leaves_no_half, two_at_once, a_full_store_is_said, digests,
               unneeded_layers_go])


main()
