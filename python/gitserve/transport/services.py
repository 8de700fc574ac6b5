"""Which services a server offers, and who may change that: the operator, or each repository.

In: ``--enable``, ``--disable``, ``--allow-override``, ``--forbid-override`` and a repository's
``daemon.*`` or ``http.*`` settings. Out: yes or no. Implements git-daemon(1), "SERVICES", and the
settings of git-http-backend(1).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from gitserve.record import Record
from gitserve.repository.config import Config

UPLOAD_PACK = "upload-pack"
RECEIVE_PACK = "receive-pack"
UPLOAD_ARCHIVE = "upload-archive"


class ServiceRule(Record):
    """One service."""

    enabled: bool
    overridable: bool = True

    def allows(self, name: str, config: Config, section: str = "daemon") -> bool:
        """May this repository be used with the service? Raises ConfigError.

        A repository switches it by ``<section>.uploadpack`` and ``<section>.receivepack``.
        """
        if self.overridable:
            own = config.get_optional_bool(f"{section}.{name.replace('-', '')}")
            if own is not None:
                return own
        return self.enabled

    @property
    def possible(self) -> bool:
        """Could any repository offer it?"""
        return self.enabled or self.overridable


DEFAULT_SERVICES: Mapping[str, ServiceRule] = MappingProxyType(
    {
        UPLOAD_PACK: ServiceRule(enabled=True),
        # Nobody is asked who he is, so nothing may be pushed until someone says so.
        RECEIVE_PACK: ServiceRule(enabled=False),
        UPLOAD_ARCHIVE: ServiceRule(enabled=False),
    }
)


def service_rules(
    enable: Iterable[str] = (),
    disable: Iterable[str] = (),
    allow_override: Iterable[str] = (),
    forbid_override: Iterable[str] = (),
    services: Mapping[str, ServiceRule] = DEFAULT_SERVICES,
) -> dict[str, ServiceRule]:
    """The rules after an operator's options. Raises ValueError for an unknown service."""
    rules = dict(services)

    def change(names: Iterable[str], **change: bool) -> None:
        for name in names:
            if name not in rules:
                raise ValueError(f"unknown service {name}")
            rules[name] = rules[name].but(**change)

    change(enable, enabled=True)
    change(disable, enabled=False)
    change(allow_override, overridable=True)
    change(forbid_override, overridable=False)
    return rules
