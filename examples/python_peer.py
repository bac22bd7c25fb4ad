"""A peer of a pleach tree in another language: joins at a door, calls, converses, cancels and is cancelled.

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

MAJOR, MINOR = 1, 0
MAGIC = int.from_bytes(b"plch", "little")
JOIN, HELLO, ANSWER, PROOF, WELCOME = 2, 1, 2, 3, 4  # authentication
(SPAWN_SPEC, START, START_ACK, STARTED, ITEM, CREDIT, STOP, RETURN, ERROR, CANCEL, CANCEL_ACK, PING, PONG, BYE) = range(2, 16)
LARGEST, MORE = 64 * 1024, 1  # of a fragment: its payload, and the flag that it is not the last one
FREE = 4 * 1024  # a message of one fragment that is no item and not longer costs nothing


class Refused(Exception):
    """The door did not let us in, or we do not trust it."""


class Gone(Exception):
    """The tree has said goodbye."""


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
        self.number, self.owed = 0, 0  # the connection is dialog 0 where credit is given back
        self.authenticate(key)
        self.hello()

    # Bytes

    def read(self, count):
        part = self.incoming.read(count)
        if len(part) < count:
            raise Gone("the connection has ended")
        return part

    def authenticate(self, key):
        def header(message):
            return b"plch" + bytes([MAJOR, message, JOIN, 0])

        def mac(role, said):
            return hmac.digest(key, b"pleach " + role + hashlib.sha256(said).digest(), "sha256")

        def expect(message):
            if self.read(8) != header(message):
                raise Refused("the door refused us")

        said = header(HELLO) + os.urandom(32)
        self.socket.sendall(said)
        expect(ANSWER)
        said += header(ANSWER) + self.read(32)
        tag = self.read(32)
        if not hmac.compare_digest(tag, mac(b"acceptor", said)):
            raise Refused("it has not the same key")
        self.socket.sendall(header(PROOF) + mac(b"initiator", said + tag))
        expect(WELCOME)

    def hello(self):
        kind, _, _, payload = self.fragment()
        theirs = msgpack.unpackb(payload)
        assert kind == HELLO and theirs["magic"] == MAGIC, "it is no pleach"
        assert theirs["major"] == MAJOR, f"it speaks version {theirs['major']} of the protocol"
        assert "msgpack" in theirs["codecs"], f"no codec in common: it has {theirs['codecs']}"
        answer = {"magic": MAGIC, "major": MAJOR, "minor": MINOR, "tree": theirs["tree"], "pid": os.getpid(),
                  "codecs": ["msgpack"], "chosen": "msgpack", "max_message": 1 << 20}
        self.send(HELLO, 0, msgpack.packb(answer))

    def send(self, kind, dialog, payload=b""):
        for at in range(0, max(len(payload), 1), LARGEST):
            part = payload[at:at + LARGEST]
            more = MORE if at + LARGEST < len(payload) else 0
            self.socket.sendall(struct.pack("<IBBHQ", len(part), kind, more, 0, dialog) + part)

    def fragment(self):
        length, kind, flags, _cpu, dialog = struct.unpack("<IBBHQ", self.read(16))
        assert length <= LARGEST and flags <= MORE, "it is not this protocol"
        return kind, dialog, flags & MORE, self.read(length)

    # Messages

    def pump(self):
        """Takes one fragment in."""
        kind, number, more, payload = self.fragment()
        if kind == PING:
            return self.send(PONG, 0)
        if kind == BYE:
            raise Gone("the tree has said goodbye")
        dialog = self.dialogs.get(number)
        cost = 16 + len(payload)
        if kind == ITEM or (kind in (STARTED, RETURN, ERROR) and (more or len(payload) > FREE)):
            self.give_back(self, cost, 8 << 20)
        if dialog is None or kind in (CREDIT, CANCEL_ACK, PONG):
            return None  # what we send is small, so we never wait for credit
        if kind == ITEM:
            self.give_back(dialog, cost, 1 << 19)
        dialog.partial += payload
        if not more:
            whole, dialog.partial = dialog.partial, b""
            dialog.take(kind, whole)

    def give_back(self, owner, cost, half):
        """Notes what was consumed, and gives the credit back when that is half of it."""
        owner.owed += cost
        if owner.owed >= half:
            self.send(CREDIT, owner.number, struct.pack("<Q", owner.owed))
            owner.owed = 0

    def open(self, endpoint, *arguments, call=False):
        dialog = self.dialogs[self.next_dialog] = Dialog(self, self.next_dialog)
        self.next_dialog += 2
        name = endpoint.encode()
        # No signature and version 0: unchecked. No deadline. No arguments are nil, not an empty list.
        start = struct.pack("<BQIQH", call, 0, 0, 0, len(name)) + name + msgpack.packb(list(arguments) or None)
        self.send(START, dialog.number, start)
        return dialog

    def call(self, endpoint, *arguments):
        return self.open(endpoint, *arguments, call=True).result()


class Dialog:
    def __init__(self, peer, number):
        self.peer, self.number = peer, number
        self.partial, self.owed = b"", 0
        self.items, self.stopped, self.outcome = [], False, None

    def take(self, kind, payload):
        if kind in (STARTED, ITEM):  # what it is started with comes before all items
            self.items.append(msgpack.unpackb(payload))
        elif kind == STOP:
            self.stopped = True
        elif kind in (RETURN, ERROR):
            self.outcome = (kind, msgpack.unpackb(payload, strict_map_key=False))
            del self.peer.dialogs[self.number]

    def until(self, done):
        while not done() and self.outcome is None:
            self.peer.pump()

    def started(self):
        self.until(lambda: self.items)
        return self.items.pop(0) if self.items else self.result()

    def send(self, value):
        self.peer.send(ITEM, self.number, msgpack.packb(value))

    def recv(self):
        """The next item, or None after the last one."""
        self.until(lambda: self.items or self.stopped)
        return self.items.pop(0) if self.items else None

    def stop(self):
        self.peer.send(STOP, self.number)

    def cancel(self, why):
        self.peer.send(CANCEL, self.number, msgpack.packb({"Explicit": {"by": "python", "message": why}}))

    def result(self):
        self.until(lambda: False)
        kind, value = self.outcome
        if kind == ERROR:
            raise RemoteError(value)
        return value


def failure(what):
    """What it fails with, as it must."""
    try:
        what()
    except (RemoteError, Refused, Gone) as error:
        return error
    raise AssertionError("it was to fail")


def main(path, key_file):
    with open(key_file, encoding="ascii") as file:
        key = bytes.fromhex(file.read())
    peer = Peer(path, key)
    print("called:", peer.call("double", 21))

    talk = peer.open("doubles", 3)
    print("started:", talk.started())
    for number in range(5):
        talk.send(number)
        assert talk.recv() == 3 * number
    talk.stop()
    print("streamed:", talk.result())
    large = peer.open("sends_large", 40, 100_000)
    large.started()
    print("large:", sum(len(item) for item in iter(large.recv, None)), large.result())

    sleeper = peer.open("sleeps")
    sleeper.started()
    sleeper.cancel("enough")
    cancelled = failure(sleeper.result)
    print("cancelled:", cancelled.kind, cancelled.chain[0])

    hidden, unknown = failure(lambda: peer.call("hidden")), failure(lambda: peer.call("unknown"))
    assert hidden.message.replace("hidden", "unknown") == unknown.message, unknown.message
    print("refused:", hidden.kind, hidden.message)
    print("wrong key:", failure(lambda: Peer(path, bytes(32))))

    sleeper = peer.open("sleeps")
    sleeper.started()
    revoking = peer.open("revoke", call=True)
    print("revoked:", failure(sleeper.result).chain[0])
    print("sent away:", type(failure(lambda: (revoking.result(), peer.pump()))).__name__)
    print("old key:", failure(lambda: Peer(path, key)))


if __name__ == "__main__":
    main(*sys.argv[1:])
