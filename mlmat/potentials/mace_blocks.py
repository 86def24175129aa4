"""Parts of a MACE of scalars computed another way: the numbers are the same to rounding, the work is less.

`fast` puts them in place of MACE's own where they apply. A caller compares what the model says before and after.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlmat.potentials.graph import Graph

#: Edges to one atom that are multiplied together; `padded` makes the edges of each atom a multiple of it.
BLOCK = 16
#: Numbers that polynomials are computed from at once: more would leave the cache.
TOGETHER = 300_000

#: Owner, name, old and new module.
Part = tuple[Any, str, torch.nn.Module, torch.nn.Module]


def fast(model: Any) -> list[Part]:
    """Replace what can be replaced; the parts that were. All graphs must be `padded` from then on."""
    interactions, products = getattr(model, "interactions", ()), getattr(model, "products", ())
    if not interactions or not all(map(_takes_blocks, interactions)):
        return []
    parts = [*_parts(interactions, products)]
    put(parts)
    return parts


def put(parts: list[Part], *, old: bool = False) -> None:
    """Put the new modules in place, or the old ones again."""
    for owner, name, before, after in parts:
        setattr(owner, name, before if old else after)
        if name == "conv_tp" and old:
            del owner.conv_fusion
        elif name == "conv_tp":
            owner.conv_fusion = True  # MACE then leaves the sum over edges to conv_tp


def is_fast(model: Any) -> bool:
    """Whether the model needs `padded` graphs."""
    return any(isinstance(one.conv_tp, Convolution) for one in getattr(model, "interactions", ()))


def _parts(interactions: Any, products: Any) -> Iterator[Part]:
    for one in interactions:
        yield one, "conv_tp", one.conv_tp, Convolution(one.conv_tp)
        if _is_linear(getattr(one, "skip_tp", None)):
            yield one, "skip_tp", one.skip_tp, OfElement(one.skip_tp)
    for one in products:
        if _is_polynomial(one.symmetric_contractions):
            old = one.symmetric_contractions
            yield one, "symmetric_contractions", old, Contraction(old.contractions[0])


def _takes_blocks(interaction: Any) -> bool:
    """Whether its convolution is e3nn's, of scalars, and nobody has put another one there."""
    product: Any = getattr(interaction, "conv_tp", None)
    if hasattr(interaction, "conv_fusion") or type(product).__name__ != "TensorProduct":
        return False
    plain = all(one.connection_mode == "uvu" and one.has_weight for one in product.instructions)
    in_order = [(one.i_in1, one.i_in2, one.i_out) for one in product.instructions]
    expected = [(0, i, i) for i in range(len(product.irreps_in2))]
    return (
        plain
        and _scalars(product.irreps_in1)
        and in_order == expected
        and product.irreps_in2.num_irreps == len(expected)
    )


def _is_linear(product: Any) -> bool:
    """Whether it mixes scalars, with weights for each element."""
    if type(product).__name__ != "FullyConnectedTensorProduct" or len(product.instructions) != 1:
        return False
    return all(map(_scalars, (product.irreps_in1, product.irreps_in2, product.irreps_out)))


def _is_polynomial(contraction: Any) -> bool:
    if type(contraction).__name__ != "SymmetricContraction" or len(contraction.contractions) != 1:
        return False
    return _scalars(contraction.irreps_out) and contraction.contractions[0].correlation <= 3


def _scalars(irreps: Any) -> bool:
    return len(irreps) == 1 and str(irreps[0].ir) == "0e"


class Convolution(torch.nn.Module):  # type: ignore[misc]
    """e3nn's product of features and harmonics on every edge, and the sum over the edges of each atom, in one.

    For each l and each block of edges one product of matrices: no edge has a message of its own.
    """

    def __init__(self, product: Any) -> None:
        super().__init__()
        self.sizes = [part.ir.dim for part in product.irreps_in2]
        self.channels = product.irreps_in1.dim
        # e3nn's 3j symbol for a scalar and l is 1 / sqrt(2 l + 1) on the diagonal.
        factors = [one.path_weight / size**0.5 for one, size in zip(product.instructions, self.sizes, strict=True)]
        self.register_buffer("factors", torch.tensor(np.repeat(factors, self.sizes)))

    def forward(
        self, features: torch.Tensor, harmonics: torch.Tensor, weights: torch.Tensor, edges: torch.Tensor
    ) -> torch.Tensor:
        """(atoms, channels), (edges, m of all l), (edges, l and channels), (2, edges) -> (atoms, l, channel and m)."""
        sent = features.index_select(0, edges[0])
        messages = weights.view(len(sent), len(self.sizes), self.channels) * sent[:, None]
        messages = messages.view(-1, BLOCK, len(self.sizes), self.channels)
        parts = (harmonics * self.factors).view(-1, BLOCK, len(self.factors)).split(self.sizes, dim=2)
        sums = [torch.bmm(a.transpose(1, 2), b) for a, b in zip(parts, messages.unbind(2), strict=True)]
        atoms = features.new_zeros(len(features), len(self.factors), self.channels)
        atoms = atoms.index_add(0, edges[1, ::BLOCK], torch.cat(sums, dim=1))
        return torch.cat([part.transpose(1, 2).flatten(1) for part in atoms.split(self.sizes, dim=1)], dim=1)


