"""Your own static models as a ladder: two ONNX files, each with the accuracy that you measured.

The example writes two small files, so that it runs as it is; put the paths of your models in their place.
"""

from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import onnx
from onnx import TensorProto, helper

from gearshift import App, Family, Mix, Periodic, at


def classifier(path: Path, channels: int) -> str:
    """Write a small convolutional classifier: a 3x64x64 picture in, ten logits out."""
    rng = np.random.default_rng(channels)

    def weights(name: str, *shape: int) -> onnx.TensorProto:
        values = rng.standard_normal(shape).astype(np.float32) / np.sqrt(np.prod(shape[1:]))
        return helper.make_tensor(name, TensorProto.FLOAT, shape, values.ravel())

    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["picture", "w1"], ["a"], pads=[1, 1, 1, 1], strides=[2, 2]),
            helper.make_node("Relu", ["a"], ["b"]),
            helper.make_node("Conv", ["b", "w2"], ["c"], pads=[1, 1, 1, 1], strides=[2, 2]),
            helper.make_node("Relu", ["c"], ["d"]),
            helper.make_node("GlobalAveragePool", ["d"], ["e"]),
            helper.make_node("Flatten", ["e"], ["f"]),
            helper.make_node("Gemm", ["f", "w3"], ["logits"], transB=1),
        ],
        "classifier",
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, (1, 3, 64, 64))],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, (1, 10))],
        [
            weights("w1", channels, 3, 3, 3),
            weights("w2", 2 * channels, channels, 3, 3),
            weights("w3", 10, 2 * channels),
        ],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return str(path)


def mix() -> Mix:
    directory = Path(mkdtemp(prefix="own-models-"))
    family = Family(
        [
            (classifier(directory / "small.onnx", channels=16), 0.37),
            (classifier(directory / "large.onnx", channels=64), 0.45),
        ]
    )
    return Mix(
        name="own-models",
        duration_s=20,
        apps=[App("camera", supernet=family, arrivals=Periodic(hz=10), latency_ms=90, min_accuracy=0.30)],
        events=[at(10, "camera", min_accuracy=0.40)],
    )
