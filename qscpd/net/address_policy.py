"""How much of a peer's address the logs tell."""

import ipaddress

__all__ = ["shown_address"]


def shown_address(address: str, policy: str, *, failure: bool) -> str | None:
    """The form in which an address is logged; None when it is not.

    Args:
        address: Numeric, as the socket has it.
        policy: `log.addresses` of the configuration.
        failure: Whether it is about a failed login.
    """
    if policy == "never" or (policy == "failures" and not failure):
        return None
    if policy == "truncated":
        try:
            ip = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return None
        length = 24 if ip.version == 4 else 48  # noqa: PLR2004 - a household or an office, not a person
        return str(ipaddress.ip_network((ip, length), strict=False).network_address)
    return address
