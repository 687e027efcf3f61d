"""The library's SQL statements, one file each, and the one module that makes statements of them: `render`."""

from __future__ import annotations

from eventstore.sql.render import (
    NAME_BYTES_MAX as NAME_BYTES_MAX,
)
from eventstore.sql.render import (
    Named as Named,
)
from eventstore.sql.render import (
    Template as Template,
)
from eventstore.sql.render import (
    bind as bind,
)
from eventstore.sql.render import (
    fill as fill,
)
from eventstore.sql.render import (
    is_own as is_own,
)
from eventstore.sql.render import (
    literal as literal,
)
from eventstore.sql.render import (
    load as load,
)
from eventstore.sql.render import (
    own as own,
)
from eventstore.sql.render import (
    qualified as qualified,
)
from eventstore.sql.render import (
    quoted as quoted,
)
from eventstore.sql.render import (
    render as render,
)
from eventstore.sql.render import (
    require_name as require_name,
)
from eventstore.sql.render import (
    schema_of as schema_of,
)
from eventstore.sql.render import (
    template as template,
)
from eventstore.sql.render import (
    text_of as text_of,
)
from eventstore.sql.render import (
    type_name as type_name,
)
from eventstore.sql.render import (
    unbind as unbind,
)
