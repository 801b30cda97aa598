"""Run the command line: ``python -m unlabeled``."""

from unlabeled.platform.cli import main

if __name__ == "__main__":
    main()
