"""`python -m eventstore.cli`, for use when the script is not on the path."""

from eventstore.cli import main

if __name__ == "__main__":
    main()
