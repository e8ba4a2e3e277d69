"""`python -m sixtyfold`."""

from sixtyfold.cli import main

main()
