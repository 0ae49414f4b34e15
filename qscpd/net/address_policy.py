"""Policy for peers' addresses in the logs."""

import ipaddress


def shown_address(address: str, policy: str, *, failure: bool) -> str | None:
    """Return the address in its form for the log; None to leave it out.

    Args:
        address: Numeric address of the socket.
        policy: `log.addresses` of the configuration.
        failure: Whether the log entry is about a failed login.
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
