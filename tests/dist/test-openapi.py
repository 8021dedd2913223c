#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The OpenAPI document holds together: it names each route of the table and nothing else, references lead somewhere,
operation ids are unique, path parameters are declared, and every schema is one.

test-openapi.py SANDBOXD"""
import json
import re
import subprocess
import sys

METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}
TYPES = {"array", "boolean", "integer", "null", "number", "object", "string"}
KEYWORDS = {"$ref", "additionalProperties", "anyOf", "description", "enum", "items", "maxLength", "maximum", "minItems",
            "minLength", "minimum", "properties", "required", "type", "x-out-of-range", "x-wrong-type"}
failed = False


def check(condition, *text):
    global failed
    if not condition:
        failed = True
        print("FAILED:", *text)


def output(option):
    return subprocess.run([sys.argv[1], option], check=True, capture_output=True, text=True).stdout


document = json.loads(output("--openapi"))


def resolve(reference):
    node = document
    for part in reference.removeprefix("#/").split("/"):
        node = node.get(part, {}) if isinstance(node, dict) else {}
    return node


def check_references(node, where):
    if isinstance(node, dict):
        if "$ref" in node:
            check(node["$ref"].startswith("#/") and resolve(node["$ref"]), where, "leads nowhere:", node["$ref"])
        for key, value in node.items():
            check_references(value, where + "/" + key)
    elif isinstance(node, list):
        for i, value in enumerate(node):
            check_references(value, f"{where}/{i}")


def check_schema(schema, where):
    if not isinstance(schema, dict):
        return check(False, where, "is no schema:", schema)
    check(not set(schema) - KEYWORDS, where, "has unknown keywords:", sorted(set(schema) - KEYWORDS))
    types = schema.get("type", [])
    check(set([types] if isinstance(types, str) else types) <= TYPES, where, "has unknown types:", types)
    if "minimum" in schema:
        check(schema["minimum"] < schema["maximum"], where, "has no room")
        check(schema["x-out-of-range"] in ("clamped", "refused"), where, "does not say what is out of range")
    properties = schema.get("properties", {})
    check(set(schema.get("required", [])) <= set(properties), where, "requires what it does not have")
    for name, value in properties.items():
        check_schema(value, f"{where}.{name}")
    for i, value in enumerate(schema.get("anyOf", [])):
        check_schema(value, f"{where}|{i}")
    if "items" in schema:
        check_schema(schema["items"], where + "[]")


def check_content(content, where):
    check(len(content) == 1, where, "has content types", list(content))
    for kind, value in content.items():
        check(re.fullmatch(r"[a-z]+/[a-z.+-]+", kind), where, "has no content type:", kind)
        check_schema(value["schema"], where)


def check_parameters(path, operation, where):
    wanted = set(re.findall(r"{(\w+)}", path))
    seen = [(p["in"], p["name"]) for p in operation["parameters"]]
    check(len(seen) == len(set(seen)), where, "names a parameter twice:", seen)
    check({n for i, n in seen if i == "path"} == wanted, where, "declares other path parameters:", seen)
    for p in operation["parameters"]:
        check(p["in"] in ("header", "path", "query") and (p["required"] or p["in"] != "path"), where, "has an odd parameter", p)
        check_schema(p["schema"], f"{where} {p['name']}")


def check_operation(path, method, operation):
    where = f"{method.upper()} {path}"
    check(operation["summary"] and operation["tags"], where, "is not described")
    check_parameters(path, operation, where)
    if any(p["in"] == "header" and p["name"] == "Idempotency-Key" for p in operation["parameters"]):
        keyed.add(where)
    if "requestBody" in operation:
        check_content(operation["requestBody"]["content"], where + " body")
    responses = operation["responses"]
    success = next((s for s in ("101", "204") if s in responses), "200")
    check(success in responses and "default" in responses, where, "has responses", list(responses))
    check_content(responses[success].get("content", {"text/plain": {"schema": {}}}), where + " reply")
    check(("401" in responses) == (operation.get("security") != []), where, "does not say whether it wants a token")
    return operation["operationId"]


check(document["openapi"].startswith("3.1."), "not OpenAPI 3.1 but", document["openapi"])
check(document["info"]["title"] and document["info"]["version"], "no title or version")
check_references(document, "#")
for name, schema in document["components"]["schemas"].items():
    check_schema(schema, name)

ids, told, keyed = [], set(), set()
for path, item in document["paths"].items():
    check(path.startswith("/") and set(item) <= METHODS, path, "is no path")
    for method, operation in item.items():
        ids.append(check_operation(path, method, operation))
        told.add(f"{method.upper()} {path}")
check(len(ids) == len(set(ids)), "operation ids are not unique:", sorted(i for i in ids if ids.count(i) > 1))

routes = {re.sub(r"[:*](\w+)", r"{\1}", " ".join(line.split())) for line in output("--routes").splitlines()}
for any_method in [route for route in routes if route.startswith("* ")]:
    # a row for any method stands for each that has none of its own
    routes.remove(any_method)
    routes |= {method.upper() + any_method[1:] for method in METHODS - {"trace"}}
check(routes == told, "the document and the table differ:", sorted(routes ^ told))
used = set(re.findall(r"#/components/schemas/(\w+)", json.dumps(document)))
unused = set(document["components"]["schemas"]) - used
check(not unused, "schemas that nothing uses:", sorted(unused))
check({"POST /sandbox/sandboxes", "POST /sandbox/sandboxes/{id}/interpret/contexts"} <= keyed and
      "POST /sandbox/sandboxes/{id}/exec" not in keyed, "routes that take an Idempotency-Key:", sorted(keyed))
check(len(told) > 40, "only", len(told), "routes")
sys.exit(1 if failed else 0)
