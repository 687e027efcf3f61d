"""The list of commands in the help, in groups, and the other names of commands."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup

OTHER_NAMES = {
    "order": "orders",
    "fill": "fills",
    "position": "positions",
    "portfolio": "portfolios",
    "trade": "trades",
}
"""Names that work like those of commands, and are not in the help."""

_HELP_MARGIN = 6


class GroupedCommands(TyperGroup):
    """Commands whose help lists them by the group that each was registered with."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return the command with a name, or with another name of it; None if there is none."""
        return super().get_command(ctx, OTHER_NAMES.get(cmd_name, cmd_name))

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write one section for each group."""
        names = [name for name in self.list_commands(ctx) if not self.commands[name].hidden]
        width = formatter.width - _HELP_MARGIN - max(map(len, names))
        sections: dict[str, list[tuple[str, str]]] = {}
        for name in names:
            command: Any = self.commands[name]
            # Names of one width, so that the columns of all sections are aligned.
            row = (name.ljust(max(map(len, names))), command.get_short_help_str(width))
            sections.setdefault(command.rich_help_panel, []).append(row)
        for title, rows in sections.items():
            with formatter.section(title):
                formatter.write_dl(rows)
