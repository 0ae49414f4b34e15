# QSCP: commands for a checkout. `make` alone lists them.

PYTHON ?= python3
VENV ?= .venv
# Arguments for pytest: make test ARGS='-k presence -x'
ARGS ?=
# With COVERAGE=1, `make test` also measures coverage and fails below the floors of pyproject.toml.
COVERAGE ?=
# With ASYNCIO_DEBUG=1, `make test` runs in asyncio's debug mode, and a test fails if it finds something.
ASYNCIO_DEBUG ?=
# How often `make test-repeat` runs its tests.
TIMES ?= 100
# How long `make fuzz`, `make crash`, `make soak` and each attack of `make abuse` run; by default 60, 300, 600
# and 8 seconds.
SECONDS ?=
# The sessions of `make soak`.
SESSIONS ?= 2000
# The attacks that `make abuse` runs; by default all. An unknown one prints the list.
ATTACKS ?=
# Set: its times are shown, but break no promise.
REPORT_TIMES ?=
# A folder of wheels to install from instead of the network; `make wheelhouse` fills one.
WHEELS ?=
# The machine that `make wheelhouse` fetches wheels for; by default this one.
PYTHON_VERSION ?=
ARCH ?=

# How often one message may change file on its way through the daemon; `make hops` shows where.
HOPS := 29

# Where `make install` puts things. DESTDIR is for packagers and is part of no installed path.
prefix ?= /usr/local
sysconfdir ?= /etc
bindir ?= $(prefix)/bin
libdir ?= $(prefix)/lib/qscp
# systemd looks into these folders of /usr and /usr/local, and of nowhere else.
_configfree := $(filter /usr /usr/local,$(prefix))
unitdir ?= $(if $(_configfree),$(prefix)/lib/systemd/system,/etc/systemd/system)
sysusersdir ?= $(if $(_configfree),$(prefix)/lib/sysusers.d,/etc/sysusers.d)
tmpfilesdir ?= $(if $(_configfree),$(prefix)/lib/tmpfiles.d,/etc/tmpfiles.d)

python := $(VENV)/bin/python
export PYTHON VENV WHEELS DESTDIR
# The tests start hundreds of programs, and compiling its modules is a third of the CPU time of each.
unexport PYTHONDONTWRITEBYTECODE

# A virtual environment that was moved does not work, so everything is installed into it again.
ifneq ($(shell cat $(VENV)/made-in 2>/dev/null),$(shell pwd -P))
$(shell rm -f $(VENV)/installed $(VENV)/installed-dev $(VENV)/installed-fuzz)
endif

.PHONY: help run test test-repeat coverage test-systemd check hops format fuzz crash soak abuse lock sbom wheelhouse install uninstall clean

help:
	@echo 'To use QSCP from this checkout'
	@echo '  make run             a chat server to try out, and how to connect to it'
	@echo '  make install         install the daemon and the client on this machine (prefix, DESTDIR, WHEELS)'
	@echo '  make uninstall       remove them again; configuration and data stay'
	@echo '  make wheelhouse      fetch what make install needs on a machine without internet'
	@echo '                       (for another machine: PYTHON_VERSION=3.13 ARCH=aarch64)'
	@echo
	@echo 'To work on QSCP'
	@echo "  make test            the test suite (ARGS='-k name -x', PYTHON=python3.13 VENV=.venv-3.13)"
	@echo "  make test-repeat     some tests, many times on a busy machine (ARGS='tests/client -k killed' TIMES=100)"
	@echo '  make coverage        the tests but those of whole programs, and the coverage of each package'
	@echo '  make check           format, lint, types, import directions, and checks of our own'
	@echo '  make hops            the files that one message passes, in the daemon and in the client'
	@echo '  make format          put all files in the format that make check wants'
	@echo '  make picture         regenerate the picture in README.md from a real run'
	@echo '  make test-systemd    install and run the service in a machine of its own, under systemd (root)'
	@echo '  make fuzz            malformed input against the parser and a daemon (SECONDS=60)'
	@echo '  make crash           kill the daemon under load, again and again, and look for what is lost (SECONDS=300)'
	@echo '  make soak            the same with thousands of sessions and abusers, and memory (SECONDS=600 SESSIONS=2000)'
	@echo '  make abuse           attack a daemon in every known way, and measure what others get (SECONDS=8 ATTACKS="pongs idle")'
	@echo '  make bench           a first figure of the daemon under load, beside peers that are installed'
	@echo "  make lock            lock what pyproject.toml requires into requirements*.txt (ARGS=--upgrade)"
	@echo '  make sbom            list the locked packages as CycloneDX in dist/'
	@echo '  make clean           remove what the tools made; certs/, config/ and var/ stay'

