from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from ochat_train.layout import SequenceLayout


@given(st.lists(st.integers(1, 300), min_size=1, max_size=40))
def test_grouping_is_a_permutation_that_stays_inside_each_sequence(lengths: list[int]) -> None:
    layout = SequenceLayout.from_lengths(lengths)
    grouping = layout.grouping
    tokens = torch.arange(sum(lengths))
    assert torch.equal(grouping.gather[grouping.scatter], tokens)
    owner = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    cells = grouping.gather.split([g.count * g.length for g in grouping.groups])
    for group, indices in zip(grouping.groups, cells, strict=True):
        owners = owner[indices].view(group.count, group.length)
        assert bool((owners == owners[:, :1]).all())


def test_short_sequences_share_a_group_and_long_ones_stay_alone() -> None:
    groups = SequenceLayout.from_lengths([100, 95, 90, 4000, 3900]).grouping.groups
    assert [(group.count, group.length) for group in groups] == [(1, 4000), (1, 3900), (3, 100)]


def test_a_layout_can_be_read_back_from_its_borders() -> None:
    layout = SequenceLayout.from_lengths([3, 1, 5])
    assert layout.cu_seqlens.tolist() == [0, 3, 4, 9]
    again = SequenceLayout.from_cu_seqlens(layout.cu_seqlens)
    assert (again.lengths, again.max_length) == ((3, 1, 5), 5)
