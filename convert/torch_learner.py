"""A faster learner for processors: the same Keras network, computed by PyTorch in channels-last memory.

PyTorch's convolutions and batch normalization train this network about 1.6 times faster than TensorFlow's on a CPU.
The network is not written a second time: the layer calls of the Keras model are interpreted, with its weights. What
leaves is a set of Keras weights; `train_cells` proves it in the Keras model before it saves anything.

With mixed precision the convolutions of a training step compute in bfloat16 (twice as fast again on a processor with
AVX-512 BF16); weights, optimizer, heads, losses and every prediction stay in float32.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch  # an option, not among the dependencies
from numpy.typing import NDArray
from torch.nn import functional

from convert.cell_training import CellTraining, network_for
from convert.keras_learner import GLOBAL_CLIP_NORM, UNDECAYED
from convert.layer_calls import LayerCall, calls_from_model
from convert.training_batches import NOT_ANNOTATED, Batch
from convert.training_state import Weights
from edge.catalogue import Catalogue

_PREDICT_BATCH = 128


class TorchLearner:
    """Trains with PyTorch; see `Learner` for the methods."""

    def __init__(
        self, training: CellTraining, catalogue: Catalogue, positive_weight: NDArray[np.float32], size_px: int
    ) -> None:
        torch.manual_seed(training.seed)
        self.size_px = size_px
        self._training = training
        keras_model = network_for(training, catalogue, size_px)
        self._unrolled = calls_from_model(keras_model)
        self._variables = [_Variable(variable) for variable in keras_model.weights]
        by_variable = {id(variable): own for variable, own in zip(keras_model.weights, self._variables, strict=True)}
        self._weights = {
            call.output: {_role(v): by_variable[id(v)].tensor for v in call.layer.weights}
            for call in self._unrolled.calls
        }
        self._positive_weight = torch.from_numpy(positive_weight)
        trainable = [own for own in self._variables if own.tensor.requires_grad]
        decayed = [own.tensor for own in trainable if own.role not in UNDECAYED]
        undecayed = [own.tensor for own in trainable if own.role in UNDECAYED]
        groups = [{"params": decayed}, {"params": undecayed, "weight_decay": 0.0}]
        self._optimizer = torch.optim.AdamW(
            groups, lr=training.peak_rate, weight_decay=training.weight_decay, eps=1e-7, fused=True
        )

    def resize(self, size_px: int) -> None:  # noqa: D102 - Learner
        self.size_px = size_px

    def step(self, batch: Batch, rate: float) -> float:  # noqa: D102 - Learner
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=self._training.mixed_precision):
            outputs = self._forward(batch.images, learning=True)
        outputs = {name: value.float() for name, value in outputs.items()}
        loss = self._loss(outputs, torch.from_numpy(batch.cell_type), torch.from_numpy(batch.findings))
        loss.backward()
        parameters = [p for group in self._optimizer.param_groups for p in group["params"]]
        torch.nn.utils.clip_grad_norm_(parameters, GLOBAL_CLIP_NORM)
        self._optimizer.step()
        return float(loss.detach())

    def predict(self, pixels: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:  # noqa: D102 - Learner
        parts: list[dict[str, NDArray[np.float32]]] = []
        with torch.no_grad():
            for start in range(0, len(pixels), _PREDICT_BATCH):
                outputs = self._forward(np.array(pixels[start : start + _PREDICT_BATCH]), learning=False)
                outputs["cell_type"] = torch.softmax(outputs["cell_type"], dim=1)
                outputs["findings"] = torch.sigmoid(outputs["findings"])
                parts.append({name: value.numpy() for name, value in outputs.items()})
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def get_weights(self) -> Weights:  # noqa: D102 - Learner
        return [variable.to_keras() for variable in self._variables]

    def set_weights(self, weights: Weights) -> None:  # noqa: D102 - Learner
        for variable, value in zip(self._variables, weights, strict=True):
            variable.from_keras(value)

    def optimizer_state(self) -> Weights:  # noqa: D102 - Learner
        state = self._optimizer.state
        parameters = [p for group in self._optimizer.param_groups for p in group["params"]]
        if not all(p in state for p in parameters):
            return []
        names = ("step", "exp_avg", "exp_avg_sq")
        return [state[p][name].detach().numpy().copy() for p in parameters for name in names]

    def set_optimizer_state(self, values: Weights) -> None:  # noqa: D102 - Learner
        arrays = iter(values)
        parameters = [p for group in self._optimizer.param_groups for p in group["params"]]
        for parameter in parameters if values else ():
            entry = {"step": torch.tensor(float(next(arrays)))}
            for name in ("exp_avg", "exp_avg_sq"):
                moment = torch.empty_like(parameter, memory_format=torch.preserve_format)
                moment.copy_(torch.from_numpy(np.array(next(arrays))))
                entry[name] = moment
            self._optimizer.state[parameter] = entry

    def _loss(self, outputs: dict[str, torch.Tensor], types: torch.Tensor, findings: torch.Tensor) -> torch.Tensor:
        """The losses of `training_loss.py`, on logits."""
        type_loss = functional.cross_entropy(
            outputs["cell_type"], types, label_smoothing=self._training.label_smoothing
        )
        annotated = (findings != NOT_ANNOTATED).float()
        entries = functional.binary_cross_entropy_with_logits(
            outputs["findings"], findings.clamp(min=0.0), pos_weight=self._positive_weight, reduction="none"
        )
        mean_annotations = annotated.sum(dim=1).mean().clamp(min=1.0)
        findings_loss = ((entries * annotated).sum(dim=1) / mean_annotations).mean()
        return type_loss + self._training.findings_weight * findings_loss

    def _forward(self, images: NDArray[np.uint8], *, learning: bool) -> dict[str, torch.Tensor]:
        # NHWC bytes seen as NCHW are channels-last already: no copy.
        values: dict[int, torch.Tensor] = {self._unrolled.input: torch.from_numpy(images).permute(0, 3, 1, 2).float()}
        for call in self._unrolled.calls:
            read = [values[number] for number in call.inputs]
            values[call.output] = _computed(call, read, self._weights[call.output], learning=learning)
        return {name: values[number] for name, number in self._unrolled.outputs}


class _Variable:
    """One Keras variable as a PyTorch tensor: kernels in (out, in, height, width), channels last."""

    def __init__(self, variable: Any) -> None:
        self.role = _role(variable)
        value = torch.from_numpy(self._turned(np.array(variable)))
        self._kernel = value.ndim == 4
        self.tensor = value.contiguous(memory_format=torch.channels_last) if self._kernel else value.contiguous()
        self.tensor.requires_grad_(bool(variable.trainable))

    def from_keras(self, value: NDArray[Any]) -> None:
        with torch.no_grad():
            self.tensor.copy_(torch.from_numpy(self._turned(np.array(value))))

    def to_keras(self) -> NDArray[Any]:
        value = self.tensor.detach().numpy()
        if self.role == "depthwise_kernel":
            return np.ascontiguousarray(value.transpose(2, 3, 0, 1))
        if value.ndim == 4:
            return np.ascontiguousarray(value.transpose(2, 3, 1, 0))
        return np.ascontiguousarray(value.T).copy()

    def _turned(self, value: NDArray[Any]) -> NDArray[Any]:
        if self.role == "depthwise_kernel":  # Keras (height, width, in, 1)
            return np.ascontiguousarray(value.transpose(2, 3, 0, 1))
        if value.ndim == 4:  # Keras (height, width, in, out)
            return np.ascontiguousarray(value.transpose(3, 2, 0, 1))
        return np.ascontiguousarray(value.T)


def _role(variable: Any) -> str:
    return str(variable.path).rsplit("/", 1)[-1]


def _computed(
    call: LayerCall, read: list[torch.Tensor], weights: dict[str, torch.Tensor], *, learning: bool
) -> torch.Tensor:
    layer, value = call.layer, read[0]
    kind = type(layer).__name__
    if kind == "Rescaling":
        return value * layer.scale + layer.offset
    if kind == "Conv2D":
        # Our strided convolutions are 1x1 or unpadded, where "same" and "valid" agree; unstrided ones pad evenly.
        padding = layer.kernel_size[0] // 2 if layer.padding == "same" else 0
        return functional.conv2d(value, weights["kernel"], stride=layer.strides, padding=padding)
    if kind == "SeparableConv2D":
        depthwise = weights["depthwise_kernel"]
        value = functional.conv2d(value, depthwise, padding=depthwise.shape[2] // 2, groups=depthwise.shape[0])
        return functional.conv2d(value, weights["pointwise_kernel"])
    if kind == "BatchNormalization":
        return functional.batch_norm(
            value,
            weights["moving_mean"],
            weights["moving_variance"],
            weights["gamma"],
            weights["beta"],
            training=learning,
            momentum=1 - layer.momentum,
            eps=layer.epsilon,
        )
    if kind == "ReLU":
        return torch.relu(value)
    if kind == "MaxPooling2D":
        return _pooled(value, layer.pool_size[0], layer.strides[0])
    if kind == "Add":
        return read[0] + read[1]
    if kind == "GlobalAveragePooling2D":
        return value.float().mean(dim=(2, 3))
    if kind == "Dropout":
        return functional.dropout(value, layer.rate, training=learning)
    if kind == "Dense":  # the activation is applied with the loss or the prediction
        with torch.autocast("cpu", enabled=False):  # float32, as the network's heads under Keras' mixed precision
            return functional.linear(value, weights["kernel"], weights["bias"])
    raise TypeError(f"layer {call.name} of kind {kind} is not part of our network")


def _pooled(value: torch.Tensor, window: int, stride: int) -> torch.Tensor:
    """Max pooling 3 / 2 with Keras' "same" padding: one line on both sides of odd images, at the end of even ones.

    At the end is what `ceil_mode` does, without a padded copy.
    """
    if (window, stride) != (3, 2):
        raise TypeError(f"pooling {window} / {stride} is not part of our network")
    odd = value.shape[2] % 2
    return functional.max_pool2d(value, window, stride, padding=odd, ceil_mode=not odd)
