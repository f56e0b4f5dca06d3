"""A classifier, or a probe with its head, as an ONNX graph from token ids to logits.

`torch.onnx.export(dynamo=True)`: the older exporter differs in silence on padded rows at new shapes.
Attention is written out in plain operations (`eager`): the other form's guarded softmax costs time.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from nlp_transfer.errors import ModelError
from nlp_transfer.inference.load import FullClassifier, ProbeClassifier
from nlp_transfer.models.probe import ProbeHead

# Two rows of unlike length: neither size may be taken for a constant, and one row is padded.
EXAMPLE_TEXTS = ["a text of a few words", "another"]
# Matrix products hold nearly all of the time; embeddings stay float32, where eight bits cost accuracy and
# bring no speed.
QUANTISED_OPERATION = "MatMul"


class _Logits(nn.Module):
    """A classifier with its inputs in an order instead of by name."""

    def __init__(self, model: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.model = model
        self.names = list(names)

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return self.model(**dict(zip(self.names, inputs, strict=True))).logits  # type: ignore[no-any-return]


class _ProbeLogits(nn.Module):
    """A frozen encoder, the mean over its real tokens, and the probe's regression on that."""

    def __init__(self, encoder: nn.Module, head: ProbeHead, names: Sequence[str]) -> None:
        super().__init__()
        self.encoder = encoder
        self.names = list(names)
        classes, hidden = head.weights.shape
        self.head = nn.Linear(hidden, classes)
        head.start_linear(self.head)

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        named = dict(zip(self.names, inputs, strict=True))
        hidden = self.encoder(**named).last_hidden_state
        mask = named["attention_mask"].unsqueeze(-1).to(hidden.dtype)
        return self.head((hidden * mask).sum(1) / mask.sum(1).clamp(min=1))  # type: ignore[no-any-return]


def write_graph(model: FullClassifier | ProbeClassifier, path: Path) -> None:
    """Write a model as a graph whose rows and tokens are of any number.

    Args:
        model: on any device; it is moved to the CPU and its attention changed to the plain form.
        path: the file.

    Raises:
        ModelError: the exporter cannot write a model of this family.
    """
    example = model.tokenizer(EXAMPLE_TEXTS, padding=True, return_tensors="pt")
    names, encoder = list(example), model.encoder if isinstance(model, ProbeClassifier) else model.model
    encoder.to("cpu").eval()
    if hasattr(encoder, "set_attn_implementation"):
        encoder.set_attn_implementation("eager")
    wrapped: nn.Module = (
        _ProbeLogits(encoder, model.head, names)
        if isinstance(model, ProbeClassifier)
        else _Logits(encoder, names)
    )
    sizes = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    try:
        with _quiet():
            program = torch.onnx.export(
                wrapped.eval(),
                tuple(example[name] for name in names),
                input_names=names,
                output_names=["logits"],
                dynamic_shapes=(tuple(sizes for _ in names),),
                dynamo=True,
                verbose=False,
            )
            if program is None:
                raise RuntimeError("the exporter returned nothing")
    except RuntimeError as error:  # OnnxExporterError among them, in which the exporter wraps all others.
        reason = " ".join(str(error).split())[:300]
        family = encoder.config.model_type
        raise ModelError(
            f"{family} models cannot be exported for ONNX Runtime with these versions ({reason}); use the "
            "model as it is"
        ) from error
    # Outside: what the disk does is no word on the model.
    program.save(path)


def quantise(path: Path) -> None:
    """Replace the weights of a graph's matrix products by eight bits, the activations as they come.

    One scale for each output channel, and seven of the eight bits: with all eight, a processor that has no
    VNNI instructions overflows its sixteen-bit sums, and a model exported here is used elsewhere. Products
    that narrow (the second one of a feed-forward block, whose input has outliers, and the head) stay float32:
    with them in eight bits MiniLM fell from 86.0 to 85.0 on 1,000 product sentences, without to 86.3, for
    3.9 s of processor time instead of 2.7 s (6.9 s in float32).
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    whole = path.with_name("float32.onnx")
    path.rename(whole)
    try:
        with _quiet():
            quantize_dynamic(
                str(whole),
                str(path),
                op_types_to_quantize=[QUANTISED_OPERATION],
                nodes_to_exclude=_narrowing(onnx.load(whole)),
                per_channel=True,
                reduce_range=True,
                weight_type=QuantType.QInt8,
            )
    finally:
        whole.unlink()


def _narrowing(graph: Any) -> list[str]:
    """Name the products by weights with more inputs than outputs."""
    sizes = {each.name: tuple(each.dims) for each in graph.graph.initializer}
    products = [node for node in graph.graph.node if node.op_type == QUANTISED_OPERATION]
    shapes = [(node.name, sizes.get(node.input[1], (0, 0))) for node in products]
    return [name for name, shape in shapes if len(shape) == 2 and shape[0] > shape[1]]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep away what the libraries say of their own inner workings."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir", "")]
    levels = [each.level for each in loggers]
    try:
        for each in loggers:
            each.setLevel(logging.ERROR)
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for each, level in zip(loggers, levels, strict=True):
            each.setLevel(level)
