"""What the commands of the harness have in common."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

from benches import generate
from benches.repositories import Source

ROOT = Path(__file__).resolve().parents[1]


def build_loadgen(work: Path) -> Path:
    """Compiles the load generator."""
    target = work / "loadgen"
    manifest = ROOT / "benches/loadgen/Cargo.toml"
    subprocess.run(
        ["cargo", "build", "--quiet", "--release", "--locked", f"--manifest-path={manifest}"],
        env={**os.environ, "CARGO_TARGET_DIR": str(target)},
        check=True,
    )
    return target / "release/loadgen"


def common(parser: argparse.ArgumentParser) -> None:
    """What every command takes."""
    parser.add_argument("--rounds", type=int, default=3, help="the table shows medians")
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies counts of requests")
    parser.add_argument(
        "--budget",
        type=float,
        default=20.0,
        metavar="SECONDS",
        help="no further round of a workload is begun after so long",
    )
    parser.add_argument(
        "--seconds", type=int, default=4, help="of a round, after which no request is begun"
    )
    parser.add_argument("--work", type=Path, default=ROOT / "bench-work", help="kept between runs")
    parser.add_argument("--json", type=Path, help="default: results.json in the work folder")
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="writes SVG there")
    parser.add_argument("--git", default=shutil.which("git"), help="the git to compare with")
    parser.add_argument(
        "--gitserve", default=str(Path(sys.executable).with_name("gitserve")), help="ours"
    )
    parser.add_argument("--without", action="append", default=[], help="a server to leave out")
    parser.add_argument("--loadgen", type=Path, help="a compiled load generator")


def source_options(parser: argparse.ArgumentParser) -> None:
    """Which repository."""
    parser.add_argument("--repo", type=Path, help="measure on a copy of this repository")
    parser.add_argument("--keep", action="store_true", help="with its own packs, not repacked")
    kinds = list(generate.KINDS)
    parser.add_argument("--generate", choices=kinds, default="history", help="without --repo")
    parser.add_argument("--size", type=int, help="of the generated one")
    parser.add_argument("--seed", type=int, default=1)


def source_of(options: argparse.Namespace) -> Source:
    """What they say."""
    return Source(options.repo, options.keep, options.generate, options.size, options.seed)
