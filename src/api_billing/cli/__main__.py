"""`python -m api_billing.cli` is `api-billing`."""

import sys

from api_billing.errors import MissingExtra
from api_billing.extras import needed_by


def main() -> None:
    """Run the command line; never returns."""
    try:
        with needed_by("the command"):
            from api_billing.cli.app import make_app
    except MissingExtra as error:
        sys.exit(f"api-billing: {error}")
    make_app()(sys.argv[1:], prog_name="api-billing")


if __name__ == "__main__":
    main()
