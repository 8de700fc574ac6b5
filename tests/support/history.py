"""A history such as people make, deterministic from a seed, as a stream for ``git fast-import``.

In: a seed and a size. Out: bytes. Files in folders grow and change by a few lines a commit, are
added, renamed and removed; side branches are merged; now and then a release is tagged. What deltas,
negotiation and walks cost on it resembles what they cost on a real project.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

WORDS = """
object tree commit blob tag pack index delta base want have common ref branch merge parent
author reader writer buffer stream packet socket server client fetch push clone shallow depth
return value error result option limit count size offset entry header trailer window cache
""".split()

EPOCH = 1_600_000_000


@dataclass(frozen=True, slots=True)
class HistoryShape:
    """How much of everything."""

    commits: int = 100
    files: int = 40
    """Files of the first commit; about one more for every ten commits comes later."""
    lines: int = 60
    """Lines of a new file, on average."""
    merge_every: int = 9
    tag_every: int = 25
    branch: str = "main"


@dataclass(slots=True)
class _Project:
    rng: random.Random
    shape: HistoryShape
    files: dict[str, list[str]] = field(default_factory=dict)
    mark: int = 0
    clock: int = EPOCH

    def line(self) -> str:
        rng = self.rng
        indent = "    " * rng.randrange(4)
        words = " ".join(rng.choices(WORDS, k=rng.randint(2, 9)))
        return f"{indent}{words} {rng.randrange(10_000)}"

    def new_path(self) -> str:
        rng = self.rng
        folders = "/".join(rng.choices(WORDS[:20], k=rng.randint(0, 3)))
        name = f"{rng.choice(WORDS)}_{rng.randrange(100_000)}.txt"
        return f"{folders}/{name}" if folders else name

    def add_file(self) -> str:
        path = self.new_path()
        count = max(3, int(self.rng.gauss(self.shape.lines, self.shape.lines / 3)))
        self.files[path] = [self.line() for _ in range(count)]
        return path

    def edit(self, path: str) -> None:
        lines, rng = self.files[path], self.rng
        at = rng.randrange(len(lines) + 1)
        del lines[at : at + rng.randrange(3)]
        lines[at:at] = [self.line() for _ in range(rng.randint(1, 4))]

    def stored(self, path: str) -> bytes:
        content = ("\n".join(self.files[path]) + "\n").encode()
        return b"M 100644 inline %s\n%s" % (path.encode(), data(content))

    def change(self) -> bytes:
        """What one commit does to the files."""
        rng = self.rng
        touched = {self.pick() for _ in range(rng.randint(1, 4))}
        for path in sorted(touched):
            self.edit(path)
        if rng.random() < 0.1:
            touched.add(self.add_file())
        out = [self.stored(path) for path in sorted(touched)]
        if rng.random() < 0.02 and len(self.files) > 10:
            leaving = self.pick()
            arriving = self.new_path()
            self.files[arriving] = self.files.pop(leaving)
            out.append(b"R %s %s\n" % (leaving.encode(), arriving.encode()))
        elif rng.random() < 0.02 and len(self.files) > 10:
            leaving = self.pick()
            del self.files[leaving]
            out.append(b"D %s\n" % leaving.encode())
        return b"".join(out)

    def pick(self) -> str:
        # Some files change again and again, most hardly ever.
        paths = list(self.files)
        return paths[int(len(paths) * self.rng.random() ** 2)]

    def commit(self, ref: str, parents: list[str], change: bytes) -> bytes:
        self.mark += 1
        self.clock += self.rng.randint(60, 20_000)
        number = self.rng.randrange(12)
        who = b"Person %d <person%d@example.org> %d +0000" % (number, number, self.clock)
        subject = " ".join(self.rng.choices(WORDS, k=5)).encode()
        out = [b"commit %s\nmark :%d\n" % (ref.encode(), self.mark)]
        out += [b"author %s\ncommitter %s\n" % (who, who), data(subject + b"\n")]
        for word, parent in zip(("from", "merge"), parents, strict=False):
            out.append(f"{word} {parent}\n".encode())
        return b"".join([*out, change, b"\n"])

    def tag(self, name: str) -> bytes:
        who = b"Releaser <releaser@example.org> %d +0000" % self.clock
        note = data(f"Release {name}\n".encode())
        return b"tag %s\nfrom :%d\ntagger %s\n%s" % (name.encode(), self.mark, who, note)


def data(content: bytes) -> bytes:
    """A data command of ``git fast-import``."""
    return b"data %d\n%s\n" % (len(content), content)


def history(
    seed: int, shape: HistoryShape | None = None, *, onto: str | None = None
) -> Iterator[bytes]:
    """The stream, in pieces. ``onto``: a commit (any name git knows) to go on from."""
    shape = shape or HistoryShape()
    project = _Project(random.Random(seed), shape)
    ref = f"refs/heads/{shape.branch}"
    tip = onto
    for number in range(shape.commits):
        if number == 0:
            change = b"".join(
                project.stored(path)
                for path in sorted({project.add_file() for _ in range(shape.files)})
            )
        elif number % shape.merge_every == 0:
            assert tip is not None
            path = project.pick()
            before = list(project.files[path])
            project.edit(path)
            yield project.commit("refs/heads/topic", [tip], project.stored(path))
            side = f":{project.mark}"
            # Meanwhile the branch goes on elsewhere; the merge takes the topic's file.
            merged, project.files[path] = project.files[path], before
            other = project.change()
            yield project.commit(ref, [tip], other)
            tip = f":{project.mark}"
            if path in project.files:
                project.files[path] = merged
                change = project.stored(path)
            else:
                change = b""
            yield project.commit(ref, [tip, side], change)
            tip = f":{project.mark}"
            continue
        else:
            change = project.change()
        yield project.commit(ref, [tip] if tip else [], change)
        tip = f":{project.mark}"
        if shape.tag_every and number % shape.tag_every == shape.tag_every - 1:
            yield project.tag(f"v{number // shape.tag_every}.{number}-{seed}")
    yield b"done\n"
