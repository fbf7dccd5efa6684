"""The contenders of `bench_translation`: each makes so many sub-words of a sentence, always the likeliest.

- the prepared network, as a worker has it;
- ONNX Runtime bare: the same two files, opened with nothing set but the number of threads, and a loop that binds memory
  once, runs the step, and does nothing else;
- CTranslate2, in float32 and with the same weights; it holds networks of one width, and of one number of heads;
- transformers' Marian in torch, with random weights of the same sizes, since its layers normalise their output.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
import onnxruntime
import torch
from ctranslate2.specs import transformer_spec
from numpy.typing import NDArray

from supernets import engines
from supernets.artifact import Artifact
from supernets.seq2seq.static import StaticSeq2Seq
from supernets.seq2seq.vocabulary import BEGIN, END, PAD, UNKNOWN

Make = Callable[[NDArray[np.int64], int], list[int]]
"""Takes the sub-words of a sentence (1, s) and how many to make; returns them, fewer if the network ends before."""


def prepared(artifact: Artifact, threads: int) -> Make:
    """Return a prepared network. Of a translation that it stops before its end nobody gets the sub-words: none."""
    network = engines.prepare(artifact, threads=threads)

    def make(source: NDArray[np.int64], count: int) -> list[int]:
        asked = itertools.count()
        made: list[int] = []
        with suppress(engines.StoppedError):
            made = network(source, stop=lambda: next(asked) == count).tolist()
        return made

    return make


def bare(artifact: Artifact, threads: int) -> Make:
    """Return a plain loop around ONNX Runtime."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    encoder, step = (
        onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"]) for file in artifact.files
    )
    tensor = onnxruntime.OrtValue.ortvalue_from_numpy
    word, place = np.zeros(1, np.int64), np.zeros(1, np.int64)
    heads = {entry.name: np.zeros(entry.shape, np.int64) for entry in step.get_inputs() if "places" in entry.name}
    for array in heads.values():
        array[0, :, 0, 1] = range(array.shape[1])
    rooms = {}
    for capacity in (32, 64, 128):
        binding, unseen = step.io_binding(), np.zeros((1, 1, 1, capacity), np.float32)
        binding.bind_ortvalue_input("word", tensor(word))
        binding.bind_ortvalue_input("place", tensor(place))
        binding.bind_ortvalue_input("unseen", tensor(unseen))
        binding.bind_ortvalue_output("next_word", tensor(word))
        held = []
        for name, array in heads.items():
            binding.bind_ortvalue_input(name, tensor(array))
        for entry in step.get_inputs():
            if entry.name.startswith("own_"):
                cache = np.zeros([size if isinstance(size, int) else capacity for size in entry.shape], np.float32)
                held.append(cache)
                binding.bind_ortvalue_input(entry.name, tensor(cache))
                binding.bind_ortvalue_output(entry.name.replace("own_", "new_"), tensor(cache))
        rooms[capacity] = binding, unseen, held

    def make(source: NDArray[np.int64], count: int) -> list[int]:
        binding, unseen, _ = next(room for capacity, room in rooms.items() if capacity >= count)
        unseen.fill(-np.inf)
        first = encoder.io_binding()
        first.bind_ortvalue_input("source", tensor(source))
        for entry in encoder.get_outputs():
            first.bind_output(entry.name)
        encoder.run_with_iobinding(first)
        for entry, memory in zip(encoder.get_outputs(), first.get_outputs(), strict=True):
            binding.bind_ortvalue_input(entry.name, memory)
        word[0] = BEGIN
        made = []
        for index in range(count):
            place[0] = index
            unseen[..., index] = 0
            for array in heads.values():
                array[..., 2] = index
            step.run_with_iobinding(binding)
            made.append(int(word[0]))
        return made

    return make


def convert(net: StaticSeq2Seq, directory: Path) -> Path:
    """Write a network for CTranslate2 into a directory, if it isn't there, and return the directory."""
    if not (directory / "model.bin").exists():
        directory.mkdir(exist_ok=True)
        spec = _spec(net)
        spec.validate()
        spec.optimize(quantization=None)
        spec.save(str(directory))
    return directory


def in_ctranslate2(directory: Path, threads: int) -> Make:
    """Return CTranslate2 with a network that was written for it."""
    translator = ctranslate2.Translator(
        str(directory), device="cpu", inter_threads=1, intra_threads=threads, compute_type="float32"
    )

    def make(source: NDArray[np.int64], count: int) -> list[int]:
        (result,) = translator.translate_batch(
            [[str(word) for word in source[0]]],
            beam_size=1,
            max_decoding_length=count,
            max_input_length=0,
            return_end_token=True,
        )
        return [int(word) for word in result.hypotheses[0]]

    return make


