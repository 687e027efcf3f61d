"""The library's SQL statements, one file each, and `render`, the one module that renders them."""

from __future__ import annotations

from eventstore.sql.render import (
    NAME_BYTES_MAX as NAME_BYTES_MAX,
    Named as Named,
    Template as Template,
    bind as bind,
    fill as fill,
    filled as filled,
    is_own as is_own,
    literal as literal,
    load as load,
    own as own,
    planned_for as planned_for,
    qualified as qualified,
    quoted as quoted,
    render as render,
    require_name as require_name,
    schema_of as schema_of,
    template as template,
    text_of as text_of,
    type_name as type_name,
    unbind as unbind,
    uuid_hash as uuid_hash,
    with_end as with_end,
)
