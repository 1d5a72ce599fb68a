"""An MLLP receiver on the loopback that does one scripted thing to each message, well or badly."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time

START, END = b"\x0b", b"\x1c\r"


def ack_for(message_id: str, code: str = "AA", text: str = "") -> bytes:
    return f"MSH|^~\\&|LIS||MDSEDGE||20261123180100+0900||ACK|77|P|2.5.1\rMSA|{code}|{message_id}|{text}\r".encode()


class Receiver:
    """Listens; the n-th message gets the n-th word of the script, later ones the last word.

    AA AE AR: that answer. silent: none. reset: the connection is cut hard. close: it is closed. foreign: an answer to
    another message, and no other. late-then-AA: first an answer to another message. twice: AA two times. AA-then-AE:
    first accepted, then refused. CA-then-WORD: first its receipt is confirmed, then what WORD says. pieces: AA byte by
    byte. noise: bytes outside frames, an empty and a nonsense frame, then AA.
    """

    def __init__(self, *script: str) -> None:
        self.script = list(script) or ["AA"]
        self.messages: list[bytes] = []
        self.connections = 0
        self._stopped = False
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def __enter__(self) -> Receiver:
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped = True
        # A thread that waits in accept keeps the socket open until it is woken.
        self._server.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._server.close()

    @property
    def ids(self) -> list[str]:
        return [content.split(b"|")[9].decode() for content in self.messages]

    def wait_for(self, count: int, deadline_s: float = 30.0) -> None:
        end = time.monotonic() + deadline_s
        while len(self.messages) < count:
            assert time.monotonic() < end, f"{len(self.messages)} of {count} messages arrived"
            time.sleep(0.01)

    def _accept(self) -> None:
        while not self._stopped:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        buffer = b""
        with connection, contextlib.suppress(OSError):
            while data := connection.recv(65_536):
                buffer += data
                while END in buffer:
                    frame, buffer = buffer.split(END, 1)
                    content = frame.partition(START)[2]
                    word = self.script[min(len(self.messages), len(self.script) - 1)]
                    self.messages.append(content)
                    if not self._act(connection, word, content.split(b"|")[9].decode()):
                        return

    def _act(self, connection: socket.socket, word: str, message_id: str) -> bool:
        good = START + ack_for(message_id) + END
        other = START + ack_for("OTHER.R1") + END
        if word == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return False
        if word == "close":
            return False
        if word == "pieces":
            for index in range(len(good)):
                connection.sendall(good[index : index + 1])
            return True
        if word.startswith("CA-then-"):
            connection.sendall(START + ack_for(message_id, "CA", "received") + END)
            word = word.removeprefix("CA-then-")
            if word == "close":
                return False
        answers = {
            "silent": b"", "foreign": other, "late-then-AA": other + good, "twice": good + good,
            "AA-then-AE": good + START + ack_for(message_id, "AE", "second thoughts") + END,
            "noise": b"\r\nHELLO" + START + END + START + b"no message" + END + b"\x1c" + good,
        }  # fmt: skip
        connection.sendall(answers.get(word, START + ack_for(message_id, word, "as told") + END))
        return True
