"""What Lightning says at every start and end, and a user can do nothing about, is left out."""

import logging
import warnings

SAID_ANYWAY = (  # beginnings of lines
    "💡 Tip: For seamless",
    "GPU available: False",
    "TPU available: False",
    "Loading `train_dataloader` to estimate",
    "`Trainer.fit` stopped: `max_epochs=",
    "Trainer already configured with model summary",
)
WARNED_ANYWAY = (
    ".*LeafSpec.* is deprecated",
    ".*smaller than the logging interval",
    "Precision .* is not supported by the model summary",
)


def quiet_lightning() -> None:
    """Leave these lines and warnings out, from now on."""
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(_is_news)
    for message in WARNED_ANYWAY:
        warnings.filterwarnings("ignore", message=message)


def _is_news(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith(SAID_ANYWAY)
