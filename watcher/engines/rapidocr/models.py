"""Find the two models in the installed package rapidocr, and open them with onnxruntime.

Of that package only these files are used. It is never imported: it brings a logger that writes to standard error and
code that downloads.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
from dataclasses import dataclass

import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as _runtime

from watcher.engines import TO_INSTALL
from watcher.errors import EngineUnavailable

FAILURES = (
    _runtime.Fail,
    _runtime.InvalidArgument,
    _runtime.InvalidGraph,
    _runtime.InvalidProtobuf,
    _runtime.NoSuchFile,
    _runtime.RuntimeException,
)
"""What onnxruntime raises when it cannot open or run a model, for want of memory too. They have no base in common."""

_PACKAGE = "rapidocr"
_DETECTOR, _RECOGNISER = "PP-OCRv6_det_small.onnx", "PP-OCRv6_rec_small.onnx"
_SILENT = 4  # severity: fatal only
_SAID = 200  # characters of a complaint


@dataclass(frozen=True, slots=True)
class Models:
    """The paths of the model that finds lines of text, and of the one that reads them."""

    detector: str
    recogniser: str


def find() -> Models:
    """Return where the models are.

    Raises:
        EngineUnavailable: The package, or one of them in it, is not there (code `engine_missing`).

    """
    spec = importlib.util.find_spec(_PACKAGE)  # of a package without a dot, this runs no code of it
    folders = spec.submodule_search_locations if spec else None
    if not folders:
        raise EngineUnavailable("The package rapidocr is not installed.", hint=TO_INSTALL, code="engine_missing")
    paths = [os.path.join(folders[0], "models", name) for name in (_DETECTOR, _RECOGNISER)]
    for path in paths:
        if not os.path.isfile(path):
            name = os.path.basename(path)
            raise EngineUnavailable(f"The package rapidocr has no {name}.", hint=TO_INSTALL, code="engine_missing")
    return Models(*paths)


def session(path: str) -> onnxruntime.InferenceSession:
    """Return the model at *path*, ready to run on the processor, in this thread alone and silently.

    Raises:
        EngineUnavailable: It cannot be opened.

    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    # Both keep the memory of the largest picture so far, and of every size of picture a plan; they save no time here.
    options.enable_cpu_mem_arena = options.enable_mem_pattern = False
    options.log_severity_level = _SILENT
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except FAILURES as error:
        said = " ".join(str(error).split())[:_SAID]
        name = os.path.basename(path)
        raise EngineUnavailable(f"The model {name} cannot be opened: {said}.", hint=TO_INSTALL) from error


def version() -> str:
    """Return what reads, as words for a sentence; raise EngineUnavailable if it is not installed."""
    try:
        package = importlib.metadata.version(_PACKAGE)
    except importlib.metadata.PackageNotFoundError as error:
        raise EngineUnavailable(
            "The package rapidocr is not installed.", hint=TO_INSTALL, code="engine_missing"
        ) from error
    return f"PP-OCRv6 small of rapidocr {package} with onnxruntime {onnxruntime.__version__}"
