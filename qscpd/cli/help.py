"""Help texts: examples in a command's help, and commands in sections in a group's help."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import click


class Command(click.Command):
    """Command whose help shows examples between its description and its options.

    Args:
        examples: Command lines, without `qscpd`.
    """

    def __init__(self, *args: Any, examples: Sequence[str] = (), **kwargs: Any) -> None:  # noqa: ANN401 - click's own
        super().__init__(*args, **kwargs)
        self._examples = examples

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the description and the examples."""
        super().format_help_text(ctx, formatter)
        write_examples(formatter, self._examples)


def write_examples(formatter: click.HelpFormatter, examples: Sequence[str]) -> None:
    """Write a section with command lines, which are given without `qscpd`."""
    if examples:
        with formatter.section("Examples" if len(examples) > 1 else "Example"):
            for example in examples:
                formatter.write(f"{'':>{formatter.current_indent}}qscpd {example}\n")


def write_sections(
    group: click.Group,
    ctx: click.Context,
    formatter: click.HelpFormatter,
    sections: Mapping[str, Collection[str]],
) -> None:
    """Write the commands of a group under the titles of their sections.

    Args:
        group: The group.
        ctx: Context of the group.
        formatter: Receives the text.
        sections: Names of the commands by title, in the order of the help.
    """
    width = max(len(name) for names in sections.values() for name in names)
    limit = formatter.width - width - 6  # as in click: the indent, and the gap between the columns
    for title, names in sections.items():
        with formatter.section(title):
            rows = []
            for name in names:
                command = group.get_command(ctx, name)
                if command is None:
                    raise LookupError(f"no command {name}")
                rows.append((f"{name:<{width}}", command.get_short_help_str(limit)))
            formatter.write_dl(rows)
