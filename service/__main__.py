"""`python -m service` and the command `paramedic`."""

from service.cli import app


def main() -> None:
    """Runs the command line."""
    app()


if __name__ == "__main__":
    main()
