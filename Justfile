# Every chore of the house. `./just` lists them; `./just demo` is where to begin.
set positional-arguments

# ---- run -------------------------------------------------------------------------------------------------------------

# Play the Realm, or another --game, on an embedded NATS and Postgres: [--npcs N] [--seconds S] [--seed K] [--json]
[group('run')]
demo *args:
    @hearthmind demo "$@"

# Start NATS, Postgres and the services here, until Ctrl-C
[group('run')]
up *args:
    @hearthmind up "$@"

# Play the platform's part against a game of yours and list what is wrong: --game NAME -- COMMAND '{address}'
[group('run')]
check-game *args:
    @hearthmind check-game "$@"

# Adapters: list, publish, promote, rollback
[group('run')]
adapters *args:
    @hearthmind adapters "$@"

# Ask a past decision again, otherwise: DECISION [--model M] [--template T] [--persona P] [--adapter A]
[group('run')]
replay *args:
    @hearthmind replay "$@"

# What became of decisions: show, stats, tail, import, export, recompute
[group('run')]
experiences *args:
    @hearthmind experiences "$@"

# What minds wanted and the policy forbade: list, show, approve, reject, ban
[group('run')]
violations *args:
    @hearthmind violations "$@"

# Models: list those that are declared, fetch one: list | fetch NAME
[group('run')]
fetch *args:
    @hearthmind models "$@"

# Train an agent of poker in self-play: [--config FILE] [--games N] [--resume] [KEY=VALUE ...] (after ./just models)
[group('run')]
train-poker *args:
    @hearthmind selfplay train "$@"

# Play an agent of poker against scripted opponents and others: CHECKPOINT [--hands N] [--against CHECKPOINT]
[group('run')]
evaluate-poker *args:
    @hearthmind selfplay evaluate "$@"

# Draw one decision's way through every hop, with times: DECISION
[group('run')]
trace *args:
    @hearthmind trace "$@"

# Show the settings with their source and check broker, database, ports and disk
[group('run')]
doctor *args:
    @hearthmind doctor "$@"

# Show the documentation at http://127.0.0.1:8000, until Ctrl-C
[group('run')]
docs-serve *args:
    @NO_MKDOCS_2_WARNING=1 mkdocs serve -f infra/docs/mkdocs.yml "$@"

# ---- check -----------------------------------------------------------------------------------------------------------

# Everything CI checks: style, types, imports, tests
[group('check')]
test: lint types imports
    pytest -n 2 --dist loadfile

# Style
[group('check')]
lint:
    ruff check .
    ruff format --check .

# Types, strict
[group('check')]
types:
    mypy

# Who may import whom
[group('check')]
imports:
    lint-imports --no-cache

# Build the documentation into dist/site and check its links
[group('check')]
docs:
    @NO_MKDOCS_2_WARNING=1 mkdocs build --strict -f infra/docs/mkdocs.yml
    @echo "every link leads somewhere; open dist/site/index.html"

# Live the platform's lives by seed, laws checked after each step: [--seed N] [--seeds A-B] [--break LAW] [--faults A,B]
[group('check')]
simulate *args:
    @python -m tests.simulation "$@"

# Break the running platform by a plan drawn from a seed and check the laws: [--seed N] [--seconds S] [--faults A,B] [--npcs N]
[group('check')]
chaos *args:
    @python -m tests.chaos "$@"

# Build the images, deploy them with a Docker engine by the page, break them; skips with a reason where no engine can run
[group('check')]
compose-check *args:
    @python -m infra.compose.check "$@"

# How fast an engine is on this machine: serve MODEL [--at-once N] [--plot FILE]
[group('check')]
bench *args:
    @hearthmind bench "$@"

# How fast the loop is, against bare nats-py in the same run (ten minutes)
[group('check')]
bench-loop *args:
    python benchmarks/round_trip.py "$@"

# Kill inference workers in mid-generation and count what comes of it: [--kills N] [--engine vllm]
[group('check')]
kill-workers *args:
    @python -m tests.service.killing "$@"

# ---- keep ------------------------------------------------------------------------------------------------------------

# Put the code into the house style
[group('keep')]
format:
    ruff check --fix .
    ruff format .

# Write the pages that are made from the code: the flow, the messages, the settings, the commands
[group('keep')]
reference:
    python -m services.command.reference

# Write the dashboards from their table of panels
[group('keep')]
dashboards:
    python infra/observability/dashboards.py

# Install what heavy engines need into .venv, about 6 GiB: [cpu|gpu]
[group('keep')]
models *args:
    @python requirements/models.py "$@"

# Train nano from nothing, or go on where it was interrupted, and export it (half an hour; after ./just models)
[group('keep')]
train-nano *args:
    python -m examples.nano.train "$@"
    python -m examples.nano.export

# Lock the dependencies again after a change of a pyproject.toml
[group('keep')]
lock:
    python requirements/lock.py
