"""The commands, by name; each module turns arguments into one call of the library."""

from advrush.commands.analyze import analyze
from advrush.commands.demo import demo
from advrush.commands.evaluate import evaluate
from advrush.commands.exchange import export_network, import_checkpoint
from advrush.commands.inspect import report, runs, show
from advrush.commands.search import search
from advrush.commands.train import train
from advrush.commands.transfer import transfer

VERBS = {
    "demo": demo,
    "search": search,
    "train": train,
    "evaluate": evaluate,
    "transfer": transfer,
    "analyze": analyze,
    "import": import_checkpoint,
    "export": export_network,
    "report": report,
    "show": show,
    "runs": runs,
}

__all__ = ["VERBS"]
