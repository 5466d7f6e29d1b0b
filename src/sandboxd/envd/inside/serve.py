"""The loop: messages in, answers out, and what happens meanwhile.

A message is one packet of JSON with descriptors beside it: ``{"id", "do", ...}``. Answers carry the same
``id`` and ``ok``, ``error``, ``part`` (of a listing), ``exit`` (of a program) or ``events`` (of a watch).
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import socket
import threading
from functools import partial
from pathlib import Path
from typing import Any

from sandboxd.envd.inside import files
from sandboxd.envd.inside.programs import Program, drained
from sandboxd.envd.inside.watch import Watch

MESSAGE_BYTES = 1 << 20
DESCRIPTORS = 8
EVENTS = 100


class Server:
    """Serves one socket until its other end is closed, and then until the programs it started have ended."""

    def __init__(self, link: socket.socket) -> None:
        self._link, self._open = link, True
        self._saying = threading.Lock()
        self._ready = selectors.DefaultSelector()
        self._programs: dict[int, Program] = {}
        self._watches: dict[int, Watch] = {}
        self._ready.register(link, selectors.EVENT_READ, self._heard)

    def run(self) -> None:
        """Serve."""
        while self._ready.get_map():
            for key, _ in self._ready.select():
                key.data()

    def _heard(self) -> None:
        try:
            data, descriptors, _, _ = socket.recv_fds(self._link, MESSAGE_BYTES, DESCRIPTORS)
        except OSError:
            data, descriptors = b"", []
        if not data:
            self._left()
            return
        asked = json.loads(data)
        if asked["do"] in ("list", "remove", "read", "write"):
            self._aside(asked, descriptors)
        else:
            self._answer(asked, descriptors)

    def _left(self) -> None:
        """Go on without whoever asked."""
        self._open = False
        self._ready.unregister(self._link)
        for number in list(self._watches):
            self._end_watch(number)
        for number, program in list(self._programs.items()):
            self._drain(program)
            if program.process.returncode is not None:
                del self._programs[number]

    def _aside(self, asked: dict[str, Any], descriptors: list[int]) -> None:
        """Do what may take long in a thread of its own."""
        try:
            threading.Thread(target=self._answer, args=(asked, descriptors), daemon=True).start()
        except RuntimeError:
            self._fail(asked["id"], BlockingIOError(11, "no thread"))
            _close(descriptors)

    def _answer(self, asked: dict[str, Any], descriptors: list[int]) -> None:
        number = asked["id"]
        try:
            do = getattr(self, f"_do_{asked['do']}")
            do(number, asked, descriptors)
        except BrokenPipeError:
            return  # whoever wanted it is gone
        except (OSError, ValueError, OverflowError, KeyError) as error:
            self._fail(number, error)
        finally:
            _close(descriptors)

    def _do_stat(self, number: int, asked: dict[str, Any], _: list[int]) -> None:
        self._say(number, ok=files.entry(files.located(asked["home"], asked["path"])))

    def _do_make_dir(self, number: int, asked: dict[str, Any], _: list[int]) -> None:
        self._say(number, ok=files.make_dir(files.located(asked["home"], asked["path"])))

    def _do_move(self, number: int, asked: dict[str, Any], _: list[int]) -> None:
        source, target = (files.located(asked["home"], asked[name]) for name in ("path", "to"))
        self._say(number, ok=files.move(source, target))

    def _do_remove(self, number: int, asked: dict[str, Any], _: list[int]) -> None:
        files.remove(files.located(asked["home"], asked["path"]))
        self._say(number, ok=None)

    def _do_list(self, number: int, asked: dict[str, Any], _: list[int]) -> None:
        for part in files.listing(files.located(asked["home"], asked["path"]), asked["depth"]):
            self._say(number, part=part)
        self._say(number, ok=None)

    def _do_read(self, number: int, asked: dict[str, Any], descriptors: list[int]) -> None:
        path = files.located(asked["home"], asked["path"])
        files.read(path, descriptors[0], lambda told: self._say(number, ok=told))

    def _do_write(self, number: int, asked: dict[str, Any], descriptors: list[int]) -> None:
        path = files.located(asked["home"], asked["path"])
        self._say(number, ok=files.write(path, descriptors[0], asked["metadata"]))

    def _do_start(self, number: int, asked: dict[str, Any], descriptors: list[int]) -> None:
        program = Program(asked, [*descriptors[:-2], *map(os.dup, descriptors[-2:])])
        self._programs[number] = program
        self._ready.register(program.ended, selectors.EVENT_READ, partial(self._ended, number))
        terminals = [] if program.terminal is None else [program.terminal]
        self._say(number, terminals, ok={"pid": program.process.pid})

    def _do_drain(self, number: int, asked: dict[str, Any], _: list[int]) -> None:
        if asked["program"] in self._programs:
            self._drain(self._programs[asked["program"]])
            if self._programs[asked["program"]].process.returncode is not None:
                del self._programs[asked["program"]]
        self._say(number, ok=None)

    def _do_watch(self, number: int, asked: dict[str, Any], _: list[int]) -> None:
        path = files.located(asked["home"], asked["path"])
        watch = Watch(path, recursive=asked["recursive"], entries=asked["entries"])
        self._watches[number] = watch
        self._ready.register(watch.descriptor, selectors.EVENT_READ, partial(self._changed, number))
        self._say(number, ok=None)

    def _do_unwatch(self, number: int, asked: dict[str, Any], _: list[int]) -> None:
        self._end_watch(asked["watch"])
        self._say(number, ok=None)

    def _ended(self, number: int) -> None:
        program = self._programs[number]
        self._ready.unregister(program.ended)
        status = program.finish()
        if not self._open:
            del self._programs[number]
        self._say(number, exit=status)

    def _drain(self, program: Program) -> None:
        for descriptor in program.outputs():
            self._ready.register(descriptor, selectors.EVENT_READ, partial(self._drain_one, descriptor))

    def _drain_one(self, descriptor: int) -> None:
        if drained(descriptor):
            self._ready.unregister(descriptor)
            os.close(descriptor)

    def _changed(self, number: int) -> None:
        try:
            events = self._watches[number].events()
        except (OSError, OverflowError) as error:
            self._end_watch(number)
            self._fail(number, error)
            return
        for begin in range(0, len(events), EVENTS):
            self._say(number, events=events[begin : begin + EVENTS])

    def _end_watch(self, number: int) -> None:
        watch = self._watches.pop(number, None)
        if watch is not None:
            self._ready.unregister(watch.descriptor)
            watch.close()

    def _fail(self, number: int, error: Exception) -> None:
        text = getattr(error, "strerror", None) or str(error)
        name = getattr(error, "filename", None)
        told = {"kind": type(error).__name__, "errno": getattr(error, "errno", None)}
        told["text"] = text if name is None else f"{files.shown(str(name))}: {text}"
        self._say(number, error=told)

    def _say(self, number: int, descriptors: list[int] | None = None, **told: Any) -> None:
        data = json.dumps({"id": number, **told}).encode()
        with self._saying, contextlib.suppress(OSError):
            socket.send_fds(self._link, [data], descriptors or [])


def _close(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def main(link: socket.socket) -> None:
    """Serve a socket."""
    with contextlib.suppress(OSError):  # so that `pkill python3` does not hit it
        Path("/proc/self/comm").write_text("envd")
    threading.stack_size(1 << 18)
    Server(link).run()
