"""`python -m mqjobs` is the `mqjobs` command."""

from mqjobs.app.cli import main

main(prog_name="mqjobs")
