"""The command line of ``collapse-lit fit``: build everything that a configuration asks for."""

from argparse import SUPPRESS, ArgumentError
from collections.abc import Sequence
from typing import Any

import lightning as L
import yaml
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI
from lightning.pytorch.utilities import rank_zero_only

from collapse_lit.callbacks import CollapseMonitor, RecoveryMonitor
from collapse_lit.data import CoarseDataModule
from collapse_lit.errors import UserError
from collapse_lit.fit.backbone_options import leave_other_options
from collapse_lit.fit.endings import Endings
from collapse_lit.fit.figures import RunPictures
from collapse_lit.fit.interruption import StopOnSignal
from collapse_lit.fit.launchers import cluster_environment, join_processes
from collapse_lit.fit.precision import avoid_slow_precision
from collapse_lit.fit.preflight import check_clusters, check_length, warn_of_unused_gpu
from collapse_lit.fit.progress import NetworkSize, progress_callback
from collapse_lit.fit.quiet import quiet_lightning
from collapse_lit.fit.recorder import RunRecorder
from collapse_lit.fit.resumption import Resumption
from collapse_lit.fit.seeding import EpochSeed
from collapse_lit.fit.users_own import take_in, users_own
from collapse_lit.models import CoarseClassifier
from collapse_lit.tracking.checkpoints import WholeCheckpointIO
from collapse_lit.tracking.claim import Claim
from collapse_lit.tracking.continuation import check_same_experiment
from collapse_lit.tracking.other_loggers import asked_for
from collapse_lit.tracking.run_directory import RunDirectory
from collapse_lit.tracking.wandb_options import WandbOptions
from collapse_lit.tracking.weights_and_biases import wandb_logger
from collapse_lit.tracking.whole_files import write_whole

DESCRIPTION = """Train a network on coarse labels only; after each epoch, measure how far its
features have collapsed onto them, and how well the hidden fine classes can be recovered from them.
All results go into run_dir. The same command again continues that run where it stopped."""

USAGE = "%(prog)s --config configs/NAME.yaml [--key.option VALUE ...]"
ALL_HELP = "--help.trainer"
EPILOG = f"""The options of Lightning's Trainer, such as --trainer.max_epochs, --trainer.devices and
--trainer.precision: collapse-lit fit {ALL_HELP}"""

# Trainer options that are set by the run directory or our loops, or that have no effect here.
NOT_FOR_USERS = (
    *("default_root_dir", "enable_checkpointing", "use_distributed_sampler", "barebones"),
    *("limit_val_batches", "limit_test_batches", "limit_predict_batches", "num_sanity_val_steps"),
    *("val_check_interval", "check_val_every_n_epoch", "reload_dataloaders_every_n_epochs"),
    *("inference_mode", "enable_autolog_hparams", "model_registry", "overfit_batches"),
)

# Options of the monitors that are set by the run's network, data and directory.
FOR_OTHER_PROJECTS = ("layer", "loaders", "batch", "name", "report")


def command_line(arguments: Sequence[str]) -> "FitCLI":
    """Build everything that a configuration and overrides ask for, and claim the run directory.

    Raises:
        UserError: The configuration, the data or the run directory cannot be used.
    """
    quiet_lightning()
    asked = ["--help" if argument == ALL_HELP else argument for argument in arguments]
    try:
        return FitCLI(
            CoarseClassifier,
            CoarseDataModule,
            args=asked,
            run=False,
            seed_everything_default=0,
            save_config_callback=None,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
            parser_kwargs={
                "description": DESCRIPTION,
                "prog": "collapse-lit fit",
                "exit_on_error": False,
                "usage": USAGE,
                "epilog": EPILOG,
            },
            hide_trainer=bool({"-h", "--help"} & set(arguments)),
        )
    except ArgumentError as error:
        raise UserError(f"{error} (collapse-lit fit --help lists all options)") from error


