"""Write a configuration as YAML, which loads to the same again."""

import json

from qscpd.config.load import LoadedConfig
from qscpd.config.schema import SETTINGS, Setting
from qscpd.config.values import FilePath, Listeners

__all__ = ["render_config"]


def render_config(loaded: LoadedConfig, *, origin: bool = False) -> str:
    """Every setting with its value.

    Args:
        loaded: What to write.
        origin: Add a comment to each that says where its value comes from.
    """
    lines: list[str] = []
    for key, setting in SETTINGS.items():
        lines += _new_sections(lines, key)
        indent = "  " * key.count(".")
        text = f"{indent}{key.rpartition('.')[2]}: {_show(setting, loaded)}"
        lines.append(f"{text}  # {loaded.origins[key]}" if origin else text)
    return "\n".join(lines) + "\n"


def _new_sections(lines: list[str], key: str) -> list[str]:
    """The headings that a key needs and that are not there yet; a section's keys follow each other."""
    sections = key.split(".")[:-1]
    headings = ["  " * depth + f"{name}:" for depth, name in enumerate(sections)]
    return [heading for heading in headings if heading not in lines]


def _show(setting: Setting, loaded: LoadedConfig) -> str:
    value = setting.get(loaded.config)
    shown: str = setting.kind.show(value)
    if isinstance(setting.kind, Listeners):
        return json.dumps(shown.split(", "))
    # A JSON string is a YAML string, so a path with a colon or a hash survives.
    return json.dumps(shown, ensure_ascii=False) if isinstance(setting.kind, FilePath) else shown
