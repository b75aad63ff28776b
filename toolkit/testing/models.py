"""What sequence models and layers promise (`toolkit.core.base`). B sequences, T positions, C outputs.

What a model reads follows from what it ``accepts``: ``text``, ``position`` and ``next`` are ids [B, T], ``clip`` and
``frames`` features [B, F, bins] of sound; a model that accepts none of them reads rows of numbers [B, columns].
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from toolkit.audio.frontends import make_frontend
from toolkit.audio.models.base import HeardSpec
from toolkit.errors import UsageError
from toolkit.nlp.base import TextSpec
from toolkit.testing.gpu import gpu, moved, require_same, unrounded
from toolkit.testing.suite import NotPromised, Suite, require

LEVELS, HEARD = ("text", "position", "next"), ("clip", "frames")
IDS, CLASSES, COLUMNS = 20, 3, 6
MORE = 5  # inputs and outputs, where it is tried on other ones
LENGTHS = (12, 5, 1, 8)
TOLERANCE = 1e-4
STEP = 0.01


class ModelSuite(Suite):
    """A model's promises. ``frontend`` is the front end whose features it reads, for a model of sound."""

    kind = "model"

    @property
    def frontend(self) -> str:
        return "waveform" if "samples" in self.entry.accepts else "log-mel"

    @property
    def frames(self) -> int:
        """Of the longest clip, for a model of sound."""
        return 4000 if "samples" in self.entry.accepts else 60

    @property
    def cases(self) -> list[str]:
        """What it is tried on: levels of text or of sound, or ``columns``."""
        return [level for level in LEVELS + HEARD if level in self.entry.accepts] or ["columns"]

    def model(self, case: str, seed: int = 0) -> nn.Module:
        """The model, freshly made and evaluating."""
        torch.manual_seed(seed)
        made: nn.Module = self.make(**self.shape_of(case))
        return made.eval()

    def shape_of(self, case: str) -> dict[str, Any]:
        if case == "columns":
            return {"inputs": COLUMNS, "outputs": CLASSES}
        if case in HEARD:
            spec = make_frontend(self.frontend).spec
            return {"inputs": spec.bins, "outputs": CLASSES, "spec": HeardSpec(case, spec)}  # type: ignore[arg-type]
        return {"inputs": IDS, "outputs": IDS if case == "next" else CLASSES, "spec": TextSpec(0, case)}  # type: ignore[arg-type]

    def batch(self, case: str, extra: int = 0, filler: float = 0) -> tuple[Tensor, Tensor | None]:
        """Inputs and lengths; ``extra`` more positions, and ``filler`` past every length."""
        generator = torch.Generator().manual_seed(2)
        if case == "columns":
            return torch.randn(4, COLUMNS, generator=generator), None
        longest = self.frames if case in HEARD else max(LENGTHS)
        lengths = torch.tensor([max(1, longest * length // max(LENGTHS)) for length in LENGTHS])
        shape = (4, longest, self.shape_of(case)["inputs"]) if case in HEARD else (4, longest)
        ids = torch.randint(5, IDS, shape, generator=generator)
        drawn = torch.randn(shape, generator=generator) if case in HEARD else ids
        padded = torch.full((4, longest + extra, *shape[2:]), filler, dtype=drawn.dtype)
        for row, length in enumerate(lengths.tolist()):
            padded[row, :length] = drawn[row, :length]
        return padded, lengths

    # -- promises

    def test_outputs_have_the_stated_shape(self) -> None:
        """It returns outputs [B, C] or [B, T', C], finite, and their lengths."""
        for case in self.cases:
            model, (inputs, lengths) = self.model(case), self.batch(case)
            found = model(inputs, lengths)
            require(isinstance(found, tuple) and len(found) == 2, f"it returns {type(found).__name__}, promised: the pair "
                                                                  "(outputs, lengths)")
            outputs, sizes = found
            width = self.shape_of(case)["outputs"]
            require(outputs.dim() in (2, 3) and outputs.shape[0] == 4 and outputs.shape[-1] == width,
                    f"outputs of 4 {case} sequences have the shape {tuple(outputs.shape)}, promised: [4, ..., {width}]")
            require(bool(outputs.isfinite().all()), f"outputs are not finite ({case})")
            if sizes is not None and outputs.dim() == 3:
                require(len(sizes) == 4 and int(sizes.max()) <= outputs.shape[1], f"lengths {sizes.tolist()} do not fit outputs "
                                                                                  f"of {outputs.shape[1]} positions ({case})")

    @torch.no_grad()
    def test_padding_never_changes_valid_positions(self) -> None:
        """Outputs before a length do not depend on how much padding follows, or what is in it."""
        for case in self.padded_cases():
            model = self.model(case)
            wanted, sizes = model(*self.batch(case))
            for extra, filler in ((0, 9.0), (6, 0.0), (7, 13.0)):
                found, _ = model(*self.batch(case, extra, filler))
                for row, (one, other) in enumerate(valid(found, wanted, sizes)):
                    require(close(one, other), f"padding leaks: with {extra} more positions that hold {filler:g}, the output of "
                            f"sequence {row} ({case}) changes by {gap(one, other)}. Mask what lies past the lengths")

    @torch.no_grad()
    def test_lengths_are_honoured(self) -> None:
        """A sequence in a padded batch gives what it gives alone, without padding."""
        for case in self.padded_cases():
            model, (inputs, lengths) = self.model(case), self.batch(case)
            assert lengths is not None
            wanted, sizes = model(inputs, lengths)
            for row, length in enumerate(lengths.tolist()):
                alone, _ = model(inputs[row:row + 1, :length], lengths[row:row + 1])
                one = wanted[row] if sizes is None or wanted.dim() == 2 else wanted[row, :int(sizes[row])]
                other = alone[0] if wanted.dim() == 2 else alone[0, :len(one)]
                require(close(one, other), f"sequence {row} ({case}) of length {length} gives another output in a batch than "
                                           f"alone, by {gap(one, other)}: its length is not honoured")

    @torch.no_grad()
    def test_it_takes_other_sizes(self) -> None:
        """With more inputs and outputs, of one sequence and of many, each gives what it gives in another batch."""
        tried = 0
        for case in self.cases:
            shape = self.shape_of(case)
            shape |= {"outputs": shape["outputs"] + MORE, "inputs": shape["inputs"] + (0 if case in HEARD else MORE)}
            torch.manual_seed(0)
            try:
                model = self.make(**shape).eval()
            except UsageError:  # such as that of a pretrained one, whose ids are given
                continue
            tried += 1
            inputs, lengths = self.batch(case)
            if case == "columns":
                inputs = torch.randn(4, shape["inputs"], generator=torch.Generator().manual_seed(2))
            wanted, sizes = model(torch.cat([inputs, inputs]), None if lengths is None else torch.cat([lengths, lengths]))
            require(len(wanted) == 8 and wanted.shape[-1] == shape["outputs"], f"outputs of 8 {case} sequences have the shape "
                    f"{tuple(wanted.shape)}, promised: [8, ..., {shape['outputs']}]")
            for row in range(4):
                place = slice(row, row + 1)
                found, _ = model(inputs[place], None if lengths is None else lengths[place])
                for one, other in valid(found, wanted[place], None if sizes is None else sizes[place]):
                    require(close(one, other), f"sequence {row} ({case}) gives another output alone than in a batch of 8, by "
                                               f"{gap(one, other)}")
        if not tried:
            raise NotPromised("it refuses other inputs and outputs than this suite's")

    def test_gradients_move_every_parameter_that_is_trained(self) -> None:
        """One step on a batch gives finite gradients, and the loss of that batch falls."""
        for case in self.cases:
            model, (inputs, lengths) = self.model(case), self.batch(case)
            trained = [value for value in model.parameters() if value.requires_grad]
            require(trained, "it has no parameters to learn")
            before = model(inputs, lengths)[0].float().square().mean()
            before.backward()
            for name, value in model.named_parameters():
                require(value.grad is None or bool(value.grad.isfinite().all()), f"the gradient of {name!r} is not finite")
            # A step that lowers the loss by STEP of itself, to first order.
            steepness = sum(float(value.grad.square().sum()) for value in trained if value.grad is not None)
            require(steepness > 0, f"no gradient reaches a parameter ({case}): the parameters do not move the outputs")
            with torch.no_grad():
                for value in trained:
                    if value.grad is not None:
                        value.sub_(value.grad * (STEP * before.item() / steepness))
                after = model(inputs, lengths)[0].float().square().mean()
            require(after.item() < before.item(), f"a small step down the gradient does not lower the loss ({case}): "
                                                  f"{before.item()} before, {after.item()} after")

    @torch.no_grad()
    def test_its_parameters_are_restored(self) -> None:
        """state_dict() holds all that decides the outputs."""
        for case in self.cases:
            saved, restored = self.model(case), self.model(case, seed=9)
            restored.load_state_dict(saved.state_dict())
            require(torch.equal(saved(*self.batch(case))[0], restored(*self.batch(case))[0]),
                    f"restored from its state_dict(), it gives other outputs ({case})")

    @torch.no_grad()
    def test_evaluating_it_repeats(self) -> None:
        """In evaluation mode the same input gives the same output."""
        for case in self.cases:
            model = self.model(case)
            require(torch.equal(model(*self.batch(case))[0], model(*self.batch(case))[0]), f"evaluated twice, it gives other "
                                                                                           f"outputs ({case})")

    def test_on_a_gpu_it_gives_the_same(self) -> None:
        """On a GPU outputs are those of the CPU, and its gradients there are finite."""
        device = gpu()
        for case in self.cases:
            model, (inputs, lengths) = self.model(case), self.batch(case)
            with torch.no_grad(), unrounded():
                wanted, sizes = model(inputs, lengths)
                found, _ = model.to(device)(inputs.to(device), moved(lengths, device))
            for one, other in valid(found, wanted, sizes):
                require_same(one, other, f"outputs ({case})")
            model.train()
            model(inputs.to(device), moved(lengths, device))[0].float().square().mean().backward()
            for name, value in model.named_parameters():
                require(value.grad is None or bool(value.grad.isfinite().all()),
                        f"the gradient of {name!r} on the GPU is not finite")

    def padded_cases(self) -> Iterator[str]:
        cases = [case for case in self.cases if case != "columns"]
        if not cases:
            raise NotPromised("it reads rows of numbers, which have no padding")
        yield from cases


class LayerSuite(Suite):
    """A layer's promises. ``inputs`` gives the tensors to try it on; by default what its settings ask for."""

    kind = "layer"

    def inputs(self) -> tuple[Tensor, ...]:
        """Float [2, 5, width], or [10, width] where it takes no sequences; ids [2, 5] for a layer with a ``count`` of them."""
        values: Mapping[str, Any] = {item.name: self.options.get(item.name, item.default) for item in self.entry.settings}
        generator = torch.Generator().manual_seed(0)
        if "count" in values:
            return (torch.randint(1, int(values["count"]), (2, 5), generator=generator),)
        width = next((int(values[name]) for name in ("inputs", "width", "model_width", "size") if values.get(name)), 8)
        sequences = torch.randn(2, 5, width, generator=generator)
        try:
            self.make().eval()(sequences)
        except RuntimeError:
            return (sequences.reshape(10, width),)  # a layer of rows, such as batch norm
        return (sequences,)

    def test_outputs_and_gradients_are_finite(self) -> None:
        """Outputs are finite, and so are the gradients of parameters and inputs."""
        torch.manual_seed(0)
        layer = self.make()
        given = tuple(value.requires_grad_() if value.is_floating_point() else value for value in self.inputs())
        outputs = first(layer(*given))
        require(bool(outputs.isfinite().all()), "its outputs are not finite")
        outputs.square().sum().backward()
        for name, value in layer.named_parameters():
            require(value.grad is not None, f"no gradient reaches the parameter {name!r}")
            require(bool(value.grad.isfinite().all()), f"the gradient of {name!r} is not finite")

    def test_evaluating_it_repeats(self) -> None:
        """In evaluation mode the same input gives the same output, also after its parameters are restored."""
        torch.manual_seed(0)
        layer = self.make().eval()
        torch.manual_seed(1)
        other = self.make().eval()
        other.load_state_dict(layer.state_dict())
        given = self.inputs()
        require(torch.equal(first(layer(*given)), first(layer(*given))), "evaluated twice, it gives other outputs")
        require(torch.equal(first(layer(*given)), first(other(*given))), "restored from its state_dict(), it gives other outputs")

    @torch.no_grad()
    def test_it_takes_other_sizes(self) -> None:
        """Twice the batch gives the outputs of each row twice, and sequences may be longer."""
        if type(self).inputs is not LayerSuite.inputs:
            raise NotPromised("its inputs() are the author's, and what their sizes mean is not known here")
        torch.manual_seed(0)
        layer, (given,) = self.make().eval(), self.inputs()
        wanted, found = first(layer(given)), first(layer(torch.cat([given, given])))
        wanted = torch.cat([wanted, wanted])
        require(close(found, wanted), f"twice the batch gives other outputs than twice those of the batch, by "
                                      f"{gap(found, wanted)}")
        if given.dim() == 3 or not given.is_floating_point():
            longer = first(layer(torch.cat([given, given], 1)))
            require(bool(longer.isfinite().all()), f"outputs of sequences of {2 * given.shape[1]} positions are not finite")

    def test_on_a_gpu_it_gives_the_same(self) -> None:
        """On a GPU outputs are those of the CPU."""
        device, given = gpu(), self.inputs()
        torch.manual_seed(0)
        layer = self.make().eval()
        with torch.no_grad(), unrounded():
            wanted = first(layer(*given))
            require_same(first(layer.to(device)(*moved(given, device))), wanted, "outputs")


def first(outputs: Any) -> Tensor:
    found: Tensor = outputs[0] if isinstance(outputs, tuple) else outputs
    return found


def valid(found: Tensor, wanted: Tensor, sizes: Tensor | None) -> Iterator[tuple[Tensor, Tensor]]:
    """The valid part of each sequence's output, of both."""
    for row in range(len(wanted)):
        if wanted.dim() == 2 or sizes is None:
            yield found[row], wanted[row]
        else:
            size = int(sizes[row])
            yield found[row, :size], wanted[row, :size]


def close(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and bool(torch.allclose(one, other, atol=TOLERANCE, rtol=TOLERANCE))


def gap(one: Tensor, other: Tensor) -> str:
    return f"{float((one - other).abs().max()):.2g}" if one.shape == other.shape and one.numel() else "another shape"
