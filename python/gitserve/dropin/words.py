"""The protocol's words and numbers, by the names dulwich gave them.

Constants only. Their meaning is in gitprotocol-capabilities, -pack and -common.
"""

from __future__ import annotations

from typing import Final

TCP_GIT_PORT: Final = 9418

GIT_PROTOCOL_VERSIONS: Final = [0, 1, 2]
DEFAULT_GIT_PROTOCOL_VERSION_FETCH: Final = 2
DEFAULT_GIT_PROTOCOL_VERSION_SEND: Final = 0

PEELED_TAG_SUFFIX: Final = b"^{}"
ZERO_SHA: Final = b"0" * 40
CAPABILITIES_REF: Final = b"capabilities^{}"
"""Carries the capabilities where there is no ref to carry them."""

SINGLE_ACK: Final = 0
MULTI_ACK: Final = 1
MULTI_ACK_DETAILED: Final = 2
NAK_LINE: Final = b"NAK\n"

SIDE_BAND_CHANNEL_DATA: Final = 1
SIDE_BAND_CHANNEL_PROGRESS: Final = 2
SIDE_BAND_CHANNEL_FATAL: Final = 3

DEPTH_INFINITE: Final = 0x7FFFFFFF

CAPABILITY_AGENT: Final = b"agent"
CAPABILITY_ALLOW_REACHABLE_SHA1_IN_WANT: Final = b"allow-reachable-sha1-in-want"
CAPABILITY_ALLOW_TIP_SHA1_IN_WANT: Final = b"allow-tip-sha1-in-want"
CAPABILITY_ATOMIC: Final = b"atomic"
CAPABILITY_DEEPEN_NOT: Final = b"deepen-not"
CAPABILITY_DEEPEN_RELATIVE: Final = b"deepen-relative"
CAPABILITY_DEEPEN_SINCE: Final = b"deepen-since"
CAPABILITY_DELETE_REFS: Final = b"delete-refs"
CAPABILITY_FETCH: Final = b"fetch"
CAPABILITY_FILTER: Final = b"filter"
CAPABILITY_INCLUDE_TAG: Final = b"include-tag"
CAPABILITY_MULTI_ACK: Final = b"multi_ack"
CAPABILITY_MULTI_ACK_DETAILED: Final = b"multi_ack_detailed"
CAPABILITY_NO_DONE: Final = b"no-done"
CAPABILITY_NO_PROGRESS: Final = b"no-progress"
CAPABILITY_OBJECT_FORMAT: Final = b"object-format"
CAPABILITY_OFS_DELTA: Final = b"ofs-delta"
CAPABILITY_PACKFILE_URIS: Final = b"packfile-uris"
CAPABILITY_PUSH_OPTIONS: Final = b"push-options"
CAPABILITY_QUIET: Final = b"quiet"
CAPABILITY_REPORT_STATUS: Final = b"report-status"
CAPABILITY_SHALLOW: Final = b"shallow"
CAPABILITY_SIDE_BAND: Final = b"side-band"
CAPABILITY_SIDE_BAND_64K: Final = b"side-band-64k"
CAPABILITY_SYMREF: Final = b"symref"
CAPABILITY_THIN_PACK: Final = b"thin-pack"

COMMAND_DEEPEN: Final = b"deepen"
COMMAND_DEEPEN_NOT: Final = b"deepen-not"
COMMAND_DEEPEN_SINCE: Final = b"deepen-since"
COMMAND_DONE: Final = b"done"
COMMAND_FILTER: Final = b"filter"
COMMAND_HAVE: Final = b"have"
COMMAND_SHALLOW: Final = b"shallow"
COMMAND_UNSHALLOW: Final = b"unshallow"
COMMAND_WANT: Final = b"want"

COMMON_CAPABILITIES: Final = [
    CAPABILITY_OFS_DELTA,
    CAPABILITY_SIDE_BAND,
    CAPABILITY_SIDE_BAND_64K,
    CAPABILITY_AGENT,
    CAPABILITY_NO_PROGRESS,
]
KNOWN_UPLOAD_CAPABILITIES: Final = {
    *COMMON_CAPABILITIES,
    CAPABILITY_ALLOW_REACHABLE_SHA1_IN_WANT,
    CAPABILITY_ALLOW_TIP_SHA1_IN_WANT,
    CAPABILITY_DEEPEN_NOT,
    CAPABILITY_DEEPEN_RELATIVE,
    CAPABILITY_DEEPEN_SINCE,
    CAPABILITY_FETCH,
    CAPABILITY_FILTER,
    CAPABILITY_INCLUDE_TAG,
    CAPABILITY_MULTI_ACK,
    CAPABILITY_MULTI_ACK_DETAILED,
    CAPABILITY_PACKFILE_URIS,
    CAPABILITY_SHALLOW,
    CAPABILITY_SYMREF,
    CAPABILITY_THIN_PACK,
}
KNOWN_RECEIVE_CAPABILITIES: Final = {
    *COMMON_CAPABILITIES,
    CAPABILITY_ATOMIC,
    CAPABILITY_DELETE_REFS,
    CAPABILITY_PUSH_OPTIONS,
    CAPABILITY_QUIET,
    CAPABILITY_REPORT_STATUS,
}
