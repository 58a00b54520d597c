"""What is chosen for the whole process, while several compute at once."""

from __future__ import annotations

import torch

from groovemark.ml.features.arithmetic import whole_float32

CPU = torch.device("cpu")


def standing() -> tuple[int, str]:
    return torch.get_num_threads(), torch.backends.mkldnn.matmul.fp32_precision


def test_two_that_overlap_keep_each_others_arithmetic_and_leave_the_programs():
    """Whoever left first gave the other one the program's own precision, and who left last kept it from the program."""
    torch.set_num_threads(2)
    torch.backends.mkldnn.matmul.fp32_precision = "bf16"
    try:
        first, second = whole_float32(CPU), whole_float32(CPU, threads=4)
        first.__enter__()
        second.__enter__()
        assert standing() == (1, "ieee")
        first.__exit__(None, None, None)
        assert standing() == (4, "ieee")
        second.__exit__(None, None, None)
        assert standing() == (2, "bf16")
    finally:
        torch.set_num_threads(1)
        torch.backends.mkldnn.matmul.fp32_precision = "none"


def test_convolutions_of_graphics_cards_keep_their_digits_as_well():
    """torch takes them in TensorFloat-32 by default, in which networks on samples lost half of their digits."""
    before = torch.backends.cudnn.conv.fp32_precision
    assert before == "tf32"
    with whole_float32(CPU):
        assert torch.backends.cudnn.conv.fp32_precision == "ieee"
    assert torch.backends.cudnn.conv.fp32_precision == before