class FitCLI(LightningCLI):
    """Lightning's command line, extended by the run directory."""

    run_directory: RunDirectory
    claim: Claim | None = None
    endings: Endings
    recorder: RunRecorder

    def __init__(self, *args: Any, hide_trainer: bool = False, **kwargs: Any) -> None:
        # Hides options from --help and from the dumped configuration.
        self.hide_trainer = hide_trainer
        super().__init__(*args, **kwargs)

    def add_core_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the most important options first, and the trainer's many options last."""
        parser.add_argument(
            "--run_dir",
            type=str,
            default="runs/unnamed",
            help="Directory for all files of this run. An existing run is continued.",
        )
        parser.add_lightning_class_args(CoarseDataModule, "data")
        parser.add_lightning_class_args(CoarseClassifier, "model")
        for monitor, key in ((CollapseMonitor, "collapse"), (RecoveryMonitor, "recovery")):
            parser.add_class_arguments(monitor, key, skip=set(FOR_OTHER_PROJECTS))
            parser.callback_keys.append(key)
        parser.add_argument(
            "--checkpoint_every",
            type=int,
            default=10,
            help="Keep checkpoints/epoch_NNN.ckpt every so many epochs; last.ckpt is written at "
            "every epoch.",
        )
        parser.add_class_arguments(WandbOptions, "wandb")
        parser.add_class_arguments(
            L.Trainer,
            "trainer",
            skip=set(NOT_FOR_USERS),
            instantiate=False,
            fail_untyped=False,
            sub_configs=True,
        )
        if self.hide_trainer:
            for action in parser._actions:
                if action.dest.startswith("trainer"):
                    action.help = SUPPRESS
        parser.link_arguments("seed_everything", "data.seed")
        parser.link_arguments("seed_everything", "recovery.seed")
        parser.link_arguments("data.num_coarse", "model.num_classes", apply_on="instantiate")
        parser.link_arguments("data.image_shape", "model.image_shape", apply_on="instantiate")

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parse the given list; LightningCLI would warn about the command's name in sys.argv."""
        self.config = parser.parse_args(args)  # type: ignore[arg-type]
        self.arguments = [str(word) for word in args or []]  # type: ignore[union-attr]
        leave_other_options(parser, self.arguments, self.config)

    def before_instantiate_classes(self) -> None:
        """Claim the run directory before anything is built."""
        self.run_directory = RunDirectory(self.config.run_dir)
        check_length(self.config.trainer)
        join_processes(self.config.trainer)
        avoid_slow_precision(self.config.trainer, self.arguments)
        warn_of_unused_gpu(self.config.trainer)
        if not self.config.trainer.fast_dev_run:
            self.run_directory.create()
            if rank_zero_only.rank == 0:  # type: ignore[attr-defined]
                self.claim = Claim(self.run_directory)
                self.run_directory.clean()
            self.see_same_experiment(self.run_directory)

    def instantiate_classes(self) -> None:
        """Build everything; a refused start leaves no files behind."""
        try:
            super().instantiate_classes()
        except Exception:
            if self.claim is not None:
                self.run_directory.undo()
                self.claim.release()
            raise

    def instantiate_trainer(self, **kwargs: Any) -> L.Trainer:
        """Build a trainer whose checkpoints, progress and W&B run belong to the run directory."""
        run, asked = self.run_directory, self.config.trainer
        check_clusters(self.config_init.recovery, self.datamodule)
        loggers = asked_for(self.config_init.trainer.logger)
        for logger in loggers:
            logger.log_hyperparams(self._resolved())
        none = asked.fast_dev_run or asked.logger is False
        if not none and rank_zero_only.rank == 0:  # type: ignore[attr-defined]
            identity = run.identify(self.config.seed_everything)
            of_wandb = wandb_logger(run, identity, self.config_init.wandb, self._resolved())
            loggers += [of_wandb] if of_wandb is not None else []
        progress = progress_callback()
        self.recorder = RunRecorder(run, self.config.checkpoint_every)
        self.endings = Endings(self._resolved()["trainer"].get("callbacks"))
        self.trainer_defaults["callbacks"] = [
            Resumption(),
            EpochSeed(self.config.seed_everything),
            *([] if asked.enable_progress_bar is False else [progress]),
            *([] if asked.enable_model_summary is False else [NetworkSize()]),
            *([] if asked.fast_dev_run else [self.recorder]),
            *([] if asked.fast_dev_run else [RunPictures(run)]),
        ]
        trainer = super().instantiate_trainer(
            logger=loggers or False,
            enable_progress_bar=isinstance(progress, ProgressBar)
            and asked.enable_progress_bar is not False,
            default_root_dir=run.path,
            plugins=[
                *(self.config_init.trainer.plugins or []),
                *(WholeCheckpointIO(), *cluster_environment()),
            ],
            num_sanity_val_steps=0,
            use_distributed_sampler=False,  # our loaders shard without padding
            enable_autolog_hparams=False,  # W&B gets the full configuration instead
        )
        # With max_steps, Lightning would resume in the middle of an epoch. After a checkpoint at
        # the end of an epoch, as ours are, it would train one batch too many.
        trainer.fit_loop._iteration_based_training = lambda: False  # type: ignore[method-assign]
        callbacks: list[L.Callback] = trainer.callbacks  # type: ignore[attr-defined]
        take_in(users_own(callbacks), run.checkpoints / "own")
        if not asked.fast_dev_run:
            callbacks.insert(0, self.endings)  # before all callbacks that measure or save
        callbacks.insert(0, StopOnSignal())
        return trainer

    def see_same_experiment(self, run: RunDirectory) -> None:
        """Check that the request matches the experiment in the run directory, if any.

        Raises:
            UserError: The run directory holds another experiment.
        """
        check_same_experiment(run, self._resolved(), self._defaults())

    def write_config(self) -> None:
        """Write the resolved configuration."""
        resolved = self.parser.dump(self.config, skip_unset=False)
        write_whole(self.run_directory.config, resolved.encode())

    def _resolved(self) -> dict[str, Any]:
        return yaml.safe_load(self.parser.dump(self.config, skip_unset=False))

    def _defaults(self) -> dict[str, Any]:
        unset = self.parser.get_defaults()
        return yaml.safe_load(self.parser.dump(unset, skip_unset=False, skip_validation=True))
