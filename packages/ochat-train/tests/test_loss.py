from __future__ import annotations

import pytest
import torch
from torch import nn

from ochat_train.batch import IGNORED
from ochat_train.head import OutputHead
from ochat_train.loss import rows_per_chunk, weighted_loss

TOKENS, HIDDEN, VOCAB = 37, 16, 50


def _inputs(dtype: torch.dtype = torch.float64) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    labels = torch.randint(0, VOCAB, (TOKENS,), generator=generator)
    labels[torch.rand(TOKENS, generator=generator) < 0.4] = IGNORED
    return {
        "hidden": normal(TOKENS, HIDDEN).requires_grad_(),
        "weight": normal(VOCAB, HIDDEN).requires_grad_(),
        "bias": normal(VOCAB).requires_grad_(),
        "labels": labels,
        "weights": torch.rand(TOKENS, generator=generator) + 0.1,
    }


def _reference(x: dict[str, torch.Tensor], scale: float, softcap: float | None) -> torch.Tensor:
    logits = (x["hidden"] @ x["weight"].T + x["bias"]) * scale
    if softcap is not None:
        logits = softcap * torch.tanh(logits / softcap)
    losses = nn.functional.cross_entropy(
        logits.double(), x["labels"], ignore_index=IGNORED, reduction="none"
    )
    return (losses * x["weights"]).sum()


@pytest.mark.parametrize("chunk_rows", [1, 7, 25, 4096])
@pytest.mark.parametrize(("scale", "softcap"), [(1.0, None), (0.25, None), (1.0, 2.0), (0.5, 3.0)])
def test_loss_and_gradients_equal_those_of_full_logits(
    chunk_rows: int, scale: float, softcap: float | None
) -> None:
    ours, theirs = _inputs(torch.float32), _inputs(torch.float64)
    head = OutputHead(weight=ours["weight"], bias=ours["bias"], scale=scale, softcap=softcap)
    sums = weighted_loss(
        head, ours["hidden"], ours["labels"], ours["weights"], chunk_rows=chunk_rows
    )
    # A factor behind the loss has to reach the gradients that were computed before it was known.
    (sums.loss * 3.0).backward()
    expected = _reference(theirs, scale, softcap)
    (expected * 3.0).backward()
    assert float(sums.loss.detach()) == pytest.approx(float(expected.detach()), rel=1e-6)
    for name in ("hidden", "weight", "bias"):
        got, wanted = ours[name].grad, theirs[name].grad
        assert got is not None
        assert wanted is not None
        assert torch.allclose(got.double(), wanted, rtol=1e-4, atol=1e-5), name


def test_supervised_rows_fall_on_chunk_borders_once() -> None:
    """Twenty-five supervised rows: chunks of 25 end exactly with them."""
    assert int((_inputs()["labels"] != IGNORED).sum()) == 25


def test_ignored_positions_get_no_gradient_and_do_not_count() -> None:
    x = _inputs(torch.float32)
    sums = weighted_loss(OutputHead(weight=x["weight"]), x["hidden"], x["labels"], x["weights"])
    sums.loss.backward()
    assert x["hidden"].grad is not None
    ignored = x["labels"] == IGNORED
    assert not x["hidden"].grad[ignored].any()
    assert sums.rows.tolist() == torch.nonzero(~ignored).flatten().tolist()
    logits = x["hidden"] @ x["weight"].T
    assert int(sums.hits.sum()) == int((logits.argmax(-1) == x["labels"])[~ignored].sum())


def test_a_batch_without_supervision_has_loss_zero_and_zero_gradients() -> None:
    x = _inputs(torch.float32)
    labels = torch.full_like(x["labels"], IGNORED)
    sums = weighted_loss(OutputHead(weight=x["weight"]), x["hidden"], labels, x["weights"])
    sums.loss.backward()
    assert float(sums.loss.detach()) == 0.0
    assert x["weight"].grad is not None
    assert not x["weight"].grad.any()


def test_frozen_embeddings_get_no_gradient() -> None:
    x = _inputs(torch.float32)
    frozen = x["weight"].detach()
    sums = weighted_loss(OutputHead(weight=frozen), x["hidden"], x["labels"], x["weights"])
    sums.loss.backward()
    assert x["hidden"].grad is not None
    assert frozen.grad is None


def test_sums_over_many_chunks_are_kept_in_float32_for_half_precision_weights() -> None:
    """Adding a thousand bfloat16 chunks one by one would lose most of them."""
    rows = 2000
    hidden = torch.ones(rows, 4, dtype=torch.bfloat16)
    weight = torch.zeros(8, 4, dtype=torch.bfloat16, requires_grad=True)
    labels, weights = torch.zeros(rows, dtype=torch.int64), torch.ones(rows)
    sums = weighted_loss(OutputHead(weight=weight), hidden, labels, weights, chunk_rows=1)
    sums.loss.backward()
    assert weight.grad is not None
    # Every row adds softmax - one-hot = 1/8 at the other rows.
    assert weight.grad[1].float().tolist() == pytest.approx([rows / 8] * 4, rel=0.01)
    assert weight.grad[0].float().tolist() == pytest.approx([-rows * 7 / 8] * 4, rel=0.01)


@torch.no_grad()
def test_evaluation_gives_the_same_losses_as_training() -> None:
    x = _inputs(torch.float32)
    head = OutputHead(weight=x["weight"], bias=x["bias"], softcap=3.0)
    evaluated = weighted_loss(head, x["hidden"], x["labels"], x["weights"], chunk_rows=5)
    with torch.enable_grad():
        trained = weighted_loss(head, x["hidden"], x["labels"], x["weights"])
    assert torch.allclose(evaluated.losses, trained.losses)
    assert torch.equal(evaluated.hits, trained.hits)
    assert not evaluated.loss.requires_grad
    weighted = (trained.losses * x["weights"][trained.rows]).sum()
    assert float(trained.loss.detach()) == pytest.approx(float(weighted), rel=1e-6)


def test_autocast_runs_the_head_in_half_precision_and_keeps_float32_gradients() -> None:
    x = _inputs(torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        sums = weighted_loss(OutputHead(weight=x["weight"]), x["hidden"], x["labels"], x["weights"])
    sums.loss.backward()
    exact = _inputs()
    expected = _reference({**exact, "bias": torch.zeros(VOCAB)}, 1.0, None)
    assert float(sums.loss.detach()) == pytest.approx(float(expected.detach()), rel=1e-2)
    assert float(sums.loss.detach()) != pytest.approx(float(expected.detach()), rel=1e-7)
    assert x["weight"].grad is not None
    assert x["weight"].grad.dtype == torch.float32


def test_chunks_of_a_large_vocabulary_stay_below_64_mib() -> None:
    assert rows_per_chunk(128_256) * 128_256 * 4 <= 64 * 2**20
    assert rows_per_chunk(2**40) == 1
