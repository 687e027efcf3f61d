"""The inspector: a page in the browser that shows a store. Extra: `ui`."""

from eventstore.ui.access import Authenticate, Token
from eventstore.ui.application import inspector

__all__ = [
    "Authenticate",
    "Token",
    "inspector",
]
