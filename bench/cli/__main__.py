"""`python -m bench.cli`, for where the script `bench` is not on the path."""

from bench.cli.main import main

if __name__ == "__main__":
    main()
