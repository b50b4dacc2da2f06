"""`python -m easel_local` is `easel`."""

from easel_local.cli import main

main()