run: $(VENV)/installed
	@exec $(python) tools/run_dev.py

# Python 3.12 can report each line once; before, a tracer is called for all of them (1.6 times the CPU time).
coverage_core = COVERAGE_CORE=$$($(python) -c 'import sys; print("sysmon" if sys.version_info >= (3, 12) else "ctrace")')

# A test that hangs ends the run after two minutes (pyproject.toml), or later where all waits are longer.
hang_limit = -o faulthandler_timeout=$$($(python) -c 'import os; print(120 * float(os.environ.get("QSCP_TEST_PATIENCE", 1)))')

test: $(VENV)/installed-dev
	$(if $(COVERAGE),$(coverage_core)) $(if $(ASYNCIO_DEBUG),PYTHONASYNCIODEBUG=1) $(python) -m pytest $(hang_limit) -n 4 --dist worksteal $(if $(COVERAGE),--cov --cov-report=) $(ARGS)
	$(if $(COVERAGE),$(python) tools/check_coverage.py)

test-repeat: $(VENV)/installed-dev
	$(python) tools/repeat_tests.py --times $(TIMES) $(ARGS)

coverage: $(VENV)/installed-dev
	$(MAKE) test COVERAGE=1 ARGS='tests/qscp tests/qscpd tests/client $(ARGS)'

test-systemd: $(VENV)/installed-dev
	$(python) -m pytest -m systemd -o faulthandler_timeout=900 tests/systemd $(ARGS)

fuzz: $(VENV)/installed-fuzz
	$(python) tests/fuzz/run.py --seconds $(or $(SECONDS),60)

crash: $(VENV)/installed-dev
	$(python) -m tests.durability.crash_rounds --seconds $(or $(SECONDS),300)

soak: $(VENV)/installed-dev
	$(python) -m tests.durability.soak --seconds $(or $(SECONDS),600) --sessions $(SESSIONS)

abuse: $(VENV)/installed-dev
	$(python) -m tests.abuse.run --seconds $(or $(SECONDS),8) $(if $(REPORT_TIMES),--report-times) $(ATTACKS)

check: $(VENV)/installed-dev
	$(python) -m ruff check
	$(python) -m ruff format --check
	$(python) -m mypy
	$(VENV)/bin/lint-imports
	$(VENV)/bin/shellcheck .ci/run .ci/forky tools/*.sh tests/systemd/*.sh
	$(python) tools/check_tree.py
	$(python) -m tools.count_hops --most $(HOPS)

hops: $(VENV)/installed-dev
	$(python) -m tools.count_hops --path

format: $(VENV)/installed-dev
	$(python) -m ruff check --fix-only
	$(python) -m ruff format

.PHONY: picture
picture: $(VENV)/installed-dev
	$(python) -m tools.capture_readme

# Not by way of `installed`: what is installed may not fit the dependencies that are to be locked.
lock:
	@tools/lock.sh $(VENV) $(ARGS)

sbom: $(VENV)/installed-dev
	@tools/sbom.sh $(python) dist/qscp.cdx.json

wheelhouse:
	@tools/wheelhouse.sh dist/wheelhouse $(PYTHON_VERSION:%=--python %) $(ARCH:%=--arch %)

install:
	@prefix='$(prefix)' sysconfdir='$(sysconfdir)' bindir='$(bindir)' libdir='$(libdir)' unitdir='$(unitdir)' \
	sysusersdir='$(sysusersdir)' tmpfilesdir='$(tmpfilesdir)' tools/install.sh install

uninstall:
	@prefix='$(prefix)' sysconfdir='$(sysconfdir)' bindir='$(bindir)' libdir='$(libdir)' unitdir='$(unitdir)' \
	sysusersdir='$(sysusersdir)' tmpfilesdir='$(tmpfilesdir)' tools/install.sh uninstall

clean:
	rm -rf .venv .venv-* build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .coverage*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Each of these files records one installation, which is repeated when a prerequisite has changed.
$(VENV)/installed: pyproject.toml requirements.txt tools/venv.sh
	@echo 'Installing QSCP into $(VENV) ...'
	@tools/venv.sh $(VENV) requirements.txt --editable .
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed requirements-dev.txt
	@echo 'Installing what the tests and checks need into $(VENV) ...'
	@tools/venv.sh $(VENV) requirements-dev.txt
	@touch $@

$(VENV)/installed-fuzz: $(VENV)/installed-dev requirements-fuzz.txt
	@echo 'Installing the fuzzer into $(VENV) ...'
	@tools/venv.sh $(VENV) requirements-fuzz.txt || echo 'No atheris here; going on without it.'
	@touch $@

# Its own environment, in bench/peers-run; bench/README.md has the longer runs and the profiler.
.PHONY: bench
bench:
	bench/quick.sh
