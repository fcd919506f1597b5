"""The training itself, on sentence-transformers' trainer: its arguments, checkpoints, progress and log."""

import csv
import io
import json
import os
import shutil
from collections.abc import Mapping
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer.evaluation import SentenceEvaluator
from transformers import EarlyStoppingCallback, PrinterCallback, TrainerCallback

from clirbench.support.files import write_atomically
from clirbench.support.progress import Reporter
from clirbench.support.terminal import cell
from clirbench.training.batches import HybridBatchSampler
from clirbench.training.dev import DevEvaluator
from clirbench.training.losses import HybridLoss, make_loss, round_weights, with_rounded_weights
from clirbench.training.prepare import TrainingData
from clirbench.training.recipe import Recipe

STEPS = "train (steps)"


def fit(
    model: Any,
    recipe: Recipe,
    data: TrainingData,
    output: Path,
    evaluator: DevEvaluator | None,
    reporter: Reporter,
    precision: str = "float32",
) -> list[dict[str, Any]]:
    """Train a SentenceTransformer in place. A stopped training goes on from its last checkpoint.

    With ``rounded_steps``, the model ends with rounded weights.

    Checkpoints and ``log.csv`` go to ``output``. The recipe's seed decides batches and dropout. ``precision`` is ``float32`` or
    ``bfloat16``. The function returns the log: losses and dev scores, each entry with its step.
    """
    arguments = _arguments(recipe, output, evaluator, data, precision)
    loss = make_loss(model, recipe.loss, recipe.teacher)
    optimizer = None
    if recipe.optimizer.name == "sparse-adam":
        optimizer = torch.optim.SparseAdam(list(model.parameters()), arguments.learning_rate, recipe.optimizer.betas)
    callbacks: list[TrainerCallback] = [_Progress(reporter, output)]
    scorer: SentenceEvaluator | None = evaluator
    rounded_steps = recipe.model.rounded_steps if recipe.model and isinstance(loss, HybridLoss) else 0.0
    if rounded_steps:
        callbacks.append(_Rounding(loss, round((1 - rounded_steps) * recipe.optimizer.steps)))
        scorer = evaluator and _AsComputed(evaluator, loss)
    last = last_checkpoint(output)
    if recipe.dev and evaluator and recipe.dev.patience:
        stopping = EarlyStoppingCallback(early_stopping_patience=recipe.dev.patience)
        callbacks.append(stopping)
        if last is not None:
            state, since_best = _since_best(last, evaluator)
            stopping.early_stopping_patience_counter = since_best
            if since_best >= recipe.dev.patience:
                # Early stopping ended the training, and the process was killed before it saved the model: nothing is left to
                # train.
                best = SentenceTransformer(state["best_model_checkpoint"], device="cpu")
                model.load_state_dict(best.state_dict())
                if rounded_steps:
                    round_weights(model)
                return list(state["log_history"])
    trainer = _Trainer(
        model=model,
        args=arguments,
        train_dataset=data.pairs,
        loss=loss,
        evaluator=scorer,
        data_collator=data.collator,
        # For None, the trainer makes its own AdamW and its own schedule.
        optimizers=(optimizer, None),
        callbacks=callbacks,
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train(resume_from_checkpoint=str(last) if last else None)
    if rounded_steps:
        round_weights(model)
    if trainer.is_world_process_zero():
        _write_log(trainer.state.log_history, output)
    return list(trainer.state.log_history)


def last_checkpoint(output: Path) -> Path | None:
    """The newest complete checkpoint in a folder, or None.

    The trainer writes ``trainer_state.json`` last, so a checkpoint without it is incomplete, and is removed. A checkpoint holds
    the path of the best checkpoint. If the folder has been moved since, this path is corrected.
    """
    newest_first = sorted(output.glob("checkpoint-*"), key=lambda path: int(path.name.rsplit("-", 1)[1]), reverse=True)
    for path in newest_first:
        state_file = path / "trainer_state.json"
        try:
            state = json.loads(state_file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            shutil.rmtree(path)
            continue
        best = state.get("best_model_checkpoint")
        if best and Path(best).parent != output:
            state["best_model_checkpoint"] = str(output / Path(best).name)
            write_atomically(state_file, json.dumps(state, indent=2).encode())
        return path
    return None


def _since_best(checkpoint: Path, evaluator: DevEvaluator) -> tuple[dict[str, Any], int]:
    """The trainer's state in a checkpoint, and the number of evaluations since the best one."""
    state = json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    key = f"eval_{evaluator.primary_metric}"
    values = [entry[key] for entry in state["log_history"] if key in entry]
    if not values:
        return state, 0
    best = max(values) if evaluator.greater_is_better else min(values)
    return state, len(values) - 1 - values.index(best)


def _arguments(
    recipe: Recipe, output: Path, evaluator: DevEvaluator | None, data: TrainingData, precision: str
) -> SentenceTransformerTrainingArguments:
    optimizer = recipe.optimizer
    on_gpu = torch.cuda.is_available()
    sampler = partial(
        HybridBatchSampler,
        **recipe.batches.model_dump(exclude={"size"}),
        source_weights=data.weights,
        # All processes share one epoch: in each step, every process takes one batch.
        batches=optimizer.steps * int(os.environ.get("WORLD_SIZE", "1")),
    )
    every = recipe.dev.every if recipe.dev else max(1, optimizer.steps // 10)
    best: dict[str, Any] = {}
    if recipe.dev and evaluator:
        best = {"eval_strategy": "steps", "eval_steps": every}
        if recipe.dev.patience:
            best |= {
                "load_best_model_at_end": True,
                "metric_for_best_model": f"eval_{evaluator.primary_metric}",
                "greater_is_better": evaluator.greater_is_better,
            }
    prompts = None
    if recipe.model and data.collator is None:
        prompts = {"query": recipe.model.query_prompt, "candidate": recipe.model.candidate_prompt}
    return SentenceTransformerTrainingArguments(
        output_dir=str(output),
        max_steps=optimizer.steps,
        per_device_train_batch_size=recipe.batches.size,
        learning_rate=optimizer.learning_rate,
        weight_decay=optimizer.weight_decay,
        adam_beta1=optimizer.betas[0],
        adam_beta2=optimizer.betas[1],
        lr_scheduler_type="constant_with_warmup" if optimizer.schedule == "constant" else optimizer.schedule,
        warmup_steps=round(optimizer.warmup * optimizer.steps),
        max_grad_norm=0.0 if optimizer.name == "sparse-adam" else 1.0,
        seed=recipe.seed,
        bf16=precision == "bfloat16",
        use_cpu=optimizer.name == "sparse-adam" or not on_gpu,
        save_strategy="steps",
        save_steps=every,
        save_total_limit=2,
        logging_steps=max(1, min(50, every // 4)),
        disable_tqdm=True,
        report_to="none",
        dataloader_pin_memory=on_gpu,
        batch_sampler=sampler,
        prompts=prompts,
        **best,
    )


class _Trainer(SentenceTransformerTrainer):  # type: ignore[misc]
    """The library's trainer without its model card, and without the norm of sparse gradients."""

    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        # The library's model card quotes training texts.
        pass

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        # Sparse gradients have no norm function.
        if self.args.max_grad_norm == 0:
            return None
        return super()._get_grad_norm(model, grad_norm=grad_norm)


class _Rounding(TrainerCallback):  # type: ignore[misc]
    """Lets the model compute with rounded weights from a step on."""

    def __init__(self, loss: torch.nn.Module, first: int) -> None:
        self._loss, self._first = loss, first

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._loss.rounded = state.global_step >= self._first


class _AsComputed(SentenceEvaluator):  # type: ignore[misc]
    """The dev task's evaluator, which scores a model with rounded weights once it trains with them.

    From then on the optimizer's own weights are never computed with, so their scores say nothing about the packed model.
    """

    def __init__(self, evaluator: DevEvaluator, loss: torch.nn.Module) -> None:
        super().__init__()
        self._evaluator, self._loss = evaluator, loss
        self.primary_metric, self.greater_is_better = evaluator.primary_metric, evaluator.greater_is_better

    def __call__(self, model: Any, *args: Any, **kwargs: Any) -> dict[str, float]:
        with with_rounded_weights(model) if self._loss.rounded else nullcontext():
            return self._evaluator(model, *args, **kwargs)


class _Progress(TrainerCallback):  # type: ignore[misc]
    """Reports steps and dev scores, and keeps ``log.csv`` up to date."""

    def __init__(self, reporter: Reporter, output: Path) -> None:
        self._reporter, self._output = reporter, output
        self._told = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._told = state.global_step
        if self._told:
            self._reporter.note(f"continuing after step {self._told:,}")
        self._reporter.start(STEPS, state.max_steps - self._told)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._reporter.advance(STEPS, state.global_step - self._told)
        self._told = state.global_step

    def on_log(
        self, args: Any, state: Any, control: Any, logs: Mapping[str, float] | None = None, **kwargs: Any
    ) -> None:
        if not state.is_world_process_zero:
            return
        _write_log(state.log_history, self._output)
        if logs and "eval_runtime" in logs:
            self._reporter.note(f"step {state.global_step:,}: {dev_line(logs)}")


def dev_line(logs: Mapping[str, float]) -> str:
    """The dev scores of a trainer's log as people read them: mAP x100, and rank distance in ranks."""
    parts = []
    for key, value in logs.items():
        if key.endswith((".mAP", ".rank_distance")):
            name = key.removeprefix("eval_")
            parts.append(
                f"{name} {cell(value, 1)}" if name.endswith("rank_distance") else f"{name} x100 {cell(value, 100)}"
            )
    return f"dev {', '.join(parts)}"


def _write_log(history: list[dict[str, Any]], output: Path) -> None:
    """Write ``log.csv``, for programs: one line for each step, one column for each logged value, shares in 0 to 1."""
    by_step: dict[int, dict[str, Any]] = {}
    for entry in history:
        row = by_step.setdefault(entry["step"], {})
        row.update({key.removeprefix("eval_"): value for key, value in entry.items()})
    columns = list(dict.fromkeys(["step", *(key for row in by_step.values() for key in row)]))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(row for _, row in sorted(by_step.items()))
    write_atomically(output / "log.csv", text.getvalue().encode())
