"""`python -m api_billing.cli` is `api-billing`."""

from api_billing.cli.app import main

if __name__ == "__main__":
    main()
