"""The results that are kept: ``python -m benches results``, on several repositories of the user's.

In: repositories, each for what it is good for. Out: a file of JSON and a plot for each in a folder,
a page there that says what the targets ask and what was measured, and the numbers of the README.
Which rows are measured where, for how long, is here; about twenty minutes for all. What takes
longest is made before, and kept in the work folder: ``--prepare``.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from benches import rows, targets
from benches.options import ROOT
from benches.peers import DULWICH, JGIT, SYNCED


@dataclass(frozen=True, slots=True)
class Part:
    """What is measured on the repository that an option names."""

    option: str
    about: str
    only: tuple[str, ...]
    seconds: int
    budget: float
    """Of each row; with more, more rounds."""
    without: tuple[str, ...] = (DULWICH, JGIT)
    skip: tuple[str, ...] = ()
    keep: bool = False
    scale: float = 1.0
    pushes: tuple[int, ...] = ()
    """Reads are measured after so many."""

    def words(self, options: argparse.Namespace, repository: Path) -> list[str]:
        """Options of ``python -m benches``."""
        name = f"{repository.resolve().name.removesuffix('.git')}.json"
        found = [f"--repo={repository}", f"--json={options.out / name}", f"--work={options.work}"]
        found += [f"--seconds={self.seconds}", f"--rounds={options.rounds}"]
        found.append(f"--budget={self.budget * options.longer}")
        found.append(f"--scale={self.scale * min(1.0, options.longer)}")
        found += [f"--without={name}" for name in self.without]
        found += [f"--only={word}" for word in self.only]
        found += [f"--skip={word}" for word in self.skip]
        found += [f"--pushes={count}" for count in self.pushes]
        found += ["--keep"] if self.keep else []
        found += [f"--patience={options.patience}"]
        found += ["--prepare"] if options.prepare else [f"--plots={options.out}"]
        return found


PARTS = (
    Part(
        "large",
        "one pack of hundreds of megabytes: clones, a push of everything",
        (
            "fetch, 20 behind, different",
            "clone, depth 1, different",
            "clone, depth 1, repeated",
            "clone, no bitmap, cold",
            "clone, no bitmap, different",
            "clone, no bitmap, repeated",
            "clone, bitmap",
            "clone, blob:none, different",
            "8 clones at once",
            "push, whole repository",
            "git clone, real git",
        ),
        2,
        12.0,
        skip=(", v0",),
    ),
    Part(
        "medium",
        "everything small: refs, fetches, pushes, reads after 1,000 and 10,000 of them",
        (
            "ls-refs, 1000 refs, repeated",
            "ls-refs, 1000 refs, cold",
            "ls-refs, 35000 refs, repeated",
            "fetch, nothing new",
            "fetch, empty pack, different",
            "fetch, 20 behind",
            "clone, depth 1",
            "push of one commit",
            "push, 64 clients",
            "upload-pack DIR",
            "git fetch",
            "git clone --depth",
            "after 1000 pushes",
            "after 10000 pushes",
            "upkeep",
        ),
        2,
        9.0,
        pushes=(1000, 10000),
    ),
    Part(
        "packs",
        "as it is, with many packs and loose objects: clones, one pack of all",
        ("clone, as it is, cold", "clone, as it is, different", "maintain --full"),
        2,
        15.0,
        keep=True,
    ),
    Part(
        "refs",
        "as it is, with many refs: listing them, a fetch, a push (blobs may be missing)",
        ("ls-refs", "fetch, nothing new", "fetch, empty pack, different", "push of one commit"),
        2,
        12.0,
        without=(DULWICH, JGIT, SYNCED),
        keep=True,
    ),
    Part(
        "peers",
        "a small one, for servers that take their time: dulwich, JGit",
        (
            "ls-refs, 1000 refs, repeated, v0",
            "fetch, 20 behind, repeated, v0",
            "clone, depth 1, repeated, v0",
            "clone, no bitmap, repeated, v0",
            "push of one commit, 1000 refs",
        ),
        2,
        12.0,
        without=(SYNCED,),
        scale=0.3,
    ),
)


def arguments(words: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benches results", description=__doc__)
    for part in PARTS:
        parser.add_argument(f"--{part.option}", type=Path, metavar="REPOSITORY", help=part.about)
    parser.add_argument("--out", type=Path, default=ROOT / "benches/results")
    parser.add_argument("--work", type=Path, default=ROOT / "bench-work", help="kept between runs")
    parser.add_argument("--rounds", type=int, default=3, help="at most; the table shows medians")
    parser.add_argument("--longer", type=float, default=1.0, help="multiplies the time for a row")
    parser.add_argument("--readme", type=Path, help="write the numbers into this file")
    parser.add_argument("--prepare", action="store_true", help="only what is kept between runs")
    parser.add_argument("--patience", type=float, default=0.0, help="seconds, as of a single run")
    options = parser.parse_args(words)
    if not any(getattr(options, part.option) for part in PARTS):
        parser.error("name at least one repository")
    return options


def main(words: list[str]) -> None:
    """Part after part; one that fails does not stop the others."""
    options = arguments(words)
    failed = []
    for part in PARTS:
        repository = getattr(options, part.option)
        if repository is None:
            continue
        print(f"\n{part.option}: {repository.resolve().name}", flush=True)
        try:
            rows.run(part.words(options, repository))
        except (SystemExit, RuntimeError) as error:
            failed.append(f"{part.option}: {error}")
    if not options.prepare:
        targets.publish(options.out, options.readme, command(options))
    if failed:
        raise SystemExit("\n".join(failed))


def command(options: argparse.Namespace) -> str:
    """What to type for the same, without anybody's folders."""
    named = [(part.option, getattr(options, part.option)) for part in PARTS]
    words = [f"--{option} {path.resolve().name}" for option, path in named if path is not None]
    return f"make results RESULTS='{' '.join(words)}'"
