"""The runtime beside the analyzer: watches for slides, analyzes each one and writes results for the LIS.

Importing this package loads nothing but the standard library and sets the two environment variables that
must exist before any native library is loaded.
"""

import os

__version__ = "0.1.0"

# OpenCV reads this once, at import (setting it later has no effect): no image larger than 4096 x 4096 is decoded.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(4096 * 4096))
# ONNX Runtime (workstation side, reference engine) reports home by default; no library of ours may.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
