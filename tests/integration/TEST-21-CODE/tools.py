# SPDX-License-Identifier: LGPL-2.1-or-later
"""The interpreters and package managers themselves, where the image has them. There is no network: what is installed is
made here, and served by the sandbox to itself."""
import base64
import hashlib
import io
import json
import os
import zipfile

from sandboxd import Sandbox, api, eq, ok, parallel, wait_for

PORT = 4873
REGISTRY = f"http://127.0.0.1:{PORT}"
TOOLS = {"node": "javascript", "npm": "npm", "go": "go", "pip": "pip"}


def have(s, *tools):
    """All of them; or what is missing is named, here and by the service."""
    missing = [tool for tool in tools if s.run(f"command -v {tool}")["exitCode"] != 0]
    for tool in missing:
        print(f"SKIPPED in part: this image has no '{tool}'", flush=True)
        if tool in ("npm", "pip"):
            refusal = s.post("/interpret/install", {"packages": ["mine"], "manager": tool}, 400)
        else:
            refusal = s.post("/interpret/execute", {"code": "1", "language": TOOLS[tool]}, 400)
        ok(f"'{tool}'" in refusal["error"], "the missing program is named", refusal)
    return not missing


def execute(s, language, code, **more):
    return s.post("/interpret/execute", {"language": language, "code": code, **more})


def serve(s):
    s.out("mkdir -p /srv/www")
    s.post("/exec/background", {"command": f"exec python3 -m http.server {PORT} --bind 127.0.0.1 --directory /srv/www"})
    ask = f"python3 -c 'import urllib.request as u; u.urlopen(\"{REGISTRY}\")'"
    wait_for("the server", lambda: s.run(ask)["exitCode"] == 0)


def left(s):
    """What runs of code forgot, though not what their programs keep for the next one."""
    return s.out("cd /tmp && ls -d code_* go-build* 2>/dev/null || true")


def javascript_runs():
    with Sandbox() as s:
        if not have(s, "node"):
            return
        result = execute(s, "javascript", "console.log(6 * 7)")
        ok(result.pop("executionTime") >= 1, "a time")
        eq(result, {"output": "42\n", "stderr": "", "error": None, "exitCode": 0})
        result = execute(s, "javascript", "console.log('before'); throw new TypeError('boom')")
        eq((result["output"], result["exitCode"]), ("before\n", 1))
        ok("TypeError: boom" in result["error"], "the error", result)
        module = "const v = await Promise.resolve('später'); console.log(v)\nexport {}"
        eq(execute(s, "javascript", module)["output"], "später\n")
        eq(execute(s, "javascript", "console.log(process.cwd())", cwd="/tmp")["output"], "/tmp\n")
        eq(execute(s, "javascript", "process.exit(7)")["exitCode"], 7)
        results = parallel([lambda i=i: execute(s, "javascript", f"console.log({i})") for i in range(4)])
        eq([r["output"] for r in results], [f"{i}\n" for i in range(4)])
        endless = {"code": "console.log(1); for (;;);", "language": "javascript", "timeout": 1}
        late = s.post("/interpret/execute", endless, 504)
        eq((late["output"], late["timedOut"]), ("1\n", True))
        wait_for("no file of ours is left", lambda: left(s) == "")


def typescript_runs():
    with Sandbox() as s:
        if not have(s, "node"):
            return
        if s.run("command -v tsx || command -v ts-node")["exitCode"] != 0:
            print("SKIPPED in part: nothing in this image runs TypeScript", flush=True)
            return
        code = "interface A { a: number }\nimport * as os from 'os';\nconst a: A = { a: 42 };\n" \
               "console.log(a.a, typeof os.hostname());\n"
        result = execute(s, "typescript", code)
        eq((result["output"], result["error"], result["exitCode"]), ("42 string\n", None, 0))
        result = execute(s, "typescript", code + "throw new RangeError('boom' as string);")
        eq((result["output"], result["exitCode"]), ("42 string\n", 1))
        ok("RangeError: boom" in result["error"], "the error", result)
        eq(execute(s, "typescript", "process.exit(7 as number)")["exitCode"], 7)
        late = s.post("/interpret/execute", {"code": "for (;;);", "language": "typescript", "timeout": 3}, 504)
        ok(late["timedOut"], "timed out", late)
        wait_for("all of it has ended", lambda: "ts-node" not in json.dumps(api("GET", s.path + "/processes")))
        # What a client puts first in the path is what runs.
        s.out("cd /usr/local/bin && printf '#!/bin/sh\\necho \"mine: $(grep -c a \"$1\")\"\\n' >tsx && chmod 755 tsx")
        eq(execute(s, "typescript", "a: number")["output"], "mine: 1\n")
        wait_for("no file of ours is left", lambda: left(s) == "")


