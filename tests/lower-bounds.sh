#!/usr/bin/env bash
# Usage: tests/lower-bounds.sh [FOLDER]     Try the lower bounds that pyproject.toml promises.
#
# Makes an environment in FOLDER (.venv-lower) with the versions of constraints-lower.txt, the newest of all else, and
# runs in it what touches those packages most: runs, studies and searches on Ray, the stores, the reports, all methods.
set -eu
cd "$(dirname "$0")/.."
place=${1:-.venv-lower}
test -x "$place/bin/python" || "${PYTHON:-python3}" -m venv "$place"
"$place/bin/python" -m pip install --quiet --constraint constraints-lower.txt --editable '.[dev]'
"$place/bin/python" -m pip list --format freeze | grep -i -f <(sed -n 's/^\([A-Za-z-]*==\).*/^\1/p' constraints-lower.txt)
# Older Rays leave a file open, and warn of what a newer one will do: no fault of ours, in tests alone an error.
"$place/bin/python" -m pytest -p no:cacheprovider \
    -W ignore::pytest.PytestUnraisableExceptionWarning -W ignore::FutureWarning \
    tests/platform/test_{settings,execution,train,checkpoint,encoder,optim,search,plan}.py \
    tests/platform/track/test_{embedded,two_drivers}.py \
    tests/dashboards/test_{report,search_report}.py \
    tests/test_cli.py \
    tests/contracts/test_{studies,searches}.py \
    tests/ray/test_{sweep,search,workers}.py \
    tests/contracts/test_methods.py --deselect tests/contracts/test_methods.py::test_learns_from_real_pictures_without_collapse
