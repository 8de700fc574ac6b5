"""``--policy=MODULE:NAME``: an operator's rules, found and checked before anybody is served.

In: the words of an option or of ``GITSERVE_POLICY``. Out: a :class:`~gitserve.policy.Policy`.
"""

from __future__ import annotations

from gitserve.policy import Policy

VARIABLE = "GITSERVE_POLICY"
"""The same for programs that somebody else starts, such as ``http-backend``."""


def load_policy(text: str | None) -> Policy | None:
    """``package.module:name`` or ``/path/to/file.py:name``; None for no text. Raises ValueError.

    The name is of a class without arguments, of an object, or of a function that makes one.
    """
    if not text:
        return None
    where, colon, name = text.rpartition(":")
    if not colon or not where or not name:
        raise ValueError(f"--policy takes MODULE:NAME or FILE.py:NAME, not '{text}'")
    try:
        found = _module(where)
        for part in name.split("."):
            found = getattr(found, part)
        policy = found if isinstance(found, Policy) or not callable(found) else found()
    except Exception as error:
        raise ValueError(f"policy '{text}': {type(error).__name__}: {error}") from error
    if not isinstance(policy, Policy):
        raise ValueError(f"policy '{text}' is no gitserve.policy.Policy")
    return policy


def _module(where: str) -> object:
    import importlib
    import importlib.util

    if not where.endswith(".py"):
        return importlib.import_module(where)
    spec = importlib.util.spec_from_file_location("gitserve_operators_policy", where)
    if spec is None or spec.loader is None:
        raise ImportError(f"cannot read {where}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
