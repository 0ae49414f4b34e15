"""Processor of the input line that shows emoji of disputed width by stand-ins; see `clusters`."""

import bisect

from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.formatted_text.utils import fragment_list_to_text
from prompt_toolkit.layout.processors import Processor, Transformation, TransformationInput
from prompt_toolkit.layout.utils import explode_text_fragments

from qscp_client.ui.clusters import split, stand_in


class StandIns(Processor):
    """Replaces clusters on the screen; the text that is typed stays as it is.

    The line editor moves the cursor by widths that it adds up character by character. Where the terminal
    joins characters, the line would be drawn in the wrong place, over the prompt.
    """

    def apply_transformation(self, transformation_input: TransformationInput) -> Transformation:
        """Replace the clusters of a line, and map the positions in it."""
        fragments = explode_text_fragments(transformation_input.fragments)
        text = fragment_list_to_text(fragments)
        if text.isascii():
            return Transformation(fragments)
        shown: StyleAndTextTuples = []
        places: list[int] = []
        start = 0
        for cluster, _ in split(text):
            end = start + len(cluster)
            shorter = stand_in(cluster)
            if shorter == cluster:
                places += range(len(shown), len(shown) + len(cluster))
                shown += fragments[start:end]
            else:
                places += [len(shown)] * len(cluster)
                style = f"{fragments[start][0]} class:stand-in"
                shown += [(style, character) for character in shorter]
            start = end
        places.append(len(shown))
        return Transformation(
            shown,
            source_to_display=lambda index: places[min(index, len(text))],
            display_to_source=lambda index: min(bisect.bisect_left(places, index), len(text)),
        )
