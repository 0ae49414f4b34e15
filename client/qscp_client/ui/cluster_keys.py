"""Keys of the input line that move over and delete whole clusters, as they are shown; see `clusters`."""

from prompt_toolkit.application.current import get_app
from prompt_toolkit.filters import Condition
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys

from qscp_client.ui.clusters import split


@Condition
def _has_clusters() -> bool:
    """Whether a character can be a part of another one; else the line editor's own keys do."""
    return not get_app().current_buffer.text.isascii()


def cluster_keys() -> KeyBindings:
    """Return the keys Backspace, Delete, Left and Right."""
    keys = KeyBindings()

    @keys.add(Keys.Backspace, filter=_has_clusters)
    def delete_before(event: KeyPressEvent) -> None:
        event.current_buffer.delete_before_cursor(_size_before(event) or 1)

    @keys.add(Keys.Delete, filter=_has_clusters)
    def delete(event: KeyPressEvent) -> None:
        event.current_buffer.delete(_size_after(event) or 1)

    @keys.add(Keys.Left, filter=_has_clusters)
    def left(event: KeyPressEvent) -> None:
        event.current_buffer.cursor_position -= _size_before(event)

    @keys.add(Keys.Right, filter=_has_clusters)
    def right(event: KeyPressEvent) -> None:
        event.current_buffer.cursor_position += _size_after(event)

    return keys


def _size_before(event: KeyPressEvent) -> int:
    """Return the characters of the cluster before the cursor; 0 at the beginning of a line."""
    clusters = list(split(event.current_buffer.document.current_line_before_cursor))
    return len(clusters[-1][0]) if clusters else 0


def _size_after(event: KeyPressEvent) -> int:
    """Return the characters of the cluster after the cursor; 0 at the end of a line."""
    cluster, _ = next(split(event.current_buffer.document.current_line_after_cursor), ("", 0))
    return len(cluster)
