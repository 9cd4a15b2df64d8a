"""``python -m integrity_cli``."""

from integrity_cli.start import main

if __name__ == "__main__":
    main()
