"""Networks of the lab: bridges with a subnet each, from which the world is reached, as Docker's default one has."""

from __future__ import annotations

import contextlib
import fcntl
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from tests.lab.run import CommandFailed, run

LOCKS: Final = Path("/run/lock/layercache-lab")
"""A file for each bridge of this machine; who has it locked owns the bridge. The lock ends with its process."""
FORWARDING: Final = Path("/proc/sys/net/ipv4/ip_forward")


@dataclass(frozen=True, slots=True)
class Bridge:
    """The number is the third byte of its addresses."""

    number: int

    @property
    def name(self) -> str:
        return f"lclab{self.number}"

    @property
    def port(self) -> str:
        """The end of its guest's cable that is plugged in here."""
        return f"{self.name}v"

    @property
    def address(self) -> str:
        """Of its interface. One that it was not given would change as guests come and go, and those that remember the
        old one would send to nobody for a while."""
        return f"02:42:0a:d5:{self.number:02x}:01"

    @property
    def subnet(self) -> str:
        return f"10.213.{self.number}.0/24"

    @property
    def gateway(self) -> str:
        """This machine's address on the bridge."""
        return f"10.213.{self.number}.1"

    @property
    def guest(self) -> str:
        """The address of the only guest of a bridge where nobody else gives any out."""
        return f"10.213.{self.number}.2"

    @property
    def rules(self) -> tuple[tuple[str, ...], ...]:
        return (
            ("nat", "POSTROUTING", "-s", self.subnet, "!", "-o", self.name, "-j", "MASQUERADE"),
            ("filter", "FORWARD", "-i", self.name, "-j", "ACCEPT"),
            ("filter", "FORWARD", "-o", self.name, "-j", "ACCEPT"),
        )


@contextlib.contextmanager
def open_bridge() -> Iterator[Bridge]:
    """A new bridge that no other run uses; it and its rules go at the end, or when its number is given out again."""
    with contextlib.ExitStack() as stack:
        bridge = Bridge(stack.enter_context(_free_number()))
        _forget(bridge)
        run(["ip", "link", "add", bridge.name, "address", bridge.address, "type", "bridge"])
        stack.callback(run, ["ip", "link", "delete", bridge.name])
        run(["ip", "address", "add", f"{bridge.gateway}/24", "dev", bridge.name])
        run(["ip", "link", "set", bridge.name, "up"])
        if FORWARDING.read_text().strip() == "0":
            FORWARDING.write_text("1")
        for rule in bridge.rules:
            stack.enter_context(firewall(rule))
        yield bridge


@contextlib.contextmanager
def firewall(rule: tuple[str, ...]) -> Iterator[None]:
    """A rule, `(table, chain, *words)`, at the head of its chain for a while."""
    table, chain, *words = rule
    run(["iptables", "--wait", "-t", table, "-I", chain, *words])
    try:
        yield
    finally:
        run(["iptables", "--wait", "-t", table, "-D", chain, *words])


def _forget(bridge: Bridge) -> None:
    """Removes what a run that was killed left."""
    for table in ("nat", "filter"):
        for line in run(["iptables", "--wait", "-t", table, "-S"]).splitlines():
            words = shlex.split(line)
            if words[0] == "-A" and bridge.name in words:
                run(["iptables", "--wait", "-t", table, "-D", *words[1:]])
    for name in (bridge.port, bridge.name):
        with contextlib.suppress(CommandFailed):
            run(["ip", "link", "delete", name])


@contextlib.contextmanager
def _free_number() -> Iterator[int]:
    LOCKS.mkdir(parents=True, exist_ok=True)
    for number in range(256):
        with (LOCKS / str(number)).open("w") as file:
            if _lock(file):
                yield number
                return
    raise RuntimeError(f"all of the lab's bridges are in use: {LOCKS}")


def _lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def guest(bridge: Bridge, allowed: str) -> Iterator[Path]:
    """A network namespace on the bridge from which the world is reached, but of this machine only `allowed`, a
    host:PORT on the bridge. Gives the file for `nsenter --net`."""
    with contextlib.ExitStack() as stack:
        # cat ends with its input, and so does the namespace, with whatever is connected to it
        holder = stack.enter_context(
            subprocess.Popen(["unshare", "--net", "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        )
        assert holder.stdin is not None
        assert holder.stdout is not None
        holder.stdin.write(b"\n")
        holder.stdin.flush()
        holder.stdout.readline()
        stack.enter_context(firewall(("filter", "INPUT", "-i", bridge.name, "-j", "REJECT")))
        port = allowed.rpartition(":")[2]
        accept = ("-i", bridge.name, "-p", "tcp", "-d", bridge.gateway, "--dport", port, "-j", "ACCEPT")
        stack.enter_context(firewall(("filter", "INPUT", *accept)))
        inside = Path(f"/proc/{holder.pid}/ns/net")
        run(["ip", "link", "add", bridge.port, "type", "veth", "peer", "name", "eth0", "netns", str(holder.pid)])
        # the kernel takes its time to remove what was in a namespace, and the next run may want the name at once
        stack.callback(run, ["ip", "link", "delete", bridge.port])
        run(["ip", "link", "set", bridge.port, "master", bridge.name, "up"])
        enter = ["nsenter", f"--net={inside}"]
        for words in (
            ["link", "set", "lo", "up"],
            ["address", "add", f"{bridge.guest}/24", "dev", "eth0"],
            ["link", "set", "eth0", "up"],
            ["route", "add", "default", "via", bridge.gateway],
        ):
            run([*enter, "ip", *words])
        yield inside
