"""Operations of a trained network, derived from its settings; without arrays."""

from typing import Any

from tasks.geometry import for_each
from tasks.records import Shape
from tasks.settings import NetworkSettings

Step = dict[str, Any]
"""One operation of the network; the type `StepFacts` in network.js."""


def network_steps(settings: NetworkSettings, shape: Shape) -> list[Step]:
    """List the operations of the network, without dropout, which is inactive after training."""
    steps: list[Step] = []
    layers = len(settings.conv_filters)
    sizes = for_each(layers, settings.conv_sizes)
    strides = for_each(layers, settings.conv_strides)
    pooling = for_each(layers, settings.pooling)
    scaling: list[Step] = [{"step": "scaling"}] if settings.normalisation else []
    activate = [*scaling, {"step": "activation", "kind": settings.activation}]
    for n, filters in enumerate(settings.conv_filters):
        steps.append(
            {
                "step": "convolution",
                "layer": f"conv{n + 1}",
                "size": sizes[n],
                "stride": strides[n],
                "filters": filters,
                "bias": not settings.normalisation,
            }
        )
        pool: list[Step] = []
        if pooling[n] != "none":
            pool = [{"step": "pooling", "kind": pooling[n]}]
        steps += [*activate, *pool] if settings.activation_first else [*pool, *activate]
    for n, neurons in enumerate(settings.dense, start=1):
        bias = not settings.normalisation
        steps.append({"step": "dense", "layer": f"fc{n}", "neurons": neurons, "bias": bias})
        steps += activate
    last = f"fc{len(settings.dense) + 1}"
    steps.append({"step": "dense", "layer": last, "neurons": shape.classes, "bias": True})
    if settings.logits_activation != "none":
        steps.append({"step": "activation", "kind": settings.logits_activation})
    return steps