def in_marian(net: StaticSeq2Seq, threads: int) -> Make:
    """Return transformers' Marian with random weights of a network's sizes."""
    from transformers import MarianConfig, MarianMTModel

    of, heads = net.architecture, net.architecture.decoder_heads[0]
    config = MarianConfig(
        vocab_size=net.space.vocabulary,
        d_model=of.decoder_width,
        encoder_layers=len(net.encoder),
        decoder_layers=len(net.decoder),
        encoder_ffn_dim=of.encoder_ffn[0],
        decoder_ffn_dim=of.decoder_ffn[0],
        encoder_attention_heads=heads,
        decoder_attention_heads=heads,
        max_position_embeddings=256,
        activation_function="relu",
        scale_embedding=True,
        pad_token_id=PAD,
        eos_token_id=END,
        forced_eos_token_id=None,
        decoder_start_token_id=BEGIN,
    )
    torch.manual_seed(0)
    model = MarianMTModel(config).eval()

    @torch.inference_mode()
    def make(source: NDArray[np.int64], count: int) -> list[int]:
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        made = model.generate(
            input_ids=torch.from_numpy(source), num_beams=1, do_sample=False, min_new_tokens=count, max_new_tokens=count
        )
        words: list[int] = made[0, 1:].tolist()
        return words

    return make


def _spec(net: StaticSeq2Seq) -> Any:
    of = net.architecture
    widths = {of.encoder_width, of.decoder_width}
    heads = {*of.encoder_heads, *of.decoder_heads[: of.decoder_layers], *of.cross_heads[: of.decoder_layers]}
    assert len(widths) == len(heads) == 1, "CTranslate2 holds one width and one number of heads"
    (count,) = heads
    head_width = net.encoder[0].attention.head_width  # type: ignore[union-attr]
    spec = transformer_spec.TransformerSpec(
        transformer_spec.TransformerEncoderSpec(len(net.encoder), count, head_dim=head_width),
        transformer_spec.TransformerDecoderSpec(len(net.decoder), count, head_dim=head_width),
    )
    weights = {name: tensor.detach().numpy() for name, tensor in net.named_parameters()}
    words = [str(number) for number in range(net.space.vocabulary)]
    spec.register_source_vocabulary(words)
    spec.register_target_vocabulary(words)
    spec.config.bos_token = spec.config.decoder_start_token = str(BEGIN)
    spec.config.eos_token, spec.config.unk_token = str(END), str(UNKNOWN)

    def linear(to: Any, *names: str) -> None:
        to.weight = np.concatenate([weights[f"{name}.weight"] for name in names])
        to.bias = np.concatenate([weights[f"{name}.bias"] for name in names])

    def norm(to: Any, name: str) -> None:
        to.gamma, to.beta = weights[f"{name}.weight"], weights[f"{name}.bias"]

    def attention(to: Any, name: str, split: int) -> None:
        parts = [f"{name}.{part}" for part in ("query", "key", "value")]
        linear(to.linear[0], *parts[:split])
        if split < 3:
            linear(to.linear[1], *parts[split:])
        linear(to.linear[-1], f"{name}.out")

    for side, to, table in (
        ("encoder", spec.encoder, spec.encoder.embeddings[0]),
        ("decoder", spec.decoder, spec.decoder.embeddings),
    ):
        table.weight = weights["source_embedding.weight" if side == "encoder" else "target_embedding.weight"]
        to.position_encodings.encodings = net.get_buffer("positions").numpy()[:, : of.encoder_width].copy()
        norm(to.layer_norm, f"{side}_norm")
        for index, layer in enumerate(to.layer):
            name = f"{side}.{index}"
            attention(layer.self_attention, f"{name}.attention", 3)
            norm(layer.self_attention.layer_norm, f"{name}.attention_norm")
            if side == "decoder":
                attention(layer.attention, f"{name}.cross", 1)
                norm(layer.attention.layer_norm, f"{name}.cross_norm")
            linear(layer.ffn.linear_0, f"{name}.ffn.inner")
            linear(layer.ffn.linear_1, f"{name}.ffn.outer")
            norm(layer.ffn.layer_norm, f"{name}.ffn_norm")
    spec.decoder.projection.weight = weights["target_embedding.weight"]
    return spec
