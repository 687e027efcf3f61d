"""Who may see the inspector, and who may change something with it.

Each request passes these checks in this order: its Host header names this server, so that no page of another site reaches it
under that site's name (DNS rebinding); the caller is known; and, for a change, the operation is allowed and the form carries
the caller's CSRF token. Each answer forbids scripts and frames of others.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from inspect import isawaitable
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from eventstore.errors import ConfigurationError

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
"""The names under which a server on the loopback address is reached."""

Authenticate = Callable[[HTTPConnection], str | Awaitable[str | None] | None]
"""Returns the name of who sends a request, or None to refuse it. It may be a coroutine function."""

_FORM_BYTES_MAX = 64 * 1024
_TOKEN_CHARACTERS_MIN = 16
_PURPOSE_OF_COOKIE = b"cookie"

# The plots make an empty <style> element, whose hash this is, and add rules to it; and they set the attribute `style` of the
# elements that they draw.
_EMPTY_STYLE = "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"
_POLICY = (
    f"default-src 'none'; script-src 'self'; style-src 'self' {_EMPTY_STYLE}; style-src-attr 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@dataclass(frozen=True, slots=True)
class Token:
    """A secret that opens the inspector: `?token=...` in the address of the first visit, then a cookie.

    The cookie is HttpOnly and SameSite=Strict, lasts until the browser is closed, and does not contain the token.

    Args:
        value: The secret, at least 16 characters, such as `secrets.token_urlsafe(24)`.

    Raises:
        ConfigurationError: The secret is shorter.
    """

    value: str = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.value) < _TOKEN_CHARACTERS_MIN:
            raise ConfigurationError(f"a token has at least {_TOKEN_CHARACTERS_MIN} characters")


class Access:
    """The checks of one inspector.

    Args:
        authenticate: A token, a function that names the caller, or None: everybody may look.
        hosts: The names under which the server is reached, without ports; None for any name.
        allow_operations: Whether anything may be changed.
    """

    def __init__(
        self,
        authenticate: Authenticate | Token | None,
        *,
        hosts: Collection[str] | None,
        allow_operations: bool,
    ) -> None:
        self.allow_operations = allow_operations
        self._authenticate = authenticate
        self._hosts = None if hosts is None else frozenset(name.lower() for name in hosts)
        self._secret = secrets.token_bytes(32)

    # ---- each request ------------------------------------------------------------------------------------------

    def is_own_host(self, host: str) -> bool:
        """Whether a Host header names this server."""
        if self._hosts is None:
            return True
        name, _, port = host.lower().rpartition(":")
        if name and port.isdecimal():  # an IPv6 address without a port ends with a bracket
            host = name
        return host.lower() in self._hosts

    async def name_of_caller(self, connection: HTTPConnection) -> str | None:
        """Return who sends a request: a name, empty if names are not asked for; None if the request is refused.

        A function that returns an empty name has found nobody, so it refuses too.
        """
        if self._authenticate is None:
            return ""
        if isinstance(self._authenticate, Token):
            cookie = connection.cookies.get(_cookie_name(connection), "")
            return "" if hmac.compare_digest(cookie.encode(), self._cookie(self._authenticate)) else None
        found = self._authenticate(connection)
        name = await found if isawaitable(found) else found
        return name if isinstance(name, str) and name.strip() else None

    def admit(self, connection: HTTPConnection) -> Response | None:
        """Return the answer to a first visit with `?token=...`: the cookie, and the way to the same page without it."""
        token = self._authenticate
        given = connection.query_params.get("token")
        if not isinstance(token, Token) or given is None or connection.scope["method"] not in ("GET", "HEAD"):
            return None
        if not hmac.compare_digest(given.encode(), token.value.encode()):
            return _refused()
        rest = [pair for pair in connection.query_params.multi_items() if pair[0] != "token"]
        path = _path_of(connection) + (f"?{urlencode(rest)}" if rest else "")
        answer = RedirectResponse(path, status_code=303)
        answer.set_cookie(
            _cookie_name(connection),
            self._cookie(token).decode(),
            path=connection.scope.get("root_path", "") or "/",
            httponly=True,
            samesite="strict",
            secure=connection.scope["scheme"] == "https",
        )
        return answer

    def _cookie(self, token: Token) -> bytes:
        # Cookies of one host go to the servers at all of its ports: none of them learns the token.
        return hmac.digest(token.value.encode(), self._secret + _PURPOSE_OF_COOKIE, "sha256").hex().encode()

    # ---- changes -----------------------------------------------------------------------------------------------

    def csrf_token(self, caller: str) -> str:
        """Return what each form of a caller carries, and no page of another site can know."""
        return hmac.digest(self._secret, b"csrf:" + caller.encode(errors="backslashreplace"), "sha256").hex()

    async def form_of_change(self, request: Request) -> Mapping[str, str]:
        """Return the fields of a form that asks for a change.

        Raises:
            HTTPException: 403: operations are not allowed, or the form is not from a page of this inspector; 413: it is too
                long; 415: it is no form.
        """
        if not self.allow_operations:
            raise HTTPException(
                403, "This inspector only reads. Start it with --allow-operations, or allow_operations=True."
            )
        if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
            raise HTTPException(403, "The form is not from a page of this inspector.")
        form = await _form(request)
        given = form.get("csrf_token", "")
        if not hmac.compare_digest(given.encode(), self.csrf_token(request.state.caller).encode()):
            raise HTTPException(403, "The form has expired: load its page again, and send it once more.")
        return form


class AccessMiddleware:
    """Lets only requests through that pass the checks, and adds the headers of security to each answer.

    Args:
        app: The application.
        access: The checks.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        connection = HTTPConnection(scope)
        answer: ASGIApp = self._app
        if not self._access.is_own_host(connection.headers.get("host", "")):
            answer = PlainTextResponse(
                "This server does not know itself by this name: name it with --allow-host, or hosts=.\n", 421
            )
        else:
            admitted = self._access.admit(connection)
            if admitted is not None:
                answer = admitted
            else:
                caller = await self._access.name_of_caller(connection)
                if caller is None:
                    answer = _refused()
                else:
                    scope.setdefault("state", {})["caller"] = caller
        await answer(scope, receive, send_safely)


def _refused() -> Response:
    return PlainTextResponse(
        "Not authenticated. Open the address that the command has printed, with its token.\n", 401
    )


def _cookie_name(connection: HTTPConnection) -> str:
    # Cookies do not tell ports apart, so two inspectors on one host need two names.
    server = connection.scope.get("server")
    return f"eventstore_inspector_{server[1] if server else 0}"


def _path_of(connection: HTTPConnection) -> str:
    # A path that begins with two slashes would be an address at another host.
    return f"/{connection.url.path.lstrip('/')}"


async def _form(request: Request) -> dict[str, str]:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise HTTPException(415, "A change is asked for with a form.")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _FORM_BYTES_MAX:
            raise HTTPException(413, "The form is too long.")
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=100))
    except ValueError:
        raise HTTPException(400, "The form cannot be read.") from None
