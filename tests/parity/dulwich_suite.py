"""Runs dulwich's own tests of its server against gitserve.

    python tests/parity/dulwich_suite.py [--tests FOLDER] [--all] [unittest names...]

In: the ``tests`` folder of dulwich's source distribution (:mod:`dulwich_source` finds it). Out:
the results; exit status 1 when a test fails that is not listed in EXCEPTIONS, or passes although it
is. ``dulwich.server``, ``dulwich.web`` and ``dulwich.protocol`` are replaced by gitserve's modules
before anything of dulwich that uses them is imported. ``make test`` runs all suites, by
``test_dulwich_suite.py``.
"""

from __future__ import annotations

import argparse
import importlib
import io
import socketserver
import sys
import types
import unittest
from pathlib import Path

REPLACED = ("protocol", "server", "web")
SUITES = (
    "tests.test_server",
    "tests.test_protocol",
    "tests.test_web",
    "tests.compat.test_server",
    "tests.compat.test_web",
)

PRIVATE = "pokes a private name that gitserve does not have"
APPLY = "calls the private _apply_pack; what it asserts is in test_better.py"
EXCEPTIONS = {
    "ProtocolGraphWalkerEmptyTestCase": PRIVATE,
    "ProtocolGraphWalkerTestCase": PRIVATE,
    "ReceivePackHandlerTestCase.test_apply_pack_atomic_refuses_head": APPLY,
    "ReceivePackHandlerTestCase.test_apply_pack_del_ref": APPLY,
    "ReceivePackHandlerTestCase.test_apply_pack_refuses_head": APPLY,
    "ReceivePackHandlerTestCase.test_apply_pack_refuses_head_delete": APPLY,
    "ReceivePackHandlerTestCase.test_apply_pack_refuses_malformed_ref": APPLY,
    "UploadPackHandlerTestCase.test_progress": (
        "wants side-band-64k among required_capabilities: gitserve serves clients without it"
    ),
}
"""Test (class and method, or a whole class) to the reason why it does not hold."""


class _Absent:
    """Stands for a private name, so that a module which imports it can be imported."""

    def __init__(self, *_arguments: object, **_options: object) -> None:
        raise unittest.SkipTest(PRIVATE)


def replace_modules() -> None:
    """Puts gitserve's modules in the place of dulwich's."""
    import dulwich

    for name in REPLACED:
        ours = importlib.import_module(f"gitserve.{name}")
        alias = types.ModuleType(f"dulwich.{name}")
        alias.__dict__.update({key: value for key, value in vars(ours).items() if key[:2] != "__"})
        alias.__file__ = ours.__file__
        sys.modules[f"dulwich.{name}"] = alias
        setattr(dulwich, name, alias)
    server = sys.modules["dulwich.server"]
    for private in ("_ProtocolGraphWalker", "_split_proto_line"):
        if not hasattr(server, private):
            setattr(server, private, _Absent)


def reason(test: unittest.TestCase) -> str | None:
    """Why this test is an exception, if it is."""
    parts = test.id().split(".")
    return EXCEPTIONS.get(".".join(parts[-2:])) or EXCEPTIONS.get(parts[-2])


class Result(unittest.TextTestResult):
    """Keeps what passed, too."""

    def __init__(self, *arguments: object, **options: object) -> None:
        super().__init__(*arguments, **options)  # type: ignore[arg-type]
        self.passed: list[unittest.TestCase] = []

    def addSuccess(self, test: unittest.TestCase) -> None:  # noqa: N802 - unittest's name
        super().addSuccess(test)
        self.passed.append(test)


def main() -> int:
    """Runs the suites; 0 when nothing differs from EXCEPTIONS."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tests", help="dulwich's unpacked source distribution")
    parser.add_argument("--all", action="store_true", help="show the exceptions' failures, too")
    parser.add_argument("names", nargs="*", default=SUITES)
    options = parser.parse_args()
    if options.tests:
        folder = Path(options.tests).resolve()
        folder = folder.parent if folder.name == "tests" else folder
    else:
        from dulwich_source import source

        folder = source()
    replace_modules()
    # every test waits for its server to notice that it is to end: half a second each, else
    socketserver.BaseServer.serve_forever.__defaults__ = (0.02,)
    sys.path.insert(0, str(folder))
    # the source distribution's own package must not hide the installed one
    sys.modules.pop("tests", None)
    suite = unittest.defaultTestLoader.loadTestsFromNames(list(options.names))
    runner = unittest.TextTestRunner(resultclass=Result, verbosity=1 if options.all else 0)
    if not options.all:
        runner.stream = unittest.runner._WritelnDecorator(io.StringIO())  # type: ignore[attr-defined]
    result = runner.run(suite)
    assert isinstance(result, Result)
    failed = [*result.failures, *result.errors]
    unexpected = [(test, text) for test, text in failed if reason(test) is None]
    unexpected += [
        (test, why) for test, why in result.skipped if why == PRIVATE and not reason(test)
    ]
    obsolete = [test for test in result.passed if reason(test) is not None]
    for test, text in unexpected:
        print(f"FAILED {test.id()}\n{text}")
    for test in obsolete:
        print(f"PASSED, although an exception: {test.id()}")
    excepted = [test for test, _ in failed if reason(test) is not None]
    for test in [*excepted, *(test for test, why in result.skipped if why == PRIVATE)]:
        print(f"EXCEPTION {test.id()}")
    print(
        f"{len(result.passed)} passed, {len(unexpected)} failed, {len(excepted)} exceptions, "
        f"{len(result.skipped)} skipped, {len(obsolete)} obsolete exceptions"
    )
    return 1 if unexpected or obsolete else 0


if __name__ == "__main__":
    sys.exit(main())
