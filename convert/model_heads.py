"""Finds the two heads and the feature layer of a Keras model, by name first and by width otherwise.

The result is what the writer needs and nothing more: which value carries the types, which the findings, which the
features. A model that does not fit is refused with what was found and what was expected.
"""

from __future__ import annotations

from dataclasses import dataclass

from convert.layer_calls import LayerCall, UnrolledModel
from edge.errors import EdgeError

HEAD_ACTIVATIONS = {"cell_type": "softmax", "findings": "sigmoid"}


@dataclass(frozen=True, slots=True)
class Heads:
    """Value numbers of the three outputs, their widths, and what Keras calls the two heads."""

    cell_type: int
    findings: int
    embedding: int
    embedding_dim: int
    type_count: int
    finding_count: int
    cell_type_output: str
    findings_output: str

    def widths(self) -> dict[str, int]:
        """Return the width of each output by its name in the bundle."""
        return {"cell_type": self.type_count, "findings": self.finding_count, "embedding": self.embedding_dim}


def find_heads(
    model: UnrolledModel, *, type_count: int, finding_count: int, names: tuple[str, str] | None = None
) -> Heads:
    """Return the heads of `model`: the outputs called `names` (types, findings), else those that the model tells.

    Raises EdgeError: MDSE-CONVERT-006 where an output is missing, double or of another width; -007 where a head does
    not end in its activation (softmax, sigmoid); -008 where there is no feature layer.
    """
    widths = {name: _width(model, value) for name, value in model.outputs}
    chosen = {
        head: _choose(head, name, expected, widths)
        for head, name, expected in zip(
            HEAD_ACTIVATIONS, names or (None, None), (type_count, finding_count), strict=True
        )
    }
    values = dict(model.outputs)
    for head, output in chosen.items():
        _require_activation(model, head, values[output])
    embedding = _find_embedding(model, values, chosen)
    return Heads(
        cell_type=values[chosen["cell_type"]],
        findings=values[chosen["findings"]],
        embedding=embedding,
        embedding_dim=_width_or_zero(model, embedding),
        type_count=type_count,
        finding_count=finding_count,
        cell_type_output=chosen["cell_type"],
        findings_output=chosen["findings"],
    )


def activation_of(call: LayerCall) -> str:
    """Return the name of the activation that ends a layer: linear, relu, softmax ..."""
    if type(call.layer).__name__ == "Softmax":
        return "softmax"
    function = getattr(call.layer, "activation", None)
    return str(getattr(function, "__name__", function)) if function is not None else "linear"


def _width(model: UnrolledModel, value: int) -> int | None:
    call = model.maker_of(value)
    return call.shape[0] if call is not None and len(call.shape) == 1 else None


def _width_or_zero(model: UnrolledModel, value: int) -> int:
    return _width(model, value) or 0


def _choose(head: str, named: str | None, expected: int, widths: dict[str, int | None]) -> str:
    by_name = [name for name in widths if name == (named or head)]
    candidates = by_name or [name for name, width in widths.items() if width == expected and named is None]
    if len(candidates) == 1 and widths[candidates[0]] == expected:
        return candidates[0]
    found = ", ".join(f"{name} of width {width}" for name, width in widths.items())
    raise EdgeError("MDSE-CONVERT-006", where=head, expected=expected, found=found or "no output")


def _require_activation(model: UnrolledModel, head: str, value: int) -> None:
    call = model.maker_of(value)
    found = activation_of(call) if call is not None else "nothing"
    expected = HEAD_ACTIVATIONS[head]
    if found != expected:
        raise EdgeError("MDSE-CONVERT-007", where=head, found=found, expected=expected)


def _find_embedding(model: UnrolledModel, values: dict[str, int], chosen: dict[str, str]) -> int:
    """The output called `embedding`; else the features that both heads read."""
    read = {head: _features_under(model, values[output]) for head, output in chosen.items()}
    if "embedding" in values:
        if _width(model, values["embedding"]) is None:
            raise EdgeError("MDSE-CONVERT-008", where="embedding", found="an output that is not one vector per cell")
        return values["embedding"]
    if read["cell_type"] is None or read["cell_type"] != read["findings"]:
        names = [f"{head} reads {_maker_name(model, value)}" for head, value in read.items()]
        raise EdgeError("MDSE-CONVERT-008", where="embedding", found=", ".join(names))
    return read["cell_type"]


def _maker_name(model: UnrolledModel, value: int | None) -> str:
    call = model.maker_of(value) if value is not None else None
    return call.name if call is not None else "no vector"


def _features_under(model: UnrolledModel, value: int) -> int | None:
    """Walk from a head's output down through activation, dense layer and dropout to the vector it reads."""
    dense_passed = False
    call = model.maker_of(value)
    while call is not None:
        kind = type(call.layer).__name__
        if kind == "Dense" and not dense_passed:
            dense_passed = True
        elif kind not in (("Dropout",) if dense_passed else ("Dropout", "Activation", "Softmax")):
            break
        value = call.inputs[0]
        call = model.maker_of(value)
    return value if dense_passed and _width(model, value) is not None else None
