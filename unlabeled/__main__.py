"""Run the command line: ``python -m unlabeled``, on a cluster's nodes by whatever Python they have."""

import sys

if __name__ == "__main__":
    try:
        from unlabeled.platform.cli import main
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "unlabeled":
            raise
        print(
            f"unlabeled: {sys.executable} has no module {error.name!r}; a cluster's nodes need what pyproject.toml "
            "lists as dependencies, and ray[default]: install it into that Python, there",
            file=sys.stderr,
        )
        sys.exit(2)
    main()
