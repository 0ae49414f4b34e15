"""The terminal client of QSCP.

`cli` is the way in; `engine` decides what a typed line and a received frame mean,
without any I/O; `session` joins it to a `connection` and to a front end
(`terminal` or `plain`).
"""
