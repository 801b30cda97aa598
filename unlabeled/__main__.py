"""Run the command line: ``python -m unlabeled``, on a cluster's nodes by whatever Python they have."""

import sys

if __name__ == "__main__":
    try:
        from unlabeled.platform.cli import main
    except ModuleNotFoundError as error:
        from unlabeled.platform.errors import lacking

        print(lacking(error), file=sys.stderr)
        sys.exit(2)
    main()
