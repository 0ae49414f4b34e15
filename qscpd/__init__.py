"""`qscpd`, the daemon of QSCP; `qscpd.app` puts it together."""
