"""A peer of a pleach tree in another language: joins at a door, calls, streams and is cancelled.

Needs nothing but the standard library and `msgpack`. The protocol is in docs/protocol.md.

    python3 examples/python_peer.py SOCKET KEY_FILE
"""

import hashlib
import hmac
import os
import socket
import struct
import sys

import msgpack

MAJOR, MINOR, JOIN = 1, 0, 2  # the version of the protocol, and the purpose of the connection
MAGIC = int.from_bytes(b"plch", "little")
HELLO, START, STARTED, ITEM, CREDIT, STOP = 1, 3, 5, 6, 7, 8  # kinds of messages
RETURN, ERROR, CANCEL, CANCEL_ACK, PING, PONG, BYE = range(9, 16)
LARGEST = 64 * 1024  # the most in a fragment
FREE = 4 * 1024  # a message of one fragment that is no item and not longer costs nothing


class RemoteError(Exception):
    """A failure of the other side, as data: `kind`, `message`, `chain` and more."""

    def __getattr__(self, field):
        return self.args[0][field]


class Peer:
    def __init__(self, path, key):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(10)
        self.socket.connect(path)
        self.incoming = self.socket.makefile("rb")
        self.dialogs, self.next_dialog = {}, 1  # those of the joiner are odd
        self.authenticate(key)
        self.hello()

    def read(self, count):
        part = self.incoming.read(count)
        if len(part) < count:
            raise ConnectionError("the connection has ended")
        return part

    def authenticate(self, key):
        def header(message):
            return b"plch" + bytes([MAJOR, message, JOIN, 0])

        def tag(role, said):
            return hmac.digest(key, b"pleach " + role + hashlib.sha256(said).digest(), "sha256")

        said = header(1) + os.urandom(32)
        self.socket.sendall(said)
        if self.read(8) != header(2):
            raise ConnectionError("the door refused us")
        said += header(2) + self.read(32)
        theirs = self.read(32)
        if not hmac.compare_digest(theirs, tag(b"acceptor", said)):
            raise ConnectionError("it has not the same key")
        self.socket.sendall(header(3) + tag(b"initiator", said + theirs))
        if self.read(8) != header(4):
            raise ConnectionError("the door refused us")

    def hello(self):
        kind, _, _, payload = self.fragment()
        hello = msgpack.unpackb(payload)
        assert kind == HELLO and hello["magic"] == MAGIC, "it is no pleach"
        assert hello["major"] == MAJOR, f"it speaks version {hello['major']} of the protocol"
        assert "msgpack" in hello["codecs"], f"no codec in common: it has {hello['codecs']}"
        answer = {"magic": MAGIC, "major": MAJOR, "minor": MINOR, "tree": hello["tree"],
                  "pid": os.getpid(), "codecs": ["msgpack"], "chosen": "msgpack",
                  "max_message": 1 << 20}
        self.send(HELLO, 0, msgpack.packb(answer))

    def send(self, kind, dialog, payload=b""):
        """Sends a message. Ours are small, so we never wait for credit."""
        for at in range(0, max(len(payload), 1), LARGEST):
            part, more = payload[at:at + LARGEST], at + LARGEST < len(payload)
            self.socket.sendall(struct.pack("<IBBHQ", len(part), kind, more, 0, dialog) + part)

    def fragment(self):
        length, kind, flags, _cpu, dialog = struct.unpack("<IBBHQ", self.read(16))
        assert length <= LARGEST and flags <= 1, "it is not this protocol"
        return kind, dialog, flags == 1, self.read(length)

    def pump(self):
        """Takes one fragment in. The credit that it has cost is given back at once."""
        kind, number, more, payload = self.fragment()
        if kind == PING:
            self.send(PONG, 0)
        if kind == BYE:
            raise ConnectionError("the tree has said goodbye")
        credit = struct.pack("<Q", 16 + len(payload))
        is_large = more or len(payload) > FREE
        if kind == ITEM or kind in (STARTED, RETURN, ERROR) and is_large:
            self.send(CREDIT, 0, credit)
        if kind == ITEM:
            self.send(CREDIT, number, credit)
        if kind in (STARTED, ITEM, STOP, RETURN, ERROR):
            self.dialogs[number].take(kind, more, payload)

    def open(self, endpoint, *arguments, call=False):
        dialog = self.dialogs[self.next_dialog] = Dialog(self, self.next_dialog)
        self.next_dialog += 2
        name = endpoint.encode()
        # Nothing is checked, and there is no deadline. No arguments are nil, not an empty list.
        head = struct.pack("<BQIQH", call, 0, 0, 0, len(name)) + name
        self.send(START, dialog.number, head + msgpack.packb(list(arguments) or None))
        return dialog

    def call(self, endpoint, *arguments):
        return self.open(endpoint, *arguments, call=True).result()


