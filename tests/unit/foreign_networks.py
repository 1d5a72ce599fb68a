"""Networks that this repository did not define: bodies of keras.applications, and one with every other layer."""

from __future__ import annotations

import os
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import layers
from keras_models import cells


def settled(model: keras.Model, seed: int = 0) -> keras.Model:
    """Weights as initialized, normalizations with random gamma and beta and the statistics of a batch of images.

    An untrained body blows up the last digits of float32 (1e-5 of its features against float64), so the heads' logits
    are small (0.75): larger ones would show that and not the conversion.
    """
    random = np.random.default_rng(seed)
    normalizations = [layer for layer in model._flatten_layers() if isinstance(layer, layers.BatchNormalization)]
    for layer in normalizations:
        layer.momentum = 0.0
        *affine, mean, variance = layer.get_weights()
        layer.set_weights([*(row + random.normal(0, 0.1, row.shape) for row in affine), mean, variance])
    images = cells(24, model.inputs[0].shape[1], seed=99).astype(model.inputs[0].dtype)
    model(images, training=True)
    for layer in model.layers:
        if isinstance(layer, layers.Dense) and layer.units in (17, 97):
            features = np.asarray(keras.Model(model.inputs[0], layer.input)(images, training=False))
            kernel = random.normal(0, 0.75 / np.sqrt(np.square(features).sum(axis=1).mean()), layer.kernel.shape)
            layer.set_weights([kernel, np.zeros(layer.units)])
    return model


def _on_body(body: Callable[..., keras.Model], size_px: int, *, scaled: bool, **options: object) -> keras.Model:
    """A body as it is used for transfer learning: nested, pooled inside, two heads on its features."""
    images = keras.Input((size_px, size_px, 3), name="photo")
    pixels = images if scaled else layers.Rescaling(1 / 127.5, offset=-1.0)(images)
    inner = body(weights=None, include_top=False, input_shape=(size_px, size_px, 3), pooling="avg", **options)
    features = layers.Dropout(0.2)(inner(pixels))
    kinds = layers.Dense(17, activation="softmax", name="kind")(features)
    signs = layers.Activation("sigmoid", name="signs")(layers.Dense(97, name="sign_logits")(features))
    return settled(keras.Model(images, [kinds, signs], name="foreign"))


def mobilenet_v2(size_px: int = 64) -> keras.Model:
    return _on_body(keras.applications.MobileNetV2, size_px, scaled=False, alpha=0.35)


def efficientnet_b0(size_px: int = 64) -> keras.Model:
    """Its own first layers scale and normalize the pixels; squeeze-and-excite, swish, padding layers."""
    images = keras.Input((size_px, size_px, 3), name="photo")
    body = keras.applications.EfficientNetB0(weights=None, include_top=False, input_tensor=images, pooling="avg")
    kinds = layers.Dense(17, activation="softmax", name="kind")(body.output)
    signs = layers.Dense(97, activation="sigmoid", name="signs")(body.output)
    return settled(keras.Model(images, [kinds, signs], name="foreign"))


def resnet50(size_px: int = 64) -> keras.Model:
    return _on_body(keras.applications.ResNet50, size_px, scaled=False)


def xception(size_px: int = 75) -> keras.Model:
    return _on_body(keras.applications.Xception, size_px, scaled=False)


def densenet121(size_px: int = 64) -> keras.Model:
    return _on_body(keras.applications.DenseNet121, size_px, scaled=False)


def every_layer(size_px: int = 31) -> keras.Model:
    """Every layer that no body above has, with asymmetric sizes and weights."""
    images = keras.Input((size_px, size_px, 3), dtype="uint8", name="photo")
    x = layers.Normalization(mean=[120.0, 110.0, 100.0], variance=[900.0, 400.0, 100.0])(images)
    x = layers.ZeroPadding2D(((1, 2), (0, 3)))(x)
    x = layers.Conv2D(12, 3, strides=2, padding="valid")(x)
    x = layers.PReLU(shared_axes=[1, 2], alpha_initializer=keras.initializers.RandomUniform(0.1, 0.4))(x)
    x = layers.ZeroPadding2D(1)(x)  # before a pooling: stays a layer of its own
    x = layers.MaxPooling2D(3, strides=2, padding="same")(x)
    y = layers.Conv2D(12, 3, padding="same", groups=3, dilation_rate=2, activation="gelu")(x)
    z = layers.AveragePooling2D(3, strides=1, padding="same")(x)
    x = layers.Concatenate()([layers.ELU(alpha=0.7)(y), layers.LeakyReLU(negative_slope=0.2)(z)])
    x = layers.LayerNormalization()(x)
    gate = layers.GlobalAveragePooling2D()(x)
    gate = layers.Dense(24, activation="hard_sigmoid")(layers.Dense(6, activation="swish")(gate))
    x = layers.Multiply()([x, layers.Reshape((1, 1, 24))(gate)])
    squeezed = layers.GlobalMaxPooling2D(keepdims=True)(x)
    x = layers.Multiply()([x, layers.Conv2D(24, 1, activation="tanh")(squeezed)])
    x = layers.Maximum()([x, layers.Subtract()([x, layers.Activation("hard_swish")(x)])])
    x = layers.DepthwiseConv2D(3, padding="same", activation="relu6")(x)
    x = layers.Conv2D(8, 1, activation="softplus")(layers.SpatialDropout2D(0.1)(x))
    vector = layers.Dense(20, activation="leaky_relu")(layers.Flatten()(x))
    vector = layers.Add()([vector, layers.LayerNormalization()(vector)])
    vector = layers.Concatenate(name="joined")([vector, layers.Activation("selu")(vector)])
    kinds = layers.Softmax(name="kind")(layers.Dense(17)(vector))
    signs = layers.Dense(97, activation="sigmoid", name="signs")(vector)
    return settled(keras.Model(images, {"kinds": kinds, "signs": signs}, name="foreign"))


BODIES: dict[str, Callable[[], keras.Model]] = {
    "MobileNetV2": mobilenet_v2,
    "EfficientNetB0": efficientnet_b0,
    "ResNet50": resnet50,
    "Xception": xception,
    "DenseNet121": densenet121,
    "every other layer": every_layer,
}
