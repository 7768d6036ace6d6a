"""Suppress messages that Lightning prints at every start and end and that need no action."""

import logging
import warnings

SAID_ANYWAY = (  # first words of the lines
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
    """Suppress these lines and warnings from now on."""
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(_is_news)
    for message in WARNED_ANYWAY:
        warnings.filterwarnings("ignore", message=message)


def _is_news(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith(SAID_ANYWAY)
