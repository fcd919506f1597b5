"""Token vectors in blocks: what comes back is what was given, from memory and from a file, and scores are those of one block."""

import errno

import numpy as np
import pytest
import torch

from clirbench.encoders import from_sentence_transformers as scorers
from clirbench.encoders import token_blocks as module
from clirbench.encoders.from_sentence_transformers import MultiVectorScorer
from clirbench.encoders.lengths import Reader
from clirbench.encoders.token_blocks import TokenBlocks
from clirbench.support.errors import ClirbenchError


def vectors(lengths, dtype=torch.float32):
    torch.manual_seed(len(lengths))
    return [torch.randn(length, 4).to(dtype) for length in lengths]


@pytest.mark.parametrize("in_memory", [0, 1 << 20])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_blocks_come_back_bit_by_bit_as_often_as_asked(monkeypatch, in_memory, dtype):
    monkeypatch.setattr(module, "_IN_MEMORY", in_memory)
    blocks, given = TokenBlocks(), []
    for lengths in ((3, 0, 5), (1,), (0, 0), (2, 7)):
        part = vectors(lengths, dtype)
        blocks.add(part)
        given += part
        # A block may be added after others have been read.
        back = [(places, read) for places, read in blocks]
    assert len(blocks) == len(given) == 8
    assert [places for places, _ in back] == [slice(0, 3), slice(3, 4), slice(4, 6), slice(6, 8)]
    flat = [one for _, read in back for one in read]
    assert all(a.dtype == dtype and torch.equal(a, b) for a, b in zip(flat, given, strict=True))


def test_a_full_disk_is_one_line(monkeypatch):
    blocks = TokenBlocks()

    class Full:
        def write(self, content):
            raise OSError(errno.ENOSPC, "No space left on device")

        def close(self):
            pass

    blocks._file.close()
    blocks._file = Full()
    with pytest.raises(ClirbenchError, match=r"token vectors .* point TMPDIR at a disk"):
        blocks.add(vectors((1,)))


class Model:
    """A model of late interaction: MaxSim over random token vectors. It notes how many candidates it is given at a time."""

    training = False

    def __init__(self):
        self.given = []

    def train(self, mode):
        pass

    def encode_query(self, texts, **more):
        made = []
        for text in texts:
            torch.manual_seed(sum(text.encode()) * 31 + len(text))
            made.append(torch.randn(1 + len(text), 8))
        return made

    encode_document = encode_query

    def similarity(self, queries, candidates):
        self.given.append(len(candidates))
        return torch.stack([torch.stack([(q @ c.T).amax(1).sum() for c in candidates]) for q in queries])


def test_scores_in_blocks_are_those_of_brute_force(monkeypatch):
    monkeypatch.setattr(scorers, "_CANDIDATES", 3)
    monkeypatch.setattr(scorers, "_QUERIES", 2)
    model = Model()
    reader = {role: Reader(role, None, "", None, None) for role in ("query", "candidate")}
    scorer = MultiVectorScorer(model, 32, reader)
    candidates = ["a", "bbb", "cc", "dddd", "a", "e", "ff", "a long one"]
    queries = ["q", "qq", "a question"]
    scorer.prepare_candidates(candidates, ["en"] * 8)
    expected = np.array(
        [
            [(q @ c.T).amax(1).sum().item() for c in model.encode_document(candidates)]
            for q in model.encode_query(queries)
        ]
    )
    for _ in range(2):
        assert np.allclose(scorer.score(queries, ["en"] * 3), expected, rtol=1e-6)
    assert max(model.given) == 3
    # Prepared again, it has the new candidates alone.
    scorer.prepare_candidates(candidates[:2], ["en"] * 2)
    assert np.allclose(scorer.score(queries, ["en"] * 3), expected[:, :2], rtol=1e-6)
