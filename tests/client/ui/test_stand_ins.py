"""Stand-ins in the input line: what is shown for clusters, and the positions between text and screen."""

from hypothesis import given
from hypothesis import strategies as st
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text.utils import fragment_list_to_text
from prompt_toolkit.layout import BufferControl
from prompt_toolkit.layout.processors import Transformation, TransformationInput

from qscp_client.ui.clusters import split, stand_in
from qscp_client.ui.stand_ins import StandIns

FAMILY = "\N{MAN}\N{ZERO WIDTH JOINER}\N{WOMAN}\N{ZERO WIDTH JOINER}\N{BOY}"
FLAG = "\N{REGIONAL INDICATOR SYMBOL LETTER D}\N{REGIONAL INDICATOR SYMBOL LETTER E}"
TEXTS = st.lists(
    st.sampled_from(["a", " ", "\N{HEAVY BLACK HEART}\ufe0f", FAMILY, FLAG, "e\u0301", "漢"])
).map("".join)


def transform(text: str) -> Transformation:
    """Return what the processor makes of a line."""
    line = TransformationInput(BufferControl(), Document(text), 0, lambda index: index, [("", text)], 80, 1)
    return StandIns().apply_transformation(line)


@given(text=TEXTS)
def test_the_stand_ins_are_shown(text: str) -> None:
    """Each cluster is shown by its stand-in; the text has nothing else."""
    shown = fragment_list_to_text(transform(text).fragments)
    assert shown == "".join(stand_in(cluster) for cluster, _ in split(text))


@given(text=TEXTS)
def test_positions_on_the_screen_belong_to_the_text(text: str) -> None:
    """The begin of each cluster has its place on the screen, and is found again from there."""
    made = transform(text)
    start = 0
    for cluster, _ in split(text):
        place = made.source_to_display(start)
        assert place == len("".join(stand_in(each) for each, _ in split(text[:start])))
        assert made.display_to_source(place) == start
        start += len(cluster)
    assert made.source_to_display(len(text)) == len(fragment_list_to_text(made.fragments))
    assert made.display_to_source(made.source_to_display(len(text))) == len(text)