def go_runs():
    with Sandbox() as s:
        if not have(s, "go"):
            return
        program = "package main\n\nimport (\n\t\"fmt\"\n\t\"os\"\n)\n\nfunc main() {\n\tfmt.Println(6 * 7)\n%s}\n"
        result = execute(s, "go", program % "\t_ = os.Args\n")
        eq((result["output"], result["error"], result["exitCode"]), ("42\n", None, 0))
        result = execute(s, "go", program % "\tos.Exit(3)\n")
        eq(result["output"], "42\n")
        ok(result["exitCode"] != 0 and "exit status 3" in result["error"], "go says which status", result)
        result = execute(s, "go", "package main\n\nfunc main() { x := 1 }\n")
        ok(result["exitCode"] != 0 and ":3:15:" in result["error"], "what the compiler says", result)
        small = "package main\n\nfunc main() { print(%d) }\n"
        results = parallel([lambda i=i: execute(s, "go", small % i) for i in range(3)])
        eq([r["stderr"] for r in results], ["0", "1", "2"])
        wait_for("no file of ours is left", lambda: left(s) == "")


def cell(s, context, code, expect=200, **more):
    return s.post(f"/interpret/contexts/{context}/execute", {"code": code, **more}, expect)


def javascript_contexts():
    with Sandbox() as s:
        if not have(s, "node"):
            return
        c = s.post("/interpret/contexts", {"language": "javascript", "cwd": "/tmp"})["id"]
        first = cell(s, c, "let x = 41, f = 1, r = 2; console.log('out'); console.error('err')")
        eq((first["output"], first["stderr"], first["error"], first["result"]), ("out\n", "err\n", None, None))
        eq(cell(s, c, "x + f")["result"], "42")
        eq(cell(s, c, "let x = 1; const y = await Promise.resolve(x + 1); y")["result"], "2")
        eq(cell(s, c, "({ x, y })")["result"], "{ x: 1, y: 2 }")
        eq(cell(s, c, "Promise.resolve('later')")["result"], "'later'")
        eq(cell(s, c, "process.cwd()")["result"], "'/tmp'")
        error = cell(s, c, "function g() { null.z }\ng()")["error"]
        ok(error.startswith("TypeError:") and ":2:1" in error and "node:" not in error, "the code's frames alone", error)
        error = cell(s, c, "ok\nno no")["error"]
        ok("SyntaxError" in error and ":2:4\n" in error, "says where", error)
        ok("Error: late" in cell(s, c, "await Promise.reject(new Error('late'))")["error"], "a rejection")
        for code in ("for (;;);", "await new Promise(() => {})"):
            ok(cell(s, c, code, 504, timeout=1)["timedOut"], code)
            eq(cell(s, c, "x")["result"], "1")
        ok(cell(s, c, "process.exit(3)")["error"], "it ended")
        cell(s, c, "1", 409)
        s.post(f"/interpret/contexts/{c}/restart")
        ok("ReferenceError" in cell(s, c, "x")["error"], "nothing is left")


def packument(name, version, tarball):
    """What a registry says of a package."""
    integrity = "sha512-" + base64.b64encode(hashlib.sha512(tarball).digest()).decode()
    dist = {"tarball": f"{REGISTRY}/-/{name}-{version}.tgz", "integrity": integrity}
    manifest = {"name": name, "version": version, "main": "main.js", "bin": {name: "main.js"}, "dist": dist}
    return json.dumps({"name": name, "dist-tags": {"latest": version}, "versions": {version: manifest}}).encode()


def publish(s, name, version, source):
    manifest = {"name": name, "version": version, "main": "main.js", "bin": {name: "main.js"}}
    s.out(f"mkdir -p /srv/www/- /srv/{name}")
    s.put(f"/srv/{name}/package.json", json.dumps(manifest).encode())
    s.put(f"/srv/{name}/main.js", source)
    s.out(f"cd /srv/{name} && npm pack --silent --pack-destination /srv/www/-")
    s.put(f"/srv/www/{name}", packument(name, version, s.get_raw(f"/srv/www/-/{name}-{version}.tgz")))


def npm_installs():
    with Sandbox() as s:
        if not have(s, "node", "npm"):
            return
        serve(s)
        publish(s, "mine", "1.2.3", b"#!/usr/bin/env node\nmodule.exports = 'loaded';\n"
                                    b"if (require.main === module) console.log('ran');\n")
        s.post("/env", {"vars": {"npm_config_registry": REGISTRY + "/"}})
        refusal = s.post("/interpret/install", {"packages": ["mine@9"], "manager": "npm"}, 400)
        ok("mine@9" in refusal["error"], "no such version", refusal)
        s.post("/interpret/install", {"packages": ["mine@1.2.3"], "manager": "npm"})
        eq(s.out("mine"), "ran\n")
        eq(execute(s, "javascript", "console.log(require('mine'))")["output"], "loaded\n")
        c = s.post("/interpret/contexts", {"language": "javascript"})["id"]
        eq(cell(s, c, "require('mine')")["result"], "'loaded'")
        # Where nobody answers it is told before a client has lost his patience.
        s.post("/env", {"vars": {"npm_config_registry": "http://127.0.0.1:1/"}})
        s.post("/interpret/install", {"packages": ["other"], "manager": "npm"}, 400, timeout=30)


