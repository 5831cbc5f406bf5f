"""What the queue handed out, read from its answers on their way through the proxy."""

import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A message handed out once; ``receive_count`` is the queue's own count."""

    message_id: str
    entity_id: str
    receive_count: int
    at: float


class Receipts:
    """Every message in every answer of the queue, whether it arrived or not."""

    def __init__(self) -> None:
        self.all: list[Receipt] = []

    def tap(self) -> Callable[[bytes], None]:
        """Give somebody who listens to what the server answers on one connection."""
        heard = bytearray()

        def hear(chunk: bytes) -> None:
            heard.extend(chunk)
            while (body := _cut_off(heard)) is not None:
                if b'"ReceiptHandle"' in body:
                    self.all += map(_receipt, json.loads(body)["Messages"])

        return hear

    def by_message(self) -> Counter[str]:
        """How often each message was handed out."""
        return Counter(receipt.message_id for receipt in self.all)


def _cut_off(heard: bytearray) -> bytes | None:
    """Take the first whole answer off; gives its body."""
    head, end, _ = bytes(heard).partition(b"\r\n\r\n")
    if not end:
        return None
    lengths = [
        int(line.partition(b":")[2])
        for line in head.lower().split(b"\r\n")
        if line.startswith(b"content-length:")
    ]
    whole = len(head) + len(end) + sum(lengths)
    if len(heard) < whole:
        return None
    body = bytes(heard[len(head) + len(end) : whole])
    del heard[:whole]
    return body


def _receipt(message: Any) -> Receipt:
    return Receipt(
        message_id=message["MessageId"],
        entity_id=json.loads(message["Body"])["entity_id"],
        receive_count=int(message["Attributes"]["ApproximateReceiveCount"]),
        at=time.time(),
    )
