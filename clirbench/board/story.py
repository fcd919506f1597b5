"""What a board shows at a glance: the model that a mean per language helps most in the pool of all languages."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from clirbench.tasks.task_file import board_tasks

# The bundled bag of subwords, beside which a large encoder's place in the pool is easy to judge.
BAG = "clirbench/hybrid"
CENTRED = " + center"


@dataclass(frozen=True)
class Row:
    """One measured row: mAP from 0 to 1 by setting. ``name`` is what people call it."""

    model: str
    monolingual: float
    cross_lingual: float
    multilingual: float
    name: str


@dataclass(frozen=True)
class Step:
    """One number of the story, an mAP from 0 to 1, and what it is of. ``own`` says that it is of the biased model."""

    words: str
    value: float
    own: bool


@dataclass(frozen=True)
class Story:
    """The model as it is that gains most from centring, in the multilingual pool of a task.

    ``centred`` is the same model with the mean vector of each language subtracted. ``bag`` is the bundled bag of subwords, and
    ``best`` the best other model as it is; each is None where the board has no such row, or ``best`` is not better.
    ``zero_shot`` is the board's answer for the biased model.
    """

    languages: int
    biased: Row
    centred: Row
    bag: Row | None
    best: Row | None
    zero_shot: str

    @property
    def sentences(self) -> list[str]:
        """The story in words, with mAP x100. What the best other model has, only the steps say."""
        one, pool = self.biased, _map(self.biased.multilingual)
        bag = f", where a bag of subwords ({self.bag.model}) has {_map(self.bag.multilingual)}" if self.bag else ""
        told = [
            f"{one.model} has mAP {_map(one.monolingual)} among candidates in the question's language, but {pool} in a pool "
            f"of {self.languages} languages{bag}.",
            f"One mean per language, subtracted from its vectors, gives {_map(self.centred.multilingual)} there.",
        ]
        if self.zero_shot == "no":
            told.append("The model was trained on data of the same kind, so it is not zero-shot.")
        return told

    @property
    def sentence(self) -> str:
        """The story in one sentence, for the top of a page."""
        one, bag = self.biased, f"; a bag of subwords has {_map(self.bag.multilingual)}" if self.bag else ""
        trained = " It was trained on data of the same kind, so it is not zero-shot." if self.zero_shot == "no" else ""
        return (
            f"{one.name} finds answers in the question's language (mAP {_map(one.monolingual)}) and loses them in the pool of "
            f"{self.languages} languages ({_map(one.multilingual)}{bag}); one mean per language, subtracted from its vectors, "
            f"brings them back ({_map(self.centred.multilingual)}).{trained}"
        )

    @property
    def steps(self) -> list[Step]:
        """The numbers to draw, in the order of the story."""
        pool = f"in a pool of {self.languages} languages"
        steps = [
            Step("candidates in the question's language", self.biased.monolingual, True),
            Step("in one other language", self.biased.cross_lingual, True),
            Step(pool, self.biased.multilingual, True),
            Step("in that pool, one mean per language subtracted", self.centred.multilingual, True),
        ]
        if self.bag:
            steps.append(Step(f"{self.bag.model}, a bag of subwords", self.bag.multilingual, False))
        if self.best:
            steps.append(Step(f"{self.best.model}, the best without a transform", self.best.multilingual, False))
        return steps


def story(frame: pd.DataFrame, task: str) -> Story | None:
    """Find the story in the table of ``clirbench.leaderboard``; None if centring lifts no measured model beyond its margin."""
    measured = frame[frame["origin"] == "measured"].drop_duplicates("model").set_index("model", drop=False)
    multi = f"{task} multilingual mAP"
    gains = {
        model: measured.at[f"{model}{CENTRED}", multi] - measured.at[model, multi]
        for model in measured.index
        if f"{model}{CENTRED}" in measured.index
        and measured.at[f"{model}{CENTRED}", f"{multi} low"] > measured.at[model, f"{multi} high"]
    }
    if not gains:
        return None
    biased = max(gains, key=lambda model: gains[model])
    others = (
        as_they_are(frame).drop_duplicates("model").set_index("model", drop=False).drop([biased, BAG], errors="ignore")
    )
    better = others[others[f"{multi} low"] > measured.at[biased, f"{multi} high"]]
    return Story(
        languages=len(board_tasks()[task].languages),
        biased=_row(measured.loc[biased], task),
        centred=_row(measured.loc[f"{biased}{CENTRED}"], task),
        bag=_row(measured.loc[BAG], task) if BAG in measured.index and biased != BAG else None,
        best=_row(better.loc[better[multi].idxmax()], task) if len(better) else None,
        zero_shot=str(measured.at[biased, f"{task} zero-shot"]),
    )


def as_they_are(frame: pd.DataFrame) -> pd.DataFrame:
    """The measured models without the copies whose language bias was removed afterwards, in the board's order."""
    return frame[(frame["origin"] == "measured") & ~frame["model"].str.contains(" + ", regex=False)]


def _row(values: Any, task: str) -> Row:
    settings = ("monolingual", "cross-lingual", "multilingual")
    alone, across, pool = (float(values[f"{task} {setting} mAP"]) for setting in settings)
    return Row(values["model"], alone, across, pool, values.get("name", values["model"]))


def _map(value: float) -> str:
    return f"{100 * value:.1f}"
