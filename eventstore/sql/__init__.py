"""The library's SQL statements, one file each, and the one module that makes statements of them: `render`."""

from __future__ import annotations

from eventstore.sql.render import (
    NAME_BYTES_MAX,
    Named,
    Template,
    bind,
    fill,
    is_own,
    literal,
    load,
    own,
    qualified,
    quoted,
    render,
    require_name,
    schema_of,
    template,
    text_of,
    type_name,
    unbind,
)

__all__ = [
    "NAME_BYTES_MAX",
    "Named",
    "Template",
    "bind",
    "fill",
    "is_own",
    "literal",
    "load",
    "own",
    "qualified",
    "quoted",
    "render",
    "require_name",
    "schema_of",
    "template",
    "text_of",
    "type_name",
    "unbind",
]
