"""One service of one repository over HTTP: a question a request, all of them on their own.

In: bytes of requests. Out: bytes of responses, both streamed. Must not know what they mean.

Git's document: gitprotocol-http, "Smart Clients".
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import TYPE_CHECKING, Final
from urllib.parse import urljoin, urlsplit

import urllib3
from urllib3.exceptions import HTTPError, MaxRetryError
from urllib3.exceptions import TimeoutError as HTTPTimeout
from urllib3.response import BaseHTTPResponse

from gitserve.clients.failure import WORDS_MAX, RemoteError, remote_error
from gitserve.errors import HangupError, NoRepository, PeerError, PeerTimeout

if TYPE_CHECKING:
    from gitserve.service.streams import Sendable

MAX_REDIRECTS: Final = 5
"""git's own limit is twenty; who needs more than these has made a loop."""

WHOLE_BODY: Final = 1 << 20
"""Bytes. A request up to this size goes with its length, as git's do: there are servers that do
not take chunks."""

COMPRESS_FROM: Final = 1024
"""Bytes. Requests are mostly ids in hexadecimal, which shrink to half."""


class HttpRequests:
    """Requests to one server, with what all of them have in common."""

    def __init__(
        self,
        pool: urllib3.PoolManager,
        headers: Mapping[str, str],
        authorization: str | None,
        timeout: urllib3.Timeout,
        origin: str,
    ) -> None:
        """``authorization`` is sent to ``origin`` and nowhere else."""
        self._pool = pool
        self._headers = dict(headers)
        self._authorization = authorization
        self._timeout = timeout
        self._origin = _origin_of(origin)

    def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | Iterable[bytes] | None = None,
    ) -> BaseHTTPResponse:
        """A response of which only the head has been read."""
        every = {**self._headers, **headers}
        if self._authorization is not None and _origin_of(url) == self._origin:
            every["Authorization"] = self._authorization
        try:
            return self._pool.request(
                method, url, body=body, headers=every, timeout=self._timeout, retries=False,
                redirect=False, preload_content=False, decode_content=True,
            )  # fmt: skip
        except HTTPError as error:
            raise _fault(error) from error


class HttpRoad:
    """A conversation with ``url/git-upload-pack`` or the like."""

    stateless = True

    def __init__(self, requests: HttpRequests, url: str, service: str, version: int) -> None:
        """Asks for the service's advertisement, which is then there to be read."""
        self._requests = requests
        self._service = service
        self._common = {"Git-Protocol": f"version={version}"} if version else {}
        self._pieces: list[Sendable] = []
        self._tail: Iterable[bytes] | None = None
        self._url, self._response = self._discover(url.rstrip("/"))

    def read(self, size: int, /) -> bytes:
        """See :class:`~.road.Road`."""
        try:
            return self._response.read1(size)
        except HTTPError as error:
            raise _fault(error) from error

    def write(self, data: Sendable, /) -> None:
        """See :class:`~.road.Road`: waits for the end of the request."""
        self._pieces.append(data)

    def write_all(self, pieces: Iterable[bytes], /) -> None:
        """See :class:`~.road.Road`: the pieces are taken when the request is sent."""
        self._tail = pieces

    def end_request(self) -> None:
        """Sends what was written, and puts the response in the place of the last one."""
        # Behind an answer's last packet there is its end, which frees the connection.
        if self.read(1):
            raise PeerError("the server sent more than its answer")
        self.close()
        body, headers = self._body()
        self._pieces, self._tail = [], None
        headers |= self._common
        headers["Content-Type"] = f"application/x-{self._service}-request"
        headers["Accept"] = f"application/x-{self._service}-result"
        response = self._requests.send("POST", f"{self._url}/{self._service}", headers, body)
        self._response = response
        if response.status != 200:
            raise _refusal(response, self._url)
        _expect_type(response, f"application/x-{self._service}-result")

    def _body(self) -> tuple[bytes | Iterable[bytes], dict[str, str]]:
        start = b"".join(self._pieces)
        if self._tail is not None:
            tail = iter(self._tail)
            held: list[bytes] = [start]
            size = len(start)
            for piece in tail:
                held.append(piece)
                size += len(piece)
                if size > WHOLE_BODY:
                    return _chunks(chain(held, tail)), {}
            return b"".join(held), {}
        if len(start) < COMPRESS_FROM:
            return start, {}
        return gzip.compress(start, 6), {"Content-Encoding": "gzip"}

    def explain(self) -> bytes:
        """See :class:`~.road.Road`."""
        return b""

    def close(self) -> None:
        """See :class:`~.road.Road`: a connection with something unread on it is not used again."""
        self._response.close()

    def _discover(self, url: str) -> tuple[str, BaseHTTPResponse]:
        tail = f"/info/refs?service={self._service}"
        at = url + tail
        headers = {**self._common, "Pragma": "no-cache"}
        for _ in range(MAX_REDIRECTS + 1):
            response = self._requests.send("GET", at, headers)
            location = response.headers.get("Location")
            if response.status not in (301, 302, 303, 307, 308) or location is None:
                break
            response.close()
            goes_to = urljoin(at, location)
            if urlsplit(at).scheme == "https" and urlsplit(goes_to).scheme != "https":
                raise PeerError(f"{at} leads to {goes_to}, which is not encrypted")
            at = goes_to
        else:
            raise PeerError(f"{url}: more than {MAX_REDIRECTS} redirections")
        try:
            if response.status != 200:
                raise _refusal(response, url)
            if not at.endswith(tail):
                raise PeerError(f"{url} leads to {at}, which is no repository")
            _expect_type(response, f"application/x-{self._service}-advertisement")
        except BaseException:
            response.close()
            raise
        return at[: -len(tail)], response


def _chunks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    # An empty chunk would end the body.
    return (piece for piece in pieces if piece)


def _expect_type(response: BaseHTTPResponse, expected: str) -> None:
    found = response.headers.get("Content-Type", "").partition(";")[0].strip()
    if found != expected:
        raise PeerError(f"not a smart Git server: the answer is {found or 'untyped'}")


def _refusal(response: BaseHTTPResponse, url: str) -> Exception:
    status = response.status
    try:
        words = response.read(WORDS_MAX, decode_content=True)
    except HTTPError:
        words = b""
    finally:
        response.close()
    if status == 404:
        return NoRepository(f"{url}: there is no Git repository")
    if status == 401:
        return RemoteError(f"{url}: the server wants a user name and a password")
    plain = response.headers.get("Content-Type", "").startswith("text/plain")
    said = f": {remote_error(words)}" if plain and words.strip() else ""
    return RemoteError(f"{url}: HTTP status {status}{said}")


def _fault(error: HTTPError) -> PeerError:
    cause: BaseException = error
    if isinstance(error, MaxRetryError) and error.reason is not None:
        cause = error.reason
    if isinstance(cause, HTTPTimeout):
        return PeerTimeout(str(cause))
    return HangupError(str(cause))


def _origin_of(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    usual = {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, parts.hostname, parts.port or usual
