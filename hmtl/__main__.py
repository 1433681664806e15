"""`python -m hmtl`: the same as the `hmtl` command."""

from hmtl.cli.main import main

main()
