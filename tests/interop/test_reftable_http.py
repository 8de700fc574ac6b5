"""Pushes over HTTP into repositories that keep their refs in tables."""

from __future__ import annotations

import pytest

from tests.interop.test_http import http_daemon, programs, road, server  # noqa: F401
from tests.interop.test_push import (  # noqa: F401
    clone,
    test_atomic_is_all_or_nothing,
    test_deletion,
    test_fast_forward,
    test_new_branch_and_tags,
)
from tests.interop.test_reftable_push import (  # noqa: F401
    git,
    lively,
    protocol,
    test_every_client,
    test_file_and_folder,
    test_many_at_once_and_all_gone,
)

pytestmark = pytest.mark.ours