class Dialog:
    def __init__(self, peer, number):
        self.peer, self.number = peer, number
        self.partial, self.items = b"", []
        self.stopped, self.outcome = False, None

    def take(self, kind, more, payload):
        self.partial += payload
        if more:
            return
        whole, self.partial = self.partial, b""
        self.stopped = kind in (STOP, RETURN, ERROR)
        if kind in (STARTED, ITEM):
            self.items.append(msgpack.unpackb(whole))
        if kind in (RETURN, ERROR):
            self.outcome = kind, msgpack.unpackb(whole, strict_map_key=False)
            del self.peer.dialogs[self.number]

    def send(self, value):
        self.peer.send(ITEM, self.number, msgpack.packb(value))

    def recv(self):
        """What it has started with, then its items, then None."""
        while not self.items and not self.stopped:
            self.peer.pump()
        return self.items.pop(0) if self.items else None

    def stop(self):
        self.peer.send(STOP, self.number)

    def cancel(self, why):
        reason = {"Explicit": {"by": "python", "message": why}}
        self.peer.send(CANCEL, self.number, msgpack.packb(reason))

    def result(self):
        while self.outcome is None:
            self.peer.pump()
        kind, value = self.outcome
        if kind == ERROR:
            raise RemoteError(value)
        return value


def failure(what):
    """What it fails with, as it must."""
    try:
        what()
    except (RemoteError, ConnectionError) as error:
        return error
    raise AssertionError("it was to fail")


def main(path, key_file):
    with open(key_file, encoding="ascii") as file:
        key = bytes.fromhex(file.read())
    peer = Peer(path, key)
    print("called:", peer.call("double", 21))

    talk = peer.open("doubles", 3)
    print("started:", talk.recv())
    for number in range(5):
        talk.send(number)
        assert talk.recv() == 3 * number
    talk.stop()
    print("streamed:", talk.result())
    large = peer.open("sends_large", 40, 100_000)
    large.recv()
    print("large:", sum(len(item) for item in iter(large.recv, None)), large.result())

    sleeper = peer.open("sleeps")
    sleeper.recv()
    sleeper.cancel("enough")
    cancelled = failure(sleeper.result)
    print("cancelled:", cancelled.kind, cancelled.chain[0])

    hidden, unknown = failure(lambda: peer.call("hidden")), failure(lambda: peer.call("unknown"))
    assert hidden.message.replace("hidden", "unknown") == unknown.message, unknown.message
    print("refused:", hidden.kind, hidden.message)
    print("wrong key:", failure(lambda: Peer(path, bytes(32))))

    sleeper = peer.open("sleeps")
    sleeper.recv()
    revoking = peer.open("revoke", call=True)
    print("revoked:", failure(sleeper.result).chain[0])
    print("sent away:", failure(lambda: (revoking.result(), peer.pump())))
    print("old key:", failure(lambda: Peer(path, key)))


if __name__ == "__main__":
    main(*sys.argv[1:])
