"""mqjobs completion: what a shell needs to complete commands and flags."""

import click
from click.shell_completion import get_completion_class

from mqjobs.app.cli.failures import Failure

PLACES = {
    "bash": '~/.bashrc:  eval "$(mqjobs completion bash)"',
    "zsh": '~/.zshrc:  eval "$(mqjobs completion zsh)"',
    "fish": "~/.config/fish/completions/mqjobs.fish:  mqjobs completion fish | source",
}


@click.command(epilog="\b\n" + "\n".join(PLACES.values()))
@click.argument("shell", type=click.Choice(list(PLACES)))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Write the completion script of a shell."""
    kind = get_completion_class(shell)
    if kind is None:
        raise Failure(f"there is no completion for {shell}")
    click.echo(kind(ctx.find_root().command, {}, "mqjobs", "_MQJOBS_COMPLETE").source())
