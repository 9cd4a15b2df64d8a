"""``python -m benchmarks.lossy MILLISECONDS LOSS RATE``: two network namespaces, and between them a
link that delays each packet and loses some of them at random. Needs root, Linux and iproute2.

Each namespace has a TUN device, 10.77.0.1 in the first and 10.77.0.2 in the second, and no route to
anywhere else. What one sends is read here and given to the other MILLISECONDS later, unless it is
lost: with the probability LOSS, each way. The line carries RATE bytes a second each way; what would
have to wait for more than QUEUE seconds before it is lost, too. Prints "ready" when all stands, and
takes it away once its standard input ends.
"""

from __future__ import annotations

import collections
import fcntl
import os
import random
import select
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

SPACES = ("integrity-near", "integrity-far")
ADDRESSES = ("10.77.0.1", "10.77.0.2")
MTU = 1500
QUEUE = 0.1
_AT_ONCE = 64
_TUNSETIFF = 0x400454CA
_TUN_WITHOUT_INFORMATION = 0x0001 | 0x1000


@contextmanager
def end(space: str, device: str, address: str) -> Iterator[int]:
    """A namespace with a device in it -> the descriptor that stands for the wire."""
    subprocess.run(["ip", "netns", "add", space], check=True)
    wire = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    try:
        request = struct.pack("16sH22x", device.encode(), _TUN_WITHOUT_INFORMATION)
        fcntl.ioctl(wire, _TUNSETIFF, request)
        subprocess.run(["ip", "link", "set", device, "netns", space], check=True)
        for command in (
            # A queue so long that all loss is the link's.
            f"link set {device} mtu {MTU} txqueuelen 20000 up",
            f"addr add {address}/24 dev {device}",
            "link set lo up",
        ):
            subprocess.run(["ip", "-n", space, *command.split()], check=True)
        yield wire
    finally:
        os.close(wire)
        subprocess.run(["ip", "netns", "del", space], check=True)


class Way:
    """One direction of the link."""

    def __init__(
        self, source: int, target: int, delay: float, loss: float, rate: float, seed: int
    ) -> None:
        self.source = source
        self.target = target
        self.delay = delay
        self.loss = loss
        self.rate = rate
        self.free_at = 0.0
        self.chance = random.Random(seed)
        self.packets: collections.deque[tuple[float, bytes]] = collections.deque()

    def take(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                packet = os.read(self.source, MTU)
            except BlockingIOError:
                return
            now = time.monotonic()
            begins = max(now, self.free_at)
            if begins - now <= QUEUE:
                self.free_at = begins + len(packet) / self.rate
                if self.chance.random() >= self.loss:
                    self.packets.append((self.free_at + self.delay, packet))

    def give(self) -> float:
        """Hand over what is due -> when there is more."""
        while self.packets and self.packets[0][0] <= time.monotonic():
            try:
                os.write(self.target, self.packets.popleft()[1])
            except OSError:
                continue  # the device takes no more: one more that is lost
        return self.packets[0][0] if self.packets else float("inf")


def carry(ways: list[Way]) -> None:
    """Until standard input ends."""
    while True:
        soon = min(way.give() for way in ways)
        wait = max(0.0, min(1.0, soon - time.monotonic()))
        ready = select.select([0, *(way.source for way in ways)], (), (), wait)[0]
        if 0 in ready:
            return
        for way in ways:
            if way.source in ready:
                way.take()


def main(delay: float, loss: float, rate: float) -> None:
    devices = [f"lossy{os.getpid() % 1_000_000}{side}" for side in "ab"]
    with (
        end(SPACES[0], devices[0], ADDRESSES[0]) as near,
        end(SPACES[1], devices[1], ADDRESSES[1]) as far,
    ):
        print("ready", flush=True)
        carry([Way(near, far, delay, loss, rate, 1), Way(far, near, delay, loss, rate, 2)])


if __name__ == "__main__":
    main(float(sys.argv[1]) / 1000, float(sys.argv[2]), float(sys.argv[3]))
