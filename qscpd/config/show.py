"""Configuration as YAML that loads to the same values."""

import json

from qscpd.config.load import LoadedConfig
from qscpd.config.schema import SETTINGS, Setting
from qscpd.config.values import FilePath, ListKind


def render_config(loaded: LoadedConfig, *, origin: bool = False) -> str:
    """Return every setting with its value, as YAML.

    Args:
        loaded: The configuration.
        origin: Add the source of each value as a comment.
    """
    lines: list[str] = []
    for key, setting in SETTINGS.items():
        lines += _new_sections(lines, key)
        indent = "  " * key.count(".")
        text = f"{indent}{key.rpartition('.')[2]}: {_show(setting, loaded)}"
        lines.append(f"{text}  # {loaded.origins[key]}" if origin else text)
    return "\n".join(lines) + "\n"


def _new_sections(lines: list[str], key: str) -> list[str]:
    """Return the missing headings above a key; keys of a section are consecutive."""
    sections = key.split(".")[:-1]
    headings = ["  " * depth + f"{name}:" for depth, name in enumerate(sections)]
    return [heading for heading in headings if heading not in lines]


def _show(setting: Setting, loaded: LoadedConfig) -> str:
    value = setting.get(loaded.config)
    shown: str = setting.kind.show(value)
    if isinstance(setting.kind, ListKind):
        return json.dumps(shown.split(", ") if shown else [])
    # A JSON string is a YAML string, so a path with a colon or a hash survives.
    return json.dumps(shown, ensure_ascii=False) if isinstance(setting.kind, FilePath) else shown
