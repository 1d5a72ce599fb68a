"""The network of the paper: one Xception trunk, a 2,048-d last hidden layer and two heads.

Kimura et al., Sci Rep 2019;9:13385, Methods: three upstream blocks with two parallel paths (128, 256, 728 channels),
eight downstream residual blocks (728), separable convolution + batch normalization + ReLU, and a 2,048-d output of the
last hidden layer. That is the trunk of Xception (Chollet, arXiv 1610.02357); the exit block (1024, 1536, 2048) follows
from the 2,048. Both heads, 17 cell types and 97 findings, read the same features.

The layers are the small set that the conversion to ONNX knows. Any Keras 3 backend runs them.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

ENTRY_CHANNELS = (128, 256, 728)
MIDDLE_BLOCKS = 8
EXIT_CHANNELS = (728, 1024, 1536, 2048)
EMBEDDING_CHANNELS = EXIT_CHANNELS[-1]

# Xception's two unpadded 3x3 convolutions and four halvings leave nothing of smaller images.
SMALLEST_SIZE_PX = 32
# Keras' default of 0.99 needs hundreds of steps to follow the weights; our data sets give an epoch of a few hundred.
BATCH_NORM_MOMENTUM = 0.9
DROPOUT = 0.3


def channels_from_width(paper_channels: int, width: float) -> int:
    """Return the channels of a layer at a width multiplier: a multiple of 8, because int8 kernels work in such blocks.

    Every channel count of the paper is a multiple of 8 itself, so width 1.0 gives exactly the paper's network.
    """
    return max(8, round(paper_channels * width / 8) * 8)


def build_network(
    *, size_px: int, width: float = 1.0, type_count: int = 17, finding_count: int = 97, dropout: float = DROPOUT
) -> keras.Model:
    """Return the untrained network.

    Input `images`: uint8 [N, size_px, size_px, 3], RGB; the scaling to -1..1 is the first layer. Outputs, a dict:
    `cell_type` float32 [N, type_count] (softmax), `findings` float32 [N, finding_count] (sigmoid), `embedding`
    float32 [N, D] with D = 2,048 at width 1.0. Raises ValueError where size or width make no network.
    """
    if size_px < SMALLEST_SIZE_PX:
        raise ValueError(f"an image of {size_px} px is too small for this network; give at least {SMALLEST_SIZE_PX}")
    if not 0 < width <= 2:
        raise ValueError(f"a width of {width} makes no network; give a number above 0 and up to 2")
    images = keras.Input((size_px, size_px, 3), dtype="uint8", name="images")
    features = layers.Rescaling(1 / 127.5, offset=-1.0, name="scaling")(images)
    features = _entry_flow(features, width)
    for block in range(MIDDLE_BLOCKS):
        features = _middle_block(features, channels_from_width(ENTRY_CHANNELS[-1], width), f"middle{block + 1}")
    features = _exit_flow(features, width)
    # float32 from here on, also under mixed precision: probabilities in bfloat16 would have two digits.
    embedding = layers.GlobalAveragePooling2D(dtype="float32", name="embedding")(features)
    hidden = layers.Dropout(dropout, dtype="float32", name="dropout")(embedding)
    cell_type = layers.Dense(type_count, activation="softmax", dtype="float32", name="cell_type")(hidden)
    findings = layers.Dense(finding_count, activation="sigmoid", dtype="float32", name="findings")(hidden)
    return keras.Model(
        images, {"cell_type": cell_type, "findings": findings, "embedding": embedding}, name="mds_edge_cells"
    )


def _entry_flow(features: Any, width: float) -> Any:
    for number, (paper_channels, strides) in enumerate(((32, 2), (64, 1)), start=1):
        features = layers.Conv2D(
            channels_from_width(paper_channels, width),
            3,
            strides=strides,
            padding="valid",
            use_bias=False,
            name=f"stem{number}_conv",
        )(features)
        features = _normalized(features, f"stem{number}")
        features = layers.ReLU(name=f"stem{number}_relu")(features)
    for number, paper_channels in enumerate(ENTRY_CHANNELS, start=1):
        channels = channels_from_width(paper_channels, width)
        name = f"entry{number}"
        path = features
        if number > 1:  # the first block follows a ReLU already
            path = layers.ReLU(name=f"{name}_relu1")(path)
        path = _separable(path, channels, f"{name}_sepconv1")
        path = layers.ReLU(name=f"{name}_relu2")(path)
        path = _separable(path, channels, f"{name}_sepconv2")
        features = _halved_with_shortcut(path, features, channels, name)
    return features


def _middle_block(features: Any, channels: int, name: str) -> Any:
    path = features
    for number in (1, 2, 3):
        path = layers.ReLU(name=f"{name}_relu{number}")(path)
        path = _separable(path, channels, f"{name}_sepconv{number}")
    return layers.Add(name=f"{name}_add")([path, features])


def _exit_flow(features: Any, width: float) -> Any:
    channels = [channels_from_width(paper_channels, width) for paper_channels in EXIT_CHANNELS]
    path = layers.ReLU(name="exit1_relu1")(features)
    path = _separable(path, channels[0], "exit1_sepconv1")
    path = layers.ReLU(name="exit1_relu2")(path)
    path = _separable(path, channels[1], "exit1_sepconv2")
    features = _halved_with_shortcut(path, features, channels[1], "exit1")
    for number in (2, 3):
        features = _separable(features, channels[number], f"exit{number}_sepconv")
        features = layers.ReLU(name=f"exit{number}_relu")(features)
    return features


def _separable(features: Any, channels: int, name: str) -> Any:
    features = layers.SeparableConv2D(channels, 3, padding="same", use_bias=False, name=name)(features)
    return _normalized(features, name)


def _halved_with_shortcut(path: Any, features: Any, channels: int, name: str) -> Any:
    path = layers.MaxPooling2D(3, strides=2, padding="same", name=f"{name}_pool")(path)
    shortcut = layers.Conv2D(channels, 1, strides=2, padding="same", use_bias=False, name=f"{name}_shortcut")(features)
    return layers.Add(name=f"{name}_add")([path, _normalized(shortcut, f"{name}_shortcut")])


def _normalized(features: Any, name: str) -> Any:
    return layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, name=f"{name}_bn")(features)
