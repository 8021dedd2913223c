# SPDX-License-Identifier: LGPL-2.1-or-later
# Runs in a sandbox, in its own python3: executes what comes over descriptor 0 and keeps what it defines. Requests are
# "exec TOKEN LENGTH\n" and the code; answers are "begin", "result", "error" and "done" of the same form. Output is
# not among them: descriptors 1 and 2 are those of the code and of all that it starts. SIGINT is sent between "begin" and
# "done" only.
import ast
import linecache
import os
import signal
import sys
import traceback
import types

LIMIT = 60000
RUNNING = False


def on_interrupt(_signo, _frame):
    # Between two executions there is nothing to interrupt.
    if RUNNING:
        raise KeyboardInterrupt


def send(control, kind, token, text=""):
    data = text.encode("utf-8", "replace")[:LIMIT]
    control.sendall(b"%s %s %d\n" % (kind, token, len(data)) + data)


def evaluate(code, name, names):
    """The value of the last expression, as a notebook shows it."""
    linecache.cache[name] = (len(code), None, code.splitlines(True), name)
    tree = ast.parse(code, name)
    last = None
    if tree.body and isinstance(tree.body[-1], ast.Expr):
        last = ast.Expression(tree.body.pop().value)
    exec(compile(tree, name, "exec"), names)
    if last is None:
        return None
    value = eval(compile(last, name, "eval"), names)
    return None if value is None else repr(value)


def explain(error):
    trace = error.__traceback__
    while trace and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    return "".join(traceback.format_exception(type(error), error, trace))


def run(code, name, names, begin):
    global RUNNING
    try:
        RUNNING = True
        begin()
        return evaluate(code, name, names), None
    except BaseException as e:  # also exit(), which would take all variables along
        RUNNING = False
        return None, explain(e)
    finally:
        RUNNING = False
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError):
                pass


def main():
    import socket
    control = socket.socket(fileno=os.dup(0))
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.close(null)
    requests = control.makefile("rb")
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    sys.argv = [""]
    sys.path.insert(0, "")
    pid, count = os.getpid(), 0
    while True:
        signal.signal(signal.SIGINT, on_interrupt)
        header = requests.readline().split()
        if len(header) != 3:
            return
        token = header[1]
        code = requests.read(int(header[2])).decode("utf-8", "replace")
        count += 1
        try:
            result, error = run(code, f"<cell {count}>", module.__dict__, lambda: send(control, b"begin", token))
        except KeyboardInterrupt:
            result, error = None, "KeyboardInterrupt"
        if os.getpid() != pid:
            os._exit(0)  # the code forked, and this is the child
        if result is not None:
            send(control, b"result", token, result)
        if error is not None:
            send(control, b"error", token, error)
        send(control, b"done", token)


main()
