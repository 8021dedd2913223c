# SPDX-License-Identifier: LGPL-2.1-or-later
"""The world outside, in a network namespace of its own: tells each caller who he seems to be, answers every question
about a name with one address, and remembers what came by UDP."""
import socket
import struct
import sys
import threading

ADDRESS, LOG = sys.argv[1:]


def serve(family, kind, port, handler):
    s = socket.socket(family, kind)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("", port))
    if kind == socket.SOCK_STREAM:
        s.listen(64)
    threading.Thread(target=handler, args=(s,)).start()


def tell(s):
    while True:
        c, peer = s.accept()
        c.sendall(peer[0].encode())
        c.close()


def answer(s):
    while True:
        query, peer = s.recvfrom(512)
        end = query.index(b"\0", 12) + 5
        wants_a = query[end - 4:end - 2] == b"\0\1"
        reply = query[:2] + b"\x81\x80\0\1" + struct.pack(">H", wants_a) + b"\0\0\0\0" + query[12:end]
        if wants_a:
            reply += b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + socket.inet_aton(ADDRESS)
        s.sendto(reply, peer)


def remember(s):
    while True:
        data, peer = s.recvfrom(512)
        with open(LOG, "a", encoding="ascii") as f:
            f.write(f"{peer[0]} {data.decode()}\n")


serve(socket.AF_INET, socket.SOCK_STREAM, 80, tell)
serve(socket.AF_INET, socket.SOCK_DGRAM, 53, answer)
serve(socket.AF_INET, socket.SOCK_DGRAM, 9, remember)
print("ready", flush=True)
