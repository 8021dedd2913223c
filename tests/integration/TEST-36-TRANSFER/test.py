# SPDX-License-Identifier: LGPL-2.1-or-later
"""Downloads in parts: they fit together, and never are of two files."""
import os

from sandboxd import Sandbox, eq, ok, request, run_tests, wait_for


def get(s, path="/workspace/f", **headers):
    names = {"range": "Range", "if_range": "If-Range"}
    return request("GET", f"/sandbox{s.path}/files/raw?path={path}", raw=True,
                   headers={names[k]: v for k, v in headers.items()})


def settled_tag(s):
    """A file that was changed a moment ago has a weak tag."""
    def strong():
        tag = get(s)[1]["etag"]
        return None if tag.startswith("W/") else tag
    return wait_for("the tag is strong", strong)


def parts():
    data = os.urandom(300_000)
    with Sandbox() as s:
        s.put("/workspace/f", data)
        got = b""
        while len(got) < len(data):
            status, headers, part = get(s, range=f"bytes={len(got)}-{len(got) + 70_000 - 1}")
            eq(status, 206)
            eq(headers["content-range"], f"bytes {len(got)}-{len(got) + len(part) - 1}/{len(data)}")
            got += part
        ok(got == data, "the parts are the whole")
        eq(get(s, range="bytes=-5")[2], data[-5:])
        eq(get(s, range=f"bytes={len(data)}-")[0], 416)


def of_one_file():
    with Sandbox() as s:
        s.put("/workspace/f", b"first " * 1000)
        tag = settled_tag(s)
        status, headers, part = get(s, range="bytes=6-", if_range=tag)
        eq((status, len(part), headers["etag"]), (206, 5994, tag))
        # as long, and written over it: neither name, size nor inode differ
        s.out("python3 -c 'f = open(\"/workspace/f\", \"r+\"); f.write(\"other \" * 1000)'")
        status, headers, whole = get(s, range="bytes=6-", if_range=tag)
        eq((status, whole), (200, b"other " * 1000), "the whole of the new one")
        ok(headers["etag"] != tag, "its tag is another")
        eq(get(s, range="bytes=6-", if_range='W/"weak"')[0], 200, "a weak tag fits nothing")
        eq(get(s, range="bytes=6-", if_range='"other"')[0], 200, "nor does a wrong one")


run_tests([parts, of_one_file])
