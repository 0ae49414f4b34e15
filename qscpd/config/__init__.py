"""The daemon's configuration: one YAML file, checked as a whole before anything uses it.

`config/qscpd.sample.yaml` shows every key; `docs/configuration.md` explains the sources of values.
"""

from qscpd.config.advice import find_warnings
from qscpd.config.listen import Endpoint, IPAddress, ListenAddress, find_overlaps
from qscpd.config.load import LoadedConfig, Origin, load_config, parse_config
from qscpd.config.model import (
    AddressPolicy,
    Argon2Config,
    Config,
    HistoryConfig,
    LimitsConfig,
    LogConfig,
    LogFormat,
    LoginConfig,
    LogLevel,
    ServerConfig,
    StoreConfig,
    TlsConfig,
)
from qscpd.config.show import render_config

__all__ = [
    "DEFAULT_CONFIG_PATH",
    "AddressPolicy",
    "Argon2Config",
    "Config",
    "Endpoint",
    "HistoryConfig",
    "IPAddress",
    "LimitsConfig",
    "ListenAddress",
    "LoadedConfig",
    "LogConfig",
    "LogFormat",
    "LogLevel",
    "LoginConfig",
    "Origin",
    "ServerConfig",
    "StoreConfig",
    "TlsConfig",
    "find_overlaps",
    "find_warnings",
    "load_config",
    "parse_config",
    "render_config",
]

DEFAULT_CONFIG_PATH = "/etc/qscpd/qscpd.yaml"
"""Configuration file of the commands unless `-c` or `QSCPD_CONFIG` names another."""