def npx_runs_typescript():
    """What is fetched is a stand-in for tsx, the program that fetches it is npx itself."""
    with Sandbox() as s:
        if not have(s, "node", "npm"):
            return
        if s.run("command -v tsx || node -e 'process.exit(parseInt(process.versions.node) < 22)'")["exitCode"] == 0:
            print("SKIPPED in part: this image runs TypeScript without npx", flush=True)
            return
        serve(s)
        s.out("mkdir /srv/bin && ln -s $(command -v node) $(command -v npx) /bin/sh /usr/bin/env /srv/bin/")
        publish(s, "tsx", "4.0.0", b"#!/usr/bin/env node\nconsole.log('tsx', process.argv[2].endsWith('.ts'));\n"
                                   b"process.exit(5);\n")
        s.post("/env", {"vars": {"npm_config_registry": REGISTRY + "/", "PATH": "/srv/bin"}})
        result = execute(s, "typescript", "const a: number = 1")
        eq((result["output"], result["exitCode"]), ("tsx true\n", 5), f"by npx ({result['stderr']!r:.300})")
        s.out("/bin/rm /srv/bin/npx")
        result = execute(s, "typescript", "const a: number = 1")
        eq(result["exitCode"], 127)
        ok("tsx" in result["error"] and "npx" in result["error"], "what is needed is named", result)


def wheel(name, version, ballast=0):
    """A package with a module, a command, and so many bytes that do not shrink."""
    data, info = io.BytesIO(), f"{name}-{version}.dist-info"
    files = {
        f"{name}/__init__.py": "def main():\n    print('ran')\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name} = {name}:main\n",
        f"{name}/ballast": bytes(ballast),
    }
    record = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(data, "w", zipfile.ZIP_STORED) as z:
        for path, text in [*files.items(), (f"{info}/RECORD", record)]:
            z.writestr(path, text)
    return f"{name}-{version}-py3-none-any.whl", data.getvalue()


def pip_installs():
    with Sandbox() as s:
        if not have(s, "pip"):
            return
        serve(s)
        memory = os.statvfs("/")  # of this machine: the sandbox has its own idea of /tmp
        ok(memory.f_bavail * memory.f_frsize > 1 << 30, "room for a large wheel")
        small = int(s.out("df --output=size -k /tmp | tail -n 1")) * 1024
        for name, ballast in (("mine", 0), ("large", small)):
            file, data = wheel(name, "1.2.3", ballast)
            s.out(f"mkdir -p /srv/www/simple/{name}")
            s.put(f"/srv/www/simple/{name}/{file}", data)
            s.put(f"/srv/www/simple/{name}/index.html", f'<a href="{file}">{file}</a>'.encode())
        s.post("/env", {"vars": {"PIP_INDEX_URL": REGISTRY + "/simple/", "PIP_RETRIES": "0"}})
        ok("mine==9" in s.post("/interpret/install", {"packages": ["mine==9"]}, 400)["error"], "no such version")
        answer = s.post("/interpret/install", {"packages": ["mine==1.2.3"]})
        ok("mine-1.2.3" in answer["output"], "what pip says", answer)
        eq(s.out("mine"), "ran\n")
        eq(execute(s, "python", "import mine; mine.main()")["output"], "ran\n")
        s.post("/interpret/install", {"packages": ["large"], "manager": "pip"})
        eq(execute(s, "python", "import large; large.main()")["output"], "ran\n")


def go_module(path, version, files):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as z:
        for name, text in files.items():
            z.writestr(f"{path}@{version}/{name}", text)
    return data.getvalue()


def go_installs():
    with Sandbox() as s:
        if not have(s, "go"):
            return
        path, version = "example.com/mine", "v1.2.3"
        module = f"module {path}\n\ngo 1.18\n"
        program = "package main\n\nimport \"fmt\"\n\nfunc main() { fmt.Println(\"ran\") }\n"
        files = {"go.mod": module, "main.go": program}
        at = f"/srv/proxy/{path}/@v"
        s.out(f"mkdir -p {at}")
        s.put(f"{at}/list", version.encode())
        s.put(f"{at}/{version}.info", json.dumps({"Version": version, "Time": "2026-01-01T00:00:00Z"}).encode())
        s.put(f"{at}/{version}.mod", module.encode())
        s.put(f"{at}/{version}.zip", go_module(path, version, files))
        s.post("/env", {"vars": {"GOPROXY": "file:///srv/proxy", "GONOSUMDB": "*", "GOFLAGS": "-mod=mod"}})
        s.post("/interpret/install", {"packages": [path + "@v9.9.9"], "manager": "go"}, 400)
        s.post("/interpret/install", {"packages": [path + "@latest"], "manager": "go"})
        eq(s.out("mine"), "ran\n")


TESTS = [javascript_runs, typescript_runs, go_runs, javascript_contexts, npm_installs, npx_runs_typescript, pip_installs,
         go_installs]
