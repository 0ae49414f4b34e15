from qscpd.cli.room_tables import format_table


def test_a_row_is_one_line_without_control_characters() -> None:
    """A topic in a foreign store can't look like another row."""
    rows = [("#dev", "open", "x\x1b[31m\n#fake  open"), ("#news", "open", "a\tb\u202e")]
    assert format_table(rows) == [
        "#dev   open  x<U+001B>[31m<U+000A>#fake  open",
        "#news  open  a<U+0009>b<U+202E>",
    ]
