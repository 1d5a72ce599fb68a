"""Opens a .keras file without running anything that it carries, and says what it is made of.

A .keras file is a zip archive with the architecture as JSON. That JSON is read first: a file that names a Lambda, a
custom class or a layer outside our set is refused before Keras builds a single object from it. Only then is it loaded,
in Keras' own safe mode.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras

from convert.native_messages import native_messages_kept
from convert.onnx_layers import WRITERS
from convert.training_request import MODEL_SUFFIX
from edge.errors import EdgeError

# The layers that the writer knows, and what holds them together.
KNOWN_LAYERS = frozenset({*WRITERS, "InputLayer", "Functional", "Sequential"})
# Initializers and the like come with every layer and leave nothing in the graph.
PART_MODULES = (
    "keras.initializers",
    "keras.regularizers",
    "keras.constraints",
    "keras.src.initializers",
    "keras.src.regularizers",
    "keras.src.constraints",
    "keras.dtype_policies",
    "keras.src.dtype_policies",
)
PLAIN_MODULES = (*PART_MODULES, "keras.layers", "keras.src.layers", "keras.models", "keras.src.models", "keras.src.ops")
# An architecture is some hundred kB of JSON; a file that claims more is not a network.
LARGEST_CONFIG_BYTES = 64 * 1024 * 1024


def load_keras_model(path: Path) -> keras.Model:
    """Return the model in `path`, computing in float32, without its optimizer.

    Raises EdgeError: MDSE-CONVERT-001 no such file; -002 not a .keras file of Keras 3; -003 a Lambda, a custom class or
    a layer that the writer does not know (all of them named); -004 Keras itself could not load it.
    """
    config = read_architecture(path)
    refuse_unknown_layers(config, where=str(path))
    try:
        with native_messages_kept():
            model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except (ValueError, TypeError, KeyError, OSError, AttributeError) as error:
        raise EdgeError("MDSE-CONVERT-004", where=str(path), reason=_first_line(error)) from error
    if not hasattr(model, "inputs") or not hasattr(model, "_nodes_by_depth"):
        raise EdgeError(
            "MDSE-CONVERT-004", where=str(path), reason=f"a {type(model).__name__} is not a functional model"
        )
    compute_in_float32(model)
    return model


def read_architecture(path: Path) -> dict[str, Any]:
    """Return config.json of a .keras archive. Raises EdgeError MDSE-CONVERT-001 or -002."""
    if not path.is_file():
        raise EdgeError("MDSE-CONVERT-001", where=str(path), kind="model")
    if path.suffix != MODEL_SUFFIX:
        # Keras goes by the name: a file called otherwise is loaded as HDF5, which nobody has looked at.
        raise EdgeError("MDSE-CONVERT-002", where=str(path), reason=f"its name does not end in {MODEL_SUFFIX}")
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo("config.json").file_size > LARGEST_CONFIG_BYTES:
                raise EdgeError("MDSE-CONVERT-002", where=str(path), reason="its config.json is larger than 64 MB")
            config = json.loads(archive.read("config.json"))
            archive.getinfo("model.weights.h5")
    except zipfile.BadZipFile as error:
        raise EdgeError("MDSE-CONVERT-002", where=str(path), reason="it is not a zip archive") from error
    except KeyError as error:
        raise EdgeError("MDSE-CONVERT-002", where=str(path), reason=f"it lacks {error}") from error
    except ValueError as error:
        raise EdgeError("MDSE-CONVERT-002", where=str(path), reason="its config.json is not JSON") from error
    if not isinstance(config, dict) or not isinstance(config.get("config"), dict):
        raise EdgeError("MDSE-CONVERT-002", where=str(path), reason="its config.json describes no model")
    return config


def refuse_unknown_layers(config: dict[str, Any], *, where: str) -> None:
    """Raise EdgeError MDSE-CONVERT-003 naming every class of the architecture that is not plain Keras or not known."""
    refused = sorted({text for text in (_refusal(entry) for entry in _entries(config)) if text})
    if refused:
        raise EdgeError(
            "MDSE-CONVERT-003", where=where, layers="; ".join(refused), known=", ".join(sorted(KNOWN_LAYERS))
        )


def _entries(value: Any) -> Iterator[dict[str, Any]]:
    """Every serialized object of the architecture. The optimizer's part is left out: it is never loaded."""
    stack = [value]
    while stack:
        value = stack.pop()
        if isinstance(value, list):
            stack.extend(value)
        elif isinstance(value, dict):
            if isinstance(value.get("class_name"), str):
                yield value
            stack.extend(part for key, part in value.items() if key != "compile_config")


def _refusal(entry: dict[str, Any]) -> str | None:
    class_name, module = entry["class_name"], entry.get("module")
    settings = entry.get("config")
    name = settings.get("name") if isinstance(settings, dict) else None
    shown = f"{class_name} {name!r}" if name else class_name
    if class_name == "__keras_tensor__":  # a reference to another layer's output, no class
        return None
    if class_name == "Lambda" or class_name.startswith("__"):
        return f"{shown} (carries code)"
    custom = ">" in str(entry.get("registered_name") or "")
    if custom or not (module == "keras" or str(module).startswith(PLAIN_MODULES)):
        return f"{shown} (custom class)"
    is_part = str(module).startswith(PART_MODULES) or class_name == "DTypePolicy"
    return None if is_part or class_name in KNOWN_LAYERS else f"{shown} (unknown to the writer)"


def compute_in_float32(model: keras.Model) -> None:
    """Let every layer compute in float32: weights trained in mixed precision are float32, and fp32 is our origin."""
    for layer in model._flatten_layers():
        if layer.compute_dtype not in ("float32", "uint8") and not isinstance(layer, keras.layers.InputLayer):
            layer.dtype_policy = "float32"


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