def padded(graph: Graph, cutoff: float) -> Graph:
    """The same graph, edges sorted by receiver, with edges beyond the cutoff that fill the last block of each atom.

    `graph` has its edges sorted by sender, each in both directions.
    """
    atoms = len(graph.species)
    counts = np.bincount(graph.edges[0], minlength=atoms)
    fill = -counts % BLOCK
    receivers = np.repeat(np.arange(atoms), counts + fill)
    real = np.arange(graph.edges.shape[1]) + np.repeat(np.cumsum(fill) - fill, counts)
    senders = receivers.copy()
    senders[real] = graph.edges[1]
    images = np.zeros((len(receivers), 3), dtype=graph.images.dtype)
    lengths = np.linalg.norm(graph.cell, axis=1)
    shortest = lengths.argmin()  # powers of an edge as long as a vacuum would leave float32's range
    images[:, shortest] = 1 + np.ceil(2 * cutoff / lengths[shortest])
    images[real] = -graph.images
    return replace(graph, edges=np.stack([senders, receivers]), images=images)


class OfElement(torch.nn.Module):  # type: ignore[misc]
    """e3nn's product of scalars with an element's one-hot: the element's own matrix times the scalars."""

    def __init__(self, product: Any) -> None:
        super().__init__()
        shape = [irreps.dim for irreps in (product.irreps_in1, product.irreps_in2, product.irreps_out)]
        weights = product.weight.detach().view(shape).transpose(0, 1) * product.instructions[0].path_weight
        self.register_buffer("weights", weights.contiguous())

    def forward(self, features: torch.Tensor, elements: torch.Tensor) -> torch.Tensor:
        """(atoms, channels), one-hot (atoms, elements) -> (atoms, channels)."""
        present, kind, counts = elements.argmax(dim=1).unique(return_inverse=True, return_counts=True)
        order = kind.argsort()
        starts = counts.cumsum(0) - counts
        # A row for each element, its atoms side by side.
        column = torch.arange(len(order)) - starts.repeat_interleave(counts)
        place = torch.empty_like(order)
        place[order] = kind[order] * counts.max() + column
        rows = features.new_zeros(len(present) * int(counts.max()), features.shape[1]).index_copy(0, place, features)
        found = torch.bmm(rows.view(len(present), -1, features.shape[1]), self.weights.index_select(0, present))
        return found.flatten(0, 1).index_select(0, place)


class Contraction(torch.nn.Module):  # type: ignore[misc]
    """A symmetric contraction to scalars: a polynomial in an atom's features, of degree 3 at most.

    Of the 4,096 products of three features with l up to 3, 77 different ones have a coefficient that is not 0.
    coefficients: (terms, elements, channels); factors: (3, terms), the features that each term multiplies, the one
    after the last standing for 1.
    """

    def __init__(self, contraction: Any) -> None:
        super().__init__()
        weights = [contraction.weights_max, *contraction.weights]
        terms: dict[tuple[int, ...], torch.Tensor] = {}
        for degree, weight in zip(range(contraction.correlation, 0, -1), weights, strict=True):
            for term, paths in _terms(contraction.U_tensors(degree)).items():
                terms[term] = torch.einsum("k,ekc->ec", paths, weight.detach())
        one = contraction.U_tensors(1).shape[-2]
        self.register_buffer(
            "factors", torch.tensor([term + (one,) * (3 - len(term)) for term in terms]).T.contiguous()
        )
        self.register_buffer("coefficients", torch.stack(list(terms.values())))

    def forward(self, features: torch.Tensor, elements: torch.Tensor) -> torch.Tensor:
        """(atoms, channels, features), one-hot (atoms, elements) -> (atoms, channels)."""
        return _Polynomial.apply(features, elements.argmax(dim=1), self.coefficients, self.factors)


def _terms(paths: torch.Tensor) -> dict[tuple[int, ...], torch.Tensor]:
    """The coefficients, one for each path, of the different products of features that have any."""
    found: dict[tuple[int, ...], torch.Tensor] = {}
    for at in paths.abs().sum(-1).nonzero().tolist():
        term = tuple(sorted(at))
        found[term] = found.get(term, 0) + paths[tuple(at)]
    return found


class _Polynomial(torch.autograd.Function):  # type: ignore[misc]
    """The polynomials of all atoms; their gradients, which are always asked for, are computed at once."""

    @staticmethod
    def forward(
        ctx: Any, features: torch.Tensor, kinds: torch.Tensor, coefficients: torch.Tensor, factors: torch.Tensor
    ) -> torch.Tensor:
        atoms = max(1, TOGETHER // (len(coefficients) * coefficients.shape[2]))
        parts = zip(features.split(atoms), kinds.split(atoms), strict=True)
        found = [_values_and_gradients(one, coefficients.index_select(1, kind), factors) for one, kind in parts]
        values, gradients = zip(*found, strict=True)
        ctx.save_for_backward(torch.cat(gradients))
        return torch.cat(values)

    @staticmethod
    def backward(ctx: Any, *outer: torch.Tensor) -> Any:
        (gradients,) = ctx.saved_tensors
        return gradients * outer[0][:, :, None], None, None, None


def _values_and_gradients(
    features: torch.Tensor, coefficients: torch.Tensor, factors: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """(atoms, channels, features), (terms, atoms, channels) -> (atoms, channels), (atoms, channels, features)."""
    rows = features.permute(2, 0, 1)
    known = torch.cat([rows, torch.ones_like(rows[:1])])
    first, second, third = (known.index_select(0, one) for one in factors)
    partial = coefficients * first
    gradients = torch.zeros_like(known).index_add_(0, factors[2], product := partial * second)
    values = product.mul_(third).sum(0)
    gradients.index_add_(0, factors[1], partial.mul_(third))
    gradients.index_add_(0, factors[0], second.mul_(third).mul_(coefficients))
    return values, gradients[:-1].permute(1, 2, 0)
